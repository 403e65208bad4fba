"""calibration.json: the slope by which a laboratory's readers correct `p_ctc`, and how it does on held-out slides."""

from typing import ClassVar, Literal

from pydantic import Field

from ctcascade.data.results.base import Amount, Count, Result, ResultFile, Share, Text
from ctcascade.data.results.validation import FitValue


class ReliabilityBin(Result):
    """Cells of held-out slides with nearly one probability, and how many of them readers call CTCs."""

    n: Count = Field(description="cells")
    p_mean: Share = Field(description="their mean probability")
    observed: Share = Field(description="share that readers call CTCs")
    low: Share = Field(description="lower limit of that share (Wilson)")
    high: Share = Field(description="upper limit")


class HeldOut(Result):
    """A calibration tried on slides that it was not fitted on."""

    before: tuple[ReliabilityBin, ...] = Field(description="reliability of the shipped p_ctc")
    after: tuple[ReliabilityBin, ...] = Field(description="reliability of the local one, fitted without the slide")
    log_loss_before: Amount = Field(description="mean of -ln(probability of what readers say), shipped")
    log_loss_after: Amount = Field(description="the same, local")
    gain: FitValue = Field(description="by how much it fell, with the interval over slides")


class LocalCalibration(ResultFile):
    """An assay's own calibration of `p_ctc`, from the cells that a laboratory has reviewed."""

    file_name: ClassVar[str] = "calibration.json"

    assay: Text = Field(description="name of the assay")
    format_version: Literal[1] = Field(description="of this file")
    status: Literal["ok", "no_better", "refused"] = Field(
        description="ok: a run may use it; no_better: on held-out slides it does no better than the shipped one; "
        "refused: too little was reviewed"
    )
    reason: Text = Field(description="why it cannot be used, else empty")
    level: Share = Field(description="of every interval")
    samples: tuple[Text, ...] = Field(description="samples with decided cells, each taken as one slide")
    readers: tuple[Text, ...] = Field(description="reviewers")
    n_cells: Count = Field(description="cells that reviewers decided on")
    n_ctc: Count = Field(description="of these, CTCs by the reviewers' consensus")
    n_other: Count = Field(description="of these, other cells")
    n_undecided: Count = Field(description="cells that reviewers are uncertain of, or differ on: not fitted on")
    slope: FitValue | None = Field(description="power of the odds of p_ctc; 1 is the shipped; null where refused")
    intercept: FitValue | None = Field(
        description="of the same line: holds how common CTCs are among reviewed cells, and is not used in counts"
    )
    held_out: HeldOut | None = Field(description="tried on slides that it was not fitted on; null where refused")
    calls_made_by: Text = Field(description="digest of the code and settings that made the calls")
