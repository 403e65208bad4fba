"""One TIFF a frame: OME-TIFF with named channels, or plain pages in the order of the assay's channels."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.formats import tiff
from pipeline.formats.described import describe, planes
from pipeline.formats.folder import Folder
from pipeline.formats.frame import Frame, FrameError, FrameRef, Layout, assemble, grouped, reading, role_of, sized

EXPECTED = "TIFF files, one a frame"
_SUFFIX = re.compile(r"(\.ome)?\.(tiff?)$", re.IGNORECASE)


def group(folder: Folder, assay: Mapping[str, Any]) -> Layout:
    """Return the layout of one TIFF a frame; the frame is the name without ``.tif`` or ``.ome.tif``."""
    found = [(_SUFFIX.sub("", name), "", name) for name in folder.images if _SUFFIX.search(name)]
    ignored = [name for name in folder.images if not _SUFFIX.search(name)]
    return grouped("ome-tiff", "each TIFF is a frame", found, [*folder.others, *ignored], assay)


def read(ref: FrameRef, assay: Mapping[str, Any]) -> Frame:
    """Return the frame of one TIFF."""
    path = ref.files[0]
    with reading("the file") as shapes, tiff.opened(path, shapes) as (file, pages):
        said = describe(file)
        found = planes(pages, said, path.stat().st_size)
        if said.n_channels not in (None, len(found)) or len(pages) not in (1, len(found)):
            raise FrameError(f"the metadata describe {said.n_channels} channels, the file has {len(pages)} pages")
        named = by_role(found, said.names, assay)
        pixels = {role: plane.read() for role, plane in named.items()}
    with sized(shapes):
        return assemble(pixels, assay, said.pixel_size_um, position_um=said.position_um)


def by_role(found: Sequence[tiff.Plane], names: Sequence[str], assay: Mapping[str, Any]) -> dict[str, tiff.Plane]:
    """Return the planes by role; those that no name is given for are the assay's channels, if there are as many.

    Raises
    ------
    FrameError
        If two planes have one role, or there are others than the assay's channels and no names.
    """
    if not names:
        if len(found) != len(assay["channels"]):
            raise FrameError(
                f"{len(found)} pages without channel names; the assay has {len(assay['channels'])} channels"
            )
        return dict(zip(assay["channels"], found, strict=True))
    named: dict[str, tiff.Plane] = {}
    for name, plane in zip(names, found, strict=True):
        role = role_of(name, assay["channels"])
        if role in named:
            raise FrameError(f"two channels are {role}")
        if role is not None:
            named[role] = plane
    return named
