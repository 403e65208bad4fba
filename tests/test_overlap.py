"""Overlapping frames: each cell once, each piece of the slide once, whichever way the stage counts."""

import numpy as np
import pandas as pd
import pytest

from ctcascade.images.overlap import resolve

pytestmark = pytest.mark.unit

PX = 0.5


def frames_at(*corners_um, shape=(200, 200), usable=None, path=None, part=0):
    n = len(corners_um)
    area = shape[0] * shape[1] * PX**2
    usable = [True] * n if usable is None else usable
    return pd.DataFrame(
        {
            "frame": [f"f{k}" for k in range(n)],
            "path": [path or f"f{k}.tif" for k in range(n)],
            "part": part,
            "usable": usable,
            "flags": "",
            "height_px": shape[0],
            "width_px": shape[1],
            "pixel_size_um": np.float32(PX),
            "y_um": np.array([y for y, _ in corners_um], np.float32),
            "x_um": np.array([x for _, x in corners_um], np.float32),
            "frame_area_um2": np.float32(area),
            "area_um2": np.where(usable, area, 0).astype(np.float32),
            "n_cells": 0,
        }
    )


def seen(frames, cells_um, radius_um=4.0, jitter=0.0, directions=(1, 1), near_um=0.0, seed=0):
    """Return the cells table of cells on a slide: what each usable frame shows of them, whole or cut."""
    rng = np.random.default_rng(seed)
    rows = []
    for frame in frames[frames["usable"]].to_dict("records"):
        corner = np.array([frame["y_um"], frame["x_um"]], float) * directions
        size = np.array([frame["height_px"], frame["width_px"]]) * PX
        here = []
        for n, place in enumerate(cells_um):
            low, high = np.maximum(place - radius_um - corner, 0), np.minimum(place + radius_um - corner, size)
            if (high - low > 1).all():
                cut = bool(((place - radius_um < corner) | (place + radius_um > corner + size)).any())
                here.append((n, (low + high) / 2 / PX - 0.5 + rng.normal(0, jitter / PX, 2), cut))
        number = {n: k for k, (n, _, _) in enumerate(here, start=1)}
        for n, (y, x), cut in here:
            touching = [m for m in number if m != n and np.hypot(*(cells_um[m] - cells_um[n])) <= near_um]
            rows.append((frame["frame"], number[n], y, x, cut, [number[m] for m in touching], [0.0] * len(touching), n))
    columns = ["frame", "cell", "y_px", "x_px", "touches_border", "contacts", "contact_gaps_um", "true"]
    return pd.DataFrame(rows, columns=columns)


