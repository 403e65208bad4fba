"""From a row of the sample sheet to its frames: names from one listing of each folder, no file is opened."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline import formats
from pipeline.errors import Fault, plain, refuse, refuse_all
from pipeline.formats import FrameRef


@dataclass(frozen=True)
class FrameList:
    """The frames of a sample.

    Attributes
    ----------
    frames : tuple of FrameRef
        Part by part in the order of the sheet, by name within a part (numbers by value).
    ignored : tuple of str
        Files and folders beside them that are no frame.
    format, why : str
        The layout that was read, and why this one.
    """

    frames: tuple[FrameRef, ...]
    ignored: tuple[str, ...]
    format: str
    why: str


def list_frames(images: str, base: Path, fmt: str, assay: Mapping[str, Any]) -> FrameList:
    """Return the frames that a sample's images hold.

    Parameters
    ----------
    images : str
        Folders or files, relative to `base`; parts separated by ``;``.
    base : Path
        The folder of the sample sheet.
    fmt : str
        One of `formats.FORMATS`.
    assay : mapping
        With ``channels`` and ``files``.

    Raises
    ------
    InputError
        A folder that is missing or holds no image in the layout asked for, an unknown format, two files that give one
        frame name.

    Notes
    -----
    A frame is named as its file. Where two parts hold a name, the number of the part stands before all names.
    """
    if fmt not in formats.FORMATS:
        refuse("format", "", fmt, " | ".join(formats.FORMATS), "choose one, or leave the column empty")
    frames: list[FrameRef] = []
    ignored: list[str] = []
    layouts = []
    parts = [part.strip() for part in images.split(";") if part.strip()]
    if not parts:
        refuse("images", "", "nothing", "folders or files of images, parts separated by ;", "name them")
    for number, part in enumerate(parts):
        names, others = _listing(part, Path(base))
        layout = formats.recognise(names, fmt, dict(assay))
        layouts.append(layout)
        ignored += [*others, *layout.ignored]
        if not layout.frames:
            found = f"{len(names)} image files, none of that layout" if names else "no image file"
            refuse(part, "", found, _expected(fmt, assay), "name the folder that holds the images themselves")
        refuse_all(
            Fault(part, plain(frame), f"{plain(a)} and {plain(b)}", "one file a frame name", "rename or remove one")
            for frame, a, b in layout.repeated
        )
        folder = Path(os.path.relpath(part, base) if os.path.isabs(part) else part)
        folder = folder if (Path(base) / folder).is_dir() else folder.parent
        for frame in sorted(layout.frames, key=_natural):
            entries = layout.frames[frame]
            frames.append(
                FrameRef(
                    frame=frame,
                    path=(folder / entries[0][1]).as_posix(),
                    files=tuple(Path(base) / folder / name for _, name in entries),
                    part=number,
                    format=layout.format,
                    channels=tuple(channel for channel, _ in entries),
                )
            )
    if len({ref.frame for ref in frames}) < len(frames):  # slides of one draw that number their frames alike
        frames = [replace(ref, frame=f"{ref.part + 1}_{ref.frame}") for ref in frames]
    return FrameList(tuple(frames), tuple(ignored), layouts[0].format, layouts[0].why)


def _listing(part: str, base: Path) -> tuple[list[str], list[str]]:
    """Return the image files of a folder (or the one file), and all else that lies there, by name."""
    place = base / part
    if place.is_file():
        return [place.name], []
    if not place.is_dir():
        refuse(part, "", "no such folder or file", "a folder of images, relative to the sample sheet", "mend the path")
    entries = sorted((e for e in place.iterdir() if not e.name.startswith(".")), key=lambda e: _natural(e.name))
    names = [e.name for e in entries if e.is_file() and e.suffix.lower() in formats.IMAGE_SUFFIXES]
    taken = set(names)
    return names, [e.name for e in entries if e.name not in taken]


def _natural(name: str) -> tuple[tuple[int, int, str], ...]:
    """Return a key that puts f2 before f10, and is total: names that differ never tie."""
    key = tuple((0, int(t), t) if t.isdecimal() else (1, 0, t) for t in re.split(r"([0-9]+)", name) if t)
    return (*key, (2, 0, name))


def _expected(fmt: str, assay: Mapping[str, Any]) -> str:
    layouts = {
        "ome-tiff": "TIFF files, one a frame",
        "files": f"files named {assay.get('files')} with the assay's channel names",
        "bzscanner": "files named Tile000001.jpg (or .tif) and so on",
    }
    return layouts.get(fmt) or f"one of: {'; '.join(layouts.values())}"
