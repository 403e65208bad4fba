"""Label images as geometry: runs of pixels, nearest object, watershed. Kernels that pass over whole frames live here.

A label image is int32 of shape (Y, X), 0 where nothing is. Kernels are compiled, and written so that the compiler can
take many pixels of a row at once where a pass has to look at all of them.
"""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Labels = NDArray[np.int32]
Runs = NDArray[np.int32]
"""Rows (y, first x, one past the last x, label): the pixels of a label image, row by row."""


def kernel(function: Callable[..., Any]) -> Any:
    """Return the function, compiled when first called and kept for the next job where there is a place to keep it."""
    try:
        return numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:  # neither the package's folder nor the user's may be written to
        return numba.njit(nogil=True)(function)


def warm() -> None:
    """Compile the kernels into their cache."""
    labels = np.eye(2, dtype=np.int32)
    height = np.ones((2, 2), np.float32)
    flood(np.zeros((2, 2), np.uint8), labels, np.ones((2, 2), np.bool_))
    for row in (np.empty(2, np.int32), np.empty(2, np.int64)):
        _nearest(labels, 1.0, 1, row)
        _rings(labels, 1.0, 1, row)
    tops(runs_of(labels), height, 2)
    means(runs_of(labels), height, 2)
    painted(runs_of(labels), labels.shape)
    components(runs_of(labels.astype(np.uint8)))
    paint(runs_of(labels), labels.astype(np.uint8))


@kernel
def runs_of(labels: Any) -> Any:  # pragma: no cover - compiled
    """Return the runs of a label image, from left to right and from top to bottom."""
    runs = np.empty((1024, 4), np.int32)
    found = 0
    for y in range(len(labels)):
        runs, found = _noted(runs, found, labels[y], y)
    return runs[:found]


@kernel
def _noted(runs: Any, found: int, labels: Any, y: int) -> Any:  # pragma: no cover - compiled
    """Return the runs, of which so many were found before, and their number with those of row y."""
    columns = len(labels)
    if found + columns > len(runs):
        longer = np.empty((2 * len(runs) + columns, 4), np.int32)
        longer[:found] = runs[:found]
        runs = longer
    before = 0
    for x in range(columns):
        k = labels[x]
        if k != before:
            if before > 0:
                runs[found - 1, 2] = x
            if k > 0:
                runs[found, 0], runs[found, 1], runs[found, 2], runs[found, 3] = y, x, columns, k
                found += 1
            before = k
    return runs, found


@kernel
def painted(runs: Any, shape: Any) -> Any:  # pragma: no cover - compiled
    """Return the label image of runs."""
    labels = np.zeros(shape, np.int32)
    paint(runs, labels)
    return labels


@kernel
def paint(runs: Any, image: Any) -> None:  # pragma: no cover - compiled
    """Write the labels of runs into an image."""
    for y, start, stop, k in runs:
        image[y, start:stop] = k


@kernel
def components(runs: Any) -> Any:  # pragma: no cover - compiled
    """Label runs 1..N by what hangs together over the edges of pixels, in the order of the first pixel; return N."""
    root = np.arange(len(runs))
    above = 0
    for i in range(len(runs)):
        y, start, stop, _ = runs[i]
        while runs[above, 0] < y - 1 or (runs[above, 0] == y - 1 and runs[above, 2] <= start):
            above += 1
        j = above
        while runs[j, 0] == y - 1 and runs[j, 1] < stop:
            a, b = _first(root, i), _first(root, j)
            root[max(a, b)] = min(a, b)
            j += 1
    count = 0
    for i in range(len(runs)):
        if root[i] == i:
            count += 1
            runs[i, 3] = count
        else:
            runs[i, 3] = runs[root[i], 3]  # of an earlier run, which has its label
    return count


@kernel
def _first(root: Any, i: int) -> int:  # pragma: no cover - compiled
    while root[i] != i:
        root[i] = root[root[i]]
        i = root[i]
    return i


@kernel
def tops(runs: Any, height: Any, count: int) -> Any:  # pragma: no cover - compiled
    """Return the pixels and the greatest height (at least 0) of each label below `count`."""
    area, highest = np.zeros(count), np.zeros(count, np.float32)
    for y, start, stop, k in runs:
        area[k] += stop - start
        top = highest[k]
        for value in height[y, start:stop]:
            top = value if value > top else top
        highest[k] = top
    return area, highest


@kernel
def means(runs: Any, values: Any, count: int) -> Any:  # pragma: no cover - compiled
    """Return the pixels of each label below `count` and the mean of the values over them, 0 where there are none."""
    area, total = np.zeros(count), np.zeros(count)
    for y, start, stop, k in runs:
        area[k] += stop - start
        here = 0.0
        for value in values[y, start:stop]:
            here += value
        total[k] += here
    return area, total / np.maximum(area, 1)


