"""Leica LIF, LOF and XLEF files, through the library liffile: each image, or tile of a mosaic, is a frame."""

import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctcascade.data.camera import Camera
from ctcascade.formats import containers
from ctcascade.formats.containers import Scene
from ctcascade.formats.folder import Folder
from ctcascade.formats.frame import UM, Frame, FrameError, FrameRef, Layout, square

EXPECTED = "Leica LIF, LOF or XLEF files of grey channels"
PROJECTS, OBJECTS = (".lif", ".xlef"), (".lof",)
SUFFIXES = (*PROJECTS, *OBJECTS)
_DESCRIPTION = "./Data/Image/ImageDescription"
_SETTING = "./Data/Image/Attachment[@Name='HardwareSetting']"
_WELL = re.compile(r"(?:^|/)([A-P])/([0-9]{1,2})(?:/|$)")
_KIND = {"LIF": "LIF", "LOF": "LOF", "XLEF": "XLEF", "XLIF": "XLIF", "LIFEXT": "LIFEXT", "XLCF": "XLCF"}
_METRE_UM = 1e6
_SECONDS = {"s": 1000.0, "ms": 1.0}


@dataclass(frozen=True)
class _Leica:
    """An open file and its images."""

    scenes: tuple[Scene, ...]
    images: tuple[Any, ...]
    what: str

    def plane(self, scene: Scene, channel: int, z: int) -> NDArray[Any]:
        """Return a plane as stored."""
        image = self.images[scene.index]
        at = {"C": channel, "Z": z, "M": scene.tile}
        return np.array(image.frame(**{axis: k for axis, k in at.items() if axis in image.sizes}))


def group(folder: Folder, camera: Camera) -> Layout:
    """Return the layout of Leica files; beside a project (XLEF) the objects (LOF) in the folder are its parts."""
    names = [name for name in folder.images if name.lower().endswith(SUFFIXES)]
    whole = [name for name in names if name.lower().endswith(PROJECTS)]
    names = whole if any(name.lower().endswith(".xlef") for name in names) else names
    found = containers.layout("lif", EXPECTED, folder, names, opened, camera)
    return replace(found, group_word="images")


def read(ref: FrameRef, camera: Camera) -> Frame:
    """Return the frame of one image."""
    return containers.read(ref, camera, opened)


@contextmanager
def opened(path: Path) -> Iterator[_Leica]:
    """Open a file; no pixels are read."""
    import liffile  # noqa: PLC0415

    # a project in several files finds them beside its own path
    whole = path if path.suffix.lower() == ".xlef" else containers.Bounded(path)
    with whole if isinstance(whole, containers.Bounded) else nullcontext(), liffile.LifFile(whole) as file:
        images = tuple(file.images)
        what = f"a Leica {_KIND.get(file.type.name, 'image')} file"
        yield _Leica(tuple(_scenes(images)), images, what)


def _scenes(images: tuple[Any, ...]) -> Iterator[Scene]:
    groups = [_group(image.path) for image in images]
    several = len(set(groups)) > 1
    for k, image in enumerate(images):
        name = image.path if len(images) > 1 else ""
        for scene in _tiles(image, _scene(image, name, k)):
            yield replace(scene, group=groups[k] if several else "")


def _group(path: str) -> str:
    """Return what an image is part of: a well, else the acquisition above it, else itself."""
    well = _WELL.search(path)
    return f"{well[1]}{int(well[2])}" if well else path.split("/", 1)[0]


def _scene(image: Any, name: str, index: int) -> Scene:
    try:
        sizes = dict(image.sizes)
    except (ValueError, KeyError, AssertionError) as error:
        return Scene(name, (0, 0), (), fault=f"its header cannot be read: {error}", index=index)
    shape = sizes.get("Y", 0), sizes.get("X", 0)
    strange = [axis for axis in sizes if axis not in "TZCYXM"]
    fault = ""
    if image.is_flim:
        fault = "a lifetime image (FLIM); counts of a camera are expected"
    elif "S" in sizes:
        fault = "colour (RGB); grey channels are expected"
    elif strange or [axis for axis in sizes if axis != "C"][-2:] != ["Y", "X"]:
        fault = f"a scan over {', '.join(sizes)}; rows and columns (Y, X) are expected"
    element, size = image.xml_element, None
    try:
        size = None if fault else _size(element)
    except FrameError as error:
        fault = str(error)
    return Scene(
        name,
        shape,
        _channels(element, sizes.get("C", 1)),
        sizes.get("Z", 1),
        sizes.get("T", 1),
        fault,
        size,
        bits=_bits(element),
        exposure_ms=_exposures(element, sizes.get("C", 1)),
        index=index,
    )


