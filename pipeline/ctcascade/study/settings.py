"""The settings of a run: one typed model a stage, with range, default and meaning of each setting.

The defaults of config/config.yaml, the check of a user's settings and the reference page all come from here.
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from ctcascade.data.typed import Flag, Number, Typed, Whole

Level = Annotated[Number, Field(ge=0.5, le=0.999)]
Draws = Annotated[Whole, Field(ge=100, le=1_000_000)]
Seed = Annotated[Whole, Field(ge=0, le=2**63 - 1)]
Length = Annotated[Number, Field(ge=0, le=50)]
Probability = Annotated[Number, Field(gt=0, lt=1)]
Diameter = Annotated[Number, Field(ge=1, le=200, description="a diameter from 1 to 200 um")]
Limit = Annotated[Number | None, Field(ge=0, description="a number from 0 on or null")]
Limits = Annotated[
    tuple[Limit, Limit],
    Field(
        json_schema_extra={"expected": "two limits, [warn, fail], either a number from 0 on or null"},
        examples=["[0.1, 0.5]"],
    ),
]
PlainPath = Annotated[
    str,
    Field(
        pattern=r"^[^@{}*?\x00-\x1f-][^{}*?\x00-\x1f]*$",
        json_schema_extra={"expected": "a path without {, }, * and ?, which starts with neither @ nor -"},
    ),
]
Step = Literal[
    "clusters",
    "unseen_shedding",
    "killer_cells",
    "shear",
    "cloaking",
    "portal_route",
    "first_pass",
    "tropism",
    "dormancy",
    "angiogenesis",
    "frailty",
    "late_cells",
]
"""A step of the model of the cascade that can be switched off."""

_FLAG = "true or false"
_LENGTH = "a length from 0 to 50 um"
_PROBABILITY = "a probability between 0 and 1, neither of them"
_LEVEL = "the level of intervals from 0.5 to 0.999"
_DRAWS = "a whole number from 100 to 1000000"


def setting(default: Any, expected: str, meaning: str, **limits: Any) -> Any:
    """Return a field: its default, what a fault says was expected, what the setting means, and its limits."""
    return Field(default=default, description=meaning, json_schema_extra={"expected": expected}, **limits)


def limits(warn: float | None, fail: float | None, meaning: str) -> Any:
    """Return a field of two limits, either of which may be None."""
    return Field(default=(warn, fail), description=meaning)


def section(settings: type[Typed], expected: str) -> Any:
    """Return a field for the settings of one stage."""
    meaning = (settings.__doc__ or "").strip().splitlines()[0]
    return Field(default_factory=settings, description=meaning, json_schema_extra={"expected": expected})


def _each_once(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    if len(set(steps)) < len(steps):
        raise ValueError("a step twice")
    return steps


_SHARE = "a share from 0 to 1"
_UM = "a length above 0 and up to 1000 um"
_PIXELS = "a number of pixels above 0 and up to 1000"
_ZOOM = "a factor above 0 and up to 100"
_CELLS = "a whole number from 1 to 1000000"


def share(default: float, meaning: str) -> Any:
    """Return the field of a share."""
    return setting(default, _SHARE, meaning, ge=0, le=1)


def length(default: float, meaning: str) -> Any:
    """Return the field of a length in um."""
    return setting(default, _UM, meaning, gt=0, le=1000)


class BackgroundSettings(Typed):
    """How the background of a channel is followed, and its noise learned."""

    tile_um: Number = length(
        32.0, "Background is followed at this scale, um: wider than a cell, narrower than vignetting."
    )
    tile_samples: Whole = setting(
        16,
        "a whole number from 2 to 1000",
        "Pixels looked at along each side of a tile: its background is known to a tenth of the noise.",
        ge=2,
        le=1000,
    )
    quantile: Number = share(
        0.25, "Quantile of a tile's pixels: background as long as cells cover less than about two thirds of it."
    )
    noise_pixels: Whole = setting(
        50_000,
        "a whole number from 100 to 100000000",
        "Pixels that the noise is learned from, to about half a per cent.",
        ge=100,
        le=100_000_000,
    )
    hot_min_snr: Number = setting(
        8.0,
        "a number above 0 and up to 1000",
        "Standard deviations of the noise by which a hot pixel rises above each of its neighbours.",
        gt=0,
        le=1000,
    )
    hot_spread: Number = share(
        0.1,
        "Share of a hot pixel's light that its neighbours show at most: optics spread more, up to 0.9 um a pixel.",
    )


class NucleiSettings(Typed):
    """How nuclei are found in the DNA channel, and touching ones split."""

    smooth_um: Number = length(0.5, "First smoothing, um: evens out noise; half of a blurred edge lies where it did.")
    min_snr: Number = setting(
        5.0,
        "a number above 0 and up to 1000",
        "Standard deviations of the noise above which a pixel is signal: less than one a frame by chance.",
        gt=0,
        le=1000,
    )
    edge_share: Number = share(
        0.5, "Share of its own brightness at which a nucleus ends: half, where a blurred edge lies."
    )
    glow_share: Number = share(
        0.04, "Share of the brightest nuclei below which light is their glow; assumes no nucleus 25 times darker."
    )
    object_um: Number = length(1.6, "Smoothing, um, at which the grain of chromatin is gone: a nucleus is one hill.")
    coarse_pixel_um: Number = length(1.3, "Largest pixel, um, that still shows hills of that smoothing.")
    apart_um: Number = length(2.0, "Maxima nearer than this, um, are one: about half of the smallest nucleus.")
    waist: Number = share(
        0.87, "Waist over the lesser radius below which two touching nuclei are cut: discs from one radius apart on."
    )
    waist_of_large: Number = share(0.96, "The same of what is larger than two lobed nuclei and not convex.")
    convex_share: Number = share(0.9, "Share of its convex hull that one nucleus fills.")
    valley: Number = share(0.7, "As waist, of the depth that the network of the learned segmenter sees.")
    min_depth: Number = share(0.45, "Least depth of what that network takes for a nucleus.")
    min_dna_share: Number = share(
        0.12, "Least share of the median nucleus's DNA: what holds less is glow, a fragment or noise."
    )
    surroundings_um: Number = length(
        1.5, "Width of a nucleus's surroundings, um: beyond the blur of its edge, short of the next nucleus."
    )


class CellsSettings(Typed):
    """How cells are grown around nuclei."""

    smooth_um: Number = length(0.5, "Smoothing of cytokeratin and CD45, um.")
    min_snr: Number = setting(
        5.0,
        "a number above 0 and up to 1000",
        "Standard deviations of the noise above which a pixel shows a marker.",
        gt=0,
        le=1000,
    )
    edge_share: Number = share(0.5, "Share of a cell's own brightest marker at which the cell ends.")
    rim_um: Number = length(
        2.0, "Cytoplasm, um, that every nucleated cell is given, as markers do not show all of it; an assumption."
    )
    min_bare_um2: Number = setting(
        6.0,
        "an area from 0 to 1000 um2",
        "Cytokeratin without nucleus that is smaller, um2 (2.8 um across), is noise.",
        ge=0,
        le=1000,
    )


class LearnedSettings(Typed):
    """How a frame is shown to the network of the learned segmenter, and how its answer is read."""

    first_pixel_um: Number = length(
        1.3, "Pixel size, um, of the first look: small nuclei are still seen, large ones do not fall into pieces yet."
    )
    best_nucleus_px: Number = setting(
        18.0, _PIXELS, "Diameter of nuclei, pixels, that the frame is scaled to for the second look.", gt=0, le=1000
    )
    min_nucleus_px: Number = setting(
        11.0, _PIXELS, "Smallest diameter, pixels, with which the frame is not scaled.", gt=0, le=1000
    )
    max_nucleus_px: Number = setting(
        28.0, _PIXELS, "Largest diameter, pixels, with which the frame is not scaled.", gt=0, le=1000
    )
    min_zoom: Number = setting(0.1, _ZOOM, "Smallest scale of the second look.", gt=0, le=100)
    max_zoom: Number = setting(3.0, _ZOOM, "Largest scale of both looks.", gt=0, le=100)
    min_nucleus_p: Number = share(0.5, "Probability above which a pixel is nucleus.")
    core_depth: Number = share(0.5, "Depth above which a pixel belongs to the core of a nucleus.")
    core_share: Number = setting(
        0.575,
        "a share above 0 and up to 1",
        "Diameter of such a core over the diameter of its nucleus, as the network draws them.",
        gt=0,
        le=1,
    )
    smooth_share: Number = setting(
        0.08, "a share above 0 and up to 1", "Smoothing of the depth, in diameters of a nucleus.", gt=0, le=1
    )


class MeasureSettings(Typed):
    """How cells are measured."""

    ring_um: Number = length(
        3.0, "Width, um, of the surroundings that a cell is compared with: wider than the blur, and still local."
    )
    high_share: Number = setting(
        0.02,
        "a share above 0 and up to 1",
        "Share of a cell's pixels that are brighter than what is called high in it: one pixel cannot turn it.",
        gt=0,
        le=1,
    )
    fragment_level: Number = share(0.5, "Share of a cell's high DNA above which a pixel belongs to a body of DNA.")
    min_fragment_um2: Number = setting(
        0.8,
        "an area from 0 to 1000 um2",
        "Least area, um2, of a body of DNA: about what the optics make of a point.",
        ge=0,
        le=1000,
    )
    min_plate_eccentricity: Number = share(0.75, "Least eccentricity of a nucleus that may be a plate of an anaphase.")
    min_plate_cosine: Number = share(0.85, "Least cosine of the angle between two such plates.")
    max_plate_offset: Number = share(0.5, "Largest cosine of the angle between a plate and the way to the other.")
    max_plate_gap: Number = setting(
        1.3, "a number above 0 and up to 10", "Largest distance of their centres, over their mean length.", gt=0, le=10
    )
    max_plate_ratio: Number = setting(2.0, "a number from 1 to 10", "Largest ratio of their areas.", ge=1, le=10)


class RegistrationSettings(Typed):
    """How far each channel lies beside DNA, when that is certain, and what is done about it."""

    coarse_um: Number = length(2.4, "Pixels, um, in which the channels are compared: cells still show, noise does not.")
    max_share: Number = setting(
        0.3, "a share above 0 and up to 0.5", "Largest shift that is looked for, over the frame's side.", gt=0, le=0.5
    )
    apart_um: Number = length(12.0, "Shifts further apart than this, um, are two: a cell is no larger.")
    min_ratio: Number = setting(
        1.75,
        "a number from 1 to 1000",
        "A shift is found where the channels correlate this many times as well as at any other; two fields of view "
        "reach 1.0 to 1.5 by chance, channels of one field 2.3 to 20 where they show cells (phantoms).",
        ge=1,
        le=1000,
    )
    min_in_place: Number = share(
        0.6,
        "Correlation in place, over the best, from which a channel without a certain shift is not of another field.",
    )
    min_shift_um: Number = length(1.3, "Shift, um, from which a channel is moved: less changes no call.")
    min_moved_objects: Whole = setting(
        4, _CELLS, "Objects in both channels that a shift of that size rests on, at least.", ge=1, le=1_000_000
    )
    min_objects: Whole = setting(
        20,
        _CELLS,
        "Objects in both channels from which a frame without any correlation is unusable.",
        ge=1,
        le=1_000_000,
    )
    min_object_um2: Number = setting(
        20.0, "an area from 0 to 1000 um2", "Least area, um2, of such an object: a cell's.", ge=0, le=1000
    )
    min_snr: Number = setting(
        3.0, "a number above 0 and up to 1000", "Standard deviations of the noise that it shows.", gt=0, le=1000
    )


class DetectSettings(Typed):
    """Frames -> cells: how nuclei and cells are found and measured."""

    labels: Flag = setting(False, _FLAG, "Whether label images are written too (labels/FRAME.tif).")
    segmenter: Literal["classical", "learned"] = setting(
        "classical", "classical or learned", "What finds the nuclei; learned is a small network (docs/segmenter.md)."
    )
    nucleus_diameter_um: tuple[Diameter, Diameter] = setting(
        (3.5, 60.0),
        "the smallest and the largest diameter, two rising numbers from 1 to 200",
        "Diameters, um, of the smallest and the largest nucleus; other DNA objects are not nuclei.",
        examples=["[3.5, 30]"],
    )
    lobed_nucleus_um2: Number = setting(
        60.0,
        "an area from 0 to 1000 um2",
        "Parts whose areas, um2, add up to no more than this stay one nucleus (granulocytes; an assumption, tried on "
        "phantoms).",
        ge=0,
        le=1000,
    )
    cell_margin_um: Length = setting(
        4.0, _LENGTH, "How far, um, a cell may reach beyond its nucleus, or the nucleus's radius if that is more."
    )
    contact_gap_max_um: Length = setting(3.0, _LENGTH, "Cells with a gap, um, of at most this are listed as contacts.")
    background: BackgroundSettings = section(BackgroundSettings, "how the background is followed")
    nuclei: NucleiSettings = section(NucleiSettings, "how nuclei are found")
    cells: CellsSettings = section(CellsSettings, "how cells are grown")
    learned: LearnedSettings = section(LearnedSettings, "how the network of the learned segmenter is used")
    measure: MeasureSettings = section(MeasureSettings, "how cells are measured")
    registration: RegistrationSettings = section(RegistrationSettings, "how channels are laid upon DNA")


_WIDTH = "a width above 0 and up to 10"


def width(default: float, of: str) -> Any:
    """Return the field of a gate's width, in the unit that the gate is compared in."""
    return setting(default, _WIDTH, f"Width of the gate's step: of {of}.", gt=0, le=10)


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


