"""The page of a patient: samples over time, organs at risk, steps of the cascade, published survival, evidence."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from urllib.parse import quote

from markupsafe import Markup

from ctcascade import evidence
from ctcascade.data import lineage, store
from ctcascade.data.doubts import doubts
from ctcascade.data.errors import plain, refuse
from ctcascade.data.results import (
    AmountBand,
    Cascade,
    Citation,
    Counts,
    CurvePoint,
    EarlierCurve,
    Prognosis,
    Quality,
    SharedPixels,
    SurvivalPoint,
)
from ctcascade.data.vocabulary import HORIZONS_YEARS
from ctcascade.report import standing
from ctcascade.report.axes import Axis, Tick, band, path, ruler
from ctcascade.report.controls import read_charts
from ctcascade.report.numbers import Traced, whole
from ctcascade.report.organ_risks import Bar, known, next_organ, organs, risk_bar, seen_free, shades
from ctcascade.report.page import write_page
from ctcascade.report.words import notices_of
from ctcascade.study.jobs import ReportPatientJob

SHOWN_MONTHS = (6, 12, 18, 24)
PEOPLE_MONTHS = (6, 12, 24)
_BENT_FROM = 60.0
_STEPS = 4
_ALIKE = 1.05
"""Volumes of blood up to this ratio are equal: CTCs seen in them can be compared as they are."""


@dataclass(frozen=True)
class SamplePoint:
    """A sample in the timeline; `y` is None where it could not be evaluated, the limits also where counts are shown."""

    counts: Traced[Counts]
    x: float
    y: float | None
    y_low: float | None
    y_high: float | None
    date_shown: bool


@dataclass(frozen=True)
class Timeline:
    """Samples over time, and where therapy began and the published cut-off lies (None: not given).

    Either the CTCs `seen`, which alone may be set against a cut-off, or the estimates with their intervals.
    """

    points: list[SamplePoint]
    ticks: list[Tick]
    line: Markup
    therapy_x: float | None
    bent: bool
    seen: bool
    cutoff_y: float | None


@dataclass(frozen=True)
class Survival:
    """The survival curve of the published groups in user units, with its band and what stands beside it."""

    x_ticks: list[Tick]
    y_ticks: list[Tick]
    curve: Markup
    band: Markup
    others: list[Markup]
    models: list[Markup]


@dataclass(frozen=True)
class Person:
    """One of a hundred people: where, and whether without event at that time."""

    x: int
    y: int
    alive: bool


@dataclass(frozen=True)
class Step:
    """Something worth looking at next, and where it is."""

    what: str
    href: str


@dataclass(frozen=True)
class Study:
    """A published study and the ids of its rows that are shown."""

    cited: Citation
    ids: list[str]


@dataclass(frozen=True)
class EvidenceRow:
    """A row of evidence in the table of all parameters."""

    id: str
    meaning: str
    value: str
    kind: str
    source: str


def report_patient(
    job: ReportPatientJob,
    counts: Sequence[Path],
    quality: Sequence[Path],
    cascade: Path,
    prognosis: Path,
    out: Path,
    controls: Path | None = None,
    shared: Path | None = None,
) -> None:
    """Write a patient's page: count, change, organs at risk, survival of published groups, evidence, limits.

    Parameters
    ----------
    job : ReportPatientJob
    counts, quality : sequence of Path
        counts.json and quality.json of each of the patient's samples, in one order.
    cascade, prognosis : Path
    out : Path
        The page.
    controls : Path, optional
        Charts of the controls: a failed one speaks against the samples of its assay and lot.
    shared : Path, optional
        Which samples of the run hold the same images.

    Raises
    ------
    InputError
        If a result cannot be read.
    """
    patient = job.patient
    name = patient.patient
    counted = {path: store.read_json(path, Counts) for path in counts}
    samples = sorted(
        (Traced(f"counts/{c.sample}", c) for c in counted.values()), key=lambda r: (r.data.collected, r.data.sample)
    )
    quality_of = {q.sample: q for q in (store.read_json(path, Quality) for path in quality)}
    lineage.refuse_missing(quality_of, {c.sample: place for place, c in counted.items()})
    charts = read_charts(controls)
    against = {s.data.sample: doubts(s.data, quality_of[s.data.sample], charts) for s in samples}
    found = store.read_json(cascade, Cascade)
    predicted = store.read_json(prognosis, Prognosis)
    about = {path: c.patient for path, c in counted.items()} | {cascade: found.patient, prognosis: predicted.patient}
    for place, of in about.items():
        if of != name:
            refuse(place, "patient", of, name, "give the files of one patient")
    lineage.refuse_unlike(cascade, found, {f"counts/{c.sample}": path for path, c in counted.items()})
    lineage.refuse_unlike(prognosis, predicted, {"cascade": cascade})
    cascade_result, prognosis_result = Traced(f"cascade/{name}", found), Traced(f"prognosis/{name}", predicted)
    compared = store.read_json(shared, SharedPixels) if shared else None
    measured = [s for s in samples if s.data.status == "ok"]
    latest, same_day = _latest(measured)
    known_organs = known(found)
    others = [item for item in organs(found) if item[1].organ not in known_organs]
    of_sample = {s.data.sample: s for s in samples}
    base = of_sample.get(predicted.sample or "")
    older = bool(base and latest and base.data.collected < latest.data.collected)
    write_page(
        out,
        "patient.html",
        job,
        {f"counts/{c.sample}": place for place, c in counted.items()}
        | {"cascade": cascade, "prognosis": prognosis}
        | ({"controls": controls} if controls else {}),
        samples_with_calibration=[s.data.sample for s in samples if s.data.calibration],
        notices=[*notices_of([s.data for s in samples]), *(compared.notices if compared else ())],
        patient=patient,
        samples=samples,
        images={name: standing.images(of, against[name]) for name, of in quality_of.items() if name in against},
        steps=next_steps(samples, latest, against, older, patient.primary == "none"),
        doubts={sample: reasons for sample, reasons in against.items() if reasons},
        measured=len(measured),
        shared=compared.of_patient(name) if compared else (),
        latest=latest,
        same_day=same_day,
        axis=ruler(latest.data.ctc_per_7_5_ml) if latest else None,
        evaluable={s.data.sample: s.data.status == "ok" for s in samples},
        timeline=timeline(samples, patient.therapy_start, predicted.cutoff),
        change=change_of(predicted, of_sample),
        known=known_organs,
        risk_date=of_sample[found.latest_sample].data.collected if found.latest_sample in of_sample else "",
        prognosis_date=base.data.collected if base else "",
        older=older,
        cascade=cascade_result,
        prognosis=prognosis_result,
        years=HORIZONS_YEARS,
        organs=others,
        following=next_organ(others),
        no_risk=standing.why_no_risk(found, list(counted.values()), against),
        no_group=standing.why_no_group(predicted, latest.data if latest else None, against),
        seen_free={organ: place for organ, place in seen_free(found).items() if organ not in known_organs},
        risks={year: shades(found, year, known_organs) for year in HORIZONS_YEARS},
        risk_bar=risk_bar,
        modalities=sorted({t.modality for o in found.organs for t in o.time_to_detectability}),
        bars=flow_bars(found),
        curve=survival(predicted),
        main=main_source(predicted),
        studies=studies(predicted),
        cited={e.evidence_id for e in predicted.evidence},
        table_months=at_months(predicted, SHOWN_MONTHS),
        earlier_months=at_months(predicted.earlier_curve or predicted, SHOWN_MONTHS),
        headline=headline(predicted),
        people_months=at_months(predicted, PEOPLE_MONTHS),
        people=people,
        rows=evidence_rows(sorted({*found.evidence_ids, *predicted.evidence_ids})),
        results=[*samples, cascade_result, prognosis_result],
    )


def _latest(measured: Sequence[Traced[Counts]]) -> tuple[Traced[Counts] | None, list[Traced[Counts]]]:
    """Return the sample that the page begins with, and the others of its day.

    Of several tubes of the last day it is the one with most CTCs per 7.5 mL, whatever their names: a tube without any
    must not hide one with many.
    """
    last = [s for s in measured if s.data.collected == measured[-1].data.collected]
    if not last:
        return None, []
    first = max(last, key=lambda s: s.data.ctc_per_7_5_ml.estimate if s.data.ctc_per_7_5_ml else 0.0)
    return first, [s for s in last if s is not first]


def next_steps(
    samples: Sequence[Traced[Counts]],
    latest: Traced[Counts] | None,
    against: Mapping[str, Sequence[str]],
    older: bool,
    donor: bool = False,
) -> list[Step]:
    """Return what to look at after the first screen, the most pressing first.

    Parameters
    ----------
    samples : sequence of Traced of Counts
        All of the patient.
    latest : Traced of Counts or None
        The one that the page begins with.
    against : mapping of str to sequence of str
        What speaks against each sample.
    older : bool
        Whether the published curve is of a sample before the latest.
    donor : bool
        Whether the person is one without a tumour, in whom a count above blank is not expected.
    """
    found = []
    for s in samples:
        page = f"../../samples/{quote(s.data.sample, safe='')}/report.html"
        if s.data.status != "ok":
            found.append(Step(f"why {plain(s.data.sample)} has no count", f"{page}#count"))
        elif against[s.data.sample]:
            found.append(Step(f"which checks {plain(s.data.sample)} fails", f"{page}#quality"))
    if latest:
        page = f"../../samples/{quote(latest.data.sample, safe='')}/report.html"
        if donor and latest.data.above_blank:
            found.append(Step("the CTCs, of which a donor should have none above blank", f"{page}#gallery"))
        found.append(Step(_cells_to_review(latest.data), f"{page}#gallery"))
    if older:
        found.append(Step("why the published curve is not of the latest sample", "#survival"))
    return found[:_STEPS]


def _cells_to_review(counts: Counts) -> str:
    """Return in words which cells of a sample a person may look at."""
    kinds = ((counts.n_ctc, "CTC" if counts.n_ctc == 1 else "CTCs"), (counts.n_uncertain, "uncertain"))
    found = ", ".join(f"{whole(n)} {name}" for n, name in kinds if n)
    seen = "reviewed cells" if counts.review else "cells"
    return f"the {seen} of {plain(counts.sample)} ({found})" if found else f"what came close in {plain(counts.sample)}"


def timeline(
    counts: Sequence[Traced[Counts]],
    therapy_start: date | None,
    cutoff: int | None = None,
    width: float = 760,
    height: float = 200,
) -> Timeline:
    """Return the samples in order of `counts` (by date) on an axis from zero, bent where counts are large.

    The CTCs seen are drawn, with the published cut-off, where there is one and equal volumes of blood were looked at;
    otherwise the estimates.
    """
    days = [date.fromisoformat(c.data.collected).toordinal() for c in counts]
    start = therapy_start.toordinal() if therapy_start else None
    shown = [*days, *([start] if start is not None else [])]
    seen = cutoff is not None and _alike(counts)
    values = [_drawn(c.data, seen) for c in counts]
    top = max([1.0, *(v[2] for v in values if v), *([1.5 * cutoff] if seen and cutoff else [])])
    bent = top > _BENT_FROM
    across = Axis(min(shown), max(shown), 66, width - 40)
    up = Axis(0, 1.08 * top, height - 34, 12, linear_to=5 if bent else None)
    points: list[SamplePoint] = []
    last = -math.inf
    for c, day, value in zip(counts, days, values, strict=True):
        x = across(day)
        show = x - last >= 90
        last = x if show else last
        y, y_low, y_high = (up(v) for v in value) if value else (None, None, None)
        low, high = (None, None) if seen else (y_low, y_high)
        points.append(SamplePoint(c, x, y, low, high, show))
    line = path([(d.x, d.y) for d in points if d.y is not None])
    at_cutoff = up(cutoff) if seen and cutoff is not None else None
    return Timeline(points, up.ticks(4), line, None if start is None else across(start), bent, seen, at_cutoff)


def change_of(
    prognosis: Prognosis, of_sample: Mapping[str, Traced[Counts]]
) -> tuple[Traced[Counts], Traced[Counts]] | None:
    """Return the earlier and the later sample of the last change, or None where there is none."""
    if not prognosis.kinetics:
        return None
    last = prognosis.kinetics[-1]
    names = (last.earlier_sample, last.sample)
    return (of_sample[names[0]], of_sample[names[1]]) if all(name in of_sample for name in names) else None


def _alike(counts: Sequence[Traced[Counts]]) -> bool:
    """Return whether equal volumes of blood were looked at, of more than one sample or of one."""
    volumes = [c.data.blood_analysed_ml for c in counts if c.data.status == "ok"]
    return bool(volumes) and max(volumes) <= _ALIKE * min(volumes)


def _drawn(counts: Counts, seen: bool) -> tuple[float, float, float] | None:
    """Return what is drawn of a sample with its limits; None where it has no count."""
    interval = counts.ctc_per_7_5_ml
    if interval is None or counts.n_ctc is None:
        return None
    return (counts.n_ctc,) * 3 if seen else (interval.estimate, interval.low, interval.high)


def main_source(prognosis: Prognosis) -> Citation | None:
    """Return the citation of the groups that the curve is drawn from, or None where there is no curve."""
    if not prognosis.strata:
        return None
    stratum = prognosis.strata[0].evidence_id
    return next(e for e in prognosis.evidence if stratum.startswith(e.evidence_id + "."))


def studies(prognosis: Prognosis) -> list[Study]:
    """Return the published studies shown, one entry for rows of the same people, with all their ids."""
    found: dict[tuple[str, str], Study] = {}
    for e in prognosis.evidence:
        found.setdefault((e.citation, e.population), Study(e, [])).ids.append(e.evidence_id)
    return list(found.values())


def survival(prognosis: Prognosis) -> Survival | None:
    """Return the curve as paths in a view of 560 x 300, or None where there is none."""
    points = prognosis.survival
    if not points:
        return None
    last = points[-1].time_months
    across, up = Axis(0, last, 52, 548), Axis(0, 1, 258, 10)
    months = [across(p.time_months) for p in points]

    def drawn(curve: Sequence[CurvePoint | SurvivalPoint]) -> Markup:
        return path([(across(p.time_months), up(p.p)) for p in curve if p.time_months <= last])

    every = 6 if last <= 42 else 12
    x_ticks = [Tick.of(across(m), m) for m in range(0, math.floor(last) + 1, every)]
    return Survival(
        x_ticks,
        [Tick.of(up(p / 100), f"{p}\u202f%") for p in (0, 25, 50, 75, 100)],
        drawn(points),
        band(months, [up(p.low) for p in points], [up(p.high) for p in points]),
        [drawn(row.curve) for row in prognosis.other_rows if row.curve],
        [drawn(row.curve) for row in prognosis.sensitivity if row.curve],
    )


def at_months(prognosis: Prognosis | EarlierCurve, months: Sequence[int]) -> list[tuple[int, int | None]]:
    """Return (month, index in `survival` of just that month, or None where the curve has ended)."""
    found = {p.time_months: i for i, p in enumerate(prognosis.survival)}
    return [(m, found.get(m)) for m in months]


def headline(prognosis: Prognosis) -> tuple[int, int] | None:
    """Return (month, index in `survival`) of the one number to show first: at a year, or sooner on a shorter curve."""
    found = [(m, i) for m, i in at_months(prognosis, (12, 6, 3, 1)) if i is not None]
    return found[0] if found else None


def people(share: float) -> list[Person]:
    """Return a hundred people in ten rows, `share` of them without event."""
    return [Person(10 + 20 * (i % 10), 10 + 20 * (i // 10), i < round(100 * share)) for i in range(100)]


def flow_bars(cascade: Cascade) -> list[Bar]:
    """Return each step of the cascade on one logarithmic axis of 200 units."""
    bands: list[AmountBand] = list(cascade.flow)
    sizes = [math.log10(v) for b in bands for v in (b.mean, b.low, b.high) if v > 0]
    if not sizes:
        return []
    across = Axis(min(sizes), max(sizes), 6, 194)

    def placed(value: float) -> float:
        return across(math.log10(value)) if value > 0 else across.start

    return [Bar(placed(b.mean), placed(b.low), placed(b.high)) for b in bands]


def evidence_rows(ids: Sequence[str]) -> list[EvidenceRow]:
    """Return what stands behind evidence ids (``table/id`` or ``id``): meaning, value, kind, source."""
    return [_evidence_row(name, evidence.cite(name)) for name in ids if evidence.is_known(name)]


def _evidence_row(name: str, found: evidence.Cited) -> EvidenceRow:
    cited = "; ".join(f"{reference.citation}. {reference.identifier}" for reference in found.references)
    where = f" ({found.text('locator')})" if found.text("locator") else ""
    return EvidenceRow(
        id=name,
        meaning=found.text("meaning") or found.text("population") or found.text("label"),
        value=_value(found.row),
        kind=found.text("kind"),
        source=f"{cited}{where}" if cited else found.text("reason"),
    )


def _value(row: evidence.Row) -> str:
    if "central" not in row:
        return ""
    unit = "" if "unit" not in row or row.unit == "1" else " " + row.unit.replace("_", " ")
    return f"{row['central']:.3g} ({row['low']:.3g} to {row['high']:.3g}){unit}"
