"""OME-Zarr (OME-NGFF) images: a folder of chunks with metadata, read as overlapping frames and never whole.

Versions up to 0.4 use zarr 2, version 0.5 uses zarr 3. Only the full resolution is read, the first entry of
`multiscales`.

A missing chunk has the format's fill value. Camera noise never gives a chunk of a single value, so a missing chunk was
not imaged, or was lost: the frame is flagged `partly_imaged`, and that part does not count as analysed area.
"""

import functools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ctcascade.data.camera import Camera
from ctcascade.data.errors import plain
from ctcascade.formats import parts, scenes
from ctcascade.formats.chunks import Array, inside, mapping, open_array, read_json
from ctcascade.formats.decoding import reading, sized
from ctcascade.formats.depth import one_plane, refuse_stack
from ctcascade.formats.folder import Folder, is_zarr
from ctcascade.formats.frame import (
    UM,
    Frame,
    FrameError,
    FrameRef,
    Layout,
    assemble,
    by_role,
    grouped,
    is_unnamed,
    square,
)
from ctcascade.formats.markup import MarkupError, parse
from ctcascade.formats.ome_xml import length_um

EXPECTED = "folders NAME.zarr or NAME.ome.zarr, each an OME-Zarr image (multiscales) of version 0.4 or 0.5"
_SUFFIX = re.compile(r"(\.ome)?\.zarr$", re.IGNORECASE)
_WORDS = (".zattrs", "zarr.json", "OME/METADATA.ome.xml")
_MOST_WORDS = 1_000_000
_MOST_WELLS = 1536
_XML = "METADATA.ome.xml"
_SIMPLE = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*){0,5}")


@dataclass(frozen=True)
class _Image:
    """The array of full resolution, its axes as one letter each, its channel names and its pixel size."""

    array: Array
    axes: str
    names: tuple[str, ...]
    pixel_size_um: float | None

    def size(self, axis: str) -> int:
        """Return how many planes there are along an axis."""
        return self.array.shape[self.axes.index(axis)] if axis in self.axes else 1

    def plane(self, channel: int, z: int) -> tuple[int, ...]:
        """Return the index of a plane along the axes before y and x."""
        at = {"c": channel, "z": z}
        return tuple(at.get(axis, 0) for axis in self.axes[:-2])


def group(folder: Folder, camera: Camera) -> Layout:
    """Return the layout of OME-Zarr images, each cut into frames; the metadata of each image is read.

    Raises
    ------
    InputError
        If the metadata of an image cannot be read.
    """
    held: dict[str, tuple[str, _Part]] = {}
    names = [name for name in folder.images if is_zarr(folder.path / name)]
    for name in names:
        stem = _SUFFIX.sub("", Path(name).name)
        for part in parts.header(folder.path / name, EXPECTED, _held):
            image, frame = (
                "/".join(filter(None, (name, part.path))),
                "_".join(filter(None, (stem, *part.path.split("/")))),
            )
            held[image] = frame, part if len(names) == 1 else part.within(name)
    if folder.choice:
        held = {
            name: (stem, part) for name, (stem, part) in held.items() if scenes.named(folder.choice, part.names)
        } or held
    groups = {part.group for _, part in held.values() if part.group}
    several = len(groups) > 1 and not folder.choice  # of which none is opened, as one has to be chosen
    stems = {name: stem for name, (stem, _) in held.items()}
    what = f"OME-Zarr images; those of more than {parts.WHOLE_PX} pixels"
    found = grouped("ome-zarr", what, [(stem, "", name) for name, stem in stems.items()], (), camera)
    if not several:
        found = parts.layout("ome-zarr", what, EXPECTED, folder, stems, functools.partial(_size, camera=camera), camera)
    of = {frame: held[files[0][1]][1] for frame, files in found.frames.items()}
    return replace(
        found,
        ignored=tuple(name for name in found.ignored if name not in names),
        scenes={frame: part.names for frame, part in of.items()},
        groups={frame: part.group for frame, part in of.items() if part.group},
        group_word="wells" if any(part.is_well for part in of.values()) else "images",
    )


def read(ref: FrameRef, camera: Camera) -> Frame:
    """Return one frame of an image; only the chunks that it needs are decoded."""
    with reading("the image") as shapes:
        image = _opened(ref.files[0])
        rows, columns = image.array.shape[-2:]
        box = ref.box_px or (0, 0, rows, columns)
        shapes.append((box[2] - box[0], box[3] - box[1]))
        if box[2] > rows or box[3] > columns:
            raise FrameError("the image has become smaller since its frames were listed")
        refuse_stack(image.size("z"), image.size("t"), camera)
        found, shares = by_role(range(image.size("c")), image.names, camera), []

        def at(z: int, roles: Sequence[str]) -> dict[str, NDArray[Any]]:
            pixels, share = image.array.read([image.plane(found[role], z) for role in roles], box)
            shares.append(share)
            return dict(zip(roles, pixels, strict=True))

        planes = one_plane(at, list(found), image.size("z"), camera)
        written = min(shares)
    with sized(shapes):
        named = not is_unnamed(image.names, camera)
        return assemble(
            planes,
            camera,
            image.pixel_size_um,
            position_um=ref.position_um,
            written=written,
            named=named,
            names=image.names,
        )


