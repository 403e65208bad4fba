"""The settings of calling: widths of gates, and what is tested of reference, bleed, stains and judge."""

from typing import Literal

from ctcascade.data.typed import Number, Typed, Whole
from ctcascade.study.fields import (
    CELLS,
    FROM_ZERO,
    LENGTH,
    LN_RATIO,
    POSITIVE,
    PROBABILITY,
    Length,
    Probability,
    length,
    section,
    setting,
    share,
    width,
)


class GateWidths(Typed):
    """How sharp each gate is: a cell one width beyond it clears it with probability 0.73, three widths with 0.95.

    The defaults make the squared error of `p_ctc` least on phantoms of which one cell in 20 is a CTC.
    """

    ck_min_z: Number = width(0.2, "cytokeratin, in spreads above the leukocytes")
    cd45_max_ratio: Number = width(0.05, "ln(CD45 over the leukocytes' median)")
    min_nucleus_um2: Number = width(0.05, "ln(area of the nucleus)")
    min_nucleus_solidity: Number = width(0.01, "solidity of the nucleus")
    max_dna_peak: Number = width(0.025, "ln(brightest DNA over the mean of the nucleus)")
    min_diameter_um: Number = width(0.025, "ln(diameter)")
    max_diameter_um: Number = width(0.025, "ln(diameter)")
    min_ck_fill: Number = width(0.025, "evenness of cytokeratin")


class ReferenceSettings(Typed):
    """What cells are compared with: the sample's own leukocytes, or its noise where there are too few of them."""

    min_leukocytes: Whole = setting(
        20, "a whole number from 2 to 100000", "A sample with fewer cannot be its own reference.", ge=2, le=100_000
    )
    min_cd45_share: Number = setting(
        0.5, "a share from 0 to 1", "A leukocyte has at least this share of the stained cells' median CD45.", ge=0, le=1
    )
    min_spread_ln: Number = setting(
        0.2, POSITIVE, "Least spread of ln(signal): no sample of leukocytes is more alike than that.", gt=0, le=1000
    )
    noise_spread_ln: Number = setting(
        0.25, POSITIVE, "Spread of ln(cytokeratin) where the noise is the reference.", gt=0, le=1000
    )
    noise_cd45_snr: Number = setting(
        20.0,
        POSITIVE,
        "Least CD45 reference where the noise is the reference, in standard deviations of the noise.",
        gt=0,
        le=1000,
    )
    apart_spreads: Number = setting(
        3.5,
        POSITIVE,
        "Two populations of stained cells are two where they lie this many pooled spreads apart (Ashman's D / sqrt 2).",
        gt=0,
        le=1000,
    )
    sd_above_bleed: Number = setting(
        3.0, FROM_ZERO, "A leukocyte's CD45 is this many standard deviations above what bleeds over.", ge=0, le=1000
    )
    min_population: Whole = setting(8, CELLS, "Cells that a population needs to move a gate.", ge=1, le=1_000_000)
    few_between: Whole = setting(
        5,
        CELLS,
        "Cells with cytokeratin and half the usual CD45 that do not move the gate yet.",
        ge=1,
        le=1_000_000,
    )
    ctc_range_z: Number = setting(
        8.0, POSITIVE, "Spreads of cytokeratin over which CTCs are found; an assumption.", gt=0, le=1000
    )
    least_ck_z: Number = setting(
        1.7, FROM_ZERO, "The gate of cytokeratin, in spreads, falls no lower where CTCs are common.", ge=0, le=1000
    )
    faint_nucleus: Number = share(
        0.3, "Less DNA than this, over the usual nucleus's, is no nucleus where it may be structure of the background."
    )
    most_cd45_ratio: Number = share(0.4, "The gate of CD45 over the leukocytes' rises no higher.")


class BleedSettings(Typed):
    """How what cytokeratin leaves in CD45 is estimated from the sample, where the assay does not know it."""

    max_share: Number = share(0.25, "No filter set lets more through: a larger share is the other stain itself.")
    min_objects: Whole = setting(5, CELLS, "Bright objects that the lower envelope needs.", ge=1, le=1_000_000)
    bright_snr: Number = setting(
        12.0, POSITIVE, "Standard deviations of the noise from which an object is bright.", gt=0, le=1000
    )
    min_alike: Number = share(
        0.5,
        "Correlation of cytokeratin and CD45 in a cell from which on its CD45 may be bleed: its own lies elsewhere.",
    )
    unknown_sd: Number = share(0.02, "Standard deviation of a share that could not be estimated.")


