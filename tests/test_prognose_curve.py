"""The survival curve: published medians, mixtures, bands, and the other rows and models beside it."""

import numpy as np
import pytest
from scipy import stats

from ctcascade import evidence
from ctcascade.data.vocabulary import CUTOFFS
from ctcascade.prognosis.curves import Continuous, Shape, Stratum, band, horizon, log_logistic, mixture
from ctcascade.prognosis.rows import main_row, matching, shape_of
from tests.support import prognoses
from tests.support.prognoses import WITH_CURVES, alive, median_of, p_at_least, sample, sample_at, sure

pytestmark = pytest.mark.unit


@pytest.fixture
def run(tmp_path):
    """The stage as a function of samples."""
    return prognoses.runner(tmp_path)


# --- the curve


@pytest.mark.oracle
@pytest.mark.parametrize(("primary", "setting", "row"), WITH_CURVES)
def test_each_stratum_alone_has_its_published_median(run, primary, setting, row):
    """T1. A count that lies in one group for certain gives that group's curve, which reaches its median."""
    strata = evidence.load("strata")
    for s in strata[strata.comparison == row].itertuples():
        result = run(primary, setting, sample(n=int(s.count_low), p_at_least=sure(int(s.count_low))))
        assert result["status"] == "ok"
        assert [w["evidence_id"] for w in result["strata"] if w["weight"] == 1] == [s.Index]
        assert result["horizon_months"] >= s.median_months
        assert median_of(result) == pytest.approx(s.median_months, rel=0.005)


@pytest.mark.oracle
def test_strata_are_not_swapped(run):
    """Few cells: the longer published median; many: the shorter. Fails if the groups change places."""
    few, many = run("breast", "metastatic", sample(n=0)), run("breast", "metastatic", sample(n=100))
    assert alive(few, 16.0) > 0.75
    assert alive(many, 16.0) == pytest.approx(0.5, abs=0.01)
    assert [s["label"] for s in few["strata"]] == ["below 5", "5 or more"]
    assert few["strata"][0]["weight"] > 0.98
    assert many["strata"][1]["weight"] > 0.98


@pytest.mark.oracle
def test_the_curve_is_the_mixture_by_the_probability_of_reaching_the_cut_off(run):
    """Hand-made: 0.3 below 5 with median 36.3, 0.7 from 5 on with median 16.0, shape 1.72; at 12 and 24 months."""
    result = run("breast", "metastatic", sample(n=6, p_at_least={**sure(50), "5": 0.7, "15": 0.1, "50": 0.0}))
    for t in (12.0, 24.0):
        by_hand = 0.3 / (1 + (t / 36.3) ** 1.72) + 0.7 / (1 + (t / 16.0) ** 1.72)
        assert alive(result, t) == pytest.approx(by_hand, abs=1e-9)


@pytest.mark.oracle
def test_survival_in_hormone_sensitive_prostate_cancer_is_near_the_numbers_at_risk():
    """T2. Patients at risk at 24 and 48 months over those at the start (S1216, figure 2), from the median alone."""
    at_risk = {
        ("PR06.1", "OS"): (107, 85, 57),
        ("PR06.2", "OS"): (60, 36, 15),
        ("PR08.0", "PFS"): (336, 232, 178),
        ("PR08.1", "PFS"): (107, 47, 27),
        ("PR08.2", "PFS"): (60, 15, 7),
    }
    for (name, endpoint), (start, *later) in at_risk.items():
        _, shape = shape_of("prostate", "mhspc", endpoint)
        median = evidence.load("strata").median_months[name]
        predicted = log_logistic(np.array([24.0, 48.0]), median, shape.central)
        assert predicted == pytest.approx(np.array(later) / start, abs=0.06), name


@pytest.mark.oracle
def test_two_years_below_the_cut_off_in_castration_resistance_is_what_a_later_trial_saw():
    """T3. A trial of abiraterone printed 46 % at two years below 5 cells; here from the median of another study."""
    _, shape = shape_of("prostate", "mcrpc", "OS")
    assert log_logistic(np.array([24.0]), 21.7, shape.central) == pytest.approx(0.46, abs=0.03)


def cox_hazard_ratio(times, seen, group):
    """Hazard ratio of group 1 over 0, times without ties: Newton on the partial likelihood."""
    at = np.argsort(times)
    ones, died = group[at], seen[at]
    n1, n = ones[::-1].cumsum()[::-1], np.arange(len(ones), 0, -1)
    beta = 0.0
    for _ in range(20):
        share = n1 * np.exp(beta) / (n1 * np.exp(beta) + n - n1)
        beta += (died * (ones - share)).sum() / (died * share * (1 - share)).sum()
    return float(np.exp(beta))


