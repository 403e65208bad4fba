"""What OME metadata say of a TIFF or of a set of TIFFs: images, channels, and on which page of which file each lies."""

from dataclasses import dataclass, replace
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from ctcascade.data.errors import plain
from ctcascade.formats.frame import STACK, UM, FrameError, square
from ctcascade.formats.markup import MarkupError, parse

_MOST_CHANNELS = 256
_NO_FRAME = ("label", "macro", "thumbnail", "overview")  # pictures of the glass that slide scanners add


@dataclass(frozen=True)
class Place:
    """Where a plane lies: the name of a file, empty for the file itself; the file's UUID if told; the page from 0."""

    file: str
    page: int
    uuid: str = ""


@dataclass(frozen=True)
class OmeImage:
    """One image of the metadata.

    Attributes
    ----------
    title : str
    names : tuple of str
        One a channel, empty where none is named.
    places : tuple of Place or None
        One a channel; None for a channel that no file holds.
    pixel_size_um : float or None
    position_um : (float, float) or None
        y and x of the stage.
    bits : int or None
        Significant bits of the camera.
    colour : bool
        A plane holds several colours.
    """

    title: str
    names: tuple[str, ...]
    places: tuple[Place | None, ...]
    pixel_size_um: float | None
    position_um: tuple[float, float] | None
    bits: int | None
    colour: bool

    @property
    def files(self) -> tuple[str, ...]:
        """The files that hold its planes, each once; empty for the file itself."""
        return tuple(dict.fromkeys(place.file for place in self.places if place is not None))


@dataclass(frozen=True)
class Ome:
    """The images of the metadata; or, where these lie in another file, the name of that file (BinaryOnly)."""

    images: tuple[OmeImage, ...]
    master: str = ""
    uuid: str = ""

    @property
    def in_other_files(self) -> bool:
        """Whether any plane or the metadata lie in another file."""
        return bool(self.master) or any(file for image in self.images for file in image.files)


def read_ome(xml: str | bytes, own: str) -> Ome:
    """Return what OME metadata say.

    Parameters
    ----------
    xml : str or bytes
    own : str
        The name of the file that the metadata lie in.

    Raises
    ------
    FrameError
        If they cannot be read, tell of a stack in depth or time or of pixels that are not square, or give a plane no
        place, or two.
    """
    try:
        root = parse(xml)
    except MarkupError as error:
        raise FrameError(f"OME metadata: {error}") from error
    uuid = root.get("UUID", "").strip()
    binary = root.find("{*}BinaryOnly")
    if binary is not None:
        return Ome((), _plain_name(binary.get("MetadataFile", "")), uuid)
    found = [(image, image.find("{*}Pixels")) for image in root.iter() if image.tag.rpartition("}")[2] == "Image"]
    pairs = [(image.get("Name", ""), pixels) for image, pixels in found if pixels is not None]
    images = [_image(title, pixels, own, uuid, len(pairs) > 1) for title, pixels in pairs if not _of_glass(title)]
    return Ome(_at_home(images, own, uuid), uuid=uuid)


def _of_glass(title: str) -> bool:
    return title.strip().lower().rpartition(" ")[2].strip("[]()") in _NO_FRAME


def _image(title: str, pixels: Any, own: str, uuid: str, several: bool) -> OmeImage:
    if _number(pixels, "SizeZ", 1) * _number(pixels, "SizeT", 1) != 1:
        raise FrameError(STACK)
    channels = pixels.findall("{*}Channel")
    n, samples = _number(pixels, "SizeC", len(channels)), [_number(c, "SamplesPerPixel", 1) for c in channels]
    colour = any(k > 1 for k in samples)
    names = tuple(channel.get("Name", "").strip() for channel in channels)
    n = len(names) if colour else n
    if n > _MOST_CHANNELS or (names and len(names) != n):
        raise FrameError(f"the metadata name {len(names)} channels, where SizeC is {n}")
    down, across = (length_um(pixels, f"PhysicalSize{axis}", "µm") for axis in "YX")
    plane = pixels.find("{*}Plane")
    y, x = (None, None) if plane is None else (length_um(plane, f"Position{axis}", "") for axis in "YX")
    bits = pixels.get("SignificantBits")
    return OmeImage(
        title,
        names if any(names) else (),
        _places(pixels, n, names, own, uuid, several),
        square(down, across),
        None if y is None or x is None else (y, x),
        int(bits) if bits and bits.isdecimal() and 1 <= int(bits) <= 32 else None,
        colour,
    )


