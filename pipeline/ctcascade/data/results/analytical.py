"""validation.json: how well one assay counts, from tubes whose number of tumour cells is known."""

from typing import ClassVar, Literal

from pydantic import Field

from ctcascade.data.results.base import Amount, Count, Factor, Flag, Interval, Number, Result, ResultFile, Share, Text
from ctcascade.data.results.validation import FitValue

Basis = Literal["controls", "frames", "phantom"]
"""Tubes of the laboratory; phantom cells in frames of its healthy donors; phantom cells in phantom frames."""


class TubeCount(Result):
    """One tube whose number of tumour cells is known."""

    tube: Text = Field(description="sample, or number of the in-silico tube")
    expected: Amount | None = Field(description="tumour cells in what was looked at; null: a control of unknown number")
    observed: Count = Field(description="CTCs called")
    lot: Text | None = Field(description="lot of reagents")
    run: Text | None = Field(description="run")
    operator: Text | None = Field(description="operator")


class Replicates(ResultFile):
    """In-silico tubes: phantom CTCs of known number, found and called as a sample's are."""

    file_name: ClassVar[str] = "replicates.json"

    assay: Text = Field(description="name of the assay")
    basis: Basis = Field(description="what the CTCs were pasted into")
    samples: tuple[Text, ...] = Field(description="samples whose frames were used")
    tubes: tuple[TubeCount, ...] = Field(description="each tube")


class RecoveryAtLevel(Result):
    """What was found of one number of tumour cells."""

    expected: Amount = Field(description="tumour cells in each tube")
    n_tubes: Count = Field(description="tubes")
    mean: Amount = Field(description="mean number called")
    sd: Amount | None = Field(description="standard deviation between tubes; null of one tube")
    cv: Amount | None = Field(description="the same divided by the mean; null of one tube, or where none was called")
    recovery: Interval = Field(description="share found, false calls taken off")
    detected: Share = Field(description="share of the tubes above the limit of blank")
    deviation: FitValue | None = Field(description="share by which the mean is off the line; null: no line")
    linear: Flag | None = Field(description="the whole interval lies within what is allowed; null: no line")


class BlankLimit(Result):
    """The largest count that blood without tumour cells is expected to give."""

    n_blanks: Count = Field(description="tubes without tumour cells")
    n_false: Count = Field(description="CTCs called in all of them")
    false_per_tube: Interval = Field(description="false calls in one tube")
    count: Count | None = Field(description="limit of blank, CTCs in a tube; null: not given")
    by_rank: Amount | None = Field(description="non-parametric limit: the ranked value; null: too few blanks")
    by_normal: Amount | None = Field(description="parametric limit: mean + c SD; null: fewer than two blanks")
    by_counts: Count | None = Field(description="limit for counts: Poisson, its rate uncertain; null where they do not")
    dispersion_p: Share | None = Field(description="p of the test that false calls are Poisson; null: nothing to test")
    specificity: Interval = Field(description="share of blank tubes without any call")
    level: Share = Field(description="probability that a blank does not exceed the limit")
    advised_blanks: Count = Field(description="blanks that the guideline asks for")
    why: Text = Field(description="what the limit rests on, or why there is none")


class DetectionLimit(Result):
    """The smallest number of tumour cells that gives more than the limit of blank with a stated probability."""

    by_counts: Interval | None = Field(description="tumour cells in a tube, by Poisson counts and the recovery found")
    by_normal: Amount | None = Field(
        description="classical: limit of blank + c SD of low tubes; null: too few low tubes"
    )
    n_low: Count = Field(description="tubes with few tumour cells, which the second rests on")
    level: Share = Field(description="probability of detection at the limit")
    why: Text = Field(description="why there is none, else empty")


class QuantitationLimit(Result):
    """The smallest number of tumour cells that is counted with the wanted precision."""

    estimate: Amount | None = Field(description="tumour cells in a tube; null: not reached")
    cv_wanted: Share = Field(description="the largest coefficient of variation that will do")
    cv_beyond_chance: Amount | None = Field(description="variation of tubes beyond that of counts; null: not known")
    why: Text = Field(description="why there is none, else empty")


