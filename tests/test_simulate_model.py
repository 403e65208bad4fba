"""The steps of the cascade against closed forms and slow oracles: the blood, and from a founder to a lesion."""

import math

import numpy as np
import pytest
from scipy import integrate, stats

from ctcascade import evidence
from ctcascade.cascade import conditioning, engine
from ctcascade.cascade.circulation import Circulation, Flow
from ctcascade.cascade.model import Detection, Growth, Waiting, seen_from_history, seen_from_now_on, sphere_cells
from ctcascade.cascade.parameters import Draws
from tests.support.cascades import cascade, sample
from verification.oracles import theory

pytestmark = pytest.mark.unit

# the blood ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def flow():
    return Flow.from_table(evidence.rows("flow"), "male")


@pytest.mark.oracle
def test_circulation_takes_49_seconds_and_organs_keep_blood_as_long_as_the_reference_says(flow):
    circulation_s = 5300 / 6500 * 60
    assert circulation_s == pytest.approx(48.9231, rel=1e-6)
    stay = dict(zip(flow.compartments, flow.residence * circulation_s, strict=True))
    published = {
        "lung": 5.27, "bronchial": 39.1, "brain": 4.89, "heart": 12.2, "kidney": 5.15, "adrenal": 9.78, "liver": 19.2,
        "spleen": 22.8, "pancreas": 29.4, "stomach_oesophagus": 48.9, "small_intestine": 18.6, "large_intestine": 26.9,
        "red_marrow": 65, "trabecular_bone": 65, "other_skeleton": 98, "skeletal_muscle": 40, "fat": 49, "skin": 29,
        "thyroid": 2.0, "lymph_nodes": 5.8, "right_heart": 2.26, "left_heart": 2.20, "arteries": 2.94, "veins": 9.42,
    }  # fmt: skip
    assert {name: stay[name] for name in published} == pytest.approx(published, rel=0.03)


@pytest.mark.property
@pytest.mark.parametrize("sex", ["male", "female"])
@pytest.mark.parametrize("start", ["veins", "portal_vein", "left_heart", "red_marrow"])
def test_every_cell_is_arrested_or_killed(sex, start):
    flow = Flow.from_table(evidence.rows("flow"), sex)
    at = np.eye(len(flow.compartments))[flow.compartments.index(start)]
    extraction, kill = np.array([0.0026, 0.95, 0.3, 1.0]), np.array([0.003, 0.0, 0.4, 0.1])
    arrested, killed = flow.arrest(at, extraction, kill)
    assert np.abs(arrested.sum(axis=1) + killed - 1).max() < 1e-12
    assert (arrested >= 0).all()


@pytest.mark.oracle
@pytest.mark.oracle
def test_arrest_is_that_of_the_fundamental_matrix(flow):
    extraction, kill = np.array([1e-3, 0.3, 1.0]), np.array([0.0, 0.2, 5.0])
    for start in np.eye(len(flow.compartments)):
        arrested, killed = flow.arrest(start, extraction, kill)
        for i in range(3):
            dies = kill[i] * flow.residence / (1 + kill[i] * flow.residence)
            held = (1 - dies) * flow.beds * extraction[i]
            visits = start @ np.linalg.inv(np.eye(len(start)) - (1 - dies - held)[:, None] * flow.moves)
            assert arrested[i] == pytest.approx(visits * held, rel=1e-9)
            assert killed[i] == pytest.approx(visits @ dies, rel=1e-9)


@pytest.mark.parametrize(("hours", "extraction"), [(1.0, 0.0043), (1.7, 0.0026), (2.4, 0.0018)])
def test_half_life_and_extraction_belong_together(flow, hours, extraction):
    blood = Circulation(*(np.array([x]) for x in (5300.0, 6500.0, hours, 0.0, 0.0, 0.0, 1.0)))
    found = flow.extraction(blood.clearance_per_circulation)
    assert found == pytest.approx(extraction, rel=0.02)
    onward = (1 - flow.beds * found)[:, None] * flow.moves
    life = np.linalg.inv(np.eye(len(onward)) - onward)[flow.compartments.index("veins")] @ flow.residence
    assert life * blood.clearance_per_circulation == pytest.approx(1, rel=0.005)


@pytest.mark.oracle
def test_chain_agrees_with_cells_followed_one_by_one(flow):
    rng = np.random.default_rng(3)
    n, start = 1500, np.eye(len(flow.compartments))[flow.compartments.index("portal_vein")]
    arrested, killed = flow.arrest(start, np.array([0.3]), np.array([0.5]))
    ends = [theory.walk(flow, "portal_vein", 0.3, 0.5, rng) for _ in range(n)]
    seen = {
        "killed": sum(dead for _, dead, _ in ends),
        **{c: sum(not dead and at == c for at, dead, _ in ends) for c in ("liver", "lung", "kidney")},
    }
    expected = {
        "killed": killed[0],
        **{c: arrested[0, flow.compartments.index(c)] for c in ("liver", "lung", "kidney")},
    }
    for name, p in expected.items():
        assert seen[name] / n == pytest.approx(p, abs=4 * math.sqrt(p * (1 - p) / n)), name


