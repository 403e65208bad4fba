"""What every reader returns: a frame whose channels are named by role, in the camera's own counts."""

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ctcascade.data.camera import Camera
from ctcascade.data.errors import plain
from ctcascade.data.vocabulary import ROLES
from ctcascade.formats import frame_error, guard
from ctcascade.formats.scale import Counts, to_counts
from ctcascade.formats.strips import lost_strips

FrameError = frame_error.FrameError
MAX_PIXELS, check_size = guard.MAX_PIXELS, guard.check_size
STACK = "a stack in depth or time; one plane a channel is expected"
UM = {"µm": 1.0, "um": 1.0, "μm": 1.0, "nm": 1e-3, "mm": 1e3, "cm": 1e4, "m": 1e6, "pm": 1e-6, "Å": 1e-4}
UM |= {"micron": 1.0, "microns": 1.0, "inch": 25_400.0}
UM |= {"micrometer": 1.0, "nanometer": 1e-3, "millimeter": 1e3, "centimeter": 1e4, "meter": 1e6, "angstrom": 1e-4}
"""Units of length, as files write them, in um."""
_NOT_SQUARE = 0.01
_OTHER_SIZE = 0.01
_NUMBERED = re.compile(r"((channel|ch|c|image|wavelength|w|default)?[ :_#-]*\d*([ :_-]\d+)?|default)", re.IGNORECASE)
Box = tuple[int, int, int, int]
Planes = Mapping[str, NDArray[Any]]
T = TypeVar("T")


@dataclass(frozen=True)
class FrameRef:
    """Where one frame is stored.

    Attributes
    ----------
    frame : str
        Unique in the sample.
    path : str
        The first file, relative to the sample sheet.
    files : tuple of Path
        All its files.
    part : int
        Number of the folder in the sheet that it came from, from 0.
    format : str
        The reader.
    channels : tuple of str
        If known from names outside the images: the channel of each file, or of each page of a single file.
    sidecars : tuple of Path or None
        For each file, the file beside it that says how to read it, which need not exist; empty if there are none.
    box_px : Box or None
        The part of the file that is the frame: rows y0 to y1 and columns x0 to x1, ends excluded; None for all of it.
    position_um : (float, float) or None
        y and x of its first pixel, if known before the frame is read.
    pixel_size_um : float or None
        If a file beside the images states it.
    image : int
        Which of the images in the file, from 0; -1 for a file that holds one only.
    """

    frame: str
    path: str
    files: tuple[Path, ...]
    part: int
    format: str
    channels: tuple[str, ...] = ()
    sidecars: tuple[Path | None, ...] = ()
    box_px: Box | None = None
    position_um: tuple[float, float] | None = None
    pixel_size_um: float | None = None
    image: int = -1


@dataclass(frozen=True)
class Layout:
    """How the files of one folder form frames, from their names.

    Attributes
    ----------
    format, why : str
        The reader, and why it was chosen.
    frames : dict
        Frame name to ((channel, file name), ...); the channel is empty where one file holds all.
    ignored : tuple of str
        Names that do not belong to any frame.
    sidecars : tuple of str
        Files beside the images that say how to read them.
    sidecar_of : dict
        By name of an image: the sidecar for that image alone; it need not exist.
    pages : tuple of str
        Channel of each page, if a sidecar says it.
    boxes, positions_um : dict
        By frame name, if known; as in `FrameRef`.
    pixel_size_um : float or None
        If a sidecar states it.
    events : str
        The file with the calls of the scanner's operator, if there is one.
    repeated : tuple of (str, str, str)
        Frame name and two files that both claim to be the same channel of it.
    images : dict of str to int
        By frame name: which of the images of a file it is, where there are several.
    scenes : dict of str to tuple of str
        By frame name: the names by which the sheet may choose it.
    groups : dict of str to str
        By frame name: the well or series that it is of; frames of several are taken as one sample only if chosen so.
    group_word : str
        What groups are.
    """

    format: str
    why: str
    frames: dict[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()
    sidecars: tuple[str, ...] = ()
    sidecar_of: dict[str, str] = field(default_factory=dict)
    pages: tuple[str, ...] = ()
    boxes: dict[str, Box] = field(default_factory=dict)
    positions_um: dict[str, tuple[float, float]] = field(default_factory=dict)
    pixel_size_um: float | None = None
    events: str = ""
    repeated: tuple[tuple[str, str, str], ...] = ()
    images: dict[str, int] = field(default_factory=dict)
    scenes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)
    group_word: str = "wells"


