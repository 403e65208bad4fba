"""A patient's results for other systems, with a record of what they were made from."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ctcascade.data import store
from ctcascade.data.results import Counts, Exchanged
from ctcascade.data.typed import Typed
from ctcascade.report import dataset_json, fhir, numbers_csv
from ctcascade.study.jobs import DatasetJob, ExchangeJob

BUNDLE, NUMBERS, DATASET = "FHIR bundle", "table of numbers", "Dataset-JSON"


def exchange(
    job: ExchangeJob,
    counts: Sequence[Path],
    cascade: Path,
    prognosis: Path,
    bundle: Path,
    numbers: Path,
    origin: Path,
) -> None:
    """Write a patient's FHIR bundle and table of numbers, and what they were made from.

    Parameters
    ----------
    job : ExchangeJob
    counts : sequence of Path
        counts.json of the patient's samples.
    cascade, prognosis : Path
        Of the patient.
    bundle, numbers, origin : Path
        Files to write: JSON, CSV, and the record (`results.Exchanged`).

    Raises
    ------
    InputError
        As for `fhir.write_bundle` and `numbers_csv.write_numbers`.
    """
    fhir.write_bundle(counts, prognosis, job.sex, bundle)
    numbers_csv.write_numbers(counts, cascade, prognosis, numbers)
    made_from = {**_of_samples(counts), "cascade": cascade, "prognosis": prognosis}
    _record(job, job.patient, made_from, {BUNDLE: bundle, NUMBERS: numbers}, origin)


def exchange_study(job: DatasetJob, counts: Sequence[Path], out: Path, origin: Path) -> None:
    """Write the laboratory data of all samples as CDISC Dataset-JSON, and what they were made from.

    Parameters
    ----------
    job : DatasetJob
    counts : sequence of Path
        counts.json of all samples.
    out, origin : Path
        Files to write.

    Raises
    ------
    InputError
        As for `dataset_json.write_dataset`.
    """
    dataset_json.write_dataset(job, counts, out)
    _record(job, job.study_id, _of_samples(counts), {DATASET: out}, origin)


def _of_samples(counts: Sequence[Path]) -> dict[str, Path]:
    return {f"counts/{store.read_json(path, Counts).sample}": path for path in counts}


def _record(job: Typed, about: str, made_from: Mapping[str, Path], files: Mapping[str, Path], origin: Path) -> None:
    made_by = store.provenance(job, {**made_from, **files})
    names = {what: path.name for what, path in files.items()}
    store.write_json(origin, Exchanged(about=about, files=names, provenance=made_by))
