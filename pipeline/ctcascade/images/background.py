"""The background of a channel: followed over the frame, taken off, and what noise is left."""

from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ctcascade.images.labels import Floats, kernel
from ctcascade.images.ranks import sorted_values
from ctcascade.study.detection_settings import BackgroundSettings


@dataclass(frozen=True)
class Channel:
    """A channel less its background.

    Attributes
    ----------
    signal : ndarray of float32, shape (Y, X)
        Counts above the local background.
    background : float
        Median background that was taken off, counts.
    unevenness : float
        (largest - smallest) background over the frame / its median.
    noise : float
        Standard deviation of the background, counts; at least half the step of an integer image.
    hot : ndarray of int64, shape (n, 2)
        Row and column of the pixels that were hot: their signal is that of their neighbours.
    """

    signal: Floats
    background: float
    unevenness: float
    noise: float
    hot: NDArray[np.int64] = field(default_factory=lambda: np.empty((0, 2), np.int64))


def correct(plane: Floats, pixel_size_um: float, settings: BackgroundSettings, least_step: float = 1.0) -> Channel:
    """Return a channel less its background, with the background's level and noise.

    Parameters
    ----------
    plane : ndarray of float32, shape (Y, X)
        Counts.
    pixel_size_um : float
    settings : BackgroundSettings
    least_step : float, optional
        The smallest difference between two values: values that were stretched are coarser than their noise looks.

    Notes
    -----
    A hot pixel rises alone: it is far above each of its eight neighbours, and these hardly above the sixteen pixels
    around them, as no light does that has gone through a lens.
    """
    tile = max(8, round(settings.tile_um / pixel_size_um))
    per_side = settings.tile_samples
    counts = [max(1, round(length / tile)) for length in plane.shape]
    y, x = (
        ((np.arange(count * per_side) + 0.5) * length / (count * per_side)).astype(int)
        for length, count in zip(plane.shape, counts, strict=True)
    )
    sample = plane.take(y, axis=0).take(x, axis=1)
    tiles = sample.reshape(counts[0], per_side, counts[1], per_side).swapaxes(1, 2).reshape(*counts, -1)
    rank = int(settings.quantile * tiles.shape[2])
    grid = np.ascontiguousarray(np.partition(tiles, rank, axis=2)[:, :, rank])
    if min(counts) >= 3:
        grid = cv2.medianBlur(grid, 3).astype(np.float32, copy=False)
    across = cv2.resize(grid, (plane.shape[1], counts[0]), interpolation=cv2.INTER_LINEAR)
    step = max(1, int(np.sqrt(plane.size / settings.noise_pixels)))
    centre, noise = centre_and_noise(sorted_values(_less(plane, across, step, 0.0)[:, ::step]))
    signal = _less(plane, across, 1, centre)
    level = float(np.median(grid)) + centre
    noise = max(noise, least_step / 2)
    hot = _cooled(signal, settings.hot_min_snr * noise, settings.hot_spread)
    return Channel(signal, level, float(grid.max() - grid.min()) / max(level, 1.0), noise, hot)


def sorted_sample(image: Floats, pixels: int) -> Floats:
    """Return the sorted values of about so many pixels, evenly over an image."""
    step = max(1, int(np.sqrt(image.size / pixels)))
    return sorted_values(image[::step, ::step])


