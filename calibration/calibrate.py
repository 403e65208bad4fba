"""Refit what the cascade cannot read anywhere: ``python -m calibration.calibrate``.

Rewrites ``evidence/organs.tsv`` and ``evidence/organ_forms.tsv`` from the autopsies (`tropism`), then four rows of
``evidence/parameters.tsv`` from the recurrences of breast and colorectal cancer (`recurrence`), and
reports what it found. The organs' imaging layer is settled with the rates of the run before, and these are fitted with
the new layer: run it again until nothing changes.
"""

import csv
import math
import sys
from pathlib import Path

import pandas as pd

from calibration import clusters, imaging, levels, recurrence, tropism
from ctcascade import evidence
from ctcascade.data import store
from ctcascade.data.vocabulary import ORGANS


def calibrate(folder: Path = evidence.FOLDER) -> str:
    """Rewrite the fitted evidence in `folder` and return the diagnostics as text."""
    data = tropism.read_autopsies()
    organs = tropism.fit(data, tropism.forms(data)[tropism.MAIN][1])
    scores = tropism.score_forms(data)
    each = tropism.leave_one_out(data, *tropism.forms(data)[tropism.MAIN][1:])
    _write(folder / "organs.tsv", tropism.organ_table(data, organs))
    _write(folder / "organ_forms.tsv", scores)
    seen, slope = imaging.organ_table(data, organs)
    _write(folder / "organs_imaged.tsv", seen)
    forms = imaging.score_forms(data, organs)
    _write(folder / "imaging_forms.tsv", forms)
    _centre(folder / "parameters.tsv", {"imaging_slope": slope})
    evidence.forget()
    _set(folder / "parameters.tsv", "cluster_potency", clusters.potency())
    evidence.forget()
    patients = recurrence.early_breast()
    rate, unseen = recurrence.fit(patients)
    resting = recurrence.fit_dormancy(patients, rate, unseen)
    _centre(folder / "parameters.tsv", {"founding_rate": rate, "unseen_shedding": unseen, **resting})
    found = levels.table(patients, {"founding_rate": rate, "unseen_shedding": unseen, **resting})
    _write(folder / "founding.tsv", found)
    targets = evidence.load("targets").central
    ratios = [
        f"{least}: {patients.hazard_ratio(rate, unseen, least):.2f} (published {targets[f'hazard_ratio_{least}']})"
        for least in recurrence.CLASSES[1:]
    ]
    by_year = [f"{t:g} y {patients.recurrence(rate, unseen, t):.3f}" for t in recurrence.HORIZONS_YEARS]
    soil = [f"{o} {math.exp(s):.2f}" for o, s in zip(ORGANS, organs.soil, strict=True)]
    return "\n".join(
        [
            scores.to_string(index=False),
            each.round(3).to_string(),
            forms.to_string(index=False),
            f"slope of the imaging layer {slope:.3f}",
            found[["id", "central", "low", "high"]].to_string(index=False),
            f"sigma of tropism {organs.sigma:.3f}; soil against lung: {', '.join(soil)}",
            f"founding rate {rate:.4g} a year, unseen shedding {unseen:.4g} CTC per 7.5 mL",
            f"resting first: {', '.join(f'{name} {share:.3f}' for name, share in resting.items())}",
            f"hazard ratios by count, {'; '.join(ratios)}",
            f"recurrence {', '.join(by_year)} (published at 10 y: {targets['recurrence_10y']})",
        ]
    )


def _write(path: Path, table: pd.DataFrame) -> None:
    store.write_text(path, table.to_csv(sep="\t", index=False, quoting=csv.QUOTE_NONE))


def _set(path: Path, name: str, numbers: tuple[float, float, float]) -> None:
    """Set the central value of a row and its limits."""
    table = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False, quoting=csv.QUOTE_NONE)
    table.loc[table.id == name, ["central", "low", "high"]] = [f"{v:.4g}" for v in numbers]
    _write(path, table)


def _centre(path: Path, centres: dict[str, float]) -> None:
    """Set the central value of rows and their limits around it; all else stays as it was."""
    table = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False, quoting=csv.QUOTE_NONE)
    for name, value in centres.items():
        numbers = [f"{v:.4g}" for v in (value, *recurrence.limits(name, value))]
        table.loc[table.id == name, ["central", "low", "high"]] = numbers
    _write(path, table)


if __name__ == "__main__":
    sys.stdout.write(calibrate() + "\n")
