"""All numbers of a patient's results as one table: one row a number, with its interval and unit."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ctcascade.data import store
from ctcascade.data.errors import refuse
from ctcascade.data.results import Cascade, Counts, Prognosis, ResultFile
from ctcascade.report.tables import lines

_COLUMNS = ("patient", "of", "result", "key", "value", "low", "high", "level", "unit")
_SKIPPED = ("provenance", "ctc_quantiles_per_7_5_ml", "cluster_quantiles_per_7_5_ml", "candidates", "ctc_diameters_um")
_UNITS = (
    ("per_7_5_ml", "cells per 7.5 mL of blood"),
    ("per_ml", "cells per mL of blood"),
    ("_ml", "mL"),
    ("_um", "um"),
    ("_months", "months"),
    ("weeks_on_therapy", "weeks"),
    ("week_low", "weeks"),
    ("week_high", "weeks"),
    ("days_between", "days"),
)


def write_numbers(counts: Sequence[Path], cascade: Path, prognosis: Path, out: Path) -> None:
    """Write every number of a patient's counts, cascade and prognosis.

    Parameters
    ----------
    counts : sequence of Path
    cascade, prognosis : Path
    out : Path
        CSV: patient, sample (or the patient), result, key, value, low, high, level, unit. What is not known is empty.

    Raises
    ------
    InputError
        If a result cannot be read or is of another patient.
    """
    found: list[tuple[str, str, str, ResultFile]] = []
    for path in counts:
        one = store.read_json(path, Counts)
        found.append((one.patient, one.sample, "counts", one))
    road, predicted = store.read_json(cascade, Cascade), store.read_json(prognosis, Prognosis)
    for path, patient in (*zip(counts, (row[0] for row in found), strict=True), (cascade, road.patient)):
        if patient != predicted.patient:
            refuse(path, "patient", patient, predicted.patient, "give the results of one patient")
    found += [
        (road.patient, road.patient, "cascade", road),
        (predicted.patient, predicted.patient, "prognosis", predicted),
    ]
    rows = [
        {"patient": patient, "of": of, "result": result, **number}
        for patient, of, result, data in found
        for number in numbers(data.model_dump(mode="json", exclude=set(_SKIPPED)))
    ]
    store.write_text(out, "".join(f"{line}\n" for line in lines(rows)) if rows else ",".join(_COLUMNS) + "\n")


def numbers(data: Any, key: str = "") -> Iterator[dict[str, Any]]:
    """Yield each number of a result as JSON types; an estimate with its limits is one."""
    if isinstance(data, bool) or data is None or isinstance(data, str):
        return
    if isinstance(data, int | float):
        yield _row(key, data)
    elif isinstance(data, list):
        for k, value in enumerate(data):
            yield from numbers(value, f"{key}.{k}")
    else:
        middle = next((name for name in ("estimate", "mean", "p") if name in data), None)
        whole = {middle, "low", "high", "level"} if middle and "low" in data and "high" in data else set()
        if whole and data[middle] is not None:
            yield _row(key, data[middle], data["low"], data["high"], data.get("level"))
        for name, value in data.items():
            if name not in whole:
                yield from numbers(value, f"{key}.{name}" if key else name)


def _row(key: str, value: Any, low: Any = None, high: Any = None, level: Any = None) -> dict[str, Any]:
    return {"key": key, "value": value, "low": low, "high": high, "level": level, "unit": unit(key)}


def unit(key: str) -> str:
    """Return the unit that the name of a key states; 1 for counts, shares and probabilities."""
    names = [name for name in key.split(".") if not name.isdigit()]
    return next((text for name in reversed(names) for ending, text in _UNITS if name.endswith(ending)), "1")
