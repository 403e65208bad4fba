"""Predicted survival of a laboratory's own patients beside what was observed."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy import stats

from ctcascade.data.results import (
    Calibration,
    CalibrationPoint,
    CalibrationRow,
    FitValue,
    HorizonCheck,
    Interval,
    NetBenefit,
    ReasonCount,
)
from ctcascade.study.jobs import CohortJob
from ctcascade.validation import predictions
from ctcascade.validation.survival import Bools, Floats, comparable_pairs, concordance, kaplan_meier

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
        **_checked(job, with_curve),
    ), ""


def _checked(job: CohortJob, patients: Sequence[Followed]) -> dict[str, Any]:
    """Return the checks of the predictions: slope, concordance, and those of each time."""
    times, died = times_and_deaths(patients)
    month = min(MONTHS[-1], *(float(p.curve[-1, 0]) for p in patients if p.curve is not None))
    alive = np.array([_predicted(p, month) for p in patients])
    found = predictions.slope(times, died, alive, job.level)
    c_index = None
    if comparable_pairs(times, died) and np.ptp(alive) > 0:
        rng = np.random.default_rng([job.random_seed, len(times), 1])
        c_index = concordance(times, died, 1 - alive, job.level, job.bootstrap, rng)
    return {
        "slope": FitValue(estimate=found[0], low=found[1], high=found[2], level=job.level) if found else None,
        "c_index": c_index,
        "horizons": tuple(_horizon(job, at, patients) for at in MONTHS),
    }


def _horizon(job: CohortJob, month: int, patients: Sequence[Followed]) -> HorizonCheck:
    """Return the checks of one time, or why they are not given."""
    times, died = times_and_deaths(patients)
    deaths = int((died & (times <= month)).sum())
    about: dict[str, Any] = {"time_months": month, "n": len(patients), "deaths": deaths}
    none: dict[str, Any] = dict.fromkeys(("brier", "brier_of_kaplan_meier", "gained", "ici", "e50", "e90"))
    why = too_few_deaths(job, deaths)
    if any(p.curve is not None and p.curve[-1, 0] < month for p in patients):
        why = "A published curve ends before."
    elif (times <= month).all():
        why = "Nobody was followed longer."
    if why:
        return HorizonCheck(**about, **none, curve=(), net_benefit=(), why=why)
    alive = np.array([_predicted(p, month) for p in patients])
    km = predictions.km_at(times, died, month)
    score, of_km = (predictions.brier(times, died, a, month) for a in (alive, np.full(len(alive), km)))
    curve = predictions.calibration_curve(times, died, alive, month)
    return HorizonCheck(
        **about,
        brier=score,
        brier_of_kaplan_meier=of_km,
        gained=1 - score / of_km if score is not None and of_km else None,
        ici=curve.ici if curve else None,
        e50=curve.e50 if curve else None,
        e90=curve.e90 if curve else None,
        curve=tuple(
            CalibrationPoint(predicted=float(x), observed=float(y))
            for x, y in zip(curve.predicted, curve.observed, strict=True)
        )
        if curve
        else (),
        net_benefit=tuple(
            NetBenefit(
                threshold=at,
                predicted=predictions.net_benefit(times, died, 1 - alive, month, at),
                all=predictions.net_benefit(times, died, np.ones(len(alive)), month, at),
            )
            for at in predictions.THRESHOLDS
        ),
        why=""
        if curve
        else "No calibration curve: the predictions are alike, one is 0 or 1, or the deaths do not bound it.",
    )


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
