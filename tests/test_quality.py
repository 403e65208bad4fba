"""Quality: each check against values worked out by hand, its limits, and what pages say of a sample that fails."""

import csv
import io
import json

import numpy as np
import pytest
import yaml

from ctcascade.counting.quality import quality
from ctcascade.data import store
from ctcascade.data.results import Counts, Provenance, Quality
from ctcascade.report import standing
from ctcascade.report.index_page import sample_row
from ctcascade.study import jobs
from ctcascade.study.jobs import QualityJob
from tests.support import report_cases as cases
from tests.support.json_results import read_result
from tests.support.sheets import ROOT, SAMPLE, only_fault, read

pytestmark = pytest.mark.unit

LIMITS = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())["quality"]
ABOUT = {"sample": "S1", "lot": "L7", "tube": "CellSave", "hours_to_processing": 30}


@pytest.fixture
def run(tmp_path):
    def run(frames, cells, calls, about=ABOUT, **limits):
        for kind, table in (("frames", frames), ("cells", cells), ("calls", calls)):
            store.write_table(tmp_path / kind, kind, table, Provenance(**cases.PROVENANCE))
        out = tmp_path / "quality.json"
        job = QualityJob.model_validate_json(json.dumps({"sample": about, **LIMITS, **limits}))
        quality(job, *(tmp_path / kind for kind in ("frames", "cells", "calls")), out)
        found = read_result(out, "quality")
        return found, {check["check"]: check for check in found["checks"]}

    return run


@pytest.fixture
def slide():
    frames = cases.frames()
    return frames, *cases.cells_and_calls(frames)


@pytest.mark.oracle
def test_each_check_has_the_value_calculated_by_hand(run, slide):
    _, cells, calls = slide
    found, checks = run(*slide)
    assert checks["lost_area_share"]["value"] == pytest.approx(0.25)  # one frame of four
    assert checks["weak_focus_share"]["value"] == pytest.approx(1 / 3)  # one of the remaining three
    assert checks["saturated_share"]["value"] == checks["uneven_share"]["value"] == 0
    background = np.linspace(101, 120, 4)[:3]
    assert checks["background_cv"]["value"] == pytest.approx(background.std() / background.mean(), rel=1e-5)
    area_mm2 = 3 * 256 * 256 * cases.PIXEL_UM**2 / 1e6
    assert checks["nuclei_per_mm2"]["value"] == pytest.approx(len(cells) / area_mm2, rel=1e-4)
    leukocytes = cells[calls["call"] == "leukocyte"]
    signal = (leukocytes["cd45_mean"] - leukocytes["cd45_ring_mean"]).median()
    assert checks["staining_index"]["value"] == pytest.approx(signal / 8, rel=1e-4)  # noise 4
    assert checks["hours_to_processing"]["value"] == 30
    assert checks["registration_um"]["value"] == pytest.approx(0.2 + 0.2 / 3)  # the median of three
    assert {c["check"] for c in found["checks"] if c["state"] != "ok"} == {"lost_area_share", "weak_focus_share"}
    assert (found["status"], found["lot"], found["tube"]) == ("warn", "L7", "CellSave")
    assert {c["state"] for c in run(*slide, lost_area_share=[0.1, 0.2])[0]["checks"]} >= {"fail"}


@pytest.mark.property
@pytest.mark.parametrize(
    ("check", "limits", "state"),
    [
        ("hours_to_processing", [30, None], "ok"),
        ("hours_to_processing", [29, None], "warn"),
        ("hours_to_processing", [20, 29], "fail"),
        ("staining_index", [1e9, None], "warn"),
        ("staining_index", [1e9, 1e9], "fail"),
        ("staining_index", [None, None], "ok"),
    ],
)
def test_a_limit_applies_to_its_own_side(run, slide, check, limits, state):
    assert run(*slide, **{check: limits})[1][check]["state"] == state


