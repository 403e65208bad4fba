"""What a TIFF says of itself, in the words of OME, ImageJ or a vendor: channels, scale, place, where planes lie."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ctcascade.data.camera import Camera
from ctcascade.data.errors import plain
from ctcascade.formats.frame import UM, FrameError, refuse_two_roles, role_of, square
from ctcascade.formats.ome_xml import OmeImage, read_ome
from ctcascade.formats.page_words import Pages, known_first, names_of_page, pages_in_words
from ctcascade.formats.tiff import Plane

_LABEL = re.compile(r"(c:\d+/\d+\s*(?:-\s*)?)?(.*)", re.DOTALL)
_TITLE = re.compile(r"\.(tiff?|czi|nd2?|lif|lsm|oi[bf]|png|jpe?g|ome|stk|vsi|zvi|dv)\b", re.IGNORECASE)

_MOST_NAMED = 64  # pages whose own names are looked for


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
        The page of each plane, channel by channel and in depth within a channel; empty for the order of the pages.
    in_one : bool
        All planes follow the plane of the only page in the file (ImageJ).
    bits : int or None
        Significant bits of the camera.
    stored_counts : bool
        The stored values are the counts, whatever colours a palette shows them in.
    depth : int
        Planes in depth of each channel.
    own_names : tuple of tuple of str
        Names that the pages of the channels have of their own, beside those of the metadata.
    lost : tuple of str
        Names of channels that the metadata give no plane.
    exposure_ms : tuple of float
        Of each channel, if told of all.
    explicit : bool
        The metadata say of each plane on which page it lies, so that other pages may lie in the file.
    """

    names: tuple[tuple[str, ...], ...] = ()
    n_channels: int | None = None
    pixel_size_um: float | None = None
    position_um: tuple[float, float] | None = None
    pages: tuple[int, ...] = ()
    in_one: bool = False
    bits: int | None = None
    stored_counts: bool = False
    depth: int = 1
    own_names: tuple[tuple[str, ...], ...] = ()
    lost: tuple[str, ...] = ()
    exposure_ms: tuple[float, ...] = ()
    explicit: bool = False

    def known_names(self, camera: Camera) -> tuple[str, ...]:
        """Return for each channel the one of its names that the assay knows, else the first.

        Raises
        ------
        FrameError
            If a channel has names of two roles, or one that is needed has no plane.
        """

        def role(name: str) -> str | None:
            return role_of(name, camera.channels)

        own = self.own_names if any(role(name) for each in self.own_names for name in each) else ()
        names = self.names or ((),) * len(own)
        if len(own) == len(names):
            names = tuple((*each, *more) for each, more in zip(names, own, strict=True))
        for each in names:
            refuse_two_roles(each, camera)
        lost = [name for name in self.lost if role(name)]
        if lost and names:
            raise FrameError(f"the metadata name {', '.join(map(plain, lost))}, and give it no page in the file")
        return known_first(names, lambda name: role(name) is not None)


