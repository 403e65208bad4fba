"""What in a patient's row contradicts another cell of it: a fault where both cannot be, else a note."""

import datetime
import itertools
from collections.abc import Iterable, Iterator, Mapping

from ctcascade.data.errors import Fault
from ctcascade.data.vocabulary import DAYS_PER_YEAR, NOT_METASTATIC, ONE_SEX, OWN_ORGAN
from ctcascade.study.patient import Patient, PatientRow, Scan

_YEARS_AHEAD = 5


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
    for scan in row.imaging:
        if scan.modality == "bone_scan" and scan.organ != "bone":
            todo = "write the imaging that looked at it"
            yield Fault(
                file, f"{at}, imaging", f"{said(scan)} on {scan.date}", "bone, all that a bone scan shows", todo
            )


def days_to_come(rows: Iterable[PatientRow], collected: Mapping[str, datetime.date]) -> Iterator[str]:
    """Yield days of the patients and samples (by name) that lie years ahead: more likely a slip than a plan."""
    latest = datetime.date.today() + datetime.timedelta(days=round(_YEARS_AHEAD * DAYS_PER_YEAR))
    days = [(name, "collected", day) for name, day in collected.items()]
    days += [(row.patient, column, day) for row in rows for column, day in days_of(row)]
    for name, column, day in days:
        if day > latest:
            yield f"{name}, {column}: {day} is more than {_YEARS_AHEAD} years ahead; check the year"


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
    yield from _denied_later(patient)
    yield from _overlaps(patient)
    yield from _not_used(patient)
    if (
        patient.imaging
        and patient.setting not in (*NOT_METASTATIC, "advanced", "none")
        and not any(scan.lesions for scan in patient.imaging)
    ):
        yield (
            f"The setting is {patient.setting}, while no scan of the sheet shows a lesion. The setting is believed: "
            "the spread is taken to be where no scan has looked, or too small for it. If it is in lymph nodes, "
            "peritoneum or pleura alone, the risks of the organs are too high."
        )
    seen = seen_distant(patient)
    if seen and patient.setting in NOT_METASTATIC:
        yield (
            f"The setting is {patient.setting}, while imaging of {seen.date} shows lesions: {said(seen)}. "
            "The two contradict each other unless the lesions came later than the setting."
        )


def _denied_later(patient: Patient) -> Iterator[str]:
    """Yield a lesion that a later scan of the same kind does not show."""
    for one, other in itertools.combinations(patient.imaging, 2):
        same = (one.modality, one.organ) == (other.modality, other.organ)
        if same and one.date < other.date and one.lesions and not other.lesions:
            yield (
                f"{said(one)} on {one.date} and {said(other)} on {other.date}: the lesion is taken to be there still. "
                "Lesions do not shrink in the model; if the first finding was none, remove it."
            )


def _overlaps(patient: Patient) -> Iterator[str]:
    """Yield therapies of one class that run at the same time with the same rate stated for both."""
    for one, other in itertools.combinations(patient.therapies, 2):
        both = sorted(set(one.rates) & set(other.rates))
        ends = one.end or datetime.date.max
        if one.kind == other.kind and both and other.start < ends:
            yield (
                f"Two therapies of the class {one.kind} run at the same time from {other.start}, both with "
                f"{' and '.join(both)}: what each leaves is multiplied. If one of them corrects the other, keep that."
            )


def _not_used(patient: Patient) -> Iterator[str]:
    """Yield what is said of a tumour where there is none, and scans of long before it was diagnosed."""
    if patient.primary == "none":
        given = dict.fromkeys(column for column, _ in days_of(patient))
        if given:
            yield f"A donor without a tumour: {', '.join(given)} of the sheet change nothing. If not so, fix primary."
        return
    for scan in patient.imaging:
        if patient.diagnosed and (patient.diagnosed - scan.date).days > DAYS_PER_YEAR:
            yield (
                f"{said(scan)} on {scan.date} is more than a year before the diagnosis, {patient.diagnosed}. It is "
                "used as it stands; fix one of the two days, or remove it."
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
