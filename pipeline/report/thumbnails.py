"""Small pictures of single cells: one merged in colour and one of each channel in grey, with outline and scale bar.

All pictures of a channel share one contrast, from background to what its bright cells reach, so that cells can be
compared by eye. Colours can be told apart with any common colour vision: DNA blue, CK yellow, CD45 magenta.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from markupsafe import Markup
from numpy.typing import NDArray

from pipeline import formats, index
from pipeline.report.axes import path as svg_path
from pipeline.segment import Channel, Floats, Labels, correct, segment

COLOURS = {"dna": (0.17, 0.42, 1.0), "ck": (1.0, 0.85, 0.0), "cd45": (1.0, 0.13, 0.82)}
"""Red, green and blue share of each role in the merged picture; further roles are shown in grey only."""
NAMES = {"dna": "DNA", "ck": "CK", "cd45": "CD45"}
SMALLEST_UM = 28.0
MARGIN = 1.5
LARGEST_PX = 72
BAR_UM = 10.0
BRIGHT = 0.9
"""The quantile of the cells' maxima that is drawn white."""


@dataclass(frozen=True)
class Spot:
    """Where to look in which frame: the bounding box of one cell or of a cluster, and the centres to mark."""

    frame: str
    box_px: tuple[int, int, int, int]
    centres_px: tuple[tuple[float, float], ...]
    cells: tuple[int, ...]

    @classmethod
    def around(cls, rows: Sequence[Mapping[str, Any]]) -> "Spot":
        """Return the spot of cells (rows of calls joined with cells) of one frame."""
        y0, x0 = (int(min(r[k] for r in rows)) for k in ("y0_px", "x0_px"))
        y1, x1 = (int(max(r[k] for r in rows)) for k in ("y1_px", "x1_px"))
        centres = tuple((float(r["y_px"]), float(r["x_px"])) for r in rows)
        return cls(rows[0]["frame"], (y0, x0, y1, x1), centres, tuple(int(r["cell"]) for r in rows))


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
    """Cuts pictures out of a sample's frames; each frame is read once a call, and only if something in it is shown.

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
        self.listed = index.list_frames(sample["images"], base, sample["format"], self._assay)
        self._refs = {ref.frame: ref for ref in self.listed.frames}
        self.roles = [role for role in self._assay["channels"] if f"{role}_max" in cells]
        self._white = {role: _white(cells[f"{role}_max"], shown[f"{role}_max"]) for role in self.roles}

    def of(self, spots: Sequence[Spot]) -> list[Picture]:
        """Return one picture a spot, in their order."""
        done: dict[int, Picture] = {}
        for name in sorted({spot.frame for spot in spots}):
            here = [i for i, spot in enumerate(spots) if spot.frame == name]
            if name not in self._refs:
                done |= dict.fromkeys(here, Picture(problem="the frame is no longer there"))
                continue
            try:
                frame = formats.read(self._refs[name], self._assay)
            except formats.FrameError as error:
                done |= dict.fromkeys(here, Picture(problem=f"the frame cannot be read now: {error}"))
                continue
            planes = dict(zip(frame.roles, frame.pixels, strict=True))
            channels = {role: correct(plane, frame.pixel_size_um) for role, plane in planes.items()}
            labels = segment(frame, channels, self._detected).cells
            done |= {i: self._cut(channels, labels, frame.pixel_size_um, spots[i]) for i in here}
        return [done[i] for i in range(len(spots))]

    def _cut(self, channels: Mapping[str, Channel], labels: Labels, pixel_um: float, spot: Spot) -> Picture:
        y0, x0, y1, x1 = spot.box_px
        side = round(max(SMALLEST_UM / pixel_um, MARGIN * max(y1 - y0, x1 - x0)))
        square = (round((y0 + y1 - side) / 2), round((x0 + x1 - side) / 2), side)
        grey = {r: self._shade(channels[r].signal / self._white[r], square) for r in self.roles if r in channels}
        views = [("merged", _uri(_merge(grey))), *((NAMES.get(r, r.upper()), _uri(g)) for r, g in grey.items())]
        top, left, _ = square
        return Picture(
            views=views,
            side=side,
            outlines=[path for cell in spot.cells for path in _outline(labels, cell, square)],
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


def _outline(labels: Labels, cell: int, square: tuple[int, int, int]) -> list[Markup]:
    """Return the outline of a cell in the square's units, one path a part, through the middle of its edge pixels."""
    top, left, side = square
    y, x = max(top, 0), max(left, 0)
    mask = (labels[y : top + side, x : left + side] == cell).astype(np.uint8)
    rings, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return [
        svg_path([(px + x - left + 0.5, py + y - top + 0.5) for px, py in ring[:, 0, :].tolist()], closed=True)
        for ring in rings
    ]


def _white(*maxima: pd.Series) -> float:
    """Return the signal that is drawn white: what the brightest tenth of all cells or of those shown reach."""
    return max([1.0, *(float(some.quantile(BRIGHT)) for some in maxima if len(some))])


def _merge(grey: Mapping[str, NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Return an RGB picture in which each role adds its colour."""
    shape = next(iter(grey.values())).shape
    total = np.zeros((*shape, 3), np.float32)
    for role, plane in grey.items():
        total += plane[..., None] * np.array(COLOURS.get(role, (0, 0, 0)), np.float32)
    return np.clip(total, 0, 255).round().astype(np.uint8)


def _uri(image: NDArray[np.uint8]) -> Markup:
    """Return an image as a data URI of lossless WebP; our own text, so it is not shortened."""
    bgr = image[..., ::-1] if image.ndim == 3 else image
    good, data = cv2.imencode(".webp", np.ascontiguousarray(bgr), [cv2.IMWRITE_WEBP_QUALITY, 101])
    assert good
    return Markup("data:image/webp;base64,{}").format(base64.b64encode(data.tobytes()).decode())
