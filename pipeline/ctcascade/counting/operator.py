"""What the scanner's operator called CTC, set beside our calls of the same cells."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ctcascade.counting.agreement import Agreement, agreement, partners
from ctcascade.formats import Event

FARTHEST_UM = 10.0
"""The centre of an event is that of the box that the scanner drew around it, which need not be the cell's own."""


@dataclass(frozen=True)
class Compared:
    """The operator's events and our calls.

    Attributes
    ----------
    n_events : int
        Events of frames that were analysed; the others cannot be compared.
    n_elsewhere : int
        Events of frames that were not.
    both, operator_only, ours_only, neither : int
        Events by who called them CTC; an event where we found no cell is none of ours.
    ours_without_event : int
        Our CTCs that the operator was not shown.
    agreement : Agreement or None
        Over the events, of the two words CTC and not.
    differing : list of dict
        ``frame, y_px, x_px, operator, call, cell``: events called CTC by one alone; call and cell are None where we
        found none.
    """

    n_events: int
    n_elsewhere: int
    both: int
    operator_only: int
    ours_only: int
    neither: int
    ours_without_event: int
    agreement: Agreement | None
    differing: list[dict[str, Any]]


def compare(events: Sequence[Event], calls: pd.DataFrame, pixel_um: Mapping[str, float], level: float) -> Compared:
    """Return how the operator's events and our calls agree.

    Parameters
    ----------
    events : sequence of Event
    calls : DataFrame
        As `schema.CALL_TABLE`.
    pixel_um : mapping of str to float
        Edge of a pixel of each frame that was analysed.
    level : float
        Probability of the interval of kappa.

    Notes
    -----
    An event and a cell are the same when they lie in one frame with centres at most 10 um apart, nearest pairs first.
    Only what the operator was shown is compared: the scanner picks these events for having DNA and cytokeratin, so the
    agreement says nothing of the other cells.
    """
    here = [event for event in events if event.frame in pixel_um]
    partner = partners([(e.frame, e.y_px, e.x_px) for e in here], calls, pixel_um, FARTHEST_UM)
    call, cell = calls["call"].to_numpy(object), calls["cell"].to_numpy()
    rows = [partner.get(i) for i in range(len(here))]
    operator = np.array([event.is_ctc for event in here], np.int64)
    ours = np.array([row is not None and call[row] == "ctc" for row in rows], np.int64)
    differing = [
        {
            "frame": event.frame,
            "y_px": event.y_px,
            "x_px": event.x_px,
            "operator": event.is_ctc,
            "call": None if row is None else str(call[row]),
            "cell": None if row is None else int(cell[row]),
        }
        for event, row, is_ours in zip(here, rows, ours, strict=True)
        if event.is_ctc != bool(is_ours)
    ]
    return Compared(
        n_events=len(here),
        n_elsewhere=len(events) - len(here),
        both=int((operator & ours).sum()),
        operator_only=int((operator & ~ours & 1).sum()),
        ours_only=int((~operator & ours & 1).sum()),
        neither=int((1 - (operator | ours)).sum()),
        ours_without_event=int((call == "ctc").sum() - ours.sum()),
        agreement=agreement(np.stack([operator, ours], axis=1), level),
        differing=differing,
    )
