"""The lock of the results folder, its clean-up, and the one private field of Snakemake that the workflow sets."""

import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numba
import pytest

from ctcascade.data import results_folder
from ctcascade.data.errors import InputError
from ctcascade.formats import image_files
from ctcascade.images import labels

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


def waiting(folder, least, arrivals):
    """Run the workflow's `wait_for_images` by a clock that only sleeping moves; `arrivals` come while it sleeps."""
    (function,) = re.findall(r"(?ms)^def wait_for_images.*?(?=^\S)", COMMON.read_text(encoding="utf-8"))
    now, said = [1000.0], []

    def sleep(seconds):
        now[0] += seconds
        for path in arrivals[:1]:
            path.write_bytes(b"x")
            os.utime(path, (now[0], now[0]))
        del arrivals[:1]

    def listed(name):
        paths = sorted(folder.glob("*.tif"))
        return SimpleNamespace(images=tuple(paths))

    names = {
        "image_files": image_files,
        "study": SimpleNamespace(settings=SimpleNamespace(images_settled_s=least), samples=["S1"]),
        "listed": listed,
        "list_frames": None,
        "time": SimpleNamespace(time=lambda: now[0], sleep=sleep),
        "sys": SimpleNamespace(stderr=None),
        "print": lambda text, **_: said.append(text),
    }
    exec(function, names)
    names["wait_for_images"]()
    return now[0] - 1000.0, said


def test_a_run_waits_until_images_are_as_old_as_the_settings_say_and_again_for_those_that_come(tmp_path):
    first = tmp_path / "a.tif"
    first.write_bytes(b"x")
    os.utime(first, (990.0, 990.0))
    took, said = waiting(tmp_path, 25, [])
    assert took == pytest.approx(15.1)
    assert said[0].startswith(f"S1: image files changed in the last minute: 1, the last {first}, 10 s ago.")
    assert said[1:] == [f"S1: waiting until {first} is 25 s old"]
    second = tmp_path / "b.tif"
    took, said = waiting(tmp_path, 25, [second])
    assert took == pytest.approx(15.1 + 25.1)
    assert said[1:] == [f"S1: waiting until {path} is 25 s old" for path in (first, second)]
    second.unlink()
    assert waiting(tmp_path, 0, []) == (0, [said[0]])


def test_an_image_that_goes_while_its_age_is_asked_for_is_named(tmp_path):
    gone = SimpleNamespace(images=(tmp_path / "gone.tif",))
    with pytest.raises(InputError, match=r"gone\.tif: found a file that was listed a moment ago, and now: No such"):
        image_files.youngest(gone, 0.0)


def test_kernels_are_compiled_where_no_folder_for_them_can_be_written(monkeypatch):
    njit = numba.njit

    def without_a_place(*given, cache=False, **how):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")  # as numba says it
        return njit(*given, **how)

    monkeypatch.setattr(numba, "njit", without_a_place)

    def twice(x):  # pragma: no cover - compiled
        return 2 * x

    assert labels.kernel(twice)(21) == 42
