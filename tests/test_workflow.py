import csv
import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from conftest import digests, write_study

from pipeline import store

ROOT = Path(__file__).parents[1]
OUTSIDE = ROOT.parent / "shared" / "tools" / "check_outside.py"
pytestmark = pytest.mark.workflow


def sheet(name):
    with open(ROOT / "config" / name, encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle, delimiter="\t"))


def files(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def rules_to_run(output):
    """The jobs that a dry run lists, rule by rule."""
    table = output.split("Job stats:")[1].split("Reasons:")[0].split("total")[0].splitlines()
    return {line.split()[0] for line in table[3:] if line.strip()}


def test_the_demonstration_writes_what_the_design_promises(demo):
    samples, patients = sheet("samples.tsv"), sheet("patients.tsv")
    assert len(patients) >= 3
    assert len(samples) >= 5
    per_sample = ("frames.parquet", "cells.parquet", "calls.parquet", "counts.json", "quality.json", "report.html")
    per_patient = ("cascade.json", "prognosis.json", "report.html")
    expected = {"index.html", "qc_mqc.tsv", "cohort.csv"}
    expected |= {f"samples/{row['sample']}/{name}" for row in samples for name in per_sample}
    expected |= {f"patients/{row['patient']}/{name}" for row in patients for name in per_patient}
    kept = {name for name in files(demo.results) if not name.startswith(("logs/", "benchmarks/"))}
    assert kept == expected  # chunks are gone
    assert f"Report: {demo.results}/index.html" in demo.output
    assert "(100%) done" in demo.output  # progress is shown


def test_every_frame_and_every_cell_of_the_demonstration_is_accounted_for(demo):
    for row in sheet("samples.tsv"):
        folder = demo.results / "samples" / row["sample"]
        frames, cells, calls = (store.read_table(folder / f"{t}.parquet", t) for t in ("frames", "cells", "calls"))
        counts = store.read_json(folder / "counts.json", "counts")
        truth = pd.read_csv(ROOT / "test_data" / "truth" / f"{row['sample']}.tsv", sep="\t")
        assert frames["frame"].tolist() == sorted(set(truth["frame"]))
        assert (frames["usable"] == (frames["reason"] == "")).all()
        assert counts["n_frames"] == len(frames)
        assert counts["n_frames_usable"] == frames["usable"].sum()
        assert frames["n_cells"].sum() == len(cells) == len(calls) == counts["n_cells"]
        key = ["frame", "cell"]
        assert calls[key].equals(cells[key])
        assert not cells.duplicated(key).any()
        assert counts["n_ctc"] == (calls["call"] == "ctc").sum()
        assert 0 < counts["imaged_fraction"] <= 1


def test_results_know_what_made_them_and_no_machine(demo):
    made = [store.table_provenance(path) for path in demo.results.rglob("*.parquet")]
    made += [json.loads(path.read_text())["provenance"] for path in demo.results.rglob("*.json")]
    assert made
    for found in made:
        assert found["software"] == "ctcascade"
        text = json.dumps(found)
        assert str(ROOT) not in text
        assert str(demo.folder) not in text


@pytest.mark.skipif(not OUTSIDE.exists(), reason="the check of the outside is not beside this project")
def test_the_outside_holds(demo):
    done = subprocess.run([sys.executable, OUTSIDE, demo.results], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_a_second_run_does_nothing(demo, snakemake):
    again = snakemake(demo.folder)
    assert again.code == 0
    assert "Nothing to be done" in again.output


@pytest.mark.parametrize(
    ("change", "rules"),
    [
        ({"report": {"max_thumbnails": 7}}, "report_sample report_patient list_cohort report_cohort"),
        (
            {"count": {"level": 0.9}},
            "count simulate prognose report_sample report_patient list_cohort report_cohort",
        ),
        (
            {"detect": {"cell_margin_um": 3.5}},
            "detect gather classify count quality simulate prognose "
            "report_sample report_patient list_cohort report_cohort",
        ),
    ],
    ids=["report", "count", "detect"],
)
def test_a_changed_setting_reruns_its_stage_and_what_follows(demo, snakemake, tmp_path, change, rules):
    overlay = tmp_path / "over.yaml"
    overlay.write_text(yaml.safe_dump(change))
    planned = snakemake(demo.folder, "-n", "--configfile", overlay)
    assert planned.code == 0, planned.output
    assert rules_to_run(planned.output) == {*rules.split(), "all"}


def test_results_do_not_depend_on_chunks_and_cores(demo, snakemake, tmp_path):
    once = snakemake(write_study(tmp_path, "P02", "P03"), "--config", "chunk_frames=2", cores=1)
    assert once.code == 0, once.output
    assert "3-of-3" in once.output
    found = digests(once.results)
    assert len(found) == 2 * 6 + 2 * 3
    assert found == digests(demo.results, "P02", "P03")


def test_the_pages_are_in_the_report_of_snakemake(demo, snakemake, tmp_path):
    page = tmp_path / "archive.html"
    run = snakemake(demo.folder, "--report", page)
    assert run.code == 0, run.output
    assert run.output.count("Adding report.html") == len(sheet("samples.tsv")) + len(sheet("patients.tsv"))
    assert "Adding index.html" in run.output
    text = page.read_text(encoding="utf-8")
    assert "research use only" in text.lower()
    assert all(category in text for category in ("Samples", "Patients", "Cohort"))


def test_calls_are_made(demo):
    calls = pd.concat([store.read_table(p, "calls") for p in sorted(demo.results.glob("samples/*/calls.parquet"))])
    assert {"ctc", "leukocyte"} <= set(calls["call"])
