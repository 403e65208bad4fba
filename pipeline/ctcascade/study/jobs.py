"""What one job is given: the settings of its own stage and what it is about, and nothing that only another needs.

A job travels as JSON in ``--settings`` and is read with `read`.
"""

import datetime
from typing import Annotated, TypeVar

from pydantic import Field, ValidationError

from ctcascade.data.camera import Camera
from ctcascade.data.errors import Fault, InputError, plain
from ctcascade.data.typed import Number, Typed
from ctcascade.study.assay import Assay, Factors, Gates, Marker, MarkerGate
from ctcascade.study.patient import Patient
from ctcascade.study.sample import Images, Role, Sample
from ctcascade.study.settings import (
    CascadeSettings,
    ClassifySettings,
    CohortSettings,
    ControlsSettings,
    CountSettings,
    DetectSettings,
    Level,
    OperatorSettings,
    PrognoseSettings,
    QualitySettings,
    RecoverySettings,
    ReportSettings,
    Seed,
)


class DetectJob(DetectSettings):
    """Frames of one sample to cells."""

    sample: str
    images: Images
    format: str
    assay: Camera


class CropsJob(ReportSettings):
    """Pixels of one sample that its page shows."""

    sample: str
    images: Images
    format: str
    assay: Camera


class ClassifyAssay(Typed):
    """What calls rest on: gates, and further markers by channel role."""

    name: str
    gates: Gates
    markers: dict[str, MarkerGate] = Field(default_factory=dict)


class ClassifyJob(ClassifySettings):
    """Cells of one sample to calls."""

    sample: str
    assay: ClassifyAssay


class CountAssay(Factors):
    """What counts rest on: factors, and the rules of further markers by channel role."""

    name: str
    markers: dict[str, Marker] = Field(default_factory=dict)


class CountJob(CountSettings):
    """Calls of one sample to counts."""

    sample: str
    patient: str
    collected: datetime.date
    role: Role | None = None
    note: str | None = None
    blood_volume_ml: Number
    sampled_fraction: Number
    assay: CountAssay


class QualitySample(Typed):
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


class ReportSampleJob(ReportSettings):
    """The page of one sample."""

    sample: Sample
    patient: Patient
    assay: NamedAssay


class ReportPatientJob(ReportSettings):
    """The page of one patient."""

    patient: Patient


class ReportCohortJob(ReportSettings):
    """The page of all patients and samples."""

    patients: tuple[Patient, ...]
    samples: tuple[Sample, ...]


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
    random_seed: Seed


class FollowedPatient(Typed):
    """A patient with follow-up, and the first sample, which the months are counted from."""

    patient: str
    primary: str
    setting: str
    event: Annotated[int, Field(ge=0, le=1)]
    time_months: Number
    sample: str


class CohortJob(CohortSettings):
    """Follow-up of all patients beside what was predicted."""

    patients: tuple[FollowedPatient, ...]
    random_seed: Seed


Job = TypeVar("Job", bound=Typed)


def read(kind: type[Job], text: str) -> Job:
    """Return a job from its JSON.

    Raises
    ------
    InputError
        If the text is not the JSON of such a job.
    """
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        raise InputError(
            *(
                Fault("--settings", ".".join(map(str, one["loc"])), plain(one["input"]), one["msg"], "write {...}")
                for one in error.errors()
            )
        ) from error
