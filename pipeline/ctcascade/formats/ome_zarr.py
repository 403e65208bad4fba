"""OME-Zarr (OME-NGFF) images: a folder of chunks with metadata, read as overlapping frames and never whole.

Versions up to 0.4 use zarr 2, version 0.5 uses zarr 3. Only the full resolution is read, the first entry of
`multiscales`.

A missing chunk has the format's fill value. Camera noise never gives a chunk of a single value, so a missing chunk was
not imaged, or was lost: the frame is flagged `partly_imaged`, and that part does not count as analysed area.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ctcascade.data.camera import Camera
from ctcascade.data.errors import plain
from ctcascade.formats import parts
from ctcascade.formats.chunks import Array, inside, mapping, open_array, read_json
from ctcascade.formats.folder import Folder, is_zarr
from ctcascade.formats.frame import (
    STACK,
    UM,
    Frame,
    FrameError,
    FrameRef,
    Layout,
    assemble,
    by_role,
    is_unnamed,
    reading,
    sized,
    square,
)

EXPECTED = "folders NAME.zarr or NAME.ome.zarr, each an OME-Zarr image (multiscales) of version 0.4 or 0.5"
_SUFFIX = re.compile(r"(\.ome)?\.zarr$", re.IGNORECASE)
_WORDS = (".zattrs", "zarr.json", "OME/METADATA.ome.xml")
_MOST_WORDS = 1_000_000


@dataclass(frozen=True)
class _Image:
    """The array of full resolution, its axes as one letter each, its channel names and its pixel size."""

    array: Array
    axes: str
    names: tuple[str, ...]
    pixel_size_um: float | None

    @property
    def planes(self) -> list[tuple[int, ...]]:
        """The index of each channel along the axes before y and x."""
        n = self.array.shape[self.axes.index("c")] if "c" in self.axes else 1
        return [tuple(k if axis == "c" else 0 for axis in self.axes[:-2]) for k in range(n)]


def group(folder: Folder, camera: Camera) -> Layout:
    """Return the layout of OME-Zarr images, each cut into frames; the metadata of each image is read.

    Raises
    ------
    InputError
        If the metadata of an image cannot be read.
    """
    stems = {name: _SUFFIX.sub("", Path(name).name) for name in folder.images if is_zarr(folder.path / name)}
    what = f"OME-Zarr images; those of more than {parts.WHOLE_PX} pixels"
    return parts.layout("ome-zarr", what, EXPECTED, folder, stems, _size, camera)


def read(ref: FrameRef, camera: Camera) -> Frame:
    """Return one frame of an image; only the chunks that it needs are decoded."""
    with reading("the image") as shapes:
        image = _opened(ref.files[0])
        rows, columns = image.array.shape[-2:]
        box = ref.box_px or (0, 0, rows, columns)
        shapes.append((box[2] - box[0], box[3] - box[1]))
        if box[2] > rows or box[3] > columns:
            raise FrameError("the image has become smaller since its frames were listed")
        found = by_role(image.planes, image.names, camera)
        pixels, written = image.array.read(list(found.values()), box)
    with sized(shapes):
        planes = dict(zip(found, pixels, strict=True))
        named = not is_unnamed(image.names, camera)
        return assemble(planes, camera, image.pixel_size_um, position_um=ref.position_um, written=written, named=named)


def words(path: Path) -> str:
    """Return the text of an image's metadata."""
    files = (inside(path / name, path.resolve()) for name in _WORDS)
    return "\n".join(file.read_bytes()[:_MOST_WORDS].decode("utf-8", "replace") for file in files if file)


def _size(path: Path) -> tuple[tuple[int, int], float | None]:
    image = _opened(path)
    rows, columns = image.array.shape[-2:]
    return (rows, columns), image.pixel_size_um


