"""The learned segmenter: it finds synthetic nuclei, the same each time, and training was kept apart from testing."""

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from ctcascade.data import store
from ctcascade.images import learned
from ctcascade.images.background import correct
from ctcascade.images.detect import detect
from ctcascade.images.nuclei import learned_nuclei
from ctcascade.study.detection_settings import DetectSettings
from ctcascade.validation import phantom
from tests.support.calling import assay
from tests.support.detecting import detect_job
from tests.support.runs import ROOT

pytestmark = pytest.mark.unit

IMAGES = Path(__file__).parents[2] / "shared" / "data"
SPLIT = json.loads((ROOT / "training" / "split.json").read_text(encoding="utf-8"))
SET_ASIDE = json.loads((ROOT / "verification" / "set_aside.json").read_text(encoding="utf-8"))
SIDE_UM = 150.0


def drawn(discs, px, noise=4.0, seed=1):
    """A plane of blurred discs (y, x, radius in um) of brightness 400 above 100."""
    n = round(SIDE_UM / px)
    y, x = (np.indices((n, n)) + 0.5) * px
    plane = np.zeros((n, n), np.float32)
    for cy, cx, radius in discs:
        plane[(y - cy) ** 2 + (x - cx) ** 2 <= radius**2] = 400
    plane = cv2.GaussianBlur(plane, (0, 0), 0.5 / px) + 100
    return np.round(plane + np.random.default_rng(seed).normal(0, noise, plane.shape)).astype(np.float32)


def found(plane, px):
    settings = DetectSettings()
    return learned_nuclei(correct(plane, px, settings.background), px, settings)


def grid(radius, step):
    places = np.arange(step, SIDE_UM - step / 2, step)
    return [(y, x, radius) for y in places for x in places]


def agree(a, b):
    """Return the share of labels of either image that have a partner with IoU above 0.8 in the other."""
    both = np.stack([a.ravel(), b.ravel()])[:, (a.ravel() > 0) & (b.ravel() > 0)]
    pairs, shared = np.unique(both, axis=1, return_counts=True)
    areas = [np.bincount(labels.ravel()) for labels in (a, b)]
    iou = shared / (areas[0][pairs[0]] + areas[1][pairs[1]] - shared)
    return 2 * np.count_nonzero(iou > 0.8) / (a.max() + b.max())


def test_the_planes_are_the_signal_relative_to_the_brightest_and_to_the_noise():
    signal = np.full((400, 400), -8.0, np.float32)
    signal[:40] = 96.0
    seen = learned.planes(signal, 2.0)
    assert seen.dtype == np.float32
    np.testing.assert_allclose(seen[0, 0, 0], 1.0)
    np.testing.assert_allclose(seen[0, 399, 0], -8 / 96, rtol=1e-5)
    np.testing.assert_allclose(seen[1, 0, 0], np.log2(1 + 96 / 4) / 8, rtol=1e-5)
    assert seen[1, 399, 0] == 0


@pytest.mark.parametrize(("radius", "px"), [(3.0, 0.6), (4.0, 1.0), (5.0, 0.3), (6.0, 0.6), (12.0, 0.4), (15.0, 0.65)])
def test_discs_are_found_whole_whatever_their_size(radius, px):
    discs = grid(radius, 4 * radius)
    labels = found(drawn(discs, px), px)
    assert labels.max() == len(discs)
    assert len({labels[round(y / px), round(x / px)] for y, x, _ in discs} - {0}) == len(discs)
    area = np.bincount(labels.ravel())[1:] * px**2
    np.testing.assert_allclose(np.median(area), np.pi * radius**2, rtol=0.15)


@pytest.mark.parametrize("radius", [4.0, 8.0])
def test_touching_discs_are_two(radius):
    discs = grid(radius, 5 * radius)
    touching = [(y, x + 1.9 * radius, r) for y, x, r in discs]
    labels = found(drawn(discs + touching, 0.6), 0.6)
    at = [labels[round(y / 0.6), round(x / 0.6)] for y, x, _ in discs + touching]
    assert len(set(at) - {0}) == len(at)


def test_a_faint_nucleus_beside_bright_ones_is_found():
    plane = drawn(grid(5.0, 30.0), 0.6)
    faint = drawn([(75.0, 75.0, 5.0)], 0.6, noise=0.0) - 100
    labels = found(plane + 0.2 * faint, 0.6)
    assert labels[125, 125] > 0


@pytest.mark.parametrize("noise", [0.0, 0.4, 10.0])
def test_an_empty_frame_has_no_nuclei(noise):
    assert found(drawn([], 0.6, noise), 0.6).max() == 0


