"""TIFF files written byte by byte from TIFF 6.0 and the BigTIFF layout, not by the library that the
readers themselves use."""

import struct
import zlib
from dataclasses import dataclass, field

import numpy as np

CODES = {1: "B", 3: "H", 4: "I", 5: "I", 16: "Q"}


@dataclass
class Page:
    """A grey plane: in one strip or in tiles, plain or deflated, with further tags, and smaller copies below it."""

    pixels: np.ndarray
    tile: tuple[int, int] | None = None
    deflate: bool = False
    description: str = ""
    tags: list = field(default_factory=list)  # (tag, type, value)
    below: list = field(default_factory=list)  # pages behind the tag SubIFDs
    rational: dict = field(default_factory=dict)  # tag -> (numerator, denominator)
    declared: tuple[int, int] | None = None  # the size in the header, where it is not that of the pixels


def write(path, pages, byteorder="<", big=False):
    path.write_bytes(as_bytes(pages, byteorder, big))
    return path


def as_bytes(pages, byteorder="<", big=False):
    """Return the file: a header, then each page's data, its values and its directory, linked one to the next."""
    head = struct.pack(byteorder + "HHH", 43, 8, 0) if big else struct.pack(byteorder + "H", 42)
    out = bytearray((b"II" if byteorder == "<" else b"MM") + head)
    link, offset = len(out), "Q" if big else "I"
    out += struct.pack(byteorder + offset, 0)
    for page in pages:
        at, next_link = _append(out, page, byteorder, big)
        struct.pack_into(byteorder + offset, out, link, at)
        link = next_link
    return bytes(out)


def _append(out, page, byteorder, big):
    """Append one page; return where its directory begins and where the offset of the next one goes."""
    offset = "Q" if big else "I"
    below = [_append(out, lower, byteorder, big)[0] for lower in page.below]
    starts, lengths = _data(out, page, byteorder)
    rows, columns = page.declared or page.pixels.shape
    where = 16 if big else 4
    tags = [
        (256, 4, [columns]),
        (257, 4, [rows]),
        (258, 3, [8 * page.pixels.dtype.itemsize]),
        (259, 3, [8 if page.deflate else 1]),
        (262, 3, [1]),
        (277, 3, [1]),
        (339, 3, [1]),
        *((tag, 5, list(value)) for tag, value in page.rational.items()),
    ]
    if page.tile:
        tags += [(322, 4, [page.tile[1]]), (323, 4, [page.tile[0]]), (324, where, starts), (325, where, lengths)]
    else:
        tags += [(278, 4, [rows]), (273, where, starts), (279, where, lengths)]
    if page.description:
        tags.append((270, 2, page.description.encode() + b"\0"))
    if below:
        tags.append((330, where, below))
    tags = {tag: (kind, value) for tag, kind, value in [*tags, *page.tags]}  # the page's own overrule
    entries = []
    for tag, (kind, value) in sorted(tags.items()):
        count = len(value) // (2 if kind == 5 else 1)
        raw = value if kind == 2 else struct.pack(f"{byteorder}{len(value)}{CODES[kind]}", *value)
        room = 8 if big else 4
        if len(raw) > room:
            out += b"\0" * (len(out) % 2)
            raw, at = struct.pack(byteorder + offset, len(out)), raw
            out += at
        entries.append(struct.pack(f"{byteorder}HH{offset}", tag, kind, count) + raw.ljust(room, b"\0"))
    out += b"\0" * (len(out) % 2)
    at = len(out)
    out += struct.pack(byteorder + ("Q" if big else "H"), len(entries)) + b"".join(entries)
    link = len(out)
    out += struct.pack(byteorder + offset, 0)
    return at, link


def _data(out, page, byteorder):
    pixels = page.pixels.astype(page.pixels.dtype.newbyteorder(byteorder))
    parts = [pixels]
    if page.tile:
        high, wide = page.tile
        rows, columns = (-(-n // t) * t for n, t in zip(pixels.shape, page.tile, strict=True))
        padded = np.zeros((rows, columns), pixels.dtype)
        padded[: pixels.shape[0], : pixels.shape[1]] = pixels
        parts = [padded[y : y + high, x : x + wide] for y in range(0, rows, high) for x in range(0, columns, wide)]
    starts, lengths = [], []
    for part in parts:
        data = zlib.compress(part.tobytes()) if page.deflate else part.tobytes()
        out += b"\0" * (len(out) % 2)
        starts.append(len(out))
        lengths.append(len(data) if page.declared is None else page.declared[0] * page.declared[1] * pixels.itemsize)
        out += data
    return starts, lengths
