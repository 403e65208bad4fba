"""The lock of the results folder, its clean-up, and the one private field of Snakemake that the workflow sets."""

import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from ctcascade.data import results_folder

pytestmark = pytest.mark.unit

COMMON = Path(__file__).parents[1] / "workflow" / "rules" / "common.smk"


def test_a_second_process_is_refused_and_names_the_first(tmp_path):
    assert results_folder.lock(tmp_path) == ""
    second = f"from ctcascade.data import results_folder; results_folder.lock({str(tmp_path)!r})"
    done = subprocess.run([sys.executable, "-c", second], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "another run that writes into it (process " in done.stderr


def test_only_what_is_half_written_is_removed(tmp_path):
    folder = tmp_path / "samples" / "S1" / "chunks"
    folder.mkdir(parents=True)
    for name in (".cells.parquet.x1.part", "cells.parquet", "notes.part"):
        (folder / name).write_text("")
    results_folder.remove_unfinished(tmp_path)
    assert {path.name for path in folder.iterdir()} == {"cells.parquet", "notes.part"}


@pytest.mark.parametrize(("version", "left"), [("9.27.1", None), ("9.27.2", "a limit"), ("9.28.0", "a limit")])
def test_the_scheduler_is_changed_only_in_the_version_that_it_was_tried_on(version, left):
    (function,) = re.findall(r"(?ms)^def let_scheduler_sleep.*?(?=^\S)", COMMON.read_text(encoding="utf-8"))
    scheduler = SimpleNamespace(job_rate_limiter="a limit")
    names = {"snakemake": SimpleNamespace(__version__=version), "workflow": SimpleNamespace(scheduler=scheduler)}
    exec(function, names)
    names["let_scheduler_sleep"]()
    assert scheduler.job_rate_limiter == left
