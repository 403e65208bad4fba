"""Synthetic slides of blood whose truth is known: cells, clusters, debris and the faults of a real microscope.

The sizes, brightnesses and optics here are those of pretend data. They claim nothing about blood and nothing rests on
them but tests, benchmarks and the demonstration; the defaults are chosen to be harder than a good slide.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np
import pandas as pd
import tifffile
from numpy.typing import NDArray
from PIL import Image

from ctcascade.data import store
from ctcascade.validation.phantom_camera import Optics, draw_object, photograph
from ctcascade.validation.phantom_objects import (
    CTC_KINDS,
    LEUKOCYTE_KINDS,
    ROLES,
    Recipe,
    Thing,
    make_ctc,
    place_objects,
)

__all__ = [
    "CTC_KINDS",
    "LEUKOCYTE_KINDS",
    "ROLES",
    "Optics",
    "Recipe",
    "Slide",
    "add_ctc",
    "lit_ctc",
    "render",
    "write_frame",
    "write_slide",
]


@dataclass(frozen=True)
class Slide:
    """A slide to write: frames, optics and recipe; ``layout`` is ``ome-tiff`` or ``files`` (8-bit JPEG a channel)."""

    frames: int
    shape: tuple[int, int] = (384, 384)
    optics: Optics = field(default_factory=Optics)
    recipe: Recipe = field(default_factory=Recipe)
    layout: str = "ome-tiff"
    channel_names: tuple[str, ...] = ("DAPI", "CK-PE", "CD45-APC", "FITC")


def write_slide(folder: Path, slide: Slide, seed: int) -> pd.DataFrame:
    """Write the frames of a slide into a folder and return their truth.

    Parameters
    ----------
    folder : Path
    slide : Slide
    seed : int
        Equal slide and seed give equal bytes.

    Returns
    -------
    DataFrame
        One row an object: frame, y_px, x_px, kind, cluster (number of its group in the frame, 0 outside groups; a group
        may be one CTC with leukocytes), diameter_um, ck_contrast (share of the range), whole (False where the frame's
        border cuts it).
    """
    streams = np.random.SeedSequence(seed).spawn(slide.frames + 1)
    groups = _groups_by_frame(slide, np.random.default_rng(streams[0]))
    truth = []
    for number in range(slide.frames):
        name = f"f{number + 1:03d}"
        pixels, rows = render(slide, groups[number], np.random.default_rng(streams[number + 1]))
        rows.insert(0, "frame", name)
        truth.append(rows)
        write_frame(folder, name, pixels, slide, order=number)
    return pd.concat(truth, ignore_index=True)


def render(
    slide: Slide, groups: Sequence[tuple[int, int]], rng: np.random.Generator
) -> tuple[NDArray[np.uint16], pd.DataFrame]:
    """Return the pixels of one frame, shape (4, Y, X) in the order of `ROLES`, and its truth.

    Parameters
    ----------
    slide : Slide
    groups : sequence of (int, int)
        CTCs and leukocytes of each group to place in this frame; (1, 0) is a single CTC.
    rng : Generator
    """
    optics = slide.optics
    px = optics.pixel_size_um
    things = place_objects(slide.recipe, (slide.shape[0] * px, slide.shape[1] * px), groups, rng)
    light = np.zeros((len(ROLES), *slide.shape))
    for thing in things:
        draw_object(light, thing, px, rng)
    rows = pd.DataFrame(
        {
            "y_px": [t.y_um / px for t in things],
            "x_px": [t.x_um / px for t in things],
            "kind": [t.kind for t in things],
            "cluster": [t.cluster for t in things],
            "diameter_um": [t.diameter_um for t in things],
            "ck_contrast": [t.light.get("ck", 0.0) for t in things],
            "whole": [_is_whole(t, slide) for t in things],
        }
    )
    return photograph(light, optics, rng), rows


def add_ctc(pixels: NDArray[np.uint16], optics: Optics, y_px: float, x_px: float, seed: int) -> NDArray[np.uint16]:
    """Return the frame with one more CTC, lit through the same optics; shape (4, Y, X)."""
    rng = np.random.default_rng(seed)
    px = optics.pixel_size_um
    light = np.zeros(pixels.shape)
    draw_object(light, make_ctc(replace(Recipe(), weak_ck=0.0), rng, y_px * px, x_px * px), px, rng)
    bare = replace(optics, offset=0.0, read_noise=0.0, haze=(0.0, 0.0, 0.0, 0.0))
    extra = photograph(light, bare, rng)
    total = pixels.astype(np.int64) + extra
    return np.asarray(np.minimum(total, 2**optics.bit_depth - 1), np.uint16)


def lit_ctc(
    optics: Optics, recipe: Recipe, y_px: float, x_px: float, rng: np.random.Generator
) -> tuple[NDArray[np.uint16], tuple[int, int], float]:
    """Return the counts that a CTC adds to a frame: a patch (4, Y, X), its first row and column, the CTC's diameter.

    The patch has photon noise of its own, but neither background nor vignetting nor a shift between channels: these are
    the frame's. It may reach beyond the frame.
    """
    px = optics.pixel_size_um
    ctc = make_ctc(recipe, rng)
    reach = int(ctc.diameter_um / px) + 8
    y0, x0 = int(y_px) - reach, int(x_px) - reach
    light = np.zeros((len(ROLES), 2 * reach + 1, 2 * reach + 1))
    draw_object(light, replace(ctc, y_um=(y_px - y0) * px, x_um=(x_px - x0) * px), px, rng)
    dark = replace(optics, offset=0.0, read_noise=0.0, haze=(0.0, 0.0, 0.0, 0.0), vignetting=0.0, shift_px=0.0)
    return photograph(light, dark, rng), (y0, x0), ctc.diameter_um


def write_frame(folder: Path, name: str, pixels: NDArray[np.uint16], slide: Slide, order: int = 0) -> None:
    """Write one frame in the slide's layout; ``order`` turns the order of the channels in the file."""
    folder = Path(folder)
    turned = [(k + order) % len(pixels) for k in range(len(pixels))]
    if slide.layout == "ome-tiff":
        names = [slide.channel_names[k] for k in turned]
        description = _ome_xml(pixels.shape, names, slide.optics)
        with store.whole(folder / f"{name}.ome.tif") as part:
            tifffile.imwrite(
                part,
                pixels[turned],
                description=description,
                photometric="minisblack",
                compression="zlib",
                predictor=True,
                metadata=None,
                software=False,
            )
        return
    scale = 255 / (2**slide.optics.bit_depth - 1)
    for k, channel in enumerate(slide.channel_names):
        with store.whole(folder / f"{name}_{channel}.jpg") as part:
            grey = np.round(pixels[k] * scale).astype(np.uint8)
            Image.fromarray(grey).save(part, format="JPEG", quality=90)


