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
    return found


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
