"""Every number that the project claims about biology, survival or assays: one row each, with its source.

A row is *measured* or *derived* (both with a reference, a locator and how it was read) or an *assumption* (with the
reason for it and a range wide enough to be honest). `load` refuses a table that breaks this, so that no number
reaches a result without its origin. What was only remembered lies in ``quarantine.tsv``, which no code reads.
"""

import csv
import functools
import hashlib
import math
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import pandas as pd

from ctcascade.data.errors import Fault, refuse, refuse_all
from ctcascade.evidence.tables import KINDS, TABLES, WORDS, Table

FOLDER = Path(__file__).parent
IMPLIED_SHAPE = (0.9, 2.2)
"""Weibull shapes that a univariable hazard ratio and the medians beside it may imply without a flag."""

_TYPE_NAMES = {str: "text", bool: "yes or no", float: "a number or nothing"}


def load(name: str, folder: Path = FOLDER) -> pd.DataFrame:
    """Return one evidence table, checked; what a row leaves empty is NaN in numbers and empty text in text.

    Parameters
    ----------
    name : str
        A key of `tables.TABLES`: the file's name without ``.tsv``.
    folder : Path
        Where the tables lie.

    Returns
    -------
    DataFrame
        Indexed by its first column (``id`` or ``key``); a copy that the caller may change. ``strata`` comes with one
        column more, ``hr_flag``: what is odd about a hazard ratio beside its medians, else empty.

    Raises
    ------
    InputError
        With every fault of the table: a column too many or too few, a value of the wrong type or no word of its list,
        a repeated id, a row without source, an unknown reference, a value outside its own range, a hazard ratio that
        no curves with the medians beside it can have.
    """
    return _load(name, Path(folder)).copy()


def table_of(evidence_id: str, folder: Path = FOLDER) -> str:
    """Return the table that has a row of this id; empty where none has."""
    return next(iter(_tables_of_ids(Path(folder)).get(evidence_id, ())), "")


def forget() -> None:
    """Read tables again that were written since they were loaded; for the scripts that fit them."""
    _load.cache_clear()
    _tables_of_ids.cache_clear()


