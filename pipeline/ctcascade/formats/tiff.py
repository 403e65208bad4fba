"""TIFF files of any vendor: pages are checked before memory is allocated for them."""

import contextlib
import io
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from ctcascade.formats.frame import FrameError, bytes_of, check_size

SUFFIXES = (".tif", ".tiff", ".qptiff")
_MAX_PAGES = 1024
_MOST_TO_ONE = {1: 1, 5: 1400, 8: 1100, 32773: 65, 32946: 1100}  # stored, LZW, deflate, PackBits
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _PALETTE, _LINEAR = 0, 1, 3, 34892
_ONE_SHADE = 300  # of 65535, by which shades of one colour may differ from it
_BEST_TO_ONE = 32768  # zstd: 128 KiB of one value in four bytes


@dataclass(frozen=True)
class Plane:
    """A grey plane of an open TIFF: a page, or the data `shift` bytes after the data of a page."""

    page: Any
    shift: int = 0

    def read(self, box: tuple[int, int, int, int] | None = None) -> NDArray[Any]:
        """Return the plane, or the part of it from row y0 and column x0 to before y1 and x1, and decode no more."""
        if box is None and not self.shift:
            return np.asarray(self.page.asarray())
        y0, x0, y1, x1 = box or (0, 0, *self.page.shape)
        if self.page.is_contiguous:
            return self._mapped()[y0:y1, x0:x1].copy()
        out = np.zeros((y1 - y0, x1 - x0), self.page.dtype)
        for segment, y, x in self._segments(y0, x0, y1, x1):
            top, left = max(y, y0), max(x, x0)
            part = segment[top - y : y1 - y, left - x : x1 - x]
            out[top - y0 : top - y0 + part.shape[0], left - x0 : left - x0 + part.shape[1]] = part
        return out

    def _mapped(self) -> NDArray[Any]:
        """Return the plane as stored: mapped from the file, so that only what is used is read, or from its bytes."""
        file, page, start = self.page.parent.filehandle, self.page, self.page.dataoffsets[0] + self.shift
        dtype = page.dtype.newbyteorder(self.page.parent.byteorder)
        if file.is_file:
            return np.memmap(file.path, dtype, "r", start, page.shape)
        file.seek(start)
        return np.frombuffer(file.read(page.nbytes), dtype).reshape(page.shape)

    def _segments(self, y0: int, x0: int, y1: int, x1: int) -> Iterator[tuple[NDArray[Any], int, int]]:
        """Yield the tiles or strips that a part needs, each with its first row and column."""
        page, file = self.page, self.page.parent.filehandle
        rows, columns = segment_shape(page)
        across = -(-page.imagewidth // columns)
        for row in range(y0 // rows, -(-y1 // rows)):
            for column in range(x0 // columns, -(-x1 // columns)):
                index = row * across + column
                if page.databytecounts[index] == 0:  # TIFF omits tiles that are black
                    continue
                if page.dataoffsets[index] + page.databytecounts[index] > file.size:
                    raise FrameError("truncated: the file ends before its pixels do")
                file.seek(page.dataoffsets[index])
                data = file.read(page.databytecounts[index])
                decoded = page.decode(data, index, jpegtables=page.jpegtables)[0]
                yield decoded[0, :, :, 0], row * rows, column * columns


def segment_shape(page: Any) -> tuple[int, int]:
    """Return the rows and columns of a page's tiles or strips."""
    return (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, page.imagewidth)


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
    data = bytes_of(path)
    size = len(data)
    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        refuse_circle(tiff)
        pages = _pages(tiff)
        if len(pages[0].shape) == 2:
            shapes.append(pages[0].shape)
        _refuse_lost_pages(tiff, pages[-1].offset, size)
        yield tiff, pages


def refuse_circle(file: tifffile.TiffFile) -> None:
    """Refuse a TIFF whose pages point back to an earlier one, of which there would be no end."""
    form, handle, seen = file.tiff, file.filehandle, set[int]()
    offset = file.pages.first.offset
    while 0 < offset < handle.size:
        if offset in seen:
            raise FrameError("its pages form a circle: one points back to an earlier one")
        seen.add(offset)
        handle.seek(offset)
        raw = handle.read(form.tagnosize)
        if len(raw) < form.tagnosize:
            return
        handle.seek(offset + form.tagnosize + struct.unpack(form.tagnoformat, raw)[0] * form.tagsize)
        raw = handle.read(form.offsetsize)
        if len(raw) < form.offsetsize:
            return
        (offset,) = struct.unpack(form.offsetformat, raw)


def check_pages(pages: Sequence[Any], size: int) -> None:
    """Refuse pages that are none of grey values, or that claim more than a frame may have or a file of `size` holds."""
    for page in pages:
        if len(page.shape) != 2:
            raise FrameError(f"a page of shape {page.shape}; grey pages are expected, one a channel")
        check_size(*page.shape)
    refuse_truncated(pages, size)


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
        raise FrameError(f"a page stored as {page.photometric.name.lower()}; grey values are expected")
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


def refuse_truncated(pages: Sequence[Any], size: int) -> None:
    """Refuse TIFF pages whose headers claim more than a file of `size` bytes can hold."""
    for page in pages:
        if any(start + length > size for start, length in zip(page.dataoffsets, page.databytecounts, strict=True)):
            raise FrameError("truncated: the file ends before its pixels do")
        if page.nbytes > _MOST_TO_ONE.get(page.compression, _BEST_TO_ONE) * sum(page.databytecounts):
            raise FrameError("truncated: the header declares more pixels than the file holds")


def _pages(tiff: tifffile.TiffFile) -> list[Any]:
    """Return the pages of the file after checking what their headers claim."""
    if not len(tiff.pages):
        raise FrameError("a TIFF without a page")
    if len(tiff.pages) > _MAX_PAGES:
        raise FrameError(f"{len(tiff.pages)} pages; a frame has at most {_MAX_PAGES}")
    return [page.aspage() for page in tiff.pages]


def _refuse_lost_pages(tiff: tifffile.TiffFile, last: int, size: int) -> None:
    """Refuse a file whose last readable page, at the offset `last`, points to a further one beyond the file's end."""
    form, handle = tiff.tiff, tiff.filehandle
    handle.seek(last)
    (tags,) = struct.unpack(form.tagnoformat, handle.read(form.tagnosize))
    handle.seek(last + form.tagnosize + tags * form.tagsize)
    (following,) = struct.unpack(form.offsetformat, handle.read(form.offsetsize))
    if following >= size:
        raise FrameError("truncated: the file ends before its last page does")
