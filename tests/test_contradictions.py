"""What cells of a patient's row say against each other: refused where both cannot be, else said."""

import pytest

from tests.support.sheets import PATIENT, SAMPLE, folder, only_fault, read  # noqa: F401

pytestmark = [pytest.mark.regression, pytest.mark.usefixtures("folder")]


def of(primary, setting, **other):
    return [{**PATIENT, "primary": primary, "setting": setting, **other}]


def notes(**other):
    return " ".join(read(patients=[{**PATIENT, **other}]).notes)


@pytest.mark.parametrize(
    ("primary", "setting", "stage", "expected"),
    [
        ("breast", "early", "IV", "I to III"),
        ("breast", "metastatic", "II", "IV"),
        ("colon", "early", "IVA", "I to III"),
        ("lung_nsclc", "advanced", "I", "III or IV"),
        ("lung_nsclc", "advanced", "IIB", "III or IV"),
        ("melanoma", "stage_iii", "IIB", "III"),
        ("melanoma", "stage_iv", "III", "IV"),
        ("bladder", "m0", "IVB", "I to III"),
        ("stomach", "early", "IVB", "I to III"),
    ],
)
def test_a_stage_that_contradicts_the_setting_is_refused(primary, setting, stage, expected):
    fault = only_fault(patients=of(primary, setting, stage=stage))
    assert f"expected stage {expected} in the setting {setting}" in fault


@pytest.mark.parametrize(
    ("primary", "setting", "stage"),
    [
        ("breast", "early", "IIIC"),
        ("breast", "metastatic", "IV"),
        ("lung_nsclc", "advanced", "IIIB"),
        ("lung_nsclc", "advanced", "IV"),
        ("melanoma", "stage_iii", "IIIA"),
        ("bladder", "m0", "IVA"),  # T4b N0 M0
        ("oesophagus", "early", "IVA"),
        ("liver", "early", "IVA"),
        ("kidney", "early", "IV"),
        ("stomach", "early", "IVA"),
    ],
)
def test_a_stage_that_fits_is_read(primary, setting, stage):
    assert read(patients=of(primary, setting, stage=stage)).patients["P1"].stage


def test_a_donor_without_a_tumour_has_no_stage():
    assert "no stage for a donor without a tumour" in only_fault(patients=of("none", "", stage="II"))


def test_a_bone_scan_shows_bone():
    fault = only_fault(patients=of("breast", "metastatic", imaging="2026-05-01:bone_scan:brain=2"))
    assert "bone_scan:brain=2" in fault
    assert read(patients=of("breast", "metastatic", imaging="2026-05-01:bone_scan:bone=2"))


def test_a_rate_of_a_therapy_stands_once():
    fault = only_fault(patients=of("breast", "metastatic", therapies="chemotherapy:2026-02-01::growth=0.4,growth=0.9"))
    assert "each rate once" in fault


def test_a_metastatic_setting_without_a_lesion_on_any_scan_is_said():
    clean = {"imaging": "2026-05-01:PET_CT:liver=0,lung=0,bone=0"}
    assert "no scan of the sheet shows a lesion" in notes(**clean)
    assert "no scan" not in notes(imaging="2026-05-01:PET_CT:liver=0,lung=1")
    assert "no scan" not in notes(setting="early", **clean)
    assert "no scan" not in notes()


def test_a_lesion_that_a_later_scan_does_not_show_is_said():
    assert "Lesions do not shrink" in notes(imaging="2026-01-11:CT:liver=2;2026-01-12:CT:liver=0")
    assert "shrink" not in notes(imaging="2026-01-11:CT:liver=0;2026-01-12:CT:liver=2")
    assert "shrink" not in notes(imaging="2026-01-11:CT:liver=2;2026-01-12:CT:lung=0")


def test_therapies_of_one_class_that_overlap_are_said():
    twice = "chemotherapy:2026-02-01:2026-06-01:growth=0.4;chemotherapy:2026-02-01:2026-06-01:growth=0.9"
    assert "multiplied" in notes(therapies=twice)
    assert "multiplied" not in notes(
        therapies=twice.replace("2026-02-01:2026-06-01:growth=0.9", "2026-06-01::growth=0.9")
    )


def test_what_is_said_of_a_tumour_that_is_not_there_is_named():
    said = notes(primary="none", setting="", resected="2025-02-01", imaging="2025-02-01:CT:liver=0")
    assert "resected, imaging of the sheet change nothing" in said
    assert "change nothing" not in notes(primary="none", setting="")
    assert "change nothing" not in notes(imaging="2026-01-01:CT:liver=2")


def test_a_scan_of_long_before_the_diagnosis_is_named():
    assert "before the diagnosis" in notes(diagnosed="2026-01-01", imaging="1996-01-01:CT:liver=0")
    assert "before the diagnosis" not in notes(diagnosed="2026-01-01", imaging="2025-12-01:CT:liver=0")


def test_controls_are_no_samples_of_a_patient_with_a_tumour():
    rows = [
        SAMPLE,
        {**SAMPLE, "sample": "C1", "role": "control_high"},
        {**SAMPLE, "sample": "H1", "role": "healthy", "images": "slides/b"},
    ]
    study = read(samples=rows)
    assert study.samples_of("P1") == ["S1"]
    assert sum("is no sample of P1's course" in note for note in study.notes) == 2
    donor = read(samples=rows, patients=of("none", ""))
    assert sorted(donor.samples_of("P1")) == ["C1", "H1", "S1"]
