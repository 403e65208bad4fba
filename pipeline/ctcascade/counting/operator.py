"""What the scanner's operator called CTC, set beside our calls of the same cells."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ctcascade.counting.agreement import agreement, nearest_cells
from ctcascade.data import lineage, store
from ctcascade.data.errors import InputError
from ctcascade.data.results import Compared, DifferingEvent, Operator
from ctcascade.formats import Event, operator_events
from ctcascade.formats.listing import FrameList, list_frames
from ctcascade.study.jobs import OperatorJob


def compare_with_operator(job: OperatorJob, base: Path, frames: Path, calls: Path, out: Path) -> None:
    """Write the calls of the scanner's operator beside the classifier's, as `results.Operator`.

    Parameters
    ----------
    job : OperatorJob
    base : Path
        Folder that image paths are relative to.
    frames, calls : Path
        Tables of the sample.
    out : Path
        JSON to write. Status ``no_events`` where the images come without an operator's calls, ``not_comparable`` with
        the reason where these cannot be read.

    Raises
    ------
    InputError
        If a table cannot be read, or the images are not there any more.
    """
    listed = list_frames(job.images, base, job.format, job.assay)
    lineage.refuse_strangers(job.sample, {"frames": frames, "calls": calls})
    called, analysed = store.read_table(calls, "calls"), store.read_table(frames, "frames")
    compared, reason = compare_events(listed, called, analysed, job.max_distance_um, job.level)
    read = {"frames": frames, "calls": calls} | {f"events_{n}": path for n, (_, path) in enumerate(listed.events)}
    result = Operator(
        sample=job.sample,
        status="ok" if compared else "not_comparable" if reason else "no_events",
        reason=reason,
        compared=compared,
        provenance=store.provenance(job, read),
    )
    store.write_json(out, result)


def compare_events(
    listed: FrameList, calls: pd.DataFrame, frames: pd.DataFrame, max_distance_um: float, level: float
) -> tuple[Compared | None, str]:
    """Return the operator's calls beside the classifier's, or why not; neither where the images come without them.

    Parameters
    ----------
    listed : FrameList
    calls, frames : DataFrame
        Tables of the sample.
    max_distance_um, level : float
        As for `compare`.
    """
    usable = frames[frames["usable"]]
    events: list[Event] = []
    try:
        for part, path in listed.events:
            sizes = usable.loc[usable["part"] == part, ["height_px", "width_px"]].to_numpy(int).tolist()
            if sizes:
                names = [ref.frame for ref in listed.frames if ref.part == part]
                events += operator_events(path, names, (sizes[0][0], sizes[0][1]))
    except InputError as error:
        fault = error.faults[0]  # without its folder: a result names no path of the machine
        return None, f"{path.name}, {fault.at}: found {fault.found}; expected {fault.expected}"
    if not events:
        return None, "no event in it is of a frame that was analysed" if listed.events else ""
    pixel_um = dict(zip(usable["frame"], usable["pixel_size_um"].astype(float), strict=True))
    return compare(events, calls, pixel_um, max_distance_um, level), ""


def compare(
    events: Sequence[Event],
    calls: pd.DataFrame,
    pixel_um: Mapping[str, float],
    max_distance_um: float,
    level: float,
) -> Compared:
    """Return how the operator's events and our calls agree.

    Parameters
    ----------
    events : sequence of Event
    calls : DataFrame
        As `tables.CALL_TABLE`.
    pixel_um : mapping of str to float
        Edge of a pixel of each frame that was analysed.
    max_distance_um : float
        Centres of an event and of its cell lie at most this far apart: an event's is that of the box that the scanner
        drew around it, which need not be the cell's own.
    level : float
        Probability of the interval of kappa.

    Notes
    -----
    An event and a cell are the same when they lie in one frame with centres at most `max_distance_um` apart;
    pairs are made from the nearest on.
    Only what the operator was shown is compared: the scanner picks these events for having DNA and cytokeratin, so the
    agreement says nothing of the other cells.
    """
    here = [event for event in events if event.frame in pixel_um]
    partner = nearest_cells([(e.frame, e.y_px, e.x_px) for e in here], calls, pixel_um, max_distance_um)
    call, cell = calls["call"].to_numpy(object), calls["cell"].to_numpy()
    rows = [partner.get(i) for i in range(len(here))]
    operator = np.array([event.is_ctc for event in here], np.int64)
    ours = np.array([row is not None and call[row] == "ctc" for row in rows], np.int64)
    differing = tuple(
        DifferingEvent(
            frame=event.frame,
            y_px=float(event.y_px),
            x_px=float(event.x_px),
            operator=event.is_ctc,
            call=None if row is None else str(call[row]),
            cell=None if row is None else int(cell[row]),
        )
        for event, row, is_ours in zip(here, rows, ours, strict=True)
        if event.is_ctc != bool(is_ours)
    )
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
