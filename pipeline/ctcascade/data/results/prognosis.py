"""prognosis.json: what published groups with such counts lived to see, or why nothing can be said."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from ctcascade.data.results.base import (
    Amount,
    Count,
    Flag,
    Interval,
    Limits,
    MarkerName,
    Modality,
    Number,
    OrganName,
    Result,
    ResultFile,
    Share,
    Text,
)
from ctcascade.data.results.counts import MarkerStatus, Place

TimeZero = Literal["baseline", "landmark", "not_stated"]
"""What survival is counted from: the start of therapy, a later sample, or unknown."""
NoEffect = Annotated[float, Limits(1, 1)]
"""A factor that is 1: what it stands for changes no survival."""


class SurvivalPoint(Result):
    """A point of a survival curve with its limits."""

    time_months: Amount = Field(description="months from time zero")
    p: Share = Field(description="share alive or without the event")
    low: Share = Field(description="lower limit")
    high: Share = Field(description="upper limit")


class CurvePoint(Result):
    """A point of a survival curve without limits."""

    time_months: Amount = Field(description="months from time zero")
    p: Share = Field(description="share alive or without the event")


class Stratum(Result):
    """A published group of patients with such a count."""

    evidence_id: Text = Field(description="row of evidence")
    label: Text = Field(description='the counts of the group: "below 5", "5 or more"')
    weight: Share | None = Field(
        description="probability that a reference assay's count falls into it; null: not known"
    )
    median_months: Amount | None = Field(description="published median survival; null: not published")
    low_months: Amount | None = Field(description="lower limit; null: not published")
    high_months: Amount | None = Field(description="upper limit; null: not published")
    median_is_lower_bound: Flag = Field(description='the median was not reached: printed as "more than"')


class Statement(Result):
    """A published finding in words."""

    evidence_id: Text = Field(description="row of evidence")
    text: Text = Field(description="the finding")


class OtherCurve(Result):
    """A curve beside the main one."""

    curve: tuple[CurvePoint, ...] = Field(description="the curve; empty where none can be drawn")
    max_difference: Share | None = Field(description="largest distance to the main curve where both are drawn")
    disagrees: Flag | None = Field(description="that distance is more than the main curve's band; null: not compared")


class OtherRow(OtherCurve):
    """Another published comparison of the same setting."""

    evidence_id: Text = Field(description="row of evidence")
    population: Text = Field(description="whose survival it is")
    subtype: Text = Field(description="subtype; empty where all are pooled")
    endpoint: Text = Field(description="end point")
    time_zero: TimeZero = Field(description="what survival is counted from")
    n: Count | None = Field(description="patients; null: not published")
    accrual: Text = Field(description="years in which patients were recruited")
    era: Text = Field(description="before or with which drugs they were treated")
    strata: tuple[Stratum, ...] = Field(description="its groups")
    why_no_curve: Text = Field(description="why no curve is drawn, else empty")
    hr_flag: Text = Field(description="what is odd about its hazard ratio beside its medians")


class Sensitivity(OtherCurve):
    """The main curve under another assumption."""

    model: Text = Field(description="name of the other model")
    meaning: Text = Field(description="what it assumes")
    evidence_ids: tuple[Text, ...] = Field(description="rows of evidence")


class Change(Result):
    """Two counts compared: beyond the chance of counting, and of tubes or of two assays' recoveries."""

    rate_ratio: Amount | None = Field(description="later count per blood over the earlier one; null: earlier was 0")
    low: Amount = Field(description="lower limit")
    high: Amount | None = Field(description="upper limit; null: none")
    level: Share = Field(description="probability of the interval")
    p_value: Share = Field(description="two-sided p value of no change")
    verdict: Text = Field(
        description="rise, decline or no change, with variation between tubes, and of two assays with what is not "
        "known of both recoveries"
    )
    verdict_with_tube_variation: Text = Field(description="the same")
    across_assays: Flag | None = Field(default=None, description="the samples were made with different assays")
    spread_ln: Amount | None = Field(
        default=None, description="standard deviation of the ratio's logarithm beyond the chance of counting"
    )
    p_value_by_counting_alone: Share | None = Field(
        default=None, description="two-sided p value of the exact test of two Poisson counts"
    )
    verdict_by_counting_alone: Text | None = Field(
        default=None, description="the verdict of that test; it calls too many changes where there are many cells"
    )


