"""What in a patient's row contradicts another cell of it: a fault where both cannot be, else a note."""

import datetime
from collections.abc import Iterator

from ctcascade.data.errors import Fault
from ctcascade.data.vocabulary import NOT_METASTATIC, ONE_SEX, OWN_ORGAN
from ctcascade.study.patient import Patient, PatientRow, Scan


def contradictions(file: str, at: str, row: PatientRow) -> Iterator[Fault]:
    """Yield what cannot be: a tumour that this sex has no organ for, and scans that contradict each other."""
    sex = ONE_SEX.get(row.primary)
    if sex and row.sex != sex:
        wanted = f"{sex} for a tumour of the {row.primary}"
        yield Fault(file, f"{at}, sex", row.sex, wanted, "fix sex or primary")
    for one, other in _pairs(row):
        if one.modality == other.modality:
            found = f"{said(one)} and {said(other)} on {one.date}"
            wanted = "one number of lesions for an organ, a day and a modality"
            yield Fault(file, f"{at}, imaging", found, wanted, "keep the finding that holds")


def days_of(patient: Patient) -> Iterator[tuple[str, datetime.date]]:
    """Yield the days on which something was done to the patient, with the column that says so."""
    for column in ("therapy_start", "resected"):
        if getattr(patient, column):
            yield column, getattr(patient, column)
    yield from (("therapies", therapy.start) for therapy in patient.therapies)
    yield from (("imaging", scan.date) for scan in patient.imaging)


def remarks(patient: Patient) -> Iterator[str]:
    """Yield what the reader of the patient's results must know of their row, in sentences."""
    for one, other in _pairs(patient):
        if one.modality != other.modality and not (one.lesions and other.lesions):
            yield (
                f"Imaging of {one.date} disagrees on {one.organ}: {said(one)}, {said(other)}; what one method misses "
                "another may show, so the lesion is taken to be there."
            )
    seen = seen_distant(patient)
    if seen and patient.setting in NOT_METASTATIC:
        yield (
            f"The setting is {patient.setting}, while imaging of {seen.date} shows lesions: {said(seen)}. "
            "The two contradict each other unless the lesions came later than the setting."
        )


def seen_distant(patient: Patient) -> Scan | None:
    """Return the first scan that shows a lesion outside the tumour's own organ, or None."""
    own = OWN_ORGAN.get(patient.primary)
    return next((scan for scan in patient.imaging if scan.lesions and scan.organ != own), None)


def said(scan: Scan) -> str:
    """Return a finding as the sheet writes it."""
    return f"{scan.modality}:{scan.organ}={scan.lesions}"


def _pairs(patient: Patient) -> Iterator[tuple[Scan, Scan]]:
    """Yield findings of one day and organ that differ in their number of lesions, each pair once."""
    scans = patient.imaging
    for i, one in enumerate(scans):
        for other in scans[i + 1 :]:
            if (one.date, one.organ) == (other.date, other.organ) and one.lesions != other.lesions:
                yield one, other
