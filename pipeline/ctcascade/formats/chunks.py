"""Arrays of zarr, versions 2 and 3: a folder of chunks, of which only those that a frame needs are read.

The format allows far more than images need. Plain numbers in the compressors of image writers are read; objects,
filters and unknown codecs are refused by name. No file outside the image's folder is opened, wherever links lead.
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
from ctcascade.formats.frame import MAX_PIXELS, Box, FrameError
from ctcascade.formats.parts import LARGEST_PX

_MOST_JSON = 4_000_000  # bytes
_LONGEST_PX = 1_000_000
_LEAST_CHUNK_PX = 64 * 64  # a frame of smaller ones is a thousand files and more
_LEFT_OUT = 2**64 - 1  # of a shard's index: the chunk was not written
_SPARE = 65_536  # bytes that a compressor may add
_TYPE_2 = re.compile(r"[<>|][uif][1248]")
_TYPE_3 = re.compile(r"(u?int|float)(8|16|32|64)")


def _blosc(data: bytes, out: int) -> bytes:
    """Decode a Blosc container whose header tells the sizes that it has: the decoder believes it."""
    n_bytes, block, stored = struct.unpack("<III", data[4:16])
    if stored != len(data) or n_bytes != out or not 1 <= block <= max(n_bytes, 1):
        raise FrameError("a Blosc container of other sizes than its header tells")
    return bytes(imagecodecs.blosc_decode(data, out=out))


# none of them gives out more bytes than it is asked for
_DECODERS: dict[str, Callable[..., Any]] = {
    "zlib": imagecodecs.zlib_decode,
    "gzip": imagecodecs.gzip_decode,
    "zstd": imagecodecs.zstd_decode,
    "blosc": _blosc,
    "lz4": partial(imagecodecs.lz4_decode, header=True),
}


@dataclass(frozen=True)
class Array:
    """An array whose two last axes are y and x.

    Attributes
    ----------
    folder, root : Path
        Where it lies, and the folder that no file may lie outside of, resolved.
    shape, chunk : tuple of int
    dtype : dtype
        With the byte order of the chunks.
    fill : float
        The value of each element of a chunk that is not there.
    prefix, separator : str
        Of the chunks' names.
    compressor : str
        Empty where chunks lie as they are.
    order : str
        ``C``, or ``F`` where the first axis of a chunk goes fastest.
    shard : tuple of int
        Chunks in one file along each axis; empty where each has its own.
    index_first : bool
        Where in such a file its index stands.
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
        """Return planes cut to a box, and the share of the box for which chunks of all of them are there.

        Parameters
        ----------
        leads : sequence of tuple of int
            Of each plane its place along the axes before y and x.
        box : Box

        Returns
        -------
        ndarray, shape (planes, Y, X)
            The fill value where a chunk is not there.
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
        """Return a chunk, decoded; None where it is not there."""
        n_bytes = math.prod(self.chunk) * self.dtype.itemsize
        data = self._in_shard(index, n_bytes) if self.shard else self._file(index, n_bytes + n_bytes // 8 + _SPARE)
        if data is None:
            return None
        if self.compressor:
            data = bytes(_DECODERS[self.compressor](data, out=n_bytes))
        if len(data) != n_bytes:
            raise FrameError(f"chunk {self._name(index)} gives {len(data)} bytes where {n_bytes} make a chunk")
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
        """Return a chunk's bytes out of the file that holds it with others."""
        outer, inner = zip(*(divmod(i, n) for i, n in zip(index, self.shard, strict=True)), strict=True)
        path = inside(self.folder / self._name(outer), self.root)
        if path is None:
            return None
        n_chunks, size = math.prod(self.shard), path.stat().st_size
        # behind the index stands its checksum, which need not be looked at: what it points to has to give a chunk
        entry = 0 if self.index_first else size - 16 * n_chunks - 4
        entry += 16 * int(np.ravel_multi_index(inner, self.shard))
        with path.open("rb") as file:
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
    """Return a file of the folder `root`, links followed; None where there is none.

    Raises
    ------
    FrameError
        If it lies outside of the folder, or is no file.
    """
    place = path.resolve()
    if not place.is_relative_to(root):
        raise FrameError(f"{plain(path.name)} lies outside of the image's folder")
    if not place.is_file():
        if os.path.lexists(path):
            raise FrameError(f"{plain(path.name)} is no file")
        return None
    return place


def read_json(path: Path, root: Path) -> dict[str, Any] | None:
    """Return what a file of metadata holds; None where there is none.

    Raises
    ------
    FrameError
        If it lies outside of `root`, is too long or no mapping.
    """
    place = inside(path, root)
    if place is None:
        return None
    if place.stat().st_size > _MOST_JSON:
        raise FrameError(f"{path.name} has {place.stat().st_size} bytes; at most {_MOST_JSON} are read")
    try:
        found = json.loads(place.read_bytes())
    except (ValueError, RecursionError) as error:
        raise FrameError(f"{path.name} is no JSON: {plain(error)}") from error
    return mapping(found, path.name)


def open_array(folder: Path, root: Path) -> Array:
    """Return an array of which no chunk is read yet.

    Raises
    ------
    FrameError
        If it is none, holds something else than plain numbers, is coded in a way that is not read, or claims sizes
        that no image has.
    """
    second = read_json(folder / ".zarray", root)
    third = read_json(folder / "zarr.json", root) if second is None else None
    if second is None and third is None:
        raise FrameError(f"no array at {plain(folder.name)}: neither .zarray nor zarr.json")
    array = _version_2(second, folder, root) if second is not None else _version_3(third or {}, folder, root)
    _check(array)
    return array


