"""Change between samples: how often no change is called one, with tubes that vary and with two assays."""

import numpy as np
import pytest
from scipy import stats

from ctcascade.counting.observation import change as by_counting
from ctcascade.data.results import Counts
from ctcascade.prognosis import change
from ctcascade.prognosis.change import compare, same_assay, spread
from tests.support import report_cases

pytestmark = pytest.mark.unit
NO_BACKGROUND = report_cases.factor(0.0, 0.0, 0.0)
SURE = report_cases.factor(1.0, 1.0, 1.0, "measured")
LEVEL = 0.05
ONE = {"assay": "one", "recovery": report_cases.factor(0.8, 0.535, 0.967)}
OTHER = {"assay": "other", "recovery": report_cases.factor(0.5, 0.25, 0.75)}


def counts(n, **changes):
    given = {"imaged_fraction": 1.0, "background_per_7_5_ml": NO_BACKGROUND, "sensitivity": SURE, **changes}
    return Counts.model_validate(report_cases.counts(n_ctc=int(n), **given))


def beta(mean, low, high):
    """Return the parameters of the Beta distribution of this mean whose 95 % interval is as wide."""
    sizes = np.geomspace(3, 200, 400)
    width = np.diff(stats.beta.ppf([[0.025], [0.975]], mean * sizes, (1 - mean) * sizes), axis=0)[0]
    size = sizes[np.argmin(np.abs(width - (high - low)))]
    return mean * size, (1 - mean) * size


def error_rate(pairs, first, second):
    """Return the share of pairs of counts of one concentration that are called a change."""
    called = {}
    for pair in pairs:
        if pair not in called:
            _, verdict = change.test(counts(pair[0], **first), counts(pair[1], **second), 1 - LEVEL)
            called[pair] = "established" in verdict
    return float(np.mean([called[pair] for pair in pairs]))


@pytest.mark.oracle
@pytest.mark.parametrize(("mean", "by_counting_above"), [(5, 0.0), (30, 0.07), (100, 0.07), (500, 0.07)])
def test_tubes_of_one_assay_are_called_different_at_the_stated_level(mean, by_counting_above):
    """Tubes vary by 0.14 beyond Poisson: by counting alone 8 to 48 % of equal pairs were called changed.

    800 pairs: the standard deviation of a share of 0.05 is 0.008; three of them.
    """
    rng = np.random.default_rng([1, mean])
    sd = np.sqrt(np.log1p(0.14**2))
    pairs = [tuple(rng.poisson(mean * np.exp(rng.normal(-(sd**2) / 2, sd, 2))).tolist()) for _ in range(800)]
    assert error_rate(pairs, ONE, ONE) <= LEVEL + 0.024
    assert np.mean([by_counting(a, 1, b, 1).p_value <= LEVEL for a, b in pairs]) > by_counting_above


@pytest.mark.oracle
@pytest.mark.parametrize(("mean", "by_counting_above"), [(10, 0.0), (100, 0.12)])
def test_samples_of_two_assays_are_called_different_at_the_stated_level(mean, by_counting_above):
    """Each assay's recovery is drawn from its stated range; counts are exact otherwise. 12 to 20 % before."""
    rng = np.random.default_rng([2, mean])
    first, second = beta(0.8, 0.535, 0.967), beta(0.5, 0.25, 0.75)
    shares = np.stack([rng.beta(*first, 400), rng.beta(*second, 400)], axis=1)
    pairs = [tuple(pair) for pair in rng.poisson(mean * shares).tolist()]
    assert error_rate(pairs, ONE, OTHER) <= LEVEL + 0.033
    assert np.mean([by_counting(a, 0.8, b, 0.5).p_value <= LEVEL for a, b in pairs]) > by_counting_above


def test_false_calls_of_an_assay_with_much_background_are_no_rise():
    """None in 7.5 mL, then three in 1 mL of an assay of which 60 false calls in 7.5 mL cannot be excluded."""
    dirty = {**OTHER, "blood_volume_ml": 1.0, "background_per_7_5_ml": report_cases.factor(5.0, 0.2, 60.0)}
    assert compare(counts(0, **ONE), counts(3, **dirty), 0.95).verdict == "compatible with no change"
    clean = {**dirty, "background_per_7_5_ml": report_cases.factor(0.1, 0.05, 0.2)}
    assert compare(counts(0, **ONE), counts(3, **clean), 0.95).verdict == "rise established"


def test_in_one_assay_without_spread_it_is_the_exact_test():
    still = {**ONE, "tube_to_tube": report_cases.factor(1.0, 1.0, 1.0)}
    for pair in ((6, 4), (20, 5), (0, 7), (7, 0)):
        found = compare(counts(pair[0], **still), counts(pair[1], **still), 0.95)
        exact = by_counting(pair[0], 1.0, pair[1], 1.0)
        assert found.p_value == pytest.approx(exact.p_value, abs=1e-9)
        assert found.low == pytest.approx(exact.low, rel=1e-6)
        assert found.high == (None if exact.high is None else pytest.approx(exact.high, rel=1e-6))
        assert found.verdict == exact.verdict == found.verdict_by_counting_alone
        assert found.p_value_by_counting_alone == pytest.approx(exact.p_value)


def test_the_spread_is_that_of_tubes_in_one_assay_and_of_recoveries_between_two():
    one, again, other = counts(5, **ONE), counts(9, **ONE), counts(5, **OTHER)
    assert same_assay(one, again)
    assert not same_assay(one, other)
    assert spread(one, again) == pytest.approx(np.sqrt(2 * np.log1p(0.14**2)))
    by_hand = np.hypot(np.log(0.967 / 0.535), np.log(0.75 / 0.25)) / (2 * 1.959964)
    assert spread(one, other) == pytest.approx(by_hand, rel=1e-6)
    tubes = counts(5, **ONE, tube_to_tube=report_cases.factor(1.0, 0.76, 1.31))
    assert spread(tubes, tubes) == pytest.approx(np.sqrt(2) * np.log(1.31 / 0.76) / (2 * 1.959964), rel=1e-6)


@pytest.mark.property
def test_order_reversed_is_the_reciprocal():
    there, back = (
        compare(counts(30, **ONE), counts(6, **OTHER), 0.95),
        compare(counts(6, **OTHER), counts(30, **ONE), 0.95),
    )
    assert there.rate_ratio == pytest.approx(1 / back.rate_ratio)
    assert there.low == pytest.approx(1 / back.high, rel=1e-6)
    assert there.p_value == pytest.approx(back.p_value)


def test_two_counts_of_zero_say_nothing():
    found = compare(counts(0, **ONE), counts(0, **ONE), 0.95)
    assert (found.verdict, found.p_value, found.rate_ratio, found.high) == ("not evaluable", 1.0, None, None)
