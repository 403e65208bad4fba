"""End points of a trial that rest on two counts: cells gone, or few, some weeks into therapy.

A patient whose last count before therapy is at least ``before_low`` is a responder if the count within the window is at
most ``after_high``, and a non-responder otherwise. Without a usable sample in the window the patient is a non-responder
too: patients who are not sampled do worse, and leaving them out would flatter a treatment. Patients who begin below
``before_low`` cannot be judged. Definitions are rows of response.tsv.
"""

from collections.abc import Sequence
from typing import Literal

from ctcascade import evidence
from ctcascade.data.results import Response
from ctcascade.prognosis.rows import Sample

_MORE_LIKELY = 0.5


def responses(samples: Sequence[Sample]) -> tuple[Response, ...]:
    """Return each end point for the samples of one patient, by date; samples whose checks fail are no samples.

    Notes
    -----
    Where the reference assay's count is not simply the observed one (`ReferenceCount.how`), `p` is the probability that
    both counts meet the definition, independent of each other, and the status says what is more probable.
    """
    usable = [s for s in samples if not s.against and s.reference is not None]
    started = [s for s in samples if s.weeks_on_therapy is not None]
    return tuple(_response(row, usable, started=bool(started)) for row in evidence.rows("response").values())


def _response(row: evidence.Row, usable: Sequence[Sample], *, started: bool) -> Response:
    before = [s for s in usable if s.weeks_on_therapy is not None and s.weeks_on_therapy <= 0]
    within = [s for s in usable if s.is_within(row.week_low, row.week_high)]
    first, then = before[-1] if before else None, within[-1] if within else None
    about = {
        "name": row.id,
        "definition": row.meaning,
        "baseline_sample": first.name if first else None,
        "n_ctc_baseline": first.n_ctc if first else None,
        "sample": then.name if then else None,
        "n_ctc": then.n_ctc if then else None,
    }
    if first is None:
        why = "no usable sample before therapy" if started else "no start of therapy is given"
        return Response(**about, status="not_evaluable", missing=False, p=None, reason=why)
    enough = first.p_between(row.before_low, float("nan")) or 0.0
    if enough < _MORE_LIKELY:
        why = f"the count before therapy is below {row.before_low:g}"
        return Response(**about, status="not_applicable", missing=False, p=None, reason=why)
    window = f"weeks {row.week_low:g} to {row.week_high:g}"
    if then is None and max(s.weeks_on_therapy or 0.0 for s in usable) <= row.week_high:
        why = f"{window} have not come, or no later sample shows that they have"
        return Response(**about, status="not_evaluable", missing=True, p=None, reason=why)
    if then is None:
        why = f"no usable sample in {window}, which counts as no response"
        return Response(**about, status="non_responder", missing=True, p=0.0, reason=why)
    few = then.p_between(0.0, row.after_high) or 0.0
    status: Literal["responder", "non_responder"] = "responder" if few >= _MORE_LIKELY else "non_responder"
    return Response(**about, status=status, missing=False, p=min(1.0, enough * few), reason="")
