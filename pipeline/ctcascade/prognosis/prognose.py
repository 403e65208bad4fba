"""Prognosis of a patient from published groups, or the reason why there is none.

What is shown is always the published group's survival, never a person's time left, and nothing is advised.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from ctcascade import evidence
from ctcascade.data import doubts, lineage, store
from ctcascade.data.errors import refuse
from ctcascade.data.results import (
    Cascade,
    Citation,
    Clusters,
    Controls,
    Counts,
    EarlierCurve,
    Kinetics,
    MarkerPanel,
    OtherRow,
    Prognosis,
    Provenance,
    Quality,
    Sensitivity,
    Statement,
)
from ctcascade.evidence.tables import READ_BY
from ctcascade.prognosis import panels, reasons, survive
from ctcascade.prognosis.monitor import monitor
from ctcascade.prognosis.response import responses
from ctcascade.prognosis.rows import Comparison, Sample, evaluable, main_row, matching, shape_of
from ctcascade.prognosis.stage import stage
from ctcascade.study.contradictions import remarks
from ctcascade.study.jobs import PrognoseJob
from ctcascade.study.patient import Patient

Status = Literal["ok", "relative_only", "no_evidence", "not_applicable", "withheld"]


def prognose(
    job: PrognoseJob,
    counts: Sequence[Path],
    cascade: Path,
    out: Path,
    quality: Sequence[Path] = (),
    controls: Path | None = None,
) -> None:
    """Write prognosis.json: a survival curve of the published groups, relative statements only, or a refusal.

    Parameters
    ----------
    job : PrognoseJob
        The patient, and the settings of this stage.
    counts : sequence of Path
        counts.json of each of the patient's samples.
    cascade : Path
        The patient's cascade.json; checked to be this patient's. No risk of it enters the survival; from when on
        imaging would show a lesion is given with the stage.
    out : Path
    quality : sequence of Path
        quality.json of the samples: no prognosis rests on a sample whose checks fail.
    controls : Path, optional
        controls.json, where a sample belongs to a run with controls.

    Raises
    ------
    InputError
        If a file is not a result of this version or is another patient's.
    """
    samples = [store.read_json(path, Counts) for path in counts]
    risks = store.read_json(cascade, Cascade)
    name = job.patient.patient
    patients = {path: sample.patient for path, sample in zip(counts, samples, strict=True)} | {cascade: risks.patient}
    for path, patient in patients.items():
        if patient != name:
            refuse(path, "patient", patient, name, "give the files of one patient")
    lineage.refuse_unlike(cascade, risks, {f"counts/{c.sample}": path for path, c in zip(counts, samples, strict=True)})
    checks = {path: store.read_json(path, Quality) for path in quality}
    lineage.refuse_checks_of_others(checks, samples)
    inputs = {"cascade": cascade, **{f"counts of {c.sample}": path for c, path in zip(samples, counts, strict=True)}}
    inputs |= {f"quality of {checked.sample}": path for path, checked in checks.items()}
    if controls:
        inputs["controls"] = controls
    made_by = store.provenance(job, inputs, evidence.evidence_hash(READ_BY["prognose"]))
    charts = store.read_json(controls, Controls) if controls else None
    against = doubts.of_samples(samples, {checked.sample: checked for checked in checks.values()}, charts)
    store.write_json(out, assess(job, samples, risks, made_by, against))


def assess(
    job: PrognoseJob,
    counts: Iterable[Counts],
    cascade: Cascade,
    made_by: Provenance,
    against: Mapping[str, Sequence[str] | None] | None = None,
) -> Prognosis:
    """Return the prognosis of one patient from the counts of all samples and the cascade.

    Parameters
    ----------
    job : PrognoseJob
    counts : iterable of Counts
    cascade : Cascade
    made_by : Provenance
    against : mapping of str to sequence of str, optional
        What speaks against each sample; None, or no entry, where its checks are not known.

    Notes
    -----
    *Which sample.* Where the latest one was taken on therapy and a published row counts its times from a sample in that
    window (a landmark row) with a printed median in every group, that row replaces the baseline curve, even if it has
    only progression-free survival: a curve from the earlier sample would give the patient time that has already passed.
    Otherwise the last sample before therapy and its baseline row stand. A median printed as "more than" never becomes a
    number; such rows are listed without a curve, and `reason` says what they print. Where the landmark row has another
    end point than the baseline row (published landmark rows of overall survival have bounded medians), the baseline
    curve is kept as `earlier_curve`, with its own sample: it answers what the main curve does not, and is older.
    ``sample``, ``collected``, ``time_zero``, ``endpoint`` and ``main_evidence_id`` say where the main curve is from.

    *Which row.* All subtypes pooled, the reference assay, a median and a size for every group; then overall before
    progression-free survival, the row of exactly this setting, the largest, the latest. All others are `other_rows`.
    An end point whose published groups did not differ in the patient's own subtype gives no curve.

    *Refused.* No evaluable sample; no published row for tumour and setting; no reference equivalent of the assay; less
    blood analysed than `least_volume` (assay_facts.tsv); cells within the limit of blank where every published row
    begins there. Then no published number is in the result, only what was seen, and why.

    *Withheld.* There are rows, but the checks of every evaluable sample fail, or imaging contradicts a setting without
    metastases. A sample whose checks fail enters neither curve nor monitoring nor stage; it is named.

    *Band.* Uncertainty of medians and shape in the published groups. It holds neither the spread between people nor
    the change of medicine since these patients were treated.
    """
    known = against or {}
    evaluated = evaluable(counts, job.patient, {name: found or () for name, found in known.items()})
    samples = [s for s in evaluated if not s.against]
    verdict = _decide(job, evaluated)
    silent = verdict.status not in ("ok", "relative_only")
    clusters: Clusters | None = None
    phenotype: tuple[MarkerPanel, ...] = ()
    if job.patient.primary != "none":
        clusters = panels.clusters(samples or evaluated, job.patient, silent=silent)
        phenotype = panels.phenotype(samples or evaluated, job.patient, silent=silent)
    cited = {*verdict.cited, *panels.evidence_shown(clusters, phenotype)}
    shown, curve = verdict.sample, verdict.curve
    main = curve.row if curve else None
    return Prognosis(
        patient=job.patient.patient,
        primary=job.patient.primary,
        setting=job.patient.setting,
        status=verdict.status,
        reason=verdict.reason,
        summary=reasons.summary(curve.row, curve.drawn, job.level) if curve else "",
        sample=shown.name if shown else None,
        collected=shown.day if shown else None,
        n_ctc_observed=shown.n_ctc if shown else None,
        time_zero=main.row.time_zero if main else None,
        endpoint=main.row.endpoint if main else None,
        main_evidence_id=main.id if main else None,
        cutoff=main.cutoff if main else None,
        horizon_months=survive.last_month(job, main) if main else None,
        level=job.level,
        survival=curve.drawn.points if curve else (),
        strata=survive.strata(job, curve.sample, curve.row) if curve else (),
        earlier_curve=verdict.earlier,
        other_rows=verdict.other_rows,
        sensitivity=curve.models if curve else (),
        relative=verdict.relative,
        negative_findings=verdict.negative,
        kinetics=verdict.kinetics,
        clusters=clusters,
        phenotype=phenotype,
        stage=stage(job.patient, samples, cascade, silent=silent),
        evidence=tuple(_citation(name) for name in sorted(cited)),
        evidence_ids=tuple(sorted({*verdict.used, *cited})),
        assumptions=_assumptions(curve, verdict.used) if curve else (),
        group_by=curve.sample.reference.how if curve and curve.sample.reference else None,
        why_mixed=curve.sample.reference.why_mixed if curve and curve.sample.reference else "",
        responses=responses(evaluated) if job.patient.primary != "none" else (),
        remarks=_remarks(job.patient, evaluated, known),
        published=verdict.published,
        provenance=made_by,
    )


def _remarks(
    patient: Patient, samples: Sequence[Sample], against: Mapping[str, Sequence[str] | None]
) -> tuple[str, ...]:
    """Return what must be known of sheet and samples beside the verdict."""
    unchecked = [s.name for s in samples if against.get(s.name) is None]
    said = [*remarks(patient), reasons.checks_fail(samples), *reasons.of_one_day(samples)]
    if unchecked:
        said.append(f"Whether the checks of these samples fail is not known: {', '.join(unchecked)}.")
    return tuple(sentence for sentence in said if sentence)


@dataclass(frozen=True)
class MainCurve:
    """The survival curve: the sample that it starts at, the published row, and the other models beside it."""

    sample: Sample
    row: Comparison
    drawn: survive.Curve
    models: tuple[Sensitivity, ...]


@dataclass(frozen=True)
class Verdict:
    """What the evidence allows to be said of the samples, without clusters, markers and stage.

    Attributes
    ----------
    sample : Sample or None
        The one that is shown.
    cited, used : tuple of str
        Ids of the evidence shown, each with its source; and of what entered a number beside it.
    """

    status: Status
    reason: str
    sample: Sample | None = None
    curve: MainCurve | None = None
    earlier: EarlierCurve | None = None
    other_rows: tuple[OtherRow, ...] = ()
    relative: tuple[Statement, ...] = ()
    negative: tuple[Statement, ...] = ()
    kinetics: tuple[Kinetics, ...] = ()
    cited: tuple[str, ...] = field(default=())
    used: tuple[str, ...] = field(default=())
    published: bool = True


def _decide(job: PrognoseJob, evaluated: list[Sample]) -> Verdict:
    """Return status, reason and all that the evidence allows to be said."""
    patient = job.patient
    if patient.primary == "none":
        return Verdict("not_applicable", reasons.NO_PRIMARY)
    rows = matching(patient.primary, patient.setting, patient.subtype)
    positive = [c for c in rows if not c.row.negative]
    samples = [s for s in evaluated if not s.against]
    shown = samples or evaluated
    seen = Verdict(
        "no_evidence",
        "",
        sample=shown[-1] if shown else None,
        kinetics=monitor(samples, patient, job.level),
        negative=tuple(Statement(evidence_id=c.id, text=c.row.finding) for c in rows if c.row.negative),
        published=bool(positive),
    )
    usable = [s for s in samples if s.p_at_least is not None]
    why, status = _refusal(patient, evaluated, samples, usable, positive)
    if why:
        return _refused(replace(seen, status=status), why)
    able = _uncontradicted(positive, rows, patient.subtype)
    sample, main = _start(usable, able)
    seen = replace(seen, sample=sample, relative=reasons.hazards(positive, sample))
    if main is not None:
        return _with_sources(_with_curve(job, seen, sample, main, positive, usable, able), rows)
    if seen.relative and reasons.is_blank_throughout(positive, sample):
        return _refused(replace(seen, relative=()), reasons.ONLY_BLANK + reasons.blank_caution(sample, positive))
    if seen.relative:
        others = tuple(survive.other_row(job, sample, c, None, None) for c in _beside(positive, sample))
        reason = reasons.ONLY_RELATIVE + reasons.blank_caution(sample, positive)
        return _with_sources(replace(seen, status="relative_only", reason=reason, other_rows=others), rows)
    return _refused(seen, reasons.NO_START)


def _refusal(
    patient: Patient,
    evaluated: list[Sample],
    samples: list[Sample],
    usable: list[Sample],
    positive: list[Comparison],
) -> tuple[str, Status]:
    """Return why nothing published is set beside the samples, empty where it may be, and the status of that."""
    if patient.primary == "other":
        return reasons.OTHER_PRIMARY, "no_evidence"
    if not evaluated:
        return reasons.why_refused(evaluated, usable), "no_evidence"
    if not positive:
        return reasons.no_rows(patient.primary, patient.setting), "no_evidence"
    if not samples:
        return f"The count cannot be relied on. {reasons.checks_fail(evaluated)}", "withheld"
    why = reasons.why_refused(samples, usable)
    if why:
        return why, "no_evidence"
    return reasons.contradicted(patient, usable[-1].collected), "withheld"


def _refused(seen: Verdict, why: str) -> Verdict:
    return replace(seen, reason=why, used=tuple(statement.evidence_id for statement in seen.negative))


def _uncontradicted(positive: list[Comparison], rows: list[Comparison], subtype: str | None) -> list[Comparison]:
    """Return the rows but those of an end point whose published groups did not differ in the patient's own subtype."""
    against = {c.row.endpoint for c in rows if c.row.negative and c.strata and subtype and c.row.subtype == subtype}
    return [c for c in positive if c.row.endpoint not in against]