_FROM_ZERO = "a number from 0 to 1000"
_POSITIVE = "a number above 0 and up to 1000"
_LN_RATIO = "a number from -20 to 20"


class ReferenceSettings(Typed):
    """What cells are compared with: the sample's own leukocytes, or its noise where there are too few of them."""

    min_leukocytes: Whole = setting(
        20, "a whole number from 2 to 100000", "A sample with fewer cannot be its own reference.", ge=2, le=100_000
    )
    min_cd45_share: Number = setting(
        0.5, "a share from 0 to 1", "A leukocyte has at least this share of the stained cells' median CD45.", ge=0, le=1
    )
    min_spread_ln: Number = setting(
        0.2, _POSITIVE, "Least spread of ln(signal): no sample of leukocytes is more alike than that.", gt=0, le=1000
    )
    noise_spread_ln: Number = setting(
        0.25, _POSITIVE, "Spread of ln(cytokeratin) where the noise is the reference.", gt=0, le=1000
    )
    noise_cd45_snr: Number = setting(
        20.0,
        _POSITIVE,
        "Least CD45 reference where the noise is the reference, in standard deviations of the noise.",
        gt=0,
        le=1000,
    )
    apart_spreads: Number = setting(
        3.5,
        _POSITIVE,
        "Two populations of stained cells are two where they lie this many pooled spreads apart (Ashman's D / sqrt 2).",
        gt=0,
        le=1000,
    )
    sd_above_bleed: Number = setting(
        3.0, _FROM_ZERO, "A leukocyte's CD45 is this many standard deviations above what bleeds over.", ge=0, le=1000
    )
    min_population: Whole = setting(8, _CELLS, "Cells that a population needs to move a gate.", ge=1, le=1_000_000)
    few_between: Whole = setting(
        5,
        _CELLS,
        "Cells with cytokeratin and half the usual CD45 that do not move the gate yet.",
        ge=1,
        le=1_000_000,
    )
    ctc_range_z: Number = setting(
        8.0, _POSITIVE, "Spreads of cytokeratin over which CTCs are found; an assumption.", gt=0, le=1000
    )
    least_ck_z: Number = setting(
        1.7, _FROM_ZERO, "The gate of cytokeratin, in spreads, falls no lower where CTCs are common.", ge=0, le=1000
    )
    most_cd45_ratio: Number = share(0.4, "The gate of CD45 over the leukocytes' rises no higher.")