def resolved(frames, cells):
    frames = frames.assign(n_cells=frames["frame"].map(cells.groupby("frame").size()).fillna(0).astype(int))
    found = resolve(frames, lambda: iter([cells.iloc[: len(cells) // 2], cells.iloc[len(cells) // 2 :]]))
    return found.frames, found.kept(cells)


def grid(step_um=80, n=3, **more):
    return frames_at(*((y * step_um, x * step_um) for y in range(n) for x in range(n)), **more)


def spread(n, size_um, seed=1, apart_um=10.0):
    """Return places that are at least so far apart."""
    rng, places = np.random.default_rng(seed), []
    while len(places) < n:
        place = rng.uniform(4, size_um - 4, 2)
        if all(np.hypot(*(place - other)) > apart_um for other in places):
            places.append(place)
    return np.array(places)


@pytest.mark.parametrize("jitter", [0.0, 0.3])
@pytest.mark.parametrize("path", [None, "slide.tif"])
def test_each_cell_is_counted_once_and_whole_where_a_frame_has_it_whole(path, jitter):
    frames, places = grid(path=path), spread(200, 260)
    cells = seen(frames, places, jitter=jitter)
    assert len(cells) > 280
    after, kept = resolved(frames, cells)
    assert sorted(kept["true"]) == list(range(200))
    whole_somewhere = set(cells.loc[~cells["touches_border"], "true"])
    assert not kept.loc[kept["true"].isin(whole_somewhere), "touches_border"].any()
    assert after["n_cells"].sum() == 200
    assert list(after["n_cells"]) == [int((kept["frame"] == name).sum()) for name in after["frame"]]


@pytest.mark.parametrize("directions", [(1, 1), (-1, 1), (1, -1), (-1, -1)])
def test_a_stage_may_count_against_the_pictures(directions):
    """Positions that grow upwards or leftwards in the image, as many stages' do."""
    frames = grid()
    shift = np.where(np.array(directions) < 0, 160, 0)
    cells = seen(frames, spread(200, 260) - shift, directions=directions, jitter=0.2)
    after, kept = resolved(frames, cells)
    assert sorted(kept["true"]) == list(range(200))
    assert (after["flags"] == "").all()


def test_positions_that_contradict_the_cells_are_not_used():
    frames = frames_at((0, 0), (0, 50), shape=(600, 200))
    cells = seen(frames_at((0, 0), (0, 100), shape=(600, 200)), spread(250, 300))  # side by side in truth
    after, kept = resolved(frames, cells)
    assert len(kept) == len(cells)
    assert list(after["flags"]) == ["overlap_unclear"] * 2
    assert after["area_um2"].sum() == pytest.approx(2 * 300 * 100)


def test_the_share_of_an_unusable_frame_goes_to_its_neighbours():
    places = spread(200, 260)
    usable = [k != 4 for k in range(9)]
    frames = grid(usable=usable)
    after, kept = resolved(frames, seen(frames, places))
    middle = (np.abs(places - 130) < 30 - 1e-9).all(axis=1)  # only the middle frame shows 60 um around its centre
    assert set(kept["true"]) >= set(np.flatnonzero(~(np.abs(places - 130) < 34).all(axis=1)))
    assert not set(kept.loc[~kept["touches_border"], "true"]) & set(np.flatnonzero(middle))
    assert after["frame_area_um2"].sum() == pytest.approx(260**2)
    assert after["area_um2"].sum() == pytest.approx(260**2 - 60**2)


@pytest.mark.oracle
def test_areas_add_up_to_the_union_of_a_jittered_grid():
    """Against a raster of 0.25 um, for frames of which some are not usable."""
    rng = np.random.default_rng(5)
    corners = [tuple(np.round(np.array([y * 70, x * 85]) + rng.integers(-8, 9, 2))) for y in range(4) for x in range(3)]
    usable = list(rng.random(12) > 0.3)
    after, _ = resolved(frames_at(*corners, usable=usable), seen(frames_at((9e5, 9e5)), np.empty((0, 2))))
    for column, some in (("frame_area_um2", [True] * 12), ("area_um2", usable)):
        raster = np.zeros((1600, 1600), bool)
        for (y, x), counts in zip(corners, some, strict=True):
            raster[round((y + 20) * 4) :, round((x + 20) * 4) :][:400, :400] |= bool(counts)
        assert after[column].sum() == pytest.approx(raster.sum() / 16, rel=1e-6)
        assert (after.loc[~np.array(some), column] == 0).all()


def test_touching_cells_stay_in_one_frame():
    """A pair across the middle of an overlap is no cluster if each frame keeps one of its cells."""
    frames = frames_at((0, 0), (0, 60))
    places = np.array([[50, 77.0], [50, 84.0], [20, 20.0], [70, 140.0]])  # the overlap is 60 to 100, its middle 80
    cells = seen(frames, places, near_um=8)
    _, kept = resolved(frames, cells)
    assert sorted(kept["true"]) == [0, 1, 2, 3]
    pair = kept[kept["true"] < 2]
    assert len(set(pair["frame"])) == 1
    assert [list(others) for others in pair["contacts"]] == [list(pair["cell"])[::-1][:1], list(pair["cell"])[:1]]


def test_a_cell_seen_in_one_frame_only_keeps_its_neighbours_in_that_frame():
    frames = frames_at((0, 0), (0, 60))
    places = np.array([[50, 104.0], [50, 97.0], [50, 90.0]])  # the first lies beyond the end of f0 at 100
    cells = seen(frames, places, radius_um=3.5, near_um=8)
    _, kept = resolved(frames, cells)
    assert sorted(kept["true"]) == [0, 1, 2]
    assert set(kept["frame"]) == {"f1"}
    flipped = np.array([[50, 53.0], [50, 62.0], [50, 69.0]])
    _, kept = resolved(frames, seen(frames, flipped, radius_um=1.5, near_um=10))
    assert sorted(kept["true"]) == [0, 1, 2]
    assert set(kept["frame"]) == {"f0"}


def test_a_contact_with_a_copy_counted_elsewhere_is_not_listed():
    frames = frames_at((0, 0), (0, 60))
    places = np.array([[50, 50 + 7.0 * k] for k in range(9)])  # a chain from one frame into the other
    _, kept = resolved(frames, seen(frames, places, radius_um=3.0, near_um=8))
    assert sorted(kept["true"]) == list(range(9))
    for _, own in kept.groupby("frame"):
        assert {n for others in own["contacts"] for n in others} <= set(own["cell"])
    assert (kept["contacts"].map(len) == kept["contact_gaps_um"].map(len)).all()


def test_slides_are_kept_apart_and_frames_without_a_place_are_left_alone():
    one, other = frames_at((0, 0)), frames_at((0, 0), part=1)
    both = pd.concat([one, other.assign(frame="g0", path="g0.tif")], ignore_index=True)
    nowhere = both.assign(part=0, y_um=np.float32(np.nan), x_um=np.float32(np.nan))

    def never():
        raise AssertionError("the cells are not needed")

    for frames in (both, nowhere):
        found = resolve(frames, never)
        assert found.dropped == {}
        pd.testing.assert_frame_equal(found.frames, frames.astype({"frame_area_um2": float, "area_um2": float}))


def test_the_result_does_not_depend_on_how_the_cells_arrive():
    frames = grid()
    cells = seen(frames, spread(200, 260), jitter=0.3)
    one = resolve(frames, lambda: iter([cells])).dropped
    many = resolve(frames, lambda: (cells.iloc[k : k + 7] for k in range(0, len(cells), 7))).dropped
    assert one == many
