"""Tiles of a BZScanner slide: ``Tile%06d.jpg`` or ``.tif``, all tiles of a channel, then all of the next.

File number = tile + 1 + channel * 2304, channels in the order DAPI, TRITC, CY5, BF, FITC; the tiles form 96 rows of
24, often in ``bzScanner/proc``. ``slideinfo.txt`` says which channels are on. A JPEG holds eight of sixteen bits;
the ``.tags`` file beside it gives the range of counts that these stand for. This follows the csi_images software;
gains that the scanner did not apply are not applied here either, so that a saturated pixel stays saturated.
"""

import os
import re
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctcascade.data.camera import Camera
from ctcascade.data.errors import plain, refuse
from ctcascade.formats import planes
from ctcascade.formats.decoding import reading
from ctcascade.formats.folder import Folder
from ctcascade.formats.frame import Frame, FrameError, FrameRef, Layout, grouped, role_of

EXPECTED = "files named Tile000001.jpg (or .tif) and so on"
_NAME = re.compile(r"Tile(\d{6})\.(jpe?g|tiff?)", re.IGNORECASE)
_TILES, _COLUMNS = 2304, 24
_EDGE_ROWS, _EDGE_COLUMNS = 2, (0, 1, 22, 23)
_CHANNELS = ("DAPI", "TRITC", "CY5", "BF", "FITC")
_INFO = "slideinfo.txt"
_ENDS = ("PreservedMinValue", "PreservedMaxValue")
_FULL = 65535.0
_MOST = 1_000_000  # bytes of a sidecar; real ones have a few lines


def group(folder: Folder, camera: Camera) -> Layout:
    """Return the layout of numbered tiles; channels that are off or that the assay does not use are ignored.

    Raises
    ------
    InputError
        If ``slideinfo.txt`` has a fault.
    """
    folder = folder.deepest()
    info = next((name for name in folder.others if PurePosixPath(name).name.lower() == _INFO), "")
    on = _channels_on(folder.path / info) if info else _CHANNELS
    found, foreign = [], []
    for name in folder.images:
        match = _NAME.fullmatch(name.rpartition("/")[2])
        channel, tile = divmod(int(match[1]) - 1, _TILES) if match else (-1, 0)
        if not 0 <= channel < len(_CHANNELS):
            foreign.append(name)
        elif _CHANNELS[channel] in on and role_of(_CHANNELS[channel], camera.channels) is not None:
            found.append((f"{tile:04d}", _CHANNELS[channel], name))
    tags = [name for name in folder.others if name.lower().endswith(".tags")] if found else []
    sidecar_of = {name: _tags_of(name) for _, _, name in found if tags and not _is_tiff(name)}
    used = [info, *tags] if found and info else tags
    why = "file names are BZScanner tile numbers" + (f", {info} says which channels are on" if info else "")
    names = [name for _, _, name in found]
    layout = grouped("bzscanner", why, found, [*folder.beside(*names, *used), *foreign], camera)
    return replace(layout, sidecars=tuple(used), sidecar_of=sidecar_of)


def read(ref: FrameRef, camera: Camera) -> Frame:
    """Return the frame of one tile; JPEGs are scaled to sixteen bits if their sidecars say how.

    A tile at the edge of the slide, where cells are few and focus is poor, is flagged ``slide_edge``.
    """
    scale: dict[Path, tuple[float, float]] = {}
    for path, tags in zip(ref.files, ref.sidecars, strict=False):
        if tags is not None:
            if not tags.exists() and tags.name not in os.listdir(tags.parent):
                raise FrameError(f"{tags.name} cannot be read: the folder does not hold it")  # no fault that passes
            with reading(tags.name):
                scale[path] = _preserved(tags)

    def restored(path: Path, plane: NDArray[Any]) -> NDArray[Any]:
        if path not in scale:
            return plane
        low, high = scale[path]
        top = np.iinfo(plane.dtype).max if plane.dtype.kind == "u" else 1
        return (np.float32(_FULL) * (low + plane.astype(np.float32) * ((high - low) / top))).astype(np.float32)

    frame = planes.assembled(ref, camera, restored, _FULL if scale else None)
    return replace(frame, notes=(*frame.notes, "slide_edge")) if _at_edge(ref.files[0].name) else frame


def _at_edge(name: str) -> bool:
    match = _NAME.fullmatch(name)
    row, column = divmod((int(match[1]) - 1) % _TILES if match else 0, _COLUMNS)
    return not _EDGE_ROWS <= row < _TILES // _COLUMNS - _EDGE_ROWS or column in _EDGE_COLUMNS


def _is_tiff(name: str) -> bool:
    return name.lower().endswith((".tif", ".tiff"))


def _tags_of(name: str) -> str:
    return str(PurePosixPath(name).with_suffix(".tags"))


def _settings(path: Path) -> dict[str, str]:
    """Return the lines ``KEY=VALUE`` of a sidecar."""
    if path.stat().st_size > _MOST:
        raise ValueError(f"{path.stat().st_size} bytes")
    lines = path.read_text(encoding="latin-1").splitlines()
    return {key.strip(): value.strip() for key, equals, value in (line.partition("=") for line in lines) if equals}


def _channels_on(path: Path) -> tuple[str, ...]:
    """Return the channels that the slide was scanned in; a channel that the file does not name is assumed to be on."""
    try:
        stated = _settings(path)
    except (OSError, ValueError) as error:
        refuse(path, "", error, "lines KEY=VALUE, such as DAPI=1,50,4", "copy it again from the scanner")
    on = {name: stated.get(name, "1").split(",")[0].strip() for name in _CHANNELS}
    for name, switch in on.items():
        if switch not in ("0", "1"):
            wanted = f"{name}=1,EXPOSURE,GAIN, or 0 where it is off"
            refuse(path, name, plain(stated[name]), wanted, "copy it again from the scanner")
    return tuple(name for name, switch in on.items() if switch == "1")


def _preserved(path: Path) -> tuple[float, float]:
    """Return the range of counts that a JPEG holds, as shares of sixteen bits."""
    stated = _settings(path)
    missing = [name for name in _ENDS if name not in stated]
    if missing:
        raise FrameError(f"{path.name} does not say {' and '.join(missing)}")
    low, high = (float(stated[name]) for name in _ENDS)
    if not 0 <= low < high <= 1:
        raise FrameError(f"{path.name} preserves {low:g} to {high:g}; 0 <= min < max <= 1 is expected")
    return low, high
