"""Distributions of counts against scipy's own, and roots."""

import numpy as np
import pytest
from scipy import optimize, stats

from ctcascade.data import chances

pytestmark = pytest.mark.oracle


@pytest.mark.parametrize("n", [0, 1, 7, 400])
@pytest.mark.parametrize("p", [1e-9, 0.03, 0.5, 0.98])
def test_binomial(n, p):
    k = np.arange(-1, n + 3)
    assert chances.binomial(k, n, p) == pytest.approx(stats.binom.pmf(k, n, p), rel=1e-9, abs=1e-300)
    shares = np.array([p, p / 2])
    for count in (-1, 0, 1, n // 2, n, n + 1):
        assert chances.binomial_at_most(count, n, shares) == pytest.approx(stats.binom.cdf(count, n, shares), rel=1e-9)
        assert chances.binomial_at_least(count, n, shares) == pytest.approx(
            stats.binom.sf(count - 1, n, shares), rel=1e-9, abs=1e-300
        )


@pytest.mark.parametrize("size", [0.2, 0.5, 3.5, 200.5])
@pytest.mark.parametrize("p", [0.005, 0.13, 0.9])
def test_negative_binomial(size, p):
    k = np.arange(500)
    assert chances.negative_binomial(k, size, p) == pytest.approx(stats.nbinom.pmf(k, size, p), rel=1e-9, abs=1e-300)
    for tail in (1e-9, 0.3, 0.9999):
        assert chances.negative_binomial_most(tail, size, p) == int(stats.nbinom.isf(tail, size, p))


def test_root():
    assert chances.root(np.cos, 0.0, 3.0) == pytest.approx(optimize.brentq(np.cos, 0.0, 3.0), abs=1e-12)
    with pytest.raises(ValueError, match="no change of sign"):
        chances.root(np.cosh, 0.0, 3.0)
