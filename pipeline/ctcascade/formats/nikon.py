"""Nikon ND2 files, through the library nd2: each position of the stage is a frame."""

import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctcascade.data.camera import Camera
from ctcascade.formats import containers
from ctcascade.formats.containers import Scene
from ctcascade.formats.folder import Folder
from ctcascade.formats.frame import Frame, FrameError, FrameRef, Layout, square
from ctcascade.formats.scenes import wells_in_names

EXPECTED = "Nikon ND2 files of grey channels"
SUFFIXES = (".nd2",)
_MOST_FRAMES, _MOST_COMPONENTS = 100_000, 64
_KNOWN_AXES = frozenset("TPZCSYX")
_EXPOSURE = re.compile(r"Exposure:\s*([0-9.]+)\s*(ms|s)\b")


@dataclass(frozen=True)
class _Nd2:
    """An open file: its images, and for each position and plane in depth the number of its frame in the file."""

    scenes: tuple[Scene, ...]
    file: Any
    size: int
    numbers: dict[tuple[int, int], int]
    what: str = "a Nikon ND2 file"

    def plane(self, scene: Scene, channel: int, z: int) -> NDArray[Any]:
        """Return a plane as stored."""
        number = self.numbers[scene.index, z]
        if not self._is_there(number):
            raise FrameError("no pixels in the file for this plane: it is cut off, or the recording was broken off")
        pixels = np.asarray(self.file.read_frame(number))
        if pixels.size != len(scene.channels) * scene.shape[0] * scene.shape[1]:
            raise FrameError(f"a frame of shape {pixels.shape}, where the header says {scene.shape}")
        return np.array(pixels.reshape(-1, *scene.shape)[channel])

    def _is_there(self, number: int) -> bool:
        """Return whether the file holds a frame; for one that it does not hold, the library returns zeros."""
        if self.file.is_legacy:
            return True
        place, about = self.file._rdr._frame_offsets.get(number), self.file.attributes
        length = 0 if about.compressionType == "lossless" else about.widthBytes * about.heightPx
        return place is not None and place + length <= self.size


def group(folder: Folder, camera: Camera) -> Layout:
    """Return the layout of ND2 files; the header of each is read."""
    names = [name for name in folder.images if name.lower().endswith(SUFFIXES)]
    return containers.layout("nd2", EXPECTED, folder, names, opened, camera)


def read(ref: FrameRef, camera: Camera) -> Frame:
    """Return the frame of one position."""
    return containers.read(ref, camera, opened)


@contextmanager
def opened(path: Path) -> Iterator[_Nd2]:
    """Open a file; no pixels are read."""
    import nd2  # noqa: PLC0415

    with containers.Bounded(path) as raw, nd2.ND2File(raw) as file:
        _check_components(file)
        frames = math.prod(loop.count for loop in file.experiment)
        if frames > _MOST_FRAMES:
            raise FrameError(f"{frames} frames in the header; at most {_MOST_FRAMES} are read")
        numbers = {(at.get("P", 0), at.get("Z", 0)): k for k, at in reversed(list(enumerate(file.loop_indices)))}
        yield _Nd2(tuple(_scenes(file)), file, raw.length, numbers or {(0, 0): 0})


def _check_components(file: Any) -> None:
    """Refuse a header that gives a plane more components than any camera has; the library makes room for each."""
    if file.is_legacy:
        return
    told = file._rdr._cached_raw_metadata().get("sPicturePlanes", {})
    planes = told.get("sPlaneNew") or told.get("sPlane") or {}
    if any(int(plane.get("uiCompCount", 1)) > _MOST_COMPONENTS for plane in planes.values()):
        raise FrameError("a plane of more components than any camera has")


def _scenes(file: Any) -> Iterator[Scene]:
    """Yield the positions of a file."""
    sizes = dict(file.sizes)
    shape = sizes.get("Y", 0), sizes.get("X", 0)
    fault = "colour (RGB); grey channels are expected" if file.is_rgb else ""
    strange = sorted(axis for axis, n in sizes.items() if axis not in _KNOWN_AXES and n > 1)
    fault = fault or (f"a scan over {', '.join(strange)}; one plane a channel is expected" if strange else "")
    told = file.metadata.channels if not isinstance(file.metadata, dict) else None
    channels = tuple(_names(channel) for channel in told or ()) or ((),) * sizes.get("C", 1)
    if len(channels) != sizes.get("C", 1):
        raise FrameError(f"the metadata name {len(channels)} channels, where there are {sizes.get('C', 1)}")
    bits = file.attributes.bitsPerComponentSignificant
    exposure = _exposures(file.text_info, len(channels))
    points = _points(file.experiment)
    names = [name or f"Pos{k + 1}" for k, (name, _) in enumerate(points)]
    wells = wells_in_names(names)
    for k in range(sizes.get("P", 1)):
        several = sizes.get("P", 1) > 1
        name = names[k] if several and k < len(names) else f"Pos{k + 1}" if several else ""
        yield Scene(
            name,
            shape,
            channels,
            sizes.get("Z", 1),
            sizes.get("T", 1),
            fault,
            _size(told),
            points[k][1] if k < len(points) else None,
            bits,
            wells.get(name, ""),
            exposure,
            k,
        )


def _names(channel: Any) -> tuple[str, ...]:
    name = str(channel.channel.name or "").strip()
    return (name,) if name else ()


def _size(channels: Sequence[Any] | None) -> float | None:
    """Return the edge of a pixel, um, where the microscope was calibrated."""
    volume = channels[0].volume if channels else None
    if volume is None or not all(volume.axesCalibrated[:2]):
        return None
    across, down = volume.axesCalibration[:2]
    return square(float(down), float(across))


def _points(experiment: Sequence[Any]) -> list[tuple[str, tuple[float, float] | None]]:
    """Return name and place (y, x) of each position of the stage."""
    loops = [loop for loop in experiment if loop.type == "XYPosLoop"]
    points = loops[0].parameters.points if loops else ()
    return [
        (str(point.name or "").strip(), (float(point.stagePositionUm.y), float(point.stagePositionUm.x)))
        for point in points
    ]


def _exposures(text: Any, n: int) -> tuple[float, ...]:
    """Return the exposure of each channel, ms, where the notes of the capture tell one for each."""
    for key in ("capturing", "description"):
        told = _EXPOSURE.findall(str(text.get(key, ""))) if isinstance(text, dict) else []
        if len(told) == n:
            return tuple(float(value) * (1000 if unit == "s" else 1) for value, unit in told)
    return ()
