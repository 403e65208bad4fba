"""A picture of the whole slide: where each frame goes in it, and all frames on one grey scale."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

PIXELS = 900_000
"""Of the picture, however many frames there are: about 0.3 MB in a page."""
SHAPE = 1.9
"""Width over height that the grid of frames comes near to."""
FILLED = 0.3
"""Share of what frames span on the stage that they fill at least; more than its inverse would lie on one another."""
GAP = 0.02
"""Between frames whose place is not known, in frames."""
BRIGHT = 0.998
"""The quantile of a channel's pixels that is drawn white."""
NOISE = 12.0
"""Spreads of the usual pixel that are at least between black and white: noise alone stays dark."""


@dataclass(frozen=True)
class Place:
    """A frame's pixels in the picture."""

    frame: str
    y_px: int
    x_px: int
    rows_px: int
    columns_px: int

    @property
    def window(self) -> tuple[slice, slice]:
        """Rows and columns of the picture."""
        return slice(self.y_px, self.y_px + self.rows_px), slice(self.x_px, self.x_px + self.columns_px)


@dataclass(frozen=True)
class Mosaic:
    """Frames side by side in a picture of so many pixels, where the stage had them or row after row."""

    places: tuple[Place, ...]
    rows_px: int
    columns_px: int
    by_stage: bool


@dataclass(frozen=True)
class Contrast:
    """The counts that are drawn black and white."""

    black: float
    white: float


def arrange(frames: pd.DataFrame) -> Mosaic | None:
    """Return where each frame of the frames table goes, or None where there is no frame.

    Notes
    -----
    Frames go where the stage says they lay, if it says so of all of them and they fill a fair part of what they span;
    else row after row in the order of the table.
    """
    if frames.empty:
        return None
    corners, by_stage = _on_stage(frames), True
    if corners is None:
        corners, by_stage = _in_rows(frames), False
    sizes = frames[["height_px", "width_px"]].to_numpy(float)
    whole = (corners + sizes).max(axis=0)
    scale = min(1.0, math.sqrt(PIXELS / (whole[0] * whole[1])))
    begins, lengths = (scale * corners).astype(int), np.maximum((scale * sizes).astype(int), 1)
    rows, columns = (begins + lengths).max(axis=0).tolist()
    placed = zip(frames["frame"], begins.tolist(), lengths.tolist(), strict=True)
    places = tuple(Place(str(name), y, x, high, wide) for name, (y, x), (high, wide) in placed)
    return Mosaic(places, rows, columns, by_stage)


def shaded(
    mosaic: Mosaic, small: Mapping[str, NDArray[np.float32]], n_channels: int
) -> tuple[dict[str, NDArray[np.uint8]], list[Contrast]]:
    """Return each frame on the grey scale of the whole slide, and that scale for each channel.

    Parameters
    ----------
    mosaic : Mosaic
    small : mapping of str to ndarray of float32, shape (n_channels, rows, columns)
        By frame, mean counts at the size that the mosaic gives it; frames that could not be read are left out.
    n_channels : int

    Returns
    -------
    shades : dict of str to ndarray of uint8, shape (n_channels, rows, columns)
    contrasts : list of Contrast
        One a channel: from the usual pixel to the brightest ones. No background is taken off, so that uneven light,
        smears and bubbles are seen.
    """
    total = np.full((n_channels, mosaic.rows_px, mosaic.columns_px), np.nan, np.float32)
    there = [place for place in mosaic.places if place.frame in small]
    for place in there:
        total[:, *place.window] = small[place.frame]
    contrasts = [_contrast(plane) for plane in total]
    grey = np.stack([_grey(plane, contrast) for plane, contrast in zip(total, contrasts, strict=True)])
    return {place.frame: grey[:, *place.window] for place in there}, contrasts


def _on_stage(frames: pd.DataFrame) -> NDArray[np.float64] | None:
    """Return the corner (y, x) of each frame from the first one's on, in pixels, or None where it is not known."""
    placed = frames[["y_um", "x_um"]].to_numpy(float)
    if len(frames) < 2 or not np.isfinite(placed).all() or len(set(frames["part"])) > 1:
        return None
    corners: NDArray[np.float64] = (placed - placed.min(axis=0)) / float(frames["pixel_size_um"].median())
    sizes = frames[["height_px", "width_px"]].to_numpy(float)
    spanned = float(np.prod((corners + sizes).max(axis=0)))
    return corners if FILLED * spanned <= sizes.prod(axis=1).sum() <= spanned / FILLED else None


def _in_rows(frames: pd.DataFrame) -> NDArray[np.float64]:
    """Return the corner (y, x) of each frame in pixels, row after row, with a small gap between them."""
    height, width = (float(frames[name].max()) for name in ("height_px", "width_px"))
    place = np.arange(len(frames))
    down, across = np.divmod(place, _frames_across(len(frames), width / height))
    return np.stack([down * height, across * width], axis=1) * (1 + GAP)


def _frames_across(number: int, shape: float) -> int:
    """Return how many frames of that width over height to set in a row: near `SHAPE`, with few places left empty."""

    def cost(across: int) -> float:
        down = math.ceil(number / across)
        return abs(math.log(shape * across / down / SHAPE)) + 1 - number / (across * down)

    return min(range(1, number + 1), key=cost)


def _contrast(plane: NDArray[np.float32]) -> Contrast:
    """Return the contrast of a channel; pixels where there is no frame are not finite."""
    there = plane[np.isfinite(plane)]
    if not len(there):
        return Contrast(0.0, 1.0)
    black, bright = np.quantile(there, [0.5, BRIGHT])
    spread = 1.4826 * float(np.median(np.abs(there - black)))
    return Contrast(black, max(float(bright), float(black) + NOISE * spread, float(black) + 1))


def _grey(plane: NDArray[np.float32], contrast: Contrast) -> NDArray[np.uint8]:
    """Return mean counts as 0 to 255; black where there is no frame."""
    black, white = contrast.black, contrast.white
    shade = np.clip((np.nan_to_num(plane, nan=black) - black) / (white - black), 0, 1)
    return np.asarray((255 * shade).round().astype(np.uint8))
