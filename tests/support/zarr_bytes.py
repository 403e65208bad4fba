"""OME-Zarr folders written file by file from the layouts of zarr 2, zarr 3 and OME-NGFF, without a library for them."""

import json
import math
import struct
import zlib

import numpy as np


def stored(data):
    return data


def blosc(data):
    """A Blosc 1 container: versions, the flag "copied as it is", size of an element, of the data, a block, of all."""
    return struct.pack("<BBBBIII", 2, 1, 0x02, 2, len(data), len(data), 16 + len(data)) + data


def zstd(data):
    """A Zstandard frame of raw blocks: magic, one segment with a content size of four bytes, blocks of 100,000."""
    parts = [data[k : k + 100_000] for k in range(0, len(data), 100_000)]
    sizes = [(len(part) << 3 | (k == len(parts) - 1)).to_bytes(3, "little") for k, part in enumerate(parts)]
    blocks = b"".join(size + part for size, part in zip(sizes, parts, strict=True))
    return b"\x28\xb5\x2f\xfd" + struct.pack("<BI", 0b10100000, len(data)) + blocks


def lz4(data):
    """The size, then an LZ4 block of one run of literals."""
    more = len(data) - 15
    run = b"\xf0" + b"\xff" * (more // 255) + bytes([more % 255])
    return struct.pack("<I", len(data)) + run + data


CODERS = {"": stored, "zlib": zlib.compress, "blosc": blosc, "zstd": zstd, "lz4": lz4}
CODERS["gzip"] = lambda data: zlib.compress(data, wbits=31)


def describe(axes, scale, names, version="0.4", unit="micrometer", path="0"):
    """Return the OME metadata of an image."""
    kinds = {"c": "channel", "t": "time"}
    each = [{"name": a, "type": kinds.get(a, "space"), **({"unit": unit} if a in "zyx" else {})} for a in axes]
    steps = [{"type": "scale", "scale": [scale if a in "yx" else 1.0 for a in axes]}]
    said = {"multiscales": [{"version": version, "axes": each, "datasets": []}]}
    said["multiscales"][0]["datasets"] = [{"path": path, "coordinateTransformations": steps}]
    if names:
        said["omero"] = {"channels": [{"label": name, "color": "FFFFFF"} for name in names]}
    return said


def write_plate(folder, wells, version=2):
    """Write a plate: for each well (``B/03``) a list of fields, each a function that writes an image into a folder."""

    def group(path, said):
        if version == 2:
            write_json(path / ".zgroup", {"zarr_format": 2})
            write_json(path / ".zattrs", said)
        else:
            ome = {"ome": {"version": "0.5", **said}}
            write_json(path / "zarr.json", {"zarr_format": 3, "node_type": "group", "attributes": ome})

    rows, columns = (sorted({well.split("/")[k] for well in wells}) for k in (0, 1))
    listed = [{"path": well, "rowIndex": rows.index(well[0]), "columnIndex": 0} for well in wells]
    plate = {"columns": [{"name": c} for c in columns], "rows": [{"name": r} for r in rows], "wells": listed}
    group(folder, {"plate": {**plate, "version": "0.4"}})
    for well, fields in wells.items():
        group(folder / well, {"well": {"images": [{"path": str(k)} for k in range(len(fields))], "version": "0.4"}})
        for k, field in enumerate(fields):
            field(folder / well / str(k))
    return folder


def write_json(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def write(
    folder, pixels, names=(), chunk=(256, 272), scale=0.5, axes="czyx", code="zlib", version=2, leave_out=(), **how
):
    """Write planes (C, Y, X), or pixels along all axes, as an image.

    Chunks (c, row, column) in `leave_out` are not written.

    ``shard`` = (rows, columns) of chunks in one file, ``order`` and ``separator`` as in the format, ``together`` puts
    all channels into one chunk.
    """
    single = [k for k, axis in enumerate(axes) if axis in "tz"] if pixels.ndim < len(axes) else []
    whole = np.expand_dims(pixels, single) if len(axes) > 2 else pixels[0]
    size = tuple({"c": len(pixels) if how.get("together") else 1, "y": chunk[0], "x": chunk[1]}.get(a, 1) for a in axes)
    level = folder / "0"
    shard = (1,) * (len(axes) - 2) + tuple(how["shard"]) if how.get("shard") else ()
    if version == 2:
        write_json(folder / ".zgroup", {"zarr_format": 2})
        write_json(folder / ".zattrs", describe(axes, scale, names))
        write_json(level / ".zarray", _array_2(whole, size, code, how))
    else:
        ome = {"ome": {**describe(axes, scale, names, "0.5"), "version": "0.5"}}
        write_json(folder / "zarr.json", {"zarr_format": 3, "node_type": "group", "attributes": ome})
        write_json(level / "zarr.json", _array_3(whole, size, code, shard))
    files = {}
    for index in np.ndindex(*(-(-n // s) for n, s in zip(whole.shape, size, strict=True))):
        at = (index[axes.index("c")] if "c" in axes else 0, *index[-2:])
        if at not in leave_out:
            files[index] = CODERS[code](_padded(whole, index, size).tobytes(order=how.get("order", "C")))
    separator = how.get("separator", "." if version == 2 else "/")
    for index, data in (_sharded(files, shard) if shard else files).items():
        path = level / separator.join([*(["c"] if version == 3 else []), *map(str, index)])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def _padded(whole, index, size):
    """Return a chunk, which has its full size at the edge of the array too."""
    part = whole[tuple(slice(i * s, (i + 1) * s) for i, s in zip(index, size, strict=True))]
    return np.pad(part, [(0, s - n) for n, s in zip(part.shape, size, strict=True)])


def _array_2(whole, size, code, how):
    compressor = {"id": code, "level": 1} if code else None
    said = {"zarr_format": 2, "shape": whole.shape, "chunks": size, "dtype": whole.dtype.str, "fill_value": 0}
    said |= {"compressor": compressor, "order": how.get("order", "C"), "filters": None}
    return said | ({"dimension_separator": how["separator"]} if "separator" in how else {})


def _array_3(whole, size, code, shard):
    numbers = [{"name": "bytes", "configuration": {"endian": "little"}}]
    codecs = numbers + ([{"name": code, "configuration": {"level": 1}}] if code else [])
    grid = size
    if shard:
        grid = [s * n for s, n in zip(size, shard, strict=True)]
        about = {"chunk_shape": size, "codecs": codecs, "index_codecs": [*numbers, {"name": "crc32c"}]}
        codecs = [{"name": "sharding_indexed", "configuration": {**about, "index_location": "end"}}]
    said = {"zarr_format": 3, "node_type": "array", "shape": whole.shape, "data_type": whole.dtype.name}
    said |= {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": grid}}, "fill_value": 0}
    key = {"name": "default", "configuration": {"separator": "/"}}
    return said | {"chunk_key_encoding": key, "codecs": codecs}


def _sharded(files, shard):
    """Return chunks joined into one file each with its index behind: offset and length, all ones where left out."""
    joined, entries = {}, {}
    for index, data in files.items():
        outer = tuple(i // n for i, n in zip(index, shard, strict=True))
        inner = tuple(i % n for i, n in zip(index, shard, strict=True))
        start = len(joined.setdefault(outer, bytearray()))
        table = entries.setdefault(outer, [(2**64 - 1, 2**64 - 1)] * math.prod(shard))
        table[np.ravel_multi_index(inner, shard)] = (start, len(data))
        joined[outer] += data
    tables = {outer: b"".join(struct.pack("<QQ", *entry) for entry in entries[outer]) for outer in joined}
    return {outer: bytes(data) + tables[outer] + crc32c(tables[outer]) for outer, data in joined.items()}


def crc32c(data):
    """The checksum of Castagnoli, bit by bit, least significant first."""
    rest = 0xFFFFFFFF
    for byte in data:
        rest ^= byte
        for _ in range(8):
            rest = rest >> 1 ^ (0x82F63B78 if rest & 1 else 0)
    return struct.pack("<I", rest ^ 0xFFFFFFFF)
