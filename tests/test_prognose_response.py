"""End points that rest on two counts: CTC0 and conversion, with a missing sample as no response."""

import csv
import io

import pytest

from ctcascade.data.results import Cascade, Counts, Prognosis, Quality
from ctcascade.report.index_page import cohort_csv, patient_row, patient_rows, sample_row
from ctcascade.study.patient import Patient
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
    rows = patient_rows([about], counts, {"P1": road}, {"P1": result})
    quality = Quality.model_validate(report_cases.quality("S0"))
    text = cohort_csv([sample_row(c, quality, []) for c in counts], [patient_row(row) for row in rows])
    table = list(csv.DictReader(io.StringIO(text)))
    assert [row["ctc0"] for row in table] == ["responder", "responder"]
    assert [row["conversion"] for row in table] == ["responder", "responder"]
    assert table[0]["ctc0_missing"].lower() in ("false", "no")
