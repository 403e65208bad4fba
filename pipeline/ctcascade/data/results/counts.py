"""counts.json: what was seen of one sample, and what it says about 7.5 mL of the patient's blood."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from ctcascade.data.results.base import (
    Amount,
    ByCutoff,
    Count,
    Factor,
    Flag,
    Interval,
    Kind,
    MarkerName,
    Number,
    Provenance,
    Quantiles,
    Result,
    ResultFile,
    Share,
    Text,
)

MarkerStatus = Literal["positive", "negative", "not_evaluable"]
Place = Literal["cell", "nucleus"]


class Agreement(Result):
    """How far readers of the same cells agree beyond chance."""

    n_cells: Count = Field(description="cells that all of them read")
    n_readers: Count = Field(description="number of readers")
    agreement: Share = Field(description="share of agreeing pairs")
    kappa: Number | None = Field(description="kappa; null where all cells have one call: chance agrees as often")
    low: Number | None = Field(description="lower limit of kappa")
    high: Number | None = Field(description="upper limit of kappa")
    level: Share = Field(description="probability that the interval covers kappa")


class ChangedCall(Result):
    """A cell whose call the reviewers changed."""

    frame: Text = Field(description="field of view")
    cell: Count = Field(description="number in the frame")
    call: Text = Field(description="the classifier's call")
    reviewed: Text = Field(description="the reviewers' call")


class Reviewer(Result):
    """One reviewer's share of the review."""

    reviewer: Text = Field(description="the reviewer's initials")
    n_reviewed: Count = Field(description="cells that this reviewer called")
    n_ctc: Count | None = Field(
        default=None, description="CTCs by this reviewer alone: the others as the classifier called them"
    )
    with_classifier: Agreement | None = Field(description="agreement with the classifier; null without a cell")


class Review(Result):
    """What the reviewers changed, and how far they agree."""

    consensus: Text = Field(description="how several reviews were joined")
    n_reviewed: Count = Field(description="cells that anyone reviewed")
    n_changed: Count = Field(description="cells whose call changed")
    changed: tuple[ChangedCall, ...] = Field(description="each cell whose call changed")
    between_reviewers: Agreement | None = Field(
        description="agreement over the cells that all of them reviewed; null without a cell or a second reviewer"
    )
    with_classifier: Agreement | None = Field(
        description="agreement of their consensus with the classifier, over all reviewed cells; null without a cell"
    )
    reviewers: tuple[Reviewer, ...] = Field(description="each reviewer")


class ChannelReference(Result):
    """What a channel's intensities were compared with."""

    centre: Number = Field(description="centre, counts above the surroundings")
    scale_ln: Amount = Field(description="scale of ln(counts + floor)")
    floor: Amount = Field(description="counts that are added before the logarithm")


class ChannelCentre(Result):
    """The centre of a channel's intensities."""

    centre: Number = Field(description="centre, counts above the surroundings")


class ChannelPeak(Result):
    """The usual peak of a channel."""

    peak: Amount = Field(description="peak, counts above the surroundings")


class Gate(Result):
    """One gate: a CTC lies above or below the threshold in the feature."""

    feature: Text = Field(
        description="a column of cells, or ck_contrast or cd45_contrast (`markers.contrast_of`), or dna_peak or "
        "ck_evenness (`classify.call_cells`)"
    )
    threshold: Number = Field(description="threshold of the feature")
    direction: Literal["above", "below"] = Field(description="side of the threshold on which a CTC lies")


class PairBleed(Result):
    """The share of one stain's light that is seen in the channel of another, and was taken off."""

    source: Text = Field(description="role of the stain")
    target: Text = Field(description="role of the channel")
    share: Amount | None = Field(description="share of the light; null where it could not be estimated")
    low: Amount = Field(description="lower 95 % limit")
    high: Amount = Field(description="upper 95 % limit; of a share that could not be estimated, what is assumed")
    n: Count = Field(description="objects that it was estimated from; 0 where the assay states it")
    how: Literal["assay", "sample", "not_estimable"] = Field(description="where it is from")


class Claim(Result):
    """Something that calls rest on, and whether it holds in this sample."""

    claim: Text = Field(description="name of the claim")
    checked_with: Text = Field(description="what it was checked with")
    value: Number | None = Field(description="the figure; null where there was nothing to check it with")
    verdict: Literal["holds", "fails", "not_checked"] = Field(description="fails: the sample has no count")
    reason: Text = Field(description="why it fails or could not be checked, else empty")


class Judged(Result):
    """What the learned judge made of a sample."""

    use: Literal["beside", "shown", "off", "abstains"] = Field(
        description="beside: cells are called where gates and judge agree; else the gates alone decide"
    )
    reason: Text = Field(description="why it abstains, else empty")
    n_asked: Count = Field(description="candidates that it was asked about")
    unlike: Amount | None = Field(
        description="distance of the sample from the slides that it was trained on, over the largest it accepts; null: "
        "not measured"
    )
    share_of_ctcs: Share | None = Field(
        description="share of CTCs among the candidates that its likelihood ratios make most probable; null: not asked"
    )


