"""Outlines and crops: the very pixels of the cells, and of the frames, that pages and the export are made from."""

import os
import shutil

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import tifffile

from ctcascade import formats
from ctcascade.calling.candidates import records
from ctcascade.data import store
from ctcascade.data.errors import InputError
from ctcascade.images import detect, mosaic
from ctcascade.images.background import correct
from ctcascade.images.crops import STYLE, Window, crops
from ctcascade.images.outlines import decoded, encoded, read_outlines
from ctcascade.images.reduced import FINER, overview_table, reduced
from ctcascade.study.detection_settings import BackgroundSettings
from tests.support import report_cases as cases
from tests.support.counts import unjudged

pytestmark = pytest.mark.unit

TABLES = ("frames", "cells", "calls", "outlines", "crops")


def boxes_of(labels):
    """Return the bounding box of each label 1..N."""
    boxes = []
    for number in range(1, labels.max(initial=0) + 1):
        y, x = np.nonzero(labels == number)
        boxes.append((y.min(), x.min(), y.max() + 1, x.max() + 1))
    return np.array(boxes, np.int64).reshape(-1, 4)


@pytest.mark.property
@pytest.mark.parametrize("seed", range(6))
def test_runs_give_the_mask_back(seed):
    rng = np.random.default_rng(seed)
    labels = np.kron(rng.integers(0, 9, (5, 6)), np.ones((7, 5), int)) * (rng.random((35, 30)) < 0.8)
    labels = np.unique(labels, return_inverse=True)[1].reshape(labels.shape).astype(np.int32)  # 0..N without gaps
    boxes = boxes_of(labels)
    found = encoded(labels, boxes).to_pylist()
    assert len(found) == len(boxes) > 5
    for number, (lengths, (y0, x0, y1, x1)) in enumerate(zip(found, boxes, strict=True), start=1):
        mask = decoded(np.array(lengths, np.int64), (y1 - y0, x1 - x0))
        np.testing.assert_array_equal(mask, labels[y0:y1, x0:x1] == number)


@pytest.mark.parametrize("rows", [["#"], ["###"], ["#", "#"], ["#.#", "..#"]])
def test_runs_of_small_objects(rows):
    mask = np.array([[letter == "#" for letter in row] for row in rows])
    boxes = np.array([[0, 0, *mask.shape]])
    (lengths,) = encoded(mask.astype(np.int32), boxes).to_pylist()
    np.testing.assert_array_equal(decoded(np.array(lengths, np.int64), mask.shape), mask)


def test_a_frame_without_cells_has_no_runs():
    nothing = np.zeros((4, 4), np.int32)
    assert len(encoded(nothing, np.empty((0, 4), np.int64))) == 0
    assert encoded(nothing, np.array([[0, 0, 4, 4]])).to_pylist() == [[]]  # a cell without nucleus


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """The tables of a detected sample in which each cell is a candidate, its label images, and its crops."""
    folder = tmp_path_factory.mktemp("sample")
    table = cases.frames(3)
    cases.images(folder / "images", table, *cases.cells_and_calls(table, n_cells=36, n_ctc=6))
    at = {kind: folder / f"{kind}.parquet" for kind in TABLES}
    where = (at["frames"], at["cells"], folder / "labels")
    passing = {"outlines_out": at["outlines"], "planes_out": folder / "planes.parquet"}
    detect.detect(cases.DETECT_JOB, folder, (1, 1), *where, **passing)
    small = overview_table(store.read_table(at["frames"], "frames"), store.read_parts(passing["planes_out"], "planes"))
    store.write_table(folder / "overview.parquet", "overview", small, store.table_provenance(at["frames"]))
    cells = store.read_table(at["cells"], "cells")
    calls = cells[["frame", "cell", "y_px", "x_px"]].assign(call="ctc", p_ctc=0.9, reason="x", **unjudged(len(cells)))
    calls["with_leukocyte"] = calls["at_border"] = False
    calls["cluster"] = pd.array([7, 7, *[None] * (len(calls) - 2)], "Int64")
    store.write_table(at["calls"], "calls", calls, store.table_provenance(at["cells"]))
    job = cases.about_sample(thumbnails=1000).crops
    crops(job, folder, *at.values())
    return folder, at | {"overview": folder / "overview.parquet"}, job


@pytest.mark.oracle
def test_outlines_are_the_label_images(sample):
    folder, at, _ = sample
    for frame in ("f000", "f001"):
        labels = tifffile.imread(folder / "labels" / f"{frame}.tif")
        painted = np.zeros_like(labels)
        for outline in read_outlines(at["outlines"], [frame]):
            y0, x0, y1, x1 = outline.box_px
            painted[0, y0:y1, x0:x1][outline.in_nucleus] = outline.cell
            painted[1, y0:y1, x0:x1][outline.in_cell] = outline.cell
        np.testing.assert_array_equal(painted, labels)
        assert labels.max() > 20


def plane(row, role):
    return np.frombuffer(row[f"{role}_pixels"], np.uint8).reshape(row["rows"], row["columns"])


