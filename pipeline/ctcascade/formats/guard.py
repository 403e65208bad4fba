"""One guard for what image files claim, asked before anything is allocated: sizes, pages, kinds of number, cost.

Every reader of TIFF, CZI and pictures asks it. What it refuses is refused in words; nothing here decodes.
"""

import contextlib
import io
import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import tifffile

from ctcascade.data.errors import plain
from ctcascade.formats import watched
from ctcascade.formats.frame_error import FrameError

MAX_PIXELS = 64_000_000
"""Pixels a channel; a header that declares more is refused before anything is allocated."""
LARGEST_PX = 10**11
"""Pixels a channel of a whole image that is read in parts."""
LONGEST_PX = 1_000_000
"""The longest side of a whole image: 160 mm at 0.16 um."""
LONGEST_FRAME_PX = 65_535
"""The longest side of what is read at once."""
MOST_PAGES = 1024
PICTURES = ("JPEG", "PNG")
"""What a picture may be, whatever its name says."""
SIDES = (257, 256)
"""The tags of a page's rows and columns."""
_MOST_TAGS = 4096
_FREE_BYTES = 2**25  # of pixels, whatever the file's own size
_MOST_TO_ONE = 500  # bytes of pixels for one of the file; what is imaged compresses far less
_MOST_OFTEN = 320_000_000  # pixels times passes over them in a progressive JPEG
_MOST_ITEM_BYTES = 8
_TILE_PX = 4_000_000  # that a tile may have however small its image
_MOST_SEGMENTS = 100_000
_PX_A_SEGMENT = 4096
_MOST_SAMPLES = 4
_MOST_J2K_TILES = 1024
_SHORT, _LONG = 3, 4
_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_NUMBERS = (
    *("imagelength", "imagewidth", "imagedepth", "samplesperpixel", "bitspersample", "planarconfig", "photometric"),
    *("compression", "predictor", "rowsperstrip", "tilelength", "tilewidth", "fillorder", "sampleformat"),
)
"""What a page says of itself in one whole number each."""
_JPEG, _JPEG_2000 = (6, 7, 33007), (33003, 33004, 33005, 34712)
_CODED = {1: "none", 5: "LZW", 8: "deflate", 32946: "deflate", 32773: "PackBits", 50000: "zstd"}
_CODED |= {**dict.fromkeys(_JPEG, "JPEG"), **dict.fromkeys(_JPEG_2000, "JPEG 2000")}
_SOF = (*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0))


def check_size(rows: int, columns: int) -> None:
    """Refuse a plane that is larger than a frame may be, or empty."""
    _check_sides(rows, columns)
    if rows < 1 or columns < 1:
        raise FrameError(f"an image of {rows} x {columns} pixels")
    if rows * columns > MAX_PIXELS:
        raise FrameError(f"an image of {rows} x {columns} pixels; at most {MAX_PIXELS} a channel are read")
    if max(rows, columns) > LONGEST_FRAME_PX:
        raise FrameError(f"an image of {rows} x {columns} pixels; a side of at most {LONGEST_FRAME_PX} is read at once")


def check_whole(rows: int, columns: int) -> None:
    """Refuse an image that is read in parts where it is larger than any slide, or empty."""
    _check_sides(rows, columns)
    if rows < 1 or columns < 1:
        raise FrameError(f"an image of {rows} x {columns} pixels")
    if max(rows, columns) > LONGEST_PX:
        raise FrameError(f"an image of {rows} x {columns} pixels; a side of at most {LONGEST_PX} is read")
    if rows * columns > LARGEST_PX:
        raise FrameError(f"an image of {rows} x {columns} pixels; at most {LARGEST_PX} are read")


def _check_sides(rows: object, columns: object) -> None:
    """Refuse sides that are no whole numbers, as a broken tag may hold several, or text."""
    if not (isinstance(rows, int | np.integer) and isinstance(columns, int | np.integer)):
        raise FrameError(f"an image of {plain(rows)} x {plain(columns)} pixels; two whole numbers are expected")


def check_cost(pixel_bytes: int, size: int) -> None:
    """Refuse to decode more bytes of pixels than a file of `size` bytes can hold of anything that was imaged."""
    if pixel_bytes > _FREE_BYTES + _MOST_TO_ONE * size:
        raise FrameError(
            "truncated: the header declares more pixels than the file can hold "
            f"({pixel_bytes} bytes of pixels in a file of {size} bytes)"
        )


