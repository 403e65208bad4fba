"""Every number that the project claims about biology, survival or assays: one row each, with its source.

A row is *measured* or *derived* (both with a reference, a locator and how it was read) or an *assumption* (with the
reason for it and a range wide enough to be honest). `load` refuses a table that breaks this, so that no number
reaches a result without its origin. What was only remembered lies in ``quarantine.tsv``, which no code reads.
"""

import csv
import functools
import hashlib
import math
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ctcascade.data.errors import Fault, refuse, refuse_all
from ctcascade.evidence.tables import KINDS, TABLES, WORDS, Table

if TYPE_CHECKING:
    import pandas as pd

FOLDER = Path(__file__).parent
IMPLIED_SHAPE = (0.9, 2.2)
"""Weibull shapes that a univariable hazard ratio and the medians beside it may imply without a flag."""

_TYPE_NAMES = {str: "text", bool: "yes or no", float: "a number or nothing"}


class Row:
    """One row of an evidence table: its values by column, ``row.central`` or ``row["central"]``; never changed."""

    __slots__ = ("_values", "id")

    def __init__(self, name: str, values: Mapping[str, str | bool | float]) -> None:
        self.id = name
        self._values = values

    def __getattr__(self, column: str) -> Any:
        """Return the value of a column."""
        try:
            return self._values[column]
        except KeyError as error:
            raise AttributeError(f"{self.id}: no column {column}") from error

    def __getitem__(self, column: str) -> Any:
        """Return the value of a column."""
        return self._values[column]

    def __contains__(self, column: str) -> bool:
        """Whether the table has such a column."""
        return column in self._values

    def __repr__(self) -> str:
        return f"Row({self.id})"


Rows = Mapping[str, Row]
"""Rows of an evidence table by id, in the table's order."""


def rows(name: str, folder: Path = FOLDER) -> Rows:
    """Return one evidence table, checked, by id; what a row leaves empty is NaN in numbers and empty text in text.

    Parameters
    ----------
    name : str
        A key of `tables.TABLES`: the file's name without ``.tsv``.
    folder : Path
        Where the tables lie.

    Returns
    -------
    mapping of str to Row
        ``strata`` comes with one column more, ``hr_flag``: what is odd about a hazard ratio beside its medians, else
        empty.

    Raises
    ------
    InputError
        With every fault of the table: a column too many or too few, a value of the wrong type or no word of its list,
        a repeated id, a row without source, an unknown reference, a value outside its own range, a hazard ratio that
        no curves with the medians beside it can have.
    """
    return _rows(name, Path(folder))


def load(name: str, folder: Path = FOLDER) -> "pd.DataFrame":
    """Return what `rows` does as a table, indexed by its first column (``id`` or ``key``); the caller may change it."""
    import pandas as pd  # noqa: PLC0415  takes long to load, and the stages of a patient do without

    found = rows(name, folder)
    key, *columns = TABLES[name].columns
    columns += ["hr_flag"] if name == "strata" else []
    index = pd.Index(list(found), name=key, dtype=None if found else object)
    return pd.DataFrame({c: [row[c] for row in found.values()] for c in columns}, index=index)


def table_of(evidence_id: str, folder: Path = FOLDER) -> str:
    """Return the table that has a row of this id; empty where none has."""
    return next(iter(_tables_of_ids(Path(folder)).get(evidence_id, ())), "")


def forget() -> None:
    """Read tables again that were written since they were loaded; for the scripts that fit them."""
    _rows.cache_clear()
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
def _rows(name: str, folder: Path) -> Rows:
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
    key, *columns = table.columns
    texts = _texts(path, table)
    refuse_all(fault for text in texts for fault in _cell_faults(path, text, table))
    data = [Row(text[key], {c: _value(text[c], table.columns[c]) for c in columns}) for text in texts]
    refuse_all(fault for check in (*_ALWAYS, *_EXTRA.get(name, ())) for fault in check(path, data, folder))
    if name == "strata":
        flags = _hr_flags(data)
        data = [Row(row.id, {**{c: row[c] for c in columns}, "hr_flag": flags[row.id]}) for row in data]
    return MappingProxyType({row.id: row for row in data})


def _texts(path: Path, table: Table) -> list[dict[str, str]]:
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


def _id_faults(path: Path, data: Sequence[Row], folder: Path) -> Iterator[Fault]:
    """Yield ids that stand twice in a table, or in another table as well: results name a row by its id alone."""
    times = Counter(row.id for row in data)
    for name in (name for name, n in times.items() if n > 1):
        yield Fault(str(path), name, "a repeated id", "each id once", "rename or join the rows")
    for name in times:
        others = [f"{table}.tsv" for table in _tables_of_ids(folder).get(name, ()) if table != path.stem]
        if others:
            found = f"an id that {' and '.join(others)} has too"
            yield Fault(str(path), name, found, "each id in one table", "rename the row")


