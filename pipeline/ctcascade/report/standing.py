"""How a sample stands, in one state and one colour on every page: its images, the amount of blood, the blank."""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from ctcascade.data.doubts import why_withheld
from ctcascade.data.results import Cascade, Counts, Prognosis, Quality
from ctcascade.report.numbers import is_wide

_BEFORE_IMAGING = "hours_to_processing"  # a fact of the sheet, which need not state it
Kind = Literal["ok", "warn", "bad", "plain"]


class State(NamedTuple):
    """A mark and its words; ``plain`` is neither good nor bad."""

    kind: Kind
    text: str


def images(quality: Quality, doubts: Sequence[str]) -> State:
    """Return what the checks of a sample say. They grade its images, and say nothing of how much blood there was.

    Images of which a check could not be made are not called good.
    """
    if doubts:
        return State("bad", "checks fail")
    if quality.status == "warn":
        return State("warn", "images: a warning")
    if quality.status != "ok":
        return State("bad", "checks fail")
    of_images = [check for check in quality.checks if check.check != _BEFORE_IMAGING]
    if any(check.state == "not_measured" for check in of_images):
        return State("plain", "images: not all checked")
    return State("ok", "images good")


def amount_of_blood(counts: Counts) -> State | None:
    """Return what the blood looked at allows: nothing special (None), a wide interval, or hardly a count at all."""
    if counts.status != "ok" or counts.ctc_per_7_5_ml is None:
        return None
    if counts.evidence == "too_little_blood":
        return State("warn", "too little blood")
    if counts.n_ctc and is_wide(counts.ctc_per_7_5_ml):
        return State("warn", "wide interval")
    return None


def blank(counts: Counts, donor: bool, doubts: Sequence[str] = ()) -> State | None:
    """Return how a count stands to that of blood without any CTC; None where there is no count.

    Parameters
    ----------
    counts : Counts
    donor : bool
        Whether the blood is of somebody without a tumour, in whom none is expected.
    doubts : sequence of str
        What speaks against the sample (`data.doubts.doubts`): such a count is neither good nor bad.

    Notes
    -----
    A donor's count above blank is a warning of false calls. A patient's that is not above it is neither good nor bad.
    """
    if counts.status != "ok" or counts.above_blank is None:
        return None
    if doubts:
        return State("plain", "above blank" if counts.above_blank else "not above blank")
    if donor:
        return State("warn", "above blank") if counts.above_blank else State("ok", "not above blank, as expected")
    return State("ok", "above blank") if counts.above_blank else State("plain", "not above blank")


def why_no_risk(cascade: Cascade, counts: Sequence[Counts], doubts: Mapping[str, Sequence[str]]) -> str:
    """Return why no page or table gives risks of organs, in words; empty where they do.

    Parameters
    ----------
    cascade : Cascade
    counts : sequence of Counts
        The samples of the patient.
    doubts : mapping of str to sequence of str
        What speaks against each sample (`data.doubts.doubts`).

    Notes
    -----
    The cascade withholds them itself where it was given the checks; this holds for one that was not, too.
    """
    if cascade.status != "ok" or cascade.evidence != "enough":
        return cascade.reason
    return why_withheld(counts, doubts)


def why_no_group(prognosis: Prognosis, latest: Counts | None, doubts: Mapping[str, Sequence[str]]) -> str:
    """Return why no published group is set beside the counts, in two or three words; empty where one is.

    Parameters
    ----------
    prognosis : Prognosis
    latest : Counts or None
        The latest sample that could be evaluated.
    doubts : mapping of str to sequence of str
        What speaks against each sample (`data.doubts.doubts`).
    """
    if prognosis.status in ("ok", "relative_only"):
        return ""
    if prognosis.status != "no_evidence" or not prognosis.published:
        return prognosis.status.replace("_", " ")
    if latest is None:
        return "not evaluable"
    if doubts.get(latest.sample):
        return "checks fail"
    if latest.evidence == "too_little_blood":
        return "too little blood"
    return "no evidence" if latest.reference_equivalent else "assay not compared"
