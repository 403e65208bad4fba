"""The factors of an assay as distributions on a logarithmic grid, where products are convolutions."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from ctcascade.data.chances import root
from ctcascade.data.errors import refuse
from ctcascade.data.vocabulary import Z95

Floats = NDArray[np.float64]

STEP = 0.004
"""Of the logarithmic grid: 0.4 %, far below any assay's own spread."""
TAIL = 1e-8
"""Probability left out at each end of a factor."""
FLOOR = 1e-9
"""Expected cells below which a concentration is as good as none."""


class Factor(NamedTuple):
    """A factor of the assay: its mean, and the limits that hold it with 95 % probability; equal limits: exact."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Grid:
    """Weights at ``exp(first + i * STEP)``: logarithms that can be added by convolution."""

    first: float
    weights: Floats

    @property
    def last(self) -> float:
        """Logarithm of the largest value."""
        return self.first + STEP * (len(self.weights) - 1)

    @property
    def values(self) -> Floats:
        """The values."""
        return np.asarray(np.exp(self.first + STEP * np.arange(len(self.weights))))


def product(factors: Sequence[Grid]) -> Grid:
    """Return the distribution of a product of independent variables."""
    total, *others = factors
    for other in others:
        total = Grid(total.first + other.first, np.convolve(total.weights, other.weights))
    return total


@lru_cache(maxsize=256)
def share(factor: Factor) -> Grid:
    """Return a Beta variable of the factor's mean whose 95 % interval is as wide as stated."""
    if factor.low == factor.high:
        return _exactly(factor.mean)

    def beta(log_size: float) -> tuple[float, float]:
        return factor.mean * math.exp(log_size), (1 - factor.mean) * math.exp(log_size)

    def excess(log_size: float) -> float:
        low, high = special.betaincinv(*beta(log_size), [0.025, 0.975])
        return float(high - low - (factor.high - factor.low))

    # the width first grows with the size and then falls: the root on the falling side is the one with a single mode
    sizes = np.arange(-2.0, 30.0, 0.25)
    wide = sizes[[excess(size) >= 0 for size in sizes]]
    if not len(wide):
        refuse(
            "assay",
            f"mean {factor.mean}",
            f"limits {factor.low} and {factor.high}",
            "limits that a share of this mean can have",
            "narrow them",
        )
    a, b = beta(root(excess, wide[-1], wide[-1] + 0.25))
    lowest = math.log(max(special.betaincinv(a, b, TAIL), FLOOR))
    edges = -STEP * np.arange(math.ceil(-lowest / STEP), -1, -1)
    below = special.betainc(a, b, np.exp(edges))
    below[0] = 0.0
    return Grid(edges[0] + STEP / 2, np.diff(below))


@lru_cache(maxsize=256)
def positive(factor: Factor) -> Grid:
    """Return a lognormal variable of the factor's mean whose 95 % limits have the stated ratio."""
    median, sd = _lognormal(factor)
    if sd == 0:
        return _exactly(median)
    reach = -special.ndtri(TAIL)
    edges = STEP * np.arange(math.ceil(2 * reach * sd / STEP) + 1) - reach * sd
    below = special.ndtr(edges / sd)
    below[0], below[-1] = 0.0, 1.0
    return Grid(math.log(median) + edges[0] + STEP / 2, np.diff(below))


@lru_cache(maxsize=256)
def background_nodes(factor: Factor) -> tuple[Floats, Floats]:
    """Return values of the background and their weights, evenly spaced on the log scale out to four deviations."""
    if factor.mean == 0:
        return np.zeros(1), np.ones(1)
    median, sd = _lognormal(factor)
    if sd == 0:
        return np.array([median]), np.ones(1)
    z = np.linspace(-4, 4, 41)
    weights = np.exp(-(z**2) / 2)
    return median * np.exp(sd * z), weights / weights.sum()


def _lognormal(factor: Factor) -> tuple[float, float]:
    if factor.low <= 0:
        wanted = "a lower limit above 0, or 0 in all three"
        refuse("assay", f"mean {factor.mean}", f"low {factor.low}", wanted, "give the smallest value that is plausible")
    sd = math.log(factor.high / factor.low) / (2 * Z95)
    return factor.mean * math.exp(-(sd**2) / 2), sd


def _exactly(value: float) -> Grid:
    return Grid(math.log(value), np.ones(1))
