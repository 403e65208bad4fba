"""Lesions one by one: against the engine's closed forms, exact distributions, and at one chance in a million."""

import math

import numpy as np
import pytest
from scipy import stats

from ctcascade.cascade import engine
from tests.support.cascades import expected_cascade, sample
from verification.oracles import lesions

pytestmark = pytest.mark.unit

ALARM = 0.001  # of each test below: a false alarm once in a thousand seeds, and the seed is fixed


@pytest.fixture
def fine(monkeypatch):
    """An engine that stands for an organ by many lesions instead of five."""
    monkeypatch.setattr(engine, "_NODES", 610)
    monkeypatch.setattr(engine, "_LATTICE_STEP", 377)


def in_sight(found, organ, modality, time):
    draw, year = found.detected(organ, modality)
    return np.bincount(draw[year <= time], minlength=len(found.weights))


@pytest.mark.oracle
@pytest.mark.parametrize("off", [(), ("frailty",), ("dormancy",), ("angiogenesis",)])
def test_lesions_in_sight_are_as_many_as_the_engine_says(fine, off):
    found = lesions.sample(expected_cascade(8000, founding=20, off=off), 4, "P1", 6.0)
    model = expected_cascade(1, founding=20, off=off)
    for organ, modality, time in (("liver", "CT", 5.0), ("bone", "bone scan", 6.0), ("lung", "PET", 0.0)):
        mean, k = float(model.shown(organ, modality, time)[0]), float(model.frailty_shape[0])
        counts = in_sight(found, organ, modality, time)
        variance = mean + mean**2 / k
        assert stats.binomtest(int((counts == 0).sum()), len(counts), (1 + mean / k) ** -k).pvalue > ALARM
        assert abs(counts.mean() - mean) < 3.3 * math.sqrt(variance / len(counts))
        assert counts.var() == pytest.approx(variance, rel=0.12)


@pytest.mark.oracle
def test_founders_are_poisson_and_with_frailty_negative_binomial():
    for off, k in ((("frailty",), math.inf), ((), 0.77)):
        model = expected_cascade(6000, founding=30, off=off)
        found = lesions.sample(model, 4, "P1", 5.0)
        counts = np.bincount(found.trajectory[found.organ == 1], minlength=len(model.ctc))
        mean = float(model.founding.by_organ[0, 1] * lesions._integrals(model.shedding, 5.0).sum(axis=0)[0])
        spread = stats.poisson(mean) if math.isinf(k) else stats.nbinom(k, k / (k + mean))
        edges = np.arange(0, int(spread.ppf(0.995)))
        seen = np.bincount(np.minimum(counts, len(edges)), minlength=len(edges) + 1)
        wanted = np.append(spread.pmf(edges), spread.sf(edges[-1])) * len(counts)
        assert stats.chisquare(seen, wanted * seen.sum() / wanted.sum()).pvalue > ALARM
        assert counts.mean() == pytest.approx(mean, rel=0.05)


@pytest.mark.oracle
def test_founders_follow_the_shedding_of_three_samples():
    model = expected_cascade(
        300,
        [sample(3), sample(40, age_years=0.5), sample(10, age_years=1.2)],
        founding=300,
        off=["frailty"],
        early=False,
    )
    found = lesions.sample(model, 5, "P1", 2.0)
    shed, times = model.shedding, np.sort(found.founded)
    levels = shed.levels[:, 0]
    pieces = np.array(
        [levels[2] / shed.growth_per_year[0], levels[2] * 0.35, levels[1] * 0.6, levels[0] * 0.25,
         levels[0] * shed.course[0][1][0] * 2]
    )  # fmt: skip
    seen = np.histogram(times, [-np.inf, -1.2, -0.85, -0.25, 0.0, 2.0])[0]
    assert stats.chisquare(seen, pieces / pieces.sum() * len(times)).pvalue > ALARM
    assert stats.kstest(-1.2 - times[times < -1.2], stats.expon(scale=1 / shed.growth_per_year[0]).cdf).pvalue > ALARM
    inside = times[(times > -0.85) & (times < -0.25)]
    assert stats.kstest(inside, stats.uniform(-0.85, 0.6).cdf).pvalue > ALARM


@pytest.mark.oracle
def test_rare_lesions_have_the_right_frequency(fine):
    model = expected_cascade(10000, founding=5e-6)
    exact = float(-np.expm1(-0.77 * np.log1p(model.shown("liver", "CT", 5.0)[0] / 0.77)))
    assert 2e-7 < exact < 1e-5
    found = lesions.sample(model, 6, "P1", 5.0, at_least_one=True)
    assert len(np.unique(found.trajectory)) == 10000
    worth = found.weights * (in_sight(found, "liver", "CT", 5.0) > 0)
    error = worth.std() / math.sqrt(len(worth))
    assert error / worth.mean() < 0.05
    assert abs(worth.mean() - exact) < 3.3 * error


@pytest.mark.oracle
def test_conditioning_on_one_founder_does_not_change_common_lesions():
    model = expected_cascade(8000, founding=5)
    plain, forced = (lesions.sample(model, 7, "P1", 5.0, at_least_one=one) for one in (False, True))
    for organ in range(7):
        free = np.bincount(plain.trajectory[plain.organ == organ], minlength=len(model.ctc))
        bound = forced.weights * np.bincount(forced.trajectory[forced.organ == organ], minlength=len(model.ctc))
        error = math.sqrt((free.var() + bound.var()) / len(model.ctc))
        assert abs(free.mean() - bound.mean()) < 3.5 * error


def test_a_lesion_has_its_size_when_it_is_shown_and_rests_before():
    found = lesions.sample(expected_cascade(500, founding=50), 8, "P1", 5.0)
    draw, year = found.detected("liver", "CT")
    scan = found.cascade.scans["liver", "CT"].of_draws(draw)
    needed = scan.cells(found.threshold[found.organ == 1][:, None, None])[:, 0, 0]
    late = year[np.isfinite(year)].max() + 1
    size_at = np.array([found.cells("liver", t)[1] for t in np.linspace(-6, late, 60)])
    assert (np.diff(size_at, axis=0) >= 0).all()  # lesions do not shrink
    for i in (0, 17, 80):
        assert found.cells("liver", float(year[i]))[1][i] == pytest.approx(needed[i], rel=1e-6)
    own = found.organ == 1
    before = found.founded[own] - 0.01
    assert all(found.cells("liver", float(t))[1][i] == 0 for i, t in enumerate(before[:5]))
    resting = np.flatnonzero(found.rest[own] > 0.1)[:5]
    assert all(found.cells("liver", float(found.founded[own][i] + 0.05))[1][i] == 1 for i in resting)


def test_equal_seeds_give_equal_lesions():
    model = expected_cascade(200)
    one, again = lesions.sample(model, 9, "P1", 5.0), lesions.sample(model, 9, "P1", 5.0)
    assert one.founded.tobytes() == again.founded.tobytes()
    other = lesions.sample(model, 9, "P2", 5.0)
    assert one.founded.tobytes() != other.founded.tobytes()
    assert {*one.organ} == set(range(7))