class PublishedChange(Result):
    """A published class of change between two counts."""

    evidence_id: Text = Field(description="row of evidence")
    study: Text = Field(description="name of the study")
    label: Text = Field(description="name of the class")
    p_category: Share = Field(
        description="probability that a replicate pair of reference-assay counts falls into the class"
    )
    window: Literal["inside", "outside", "not stated"] = Field(
        description="whether the later sample lies in the published window of time"
    )
    endpoint: Text = Field(description="end point")
    time_zero: TimeZero = Field(description="what survival is counted from")
    n: Count | None = Field(description="patients of the class; null: not published")
    median_months: Amount | None = Field(description="published median; null outside the published window")
    median_is_lower_bound: Flag = Field(description='the median was not reached: printed as "more than"')
    relative: Text = Field(description="hazard ratio in words, where that is what was published")
    era: Text = Field(description="before or with which drugs they were treated")
    note: Text = Field(description="what else must be known of it")


class Kinetics(Result):
    """The change from the earlier sample to a later one."""

    sample: Text = Field(description="the later sample")
    earlier_sample: Text = Field(description="the sample it is compared with")
    days_between: Count = Field(description="days between them")
    weeks_on_therapy: Amount | None = Field(description="weeks from the start of therapy to the later one")
    n_ctc_earlier: Count = Field(description="CTCs counted in the earlier one")
    n_ctc_later: Count = Field(description="CTCs counted in the later one")
    change: Change = Field(description="statistical test of the change")
    published: tuple[PublishedChange, ...] = Field(description="published classes that may hold")
    why_no_category: Text = Field(description="why no published class is given, else empty")


class Citation(Result):
    """Where a row that is shown is from."""

    evidence_id: Text = Field(description="row of evidence")
    population: Text = Field(description="whose outcome it is")
    n: Count | None = Field(description="patients; null: not published")
    accrual: Text = Field(description="years in which patients were recruited")
    era: Text = Field(description="before or with which drugs they were treated")
    citation: Text = Field(description="the paper")
    identifier: Text = Field(description="its DOI or other identifier")
    locator: Text = Field(description="where in the paper")
    how_read: Text = Field(description="how the numbers were read off it")
    readings: Text = Field(description="independent readings of the numbers")
    note: Text = Field(description="what else must be known of it")


class EarlierCurve(Result):
    """The curve of the last sample before therapy, where the main curve is a later sample's."""

    sample: Text = Field(description="the sample")
    collected: Text = Field(description="its day, YYYY-MM-DD")
    n_ctc_observed: Count = Field(description="CTCs counted in it")
    time_zero: Literal["baseline"] = Field(description="what survival is counted from")
    endpoint: Text = Field(description="end point")
    main_evidence_id: Text = Field(description="the published row that draws the curve")
    cutoff: Count = Field(description="count that parts the published groups")
    reason: Text = Field(description="what this curve is for")
    horizon_months: Amount = Field(description="months up to which it is drawn")
    survival: tuple[SurvivalPoint, ...] = Field(description="the curve")
    strata: tuple[Stratum, ...] = Field(description="the published groups")


class Association(Result):
    """A published association with outcome, which enters no curve."""

    evidence_id: Text = Field(description="row of evidence")
    text: Text = Field(description="the finding")
    direction: Literal["positive", "negative", "mixed", "descriptive"] = Field(description="what was found")
    group: Text = Field(description="whose outcome it is")
    n: Count | None = Field(description="patients; null: not published")
    outcome: Text = Field(description="the outcome")
    hr: Amount | None = Field(description="hazard ratio; null: not published")
    hr_low: Amount | None = Field(description="lower limit")
    hr_high: Amount | None = Field(description="upper limit")
    hr_against: Text = Field(description="the group that it compares with")
    era: Text = Field(description="before or with which drugs they were treated")


class ClusterAssociation(Association):
    """A published association of CTC clusters with outcome."""

    definition: Text = Field(description="what the study calls a cluster")
    timepoint: Text = Field(description="when blood was taken")
    adjusted: Text = Field(description="what it was adjusted for")


class ExpectedShare(Result):
    """The published share of samples like this one that hold clusters."""

    evidence_id: Text = Field(description="row of evidence")
    share: Share = Field(description="share of samples with clusters")


