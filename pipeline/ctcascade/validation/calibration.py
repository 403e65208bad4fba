"""Predicted survival of a laboratory's own patients beside what was observed."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from ctcascade.data.results import Calibration, CalibrationRow, Interval, ReasonCount
from ctcascade.study.jobs import CohortJob
from ctcascade.validation.survival import Bools, Floats, kaplan_meier

MONTHS = (6, 12, 24)
"""Months at which predicted and observed survival are compared."""


@dataclass(frozen=True)
class Followed:
    """A patient whose first sample could be evaluated: what became of the patient, count, and published curve.

    Parameters
    ----------
    time : float
        Months to death or last contact.
    died : bool
    ctc_per_7_5_ml : float
    p_at_least : mapping of str to float
        As `Counts.p_at_least`.
    cutoff : int, optional
        Of the curve.
    curve : ndarray, shape (n, 2), optional
        Months, and the probability to live so long.
    why_no_curve : str
    """

    time: float
    died: bool
    ctc_per_7_5_ml: float
    p_at_least: Mapping[str, float | None]
    cutoff: int | None
    curve: Floats | None
    why_no_curve: str


def times_and_deaths(patients: Sequence[Followed]) -> tuple[Floats, Bools]:
    """Return months to death or last contact, and who died."""
    return np.array([p.time for p in patients]), np.array([p.died for p in patients])


def calibrate(
    job: CohortJob, patients: Sequence[Followed], parts: Mapping[str, Sequence[Followed]]
) -> tuple[Calibration | None, str]:
    """Return predicted and observed survival of the patients with a published curve, or why there is none.

    Notes
    -----
    Deaths are counted up to each curve's end. As many are expected as the curves' cumulative hazards,
    ``-log S(t)``, at the patients' own times add up to; the limits of the ratio are those of a Poisson count [1]_.

    References
    ----------
    .. [1] Crowson CS, Atkinson EJ, Therneau TM, Stat Methods Med Res 2016;25:1692. doi:10.1177/0962280213497434
    """
    with_curve = [p for p in patients if p.curve is not None]
    if not with_curve:
        reasons = dict.fromkeys(p.why_no_curve for p in patients)
        return None, f"There is nothing to compare: {'; '.join(reasons)}."
    until = np.array([min(p.time, float(p.curve[-1, 0])) for p in with_curve if p.curve is not None])
    times, died = times_and_deaths(with_curve)
    seen = int((died & (times <= until)).sum())
    why = too_few_deaths(job, seen)
    if why:
        return None, why
    alive = np.array([_predicted(p, t) for p, t in zip(with_curve, until, strict=True)])
    if alive.min() <= 0 or alive.min() == 1:
        return None, "The published curves give the patients' own times no chance or all of it: no ratio follows."
    expected = float(-np.log(alive).sum())
    tail = (1 - job.level) / 2
    low, high = stats.chi2.ppf([tail, 1 - tail], [2 * seen, 2 * seen + 2]) / 2
    members = {"all": with_curve}
    members |= {label: [p for p in part if p.curve is not None] for label, part in parts.items() if len(parts) > 1}
    return Calibration(
        n=len(with_curve),
        left_out=reason_counts(Counter(p.why_no_curve for p in patients if p.curve is None)),
        deaths_seen=seen,
        deaths_expected=expected,
        seen_of_expected=Interval(
            estimate=seen / expected, low=float(low) / expected, high=float(high) / expected, level=job.level
        ),
        is_small=seen < job.advised_events,
        rows=tuple(
            _compared(label, month, part, job.level) for label, part in members.items() for month in MONTHS if part
        ),
    ), ""


def _compared(label: str, month: int, patients: Sequence[Followed], level: float) -> CalibrationRow:
    """Return mean predicted and observed survival of a group at a month, or why one of them is not known."""
    times, died = times_and_deaths(patients)
    found = kaplan_meier(times, died, level)
    at = [point for point in found.curve if point.time_months <= month][-1]
    why = ""
    if any(p.curve is not None and p.curve[-1, 0] < month for p in patients):
        why = "the published curve ends before"
    elif times.max() < month and at.p > 0:
        why = "nobody was followed so long"
    predicted = None if why else float(np.mean([_predicted(p, month) for p in patients]))
    return CalibrationRow(
        label=label,
        time_months=month,
        n=len(patients),
        predicted=predicted,
        seen=None if why else Interval(estimate=at.p, low=at.low, high=at.high, level=level),
        prediction_is=None if predicted is None else _side(predicted, at.low, at.high),
        why=why,
    )


def _side(predicted: float, low: float, high: float) -> Literal["below", "inside", "above"]:
    return "below" if predicted < low else "above" if predicted > high else "inside"


def _predicted(patient: Followed, month: float) -> float:
    assert patient.curve is not None
    return float(np.interp(month, *patient.curve.T))


def too_few_deaths(job: CohortJob, events: int) -> str:
    """Return why so few deaths are too few for a number; empty where they are not."""
    least = job.min_events
    return f"Too few deaths were seen ({events}) to say a number: at least {least} are asked for." * (events < least)


def reason_counts(counted: Counter[str]) -> tuple[ReasonCount, ...]:
    """Return how many patients each reason concerns, by reason."""
    return tuple(ReasonCount(reason=reason, n=counted[reason]) for reason in sorted(counted))
