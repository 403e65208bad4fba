"""Which count decides the published group: the one observed, or a mixture where it is in doubt."""

import numpy as np
import pytest
from scipy import stats

from ctcascade.data.results import Counts
from ctcascade.prognosis.reference import reference_count
from tests.support import prognoses, report_cases
from tests.support.prognoses import UNKNOWN, p_at_least, sample

pytestmark = pytest.mark.unit
STATED = report_cases.factor(1.0, 0.68, 1.47, "measured")
SURE = {"reference_equivalent": STATED, "n_uncertain": 0}


@pytest.fixture
def run(tmp_path):
    """The stage as a function of samples."""
    return prognoses.runner(tmp_path)


def count_of(n, **changes):
    return reference_count(Counts.model_validate(sample(n=n, **{**SURE, **changes})))


@pytest.mark.parametrize("n", [0, 1, 3, 4, 5, 6, 100])
def test_the_observed_count_of_the_reference_assay_decides_the_group(run, n):
    """At 5 observed the group is "5 or more" with weight 1; a fresh tube would fall below 5 four times in ten."""
    result = run("breast", "metastatic", sample(n=n, **SURE), n_draws=100)
    assert [s["weight"] for s in result["strata"]] == [float(n < 5), float(n >= 5)]
    assert (result["group_by"], result["why_mixed"]) == ("observed", "")
    assert p_at_least(5)["5"] == pytest.approx(0.564, abs=0.002)


@pytest.mark.parametrize("cutoff", [1, 4, 8, 37])
def test_the_observed_count_can_be_set_against_any_cut_off(cutoff):
    assert [count_of(n).at_least(cutoff) for n in (0, cutoff - 1, cutoff, cutoff + 1)] == [0, 0, 1, 1]


def test_an_assumed_equivalence_or_another_recovery_mixes(run):
    for changes, said in (
        ({"reference_equivalent": report_cases.factor(1.0, 0.68, 1.47)}, "assumption"),
        ({"reference_equivalent": report_cases.factor(0.7, 0.5, 0.9, "measured")}, "0.7 (0.5 to 0.9)"),
    ):
        result = run("breast", "metastatic", sample(n=5, **{**SURE, **changes}), n_draws=100)
        assert result["strata"][1]["weight"] == pytest.approx(p_at_least(5)["5"])
        assert result["group_by"] == "mixed"
        assert said in result["why_mixed"]


def test_without_a_reference_equivalent_there_is_no_count():
    assert count_of(5, reference_equivalent=None, p_at_least=UNKNOWN) is None


def test_uncertain_cells_mix_by_how_many_may_be_cells():
    """Four sure and three open: 4, 5, 6 or 7, each as probable; five sure: at least 5 whatever the others are."""
    assert count_of(4, n_uncertain=3).at_least(5) == pytest.approx(3 / 4)
    assert count_of(4, n_uncertain=3).at_least(6) == pytest.approx(2 / 4)
    assert count_of(5, n_uncertain=3).at_least(5) == pytest.approx(1.0, abs=1e-12)
    assert count_of(4, n_uncertain=3).why_mixed == "3 cells are called uncertain"


def test_uncertain_cells_with_a_probability_mix_by_it():
    """Four calls and two open cells of p = 0.3: at least one of them is a CTC with probability 1 - 0.7 * 0.7."""
    candidates = [{"p_ctc": 0.97, "n": 4}, {"p_ctc": 0.3, "n": 2}]
    found = count_of(4, n_uncertain=2, candidates=candidates)
    assert found.at_least(5) == pytest.approx(1 - 0.7**2, abs=1e-12)
    assert found.at_least(6) == pytest.approx(0.3**2, abs=1e-12)
    assert count_of(4, candidates=[{"p_ctc": 0.97, "n": 4}]).how == "observed"


def test_of_more_blood_a_tube_is_a_part():
    """Ten cells in 15 mL: each is in the first 7.5 mL with probability a half."""
    found = count_of(10, blood_volume_ml=15.0)
    assert found.at_least(5) == pytest.approx(stats.binom.sf(4, 10, 0.5), abs=1e-12)
    assert found.how == "mixed"
    assert found.at_least(11) == 0


def test_of_less_blood_the_rest_of_the_tube_may_hold_more():
    """Four cells in 6 mL; checked by drawing the rate from its posterior and the rest from the rate."""
    found = count_of(4, blood_volume_ml=6.0)
    rng = np.random.default_rng(3)
    rate = rng.gamma(4.5, 1 / 0.8, 400_000)
    simulated = float((rng.poisson(0.2 * rate) >= 1).mean())
    assert found.at_least(5) == pytest.approx(simulated, abs=0.004)
    assert found.at_least(4) == pytest.approx(1.0, abs=1e-9)


@pytest.mark.property
@pytest.mark.parametrize("volume", [3.0, 6.0, 7.4, 7.5, 7.6, 15.0])
def test_probabilities_are_a_distribution_and_grow_with_the_count(volume):
    by_count = [[count_of(n, blood_volume_ml=volume).at_least(k) for k in range(30)] for n in range(12)]
    table = np.array(by_count)
    assert (table[:, 0] == 1).all()
    assert (np.diff(table, axis=1) <= 1e-12).all()
    assert (np.diff(table, axis=0) >= -1e-12).all()


@pytest.mark.property
def test_the_volume_enters_without_a_step():
    """A thousandth of the blood more or less moves the weight by about a thousandth of the cells."""
    for n in (0, 4, 5, 20):
        exact = count_of(n).at_least(5)
        for volume in (7.4925, 7.5075):
            assert count_of(n, blood_volume_ml=volume).at_least(5) == pytest.approx(exact, abs=0.01 + 0.001 * n)


@pytest.mark.oracle
def test_weights_are_the_shares_of_patients_by_their_true_group():
    """Patients of a wide population: among those with the same count in 5 mL the weight is the share above the cut-off.

    40,000 patients, groups of more than 400: a standard deviation of at most 0.025; four of them, and Jeffreys' prior
    beside this population.
    """
    rng = np.random.default_rng(11)
    rate = np.exp(rng.uniform(np.log(0.05), np.log(200), 200_000))
    seen = rng.poisson(rate * 5 / 7.5)
    whole = seen + rng.poisson(rate * 2.5 / 7.5)
    for n in (1, 2, 3, 4, 6):
        there = seen == n
        share = float((whole[there] >= 5).mean())
        assert count_of(n, blood_volume_ml=5.0).at_least(5) == pytest.approx(share, abs=0.1), n


def test_the_continuous_model_follows_the_observed_count(run):
    few, many = (run("prostate", "mcrpc", sample(n=n, **SURE), n_draws=100)["sensitivity"][0] for n in (5, 5000))
    assert few["curve"][-1]["p"] > many["curve"][-1]["p"] > 0
