"""All samples of a patient are likelihoods on one course of the level, and a population of patients is its prior."""

import dataclasses

import numpy as np
import pytest
from scipy import stats

from ctcascade import evidence
from ctcascade.blood.course import Assay, Course, Stop, Tube, never_less, pooled
from ctcascade.blood.factors import Factor
from ctcascade.blood.population import GRID, Change, Population, changes_by, population_of
from ctcascade.blood.seen import Seen
from ctcascade.cascade import conditioning
from ctcascade.cascade.parameters import Draws
from tests.support.cascades import counts_file, means, run

pytestmark = pytest.mark.property

EXACT = Assay(Factor(0.75, 0.75, 0.75), Factor(1, 1, 1), Factor(0, 0, 0))
ROUGH = Assay(Factor(0.8, 0.535, 0.967), Factor(0.93, 0.76, 0.998), Factor(0.12, 0.01, 1.0))
OTHER = dataclasses.replace(ROUGH, recovery=Factor(0.5, 0.3, 0.7))
PATIENTS = Population(0.0, 2.5)
YEAR = 365.25


def course(*stops, population=PATIENTS):
    """Return the course of stops given as (days, tubes)."""
    return Course(population, tuple(Stop(days, pooled(tubes)) for days, tubes in stops), memory_days=8 * YEAR)


def spread(found):
    """Return the standard deviation of ln CTC at the latest stop."""
    mean = found.latest @ GRID
    return float(np.sqrt(found.latest @ (GRID - mean) ** 2))


def mean(found):
    return float(found.latest @ np.exp(GRID))


@pytest.mark.oracle
@pytest.mark.parametrize(("count", "exposure"), [(0, 1.0), (5, 0.2), (100, 1.0)])
def test_one_tube_in_a_population_is_the_posterior_by_hand(count, exposure):
    ln = np.linspace(-25, 25, 100_001)
    weight = stats.norm.pdf(ln, 0.0, 2.5) * stats.poisson.pmf(count, 0.75 * exposure * np.exp(ln))
    expected = np.interp([0.1, 0.5, 0.9], weight.cumsum() / weight.sum(), ln)
    found = course((0, [Tube(Seen(count), exposure, EXACT)]))
    assert np.interp([0.1, 0.5, 0.9], np.cumsum(found.latest), GRID + 0.015) == pytest.approx(expected, abs=0.02)


def test_cells_in_almost_no_blood_give_a_course_within_the_grid():
    found = course((0, [Tube(Seen(3), 1e-6, EXACT)]))
    assert found.latest.sum() == pytest.approx(1)
    assert mean(found) > mean(course((0, [Tube(Seen(3), 1.0, EXACT)])))


def test_without_blood_the_answer_is_the_populations():
    for tubes in ([], [Tube(Seen(0), 1e-9, ROUGH)]):
        found = course((0, tubes))
        assert np.interp([0.1, 0.5, 0.9], np.cumsum(found.latest), GRID + 0.015) == pytest.approx(
            stats.norm.ppf([0.1, 0.5, 0.9], 0.0, 2.5), abs=0.01
        )


def test_a_tube_split_in_two_says_what_the_whole_said():
    whole = course((0, [Tube(Seen(7), 1.0, ROUGH)]))
    halves = course((0, [Tube(Seen(3), 0.25, ROUGH), Tube(Seen(4), 0.75, ROUGH)]))
    assert halves.latest == pytest.approx(whole.latest, abs=1e-12)
    in_doubt = [
        Seen.of(5, [(0.95, 5), (0.3, 10)]),
        Seen.of(2, [(0.95, 2), (0.3, 4)]),
        Seen.of(3, [(0.95, 3), (0.3, 6)]),
    ]
    whole, *parts = (course((0, [Tube(seen, 0.5, ROUGH)])) for seen in in_doubt)
    split = course((0, [Tube(in_doubt[1], 0.2, ROUGH), Tube(in_doubt[2], 0.3, ROUGH)]))
    assert split.latest == pytest.approx(whole.latest, abs=1e-12)
    assert not np.allclose(parts[0].latest, whole.latest)


