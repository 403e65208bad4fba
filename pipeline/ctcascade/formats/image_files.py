"""The image files of a study: each folder is listed only once, and changed files are noticed."""

import functools
import hashlib
import itertools
import os
import stat
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from ctcascade.data.camera import Camera
from ctcascade.data.errors import plain, refuse
from ctcascade.formats import FrameError, FrameRef, listing, read
from ctcascade.formats.known_images import KnownImages, State
from ctcascade.formats.listing import FrameList

_WHOLE = 2**22  # bytes
_PART = 2**12
_PARTS = 64  # of a large file, spread evenly
_FILES_READ = 64
_YOUNG_S = 60.0
_LOOKED_AT = 5
_EACH_TWO = 20  # samples with one image of which each two are named
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


def youngest(listed: FrameList, now: float) -> tuple[Path | None, float, int]:
    """Return the file of a sample that changed last, its age in seconds, and how many changed in the last minute.

    A scanner or a copy may still be writing such files. A time in the future counts as now.
    """
    found: Path | None = None
    least, young = float("inf"), 0
    for path in listed.images:
        age = max(0.0, now - _state(path).st_mtime)
        young += age < _YOUNG_S
        if age < least:
            found, least = path, age
    return found, least, young


def _state(path: Path) -> os.stat_result:
    """Return what the system says of a file that was listed; refuse one that is gone since."""
    try:
        return os.stat(path)
    except OSError as error:
        why = f"a file that was listed a moment ago, and now: {error.strerror}"
        refuse(path, "", why, "images that stay where they are", "start the run again once they do")


def digest_of_images(listed: FrameList, base: Path) -> str:
    """Return the number of frames and a digest of their files' names, sizes and dates: changed ones are read again."""
    return f"{len(listed.frames)}:{digest((*listed.images, *listed.sidecars), base)}"


def digest_of_content(listed: FrameList, known: KnownImages | None = None, read: Container[Path] = ()) -> str:
    """Return the number of frames and a digest of the images of a sample that no copying and no date changes.

    Parameters
    ----------
    listed : FrameList
    known : KnownImages, optional
        What files held when they were last read: those that are as listed are not read again.
    read : container of Path, optional
        Files that are read whatever the list says.

    Notes
    -----
    Files up to 4 MiB are read whole, of larger ones 64 parts from beginning to end: a slide that was scanned again
    differs in all of them. `digest_of_images` notices when a file is written again in place.
    """
    found = hashlib.sha256()
    for path in (*listed.images, *listed.sidecars):
        state = _state(path)
        name = "" if path.is_dir() else path.name
        if known is None:
            content = _content(path, state.st_size, state.st_mtime_ns)
        else:
            content = known.digest(path, _content.__wrapped__, again=path in read)
        found.update(f"{name}\n{content}\n".encode())
    return f"{len(listed.frames)}:{found.hexdigest()[:16]}"


@functools.lru_cache(maxsize=2**20)
def _content(path: Path, size: int, mtime_ns: int) -> str:
    """Return a digest of the content of a file, or of a folder that is an image; size and date tell it from others."""
    found = hashlib.sha256()
    if path.is_dir():
        inside = sorted(file for file in path.rglob("*") if file.is_file())
        for file in inside:
            found.update(f"{file.relative_to(path).as_posix()}\t{file.stat().st_size}\n".encode())
        for file in inside[:: max(1, len(inside) // _FILES_READ)]:
            _add_content(file, found)
    else:
        _add_content(path, found)
    return found.hexdigest()[:32]


def states(listed: FrameList) -> dict[Path, State]:
    """Return what the system says of each file of a sample; a date that was set back does not hide that one changed."""
    files = dict.fromkeys(path for frame in listed.frames for path in frame.files)
    return {path: State.of(path) for path in (*files, *listed.sidecars) if not path.is_dir()}


def shared_files(
    listed: Mapping[str, FrameList],
    cameras: Mapping[str, Camera],
    patient_of: Mapping[str, str],
    first: int | None = None,
) -> Iterator[str]:
    """Yield a warning for each two samples that hold frames in files of equal content.

    Parameters
    ----------
    listed : mapping of str to FrameList
        The frames of each sample.
    cameras : mapping of str to Camera
    patient_of : mapping of str to str
        The patient of each sample.
    first : int, optional
        How many frames of each sample are compared; all where it is not given, which reads every file.
    """
    holders: dict[tuple[object, ...], dict[str, FrameRef]] = {}
    for sample, its in listed.items():
        for ref in its.frames[:first]:
            states = [(path, _state(path)) for path in ref.files]
            content = tuple(_content(path, state.st_size, state.st_mtime_ns) for path, state in states)
            holders.setdefault((content, ref.box_px, ref.image), {}).setdefault(sample, ref)
    pairs: dict[tuple[str, str], list[tuple[FrameRef, FrameRef]]] = {}
    for found in holders.values():
        for one, two in pairs_of(found):
            pairs.setdefault((one, two), []).append((found[one], found[two]))
    shows = functools.cache(lambda ref, sample: _shows_something(ref, cameras[sample]))  # a pair for each other holder
    for (one, two), both in pairs.items():
        shown = next((pair for pair in both[:_LOOKED_AT] if shows(pair[0], one)), None)
        if shown is not None:
            names = (plain(ref.files[0].name) for ref in shown)
            yield same_images(one, two, patient_of, f"{len(both)} of their images are one ({' and '.join(names)})")


def pairs_of(holders: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield each two samples that hold the same; of very many, the first with each other one, so that all are named."""
    of_each_two = itertools.combinations(holders, 2)
    return itertools.islice(of_each_two, len(holders) - 1) if len(holders) > _EACH_TWO else of_each_two


def same_images(sample: str, other: str, patient_of: Mapping[str, str], what: str) -> str:
    """Return the warning about two samples with the same image."""
    whose = (patient_of[sample], patient_of[other])
    of = f"patient {whose[0]}" if whose[0] == whose[1] else f"two patients, {whose[0]} and {whose[1]}"
    todo = "one tube must not be counted twice, nor for another patient; check the column images"
    return f"WARNING: samples {sample} and {other} of {of}: {what}: {todo}"


def _shows_something(ref: FrameRef, camera: Camera) -> bool:
    """Return whether a frame can be measured: empty corners of slides are equal without being one image."""
    try:
        read(ref, camera)
    except (FrameError, OSError):
        return False
    return True


def _add_content(path: Path, found: "hashlib._Hash") -> None:
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        found.update(f"{size}\n".encode())
        if size <= _WHOLE:
            found.update(file.read())
            return
        for k in range(_PARTS):
            file.seek(k * (size - _PART) // (_PARTS - 1))
            found.update(file.read(_PART))


def digest_of_events(listed: FrameList, base: Path) -> str:
    """Return the same for the files with the operator's calls, which are not images."""
    return digest((path for _, path in listed.events), base)


def digest(paths: Iterable[Path], base: Path) -> str:
    """Return a digest of names relative to `base`, sizes and dates of files; for a folder, of all files in it."""
    found = hashlib.sha256()
    for path in paths:
        state, (folder, name) = _state(path), os.path.split(path)
        if stat.S_ISDIR(state.st_mode):  # an image that is a folder
            inside = (Path(at, file) for at, _, files in os.walk(path) for file in files)
            found.update(digest(sorted(filter(os.path.exists, inside)), base).encode())
        found.update(f"{_relative(folder, base)}/{name}\t{state.st_size}\t{state.st_mtime_ns}\n".encode())
    return found.hexdigest()[:16]


@functools.cache
def _relative(folder: str, base: Path) -> str:
    return os.path.relpath(folder, base)
