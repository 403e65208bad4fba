"""Exact distances on label images: the nearest object of each pixel, and the surroundings of each object."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctcascade.images.labels import Labels, Runs, append_runs, kernel


def nearest(labels: Labels, reach: float) -> tuple[Labels, Labels]:
    """Return the squared distance (pixels) of each pixel to the nearest object, and the label of that object.

    Beyond `reach` the label is 0 and the distance larger than the reach. Of equally near objects the smaller label is
    returned.

    Notes
    -----
    Exact: first the nearest object in each column, then the nearest of those along each row (Saito and Toriwaki 1994,
    doi:10.1016/0031-3203(94)90133-3), searched up to the reach. Distance and label are packed into one integer, the
    distance in its upper bits, so that the nearer object is the smaller integer; 32 bits are used where they suffice,
    because a processor then compares twice as many at once.
    """
    squared, zone = _nearest(labels, reach, *_packed(labels, reach))
    return np.asarray(squared), np.asarray(zone)


def rings(labels: Labels, reach: float) -> Runs:
    """Return the runs of the surroundings of each object: background within `reach` whose nearest object it is."""
    return np.asarray(_rings(labels, reach, *_packed(labels, reach)))


def _packed(labels: Labels, reach: float) -> tuple[int, NDArray[Any]]:
    """Return the number of bits that labels take in a packed integer, and an empty row of such integers."""
    bits = int(labels.max(initial=0)).bit_length()
    short = (2 * (int(reach) + 1) ** 2).bit_length() + bits <= 31
    return bits, np.empty(labels.shape[1], np.int32 if short else np.int64)


@kernel
def _nearest(labels: Any, reach: float, bits: int, best: Any) -> Any:  # pragma: no cover - compiled
    squared, zone = np.empty(labels.shape, np.int32), np.empty(labels.shape, np.int32)
    column, nearby = np.full_like(best, int(reach) + 1 << bits), np.empty_like(best)
    for y in range(len(labels)):
        _nearest_in_row(labels, y, int(reach), bits, column, nearby, best)
        _unpacked(best, squared[y], zone[y], int(reach * reach), bits)
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
            _unpacked(best, squared[0], ring[0], int(reach * reach), bits)
            for x in range(columns):
                ring[0, x] = ring[0, x] if labels[y, x] == 0 else 0
            runs, found = append_runs(runs, found, ring[0], y)
    return runs[:found]


@kernel
def _nearest_in_row(
    labels: Any, y: int, r: int, bits: int, column: Any, nearby: Any, best: Any
) -> bool:  # pragma: no cover - compiled
    """Write the nearest object of each pixel of row y into `best`; return whether any object is within reach.

    `column` is the nearest object in each column at or above row y - 1, and is updated to row y.
    """
    columns = len(best)
    nothing = r + 1 << bits
    _step(column, labels[y], bits, nothing)
    nearby[:] = column
    for d in range(1, min(r + 1, len(labels) - y)):
        _below(nearby, labels[y + d], d << bits)
    best[:] = (r + 1) * nothing
    stop = -1
    start, following = _next_block(nearby, 0, nothing)
    while start < columns:
        stop = following
        start, following = max(start - r, 0), columns + 2 * r
        ahead, end = _next_block(nearby, stop, nothing)
        while ahead < columns and ahead - r < stop + r:
            stop = end
            ahead, end = _next_block(nearby, stop, nothing)
        stop = min(stop + r, columns)
        _along(nearby[start:stop], best[start:stop], r, bits)
        start, following = ahead, end
    return stop >= 0


@kernel
def _next_block(nearby: Any, first: int, nothing: int) -> Any:  # pragma: no cover - compiled
    """Return start and end of the next block of 64 pixels, from `first` on, that has a value below `nothing`."""
    for block in range(first, len(nearby), 64):
        least = nearby[block]
        for value in nearby[block : block + 64]:
            least = min(least, value)
        if least < nothing:
            return block, min(block + 64, len(nearby))
    return len(nearby), len(nearby)


@kernel
def _along(nearby: Any, best: Any, r: int, bits: int) -> None:  # pragma: no cover - compiled
    """Write the nearest of the objects that are nearest in each column; distances in `nearby` become squared."""
    n = len(best)
    label = best.dtype.type((1 << bits) - 1)
    for x in range(n):
        gap = nearby[x] >> bits
        nearby[x] = best[x] = (gap * gap << bits) | (nearby[x] & label)
    for d in range(1, min(r + 1, n)):
        _take_smaller(best[d:], nearby[: n - d], d * d << bits)
        _take_smaller(best[: n - d], nearby[d:], d * d << bits)


@kernel
def _step(column: Any, labels: Any, bits: int, nothing: int) -> None:  # pragma: no cover - compiled
    """Advance by one row: the nearest object in each column is one further away, unless this row has an object."""
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
def _take_smaller(best: Any, other: Any, further: int) -> None:  # pragma: no cover - compiled
    more = best.dtype.type(further)
    for x in range(len(best)):
        best[x] = min(best[x], best.dtype.type(other[x] + more))


@kernel
def _unpacked(best: Any, squared: Any, zone: Any, limit: int, bits: int) -> None:  # pragma: no cover - compiled
    label = best.dtype.type((1 << bits) - 1)
    for x in range(len(best)):
        distance = np.int32(best[x] >> bits)
        squared[x] = distance
        zone[x] = np.int32(best[x] & label) if distance <= limit else np.int32(0)


def warm() -> None:
    """Compile the kernels into their cache."""
    labels = np.eye(2, dtype=np.int32)
    for row in (np.empty(2, np.int32), np.empty(2, np.int64)):
        _nearest(labels, 1.0, 1, row)
        _rings(labels, 1.0, 1, row)
