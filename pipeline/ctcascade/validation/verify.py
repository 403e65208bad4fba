"""Whether each result of a run is what it claims: its checksum, its kind, and the files it was made from."""

from pathlib import Path

from ctcascade.data.errors import InputError
from ctcascade.data.finished import RunResults, read_results
from ctcascade.validation import origins


def verify(results: Path) -> tuple[list[str], int]:
    """Return a line for each table, JSON result and page of a run, and how many are not what they claim.

    Inputs that are no results (images, reviews, the operator's files) are not looked for; what is made only where it
    is asked for may be absent.

    Raises
    ------
    InputError
        If the folder holds no results.
    """
    run = read_results(results)
    samples, patients = list(run.samples), list(run.patients)
    assays = sorted(path.stem for path in run.folder.glob("recovery/*.json"))
    items = [item for sample in samples for item in origins.of_sample(run.folder, sample)]
    items += [item for name in patients for item in origins.of_patient(run.folder, name, _samples_of(run, name))]
    items += origins.of_run(run.folder, samples, patients, assays)
    lines, wrong = [], 0
    for item in items:
        needed = item.kind is not None and bool(item.about.keys() & {"sample", "patient"})
        if item.path.exists() or needed:
            said = origins.fault_of(item)
            wrong += bool(said)
            lines.append(f"{item.path}: {said or 'as it claims'}")
    for name in ("cohort.csv", "qc_mqc.tsv"):
        if (run.folder / name).exists() and not (run.folder / "index.html").exists():
            wrong += 1
            lines.append(f"{run.folder / name}: without index.html, which holds its checksum")
    return lines, wrong


def _samples_of(run: RunResults, patient: str) -> list[str]:
    """Return the samples that a patient's cascade names; all of the run where it cannot be read."""
    try:
        return list(run.patients[patient].cascade.samples)
    except InputError:
        return list(run.samples)
