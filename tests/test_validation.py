"""Analytical validation: published tables and closed forms for each statistic, and the stage on made-up tubes."""

import json

import numpy as np
import pytest
import yaml
from scipy import stats
from statsmodels.regression.linear_model import WLS

from ctcascade.data import store
from ctcascade.data.errors import InputError
from ctcascade.data.results import Replicates, Validation
from ctcascade.report import validation_page
from ctcascade.report.numbers import Traced
from ctcascade.study import jobs
from ctcascade.validation import analytical, detection_limits, linearity, origins, replicates, variance
from ctcascade.validation.tubes import Tube
from tests.support import report_cases as cases
from tests.support.sheets import PATIENT, ROOT, SAMPLE, only_fault, read
from tests.support.validations import laboratory, validated

pytestmark = pytest.mark.unit

# USP 29 <1010>, table 1: three replicates in each of five runs, and its analysis of variance
USP = [
    100.70,
    101.05,
    101.15,
    99.46,
    99.37,
    99.59,
    99.96,
    100.17,
    101.01,
    101.80,
    102.16,
    102.44,
    101.91,
    102.00,
    101.67,
]
ASSAY = yaml.safe_load((ROOT / "config" / "assays" / "cellsearch.yaml").read_text(encoding="utf-8"))
DONOR = {"patient": "D", "primary": "none", "setting": "none", "sex": "male"}


