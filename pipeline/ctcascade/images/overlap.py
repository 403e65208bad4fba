"""Frames that overlap on the slide: each cell is counted once, and so is each part of the slide.

A frame has a position if its file gives one: the position of the stage, or the part of a whole-slide image. A cell in
an overlap is found in each of the frames; its copies are recognised by their positions, and one of them is kept.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

COLUMNS = ["frame", "cell", "y_px", "x_px", "touches_border", "contacts"]
"""The columns of the cells table that `resolve` needs."""
_DIRECTIONS = ((1, 1), (-1, 1), (1, -1), (-1, -1))


@dataclass(frozen=True)
class Matching:
    """How copies of cells are recognised, and when the positions of frames are believed.

    Attributes
    ----------
    max_distance_um : float
        Largest distance between the centres of two copies: stages return to a place within about a micrometre.
    min_cells : int
        Number of cells in overlaps from which their copies can tell whether the positions are right.
    min_share : float
        Share of these cells that must have a copy; by chance far fewer have one.
    """

    max_distance_um: float = 3.0
    min_cells: int = 20
    min_share: float = 0.3


_DEFAULTS = Matching()


@dataclass(frozen=True)
class Overlaps:
    """The consequences of overlapping frames for the tables of a sample.

    Attributes
    ----------
    frames : DataFrame
        The frames table, with the area of each overlap divided among its frames, and the number of cells kept in each.
    dropped : dict of str to set of int
        By frame: cells that are counted in another frame.
    """

    frames: pd.DataFrame
    dropped: Mapping[str, set[int]] = field(default_factory=dict)

    def keeps(self, cells: pa.Table) -> pa.Array:
        """Return which rows of a table with the columns frame and cell belong to cells that are counted."""
        keys = zip(cells["frame"].to_pylist(), cells["cell"].to_pylist(), strict=True)
        return pa.array([cell not in self.dropped.get(frame, ()) for frame, cell in keys], pa.bool_())

    def kept(self, cells: pd.DataFrame) -> pd.DataFrame:
        """Return the cells that are counted, without their contacts to cells that are not."""
        here = cells["frame"].isin(list(self.dropped))
        if not here.any():
            return cells
        keys = zip(cells["frame"], cells["cell"], strict=True)
        cells = cells[[int(cell) not in self.dropped.get(frame, ()) for frame, cell in keys]].reset_index(drop=True)
        near, gaps = [], []
        for frame, others, between in zip(cells["frame"], cells["contacts"], cells["contact_gaps_um"], strict=True):
            stays = [int(other) not in self.dropped.get(frame, ()) for other in others]
            near.append([int(other) for other, stay in zip(others, stays, strict=True) if stay])
            gaps.append([float(gap) for gap, stay in zip(between, stays, strict=True) if stay])
        return cells.assign(contacts=pd.Series(near, dtype=object), contact_gaps_um=pd.Series(gaps, dtype=object))


@dataclass(frozen=True)
class _Tiles:
    """Frames of one slide: names, first corner and extent (n, 2) in um, pixel size, and pairs that overlap."""

    names: list[str]
    corner: Floats
    extent: Floats
    pixel: Floats
    pairs: Ints

    def turned(self, directions: tuple[int, int]) -> "_Tiles":
        """Return the frames with positions reversed along each axis whose direction is -1."""
        corner = self.corner * directions
        return replace(self, corner=corner, pairs=_overlapping(corner, self.extent, self.pixel))


def resolve(
    frames: pd.DataFrame, parts: Callable[[], Iterable[pd.DataFrame]], matching: Matching = _DEFAULTS
) -> Overlaps:
    """Find cells that overlapping frames show more than once, and divide the area of overlaps.

    Parameters
    ----------
    frames : DataFrame
        As `tables.FRAMES`.
    parts : callable
        Yields the `COLUMNS` of the cells table in parts; called once for each slide that has overlaps.
    matching : Matching, optional

    Notes
    -----
    Cells of two frames are copies of one cell if their centres are at most 3 um apart (by default) and each is the
    other's nearest. A copy that no border cuts is preferred; among these the one nearest to the middle of its frame, in
    widths of the frame, is kept. Cells that touch are kept in the same frame if one frame shows all of them whole. A
    cell in an overlap that has no copy, or whose copies are all cut, counts only in the frame whose middle is nearest.

    The axes of a stage may run against the rows or columns of its images: of the four combinations the one with the
    most copies is used. If hardly any cell has a copy in any of them, the positions are not believed: all cells are
    kept, and the frames are flagged ``overlap_unclear``.
    """
    frames = frames.reset_index(drop=True)
    usable = frames["usable"].to_numpy(bool)
    area = {column: frames[column].to_numpy(np.float64).copy() for column in ("frame_area_um2", "area_um2")}
    flags, dropped = frames["flags"].to_numpy(object).copy(), dict[str, set[int]]()
    for rows, of_one_image in _slides(frames):
        tiles, own = _tiles(frames, rows), rows[usable[rows]]
        if not len(tiles.pairs):
            continue
        seen = _tiles(frames, own)
        gone, believed = _duplicates(seen, parts, _DIRECTIONS[: 1 if of_one_image else None], matching)
        if believed:
            written = area["area_um2"][own] / area["frame_area_um2"][own]
            area["frame_area_um2"][rows], area["area_um2"][own] = _areas(tiles), _areas(seen) * written
            dropped |= gone
        else:
            flags[own] = [",".join([*filter(None, flag.split(",")), "overlap_unclear"]) for flag in flags[own]]
    fewer = frames["frame"].map({name: len(cells) for name, cells in dropped.items()}).fillna(0).astype(int)
    return Overlaps(frames.assign(**area, flags=flags, n_cells=frames["n_cells"] - fewer), dropped)


def _slides(frames: pd.DataFrame) -> Iterator[tuple[Ints, bool]]:
    """Yield the rows of frames that share a coordinate system, and whether they are parts of one image."""
    placed = frames[frames["y_um"].notna() & frames["x_um"].notna()]
    of_image = placed.groupby(["part", "path"])["frame"].transform("size") > 1
    for _, group in placed[of_image].groupby(["part", "path"], sort=True):
        yield group.index.to_numpy(np.int64), True
    for _, group in placed[~of_image].groupby("part", sort=True):
        yield group.index.to_numpy(np.int64), False


def _tiles(frames: pd.DataFrame, rows: Ints) -> _Tiles:
    some = frames.loc[rows]
    pixel = some["pixel_size_um"].to_numpy(np.float64)
    corner = some[["y_um", "x_um"]].to_numpy(np.float64)
    extent = some[["height_px", "width_px"]].to_numpy(np.float64) * pixel[:, None]
    return _Tiles(list(some["frame"]), corner, extent, pixel, _overlapping(corner, extent, pixel))


def _overlapping(corner: Floats, extent: Floats, pixel: Floats) -> Ints:
    """Return the pairs (i, j), i < j, of frames that overlap by more than one pixel."""
    end, pairs = corner + extent, [np.empty((0, 2), np.int64)]
    for i in range(len(corner)):
        shared = np.minimum(end[i], end[i + 1 :]) - np.maximum(corner[i], corner[i + 1 :])
        others = i + 1 + np.flatnonzero((shared > pixel[i]).all(axis=1))
        pairs.append(np.stack([np.full(len(others), i), others], axis=1))
    return np.concatenate(pairs)


def _areas(tiles: _Tiles) -> Floats:
    """Return the area of each frame, um2, with overlaps divided equally: the areas add up to that of the union."""
    end = tiles.corner + tiles.extent
    areas: Floats = tiles.extent.prod(axis=1)
    near = defaultdict(list)
    for i, j in tiles.pairs.tolist():
        near[i].append(j)
        near[j].append(i)
    for i, others in near.items():
        low, high = (
            np.clip(edges[[i, *others]], tiles.corner[i], end[i]) for edges in (tiles.corner, end)
        )  # of each frame, clipped to this one
        ys, xs = (np.unique(np.concatenate([low[:, axis], high[:, axis]])) for axis in (0, 1))
        covers_y = (low[:, :1] <= ys[:-1]) & (ys[1:] <= high[:, :1])
        covers_x = (low[:, 1:] <= xs[:-1]) & (xs[1:] <= high[:, 1:])
        n = np.einsum("fy,fx->yx", covers_y.astype(np.float64), covers_x.astype(np.float64))
        areas[i] = float((np.diff(ys)[:, None] * np.diff(xs)[None] / n).sum())
    return areas


def _duplicates(
    tiles: _Tiles,
    parts: Callable[[], Iterable[pd.DataFrame]],
    directions: Sequence[tuple[int, int]],
    matching: Matching,
) -> tuple[dict[str, set[int]], bool]:
    """Return, by frame, the cells that are counted in another frame, and whether the copies confirm the positions."""
    cells = _near_edges(tiles, parts())
    if cells.empty:
        return {}, True
    tried = [(turned, *_copies(turned, cells, matching.max_distance_um)) for turned in map(tiles.turned, directions)]
    turned, copies, inside = max(tried, key=lambda t: len(t[1]))
    if inside >= matching.min_cells and len(copies) < matching.min_share * inside:
        return {}, False
    gone = _settled(turned, cells, copies)
    lost = pd.Series(cells["cell"].to_numpy()[gone]).groupby(cells["f"].to_numpy()[gone])
    return {tiles.names[int(str(f))]: set(numbers.tolist()) for f, numbers in lost}, True


def _near_edges(tiles: _Tiles, parts: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Return cells that may be in an overlap, whatever the directions of the stage: ``f, cell, y, x, cut, contacts``.

    Positions are in um from the first corner of frame number f.
    """
    number = {name: f for f, name in enumerate(tiles.names)}
    i, j = tiles.pairs.T
    end = tiles.corner + tiles.extent
    deepest = (np.minimum(end[i], end[j]) - np.maximum(tiles.corner[i], tiles.corner[j])).max(axis=0, initial=0)
    found = [pd.DataFrame({name: [] for name in ("f", "cell", "y", "x", "cut", "contacts")})]
    for part in parts:
        here = part[part["frame"].isin(tiles.names)]
        f = here["frame"].map(number).to_numpy(np.int64)
        place = (here[["y_px", "x_px"]].to_numpy(np.float64) + 0.5) * tiles.pixel[f, None]
        near = ((place <= deepest) | (place >= tiles.extent[f] - deepest)).any(axis=1)
        columns = {"cell": here["cell"], "cut": here["touches_border"], "contacts": here["contacts"]}
        some = {name: column.to_numpy()[near] for name, column in columns.items()}
        found.append(pd.DataFrame({"f": f[near], "y": place[near, 0], "x": place[near, 1], **some}))
    return pd.concat(found[1:] or found, ignore_index=True).sort_values("f", kind="stable", ignore_index=True)


