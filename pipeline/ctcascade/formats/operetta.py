"""Fields of an Operetta or Opera Phenix plate, one file a channel, as ``Index.idx.xml`` beside them lists them.

The index names the channel of each file, its pixel size and its place; the tag of resolution in the files is not read.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from ctcascade.data.camera import Camera
from ctcascade.data.errors import plain, refuse
from ctcascade.formats import planes
from ctcascade.formats.folder import Folder
from ctcascade.formats.frame import UM, Frame, FrameRef, Layout, grouped, role_of
from ctcascade.formats.markup import MarkupError, parse
from ctcascade.formats.scenes import well_of

EXPECTED = "Index.idx.xml of an Operetta with the files that it lists"
_INDEX = "index.idx.xml"
_COPY_AGAIN = "copy it again from the instrument"


def group(folder: Folder, camera: Camera) -> Layout:
    """Return the layout of the files that an index lists; a frame is a field of a well, ``r03c03f01``.

    Raises
    ------
    InputError
        If the index cannot be read, or lists several planes in depth or time, or pixels of several sizes.
    """
    index = next((name for name in folder.others if name.lower() == _INDEX), "")
    if not index:
        return Layout("operetta", "no Index.idx.xml", ignored=(*folder.others, *folder.images))
    path, there = folder.path / index, set(folder.images)
    try:
        root = parse(path.read_bytes())
    except MarkupError as error:
        refuse(path, "", error, "the index that the instrument wrote", _COPY_AGAIN)
    images = [image for image in root.iter() if image.tag.rpartition("}")[2] == "Image" and _text(image, "URL")]
    none_known = not any(role_of(_text(image, "ChannelName"), camera.channels) for image in images)
    found, sizes, wells = [], set[float](), dict[str, str]()
    for image in images:
        name, channel = _text(image, "URL"), _text(image, "ChannelName")
        if name not in there or not (none_known or role_of(channel, camera.channels)):
            continue
        if any(_text(image, axis) not in ("", first) for axis, first in (("PlaneID", "1"), ("TimepointID", "0"))):
            refuse(path, name, "a stack in depth or time", "one plane a channel", "export one plane or a projection")
        frame = "r{:>02}c{:>02}f{:>02}".format(*(_text(image, word) for word in ("Row", "Col", "FieldID")))
        row, column = _text(image, "Row"), _text(image, "Col")
        if row.isdecimal() and column.isdecimal() and int(row) and int(column):
            wells[frame] = well_of(int(row) - 1, int(column) - 1)
        found.append((frame, channel, name))
        sizes |= {size for axis in "XY" if (size := _size(image, axis))}
    if len(sizes) > 1 and max(sizes) / min(sizes) > 1.01:
        refuse(path, "", f"pixels of {min(sizes):g} and of {max(sizes):g} um", "one size of square pixels", _COPY_AGAIN)
    used = {name for _, _, name in found}
    ignored = [*folder.beside(index), *(name for name in folder.images if name not in used)]
    why = f"{plain(index)} says which file is which channel and how large pixels are"
    layout = grouped("operetta", why, found, ignored, camera)
    return replace(
        layout,
        sidecars=(index,),
        pixel_size_um=min(sizes, default=None),
        groups={frame: wells[frame] for frame in layout.frames if frame in wells},
        scenes={frame: (frame,) for frame in layout.frames},
    )


def read(ref: FrameRef, camera: Camera) -> Frame:
    """Return the frame of one field."""
    return planes.read(ref, camera)


def _text(image: Any, name: str) -> str:
    return Path(image.findtext(f"{{*}}{name}") or "").name.strip()


def _size(image: Any, axis: str) -> float | None:
    """Return the edge of a pixel along an axis, um."""
    element = image.find(f"{{*}}ImageResolution{axis}")
    if element is None or element.get("Unit") not in UM:
        return None
    return float(element.text or 0) * UM[element.get("Unit")] or None
