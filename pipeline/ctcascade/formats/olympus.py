"""Olympus FluoView files (OIB, and OIF with its folder), through the library oiffile: each file is a frame."""

import errno
import os
import re
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctcascade.data.camera import Camera
from ctcascade.formats import containers, guard, watched
from ctcascade.formats.containers import Scene
from ctcascade.formats.folder import Folder
from ctcascade.formats.frame import UM, Frame, FrameError, FrameRef, Layout, square

EXPECTED = "Olympus OIB files, or OIF files with the folders NAME.oif.files"
SUFFIXES = (".oib", ".oif")
_STORAGE = ".files"
_PLANE = re.compile(r"(?:.*/)?s_((?:[CZTL][0-9]{3})+)\.tif", re.IGNORECASE)
_INDEX = re.compile(r"([CZTL])([0-9]{3})", re.IGNORECASE)
_COMPOUND, _HEAD, _LAST_SECTOR = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", 512, 0xFFFFFFFA


@dataclass(frozen=True)
class _Oif:
    """An open file: its image, and the name of the TIFF of each channel and plane in depth."""

    scenes: tuple[Scene, ...]
    file: Any
    planes: Mapping[tuple[int, int], str]
    what: str

    def plane(self, scene: Scene, channel: int, z: int) -> NDArray[Any]:
        """Return a plane as stored."""
        name = self.planes.get((channel, z))
        if name is None:
            raise FrameError(f"no file for channel {channel + 1}, plane {z + 1}")
        with self.file.open_file(name) as held:
            data = held.read()
        with guard.open_tiff(data, Path(name).name) as tiff:
            page = tiff.pages.first
            if page.shape != scene.shape:
                raise FrameError(f"a plane of shape {page.shape}, where the header says {scene.shape}")
            guard.check_pages([page], len(data))
            return np.asarray(page.asarray())


def group(folder: Folder, camera: Camera) -> Layout:
    """Return the layout of Olympus files; the header of each is read."""
    names = [name for name in folder.images if name.lower().endswith(SUFFIXES)]
    found = containers.layout("oif", EXPECTED, folder, names, opened, camera)
    beside = [f"{name}{_STORAGE}" for name in names if name.lower().endswith(".oif")]
    there = tuple(name for name in beside if (folder.path / name).is_dir())
    ignored = tuple(name for name in found.ignored if name not in there)
    return replace(found, ignored=ignored, sidecars=there)


def read(ref: FrameRef, camera: Camera) -> Frame:
    """Return the frame of one file."""
    return containers.read(ref, camera, opened)


@contextmanager
def opened(path: Path) -> Iterator[_Oif]:
    """Open a file; no pixels are read."""
    import oiffile  # noqa: PLC0415

    if path.suffix.lower() == ".oif" and not path.with_name(path.name + _STORAGE).is_dir():
        raise FrameError(f"the folder {path.name}{_STORAGE} with its pixels is not beside it")
    if path.suffix.lower() == ".oib":
        _refuse_circle(path)
    with oiffile.OifFile(path) as file:
        planes, n = _planes(file)
        _refuse_unseen(path, file)
        yield _Oif((_scene(file.mainfile, n),), file, planes, f"an Olympus {path.suffix[1:].upper()} file")


def _refuse_unseen(path: Path, file: Any) -> None:
    """Fail where the folder holds planes that the library does not list: it takes an error of the folder for none."""
    storage = path.with_name(path.name + _STORAGE)
    if path.suffix.lower() == ".oif":
        listed = {Path(name.replace("\\", "/")).name for name in file.glob("*")}
        unseen = {name for name in os.listdir(storage) if _PLANE.fullmatch(name)} - listed
        if unseen:
            raise OSError(errno.EAGAIN, f"changed while it was read: {min(unseen)} was not listed", str(storage))


