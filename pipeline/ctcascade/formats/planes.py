"""One file a channel: ``{frame}_{channel}.jpg`` and the like, as the assay's pattern says."""

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ctcascade.data.camera import Camera
from ctcascade.data.errors import plain
from ctcascade.formats import guard
from ctcascade.formats.described import Described, described_alone
from ctcascade.formats.folder import PICTURES, Folder
from ctcascade.formats.frame import (
    Frame,
    FrameError,
    FrameRef,
    Layout,
    assemble,
    bytes_of,
    grouped,
    reading,
    role_of,
    sized,
)
from ctcascade.formats.tiff import SUFFIXES, Lost, Plane, grey, written

Image.MAX_IMAGE_PIXELS = None  # the guard refuses large images, before they are decoded
EXPECTED = "files named {files} with the assay's channel names"


_GREY = ("L", "I;16", "I;16B", "I")
_OTHER_SIZE = 0.01


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
    """Return the frame of one file a channel, each plane by its path brought back to the camera's scale.

    A `ceiling` says that `restored` has done so.
    """
    found: dict[str, NDArray[Any]] = {}
    lost: dict[str, Lost] = {}
    shapes: list[tuple[int, int]] = []
    sizes, depths = [ref.pixel_size_um] if ref.pixel_size_um else [], list[int]()
    with sized(shapes):
        for channel, path in zip(ref.channels, ref.files, strict=True):
            role = role_of(channel, camera.channels)
            if role is not None:
                plane, said, lost[role] = _plane(path, role, camera, shapes)
                found[role] = restored(path, plane)
                sizes += [said.pixel_size_um] if said.pixel_size_um else []
                depths += [said.bits] if said.bits else []
        if sizes and max(sizes) / min(sizes) - 1 > _OTHER_SIZE:
            raise FrameError(f"the channels' files state pixels of {min(sizes):g} and of {max(sizes):g} um")
        alike = len({plane.shape for plane in found.values()}) == 1
        return assemble(
            found,
            camera,
            sizes[0] if sizes else None,
            ceiling,
            ref.position_um,
            written([(found[role], lost[role]) for role in found]) if alike else 1.0,
            bits=max(depths, default=None),
            restored=ceiling is not None,
            one_file=False,
            names=ref.channels,
        )


def _plane(
    path: Path, role: str, camera: Camera, shapes: list[tuple[int, int]]
) -> tuple[NDArray[Any], Described, Lost]:
    """Return one grey plane, what its file says and lacks; of a pseudo-coloured picture the brightest of its colours.

    Its size goes into `shapes`.
    """
    said, lost = Described(), Lost()
    with reading(path.name):
        data = bytes_of(path)
        if path.suffix.lower() in SUFFIXES:
            with guard.open_tiff(data, path.name) as file:
                number, said = _page_of(file, path.name, role, camera)
                page = file.pages[number].aspage()
                guard.check_pages([page], len(data))
                shapes.append((page.imagelength, page.imagewidth))
                plane, lost = Plane(page).read()
                if plane.ndim == 2:
                    return grey(plane, page, said.stored_counts), said, lost
                plane = np.moveaxis(plane, 0, -1) if page.axes == "SYX" else plane
        else:
            # from memory: with a broken length in a PNG, Pillow would try to read gigabytes from a file
            with Image.open(io.BytesIO(data), formats=guard.PICTURES) as image:
                shapes.append((image.height, image.width))
                guard.check_picture(data, image.height, image.width, len(image.getbands()))
                plane = np.asarray(image if image.mode in _GREY else image.convert("RGB"))
    return (plane[..., :3].max(axis=2) if plane.ndim == 3 else plane), said, lost


def _page_of(file: Any, name: str, role: str, camera: Camera) -> tuple[int, Described]:
    """Return the page of a file that holds the channel that its name says, and what the file says of itself.

    Raises
    ------
    FrameError
        If the header names another channel, or there are several pages and none or more than one is named so.
    """
    said = described_alone(file)
    names = said.known_names(camera)
    roles = [role_of(channel, camera.channels) for channel in names]
    numbers = list(said.pages or range(len(file.pages)))
    if said.in_one:
        raise FrameError(f"{name} holds {said.n_channels} planes, where its name says one channel, {role}")
    if len(numbers) == 1:
        if roles and roles[0] not in (None, role):
            raise FrameError(f"{name} is {role} by its name, and {plain(names[0])} by its header")
        return numbers[0], said
    mine = [number for number, its_role in zip(numbers, roles, strict=False) if its_role == role]
    if len(mine) != 1:
        told = f", named {', '.join(map(plain, names))}" if any(names) else ""
        raise FrameError(f"{name} holds {len(numbers)} planes{told}, where its name says one channel, {role}")
    return mine[0], said
