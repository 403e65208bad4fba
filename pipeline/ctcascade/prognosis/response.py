"""End points of a trial that rest on two counts: cells gone, fewer or more, some weeks into therapy.

A patient whose last count before therapy, at most ``baseline_weeks`` old, is from ``before_low`` to ``before_high``
meets an end point if the count within its window is at most ``after_high``, or has fallen by ``fall_low`` or more, or,
of progression, has risen.

Without a usable sample in the window the patient is a non-responder where the publication says so: patients who are
not sampled do worse, and leaving them out would flatter a treatment; else the patient is left out, as there. Of several
samples in the window the last counts; of any rise, the one with the highest count per volume. Definitions are rows of
response.tsv.
"""

import math
from collections.abc import Sequence
from typing import Any, Literal

from ctcascade import evidence
from ctcascade.data.results import Counts, Response
from ctcascade.prognosis.change import compare, p_ratio_at_most
from ctcascade.prognosis.rows import Sample

_MORE_LIKELY = 0.5
_ANY_LEVEL = 0.95  # of an interval that is not used
_ROUNDED = 1e-9
_CLASSES: dict[str, tuple[Literal["responder", "progression"], Literal["non_responder", "no_progression"]]] = {
    "response": ("responder", "non_responder"),
    "progression": ("progression", "no_progression"),
}


def responses(samples: Sequence[Sample]) -> tuple[Response, ...]:
    """Return each end point for the samples of one patient, by date; samples whose checks fail are no samples.

    Notes
    -----
    The class is that of the counts, as the publications defined it. Where the reference assay's count is not simply the
    observed one (`ReferenceCount.how`), `p` is the probability that both counts meet the definition, independent of
    each other, and the status says what is more probable.

    Counts are uncertain whoever counts: `p_by_class` is what the posteriors of both say, for cut-offs that of another
    tube of each draw (`Counts.p_at_least`), for a relative change that of the levels (`change.p_ratio_at_most`).
    """
    usable = [s for s in samples if not s.against and s.reference is not None]
    started = [s for s in samples if s.weeks_on_therapy is not None]
    return tuple(_response(row, usable, started=bool(started)) for row in evidence.rows("response").values())


def _response(row: evidence.Row, usable: Sequence[Sample], *, started: bool) -> Response:
    before = [s for s in usable if s.is_within(-math.inf, 0)]
    within = [s for s in usable if s.is_within(row.week_low, row.week_high)]
    fresh = [s for s in before if s.is_within(-row.baseline_weeks, 0)]
    first, then = fresh[-1] if fresh else None, _judged(row, within)
    about = {
        "name": row.id,
        "definition": row.meaning,
        "meets": row.meets,
        "week_low": row.week_low,
        "week_high": row.week_high,
        "study": row.reference,
        "baseline_sample": first.name if first else None,
        "n_ctc_baseline": first.n_ctc if first else None,
        "sample": then.name if then else None,
        "n_ctc": then.n_ctc if then else None,
    }
    if first is None:
        why = _why_no_baseline(row, before, started=started)
        return Response(**about, status="not_evaluable", missing=False, p=None, reason=why)
    enough = _p_before(row, first)
    if enough < _MORE_LIKELY:
        side = f"below {row.before_low:g}" if row.before_low > 0 else f"above {row.before_high:g}"
        return Response(
            **about, status="not_applicable", missing=False, p=None, reason=f"the count before therapy is {side}"
        )
    if then is None:
        return _missing(row, about, usable)
    held = _held(row, first, then)
    status = _CLASSES[row.meets][0 if held >= _MORE_LIKELY else 1]
    by_class = _by_class(row, first.counts, then.counts)
    return Response(**about, status=status, missing=False, p=min(1.0, enough * held), p_by_class=by_class, reason="")


def _judged(row: evidence.Row, within: Sequence[Sample]) -> Sample | None:
    """Return the sample in the window that counts: the last one, or of any rise the one with most per volume."""
    if not within:
        return None
    return max(within, key=lambda s: s.n_ctc / s.analysed_ml) if row.meets == "progression" else within[-1]


def _why_no_baseline(row: evidence.Row, before: Sequence[Sample], *, started: bool) -> str:
    if not started:
        return "no start of therapy is given"
    if not before:
        return "no usable sample before therapy"
    weeks = -(before[-1].weeks_on_therapy or 0.0)
    found = f"the last usable sample before therapy is {weeks:.0f} weeks older than its start"
    return f"{found}, more than {row.baseline_weeks:g}"


def _missing(row: evidence.Row, about: dict[str, Any], usable: Sequence[Sample]) -> Response:
    """Return the end point of a patient without a usable sample in the window."""
    window = f"weeks {row.week_low:g} to {row.week_high:g}"
    weeks = [s.weeks_on_therapy or 0.0 for s in usable]
    if max(weeks) <= row.week_high:
        why = f"{window} have not come, or no later sample shows that they have"
        return Response(**about, status="not_evaluable", missing=True, p=None, reason=why)
    if row.missing == "not_evaluable":
        why = f"no usable sample in {window}; the publication judged only patients with one"
        return Response(**about, status="not_evaluable", missing=True, p=None, reason=why)
    nearest = min(weeks, key=lambda week: max(row.week_low - week, week - row.week_high))
    why = f"no usable sample in {window} (the nearest: week {nearest:.1f}), which counts as no response"
    return Response(**about, status="non_responder", missing=True, p=0.0, reason=why)


def _p_before(row: evidence.Row, first: Sample) -> float:
    """Return the probability that the count before therapy is one that the definition is for."""
    if row.before_low > 0:
        return first.p_between(row.before_low, row.before_high) or 0.0
    return first.p_between(0.0, row.before_high) or 0.0


def _held(row: evidence.Row, first: Sample, then: Sample) -> float:
    """Return the probability that the later count meets the definition; 0 or 1 of a relative change of the counts."""
    if not math.isnan(row.after_high):
        return then.p_between(0.0, row.after_high) or 0.0
    ratio = compare(first.counts, then.counts, _ANY_LEVEL).rate_ratio
    if row.meets == "progression":
        return float(then.n_ctc > 0 if ratio is None else ratio > 1 + _ROUNDED)
    return float(ratio is not None and ratio <= 1 - row.fall_low + _ROUNDED)


def _by_class(row: evidence.Row, first: Counts, then: Counts) -> dict[str, float] | None:
    """Return the probability of each class from the posteriors of both counts."""
    if None in first.p_at_least.values() or None in then.p_at_least.values():
        return None
    before = _p_least(first, row.before_low)
    if not math.isnan(row.before_high):
        before -= _p_least(first, row.before_high + 1)
    if not math.isnan(row.after_high):
        after = 1 - _p_least(then, row.after_high + 1)
    elif row.meets == "progression":
        after = 1 - p_ratio_at_most(first, then, 1.0)
    else:
        after = p_ratio_at_most(first, then, 1 - row.fall_low)
    before = max(0.0, before)
    meets, fails = _CLASSES[row.meets]
    return {meets: before * after, fails: before * (1 - after), "not_applicable": 1 - before}


def _p_least(counts: Counts, n: float) -> float:
    """Return the probability of a reference count of at least `n`, a cut-off, in another tube."""
    return 1.0 if n <= 0 else counts.p_at_least[f"{n:g}"] or 0.0
