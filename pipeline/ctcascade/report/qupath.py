"""A sample's cells for other software: labels as OME-TIFF, outlines with calls and features as GeoJSON (QuPath)."""

import itertools
import json
import math
import re
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import cv2
import numpy as np
import pandas as pd
import tifffile
from numpy.typing import NDArray
from pydantic import ValidationError

from ctcascade.calling.candidates import records
from ctcascade.data import lineage, store
from ctcascade.data.errors import refuse
from ctcascade.data.tables import Row
from ctcascade.data.vocabulary import CALLS
from ctcascade.formats import FrameRef, listing
from ctcascade.images.outlines import BOX, Outline, read_outlines
from ctcascade.study.jobs import DetectJob

COLOURS = dict(
    zip(
        CALLS,
        ((255, 217, 0), (255, 33, 209), (240, 120, 0), (43, 107, 255), (130, 130, 130), (0, 190, 160)),
        strict=True,
    )
)
_NAMES = uuid.UUID("6f5c1a52-3d0b-5a0e-9d8e-2f1d7c0a4b11")
"""Within which the ids of cells are made."""
_LISTS = ("contacts", "contact_gaps_um")
_CHANGED = "run the workflow again on these images, or bring the ones that it ran on"


def export(sample: Path, base: Path, out: Path) -> list[Path]:
    """Write a sample's label images and outlines, and return the files of outlines.

    Parameters
    ----------
    sample : Path
        The sample's folder of results, with the tables of frames, cells, calls and outlines.
    base : Path
        The folder of the sample sheet, which image paths are relative to.
    out : Path
        Folder for ``labels/FRAME.ome.tif`` (uint32; nuclei, cells; the numbers of the cells table) and one
        ``NAME.geojson`` for each frame, or for each whole-slide image or CZI in the pixels of the whole.

    Raises
    ------
    InputError
        If a table cannot be read, or an image is no longer there.

    Notes
    -----
    No pixel is read: the outlines are those of ``outlines.parquet``. The images are listed, because the place of a
    frame in a whole-slide image is known from there. An outline runs along the edges of the pixels, so that it encloses
    exactly the cell's pixels, holes included.
    """
    frames, cells, calls = (store.read_table(sample / f"{kind}.parquet", kind) for kind in ("frames", "cells", "calls"))
    tables = {kind: sample / f"{kind}.parquet" for kind in ("frames", "cells", "calls", "outlines")}
    job = _detected_with(sample / "frames.parquet")
    lineage.refuse_strangers(job.sample, tables)
    listed = listing.list_frames(job.images, base, job.format, job.assay).frames
    refs = {ref.frame: ref for ref in listed}
    usable = frames.loc[frames["usable"], "frame"].tolist()
    gone = [name for name in usable if name not in refs]
    if gone:
        refuse(
            base, ", ".join(job.images), f"no frame {gone[0]}", f"the frames of {sample / 'frames.parquet'}", _CHANGED
        )
    joined = cells.merge(calls.drop(columns=["y_px", "x_px"]), on=["frame", "cell"], how="left", validate="1:1")
    of_frame = dict(tuple(joined.groupby("frame", sort=False)))
    about = {row["frame"]: row for row in records(frames)}
    outlines = itertools.groupby(read_outlines(sample / "outlines.parquet", usable), key=lambda outline: outline.frame)
    upcoming = next(outlines, None)
    written = []
    for name, group in itertools.groupby((refs[frame] for frame in usable), key=_image):
        path = out / f"{name}.geojson"
        with store.whole(path) as part, open(part, "w", encoding="utf-8") as file:
            file.write('{"type":"FeatureCollection","features":[')
            before = "\n"
            for ref in group:
                own: list[Outline] = []
                if upcoming is not None and upcoming[0] == ref.frame:
                    own, upcoming = list(upcoming[1]), next(outlines, None)
                _write_labels(out / "labels" / f"{ref.frame}.ome.tif", own, about[ref.frame])
                rows = of_frame.get(ref.frame, joined.iloc[:0])
                for feature in _features(rows, own, ref, job.sample):
                    file.write(before + json.dumps(feature, sort_keys=True, allow_nan=False, separators=(",", ":")))
                    before = ",\n"
            file.write("\n]}\n")
        written.append(path)
    return written


def _detected_with(frames: Path) -> DetectJob:
    """Return the job that a sample's table of frames was made by."""
    try:
        return DetectJob.model_validate(store.table_provenance(frames).settings)
    except ValidationError as error:
        refuse(frames, "", error, "a table of frames of this version of ctcascade", "run the workflow again")


def _image(ref: FrameRef) -> str:
    """Return the name that a frame's outlines go under: the whole image's where it is a part of one."""
    if ref.box_px is None:
        return ref.frame
    if ref.format == "czi":  # the number of the sheet's part, the file, then scene and tile
        whole = re.match(rf"(\d+_)?{re.escape(Path(ref.path).stem)}", ref.frame)
        assert whole is not None
        return whole[0]
    return ref.frame.rsplit("_y", 1)[0]


