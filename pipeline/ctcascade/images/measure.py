"""From the label images and channels of one frame to one row for each cell: shape, intensity by role, contacts.

Shapes are those of scikit-image's `regionprops`: moments, convex hull, Crofton perimeter in four directions.
Intensities are counts above the local background. All objects are measured together, in a few passes over the pixels.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from ctcascade.data.vocabulary import ABOVE_NOISE, ROLES
from ctcascade.images import sums
from ctcascade.images.background import Channel
from ctcascade.images.distances import rings
from ctcascade.images.fragments import fragments
from ctcascade.images.labels import Runs, kernel, runs_of
from ctcascade.images.ranks import ranked
from ctcascade.images.segment import Segmentation
from ctcascade.images.sums import light
from ctcascade.study.detection_settings import MeasureSettings

_DEFAULTS = MeasureSettings()

Floats = NDArray[np.float64]


class Shapes(NamedTuple):
    """Shapes of objects 1..N, each an array of shape (N,); lengths and areas in pixels."""

    area: Floats
    y: Floats
    x: Floats
    box: NDArray[np.int64]  # (N, 4): first row, first column, one past the last row, one past the last column
    perimeter: Floats
    eccentricity: Floats
    solidity: Floats
    major: Floats  # length of the longer axis of the ellipse of equal second moments, and its angle (radians)
    angle: Floats


class _Near(NamedTuple):
    """Of the objects 1..N those near each, one object's after the other's, and the gaps between their edges."""

    starts: NDArray[np.int64]  # of each object's, and the end of the last
    others: NDArray[np.int64]
    gaps_um: NDArray[np.float32]

    def of(self, i: int) -> NDArray[np.int64]:
        """Return the objects near the i-th, from 0."""
        return self.others[self.starts[i] : self.starts[i + 1]]

    def column(self, values: NDArray[Any]) -> pd.Series:
        """Return values as one list an object: lists of Arrow, which are written as they are."""
        lists = pa.ListArray.from_arrays(pa.array(self.starts.astype(np.int32)), pa.array(values))
        return pd.Series(pd.arrays.ArrowExtensionArray(lists))


def measure(
    found: Segmentation,
    channels: Mapping[str, Channel],
    pixel_size_um: float,
    contact_gap_max_um: float,
    settings: MeasureSettings = _DEFAULTS,
) -> pd.DataFrame:
    """Return one row for each cell, with the columns of `tables.CELLS` except the name of the frame.

    Parameters
    ----------
    found : Segmentation
    channels : mapping of str to Channel
        By role; each gives a block of columns.
    pixel_size_um : float
    contact_gap_max_um : float
        Cells whose edges are at most this far apart are listed as contacts.
    settings : MeasureSettings, optional

    Returns
    -------
    DataFrame
    """
    px = pixel_size_um
    count = int(found.cells.max(initial=0))
    in_cell, in_nucleus = runs_of(found.cells), runs_of(found.nuclei)
    cell, nucleus = _shapes(in_cell, found.cells, count), _shapes(in_nucleus, found.nuclei, count)
    data: dict[str, Any] = {
        "cell": np.arange(1, count + 1),
        "y_px": cell.y,
        "x_px": cell.x,
        **{name: cell.box[:, k] for k, name in enumerate(("y0_px", "x0_px", "y1_px", "x1_px"))},
        "touches_border": ((cell.box[:, :2] == 0) | (cell.box[:, 2:] == found.cells.shape)).any(axis=1),
        "area_um2": cell.area * px**2,
        "equivalent_diameter_um": np.sqrt(4 / np.pi * cell.area) * px,
        "perimeter_um": cell.perimeter * px,
        "p2a": _p2a(cell),
        "eccentricity": cell.eccentricity,
        "solidity": cell.solidity,
        "nucleus_area_um2": nucleus.area * px**2,
        "nucleus_perimeter_um": nucleus.perimeter * px,
        "nucleus_p2a": _p2a(nucleus),
        "nucleus_eccentricity": nucleus.eccentricity,
        "nucleus_solidity": nucleus.solidity,
    }
    near = _contacts(in_cell, found.cells.shape[0], count, contact_gap_max_um, px)
    data |= {"contacts": near.column(near.others), "contact_gaps_um": near.column(near.gaps_um)}
    surroundings = rings(found.cells, settings.ring_um / px)
    ring_area = np.bincount(surroundings[:, 3], surroundings[:, 2] - surroundings[:, 1], count + 1)[1:]
    signals = {role: channels[role].signal for role in dict.fromkeys((*ROLES, *channels)) if role in channels}
    limits = {role: ABOVE_NOISE * channels[role].noise for role in signals}
    brightest = np.maximum(np.round(settings.high_share * cell.area), 1)
    found_light, products = light((in_cell, in_nucleus, surroundings), signals, limits, brightest)
    mean = {role: each.total / cell.area for role, each in found_light.items()}
    std = {
        role: np.sqrt(np.maximum(each.squares / cell.area - mean[role] ** 2, 0)) for role, each in found_light.items()
    }
    for role in channels:
        each = found_light[role]
        nucleus_mean = _share(each.in_nucleus, nucleus.area)
        data |= {
            f"{role}_mean": mean[role],
            f"{role}_max": each.highest,
            f"{role}_high": each.high,
            f"{role}_std": std[role],
            f"{role}_sum": each.total,
            f"{role}_nucleus_mean": nucleus_mean,
            f"{role}_nucleus_std": np.sqrt(np.maximum(_share(each.nucleus_squares, nucleus.area) - nucleus_mean**2, 0)),
            f"{role}_cytoplasm_mean": _share(each.total - each.in_nucleus, cell.area - nucleus.area),
            f"{role}_ring_mean": _share(each.around, ring_area),
            f"{role}_overlap": _share(each.nucleus_lit, nucleus.area),
            f"{role}_fill": each.lit / cell.area,
            f"{role}_dna_correlation": _share(
                each.with_dna / cell.area - mean[role] * mean["dna"], std[role] * std["dna"]
            ),
        }
    if "ck" in channels and "cd45" in channels:
        apart = products / cell.area - mean["ck"] * mean["cd45"]
        data["marker_correlation"] = _share(apart, std["ck"] * std["cd45"])
    data["nucleus_twin"] = _twins(near, nucleus, settings)
    data |= fragments(in_cell, signals["dna"], found_light["dna"].high, px, settings)
    return pd.DataFrame(data)


def _twins(near: _Near, nucleus: Shapes, settings: MeasureSettings) -> NDArray[np.int64]:
    """Return for each cell the cell beside it whose nucleus lies to its own as one plate of an anaphase to the other.

    Both are long, parallel, alike in size, side by side, and no further apart than they are long.
    """
    twin = np.zeros(len(nucleus.area), np.int64)
    long = nucleus.eccentricity >= settings.min_plate_eccentricity
    for i in np.flatnonzero(long).tolist():
        beside = (near.of(i) - 1).tolist()
        found = [j for j in beside if j > i and long[j] and _are_plates(nucleus, i, j, settings)]
        if len(found) == 1 and not twin[i] and not twin[found[0]]:
            twin[i], twin[found[0]] = found[0] + 1, i + 1
    return twin


def _are_plates(nucleus: Shapes, i: int, j: int, settings: MeasureSettings) -> bool:
    turned = abs(np.cos(nucleus.angle[i] - nucleus.angle[j]))
    dy, dx = nucleus.y[j] - nucleus.y[i], nucleus.x[j] - nucleus.x[i]
    apart = float(np.hypot(dy, dx))
    along = max(abs(np.cos(np.arctan2(dy, dx) - nucleus.angle[k])) for k in (i, j))
    sizes = sorted((nucleus.area[i], nucleus.area[j]))
    return bool(
        turned >= settings.min_plate_cosine
        and along <= settings.max_plate_offset
        and apart <= settings.max_plate_gap * (nucleus.major[i] + nucleus.major[j]) / 2
        and sizes[1] <= settings.max_plate_ratio * sizes[0]
    )


def sharpness(channel: Channel) -> float:
    """Return the steepest gradients of a channel relative to its median gradient: about 0.5 for noise alone."""
    slope = _slopes(channel.signal)
    if not slope.size:  # fewer rows or columns than a gradient takes
        return float("nan")
    usual, steep = np.sqrt(ranked(slope, (slope.size // 2, int(0.999 * slope.size))))
    return float(steep) / (4 * (float(usual) + channel.noise / 4))


def shapes(labels: NDArray[np.int32], count: int) -> Shapes:
    """Return the shapes of the objects 1..`count` of a label image; a missing object has area 0 and NaN elsewhere.

    Notes
    -----
    The perimeter is Crofton's with four directions: pi/4 (h + v + (d1 + d2)/sqrt 2), each letter the number of times
    that lines in one direction enter the object; it equals scikit-image's `perimeter_crofton(directions=4)`. The
    solidity counts the pixels whose centre lies in the convex hull of the pixels' edge midpoints, as `regionprops`.
    """
    return _shapes(runs_of(labels), labels, count)


def _shapes(runs: Runs, labels: NDArray[np.int32], count: int) -> Shapes:
    moments, box, edges = _moments(runs, labels, count)
    area, y, x, yy, xx, yx = moments[:, 1:]
    box, edges = box[1:], edges[1:]
    with np.errstate(invalid="ignore", divide="ignore"):
        y, x = y / area, x / area
        a, b, c = yy / area - y**2, xx / area - x**2, yx / area - y * x
        middle, spread = (a + b) / 2, np.sqrt(((a - b) / 2) ** 2 + c**2)
        eccentricity = np.sqrt(np.clip(np.where(middle > 0, 2 * spread / (middle + spread), 0), 0, 1))
        solidity = area / _hull_areas(runs[np.argsort(runs[:, 3], kind="stable")], count)
        major = 4 * np.sqrt(np.maximum(middle + spread, 0))
    angle = 0.5 * np.arctan2(2 * c, b - a)  # from the direction of x towards y
    perimeter = np.pi / 4 * (edges[:, 0] + edges[:, 1] + (edges[:, 2] + edges[:, 3]) / np.sqrt(2))
    eccentricity[area == 0] = np.nan
    return Shapes(area, y, x, box, perimeter, eccentricity, solidity, major, angle)


def contacts(
    labels: NDArray[np.int32], count: int, gap_max_um: float, pixel_size_um: float
) -> tuple[list[list[int]], list[list[float]]]:
    """Return, for each of the objects 1..`count`, the objects near it and the gaps between their edges (um).

    Notes
    -----
    The gap is the smallest distance of two pixel centres less one pixel: 0 for neighbours that touch.
    """
    near = _contacts(runs_of(labels), labels.shape[0], count, gap_max_um, pixel_size_um)
    starts, stops = near.starts[:-1], near.starts[1:]
    each = list(zip(starts, stops, strict=True))
    return [near.others[a:b].tolist() for a, b in each], [near.gaps_um[a:b].tolist() for a, b in each]


def _contacts(runs: Runs, rows: int, count: int, gap_max_um: float, pixel_size_um: float) -> _Near:
    pairs = _near_pairs(runs, rows, (gap_max_um / pixel_size_um + 1) ** 2, count)
    pairs = np.concatenate([pairs, pairs[:, [1, 0, 2]]])
    pairs = pairs[np.argsort(pairs[:, 0] * (count + 1) + pairs[:, 1])]
    starts = np.searchsorted(pairs[:, 0], np.arange(1, count + 2))
    gaps = ((np.sqrt(pairs[:, 2]) - 1) * pixel_size_um).astype(np.float32)
    return _Near(starts, pairs[:, 1], gaps)


def warm() -> None:
    """Compile the kernels into their cache."""
    labels = np.zeros((4, 4), np.int32)
    labels[1:3, 1:3] = 1
    shapes(labels, 1)
    contacts(labels, 1, 1.0, 1.0)
    signal = np.zeros((4, 4), np.float32)
    sums.warm()
    fragments(runs_of(labels), signal, np.ones(1), 1.0, _DEFAULTS)
    _slopes(signal)


def _p2a(shape: Shapes) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(shape.area > 0, shape.perimeter**2 / (4 * np.pi * shape.area), np.nan)


def _share(part: NDArray[Any], whole: NDArray[Any]) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(whole > 0, part / whole, np.nan)


@kernel
def _moments(runs: Any, labels: Any, count: int) -> Any:  # pragma: no cover - compiled
    """Return raw moments (6, count + 1), boxes (count + 1, 4) and entries of lines in four directions."""
    rows, columns = labels.shape
    moments = np.zeros((6, count + 1))
    box = np.zeros((count + 1, 4), np.int64)
    box[:, 0], box[:, 1] = rows, columns
    edges = np.zeros((count + 1, 4))
    nothing = np.zeros(columns + 2, labels.dtype)
    above = nothing.copy()
    current = -1
    for y, start, stop, k in runs:
        if y != current and y > 0:
            above[1:-1] = labels[y - 1]
            current = y
        n = stop - start
        last = stop - 1
        along = n * (start + last) / 2
        moments[0, k] += n
        moments[1, k] += n * y
        moments[2, k] += along
        moments[3, k] += n * y * y
        moments[4, k] += along * (start + last) / 2 + n * (n * n - 1) / 12  # of n neighbours about their middle
        moments[5, k] += along * y
        box[k, 0], box[k, 1] = min(box[k, 0], y), min(box[k, 1], start)
        box[k, 2], box[k, 3] = max(box[k, 2], y + 1), max(box[k, 3], stop)
        edges[k, 0] += 1
        for direction, shift in ((1, 1), (2, 0), (3, 2)):
            edges[k, direction] += n - _equal(above[start + shift : stop + shift], k)
    return moments, box, edges


@kernel
def _equal(values: Any, k: int) -> int:  # pragma: no cover - compiled
    found = 0
    for value in values:
        found += value == k
    return found


@kernel
def _slopes(signal: Any) -> Any:  # pragma: no cover - compiled
    """Return squared gradients (over two pixels) in every eighth row of a smoothed signal.

    The weights 1 4 6 4 1 smooth with a standard deviation of 1 pixel, and gradients are sums of few rows and columns.
    """
    rows, columns = signal.shape
    slope = np.empty(((rows + 1) // 8, max(columns - 6, 0)), np.float32)
    level, rise = np.empty(columns, np.float32), np.empty(columns, np.float32)
    weight = np.float32(1 / 256)
    for i in range(len(slope)):
        a, b, c = signal[8 * i], signal[8 * i + 1], signal[8 * i + 2]
        d, e, f, g = signal[8 * i + 3], signal[8 * i + 4], signal[8 * i + 5], signal[8 * i + 6]
        for x in range(columns):
            level[x] = b[x] + f[x] + 4 * (c[x] + e[x]) + 6 * d[x]
            rise[x] = g[x] - a[x] + 4 * (f[x] - b[x]) + 5 * (e[x] - c[x])
        for x in range(columns - 6):
            along = level[x + 6] - level[x] + 4 * (level[x + 5] - level[x + 1]) + 5 * (level[x + 4] - level[x + 2])
            down = rise[x + 1] + rise[x + 5] + 4 * (rise[x + 2] + rise[x + 4]) + 6 * rise[x + 3]
            along, down = along * weight, down * weight
            slope[i, x] = along * along + down * down
    return slope


@kernel
def _near_pairs(runs: Any, rows: int, most: float, count: int) -> Any:  # pragma: no cover - compiled
    """Return rows (object, greater object, least squared distance of their pixels, at most `most`) of near objects."""
    r = int(np.sqrt(most))
    start_of = np.searchsorted(runs[:, 0], np.arange(rows + 1))
    pairs = [(0, 0, 0)]
    first = np.zeros(count + 1, np.int64)  # of the pairs of each lesser object, and of each pair the following one
    following = [0]
    for i in range(len(runs)):
        y, start, stop, k = runs[i]
        for dy in range(min(r + 1, rows - y)):
            across = int(np.sqrt(most - dy * dy))
            j = i + 1 if dy == 0 else start_of[y + dy]
            while j < start_of[y + dy + 1] and runs[j, 2] <= start - across:
                j += 1
            while j < start_of[y + dy + 1] and runs[j, 1] - stop + 1 <= across:
                other = runs[j, 3]
                if other != k:
                    dx = max(0, runs[j, 1] - stop + 1, start - runs[j, 2] + 1)
                    _note(pairs, first, following, min(k, other), max(k, other), dy * dy + dx * dx)
                j += 1
    out = np.empty((len(pairs) - 1, 3), np.int64)
    for i in range(1, len(pairs)):
        out[i - 1, 0], out[i - 1, 1], out[i - 1, 2] = pairs[i]
    return out


@kernel
def _note(pairs: Any, first: Any, following: Any, a: int, b: int, squared: int) -> None:  # pragma: no cover - compiled
    at = first[a]
    while at > 0 and pairs[at][1] != b:
        at = following[at]
    if at == 0:
        pairs.append((a, b, squared))
        following.append(first[a])
        first[a] = len(pairs) - 1
    elif pairs[at][2] > squared:
        pairs[at] = (a, b, squared)


@kernel
def _hull_areas(runs: Any, count: int) -> Any:  # pragma: no cover - compiled
    """Return the number of pixel centres in the convex hull of each object's pixel-edge midpoints, from sorted runs."""
    out = np.full(count, np.nan)
    begin = 0
    while begin < len(runs):
        k = runs[begin, 3]
        end = begin
        while end < len(runs) and runs[end, 3] == k:
            end += 1
        y0, height = runs[begin, 0], runs[end - 1, 0] + 1 - runs[begin, 0]
        # in half pixels, from the object's first row: the outermost points of each half row
        left = np.full(2 * height + 1, 1 << 40, np.int64)
        right = np.full(2 * height + 1, -(1 << 40), np.int64)
        for i in range(begin, end):
            row, low, high = 2 * (runs[i, 0] - y0) + 1, 2 * runs[i, 1], 2 * (runs[i, 2] - 1)
            left[row], right[row] = min(left[row], low - 1), max(right[row], high + 1)
            for near in (row - 1, row + 1):
                left[near], right[near] = min(left[near], low), max(right[near], high)
        out[k - 1] = _hull_pixels(left, right, height)
        begin = end
    return out


@kernel
def _hull_pixels(left: Any, right: Any, height: int) -> float:  # pragma: no cover - compiled
    west, east = _chain(left, 1), _chain(right, -1)
    total = 0
    for y in range(height):
        row = 2 * y + 1
        low = np.ceil(west[row] / 2 - 1e-9)
        high = np.floor(east[row] / 2 + 1e-9)
        total += int(high - low) + 1
    return float(total)


@kernel
def _chain(bound: Any, side: int) -> Any:  # pragma: no cover - compiled
    """Return the convex hull's bound on one side at each half row."""
    n = len(bound)
    stack = np.empty(n, np.int64)
    size = 0
    for i in range(n):
        if abs(bound[i]) >= 1 << 40:
            continue
        while size >= 2:
            a, b = stack[size - 2], stack[size - 1]
            turn = (b - a) * (bound[i] - bound[a]) - (i - a) * (bound[b] - bound[a])
            if side * turn > 0:
                break
            size -= 1
        stack[size] = i
        size += 1
    out = np.empty(n)
    for s in range(size - 1):
        a, b = stack[s], stack[s + 1]
        for i in range(a, b + 1):
            out[i] = bound[a] + (bound[b] - bound[a]) * (i - a) / (b - a)
    return out
