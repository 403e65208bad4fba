"""Chance and uncertainty, lead time, removal of the tumour, therapies: against calculations by hand and the sampler."""

import dataclasses
import math

import numpy as np
import pytest
from scipy import stats

from ctcascade.cascade import conditioning, engine, uncertainty, what_if
from ctcascade.cascade.circulation import Circulation
from ctcascade.cascade.model import Pace
from ctcascade.data.errors import InputError
from ctcascade.study import scenarios
from ctcascade.study.scenarios import Scenario
from tests.support.cascades import Same, cascade, counts_file, means, run, sample
from verification.oracles import lesions

pytestmark = pytest.mark.unit

# chance and lack of knowledge ----------------------------------------------------------------------------------------


@pytest.mark.oracle
def test_variance_of_an_event_is_shared_between_chance_and_draws():
    p = stats.beta.ppf((np.arange(20_000) + 0.5) / 20_000, 2, 5)
    shares = uncertainty.variance_shares(np.stack([p, np.full_like(p, 0.3), np.repeat([0.0, 1.0], 10_000)]))
    assert shares["1"].epistemic == pytest.approx(1 / (2 + 5 + 1), abs=1e-3)  # of a beta distribution: 1 / (a + b + 1)
    assert shares["2"].model_dump() == pytest.approx({"aleatoric": 1.0, "epistemic": 0.0}, abs=1e-12)
    assert shares["5"].model_dump() == pytest.approx({"aleatoric": 0.0, "epistemic": 1.0}, abs=1e-12)


@pytest.mark.oracle
def test_lead_time_is_that_of_lesions_to_come():
    def risk(times):  # a tenth in sight already, then a constant hazard of 0.4 a year in every draw
        p = 1 - 0.9 * np.exp(-0.4 * np.array(times))
        return np.repeat(p[:, None], 3, axis=1)

    found = uncertainty.lead_time(risk, np.arange(3), 0.9)
    cdf = -math.expm1(-0.4 * 5)
    for name, q in (("low_years", 0.05), ("median_years", 0.5), ("high_years", 0.95)):
        assert getattr(found, name) == pytest.approx(-math.log1p(-q * cdf) / 0.4, abs=0.02)
    assert found.p_within.mean == pytest.approx(cdf)
    assert found.within_years == 5


def test_result_says_what_is_chance_and_when_a_lesion_is_seen(tmp_path):
    found = run(tmp_path, [counts_file(tmp_path)])
    for years in ("1", "2", "5"):
        assert sum(found["variance_shares"][years].values()) == pytest.approx(1)
        assert 0.05 < found["variance_shares"][years]["epistemic"] < 0.95
    lead = found["lead_time"]
    assert 0 < lead["low_years"] < lead["median_years"] < lead["high_years"] < 5
    assert lead["p_within"]["mean"] == pytest.approx(found["p_any"]["5"]["mean"])
    assert 0.5 < lead["median_years"] < 3
    assert any("local therapy" in s for s in found["statements"])
    one, many = (run(tmp_path, [counts_file(tmp_path, n_ctc=n)])["prior_dominated"] for n in (0, 5))
    assert (one, many) == (True, False)
    assert np.median(cascade(n_ctc=0).unseen_share) > np.median(cascade(n_ctc=5).unseen_share)


# removal and subtype -----------------------------------------------------------------------------------------------


@pytest.mark.property
def test_the_later_the_removal_the_higher_the_risk(tmp_path):
    path = counts_file(tmp_path)  # of 2026-02-01
    none = means(run(tmp_path, [path]))
    assert means(run(tmp_path, [path], resected="2026-02-01")) == none
    months = [means(run(tmp_path, [path], resected=day)) for day in ("2026-05-01", "2027-02-01", "2029-02-01")]
    assert (np.diff([none, *months], axis=0) >= 0).all()
    assert months[2][2] > months[1][2] > none[2]
    assert means(run(tmp_path, [path], reseeding=True))[2] > none[2]
    advanced = [
        means(run(tmp_path, [path], setting="metastatic", **about)) for about in ({}, {"resected": "2026-05-01"})
    ]
    assert advanced[0] == advanced[1]


@pytest.mark.oracle
def test_cells_found_after_the_removal_stand_for_more_before_it():
    draws = Same(1, 3)
    samples = [sample(2), sample(30, age_years=1.0)]
    alone = conditioning.build("colon", samples[:1], draws, sex="female", early=True, resected_years=-0.5)
    unseen, left = draws.parameter("unseen_shedding"), draws.parameter("shed_after_early")
    today = conditioning.build("colon", samples[:1], draws, sex="female", early=True).shedding.levels[0]
    assert (2 * today < alone.shedding.levels[0]).all()
    assert (alone.shedding.levels[0] < unseen + (today - unseen) / left * 1.5).all()
    assert alone.shedding.ages.tolist() == [0.5]
    assert [(time, level.tolist()) for time, level in alone.shedding.constant] == [(-0.5, [0.0] * 3)]
    both = conditioning.build("colon", samples, draws, sex="female", early=True, resected_years=-0.5).shedding
    assert [start for start, _ in both.constant] == [-1.0, -0.75, -0.5]
    alone_before = conditioning.build("colon", samples[1:], draws, sex="female", early=True).shedding.levels[0]
    assert both.levels[1] == pytest.approx(alone_before, rel=0.2)  # the sample after it is evidence, too, but little


