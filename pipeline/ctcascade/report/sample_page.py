"""The page of a sample: count, cells to look at, quality, slide, plots, frames, what the count rests on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pandas as pd

from ctcascade.calling.candidates import DOUBTS, SHOWN_CALLS, UNSHOWN, beside, candidates_of, records
from ctcascade.data import lineage, store
from ctcascade.data.doubts import doubts
from ctcascade.data.results import CallsReference, Claim, Counts, Factor, Operator, Quality, SharedPixels
from ctcascade.data.results.quality import Check
from ctcascade.data.tables import Row
from ctcascade.data.vocabulary import CALLS, CUTOFFS
from ctcascade.report import gallery, overview, scatter
from ctcascade.report.axes import Axis, Tick, ruler
from ctcascade.report.controls import read_charts
from ctcascade.report.numbers import Traced
from ctcascade.report.page import part, write_page
from ctcascade.report.thumbnails import COLOURS, NAMES, Crops
from ctcascade.report.words import notices_of
from ctcascade.study.jobs import ReportSampleJob
from ctcascade.study.reviews import calls_hash

_SHOWN = ("frame", "cell", "equivalent_diameter_um", "nucleus_area_um2", *scatter.MEASURED)
"""Columns of cells that the page shows, beside the mean of each channel."""
_FACTORS = (
    ("recovery", "Recovery", "share of the blood's CTCs that the assay keeps on the slide"),
    ("sensitivity", "Sensitivity", "share of the CTCs on the slide that are called"),
    ("background_per_7_5_ml", "Background", "false CTC calls per 7.5 mL of blood without CTCs"),
    ("reference_equivalent", "Reference equivalent", "recovery relative to the assay that published cut-offs are from"),
    ("tube_to_tube", "Tube to tube", "blood of one tube relative to the patient's, beyond chance and beyond recovery"),
)


@dataclass(frozen=True)
class Light:
    """One line of quality: what, `ok | warn | bad`, and in words."""

    title: str
    state: str
    text: str


@dataclass(frozen=True)
class Strip:
    """A frame-by-frame plot of one quantity; frames without a value are marked at the foot."""

    title: str
    unit: str
    ticks: list[Tick]
    dots: list[tuple[float, float, str]]
    missing: list[tuple[float, str]]


@dataclass(frozen=True)
class Correction:
    """A correction between the cells called and the estimate: its key in counts.json, and what a reader must know."""

    key: str
    name: str
    meaning: str
    kind: str
    source: str


def report_sample(
    job: ReportSampleJob,
    frames: Path,
    cells: Path,
    calls: Path,
    crops: Path,
    counts: Path,
    quality: Path,
    operator: Path,
    out: Path,
    controls: Path | None = None,
    shared: Path | None = None,
    small_frames: Path | None = None,
) -> None:
    """Write a sample's page (count, quality, cells to look at, plots, what the count rests on).

    Parameters
    ----------
    job : ReportSampleJob
    frames, cells, calls, crops, counts, quality, operator : Path
        Tables and results of the sample.
    out : Path
        The page. Cells beyond the first are in ``gallery.js`` beside it.
    controls : Path, optional
        Charts of the controls: a failed one of the sample's assay and lot speaks against the sample.
    shared : Path, optional
        Which samples of the run hold the same images.
    small_frames : Path, optional
        The sample's frames at reduced size, for the overview of the slide.

    Raises
    ------
    InputError
        If a table or the result cannot be read or lacks a column.
    """
    data, judged = store.read_json(counts, Counts), store.read_json(quality, Quality)
    seen = store.read_json(operator, Operator)
    lineage.refuse_strangers(
        data.sample,
        {"frames": frames, "cells": cells, "calls": calls, "crops": crops}
        | ({"overview": small_frames} if small_frames else {}),
        {counts: (data.sample, data), quality: (judged.sample, judged), operator: (seen.sample, seen)},
    )
    frame_table, call_table = store.read_table(frames, "frames"), store.read_table(calls, "calls", UNSHOWN)
    sha256_of_calls = calls_hash(call_table)
    looked_at = beside(
        call_table, store.read_table(cells, "cells", only=[*_SHOWN, *(f"{r}_mean" for r in job.assay.channels)])
    )
    del call_table  # a slide has millions of cells
    looked_at = scatter.with_contrast(looked_at)
    found = candidates_of(looked_at)
    names = {**NAMES, **job.assay.labels}
    compared = store.read_json(shared, SharedPixels) if shared else None
    pictures = Crops(crops, names, small_frames)
    cards = gallery.gallery_of(job, found, looked_at, pictures)
    marked = records(found.head(job.pictured))
    grid = overview.grid_of(frame_table)
    reviewed, reference = verdicts(data), store.table_provenance(calls).reference
    later = out.parent / gallery.FILE
    gallery.write_later(cards, later, lambda cell: part("cards.html", "card", cell, reviewed, names))
    write_page(
        out,
        "sample.html",
        job,
        {"calls": calls, "crops": crops, "counts": counts, "quality": quality, "operator": operator}
        | {gallery.FILE: later}
        | ({"controls": controls} if controls else {})
        | ({"overview": small_frames} if small_frames else {}),
        has_files=bool(cards.later),
        notices=[*notices_of([data]), *(compared.notices if compared else ())],
        donor=job.donor,
        counts=Traced(f"counts/{data.sample}", data),
        axis=ruler(data.ctc_per_7_5_ml),
        odds=reference_odds(data),
        lights=[*lights(data, judged), *judge_lights(reference), layout(pictures)],
        quality=Traced(f"quality/{data.sample}", judged),
        checks=by_verdict(judged.checks, lambda check: check.state),
        claims=by_verdict(data.claims, lambda claim: claim.verdict),
        doubts=doubts(data, judged, read_charts(controls)),
        shared=compared.of_sample(data.sample) if compared else (),
        frame_lights={light.frame: light for light in judged.frames},
        strips=strips(frame_table),
        frames=frame_rows(frame_table),
        cards=cards,
        links=gallery.links(cards),
        beside=gallery.FILE,
        sure=DOUBTS.index(""),
        colours=COLOURS,
        overview=overview.overview(frame_table, grid, pictures.overview, marked) if grid else None,
        scatters=scatter.scatters(looked_at, frame_table, marked, reference, names),
        narrowed={
            **gallery.NARROWED,
            **{f"{r}_contrast": f"{names[r]} above surroundings, counts" for r in ("ck", "cd45")},
        },
        names=names,
        own_ck=job.assay.labels.get("ck"),
        shown_calls=SHOWN_CALLS,
        operator=seen,
        factors=corrections(data),
        gates=sorted(job.assay.gates),
        calls_sha256=sha256_of_calls,
        verdicts=reviewed,
        all_calls=CALLS,
    )


C = TypeVar("C", Check, Claim)


def by_verdict(checks: Sequence[C], verdict: Callable[[C], str]) -> tuple[list[tuple[int, C]], ...]:
    """Return the checks that do not pass, those that do, and those that were not made, each with its place."""
    kinds = (("warn", "fail", "fails"), ("ok", "holds"), ("not_measured", "not_checked"))
    return tuple([item for item in enumerate(checks) if verdict(item[1]) in kind] for kind in kinds)


def lights(counts: Counts, quality: Quality) -> list[Light]:
    """Return the quality lines of a sample; what was lost or flagged is named, nothing is graded beyond that."""
    n, usable, share = counts.n_frames, counts.n_frames_usable, counts.imaged_fraction
    lost = "; ".join(f"{reason} ({k})" for reason, k in quality.lost_frames.items())
    flagged = ", ".join(f"{flag.replace('_', ' ')} ({k})" for flag, k in quality.flagged_frames.items())
    return [
        Light(
            "Frames",
            "ok" if usable == n and n else "warn" if usable else "bad",
            f"{usable} of {n} usable" + (f": {lost}" if lost else ""),
        ),
        Light(
            "Area analysed",
            "ok" if share >= 1 else "warn" if share > 0 else "bad",
            "all of the imaged area"
            if share >= 1
            else "a part of the imaged area; the count is scaled up for the rest"
            if share > 0
            else "nothing of the imaged area",
        ),
        Light(
            "Flags",
            "warn" if flagged else "ok" if usable else "bad",
            flagged
            or ("no frame is flagged for focus, saturation, light or shifted channels" if usable else "none measured"),
        ),
    ]


def strips(frames: pd.DataFrame) -> list[Strip]:
    """Return focus, saturation, background and registration frame by frame, in the order of the table."""
    return [
        _strip(frames, "focus", "Focus", "higher is sharper"),
        _strip(frames, "saturation", "Saturation", "largest share of pixels at the ceiling"),
        _strip(frames, "background", "Background", "DNA channel, counts"),
        _strip(frames, "registration_um", "Shift between channels", "largest one against DNA, µm"),
    ]


def frame_rows(frames: pd.DataFrame) -> list[Row]:
    """Return the frames as rows, unusable ones first, then flagged ones."""
    order = frames.assign(_flagged=frames["flags"] == "").sort_values(
        ["usable", "_flagged"], kind="stable", ignore_index=True
    )
    return [{k: None if pd.isna(v) else v for k, v in row.items()} for row in records(order)]


def layout(crops: Crops) -> Light:
    """Return as which layout the images were read, and why."""
    return Light("Layout", "ok", crops.layout)


def judge_lights(reference: CallsReference | None) -> list[Light]:
    """Return what the learned check made of the sample, in words."""
    judge = reference.judge if reference else None
    if judge is None or judge.use == "off":
        return []
    if judge.use == "abstains":
        return [Light("Learned check", "warn", f"abstains, and the assay's limits alone decide: {judge.reason}")]
    how = {
        "beside": "a cell is called where it and the assay's limits agree; where they differ the cell is uncertain",
        "shown": "its verdict stands beside each cell; the assay's limits alone decide",
    }[judge.use]
    return [Light("Learned check", "ok", f"asked about {judge.n_asked} cells: {how}")]


def verdicts(counts: Counts) -> dict[tuple[str, int], str]:
    """Return the call after the review of each cell whose call the review changed, by frame and cell."""
    return {(cell.frame, cell.cell): cell.reviewed for cell in counts.review.changed} if counts.review else {}


def corrections(counts: Counts) -> list[Correction]:
    """Return which corrections the count rests on, those that are there."""
    given: list[tuple[str, str, str, Factor | None]] = [(*about, getattr(counts, about[0])) for about in _FACTORS]
    return [Correction(key, name, meaning, f.kind, f.source) for key, name, meaning, f in given if f is not None]


def reference_odds(counts: Counts) -> list[str]:
    """Return the published cut-offs that the sample has a probability for."""
    return [str(k) for k in CUTOFFS] if None not in counts.p_at_least.values() else []


def _strip(frames: pd.DataFrame, column: str, title: str, unit: str) -> Strip:
    values = frames[column].astype(float)
    top = float(values.max()) if values.notna().any() else 1.0
    up = Axis(0.0, top * 1.08 or 1.0, 96, 8)
    across = Axis(0, max(1, len(frames) - 1), 66, 292)
    placed = [
        (across(i), value, str(name)) for i, (value, name) in enumerate(zip(values, frames["frame"], strict=True))
    ]
    return Strip(
        title,
        unit,
        up.ticks(3),
        [(x, up(value), name) for x, value, name in placed if pd.notna(value)],
        [(x, name) for x, value, name in placed if pd.isna(value)],
    )