@pytest.mark.oracle
def test_two_curves_from_medians_alone_have_the_published_hazard_ratio():
    """T4. Cells gone against cells still there after a cycle (PREDICT): printed 0.48 (0.44 to 0.53).

    Followed to where the shape is supported, 2.5 of the shorter median; 40 cohorts, standard error of the mean 0.003.
    """
    rows = evidence.load("kinetics")
    gone, still = rows.loc["K07"], rows.loc["K08"]
    _, shape = shape_of("breast", "metastatic", "OS")
    rng = np.random.default_rng(5)
    group = np.repeat([1, 0], [int(gone.n), int(still.n)])
    end = shape.support * still.median_months
    found = []
    for _ in range(40):
        times = stats.fisk(shape.central).rvs(len(group), random_state=rng)
        times *= np.where(group, gone.median_months, still.median_months)
        found.append(cox_hazard_ratio(np.minimum(times, end), times <= end, group))
    assert 0.47 < np.mean(found) < 0.55
    assert gone.hr_low < np.mean(found) < gone.hr_high


@pytest.mark.oracle
def test_log_logistic_is_that_of_scipy():
    times = np.linspace(0, 60, 25)
    assert log_logistic(times, 16.0, 1.8) == pytest.approx(stats.fisk(1.8, scale=16.0).sf(times), abs=1e-12)


@pytest.mark.property
@pytest.mark.parametrize(("primary", "setting", "_row"), WITH_CURVES)
def test_more_cells_never_mean_longer_survival(run, primary, setting, _row):
    """T10."""
    results = [run(primary, setting, sample(n=n), n_draws=100) for n in (0, 1, 2, 3, 5, 8, 15, 40, 200)]
    p = np.array([[point["p"] for point in r["survival"]] for r in results])
    assert (np.diff(p, axis=0) <= 1e-12).all()
    assert (p[0, 4:] > p[-1, 4:]).all()


@pytest.mark.property
@pytest.mark.parametrize(("primary", "setting", "_row"), WITH_CURVES)
def test_curves_and_bands_are_survival_functions(run, primary, setting, _row):
    result = run(primary, setting, sample(n=4))
    columns = {c: np.array([point[c] for point in result["survival"]]) for c in ("time_months", "p", "low", "high")}
    assert columns["time_months"][0] == 0
    assert columns["time_months"][-1] == result["horizon_months"]
    assert columns["p"][0] == columns["low"][0] == columns["high"][0] == 1
    for c in ("p", "low", "high"):
        assert (np.diff(columns[c]) <= 0).all()
    assert (columns["low"] <= columns["p"]).all()
    assert (columns["p"] <= columns["high"]).all()


def test_a_wider_level_gives_a_wider_band_and_the_same_curve(run):
    narrow, wide = (run("prostate", "mcrpc", sample(n=4), level=level) for level in (0.5, 0.95))
    assert alive(narrow, 12) == alive(wide, 12)
    assert alive(wide, 12, "high") - alive(wide, 12, "low") > 2 * (alive(narrow, 12, "high") - alive(narrow, 12, "low"))


def test_twice_the_blood_and_twice_the_cells_keep_the_curve_but_sharpen_the_weight():
    """T11, on the weights: the same concentration, known better."""
    once, twice = p_at_least(8), p_at_least(16, volume_ml=15.0)
    assert twice["5"] > once["5"] > 0.8


@pytest.mark.oracle
@pytest.mark.parametrize("level", [0.8, 0.95])
def test_the_band_covers_the_truth_at_its_level(level):
    """Cohorts of the published size from known curves, a median refitted in each, the band drawn around it.

    400 cohorts: the standard deviation of the coverage is 0.011 at 0.95 and 0.02 at 0.8; limits of four of them.
    """
    rng = np.random.default_rng(20260101)
    shape = Shape(1.8, 1.42, 2.25, 2.5)
    truth, sizes, weights = (21.7, 11.5), (94, 125), (0.4, 0.6)
    times = np.array([6.0, 12.0, 20.0])
    covered = []
    for _ in range(400):
        beta = np.exp(rng.normal(np.log(shape.central), shape.spread))
        strata = []
        for median, n in zip(truth, sizes, strict=True):
            sample = stats.fisk(beta, scale=median).rvs(n, random_state=rng)
            strata.append(Stratum(float(np.median(sample)), n))
        low, high = band(times, weights, strata, shape, level=level, draws=1500, rng=rng)
        true = mixture(times, weights, truth, beta)
        covered.append((low <= true) & (true <= high))
    found = np.mean(covered, axis=0)
    spread = 4 * np.sqrt(level * (1 - level) / 400)
    assert (np.abs(found - level) < spread).all(), found


