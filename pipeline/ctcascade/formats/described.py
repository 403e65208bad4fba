"""What a TIFF says of itself, in the words of OME, ImageJ or a vendor: channels, scale, place, where planes lie."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ctcascade.data.camera import Camera
from ctcascade.data.errors import plain
from ctcascade.formats.frame import STACK, UM, FrameError, role_of, square
from ctcascade.formats.ome_xml import OmeImage, read_ome
from ctcascade.formats.page_words import known_first, pages_in_words
from ctcascade.formats.tiff import Plane

_LABEL = re.compile(r"(c:\d+/\d+\s*(?:-\s*)?)?(.*)", re.DOTALL)
_TITLE = re.compile(r"\.(tiff?|czi|nd2?|lif|lsm|oi[bf]|png|jpe?g|ome|stk|vsi|zvi|dv)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Described:
    """What the metadata of a TIFF says.

    Attributes
    ----------
    names : tuple of tuple of str
        The names of each channel, the best first; empty where the file names none.
    n_channels : int or None
    pixel_size_um : float or None
    position_um : (float, float) or None
        y and x of the stage; only differences between frames are meaningful.
    pages : tuple of int
        The page of each channel; empty for the order of the pages.
    in_one : bool
        All planes follow the plane of the only page in the file (ImageJ).
    bits : int or None
        Significant bits of the camera.
    stored_counts : bool
        The stored values are the counts, whatever colours a palette shows them in.
    """

    names: tuple[tuple[str, ...], ...] = ()
    n_channels: int | None = None
    pixel_size_um: float | None = None
    position_um: tuple[float, float] | None = None
    pages: tuple[int, ...] = ()
    in_one: bool = False
    bits: int | None = None
    stored_counts: bool = False

    def known_names(self, camera: Camera) -> tuple[str, ...]:
        """Return for each channel the one of its names that the assay knows, else the first."""
        return known_first(self.names, lambda name: role_of(name, camera.channels) is not None)


def describe(file: Any) -> Described:
    """Return what an open TIFF that holds all of one image says of itself; nothing is decoded.

    Raises
    ------
    FrameError
        If its metadata cannot be read, tell of a stack in depth or time, of pixels that are not square, of several
        images, or of planes in other files.
    """
    if file.ome_metadata:
        ome = read_ome(file.ome_metadata, file.filename)
        if ome.in_other_files:
            raise FrameError("an image that is spread over several files")
        if len(ome.images) > 1:
            titles = ", ".join(plain(image.title) for image in ome.images[:4])
            raise FrameError(f"{len(ome.images)} images in one file ({titles}); save each by itself")
        return of_image(ome.images[0]) if ome.images else Described()
    if file.is_imagej:
        return _imagej(file)
    words = pages_in_words(file)
    if words is None:
        return Described()
    names = words.names if any(words.names) else ()
    return Described(names, len(words.pages), words.pixel_size_um, pages=words.pages, bits=words.bits)


def described_alone(file: Any) -> Described:
    """Return what an open TIFF says of the planes in it, where it may be one file of a set whose names say the rest.

    Of a set's metadata only the places in this file are used.
    """
    if not file.ome_metadata:
        return describe(file)
    ome = read_ome(file.ome_metadata, file.filename)
    if len(ome.images) != 1:
        return Described(stored_counts=True)
    image = ome.images[0]
    own = tuple(place if place is not None and not place.file else None for place in image.places)
    return of_image(replace(image, places=own))


def of_image(image: OmeImage) -> Described:
    """Return what the metadata say of one image, whose planes lie in this file; channels without a plane left out."""
    if image.colour:
        raise FrameError("planes of several colours; one grey plane a channel is expected")
    held = [(c, place.page) for c, place in enumerate(image.places) if place is not None]
    names = tuple((image.names[c],) for c, _ in held) if image.names else ()
    return Described(
        names,
        len(held),
        image.pixel_size_um,
        image.position_um,
        tuple(page for _, page in held),
        bits=image.bits,
        stored_counts=True,
    )


def planes(pages: Sequence[Any], said: Described, size: int) -> list[Plane]:
    """Return the plane of each channel.

    Parameters
    ----------
    pages : sequence of TiffPage
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


def _imagej(file: Any) -> Described:
    said = file.imagej_metadata
    number = {key: int(said.get(key, 1)) for key in ("images", "channels", "slices", "frames")}
    if number["slices"] * number["frames"] != 1:
        raise FrameError(STACK)
    unit = str(said.get("unit", "")).replace("\\u00B5", "µ")
    um = UM.get(unit) if unit != "inch" else None  # a screen's resolution
    resolution = (file.pages.first.tags.get(tag) for tag in (283, 282))
    down, across = (_per_pixel(tag.value) if tag is not None else None for tag in resolution)
    size = square(down and um and down * um, across and um and across * um)
    names = _labels([str(label) for label in said.get("Labels", [])], number["images"])
    one = len(file.pages) == 1 and number["images"] > 1
    return Described(tuple((name,) for name in names), number["images"], size, in_one=one, stored_counts=True)


def _labels(labels: Sequence[str], n: int) -> tuple[str, ...]:
    """Return the labels of an ImageJ stack where they name channels: one each, no two alike, no name of a file."""
    told = [_LABEL.fullmatch(label) for label in labels]
    names = tuple(match[2].strip() if match else "" for match in told)
    are_names = len(names) == n and all(names) and len(set(names)) == n
    return names if are_names and not any(_TITLE.search(name) for name in names) else ()


def _per_pixel(resolution: tuple[int, int]) -> float | None:
    """Return the pixel size from the resolution in a TIFF, which is pixels per unit of length."""
    return resolution[1] / resolution[0] if resolution[0] else None