@pytest.mark.oracle
def test_crops_are_the_pixels_of_the_frames(sample):
    folder, at, _ = sample
    cells = store.read_table(at["cells"], "cells")
    rows = records(store.read_table(at["crops"], "crops"))
    assert [row["kind"] for row in rows] == ["cell"] * len(cells) + ["cluster"]
    for row in rows:
        pixels = tifffile.imread(folder / "images" / f"{row['frame']}.ome.tif").astype(np.float32)
        labels = tifffile.imread(folder / "labels" / f"{row['frame']}.tif")[1]
        side = row["y1_px"] - row["y0_px"]
        y, x = np.mgrid[row["y0_px"] : row["y1_px"], row["x0_px"] : row["x1_px"]]
        inside = (y >= 0) & (x >= 0) & (y < 256) & (x < 256)
        at_pixel = (y.clip(0, 255), x.clip(0, 255))
        masks = np.frombuffer(row["masks"], "<u2").reshape(side, side)
        for place, cell in enumerate(row["cells"], start=1):
            np.testing.assert_array_equal(masks == place, inside & (labels[at_pixel] == cell))
        for channel, role in enumerate(("dna", "ck", "cd45")):
            noise = float(store.read_table(at["frames"], "frames")[f"{role}_noise"].median())
            white = max(1.0, 12 * noise, float(cells[f"{role}_max"].quantile(STYLE.white_quantile)))
            assert row[f"{role}_white"] == pytest.approx(white)
            signal = correct(pixels[channel], cases.PIXEL_UM, BackgroundSettings()).signal[at_pixel]
            grey = np.where(inside, np.clip(signal / white, 0, 1), 0) * 255
            drawn = plane(row, role)
            if side > STYLE.max_side_px:
                assert drawn.shape == (STYLE.max_side_px, STYLE.max_side_px)
                assert drawn.mean() == pytest.approx(grey.mean(), abs=0.5)
            else:
                assert np.abs(drawn - grey).max() <= 0.501


def test_a_frame_made_small_shows_the_frame(sample):
    folder, at, _ = sample
    rows = records(store.read_table(at["overview"], "overview"))
    assert [row["frame"] for row in rows] == ["f000", "f001"]
    for row in rows:
        pixels = tifffile.imread(folder / "images" / f"{row['frame']}.ome.tif").astype(float)
        assert (row["rows"], row["columns"]) == (256, 256)  # three frames are few: as they are
        counts = row["dna_black"] + plane(row, "dna") / 255 * (row["dna_white"] - row["dna_black"])
        clipped = pixels[0].clip(row["dna_black"], row["dna_white"])
        assert np.abs(counts - clipped).max() <= 0.51 * (row["dna_white"] - row["dna_black"]) / 255


def test_a_large_window_is_made_smaller():
    row = {"frame": "f", "cell": 1, "y0_px": 0, "x0_px": 0, "y1_px": 100, "x1_px": 60}
    window = Window.around([row], 0.5)
    assert (window.side, window.top, window.left) == (150, -25, -45)
    assert window.side > STYLE.max_side_px


def test_equal_inputs_give_equal_bytes(sample, tmp_path):
    folder, at, job = sample
    crops(job, folder, *(at[kind] for kind in TABLES[:-1]), tmp_path / "again.parquet")
    assert (tmp_path / "again.parquet").read_bytes() == at["crops"].read_bytes()


def unnamed_images(at, folder):
    """Tables that do not say which images they were made from, as those of a program that only writes tables."""
    for kind in TABLES[:-1]:
        made_by = store.table_provenance(at[kind]).model_copy(update={"images": "", "inputs": {}})
        store.write_table(folder / at[kind].name, kind, store.read_table(at[kind], kind), made_by)
    return [folder / at[kind].name for kind in TABLES[:-1]]


@pytest.mark.regression
def test_pixels_of_another_tube_are_never_shown_beside_the_calls(sample, tmp_path):
    folder, at, job = sample
    shutil.copytree(folder / "images", tmp_path / "images")
    path = tmp_path / "images" / "f001.ome.tif"
    data = bytearray(path.read_bytes())
    data[-1000:-600] = bytes(400)  # same name, size and date
    path.write_bytes(data)
    os.utime(path, ns=(0, (folder / "images" / "f001.ome.tif").stat().st_mtime_ns))
    with pytest.raises(InputError, match="start the run again: detection is made again"):
        crops(job, tmp_path, *(at[kind] for kind in TABLES[:-1]), tmp_path / "crops.parquet")
    assert not (tmp_path / "crops.parquet").exists()


def test_frames_that_are_gone_or_unreadable_leave_a_reason(sample, tmp_path):
    _, at, job = sample
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "f001.ome.tif").write_bytes(b"II*\0")
    with pytest.raises(InputError, match=r"images that are not those that frames\.parquet was made from"):
        crops(job, tmp_path, *(at[kind] for kind in TABLES[:-1]), tmp_path / "crops.parquet")
    tables = unnamed_images(at, tmp_path)
    crops(job, tmp_path, *tables, tmp_path / "crops.parquet")
    rows = store.read_table(tmp_path / "crops.parquet", "crops")
    assert set(rows["kind"]) == {"cell", "cluster"}
    assert set(rows.loc[rows["frame"] == "f000", "problem"]) == {"the frame is no longer there"}
    assert rows.loc[rows["frame"] == "f001", "problem"].str.startswith("the frame cannot be read now: ").all()
    assert rows["dna_pixels"].isna().all()


