"""Whether called over expected is a straight line, by the logic of CLSI EP06."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]
_EXACT = 1e-6  # of the spread about a curve: tubes that lie on it but for rounding say nothing of its bends


@dataclass(frozen=True)
class Fit:
    """An estimate with its limits."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class Line:
    """The weighted straight line, p of bends, and the deviation of each level from it as a share of the line."""

    slope: Fit
    intercept: Fit
    quadratic_p: float | None
    cubic_p: float | None
    deviations: dict[float, Fit]


def straightness(expected: Sequence[float], observed: Sequence[float], level: float = 0.95) -> Line | None:
    """Return the line through tubes and how far each level lies off it; None with fewer than three levels.

    Parameters
    ----------
    expected, observed : sequence of float
        Of each tube.
    level : float
        Of the limits.

    Notes
    -----
    Weighted least squares with weights ``1 / max(expected, 1)``, as the variance of a count grows with it. EP06-A asks
    whether the terms of a second- and a third-degree polynomial differ from zero, by t tests; EP06 (second edition)
    asks how far the mean of each level lies from the line, with limits, and sets that beside what the laboratory
    allows. The limits of a level's mean are those of Poisson scatter about the line, or of the scatter about it that
    was seen where that is wider. A level of none has no share of the line to deviate by.

    References
    ----------
    CLSI EP06-A, Evaluation of the Linearity of Quantitative Measurement Procedures, 2003; EP06, 2nd edition, 2020.
    """
    x, y = np.asarray(expected, np.float64), np.asarray(observed, np.float64)
    levels = np.unique(x)
    if len(levels) < 3 or len(x) < 4:
        return None
    weights = 1 / np.maximum(x, 1)
    beta, error, spread, free = _polynomial(x, y, weights, 1)
    t = float(stats.t.ppf((1 + level) / 2, free))
    intercept, slope = (Fit(float(b), float(b - t * e), float(b + t * e)) for b, e in zip(beta, error, strict=True))
    wide = float(stats.norm.ppf((1 + level) / 2)) * max(1.0, spread)
    off = {}
    for at in levels:
        line = beta[0] + beta[1] * at
        if at > 0 and line > 0:
            here = y[x == at]
            share, half = here.mean() / line - 1, wide * np.sqrt(max(line, 1) / len(here)) / line
            off[float(at)] = Fit(float(share), float(share - half), float(share + half))
    return Line(slope, intercept, _bend_p(x, y, weights, 2), _bend_p(x, y, weights, 3), off)


def _bend_p(x: Floats, y: Floats, weights: Floats, degree: int) -> float | None:
    """Return p of the highest term of a polynomial; None with too few levels or tubes."""
    if len(np.unique(x)) < degree + 2 or len(x) < degree + 2:
        return None
    beta, error, spread, free = _polynomial(x, y, weights, degree)
    if spread < _EXACT:
        return None
    return float(2 * stats.t.sf(abs(beta[-1] / error[-1]), free))


def _polynomial(x: Floats, y: Floats, weights: Floats, degree: int) -> tuple[Floats, Floats, float, int]:
    """Return coefficients from the lowest, their errors, the spread about the curve, and the degrees of freedom."""
    top = float(x.max()) or 1.0
    design = np.vander(x / top, degree + 1, increasing=True)
    root = np.sqrt(weights)
    beta = np.linalg.lstsq(design * root[:, None], y * root, rcond=None)[0]
    free = len(x) - degree - 1
    variance = float((weights * (y - design @ beta) ** 2).sum() / free) if free > 0 else 0.0
    covariance = variance * np.linalg.inv((design * weights[:, None]).T @ design)
    scale = top ** np.arange(degree + 1)
    return beta / scale, np.sqrt(np.diag(covariance)) / scale, float(np.sqrt(variance)), free
