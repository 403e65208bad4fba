"""Between types of processor: the same calls, counts and frame states, and numbers equal to one in a million.

One run has the vector extensions switched off in every library that chooses its code by the processor; the other is the
demonstration on whatever this machine has. (Cores and chunks: test_workflow. Slurm: on_slurm.)
"""

import os
import subprocess
import sys

import cv2
import numpy as np
import pandas as pd
import pytest
from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__

from ctcascade.data import store
from ctcascade.study import jobs, sheets
from tests.support.json_results import read_result
from tests.support.runs import ROOT

SAMPLE = "P01_1"
CLOSE = 1e-6
CHOSEN_BY_NUMPY = [name for name in __cpu_dispatch__ if __cpu_features__.get(name)]
CHOSEN_BY_OPENCV = [name.strip("*") for name in cv2.getCPUFeaturesLine().split() if name.startswith("*")]
PLAIN = {
    "NPY_DISABLE_CPU_FEATURES": " ".join(CHOSEN_BY_NUMPY),
    "OPENCV_CPU_DISABLE": ",".join(CHOSEN_BY_OPENCV),
    "NUMBA_CPU_NAME": "generic",
    "NUMBA_CPU_FEATURES": "",
    "OPENBLAS_CORETYPE": "Prescott",
    "ARROW_USER_SIMD_LEVEL": "NONE",
}
STILL_ON = """
import cv2
from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__
from tests.support.json_results import read_result
print(*(name for name in __cpu_dispatch__ if __cpu_features__.get(name)))
print(*(name for name in cv2.getCPUFeaturesLine().split() if name.startswith("*") and not name.endswith("?")))
"""
pytestmark = [
    pytest.mark.workflow,
    pytest.mark.skipif(not (CHOSEN_BY_NUMPY and CHOSEN_BY_OPENCV), reason="this processor has nothing to switch off"),
]


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """The sample's results without vector extensions."""
    out = tmp_path_factory.mktemp("plain")
    places = {name: str(ROOT / "config" / f"{name}.tsv") for name in ("samples", "patients")}
    study = sheets.read_study([ROOT / "config" / "config.yaml"], places)
    table = {name: str(out / f"{name}.parquet") for name in ("frames", "cells", "calls")}
    read = ["--frames", table["frames"]]
    verbs = {
        "detect": [*read, "--cells", table["cells"], "--base", str(study.base)],
        "classify": [*read, "--cells", table["cells"], "--out", table["calls"]],
        "count": [*read, "--calls", table["calls"], "--cells", table["cells"], "--out", str(out / "counts.json")],
    }
    without = {**os.environ, **PLAIN, "NUMBA_CACHE_DIR": str(out / "compiled")}
    said = subprocess.run([sys.executable, "-c", STILL_ON], env=without, capture_output=True, text=True, check=True)
    assert said.stdout.split() == []
    for verb, arguments in verbs.items():
        settings = jobs.job_for(study, verb, sample=SAMPLE).model_dump_json()
        start = [sys.executable, "-m", "ctcascade", verb, "--settings", settings, *arguments]
        subprocess.run(start, env=without, capture_output=True, check=True)
    return out


@pytest.mark.parametrize("kind", ["frames", "cells", "calls"])
def test_tables_do_not_depend_on_the_processor(kind, demo, plain):
    here = store.read_table(demo.results / "samples" / SAMPLE / f"{kind}.parquet", kind)
    there = store.read_table(plain / f"{kind}.parquet", kind)
    assert len(here) > 0
    pd.testing.assert_frame_equal(there, here, rtol=CLOSE, atol=0)


def test_counts_do_not_depend_on_the_processor(demo, plain):
    here, there = (
        read_result(folder / "counts.json", "counts") for folder in (demo.results / "samples" / SAMPLE, plain)
    )
    for counts in (here, there):
        for key in ("inputs", "content_sha256"):  # hashes of numbers that may differ in the last digits
            del counts["provenance"][key]
    numbers, others = zip(*(_parted(counts) for counts in (here, there)), strict=True)
    assert others[0] == others[1]
    assert len(numbers[0]) > 5
    np.testing.assert_allclose(numbers[1], numbers[0], rtol=CLOSE)


def _parted(value):
    """The real numbers inside a JSON value, in order; and all the rest of it."""
    numbers = []

    def without(inner):
        if isinstance(inner, dict):
            return {key: without(inner[key]) for key in sorted(inner)}
        if isinstance(inner, list):
            return [without(item) for item in inner]
        if isinstance(inner, float):
            numbers.append(inner)
            return "a number"
        return inner

    return numbers, without(value)
