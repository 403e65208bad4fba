"""Every number that the project claims about biology, survival or assays: one row each, with its source.

A row is *measured* or *derived* (both with a reference, a locator and how it was read) or an *assumption* (with the
reason for it and a range wide enough to be honest). `load` refuses a table that breaks this, so that no number
reaches a result without its origin. What was only remembered lies in ``quarantine.tsv``, which no code reads.
"""

import csv
import functools
import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pipeline.errors import Fault, refuse, refuse_all

FOLDER = Path(__file__).parent
KINDS = ("measured", "derived", "assumption")
HOW_READ = ("full text", "abstract", "page", "secondary source", "computed")
"""How a number was taken from its source; *secondary source* quotes it, *computed* derives it from numbers read."""
UNITS = frozenset(
    {"1", "um", "um2", "mm", "mm3", "cm3", "ml", "g", "mmhg", "per_ml", "per_mm3", "cells_per_7_5_ml"}
    | {"s", "min", "hours", "days", "weeks", "months", "years", "per_s", "per_min", "per_hour", "per_day", "per_year"}
    | {"um_per_s", "mm_per_s", "ml_per_min", "l_per_min", "cells", "cells_per_day", "cells_per_g_per_day"}
)
IMPLIED_SHAPE = (0.9, 2.2)
"""Weibull shapes that a univariable hazard ratio and its two medians may imply without a flag."""
_QUARANTINE = "quarantine"
_SOURCE = {"kind": str, "reason": str, "reference": str, "locator": str, "how_read": str, "note": str}


@dataclass(frozen=True)
class _Table:
    """Columns with their types, and those of them that no row may leave empty."""

    columns: dict[str, type]
    filled: tuple[str, ...]


# A triple `x, x_low, x_high` (or `central, low, high`) is a value with its range wherever it stands.
TABLES = {
    "references": _Table(
        {"key": str, "citation": str, "identifier": str, "year": int, "note": str}, ("citation", "identifier", "year")
    ),
    "parameters": _Table(
        {
            "id": str,
            "symbol": str,
            "meaning": str,
            "unit": str,
            "central": float,
            "low": float,
            "high": float,
            "distribution": str,
            **_SOURCE,
        },
        ("symbol", "meaning", "unit", "central", "low", "high", "distribution"),
    ),
}


def load(name: str, folder: Path = FOLDER) -> pd.DataFrame:
    """Return one evidence table, checked; missing values are NaN in numbers and empty text in text.

    Parameters
    ----------
    name : str
        A key of `TABLES`: the file's name without ``.tsv``.
    folder : Path
        Where the tables lie.

    Returns
    -------
    DataFrame
        Indexed by the first column (``id`` or ``key``); a copy that the caller may change.

    Raises
    ------
    InputError
        With every fault of the table: a column too many or too few, a value of the wrong type, a repeated id, a row
        without source, an unknown kind, unit or reference, a value outside its own range, a hazard ratio that
        contradicts the medians beside it.
    """
    return _load(name, folder).copy()


