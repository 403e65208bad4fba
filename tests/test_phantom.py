import filecmp
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image

from ctcascade.validation import demo, phantom
from ctcascade.validation.phantom import CTC_KINDS, LEUKOCYTE_KINDS, Optics, Recipe, Slide

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[1]
CLEAN = Optics(read_noise=0.0, photons_per_count=1e6, bleed=0.0, shift_px=0.0, vignetting=0.0)
OME = "{http://www.openmicroscopy.org/Schemas/OME/2016-06}"


def files(folder):
    return sorted(p.relative_to(folder) for p in folder.rglob("*") if p.is_file())


def differing(a, b):
    assert files(a) == files(b)
    return filecmp.cmpfiles(a, b, files(a), shallow=False)[1:]


@pytest.mark.regression
@pytest.mark.parametrize("part", ["images", "truth"])
def test_the_shipped_demonstration_is_what_the_phantom_makes(tmp_path, part):
    demo.write_demo(tmp_path)
    assert files(tmp_path / part)
    assert differing(tmp_path / part, ROOT / "test_data" / part) == ([], [])


@pytest.mark.parametrize("layout", ["ome-tiff", "files"])
def test_equal_seed_equal_bytes_and_another_seed_another_slide(tmp_path, layout):
    slide = Slide(frames=2, shape=(128, 144), recipe=Recipe(leukocytes=8, ctcs=2), layout=layout)
    truths = [phantom.write_slide(tmp_path / name, slide, seed) for name, seed in (("a", 3), ("b", 3), ("c", 4))]
    assert differing(tmp_path / "a", tmp_path / "b") == ([], [])
    assert differing(tmp_path / "a", tmp_path / "c")[0] == files(tmp_path / "a")
    pd.testing.assert_frame_equal(truths[0], truths[1])
    assert len(files(tmp_path / "a")) == (2 if layout == "ome-tiff" else 8)


def test_a_frame_depends_on_its_own_draws_only():
    slide = Slide(frames=2, shape=(128, 128), recipe=Recipe(leukocytes=6, ctcs=1))
    groups = [(1, 0)]
    alone, _ = phantom.render(slide, groups, np.random.default_rng(8))
    again, _ = phantom.render(replace(slide, frames=5), groups, np.random.default_rng(8))
    assert np.array_equal(alone, again)


def test_truth_names_what_was_asked_for(tmp_path):
    recipe = Recipe(leukocytes=20, ctcs=7, clusters=((3, 0), (2, 2), (1, 1)))
    truth = phantom.write_slide(tmp_path, Slide(frames=3, recipe=recipe), seed=6)
    ctcs = truth[truth["kind"].isin(CTC_KINDS)]
    assert len(ctcs) == 7 + 3 + 2 + 1
    groups = truth[truth["cluster"] > 0].groupby(["frame", "cluster"])
    found = sorted(
        (int(g["kind"].isin(CTC_KINDS).sum()), int(g["kind"].isin(LEUKOCYTE_KINDS).sum())) for _, g in groups
    )
    assert found == [(1, 1), (2, 2), (3, 0)]
    assert ctcs["whole"].all()
    assert 30 <= truth["kind"].isin(LEUKOCYTE_KINDS).sum() <= 90  # Poisson, mean 60, less those without room


def test_members_of_a_cluster_touch_and_other_cells_do_not(tmp_path):
    recipe = Recipe(leukocytes=15, ctcs=2, clusters=((4, 0), (2, 1)))
    truth = phantom.write_slide(tmp_path, Slide(frames=1, recipe=recipe), seed=2)
    place = truth[["y_px", "x_px"]].to_numpy() * Optics().pixel_size_um
    gap = np.linalg.norm(place[:, None] - place[None], axis=2)
    gap -= (truth["diameter_um"].to_numpy()[:, None] + truth["diameter_um"].to_numpy()[None]) / 2
    np.fill_diagonal(gap, np.inf)
    cluster = truth["cluster"].to_numpy()
    inside = np.flatnonzero(cluster)
    for i in inside:
        assert gap[i, cluster == cluster[i]].min() < 0
        assert gap[i, cluster != cluster[i]].min() >= 0


