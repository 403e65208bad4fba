"""Readers of image files: each knows one layout and returns frames whose channels are named by role.

`recognise` finds the layout of a folder, from its file names or, if these are not enough, from the header of one file,
and groups the files into frames; `read` opens one frame. The vocabulary of vendors stays inside this package.
"""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from ctcascade.data.camera import Camera
from ctcascade.formats import (
    axioscan,
    bzscanner,
    cellsearch,
    czi,
    leica,
    nikon,
    olympus,
    ome_tiff,
    ome_zarr,
    operetta,
    pictures,
    planes,
    slide,
    tiff,
)
from ctcascade.formats.cellsearch import Event
from ctcascade.formats.cellsearch import read_events as operator_events
from ctcascade.formats.folder import Folder, is_zarr, look_into, natural
from ctcascade.formats.frame import Frame, FrameError, FrameRef, Layout, role_of
from ctcascade.formats.metadata import read_words

__all__ = [
    "FORMATS",
    "Event",
    "Folder",
    "Frame",
    "FrameError",
    "FrameRef",
    "Layout",
    "expected",
    "is_zarr",
    "look_into",
    "natural",
    "operator_events",
    "read",
    "read_words",
    "recognise",
    "role_of",
]


class Reader(Protocol):
    """What the module of each layout provides."""

    EXPECTED: str

    def group(self, folder: Folder, camera: Camera) -> Layout:
        """Return how the image files of a folder form frames."""

    def read(self, ref: FrameRef, camera: Camera) -> Frame:
        """Return the pixels of one frame, channel by role."""


_READERS: dict[str, Reader] = {
    "bzscanner": bzscanner,
    "axioscan": axioscan,
    "operetta": operetta,
    "files": planes,
    "cellsearch": cellsearch,
    "slide": slide,
    "ome-zarr": ome_zarr,
    "czi": czi,
    "nd2": nikon,
    "lif": leica,
    "oif": olympus,
    "composite": pictures,
    "ome-tiff": ome_tiff,
}
_BY_NAME = ("bzscanner", "axioscan", "operetta", "files")
_BY_SUFFIX = {"czi": (".czi",), "nd2": nikon.SUFFIXES, "lif": leica.SUFFIXES, "oif": olympus.SUFFIXES}
_LOOKED_AT = 3  # TIFF files whose header is read, should the first be broken
FORMATS = ("auto", *_READERS)


def recognise(folder: Folder, fmt: str, camera: Camera) -> Layout:
    """Return how the image files of a folder form frames.

    Parameters
    ----------
    folder : Folder
    fmt : str
        One of `FORMATS`. With ``auto`` the first layout that any file name matches is used: tiles of a scanner, then
        one file for each channel if the assay gives a pattern. Otherwise the header of the first TIFF decides; if there
        is no TIFF, zarr folders are tried, then files of vendors: CZI, ND2, LIF, OIB.
    camera : Camera

    Raises
    ------
    InputError
        If a file that describes the layout cannot be read.
    """
    if fmt != "auto":
        return _READERS[fmt].group(folder, camera)
    for name in _BY_NAME:
        layout = _READERS[name].group(folder, camera)
        if layout.frames:
            return layout
    return _READERS[_kind_of_image(folder, camera)].group(folder, camera)


def expected(fmt: str, camera: Camera) -> str:
    """Describe the files of the layout `fmt` in words."""
    return _READERS[fmt].EXPECTED.format(files=camera.files)


def _kind_of_image(folder: Folder, camera: Camera) -> str:
    def first_of(names: Sequence[str]) -> list[Path]:
        tiffs = (name for name in names if name.lower().endswith(tiff.SUFFIXES))
        return [folder.path / name for name in itertools.islice(tiffs, _LOOKED_AT)]

    if any(map(cellsearch.is_stretched, first_of(folder.deepest().images))):
        return "cellsearch"
    if pictures.are_merged(folder, camera):
        return "composite"
    tiffs = first_of(folder.images)
    if tiffs:
        return "slide" if any(map(slide.is_large, tiffs)) else "ome-tiff"
    if any(is_zarr(folder.path / name) for name in folder.images):
        return "ome-zarr"
    lower = [name.lower() for name in folder.images]
    return next((fmt for fmt, ends in _BY_SUFFIX.items() if any(n.endswith(ends) for n in lower)), "ome-tiff")


def read(ref: FrameRef, camera: Camera) -> Frame:
    """Return the pixels of one frame, channel by role.

    Parameters
    ----------
    ref : FrameRef
    camera : Camera

    Returns
    -------
    Frame

    Raises
    ------
    FrameError
        If the frame cannot be read or measured: truncated, empty, not an image, a channel missing, blank or saturated
        all over, or larger than a frame may be.
    """
    return _READERS[ref.format].read(ref, camera)
