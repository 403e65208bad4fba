"""The evidence tables, declared once: columns, types, words. Another table is added here and nowhere else."""

from dataclasses import dataclass

from ctcascade.data.fingerprint import STAGES
from ctcascade.data.vocabulary import MARKERS, SETTINGS, STAGES_AT_DIAGNOSIS, SUBTYPES

KINDS = ("measured", "derived", "assumption")
HOW_READ = ("full text", "abstract", "page", "secondary source", "computed")
"""How a number was taken from its source; *secondary source* quotes it, *computed* derives it from numbers read."""


@dataclass(frozen=True)
class Endpoint:
    """An end point of survival in words: its name, what ends it, and whoever has not come to that yet."""

    name: str
    event: str
    free: str


ENDPOINTS = {
    "OS": Endpoint("overall survival", "death", "alive"),
    "PFS": Endpoint("progression-free survival", "progression or death", "alive without progression"),
    "DDFS": Endpoint(
        "distant disease-free survival", "distant recurrence or death", "alive without distant recurrence"
    ),
    "DFS": Endpoint("disease-free survival", "recurrence or death", "alive without recurrence"),
    "RFS": Endpoint("recurrence-free survival", "recurrence", "free of recurrence"),
}
"""The end points of the published rows, the one that says most first."""
UNITS = frozenset(
    {"1", "um", "um2", "mm", "mm3", "cm3", "ml", "g", "mmhg", "per_ml", "per_mm3", "cells_per_7_5_ml"}
    | {"s", "min", "hours", "days", "weeks", "months", "years", "per_s", "per_min", "per_hour", "per_day", "per_year"}
    | {"um_per_s", "mm_per_s", "ml_per_min", "l_per_min", "cells", "cells_per_day", "cells_per_g_per_day"}
)

WORDS = {
    "kind": frozenset(KINDS),
    "how_read": frozenset({"", *HOW_READ}),
    "readings": frozenset({"once", "twice"}),
    "unit": UNITS,
    "primary": frozenset(SETTINGS),
    "setting": frozenset({"", *(s for settings in SETTINGS.values() for s in settings)}),
    "subtype": frozenset({"", *(s for subtypes in SUBTYPES.values() for s in subtypes)}),
    "endpoint": frozenset(ENDPOINTS),
    "sampled": frozenset({"baseline", "follow_up"}),
    "time_zero": frozenset({"baseline", "landmark", "not_stated"}),
    "hr_type": frozenset({"", "univariable", "multivariable", "not_stated"}),
    "rise": frozenset({"", "yes", "no"}),
    "marker": frozenset(MARKERS),
    # of a published association: found, looked for and not found, both or within a wide interval, nothing tested
    "direction": frozenset({"positive", "negative", "mixed", "descriptive"}),
    "stage": frozenset({"", *STAGES_AT_DIAGNOSIS}),
    "layer": frozenset({"diagnosis", "in_patients", "first_site", "target"}),
    # of an end point: what meeting its definition is, and what a patient without a sample in the window is
    "meets": frozenset({"response", "progression"}),
    "missing": frozenset({"non_responder", "not_evaluable"}),
    "adjusted": frozenset({"yes", "no", "not_stated"}),
}
"""Columns that hold words of a list, wherever they stand; several of them are joined by ``;``."""


@dataclass(frozen=True)
class Table:
    """Columns with their types (the first is the key), and those that no row may leave empty.

    A triple ``x, x_low, x_high`` (or ``central, low, high``) is a value with its range.
    """

    columns: dict[str, type]
    filled: frozenset[str]


def _table(text: str = "", numbers: str = "", flags: str = "", filled: str = "", sourced: bool = True) -> Table:
    """Declare a table by the names of its columns: text, numbers and yes-or-no, then the source of a row."""
    columns: dict[str, type] = {
        **dict.fromkeys(text.split(), str),
        **dict.fromkeys(numbers.split(), float),
        **dict.fromkeys(flags.split(), bool),
    }
    if sourced:
        columns |= dict.fromkeys(("kind", "reason", "reference", "locator", "how_read", "note"), str)
    return Table(columns, frozenset(filled.split()))


_MEDIAN = "median_months median_low median_high"
_HR = "hr hr_low hr_high"

