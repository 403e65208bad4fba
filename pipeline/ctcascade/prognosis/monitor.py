"""What two draws say together: the published class of the change, and, apart from it, whether it is a change at all."""

import math
from collections.abc import Sequence
from typing import Any

from ctcascade import evidence
from ctcascade.counting.observation import change
from ctcascade.prognosis.rows import Draw, is_of

_EVIDENCE_OF_SPREAD = "tube_variation"


def monitor(
    draws: Sequence[Draw], primary: str, setting: str, subtype: str | None, level: float
) -> list[dict[str, Any]]:
    """Return one entry a later draw, set against the last draw before therapy (the first draw if there is none).

    Parameters
    ----------
    draws : sequence of Draw
        By date.
    primary, setting, subtype : str
    level : float
        Of the interval of the rate ratio; a change is established at 1 - `level`, two-sided.

    Returns
    -------
    list of dict
        As in the schema: the exact test of the two counts, and the published classes whose window fits the draw. A
        class outside its window is named without its numbers.
    """
    if len(draws) < 2:
        return []
    before = [d for d in draws if d.is_baseline and d.weeks_on_therapy is not None]
    earlier = before[-1] if before else draws[0]
    later = [d for d in draws if d.collected > earlier.collected]
    rows = _matching(primary, setting, subtype)
    return [_entry(earlier, d, rows, level, bool(before)) for d in later]


def _entry(earlier: Draw, later: Draw, rows: dict[str, list[Any]], level: float, from_baseline: bool) -> dict[str, Any]:
    spread = float(evidence.load("assay_facts").central[_EVIDENCE_OF_SPREAD])
    x, y = int(earlier.counts["n_ctc"]), int(later.counts["n_ctc"])
    seen = (x, _exposure(earlier), y, _exposure(later))
    exact = change(*seen, level=level)
    why = _why_no_category(earlier, later, rows, from_baseline)
    return {
        "sample": later.sample,
        "earlier_sample": earlier.sample,
        "days_between": (later.collected - earlier.collected).days,
        "weeks_on_therapy": later.weeks_on_therapy,
        "n_ctc_earlier": x,
        "n_ctc_later": y,
        "change": {
            "rate_ratio": exact.rate_ratio,
            "low": exact.low,
            "high": exact.high,
            "level": level,
            "p_value": exact.p_value,
            "verdict": exact.verdict,
            "verdict_with_tube_variation": change(*seen, level=level, assay_cv=spread).verdict,
        },
        "published": [] if why else _published(earlier, later, rows, exact.rate_ratio),
        "why_no_category": why,
    }


def _why_no_category(earlier: Draw, later: Draw, rows: dict[str, list[Any]], from_baseline: bool) -> str:
    if not rows:
        return "no published class of change for this setting"
    if not from_baseline:
        return "the published classes need a draw before the start of therapy"
    if earlier.p_at_least is None or later.p_at_least is None:
        return "a draw cannot be set against published counts"
    return ""


def _exposure(draw: Draw) -> float:
    """Return the blood looked at times the share of its cells that are found, mL."""
    c = draw.counts
    seen = c["blood_volume_ml"] * c["sampled_fraction"] * c["imaged_fraction"]
    return float(seen * c["recovery"]["mean"] * c["sensitivity"]["mean"])


def _matching(primary: str, setting: str, subtype: str | None) -> dict[str, list[Any]]:
    """Return the published classes by study."""
    rows = evidence.load("kinetics")
    fits = [is_of(r, primary, setting) and (subtype is None or r.subtype in ("", subtype)) for _, r in rows.iterrows()]
    return {str(study): list(group.itertuples()) for study, group in rows[fits].groupby("study", sort=False)}


def _published(
    earlier: Draw, later: Draw, rows: dict[str, list[Any]], rate_ratio: float | None
) -> list[dict[str, Any]]:
    """Return the likeliest class of each study whose condition on the earlier draw is more likely than not to hold."""
    found = []
    for classes in rows.values():
        held = [_p_category(row, earlier, later, rate_ratio) for row in classes]
        if sum(held) >= 0.5:
            p, row = max(zip(held, classes, strict=True), key=lambda pair: pair[0])
            found.append(_class(row, p, later))
    return found


def _p_category(row: Any, earlier: Draw, later: Draw, rate_ratio: float | None) -> float:
    """Return the probability that replicate reference counts of the two draws fall into a class."""
    p = _p_range(earlier, row.before_low, row.before_high) * _p_range(later, row.after_low, row.after_high)
    fall = 0.0 if rate_ratio is None else 1 - rate_ratio
    rose = later.counts["n_ctc"] > 0 if rate_ratio is None else rate_ratio > 1
    holds = (
        (math.isnan(row.fall_low) or fall >= row.fall_low)
        and (math.isnan(row.fall_high) or fall < row.fall_high)
        and (not row.rise or (row.rise == "yes") == rose)
    )
    return p if holds else 0.0


def _p_range(draw: Draw, low: float, high: float) -> float:
    return 1.0 if math.isnan(low) else draw.p_between(low, high) or 0.0


def _class(row: Any, p: float, later: Draw) -> dict[str, Any]:
    window = "not stated"
    if not math.isnan(row.week_low):
        window = "inside" if later.is_within(row.week_low, row.week_high) else "outside"
    shown = window != "outside"
    relative = ""
    if shown and not math.isnan(row.hr):
        limits = "" if math.isnan(row.hr_low) else f" (95 % interval {row.hr_low:g} to {row.hr_high:g})"
        relative = f"hazard {row.hr:g} times that of: {row.hr_against}{limits}"
    return {
        "evidence_id": row.Index,
        "study": row.study,
        "label": row.label,
        "p_category": min(1.0, p),
        "window": window,
        "endpoint": row.endpoint,
        "time_zero": row.time_zero,
        "n": None if math.isnan(row.n) else int(row.n),
        "median_months": row.median_months if shown and not math.isnan(row.median_months) else None,
        "median_is_lower_bound": bool(row.lower_bound),
        "relative": relative,
        "era": row.era,
        "note": row.note,
    }
