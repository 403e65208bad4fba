"""One file a channel: ``{frame}_{channel}.jpg`` and the like, as the assay's pattern says."""

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from ctcascade.data.camera import Camera
from ctcascade.formats.folder import PICTURES, Folder
from ctcascade.formats.frame import (
    Frame,
    FrameError,
    FrameRef,
    Layout,
    assemble,
    bytes_of,
    check_size,
    grouped,
    reading,
    role_of,
    sized,
)
from ctcascade.formats.tiff import SUFFIXES, refuse_truncated

Image.MAX_IMAGE_PIXELS = None  # check_size refuses large images, before they are decoded
EXPECTED = "files named {files} with the assay's channel names"


_MOST_PER_BYTE = 8 * 1032  # pixels of one bit under deflate's best ratio, of which JPEG's falls short
_GREY = ("L", "I;16", "I;16B", "I")


def group(folder: Folder, camera: Camera) -> Layout:
    """Return the layout of files named by the assay's pattern; unknown channels are ignored."""
    pattern = camera.files
    if not pattern:
        return Layout("files", "the assay gives no pattern of file names", ignored=(*folder.others, *folder.images))
    order = re.escape(pattern).replace(r"\{frame\}", "(?P<frame>.+)").replace(r"\{channel\}", "(?P<channel>.+)")
    known = sorted((n for ns in camera.channels.values() for n in ns), key=len, reverse=True)
    order = order.replace("(?P<channel>.+)", f"(?P<channel>{'|'.join(map(re.escape, known))})")
    matcher = re.compile(order + r"\.[A-Za-z]+", re.IGNORECASE)
    matches = [(name, name.lower().endswith(PICTURES) and matcher.fullmatch(name)) for name in folder.images]
    found = [(match["frame"], match["channel"], name) for name, match in matches if match]
    ignored = [*folder.others, *(name for name, match in matches if not match)]
    return grouped("files", f"file names follow {pattern}", found, ignored, camera)


def read(ref: FrameRef, camera: Camera) -> Frame:
    """Return the frame whose channels are separate files."""
    return assembled(ref, camera, lambda _, plane: plane, None)


def assembled(
    ref: FrameRef,
    camera: Camera,
    restored: Callable[[Path, NDArray[Any]], NDArray[Any]],
    ceiling: float | None,
) -> Frame:
    """Return the frame whose channels are separate files; `restored` converts each plane to the camera's counts."""
    found: dict[str, NDArray[Any]] = {}
    shapes: list[tuple[int, int]] = []
    with sized(shapes):
        for channel, path in zip(ref.channels, ref.files, strict=True):
            role = role_of(channel, camera.channels)
            if role is not None:
                found[role] = restored(path, _plane(path, shapes))
        return assemble(found, camera, ref.pixel_size_um, ceiling, ref.position_um)


def _plane(path: Path, shapes: list[tuple[int, int]]) -> NDArray[Any]:
    """Return one grey plane; for a pseudo-coloured picture the maximum of its colours. Its size goes into `shapes`."""
    with reading(path.name):
        data = bytes_of(path)
        size = len(data)
        if path.suffix.lower() in SUFFIXES:
            with tifffile.TiffFile(io.BytesIO(data)) as tiff:
                page = tiff.pages.first
                check_size(page.imagelength, page.imagewidth)
                shapes.append((page.imagelength, page.imagewidth))
                refuse_truncated([page], size)
                plane = page.asarray()
                plane = np.moveaxis(plane, 0, -1) if page.axes == "SYX" else plane
        else:
            # from memory: with a broken length in a PNG, Pillow would try to read gigabytes from a file
            with Image.open(io.BytesIO(data)) as image:
                check_size(image.height, image.width)
                if image.height * image.width > _MOST_PER_BYTE * size:
                    raise FrameError("truncated: the header declares more pixels than the file can hold")
                shapes.append((image.height, image.width))
                plane = np.asarray(image if image.mode in _GREY else image.convert("RGB"))
    return plane[..., :3].max(axis=2) if plane.ndim == 3 else plane