def _start(usable: list[Sample], able: list[Comparison]) -> tuple[Sample, Comparison | None]:
    """Return the sample that the survival starts at, and the row that gives the curve (None: no row can)."""
    latest, before = usable[-1], [s for s in usable if s.is_baseline]
    main = main_row(able, latest)
    if main is None and before:
        return before[-1], main_row(able, before[-1])
    return latest, main


def _with_curve(
    job: PrognoseJob,
    seen: Verdict,
    sample: Sample,
    main: Comparison,
    positive: list[Comparison],
    usable: list[Sample],
    able: list[Comparison],
) -> Verdict:
    """Return the verdict with its curve, and what stands beside it."""
    drawn = survive.curve(job, sample, main)
    models = survive.sensitivity(job, sample, main, drawn)
    others = [c for c in _beside(positive, sample) if c.id != main.id]
    return replace(
        seen,
        status="ok",
        reason=reasons.why_this_curve(sample, main)
        + reasons.bounded_medians(sample, main, others)
        + reasons.blank_caution(sample, [main]),
        curve=MainCurve(sample, main, drawn, models),
        earlier=_earlier_curve(job, usable, main, able),
        other_rows=tuple(survive.other_row(job, sample, c, main, drawn) for c in others),
        used=tuple(
            sorted(
                {
                    shape_of(job.patient.primary, job.patient.setting, main.row.endpoint)[0],
                    *(i for m in models for i in m.evidence_ids),
                }
            )
        ),
    )