def kept(runs: Runs, wanted: NDArray[np.bool_]) -> Runs:
    """Return the runs of the wanted labels alone, numbered 1..N in the order of the old."""
    number = np.cumsum(wanted & (np.arange(len(wanted)) > 0), dtype=np.int32)
    runs = runs[wanted[runs[:, 3]]]
    runs[:, 3] = number[runs[:, 3]]
    return runs


def nearest(labels: Labels, reach: float) -> tuple[Labels, Labels]:
    """Return the squared distance (pixels) of each pixel to the nearest object, and that object's label.

    Beyond `reach` the label is 0 and the distance a larger one. Of objects as far away the lesser label counts.

    Notes
    -----
    Exact: the nearest in each column, then the nearest of those along each row (Saito and Toriwaki 1994,
    doi:10.1016/0031-3203(94)90133-3), looked for as far as the reach, where there is anything as near. Distance and
    label are one number, the distance in its upper part, so that the nearer object is the lesser number and a processor
    takes many at once: the more, the shorter the number.
    """
    squared, zone = _nearest(labels, reach, *_packed(labels, reach))
    return np.asarray(squared), np.asarray(zone)


def rings(labels: Labels, reach: float) -> Runs:
    """Return the runs of what lies around each object, no further than `reach` and nearest to it."""
    return np.asarray(_rings(labels, reach, *_packed(labels, reach)))


def _packed(labels: Labels, reach: float) -> tuple[int, NDArray[Any]]:
    """Return the bits that labels take in such a number, and a row of them."""
    bits = int(labels.max(initial=0)).bit_length()
    short = (2 * (int(reach) + 1) ** 2).bit_length() + bits <= 31
    return bits, np.empty(labels.shape[1], np.int32 if short else np.int64)


@kernel
def _nearest(labels: Any, reach: float, bits: int, best: Any) -> Any:  # pragma: no cover - compiled
    squared, zone = np.empty(labels.shape, np.int32), np.empty(labels.shape, np.int32)
    column, nearby = np.full_like(best, int(reach) + 1 << bits), np.empty_like(best)
    for y in range(len(labels)):
        _nearest_in_row(labels, y, int(reach), bits, column, nearby, best)
        _parted(best, squared[y], zone[y], int(reach * reach), bits)
    return squared, zone


@kernel
def _rings(labels: Any, reach: float, bits: int, best: Any) -> Any:  # pragma: no cover - compiled
    rows, columns = labels.shape
    runs = np.empty((1024, 4), np.int32)
    found = 0
    column, nearby = np.full_like(best, int(reach) + 1 << bits), np.empty_like(best)
    squared, ring = np.empty((1, columns), np.int32), np.empty((1, columns), np.int32)
    for y in range(rows):
        if _nearest_in_row(labels, y, int(reach), bits, column, nearby, best):
            _parted(best, squared[0], ring[0], int(reach * reach), bits)
            for x in range(columns):
                ring[0, x] = ring[0, x] if labels[y, x] == 0 else 0
            runs, found = _noted(runs, found, ring[0], y)
    return runs[:found]


@kernel
def _nearest_in_row(
    labels: Any, y: int, r: int, bits: int, column: Any, nearby: Any, best: Any
) -> bool:  # pragma: no cover - compiled
    """Write what is nearest to each pixel of row y into `best`, and return whether there is anything at all.

    `column` is what is nearest in each column at and above row y - 1, and becomes that of row y.
    """
    columns = len(best)
    nothing = r + 1 << bits
    _step(column, labels[y], bits, nothing)
    nearby[:] = column
    for d in range(1, min(r + 1, len(labels) - y)):
        _below(nearby, labels[y + d], d << bits)
    best[:] = (r + 1) * nothing
    stop = -1
    start, following = _lit(nearby, 0, nothing)
    while start < columns:
        stop = following
        start, following = max(start - r, 0), columns + 2 * r
        ahead, end = _lit(nearby, stop, nothing)
        while ahead < columns and ahead - r < stop + r:
            stop = end
            ahead, end = _lit(nearby, stop, nothing)
        stop = min(stop + r, columns)
        _along(nearby[start:stop], best[start:stop], r, bits)
        start, following = ahead, end
    return stop >= 0


@kernel
def _lit(nearby: Any, first: int, nothing: int) -> Any:  # pragma: no cover - compiled
    """Return where, from `first` on, the next block of 64 pixels starts and ends that has less than `nothing`."""
    for block in range(first, len(nearby), 64):
        least = nearby[block]
        for value in nearby[block : block + 64]:
            least = min(least, value)
        if least < nothing:
            return block, min(block + 64, len(nearby))
    return len(nearby), len(nearby)