TABLES = {
    "references": _table("key citation identifier note", "year", filled="citation identifier", sourced=False),
    "parameters": _table(
        "id symbol meaning unit distribution", "central low high", filled="symbol meaning central low high distribution"
    ),
    # One row a published comparison of groups by their count, or a published finding of no association.
    "survival": _table(
        "id primary setting subtype population endpoint sampled time_zero assay accrual era finding no_curve readings",
        "n week_low week_high volume_ml reach_months",
        "negative",
        filled="setting population assay accrual volume_ml",
    ),
    # The groups of each comparison; they share its source. `count_low` to `count_high` per `volume_ml`, both included.
    "strata": _table(
        "id comparison label hr_type hr_against hr_remark",
        f"count_low count_high n {_MEDIAN} {_HR}",
        "n_stated lower_bound",
        filled="label",
        sourced=False,
    ),
    # One row a published class of change between a sample before and a sample on therapy.
    "kinetics": _table(
        "id study primary setting subtype label rise time_zero endpoint hr_type hr_against accrual era readings",
        "before_low before_high after_low after_high fall_low fall_high week_low week_high n " + f"{_MEDIAN} {_HR}",
        "lower_bound",
        filled="setting study label accrual",
    ),
    # End points that rest on a count before and one within a window of weeks on therapy.
    "response": _table(
        "id meaning meets missing",
        "before_low before_high after_high fall_low baseline_weeks week_low week_high",
        filled="meaning before_low baseline_weeks week_low week_high meets missing",
    ),
    "shapes": _table(
        "id primary setting endpoint meaning unit distribution",
        "central low high n_arms support",
        filled="meaning central low high support",
    ),
    "count_distributions": _table("id primary setting meaning", "size mean", filled="setting meaning size mean"),
    # What the reference assay counts in patients before therapy: the prior of a patient's level.
    "populations": _table("id primary setting meaning", "ln_mean ln_sd", filled="meaning ln_mean ln_sd"),
    # Published on clusters, on markers of the cells, and on the category of distant metastasis; no survival curve rests
    # on it. Clusters were found in `share_below` of samples below `cutoff` cells, else in `share_above`.
    "clusters": _table(
        "id primary setting subtype population definition timepoint outcome association direction adjusted"
        " hr_against accrual era readings",
        f"n {_HR} cutoff share_below share_above",
        filled="setting population definition timepoint outcome association accrual",
    ),
    "phenotype": _table(
        "id marker primary setting subtype population assay threshold outcome association direction drug_class"
        " hr_against conflict accrual era readings",
        f"n {_HR}",
        filled="setting population assay threshold outcome association drug_class accrual",
    ),
    "stage": _table("id category primary wording readings", filled="category wording"),
    "assay_facts": _table("id meaning unit distribution", "central low high", filled="meaning central low high"),
    # The body's flow graph, where imaging finds lesions, and where autopsies found them.
    "flow": _table("id organ drains_to", "blood_percent flow_percent_male flow_percent_female"),
    "drainage": _table("id cancer node", "central low high", filled="cancer node central low high"),
    "detection": _table(
        "id organ modality",
        "d50_mm d50_mm_low d50_mm_high slope_mm slope_mm_low slope_mm_high ceiling ceiling_low ceiling_high",
        "best",
        filled="organ modality d50_mm slope_mm ceiling",
    ),
    "autopsy": _table("id", "n_autopsies lung liver bone brain adrenal kidney spleen heart pancreas thyroid skin"),
    # Shares of patients in whom imaging found a lesion, by organ; those of a row are alike in what they are shares of.
    # `target`: an organ that no registry counts, against another organ of the row or the metastatic patients of all.
    "imaged": _table(
        "id primary setting subtype layer", "n lung liver bone brain adrenal kidney other", filled="primary"
    ),
    # Share of patients without spread at first in whom distant spread shows within so many years, by cancer and stage.
    "spread": _table("id primary setting stage", "years central low high", filled="primary years central low high"),
    # The founding rate of a cancer, setting or stage over that of early breast cancer, fitted to `spread`.
    "founding": _table("id primary setting stage", "central low high", filled="primary central low high"),
    # What `calibration.calibrate` fits to, and what the verification suite compares with.
    "targets": _table("id meaning unit", "central low high", filled="meaning unit central low high"),
    # Fitted to the autopsies by `calibration.calibrate`, with the score of every form that was tried.
    "organs": _table(
        "id primary organ",
        "n_autopsies n_positive share_fitted arrival ln_soil ln_soil_low ln_soil_high"
        " ln_tropism ln_tropism_low ln_tropism_high",
        filled="primary organ ln_soil ln_soil_low ln_soil_high ln_tropism ln_tropism_low ln_tropism_high",
    ),
    # The imaging layer on top of `organs`: what an organ adds for all cancers, and each cancer, setting or subtype for
    # itself.
    "organs_imaged": _table(
        "id primary setting subtype organ",
        "share_observed share_fitted ln_layer ln_own ln_own_low ln_own_high",
        filled="primary organ ln_layer ln_own ln_own_low ln_own_high",
    ),
    "imaging_forms": _table("id meaning", "slope first_organ_right log2_error divergence n_primaries", sourced=False),
    "organ_forms": _table(
        "id meaning", "log_loss gain gain_low gain_high rho_median first_organ_right n_primaries", sourced=False
    ),
}

READ_BY = {name: stage.evidence for name, stage in STAGES.items() if stage.evidence}
"""The tables that each stage's results rest on: a row of another table changes nothing in them. Tested by recording."""
