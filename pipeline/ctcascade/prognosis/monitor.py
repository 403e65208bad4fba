"""The change between two samples: its published class, and, apart from it, whether it is more than chance."""

import math
from collections.abc import Sequence
from typing import Literal

from ctcascade import evidence
from ctcascade.data.results import Kinetics, PublishedChange
from ctcascade.prognosis.change import compare
from ctcascade.prognosis.rows import Sample, is_of
from ctcascade.study.patient import Patient

Classes = dict[str, list[evidence.Row]]
"""Rows of the evidence table ``kinetics``, by study."""


def monitor(samples: Sequence[Sample], patient: Patient, level: float) -> tuple[Kinetics, ...]:
    """Return one entry a later sample, set against the last one before therapy (the first one if there is none).

    Parameters
    ----------
    samples : sequence of Sample
        By date.
    patient : Patient
    level : float
        Of the interval of the rate ratio; a change is established at 1 - `level`, two-sided.

    Returns
    -------
    tuple of Kinetics
        The test of the two counts, and the published classes whose window fits the sample. A class outside its
        window is named without its numbers.
    """
    if len(samples) < 2:
        return ()
    before = [s for s in samples if s.is_baseline and s.weeks_on_therapy is not None]
    earlier = before[-1] if before else samples[0]
    later = [s for s in samples if s.collected > earlier.collected]
    rows = _matching(patient)
    return tuple(_entry(earlier, s, rows, level, from_baseline=bool(before)) for s in later)


def _entry(earlier: Sample, later: Sample, rows: Classes, level: float, *, from_baseline: bool) -> Kinetics:
    change = compare(earlier.counts, later.counts, level)
    why = _why_no_category(earlier, later, rows, from_baseline=from_baseline)
    return Kinetics(
        sample=later.name,
        earlier_sample=earlier.name,
        days_between=(later.collected - earlier.collected).days,
        weeks_on_therapy=later.weeks_on_therapy,
        n_ctc_earlier=earlier.n_ctc,
        n_ctc_later=later.n_ctc,
        change=change,
        published=() if why else _published(earlier, later, rows, change.rate_ratio),
        why_no_category=why,
    )


def _why_no_category(earlier: Sample, later: Sample, rows: Classes, *, from_baseline: bool) -> str:
    if not rows:
        return "no published class of change for this setting"
    if not from_baseline:
        return "the published classes need a sample before the start of therapy"
    if earlier.p_at_least is None or later.p_at_least is None:
        return "a sample cannot be set against published counts"
    return ""


def _matching(patient: Patient) -> Classes:
    """Return the published classes by study."""
    by_study: Classes = {}
    for row in evidence.rows("kinetics").values():
        if is_of(row, patient.primary, patient.setting) and (
            patient.subtype is None or row.subtype in ("", patient.subtype)
        ):
            by_study.setdefault(row.study, []).append(row)
    return by_study


def _published(earlier: Sample, later: Sample, rows: Classes, rate_ratio: float | None) -> tuple[PublishedChange, ...]:
    """Return the likeliest class of each study whose condition on the earlier one is more likely than not to hold."""
    found = []
    for classes in rows.values():
        held = [_p_category(row, earlier, later, rate_ratio) for row in classes]
        if sum(held) >= 0.5:
            p, row = max(zip(held, classes, strict=True), key=lambda pair: pair[0])
            found.append(_class(row, p, later))
    return tuple(found)


def _p_category(row: evidence.Row, earlier: Sample, later: Sample, rate_ratio: float | None) -> float:
    """Return the probability that replicate reference counts of the two samples fall into a class."""
    p = _p_range(earlier, row.before_low, row.before_high) * _p_range(later, row.after_low, row.after_high)
    fall = 0.0 if rate_ratio is None else 1 - rate_ratio
    rose = later.n_ctc > 0 if rate_ratio is None else rate_ratio > 1
    holds = (
        (math.isnan(row.fall_low) or fall >= row.fall_low)
        and (math.isnan(row.fall_high) or fall < row.fall_high)
        and (not row.rise or (row.rise == "yes") == rose)
    )
    return p if holds else 0.0


def _p_range(sample: Sample, low: float, high: float) -> float:
    return 1.0 if math.isnan(low) else sample.p_between(low, high) or 0.0


def _class(row: evidence.Row, p: float, later: Sample) -> PublishedChange:
    window: Literal["inside", "outside", "not stated"] = "not stated"
    if not math.isnan(row.week_low):
        window = "inside" if later.is_within(row.week_low, row.week_high) else "outside"
    shown = window != "outside"
    relative = ""
    if shown and not math.isnan(row.hr):
        limits = "" if math.isnan(row.hr_low) else f" (95 % interval {row.hr_low:g} to {row.hr_high:g})"
        relative = f"hazard {row.hr:g} times that of: {row.hr_against}{limits}"
    return PublishedChange(
        evidence_id=row.id,
        study=row.study,
        label=row.label,
        p_category=min(1.0, p),
        window=window,
        endpoint=row.endpoint,
        time_zero=row.time_zero,
        n=None if math.isnan(row.n) else int(row.n),
        median_months=row.median_months if shown and not math.isnan(row.median_months) else None,
        median_is_lower_bound=bool(row.lower_bound),
        relative=relative,
        era=row.era,
        note=row.note,
    )