@pytest.mark.property
@pytest.mark.parametrize(
    ("column", "value", "check", "state"),
    [
        ("focus", 1.49, "focus", "warn"),
        ("saturation", 0.011, "saturation", "warn"),
        ("saturation", 0.21, "saturation", "fail"),
        ("unevenness", 0.51, "unevenness", "warn"),
        ("unevenness", np.nan, "unevenness", "ok"),
        ("background", 300.0, "background_ratio", "warn"),
        ("background", 10.0, "background_ratio", "fail"),
        ("registration_um", 1.2, "registration_um", "warn"),
        ("registration_um", 3.2, "registration_um", "fail"),
    ],
)
def test_each_frame_has_its_own_lights(run, slide, column, value, check, state):
    frames, cells, calls = slide
    frames.loc[0, column] = value
    found, _ = run(frames, cells, calls)
    lights = {light["frame"]: light for light in found["frames"]}
    beyond = {} if state == "ok" else {state: [check]}
    assert lights["f000"] == {"frame": "f000", "state": state, "warn": [], "fail": [], **beyond}
    assert lights["f001"] == {"frame": "f001", "state": "warn", "warn": ["focus"], "fail": []}
    assert lights["f003"] == {"frame": "f003", "state": "fail", "warn": [], "fail": ["usable"]}
    n_ok = 2 if state == "ok" else 1
    assert found["frame_states"] == {"ok": n_ok, "warn": 1 + (state == "warn"), "fail": 1 + (state == "fail")}


def test_lost_and_flagged_frames_are_counted_by_reason_and_flag(run, slide):
    """A frame with two flags counts under each; a frame that is not usable counts under its reason."""
    frames, cells, calls = slide
    usable = [True, True, False, False]
    reasons, flags = ["", "", "broken file", "broken file"], ["weak_focus,saturated", "weak_focus", "", ""]
    found, _ = run(frames.assign(usable=usable, reason=reasons, flags=flags), cells, calls)
    assert found["lost_frames"] == {"broken file": 2}
    assert found["flagged_frames"] == {"saturated": 1, "weak_focus": 2}


@pytest.mark.parametrize(
    ("check", "limits"),
    [("background_cv", [0.5, 0.1]), ("staining_index", [2, 5]), ("nuclei_per_mm2", [1, 2])],
)
def test_limits_in_the_wrong_order_are_refused(folder, check, limits):
    fault = only_fault([SAMPLE], quality={check: limits})
    assert f"quality.{check}: found {limits}; expected the limit that warns" in fault


def test_limits_of_a_frame_in_the_wrong_order_are_refused(folder):
    assert "quality.frame.focus: found [1, 2]" in only_fault([SAMPLE], quality={"frame": {"focus": [1, 2]}})
    assert "quality.frame.saturation: found [1, 0.5]" in only_fault(
        [SAMPLE], quality={"frame": {"saturation": [1, 0.5]}}
    )


@pytest.mark.property
def test_nothing_to_measure_is_null_and_a_lost_sample_fails(run, slide):
    frames, cells, calls = slide
    lost = frames.assign(usable=False, area_um2=0.0, reason="cut off", background=np.nan)
    found, checks = run(lost, cells[:0], calls[:0], {**ABOUT, "hours_to_processing": None})
    assert found["status"] == checks["lost_area_share"]["state"] == "fail"
    assert [c["check"] for c in found["checks"] if c["value"] is not None] == ["lost_area_share"]


def test_the_sheet_says_role_lot_tube_and_hours(folder):
    given = {"role": "control_high", "lot": "A 12", "tube": "CellSave", "hours_to_processing": "36.5"}
    study = read([{**SAMPLE, **given}])
    found = jobs.quality_job(study, "S1").as_json()
    stated = {name: value for name, value in found["sample"].items() if value is not None}
    assert stated == {"sample": "S1", "lot": "A 12", "tube": "CellSave", "hours_to_processing": 36.5}
    assert found["lost_area_share"] == LIMITS["lost_area_share"]


STATED = {
    "tube_fill_ml": "9.5",
    "storage_temperature_c": "-4",
    "draw_order": "2",
    "haemolysis": "slight",
    "days_since_anthracycline": "21",
}