def test_order_is_without_effect():
    tubes = [Tube(Seen(n), e, a) for n, e, a in ((5, 1.0, ROUGH), (100, 1.0, OTHER), (20, 0.4, ROUGH))]
    assert (course((0, tubes)).latest == course((0, tubes[::-1])).latest).all()


@pytest.mark.parametrize("second", [Tube(Seen(5), 1.0, ROUGH), Tube(Seen(3), 1.0, OTHER)], ids=["same", "other"])
def test_a_second_tube_of_the_day_narrows(second):
    first = Tube(Seen(5), 1.0, ROUGH)
    assert spread(course((0, [first, second]))) < spread(course((0, [first])))


@pytest.mark.parametrize("days", [30, 365])
def test_an_earlier_sample_narrows(days):
    tubes = [Tube(Seen(5), 1.0, ROUGH)]
    assert spread(course((-days, tubes), (0, tubes))) < spread(course((0, tubes)))


def test_a_day_apart_is_nearly_one_day_and_long_ago_is_nearly_nothing():
    earlier, now = [Tube(Seen(40), 1.0, EXACT)], [Tube(Seen(2), 1.0, EXACT)]
    joined, alone = course((0, earlier + now)), course((0, now))
    assert mean(course((-0.01, earlier), (0, now))) == pytest.approx(mean(joined), rel=0.05)
    assert mean(course((-200 * YEAR, earlier), (0, now))) == pytest.approx(mean(alone), rel=0.01)
    by_time = [mean(course((-days, earlier), (0, now))) for days in (1, 30, 365, 3650)]
    assert by_time == sorted(by_time, reverse=True)


def test_one_cell_more_in_any_tube_lowers_no_level():
    uniforms = [np.random.default_rng(i).random(500) for i in range(3)]
    counts = [0, 5, 12]

    def drawn(counts):
        stops = [(-400 * i, [Tube(Seen(n), 1.0, ROUGH)]) for i, n in enumerate(counts)]
        return course(*stops[::-1]).draw(uniforms)

    before = drawn(counts)
    for at in range(3):
        more = drawn([n + (i == at) for i, n in enumerate(counts)])
        for level, was in zip(more, before, strict=True):
            assert (level > was * (1 - 5e-3)).all()  # the grid has steps of 3 %
        assert more[at].mean() > before[at].mean()


@pytest.mark.oracle
def test_levels_of_two_days_are_drawn_from_their_joint_posterior():
    # both days by hand: the two levels on a grid of their own, an assay that is known exactly
    n, memory, days = (2, 30), 8 * YEAR, 2000.0
    found = course((-days, [Tube(Seen(n[1]), 1.0, EXACT)]), (0, [Tube(Seen(n[0]), 1.0, EXACT)]))
    late, early = found.draw([np.random.default_rng(i).random(40_000) for i in range(2)])
    ln, kept = np.linspace(-9, 9, 721), np.exp(-days / memory)
    prior = stats.norm.pdf(ln, 0, 2.5)[:, None] * stats.norm.pdf(ln, kept * ln[:, None], 2.5 * np.sqrt(1 - kept**2))
    like = [stats.poisson.pmf(k, 0.75 * np.exp(ln)) for k in n]
    joint = prior * like[1][:, None] * like[0]
    joint /= joint.sum()
    assert np.log(late).mean() == pytest.approx(joint.sum(axis=0) @ ln, abs=0.02)
    assert np.log(early).mean() == pytest.approx(joint.sum(axis=1) @ ln, abs=0.02)
    both = (joint * np.outer(ln, ln)).sum()
    assert (np.log(early) * np.log(late)).mean() == pytest.approx(both, abs=0.06)


def test_an_intervention_moves_the_population():
    removed = Stop(0.0, (), (Change(np.log(0.163), 0.6),))
    found = Course(PATIENTS, (Stop(0.0, ()), removed), 8 * YEAR)
    assert found.latest @ GRID == pytest.approx(np.log(0.163), abs=0.01)
    assert spread(found) == pytest.approx(np.hypot(2.5, 0.6), rel=0.01)
    drop = np.exp([change.ln_mean for change in changes_by(("therapy", "further_therapy", "removal"))])
    assert drop == pytest.approx([0.21, 1.0, 0.163])


