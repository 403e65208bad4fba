"""Images larger than a frame: cut into frames that overlap, of which each is read by itself.

A frame is at most 2,000 pixels wide and high and shares 64 um with the next, so that every cell, and nearly every
cluster, lies whole in one of them; `ctcascade.images.overlap` sees that each is counted once.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from ctcascade.data.camera import Camera
from ctcascade.data.errors import refuse
from ctcascade.formats.folder import Folder
from ctcascade.formats.frame import Box, FrameError, Layout, grouped, reading

WHOLE_PX = 3000
"""An image that is no longer than this is one frame."""
LARGEST_PX = 10**11
"""Pixels a channel of a whole image; one that declares more is refused."""
_SIDE_PX = 2000
_OVERLAP_UM = 64.0  # more than the largest nucleus that is looked for
HOW = f"in frames of at most {_SIDE_PX} pixels that overlap by {_OVERLAP_UM:g} um"
"""What is done with images, in words."""

Header = TypeVar("Header")
Size = Callable[[Path], tuple[tuple[int, int], float | None]]


def layout(
    fmt: str, what: str, expected: str, folder: Folder, stems: Mapping[str, str], size: Size, camera: Camera
) -> Layout:
    """Return the layout of large images, each cut into frames; the header of each is read.

    A frame is named as its image, with its first row and column where it is not all of it.

    Parameters
    ----------
    fmt, what, expected : str
        The reader, what its images are called, and which files it expects.
    folder : Folder
    stems : mapping of str to str
        Name of each image to that of its frames.
    size : callable
        Gives rows and columns of an image, and the edge of its pixels in um or None.
    camera : Camera

    Raises
    ------
    InputError
        If the header of an image cannot be read, or says more than its data can hold: how much of the slide is missing
        would not be known.
    """
    boxes: dict[str, Box] = {}
    positions: dict[str, tuple[float, float]] = {}
    found = []
    for name, stem in stems.items():
        shape, pixel_um = header(folder.path / name, expected, size)
        pixel_um = pixel_um or camera.pixel_size_um
        cut = list(cuts(shape, pixel_um))
        found += [(stem, "", name)] if len(cut) == 1 else []
        for box in cut if len(cut) > 1 else ():
            frame = f"{stem}_y{box[0]}_x{box[1]}"
            boxes[frame], positions[frame] = box, (box[0] * pixel_um, box[1] * pixel_um)
            found.append((frame, "", name))
    ignored = [*folder.others, *(name for name in folder.images if name not in stems)]
    return replace(grouped(fmt, f"{what}, {HOW}", found, ignored, camera), boxes=boxes, positions_um=positions)


def header(path: Path, expected: str, look: Callable[[Path], Header]) -> Header:
    """Return what `look` finds in the header of an image; raise an `InputError` with what is expected otherwise."""
    try:
        with reading("the file"):
            return look(path)
    except FrameError as error:
        refuse(path, "", error, expected, "copy it again, or take it out of the folder")


def cuts(shape: tuple[int, int], pixel_um: float) -> Iterator[Box]:
    """Yield boxes of nearly equal size that cover an image and overlap their neighbours; one box where it is small."""
    if max(shape) <= WHOLE_PX:
        yield (0, 0, *shape)
        return
    overlap = math.ceil(_OVERLAP_UM / pixel_um)
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