def test_what_the_sheet_states_of_the_blood_stands_in_quality_and_changes_no_verdict(folder, slide, run):
    study = read([{**SAMPLE, **STATED}])
    about = jobs.quality_job(study, "S1").as_json()["sample"]
    found, _ = run(*slide, about)
    assert {stated["name"]: stated["value"] for stated in found["preanalytics"]} == STATED
    assert [stated["unit"] for stated in found["preanalytics"]] == ["mL", "°C", "", "", "days"]
    without, _ = run(*slide, {"sample": "S1"})
    assert without["preanalytics"] == []
    assert without["status"] == found["status"]


def test_it_stands_on_the_page_and_in_the_table_of_the_cohort(tmp_path, monkeypatch):
    stated = ({"name": "haemolysis", "value": "gross", "unit": "", "meaning": "as graded"},)
    good = cases.quality
    monkeypatch.setattr(cases, "quality", lambda sample: {**good(sample), "preanalytics": stated})
    text = cases.sample_page(tmp_path).read_text(encoding="utf-8")
    assert ">haemolysis</th><td>gross" in text
    row = sample_row(
        Counts.model_validate(cases.counts()), Quality.model_validate({**good("S1"), "preanalytics": stated}), []
    )
    assert (row["haemolysis"], row["draw_order"]) == ("gross", None)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("role", "control"),
        ("hours_to_processing", "97"),
        ("hours_to_processing", "-1"),
        ("tube_fill_ml", "0"),
        ("tube_fill_ml", "7"),  # less than the 7.5 mL that the sample stands for
        ("storage_temperature_c", "68"),
        ("draw_order", "0"),
        ("draw_order", "1.5"),
        ("haemolysis", "some"),
        ("days_since_anthracycline", "-3"),
        ("days_since_anthracycline", "never"),
    ],
)
def test_impossible_sample_values_are_refused(folder, column, value):
    assert f"{column}: found {value}" in only_fault([{**SAMPLE, column: value}])


def test_a_failed_sample_keeps_its_count_on_its_page(tmp_path, monkeypatch):
    good = cases.quality
    monkeypatch.setattr(cases, "quality", lambda sample: good(sample, "L1", lost_area_share=(0.75, "fail")))
    page = cases.Page(cases.sample_page(tmp_path))
    assert "This sample fails its quality checks: area that was lost: 75 %" in " ".join(page.text.split())
    assert any(e["data-key"] == "ctc_per_7_5_ml.estimate" for e in page.numbers())


def test_a_failed_sample_is_shown_as_failed_with_its_count_on_the_patients_page(tmp_path, monkeypatch):
    good = cases.quality
    bad = {"S2": {"background_cv": (0.9, "fail")}}
    monkeypatch.setattr(cases, "quality", lambda sample: good(sample, **bad.get(sample, {})))
    page = cases.Page(cases.patient_page(tmp_path))
    assert (
        "Sample S2 fails its quality checks: background from frame to frame: 0.9. Its count is not reliable"
        in " ".join(page.text.split())
    )
    assert "Sample S1 fails" not in page.text
    assert any(e["data-key"] == "ctc_per_7_5_ml.estimate" for e in page.numbers())


def test_the_frames_of_a_page_have_their_lights(tmp_path, monkeypatch):
    good = cases.quality("S1")
    lights = [{"frame": "f000", "state": "fail", "warn": ["focus"], "fail": ["registration_um"]}]
    monkeypatch.setattr(cases, "quality", lambda sample: {**good, "frames": lights})
    page = cases.Page(cases.sample_page(tmp_path))
    rows = {e["text"].strip()[:4]: e["text"] for e in page.tagged("tr")}
    assert "■ failsbeyond the limit: registration (µm), focus30" in rows["f000"]
    assert "● goodweak focus30" in rows["f001"]
    assert "■ unusablethe file ends early0" in rows["f003"]


@pytest.mark.parametrize(
    ("diameter_um", "state"), [(4.8, "fail"), (5.1, "ok"), (7.0, "ok"), (9.3, "ok"), (9.6, "fail")]
)
def test_nuclei_of_leukocytes_outside_the_published_range_fail_the_sample(run, slide, diameter_um, state):
    """A pixel size that is wrong by 1.4 or by 2 moves the nuclei out of the range."""
    frames, cells, calls = slide
    cells = cells.assign(nucleus_area_um2=np.float32(np.pi * diameter_um**2 / 4))
    found, checks = run(frames, cells, calls)
    check = checks["leukocyte_nucleus_ratio"]
    assert check["state"] == state
    assert check["value"] == pytest.approx(max(4.95 / diameter_um, diameter_um / 9.4), rel=1e-5)
    assert (found["status"] == "fail") == (state == "fail")


