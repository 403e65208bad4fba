"""The survival curve of the published groups, and the other published rows and models beside it."""

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ctcascade import evidence
from ctcascade.data.results import CurvePoint, OtherCurve, OtherRow, Sensitivity, Stratum, SurvivalPoint
from ctcascade.prognosis.curves import Continuous, Floats, band, horizon, mixture
from ctcascade.prognosis.rows import Comparison, Sample, is_of, shape_of
from ctcascade.study.jobs import PrognoseJob

DISAGREEMENT = 0.10
"""Distance between two survival curves from which on they are reported to disagree."""

_STEP_MONTHS = 0.25
_FAINT_STEP_MONTHS = 1.0
_NO_CURVE = OtherCurve(curve=(), max_difference=None, disagrees=None)


@dataclass(frozen=True)
class Curve:
    """A survival curve with its band, by month; all of shape (times,)."""

    months: Floats
    p: Floats
    low: Floats
    high: Floats

    @property
    def points(self) -> tuple[SurvivalPoint, ...]:
        """The curve as the result holds it."""
        columns = (values.tolist() for values in (self.months, self.p, self.low, self.high))
        return tuple(
            SurvivalPoint(time_months=t, p=p, low=low, high=high) for t, p, low, high in zip(*columns, strict=True)
        )


def curve(job: PrognoseJob, sample: Sample, row: Comparison) -> Curve:
    """Return the row's mixture curve with its band.

    The Monte Carlo draws are the same for every patient, so that curves differ by evidence and counts alone.
    """
    _, shape = shape_of(job.patient.primary, job.patient.setting, row.row.endpoint)
    months = _months(last_month(job, row), _STEP_MONTHS)
    weights = _weights(row, sample)
    central = mixture(months, weights, row.medians, shape.central)
    rng = np.random.default_rng([job.random_seed, zlib.crc32(b"prognose")])
    low, high = band(months, weights, row.groups, shape, rng=rng, level=job.level, draws=job.draws)
    return Curve(months, central, np.minimum(low, central), np.maximum(high, central))


def last_month(job: PrognoseJob, row: Comparison) -> float:
    """Return where the row's evidence ends, months."""
    reach = float(row.row.reach_months)
    _, shape = shape_of(job.patient.primary, job.patient.setting, row.row.endpoint)
    return horizon(row.medians, shape, None if math.isnan(reach) else reach)


def strata(job: PrognoseJob, sample: Sample, row: Comparison) -> tuple[Stratum, ...]:
    """Return the row's groups with their weights and medians; limits only where the row could give a curve."""
    limits: Sequence[tuple[float | None, float | None]] = [(None, None)] * len(row.strata)
    if not row.why_no_curve(sample) and not any(math.isnan(s.n) for s in row.strata):
        _, shape = shape_of(job.patient.primary, job.patient.setting, row.row.endpoint)
        limits = [group.limits(shape.central, job.level) for group in row.groups]
    return tuple(
        Stratum(
            evidence_id=s.id,
            label=s.label,
            weight=weight,
            median_months=None if math.isnan(s.median_months) else s.median_months,
            low_months=low,
            high_months=high,
            median_is_lower_bound=bool(s.lower_bound),
        )
        for s, weight, (low, high) in zip(row.strata, row.weights(sample), limits, strict=True)
    )


def other_row(
    job: PrognoseJob, sample: Sample, row: Comparison, main: Comparison | None, drawn: Curve | None
) -> OtherRow:
    """Return another published row, with its own central curve where it can stand beside the main one.

    Parameters
    ----------
    job : PrognoseJob
    sample : Sample
        The one that the survival starts at.
    row : Comparison
    main : Comparison or None
        The row that gives the main curve; None where there is no main curve.
    drawn : Curve or None
        The main curve.
    """
    why = row.why_no_curve(sample)
    if main is None:
        why = why or "no curve is drawn for this setting"
    elif row.row.endpoint != main.row.endpoint:
        why = why or "another end point"
    beside = _NO_CURVE
    if not why and drawn is not None:
        _, shape = shape_of(job.patient.primary, job.patient.setting, row.row.endpoint)
        months = _months(min(last_month(job, row), float(drawn.months[-1])), _FAINT_STEP_MONTHS)
        beside = _beside(months, mixture(months, _weights(row, sample), row.medians, shape.central), drawn)
    return OtherRow(
        evidence_id=row.id,
        population=row.row.population,
        subtype=row.row.subtype,
        endpoint=row.row.endpoint,
        time_zero=row.row.time_zero,
        n=None if math.isnan(row.row.n) else int(row.row.n),
        accrual=row.row.accrual,
        era=row.row.era,
        strata=strata(job, sample, row),
        why_no_curve=why,
        hr_flag=next((s.hr_flag for s in row.strata if s.hr_flag), ""),
        **dict(beside),
    )


def sensitivity(job: PrognoseJob, sample: Sample, main: Comparison, drawn: Curve) -> tuple[Sensitivity, ...]:
    """Return the continuous model, where the distribution of baseline counts among such patients is known."""
    counted = evidence.rows("count_distributions").values()
    rows = [r for r in counted if is_of(r, job.patient.primary, job.patient.setting)]
    p = sample.p_at_least
    if not rows or p is None or not sample.is_baseline or len(main.medians) != 2:
        return ()
    counts = rows[0]
    shape_id, shape = shape_of(job.patient.primary, job.patient.setting, main.row.endpoint)
    below, above = main.medians
    model = Continuous.calibrated(main.cutoff, (below, above), shape.central, counts["size"], counts["mean"])
    months = _months(float(drawn.months[-1]), _FAINT_STEP_MONTHS)
    return (
        Sensitivity(
            model="continuous",
            meaning="median survival falls with log(1 + count) and has the published medians below and from the "
            "cut-off; it distinguishes counts within one group, which the published groups do not",
            evidence_ids=(main.id, counts.id, shape_id),
            **dict(_beside(months, model.survival(months, p), drawn)),
        ),
    )


def _weights(row: Comparison, sample: Sample) -> list[float]:
    """Return the weights of a row that `why_no_curve` has nothing against."""
    return [w for w in row.weights(sample) if w is not None]


def _months(last: float, step: float) -> Floats:
    """Return 0, step, ... and the last month itself."""
    return np.unique(np.append(np.arange(0.0, last, step), last))


def _beside(months: Floats, alive: Floats, drawn: Curve) -> OtherCurve:
    """Return a curve's points and the largest distance to the main one, which reaches at least as far."""
    distance = float(np.abs(alive - np.interp(months, drawn.months, drawn.p)).max())
    return OtherCurve(
        curve=tuple(CurvePoint(time_months=t, p=p) for t, p in zip(months.tolist(), alive.tolist(), strict=True)),
        max_difference=distance,
        disagrees=distance > DISAGREEMENT,
    )