def _copies(tiles: _Tiles, cells: pd.DataFrame, max_distance_um: float) -> tuple[Ints, int]:
    """Return pairs of rows that are the same cell, and the largest possible number of pairs."""
    links, inside = [np.empty((0, 2), np.int64)], 0
    for a, b, place in _shared(tiles, cells):
        inside += min(len(a), len(b))
        if not (len(a) and len(b)):
            continue
        away, there = cKDTree(place[b]).query(place[a], distance_upper_bound=max_distance_um)
        _, back = cKDTree(place[a]).query(place[b])
        mutual = np.isfinite(away)
        mutual[mutual] = back[there[mutual]] == np.flatnonzero(mutual)
        links.append(np.stack([a[mutual], b[there[mutual]]], axis=1))
    return np.concatenate(links), inside


def _shared(tiles: _Tiles, cells: pd.DataFrame) -> Iterator[tuple[Ints, Ints, Floats]]:
    """Yield for each pair of frames the rows of each that are inside the other, and the positions of all rows."""
    f = cells["f"].to_numpy(np.int64)
    place = tiles.corner[f] + cells[["y", "x"]].to_numpy(np.float64)
    bounds = np.searchsorted(f, np.arange(len(tiles.names) + 1))
    end = tiles.corner + tiles.extent

    def of(frame: int, other: int) -> Ints:
        rows = np.arange(bounds[frame], bounds[frame + 1])
        inside: Ints = rows[((place[rows] >= tiles.corner[other]) & (place[rows] <= end[other])).all(axis=1)]
        return inside

    for i, j in tiles.pairs.tolist():
        yield of(i, j), of(j, i), place


