"""Controls over time: limits from a lot's first ones, a verdict on each, and what a failed one speaks against."""

import csv
import io
import shutil
import subprocess

import pandas as pd
import pytest
import yaml

from ctcascade.counting import controls
from ctcascade.data import store
from ctcascade.data.doubts import doubts
from ctcascade.data.results import Controls, Counts, Quality
from ctcascade.report.multiqc import multiqc
from ctcascade.study.jobs import ControlsJob
from ctcascade.study.settings import ControlsSettings
from tests.support import report_cases as cases
from tests.support.other_pages import run_of
from tests.support.sheets import SAMPLE, read

pytestmark = pytest.mark.unit


def charts_of(counts, judged, **settings):
    """Return the charts of a run, as the stage makes them."""
    results = [Counts.model_validate(c) for c in counts], [Quality.model_validate(q) for q in judged]
    return controls.charts(*results, ControlsSettings(**settings))


def doubts_of(counts, judged):
    """Return what speaks against each sample of a run."""
    charts = Controls.model_validate(cases.charts(counts, judged))
    pairs = [(Counts.model_validate(c), Quality.model_validate(q)) for c, q in zip(counts, judged, strict=True)]
    return {c.sample: doubts(c, q, charts) for c, q in pairs}


@pytest.mark.oracle
def test_limits_come_from_the_first_controls_of_a_lot():
    # mean 1000; the counts differ less than chance makes them, so the SD is the square root of 1000, 31.6
    (chart,) = charts_of(*run_of([1000, 1010, 990, 1005, 995, 1060, 1070, 1100, 900]))
    assert (chart.assay, chart.lot, chart.role) == ("cellsearch", "L1", "control_high")
    assert [c.state for c in chart.controls] == ["ok"] * 5 + ["ok", "warn", "fail", "fail"]
    limits = {limit.name: limit.value for limit in chart.limits}
    assert limits["mean"] == 1000
    assert limits["+3 SD"] == pytest.approx(1000 + 3 * 1000**0.5)
    (wide,) = charts_of(*run_of([900, 1100, 900, 1100, 1000, 1100]))
    assert wide.controls[-1].state == "ok"  # SD 100
    (short,) = charts_of(*run_of([1000, 5]))
    assert (short.mean, short.sd, short.limits) == (None, None, ())


@pytest.mark.oracle
def test_the_limits_are_settings():
    numbers = [1000, 1010, 990, 1060, 1100]
    (chart,) = charts_of(*run_of(numbers), baseline_controls=3, warn_sd=1.5, fail_sd=4.0)
    assert [c.state for c in chart.controls] == ["ok", "ok", "ok", "warn", "warn"]  # 1.9 and 3.2 SD of 31.6
    assert [limit.name for limit in chart.limits] == ["mean", "-4 SD", "-1.5 SD", "+1.5 SD", "+4 SD"]
    assert chart.mean == 1000


def test_the_stage_writes_the_charts_of_the_controls_alone(tmp_path):
    counts, judged = run_of([1000, 0])
    paths = [
        [cases.write(tmp_path / f"{kind}{i}.json", kind, result) for i, result in enumerate(results)]
        for kind, results in (("counts", counts), ("quality", judged))
    ]
    controls.judge_controls(ControlsJob(), *paths, tmp_path / "controls.json")
    result = store.read_json(tmp_path / "controls.json", Controls)
    assert result.charts == charts_of(counts, judged)
    assert [c.sample for c in result.charts[0].controls] == ["C00", "C01"]
    controls.judge_controls(ControlsJob(), [], [], tmp_path / "none.json")
    assert store.read_json(tmp_path / "none.json", Controls).charts == ()


