"""A sample's cells for other software: labels as OME-TIFF, outlines with calls and features as GeoJSON (QuPath)."""

import itertools
import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import cv2
import numpy as np
import pandas as pd
import tifffile
from numpy.typing import NDArray

from ctcascade.data import store
from ctcascade.data.errors import refuse
from ctcascade.data.vocabulary import CALLS
from ctcascade.formats import FrameError, FrameRef, listing, read
from ctcascade.images.segment import Segmentation, correct, segment

COLOURS = dict(
    zip(
        CALLS,
        ((255, 217, 0), (255, 33, 209), (240, 120, 0), (43, 107, 255), (130, 130, 130), (0, 190, 160)),
        strict=True,
    )
)
_BOX = ["y0_px", "x0_px", "y1_px", "x1_px"]
_LISTS = ("contacts", "contact_gaps_um")
_CHANGED = "run the workflow again on these images, or bring the ones that it ran on"


def export(sample: Path, base: Path, out: Path) -> list[Path]:
    """Write a sample's label images and outlines, and return the files of outlines.

    Parameters
    ----------
    sample : Path
        The sample's folder of results, with ``frames.parquet``, ``cells.parquet`` and ``calls.parquet``.
    base : Path
        The folder of the sample sheet, which image paths are relative to.
    out : Path
        Folder for ``labels/FRAME.ome.tif`` (uint32; nuclei, cells; the numbers of the cells table) and one
        ``NAME.geojson`` for each frame, or for each whole-slide image or CZI in the pixels of the whole.

    Raises
    ------
    InputError
        If a table cannot be read, or the images no longer give the cells of the table.

    Notes
    -----
    The frames are segmented again, with the settings that the tables were made with. An outline runs along the edges of
    the pixels, so that it encloses exactly the cell's pixels, holes included.
    """
    frames, cells, calls = (store.read_table(sample / f"{kind}.parquet", kind) for kind in ("frames", "cells", "calls"))
    settings = store.table_provenance(sample / "frames.parquet").settings
    listed = listing.list_frames(settings["images"], base, settings["format"], settings["assay"]).frames
    refs = {ref.frame: ref for ref in listed}
    usable = frames.loc[frames["usable"], "frame"].tolist()
    gone = [name for name in usable if name not in refs]
    if gone:
        refuse(base, settings["images"], f"no frame {gone[0]}", f"the frames of {sample / 'frames.parquet'}", _CHANGED)
    joined = cells.merge(calls.drop(columns=["y_px", "x_px"]), on=["frame", "cell"], how="left", validate="1:1")
    of_frame = dict(tuple(joined.groupby("frame", sort=False)))
    written = []
    for name, group in itertools.groupby((refs[frame] for frame in usable), key=_image):
        path = out / f"{name}.geojson"
        with store.whole(path) as part, open(part, "w", encoding="utf-8") as file:
            file.write('{"type":"FeatureCollection","features":[')
            before = "\n"
            for ref in group:
                own = of_frame.get(ref.frame, joined.iloc[:0])
                for feature in _frame(ref, own, settings, out):
                    file.write(before + json.dumps(feature, sort_keys=True, allow_nan=False, separators=(",", ":")))
                    before = ",\n"
            file.write("\n]}\n")
        written.append(path)
    return written


def _image(ref: FrameRef) -> str:
    """Return the name that a frame's outlines go under: the whole image's where it is a part of one."""
    if ref.box_px is None:
        return ref.frame
    if ref.format == "czi":  # the number of the sheet's part, the file, then scene and tile
        whole = re.match(rf"(\d+_)?{re.escape(Path(ref.path).stem)}", ref.frame)
        assert whole is not None
        return whole[0]
    return ref.frame.rsplit("_y", 1)[0]


def _frame(ref: FrameRef, cells: pd.DataFrame, settings: Mapping[str, Any], out: Path) -> Iterator[dict[str, Any]]:
    """Write the label image of a frame and yield its cells."""
    try:
        frame = read(ref, settings["assay"])
    except FrameError as error:
        refuse(ref.path, "", error, "the frame that the tables were made from", _CHANGED)
    planes = zip(frame.roles, frame.pixels, strict=True)
    found = segment(frame, {role: correct(plane, frame.pixel_size_um) for role, plane in planes}, settings)
    boxes = _boxes(found.cells)
    numbers = cells["cell"].to_numpy(np.int64)
    if numbers.max(initial=0) >= len(boxes) or not np.array_equal(boxes[numbers], cells[_BOX].to_numpy(np.int64)):
        refuse(ref.path, "", "other cells than in the table", "the images that the tables were made from", _CHANGED)
    counted = np.zeros(len(boxes), np.bool_)
    counted[numbers] = True
    _write_labels(out / "labels" / f"{ref.frame}.ome.tif", found, counted, frame.pixel_size_um)
    corner = ref.box_px[:2] if ref.box_px else (0, 0)
    for row in cells.to_dict("records"):
        yield _feature({str(key): value for key, value in row.items()}, found, corner)


def _boxes(labels: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return the bounding box of each label, by its number; zeros for 0."""
    count = int(labels.max(initial=0))
    y, x = np.nonzero(labels)
    number = labels[y, x]
    boxes = np.zeros((count + 1, 4), np.int64)
    boxes[1:, :2] = np.iinfo(np.int64).max
    for column, place in enumerate((y, x)):
        np.minimum.at(boxes[:, column], number, place)
        np.maximum.at(boxes[:, column + 2], number, place + 1)
    return boxes


def _feature(row: Mapping[str, Any], found: Segmentation, corner: tuple[int, int]) -> dict[str, Any]:
    """Return a cell as QuPath reads it."""
    y0, x0, y1, x1 = (int(row[name]) for name in _BOX)
    window = (slice(y0, y1), slice(x0, x1))
    place = (y0 + corner[0], x0 + corner[1])
    numbers = {
        name: float(f"{value:.6g}")
        for name, value in row.items()
        if name not in ("cell", "cluster", *_LISTS) and isinstance(value, int | float) and math.isfinite(value)
    }
    nucleus = outline(found.nuclei[window] == row["cell"], place)
    return {
        "type": "Feature",
        "geometry": outline(found.cells[window] == row["cell"], place),
        **({"nucleusGeometry": nucleus} if nucleus else {}),
        "properties": {
            "objectType": "cell",
            "name": f"{row['frame']} {row['cell']}",
            "classification": {"name": row["call"], "color": COLOURS[row["call"]]},
            "measurements": {name: value for name, value in numbers.items() if name not in _BOX},
            "metadata": {
                "frame": row["frame"],
                "cell": str(row["cell"]),
                "reason": row["reason"],
                **({"cluster": str(int(row["cluster"]))} if pd.notna(row["cluster"]) else {}),
            },
        },
    }


def outline(mask: NDArray[np.bool_], corner: tuple[int, int]) -> dict[str, Any] | None:
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


def _write_labels(path: Path, found: Segmentation, counted: NDArray[np.bool_], pixel_um: float) -> None:
    """Write nuclei and cells as OME-TIFF, without the cells that another frame counts."""
    stack = np.stack([np.where(counted[labels], labels, 0) for labels in (found.nuclei, found.cells)]).astype(np.uint32)
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
