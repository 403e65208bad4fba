"""Small pictures of single cells: one merged in colour and one of each channel in grey, with outline and scale bar.

All pictures of a channel share one contrast, from background to what its bright cells reach, so that cells can be
compared by eye. Colours can be told apart with any common colour vision: DNA blue, CK yellow, CD45 magenta.
"""

import base64
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from markupsafe import Markup
from numpy.typing import NDArray

from ctcascade import formats
from ctcascade.formats import listing
from ctcascade.images.segment import Channel, Floats, Labels, correct, segment
from ctcascade.report.axes import path as svg_path

COLOURS = {"dna": (0.17, 0.42, 1.0), "ck": (1.0, 0.85, 0.0), "cd45": (1.0, 0.13, 0.82)}
"""Red, green and blue share of each role in the merged picture; further roles are shown in grey only."""
NAMES = {"dna": "DNA", "ck": "CK", "cd45": "CD45"}
SMALLEST_UM = 28.0
MARGIN = 1.5
LARGEST_PX = 72
BAR_UM = 10.0
LOSSLESS = 101
STEP_PX = 24
"""Windows begin and end at multiples of this, so that what is done in a smaller image falls on the same pixels."""
WINDOW_UM = 40.0
"""How far around a cell is looked at to find its outline again."""
BRIGHT = 0.9
"""The quantile of the cells' maxima that is drawn white."""


@dataclass(frozen=True)
class Found:
    """A cell as the cells table knows it: enough to tell it from others in a label image."""

    cell: int
    box_px: tuple[int, int, int, int]
    area_um2: float

    def label_in(self, labels: Labels, corner: tuple[int, int], pixel_um: float) -> int:
        """Return the number of the object with just this place, box and area in a part of the frame, or 0."""
        y0, x0, y1, x1 = (edge - corner[i % 2] for i, edge in enumerate(self.box_px))
        numbers, areas = np.unique(labels[y0:y1, x0:x1], return_counts=True)
        for number, area in zip(numbers.tolist(), areas.tolist(), strict=True):
            if number and round(self.area_um2 / pixel_um**2) == area:
                here = labels == number
                rows, columns = (np.flatnonzero(here.any(axis=axis)) for axis in (1, 0))
                if (rows[0], columns[0], rows[-1] + 1, columns[-1] + 1) == (y0, x0, y1, x1):
                    return int(number)
        return 0


@dataclass(frozen=True)
class Spot:
    """Where to look in which frame: the bounding box of one cell or of a cluster, and its cells."""

    frame: str
    box_px: tuple[int, int, int, int]
    centres_px: tuple[tuple[float, float], ...]
    cells: tuple[Found, ...]

    @classmethod
    def around(cls, rows: Sequence[Mapping[str, Any]]) -> "Spot":
        """Return the spot of cells (rows of calls joined with cells) of one frame."""
        y0, x0 = (int(min(r[k] for r in rows)) for k in ("y0_px", "x0_px"))
        y1, x1 = (int(max(r[k] for r in rows)) for k in ("y1_px", "x1_px"))
        centres = tuple((float(r["y_px"]), float(r["x_px"])) for r in rows)
        cells = tuple(
            Found(int(r["cell"]), (int(r["y0_px"]), int(r["x0_px"]), int(r["y1_px"]), int(r["x1_px"])), r["area_um2"])
            for r in rows
        )
        return cls(rows[0]["frame"], (y0, x0, y1, x1), centres, cells)


@dataclass(frozen=True)
class Picture:
    """The views of a spot, in one coordinate system of `side` user units; no views and a `problem` if unreadable."""

    views: list[tuple[str, Markup]] = field(default_factory=list)
    side: int = 1
    outlines: list[Markup] = field(default_factory=list)
    centres: list[tuple[float, float]] = field(default_factory=list)
    bar: float = 0.0
    problem: str = ""


