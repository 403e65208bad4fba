"""Results beside the flow: recovery (CTCs pasted into images and counted) and follow-up of the lab's own patients."""

from typing import ClassVar, Literal

from pydantic import Field

from ctcascade.data.results.base import (
    Amount,
    Count,
    Factor,
    Flag,
    Interval,
    Number,
    Result,
    ResultFile,
    Share,
    Text,
)
from ctcascade.data.results.prognosis import SurvivalPoint


class PastedCtc(Result):
    """The CTCs that were pasted."""

    ctc_diameter_um: Amount = Field(description="median diameter")
    ck: Share = Field(description="cytokeratin, as a share of the camera's range")
    weak_ck: Share = Field(description="share of CTCs with a quarter of that")


class RecoveryLevel(Result):
    """One level of pasted CTCs."""

    expected: Count = Field(description="CTCs pasted")
    observed: Count = Field(description="CTCs called")
    found: Count = Field(description="called ones that were pasted")
    false: Count = Field(description="called ones that were not")
    n_frames: Count = Field(description="frames of this level")
    recovery: Interval | None = Field(description="found of pasted; null where none was")
    mean_recovery: Share | None = Field(
        description="mean recovery of all levels with as many CTCs pasted, since levels may repeat; null where none was"
    )
    published: Literal["at least", "below"] | None = Field(
        description="this mean compared with `published.least_recovery`; null where no CTC was pasted"
    )


class FitValue(Result):
    """A fitted number with its limits."""

    estimate: Number = Field(description="best estimate")
    low: Number = Field(description="lower limit")
    high: Number = Field(description="upper limit")
    level: Share = Field(description="probability that the interval covers the truth")


class Regression(Result):
    """The line of called over pasted CTCs."""

    model: Text = Field(description="what was fitted")
    weights: Text = Field(description="how levels were weighted")
    slope: FitValue = Field(description="CTCs called per CTC pasted")
    intercept: FitValue = Field(description="CTCs called where none was pasted")
    r2: FitValue = Field(description="share of the variance explained")
    n_levels: Count = Field(description="levels fitted")


class PublishedRecovery(Result):
    """What guidance asks of a recovery."""

    evidence_id: Text = Field(description="row of evidence")
    meaning: Text = Field(description="what it asks")
    least_recovery: Share = Field(description="least recovery that will do")
    citation: Text = Field(description="the paper")
    identifier: Text = Field(description="its DOI or other identifier")
    locator: Text = Field(description="where in the paper")
    how_read: Text = Field(description="how the number was read off it")
    note: Text = Field(description="what else must be known of it")


class Recovery(ResultFile):
    """How many pasted CTCs the software finds."""

    file_name: ClassVar[str] = "recovery.json"

    assay: Text = Field(description="name of the assay")
    title: Text = Field(description="title of the assay")
    background: Literal["samples", "phantom"] = Field(description="what the CTCs were pasted into")
    samples: tuple[Text, ...] = Field(description="samples whose frames were used")
    notices: tuple[Text, ...] = Field(default=(), description="what must be said first of these samples")
    n_frames: Count = Field(description="different frames")
    ctc: PastedCtc = Field(description="the CTCs that were pasted")
    levels: tuple[RecoveryLevel, ...] = Field(description="each level")
    regression: Regression = Field(description="line of called over pasted")
    sensitivity: Factor = Field(description="share of pasted CTCs that are called")
    background_per_7_5_ml: Factor | None = Field(description="false calls per 7.5 mL; null: not known")
    why_no_background: Text = Field(description="why they are not known, else empty")
    published: PublishedRecovery = Field(description="what guidance asks")


class ReasonCount(Result):
    """How many patients something concerns: a reason to leave them out, or a notice of their samples."""

    reason: Text = Field(description="why, or the notice")
    n: Count = Field(description="patients")


class AtRisk(Result):
    """Patients under observation at a time."""

    time_months: Amount = Field(description="months from the first sample")
    n: Count = Field(description="patients")


class FollowUpStratum(Result):
    """Patients on one side of the cut-off."""

    label: Text = Field(description="the counts of the group")
    n: Count = Field(description="patients")
    events: Count = Field(description="deaths")
    last_month: Amount = Field(description="end of observation")
    curve: tuple[SurvivalPoint, ...] = Field(description="Kaplan-Meier curve: a step at each death")
    at_risk: tuple[AtRisk, ...] = Field(description="patients under observation by time")
    median_months: Amount | None = Field(description="median survival; null where not reached")
    median_low: Amount | None = Field(description="lower limit; null where not reached")
    median_high: Amount | None = Field(description="upper limit; null where not reached")
    censored_months: tuple[Amount, ...] = Field(
        default=(), description="months to the last contact of each patient who was then alive"
    )


class LogRank(Result):
    """The log-rank test."""

    chi2: Amount = Field(description="test statistic")
    p: Share = Field(description="p value")


class HazardRatio(Interval):
    """A hazard ratio with its p value."""

    p: Share = Field(description="p value")


class CoxModel(Result):
    """A proportional-hazards model of the count."""

    covariate: Text = Field(description="what the hazard is modelled on")
    hr_per_doubling: HazardRatio = Field(description="hazard ratio per doubling")
    c_index: Interval = Field(description="concordance")


class CalibrationRow(Result):
    """Predicted beside seen at one time."""

    label: Text = Field(description="group of patients")
    time_months: Amount = Field(description="months from the first sample")
    n: Count = Field(description="patients")
    predicted: Share | None = Field(description="mean of the published curves")
    seen: Interval | None = Field(description="survival seen")
    prediction_is: Literal["below", "inside", "above"] | None = Field(
        description="the prediction compared with the interval of what was seen; null where one of them is not known"
    )
    why: Text = Field(description="why there is none, else empty")


