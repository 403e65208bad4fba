"""How fast the cascade is: 10,000 draws x 7 organs x 60 months, and the whole stage of one patient with its start."""

import json
import subprocess
import sys
import tempfile
import time
import tracemalloc
from pathlib import Path

import numpy as np
from scipy import stats

from pipeline import store
from pipeline.simulate import conditioning, engine
from pipeline.simulate.parameters import Draws

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import report_cases

DRAWS, MONTHS = 10_000, [month / 12 for month in range(1, 61)]
TABLE = (np.arange(256) + 0.5) / 256
QUANTILES = [(stats.gamma.ppf(TABLE, n + 0.5) / 0.75).tolist() for n in (5, 0)]


def rows() -> list[tuple[str, str, str]]:
    return [_engine(), _memory(), _draws(), _stage()]


def _build(draws: int) -> engine.Cascade:
    return conditioning.build(
        "breast", [conditioning.Sample(0.0, 0, *QUANTILES)], Draws(1, draws), sex="female", early=True
    )


def _seconds(draws: int) -> float:
    start = time.perf_counter()
    _build(draws).risk(MONTHS)
    return time.perf_counter() - start


def _engine() -> tuple[str, str, str]:
    best = min(_seconds(DRAWS) for _ in range(3))
    return f"cascade, {DRAWS} draws x 7 organs x 60 months", f"{best:.2f} s", "goal 1 s, drawing included; best of 3"


def _memory() -> tuple[str, str, str]:
    tracemalloc.start()
    _seconds(DRAWS)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return "the same, memory above what is loaded", f"{peak / 2**20:.0f} MiB", "goal 500 MiB"


def _draws() -> tuple[str, str, str]:
    few, many = (min(_seconds(n) for _ in range(3)) for n in (DRAWS // 4, DRAWS))
    return "the same, four times the draws", f"x {many / few:.1f} in time", "linear: x 4 or less"


def _stage() -> tuple[str, str, str]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        posterior = {"ctc_quantiles_per_7_5_ml": QUANTILES[0], "cluster_quantiles_per_7_5_ml": QUANTILES[1]}
        store.write_json(folder / "counts.json", "counts", report_cases.counts(n_ctc=5, n_clusters=0, **posterior))
        patient = {"patient": "P1", "primary": "breast", "setting": "early", "sex": "female"}
        settings = {"patient": patient, "random_seed": 1, "draws": 4000, "level": 0.95, "switched_off": []}
        command = [sys.executable, "-m", "pipeline", "simulate", "--settings", json.dumps(settings)]
        command += ["--counts", str(folder / "counts.json"), "--out", str(folder / "cascade.json")]
        start = time.perf_counter()
        subprocess.run(command, check=True, cwd=Path(__file__).parents[1])
        return "one patient's stage with its start, 4000 draws", f"{time.perf_counter() - start:.2f} s", "goal 3 s"


if __name__ == "__main__":
    for row in rows():
        print("  ".join(row))
