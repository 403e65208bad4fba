"""Plain English: words that readers do not know stay out of code, messages and documents."""

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[1]
KINDS = {".css", ".html", ".js", ".md", ".py", ".pyi", ".rst", ".smk", ".toml", ".tsv", ".yaml", ".yml"}
NAMES = {"Dockerfile", "Makefile", "Snakefile"}
NOT_OURS = {".git", ".venv", ".snakemake", ".hypothesis", "build", "results", "logs", "training/.venv", "training/work"}
# Written in pieces, so that a search of the repository for these words does not find this file.
PIECES = (
    r"\bfore_?tol_?d\b",
    r"\bfore_?tel_?ls?\b",
    r"\bme_?nd(s|ed|ing)?\b",
    r"\bnou_?ght\b",
    r"\bso-man_?ieth\b",
    r"\ban_?ew\b",
    r"\bnone of ou_?rs\b",
    r"\bcells' ro_?ad\b",
    r"\bas far as it is n_?o\b",
)
UNKNOWN = re.compile("|".join(PIECES).replace("_?", ""), re.IGNORECASE)
OLD_ENTRIES = "CHANGELOG.md"


def texts():
    """The text files of the project, by their path from the root."""
    for path in sorted(ROOT.rglob("*")):
        name = path.relative_to(ROOT).as_posix()
        skipped = any(name == folder or name.startswith(f"{folder}/") for folder in NOT_OURS) or name == OLD_ENTRIES
        if not skipped and (path.suffix in KINDS or path.name in NAMES) and path.is_file():
            yield name, path.read_text(encoding="utf-8")


def test_no_word_that_readers_do_not_know():
    found = [
        f"{name}:{text.count(chr(10), 0, match.start()) + 1}: {match[0]}"
        for name, text in texts()
        for match in UNKNOWN.finditer(text)
    ]
    assert found == []


@pytest.mark.parametrize("word", ["fore" + "told", "me" + "nds", "an" + "ew", "NOU" + "GHT"])
def test_the_search_finds_such_a_word(word):
    assert UNKNOWN.search(f"What was {word} here")
    assert not UNKNOWN.search(f"What was amended or renewed, {word}ish")


def test_the_search_reads_code_pages_and_documents():
    names = {name for name, _ in texts()}
    assert {"README.md", "docs/architecture.md", "pipeline/ctcascade/calling/classify.py", "Snakefile"} - names <= {
        "Snakefile"
    }
    assert any(name.endswith(".html") for name in names)
    assert OLD_ENTRIES not in names