def test_populations_give_the_published_shares():
    rows = evidence.load("populations")
    z, weight = np.polynomial.hermite_e.hermegauss(100)
    for name, count, share in (
        ("population_breast_metastatic", 5, 0.49),
        ("population_mcrpc", 1, 0.75),
        ("population_mhspc", 5, 0.119),
        ("population_colorectal", 3, 129 / 451),
        ("pooled_metastatic", 2, 781 / 2183),
        ("pooled_early", 2, 0.14),
    ):
        cells = np.exp(rows.ln_mean[name] + rows.ln_sd[name] * z)
        assert stats.poisson.sf(count - 1, cells) @ weight / weight.sum() == pytest.approx(share, abs=0.02)
    false = 0.078  # cells in healthy donors, beside which the counts of early patients were read
    cells = np.exp(rows.ln_mean["population_breast_early"] + rows.ln_sd["population_breast_early"] * z)
    assert stats.poisson.sf(0, cells + false) @ weight / weight.sum() == pytest.approx(0.252, abs=0.01)
    assert population_of("kidney", "metastatic").id == "pooled_metastatic"
    assert population_of("kidney", "early").id == "pooled_early"
    assert population_of("prostate", "mcrpc").kind == "derived"


# in doubt ----------------------------------------------------------------------------------------------------------


@pytest.mark.oracle
def test_calls_in_doubt_are_a_mixture_whose_prevalence_is_inferred():
    candidates = [(0.95, 2), (0.3, 3)]
    seen = Seen.of(2, candidates)
    rate = np.array([0.2, 1.0, 4.0])
    others = np.linspace(1e-6, 40, 400_001)
    odds = [(p / (1 - p), n) for p, n in candidates]
    by_hand = [
        np.trapezoid(np.exp(-r - others) * np.prod([(r * o + others) ** n for o, n in odds], axis=0), others)
        for r in rate
    ]
    found = seen.ln_likelihood(1.0, rate, np.zeros(1), np.ones(1))
    assert np.exp(found - found[0]) == pytest.approx(by_hand / by_hand[0], rel=0.01)


@pytest.mark.oracle
def test_the_likelihood_of_calls_in_doubt_is_the_same_on_any_grid():
    seen = Seen.of(18, [(0.43, 1), (0.99, 1), (1.0, 17)])
    rate = np.geomspace(5, 60, 40)
    near = seen.ln_likelihood(0.5, rate, np.array([0.1]), np.ones(1))
    far = seen.ln_likelihood(0.5, np.append(rate, 1e8), np.array([0.1]), np.ones(1))[:-1]
    assert near - near.max() == pytest.approx(far - far.max(), abs=0.02)
    certain = course((0, [Tube(Seen(18), 0.5, ROUGH)]))
    assert mean(course((0, [Tube(seen, 0.5, ROUGH)]))) == pytest.approx(mean(certain), rel=0.12)


def test_certain_calls_are_the_count_itself():
    assert Seen.of(5, [(1.0, 5)]) == Seen.of(5, []) == Seen(5)
    rate = np.geomspace(0.01, 100, 30)
    certain = Seen(5).ln_likelihood(1.0, rate, np.array([0.1]), np.ones(1))
    nearly = Seen.of(5, [(0.999999, 5)]).ln_likelihood(1.0, rate, np.array([0.1]), np.ones(1))
    assert nearly - nearly.max() == pytest.approx(certain - certain.max(), abs=0.05)


def test_one_called_cell_more_raises_the_count():
    def median(candidates):
        found = course((0, [Tube(Seen.of(5, candidates), 1.0, ROUGH)]))
        return np.interp(0.5, np.cumsum(found.latest), GRID)

    for others in ([], [(0.3, 10)], [(0.1, 100)]):
        assert median([(0.95, 6), *others]) > median([(0.95, 5), *others])


# through the stage -------------------------------------------------------------------------------------------------


