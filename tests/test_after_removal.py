"""Cells found after a removal: they come from lesions, or dwindle; when the first lesion comes into sight."""

import dataclasses

import numpy as np
import pytest

from ctcascade.blood.course import Tube
from ctcascade.blood.factors import Factor
from ctcascade.blood.seen import Seen
from ctcascade.cascade import conditioning, engine
from ctcascade.cascade.findings import Imaged
from ctcascade.cascade.parameters import Draws
from ctcascade.study.patient import read_therapies
from tests.support.cascades import EXACT, counts_file, means, run

pytestmark = pytest.mark.property

FEW_FALSE = dataclasses.replace(EXACT, background_per_7_5_ml=Factor(0.02, 0.005, 0.06))
CANCERS = ("breast", "colon")


def tube(count, age_years=0.0, exposure=1.0):
    return conditioning.Sample(age_years, Tube(Seen(count), exposure, FEW_FALSE))


def patient(*samples, removed=5.0, primary="breast", draws=150, **about):
    """Return the cascade of a patient whose tumour was removed so many years before the latest sample."""
    return conditioning.build(
        primary, samples, Draws(1, draws), sex="female", early=True, resected_years=-removed, **about
    )


def risks(model):
    """Return all mean risks, by organ and anywhere, at one, two and five years."""
    organs, anywhere = model.risk([1.0, 2.0, 5.0])
    return np.concatenate([organs.mean(axis=1).ravel(), anywhere.mean(axis=1)])


@pytest.mark.oracle
def test_weighted_times_of_the_first_lesion_are_those_of_simulated_lesions():
    model = patient(tube(1), draws=3)
    rng, n = np.random.default_rng(0), 400_000
    edges = model.at_edges
    weights = model.bled.weights / model.bled.weights.max(axis=1, keepdims=True)
    organs, anywhere = model.risk([1.0, 4.0])
    later = model.lesions([1.0, 4.0])
    for draw in range(3):
        k = model.frailty_shape[draw]
        marks = rng.exponential(size=(n, edges.shape[2])) / rng.gamma(k, 1 / k, n)[:, None]
        # the part of time in which the first of all organs comes into sight
        part = (marks[:, None, :] <= edges[None, :, draw]).any(axis=2).argmax(axis=1)
        never = ~(marks[:, None, :] <= edges[None, :, draw]).any(axis=(1, 2))
        part = np.where(never, weights.shape[1] - 1, part)
        weight = np.where(part == 0, 0.0, weights[draw, part])
        for i in range(2):
            seen = marks <= later[i, draw]
            by_organ = weight @ seen / weight.sum()
            assert organs[i, draw] == pytest.approx(by_organ, abs=0.01)
            assert anywhere[i, draw] == pytest.approx(weight @ seen.any(axis=1) / weight.sum(), abs=0.01)


@pytest.mark.oracle
def test_without_scans_imaging_changes_nothing():
    model = patient(tube(2), draws=50)
    imaged = Imaged.condition(model, [], np.ones(50))
    for found, expected in zip(imaged.risk([1.0, 5.0]), model.risk([1.0, 5.0]), strict=True):
        assert found == pytest.approx(expected, abs=1e-9)


def test_weights_that_are_all_alike_change_nothing():
    model = patient(tube(1), draws=50)
    flat = dataclasses.replace(model, bled=engine.Bled(model.bled.edges_years, np.ones_like(model.bled.weights)))
    without = dataclasses.replace(model, bled=None)
    assert flat.risk([1.0, 5.0])[0] == pytest.approx(without.risk([1.0, 5.0])[0], abs=1e-9)


@pytest.mark.parametrize("primary", CANCERS)
@pytest.mark.parametrize("removed", [0.05, 8.0])
def test_one_cell_more_lowers_no_organ(primary, removed):
    of_counts = [risks(patient(tube(n), removed=removed, primary=primary)) for n in (0, 1, 2, 4, 7, 20, 400)]
    assert (np.diff(of_counts, axis=0) > -1e-4).all()
    assert (of_counts[1] > of_counts[0]).all()


@pytest.mark.parametrize("at", range(4))
def test_one_cell_more_in_any_of_several_tubes_lowers_no_organ(at):
    """Of tubes before the removal and on several days after it."""
    found = []
    for n in (0, 1, 2, 6):
        counts = [1, 0, 3, 5]
        counts[at] = n
        ages = (0.0, 0.4, 2.0, 5.5)
        found.append(risks(patient(*(tube(count, age) for count, age in zip(counts, ages, strict=True)))))
    assert (np.diff(found, axis=0) > -1e-3).all()


