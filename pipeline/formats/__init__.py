"""Readers of image files: each knows one layout and gives frames whose channels go by role.

`recognise` tells which layout a folder's file names follow and groups them into frames, without opening a file; `read`
opens one frame. The vendors' words stay inside the modules of this package.
"""

from collections.abc import Sequence
from typing import Any

from pipeline.formats import bzscanner, ome_tiff, planes
from pipeline.formats.frame import Frame, FrameError, FrameRef, Layout

__all__ = ["FORMATS", "IMAGE_SUFFIXES", "Frame", "FrameError", "FrameRef", "Layout", "read", "recognise"]

_READERS: dict[str, Any] = {"bzscanner": bzscanner, "files": planes, "ome-tiff": ome_tiff}
FORMATS = ("auto", *_READERS)
IMAGE_SUFFIXES = (".tif", ".tiff", ".jpg", ".jpeg", ".png")


def recognise(names: Sequence[str], fmt: str, assay: dict[str, Any]) -> Layout:
    """Return how the image files `names` make up frames.

    Parameters
    ----------
    names : sequence of str
        File names of one folder that end like an image, in order.
    fmt : str
        One of `FORMATS`; with ``auto`` the first layout that any name follows is taken: BZScanner tiles, then one
        file a channel where the assay gives a pattern for it, else a file a frame.
    assay : dict
        ``channels`` and ``files`` of the assay.
    """
    if fmt != "auto":
        return _READERS[fmt].group(names, assay)
    for reader in _READERS.values():
        layout = reader.group(names, assay)
        if layout.frames:
            return layout
    return layout


def read(ref: FrameRef, assay: dict[str, Any]) -> Frame:
    """Return the pixels of one frame, channel by role.

    Parameters
    ----------
    ref : FrameRef
    assay : dict
        ``channels``, ``pixel_size_um`` and ``bit_depth`` of the assay.

    Returns
    -------
    Frame

    Raises
    ------
    FrameError
        If the frame cannot be read or measured: truncated, empty, no image, a channel missing, blank or saturated
        all over, larger than a frame may be.
    """
    return _READERS[ref.format].read(ref, assay)
