"""Where each channel of a frame lies against DNA: by correlation over the whole frame, tested, and corrected.

A cell's stains lie in one place, so the planes of a frame correlate where they lie upon each other and nowhere else.
What is measured is tested against the best of all other shifts. A channel that shows too little for that stays where it
is: that nothing correlates because nothing is there is no fault. One that shows many cells and still correlates
nowhere is not of this field of view.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import fft

from ctcascade.data.vocabulary import ROLES
from ctcascade.images.background import Channel
from ctcascade.images.labels import Floats
from ctcascade.study.detection_settings import RegistrationSettings


@dataclass(frozen=True)
class Shift:
    """Where a channel lies against DNA.

    Attributes
    ----------
    y_um, x_um : float
        How far the channel lies below and to the right of DNA; NaN where that is not known.
    ratio : float
        Correlation there over the best that any other shift, further away than a cell, gives.
    unlike : bool
        The channel shows many cells, and yet they correlate with DNA at no shift, nor in place: cells in a regular
        array, as wells hold them, do so in place and at other shifts.
    """

    y_um: float
    x_um: float
    ratio: float
    unlike: bool = False

    @property
    def known(self) -> bool:
        """Whether the shift was found."""
        return bool(np.isfinite(self.y_um))

    @property
    def um(self) -> float:
        """Length of the shift, um; NaN where it is not known."""
        return float(np.hypot(self.y_um, self.x_um))


def shifts_of(
    channels: Mapping[str, Channel], pixel_size_um: float, settings: RegistrationSettings
) -> dict[str, Shift]:
    """Return how far each channel lies beside DNA, by role.

    Parameters
    ----------
    channels : mapping of str to Channel
    pixel_size_um : float
    settings : RegistrationSettings

    Notes
    -----
    The planes are reduced to pixels of `coarse_um`, and the logarithm of light over noise is correlated, so that many
    faint cells count for more than one bright one. The transform is whitened in part: each frequency is divided by the
    square root of its power, between plain correlation and phase correlation, which would be ruled by noise. The
    shift is the centroid of the hill of plain correlation there: cytokeratin lies around nuclei, so the top is a ring.
    A few cells show no shift: each may be lopsided.

    References
    ----------
    Guizar-Sicairos, Thurman, Fienup 2008, Opt Lett 33:156-158, 10.1364/OL.33.000156, on which scikit-image's
    `phase_cross_correlation` rests; the tests compare with it.
    """
    step = max(1, round(settings.coarse_um / pixel_size_um))
    small = {role: _small(channel, step) for role, channel in channels.items()}
    shape = small["dna"].shape
    size = tuple(fft.next_fast_len(n, real=True) for n in shape)
    seen = {role: fft.rfft2(plane - plane.mean(), size) for role, plane in small.items()}
    reach = tuple(max(2, int(settings.max_share * n)) for n in shape)
    um = step * pixel_size_um
    found = {}
    for role in (role for role in channels if role != "dna"):
        both = seen[role] * np.conj(seen["dna"])
        sharp = both / (np.sqrt(np.abs(both)) + np.float32(1e-6))
        surface = fft.irfft2(sharp, size)
        top, ratio = _peak(surface, reach, settings.apart_um / um)
        if ratio >= settings.min_ratio:
            y, x = _centre(fft.irfft2(both, size), top, settings.apart_um / um)
            few = (
                np.hypot(y, x) * um >= settings.min_shift_um
                and min(_objects(small[name], um, settings) for name in ("dna", role)) < settings.min_moved_objects
            )
            found[role] = Shift(np.nan, np.nan, ratio) if few else Shift(y * um, x * um, ratio)
        else:
            unlike = surface[[-1, 0, 1]][:, [-1, 0, 1]].max() < settings.min_in_place * surface[top]
            many = unlike and all(_objects(small[name], um, settings) >= settings.min_objects for name in ("dna", role))
            found[role] = Shift(np.nan, np.nan, ratio, bool(many))
    return found


@dataclass(frozen=True)
class Registered:
    """Channels that lie upon each other, over the part of the frame that all of them show.

    Attributes
    ----------
    channels : dict of str to Channel
    corner : (int, int)
        First row and column of that part.
    moved_px : dict of str to (int, int)
        How many rows and columns each channel was taken to lie below and to the right of where it belongs.
    """

    channels: dict[str, Channel]
    corner: tuple[int, int]
    moved_px: dict[str, tuple[int, int]]


def registered(
    channels: Mapping[str, Channel], shifts: Mapping[str, Shift], pixel_size_um: float, settings: RegistrationSettings
) -> Registered:
    """Return the channels moved upon each other by whole pixels, where they lie `min_shift_um` apart or more.

    The one that lies apart from the other two is moved, be it DNA. What is left is the part that all of them show.
    """
    places = {role: (s.y_um, s.x_um) for role, s in shifts.items() if s.known} | {"dna": (0.0, 0.0)}
    base = np.median([places.get(role, (0.0, 0.0)) for role in ROLES], axis=0)
    moved = dict.fromkeys(channels, (0, 0))
    for role, place in places.items():
        y, x = np.subtract(place, base)
        if np.hypot(y, x) >= settings.min_shift_um:
            moved[role] = (round(y / pixel_size_um), round(x / pixel_size_um))
    if not any(map(any, moved.values())):
        return Registered(dict(channels), (0, 0), moved)
    shape = channels["dna"].signal.shape
    low = [max(0, *(-m[axis] for m in moved.values())) for axis in (0, 1)]
    high = [min(n, *(n - m[axis] for m in moved.values())) for axis, n in enumerate(shape)]
    cut = {}
    for role, channel in channels.items():
        dy, dx = moved[role]
        part = channel.signal[low[0] + dy : high[0] + dy, low[1] + dx : high[1] + dx]
        cut[role] = replace(channel, signal=np.ascontiguousarray(part))
    return Registered(cut, (low[0], low[1]), moved)


def _small(channel: Channel, step: int) -> Floats:
    """Return the logarithm of light over noise, of squares of so many pixels."""
    size = (max(1, channel.signal.shape[1] // step), max(1, channel.signal.shape[0] // step))
    plane = channel.signal[: size[1] * step, : size[0] * step]
    mean = cv2.resize(plane, size, interpolation=cv2.INTER_AREA)
    return np.asarray(np.log1p(np.maximum(mean, 0) / np.float32(3 * channel.noise)), np.float32)


def _peak(surface: Floats, reach: tuple[int, ...], apart: float) -> tuple[tuple[int, int], float]:
    """Return where a correlation is greatest within reach, and its height over the greatest further away than that."""
    (ry, rx) = (min(r, (n - 1) // 2) for r, n in zip(reach, surface.shape, strict=True))
    rows, columns = np.arange(-ry, ry + 1), np.arange(-rx, rx + 1)
    near = surface[rows][:, columns]
    at = np.unravel_index(int(near.argmax()), near.shape)
    y, x = int(rows[at[0]]), int(columns[at[1]])
    far = np.hypot(rows[:, None] - y, columns[None] - x) > apart
    second = float(near[far].max()) if far.any() else float(near[at])
    return (y, x), float(near[at]) / max(second, 1e-9)


def _centre(surface: Floats, top: tuple[int, int], apart: float) -> tuple[float, float]:
    """Return the centroid of the hill of a correlation that a place lies on, as far as `apart`."""
    y, x = float(top[0]), float(top[1])
    for _ in range(4):
        rows = np.arange(int(y - apart), int(y + apart) + 2)
        columns = np.arange(int(x - apart), int(x + apart) + 2)
        hill = surface[np.ix_(rows % surface.shape[0], columns % surface.shape[1])]
        far = np.hypot(rows[:, None] - y, columns[None] - x) / apart
        weight = np.maximum(hill - np.median(hill[far > 0.7]), 0) * np.maximum(1 - far**2, 0)
        total = float(weight.sum())
        if total <= 0:
            break
        y, x = float((weight.sum(axis=1) * rows).sum()) / total, float((weight.sum(axis=0) * columns).sum()) / total
    return y, x


def _objects(plane: Floats, pixel_um: float, settings: RegistrationSettings) -> int:
    """Return how many objects of a cell's size a plane shows."""
    lit: NDArray[np.uint8] = (plane > np.log1p(settings.min_snr / 3)).astype(np.uint8)
    count, _, about, _ = cv2.connectedComponentsWithStats(lit, connectivity=4)
    area = about[1:count, cv2.CC_STAT_AREA] * pixel_um**2
    return int((area >= settings.min_object_um2).sum())


def moved_back(plane: Floats, by_px: tuple[int, int]) -> Floats:
    """Return a plane moved up and left by so many rows and columns; what comes in from outside is 0."""
    if not any(by_px):
        return plane
    out = np.zeros_like(plane)
    (dy, dx), (rows, columns) = by_px, plane.shape
    out[max(0, -dy) : rows - max(0, dy), max(0, -dx) : columns - max(0, dx)] = plane[
        max(0, dy) : rows - max(0, -dy), max(0, dx) : columns - max(0, -dx)
    ]
    return out
