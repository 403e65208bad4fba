"""Whether each result of a run is what it claims: its checksum, its kind, and the files it was made from."""

from pathlib import Path

from ctcascade.data import store
from ctcascade.data.errors import InputError
from ctcascade.data.finished import read_results
from ctcascade.data.results import Cascade, Counts, Operator, Prognosis, Provenance, Quality, ResultFile

_TABLES = ("frames", "cells", "outlines", "calls", "crops")
_OF_SAMPLE: tuple[type[ResultFile], ...] = (Counts, Quality, Operator)
_OF_PATIENT: tuple[type[ResultFile], ...] = (Cascade, Prognosis)


def verify(results: Path) -> tuple[list[str], int]:
    """Return a line for each table and JSON result of a run, and how many are not what they claim.

    Inputs that are no results (reviews, the operator's files) are not looked for.

    Raises
    ------
    InputError
        If the folder holds no results.
    """
    run = read_results(results)
    lines: list[str] = []
    wrong = 0
    for sample in run.samples.values():
        beside = {name: sample.folder / f"{name}.parquet" for name in _TABLES}
        paths: list[tuple[Path, type[ResultFile] | None]] = [(path, None) for path in beside.values() if path.exists()]
        paths += [(sample.folder / kind.file_name, kind) for kind in _OF_SAMPLE]
        for path, kind in paths:
            said = _fault(path, kind, beside)
            wrong += bool(said)
            lines.append(f"{path}: {said or 'as it claims'}")
    for patient in run.patients.values():
        beside = {"cascade": patient.folder / Cascade.file_name, "controls": run.folder / "controls.json"}
        for sample in run.samples.values():
            beside |= dict.fromkeys(
                (f"counts/{sample.name}", f"counts of {sample.name}"), sample.folder / "counts.json"
            )
            beside[f"quality of {sample.name}"] = sample.folder / "quality.json"
        for kind in _OF_PATIENT:
            path = patient.folder / kind.file_name
            said = _fault(path, kind, beside)
            wrong += bool(said)
            lines.append(f"{path}: {said or 'as it claims'}")
    return lines, wrong


def _fault(path: Path, kind: type[ResultFile] | None, beside: dict[str, Path]) -> str:
    """Return what is wrong with a file; empty where it is what it claims."""
    try:
        made_by: Provenance = store.table_provenance(path) if kind is None else store.read_json(path, kind).provenance
    except InputError as error:
        return error.faults[0].found
    for role, digest in made_by.inputs.items():
        source = beside.get(role)
        if source is not None and (not source.exists() or store.file_hash(source) != digest):
            return f"made from another {role} than {source}"
    named = made_by.settings.get("sample")
    if isinstance(named, str) and named != path.parent.name:
        return f"a result of the sample {named}"
    return ""
