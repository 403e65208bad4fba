"""Print what becomes of real files of many microscopes: read or refused, pixels beside the vendor's library, messages.

    python -m verification.real_files [FOLDER ...]

A folder is looked through with its sub-folders; without one, ``../shared/data/fmt_real`` and ``../shared/cases``. Most
of those files have fewer than the three stains that every call needs. So each is read twice: with an assay that knows
none of its names, which shows the message that a person gets; and with one that gives each of its channels a role, for
which the need of three stains is lifted, so that all pixels are compared. Libraries: tifffile, czifile (if installed),
nd2, liffile, zarr, Pillow.
"""

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from ctcascade import formats
from ctcascade.data.camera import Camera
from ctcascade.data.errors import InputError
from ctcascade.formats import frame as frame_module
from ctcascade.formats.listing import list_frames

SHARED = Path(__file__).parents[1].resolve().parent / "shared"
FOLDERS = (SHARED / "data" / "fmt_real", SHARED / "cases")
ROLES = ("dna", "ck", "cd45", "aux1", "aux2", "aux3", "aux4", "aux5")
NO_IMAGE = {".json", ".yaml", ".tsv", ".csv", ".md", ".xlsx", ".txt", ".db", ".xml", ".index", ".parquet", ""}
STRANGER = Camera(
    name="any",
    channels={"dna": ("DAPI",), "ck": ("CK",), "cd45": ("CD45",)},
    pixel_size_um=0.5,
    frame_px=(1000, 1000),
    bit_depth=16,
)
_NAMED = re.compile(r"the file names (.*)$")
_SET = "one of a set of"
_UNNAMED = re.compile(r"(\d+) planes without channel names")


class Row(NamedTuple):
    """A file, its layout, its frames, how many are read, their pixels, and the messages without and with roles."""

    file: str
    layout: str
    n_frames: int
    n_read: int
    pixels: str
    message: str
    with_roles: str


def images(folder: Path) -> Iterator[Path]:
    """Yield the images below a folder: files, and folders that are images."""
    for path in sorted(folder.iterdir()):
        if path.is_dir() and (path / "Index.idx.xml").is_file():
            yield path
        elif path.is_dir():
            yield from [path] if formats.is_zarr(path) else images(path)
        elif path.suffix.lower() not in NO_IMAGE:
            yield path


def row_of(path: Path, root: Path) -> Row:
    """Return what becomes of a file."""
    name, layout = str(path.relative_to(root.parent)), ""
    try:
        listed = list_frames([f"{path.name}::*"], path.parent, "auto", STRANGER)
        layout = listed.format
        message = _refusal(listed.frames, STRANGER)
        base, part = (path.parents[1], path.parent.name) if _SET in message else (path.parent, path.name)
        of_set = _with(path, list_frames([f"{part}::*"], base, "auto", STRANGER).frames)
        fitting = _fitting(_refusal(of_set, STRANGER))
        refs = _with(path, list_frames([f"{part}::*"], base, "auto", fitting).frames)
    except InputError as error:
        told = str(error).splitlines()[0].replace(str(path.parent) + "/", "")
        return Row(name, layout or "-", 0, 0, "-", told, "")
    with patch.object(frame_module, "ROLES", tuple(fitting.channels)):
        read, faults = _read(refs, fitting)
        pixels = _compared(path, read) if read else "-"
    return Row(name, layout, len(refs), len(read), pixels, message or "read", faults[0] if faults else "read")


def _with(path: Path, refs: Sequence[formats.FrameRef]) -> list[formats.FrameRef]:
    """Return the frames that lie in a file, or in the files of a folder."""
    return [ref for ref in refs if any(path == file or path in file.parents for file in ref.files)]


def _refusal(refs: Sequence[formats.FrameRef], camera: Camera) -> str:
    return next(iter(_read(refs[:1], camera)[1]), "")


def _read(refs: Sequence[formats.FrameRef], camera: Camera) -> tuple[list[formats.Frame], list[str]]:
    read, faults = [], []
    for ref in refs:
        try:
            read.append(formats.read(ref, camera))
        except formats.FrameError as error:
            faults.append(str(error))
    return read, faults


def _fitting(message: str) -> Camera:
    """Return a camera that gives a role to each channel which a message names, and takes a stack at its brightest."""
    named, unnamed = _NAMED.search(message), _UNNAMED.search(message)
    names = named[1].split(", ") if named else [f"plane {k}" for k in range(int(unnamed[1]))] if unnamed else []
    channels = {role: (name,) for role, name in zip(ROLES, dict.fromkeys(names), strict=False)}
    if "RGB" in message or "colours" in message:
        channels = {"dna": ("blue",), "ck": ("red",), "cd45": ("green",)}
    order = "trusted" if unnamed else "named"
    return STRANGER.model_copy(update={"channels": channels or STRANGER.channels, "channel_order": order, "z": "max"})