@pytest.mark.oracle
def test_the_error_of_a_median_is_the_larger_of_printed_and_computed():
    """Section: 2 / (1.8 sqrt 107) = 0.107, while 45.7 to 69.8 is a standard error of 0.108 of the logarithm."""
    assert Stratum(56.2, 107, 45.7, 69.8).standard_error(1.8) == pytest.approx(0.10805, abs=1e-4)
    assert Stratum(27.9, 60, 24.1, 31.2).standard_error(1.8) == pytest.approx(2 / (1.8 * 60**0.5), abs=1e-12)
    low, high = Stratum(16.0, 625).limits(1.6, 0.95)
    assert (low, high) == pytest.approx((16 * np.exp(-0.05 * 1.959964), 16 * np.exp(0.05 * 1.959964)), rel=1e-6)


def test_the_horizon_ends_where_the_evidence_ends():
    shape = Shape(1.8, 1.5, 2.0, 2.5)
    assert horizon([20.0, 8.0], shape, None) == 50.0
    assert horizon([20.0, 8.0], shape, 30.0) == 30.0
    assert horizon([20.0, 8.0], shape, 12.0) == 20.0


@pytest.mark.oracle
def test_the_continuous_model_gives_back_the_two_published_medians():
    """Simulated patients: negative-binomial counts, log-logistic times; medians below and from the cut-off."""
    model = Continuous.calibrated(5, (21.7, 11.5), 1.8, 0.377, 14.6)
    rng = np.random.default_rng(7)
    counts = stats.nbinom(0.377, 0.377 / (0.377 + 14.6)).rvs(200_000, random_state=rng)
    times = stats.fisk(1.8).rvs(len(counts), random_state=rng) * np.exp(
        model.intercept - model.slope * np.log1p(counts)
    )
    assert np.median(times[counts < 5]) == pytest.approx(21.7, rel=0.02)
    assert np.median(times[counts >= 5]) == pytest.approx(11.5, rel=0.02)
    assert model.slope > 0
    certain_zero = model.survival(np.array([12.0]), dict.fromkeys(CUTOFFS, 0.0))
    assert certain_zero == pytest.approx(log_logistic(np.array([12.0]), np.exp(model.intercept), 1.8), abs=1e-12)


def test_the_continuous_model_stands_beside_the_curve_and_disagreement_is_flagged(run):
    near, far = run("prostate", "mcrpc", sample(n=4)), run("prostate", "mcrpc", sample(n=500))
    assert near["sensitivity"][0]["model"] == far["sensitivity"][0]["model"] == "continuous"
    assert near["sensitivity"][0]["disagrees"] is (near["sensitivity"][0]["max_difference"] > 0.10)
    assert not near["sensitivity"][0]["disagrees"]
    assert far["sensitivity"][0]["disagrees"]
    assert far["sensitivity"][0]["curve"][-1]["time_months"] == far["horizon_months"]


def test_other_published_rows_are_listed_with_why_they_give_no_curve(run):
    others = {row["evidence_id"]: row for row in run("breast", "metastatic", sample(n=12))["other_rows"]}
    assert {"BM14", "BM15", "BM16", "BM17", "BM22", "BM25", "BM02"} <= set(others)
    assert others["BM17"]["curve"]
    assert others["BM17"]["disagrees"] is True  # triple-negative: median 9 months where all subtypes have 16
    assert others["BM02"]["curve"] == []
    assert others["BM02"]["why_no_curve"] == "a median is missing or only bounded"
    assert others["BM25"]["hr_flag"]


def test_a_known_subtype_leaves_out_rows_of_the_others(run):
    result = run("breast", "metastatic", sample(n=12), subtype="tnbc")
    others = {row["evidence_id"] for row in result["other_rows"]}
    assert "BM17" in others
    assert not {"BM15", "BM16"} & others
    assert result["strata"][0]["evidence_id"] == "BM13.0"
    assert "BM31" not in {f["evidence_id"] for f in result["negative_findings"]}


def test_a_bounded_median_is_never_a_number_of_a_curve(run):
    """No row with a median printed as "more than" draws a curve, and its bound carries no limits."""
    strata = evidence.load("strata")
    bounded, seen = set(strata.comparison[strata.lower_bound]), set()
    for primary, setting, _ in WITH_CURVES:
        result = run(primary, setting, sample(n=4), n_draws=100)
        assert not bounded & {s["evidence_id"].split(".")[0] for s in result["strata"]}
        rows = [row for row in result["other_rows"] if row["evidence_id"] in bounded]
        assert all(row["curve"] == [] for row in rows)
        assert all(stratum["low_months"] is None for row in rows for stratum in row["strata"])
        seen |= {row["evidence_id"] for row in rows}
    assert seen


def test_the_main_row_is_chosen_by_setting_size_and_year():
    for primary, setting, row in WITH_CURVES:
        assert main_row(matching(primary, setting, None), sample_at()).id == row
