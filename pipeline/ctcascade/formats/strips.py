"""Rows and columns of one value, where the rest of an image has noise: a copy that was cut off, not a picture."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_LEAST = 8  # rows or columns
_SEGMENT = 16  # pixels in a row that are looked at for noise
_WITHOUT_NOISE = 0.01  # share of such segments of one value, from which an image is not one of a camera with noise
_LOOKED_AT = 256  # rows
_LOOKED_AT_FIRST = 16  # pixels of a row, before all are


def lost_strips(plane: NDArray[Any]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which rows and which columns of a plane hold no image.

    Notes
    -----
    A camera's noise never gives a whole row of one value. Planes from which the background was taken off, or that were
    drawn, have such rows too; there other rows have stretches of one value as well, and nothing is taken for lost.
    """
    rows = _of_one_value(plane)
    there = plane[~rows] if rows.any() else plane  # beside lost rows a column is lost where its rest is of one value
    columns = _of_one_value(there.T) if len(there) else np.zeros(plane.shape[1], np.bool_)
    found = []
    for lost in (rows, columns):
        found.append(lost if _LEAST <= np.count_nonzero(lost) < len(lost) else np.zeros(len(lost), np.bool_))
    if not (found[0].any() or found[1].any()):
        return found[0], found[1]
    rest = plane[~found[0]][:, ~found[1]]
    return (found[0], found[1]) if _has_noise(rest) else (np.zeros_like(found[0]), np.zeros_like(found[1]))


def _of_one_value(plane: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which rows have one value all along; most have another among their first pixels."""
    alike = np.asarray((plane[:, :_LOOKED_AT_FIRST] == plane[:, :1]).all(axis=1))
    alike[alike] = (plane[alike] == plane[alike, :1]).all(axis=1)
    return alike


def _has_noise(plane: NDArray[Any]) -> bool:
    some = plane[:: max(1, len(plane) // _LOOKED_AT)]
    width = some.shape[1] // _SEGMENT * _SEGMENT
    if not width or not len(some):
        return False
    segments = some[:, :width].reshape(-1, _SEGMENT)
    return bool((segments == segments[:, :1]).all(axis=1).mean() < _WITHOUT_NOISE)