def test_names_and_order_of_same_day_tubes_change_no_risk(tmp_path):
    one = [counts_file(tmp_path, "A", n_ctc=5), counts_file(tmp_path, "B", n_ctc=100)]
    found = means(run(tmp_path, one, primary="colon"))
    other = [counts_file(tmp_path, "Z", n_ctc=5), counts_file(tmp_path, "C", n_ctc=100)]
    assert means(run(tmp_path, other, primary="colon")) == found
    assert means(run(tmp_path, one[::-1], primary="colon")) == found


def test_a_split_tube_gives_the_risk_of_the_whole(tmp_path):
    whole = run(tmp_path, [counts_file(tmp_path, "A", n_ctc=8, blood_volume_ml=7.5)], primary="colon")
    parts = [counts_file(tmp_path, n, n_ctc=4, blood_volume_ml=3.75) for n in ("A1", "A2")]
    assert means(run(tmp_path, parts, primary="colon")) == pytest.approx(means(whole), rel=1e-9)


@pytest.mark.parametrize("setting", ["early", "metastatic"])
def test_with_ever_less_blood_the_risk_becomes_the_populations(tmp_path, setting):
    def risk(volume, n_ctc=0):
        path = counts_file(tmp_path, n_ctc=n_ctc, blood_volume_ml=volume)
        return means(run(tmp_path, [path], primary="colon", setting=setting, draws=2000))[2]

    volumes = [7.5, 1, 0.1, 0.01, 0.001, 0.0001]
    found = [risk(volume) for volume in volumes]
    assert found == sorted(found)
    assert found[0] < found[-1] < risk(7.5, 5)  # no cells in no blood are no sign of many
    assert found[-1] == pytest.approx(found[-2], rel=0.05)


def test_one_cell_more_never_lowers_any_organ(tmp_path):
    def model(counts, age=0.7):
        samples = [
            conditioning.Sample(0.0, Tube(Seen(counts[0]), 1.0, ROUGH)),
            conditioning.Sample(age, Tube(Seen(counts[1]), 1.0, ROUGH)),
        ]
        return conditioning.build("colon", samples, Draws(3, 1000), sex="male", early=True)

    for base in ((0, 0), (3, 1), (1, 40), (30, 30)):
        before = model(base).risk([5.0])[0][0]
        for more in ((base[0] + 1, base[1]), (base[0], base[1] + 1)):
            after = model(more).risk([5.0])[0][0]
            assert (after.mean(axis=0) >= before.mean(axis=0)).all()


def test_a_tube_after_the_operation_is_read_as_one(tmp_path):
    about = {"primary": "colon", "resected": "2026-02-01", "draws": 2000}
    before, after, later = (
        means(run(tmp_path, [counts_file(tmp_path, n_ctc=5, collected=day, **drawn)], **about))[2]
        for day, drawn in (("2026-02-01", {}), ("2026-02-01", {"drawn": "after"}), ("2026-02-02", {}))
    )
    assert after > before
    assert after == pytest.approx(later, rel=0.01)


def test_with_too_little_blood_the_cascade_says_so(tmp_path):
    little = counts_file(tmp_path, "A", n_ctc=0, blood_volume_ml=0.1, evidence="too_little_blood")
    found = run(tmp_path, [little])
    assert (found["status"], found["evidence"]) == ("ok", "too_little_blood")
    assert "too little blood" in found["reason"]
    more = run(tmp_path, [little, counts_file(tmp_path, "B", n_ctc=0)])
    assert (more["evidence"], more["reason"]) == ("enough", "")


# two assays ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("days_between", [0, 40])
@pytest.mark.parametrize("count", [0, 5])
def test_one_cell_more_by_an_assay_with_many_false_cells_lowers_no_level(count, days_between):
    """Beside a tube of few cells by another assay, many cells used to be those of an unusual background."""
    false = Assay(Factor(0.7, 0.3, 0.95), Factor(0.93, 0.76, 0.998), Factor(5.0, 0.2, 60.0))
    levels = []
    for n in (0, 1, 2, 3, 5, 10, 20, 50, 200, 1000):
        few, many = Tube(Seen(count), 1.0, ROUGH), Tube(Seen(n), 1 / 7.5, false)
        stops = [(0, [few, many])] if not days_between else [(0, [few]), (days_between, [many])]
        found = course(*stops, population=population_of("colon", "early"))
        levels.append(found.draw([np.linspace(0.02, 0.98, 25)] * len(found.stops))[-1])
    assert (np.diff(np.log(levels), axis=0) > -0.04).all()


