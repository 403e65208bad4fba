"""Cells for other software: outlines that enclose exactly the pixels of a cell, labels with the table's numbers."""

import json
import re
import uuid
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import tifffile

from ctcascade.__main__ import main
from ctcascade.calling.classify import classify
from ctcascade.data import store
from ctcascade.data.errors import InputError
from ctcascade.images.detect import detect, gather
from ctcascade.report.qupath import export, geometry_of
from ctcascade.validation import phantom
from tests.support import czi_bytes, tiff_bytes
from tests.support.calling import assay, classify_job
from tests.support.detecting import detect_job

pytestmark = pytest.mark.unit


def filled(geometry, shape):
    """Return the pixels whose centre lies in a GeoJSON polygon, by the edges that a ray to the left crosses."""
    polygons = [geometry["coordinates"]] if geometry["type"] == "Polygon" else geometry["coordinates"]
    inside = np.zeros(shape, int)
    y, x = np.mgrid[: shape[0], : shape[1]] + 0.5
    for ring in (ring for polygon in polygons for ring in polygon):
        assert ring[0] == ring[-1]
        for (xa, ya), (xb, yb) in pairwise(ring):
            assert (xa == xb) != (ya == yb)  # along the edges of pixels
            if xa == xb:
                inside += (xa < x) & (min(ya, yb) < y) & (y < max(ya, yb))
    return inside % 2 == 1


MASKS = {
    "one pixel": ["#"],
    "a bar": ["####"],
    "a step": ["##.", ".##", "..#"],
    "a ring": ["####", "#..#", "#.##", "####"],
    "two parts": ["##..#", "##..#"],
    "a cross": [".#.", "###", ".#."],
    "a comb": ["#.#.#", "#####"],
}


@pytest.mark.oracle
@pytest.mark.parametrize("rows", MASKS.values(), ids=MASKS)
def test_an_outline_encloses_exactly_the_pixels(rows):
    mask = np.array([[letter == "#" for letter in row] for row in rows])
    placed = np.zeros((12, 12), bool)
    placed[3 : 3 + mask.shape[0], 5 : 5 + mask.shape[1]] = mask
    np.testing.assert_array_equal(filled(geometry_of(mask, (3, 5)), placed.shape), placed)


@pytest.mark.property
@pytest.mark.parametrize("seed", range(5))
def test_an_outline_of_any_blob_encloses_exactly_its_pixels(seed):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:40, :40]
    mask = np.hypot(y - 20, x - 20) < 12 + 4 * rng.normal(size=(40, 40)).cumsum(axis=0) / 6
    np.testing.assert_array_equal(filled(geometry_of(mask, (0, 0)), mask.shape), mask)


def test_an_empty_mask_has_no_outline():
    assert geometry_of(np.zeros((3, 3), bool), (0, 0)) is None


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """A small phantom sample's tables, its images and label images."""
    base = tmp_path_factory.mktemp("export")
    recipe = phantom.Recipe(leukocytes=25, ctcs=5)
    phantom.write_slide(base / "images", phantom.Slide(2, (220, 260), recipe=recipe), seed=3)
    tables(base, "images", assay("cellsearch"))
    return base


def tables(base, images, of):
    at = {kind: base / f"{kind}.parquet" for kind in ("frames", "cells", "calls")}
    chunk = [base / f"{kind}.parquet" for kind in ("f", "c", "o")]
    detect(detect_job(of, images), base, (1, 1), *chunk[:2], labels_out=base / "labels", outlines_out=chunk[2])
    gather([chunk[0]], [chunk[1]], at["frames"], at["cells"], [chunk[2]], base / "outlines.parquet")
    classify(classify_job(of), at["frames"], at["cells"], at["calls"])
    return at


def test_outlines_and_labels_agree_with_the_tables(sample, tmp_path, capsys):
    main(["export", "--sample", str(sample), "--base", str(sample), "--out", str(tmp_path)])
    assert capsys.readouterr().out.split() == [str(tmp_path / f"f00{k}.geojson") for k in (1, 2)]
    cells = store.read_table(sample / "cells.parquet", "cells").set_index(["frame", "cell"])
    calls = store.read_table(sample / "calls.parquet", "calls").set_index(["frame", "cell"])
    seen, ids = set(), set()
    for frame in ("f001", "f002"):
        features = json.loads((tmp_path / f"{frame}.geojson").read_text())["features"]
        with tifffile.TiffFile(tmp_path / "labels" / f"{frame}.ome.tif") as file:
            labels, xml = file.asarray(), file.ome_metadata
        assert labels.dtype == np.uint32
        np.testing.assert_array_equal(labels, tifffile.imread(sample / "labels" / f"{frame}.tif"))
        assert 'Name="nuclei"' in xml
        assert 'PhysicalSizeX="0.645"' in xml
        for feature in features:
            about = feature["properties"]
            key = (about["metadata"]["frame"], int(about["metadata"]["cell"]))
            seen.add(key)
            ids.add(str(uuid.UUID(feature["id"])))
            read_as_qupath_does(feature)
            assert about["classification"]["name"] == calls.loc[key, "call"]
            assert about["measurements"]["p_ctc"] == pytest.approx(calls.loc[key, "p_ctc"], rel=1e-5)
            assert about["measurements"]["area_um2"] == pytest.approx(cells.loc[key, "area_um2"], rel=1e-5)
            np.testing.assert_array_equal(filled(feature["geometry"], labels.shape[1:]), labels[1] == key[1])
            if "nucleusGeometry" in feature:
                np.testing.assert_array_equal(filled(feature["nucleusGeometry"], labels.shape[1:]), labels[0] == key[1])
            else:
                assert cells.loc[key, "nucleus_area_um2"] == 0
    assert seen == set(cells.index)
    assert len(ids) == len(cells)


