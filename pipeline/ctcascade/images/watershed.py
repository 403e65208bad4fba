"""The watershed of a frame: regions grow from markers in the order of the levels."""

from typing import Any

import numpy as np

from ctcascade.images.labels import components, kernel, runs_of

_SEVERAL = -1  # in place of a marker


@kernel
def flood(levels: Any, markers: Any, mask: Any) -> Any:  # pragma: no cover - compiled
    """Return the watershed of 8-bit levels from markers inside a mask.

    The water rises level by level. A pixel joins the marker whose water reaches it first; pixels that are reached at
    the same level pass the water on in the order in which they were reached. This is the order, and so the result, of
    scikit-image's `watershed` with four neighbours, which does not define which of two markers at the same level comes
    first: here it is the upper one.

    Most connected parts of a mask hold one marker: they become its region as a whole, and only others are flooded.
    """
    rows, columns = levels.shape
    runs = runs_of(mask.view(np.uint8))
    marker = _marker_of_each(runs, markers)
    labels = np.zeros((rows, columns), np.int32)
    several = 0
    for i in range(len(runs)):
        y, start, stop, part = runs[i]
        several += marker[part] == _SEVERAL
        if marker[part] > 0:
            labels[y, start:stop] = marker[part]
    if several:
        runs = runs[marker[runs[:, 3]] == _SEVERAL]
        _flood(levels, markers, runs, labels)
    return labels


@kernel
def _marker_of_each(runs: Any, markers: Any) -> Any:  # pragma: no cover - compiled
    """Return the one marker in each connected part of a mask, 0 for none, or `_SEVERAL`; its runs are numbered so."""
    marker = np.zeros(components(runs) + 1, np.int32)
    for y, start, stop, part in runs:
        known = marker[part]
        if known == _SEVERAL:
            continue
        for here in markers[y, start:stop]:
            if here > 0 and here != known:
                if known:
                    known = np.int32(_SEVERAL)
                    break
                known = here
        marker[part] = known
    return marker


@kernel
def _flood(levels: Any, markers: Any, runs: Any, labels: Any) -> None:  # pragma: no cover - compiled
    """Write the regions of markers into the runs of a mask."""
    wide = levels.shape[1] + 2
    state, following, first, last = _queued(levels, markers, runs)
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
    for y, start, stop, _ in runs:
        begin = (y + 1) * wide + 1
        for x in range(start, stop):
            labels[y, x] = max(state[begin + x], 0)


@kernel
def _queued(levels: Any, markers: Any, runs: Any) -> Any:  # pragma: no cover - compiled
    """Return the state of each pixel, in rows with a rim, and for each level a queue of marker pixels at the edge.

    The state is a label, or minus (level + 1) for a pixel without a label yet, or 0 outside the runs.
    """
    rows, columns = levels.shape
    wide = columns + 2
    state = np.zeros((rows + 2) * wide, np.int32)
    following = np.empty(len(state), np.int32)
    first, last = np.full(256, -1, np.int32), np.full(256, -1, np.int32)
    for y, start, stop, _ in runs:
        begin = (y + 1) * wide + 1
        for x in range(start, stop):
            state[begin + x] = markers[y, x] if markers[y, x] > 0 else np.int32(-1) - np.int32(levels[y, x])
    for y, start, stop, _ in runs:
        for x in range(start, stop):
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


def warm() -> None:
    """Compile the kernels into their cache."""
    flood(np.zeros((2, 2), np.uint8), np.eye(2, dtype=np.int32) * 2 - 1, np.ones((2, 2), np.bool_))
