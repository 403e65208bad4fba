"""Quality: each check against values worked out by hand, limits, controls over time, the table for MultiQC."""

import csv
import io
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest
import yaml

import report_cases as cases
from ctcascade.counting.quality import quality
from ctcascade.data import store
from ctcascade.report import controls
from ctcascade.study import sheets
from test_sheets import ROOT, SAMPLE, folder, only_fault, read  # noqa: F401  (a fixture)

LIMITS = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())["quality"]
ABOUT = {"sample": "S1", "lot": "L7", "tube": "CellSave", "hours_to_processing": 30}


@pytest.fixture
def run(tmp_path):
    def run(frames, cells, calls, about=ABOUT, **limits):
        for kind, table in (("frames", frames), ("cells", cells), ("calls", calls)):
            store.write_table(tmp_path / kind, kind, table, cases.PROVENANCE)
        out = tmp_path / "quality.json"
        quality({"sample": about, **LIMITS, **limits}, *(tmp_path / kind for kind in ("frames", "cells", "calls")), out)
        found = store.read_json(out, "quality")
        return found, {check["check"]: check for check in found["checks"]}

    return run


@pytest.fixture
def slide():
    frames = cases.frames()
    return frames, *cases.cells_and_calls(frames)


@pytest.mark.oracle
def test_each_check_is_what_it_says(run, slide):
    _, cells, calls = slide
    found, checks = run(*slide)
    assert checks["lost_area_share"]["value"] == pytest.approx(0.25)  # one frame of four
    assert checks["weak_focus_share"]["value"] == pytest.approx(1 / 3)  # one of the three that are left
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
def test_a_limit_is_held_to_its_side(run, slide, check, limits, state):
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


@pytest.mark.parametrize(
    ("check", "limits"),
    [("background_cv", [0.5, 0.1]), ("staining_index", [2, 5]), ("nuclei_per_mm2", [1, 2])],
)
def test_limits_in_the_wrong_order_are_refused(folder, check, limits):  # noqa: F811
    fault = only_fault([SAMPLE], quality={check: limits})
    assert f"quality.{check}: found {limits}; expected the limit that warns" in fault


def test_limits_of_a_frame_in_the_wrong_order_are_refused(folder):  # noqa: F811
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


def test_the_sheet_says_role_lot_tube_and_hours(folder):  # noqa: F811
    given = {"role": "control_high", "lot": "A 12", "tube": "CellSave", "hours_to_processing": "36.5"}
    study = read([{**SAMPLE, **given}])
    found = sheets.settings_for(study, "quality", sample="S1")
    assert found["sample"] == {"sample": "S1", "lot": "A 12", "tube": "CellSave", "hours_to_processing": 36.5}
    assert found["lost_area_share"] == LIMITS["lost_area_share"]


@pytest.mark.parametrize(
    ("column", "value"), [("role", "control"), ("hours_to_processing", "97"), ("hours_to_processing", "-1")]
)
def test_what_no_sample_can_be_is_refused(folder, column, value):  # noqa: F811
    assert f"{column}: found {value}" in only_fault([{**SAMPLE, column: value}])


def run_of(numbers, role="control_high", lot="L1", **other):
    """Return counts and quality of controls on successive days, and of one patient's sample of the lot."""
    counts = [
        cases.counts(f"C{i:02d}", "D", n, f"2026-01-{i + 1:02d}", role=role, above_blank=n > 1)
        for i, n in enumerate(numbers)
    ]
    counts += [cases.counts("S1", "P1", 6), cases.counts("S2", "P1", 6)]
    return counts, [cases.quality(c["sample"], "L2" if c["sample"] == "S2" else lot, **other) for c in counts]


@pytest.mark.oracle
def test_limits_come_from_the_first_controls_of_a_lot():
    # mean 1000; the counts differ less than chance makes them, so the SD is the square root of 1000, 31.6
    (chart,) = controls.charts(*run_of([1000, 1010, 990, 1005, 995, 1060, 1070, 1100, 900]))
    assert (chart.assay, chart.lot, chart.role) == ("cellsearch", "L1", "control_high")
    assert [c.state for c in chart.controls] == ["ok"] * 5 + ["ok", "warn", "fail", "fail"]
    limits = {name: value for name, value, _ in chart.limits}
    assert limits["mean"] == 1000
    assert limits["+3 SD"] == pytest.approx(1000 + 3 * 1000**0.5)
    wide = controls.charts(*run_of([900, 1100, 900, 1100, 1000, 1100]))[0]
    assert wide.controls[-1].state == "ok"  # SD 100
    assert controls.charts(*run_of([1000, 5]))[0].limits == []


