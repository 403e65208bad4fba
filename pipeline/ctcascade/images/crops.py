"""The pixels that a sample's page shows of single cells, cut out once: candidates and CTC clusters.

Pictures are 8-bit. All pictures of a channel share one contrast, from the background to the maxima of its bright cells,
so that cells can be compared by eye.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ctcascade import formats
from ctcascade.calling.candidates import (
    UNSHOWN,
    beside,
    candidates_of,
    cluster_members,
    near_misses,
    records,
    typical_leukocytes,
    unlike_of,
)
from ctcascade.data import lineage, store
from ctcascade.data.camera import Camera
from ctcascade.data.errors import refuse
from ctcascade.data.results.counts import Layout, TableProvenance
from ctcascade.data.tables import TABLES, Row
from ctcascade.formats import image_files, listing
from ctcascade.formats.known_images import KnownImages
from ctcascade.images.background import correct
from ctcascade.images.labels import Floats
from ctcascade.images.outlines import BOX, Outline, read_outlines
from ctcascade.images.registration import moved_back
from ctcascade.study.detection_settings import BackgroundSettings
from ctcascade.study.jobs import CropsJob


@dataclass(frozen=True)
class Style:
    """How cells are cut out and drawn.

    Attributes
    ----------
    min_side_um : float
        Side of the smallest window around a cell.
    margin : float
        Side of a window over the longer side of its cell or cluster.
    max_side_px : int
        Side of the largest picture; a larger window is scaled down.
    white_quantile : float
        Quantile of the cells' maxima that is drawn white.
    min_contrast : float
        Least signal that is drawn white, in standard deviations of the background's noise: noise alone stays dark.
    """

    min_side_um: float = 28.0
    margin: float = 1.5
    max_side_px: int = 72
    white_quantile: float = 0.9
    min_contrast: float = 12.0


STYLE = Style()


@dataclass(frozen=True)
class Window:
    """A square of a frame around a candidate or a cluster; it may reach beyond the frame."""

    kind: str
    frame: str
    cells: tuple[int, ...]
    top: int
    left: int
    side: int

    @classmethod
    def around(cls, rows: Sequence[Row], pixel_um: float, style: Style = STYLE) -> "Window":
        """Return the window around cells (rows of calls joined with cells) of one frame."""
        y0, x0 = (int(min(row[key] for row in rows)) for key in BOX[:2])
        y1, x1 = (int(max(row[key] for row in rows)) for key in BOX[2:])
        side = round(max(style.min_side_um / pixel_um, style.margin * max(y1 - y0, x1 - x0)))
        top, left = round((y0 + y1 - side) / 2), round((x0 + x1 - side) / 2)
        kind = "cell" if len(rows) == 1 else "cluster"
        return cls(kind, rows[0]["frame"], tuple(int(row["cell"]) for row in rows), top, left, side)

    def row(self, pixel_um: float | None, **other: Any) -> Row:
        """Return the window as a row of `tables.CROPS`, without a picture where `other` gives none."""
        box = (self.top, self.left, self.top + self.side, self.left + self.side)
        about = {"kind": self.kind, "frame": self.frame, "cells": list(self.cells), **dict(zip(BOX, box, strict=True))}
        return {**about, "pixel_size_um": pixel_um, "rows": 0, "columns": 0, "masks": None, "problem": "", **other}


def crops(
    job: CropsJob,
    base: Path,
    frames: Path,
    cells: Path,
    calls: Path,
    outlines: Path,
    out: Path,
    style: Style = STYLE,
    known: Path | None = None,
) -> None:
    """Write the pictures that a sample's page shows.

    Parameters
    ----------
    job : CropsJob
    base : Path
        Folder that image paths are relative to.
    frames, cells, calls, outlines : Path
        Tables of the sample.
    out : Path
        Table to write, as `tables.CROPS`: candidates, those in doubt first, then the most CTC-like of the other cells,
        typical leukocytes, the cells most unlike them, and clusters, the largest first.
        Its provenance names the layout that the images were read as.
    style : Style, optional
    known : Path, optional
        List of what images held when they were last read (`known_images`).

    Raises
    ------
    InputError
        If a table cannot be read, or was made from other images than those that are there now. A frame that cannot be
        decoded is not an error: the reason takes the place of its pictures.
    """
    cv2.setNumThreads(1)  # a job uses the one core that it asked for
    camera = job.assay
    listed = listing.list_frames(job.images, base, job.format, camera)
    measured = [f"{role}_{name}" for role in camera.channels for name in ("max", "mean")]
    wanted = ["frame", "cell", "y_px", "x_px", "equivalent_diameter_um", *BOX, *measured]
    lineage.refuse_strangers(job.sample, {"frames": frames, "cells": cells, "calls": calls, "outlines": outlines})
    _refuse_other_images(job, frames, listed, KnownImages(known) if known else None)
    frame_table = store.read_table(frames, "frames")
    seen = beside(store.read_table(calls, "calls", UNSHOWN), store.read_table(cells, "cells", only=wanted))
    found = candidates_of(seen)
    single = [
        *records(found.head(job.pictured)),
        *near_misses(seen, job.compared),
        *typical_leukocytes(seen, job.compared),
        *unlike_of(seen),
    ]
    shown = [*([row] for row in single), *cluster_members(found, job.max_thumbnails)]
    pixel_um = dict(zip(frame_table["frame"], frame_table["pixel_size_um"].astype(float), strict=True))
    windows = [Window.around(rows, pixel_um[rows[0]["frame"]], style) for rows in shown]
    white = {
        role: max(
            _white(style.white_quantile, seen[f"{role}_max"], found[f"{role}_max"]),
            style.min_contrast * _noise(frame_table, role),
        )
        for role in camera.channels
    }
    refs = {ref.frame: ref for ref in listed.frames}
    rows = _cut(frame_table, windows, white, _outlines(outlines, windows), refs, job, style)
    inputs = {"frames": frames, "cells": cells, "calls": calls, "outlines": outlines}
    made_by = TableProvenance(
        **store.provenance(job, inputs).model_dump(exclude_unset=True),
        layout=Layout(format=listed.format, why=listed.why),
    )
    columns = TABLES["crops"].for_roles(camera.channels)
    table = pd.DataFrame(rows, columns=[column.name for column in columns])
    pixels = {column.name: object for column in columns if column.dtype == "bytes"}  # also where there are none
    store.write_table(out, "crops", table.astype(pixels), made_by)


def _refuse_other_images(job: CropsJob, frames: Path, listed: listing.FrameList, known: KnownImages | None) -> None:
    """Refuse images that are not those that the tables were made from: pages would show cells of other blood."""
    made_from = store.table_provenance(frames).images
    if made_from and image_files.digest_of_content(listed, known) != made_from:
        found = f"images that are not those that {frames.name} was made from"
        todo = "start the run again: detection is made again"
        refuse(", ".join(job.images), "", found, "the images that were detected in", todo)


def _outlines(path: Path, windows: Sequence[Window]) -> dict[tuple[str, int], Outline]:
    wanted = {(window.frame, cell) for window in windows for cell in window.cells}
    return {(one.frame, one.cell): one for one in read_outlines(path, {frame for frame, _ in wanted}, wanted)}


def _cut(
    frames: pd.DataFrame,
    windows: Sequence[Window],
    white: Mapping[str, float],
    outlines: Mapping[tuple[str, int], Outline],
    refs: Mapping[str, formats.FrameRef],
    job: CropsJob,
    style: Style,
) -> list[Row]:
    """Return the rows of the windows; only frames with windows are read, each once, and one at a time."""
    moved = _moved(frames, job.assay.channels)
    of_frame = defaultdict(list)
    for number, window in enumerate(windows):
        of_frame[window.frame].append(number)
    done: dict[int, Row] = {}
    for name, numbers in sorted(of_frame.items()):
        try:
            frame = _read(name, refs, job.assay)
        except formats.FrameError as error:
            done |= {number: windows[number].row(None, problem=str(error)) for number in numbers}
            continue
        own = [windows[number] for number in numbers]
        cut = _pictures(frame, moved[name], own, white, outlines, job.background, style)
        done |= dict(zip(numbers, cut, strict=True))
    return [done[number] for number in range(len(windows))]


def _read(name: str, refs: Mapping[str, formats.FrameRef], camera: Camera) -> formats.Frame:
    if name not in refs:
        raise formats.FrameError("the frame is no longer there")
    try:
        return formats.read(refs[name], camera)
    except formats.FrameError as error:
        raise formats.FrameError(f"the frame cannot be read now: {error}") from error


def _moved(frames: pd.DataFrame, roles: Iterable[str]) -> dict[str, dict[str, tuple[int, int]]]:
    """Return by frame and role by how many rows and columns detection moved the channel, to lie upon DNA."""
    by = {role: zip(frames[f"{role}_moved_y_px"], frames[f"{role}_moved_x_px"], strict=True) for role in roles}
    pairs = {role: [(int(y), int(x)) for y, x in each] for role, each in by.items()}
    return {name: {role: pairs[role][row] for role in pairs} for row, name in enumerate(frames["frame"])}


def _pictures(
    frame: formats.Frame,
    moved: Mapping[str, tuple[int, int]],
    windows: Sequence[Window],
    white: Mapping[str, float],
    outlines: Mapping[tuple[str, int], Outline],
    background: BackgroundSettings,
    style: Style,
) -> Iterator[Row]:
    """Yield the row of each window of a frame."""
    px = frame.pixel_size_um
    signals = {
        role: moved_back(correct(plane, px, background, step).signal, moved[role]) for role, plane, step in frame.planes
    }
    for window in windows:
        row = window.row(frame.pixel_size_um, masks=_masks(window, outlines))
        for role, signal in signals.items():
            if role in white:
                shade = _shade(signal, white[role], window, style.max_side_px)
                row["rows"], row["columns"] = shade.shape
                row |= {f"{role}_pixels": shade.tobytes(), f"{role}_black": 0.0, f"{role}_white": white[role]}
        yield row


def _masks(window: Window, outlines: Mapping[tuple[str, int], Outline]) -> bytes:
    """Return a mask in which each cell of the window has its number within the window, from 1."""
    masks = np.zeros((window.side, window.side), "<u2")
    for place, cell in enumerate(window.cells, start=1):
        if outline := outlines.get((window.frame, cell)):
            y, x = np.nonzero(outline.in_cell)
            masks[y + outline.box_px[0] - window.top, x + outline.box_px[1] - window.left] = place
    return masks.tobytes()


def _shade(signal: Floats, white: float, window: Window, max_side_px: int) -> NDArray[np.uint8]:
    """Return a window of a plane as 0 (background) to 255 (white); black outside the frame."""
    shade = np.zeros((window.side, window.side), np.uint8)
    y, x = max(window.top, 0), max(window.left, 0)
    part = signal[y : window.top + window.side, x : window.left + window.side]
    grey = (255 * np.clip(part / white, 0, 1)).round().astype(np.uint8)
    shade[y - window.top : y - window.top + part.shape[0], x - window.left : x - window.left + part.shape[1]] = grey
    if window.side <= max_side_px:
        return shade
    return np.asarray(cv2.resize(shade, (max_side_px, max_side_px), interpolation=cv2.INTER_AREA), np.uint8)


def _noise(frames: pd.DataFrame, role: str) -> float:
    """Return the median noise of a channel's background, or zero where no frame could be measured."""
    noise = frames[f"{role}_noise"].median()
    return float(noise) if noise > 0 else 0.0


def _white(quantile: float, *maxima: "pd.Series[float]") -> float:
    """Return the signal that is drawn white: the quantile of the maxima of all cells or of those shown, if larger."""
    return max([1.0, *(float(some.quantile(quantile)) for some in maxima if len(some))])