@pytest.mark.oracle
def test_variance_components_are_those_of_the_pharmacopoeia():
    runs = [str(k // 3) for k in range(15)]
    found = variance.components(USP, {"run": runs})
    assert found["within"] == pytest.approx(0.102, abs=5e-4)  # its mean square within runs
    assert found["run"] == pytest.approx((3.550 - 0.102) / 3, abs=5e-4)
    total = found["run"] + found["within"]
    assert total == pytest.approx(1.251, abs=5e-4)  # variance of one replicate in one run, its second table
    assert found["run"] / 2 + found["within"] / 6 == pytest.approx(0.592, abs=5e-4)  # of two runs of three


DYESTUFF = """1545 1440 1440 1520 1580 1540 1555 1490 1560 1495 1595 1550 1605 1510 1560
1445 1440 1595 1465 1545 1595 1630 1515 1635 1625 1520 1455 1450 1480 1445"""
DYESTUFF_2 = """7.298 3.846 2.434 9.566 7.990 5.220 6.556 0.608 11.788 -0.892 0.110 10.386 13.434 5.510 8.166
2.212 4.852 7.092 9.288 4.980 0.282 9.014 4.458 9.446 7.198 1.722 4.782 8.106 0.758 3.758"""


@pytest.mark.oracle
def test_variance_components_are_those_of_two_published_tables_of_six_batches():
    """Davies & Goldsmith's dyestuff (between batches 1764, within 2451), and Box & Tiao's, whose add nothing."""
    batches = {"run": [str(k // 5) for k in range(30)]}
    found = variance.components([float(y) for y in DYESTUFF.split()], batches)
    assert found == {"run": pytest.approx(1764.05, abs=0.01), "within": pytest.approx(2451.25, abs=0.01)}
    none = variance.components([float(y) for y in DYESTUFF_2.split()], batches)
    assert none["run"] < 0  # analysis of variance; REML puts it at the edge, as `sd` does
    assert variance.sd(none["run"]) == 0
    assert none["within"] == pytest.approx(14.946, abs=1e-3)


@pytest.mark.oracle
def test_unequal_runs_and_crossed_operators_are_divided_without_bias():
    """Mean over 4,000 draws of the estimates of an unbalanced, crossed design: the variances that made them."""
    rng = np.random.default_rng(1)
    run = ["a"] * 5 + ["b"] * 2 + ["c"] * 4 + ["d"] * 3
    operator = list("xyxyxxyzzxyzyx")
    factors = {"operator": operator, "run": run}
    of = {name: variance._indicator(labels) for name, labels in factors.items()}
    draws = rng.normal(10, 0, (4000, 14)) + rng.normal(0, 1, (4000, 14))
    draws += rng.normal(0, 2, (4000, 3)) @ of["operator"].T + rng.normal(0, 1.5, (4000, 4)) @ of["run"].T
    found = np.mean([list(variance.components(y, factors).values()) for y in draws], axis=0)
    assert found == pytest.approx([4, 2.25, 1], rel=0.08)


def test_sources_that_go_together_cannot_be_told_apart():
    assert variance.components([1.0, 2, 3, 5], {"operator": list("xxyy"), "run": list("aabb")}) is None
    assert variance.components([1.0], {}) is None
    assert variance.components([1.0, 2, 3], {}) == {"within": pytest.approx(1.0)}


@pytest.mark.oracle
@pytest.mark.parametrize(("n_runs", "each", "between"), [(6, 4, 4.0), (3, 4, 4.0), (5, 3, 0.0)])
def test_limits_of_a_standard_deviation_cover_it(n_runs, each, between):
    """Of 150 designs; where runs add nothing, the lower limit has to be zero in nearly all."""
    rng, draws = np.random.default_rng(5), 150
    runs, covered = [str(k // each) for k in range(n_runs * each)], np.zeros(2)
    of = variance._indicator(runs)
    for _ in range(draws):
        y = 50 + of @ rng.normal(0, between, n_runs) + rng.normal(0, 3, len(runs))
        ends = variance.limits(y, {"run": runs}, variance.components(y, {"run": runs}), 0.95, rng)
        covered += [ends["run"][0] <= between <= ends["run"][1], ends["within"][0] <= 3 <= ends["within"][1]]
    assert covered / draws == pytest.approx([0.95, 0.95], abs=0.05)


def test_readers_differ_by_a_pooled_share():
    # two readers: 9 and 11, SD sqrt(2) of 10; 20 and 20
    assert variance.pooled_cv([[9, 11], [20, 20]]) == pytest.approx((0.02 / 2) ** 0.5)
    assert variance.pooled_cv([[9], [0, 0]]) is None


@pytest.mark.oracle
@pytest.mark.parametrize(("blank", "mean"), [(0, 2.996), (1, 4.744), (2, 6.296), (3, 7.754), (9, 15.705)])
def test_the_limit_of_detection_of_a_count_is_half_a_published_quantile_of_chi_square(blank, mean):
    """95 % points of chi-square with 2, 4, 6, 8 and 20 degrees of freedom: 5.991, 9.488, 12.592, 15.507, 31.410."""
    assert detection_limits.limit_of_detection_by_counts(blank, 0.0, 1.0) == pytest.approx(mean, abs=6e-4)
    assert detection_limits.limit_of_detection_by_counts(blank, 0.5, 0.8) == pytest.approx((mean - 0.5) / 0.8, abs=1e-3)
    assert stats.poisson.sf(blank, mean) == pytest.approx(0.95, abs=1e-4)


@pytest.mark.oracle
def test_the_limit_of_blank_by_ranks_is_between_the_57th_and_58th_of_sixty():
    found = detection_limits.limit_of_blank([*range(60)])
    assert found.by_rank == 56.5  # rank 57.5, EP17-A2; the counts begin with 0
    assert detection_limits.limit_of_blank([0] * 19).by_rank is None
    x = np.array([*range(60)])
    assert found.by_normal == pytest.approx(x.mean() + 1.6449 / (1 - 1 / 236) * x.std(ddof=1), rel=1e-4)


@pytest.mark.oracle
def test_blanks_that_are_counts_exceed_their_limit_seldom():
    rng = np.random.default_rng(2)
    for rate in (0.05, 0.6, 3.0):
        limits = [detection_limits.limit_of_blank(rng.poisson(rate, 20)).by_counts for _ in range(300)]
        over = [float(stats.poisson.sf(limit, rate)) for limit in limits if limit is not None]
        assert np.mean(over) <= 0.05


def test_blanks_that_differ_by_more_than_chance_have_no_limit_of_counts():
    found = detection_limits.limit_of_blank([0] * 18 + [9, 12])
    assert found.dispersion_p < 2e-4  # of 10,000 draws
    assert found.by_counts is None
    limit = analytical.blank_limit([0] * 18 + [9, 12], 0.95)
    assert limit.count is None
    assert "differ by more than chance" in limit.why
    many = analytical.blank_limit([0] * 57 + [9, 12, 9], 0.95)
    assert (many.count, many.by_rank) == (5, 4.5)  # of ranks 57 and 58 of sixty: 0 and 9


@pytest.mark.oracle
def test_two_calls_in_one_of_twenty_blanks_are_no_more_than_chance():
    """The chance that the second falls into the tube of the first is one in twenty, which chi-square calls 0.006."""
    found = detection_limits.limit_of_blank([2, *[0] * 19])
    assert found.dispersion_p == pytest.approx(0.05, abs=0.007)
    assert found.by_counts == 1
    assert detection_limits.limit_of_blank([3, *[0] * 19]).dispersion_p == pytest.approx(1 / 400, abs=0.0015)


def test_blanks_of_unlike_volumes_have_no_limit():
    assert analytical.blank_limit([0, 1, 0], 0.95, [1.0, 0.9, 0.95]).count is not None
    limit = analytical.blank_limit([0, 1, 0], 0.95, [1.0, 0.2, 1.0])
    assert (limit.count, limit.why) == (None, "blanks of 0.2 to 1 tubes of blood are no like tubes")


@pytest.mark.oracle
@pytest.mark.parametrize(("cv", "blank"), [(0.15, 0), (0.3, 2), (0.5, 5)])
def test_the_limit_of_detection_allows_for_tubes_that_vary(cv, blank):
    at = detection_limits.limit_of_detection_by_counts(blank, 0.0, 0.8, 0.95, cv)
    rng = np.random.default_rng(8)
    seen = rng.poisson(0.8 * at * rng.gamma(cv**-2, cv**2, 100_000))
    assert (seen > blank).mean() == pytest.approx(0.95, abs=0.004)
    assert detection_limits.limit_of_detection_by_counts(0, 0.0, 1.0, 0.95, 5.0) is None  # no number is enough


@pytest.mark.oracle
@pytest.mark.parametrize(
    ("cv", "levels", "each"), [(0.0, (10, 50, 200), 3), (0.3, (5, 20, 100, 300), 5), (0.3, (50,), 6)]
)
def test_limits_of_the_recovery_cover_it_where_tubes_vary(cv, levels, each):
    """Of 400 simulated validations. By Pearson's dispersion alone 78 to 83 % of those that vary by 15 to 30 %."""
    rng, covered = np.random.default_rng(3), 0
    for _ in range(400):
        n = np.repeat(levels, each)
        seen = rng.poisson(0.8 * n * (rng.gamma(cv**-2, cv**2, len(n)) if cv else 1.0))
        tubes = [Tube("T", float(e), int(e), int(k), "spiked") for e, k in zip(n, seen, strict=True)]
        found = analytical.recovered(tubes, 0.0, 0.95)
        covered += found.low <= 0.8 <= found.high
    assert covered / 400 >= 0.92


def test_the_classical_limit_of_detection_pools_low_samples():
    low = [[4, 6, 5], [8, 10]]  # variances 1 and 2, three degrees of freedom
    sd = ((2 * 1 + 1 * 2) / 3) ** 0.5
    found = detection_limits.limit_of_detection_by_normal(2.0, low)
    assert found == pytest.approx(2 + 1.6449 / (1 - 1 / 12) * sd, rel=1e-4)
    assert detection_limits.limit_of_detection_by_normal(2.0, [[4], [6]]) is None
    assert detection_limits.limit_of_detection_by_normal(0.0, [[5, 5, 5]]) is None  # no scatter is no limit of zero


@pytest.mark.oracle
def test_the_limit_of_quantitation_has_the_wanted_variation():
    at = detection_limits.limit_of_quantitation(0.25, 0.1, 0.7, 0.8)
    m = 0.8 * at
    assert np.sqrt(m + 0.7 + 0.01 * m**2) / m == pytest.approx(0.25)
    assert detection_limits.limit_of_quantitation(0.2, 0.0, 0.0, 1.0) == pytest.approx(25)
    assert detection_limits.limit_of_quantitation(0.2, 0.2, 0.0, 1.0) is None


@pytest.mark.oracle
def test_variation_beyond_chance_is_found_again():
    rng = np.random.default_rng(4)
    groups = [rng.poisson(mean * rng.gamma(25, 1 / 25, 400)) for mean in (20, 200)]  # CV 0.2
    assert detection_limits.variation_beyond_chance(groups) == pytest.approx(0.2, abs=0.02)
    assert detection_limits.variation_beyond_chance([rng.poisson(30, 2000)]) < 0.05
    assert detection_limits.variation_beyond_chance([[3], [0, 0]]) is None


@pytest.mark.oracle
def test_the_line_and_its_bends_are_those_of_statsmodels():
    rng = np.random.default_rng(3)
    x = np.repeat([2.0, 5, 10, 25, 50, 100], 4)
    y = 0.9 * x - 0.002 * x**2 + rng.normal(0, np.sqrt(x))
    found = linearity.straightness(x, y)
    fits = [WLS(y, np.vander(x, d + 1, increasing=True), weights=1 / np.maximum(x, 1)).fit() for d in (1, 2, 3)]
    assert [found.slope.estimate, found.slope.high] == pytest.approx([fits[0].params[1], fits[0].conf_int()[1, 1]])
    assert [found.quadratic_p, found.cubic_p] == pytest.approx([fits[1].pvalues[2], fits[2].pvalues[3]], rel=1e-6)


def test_a_count_that_saturates_is_seen_to_deviate_and_a_straight_one_is_not():
    x = np.repeat([10.0, 50, 200, 800], 5)
    straight = linearity.straightness(x, 0.8 * x)
    assert all(abs(off.estimate) < 1e-9 for off in straight.deviations.values())
    assert straight.quadratic_p is None  # on the line but for rounding
    bent = linearity.straightness(x, 0.8 * x / (1 + x / 800))
    assert max(abs(off.estimate) for off in bent.deviations.values()) > 0.15
    assert linearity.straightness([1, 1, 2, 2], [1, 1, 2, 2]) is None


def test_the_laboratory_s_own_tubes_come_first(tmp_path):
    found, assay = validated(tmp_path, *laboratory())
    assert (found.basis, found.basis_of_blanks) == ("controls", "controls")
    assert [(level.expected, level.n_tubes, level.mean) for level in found.levels] == [
        (10, 6, 8.5),
        (40, 6, 32),
        (150, 6, 120),
    ]
    assert found.blank.n_false == 3
    assert found.levels[2].recovery.estimate == pytest.approx((120 - 0.5) / 150)
    recovery = (6 * (8.5 + 32 + 120) - 18 * 0.5) / (6 * 200)
    assert assay["recovery"]["mean"] == pytest.approx(recovery / ASSAY["sensitivity"]["mean"])
    assert assay["background_per_7_5_ml"]["mean"] == pytest.approx(3.5 / 6)
    assert "sensitivity" not in found.factors
    sources = {p.label: [c.source for c in p.components] for p in found.precision}
    assert sources["40 tumour cells spiked"] == ["between runs", "between operators", "within run"]
    names = [row.name for row in found.characteristics]
    assert names[:4] == ["Accuracy (recovery)", "Linearity", "Limit of detection", "Limit of blank and specificity"]
    after = found.carry_over  # of each run the blank at place 7 follows 150 cells, that at place 8 a blank
    assert (after.n_after, after.n_other, after.mean_before) == (3, 3, pytest.approx(119))
    assert after.share.estimate == pytest.approx((0 - 1) / 119)
    assert after.share.low < after.share.estimate < 0 < after.share.high


def test_without_tubes_of_the_laboratory_phantoms_stand_in_and_it_is_said(tmp_path):
    found, assay = validated(tmp_path, [], [])
    assert (found.basis, found.basis_of_blanks, found.factors, found.precision) == ("phantom", "phantom", {}, ())
    assert assay == ASSAY
    assert [level.recovery.estimate for level in found.levels] == pytest.approx([1.0, 0.95, 0.96])
    page = tmp_path / "page.html"
    validation_page.report_validation(tmp_path / "validation.json", page)
    text = cases.Page(page).text
    assert "No validation of a laboratory." in text
    assert "Precision is not measured." in text


def test_the_page_shows_the_numbers_of_the_result(tmp_path):
    found, _ = validated(tmp_path, *laboratory())
    validation_page.report_validation(tmp_path / "validation.json", tmp_path / "page.html")
    page = cases.Page(tmp_path / "page.html")
    for e in page.numbers():
        assert json.loads(e["data-value"]) == Traced("validation", found).get(e["data-key"])
    shown = {e["data-key"] for e in page.numbers()}
    wanted = "blank.count detection.by_counts.low quantitation.estimate linearity.slope.high factors.recovery.mean"
    assert {*wanted.split(), "precision.0.components.0.sd", "carry_over.share.low"} <= shown
    assert "controls rest" not in page.text


def test_nothing_found_is_neither_linear_nor_precise_and_gives_no_recovery(tmp_path):
    tubes, numbers = laboratory()
    found, assay = validated(tmp_path, tubes, [0] * len(numbers))
    assert found.linearity.linear is False
    assert [p.components for p in found.precision] == [()] * 3
    assert {p.why for p in found.precision} == {"no cell was called: there is no variation to measure"}
    assert (found.quantitation.why, found.detection.why) == ("nothing was found", "the recovery may be zero")
    assert assay["recovery"] == ASSAY["recovery"]
    assert "nothing was found, and no recovery" in found.characteristics[0].found
    validation_page.report_validation(tmp_path / "validation.json", tmp_path / "page.html")


@pytest.mark.parametrize(("put_in", "said"), [(0.6, "more cells than were put in"), (5000, "so few that the numbers")])
def test_a_recovery_that_cannot_be_is_not_given_to_the_assay(tmp_path, put_in, said):
    tubes, numbers = laboratory()
    wrong = [{**t, "spiked_ctc": t["spiked_ctc"] and int(t["spiked_ctc"] * put_in)} for t in tubes]
    found, assay = validated(tmp_path, wrong, numbers)
    assert said in found.characteristics[0].found
    assert assay["recovery"] == ASSAY["recovery"]


@pytest.mark.parametrize("file", ["samples/T00/counts.json", "validation/bench_validated.yaml"])
def test_a_count_behind_a_validation_that_changed_and_an_edited_assay_are_named(tmp_path, file):
    tubes, numbers = laboratory()
    validated(tmp_path, tubes, numbers)
    run = tmp_path / "run"
    for tube_ in tubes:
        (run / "samples" / tube_["sample"]).mkdir(parents=True)
        (tmp_path / f"{tube_['sample']}.json").rename(run / "samples" / tube_["sample"] / "counts.json")
    (run / "validation" / "in_silico").mkdir(parents=True)
    for name, place in (
        ("validation.json", "bench.json"),
        ("assay.yaml", "bench_validated.yaml"),
        ("made.json", "in_silico/bench.json"),
    ):
        (tmp_path / name).rename(run / "validation" / place)
    items = origins.of_run(run, [t["sample"] for t in tubes], [], ["bench"])
    item = next(item for item in items if item.kind is Validation)
    assert origins.fault_of(item) == ""
    (run / file).write_text((run / file).read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert origins.fault_of(item).startswith("made from another " + ("counts/T00" if "T00" in file else "validated"))


def test_of_one_tube_a_run_the_variation_is_not_said_to_be_within_runs(tmp_path):
    tubes, numbers = laboratory()
    apart = [{**t, "run": t["sample"], "position": None} for t in tubes]
    found, _ = validated(tmp_path, apart, numbers)
    assert {c.source for p in found.precision for c in p.components} == {"between operators", "all sources together"}
    rows = {row.name: row for row in found.characteristics}
    assert rows["Precision within run"].basis is None
    assert rows["Precision, sources not told apart"].basis == "controls"


def test_readers_who_counted_the_same_cells_are_compared(tmp_path):
    tubes, numbers = laboratory()
    readers = [{"reviewer": r, "n_reviewed": 5, "n_ctc": n, "with_classifier": None} for r, n in (("A", 9), ("B", 11))]
    none = {"n_reviewed": 5, "n_changed": 0, "changed": [], "between_reviewers": None, "with_classifier": None}
    review = {"consensus": "majority", "reviewers": readers, **none}
    found, _ = validated(tmp_path, tubes, numbers, reviews=[review] * len(tubes))
    part = found.precision[-1].components[0]
    assert (part.source, part.cv) == ("between readers", pytest.approx(0.02**0.5))


def test_tubes_that_cannot_be_used_are_named(tmp_path):
    tubes, numbers = laboratory()
    numbers[0] = None
    found, _ = validated(tmp_path, tubes, numbers)
    assert found.left_out == ("T00: not evaluable",)
    assert found.levels[0].n_tubes == 5


def test_more_cells_than_were_spiked_are_refused(tmp_path):
    tubes, numbers = laboratory()
    numbers[0] = 60
    said = "T00, spiked_ctc: found 10 tumour cells spiked, 60 called; expected a spike that can give so many"
    with pytest.raises(InputError, match=said):
        validated(tmp_path, tubes, numbers)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"role": "control_low", "run": "R1"}, "lot: found nothing, for a control_low with run; expected the lot"),
        (
            {"role": "healthy", "spiked_ctc": "5"},
            "spiked_ctc: found 5 in blood of a healthy donor; expected 0 or nothing",
        ),
        (
            {"spiked_ctc": "-1"},
            "spiked_ctc: found -1; expected tumour cells that were put into the tube, a whole number",
        ),
        ({"spiked_ctc": "2.5"}, "spiked_ctc: found 2.5; expected tumour cells that were put into the tube"),
        ({"position": "2"}, "run: found nothing, beside a position"),
    ],
)
def test_an_impossible_tube_is_refused(folder, given, said):
    assert said in only_fault([{**SAMPLE, "patient": "D", **given}], [DONOR])


def test_spikes_into_a_patient_s_blood_and_two_samples_at_one_place_are_refused(folder):
    assert "50 spiked into blood of P1, who has a tumour" in only_fault([{**SAMPLE, "spiked_ctc": "50"}], [PATIENT])
    first = {**SAMPLE, "patient": "D", "run": "R1", "position": "3", "spiked_ctc": "50"}
    second = {**first, "sample": "S2", "images": "slides/b"}
    assert "position: found 3, which is the place of S1 in run R1" in only_fault([first, second], [DONOR])
    study = read([first, {**second, "position": "4"}], [DONOR])
    job = jobs.validation_job(study, "cellsearch")
    assert [(t.sample, t.run, t.position, t.spiked_ctc) for t in job.tubes] == [
        ("S1", "R1", 3, 50),
        ("S2", "R1", 4, 50),
    ]


def test_tubes_of_one_image_are_refused(folder):
    tubes = [{**SAMPLE, "patient": "D", "sample": name, "spiked_ctc": n} for name, n in (("S1", "5"), ("S2", "50"))]
    assert "S2, images: found the images of S1; expected images of its own for each tube" in only_fault(tubes, [DONOR])
    other = [tubes[0], {**tubes[1], "assay": "hdsca"}]  # one slide by two assays' gates is no second tube of either
    assert jobs.validation_job(read(other, [DONOR]), "hdsca").tubes[0].sample == "S2"


def test_blood_of_a_patient_with_a_tumour_is_no_blank_whatever_its_role(folder):
    healthy = {**SAMPLE, "sample": "H1", "role": "healthy"}
    assert read([healthy], [PATIENT]).known_of("cellsearch") == []
    assert read([healthy], [PATIENT]).healthy_of("cellsearch") == []
    assert read([{**healthy, "patient": "D"}], [DONOR]).known_of("cellsearch") == ["H1"]


def test_one_operator_written_in_two_ways_is_one(tmp_path):
    tubes, numbers = laboratory()
    found, _ = validated(tmp_path, [{**t, "operator": "AB" if k % 2 else "ab"} for k, t in enumerate(tubes)], numbers)
    assert {p.n_operators for p in found.precision} == {1}
    assert {c.source for p in found.precision for c in p.components} == {"between runs", "within run"}


def test_levels_of_the_settings_differ(folder):
    assert "levels: found 5 twice; expected each number once" in only_fault([SAMPLE], validation={"levels": [5, 5, 9]})


@pytest.mark.slow
def test_in_silico_tubes_are_found_and_called(tmp_path, folder):
    study = read([SAMPLE], validation={"blanks": 1, "levels": [2, 4, 6], "replicates": 2, "frames": 1})
    job = jobs.replicates_job(study, "cellsearch")
    replicates.replicate(job, tmp_path, tmp_path / "images", tmp_path / "made.json")
    found = store.read_json(tmp_path / "made.json", Replicates)
    assert (found.basis, [t.expected for t in found.tubes]) == ("phantom", [0, 2, 2, 4, 4, 6, 6])
    assert sum(t.observed for t in found.tubes) >= 20


@pytest.mark.workflow
def test_snakemake_validation_writes_a_page_that_says_what_it_rests_on(tmp_path, snakemake):
    (tmp_path / "config").mkdir()
    header, *rows = (ROOT / "config" / "samples.tsv").read_text(encoding="utf-8").splitlines()
    kept = [row.replace("../test_data", str(ROOT / "test_data")) for row in rows if row.startswith("D01")]
    donor = "\t".join([*kept[0].split("\t"), "healthy", "R1"])
    (tmp_path / "config" / "samples.tsv").write_text(f"{header}\trole\trun\n{donor}\n", encoding="utf-8")
    few = "validation: {blanks: 1, levels: [2, 4, 6], replicates: 2, frames: 1}\n"
    (tmp_path / "over.yaml").write_text(few, encoding="utf-8")
    run = snakemake(tmp_path, "validation", "--configfile", tmp_path / "over.yaml")
    assert run.code == 0, run.output
    found = store.read_json(run.results / "validation" / "cellsearch.json", Validation)
    assert (found.basis, found.basis_of_blanks) == ("frames", "controls")
    assert (found.blank.n_blanks, [level.n_tubes for level in found.levels]) == (1, [2, 2, 2])
    assert set(found.factors) == {"sensitivity", "background_per_7_5_ml"}
    assert (
        "phantom cells in frames of healthy donors" in cases.Page(run.results / "validation" / "cellsearch.html").text
    )
    assert not (run.results / "validation" / "in_silico" / "cellsearch.images").exists()
