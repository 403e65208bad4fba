"""Exact distances on label images: the nearest object of each pixel, and the surroundings of each object."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctcascade.images.labels import Labels, Runs, append_runs, kernel

_BLOCK = 64  # pixels of a row that are passed over together where no object is near


def nearest(labels: Labels, reach: float) -> tuple[Labels, Labels]:
    """Return the squared distance (pixels) of each pixel to the nearest object, and the label of that object.

    Beyond `reach` the label is 0 and the distance larger than the reach. Of equally near objects the smaller label is
    returned.

    Notes
    -----
    Exact: first the nearest object in each column, then the nearest of those along each row (Saito and Toriwaki 1994,
    doi:10.1016/0031-3203(94)90133-3), searched up to the reach. Distance and label are packed into one integer, the
    distance in its upper bits, so that the nearer object is the smaller integer; 32 bits are used where they suffice,
    because a processor then compares twice as many at once. Only what lies near an object is looked at.
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
    r, limit = int(reach), int(reach * reach)
    squared, zone = np.empty(labels.shape, np.int32), np.empty(labels.shape, np.int32)
    occupied, near, spans, rows_of = _prepared(labels, r, bits, best)
    for y in range(len(labels)):
        done = 0
        for k in range(_spans(occupied, y, r, near, rows_of[0], r + 1 << bits, spans, labels.shape[1])):
            low, high = _nearest_in_span(labels, y, r, bits, rows_of, best, spans[k, 0], spans[k, 1])
            squared[y, done:low], zone[y, done:low] = (r + 1) ** 2, 0
            _unpacked(best[low:high], squared[y, low:high], zone[y, low:high], limit, bits)
            done = high
        squared[y, done:], zone[y, done:] = (r + 1) ** 2, 0
    return squared, zone


@kernel
def _rings(labels: Any, reach: float, bits: int, best: Any) -> Any:  # pragma: no cover - compiled
    r, limit = int(reach), int(reach * reach)
    columns = labels.shape[1]
    runs, found = np.empty((1024, 4), np.int32), 0
    occupied, near, spans, rows_of = _prepared(labels, r, bits, best)
    ring, changed = np.zeros(columns, np.int32), np.zeros(columns + 8, np.uint8)
    for y in range(len(labels)):
        count = _spans(occupied, y, r, near, rows_of[0], r + 1 << bits, spans, columns)
        done = 0
        for k in range(count):
            low, high = _nearest_in_span(labels, y, r, bits, rows_of, best, spans[k, 0], spans[k, 1])
            ring[done:low] = 0
            _around(best[low:high], labels[y, low:high], ring[low:high], limit, bits)
            done = high
        if count:
            ring[done:] = 0
            runs, found = append_runs(runs, found, ring, y, changed)
    return runs[:found]