@pytest.mark.oracle
def test_cells_are_bright_where_the_truth_says():
    slide = Slide(frames=1, optics=CLEAN, recipe=Recipe(leukocytes=0, specks=0, fragments=0, aggregates=0, ctcs=5))
    pixels, truth = phantom.render(slide, [(1, 0)] * 5, np.random.default_rng(12))
    signal = pixels.astype(float) - CLEAN.offset - np.array(CLEAN.haze)[:, None, None]
    y, x = np.mgrid[: slide.shape[0], : slide.shape[1]]
    far = np.ones(slide.shape, bool)
    for _, thing in truth.iterrows():
        distance = np.hypot(y - thing["y_px"], x - thing["x_px"])
        radius = thing["diameter_um"] / 2 / CLEAN.pixel_size_um
        far &= distance > 1.5 * radius + 6
        if thing["kind"] != "ctc":
            continue
        near = distance < radius + 3
        for k in (0, 1):  # DNA and cytokeratin; a nucleus may lie a little off the middle
            weight = signal[k][near].clip(0)
            centre = np.array([np.average(y[near], weights=weight), np.average(x[near], weights=weight)])
            assert np.hypot(*(centre - [thing["y_px"], thing["x_px"]])) < 0.15 * radius
        area = (signal[1][near] > 0.3 * np.quantile(signal[1][near], 0.9)).sum()
        assert 2 * np.sqrt(area / np.pi) * CLEAN.pixel_size_um == pytest.approx(thing["diameter_um"], rel=0.12)
        brightest = np.quantile(signal[1][near], 0.95) / 4095
        assert 0.5 * thing["ck_contrast"] < brightest < 2 * thing["ck_contrast"]
    assert far.mean() > 0.5
    assert np.abs(signal[:, far]).max() <= 1.5


def test_kinds_show_the_channels_that_make_them_what_they_are():
    slide = Slide(frames=1, optics=CLEAN, recipe=Recipe(leukocytes=40, leukocyte_ck=0.3, bare_nuclei=4, aggregates=3))
    pixels, truth = phantom.render(slide, [(1, 0)] * 3, np.random.default_rng(5))
    signal = pixels.astype(float) - CLEAN.offset - np.array(CLEAN.haze)[:, None, None]
    y, x = np.mgrid[: slide.shape[0], : slide.shape[1]]

    def mean(kinds, role, share=0.9):
        values = []
        for _, t in truth[truth["kind"].isin(kinds) & truth["whole"]].iterrows():
            inside = np.hypot(y - t["y_px"], x - t["x_px"]) < share * t["diameter_um"] / 2 / CLEAN.pixel_size_um
            values.append(signal[phantom.ROLES.index(role)][inside].mean())
        return np.array(values)

    assert mean(["ctc"], "ck").min() > 5 * np.median(mean(["lymphocyte", "granulocyte"], "ck"))
    assert mean(["ctc"], "cd45").max() < 0.1 * np.median(mean(["lymphocyte", "granulocyte"], "cd45"))
    assert np.median(mean(["leukocyte_ck"], "ck")) > 8 * np.median(mean(["lymphocyte", "granulocyte"], "ck"))
    assert mean(["bare_nucleus"], "dna").min() > 100
    assert mean(["bare_nucleus"], "ck").max() < 20
    for role in phantom.ROLES:
        assert mean(["dye_aggregate"], role, share=0.5).min() > 300


