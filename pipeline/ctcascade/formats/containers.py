"""Files that hold several images, read through well-kept libraries: each position, series or tile is a frame.

What such a file says of an image is a `Scene`; `nikon`, `leica` and `olympus` open the files. A scene larger than a
frame may be is cut as whole slides are.
"""

import errno
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from ctcascade.data.camera import Camera
from ctcascade.data.errors import plain
from ctcascade.formats import guard, parts, watched
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
    role_of,
)
from ctcascade.formats.page_words import known_first

_NO_NAME = re.compile(r"[^\w.+-]+")
_MOST_PLANES = 4096


@dataclass(frozen=True)
class Scene:
    """One image of a file.

    Attributes
    ----------
    name : str
        As the vendor's software shows it; empty where a file holds one image only.
    shape : (int, int)
        Rows and columns.
    channels : tuple of tuple of str
        The names of each channel, the best first.
    n_z, n_t : int
        Planes in depth, and points in time.
    fault : str
        Why it cannot be read, in words.
    pixel_size_um, position_um, bits
        As in `Frame` and `assemble`.
    group : str
        The well or series that it is of; empty where all images of a file are of one.
    exposure_ms : tuple of float
        Of each channel, where the file tells it; else empty.
    index : int
        Where the library finds it.
    tile : int
        Which tile of a mosaic it is; -1 for none.
    """

    name: str
    shape: tuple[int, int]
    channels: tuple[tuple[str, ...], ...]
    n_z: int = 1
    n_t: int = 1
    fault: str = ""
    pixel_size_um: float | None = None
    position_um: tuple[float, float] | None = None
    bits: int | None = None
    group: str = ""
    exposure_ms: tuple[float, ...] = ()
    index: int = 0
    tile: int = -1


class Opened(Protocol):
    """An open file."""

    @property
    def what(self) -> str:
        """What kind of file it is, in words."""

    @property
    def scenes(self) -> tuple[Scene, ...]:
        """Its images."""

    def plane(self, scene: Scene, channel: int, z: int) -> NDArray[Any]:
        """Return a plane as stored, shape (Y, X)."""


class Bounded(watched.Watched):
    """A file of which no more is asked for than there is, whatever its header claims."""

    def __init__(self, path: Path):
        super().__init__(path)
        self.length = os.fstat(self.fileno()).st_size

    def read(self, size: int | None = -1, /) -> bytes:
        """Return at most so many bytes, and all that there are of them.

        Raises
        ------
        OSError
            If the file is shorter than it was.
        """
        rest = max(0, self.length - self.tell())
        wanted = rest if size is None or not 0 <= size <= rest else size
        data = super().read(wanted)
        while len(data) < wanted:  # a read may give less than there is
            more = super().read(wanted - len(data))
            if not more:
                raise OSError(errno.EAGAIN, "changed while it was read", self.name)
            data += more
        return data


Open = Callable[[Path], AbstractContextManager[Opened]]


def layout(fmt: str, expected: str, folder: Folder, names: list[str], opened: Open, camera: Camera) -> Layout:
    """Return the layout of the images that some files of a folder hold; the header of each file is read.

    Raises
    ------
    InputError
        If the header of a file cannot be read.
    """
    boxes: dict[str, Box] = {}
    places: dict[str, tuple[float, float]] = {}
    images: dict[str, int] = {}
    scenes: dict[str, tuple[str, ...]] = {}
    groups: dict[str, str] = {}
    found, what = [], "files"
    for name in names:
        what, held = parts.header(folder.path / name, expected, partial(_look, opened=opened))
        for number, (frame, scene, box) in enumerate(_frames(Path(name).stem, held, camera)):
            found.append((frame, "", name))
            images[frame] = held.index(scene)
            scenes[frame] = tuple(dict.fromkeys((scene.name, scene.name.rpartition("/")[2], str(number))))
            if scene.group:
                groups[frame] = scene.group if len(names) == 1 else f"{name}: {scene.group}"
            if box is not None:
                boxes[frame] = box
    ignored = [*folder.others, *(name for name in folder.images if name not in names)]
    why = f"{what}: each position, series or tile is a frame"
    made = grouped(fmt, why, found, ignored, camera)
    return replace(
        made, boxes=boxes, positions_um=places, images=images, scenes=scenes, groups=groups, group_word="images"
    )


