"""Stored values to the camera's counts: one scale, where header or values prove which; else the frame is refused."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctcascade.data.errors import plain
from ctcascade.formats.frame_error import FrameError

_OFFSET = 32768  # some cameras' software stores 12 bits above the middle of 16
_TWELVE_BITS = 4095
_WHOLE = (255, 4095, 16383, 65535)  # what floats of 0 to 1 were counts over
_ALWAYS = (8, 16, 32, 64, 128, 256, 257)  # steps that no camera's noise leaves by chance
_ABOVE_FULL = (2, 4)  # steps that are believed where the values exceed the assay's bits
_ENOUGH = 32  # distinct values from which a common step says something
_PILE = 8  # pixels at one largest value that are a plateau


@dataclass(frozen=True)
class Counts:
    """Planes on the camera's scale.

    Attributes
    ----------
    planes : dict of str to ndarray
    ceiling : float
        The count of a full pixel.
    steps : dict of str to float
        The smallest difference between values of each plane; 1 where too few values tell it.
    scale : str
        ``8`` or ``16``: bits of the numbers that hold the counts.
    notes : tuple of str
    """

    planes: dict[str, NDArray[Any]]
    ceiling: float
    steps: dict[str, float]
    scale: str
    notes: tuple[str, ...]


def to_counts(planes: Mapping[str, NDArray[Any]], full: int, bits: int | None = None) -> Counts:
    """Return planes on the camera's own scale.

    Parameters
    ----------
    planes : mapping of str to ndarray
        As stored.
    full : int
        The largest count by the assay.
    bits : int, optional
        Significant bits, where the file states them.

    Raises
    ------
    FrameError
        If neither header nor values say which scale it is.

    Notes
    -----
    Floats of 0 to 1 are counts over 255, 4095, 16383 or 65535 where all of them are whole multiples of it. Values that
    are all multiples of 8 or more (of 2 or 4 where they exceed the assay's bits) were shifted to the left.
    """
    whole = {role: _whole(role, plane, full) for role, plane in planes.items()}
    narrow = {role for role, (_, is_narrow) in whole.items() if is_narrow}
    if narrow and len(narrow) < len(whole):
        raise FrameError(f"channels on two scales: {', '.join(sorted(narrow))} of 8 bits, the others of more")
    counts = {role: plane for role, (plane, _) in whole.items()}
    if narrow:
        top = max(int(plane.max()) for plane in counts.values())
        notes = () if full == 255 else ("bit_depth_differs",)
        return Counts(counts, 255.0 if top <= 255 else 65535.0, _steps(counts), "8", notes)
    step = _step(list(counts.values()), full)
    if step > 1:
        counts = {role: plane // plane.dtype.type(step) for role, plane in counts.items()}
    ceiling, differs = _ceiling(counts, full, bits)
    if step > 1 and 65535 // step < ceiling:
        ceiling, differs = float(65535 // step), True
    scale = "8" if step in (256, 257) else "16"
    return Counts(counts, ceiling, _steps(counts), scale, ("bit_depth_differs",) if differs else ())


def _whole(role: str, plane: NDArray[Any], full: int) -> tuple[NDArray[Any], bool]:
    """Return a plane of whole counts from 0, and whether they are of 8 bits."""
    if plane.dtype.kind == "b":
        raise FrameError(f"{role} is black and white; counts are expected")
    if plane.dtype.kind == "f":
        return _of_floats(role, plane)
    if plane.dtype.kind not in "iu":
        raise FrameError(f"{role} holds {plane.dtype.name} values; counts are expected")
    if plane.dtype.kind == "i":
        plane = _of_signed(role, plane, full)
    if plane.dtype.itemsize == 1:
        return plane, True
    low, high = int(plane.min()), int(plane.max())
    if high > 65535:
        raise FrameError(f"{role} holds values up to {high}; counts of at most 16 bits are expected")
    plane = plane.astype(np.uint16, copy=False)
    if low >= _OFFSET and high <= _OFFSET + max(full, _TWELVE_BITS) < 2 * _OFFSET:
        plane = plane - np.uint16(_OFFSET)
    return plane, False


def _of_signed(role: str, plane: NDArray[Any], full: int) -> NDArray[Any]:
    low, high = int(plane.min()), int(plane.max())
    if low >= 0:
        return plane.astype(plane.dtype.str.replace("i", "u"))
    if plane.dtype.itemsize == 2 and high <= max(full, _TWELVE_BITS) - _OFFSET < 0:  # the offset, one bit turned
        return (plane.astype(np.int32) + _OFFSET).astype(np.uint16)
    raise FrameError(f"{role} holds negative values (from {low}): no counts of a camera; save them as recorded")


def _of_floats(role: str, plane: NDArray[Any]) -> tuple[NDArray[Any], bool]:
    if not np.isfinite(plane).all():
        raise FrameError("pixels that are no numbers")
    low, high = float(plane.min()), float(plane.max())
    if low >= 0 and high <= 65535:
        for top in (1, *_WHOLE) if high > 1 or high == low else _WHOLE:
            if top > 1 and high > 1:
                break
            scaled = plane.astype(np.float64) * top
            rounded = np.round(scaled)
            if np.abs(scaled - rounded).max() <= 1e-6 * top + 1e-9:
                return rounded.astype(np.uint8 if top == 255 else np.uint16), top == 255
    raise FrameError(
        f"{role} holds fractions from {plain(f'{low:.4g}')} to {plain(f'{high:.4g}')}, whose scale the file does not "
        "state; save the camera's own counts"
    )


def _step(planes: list[NDArray[Any]], full: int) -> int:
    """Return the common factor of all values, where it shows that they were shifted or stretched; else 1."""
    found = 0
    for plane in planes:
        values = np.flatnonzero(np.bincount(plane.ravel()[:: max(1, plane.size // 4096)], minlength=1))
        if len(values) < _ENOUGH:
            continue
        found = int(np.gcd.reduce(np.append(values, found)))
        if found == 1:
            return 1
    if found < 2:
        return 1
    exact = int(np.gcd.reduce([int(np.gcd.reduce(plane, axis=None)) for plane in planes] + [found]))
    top = max(int(plane.max()) for plane in planes)
    steps: list[int] = sorted((*_ALWAYS, *(_ABOVE_FULL if top > full else ())), reverse=True)
    for step in steps:
        if exact % step == 0:
            return step
    return 1


def _steps(planes: Mapping[str, NDArray[Any]]) -> dict[str, float]:
    """Return the smallest difference between values of each plane: one that was stretched is coarser than its noise.

    No difference is smaller than 1, and a part of an image mostly shows one of 1 already.
    """
    found = {}
    for role, plane in planes.items():
        some = _least_difference(plane.ravel()[:: max(1, plane.size // 4096)])
        least = some if some == 1 else _least_difference(plane.ravel())
        found[role] = float(least or 1)
    return found


def _least_difference(values: NDArray[Any]) -> int | None:
    """Return the smallest difference between distinct values; None where these are too few to tell."""
    distinct = np.flatnonzero(np.bincount(values, minlength=1))
    return int(np.diff(distinct).min()) if len(distinct) >= _ENOUGH else None


def _ceiling(planes: Mapping[str, NDArray[Any]], full: int, bits: int | None) -> tuple[float, bool]:
    """Return the count of a full pixel, and whether the assay's bits are not the camera's."""
    top = max(int(plane.max()) for plane in planes.values())
    if top > full:
        stated = 2**bits - 1 if bits and top <= 2**bits - 1 <= 65535 else None
        return float(stated or _plateau(planes, top) or 2 ** top.bit_length() - 1), True
    if top < full and top + 1 in (1024, 4096, 16384) and _plateau(planes, top):
        return float(top), True  # fewer bits than the assay says: full pixels pile up at the end of theirs
    return float(full), False


def _plateau(planes: Mapping[str, NDArray[Any]], top: int) -> float | None:
    """Return the largest value where so many pixels have it that it is the end of the camera's range."""
    n = sum(int(np.count_nonzero(plane == top)) for plane in planes.values())
    below = sum(int(np.count_nonzero((plane < top) & (plane >= top - 8))) for plane in planes.values())
    return float(top) if n >= _PILE and n > below else None
