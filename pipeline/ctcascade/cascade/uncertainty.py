"""What is uncertain of a cascade, and why: bands, the shares of chance and of lack of knowledge, and lead time.

Given a draw of the parameters, a lesion comes into sight with probability p; that it does or not is chance (aleatoric).
That p differs between draws is lack of knowledge (epistemic). With Y the lesion, yes or no,

    Var Y = E p (1 - p) + Var p
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ctcascade.cascade.engine import Cascade
from ctcascade.cascade.model import Floats
from ctcascade.data.results import LeadTime, RiskBand, VarianceShares
from ctcascade.data.vocabulary import HORIZONS_YEARS

_LARGEST_BELOW_ONE = float(np.nextafter(1.0, 0.0))
_SMALLEST = float(np.finfo(float).tiny)
_STEPS_A_YEAR = 4

Anywhere = Callable[[Sequence[float]], Floats]


def band(values: Floats, level: float) -> dict[str, float]:
    """Return mean and central interval of draws."""
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return {"mean": float(values.mean()), "low": float(low), "high": float(high)}


def by_horizon(risk: Floats, level: float) -> dict[str, RiskBand]:
    """Return the bands of risks of shape (horizons, n): where a double is out of room, the last one inside (0, 1)."""
    bands = {str(years): band(values, level) for years, values in zip(HORIZONS_YEARS, risk, strict=True)}
    return {years: RiskBand(**_inside(found)) for years, found in bands.items()}


def variance_shares(risk: Floats) -> dict[str, VarianceShares]:
    """Return the aleatoric and the epistemic share of the variance of the event, by horizon.

    Parameters
    ----------
    risk : ndarray, shape (horizons, n)
        Its probability in each draw.
    """
    mean = np.clip(risk.mean(axis=1), _SMALLEST, _LARGEST_BELOW_ONE)
    epistemic = np.clip(risk.var(axis=1) / (mean * (1 - mean)), 0.0, 1.0)
    return {
        str(years): VarianceShares(aleatoric=float(1 - share), epistemic=float(share))
        for years, share in zip(HORIZONS_YEARS, epistemic, strict=True)
    }


def lead_time(risk_anywhere: Anywhere, kept: NDArray[np.intp], level: float) -> LeadTime:
    """Return how long after the latest sample the first lesion comes into sight, where none is in sight at it.

    Parameters
    ----------
    risk_anywhere : callable
        As `Cascade.anywhere`.
    kept : ndarray of int
        The draws that count, each as often as its weight says.

    Notes
    -----
    The distribution is that of the next patient, chance and draws together, given that a lesion comes within the last
    horizon: ``F(t) = E[p(t) - p(0)] / E[p(T) - p(0)]``. How probable that is, `p_within`, is a band over draws.
    """
    last = float(max(HORIZONS_YEARS))
    times = np.linspace(0.0, last, round(last * _STEPS_A_YEAR) + 1)
    anywhere = np.maximum.accumulate(risk_anywhere(times.tolist())[:, kept], axis=0)
    new = (anywhere - anywhere[0]).mean(axis=1)
    low, median, high = np.interp([(1 - level) / 2, 0.5, (1 + level) / 2], new / max(new[-1], _SMALLEST), times)
    within = (anywhere[-1] - anywhere[0]) / np.maximum(1 - anywhere[0], _SMALLEST)
    return LeadTime(
        median_years=float(median),
        low_years=float(low),
        high_years=float(high),
        within_years=last,
        p_within=RiskBand(**_inside(band(within, level))),
    )


def prior_dominated(cascade: Cascade, n_ctc: int | None) -> bool:
    """Return whether the risks rest on what the sample did not show: no CTC, or most of the shedding assumed unseen."""
    return not n_ctc or bool(np.median(cascade.unseen_share) > 0.5)


def _inside(found: dict[str, float]) -> dict[str, float]:
    return {name: min(max(value, _SMALLEST), _LARGEST_BELOW_ONE) for name, value in found.items()}
