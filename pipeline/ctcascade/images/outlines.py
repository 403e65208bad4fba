"""Outlines: the pixels of each cell and of its nucleus in a few numbers, and back.

A mask is written as lengths of runs over the cell's bounding box, row by row: pixels outside, inside, outside ... by
turns. What is left of the box after the last run is outside.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ctcascade.data import store
from ctcascade.images.labels import Labels, runs_of

BOX = ["y0_px", "x0_px", "y1_px", "x1_px"]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Outline:
    """The pixels of one cell: masks over its bounding box (first row, first column, one past the last of each)."""

    frame: str
    cell: int
    box_px: tuple[int, int, int, int]
    in_cell: Bools
    in_nucleus: Bools


def outlines_table(frame: str, cells: Labels, nuclei: Labels, measured: pd.DataFrame) -> pa.Table:
    """Return the outlines of a frame's cells, one row a cell, as `tables.OUTLINES`.

    Parameters
    ----------
    frame : str
    cells, nuclei : ndarray of int32, shape (Y, X)
        Label images; a nucleus has the number of the cell that it lies in.
    measured : DataFrame
        The cells 1..N with their bounding boxes.
    """
    boxes = measured[BOX].to_numpy(np.int64).reshape(-1, 4)
    return pa.table(
        {
            "frame": pa.array([frame] * len(boxes), pa.string()),
            "cell": pa.array(np.arange(1, len(boxes) + 1)),
            **{name: pa.array(boxes[:, k]) for k, name in enumerate(BOX)},
            "cell_runs": encoded(cells, boxes),
            "nucleus_runs": encoded(nuclei, boxes),
        }
    )


def encoded(labels: Labels, boxes: NDArray[np.int64]) -> pa.ListArray:
    """Return the lengths of runs of the objects 1..N, each over its row of `boxes` (as `BOX`)."""
    runs = runs_of(labels)
    y, start, stop, label = runs[np.argsort(runs[:, 3], kind="stable")].astype(np.int64).T
    y0, x0, _, x1 = boxes[label - 1].T
    begin = (y - y0) * (x1 - x0) + start - x0
    end = begin + stop - start
    before = np.concatenate([[0], end[:-1]])
    before[np.flatnonzero(np.diff(label, prepend=0))] = 0
    lengths = np.stack([begin - before, end - begin], axis=1).ravel()
    offsets = np.concatenate([[0], 2 * np.cumsum(np.bincount(label, minlength=len(boxes) + 1)[1:])])
    return pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), pa.array(lengths))


def decoded(lengths: NDArray[np.int64], shape: tuple[int, int]) -> Bools:
    """Return the mask of lengths of runs."""
    mask = np.zeros(shape[0] * shape[1], np.bool_)
    inside = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)
    mask[: len(inside)] = inside
    return mask.reshape(shape)


def read_outlines(
    path: Path, frames: Collection[str], only: Collection[tuple[str, int]] | None = None
) -> Iterator[Outline]:
    """Yield the outlines of the cells of some frames, in the order of the table; of these only some cells, if given."""
    wanted = pa.array(sorted(frames), pa.string())
    for part in store.read_parts(path, "outlines"):
        found = part.filter(pc.is_in(part["frame"], wanted))
        if only is not None:
            pairs = zip(found["frame"].to_pylist(), found["cell"].to_pylist(), strict=True)
            found = found.filter(pa.array([pair in only for pair in pairs], pa.bool_()))
        for row in found.to_pylist():
            y0, x0, y1, x1 = (row[name] for name in BOX)
            in_cell, in_nucleus = (
                decoded(np.array(row[name], np.int64), (y1 - y0, x1 - x0)) for name in ("cell_runs", "nucleus_runs")
            )
            yield Outline(row["frame"], row["cell"], (y0, x0, y1, x1), in_cell, in_nucleus)