def test_portal_blood_meets_the_liver_first_and_venous_blood_the_lung(flow):
    at = {name: np.eye(len(flow.compartments))[flow.compartments.index(name)] for name in ("portal_vein", "veins")}
    prone, none = np.array([0.95]), np.zeros(1)
    by = {name: flow.by_organ(flow.arrest(start, prone, none)[0], ("liver", "lung"))[0] for name, start in at.items()}
    assert by["portal_vein"] == pytest.approx([0.95, 0.0475], abs=0.002)
    assert by["veins"] == pytest.approx([0.0036, 0.953], abs=0.0005)  # 5 %, then 0.065 + 0.19 x 5 %
    rerouted = Flow.from_table(evidence.rows("flow"), "male", portal_route=False)
    found = rerouted.by_organ(rerouted.arrest(at["portal_vein"], prone, none)[0], ("liver", "lung"))[0]
    assert found[0] < 0.01
    assert found[1] == pytest.approx(0.953, abs=0.001)


@pytest.mark.oracle
def test_flux_behind_five_cells_in_a_tube():
    blood = Circulation(*(np.array([x]) for x in (5300.0, 6500.0, 1.7, 0.2, 0.02, 0.0, 1.0)))
    assert 5 * blood.clearance_per_year / 365.25 == pytest.approx(3.46e4, rel=0.01)  # cells a day
    assert 5 * blood.cells_in_blood == pytest.approx(3533, rel=1e-3)


# from a founder to a detectable lesion -----------------------------------------------------------------------------


def one_wait(rested_share=0.4, leave=0.5, restricted=0.5, switch=1.3):
    """A `Waiting` of one draw whose founders have rested with the given share; all resting cells wake."""
    columns = (rested_share, leave, 0.0, restricted, switch)
    return Waiting(*(np.array([x]) for x in columns))


def lag(x):
    return np.full((1, 1, 1), float(x))


@pytest.mark.oracle
@pytest.mark.parametrize("x", [-3.0, -0.4, 0.0, 0.7, 6.0])
@pytest.mark.parametrize("leave", [0.5, 1.3])
def test_lesions_in_sight_are_the_convolution_of_shedding_and_wait(x, leave):
    waiting, growth = one_wait(leave=leave), 0.8
    rested = waiting.rested[0]

    def waited(t):
        at_once = (1 - rested) * 0.5
        return at_once + rested * -math.expm1(-leave * t) + at_once * -math.expm1(-1.3 * t) if t > 0 else 0.0

    history = integrate.quad(lambda u: math.exp(growth * u) * waited(x - u), -60, min(x, 0), limit=200)[0]
    since = integrate.quad(lambda u: waited(x - u), 0, max(x, 0))[0]
    for after in (0.0, 0.6):
        found = seen_from_history(lag(x), np.array([growth]), np.array([after]), waiting)
        assert found[0, 0, 0] == pytest.approx(history + after * since, rel=2e-4)
    assert seen_from_now_on(lag(x), waiting)[0, 0, 0] == pytest.approx(since, rel=2e-4, abs=1e-12)


@pytest.mark.oracle
@pytest.mark.parametrize(("time", "age"), [(1.0, 2.0), (4.0, 1.5)])
def test_lesions_in_sight_agree_with_founders_followed_one_by_one(time, age):
    rng, n, k = np.random.default_rng(5), 6000, 0.77
    waiting, growth, after = one_wait(), 0.9, 0.3
    rested = float(waiting.rested[0])
    mean = 2 * seen_from_history(lag(time - age), np.array([growth]), np.array([after]), waiting)[0, 0, 0]
    alike = theory.Lesions(2.0, growth, after, rested, 0.5, (1 - rested) / 2, 1.3, age)
    seen = np.array([alike.in_sight(time, rng) for _ in range(n)])
    assert seen.mean() == pytest.approx(mean, abs=4 * math.sqrt(mean / n))
    assert seen.var() == pytest.approx(mean, rel=0.1)  # Poisson
    differing = theory.Lesions(2.0, growth, after, rested, 0.5, (1 - rested) / 2, 1.3, age, frailty_shape=k)
    seen = np.array([differing.in_sight(time, rng) for _ in range(n)])
    assert (seen == 0).mean() == pytest.approx((1 + mean / k) ** -k, abs=4 * 0.5 / math.sqrt(n))
    assert seen.var() == pytest.approx(mean + mean**2 / k, rel=0.15)


