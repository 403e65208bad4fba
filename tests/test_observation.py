"""The observation model against printed tables, closed forms and its own simulator, which shares no code with it."""

import math
from dataclasses import replace

import numpy as np
import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.rates import confint_poisson

from ctcascade.counting.observation import Factor, Observation, change
from ctcascade.data.errors import InputError

pytestmark = pytest.mark.unit

ONE, NONE = Factor(1, 1, 1), Factor(0, 0, 0)


def perfect(volume_ml=7.5):
    return Observation(volume_ml, 1.0, 1.0, ONE, ONE, NONE, ONE)


# Printed tables: exact Poisson limits; the posterior and the chance of a cut-off at 7.5 mL; limits of change
GARWOOD = """0 0 3.69; 1 .03 5.57; 2 .24 7.22; 3 .62 8.77; 4 1.09 10.24; 5 1.62 11.67; 7 2.81 14.42; 10 4.80 18.39
15 8.40 24.74; 20 12.22 30.89; 50 37.1 65.9; 100 81.4 121.6"""
# count, mean, low, high, P(rate >= 5), P(count >= 5), P(rate >= 3), P(count >= 3)
POSTERIOR = """0 0.50 0.00 2.51 0.002 0.010 0.014 0.050
1 1.50 0.11 4.67 0.019 0.064 0.112 0.216
2 2.50 0.42 6.42 0.075 0.164 0.306 0.409
3 3.50 0.84 8.01 0.189 0.294 0.540 0.583
4 4.50 1.35 9.51 0.350 0.433 0.740 0.720
5 5.50 1.91 10.96 0.530 0.564 0.873 0.818
6 6.50 2.50 12.37 0.694 0.677 0.946 0.886
8 8.50 3.78 15.10 0.904 0.839 0.993 0.958
10 10.50 5.14 17.74 0.979 0.927 0.999 0.985
15 15.50 8.77 24.12 1.000 0.992 1.000 0.999"""
# earlier count; largest decline (one-sided, two-sided) and smallest rise (likewise) at 0.05 and equal exposure
CHANGE = """1 - - 7 8; 2 - - 9 10; 3 - - 10 12; 4 - - 12 13; 5 0 - 13 15; 6 0 0 15 17; 8 1 1 18 20; 10 3 2 20 23
12 4 3 23 25; 15 6 5 27 29; 20 10 8 33 36; 30 17 15 46 49; 50 33 31 69 73; 100 77 73 126 131; 200 167 161 236 243"""

# true rate; given 5 or more: fall below 5, fall by 30 % or more, by 50 % or more; given fewer than 5: any rise
NO_CHANGE = """5 .440 .452 .274 .713; 6 .285 .367 .203 .808; 8 .100 .277 .125 .929; 10 .029 .233 .087 .978
15 .001 .172 .042 .999; 30 .000 .089 .006 1.000"""


def rows(table):
    return [line.split() for line in table.replace("\n", ";").split(";")]


@pytest.mark.oracle
@pytest.mark.parametrize(("count", "low", "high"), rows(GARWOOD))
def test_garwood_limits_are_the_printed_ones_and_those_of_chi_square(count, low, high):
    n = int(count)
    found = confint_poisson(n, 1, method="exact-c")
    assert found == pytest.approx((float(low), float(high)), abs=0.05 if n >= 50 else 0.005)
    assert found[0] == pytest.approx(stats.chi2.ppf(0.025, 2 * n) / 2 if n else 0.0)
    assert found[1] == pytest.approx(stats.chi2.ppf(0.975, 2 * n + 2) / 2)


@pytest.mark.oracle
@pytest.mark.parametrize("row", rows(POSTERIOR), ids=lambda row: f"count={row[0]}")
def test_posterior_at_7_5_ml_is_the_printed_one(row):
    count, (mean, low, high, *chances) = int(row[0]), map(float, row[1:])
    blood, reference = perfect().blood(count), perfect().reference(count)
    assert blood.mean == pytest.approx(mean, abs=5e-4)
    assert blood.quantiles([0.025, 0.975]) == pytest.approx([low, high], abs=0.0051)
    rate5, count5, rate3, count3 = chances
    assert [reference.p_at_least(5), reference.p_at_least(3)] == pytest.approx([count5, count3], abs=5.1e-4)
    # the probability that the rate itself exceeds the cut-off is a different one
    exceeds = [float(blood.weights[blood.values >= k].sum()) for k in (5, 3)]
    assert exceeds == pytest.approx([rate5, rate3], abs=2e-3)


