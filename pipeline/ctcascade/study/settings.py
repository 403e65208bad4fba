"""The settings of a run: one typed model a stage, with range, default and meaning of each setting.

The defaults of config/config.yaml, the check of a user's settings and the reference page all come from here.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from ctcascade.data.typed import Flag, Name, Number, Typed, Whole
from ctcascade.study.calling_settings import ClassifySettings
from ctcascade.study.detection_settings import DetectSettings
from ctcascade.study.fields import (
    DRAWS,
    FLAG,
    LEVEL,
    Draws,
    Level,
    Limits,
    PlainPath,
    Seed,
    Step,
    all_different,
    each_once,
    limits,
    section,
    setting,
)


class CountSettings(Typed):
    """Calls -> counts per 7.5 mL of blood."""

    level: Level = setting(0.95, LEVEL, "The probability of every interval of this stage.")
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

    draws: Draws = setting(4000, DRAWS, "Draws of the model's parameters.")
    level: Level = setting(0.95, LEVEL, "The probability of every band of this stage.")
    switched_off: Annotated[tuple[Step, ...], AfterValidator(each_once)] = setting(
        (), "a list of steps of the model, each once", "Steps of the model to leave out; the output names them."
    )
    reseeding: Flag = setting(False, FLAG, "Whether cells that still circulate after local therapy found lesions too.")
    cell_sizes: Flag = setting(
        False, FLAG, "Whether the diameters of CTCs tell how they arrest (rests on an assumption; docs/cascade.md)."
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

    draws: Draws = setting(4000, DRAWS, "Draws of the evidence.")
    level: Level = setting(0.95, LEVEL, "The probability of every band of this stage.")


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


SpikeNumber = Annotated[Whole, Field(ge=1, le=1000, description="a whole number of CTCs from 1 to 1000")]
Tubes = Annotated[Whole, Field(ge=1, le=100)]


class ValidationSettings(Typed):
    """Analytical validation (snakemake validation): limits, linearity, precision of each assay."""

    level: Level = setting(0.95, LEVEL, "The probability of every interval and limit of this stage.")
    cv_wanted: Number = setting(
        0.2,
        "a share above 0 and up to 1",
        "The largest coefficient of variation that a count may have at the limit of quantitation.",
        gt=0,
        le=1,
    )
    deviation_allowed: Number = setting(
        0.15,
        "a share above 0 and up to 1",
        "The largest deviation from the straight line that is allowed, as a share of it.",
        gt=0,
        le=1,
    )
    low_ctc: CtcNumber = setting(
        10, "a whole number of CTCs", "Tubes with so many tumour cells or fewer are low ones, for the classical limit."
    )
    blanks: Tubes = setting(
        10, "a whole number of tubes from 1 to 40", "In-silico tubes without CTCs, where the sheet has none.", le=40
    )
    levels: Annotated[tuple[SpikeNumber, ...], AfterValidator(all_different)] = setting(
        (2, 5, 10, 25, 50),
        "three to ten different numbers of CTCs, each from 1 on",
        "CTCs of the in-silico tubes, where the sheet has no spiked ones.",
        min_length=3,
        max_length=10,
        examples=["[2, 5, 10, 25, 50]"],
    )
    replicates: Tubes = setting(4, "a whole number of tubes from 2 to 6", "In-silico tubes of each level.", ge=2, le=6)
    frames: Tubes = setting(3, "a whole number of frames from 1 to 100", "Frames of an in-silico tube.")


class CohortSettings(Typed):
    """Follow-up of the laboratory's own patients beside what was predicted (snakemake cohort)."""

    level: Level = setting(0.95, LEVEL, "The probability of every interval of this stage.")
    bootstrap: Draws = setting(2000, DRAWS, "Resamplings of the patients, for the interval of the c-index.")
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