def test_more_cells_never_say_less_of_any_level():
    falling = np.array([0.0, -1.0, -2.0, -3.0])
    rising = np.array([0.0, 1.0, 0.5, -np.inf])
    assert never_less([rising]) == pytest.approx(rising)
    assert never_less([rising, falling])[:3] == pytest.approx([0.0, 1.0, 0.5])


@pytest.mark.parametrize(("sure", "unsure"), [(0, 1), (0, 50), (5, 1), (5, 10), (5, 50)])
def test_the_ctcs_to_expect_follow_the_probability_of_cells_in_doubt_without_a_jump(sure, unsure):
    steps = np.linspace(0.01, 0.99, 197)
    found = [Seen.of(sure, [(0.9999, sure)] * bool(sure) + [(p, unsure)]).expected() for p in steps]
    assert np.all(np.diff(found) > 0)
    assert np.diff(found).max() < 0.1 * unsure  # at most a tenth of the cells for a probability of 0.005
    assert sure <= found[0] + 0.01
    assert found[-1] == pytest.approx(sure + unsure, abs=0.02 * unsure)


@pytest.mark.parametrize("p", [0.1, 0.3, 0.45, 0.49, 0.9])
def test_one_cell_alone_counts_by_its_probability(p):
    assert Seen.of(0, [(p, 1)]).expected() == pytest.approx(p, abs=0.001)


FALSE_CELLS = Assay(Factor(0.7, 0.3, 0.95), Factor(0.93, 0.76, 0.998), Factor(5.0, 0.2, 60.0))
"""An assay without enrichment, whose false cells may be many."""


def cells(n, exposure, assay, p=1.0):
    return Tube(Seen.of(n, [(p, n)] if n else []), exposure, assay)


@pytest.mark.regression
@pytest.mark.parametrize("setting", ["early", "metastatic"])
def test_no_cell_by_one_assay_does_not_outweigh_any_number_by_another(setting):
    population = population_of("breast", setting)
    none = cells(0, 1.0, ROUGH)
    levels = {}
    for n in (0, 20, 200, 1000):
        found = course((0, [none, cells(n, 1 / 7.5, FALSE_CELLS)]), population=population)
        levels[n] = float(np.exp(found.latest @ GRID))
    alone = course((0, [cells(200, 1 / 7.5, FALSE_CELLS)]), population=population)
    assert levels[0] < levels[20] < 1  # so many may be false ones of that assay
    assert levels[200] > 0.5 * float(np.exp(alone.latest @ GRID))  # these are not, so the other assay misses them
    assert levels[1000] > 4 * levels[200]


@pytest.mark.parametrize("p", [0.97, 1.0])
@pytest.mark.parametrize("days", [0, 38])
@pytest.mark.parametrize("other", [ROUGH, FALSE_CELLS], ids=["another assay", "the same assay"])
def test_one_cell_more_beside_another_tube_lowers_no_level(other, days, p):
    uniforms = [np.random.default_rng(i).random(200) for i in range(2)]
    for later in (False, True):
        before = None
        for n in (0, 1, 2, 6, 20, 21, 100, 400):
            tubes = [cells(5, 1.0, other, p), cells(n, 1 / 7.5, FALSE_CELLS, p)]
            first, second = tubes if later else tubes[::-1]
            stops = [(0, [first, second])] if days == 0 else [(-days, [first]), (0, [second])]
            levels = np.stack(course(*stops).draw(uniforms[: len(stops)]))
            assert before is None or (levels >= before * (1 - 1e-9)).all()
            before = levels


def test_a_tube_split_in_two_beside_another_assay_says_what_the_whole_said():
    beside = cells(3, 0.1, FALSE_CELLS)
    whole = course((0, [cells(5, 1.0, ROUGH), beside]))
    parts = course((0, [cells(2, 0.3, ROUGH), beside, cells(3, 0.7, ROUGH)]))
    assert parts.latest == pytest.approx(whole.latest, abs=1e-12)
