"""The words that others build on: roles, calls, organs, primaries and their settings, imaging, cut-offs."""

ROLES = ("dna", "ck", "cd45")
"""The channels that every assay must have; further markers are roles of the user's naming."""

CALLS = ("ctc", "leukocyte", "double_positive", "dna_only", "debris", "uncertain")
ORGANS = ("lung", "liver", "bone", "brain", "adrenal", "kidney", "other")
REFERENCE_ASSAY = "CellSearch"
"""The assay whose counts `p_at_least` predicts, in `REFERENCE_VOLUME_ML` of blood."""
REFERENCE_VOLUME_ML = 7.5
"""The volume that published counts and cut-offs refer to."""
Z95 = 1.959963984540054
"""Standard deviations on each side of the middle that hold 95 % of a normal distribution."""
DAYS_PER_YEAR = 365.25
CUTOFFS = (1, 2, 3, 5, 15, 50)
"""Counts per 7.5 mL that published studies cut at."""
HORIZONS_YEARS = (1, 2, 5)

MARKERS = ("HER2", "ER", "AR-V7", "PD-L1", "vimentin", "Ki-67", "M30", "CD61", "CD42b")
"""What a further channel of an assay may show; each at most once an assay."""
IMAGING = ("CT", "MRI", "PET", "PET_CT", "bone_scan", "SPECT", "ultrasound", "X_ray")
"""How a finding of the patient sheet may have been made."""

CONTROLS = ("control_low", "control_high")
"""Roles of the sample sheet that make a sample a control of its run."""
AT_LEAST = ("focus", "staining_index", "nuclei_per_mm2")
"""Checks of quality whose limits are the least that will do; the others' are the most."""
CHECK_NAMES = {
    "lost_area_share": "area that was lost",
    "weak_focus_share": "frames out of focus",
    "saturated_share": "saturated frames",
    "uneven_share": "unevenly lit frames",
    "background_cv": "background from frame to frame",
    "registration_um": "shift between channels, µm",
    "staining_index": "CD45 stain of leukocytes",
    "nuclei_per_mm2": "nuclei per mm²",
    "leukocyte_nucleus_ratio": "size of leukocytes' nuclei",
    "hours_to_processing": "hours from the draw to processing",
}
"""Checks of quality as people call them, in every sentence and table alike."""

SETTINGS = {
    "breast": ("early", "metastatic"),
    "prostate": ("early", "metastatic", "localized", "mhspc", "mcrpc"),
    "colon": ("early", "metastatic"),
    "rectum": ("early", "metastatic"),
    "lung_nsclc": ("early", "metastatic", "advanced"),
    "lung_sclc": ("early", "metastatic", "limited", "extensive"),
    "melanoma": ("early", "metastatic", "stage_iii", "stage_iv"),
    "pancreas": ("early", "metastatic"),
    "stomach": ("early", "metastatic"),
    "oesophagus": ("early", "metastatic"),
    "kidney": ("early", "metastatic"),
    "bladder": ("early", "metastatic", "m0"),
    "ovary": ("early", "metastatic"),
    "liver": ("early", "metastatic"),
    "other": ("early", "metastatic"),  # a tumour without evidence here: counts only
    "none": ("none", "early", "metastatic"),  # a donor has no setting: whatever stands there is not used
}
"""Primary tumour to the clinical settings that a patient sheet may name for it."""
NOT_METASTATIC = frozenset({"early", "localized", "limited", "m0", "stage_iii"})
"""Settings in which no distant lesion is in sight; ``advanced`` (stage III to IV) leaves it open, the rest have one."""
OWN_ORGAN = {"lung_nsclc": "lung", "lung_sclc": "lung", "liver": "liver", "kidney": "kidney"}
"""Primary tumours that sit in one of `ORGANS`; lesions there cannot be distinguished from the tumour."""
ONE_SEX = {"prostate": "male", "ovary": "female"}
"""Primary tumours of an organ that one sex has."""
INTERVENTIONS = ("therapy", "further_therapy", "removal")
"""What moves the level of CTCs: the first systemic therapy, any other one, and the removal of all that sheds."""
STAGES_AT_DIAGNOSIS = ("I", "II", "III", "IV")
"""Stages of the patient sheet, sub-stages left out."""
STAGE_IV_WITHOUT_SPREAD = frozenset({"bladder", "kidney", "liver", "oesophagus", "prostate", "stomach"})
"""Primary tumours whose stage IV (IVA, where it is divided) holds some without distant spread."""
SUBTYPES = {"breast": ("hr_pos_her2_neg", "her2_pos", "tnbc")}


ABOVE_NOISE = 3.0
"""Standard deviations of the noise above which a pixel shows a role, for ``{role}_fill`` and ``{role}_overlap``."""
