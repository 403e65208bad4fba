"""What OME metadata say of a TIFF or of a set of TIFFs: images, channels, and on which page of which file each lies."""

from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from ctcascade.data.errors import plain
from ctcascade.formats.frame import STACK, UM, FrameError, square
from ctcascade.formats.markup import MarkupError, parse
from ctcascade.formats.scenes import well_of

_MOST_CHANNELS = 256
_MOST_PLANES = 10_000
_MS = {"s": 1000.0, "ms": 1.0, "µs": 1e-3, "us": 1e-3, "ns": 1e-6}
_NO_FRAME = ("label", "macro", "thumbnail", "overview")  # pictures of the glass that slide scanners add


@dataclass(frozen=True)
class Place:
    """Where a plane lies: the name of a file, empty for the file itself; the page from 0; the file's UUID, and name.

    `told` is the name in the metadata, also of the file itself.
    """

    file: str
    page: int
    uuid: str = ""
    told: str = field(default="", compare=False)


@dataclass(frozen=True)
class OmeImage:
    """One image of the metadata.

    Attributes
    ----------
    title : str
    names : tuple of tuple of str
        Those of each channel (its name, then its dye), empty where none is named.
    places : tuple of tuple of Place or None
        Of each channel where its planes lie, one for each plane in depth; None for what no file holds.
    pixel_size_um : float or None
    position_um : (float, float) or None
        y and x of the stage.
    bits : int or None
        Significant bits of the camera.
    colour : bool
        A plane holds several colours.
    exposure_ms : tuple of float
        Of each channel, if told of all.
    explicit : bool
        The metadata say of each plane on which page it lies.
    well : str
        The well of a plate that the image is of, if the metadata say so.
    """

    title: str
    names: tuple[tuple[str, ...], ...]
    places: tuple[tuple[Place | None, ...], ...]
    pixel_size_um: float | None
    position_um: tuple[float, float] | None
    bits: int | None
    colour: bool
    exposure_ms: tuple[float, ...] = ()
    explicit: bool = False
    well: str = ""

    @property
    def every_place(self) -> tuple[Place, ...]:
        """Where all planes lie that a file holds."""
        return tuple(place for stack in self.places for place in stack if place is not None)

    @property
    def files(self) -> tuple[str, ...]:
        """The files that hold its planes, each once; empty for the file itself."""
        return tuple(dict.fromkeys(place.file for place in self.every_place))


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
    pairs = [(image, pixels) for image, pixels in found if pixels is not None]
    wells = _wells(root)
    images = [
        replace(
            _image(image.get("Name", ""), pixels, own, uuid, len(pairs) > 1), well=wells.get(image.get("ID", ""), "")
        )
        for image, pixels in pairs
        if not _of_glass(image.get("Name", ""))
    ]
    return Ome(_at_home(images, own, uuid), uuid=uuid)


def _wells(root: Any) -> dict[str, str]:
    """Return the well of each image of a plate, by the image's ID."""
    found = {}
    for well in root.iter():
        if well.tag.rpartition("}")[2] != "Well":
            continue
        name = well_of(_number(well, "Row", 0), _number(well, "Column", 0))
        for ref in well.iter():
            if ref.tag.rpartition("}")[2] == "ImageRef":
                found[ref.get("ID", "")] = name
    return found


def _of_glass(title: str) -> bool:
    return title.strip().lower().rpartition(" ")[2].strip("[]()") in _NO_FRAME


def _image(title: str, pixels: Any, own: str, uuid: str, several: bool) -> OmeImage:
    n_z, n_t = (_number(pixels, f"Size{axis}", 1) for axis in "ZT")
    if n_t > 1:
        raise FrameError(f"{n_t} points in time; one is expected: save the one to count by itself")
    channels = pixels.findall("{*}Channel")
    n, samples = _number(pixels, "SizeC", len(channels)), [_number(c, "SamplesPerPixel", 1) for c in channels]
    colour = any(k > 1 for k in samples)
    names = tuple(_names(channel) for channel in channels)
    n = len(names) if colour else n
    if n > _MOST_CHANNELS or (names and len(names) != n):
        raise FrameError(f"the metadata name {len(names)} channels, where SizeC is {n}")
    if not 1 <= n_z <= _MOST_PLANES:
        raise FrameError(f"{n_z} planes in depth")
    down, across = (length_um(pixels, f"PhysicalSize{axis}", "µm") for axis in "YX")
    plane = pixels.find("{*}Plane")
    y, x = (None, None) if plane is None else (length_um(plane, f"Position{axis}", "") for axis in "YX")
    bits = pixels.get("SignificantBits")
    blocks = pixels.findall("{*}TiffData")
    return OmeImage(
        title,
        names if any(names) else (),
        _places(pixels, _Order(pixels, n, n_z, names), own, uuid, several),
        square(down, across),
        None if y is None or x is None else (y, x),
        int(bits) if bits and bits.isdecimal() and 1 <= int(bits) <= 32 else None,
        colour,
        _exposures(pixels, n),
        bool(blocks) and all(block.get("IFD") is not None for block in blocks),
    )


def _names(channel: Any) -> tuple[str, ...]:
    told = (channel.get(word, "").strip() for word in ("Name", "Fluor"))
    return tuple(dict.fromkeys(name for name in told if name))