class StainSettings(Typed):
    """When a stain has worked, channels lie upon each other, and cells can be told apart: limits of the claims."""

    min_objects: Whole = setting(8, CELLS, "Objects that a check needs.", ge=1, le=1_000_000)
    bright_snr: Number = setting(
        8.0, POSITIVE, "Standard deviations of the noise from which an object shows a stain.", gt=0, le=1000
    )
    min_ck_cells: Whole = setting(
        3, CELLS, "Nucleated cells with bright cytokeratin that prove that stain.", ge=1, le=1_000_000
    )
    faint_snr: Number = setting(
        0.1, FROM_ZERO, "Least faint cytokeratin of leukocytes, in standard deviations of the noise.", ge=0, le=1000
    )
    unsure_bleed: Number = share(
        0.2,
        "Share of what CD45 leaves in cytokeratin that may seem the leukocytes' own light, as noise flattens a line.",
    )
    same_ratio_ln: Number = setting(
        0.15, POSITIVE, "Objects lie on one line where ln(light / light) differs by less.", gt=0, le=1000
    )
    max_on_line: Number = share(0.8, "Share of objects on one line from which on a channel is a copy of another.")
    tail: Number = share(
        0.9, "Normal values from half a spread above the centre on, over those within one spread below it."
    )
    max_between: Number = share(0.08, "Share of cells without CD45 just below the gate of cytokeratin.")
    max_cut: Number = share(0.1, "Share of CTCs below the gate of cytokeratin.")
    max_negative: Number = share(0.45, "CD45 of cells that have none, over the leukocytes'.")
    max_doubtful: Number = share(
        0.08, "Cells with cytokeratin that have less CD45 than leukocytes have, beyond chance, over the CTCs."
    )
    few_doubtful: Number = setting(
        2.5, FROM_ZERO, "So few of them withhold no count, whatever share they are.", ge=0, le=1000
    )
    doubt_p: Number = share(0.01, "Probability that leukocytes look so by chance, below which they are none.")
    noise_sharpness: Number = setting(
        0.75, POSITIVE, "Sharpness of a channel without any structure; noise alone has about 0.5.", gt=0, le=1000
    )
    max_lost_area: Number = share(0.05, "Share of the sample's area in frames whose stain failed.")
    min_with_nucleus: Number = share(0.5, "Share of cells with CD45 that show a nucleus.")
    max_unknown_shift_um: Number = length(
        1.4, "Usual shift, um, of a channel from which frames where it cannot be measured are in doubt."
    )


class OrderSettings(Typed):
    """When a frame has its channels in another order than the sample's other frames."""

    min_cells: Whole = setting(8, CELLS, "Cells that a frame needs to be compared.", ge=1, le=1_000_000)
    background_ln: Number = setting(0.6, POSITIVE, "Usual spread of ln(background) from frame to frame.", gt=0, le=10)
    noise_ln: Number = setting(0.6, POSITIVE, "Usual spread of ln(noise) from frame to frame.", gt=0, le=10)
    contrast_ln: Number = setting(
        0.25, POSITIVE, "Usual spread of ln(sharpness times noise) from frame to frame.", gt=0, le=10
    )
    light_ln: Number = setting(0.3, POSITIVE, "Usual spread of ln(light of cells) from frame to frame.", gt=0, le=10)
    least_gain: Number = setting(
        12.0, POSITIVE, "By how much another order must match better, in squared spreads.", gt=0, le=1000
    )
    max_lost_area: Number = share(0.05, "Share of the sample's area in frames with another order.")


class DyeSettings(Typed):
    """When an object is a clump of dye: extreme in every further marker, and lit in all required channels."""

    min_spreads: Number = setting(
        3.0, FROM_ZERO, "A further marker is extreme from this many spreads above the median on.", ge=0, le=1000
    )
    min_fill: Number = setting(
        0.5, "a share from 0 to 1", "Share of the object's pixels that show each required channel.", ge=0, le=1
    )