def test_adding_a_ctc_changes_only_its_place():
    slide = Slide(frames=1, shape=(160, 200), recipe=Recipe(leukocytes=5))
    pixels, _ = phantom.render(slide, [], np.random.default_rng(1))
    more = phantom.add_ctc(pixels, slide.optics, 60.0, 120.0, seed=2)
    extra = more.astype(int) - pixels
    assert extra.min() >= 0
    assert extra[1].sum() > 20_000
    y, x = np.nonzero(extra[1] > 0.5 * extra[1].max())
    assert y.mean() == pytest.approx(60, abs=1.5)
    assert x.mean() == pytest.approx(120, abs=1.5)
    rows, columns = np.nonzero(extra.max(axis=0) > 20)
    assert np.hypot(rows - 60, columns - 120).max() < 40


def test_too_little_room_for_a_ctc_is_reported(tmp_path):
    with pytest.raises(ValueError, match="no room"):
        phantom.write_slide(tmp_path, Slide(frames=1, shape=(48, 48), recipe=Recipe(leukocytes=0, ctcs=30)), seed=1)


def test_ome_tiff_says_what_it_holds(tmp_path):
    slide = Slide(frames=2, shape=(96, 128), recipe=Recipe(leukocytes=3), channel_names=("DAPI", "A&B", "C<D", 'E"F'))
    phantom.write_slide(tmp_path, slide, seed=9)
    for name in ("f001", "f002"):
        with tifffile.TiffFile(tmp_path / f"{name}.ome.tif") as tif:
            assert tif.is_ome
            assert tif.series[0].axes == "CYX"
            assert tif.series[0].shape == (4, 96, 128)
            root = ET.fromstring(tif.ome_metadata)
        pixels = root.find(f"{OME}Image/{OME}Pixels")
        expected = {"SizeX": "128", "SizeY": "96", "SizeC": "4", "SizeZ": "1", "SizeT": "1", "Type": "uint16"}
        expected |= {"DimensionOrder": "XYCZT", "SignificantBits": "12", "PhysicalSizeX": "0.645"}
        assert expected.items() <= pixels.attrib.items()
        assert [child.tag.removeprefix(OME) for child in pixels] == ["Channel"] * 4 + ["TiffData"] * 4
        names = [c.get("Name") for c in pixels.iter(f"{OME}Channel")]
        assert sorted(names) == sorted(slide.channel_names)
        assert [c.get("IFD") for c in pixels.iter(f"{OME}TiffData")] == ["0", "1", "2", "3"]
        assert len({e.get("ID") for e in root.iter() if e.get("ID")}) == 6  # image, pixels, channels: all unique


def test_channels_are_where_their_names_say_whatever_their_order(tmp_path):
    slide = Slide(frames=1, shape=(96, 96), recipe=Recipe(leukocytes=3))
    pixels, _ = phantom.render(slide, [(1, 0)], np.random.default_rng(3))
    for order in range(4):
        phantom.write_frame(tmp_path, f"o{order}", pixels, slide, order=order)
        with tifffile.TiffFile(tmp_path / f"o{order}.ome.tif") as tif:
            names = [c.get("Name") for c in ET.fromstring(tif.ome_metadata).iter(f"{OME}Channel")]
            stored = dict(zip(names, tif.asarray(), strict=True))
        assert names[0] == slide.channel_names[order]
        for name, plane in zip(slide.channel_names, pixels, strict=True):
            assert np.array_equal(stored[name], plane)


def test_jpeg_layout_is_eight_bit_and_scaled_to_the_range(tmp_path):
    slide = Slide(frames=1, shape=(96, 96), layout="files", channel_names=("DAPI", "CK", "CD45", "FITC"))
    pixels = np.zeros((4, 96, 96), np.uint16)
    pixels[1] = 4095
    phantom.write_frame(tmp_path, "f1", pixels, slide)
    values = {c: np.asarray(Image.open(tmp_path / f"f1_{c}.jpg")) for c in slide.channel_names}
    assert {c: (v.dtype.name, int(v.min()), int(v.max())) for c, v in values.items()} == {
        "DAPI": ("uint8", 0, 0),
        "CK": ("uint8", 255, 255),
        "CD45": ("uint8", 0, 0),
        "FITC": ("uint8", 0, 0),
    }
