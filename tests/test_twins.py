"""Frames that show the same cells as another: cut, turned, mirrored, shifted; and frames that only look alike."""

import numpy as np
import pandas as pd
import pytest

from ctcascade.images import twins
from ctcascade.images.alike import Compared

pytestmark = pytest.mark.unit

SHAPE = (600, 800)
TURNS = {
    "mirrored": lambda y, x: (SHAPE[0] - y, x),
    "turned by 90 degrees": lambda y, x: (x, SHAPE[0] - y),
    "turned by 180 degrees": lambda y, x: (SHAPE[0] - y, SHAPE[1] - x),
    "turned and mirrored": lambda y, x: (x, y),
    "one pixel less": lambda y, x: (y - 1, x - 1),
    "with a border": lambda y, x: (y + 16, x + 16),
}


def nuclei(rng, n=60, spots=None):
    """Rows y, x, area, DNA, CD45 of one frame."""
    y, x = rng.uniform(0, SHAPE[0], n), rng.uniform(0, SHAPE[1], n)
    if spots is not None:
        y, x = spots
    signs = (rng.lognormal(mean, sd, len(y)) for mean, sd in ((3.5, 0.2), (6, 0.3), (6, 0.5)))
    return np.column_stack([y, x, *signs])


def compared(cells, shapes=None, **columns):
    shapes = shapes or {}
    frames = pd.DataFrame(
        {
            "frame": list(cells),
            "usable": [True] * len(cells),
            "reason": "",
            "flags": "",
            "height_px": [shapes.get(name, SHAPE)[0] for name in cells],
            "width_px": [shapes.get(name, SHAPE)[1] for name in cells],
            "pixel_size_um": 0.6,
            "y_um": np.nan,
            "part": 0,
            "area_um2": 1.0,
            "frame_area_um2": 1.0,
            "n_cells": [len(rows) for rows in cells.values()],
            **columns,
        }
    )
    tables = [
        pd.DataFrame(rows, columns=twins.COLUMNS[1:]).assign(frame=name)[twins.COLUMNS] for name, rows in cells.items()
    ]
    return twins.compare(Compared(frames, frozenset()), lambda: tables)


def gone(found):
    return dict(found.frames.loc[~found.frames["usable"], ["frame", "reason"]].itertuples(index=False))


def flags(found):
    return dict(found.frames.loc[found.frames["flags"] != "", ["frame", "flags"]].itertuples(index=False))


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("brighter", [1, 3])
def test_a_copy_that_was_turned_or_cut_is_not_counted_again(turn, brighter):
    rng = np.random.default_rng(3)
    cells = {name: nuclei(rng) for name in "abc"}
    copy = cells["b"].copy()
    copy[:, 0], copy[:, 1] = TURNS[turn](*cells["b"][:, :2].T)
    copy[:, :2] += rng.normal(0, 0.15, (len(copy), 2))
    copy[:, 3:] *= brighter
    found = compared({**cells, "d": rng.permutation(copy)[:55]}, {"d": (605, 805)})
    assert gone(found) == {"d": "a copy: 55 of its nuclei are those of frame b, which is counted"}
    assert found.gone == {"d"}
    row = found.frames.iloc[3]
    assert (row["area_um2"], row["frame_area_um2"], row["n_cells"], row["flags"]) == (0, 0, 0, "")
    assert flags(found) == {}


def test_of_an_overview_and_its_tiles_the_whole_is_counted():
    whole = nuclei(np.random.default_rng(4), 80)
    upper, lower = whole[whole[:, 0] < 300], whole[whole[:, 0] >= 300] - (300, 0, 0, 0, 0)
    found = compared({"t1": upper, "t2": lower, "whole": whole}, {"t1": (300, 800), "t2": (300, 800)})
    assert set(gone(found)) == {"t1", "t2"}


def test_overlaps_that_nothing_places_are_flagged():
    whole = nuclei(np.random.default_rng(5), 90)
    upper, lower = whole[whole[:, 0] < 400], whole[whole[:, 0] >= 200] - (200, 0, 0, 0, 0)
    cells = {"t1": upper, "t2": lower, "other": nuclei(np.random.default_rng(6))}
    assert flags(compared(cells)) == dict.fromkeys(("t1", "t2"), "overlap_unclear")
    assert flags(compared(cells, y_um=[0.0, 120.0, 900.0])) == {}  # overlaps are resolved by their places


def test_the_same_field_at_the_same_places_stays_and_is_flagged():
    """A second exposure, or a benchmark that repeats a frame."""
    rng = np.random.default_rng(7)
    cells = {"a": nuclei(rng), "b": nuclei(rng)}
    again = cells["a"] * (1, 1, 1, 3, 3)
    found = compared({**cells, "c": again})
    assert gone(found) == {}
    assert flags(found) == {"a": "same_cells", "c": "same_cells"}


def test_fields_that_only_look_alike_are_all_counted():
    """Other cells in the wells of one array; random fields; fields with hardly a cell."""
    rng = np.random.default_rng(8)
    wells = np.meshgrid(np.arange(30, 600, 60.0), np.arange(30, 800, 60.0), indexing="ij")
    spots = [axis.ravel() for axis in wells]
    alike = {f"w{k}": nuclei(rng, spots=[axis + rng.normal(0, 0.3, len(axis)) for axis in spots]) for k in range(4)}
    few = {"f1": nuclei(rng, 5)}
    found = compared({**alike, **few, "f2": few["f1"].copy(), **{f"r{k}": nuclei(rng, 200) for k in range(20)}})
    assert gone(found) == flags(found) == {}