def describe(file: Any, position: int = -1) -> Described:
    """Return what an open TIFF that holds all of one image says of itself; nothing is decoded.

    Parameters
    ----------
    file : TiffFile
    position : int, optional
        Which of the positions of the stage in a file of Micro-Manager, from 0; -1 for a file that should hold one only.

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
        return with_own_names(of_image(ome.images[0]), file) if ome.images else Described()
    if file.is_imagej:
        return with_own_names(_imagej(file), file)
    words, n_stk = pages_in_words(file, position), _planes_of_stk(file)
    if n_stk > 1:
        return _stk(file, words, n_stk)
    if words is None:
        return with_own_names(Described(), file)
    names = words.names if any(words.names) else ()
    n = len(words.pages) // words.depth
    exposure = words.exposure_ms
    size = words.pixel_size_um
    return Described(
        names, n, size, words.position_um, words.pages, bits=words.bits, depth=words.depth, exposure_ms=exposure
    )


def _planes_of_stk(file: Any) -> int:
    return int((file.stk_metadata or {}).get("NumberPlanes", 1)) if file.is_stk else 1


def _stk(file: Any, words: Pages | None, n: int) -> Described:
    """Return what a MetaMorph stack says: the planes of one channel, all behind the first page."""
    said = file.stk_metadata
    if not any(float(step) for step in np.ravel(said.get("ZDistance", 0))):
        raise FrameError(
            f"a MetaMorph stack (STK) of {n} planes that are not in depth; one plane a channel is expected"
        )
    um = UM.get(str(said.get("CalibrationUnits", "")).strip("\0 ")) if said.get("SpatialCalibration") else None
    down, across = (float(said.get(f"{axis}Calibration") or 0) * um if um else None for axis in "YX")
    names = words.names[:1] if words is not None and any(words.names) else ()
    size = words.pixel_size_um if words is not None else None
    return Described(names, 1, size or square(down, across), in_one=True, stored_counts=True, depth=n)


def with_own_names(said: Described, file: Any) -> Described:
    """Return the same with the names that the first page of each channel has of its own."""
    numbers = said.pages[:: said.depth] if said.pages else range(len(file.pages))
    if said.in_one or len(numbers) > _MOST_NAMED or max(numbers, default=0) >= len(file.pages):
        return said
    found = tuple(names_of_page(file.pages[number].aspage()) for number in numbers)
    return replace(said, own_names=found if any(found) else ())


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
    own = tuple(tuple(p if p is not None and not p.file else None for p in stack) for stack in image.places)
    return with_own_names(replace(of_image(replace(image, places=own)), lost=()), file)


def of_image(image: OmeImage) -> Described:
    """Return what the metadata say of one image, whose planes lie in this file; channels without a plane left out."""
    if image.colour:
        raise FrameError("planes of several colours; one grey plane a channel is expected")
    held = [c for c, stack in enumerate(image.places) if any(stack)]
    for c in held:
        missing = sum(place is None for place in image.places[c])
        if missing:
            told = plain(image.names[c][0]) if image.names and image.names[c] else str(c)
            raise FrameError(f"channel {told} lacks {missing} of its {len(image.places[c])} planes in depth")
    return Described(
        tuple(image.names[c] for c in held) if image.names else (),
        len(held),
        image.pixel_size_um,
        image.position_um,
        tuple(place.page for c in held for place in image.places[c] if place is not None),
        bits=image.bits,
        stored_counts=True,
        depth=max((len(stack) for stack in image.places), default=1),
        lost=tuple(name for c, names in enumerate(image.names) if c not in held for name in names),
        exposure_ms=tuple(image.exposure_ms[c] for c in held) if image.exposure_ms else (),
        explicit=image.explicit,
    )


def planes(pages: Sequence[Any], said: Described, size: int) -> list[tuple[Plane, ...]]:
    """Return the planes in depth of each channel.

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
    found = _in_order(pages, said, size)
    if len(found) % said.depth:
        raise FrameError(f"{len(found)} planes, where there should be {said.depth} in depth for each channel")
    return [tuple(found[k : k + said.depth]) for k in range(0, len(found), said.depth)]


def _in_order(pages: Sequence[Any], said: Described, size: int) -> list[Plane]:
    if said.in_one:
        first, n = pages[0], (said.n_channels or 1) * said.depth
        if not first.is_contiguous or first.dataoffsets[0] + n * first.nbytes > size:
            raise FrameError("truncated: the file ends before its pixels do")
        order = said.pages or range(n)
        return [Plane(first, k * first.nbytes) for k in order]
    if max(said.pages, default=0) >= len(pages):
        raise FrameError(f"the metadata name page {max(said.pages) + 1}; the file has {len(pages)}")
    return [Plane(pages[k]) for k in said.pages] if said.pages else [Plane(page) for page in pages]


def _imagej(file: Any) -> Described:
    said = file.imagej_metadata
    number = {key: int(said.get(key, 1)) for key in ("images", "channels", "slices", "frames")}
    if number["frames"] != 1:
        raise FrameError(f"{number['frames']} points in time; one is expected: save the one to count by itself")
    n_z = max(number["slices"], 1)
    n_c = number["channels"] if n_z > 1 else number["images"]
    if n_c * n_z != number["images"]:
        told = f"{number['images']} images, {number['channels']} channels and {number['slices']} slices"
        raise FrameError(f"ImageJ's header tells of {told}, which cannot be")
    pages = tuple(c + n_c * z for c in range(n_c) for z in range(n_z)) if n_z > 1 else ()
    unit = str(said.get("unit", "")).replace("\\u00B5", "µ")
    um = UM.get(unit) if unit != "inch" else None  # a screen's resolution
    resolution = (file.pages.first.tags.get(tag) for tag in (283, 282))
    down, across = (_per_pixel(tag.value) if tag is not None else None for tag in resolution)
    size = square(down and um and down * um, across and um and across * um)
    labels = [str(label) for label in said.get("Labels", [])]
    names = _labels(labels, number["images"])
    if n_z > 1:
        names = _labels(labels[:n_c], n_c) if len(labels) == number["images"] else ()
    one = len(file.pages) == 1 and number["images"] > 1
    return Described(
        tuple((name,) for name in names), n_c, size, pages=pages, in_one=one, stored_counts=True, depth=n_z
    )


def _labels(labels: Sequence[str], n: int) -> tuple[str, ...]:
    """Return the labels of an ImageJ stack where they name channels: one each, no two alike, no name of a file."""
    told = [_LABEL.fullmatch(label) for label in labels]
    names = tuple(match[2].strip() if match else "" for match in told)
    are_names = len(names) == n and all(names) and len(set(names)) == n
    return names if are_names and not any(_TITLE.search(name) for name in names) else ()


def _per_pixel(resolution: tuple[int, int]) -> float | None:
    """Return the pixel size from the resolution in a TIFF, which is pixels per unit of length."""
    return resolution[1] / resolution[0] if resolution[0] else None
