"""Shapes, intensities and contacts of objects: against scikit-image, plain numpy, and themselves rotated."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage
from skimage import measure as oracle

from ctcascade.images.background import Channel
from ctcascade.images.measure import contacts, measure, shapes
from ctcascade.images.segment import Segmentation

pytestmark = pytest.mark.unit

PX = 0.5
FAR = 12  # pixels, beyond the reach of contacts and rings


def discs(seed, shape=(120, 150), count=25):
    """Overlapping ellipses: touching objects of every size, some cut by the border; no number is left out."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.int32)
    y, x = np.indices(shape)
    for k in range(1, count + 1):
        cy, cx, a, b, t = *(rng.uniform(0, n) for n in shape), *rng.uniform(0.5, 11, 2), rng.uniform(0, np.pi)
        u, v = (y - cy) * np.cos(t) + (x - cx) * np.sin(t), (x - cx) * np.cos(t) - (y - cy) * np.sin(t)
        labels[(u / a) ** 2 + (v / b) ** 2 <= 1] = k
    _, labels = np.unique(labels, return_inverse=True)
    return labels.reshape(shape).astype(np.int32)


def odd_ones():
    """One pixel, a corner pixel, a line, a diagonal, a ring, a frame-wide bar, two pieces of one object."""
    labels = np.zeros((40, 50), np.int32)
    labels[5, 5] = 1
    labels[0, 0] = 2
    labels[10, 5:15] = 3
    labels[np.arange(15, 22), np.arange(5, 12)] = 4
    labels[15:24, 20:29] = 5
    labels[18:21, 23:26] = 0
    labels[30] = 6
    labels[36:39, 3:6] = labels[36:39, 40:44] = 7
    labels[39, 49] = 8
    return labels


def scene(seed=3):
    """A segmentation with its channels: nuclei inside the cells, cells without one among them."""
    rng = np.random.default_rng(seed)
    cells = discs(seed)
    nuclei = np.where(ndimage.distance_transform_edt(np.pad(cells > 0, 1))[1:-1, 1:-1] > 2, cells, 0).astype(np.int32)
    nuclei[cells % 7 == 3] = 0
    channels = {
        role: Channel(rng.normal(20, 10, cells.shape).astype(np.float32), 5.0, 0.0, noise)
        for role, noise in (("dna", 2.0), ("ck", 5.0), ("cd45", 9.0))
    }
    return Segmentation(nuclei, cells), channels


