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


_FAR, _ONE = np.int64(1) << 62, np.int64(1) << 32


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
    nearest(labels, 1.0)
    tops(runs_of(labels), height, 2)
    means(runs_of(labels), height, 2)
    painted(runs_of(labels), labels.shape)


@kernel
def runs_of(labels: Any) -> Any:  # pragma: no cover - compiled
    """Return the runs of a label image, from left to right and from top to bottom."""
    rows, columns = labels.shape
    runs = np.empty((1024, 4), np.int32)
    found = 0
    for y in range(rows):
        if found + columns > len(runs):
            longer = np.empty((2 * len(runs) + columns, 4), np.int32)
            longer[:found] = runs[:found]
            runs = longer
        before = 0
        for x in range(columns):
            k = labels[y, x]
            if k != before:
                if before > 0:
                    runs[found - 1, 2] = x
                if k > 0:
                    runs[found, 0], runs[found, 1], runs[found, 2], runs[found, 3] = y, x, columns, k
                    found += 1
                before = k
    return runs[:found]


@kernel
def painted(runs: Any, shape: Any) -> Any:  # pragma: no cover - compiled
    """Return the label image of runs."""
    labels = np.zeros(shape, np.int32)
    for y, start, stop, k in runs:
        labels[y, start:stop] = k
    return labels


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


@kernel
def nearest(labels: Any, reach: float) -> Any:  # pragma: no cover - compiled
    """Return the squared distance (pixels) of each pixel to the nearest object, and that object's label.

    Beyond `reach` the label is 0 and the distance a larger one. Of objects as far away the lesser label counts.

    Notes
    -----
    Exact: the nearest in each column, then the nearest of those along each row (Saito and Toriwaki 1994,
    doi:10.1016/0031-3203(94)90133-3), looked for as far as the reach. Distance and label are one number, the distance
    in its upper half, so that the nearer object is the lesser number and a processor takes many at once.
    """
    rows, columns = labels.shape
    r = min(int(reach), columns - 1)
    limit = int(reach * reach)
    squared, zone = np.empty((rows, columns), np.int32), np.empty((rows, columns), np.int32)
    above = np.empty((rows, columns), np.int64)
    column = np.full(columns, _FAR)
    for y in range(rows):
        _step(column, labels[y])
        above[y] = column
    column[:] = _FAR
    nearby, best = np.empty(columns, np.int64), np.empty(columns, np.int64)
    for y in range(rows - 1, -1, -1):
        _step(column, labels[y])
        _lesser(column, above[y], 0)
        _square(column, nearby, best, int(reach) + 1)
        for d in range(1, r + 1):
            _lesser(best[d:], nearby[: columns - d], d * d << 32)
            _lesser(best[: columns - d], nearby[d:], d * d << 32)
        _parted(best, squared[y], zone[y], limit)
    return squared, zone


@kernel
def _step(column: Any, labels: Any) -> None:  # pragma: no cover - compiled
    """Go one row on: what was nearest in each column is one further away, unless this row holds an object."""
    for x in range(len(column)):
        here = np.int64(labels[x]) + (0 if labels[x] else _FAR)
        column[x] = min(here, column[x] + _ONE)


@kernel
def _lesser(best: Any, other: Any, further: int) -> None:  # pragma: no cover - compiled
    for x in range(len(best)):
        best[x] = min(best[x], other[x] + further)


@kernel
def _square(column: Any, nearby: Any, best: Any, most: int) -> None:  # pragma: no cover - compiled
    for x in range(len(column)):
        gap = min(column[x] >> 32, most)
        nearby[x] = best[x] = (gap * gap << 32) | (column[x] & 0xFFFFFFFF)


@kernel
def _parted(best: Any, squared: Any, zone: Any, limit: int) -> None:  # pragma: no cover - compiled
    for x in range(len(best)):
        distance, label = np.int32(best[x] >> 32), np.int32(best[x] & 0xFFFFFFFF)
        squared[x] = distance
        zone[x] = label if distance <= limit else np.int32(0)


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
