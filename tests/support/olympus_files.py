"""Olympus OIF folders and OIB files: settings as text, a TIFF a plane, in a compound file ([MS-CFB]) for OIB."""

import struct

from tests.support import tiff_bytes

_SECTOR = 4096
_END, _FAT, _FREE, _NONE = 0xFFFFFFFE, 0xFFFFFFFD, 0xFFFFFFFF, 0xFFFFFFFF


def settings(pixels, names, um, bits):
    """Return the text of the main file for pixels (Z, C, Y, X)."""
    n_z, n_c, rows, columns = pixels.shape
    sizes = {"X": columns, "Y": rows, "C": n_c, "Z": n_z}
    text = ["[ProfileSaveInfo]", "Name=OIF", "Version=1.0", "[Axis Parameter Common]", 'AxisOrder="XYCZ"']
    for k, (axis, n) in enumerate(sizes.items()):
        end = um * n if axis in "XY" else float(n)
        unit = "um" if axis in "XY" else "nm"
        text += [f"[Axis {k} Parameters Common]", f'AxisCode="{axis}"', f"MaxSize={n}", f'UnitName="{unit}"']
        text += ["StartPosition=0.0", f"EndPosition={end}"]
    text += ["[Reference Image Parameter]", f"ValidBitCounts={bits}"]
    for k, name in enumerate(names):
        text += [f"[GUI Channel {k + 1} Parameters]", f'DyeName="{name}"', f'CH Name="CHS{k + 1}"']
        text += [f"[Channel {k + 1} Parameters]", f'DyeName="{name}"']
    return "\r\n".join(text) + "\r\n"


def planes(pixels, leave_out):
    """Return the TIFF of each plane by its name."""
    n_z, n_c = pixels.shape[:2]
    at = {f"s_C{c + 1:03}" + (f"Z{z + 1:03}" if n_z > 1 else ""): pixels[z, c] for z in range(n_z) for c in range(n_c)}
    left = {name.replace("Z001", "") if n_z == 1 else name for name in leave_out}
    files = {f"{name}.tif": tiff_bytes.as_bytes([tiff_bytes.Page(plane)]) for name, plane in at.items()}
    return {name: data for name, data in files.items() if name not in left}


def write_oif(path, pixels, names, um=0.5, bits=12, leave_out=()):
    main = path.with_name(path.name + ".oif")
    main.write_bytes(b"\xff\xfe" + settings(pixels, names, um, bits).encode("utf-16-le"))
    folder = path.with_name(main.name + ".files")
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    for name, data in planes(pixels, leave_out).items():
        (folder / name).write_bytes(data)
    return main


def write_oib(path, pixels, names, um=0.5, bits=12, leave_out=(), circle=False):
    main = path.with_name(path.name + ".oib")
    said = settings(pixels, names, um, bits)
    streams = {
        "Stream00000": said,
        **{f"Stream{k + 1:05}": d for k, d in enumerate(planes(pixels, leave_out).values())},
    }
    listed = ["[OibSaveInfo]", "Name=OIB", "Version=2.0", "MainFileName=Stream00000", "Stream00000=f.oif"]
    listed += [f"Stream{k + 1:05}=Storage00001/{n}" for k, n in enumerate(planes(pixels, leave_out))]
    streams["OibInfo.txt"] = "\r\n".join(listed) + "\r\n"
    main.write_bytes(_compound({name: _long(data) for name, data in streams.items()}, circle))
    return main


def _long(data):
    """Return a stream of at least one sector: smaller ones would lie in a stream of streams."""
    coded = b"\xff\xfe" + data.encode("utf-16-le") if isinstance(data, str) else data
    return (
        coded + "\r\n".encode("utf-16-le") * max(0, (_SECTOR - len(coded) + 3) // 4) if isinstance(data, str) else coded
    )


def _compound(streams, circle):
    body, fat, entries = [], [], []

    def put(data):
        start, n = len(body), -(-len(data) // _SECTOR)
        body.extend(data[k * _SECTOR : (k + 1) * _SECTOR].ljust(_SECTOR, b"\0") for k in range(n))
        fat.extend([*range(start + 1, start + n), _END])
        return start

    for k, (name, data) in enumerate(streams.items()):
        right = k + 2 if k + 1 < len(streams) else _NONE
        entries.append(_entry(name, 2, right, _NONE, put(data), len(data)))
    directory = put(b"".join([_entry("Root Entry", 5, _NONE, 1, _END, 0), *entries]))
    if circle:
        fat[0] = 0
    at = len(body)
    fat.append(_FAT)
    table = struct.pack(f"<{_SECTOR // 4}I", *(fat + [_FREE] * (_SECTOR // 4 - len(fat))))
    head = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16)
    head += struct.pack("<HHHHHHIIIIIIIIII", 0x3E, 4, 0xFFFE, 12, 6, 0, 0, 1, 1, directory, 0, 4096, _END, 0, _END, 0)
    head += struct.pack("<109I", at, *[_FREE] * 108)
    return head.ljust(_SECTOR, b"\0") + b"".join(body) + table


def _entry(name, kind, right, child, start, size):
    coded = (name + "\0").encode("utf-16-le")
    about = struct.pack("<HBBIII16sIQQIQ", len(coded), kind, 1, _NONE, right, child, bytes(16), 0, 0, 0, start, size)
    return coded.ljust(64, b"\0") + about
