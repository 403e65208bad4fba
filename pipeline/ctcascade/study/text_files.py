"""What people write by hand, YAML files and sheets: read with every fault found at once."""

import csv
import io
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import yaml

from ctcascade.data.errors import Fault, plain
from ctcascade.data.typed import Typed
from ctcascade.study import checking
from ctcascade.study.marks import FILL_IN, marked

_LARGEST_BYTES = 32 * 2**20
_SEPARATED = {"\t": "tab", ",": "comma", ";": "semicolon"}
_WORKBOOK = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # .xlsx and .ods, .xls
T = TypeVar("T", bound=Typed)


@dataclass(frozen=True)
class Row(Generic[T]):
    """A line of a sheet.

    Attributes
    ----------
    line : int
    text : dict of str to str
        Its cells by column, without the empty ones.
    value : Typed or None
        What they say; None where a cell has a fault.
    """

    line: int
    text: dict[str, str]
    value: T | None


class _Loader(yaml.SafeLoader):
    """Plain data only: no object tags, no aliases (a few lines of them can unfold to gigabytes), no key twice."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call,unused-ignore]
            raise yaml.MarkedYAMLError(problem="an alias", problem_mark=mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"{key.value!r} a second time", problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


_WHOLE = re.compile(r"[-+]?(?:0|[1-9][0-9_]*)$")
_FRACTION = re.compile(
    r"[-+]?(?:(?:0|[1-9][0-9_]*)\.[0-9_]*|\.[0-9][0-9_]*|(?:0|[1-9][0-9_]*)(?=[eE]))(?:[eE][-+]?[0-9]+)?$"
    r"|[-+]?\.(?:inf|Inf|INF)$|\.(?:nan|NaN|NAN)$"
)
_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
# no 12:30 for 750, no 010 for 8: such words stay text, which no number may be
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in known if tag not in _NUMBERS]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(_NUMBERS[0], _WHOLE, list("-+0123456789"))  # type: ignore[no-untyped-call,unused-ignore]
_Loader.add_implicit_resolver(_NUMBERS[1], _FRACTION, list("-+.0123456789"))  # type: ignore[no-untyped-call,unused-ignore]


def read_yaml(path: Path, faults: list[Fault], wanted: str = "UTF-8 text") -> dict[str, Any]:
    """Return the mapping that a YAML file holds; an empty one, and a fault more, where it holds none.

    `wanted` is what a fault says was expected where there is no file, or none that can be read as text.
    """
    text = _read_text(path, faults, wanted)
    if text is None:
        return {}
    try:
        # _Loader is a SafeLoader; values that YAML itself cannot make (the 40th of May) are ValueErrors
        found = yaml.load(text, _Loader)  # noqa: S506
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        faults.append(Fault(str(path), *_yaml_trouble(error), "a YAML file of plain values", "fix the YAML"))
        return {}
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        faults.append(Fault(str(path), "", plain(found), "a YAML mapping (name: value)", "write `name: value` lines"))
        return {}
    return found


def read_sheet(path: Path, kind: type[T], faults: list[Fault], delimiter: str = "\t") -> list[Row[T]]:
    """Return the rows of a sheet of separated cells, each checked as a `kind`, whose fields are the columns.

    Spreadsheets save tabs, commas or semicolons; the header tells which, `delimiter` where it does not.
    """
    text = _read_text(path, faults)
    if text is None:
        return []
    delimiter = _delimiter(text, checking.columns(kind), delimiter)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        lines = [(reader.line_num, [c.strip() for c in cells]) for cells in reader if any(c.strip() for c in cells)]
    except csv.Error as error:
        wanted = f"{_SEPARATED[delimiter]}-separated text"
        faults.append(Fault(str(path), f"line {reader.line_num}", str(error), wanted, "fix the line"))
        return []
    if len(lines) < 2:
        faults.append(Fault(str(path), "", "no row below the header", "a header and one row or more", "add rows"))
    if not lines:
        return []
    header = lines[0][1]
    while not header[-1]:  # a spreadsheet adds empty columns
        header.pop()
    wrong = _header_faults(str(path), header, kind, _SEPARATED[delimiter])
    faults.extend(wrong)
    return [] if wrong else list(_typed_rows(str(path), header, lines[1:], kind, faults))


def _delimiter(text: str, columns: Collection[str], otherwise: str) -> str:
    """Return the sign that divides the first line into most names of columns."""
    header = next((line for line in text.splitlines() if line.strip()), "")

    def known(sign: str) -> int:
        return sum(cell.strip().strip('"') in columns for cell in header.split(sign))

    best = max(_SEPARATED, key=known)
    return best if known(best) > max(1, known(otherwise)) else otherwise


def _read_text(path: Path, faults: list[Fault], wanted: str = "UTF-8 text") -> str | None:
    try:
        if path.is_file() and path.stat().st_size > _LARGEST_BYTES:
            faults.append(Fault(str(path), "", f"{path.stat().st_size} bytes", f"at most {_LARGEST_BYTES}", "split it"))
            return None
        if not path.is_file():
            faults.append(Fault(str(path), "", "no such file", wanted, "fix the name, or make the file"))
            return None
        text = _decoded(path.read_bytes())
    except OSError as error:
        faults.append(Fault(str(path), "", error.strerror or str(error), wanted, "make it readable"))
        return None
    if isinstance(text, str):
        return text.replace("\r\n", "\n").replace("\r", "\n")
    at, found, todo = text
    faults.append(Fault(str(path), at, found, wanted, todo))
    return None


def _decoded(data: bytes) -> str | tuple[str, str, str]:
    """Return the text of a file, or the line, what was found there, and what to do."""
    if data.startswith(_WORKBOOK):
        return "", "a workbook of a spreadsheet", "save its sheet as CSV UTF-8 or as Unicode text"
    try:
        text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError as error:
        near = plain(data[max(0, error.start - 12) : error.start + 12].decode("cp1252", "replace").strip())
        found = f"bytes that are not UTF-8 (in another encoding perhaps {near!r})"
        at = f"line {data[: error.start].count(bytes([10])) + 1}"
        return at, found, "save it as UTF-8 (in a spreadsheet: CSV UTF-8, or Unicode text)"
    return ("", "zero bytes", "save it as UTF-8 text") if "\0" in text else text


def _yaml_trouble(error: Exception) -> tuple[str, str]:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem and error.problem_mark:
        return f"line {error.problem_mark.line + 1}", plain(error.problem)
    return "", plain(error)


def _header_faults(file: str, header: list[str], kind: type[Typed], mark: str) -> list[Fault]:
    columns = checking.columns(kind)
    known = list(columns)
    if len(header) == 1 and header[0] not in known:
        wanted, todo = f"column names with {mark}s between", f"save as {mark}-separated text"
        return [Fault(file, "line 1", plain(header[0]), wanted, todo)]
    faults = []
    for number, name in enumerate(header, 1):
        at = f"line 1, column {number}"
        if name not in known:
            todo = checking.nearest(name, known, "remove the column or fix its name")
            faults.append(Fault(file, at, f"an unknown column {plain(name)!r}", "one of " + ", ".join(known), todo))
        elif name in header[: number - 1]:
            faults.append(Fault(file, at, f"the column {name} a second time", "each column once", "remove one"))
    for name, field in kind.model_fields.items():
        if field.is_required() and name not in header:
            faults.append(Fault(file, "line 1", f"no column {name}", columns[name]["description"], "add it"))
    return faults


def _typed_rows(
    file: str, header: list[str], lines: list[tuple[int, list[str]]], kind: type[T], faults: list[Fault]
) -> Iterator[Row[T]]:
    columns, whole = checking.columns(kind), checking.schema(kind)
    for line, given in lines:
        # spreadsheets add empty cells at the end of a line, or leave them out
        cells = [*given, *[""] * (len(header) - len(given))]
        while len(cells) > len(header) and not cells[-1]:
            cells.pop()
        if len(cells) != len(header):
            wanted = f"{len(header)} cells as in the header"
            faults.append(Fault(file, f"line {line}", f"{len(cells)} cells", wanted, "fix the line"))
            continue
        text = {name: cell for name, cell in zip(header, cells, strict=True) if cell}
        left = [name for name, cell in text.items() if cell == FILL_IN]
        if left:
            wanted = "; ".join(str(columns[name].get("description", name)) for name in left)
            faults.append(marked(file, f"line {line}, {', '.join(left)}", wanted))
            yield Row(line, {name: cell for name, cell in text.items() if name not in left}, None)
            continue
        typed = {name: checking.from_text(cell, columns[name], whole) for name, cell in text.items()}
        yield Row(line, text, checking.check(kind, typed, file, faults, f"line {line}"))
