"""Whether general event-by-event simulators give the number of founders that the cascade's theorem gives (V13).

Neither GillesPy2 nor COPASI is installed with the package. ``pip install .[peers]`` (scons on the path: GillesPy2
compiles) lets these rows run, for some minutes.
"""

import importlib.util
import sys
from collections.abc import Callable, Iterator

import numpy as np
from scipy import stats

from tests.support import networks
from verification.verify_simulate import ALARM, Row, stated, verdict

RUNS = 500


def rows() -> list[Row]:
    """Return what was checked, what came out, and the verdict."""
    found = (
        *_peer("gillespy2", "GillesPy2 SSA", _gillespy2, "version 1.8.3: mean 89.9 (90.4), p 0.03, n 500"),
        *_peer("basico", "COPASI direct method", _copasi, "basico 0.92: mean 90.9 (90.4), p 0.07, n 500"),
    )
    return list(stated(found, "", ALARM))


def _peer(module: str, name: str, run: Callable[[], np.ndarray], once: str) -> Iterator[Row]:
    what = f"V13 founders of the 41-species network, {name}"
    if importlib.util.find_spec(module) is None:
        yield what, f"not run here; in an environment of its own, {once}", f"skipped: {module} is not installed"
        return
    network = networks.scaled_down(1e3)
    expected = network.expected(networks.DAYS)
    mean = sum(expected[f"founder_{organ}"] for organ in network.organs)
    counts = run()
    edges = np.unique(stats.poisson(mean).ppf(np.linspace(0.1, 0.9, 9)))
    wanted = np.diff(np.concatenate([[0.0], stats.poisson(mean).cdf(edges), [1.0]])) * len(counts)
    p = stats.chisquare(np.bincount(np.searchsorted(edges, counts), minlength=len(wanted)), wanted).pvalue
    yield what, f"mean {counts.mean():.1f} ({mean:.1f}), chi-square p {p:.2f}, n {len(counts)}", verdict(p > ALARM)


def _gillespy2() -> np.ndarray:
    network = networks.scaled_down(1e3)
    model = networks.gillespy2_model(network, networks.DAYS)
    runs = model.run(solver=networks.gillespy2_solver(model), number_of_trajectories=RUNS, seed=1)
    return np.array([sum(run[f"founder_{organ}"][-1] for organ in network.organs) for run in runs])


def _copasi() -> np.ndarray:
    network = networks.scaled_down(1e3)
    return networks.copasi_founders(networks.copasi_model(network), network, networks.DAYS, RUNS)


if __name__ == "__main__":
    for row in rows():
        sys.stdout.write("  ".join(row) + "\n")
