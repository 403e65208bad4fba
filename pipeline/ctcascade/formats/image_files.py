"""The image files of a study: each folder is listed only once, and changed files are noticed."""

import functools
import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from ctcascade.data.camera import Camera
from ctcascade.formats import listing
from ctcascade.formats.listing import FrameList

_WHOLE = 2**18  # bytes
_PART = 2**12
_FILES_READ = 64
Look = Callable[[Sequence[str], Path, str, Camera], FrameList]


def listed_once() -> Look:
    """Return a `listing.list_frames` that looks into each folder once."""
    listed: dict[tuple[tuple[str, ...], str, str], FrameList] = {}

    def list_frames(images: Sequence[str], base: Path, fmt: str, assay: Camera) -> FrameList:
        key = tuple(images), fmt, assay.name
        if key not in listed:
            listed[key] = listing.list_frames(images, base, fmt, assay)
        return listed[key]

    return list_frames


def digest_of_images(listed: FrameList, base: Path) -> str:
    """Return a digest of names, sizes and dates of the image files of a sample: changed images are read again."""
    images = dict.fromkeys(path for frame in listed.frames for path in frame.files)
    return digest((*images, *listed.sidecars), base)


def digest_of_content(listed: FrameList) -> str:
    """Return the number of frames and a digest of the images of a sample that no copying and no date changes.

    Small files are read whole, of large ones the beginning, the middle and the end: enough to tell images apart, in
    little more time than asking for their sizes. `digest_of_images` notices when a file is written again in place.
    """
    found = hashlib.sha256()
    images = dict.fromkeys(path for frame in listed.frames for path in frame.files)
    for path in (*images, *listed.sidecars):
        if path.is_dir():  # an image that is a folder
            inside = sorted(file for file in path.rglob("*") if file.is_file())
            for file in inside:
                found.update(f"{file.relative_to(path).as_posix()}\t{file.stat().st_size}\n".encode())
            for file in inside[:: max(1, len(inside) // _FILES_READ)]:
                _add_content(file, found)
        else:
            found.update(f"{path.name}\n".encode())
            _add_content(path, found)
    return f"{len(listed.frames)}:{found.hexdigest()[:16]}"


def _add_content(path: Path, found: "hashlib._Hash") -> None:
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        found.update(f"{size}\n".encode())
        if size <= _WHOLE:
            found.update(file.read())
            return
        for start in (0, (size - _PART) // 2, size - _PART):
            file.seek(start)
            found.update(file.read(_PART))


def digest_of_events(listed: FrameList, base: Path) -> str:
    """Return the same for the files with the operator's calls, which are not images."""
    return digest((path for _, path in listed.events), base)


def digest(paths: Iterable[Path], base: Path) -> str:
    """Return a digest of names relative to `base`, sizes and dates of files; for a folder, of all files in it."""
    found = hashlib.sha256()
    for path in paths:
        state, (folder, name) = os.stat(path), os.path.split(path)
        if stat.S_ISDIR(state.st_mode):  # an image that is a folder
            inside = (Path(at, file) for at, _, files in os.walk(path) for file in files)
            found.update(digest(sorted(filter(os.path.exists, inside)), base).encode())
        found.update(f"{_relative(folder, base)}/{name}\t{state.st_size}\t{state.st_mtime_ns}\n".encode())
    return found.hexdigest()[:16]


@functools.cache
def _relative(folder: str, base: Path) -> str:
    return os.path.relpath(folder, base)
