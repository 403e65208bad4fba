"""The study that a run is about: settings, sheets and assays, checked together before any work starts."""

import datetime
import functools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ctcascade.data.camera import Camera
from ctcascade.data.choice import place_and_choice
from ctcascade.data.errors import Fault, InputError, listed, plain, refuse_all
from ctcascade.data.vocabulary import CONTROLS
from ctcascade.study import checking, privacy, results_place, reviews, scenarios, text_files
from ctcascade.study.assay import Assay, read_assay
from ctcascade.study.configuration import Configuration
from ctcascade.study.contradictions import contradictions, days_of, days_to_come, remarks
from ctcascade.study.patient import PatientRow, patient_faults
from ctcascade.study.sample import Sample, SampleRow, sample_faults
from ctcascade.study.settings import Settings
from ctcascade.study.shipped import assay_files
from ctcascade.study.text_files import Row

if TYPE_CHECKING:  # seldom needed
    from ctcascade.data.results.local import LocalCalibration


class Listing(Protocol):
    """What a look into the images of a sample finds beside its frames."""

    @property
    def ignored(self) -> tuple[str, ...]:
        """Names of files and folders that are not frames."""


Look = Callable[[Sequence[str], Path, str, Camera], Listing]

_DAYS_PER_MONTH = 365.25 / 12
_NAMED = 10  # ignored files that a note names; the number says how many there are