@pytest.mark.oracle
@pytest.mark.parametrize(
    ("volume_ml", "count", "p5"),
    [(3.75, 2, 0.465), (3.75, 3, 0.663), (3.75, 5, 0.894), (15, 8, 0.408), (15, 10, 0.561), (15, 15, 0.831)],
)
def test_chance_of_the_cutoff_at_half_and_double_volume_is_the_printed_one(volume_ml, count, p5):
    assert perfect(volume_ml).reference(count).p_at_least(5) == pytest.approx(p5, abs=5.1e-4)


@pytest.mark.oracle
@pytest.mark.parametrize("count", [0, 3, 40, 5000])
@pytest.mark.parametrize("k", [1, 5, 50])
def test_chance_of_a_reference_count_is_negative_binomial_whatever_the_recovery(count, k):
    # recovery equals the reference's and cancels; only sensitivity and the imaged share remain
    observation = Observation(10.0, 0.5, 0.8, Factor(0.8, 0.535, 0.967), Factor(0.6, 0.6, 0.6), NONE, ONE)
    rate = 10.0 / 7.5 * 0.5 * 0.8 * 0.6
    expected = stats.nbinom.sf(k - 1, count + 0.5, rate / (1 + rate))
    assert observation.reference(count).p_at_least(k) == pytest.approx(expected, abs=2e-4)


@pytest.mark.oracle
def test_a_lower_recovery_than_the_reference_raises_the_reference_count():
    # half the reference's recovery: 6 cells here are 12 there
    half = Factor(0.5, 0.5, 0.5)
    reference = Observation(7.5, 1, 1, Factor(0.4, 0.4, 0.4), ONE, NONE, half).reference(6)
    assert reference.mean == pytest.approx(13.0, rel=1e-4)


@pytest.mark.oracle
def test_chance_to_see_a_cell_in_one_to_four_tubes():
    found = [perfect(7.5 * tubes).p_shows(1, concentration=1.0) for tubes in (1, 2, 3, 4)]
    assert found == pytest.approx([0.632, 0.865, 0.950, 0.982], abs=5e-4)
    assert perfect().p_shows(1, concentration=1.5) == pytest.approx(0.777, abs=5e-4)


@pytest.mark.oracle
def test_losses_thin_the_cells_and_truncate_nothing():
    # 1 - exp(-1.5 * 0.8) = 69 %; multiplying each drawn count by 0.8 and cutting would give less than half
    thinned = Observation(7.5, 1, 1, Factor(0.8, 0.8, 0.8), ONE, NONE)
    assert thinned.p_shows(1, concentration=1.5) == pytest.approx(1 - math.exp(-1.2), abs=1e-6)


@pytest.mark.oracle
@pytest.mark.parametrize("count", [0, 1, 2, 4, 20, 400])
def test_posterior_with_every_factor_uncertain_is_that_of_a_plain_sum_over_draws(count):
    """The same posterior from 400,000 weighted draws of Lambda, recovery, sensitivity and background."""
    recovery, sensitivity = stats.beta(9.0, 2.25), stats.beta(13.0, 1.5)
    background = stats.lognorm(s=0.9, scale=0.4)
    observation = Observation(6.0, 0.9, 0.8, *map(factor, (recovery, sensitivity, background)))
    rng = np.random.default_rng(11)
    n, exposure = 400_000, 6.0 / 7.5 * 0.9 * 0.8
    q = recovery.rvs(n, random_state=rng) * sensitivity.rvs(n, random_state=rng)
    b = background.rvs(n, random_state=rng)
    reach = np.sqrt(3 * (count + 5) / exposure)
    root = rng.uniform(0, reach, n)  # of q Lambda, where Jeffreys' prior is flat
    mean = exposure * (root**2 + b)
    log_weights = count * np.log(mean) - mean
    weights = np.exp(log_weights - log_weights.max())
    order = np.argsort(root**2 / q)
    values, cumulated = (root**2 / q)[order], np.cumsum(weights[order]) / weights.sum()
    expected = np.interp([0.025, 0.25, 0.5, 0.75, 0.975], cumulated, values)
    found = observation.blood(count).quantiles([0.025, 0.25, 0.5, 0.75, 0.975])
    assert found == pytest.approx(expected, rel=0.02, abs=0.004)


