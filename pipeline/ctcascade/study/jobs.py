"""What one job is given: the settings of its own stage and what it is about, and nothing that only another needs.

A job travels as JSON in ``--settings`` and is read with `read`.
"""

import datetime
import json
from collections.abc import Callable, Collection
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field

from ctcascade.data.camera import Camera
from ctcascade.data.errors import Fault, refuse, refuse_all
from ctcascade.data.results.local import LocalCalibration
from ctcascade.data.typed import Number, Typed
from ctcascade.study import checking
from ctcascade.study.assay import Assay, BleedShares, Factors, Gates, Leukocytes, Marker, MarkerGate
from ctcascade.study.calling_settings import ClassifySettings
from ctcascade.study.detection_settings import BackgroundSettings, DetectSettings
from ctcascade.study.fields import Level, Seed
from ctcascade.study.inherited import TakenOver
from ctcascade.study.patient import Patient
from ctcascade.study.sample import Images, PreAnalytics, Role
from ctcascade.study.settings import (
    CalibrationLimits,
    CascadeSettings,
    CohortSettings,
    ControlsSettings,
    CountSettings,
    CrateSettings,
    ExchangeSettings,
    FrameLimits,
    OperatorSettings,
    PrognoseSettings,
    QualitySettings,
    RecoverySettings,
    ReportSettings,
    ValidationSettings,
)
from ctcascade.study.sheets import Study

_LEAST_FRAMES = 32  # of a chunk that is made only so that more than one core works
_AT_WORK = 4  # cores that are thought of where their number is not known, as on a cluster