def _features(cells: pd.DataFrame, outlines: Sequence[Outline], ref: FrameRef, sample: str) -> Iterator[dict[str, Any]]:
    """Yield the cells of a frame as QuPath reads them, in the order of the table."""
    of_cell = {outline.cell: outline for outline in outlines}
    corner = ref.box_px[:2] if ref.box_px else (0, 0)
    for row in records(cells):
        if row["cell"] not in of_cell:
            refuse("outlines.parquet", f"{row['frame']} {row['cell']}", "no outline", "those of all cells", _CHANGED)
        yield _feature(row, of_cell[row["cell"]], corner, sample)


def _feature(row: Row, outline: Outline, corner: tuple[int, int], sample: str) -> dict[str, Any]:
    """Return a cell as QuPath (0.4 and later) reads it.

    Its id is a UUID made of its names, so that the same cell has the same one each time.
    """
    place = (outline.box_px[0] + corner[0], outline.box_px[1] + corner[1])
    numbers = {
        name: float(f"{value:.6g}")
        for name, value in row.items()
        if name not in ("cell", "cluster", *_LISTS) and isinstance(value, int | float) and math.isfinite(value)
    }
    nucleus = geometry_of(outline.in_nucleus, place)
    return {
        "type": "Feature",
        "id": str(uuid.uuid5(_NAMES, f"{sample}/{row['frame']}/{row['cell']}")),
        "geometry": geometry_of(outline.in_cell, place),
        **({"nucleusGeometry": nucleus} if nucleus else {}),
        "properties": {
            "objectType": "cell",
            "name": f"{row['frame']} {row['cell']}",
            "classification": {"name": row["call"], "color": COLOURS[row["call"]]},
            "measurements": {name: value for name, value in numbers.items() if name not in BOX},
            "metadata": {
                "frame": row["frame"],
                "cell": str(row["cell"]),
                "reason": row["reason"],
                **({"cluster": str(int(row["cluster"]))} if pd.notna(row["cluster"]) else {}),
            },
        },
    }


def geometry_of(mask: NDArray[np.bool_], corner: tuple[int, int]) -> dict[str, Any] | None:
    """Return the GeoJSON geometry of a mask's pixels along their edges; None where there is none.

    Parameters
    ----------
    mask : ndarray of bool, shape (Y, X)
    corner : (int, int)
        Row and column of the mask's first pixel in the image.

    Returns
    -------
    dict
        A polygon, or a multi-polygon where the mask falls apart; x before y, as GeoJSON has it, closed rings.
    """
    if not mask.any():
        return None
    doubled = mask.repeat(2, axis=0).repeat(2, axis=1).astype(np.uint8)
    rings, tree = cv2.findContours(doubled, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    polygons: dict[int, list[list[list[int]]]] = {}
    for number, (ring, (_, _, _, parent)) in enumerate(zip(rings, tree[0], strict=True)):
        # a hole's contour runs through the pixels around it: their nearest edges are the hole's own
        edges = (ring[:, 0, ::-1] + 1) // 2
        polygons.setdefault(number if parent < 0 else int(parent), []).append(_ring(edges, corner))
    shapes = list(polygons.values())
    if len(shapes) == 1:
        return {"type": "Polygon", "coordinates": shapes[0]}
    return {"type": "MultiPolygon", "coordinates": shapes}


def _ring(edges: NDArray[Any], corner: tuple[int, int]) -> list[list[int]]:
    """Return a closed ring of corners (x, y): points where the way turns."""
    points = [tuple(point) for point in (edges + corner).tolist()]
    points = [p for k, p in enumerate(points) if p != points[k - 1]]
    n = len(points)
    turns = [
        points[k]
        for k in range(n)
        if (points[k][0] - points[k - 1][0]) * (points[(k + 1) % n][1] - points[k][1])
        != (points[k][1] - points[k - 1][1]) * (points[(k + 1) % n][0] - points[k][0])
    ]
    return [[x, y] for y, x in (*turns, turns[0])]


def _write_labels(path: Path, outlines: Sequence[Outline], frame: Row) -> None:
    """Write nuclei and cells as OME-TIFF, without the cells that another frame counts."""
    pixel_um = frame["pixel_size_um"]
    stack = np.zeros((2, frame["height_px"], frame["width_px"]), np.uint32)
    for outline in outlines:
        y0, x0, y1, x1 = outline.box_px
        for plane, mask in zip(stack, (outline.in_nucleus, outline.in_cell), strict=True):
            plane[y0:y1, x0:x1][mask] = outline.cell
    size = f'PhysicalSizeX="{pixel_um:g}" PhysicalSizeXUnit="um" PhysicalSizeY="{pixel_um:g}" PhysicalSizeYUnit="um"'
    channels = "".join(
        f'<Channel ID="Channel:0:{k}" Name="{name}" SamplesPerPixel="1"/>' for k, name in enumerate(("nuclei", "cells"))
    )
    data = "".join(f'<TiffData FirstC="{k}" IFD="{k}" PlaneCount="1"/>' for k in range(2))
    xml = (
        '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        f'<Image ID="Image:0" Name={quoteattr(path.name.removesuffix(".ome.tif"))}>'
        f'<Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint32" SizeX="{stack.shape[2]}" SizeY="{stack.shape[1]}" '
        f'SizeC="2" SizeZ="1" SizeT="1" {size}>{channels}{data}</Pixels></Image></OME>'
    )
    with store.whole(path) as part:
        tifffile.imwrite(
            part, stack, compression="zlib", photometric="minisblack", description=xml, metadata=None, software=False
        )
