"""Label images of one frame and its channels to one row a cell: shape, intensity by role, contacts.

Shapes are those of scikit-image's `regionprops`: moments, convex hull, Crofton perimeter in four directions.
Intensities are counts above the local background. All objects are measured together, in a few passes over the pixels.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.segment import Channel, Segmentation, kernel, nearest

_ABOVE = 3.0  # standard deviations of the noise above which a pixel shows the role
_RING_UM = 3.0  # width of the surroundings that a cell is set against
_FEWEST, _MOST = 10, 200  # cells that a channel's place is learnt from

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


def measure(
    found: Segmentation, channels: Mapping[str, Channel], pixel_size_um: float, contact_gap_max_um: float
) -> pd.DataFrame:
    """Return one row a cell, with the columns of `schema.CELLS` but the frame's name.

    Parameters
    ----------
    found : Segmentation
    channels : mapping of str to Channel
        By role; a block of columns each.
    pixel_size_um : float
    contact_gap_max_um : float
        Cells whose edges are this near are listed as contacts.

    Returns
    -------
    DataFrame
    """
    px = pixel_size_um
    count = int(found.cells.max(initial=0))
    cell, nucleus = shapes(found.cells, count), shapes(found.nuclei, count)
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
    near, gaps = contacts(found.cells, count, contact_gap_max_um, px)
    data |= {"contacts": pd.Series(near, dtype=object), "contact_gaps_um": pd.Series(gaps, dtype=object)}
    distance, zone = nearest(found.cells)
    zone *= distance <= _RING_UM / px
    for role, channel in channels.items():
        sums = _sums(found.cells, found.nuclei, zone, channel.signal, _ABOVE * channel.noise, count)
        total, squares, highest, in_nucleus, lit, lit_nucleus, outside, around = sums[:, 1:]
        mean = total / cell.area
        data |= {
            f"{role}_mean": mean,
            f"{role}_max": highest,
            f"{role}_std": np.sqrt(np.maximum(squares / cell.area - mean**2, 0)),
            f"{role}_sum": total,
            f"{role}_nucleus_mean": _share(in_nucleus, nucleus.area),
            f"{role}_cytoplasm_mean": _share(total - in_nucleus, cell.area - nucleus.area),
            f"{role}_ring_mean": _share(outside, around),
            f"{role}_overlap": _share(lit_nucleus, nucleus.area),
            f"{role}_fill": lit / cell.area,
        }
    return pd.DataFrame(data)


def registration(
    cells: NDArray[np.int32], table: pd.DataFrame, channels: Mapping[str, Channel], pixel_size_um: float
) -> dict[str, float]:
    """Return how far each channel lies beside DNA, um, by role; NaN where too few cells show both.

    Parameters
    ----------
    cells : ndarray of int32, shape (Y, X)
        Label image.
    table : DataFrame
        Its cells, from `measure`.
    channels : mapping of str to Channel
    pixel_size_um : float

    Notes
    -----
    A cell's light is centred on its nucleus, give or take; the median over many cells of (centroid of the channel less
    centroid of DNA, both weighted by their signal inside the cell) is what the channels are apart. At most 200 cells
    are taken, evenly over the frame; ten are needed. The cell's outline is drawn around the nucleus and cuts light that
    lies outside, so that about four fifths of a shift are seen, and less of one beyond 3 um.
    """
    whole = (table["nucleus_area_um2"].to_numpy() > 0) & ~table["touches_border"].to_numpy(bool)
    rows = np.flatnonzero(whole & (table["dna_mean"].to_numpy() > channels["dna"].noise))
    rows = rows[np.linspace(0, len(rows) - 1, min(len(rows), _MOST)).astype(int)]
    columns = [table[name].to_numpy()[rows] for name in ("cell", "y0_px", "x0_px", "y1_px", "x1_px")]
    boxes = np.stack(columns, axis=1).astype(np.int64)
    centres = {role: _centroids(cells, boxes, channel.signal) for role, channel in channels.items()}
    shifts = {}
    for role in (role for role in channels if role != "dna"):
        lit = table[f"{role}_mean"].to_numpy()[rows] > channels[role].noise
        away = np.median((centres[role] - centres["dna"])[lit], axis=0) if lit.sum() >= _FEWEST else [np.nan, np.nan]
        shifts[role] = float(np.hypot(*away)) * pixel_size_um
    return shifts


def shapes(labels: NDArray[np.int32], count: int) -> Shapes:
    """Return the shapes of the objects 1..`count` of a label image; area 0 and NaN where there is none.

    Notes
    -----
    The perimeter is Crofton's with four directions: pi/4 (h + v + (d1 + d2)/sqrt 2), each letter the number of times
    that lines in one direction enter the object; it equals scikit-image's `perimeter_crofton(directions=4)`. The
    solidity counts the pixels whose centre lies in the convex hull of the pixels' edge midpoints, as `regionprops`.
    """
    moments, box, edges = _moments(labels, count)
    area, y, x, yy, xx, yx = moments[:, 1:]
    box, edges = box[1:], edges[1:]
    with np.errstate(invalid="ignore", divide="ignore"):
        y, x = y / area, x / area
        a, b, c = yy / area - y**2, xx / area - x**2, yx / area - y * x
        middle, spread = (a + b) / 2, np.sqrt(((a - b) / 2) ** 2 + c**2)
        eccentricity = np.sqrt(np.clip(np.where(middle > 0, 2 * spread / (middle + spread), 0), 0, 1))
        solidity = area / _hull_areas(labels, box, area)
    perimeter = np.pi / 4 * (edges[:, 0] + edges[:, 1] + (edges[:, 2] + edges[:, 3]) / np.sqrt(2))
    eccentricity[area == 0] = np.nan
    return Shapes(area, y, x, box, perimeter, eccentricity, solidity)


def contacts(
    labels: NDArray[np.int32], count: int, gap_max_um: float, pixel_size_um: float
) -> tuple[list[list[int]], list[list[float]]]:
    """Return, for each of the objects 1..`count`, the objects near it and the gaps between their edges (um).

    Notes
    -----
    The gap is the smallest distance of two pixel centres less one pixel: 0 for neighbours that touch.
    """
    reach = gap_max_um / pixel_size_um + 1
    r = int(np.ceil(reach))
    dy, dx = (grid.ravel() for grid in np.mgrid[0 : r + 1, -r : r + 1])
    offsets = np.stack([dy, dx, dy**2 + dx**2], axis=1)
    ahead = (offsets[:, 2] <= reach**2) & ((dy > 0) | (dx > 0))  # each two pixels once
    pairs = _near_pairs(np.pad(labels, r), offsets[ahead], r, count)
    pairs = np.concatenate([pairs, pairs[:, [1, 0, 2]]])
    near: list[list[int]] = [[] for _ in range(count)]
    gaps: list[list[float]] = [[] for _ in range(count)]
    for a, b, squared in pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))].tolist():
        near[a - 1].append(b)
        gaps[a - 1].append(float(np.float32((np.sqrt(squared) - 1) * pixel_size_um)))
    return near, gaps


def warm() -> None:
    """Compile the kernels into their cache."""
    labels = np.zeros((4, 4), np.int32)
    labels[1:3, 1:3] = 1
    shapes(labels, 1)
    contacts(labels, 1, 1.0, 1.0)
    signal = np.zeros((4, 4), np.float32)
    _sums(labels, labels, labels, signal, 1.0, 1)
    _centroids(labels, np.zeros((1, 5), np.int64), signal)


def _p2a(shape: Shapes) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(shape.area > 0, shape.perimeter**2 / (4 * np.pi * shape.area), np.nan)


def _share(part: NDArray[Any], whole: NDArray[Any]) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(whole > 0, part / whole, np.nan)


@kernel
def _moments(labels: Any, count: int) -> Any:  # pragma: no cover - compiled
    """Return raw moments (6, count + 1), boxes (count + 1, 4) and entries of lines in four directions."""
    rows, columns = labels.shape
    moments = np.zeros((6, count + 1))
    box = np.zeros((count + 1, 4), np.int64)
    box[:, 0], box[:, 1] = rows, columns
    edges = np.zeros((count + 1, 4))
    for y in range(rows):
        for x in range(columns):
            k = labels[y, x]
            if k == 0:
                continue
            moments[0, k] += 1
            moments[1, k] += y
            moments[2, k] += x
            moments[3, k] += y * y
            moments[4, k] += x * x
            moments[5, k] += y * x
            box[k, 0], box[k, 1] = min(box[k, 0], y), min(box[k, 1], x)
            box[k, 2], box[k, 3] = max(box[k, 2], y + 1), max(box[k, 3], x + 1)
            edges[k, 0] += x == 0 or labels[y, x - 1] != k
            edges[k, 1] += y == 0 or labels[y - 1, x] != k
            edges[k, 2] += y == 0 or x == 0 or labels[y - 1, x - 1] != k
            edges[k, 3] += y == 0 or x == columns - 1 or labels[y - 1, x + 1] != k
    return moments, box, edges


@kernel
def _sums(cells: Any, nuclei: Any, zone: Any, signal: Any, above: float, count: int) -> Any:  # pragma: no cover
    """Return eight rows, by cell: sum, sum of squares, maximum, sum in the nucleus, pixels above, those in the nucleus.

    The last two are the sum over, and the number of, the pixels outside all cells that `zone` gives to the cell.
    """
    rows, columns = cells.shape
    out = np.zeros((8, count + 1))
    out[2] = -np.inf
    for y in range(rows):
        for x in range(columns):
            k = cells[y, x]
            value = float(signal[y, x])
            if k == 0:
                beside = zone[y, x]
                if beside > 0:
                    out[6, beside] += value
                    out[7, beside] += 1
                continue
            out[0, k] += value
            out[1, k] += value * value
            out[2, k] = max(out[2, k], value)
            inside = nuclei[y, x] == k
            if inside:
                out[3, k] += value
            if value > above:
                out[4, k] += 1
                if inside:
                    out[5, k] += 1
    return out


@kernel
def _centroids(cells: Any, boxes: Any, signal: Any) -> Any:  # pragma: no cover - compiled
    """Return the centroids (n, 2) of the positive signal inside cells, given as rows of (number, box)."""
    out = np.empty((len(boxes), 2))
    for i in range(len(boxes)):
        k, y0, x0, y1, x1 = boxes[i]
        total, along_y, along_x = 1e-12, 0.0, 0.0
        for y in range(y0, y1):
            for x in range(x0, x1):
                if cells[y, x] == k and signal[y, x] > 0:
                    value = float(signal[y, x])
                    total += value
                    along_y += value * y
                    along_x += value * x
        out[i, 0], out[i, 1] = along_y / total, along_x / total
    return out


@kernel
def _near_pairs(labels: Any, offsets: Any, r: int, count: int) -> Any:  # pragma: no cover - compiled
    """Return rows (object, greater object, least squared distance of their pixels) of objects that come near.

    `labels` has a rim of `r` zeros, and `offsets` holds (dy, dx, squared distance).
    """
    pairs = [(0, 0, 0)]
    first = np.zeros(count + 1, np.int64)  # of the pairs of each lesser object, and of each pair the following one
    following = [0]
    for y in range(r, labels.shape[0] - r):
        for x in range(r, labels.shape[1] - r):
            k = labels[y, x]
            if k == 0 or (
                labels[y - 1, x] == k and labels[y, x - 1] == k and labels[y, x + 1] == k and labels[y + 1, x] == k
            ):
                continue
            for i in range(len(offsets)):
                other = labels[y + offsets[i, 0], x + offsets[i, 1]]
                if other <= 0 or other == k:
                    continue
                a, b = min(k, other), max(k, other)
                at = first[a]
                while at > 0 and pairs[at][1] != b:
                    at = following[at]
                if at == 0:
                    pairs.append((a, b, offsets[i, 2]))
                    following.append(first[a])
                    first[a] = len(pairs) - 1
                elif pairs[at][2] > offsets[i, 2]:
                    pairs[at] = (a, b, offsets[i, 2])
    out = np.empty((len(pairs) - 1, 3), np.int64)
    for i in range(1, len(pairs)):
        out[i - 1, 0], out[i - 1, 1], out[i - 1, 2] = pairs[i]
    return out


@kernel
def _hull_areas(labels: Any, box: Any, area: Any) -> Any:  # pragma: no cover - compiled
    """Return the number of pixel centres in the convex hull of each object's pixel-edge midpoints."""
    out = np.full(len(area), np.nan)
    for k in range(len(area)):
        if area[k] == 0:
            continue
        y0, x0, y1, x1 = box[k, 0], box[k, 1], box[k, 2], box[k, 3]
        height = y1 - y0
        # in half pixels, from the box's first row: the outermost points of each half row
        left = np.full(2 * height + 1, 1 << 40, np.int64)
        right = np.full(2 * height + 1, -(1 << 40), np.int64)
        for y in range(y0, y1):
            low, high = -1, -1
            for x in range(x0, x1):
                if labels[y, x] == k + 1:
                    if low < 0:
                        low = x
                    high = x
            if low < 0:
                continue
            row = 2 * (y - y0) + 1
            left[row], right[row] = min(left[row], 2 * low - 1), max(right[row], 2 * high + 1)
            for near in (row - 1, row + 1):
                left[near], right[near] = min(left[near], 2 * low), max(right[near], 2 * high)
        out[k] = _hull_pixels(left, right, height)
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
