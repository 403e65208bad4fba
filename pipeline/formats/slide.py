"""Whole-slide images: one large TIFF, tiled or pyramidal, that is read as overlapping frames and never whole.

Only the full resolution is read. A frame is at most 2,000 pixels wide and high and shares 64 um with the next, so that
every cell, and nearly every cluster, lies whole in one of them; `pipeline.overlap` sees that each is counted once.
"""

import contextlib
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import tifffile

from pipeline.errors import refuse
from pipeline.formats import tiff
from pipeline.formats.described import Described, describe, planes
from pipeline.formats.folder import Folder
from pipeline.formats.frame import (
    MAX_PIXELS,
    Box,
    Frame,
    FrameError,
    FrameRef,
    Layout,
    assemble,
    grouped,
    reading,
    sized,
)
from pipeline.formats.ome_tiff import by_role

EXPECTED = "whole-slide TIFF files, tiled or in strips, with one grey plane a channel"
_SUFFIX = re.compile(r"(\.ome)?\.(tiff?)$", re.IGNORECASE)
_WHOLE_PX = 3000  # an image that is no longer than this is one frame
_SIDE_PX = 2000
_LARGEST_PX = 10**11
_OVERLAP_UM = 64.0  # more than the largest nucleus that is looked for


def is_large(path: Path) -> bool:
    """Return whether a TIFF is larger than a frame; False for what is no TIFF."""
    try:
        with reading("the file"), tifffile.TiffFile(path) as file:
            page = file.pages.first
            return max(page.imagelength, page.imagewidth) > _WHOLE_PX
    except FrameError:
        return False


def group(folder: Folder, assay: Mapping[str, Any]) -> Layout:
    """Return the layout of large TIFFs, each cut into frames; the header of each file is read.

    A frame is named as the file, with its first row and column where it is not all of it.

    Raises
    ------
    InputError
        If the header of a file cannot be read, or says more than its data can hold: how much of the slide is missing
        would not be known.
    """
    names = [name for name in folder.images if _SUFFIX.search(name)]
    boxes: dict[str, Box] = {}
    positions: dict[str, tuple[float, float]] = {}
    found = []
    for name in names:
        stem = _SUFFIX.sub("", name)
        shape, pixel_um = _size(folder.path / name, float(assay["pixel_size_um"]))
        cut = list(_cut(shape, math.ceil(_OVERLAP_UM / pixel_um)))
        found += [(stem, "", name)] if len(cut) == 1 else []
        for box in cut if len(cut) > 1 else ():
            frame = f"{stem}_y{box[0]}_x{box[1]}"
            boxes[frame], positions[frame] = box, (box[0] * pixel_um, box[1] * pixel_um)
            found.append((frame, "", name))
    ignored = [*folder.others, *(name for name in folder.images if name not in names)]
    why = f"TIFFs of more than {_WHOLE_PX} pixels, in frames of at most {_SIDE_PX} that overlap by {_OVERLAP_UM:g} um"
    return replace(grouped("slide", why, found, ignored, assay), boxes=boxes, positions_um=positions)


def read(ref: FrameRef, assay: Mapping[str, Any]) -> Frame:
    """Return one frame of an image, and decode only the tiles or strips that it needs."""
    path = ref.files[0]
    with reading("the file") as shapes, _opened(path) as (pages, said, size):
        box = ref.box_px or (0, 0, *pages[0].shape)
        shapes.append((box[2] - box[0], box[3] - box[1]))
        if box[2] > pages[0].shape[0] or box[3] > pages[0].shape[1]:
            raise FrameError("the file has become smaller since its frames were listed")
        found = by_role(planes(pages, said, size), said.names, assay)
        pixels = {role: plane.read(box) for role, plane in found.items()}
    with sized(shapes):
        return assemble(pixels, assay, said.pixel_size_um, position_um=ref.position_um)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[list[Any], Described, int]]:
    """Open an image; yield its pages of full resolution, what it says of itself, and its bytes."""
    size = path.stat().st_size
    if size == 0:
        raise FrameError("the file is empty (0 bytes)")
    with tifffile.TiffFile(path) as file:
        said = describe(file)
        first = file.pages.first
        if said.pages:
            pages = [file.pages[k].aspage() for k in range(min(max(said.pages) + 1, len(file.pages)))]
            full = [pages[k] for k in said.pages if k < len(pages)]
        else:
            alike = (page for page in (p.aspage() for p in file.pages) if page.shape == first.shape)
            pages = full = [page for page in alike if not page.is_reduced]
        for page in full:
            _check(page, pages[0].shape, size)
        yield pages, said, size


def _check(page: Any, shape: tuple[int, ...], size: int) -> None:
    """Refuse a page that is no plane of the image, or that its data cannot hold; the image may be as large as it is."""
    if len(page.shape) != 2 or page.shape != shape:
        raise FrameError(f"a page of shape {page.shape} beside one of {shape}; grey pages of one size are expected")
    if math.prod(shape) > _LARGEST_PX:
        raise FrameError(f"an image of {shape[0]} x {shape[1]} pixels; at most {_LARGEST_PX} are read")
    rows, columns = tiff.segment_shape(page)
    if not 1 <= rows * columns <= MAX_PIXELS and not page.is_contiguous:
        raise FrameError(f"strips or tiles of {rows} x {columns} pixels; at most {MAX_PIXELS} are read: save it tiled")
    needed = -(-shape[0] // rows) * -(-shape[1] // columns)
    if len(page.dataoffsets) != needed or len(page.databytecounts) != needed:
        raise FrameError(f"{len(page.dataoffsets)} strips or tiles, where its size needs {needed}")
    if page.is_contiguous and page.dataoffsets[0] + page.nbytes > size:
        raise FrameError("truncated: the file ends before its pixels do")


def _size(path: Path, pixel_um: float) -> tuple[tuple[int, int], float]:
    """Return rows and columns of an image, and the edge of its pixels or, where it is silent, `pixel_um`."""
    try:
        with reading("the file"), _opened(path) as (pages, said, _):
            return pages[0].shape, said.pixel_size_um or pixel_um
    except FrameError as error:
        refuse(path, "", error, EXPECTED, "copy it again, or take it out of the folder")


def _cut(shape: tuple[int, int], overlap: int) -> Iterator[Box]:
    """Yield boxes of nearly equal size that cover an image and overlap their neighbours; one box where it is small."""
    if max(shape) <= _WHOLE_PX:
        yield (0, 0, *shape)
        return
    ends = []
    for length in shape:
        shared = min(overlap, _SIDE_PX // 4)
        n = max(1, math.ceil((length - shared) / (_SIDE_PX - shared)))
        side = math.ceil((length + (n - 1) * shared) / n)
        starts = [round(k * (length - side) / max(n - 1, 1)) for k in range(n)]
        ends.append([(start, start + side) for start in starts])
    for y0, y1 in ends[0]:
        for x0, x1 in ends[1]:
            yield y0, x0, y1, x1
