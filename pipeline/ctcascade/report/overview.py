"""The whole slide at a glance: its frames made small and set side by side, what was lost, and where candidates lie."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from markupsafe import Markup
from numpy.typing import NDArray

from ctcascade.data.tables import Row
from ctcascade.images import mosaic
from ctcascade.report.axes import Mark
from ctcascade.report.thumbnails import COLOURS, data_uri, merged

WIDTH = 1000.0
NAMED = 24
"""Frames up to which each is named in the picture."""
QUALITY = 75
"""Of the picture's compression, of 100."""


@dataclass(frozen=True)
class Tile:
    """A frame's place in the picture in user units, and what is to be said of it."""

    place: mosaic.Place
    frame: str
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


@dataclass(frozen=True)
class Overview:
    """The stitched picture and what is drawn over it.

    `gone` frames were measured and could not be read again; `um_per_unit` is None where frames differ in scale.
    """

    grid: Grid
    image: Markup
    marks: list[Mark]
    named: bool
    gone: list[str]
    um_per_unit: float | None


def grid_of(frames: pd.DataFrame) -> Grid | None:
    """Return where each frame of the table goes, or None where there is no frame."""
    arranged = mosaic.arrange(frames)
    if arranged is None:
        return None
    unit = WIDTH / arranged.columns_px
    tiles = []
    for row, place in zip(frames.to_dict("records"), arranged.places, strict=True):
        state = "bad" if not row["usable"] else "warn" if row["flags"] else "ok"
        text = row["reason"] if state == "bad" else row["flags"].replace("_", " ")
        sides = (place.x_px, place.y_px, place.columns_px, place.rows_px)
        x, y, width, height = (round(side * unit, 2) for side in sides)
        tiles.append(Tile(place, place.frame, x, y, width, height, state, text))
    return Grid(tiles, arranged.rows_px, arranged.columns_px, arranged.by_stage)


def overview(
    frames: pd.DataFrame,
    grid: Grid,
    small: Mapping[str, NDArray[np.uint8]],
    marked: Sequence[Row],
) -> Overview:
    """Return the picture stitched from the frames in `small` with the marks of cells (rows of calls)."""
    total = np.zeros((len(COLOURS), grid.rows_px, grid.columns_px), np.uint8)
    for tile in grid.tiles:
        if tile.frame in small:
            total[:, *tile.place.window] = small[tile.frame]
    grey = dict(zip(COLOURS, total, strict=True))
    tiles = {tile.frame: tile for tile in grid.tiles}
    sizes = {row["frame"]: (row["height_px"], row["width_px"]) for row in frames.to_dict("records")}
    marks = []
    for row in marked:
        tile, (height, width) = tiles[row["frame"]], sizes[row["frame"]]
        x, y = tile.x + tile.width * row["x_px"] / width, tile.y + tile.height * row["y_px"] / height
        marks.append(Mark(round(x, 1), round(y, 1), row))
    gone = sorted({tile.frame for tile in grid.tiles if tile.state != "bad"} - set(small))
    return Overview(grid, data_uri(merged(grey), QUALITY), marks, len(tiles) <= NAMED, gone, _scale(frames, grid))


def _scale(frames: pd.DataFrame, grid: Grid) -> float | None:
    """Return micrometres in a user unit, or None where frames are not all on one scale."""
    tiles = {tile.frame: tile for tile in grid.tiles}
    scales = [
        row["width_px"] * row["pixel_size_um"] / tiles[row["frame"]].width
        for row in frames.to_dict("records")
        if row["usable"] and row["pixel_size_um"] > 0
    ]
    return round(scales[0], 6) if scales and max(scales) <= 1.05 * min(scales) else None
