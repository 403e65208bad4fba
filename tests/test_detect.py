"""Frames to tables: what is found belongs to its frame, whatever the chunks, the order of channels, its neighbours."""

import cv2
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import tifffile

from pipeline import detect, phantom, store
from pipeline.errors import InputError
from pipeline.schema import TABLES

ASSAY = {
    "name": "test",
    "channels": {"dna": ["DAPI"], "ck": ["CK-PE"], "cd45": ["CD45-APC"], "fitc": ["FITC"]},
    "pixel_size_um": 0.645,
    "frame_px": [100, 120],
    "bit_depth": 12,
    "files": None,
}
SETTINGS = {
    "sample": "S",
    "images": "slide",
    "format": "auto",
    "assay": ASSAY,
    "labels": False,
    "nucleus_diameter_um": [3.5, 30.0],
    "cell_margin_um": 4.0,
    "contact_gap_max_um": 3.0,
}
SHAPE = (150, 200)
CLEAN = phantom.Recipe(leukocytes=15, ctcs=3, bare_nuclei=0, fragments=0, specks=0, aggregates=0, apoptotic=0)


def slide(shape=SHAPE, frames=1, recipe=CLEAN, **optics):
    return phantom.Slide(frames=frames, shape=shape, recipe=recipe, optics=phantom.Optics(**optics))


def detected(base, settings=SETTINGS, chunk=(1, 1), name="all", labels=None):
    """The frames and cells tables of a chunk, and the files they are in."""
    paths = base / f"{name}_frames.parquet", base / f"{name}_cells.parquet"
    detect.detect(settings, base, chunk, *paths, labels)
    return store.read_table(paths[0], "frames"), store.read_table(paths[1], "cells"), paths


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """Five frames, one of them cut off, one no image."""
    folder = tmp_path_factory.mktemp("detect")
    phantom.write_slide(folder / "slide", slide(frames=5), seed=4)
    cut = folder / "slide" / "f003.ome.tif"
    cut.write_bytes(cut.read_bytes()[:-2000])
    (folder / "slide" / "f004.ome.tif").write_text("no image")
    return folder


@pytest.mark.property
@pytest.mark.parametrize("chunks", [2, 3, 5, 8])
def test_chunks_change_no_byte(base, chunks):
    _, _, whole = detected(base)
    parts = [detected(base, chunk=(k + 1, chunks), name=f"{k}_of_{chunks}")[2] for k in range(chunks)]
    joined = base / "frames.parquet", base / "cells.parquet"
    detect.gather([p[0] for p in parts], [p[1] for p in parts], *joined)
    assert pq.read_table(joined[0]).equals(pq.read_table(whole[0]))
    assert joined[1].read_bytes() == whole[1].read_bytes()
    assert store.table_provenance(joined[0]) == store.table_provenance(whole[0])


def test_a_frame_that_cannot_be_read_is_a_row_and_no_cells(base):
    frames, cells, _ = detected(base)
    assert frames["frame"].tolist() == [f"f00{k}" for k in range(1, 6)]
    assert frames["usable"].tolist() == [True, True, False, False, True]
    assert set(cells["frame"]) == {"f001", "f002", "f005"}
    cut, text = frames.iloc[2], frames.iloc[3]
    assert "truncated" in cut["reason"]
    assert "TIFF" in text["reason"]
    assert (cut["height_px"], cut["width_px"]) == SHAPE  # the header still tells
    assert [text["height_px"], text["width_px"]] == ASSAY["frame_px"]  # nominal
    for row in (cut, text):
        assert row["area_um2"] == row["n_cells"] == 0
        assert row["frame_area_um2"] == pytest.approx(row["height_px"] * row["width_px"] * 0.645**2)
        assert np.isnan(row["dna_focus"])
    good = frames[frames["usable"]]
    assert (good["reason"] == "").all()
    np.testing.assert_allclose(good["area_um2"], SHAPE[0] * SHAPE[1] * 0.645**2, rtol=1e-6)
    assert good["n_cells"].tolist() == cells.groupby("frame").size().tolist()


def test_tables_have_the_columns_of_the_schema(base):
    frames, cells, _ = detected(base)
    for kind, table in (("frames", frames), ("cells", cells)):
        assert list(table.columns) == [c.name for c in TABLES[kind].for_roles(ASSAY["channels"])]
    assert cells.groupby("frame")["cell"].apply(lambda n: n.tolist() == list(range(1, len(n) + 1))).all()


