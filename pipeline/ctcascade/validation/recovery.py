"""A spike-in without a tube: phantom CTCs of known number in frames without any, and how many come out as calls.

It measures how well CTCs are found and called among a laboratory's own cells and background. What the tube or the
enrichment loses is no part of it, nor are CTCs that look otherwise than the phantom's.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pandas as pd
import yaml
from numpy.typing import NDArray
from scipy import optimize, stats

from ctcascade import __version__, evidence, formats
from ctcascade.data import store
from ctcascade.data.camera import Camera
from ctcascade.data.errors import refuse
from ctcascade.data.tables import SPIKED
from ctcascade.data.vocabulary import REFERENCE_VOLUME_ML, ROLES
from ctcascade.formats import Frame, FrameError, listing
from ctcascade.images.background import correct
from ctcascade.images.segment import segment
from ctcascade.study.jobs import RecoveryJob, SpikeJob
from ctcascade.validation import phantom

_MOST = 24  # CTCs in one frame: with more of them a source is used again
_CLEAR_UM = 3.0  # between pasted CTCs of the median size; other cells they may touch
_NEAR_UM = 4.0  # a call this near to a pasted CTC is that CTC
_SHAPE = (512, 512)  # of a phantom frame
_LEUKOCYTES = 120  # on a phantom frame
_NUCLEUS = 0.24  # mean DNA over a phantom nucleus, as a share of the camera's range
_LEVEL = 0.95
_PUBLISHED = "reference_recovery_linear"
_TITLE = "In-silico spike-in: how CTCs are found and called, not how the tube captures them"
_HEAD = """# {name} with what its in-silico spike-in found (ctcascade recovery).
# To use it, copy this file into the folder of assays and name it in the sample sheet.
"""

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
        Table to write, as `schema.SPIKED`.

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


def recovery(settings: RecoveryJob, spiked: Path, calls: Sequence[Path], out: Path, assay_out: Path) -> None:
    """Write what came out of each level and the line through them, and the assay with what was measured.

    Parameters
    ----------
    settings : RecoveryJob
    spiked : Path
        Table of `spike`.
    calls : sequence of Path
        Calls of each level's frames, in the order of the levels.
    out : Path
        JSON to write, as `results.Recovery`.
    assay_out : Path
        YAML to write: the assay's file with the sensitivity and, from a laboratory's own frames, the background that
        were found.

    Raises
    ------
    InputError
        If a file is not a table of this program.

    Notes
    -----
    A pasted CTC is found where a call ``ctc`` lies within 4 um of it, one call for one CTC; other such calls are false.
    The line is ``observed = intercept + slope * expected``, by least squares with weights 1 / max(expected, 1), as the
    variance of a count grows with it; limits are those of Student's t. R2 is the squared correlation of observed and
    expected, its limits by Fisher's transformation. Sensitivity has Jeffreys' Beta posterior over all pasted CTCs, the
    background Jeffreys' Gamma posterior over the false calls of the frames into which none was pasted.
    """
    pasted = store.read_table(spiked, "spiked")
    levels = [
        _level(total, pasted[pasted["level"] == k], store.read_table(path, "calls"))
        for k, (total, path) in enumerate(zip(settings.levels, calls, strict=True))
    ]
    sources = pasted.drop_duplicates("source")
    samples = [] if sources["blood_ml"].isna().any() else sorted({name.split("/")[0] for name in sources["source"]})
    what = f"frames of {', '.join(samples)}" if samples else "phantom frames"
    sensitivity = _sensitivity(levels, f"{len(sources)} {what}", settings)
    background, why = _background(levels, pasted, samples)
    made_by = store.provenance(
        settings, {"spiked": spiked, **{f"calls {k}": path for k, path in enumerate(calls)}}, evidence.evidence_hash()
    )
    result = {
        "assay": settings.assay.name,
        "title": _TITLE,
        "background": "samples" if samples else "phantom",
        "samples": samples,
        "n_frames": len(sources),
        "ctc": {"ctc_diameter_um": settings.ctc_diameter_um, "ck": settings.ck, "weak_ck": settings.weak_ck},
        "levels": levels,
        "regression": _regression(levels),
        "sensitivity": sensitivity,
        "background_per_7_5_ml": background,
        "why_no_background": why,
        "published": _published(),
        "provenance": made_by,
    }
    store.write_json(out, "recovery", result)
    found = {"sensitivity": sensitivity} | ({"background_per_7_5_ml": background} if background else {})
    text = yaml.safe_dump({**settings.assay.written, **found}, sort_keys=False, allow_unicode=True, width=110)
    store.write_text(assay_out, _HEAD.format(name=settings.assay.name) + text)


def line(x: Floats, y: Floats, level: float = _LEVEL) -> dict[str, dict[str, float]]:
    """Return slope, intercept and R2 of the weighted line through (x, y), each with its limits; see `recovery`."""
    from statsmodels.regression.linear_model import WLS  # noqa: PLC0415  (slow to load)

    fit = WLS(y, np.stack([np.ones(len(x)), x], axis=1), weights=1 / np.maximum(x, 1)).fit()
    intercept, slope = (
        {"estimate": float(value), "low": float(low), "high": float(high), "level": level}
        for value, (low, high) in zip(fit.params, fit.conf_int(1 - level), strict=True)
    )
    r, r_low, r_high = 0.0, 0.0, 0.0
    if np.ptp(y):
        correlation = stats.pearsonr(x, y)
        r, (r_low, r_high) = float(correlation.statistic), correlation.confidence_interval(level)
    r2 = {"estimate": r**2, "low": float(max(r_low, 0.0) ** 2), "high": float(r_high**2), "level": level}
    return {"slope": slope, "intercept": intercept, "r2": r2}


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
    channels = {role: correct(plane, px) for role, plane in zip(frame.roles, frame.pixels, strict=True)}
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


def _level(total: int, pasted: pd.DataFrame, calls: pd.DataFrame) -> dict[str, Any]:
    ctcs = calls[calls["call"] == "ctc"]
    place = ["y_px", "x_px"]
    found = 0
    for frame, here in pasted[pasted["y_px"].notna()].groupby("frame"):
        called = ctcs[ctcs["frame"] == frame]
        gap = np.linalg.norm(here[place].to_numpy(float)[:, None] - called[place].to_numpy(float)[None], axis=2)
        gap *= float(here["pixel_size_um"].iloc[0])
        pairs = optimize.linear_sum_assignment(np.minimum(gap, 2 * _NEAR_UM))
        found += int((gap[pairs] <= _NEAR_UM).sum())
    return {
        "expected": total,
        "observed": len(ctcs),
        "found": found,
        "false": len(ctcs) - found,
        "n_frames": pasted["frame"].nunique(),
        "recovery": _share(found, total) if total else None,
    }


def _share(found: int, of: int) -> dict[str, float]:
    low, high = stats.beta(found + 0.5, of - found + 0.5).ppf([(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    estimate = found / of
    return {"estimate": estimate, "low": min(float(low), estimate), "high": max(float(high), estimate), "level": _LEVEL}


def _regression(levels: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    x, y = (np.array([level[key] for level in levels], np.float64) for key in ("expected", "observed"))
    return {
        "model": "observed = intercept + slope * expected, least squares, limits by Student's t",
        "weights": "1 / max(expected, 1): the variance of a count grows with it",
        **line(x, y),
        "n_levels": len(levels),
    }


def _sensitivity(levels: Sequence[Mapping[str, Any]], what: str, settings: RecoveryJob) -> dict[str, Any]:
    found, total = (sum(level[key] for level in levels) for key in ("found", "expected"))
    posterior = stats.beta(found + 0.5, total - found + 0.5)
    low, high = posterior.ppf([(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    source = (
        f"In-silico spike-in by ctcascade {__version__} (random seed {settings.random_seed}): {found} of {total} "
        f"phantom CTCs (median {settings.ctc_diameter_um:g} um, cytokeratin {settings.ck:g} of the camera's "
        f"range, a quarter of it in {settings.weak_ck:.0%}) pasted into {what} were called. The limits carry chance "
        "alone: CTCs that are dimmer, smaller or hidden are found less often, and no human reader was asked."
    )
    mean = float(posterior.mean())
    return {
        "mean": mean,
        "low": min(float(low), mean),
        "high": max(float(high), mean),
        "kind": "derived",
        "source": source,
    }


def _background(
    levels: Sequence[Mapping[str, Any]], pasted: pd.DataFrame, samples: Sequence[str]
) -> tuple[dict[str, Any] | None, str]:
    """Return the false calls in 7.5 mL of blood without CTCs, or why they are not known."""
    if not samples:
        return None, "phantom frames are no blood: what is called falsely in them says nothing of a laboratory's blood"
    empty = [k for k, level in enumerate(levels) if level["expected"] == 0]
    if not empty:
        return None, "no level without CTCs"
    here = pasted[pasted["level"] == empty[0]]
    exposure = float(here["blood_ml"].sum()) / REFERENCE_VOLUME_ML
    false = levels[empty[0]]["false"]
    posterior = stats.gamma(false + 0.5, scale=1 / exposure)
    low, high = posterior.ppf([(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    source = (
        f"{false} CTC calls by ctcascade {__version__} in {len(here)} frames of {', '.join(samples)}, without CTCs, "
        f"which stand for {exposure * REFERENCE_VOLUME_ML:.3g} mL of blood."
    )
    factor = {"mean": float(posterior.mean()), "low": float(low), "high": float(high)}
    return {**factor, "kind": "measured", "source": source}, ""


def _published() -> dict[str, Any]:
    found = evidence.cite(f"assay_facts/{_PUBLISHED}")
    kept = {key: found.text(key) for key in ("meaning", "locator", "how_read", "note")}
    cited = {"citation": found.citation, "identifier": found.identifier}
    return {"evidence_id": _PUBLISHED, "least_recovery": float(found.row["central"]), **kept, **cited}