class CallsReference(Result):
    """What a sample's cells were compared with: `reference` in the metadata of calls, for drawing the gates."""

    n_leukocytes: Count = Field(description="the sample's own leukocytes compared with; 0: compared with its noise")
    ck: ChannelReference = Field(description="cytokeratin")
    cd45: ChannelCentre = Field(description="CD45")
    dna: ChannelPeak = Field(description="DNA")
    gates: dict[str, Gate] = Field(description="the gates by name")
    ck_by_cd45: tuple[Annotated[tuple[Number, ...], Field(min_length=2, max_length=2)], ...] = Field(
        description="points [cd45_contrast, ck_contrast] of the line above which a CTC lies: the more CD45, the more "
        "cytokeratin"
    )
    bleed: tuple[PairBleed, ...] = Field(default=(), description="what was taken off before any gate")
    claims: tuple[Claim, ...] = Field(default=(), description="what the calls rest on, and whether it holds")
    judge: Judged | None = Field(default=None, description="what the learned judge made of the sample")


class Layout(Result):
    """As which layout a sample's images were read."""

    format: Text = Field(description="name of the layout")
    why: Text = Field(description="what it was recognised by")


class TableProvenance(Provenance):
    """What made a table: for calls, with what their cells were compared with; for crops, with the images' layout."""

    reference: CallsReference | None = Field(default=None, description="of calls: what their cells were compared with")
    layout: Layout | None = Field(default=None, description="of crops: as which layout the images were read")


class SourcedValue(Result):
    """A number with its source."""

    value: Number = Field(description="the number")
    source: Text = Field(description="where it is from")


class MarkerRule(Result):
    """When a sample is positive for a marker."""

    min_ctcs: Count = Field(description="evaluable CTCs that a verdict needs")
    min_positive: Count = Field(description="positive CTCs that a positive sample needs")
    min_share: Share = Field(description="share of positive CTCs that a positive sample needs")
    source: Text = Field(description="where the rule is from")


class Marker(Result):
    """A further marker of the sample's CTCs."""

    role: Text = Field(description="role of its channel in the assay")
    marker: MarkerName = Field(description="what the channel shows")
    place: Place = Field(description="where in the cell it is measured")
    min_z: SourcedValue = Field(description="upper spreads above the sample's leukocytes from which a CTC is positive")
    min_nucleus_ratio: SourcedValue | None = Field(
        description="ratio of nucleus to cytoplasm from which it is nuclear; null: the whole cell is judged"
    )
    rule: MarkerRule = Field(description="when the sample is positive")
    n_evaluable: Count | None = Field(description="CTCs that could be judged; null where nothing could be seen")
    n_positive: Count | None = Field(description="positive CTCs; null where nothing could be seen")
    n_negative: Count | None = Field(description="negative CTCs; null where nothing could be seen")
    share: Interval | None = Field(description="share of positive ones among the blood's CTCs")
    status: MarkerStatus = Field(description="verdict on the sample")
    reason: Text = Field(description="why it cannot be judged, else empty")


class LimitOfBlank(Result):
    """The largest count that blood without CTCs gives with probability `level`."""

    count: Count = Field(description="calls in as much blood as was analysed here")
    level: Share = Field(description="probability that a blank sample does not exceed it")


class CtcDiameters(Result):
    """Diameters of single CTCs that no border cuts."""

    n: Count = Field(description="CTCs measured")
    quantiles: tuple[Amount, ...] = Field(description="diameters in um at the probabilities (i + 0.5) / number of them")


class Candidate(Result):
    """Cells that are CTCs with one probability."""

    p_ctc: Share = Field(description="probability that each is a CTC")
    n: Count = Field(description="number of cells")


class InPopulation(Result):
    """What the tube says of a patient of a population: what is known of such patients joined with what was seen."""

    ctc_per_7_5_ml: Interval = Field(description="CTCs in 7.5 mL of blood; the estimate is the median")
    population: Text = Field(description="row of populations")
    kind: Kind = Field(description="what that row rests on")
    after: tuple[Text, ...] = Field(description="interventions before the sample, which move the population")
    population_per_7_5_ml: Interval = Field(description="CTCs in 7.5 mL of such patients before any blood is looked at")


class UsedCalibration(Result):
    """A laboratory's own calibration of `p_ctc` that the estimates rest on."""

    file_sha256: Text = Field(description="checksum of its file: which one it is")
    slope: Number = Field(description="power of the odds of p_ctc; 1 is the shipped calibration")
    low: Number = Field(description="lower limit")
    high: Number = Field(description="upper limit")
    n_cells: Count = Field(description="reviewed cells that it was fitted on")
    n_samples: Count = Field(description="samples that they lie on")


