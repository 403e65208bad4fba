"""Whether two samples differ by more than chance: the chance of counting, of tubes, and of two assays' recoveries.

Given ``n = x + y``, the later count `y` is Binomial(n, p). With exposures ``e q`` (blood times the share of its cells
that are found) and a ratio `r` of the concentrations,

    p / (1 - p) = r e2 q2 / (e1 q1) * exp(s z),    z standard normal,

and the tail probabilities are averaged over `z`. In two tubes of one assay the recovery cancels and `s` is how tubes
vary: ``s^2 = 2 t^2``. Between assays nothing cancels, and ``s^2`` is the sum over both of what is not known of recovery
and sensitivity, at least ``t^2`` each; background `b` is then no longer the same in both, and with it

    p = e2 (q2 r L + b2) / n,    L = max(0, n - e1 b1 - e2 b2) / (e1 q1 + e2 q2 r),

averaged over the backgrounds too.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from ctcascade import evidence
from ctcascade.counting.observation import Verdict
from ctcascade.counting.observation import change as by_counting
from ctcascade.data import results
from ctcascade.data.chances import binomial_at_least, binomial_at_most, root
from ctcascade.data.results import Counts
from ctcascade.data.vocabulary import REFERENCE_VOLUME_ML, Z95

Floats = NDArray[np.float64]

_EVIDENCE_OF_SPREAD = "tube_variation"
_FARTHEST = 60.0  # of the logarithm of a ratio
_NODES, _BACKGROUND_NODES = 201, 7


@dataclass(frozen=True)
class Seen:
    """One sample as the test needs it.

    Attributes
    ----------
    count : int
    exposure : float
        Blood analysed, in units of 7.5 mL.
    found : float
        Share of its CTCs that are called.
    background : tuple of float
        Median and logarithmic standard deviation of the false calls per 7.5 mL.
    """

    count: int
    exposure: float
    found: float
    background: tuple[float, float]

    @classmethod
    def of(cls, counts: Counts) -> "Seen":
        """Return what the test needs of a sample's counts."""
        given = counts.background_per_7_5_ml
        sd = log_sd(given) if given.low > 0 else 0.0
        return cls(
            counts.n_ctc or 0,
            counts.blood_analysed_ml / REFERENCE_VOLUME_ML,
            counts.recovery.mean * counts.sensitivity.mean,
            (given.mean * math.exp(-(sd**2) / 2), sd),
        )


def compare(earlier: Counts, later: Counts, level: float) -> results.Change:
    """Return what two samples say about a change of the concentration.

    Parameters
    ----------
    earlier, later : Counts
    level : float
        Of the interval; a change is established at 1 - `level`, two-sided.

    Notes
    -----
    Two counts of zero are not evaluable: no cells are no evidence of no change.
    """
    one, other = Seen.of(earlier), Seen.of(later)
    across = not same_assay(earlier, later)
    tail = _tails(one, other, spread(earlier, later), across=across)
    p_value, verdict = test(earlier, later, level)
    rates = [s.count / (s.exposure * s.found) for s in (one, other)]
    low = _limit(tail, 1, (1 - level) / 2) if other.count else None
    counted = by_counting(one.count, one.exposure * one.found, other.count, other.exposure * other.found, level=level)
    return results.Change(
        rate_ratio=rates[1] / rates[0] if one.count else None,
        low=low or 0.0,
        high=_limit(tail, 0, (1 - level) / 2) if one.count else None,
        level=level,
        p_value=p_value,
        verdict=verdict,
        verdict_with_tube_variation=verdict,
        across_assays=across,
        spread_ln=spread(earlier, later),
        p_value_by_counting_alone=counted.p_value,
        verdict_by_counting_alone=counted.verdict,
    )


def p_ratio_at_most(earlier: Counts, later: Counts, ratio: float) -> float:
    """Return the probability that the later level is at most `ratio` of the earlier one, by both counts.

    Notes
    -----
    The confidence distribution of the ratio, ``(P(X >= x) + 1 - P(X <= x)) / 2`` of the later count at that ratio, by
    what `compare` allows for. One half where no cell was seen in either sample.
    """
    one, other = Seen.of(earlier), Seen.of(later)
    if not one.count + other.count:
        return 0.5
    tail = _tails(one, other, spread(earlier, later), across=not same_assay(earlier, later))
    at_most, at_least = tail(math.log(ratio))
    return min(1.0, max(0.0, (at_least + 1 - at_most) / 2))