def read_as_qupath_does(feature):
    """Check what QuPath's own reader (qupath.lib.io.QuPathTypeAdapters, 0.4 to 0.6) takes from a feature."""
    assert set(feature) <= {"type", "id", "geometry", "nucleusGeometry", "properties"}
    assert feature["type"] == "Feature"
    about = feature["properties"]
    assert set(about) == {
        "objectType",
        "name",
        "classification",
        "measurements",
        "metadata",
    }  # not locked: written only if
    assert about["objectType"] == "cell"
    assert set(about["classification"]) == {"name", "color"}
    assert all(isinstance(part, int) and 0 <= part <= 255 for part in about["classification"]["color"])
    assert len(about["classification"]["color"]) == 3
    assert all(isinstance(value, float) for value in about["measurements"].values())
    assert all(isinstance(value, str) for value in about["metadata"].values())
    for geometry in (feature["geometry"], feature.get("nucleusGeometry")):
        shapes = [] if geometry is None else geometry["coordinates"]
        shapes = [shapes] if geometry and geometry["type"] == "Polygon" else shapes
        assert all(ring[0] == ring[-1] and len(ring) >= 4 for rings in shapes for ring in rings)


def test_equal_inputs_give_equal_bytes(sample, tmp_path):
    for name in ("a", "b"):
        export(sample, sample, tmp_path / name)
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file())
    assert len(files) == 4
    assert all((tmp_path / "a" / f).read_bytes() == (tmp_path / "b" / f).read_bytes() for f in files)


def test_images_that_are_gone_are_refused(sample, tmp_path):
    changed = tmp_path / "changed"
    (changed / "images").mkdir(parents=True)
    first, _ = sorted((sample / "images").iterdir())
    (changed / "images" / first.name).write_bytes(first.read_bytes())
    with pytest.raises(InputError, match="found no frame f002"):
        export(sample, changed, tmp_path / "out")
    assert not list((tmp_path / "out").glob("*.geojson"))


def test_no_pixel_is_read(sample, tmp_path):
    export(sample, sample, tmp_path / "whole")
    (tmp_path / "images").mkdir()
    for path in (sample / "images").iterdir():
        (tmp_path / "images" / path.name).write_bytes(b"")
    export(sample, tmp_path, tmp_path / "out")
    for path in (tmp_path / "whole").rglob("*.*"):
        assert path.read_bytes() == (tmp_path / "out" / path.relative_to(tmp_path / "whole")).read_bytes()


def test_a_cell_without_an_outline_is_refused(sample, tmp_path):
    for path in sample.glob("*.parquet"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    at = tmp_path / "outlines.parquet"
    store.write_table(at, "outlines", store.read_table(at, "outlines").iloc[:-1], store.table_provenance(at))
    with pytest.raises(InputError, match="found no outline"):
        export(tmp_path, sample, tmp_path / "out")


@pytest.mark.parametrize("name", ["s1.tif", "s_S0.czi"])
def test_a_whole_slide_image_has_one_file_in_its_own_pixels(tmp_path, name):
    of = {**assay("cellsearch"), "pixel_size_um": 0.645}
    phantom.write_slide(tmp_path / "one", phantom.Slide(1, (300, 400), recipe=phantom.Recipe(leukocytes=20, ctcs=3)), 5)
    with tifffile.TiffFile(next((tmp_path / "one").iterdir())) as file:
        pixels, xml = file.asarray(), file.ome_metadata
    wide = np.concatenate([pixels] * 8, axis=2)  # 3,200 across
    (tmp_path / "slide").mkdir()
    if name.endswith("czi"):
        pieces = czi_bytes.mosaic(wide, [(0, x) for x in range(0, 3000, 800)], (300, 1000))
        words = czi_bytes.xml(re.findall(r' Name="([^"]+)"', xml), 0.645)
        (tmp_path / "slide" / name).write_bytes(czi_bytes.as_bytes(pieces, words))
    else:
        pages = [
            tiff_bytes.Page(np.ascontiguousarray(p), (256, 256), True, "" if k else xml) for k, p in enumerate(wide)
        ]
        tiff_bytes.write(tmp_path / "slide" / name, pages)
    at = tables(tmp_path, "slide", of)
    (path,) = export(tmp_path, tmp_path, tmp_path / "out")
    assert path.stem == Path(name).stem
    features = json.loads(path.read_text())["features"]
    assert len(features) == len(store.read_table(at["cells"], "cells"))
    covered = np.zeros((300, 3200), int)
    for feature in features:
        covered += filled(feature["geometry"], covered.shape)
    assert covered.max() == 1  # no cell twice, and none in the place of another
    whole = store.read_table(at["frames"], "frames")
    assert len(whole) == {"s1.tif": 2, "s_S0.czi": 4}[name]
    assert covered[:, 1650:].any()