def read(ref: FrameRef, camera: Camera, opened: Open) -> Frame:
    """Return the frame of one image of a file."""
    path = ref.files[0]
    with reading(path.name) as shapes, _open(path, opened) as file:
        if not 0 <= ref.image < len(file.scenes):
            raise FrameError(f"the file holds {len(file.scenes)} images; this frame is number {ref.image + 1}")
        scene = file.scenes[ref.image]
        box = ref.box_px or (0, 0, *scene.shape)
        shapes.append((box[2] - box[0], box[3] - box[1]))
        this = f"this is {file.what}" + (f", image {plain(scene.name)}" if scene.name else "")
        if scene.fault:
            raise FrameError(f"{this}: {scene.fault}")
        refuse_stack(scene.n_z, scene.n_t, camera, _with_channels(this, scene))
        check_size(*shapes[0])
        names = known_first(scene.channels, lambda name: role_of(name, camera.channels) is not None)
        found = by_role(range(len(scene.channels)), names, camera)

        def at(z: int, roles: Sequence[str]) -> dict[str, NDArray[Any]]:
            return {role: _cut(file.plane(scene, found[role], z), scene, box) for role in roles}

        pixels = one_plane(at, list(found), scene.n_z, camera)
    place = scene.position_um
    if place is not None and scene.pixel_size_um and ref.box_px:
        place = place[0] + box[0] * scene.pixel_size_um, place[1] + box[1] * scene.pixel_size_um
    with sized(shapes):
        return assemble(
            pixels,
            camera,
            scene.pixel_size_um,
            position_um=place,
            bits=scene.bits,
            named=not is_unnamed(names, camera),
            names=names,
            exposure_ms=by_role(scene.exposure_ms, names, camera) if scene.exposure_ms else None,
        )


def words(path: Path, opened: Open) -> str:
    """Return the names that a file gives to its images and channels."""
    with _open(path, opened) as file:
        told = [(scene.name, *(name for names in scene.channels for name in names)) for scene in file.scenes]
    return "\n".join(dict.fromkeys(word for words in told for word in words if word))


@contextmanager
def _open(path: Path, opened: Open) -> Iterator[Opened]:
    """Open a file that is not empty; an empty one, which libraries report as all kinds of faults, is named as such."""
    if path.stat().st_size == 0:
        raise FrameError(f"{path.name} is empty (0 bytes)")
    with opened(path) as file:
        yield file


def _cut(plane: NDArray[Any], scene: Scene, box: Box) -> NDArray[Any]:
    if plane.shape != scene.shape:
        raise FrameError(f"a plane of shape {plane.shape}, where the header says {scene.shape}")
    return plane[box[0] : box[2], box[1] : box[3]]


def _with_channels(this: str, scene: Scene) -> str:
    named = [plain(names[0]) for names in scene.channels if names]
    return f"{this} (channels {', '.join(named)})" if named else this


def _look(path: Path, opened: Open) -> tuple[str, tuple[Scene, ...]]:
    with _open(path, opened) as file:
        if not file.scenes:
            raise FrameError(f"this is {file.what} without any image")
        if len(file.scenes) > _MOST_PLANES:
            raise FrameError(f"{len(file.scenes)} images in one file; at most {_MOST_PLANES} are read")
        for scene in file.scenes:
            if not scene.fault:
                guard.check_whole(*scene.shape)
        return file.what, file.scenes


def _frames(stem: str, held: tuple[Scene, ...], camera: Camera) -> Iterator[tuple[str, Scene, Box | None]]:
    """Yield frame, scene and part of it; names are those of the scenes, with a number where two are alike."""
    plain_names = [_NO_NAME.sub("_", scene.name).strip("_") for scene in held]
    for number, (scene, name) in enumerate(zip(held, plain_names, strict=True)):
        doubled = not name or plain_names.count(name) > 1
        ending = "" if len(held) == 1 else f"_{name}_{number}" if doubled and name else f"_{name or number}"
        frame = stem + ending
        whole = scene.fault or max(scene.shape) <= parts.WHOLE_PX
        if whole:
            yield frame, scene, None
            continue
        for box in parts.cuts(scene.shape, scene.pixel_size_um or camera.pixel_size_um):
            yield f"{frame}_y{box[0]}_x{box[1]}", scene, box
