"""Distributions of counts and roots of functions, by special functions alone.

`scipy.stats` and `scipy.optimize` say the same, and take longer to load than a patient takes to compute.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

Floats = NDArray[np.float64]

_HALVINGS = 100


def binomial(count: ArrayLike, n: ArrayLike, p: ArrayLike) -> Floats:
    """Return P(X = count) of a binomial variable, 0 < p < 1."""
    k, n = np.asarray(count, float), np.asarray(n, float)
    inside = (k >= 0) & (k <= n)
    at = np.where(inside, k, 0.0)
    ln = special.gammaln(n + 1) - special.gammaln(at + 1) - special.gammaln(n - at + 1)
    found: Floats = np.where(inside, np.exp(ln + special.xlogy(at, p) + special.xlog1py(n - at, -np.asarray(p))), 0.0)
    return found


def binomial_at_most(count: int, n: int, p: Floats) -> Floats:
    """Return P(X <= count) of a binomial variable."""
    if count < 0 or count >= n:
        return np.full_like(p, float(count >= n))
    return np.asarray(special.betaincc(count + 1.0, n - count, p))


def binomial_at_least(count: int, n: int, p: Floats) -> Floats:
    """Return P(X >= count) of a binomial variable."""
    if count <= 0 or count > n:
        return np.full_like(p, float(count <= 0))
    return np.asarray(special.betainc(float(count), n - count + 1.0, p))


def negative_binomial(count: ArrayLike, size: float, p: float) -> Floats:
    """Return P(X = count) of a negative binomial variable: Gamma(count + size) / ... p^size (1 - p)^count."""
    k = np.asarray(count, float)
    ln = special.gammaln(k + size) - special.gammaln(size) - special.gammaln(k + 1)
    found: Floats = np.exp(ln + size * np.log(p) + special.xlog1py(k, -p))
    return found


def negative_binomial_most(tail: float, size: float, p: float) -> int:
    """Return the smallest count that is exceeded with a probability of at most `tail`."""
    low, high = -1, 1
    while special.betaincc(size, high + 1.0, p) > tail:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if special.betaincc(size, middle + 1.0, p) > tail else (low, middle)
    return high


def root(function: Callable[[float], float], low: float, high: float) -> float:
    """Return where a function changes its sign between two values, to the last digit.

    Raises
    ------
    ValueError
        If it has the same sign at both.
    """
    at_low, at_high = function(low), function(high)
    if at_low * at_high > 0:
        raise ValueError(f"no change of sign between {low} and {high}")
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        at_middle = function(middle)
        low, high = (middle, high) if at_middle * at_low > 0 else (low, middle)
    return (low + high) / 2
