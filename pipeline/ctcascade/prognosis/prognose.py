"""Prognosis of a patient from published groups, or the reason why there is none.

What is shown is always the published group's survival, never a person's time left, and nothing is advised.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd

from ctcascade import evidence
from ctcascade.data import store
from ctcascade.data.errors import refuse
from ctcascade.evidence.tables import ENDPOINTS, READ_BY
from ctcascade.prognosis import panels, survive
from ctcascade.prognosis.monitor import monitor
from ctcascade.prognosis.rows import Comparison, Draw, main_row, matching, shape_of
from ctcascade.prognosis.stage import stage

_SUMMARY_MONTHS = (12, 6, 3, 1)
_NUMBERS = (
    "sample",
    "collected",
    "time_zero",
    "endpoint",
    "main_evidence_id",
    "cutoff",
    "n_ctc_observed",
    "horizon_months",
    "earlier_curve",
)
_LISTS = ("survival", "strata", "other_rows", "sensitivity", "relative", "negative_findings", "kinetics")
_RECORDS = ("evidence", "evidence_ids", "assumptions")


def prognose(settings: Mapping[str, Any], counts: Sequence[Path], cascade: Path, out: Path) -> None:
    """Write prognosis.json: a survival curve of the published groups, relative statements only, or a refusal.

    Parameters
    ----------
    settings : mapping
        ``patient`` (patient, primary, setting, subtype, therapy_start ...), ``random_seed``, ``draws``, ``level``.
    counts : sequence of Path
        counts.json of each of the patient's samples.
    cascade : Path
        The patient's cascade.json; checked to be this patient's. No risk of it enters the survival; from when on
        imaging would show a lesion is told with the stage.
    out : Path

    Raises
    ------
    InputError
        If a file is not a result of this version or is another patient's.

    Notes
    -----
    *Which draw.* Where the latest draw was taken on therapy and a published row counts its times from a draw in that
    window (a landmark row) with a printed median in every group, that row replaces the baseline curve, even if it has
    only progression-free survival: a curve from the earlier draw would give the patient time that has already passed.
    Otherwise the last draw before therapy and its baseline row stand. A median printed as "more than" never becomes a
    number; such rows are listed without a curve, and `reason` says what they print. Where the landmark row has another
    end point than the baseline row (published landmark rows of overall survival have bounded medians), the baseline
    curve is kept as `earlier_curve`, with its own draw: it answers what the main curve does not, and is older.
    ``sample``, ``collected``, ``time_zero``, ``endpoint`` and ``main_evidence_id`` say where the main curve is from.

    *Which row.* All subtypes pooled, the reference assay, a median and a size for every group; then overall before
    progression-free survival, the row of exactly this setting, the largest, the latest. All others are `other_rows`.
    An end point whose published groups did not differ in the patient's own subtype draws no curve.

    *Refused.* No evaluable draw; no published row for tumour and setting; no reference equivalent of the assay; less
    blood looked at than `least_volume` (assay_facts.tsv); cells within the limit of blank where every published row
    begins there. Then no published number is in the result, only what was seen, and why.

    *Band.* Uncertainty of medians and shape in the published groups. It holds neither the spread between people nor
    the change of medicine since these patients were treated.
    """
    name = settings["patient"]["patient"]
    read = [store.read_json(path, "counts") for path in counts]
    road = store.read_json(cascade, "cascade")
    for path, found in [*zip(counts, read, strict=True), (cascade, road)]:
        if found["patient"] != name:
            refuse(path, "patient", found["patient"], name, "give the files of one patient")
    inputs = {"cascade": cascade, **{f"counts of {c['sample']}": path for c, path in zip(read, counts, strict=True)}}
    draws = _draws(read, settings["patient"].get("therapy_start"))
    result = {
        **{key: settings["patient"][key] for key in ("patient", "primary", "setting")},
        "level": settings["level"],
        "summary": "",
        **dict.fromkeys(_NUMBERS),
        **{key: [] for key in (*_LISTS, *_RECORDS)},
        **_with_panels(_assess(settings, draws), settings["patient"], draws, road),
        "provenance": store.provenance(settings, inputs, evidence.evidence_hash(READ_BY["prognose"])),
    }
    store.write_json(out, "prognosis", result)


def _draws(counts: Iterable[Mapping[str, Any]], therapy_start: str | None) -> list[Draw]:
    """Return the evaluable draws by date."""
    start = None if therapy_start is None else date.fromisoformat(therapy_start)
    found = []
    for c in counts:
        collected = date.fromisoformat(c["collected"])
        if c["status"] == "ok":
            found.append(Draw(c, collected, None if start is None else (collected - start).days / 7))
    return sorted(found, key=lambda d: (d.collected, d.sample))


def _assess(settings: Mapping[str, Any], draws: list[Draw]) -> dict[str, Any]:
    """Return status, reason and all that the evidence allows to be said."""
    patient = settings["patient"]
    primary, setting, subtype = patient["primary"], patient["setting"], patient.get("subtype")
    if primary == "none":
        return {"status": "not_applicable", "reason": "No primary tumour is given, so there is nothing to prognose."}
    rows = matching(primary, setting, subtype)
    positive = [c for c in rows if not c.row.negative]
    found = {
        "kinetics": monitor(draws, primary, setting, subtype, settings["level"]),
        "negative_findings": [{"evidence_id": c.id, "text": c.row.finding} for c in rows if c.row.negative],
        **_observed(draws[-1] if draws else None),
    }
    usable = [d for d in draws if d.p_at_least is not None]
    why = _why_refused(draws, usable, positive)
    if why:
        return _refused(found, why)
    able = _uncontradicted(positive, rows, subtype)
    draw, main = _start(usable, able)
    found |= {**_observed(draw), "relative": _relative(positive, draw)}
    if main is not None:
        earlier = _earlier(settings, usable, main, able)
        return _sourced({**found, **_curve(settings, draw, main, positive), "earlier_curve": earlier}, rows)
    if found["relative"] and _is_blank_throughout(positive, draw):
        return _refused(
            {**found, "relative": []},
            "The published groups begin at a count that blank samples reach too." + _blank(draw, positive),
        )
    if found["relative"]:
        beside = _beside(positive, draw)
        others = [survive.other_row(settings, draw, c, None, pd.DataFrame()) for c in beside]
        reason = "The published rows of this setting give hazard ratios, but no medians that a curve can be drawn from."
        reason += _blank(draw, positive)
        return _sourced({**found, "status": "relative_only", "reason": reason, "other_rows": others}, rows)
    return _refused(found, "No draw was taken before therapy, and no published row starts at a draw so far into it.")


def _with_panels(
    result: dict[str, Any], patient: Mapping[str, Any], draws: list[Draw], cascade: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the result with what stands beside the survival and does not change it: clusters, markers, stage."""
    if patient["primary"] == "none":
        return {**result, "clusters": None, "phenotype": [], "stage": None}
    silent = result["status"] not in ("ok", "relative_only")
    added = {
        "clusters": panels.clusters(draws, patient, silent=silent),
        "phenotype": panels.phenotype(draws, patient, silent=silent),
        "stage": stage(patient, draws, cascade, silent=silent),
    }
    cited = {c["evidence_id"]: c for c in result.get("evidence", [])}
    cited |= {name: _citation(name) for name in panels.evidence_shown(added)}
    ids = sorted({*result.get("evidence_ids", []), *cited})
    return {**result, **added, "evidence_ids": ids, "evidence": [cited[name] for name in sorted(cited)]}