def _source_faults(path: Path, data: Sequence[Row], folder: Path) -> Iterator[Fault]:
    """Yield rows that do not say where their numbers are from."""
    if not data or "kind" not in data[0]:
        return
    known = _rows("references", folder)
    for row in data:
        needed = ("reason",) if row.kind == "assumption" else ("reference", "locator", "how_read")
        for column in needed:
            if not row[column]:
                expected = "why it is assumed" if column == "reason" else "a source"
                yield Fault(str(path), f"{row.id}: {column}", "nothing", expected, f"say it, or choose of {KINDS}")
        for reference in filter(None, (r.strip() for r in row.reference.split(";"))):
            if reference not in known:
                at = f"{row.id}: reference"
                yield Fault(str(path), at, repr(reference), "a key of references.tsv", "add it there")


def _range_faults(path: Path, data: Sequence[Row], _folder: Path) -> Iterator[Fault]:
    """Yield values outside their own range."""
    columns = set(TABLES[path.stem].columns)
    triples = [(c, f"{c}_low", f"{c}_high") for c in columns if {f"{c}_low", f"{c}_high"} <= columns]
    triples += [("median_months", "median_low", "median_high")] if "median_months" in columns else []
    triples += [("central", "low", "high")] if {"central", "low", "high"} <= columns else []
    for value, low, high in sorted(triples):
        for row in data:
            if row[low] > row[value] or row[value] > row[high] or row[low] > row[high]:
                found = f"{row[low]:g} .. {row[value]:g} .. {row[high]:g}"
                expected = f"{low} <= {value} <= {high}"
                yield Fault(str(path), f"{row.id}: {value}", found, expected, "read the source again")


def _comparison_faults(path: Path, data: Sequence[Row], folder: Path) -> Iterator[Fault]:
    known = _rows("survival", folder)
    for row in data:
        if row.comparison not in known:
            expected = "an id of survival.tsv"
            yield Fault(str(path), f"{row.id}: comparison", repr(row.comparison), expected, "add it there")


def _hr_faults(path: Path, data: Sequence[Row], folder: Path) -> Iterator[Fault]:
    """Yield hazard ratios that no two log-logistic curves with these medians can have, and that nothing explains."""
    survival, shapes = _rows("survival", folder), _rows("shapes", folder)
    for row, median_ratio in _hr_beside_medians(data):
        if row.comparison not in survival:
            continue
        of = survival[row.comparison]
        fits = [
            float(shape.high)
            for shape in shapes.values()
            if shape.endpoint == of.endpoint and set(shape.primary.split(";")) & set(of.primary.split(";"))
        ]
        largest = median_ratio ** max(fits or (float(shape.high) for shape in shapes.values()))
        if row.hr > largest and not row.hr_remark:
            found = f"{row.hr:g} beside medians {median_ratio:.3g} times apart"
            expected = f"at most {largest:.3g}, the largest of two log-logistic curves"
            yield Fault(str(path), f"{row.id}: hr", found, expected, "read the source again, or say why in `hr_remark`")


def _hr_beside_medians(strata: Sequence[Row]) -> Iterator[tuple[Row, float]]:
    """Yield each stratum with a hazard ratio above 1 and two printed medians, and how far these are apart."""
    first: dict[str, Row] = {}
    for row in strata:
        against = first.setdefault(row.comparison, row)
        median_ratio = against.median_months / row.median_months if row.median_months else math.nan
        if row is not against and row.hr > 1 and median_ratio > 1 and not (against.lower_bound or row.lower_bound):
            yield row, float(median_ratio)


def _hr_flags(strata: Sequence[Row]) -> dict[str, str]:
    """Return for each stratum what is odd about its hazard ratio: the row's own remark, or the shape it implies."""
    flags: dict[str, str] = {row.id: row.hr_remark for row in strata}
    low, high = IMPLIED_SHAPE
    for row, median_ratio in _hr_beside_medians(strata):
        shape = math.log(row.hr) / math.log(median_ratio)
        if row.hr_type == "univariable" and not low <= shape <= high and not flags[row.id]:
            flags[row.id] = f"hazard ratio and medians imply a Weibull shape of {shape:.2f}"
    return flags


_Check = Callable[[Path, Sequence[Row], Path], Iterator[Fault]]
_ALWAYS: tuple[_Check, ...] = (_id_faults, _source_faults, _range_faults)
_EXTRA: dict[str, tuple[_Check, ...]] = {"strata": (_comparison_faults, _hr_faults)}