@dataclass(frozen=True)
class Frame:
    """One field of view.

    Attributes
    ----------
    pixels : ndarray of float32, shape (C, Y, X)
        The camera's own counts, with the offset of the file subtracted.
    roles : tuple of str
        Role of each channel; ``dna``, ``ck`` and ``cd45`` are among them.
    pixel_size_um : float
    ceiling : float
        The counts at which a pixel is saturated.
    notes : tuple of str
        What the reader found that deserves a flag, as single words.
    position_um : (float, float) or None
        y and x of its first pixel on the slide, except for a common shift and the directions of the stage.
    written : float
        The share of its pixels that the file holds; the others have the fill value of the format.
    steps : tuple of float
        The smallest difference between two values of each channel; empty for 1.
    scale : str
        Bits of the numbers that hold the counts, ``8`` or ``16``; frames of two scales are not compared.
    size_from : str
        What states the pixel size: ``file`` or ``assay``.
    channels_from : str
        ``names``, or ``order`` where the planes have no names and the assay trusts their order.
    page_order : str
        The roles of the planes in the order of the file, with commas; empty where each lies in a file of its own.
    names : tuple of str
        What the file, or its name, calls each channel, in the order of `roles`; empty words where it does not say it.
    bits_from : str
        How the largest count is known: ``file``, ``values`` (they exceed the assay's) or ``assay``.
    exposure_ms : tuple of float
        Of each channel, where the file tells it of all; else empty.
    white : tuple of float
        Of each channel, the share of its pixels at the ceiling in rows and columns that hold no image, which are dark
        in `pixels`; empty where there are none.
    """

    pixels: NDArray[np.float32]
    roles: tuple[str, ...]
    pixel_size_um: float
    ceiling: float
    notes: tuple[str, ...] = ()
    position_um: tuple[float, float] | None = None
    written: float = 1.0
    steps: tuple[float, ...] = ()
    scale: str = "16"
    size_from: str = "file"
    channels_from: str = "names"
    page_order: str = ""
    names: tuple[str, ...] = ()
    bits_from: str = "assay"
    exposure_ms: tuple[float, ...] = ()
    white: tuple[float, ...] = ()

    @property
    def planes(self) -> Iterator[tuple[str, NDArray[np.float32], float]]:
        """Each channel's role, pixels, and smallest difference between two values."""
        return zip(self.roles, self.pixels, self.steps or (1.0,) * len(self.roles), strict=True)


def square(down: float | None, across: float | None) -> float | None:
    """Return the edge of a pixel in um, None where it is not stated or 0; refuse what is no pixel, or no square one."""
    down, across = down or None, across or None
    for size in (down, across):
        if size is not None and not 0.01 <= size <= 20:
            raise FrameError(f"a pixel size of {plain(size)} um")
    if down and across and abs(across / down - 1) > _NOT_SQUARE:
        raise FrameError(f"pixels of {down:g} x {across:g} um (y, x); square ones are expected")
    return across


def grouped(
    fmt: str, why: str, found: Sequence[tuple[str, str, str]], ignored: Sequence[str], camera: Camera
) -> Layout:
    """Return the layout of files found as (frame, channel, file name); two of the same frame and role are repeated."""
    frames: dict[str, tuple[tuple[str, str], ...]] = {}
    seen: dict[tuple[str, str | None], str] = {}
    repeated = []
    role = functools.cache(lambda channel: role_of(channel, camera.channels))  # thousands of files, a few channels
    for frame, channel, name in found:
        key = (frame, role(channel))
        if key in seen:
            repeated.append((frame, seen[key], name))
        seen[key] = name
        frames[frame] = (*frames.get(frame, ()), (channel, name))
    return Layout(fmt, why, frames, tuple(ignored), repeated=tuple(repeated))


def role_of(name: str, channels: Mapping[str, Sequence[str]]) -> str | None:
    """Return the role that an assay gives to the channel `name`, ignoring case; None for an unknown channel."""
    wanted = name.strip().casefold()
    return next((role for role, names in channels.items() if wanted in (n.casefold() for n in names)), None)


