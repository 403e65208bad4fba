"""Frames, cells and calls to a verdict on the sample's quality: each check with its value and the limits it is held to.

Limits are settings, no facts of biology: a laboratory sets them from its own runs. A sample that fails a limit keeps
its count; one of which a claim fails that its calls rest on has none (`calling.stains`).
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ctcascade import evidence
from ctcascade.data import lineage, store
from ctcascade.data.results import Check, CheckState, FrameQuality, Quality, State, Stated
from ctcascade.data.vocabulary import AT_LEAST
from ctcascade.study.fields import Limits
from ctcascade.study.jobs import QualityJob
from ctcascade.study.sample import PreAnalytics
from ctcascade.study.settings import FrameLimits

_RULER = "median diameter of leukocytes' nuclei against the published range: outside it where above 1"
_ENOUGH_NUCLEI = 20
STATES: tuple[State, ...] = ("ok", "warn", "fail")
_SHARES = {
    "focus": ("weak_focus_share", "share of usable frames without a sharp edge"),
    "saturation": ("saturated_share", "share of usable frames with a saturated channel"),
    "unevenness": ("uneven_share", "share of usable frames that are lit unevenly"),
}

_PREANALYTICS = {
    "tube_fill_ml": ("mL", "blood in the tube: a tube filled too little holds too much preservative for its blood"),
    "storage_temperature_c": ("°C", "temperature at which the tube was kept until it was processed"),
    "draw_order": ("", "place of the tube in the draw: the first may hold cells of the skin that the needle cut"),
    "haemolysis": ("", "haemolysis of the plasma, as graded by the laboratory"),
    "days_since_anthracycline": ("days", "since the last anthracycline, which itself fluoresces in cells"),
}
"""Unit and meaning of each; no limit of any is published for counts of CTCs that a table of evidence could cite."""
_MEASURED = ("frame", "cell", "cd45_mean", "cd45_ring_mean", "nucleus_area_um2", "touches_border")


def quality(job: QualityJob, frames: Path, cells: Path, calls: Path, out: Path) -> None:
    """Write the quality of a sample, as `results.Quality`.

    Parameters
    ----------
    job : QualityJob
    frames, cells, calls : Path
        Tables of the sample.
    out : Path
        JSON to write.

    Raises
    ------
    InputError
        If a file is not a table of this program.
    """
    tables = {"frames": frames, "cells": cells, "calls": calls}
    lineage.refuse_strangers(job.sample.sample, tables)
    fields = store.read_table(frames, "frames")
    found = store.read_table(cells, "cells", only=_MEASURED)  # a slide has millions of cells
    called = store.read_table(calls, "calls", only=["frame", "cell", "call"])
    lights = _frame_lights(fields, job.frame)
    measured = _measured(fields, found, called, lights, job.sample.hours_to_processing)
    checks = tuple(_judged(*check, getattr(job, check[0])) for check in measured)
    reference = store.table_provenance(calls).reference
    claims = reference.claims if reference else ()
    states: list[State] = ["ok", *(check.state for check in checks if check.state != "not_measured")]
    states += ["fail" for claim in claims if claim.verdict == "fails"]
    result = Quality(
        sample=job.sample.sample,
        lot=job.sample.lot,
        tube=job.sample.tube,
        hours_to_processing=job.sample.hours_to_processing,
        preanalytics=_stated(job.sample),
        status=max(states, key=STATES.index),
        checks=checks,
        claims=claims,
        frames=lights,
        frame_states={state: sum(light.state == state for light in lights) for state in STATES},
        lost_frames=_tally(fields.loc[~fields["usable"], "reason"]),
        flagged_frames=_tally(flag for text in fields["flags"] for flag in text.split(",") if flag),
        provenance=store.provenance(job, tables),
    )
    store.write_json(out, result)


def _stated(sample: PreAnalytics) -> tuple[Stated, ...]:
    """Return what the sheet states of the blood before processing, in the order of the columns."""
    given = ((name, getattr(sample, name)) for name in PreAnalytics.model_fields)
    return tuple(
        Stated(name=name, value=f"{value:g}" if isinstance(value, float) else str(value), unit=unit, meaning=meaning)
        for name, value in given
        if value is not None
        for unit, meaning in (_PREANALYTICS[name],)
    )


def _tally(words: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(words).items()))


def _frame_lights(frames: pd.DataFrame, settings: FrameLimits) -> tuple[FrameQuality, ...]:
    """Return of each frame which checks are beyond which limit."""
    limits: dict[str, Limits] = dict(settings)
    background = frames["background"].to_numpy(np.float64)
    usual = float(np.median(background[frames["usable"]])) if frames["usable"].any() else np.nan
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.maximum(background / usual, usual / background)
    values = {check: ratio if check == "background_ratio" else frames[check].to_numpy(np.float64) for check in limits}
    states = {check: [_state(check, v, *limits[check]) for v in each] for check, each in values.items()}
    lights = []
    for row, (frame, usable) in enumerate(zip(frames["frame"], frames["usable"], strict=True)):
        warn, fail = (tuple(c for c in states if states[c][row] == state) for state in ("warn", "fail"))
        if not usable:
            warn, fail = (), ("usable",)
        worst: State = "fail" if fail else "warn" if warn else "ok"
        lights.append(FrameQuality(frame=frame, state=worst, warn=warn, fail=fail))
    return tuple(lights)


def _measured(
    frames: pd.DataFrame,
    cells: pd.DataFrame,
    calls: pd.DataFrame,
    lights: Sequence[FrameQuality],
    hours: float | None,
) -> list[tuple[str, str, float | None]]:
    """Return (check, meaning, value) of each check; None where there is nothing to measure it on."""
    usable = frames[frames["usable"]]
    area, whole = (float(frames[name].to_numpy(np.float64).sum()) for name in ("area_um2", "frame_area_um2"))
    measured: list[tuple[str, str, float | None]] = [
        ("lost_area_share", "share of the imaged area that could not be analysed", 1 - area / whole if whole else 1.0)
    ]
    for check, (name, meaning) in _SHARES.items():
        beyond = [check in light.warn + light.fail for light in lights if light.fail != ("usable",)]
        measured.append((name, meaning, float(np.mean(beyond)) if beyond else None))
    background = usable["background"].to_numpy(np.float64)
    level = float(background.mean()) if len(background) else 0.0
    spread = float(background.std()) / level if level > 0 else None
    measured.append(("background_cv", "spread of the DNA background from frame to frame, relative to its mean", spread))
    shifts = usable["registration_um"].dropna().to_numpy(np.float64)
    apart = float(np.median(shifts)) if len(shifts) else None
    measured.append(("registration_um", "shift of a channel against DNA, um: median over the frames", apart))
    index = _staining_index(usable, cells, calls)
    measured.append(("staining_index", "CD45 of leukocytes above the background, in twice its noise", index))
    nuclei = int((cells["nucleus_area_um2"] > 0).sum())
    measured.append(("nuclei_per_mm2", "nuclei per square millimetre analysed", 1e6 * nuclei / area if area else None))
    measured.append(("leukocyte_nucleus_ratio", _RULER, _nucleus_ratio(cells, calls)))
    measured.append(("hours_to_processing", "hours from the draw to processing", hours))
    return measured


def _staining_index(frames: pd.DataFrame, cells: pd.DataFrame, calls: pd.DataFrame) -> float | None:
    """Return how far leukocytes stand out in CD45: median over twice the noise of the background."""
    leukocytes = calls["call"].to_numpy(object) == "leukocyte"
    noise = float(frames["cd45_noise"].median()) if len(frames) else 0.0
    if not leukocytes.any() or noise <= 0:
        return None
    around = np.nan_to_num(cells["cd45_ring_mean"].to_numpy(float))
    contrast = cells["cd45_mean"].to_numpy(float) - np.maximum(around, 0)
    return float(np.median(contrast[leukocytes])) / (2 * noise)


def _nucleus_ratio(cells: pd.DataFrame, calls: pd.DataFrame) -> float | None:
    """Return by how much the median diameter of leukocytes' nuclei lies outside the published range: 1 is its border.

    Nuclei of leukocytes are the ruler in every image: a wrong pixel size, or another binning, moves them out of it.
    Where hardly any cell is called a leukocyte, all whole nuclei are measured.
    """
    area = cells["nucleus_area_um2"].to_numpy(np.float64)
    whole = (area > 0) & ~cells["touches_border"].to_numpy(bool)
    leukocytes = whole & (calls["call"].to_numpy(object) == "leukocyte")
    measured = area[leukocytes if leukocytes.sum() >= _ENOUGH_NUCLEI else whole]
    if len(measured) < _ENOUGH_NUCLEI:
        return None
    diameter = 2 * math.sqrt(float(np.median(measured)) / math.pi)
    facts = evidence.load("assay_facts")
    low, high = (float(facts[end]["leukocyte_nucleus"]) for end in ("low", "high"))
    return max(low / diameter, diameter / high)


def _judged(check: str, meaning: str, value: float | None, limits: Limits) -> Check:
    warn, fail = limits
    state: CheckState = "not_measured" if value is None else _state(check, value, warn, fail)
    return Check(
        check=check,
        meaning=meaning,
        value=value,
        state=state,
        limit="at least" if check in AT_LEAST else "at most",
        warn=warn,
        fail=fail,
    )


def _state(check: str, value: float, warn: float | None, fail: float | None) -> State:
    """Return the state of a value; of a frame, what is not a number is beyond no limit."""

    def beyond(limit: float | None) -> bool:
        return limit is not None and (value < limit if check in AT_LEAST else value > limit)

    return "fail" if beyond(fail) else "warn" if beyond(warn) else "ok"
