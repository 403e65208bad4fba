"""cascade.json: a patient's risk of metastasis by organ, from the model of the metastatic cascade."""

from typing import ClassVar, Literal

from pydantic import Field

from ctcascade.data.results.base import (
    Amount,
    AmountBand,
    ByHorizon,
    ChangeBand,
    Count,
    Flag,
    OrganName,
    Result,
    ResultFile,
    RiskBand,
    Share,
    ShareBand,
    Text,
)


class DetectionTime(Result):
    """When a lesion founded at the latest sample would be seen by an imaging modality."""

    modality: Text = Field(description="kind of imaging")
    median_years: Amount = Field(description="median, years from the latest sample")
    low_years: Amount = Field(description="lower limit")
    high_years: Amount = Field(description="upper limit")


class OrganRisk(Result):
    """The risk of one organ in a scenario."""

    organ: OrganName = Field(description="the organ")
    p_metastasis: ByHorizon[RiskBand] = Field(
        description="probability of a lesion that the organ's best imaging would show, by years from the latest sample"
    )


class Organ(OrganRisk):
    """What the cascade says of one organ."""

    p_new: ByHorizon[RiskBand] | None = Field(
        default=None,
        description="probability that the organ shows none at the latest sample and its first lesion comes into sight "
        "within so many years",
    )
    first_organ_share: ShareBand = Field(description="probability that the first lesion in sight is here")
    founders_per_year: AmountBand = Field(description="lesions founded per year at the latest sample")
    modality: Text = Field(description="the imaging that shows this organ's lesions best")
    time_to_detectability: tuple[DetectionTime, ...] = Field(
        description="of a lesion founded at the latest sample, by modality"
    )


class FlowStep(AmountBand):
    """One step of the cascade, from shedding to a detectable lesion."""

    step: Text = Field(description="name of the step")
    meaning: Text = Field(description="what is counted at this step")
    unit: Text = Field(description="unit of the numbers")


class Finding(Result):
    """An imaging finding of the patient sheet and what it was used for."""

    date: Text = Field(description="day of the scan, YYYY-MM-DD")
    modality: Text = Field(description="kind of imaging")
    organ: Text = Field(description="the organ")
    n_lesions: Count = Field(description="lesions seen")
    use: Text = Field(description="what it was used for")


class TherapyGoesOn(Result):
    """The risk if a therapy that ends after the latest sample went on instead."""

    therapy: Text = Field(description="kind of therapy")
    ends: Text = Field(description="the day on which it ends by the patient sheet, YYYY-MM-DD")
    p_any: ByHorizon[RiskBand] = Field(description="probability of a lesion in any organ if it did not end")


class VarianceShares(Result):
    """Of the variance of "a lesion in sight, yes or no": what it comes from."""

    aleatoric: Share = Field(description="chance within one draw of the parameters")
    epistemic: Share = Field(description="differences between the draws of the parameters")


class LeadTime(Result):
    """Time from the latest sample to the first lesion in sight, where none is yet and one comes in time."""

    median_years: Amount = Field(description="median")
    low_years: Amount = Field(description="lower limit")
    high_years: Amount = Field(description="upper limit")
    within_years: Amount = Field(description="only lesions that come into sight within so many years are meant")
    p_within: RiskBand = Field(description="probability that one does")


class Scenario(Result):
    """The risk under something that may be done, beside the risk without it."""

    name: Text = Field(description="name of the scenario")
    shedding_cut: Share | None = Field(description="share of the shedding that ends")
    resection_in_years: Amount | None = Field(
        description="years after the latest sample at which all that sheds is removed"
    )
    therapy: Text | None = Field(description="class of a systemic therapy")
    from_years: Amount | None = Field(description="years after the latest sample from which it is on")
    to_years: Amount | None = Field(description="years after the latest sample at which the therapy ends")
    shedding: Share | None = Field(description="what is left of shedding under the therapy")
    growth: Share | None = Field(description="what is left of growth under the therapy")
    killing: Amount | None = Field(description="how many times as fast NK cells kill CTCs under it")
    scans_every_years: Amount | None = Field(description="years between scans of every organ")
    p_any: ByHorizon[RiskBand] = Field(description="probability of a lesion in any organ, by years")
    p_any_lower_by: ByHorizon[ChangeBand] = Field(description="how much lower that is than without the scenario")
    organs: tuple[OrganRisk, ...] = Field(description="the risk by organ")


class Cascade(ResultFile):
    """The metastatic cascade of one patient."""

    file_name: ClassVar[str] = "cascade.json"

    patient: Text = Field(description="name of the patient")
    primary: Text = Field(description="primary tumour")
    status: Literal["ok", "not_applicable", "not_evaluable", "withheld"] = Field(
        description="whether the risks could be computed; withheld: a sample that they would rest on fails its checks"
    )
    reason: Text = Field(description="why not, else empty")
    latest_sample: Text | None = Field(description="the sample that the horizons start at")
    samples: tuple[Text, ...] = Field(description="all samples used")
    organs: tuple[Organ, ...] = Field(description="the risk by organ; empty unless ok")
    p_any: ByHorizon[RiskBand] | None = Field(description="probability of a lesion in any organ, by years")
    known_metastatic: Flag = Field(
        default=False,
        description="whether the patient sheet says that there is spread: p_any then repeats it and predicts nothing",
    )
    level: Share = Field(description="probability of every interval")
    flow: tuple[FlowStep, ...] = Field(
        description="the steps from shedding to a detectable lesion, in order, per day at the latest sample"
    )
    p_founding_per_ctc: ShareBand | None = Field(description="probability that one CTC founds a lesion")
    share_due_to_clusters: ShareBand | None = Field(description="share of the lesions that clusters found")
    risk_due_to_clusters: ShareBand | None = Field(
        default=None,
        description="share of the risk of any organ, at the last horizon, that rests on clusters founding more than "
        "their cells would one by one",
    )
    evidence: Literal["enough", "too_little_blood"] = Field(
        default="enough", description="too_little_blood: every sample says so; the risks are those of any such patient"
    )
    prior_dominated: Flag | None = Field(description="the result rests on the prior rather than on the count")
    switched_off: tuple[Text, ...] = Field(description="steps of the model that the settings switch off")
    outside_the_model: tuple[Text, ...] = Field(description="what the model leaves out")
    evidence_ids: tuple[Text, ...] = Field(description="rows of evidence used, as table/id")
    assumptions: tuple[Text, ...] = Field(description="those of kind assumption")
    findings: tuple[Finding, ...] = Field(
        default=(), description="imaging of the patient sheet by date, and what each finding was used for"
    )
    statements: tuple[Text, ...] = Field(default=(), description="what a reader of the risks must know")
    variance_shares: ByHorizon[VarianceShares] | None = Field(
        default=None, description='of the variance of "a lesion in sight, yes or no", by years'
    )
    lead_time: LeadTime | None = Field(
        default=None, description="from the latest sample to the first lesion in sight, where none is yet"
    )
    if_therapy_goes_on: tuple[TherapyGoesOn, ...] = Field(
        default=(),
        description="for each therapy whose end after the latest sample raises the risk by itself: the risk without it",
    )
    what_if: tuple[Scenario, ...] = Field(default=(), description="scenarios that were asked for")