def refuse_two_roles(names: Sequence[str], camera: Camera) -> None:
    """Refuse a channel whose names, of which a file may give several, are of two roles."""
    of = {role: name for name in names if (role := role_of(name, camera.channels)) is not None}
    if len(of) > 1:
        told = " and ".join(f"{plain(name)} ({role})" for role, name in of.items())
        raise FrameError(f"a channel has two names that contradict each other: {told}")


def by_role(found: Sequence[T], names: Sequence[str], camera: Camera) -> dict[str, T]:
    """Return the planes by role; planes without names in the order of the assay's channels, where it trusts that.

    Names that only number the channels (``Channel 1``, ``C0``) and that the assay does not know are no names.

    Raises
    ------
    FrameError
        If two planes have one role, a channel that every call needs has none, or there are no names and the assay does
        not trust the order or has another number of channels.
    """
    if is_unnamed(names, camera):
        if camera.channel_order != "trusted":
            told = f" (numbered: {', '.join(map(plain, names))})" if any(names) else ""
            raise FrameError(
                f"{len(found)} planes without channel names{told}: which is {', '.join(camera.channels)}? Save the "
                "images with names, or, if the planes always come in the order of the assay's channels, write "
                "channel_order: trusted in the assay",
                channels=("",) * len(found),
            )
        if len(found) != len(camera.channels):
            raise FrameError(
                f"{len(found)} planes without channel names; the assay has {len(camera.channels)} channels"
            )
        return dict(zip(camera.channels, found, strict=True))
    named: dict[str, T] = {}
    for name, plane in zip(names, found, strict=True):
        role = role_of(name, camera.channels)
        if role in named:
            raise FrameError(f"two channels are {role}: the file names {', '.join(map(plain, names))}")
        if role is not None:
            named[role] = plane
    missing = [role for role in ROLES if role not in named]
    if missing:
        told = ", ".join(map(plain, names))
        raise FrameError(f"channel missing: {', '.join(missing)}; the file names {told}", channels=tuple(names))
    return named


def is_unnamed(names: Sequence[str], camera: Camera) -> bool:
    """Return whether names are none, or only number the channels in words that the assay does not know."""
    if not any(names):
        return True
    return not any(role_of(name, camera.channels) for name in names) and all(map(_NUMBERED.fullmatch, names))


def assemble(
    planes: Planes,
    camera: Camera,
    pixel_size_um: float | None,
    ceiling: float | None = None,
    position_um: tuple[float, float] | None = None,
    written: float = 1.0,
    *,
    bits: int | None = None,
    restored: bool = False,
    named: bool = True,
    one_file: bool = True,
    names: Sequence[str] = (),
    exposure_ms: Mapping[str, float] | None = None,
    notes: Sequence[str] = (),
) -> Frame:
    """Return the frame of planes by role, on one scale; refuse one that cannot be measured.

    Parameters
    ----------
    planes : mapping of str to ndarray of integers, shape (Y, X)
        In the order of the file.
    camera : Camera
    pixel_size_um : float or None
        From the file; None if the file does not state it.
    ceiling : float, optional
        The count of a saturated pixel, if the reader knows it.
    position_um : (float, float), optional
        y and x of the frame on the stage.
    written : float, optional
        The share of the pixels that the file holds.
    bits : int, optional
        Significant bits of the camera, where the file states them.
    restored : bool, optional
        The reader has brought the planes to the camera's counts already.
    named : bool, optional
        The file names the planes.
    one_file : bool, optional
        All planes lie in one file, in an order.
    names : sequence of str, optional
        What the file or its name calls its channels, in any order.
    exposure_ms : mapping of str to float, optional
        By role, if the file tells it.
    notes : sequence of str, optional
        What the reader found that deserves a flag.
    """
    missing = [role for role in ROLES if role not in planes]
    if missing:
        raise FrameError(f"channel missing: {', '.join(missing)}")
    shapes = {plane.shape for plane in planes.values()}
    if any(len(shape) != 2 or 0 in shape for shape in shapes):
        raise FrameError(f"the file did not give planes of pixels: {sorted(shapes)}")
    if len(shapes) > 1:
        raise FrameError(f"channels of different size: {sorted(shapes)}")
    order = ",".join(planes) if one_file else ""
    ordered = {role: planes[role] for role in camera.channels if role in planes}
    full = 2**camera.bit_depth - 1
    counts = _as_restored(ordered, full) if restored else to_counts(ordered, full, bits)
    full_pixel = counts.ceiling if ceiling is None else ceiling
    _refuse_blank(counts.planes, full_pixel)
    _refuse_equal(counts.planes)
    counts, written, white = _without_lost_strips(counts, written, full_pixel)
    flags = [*notes, *counts.notes]
    if pixel_size_um is None:
        flags.append("pixel_size_assumed")
    elif abs(pixel_size_um / camera.pixel_size_um - 1) > _OTHER_SIZE:
        flags.append("pixel_size_differs")
    if written < 1:
        flags.append("partly_imaged")
    return Frame(
        np.stack(list(counts.planes.values()), dtype=np.float32),
        tuple(ordered),
        pixel_size_um if pixel_size_um is not None else camera.pixel_size_um,
        full_pixel,
        tuple(flags),
        position_um,
        written,
        tuple(counts.steps.values()),
        counts.scale,
        "assay" if pixel_size_um is None else "file",
        "names" if named else "order",
        order,
        tuple(next((name for name in names if role_of(name, camera.channels) == role), "") for role in ordered),
        _bits_from(counts, bits, full_pixel),
        tuple(exposure_ms[role] for role in ordered) if exposure_ms and set(ordered) <= set(exposure_ms) else (),
        white,
    )


