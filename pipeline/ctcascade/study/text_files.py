"""What people write by hand, YAML files and sheets, as plain values, with every fault found at once.

`description` in a schema is what a fault says was expected, and the first of `examples` what to write instead: the
schema is the one place where both stand.
"""

import csv
import difflib
import functools
import io
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

import jsonschema
import yaml

from ctcascade.data.errors import Fault, plain

_SCHEMAS = Path(__file__).parent / "schemas"
_LARGEST_BYTES = 32 * 2**20
_SEPARATED = {"\t": "tab", ",": "comma"}
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


class Row(NamedTuple):
    """A line of a sheet; its cells by column (None where empty) are typed as far as they are `sound`."""

    line: int
    cells: dict[str, Any]
    sound: bool


class _Loader(yaml.SafeLoader):
    """Plain data only: no object tags, no aliases (a few lines of them can unfold to gigabytes), no key twice."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.MarkedYAMLError(problem="an alias", problem_mark=self.peek_event().start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"{key.value!r} a second time", problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path, faults: list[Fault]) -> dict[str, Any]:
    """Return the mapping that a YAML file holds; an empty one, and a fault more, where it holds none."""
    text = _read_text(path, faults)
    if text is None:
        return {}
    try:
        # _Loader is a SafeLoader; values that YAML itself cannot make (the 40th of May) are ValueErrors
        found = yaml.load(text, _Loader)  # noqa: S506
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        faults.append(Fault(str(path), *_yaml_trouble(error), "a YAML file of plain values", "mend the YAML"))
        return {}
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        faults.append(Fault(str(path), "", plain(found), "a YAML mapping (name: value)", "write `name: value` lines"))
        return {}
    return found


def read_sheet(path: Path, schema_name: str, faults: list[Fault], delimiter: str = "\t") -> list[Row]:
    """Return the rows of a sheet of separated cells, typed and checked by the schema of a row."""
    text = _read_text(path, faults)
    if text is None:
        return []
    row_schema = schema(schema_name)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        lines = [(reader.line_num, [c.strip() for c in cells]) for cells in reader if any(c.strip() for c in cells)]
    except csv.Error as error:
        wanted = f"{_SEPARATED[delimiter]}-separated text"
        faults.append(Fault(str(path), f"line {reader.line_num}", str(error), wanted, "mend the line"))
        return []
    if len(lines) < 2:
        faults.append(Fault(str(path), "", "no row below the header", "a header and one row or more", "add rows"))
    if not lines:
        return []
    header = lines[0][1]
    wrong = _header_faults(str(path), header, row_schema, _SEPARATED[delimiter])
    faults.extend(wrong)
    return [] if wrong else list(_typed_rows(str(path), header, lines[1:], row_schema, faults))


def check(value: object, by: Mapping[str, Any], file: str, at: str = "", partial: bool = False) -> list[Fault]:
    """Return every fault of `value` against a schema; with `partial`, names that are missing are none."""
    faults: dict[Fault, None] = {}  # keeps the order, and one of each
    for error in sorted(
        _Validator(by, format_checker=_BASE.FORMAT_CHECKER).iter_errors(value),
        key=lambda e: [str(p) for p in e.absolute_path],
    ):
        if not (partial and error.validator == "required"):
            faults.update(dict.fromkeys(_explain(error, file, at)))
    return list(faults)


@functools.cache
def schema(name: str) -> dict[str, Any]:
    """Return one of the package's own schemas."""
    return yaml.safe_load((_SCHEMAS / f"{name}.yaml").read_text(encoding="utf-8"))


def nearest(word: str, words: list[str], else_say: str) -> str:
    """Return the "did you mean" that ends a fault, or `else_say` where nothing comes near."""
    # case is no reason to miss a likeness
    near = difflib.get_close_matches(word.lower(), [w.lower() for w in words], n=1, cutoff=0.6)
    found = [w for w in words if near and w.lower() == near[0]]
    return f"did you mean {found[0]}?" if found else else_say


def typed(text: str, by: Mapping[str, Any]) -> Any:
    """Return text as the number, truth value or list that a schema wants there, or unchanged where it is none."""
    kind = by.get("type")
    if kind in ("number", "integer") and _NUMBER.fullmatch(text):
        number = float(text)
        return int(number) if kind == "integer" and number.is_integer() else number
    if kind == "boolean" and text.lower() in ("true", "false"):
        return text.lower() == "true"
    if kind == "array":
        parts = [part.strip() for part in text.strip("[]").split(by.get("separator", ",")) if part.strip()]
        return [typed(part, by["items"]) for part in parts]
    return text