@pytest.mark.oracle
@pytest.mark.parametrize("labels", [discs(0), discs(1), discs(2, (60, 40), 40), odd_ones()])
def test_shapes_are_those_of_scikit_image(labels):
    found = shapes(labels, int(labels.max()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of hulls that have no area
        regions = oracle.regionprops(labels)
        solidity = [region.solidity for region in regions]
    np.testing.assert_array_equal(found.area, [region.area for region in regions])
    np.testing.assert_array_equal(found.box, [region.bbox for region in regions])
    np.testing.assert_allclose(np.c_[found.y, found.x], [region.centroid for region in regions], rtol=1e-12)
    np.testing.assert_allclose(found.eccentricity, [region.eccentricity for region in regions], atol=1e-7)
    np.testing.assert_allclose(found.solidity, solidity, rtol=1e-12)
    crofton = [oracle.perimeter_crofton(np.pad(region.image, 1), directions=4) for region in regions]
    np.testing.assert_allclose(found.perimeter, crofton, rtol=1e-12)


@pytest.mark.oracle
@pytest.mark.parametrize("diameter_um", [4, 5, 6, 8, 10, 14, 20])
def test_p2a_of_a_disc_is_one_at_any_size(diameter_um):
    radius = diameter_um / 0.645 / 2
    n = int(2 * radius) + 7
    y, x = np.indices((n, n)) - n // 2
    centres = [(a / 5, b / 5) for a in range(5) for b in range(5)]
    found = [shapes((((y - a) ** 2 + (x - b) ** 2) <= radius**2).astype(np.int32), 1) for a, b in centres]
    assert 0.98 <= np.mean([disc.perimeter[0] ** 2 / (4 * np.pi * disc.area[0]) for disc in found]) <= 1.01
    assert np.mean([disc.solidity[0] for disc in found]) > 0.94


@pytest.mark.oracle
def test_intensities_are_those_of_plain_numpy():
    found, channels = scene()
    table = measure(found, channels, PX, 3.0).set_index("cell")
    distance, (iy, ix) = ndimage.distance_transform_edt(found.cells == 0, return_indices=True)
    zone = np.where((distance > 0) & (distance * PX <= 3.0), found.cells[iy, ix], 0)
    for role, channel in channels.items():
        for k in range(1, int(found.cells.max()) + 1):
            cell, nucleus = found.cells == k, found.nuclei == k
            values, row = channel.signal[cell].astype(float), table.loc[k]
            np.testing.assert_allclose(row[f"{role}_mean"], values.mean(), rtol=1e-5)
            np.testing.assert_allclose(row[f"{role}_max"], values.max(), rtol=1e-6)
            top = max(round(0.02 * len(values)), 1)
            np.testing.assert_allclose(row[f"{role}_high"], np.sort(values)[-top], rtol=1e-6)
            np.testing.assert_allclose(row[f"{role}_std"], values.std(), atol=1e-4)
            np.testing.assert_allclose(row[f"{role}_sum"], values.sum(), rtol=1e-5, atol=1e-3)
            np.testing.assert_allclose(row[f"{role}_fill"], (values > 3 * channel.noise).mean(), rtol=1e-6)
            inside, outside = channel.signal[nucleus], channel.signal[cell & ~nucleus]
            if len(inside):
                np.testing.assert_allclose(row[f"{role}_nucleus_mean"], inside.mean(), rtol=1e-4)
                np.testing.assert_allclose(row[f"{role}_nucleus_std"], inside.astype(float).std(), atol=1e-3)
                np.testing.assert_allclose(row[f"{role}_overlap"], (inside > 3 * channel.noise).mean(), rtol=1e-6)
            else:
                assert np.isnan(row[f"{role}_nucleus_mean"])
                assert np.isnan(row[f"{role}_overlap"])
            if len(outside):
                np.testing.assert_allclose(row[f"{role}_cytoplasm_mean"], outside.mean(), rtol=1e-4)
            else:
                assert np.isnan(row[f"{role}_cytoplasm_mean"])
    wide = [k for k, n in enumerate(np.bincount(zone.ravel())) if k and n > 50]
    assert wide
    for k in wide:  # pixels equally far from two cells may go to either
        for role, channel in channels.items():
            ring = channel.signal[zone == k]
            np.testing.assert_allclose(table.loc[k, f"{role}_ring_mean"], ring.mean(), rtol=0.1)


@pytest.mark.oracle
def test_correlations_are_those_of_plain_numpy():
    found, channels = scene()
    channels["ck"].signal[:] = channels["ck"].signal + channels["dna"].signal
    table = measure(found, channels, PX, 3.0).set_index("cell")
    for k in np.flatnonzero(np.bincount(found.cells.ravel())[1:] > 3) + 1:
        dna, ck, cd45 = (channels[role].signal[found.cells == k].astype(float) for role in ("dna", "ck", "cd45"))
        row = table.loc[k]
        assert row["ck_dna_correlation"] == pytest.approx(np.corrcoef(ck, dna)[0, 1], abs=1e-4)
        assert row["cd45_dna_correlation"] == pytest.approx(np.corrcoef(cd45, dna)[0, 1], abs=1e-4)
        assert row["marker_correlation"] == pytest.approx(np.corrcoef(ck, cd45)[0, 1], abs=1e-4)


@pytest.mark.oracle
def test_bodies_of_dna_are_the_components_of_scikit_image():
    found, channels = scene(4)
    dna = channels["dna"].signal
    table = measure(found, channels, PX, 3.0).set_index("cell")
    for k in range(1, int(found.cells.max()) + 1):
        lit = (found.cells == k) & (dna > 0.5 * np.float32(table.loc[k, "dna_high"]))
        bodies = oracle.label(lit, connectivity=1)
        sizes = np.bincount(bodies.ravel())[1:]
        large = np.flatnonzero(sizes * PX**2 >= 0.8) + 1
        light = [dna[bodies == number].sum() for number in large]
        assert table.loc[k, "nucleus_fragments"] == len(large)
        assert table.loc[k, "nucleus_lit_um2"] == pytest.approx(PX**2 * sizes[large - 1].sum())
        share = max(light) / sum(light) if light else np.nan
        assert table.loc[k, "nucleus_largest_share"] == pytest.approx(share, rel=1e-4, nan_ok=True)


@pytest.mark.oracle
def test_contacts_are_the_nearest_pixels_of_each_pair():
    labels = discs(5)
    count = int(labels.max())
    near, gaps = contacts(labels, count, 3.0, PX)
    pixels = [np.argwhere(labels == k) for k in range(1, count + 1)]
    for a in range(count):
        expected = {}
        for b in range(count):
            if a != b:
                squared = ((pixels[a][:, None] - pixels[b][None]) ** 2).sum(axis=2).min()
                gap = (np.sqrt(squared) - 1) * PX
                if gap <= 3.0:
                    expected[b + 1] = gap
        assert near[a] == sorted(expected)
        np.testing.assert_allclose(gaps[a], [expected[b] for b in near[a]], rtol=1e-6)


def test_values_checked_by_hand():
    cells = np.zeros((20, 30), np.int32)
    cells[2:6, 3:9] = 1  # 4 x 6 pixels
    cells[2:6, 9:11] = 2  # touches it
    cells[2:6, 14:16] = 3  # 3 pixels from the second
    cells[19, 0] = 4
    nuclei = np.where(np.isin(cells, [1]), cells, 0)
    nuclei[:, :5] = 0
    signal = np.where(cells == 1, 10, 0).astype(np.float32)
    signal[2, 3] = 34
    table = measure(Segmentation(nuclei, cells), {"dna": Channel(signal, 1.0, 0.0, 1.0)}, PX, 2.0).set_index("cell")
    one = table.loc[1]
    assert (one["y_px"], one["x_px"]) == (3.5, 5.5)
    assert tuple(one[["y0_px", "x0_px", "y1_px", "x1_px"]]) == (2, 3, 6, 9)
    assert (one["area_um2"], one["nucleus_area_um2"]) == (6.0, 4.0)
    assert one["equivalent_diameter_um"] == pytest.approx(np.sqrt(24 / np.pi))
    assert one["dna_sum"] == 264
    assert one["dna_mean"] == 11
    assert one["dna_nucleus_mean"] == 10
    assert one["dna_cytoplasm_mean"] == 13
    assert (one["dna_overlap"], one["dna_fill"]) == (1, 1)
    assert [list(c) for c in table["contacts"]] == [[2], [1, 3], [2], []]
    assert [list(g) for g in table["contact_gaps_um"]] == [[0], [0, 1.5], [1.5], []]
    assert list(table["touches_border"]) == [False, False, False, True]
    assert list(table["nucleus_area_um2"] > 0) == [True, False, False, False]
    assert np.isnan(table.loc[2, "nucleus_p2a"])


TURNED = ("y_px", "x_px", "y0_px", "x0_px", "y1_px", "x1_px")
EXACT = {"rtol": 1e-5, "atol": 1e-6}
AT_EDGE = {"rtol": 0.02, "atol": 0.3}  # a pixel equally far from two cells may go to either


def compared(table, other):
    """Assert that two tables say the same of each cell, but for where it lies."""
    for name in table.columns:
        if name in TURNED:
            continue
        if name.startswith("contact"):
            assert [list(v) for v in table[name]] == [list(v) for v in other[name]], name
        else:
            exact = AT_EDGE if name.endswith("_ring_mean") else EXACT
            np.testing.assert_allclose(other[name].astype(float), table[name].astype(float), err_msg=name, **exact)


def turned(found, channels, change):
    nuclei, cells = (np.ascontiguousarray(change(image)) for image in (found.nuclei, found.cells))
    moved = {
        role: Channel(np.ascontiguousarray(change(c.signal)), c.background, c.unevenness, c.noise)
        for role, c in channels.items()
    }
    return measure(Segmentation(nuclei, cells), moved, PX, 3.0)


@pytest.mark.property
@pytest.mark.parametrize("change", [np.rot90, np.flipud, np.transpose, lambda image: np.rot90(image, 2)])
def test_a_turned_frame_has_the_same_cells(change):
    found, channels = scene()
    compared(turned(found, channels, lambda image: image), turned(found, channels, change))


@pytest.mark.property
def test_a_larger_frame_moves_cells_and_changes_nothing_else():
    found, channels = scene()
    found = Segmentation(np.pad(found.nuclei, FAR), np.pad(found.cells, FAR))
    channels = {r: Channel(np.pad(c.signal, FAR), 5.0, 0.0, c.noise) for r, c in channels.items()}
    here = turned(found, channels, lambda image: image)
    there = turned(found, channels, lambda image: np.pad(image, ((30, 2), (7, 11))))
    shift = np.array([30, 7, 30, 7, 30, 7])
    np.testing.assert_allclose(there[list(TURNED)] - shift, here[list(TURNED)])
    compared(here, there)


@pytest.mark.property
def test_label_numbers_do_not_matter():
    found, channels = scene()
    n = int(found.cells.max())
    number = np.r_[0, np.random.default_rng(1).permutation(n) + 1].astype(np.int32)
    here = turned(found, channels, lambda image: image)
    there = turned(Segmentation(number[found.nuclei], number[found.cells]), channels, lambda image: image)
    there = there.set_index("cell").loc[number[1:]].reset_index()
    for name in ("contacts", "contact_gaps_um"):
        sizes = [len(v) for v in here[name]]
        assert [len(v) for v in there.pop(name)] == sizes
        here = here.drop(columns=name)
    compared(here.drop(columns="cell"), there.drop(columns="cell"))
    np.testing.assert_allclose(here["y_px"], there["y_px"])


@pytest.mark.property
def test_a_distant_cell_changes_nothing():
    found, channels = scene()
    pad = ((0, 0), (0, 40))
    found = Segmentation(np.pad(found.nuclei, pad), np.pad(found.cells, pad))
    channels = {r: Channel(np.pad(c.signal, pad), 5.0, 0.0, c.noise) for r, c in channels.items()}
    here = turned(found, channels, lambda image: image)
    n = len(here)
    found.cells[50:60, -20:-10] = n + 1
    there = turned(found, channels, lambda image: image)
    assert len(there) == n + 1
    compared(here, there.iloc[:n])


def test_no_cells_give_no_rows_and_all_columns():
    empty = np.zeros((8, 9), np.int32)
    table = measure(Segmentation(empty, empty), {"dna": Channel(np.zeros((8, 9), np.float32), 0.0, 0.0, 1.0)}, PX, 3.0)
    assert len(table) == 0
    assert {"area_um2", "contacts", "dna_ring_mean"} <= set(table.columns)
    assert isinstance(table, pd.DataFrame)


def plates(apart_px, turn, second_turn, long_px=9.0):
    """Two long nuclei, each in a cell of its own, side by side."""
    y, x = np.mgrid[:70, :70].astype(float)

    def ellipse(cy, angle, a, b):
        v, u = (y - cy) * np.cos(angle) - (x - 35) * np.sin(angle), (y - cy) * np.sin(angle) + (x - 35) * np.cos(angle)
        return (u / a) ** 2 + (v / b) ** 2 <= 1

    labels = np.zeros((2, 70, 70), np.int32)
    for k, (side, angle) in enumerate(((-1, turn), (1, second_turn)), start=1):
        labels[0][ellipse(35 + side * apart_px / 2, angle, long_px, 4)] = k
        labels[1][ellipse(35 + side * apart_px / 2, angle, long_px + 4, 8) & ((y < 35) == (side < 0))] = k
    channel = Channel(np.ones((70, 70), np.float32), 0.0, 0.0, 0.1)
    return measure(Segmentation(*labels), {"dna": channel}, PX, 3.0)["nucleus_twin"].tolist()


@pytest.mark.parametrize(
    ("apart_px", "turn", "second_turn", "long_px", "expected"),
    [
        (14, 0.0, 0.1, 9, [2, 1]),
        (14, 0.0, 1.2, 9, [0, 0]),  # not parallel
        (14, 1.57, 1.57, 9, [0, 0]),  # one behind the other
        (30, 0.0, 0.0, 9, [0, 0]),  # too far apart
        (14, 0.0, 0.0, 4.5, [0, 0]),  # round
    ],
)
def test_plates_of_an_anaphase_are_twins(apart_px, turn, second_turn, long_px, expected):
    assert plates(apart_px, turn, second_turn, long_px) == expected