def _version_2(said: Mapping[str, Any], folder: Path, root: Path) -> Array:
    coded = said.get("dtype")
    if not isinstance(coded, str) or not _TYPE_2.fullmatch(coded):
        raise FrameError(f"elements of type {plain(coded)}; plain numbers are expected")
    if said.get("filters"):
        raise FrameError(f"filters {plain(said['filters'])}; none are read")
    compressor = mapping(said.get("compressor") or {}, "compressor").get("id", "")
    dtype, separator = np.dtype(coded), said.get("dimension_separator", ".")
    fill = _fill(said.get("fill_value"), dtype)
    chunk, order = _whole_numbers(said, "chunks"), str(said.get("order", "C"))
    shape = _whole_numbers(said, "shape")
    return Array(folder, root, shape, chunk, dtype, fill, "", _separator(separator), _decoder(compressor), order)


def _version_3(said: Mapping[str, Any], folder: Path, root: Path) -> Array:
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
            raise FrameError(f"shards of {outer} are no whole number of chunks of {chunk}")
        if [name for name, _ in _codecs(about.get("index_codecs"))] != ["bytes", "crc32c"]:
            raise FrameError("shards whose index is coded in another way than bytes, crc32c")
        shard, first = tuple(w // n for w, n in zip(outer, chunk, strict=True)), about.get("index_location") == "start"
    dtype, compressor = _numbers_and_compressor(np.dtype(coded), codecs)
    separator = _separator(key.get("separator", "/" if prefix else "."))
    fill, shape = _fill(said.get("fill_value"), dtype), _whole_numbers(said, "shape")
    return Array(folder, root, shape, chunk, dtype, fill, prefix, separator, compressor, "C", shard, first)


def _check(array: Array) -> None:
    """Refuse sizes before anything of such a size is allocated."""
    shape, chunk = array.shape, array.chunk
    if not 2 <= len(shape) <= 5 or len(chunk) != len(shape) or 0 in shape or 0 in chunk:
        raise FrameError(f"an array of {shape} in chunks of {chunk}")
    if math.prod(shape[-2:]) > LARGEST_PX or max(shape) > _LONGEST_PX:
        raise FrameError(f"an image of {shape[-2]} x {shape[-1]} pixels; at most {LARGEST_PX} are read")
    if math.prod(chunk) > MAX_PIXELS:
        raise FrameError(f"chunks of {chunk}; at most {MAX_PIXELS} pixels are read")
    if math.prod(map(min, chunk[-2:], shape[-2:])) < min(_LEAST_CHUNK_PX, math.prod(shape[-2:])):
        raise FrameError(f"chunks of {chunk[-2]} x {chunk[-1]} pixels; at least {_LEAST_CHUNK_PX} are expected")
    if math.prod(array.shard) > MAX_PIXELS // _LEAST_CHUNK_PX:
        raise FrameError(f"shards of {math.prod(array.shard)} chunks")
    if array.order not in ("C", "F"):
        raise FrameError(f"chunks in the order {plain(array.order)}")


def _numbers_and_compressor(
    dtype: np.dtype[Any], codecs: Sequence[tuple[str, Mapping[str, Any]]]
) -> tuple[np.dtype[Any], str]:
    """Return the type in the byte order of the codecs, and the compressor's name or nothing."""
    names = [name for name, _ in codecs]
    if names[:1] != ["bytes"] or len(names) > 2:
        raise FrameError(f"codecs {plain(', '.join(names))}; bytes and a compressor are expected")
    endian = codecs[0][1].get("endian", "little")
    if endian not in ("little", "big"):
        raise FrameError(f"numbers of the byte order {plain(endian)}")
    return dtype.newbyteorder("<" if endian == "little" else ">"), _decoder(names[1]) if names[1:] else ""


def _codecs(said: object) -> list[tuple[str, dict[str, Any]]]:
    if not isinstance(said, list):
        raise FrameError(f"codecs {plain(said)}; a list is expected")
    return [_configured(codec, "codecs") for codec in said]


def _configured(said: object, key: str) -> tuple[str, dict[str, Any]]:
    """Return name and configuration of an extension point of version 3."""
    found = mapping(said, key)
    return str(found.get("name")), mapping(found.get("configuration", {}), key)


def mapping(said: object, key: str) -> dict[str, Any]:
    """Return a mapping of the metadata, or refuse what is none."""
    if not isinstance(said, dict):
        raise FrameError(f"{plain(key)}: found {plain(said)}; a mapping is expected")
    return said


def _whole_numbers(said: Mapping[str, Any], key: str) -> tuple[int, ...]:
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
    """Return the value of what was not written."""
    if said is None:
        return 0
    if dtype.kind == "f" and (isinstance(said, float) or said in ("NaN", "Infinity", "-Infinity")):
        return float(said)
    limits = np.iinfo(dtype) if dtype.kind in "ui" else np.iinfo(np.int32)
    if isinstance(said, bool) or not isinstance(said, int | float) or not limits.min <= said <= limits.max:
        raise FrameError(f"fill_value {plain(said)}; a {dtype.name} is expected")
    return said
