"""A CellSearch (CellTracks) cartridge: one multi-page TIFF for each frame, and the events that the operator called.

Pages are stretched to eight bits; the private tags 755 and 756 hold the counts at the ends. Frames are numbered in the
order of their names, along a grid in which every second row runs backwards. Events are in ``ID.xml``, with boxes in
pixels of the stitched cartridge, or for older instruments in ``cells.dlm`` and ``pic.dlm``, with boxes in pixels of the
frame. This follows the ACCEPT software; no real cartridge was available.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from ctcascade.data.camera import Camera
from ctcascade.data.errors import plain, refuse
from ctcascade.formats import guard, tiff
from ctcascade.formats.decoding import reading, sized
from ctcascade.formats.folder import Folder
from ctcascade.formats.frame import Frame, FrameError, FrameRef, Layout, assemble, grouped, role_of
from ctcascade.formats.markup import MarkupError, parse

EXPECTED = (
    "TIFF files with stretch limits (private tags 755 and 756), one a frame, with ID.xml or cells.dlm and pic.dlm"
)
_LOW, _HIGH = 755, 756
_OFFSET = 32768
_PAGES = ("DNA", "FITC", "CK", "CD45")
_GRIDS = {210: (6, 35), 180: (5, 36), 175: (5, 35), 170: (5, 34), 144: (4, 36), 140: (4, 35)}
_DELIMITER = "\xa6"
_MOST_FRAMES = 999
_LARGEST = 64_000_000
_BOX = re.compile(r"\s*\(([^()]*),([^()]*)\)\s*\(([^()]*),([^()]*)\)\s*")
_EXPORT = "the file that the instrument exported with the images"


@dataclass(frozen=True)
class Event:
    """One event that the operator was shown: frame, centre in pixels of the frame, and whether it was called a CTC."""

    frame: str
    y_px: float
    x_px: float
    is_ctc: bool


def group(folder: Folder, camera: Camera) -> Layout:
    """Return the layout of a cartridge's folder, whose images may be a few nested folders deeper.

    Raises
    ------
    InputError
        If its XML cannot be read, or there are several XML files and none is named like the folder.
    """
    folder = folder.deepest()
    images = [name for name in folder.images if name.lower().endswith(tiff.SUFFIXES)]
    found = [(PurePosixPath(name).stem, "", name) for name in images]
    events, used = _event_files(folder)
    why = f"TIFF pages with stretch limits, events in {events}" if events else "TIFF pages with stretch limits"
    ignored = (*folder.beside(*images, *used), *(name for name in folder.images if name not in images))
    pages = _page_names(folder.path / events) if events.lower().endswith(".xml") else ()
    return replace(grouped("cellsearch", why, found, ignored, camera), events=events, pages=pages)


def read(ref: FrameRef, camera: Camera) -> Frame:
    """Return the frame of one TIFF, with its pages converted back to counts by their stretch limits.

    Notes
    -----
    A page v becomes ``low + v (high - low) / max(v)``, minus 32768 if the result exceeds 32767.
    """
    planes: dict[str, tuple[NDArray[np.float32], tiff.Lost]] = {}
    with reading("the file") as shapes, tiff.opened(ref.files[0], shapes) as (_, pages):
        tiff.check_pages(pages, ref.files[0].stat().st_size)
        for name, page in zip(ref.channels or _PAGES, pages, strict=False):
            role = role_of(name, camera.channels)
            if role is None:
                continue
            if role in planes:
                raise FrameError(f"two channels are {role}")
            planes[role] = _restored(page)
    with sized(shapes):
        shares = {plane.shape for plane, _ in planes.values()}
        written = tiff.written(list(planes.values())) if len(shares) == 1 else 1.0
        found = {role: plane for role, (plane, _) in planes.items()}
        names = ref.channels or _PAGES
        return assemble(found, camera, None, None, None, written, restored=True, names=names)


def is_stretched(path: Path) -> bool:
    """Return whether the first page of a TIFF has stretch limits; False for a file that is not a TIFF."""
    try:
        with reading("the file"):
            if not {_LOW, _HIGH} <= guard.first_tags(path).keys():
                return False
            with guard.open_tiff(path) as file:
                tags = file.pages.first.tags
                return _LOW in tags and _HIGH in tags
    except FrameError:
        return False


def read_events(path: Path, frames: Sequence[str], shape: tuple[int, int]) -> list[Event]:
    """Return what the operator called.

    Parameters
    ----------
    path : Path
        ``ID.xml``, or ``cells.dlm`` with ``pic.dlm`` beside it.
    frames : sequence of str
        The frames of the cartridge in order; events of other frames are ignored.
    shape : (int, int)
        Rows and columns of a frame.

    Raises
    ------
    InputError
        If the file is not one of these, or has a fault.
    """
    by_number = _numbered(frames)
    found = _xml_events(path, by_number, shape) if path.suffix.lower() == ".xml" else _dlm_events(path, by_number)
    return list(found)


def _restored(page: Any) -> tuple[NDArray[np.float32], tiff.Lost]:
    limits = [page.tags.get(tag) for tag in (_LOW, _HIGH)]
    if None in limits:
        raise FrameError(f"a page without private tags {_LOW} and {_HIGH}, the stretch limits of a CellSearch frame")
    said = [tag.value for tag in limits if tag is not None]
    if not all(isinstance(value, int | float) for value in said):
        raise FrameError(f"stretch limits {', '.join(map(plain, said))}; two numbers are expected")
    low, high = map(float, said)
    if not 0 <= low <= high:
        raise FrameError(f"stretch limits {low:g} and {high:g}")
    stored, lost = tiff.Plane(page).read()
    plane: NDArray[np.float32] = stored.astype(np.float32)
    plane = low + plane * np.float32((high - low) / max(float(plane.max()), 1.0))
    return (plane - np.float32(_OFFSET) if plane.max() >= _OFFSET else plane), lost


def _event_files(folder: Folder) -> tuple[str, tuple[str, ...]]:
    """Return the name of the events file, or an empty string, and the names of all files needed to read it."""
    named = {PurePosixPath(name).name.lower(): name for name in folder.others}
    exports = [name for name in folder.others if name.lower().endswith(".xml")]
    own = [name for name in exports if PurePosixPath(name).stem == folder.path.resolve().name.split(".")[0]]
    if len(exports) > 1 and len(own) != 1:
        wanted = "one XML file of events, or one that is named like the folder"
        refuse(folder.path, "", f"{', '.join(map(plain, exports[:5]))}", wanted, "move the others elsewhere")
    if exports:
        chosen = own[0] if own else exports[0]
        return chosen, (chosen,)
    if "cells.dlm" in named and "pic.dlm" in named:
        return named["cells.dlm"], tuple(name for name in folder.others if name.lower().endswith(".dlm"))
    return "", ()


def _numbered(frames: Sequence[str]) -> dict[int, str]:
    """Return the frames by number: the digits at the end of their names, otherwise their position, from 1."""
    digits = [re.search(r"([0-9]+)$", frame) for frame in frames]
    numbers = [int(match[1]) for match in digits if match]
    if len(set(numbers)) < len(frames) or max(numbers, default=0) > _MOST_FRAMES:
        numbers = list(range(1, len(frames) + 1))
    first = min(numbers, default=1)
    return {number + (first == 0): frame for number, frame in zip(numbers, frames, strict=True)}


def _export(path: Path) -> ElementTree.Element:
    try:
        return parse(path.read_bytes())
    except (OSError, MarkupError) as error:
        refuse(path, "", error, "the XML that the instrument exported", "copy it again")


def _page_names(path: Path) -> tuple[str, ...]:
    """Return the channel of each page from the filters in the XML; empty if it names none."""
    return tuple(_text(record, "filtername") for record in _records(_export(path), "test_filters"))


def _records(root: ElementTree.Element, kind: str) -> Iterator[ElementTree.Element]:
    for parent in root.iter(kind):
        yield from parent.findall("record")


def _text(record: ElementTree.Element, name: str) -> str:
    """Return a field of a record, which may be an element or an attribute."""
    return (record.findtext(name) or record.get(name) or "").strip()


def _xml_events(path: Path, by_number: Mapping[int, str], shape: tuple[int, int]) -> Iterator[Event]:
    root = _export(path)
    records = list(_records(root, "events"))
    columns = _columns(path, root, len(by_number)) if records else 0
    for n, record in enumerate(records, start=1):
        at = f"event {_text(record, 'eventnum') or _text(record, 'rid') or n}"
        try:
            number, (x1, y1, x0, y0) = int(_text(record, "framenum")), _corners(_text(record, "location"))
        except ValueError as error:
            refuse(path, at, error, "framenum 12 and location (x,y)(x,y)", f"use {_EXPORT}")
        row, column = divmod(number - 1, columns)
        column = columns - 1 - column if row % 2 else column
        y, x = (y0 + y1) / 2 - row * shape[0], (x0 + x1) / 2 - column * shape[1]
        if not (-1 <= y <= shape[0] + 1 and -1 <= x <= shape[1] + 1):
            wanted = f"a location inside frame {number} of the grid of {columns} columns"
            refuse(path, at, _text(record, "location"), wanted, f"use {_EXPORT}")
        if number in by_number:
            yield Event(by_number[number], y, x, _is_assigned(record))


def _corners(location: str) -> tuple[float, float, float, float]:
    """Return x and y of the lower right corner, then of the upper left."""
    match = _BOX.fullmatch(location)
    if not match:
        raise ValueError(f"location {plain(location)}")
    x1, y1, x0, y0 = map(float, match.groups())
    return x1, y1, x0, y0


def _columns(path: Path, root: ElementTree.Element, n_frames: int) -> int:
    """Return the number of columns in the grid of frames, from the export or from the number of frames."""
    run = next(_records(root, "runs"), None)
    stated = _text(run, "numcols") if run is not None else ""
    if stated.isdecimal() and int(stated) > 0:
        return int(stated)
    if n_frames not in _GRIDS:
        wanted = f"numcols in the record of runs, or a cartridge of {', '.join(map(str, sorted(_GRIDS)))} frames"
        refuse(path, "runs", f"no numcols, and {n_frames} frames", wanted, f"use {_EXPORT}")
    return _GRIDS[n_frames][1]


def _is_assigned(record: ElementTree.Element) -> bool:
    """Return whether the operator selected the event; older exports only count its selected pictures."""
    assigned = _text(record, "assigned").lower()
    return assigned == "true" if assigned else _text(record, "numselected") not in ("", "0")


def _dlm_events(path: Path, by_number: Mapping[int, str]) -> Iterator[Event]:
    pictures = next(other for other in path.parent.iterdir() if other.name.lower() == "pic.dlm")
    frame_of = {row[0]: row[3] for row in _delimited(pictures, 4)}
    for n, row in enumerate(_delimited(path, 11), start=1):
        try:
            number, x, y = int(float(frame_of[row[1]])), float(row[2]), float(row[3])
        except (KeyError, ValueError) as error:
            wanted = f"a time that {pictures.name} gives the number of a frame for, and a centre x, y in pixels"
            refuse(path, f"line {n}", error, wanted, f"use {_EXPORT}")
        if number in by_number:
            yield Event(by_number[number], y, x, row[10] == "Y")


def _delimited(path: Path, n_columns: int) -> Iterator[list[str]]:
    """Yield the rows of a file whose columns are separated by broken bars."""
    if path.stat().st_size > _LARGEST:
        refuse(path, "", f"{path.stat().st_size} bytes", f"at most {_LARGEST}", f"use {_EXPORT}")
    for n, line in enumerate(path.read_bytes().decode("latin-1").splitlines(), start=1):
        cells = [cell.strip().strip('"') for cell in line.split(_DELIMITER)]
        if not line.strip():
            continue
        if len(cells) < n_columns:
            wanted = f"at least {n_columns} columns with the byte A6 (a broken bar) between them"
            refuse(path, f"line {n}", f"{len(cells)} columns", wanted, f"use {_EXPORT}")
        yield cells