def test_no_candidate_leaves_no_picture_but_of_cells_to_compare_with(sample, tmp_path):
    folder, at, job = sample
    calls = store.read_table(at["calls"], "calls").assign(call="leukocyte", cluster=pd.NA)
    made_by = store.table_provenance(at["calls"])
    store.write_table(tmp_path / "calls.parquet", "calls", calls.astype({"cluster": "Int64"}), made_by)
    where = (at["frames"], at["cells"], tmp_path / "calls.parquet", at["outlines"], tmp_path / "crops.parquet")
    crops(job, folder, *where)
    kinds = store.read_table(where[-1], "crops")["kind"].value_counts().to_dict()
    assert kinds == {"cell": 20}  # ten leukocytes to compare with, and the ten likeliest
    crops(job.model_copy(update={"compared": 0}), folder, *where)
    assert len(store.read_table(where[-1], "crops")) == 0


def test_chunks_are_joined_in_order(sample, tmp_path):
    folder, at, _ = sample
    parts = [[tmp_path / f"{kind}{k}" for kind in "fcop"] for k in (1, 2)]
    for k, (frames, cells, outlines, planes) in enumerate(parts, start=1):
        detect.detect(cases.DETECT_JOB, folder, (k, 2), frames, cells, outlines_out=outlines, planes_out=planes)
    columns = [list(paths) for paths in zip(*parts, strict=True)]
    out = [tmp_path / kind for kind in "FCOV"]
    detect.gather(*columns[:2], *out[:2], columns[2], out[2], columns[3], out[3])
    assert out[2].read_bytes() == at["outlines"].read_bytes()
    assert out[3].read_bytes() == at["overview"].read_bytes()
    assert pq.read_schema(out[2]).names[:2] == ["frame", "cell"]


def test_each_frame_is_decoded_once_and_again_only_where_cells_are_shown(tmp_path, monkeypatch):
    table = cases.frames(4)
    cases.images(tmp_path / "images", table, *cases.cells_and_calls(table, n_cells=40, n_ctc=4))
    at = {kind: tmp_path / f"{kind}.parquet" for kind in (*TABLES, "overview")}
    chunk = {kind: tmp_path / f"{kind}.chunk" for kind in ("frames", "cells", "outlines", "planes")}
    decoded_frames = []

    def read(ref, camera):
        decoded_frames.append(ref.frame)
        return formats_read(ref, camera)

    formats_read = formats.read
    monkeypatch.setattr(detect, "read", read)
    monkeypatch.setattr(formats, "read", read)
    detect.detect(cases.DETECT_JOB, tmp_path, (1, 1), chunk["frames"], chunk["cells"], None, None, chunk["outlines"],
                  planes_out=chunk["planes"])  # fmt: skip
    both = [[chunk["frames"]], [chunk["cells"]], at["frames"], at["cells"]]
    detect.gather(*both, [chunk["outlines"]], at["outlines"], [chunk["planes"]], at["overview"])
    assert sorted(decoded_frames) == ["f000", "f001", "f002", "f003"]
    cells = store.read_table(at["cells"], "cells")
    calls = cells[["frame", "cell", "y_px", "x_px"]].assign(
        call="debris", p_ctc=0.1, reason="x", **unjudged(len(cells))
    )
    calls = calls.assign(with_leukocyte=False, at_border=False, cluster=pd.array([None] * len(calls), "Int64"))
    calls.loc[calls["frame"] == "f001", "call"] = "ctc"
    store.write_table(at["calls"], "calls", calls, store.table_provenance(at["cells"]))
    job = cases.about_sample().crops.model_copy(update={"compared": 0})
    crops(job, tmp_path, *(at[kind] for kind in TABLES))
    assert decoded_frames[4:] == ["f001"]


def test_what_is_kept_of_a_frame_is_as_fine_as_its_picture_may_need():
    frame = formats.Frame(np.full((3, 1000, 1400), 7.5, np.float32), ("dna", "ck", "cd45"), 0.6, 4095.0)
    for n in (1, 4, 100, 3000):
        row = reduced(frame, "f", n)
        table = pd.concat([cases.frames(2).iloc[:1]] * n, ignore_index=True)
        names = [f"f{k:04d}" for k in range(n)]
        arranged = mosaic.arrange(table.assign(frame=names, height_px=1000, width_px=1400))
        place = arranged.places[0]
        assert place.rows_px <= row["rows"] <= max(2, 1.6 * FINER * place.rows_px)
        assert place.columns_px <= row["columns"]
        assert len(row["ck_counts"]) == 4 * row["rows"] * row["columns"]
        np.testing.assert_allclose(np.frombuffer(row["ck_counts"], "<f4"), 7.5, rtol=1e-6)