def _read_text(path: Path, faults: list[Fault]) -> str | None:
    wanted = "UTF-8 text"
    try:
        if path.is_file() and path.stat().st_size > _LARGEST_BYTES:
            faults.append(Fault(str(path), "", f"{path.stat().st_size} bytes", f"at most {_LARGEST_BYTES}", "split it"))
            return None
        if not path.is_file():
            faults.append(Fault(str(path), "", "no such file", wanted, "mend the name, or make the file"))
            return None
        data = path.read_bytes()
        text = data.decode("utf-8-sig")
    except OSError as error:
        faults.append(Fault(str(path), "", error.strerror or str(error), wanted, "make it readable"))
        return None
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        faults.append(Fault(str(path), f"line {line}", "bytes that are no UTF-8", wanted, "save it as UTF-8"))
        return None
    if "\0" in text:
        faults.append(Fault(str(path), "", "zero bytes", wanted, "save it as UTF-8 text"))
        return None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _yaml_trouble(error: Exception) -> tuple[str, str]:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem and error.problem_mark:
        return f"line {error.problem_mark.line + 1}", plain(error.problem)
    return "", plain(error)


def _header_faults(file: str, header: list[str], by: Mapping[str, Any], mark: str) -> list[Fault]:
    known = list(by["properties"])
    if len(header) == 1 and header[0] not in known:
        wanted, todo = f"column names with {mark}s between", f"save as {mark}-separated text"
        return [Fault(file, "line 1", plain(header[0]), wanted, todo)]
    faults = []
    for number, name in enumerate(header, 1):
        at = f"line 1, column {number}"
        if name not in known:
            todo = nearest(name, known, "remove the column or mend its name")
            faults.append(Fault(file, at, f"an unknown column {plain(name)!r}", "one of " + ", ".join(known), todo))
        elif name in header[: number - 1]:
            faults.append(Fault(file, at, f"the column {name} a second time", "each column once", "remove one"))
    for name in by["required"]:
        if name not in header:
            faults.append(Fault(file, "line 1", f"no column {name}", by["properties"][name]["description"], "add it"))
    return faults


def _typed_rows(
    file: str, header: list[str], lines: list[tuple[int, list[str]]], by: Mapping[str, Any], faults: list[Fault]
) -> Iterator[Row]:
    for line, cells in lines:
        if len(cells) != len(header):
            wanted = f"{len(header)} cells as in the header"
            faults.append(Fault(file, f"line {line}", f"{len(cells)} cells", wanted, "mend the line"))
            continue
        row = {name: typed(cell, by["properties"][name]) for name, cell in zip(header, cells, strict=True) if cell}
        wrong = check(row, by, file, f"line {line}")
        faults.extend(wrong)
        yield Row(line, {name: row.get(name) for name in by["properties"]}, sound=not wrong)


def _explain(error: jsonschema.ValidationError, file: str, at: str) -> Iterator[Fault]:
    names = (step for step in error.absolute_path if isinstance(step, str))
    place = ", ".join(filter(None, (at, ".".join(names))))
    found = f"{error.instance:g}" if isinstance(error.instance, float) else plain(error.instance)
    by = cast(Mapping[str, Any], error.schema)
    if error.validator == "additionalProperties":
        known = list(by.get("properties", {}))
        # YAML makes numbers and days of names too
        for name in sorted(map(str, set(cast(Mapping[str, Any], error.instance)) - set(known))):
            todo = nearest(name, known, "remove it")
            yield Fault(file, place, f"an unknown name {plain(name)!r}", "one of " + ", ".join(known), todo)
    elif error.validator == "required":
        for name in sorted(set(by["required"]) - set(cast(Mapping[str, Any], error.instance))):
            yield Fault(file, place, f"no {name}", _wanted(by.get("properties", {}).get(name, by)), "add it")
    elif error.validator == "enum":
        wanted = "one of " + ", ".join(map(str, by["enum"]))
        todo = nearest(str(error.instance), [str(v) for v in by["enum"]], "choose one of them")
        yield Fault(file, place, found, wanted, todo)
    else:
        examples = by.get("examples", [])
        todo = f"write it like {examples[0]}" if examples else "mend the value"
        yield Fault(file, place, found, _wanted(by, error.message), todo)


def _wanted(by: Mapping[str, Any], otherwise: str = "a value") -> str:
    return str(by.get("description", otherwise))


def _is_number(_: object, value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


_BASE = jsonschema.Draft202012Validator
# no bound catches a NaN, and true is no 1
_Validator = jsonschema.validators.extend(_BASE, type_checker=_BASE.TYPE_CHECKER.redefine("number", _is_number))