def evidence_hash(tables: Collection[str] = TABLES.keys(), folder: Path = FOLDER) -> str:
    """Return one hash over tables that `load` can read, for a result's provenance; all of them by default."""
    digest = hashlib.sha256()
    for name in sorted(tables):
        path = Path(folder) / f"{name}.tsv"
        if path.exists():
            digest.update(name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


@functools.cache
def _load(name: str, folder: Path) -> pd.DataFrame:
    path = folder / f"{name}.tsv"
    if name not in TABLES:
        refuse(
            path,
            "",
            name,
            "one of " + ", ".join(sorted(TABLES)),
            "declare the table in pipeline/ctcascade/evidence/tables.py",
        )
    table = TABLES[name]
    rows = _rows(path, table)
    refuse_all(fault for row in rows for fault in _cell_faults(path, row, table))
    key, *_ = table.columns
    data = pd.DataFrame(
        {column: [_value(row[column], kind) for row in rows] for column, kind in table.columns.items()}
    ).set_index(key)
    refuse_all(fault for check in (*_ALWAYS, *_EXTRA.get(name, ())) for fault in check(path, data, folder))
    return data.assign(hr_flag=_hr_flags(data)) if name == "strata" else data


def _rows(path: Path, table: Table) -> list[dict[str, str]]:
    """Return the file's rows as text; quotes and comment signs have no meaning in it."""
    try:
        with open(path, encoding="utf-8", newline="") as handle:
            lines = list(csv.reader(handle, delimiter="\t", quoting=csv.QUOTE_NONE))
    except (OSError, UnicodeDecodeError) as error:
        refuse(path, "", error, "a table of tab-separated text", "restore the file")
    header = lines[0] if lines else []
    if sorted(header) != sorted(table.columns):
        refuse(path, "row 1", ", ".join(header), ", ".join(table.columns), "name exactly these columns, in any order")
    refuse_all(
        Fault(str(path), f"row {i}", f"{len(line)} columns", f"{len(header)}", "fix the tabs; remarks go into `note`")
        for i, line in enumerate(lines[1:], start=2)
        if len(line) != len(header)
    )
    return [dict(zip(header, (cell.strip() for cell in line), strict=True)) for line in lines[1:]]


def _cell_faults(path: Path, row: dict[str, str], table: Table) -> Iterator[Fault]:
    """Yield cells that are empty but must not be, no value of their type, or no word of their list."""
    key, *_ = table.columns
    for column, kind in table.columns.items():
        text, at = row[column], f"{row[key]}: {column}"
        if not text and (column in table.filled or column == key):
            yield Fault(str(path), at, "nothing", "a value", "fill it")
        try:
            _value(text, kind)
        except ValueError:
            yield Fault(str(path), at, repr(text), _TYPE_NAMES[kind], "write it so")
        words = WORDS.get(column)
        unknown = [] if words is None else [w for w in text.split(";") if w not in words]
        if words is not None and unknown:
            known = ", ".join(sorted(words - {""}))
            yield Fault(str(path), at, repr(text), known, "use one of these, or declare it in evidence/tables.py")


def _value(text: str, kind: type) -> str | bool | float:
    """Return a cell's value; ValueError where the text is none of its kind."""
    if kind is str:
        return text
    if kind is bool:
        if text not in ("yes", "no"):
            raise ValueError(text)
        return text == "yes"
    value = float(text) if text else math.nan
    if text and not math.isfinite(value):
        raise ValueError(text)
    return value


@functools.cache
def _tables_of_ids(folder: Path) -> dict[str, tuple[str, ...]]:
    """Return for each id the tables that have it; what is wrong with a table otherwise is for `load` to say."""
    found: dict[str, tuple[str, ...]] = {}
    for table in TABLES:
        path = folder / f"{table}.tsv"
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
        at = lines[0].split("\t").index(key) if lines and (key := next(iter(TABLES[table].columns))) in lines[0] else 0
        for name in {cells[at].strip() for line in lines[1:] if len(cells := line.split("\t")) > at}:
            found[name] = (*found.get(name, ()), table)
    return found


def _id_faults(path: Path, data: pd.DataFrame, folder: Path) -> Iterator[Fault]:
    """Yield ids that stand twice in a table, or in another table as well: results name a row by its id alone."""
    for name in data.index[data.index.duplicated()].unique():
        yield Fault(str(path), str(name), "a repeated id", "each id once", "rename or join the rows")
    for name in data.index.unique():
        others = [f"{table}.tsv" for table in _tables_of_ids(folder).get(str(name), ()) if table != path.stem]
        if others:
            found = f"an id that {' and '.join(others)} has too"
            yield Fault(str(path), str(name), found, "each id in one table", "rename the row")


def _source_faults(path: Path, data: pd.DataFrame, folder: Path) -> Iterator[Fault]:
    """Yield rows that do not say where their numbers are from."""
    if "kind" not in data:
        return
    known = _load("references", folder).index
    for name, row in data.iterrows():
        needed = ("reason",) if row.kind == "assumption" else ("reference", "locator", "how_read")
        for column in needed:
            if not row[column]:
                expected = "why it is assumed" if column == "reason" else "a source"
                yield Fault(str(path), f"{name}: {column}", "nothing", expected, f"say it, or choose of {KINDS}")
        for reference in filter(None, (r.strip() for r in row.reference.split(";"))):
            if reference not in known:
                yield Fault(str(path), f"{name}: reference", repr(reference), "a key of references.tsv", "add it there")


def _range_faults(path: Path, data: pd.DataFrame, _folder: Path) -> Iterator[Fault]:
    """Yield values outside their own range."""
    columns = set(data.columns)
    triples = [(c, f"{c}_low", f"{c}_high") for c in columns if {f"{c}_low", f"{c}_high"} <= columns]
    triples += [("median_months", "median_low", "median_high")] if "median_months" in columns else []
    triples += [("central", "low", "high")] if {"central", "low", "high"} <= columns else []
    for value, low, high in sorted(triples):
        wrong = (data[low] > data[value]) | (data[value] > data[high]) | (data[low] > data[high])
        for name, row in data[wrong].iterrows():
            found = f"{row[low]:g} .. {row[value]:g} .. {row[high]:g}"
            yield Fault(str(path), f"{name}: {value}", found, f"{low} <= {value} <= {high}", "read the source again")


def _comparison_faults(path: Path, data: pd.DataFrame, folder: Path) -> Iterator[Fault]:
    known = _load("survival", folder).index
    for name, comparison in data.comparison[~data.comparison.isin(known)].items():
        yield Fault(str(path), f"{name}: comparison", repr(comparison), "an id of survival.tsv", "add it there")


def _hr_faults(path: Path, data: pd.DataFrame, folder: Path) -> Iterator[Fault]:
    """Yield hazard ratios that no two log-logistic curves with these medians can have, and that nothing explains."""
    survival, shapes = _load("survival", folder), _load("shapes", folder)
    for name, row, median_ratio in _hr_beside_medians(data):
        if row.comparison not in survival.index:
            continue
        of = survival.loc[row.comparison]
        fits = [
            float(shape.high)
            for _, shape in shapes.iterrows()
            if shape.endpoint == of.endpoint and set(shape.primary.split(";")) & set(of.primary.split(";"))
        ]
        largest = median_ratio ** max(fits, default=float(shapes.high.max()))
        if row.hr > largest and not row.hr_remark:
            found = f"{row.hr:g} beside medians {median_ratio:.3g} times apart"
            expected = f"at most {largest:.3g}, the largest of two log-logistic curves"
            yield Fault(str(path), f"{name}: hr", found, expected, "read the source again, or say why in `hr_remark`")


def _hr_beside_medians(strata: pd.DataFrame) -> Iterator[tuple[str, pd.Series, float]]:
    """Yield each stratum with a hazard ratio above 1 and two printed medians, and how far these are apart."""
    for _, group in strata.groupby("comparison", sort=False):
        first = group.iloc[0]
        for name, row in group.iloc[1:].iterrows():
            median_ratio = first.median_months / row.median_months
            if row.hr > 1 and median_ratio > 1 and not (first.lower_bound or row.lower_bound):
                yield str(name), row, float(median_ratio)


def _hr_flags(strata: pd.DataFrame) -> list[str]:
    """Return for each stratum what is odd about its hazard ratio: the row's own remark, or the shape it implies."""
    flags = dict(strata.hr_remark)
    low, high = IMPLIED_SHAPE
    for name, row, median_ratio in _hr_beside_medians(strata):
        shape = math.log(row.hr) / math.log(median_ratio)
        if row.hr_type == "univariable" and not low <= shape <= high and not flags[name]:
            flags[name] = f"hazard ratio and medians imply a Weibull shape of {shape:.2f}"
    return list(flags.values())


_Check = Callable[[Path, pd.DataFrame, Path], Iterator[Fault]]
_ALWAYS: tuple[_Check, ...] = (_id_faults, _source_faults, _range_faults)
_EXTRA: dict[str, tuple[_Check, ...]] = {"strata": (_comparison_faults, _hr_faults)}
