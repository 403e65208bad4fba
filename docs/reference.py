"""Write the reference from what the program itself declares: python docs/reference.py [FOLDER] (make docs).

results.md has every table and JSON result, stages.md every verb and public function, evidence.md every number
with its source. They are not kept in the repository: what is built cannot be out of date.
"""

import ast
import contextlib
import inspect
import io
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from ctcascade import evidence
from ctcascade.cli import main as cli
from ctcascade.data import results, tables
from ctcascade.evidence.tables import TABLES as EVIDENCE

ROOT = Path(__file__).parents[1]
TYPES = {"int": "whole number", "float": "number", "str": "text", "bool": "yes or no"} | {
    "ints": "list of whole numbers",
    "floats": "list of numbers",
}


def main(folder: Path) -> None:
    """Write the three pages into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    pages = {"results": results_page(), "stages": stages_page(), "evidence": evidence_page()}
    for name, lines in pages.items():
        (folder / f"{name}.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def results_page() -> Iterator[str]:
    """Yield the page of tables and JSON results, from `ctcascade.data.tables`."""
    yield "# Tables and results\n"
    for name, table in tables.TABLES.items():
        yield f"\n## {name}.parquet\n"
        columns = [(c.name, TYPES[c.dtype], "yes" if c.nullable else "", c.meaning) for c in table.columns]
        each = [(c.name, TYPES[c.dtype], "yes" if c.nullable else "", c.meaning) for c in table.per_role]
        yield from rows(("column", "type", "may be null", "meaning"), columns)
        if each:
            yield "\nOnce for each channel role:\n"
            yield from rows(("column", "type", "may be null", "meaning"), each)
    for name, declared in results.JSON_SCHEMAS.items():
        yield f"\n## {name}.json\n"
        yield from rows(("key", "type", "always there"), keys(declared))


def keys(declared: dict[str, Any], place: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield each key below a JSON schema: its path, its type, whether it is always there."""
    for name, inner in declared.get("properties", {}).items():
        here = f"{place}{name}"
        yield here, type_of(inner), "yes" if name in declared.get("required", ()) else ""
        for alternative in inner.get("anyOf", [inner]):
            yield from keys(alternative, f"{here}.")
            yield from keys(alternative.get("items", {}), f"{here}[].")
            if isinstance(alternative.get("additionalProperties"), dict):
                yield from keys(alternative["additionalProperties"], f"{here}.NAME.")


def type_of(declared: dict[str, Any]) -> str:
    """Return a JSON schema's type in a few words."""
    if "anyOf" in declared:
        return " or ".join(dict.fromkeys(type_of(alternative) for alternative in declared["anyOf"]))
    if "enum" in declared:
        return " / ".join(map(str, declared["enum"]))
    least = declared.get("minimum", declared.get("exclusiveMinimum"))
    most = declared.get("maximum", declared.get("exclusiveMaximum"))
    limits = [f"from {least}" if least is not None else "", f"to {most}" if most is not None else ""]
    return " ".join([str(declared.get("type", "any")), *filter(None, limits)])


def stages_page() -> Iterator[str]:
    """Yield the page of verbs, modules and public functions, from their own descriptions."""
    yield "# Verbs\n"
    for verb in ("", *verbs()):
        yield f"\n    ctcascade {verb} --help\n\n```\n{help_of(verb)}```"
    yield "\n# Modules\n"
    for path in sorted((ROOT / "pipeline").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        about = ast.get_docstring(tree)
        if about is None:
            continue
        yield f"\n## {module}\n\n{about}\n"
        for node in tree.body:
            public = isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
            if public and ast.get_docstring(node):
                arguments = f"({ast.unparse(node.args)})" if isinstance(node, ast.FunctionDef) else ""
                yield f"\n### {node.name}{arguments}\n\n```\n{inspect.cleandoc(ast.get_docstring(node) or '')}\n```"


def verbs() -> list[str]:
    """Return the verbs of the command line, as its help lists them."""
    return re.findall(r"^ {4}([a-z]+) ", help_of(""), re.MULTILINE)


def help_of(verb: str) -> str:
    """Return what a verb says about itself."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        cli([*verb.split(), "--help"])
    return said.getvalue()


def evidence_page() -> Iterator[str]:
    """Yield the page of every number with its source, from `ctcascade.evidence`."""
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
    return "| " + " | ".join(cell.replace("|", "\\|").replace("<", "&lt;") for cell in plain) + " |"


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "reference")
