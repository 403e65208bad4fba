"""What the OME or ImageJ metadata of a TIFF says: channels, pixel size, stage position, where the planes are."""

import re
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from ctcascade.formats.frame import STACK, UM, FrameError, square
from ctcascade.formats.markup import MarkupError, parse
from ctcascade.formats.tiff import Plane

_LABEL = re.compile(r"(?:c:\d+/\d+\s*-?\s*)?(.*)", re.DOTALL)


@dataclass(frozen=True)
class Described:
    """What the metadata of a TIFF says.

    Attributes
    ----------
    names : tuple of str
        One for each channel; empty if the file names none.
    n_channels : int or None
    pixel_size_um : float or None
    position_um : (float, float) or None
        y and x of the stage; only differences between frames are meaningful.
    pages : tuple of int
        The page of each channel; empty for the order of the pages.
    in_one : bool
        All planes follow the plane of the only page in the file (ImageJ).
    """

    names: tuple[str, ...] = ()
    n_channels: int | None = None
    pixel_size_um: float | None = None
    position_um: tuple[float, float] | None = None
    pages: tuple[int, ...] = ()
    in_one: bool = False


def describe(file: Any) -> Described:
    """Return what the metadata of an open TIFF says; no pixels are decoded.

    Raises
    ------
    FrameError
        If the metadata cannot be read, or describes a stack in depth or time or pixels that are not square.
    """
    if file.ome_metadata:
        return _ome(file.ome_metadata)
    return _imagej(file) if file.is_imagej else Described()


def planes(pages: list[Any], said: Described, size: int) -> list[Plane]:
    """Return the plane of each channel.

    Parameters
    ----------
    pages : list of TiffPage
        Of equal shape.
    said : Described
    size : int
        Bytes of the file.

    Raises
    ------
    FrameError
        If the pages differ from those that the metadata describes.
    """
    if said.in_one:
        first = pages[0]
        if not first.is_contiguous or first.dataoffsets[0] + (said.n_channels or 1) * first.nbytes > size:
            raise FrameError("truncated: the file ends before its pixels do")
        return [Plane(first, k * first.nbytes) for k in range(said.n_channels or 1)]
    if max(said.pages, default=0) >= len(pages):
        raise FrameError(f"the metadata name page {max(said.pages) + 1}; the file has {len(pages)}")
    return [Plane(pages[k]) for k in said.pages] if said.pages else [Plane(page) for page in pages]


def _ome(xml: str) -> Described:
    try:
        pixels = parse(xml).find(".//{*}Pixels")
    except MarkupError as error:
        raise FrameError(f"OME metadata: {error}") from error
    if pixels is None:
        return Described()
    if int(pixels.get("SizeZ", 1)) * int(pixels.get("SizeT", 1)) != 1:
        raise FrameError(STACK)
    names = tuple(channel.get("Name", "").strip() for channel in pixels.findall("{*}Channel"))
    order = list(range(len(names)))
    for data in pixels.findall("{*}TiffData"):
        if data.get("FirstC") is not None and data.get("IFD") is not None and int(data.get("PlaneCount", 1)) == 1:
            order[int(data.get("FirstC", 0))] = int(data.get("IFD", 0))
    down, across = (_length_um(pixels, f"PhysicalSize{axis}", "µm") for axis in "YX")
    place = pixels.find("{*}Plane")
    y, x = (None, None) if place is None else (_length_um(place, f"Position{axis}", "") for axis in "YX")
    return Described(
        names if any(names) else (),
        len(names),
        square(down, across),
        None if y is None or x is None else (y, x),
        tuple(order),
    )


def _imagej(file: Any) -> Described:
    said = file.imagej_metadata
    number = {key: int(said.get(key, 1)) for key in ("images", "channels", "slices", "frames")}
    if number["slices"] * number["frames"] != 1:
        raise FrameError(STACK)
    labels = said.get("Labels", [])
    names = tuple(_LABEL.fullmatch(str(label))[1].strip() for label in labels)  # type: ignore[index]
    um = UM.get(str(said.get("unit", "")).replace("\\u00B5", "µ"))
    resolution = (file.pages.first.tags.get(tag) for tag in (283, 282))
    down, across = (_per_pixel(tag.value) if tag is not None else None for tag in resolution)
    size = square(down and um and down * um, across and um and across * um)
    named = len(names) == number["images"] and all(names)
    return Described(
        names if named else (), number["images"], size, in_one=len(file.pages) == 1 and number["images"] > 1
    )


def _per_pixel(resolution: tuple[int, int]) -> float | None:
    """Return the pixel size from the resolution in a TIFF, which is pixels per unit of length."""
    return resolution[1] / resolution[0] if resolution[0] else None


def _length_um(element: ElementTree.Element, name: str, usual: str) -> float | None:
    """Return a length in um; None if it is missing or its unit is not a length (OME: a "reference frame")."""
    value, unit = element.get(name), element.get(f"{name}Unit", usual)
    return float(value) * UM[unit] if value is not None and unit in UM else None
