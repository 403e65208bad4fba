"""Nuclei and cells on synthetic frames of known truth: split, kept whole, bounded, left out."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage.segmentation import watershed

from ctcascade.formats import Frame
from ctcascade.images.background import correct
from ctcascade.images.segment import segment
from ctcascade.images.watershed import flood
from ctcascade.study.detection_settings import DetectSettings

pytestmark = pytest.mark.unit

IMAGES = Path(__file__).parents[2] / "shared" / "data"
SETTINGS = DetectSettings()
ROLES = ("dna", "ck", "cd45")
PX = 0.6
SIDE_UM = 120.0
NOISE = 4.0


def drawn(things, px=PX, noise=NOISE, seed=1, psf_um=0.5, ground=100.0):
    """A frame of blurred ellipses (role, y, x, a, b in um, brightness) on a flat background with noise."""
    n = round(SIDE_UM / px)
    y, x = (np.indices((n, n)) + 0.5) * px
    pixels = np.zeros((3, n, n))
    for role, cy, cx, a, b, light in things:
        inside = ((y - cy) / a) ** 2 + ((x - cx) / b) ** 2 <= 1
        pixels[ROLES.index(role)][inside] = light
    pixels = np.stack([cv2.GaussianBlur(plane, (0, 0), psf_um / px) for plane in pixels])
    pixels += ground + np.random.default_rng(seed).normal(0, noise, pixels.shape)
    return Frame(pixels.round().astype(np.float32), ROLES, px, 4095.0)


def found(frame, **settings):
    planes = zip(ROLES, frame.pixels, strict=True)
    channels = {role: correct(plane, frame.pixel_size_um, SETTINGS.background) for role, plane in planes}
    return segment(frame, channels, SETTINGS.model_copy(update=settings))


def areas_um2(labels, px=PX):
    return np.bincount(labels.ravel())[1:] * px**2


def disc(y, x, radius, light=600.0, role="dna"):
    return (role, y, x, radius, radius, light)


@pytest.mark.oracle
@pytest.mark.parametrize("seed", range(4))
def test_the_watershed_is_that_of_scikit_image(seed):
    rng = np.random.default_rng(seed)
    shape = (70, 90)
    levels = cv2.GaussianBlur(rng.uniform(0, 255, shape), (0, 0), 2)
    levels = ((levels - levels.min()) / np.ptp(levels) * 255).astype(np.uint8)
    mask = cv2.GaussianBlur(rng.normal(size=shape), (0, 0), 3) > -0.1
    markers = np.zeros(shape, np.int32)
    inside = rng.permutation(np.flatnonzero(mask))
    _, first = np.unique(
        levels.ravel()[inside], return_index=True
    )  # scikit-image leaves the order of equal markers open
    spots = inside[first][::6]
    markers.ravel()[spots] = 1 + np.arange(len(spots))
    ours = flood(levels, markers, mask)
    np.testing.assert_array_equal(ours, watershed(levels, markers, mask=mask))


def test_background_noise_and_light_above_them_come_back():
    n = 300
    y, x = np.indices((n, n)) / n
    true = 200 + 60 * np.cos(y) + 40 * x  # vignetting
    rng = np.random.default_rng(0)
    lit = np.zeros((n, n))
    for _ in range(60):
        cv2.circle(lit, tuple(int(v) for v in rng.integers(0, n, 2)), 7, 500.0, -1)
    plane = (true + lit + rng.normal(0, 5, (n, n))).astype(np.float32)
    channel = correct(plane, PX, SETTINGS.background)
    dark = cv2.dilate(lit, np.ones((5, 5))) == 0
    assert channel.noise == pytest.approx(5, rel=0.1)
    assert channel.background == pytest.approx(np.median(true), abs=4)
    rest = cv2.blur(channel.signal, (15, 15))[cv2.erode(dark.astype(np.uint8), np.ones((15, 15))) > 0]
    assert np.abs(rest).mean() < 2
    assert np.abs(rest).max() < 15  # in the corners
    assert channel.signal[lit > 0].mean() == pytest.approx(500, rel=0.02)
    assert channel.unevenness == pytest.approx(np.ptp(true) / np.median(true), abs=0.1)


def test_counts_and_areas_of_lone_nuclei():
    radii = (2.5, 4.0, 6.0, 9.0)
    frame = drawn([disc(20 + 26 * k, 20 + 26 * k, r) for k, r in enumerate(radii)])
    nuclei = found(frame).nuclei
    np.testing.assert_allclose(areas_um2(nuclei), np.pi * np.square(radii), rtol=0.15)


@pytest.mark.parametrize("gap", [1.7, 1.9, 2.0])
@pytest.mark.parametrize("radius", [4.0, 5.0, 8.0])
def test_touching_nuclei_are_split(gap, radius):
    y, x = 60.0, 60.0
    nuclei = found(drawn([disc(y, x - gap * radius / 2, radius), disc(y, x + gap * radius / 2, radius)])).nuclei
    assert nuclei.max() == 2
    a, b = areas_um2(nuclei)
    assert a == pytest.approx(b, rel=0.15)


@pytest.mark.parametrize("turned", [False, True])
def test_large_nuclei_with_a_wide_neck_are_split_where_they_are_not_convex_together(turned):
    lying, above = ("dna", 53.0, 63.0, 7.0, 10.0, 600.0), ("dna", 63.0, 63.0, 6.0, 5.0, 600.0)
    if turned:
        lying, above = (("dna", x, y, b, a, light) for _, y, x, a, b, light in (lying, above))
    parts = np.sort(areas_um2(found(drawn([lying, above])).nuclei))
    assert parts == pytest.approx([np.pi * 6 * 5, np.pi * 7 * 10], rel=0.3)
    assert found(drawn([lying])).nuclei.max() == found(drawn([above])).nuclei.max() == 1
    stadium = [disc(60, x, 7.0) for x in np.arange(57, 64)]  # longer than a disc, as large, and convex
    assert found(drawn(stadium)).nuclei.max() == 1


@pytest.mark.parametrize("lobes", [2, 3, 4])
def test_a_lobed_granulocyte_is_one_cell(lobes):
    angle = np.arange(lobes) * 2 * np.pi / max(lobes, 3)
    things = [disc(60 + 2.6 * np.sin(t), 60 + 2.6 * np.cos(t), 1.9) for t in angle]
    things += [disc(60, 60, 5.5, 200.0, "cd45")]
    result = found(drawn(things))
    assert result.nuclei.max() == result.cells.max() == 1


def test_a_long_or_bent_nucleus_is_one():
    assert found(drawn([("dna", 60, 60, 4.0, 9.0, 600.0)])).nuclei.max() == 1
    bent = [disc(60 - 5 * np.cos(t), 60 + 5 * np.sin(t), 3.0) for t in np.linspace(-0.8, 0.8, 15)]
    assert found(drawn(bent)).nuclei.max() == 1


def test_glow_fragments_and_noise_are_not_nuclei():
    cells = [disc(20 + 20 * (k % 4), 20 + 20 * (k // 4), 4.0) for k in range(12)]
    glow = [("dna", 100.0, 30.0, 3.0, 5.0, 60.0), disc(100, 80, 0.8, 500.0)]
    assert found(drawn([*cells, *glow])).nuclei.max() == 12
    empty = found(drawn([]))
    assert empty.nuclei.max() == empty.cells.max() == 0


def test_objects_outside_the_size_limits_are_not_nuclei():
    frame = drawn([disc(30, 30, 3.0), disc(80, 80, 9.0)])
    assert found(frame).nuclei.max() == 2
    assert found(frame, nucleus_diameter_um=[8.0, 60.0]).nuclei.max() == 1
    assert found(frame, nucleus_diameter_um=[3.5, 10.0]).nuclei.max() == 1


def test_a_small_nucleus_stays_beside_the_only_large_one_and_a_fragment_does_not():
    assert found(drawn([disc(30, 30, 3.0), disc(80, 80, 9.0)])).nuclei.max() == 2
    assert found(drawn([disc(30, 30, 2.0), disc(80, 80, 11.0)])).nuclei.max() == 1


@pytest.mark.property
@pytest.mark.parametrize("px", [0.32, 0.5, 0.645, 0.9])
def test_the_pixel_size_changes_no_cell(px):
    things = [disc(25, 25, 4.0), disc(25, 33, 4.0), disc(70, 70, 6.0), disc(70, 70, 10.0, 300.0, "ck")]
    result = found(drawn(things, px=px))
    assert result.nuclei.max() == 3
    expected = [*[np.pi * 16] * 2, np.pi * 36]
    np.testing.assert_allclose(areas_um2(result.nuclei, px), expected, rtol=0.2)
    assert areas_um2(result.cells, px)[2] == pytest.approx(np.pi * 100, rel=0.2)


def test_cells_take_their_cytoplasm_and_no_more():
    bare, wide = disc(30, 30, 4.0), disc(80, 80, 5.0)
    result = found(drawn([bare, wide, disc(80, 80, 8.5, 250.0, "ck")]))
    rim, cytoplasm = areas_um2(result.cells)
    assert rim == pytest.approx(np.pi * 6**2, rel=0.15)  # the rim that each nucleated cell is given
    assert cytoplasm == pytest.approx(np.pi * 8.5**2, rel=0.15)
    far = found(drawn([wide, disc(80, 80, 30.0, 250.0, "ck")]))
    assert areas_um2(far.cells)[0] < np.pi * 11**2  # no further than the nucleus's own radius


def test_cells_keep_to_their_side_of_a_neighbour_and_share_its_number():
    things = [disc(60, 50 + 9 * k, 4.0) for k in range(3)]
    things += [("cd45", 60, 59, 7.0, 16.0, 300.0)]
    result = found(drawn(things))
    assert result.nuclei.max() == result.cells.max() == 3
    inside = result.nuclei > 0
    np.testing.assert_array_equal(result.nuclei[inside], result.cells[inside])
    for k in range(1, 4):
        count, _ = cv2.connectedComponents((result.cells == k).astype(np.uint8), connectivity=4)
        assert count == 2  # background and one piece
    columns = [np.flatnonzero((result.cells == k).any(axis=0)) for k in range(1, 4)]
    assert columns[0].max() < np.mean(columns[1]) < columns[2].min()


def test_cytokeratin_without_nucleus_is_an_object_of_its_own_after_the_cells():
    cells = [disc(20 + 20 * k, 20, 4.0) for k in range(4)]
    result = found(drawn([*cells, disc(60, 80, 4.0, 500.0, "ck"), disc(90, 90, 0.7, 300.0, "ck")]))
    assert result.nuclei.max() == 4
    assert result.cells.max() == 5
    assert not (result.nuclei == 5).any()
    y, x = np.argwhere(result.cells == 5).mean(axis=0) * PX
    assert (y, x) == (pytest.approx(60, abs=1), pytest.approx(80, abs=1))


@pytest.mark.property
def test_brightness_and_turning_change_no_number_of_cells():
    rng = np.random.default_rng(4)
    places = [(15 + 15 * (k // 7), 15 + 15 * (k % 7)) for k in range(49)]
    things = [disc(y + dy, x + dx, 3.8) for (y, x), (dy, dx) in zip(places, rng.uniform(-4, 4, (49, 2)), strict=True)]
    frame = drawn(things)
    here = found(frame)
    brighter = found(Frame((frame.pixels - 100) * 2 + 300, ROLES, PX, 4095.0))
    turned = found(Frame(np.rot90(frame.pixels, axes=(1, 2)).copy(), ROLES, PX, 4095.0))
    assert here.nuclei.max() == brighter.nuclei.max() == turned.nuclei.max() > 40
    np.testing.assert_allclose(np.sort(areas_um2(turned.cells)), np.sort(areas_um2(here.cells)), rtol=0.1)


def test_a_frame_smaller_than_a_tile_and_a_saturated_cell_are_segmented():
    frame = drawn([disc(60, 60, 5.0, 9000.0)])
    cut = np.minimum(frame.pixels[:, 80:120, 80:120], 4095)
    result = found(Frame(np.ascontiguousarray(cut), ROLES, PX, 4095.0))
    assert result.nuclei.max() == 1
    assert areas_um2(result.nuclei)[0] == pytest.approx(np.pi * 25, rel=0.25)


def f1(labels, true):
    hit = missed = 0
    for k in range(1, int(true.max()) + 1):
        mask = true == k
        if mask.any():
            best = np.bincount(labels[mask])
            best[0] = 0
            other = int(best.argmax()) if len(best) > 1 else 0
            union = mask.sum() + (labels == other).sum() - best[other]
            matched = other > 0 and 2 * best[other] > union
            hit, missed = hit + matched, missed + (not matched)
    return 2 * hit / (2 * hit + missed + int(labels.max()) - hit)


@pytest.mark.real
@pytest.mark.skipif(not IMAGES.is_dir(), reason="../shared/data is not here")
def test_cells_of_a_real_blood_field():
    folder = IMAGES / "ctc_hdsca_wbc_fields"
    planes = [cv2.imread(str(folder / f"field03_{name}.jpg"), cv2.IMREAD_GRAYSCALE) for name in ("DAPI", "CK", "CD45")]
    result = found(Frame(np.stack(planes).astype(np.float32), ROLES, 0.591, 255.0))
    assert f1(result.cells, cv2.imread(str(folder / "field03_cellmask.png"), cv2.IMREAD_UNCHANGED)) > 0.97


@pytest.mark.real
@pytest.mark.skipif(not IMAGES.is_dir(), reason="../shared/data is not here")
@pytest.mark.parametrize(
    ("image", "mask", "px", "least"),
    [
        ("N2DH-GOWT1/img/t01.tif", "N2DH-GOWT1/gt/man_seg01.tif", 0.24, 0.90),
        ("N2DL-HeLa/img/t13.tif", "N2DL-HeLa/gt/man_seg13.tif", 0.645, 0.85),
    ],
)
def test_nuclei_of_real_cultures(image, mask, px, least):
    folder = IMAGES / "nuclei_gowt1_hela_nih3t3"
    dna = cv2.imread(str(folder / image), cv2.IMREAD_UNCHANGED).astype(np.float32)
    frame = Frame(np.stack([dna, 0 * dna, 0 * dna]), ROLES, px, 65535.0)
    assert f1(found(frame).nuclei, cv2.imread(str(folder / mask), cv2.IMREAD_UNCHANGED)) > least