class Clusters(Result):
    """The clusters of the sample, and what was published on them."""

    sample: Text = Field(description="the sample")
    collected: Text = Field(description="its day, YYYY-MM-DD")
    n_clusters: Count = Field(description="clusters of two or more CTCs")
    cluster_sizes: dict[str, Count] = Field(description="number of CTCs in a cluster -> number of such clusters")
    clusters_with_leukocytes: Count = Field(description="clusters on which leukocytes ride")
    n_ctc_leukocyte_groups: Count = Field(description="single CTCs that leukocytes touch")
    survival_factor: NoEffect | None = Field(description="clusters change no survival; null where that is refused")
    expected: ExpectedShare | None = Field(description="samples like this one with clusters; null: not published")
    balance: Text = Field(description="what the published findings say together")
    statements: tuple[ClusterAssociation, ...] = Field(description="each published finding")


class MarkerVerdict(Result):
    """The verdict on a marker in one sample."""

    sample: Text = Field(description="the sample")
    collected: Text = Field(description="its day, YYYY-MM-DD")
    n_evaluable: Count | None = Field(description="CTCs that could be judged; null where nothing could be seen")
    n_positive: Count | None = Field(description="positive CTCs")
    n_negative: Count | None = Field(description="negative CTCs")
    share: Interval | None = Field(description="share of positive ones among the blood's CTCs")
    status: MarkerStatus = Field(description="verdict")


class MarkerAssociation(Association):
    """A published association of a marker on CTCs with outcome."""

    assay: Text = Field(description="assay of the study")
    threshold: Text = Field(description="what the study calls positive")
    drug_class: Text = Field(description="drugs that it bears on")
    conflict: Text = Field(description="name of the conflict of findings it is part of, else empty")


class MarkerPanel(MarkerVerdict):
    """A marker on the CTCs of the latest sample, and what was published on it."""

    marker: MarkerName = Field(description="the marker")
    reason: Text = Field(description="why it cannot be judged, else empty")
    place: Place = Field(description="where in the cell it is measured")
    rule: Text = Field(description="when a sample is positive, in words")
    earlier: tuple[MarkerVerdict, ...] = Field(description="verdicts of earlier samples")
    survival_factor: NoEffect | None = Field(description="the marker changes no survival; null where that is refused")
    conflicts: tuple[Text, ...] = Field(description="published findings that contradict each other")
    statements: tuple[MarkerAssociation, ...] = Field(description="each published finding")
    why_no_statement: Text = Field(description="why there is none, else empty")


class Response(Result):
    """An end point that rests on a count before therapy and one some weeks into it."""

    name: Text = Field(description="row of evidence: ctc0, conversion, fall_30_week_4 ...")
    definition: Text = Field(description="what a responder is")
    status: Literal[
        "responder", "non_responder", "progression", "no_progression", "not_applicable", "not_evaluable"
    ] = Field(
        description="not_applicable: the count before therapy is not one that the definition is for; not_evaluable: no "
        "count before it, or none in the window where the publication left such patients out"
    )
    missing: Flag = Field(description="no usable sample in the window, which counts as no response")
    p: Share | None = Field(
        description="probability that the reference assay's counts meet the definition; 0 or 1 where they were observed"
    )
    meets: Literal["response", "progression"] = Field(
        default="response", description="what a patient who meets the definition has"
    )
    week_low: Number | None = Field(default=None, description="first week of the window")
    week_high: Number | None = Field(default=None, description="last week of the window")
    study: Text = Field(default="", description="publication, a row of references")
    p_by_class: dict[Text, Share] | None = Field(
        default=None,
        description="probability of each class from the posteriors of the two counts: that another tube of both draws, "
        "or for a relative change the levels in the blood, would be of it; null where there is no pair to judge",
    )
    baseline_sample: Text | None = Field(description="the last usable sample before therapy")
    n_ctc_baseline: Count | None = Field(description="CTCs counted in it")
    sample: Text | None = Field(description="the last usable sample within the window")
    n_ctc: Count | None = Field(description="CTCs counted in it")
    reason: Text = Field(description="why there is no response to be judged, or why it counts as none; else empty")


class Scan(Result):
    """A scan of one organ."""

    date: Text = Field(description="day of the scan, YYYY-MM-DD")
    modality: Modality = Field(description="kind of imaging")
    organ: OrganName = Field(description="the organ")
    lesions: Count = Field(description="lesions seen")
    distant: Flag = Field(description="not the primary tumour's own organ")


