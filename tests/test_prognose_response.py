"""End points that rest on two counts: CTC0 and conversion, with a missing sample as no response."""

import csv
import io
import shutil
import types

import numpy as np
import pytest

from ctcascade import evidence
from ctcascade.data.errors import InputError
from ctcascade.data.results import Cascade, Counts, Prognosis, Quality, Response
from ctcascade.prognosis import change
from ctcascade.report.index_page import cohort_csv, patient_row, patient_rows, sample_row
from ctcascade.study.patient import Patient
from ctcascade.validation import end_points
from tests.support import prognoses, report_cases
from tests.support.prognoses import sample

pytestmark = pytest.mark.unit
START = {"therapy_start": "2026-01-19"}
WITHIN, EARLIER, LATER = "2026-04-10", "2026-03-20", "2026-05-10"  # weeks 11.6, 8.6 and 15.9
SURE = {"reference_equivalent": report_cases.factor(1.0, 1.0, 1.0, "measured"), "n_uncertain": 0}


@pytest.fixture
def run(tmp_path):
    """The stage as a function of samples."""
    return prognoses.runner(tmp_path)


def found(run, before, *later, failing=(), **more):
    samples = [sample("S0", before, "2026-01-18", **SURE)] if before is not None else []
    samples += [sample(f"S{i}", n, day, **SURE) for i, (n, day) in enumerate(later, 1)]
    result = run("prostate", "mcrpc", *samples, sex="male", failing=failing, n_draws=100, **{**START, **more})
    return {r["name"]: r for r in result["responses"]}


@pytest.mark.parametrize(
    ("before", "later", "ctc0", "conversion"),
    [
        (1, 0, "responder", "not_applicable"),
        (4, 0, "responder", "not_applicable"),
        (5, 0, "responder", "responder"),
        (5, 4, "non_responder", "responder"),
        (5, 5, "non_responder", "non_responder"),
        (40, 1, "non_responder", "responder"),
        (0, 0, "not_applicable", "not_applicable"),
        (0, 9, "not_applicable", "not_applicable"),
    ],
)
def test_the_definitions(run, before, later, ctc0, conversion):
    by_name = found(run, before, (later, WITHIN))
    assert (by_name["ctc0"]["status"], by_name["conversion"]["status"]) == (ctc0, conversion)
    assert not by_name["ctc0"]["missing"]
    p, of_sample, n_ctc = (by_name["ctc0"][key] for key in ("p", "sample", "n_ctc"))
    assert ((p, of_sample, n_ctc) == (1.0, "S1", 0)) == (ctc0 == "responder")


@pytest.mark.parametrize("later", [[], [(0, EARLIER)]])
def test_before_week_13_has_passed_there_is_no_verdict(run, later):
    by_name = found(run, 20, *later)
    for name in ("ctc0", "conversion"):
        assert (by_name[name]["status"], by_name[name]["missing"], by_name[name]["p"]) == ("not_evaluable", True, None)
        assert "weeks 10 to 13 have not come" in by_name[name]["reason"]


@pytest.mark.parametrize("later", [[(0, LATER)], [(0, EARLIER), (0, LATER)]])
def test_a_missing_sample_is_no_response(run, later):
    """A later sample shows that weeks 10 to 13 have passed without one, whatever was seen before or after."""
    by_name = found(run, 20, *later)
    for name in ("ctc0", "conversion"):
        assert (by_name[name]["status"], by_name[name]["missing"], by_name[name]["p"]) == ("non_responder", True, 0.0)
        assert "weeks 10 to 13" in by_name[name]["reason"]


def test_a_sample_whose_checks_fail_is_missing(run):
    assert found(run, 20, (0, WITHIN), failing=["S1"])["ctc0"]["missing"]
    assert found(run, 20, (0, WITHIN), failing=["S0"])["ctc0"]["status"] == "not_evaluable"


def test_without_a_start_or_a_sample_before_it_nothing_is_judged(run):
    assert found(run, 20, (0, WITHIN), therapy_start=None)["ctc0"]["reason"] == "no start of therapy is given"
    assert found(run, None, (0, WITHIN))["ctc0"]["reason"] == "no usable sample before therapy"
    assert run("none", "none", sample())["responses"] == []


def test_of_several_samples_in_the_window_the_last_counts(run):
    assert found(run, 20, (0, "2026-04-01"), (3, WITHIN))["ctc0"]["status"] == "non_responder"


def test_of_several_samples_in_the_window_any_rise_counts(run):
    rise = found(run, 1, (4, "2026-03-16"), (0, "2026-04-13"))["rise_from_low"]  # weeks 8 and 12
    assert (rise["status"], rise["sample"]) == ("progression", "S1")


