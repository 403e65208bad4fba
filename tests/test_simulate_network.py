"""The cascade event by event: against its matrix exponential, Poisson founders, and general simulators."""

import dataclasses

import numpy as np
import pytest
from scipy import stats

from tests.support import networks
from verification.oracles.network import Network, founders

pytestmark = pytest.mark.unit

ALARM = 0.001


def small(shed=40.0):
    """Two organs, in which cells found within days."""
    whole = networks.scaled_down(shed)
    quick = {o: dataclasses.replace(r, grow=2.0, found=2.0, lost=0.2) for o, r in whole.organs.items()}
    return Network(shed, whole.killed, {organ: quick[organ] for organ in ("lung", "liver")})


def p_poisson(counts, mean):
    """Return the p-value of a chi-square test of counts against a Poisson distribution."""
    edges = np.unique(stats.poisson(mean).ppf(np.linspace(0.1, 0.9, 9)))
    classes = np.searchsorted(edges, counts)
    wanted = np.diff(np.concatenate([[0.0], stats.poisson(mean).cdf(edges), [1.0]])) * len(counts)
    return stats.chisquare(np.bincount(classes, minlength=len(edges) + 1), wanted).pvalue


def test_network_has_41_species():
    network = networks.scaled_down(1e3)
    assert (len(network.species), len(network.reactions)) == (41, 82)


@pytest.mark.oracle
def test_events_agree_with_the_matrix_exponential_and_founders_are_poisson():
    network, days, n = small(), 8.0, 250
    rng, mean = np.random.default_rng(1), small().expected(8.0)
    ends = [network.events(days, rng) for _ in range(n)]
    for name in network.species:
        counts = np.array([end[name] for end in ends])
        assert abs(counts.mean() - mean[name]) < 4 * np.sqrt(mean[name] / n), name
    for organ in network.organs:
        name = f"founder_{organ}"
        assert p_poisson(np.array([end[name] for end in ends]), mean[name]) > ALARM
    drawn = founders(network, days, 20000, np.random.default_rng(2))
    assert drawn.mean(axis=0) == pytest.approx([mean["founder_lung"], mean["founder_liver"]], rel=0.03)


@pytest.mark.oracle
def test_blood_comes_to_rest_at_shedding_over_clearance():
    network = small()
    clearance = network.killed + sum(rates.arrest for rates in network.organs.values())
    assert network.expected(50.0)["blood"] == pytest.approx(network.shed / clearance)


@pytest.mark.oracle
def test_gillespy2_gives_the_same_founders():
    pytest.importorskip("gillespy2", reason="GillesPy2 is not installed")
    network = networks.scaled_down(1e3)
    model = networks.gillespy2_model(network, networks.DAYS)
    solver = networks.gillespy2_solver(model)
    runs = model.run(solver=solver, number_of_trajectories=30, seed=1)
    counts = np.array([sum(run[f"founder_{o}"][-1] for o in network.organs) for run in runs])
    mean = sum(network.expected(networks.DAYS)[f"founder_{o}"] for o in network.organs)
    assert abs(counts.mean() - mean) < 3.5 * np.sqrt(mean / len(counts))


@pytest.mark.oracle
def test_copasi_gives_the_same_founders():
    pytest.importorskip("basico", reason="COPASI (copasi-basico) is not installed")
    network = networks.scaled_down(1e3)
    counts = networks.copasi_founders(networks.copasi_model(network), network, networks.DAYS, 30)
    mean = sum(network.expected(networks.DAYS)[f"founder_{o}"] for o in network.organs)
    assert abs(counts.mean() - mean) < 3.5 * np.sqrt(mean / len(counts))
