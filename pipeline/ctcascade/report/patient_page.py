"""The page of a patient: samples over time, organs at risk, steps of the cascade, published survival, evidence."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from ctcascade import evidence
from ctcascade.counting.controls import doubts
from ctcascade.data import store
from ctcascade.data.vocabulary import HORIZONS_YEARS
from ctcascade.report.axes import Axis, Tick, band, path, ruler
from ctcascade.report.controls import read_charts
from ctcascade.report.numbers import Result
from ctcascade.report.page import write_page

SHOWN_MONTHS = (6, 12, 18, 24)
PEOPLE_MONTHS = (6, 12, 24)
RISK_STEPS = (0.01, 0.05, 0.2, 0.5)
"""Shares at which the body figure changes its shade."""
_BENT_FROM = 60.0


@dataclass(frozen=True)
class SamplePoint:
    """A sample in the timeline; `y`, `y_low` and `y_high` are None where it could not be evaluated."""

    counts: Result
    x: float
    y: float | None
    y_low: float | None
    y_high: float | None
    date_shown: bool


@dataclass(frozen=True)
class Timeline:
    """Samples over time with their intervals, and where therapy began (None: not given or outside)."""

    points: list[SamplePoint]
    ticks: list[Tick]
    line: Markup
    therapy_x: float | None
    bent: bool


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


def report_patient(
    settings: Mapping[str, Any],
    counts: Sequence[Path],
    quality: Sequence[Path],
    cascade: Path,
    prognosis: Path,
    out: Path,
    controls: Path | None = None,
) -> None:
    """Write a patient's page: count, change, organs at risk, survival of published groups, evidence, limits.

    Parameters
    ----------
    settings : mapping
        ``patient``: the row of the patient sheet.
    counts, quality : sequence of Path
        counts.json and quality.json of each of the patient's samples, in one order.
    cascade, prognosis : Path
    out : Path
        The page.
    controls : Path, optional
        Charts of the controls: a failed one speaks against the samples of its assay and lot.

    Raises
    ------
    InputError
        If a result cannot be read.
    """
    patient = settings["patient"]
    name = patient["patient"]
    samples = sorted(
        (Result(f"counts/{c['sample']}", c) for c in (store.read_json(path, "counts") for path in counts)),
        key=lambda r: (r.data["collected"], r.data["sample"]),
    )
    quality_of = {q["sample"]: q for q in (store.read_json(path, "quality") for path in quality)}
    charts = read_charts(controls)
    against = {d.data["sample"]: doubts(d.data, quality_of[d.data["sample"]], charts) for d in samples}
    cascade_result = Result(f"cascade/{name}", store.read_json(cascade, "cascade"))
    prognosis_result = Result(f"prognosis/{name}", store.read_json(prognosis, "prognosis"))
    measured = [d for d in samples if d.data["status"] == "ok"]
    latest = measured[-1] if measured else None
    at_risk = organs(cascade_result.data)
    write_page(
        out,
        "patient.html",
        patient=patient,
        samples=samples,
        doubts={d.data["sample"]: against[d.data["sample"]] for d in samples if against[d.data["sample"]]},
        measured=len(measured),
        latest=latest,
        axis=ruler(latest.data["ctc_per_7_5_ml"]) if latest else None,
        timeline=timeline(samples, patient.get("therapy_start")),
        cascade=cascade_result,
        prognosis=prognosis_result,
        years=HORIZONS_YEARS,
        organs=at_risk,
        risks={year: shades(cascade_result.data, year) for year in HORIZONS_YEARS},
        risk_bar=risk_bar,
        modalities=sorted({t["modality"] for _, o in at_risk for t in o["time_to_detectability"]}),
        bars=flow_bars(cascade_result.data),
        curve=survival(prognosis_result.data),
        main=main_source(prognosis_result.data),
        studies=studies(prognosis_result.data),
        table_months=at_months(prognosis_result.data, SHOWN_MONTHS),
        earlier_months=at_months(prognosis_result.data.get("earlier_curve") or prognosis_result.data, SHOWN_MONTHS),
        headline=headline(prognosis_result.data),
        people_months=at_months(prognosis_result.data, PEOPLE_MONTHS),
        people=people,
        rows=evidence_rows(sorted({*cascade_result.data["evidence_ids"], *prognosis_result.data["evidence_ids"]})),
        results=[*samples, cascade_result, prognosis_result],
    )


def timeline(counts: Sequence[Result], therapy_start: str | None, width: float = 380, height: float = 210) -> Timeline:
    """Return the samples in order of `counts` (by date) on an axis from zero, bent where counts are large."""
    days = [date.fromisoformat(c.data["collected"]).toordinal() for c in counts]
    start = date.fromisoformat(therapy_start).toordinal() if therapy_start else None
    shown = [*days, *([start] if start is not None else [])]
    intervals = [c.data["ctc_per_7_5_ml"] for c in counts]
    top = max([1.0, *(i["high"] for i in intervals if i)])
    bent = top > _BENT_FROM
    across = Axis(min(shown), max(shown), 66, width - 40)
    up = Axis(0, 1.08 * top, height - 34, 12, linear_to=5 if bent else None)
    points: list[SamplePoint] = []
    last = -math.inf
    for c, day, i in zip(counts, days, intervals, strict=True):
        x = across(day)
        show = x - last >= 90
        last = x if show else last
        y, y_low, y_high = (up(i["estimate"]), up(i["low"]), up(i["high"])) if i else (None, None, None)
        points.append(SamplePoint(c, x, y, y_low, y_high, show))
    line = path([(d.x, d.y) for d in points if d.y is not None])
    return Timeline(points, up.ticks(4), line, None if start is None else across(start), bent)


def risk_class(p: float) -> str:
    """Return the shade of a risk in the body figure."""
    return f"r{sum(p >= step for step in RISK_STEPS)}"


def shades(cascade: Mapping[str, Any], year: int) -> dict[str, dict[str, Any]]:
    """Return each organ's index in cascade.json and its shade in the body figure."""
    return {
        o["organ"]: {"index": i, "shade": risk_class(o["p_metastasis"][str(year)]["mean"])}
        for i, o in enumerate(cascade["organs"])
    }