@pytest.mark.parametrize(
    ("day", "status"),
    [("2025-11-24", "responder"), ("2025-11-23", "not_evaluable"), ("2023-08-01", "not_evaluable")],
)
def test_a_count_long_before_therapy_is_none_before_therapy(run, day, status):
    """Eight weeks before the start are 2025-11-24."""
    samples = sample("S0", 20, day, **SURE), sample("S1", 0, WITHIN, **SURE)
    responses = run("prostate", "mcrpc", *samples, sex="male", n_draws=100, **START)["responses"]
    ctc0 = next(r for r in responses if r["name"] == "ctc0")
    assert ctc0["status"] == status
    assert status == "responder" or "weeks older than its start, more than 8" in ctc0["reason"]


@pytest.mark.parametrize(
    ("day", "status"),
    [
        ("2026-03-29", "not_evaluable"),  # day 69
        ("2026-03-30", "responder"),  # day 70, week 10
        ("2026-04-20", "responder"),  # day 91, week 13
        ("2026-04-21", "non_responder"),  # day 92: missing, and the reason says how near it was
    ],
)
def test_the_edges_of_the_window(run, day, status):
    ctc0 = found(run, 20, (0, day))["ctc0"]
    assert ctc0["status"] == status
    assert ("the nearest: week 13.1" in ctc0["reason"]) == (status == "non_responder")


def test_doubt_about_the_count_is_a_probability(run):
    """None in 6 mL: the rest of the tube may hold a cell, P = 1 - 0.8^0.5."""
    samples = sample("S0", 20, "2026-01-18", **SURE), sample("S1", 0, WITHIN, **{**SURE, "blood_volume_ml": 6.0})
    responses = run("prostate", "mcrpc", *samples, sex="male", n_draws=100, **START)["responses"]
    ctc0 = next(r for r in responses if r["name"] == "ctc0")
    assert ctc0["p"] == pytest.approx(0.8**0.5, abs=1e-6)
    assert ctc0["status"] == "responder"


def test_the_cohort_table_holds_them_beside_each_sample(run):
    samples = [sample("S0", 20, "2026-01-18", **SURE), sample("S1", 0, WITHIN, **SURE)]
    result = Prognosis.model_validate(run("prostate", "mcrpc", *samples, sex="male", n_draws=100, **START))
    road = Cascade.model_validate(report_cases.cascade_not_applicable("P1", ["S0", "S1"]))
    counts = [Counts.model_validate(s) for s in samples]
    about = Patient(patient="P1", primary="prostate", setting="mcrpc", sex="male")
    rows = patient_rows([about], counts, {"P1": road}, {"P1": result}, {c.sample: [] for c in counts})
    quality = Quality.model_validate(report_cases.quality("S0"))
    text = cohort_csv([sample_row(c, quality, []) for c in counts], [patient_row(row) for row in rows])
    table = list(csv.DictReader(io.StringIO(text)))
    assert [row["ctc0"] for row in table] == ["responder", "responder"]
    assert [row["conversion"] for row in table] == ["responder", "responder"]
    assert table[0]["ctc0_missing"].lower() in ("false", "no")


@pytest.mark.parametrize(
    ("before", "later", "day", "name", "status"),
    [
        (10, 7, "2026-02-16", "fall_30_week_4", "responder"),  # exactly 30 %, week 4
        (10, 8, "2026-02-16", "fall_30_week_4", "non_responder"),
        (4, 0, "2026-02-16", "fall_30_week_4", "not_applicable"),
        (10, 0, WITHIN, "fall_30_week_4", "not_evaluable"),  # the publication judged only patients with a sample
        (10, 5, WITHIN, "fall_50_week_13", "responder"),
        (10, 4, WITHIN, "fall_70_week_13", "non_responder"),
        (2, 1, WITHIN, "fall_50_week_13", "responder"),
        (2, 3, "2026-03-20", "rise_from_low", "progression"),
        (2, 2, "2026-03-20", "rise_from_low", "no_progression"),
        (0, 0, "2026-03-20", "rise_from_low", "no_progression"),
        (0, 1, "2026-03-20", "rise_from_low", "progression"),
        (5, 9, "2026-03-20", "rise_from_low", "not_applicable"),
    ],
)
def test_falls_and_rises_are_those_of_their_publications(run, before, later, day, name, status):
    assert found(run, before, (later, day))[name]["status"] == status


def test_a_missing_sample_is_what_the_publication_made_of_it(run):
    by_name = found(run, 20, (0, LATER))
    assert by_name["fall_30_week_13"]["status"] == "non_responder"  # Heller 2018
    assert by_name["fall_30_week_8"]["status"] == "not_evaluable"  # Lorente 2016
    assert "judged only patients with one" in by_name["fall_30_week_8"]["reason"]


