"""The index of a run: all patients and samples with links to their pages, and the same rows as CSV."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from ctcascade import evidence
from ctcascade.data import lineage, store
from ctcascade.data.doubts import doubts, unmeasured
from ctcascade.data.errors import refuse
from ctcascade.data.results import (
    Cascade,
    Controls,
    Counts,
    Interval,
    Organ,
    Prognosis,
    Quality,
    ResultFile,
    SharedPixels,
)
from ctcascade.report import controls as control_charts
from ctcascade.report import standing
from ctcascade.report.axes import Axis, band, path
from ctcascade.report.multiqc import multiqc as multiqc_table
from ctcascade.report.numbers import Traced, amount, percent
from ctcascade.report.organ_risks import HEADLINE_YEARS, known, next_organ, organs
from ctcascade.report.page import write_page
from ctcascade.report.tables import Row, lines
from ctcascade.report.words import notices_of
from ctcascade.study.jobs import ReportCohortJob
from ctcascade.study.patient import Patient
from ctcascade.study.sample import PreAnalytics

_INTERVAL = ("estimate", "low", "high", "level")
_BAND = ("mean", "low", "high")
PROGNOSIS_WORDS = {"ok": "published curve", "relative_only": "relative only"}


@dataclass(frozen=True)
class Spark:
    """Counts over a patient's samples in a view of 140 x 34: line, band of intervals, a dot a sample, end of scale.

    Of a single sample the band is a line.
    """

    line: Markup
    dots: list[tuple[float, float]]
    band: Markup
    top: Markup


@dataclass(frozen=True)
class Pressing:
    """Something to look at, in which place of which samples' pages."""

    what: str
    place: str
    samples: list[str]


@dataclass(frozen=True)
class PatientRow:
    """A patient in the index: the sheet's row, samples by date, the latest evaluable one, cascade and prognosis.

    `following` is the organ that may be named as next, and `widest` the place of the other one of the highest limit.
    """

    about: Patient
    samples: list[Traced[Counts]]
    latest: Traced[Counts] | None
    cascade: Traced[Cascade]
    prognosis: Traced[Prognosis]
    spark: Spark
    prognosis_words: str
    known: list[str]
    following: tuple[int, Organ] | None
    widest: int | None
    no_risk: str


def report_index(
    job: ReportCohortJob,
    counts: Sequence[Path],
    qualities: Sequence[Path],
    cascades: Sequence[Path],
    prognoses: Sequence[Path],
    controls: Path,
    out: Path,
    multiqc: Path,
    table: Path,
    shared: Path | None = None,
) -> None:
    """Write the index of a run: all patients and samples, with links to their pages.

    Parameters
    ----------
    job : ReportCohortJob
    counts, qualities, cascades, prognoses : sequence of Path
        All results.
    controls : Path
        Charts of the controls.
    out : Path
        The page, beside the folders ``samples/`` and ``patients/``.
    multiqc : Path
        Table of samples and their checks, for MultiQC.
    table : Path
        CSV, a row a sample with its patient's risk.
    shared : Path, optional
        Which samples hold the same images.

    Raises
    ------
    InputError
        If a result cannot be read.
    """
    found, judged = [store.read_json(path, Counts) for path in counts], [store.read_json(p, Quality) for p in qualities]
    cascade_of = {c.patient: c for c in (store.read_json(path, Cascade) for path in cascades)}
    prognosis_of = {p.patient: p for p in (store.read_json(path, Prognosis) for path in prognoses)}
    quality_of, charts = {q.sample: q for q in judged}, store.read_json(controls, Controls)
    lineage.refuse_missing(quality_of, {c.sample: path for path, c in zip(counts, found, strict=True)})
    if len({c.sample for c in found}) < len(found):
        refuse(out, "sample", "a sample that stands twice", "the counts of each sample once", "give each once")
    against = {c.sample: doubts(c, quality_of[c.sample], charts) for c in found}
    store.write_text(multiqc, multiqc_table(found, judged, against))
    rows = patient_rows(job.patients, found, cascade_of, prognosis_of, against)
    exported = {
        "patients": [patient_row(row) for row in rows],
        "samples": [sample_row(c, quality_of[c.sample], against[c.sample]) for c in found],
    }
    store.write_text(table, cohort_csv(exported["samples"], exported["patients"]))
    write_page(
        out,
        "index.html",
        job,
        {f"counts/{c.sample}": path for path, c in zip(counts, found, strict=True)}
        | {f"prognosis/{name}": path for name, path in zip(prognosis_of, prognoses, strict=True)}
        | {"controls": controls, "cohort.csv": table, "qc_mqc.tsv": multiqc},
        notices=notices_of(found),
        steps=look_at(found, against),
        level=level_words(found, "interval"),
        band=band_words(list(cascade_of.values())),
        patients=rows,
        samples=[Traced(f"counts/{c.sample}", c) for c in found],
        quality=quality_of,
        doubts=against,
        csv={name: lines(rows_of) for name, rows_of in exported.items()},
        charts=control_charts.draw_charts(charts),
        control_words=control_charts.ROLES,
        shared=tuple(pair.warning for pair in store.read_json(shared, SharedPixels).shared) if shared else (),
        lost=sum(c.status != "ok" for c in found),
        made_by=made_by([*found, *cascade_of.values(), *prognosis_of.values()]),
        donors={about.patient for about in job.patients if about.primary == "none"},
        **forest(found, prognosis_of),
    )