def test_tables_do_not_tell_where_they_were_made(base):
    *_, paths = detected(base)
    made_by = store.table_provenance(paths[1])
    assert made_by["settings"] == SETTINGS
    for path in paths:
        assert base.name.encode() not in path.read_bytes()
        assert str(base) not in str(pq.read_schema(path).metadata)
    assert (store.read_table(paths[0], "frames")["path"].str.startswith("slide/f00")).all()


def test_chunks_of_other_settings_are_not_joined(base):
    *_, a = detected(base, chunk=(1, 2), name="a")
    *_, b = detected(base, {**SETTINGS, "cell_margin_um": 5.0}, chunk=(2, 2), name="b")
    with pytest.raises(InputError, match="other settings"):
        detect.gather([a[0], b[0]], [a[1], b[1]], base / "x.parquet", base / "y.parquet")
    assert not (base / "y.parquet").exists()


def test_labels_are_the_cells_of_the_table(base):
    frames, cells, _ = detected(base, labels=base / "labels")
    usable = frames.loc[frames["usable"], "frame"]
    assert sorted(p.name for p in (base / "labels").iterdir()) == [f"{name}.tif" for name in usable]
    for name in usable:
        nuclei, whole = tifffile.imread(base / "labels" / f"{name}.tif")
        rows = cells[cells["frame"] == name].set_index("cell")
        assert nuclei.dtype == whole.dtype == np.uint32
        assert whole.shape == SHAPE
        count = len(rows) + 1
        np.testing.assert_allclose(
            np.bincount(whole.ravel(), minlength=count)[1:] * 0.645**2, rows["area_um2"], rtol=1e-6
        )
        np.testing.assert_allclose(
            np.bincount(nuclei.ravel(), minlength=count)[1:] * 0.645**2, rows["nucleus_area_um2"], rtol=1e-6
        )
        convex = rows[rows["solidity"] > 0.9]
        assert len(convex) > 5
        y, x = convex["y_px"].round().astype(int), convex["x_px"].round().astype(int)
        np.testing.assert_array_equal(whole[y, x], convex.index)


@pytest.mark.oracle
def test_cells_lie_where_the_truth_says(tmp_path):
    recipe = phantom.Recipe(leukocytes=25, ctcs=5, bare_nuclei=0, fragments=0, specks=0, aggregates=0, apoptotic=0)
    truth = phantom.write_slide(tmp_path / "slide", slide((200, 500), frames=2, recipe=recipe, vignetting=0.4), seed=9)
    _, cells, _ = detected(tmp_path)
    whole = truth[truth["whole"]]
    assert len(whole) > 30
    assert whole["x_px"].max() > 300  # y and x cannot be taken for each other
    for _, one in whole.iterrows():
        here = cells[cells["frame"] == one["frame"]]
        away = np.hypot(here["y_px"] - one["y_px"], here["x_px"] - one["x_px"]) * 0.645
        assert away.min() < 2.5
        nearest = here.loc[away.idxmin()]
        assert nearest["y0_px"] <= one["y_px"] < nearest["y1_px"]
        assert nearest["x0_px"] <= one["x_px"] < nearest["x1_px"]
    ctcs = whole[whole["kind"] == "ctc"]
    for _, one in ctcs.iterrows():
        here = cells[cells["frame"] == one["frame"]]
        cell = here.loc[np.hypot(here["y_px"] - one["y_px"], here["x_px"] - one["x_px"]).idxmin()]
        assert cell["ck_mean"] > 10 * max(cell["cd45_mean"], 1)
        assert cell["equivalent_diameter_um"] == pytest.approx(one["diameter_um"], rel=0.25)


@pytest.mark.property
def test_channels_go_by_their_names(tmp_path):
    """The same pixels, with the channels in another order in the file, give the same cells."""
    one = slide()
    pixels, _ = phantom.render(one, [(1, 0)], np.random.default_rng(2))
    tables = []
    for order in range(4):
        folder = tmp_path / str(order)
        phantom.write_frame(folder / "slide", "f1", pixels, one, order=order)
        tables.append(detected(folder)[:2])
    for frames, cells in tables[1:]:
        pd.testing.assert_frame_equal(frames, tables[0][0])
        pd.testing.assert_frame_equal(cells, tables[0][1])