@pytest.mark.property
def test_a_failed_control_casts_doubt_on_its_lot_alone():
    counts, judged = run_of([1000, 0])
    assert doubts_of(counts, judged) == {
        "C00": ["control C01 failed"],
        "C01": ["not above blank"],
        "S1": ["control C01 failed"],
        "S2": [],
    }
    assert doubts_of(*run_of([1000, 900]))["S1"] == []
    counts, judged = run_of([1000], background_cv=(0.9, "fail"))
    assert doubts_of(counts, judged)["S2"] == ["background from frame to frame: 0.9"]
    assert doubts_of(counts, judged)["S1"] == ["background from frame to frame: 0.9", "control C00 failed"]


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
                       "ctc_per_7_5_ml_low": "0.19375", "ctc_per_7_5_ml_high": "1.33125",
                       "lost_area_share": "0.25", "staining_index": "41.5", "background_cv": ""}  # fmt: skip
    about = yaml.safe_load("\n".join(line[1:] for line in text.splitlines() if line.startswith("#")))
    assert about["plot_type"] == "generalstats"
    columns = {name: header for column in about["headers"] for name, header in column.items()}
    assert list(columns) == list(rows[0])[1:]
    assert all(set(header) >= {"title", "description", "scale"} for header in columns.values())
    assert columns["lost_area_share"]["title"] == "area that was lost"
    assert columns["lost_area_share"]["format"] == "{:,.1%}"
    assert columns["lost_area_share"]["cond_formatting_rules"] == {"pass": [{"le": 0.1}], "warn": [{"gt": 0.1}]}
    assert "95 % interval" in columns["ctc_per_7_5_ml_low"]["description"]
    assert len(pd.read_csv(io.StringIO(text), sep="\t", comment="#")) == 4


def test_a_failed_control_is_named_on_the_pages_of_its_run(tmp_path):
    counts, judged = (both[1] for both in run_of([1000, 0]))
    in_lot, other = ({**judged, "lot": None}, judged)  # the sample of the pages names no lot
    for lot, named in ((other, False), (in_lot, True)):
        charts = cases.write(tmp_path / "controls.json", "controls", cases.charts([counts], [lot]))
        for make in (cases.sample_page, cases.patient_page):
            page = cases.Page(make(tmp_path / make.__name__, controls=charts))
            assert ("control C01 failed" in page.text) == named, (make, named)


def test_controls_are_found_by_assay_and_lot(folder):
    def row(name, role, lot):
        (folder / "slides" / name).mkdir()
        return {**SAMPLE, "sample": name, "role": role, "lot": lot, "images": f"slides/{name}"}

    study = read([row("S1", "", "A"), row("C1", "control_low", "A"), row("C2", "control_high", "A"),
                  row("C3", "control_high", "B"), row("S2", "", "")])  # fmt: skip
    assert study.controls_of(["S1"]) == ["C1", "C2"]
    assert study.controls_of(["C1"]) == ["C2"]
    assert study.controls_of(["S1", "C1", "C3"]) == ["C2"]
    assert study.controls_of(["S2"]) == []


@pytest.mark.skipif(shutil.which("multiqc") is None, reason="multiqc is not installed")
def test_multiqc_reads_the_table(tmp_path):
    counts, judged = run_of([1000, 0])
    results = [Counts.model_validate(c) for c in counts], [Quality.model_validate(q) for q in judged]
    (tmp_path / "qc_mqc.tsv").write_text(multiqc(*results, doubts_of(counts, judged)), encoding="utf-8")
    command = ["multiqc", tmp_path, "--outdir", tmp_path / "out", "--no-ansi"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with open(tmp_path / "out" / "multiqc_data" / "multiqc_general_stats.txt", encoding="utf-8", newline="") as handle:
        rows = {row["Sample"]: row for row in csv.DictReader(handle, delimiter="\t")}
    rows = {name: {key.rpartition("-")[2]: v for key, v in row.items()} for name, row in rows.items()}
    assert {name: row["status"] for name, row in rows.items()} == {
        "C00": "fail",
        "C01": "fail",
        "S1": "fail",
        "S2": "warn",
    }
    assert float(rows["S1"]["staining_index"]) == 41.5