class LinearityFit(Result):
    """The straight line of called over expected, and whether the tubes bend away from it."""

    slope: FitValue = Field(description="CTCs called per tumour cell")
    intercept: FitValue = Field(description="CTCs called where there are none")
    quadratic_p: Share | None = Field(description="p of a bend, by a second-degree polynomial; null: too few tubes")
    cubic_p: Share | None = Field(description="p of an S-shape, by a third-degree one; null: too few tubes")
    allowed: Share = Field(description="largest deviation from the line that is allowed, as a share of it")
    low: Amount = Field(description="smallest number of tumour cells of the range")
    high: Amount = Field(description="largest number of tumour cells of the range")
    linear: Flag = Field(description="the deviation is shown to be allowed at every level")


class Component(Result):
    """How much of the variation comes from one source."""

    source: Literal["within run", "between runs", "between operators", "all sources together", "between readers"] = (
        Field(description="source; all sources together: of tubes of different runs that the figures do not tell apart")
    )
    sd: Amount = Field(description="standard deviation, CTCs")
    low: Amount = Field(description="lower limit")
    high: Amount = Field(description="upper limit")
    cv: Amount = Field(description="standard deviation divided by the mean")


class Precision(Result):
    """How far counts of like tubes vary, and from where."""

    label: Text = Field(description="the tubes")
    n_tubes: Count = Field(description="tubes")
    n_runs: Count = Field(description="runs")
    n_operators: Count = Field(description="operators")
    mean: Amount = Field(description="mean count")
    counting_cv: Amount = Field(description="coefficient of variation that chance alone gives to counts of this mean")
    components: tuple[Component, ...] = Field(description="each source that can be told apart")
    level: Share = Field(description="probability of the limits")
    why: Text = Field(description="what cannot be told apart or is not measured, else empty")


class CarryOver(Result):
    """Whether cells of a tube are found in the next one."""

    n_after: Count = Field(description="blanks right after a tube with many tumour cells")
    n_other: Count = Field(description="other blanks")
    mean_before: Amount = Field(description="mean count of the tubes before them")
    share: FitValue = Field(description="share of those cells that is found in the next tube")


class Characteristic(Result):
    """One row of the table of a method-validation paper."""

    name: Text = Field(description="performance characteristic")
    definition: Text = Field(description="its definition")
    samples: Text = Field(description="the samples that it was measured with")
    found: Text = Field(description="what was found, in words, or why it was not measured")
    basis: Basis | None = Field(description="what it was measured with; null: not measured")


class Validation(ResultFile):
    """How well one assay counts: the figures of a method validation."""

    file_name: ClassVar[str] = "validation.json"

    assay: Text = Field(description="name of the assay")
    characteristics: tuple[Characteristic, ...] = Field(description="in the order of a method-validation paper")
    basis: Basis = Field(description="what accuracy, linearity and the limits rest on")
    basis_of_blanks: Basis = Field(description="what the limit of blank rests on")
    tubes: tuple[TubeCount, ...] = Field(description="every tube")
    left_out: tuple[Text, ...] = Field(description="tubes that were not used, each with the reason")
    levels: tuple[RecoveryAtLevel, ...] = Field(description="accuracy by number of tumour cells")
    blank: BlankLimit = Field(description="limit of blank, and specificity")
    detection: DetectionLimit = Field(description="limit of detection")
    quantitation: QuantitationLimit = Field(description="limit of quantitation")
    linearity: LinearityFit | None = Field(description="linearity; null: too few levels")
    precision: tuple[Precision, ...] = Field(description="precision by kind of tube")
    carry_over: CarryOver | None = Field(description="carry-over; null: not measured")
    why_no_carry_over: Text = Field(description="why not, else empty")
    factors: dict[Text, Factor] = Field(description="factors for the assay file")
    level: Share = Field(description="probability of every interval")
    random_seed: Number = Field(description="of the draws of variance components")