def _compared(path: Path, read: Sequence[formats.Frame]) -> str:
    """Say whether every plane that was read is one that the vendor's library reads."""
    try:
        library, planes = _library(path)
    except ImportError as error:
        return f"not compared: {error.name} is not installed"
    except Exception as error:  # libraries raise all kinds of errors on files that they do not know
        return f"not compared: the library raises {type(error).__name__}"
    wrong, shapes = 0, {plane.shape for plane in planes}
    if not any(frame.pixels.shape[1:] in shapes for frame in read):
        return "not compared: parts of an image, or tiles that were joined"
    for frame in read:
        wrong += sum(not any(_same(plane, other) for other in planes) for plane in frame.pixels)
    n = sum(len(frame.pixels) for frame in read)
    return f"{n} planes equal to {library}" if not wrong else f"{wrong} of {n} planes DIFFER from {library}"


def _same(plane: NDArray[Any], other: NDArray[Any]) -> bool:
    """Return whether two planes are equal, once the offset of some cameras is off and a shift is undone."""
    if plane.shape != other.shape:
        return False
    low = float(other.min())
    turned = np.iinfo(other.dtype).max - other.astype(np.int64) if other.dtype.kind == "u" else other
    if any(np.array_equal(plane, each) for each in (other, turned)):
        return True
    return low >= 32768 and np.array_equal(plane, other.astype(np.int64) - 32768)


def _library(path: Path) -> tuple[str, list[NDArray[Any]]]:
    """Return the library's name, and all planes that it reads in a file or folder."""
    suffix = path.suffix.lower()
    of_folder = _operetta if (path / "Index.idx.xml").is_file() else _zarr
    read = of_folder if path.is_dir() else _LIBRARIES.get(suffix, _tiffs)
    return read.__name__.strip("_"), list(read(path))


def _operetta(path: Path) -> Iterator[NDArray[Any]]:
    for file in sorted(path.glob("*.tif*")):
        yield from _tiff_planes(file)


def _zarr(path: Path) -> Iterator[NDArray[Any]]:
    import zarr  # noqa: PLC0415

    for folder in sorted(file.parent for mark in (".zarray", "zarr.json") for file in path.rglob(mark)):
        found = zarr.open(str(folder), mode="r")
        if hasattr(found, "shape"):
            yield from _flat(np.asarray(found[...]))


def _czifile(path: Path) -> Iterator[NDArray[Any]]:
    import czifile  # type: ignore[import-not-found]  # noqa: PLC0415

    with czifile.CziFile(path) as file:
        for entry in file.filtered_subblock_directory:
            yield np.squeeze(entry.data_segment().data(resize=False))


def _nd2(path: Path) -> Iterator[NDArray[Any]]:
    import nd2  # noqa: PLC0415

    yield from _flat(nd2.imread(path))


def _liffile(path: Path) -> Iterator[NDArray[Any]]:
    import liffile  # noqa: PLC0415

    with liffile.LifFile(path) as file:
        for image in file.images:
            yield from _flat(image.asarray())


def _pillow(path: Path) -> Iterator[NDArray[Any]]:
    yield from _planes_of(np.asarray(Image.open(path)))


def _tiffs(path: Path) -> Iterator[NDArray[Any]]:
    for file in path.parent.glob("*" + path.suffix) if ".ome" in path.name else [path]:
        yield from _tiff_planes(file)


_LIBRARIES = {".czi": _czifile, ".nd2": _nd2, ".lif": _liffile, ".png": _pillow, ".jpg": _pillow}


def _tiff_planes(path: Path) -> list[NDArray[Any]]:
    with tifffile.TiffFile(path) as file:
        if file.is_imagej and len(file.pages) == 1 and len(file.pages.first.shape) == 2:
            return list(_flat(file.asarray()))
        return [plane for page in file.pages for plane in _planes_of(page.asarray())]


def _planes_of(pixels: NDArray[Any]) -> list[NDArray[Any]]:
    """Return colours, and the brightest of them, as planes."""
    if pixels.ndim == 2:
        return [pixels]
    last = np.moveaxis(pixels, 0, -1) if pixels.shape[0] in (3, 4) else pixels
    return [*(last[..., k] for k in range(last.shape[-1])), last[..., :3].max(axis=-1)]


def _flat(pixels: NDArray[Any]) -> Iterator[NDArray[Any]]:
    yield from pixels.reshape(-1, *pixels.shape[-2:]) if pixels.ndim >= 2 else ()


def main(folders: Sequence[Path]) -> int:
    """Print the table; return how many files are read otherwise than by the vendor's library."""
    print("file\tlayout\tframes\tread\tpixels\twhat a person is told\twith a role for each channel")
    wrong = 0
    for root in folders:
        for path in images(root):
            row = row_of(path, root)
            wrong += "DIFFER" in row.pixels
            print("\t".join(map(str, row)))
    return wrong


if __name__ == "__main__":
    sys.exit(min(1, main([Path(folder).resolve() for folder in sys.argv[1:]] or FOLDERS)))
