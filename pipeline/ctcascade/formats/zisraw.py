"""The segments of a CZI file (ZISRAW): where its pieces of image are, their pixels, and its metadata.

Each segment begins with its name and length; a directory lists the pieces (sub-blocks) with their positions in the
mosaic. Pieces of the pyramid are skipped. Sizes that the length of the file or of a piece rules out are refused before
anything is allocated.
"""

import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from ctcascade.formats import watched
from ctcascade.formats.frame import Box, FrameError, check_size

_HEAD = struct.Struct("<16sqq")  # name, bytes set aside, bytes used
_MOST_PIECES = 200_000
_MOST_DIMENSIONS = 16
_MOST_XML = 32_000_000
_SPARE = 65_536  # bytes that a compressor may add
_TYPES: dict[int, np.dtype[Any]] = {0: np.dtype("<u1"), 1: np.dtype("<u2"), 2: np.dtype("<f4")}
_COLOURS = {3: "24-bit colour", 4: "48-bit colour", 8: "96-bit colour", 9: "32-bit colour"}
_COMPRESSED = {1: "JPEG", 2: "LZW"}


@dataclass(frozen=True)
class Piece:
    """One piece of one channel at full resolution.

    Attributes
    ----------
    at : int
        Where its segment begins.
    channel, scene, tile : int
        `tile` is the number within the mosaic, -1 without one.
    others : tuple of (str, int)
        Its index along each further axis, such as depth and time.
    box : Box
        Its rows and columns in the mosaic.
    pixel_type, compression : int
        As the format numbers them.
    """

    at: int
    channel: int
    scene: int
    tile: int
    others: tuple[tuple[str, int], ...]
    box: Box
    pixel_type: int
    compression: int

    @property
    def depth(self) -> int:
        """Its plane in depth."""
        return dict(self.others).get("Z", 0)

    @property
    def n_bytes(self) -> int:
        """Bytes of its pixels, once decoded."""
        dtype = _TYPES.get(self.pixel_type)
        return (self.box[2] - self.box[0]) * (self.box[3] - self.box[1]) * (dtype.itemsize if dtype else 1)

    def read(self, file: BinaryIO) -> NDArray[Any]:
        """Return its pixels, shape (Y, X)."""
        shape = self.box[2] - self.box[0], self.box[3] - self.box[1]
        check_size(*shape)
        dtype = _TYPES.get(self.pixel_type)
        if dtype is None:
            kind = _COLOURS.get(self.pixel_type, f"type {self.pixel_type}")
            raise FrameError(f"pixels of {kind}; grey ones are expected")
        n_bytes = shape[0] * shape[1] * dtype.itemsize
        _used(file, self.at, b"ZISRAWSUBBLOCK")
        about, _, length = struct.unpack("<iiq", _exactly(file, 16))
        n_dimensions = struct.unpack("<28xi", _exactly(file, 32))[0]
        start = self.at + _HEAD.size + max(256, 48 + 20 * n_dimensions) + about
        most = n_bytes + n_bytes // 8 + _SPARE
        if not (0 <= n_dimensions <= _MOST_DIMENSIONS and about >= 0 and 0 <= length <= most):
            raise FrameError(f"a piece of {length} bytes; {shape[0]} x {shape[1]} pixels have at most {most}")
        if start > os.fstat(file.fileno()).st_size:
            raise FrameError(f"truncated: the pixels of a piece are expected at byte {start}")
        file.seek(start)
        data = _exactly(file, length)
        if self.compression not in _DECODERS:
            name = _COMPRESSED.get(self.compression, f"method {self.compression}")
            raise FrameError(f"pixels compressed by {name}; JPEG XR, zstd or none is expected")
        return _DECODERS[self.compression](data, shape, dtype)


def pieces(path: Path) -> tuple[Piece, ...]:
    """Return the pieces of full resolution in the order of the directory.

    Raises
    ------
    FrameError
        If the file is not a CZI, was not closed, continues in another file, or claims more than it can hold.
    """
    size = path.stat().st_size
    with watched.opened(path) as file:
        directory, _ = _start(file)
        used = _used(file, directory, b"ZISRAWDIRECTORY")
        n = struct.unpack("<i124x", _exactly(file, 128))[0]
        if not 0 < n <= _MOST_PIECES or 52 * n > min(used, size):
            raise FrameError(f"a directory of {n} pieces in {used} bytes")
        found = [_entry(file) for _ in range(n)]
    return tuple(piece for piece in found if piece is not None)


def metadata(path: Path) -> str:
    """Return the XML that describes channels and scale; empty if the file has none."""
    with watched.opened(path) as file:
        _, position = _start(file)
        if position == 0:
            return ""
        _used(file, position, b"ZISRAWMETADATA")
        length = struct.unpack("<i252x", _exactly(file, 256))[0]
        if not 0 <= length <= _MOST_XML:
            raise FrameError(f"metadata of {length} bytes; at most {_MOST_XML} are read")
        return _exactly(file, length).decode("utf-8", "replace")


def _start(file: BinaryIO) -> tuple[int, int]:
    """Return where directory and metadata begin."""
    _used(file, 0, b"ZISRAWFILE")
    part, directory, metadata_at, pending = struct.unpack("<48xiqqi", _exactly(file, 72))
    if part != 0:
        raise FrameError("a CZI that continues in other files; a single file is expected")
    if pending or directory <= 0:
        raise FrameError("a CZI that was not closed: its directory was never written")
    return directory, metadata_at


