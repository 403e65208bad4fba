"""What every table and JSON result of a run holds, made from their declarations: the data dictionary.

It is part of the documentation, and lies as README.md in the results, so that they can be read without this program.
"""

import math
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ctcascade import __version__
from ctcascade.data import results, store, tables

TYPES = {"int": "whole number", "float": "number", "str": "text", "bool": "yes or no"} | {
    "ints": "list of whole numbers",
    "floats": "list of numbers",
    "bytes": "bytes",
}
_HEAD = f"""# Results of ctcascade {__version__}

For research use only. Not for use in diagnostic procedures.

Start with `index.html`: all patients and samples, with links to their pages. No page needs a server or the network.

| place | what |
| --- | --- |
| `index.html`, `cohort.csv`, `qc_mqc.tsv` | all patients and samples: the page, the same rows, a table for MultiQC |
| `patients/PATIENT/` | `report.html`, `cascade.json` (risk by organ), `prognosis.json` (published groups) |
| `samples/SAMPLE/` | `report.html` with `gallery.js` (copy both), `counts.json`, `quality.json`, tables of cells |
| `controls.json` | charts of control samples |
| `logs/`, `benchmarks/` | what each job said, and how long it took; no results |

Tables are Parquet (`pandas.read_parquet`). Units stand in the names; y comes before x. Every result says in
`provenance` what made it: software, settings, and the SHA-256 of its inputs. Not measured is null, never zero.
"""


def write_dictionary(path: Path) -> None:
    """Write the data dictionary as Markdown."""
    store.write_text(path, "\n".join([_HEAD, *dictionary()]) + "\n")


def dictionary() -> Iterator[str]:
    """Yield the lines that describe every table and JSON result."""
    for name, table in tables.TABLES.items():
        if name in tables.PASSING:
            continue
        yield f"\n## {name}.parquet\n"
        columns = [(c.name, TYPES[c.dtype], "yes" if c.nullable else "", c.meaning) for c in table.columns]
        each = [(c.name, TYPES[c.dtype], "yes" if c.nullable else "", c.meaning) for c in table.per_role]
        yield from rows(("column", "type", "may be null", "meaning"), columns)
        if each:
            yield "\nOnce for each channel role:\n"
            yield from rows(("column", "type", "may be null", "meaning"), each)
    for result in results.FILES:
        yield f"\n## {result.file_name}\n"
        yield from rows(("key", "type", "always there", "meaning"), keys(result.model_json_schema()))


def keys(schema: dict[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    """Yield each key of a JSON schema: its path, its type, whether it is always there, what it means."""
    known = schema.get("$defs", {})

    def resolved(part: dict[str, Any]) -> dict[str, Any]:
        return {**known[part["$ref"].rsplit("/", 1)[-1]], **part} if "$ref" in part else part

    def type_of(part: dict[str, Any]) -> str:
        part = resolved(part)
        if "anyOf" in part:
            return " or ".join(dict.fromkeys(type_of(alternative) for alternative in part["anyOf"]))
        if "const" in part:
            return str(part["const"])
        if "enum" in part:
            return " / ".join(map(str, part["enum"]))
        least = part.get("minimum", part.get("exclusiveMinimum"))
        most = part.get("maximum", part.get("exclusiveMaximum"))
        limits = [f"from {least}" if least is not None else "", f"to {most}" if most is not None else ""]
        kind = part.get("type", "any")
        return " ".join([" or ".join(kind) if isinstance(kind, list) else kind, *filter(None, limits)])

    def below(part: dict[str, Any], place: str) -> Iterator[tuple[str, str, str, str]]:
        for name, given in part.get("properties", {}).items():
            inner, here = resolved(given), f"{place}{name}"
            yield here, type_of(inner), "yes" if name in part.get("required", ()) else "", inner.get("description", "")
            for alternative in map(resolved, inner.get("anyOf", [inner])):
                yield from below(alternative, f"{here}.")
                yield from below(resolved(alternative.get("items", {})), f"{here}[].")
                values = alternative.get("additionalProperties")
                if isinstance(values, dict):
                    yield from below(resolved(values), f"{here}.NAME.")

    yield from below(resolved(schema), "")


def rows(head: Iterable[object], body: Iterable[Iterable[object]]) -> Iterator[str]:
    """Yield a table of Markdown; a cell without a value is empty."""
    head = list(head)
    yield line(head)
    yield line("---" for _ in head)
    yield from map(line, body)


def line(cells: Iterable[object]) -> str:
    """Return one row of a table of Markdown."""
    plain = [_plain(cell) for cell in cells]
    return "| " + " | ".join(re.sub(r"([|*`])", r"\\\1", c).replace("<", "&lt;") for c in plain) + " |"


def _plain(cell: object) -> str:
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    return f"{cell:g}" if isinstance(cell, float) else str(cell)