def centre_and_noise(values: Floats) -> tuple[float, float]:
    """Return centre and standard deviation of the background among sorted values of which cells are the upper part."""
    low, high = 0, len(values)
    centre, noise = 0.0, 0.0
    for _ in range(8):
        kept, bounds = values[low:high], (low, high)
        centre = float(kept[len(kept) // 2])
        noise = 1.4826 * float(_usual_distance(kept))
        low = int(np.searchsorted(values, np.float32(centre - 3 * noise - 0.5)))
        high = int(np.searchsorted(values, np.float32(centre + 2 * noise + 0.5)))
        if (low, high) == bounds:
            break
    return centre, noise


def blur(image: Floats, sigma: float) -> Floats:
    """Return an image smoothed by a Gaussian of so many pixels."""
    blurred = cv2.GaussianBlur(image, (0, 0), max(sigma, 0.3), borderType=cv2.BORDER_REFLECT_101)
    return blurred.astype(np.float32, copy=False)


@kernel
def _usual_distance(values: Any) -> Any:  # pragma: no cover - compiled
    """Return the upper median distance of sorted values from their upper median: from there on, the lesser of two.

    Of the nearest `nearest` values some lie above and the others below: how many is found by halving.
    """
    up = len(values) // 2
    centre = values[up]
    nearest = up + 1
    fewest, most = max(0, nearest - up), min(nearest, len(values) - up)  # of those above
    while fewest < most:
        above = (fewest + most) // 2
        if values[up + above] - centre < centre - values[up - (nearest - above)]:
            fewest = above + 1
        else:
            most = above
    distance = values[up + fewest - 1] - centre
    if nearest > fewest:
        distance = max(distance, centre - values[up - (nearest - fewest)])
    return distance


@kernel
def _less(plane: Any, across: Any, every: int, centre: float) -> Any:  # pragma: no cover - compiled
    """Return every n-th row of a plane minus a constant and a background that is known in evenly spaced rows."""
    rows, columns = plane.shape
    signal = np.empty((-(-rows // every), columns), np.float32)
    constant = np.float32(centre)
    for i in range(len(signal)):
        place = (i * every + 0.5) * len(across) / rows - 0.5
        upper = int(np.floor(place))
        share = np.float32(place - upper)
        rest = np.float32(1) - share
        row, here = plane[i * every], signal[i]
        a, b = across[max(upper, 0)], across[min(upper + 1, len(across) - 1)]
        for x in range(columns):
            here[x] = np.float32(row[x]) - (a[x] * rest + b[x] * share) - constant
    return signal


@kernel
def _cooled(signal: Any, above: float, spread: float) -> Any:  # pragma: no cover - compiled
    """Give hot pixels the mean of their neighbours; return their rows and columns."""
    rows, columns = signal.shape
    hot = [(0, 0)]
    limit = np.float32(above)
    beside, top = np.empty(columns, np.float32), np.empty(columns, np.float32)
    alone = np.zeros(columns, np.uint8)
    for y in range(2, rows - 2):
        row = signal[y]
        _highest(signal[y - 1], row, signal[y + 1], beside, top)
        _mark_alone(row[2:-2], beside[2:-2], top[1:-3], top[3:-1], limit, alone[2 : columns - 2])
        if not _any(alone):
            continue
        for x in range(2, columns - 2):
            if alone[x]:
                near = np.sum(signal[y - 1 : y + 2, x - 1 : x + 2])
                wide = (np.sum(signal[y - 2 : y + 3, x - 2 : x + 3]) - near) / 16
                near = (near - row[x]) / 8
                if near - wide < spread * (row[x] - wide):
                    row[x] = near
                    hot.append((y, x))
                    _highest(signal[y - 1], row, signal[y + 1], beside, top)  # the next pixel may stand alone now
                    _mark_alone(row[2:-2], beside[2:-2], top[1:-3], top[3:-1], limit, alone[2 : columns - 2])
    found = np.empty((len(hot) - 1, 2), np.int64)
    for i in range(1, len(hot)):
        found[i - 1, 0], found[i - 1, 1] = hot[i]
    return found


@kernel
def _any(marks: Any) -> Any:  # pragma: no cover - compiled
    found = np.uint8(0)
    for mark in marks:
        found |= mark
    return found > 0


@kernel
def _highest(before: Any, row: Any, after: Any, beside: Any, top: Any) -> None:  # pragma: no cover - compiled
    """Write the greater of the pixels above and below each pixel of a row, and the greatest of all three."""
    for x in range(len(top)):
        other = before[x] if before[x] > after[x] else after[x]
        beside[x] = other
        top[x] = row[x] if row[x] > other else other


@kernel
def _mark_alone(
    row: Any, beside: Any, left: Any, right: Any, limit: Any, alone: Any
) -> None:  # pragma: no cover - compiled
    """Mark the pixels of a row that are above a limit, and by that above all their neighbours.

    Nothing branches, so that many pixels are compared at once: few have to be looked at one by one.
    """
    for x in range(len(alone)):
        least = row[x] - limit
        alone[x] = np.uint8((least > 0) & (beside[x] <= least) & (left[x] <= least) & (right[x] <= least))


def warm() -> None:
    """Compile the kernels into their cache."""
    height = np.ones((2, 2), np.float32)
    _cooled(height, 1.0, 0.1)
    _less(height, height, 1, 0.0)
    _usual_distance(height[0])
