"""Write the reference pages that are made from declarations: python docs/reference.py [FOLDER].

commands.md has what each command says of itself, settings.md every setting, results.md every table and JSON result,
evidence.md every number with its source. The pages are parts of the site (`make docs`) and are not kept in the
repository, so that they cannot be out of date. Functions are documented by mkdocstrings.
"""

import contextlib
import io
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from ctcascade import evidence
from ctcascade.__main__ import main as cli
from ctcascade.data import results, tables
from ctcascade.evidence.tables import TABLES as EVIDENCE
from ctcascade.study.settings import Settings

ROOT = Path(__file__).parents[1]
TYPES = {"int": "whole number", "float": "number", "str": "text", "bool": "yes or no"} | {
    "ints": "list of whole numbers",
    "floats": "list of numbers",
    "bytes": "bytes",
}


def main(folder: Path) -> None:
    """Write the pages into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, lines in PAGES.items():
        (folder / f"{name}.md").write_text("\n".join(lines()) + "\n", encoding="utf-8")


def commands_page() -> Iterator[str]:
    """Yield the page of the command line: what each command says of itself."""
    yield "# Commands\n"
    for verb in ("", *verbs()):
        yield f"\n## ctcascade {verb}\n\n    ctcascade {verb} --help\n\n```\n{help_of(verb)}```"


def verbs() -> list[str]:
    """Return the verbs of the command line, as its help lists them."""
    return re.findall(r"^ {4}([a-z]+) ", help_of(""), re.MULTILINE)


def help_of(verb: str) -> str:
    """Return what a verb says of itself."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        cli([*verb.split(), "--help"])
    return said.getvalue()


def settings_page() -> Iterator[str]:
    """Yield the page of all settings of config/config.yaml."""
    yield "# Settings\n"
    yield "They are changed in a file of your own (`--configfile my.yaml`) or by `--config NAME=VALUE`; see"
    yield "[Sheets, settings, assays](../config.md#settings).\n"
    defaults = Settings().as_json()
    found = [
        (name, kind, _default(defaults, name), about) for name, kind, _, about in keys(Settings.model_json_schema())
    ]
    yield from rows(("setting", "type", "default", "meaning"), found)


def _default(defaults: dict[str, Any], name: str) -> str:
    value: Any = defaults
    for part in name.split("."):
        value = value[part]
    return "" if isinstance(value, dict) else json.dumps(value)


def results_page() -> Iterator[str]:
    """Yield the page of tables and JSON results."""
    yield "# Tables and results\n"
    for name, table in tables.TABLES.items():
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


def evidence_page() -> Iterator[str]:
    """Yield the page of every number with its source."""
    yield "# Evidence\n"
    for name in EVIDENCE:
        found = evidence.load(name)
        yield f"\n## {name}\n"
        if "kind" in found:
            kinds = found["kind"].value_counts().sort_index()
            yield ", ".join(f"{n} {kind}" for kind, n in kinds.items()) + "\n"
        yield from rows((found.index.name, *found.columns), ((key, *row) for key, *row in found.itertuples()))


def rows(head: Iterable[object], body: Iterable[Iterable[object]]) -> Iterator[str]:
    """Yield a table of Markdown; a cell without a value is empty."""
    head = list(head)
    yield line(head)
    yield line("---" for _ in head)
    yield from map(line, body)


def line(cells: Iterable[object]) -> str:
    """Return one row of a table of Markdown."""
    plain = ["" if pd.isna(cell) else f"{cell:g}" if isinstance(cell, float) else str(cell) for cell in cells]
    return "| " + " | ".join(re.sub(r"([|*`])", r"\\\1", c).replace("<", "&lt;") for c in plain) + " |"


PAGES: dict[str, Callable[[], Iterator[str]]] = {
    "commands": commands_page,
    "settings": settings_page,
    "results": results_page,
    "evidence": evidence_page,
}

if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build" / "reference")
