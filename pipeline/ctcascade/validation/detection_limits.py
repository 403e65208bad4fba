"""Limits of blank, detection and quantitation of a count, by the logic of CLSI EP17-A2.

The guideline's own estimators, by ranks and by the normal distribution, stand beside one for counts: false calls and
tumour cells in a tube are few, so they scatter as Poisson counts do, and a limit by ranks needs sixty blanks.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ctcascade.data.chances import root

Floats = NDArray[np.float64]

ADVISED_BLANKS = 60
"""Blank results that EP17-A2 asks for, of which the limit by ranks is made."""
NOT_POISSON_P = 0.01
"""Below this p the false calls of blanks scatter more than a Poisson count, and the limit for counts is not given."""
_LEAST_RANKED = 20  # blanks: of fewer the largest is no limit that one in twenty exceeds
_JEFFREYS = 0.5
_FARTHEST = 20.0  # of the logarithm of a mean
_LARGE_MEAN = 5.0  # of counts: from here on the index of dispersion is distributed as chi-square
_WORTH_DRAWING = 0.2  # p by chi-square, below which the sum's own distribution is drawn
_DRAWS = 10_000


@dataclass(frozen=True)
class Blanks:
    """What blank tubes say: limits in CTCs of a tube, None where they cannot be given."""

    by_rank: float | None
    by_normal: float | None
    by_counts: int | None
    dispersion_p: float | None


def limit_of_blank(counts: Sequence[int], level: float = 0.95) -> Blanks:
    """Return the limits that a blank does not exceed with probability `level`.

    Parameters
    ----------
    counts : sequence of int
        CTCs called in each blank tube.
    level : float

    Notes
    -----
    *By rank*: of B results in order, that of rank ``0.5 + level B``, between two ranks by proportion; none of fewer
    than twenty, or where that rank lies beyond the largest result. *By normal*: ``mean + c SD`` with
    ``c = z / (1 - 1 / (4 (B - 1)))``.
    *By counts*: the smallest count that the next blank exceeds with a probability of at most ``1 - level``, a Poisson
    count whose rate has Jeffreys' posterior: a negative binomial. It is withheld where the index of dispersion says
    that blanks differ by more than chance (`NOT_POISSON_P`).

    References
    ----------
    CLSI EP17-A2, Evaluation of Detection Capability for Clinical Laboratory Measurement Procedures, 2012.
    """
    x = np.sort(np.asarray(counts, np.float64))
    n, total = len(x), float(np.sum(counts))
    p = _dispersion_p(x)
    shown = int(stats.nbinom.ppf(level, total + _JEFFREYS, n / (n + 1))) if n else None
    return Blanks(
        by_rank=_ranked(x, level),
        by_normal=float(x.mean() + _factor(level, n - 1) * x.std(ddof=1)) if n > 1 else None,
        by_counts=None if p is not None and p < NOT_POISSON_P else shown,
        dispersion_p=p,
    )


def limit_of_detection_by_counts(
    blank: int, false: float, recovery: float, level: float = 0.95, beyond_chance: float = 0.0
) -> float | None:
    """Return how many tumour cells a tube must hold to give more than `blank` calls with probability `level`.

    None where no number does, because tubes vary too much.

    Parameters
    ----------
    blank : int
        Limit of blank.
    false : float
        False calls expected in a tube.
    recovery : float
        Share of tumour cells that are called, above 0.
    level : float
    beyond_chance : float
        Coefficient of variation of like tubes beyond that of counts (`variation_beyond_chance`).

    Notes
    -----
    The mean of a Poisson count that exceeds `blank` with probability `level` is half the `level` quantile of chi-square
    with ``2 (blank + 1)`` degrees of freedom: 3.00 cells for a limit of 0, 4.74 for 1, 6.30 for 2. Where tubes vary by
    more than chance the count is a negative binomial of that variation, and its mean is solved for.
    """
    mean = float(stats.chi2.ppf(level, 2 * (blank + 1))) / 2
    if beyond_chance > 0:
        size = 1 / beyond_chance**2

        def short(log_mean: float) -> float:
            return float(stats.nbinom.sf(blank, size, size / (size + math.exp(log_mean)))) - level

        lowest, highest = math.log(mean), math.log(mean) + _FARTHEST
        if short(highest) < 0:
            return None
        mean = math.exp(root(short, lowest, highest)) if short(lowest) < 0 else mean
    return max(0.0, mean - false) / recovery


def limit_of_detection_by_normal(blank: float, low: Sequence[Sequence[float]], level: float = 0.95) -> float | None:
    """Return the classical limit ``blank + c SD``, the SD pooled over low samples; None without any scatter.

    Parameters
    ----------
    blank : float
    low : sequence of sequence of float
        Results of each low sample.
    level : float

    Notes
    -----
    ``c = z / (1 - 1 / (4 (L - J)))`` for L results of J samples.
    """
    free = sum(len(each) - 1 for each in low)
    if free < 1:
        return None
    pooled = math.sqrt(sum(float(np.var(each, ddof=1)) * (len(each) - 1) for each in low if len(each) > 1) / free)
    return blank + _factor(level, free) * pooled if pooled > 0 else None


def variation_beyond_chance(groups: Sequence[Sequence[float]]) -> float | None:
    """Return by which coefficient of variation like tubes differ beyond the Poisson scatter of counts.

    Groups hold the counts of like tubes. None where no group has two tubes and a call.

    Notes
    -----
    The variance of a count of mean m is ``m + cv^2 m^2``; ``cv^2`` is solved for over all groups,
    ``sum of (n - 1) (variance - m) / sum of (n - 1) m^2``, and is 0 where counts scatter no more than by chance.
    """
    kept = [np.asarray(g, np.float64) for g in groups if len(g) > 1 and np.sum(g) > 0]
    if not kept:
        return None
    excess = sum((len(g) - 1) * (g.var(ddof=1) - g.mean()) for g in kept)
    return math.sqrt(max(0.0, float(excess / sum((len(g) - 1) * g.mean() ** 2 for g in kept))))


def variation_about(observed: Floats, expected: Floats) -> float:
    """Return by which coefficient of variation counts differ from what is expected, beyond chance.

    Notes
    -----
    Pearson's statistic with variance ``m + b^2 m^2`` is set equal to its degrees of freedom, n - 1, and solved for b;
    0 where it is no larger without.
    """
    square = (observed - expected) ** 2

    def excess(log_b: float) -> float:
        return float((square / (expected + math.exp(2 * log_b) * expected**2)).sum()) - (len(observed) - 1)

    if excess(-_FARTHEST) <= 0:
        return 0.0
    return math.exp(root(excess, -_FARTHEST, _FARTHEST))


def limit_of_quantitation(cv: float, beyond_chance: float, false: float, recovery: float) -> float | None:
    """Return how many tumour cells are counted with a coefficient of variation of at most `cv`; None: never.

    Notes
    -----
    A tube with n cells gives ``m = recovery n`` true calls and `false` others; its estimate of n varies by
    ``sqrt(m + false + b^2 m^2) / m`` with b = `beyond_chance`, which falls with n towards b.
    """
    if beyond_chance >= cv:
        return None
    a = cv**2 - beyond_chance**2
    return (1 + math.sqrt(1 + 4 * a * false)) / (2 * a) / recovery


def poisson_mean(total: int, tubes: int, level: float) -> tuple[float, float, float]:
    """Return the mean count of a tube with its exact limits (Garwood's)."""
    tail = (1 - level) / 2
    low = 0.0 if total == 0 else float(stats.chi2.ppf(tail, 2 * total)) / 2
    high = float(stats.chi2.ppf(1 - tail, 2 * total + 2)) / 2
    return total / tubes, low / tubes, high / tubes


def share_with_limits(k: int, n: int, level: float) -> tuple[float, float, float]:
    """Return the share k of n with Clopper and Pearson's limits."""
    tail = (1 - level) / 2
    low = 0.0 if k == 0 else float(stats.beta.ppf(tail, k, n - k + 1))
    high = 1.0 if k == n else float(stats.beta.ppf(1 - tail, k + 1, n - k))
    return k / n, low, high


def _ranked(ordered: Floats, level: float) -> float | None:
    rank = 0.5 + level * len(ordered)
    if len(ordered) < _LEAST_RANKED or rank > len(ordered):
        return None
    below = math.floor(rank)
    if below == len(ordered):
        return float(ordered[-1])
    return float(ordered[below - 1] + (rank - below) * (ordered[below] - ordered[below - 1]))


def _factor(level: float, free: int) -> float:
    """Return the multiplier of a standard deviation of `free` degrees of freedom."""
    return float(stats.norm.ppf(level)) / (1 - 1 / (4 * free))


def _dispersion_p(x: Floats) -> float | None:
    """Return p of the index of dispersion: of so many calls spread over the tubes by chance, how often so unevenly.

    Given their sum, Poisson counts are multinomial. Of few calls chi-square is no likeness of that (two calls in one of
    twenty tubes have p 0.05, by chi-square 0.006): a small p is that of 10,000 draws of one fixed stream.
    """
    if len(x) < 2 or x.sum() == 0:
        return None
    p = float(stats.chi2.sf(((x - x.mean()) ** 2).sum() / x.mean(), len(x) - 1))
    if x.mean() >= _LARGE_MEAN or p > _WORTH_DRAWING:
        return p
    index = float((x**2).sum())
    drawn = np.random.default_rng(len(x)).multinomial(int(x.sum()), np.full(len(x), 1 / len(x)), size=_DRAWS)
    return float(((drawn**2).sum(axis=1) >= index).sum() + 1) / (_DRAWS + 1)
