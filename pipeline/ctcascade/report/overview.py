"""The whole slide at a glance: its frames made small and set side by side, what was lost, and where candidates lie."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup
from numpy.typing import NDArray

from ctcascade.report.axes import Mark
from ctcascade.report.thumbnails import COLOURS, data_uri, merged

Floats = NDArray[np.float64]

WIDTH = 1000.0
PIXELS = 900_000
"""Of the stitched picture, however many frames there are: about 0.3 MB in the page."""
SHAPE = 1.9
"""Width over height that the grid of frames comes near to."""
NAMED = 24
"""Frames up to which each is named in the picture."""
FILLED = 0.3
"""Share of what frames span on the stage that they fill at least; more than its inverse would lie on one another."""
_GAP = 0.02  # of a frame
_QUALITY = 75
_BRIGHT = 0.998
_NOISE = 12.0  # spreads of the usual pixel that are at least between black and white: noise alone stays dark


@dataclass(frozen=True)
class Tile:
    """A frame's place in the picture: pixels of the stitched image, and the same in user units."""

    frame: str
    y_px: int
    x_px: int
    rows_px: int
    columns_px: int
    x: float
    y: float
    width: float
    height: float
    state: str
    text: str


@dataclass(frozen=True)
class Grid:
    """Frames side by side in a picture of so many pixels, where the stage had them or row after row."""

    tiles: list[Tile]
    rows_px: int
    columns_px: int
    by_stage: bool

    @property
    def height(self) -> float:
        """User units; the picture is `WIDTH` wide."""
        return round(WIDTH * self.rows_px / self.columns_px, 1)

    @property
    def sizes_px(self) -> dict[str, tuple[int, int]]:
        """Rows and columns of each usable frame."""
        return {t.frame: (t.rows_px, t.columns_px) for t in self.tiles if t.state != "bad"}


@dataclass(frozen=True)
class Overview:
    """The stitched picture and what is drawn over it; `gone` frames were measured and cannot be read now."""

    grid: Grid
    image: Markup
    marks: list[Mark]
    named: bool
    gone: list[str]


def grid_of(frames: pd.DataFrame) -> Grid | None:
    """Return where each frame of the table goes, or None where there is no frame.

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
    unit = WIDTH / columns
    tiles = []
    for row, (y, x), (high, wide) in zip(frames.to_dict("records"), begins.tolist(), lengths.tolist(), strict=True):
        state = "bad" if not row["usable"] else "warn" if row["flags"] else "ok"
        text = row["reason"] if state == "bad" else row["flags"].replace("_", " ")
        place = [round(v * unit, 2) for v in (x, y, wide, high)]
        tiles.append(Tile(str(row["frame"]), y, x, high, wide, place[0], place[1], place[2], place[3], state, text))
    return Grid(tiles, rows, columns, by_stage)


def overview(
    frames: pd.DataFrame,
    grid: Grid,
    small: Mapping[str, NDArray[np.float32]],
    marked: Sequence[Mapping[str, Any]],
) -> Overview:
    """Return the stitched picture of the frames in `small` with the marks of cells (rows of calls).

    Notes
    -----
    One contrast for the slide, from the usual pixel to the brightest ones; no background is taken off, so that uneven
    light, smears and bubbles are seen.
    """
    total = np.full((len(COLOURS), grid.rows_px, grid.columns_px), np.nan, np.float32)
    for tile in grid.tiles:
        if tile.frame in small:
            total[:, tile.y_px : tile.y_px + tile.rows_px, tile.x_px : tile.x_px + tile.columns_px] = small[tile.frame]
    grey = {role: _shade(plane) for role, plane in zip(COLOURS, total, strict=True)}
    tiles = {tile.frame: tile for tile in grid.tiles}
    sizes = {row["frame"]: (row["height_px"], row["width_px"]) for row in frames.to_dict("records")}
    marks = []
    for row in marked:
        tile, (height, width) = tiles[row["frame"]], sizes[row["frame"]]
        x, y = tile.x + tile.width * row["x_px"] / width, tile.y + tile.height * row["y_px"] / height
        marks.append(Mark(round(x, 1), round(y, 1), row))
    gone = sorted(set(grid.sizes_px) - set(small))
    return Overview(grid, data_uri(merged(grey), _QUALITY), marks, len(tiles) <= NAMED, gone)


def _on_stage(frames: pd.DataFrame) -> Floats | None:
    """Return the corner (y, x) of each frame from the first one's on, in pixels, or None where it is not to be had."""
    placed = frames[["y_um", "x_um"]].to_numpy(float)
    if len(frames) < 2 or not np.isfinite(placed).all() or len(set(frames["part"])) > 1:
        return None
    corners = (placed - placed.min(axis=0)) / float(frames["pixel_size_um"].median())
    sizes = frames[["height_px", "width_px"]].to_numpy(float)
    spanned = float(np.prod((corners + sizes).max(axis=0)))
    return corners if FILLED * spanned <= sizes.prod(axis=1).sum() <= spanned / FILLED else None


def _in_rows(frames: pd.DataFrame) -> Floats:
    """Return the corner (y, x) of each frame in pixels, row after row, with a small gap between them."""
    height, width = (float(frames[name].max()) for name in ("height_px", "width_px"))
    place = np.arange(len(frames))
    down, across = np.divmod(place, _frames_across(len(frames), width / height))
    return np.stack([down * height, across * width], axis=1) * (1 + _GAP)


def _frames_across(number: int, shape: float) -> int:
    """Return how many frames of that width over height to set in a row: near `SHAPE`, with few places left empty."""

    def cost(across: int) -> float:
        down = math.ceil(number / across)
        return abs(math.log(shape * across / down / SHAPE)) + 1 - number / (across * down)

    return min(range(1, number + 1), key=cost)


def _shade(plane: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return mean counts as 0 to 255; black where there is no frame."""
    there = plane[np.isfinite(plane)]
    if not len(there):
        return np.zeros(plane.shape, np.uint8)
    black, bright = np.quantile(there, [0.5, _BRIGHT])
    spread = 1.4826 * float(np.median(np.abs(there - black)))
    white = max(float(bright), float(black) + _NOISE * spread, float(black) + 1)
    shade = np.clip((np.nan_to_num(plane, nan=black) - black) / (white - black), 0, 1)
    return np.asarray((255 * shade).round().astype(np.uint8))