def number_of_chunks(frames: int, most: int, samples: int, cores: int | None = None) -> int:
    """Return into how many equal chunks a sample's frames are divided; no result depends on it.

    Parameters
    ----------
    frames : int
    most : int
        Frames of a chunk: ``chunk_frames``.
    samples : int
        To be detected in the run: where they are fewer than the cores, each gives more chunks, and no core waits.
    cores : int, optional
        Of the run; without, those of a cluster are taken to be four.
    """
    own = -(-(cores or _AT_WORK) // max(samples, 1))
    return max(-(-frames // most), min(frames // _LEAST_FRAMES, own if own > 1 else 0))


class DetectJob(DetectSettings):
    """Frames of one sample to cells."""

    sample: str
    images: Images
    format: str
    assay: Camera
    frame_limits: FrameLimits = Field(description="a frame beyond these is flagged")


class CropsJob(ReportSettings):
    """Pixels of one sample that its page shows."""

    background: BackgroundSettings = Field(description="the background that `detect` took off")

    sample: str
    images: Images
    format: str
    assay: Camera


class ClassifyAssay(Typed):
    """What calls rest on: gates, further markers by channel role, what bleeds over, whether leukocytes are expected."""

    name: str
    gates: Gates
    markers: dict[str, MarkerGate] = Field(default_factory=dict)
    bleed: BleedShares | None = None
    leukocytes: Leukocytes = "expected"

    @property
    def shares(self) -> dict[str, dict[str, float]]:
        """What bleeds over, by source and target; empty where the assay does not know it."""
        return {str(source): {str(t): share for t, share in to.items()} for source, to in (self.bleed or {}).items()}


class ClassifyJob(ClassifySettings):
    """Cells of one sample to calls."""

    sample: str
    assay: ClassifyAssay


class AppliedCalibration(Typed):
    """The laboratory's own calibration that counts of an assay use."""

    file_sha256: str
    calls_made_by: str
    slope: Number
    low: Number
    high: Number
    n_cells: int
    n_samples: int


class CountAssay(Factors):
    """What counts rest on: factors, and the rules of further markers by channel role."""

    name: str
    markers: dict[str, Marker] = Field(default_factory=dict)
    taken_over: TakenOver | None = None
    calibration: AppliedCalibration | None = None


class CountJob(CountSettings):
    """Calls of one sample to counts."""

    sample: str
    patient: str
    collected: datetime.date
    drawn: str | None = None
    primary: str | None = None
    setting: str | None = None
    after: tuple[str, ...] = ()
    role: Role | None = None
    note: str | None = None
    notice: str | None = None
    blood_volume_ml: Number
    part_volumes_ml: tuple[Number, ...] = ()
    sampled_fraction: Number
    assay: CountAssay


class QualitySample(PreAnalytics):
    """What the sheet says of a sample's handling."""

    sample: str
    lot: str | None = None
    tube: str | None = None
    hours_to_processing: Number | None = None


class QualityJob(QualitySettings):
    """The checks of one sample."""

    sample: QualitySample


class OperatorJob(OperatorSettings):
    """The operator's calls of one sample beside the classifier's."""

    sample: str
    images: Images
    format: str
    assay: Camera
    level: Level


class CompareJob(Typed):
    """The frames of all samples compared with each other."""

    patients: dict[str, str] = Field(description="the patient of each sample")
    without: tuple[str, ...] = Field(default=(), description="samples whose jobs failed, so that they are not compared")


class ControlsJob(ControlsSettings):
    """The control samples of all runs over time."""


class SimulateJob(CascadeSettings):
    """Counts of one patient to the metastatic cascade."""

    patient: Patient
    random_seed: Seed


class PrognoseJob(PrognoseSettings):
    """Counts and cascade of one patient to the prognosis."""

    patient: Patient
    random_seed: Seed


class NamedAssay(Assay):
    """An assay file with its name."""

    name: str

    @property
    def written(self) -> dict[str, Any]:
        """What the file says, as it would be written."""
        return self.model_dump(mode="json", exclude={"name", "taken_over"}, exclude_defaults=True)


class ReportAssay(Camera):
    """What the page of a sample shows of its assay."""

    gates: Gates
    labels: dict[str, str] = Field(default_factory=dict)


class ReportSampleJob(ReportSettings):
    """The page of one sample; a donor's blood is of somebody without a tumour."""

    assay: ReportAssay
    donor: bool = False


class ReportPatientJob(Typed):
    """The page of one patient."""

    patient: Patient


class ReportCohortJob(Typed):
    """The page of all patients and samples."""

    patients: tuple[Patient, ...]


class PageJob(Typed):
    """A page that shows one result and needs no setting."""


class HealthySample(Typed):
    """A sample of a healthy donor, whose frames phantom CTCs are pasted into."""

    sample: str
    images: Images
    format: str
    blood_volume_ml: Number
    sampled_fraction: Number


class SpikeJob(RecoverySettings):
    """Phantom CTCs into frames of one assay."""

    assay: Camera
    samples: tuple[HealthySample, ...]
    detect: DetectSettings
    random_seed: Seed


class RecoveryJob(RecoverySettings):
    """What was found of the phantom CTCs of one assay."""

    assay: NamedAssay
    notices: tuple[str, ...] = ()
    random_seed: Seed


class ReplicatesJob(SpikeJob):
    """In-silico tubes of one assay: each level is a tube."""

    found_by: DetectJob
    called_by: ClassifyJob


class KnownTube(Typed):
    """A sample whose tumour cells are known in number, or that is a control, as the sheet describes it."""

    sample: str
    collected: datetime.date
    role: Role | None = None
    lot: str | None = None
    run: str | None = None
    operator: str | None = None
    position: int | None = None
    spiked_ctc: int | None = None


class ValidationJob(ValidationSettings):
    """Counts of known tubes of one assay to the figures of a method validation."""

    assay: NamedAssay
    tubes: tuple[KnownTube, ...]
    random_seed: Seed


class FollowedPatient(Typed):
    """A patient with follow-up, and the first sample, which the months are counted from."""

    patient: str
    primary: str
    setting: str
    event: Annotated[int, Field(ge=0, le=1)]
    time_months: Number
    sample: str


class CalibrateJob(CalibrationLimits):
    """Reviewed cells of one assay to its own calibration."""

    assay: str
    consensus: Literal["majority", "unanimous"]


class CohortJob(CohortSettings):
    """Follow-up of all patients beside what was predicted."""

    patients: tuple[FollowedPatient, ...]
    random_seed: Seed


class ExchangeJob(Typed):
    """Results of one patient for other systems."""

    patient: str
    sex: Literal["female", "male"]


class DatasetJob(ExchangeSettings):
    """Counts of all samples as a laboratory domain."""

    samples: tuple[str, ...]


class CrateJob(CrateSettings):
    """The results of a run as an RO-Crate."""


Job = TypeVar("Job", bound=Typed)


def job_for(
    study: Study, verb: str, *, sample: str | None = None, patient: str | None = None, assay: str | None = None
) -> Typed:
    """Return what one job is given.

    Parameters
    ----------
    study : Study
    verb : {"detect", "classify", "crops", "count", "quality", "operator", "controls", "simulate", "prognose", "report",
        "spike", "recovery", "replicates", "validation", "calibrate", "cohort", "exchange", "dataset", "crate"}
    sample, patient, assay : str, optional
        What the job is about; a report is about a sample, a patient, or with neither the cohort. With an assay,
        the job is one of its spike-in.
    """
    if sample is not None:
        return _JOBS_OF_SAMPLE[verb](study, sample)
    if patient is not None:
        return _JOBS_OF_PATIENT[verb](study, patient)
    if assay is not None:
        return _JOBS_OF_ASSAY[verb](study, assay)
    return _JOBS_OF_COHORT[verb](study)


def detect_job(study: Study, sample: str) -> DetectJob:
    """Return the job that finds the cells of a sample."""
    row = study.samples[sample]
    return _detect(study, sample, row.images, row.format, row.assay)


def classify_job(study: Study, sample: str) -> ClassifyJob:
    """Return the job that calls the cells of a sample."""
    return _classify(study, sample, study.samples[sample].assay)


def count_job(study: Study, sample: str) -> CountJob:
    """Return the job that counts a sample's CTCs."""
    row = study.samples[sample]
    assay = study.assays[row.assay]
    factors = {name: getattr(assay, name) for name in Factors.model_fields}
    columns = (
        "patient",
        "collected",
        "drawn",
        "role",
        "note",
        "notice",
        "blood_volume_ml",
        "part_volumes_ml",
        "sampled_fraction",
    )
    about = {name: getattr(row, name) for name in columns}
    patient = study.patients[row.patient]
    about |= {"primary": patient.primary, "setting": patient.setting}
    about["after"] = patient.interventions_before(row.collected, row.drawn)
    used = study.calibrations.get(row.assay)
    counted = CountAssay(
        name=row.assay,
        markers=assay.markers,
        taken_over=assay.taken_over,
        calibration=_applied(used) if used else None,
        **factors,
    )
    return _job(CountJob, study.settings.count, sample=sample, assay=counted, **about)


def _applied(used: LocalCalibration) -> AppliedCalibration:
    assert used.slope is not None  # sheets refuses others
    return AppliedCalibration(
        file_sha256=used.provenance.content_sha256,
        calls_made_by=used.calls_made_by,
        slope=used.slope.estimate,
        low=used.slope.low,
        high=used.slope.high,
        n_cells=used.n_cells,
        n_samples=len(used.samples),
    )


def calibrate_job(study: Study, assay: str) -> CalibrateJob:
    """Return the job that fits an assay's own calibration to reviewed cells."""
    return _job(CalibrateJob, study.settings.calibration, assay=assay, consensus=study.settings.count.consensus)


def quality_job(study: Study, sample: str) -> QualityJob:
    """Return the job that checks a sample's quality."""
    row = study.samples[sample]
    about = QualitySample(**{name: getattr(row, name) for name in QualitySample.model_fields})
    return _job(QualityJob, study.settings.quality, sample=about)


def crops_job(study: Study, sample: str) -> CropsJob:
    """Return the job that cuts out the pixels that a sample's page shows."""
    row = study.samples[sample]
    about = {"images": row.images, "format": row.format, "assay": study.assays[row.assay].camera(row.assay)}
    background = study.settings.detect.background
    return _job(CropsJob, study.settings.report, sample=sample, background=background, **about)


def operator_job(study: Study, sample: str) -> OperatorJob:
    """Return the job that sets the operator's calls of a sample beside the classifier's."""
    row = study.samples[sample]
    about = {"images": row.images, "format": row.format, "assay": study.assays[row.assay].camera(row.assay)}
    level = study.settings.count.level
    return _job(OperatorJob, study.settings.operator, sample=sample, level=level, **about)


def compare_job(study: Study, without: Collection[str] = ()) -> CompareJob:
    """Return the job that compares the frames of all samples, or of those that did not fail."""
    patients = {name: row.patient for name, row in study.samples.items()}
    return CompareJob(patients=patients, without=tuple(name for name in patients if name in without))


def controls_job(study: Study) -> ControlsJob:
    """Return the job that judges the control samples of all runs."""
    return _job(ControlsJob, study.settings.controls)


def simulate_job(study: Study, patient: str) -> SimulateJob:
    """Return the job that simulates a patient's cascade."""
    known = study.patients[patient].before_outcome
    return _job(SimulateJob, study.settings.simulate, patient=known, random_seed=study.settings.random_seed)


def prognose_job(study: Study, patient: str) -> PrognoseJob:
    """Return the job that gives a patient's prognosis."""
    known = study.patients[patient].before_outcome
    return _job(PrognoseJob, study.settings.prognose, patient=known, random_seed=study.settings.random_seed)


def report_sample_job(study: Study, sample: str) -> ReportSampleJob:
    """Return the job that writes a sample's page."""
    row = study.samples[sample]
    method = study.assays[row.assay]
    camera = dict(method.camera(row.assay))
    assay = ReportAssay(gates=method.gate_values(), labels=method.labels, **camera)
    donor = row.role == "healthy" or study.patients[row.patient].primary == "none"
    return _job(ReportSampleJob, study.settings.report, assay=assay, donor=donor)


def report_patient_job(study: Study, patient: str) -> ReportPatientJob:
    """Return the job that writes a patient's page."""
    return ReportPatientJob(patient=study.patients[patient].before_outcome)


def report_cohort_job(study: Study) -> ReportCohortJob:
    """Return the job that writes the page of all patients and samples."""
    return ReportCohortJob(patients=tuple(row.before_outcome for row in study.patients.values()))


def spike_job(study: Study, assay: str) -> SpikeJob:
    """Return the job that pastes phantom CTCs into frames of an assay."""
    rows = [study.samples[name] for name in study.healthy_of(assay)]
    healthy = [HealthySample(**{key: getattr(row, key) for key in HealthySample.model_fields}) for row in rows]
    settings = study.settings
    about = {"assay": study.assays[assay].camera(assay), "samples": tuple(healthy), "detect": settings.detect}
    return _job(SpikeJob, settings.recovery, random_seed=settings.random_seed, **about)


def recovery_job(study: Study, assay: str) -> RecoveryJob:
    """Return the job that says what was found of the CTCs pasted into frames of an assay."""
    rows = [study.samples[name] for name in study.healthy_of(assay)]
    about = {"notices": tuple(sorted({row.notice for row in rows if row.notice})), "assay": _named(study, assay)}
    return _job(RecoveryJob, study.settings.recovery, random_seed=study.settings.random_seed, **about)


def replicates_job(study: Study, assay: str) -> ReplicatesJob:
    """Return the job that makes the in-silico tubes of an assay."""
    ours = study.settings.validation
    levels = (0,) * ours.blanks + tuple(level for level in ours.levels for _ in range(ours.replicates))
    about = {**dict(spike_job(study, assay)), "levels": levels, "frames": ours.frames}
    return ReplicatesJob(**about, found_by=_detect_spiked(study, assay), called_by=_classify_spiked(study, assay))


def validation_job(study: Study, assay: str) -> ValidationJob:
    """Return the job that validates an assay by its known tubes."""
    rows = [study.samples[name] for name in study.known_of(assay)]
    tubes = tuple(KnownTube(**{key: getattr(row, key) for key in KnownTube.model_fields}) for row in rows)
    seed = study.settings.random_seed
    return _job(ValidationJob, study.settings.validation, assay=_named(study, assay), tubes=tubes, random_seed=seed)


def cohort_job(study: Study) -> CohortJob:
    """Return the job that sets follow-up beside predictions."""
    followed = []
    for name in study.followed:
        row = study.patients[name]
        columns = {key: getattr(row, key) for key in FollowedPatient.model_fields if key != "sample"}
        followed.append(FollowedPatient(**columns, sample=study.samples_of(name)[0]))
    seed = study.settings.random_seed
    return _job(CohortJob, study.settings.cohort, patients=tuple(followed), random_seed=seed)


def exchange_job(study: Study, patient: str) -> ExchangeJob:
    """Return the job that writes a patient's results for other systems."""
    return ExchangeJob(patient=patient, sex=study.patients[patient].sex)


def dataset_job(study: Study) -> DatasetJob:
    """Return the job that writes the counts of all samples as a laboratory domain."""
    return _job(DatasetJob, study.settings.exchange, samples=tuple(study.samples))


def crate_job(study: Study) -> CrateJob:
    """Return the job that makes the results an RO-Crate."""
    return _job(CrateJob, study.settings.crate)


def _detect_spiked(study: Study, assay: str) -> DetectJob:
    return _detect(study, assay, (".",), "ome-tiff", assay)


def _detect(study: Study, sample: str, images: Images, layout: str, assay: str) -> DetectJob:
    about = {"images": images, "format": layout, "assay": study.assays[assay].camera(assay)}
    limits = study.settings.quality.frame
    return _job(DetectJob, study.settings.detect, sample=sample, frame_limits=limits, **about)


def _classify_spiked(study: Study, assay: str) -> ClassifyJob:
    return _classify(study, assay, assay)


def _classify(study: Study, sample: str, name: str) -> ClassifyJob:
    assay = study.assays[name]
    markers = {role: marker.gate for role, marker in assay.markers.items()}
    bleed = assay.bleed.value if assay.bleed else None
    judged = ClassifyAssay(
        name=name, gates=assay.gate_values(), markers=markers, bleed=bleed, leukocytes=assay.leukocytes
    )
    return _job(ClassifyJob, study.settings.classify, sample=sample, assay=judged)


def _named(study: Study, assay: str) -> NamedAssay:
    return NamedAssay(name=assay, **dict(study.assays[assay]))


def _job(kind: type[Job], settings: Typed, **about: Any) -> Job:
    """Return a job from the settings of its stage and what it is about."""
    own = {name: value for name, value in settings if name in kind.model_fields}
    return kind(**own, **about)


_JOBS_OF_SAMPLE: dict[str, Callable[[Study, str], Typed]] = {
    "detect": detect_job,
    "classify": classify_job,
    "count": count_job,
    "quality": quality_job,
    "crops": crops_job,
    "operator": operator_job,
    "report": report_sample_job,
}
_JOBS_OF_PATIENT: dict[str, Callable[[Study, str], Typed]] = {
    "simulate": simulate_job,
    "prognose": prognose_job,
    "report": report_patient_job,
    "exchange": exchange_job,
}
_JOBS_OF_ASSAY: dict[str, Callable[[Study, str], Typed]] = {
    "detect": _detect_spiked,
    "classify": _classify_spiked,
    "spike": spike_job,
    "recovery": recovery_job,
    "replicates": replicates_job,
    "validation": validation_job,
    "calibrate": calibrate_job,
}
_JOBS_OF_COHORT: dict[str, Callable[[Study], Typed]] = {
    "compare": compare_job,
    "controls": controls_job,
    "report": report_cohort_job,
    "cohort": cohort_job,
    "dataset": dataset_job,
    "crate": crate_job,
}


def read(kind: type[Job], text: str) -> Job:
    """Return a job from its JSON.

    Raises
    ------
    InputError
        If the text is not the JSON of such a job.
    """
    try:
        given = json.loads(text)
    except json.JSONDecodeError as error:
        refuse("--settings", "", error, "a JSON object", "write {...}")
    if not isinstance(given, dict):
        refuse("--settings", "", type(given).__name__, "a JSON object", "write {...}")
    faults: list[Fault] = []
    job: Job | None = checking.check(kind, given, "--settings", faults)
    refuse_all(faults)
    assert job is not None
    return job
