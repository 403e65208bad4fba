"""What vendors' own words say of the pages of a TIFF: Akoya (QPI), MetaMorph (MetaSeries), Micro-Manager (NDTiff)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ctcascade.data.errors import plain
from ctcascade.formats.frame import STACK, UM, FrameError, square
from ctcascade.formats.markup import MarkupError, parse

_MICRO_MANAGER = 51123
_AKOYA = "PerkinElmer-QPI-ImageDescription"
_UNIT_UM = {2: 25_400.0, 3: 10_000.0}  # the tag ResolutionUnit: inch, centimetre
_AXES = {"position": "PositionIndex", "z": "SliceIndex", "time": "FrameIndex"}


@dataclass(frozen=True)
class Pages:
    """The pages that are planes, by number from 0; the names of each, the best first; and the pixel size if told."""

    pages: tuple[int, ...]
    names: tuple[tuple[str, ...], ...]
    pixel_size_um: float | None
    bits: int | None = None


def pages_in_words(file: Any) -> Pages | None:
    """Return what the pages of an open TIFF say in a vendor's words; None where they use none that is known here.

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
        return _micro_manager(file)
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
    pages, names, size = [], [], None
    for number, page in enumerate(page.aspage() for page in file.pages):
        root = _xml(re.sub(r"^<\?xml[^>]*\?>", "", (page.description or "").lstrip("\ufeff ")))
        kind = (root.findtext("{*}ImageType") or root.findtext("ImageType") or "").strip()
        if kind != "FullResolution":
            continue
        told = [root.findtext(word) for word in ("Biomarker", "Name")]
        pages.append(number)
        names.append(tuple(dict.fromkeys(name.strip() for name in told if name and name.strip())))
        size = size or resolution_um(page)
    return Pages(tuple(pages), tuple(names), size)


def _metaseries(file: Any) -> Pages:
    names, size, bits = [], None, None
    for page in (page.aspage() for page in file.pages):
        said = {prop.get("id", ""): prop.get("value", "") for prop in _xml(page.description or "").iter("prop")}
        told = [said.get(key, "").strip() for key in ("_IllumSetting_", "wavelength-name", "image-name")]
        names.append(tuple(dict.fromkeys(name for name in told if name)))
        um = UM.get(said.get("spatial-calibration-units", "").strip())
        on = said.get("spatial-calibration-state", "on").strip().lower() != "off"
        edges = (_number(said.get(f"spatial-calibration-{axis}")) for axis in "yx")
        down, across = (edge * um if edge and um and on else None for edge in edges)
        size = size or square(down, across)
        depth = _number(said.get("bits-per-pixel"))
        bits = bits or (int(depth) if depth else None)
    return Pages(tuple(range(len(names))), tuple(names), size, bits)


def _micro_manager(file: Any) -> Pages:
    said = [_tag(page.aspage()) for page in file.pages]
    for axis, index in _AXES.items():
        places = list(dict.fromkeys(str(dict(page.get("Axes") or {}).get(axis, page.get(index, ""))) for page in said))
        if len(places) > 1:
            if axis != "position":
                raise FrameError(STACK)
            few = ", ".join(map(plain, places[:4]))
            raise FrameError(f"{len(places)} positions of the stage in one file ({few}); save each position by itself")
    names = []
    for page in said:
        told = (dict(page.get("Axes") or {}).get("channel"), page.get("Channel"))
        names.append(tuple(dict.fromkeys(str(name).strip() for name in told if name not in (None, "", "Default"))))
    sizes = {float(page[key]) for page in said for key in ("PixelSizeUm", "PixelSize_um") if _number(page.get(key))}
    size = sizes.pop() if len(sizes) == 1 else None
    depths = {int(depth) for page in said if (depth := _number(page.get("BitDepth")))}
    return Pages(tuple(range(len(said))), tuple(names), square(size, size), depths.pop() if len(depths) == 1 else None)


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
