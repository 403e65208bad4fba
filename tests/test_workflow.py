import csv
import fcntl
import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pandas as pd
import pytest
import yaml

from ctcascade.data import store
from tests.support.json_results import read_result
from tests.support.runs import digests, planned_ahead, planned_commands, write_study

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
    per_sample = tuple(f"{name}.parquet" for name in ("frames", "cells", "outlines", "overview", "calls", "crops"))
    per_sample += ("counts.json", "quality.json", "operator.json", "gallery.js")
    per_patient = ("cascade.json", "prognosis.json", "report.html")
    expected = {"index.html", "qc_mqc.tsv", "cohort.csv", "README.md", "controls.json", "shared_pixels.json"}
    expected |= {f"samples/{row['sample']}/{name}" for row in samples for name in (*per_sample, "report.html")}
    expected |= {f"patients/{row['patient']}/{name}" for row in patients for name in per_patient}
    kept = {name for name in files(demo.results) if not name.startswith(("logs/", "benchmarks/"))}
    assert kept == expected  # chunks are gone
    assert f"Report: {demo.results}/index.html" in demo.output
    assert "(100%) done" in demo.output  # progress is shown


def test_every_frame_and_every_cell_of_the_demonstration_is_accounted_for(demo):
    for row in sheet("samples.tsv"):
        folder = demo.results / "samples" / row["sample"]
        frames, cells, calls = (store.read_table(folder / f"{t}.parquet", t) for t in ("frames", "cells", "calls"))
        counts = read_result(folder / "counts.json", "counts")
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
    made = [store.table_provenance(path).model_dump(mode="json") for path in demo.results.rglob("*.parquet")]
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
        ({"report": {"max_thumbnails": 7}}, "crops report_sample"),
        (
            {"count": {"level": 0.9}},
            "count operator simulate prognose report_sample report_patient list_cohort report_cohort",
        ),
        (
            {"detect": {"cell_margin_um": 3.5}},
            "detect gather list_compared compare classify crops count quality operator simulate prognose "
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


def test_scenarios_enter_at_the_cascade_and_reach_the_page(demo, snakemake, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(demo.folder, folder, symlinks=True)  # times are kept: images and counts are not computed again
    (folder / "what.yaml").write_text("no shedding from <b>now</b> on: {shedding_cut: 1}\n")
    (folder / "over.yaml").write_text("simulate: {what_if: what.yaml}\n")
    page = "results/patients/P03/report.html"
    done = snakemake(folder, "--configfile", folder / "over.yaml", "--", page)
    assert done.code == 0, done.output
    assert rules_to_run(done.output) == {"simulate", "prognose", "report_patient"}
    cascades = [json.loads((f / "results/patients/P03/cascade.json").read_text()) for f in (demo.folder, folder)]
    (scenario,) = cascades[1]["what_if"]
    assert cascades[1]["p_any"] == cascades[0]["p_any"]
    assert 0 < scenario["p_any"]["5"]["mean"] < cascades[0]["p_any"]["5"]["mean"]
    text = (folder / page).read_text()
    assert "<h3>Other scenarios</h3>" in text
    assert "no shedding from &lt;b&gt;now&lt;/b&gt; on" in text


@pytest.mark.parametrize(
    ("patients", "chunk", "cores", "last"), [(("P02", "P03"), 2, 1, "3-of-3"), (("P02",), 1, 8, "3-of-3")]
)
def test_results_do_not_depend_on_chunks_and_cores(demo, snakemake, tmp_path, patients, chunk, cores, last):
    once = snakemake(write_study(tmp_path, *patients), "--config", f"chunk_frames={chunk}", cores=cores)
    assert once.code == 0, once.output
    assert last in once.output
    found = digests(once.results)
    assert len(found) == len(patients) * (11 + 3)
    assert found == digests(demo.results, *patients)


def test_what_lies_ready_is_of_this_run_only(demo, snakemake, tmp_path):
    folder = write_study(tmp_path, "P02")
    old = folder / "results" / "samples" / "P02_1" / ".ahead-1-1"
    old.mkdir(parents=True)
    (old / "counts.json").write_text("{}")
    run = snakemake(folder, "results/patients/P02/prognosis.json")
    assert run.code == 0, run.output
    assert list(run.results.glob("*/*/.ahead*")) == []
    chain = [run.results / "samples" / "P02_1" / f"{name}.log" for name in ("classify", "count", "quality", "crops")]
    assert not any(path.exists() and path.read_text() for path in chain)
    for name in ("samples/P02_1/counts.json", "samples/P02_1/calls.parquet", "patients/P02/prognosis.json"):
        assert digests(run.results)[name] == digests(demo.results)[name]


def as_options(words):
    """Return the words of a verb by the options that they belong to, in whatever order these were given."""
    found, name = {}, ""
    for word in words:
        name = word if word.startswith("--") else name
        found.setdefault(name, []).append(word)
    return found


def test_what_a_job_does_ahead_is_what_each_job_would_do_itself(tmp_path):
    folder = write_study(tmp_path, "P02", "P03")
    own = [as_options(words) for _, words in planned_commands(folder)]
    ahead = planned_ahead(folder)
    assert {verb for _, verb, _ in ahead} == {"gather", "classify", "count", "quality", "operator", "crops", "prognose"}
    assert [words for _, _, words in ahead if as_options(words) not in own] == []


MODULE = """
configfile: "config/config.yaml"

module ctcascade:
    snakefile: "{snakefile}"
    config: config

use rule * from ctcascade

onstart:
    ctcascade.onstart()
"""


def as_module(folder, snakefile, *args):
    """Run another workflow, which uses this one as a module, in a folder."""
    (folder / "workflow").mkdir()
    (folder / "workflow" / "Snakefile").write_text(MODULE.format(snakefile=ROOT / snakefile))
    command = [sys.executable, "-m", "snakemake", "--cores", "1", *args]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("snakefile", ["Snakefile", "workflow/Snakefile"])  # the second is where snakedeploy looks
def test_it_can_be_a_module_of_another_workflow(tmp_path, snakefile):
    write_study(tmp_path, "P02")
    (tmp_path / "config" / "config.yaml").write_text("chunk_frames: 2\n")
    planned = as_module(tmp_path, snakefile, "-n")
    assert planned.returncode == 0, planned.stderr
    assert re.search(r"^detect +2$", planned.stdout, re.MULTILINE)  # two chunks of three frames
    assert re.search(r"^total +19$", planned.stdout, re.MULTILINE)


def test_as_a_module_it_also_leaves_the_results_of_another_run_alone(tmp_path):
    write_study(tmp_path, "P02")
    (tmp_path / "config" / "config.yaml").write_text("{}\n")
    (tmp_path / "results" / "logs").mkdir(parents=True)
    with open(tmp_path / "results" / "logs" / "run.lock", "w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        refused = as_module(tmp_path, "Snakefile")
    assert refused.returncode == 2
    assert "another run that writes into it" in refused.stderr


def test_the_pages_are_in_the_report_of_snakemake(demo, snakemake, tmp_path):
    run = snakemake(demo.folder, "--report", tmp_path / "archive.zip")
    assert run.code == 0, run.output
    with zipfile.ZipFile(tmp_path / "archive.zip") as archive:
        inside = [archive.read(name) for name in archive.namelist() if "/data/raw/" in name]
        frame = archive.read("archive/report.html").decode()
    pages = [demo.results / "index.html", *demo.results.glob("*/*/report.html")]
    assert len(pages) == 1 + len(sheet("samples.tsv")) + len(sheet("patients.tsv"))
    assert sorted(inside) == sorted(page.read_bytes() for page in pages)
    assert "research use only" in frame.lower()
    assert all(category in frame for category in ("Samples", "Patients", "Cohort"))
    captions = [f"Patient {row['patient']}: counts over time" for row in sheet("patients.tsv")]
    captions += [f"Sample {row['sample']}: the count per 7.5 mL" for row in sheet("samples.tsv")]
    assert [caption for caption in captions if caption not in frame] == []
    # nothing that was refused is in the archive: no survival and no risk of such a patient
    shown = [re.findall(rb'data-of="(\w+)/([^"]+)" data-key="(\w+)', page) for page in (*inside, frame.encode())]
    said = {tuple(part.decode() for part in found) for page in shown for found in page}
    withheld = {"prognosis": {"survival", "strata", "cutoff", "horizon_months"}, "cascade": {"organs", "p_any", "flow"}}
    refused = 0
    for row in sheet("patients.tsv"):
        for kind, keys in withheld.items():
            data = read_result(demo.results / "patients" / row["patient"] / f"{kind}.json", kind)
            here = {key for of, name, key in said if (of, name) == (kind, row["patient"])}
            known = any(scan["n_lesions"] for scan in data.get("findings") or ())  # then the next organ stands there
            shown_here = keys - {"p_any"} if known else keys
            assert here & keys == (shown_here if data["status"] == "ok" else set())
            refused += data["status"] != "ok"
    assert refused >= 3


def test_calls_are_made(demo):
    calls = pd.concat([store.read_table(p, "calls") for p in sorted(demo.results.glob("samples/*/calls.parquet"))])
    assert {"ctc", "leukocyte"} <= set(calls["call"])
