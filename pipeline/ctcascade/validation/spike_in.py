"""Spike-in: phantom CTCs of known number are pasted into frames without any; `recovery` reads what came out.

The frames are those of a laboratory's healthy donors, or phantom ones where it has none.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ctcascade import formats
from ctcascade.data import store
from ctcascade.data.camera import Camera
from ctcascade.data.errors import refuse
from ctcascade.data.tables import SPIKED
from ctcascade.data.vocabulary import ROLES
from ctcascade.formats import Frame, FrameError, listing
from ctcascade.images.background import correct
from ctcascade.images.segment import segment
from ctcascade.study.jobs import SpikeJob
from ctcascade.validation import phantom

_MOST = 24  # CTCs in one frame: with more of them a source is used again
_CLEAR_UM = 3.0  # between pasted CTCs of the median size; other cells they may touch
_SHAPE = (512, 512)  # of a phantom frame
_LEUKOCYTES = 120  # on a phantom frame
_NUCLEUS = 0.24  # mean DNA over a phantom nucleus, as a share of the camera's range

Floats = NDArray[np.float64]


class Source(NamedTuple):
    """A frame without CTCs: its name, pixels, and the blood that it stands for (None for a phantom)."""

    name: str
    frame: Frame
    blood_ml: float | None


def spike(settings: SpikeJob, base: Path, images: Path, spiked: Path) -> None:
    """Write the spiked frames of every level, ``level_K/*.ome.tif``, and the table of what was pasted where.

    Parameters
    ----------
    settings : SpikeJob
        Without a sample, the frames are phantom ones.
    base : Path
        The folder that image paths are relative to.
    images : Path
        Folder to write into.
    spiked : Path
        Table to write, as `tables.SPIKED`.

    Raises
    ------
    InputError
        If the samples have too few frames that can be read, or a frame has no room for its CTCs.

    Notes
    -----
    The CTCs of a level are dealt evenly to the frames, at most 24 each; where these are too few, they are used again
    with other CTCs. A CTC lies where the frame has no cell, touching one at most, and apart from other CTCs. Its DNA is
    as bright as the frame's own nuclei; its cytokeratin is `ck` of the camera's range, in the median, and a quarter of
    that in a share of `weak_ck`.
    """
    cv2.setNumThreads(1)
    rows = []
    of, sources = _sources(settings, Path(base))
    for number, source in enumerate(sources):
        rng = np.random.default_rng([settings.random_seed, 1, number])
        clear, gain = _surroundings(source, settings)
        written = _slide_like(source.frame, settings.assay)
        about = {"source": source.name, "blood_ml": source.blood_ml, "pixel_size_um": source.frame.pixel_size_um}
        for level, total in enumerate(settings.levels):
            copies = max(of, -(-total // _MOST))
            for copy in range(number, copies, of):
                share = total // copies + (copy < total % copies)
                pixels, places = _pasted(source, share, clear, gain, settings, rng)
                name = f"f{copy + 1:04d}"
                phantom.write_frame(Path(images) / f"level_{level}", name, pixels, written)
                rows += [{"level": level, "frame": name, **about, **place} for place in places or [{}]]
    table = pd.DataFrame(rows, columns=[column.name for column in SPIKED.columns]).sort_values(
        ["level", "frame"], kind="stable", ignore_index=True
    )
    store.write_table(spiked, "spiked", table, store.provenance(settings, {}))


def _sources(settings: SpikeJob, base: Path) -> tuple[int, Iterator[Source]]:
    """Return how many frames are pasted into, and these frames one by one."""
    if not settings.samples:
        return settings.frames, (_phantom(settings, number) for number in range(settings.frames))
    listed = []
    for sample in settings.samples:
        refs = listing.list_frames(sample.images, base, sample.format, settings.assay).frames
        blood_ml = sample.blood_volume_ml * sample.sampled_fraction / len(refs)
        listed += [(f"{sample.sample}/{ref.frame}", ref, blood_ml) for ref in refs]
    of = min(settings.frames, len(listed))
    first = [number * len(listed) // of for number in range(of)]  # evenly; the others stand in for what is broken
    order = [*first, *sorted(set(range(len(listed))) - set(first))]

    def readable() -> Iterator[Source]:
        n = 0
        for name, ref, blood_ml in (listed[k] for k in order):
            try:
                frame = formats.read(ref, settings.assay)
            except FrameError:
                continue
            yield Source(name, frame, blood_ml)
            n += 1
            if n == of:
                return
        named = ", ".join(sample.sample for sample in settings.samples)
        refuse(
            f"samples with role healthy ({named})", "", f"{n} frames that can be read", f"{of}", "lower recovery.frames"
        )

    return of, readable()


def _phantom(settings: SpikeJob, number: int) -> Source:
    assay = settings.assay
    optics = phantom.Optics(pixel_size_um=assay.pixel_size_um)
    slide = phantom.Slide(1, _SHAPE, optics, phantom.Recipe(leukocytes=_LEUKOCYTES))
    pixels, _ = phantom.render(slide, [], np.random.default_rng([settings.random_seed, 0, number]))
    full = 2.0**assay.bit_depth - 1
    scaled = np.round(pixels * (full / (2**optics.bit_depth - 1))).astype(np.float32)
    roles = (*ROLES, *(role for role in assay.channels if role not in ROLES))[: len(scaled)]
    frame = Frame(scaled[: len(roles)], roles, assay.pixel_size_um, full)
    return Source(f"phantom/{number + 1}", frame, None)


def _surroundings(source: Source, settings: SpikeJob) -> tuple[Floats, float]:
    """Return each pixel's distance from cells and border, um, and how bright nuclei are beside a phantom's."""
    frame = source.frame
    px = frame.pixel_size_um
    channels = {role: correct(plane, px, settings.detect.background, step) for role, plane, step in frame.planes}
    found = segment(frame, channels, settings.detect)
    free = np.pad((found.cells == 0).astype(np.uint8), 1)
    distance = cv2.distanceTransform(free, cv2.DIST_L2, 5)[1:-1, 1:-1].astype(np.float64) * px
    area = np.bincount(found.nuclei.ravel())[1:]
    light = np.bincount(found.nuclei.ravel(), weights=channels["dna"].signal.ravel())[1:]
    means = light[area > 0] / area[area > 0]
    usual = float(np.median(means)) if len(means) else _NUCLEUS * frame.ceiling
    return distance, usual / (_NUCLEUS * frame.ceiling)


def _pasted(
    source: Source, n: int, clear_um: Floats, gain: float, settings: SpikeJob, rng: np.random.Generator
) -> tuple[NDArray[np.uint16], list[dict[str, float]]]:
    """Return the pixels of a frame with `n` CTCs, and where these lie."""
    frame, diameter = source.frame, settings.ctc_diameter_um
    optics = phantom.Optics(pixel_size_um=frame.pixel_size_um)
    recipe = phantom.Recipe(ctc_diameter_um=(diameter, 0.2), ck=settings.ck, weak_ck=settings.weak_ck)
    scale = np.full(len(ROLES), frame.ceiling / (2**optics.bit_depth - 1))
    scale[ROLES.index("dna")] *= gain
    apart_px = math.ceil((diameter + _CLEAR_UM) / frame.pixel_size_um)
    free = (clear_um >= diameter / 2).astype(np.uint8)
    pixels = frame.pixels.copy()
    places: list[dict[str, float]] = []
    for _ in range(n):
        candidates = np.flatnonzero(free)
        if not len(candidates):
            todo = "give more frames (recovery.frames) or fewer CTCs (recovery.levels)"
            refuse(f"frame {source.name}", "", f"room for {len(places)} CTCs", f"room for {n}", todo)
        y, x = np.unravel_index(rng.choice(candidates), free.shape)
        cv2.circle(free, (int(x), int(y)), apart_px, 0, -1)
        y_px, x_px = (float(at + rng.uniform(-0.5, 0.5)) for at in (y, x))
        patch, (y0, x0), size_um = phantom.lit_ctc(optics, recipe, y_px, x_px, rng)
        inside = np.s_[max(y0, 0) : y0 + patch.shape[1], max(x0, 0) : x0 + patch.shape[2]]
        for k, role in enumerate(ROLES):
            plane = pixels[frame.roles.index(role)][inside]
            plane += scale[k] * patch[k, max(-y0, 0) :, max(-x0, 0) :][: plane.shape[0], : plane.shape[1]]
        places.append({"y_px": y_px, "x_px": x_px, "diameter_um": size_um})
    return np.clip(np.round(pixels), 0, frame.ceiling).astype(np.uint16), places


def _slide_like(frame: Frame, assay: Camera) -> phantom.Slide:
    """Return how a frame is written so that the assay's reader finds its channels and its pixel size."""
    bits = math.ceil(math.log2(frame.ceiling + 1))
    names = tuple(assay.channels[role][0] for role in frame.roles)
    return phantom.Slide(1, optics=phantom.Optics(frame.pixel_size_um, bit_depth=bits), channel_names=names)