def check_numbers(dtype: np.dtype[Any] | None) -> None:
    """Refuse pixels that are no plain numbers."""
    if dtype is None:
        raise FrameError("pixels of a kind of number that is not known; counts are expected")
    if dtype.kind not in "buif" or dtype.itemsize > _MOST_ITEM_BYTES:
        raise FrameError(f"{dtype.name} values; counts are expected")


@contextlib.contextmanager
def open_tiff(source: Path | bytes, name: str = "") -> Iterator[tifffile.TiffFile]:
    """Open a TIFF after a look at its directories; no page is decoded.

    Parameters
    ----------
    source : Path or bytes
    name : str, optional
        Of the file, where its bytes are given.

    Raises
    ------
    FrameError
        If it is no TIFF, has no page or too many, if its pages form a circle, or its tags claim more than it holds.
    """
    with io.BytesIO(source) if isinstance(source, bytes) else watched.opened(source) as raw:
        _walk(raw)
        raw.seek(0)
        with tifffile.TiffFile(raw, name=name or None) as file:
            yield file


def first_tags(path: Path) -> dict[int, int | None]:
    """Return the tags of the first page of a TIFF by code: the values that are one whole number, None for others.

    This takes a fifth of the time of `open_tiff`, whose errors it raises.
    """
    with watched.opened(path) as raw:
        return _walk(raw)


def _walk(raw: BinaryIO) -> dict[int, int | None]:
    """Go from directory to directory of a TIFF, and return the tags of its first."""
    size = raw.seek(0, io.SEEK_END)
    if size == 0:
        raise FrameError("the file is empty (0 bytes)")
    order, big, offset = _head(raw)
    count, link = (struct.Struct(f"{order}{code}") for code in (("Q", "Q") if big else ("H", "I")))
    entry = struct.Struct(f"{order}HHQ8s" if big else f"{order}HHI4s")
    seen, tag_bytes = set[int](), 0
    shape: tuple[int, int] | None = None
    first: dict[int, int | None] = {}
    try:
        while offset:
            if offset in seen:
                raise FrameError("its pages form a circle: one points back to an earlier one")
            seen.add(offset)
            if len(seen) > MOST_PAGES:
                raise FrameError(f"more than {MOST_PAGES} pages; a file has at most {MOST_PAGES}")
            (n,) = _unpacked(raw, offset, count)
            entries = _entries(raw, n, entry)
            if shape is None:
                tags = _whole_numbers(entries, order)
                first, shape = first or tags, _stated_size(tags)
            tag_bytes += _tag_bytes(entries, size)
            if tag_bytes > _FREE_BYTES + 2 * size:
                raise FrameError(f"tags of {tag_bytes} bytes in a file of {size} bytes")
            (offset,) = _unpacked(raw, offset + count.size + n * entry.size, link)
    except FrameError as error:
        raise FrameError(str(error), shape) from error
    if not seen:
        raise FrameError("a TIFF without a page")
    return first


_Entries = list[tuple[int, int, int, bytes]]


def _entries(raw: BinaryIO, n: int, entry: struct.Struct) -> _Entries:
    """Return code, type, number of items and value of the tags of a directory."""
    if n > _MOST_TAGS:
        raise FrameError(f"a page with {n} tags; at most {_MOST_TAGS} are read")
    data = raw.read(n * entry.size)
    if len(data) < n * entry.size:
        raise FrameError("truncated: the file ends before its last page does")
    return list(entry.iter_unpack(data))


def _tag_bytes(entries: _Entries, size: int) -> int:
    total = 0
    for code, kind, items, _ in entries:
        n_bytes = _TYPE_BYTES.get(kind, 1) * items
        if n_bytes > size:
            raise FrameError(f"truncated: tag {code} declares {n_bytes} bytes in a file of {size} bytes")
        total += n_bytes
    return total


def _whole_numbers(entries: _Entries, order: str) -> dict[int, int | None]:
    """Return the value of each tag that is one SHORT or LONG, None for any other; of two with one code, the first."""
    found: dict[int, int | None] = {}
    for code, kind, items, value in entries:
        is_number = kind in (_SHORT, _LONG) and items == 1
        found.setdefault(
            code, struct.unpack_from(f"{order}{'H' if kind == _SHORT else 'I'}", value)[0] if is_number else None
        )
    return found