@kernel
def _along(nearby: Any, best: Any, r: int, bits: int) -> None:  # pragma: no cover - compiled
    """Write the nearest of what is nearest in each column of a row; the gaps in `nearby` become squares."""
    n = len(best)
    label = best.dtype.type((1 << bits) - 1)
    for x in range(n):
        gap = nearby[x] >> bits
        nearby[x] = best[x] = (gap * gap << bits) | (nearby[x] & label)
    for d in range(1, min(r + 1, n)):
        _lesser(best[d:], nearby[: n - d], d * d << bits)
        _lesser(best[: n - d], nearby[d:], d * d << bits)


@kernel
def _step(column: Any, labels: Any, bits: int, nothing: int) -> None:  # pragma: no cover - compiled
    """Go one row on: what was nearest in each column is one further away, unless this row holds an object."""
    one, most = column.dtype.type(1 << bits), column.dtype.type(nothing)
    for x in range(len(column)):
        further = min(column.dtype.type(column[x] + one), most)
        column[x] = column.dtype.type(labels[x]) if labels[x] else further


@kernel
def _below(nearby: Any, labels: Any, away: int) -> None:  # pragma: no cover - compiled
    far = nearby.dtype.type(away)
    for x in range(len(nearby)):
        there = nearby.dtype.type(labels[x] + far)
        nearby[x] = min(nearby[x], there) if labels[x] else nearby[x]


@kernel
def _lesser(best: Any, other: Any, further: int) -> None:  # pragma: no cover - compiled
    more = best.dtype.type(further)
    for x in range(len(best)):
        best[x] = min(best[x], best.dtype.type(other[x] + more))


@kernel
def _parted(best: Any, squared: Any, zone: Any, limit: int, bits: int) -> None:  # pragma: no cover - compiled
    label = best.dtype.type((1 << bits) - 1)
    for x in range(len(best)):
        distance = np.int32(best[x] >> bits)
        squared[x] = distance
        zone[x] = np.int32(best[x] & label) if distance <= limit else np.int32(0)


@kernel
def flood(levels: Any, markers: Any, mask: Any) -> Any:  # pragma: no cover - compiled
    """Return the watershed of 8-bit levels from markers inside a mask.

    The water rises level by level; pixels join the marker from which it reaches them first, and of several pixels that
    it reaches at one level the earlier one passes it on first. This is the order, and so the result, of scikit-image's
    `watershed` with four neighbours, which leaves open which of two markers at one level comes first: here the upper.
    """
    rows, columns = levels.shape
    wide = columns + 2
    state, following, first, last = _queued(levels, markers, mask)
    current = 0
    while current < 256:
        i = first[current]
        if i < 0:
            current += 1
            continue
        first[current] = following[i]
        for step in (-wide, -1, 1, wide):
            j = i + step
            if state[j] < 0:
                level = max(current, -1 - state[j])
                state[j] = state[i]
                _push(first, last, following, level, j)
    labels = np.empty((rows, columns), np.int32)
    for y in range(rows):
        start = (y + 1) * wide + 1
        labels[y] = np.maximum(state[start : start + columns], 0)
    return labels


@kernel
def _queued(levels: Any, markers: Any, mask: Any) -> Any:  # pragma: no cover - compiled
    """Return the state of each pixel, in rows with a rim, and one queue a level of the markers that border on others.

    The state is a label, or minus (level + 1) of a pixel that waits for one, or 0 where none may come.
    """
    rows, columns = levels.shape
    wide = columns + 2
    state = np.zeros((rows + 2) * wide, np.int32)
    following = np.empty(len(state), np.int32)
    first, last = np.full(256, -1, np.int32), np.full(256, -1, np.int32)
    for y in range(rows):
        start = (y + 1) * wide + 1
        row = state[start : start + columns]
        for x in range(columns):
            waiting = markers[y, x] if markers[y, x] > 0 else np.int32(-1) - np.int32(levels[y, x])
            row[x] = waiting if mask[y, x] else 0
    for y in range(rows):
        for x in range(columns):
            if markers[y, x] > 0:
                i = (y + 1) * wide + x + 1
                if state[i] > 0 and min(state[i - 1], state[i + 1], state[i - wide], state[i + wide]) < 0:
                    _push(first, last, following, levels[y, x], i)
    return state, following, first, last


@kernel
def _push(first: Any, last: Any, following: Any, level: int, pixel: int) -> None:  # pragma: no cover - compiled
    if first[level] < 0:
        first[level] = pixel
    else:
        following[last[level]] = pixel
    last[level] = pixel
    following[pixel] = -1
