"""CZI slides: mosaics of tiles, one file with all scenes, channels and tiles.

Tiles that overlap are frames, each at its position in the mosaic. If tiles only touch, as after stitching, no tile
shows a cell on their border whole: the scene is then cut into overlapping frames, like whole-slide TIFFs.
"""

import bisect
import functools
import itertools
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from ctcascade.data.camera import Camera
from ctcascade.formats import guard, parts, watched, zisraw
from ctcascade.formats.decoding import reading, sized
from ctcascade.formats.depth import one_plane, refuse_stack
from ctcascade.formats.folder import Folder
from ctcascade.formats.frame import (
    Box,
    Frame,
    FrameError,
    FrameRef,
    Layout,
    assemble,
    by_role,
    check_size,
    grouped,
    is_unnamed,
    refuse_two_roles,
    role_of,
    square,
)
from ctcascade.formats.markup import MarkupError, parse
from ctcascade.formats.scenes import well_of

EXPECTED = "CZI files of grey channels, each a mosaic of tiles in one plane"
_SUFFIX = re.compile(r"\.czi$", re.IGNORECASE)
_METRE_UM, _NS_PER_MS = 1e6, 1e6
_DEPTH = "Z"
_Side = tuple[int, int]


@dataclass(frozen=True)
class _Said:
    """What the metadata say: names, exposure and bits of each channel, pixel size, and name and well of each scene."""

    names: tuple[tuple[str, ...], ...] = ()
    pixel_size_um: float | None = None
    exposure_ms: tuple[float | None, ...] = ()
    bits: int | None = None
    scenes: Mapping[int, str] = field(default_factory=dict)
    wells: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Slide:
    """The pieces of a file, placed in pixels from the first row and column, its depth, and its metadata."""

    pieces: tuple[zisraw.Piece, ...]
    channels: tuple[int, ...]
    names: tuple[tuple[str, ...], ...]
    depths: tuple[int, ...]
    said: _Said

    @property
    def exposures(self) -> list[float]:
        """The exposure of each channel, ms; empty if not told of all."""
        told = [self.said.exposure_ms[c] for c in self.channels if c < len(self.said.exposure_ms)]
        return [ms for ms in told if ms] if len(told) == len(self.channels) and all(told) else []


def group(folder: Folder, camera: Camera) -> Layout:
    """Return the layout of CZI files; the directory of each is read.

    Raises
    ------
    InputError
        If the directory or the metadata of a file cannot be read.
    """
    names = [name for name in folder.images if _SUFFIX.search(name)]
    boxes: dict[str, Box] = {}
    positions: dict[str, tuple[float, float]] = {}
    scenes: dict[str, tuple[str, ...]] = {}
    groups: dict[str, str] = {}
    found = []
    for name in names:
        slide, frames = parts.header(folder.path / name, EXPECTED, functools.partial(_look, camera=camera))
        pixel_um = slide.said.pixel_size_um or camera.pixel_size_um
        for ending, box, scene in frames:
            frame = _SUFFIX.sub("", name) + ending
            boxes[frame], positions[frame] = box, (box[0] * pixel_um, box[1] * pixel_um)
            found.append((frame, "", name))
            scenes[frame] = tuple(filter(None, (slide.said.scenes.get(scene), f"S{scene}", str(scene))))
            well = slide.said.wells.get(scene, "")
            if well:
                groups[frame] = well if len(names) == 1 else f"{name}: {well}"
    ignored = [*folder.others, *(name for name in folder.images if name not in names)]
    why = f"CZI files: tiles that overlap are frames, others are joined {parts.HOW}"
    layout = grouped("czi", why, found, ignored, camera)
    return replace(layout, boxes=boxes, positions_um=positions, scenes=scenes, groups=groups)


def read(ref: FrameRef, camera: Camera) -> Frame:
    """Return a frame: one tile, or a part of joined tiles."""
    path = ref.files[0]
    with reading("the file") as shapes:
        slide = _opened(path)
        box = ref.box_px
        if box is None:
            raise FrameError("the file was listed without its tiles")
        shapes.append((box[2] - box[0], box[3] - box[1]))
        check_size(*shapes[0])
        refuse_stack(len(slide.depths), 1, camera)
        for each in slide.names:
            refuse_two_roles(each, camera)
        names = _known(slide.names, camera)
        found = by_role(slide.channels, names, camera)
        own = [piece for piece in slide.pieces if piece.box == box]
        used = own or [piece for piece in slide.pieces if _shared(piece.box, box)]
        needed = [piece for piece in used if piece.channel in found.values()]
        guard.check_cost(sum(piece.n_bytes for piece in needed), path.stat().st_size)
        there = np.ones(shapes[0], np.bool_)

        def at(z: int, roles: Sequence[str]) -> dict[str, NDArray[Any]]:
            planes = {}
            for role in roles:
                wanted = slide.depths[z], found[role]
                some = [piece for piece in needed if (piece.depth, piece.channel) == wanted]
                if not some and own and len(slide.depths) > 1:
                    raise FrameError(f"no tile of channel {wanted[1]} at plane {wanted[0]} in depth")
                if some:
                    planes[role], covered = _joined(file, some, box)
                    there[~covered] = False
            return planes

        with watched.opened(path) as file:
            pixels = one_plane(at, list(found), len(slide.depths), camera)
        written = float(there.mean())
    with sized(shapes):
        return assemble(
            pixels,
            camera,
            slide.said.pixel_size_um,
            position_um=ref.position_um,
            written=written,
            bits=slide.said.bits,
            named=not is_unnamed(names, camera),
            names=names,
            exposure_ms=by_role(slide.exposures, names, camera) if slide.exposures else None,
        )


