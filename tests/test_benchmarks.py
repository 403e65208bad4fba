import ast
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[1]
COLLECTED = [*ROOT.glob("benchmarks/bench_*.py"), *ROOT.glob("verification/verify_*.py")]


@pytest.mark.parametrize("path", COLLECTED, ids=lambda path: path.stem)
def test_what_is_collected_by_its_name_has_rows(path):
    body = ast.parse(path.read_text(encoding="utf-8")).body
    assert "rows" in {node.name for node in body if isinstance(node, ast.FunctionDef)}


def test_both_folders_have_something_to_collect():
    assert {path.parent.name for path in COLLECTED} == {"benchmarks", "verification"}
