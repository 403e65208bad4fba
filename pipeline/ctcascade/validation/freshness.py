"""Results that are present when a run starts, compared with what is wanted now, from what they say of themselves.

Snakemake compares with its own notes (``.snakemake``), which do not travel with a folder of results.
"""

import json
from collections.abc import Callable
from pathlib import Path

from ctcascade.data import fingerprint, store
from ctcascade.data.errors import InputError
from ctcascade.data.results import Cascade, Counts, Operator, Prognosis, Provenance, Quality, ResultFile
from ctcascade.study import jobs
from ctcascade.study.sheets import Study

_TABLES = {"frames": "detect", "cells": "detect", "outlines": "detect", "calls": "classify", "crops": "crops"}
_OF_SAMPLE: dict[type[ResultFile], str] = {Counts: "count", Quality: "quality", Operator: "operator"}
_OF_PATIENT: dict[type[ResultFile], str] = {Cascade: "simulate", Prognosis: "prognose"}


def outdated(study: Study, images_of: Callable[[str], str]) -> list[tuple[Path, str]]:
    """Return the results that are not what a run of this study would make, each with the reason.

    Parameters
    ----------
    study : Study
    images_of : callable
        Returns the digest of a sample's images (`image_files.digest_of_content`).

    Notes
    -----
    Compared are the settings, the code and evidence of the stage, and for tables of `detect` the images. What is made
    from an outdated result is made again after it, so inputs are not compared here.
    """
    found: list[tuple[Path, str]] = []
    results = Path(study.settings.results)
    learned = study.settings.detect.segmenter == "learned"

    def compare(path: Path, stage: str, kind: type[ResultFile] | None, sample: str = "", patient: str = "") -> None:
        if path.exists():
            about = {"sample": sample} if sample else {"patient": patient}
            wanted = json.loads(jobs.job_for(study, stage, **about).model_dump_json())
            images = images_of(sample) if stage == "detect" else None
            why = _differs(path, kind, wanted, fingerprint.stage_hash(stage, learned), images)
            if why:
                found.append((path, why))

    for sample in study.samples:
        folder = results / "samples" / sample
        for name, stage in _TABLES.items():
            compare(folder / f"{name}.parquet", stage, None, sample=sample)
        for chunk in sorted(folder.glob("chunks/*.parquet")):
            compare(chunk, "detect", None, sample=sample)
        for kind, stage in _OF_SAMPLE.items():
            compare(folder / kind.file_name, stage, kind, sample=sample)
    for patient in study.patients:
        for kind, stage in _OF_PATIENT.items():
            compare(results / "patients" / patient / kind.file_name, stage, kind, patient=patient)
    known = {path for path, _ in found}
    return found + [(path, "made from a result that is") for path in _made_from(known, study) if path not in known]


def _made_from(outdated_paths: set[Path], study: Study) -> list[Path]:
    """Return the results and pages that rest on outdated ones: Snakemake takes them for good while they are there."""
    if not outdated_paths:
        return []
    results = Path(study.settings.results)
    found = {results / name for name in ("controls.json", "cohort.json", "cohort.html", "index.html", "cohort.csv")}
    for sample, row in study.samples.items():
        folder = results / "samples" / sample
        names = {path.name for path in outdated_paths if path.parent == folder}
        if names:
            later = ["crops.parquet", "report.html", *(kind.file_name for kind in _OF_SAMPLE)]
            from_cells = ["calls.parquet"] if names & {"frames.parquet", "cells.parquet", "outlines.parquet"} else []
            found |= {
                folder / name
                for name in (*from_cells, *(later if from_cells or "calls.parquet" in names else later[1:2]))
            }
            folder_of_patient = results / "patients" / row.patient
            found |= {folder_of_patient / name for name in ("cascade.json", "prognosis.json", "report.html")}
    for patient in study.patients:
        folder = results / "patients" / patient
        if any(path.parent == folder for path in outdated_paths):
            found |= {folder / "prognosis.json", folder / "report.html"}
    return sorted(path for path in found if path.exists())


def _differs(path: Path, kind: type[ResultFile] | None, wanted: object, code: str, images: str | None) -> str:
    """Return in what a result differs from what is wanted; empty where it does not."""
    try:
        made_by: Provenance = store.table_provenance(path) if kind is None else store.read_json(path, kind).provenance
    except InputError as error:
        return error.faults[0].found
    if made_by.settings != wanted:
        return "made with other settings, or of another sample"
    if made_by.code != code:
        return "made by other code or evidence"
    if images is not None and made_by.images != images:
        return "made from other images"
    return ""
