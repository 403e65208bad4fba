"""Frames of one sample that show the same cells though not the same pixels: cut, shifted, turned or mirrored copies.

Two places on a slide never hold the same cells at the same distances from each other with the same brightness. So a
frame whose nuclei all lie in another one, up to a turn, a mirror image and a shift, is the same blood once more.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ctcascade.images.alike import Compared

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

COLUMNS = ["frame", "y_px", "x_px", "nucleus_area_um2", "dna_mean", "cd45_mean"]
"""The columns of the cells table that `compare` needs."""
_FEWEST = 8  # nuclei that have to be found again
_CONTAINED = 0.6  # share of a frame's nuclei from which it is a copy: those on its edge are cut
_VOTES = 0.05  # share of nuclei whose triangle has to be found again for two frames to be looked at
_FEWEST_VOTES = 3
_MANY = 50_000
_SAME_PX = 2.0
_UNMOVED_PX = 0.5
_ALIKE = 0.95  # correlation of area and brightness over the nuclei found again
_COMMON = 12  # triangles that so many frames have are those of an array
_BIN_PX = 1.0
_OTHER_SIZE = 0.01
_TURNS = tuple(product((1, -1), (1, -1), (False, True)))
_UNCLEAR, _SAME_CELLS = "overlap_unclear", "same_cells"


@dataclass(frozen=True)
class _Nuclei:
    """The nuclei of one frame: places in pixels, and ln of area, DNA and CD45."""

    places: Floats
    signs: Floats


@dataclass(frozen=True)
class _Match:
    """How many nuclei of two frames are the same, and whether all lie at the same places in both."""

    n: int
    share_of_first: float
    share_of_second: float
    in_place: bool


def compare(compared: Compared, cells: Callable[[], Iterable[pd.DataFrame]]) -> Compared:
    """Return which further frames are copies by their cells, and flag those that overlap at places nobody knows.

    Parameters
    ----------
    compared : Compared
        The frames of a sample, without exact copies.
    cells : callable
        Returns parts of the cells table with `COLUMNS`, of the frames that are still counted.

    Notes
    -----
    Frames that have positions in one part are left to `overlap.resolve`. Every nucleus gives a triangle with its two
    nearest neighbours, whose sides no turn, mirror image or shift changes; frames that share many are compared nucleus
    by nucleus, and their brightness has to agree too, as in arrays of wells all distances are alike. A frame of whose
    nuclei six in ten lie in another frame is a copy, and is not imaged blood; with fewer, both are flagged
    ``overlap_unclear``: cells in the overlap are counted twice, and nothing tells where it lies. Where all nuclei lie
    at the same places, in frames of one size, a second exposure of the field or a test that repeats a frame is meant as
    likely as a copy: both stay and are flagged ``same_cells``.
    """
    frames = compared.frames
    usable = frames[frames["usable"]]
    if len(usable) < 2:
        return compared
    nuclei = _nuclei_of(cells, set(usable["frame"]))
    rows = {frame: row for row, frame in zip(usable.index, usable["frame"], strict=True)}
    gone: dict[str, str] = {}
    flags: dict[str, str] = {}
    shape = dict(zip(usable["frame"], zip(usable["height_px"], usable["width_px"], strict=True), strict=True))
    for one, two in _candidates(nuclei, usable):
        if one in gone or two in gone:
            continue
        match = _match(nuclei[one], nuclei[two])
        if match is None:
            continue
        if match.in_place and shape[one] == shape[two]:
            flags |= dict.fromkeys((one, two), _SAME_CELLS)
        elif max(match.share_of_first, match.share_of_second) < _CONTAINED:
            flags |= dict.fromkeys((one, two), _UNCLEAR)
        elif match.share_of_first > match.share_of_second:
            gone[one] = f"a copy: {match.n} of its nuclei are those of frame {two}, which is counted"
        else:
            gone[two] = f"a copy: {match.n} of its nuclei are those of frame {one}, which is counted"
    if not gone and not flags:
        return compared
    changed = frames.copy()
    taken = [rows[frame] for frame in gone]
    changed.loc[taken, "usable"] = False
    changed.loc[taken, "reason"] = list(gone.values())
    changed.loc[taken, "flags"] = ""
    changed.loc[taken, ["area_um2", "frame_area_um2"]] = 0.0
    changed.loc[taken, "n_cells"] = 0
    for frame in (frame for frame in flags if frame not in gone):
        row = rows[frame]
        changed.loc[row, "flags"] = ",".join(filter(None, (str(changed.loc[row, "flags"]), flags[frame])))
    return Compared(changed, compared.gone | set(gone))


def _nuclei_of(cells: Callable[[], Iterable[pd.DataFrame]], wanted: set[str]) -> dict[str, _Nuclei]:
    found: dict[str, list[Floats]] = {}
    for part in cells():
        held = part[(part["nucleus_area_um2"] > 0) & part["frame"].isin(list(wanted))]
        values = held[COLUMNS[1:]].to_numpy(np.float64)
        for frame, rows in held.groupby("frame", sort=False).indices.items():
            found.setdefault(str(frame), []).append(values[rows])
    whole = {frame: np.concatenate(parts) for frame, parts in found.items()}
    return {
        frame: _Nuclei(data[:, :2], np.log(np.maximum(data[:, 2:], 1e-3)))
        for frame, data in whole.items()
        if len(data) >= _FEWEST
    }


def _candidates(nuclei: dict[str, _Nuclei], frames: pd.DataFrame) -> Iterator[tuple[str, str]]:
    """Yield pairs of frames, in order, of which many nuclei have the same triangle."""
    names = [frame for frame in frames["frame"] if frame in nuclei]
    if len(names) < 2:
        return
    y_um, size_um = (frames[column].to_numpy(np.float64) for column in ("y_um", "pixel_size_um"))
    parts = frames["part"].to_numpy(np.int64)
    about = {frame: k for k, frame in enumerate(frames["frame"])}
    size = np.array([len(nuclei[name].places) for name in names], np.int64)
    for one, two in _with_common_triangles([nuclei[name] for name in names], size):
        i, j = about[names[one]], about[names[two]]
        placed = np.isfinite(y_um[[i, j]]).all() and parts[i] == parts[j]
        if not placed and abs(size_um[i] / size_um[j] - 1) < _OTHER_SIZE:
            yield names[one], names[two]


def _with_common_triangles(frames: list[_Nuclei], size: Ints) -> Iterator[tuple[int, int]]:
    """Yield the numbers of two frames of which many nuclei have the same triangle."""
    pairs: list[Ints] = []
    neighbours = 2 if size.sum() < _MANY else 3  # among many nuclei triangles are alike by chance
    for shift in (0.0, 0.5):
        keys, owners = _keys(frames, shift, neighbours)
        order = np.lexsort((owners, keys))
        keys, owners = keys[order], owners[order]
        rare = _rare(keys)
        for step in range(1, 4):
            same = (keys[step:] == keys[:-step]) & (owners[step:] != owners[:-step]) & rare[step:]
            pairs.append(owners[:-step][same] * len(frames) + owners[step:][same])
    codes, n = np.unique(np.concatenate(pairs), return_counts=True)
    one, two = np.divmod(codes, len(frames))
    enough = n >= np.maximum(_FEWEST_VOTES, _VOTES * np.minimum(size[one], size[two]))
    yield from zip(one[enough].tolist(), two[enough].tolist(), strict=True)


def _keys(frames: list[_Nuclei], shift: float, neighbours: int) -> tuple[Ints, Ints]:
    """Return a number for each nucleus with its nearest neighbours, by their distances, and the number of its frame."""
    keys, owners = [], []
    for k, found in enumerate(frames):
        away, which = cKDTree(found.places).query(found.places, k=neighbours + 1)
        between = np.linalg.norm(found.places[which[:, 1]] - found.places[which[:, 2]], axis=1)
        sides = np.floor(np.column_stack([away[:, 1:], between]) / _BIN_PX + shift).astype(np.int64)
        key = np.zeros(len(sides), np.int64)
        for side in sides.T:
            key = (key << 15) + np.minimum(side, 2**15 - 1)
        keys.append(key)
        owners.append(np.full(len(found.places), k, np.int64))
    return np.concatenate(keys), np.concatenate(owners)


def _rare(keys: Ints) -> NDArray[np.bool_]:
    """Return which of the sorted keys few nuclei have."""
    _, which, n = np.unique(keys, return_inverse=True, return_counts=True)
    return np.asarray(n[which] <= _COMMON)


def _match(first: _Nuclei, second: _Nuclei) -> _Match | None:
    """Return how many nuclei of two frames are the same under the best turn and shift; None where too few are."""
    best: tuple[int, NDArray[np.bool_], Ints, bool] | None = None
    tree = cKDTree(first.places)
    for down, across, swap in _TURNS:
        turned = second.places[:, ::-1] if swap else second.places
        turned = turned * (down, across)
        for shift in _shifts(first, second, turned):
            away, which = tree.query(turned + shift, distance_upper_bound=_SAME_PX)
            found = np.isfinite(away)
            if best is None or found.sum() > best[0]:
                unmoved = (down, across, swap) == _TURNS[0] and bool(np.abs(shift).max() <= _UNMOVED_PX)
                best = int(found.sum()), found, which, unmoved
    if best is None or best[0] < _FEWEST:
        return None
    n, found, which, unmoved = best
    signs = zip(first.signs[which[found]].T, second.signs[found].T, strict=True)
    alike = sum(_correlation(one, two) >= _ALIKE for one, two in signs)
    n = len(np.unique(which[found]))
    if alike < 2 or n < _FEWEST:
        return None
    return _Match(n, n / len(first.places), n / len(second.places), unmoved)


def _shifts(first: _Nuclei, second: _Nuclei, turned: Floats) -> list[Floats]:
    """Return the shift that most pairs of nuclei of the same area and brightness agree on, if any do."""
    signs = cKDTree(first.signs)
    near = signs.query_ball_point(second.signs - _level(first, second), r=0.25)
    pairs = [(i, j) for j, some in enumerate(near) for i in some[:40]]
    if len(pairs) < _FEWEST // 2:
        return []
    i, j = np.array(pairs).T
    moves = first.places[i] - turned[j]
    bins, n = np.unique(np.round(moves / (2 * _SAME_PX)), axis=0, return_counts=True)
    top = int(np.argmax(n))
    if n[top] < _FEWEST // 2:
        return []
    around = np.abs(moves - bins[top] * 2 * _SAME_PX).max(axis=1) <= 2 * _SAME_PX
    return [np.median(moves[around], axis=0)]


def _level(first: _Nuclei, second: _Nuclei) -> Floats:
    """Return by how much the second frame is brighter as a whole: a copy may be scaled."""
    return np.asarray(np.median(second.signs, axis=0) - np.median(first.signs, axis=0), dtype=np.float64)


def _correlation(one: Floats, two: Floats) -> float:
    if np.std(one) == 0 or np.std(two) == 0:
        return 0.0
    return float(np.corrcoef(one, two)[0, 1])