def cohort_rows(folder):
    return list(csv.DictReader(io.StringIO((folder / "cohort.csv").read_text(encoding="utf-8"))))


TOO_LITTLE = {"evidence": "too_little_blood", "reason": "too little blood was looked at"}
RISKS = [
    ({}, {}, ""),
    ({"lost_area_share": (0.75, "fail")}, {}, "sample S1, on which the risks would rest, fails its quality checks"),
    ({}, TOO_LITTLE, "too little blood was looked at"),
]


@pytest.mark.parametrize(("checks", "road", "why"), RISKS, ids=["shown", "checks fail", "too little blood"])
def test_risks_are_shown_or_withheld_alike_on_page_index_and_table(tmp_path, monkeypatch, checks, road, why):
    good = cases.quality
    monkeypatch.setattr(cases, "quality", lambda sample: good(sample, **checks))
    draws, roads = [cases.counts("S1")], cases.cascade(samples=["S1"], **road)
    page = cases.Page(cases.patient_page(tmp_path, draws, roads))
    index = cases.Page(cases.cohort_page(tmp_path, draws, [roads], [cases.prognosis()]))
    (row,) = cohort_rows(tmp_path)
    assert row["p_any_2_years_why_none"] == why
    assert (row["p_any_2_years_mean"] == "") == bool(why)
    assert ("No risk is given: " + why in " ".join(page.text.split())) == bool(why)
    assert any(e["data-key"].startswith("p_any.") for e in page.numbers()) != bool(why)
    assert any(e["data-key"].startswith("p_any.") for e in index.numbers()) != bool(why)
    assert ("no risk is given" in index.text) == bool(why)


def test_a_spread_that_the_sheet_states_is_no_risk_of_the_model(tmp_path):
    roads = cases.cascade(samples=["S1"], known_metastatic=True)
    index = cases.Page(cases.cohort_page(tmp_path, [cases.counts("S1")], [roads], [cases.prognosis()]))
    assert "metastatic, by the sheet" in index.text
    assert not any(e["data-key"].startswith("p_any.") for e in index.numbers())
    (row,) = cohort_rows(tmp_path)
    assert row["p_any_2_years_mean"] == ""
    assert row["p_any_2_years_why_none"] == "known to be metastatic, by the patient sheet"


WHY_NO_GROUP = [
    ({}, {}, "no evidence"),
    ({}, {"lost_area_share": (0.75, "fail")}, "checks fail"),
    ({"evidence": "too_little_blood"}, {}, "too little blood"),
    ({"reference_equivalent": None}, {}, "assay not compared"),
]


@pytest.mark.parametrize(("count", "checks", "why"), WHY_NO_GROUP)
def test_the_index_says_why_no_published_group_is_named(tmp_path, monkeypatch, count, checks, why):
    good = cases.quality
    monkeypatch.setattr(cases, "quality", lambda sample: good(sample, **checks))
    draws = [cases.counts("S1", **count)]
    index = cases.cohort_page(tmp_path, draws, [cases.cascade(samples=["S1"])], [cases.refused("no_evidence")])
    assert f"none: {why}" in cases.Page(index).text


def test_a_count_whose_checks_fail_is_neither_good_nor_bad_beside_the_blank():
    counts = Counts.model_validate(cases.counts("S1"))
    assert standing.blank(counts, False).kind == "ok"
    assert standing.blank(counts, False, ["focus 0.1"]) == ("plain", "above blank")


def test_a_donor_above_blank_is_said_on_the_first_screen(tmp_path):
    draws, roads = [cases.counts("S1")], cases.cascade_not_applicable(samples=["S1"])
    page = cases.Page(cases.patient_page(tmp_path, draws, roads, cases.refused("not_applicable"), primary="none"))
    text = " ".join(page.text.split())
    assert "Above blank, which is not expected of a donor" in text
    assert "Look at next: the CTCs, of which a donor should have none above blank" in text