def _used(file: BinaryIO, at: int, name: bytes) -> int:
    """Go to the content of a segment; return its length."""
    if not 0 <= at <= os.fstat(file.fileno()).st_size:
        raise FrameError(f"truncated: {name.decode()} is expected at byte {at}")
    file.seek(at)
    found, _, used = _HEAD.unpack(_exactly(file, _HEAD.size))
    if found.rstrip(b"\0") != name:
        raise FrameError(f"not a CZI: {name.decode()} is expected at byte {at}")
    return int(used)


def _exactly(file: BinaryIO, n: int) -> bytes:
    data = file.read(n)
    if len(data) != n:
        raise FrameError("truncated: the file ends before its segments do")
    return data


def _entry(file: BinaryIO) -> Piece | None:
    """Return what the directory tells of a piece; None for one of the pyramid."""
    schema, pixel_type, at, part, compression, n = struct.unpack("<2siqii6xi", _exactly(file, 32))
    if schema != b"DV" or part != 0 or not 2 <= n <= _MOST_DIMENSIONS:
        raise FrameError("a directory that names no piece of this file")
    axes = {}
    for _ in range(n):
        name, start, size, stored = struct.unpack("<4sii4xi", _exactly(file, 20))
        axes[name.rstrip(b"\0 ").decode("ascii", "replace")] = (start, size, stored or size)
    if "X" not in axes or "Y" not in axes:
        raise FrameError("a piece without rows or columns")
    (y, high, stored_high), (x, wide, stored_wide) = axes.pop("Y"), axes.pop("X")
    if (high, wide) != (stored_high, stored_wide):
        return None
    if high < 1 or wide < 1 or any(size not in (0, 1) for name, (_, size, _) in axes.items() if name != "M"):
        raise FrameError("pieces that are no single planes")
    check_size(high, wide)
    first = {name: start for name, (start, _, _) in axes.items()}
    channel, scene, tile = first.pop("C", 0), first.pop("S", 0), first.pop("M", -1)
    others = tuple(sorted(first.items()))
    return Piece(at, channel, scene, tile, others, (y, x, y + high, x + wide), pixel_type, compression)


def _plain(data: bytes, shape: tuple[int, int], dtype: np.dtype[Any]) -> NDArray[Any]:
    n = shape[0] * shape[1]
    if len(data) < n * dtype.itemsize:
        raise FrameError("truncated: a piece has fewer bytes than pixels")
    return np.frombuffer(data, dtype, n).reshape(shape)


def _zstd(data: bytes, shape: tuple[int, int], dtype: np.dtype[Any]) -> NDArray[Any]:
    n_bytes = shape[0] * shape[1] * dtype.itemsize
    return _plain(bytes(imagecodecs.zstd_decode(data, out=n_bytes)), shape, dtype)


def _zstd_with_header(data: bytes, shape: tuple[int, int], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Decode zstd behind a header of one byte, or of three that tell whether low bytes stand before high ones."""
    if data[:1] == b"\x01":
        return _zstd(data[1:], shape, dtype)
    if data[:2] != b"\x03\x01":
        raise FrameError("zstd behind a header that is not known")
    if not data[2] & 1:
        return _zstd(data[3:], shape, dtype)
    if dtype.itemsize != 2:
        raise FrameError("bytes split into low and high, of pixels that have no two bytes")
    split = _zstd(data[3:], (2, shape[0] * shape[1]), np.dtype("u1"))
    return np.ascontiguousarray(split.T).view("<u2").reshape(shape)


def _jpeg_xr(data: bytes, shape: tuple[int, int], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Decode JPEG XR of the very size: the decoder breaks on what a container may claim, so it is given a plain one."""
    (directory,) = struct.unpack_from("<I", data, 4)
    (n,) = struct.unpack_from("<H", data, directory)
    tags = dict(struct.unpack_from("<H6xI", data, directory + 2 + 12 * k) for k in range(min(n, 64)))
    if not {0xBCC0, 0xBCC1} <= tags.keys():
        raise FrameError("JPEG XR that does not say where its pixels are")
    coded = data[tags[0xBCC0] : tags[0xBCC0] + tags[0xBCC1]]
    size = struct.unpack_from(">HH" if coded[10] & 0x80 else ">II", coded, 12)  # columns and rows, less one each
    depth = {1: 1, 2: 2}.get(dtype.itemsize)
    if coded[:9] != b"WMPHOTO\0\x11" or coded[11] != depth or (size[1] + 1, size[0] + 1) != shape:
        raise FrameError("JPEG XR of another size or depth than the piece")
    grey = bytes.fromhex("24c3dd6f034efe4bb1853d77768dc9") + (b"\x08" if depth == 1 else b"\x0b")
    entries = [(0xBC01, 1, 16, 74), (0xBC80, 4, 1, shape[1]), (0xBC81, 4, 1, shape[0])]
    entries += [(0xBCC0, 4, 1, 90), (0xBCC1, 4, 1, len(coded))]
    head = b"II\xbc\x01" + struct.pack("<IH", 8, len(entries))
    head += b"".join(struct.pack("<HHII", *entry) for entry in entries) + bytes(4)
    decoded = imagecodecs.jpegxr_decode(head + grey + coded)
    if decoded.shape != shape or decoded.dtype != dtype:
        raise FrameError("JPEG XR that gives other pixels than the piece has")
    return decoded


_DECODERS: dict[int, Callable[[bytes, tuple[int, int], np.dtype[Any]], NDArray[Any]]] = {
    0: _plain,
    4: _jpeg_xr,
    5: _zstd,
    6: _zstd_with_header,
}
