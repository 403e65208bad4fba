"""Further markers of cells (HER2, AR-V7 ...): which CTCs show them, against the sample's own leukocytes.

An absolute grey value means nothing from one instrument, lot or day to the next, so a cell is set against the
leukocytes that lay on the same slide. What a marker says about outcome is no matter of this module.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from ctcascade.data import results
from ctcascade.study.assay import Marker, MarkerGate, MarkerRule

Floats = NDArray[np.float64]

_PRIOR = 0.5  # Jeffreys' of a share: Beta(0.5, 0.5)


def log_scale(values: Floats, floor: float, min_spread: float) -> tuple[float, float]:
    """Return centre and upper spread of ln(values + floor) of cells that should not show a marker.

    The spread is one standard deviation of the upper half, whatever the uppermost tenth shows, and at least
    `min_spread`.
    """
    centre, high = np.quantile(np.log(np.maximum(values, 0) + floor), [0.5, 0.84])
    return float(centre), max(float(high - centre), min_spread)


def contrast_of(cells: pd.DataFrame, role: str) -> Floats:
    """Return the mean of a role above the cell's own surroundings, counts; of CD45 over cell or nucleus, the lesser.

    A leukocyte shows CD45 in both. A CTC beside one is lit at its edge only, and bleeding from DNA lights the nucleus
    only.

    Parameters
    ----------
    cells : DataFrame, n rows
        ``{role}_mean``, ``{role}_ring_mean`` and for CD45 ``cd45_nucleus_mean`` of `schema.CELLS`.
    role : str

    Returns
    -------
    ndarray of float, shape (n,)
        May be below zero: nothing brighter than what lies around.
    """
    around = np.nan_to_num(cells[f"{role}_ring_mean"].to_numpy(float))
    mean = cells[f"{role}_mean"].to_numpy(float)
    if role == "cd45":
        mean = np.fmin(mean, cells["cd45_nucleus_mean"].to_numpy(float))
    return np.asarray(mean - np.maximum(around, 0))


def marker_columns(
    cells: pd.DataFrame,
    leukocytes: NDArray[np.bool_],
    noise: Mapping[str, float],
    markers: Mapping[str, MarkerGate],
    min_spread: float,
) -> pd.DataFrame:
    """Return for each cell how far it stands above the leukocytes in each marker, and whether that is positive.

    Parameters
    ----------
    cells : DataFrame, n rows
        As `tables.CELLS`.
    leukocytes : ndarray of bool, shape (n,)
        Cells to compare with; none where the sample has too few of them.
    noise : mapping of str to float
        Standard deviation of the background by role, counts.
    markers : mapping of str to MarkerGate
        By role.
    min_spread : float
        Least spread of ln intensity.

    Returns
    -------
    DataFrame
        ``{role}_z`` (upper spreads of ln intensity above the leukocytes' median) and ``{role}_positive``; null where
        the cell cannot be judged: no leukocytes, no such channel, no nucleus or no cytoplasm to compare it with.

    Notes
    -----
    ``cell`` is the mean over the cell above its surroundings. ``nucleus`` is the mean over the nucleus above that of
    the cell's own cytoplasm, and a positive nucleus is ``min_nucleus_ratio`` times as bright as the cytoplasm, so that
    a marker all over the cell is not taken for one in the nucleus.
    """
    columns: dict[str, Floats | pd.arrays.BooleanArray] = {}
    for role, rule in markers.items():
        light = _light(cells, role, rule.place)
        usual = light[leukocytes & np.isfinite(light)]
        z = np.full(len(cells), np.nan)
        if len(usual):
            floor = max(noise.get(role, 1.0), 1e-6)
            centre, spread = log_scale(usual, floor, min_spread)
            z = (np.log(np.maximum(light, 0) + floor) - centre) / spread
        positive = pd.array((z >= rule.min_z) & _is_local(cells, role, rule), dtype="boolean")
        positive[np.isnan(z)] = pd.NA
        columns |= {f"{role}_z": z, f"{role}_positive": positive}
    return pd.DataFrame(columns, index=cells.index)


def tally_markers(calls: pd.DataFrame, markers: Mapping[str, Marker], level: float) -> tuple[results.Marker, ...]:
    """Return one entry a marker: how many CTCs show it, the share in the blood, and the rule's verdict.

    Parameters
    ----------
    calls : DataFrame
        With the columns of `marker_columns`.
    markers : mapping of str to Marker
        By role. By its rule a sample with fewer than ``min_ctcs`` evaluable CTCs is not evaluable; it is positive from
        ``min_positive`` positive CTCs and a share of ``min_share`` on.
    level : float
        Of the interval of the share.

    Notes
    -----
    The share has a Beta(n_positive + 1/2, n_negative + 1/2) posterior; the estimate is its mean, the limits are its
    central quantiles. Five cells, none of them positive, still leave 38 % possible.
    """
    ctcs = calls[calls["call"] == "ctc"]
    return tuple(_tallied(ctcs, role, marker, level) for role, marker in markers.items())


def no_markers(markers: Mapping[str, Marker], why: str) -> tuple[results.Marker, ...]:
    """Return the entries of a sample in which nothing could be seen."""
    return tuple(_entry(role, marker, None, None, None, "not_evaluable", why) for role, marker in markers.items())


def _light(cells: pd.DataFrame, role: str, place: str) -> Floats:
    if f"{role}_mean" not in cells:
        return np.full(len(cells), np.nan)
    if place == "nucleus":
        inside, around = (cells[f"{role}_{part}_mean"].to_numpy(float) for part in ("nucleus", "cytoplasm"))
        return np.asarray(inside - around)
    return contrast_of(cells, role)


def _is_local(cells: pd.DataFrame, role: str, rule: MarkerGate) -> NDArray[np.bool_]:
    """Return whether the light of each cell lies where the rule wants it."""
    if rule.place == "cell" or f"{role}_mean" not in cells:
        return np.ones(len(cells), np.bool_)
    inside, around = (cells[f"{role}_{part}_mean"].to_numpy(float) for part in ("nucleus", "cytoplasm"))
    return np.asarray(inside >= (rule.min_nucleus_ratio or 0) * around)


def _tallied(ctcs: pd.DataFrame, role: str, marker: Marker, level: float) -> results.Marker:
    positive = ctcs[f"{role}_positive"].dropna().astype(bool)
    n, k = len(positive), int(positive.sum())
    status, reason = _verdict(n, k, len(ctcs), marker.rule)
    return _entry(role, marker, n, k, _share(k, n, level) if n else None, status, reason)


def _verdict(n: int, k: int, n_ctc: int, rule: MarkerRule) -> tuple[results.MarkerStatus, str]:
    if n < rule.min_ctcs:
        cells = "CTC" if n == 1 else "CTCs"
        return "not_evaluable", f"{n} of {n_ctc} {cells} could be judged; the rule wants at least {rule.min_ctcs}"
    if k >= rule.min_positive and k / n >= rule.min_share:
        return "positive", ""
    return "negative", ""


def _share(k: int, n: int, level: float) -> results.Interval:
    positive, negative = k + _PRIOR, n - k + _PRIOR
    low, high = special.betaincinv(positive, negative, [(1 - level) / 2, (1 + level) / 2])
    return results.Interval(estimate=positive / (positive + negative), low=float(low), high=float(high), level=level)


def _entry(
    role: str,
    marker: Marker,
    n: int | None,
    k: int | None,
    share: results.Interval | None,
    status: results.MarkerStatus,
    reason: str,
) -> results.Marker:
    ratio, rule = marker.min_nucleus_ratio, marker.rule
    return results.Marker(
        role=role,
        marker=marker.marker,
        place=marker.place,
        min_z=results.SourcedValue(value=marker.min_z.value, source=marker.min_z.source),
        min_nucleus_ratio=results.SourcedValue(value=ratio.value, source=ratio.source) if ratio else None,
        rule=results.MarkerRule(
            min_ctcs=rule.min_ctcs, min_positive=rule.min_positive, min_share=rule.min_share, source=rule.source
        ),
        n_evaluable=n,
        n_positive=k,
        n_negative=None if n is None or k is None else n - k,
        share=share,
        status=status,
        reason=reason,
    )