def forest(counts: Sequence[Counts], prognosis_of: Mapping[str, Prognosis]) -> dict[str, object]:
    """Return what the samples are drawn with: one axis, its marks, and the published cut-offs of their patients."""
    scale = forest_scale(counts)
    cutoff_of = {c.patient: str(cutoff) if (cutoff := _cutoff(prognosis_of.get(c.patient))) else "" for c in counts}
    cutoffs = sorted({int(cutoff) for cutoff in cutoff_of.values() if cutoff})
    return {
        "scale": scale,
        "ticks": scale.ticks(),
        "cutoffs": [(cutoff, scale(cutoff)) for cutoff in cutoffs],
        "cutoff_of": cutoff_of,
    }


def _cutoff(prognosis: Prognosis | None) -> int | None:
    return prognosis.cutoff if prognosis else None


def patient_rows(
    patients: Sequence[Patient],
    counts: Sequence[Counts],
    cascade_of: Mapping[str, Cascade],
    prognosis_of: Mapping[str, Prognosis],
    against: Mapping[str, Sequence[str]],
) -> list[PatientRow]:
    """Return the patients that have results, in the order of the sheet."""
    rows = []
    for about in patients:
        name = about.patient
        if name not in cascade_of or name not in prognosis_of:
            continue
        own = sorted((c for c in counts if c.patient == name), key=lambda c: (c.collected, c.sample))
        samples = [Traced(f"counts/{c.sample}", c) for c in own]
        measured = [s for s in samples if s.data.status == "ok"]
        rows.append(
            PatientRow(
                about,
                samples,
                measured[-1] if measured else None,
                Traced(f"cascade/{name}", cascade_of[name]),
                Traced(f"prognosis/{name}", prognosis_of[name]),
                spark([s.data.ctc_per_7_5_ml for s in measured if s.data.ctc_per_7_5_ml]),
                _prognosis_words(prognosis_of[name], measured[-1].data if measured else None, against),
                list(known(cascade_of[name])),
                *_others(cascade_of[name]),
                standing.why_no_risk(cascade_of[name], own, against),
            )
        )
    return rows


def _prognosis_words(prognosis: Prognosis, latest: Counts | None, against: Mapping[str, Sequence[str]]) -> str:
    why = standing.why_no_group(prognosis, latest, against)
    if not why:
        return PROGNOSIS_WORDS[prognosis.status]
    return why if why in ("not applicable", "withheld") else f"none: {why}"


def _others(cascade: Cascade) -> tuple[tuple[int, Organ] | None, int | None]:
    """Return of the organs that are not known the one that may be named as next, and the place of the highest limit."""
    ranked = [item for item in organs(cascade) if item[1].organ not in known(cascade)]
    highest = max(ranked, key=lambda item: item[1].p_metastasis[HEADLINE_YEARS].high)[0] if ranked else None
    return next_organ(ranked), highest


def look_at(counts: Sequence[Counts], against: Mapping[str, Sequence[str]]) -> list[Pressing]:
    """Return what of a run to look at next, the most pressing first."""
    ok = [c for c in counts if c.status == "ok"]
    doubtful = sorted(ok, key=lambda c: -(c.n_uncertain or 0))  # those with most of them first
    found = [
        Pressing("no count", "#count", [c.sample for c in counts if c.status != "ok"]),
        Pressing("checks fail", "#quality", [c.sample for c in ok if against[c.sample]]),
        Pressing("too little blood", "#count", [c.sample for c in ok if c.evidence == "too_little_blood"]),
        Pressing("cells in doubt", "#gallery", [c.sample for c in doubtful if c.n_uncertain and not c.review]),
    ]
    return [step for step in found if step.samples]


def level_words(counts: Sequence[Counts], what: str) -> str:
    """Return ``95 % interval`` of the counts' level, or no number where they differ or there are none."""
    levels = {c.ctc_per_7_5_ml.level for c in counts if c.ctc_per_7_5_ml}
    return Markup("{} {}").format(percent(levels.pop()), what) if len(levels) == 1 else what


def band_words(cascades: Sequence[Cascade]) -> str:
    """Return ``a 95 % band`` of the risks' level, or no number where they differ or there are none."""
    levels = {c.level for c in cascades if c.status == "ok"}
    return Markup("a {} band").format(percent(levels.pop())) if len(levels) == 1 else "bands"


