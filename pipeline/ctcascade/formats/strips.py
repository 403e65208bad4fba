"""Rows and columns of one value, where the rest of an image has noise: a copy that was cut off, not a picture."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_LEAST = 8  # rows or columns
_SEGMENT = 16  # pixels in a row that are looked at for noise
_WITHOUT_NOISE = 0.01  # share of such segments of one value, from which an image is not one of a camera with noise
_LOOKED_AT = 256  # rows


def lost_strips(plane: NDArray[Any]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which rows and which columns of a plane hold no image.

    Notes
    -----
    A camera's noise never gives a whole row of one value. Planes from which the background was taken off, or that were
    drawn, have such rows too; there other rows have stretches of one value as well, and nothing is taken for lost.
    """
    rows = np.asarray((plane == plane[:, :1]).all(axis=1))
    there = plane[~rows]  # beside lost rows a column is lost where the rest of it is of one value
    columns = np.asarray((there == there[:1]).all(axis=0)) if len(there) else np.zeros(plane.shape[1], np.bool_)
    found = []
    for lost in (rows, columns):
        found.append(lost if _LEAST <= np.count_nonzero(lost) < len(lost) else np.zeros(len(lost), np.bool_))
    if not (found[0].any() or found[1].any()):
        return found[0], found[1]
    rest = plane[~found[0]][:, ~found[1]]
    return (found[0], found[1]) if _has_noise(rest) else (np.zeros_like(found[0]), np.zeros_like(found[1]))


def _has_noise(plane: NDArray[Any]) -> bool:
    some = plane[:: max(1, len(plane) // _LOOKED_AT)]
    width = some.shape[1] // _SEGMENT * _SEGMENT
    if not width or not len(some):
        return False
    segments = some[:, :width].reshape(-1, _SEGMENT)
    return bool((segments == segments[:, :1]).all(axis=1).mean() < _WITHOUT_NOISE)