def _settled(tiles: _Tiles, cells: pd.DataFrame, copies: Ints) -> NDArray[np.bool_]:
    """Return which rows are not counted, because another frame has the cell."""
    f, n = cells["f"].to_numpy(np.int64), len(cells)
    away = _away(tiles, f, tiles.corner[f] + cells[["y", "x"]].to_numpy(np.float64))
    _, one = connected_components(coo_array((np.ones(len(copies)), copies.T), shape=(n, n)), directed=False)
    alone = np.bincount(one, minlength=1)[one] == 1
    nearest = _nearest(tiles, cells, away)
    cut, own = cells["cut"].to_numpy(bool), np.zeros(n, np.bool_)
    own[one[(nearest == f) | (~cut & ~alone)]] = True
    gone = ~own[one]
    several = pd.DataFrame({"one": one, "f": f, "cut": cut, "away": away})[~alone & ~gone]
    order = several.sort_values(["cut", "away", "f"]).drop_duplicates("one").set_index("one")["f"]
    winner = np.full(n, -1)
    winner[order.index.to_numpy(np.int64)] = order.to_numpy()
    for member, frame in _touching_groups(cells, one, alone, gone, several):
        winner[member] = frame
    lost: NDArray[np.bool_] = gone | (~alone & (winner[one] != f))
    return lost