def _stated_size(tags: Mapping[int, int | None]) -> tuple[int, int] | None:
    """Return rows and columns by the tags of a page, where they are such as a frame may have."""
    rows, columns = (tags.get(code) or 0 for code in SIDES)
    return (rows, columns) if 0 < rows * columns <= MAX_PIXELS else None


def _head(raw: BinaryIO) -> tuple[str, bool, int]:
    """Return the order of bytes, whether it is a BigTIFF, and where the first directory begins."""
    raw.seek(0)
    head = raw.read(16).ljust(16, b"\0")
    order = {b"II": "<", b"MM": ">"}.get(head[:2], "")
    version = struct.unpack_from(f"{order}H", head, 2)[0]
    if not order or version not in (42, 43):
        raise FrameError(f"the file cannot be read: not a TIFF file: it begins with {head[:4].hex(' ')}")
    big = version == 43
    return order, big, struct.unpack_from(f"{order}{'Q' if big else 'I'}", head, 8 if big else 4)[0]


def _unpacked(raw: BinaryIO, offset: int, what: struct.Struct) -> tuple[Any, ...]:
    try:
        raw.seek(offset)
    except (OverflowError, ValueError, OSError):  # an offset beyond any file
        raise FrameError("truncated: the file ends before its last page does") from None
    data = raw.read(what.size)
    if len(data) < what.size:
        raise FrameError("truncated: the file ends before its last page does")
    return what.unpack(data)


def segment_shape(page: Any) -> tuple[int, int]:
    """Return the rows and columns of a page's tiles or strips."""
    return (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, page.imagewidth)


def check_page(page: Any, size: int) -> None:
    """Refuse a page of an open TIFF of `size` bytes whose numbers, tiles or codec are not such as images have.

    The size of the image is looked at by `check_size` or `check_whole`, its cost by `check_cost`.
    """
    _check_claims(page)
    check_numbers(page.dtype)
    if page.compression not in _CODED:
        name = getattr(page.compression, "name", str(page.compression)).lower()
        raise FrameError(f"pixels compressed by {name}; one of {', '.join(dict.fromkeys(_CODED.values()))} is expected")
    if not 1 <= page.samplesperpixel <= _MOST_SAMPLES or page.imagedepth != 1:
        raise FrameError(f"a page of {page.imagedepth} x {page.samplesperpixel} planes; grey pages are expected")
    needed = _needed(page)
    _check_segments(page, needed, size)


def _check_claims(page: Any) -> None:
    """Refuse a page with a tag that holds something else than the whole numbers that every TIFF has there."""
    for name in _NUMBERS:
        if not isinstance(getattr(page, name), int):
            raise FrameError(f"a page whose {name} is {plain(getattr(page, name))}; a whole number is expected")
    for name in ("dataoffsets", "databytecounts"):
        values = getattr(page, name)
        if any(kind is not int for kind in set(map(type, values))) or min(values, default=0) < 0:
            raise FrameError(f"a page whose {name} are no whole numbers from 0 on")


