"""The mathematics of survival curves: log-logistic strata, their mixture, its band, and a continuous model beside it.

A stratum's curve is anchored at its published median `m` and has the shape `beta` found across trial arms,

    S(t) = 1 / (1 + (t / m)^beta),

and the patient's curve is the mixture over the strata with the probabilities that a reference assay's count falls into
each. The strata were defined on observed counts, so the noise of counting is already inside them: only the predictive
distribution of the reference count may weigh them, never the concentration.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from ctcascade.data.chances import negative_binomial, negative_binomial_most
from ctcascade.data.vocabulary import Z95

Floats = NDArray[np.float64]

_Z90 = float(special.ndtri(0.95))
_TAIL = 1e-5  # share of patients beyond the largest count that the continuous model sums over


@dataclass(frozen=True)
class Shape:
    """Exponent of the log-logistic curves: lognormal, with its 5th and 95th percentile over trial arms.

    Attributes
    ----------
    central, low, high : float
        Median, 5th and 95th percentile.
    support : float
        Multiple of the median up to which the arms were compared; beyond it nothing is drawn.
    """

    central: float
    low: float
    high: float
    support: float

    @property
    def spread(self) -> float:
        """Standard deviation of the logarithm."""
        return float(np.log(self.high / self.low) / (2 * _Z90))


@dataclass(frozen=True)
class Stratum:
    """A published group: its median survival, the size of the group, the printed 95 % limits or None."""

    median: float
    n: float
    low: float | None = None
    high: float | None = None

    def standard_error(self, beta: float) -> float:
        """Return the standard error of the log median: the printed one or that of the group's size, if larger.

        Notes
        -----
        The median of `n` uncensored log-logistic times has ``SE(log m) = 2 / (beta sqrt(n))``: the density at the
        median is ``beta / (4 m)``. Censoring makes it larger; a printed interval carries that.
        """
        by_size = 2 / (beta * np.sqrt(self.n))
        printed = np.log(self.high / self.low) / (2 * Z95) if self.low and self.high else 0.0
        return float(max(by_size, printed))

    def limits(self, beta: float, level: float) -> tuple[float, float]:
        """Return the limits that hold the group's true median with probability `level`."""
        half = float(special.ndtri((1 + level) / 2)) * self.standard_error(beta)
        return self.median * float(np.exp(-half)), self.median * float(np.exp(half))


def log_logistic(times: Floats, median: float | Floats, beta: float | Floats) -> Floats:
    """Return the share alive at `times`, for a median and a shape; all three broadcast."""
    return np.asarray(1 / (1 + (times / median) ** beta), dtype=np.float64)


def mixture(times: Floats, weights: Sequence[float], medians: Sequence[float], beta: float) -> Floats:
    """Return the central curve: the strata's curves at their published medians, mixed by `weights`."""
    alive = np.stack([log_logistic(times, m, beta) for m in medians])
    return _share(np.asarray(weights) @ alive)


def band(
    times: Floats,
    weights: Sequence[float],
    strata: Sequence[Stratum],
    shape: Shape,
    *,
    level: float,
    draws: int,
    rng: np.random.Generator,
) -> tuple[Floats, Floats]:
    """Return the lower and upper limit of the mixture at each time.

    Parameters
    ----------
    times : ndarray of float, shape (n,)
        Months.
    weights : sequence of float
        Probability of each stratum; the sum is 1.
    strata : sequence of Stratum
    shape : Shape
    level : float
        Probability that the band holds, at each time, the curve of the published groups.
    draws : int
    rng : Generator

    Notes
    -----
    Medians are lognormal around the published ones and the shape is drawn once for all strata of a study. The band
    says how well the published groups' curve is known, not how far one person's time may lie from it.
    """
    beta = np.exp(rng.normal(np.log(shape.central), shape.spread, draws))[:, None]
    total = np.zeros((draws, len(times)))
    for weight, stratum in zip(weights, strata, strict=True):
        median = np.exp(rng.normal(np.log(stratum.median), stratum.standard_error(shape.central), draws))[:, None]
        total += weight * log_logistic(times, median, beta)
    low, high = np.quantile(_share(total), [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high


def horizon(medians: Sequence[float], shape: Shape, reach: float | None) -> float:
    """Return the last month that the evidence speaks of, at least the longest median.

    Parameters
    ----------
    medians : sequence of float
        Of the strata, months.
    shape : Shape
    reach : float or None
        Longest time that the source was seen to report; None where unknown.
    """
    longest = max(medians)
    supported = shape.support * longest
    return max(longest, supported if reach is None else min(supported, reach))


@dataclass(frozen=True)
class Continuous:
    """Median survival that falls with the count: ``log m(y) = intercept - slope * log(1 + y)``.

    Between patients the counts `y` are negative binomial; `intercept` and `slope` are those with which the patients
    below and above a cut-off have the two published medians.
    """

    intercept: float
    slope: float
    beta: float
    size: float
    mean: float

    @classmethod
    def calibrated(
        cls, cutoff: int, medians: tuple[float, float], beta: float, size: float, mean: float
    ) -> "Continuous":
        """Return the model whose patients below and from `cutoff` have these medians."""
        counts, share = _population(size, mean)
        groups = counts < cutoff, counts >= cutoff

        def misfit(model: Floats) -> list[float]:
            alive = [log_logistic(np.array(m), np.exp(model[0] - model[1] * np.log1p(counts)), beta) for m in medians]
            return [float(s[g] @ share[g] / share[g].sum()) - 0.5 for s, g in zip(alive, groups, strict=True)]

        start = [np.log(medians[0]), np.log(medians[0] / medians[1]) / np.log1p(mean)]
        from scipy import optimize  # noqa: PLC0415  takes long to load, and not every patient has this model

        solution, _, found, why = optimize.fsolve(misfit, start, full_output=True)
        if found != 1:
            raise RuntimeError(f"continuous model not calibrated: {why}")
        return cls(float(solution[0]), float(solution[1]), beta, size, mean)

    def survival(self, times: Floats, p_at_least: dict[int, float]) -> Floats:
        """Return the share alive at `times` given the probabilities that the reference count reaches each cut-off.

        Between two cut-offs the counts are weighed as they occur among patients.
        """
        counts, share = _population(self.size, self.mean)
        alive = log_logistic(times[:, None], np.exp(self.intercept - self.slope * np.log1p(counts)), self.beta)
        edges = [0, *sorted(p_at_least)]
        reached = [1.0, *(p_at_least[c] for c in sorted(p_at_least)), 0.0]
        total = np.zeros(len(times))
        for first, last, p, beyond in zip(edges, [*edges[1:], np.inf], reached, reached[1:], strict=False):
            if p == beyond:
                continue
            inside = (counts >= min(first, counts[-1])) & (counts < last)  # beyond the largest count: as it
            total += (p - beyond) * (alive[:, inside] @ share[inside] / share[inside].sum())
        return _share(total)


def _share(value: Floats) -> Floats:
    """Return a share that rounding of its weights cannot push out of 0 to 1."""
    return np.clip(value, 0.0, 1.0)


def _population(size: float, mean: float) -> tuple[NDArray[np.int64], Floats]:
    """Return the counts that occur among patients and the share of patients with each."""
    p = size / (size + mean)
    counts = np.arange(negative_binomial_most(_TAIL, size, p) + 1)
    return counts, negative_binomial(counts, size, p)