@kernel
def _prepared(labels: Any, r: int, packed: int, best: Any) -> Any:  # pragma: no cover - compiled
    """Return which blocks of each row hold an object, and room: for each block, for spans, and three rows.

    The rows are the nearest object in each column at or above a row, and in the column as a whole, each packed, and the
    latter with its distance squared, with a rim of twice the reach.
    """
    rows, columns = labels.shape
    occupied = np.empty((rows, -(-columns // _BLOCK)), np.bool_)
    for y in range(rows):
        for b in range(occupied.shape[1]):
            bits = labels.dtype.type(0)
            for label in labels[y, b * _BLOCK : (b + 1) * _BLOCK]:
                bits |= label
            occupied[y, b] = bits != 0
    near, spans = np.zeros(occupied.shape[1], np.int64), np.empty((occupied.shape[1], 2), np.int64)
    rows_of = np.full_like(best, r + 1 << packed), np.empty_like(best), np.empty(columns + 4 * r, best.dtype)
    return occupied, near, spans, rows_of


@kernel
def _spans(
    occupied: Any, y: int, r: int, near: Any, column: Any, nothing: int, spans: Any, columns: int
) -> int:  # pragma: no cover - compiled
    """Write first and past the last column of each part of row y that has an object above or below it within reach.

    Parts between which an object of one could be near the other are one. `near` counts the rows with an object within
    reach, for each block; where a block has one no more, `column` is cleared. Returned is the number of parts.
    """
    rows, found = len(occupied), 0
    for b in range(len(near)):
        before = near[b]
        for added in range(y + r if y else 0, min(y + r + 1, rows)):
            near[b] += occupied[added, b]
        if y > r:
            near[b] -= occupied[y - r - 1, b]
        start, stop = b * _BLOCK, min((b + 1) * _BLOCK, columns)
        if before and not near[b]:
            column[start:stop] = nothing
        if near[b]:
            if found and start - spans[found - 1, 1] <= 2 * r:
                spans[found - 1, 1] = stop
            else:
                spans[found, 0], spans[found, 1] = start, stop
                found += 1
    return found


@kernel
def _nearest_in_span(
    labels: Any, y: int, r: int, bits: int, rows_of: Any, best: Any, start: int, stop: int
) -> Any:  # pragma: no cover - compiled
    """Write the nearest object of each pixel of a part of row y, as far as it reaches, into `best`; return from and to.

    Three rows, and then three pixels to either side, are looked at together: what is known is read and written once.
    """
    column, nearby, padded = rows_of
    nothing = r + 1 << bits
    here = nearby[start:stop]
    _step(column[start:stop], labels[y, start:stop], here, bits, nothing)
    last = min(r, len(labels) - 1 - y)
    for d in range(1, last + 1, 3):
        e, f = min(d + 1, last), min(d + 2, last)
        a, b, c = labels[y + d, start:stop], labels[y + e, start:stop], labels[y + f, start:stop]
        _below(here, a, b, c, d << bits, e << bits, f << bits)
    low, high = max(start - r, 0), min(stop + r, len(best))
    best[low:start] = best[stop:high] = (r + 1) * nothing
    padded[start : start + 2 * r] = padded[stop + 2 * r : stop + 4 * r] = (r + 1) * nothing
    _square(here, padded[start + 2 * r : stop + 2 * r], best[start:stop], bits)
    at, out = low + 2 * r, best[low:high]
    n = len(out)
    for d in range(1, r + 1, 3):
        e, f = min(d + 1, r), min(d + 2, r)
        _beside(
            out,
            padded[at - d : at - d + n],
            padded[at + d : at + d + n],
            padded[at - e : at - e + n],
            padded[at + e : at + e + n],
            padded[at - f : at - f + n],
            padded[at + f : at + f + n],
            d * d << bits,
            e * e << bits,
            f * f << bits,
        )
    return low, high


@kernel
def _step(column: Any, labels: Any, nearby: Any, bits: int, nothing: int) -> None:  # pragma: no cover - compiled
    """Advance by one row: the nearest object in each column is one further away, unless this row has an object."""
    one, most = column.dtype.type(1 << bits), column.dtype.type(nothing)
    for x in range(len(column)):
        further = min(column.dtype.type(column[x] + one), most)
        column[x] = nearby[x] = column.dtype.type(labels[x]) if labels[x] else further


@kernel
def _below(nearby: Any, a: Any, b: Any, c: Any, to_a: int, to_b: int, to_c: int) -> None:  # pragma: no cover - compiled
    """Take the objects of three rows further down where they are nearer."""
    to_a, to_b, to_c = nearby.dtype.type(to_a), nearby.dtype.type(to_b), nearby.dtype.type(to_c)
    for x in range(len(nearby)):
        least = nearby[x]
        there_a, there_b, there_c = a[x] + to_a, b[x] + to_b, c[x] + to_c
        least = min(least, nearby.dtype.type(there_a)) if a[x] else least
        least = min(least, nearby.dtype.type(there_b)) if b[x] else least
        least = min(least, nearby.dtype.type(there_c)) if c[x] else least
        nearby[x] = least


@kernel
def _square(nearby: Any, out: Any, best: Any, bits: int) -> None:  # pragma: no cover - compiled
    """Write what is nearest in each column with its distance squared, twice."""
    label = out.dtype.type((1 << bits) - 1)
    for x in range(len(nearby)):
        gap = nearby[x] >> bits
        out[x] = best[x] = (gap * gap << bits) | (nearby[x] & label)


@kernel
def _beside(
    best: Any, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, to_ab: int, to_cd: int, to_ef: int
) -> None:  # pragma: no cover - compiled
    """Take the objects of three columns to either side where they are nearer."""
    to_ab, to_cd, to_ef = best.dtype.type(to_ab), best.dtype.type(to_cd), best.dtype.type(to_ef)
    for x in range(len(best)):
        ab = best.dtype.type(min(a[x], b[x]) + to_ab)
        cd = best.dtype.type(min(c[x], d[x]) + to_cd)
        ef = best.dtype.type(min(e[x], f[x]) + to_ef)
        best[x] = min(best[x], ab, cd, ef)


@kernel
def _unpacked(best: Any, squared: Any, zone: Any, limit: int, bits: int) -> None:  # pragma: no cover - compiled
    label = best.dtype.type((1 << bits) - 1)
    for x in range(len(best)):
        distance = np.int32(best[x] >> bits)
        squared[x] = distance
        zone[x] = np.int32(best[x] & label) if distance <= limit else np.int32(0)


@kernel
def _around(best: Any, labels: Any, ring: Any, limit: int, bits: int) -> None:  # pragma: no cover - compiled
    """Write the label of the nearest object within reach where no object is, 0 elsewhere."""
    label = best.dtype.type((1 << bits) - 1)
    for x in range(len(best)):
        outside = (labels[x] == 0) & (best[x] >> bits <= limit)
        ring[x] = np.int32(best[x] & label) if outside else np.int32(0)


def warm() -> None:
    """Compile the kernels into their cache."""
    labels = np.eye(2, dtype=np.int32)
    for row in (np.empty(2, np.int32), np.empty(2, np.int64)):
        _nearest(labels, 1.0, 1, row)
        _rings(labels, 1.0, 1, row)
