"""How fast the cascade is: draws x organs x months, the whole stage of one patient, and compared with peers.

The model has seven organs; the goal is stated for eight, so one is used twice.
Times are seconds of processor time. GillesPy2 and COPASI, ``pip install .[peers]``, are timed where they are installed.
"""

import dataclasses
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np

from ctcascade.blood.course import Assay, Tube
from ctcascade.blood.factors import Factor
from ctcascade.blood.seen import Seen
from ctcascade.cascade import conditioning, engine
from ctcascade.cascade.parameters import Draws
from tests.support import networks, report_cases
from tests.support.json_results import write_result
from tests.support.networks import Network, founders, lesions

DRAWS, MONTHS = 10_000, [month / 12 for month in range(1, 61)]
EXACT = Assay(Factor(0.75, 0.75, 0.75), Factor(1, 1, 1), Factor(0, 0, 0))


def _cpu() -> float:
    """Return the seconds of processor time of this process and its children: other programs do not count."""
    return sum(os.times()[:4])


def rows() -> list[tuple[str, str, str]]:
    return [_engine(), _memory(), _draws(), _stage(), _lesions(), *_network()]


def _build(draws: int) -> engine.Cascade:
    return conditioning.build(
        "breast", [conditioning.Sample(0.0, Tube(Seen(5), 1.0, EXACT))], Draws(1, draws), sex="female", early=True
    )


def _seconds(draws: int) -> float:
    start = _cpu()
    _with_one_more(_build(draws)).risk(MONTHS)
    return _cpu() - start


def _with_one_more(model: engine.Cascade) -> engine.Cascade:
    """Return a cascade in which the last organ occurs twice."""

    def twice(step: Any, *fields: str) -> Any:
        more = {name: np.concatenate([getattr(step, name), getattr(step, name)[:, -1:]], axis=1) for name in fields}
        return dataclasses.replace(step, **more)

    return dataclasses.replace(
        model,
        organs=(*model.organs, "again"),
        founding=twice(model.founding, "arrival", "ln_soil", "ln_tropism"),
        growth=twice(model.growth, "doubling_time_years"),
        detection=twice(model.detection, "d50_mm", "slope_mm", "ceiling"),
    )


def _engine() -> tuple[str, str, str]:
    best = min(_seconds(DRAWS) for _ in range(3))
    return f"cascade, {DRAWS} draws x 8 organs x 60 months", f"{best:.2f} s", "goal 1 s, drawing included; best of 3"


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
        write_result(folder / "counts.json", "counts", report_cases.counts(n_ctc=5, n_clusters=0))
        patient = {"patient": "P1", "primary": "breast", "setting": "early", "sex": "female"}
        settings = {
            "patient": patient,
            "random_seed": 1,
            "draws": 4000,
            "level": 0.95,
            "switched_off": [],
            "reseeding": False,
            "cell_sizes": False,
        }
        command = [sys.executable, "-m", "ctcascade", "simulate", "--settings", json.dumps(settings)]
        command += ["--counts", str(folder / "counts.json"), "--out", str(folder / "cascade.json")]
        start = _cpu()
        subprocess.run(command, check=True, cwd=Path(__file__).parents[1])
        return "one patient's stage with its start, 4000 draws", f"{_cpu() - start:.2f} s", "goal 3 s"


def _lesions() -> tuple[str, str, str]:
    model = _build(DRAWS)
    start = _cpu()
    found = len(lesions.sample(model, 1, "P1", 5.0).founded)
    seconds = _cpu() - start
    figure = f"{seconds:.3f} s, {found / seconds / 1e6:.1f} million lesions/s"
    return f"lesions one by one, {DRAWS} trajectories of 5 years", figure, f"{found} lesions; linear in them"


def _network() -> list[tuple[str, str, str]]:
    """Time the founders of one trajectory of the 41-species network at 10,000 cells shed a day over 30 days."""
    network, many = networks.scaled_down(1e4), 100_000
    start = _cpu()
    founders(network, networks.DAYS, many, np.random.default_rng(1))
    own = (_cpu() - start) / many
    what = "founders of 41 species, 1e4 shed a day, 30 days, a trajectory"
    result = [(what, f"{own * 1e6:.2f} us", f"matrix exponential once for {many} trajectories")]
    for module, name, seconds in (
        ("gillespy2", "GillesPy2 SSA (C++)", _gillespy2),
        ("basico", "COPASI direct method", _copasi),
    ):
        if importlib.util.find_spec(module) is None:
            result.append((f"the same, {name}", "-", f"{module} is not installed"))
            continue
        peer = seconds(network)
        # events are proportional to the cells shed: 3.5e6 a day for 5 years
        clinical = peer * 350 * 5 * 365 / 30
        beside = (
            f"{peer / own:.0e} times; at clinical scale {clinical / own:.0e} (extrapolated: {clinical / 3600:.0f} h)"
        )
        result.append((f"the same, {name}", f"{peer:.2f} s", beside))
    return result


def _gillespy2(network: Network) -> float:
    model = networks.gillespy2_model(network, networks.DAYS)
    solver = networks.gillespy2_solver(model)
    model.run(solver=solver, number_of_trajectories=1, seed=1)  # compiles
    start = _cpu()
    model.run(solver=solver, number_of_trajectories=3, seed=2)
    return (_cpu() - start) / 3


def _copasi(network: Network) -> float:
    model = networks.copasi_model(network)
    start = _cpu()
    networks.copasi_founders(model, network, networks.DAYS, 3)
    return (_cpu() - start) / 3


if __name__ == "__main__":
    for row in rows():
        print("  ".join(row))