def factor(distribution):
    low, high = distribution.ppf([0.025, 0.975])
    return Factor(float(distribution.mean()), float(low), float(high))


observations = st.builds(
    lambda volume, imaged, recovery, background: Observation(volume, 1.0, imaged, *recovery, background, ONE),
    volume=st.floats(1, 40),
    imaged=st.floats(0.2, 1),
    recovery=st.sampled_from(
        [
            (ONE, ONE),
            (Factor(0.8, 0.535, 0.967), Factor(0.9, 0.7, 0.99)),
            (Factor(0.7, 0.3, 0.95), Factor(0.5, 0.2, 0.8)),
        ]
    ),
    background=st.sampled_from([NONE, Factor(0.08, 0.08, 0.08), Factor(0.2, 0.01, 1.0), Factor(8.0, 1.0, 30.0)]),
)
counts = st.integers(0, 60) | st.integers(61, 30_000)


@pytest.mark.property
@given(observation=observations, count=counts, level=st.sampled_from([0.5, 0.8, 0.95, 0.99]))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_estimate_lies_in_its_interval_and_more_cells_mean_more(observation, count, level):
    found, more = observation.interval(count, level), observation.interval(count + 1, level)
    assert 0 <= found.low <= found.estimate <= found.high < math.inf
    assert found.low <= more.low
    assert found.high < more.high
    assert found.estimate <= more.estimate
    assert found.level == level
    assert observation.reference(count).p_at_least(5) <= observation.reference(count + 1).p_at_least(5) + 1e-4