def _exposures(pixels: Any, n: int) -> tuple[float, ...]:
    """Return the exposure of each channel, ms, if the planes tell one of each."""
    found: dict[int, float] = {}
    for plane in pixels.findall("{*}Plane"):
        time = plane.get("ExposureTime")
        unit = _MS.get(plane.get("ExposureTimeUnit", "s"))
        if time is None or unit is None:
            continue
        try:
            found.setdefault(_number(plane, "TheC", 0), float(time) * unit)
        except ValueError as error:
            raise FrameError(f"ExposureTime {plain(time)} in the OME metadata; a number is expected") from error
    return tuple(found[c] for c in range(n)) if n and set(range(n)) <= set(found) else ()


class _Order:
    """The planes of an image in the order of its dimensions."""

    def __init__(self, pixels: Any, n: int, n_z: int, names: tuple[tuple[str, ...], ...]):
        order = pixels.get("DimensionOrder", "XYCZT")
        self.channels_first = order.find("C") < order.find("Z")
        self.n, self.n_z, self.names = n, n_z, names
        self.planes = n * n_z

    def at(self, c: int, z: int) -> int:
        """Return the number of a plane."""
        return c + self.n * z if self.channels_first else z + self.n_z * c

    def channel(self, plane: int) -> int:
        """Return the channel of a plane."""
        return plane % self.n if self.channels_first else plane // self.n_z

    def told(self, plane: int) -> str:
        """Return what messages call the channel of a plane."""
        c = self.channel(plane)
        return plain(self.names[c][0]) if c < len(self.names) and self.names[c] else str(c)


def _places(pixels: Any, order: _Order, own: str, uuid: str, several: bool) -> tuple[tuple[Place | None, ...], ...]:
    """Return where each channel's planes lie, as the blocks TiffData say; no block stands for the pages in order."""
    blocks = pixels.findall("{*}TiffData")
    found: dict[int, Place] = {}
    if not blocks:
        if several:
            raise FrameError("several images in the metadata, and no TiffData that says which page is whose")
        found = {plane: Place("", plane) for plane in range(order.planes)}
    starts = sorted({_first(block, order) for block in blocks} | {order.planes})
    for block in blocks:
        for plane, place in _planes_of(block, order, starts, own, uuid):
            if found.setdefault(plane, place) != place:
                raise FrameError(f"channel {order.told(plane)} has two places in the metadata")
    taken: dict[Place, int] = {}
    for plane, place in sorted(found.items()):
        if place in taken:
            both = f"{order.told(taken[place])} and {order.told(plane)}"
            raise FrameError(f"page {place.page + 1} is said to be the channels {both}; a page shows one channel")
        taken[place] = plane
    return tuple(tuple(found.get(order.at(c, z)) for z in range(order.n_z)) for c in range(order.n))


def _first(block: Any, order: _Order) -> int:
    c, z, t = (_number(block, f"First{axis}", 0) for axis in "CZT")
    if t or z >= order.n_z:
        raise FrameError(STACK)
    if c >= order.n:
        raise FrameError(f"TiffData with FirstC {c}, where there are {order.n} channels")
    return order.at(c, z)


def _planes_of(block: Any, order: _Order, starts: list[int], own: str, mine: str) -> list[tuple[int, Place]]:
    """Return the planes of a block with their places; without IFD and PlaneCount it reaches to the next block."""
    first, page = _first(block, order), _number(block, "IFD", 0)
    open_ended = min(start for start in starts if start > first) - first
    count = _number(block, "PlaneCount", 1 if block.get("IFD") is not None else open_ended)
    if first + count > order.planes:
        raise FrameError(f"TiffData of {count} planes from channel {first}, where there are {order.n} channels")
    told = block.find("{*}UUID")
    file, whose = ("", "") if told is None else (told.get("FileName", ""), (told.text or "").strip())
    file = _plain_name(file) if file else ""
    itself = file == own or not file or (whose and whose == mine)
    name, uuid = ("", "") if itself else (file, whose)
    return [(first + k, Place(name, page + k, uuid, file)) for k in range(count)]


def _at_home(images: list[OmeImage], own: str, uuid: str) -> tuple[OmeImage, ...]:
    """Return the images of a file whose metadata know it, and no other, by an earlier name: its planes are its own."""
    named = {(place.file, place.uuid) for image in images for place in image.every_place}
    if len(named) != 1 or ("", "") in named:
        return tuple(images)
    ((_, whose),) = named
    if whose and uuid and whose != uuid:
        return tuple(images)
    return tuple(
        replace(
            image, places=tuple(tuple(p and Place("", p.page, told=p.told) for p in stack) for stack in image.places)
        )
        for image in images
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


def length_um(element: Any, name: str, usual: str) -> float | None:
    """Return a length in um; None where there is none or its unit is no length (OME: a "reference frame")."""
    value, unit = element.get(name), element.get(f"{name}Unit", usual)
    if value is None or unit not in UM:
        return None
    try:
        return float(value) * UM[unit] or None if name.startswith("Physical") else float(value) * UM[unit]
    except ValueError as error:
        raise FrameError(f"{name} {plain(value)} in the OME metadata; a number is expected") from error
