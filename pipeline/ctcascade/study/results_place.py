"""Whether the setting `results` names a place that a run can write into, and that holds nothing else of the user."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ctcascade.data.choice import place_and_choice
from ctcascade.data.errors import Fault, plain

_LONGEST_NAME, _LONGEST_PATH = 255, 3500  # bytes; names of samples and frames come behind
_OF_THE_SYSTEM = ("bin", "boot", "dev", "etc", "lib", "lib64", "proc", "sbin", "sys", "usr/bin", "usr/lib", "usr/share")
_IN_MEMORY = Path("/dev/shm")  # where anyone may keep files  # noqa: S108
_TODO = "name a folder for this run alone, such as --config results=results"


def faults_of(named: str, base: Path, images: Mapping[str, Sequence[str]]) -> list[Fault]:
    """Return why a run cannot keep its results there; nothing is written.

    Parameters
    ----------
    named : str
        The setting.
    base : Path
        The folder that image paths are relative to.
    images : mapping of str to sequence of str
        The images of each sample, as the sheet names them.
    """
    why = next(_reasons(named, base, images), None)
    return [Fault("results", "", why, "a folder that is new, or holds results", _TODO)] if why else []


def _reasons(named: str, base: Path, images: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Yield what speaks against a place, the plainest first."""
    if named.startswith("~") or "$" in named:
        yield f"{plain(named)}, in which ~ and $ would stand for themselves: write the path out"
    longest = max(len(os.fsencode(part)) for part in named.split("/"))
    place = Path(os.path.abspath(named))
    if longest > _LONGEST_NAME or len(os.fsencode(place)) > _LONGEST_PATH:
        yield f"{plain(named)}, a name of {max(longest, len(os.fsencode(named)))} bytes: it is too long"
        return
    blocked = next((at for at in (place, *place.parents) if os.path.lexists(at)), place)
    if os.path.lexists(blocked) and not blocked.is_dir():
        what = "a file" if blocked.is_file() else "no folder"
        yield f"{plain(named)}: {plain(blocked)} is {what}"
        return
    yield from (f"{plain(named)}, {what}" for what in _in_use(place.resolve(), base, images))
    if blocked.is_dir() and not os.access(blocked, os.W_OK | os.X_OK):
        yield f"{plain(named)}: {plain(blocked)} cannot be written into"


def _in_use(place: Path, base: Path, images: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Yield what a folder is used for already."""
    system = any(place.is_relative_to(Path("/", name)) for name in _OF_THE_SYSTEM)
    if place == Path("/") or (system and _IN_MEMORY not in place.parents):
        yield "a folder of the operating system"
    if Path.cwd().resolve().is_relative_to(place):
        yield "the working folder or one that holds it"
    if place == Path.home().resolve():
        yield "a home folder"
    for sample, parts in images.items():
        named = (base / place_and_choice(part, base)[0] for part in parts if "\0" not in part)
        # unlike Path.resolve, this bears links that lead in a circle; they are refused where images are listed
        if any(Path(os.path.realpath(path)).is_relative_to(place) for path in named):
            yield f"which holds images of {plain(sample)}"