def _look(path: Path, camera: Camera) -> tuple[_Slide, list[tuple[str, Box, int]]]:
    """Return the file, and its frames."""
    slide = _opened(path)
    refuse_stack(len(slide.depths), 1, camera)
    return slide, list(_frames(slide, slide.said.pixel_size_um or camera.pixel_size_um))


def _opened(path: Path) -> _Slide:
    """Return what the directory and the metadata say; no pixels are read."""
    state = path.stat()
    return _slide(path, state.st_size, state.st_mtime_ns)


@functools.lru_cache(maxsize=2)  # the frames of a file are read one after another
def _slide(path: Path, _size: int, _changed: int) -> _Slide:
    pieces = zisraw.pieces(path)
    if not pieces:
        raise FrameError("a CZI without any image")
    further = {
        axis: {dict(piece.others).get(axis, 0) for piece in pieces} for piece in pieces for axis, _ in piece.others
    }
    several = sorted(axis for axis, places in further.items() if len(places) > 1 and axis != _DEPTH)
    if several:
        told = "points in time" if several[0] == "T" else f"places along the axis {several[0]}"
        raise FrameError(f"{len(further[several[0]])} {told}; one is expected: save the one to count by itself")
    if len({(piece.channel, piece.box, piece.depth) for piece in pieces}) < len(pieces):
        raise FrameError("two tiles at the same position")
    top, left = (min(piece.box[k] for piece in pieces) for k in (0, 1))
    bottom, right = (max(piece.box[k] for piece in pieces) for k in (2, 3))
    guard.check_whole(bottom - top, right - left)
    moved = tuple(replace(piece, box=_moved(piece.box, top, left)) for piece in pieces)
    channels = tuple(sorted({piece.channel for piece in pieces}))
    said = _metadata(zisraw.metadata(path))
    names = said.names
    if channels[0] < 0:
        raise FrameError(f"a piece of channel {channels[0]}; channels count from 0")
    if names and len(names) <= channels[-1]:
        raise FrameError(f"{len(names)} names of channels; the pieces mention channel {channels[-1] + 1}")
    depths = tuple(sorted({piece.depth for piece in pieces}))
    return _Slide(moved, channels, tuple(names[channel] for channel in channels) if names else (), depths, said)


def _metadata(xml: str) -> _Said:
    """Return what the metadata say; a channel's names include that of its dye."""
    if not xml:
        return _Said()
    try:
        root = parse(xml.rstrip("\0"))
    except MarkupError as error:
        raise FrameError(f"metadata: {error}") from error
    channels = root.findall(".//Information/Image/Dimensions/Channels/Channel")
    shown = root.findall(".//DisplaySetting/Channels/Channel")
    names = [_names(channel) for channel in channels]
    if len(shown) == len(names):
        names = [(*own, *_names(other)) for own, other in zip(names, shown, strict=True)]
    edges = {item.get("Id"): item.findtext("Value") for item in root.findall(".//Scaling/Items/Distance")}
    down, across = (float(edge) * _METRE_UM if (edge := edges.get(axis)) else None for axis in "YX")
    exposures = [_whole(channel.findtext("ExposureTime")) for channel in channels]
    bits = {_whole(channel.findtext("ComponentBitCount")) for channel in channels}
    scenes = {_whole(scene.get("Index")) or 0: scene for scene in root.findall(".//Dimensions/S/Scenes/Scene")}
    return _Said(
        tuple(names) if any(map(any, names)) else (),
        square(down, across),
        tuple(ns and ns / _NS_PER_MS for ns in exposures),
        bits.pop() if len(bits) == 1 else None,
        {index: (scene.get("Name") or "").strip() for index, scene in scenes.items()},
        {index: well for index, scene in scenes.items() if (well := _well(scene))},
    )


