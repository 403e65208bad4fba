"""The survival curve of the published groups, and the other published rows and models beside it."""

import math
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ctcascade import evidence
from ctcascade.prognosis.curves import Continuous, Floats, band, horizon, mixture
from ctcascade.prognosis.rows import Comparison, Draw, is_of, shape_of

DISAGREEMENT = 0.10
"""Distance between two survival curves from which on they are said to disagree."""

_STEP_MONTHS = 0.25
_FAINT_STEP_MONTHS = 1.0


def curve(settings: Mapping[str, Any], draw: Draw, row: Comparison) -> pd.DataFrame:
    """Return the row's mixture curve with its band: ``time_months``, ``p``, ``low``, ``high``.

    The random draws are the same for every patient, so that curves differ by evidence and counts alone.
    """
    _, shape = shape_of(settings["patient"], row.row.endpoint)
    times = _times(last_month(settings, row), _STEP_MONTHS)
    weights = _weights(row, draw)
    central = mixture(times, weights, row.medians, shape.central)
    rng = np.random.default_rng([settings["random_seed"], zlib.crc32(b"prognose")])
    low, high = band(times, weights, row.groups, shape, rng=rng, level=settings["level"], draws=settings["draws"])
    return pd.DataFrame(
        {"time_months": times, "p": central, "low": np.minimum(low, central), "high": np.maximum(high, central)}
    )


def last_month(settings: Mapping[str, Any], row: Comparison) -> float:
    """Return where the row's evidence ends, months."""
    reach = float(row.row.reach_months)
    _, shape = shape_of(settings["patient"], row.row.endpoint)
    return horizon(row.medians, shape, None if math.isnan(reach) else reach)


def strata(settings: Mapping[str, Any], draw: Draw, row: Comparison) -> list[dict[str, Any]]:
    """Return the row's groups with their weights and medians; limits only where the row could draw a curve."""
    limits: Sequence[tuple[float | None, float | None]] = [(None, None)] * len(row.strata)
    if not row.why_no_curve(draw) and not any(math.isnan(s.n) for s in row.strata):
        _, shape = shape_of(settings["patient"], row.row.endpoint)
        limits = [group.limits(shape.central, settings["level"]) for group in row.groups]
    return [
        {
            "evidence_id": s.Index,
            "label": s.label,
            "weight": weight,
            "median_months": None if math.isnan(s.median_months) else s.median_months,
            "low_months": low,
            "high_months": high,
            "median_is_lower_bound": bool(s.lower_bound),
        }
        for s, weight, (low, high) in zip(row.strata, row.weights(draw), limits, strict=True)
    ]


def other_row(
    settings: Mapping[str, Any], draw: Draw, row: Comparison, main: Comparison | None, drawn: pd.DataFrame
) -> dict[str, Any]:
    """Return another published row, with its own central curve where it can stand beside the main one.

    Parameters
    ----------
    settings : mapping
    draw : Draw
        The draw that the survival starts at.
    row : Comparison
    main : Comparison or None
        The row that draws the main curve; None where there is no main curve.
    drawn : DataFrame
        The main curve; empty where there is none.
    """
    why = row.why_no_curve(draw)
    if main is None:
        why = why or "no curve is drawn for this setting"
    elif row.row.endpoint != main.row.endpoint:
        why = why or "another end point"
    times: Floats = np.zeros(0)
    alive: Floats = np.zeros(0)
    if not why:
        _, shape = shape_of(settings["patient"], row.row.endpoint)
        times = _times(min(last_month(settings, row), float(drawn.time_months.iloc[-1])), _FAINT_STEP_MONTHS)
        alive = mixture(times, _weights(row, draw), row.medians, shape.central)
    return {
        "evidence_id": row.id,
        "population": row.row.population,
        "subtype": row.row.subtype,
        "endpoint": row.row.endpoint,
        "time_zero": row.row.time_zero,
        "n": None if math.isnan(row.row.n) else int(row.row.n),
        "accrual": row.row.accrual,
        "era": row.row.era,
        "strata": strata(settings, draw, row),
        "why_no_curve": why,
        "hr_flag": next((s.hr_flag for s in row.strata if s.hr_flag), ""),
        **_beside(times, alive, drawn),
    }


def sensitivity(settings: Mapping[str, Any], draw: Draw, main: Comparison, drawn: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the continuous model, where the distribution of baseline counts among such patients is known."""
    patient = settings["patient"]
    counted = evidence.load("count_distributions")
    rows = [(str(n), r) for n, r in counted.iterrows() if is_of(r, patient["primary"], patient["setting"])]
    p = draw.p_at_least
    if not rows or p is None or not draw.is_baseline or len(main.medians) != 2:
        return []
    name, counts = rows[0]
    shape_id, shape = shape_of(patient, main.row.endpoint)
    below, above = main.medians
    model = Continuous.calibrated(main.cutoff, (below, above), shape.central, counts["size"], counts["mean"])
    times = _times(float(drawn.time_months.iloc[-1]), _FAINT_STEP_MONTHS)
    return [
        {
            "model": "continuous",
            "meaning": "median survival falls with log(1 + count) and has the published medians below and from the "
            "cut-off; it tells counts of one group apart, which the published groups do not",
            "evidence_ids": [main.id, name, shape_id],
            **_beside(times, model.survival(times, p), drawn),
        }
    ]


def _weights(row: Comparison, draw: Draw) -> list[float]:
    """Return the weights of a row that `why_no_curve` has nothing against."""
    return [w for w in row.weights(draw) if w is not None]


def _times(last: float, step: float) -> Floats:
    """Return 0, step, ... and the last month itself."""
    return np.unique(np.append(np.arange(0.0, last, step), last))


def _beside(times: Floats, alive: Floats, drawn: pd.DataFrame) -> dict[str, Any]:
    """Return a curve's points and the largest distance to the main one, which reaches at least as far."""
    distance = None
    if len(times):
        distance = float(np.abs(alive - np.interp(times, drawn.time_months, drawn.p)).max())
    return {
        "curve": [{"time_months": float(t), "p": float(p)} for t, p in zip(times, alive, strict=True)],
        "max_difference": distance,
        "disagrees": None if distance is None else distance > DISAGREEMENT,
    }
