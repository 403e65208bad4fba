"""Tiles of an Axioscan 7 slide, one file a channel: ``CHANNEL-X000-Y000.tif``, with ``scan.yaml`` beside them.

The settings file is a dump of Python objects. Its tags are read as plain mappings here, so nothing in it can run. If
there are several regions, the tiles of each are in a folder ``roi_0`` and so on. This follows the csi_images software.
"""

import re
from collections.abc import Hashable
from dataclasses import dataclass, replace
from math import floor
from pathlib import Path

import yaml

from ctcascade.data.camera import Camera
from ctcascade.data.errors import plain, refuse
from ctcascade.formats import planes
from ctcascade.formats.folder import Folder, look_into
from ctcascade.formats.frame import Frame, FrameRef, Layout, grouped, role_of

EXPECTED = "files named DAPI-X000-Y000.tif with the assay's channel names, and scan.yaml"
_NAME = re.compile(r"(.+)-X(\d{3,})-Y(\d{3,})\.(?:tiff?|jpe?g|png)", re.IGNORECASE)
_REGION = re.compile(r"roi_(\d+)")
_SETTINGS = "scan.yaml"
_TAGS = ("csi_images.", "czi_metadata.")
_MOST = 1_000_000  # bytes
_FAR_UM = 1e6  # between regions
_COPY_AGAIN = "copy it again from the scan"


@dataclass(frozen=True)
class _Scan:
    """Pixel size, and steps from tile to tile (y, x), in um."""

    pixel_size_um: float
    step_um: tuple[float, float]


class _Inert(yaml.SafeLoader):
    """Reads objects with the tags of csi_images as mappings; other tags that are not plain YAML are refused."""


def _mapping(loader: yaml.SafeLoader, _: str, node: yaml.Node) -> dict[Hashable, object]:
    if not isinstance(node, yaml.MappingNode):
        raise yaml.constructor.ConstructorError(None, None, "an object that is not a mapping", node.start_mark)
    return loader.construct_mapping(node, deep=True)


for _tag in _TAGS:
    _Inert.add_multi_constructor(_tag, _mapping)


def group(folder: Folder, camera: Camera) -> Layout:
    """Return the layout of named tiles; channels that the assay does not use are ignored.

    Raises
    ------
    InputError
        If ``scan.yaml`` has a fault.
    """
    regions = [name for name in folder.others if _REGION.fullmatch(name) and (folder.path / name).is_dir()]
    inside = {name: look_into(folder.path / name) for name in regions} if not folder.images else {}
    images = [*folder.images, *(f"{name}/{image}" for name, at in inside.items() for image in at.images)]
    others = [*folder.others, *(f"{name}/{other}" for name, at in inside.items() for other in at.others)]
    found, foreign, places = [], [], {}
    for name in images:
        above, _, own = name.rpartition("/")
        match = _NAME.fullmatch(own)
        if not match or role_of(match[1], camera.channels) is None:
            foreign.append(name)
            continue
        region = _REGION.fullmatch(above.rpartition("/")[2])
        frame = f"X{match[2]}-Y{match[3]}" if region is None else f"R{region[1]}-X{match[2]}-Y{match[3]}"
        places[frame] = (int(region[1]) if region else 0, int(match[3]), int(match[2]))
        found.append((frame, match[1], name))
    stated = found and _SETTINGS in folder.others
    scan = _scan(folder.path / _SETTINGS) if stated else None
    used = (_SETTINGS,) if stated else ()
    beside = Folder(folder.path, (), tuple(others)).beside(*(name for _, _, name in found), *used)
    why = "file names are Axioscan tiles" + (f", {_SETTINGS} gives the pixel size" if stated else "")
    layout = grouped("axioscan", why, found, [*beside, *foreign], camera)
    if scan is None:
        return replace(layout, sidecars=used)
    # columns count from the right; regions are placed far apart
    positions = {
        frame: (row * scan.step_um[0] + _FAR_UM * region, -column * scan.step_um[1])
        for frame, (region, row, column) in places.items()
    }
    return replace(layout, sidecars=used, positions_um=positions, pixel_size_um=scan.pixel_size_um)


def read(ref: FrameRef, camera: Camera) -> Frame:
    """Return the frame of one tile."""
    return planes.read(ref, camera)


def _scan(path: Path) -> _Scan:
    """Return what ``scan.yaml`` says about the tiles."""
    try:
        if path.stat().st_size > _MOST:
            raise ValueError(f"{path.stat().st_size} bytes")
        said = yaml.load(path.read_text(encoding="utf-8"), _Inert)  # noqa: S506 - a safe loader with inert tags
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        refuse(path, "", plain(" ".join(str(error).split())), "the scan's settings in YAML, no other tags", _COPY_AGAIN)
    values = []
    for key, low, high in (
        ("pixel_size_um", 0.01, 20.0),
        ("tile_height_px", 1, 100_000),
        ("tile_width_px", 1, 100_000),
        ("tile_overlap_proportion", 0, 0.9),
    ):
        value = said.get(key) if isinstance(said, dict) else None
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            refuse(path, key, plain(value), f"a number from {low} to {high}", _COPY_AGAIN)
        values.append(float(value))
    pixel, high_px, wide_px, share = values
    return _Scan(pixel, ((high_px - floor(high_px * share)) * pixel, (wide_px - floor(wide_px * share)) * pixel))
