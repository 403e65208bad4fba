"""A picture of the whole slide: where each frame goes in it, and all frames on one grey scale."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray


@dataclass(frozen=True)
class Style:
    """How the picture of a slide is laid out and drawn.

    Attributes
    ----------
    pixels : int
        Size of the picture, however many frames there are: about 0.3 MB in a page.
    aspect : float
        Width over height that a grid of frames aims at.
    min_filled : float
        Stage positions are used if the frames fill at least this share of the area that they span, and at most its
        inverse (beyond that, they would cover each other).
    gap : float
        Gap between frames without positions, in frames.
    white_quantile : float
        Quantile of a channel's pixels that is drawn white.
    min_contrast : float
        Least difference between white and black, in standard deviations of the background: noise alone stays dark.
    """

    pixels: int = 900_000
    aspect: float = 1.9
    min_filled: float = 0.3
    gap: float = 0.02
    white_quantile: float = 0.998
    min_contrast: float = 12.0


STYLE = Style()


@dataclass(frozen=True)
class Place:
    """The pixels of a frame in the picture."""

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
    """Frames side by side in a picture: at their stage positions, or row after row."""

    places: tuple[Place, ...]
    rows_px: int
    columns_px: int
    by_stage: bool


@dataclass(frozen=True)
class Contrast:
    """The counts that are drawn black and white."""

    black: float
    white: float


def arrange(frames: pd.DataFrame, style: Style = STYLE) -> Mosaic | None:
    """Return where each frame of the frames table goes, or None if there is no frame.

    Notes
    -----
    Frames are placed at their stage positions if all of them have one and they fill a fair part of the area that they
    span; otherwise they are placed row after row in the order of the table.
    """
    if frames.empty:
        return None
    corners, by_stage = _on_stage(frames, style), True
    if corners is None:
        corners, by_stage = _in_rows(frames, style), False
    sizes = frames[["height_px", "width_px"]].to_numpy(float)
    whole = (corners + sizes).max(axis=0)
    scale = min(1.0, math.sqrt(style.pixels / (whole[0] * whole[1])))
    begins, lengths = (scale * corners).astype(int), np.maximum((scale * sizes).astype(int), 1)
    rows, columns = (begins + lengths).max(axis=0).tolist()
    placed = zip(frames["frame"], begins.tolist(), lengths.tolist(), strict=True)
    places = tuple(Place(str(name), y, x, high, wide) for name, (y, x), (high, wide) in placed)
    return Mosaic(places, rows, columns, by_stage)


def shaded(
    mosaic: Mosaic, small: Mapping[str, NDArray[np.float32]], n_channels: int, style: Style = STYLE
) -> tuple[dict[str, NDArray[np.uint8]], list[Contrast]]:
    """Return each frame on the grey scale of the whole slide, and that scale for each channel.

    Parameters
    ----------
    mosaic : Mosaic
    small : mapping of str to ndarray of float32, shape (n_channels, rows, columns)
        By frame, mean counts at the size that the mosaic gives it; frames that could not be read are left out.
    n_channels : int
    style : Style, optional

    Returns
    -------
    shades : dict of str to ndarray of uint8, shape (n_channels, rows, columns)
    contrasts : list of Contrast
        One for each channel: from the median pixel to the brightest ones. The background is not subtracted, so that
        uneven light, smears and bubbles are visible.
    """
    total = np.full((n_channels, mosaic.rows_px, mosaic.columns_px), np.nan, np.float32)
    there = [place for place in mosaic.places if place.frame in small]
    for place in there:
        total[:, *place.window] = small[place.frame]
    contrasts = [_contrast(plane, style) for plane in total]
    grey = np.stack([_grey(plane, contrast) for plane, contrast in zip(total, contrasts, strict=True)])
    return {place.frame: grey[:, *place.window] for place in there}, contrasts


def _on_stage(frames: pd.DataFrame, style: Style) -> NDArray[np.float64] | None:
    """Return the corner (y, x) of each frame on the stage, in pixels from the first; None if it is not known."""
    placed = frames[["y_um", "x_um"]].to_numpy(float)
    if len(frames) < 2 or not np.isfinite(placed).all() or len(set(frames["part"])) > 1:
        return None
    corners: NDArray[np.float64] = (placed - placed.min(axis=0)) / float(frames["pixel_size_um"].median())
    sizes = frames[["height_px", "width_px"]].to_numpy(float)
    spanned = float(np.prod((corners + sizes).max(axis=0)))
    filled = float(sizes.prod(axis=1).sum())
    return corners if style.min_filled * spanned <= filled <= spanned / style.min_filled else None


def _in_rows(frames: pd.DataFrame, style: Style) -> NDArray[np.float64]:
    """Return the corner (y, x) of each frame in pixels, row after row, with a small gap between them."""
    height, width = (float(frames[name].max()) for name in ("height_px", "width_px"))
    place = np.arange(len(frames))
    down, across = np.divmod(place, _frames_across(len(frames), width / height, style.aspect))
    return np.stack([down * height, across * width], axis=1) * (1 + style.gap)


def _frames_across(number: int, shape: float, aspect: float) -> int:
    """Return how many frames of a given width over height form a row: the grid is near `aspect`, with few gaps."""

    def cost(across: int) -> float:
        down = math.ceil(number / across)
        return abs(math.log(shape * across / down / aspect)) + 1 - number / (across * down)

    return min(range(1, number + 1), key=cost)


def _contrast(plane: NDArray[np.float32], style: Style) -> Contrast:
    """Return the contrast of a channel; pixels outside all frames are not finite."""
    there = plane[np.isfinite(plane)]
    if not len(there):
        return Contrast(0.0, 1.0)
    black, bright = np.quantile(there, [0.5, style.white_quantile])
    spread = 1.4826 * float(np.median(np.abs(there - black)))
    return Contrast(black, max(float(bright), float(black) + style.min_contrast * spread, float(black) + 1))


def _grey(plane: NDArray[np.float32], contrast: Contrast) -> NDArray[np.uint8]:
    """Return mean counts as 0 to 255; black outside all frames."""
    black, white = contrast.black, contrast.white
    shade = np.clip((np.nan_to_num(plane, nan=black) - black) / (white - black), 0, 1)
    return np.asarray((255 * shade).round().astype(np.uint8))