def test_the_same_frame_gives_the_same_labels(monkeypatch):
    rng = np.random.default_rng(3)
    discs = [(*rng.uniform(10, 140, 2), rng.uniform(3, 8)) for _ in range(60)]
    plane = drawn(discs, 0.3)
    once = found(plane, 0.3)
    np.testing.assert_array_equal(once, found(plane, 0.3))
    monkeypatch.setattr(learned, "_TILE", 256)
    assert agree(once, found(plane, 0.3)) > 0.97


@pytest.mark.property
def test_a_turned_frame_has_the_same_nuclei():
    rng = np.random.default_rng(5)
    plane = drawn([(*rng.uniform(10, 140, 2), rng.uniform(3, 8)) for _ in range(40)], 0.6)
    turned = found(np.ascontiguousarray(np.rot90(plane)), 0.6)
    assert agree(found(plane, 0.6), np.ascontiguousarray(np.rot90(turned, -1))) > 0.9


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """The frames and cells of two phantom frames, by both segmenters, and by the learned one in two chunks."""
    base = tmp_path_factory.mktemp("base")
    recipe = phantom.Recipe(leukocytes=25, ctcs=4)
    phantom.write_slide(base / "slide", phantom.Slide(2, (220, 260), recipe=recipe), seed=3)
    of = assay("cellsearch")
    out = {}
    for segmenter, chunk in (("classical", (1, 1)), ("learned", (1, 1)), ("learned", (1, 2)), ("learned", (2, 2))):
        paths = [base / f"{segmenter}-{chunk}-{kind}.parquet" for kind in ("frames", "cells")]
        detect(detect_job(of, "slide", segmenter=segmenter), base, chunk, *paths)
        out[segmenter, chunk] = paths
    return out


def test_the_tables_name_the_weights_by_their_hash(tables):
    weights = hashlib.sha256(learned.WEIGHTS.read_bytes()).hexdigest()
    for path in tables["learned", (1, 1)]:
        assert store.table_provenance(path).inputs == {"weights": weights}
    assert store.table_provenance(tables["classical", (1, 1)][0]).inputs == {}


def test_both_segmenters_find_the_cells_of_a_phantom_and_chunks_change_nothing(tables):
    classical, whole, *halves = (store.read_table(paths[1], "cells") for paths in tables.values())
    assert abs(len(whole) - len(classical)) <= 0.1 * len(classical)
    parts = [part.drop(columns="frame") for part in halves]
    joined = np.concatenate([part[["y_px", "x_px", "area_um2"]].to_numpy() for part in parts])
    np.testing.assert_array_equal(whole[["y_px", "x_px", "area_um2"]].to_numpy(), joined)


def test_the_runtime_is_loaded_only_where_it_is_needed():
    code = "import sys, ctcascade.images.detect; print('onnxruntime' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_the_card_is_that_of_the_shipped_weights():
    card = (ROOT / "docs" / "segmenter.md").read_text(encoding="utf-8")
    assert re.findall(r"\b[0-9a-f]{64}\b", card) == [hashlib.sha256(learned.WEIGHTS.read_bytes()).hexdigest()]
    assert learned.WEIGHTS.stat().st_size < 3e6


def test_no_image_is_trained_on_that_is_set_aside_or_for_validation():
    groups = {part: set(SPLIT[part]) for part in SPLIT}
    assert not (groups["train"] | groups["validation"]) & set(SET_ASIDE["nuclei_dsb2018_train_full"])
    ids = {part: {i for listed in SPLIT[part].values() for i in listed} for part in SPLIT}
    assert not ids["train"] & ids["validation"]


@pytest.mark.real
def test_every_listed_image_is_of_the_group_it_is_listed_under():
    place = IMAGES / "nuclei_dsb2018_train_full" / "train.npz"
    if not place.exists():
        pytest.skip("../shared/data/nuclei_dsb2018_train_full is not here")
    with np.load(place) as data:
        for listed in SPLIT.values():
            for group, ids in listed.items():
                for i in ids:
                    image = data[f"x{i}"]
                    look = "pedestal" if np.percentile(image, 1) >= 8 else "dark"
                    assert group == f"{image.shape[0]}x{image.shape[1]} {look}"


@pytest.mark.real
def test_nuclei_in_clumps_of_images_set_aside():
    folder = IMAGES / "nuclei_huh7_hepg2"
    if not folder.exists():
        pytest.skip("../shared/data/nuclei_huh7_hepg2 is not here")
    image = cv2.imread(str(folder / "images" / "33.jpg"), cv2.IMREAD_UNCHANGED).max(axis=2)
    true = cv2.imread(str(folder / "labels" / "33.tif"), cv2.IMREAD_UNCHANGED)
    labels = found(image.astype(np.float32), 0.4)
    middle = [labels[tuple(np.argwhere(true == k)[np.count_nonzero(true == k) // 2])] for k in np.unique(true)[1:]]
    assert len(set(middle) - {0}) > 0.9 * len(middle)
