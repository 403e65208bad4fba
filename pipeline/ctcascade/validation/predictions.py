"""Checks of predicted survival beside what became of the patients: calibration, overall error, net benefit.

Some patients are lost before the time that is looked at; each measure says how it allows for that.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special
from statsmodels.duration.hazard_regression import PHReg

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Risks at which someone would act, for the decision curve."""
_EDGE = 1e-9
_KNOTS = (0.1, 0.5, 0.9)
_LARGEST = 50.0


@dataclass(frozen=True)
class CalibrationCurve:
    """Observed over predicted risk at one time, and how far they are apart over the patients."""

    predicted: Floats
    observed: Floats
    ici: float
    e50: float
    e90: float


def km_at(times: Floats, died: Bools, month: float) -> float:
    """Return the Kaplan-Meier share alive at a month."""
    alive = 1.0
    for at in np.unique(times[died & (times <= month)]):
        alive *= 1 - float(((times == at) & died).sum() / (times >= at).sum())
    return alive


def brier(times: Floats, died: Bools, alive: Floats, month: float) -> float | None:
    """Return the Brier score of the predicted share `alive` at a month; None where all are lost before it.

    Notes
    -----
    Graf's score: the mean squared difference of being alive and the prediction, patients weighted by the inverse of
    their probability not to have been lost by then: of who died, before that time. Of a death and a loss in one month
    the death comes first: who died then could not be lost. 0 is perfect, 0.25 what a prediction of one half gets.

    References
    ----------
    Graf E et al., Stat Med 1999;18:2529. PMID 10474158
    """
    gone, here = died & (times <= month), times > month
    lost_at, after = _not_lost(times, died)
    kept_then = float(after[np.searchsorted(lost_at, month, side="right")])
    if kept_then <= 0:
        return None
    kept = after[np.searchsorted(lost_at, times, side="left")]
    if (kept[gone] <= 0).any():
        return None
    parts = np.where(gone, alive**2 / np.where(gone, kept, 1.0), 0.0) + np.where(
        here, (1 - alive) ** 2 / kept_then, 0.0
    )
    return float(parts.mean())


def _not_lost(times: Floats, died: Bools) -> tuple[Floats, Floats]:
    """Return the months of losses, and the probability not to be lost: before any of them, and after each."""
    lost_at = np.unique(times[~died])
    lost = np.array([((times == at) & ~died).sum() for at in lost_at], np.float64)
    still = np.array([((times > at) | ((times == at) & ~died)).sum() for at in lost_at], np.float64)
    return lost_at, np.concatenate([[1.0], np.cumprod(1 - lost / still)])


def net_benefit(times: Floats, died: Bools, risk: Floats, month: float, threshold: float) -> float:
    """Return the net benefit of acting on all patients whose predicted risk is at least `threshold`.

    Notes
    -----
    ``share with the event - share without it * threshold / (1 - threshold)``, of those acted on, over all patients; the
    shares by Kaplan-Meier among those acted on.

    References
    ----------
    Vickers AJ, Elkin EB, Med Decis Making 2006;26:565. doi:10.1177/0272989X06295361; with censoring, Vickers AJ et al.,
    BMC Med Inform Decis Mak 2008;8:53. doi:10.1186/1472-6947-8-53
    """
    acted = risk >= threshold
    if not acted.any():
        return 0.0
    dead = 1 - km_at(times[acted], died[acted], month)
    return float(acted.mean() * (dead - (1 - dead) * threshold / (1 - threshold)))


def slope(times: Floats, died: Bools, alive: Floats, level: float) -> tuple[float, float, float] | None:
    """Return the calibration slope with limits; None where predictions are all alike, 0 or 1, or do not bound it.

    Notes
    -----
    The coefficient, in Cox's model, of the predicted log cumulative hazard ``log(-log S)``: 1 where predictions spread
    as they should, below 1 where they are too extreme.

    References
    ----------
    Royston P, Altman DG, BMC Med Res Methodol 2013;13:33. doi:10.1186/1471-2288-13-33
    """
    if _is_certain(alive):
        return None
    x = _log_hazard(alive)
    if np.ptp(x) < _EDGE:
        return None
    fitted = _cox(times, died, x[:, None])
    if fitted is None:
        return None
    beta, error = float(fitted.params[0]), float(fitted.bse[0])
    z = float(special.ndtri((1 + level) / 2))
    if not (np.isfinite([beta, error]).all() and error > 0 and abs(beta) + z * error < _LARGEST):
        return None
    return beta, beta - z * error, beta + z * error


