"""Frames at reduced size: what detection keeps of each frame, so that no page has to read it again; and the overview.

How large a frame is in the picture of the slide is known only when all frames are. Detection keeps its mean counts
over a grid that is fine enough; `overview_table` brings them to the size in the picture, and on one grey scale.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from ctcascade.data.tables import TABLES, Row
from ctcascade.data.vocabulary import ROLES
from ctcascade.formats import Frame
from ctcascade.images import mosaic

Planes = NDArray[np.float32]

FINER = 1.25
"""Rows and columns that are kept, over those of a picture without gaps: frames that overlap by a fifth lose nothing."""


def reduced(frame: Frame, name: str, n_frames: int, style: mosaic.Style = mosaic.STYLE) -> Row:
    """Return the mean counts of DNA, CK and CD45 over the squares of a coarser grid, as a row of `tables.PLANES`.

    Parameters
    ----------
    frame : Frame
    name : str
    n_frames : int
        Of the sample: the more there are, the smaller each is in the picture of the slide.
    style : mosaic.Style, optional
    """
    height, width = frame.pixels.shape[1:]
    scale = min(1.0, FINER * math.sqrt(style.pixels / (n_frames * height * width)))
    rows, columns = (max(1, math.ceil(scale * side)) for side in (height, width))
    planes = {role: _resized(frame.pixels[frame.roles.index(role)], (rows, columns)) for role in ROLES}
    return {"frame": name, "rows": rows, "columns": columns} | {
        f"{role}_counts": plane.astype("<f4").tobytes() for role, plane in planes.items()
    }


def overview_table(frames: pd.DataFrame, kept: Iterable[pa.Table]) -> pd.DataFrame:
    """Return each usable frame as the picture of the slide shows it: `tables.OVERVIEW`, in the order of the frames.

    Parameters
    ----------
    frames : DataFrame
        The frames table of the whole sample.
    kept : iterable of pyarrow.Table
        Rows of `reduced`.
    """
    names = [column.name for column in TABLES["overview"].for_roles(ROLES)]
    arranged = mosaic.arrange(frames)
    rows: list[Row] = []
    if arranged is not None:
        usable = set(frames.loc[frames["usable"], "frame"])
        sizes = {p.frame: (p.rows_px, p.columns_px) for p in arranged.places if p.frame in usable}
        rows = list(_rows(frames, arranged, dict(_at_size(kept, sizes))))
    table = pd.DataFrame(rows, columns=names)
    return table.astype({f"{role}_pixels": object for role in ROLES})  # also where there are none


def _at_size(kept: Iterable[pa.Table], sizes: Mapping[str, tuple[int, int]]) -> Iterator[tuple[str, Planes]]:
    for part in kept:
        for row in part.to_pylist():
            if row["frame"] in sizes:
                shape = (row["rows"], row["columns"])
                planes = (np.frombuffer(row[f"{role}_counts"], "<f4").reshape(shape) for role in ROLES)
                yield row["frame"], np.stack([_resized(plane, sizes[row["frame"]]) for plane in planes])


def _rows(frames: pd.DataFrame, arranged: mosaic.Mosaic, small: Mapping[str, Planes]) -> Iterator[Row]:
    shades, contrasts = mosaic.shaded(arranged, small, len(ROLES))
    for name in frames["frame"]:
        if name in shades:
            shade = shades[name]
            row: Row = {"frame": name, "rows": shade.shape[1], "columns": shade.shape[2]}
            for role, plane, contrast in zip(ROLES, shade, contrasts, strict=True):
                row |= {f"{role}_pixels": plane.tobytes()}
                row |= {f"{role}_black": contrast.black, f"{role}_white": contrast.white}
            yield row


def _resized(plane: NDArray[Any], size_px: tuple[int, int]) -> Planes:
    if plane.shape == size_px:
        return np.asarray(plane, np.float32)
    return np.asarray(cv2.resize(plane, size_px[::-1], interpolation=cv2.INTER_AREA), np.float32)
