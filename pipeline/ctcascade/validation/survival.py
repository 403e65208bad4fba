"""Statistics of survival: Kaplan-Meier curve, log-rank test, Cox's hazard ratio, Harrell's concordance."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special
from statsmodels.duration.hazard_regression import PHReg
from statsmodels.duration.survfunc import SurvfuncRight, survdiff

from ctcascade.data.results import HazardRatio, Interval, LogRank, SurvivalPoint

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
_LARGEST = 300.0  # exp of more has no meaning as a ratio, and soon no value


@dataclass(frozen=True)
class KaplanMeier:
    """A Kaplan-Meier curve: a step at each death, from month 0, and its median (None where it is not reached)."""

    n: int
    events: int
    last_month: float
    curve: tuple[SurvivalPoint, ...]
    median_months: float | None
    median_low: float | None
    median_high: float | None


def kaplan_meier(times: Floats, died: Bools, level: float) -> KaplanMeier:
    """Return the share alive after each death, with limits, and the median.

    Parameters
    ----------
    times : ndarray of float, shape (n,)
        Months to death or last contact.
    died : ndarray of bool, shape (n,)
    level : float
        Probability of the limits.

    Notes
    -----
    Greenwood's variance on the scale of ``log(-log S)``, so that the limits stay inside 0 to 1. Where nobody is left
    that scale has no value, and the limits before it stand.
    """
    curve = [SurvivalPoint(time_months=0.0, p=1.0, low=1.0, high=1.0)]
    if died.any():
        found = SurvfuncRight(times, died.astype(np.int64))
        z = float(special.ndtri((1 + level) / 2))
        for time, p, error in zip(found.surv_times, found.surv_prob, found.surv_prob_se, strict=True):
            low, high = 0.0, curve[-1].high
            if 0 < p < 1:
                away = np.exp(z * error / (p * -np.log(p)))
                low, high = float(p**away), float(p ** (1 / away))
            curve.append(SurvivalPoint(time_months=float(time), p=float(p), low=low, high=high))
    return KaplanMeier(
        n=len(times),
        events=int(died.sum()),
        last_month=float(times.max()),
        curve=tuple(curve),
        median_months=next((point.time_months for point in curve if point.p <= 0.5), None),
        median_low=next((point.time_months for point in curve if point.low <= 0.5), None),
        median_high=next((point.time_months for point in curve if point.high <= 0.5), None),
    )


def log_rank(parts: Sequence[tuple[Floats, Bools]]) -> LogRank | None:
    """Return chi-square and p of groups, each times and deaths; None where `why_no_log_rank` says why."""
    if why_no_log_rank(parts):
        return None
    times, died = (np.concatenate(each) for each in zip(*parts, strict=True))
    side = np.repeat(np.arange(len(parts)), [len(part[0]) for part in parts])
    chi2, p = survdiff(times, died.astype(np.int64), side)
    return LogRank(chi2=float(chi2), p=float(p))


def why_no_log_rank(parts: Sequence[tuple[Floats, Bools]]) -> str:
    """Return why groups, each times and deaths, cannot be compared by the log-rank test; empty where they can.

    A death tells groups apart only where some but not all of those at risk die, and those at risk are of more than one
    group. A group that is at risk at no such death makes the covariance of the groups singular.
    """
    if len(parts) < 2:
        return "There is one group only."
    times, died = (np.concatenate(each) for each in zip(*parts, strict=True))
    if not died.any():
        return "Nobody died."
    at = np.unique(times[died])
    at_risk = np.array([[(own >= month).sum() for month in at] for own, _ in parts])
    deaths = np.array([((times == month) & died).sum() for month in at])
    tells = ((at_risk > 0).sum(axis=0) > 1) & (deaths < at_risk.sum(axis=0))
    if not tells.any():
        return "At each death patients of one group only were still followed, or all died at once: nothing to compare."
    if not (at_risk[:, tells] > 0).any(axis=1).all():
        return "A group was not followed to any death at which patients of another group were: nothing to compare."
    return ""


def comparable_pairs(times: Floats, died: Bools) -> int:
    """Return of how many pairs of patients it is known who died first."""
    outlived = (times[:, None] < times) | ((times[:, None] == times) & ~died)
    return int((died[:, None] & outlived).sum())


def hazard_ratio(times: Floats, died: Bools, x: Floats, level: float) -> HazardRatio | None:
    """Return the hazard ratio of one more of `x` by Cox's model (ties by Efron), with Wald limits and p.

    None where the data do not bound it.
    """
    fitted = PHReg(times, x[:, None], status=died.astype(np.int64), ties="efron").fit(disp=0)
    beta, error = float(fitted.params[0]), float(fitted.bse[0])
    z = float(special.ndtri((1 + level) / 2))
    if not (np.isfinite([beta, error]).all() and error > 0 and abs(beta) + z * error < _LARGEST):
        return None
    return HazardRatio(
        estimate=float(np.exp(beta)),
        low=float(np.exp(beta - z * error)),
        high=float(np.exp(beta + z * error)),
        level=level,
        p=float(2 * special.ndtr(-abs(beta / error))),
    )


def concordance(times: Floats, died: Bools, x: Floats, level: float, draws: int, rng: np.random.Generator) -> Interval:
    """Return Harrell's c: of pairs in which it is known who died first, the share where that one had the higher `x`.

    There must be such a pair (`comparable_pairs`).

    Notes
    -----
    Equal `x` count half. The limits are percentiles over resampled patients: a patient drawn w times weighs w. Where
    no draw has a pair they are 0 and 1.

    References
    ----------
    Harrell FE, Lee KL, Mark DB, Stat Med 1996;15:361 (PMID 8668867).
    """
    outlived = (times[:, None] < times) | ((times[:, None] == times) & ~died)
    known = (died[:, None] & outlived).astype(np.float64)
    right = known * ((x[:, None] > x) + 0.5 * (x[:, None] == x))
    weights = rng.multinomial(len(times), np.full(len(times), 1 / len(times)), size=draws).astype(np.float64)
    pairs, won = (((weights @ matrix) * weights).sum(axis=1) for matrix in (known, right))
    drawn = won[pairs > 0] / pairs[pairs > 0]
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2]) if drawn.size else (0.0, 1.0)
    return Interval(estimate=float(right.sum() / known.sum()), low=float(low), high=float(high), level=level)