@dataclass(frozen=True)
class Study:
    """All that the user gave, checked.

    Parameters
    ----------
    settings : Settings
        Every setting, as in config/config.yaml.
    samples : dict of str to Sample
        By name, in the order of the sheet.
    patients : dict of str to PatientRow
        Those with a sample, by name, in the order of the sheet.
    assays : dict of str to Assay
        Those that a sample was made with, by name.
    base : Path
        The sample sheet's folder, which image paths are relative to.
    notes : tuple of str
        What is not a fault but should be known.
    reviews : dict of str to list of Path
        Reviewers' files by sample, for samples that have any.
    what_if : Path, optional
        A file of scenarios.
    calibrations : dict of str to LocalCalibration
        By assay, of those that do not use the shipped one.
    """

    settings: Settings
    samples: dict[str, Sample]
    patients: dict[str, PatientRow]
    assays: dict[str, Assay]
    base: Path
    notes: tuple[str, ...] = ()
    reviews: dict[str, list[Path]] = field(default_factory=dict)
    what_if: Path | None = None
    calibrations: dict[str, "LocalCalibration"] = field(default_factory=dict)

    def samples_of(self, patient: str) -> list[str]:
        """Return the patient's samples, the earliest first (of one day: in the sheet's order).

        Controls and samples of healthy donors that stand under the name of a patient with a tumour are none of them.
        """
        own = self._of_patients.get(patient, [])
        if patient in self.patients and self.patients[patient].primary != "none":
            own = [name for name in own if not _is_control(self.samples[name])] or own
        return sorted(own, key=lambda name: self.samples[name].collected)

    def controls_of(self, samples: Sequence[str]) -> list[str]:
        """Return the control samples of the runs (assay and lot) that samples belong to, themselves left out."""
        runs = dict.fromkeys(_run(self.samples[name]) for name in samples)
        return [name for run in runs for name in self._controls.get(run, []) if name not in samples]

    @functools.cached_property
    def controls(self) -> list[str]:
        """Return all control samples, in the sheet's order."""
        return [name for name, row in self.samples.items() if row.role in CONTROLS]

    def healthy_of(self, assay: str) -> list[str]:
        """Return the samples of healthy donors that were made with an assay; none of a patient with a tumour."""
        return [n for n, row in self.samples.items() if row.role == "healthy" and row.assay == assay and self._gave(n)]

    def known_of(self, assay: str) -> list[str]:
        """Return the samples of an assay that a validation rests on: spiked ones, blood of healthy donors, controls.

        What is called healthy but is of a patient with a tumour is none of them: it would be taken for a blank.
        """
        rows = [(n, row) for n, row in self.samples.items() if row.assay == assay and self._gave(n)]
        return [n for n, row in rows if row.spiked_ctc is not None or _is_control(row)]

    def _gave(self, sample: str) -> bool:
        """Whether a sample that is called healthy is of a donor; true of any other."""
        row = self.samples[sample]
        return row.role != "healthy" or self.patients[row.patient].primary == "none"

    @property
    def followed(self) -> list[str]:
        """Return the patients with a tumour and follow-up, in the sheet's order."""
        return [n for n, row in self.patients.items() if row.event is not None and row.primary != "none"]

    @property
    def ill(self) -> list[str]:
        """Return the patients with a tumour, in the sheet's order."""
        return [n for n, row in self.patients.items() if row.primary != "none"]

    @functools.cached_property
    def _of_patients(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name, row in self.samples.items():
            found.setdefault(row.patient, []).append(name)
        return found

    @functools.cached_property
    def _controls(self) -> dict[tuple[str, str], list[str]]:
        found: dict[tuple[str, str], list[str]] = {}
        for name, row in self.samples.items():
            if row.role in CONTROLS:
                found.setdefault(_run(row), []).append(name)
        return found


def _is_control(row: Sample) -> bool:
    return row.role == "healthy" or row.role in CONTROLS


def _controls_of_patients(
    sheet: Path, samples: Mapping[str, Sample], patients: Mapping[str, PatientRow]
) -> Iterator[str]:
    """Yield controls that stand under a patient with a tumour."""
    for name, row in samples.items():
        if _is_control(row) and row.patient in patients and patients[row.patient].primary != "none":
            yield (
                f"{sheet}: {name} is no sample of {row.patient}'s course, for its role is {row.role}; give it a "
                "patient of its own, whose primary is none"
            )


def _run(row: Sample) -> tuple[str, str]:
    return row.assay, row.lot or ""


def read_study(configfiles: Sequence[Path], overrides: Mapping[str, Any], look: Look | None = None) -> Study:
    """Return the study that configuration files describe, after checking all of it.

    Parameters
    ----------
    configfiles : sequence of Path
        YAML files of settings; a later one overrides an earlier one, setting by setting. A relative path in them is
        looked up in the working folder, and where it is not there beside the folder of the first of these files.
    overrides : mapping
        Settings over those of the files; text is read as the type that the setting has.
    look : callable, optional
        Called with the images, base folder, format and camera of each sample that is sound so far; its `InputError`
        is collected too (a folder without one image), and what it ignored is noted.

    Raises
    ------
    InputError
        With every fault of the settings, the sheets, the assay files and the reviews.
    """
    faults: list[Fault] = []
    config = Configuration(configfiles, overrides, faults)
    sheet, patient_sheet, assay_folder = (config.path(name) for name in ("samples", "patients", "assays"))
    samples = text_files.read_sheet(sheet, SampleRow, faults) if sheet else []
    patients = text_files.read_sheet(patient_sheet, PatientRow, faults) if patient_sheet else []
    assays = _assays(assay_folder, sheet, samples, faults) if assay_folder and sheet else {}
    if sheet:
        faults += sample_faults(sheet, samples)
    if patient_sheet:
        faults += patient_faults(patient_sheet, patients)
        for line, known in ((row.line, row.value) for row in patients if row.value):
            faults += contradictions(str(patient_sheet), f"line {line}, {known.patient}", known)
    notes = list(_looked_into(look, sheet.parent, samples, assays, faults)) if sheet and look else []
    if sheet and patient_sheet and patients:
        faults += _spikes_of_patients(sheet, samples, patients)
        faults += _tubes_of_one_image(sheet, samples)
        faults += _samples_without_patient(sheet, patient_sheet, samples, patients)
        faults += _samples_before_diagnosis(sheet, samples, patients)
        faults += _samples_after_follow_up(sheet, samples, patients)
        faults += _days_after_follow_up(patient_sheet, samples, patients)
        faults += _samples_beside_interventions(sheet, samples, patients)
    review_folder, names = config.path("reviews"), [row.text["sample"] for row in samples if "sample" in row.text]
    by_sample, unused = reviews.find(review_folder, names, faults) if review_folder else ({}, [])
    if config.settings:
        images = {row.value.sample: row.value.images for row in samples if row.value}
        faults += results_place.faults_of(config.settings.results, sheet.parent if sheet else Path(), images)
    what_if = config.path("what_if", "simulate")
    if what_if:
        scenarios.check(what_if, faults)
    calibrations = _calibrations(config.paths("calibration", "use"), assays, faults) if config.settings else {}
    files = list(dict.fromkeys(fault.file for fault in faults))
    refuse_all(sorted(faults, key=lambda fault: files.index(fault.file)))
    assert sheet is not None
    assert config.settings is not None
    rows = {row.value.sample: row.value.whole for row in samples if row.value}
    named = {row.value.patient: row.value for row in patients if row.value}
    with_samples = {row.patient for row in rows.values()}
    alone = [f"{patient_sheet}: {name} has no sample and no report" for name in named if name not in with_samples]
    said = [f"{patient_sheet}: {name}: {remark}" for name, row in named.items() for remark in remarks(row)]
    said += days_to_come(named.values(), {name: row.collected for name, row in rows.items()})
    said += _controls_of_patients(sheet, rows, named)
    told = ("sample", "patient", "images", "lot", "run", "operator", "tube", "note", "notice")
    persons = privacy.in_rows(str(sheet), rows, told)
    return Study(
        settings=config.settings,
        samples=rows,
        patients={name: row for name, row in named.items() if name in with_samples},
        assays=assays,
        base=sheet.parent,
        notes=(*alone, *said, *notes, *unused, *persons, *_of_another_method(assays)),
        reviews=by_sample,
        what_if=what_if,
        calibrations=calibrations,
    )


def _calibrations(
    named: Mapping[str, Path], assays: Mapping[str, Assay], faults: list[Fault]
) -> dict[str, "LocalCalibration"]:
    """Return the calibrations that the settings name, each checked to be one that may be used."""
    if not named:
        return {}
    from ctcascade.data import store  # noqa: PLC0415  seldom needed
    from ctcascade.data.results.local import LocalCalibration  # noqa: PLC0415

    found = {}
    for assay, path in named.items():
        at, again = f"calibration.use.{assay}", "fit it with snakemake calibration, or leave the setting out"
        if assay not in assays:
            todo = checking.nearest(assay, list(assays), "remove it, or name the assay in the sample sheet")
            wanted = f"an assay of the sample sheet: {', '.join(assays)}"
            faults.append(Fault("calibration.use", "", plain(assay), wanted, todo))
            continue
        try:
            given = store.read_json(path, LocalCalibration)
        except InputError as error:
            faults.extend(Fault(f.file, f.at or at, f.found, f.expected, again) for f in error.faults)
            continue
        if given.assay != assay:
            faults.append(Fault(str(path), at, f"a calibration of {plain(given.assay)}", assay, again))
        elif given.status != "ok" or given.slope is None:
            faults.append(Fault(str(path), at, f"{given.status}: {given.reason}", "a calibration that is ok", again))
        elif not given.provenance.content_sha256:
            faults.append(Fault(str(path), at, "a file without its checksum", "a file as it was written", again))
        else:
            found[assay] = given
    return found


def _of_another_method(assays: Mapping[str, Assay]) -> Iterator[str]:
    """Yield a note for each assay whose factors are those of another method, so that no prognosis rests on them."""
    for name, assay in assays.items():
        taken = assay.taken_over
        if taken and taken.changed and assay.reference_equivalent:
            keys, differ = listed(taken.different), "differs" if len(taken.changed) == 1 else "differ"
            todo = "no prognosis until the file states them for this method, or says in inherits why they hold"
            yield f"assay {name}: {taken.told}, from which its {keys} {differ}: {todo}"


def _assays(folder: Path, sheet: Path, samples: Sequence[Row[SampleRow]], faults: list[Fault]) -> dict[str, Assay]:
    files = assay_files(folder)
    known = sorted(files)
    used = dict.fromkeys(row.text["assay"] for row in samples if "assay" in row.text)
    for row in samples:
        name = row.text.get("assay")
        if name and name not in known:
            at = f"line {row.line}, {plain(row.text.get('sample'))}, assay"
            todo = checking.nearest(name, known, "choose one of them or write its file")
            wanted = f"an assay of {folder}, or one that is shipped: {', '.join(known)}"
            faults.append(Fault(str(sheet), at, plain(name), wanted, todo))
    read = {name: read_assay(files[name], faults) for name in used if name in known}
    return {name: assay for name, assay in read.items() if assay}


def _looked_into(
    look: Look, base: Path, rows: Sequence[Row[SampleRow]], assays: Mapping[str, Assay], faults: list[Fault]
) -> Iterator[str]:
    for row in (row.value for row in rows if row.value and row.value.assay in assays):
        if all(os.path.exists(base / place_and_choice(part, base)[0]) for part in row.images):
            try:
                listing = look(row.images, base, row.format, assays[row.assay].camera(row.assay))
            except InputError as error:
                faults.extend(error.faults)
                continue
            ignored = listing.ignored
            if ignored:
                some = ", ".join(map(plain, ignored[:_NAMED])) + (" ..." if len(ignored) > _NAMED else "")
                yield f"{row.sample}: {len(ignored)} beside the frames, ignored: {some}"


def _spikes_of_patients(
    sheet: Path, samples: Sequence[Row[SampleRow]], patients: Sequence[Row[PatientRow]]
) -> Iterator[Fault]:
    """Yield spiked samples of patients with a tumour, whose blood has CTCs of its own."""
    ill = {row.value.patient for row in patients if row.value and row.value.primary != "none"}
    for line, row in ((row.line, row.value) for row in samples if row.value):
        if row.spiked_ctc is not None and row.role not in CONTROLS and row.patient in ill:
            found = f"{row.spiked_ctc} spiked into blood of {row.patient}, who has a tumour"
            wanted = "blood without CTCs of its own: a patient whose primary is none, or a control"
            todo = "give the tube a patient of its own (primary none), or empty spiked_ctc"
            yield Fault(str(sheet), f"line {line}, {row.sample}, spiked_ctc", found, wanted, todo)


def _tubes_of_one_image(sheet: Path, samples: Sequence[Row[SampleRow]]) -> Iterator[Fault]:
    """Yield tubes of known content whose images are those of another one: they would count as two like tubes."""
    seen: dict[tuple[str, tuple[str, ...]], str] = {}
    for line, row in ((row.line, row.value) for row in samples if row.value):
        if row.spiked_ctc is not None or row.role in (*CONTROLS, "healthy"):
            other = seen.setdefault((row.assay, tuple(row.images)), row.sample)
            if other != row.sample:
                found, wanted = f"the images of {other}", "images of its own for each tube whose content is known"
                yield Fault(str(sheet), f"line {line}, {row.sample}, images", found, wanted, "fix one of them")


def _samples_without_patient(
    sheet: Path, patient_sheet: Path, samples: Sequence[Row[SampleRow]], patients: Sequence[Row[PatientRow]]
) -> Iterator[Fault]:
    known = [row.text["patient"] for row in patients if "patient" in row.text]
    for row in samples:
        patient = row.text.get("patient")
        if patient and patient not in known:
            at = f"line {row.line}, {plain(row.text.get('sample'))}, patient"
            todo = checking.nearest(patient, known, "add the row or fix the name")
            yield Fault(str(sheet), at, plain(patient), f"a patient with a row in {patient_sheet}", todo)


def _samples_before_diagnosis(
    sheet: Path, samples: Sequence[Row[SampleRow]], patients: Sequence[Row[PatientRow]]
) -> Iterator[Fault]:
    diagnosed = {row.value.patient: row.value.diagnosed for row in patients if row.value}
    for line, sample in ((row.line, row.value) for row in samples if row.value):
        day = diagnosed.get(sample.patient)
        if day and sample.collected < day:
            at = f"line {line}, {sample.sample}, collected"
            wanted = f"a day from the patient's diagnosis on, {day}"
            yield Fault(str(sheet), at, str(sample.collected), wanted, "fix one of the dates")


def _samples_beside_interventions(
    sheet: Path, samples: Sequence[Row[SampleRow]], patients: Sequence[Row[PatientRow]]
) -> Iterator[Fault]:
    """Yield samples drawn before or after nothing, and times on a day on which before or after is the question."""
    days = {row.value.patient: dict(row.value.interventions) for row in patients if row.value}
    for line, sample in ((row.line, row.value) for row in samples if row.value and row.value.drawn):
        kind = days.get(sample.patient, {}).get(sample.collected)
        at, drawn = f"line {line}, {sample.sample}, drawn", sample.drawn
        if drawn in ("before", "after") and kind is None:
            found = f"{drawn}, but the patient has no operation and no start of a therapy on {sample.collected}"
            wanted = "nothing, or the time as HH:MM"
            todo = "empty it, or fix collected, or the patient's resected, therapy_start or therapies"
            yield Fault(str(sheet), at, found, wanted, todo)
        elif drawn not in ("before", "after") and kind is not None:
            what = "operation" if kind == "removal" else "start of a therapy"
            yield Fault(str(sheet), at, f"{drawn} on the day of the {what}", "before or after", "say which it was")


def _samples_after_follow_up(
    sheet: Path, samples: Sequence[Row[SampleRow]], patients: Sequence[Row[PatientRow]]
) -> Iterator[Fault]:
    """Yield samples later than death or last contact; a month's grace, for times in whole months."""
    ends = {row.value.patient: row.value.time_months for row in patients if row.value}
    first = _first_days(samples)
    for line, sample in ((row.line, row.value) for row in samples if row.value):
        end = ends.get(sample.patient)
        later = (sample.collected - first[sample.patient]).days / _DAYS_PER_MONTH
        if end is not None and later > end + 1:
            found = f"{sample.collected}, {later:.1f} months after the patient's first sample"
            wanted = f"a sample before the follow-up ends, time_months {end:g}"
            todo = "fix a date, or time_months (months from the first sample to death or last contact)"
            yield Fault(str(sheet), f"line {line}, {sample.sample}, collected", found, wanted, todo)


def _days_after_follow_up(
    patient_sheet: Path, samples: Sequence[Row[SampleRow]], patients: Sequence[Row[PatientRow]]
) -> Iterator[Fault]:
    """Yield what was done to a patient later than their death or last contact, with the same grace."""
    first = _first_days(samples)
    for line, patient in ((row.line, row.value) for row in patients if row.value):
        if patient.time_months is None or patient.patient not in first:
            continue
        for column, day in days_of(patient):
            later = (day - first[patient.patient]).days / _DAYS_PER_MONTH
            if later > patient.time_months + 1:
                found = f"{day}, {later:.1f} months after the patient's first sample"
                end = "death" if patient.event else "last contact"
                wanted = f"a day before the {end}, time_months {patient.time_months:g}"
                todo = "fix a date, or time_months (months from the first sample to death or last contact)"
                yield Fault(str(patient_sheet), f"line {line}, {patient.patient}, {column}", found, wanted, todo)


def _first_days(samples: Sequence[Row[SampleRow]]) -> dict[str, datetime.date]:
    """Return the day of each patient's first sample."""
    first: dict[str, datetime.date] = {}
    for sample in (row.value for row in samples if row.value):
        first[sample.patient] = min(sample.collected, first.get(sample.patient, sample.collected))
    return first