def _groups_by_frame(slide: Slide, rng: np.random.Generator) -> list[list[tuple[int, int]]]:
    """Return the groups of CTCs that each frame gets."""
    groups = [(1, 0)] * slide.recipe.ctcs + list(slide.recipe.clusters)
    frames = rng.permutation(np.arange(len(groups)) % slide.frames)
    return [[g for g, f in zip(groups, frames, strict=True) if f == number] for number in range(slide.frames)]


def _is_whole(thing: Thing, slide: Slide) -> bool:
    px, r = slide.optics.pixel_size_um, thing.diameter_um / 2
    return bool(r < thing.y_um < slide.shape[0] * px - r and r < thing.x_um < slide.shape[1] * px - r)


def _ome_xml(shape: tuple[int, ...], names: Sequence[str], optics: Optics) -> str:
    channels = "".join(
        f'<Channel ID="Channel:0:{k}" Name={quoteattr(n)} SamplesPerPixel="1"/>' for k, n in enumerate(names)
    )
    planes = "".join(f'<TiffData IFD="{k}" FirstC="{k}" PlaneCount="1"/>' for k in range(len(names)))
    size = f'PhysicalSizeX="{optics.pixel_size_um}" PhysicalSizeXUnit="um" PhysicalSizeY="{optics.pixel_size_um}"'
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">'
        f'<Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint16" SignificantBits="{optics.bit_depth}" {size} '
        f'PhysicalSizeYUnit="um" SizeX="{shape[2]}" SizeY="{shape[1]}" SizeC="{shape[0]}" SizeZ="1" SizeT="1">'
        f"{channels}{planes}</Pixels></Image></OME>"
    )