def main_source(prognosis: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the citation of the groups that the curve is drawn from, or None where there is no curve."""
    if not prognosis["strata"]:
        return None
    stratum = prognosis["strata"][0]["evidence_id"]
    return next(e for e in prognosis["evidence"] if stratum.startswith(e["evidence_id"] + "."))


def studies(prognosis: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the published studies shown, one entry for rows of the same people, with all their ids."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for e in prognosis["evidence"]:
        entry = found.setdefault((e["citation"], e["population"]), {**e, "ids": []})
        entry["ids"].append(e["evidence_id"])
    return list(found.values())


def organs(cascade: Mapping[str, Any]) -> list[tuple[int, dict[str, Any]]]:
    """Return (index in cascade.json, organ), the largest risk at two years first."""
    return sorted(enumerate(cascade["organs"]), key=lambda item: -item[1]["p_metastasis"]["2"]["mean"])


def risk_bar(found: Mapping[str, float]) -> dict[str, float]:
    """Return a risk and its band on an axis from 0 to 100 units."""
    across = Axis(0, 1, 2, 98)
    return {key: across(found[key]) for key in ("mean", "low", "high")}


def survival(prognosis: Mapping[str, Any]) -> Survival | None:
    """Return the curve as paths in a view of 560 x 300, or None where there is none."""
    points = prognosis["survival"]
    if not points:
        return None
    across, up = Axis(0, points[-1]["time_months"], 52, 548), Axis(0, 1, 258, 10)
    months = [across(p["time_months"]) for p in points]

    def drawn(curve: Sequence[Mapping[str, float]]) -> Markup:
        last = points[-1]["time_months"]
        return path([(across(p["time_months"]), up(p["p"])) for p in curve if p["time_months"] <= last])

    every = 6 if points[-1]["time_months"] <= 42 else 12
    x_ticks = [Tick.of(across(m), m) for m in range(0, math.floor(points[-1]["time_months"]) + 1, every)]
    return Survival(
        x_ticks,
        [Tick.of(up(p / 100), f"{p}\u202f%") for p in (0, 25, 50, 75, 100)],
        drawn(points),
        band(months, [up(p["low"]) for p in points], [up(p["high"]) for p in points]),
        [drawn(row["curve"]) for row in prognosis["other_rows"] if row["curve"]],
        [drawn(row["curve"]) for row in prognosis["sensitivity"] if row["curve"]],
    )


def at_months(prognosis: Mapping[str, Any], months: Sequence[int]) -> list[tuple[int, int | None]]:
    """Return (month, index in `survival` of just that month, or None where the curve has ended)."""
    found = {p["time_months"]: i for i, p in enumerate(prognosis["survival"])}
    return [(m, found.get(m)) for m in months]


def headline(prognosis: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return (month, index in `survival`) of the one number to show first: at a year, or sooner on a shorter curve."""
    found = [(m, i) for m, i in at_months(prognosis, (12, 6, 3, 1)) if i is not None]
    return found[0] if found else None


def people(share: float) -> list[Person]:
    """Return a hundred people in ten rows, `share` of them without event."""
    return [Person(10 + 20 * (i % 10), 10 + 20 * (i // 10), i < round(100 * share)) for i in range(100)]


def flow_bars(cascade: Mapping[str, Any]) -> list[dict[str, float]]:
    """Return each step of the cascade on one logarithmic axis of 200 units."""
    steps = cascade["flow"]
    sizes = [math.log10(v) for s in steps for v in (s["mean"], s["low"], s["high"]) if v > 0]
    if not sizes:
        return []
    across = Axis(min(sizes), max(sizes), 6, 194)
    return [
        {key: across(math.log10(step[key])) if step[key] > 0 else across.start for key in ("mean", "low", "high")}
        for step in steps
    ]


def evidence_rows(ids: Sequence[str]) -> list[dict[str, str]]:
    """Return what stands behind evidence ids (``table/id`` or ``id``): meaning, value, kind, source."""
    return [{"id": name, **_evidence_row(evidence.cite(name))} for name in ids if evidence.is_known(name)]


def _evidence_row(found: evidence.Cited) -> dict[str, str]:
    cited = "; ".join(f"{reference.citation}. {reference.identifier}" for reference in found.references)
    where = f" ({found.text('locator')})" if found.text("locator") else ""
    return {
        "meaning": found.text("meaning") or found.text("population") or found.text("label"),
        "value": _value(found.row),
        "kind": found.text("kind"),
        "source": f"{cited}{where}" if cited else found.text("reason"),
    }


def _value(row: pd.Series) -> str:
    if "central" not in row.index:
        return ""
    unit = "" if row.get("unit", "1") == "1" else " " + str(row["unit"]).replace("_", " ")
    return f"{row['central']:.3g} ({row['low']:.3g} to {row['high']:.3g}){unit}"