def test_triple_negative_recurs_earlier():
    early = {}
    for subtype in (None, "hr_pos_her2_neg", "tnbc"):
        risk = cascade(n_ctc=0, early=True, subtype=subtype).risk([5.0, 20.0])[1].mean(axis=1)
        early[subtype] = risk[0] / risk[1]
    assert early["tnbc"] > early["hr_pos_her2_neg"] + 0.1
    assert early[None] == pytest.approx(early["hr_pos_her2_neg"], abs=0.01)  # they differ in the organs only


# therapies ---------------------------------------------------------------------------------------------------------


@pytest.mark.oracle
def test_growth_sees_less_time_under_therapy():
    pace = Pace(((0.5, 1.5, 0.25), (2.0, 3.0, 0.0)))
    times = np.array([-1.0, 0.0, 0.5, 1.0, 1.5, 1.8, 2.5, 3.0, 4.0])
    assert pace.seen(times) == pytest.approx([-1.0, 0.0, 0.5, 0.625, 0.75, 1.05, 1.25, 1.25, 2.25])
    kept = times[[0, 1, 3, 5, 8]]
    assert pace.when(pace.seen(kept)) == pytest.approx(kept)


@pytest.mark.oracle
def test_a_year_without_growth_is_a_year_later():
    model = cascade("colon", draws=60, early=True, off=["dormancy", "angiogenesis"])
    stopped = dataclasses.replace(model, pace=Pace(((0.0, 1.0, 0.0),)))
    assert stopped.lesions([1.0, 2.0, 4.0]) == pytest.approx(model.lesions([0.0, 1.0, 3.0]), rel=1e-6)


@pytest.mark.oracle
def test_therapy_of_the_sampler_is_that_of_the_engine(monkeypatch):
    monkeypatch.setattr(engine, "_NODES", 610)
    monkeypatch.setattr(engine, "_LATTICE_STEP", 377)
    scenario = Scenario(therapy="chemotherapy", from_years=0.5, to_years=2.0, shedding=0.3, growth=0.4)

    def model(n):
        build = conditioning.build("colon", [sample(5)], Same(1, n), sex="male", early=False, switched_off=["frailty"])
        rate = dataclasses.replace(build.founding, rate_per_year=3 * build.founding.rate_per_year)
        return dataclasses.replace(build, founding=rate)

    treated = what_if.treated(model(1), scenario)
    draw, year = lesions.sample(what_if.treated(model(8000), scenario), 3, "P1", 4.0).detected("liver", "CT")
    for time in (1.0, 4.0):
        counts = np.bincount(draw[year <= time], minlength=8000)
        mean = float(treated.shown("liver", "CT", time)[0])
        assert abs(counts.mean() - mean) < 3.3 * math.sqrt(mean / 8000)
        assert mean < 0.9 * float(model(1).shown("liver", "CT", time)[0])


def test_killing_lowers_the_pool_by_its_share_of_the_clearance():
    model = cascade("colon", draws=20)
    treated = what_if.treated(model, Scenario(therapy="immunotherapy", to_years=1.0, killing=3.0))
    kappa = model.circulation.killed_by[0]
    (start, during), (end, after) = treated.shedding.course
    assert (start, end) == (0.0, 1.0)
    assert during == pytest.approx(after / (1 + 2 * kappa))
    assert treated.pace.seen(np.array([0.0, 2.0])) == pytest.approx([0.0, 2.0])


@pytest.mark.oracle
def test_deaths_in_the_blood_are_shared_by_their_rates():
    bare = Circulation(*(np.array([x]) for x in (5300.0, 6500.0, 1.7, 0.2, 0.04, 0.0, 1.0)))
    clearance = math.log(2) / 1.7
    assert [float(x[0]) for x in bare.killed_by] == pytest.approx([0.2 / clearance, 0.04 / clearance])
    cloaked = dataclasses.replace(bare, cloaked_share=np.array([0.5]), cloaked_killing=np.array([0.2]))
    assert [float(x[0]) for x in cloaked.killed_by] == pytest.approx([0.12 / clearance, 0.04 / clearance])
    much = dataclasses.replace(bare, killer_cells_per_hour=np.array([4.0]), shear_per_hour=np.array([1.0]))
    assert [float(x[0]) for x in much.killed_by] == pytest.approx([0.95 * 0.8, 0.95 * 0.2])


@pytest.mark.parametrize(
    ("scenario", "expected"),
    [
        ("{therapy: immunotherapy, to_years: 1, shedding: 0.5}", "what immunotherapy acts on: killing"),
        ("{therapy: chemotherapy, to_years: 1}", "found no rate"),
        ("{therapy: targeted, growth: 0.5}", "to_years"),
        ("{therapy: targeted, growth: 0.5, from_years: 2, to_years: 1}", "a time after from_years"),
        ("{therapy: prayer, growth: 0.5, to_years: 1}", "chemotherapy"),
        ("{therapy: targeted, growth: 0.5, to_years: 1, shedding_cut: 1}", "a cut beside a therapy"),
        ("{growth: 0.5}", "therapy"),
        ("{resection_in_years: -1}", "0 to 5"),
    ],
)
def test_an_impossible_therapy_is_refused(tmp_path, scenario, expected):
    (tmp_path / "s.yaml").write_text(f"all: {scenario}")
    with pytest.raises(InputError, match=expected):
        scenarios.read(tmp_path / "s.yaml")
