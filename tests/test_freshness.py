"""Results that are present when a run starts: what differs from what is wanted now is made again."""

import dataclasses
import os
import re
import shutil

import pytest

from ctcascade.data import store
from ctcascade.data.errors import InputError
from ctcascade.formats import image_files
from ctcascade.images import detect
from ctcascade.study import jobs, sheets
from ctcascade.validation import freshness
from ctcascade.validation.verify import verify
from tests.support.runs import ROOT, digests, write_study

pytestmark = pytest.mark.workflow

P02 = "results/samples/P02_1/counts.json"


@pytest.fixture
def moved(demo, tmp_path):
    """The finished results of the demonstration elsewhere, without Snakemake's notes."""
    place = write_study(tmp_path / "run", "P01", "P02")
    shutil.copytree(demo.results, place / "results")
    return place


def test_results_without_the_notes_of_snakemake_are_used_where_they_are_what_is_wanted(moved, demo, snakemake):
    run = snakemake(moved, P02)
    assert run.code == 0, run.output
    named = [line for line in run.output.splitlines() if ": made again" in line]
    of_all = ("results/index.html:", "results/shared_pixels.json:")  # which showed, and compared, more patients
    assert [line for line in named if not line.startswith(of_all)] == []
    assert "rule detect:" not in run.output


def test_a_changed_setting_makes_results_again_without_the_notes_of_snakemake(moved, snakemake):
    planned = snakemake(moved, P02, "-n", "--config", "classify={p_ctc_call: 0.9}")
    assert "calls.parquet: made again: made with other settings" in planned.output
    assert (moved / "results/samples/P02_1/calls.parquet").exists()  # a dry run removes nothing
    run = snakemake(moved, P02, "--config", "classify={p_ctc_call: 0.9}")
    assert run.code == 0, run.output
    assert "rule classify:" in run.output
    assert "rule detect:" not in run.output
    made_by = store.table_provenance(moved / "results/samples/P02_1/calls.parquet")
    assert made_by.settings["p_ctc_call"] == 0.9


def test_exchanged_images_make_results_again_without_the_notes_of_snakemake(moved, snakemake):
    (moved / "test_data").unlink()
    shutil.copytree(ROOT / "test_data", moved / "test_data")
    images = moved / "test_data" / "images"
    (images / "P01_1").rename(images / "held")
    (images / "P01_2").rename(images / "P01_1")
    (images / "held").rename(images / "P01_2")
    before = digests(moved / "results")
    planned = snakemake(moved, "-n", *(f"results/samples/P01_{k}/calls.parquet" for k in (1, 2)))
    assert planned.output.count("made from other images") == 2 * 4
    run = snakemake(moved, *(f"results/samples/P01_{k}/calls.parquet" for k in (1, 2)))
    assert run.code == 0, run.output
    after = digests(moved / "results")
    for name in ("samples/P01_1/calls.parquet", "samples/P01_2/calls.parquet"):
        assert after[name] != before[name]


def test_reviews_that_came_under_an_old_date_and_tubes_that_left_the_sheet_are_noticed(moved, monkeypatch):
    monkeypatch.chdir(ROOT)
    at = {"samples": "config/samples.tsv", "results": str(moved / "results")}
    study = sheets.read_study([ROOT / "config" / "config.yaml"], at)
    folder = moved / "results" / "samples"
    images = {
        name: store.table_provenance(folder / name / "frames.parquet").images for name in ("P01_1", "P01_2", "P02_1")
    }
    one_tube = {name: row for name, row in study.samples.items() if name in ("P01_1", "P02_1")}

    def found(**changed):
        names = [name for name in study.samples if name in images]
        samples = changed.pop("samples", {name: study.samples[name] for name in names})
        patients = {name: study.patients[name] for name in ("P01", "P02")}
        now = dataclasses.replace(study, samples=samples, patients=patients, **changed)
        said = freshness.outdated(now, images.__getitem__, lambda sample: [])
        return {path.relative_to(folder.parent.absolute()).as_posix(): why for path, why in said if "other" in why}

    review = moved / "P02_1.AB.csv"
    review.write_text("any", encoding="utf-8")
    os.utime(review, (1, 1))
    before = found()
    with_review = found(reviews={"P02_1": [review]})
    assert {name: why for name, why in with_review.items() if name not in before} == {
        "samples/P02_1/counts.json": "made with other reviews"
    }
    fewer = found(samples=one_tube)
    assert fewer["patients/P01/cascade.json"] == "made with other samples of the patient"
    assert "patients/P01/cascade.json" not in before


