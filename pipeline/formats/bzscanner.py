"""Tiles of a BZScanner slide: ``Tile%06d.jpg`` or ``.tif``, all tiles of a channel, then all of the next.

File number = tile + 1 + channel * 2304, channels in the order DAPI, TRITC, CY5, BF, FITC (as csi_images reads them).
"""

import re
from collections.abc import Mapping
from typing import Any

from pipeline.formats.folder import Folder
from pipeline.formats.frame import Frame, FrameRef, Layout, grouped, role_of
from pipeline.formats.planes import read as read_planes

EXPECTED = "files named Tile000001.jpg (or .tif) and so on"
_NAME = re.compile(r"Tile(\d{6})\.(jpe?g|tiff?)", re.IGNORECASE)
_TILES = 2304
_CHANNELS = ("DAPI", "TRITC", "CY5", "BF", "FITC")


def group(folder: Folder, assay: Mapping[str, Any]) -> Layout:
    """Return the layout of numbered tiles; channels that the assay does not use are left aside."""
    found, ignored = [], [*folder.others]
    for name in folder.images:
        match = _NAME.fullmatch(name)
        channel, tile = divmod(int(match[1]) - 1, _TILES) if match else (-1, 0)
        if not 0 <= channel < len(_CHANNELS):
            ignored.append(name)
        elif role_of(_CHANNELS[channel], assay["channels"]) is not None:
            found.append((f"{tile:04d}", _CHANNELS[channel], name))
    return grouped("bzscanner", "file names are BZScanner tile numbers", found, ignored, assay)


def read(ref: FrameRef, assay: Mapping[str, Any]) -> Frame:
    """Return the frame of one tile."""
    return read_planes(ref, assay)