def _check_segments(page: Any, needed: int, size: int) -> None:
    rows, columns = segment_shape(page)
    pixels = page.imagelength * page.imagewidth
    if page.is_contiguous:
        if page.dataoffsets[0] + page.nbytes > size:
            raise FrameError("truncated: the file ends before its pixels do")
        return
    most = min(MAX_PIXELS, max(4 * pixels, _TILE_PX))
    if not 1 <= rows * columns <= most:
        raise FrameError(f"strips or tiles of {rows} x {columns} pixels; at most {most} are read: save it tiled")
    if needed > max(_MOST_SEGMENTS, pixels // _PX_A_SEGMENT):
        raise FrameError(f"{needed} strips or tiles of {rows} x {columns} pixels; larger ones are expected")
    if len(page.dataoffsets) != needed or len(page.databytecounts) != needed:
        raise FrameError(f"{len(page.dataoffsets)} strips or tiles; its size needs {needed}")


def _needed(page: Any) -> int:
    """Return the number of strips or tiles of a page."""
    rows, columns = (max(1, side) for side in segment_shape(page))
    planes = page.samplesperpixel if page.planarconfig == 2 else 1
    return int(-(-page.imagelength // rows) * -(-page.imagewidth // columns) * planes)


def written_bytes(page: Any) -> int:
    """Return the bytes of pixels of a page that its file holds, once decoded: tiles never written do not count."""
    there = sum(1 for length in page.databytecounts if length)
    return int(page.nbytes) * there // max(1, len(page.databytecounts))


def check_pages(pages: Sequence[Any], size: int) -> None:
    """Refuse pages that are read whole, where one has a fault or all of them cost too much."""
    for page in pages:
        check_size(page.imagelength, page.imagewidth)
        check_page(page, size)
        for start, length in zip(page.dataoffsets, page.databytecounts, strict=True):
            if start + length > size:
                raise FrameError("truncated: the file ends before its pixels do")
    check_cost(sum(map(written_bytes, pages)), size)
    for page in pages:
        _check_coded_segments(page)


def _check_coded_segments(page: Any) -> None:
    if page.compression not in (*_JPEG, *_JPEG_2000):
        return
    file = page.parent.filehandle
    for start, length in zip(page.dataoffsets, page.databytecounts, strict=True):
        file.seek(start)
        check_coded(page, file.read(length))


def check_coded(page: Any, data: bytes) -> None:
    """Refuse a strip or tile of a page that is an image of its own, where it claims to be larger than its place."""
    rows, columns = segment_shape(page)
    if page.compression in _JPEG and data:
        check_jpeg(data, rows, columns)
    elif page.compression in _JPEG_2000 and data:
        _check_jpeg_2000(data, rows, columns)


def check_picture(data: bytes, rows: int, columns: int, samples: int) -> None:
    """Refuse a JPEG or PNG that is larger than a frame may be, or costs more than its bytes can be worth."""
    check_size(rows, columns)
    check_cost(rows * columns * samples, len(data))
    if data[:2] == b"\xff\xd8":
        check_jpeg(data, rows, columns)


def check_jpeg(data: bytes, rows: int, columns: int) -> None:
    """Refuse a JPEG of more rows or columns, or whose pixels are gone through so often that it costs too much."""
    found = _jpeg_sizes(data)
    if not found:
        raise FrameError("a JPEG without a size")
    for high, wide in found:
        if high > rows or wide > columns:
            raise FrameError(f"a JPEG of {high} x {wide} pixels where {rows} x {columns} are expected")
    passes = data.count(b"\xff\xda")
    if passes * max(high * wide for high, wide in found) > _MOST_OFTEN:
        raise FrameError(f"a JPEG of {passes} passes over {found[0][0]} x {found[0][1]} pixels: it costs too much")


def _jpeg_sizes(data: bytes) -> list[tuple[int, int]]:
    """Return rows and columns by each header of a JPEG, segment by segment up to its first scan."""
    sizes, at = [], 2
    while at + 9 <= len(data):
        at = data.find(b"\xff", at)
        if at < 0 or at + 9 > len(data):
            break
        marker = data[at + 1]
        if marker in (0x00, 0x01, 0xFF, *range(0xD0, 0xD9)):
            at += 1 if marker == 0xFF else 2
            continue
        if marker in _SOF:
            sizes.append(struct.unpack_from(">HH", data, at + 5))
        if marker in (0xDA, 0xD9):
            break
        at += 2 + int(struct.unpack_from(">H", data, at + 2)[0])
    return sizes


def _check_jpeg_2000(data: bytes, rows: int, columns: int) -> None:
    at = data.find(b"\xff\x4f\xff\x51")
    if at < 0 or at + 44 > len(data):
        raise FrameError("JPEG 2000 without a size")
    while 0 <= at <= len(data) - 44:
        wide, high, left, top, tile_wide, tile_high, x, y, parts = struct.unpack_from(">8IH", data, at + 8)
        if not 1 <= high - top <= rows or not 1 <= wide - left <= columns or not 1 <= parts <= _MOST_SAMPLES:
            raise FrameError(f"JPEG 2000 of {high - top} x {wide - left} pixels where {rows} x {columns} are expected")
        tiles = math.ceil((wide - x) / max(1, tile_wide)) * math.ceil((high - y) / max(1, tile_high))
        if tiles > _MOST_J2K_TILES:
            raise FrameError(f"JPEG 2000 of {tiles} tiles; at most {_MOST_J2K_TILES} are read")
        at = data.find(b"\xff\x4f\xff\x51", at + 4)