def _bits_from(counts: Counts, bits: int | None, ceiling: float) -> str:
    if counts.scale == "8" or (bits and ceiling == 2**bits - 1):
        return "file"
    return "values" if "bit_depth_differs" in counts.notes else "assay"


def _without_lost_strips(counts: Counts, written: float, ceiling: float) -> tuple[Counts, float, tuple[float, ...]]:
    """Return planes that are dark in rows and columns that one of them lost, and two shares.

    They are the share that was imaged in all, and, by channel, that of the pixels at the ceiling in what is now dark.
    A cell of which a stain is lost cannot be called: without CD45 a leukocyte would be a CTC.
    """
    strips = {role: lost_strips(counts.planes[role]) for role in ROLES}
    gone = np.zeros(counts.planes[ROLES[0]].shape, np.bool_)
    for rows, columns in strips.values():
        gone |= rows[:, None] | columns[None, :]
    if not gone.any():
        return counts, written, ()
    if gone.all():
        raise FrameError("no part that every channel shows: rows or columns of one value in one channel or another")
    planes = {
        role: np.where(gone, plane[~gone].min(), plane) if role in ROLES else plane
        for role, plane in counts.planes.items()
    }
    white = tuple(
        float(np.count_nonzero(plane[gone] >= ceiling)) / plane.size if role in ROLES else 0.0
        for role, plane in counts.planes.items()
    )
    return replace(counts, planes=planes), min(written, 1 - float(gone.mean())), white


def _as_restored(planes: Planes, full: int) -> Counts:
    """Return counts that a reader has restored itself."""
    if not all(np.isfinite(plane).all() for plane in planes.values()):
        raise FrameError("pixels that are no numbers")
    top = max(float(plane.max()) for plane in planes.values())
    return Counts(dict(planes), float(full) if top <= full else 65535.0, dict.fromkeys(planes, 1.0), "16", ())


def _refuse_blank(planes: Planes, ceiling: float) -> None:
    """Refuse a frame in which a required channel is uniform."""
    range_of = {role: (float(planes[role].min()), float(planes[role].max())) for role in ROLES}
    saturated = [role for role, (low, _) in range_of.items() if low >= ceiling]
    if saturated:
        raise FrameError(f"saturated all over: {', '.join(saturated)}")
    blank = [f"{role} ({low:g})" for role, (low, high) in range_of.items() if low == high]
    if blank:
        raise FrameError(f"blank, every pixel alike: {', '.join(blank)}")


def _refuse_equal(planes: Planes) -> None:
    """Refuse a frame in which two channels hold the same pixels: one of them was read from the wrong place."""
    roles = list(planes)
    for k, role in enumerate(roles):
        for other in roles[k + 1 :]:
            one, two = planes[role], planes[other]
            if one.dtype == two.dtype and (one[:1] == two[:1]).all() and np.array_equal(one, two) and np.ptp(one) > 0:
                raise FrameError(f"{role} and {other} hold the same pixels: two channels cannot be one image")