@pytest.mark.oracle
@given(
    count=st.integers(0, 2000),
    volume=st.floats(1, 40),
    recovery=st.floats(0.05, 1),
    background=st.sampled_from([0.0, 0.1, 2.0]),
    level=st.floats(0.5, 0.99),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_limits_hold_exactly_the_level(count, volume, recovery, background, level):
    exact = Factor(recovery, recovery, recovery), ONE, Factor(background, background, background)
    found = Observation(volume, 1, 1, *exact).interval(count, level)
    exposure, tail = volume / 7.5, (1 - level) / 2
    # Jeffreys' prior is flat in the square root of q Lambda: the likelihood is the posterior
    root = np.linspace(0, np.sqrt(stats.gamma(count + 0.5).isf(1e-9) / exposure), 40_001)
    below = np.cumsum(stats.poisson.pmf(count, exposure * (root**2 + background)))
    below_low, below_high = np.interp(np.sqrt(np.array(found[1:3]) * recovery), root, below / below[-1])
    assert below_high == pytest.approx(1 - tail, abs=2e-3)
    if (
        stats.poisson(exposure * background).sf(count - 1) > tail
    ):  # the same number of cells without any CTC in the blood
        assert found.low == 0
    else:
        assert below_low == pytest.approx(tail, abs=2e-3)


@pytest.mark.property
@given(observation=observations, count=st.integers(0, 5000))
@settings(max_examples=30, deadline=None, derandomize=True)
def test_twice_the_cells_in_twice_the_blood_is_the_same_concentration_known_better(observation, count):
    double = replace(observation, blood_volume_ml=2 * observation.blood_volume_ml)
    once, twice = observation.interval(count, 0.95), double.interval(2 * count, 0.95)
    assert twice.estimate == pytest.approx(once.estimate)
    assert twice.high < once.high
    # where all uncertainty is in the background, more blood does not help
    assert twice.high - twice.low < (once.high - once.low) * 1.01
    # Jeffreys' prior is worth half a cell, which weighs half as much in twice the blood
    clean, clean_double = (replace(seen, background_per_7_5_ml=NONE) for seen in (observation, double))
    half_a_cell = clean.blood(count).mean / (2 * count + 1) / 2
    assert clean_double.blood(2 * count).mean == pytest.approx(clean.blood(count).mean - half_a_cell, rel=1e-3)


@pytest.mark.regression
def test_an_estimate_outside_its_limits_is_moved_to_the_nearer_one():
    found = Observation(30.0, 1.0, 0.75, ONE, ONE, Factor(1.0, 0.01, 10.0)).interval(3, 0.5)
    assert 0 < found.estimate == found.low  # by hand, 3 cells less 3 of background


@pytest.mark.property
def test_wider_factors_give_wider_intervals():
    def width(recovery, background):
        found = Observation(7.5, 1, 1, recovery, ONE, background).interval(30, 0.95)
        return found.high - found.low

    exact, loose = Factor(0.7, 0.7, 0.7), Factor(0.7, 0.5, 0.85)
    assert width(exact, NONE) < width(loose, NONE) < width(Factor(0.7, 0.3, 0.95), NONE)
    assert width(exact, Factor(4, 4, 4)) < width(exact, Factor(4, 1, 10))


@pytest.mark.oracle
def test_blank_of_one_donor_in_344_with_two_cells():
    background = Factor(0.078, 0.078, 0.078)
    blank = Observation(7.5, 1, 1, ONE, ONE, background)
    assert blank.p_shows(2, concentration=0.0) == pytest.approx(1 / 344, rel=0.02)
    assert blank.limit_of_blank(0.95) == 1
    assert perfect().limit_of_blank(0.95) == 0
    # in four tubes there is four times the background
    assert Observation(30.0, 1, 1, ONE, ONE, Factor(1, 1, 1)).limit_of_blank(0.95) == stats.poisson(4).ppf(0.95)
    # the interval includes zero for a count that is usual in blood without CTCs, and excludes it for one that is not
    assert blank.interval(1, 0.95).low == 0
    assert blank.interval(2, 0.95).low > 0.2
    assert perfect().interval(1, 0.95).low == pytest.approx(0.1079, abs=1e-3)


@pytest.mark.regression
@pytest.mark.parametrize("name", ["cellsearch", "hdsca"])
def test_shipped_factors_have_distributions_with_their_stated_limits(name, request):
    assay = yaml.safe_load((request.config.rootpath / "config" / "assays" / f"{name}.yaml").read_text())
    given = {key: Factor(*(assay[key][k] for k in ("mean", "low", "high"))) for key in ("recovery", "sensitivity")}
    for stated in given.values():
        # with 10^6 cells only the factor's own spread is left, upside down
        found = 1 / Observation(7.5, 1, 1, stated, ONE, NONE).blood(10**6).quantiles([0.975, 0.025]) * 10**6
        assert found == pytest.approx([stated.low, stated.high], abs=0.015)
    assert (assay.get("reference_equivalent") is None) == (name == "hdsca")


@pytest.mark.property
@pytest.mark.parametrize(
    ("recovery", "background"),
    [(Factor(0.99, 0.2, 0.995), NONE), (ONE, Factor(0.2, 0.0, 1.0))],
)
def test_impossible_factors_are_refused_with_a_message(recovery, background):
    with pytest.raises(InputError, match="assay"):
        Observation(30, 1, 1, recovery, ONE, background).interval(0, 0.95)


@pytest.mark.property
def test_a_count_of_zero_means_the_same_whatever_the_background():
    clean, dirty = (Observation(30, 1, 1, ONE, ONE, b).blood(0) for b in (NONE, Factor(900.0, 900.0, 900.0)))
    assert dirty.quantiles([0.25, 0.975]) == pytest.approx(clean.quantiles([0.25, 0.975]))


@pytest.mark.property
def test_no_posterior_without_analysed_blood_or_reference_equivalent():
    with pytest.raises(ValueError, match="exposure"):
        Observation(7.5, 1, 0, ONE, ONE, NONE).blood(0)
    with pytest.raises(ValueError, match="reference"):
        Observation(7.5, 1, 1, ONE, ONE, NONE).reference(3)


@pytest.mark.oracle
@pytest.mark.parametrize("row", rows(CHANGE), ids=lambda row: f"from={row[0]}")
def test_limits_of_change_are_the_printed_ones(row):
    earlier, limits = int(row[0]), [None if cell == "-" else int(cell) for cell in row[1:]]

    def largest(p_of):
        below = [y for y in range(earlier) if p_of(change(earlier, 1.0, y, 1.0)) <= 0.05]
        return max(below, default=None)

    def smallest(p_of):
        y = earlier + 1
        while p_of(change(earlier, 1.0, y, 1.0)) > 0.05:
            y += 1
        return y

    found = [largest(lambda c: c.p_decline), largest(lambda c: c.p_value)]
    found += [smallest(lambda c: c.p_rise), smallest(lambda c: c.p_value)]
    assert found == limits


@pytest.mark.oracle
@pytest.mark.parametrize("row", rows(NO_CHANGE), ids=lambda row: f"rate={row[0]}")
def test_without_a_change_naive_responses_are_as_common_as_printed_and_verdicts_are_not(row):
    rate, *printed = map(float, row)
    p = stats.poisson(rate).pmf(np.arange(81))
    x, y = np.mgrid[:81, :81]
    pairs = np.outer(p, p)
    high, low = pairs * (x >= 5), pairs * (x < 5)
    shares = [high[y < 5].sum(), high[y <= 0.7 * x].sum(), high[y <= 0.5 * x].sum()]
    found = [*(share / high.sum() for share in shares), low[y > x].sum() / low.sum()]
    assert found == pytest.approx(printed, abs=6e-4)
    likely = np.argwhere(pairs > 2e-5)
    called = sum(pairs[a, b] for a, b in likely if "established" in change(int(a), 1.0, int(b), 1.0).verdict)
    assert 0 < called <= 0.05 * sum(pairs[a, b] for a, b in likely)


@pytest.mark.oracle
@pytest.mark.parametrize("count", [0, 3, 40, 400])
def test_tubes_that_vary_widen_the_limits_as_a_sum_over_tubes_does(count):
    recovery, cv = stats.beta(9.0, 2.25), 0.3
    sd = math.sqrt(math.log1p(cv**2))
    low, high = np.exp(-(sd**2) / 2 + stats.norm.ppf([0.025, 0.975]) * sd)
    tube = Factor(1.0, float(low), float(high))
    rng = np.random.default_rng(5)
    n = 400_000
    q = recovery.rvs(n, random_state=rng) * np.exp(rng.normal(-(sd**2) / 2, sd, n))
    expected = np.quantile(stats.gamma(count + 0.5).rvs(n, random_state=rng) / q, [0.025, 0.5, 0.975])
    observation = Observation(7.5, 1, 1, factor(recovery), ONE, NONE, ONE, tube)
    assert observation.blood(count).quantiles([0.025, 0.5, 0.975]) == pytest.approx(expected, rel=0.02, abs=2e-3)
    # a new tube on the reference assay has that spread in reference_equivalent
    assert observation.reference(count).mean == pytest.approx(
        replace(observation, tube_to_tube=None).reference(count).mean
    )
    assert observation.p_shows(count, concentration=0.0) == replace(observation, tube_to_tube=None).p_shows(
        count, concentration=0.0
    )


@pytest.mark.oracle
@pytest.mark.parametrize(
    ("x", "e1", "y", "e2"), [(5, 1.0, 0, 1.0), (10, 0.5, 4, 1.5), (0, 1.0, 9, 2.0), (40, 2, 61, 1)]
)
def test_exact_change_is_the_binomial_test_of_scipy(x, e1, y, e2):
    found = change(x, e1, y, e2)
    share = e2 / (e1 + e2)
    assert found.p_decline == pytest.approx(stats.binomtest(y, x + y, share, alternative="less").pvalue)
    assert found.p_rise == pytest.approx(stats.binomtest(y, x + y, share, alternative="greater").pvalue)
    limits = stats.binomtest(y, x + y, share).proportion_ci(0.95, method="exact")
    assert found.low == pytest.approx(limits.low / (1 - limits.low) * e1 / e2)
    if x == 0:
        assert (found.high, found.rate_ratio) == (None, None)
    else:
        assert found.high == pytest.approx(limits.high / (1 - limits.high) * e1 / e2)
        assert found.rate_ratio == pytest.approx(y / e2 / (x / e1))


@pytest.mark.oracle
def test_variation_between_tubes_weakens_a_change():
    exact, varied = change(100, 1, 73, 1), change(100, 1, 73, 1, assay_cv=0.14)
    assert exact.verdict == "decline established"
    assert varied.verdict == "compatible with no change"
    # log(73 / 100) over sqrt(1/100 + 1/73 + 2 * 0.14^2) is -1.26
    assert varied.p_value == pytest.approx(2 * stats.norm.sf(1.26), rel=0.1)
    assert varied.low < exact.low < exact.high < varied.high
    # however many cells there are, a decline of less than about 32 % is not established
    assert change(10**6, 1, 690_000, 1, assay_cv=0.14).verdict == "compatible with no change"
    assert change(10**6, 1, 670_000, 1, assay_cv=0.14).verdict == "decline established"


@pytest.mark.parametrize(("e", "cv"), [(0.1, 0.0), (1.0, 0.14), (10.0, 0.14)])
def test_no_cell_in_either_sample_is_no_change_that_could_be_judged(e, cv):
    found = change(0, 1.0, 0, e, assay_cv=cv)
    assert found.verdict == "not evaluable"
    assert found.p_decline == pytest.approx(found.p_rise)


@pytest.mark.property
@given(x=st.integers(0, 300), y=st.integers(0, 300), e=st.floats(0.1, 10), cv=st.sampled_from([0.0, 0.14]))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_change_read_backwards_is_the_inverse(x, y, e, cv):
    assume(x + y > 0)
    forth, back = change(x, 1.0, y, e, assay_cv=cv), change(y, e, x, 1.0, assay_cv=cv)
    assert forth.p_decline == pytest.approx(back.p_rise)
    assert forth.p_value == pytest.approx(back.p_value)
    # nothing found before: no upper limit forth, 0 as the lower limit back
    inverse = None if forth.high is None else pytest.approx(forth.high, rel=1e-6)
    assert (1 / back.low if back.low > 0 else None) == inverse
    # a change is established just where the interval leaves 1 out
    outside = forth.low > 1 or (forth.high is not None and forth.high < 1)
    assert (forth.verdict in ("decline established", "rise established")) == outside


@pytest.mark.slow
@pytest.mark.property
def test_intervals_cover_at_their_level():
    """400 samples a stratum, drawn cell by cell; the bounds allow for three standard errors of such a run."""
    recovery, sensitivity = stats.beta(9.0, 2.25), stats.beta(13.0, 1.5)
    background = stats.lognorm(s=0.9, scale=0.1)
    rng = np.random.default_rng(20261122)
    factors = [factor(d) for d in (recovery, sensitivity, background)]
    for low, high in ((1, 5), (5, 15), (15, 50), (50, 1000)):
        covered = 0
        for _ in range(400):
            truth, volume, imaged = rng.uniform(low, high), rng.choice([2, 5, 7.5, 15, 30]), rng.choice([0.5, 0.75, 1])
            drawn = rng.poisson(truth * volume / 7.5)
            for share in (imaged, recovery.rvs(random_state=rng), sensitivity.rvs(random_state=rng)):
                drawn = rng.binomial(drawn, share)
            drawn += rng.poisson(background.rvs(random_state=rng) * volume / 7.5 * imaged)
            found = Observation(float(volume), 1.0, float(imaged), *factors).interval(int(drawn), 0.95)
            covered += found.low <= truth <= found.high
        assert 0.917 <= covered / 400 <= 0.983, (low, high, covered / 400)
