"""Checks of predicted survival, against independent packages on twenty patients, and closed forms."""

import numpy as np
import pytest

from ctcascade.validation import predictions, survival, tripod

pytestmark = pytest.mark.oracle

TIMES = np.array([2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12.5, 13, 14, 15, 16, 18, 20, 22, 24, 30])
DIED = np.array([1, 1, 0, 1, 1, 0, 1, 1, 0, 1, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0], bool)
ALIVE = np.array([20, 35, 60, 30, 50, 55, 40, 65, 70, 45, 60, 75, 50, 80, 70, 85, 65, 90, 75, 80]) / 100


def test_the_brier_score_is_that_of_scikit_survival():
    """0.28.0, brier_score at 12 months; and of the Kaplan-Meier share for all."""
    assert predictions.km_at(TIMES, DIED, 12) == pytest.approx(0.6187929717341482)
    assert predictions.brier(TIMES, DIED, ALIVE, 12) == pytest.approx(0.12491272, abs=1e-8)
    everybody = np.full(20, 0.6187929717341482)
    assert predictions.brier(TIMES, DIED, everybody, 12) == pytest.approx(0.23588823, abs=1e-8)


def test_without_losses_the_brier_score_is_the_mean_squared_difference():
    found = predictions.brier(TIMES, np.ones(20, bool), ALIVE, 12)
    assert found == pytest.approx(((ALIVE - (TIMES > 12)) ** 2).mean())


def test_net_benefit_is_that_of_dcurves():
    """1.1.7, dca with time=12 and the Kaplan-Meier shares of those above the threshold."""
    risk = 1 - ALIVE
    found = [predictions.net_benefit(TIMES, DIED, risk, 12, at) for at in (0.2, 0.4)]
    assert found == pytest.approx([0.292308, 0.261905], abs=1e-6)
    every = [predictions.net_benefit(TIMES, DIED, np.ones(20), 12, at) for at in (0.2, 0.4, 0.5, 0.6)]
    assert every == pytest.approx([0.226509, -0.031322, -0.237586, -0.546982], abs=1e-6)


def test_net_benefit_of_everybody_is_the_published_formula_and_of_nobody_zero():
    """Vickers and Elkin: prevalence - (1 - prevalence) pt / (1 - pt); 25 % of events at a threshold of 10 %: 0.1667."""
    times, died = np.r_[np.ones(250), np.full(750, 20.0)], np.r_[np.ones(250, bool), np.zeros(750, bool)]
    assert predictions.net_benefit(times, died, np.ones(1000), 12, 0.1) == pytest.approx(0.25 - 0.75 / 9)
    assert predictions.net_benefit(times, died, np.zeros(1000), 12, 0.1) == 0.0


def test_the_slope_is_that_of_lifelines():
    """0.30.3, CoxPHFitter of log(-log S)."""
    assert predictions.slope(TIMES, DIED, ALIVE, 0.95) == pytest.approx((4.738341, 2.079721, 7.396962), abs=1e-4)
    assert predictions.slope(TIMES, DIED, np.full(20, 0.5), 0.95) is None


def test_the_concordance_of_predictions_is_that_of_scikit_survival():
    rng = np.random.default_rng(1)
    found = survival.concordance(TIMES, DIED, 1 - ALIVE, 0.95, 200, rng)
    assert found.estimate == pytest.approx(0.9296875)


def test_predictions_that_are_right_have_slope_one_and_lie_on_the_diagonal():
    rng = np.random.default_rng(3)
    rate = np.exp(rng.normal(-3.2, 0.8, 3000))
    death, lost = rng.exponential(1 / rate), rng.uniform(5, 60, 3000)
    times, died = np.minimum(death, lost), death <= lost
    alive = np.exp(-rate * 12)
    slope, low, high = predictions.slope(times, died, alive, 0.95)
    assert low < 1 < high
    assert slope == pytest.approx(1, abs=0.1)
    curve = predictions.calibration_curve(times, died, alive, 12)
    assert curve.ici < 0.02
    assert np.abs(curve.observed - curve.predicted).max() < 0.08
    extreme = predictions.calibration_curve(times, died, alive**3, 12)  # three times the hazard
    assert extreme.ici > 0.15
    assert predictions.slope(times, died, np.exp(-((rate * 12) ** 2)), 0.95)[0] == pytest.approx(slope / 2, rel=1e-3)


def test_a_calibration_curve_needs_different_predictions():
    assert predictions.calibration_curve(TIMES, DIED, np.full(20, 0.5), 12) is None
    two = predictions.calibration_curve(TIMES, DIED, np.where(ALIVE > 0.6, 0.8, 0.4), 12)
    assert two.predicted == pytest.approx([0.2, 0.6])


@pytest.mark.parametrize("certain", [0.0, 1.0])
def test_one_prediction_of_none_or_all_leaves_no_slope_and_no_curve(certain):
    """Its log hazard is infinite: cut off at 1e-9, three of 200 such patients turned a slope of 1.4 into 0.01."""
    alive = np.where(np.arange(20) == 3, certain, ALIVE)
    assert predictions.slope(TIMES, DIED, alive, 0.95) is None
    assert predictions.calibration_curve(TIMES, DIED, alive, 12) is None
    assert predictions.brier(TIMES, DIED, alive, 12) is not None


def test_months_in_which_some_die_and_some_are_lost_bias_no_brier_score():
    """Whole months, so that deaths and losses fall together: the mean over 60 cohorts is that without losses."""
    rng = np.random.default_rng(5)
    with_losses, without = [], []
    for _ in range(60):
        rate = rng.uniform(0.02, 0.12, 400)
        death, lost = (np.ceil(rng.exponential(mean) / 6) * 6 for mean in (1 / rate, np.full(400, 15.0)))
        alive = np.exp(-rate * 12)
        with_losses.append(predictions.brier(np.minimum(death, lost), death <= lost, alive, 12))
        without.append(((death > 12) - alive) @ ((death > 12) - alive) / 400)
    assert np.mean(with_losses) == pytest.approx(
        np.mean(without), abs=0.004
    )  # the weights at the death's own time: 0.009 off


def test_the_checklist_has_each_item_once():
    items = tripod.items()
    assert [item.item for item in items] == [str(k) for k in range(1, 28)]
    assert {item.answer for item in items} == {"answered", "in part", "yours to answer"}
