"""The content of a folder, from names only and in order: numbers are sorted by value."""

import functools
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePath

from ctcascade.data.errors import plain, refuse

PICTURES = (".tif", ".tiff", ".qptiff", ".stk", ".svs", ".jpg", ".jpeg", ".png")
_SLIDES = (".czi", ".nd2", ".lif", ".lof", ".xlef", ".oib", ".oif")
_OTHER_VENDORS = {
    ".vsi": "an Olympus VSI slide",
    ".ims": "an Imaris file",
    ".dv": "a DeltaVision file",
    ".lsm": "a Zeiss LSM file",
    ".zvi": "a Zeiss ZVI file",
    ".mrxs": "a 3DHISTECH slide",
    ".ndpi": "a Hamamatsu slide",
    ".scn": "a Leica SCN slide",
    ".bif": "a Ventana slide",
    ".sldy": "a SlideBook file",
    ".sld": "a SlideBook file",
    ".ics": "an ICS file",
    ".ids": "an ICS file",
    ".flex": "a PerkinElmer FLEX file",
    ".c01": "a Cellomics file",
    ".dib": "a Cellomics file",
    ".h5": "an HDF5 file",
    ".hdf5": "an HDF5 file",
    ".im3": "an Akoya IM3 file, whose spectra are not unmixed",
    ".bmp": "a BMP picture",
    ".gif": "a GIF picture",
    ".webp": "a WebP picture",
    ".heic": "a HEIC picture",
    ".jp2": "a JPEG 2000 picture",
    ".pdf": "a PDF",
    ".pptx": "a presentation",
    ".zip": "a ZIP archive",
    ".7z": "a 7z archive",
    ".tar": "a tar archive",
    ".gz": "a compressed file",
    ".rar": "a RAR archive",
}
_FOLDER = ".zarr"  # of an image that is a folder
_MARKS = (".zattrs", ".zgroup", "zarr.json")
_DEEPEST = 10
_NUMBERS = re.compile(r"([0-9]+)")


@dataclass(frozen=True)
class Folder:
    """The names in one folder, or a single file of it.

    Attributes
    ----------
    path : Path
    images, others : tuple of str
        Names of images (files, or zarr folders) and of everything else, relative to `path`, without hidden ones.
    choice : str
        What the sheet chooses in it, for a reader that need not open the rest.
    """

    path: Path
    images: tuple[str, ...]
    others: tuple[str, ...] = ()
    choice: str = ""

    def beside(self, *used: str) -> tuple[str, ...]:
        """Return the other names except those that a reader used and the folders that contain them."""
        on_the_way = {name[:i] for name in used for i, letter in enumerate(name) if letter == "/"}
        taken = on_the_way.union(used)
        return tuple(name for name in self.others if name not in taken)

    def deepest(self) -> "Folder":
        """Return this folder, or if it has no image the one that is reached through single sub-folders.

        Names stay relative to this folder, and files beside the sub-folders are among the others.
        """
        images, others, at = self.images, list(self.others), self.path
        for _ in range(_DEEPEST):
            below = [name for name in others if (self.path / name).is_dir() and (self.path / name).parent == at]
            if images or len(below) != 1:
                break
            at = self.path / below[0]
            inside = look_into(at)
            images = tuple(f"{below[0]}/{name}" for name in inside.images)
            others += [f"{below[0]}/{name}" for name in inside.others]
        return Folder(self.path, images, tuple(others))


def look_into(path: Path) -> Folder:
    """Return the names in a folder; no file is opened.

    Raises
    ------
    InputError
        A link named like an image leads nowhere: what it stood for would be blood that nobody misses.
    """
    with os.scandir(path) as listed:
        entries = {entry.name: entry for entry in listed if not entry.name.startswith(".")}
    for entry in entries.values():
        _refuse_dead_link(entry)
    names = sorted(entries, key=natural)
    images = tuple(name for name in names if _is_image(entries[name]))
    taken = set(images)
    return Folder(path, images, tuple(name for name in names if name not in taken))


def of_no_reader(names: Iterable[str]) -> str:
    """Say what the first file of a vendor whose format no reader knows is; empty where there is none."""
    for name in names:
        what = _OTHER_VENDORS.get(PurePath(name).suffix.lower())
        if what:
            return f"{plain(name)} is {what}, which is not read: export it as OME-TIFF from the vendor's software"
    return ""


def is_zarr(path: Path) -> bool:
    """Return whether a folder is itself an image, from its name or its content."""
    return path.is_dir() and (path.name.lower().endswith(_FOLDER) or any((path / mark).is_file() for mark in _MARKS))


def _is_image(entry: os.DirEntry[str]) -> bool:
    name = entry.name.lower()
    return (name.endswith((*PICTURES, *_SLIDES)) and _is_file(entry)) or (name.endswith(_FOLDER) and entry.is_dir())


def _refuse_dead_link(entry: os.DirEntry[str]) -> None:
    if entry.is_symlink() and entry.name.lower().endswith((*PICTURES, *_SLIDES, _FOLDER)):
        try:
            os.stat(entry.path)
        except OSError as error:
            refuse(
                entry.path,
                "",
                f"a link that leads nowhere: {error.strerror}",
                "an image",
                "bring the images that links lead to (mount or fetch them), or remove the link",
            )


def _is_file(entry: os.DirEntry[str]) -> bool:
    # the listing itself identifies plain files; the file system is asked only about links
    return entry.is_file(follow_symlinks=False) or os.path.isfile(entry)


@functools.lru_cache(maxsize=2**14)  # names are sorted more than once
def natural(name: str) -> tuple[tuple[int, int, str], ...]:
    """Return a key that sorts f2 before f10; different names never have equal keys."""
    key = tuple((0, int(t), t) if t.isdecimal() else (1, 0, t) for t in _NUMBERS.split(name) if t)
    return (*key, (2, 0, name))