class BleedSettings(Typed):
    """How what cytokeratin leaves in CD45 is estimated from the sample, where the assay does not know it."""

    max_share: Number = share(0.25, "No filter set lets more through: a larger share is the other stain itself.")
    min_objects: Whole = setting(5, _CELLS, "Bright objects that the lower envelope needs.", ge=1, le=1_000_000)
    bright_snr: Number = setting(
        12.0, _POSITIVE, "Standard deviations of the noise from which an object is bright.", gt=0, le=1000
    )
    unknown_sd: Number = share(0.02, "Standard deviation of a share that could not be estimated.")


class StainSettings(Typed):
    """When a stain has worked, channels lie upon each other, and cells can be told apart: limits of the claims."""

    min_objects: Whole = setting(8, _CELLS, "Objects that a check needs.", ge=1, le=1_000_000)
    bright_snr: Number = setting(
        8.0, _POSITIVE, "Standard deviations of the noise from which an object shows a stain.", gt=0, le=1000
    )
    faint_snr: Number = setting(
        0.1, _FROM_ZERO, "Least faint cytokeratin of leukocytes, in standard deviations of the noise.", ge=0, le=1000
    )
    same_ratio_ln: Number = setting(
        0.15, _POSITIVE, "Objects lie on one line where ln(light / light) differs by less.", gt=0, le=1000
    )
    max_on_line: Number = share(0.8, "Share of objects on one line from which on a channel is a copy of another.")
    tail: Number = share(
        0.9, "Normal values from half a spread above the centre on, over those within one spread below it."
    )
    max_between: Number = share(0.08, "Share of cells without CD45 just below the gate of cytokeratin.")
    max_cut: Number = share(0.1, "Share of CTCs below the gate of cytokeratin.")
    max_negative: Number = share(0.45, "CD45 of cells that have none, over the leukocytes'.")
    max_doubtful: Number = share(0.75, "Median CD45, over the leukocytes', of a crowd that may be CTCs or weak.")
    noise_sharpness: Number = setting(
        0.75, _POSITIVE, "Sharpness of a channel without any structure; noise alone has about 0.5.", gt=0, le=1000
    )
    max_lost_area: Number = share(0.05, "Share of the sample's area in frames whose stain failed.")
    min_with_nucleus: Number = share(0.5, "Share of cells with CD45 that show a nucleus.")
    max_unknown_shift_um: Number = length(
        1.4, "Usual shift, um, of a channel from which frames where it cannot be measured are in doubt."
    )


