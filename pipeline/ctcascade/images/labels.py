"""Label images as runs of pixels, and compiled kernels over them.

A label image is int32 of shape (Y, X), 0 for background. Kernels are written so that the compiler can process many
pixels of a row at once in passes over whole frames. Distances are in `distances`, the watershed in `watershed`.
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
    """Return the function, compiled when first called and cached for the next job if a cache folder can be written."""
    try:
        return numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:  # neither the package's folder nor the user's may be written to
        return numba.njit(nogil=True)(function)


def warm() -> None:
    """Compile the kernels into their cache."""
    labels = np.eye(2, dtype=np.int32)
    height = np.ones((2, 2), np.float32)
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
    changed = np.zeros(labels.shape[1] + 8, np.uint8)
    for y in range(len(labels)):
        runs, found = append_runs(runs, found, labels[y], y, changed)
    return runs[:found]


@kernel
def append_runs(runs: Any, found: int, labels: Any, y: int, changed: Any) -> Any:  # pragma: no cover - compiled
    """Append the runs of row y to the `found` first rows of `runs`; return the runs and their number.

    Most pixels are as the one before. Which are not is noted in `changed`, room for eight pixels more than the row has
    that begins as zeros, many at once; then eight are passed over together.
    """
    columns = len(labels)
    if found + columns > len(runs):
        longer = np.empty((2 * len(runs) + columns, 4), np.int32)
        longer[:found] = runs[:found]
        runs = longer
    if not columns:
        return runs, found
    _mark_changes(labels, changed)
    byte = np.uint64(8)
    inside = False
    eights = changed[: len(changed) // 8 * 8].view(np.uint64)
    for k in range(len(eights)):
        marks, x = eights[k], 8 * k
        while marks:
            if marks & np.uint64(255):
                if inside:
                    runs[found - 1, 2] = x
                inside = labels[x] > 0
                if inside:
                    runs[found, 0], runs[found, 1], runs[found, 2], runs[found, 3] = y, x, columns, labels[x]
                    found += 1
            marks >>= byte
            x += 1
    return runs, found


@kernel
def _mark_changes(labels: Any, changed: Any) -> None:  # pragma: no cover - compiled
    """Write 1 where a pixel of a row differs from the one before it, the first from 0, else 0."""
    changed[0] = labels[0] != 0
    before, after, marks = labels[:-1], labels[1:], changed[1 : len(labels)]
    for x in range(len(marks)):
        marks[x] = np.uint8(before[x] != after[x])


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
    """Label runs 1..N by connected component (4 neighbours), in the order of the first pixel; return N."""
    root = np.arange(len(runs))
    above = 0
    for i in range(len(runs)):
        y, start, stop, _ = runs[i]
        while runs[above, 0] < y - 1 or (runs[above, 0] == y - 1 and runs[above, 2] <= start):
            above += 1
        j = above
        while runs[j, 0] == y - 1 and runs[j, 1] < stop:
            a, b = first_of(root, i), first_of(root, j)
            root[max(a, b)] = min(a, b)
            j += 1
    count = 0
    for i in range(len(runs)):
        if root[i] == i:
            count += 1
            runs[i, 3] = count
        else:
            runs[i, 3] = runs[root[i], 3]  # the root is an earlier run, which already has its label
    return count


@kernel
def first_of(root: Any, i: int) -> int:  # pragma: no cover - compiled
    """Return the root of an element of a union of sets, and shorten the way to it."""
    while root[i] != i:
        root[i] = root[root[i]]
        i = root[i]
    return i


@kernel
def tops(runs: Any, height: Any, count: int) -> Any:  # pragma: no cover - compiled
    """Return the area in pixels and the greatest height (at least 0) of each label below `count`."""
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
    """Return the area in pixels of each label below `count` and the mean of the values over it, 0 if missing."""
    area, total = np.zeros(count), np.zeros(count)
    for y, start, stop, k in runs:
        area[k] += stop - start
        here = 0.0
        for value in values[y, start:stop]:
            here += value
        total[k] += here
    return area, total / np.maximum(area, 1)


def kept(runs: Runs, wanted: NDArray[np.bool_]) -> Runs:
    """Return the runs of the wanted labels only, renumbered 1..N in the old order."""
    number = np.cumsum(wanted & (np.arange(len(wanted)) > 0), dtype=np.int32)
    runs = runs[wanted[runs[:, 3]]]
    runs[:, 3] = number[runs[:, 3]]
    return runs
