"""Arrays of zarr, versions 2 and 3: a folder of chunks, of which only those that a frame needs are read.

The format allows far more than images need. Plain numbers, coded with the compressors that image writers use, are
read; objects, filters and unknown codecs are refused by name. No file outside the image's folder is opened, wherever
links lead.

The library zarr 3 reads the same arrays at about the same speed (1.0 to 1.8 times the processor time of this module),
but it cannot limit what a chunk decodes to: its zlib, gzip and zstd codecs return as much as the data yields, so that
a damaged or hostile chunk of 1.5 MB took 2.9 GB of memory. The decoders used here never return more than one chunk.
zarr serves as the independent implementation in the tests instead.
"""

import json
import math
import os
import re
import struct
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from ctcascade.data.errors import plain
from ctcascade.formats import guard, watched
from ctcascade.formats.frame import MAX_PIXELS, Box, FrameError

_MOST_JSON = 4_000_000  # bytes
_LONGEST_NAME = 255  # bytes; file systems take no longer ones
_FRAME_PX = 2000  # the longest side of what is read at once
_MOST_CHUNKS = 20_000  # of a plane of a frame, each of which may be a file
_MOST_IN_SHARD = 2**16
_LEFT_OUT = 2**64 - 1  # entry of a shard's index: the chunk was not written
_SPARE = 65_536  # bytes that a compressor may add to a chunk
_TYPE_2 = re.compile(r"[<>|][uif][1248]")
_TYPE_3 = re.compile(r"(u?int|float)(8|16|32|64)")


def _blosc(data: bytes, out: int) -> bytes:
    """Decode a Blosc container after checking the sizes in its header, which the decoder trusts."""
    n_bytes, block, stored = struct.unpack("<III", data[4:16])
    if stored != len(data) or n_bytes != out or not 1 <= block <= max(n_bytes, 1):
        raise FrameError("a Blosc container whose size differs from its header")
    return bytes(imagecodecs.blosc_decode(data, out=out))


# none of them returns more bytes than it is asked for
_DECODERS: dict[str, Callable[..., Any]] = {
    "zlib": imagecodecs.zlib_decode,
    "gzip": imagecodecs.gzip_decode,
    "zstd": imagecodecs.zstd_decode,
    "blosc": _blosc,
    "lz4": partial(imagecodecs.lz4_decode, header=True),
}


