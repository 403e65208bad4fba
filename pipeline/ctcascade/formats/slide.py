"""Whole-slide images: one large TIFF, tiled or pyramidal, read as overlapping frames and never whole.

Only the full resolution is read.
"""

import contextlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ctcascade.data.camera import Camera
from ctcascade.formats import guard, parts, tiff
from ctcascade.formats.decoding import reading, sized
from ctcascade.formats.depth import one_plane, refuse_stack
from ctcascade.formats.described import Described, describe, planes
from ctcascade.formats.folder import Folder
from ctcascade.formats.frame import Frame, FrameError, FrameRef, Layout, assemble, by_role, is_unnamed

EXPECTED = "whole-slide TIFF files, tiled or in strips, with one grey plane a channel"
_SUFFIX = re.compile(r"(\.ome)?\.(tiff?|qptiff|stk|svs)$", re.IGNORECASE)


def is_large(path: Path) -> bool:
    """Return whether a TIFF is larger than a frame; False for a file that is not a TIFF."""
    try:
        with reading("the file"):
            tags = guard.first_tags(path)
            sides = [tags.get(code) for code in guard.SIDES]
            if all(side is not None and side <= parts.WHOLE_PX for side in sides):
                return False
            with guard.open_tiff(path) as file:
                page = file.pages.first
                guard.check_whole(page.imagelength, page.imagewidth)  # a broken frame is no slide
                return max(page.imagelength, page.imagewidth) > parts.WHOLE_PX
    except FrameError:
        return False


def group(folder: Folder, camera: Camera) -> Layout:
    """Return the layout of large TIFFs, each cut into frames; the header of each file is read.

    Raises
    ------
    InputError
        If the header of a file cannot be read, or claims more than its data can hold.
    """
    stems = {name: _SUFFIX.sub("", name) for name in folder.images if _SUFFIX.search(name)}
    what = f"TIFFs of more than {parts.WHOLE_PX} pixels"
    return parts.layout("slide", what, EXPECTED, folder, stems, _size, camera)


def read(ref: FrameRef, camera: Camera) -> Frame:
    """Return one frame of an image; only the tiles or strips that it needs are decoded."""
    path = ref.files[0]
    with reading("the file") as shapes, _opened(path) as (pages, said, size):
        box = ref.box_px or (0, 0, *pages[0].shape)
        shapes.append((box[2] - box[0], box[3] - box[1]))
        if box[2] > pages[0].shape[0] or box[3] > pages[0].shape[1]:
            raise FrameError("the file has become smaller since its frames were listed")
        refuse_stack(said.depth, 1, camera)
        names = said.known_names(camera)
        found, shares = by_role(planes(pages, said, size), names, camera), []

        def at(z: int, roles: Sequence[str]) -> dict[str, NDArray[Any]]:
            pixels, share = tiff.read_planes({role: found[role][z] for role in roles}, said.stored_counts, box)
            shares.append(share)
            return pixels

        pixels = one_plane(at, list(found), said.depth, camera)
    with sized(shapes):
        return assemble(
            pixels,
            camera,
            said.pixel_size_um,
            position_um=ref.position_um,
            written=min(shares),
            bits=said.bits,
            named=not is_unnamed(names, camera),
            names=names,
            exposure_ms=by_role(said.exposure_ms, names, camera) if said.exposure_ms else None,
        )


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[list[Any], Described, int]]:
    """Open an image; yield its pages of full resolution, its metadata, and its size in bytes."""
    size = path.stat().st_size
    with guard.open_tiff(path) as file:
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
    """Refuse a page that is not a plane of the image, or that its data cannot hold; the image may be large."""
    if len(page.shape) != 2 or page.shape != shape:
        raise FrameError(f"a page of shape {page.shape} beside one of {shape}; grey pages of one size are expected")
    guard.check_whole(*page.shape)
    guard.check_page(page, size)
    guard.check_cost(guard.written_bytes(page), size)


def _size(path: Path) -> tuple[tuple[int, int], float | None]:
    with _opened(path) as (pages, said, _):
        return pages[0].shape, said.pixel_size_um
