"""Colour pictures: merged ones, where the assay says which colour is which channel, and one channel shown in a colour.

What is shown on a screen was stretched for the eye: counts of such pictures are not the camera's, which is flagged.
"""

import io
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ctcascade.data.camera import Camera
from ctcascade.formats import guard, watched
from ctcascade.formats.decoding import bytes_of, reading, sized
from ctcascade.formats.described import describe
from ctcascade.formats.folder import Folder
from ctcascade.formats.frame import Frame, FrameError, FrameRef, Layout, assemble, grouped
from ctcascade.formats.ome_xml import read_ome
from ctcascade.formats.tiff import SUFFIXES, in_colour, not_grey

EXPECTED = "merged colour pictures (TIFF, PNG, JPEG), where the assay names a colour for each channel"
STRETCHED, COARSE = "display_stretched", "jpeg_coarse"
_SUFFIX = re.compile(r"(\.ome)?\.(tiff?|png|jpe?g)$", re.IGNORECASE)
_LOOKED_AT = 3
_JPEG_ERROR, _ROUNDING = 24, 2  # levels of 255 by which one colour varies
_COARSE = 60  # mean of the table of brightness by which a JPEG divides: that of a quality below 50 of 100
_BRIGHT = 2  # times that error, from which a pixel has a colour
_OTHER_COLOUR = 0.02  # share of the bright pixels of a JPEG that may have another


def group(folder: Folder, camera: Camera) -> Layout:
    """Return the layout of colour pictures, each of which is a frame; none if the assay names no colours."""
    names = [name for name in folder.images if _SUFFIX.search(name)] if camera.colours else []
    ignored = [*folder.others, *(name for name in folder.images if name not in names)]
    why = "merged colour pictures: the assay says which colour is which channel; what a screen shows was stretched"
    return grouped("composite", why, [(_SUFFIX.sub("", name), "", name) for name in names], ignored, camera)


def are_merged(folder: Folder, camera: Camera) -> bool:
    """Return whether the assay names colours, and one of the first pictures of a folder is in colour."""
    names = [name for name in folder.images if _SUFFIX.search(name)][:_LOOKED_AT] if camera.colours else []
    return any(_is_colour(folder.path / name) for name in names)


def _is_colour(path: Path) -> bool:
    try:
        with reading(path.name):
            if path.suffix.lower() in SUFFIXES:
                with guard.open_tiff(path) as file:
                    return bool(file.pages.first.samplesperpixel >= len("RGB"))
            with watched.opened(path) as raw, Image.open(raw, formats=guard.PICTURES) as image:
                return len(image.getbands()) >= len("RGB") or image.mode == "P"
    except FrameError:
        return False


def read(ref: FrameRef, camera: Camera) -> Frame:
    """Return the frame of one merged picture."""
    shapes: list[tuple[int, int]] = []
    with sized(shapes):
        path = ref.files[0]
        with reading(path.name):
            pixels, pixel_size_um = colours_of(path, shapes)
            coarse = flags_of(path.read_bytes()) if path.suffix.lower() not in SUFFIXES else ()
        if pixels.ndim == 2:
            raise FrameError("a grey picture, where the assay names colours")
        found = {role: pixels[..., index] for role, index in camera.colours.items()}
        return assemble(
            found,
            camera,
            pixel_size_um,
            names=[names[0] for names in camera.channels.values()],
            one_file=False,
            notes=(STRETCHED, *coarse),
        )


def colours_of(path: Path, shapes: list[tuple[int, int]]) -> tuple[NDArray[Any], float | None]:
    """Return a picture as rows, columns and red, green, blue, or as grey rows and columns, and its pixel size."""
    data = bytes_of(path)
    if path.suffix.lower() not in SUFFIXES:
        return of_picture(data, shapes), None
    with guard.open_tiff(data, path.name) as file:
        page = file.pages.first.aspage()
        guard.check_pages([page], len(data))
        shapes.append((page.imagelength, page.imagewidth))
        if len(file.pages) > 1 and file.pages[1].aspage().shape == page.shape:
            raise FrameError(f"{len(file.pages)} colour pictures in one file")
        pixels = np.asarray(page.asarray())
        pixels = np.moveaxis(pixels, 0, -1) if page.axes == "SYX" else pixels
        if file.ome_metadata:
            images = read_ome(file.ome_metadata, path.name).images
            size = images[0].pixel_size_um if images else None
        else:
            size = describe(file).pixel_size_um
        return red_green_blue(pixels, page), size


def red_green_blue(pixels: NDArray[Any], page: Any) -> NDArray[Any]:
    """Return the colours of a page's rows, columns and values of a pixel, or its grey rows and columns.

    Raises
    ------
    FrameError
        If a pixel has neither one value nor three or four, or there are planes in depth.
    """
    if pixels.ndim == 2:
        return pixels
    if not in_colour(page) or pixels.ndim != 3 or pixels.shape[2] not in (3, 4):
        raise FrameError(not_grey(page))
    return pixels[..., :3]


def of_picture(data: bytes, shapes: list[tuple[int, int]]) -> NDArray[Any]:
    """Return a PNG or JPEG as rows, columns and red, green, blue, or as grey rows and columns."""
    # from memory: with a broken length in a PNG, Pillow would try to read gigabytes from a file
    with Image.open(io.BytesIO(data), formats=guard.PICTURES) as image:
        shapes.append((image.height, image.width))
        guard.check_picture(data, image.height, image.width, len(image.getbands()))
        if image.mode in ("L", "I;16", "I;16B", "I"):
            return np.asarray(image)
        if image.format == "PNG" and data[24] > 8:  # bits of a sample, in the header
            raise FrameError("a colour PNG of 16 bits a colour; save each channel as a grey PNG or TIFF")
        return np.asarray(image.convert("RGB"))


def flags_of(data: bytes) -> tuple[str, ...]:
    """Return a flag for a JPEG that was stored at so low a quality that cells are changed by it."""
    if data[:2] != b"\xff\xd8":
        return ()
    with Image.open(io.BytesIO(data), formats=guard.PICTURES) as image:
        tables = getattr(image, "quantization", None) or {}
    first = next(iter(tables.values()), [0])
    return (COARSE,) if sum(first) / len(first) > _COARSE else ()


def one_colour(pixels: NDArray[Any], lossy: bool) -> tuple[NDArray[Any], bool]:
    """Return the brightness of a picture in shades of one colour, and whether it is in colour at all.

    Parameters
    ----------
    pixels : ndarray, shape (Y, X, 3)
    lossy : bool
        The picture is a JPEG, which smears colours.

    Raises
    ------
    FrameError
        If it has several colours: it would not be known what each of them shows.
    """
    if all(np.array_equal(pixels[..., 0], pixels[..., k]) for k in (1, 2)):
        return pixels[..., 0], False
    bright = pixels.max(axis=2)
    top = float(bright.max())
    strongest = pixels[bright >= 0.9 * top].astype(np.float64).mean(axis=0)
    scale = 1 if pixels.dtype.itemsize == 1 else 257
    error = (_JPEG_ERROR if lossy else _ROUNDING) * scale
    expected = np.multiply.outer(bright.astype(np.float32), (strongest / strongest.max()).astype(np.float32))
    other = (np.abs(pixels - expected) > error).any(axis=2)
    share = float(other[bright > _BRIGHT * error].mean()) if (bright > _BRIGHT * error).any() else 0.0
    if share > (_OTHER_COLOUR if lossy else 0.0) or (not lossy and other.any()):
        raise FrameError(
            "a picture of several colours, where one channel is expected: a merged picture, or writing on it"
        )
    return bright, True