@pytest.mark.property
def test_other_frames_change_nothing(tmp_path):
    for name, frames in (("few", 2), ("many", 4)):
        one = slide(frames=4)
        phantom.write_slide(tmp_path / name / "slide", one, seed=1)
        for k in range(frames, 4):
            (tmp_path / name / "slide" / f"f00{k + 1}.ome.tif").unlink()
    few, many = detected(tmp_path / "few")[1], detected(tmp_path / "many")[1]
    pd.testing.assert_frame_equal(few, many[many["frame"].isin(["f001", "f002"])].reset_index(drop=True))


def test_a_slide_without_a_cell_gives_a_table_without_a_row(tmp_path):
    empty = slide(recipe=phantom.Recipe(0, 0, (), bare_nuclei=0, fragments=0, specks=0, aggregates=0, apoptotic=0))
    phantom.write_slide(tmp_path / "slide", empty, seed=1)
    frames, cells, _ = detected(tmp_path)
    assert frames["usable"].tolist() == [True]
    assert frames["n_cells"].tolist() == [0]
    assert len(cells) == 0
    assert "ck_mean" in cells


def test_a_frame_that_lacks_a_further_marker_is_measured_without_it(tmp_path):
    one = slide()
    pixels, _ = phantom.render(one, [], np.random.default_rng(2))
    (tmp_path / "slide").mkdir()
    names = {"axes": "CYX", "Channel": {"Name": ["DAPI", "CK-PE", "CD45-APC"]}}
    tifffile.imwrite(tmp_path / "slide" / "f1.ome.tif", pixels[:3], photometric="minisblack", metadata=names)
    frames, cells, _ = detected(tmp_path)
    assert frames["usable"].all()
    assert len(cells) > 5
    assert cells["fitc_mean"].isna().all()
    assert cells["cd45_mean"].notna().all()
    assert frames["fitc_background"].isna().all()


def flags(tmp_path, change, **optics):
    one = slide(**optics)
    pixels, _ = phantom.render(one, [], np.random.default_rng(3))
    phantom.write_frame(tmp_path / "slide", "f1", change(pixels), one)
    frames, _, _ = detected(tmp_path)
    assert frames["usable"].all()
    return set(filter(None, frames["flags"].item().split(",")))


def bright(pixels):
    pixels = pixels.copy()
    pixels[1, :30] = 4095
    return pixels


def dark_side(pixels):
    return (pixels * np.linspace(0.3, 3, SHAPE[1])).astype(np.uint16)


def blurred(pixels):
    rng = np.random.default_rng(0)
    soft = [cv2.GaussianBlur(plane.astype(float), (0, 0), 25) + rng.normal(0, 5, SHAPE) for plane in pixels]
    return np.round(np.stack(soft)).astype(np.uint16)


@pytest.mark.parametrize(
    ("change", "optics", "expected"),
    [
        (np.copy, {}, set()),
        (bright, {}, {"saturated"}),
        (dark_side, {"offset": 500.0}, {"uneven"}),
        (blurred, {}, {"weak_focus"}),
        (np.copy, {"pixel_size_um": 0.5}, {"pixel_size_differs"}),
    ],
)
def test_a_poor_frame_is_flagged_and_used(tmp_path, change, optics, expected):
    assert flags(tmp_path, change, **optics) == expected


@pytest.mark.property
def test_sharpness_falls_with_blur_and_not_with_brightness(tmp_path):
    focus = []
    for number, (psf, light) in enumerate([(0.4, 1), (0.4, 2), (1.2, 1), (2.5, 1), (5.0, 1)]):
        one = slide(psf_um=psf)
        pixels, _ = phantom.render(one, [], np.random.default_rng(3))
        phantom.write_frame(tmp_path / str(number) / "slide", "f1", (pixels * light).clip(0, 4095), one)
        focus.append(detected(tmp_path / str(number))[0]["focus"].item())
    sharp, brighter, *worse = focus
    assert brighter == pytest.approx(sharp, rel=0.15)
    assert sharp > worse[0] > worse[1] > worse[2]
