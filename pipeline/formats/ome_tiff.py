"""One TIFF a frame: OME-TIFF with named channels, or plain pages in the order of the assay's channels."""

import re
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import plain
from pipeline.formats import tiff
from pipeline.formats.folder import Folder
from pipeline.formats.frame import Frame, FrameError, FrameRef, Layout, assemble, grouped, reading, role_of, sized
from pipeline.formats.markup import MarkupError, parse

EXPECTED = "TIFF files, one a frame"
_SUFFIX = re.compile(r"(\.ome)?\.(tiff?)$", re.IGNORECASE)
_UM = {"µm": 1.0, "um": 1.0, "μm": 1.0, "nm": 1e-3, "mm": 1e3, "m": 1e6, "pm": 1e-6, "Å": 1e-4}


def group(folder: Folder, assay: Mapping[str, Any]) -> Layout:
    """Return the layout of one TIFF a frame; the frame is the name without ``.tif`` or ``.ome.tif``."""
    found = [(_SUFFIX.sub("", name), "", name) for name in folder.images if _SUFFIX.search(name)]
    ignored = [name for name in folder.images if not _SUFFIX.search(name)]
    return grouped("ome-tiff", "each TIFF is a frame", found, [*folder.others, *ignored], assay)


def read(ref: FrameRef, assay: Mapping[str, Any]) -> Frame:
    """Return the frame of one TIFF."""
    with reading("the file") as shapes, tiff.opened(ref.files[0], shapes) as (file, pages):
        names, pixel_size_um, order = _described(file.ome_metadata, len(pages))
        names = names or in_order(len(pages), assay)
        planes = named(pages, names, order, assay)
    with sized(shapes):
        return assemble(planes, assay, pixel_size_um)


def _described(xml: str | None, n_pages: int) -> tuple[list[str], float | None, list[int]]:
    """Return channel names, pixel size and the page of each channel from OME metadata; nothing where there is none."""
    if not xml:
        return [], None, []
    try:
        pixels = parse(xml).find(".//{*}Pixels")
    except MarkupError as error:
        raise FrameError(f"OME metadata: {error}") from error
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
    across, down = (_size_um(pixels, axis) for axis in "XY")
    if across and down and abs(across / down - 1) > 0.01:
        raise FrameError(f"pixels of {down:g} x {across:g} um (y, x); square ones are expected")
    return across


def _size_um(pixels: ElementTree.Element, axis: str) -> float | None:
    size, unit = pixels.get(f"PhysicalSize{axis}"), pixels.get(f"PhysicalSize{axis}Unit", "µm")
    if size is None or unit not in _UM:
        return None
    size_um = float(size) * _UM[unit]
    if not 0.01 <= size_um <= 20:
        raise FrameError(f"a pixel size of {plain(size)} {plain(unit)}")
    return size_um


def in_order(n_pages: int, assay: Mapping[str, Any]) -> list[str]:
    """Return a name for each page of a TIFF that names none: the assay's channels, if there are as many."""
    roles = list(assay["channels"])
    if n_pages != len(roles):
        raise FrameError(f"{n_pages} pages without channel names; the assay has {len(roles)} channels")
    return [assay["channels"][role][0] for role in roles]


def named(
    pages: list[Any], names: Sequence[str], order: Sequence[int], assay: Mapping[str, Any]
) -> dict[str, NDArray[Any]]:
    """Return the planes by role of pages whose channels have these names; a foreign channel is not decoded."""
    planes: dict[str, NDArray[Any]] = {}
    for number, name in enumerate(names):
        role = role_of(name, assay["channels"])
        if role in planes:
            raise FrameError(f"two channels are {role}")
        if role is not None:
            planes[role] = np.asarray(pages[order[number] if order else number].asarray())
    return planes