def evidence_hash(folder: Path = FOLDER) -> str:
    """Return one hash over all tables that `load` can read, for a result's provenance."""
    digest = hashlib.sha256()
    for name in sorted(TABLES):
        path = folder / f"{name}.tsv"
        if path.exists():
            digest.update(name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


@functools.cache
def _load(name: str, folder: Path) -> pd.DataFrame:
    if name not in TABLES:
        refuse(folder / f"{name}.tsv", "", name, "one of " + ", ".join(sorted(TABLES)), "name a declared table")
    table, path = TABLES[name], folder / f"{name}.tsv"
    rows = _rows(path, table)
    refuse_all(fault for row in rows for fault in _type_faults(path, row, table))
    data = pd.DataFrame(
        {column: [_value(row[column], kind) for row in rows] for column, kind in table.columns.items()}
    ).set_index(next(iter(table.columns)))
    faults = [*_id_faults(path, data)]
    for check in _CHECKS.get(name, (_source_faults, _range_faults)):
        faults += check(path, data, folder)
    refuse_all(faults)
    return data


def _rows(path: Path, table: _Table) -> list[dict[str, str]]:
    """Return the file's rows as text; quotes and comment signs have no meaning in it."""
    with open(path, encoding="utf-8", newline="") as handle:
        lines = list(csv.reader(handle, delimiter="\t", quoting=csv.QUOTE_NONE))
    header = lines[0] if lines else []
    if header != list(table.columns):
        refuse(path, "row 1", ", ".join(header), ", ".join(table.columns), "name exactly these columns")
    refuse_all(
        Fault(str(path), f"row {i}", f"{len(line)} columns", f"{len(header)}", "mend the tabs; comments go into `note`")
        for i, line in enumerate(lines[1:], start=2)
        if len(line) != len(header)
    )
    return [dict(zip(header, (cell.strip() for cell in line), strict=True)) for line in lines[1:]]


def _type_faults(path: Path, row: dict[str, str], table: _Table) -> Iterator[Fault]:
    at = next(iter(row.values()))
    for column, kind in table.columns.items():
        text = row[column]
        if not text and column in table.filled:
            yield Fault(str(path), f"{at}: {column}", "nothing", "a value", "fill it")
        try:
            _value(text, kind)
        except ValueError:
            yield Fault(str(path), f"{at}: {column}", repr(text), _TYPE_NAMES[kind], "write it so")


def _value(text: str, kind: type) -> object:
    """Return a cell's value; ValueError where the text is none of its kind."""
    if kind is str:
        return text
    if kind is bool:
        if text not in ("yes", "no"):
            raise ValueError(text)
        return text == "yes"
    if not text:
        return math.nan
    value = kind(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return float(value)


_TYPE_NAMES = {str: "text", bool: "yes or no", int: "a whole number or nothing", float: "a number or nothing"}


def _id_faults(path: Path, data: pd.DataFrame) -> Iterator[Fault]:
    for name in data.index[data.index.duplicated()].unique():
        yield Fault(str(path), str(name), "a repeated id", "an id once", "rename or join the rows")
    if (data.index == "").any():
        yield Fault(str(path), "", "a row without id", "an id in every row", "name it")


def _source_faults(path: Path, data: pd.DataFrame, folder: Path) -> Iterator[Fault]:
    """Yield rows that do not say where their numbers are from."""
    known = _load("references", folder).index
    for name, row in data.iterrows():
        at = str(name)
        if row.kind not in KINDS:
            yield Fault(str(path), f"{at}: kind", repr(row.kind), " | ".join(KINDS), "say which")
        elif row.kind == "assumption":
            if not row.reason:
                yield Fault(str(path), f"{at}: reason", "nothing", "why it is assumed", "give the reason")
        else:
            for column in ("reference", "locator", "how_read"):
                if not row[column]:
                    yield Fault(str(path), f"{at}: {column}", "nothing", "a source", "cite it or call it an assumption")
        if row.how_read and row.how_read not in HOW_READ:
            yield Fault(str(path), f"{at}: how_read", repr(row.how_read), " | ".join(HOW_READ), "say how it was read")
        for key in filter(None, (k.strip() for k in row.reference.split(";"))):
            if key not in known:
                yield Fault(str(path), f"{at}: reference", repr(key), "a key of references.tsv", "add the reference")


def _range_faults(path: Path, data: pd.DataFrame, folder: Path) -> Iterator[Fault]:
    """Yield units nobody knows and values outside their own range."""
    del folder
    if "unit" in data:
        for name, unit in data.unit[~data.unit.isin(UNITS)].items():
            yield Fault(str(path), f"{name}: unit", repr(unit), ", ".join(sorted(UNITS)), "use one of these or add it")
    for value, low, high in _triples(list(data.columns)):
        wrong = (data[low] > data[value]) | (data[value] > data[high]) | (data[low] > data[high])
        for name, row in data[wrong].iterrows():
            found = f"{row[low]:g} .. {row[value]:g} .. {row[high]:g}"
            yield Fault(str(path), f"{name}: {value}", found, f"{low} <= {value} <= {high}", "read the source again")


def _triples(columns: list[str]) -> list[tuple[str, str, str]]:
    named = [(c, f"{c}_low", f"{c}_high") for c in columns if {f"{c}_low", f"{c}_high"} <= set(columns)]
    return named + ([("central", "low", "high")] if {"central", "low", "high"} <= set(columns) else [])


_Check = Callable[[Path, pd.DataFrame, Path], Iterator[Fault]]
_CHECKS: dict[str, tuple[_Check, ...]] = {"references": ()}
