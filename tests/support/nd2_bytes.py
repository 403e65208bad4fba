"""Nikon ND2 files (version 3) written chunk by chunk, from the layout that the nd2 library's notes document."""

import struct

_MAGIC = 0x0ABECEDA
_DATA_AT = 4096  # pixels begin so far behind the beginning of their chunk


def write(path, pixels, names, um=0.5, calibrated=True, positions=(), bits=16, text="", leave_out=(), loops="PZ"):
    """Write frames (P, Z, C, Y, X); `positions` are (name, x, y), and frames in `leave_out` have no chunk."""
    n_p, n_z, n_c, rows, columns = pixels.shape
    frames = pixels.reshape(-1, n_c, rows, columns)
    out = bytearray(_chunk(b"ND2 FILE SIGNATURE CHUNK NAME01!", b"Ver3.0".ljust(64, b"\0"), pad=False))
    found = {}

    def put(name, data, header=0):
        found[name] = (len(out), len(data))
        out.extend(_chunk(name, data, header))

    attributes = {
        "uiWidth": columns,
        "uiWidthBytes": columns * n_c * pixels.dtype.itemsize,
        "uiHeight": rows,
        "uiComp": n_c,
        "uiBpcInMemory": 8 * pixels.dtype.itemsize,
        "uiBpcSignificant": bits,
        "uiSequenceCount": len(frames),
        "eCompression": 2,
    }
    put(b"ImageAttributesLV!", lite({"SLxImageAttributes": attributes}))
    put(b"ImageTextInfoLV!", lite({"SLxImageTextInfo": {"TextInfoItem_6": text}}))
    put(b"ImageMetadataLV!", lite({"SLxExperiment": _experiment(n_p if "P" in loops else 0, n_z, positions)}))
    probe = {"pFluorescentProbe": {"m_sName": "dye"}}
    planes = {f"a{c}": {"uiCompCount": 1, "uiSampleIndex": 0, "sDescription": n, **probe} for c, n in enumerate(names)}
    picture = {
        "sPicturePlanes": {"uiCount": len(names), "uiCompCount": len(names), "sPlaneNew": planes},
        "dCalibration": um,
        "dAspect": 1.0,
        "bCalibrated": calibrated,
        "ePictureXAxis": 0,
        "ePictureYAxis": 1,
    }
    put(b"ImageMetadataSeqLV|0!", lite({"SLxPictureMetadata": picture}))
    for k, frame in enumerate(frames):
        if k not in leave_out:
            data = struct.pack("<d", 0.0) + frame.transpose(1, 2, 0).tobytes()
            put(b"ImageDataSeq|%d!" % k, data, _DATA_AT - 24)
    at = len(out)
    listed = b"".join(name + struct.pack("<QQ", *place) for name, place in found.items())
    end = b"ND2 CHUNK MAP SIGNATURE 0000001!" + struct.pack("<Q", at)
    out += _chunk(b"ND2 FILEMAP SIGNATURE NAME 0001!", listed + end)
    path.write_bytes(bytes(out))
    return path


def _chunk(name, data, room=0, pad=True):
    name = name.ljust(max(room, len(name) + (20 if pad else 0)), b"\0")
    return struct.pack("<IIQ", _MAGIC, len(name), len(data)) + name + data


def _experiment(n_p, n_z, positions):
    inner = {"eType": 4, "uLoopPars": {"uiCount": n_z, "dZStep": 1.0, "dZHigh": float(n_z)}} if n_z > 1 else {}
    if n_p < 2:
        return inner or {"eType": 0}
    told = [*positions, *[("", 0.0, 0.0)] * (n_p - len(positions))]
    points = {f"i{k:010}": {"dPosX": x, "dPosY": y, "dPosName": name} for k, (name, x, y) in enumerate(told)}
    outer = {"eType": 2, "uLoopPars": {"uiCount": n_p, "Points": points}}
    return {**outer, **({"ppNextLevelEx": {"i0000000000": inner}} if inner else {})}


def lite(tree):
    """Return a tree in the variant that Nikon calls CLX Lite."""
    return b"".join(_item(name, value) for name, value in tree.items())


def _item(name, value):
    coded = (name + "\0").encode("utf-16-le")
    kind, body = _value(value)
    head = struct.pack("BB", kind, len(coded) // 2) + coded
    if kind != 11:
        return head + body
    items = [_item(*each) for each in value.items()]
    length = len(head) + 12 + sum(map(len, items))
    return head + struct.pack("<IQ", len(items), length) + b"".join(items) + b"\0" * 8 * len(items)


def _value(value):
    if isinstance(value, dict):
        return 11, b""
    if isinstance(value, bool):
        return 1, struct.pack("B", value)
    if isinstance(value, int):
        return 3, struct.pack("<I", value)
    if isinstance(value, float):
        return 6, struct.pack("<d", value)
    return 8, (value + "\0").encode("utf-16-le")