class OrderSettings(Typed):
    """When a frame has its channels in another order than the sample's other frames."""

    min_cells: Whole = setting(8, _CELLS, "Cells that a frame needs to be compared.", ge=1, le=1_000_000)
    background_ln: Number = setting(0.6, _POSITIVE, "Usual spread of ln(background) from frame to frame.", gt=0, le=10)
    noise_ln: Number = setting(0.6, _POSITIVE, "Usual spread of ln(noise) from frame to frame.", gt=0, le=10)
    contrast_ln: Number = setting(
        0.25, _POSITIVE, "Usual spread of ln(sharpness times noise) from frame to frame.", gt=0, le=10
    )
    light_ln: Number = setting(0.3, _POSITIVE, "Usual spread of ln(light of cells) from frame to frame.", gt=0, le=10)
    least_gain: Number = setting(
        12.0, _POSITIVE, "By how much another order must match better, in squared spreads.", gt=0, le=1000
    )
    max_lost_area: Number = share(0.05, "Share of the sample's area in frames with another order.")


class DyeSettings(Typed):
    """When an object is a clump of dye: extreme in every further marker, and lit in all required channels."""

    min_spreads: Number = setting(
        3.0, _FROM_ZERO, "A further marker is extreme from this many spreads above the median on.", ge=0, le=1000
    )
    min_fill: Number = setting(
        0.5, "a share from 0 to 1", "Share of the object's pixels that show each required channel.", ge=0, le=1
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
        -1.0,
        _LN_RATIO,
        "Ln of the likelihood ratio from which the judge is for a CTC, or at least not against.",
        ge=-20,
        le=20,
    )
    alone_ln_ratio: Number = setting(
        4.0, _LN_RATIO, "From this on a cell that the gates do not want is uncertain.", ge=-20, le=20
    )