def test_neither_order_nor_a_tube_split_in_two_changes_anything():
    both = risks(patient(tube(1), tube(4, 2.0)))
    assert risks(patient(tube(4, 2.0), tube(1))) == pytest.approx(both, abs=1e-12)
    assert risks(patient(tube(1), tube(1, 2.0, 0.5), tube(3, 2.0, 0.5))) == pytest.approx(both, abs=1e-12)


def test_almost_no_blood_says_nothing():
    none = risks(patient(tube(0, exposure=1e-7)))
    assert risks(patient(tube(0))) == pytest.approx(none, rel=0.35)
    assert (risks(patient(tube(0))) <= none + 1e-9).all()
    off = risks(patient(tube(0), switched_off=["late_cells"]))
    assert off == pytest.approx(none, rel=0.02)


def test_the_longer_after_the_removal_the_more_of_what_a_cell_says_is_of_lesions():
    def due_to_lesions(removed):
        """Return by how much cells raise the next two years, beside what they say of the level before it."""
        with_cells, without = (patient(tube(n), removed=removed) for n in (5, 0))
        levels_only = dataclasses.replace(with_cells, bled=without.bled)
        high, low = (model.risk([2.0])[1].mean() for model in (with_cells, levels_only))
        return high / low

    day, years = due_to_lesions(0.01), due_to_lesions(5.0)
    assert day > 1.0
    assert years > 2 * day


@pytest.mark.regression
def test_a_cell_five_years_after_the_removal_is_no_rest_of_it():
    """It was read as a small share of what was shed before, and raised the risk of the next years by little."""
    none, one, five = (patient(tube(n)).risk([2.6])[1].mean() for n in (0, 1, 5))
    assert one > 2 * none
    assert five > 6 * none
    # a clean scan of the day says that the lesion is not there yet
    assert patient(tube(1)).risk([0.0])[1].mean() > 0.01


def test_a_lesion_may_be_in_sight_unknown_after_a_removal_but_not_before_it():
    assert patient(tube(0)).risk([0.0])[1].mean() > 0.005
    assert patient(tube(0), removed=0.0).risk([0.0])[1].max() == 0
    growing = [patient(tube(0), removed=years).risk([0.0])[1].mean() for years in (0.1, 0.5, 2.0)]
    assert (np.diff(growing) > 0).all()


def test_a_clean_scan_after_the_removal_lowers_what_a_cell_says(tmp_path):
    path = counts_file(tmp_path, n_ctc=3)
    seen = means(run(tmp_path, [path], resected="2022-02-01"))
    scans = ";".join(f"2026-02-01:{m}:{o}=0" for m, o in (("CT", "lung"), ("CT", "liver"), ("MRI", "bone")))
    clean = means(run(tmp_path, [path], resected="2022-02-01", imaging=scans))
    assert clean[0] < seen[0]
    assert clean[2] < seen[2]


def test_the_result_says_where_late_cells_come_from(tmp_path):
    found = run(tmp_path, [counts_file(tmp_path, n_ctc=3)], resected="2022-02-01")
    assert any("drawn after the removal" in s for s in found["statements"])
    assert any("No imaging is known" in s for s in found["statements"])
    assert {"parameters/shedding_power", "parameters/burden_metastatic", "parameters/unnoticed_years"} <= set(
        found["assumptions"]
    )
    assert "parameters/rest_decay" in found["evidence_ids"]
    before = run(tmp_path, [counts_file(tmp_path, n_ctc=3)], resected="2026-02-01")
    assert not any("after the removal" in s for s in before["statements"])


def test_a_therapy_that_ends_is_reported_with_the_risk_if_it_went_on(tmp_path):
    """A tenth of the growth, to a day after the sample: its end makes the risk, and the result says so in figures."""
    path = counts_file(tmp_path, n_ctc=5)
    given = {"therapies": read_therapies("targeted:2026-01-01:2026-08-01:growth=0.1")}
    ends = run(tmp_path, [path], **given)
    goes_on = run(tmp_path, [path], therapies=read_therapies("targeted:2026-01-01::growth=0.1"))
    found = ends["if_therapy_goes_on"]
    assert [(one["therapy"], one["ends"]) for one in found] == [("targeted", "2026-08-01")]
    assert [found[0]["p_any"][year]["mean"] for year in "125"] == pytest.approx(means(goes_on))
    assert means(ends)[2] > 2 * means(goes_on)[2]
    assert any(f"{means(goes_on)[2]:.2f}" in s and "It is this end" in s for s in ends["statements"])
    assert goes_on["if_therapy_goes_on"] == []
