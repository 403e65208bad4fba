"""The tests themselves: what they may not do."""

import ast
from pathlib import Path

import pytest

from tests.mutants import MUTANTS, ROOT

pytestmark = pytest.mark.unit

TESTS = Path(__file__).parent
FILES = sorted([*TESTS.glob("*.py"), *TESTS.glob("support/*.py")])
OUTSIDE = [path for folder in ("verification", "benchmarks") for path in TESTS.parent.joinpath(folder).rglob("*.py")]


def asserts(nodes):
    """Whether something among the nodes says what must hold: an assertion, one of numpy's, or an expected error."""
    words = ("assert", "raises", "fail")
    return any(
        isinstance(node, ast.Assert)
        or (isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2].startswith(words))
        for top in nodes
        for node in ast.walk(top)
    )


def one_sided(tree):
    """The lines of tests where an `if` asserts and its other branch does not: where it is false nothing is tested."""
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name.startswith("test"))
    conditions = (node for function in functions for node in ast.walk(function) if isinstance(node, ast.If))
    return [node.lineno for node in conditions if asserts(node.body) != asserts(node.orelse)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_assertion_stands_only_under_an_if(path):
    assert one_sided(ast.parse(path.read_text(encoding="utf-8"))) == []


def test_such_an_assertion_is_found():
    assert one_sided(ast.parse("def test_a(x):\n    if x:\n        assert x > 1\n")) == [2]
    assert one_sided(ast.parse("def test_a(x):\n    if x:\n        assert x\n    else:\n        assert not x\n")) == []


@pytest.mark.parametrize("path", FILES + OUTSIDE, ids=lambda path: path.stem)
def test_no_test_imports_a_test_and_none_changes_the_path(path):
    text = path.read_text(encoding="utf-8")
    imported = [n.module for n in ast.walk(ast.parse(text)) if isinstance(n, ast.ImportFrom) and n.module]
    assert not [name for name in imported if name.split(".")[-1].startswith("test_") or name.endswith("conftest")]
    assert "sys.path." + "insert" not in text


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_each_edit_of_the_mutants_matches_the_code_once(mutant):
    assert (ROOT / mutant.file).read_text(encoding="utf-8").count(mutant.old) == 1
    assert [test for test in mutant.first.split() if not (ROOT / test).exists()] == []
