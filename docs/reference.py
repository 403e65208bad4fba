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
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ctcascade import evidence
from ctcascade.__main__ import main as cli
from ctcascade.evidence.tables import TABLES as EVIDENCE
from ctcascade.report.dictionary import dictionary, keys, rows
from ctcascade.study.settings import Settings

ROOT = Path(__file__).parents[1]


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
    yield from dictionary()


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


PAGES: dict[str, Callable[[], Iterator[str]]] = {
    "commands": commands_page,
    "settings": settings_page,
    "results": results_page,
    "evidence": evidence_page,
}

if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build" / "reference")
