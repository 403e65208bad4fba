"""What vendors' own words say of the pages of a TIFF: Akoya (QPI), MetaMorph (MetaSeries), Micro-Manager (NDTiff)."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ctcascade.data.camera import Camera
from ctcascade.data.errors import plain
from ctcascade.formats.folder import natural
from ctcascade.formats.frame import UM, FrameError, role_of, square
from ctcascade.formats.markup import MarkupError, parse

_MICRO_MANAGER = 51123
_PAGE_NAME = 285
_US_PER_MS = 1000
_EXPOSURE = re.compile(r"([0-9.]+) ?(ms|s)")
_AKOYA = "PerkinElmer-QPI-ImageDescription"
_UNIT_UM = {2: 25_400.0, 3: 10_000.0}  # the tag ResolutionUnit: inch, centimetre
_AXES = {"position": "PositionIndex", "z": "SliceIndex", "time": "FrameIndex", "channel": "ChannelIndex"}


@dataclass(frozen=True)
class Pages:
    """The pages that are planes, by number from 0; the names of each, the best first; and the pixel size if told."""

    pages: tuple[int, ...]
    names: tuple[tuple[str, ...], ...]
    pixel_size_um: float | None
    bits: int | None = None
    depth: int = 1
    exposure_ms: tuple[float, ...] = ()
    position_um: tuple[float, float] | None = None


def names_of_page(page: Any) -> tuple[str, ...]:
    """Return the names that a page has of its own: those of Micro-Manager, and the tag PageName."""
    tag = page.tags.get(_PAGE_NAME)
    told = (dict(_tag(page).get("Axes") or {}).get("channel"), _tag(page).get("Channel"), tag.value if tag else None)
    return tuple(dict.fromkeys(str(name).strip() for name in told if name not in (None, "", "Default")))


def refuse_other_name(page: Any, role: str, camera: Camera) -> None:
    """Refuse a page whose own name is that of another role than the one that the metadata give it."""
    for name in names_of_page(page):
        its = role_of(name, camera.channels)
        if its not in (None, role):
            raise FrameError(f"a page is {role} by the metadata, and {plain(name)} ({its}) by its own tag")


def positions_in(file: Any) -> tuple[str, ...]:
    """Return the positions of the stage whose pages a file of Micro-Manager holds; empty for any other file."""
    if _MICRO_MANAGER not in file.pages.first.tags:
        return ()
    return tuple(dict.fromkeys(_place(_tag(page.aspage()), "position") for page in file.pages))


def pages_in_words(file: Any, position: int = -1) -> Pages | None:
    """Return what the pages of an open TIFF say in a vendor's words; None where they use none that is known here.

    Parameters
    ----------
    file : TiffFile
    position : int, optional
        Which of the positions of the stage in the file, from 0; -1 for a file that should hold one only.

    Raises
    ------
    FrameError
        If the words cannot be read, or the pages are other than planes of one field of view.
    """
    first = file.pages.first
    description = first.description or ""
    if _AKOYA in description[:400]:
        return _akoya(file)
    if description.lstrip().startswith("<MetaData>"):
        return _metaseries(file)
    if _MICRO_MANAGER in first.tags:
        return _micro_manager(file, position)
    return None


def resolution_um(page: Any) -> float | None:
    """Return the edge of a pixel by the tags of resolution, for writers that are known to mean it."""
    unit = page.tags.get(296)
    um = _UNIT_UM.get(int(unit.value)) if unit is not None else None
    down, across = (_length(page.tags.get(tag), um) for tag in (283, 282))
    return square(down, across)


def _length(tag: Any, um: float | None) -> float | None:
    return tag.value[1] / tag.value[0] * um if um and tag is not None and tag.value[0] and tag.value[1] else None


def _akoya(file: Any) -> Pages:
    pages, names, exposures, size = [], [], list[float](), None
    for number, page in enumerate(page.aspage() for page in file.pages):
        root = _xml(re.sub(r"^<\?xml[^>]*\?>", "", (page.description or "").lstrip("\ufeff ")))
        kind = (root.findtext("{*}ImageType") or root.findtext("ImageType") or "").strip()
        if kind != "FullResolution":
            continue
        named = [root.findtext(word) for word in ("Biomarker", "Name")]
        pages.append(number)
        names.append(tuple(dict.fromkeys(name.strip() for name in named if name and name.strip())))
        exposure = _number(root.findtext("ExposureTime") or root.findtext("{*}ExposureTime"))
        exposures += [exposure / _US_PER_MS] if exposure else []
        size = size or resolution_um(page)
    told = tuple(exposures) if len(exposures) == len(pages) else ()
    return Pages(tuple(pages), tuple(names), size, exposure_ms=told)


def _metaseries(file: Any) -> Pages:
    names, exposures, size, bits = [], list[float](), None, None
    for page in (page.aspage() for page in file.pages):
        said = {prop.get("id", ""): prop.get("value", "") for prop in _xml(page.description or "").iter("prop")}
        named = [said.get(key, "").strip() for key in ("_IllumSetting_", "wavelength-name", "image-name")]
        names.append(tuple(dict.fromkeys(name for name in named if name)))
        um = UM.get(said.get("spatial-calibration-units", "").strip())
        on = said.get("spatial-calibration-state", "on").strip().lower() != "off"
        edges = (_number(said.get(f"spatial-calibration-{axis}")) for axis in "yx")
        down, across = (edge * um if edge and um and on else None for edge in edges)
        size = size or square(down, across)
        depth = _number(said.get("bits-per-pixel"))
        bits = bits or (int(depth) if depth else None)
        exposure = _EXPOSURE.match(said.get("Exposure Time", "").strip())
        exposures += [float(exposure[1]) * (1000 if exposure[2] == "s" else 1)] if exposure else []
    told = tuple(exposures) if len(exposures) == len(names) else ()
    return Pages(tuple(range(len(names))), tuple(names), size, bits, exposure_ms=told)


def _micro_manager(file: Any, position: int) -> Pages:
    said = {number: _tag(page.aspage()) for number, page in enumerate(file.pages)}
    positions = positions_in(file)
    if len(positions) > 1:
        if not 0 <= position < len(positions):
            few = ", ".join(map(plain, positions[:4]))
            raise FrameError(f"{len(positions)} positions of the stage in one file ({few}), among files of one")
        said = {number: page for number, page in said.items() if _place(page, "position") == positions[position]}
    times = len({_place(page, "time") for page in said.values()})
    if times > 1:
        raise FrameError(f"{times} points in time; one is expected: save the one to count by itself")
    stacks: dict[str, dict[str, int]] = {}
    for number, page in said.items():
        stack, z = stacks.setdefault(_place(page, "channel"), {}), _place(page, "z")
        if z in stack:
            raise FrameError(f"pages {stack[z] + 1} and {number + 1} are the same channel and plane by their own words")
        stack[z] = number
    if len({tuple(sorted(stack)) for stack in stacks.values()}) > 1:
        raise FrameError("channels of different planes in depth")
    ordered = [[stack[z] for z in sorted(stack, key=natural)] for stack in stacks.values()]
    firsts = [said[stack[0]] for stack in ordered]
    names = tuple(names_of_page(file.pages[stack[0]].aspage()) for stack in ordered)
    exposures = [_number(page.get("Exposure-ms", page.get("Exposure"))) for page in firsts]
    y, x = (_coordinate(firsts[0].get(f"{axis}PositionUm")) for axis in "YX")
    size = _same(
        float(page[key]) for page in firsts for key in ("PixelSizeUm", "PixelSize_um") if _number(page.get(key))
    )
    bits = _same(int(depth) for page in firsts if (depth := _number(page.get("BitDepth"))))
    return Pages(
        tuple(number for stack in ordered for number in stack),
        names,
        square(size, size),
        bits,
        len(ordered[0]),
        tuple(e for e in exposures if e) if all(exposures) else (),
        (y, x) if y is not None and x is not None else None,
    )


def _place(page: Mapping[str, Any], axis: str) -> str:
    """Return where a page is along an axis, by its axes or by its index."""
    axes = dict(page.get("Axes") or {})
    return str(axes.get(axis, page.get(_AXES[axis], page.get("Channel", "") if axis == "channel" else "")))


def _same(values: Iterable[Any]) -> Any:
    found = set(values)
    return found.pop() if len(found) == 1 else None


def _coordinate(said: object) -> float | None:
    try:
        return float(str(said))
    except ValueError:
        return None


def _tag(page: Any) -> dict[str, Any]:
    tag = page.tags.get(_MICRO_MANAGER)
    return tag.value if tag is not None and isinstance(tag.value, dict) else {}


def _number(said: object) -> float | None:
    try:
        return float(str(said)) or None
    except ValueError:
        return None


def _xml(text: str) -> Any:
    try:
        return parse(text)
    except MarkupError as error:
        raise FrameError(f"the description of a page: {error}") from error


def known_first(names: Sequence[Sequence[str]], known: Any) -> tuple[str, ...]:
    """Return for each channel the one of its names for which `known` is true, else the first, else nothing."""
    return tuple(next((n for n in each if known(n)), next(iter(each), "")) for each in names)