def _refuse_circle(path: Path) -> None:
    """Refuse a compound file whose table of sectors leads in a circle: the library would read without end."""
    with watched.opened(path) as file:
        head = file.read(_HEAD)
        if len(head) < _HEAD or head[:8] != _COMPOUND:
            raise FrameError("no compound file, as OIB files are")
        (shift,) = struct.unpack_from("<H", head, 30)
        n, start, more = (struct.unpack_from("<I", head, at)[0] for at in (44, 68, 72))
        if shift not in (9, 12) or max(n, more) > path.stat().st_size >> shift:
            raise FrameError("a compound file whose header cannot be")

        def sector(number: int) -> bytes:
            file.seek((number + 1) << shift)
            return file.read(1 << shift).ljust(1 << shift, b"\xff")

        listed = list(struct.unpack_from("<109I", head, 76))
        for _ in range(more):
            *entries, start = struct.unpack(f"<{1 << shift >> 2}I", sector(start))
            listed += entries
        table = b"".join(sector(number) for number in listed[:n] if number < _LAST_SECTOR)
    following = np.frombuffer(table, "<u4").astype(np.int64)
    far = np.arange(len(following) + 1)  # the last entry stands for the end, and leads to itself
    step = np.append(np.where(following < len(following), following, len(following)), len(following))
    for _ in range(max(1, len(step)).bit_length()):
        far, step = step[far], step[step]
    if (step[far] != len(following)).any():
        raise FrameError("its table of sectors leads in a circle")


def _planes(file: Any) -> tuple[dict[tuple[int, int], str], dict[str, int]]:
    """Return the TIFF of each channel and plane in depth at the first point in time, and how many there are."""
    found: dict[tuple[int, int], str] = {}
    n = {"C": 1, "Z": 1, "T": 1, "L": 1}
    for name in file.glob("*"):
        match = _PLANE.fullmatch(name.replace("\\", "/"))
        if not match:
            continue
        at = {axis.upper(): int(number) for axis, number in _INDEX.findall(match[1])}
        n = {axis: max(most, at.get(axis, 1)) for axis, most in n.items()}
        if at.get("T", 1) == at.get("L", 1) == 1:
            found[at.get("C", 1) - 1, at.get("Z", 1) - 1] = name
    if not found:
        raise FrameError("no plane (s_C001.tif and so on) in it")
    return found, n


def _scene(said: Mapping[str, Any], n: Mapping[str, int]) -> Scene:
    axes = {str(a.get("AxisCode")): a for k in range(8) if (a := said.get(f"Axis {k} Parameters Common"))}
    if not {"X", "Y"} <= set(axes):
        raise FrameError(f"axes {', '.join(axes)}; X and Y are expected")
    sizes = {axis: int(about.get("MaxSize", 1)) for axis, about in axes.items()}
    told = {axis: max(sizes.get(axis, 1), 1) for axis in "CZT"}
    fault = "a scan over wavelength (lambda); one plane a channel is expected" if n["L"] > 1 else ""
    differ = [axis for axis in "CZ" if told[axis] != n[axis] and not (axis == "C" and "C" not in axes)]
    if differ:
        axis = differ[0]
        raise FrameError(f"the header says {told[axis]} planes along {axis}, and there are files for {n[axis]}")
    bits = said.get("Reference Image Parameter", {}).get("ValidBitCounts")
    names = tuple(_names(said, k + 1) for k in range(n["C"]))
    return Scene(
        "",
        (sizes["Y"], sizes["X"]),
        names,
        n["Z"],
        n["T"],
        fault,
        square(*(_converted(said, word) or _edge(axes[axis]) for word, axis in (("Height", "Y"), ("Width", "X")))),
        bits=int(bits) if bits else None,
    )


def _names(said: Mapping[str, Any], number: int) -> tuple[str, ...]:
    """Return the names of a channel: its dye, then its name."""
    found = []
    for section in (f"GUI Channel {number} Parameters", f"Channel {number} Parameters"):
        about = said.get(section, {})
        found += [str(about.get(word, "")).strip() for word in ("DyeName", "CH Name", "Name")]
    return tuple(dict.fromkeys(name for name in found if name and name.lower() != "none"))


def _converted(said: Mapping[str, Any], word: str) -> float | None:
    """Return the edge of a pixel, um, as the parameters of the reference image state it."""
    about = said.get("Reference Image Parameter", {})
    unit, value = UM.get(str(about.get(f"{word}Unit", ""))), about.get(f"{word}ConvertValue")
    return float(value) * unit or None if unit and isinstance(value, int | float) else None


def _edge(about: Mapping[str, Any]) -> float | None:
    """Return the edge of a pixel, um, from the range of an axis."""
    unit = UM.get(str(about.get("UnitName", about.get("PixUnit", ""))))
    try:
        length, n = abs(float(about["EndPosition"]) - float(about["StartPosition"])), int(about["MaxSize"])
    except (KeyError, ValueError):
        return None
    return length * unit / n if unit and n and length else None
