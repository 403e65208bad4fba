"""Which images of a file or folder belong to a sample: wells, positions and series, chosen in the cell `images`."""

import fnmatch
import re
from collections.abc import Iterable
from dataclasses import replace

from ctcascade.data.choice import ALL, SIGN
from ctcascade.data.errors import plain, refuse
from ctcascade.formats.frame import Layout

_SHOWN = 8
_WELL = re.compile(r"([A-P]|[A-Z][A-Z])[/_ -]?0*([1-9][0-9]?)", re.IGNORECASE)
_FIELD_OF_WELL = re.compile(r"(?:well[ _-]*)?([A-P])0*([1-9]|1[0-9]|2[0-4])(?:[ _:-].*)?", re.IGNORECASE)
_ROW_COLUMN = re.compile(r"r0*([1-9][0-9]?)c0*([1-9][0-9]?)", re.IGNORECASE)


def well_of(row: int, column: int) -> str:
    """Return the name of a well from its row and column, which count from 0."""
    first = chr(ord("A") + row // 26 - 1) if row >= 26 else ""
    return f"{first}{chr(ord('A') + row % 26)}{column + 1}"


def wells_in_names(names: Iterable[str]) -> dict[str, str]:
    """Return the well of each name if all are named as fields of wells (``B04``, ``B4_0001``); otherwise nothing."""
    told = {name: _FIELD_OF_WELL.fullmatch(name.strip()) for name in names}
    if not told or not all(told.values()):
        return {}
    return {name: f"{match[1].upper()}{int(match[2])}" for name, match in told.items() if match}


def chosen(layout: Layout, part: str, choice: str) -> Layout:
    """Return the layout of the images that the cell `images` chooses.

    Parameters
    ----------
    layout : Layout
    part : str
        The part of the cell, for messages.
    choice : str
        A well, a position, a series or a scene, by name; ``*`` stands for any letters; empty for all of one group.

    Raises
    ------
    InputError
        If nothing is chosen where images of several wells or series are there, or nothing has the name.
    """
    if choice:
        kept = {frame for frame in layout.frames if named(choice, _names(layout, frame))}
        if kept:
            return _only(layout, kept)
        has = _few(_names(layout, frame)[0] for frame in layout.frames) if layout.scenes else "one image, without parts"
        refuse(part, "", f"nothing named {plain(choice)} in it", f"one of: {has}", "choose one of them")
    groups = list(dict.fromkeys(layout.groups.values()))
    if len(groups) > 1:
        wanted = "the images of one sample"
        todo = f"name those of this sample, such as {plain(part)}{SIGN}{plain(groups[0])}, or {SIGN}{ALL} if all are"
        refuse(part, "", f"{len(groups)} {layout.group_word} ({_few(groups)})", wanted, todo)
    return layout


def named(choice: str, names: Iterable[str]) -> bool:
    """Return whether a choice means any of the names; a well may be written ``B3``, ``B03``, ``B/03`` or ``r02c03``."""
    return any(_same(choice, name) for name in names)


def _names(layout: Layout, frame: str) -> tuple[str, ...]:
    group = layout.groups.get(frame)
    return (*((group,) if group else ()), *layout.scenes.get(frame, (frame,)))


def _only(layout: Layout, kept: set[str]) -> Layout:
    frames = {frame: files for frame, files in layout.frames.items() if frame in kept}
    repeated = tuple(found for found in layout.repeated if found[0] in kept)
    return replace(layout, frames=frames, repeated=repeated)


def _same(choice: str, name: str) -> bool:
    if fnmatch.fnmatchcase(name.casefold(), _literal(choice.casefold())):
        return True
    mine, its = _canonical(choice), _canonical(name)
    return bool(mine) and mine == its


def _literal(choice: str) -> str:
    """Return a pattern in which only * and ? are wildcards."""
    return choice.replace("[", "[[]")


def _canonical(name: str) -> str:
    """Return a well as ``B3``, however it is written; empty for what is no well."""
    numbers = _ROW_COLUMN.fullmatch(name.strip())
    if numbers:
        return well_of(int(numbers[1]) - 1, int(numbers[2]) - 1)
    match = _WELL.fullmatch(name.strip())
    return f"{match[1].upper()}{int(match[2])}" if match else ""


def _few(names: Iterable[str]) -> str:
    told = list(dict.fromkeys(names))
    return ", ".join(map(plain, told[:_SHOWN])) + (" ..." if len(told) > _SHOWN else "")
