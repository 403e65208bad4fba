"""Runs of the workflow as a user makes them; the demonstration runs once for all tests that look at its results."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Run:
    """A finished run: where, what it printed (both streams), how it ended."""

    folder: Path
    output: str
    code: int

    @property
    def results(self):
        return self.folder / "results"


def run_snakemake(folder, *args, cores=2):
    """Run the workflow in a folder, the way `snakemake -s REPO/Snakefile --directory RUN` does."""
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "-s",
        ROOT / "Snakefile",
        "--directory",
        folder,
        "--cores",
        str(cores),
    ]
    done = subprocess.run([*command, *args], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    return Run(Path(folder), done.stdout, done.returncode)


@pytest.fixture(scope="session")
def snakemake():
    return run_snakemake


@pytest.fixture(scope="session")
def demo(tmp_path_factory):
    """The demonstration, run once, in a folder of its own."""
    run = run_snakemake(tmp_path_factory.mktemp("demo"))
    assert run.code == 0, run.output
    return run