def _observed(draw: Draw | None) -> dict[str, Any]:
    if draw is None:
        return {}
    return {"sample": draw.sample, "collected": draw.collected.isoformat(), "n_ctc_observed": draw.counts["n_ctc"]}


def _uncontradicted(positive: list[Comparison], rows: list[Comparison], subtype: str | None) -> list[Comparison]:
    """Return the rows but those of an end point whose published groups did not differ in the patient's own subtype."""
    against = {c.row.endpoint for c in rows if c.row.negative and c.strata and subtype and c.row.subtype == subtype}
    return [c for c in positive if c.row.endpoint not in against]


def _why_refused(draws: list[Draw], usable: list[Draw], positive: list[Comparison]) -> str:
    if not draws:
        return "No sample of this patient could be evaluated."
    if not positive:
        return "No published row sets counts against outcome for this tumour and setting."
    if not usable and all(None not in d.counts["p_at_least"].values() for d in draws):
        return (
            "Too little blood was looked at to set the count against a published cut-off: less than the "
            "smallest volume that is taken to be enough."
        )
    if not usable:
        return (
            "The assay's recovery relative to the reference assay is not stated, so the count cannot be set against "
            "a published cut-off."
        )
    return ""


def _refused(found: dict[str, Any], why: str) -> dict[str, Any]:
    ids = sorted(f["evidence_id"] for f in found["negative_findings"])
    return {**found, "status": "no_evidence", "reason": why, "evidence_ids": ids}


