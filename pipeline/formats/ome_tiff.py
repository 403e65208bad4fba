"""One TIFF a frame: OME-TIFF with named channels, or plain pages in the order of the assay's channels."""

import re
import struct
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

import numpy as np
import tifffile
from numpy.typing import NDArray

from pipeline.errors import plain
from pipeline.formats.frame import (
    Frame,
    FrameError,
    FrameRef,
    Layout,
    assemble,
    check_size,
    grouped,
    reading,
    role_of,
    sized,
)

_SUFFIX = re.compile(r"(\.ome)?\.(tiff?)$", re.IGNORECASE)
_MAX_PAGES = 64
_UM = {"µm": 1.0, "um": 1.0, "μm": 1.0, "nm": 1e-3, "mm": 1e3, "m": 1e6, "pm": 1e-6, "Å": 1e-4}


def group(names: Sequence[str], assay: Mapping[str, Any]) -> Layout:
    """Return the layout of one TIFF a frame; the frame is the name without ``.tif`` or ``.ome.tif``."""
    found = [(_SUFFIX.sub("", name), "", name) for name in names if _SUFFIX.search(name)]
    ignored = [name for name in names if not _SUFFIX.search(name)]
    return grouped("ome-tiff", "each TIFF is a frame", found, ignored, assay)


def read(ref: FrameRef, assay: Mapping[str, Any]) -> Frame:
    """Return the frame of one TIFF."""
    path = ref.files[0]
    with reading("the file") as shapes:
        size = path.stat().st_size
        if size == 0:
            raise FrameError("the file is empty (0 bytes)")
        with tifffile.TiffFile(path) as tiff:
            pages = _pages(tiff)
            shapes.append(pages[0].shape)
            refuse_truncated(pages, size)
            _refuse_lost_pages(tiff, pages[-1].offset, size)
            names, pixel_size_um, order = _described(tiff.ome_metadata, len(pages))
            names = names or _in_order(len(pages), assay)
            planes = _planes(pages, names, order, assay)
    with sized(shapes):
        return assemble(planes, assay, pixel_size_um)


def _pages(tiff: tifffile.TiffFile) -> list[Any]:
    """Return the file's pages after a look at what their headers claim; nothing is decoded yet."""
    if not len(tiff.pages):
        raise FrameError("a TIFF without a page")
    if len(tiff.pages) > _MAX_PAGES:
        raise FrameError(f"{len(tiff.pages)} pages; at most {_MAX_PAGES} make up a frame")
    pages = [page.aspage() for page in tiff.pages]
    for page in pages:
        if len(page.shape) != 2:
            raise FrameError(f"a page of shape {page.shape}; grey pages are expected, one a channel")
        check_size(*page.shape)
    return pages


def refuse_truncated(pages: Sequence[Any], size: int) -> None:
    """Refuse TIFF pages whose headers say more than a file of `size` bytes can hold."""
    for page in pages:
        if any(start + length > size for start, length in zip(page.dataoffsets, page.databytecounts, strict=True)):
            raise FrameError("truncated: the file ends before its pixels do")
        if page.compression == 1 and page.nbytes > size:
            raise FrameError("truncated: the header declares more pixels than the file holds")


def _refuse_lost_pages(tiff: tifffile.TiffFile, last: int, size: int) -> None:
    """Refuse a file whose last readable page, at the offset `last`, points to a further one beyond the file's end."""
    form, handle = tiff.tiff, tiff.filehandle
    handle.seek(last)
    (tags,) = struct.unpack(form.tagnoformat, handle.read(form.tagnosize))
    handle.seek(last + form.tagnosize + tags * form.tagsize)
    (following,) = struct.unpack(form.offsetformat, handle.read(form.offsetsize))
    if following >= size:
        raise FrameError("truncated: the file ends before its last page does")


def _described(xml: str | None, n_pages: int) -> tuple[list[str], float | None, list[int]]:
    """Return channel names, pixel size and the page of each channel from OME metadata; nothing where there is none."""
    if not xml:
        return [], None, []
    if "<!DOCTYPE" in xml or "<!ENTITY" in xml:
        raise FrameError("OME metadata with entity definitions")
    root = ElementTree.fromstring(xml)  # noqa: S314 - no entity definitions are left in it
    pixels = root.find(".//{*}Pixels")
    if pixels is None:
        return [], None, []
    names = [channel.get("Name", "").strip() for channel in pixels.findall("{*}Channel")]
    if int(pixels.get("SizeZ", 1)) * int(pixels.get("SizeT", 1)) != 1:
        raise FrameError("a stack in depth or time; one plane a channel is expected")
    if len(names) != n_pages:
        raise FrameError(f"OME metadata describes {len(names)} channels, the file has {n_pages} pages")
    if not any(names):
        names = []
    order = list(range(n_pages))
    for data in pixels.findall("{*}TiffData"):
        if data.get("FirstC") is not None and data.get("IFD") is not None and int(data.get("PlaneCount", 1)) == 1:
            order[int(data.get("FirstC", 0))] = int(data.get("IFD", 0))
    return names, _pixel_size_um(pixels), order


def _pixel_size_um(pixels: ElementTree.Element) -> float | None:
    size, unit = pixels.get("PhysicalSizeX"), pixels.get("PhysicalSizeXUnit", "µm")
    if size is None or unit not in _UM:
        return None
    pixel_size_um = float(size) * _UM[unit]
    if not 0.01 <= pixel_size_um <= 20:
        raise FrameError(f"a pixel size of {plain(size)} {plain(unit)}")
    return pixel_size_um


def _in_order(n_pages: int, assay: Mapping[str, Any]) -> list[str]:
    """Return a name for each page of a TIFF that names none: the assay's channels, if there are as many."""
    roles = list(assay["channels"])
    if n_pages != len(roles):
        raise FrameError(f"{n_pages} pages without channel names; the assay has {len(roles)} channels")
    return [assay["channels"][role][0] for role in roles]


def _planes(
    pages: list[Any], names: Sequence[str], order: Sequence[int], assay: Mapping[str, Any]
) -> dict[str, NDArray[Any]]:
    planes: dict[str, NDArray[Any]] = {}
    for number, name in enumerate(names):
        role = role_of(name, assay["channels"])
        if role in planes:
            raise FrameError(f"two channels are {role}")
        if role is not None:
            planes[role] = np.asarray(pages[order[number] if order else number].asarray())
    return planes