class CalibrationPoint(Result):
    """Observed beside predicted risk, smoothed."""

    predicted: Share = Field(description="predicted risk of death by the time")
    observed: Share = Field(description="risk that was observed in patients with that prediction")


class NetBenefit(Result):
    """What acting on predictions brings, at one risk from which someone would act."""

    threshold: Share = Field(description="risk from which one acts")
    predicted: Number = Field(description="net benefit of acting on the predictions")
    all: Number = Field(description="net benefit of acting on everybody; on nobody it is 0")


class HorizonCheck(Result):
    """Predictions for one time beside what became of the patients."""

    time_months: Amount = Field(description="months from the first sample")
    n: Count = Field(description="patients")
    deaths: Count = Field(description="deaths up to then")
    brier: Share | None = Field(description="Brier score of the predictions; null: not given")
    brier_of_kaplan_meier: Share | None = Field(description="that of one number for all, by Kaplan-Meier")
    gained: Number | None = Field(description="share by which the predictions are better: 1 - ratio of the two")
    ici: Share | None = Field(description="mean difference of the smoothed curve from the predictions")
    e50: Share | None = Field(description="median difference")
    e90: Share | None = Field(description="difference that one patient in ten exceeds")
    curve: tuple[CalibrationPoint, ...] = Field(description="flexible calibration curve; empty: not given")
    net_benefit: tuple[NetBenefit, ...] = Field(description="decision curve; empty: not given")
    why: Text = Field(description="why something is not given, else empty")


class Calibration(Result):
    """What the published curves predicted beside what was seen."""

    n: Count = Field(description="patients with a published curve from their first sample")
    left_out: tuple[ReasonCount, ...] = Field(description="patients without")
    deaths_seen: Count = Field(description="deaths up to each curve's end")
    deaths_expected: Amount = Field(description="deaths predicted up to there")
    seen_of_expected: Interval = Field(description="ratio of the two")
    is_small: Flag = Field(description="fewer deaths than advised")
    rows: tuple[CalibrationRow, ...] = Field(description="by time and group")
    slope: FitValue | None = Field(default=None, description="calibration slope; null: predictions do not bound it")
    c_index: Interval | None = Field(default=None, description="concordance of the predictions; null: no pair is known")
    horizons: tuple[HorizonCheck, ...] = Field(default=(), description="checks of the predictions by time")


class FollowUpGroup(Result):
    """Patients of one primary tumour and setting."""

    primary: Text = Field(description="primary tumour")
    setting: Text = Field(description="clinical setting")
    n: Count = Field(description="patients")
    events: Count = Field(description="deaths")
    cutoff: Count | None = Field(description="count that parts them; null where none is published")
    cutoff_evidence_id: Text | None = Field(
        description="row of evidence of the cut-off; null where the patients' own curve has it"
    )
    n_without_group: Count = Field(description="patients whose reference count is not known")
    strata: tuple[FollowUpStratum, ...] = Field(description="patients by cut-off")
    log_rank: LogRank | None = Field(description="test of the groups' difference; null: not made")
    why_no_log_rank: Text = Field(default="", description="why not, else empty")
    model: CoxModel | None = Field(description="model of the count; null: not fitted")
    why_no_model: Text = Field(description="why not, else empty")
    calibration: Calibration | None = Field(description="predicted beside seen; null: not compared")
    why_no_calibration: Text = Field(description="why not, else empty")


class TripodItem(Result):
    """An item of the TRIPOD+AI checklist, and whether this software answers it."""

    item: Text = Field(description="number of the item")
    topic: Text = Field(description="its topic")
    answer: Literal["answered", "in part", "yours to answer"] = Field(description="what this software can answer")
    how: Text = Field(description="what it answers, or why it cannot")


class EndPointRate(Result):
    """One end point of a trial in the patients of one tumour and setting."""

    primary: Text = Field(description="primary tumour")
    setting: Text = Field(description="clinical setting")
    name: Text = Field(description="row of evidence")
    definition: Text = Field(description="what meeting it is")
    meets: Literal["response", "progression"] = Field(description="what a patient who meets it has")
    study: Text = Field(description="publication, a row of references")
    n_patients: Count = Field(description="patients")
    n_judged: Count = Field(description="patients who can be judged, missing ones who count as non-responders included")
    n_met: Count = Field(description="patients who meet it")
    n_missing: Count = Field(description="patients without a sample in the window who count as not meeting it")
    n_not_applicable: Count = Field(description="patients whose count before therapy it is not for")
    n_not_evaluable: Count = Field(description="patients without a pair of samples to judge")
    share: Interval = Field(description="share that meets it, of those judged; limits for other patients like these")
    share_by_counts: Interval | None = Field(
        description="the same by the posteriors of the counts: what they leave open in these patients; null: not known"
    )


class FollowUp(ResultFile):
    """Survival of a laboratory's own patients; nothing in it names one of them."""

    file_name: ClassVar[str] = "cohort.json"

    level: Share = Field(description="probability of every interval")
    min_events: Count = Field(description="deaths that a number is asked to rest on")
    advised_events: Count = Field(description="deaths that are advised")
    n_patients: Count = Field(description="patients with follow-up")
    left_out: tuple[ReasonCount, ...] = Field(description="patients left out")
    notices: tuple[ReasonCount, ...] = Field(
        default=(), description="what must be said first of the patients' samples, from the sample sheet"
    )
    groups: tuple[FollowUpGroup, ...] = Field(description="by primary tumour and setting")
    end_points: tuple[EndPointRate, ...] = Field(
        default=(), description="end points of a trial in all patients of the run, with follow-up or not"
    )
    tripod: tuple[TripodItem, ...] = Field(
        default=(), description="what of the TRIPOD+AI checklist this result answers, and what those who report must"
    )