class Pictures:
    """Cuts pictures out of a sample's frames, each of which is read once and only if something in it is shown.

    Parameters
    ----------
    settings : mapping
        Of the report: ``sample`` (the sheet's row) and ``assay``.
    base : Path
        Folder that image paths are relative to.
    detected : mapping
        The settings that the cells were found with: segmented again with them, a frame has the same outlines.
    cells, shown : DataFrame
        All cells, and those of interest: both set the contrast.
    """

    def __init__(
        self,
        settings: Mapping[str, Any],
        base: Path,
        detected: Mapping[str, Any],
        cells: pd.DataFrame,
        shown: pd.DataFrame,
    ):
        sample, self._assay, self._detected = settings["sample"], settings["assay"], detected
        self.listed = listing.list_frames(sample["images"], base, sample["format"], self._assay)
        self._refs = {ref.frame: ref for ref in self.listed.frames}
        self.roles = [role for role in self._assay["channels"] if f"{role}_max" in cells]
        self._white = {role: _white(cells[f"{role}_max"], shown[f"{role}_max"]) for role in self.roles}

    def of(
        self, spots: Sequence[Spot], sizes_px: Mapping[str, tuple[int, int]]
    ) -> tuple[list[Picture], dict[str, NDArray[np.float32]]]:
        """Return one picture a spot, in their order, and whole frames made small.

        Parameters
        ----------
        spots : sequence of Spot
        sizes_px : mapping of str to (int, int)
            The frames to make small, and to how many rows and columns.

        Returns
        -------
        pictures : list of Picture
        small : dict of str to ndarray, shape (3, rows, columns)
            By frame, the mean counts of DNA, CK and CD45; frames that cannot be read now are left out.
        """
        done: dict[int, Picture] = {}
        small = {}
        for name in sorted({*sizes_px, *(spot.frame for spot in spots)}):
            here = [i for i, spot in enumerate(spots) if spot.frame == name]
            if name not in self._refs:
                done |= dict.fromkeys(here, Picture(problem="the frame is no longer there"))
                continue
            try:
                frame = formats.read(self._refs[name], self._assay)
            except formats.FrameError as error:
                done |= dict.fromkeys(here, Picture(problem=f"the frame cannot be read now: {error}"))
                continue
            if name in sizes_px:
                small[name] = _shrunk(frame, sizes_px[name])
            if here:
                done |= dict(zip(here, self._cut(frame, [spots[i] for i in here]), strict=True))
        return [done[i] for i in range(len(spots))], small

    def _cut(self, frame: formats.Frame, spots: Sequence[Spot]) -> list[Picture]:
        planes = zip(frame.roles, frame.pixels, strict=True)
        channels = {role: correct(plane, frame.pixel_size_um) for role, plane in planes}
        outlines = Outlines(frame, channels, self._detected)
        return [self._picture(channels, outlines, frame.pixel_size_um, spot) for spot in spots]

    def _picture(self, channels: Mapping[str, Channel], outlines: "Outlines", pixel_um: float, spot: Spot) -> Picture:
        y0, x0, y1, x1 = spot.box_px
        side = round(max(SMALLEST_UM / pixel_um, MARGIN * max(y1 - y0, x1 - x0)))
        top, left = round((y0 + y1 - side) / 2), round((x0 + x1 - side) / 2)
        grey = {
            r: self._shade(channels[r].signal / self._white[r], (top, left, side)) for r in self.roles if r in channels
        }
        views = [("merged", data_uri(merged(grey))), *((NAMES.get(r, r.upper()), data_uri(g)) for r, g in grey.items())]
        return Picture(
            views=views,
            side=side,
            outlines=[path for cell in spot.cells for path in outlines.around(cell, (top, left))],
            centres=[(round(x - left + 0.5, 1), round(y - top + 0.5, 1)) for y, x in spot.centres_px],
            bar=round(BAR_UM / pixel_um, 1),
        )

    @staticmethod
    def _shade(signal: Floats, square: tuple[int, int, int]) -> NDArray[np.uint8]:
        """Return the square of a plane as 0 (background) to 255 (white); black where the frame has ended."""
        top, left, side = square
        shade = np.zeros((side, side), np.uint8)
        y, x = max(top, 0), max(left, 0)
        part = (255 * np.clip(signal[y : top + side, x : left + side], 0, 1)).round().astype(np.uint8)
        shade[y - top : y - top + part.shape[0], x - left : x - left + part.shape[1]] = part
        if side <= LARGEST_PX:
            return shade
        return np.asarray(cv2.resize(shade, (LARGEST_PX, LARGEST_PX), interpolation=cv2.INTER_AREA))