@pytest.mark.oracle
def test_the_classes_have_the_probabilities_of_both_posteriors(run):
    """Another tube of each draw: at least 5 in the first with its p_at_least, none in the second, independently."""
    chances = dict.fromkeys(("1", "2", "3", "5", "15", "50"), 0.9)
    first = sample("S0", 6, "2026-01-18", **{**SURE, "p_at_least": {**chances, "5": 0.6, "15": 0.1, "50": 0.0}})
    then = sample("S1", 0, WITHIN, **{**SURE, "p_at_least": {**dict.fromkeys(chances, 0.1), "1": 0.3}})
    responses = run("prostate", "mcrpc", first, then, sex="male", n_draws=100, **START)["responses"]
    by_name = {r["name"]: r.get("p_by_class") for r in responses}
    assert by_name["ctc0"] == pytest.approx({"responder": 0.9 * 0.7, "non_responder": 0.9 * 0.3, "not_applicable": 0.1})
    conversion = {"responder": 0.6 * 0.9, "non_responder": 0.6 * 0.1, "not_applicable": 0.4}
    assert by_name["conversion"] == pytest.approx(conversion)


@pytest.mark.oracle
def test_the_chance_of_a_fall_is_that_of_two_poisson_rates():
    """Known volumes and recoveries: the ratio of two gamma posteriors, drawn; 20 cells, then 12, and 20, then 6."""
    exact = report_cases.factor(1.0, 1.0, 1.0, "measured")
    none = report_cases.factor(0.0, 0.0, 0.0, "measured")
    given = {"recovery": exact, "sensitivity": exact, "background_per_7_5_ml": none, "n_uncertain": 0}
    rng = np.random.default_rng(1)
    for later in (12, 6):
        one, other = (
            Counts.model_validate({**report_cases.counts("S", "P", n, **given), "tube_to_tube": exact})
            for n in (20, later)
        )
        draws = rng.gamma(later + 0.5, size=200_000) / rng.gamma(20.5, size=200_000)
        assert change.p_ratio_at_most(one, other, 0.7) == pytest.approx((draws <= 0.7).mean(), abs=0.02)


def rate_of(*responses):
    base = {"name": "ctc0", "definition": "d", "baseline_sample": "a", "n_ctc_baseline": 9, "sample": "b", "n_ctc": 0}
    base |= {"reason": "", "missing": False, "p": None}
    patient = {"primary": "prostate", "setting": "mcrpc"}
    made = [
        types.SimpleNamespace(**patient, responses=(Response.model_validate({**base, **one}),)) for one in responses
    ]
    return end_points.rates(made, 0.95)


@pytest.mark.oracle
def test_the_rate_over_patients_counts_missing_ones_and_says_what_the_counts_leave_open():
    by = {"responder": 0.8, "non_responder": 0.2, "not_applicable": 0.0}
    other = {"responder": 0.3, "non_responder": 0.3, "not_applicable": 0.4}
    (rate,) = rate_of(
        {"status": "responder", "p_by_class": by},
        {"status": "non_responder", "p_by_class": other},
        {"status": "non_responder", "missing": True},
        {"status": "not_applicable"},
        {"status": "not_evaluable"},
    )
    assert (rate.n_patients, rate.n_judged, rate.n_met, rate.n_missing) == (5, 3, 1, 1)
    assert (rate.n_not_applicable, rate.n_not_evaluable) == (1, 1)
    assert [rate.share.low, rate.share.high] == pytest.approx([0.0084, 0.9057], abs=1e-4)  # Clopper-Pearson, 1 of 3
    assert rate.share_by_counts.estimate == pytest.approx((0.8 + 0.5) / 3)
    assert rate_of({"status": "not_applicable"}) == ()


def test_the_numbers_that_meet_an_end_point_are_those_of_independent_trials():
    assert end_points.poisson_binomial([0.5, 0.5, 0.5]) == pytest.approx([0.125, 0.375, 0.375, 0.125])
    assert end_points.poisson_binomial([]) == pytest.approx([1.0])


def test_an_end_point_without_its_window_is_refused(tmp_path):
    for file in evidence.library.FOLDER.glob("*.tsv"):
        shutil.copy(file, tmp_path)
    path = tmp_path / "response.tsv"
    header, first, *rest = path.read_text(encoding="utf-8").splitlines()
    cells = first.split("\t")
    cells[header.split("\t").index("week_low")] = ""
    path.write_text("\n".join([header, "\t".join(cells), *rest]) + "\n", encoding="utf-8")
    with pytest.raises(InputError, match="ctc0: week_low: found nothing; expected a value; fill it"):
        evidence.rows("response", tmp_path)
