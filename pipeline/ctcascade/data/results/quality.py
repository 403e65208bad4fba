"""quality.json, controls.json and operator.json: whether a sample can be trusted, and what the operator saw."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from ctcascade.data.results.base import Amount, Count, Flag, Keys, Number, OneOf, Result, ResultFile, Text
from ctcascade.data.results.counts import Agreement, Claim
from ctcascade.data.vocabulary import CONTROLS

State = Literal["ok", "warn", "fail"]
CheckState = Literal["ok", "warn", "fail", "not_measured"]


class Check(Result):
    """One check of a sample with its limits."""

    check: Text = Field(description="name of the check")
    meaning: Text = Field(description="what it measures")
    value: Number | None = Field(description="null where there was nothing to measure it on")
    state: CheckState = Field(description="verdict; not_measured where there is no value: it is never good")
    limit: Literal["at least", "at most"] = Field(description="on which side of the limits a value is good")
    warn: Number | None = Field(description="limit beyond which it warns; null: none")
    fail: Number | None = Field(description="limit beyond which it fails; null: none")


class FrameQuality(Result):
    """The checks of one frame that are beyond a limit."""

    frame: Text = Field(description="field of view")
    state: State = Field(description="verdict on the frame")
    warn: tuple[Text, ...] = Field(description="checks that warn")
    fail: tuple[Text, ...] = Field(description="checks that fail; `usable` alone where the frame is not usable")


class Stated(Result):
    """What the sheet states of a sample's handling: shown, held to no limit, and used in no number."""

    name: Text = Field(description="column of the sample sheet")
    value: Text = Field(description="as stated")
    unit: Text = Field(description="unit, or empty")
    meaning: Text = Field(description="what it is, and why it may matter")


class Quality(ResultFile):
    """The quality of one sample."""

    file_name: ClassVar[str] = "quality.json"

    sample: Text = Field(description="name of the sample")
    lot: Text | None = Field(description="lot of the reagents")
    tube: Text | None = Field(description="kind of blood tube")
    hours_to_processing: Amount | None = Field(description="hours from collection to processing")
    preanalytics: tuple[Stated, ...] = Field(
        default=(), description="what the sheet states of the blood before processing; no published limit is applied"
    )
    status: State = Field(description="the worst of the checks that were measured; fail where a claim fails")
    checks: tuple[Check, ...] = Field(description="each check of the sample")
    claims: tuple[Claim, ...] = Field(default=(), description="what its calls rest on, and whether it holds")
    frames: tuple[FrameQuality, ...] = Field(description="each frame")
    frame_states: Annotated[dict[str, Count], Keys(("ok", "warn", "fail"))] = Field(
        description="number of frames by verdict"
    )
    lost_frames: dict[str, Count] = Field(description="reason why frames could not be analysed -> number of them")
    flagged_frames: dict[str, Count] = Field(description="flag of `frames` -> number of frames that have it")


class ControlLimit(Result):
    """A line of a control chart."""

    name: Text = Field(description="name of the line")
    value: Amount = Field(description="CTCs at the line")


class Control(Result):
    """One control sample of a chart."""

    sample: Text = Field(description="name of the sample")
    collected: Text = Field(description="day of collection, YYYY-MM-DD")
    n_ctc: Count | None = Field(description="CTCs counted; null where not evaluable")
    state: State = Field(description="verdict on the control")
    why: Text = Field(description="why it warns or fails, else empty")


class ControlChart(Result):
    """The controls of one assay, lot and kind: a Levey-Jennings chart."""

    assay: Text = Field(description="name of the assay")
    lot: Text | None = Field(description="lot of the reagents")
    role: Annotated[str, OneOf(CONTROLS)] = Field(description="kind of control")
    mean: Amount | None = Field(description="null until the lot has as many controls as set its limits")
    sd: Amount | None = Field(description="standard deviation, likewise")
    limits: tuple[ControlLimit, ...] = Field(description="lines of the chart")
    controls: tuple[Control, ...] = Field(description="the controls, in order of time")


class Controls(ResultFile):
    """The charts of all control samples."""

    file_name: ClassVar[str] = "controls.json"

    charts: tuple[ControlChart, ...] = Field(description="one for each assay, lot and kind of control")


class DifferingEvent(Result):
    """An event that the operator or the classifier alone called CTC."""

    frame: Text = Field(description="field of view")
    y_px: Number = Field(description="row of the event's centre")
    x_px: Number = Field(description="column of the event's centre")
    operator: Flag = Field(description="the operator called it CTC")
    call: Text | None = Field(description="the classifier's call; null where no cell is near")
    cell: Count | None = Field(description="number of the cell in the frame; null where none is near")


class Compared(Result):
    """The operator's events beside the classifier's calls."""

    n_events: Count = Field(description="events of frames that were analysed: only these are compared")
    n_elsewhere: Count = Field(description="events of other frames")
    both: Count = Field(description="events that both called CTC")
    operator_only: Count = Field(description="events that the operator alone called CTC")
    ours_only: Count = Field(description="events that the classifier alone called CTC")
    neither: Count = Field(description="events that neither called CTC")
    ours_without_event: Count = Field(description="CTCs of the classifier that the operator was not shown")
    agreement: Agreement | None = Field(description="over the events, of CTC and not CTC; null without an event")
    differing: tuple[DifferingEvent, ...] = Field(description="events that one alone called CTC")


class Operator(ResultFile):
    """What the scanner's operator called CTC, beside the classifier's calls of the same cells."""

    file_name: ClassVar[str] = "operator.json"

    sample: Text = Field(description="name of the sample")
    status: Literal["ok", "no_events", "not_comparable"] = Field(
        description="no_events: the images come without an operator's calls"
    )
    reason: Text = Field(description="why they cannot be compared, else empty")
    compared: Compared | None = Field(description="null unless the status is ok")