class Outlines:
    """Outlines of a frame's cells, from a window around each where that gives the very cell of the table.

    The whole frame is segmented only for a cell that its window does not give: what the window leaves out (brighter
    nuclei, the usual DNA content) can set another edge.
    """

    def __init__(self, frame: formats.Frame, channels: Mapping[str, Channel], detected: Mapping[str, Any]):
        self._frame, self._channels, self._detected = frame, channels, detected

    def around(self, cell: Found, origin: tuple[int, int]) -> list[Markup]:
        """Return the cell's outline from `origin` (y, x) on, a path a part, through the middle of its edge pixels."""
        labels, (top, left), number = self._found(cell)
        rings, _ = cv2.findContours((labels == number).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        y, x = top - origin[0] + 0.5, left - origin[1] + 0.5
        return [svg_path([(px + x, py + y) for px, py in ring[:, 0, :].tolist()], closed=True) for ring in rings]

    def _found(self, cell: Found) -> tuple[Labels, tuple[int, int], int]:
        """Return labels of a part of the frame, its upper left corner, and the cell's number in it."""
        pixel_um, beside = self._frame.pixel_size_um, round(WINDOW_UM / self._frame.pixel_size_um)
        y0, x0, y1, x1 = cell.box_px
        top, left = (max(edge - beside, 0) // STEP_PX * STEP_PX for edge in (y0, x0))
        bottom, right = (-(-(edge + beside) // STEP_PX) * STEP_PX for edge in (y1, x1))
        window = np.s_[top:bottom, left:right]
        channels = {
            role: replace(channel, signal=np.ascontiguousarray(channel.signal[window]))
            for role, channel in self._channels.items()
        }
        part = replace(self._frame, pixels=np.ascontiguousarray(self._frame.pixels[:, *window]))
        labels = segment(part, channels, self._detected).cells
        number = cell.label_in(labels, (top, left), pixel_um)
        return (labels, (top, left), number) if number else (self._whole, (0, 0), cell.cell)

    @functools.cached_property
    def _whole(self) -> Labels:
        return segment(self._frame, self._channels, self._detected).cells


def _shrunk(frame: formats.Frame, size_px: tuple[int, int]) -> NDArray[np.float32]:
    """Return the mean counts of DNA, CK and CD45 over the squares of a coarser grid."""
    planes = (frame.pixels[frame.roles.index(role)] for role in COLOURS)
    return np.stack([cv2.resize(plane, size_px[::-1], interpolation=cv2.INTER_AREA) for plane in planes])


def _white(*maxima: pd.Series) -> float:
    """Return the signal that is drawn white: what the brightest tenth of all cells or of those shown reach."""
    return max([1.0, *(float(some.quantile(BRIGHT)) for some in maxima if len(some))])


def merged(grey: Mapping[str, NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Return an RGB picture in which each role adds its colour."""
    shape = next(iter(grey.values())).shape
    total = np.zeros((*shape, 3), np.float32)
    for role, plane in grey.items():
        total += plane[..., None] * np.array(COLOURS.get(role, (0, 0, 0)), np.float32)
    return np.clip(total, 0, 255).round().astype(np.uint8)


def data_uri(image: NDArray[np.uint8], quality: int = LOSSLESS) -> Markup:
    """Return an image as a data URI of WebP; our own text, so it is not shortened."""
    bgr = image[..., ::-1] if image.ndim == 3 else image
    good, data = cv2.imencode(".webp", np.ascontiguousarray(bgr), [cv2.IMWRITE_WEBP_QUALITY, quality])
    assert good
    return Markup("data:image/webp;base64,{}").format(base64.b64encode(data.tobytes()).decode())