@dataclass(frozen=True)
class Array:
    """An array whose last two axes are y and x.

    Attributes
    ----------
    folder, root : Path
        Where the array is, and the folder that all its files must be in, resolved.
    shape, chunk : tuple of int
    dtype : dtype
        With the byte order of the chunks.
    fill : float
        The value of every element of a missing chunk.
    prefix, separator : str
        Of the names of chunks.
    compressor : str
        Empty where chunks are not compressed.
    order : str
        ``C``, or ``F`` where the first axis of a chunk varies fastest.
    shard : tuple of int
        Number of chunks in one file along each axis; empty where each chunk has its own file.
    index_first : bool
        Whether the index of such a file is at its start; otherwise it is at the end.
    """

    folder: Path
    root: Path
    shape: tuple[int, ...]
    chunk: tuple[int, ...]
    dtype: np.dtype[Any]
    fill: float
    prefix: str
    separator: str
    compressor: str
    order: str = "C"
    shard: tuple[int, ...] = ()
    index_first: bool = False

    def read(self, leads: Sequence[tuple[int, ...]], box: Box) -> tuple[NDArray[Any], float]:
        """Return planes cut to a box, and the share of the box for which the chunks of all planes exist.

        Parameters
        ----------
        leads : sequence of tuple of int
            For each plane its index along the axes before y and x.
        box : Box

        Returns
        -------
        ndarray, shape (planes, Y, X)
            The fill value where a chunk is missing.
        float
        """
        y0, x0, y1, x1 = box
        high, wide = self.chunk[-2:]
        groups = defaultdict(list)
        for k, lead in enumerate(leads):
            parts = [divmod(n, size) for n, size in zip(lead, self.chunk, strict=False)]
            groups[tuple(chunk for chunk, _ in parts)].append((k, tuple(within for _, within in parts)))
        out = np.full((len(leads), y1 - y0, x1 - x0), self.fill, self.dtype.newbyteorder("="))
        written = 0
        for row in range(y0 // high, -(-y1 // high)):
            for column in range(x0 // wide, -(-x1 // wide)):
                y, x = row * high, column * wide
                top, left, bottom, right = max(y, y0), max(x, x0), min(y + high, y1), min(x + wide, x1)
                place = np.s_[top - y0 : bottom - y0, left - x0 : right - x0]
                complete = True
                for group, members in groups.items():
                    block = self._block((*group, row, column))
                    complete &= block is not None
                    for k, within in members if block is not None else ():
                        out[k][place] = block[within][top - y : bottom - y, left - x : right - x]  # type: ignore[index]
                written += complete * (bottom - top) * (right - left)
        return out, written / ((y1 - y0) * (x1 - x0))

    def _block(self, index: tuple[int, ...]) -> NDArray[Any] | None:
        """Return a decoded chunk; None where it is missing."""
        n_bytes = math.prod(self.chunk) * self.dtype.itemsize
        data = self._in_shard(index, n_bytes) if self.shard else self._file(index, n_bytes + n_bytes // 8 + _SPARE)
        if data is None:
            return None
        if self.compressor:
            data = bytes(_DECODERS[self.compressor](data, out=n_bytes))
        if len(data) != n_bytes:
            raise FrameError(f"chunk {self._name(index)} decodes to {len(data)} bytes; {n_bytes} are expected")
        numbers: NDArray[Any] = np.frombuffer(data, self.dtype)
        return numbers.reshape(self.chunk, order="F" if self.order == "F" else "C")

    def _name(self, index: Sequence[int]) -> str:
        return self.separator.join([*filter(None, [self.prefix]), *map(str, index)])

    def _file(self, index: Sequence[int], most: int) -> bytes | None:
        path = inside(self.folder / self._name(index), self.root)
        if path is None:
            return None
        if path.stat().st_size > most:
            raise FrameError(f"chunk {self._name(index)} has {path.stat().st_size} bytes; at most {most} are read")
        return path.read_bytes()

    def _in_shard(self, index: Sequence[int], n_bytes: int) -> bytes | None:
        """Return the bytes of a chunk that shares a file with others."""
        outer, inner = zip(*(divmod(i, n) for i, n in zip(index, self.shard, strict=True)), strict=True)
        path = inside(self.folder / self._name(outer), self.root)
        if path is None:
            return None
        n_chunks, size = math.prod(self.shard), path.stat().st_size
        # the checksum after the index is not checked: what the index points to must decode to a chunk anyway
        entry = 0 if self.index_first else size - 16 * n_chunks - 4
        entry += 16 * int(np.ravel_multi_index(inner, self.shard))
        with watched.opened(path) as file:
            if not 0 <= entry <= size - 16:
                raise FrameError(f"truncated: {self._name(outer)} is shorter than its index")
            file.seek(entry)
            start, length = struct.unpack("<QQ", file.read(16))
            if start == length == _LEFT_OUT:
                return None
            if length > n_bytes + n_bytes // 8 + _SPARE or start + length > size:
                raise FrameError(f"truncated: the index of {self._name(outer)} points beyond its end")
            file.seek(start)
            return file.read(length)


def inside(path: Path, root: Path) -> Path | None:
    """Return a file of the folder `root`, links followed; None where it does not exist.

    Raises
    ------
    FrameError
        If it is outside the folder, or is not a file.
    """
    if any(len(os.fsencode(part)) > _LONGEST_NAME for part in path.parts):
        raise FrameError(f"a file name of more than {_LONGEST_NAME} bytes: {plain(path.name)}")
    place = path.resolve()
    if not place.is_relative_to(root):
        raise FrameError(f"{plain(path.name)} lies outside the image's folder")
    if not place.is_file():
        if os.path.lexists(path):
            raise FrameError(f"{plain(path.name)} is not a file")
        return None
    return place


def read_json(path: Path, root: Path) -> dict[str, object] | None:
    """Return the content of a metadata file; None where it does not exist.

    Raises
    ------
    FrameError
        If it is outside `root`, too long, or not a mapping.
    """
    place = inside(path, root)
    if place is None:
        return None
    if place.stat().st_size > _MOST_JSON:
        raise FrameError(f"{path.name} has {place.stat().st_size} bytes; at most {_MOST_JSON} are read")
    try:
        found = json.loads(place.read_bytes())
    except (ValueError, RecursionError) as error:
        raise FrameError(f"{path.name} is not JSON: {plain(error)}") from error
    return mapping(found, path.name)


def open_array(folder: Path, root: Path) -> Array:
    """Open an array without reading any chunk.

    Raises
    ------
    FrameError
        If there is no array, if it holds anything but plain numbers or is coded in a way that is not supported, or if
        it claims sizes that no image has.
    """
    second = read_json(folder / ".zarray", root)
    third = read_json(folder / "zarr.json", root) if second is None else None
    if second is None and third is None:
        raise FrameError(f"no array at {plain(folder.name)}: neither .zarray nor zarr.json")
    array = _version_2(second, folder, root) if second is not None else _version_3(third or {}, folder, root)
    _check(array)
    return array


def _version_2(said: Mapping[str, object], folder: Path, root: Path) -> Array:
    coded = said.get("dtype")
    if not isinstance(coded, str) or not _TYPE_2.fullmatch(coded):
        raise FrameError(f"elements of type {plain(coded)}; plain numbers are expected")
    if said.get("filters"):
        raise FrameError(f"filters {plain(said['filters'])}; filters are not supported")
    compressor = mapping(said.get("compressor") or {}, "compressor").get("id", "")
    dtype, separator = np.dtype(coded), said.get("dimension_separator", ".")
    fill = _fill(said.get("fill_value"), dtype)
    chunk, order = _whole_numbers(said, "chunks"), str(said.get("order", "C"))
    shape = _whole_numbers(said, "shape")
    return Array(folder, root, shape, chunk, dtype, fill, "", _separator(separator), _decoder(compressor), order)


def _version_3(said: Mapping[str, object], folder: Path, root: Path) -> Array:
    coded = said.get("data_type")
    if not isinstance(coded, str) or not _TYPE_3.fullmatch(coded):
        raise FrameError(f"elements of type {plain(coded)}; plain numbers are expected")
    named = _configured(said.get("chunk_key_encoding", {"name": "default"}), "chunk_key_encoding")
    key, prefix = named[1], {"default": "c", "v2": ""}.get(named[0])
    if prefix is None:
        raise FrameError(f"chunk names of the kind {plain(named[0])}; default or v2 are expected")
    grid, about = _configured(said.get("chunk_grid"), "chunk_grid")
    if grid != "regular":
        raise FrameError(f"a {plain(grid)} grid of chunks; a regular one is expected")
    outer, codecs = _whole_numbers(about, "chunk_shape"), _codecs(said.get("codecs"))
    chunk, shard, first = outer, tuple[int, ...](), False
    if codecs and codecs[0][0] == "sharding_indexed" and len(codecs) == 1:
        about = codecs[0][1]
        chunk, codecs = _whole_numbers(about, "chunk_shape"), _codecs(about.get("codecs"))
        if len(chunk) != len(outer) or any(not n or whole % n for whole, n in zip(outer, chunk, strict=True)):
            raise FrameError(f"shards of {outer} are not a whole number of chunks of {chunk}")
        if [name for name, _ in _codecs(about.get("index_codecs"))] != ["bytes", "crc32c"]:
            raise FrameError("shards whose index is not coded as bytes, crc32c")
        shard, first = tuple(w // n for w, n in zip(outer, chunk, strict=True)), about.get("index_location") == "start"
    dtype, compressor = _numbers_and_compressor(np.dtype(coded), codecs)
    separator = _separator(key.get("separator", "/" if prefix else "."))
    fill, shape = _fill(said.get("fill_value"), dtype), _whole_numbers(said, "shape")
    return Array(folder, root, shape, chunk, dtype, fill, prefix, separator, compressor, "C", shard, first)


def _check(array: Array) -> None:
    """Refuse impossible sizes before anything is allocated."""
    shape, chunk = array.shape, array.chunk
    if not 2 <= len(shape) <= 5 or len(chunk) != len(shape) or 0 in shape or 0 in chunk:
        raise FrameError(f"an array of {shape} in chunks of {chunk}")
    guard.check_whole(*shape[-2:])
    if max(shape) > guard.LONGEST_PX:
        raise FrameError(f"an array of {shape}; at most {guard.LONGEST_PX} planes are read")
    if math.prod(chunk) > MAX_PIXELS:
        raise FrameError(f"chunks of {chunk}; at most {MAX_PIXELS} pixels are read")
    n_chunks = math.prod(-(-min(n, _FRAME_PX) // size) for n, size in zip(shape[-2:], chunk[-2:], strict=True))
    if n_chunks > _MOST_CHUNKS:
        raise FrameError(
            f"chunks of {chunk[-2]} x {chunk[-1]} pixels, {n_chunks} for a plane of a frame; at most {_MOST_CHUNKS}"
        )
    if math.prod(array.shard) > _MOST_IN_SHARD:
        raise FrameError(f"shards of {math.prod(array.shard)} chunks")
    if array.order not in ("C", "F"):
        raise FrameError(f"chunks in the order {plain(array.order)}; C or F is expected")


def _numbers_and_compressor(
    dtype: np.dtype[Any], codecs: Sequence[tuple[str, Mapping[str, object]]]
) -> tuple[np.dtype[Any], str]:
    """Return the type in the byte order of the codecs, and the name of the compressor or an empty string."""
    names = [name for name, _ in codecs]
    if names[:1] != ["bytes"] or len(names) > 2:
        raise FrameError(f"codecs {plain(', '.join(names))}; bytes and a compressor are expected")
    endian = codecs[0][1].get("endian", "little")
    if endian not in ("little", "big"):
        raise FrameError(f"numbers in the byte order {plain(endian)}; little or big is expected")
    return dtype.newbyteorder("<" if endian == "little" else ">"), _decoder(names[1]) if names[1:] else ""


def _codecs(said: object) -> list[tuple[str, dict[str, object]]]:
    if not isinstance(said, list):
        raise FrameError(f"codecs {plain(said)}; a list is expected")
    return [_configured(codec, "codecs") for codec in said]


def _configured(said: object, key: str) -> tuple[str, dict[str, object]]:
    """Return the name and configuration of an extension point of zarr 3."""
    found = mapping(said, key)
    return str(found.get("name")), mapping(found.get("configuration", {}), key)


def mapping(said: object, key: str) -> dict[str, object]:
    """Return a mapping of the metadata; refuse anything else."""
    if not isinstance(said, dict):
        raise FrameError(f"{plain(key)}: found {plain(said)}; a mapping is expected")
    return said


def _whole_numbers(said: Mapping[str, object], key: str) -> tuple[int, ...]:
    found = said.get(key)
    if not isinstance(found, list) or not all(type(n) is int and n >= 0 for n in found):
        raise FrameError(f"{key}: found {plain(found)}; whole numbers are expected")
    return tuple(found)


def _separator(said: object) -> str:
    if said not in (".", "/"):
        raise FrameError(f"chunk names with {plain(said)} between numbers; . or / are expected")
    return str(said)


def _decoder(name: object) -> str:
    if name != "" and name not in _DECODERS:
        raise FrameError(f"chunks compressed by {plain(name)}; one of {', '.join(_DECODERS)} is expected")
    return str(name)


def _fill(said: object, dtype: np.dtype[Any]) -> float:
    """Return the value of elements that were not written; some writers give it as text."""
    if said is None:
        return 0
    value = _number(said) if isinstance(said, str) else said
    if dtype.kind == "f" and isinstance(said, str) and said.startswith("0x"):
        return _of_bits(said, dtype)
    if dtype.kind == "f" and isinstance(value, float):
        return value
    limits = np.iinfo(dtype) if dtype.kind in "ui" else np.iinfo(np.int32)
    if isinstance(value, bool) or not isinstance(value, int | float) or not limits.min <= value <= limits.max:
        raise FrameError(f"fill_value {plain(said)}; a {dtype.name} is expected")
    return value


def _number(said: str) -> int | float | None:
    for kind in (int, float):
        try:
            return kind(said)
        except ValueError:
            continue
    return None


def _of_bits(said: str, dtype: np.dtype[Any]) -> float:
    """Return the float whose bits are given in hexadecimal, as zarr 3 allows."""
    try:
        return float(np.frombuffer(int(said, 16).to_bytes(dtype.itemsize, "little"), dtype.newbyteorder("<"))[0])
    except (ValueError, OverflowError) as error:
        raise FrameError(f"fill_value {plain(said)}; a {dtype.name} is expected") from error