def _opened(path: Path) -> _Image:
    """Return what the metadata says about an image; no chunk is read."""
    root = path.resolve()
    said = _attributes(path, root)
    if "multiscales" not in said:
        return _opened(_only_image(path, root, said))
    scales = said["multiscales"]
    if not isinstance(scales, list) or not scales:
        raise FrameError(f"multiscales: found {plain(scales)}; a list with one entry is expected")
    scale = mapping(scales[0], "multiscales")
    level = _first(scale.get("datasets"), "datasets")
    array = open_array(path / str(level.get("path")), root)
    axes = _axes(scale.get("axes"), array.shape)
    if any(array.shape[k] != 1 for k, axis in enumerate(axes) if axis in "tz"):
        raise FrameError(STACK)
    names = _names(mapping(said.get("omero", {}), "omero").get("channels", []))
    image = _Image(array, "".join(axes), names, _pixel_size(axes, scale, level))
    if names and len(names) != len(image.planes):
        raise FrameError(f"{len(names)} names of channels; the image has {len(image.planes)} channels")
    return image


def _attributes(path: Path, root: Path) -> dict[str, object]:
    """Return the OME metadata of a folder; empty where it has none."""
    third = read_json(path / "zarr.json", root)
    if third is not None:
        return mapping(mapping(third.get("attributes", {}), "attributes").get("ome", {}), "ome")
    return read_json(path / ".zattrs", root) or {}


def _only_image(path: Path, root: Path, said: Mapping[str, object]) -> Path:
    """Return the only image in a folder that is not an image itself; bioformats2raw numbers them from 0.

    Raises
    ------
    FrameError
        If there is no image or more than one; the message says what to name instead.
    """
    below = sorted(entry for entry in path.iterdir() if entry.name.isdecimal())
    inner = [entry for entry in below if "multiscales" in _attributes(entry, root)]
    if len(inner) == 1:
        return inner[0]
    if "plate" in said or "well" in said:
        raise FrameError("a plate of wells, not an image: name the folder of one of its images")
    if inner:
        first = plain(f"{path.name}/{inner[0].name}")
        raise FrameError(f"{len(inner)} images in one folder: name the one to read, such as {first}")
    raise FrameError("not an OME-Zarr image: neither .zattrs nor zarr.json has multiscales")


def _first(said: object, key: str) -> dict[str, object]:
    if not isinstance(said, list) or not said:
        raise FrameError(f"{key}: found {plain(said)}; a list is expected")
    return mapping(said[0], key)


def _axes(said: object, shape: Sequence[int]) -> dict[str, float | None]:
    """Return the axes in order, each with its unit in um, or None; images before version 0.3 have five axes."""
    if said is None:
        said = list("tczyx")
    if not isinstance(said, list):
        raise FrameError(f"axes: found {plain(said)}; a list is expected")
    each = [{"name": axis} if isinstance(axis, str) else mapping(axis, "axes") for axis in said]
    axes = {str(axis.get("name")): UM.get(str(axis.get("unit"))) for axis in each}
    order = "".join(axes)
    if not set(order) <= set("tczyx") or not order.endswith("yx") or not len(order) == len(each) == len(shape):
        raise FrameError(f"axes {plain(', '.join(axes))} of an array of {tuple(shape)}; t, c, z, y, x are expected")
    return axes


def _names(said: object) -> tuple[str, ...]:
    if not isinstance(said, list):
        raise FrameError(f"omero: found {plain(said)}; a list of channels is expected")
    names = tuple(str(mapping(channel, "omero").get("label", "")).strip() for channel in said)
    return names if any(names) else ()


def _pixel_size(
    axes: Mapping[str, float | None], scale: Mapping[str, object], level: Mapping[str, object]
) -> float | None:
    """Return the pixel size in um; None where the unit of length or the scale is missing."""
    steps = [step for about in (level, scale) if (step := _scaling(about.get("coordinateTransformations"), len(axes)))]
    if not steps:
        return None
    down, across = (math.prod(step[k] for step in steps) for k in (-2, -1))
    return square(axes["y"] and axes["y"] * down, axes["x"] and axes["x"] * across)


def _scaling(said: object, n: int) -> list[float] | None:
    """Return the factors of the first scaling among the transformations."""
    for about in said if isinstance(said, list) else ():
        if isinstance(about, dict) and about.get("type") == "scale":
            factors = about.get("scale")
            if not isinstance(factors, list) or len(factors) != n or not all(type(f) in (int, float) for f in factors):
                raise FrameError(f"scale: found {plain(factors)}; {n} numbers are expected")
            return factors
    return None