def _start(usable: list[Draw], positive: list[Comparison]) -> tuple[Draw, Comparison | None]:
    """Return the draw that the survival starts at, and the row that draws it (None: no row can)."""
    latest, before = usable[-1], [d for d in usable if d.is_baseline]
    main = main_row(positive, latest)
    if main is None and before:
        return before[-1], main_row(positive, before[-1])
    return latest, main


def _earlier(
    settings: Mapping[str, Any], usable: list[Draw], main: Comparison, able: list[Comparison]
) -> dict[str, Any] | None:
    """Return the curve of the last draw before therapy where the main one is later and of another end point."""
    before = [d for d in usable if d.is_baseline]
    row = main_row(able, before[-1]) if before and main.row.time_zero == "landmark" else None
    if row is None or row.row.endpoint == main.row.endpoint:
        return None
    return {
        "sample": before[-1].sample,
        "collected": before[-1].collected.isoformat(),
        "n_ctc_observed": before[-1].counts["n_ctc"],
        "time_zero": row.row.time_zero,
        "endpoint": row.row.endpoint,
        "main_evidence_id": row.id,
        "cutoff": row.cutoff,
        "reason": f"From the draw of {before[-1].collected.isoformat()}, before therapy: it knows nothing of the later "
        "draw, and its time has been running since.",
        "horizon_months": survive.last_month(settings, row),
        "survival": survive.curve(settings, before[-1], row).to_dict("records"),
        "strata": survive.strata(settings, before[-1], row),
    }


def _curve(settings: Mapping[str, Any], draw: Draw, main: Comparison, positive: list[Comparison]) -> dict[str, Any]:
    """Return the curve with its band, its groups, and what stands beside it."""
    drawn = survive.curve(settings, draw, main)
    models = survive.sensitivity(settings, draw, main, drawn)
    used = sorted(
        {shape_of(settings["patient"], main.row.endpoint)[0], *(i for m in models for i in m["evidence_ids"])}
    )
    others = [c for c in _beside(positive, draw) if c.id != main.id]
    return {
        "status": "ok",
        "reason": _why_this(draw, main) + _bounded(draw, main, others) + _blank(draw, [main]),
        "summary": _summary(main, drawn, settings["level"]),
        "time_zero": main.row.time_zero,
        "endpoint": main.row.endpoint,
        "main_evidence_id": main.id,
        "cutoff": main.cutoff,
        "horizon_months": survive.last_month(settings, main),
        "survival": drawn.to_dict("records"),
        "strata": survive.strata(settings, draw, main),
        "other_rows": [survive.other_row(settings, draw, c, main, drawn) for c in others],
        "sensitivity": models,
        "evidence_ids": used,
        "assumptions": _assumptions(main, draw, used),
    }


def _why_this(draw: Draw, main: Comparison) -> str:
    drawn = f"From the draw of {draw.collected.isoformat()}"
    if draw.weeks_on_therapy is None:
        return f"{drawn}; no start of therapy is given, so it counts as drawn before a new line."
    if draw.is_baseline:
        return f"{drawn}, before therapy. A draw on therapy replaces it only where a published row starts at one."
    window = f"{main.row.week_low:g} to {main.row.week_high:g} weeks"
    return f"{drawn}, on therapy: the published times start at a draw {window} into it."


def _bounded(draw: Draw, main: Comparison, others: list[Comparison]) -> str:
    """Return the medians of overall survival from such a draw where they are printed but draw no curve."""
    if main.row.endpoint == "OS" or draw.is_baseline:
        return ""
    row = next((c for c in others if c.row.endpoint == "OS" and not c.row.no_curve), None)
    if row is None:
        return ""
    printed = [f"{'more than ' if s.lower_bound else ''}{s.median_months:g} months ({s.label})" for s in row.strata]
    return (
        f" Overall survival from such a draw is published as medians only, too few for a curve: {', '.join(printed)}."
    )


def _blank(draw: Draw, rows: list[Comparison]) -> str:
    """Return a caution where a published group begins at a count that blank samples reach as well."""
    blank = draw.counts["limit_of_blank"]["count"]
    begins = any(0 < s.count_low <= blank for c in rows for s in c.strata)
    if begins and 0 < draw.counts["n_ctc"] <= blank:
        return " The count is within what this assay finds in blank samples, so the cells may be background."
    return ""


