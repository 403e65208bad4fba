"""TIFF files of any vendor: pages are checked before memory is allocated for them."""

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray

from ctcascade.formats import guard
from ctcascade.formats.decoding import bytes_of
from ctcascade.formats.frame import FrameError

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # what it finds odd is no matter of the user's
SUFFIXES = (".tif", ".tiff", ".qptiff", ".stk", ".svs")
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _PALETTE, _LINEAR = 0, 1, 3, 34892
_COLOUR = (
    "a colour picture (RGB), where grey pages are expected, one a channel: export each channel by itself, or, if it is "
    "merged, let the assay say which colour is which channel (channels: {dna: blue, ck: red, cd45: green})"
)
_DEFLATE, _DIFFERENCES = (8, 32946), 2
_LEAST_FLAT = 4096  # pixels of a tile from which one value all over says something
_ONE_SHADE = 300  # of 65535, by which shades of one colour may differ from it


Box = tuple[int, int, int, int]


class Lost(NamedTuple):
    """Tiles or strips of one plane, in pixels of what was read: never written, or of one value all over."""

    missing: tuple[Box, ...] = ()
    flat: tuple[Box, ...] = ()


@dataclass(frozen=True)
class Plane:
    """A grey plane of an open TIFF: a page, or the data `shift` bytes after the data of a page."""

    page: Any
    shift: int = 0

    def read(self, box: Box | None = None) -> tuple[NDArray[Any], Lost]:
        """Return the plane, or the part of it from row y0 and column x0 to before y1 and x1, and decode no more.

        What was never written is 0, and told.
        """
        page = self.page
        y0, x0, y1, x1 = box or (0, 0, page.imagelength, page.imagewidth)
        if page.is_contiguous and 0 in (page.dataoffsets[0], page.databytecounts[0]):
            return np.zeros((y1 - y0, x1 - x0), page.dtype), Lost(((0, 0, y1 - y0, x1 - x0),))
        if box is None and not self.shift:
            pixels = _inflated(page)
            if pixels is None:
                pixels = np.asarray(page.asarray())
            return pixels, self._lost(pixels, (y0, x0, y1, x1))
        if page.is_contiguous:
            return self._mapped()[y0:y1, x0:x1].copy(), Lost()
        out = np.zeros((y1 - y0, x1 - x0), page.dtype)
        for segment, y, x in self._segments(y0, x0, y1, x1):
            top, left = max(y, y0), max(x, x0)
            part = segment[top - y : y1 - y, left - x : x1 - x]
            out[top - y0 : top - y0 + part.shape[0], left - x0 : left - x0 + part.shape[1]] = part
        return out, self._lost(out, (y0, x0, y1, x1))

    def _mapped(self) -> NDArray[Any]:
        """Return the plane as stored: mapped from the file, so that only what is used is read, or from its bytes."""
        file, page, start = self.page.parent.filehandle, self.page, self.page.dataoffsets[0] + self.shift
        if page.predictor != 1 or page.fillorder != 1:
            raise FrameError("pixels stored as differences, or with their bits turned, but not compressed")
        dtype = page.dtype.newbyteorder(self.page.parent.byteorder)
        if file.is_file:
            return np.memmap(file.path, dtype, "r", start, page.shape)
        file.seek(start)
        return np.frombuffer(file.read(page.nbytes), dtype).reshape(page.shape)

    def _places(self, y0: int, x0: int, y1: int, x1: int) -> Iterator[tuple[int, int, int]]:
        """Yield the number, the first row and the first column of each tile or strip that a part needs."""
        rows, columns = guard.segment_shape(self.page)
        across = -(-self.page.imagewidth // columns)
        for row in range(y0 // rows, -(-y1 // rows)):
            for column in range(x0 // columns, -(-x1 // columns)):
                yield row * across + column, row * rows, column * columns

    def _segments(self, y0: int, x0: int, y1: int, x1: int) -> Iterator[tuple[NDArray[Any], int, int]]:
        """Yield the tiles or strips that a part needs, each with its first row and column."""
        page, file = self.page, self.page.parent.filehandle
        for index, y, x in self._places(y0, x0, y1, x1):
            start, length = page.dataoffsets[index], page.databytecounts[index]
            if 0 in (start, length):  # never written
                continue
            if start + length > file.size:
                raise FrameError("truncated: the file ends before its pixels do")
            file.seek(start)
            data = file.read(length)
            guard.check_coded(page, data)
            decoded = page.decode(data, index, jpegtables=page.jpegtables)[0]
            yield decoded[0, :, :, 0], y, x

    def _lost(self, pixels: NDArray[Any], box: Box) -> Lost:
        """Return which tiles or strips of what was read were never written, or have one value all over."""
        page, (y0, x0, y1, x1) = self.page, box
        if pixels.ndim != 2 or page.is_contiguous or len(page.dataoffsets) < 2:
            return Lost()
        rows, columns = guard.segment_shape(page)
        missing, flat = [], []
        for index, y, x in self._places(y0, x0, y1, x1):
            place = max(y, y0) - y0, max(x, x0) - x0, min(y + rows, y1) - y0, min(x + columns, x1) - x0
            if 0 in (page.dataoffsets[index], page.databytecounts[index]):
                missing.append(place)
            elif rows * columns >= _LEAST_FLAT and _is_flat(pixels[place[0] : place[2], place[1] : place[3]]):
                flat.append(place)
        return Lost(tuple(missing), tuple(flat))


def _inflated(page: Any) -> NDArray[Any] | None:
    """Return a page of deflated strips, each written where it belongs; None where it is none or a strip has a fault.

    That is the most common way to store counts, and this takes less time than the general way.
    """
    plain = page.dtype in (np.uint8, np.uint16) and page.parent.byteorder == "<" and page.fillorder == 1
    if not (plain and page.compression in _DEFLATE and page.predictor in (1, _DIFFERENCES)):
        return None
    if page.is_tiled or page.samplesperpixel != 1 or len(page.shape) != 2 or 0 in page.databytecounts:
        return None
    file, rows = page.parent.filehandle, page.rowsperstrip
    pixels = np.empty(page.shape, page.dtype)
    if len(page.dataoffsets) != -(-len(pixels) // rows):
        return None
    for k, (start, length) in enumerate(zip(page.dataoffsets, page.databytecounts, strict=True)):
        strip = pixels[k * rows : (k + 1) * rows].reshape(-1).view(np.uint8)
        file.seek(start)
        try:
            written = imagecodecs.deflate_decode(file.read(length), out=strip.data)
        except (ValueError, RuntimeError):
            return None
        if len(written) != len(strip):
            return None
    if page.predictor == _DIFFERENCES:
        imagecodecs.delta_decode(pixels, axis=-1, out=pixels)
    return pixels


def _darken(pixels: NDArray[Any], missing: Sequence[Box]) -> None:
    there = np.ones(pixels.shape, np.bool_)
    for y0, x0, y1, x1 in missing:
        there[y0:y1, x0:x1] = False
    if missing and there.any():
        pixels[~there] = pixels[there].min()


def read_planes(
    planes: Mapping[str, Plane], stored_counts: bool, box: Box | None = None
) -> tuple[dict[str, NDArray[Any]], float]:
    """Return the values of planes by role, as `grey` tells them, and the share of their pixels that was imaged."""
    read, lost = {}, []
    for role, plane in planes.items():
        pixels, missing = plane.read(box)
        read[role] = grey(pixels, plane.page, stored_counts)
        lost.append((read[role], missing))
    return read, written(lost)


def _is_flat(pixels: NDArray[Any]) -> bool:
    return bool((pixels[:1] == pixels[0, 0]).all() and (pixels == pixels[0, 0]).all())


def written(planes: Sequence[tuple[NDArray[Any], Lost]]) -> float:
    """Return the share of the pixels that was imaged, and set what was never written to the smallest value.

    A tile that is missing from any plane was not imaged, nor one in which every plane has one value all over: no camera
    gives that, but software that fills gaps does.
    """
    if not any(lost.missing or lost.flat for _, lost in planes):
        return 1.0
    shape = planes[0][0].shape
    none, flat = np.zeros(shape, np.bool_), np.ones(shape, np.bool_)
    for pixels, lost in planes:
        own = np.zeros(shape, np.bool_)
        for y0, x0, y1, x1 in lost.missing:
            none[y0:y1, x0:x1] = True
        for y0, x0, y1, x1 in (*lost.missing, *lost.flat):
            own[y0:y1, x0:x1] = True
        flat &= own
        _darken(pixels, lost.missing)
    share = 1 - float((none | flat).mean())
    if share == 0:
        raise FrameError("blank: its tiles were never written")
    return share


@contextlib.contextmanager
def opened(path: Path, shapes: list[tuple[int, int]]) -> Iterator[tuple[tifffile.TiffFile, list[Any]]]:
    """Open a TIFF whose pages are planes of one frame; nothing is decoded yet.

    Parameters
    ----------
    path : Path
    shapes : list of (int, int)
        The size of the first page is noted here as soon as it is known.

    Yields
    ------
    TiffFile, list of TiffPage

    Raises
    ------
    FrameError
        If the file is empty or cut off. What its pages claim is looked at by `check_pages`.
    """
    with guard.open_tiff(bytes_of(path)) as file:
        pages = [page.aspage() for page in file.pages]
        if len(pages[0].shape) == 2:
            shapes.append(pages[0].shape)
        yield file, pages


def check_pages(pages: Sequence[Any], size: int) -> None:
    """Refuse pages that are none of grey values, or that claim more than a frame may have or a file of `size` holds."""
    for page in pages:
        if len(page.shape) > 2:
            raise FrameError(_COLOUR if in_colour(page) else not_grey(page))
        if len(page.shape) != 2:
            raise FrameError("a page without rows and columns: the end of the file, or of its header, is lost")
    guard.check_pages(pages, size)


def in_colour(page: Any) -> bool:
    """Return whether a page has three values of a pixel, or four."""
    return page.imagedepth == 1 and page.samplesperpixel in (3, 4)


def not_grey(page: Any) -> str:
    """Return why a page that holds several planes, and is no colour picture, is refused."""
    return (
        f"a page of {page.imagedepth} x {page.samplesperpixel} planes (in depth x values of a pixel), where grey pages "
        "are expected, one a channel: export each channel by itself, as a page or a file of one plane"
    )


def grey(pixels: NDArray[Any], page: Any, index: bool = False) -> NDArray[Any]:
    """Return the values that a page's pixels mean: bright where much light fell.

    Parameters
    ----------
    pixels : ndarray
        As stored.
    page : TiffPage
    index : bool, optional
        The stored values are the counts, whatever colours a palette shows them in (ImageJ, OME).

    Raises
    ------
    FrameError
        If a palette is no ramp of one colour, or the page is stored in another way that has no counts.
    """
    kind = int(page.photometric)
    if kind == _WHITE_IS_ZERO:
        if pixels.dtype.kind != "u":
            raise FrameError(f"{pixels.dtype.name} values of which zero is white: what is bright is not known")
        return np.asarray(pixels.dtype.type(2 ** min(page.bitspersample, 8 * pixels.itemsize) - 1) - pixels)
    if kind == _PALETTE and not index:
        return _of_palette(pixels, page)
    if kind not in (_BLACK_IS_ZERO, _PALETTE, _LINEAR):
        name = getattr(page.photometric, "name", f"kind {kind}").lower()
        raise FrameError(f"a page stored as {name}; grey values are expected")
    return pixels


def _of_palette(pixels: NDArray[Any], page: Any) -> NDArray[Any]:
    """Return the brightness of palette colours, which must all be shades of one colour."""
    colours = np.asarray(page.colormap, np.float64)
    used = colours[:, np.unique(pixels)]
    bright = used.max(axis=0)
    strongest = used[:, int(bright.argmax())]
    if bright.max() == 0 or np.abs(used - np.outer(strongest / bright.max(), bright)).max() > _ONE_SHADE:
        raise FrameError("a palette of several colours; grey values, or shades of one colour, are expected")
    values = colours.max(axis=0)
    eight = (values % 257 == 0).all() or (values % 256 == 0).all()
    table = np.round(values / (257 if (values % 257 == 0).all() else 256)) if eight else values
    return np.asarray(table.astype(np.uint8 if eight else np.uint16)[pixels])