def sample_row(counts: Counts, quality: Quality, against: Sequence[str]) -> Row:
    """Return a row of the samples: counts with interval, what was imaged, quality and what speaks against it."""
    names = ("sample", "patient", "collected", "assay", "notice", "status", "reason")
    seen = ("n_ctc", "n_clusters", "n_leukocytes", "n_frames_usable", "n_frames", "imaged_fraction", "above_blank")
    interval = counts.ctc_per_7_5_ml
    return {
        **{name: getattr(counts, name) for name in names},
        **{f"ctc_per_7_5_ml_{end}": getattr(interval, end, None) for end in _INTERVAL},
        **{name: getattr(counts, name) for name in seen},
        **dict.fromkeys(PreAnalytics.model_fields),
        **{stated.name: stated.value for stated in quality.preanalytics},
        "quality": "fail" if against else quality.status,
        "quality_failures": "; ".join(against),
        "quality_not_measured": "; ".join(unmeasured(quality)),
        "calibration": counts.calibration.file_sha256 if counts.calibration else "shipped",
    }


def patient_row(row: PatientRow) -> Row:
    """Return a row of the patients: the latest evaluable sample, the risk of any organ and what the prognosis is."""
    latest = row.latest.data if row.latest else None
    interval = latest.ctc_per_7_5_ml if latest else None
    # of a patient who has metastases by the sheet, that number is the sheet's own
    why = row.no_risk or ("known to be metastatic, by the patient sheet" if row.cascade.data.known_metastatic else "")
    risk = row.cascade.data.p_any["2"] if row.cascade.data.p_any and not why else None
    return {
        "patient": row.about.patient,
        "primary": row.about.primary,
        "setting": row.about.setting,
        "n_draws": len(row.samples),
        "latest_sample": latest.sample if latest else None,
        "latest_collected": latest.collected if latest else None,
        **{f"latest_ctc_per_7_5_ml_{end}": getattr(interval, end, None) for end in _INTERVAL},
        "latest_n_clusters": latest.n_clusters if latest else None,
        **{f"p_any_2_years_{end}": getattr(risk, end, None) for end in _BAND},
        "p_any_2_years_why_none": why,
        "prognosis": row.prognosis.data.status,
        **_responses(row.prognosis.data),
    }


def _responses(prognosis: Prognosis) -> Row:
    """Return the end points that rest on two counts, each with whether its sample is missing."""
    found = {response.name: response for response in prognosis.responses}
    given = {name: found.get(name) for name in evidence.load("response").index}
    status: Row = {name: response.status if response else None for name, response in given.items()}
    missing: Row = {f"{name}_missing": response.missing if response else None for name, response in given.items()}
    p: Row = {
        f"{name}_p": max((r.p_by_class.get(k, 0.0) for k in ("responder", "progression")), default=0.0)
        if (r := given[name]) and r.p_by_class
        else None
        for name in given
    }
    return {**status, **missing, **p}


def cohort_csv(samples: Sequence[Row], patients: Sequence[Row]) -> str:
    """Return one table: a row a sample, beside it what is said of its patient."""
    of = {row["patient"]: {k: v for k, v in row.items() if not k.startswith("latest_")} for row in patients}
    none = dict.fromkeys(next(iter(of.values()), {}))
    joined = [{**row, **of.get(row["patient"], {**none, "patient": row["patient"]})} for row in samples]
    return "".join(f"{line}\n" for line in lines(joined)) if joined else ""


def spark(intervals: Sequence[Interval]) -> Spark:
    """Return a small line of counts, with their intervals, on a scale from zero to the largest limit."""
    top = max([1.0, *(i.high for i in intervals)])
    across, up = Axis(0, max(1, len(intervals) - 1), 34, 134), Axis(0, top, 29, 5)
    xs = [across(i) for i in range(len(intervals))] if len(intervals) > 1 else [84.0] * len(intervals)
    dots = [(x, up(i.estimate)) for x, i in zip(xs, intervals, strict=True)]
    lows, highs = [up(i.low) for i in intervals], [up(i.high) for i in intervals]
    spread = band(xs, lows, highs) if len(xs) > 1 else path(zip(xs * 2, lows + highs, strict=True))
    return Spark(path(dots), dots, spread, Markup("{}").format(amount(top)))


def forest_scale(counts: Sequence[Counts]) -> Axis:
    """Return the axis that all samples share, linear to one CTC and logarithmic beyond."""
    return Axis(0, max([10.0, *(c.ctc_per_7_5_ml.high for c in counts if c.ctc_per_7_5_ml)]), 6, 234, linear_to=1.0)


def made_by(results: Sequence[ResultFile]) -> list[tuple[str, int]]:
    """Return what software and evidence made the results, and how many each."""
    made = Counter(f"{r.provenance.software} {r.provenance.version}" for r in results)
    return sorted(made.items())
