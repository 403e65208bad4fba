"""CZI files written byte by byte from the layout of ZISRAW: segments, a directory, and pieces of image."""

import struct

import numpy as np

TYPES = {"uint8": 0, "uint16": 1, "float32": 2}


def segment(name, content):
    """Name, bytes set aside and bytes used, then the content up to a multiple of 32 bytes."""
    full = content + bytes(-len(content) % 32)
    return struct.pack("<16sqq", name, len(full), len(content)) + full


def xml(names, size_um=0.5, dyes=()):
    """Return metadata as the microscope's software nests them."""
    inside = [f"<Fluor>{dye}</Fluor>" for dye in dyes] or [""] * len(names)
    both = enumerate(zip(names, inside, strict=True))
    each = "".join(f'<Channel Id="Channel:{k}" Name="{name}">{dye}</Channel>' for k, (name, dye) in both)
    scale = "".join(f'<Distance Id="{axis}"><Value>{size_um * 1e-6!r}</Value></Distance>' for axis in "XY")
    image = f"<Image><Dimensions><Channels>{each}</Channels></Dimensions></Image>"
    metadata = f"<Information>{image}</Information><Scaling><Items>{scale}</Items></Scaling>"
    return f"<ImageDocument><Metadata>{metadata}</Metadata></ImageDocument>"


def tile(pixels, y, x, channel, scene=None, number=None, **how):
    """Return a piece; `how`: compression and data, size and stored (rows, columns), more (axes), pixel_type."""
    return {"pixels": pixels, "y": y, "x": x, "C": channel, "S": scene, "M": number, **how}


def _entry(piece, at):
    pixels = piece["pixels"]
    high, wide = piece.get("size", pixels.shape)
    stored = piece.get("stored", (high, wide))
    axes = [("X", piece["x"], wide, stored[1]), ("Y", piece["y"], high, stored[0])]
    axes += [(axis, piece[axis], 1, 1) for axis in ("C", "S", "M") if piece[axis] is not None]
    axes += [(axis, start, 1, 1) for axis, start in piece.get("more", {}).items()]
    pixel_type = piece.get("pixel_type", TYPES.get(pixels.dtype.name))
    pyramid = 0 if stored == (high, wide) else 2
    head = struct.pack("<2siqiiB5xi", b"DV", pixel_type, at, 0, piece.get("compression", 0), pyramid, len(axes))
    return head + b"".join(struct.pack("<4siifi", name.encode(), a, n, float(a), s) for name, a, n, s in axes)


def as_bytes(pieces, words="", about=b"<METADATA/>", pending=0, part=0):
    """Return the file: a header of 544 bytes, the pieces, their directory, the metadata."""
    out, entries = bytearray(544), []
    for piece in pieces:
        at = len(out)
        entries.append(_entry(piece, at))
        data = piece.get("data", piece["pixels"].tobytes())
        head = struct.pack("<iiq", len(about), 0, len(data)) + entries[-1]
        out += segment(b"ZISRAWSUBBLOCK", head.ljust(256, b"\0") + about + data)
    directory = len(out)
    out += segment(b"ZISRAWDIRECTORY", struct.pack("<i124x", len(entries)) + b"".join(entries))
    metadata = len(out) if words else 0
    if words:
        out += segment(b"ZISRAWMETADATA", struct.pack("<ii248x", len(words.encode()), 0) + words.encode())
    head = struct.pack("<iiii16s16siqqiq", 1, 0, 0, 0, bytes(16), bytes(16), part, directory, metadata, pending, 0)
    out[:544] = segment(b"ZISRAWFILE", head.ljust(512, b"\0"))
    return bytes(out)


def mosaic(planes, places, side, number=True, scene=None):
    """Return the pieces of planes (C, Y, X) cut at `places` (y, x) into tiles of `side` (rows, columns)."""
    made = []
    for n, (y, x) in enumerate(places):
        for channel, plane in enumerate(planes):
            part = np.ascontiguousarray(plane[y : y + side[0], x : x + side[1]])
            made.append(tile(part, y, x, channel, scene, n if number else None))
    return made
