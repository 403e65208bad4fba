"""What is refused before any work starts, and what a run continues with."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile

from ctcascade import __main__ as cli
from ctcascade.data import store
from tests.support.json_results import read_result
from tests.support.runs import run_in_one_process
from tests.support.slides import edit

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.workflow
SOURCE = "P01_1"

SAMPLES = "sample\tpatient\tcollected\timages\tassay\tblood_volume_ml\n"
PATIENTS = "patient\tprimary\tsetting\tsex\nP1\tbreast\tmetastatic\tfemale\n"
GOOD = "S1\tP1\t2026-05-01\tslides/a\tcellsearch\t7.5\n"
REFUSED = {
    "negative volume": ("S2\tP1\t2026-05-01\tslides/a\tcellsearch\t-7.5\n", "line 3, blood_volume_ml: found -7.5"),
    "no volume": ("S2\tP1\t2026-05-01\tslides/a\tcellsearch\t0\n", "line 3, blood_volume_ml: found 0"),
    "wordy volume": ("S2\tP1\t2026-05-01\tslides/a\tcellsearch\tseven\n", "line 3, blood_volume_ml: found seven"),
    "volume in microlitres": (
        "S2\tP1\t2026-05-01\tslides/a\tcellsearch\t7500\n",
        "line 3, blood_volume_ml: found 7500",
    ),
    "bad date": ("S2\tP1\t2026-02-30\tslides/a\tcellsearch\t7.5\n", "line 3, collected: found 2026-02-30"),
    "sample twice": ("S1\tP1\t2026-05-02\tslides/a\tcellsearch\t7.5\n", "line 3, sample: found S1 more than once"),
    "path as a name": ("../S2\tP1\t2026-05-02\tslides/a\tcellsearch\t7.5\n", "line 3, sample: found ../S2"),
    "hidden name": (".S2\tP1\t2026-05-02\tslides/a\tcellsearch\t7.5\n", "line 3, sample: found .S2"),
    "unknown assay": ("S2\tP1\t2026-05-02\tslides/a\tcelsearch\t7.5\n", "assay: found celsearch"),
    "missing folder": (
        "S2\tP1\t2026-05-02\tslides/gone\tcellsearch\t7.5\n",
        "images: found slides/gone, which is not there",
    ),
    "no image": ("S2\tP1\t2026-05-02\tslides/empty\tcellsearch\t7.5\n", "slides/empty"),
    "patient without row": ("S2\tP2\t2026-05-02\tslides/a\tcellsearch\t7.5\n", "patient: found P2"),
}


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A folder with two sheets and one sample's images, all valid."""
    for name in ("a", "empty"):
        (tmp_path / "slides" / name).mkdir(parents=True)
    shutil.copy(ROOT / "test_data" / "images" / SOURCE / "f001.ome.tif", tmp_path / "slides" / "a" / "f1.tif")
    (tmp_path / "slides" / "empty" / "notes.txt").write_text("no image")
    (tmp_path / "samples.tsv").write_text(SAMPLES + GOOD)
    (tmp_path / "patients.tsv").write_text(PATIENTS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def check(*overlays):
    configfiles = [str(ROOT / "config" / "config.yaml"), *overlays]
    cli.main(["check", "--configfile", *configfiles, "--config", "samples=samples.tsv", "patients=patients.tsv"])


def refused(capsys, *overlays):
    with pytest.raises(SystemExit) as caught:
        check(*overlays)
    out, err = capsys.readouterr()
    assert caught.value.code == 2
    assert out == ""
    assert "Traceback" not in err
    return err.splitlines()


def test_a_valid_study_passes(study, capsys):
    check()
    image, area, study = capsys.readouterr().out.splitlines()
    assert image == (
        "S1: 1 frames, ome-tiff (each TIFF is a frame); channels DAPI -> dna, CK-PE -> ck, CD45-APC -> cd45, "
        "FITC -> fitc (named in the file); 12 bits (file); 0.645 um a pixel (stated by the file); 384 x 384 pixels"
    )
    assert area.startswith("S1: frames 1, together about 0.061 mm2, are taken for all of 7.5 mL (")
    assert study == "1 samples of 1 patients: nothing to fix"


@pytest.mark.parametrize("case", REFUSED)
def test_a_fault_is_one_line_and_exit_2(study, capsys, case):
    row, expected = REFUSED[case]
    (study / "samples.tsv").write_text(SAMPLES + GOOD + row)
    lines = refused(capsys)
    assert any(expected in line for line in lines), lines
    assert len(lines) == (2 if case == "sample twice" else 1), lines


def test_a_misspelt_setting_is_refused(study, capsys):
    (study / "over.yaml").write_text("detect: {lables: true}\n")
    assert [line.rpartition("; ")[2] for line in refused(capsys, "over.yaml")] == ["did you mean labels?"]


def test_snakemake_refuses_all_at_once_even_when_quiet(study, snakemake):
    rows = "".join(f"T{i}{row[2:]}" if row.startswith("S2") else row for i, (row, _) in enumerate(REFUSED.values()))
    (study / "samples.tsv").write_text(SAMPLES + GOOD + rows)
    (study / "over.yaml").write_text("detect: {lables: true}\n")
    given = ["--configfile", "over.yaml", "--config", "samples=samples.tsv", "patients=patients.tsv"]
    run = snakemake(study, "--quiet", "all", *given)
    assert run.code == 2
    assert "Traceback" not in run.output
    lines = run.output.splitlines()
    faults = [line for line in lines if ": found " in line]
    assert len(faults) == len(REFUSED) + 2  # the repeated name makes two faults, the setting one more
    assert "unknown name 'lables'" in run.output
    for _, expected in REFUSED.values():
        what = expected.partition(", ")[2] if expected.startswith("line") else expected
        assert any(what in line for line in faults), expected
    assert not run.results.exists()


@pytest.fixture(scope="module")
def broken(demo, tmp_path_factory):
    """A run on a slide with a frame of each fault, a slide with faulty frames only, and an intact one."""
    folder = tmp_path_factory.mktemp("broken")
    usable = store.read_table(demo.results / "samples" / SOURCE / "frames.parquet", "frames").query("usable")
    sources = [ROOT / "config" / path for path in usable["path"]]
    mixed, nothing, sound = (folder / name for name in ("mixed", "nothing", "sound"))
    for slide in (mixed, nothing, sound):
        slide.mkdir()
    for source in sources:
        shutil.copy(source, sound)
    for source in sources:
        shutil.copy(source, mixed)
    first = sources[0]
    whole = first.read_bytes()
    for slide in (mixed, nothing):
        (slide / "truncated.ome.tif").write_bytes(whole[: len(whole) // 3])
        (slide / "empty.ome.tif").touch()
        (slide / "no_image.ome.tif").write_text("this is no image\n" * 100)
        edit(first, slide / "black.ome.tif", np.zeros_like)
        edit(first, slide / "white.ome.tif", lambda pixels: np.full_like(pixels, 4095))
        tifffile.imwrite(
            slide / "no_cd45.ome.tif",
            tifffile.imread(first)[:2],
            photometric="minisblack",
            metadata={"axes": "CYX", "Channel": {"Name": ["DAPI", "CK-PE"]}},
        )
    rows = [f"{name}\tP1\t2026-0{i}-01\t{name}\tcellsearch\t7.5\n" for i, name in enumerate(("mixed", "sound"), 1)]
    rows.append("nothing\tP2\t2026-05-01\tnothing\tcellsearch\t7.5\n")
    (folder / "samples.tsv").write_text(SAMPLES + "".join(rows))
    (folder / "patients.tsv").write_text(PATIENTS + "P2\tbreast\tmetastatic\tfemale\n")
    run = run_in_one_process(folder, "--config", "samples=samples.tsv", "patients=patients.tsv")
    assert run.code == 0, run.output
    return run


FAULTS = ["truncated", "empty", "no_image", "black", "white", "no_cd45"]


def table(run, sample, kind):
    return store.read_table(run.results / "samples" / sample / f"{kind}.parquet", kind)


@pytest.mark.parametrize("frame", FAULTS)
def test_a_frame_that_cannot_be_measured_is_a_row_with_its_reason(broken, frame):
    row = table(broken, "mixed", "frames").set_index("frame").loc[frame]
    assert not row["usable"]
    assert len(row["reason"]) > 5
    assert row["area_um2"] == 0
    assert row["frame_area_um2"] > 0
    assert (table(broken, "mixed", "cells")["frame"] != frame).all()


def test_what_cannot_be_measured_lowers_the_share_imaged_and_nothing_else(broken):
    mixed, sound = (read_result(broken.results / "samples" / n / "counts.json", "counts") for n in ("mixed", "sound"))
    good = mixed["n_frames_usable"]
    assert good == sound["n_frames"] == sound["n_frames_usable"]
    assert mixed["n_frames"] == good + len(FAULTS)
    assert mixed["imaged_fraction"] < sound["imaged_fraction"]
    assert mixed["n_ctc"] == sound["n_ctc"]
    assert mixed["ctc_per_7_5_ml"]["estimate"] > sound["ctc_per_7_5_ml"]["estimate"]


def test_a_slide_with_no_frame_to_measure_is_not_evaluable_and_stops_nothing(broken):
    counts = read_result(broken.results / "samples" / "nothing" / "counts.json", "counts")
    assert counts["status"] == "not_evaluable"
    assert counts["reason"]
    assert counts["n_ctc"] is None
    assert counts["ctc_per_7_5_ml"] is None
    assert set(counts["p_at_least"].values()) == {None}
    assert counts["imaged_fraction"] == 0
    assert len(table(broken, "nothing", "cells")) == len(table(broken, "nothing", "calls")) == 0
    for page in ("samples/nothing", "samples/mixed", "patients/P1", "patients/P2"):
        assert (broken.results / page / "report.html").exists()
    assert read_result(broken.results / "patients" / "P2" / "cascade.json", "cascade")["status"] == "not_evaluable"
    mixed = read_result(broken.results / "patients" / "P1" / "cascade.json", "cascade")
    assert mixed["status"] == "withheld"  # half of its frames are broken, and its checks say so
    assert "mixed" in mixed["reason"]