class Counts(ResultFile):
    """What was counted in one sample, and the estimate for 7.5 mL of blood."""

    file_name: ClassVar[str] = "counts.json"

    sample: Text = Field(description="name of the sample")
    patient: Text = Field(description="name of the patient")
    collected: Text = Field(description="day of collection, YYYY-MM-DD")
    drawn: Text | None = Field(
        default=None, description="before or after an intervention of that day, or the time; null: not stated"
    )
    assay: Text = Field(description="name of the assay")
    role: Text | None = Field(description="role of a control sample, else null")
    note: Text | None = Field(description="note of the sample sheet")
    notice: Text | None = Field(default=None, description="what must be said first of the sample, from the sheet")
    status: Literal["ok", "not_evaluable"] = Field(
        description="not_evaluable: no frame could be analysed, or what the calls rest on does not hold"
    )
    reason: Text = Field(description="why it is not evaluable, else empty")
    n_frames: Count = Field(description="frames that the sample has")
    n_frames_usable: Count = Field(description="frames that could be analysed")
    n_cells: Count = Field(description="cells found")
    n_ctc: Count | None = Field(
        description="CTCs, those in clusters included; null where nothing was seen, which is not a count of 0"
    )
    n_clusters: Count | None = Field(description="clusters of two or more CTCs; null where not evaluable")
    n_ctc_leukocyte_groups: Count | None = Field(
        description="single CTCs that leukocytes touch, which are no clusters; null where not evaluable"
    )
    n_leukocytes: Count | None = Field(description="leukocytes; null where not evaluable")
    n_uncertain: Count | None = Field(description="cells called uncertain; null where not evaluable")
    cluster_sizes: dict[str, Count] = Field(description="number of CTCs in a cluster -> number of such clusters")
    clusters_with_leukocytes: Count | None = Field(description="clusters on which leukocytes ride")
    blood_volume_ml: Amount = Field(description="blood that the whole sample stands for, without that of copies")
    blood_of_copies_ml: Amount | None = Field(
        default=None, description="blood given for parts whose frames are copies of another part's: not counted again"
    )
    sampled_fraction: Share = Field(description="share of the sample that the images hold")
    imaged_fraction: Share = Field(description="area analysed / area of all frames")
    recovery: Factor = Field(description="share of the blood's CTCs that the assay keeps on the slide")
    sensitivity: Factor = Field(
        description="share of those on the slide that are called, relative to the reader of `recovery`"
    )
    background_per_7_5_ml: Factor = Field(description="false CTC calls per 7.5 mL")
    reference_equivalent: Factor | None = Field(description="recovery relative to the reference assay; null: not known")
    why_no_reference: Text | None = Field(
        default=None,
        description="why the assay's reference_equivalent is not used: it is only taken over from another method",
    )
    ctc_per_7_5_ml: Interval | None = Field(description="CTCs in 7.5 mL of blood; null where not evaluable")
    clusters_per_7_5_ml: Interval | None = Field(
        description="clusters in 7.5 mL of blood, taken to be lost as often as a single cell is"
    )
    ctc_per_ml: Interval | None = Field(description="CTCs in 1 mL of blood; null where not evaluable")
    ctc_quantiles_per_7_5_ml: Quantiles | None = Field(
        description="posterior of CTCs in 7.5 mL, for the stages that follow: quantiles at (i + 0.5) / number of them"
    )
    cluster_quantiles_per_7_5_ml: Quantiles | None = Field(description="posterior of clusters in 7.5 mL, likewise")
    p_at_least: ByCutoff[Share | None] = Field(
        description="probability that a reference assay would count at least so many in a fresh 7.5 mL; each null "
        "where not evaluable or without reference_equivalent"
    )
    limit_of_blank: LimitOfBlank = Field(description="largest count that a blank sample is expected to give")
    above_blank: Flag | None = Field(description="more CTCs than that; null where not evaluable")
    assumptions: tuple[Text, ...] = Field(
        description="keys of this result that rest on an assumption; always clusters_per_7_5_ml"
    )
    ctc_diameters_um: CtcDiameters | None = Field(
        default=None, description="diameters of single CTCs that no border cuts; null where none was measured"
    )
    tube_to_tube: Factor | None = Field(
        default=None, description="one tube's blood relative to the patient's; null: not allowed for"
    )
    markers: tuple[Marker, ...] = Field(default=(), description="further markers of the CTCs")
    claims: tuple[Claim, ...] = Field(default=(), description="what the calls rest on, and whether it holds")
    review: Review | None = Field(default=None, description="null without one: the calls are the classifier's")
    calibration: UsedCalibration | None = Field(
        default=None, description="the laboratory's own calibration of p_ctc; null: the shipped one"
    )

    candidates: tuple[Candidate, ...] = Field(
        default=(), description="cells called CTC or uncertain, by p_ctc; empty: the calls are taken as certain"
    )
    in_population: InPopulation | None = Field(
        default=None, description="the count with the population of such patients; null without a tumour"
    )
    evidence: Literal["enough", "too_little_blood"] = Field(
        default="enough",
        description="too_little_blood: what is said of the blood is the population's, hardly the tube's",
    )

    @property
    def blood_analysed_ml(self) -> float:
        """Blood that the analysed frames stand for, mL."""
        return self.blood_volume_ml * self.sampled_fraction * self.imaged_fraction
