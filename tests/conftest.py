"""What all tests share: the demonstration, run once, and the rule that each test says of which kind it is."""

import pytest

from ctcascade import evidence
from ctcascade.evidence import citations, library
from tests.support.browser import browser  # noqa: F401  (a fixture)
from tests.support.runs import demonstration, run_snakemake
from tests.support.sheets import folder  # noqa: F401  (a fixture)

KINDS = {"unit", "oracle", "property", "regression", "workflow", "browser", "real"}


def pytest_collection_modifyitems(items):
    """Refuse a test without a kind; a module gives its tests a kind by `pytestmark`, and a test may add its own."""
    without = [item.nodeid for item in items if not KINDS & {mark.name for mark in item.iter_markers()}]
    if without:
        raise pytest.UsageError(f"no kind ({', '.join(sorted(KINDS))}) on: " + ", ".join(without))
    for item in items:
        if "demo" in item.fixturenames and not item.get_closest_marker("workflow"):
            item.add_marker("workflow")


@pytest.fixture(scope="session")
def snakemake():
    return run_snakemake


@pytest.fixture(scope="session")
def demo(tmp_path_factory, worker_id):
    """The demonstration, run once for all processes that run tests."""
    place = tmp_path_factory.getbasetemp()
    run = demonstration(place if worker_id == "master" else place.parent)
    assert run.code == 0, run.output
    return run


@pytest.fixture
def tables_read(monkeypatch):
    """The names of the evidence tables that are loaded during a test."""
    names = set()
    for module, name in ((evidence, "load"), (evidence, "rows"), (citations, "rows")):
        monkeypatch.setattr(module, name, _recording(getattr(library, name), names))
    return names


def _recording(read, names):
    return lambda name, *where: (names.add(name), read(name, *where))[1]