class Visible(Result):
    """When imaging would show a lesion founded at the latest sample, by the cascade."""

    organ: OrganName = Field(description="the organ")
    modality: Text = Field(description="kind of imaging")
    median_years: Amount = Field(description="median, years from the latest sample")
    low_years: Amount = Field(description="lower limit")
    high_years: Amount = Field(description="upper limit")


class Stage(Result):
    """The M category that the findings amount to, in the words of the staging manual."""

    category: Literal["M0", "cM0(i+)", "M1"] | None = Field(description="the category; null: none can be given")
    wording: Text = Field(description="what the manual says of it")
    reason: Text = Field(description="why this one, or why none")
    evidence_id: Text | None = Field(description="row of evidence")
    source: Text = Field(description="the manual")
    imaging: tuple[Scan, ...] = Field(description="the scans that it rests on")
    cells_in: tuple[Text, ...] = Field(description="samples with more cells than blank ones have")
    visible: tuple[Visible, ...] = Field(description="when imaging would show a lesion founded at the latest sample")


class Prognosis(ResultFile):
    """The prognosis of one patient from published groups, or why there is none."""

    file_name: ClassVar[str] = "prognosis.json"

    patient: Text = Field(description="name of the patient")
    primary: Text = Field(description="primary tumour")
    setting: Text = Field(description="clinical setting")
    status: Literal["ok", "relative_only", "no_evidence", "not_applicable", "withheld"] = Field(
        description="relative_only: hazard ratios were published, but no survival that fits; withheld: rows were "
        "published, but the sample's own checks fail, or the sheet contradicts itself"
    )
    reason: Text = Field(description="why there is no curve, else empty")
    summary: Text = Field(description="one sentence about the published group; empty unless ok")
    sample: Text | None = Field(description="the sample that the survival starts at")
    time_zero: Literal["baseline", "landmark"] | None = Field(description="what survival is counted from")
    endpoint: Text | None = Field(description="end point")
    cutoff: Count | None = Field(description="count that parts the published groups")
    n_ctc_observed: Count | None = Field(description="CTCs counted in the sample")
    horizon_months: Amount | None = Field(description="months up to which the curve is drawn")
    level: Share = Field(description="probability of every interval")
    survival: tuple[SurvivalPoint, ...] = Field(description="the curve; empty unless ok")
    strata: tuple[Stratum, ...] = Field(description="the published groups")
    other_rows: tuple[OtherRow, ...] = Field(description="other published rows of the setting, shown faint")
    sensitivity: tuple[Sensitivity, ...] = Field(description="the curve under other assumptions")
    relative: tuple[Statement, ...] = Field(description="evidence that has hazard ratios only")
    negative_findings: tuple[Statement, ...] = Field(description="studies that found nothing")
    kinetics: tuple[Kinetics, ...] = Field(
        description="one entry per later sample: published category, statistical change"
    )
    evidence: tuple[Citation, ...] = Field(description="where the rows shown are from")
    evidence_ids: tuple[Text, ...] = Field(description="rows of evidence used, as table/id")
    assumptions: tuple[Text, ...] = Field(description="those of kind assumption")
    collected: Text | None = Field(default=None, description="day of `sample`, YYYY-MM-DD")
    main_evidence_id: Text | None = Field(default=None, description="the published row that draws `survival`")
    earlier_curve: EarlierCurve | None = Field(
        default=None, description="the curve of the last sample before therapy, where the main one is a later sample's"
    )
    clusters: Clusters | None = Field(default=None, description="the clusters, and what was published on them")
    phenotype: tuple[MarkerPanel, ...] = Field(default=(), description="markers on the CTCs")
    stage: Stage | None = Field(default=None, description="the M category")
    group_by: Literal["observed", "mixed"] | None = Field(
        default=None,
        description="observed: the count seen decides the published group; mixed: groups are weighed; null: no group",
    )
    why_mixed: Text = Field(default="", description="what leaves the group in doubt")
    responses: tuple[Response, ...] = Field(
        default=(), description="end points of a trial that rest on two counts; empty without a tumour"
    )
    remarks: tuple[Text, ...] = Field(
        default=(), description="what contradicts what in the sheet, and samples that are not used"
    )
    published: bool = Field(
        default=True, description="whether any published row sets counts against outcome for this tumour and setting"
    )