def test(earlier: Counts, later: Counts, level: float) -> tuple[float, Verdict]:
    """Return the two-sided p value of no change, and what it establishes at 1 - `level`."""
    one, other = Seen.of(earlier), Seen.of(later)
    if not one.count + other.count:
        return 1.0, "not evaluable"
    p_decline, p_rise = _tails(one, other, spread(earlier, later), across=not same_assay(earlier, later))(0.0)
    p_value = min(1.0, 2 * min(p_decline, p_rise))
    if p_value > 1 - level:
        return p_value, "compatible with no change"
    return p_value, "decline established" if p_decline < p_rise else "rise established"


def same_assay(earlier: Counts, later: Counts) -> bool:
    """Whether the recovery of both samples is one and the same."""
    return all(getattr(earlier, name) == getattr(later, name) for name in ("assay", "recovery", "sensitivity"))


def spread(earlier: Counts, later: Counts) -> float:
    """Return the standard deviation of the logarithm of the ratio beyond the chance of counting."""
    if same_assay(earlier, later):
        return math.hypot(_of_tubes(earlier), _of_tubes(later))
    return math.hypot(_of_assay(earlier), _of_assay(later))


def log_sd(factor: results.Factor) -> float:
    """Return the standard deviation of the logarithm of a factor whose limits hold it with 95 % probability."""
    return math.log(factor.high / factor.low) / (2 * Z95)


def _of_tubes(counts: Counts) -> float:
    if counts.tube_to_tube:
        return log_sd(counts.tube_to_tube)
    return math.sqrt(math.log1p(float(evidence.rows("assay_facts")[_EVIDENCE_OF_SPREAD].central) ** 2))


def _of_assay(counts: Counts) -> float:
    """Return the same of one sample's recovery; where tubes are not stated apart, its range holds their variation."""
    recovery = log_sd(counts.recovery)
    tubes = math.hypot(recovery, _of_tubes(counts)) if counts.tube_to_tube else max(recovery, _of_tubes(counts))
    return math.hypot(tubes, log_sd(counts.sensitivity))


def _tails(one: Seen, other: Seen, sd: float, *, across: bool) -> Callable[[float], tuple[float, float]]:
    """Return the probabilities of at most, and of at least, the later count, by the logarithm of the ratio."""
    z, weights = _normal(_NODES)
    n = one.count + other.count
    backgrounds = [(_around(s.background) if across else (np.zeros(1), np.ones(1))) for s in (one, other)]
    first, second = (s.exposure * b for s, (b, _) in zip((one, other), backgrounds, strict=True))
    first, second = first[:, None, None], second[None, :, None]
    share = backgrounds[0][1][:, None, None] * backgrounds[1][1][None, :, None] * weights
    cells = np.maximum(n - first - second, 0.0)

    def tails(log_ratio: float) -> tuple[float, float]:
        odds = log_ratio + math.log(other.exposure * other.found / (one.exposure * one.found)) + sd * z
        p = (cells * special.expit(odds) + second) / (cells + first + second)
        at_most = binomial_at_most(other.count, n, p)
        at_least = binomial_at_least(other.count, n, p)
        return float((share * at_most).sum()), float((share * at_least).sum())

    return tails


def _limit(tails: Callable[[float], tuple[float, float]], side: int, tail: float) -> float | None:
    """Return the ratio at which one tail has the probability `tail`; None where background alone has it more often."""
    ends = [tails(end)[side] - tail for end in (-_FARTHEST, _FARTHEST)]
    if ends[0] * ends[1] > 0:
        return None
    return math.exp(root(lambda log_ratio: tails(log_ratio)[side] - tail, -_FARTHEST, _FARTHEST))


def _around(background: tuple[float, float]) -> tuple[Floats, Floats]:
    median, sd = background
    if median == 0 or sd == 0:
        return np.array([median]), np.ones(1)
    z, weights = _normal(_BACKGROUND_NODES, reach=3.0)
    return median * np.exp(sd * z), weights


def _normal(nodes: int, reach: float = 6.0) -> tuple[Floats, Floats]:
    z = np.linspace(-reach, reach, nodes)
    weights = np.exp(-(z**2) / 2)
    return z, weights / weights.sum()