class CalibrationLimits(Typed):
    """What a local calibration of `p_ctc` needs (snakemake calibration)."""

    level: Level = setting(0.95, LEVEL, "The probability of every interval of this stage.")
    least_samples: Whole = setting(
        6,
        "a whole number from 3 to 10000",
        "Samples with reviewed cells below which nothing is fitted: each is left out once.",
        ge=3,
        le=10_000,
    )
    least_cells: Whole = setting(
        100,
        "a whole number from 20 to 1000000",
        "Cells that readers decided on below which nothing is fitted.",
        ge=20,
        le=1_000_000,
    )
    least_of_class: Whole = setting(
        15,
        "a whole number from 5 to 1000000",
        "CTCs, and other cells, among them below which nothing is fitted.",
        ge=5,
        le=1_000_000,
    )
    prior_sd_slope: Number = setting(
        0.25,
        "a number above 0 and up to 2",
        "How far the slope is thought to lie from 1 before any review: smaller, and few reviews move less.",
        gt=0,
        le=2,
    )
    prior_sd_intercept: Number = setting(
        1.0,
        "a number above 0 and up to 10",
        "The same of the intercept, which holds how common CTCs are among reviewed cells.",
        gt=0,
        le=10,
    )
    next_cells: Whole = setting(
        50, "a whole number from 0 to 10000", "Cells in the list of those to label next.", ge=0, le=10_000
    )


class CalibrationSettings(CalibrationLimits):
    """A laboratory's own calibration of `p_ctc`: what it needs, and which file a run uses."""

    use: dict[Name, PlainPath] = setting(
        {}, "a path without {, }, * and ? for each assay", "Assay: its file; assays that are not here use the shipped."
    )


class ExchangeSettings(Typed):
    """Results for other systems (snakemake exchange)."""

    study_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,32}$")] = setting(
        "STUDY",
        "a name of at most 32 letters, digits, '.', '_' or '-'",
        "Identifier of the study (STUDYID of the Dataset-JSON); subjects are STUDYID-PATIENT.",
    )
    created: Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(Z)?$")] = setting(
        "1970-01-01T00:00:00Z",
        "a time in quotes, such as '2026-12-01T12:00:00Z'",
        "Time of making that the Dataset-JSON must state; no clock is read, so that equal inputs give equal bytes.",
    )


class CrateSettings(Typed):
    """A run as an RO-Crate (snakemake crate)."""

    name: Annotated[str, Field(min_length=1, max_length=200)] = setting(
        "Circulating tumour cells in images of blood, analysed with ctcascade",
        "a name of 1 to 200 letters",
        "Name of the crate.",
    )
    description: Annotated[str, Field(min_length=1, max_length=2000)] = setting(
        "Results of a run of ctcascade with what made them; the images are not in it. For research use only.",
        "a text of 1 to 2000 letters",
        "Description of the crate.",
    )
    license: Annotated[str, Field(pattern=r"^(https://[^\s]{1,200})?$")] = setting(
        "",
        "empty, or an address such as https://spdx.org/licenses/CC-BY-4.0",
        "Licence of your data; empty: the crate says that none is stated.",
    )
    date_published: Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")] = setting(
        "1970-01-01",
        "a day in quotes, such as '2026-12-01'",
        "Day of publication that a crate must state; no clock is read, so that equal inputs give equal bytes.",
    )
    absolute_paths: Flag = setting(
        False, FLAG, "Whether results may hold absolute paths of images, which may tell names of people and machines."
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
        "Frames of one detect job at most, about a minute's work; few samples are divided further; changes no result.",
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
    validation: ValidationSettings = section(ValidationSettings, "the settings of the analytical validation")
    cohort: CohortSettings = section(CohortSettings, "the settings of the comparison with follow-up")
    calibration: CalibrationSettings = section(CalibrationSettings, "the settings of the local calibration")
    exchange: ExchangeSettings = section(ExchangeSettings, "the settings of results for other systems")
    crate: CrateSettings = section(CrateSettings, "the settings of the RO-Crate")