def calibration_curve(times: Floats, died: Bools, alive: Floats, month: float) -> CalibrationCurve | None:
    """Return observed over predicted risk at a month, smoothed; None where predictions are alike, 0 or 1, or no fit.

    Notes
    -----
    Cox's model of ``log(-log S)``, as a restricted cubic spline of three knots where there are more than three
    different predictions, else as a straight line; observed risk is that of the model at the month (Breslow). ICI, E50
    and E90 are the mean, median and 90 % quantile of the difference over the patients.

    References
    ----------
    Austin PC, Harrell FE, van Klaveren D, Stat Med 2020;39:2714. doi:10.1002/sim.8570
    """
    if _is_certain(alive):
        return None
    x = _log_hazard(alive)
    different = np.unique(np.round(x, 9))
    if len(different) < 2:
        return None
    knots = np.quantile(x, _KNOTS) if len(different) > 3 else np.zeros(0)
    if len(np.unique(knots)) < len(knots):
        knots = np.zeros(0)
    fitted = _cox(times, died, _spline(x, knots))
    if fitted is None or not np.isfinite(fitted.params).all() or np.abs(fitted.params).max() > _LARGEST:
        return None
    beta = np.asarray(fitted.params, np.float64)
    baseline = _breslow(times, died, _spline(x, knots) @ beta, month)
    grid = np.linspace(x.min(), x.max(), 25) if len(different) > 3 else different
    own = 1 - np.exp(-baseline * np.exp(_spline(x, knots) @ beta))
    away = np.abs(own - (1 - alive))
    return CalibrationCurve(
        predicted=1 - np.exp(-np.exp(grid)),
        observed=1 - np.exp(-baseline * np.exp(_spline(grid, knots) @ beta)),
        ici=float(away.mean()),
        e50=float(np.median(away)),
        e90=float(np.quantile(away, 0.9)),
    )


def _is_certain(alive: Floats) -> bool:
    """Whether a prediction is 0 or 1: its log hazard is infinite, and one such patient would make up the whole fit."""
    return bool(alive.min() <= 0 or alive.max() > 1 - _EDGE)


def _log_hazard(alive: Floats) -> Floats:
    return np.asarray(np.log(-np.log(alive)), np.float64)


def _cox(times: Floats, died: Bools, design: Floats) -> "PHReg | None":
    """Return Cox's model fitted by Efron's ties; None where it cannot be fitted."""
    if not died.any() or np.linalg.matrix_rank(design - design.mean(axis=0)) < design.shape[1]:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what does not converge is not finite, and refused by its numbers
        try:
            return PHReg(times, design, status=died.astype(np.int64), ties="efron").fit(disp=0)
        except (np.linalg.LinAlgError, ValueError):
            return None


def _spline(x: Floats, knots: Sequence[float] | Floats) -> Floats:
    """Return the columns of a restricted cubic spline: x, and with three knots one that bends between them."""
    if len(knots) < 3:
        return x[:, None]
    a, b, c = knots

    def cubed(at: float) -> Floats:
        return np.maximum(x - at, 0.0) ** 3

    bent = (cubed(a) - cubed(b) * (c - a) / (c - b) + cubed(c) * (b - a) / (c - b)) / (c - a) ** 2
    return np.stack([x, bent], axis=1)


def _breslow(times: Floats, died: Bools, score: Floats, month: float) -> float:
    """Return the cumulative baseline hazard up to a month."""
    weight = np.exp(score)
    return float(
        sum(
            ((times == at) & died).sum() / weight[times >= at].sum() for at in np.unique(times[died & (times <= month)])
        )
    )