def _well(scene: ElementTree.Element) -> str:
    """Return the well of a plate that a scene lies in; empty for a scene elsewhere."""
    row, column = (_whole(scene.findtext(f"Shape/{word}Index")) for word in ("Row", "Column"))
    return well_of(row - 1, column - 1) if row and column else ""


def _whole(said: str | None) -> int | None:
    """Return a whole number above 0; None for anything else."""
    return int(said) if said and said.strip().isdecimal() and int(said) else None


def _names(channel: ElementTree.Element) -> tuple[str, ...]:
    given = [channel.get("Name"), *(channel.findtext(word) for word in ("Fluor", "DyeName", "ShortName"))]
    return tuple(name.strip() for name in given if name)


def _known(names: tuple[tuple[str, ...], ...], camera: Camera) -> list[str]:
    """Return for each channel the name that the assay knows, otherwise its first name."""
    return [next((n for n in each if role_of(n, camera.channels)), next(iter(each), "")) for each in names]


def _frames(slide: _Slide, pixel_um: float) -> Iterator[tuple[str, Box, int]]:
    """Yield for each frame the end of its name, its box and its scene."""
    scenes: dict[int, dict[Box, int]] = defaultdict(dict)
    for piece in slide.pieces:
        scenes[piece.scene].setdefault(piece.box, piece.tile)
    for scene, tiles in sorted(scenes.items()):
        begin = f"_S{scene}" if len(scenes) > 1 else ""
        if len(tiles) == 1 or _overlap(list(tiles)):
            numbers = [n if n >= 0 else k for k, n in enumerate(tiles.values())]
            if len(set(numbers)) < len(numbers):
                raise FrameError("the channels of a tile are at different positions")
            yield from (
                (f"{begin}_M{n}" if len(tiles) > 1 else begin, box, scene)
                for n, box in zip(numbers, tiles, strict=True)
            )
            continue
        edges = np.array(list(tiles))
        (top, left), (bottom, right) = edges[:, :2].min(axis=0).tolist(), edges[:, 2:].max(axis=0).tolist()
        sides = parts.cut_sides((bottom - top, right - left), pixel_um)
        for cut in _used(sides, [_moved(tile, top, left) for tile in tiles]):
            box = _moved(cut, -top, -left)
            whole = cut == (0, 0, bottom - top, right - left)
            yield (begin if whole else f"{begin}_y{box[0]}_x{box[1]}"), box, scene


def _used(sides: tuple[list[_Side], list[_Side]], tiles: Sequence[Box]) -> list[Box]:
    """Return the boxes of rows and columns that share pixels with a tile, in order."""
    found = set[tuple[int, int]]()
    for y0, x0, y1, x1 in tiles:
        found.update(itertools.product(_numbers(sides[0], y0, y1), _numbers(sides[1], x0, x1)))
    return [(sides[0][i][0], sides[1][k][0], sides[0][i][1], sides[1][k][1]) for i, k in sorted(found)]


def _numbers(sides: list[_Side], start: int, end: int) -> range:
    """Return which of the sides, both of whose ends grow, share something with the one from start to before end."""
    first = bisect.bisect_right(sides, start, key=lambda side: side[1])
    return range(first, bisect.bisect_left(sides, end, key=lambda side: side[0]))


def _overlap(tiles: list[Box]) -> bool:
    """Return whether any two tiles share pixels; a line is swept down over those that it crosses, which are apart."""
    crossed: list[tuple[int, int, int]] = []  # first and last column, last row
    for y0, x0, y1, x1 in sorted(tiles):
        k = max(0, bisect.bisect_left(crossed, (x0,)) - 1)
        while k < len(crossed) and crossed[k][0] < x1:
            if crossed[k][1] <= x0:
                k += 1
            elif crossed[k][2] > y0:
                return True
            else:
                del crossed[k]
        crossed.insert(k, (x0, x1, y1))
    return False


def _shared(a: Box, b: Box) -> bool:
    return a[0] < b[2] and a[2] > b[0] and a[1] < b[3] and a[3] > b[1]


def _moved(box: Box, top: int, left: int) -> Box:
    return box[0] - top, box[1] - left, box[2] - top, box[3] - left


def _joined(file: Any, pieces: list[zisraw.Piece], box: Box) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return the pixels of pieces cut to a box, and which pixels of the box they cover."""
    shape = box[2] - box[0], box[3] - box[1]
    there, plane = np.zeros(shape, np.bool_), None
    for piece in pieces:
        y0, x0, y1, x1 = _moved(piece.box, box[0], box[1])
        pixels = piece.read(file)[max(-y0, 0) : shape[0] - y0, max(-x0, 0) : shape[1] - x0]
        plane = np.zeros(shape, pixels.dtype) if plane is None else plane
        place = np.s_[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)]
        plane[place], there[place] = pixels, True
    assert plane is not None
    return plane, there
