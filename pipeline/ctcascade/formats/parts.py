"""Images larger than a frame: cut into overlapping frames, each of which is read on its own.

A frame is at most 2,000 pixels wide and high and overlaps the next by 64 um, so that every cell, and nearly every
cluster, is whole in one of them; `ctcascade.images.overlap` counts each only once.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from ctcascade.data.camera import Camera
from ctcascade.data.errors import refuse
from ctcascade.formats import guard
from ctcascade.formats.decoding import reading
from ctcascade.formats.folder import Folder
from ctcascade.formats.frame import Box, FrameError, Layout, grouped

WHOLE_PX = 3000
"""An image whose longer side is at most this is one frame."""
_SIDE_PX = 2000
_OVERLAP_UM = 64.0  # more than the largest nucleus that is searched for
HOW = f"in frames of at most {_SIDE_PX} pixels that overlap by {_OVERLAP_UM:g} um"
"""How images are divided, in words."""

Header = TypeVar("Header")
Size = Callable[[Path], tuple[tuple[int, int], float | None]]


def layout(
    fmt: str, what: str, expected: str, folder: Folder, stems: Mapping[str, str], size: Size, camera: Camera
) -> Layout:
    """Return the layout of large images, each cut into frames; the header of each is read.

    A frame has the name of its image, with its first row and column if it is only a part of it.

    Parameters
    ----------
    fmt, what, expected : str
        The reader, what its images are called, and which files it expects.
    folder : Folder
    stems : mapping of str to str
        Maps the name of each image to the name of its frames.
    size : callable
        Returns the rows and columns of an image, and its pixel size in um or None.
    camera : Camera

    Raises
    ------
    InputError
        If the header of an image cannot be read, or claims more than its data can hold: it would be unknown how much of
        the slide is missing.
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
    """Return what `look` finds in the header of an image; if it fails, refuse the image and say what is expected."""
    try:
        with reading("the file"):
            return look(path)
    except OSError as error:
        refuse(path, "", error, "a file that can be read now", "run again once the file can be read")
    except FrameError as error:
        refuse(path, "", error, expected, "copy it again, or take it out of the folder")


def cuts(shape: tuple[int, int], pixel_um: float) -> Iterator[Box]:
    """Yield boxes of nearly equal size that cover an image and overlap their neighbours; one box for a small image."""
    rows, columns = cut_sides(shape, pixel_um)
    for y0, y1 in rows:
        for x0, x1 in columns:
            yield y0, x0, y1, x1


def cut_sides(shape: tuple[int, int], pixel_um: float) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Return the rows, from and to, and the columns of the boxes that `cuts` yields."""
    guard.check_whole(*shape)
    if max(shape) <= WHOLE_PX:
        return [(0, shape[0])], [(0, shape[1])]
    overlap = math.ceil(_OVERLAP_UM / pixel_um)
    ends = []
    for length in shape:
        shared = min(overlap, _SIDE_PX // 4)
        n = max(1, math.ceil((length - shared) / (_SIDE_PX - shared)))
        side = math.ceil((length + (n - 1) * shared) / n)
        starts = [round(k * (length - side) / max(n - 1, 1)) for k in range(n)]
        ends.append([(start, start + side) for start in starts])
    return ends[0], ends[1]