def words(path: Path) -> str:
    """Return the text of an image's metadata."""
    files = (inside(path / name, path.resolve()) for name in _WORDS)
    return "\n".join(file.read_bytes()[:_MOST_WORDS].decode("utf-8", "replace") for file in files if file)


def _size(path: Path, camera: Camera) -> tuple[tuple[int, int], float | None]:
    image = _opened(path)
    refuse_stack(image.size("z"), image.size("t"), camera)
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
    names = _names(mapping(said.get("omero", {}), "omero").get("channels", []))
    image = _Image(array, "".join(axes), names, _pixel_size(axes, scale, level))
    if names and len(names) != image.size("c"):
        raise FrameError(f"{len(names)} names of channels; the image has {image.size('c')} channels")
    return image if names else _with_names(path, image)


def _with_names(path: Path, image: _Image) -> _Image:
    """Return an image with the names and the pixel size of the OME metadata that bioformats2raw puts beside it."""
    beside = (path.parent / "OME" / _XML, path.parent.parent / _XML)
    file = next((each for each in beside if path.name.isdecimal() and each.is_file()), None)
    if file is None or file.stat().st_size > _MOST_WORDS:
        return image
    try:
        images = [each for each in parse(file.read_bytes()).iter() if each.tag.rpartition("}")[2] == "Image"]
    except MarkupError as error:
        raise FrameError(f"{_XML}: {error}") from error
    pixels = images[int(path.name)].find("{*}Pixels") if int(path.name) < len(images) else None
    if pixels is None:
        return image
    told = [pixels.get(f"Size{axis}") for axis in "YXC"]
    own = [str(n) for n in (*image.array.shape[-2:], image.size("c"))]
    if told != own:
        raise FrameError(f"{_XML} tells of {' x '.join(map(plain, told))} (y, x, c), the image has {' x '.join(own)}")
    names = tuple(channel.get("Name", "").strip() for channel in pixels.findall("{*}Channel"))
    down, across = (length_um(pixels, f"PhysicalSize{axis}", "µm") for axis in "YX")
    return replace(image, names=names if any(names) else (), pixel_size_um=image.pixel_size_um or square(down, across))


def _attributes(path: Path, root: Path) -> dict[str, object]:
    """Return the OME metadata of a folder; empty where it has none."""
    third = read_json(path / "zarr.json", root)
    if third is not None:
        return mapping(mapping(third.get("attributes", {}), "attributes").get("ome", {}), "ome")
    return read_json(path / ".zattrs", root) or {}


@dataclass(frozen=True)
class _Part:
    """An image below a folder: its path from there, by what names it may be chosen, and its well or itself."""

    path: str
    names: tuple[str, ...] = ()
    group: str = ""
    is_well: bool = False

    def within(self, name: str) -> "_Part":
        """Return the same as one of several plates or folders of images."""
        group = f"{name}/{self.group}" if self.group else ""
        return replace(self, group=group, names=tuple(filter(None, (group, *self.names))))


def _held(path: Path) -> list[_Part]:
    """Return the images of a folder: of a plate the fields of all wells, of several images each, else itself."""
    root = path.resolve()
    said = _attributes(path, root)
    if "plate" in said:
        wells = [_simple(well, "wells") for well in _each(mapping(said["plate"], "plate").get("wells"), "wells")]
        if len(wells) > _MOST_WELLS:
            raise FrameError(f"a plate of {len(wells)} wells")
        return [part for well in wells for part in _fields(path, root, well)]
    if "well" in said:
        return _fields(path, root, "")
    if "multiscales" not in said:
        below = sorted((entry for entry in path.iterdir() if entry.name.isdecimal()), key=lambda entry: int(entry.name))
        inner = [entry.name for entry in below if "multiscales" in _attributes(entry, root)]
        if len(inner) > 1:
            return [_Part(name, (name,), name) for name in inner]
    return [_Part("", (path.name,))]


def _fields(path: Path, root: Path, well: str) -> list[_Part]:
    """Return the fields of a well of a plate, or of the well that the folder itself is."""
    said = mapping(_attributes(path / well, root).get("well", {}), "well")
    numbers = [_simple(image, "images") for image in _each(said.get("images"), "images")]
    if not well:
        return [_Part(number, (number,)) for number in numbers]
    name = "/".join(well.split("/")[-2:])
    return [_Part(f"{well}/{number}", (name, f"{name}/{number}"), name, True) for number in numbers]


def _each(said: object, key: str) -> list[dict[str, object]]:
    if not isinstance(said, list) or not said:
        raise FrameError(f"{key}: found {plain(said)}; a list is expected")
    return [mapping(each, key) for each in said]


def _simple(about: Mapping[str, object], key: str) -> str:
    path = about.get("path")
    if not isinstance(path, str) or not _SIMPLE.fullmatch(path):
        raise FrameError(f"{key}: found the path {plain(path)}; a folder inside is expected")
    return path


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
    return _each(said, key)[0]


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