class LossSettings(Typed):
    """When too many CTCs may have been lost or made up for a count: limits of what the sample itself shows."""

    max_lost: Number = share(0.1, "Share of CTCs that may be among the cells that were not called.")
    max_close: Number = share(0.15, "Share of CTCs that may lie close to one gate.")
    max_false: Number = share(0.1, "Share of calls that may be false, by the judge's own ratios.")
    max_together: Number = share(
        0.12, "Share of all these doubts together, and of cells just below cytokeratin's gate."
    )
    few_together: Number = setting(
        4.0, FROM_ZERO, "So few cells in doubt, of all kinds together, withhold no count.", ge=0, le=1000
    )
    few: Number = setting(
        2.5, FROM_ZERO, "So few cells in doubt withhold no count, whatever share they are.", ge=0, le=1000
    )
    few_lost: Number = setting(
        1.5, FROM_ZERO, "So few CTCs that the judge expects among cells not called withhold no count.", ge=0, le=1000
    )
    few_of_most: Number = setting(
        2.0, FROM_ZERO, "So few false calls withhold no count where they are most of the calls.", ge=0, le=1000
    )
    few_bled: Whole = setting(
        1, CELLS, "So few cells whose CD45 may all be bleed withhold no count.", ge=0, le=1_000_000
    )
    min_called: Whole = setting(8, CELLS, "CTCs from which on shares of them are judged.", ge=1, le=1_000_000)
    many_vetoed: Whole = setting(
        7, CELLS, "Cells that the gates want and the judge does not that may outnumber the CTCs.", ge=0, le=1_000_000
    )
    sure_ln_ratio: Number = setting(
        -3.0, LN_RATIO, "Ln of the likelihood ratio below which the judge is sure that a cell is no CTC.", ge=-20, le=20
    )
    sure_calls: Number = setting(
        1.5,
        LN_RATIO,
        "Ln of the likelihood ratio that half of the calls have at least where the judge is for them as a whole.",
        ge=-20,
        le=20,
    )
    tail_end: Number = setting(
        -1.0, LN_RATIO, "Ln of the likelihood ratio at which the tail of the other cells is carried on.", ge=-20, le=20
    )
    tail_ln: Number = setting(
        2.0, POSITIVE, "Width, in ln of the likelihood ratio, of each of two bands of that tail.", gt=0, le=20
    )
    near_widths: Number = setting(
        5.0, POSITIVE, "A cell is close to a gate within this many of the gate's widths.", gt=0, le=1000
    )


class JudgeSettings(Typed):
    """How the learned judge is used beside the gates."""

    use: Literal["beside", "shown", "off"] = setting(
        "beside",
        "beside, shown or off",
        "beside: a cell is called where gates and judge agree, and is uncertain where they differ; shown: its verdict "
        "is written and the gates alone decide; off: it is not asked.",
    )
    least_ln_ratio: Number = setting(
        -0.5,
        LN_RATIO,
        "Ln of the likelihood ratio from which the judge is for a CTC, or hardly against.",
        ge=-20,
        le=20,
    )
    alone_ln_ratio: Number = setting(
        4.0, LN_RATIO, "From this on a cell that the gates do not want is uncertain.", ge=-20, le=20
    )
    alone_p_in_sample: Probability = setting(
        0.7,
        PROBABILITY,
        "From this probability on, at the sample's own share of CTCs, a cell that the gates do not want is uncertain "
        "as well, where its ratio is for a CTC.",
    )


class ClassifySettings(Typed):
    """Cells -> calls: from which probability a cell is called, what counts as one cluster, how gates are applied."""

    cluster_gap_um: Length = setting(
        1.5,
        LENGTH,
        "CTCs with a gap, um, of at most this form one cluster: touching cells may be found apart, as either edge is "
        "known to about a pixel.",
    )
    p_ctc_call: Probability = setting(0.5, PROBABILITY, "From this probability on a cell is called a CTC.")
    p_ctc_uncertain: Probability = setting(
        0.1, PROBABILITY, "From this probability on, up to p_ctc_call, a cell is called uncertain."
    )
    min_snr: Number = setting(
        5.0,
        POSITIVE,
        "A channel is positive where it rises by at least this many standard deviations of its noise.",
        gt=0,
        le=1000,
    )
    blur_um2: Number = setting(
        6.0,
        FROM_ZERO,
        "Area, um2, that counts against a nucleus's own: the smaller it is, the more its peak stands out (5 to 8 on "
        "phantoms of three generators).",
        ge=0,
        le=1000,
    )
    min_even_fill: Number = setting(
        0.05,
        "a share above 0 and up to 1",
        "Least share of an evenly lit cell's pixels above the noise: a ratio to less is noise.",
        gt=0,
        le=1,
    )
    gate_widths: GateWidths = section(GateWidths, "the width of each gate")
    reference: ReferenceSettings = section(ReferenceSettings, "what cells are compared with")
    dye: DyeSettings = section(DyeSettings, "when an object is a clump of dye")
    bleed: BleedSettings = section(BleedSettings, "how bleed is estimated from the sample")
    stains: StainSettings = section(StainSettings, "when stains have worked")
    order: OrderSettings = section(OrderSettings, "when a frame has its channels in another order")
    losses: LossSettings = section(LossSettings, "when too many CTCs may have been lost or made up")
    judge: JudgeSettings = section(JudgeSettings, "how the learned judge is used beside the gates")
    unlike_cells: Whole = setting(
        12,
        "a whole number from 0 to 1000",
        "Cells that no gate wanted and that are most unlike the sample's leukocytes, shown on the sample's page.",
        ge=0,
        le=1000,
    )
