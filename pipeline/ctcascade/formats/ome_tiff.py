"""One TIFF a frame: OME-TIFF with named channels, or plain pages in the order of the assay's channels."""

import re

from ctcascade.data.camera import Camera
from ctcascade.formats import tiff
from ctcascade.formats.described import describe, planes
from ctcascade.formats.folder import Folder
from ctcascade.formats.frame import Frame, FrameError, FrameRef, Layout, assemble, by_role, grouped, reading, sized

EXPECTED = "TIFF files, one a frame"
_SUFFIX = re.compile(r"(\.ome)?\.(tiff?)$", re.IGNORECASE)


def group(folder: Folder, camera: Camera) -> Layout:
    """Return the layout of one TIFF a frame; the frame is the name without ``.tif`` or ``.ome.tif``."""
    found = [(_SUFFIX.sub("", name), "", name) for name in folder.images if _SUFFIX.search(name)]
    ignored = [name for name in folder.images if not _SUFFIX.search(name)]
    return grouped("ome-tiff", "each TIFF is a frame", found, [*folder.others, *ignored], camera)


def read(ref: FrameRef, camera: Camera) -> Frame:
    """Return the frame of one TIFF."""
    path = ref.files[0]
    with reading("the file") as shapes, tiff.opened(path, shapes) as (file, pages):
        said = describe(file)
        found = planes(pages, said, path.stat().st_size)
        if said.n_channels not in (None, len(found)) or len(pages) not in (1, len(found)):
            raise FrameError(f"the metadata describe {said.n_channels} channels, the file has {len(pages)} pages")
        named = by_role(found, said.names, camera)
        pixels = {role: plane.read() for role, plane in named.items()}
    with sized(shapes):
        return assemble(pixels, camera, said.pixel_size_um, position_um=said.position_um)
