"""Synthetic slides of blood whose truth is known: cells, clusters, debris and the faults of a real microscope.

The sizes, brightnesses and optics here are those of pretend data. They claim nothing about blood and nothing rests on
them but tests, benchmarks and the demonstration; the defaults are chosen to be harder than a good slide.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import cv2
import numpy as np
import pandas as pd
import tifffile
from numpy.typing import NDArray
from PIL import Image
from scipy.special import expit

from ctcascade.data import store

ROLES = ("dna", "ck", "cd45", "fitc")
CTC_KINDS = ("ctc", "ctc_weak_ck", "ctc_marker", "ctc_marker_nucleus")
LEUKOCYTE_KINDS = ("lymphocyte", "granulocyte", "leukocyte_ck", "leukocyte_weak_cd45")

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Optics:
    """What microscope and camera do to a field of view.

    Attributes
    ----------
    pixel_size_um, psf_um : float
        Edge of a pixel; standard deviation of the point spread.
    bit_depth : int
    offset, read_noise : float
        Counts of a dark pixel and their standard deviation.
    photons_per_count : float
        Sets the photon noise: the variance of a signal of s counts is s / photons_per_count.
    haze : tuple of float
        Background of each channel above the offset, counts.
    vignetting : float
        Share of the light that is lost in the corners.
    bleed : float
        Share of each channel that is seen in the next one.
    shift_px : float
        Largest shift of a channel against DNA.
    """

    pixel_size_um: float = 0.645
    psf_um: float = 0.45
    bit_depth: int = 12
    offset: float = 60.0
    read_noise: float = 4.0
    photons_per_count: float = 3.0
    haze: tuple[float, float, float, float] = (30.0, 60.0, 40.0, 30.0)
    vignetting: float = 0.2
    bleed: float = 0.01
    shift_px: float = 0.6


@dataclass(frozen=True)
class Recipe:
    """What lies on a slide.

    Attributes
    ----------
    leukocytes : int
        A frame, on average.
    ctcs : int
        Single CTCs on the whole slide.
    clusters : tuple of (int, int)
        CTCs and leukocytes of each cluster on the slide; (1, n) is one CTC with leukocytes.
    ctc_diameter_um : (float, float)
        Median and spread (standard deviation of the logarithm) of whole CTCs.
    ck : float
        Median brightness of a CTC's cytokeratin, as a share of the camera's range.
    weak_ck, leukocyte_ck, leukocyte_weak_cd45, granulocytes : float
        Shares: of CTCs with a quarter of that brightness; of leukocytes with cytokeratin, of those with little CD45,
        and of granulocytes among the rest.
    bare_nuclei, fragments, specks, aggregates, apoptotic : float
        Others a frame, on average.
    marker_positive : float
        Share of CTCs that are bright in the fourth channel, too: all over, or with ``marker_in_nucleus`` only there.
    """

    leukocytes: int = 80
    ctcs: int = 0
    clusters: tuple[tuple[int, int], ...] = ()
    ctc_diameter_um: tuple[float, float] = (12.0, 0.2)
    ck: float = 0.25
    weak_ck: float = 0.0
    leukocyte_ck: float = 0.01
    leukocyte_weak_cd45: float = 0.02
    granulocytes: float = 0.6
    bare_nuclei: float = 1.0
    fragments: float = 1.0
    specks: float = 3.0
    aggregates: float = 0.3
    apoptotic: float = 0.2
    marker_positive: float = 0.0
    marker_in_nucleus: bool = False


@dataclass(frozen=True)
class Thing:
    """One object: where, what, how large, and how bright in each channel (shares of the camera's range)."""

    kind: str
    y_um: float
    x_um: float
    diameter_um: float
    nucleus_um: float
    light: Mapping[str, float]
    cluster: int = 0


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
    groups = _dealt(slide, np.random.default_rng(streams[0]))
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
    things = _placed(slide, groups, rng)
    light = np.zeros((len(ROLES), *slide.shape))
    for thing in things:
        _draw(light, thing, optics.pixel_size_um, rng)
    px = optics.pixel_size_um
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
    return _photographed(light, optics, rng), rows


def add_ctc(pixels: NDArray[np.uint16], optics: Optics, y_px: float, x_px: float, seed: int) -> NDArray[np.uint16]:
    """Return the frame with one more CTC, lit through the same optics; shape (4, Y, X)."""
    rng = np.random.default_rng(seed)
    px = optics.pixel_size_um
    light = np.zeros(pixels.shape)
    _draw(light, _ctc(replace(Recipe(), weak_ck=0.0), rng, y_px * px, x_px * px), px, rng)
    bare = replace(optics, offset=0.0, read_noise=0.0, haze=(0.0, 0.0, 0.0, 0.0))
    extra = _photographed(light, bare, rng)
    return np.minimum(pixels.astype(np.int64) + extra, 2**optics.bit_depth - 1).astype(np.uint16)


def lit_ctc(
    optics: Optics, recipe: Recipe, y_px: float, x_px: float, rng: np.random.Generator
) -> tuple[NDArray[np.uint16], tuple[int, int], float]:
    """Return the counts that a CTC adds to a frame: a patch (4, Y, X), its first row and column, the CTC's diameter.

    The patch has photon noise of its own, but neither background nor vignetting nor a shift between channels: these are
    the frame's. It may reach beyond the frame.
    """
    px = optics.pixel_size_um
    ctc = _ctc(recipe, rng)
    reach = int(ctc.diameter_um / px) + 8
    y0, x0 = int(y_px) - reach, int(x_px) - reach
    light = np.zeros((len(ROLES), 2 * reach + 1, 2 * reach + 1))
    _draw(light, replace(ctc, y_um=(y_px - y0) * px, x_um=(x_px - x0) * px), px, rng)
    dark = replace(optics, offset=0.0, read_noise=0.0, haze=(0.0, 0.0, 0.0, 0.0), vignetting=0.0, shift_px=0.0)
    return _photographed(light, dark, rng), (y0, x0), ctc.diameter_um


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


def write_demo(out: Path) -> None:
    """Write the demonstration's slides and their truth: ``images/SAMPLE/`` and ``truth/SAMPLE.tsv`` below `out`."""
    out = Path(out)
    for number, (sample, slide) in enumerate(_DEMO.items()):
        truth = write_slide(out / "images" / sample, slide, seed=100 + number)
        text = truth.round({"y_px": 1, "x_px": 1, "diameter_um": 2, "ck_contrast": 3}).to_csv(sep="\t", index=False)
        store.write_text(out / "truth" / f"{sample}.tsv", text)
    broken = out / "images" / "P02_1" / "f003.ome.tif"
    whole = broken.read_bytes()
    broken.write_bytes(whole[: len(whole) // 2])


def _dealt(slide: Slide, rng: np.random.Generator) -> list[list[tuple[int, int]]]:
    """Return the groups of CTCs that each frame gets."""
    groups = [(1, 0)] * slide.recipe.ctcs + list(slide.recipe.clusters)
    frames = rng.permutation(np.arange(len(groups)) % slide.frames)
    return [[g for g, f in zip(groups, frames, strict=True) if f == number] for number in range(slide.frames)]


def _placed(slide: Slide, groups: Sequence[tuple[int, int]], rng: np.random.Generator) -> list[Thing]:
    """Return the frame's objects, CTCs first, each clear of those before it but for some leukocytes that touch."""
    recipe, px = slide.recipe, slide.optics.pixel_size_um
    height, width = (n * px for n in slide.shape)
    taken: list[Thing] = []
    discs = np.empty((0, 3))  # y, x and radius of each, um

    def put(thing: Thing) -> None:
        nonlocal discs
        taken.append(thing)
        discs = np.vstack([discs, (thing.y_um, thing.x_um, thing.diameter_um / 2)])

    def free_spot(radius: float, gap: float, margin: float) -> tuple[float, float] | None:
        apart = (discs[:, 2] + radius + gap) ** 2
        for _ in range(60):
            y, x = rng.uniform(margin, height - margin), rng.uniform(margin, width - margin)
            if ((discs[:, 0] - y) ** 2 + (discs[:, 1] - x) ** 2 > apart).all():
                return y, x
        return None

    for number, (n_ctc, n_leukocyte) in enumerate(groups, start=1):
        members = [_ctc(recipe, rng) for _ in range(n_ctc)] + [_leukocyte(recipe, rng) for _ in range(n_leukocyte)]
        members = _huddled(members, rng)
        radius = max(np.hypot(m.y_um, m.x_um) + m.diameter_um / 2 for m in members)
        spot = free_spot(radius, 4.0, radius + 2)
        if spot is None:
            raise ValueError("no room for a CTC: fewer things or a larger frame")
        cluster = number if n_ctc + n_leukocyte > 1 else 0
        for m in members:
            put(replace(m, y_um=m.y_um + spot[0], x_um=m.x_um + spot[1], cluster=cluster))
    makers = {"bare_nuclei": _bare_nucleus, "aggregates": _aggregate, "apoptotic": _apoptotic}
    makers |= {"fragments": _fragment, "specks": _speck}
    things = [make(rng) for share, make in makers.items() for _ in range(rng.poisson(getattr(recipe, share)))]
    things += [_leukocyte(recipe, rng) for _ in range(rng.poisson(recipe.leukocytes))]
    for thing in things:
        spot = free_spot(
            thing.diameter_um / 2, 3.0 if thing.kind not in LEUKOCYTE_KINDS else rng.choice([0.0, 2.0]), 0.0
        )
        if spot is not None:
            put(replace(thing, y_um=spot[0], x_um=spot[1]))
    return taken


def _huddled(members: list[Thing], rng: np.random.Generator) -> list[Thing]:
    """Return the members of a group moved together, each touching one that is already there, and centred on zero."""
    placed: list[Thing] = []
    for member in members:
        if not placed:
            placed.append(member)
            continue
        for _ in range(200):
            host = placed[rng.integers(len(placed))]
            angle = rng.uniform(0, 2 * np.pi)
            reach = 0.94 * (host.diameter_um + member.diameter_um) / 2
            y, x = host.y_um + reach * np.sin(angle), host.x_um + reach * np.cos(angle)
            clear = [
                (t.y_um - y) ** 2 + (t.x_um - x) ** 2 >= (0.9 * (t.diameter_um + member.diameter_um) / 2) ** 2
                for t in placed
            ]
            if all(clear):
                break
        placed.append(replace(member, y_um=y, x_um=x))
    return placed


def _ctc(recipe: Recipe, rng: np.random.Generator, y_um: float = 0.0, x_um: float = 0.0) -> Thing:
    median, spread = recipe.ctc_diameter_um
    diameter = float(np.clip(median * np.exp(rng.normal(0, spread)), 5.0, 35.0))
    weak = rng.random() < recipe.weak_ck
    ck = recipe.ck * np.exp(rng.normal(0, 0.35)) * (0.25 if weak else 1.0)
    light = {"dna": _about(0.28, 0.25, rng), "ck": float(np.clip(ck, 0.02, 0.85)), "cd45": 0.002, "fitc": 0.01}
    kind = "ctc_weak_ck" if weak else "ctc"
    if recipe.marker_positive and rng.random() < recipe.marker_positive:
        kind = "ctc_marker_nucleus" if recipe.marker_in_nucleus else "ctc_marker"
        light["fitc"] = _about(0.45, 0.25, rng)
    return Thing(kind, y_um, x_um, diameter, diameter * rng.uniform(0.6, 0.75), light)


def _leukocyte(recipe: Recipe, rng: np.random.Generator) -> Thing:
    draw = rng.random()
    granulocyte = rng.random() < recipe.granulocytes
    diameter = _about(11.0 if granulocyte else 9.0, 0.07, rng)
    light = {"dna": _about(0.3, 0.2, rng), "ck": _about(0.006, 0.5, rng), "cd45": _about(0.15, 0.4, rng)}
    light["fitc"] = _about(0.02, 0.8, rng)
    kind = "granulocyte" if granulocyte else "lymphocyte"
    if draw < recipe.leukocyte_ck:
        kind, light["ck"] = "leukocyte_ck", _about(0.12, 0.4, rng)
    elif draw < recipe.leukocyte_ck + recipe.leukocyte_weak_cd45:
        kind, light["cd45"] = "leukocyte_weak_cd45", _about(0.025, 0.3, rng)
    nucleus = diameter * (0.62 if granulocyte else 0.78)
    return Thing(kind, 0.0, 0.0, diameter, nucleus, light)


def _bare_nucleus(rng: np.random.Generator) -> Thing:
    diameter = _about(7.5, 0.15, rng)
    return Thing("bare_nucleus", 0.0, 0.0, diameter, diameter, {"dna": _about(0.22, 0.3, rng)})


def _aggregate(rng: np.random.Generator) -> Thing:
    light = {role: _about(0.5, 0.3, rng) for role in ROLES}
    return Thing("dye_aggregate", 0.0, 0.0, float(rng.uniform(4, 14)), 0.0, light)


def _apoptotic(rng: np.random.Generator) -> Thing:
    light = {"dna": _about(0.3, 0.3, rng), "ck": _about(0.2, 0.4, rng), "fitc": 0.01}
    return Thing("apoptotic", 0.0, 0.0, _about(9.0, 0.15, rng), 3.0, light)


def _fragment(rng: np.random.Generator) -> Thing:
    return Thing("fragment", 0.0, 0.0, float(rng.uniform(3, 8)), 0.0, {"ck": _about(0.2, 0.5, rng)})


def _speck(rng: np.random.Generator) -> Thing:
    return Thing("speck", 0.0, 0.0, float(rng.uniform(1, 2)), 0.0, {rng.choice(ROLES): _about(0.3, 0.5, rng)})


def _about(median: float, spread: float, rng: np.random.Generator) -> float:
    return float(median * np.exp(rng.normal(0, spread)))


def _is_whole(thing: Thing, slide: Slide) -> bool:
    px, r = slide.optics.pixel_size_um, thing.diameter_um / 2
    return bool(r < thing.y_um < slide.shape[0] * px - r and r < thing.x_um < slide.shape[1] * px - r)


def _draw(light: Floats, thing: Thing, px: float, rng: np.random.Generator) -> None:
    """Add one object to the light of all channels, before any optics."""
    reach = int(thing.diameter_um / px) + 4
    cy, cx = thing.y_um / px, thing.x_um / px
    y0, x0 = max(0, int(cy) - reach), max(0, int(cx) - reach)
    y1, x1 = min(light.shape[1], int(cy) + reach + 1), min(light.shape[2], int(cx) + reach + 1)
    if y0 >= y1 or x0 >= x1:
        return
    y, x = np.mgrid[y0:y1, x0:x1]
    y, x = (y - cy) * px, (x - cx) * px
    window = np.s_[y0:y1, x0:x1]
    body = _blob(y, x, thing.diameter_um, rng, rough=0.35 if thing.kind == "dye_aggregate" else 0.06)
    nucleus = _nucleus(y, x, thing, rng)
    texture = 1 + 0.25 * _smooth_noise(body.shape, 1.5 / px, rng)
    for k, role in enumerate(ROLES):
        amount = thing.light.get(role, 0.0)
        if role == "dna":
            shape = nucleus * (1 + 0.15 * _smooth_noise(body.shape, 1.0 / px, rng)) if thing.nucleus_um else body
        elif role == "ck" and thing.nucleus_um:
            shape = body * (1 - 0.45 * nucleus) * texture
        elif role == "fitc" and thing.kind == "ctc_marker_nucleus":
            shape = nucleus * texture
        elif role == "cd45" and thing.nucleus_um:
            rim = np.clip(np.hypot(y, x) / (thing.diameter_um / 2), 0, 1)
            shape = body * (0.45 + 0.55 * rim**3) * texture
        else:
            shape = body * texture
        light[k][window] += amount * np.clip(shape, 0, None)


def _blob(y: Floats, x: Floats, diameter: float, rng: np.random.Generator, rough: float) -> Floats:
    """Return a soft disc with a wavy outline, 0 to 1."""
    angle = np.arctan2(y, x)
    waves = [rough / k * np.sin(k * angle + rng.uniform(0, 2 * np.pi)) for k in (2, 3, 4)]
    return expit((diameter / 2 * (1 + np.sum(waves, axis=0)) - np.hypot(y, x)) / 0.12)


def _nucleus(y: Floats, x: Floats, thing: Thing, rng: np.random.Generator) -> Floats:
    size = thing.nucleus_um
    if not size:
        return np.zeros(y.shape)
    if thing.kind == "apoptotic":
        spots = [(rng.normal(0, 2.0), rng.normal(0, 2.0), rng.uniform(1.2, 2.2)) for _ in range(5)]
        return np.max([_blob(y - a, x - b, d, rng, 0.05) for a, b, d in spots], axis=0)
    lobed = thing.kind == "granulocyte" or (
        thing.kind in LEUKOCYTE_KINDS[2:] and thing.nucleus_um < 0.7 * thing.diameter_um
    )
    if not lobed:
        shift = rng.normal(0, 0.05 * (thing.diameter_um - size), 2)
        return _blob(y - shift[0], x - shift[1], size, rng, 0.06)
    lobes, turn = int(rng.integers(2, 5)), rng.uniform(0, 2 * np.pi)
    parts = []
    for k in range(lobes):
        angle = turn + k * 4.2 / max(lobes - 1, 1)
        parts.append(_blob(y - 0.3 * size * np.sin(angle), x - 0.3 * size * np.cos(angle), 0.58 * size, rng, 0.08))
    return np.max(parts, axis=0)


def _smooth_noise(shape: tuple[int, ...], sigma: float, rng: np.random.Generator) -> Floats:
    noise = cv2.GaussianBlur(rng.normal(size=shape), (0, 0), max(sigma, 0.5)).astype(np.float64)
    return noise / max(float(noise.std()), 1e-9)


def _photographed(light: Floats, optics: Optics, rng: np.random.Generator) -> NDArray[np.uint16]:
    """Return the counts that the camera gives for the light of each channel."""
    full = 2**optics.bit_depth - 1
    height, width = light.shape[1:]
    y, x = np.mgrid[:height, :width]
    off_axis = ((y / height - 0.5) ** 2 + (x / width - 0.5) ** 2) / 0.5
    shade = 1 - optics.vignetting * off_axis
    out = np.empty(light.shape, np.uint16)
    for k in range(len(light)):
        signal = light[k] + (optics.bleed * light[k - 1] if k else 0.0)
        signal = cv2.GaussianBlur(signal, (0, 0), optics.psf_um / optics.pixel_size_um)
        if k:
            dy, dx = rng.uniform(-optics.shift_px, optics.shift_px, 2)
            move = np.array([[1, 0, dx], [0, 1, dy]])
            signal = cv2.warpAffine(signal, move, (width, height), borderMode=cv2.BORDER_REFLECT)
        counts = (signal * full + optics.haze[k]) * shade
        photons = rng.poisson(np.clip(counts, 0, None) * optics.photons_per_count) / optics.photons_per_count
        counts = photons + optics.offset + rng.normal(0, 1, counts.shape) * optics.read_noise
        out[k] = np.clip(np.round(counts), 0, full)
    return out


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


_HDSCA = Optics(pixel_size_um=0.591, offset=20.0, haze=(15.0, 70.0, 30.0, 20.0), photons_per_count=2.0)
_CRC = (8.5, 0.18)  # colorectal CTCs are small


_QUIET = Optics(read_noise=1.5, photons_per_count=14.0)  # noise does not compress, and these frames live in git


def _demo_slide(**recipe: Any) -> Slide:
    return Slide(frames=3, optics=_QUIET, recipe=Recipe(leukocytes=70, **recipe))


_DEMO = {
    "P01_1": _demo_slide(ctcs=9, clusters=((2, 0), (1, 1))),
    "P01_2": _demo_slide(ctcs=2),
    "P02_1": _demo_slide(ctcs=14, clusters=((3, 0), (2, 1), (5, 0))),
    "P03_1": Slide(
        frames=6,
        layout="files",
        optics=_HDSCA,
        channel_names=("DAPI", "CK", "CD45", "FITC"),
        recipe=Recipe(leukocytes=90, ctcs=4, ctc_diameter_um=_CRC, clusters=((2, 0),)),
    ),
    "D01_1": _demo_slide(),
}
"""The demonstration: one patient with two draws, one with clusters and a broken frame, one on the other kind of slide,
and a healthy donor."""