class ClassifySettings(Typed):
    """Cells -> calls: from which probability a cell is called, what counts as one cluster, how gates are applied."""

    cluster_gap_um: Length = setting(1.0, _LENGTH, "CTCs with a gap, um, of at most this form one cluster.")
    p_ctc_call: Probability = setting(0.5, _PROBABILITY, "From this probability on a cell is called a CTC.")
    p_ctc_uncertain: Probability = setting(
        0.1, _PROBABILITY, "From this probability on, up to p_ctc_call, a cell is called uncertain."
    )
    min_snr: Number = setting(
        5.0,
        _POSITIVE,
        "A channel is positive where it rises by at least this many standard deviations of its noise.",
        gt=0,
        le=1000,
    )
    blur_um2: Number = setting(
        6.0,
        _FROM_ZERO,
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
    judge: JudgeSettings = section(JudgeSettings, "how the learned judge is used beside the gates")
    unlike_cells: Whole = setting(
        12,
        "a whole number from 0 to 1000",
        "Cells that no gate wanted and that are most unlike the sample's leukocytes, shown on the sample's page.",
        ge=0,
        le=1000,
    )


class CountSettings(Typed):
    """Calls -> counts per 7.5 mL of blood."""

    level: Level = setting(0.95, _LEVEL, "The probability of every interval of this stage.")
    consensus: Literal["majority", "unanimous"] = setting(
        "majority",
        "majority or unanimous",
        "How the calls of several reviewers are joined; with unanimous, a cell that they disagree on is uncertain.",
    )
    least_blood_ml: Number = setting(
        1.0,
        "from 0 to 1000",
        "Blood looked at, in mL, below which a sample says too little for a number, unless it shows `least_ctcs`. In "
        "1 mL three of five patients with 5 CTCs in 7.5 mL show none.",
        ge=0,
        le=1000,
    )
    least_ctcs: Whole = setting(
        5, "1 or more", "CTCs that are evidence enough in any volume of blood.", ge=1, le=1000000
    )


class FrameLimits(Typed):
    """Limits [warn, fail] of a single frame."""

    focus: Limits = limits(1.5, None, "At least: sharpness; noise alone has about 0.5.")
    saturation: Limits = limits(0.01, 0.2, "At most: share of pixels at the ceiling, in the worst channel.")
    unevenness: Limits = limits(0.5, 2.0, "At most: (largest - smallest) DNA background over its median.")
    background_ratio: Limits = limits(
        2.0, 5.0, "At most: DNA background over the sample's median, or the other way round."
    )
    registration_um: Limits = limits(1.0, 3.0, "At most: largest shift of a channel against DNA, um.")


class QualitySettings(Typed):
    """Limits [warn, fail] of a sample's checks, for each laboratory to set; null is no limit."""

    lost_area_share: Limits = limits(0.05, 0.5, "At most: share of the imaged area that could not be analysed.")
    weak_focus_share: Limits = limits(0.1, 0.5, "At most: share of the usable frames beyond a frame's limit of focus.")
    saturated_share: Limits = limits(
        0.1, 0.5, "At most: share of the usable frames beyond a frame's limit of saturation."
    )
    uneven_share: Limits = limits(0.1, 0.5, "At most: share of the usable frames beyond a frame's limit of unevenness.")
    background_cv: Limits = limits(0.5, None, "At most: spread of the DNA background from frame to frame.")
    registration_um: Limits = limits(1.0, 3.0, "At most: shift of a channel against DNA, um, median of the frames.")
    staining_index: Limits = limits(5.0, 2.0, "At least: CD45 of leukocytes in twice the noise.")
    nuclei_per_mm2: Limits = limits(5.0, None, "At least: nuclei per mm2 analysed.")
    leukocyte_nucleus_ratio: Limits = limits(
        1.0, 1.0, "At most: median diameter of leukocytes' nuclei against the published range; above 1 is outside it."
    )
    hours_to_processing: Limits = limits(72.0, 96.0, "At most: hours from the blood draw to processing.")
    frame: FrameLimits = section(FrameLimits, "the limits of a single frame")


class OperatorSettings(Typed):
    """The calls of the scanner's operator, where the images come with them, beside the classifier's."""

    max_distance_um: Number = setting(
        10.0,
        "a length above 0 and up to 100 um",
        "An event and a cell are the same when their centres are at most this far apart, um.",
        gt=0,
        le=100,
    )


Deviations = Annotated[Number, Field(gt=0, le=10)]
_DEVIATIONS = "a number of standard deviations above 0 and up to 10"


class ControlsSettings(Typed):
    """Control samples of each assay and lot over time (Levey-Jennings)."""

    baseline_controls: Whole = setting(
        5,
        "a whole number from 2 to 100",
        "The first controls of a lot, which set its mean and standard deviation.",
        ge=2,
        le=100,
    )
    warn_sd: Deviations = setting(
        2.0, _DEVIATIONS, "Beyond this many standard deviations from the mean a later control is marked."
    )
    fail_sd: Deviations = setting(
        3.0, _DEVIATIONS, "Beyond this many standard deviations from the mean a later control fails."
    )


class CascadeSettings(Typed):
    """Counts -> metastatic cascade."""

    draws: Draws = setting(4000, _DRAWS, "Draws of the model's parameters.")
    level: Level = setting(0.95, _LEVEL, "The probability of every band of this stage.")
    switched_off: Annotated[tuple[Step, ...], AfterValidator(_each_once)] = setting(
        (), "a list of steps of the model, each once", "Steps of the model to leave out; the output names them."
    )
    reseeding: Flag = setting(False, _FLAG, "Whether cells that still circulate after local therapy found lesions too.")
    cell_sizes: Flag = setting(
        False, _FLAG, "Whether the diameters of CTCs tell how they arrest (rests on an assumption; docs/cascade.md)."
    )


class SimulateSettings(CascadeSettings):
    """Counts -> metastatic cascade, and scenarios to set beside it."""

    what_if: str | None = setting(
        None,
        "a YAML file of scenarios, or nothing (null)",
        "A YAML file of scenarios to set beside every patient's risks.",
        min_length=1,
    )


class PrognoseSettings(Typed):
    """Counts, cascade and evidence -> prognosis."""

    draws: Draws = setting(4000, _DRAWS, "Draws of the evidence.")
    level: Level = setting(0.95, _LEVEL, "The probability of every band of this stage.")


class ReportSettings(Typed):
    """Results -> pages."""

    max_thumbnails: Whole = setting(
        100,
        "a whole number from 0 to 2000",
        "Candidates that a sample's page itself holds, those in doubt first; it loads the others from files beside it.",
        ge=0,
        le=2000,
    )
    max_cells: Whole = setting(
        3000,
        "a whole number from 0 to 20000",
        "Candidates with a picture, in the page and in the files beside it, those in doubt first.",
        ge=0,
        le=20000,
    )
    compared: Whole = setting(
        10,
        "a whole number from 0 to 100",
        "Cells shown to compare with: so many typical leukocytes, and so many of the cells just short of a candidate.",
        ge=0,
        le=100,
    )

    @property
    def pictured(self) -> int:
        """Candidates with a picture."""
        return max(self.max_cells, self.max_thumbnails)


CtcNumber = Annotated[Whole, Field(ge=0, le=100_000, description="a whole number of CTCs from 0 to 100000")]


class RecoverySettings(Typed):
    """In-silico spike-in (snakemake recovery): phantom CTCs of known number among cells without any."""

    levels: tuple[CtcNumber, ...] = setting(
        (0, 5, 15, 50, 150, 500, 1142),
        "four numbers of CTCs or more, each a whole number from 0 to 100000, three of them different",
        "Numbers of CTCs that are pasted in, each into a copy of the frames of its own.",
        min_length=4,
        max_length=100,
        examples=["[0, 5, 15, 50, 150, 500, 1142]"],
    )
    frames: Whole = setting(
        12,
        "a whole number of frames from 1 to 100000",
        "Frames that they are pasted into: of samples with role healthy, else phantom ones.",
        ge=1,
        le=100_000,
    )
    ctc_diameter_um: Number = setting(
        12.0,
        "a diameter from 4 to 35 um",
        "Median diameter of the CTCs, um; set this and the next two as your own CTCs are.",
        ge=4,
        le=35,
    )
    ck: Number = setting(
        0.25,
        "a share of the camera's range from 0.01 to 0.8",
        "Median cytokeratin, as a share of the camera's range.",
        ge=0.01,
        le=0.8,
    )
    weak_ck: Number = setting(
        0.2, "a share from 0 to 1", "Share of the CTCs with a quarter of that cytokeratin.", ge=0, le=1
    )


class CohortSettings(Typed):
    """Follow-up of the laboratory's own patients beside what was predicted (snakemake cohort)."""

    level: Level = setting(0.95, _LEVEL, "The probability of every interval of this stage.")
    bootstrap: Draws = setting(2000, _DRAWS, "Resamplings of the patients, for the interval of the c-index.")
    min_events: Whole = setting(
        10,
        "a whole number of deaths from 5 to 10000",
        "Deaths in a setting below which no ratio is given (doi:10.1016/0895-4356(95)00048-8).",
        ge=5,
        le=10_000,
    )
    advised_events: Whole = setting(
        100,
        "a whole number of deaths from 0 to 10000",
        "Deaths below which a calibration is called small (doi:10.1002/sim.6787).",
        ge=0,
        le=10_000,
    )


class Settings(Typed):
    """All settings of a run. A name that is not here is refused, so that a misspelt setting cannot go unnoticed."""

    samples: PlainPath = Field(default="config/samples.tsv", description="The sample sheet (config/README.md).")
    patients: PlainPath = Field(default="config/patients.tsv", description="The patient sheet (config/README.md).")
    assays: PlainPath = Field(default="config/assays", description="The folder of assay files.")
    reviews: PlainPath | None = setting(
        None,
        "null, or a folder of reviewers' files as a path without {, }, * and ?",
        "The folder of reviewers' files, SAMPLE.REVIEWER.csv.",
    )
    results: PlainPath = Field(default="results", description="The folder of results.")
    random_seed: Seed = setting(
        20261122,
        "a whole number from 0 to 2^63 - 1",
        "Makes every random draw: equal inputs and seed give equal bytes.",
    )
    images_settled_s: Number = setting(
        0,
        "a number of seconds from 0 to 86400",
        "A run waits at its start until no image file has changed for so long; 0: it only names young files.",
        ge=0,
        le=86_400,
    )
    chunk_frames: Whole = setting(
        256,
        "a whole number of frames from 1 to 100000",
        "Frames of one detect job, about a minute's work; changes no result.",
        ge=1,
        le=100_000,
    )
    detect: DetectSettings = section(DetectSettings, "the settings of detect")
    classify: ClassifySettings = section(ClassifySettings, "the settings of classify")
    count: CountSettings = section(CountSettings, "the settings of count")
    quality: QualitySettings = section(QualitySettings, "the limits of quality")
    operator: OperatorSettings = section(OperatorSettings, "the settings of operator")
    controls: ControlsSettings = section(ControlsSettings, "the settings of controls")
    simulate: SimulateSettings = section(SimulateSettings, "the settings of simulate")
    prognose: PrognoseSettings = section(PrognoseSettings, "the settings of prognose")
    report: ReportSettings = section(ReportSettings, "the settings of report")
    recovery: RecoverySettings = section(RecoverySettings, "the settings of the in-silico spike-in")
    cohort: CohortSettings = section(CohortSettings, "the settings of the comparison with follow-up")