def _beside(rows: list[Comparison], sample: Sample) -> list[Comparison]:
    """Return the rows with a median whose times start at a sample like this one."""
    return [c for c in rows if c.applies_to(sample) and any(not math.isnan(s.median_months) for s in c.strata)]


def _earlier_curve(
    job: PrognoseJob, usable: list[Sample], main: Comparison, able: list[Comparison]
) -> EarlierCurve | None:
    """Return the curve of the last sample before therapy where the main one is later and of another end point."""
    before = [s for s in usable if s.is_baseline]
    row = main_row(able, before[-1]) if before and main.row.time_zero == "landmark" else None
    if row is None or row.row.endpoint == main.row.endpoint:
        return None
    sample = before[-1]
    return EarlierCurve(
        sample=sample.name,
        collected=sample.day,
        n_ctc_observed=sample.n_ctc,
        time_zero=row.row.time_zero,
        endpoint=row.row.endpoint,
        main_evidence_id=row.id,
        cutoff=row.cutoff,
        reason=f"From the sample of {sample.day}, before therapy: it takes no account of the later sample, and its "
        "time has been running since.",
        horizon_months=survive.last_month(job, row),
        survival=survive.curve(job, sample, row).points,
        strata=survive.strata(job, sample, row),
    )


def _assumptions(curve: MainCurve, used: Sequence[str]) -> tuple[str, ...]:
    """Return ids of assumed evidence, of groups whose size was not printed, and of the assay's assumed factors."""
    rows = {**evidence.rows("shapes"), **evidence.rows("count_distributions")}
    assumed = [i for i in used if i in rows and rows[i].kind == "assumption"]
    unprinted = [f"{s.id}: size of the group" for s in curve.row.strata if not s.n_stated]
    return (*assumed, *unprinted, *(f"{curve.sample.name}: {factor}" for factor in curve.sample.counts.assumptions))


def _with_sources(verdict: Verdict, rows: list[Comparison]) -> Verdict:
    """Return the verdict with the ids of all rows that it shows, those of groups as their comparison's."""
    shown = {statement.evidence_id for statement in (*verdict.relative, *verdict.negative)}
    shown |= {row.evidence_id for row in verdict.other_rows}
    if verdict.curve:
        shown |= {s.id for s in verdict.curve.row.strata}
    if verdict.earlier:
        shown.add(verdict.earlier.main_evidence_id)
    cited = {c.id for c in rows if shown & {c.id, *(s.id for s in c.strata)}}
    cited |= {published.evidence_id for entry in verdict.kinetics for published in entry.published}
    return replace(verdict, cited=tuple(sorted(cited)))


def _citation(evidence_id: str) -> Citation:
    found = evidence.cite(evidence_id)
    n = float(found.row["n"])
    return Citation(
        evidence_id=evidence_id,
        population=found.text("population") or found.text("study"),
        n=None if math.isnan(n) else int(n),
        accrual=found.text("accrual"),
        era=found.text("era"),
        citation=found.citation,
        identifier=found.identifier,
        locator=found.text("locator"),
        how_read=found.text("how_read"),
        readings=found.text("readings"),
        note=found.text("note"),
    )