def _places(
    pixels: Any, n: int, names: tuple[str, ...], own: str, uuid: str, several: bool
) -> tuple[Place | None, ...]:
    """Return where each channel's plane lies, as the blocks TiffData say; no block stands for the pages in order."""
    blocks = pixels.findall("{*}TiffData")
    if not blocks:
        if several:
            raise FrameError("several images in the metadata, and no TiffData that says which page is whose")
        return tuple(Place("", page) for page in range(n))
    starts = sorted({_number(block, "FirstC", 0) for block in blocks} | {n})
    found: dict[int, Place] = {}
    for block in blocks:
        for c, place in _planes_of(block, n, starts, own, uuid):
            if found.setdefault(c, place) != place:
                raise FrameError(f"channel {_named(c, names)} has two places in the metadata")
    taken: dict[Place, int] = {}
    for c, place in sorted(found.items()):
        if place in taken:
            both = f"{_named(taken[place], names)} and {_named(c, names)}"
            raise FrameError(f"page {place.page + 1} is said to be the channels {both}; a page shows one channel")
        taken[place] = c
    return tuple(found.get(c) for c in range(n))


def _planes_of(block: Any, n: int, starts: list[int], own: str, uuid: str) -> list[tuple[int, Place]]:
    """Return the channels of a block with their places; without IFD and PlaneCount it reaches to the next block."""
    first, page = _number(block, "FirstC", 0), _number(block, "IFD", 0)
    if _number(block, "FirstZ", 0) or _number(block, "FirstT", 0):
        raise FrameError(STACK)
    if first >= n:
        raise FrameError(f"TiffData with FirstC {first}, where there are {n} channels")
    open_ended = min(start for start in starts if start > first) - first
    count = _number(block, "PlaneCount", 1 if block.get("IFD") is not None else open_ended)
    if first + count > n:
        raise FrameError(f"TiffData of {count} planes from channel {first}, where there are {n} channels")
    told = block.find("{*}UUID")
    file, whose = ("", "") if told is None else (told.get("FileName", ""), (told.text or "").strip())
    file = _plain_name(file) if file else ""
    itself = file == own or not file or (whose and whose == uuid)
    return [(first + k, Place("" if itself else file, page + k, "" if itself else whose)) for k in range(count)]


def _at_home(images: list[OmeImage], own: str, uuid: str) -> tuple[OmeImage, ...]:
    """Return the images of a file whose metadata know it, and no other, by an earlier name: its planes are its own."""
    named = {(place.file, place.uuid) for image in images for place in image.places if place is not None}
    if len(named) != 1 or ("", "") in named:
        return tuple(images)
    ((_, whose),) = named
    if whose and uuid and whose != uuid:
        return tuple(images)
    return tuple(
        replace(image, places=tuple(place and Place("", place.page) for place in image.places)) for image in images
    )


def _number(element: Any, name: str, usual: int) -> int:
    said = element.get(name)
    if said is None:
        return usual
    if not said.strip().isdecimal() or len(said) > 9:
        raise FrameError(f"{name} {plain(said)} in the OME metadata; a whole number from 0 is expected")
    return int(said)


def _plain_name(name: str) -> str:
    """Return the name of a file beside this one; refuse what leads elsewhere."""
    if not name or name in (".", "..") or PurePosixPath(name).name != name or PureWindowsPath(name).name != name:
        raise FrameError(f"the metadata name the file {plain(name)}; a file beside this one is expected")
    return name


def _named(c: int, names: tuple[str, ...]) -> str:
    return plain(names[c]) if c < len(names) and names[c] else str(c)


def length_um(element: Any, name: str, usual: str) -> float | None:
    """Return a length in um; None where there is none or its unit is no length (OME: a "reference frame")."""
    value, unit = element.get(name), element.get(f"{name}Unit", usual)
    if value is None or unit not in UM:
        return None
    try:
        return float(value) * UM[unit] or None if name.startswith("Physical") else float(value) * UM[unit]
    except ValueError as error:
        raise FrameError(f"{name} {plain(value)} in the OME metadata; a number is expected") from error