def _tiles(image: Any, scene: Scene) -> Iterator[Scene]:
    """Yield a scene, or each tile of a mosaic with its place."""
    tiles = 1 if scene.fault else dict(image.sizes).get("M", 1)
    if tiles == 1:
        yield scene
        return
    scan = image.tilescan
    known = scan is not None and len(scan.tiles) == tiles
    for k in range(tiles):
        name = f"{scene.name}/tile {k}" if scene.name else f"tile {k}"
        yield replace(scene, name=name, tile=k, position_um=_place(scan, k) if known else None)


def _place(scan: Any, tile: int) -> tuple[float, float]:
    """Return y and x of a tile on the stage, um."""
    y, x = (float(scan.tiles[tile][axis]) * _METRE_UM for axis in ("pos_y", "pos_x"))
    return (x, y) if scan.swap_xy else (y, x)


def _channels(element: Any, n: int) -> tuple[tuple[str, ...], ...]:
    """Return the names of each channel: its dye or filter where the settings name one for each, then its colour."""
    described = _in_order(element)
    own = [_properties(channel).get("DyeName", "") for channel in described]
    told = own if all(own) and len(own) == n else _in_settings(element, n)
    colours = [channel.get("LUTName", "") for channel in described]
    found = []
    for k in range(n):
        names = [told[k], told[k].rpartition("/")[2]] if k < len(told) else []
        names += [colours[k]] if len(colours) == n else []
        found.append(tuple(dict.fromkeys(name.strip() for name in names if name.strip())))
    return tuple(found)


def _in_order(element: Any) -> list[Any]:
    channels = element.findall(f"{_DESCRIPTION}/Channels/ChannelDescription")
    return sorted(channels, key=lambda channel: int(channel.get("BytesInc", "0")))


def _properties(channel: Any) -> dict[str, str]:
    return {prop.findtext("Key", ""): prop.findtext("Value", "") for prop in channel.findall("ChannelProperty")}


def _in_settings(element: Any, n: int) -> list[str]:
    """Return filters of a camera, or dyes of the active detectors of a confocal, if there is one for each channel."""
    setting = element.find(_SETTING)
    if setting is None:
        return []
    filters = [c.get("UserDefName") or c.get("FluoCubeName") or "" for c in _camera_channels(setting, n)]
    if len(filters) == n and all(filters):
        return filters
    dyes = []
    for block in _blocks(setting):
        of = {band.get("Channel"): band.get("DyeName", "") for band in block.iter("MultiBand")}
        dyes += [of.get(each.get("Channel"), "") for each in block.iter("Detector") if each.get("IsActive") == "1"]
    return dyes if len(dyes) == n and all(dyes) else []


def _blocks(setting: Any) -> list[Any]:
    """Return the settings of each scan of a sequence, or of the only one."""
    listed = [e for e in setting.iter() if e.tag.startswith("LDM_Block_Sequential_List")]
    return [block for each in listed for block in each] or setting.findall("ATLConfocalSettingDefinition")


def _camera_channels(setting: Any, n: int) -> list[Any]:
    for configured in setting.iter("WideFieldChannelConfigurator"):
        found: list[Any] = configured.findall("WideFieldChannelInfo")
        if len(found) == n:
            return found
    return []


def _exposures(element: Any, n: int) -> tuple[float, ...]:
    """Return the exposure of each channel of a camera, ms, where the settings tell one for each."""
    setting = element.find(_SETTING)
    told = [c.get("ExposureTime", "") for c in _camera_channels(setting, n)] if setting is not None else []
    try:
        found = [float(text.split()[0]) * _SECONDS[text.split()[1]] if " " in text else float(text) for text in told]
    except (ValueError, KeyError, IndexError):
        return ()
    return tuple(found) if len(found) == n else ()


def _bits(element: Any) -> int | None:
    told = {int(channel.get("Resolution", "0")) for channel in _in_order(element)}
    return told.pop() if len(told) == 1 and max(told) > 0 else None


def _size(element: Any) -> float | None:
    """Return the edge of a pixel, um: the length from the first to the last over the steps between them."""
    edges: dict[str, float] = {}
    for about in element.findall(f"{_DESCRIPTION}/Dimensions/DimensionDescription"):
        n, unit = int(about.get("NumberOfElements", "0")), UM.get(about.get("Unit", ""))
        if n > 1 and unit:
            edges[about.get("DimID", "")] = abs(float(about.get("Length", "0"))) * unit / (n - 1)
    return square(edges.get("2"), edges.get("1"))
