"""From a row of the sample sheet to its frames: each folder is listed once; headers are read only where needed."""

import functools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

from ctcascade import formats
from ctcascade.data.camera import Camera
from ctcascade.data.choice import place_and_choice
from ctcascade.data.errors import Fault, plain, refuse, refuse_all
from ctcascade.formats import FrameRef, scenes
from ctcascade.formats.found import found_instead


@dataclass(frozen=True)
class FrameList:
    """The frames of a sample.

    Attributes
    ----------
    frames : tuple of FrameRef
        Part by part in the order of the sheet, by name within a part (numbers by value).
    ignored : tuple of str
        Files and folders beside them that are not frames.
    format, why : str
        The layout that was read, and why it was chosen; if parts differ, one for each part.
    sidecars : tuple of Path
        Files that say how to read the images.
    events : tuple of (int, Path)
        Files with the calls of the scanner's operator, each with the number of its part.
    in_part : bool
        The sheet chose some of the images of a file, so that another sample may lie in the same file.
    """

    frames: tuple[FrameRef, ...]
    ignored: tuple[str, ...]
    format: str
    why: str
    sidecars: tuple[Path, ...] = ()
    events: tuple[tuple[int, Path], ...] = ()
    in_part: bool = False

    @functools.cached_property
    def images(self) -> tuple[Path, ...]:
        """The files of all frames, each once."""
        return tuple(dict.fromkeys(path for frame in self.frames for path in frame.files))


def list_frames(images: Sequence[str], base: Path, fmt: str, camera: Camera) -> FrameList:
    """Return the frames that a sample's images hold.

    Parameters
    ----------
    images : sequence of str
        Folders or files, relative to `base`, one for each part of the sample.
    base : Path
        The folder of the sample sheet.
    fmt : str
        One of `formats.FORMATS`.
    camera : Camera

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
    layouts, sidecars, events, in_part = [], list[Path](), list[tuple[int, Path]](), False
    if not images:
        refuse("images", "", "nothing", "folders or files of images", "name them")
    for number, part in enumerate(images):
        try:
            place, choice = place_and_choice(part, Path(base))
            in_part |= bool(choice)
            folder = replace(_folder(place, Path(base)), choice=choice)
            layout = formats.recognise(folder, fmt, camera)
        except OSError as error:
            _refuse_now(part, error)
        layouts.append(layout)
        ignored += layout.ignored
        if not layout.frames:
            _refuse_without_frames(part, folder, fmt, camera)
        layout = scenes.chosen(layout, place, choice)
        refuse_all(
            Fault(part, plain(frame), f"{plain(a)} and {plain(b)}", "one file a frame name", "rename or remove one")
            for frame, a, b in layout.repeated
        )
        refuse_all(_undecodable(part, layout))
        frames += _refs(layout, folder, number, Path(base))
        sidecars += [folder.path / name for name in layout.sidecars]
        events += [(number, folder.path / layout.events)] if layout.events else []
    if len({ref.frame for ref in frames}) < len(frames):  # slides of one draw that number their frames alike
        frames = [replace(ref, frame=f"{ref.part + 1}_{ref.frame}") for ref in frames]
    fmt, why = ("; ".join(dict.fromkeys(words)) for words in zip(*((a.format, a.why) for a in layouts), strict=True))
    return FrameList(tuple(frames), tuple(ignored), fmt, why, tuple(sidecars), tuple(events), in_part)


def _refuse_now(part: str, error: OSError) -> NoReturn:
    """Refuse images that the file layer cannot give now; the file is named where the error names it."""
    where = plain(error.filename) if isinstance(error.filename, str | os.PathLike) else ""
    why = error.strerror or str(error) or type(error).__name__
    refuse(part, where, why, "files that can be read now", "run again once they can be read")


def _undecodable(part: str, layout: formats.Layout) -> Iterator[Fault]:
    """Yield files whose names no table and no page can hold."""
    for name in (name for entries in layout.frames.values() for _, name in entries):
        try:
            name.encode()
        except UnicodeEncodeError:
            shown = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
            yield Fault(part, "", f"a file name with bytes that are no UTF-8: {plain(shown)}", "UTF-8", "rename it")


def _refuse_without_frames(part: str, folder: formats.Folder, fmt: str, camera: Camera) -> NoReturn:
    found, wanted, todo = found_instead(folder, camera)
    if fmt != "auto":
        layout = f"{len(folder.images)} image files, none of that layout" if folder.images else found
        refuse(part, f"format {fmt}", layout, formats.expected(fmt, camera), "empty the column format, or fix it")
    refuse(part, "", found, wanted, todo)


def _refs(layout: formats.Layout, folder: formats.Folder, part: int, base: Path) -> list[FrameRef]:
    """Return the frames of one part, by name."""
    place = Path(os.path.relpath(folder.path, base))
    here = base / place
    prefix = "" if place == Path() else f"{place.as_posix()}/"
    refs = []
    for frame in sorted(layout.frames, key=formats.natural):
        entries = layout.frames[frame]
        beside = [layout.sidecar_of.get(name) for _, name in entries]
        refs.append(
            FrameRef(
                frame=frame,
                path=prefix + entries[0][1],
                files=tuple(here / name for _, name in entries),
                part=part,
                format=layout.format,
                channels=layout.pages or tuple(channel for channel, _ in entries if channel),
                sidecars=tuple(here / name if name else None for name in beside) if any(beside) else (),
                box_px=layout.boxes.get(frame),
                position_um=layout.positions_um.get(frame),
                pixel_size_um=layout.pixel_size_um,
                image=layout.images.get(frame, -1),
            )
        )
    return refs


def _folder(part: str, base: Path) -> formats.Folder:
    """Return what lies in the folder of a part, or the one file."""
    place = base / part
    if place.is_file() or formats.is_zarr(place):
        return formats.Folder(place.parent, (place.name,))
    if not place.is_dir():
        refuse(part, "", "no such folder or file", "a folder of images, relative to the sample sheet", "fix the path")
    return formats.look_into(place)