def test_edited_results_and_exchanged_pages_are_made_again_and_a_dry_run_says_so(moved, snakemake):
    results = moved / "results"
    before = digests(results)
    counts = results / "samples" / "P02_1" / "counts.json"
    counts.write_text(re.sub(r'"n_ctc": \d+', '"n_ctc": 80', counts.read_text()))
    one, two = (results / "patients" / name / "report.html" for name in ("P01", "P02"))
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)
    wrong = {line.partition(": ")[0] for line in verify(results)[0] if not line.endswith("as it claims")}
    assert {str(counts), str(one), str(two)} <= wrong
    planned = snakemake(moved, "-n")
    for path in (counts, one, two):
        assert f"{path.relative_to(moved)}: made again" in planned.output
    assert "Nothing to be done" not in planned.output
    assert {"rule count:", "rule report_patient:"} <= set(planned.output.splitlines())
    run = snakemake(moved, P02, "results/patients/P01/report.html", "results/patients/P02/report.html")
    assert run.code == 0, run.output
    after = digests(results)
    for name in ("samples/P02_1/counts.json", "patients/P01/report.html", "patients/P02/report.html"):
        assert after[name] == before[name]


@pytest.mark.property
def test_images_that_came_after_the_plan_are_refused(tmp_path):
    study = sheets.read_study([ROOT / "config" / "config.yaml"], {"samples": str(ROOT / "config" / "samples.tsv")})
    job = jobs.detect_job(study, "P02_1")
    with pytest.raises(InputError, match="expected the 5 frames that it was planned from"):
        detect.detect(job, study.base, (1, 1), tmp_path / "f", tmp_path / "c", planned="5:0123456789abcdef")
    assert list(tmp_path.iterdir()) == []


def test_verify_reads_images_when_asked_and_names_what_no_sheet_of_the_run_named(moved):
    results = moved / "results"
    lines, wrong = verify(results, ROOT / "config")
    assert wrong == 0, lines
    (moved / "config").mkdir(exist_ok=True)
    shutil.copytree(ROOT / "test_data", moved / "other" / "test_data")
    changed = moved / "other" / "test_data" / "images" / "P01_1" / "f002.ome.tif"
    data = bytearray(changed.read_bytes())
    data[-900:-500] = bytes(400)
    changed.write_bytes(data)
    (moved / "other" / "config").mkdir()
    lines, wrong = verify(results, moved / "other" / "config")
    assert wrong == 1
    (line,) = [line for line in lines if not line.endswith("as it claims")]
    assert (
        line == f"{results / 'samples/P01_1/frames.parquet'}: the images of P01_1 are not those that it was made from"
    )
    shutil.copytree(results / "samples" / "P01_1", results / "samples" / "old")
    shutil.rmtree(results / "samples" / "P02_1")
    said = {line.partition(": ")[0]: line.partition(": ")[2] for line in verify(results)[0]}
    assert said[str(results / "samples" / "old")] == "of an earlier sheet or run: index.html does not name it"
    assert said[str(results / "samples" / "P02_1")] == "missing, and index.html names it"
    gone = [results / "samples" / "P01_2" / "report.html", results / "patients" / "P01" / "report.html"]
    for page in gone:
        page.unlink()
    (results / "shared_pixels.json").unlink()
    said = dict_of(verify(results)[0])
    assert {said[str(page)] for page in gone} == {"missing, and index.html links to it"}
    assert said[str(results / "shared_pixels.json")] == "missing, and the pages were made with it"
    counts = results / "samples" / "P01_1" / "counts.json"
    counts.write_text(counts.read_text()[:900])
    assert re.fullmatch(r"JSON that is broken in line \d+", dict_of(verify(results)[0])[str(counts)])
    counts.write_text("")
    assert dict_of(verify(results)[0])[str(counts)] == "an empty file"


def dict_of(lines):
    return {line.partition(": ")[0]: line.partition(": ")[2] for line in lines}


def test_pixels_are_compared_where_files_are_too_large_to_be_read_whole(moved, monkeypatch):
    monkeypatch.setattr(image_files, "digest_of_content", lambda listed: "same")
    results = moved / "results"
    monkeypatch.setattr(store, "table_provenance", _same_images(store.table_provenance))
    shutil.copytree(ROOT / "test_data", moved / "other" / "test_data")
    images = moved / "other" / "test_data" / "images" / "P02_1"
    (images / "f001.ome.tif").write_bytes((images / "f002.ome.tif").read_bytes())
    (moved / "other" / "config").mkdir()
    wrong = [line for line in verify(results, moved / "other" / "config")[0] if "pixels of frame" in line]
    (line,) = wrong
    assert line.endswith("P02_1/frames.parquet: the pixels of frame f001 are not those that it was made from")


def _same_images(of):
    return lambda path: of(path).model_copy(update={"images": "same"})


def test_verify_names_what_was_exchanged_or_changed(moved):
    results = moved / "results"
    lines, wrong = verify(results)
    assert wrong == 0, lines
    one, two = (results / "samples" / name for name in ("P01_1", "P01_2"))
    shutil.copy(two / "cells.parquet", one / "cells.parquet")
    (two / "calls.parquet").write_bytes((two / "calls.parquet").read_bytes()[:-1])
    said = {line.partition(": ")[0]: line for line in verify(results)[0]}
    assert "a result of the sample P01_2" in said[str(one / "cells.parquet")]
    assert "made from another cells" in said[str(one / "calls.parquet")]
    assert "no Parquet table" in said[str(two / "calls.parquet")]