@pytest.mark.oracle
def test_a_shedding_of_three_samples_is_followed_in_time():
    samples = [sample(3), sample(40, age_years=0.5), sample(10, age_years=1.2)]
    model = conditioning.build("colon", samples, Draws(3, 4), sex="male", early=False)
    shed, ages = model.shedding, model.detection_ages(5)
    assert [ago for ago, _ in shed.steps] == pytest.approx([0.85, 0.25, 0.0])

    def level(u, d):
        if u > 0:
            return shed.course[0][1][d] * shed.levels[0, d]
        if u < -1.2:
            return shed.levels[2, d] * math.exp(shed.growth_per_year[d] * (u + 1.2))
        return shed.levels[0 if u > -0.25 else 1 if u > -0.85 else 2, d]

    found = model.lesions([2.0])[0]
    for d in range(4):
        mixture = [(w[d], r[d]) for w, r in model.waiting.mixture]
        expected = 0.0
        for age in ages[d, 0]:
            for left, right in [(-40, -1.2), (-1.2, -0.85), (-0.85, -0.25), (-0.25, 0), (0, 2)]:
                right = min(right, 2 - age)  # noqa: PLW2901
                if right > left:
                    expected += integrate.quad(
                        lambda u, d=d, age=age, mixture=mixture: level(u, d)
                        * sum(-w * math.expm1(-r * (2 - age - u)) for w, r in mixture),
                        left, right, limit=400,
                    )[0] / 5  # fmt: skip
        assert found[d, 0] == pytest.approx(expected * model.founding.by_organ[d, 0], rel=1e-4)


@pytest.mark.oracle
def test_colonies_reach_their_size_at_the_time_given_by_births_and_deaths():
    rng, birth, death, until = np.random.default_rng(11), 1.0, 0.6, 400
    ages = np.array([theory.colony(birth, death, until, rng) for _ in range(700)])
    assert np.isinf(ages).mean() == pytest.approx(theory.extinction(0.6, 1), abs=4 * 0.5 / math.sqrt(700))
    growth, alive = birth - death, ages[np.isfinite(ages)]
    fits = stats.kstest(alive, np.vectorize(lambda t: theory.first_passage(t, growth, (1 - death / birth) * until)))
    assert fits.pvalue > 0.01
    one = np.ones((1, 1))
    model = Growth(np.log(2) / growth * one, np.array([1e3]), np.array([1e300]), np.array([1 - death / birth]))
    luck = -np.log((np.arange(4000) + 0.5) / 4000)
    reached = model.age(np.full((1, 1, 4000), float(until)), luck)[0, 0]
    assert np.median(reached) == pytest.approx(np.median(alive), rel=0.03)


@pytest.mark.oracle
def test_no_detectable_lesion_by_the_exponential_integral_and_the_incomplete_gamma():
    growth, kappa, founders, shed_growth = 3.0, 50.0, 0.9, 0.6

    def rate(u):
        return founders * theory.first_passage(4.0 - u, growth, kappa)

    lower = math.exp(-founders * integrate.quad(lambda a: theory.first_passage(a, growth, kappa), 0, 4)[0])
    assert theory.none_in_sight_constant(4.0, founders, growth, kappa) == pytest.approx(lower, rel=1e-8)
    grown = integrate.quad(lambda u: math.exp(shed_growth * u) * rate(u), 0, 4)[0]
    found = theory.none_in_sight_growing(4.0, founders, shed_growth, growth, kappa)
    assert found == pytest.approx(math.exp(-grown), rel=1e-8)


@pytest.mark.oracle
def test_sizes_and_ages():
    cells = sphere_cells(np.array([2 * (3 / 4 / math.pi) ** (1 / 3), 5, 10, 20]), 1e6)
    assert cells == pytest.approx([1e6, 6.545e7, 5.236e8, 4.189e9], rel=1e-3)
    years = [theory.exponential_age(days, 5.236e8) / 365.25 for days in (86, 118, 51.7)]
    assert years == pytest.approx([6.8, 9.4, 4.1], rel=0.01)


def test_half_of_the_lesions_of_the_middle_size_are_shown_and_none_without_vessels():
    n = np.ones((1, 1))
    scan = Detection(9 * n, 2 * n, n, np.array([1e6]), np.array([1e6]))
    cells = scan.cells(np.array([[[1e-9, 0.5, 0.881]]]))[0, 0]
    assert cells == pytest.approx([1e6, sphere_cells(9.0, 1e6), sphere_cells(13.0, 1e6)], rel=0.01)


@pytest.mark.property
def test_five_lesions_stand_for_many(monkeypatch):
    few = cascade(early=True).risk([1, 5])[1].mean(axis=1)
    monkeypatch.setattr(engine, "_NODES", 89)
    monkeypatch.setattr(engine, "_LATTICE_STEP", 55)
    assert few == pytest.approx(cascade(early=True).risk([1, 5])[1].mean(axis=1), rel=0.02)
