"""Validations of an assay from made-up tubes."""

import yaml

from ctcascade.data import store
from ctcascade.data.results import Replicates, Validation
from ctcascade.study.jobs import ValidationJob
from ctcascade.validation import analytical
from tests.support import report_cases as cases
from tests.support.json_results import write_result
from tests.support.other_pages import ASSAY


def tube(name, expected=None, role=None, day="2026-01-01", **other):
    return {"sample": name, "collected": day, "role": role, "spiked_ctc": expected, **other}


def validated(
    place, tubes, numbers, in_silico=((0, 0),) * 3 + ((5, 5), (20, 19), (50, 48)) * 2, reviews=(), **settings
):
    """Return the validation of tubes with these counts, and the assay that is written."""
    paths = []
    for about, n in zip(tubes, numbers, strict=True):
        given = {"role": about["role"], "imaged_fraction": 1.0, **({"review": reviews[len(paths)]} if reviews else {})}
        status = {"status": "not_evaluable", "reason": "blank frames", "n_ctc": None} if n is None else {}
        counted = {**cases.counts(about["sample"], "D", n or 0, about["collected"], **given), **status}
        paths.append(place / f"{about['sample']}.json")
        write_result(paths[-1], "counts", counted)
    made = [
        {"tube": str(k), "expected": e, "observed": o, "lot": None, "run": None, "operator": None}
        for k, (e, o) in enumerate(in_silico)
    ]
    about = {"assay": "bench", "basis": "phantom", "samples": (), "tubes": made, "provenance": cases.PROVENANCE}
    store.write_json(place / "made.json", Replicates.model_validate(about))
    job = ValidationJob.model_validate(
        {"assay": {**ASSAY, "name": "bench"}, "tubes": tubes, "random_seed": 1, **settings}
    )
    analytical.validate(job, paths, place / "made.json", place / "validation.json", place / "assay.yaml")
    written = yaml.safe_load((place / "assay.yaml").read_text(encoding="utf-8"))
    return store.read_json(place / "validation.json", Validation), written


def laboratory():
    """Return tubes of three numbers of cells in three runs by two operators, blanks after them, and their counts."""
    tubes, numbers = [], []
    for run in range(3):
        for k, (n, seen) in enumerate([(10, 8), (10, 9), (40, 33), (40, 31), (150, 121), (150, 119), (0, 0), (0, 1)]):
            about = {"run": f"R{run}", "operator": "ab"[k % 2], "position": k + 1, "lot": "L1"}
            role = "healthy" if n == 0 else None
            tubes.append(tube(f"T{run}{k}", n or None, role, **about))
            numbers.append(seen + (run - 1) * (n >= 40) * 4)
    return tubes, numbers
