"""Results follow the pixels: one CTC more, one frame fewer, a frame that cannot be read."""

import shutil
from pathlib import Path

import pytest

from ctcascade.data import store
from tests.support.json_results import read_result
from tests.support.runs import run_in_one_process
from tests.support.slides import add_ctc, empty_place

ROOT = Path(__file__).parents[1]
SAMPLE = "P01_1"
pytestmark = pytest.mark.workflow


def tables(results, sample):
    folder = results / "samples" / sample
    return {kind: store.read_table(folder / f"{kind}.parquet", kind) for kind in ("frames", "cells", "calls")}


def put_a_ctc(slide, sources, found):
    """Add a CTC in an empty place of the slide's last frame; return the frame's name and the place."""
    frame = list(sources)[-1]
    row = found["frames"].set_index("frame").loc[frame]
    cells = found["cells"][found["cells"]["frame"] == frame]
    y, x = empty_place(cells, (row["height_px"], row["width_px"]))
    add_ctc(sources[frame], slide / sources[frame].name, y, x)
    return frame, y, x


@pytest.fixture(scope="module")
def runs(demo, tmp_path_factory):
    """The same slide four times: as it is, with one CTC more, with one frame fewer, with a broken frame."""
    folder = tmp_path_factory.mktemp("faked")
    found = tables(demo.results, SAMPLE)
    usable = found["frames"][found["frames"]["usable"]]
    sources = {row["frame"]: ROOT / "config" / row["path"] for _, row in usable.iterrows()}
    images = next(iter(sources.values())).parent
    for name in ("same", "added", "removed", "broken"):
        shutil.copytree(images, folder / name)
    put = put_a_ctc(folder / "added", sources, found)
    with_ctc = found["calls"].loc[found["calls"]["call"] == "ctc", "frame"].iloc[0]
    (folder / "removed" / sources[with_ctc].name).unlink()
    victim = folder / "broken" / sources[with_ctc].name
    victim.write_bytes(victim.read_bytes()[:200])
    samples = ["sample\tpatient\tcollected\timages\tassay\tblood_volume_ml"]
    samples += [
        f"{name}\t{name}\t2026-01-01\t{name}\tcellsearch\t7.5" for name in ("same", "added", "removed", "broken")
    ]
    (folder / "samples.tsv").write_text("\n".join(samples) + "\n")
    patients = [f"{name}\tbreast\tmetastatic\tfemale" for name in ("same", "added", "removed", "broken")]
    (folder / "patients.tsv").write_text("\n".join(["patient\tprimary\tsetting\tsex", *patients]) + "\n")
    run = run_in_one_process(folder, "--config", "samples=samples.tsv", "patients=patients.tsv")
    assert run.code == 0, run.output
    return run, put, with_ctc


def results_of(run, name):
    counts = read_result(run.results / "samples" / name / "counts.json", "counts")
    cascade = read_result(run.results / "patients" / name / "cascade.json", "cascade")
    return counts, cascade


def page(run, name):
    return (run.results / "samples" / name / "report.html").read_text(encoding="utf-8")


def test_the_same_images_give_the_same_count(demo, runs):
    run, *_ = runs
    first = read_result(demo.results / "samples" / SAMPLE / "counts.json", "counts")
    again, _ = results_of(run, "same")
    for key in ("n_frames", "n_cells", "n_ctc", "n_clusters", "n_leukocytes", "imaged_fraction"):
        assert again[key] == first[key]
    for kind in ("frames", "cells", "calls"):
        assert (
            tables(run.results, "same")[kind]
            .drop(columns=["path"], errors="ignore")
            .equals(tables(demo.results, SAMPLE)[kind].drop(columns=["path"], errors="ignore"))
        )


def test_one_ctc_more_is_found_where_it_was_added_and_raises_every_result(runs):
    run, (frame, y, x), _ = runs
    (same, cascade), (added, raised) = results_of(run, "same"), results_of(run, "added")
    assert added["n_ctc"] == same["n_ctc"] + 1
    assert added["n_leukocytes"] == same["n_leukocytes"]
    assert added["imaged_fraction"] == same["imaged_fraction"]
    for key in ("estimate", "low", "high"):
        assert added["ctc_per_7_5_ml"][key] > same["ctc_per_7_5_ml"][key]
    assert all(added["p_at_least"][k] > same["p_at_least"][k] for k in same["p_at_least"] if same["p_at_least"][k] < 1)
    for organ, higher in zip(cascade["organs"], raised["organs"], strict=True):
        assert all(higher["p_metastasis"][t]["mean"] > organ["p_metastasis"][t]["mean"] for t in ("1", "2", "5"))
    before, after = (tables(run.results, name)["calls"].query("call == 'ctc'") for name in ("same", "added"))
    new = after.merge(
        before[["frame", "cell", "y_px", "x_px"]], how="left", on=["frame", "y_px", "x_px"], indicator=True
    )
    new = new[new["_merge"] == "left_only"]
    assert new["frame"].tolist() == [frame]
    assert abs(new["y_px"].item() - y) < 2
    assert abs(new["x_px"].item() - x) < 2
    assert page(run, "added") != page(run, "same")


@pytest.mark.parametrize("name", ["removed", "broken"])
def test_one_frame_fewer_removes_its_cells_only(runs, name):
    run, _, gone = runs
    (same, cascade), (less, lowered) = results_of(run, "same"), results_of(run, name)
    before, after = tables(run.results, "same"), tables(run.results, name)
    lost = before["calls"][before["calls"]["frame"] == gone]
    assert less["n_ctc"] == same["n_ctc"] - (lost["call"] == "ctc").sum() < same["n_ctc"]
    assert less["n_cells"] == same["n_cells"] - len(lost)
    assert less["n_frames_usable"] == same["n_frames_usable"] - 1
    area = before["frames"].set_index("frame")["area_um2"]
    whole = before["frames"].set_index("frame")["frame_area_um2"]
    if name == "removed":  # a frame that does not exist is not part of the sample
        whole = whole.drop(gone)
        assert less["n_frames"] == same["n_frames"] - 1
        assert gone not in set(after["frames"]["frame"])
    else:  # a frame that exists and cannot be read is part of it
        assert less["n_frames"] == same["n_frames"]
        assert not after["frames"].set_index("frame").loc[gone, "usable"]
        assert less["imaged_fraction"] < same["imaged_fraction"]
    assert less["imaged_fraction"] == pytest.approx(area.drop(gone).sum() / whole.sum(), rel=1e-5)
    assert less["ctc_per_7_5_ml"] != same["ctc_per_7_5_ml"]
    assert lowered["p_any"] != cascade["p_any"]
    assert page(run, name) != page(run, "same")


def test_fewer_ctcs_in_the_same_blood_lower_the_risk(runs):
    run, *_ = runs
    (same, cascade), (less, lowered) = results_of(run, "same"), results_of(run, "removed")
    assert less["imaged_fraction"] == same["imaged_fraction"] == 1
    assert less["ctc_per_7_5_ml"]["estimate"] < same["ctc_per_7_5_ml"]["estimate"]
    assert all(lowered["p_any"][t]["mean"] < cascade["p_any"][t]["mean"] for t in ("1", "2", "5"))