def _is_blank_throughout(rows: list[Comparison], draw: Draw) -> bool:
    """Whether there are cells, but no more than blank samples hold, and every published row begins within that."""
    blank = draw.counts["limit_of_blank"]["count"]
    begins = [min((s.count_low for s in c.strata if s.count_low > 0), default=math.inf) for c in rows]
    return 0 < draw.counts["n_ctc"] <= blank and all(low <= blank for low in begins)


def _summary(main: Comparison, drawn: pd.DataFrame, level: float) -> str:
    month = next(m for m in _SUMMARY_MONTHS if m <= drawn.time_months.iloc[-1])
    at = drawn[drawn.time_months == month].iloc[0]
    return (
        f"Of 100 people in the published group ({main.row.population}; n {main.row.n:.0f}) with such counts, about "
        f"{100 * at.p:.0f} were {ENDPOINTS[main.row.endpoint].free} {month} months after the draw "
        f"({100 * level:g} % band {100 * at.low:.0f} to {100 * at.high:.0f})."
    )


def _beside(rows: list[Comparison], draw: Draw) -> list[Comparison]:
    """Return the rows with a median whose times start at a draw like this one."""
    return [c for c in rows if c.speaks_of(draw) and any(not math.isnan(s.median_months) for s in c.strata)]


def _relative(rows: list[Comparison], draw: Draw) -> list[dict[str, str]]:
    """Return what rows with hazard ratios say that draw no curve, one statement a group."""
    return [
        {"evidence_id": s.Index, "text": _hazard(c, s)}
        for c in rows
        if draw.is_baseline and c.row.draw == "baseline" and (c.row.no_curve or not c.has_medians)
        for s in c.strata
        if not math.isnan(s.hr)
    ]


def _hazard(c: Comparison, s: Any) -> str:
    size = "" if math.isnan(c.row.n) else f"; n {c.row.n:.0f}"
    limits = "" if math.isnan(s.hr_low) else f" (95 % interval {s.hr_low:g} to {s.hr_high:g})"
    adjusted = ", adjusted for other factors" if s.hr_type == "multivariable" else ""
    event = ENDPOINTS[c.row.endpoint].event
    remark = f" Note: {s.hr_flag}." if s.hr_flag else ""
    return (
        f'In the published group ({c.row.population}{size}) the hazard of {event} for "{s.label}" was '
        f'{s.hr:g} times that for "{s.hr_against}"{limits}{adjusted}.{remark}'
    )


def _assumptions(main: Comparison, draw: Draw, used: list[str]) -> list[str]:
    """Return ids of assumed evidence, of groups whose size was not printed, and of the assay's assumed factors."""
    kinds = pd.concat([evidence.load("shapes").kind, evidence.load("count_distributions").kind])
    assumed = [i for i in used if kinds.get(i) == "assumption"]
    unprinted = [f"{s.Index}: size of the group" for s in main.strata if not s.n_stated]
    return [*assumed, *unprinted, *(f"{draw.sample}: {factor}" for factor in draw.counts["assumptions"])]


def _sourced(result: dict[str, Any], rows: list[Comparison]) -> dict[str, Any]:
    """Return the result with the source of every row that it shows."""
    lists = ("strata", "other_rows", "relative", "negative_findings")
    shown = {entry["evidence_id"] for key in lists for entry in result.get(key, [])}
    shown |= {(result.get("earlier_curve") or {}).get("main_evidence_id")}
    cited = {c.id for c in rows if shown & {c.id, *(s.Index for s in c.strata)}}
    cited |= {p["evidence_id"] for k in result["kinetics"] for p in k["published"]}
    ids = sorted({*result.get("evidence_ids", []), *cited})
    return {**result, "evidence_ids": ids, "evidence": [_citation(name) for name in sorted(cited)]}


def _citation(evidence_id: str) -> dict[str, Any]:
    found = evidence.cite(evidence_id)
    n = float(found.row["n"])
    return {
        "evidence_id": evidence_id,
        "population": found.text("population") or found.text("study"),
        "n": None if math.isnan(n) else int(n),
        "citation": found.citation,
        "identifier": found.identifier,
        **{key: found.text(key) for key in ("accrual", "era", "locator", "how_read", "readings", "note")},
    }
