"""How a sample stands, in one state and one colour on every page: its images, the amount of blood, the blank."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from ctcascade.data.results import Counts, Quality
from ctcascade.report.numbers import is_wide

Kind = Literal["ok", "warn", "bad", "plain"]


class State(NamedTuple):
    """A mark and its words; ``plain`` is neither good nor bad."""

    kind: Kind
    text: str


def images(quality: Quality, doubts: Sequence[str]) -> State:
    """Return what the checks of a sample say. They grade its images, and say nothing of how much blood there was."""
    if doubts:
        return State("bad", "checks fail")
    if quality.status == "warn":
        return State("warn", "images: a warning")
    return State("ok", "images good") if quality.status == "ok" else State("bad", "checks fail")


def amount_of_blood(counts: Counts) -> State | None:
    """Return what the blood looked at allows: nothing special (None), a wide interval, or hardly a count at all."""
    if counts.status != "ok" or counts.ctc_per_7_5_ml is None:
        return None
    if counts.evidence == "too_little_blood":
        return State("warn", "too little blood")
    if counts.n_ctc and is_wide(counts.ctc_per_7_5_ml):
        return State("warn", "wide interval")
    return None


def blank(counts: Counts, donor: bool) -> State | None:
    """Return how a count stands to that of blood without any CTC; None where there is no count.

    Parameters
    ----------
    counts : Counts
    donor : bool
        Whether the blood is of somebody without a tumour, in whom none is expected.

    Notes
    -----
    A donor's count above blank is a warning of false calls. A patient's that is not above it is neither good nor bad.
    """
    if counts.status != "ok" or counts.above_blank is None:
        return None
    if donor:
        return State("warn", "above blank") if counts.above_blank else State("ok", "not above blank, as expected")
    return State("ok", "above blank") if counts.above_blank else State("plain", "not above blank")