def _away(tiles: _Tiles, f: Ints, place: Floats) -> Floats:
    """Return how far positions are from the middle of their frames: 0 in the middle, 0.5 at the border."""
    away: Floats = np.abs((place - tiles.corner[f] - tiles.extent[f] / 2) / tiles.extent[f]).max(axis=1, initial=0)
    return away


def _nearest(tiles: _Tiles, cells: pd.DataFrame, away: Floats) -> Ints:
    """Return, for each row, the frame with the nearest middle among those that show its position; first if equal."""
    nearest, least = cells["f"].to_numpy(np.int64).copy(), away.copy()
    for (i, j), (a, b, place) in zip(tiles.pairs.tolist(), _shared(tiles, cells), strict=True):
        for rows, other in ((a, j), (b, i)):
            there = _away(tiles, np.full(len(rows), other), place[rows])
            better = (there < least[rows]) | ((there == least[rows]) & (other < nearest[rows]))
            nearest[rows[better]], least[rows[better]] = other, there[better]
    return nearest


def _touching_groups(
    cells: pd.DataFrame, one: Ints, alone: NDArray[np.bool_], gone: NDArray[np.bool_], several: pd.DataFrame
) -> Iterator[tuple[Ints, int]]:
    """Yield groups of touching cells that have copies, and the frame that shows all of the group whole.

    A cell that no other frame shows ties the group to its own frame.
    """
    f, number = cells["f"].to_numpy(np.int64), cells["cell"].to_numpy(np.int64)
    row_of = {key: row for row, key in enumerate(zip(f.tolist(), number.tolist(), strict=True))}
    edges, bound = [(0, 0)], list[tuple[int, int]]()
    for row in several.index.tolist():
        for other in cells["contacts"].iloc[row]:
            touching = row_of.get((int(f[row]), int(other)))
            if touching is None or (alone[touching] and not gone[touching]):
                bound.append((int(one[row]), int(f[row])))
            elif not alone[touching]:
                edges.append((int(one[row]), int(one[touching])))
    n = len(cells)
    joined = coo_array((np.ones(len(edges)), np.array(edges).T), shape=(n, n))
    _, group = connected_components(joined, directed=False)
    members = several.drop_duplicates("one").assign(group=lambda d: group[d["one"]]).groupby("group")["one"]
    whole = several[~several["cut"]].drop_duplicates(["one", "f"]).assign(group=lambda d: group[d["one"]])
    shown = whole.groupby(["group", "f"], as_index=False).agg(n=("one", "size"), away=("away", "mean"))
    shown = shown[shown["n"] == shown["group"].map(members.size())]
    bound_to = pd.DataFrame({"group": group[[cell for cell, _ in bound]], "f": [frame for _, frame in bound]})
    shown = shown.join(bound_to.groupby("group")["f"].agg(["min", "max"]), on="group")
    free = shown["min"].isna() | ((shown["min"] == shown["f"]) & (shown["max"] == shown["f"]))
    for _, best in shown[free].sort_values(["group", "away", "f"]).drop_duplicates("group").iterrows():
        yield members.get_group(best["group"]).to_numpy(np.int64), int(best["f"])