@pytest.mark.property
def test_a_failed_control_casts_doubt_on_its_lot_alone():
    counts, judged = run_of([1000, 0])
    against = controls.doubts(counts, judged)
    assert against == {
        "C00": ["control C01 failed"],
        "C01": ["not above blank"],
        "S1": ["control C01 failed"],
        "S2": [],
    }
    assert controls.doubts(*run_of([1000, 900]))["S1"] == []
    counts, judged = run_of([1000], background_cv=(0.9, "fail"))
    assert controls.doubts(counts, judged)["S2"] == ["background cv 0.9"]
    assert controls.doubts(counts, judged)["S1"] == ["background cv 0.9", "control C00 failed"]


def test_the_index_shows_controls_and_marks_the_run(tmp_path):
    counts, judged = run_of([1000, 0])
    roads = [cases.cascade("P1", ["S1", "S2"]), cases.cascade_not_applicable("D", ["C00", "C01"])]
    outlooks = [cases.prognosis(), cases.refused("not_applicable", "D")]
    page = cases.Page(cases.cohort_page(tmp_path, counts, roads, outlooks, judged))
    assert "High control, cellsearch, lot L1" in page.text
    assert "control C01 failed" in page.text
    text = (tmp_path / "qc_mqc.tsv").read_text(encoding="utf-8")
    assert text.startswith('# id: "ctcascade"\n')
    rows = list(csv.DictReader(io.StringIO(text[text.index("Sample\t") :]), delimiter="\t"))
    assert [row["status"] for row in rows] == ["fail", "fail", "fail", "warn"]
    assert rows[1] == {"Sample": "C01", "patient": "D", "status": "fail", "n_ctc": "0", "ctc_per_7_5_ml": "0.625",
                       "lost_area_share": "0.25", "staining_index": "41.5", "background_cv": ""}  # fmt: skip
    assert len(pd.read_csv(io.StringIO(text), sep="\t", comment="#")) == 4


def test_a_failed_sample_keeps_its_count_on_its_page(tmp_path, monkeypatch):
    good = cases.quality
    monkeypatch.setattr(cases, "quality", lambda sample: good(sample, "L1", lost_area_share=(0.75, "fail")))
    page = cases.Page(cases.sample_page(tmp_path))
    assert "This sample fails its quality checks: lost area share" in " ".join(page.text.split())
    assert any(e["data-key"] == "ctc_per_7_5_ml.estimate" for e in page.numbers())


def test_a_failed_control_is_named_on_the_pages_of_its_run(tmp_path):
    counts, judged = (both[1] for both in run_of([1000, 0]))
    pair = [cases.write(tmp_path / f"control_{k}.json", k, d) for k, d in (("counts", counts), ("quality", judged))]
    in_lot, other = ({**judged, "lot": None}, judged)  # the sample of the pages names no lot
    for lot, named in ((other, False), (in_lot, True)):
        cases.write(pair[1], "quality", lot)
        for make in (cases.sample_page, cases.patient_page):
            page = cases.Page(make(tmp_path / make.__name__, controls=[pair]))
            assert ("control C01 failed" in page.text) == named, (make, named)


def test_a_failed_sample_is_shown_as_failed_with_its_count_on_the_patients_page(tmp_path, monkeypatch):
    good = cases.quality
    bad = {"S2": {"background_cv": (0.9, "fail")}}
    monkeypatch.setattr(cases, "quality", lambda sample: good(sample, **bad.get(sample, {})))
    page = cases.Page(cases.patient_page(tmp_path))
    assert "Sample S2 fails its quality checks: background cv 0.9. Its count is shown" in " ".join(page.text.split())
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


def test_controls_are_found_by_assay_and_lot(folder):  # noqa: F811
    def row(name, role, lot):
        return {**SAMPLE, "sample": name, "role": role, "lot": lot}

    study = read([row("S1", "", "A"), row("C1", "control_low", "A"), row("C2", "control_high", "A"),
                  row("C3", "control_high", "B"), row("S2", "", "")])  # fmt: skip
    assert study.controls_of(["S1"]) == ["C1", "C2"]
    assert study.controls_of(["C1"]) == ["C2"]
    assert study.controls_of(["S1", "C1", "C3"]) == ["C2"]
    assert study.controls_of(["S2"]) == []


@pytest.mark.skipif(shutil.which("multiqc") is None, reason="multiqc is not installed")
def test_multiqc_reads_the_table(tmp_path):
    (tmp_path / "qc_mqc.tsv").write_text(controls.multiqc(*run_of([1000, 0])), encoding="utf-8")
    command = ["multiqc", tmp_path, "--outdir", tmp_path / "out", "--no-ansi"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with open(tmp_path / "out" / "multiqc_data" / "multiqc_ctcascade.txt", encoding="utf-8", newline="") as handle:
        rows = {row["Sample"]: row for row in csv.DictReader(handle, delimiter="\t")}
    assert {name: row["status"] for name, row in rows.items()} == {
        "C00": "fail",
        "C01": "fail",
        "S1": "fail",
        "S2": "warn",
    }
    assert float(rows["S1"]["staining_index"]) == 41.5
