"""One file a channel: ``{frame}_{channel}.jpg`` and the like, as the assay's pattern says."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ctcascade.data.camera import Camera
from ctcascade.data.errors import plain
from ctcascade.data.vocabulary import ROLES
from ctcascade.formats import guard
from ctcascade.formats.decoding import bytes_of, reading, sized
from ctcascade.formats.depth import refuse_stack
from ctcascade.formats.described import Described, described_alone, planes
from ctcascade.formats.folder import PICTURES, Folder, look_into
from ctcascade.formats.frame import Frame, FrameError, FrameRef, Layout, assemble, grouped, role_of
from ctcascade.formats.pictures import STRETCHED, flags_of, of_picture, one_colour, red_green_blue
from ctcascade.formats.tiff import SUFFIXES, Lost, Plane, grey, written

Image.MAX_IMAGE_PIXELS = None  # the guard refuses large images, before they are decoded
EXPECTED = "files named {files} with the assay's channel names"


_JPEG, _JPEG_BEGINS = (6, 7), b"\xff\xd8"
_OTHER_SIZE = 0.01
_THUMB = "_thumb"  # ImageXpress writes one beside each picture


def group(folder: Folder, camera: Camera) -> Layout:
    """Return the layout of files named by the assay's pattern; unknown channels and thumbnails are ignored.

    With a pattern such as ``{channel}/{frame}`` the files lie in sub-folders, which are listed too.
    """
    pattern = camera.files
    if not pattern:
        return Layout("files", "the assay gives no pattern of file names", ignored=(*folder.others, *folder.images))
    matcher = _matcher(pattern, camera)
    inside = _in_subfolders(folder) if "/" in pattern else []
    pictures = inside or [name for name in folder.images if name.lower().endswith(PICTURES)]
    matches = ((name, matcher.fullmatch(name)) for name in pictures if _THUMB not in name.rpartition("/")[2].lower())
    found = [(match["frame"], match["channel"], name) for name, match in matches if match]
    used = {name for _, _, name in found}
    ignored = [*folder.beside(*used), *(name for name in (*folder.images, *inside) if name not in used)]
    return grouped("files", f"file names follow {pattern}", found, ignored, camera)


def _matcher(pattern: str, camera: Camera) -> re.Pattern[str]:
    """Return what a file name must be: the pattern with the assay's channel names, and a suffix."""
    known = sorted((n for names in camera.channels.values() for n in names), key=len, reverse=True)
    words = {
        "{frame}": "(?P<frame>[^/]+)",
        "{channel}": f"(?P<channel>{'|'.join(map(re.escape, known))})",
        "{guid}": "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}",
        "*": "[^/]*?",
    }
    parts = (words.get(part, re.escape(part)) for part in re.split(r"(\{frame\}|\{channel\}|\{guid\}|\*)", pattern))
    return re.compile("".join(parts) + r"\.[A-Za-z]+", re.IGNORECASE)


def _in_subfolders(folder: Folder) -> list[str]:
    """Return the pictures in the folders of a folder."""
    below = (name for name in folder.others if (folder.path / name).is_dir())
    inside = (f"{name}/{picture}" for name in below for picture in look_into(folder.path / name).images)
    return [name for name in inside if name.lower().endswith(PICTURES)]


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
    exposures: dict[str, float] = {}
    notes: list[str] = []
    shapes: list[tuple[int, int]] = []
    sizes, depths = [ref.pixel_size_um] if ref.pixel_size_um else [], list[int]()
    with sized(shapes):
        for channel, path in zip(ref.channels, ref.files, strict=True):
            role = role_of(channel, camera.channels)
            if role is not None:
                plane, said, lost[role], flags = _plane(path, role, camera, shapes)
                notes += flags
                exposures |= {role: said.exposure_ms[0]} if len(said.exposure_ms) == 1 else {}
                found[role] = restored(path, plane)
                sizes += [said.pixel_size_um] if said.pixel_size_um else []
                depths += [said.bits] if said.bits else []
        if not found:
            named = ", ".join(map(plain, dict.fromkeys(ref.channels)))
            raise FrameError(f"channel missing: {', '.join(ROLES)}; the file names {named}")
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
            exposure_ms=exposures,
            notes=tuple(dict.fromkeys(notes)),
        )


def _plane(
    path: Path, role: str, camera: Camera, shapes: list[tuple[int, int]]
) -> tuple[NDArray[Any], Described, Lost, tuple[str, ...]]:
    """Return one grey plane, what its file says and lacks, and flags: a picture in colour, a JPEG of low quality.

    Its size goes into `shapes`.
    """
    said, lost, flags = Described(), Lost(), tuple[str, ...]()
    with reading(path.name):
        data = bytes_of(path)
        if path.suffix.lower() in SUFFIXES:
            with guard.open_tiff(data, path.name) as file:
                stack, said = _stack_of(file, path.name, role, camera, len(data))
                page = stack[0].page
                guard.check_pages([each.page for each in stack], len(data))
                shapes.append((page.imagelength, page.imagewidth))
                plane, lost = stack[0].read()
                if plane.ndim == 2:
                    for deeper in stack[1:]:
                        plane = np.maximum(plane, deeper.read()[0])
                    return grey(plane, page, said.stored_counts), said, lost, ()
                plane = red_green_blue(np.moveaxis(plane, 0, -1) if page.axes == "SYX" else plane, page)
                lossy = page.compression in _JPEG
        else:
            plane, lossy = of_picture(data, shapes), data[:2] == _JPEG_BEGINS
            flags = flags_of(data)
    if plane.ndim == 2:
        return plane, said, lost, flags
    bright, coloured = one_colour(plane, lossy)
    return bright, said, lost, (*((STRETCHED,) if coloured else ()), *flags)


def _stack_of(file: Any, name: str, role: str, camera: Camera, size: int) -> tuple[tuple[Plane, ...], Described]:
    """Return the planes in depth of the channel that a file's name says, and what the file says of itself.

    Raises
    ------
    FrameError
        If the header names another channel, there are several and none or more than one is named so, or there is a
        stack in depth and the assay does not say `z: max`: each file by itself does not know the plane of the others.
    """
    said = described_alone(file)
    names = said.known_names(camera)
    roles = [role_of(channel, camera.channels) for channel in names]
    first = file.pages.first.aspage()
    coloured = len(first.shape) > 2 and not said.pages
    stacks = [(Plane(first),)] if coloured else planes([page.aspage() for page in file.pages], said, size)
    held = said.n_channels if said.in_one else len(stacks)
    if held == 1:
        if roles and roles[0] not in (None, role):
            raise FrameError(f"{name} is {role} by its name, and {plain(names[0])} by its header")
        mine = stacks
    else:
        mine = [stack for stack, its_role in zip(stacks, roles, strict=False) if its_role == role]
    if len(mine) != 1:
        told = f", named {', '.join(map(plain, names))}" if any(names) else ""
        raise FrameError(f"{name} holds {held} planes{told}, where its name says one channel, {role}")
    refuse_stack(len(mine[0]), 1, camera)
    if len(mine[0]) > 1 and camera.z != "max":
        raise FrameError(f"{name} is a stack of {len(mine[0])} planes in depth; of one file a channel write z: max")
    return mine[0], said
