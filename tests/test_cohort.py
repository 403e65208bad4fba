"""Follow-up: Kaplan-Meier, log-rank and Cox by hand and against published results, refusals, the page, the workflow."""

import json
import shutil
import warnings
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from ctcascade import evidence
from ctcascade.data import store
from ctcascade.data.errors import InputError
from ctcascade.data.results import AtRisk, Counts, FollowUp, Prognosis, ReasonCount
from ctcascade.data.vocabulary import CUTOFFS
from ctcascade.evidence.tables import READ_BY
from ctcascade.report import follow_up_page
from ctcascade.report.numbers import Traced
from ctcascade.study import jobs
from ctcascade.study.jobs import CohortJob, FollowedPatient
from ctcascade.validation import calibration, follow_up, survival
from tests.support import report_cases as cases
from tests.support.browser import opened
from tests.support.json_results import write_result
from tests.support.other_pages import FOLLOW_UP, compared, exponential, written
from tests.support.runs import digests
from tests.support.sheets import PATIENT, SAMPLE, faults, only_fault, read

pytestmark = pytest.mark.unit

LOW = ([3, 5, 7, 9, 12], [1, 0, 1, 1, 0])
HIGH = ([1, 2, 4, 6, 8], [1, 1, 1, 0, 1])
# remission of 42 children, weeks: Freireich 1963 as printed by Cox 1972, treated and placebo
TREATED = [6, 6, 6, 6, 7, 9, 10, 10, 11, 13, 16, 17, 19, 20, 22, 23, 25, 32, 32, 34, 35]
TREATED_EVENT = [1, 1, 1, 0, 1, 0, 1, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0]
PLACEBO = [1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23]
JOB = CohortJob.model_validate({"patients": [], **FOLLOW_UP})


def followed(times, events):
    return np.array(times, float), np.array(events, bool)


@pytest.mark.oracle
def test_ten_patients_by_hand():
    low, high = (survival.kaplan_meier(*followed(*group), 0.95) for group in (LOW, HIGH))
    assert [p.time_months for p in low.curve] == [0, 3, 7, 9]
    assert [p.p for p in low.curve] == pytest.approx([1, 4 / 5, 8 / 15, 4 / 15])
    assert [p.p for p in high.curve] == pytest.approx([1, 4 / 5, 3 / 5, 2 / 5, 0])
    assert (low.median_months, high.median_months) == (9, 4)
    assert (low.events, low.last_month) == (3, 12)
    # Greenwood at month 7: 1/(5*4) + 1/(3*2), on the scale of log(-log S)
    away = stats.norm.ppf(0.975) * np.sqrt(1 / 20 + 1 / 6) / -np.log(8 / 15)
    limits = [(8 / 15) ** np.exp(away), (8 / 15) ** np.exp(-away)]
    assert [low.curve[2].low, low.curve[2].high] == pytest.approx(limits)
    assert (high.curve[-1].low, high.curve[-1].high) == (0, high.curve[-2].high)
    # at each death: patients at risk above the cut-off, and of all
    at_risk = [(5, 10), (4, 9), (3, 8), (3, 7), (1, 4), (1, 3), (0, 2)]
    expected = sum(Fraction(a, n) for a, n in at_risk)
    variance = sum(Fraction(a * (n - a), n * n) for a, n in at_risk)
    found = survival.log_rank([followed(*group) for group in (LOW, HIGH)])
    assert found.chi2 == pytest.approx(float((4 - expected) ** 2 / variance))
    assert found.p == pytest.approx(stats.chi2.sf(found.chi2, 1))


def patient(time, event, ctc=0.0, **other):
    given = {"p_at_least": {}, "cutoff": None, "curve": None, "why_no_curve": "none", **other}
    return calibration.Followed(float(time), bool(event), ctc, **given)


@pytest.mark.oracle
def test_a_trial_that_textbooks_analyse():
    times, died = followed([*TREATED, *PLACEBO], [*TREATED_EVENT, *[1] * 21])
    placebo = np.repeat([0.0, 1.0], 21)
    found = survival.hazard_ratio(times, died, placebo, 0.95)
    assert np.log(found.estimate) == pytest.approx(1.572, abs=5e-4)  # Efron
    assert (np.log(found.high) - np.log(found.low)) / 3.92 == pytest.approx(0.412, abs=5e-4)
    assert survival.log_rank([(times[placebo == k], died[placebo == k]) for k in (0, 1)]).chi2 == pytest.approx(
        16.79, abs=5e-3
    )
    treated = survival.kaplan_meier(times[:21], died[:21], 0.95)
    assert treated.median_months == 23
    assert treated.curve[-1].p == pytest.approx(0.448, abs=5e-4)


@pytest.mark.oracle
def test_another_library_gives_the_same():
    rng = np.random.default_rng(4)
    for _ in range(20):
        times, died = np.ceil(rng.exponential(9, 40)), rng.uniform(size=40) < 0.6
        curve = survival.kaplan_meier(times, died, 0.9).curve[1:]
        other = stats.ecdf(stats.CensoredData.right_censored(times, ~died)).sf
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # no limits where all or none survive
            limits = other.confidence_interval(0.9, method="log-log")
        for point in (p for p in curve if p.p > 0):
            assert point.p == pytest.approx(other.evaluate(point.time_months))
            for key in ("low", "high"):
                assert getattr(point, key) == pytest.approx(getattr(limits, key).evaluate(point.time_months))
        half = [(times[s], died[s]) for s in (slice(20), slice(20, 40))]
        each = [stats.CensoredData.right_censored(times[s], ~died[s]) for s in (slice(20), slice(20, 40))]
        assert survival.log_rank(half).p == pytest.approx(stats.logrank(*each).pvalue)


@pytest.mark.oracle
def test_concordance_is_counted_pair_by_pair():
    rng = np.random.default_rng(6)
    times, died, x = np.ceil(rng.exponential(9, 30)), rng.uniform(size=30) < 0.7, rng.poisson(2, 30).astype(float)
    known = right = 0.0
    for i in range(30):
        for j in range(30):
            if died[i] and (times[i] < times[j] or (times[i] == times[j] and not died[j])):
                known += 1
                right += 1.0 if x[i] > x[j] else 0.5 if x[i] == x[j] else 0.0
    found = survival.concordance(times, died, x, 0.95, 400, rng)
    assert found.estimate == pytest.approx(right / known)
    assert found.low < found.estimate < found.high
    order = -times - 0.5 * ~died  # on the same day, death comes before censoring
    assert survival.concordance(times, died, order, 0.95, 100, rng).estimate == 1
    assert survival.concordance(times, died, 0 * x, 0.95, 100, rng).estimate == 0.5


def test_a_known_hazard_ratio_is_found():
    rng = np.random.default_rng(8)
    ctc, times, died = exponential(400, 1.3, rng)
    found = survival.hazard_ratio(times, died, np.log2(1 + ctc), 0.95)
    assert found.low < 1.3 < found.high
    assert found.high / found.low < 1.2
    assert found.p < 1e-6


def people(n, seed=1, **other):
    rng = np.random.default_rng(seed)
    return [patient(t, d, c, **other) for c, t, d in zip(*exponential(n, 1.4, rng), strict=True)]


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ([patient(t, t < 10, t) for t in range(1, 40)], "Too few deaths were seen (9) to say a number: at least 10"),
        ([patient(t, True, 3.0) for t in range(1, 40)], "All patients have the same count."),
        ([patient(t, True, 100.0 - t) for t in range(1, 40)], "no finite hazard ratio"),
        ([patient(t, True, float(t)) for t in range(1, 40)], "no finite hazard ratio"),
    ],
)
def test_what_cannot_be_fitted_is_refused(members, why):
    model, said = follow_up.cox_model(JOB, members)
    assert model is None
    assert why in said


def test_a_setting_without_a_published_curve_is_not_compared():
    found, why = calibration.calibrate(JOB, people(60, why_no_curve="no published curve for such a patient"), {})
    assert found is None
    assert "no published curve for such a patient" in why


@pytest.mark.oracle
def test_calibration_agrees_with_a_calculation_by_hand():
    months = np.arange(0, 24.5, 0.25)
    curve = np.stack([months, np.exp(-0.05 * months)], axis=1)  # so the hazard is 0.05 a month, up to month 24.25
    members = [patient(t, True, 5.0, curve=curve, cutoff=5) for t in range(1, 13)]
    members += [patient(30, True, curve=curve, cutoff=5), patient(20, False, why_no_curve="of another end point")]
    found, _ = calibration.calibrate(JOB, members, {})
    assert (found.n, found.deaths_seen) == (13, 12)  # the last died after the curve's end
    assert found.deaths_expected == pytest.approx(0.05 * (sum(range(1, 13)) + 24.25), rel=1e-4)
    ratio = found.seen_of_expected
    assert ratio.low * found.deaths_expected == pytest.approx(6.2006, abs=1e-3)  # Garwood's limits of 12
    assert ratio.high * found.deaths_expected == pytest.approx(20.9616, abs=1e-3)
    assert found.left_out == (ReasonCount(reason="of another end point", n=1),)
    assert found.is_small
    rows = {row.time_months: row for row in found.rows}
    assert rows[6].predicted == pytest.approx(np.exp(-0.3))
    assert rows[6].seen.estimate == pytest.approx(7 / 13)
    assert rows[24].why == ""
    members = [patient(t, True, curve=curve[:50], cutoff=5) for t in np.arange(1, 7, 0.25)]
    members += [patient(7, False, curve=curve[:50], cutoff=5)]
    short, _ = calibration.calibrate(JOB, members, {})
    whys = ["", "nobody was followed so long", "the published curve ends before"]
    assert [row.why for row in short.rows] == whys
    assert [row.seen is None for row in short.rows] == [False, True, True]
    assert [row.prediction_is is None for row in short.rows] == [False, True, True]


@pytest.mark.parametrize(
    ("predicted", "side"), [(0.39, "below"), (0.4, "inside"), (0.5, "inside"), (0.6, "inside"), (0.61, "above")]
)
def test_a_prediction_is_compared_with_the_interval_of_what_was_seen(predicted, side):
    assert calibration._side(predicted, 0.4, 0.6) == side


@pytest.fixture(scope="module")
def sixty(tmp_path_factory):
    return written(tmp_path_factory.mktemp("sixty"))


def test_the_result_is_complete_and_names_nobody(tmp_path, sixty):
    found = compared(tmp_path, *sixty)
    text = (tmp_path / "cohort.json").read_text(encoding="utf-8")
    assert "Secret" not in text
    assert "Name" not in text
    assert "2026-02-01" not in text  # the day of the draw
    (group,) = found.groups
    assert (group.n, group.cutoff, group.cutoff_evidence_id) == (60, 5, None)
    assert [s.label for s in group.strata] == ["below 5", "5 or more"]
    assert sum(s.n for s in group.strata) == 60
    assert sum(s.events for s in group.strata) == group.events == sum(row["event"] for row in sixty[0])
    assert group.strata[0].at_risk[0] == AtRisk(time_months=0, n=group.strata[0].n)
    assert group.model.hr_per_doubling.low < 1.4 < group.model.hr_per_doubling.high
    assert group.calibration.n == 60
    assert {row.label for row in group.calibration.rows} == {"all", "below 5", "5 or more"}
    assert group.n_without_group == 0
    assert found.provenance.evidence == evidence.evidence_hash(READ_BY["cohort"])
    compared(tmp_path, *sixty)
    assert (tmp_path / "cohort.json").read_text(encoding="utf-8") == text


def test_patients_who_cannot_be_judged_are_left_out_with_the_reason(tmp_path):
    rows, counts, prognoses = written(tmp_path, n=5)
    odds = dict.fromkeys(map(str, CUTOFFS))
    lost = cases.counts("Secret-0", "Name-0", status="not_evaluable", reason="no frame", n_ctc=0)
    write_result(counts[0], "counts", lost)
    write_result(counts[1], "counts", cases.counts("Secret-1", "Name-1", blood_volume_ml=0.5))
    write_result(counts[2], "counts", cases.counts("Secret-2", "Name-2", p_at_least=odds))
    later = cases.prognosis("Name-3", "Secret-later")
    write_result(prognoses[3], "prognosis", later)
    write_result(prognoses[4], "prognosis", cases.prognosis("Name-4", "Secret-4", endpoint="PFS"))
    found = compared(tmp_path, rows, counts, prognoses)
    assert [(each.reason, each.n) for each in found.left_out] == [
        ("the first draw could not be evaluated", 1),
        ("too little blood of the first draw was looked at", 1),
    ]
    (group,) = found.groups
    assert (found.n_patients, group.n, group.n_without_group) == (5, 3, 1)
    assert "Too few deaths were seen" in group.why_no_model
    assert group.model is None
    assert group.calibration is None
    reasons = [
        follow_up.followed(
            FollowedPatient(**row), store.read_json(c, Counts), store.read_json(p, Prognosis)
        ).why_no_curve
        for row, c, p in list(zip(rows, counts, prognoses, strict=True))[2:]
    ]
    assert reasons == [
        "",
        "the published curve starts at a later draw",
        "the published curve is not of overall survival",
    ]


def test_the_earlier_curve_of_the_first_draw_is_taken(tmp_path):
    rows, counts, prognoses = written(tmp_path, n=1)
    main = cases.prognosis("Name-0", "Secret-later", endpoint="PFS")
    kept = ("time_zero", "cutoff", "n_ctc_observed", "horizon_months", "survival", "strata")
    earlier = {key: cases.prognosis()[key] for key in kept}
    earlier |= {
        "sample": "Secret-0",
        "collected": "2026-02-01",
        "endpoint": "OS",
        "reason": "",
        "main_evidence_id": "X",
    }
    write_result(prognoses[0], "prognosis", {**main, "earlier_curve": earlier})
    found = follow_up.followed(
        FollowedPatient(**rows[0]), store.read_json(counts[0], Counts), store.read_json(prognoses[0], Prognosis)
    )
    assert found.curve is not None
    assert found.cutoff == 5


def test_a_setting_without_a_curve_is_divided_at_its_largest_study(tmp_path):
    rows, counts, prognoses = written(tmp_path, n=30, primary="lung_nsclc", setting="advanced")
    for k, path in enumerate(prognoses):
        bare = cases.prognosis(f"Name-{k}", f"Secret-{k}", survival=[], cutoff=None, endpoint=None)
        write_result(path, "prognosis", {**bare, "status": "relative_only"})
    (group,) = compared(tmp_path, rows, counts, prognoses).groups
    assert (group.cutoff, group.cutoff_evidence_id) == (2, "NS01")
    assert "no published curve" in group.why_no_calibration
    assert group.log_rank is not None


def test_nobody_with_follow_up_gives_a_page_that_says_so(tmp_path):
    found = compared(tmp_path, [], [], [])
    assert (found.n_patients, found.groups) == (0, ())
    follow_up_page.report_follow_up(tmp_path / "cohort.json", tmp_path / "page.html")
    text = cases.Page(tmp_path / "page.html").text
    assert "Nothing can be computed" in text
    assert "No patient with a tumour has follow-up." in text


def test_only_patients_who_cannot_be_judged_give_a_page_that_says_so(tmp_path):
    rows, counts, prognoses = written(tmp_path, n=1)
    lost = cases.counts("Secret-0", "Name-0", status="not_evaluable", reason="no frame", n_ctc=0)
    write_result(counts[0], "counts", lost)
    found = compared(tmp_path, rows, counts, prognoses)
    assert (found.n_patients, found.groups) == (1, ())
    follow_up_page.report_follow_up(tmp_path / "cohort.json", tmp_path / "page.html")
    assert "1: the first draw could not be evaluated" in cases.Page(tmp_path / "page.html").text


@pytest.mark.parametrize(
    ("groups", "why"),
    [
        ([([1], [0]), ([5], [1])], "one group only were still followed"),
        ([([1, 2], [1, 1]), ([5, 6], [1, 1])], ""),
        ([([3, 3], [1, 1]), ([3], [1])], "all died at once"),
        ([([3, 4], [0, 0]), ([5], [0])], "Nobody died."),
        ([([3, 4], [1, 0])], "There is one group only."),
        ([([9, 9], [1, 0]), ([9, 9], [0, 0]), ([1], [0])], "not followed to any death"),
    ],
)
def test_a_log_rank_test_is_made_only_where_deaths_tell_groups_apart(groups, why):
    parts = [followed(*group) for group in groups]
    assert why in survival.why_no_log_rank(parts)
    assert bool(survival.why_no_log_rank(parts)) == bool(why)
    assert (survival.log_rank(parts) is None) == bool(why)


def test_deaths_on_one_day_give_no_model(tmp_path):
    members = [patient(5, True, float(k)) for k in range(12)]
    assert follow_up.cox_model(JOB, members) == (None, "Of no two patients is it known who died first.")
    curve = np.array([[0.0, 1.0], [24.0, 0.2]])
    members = [patient(0, True, float(k), curve=curve, cutoff=5) for k in range(12)]
    found, why = calibration.calibrate(JOB, members, {})
    assert found is None
    assert "no ratio follows" in why


@pytest.mark.property
@pytest.mark.parametrize("seed", range(40))
def test_any_small_cohort_gives_a_result_and_a_page(seed, tmp_path):
    rng = np.random.default_rng(seed)
    rows, counts, prognoses = written(tmp_path, n=int(rng.integers(1, 15)))
    latest = int(rng.choice([0, 1, 3, 30]))
    for row in rows:
        row |= {"event": int(rng.uniform() < rng.choice([0.2, 0.9])), "time_months": float(rng.integers(0, latest + 1))}
    found = compared(tmp_path, rows, counts, prognoses, min_events=5)
    for group in found.groups:
        assert (group.log_rank is None) == bool(group.why_no_log_rank)
        assert (group.model is None) == bool(group.why_no_model)
        assert (group.calibration is None) == bool(group.why_no_calibration)
    follow_up_page.report_follow_up(tmp_path / "cohort.json", tmp_path / "page.html")
    assert cases.Page(tmp_path / "page.html").text


def test_files_in_another_order_than_the_patients_are_refused(tmp_path):
    rows, counts, prognoses = written(tmp_path, n=2)
    with pytest.raises(InputError, match="found Secret-1; expected Secret-0"):
        compared(tmp_path, rows, counts[::-1], prognoses)


def test_the_page_shows_the_numbers_and_nobody(tmp_path, sixty):
    found = compared(tmp_path, *sixty)
    follow_up_page.report_follow_up(tmp_path / "cohort.json", tmp_path / "page.html")
    page = cases.Page(tmp_path / "page.html")
    shown = {e["data-key"] for e in page.numbers()}
    for e in page.numbers():
        assert json.loads(e["data-value"]) == Traced("cohort", found).get(e["data-key"])
    wanted = "log_rank.chi2 model.hr_per_doubling.low model.c_index.estimate calibration.rows.0.seen.low strata.1.n"
    assert {f"groups.0.{key}" for key in wanted.split()} <= shown
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "Secret" not in html
    assert "Name-" not in html
    assert "treat" not in page.text.lower()
    assert "therap" not in page.text.lower()
    assert html.count('class="curve') == 2 * 2  # two curves, and two in the legend
    assert "10.1002/sim.6787" in page.text


def test_the_page_of_few_patients_says_that_it_gives_no_number(tmp_path):
    compared(tmp_path, *written(tmp_path, n=8), min_events=100)
    follow_up_page.report_follow_up(tmp_path / "cohort.json", tmp_path / "page.html")
    page = cases.Page(tmp_path / "page.html")
    assert "No hazard ratio is given. Too few deaths were seen" in page.text
    assert "Predicted and observed survival are not compared." in page.text
    assert not any(".model." in e["data-key"] or ".calibration." in e["data-key"] for e in page.numbers())


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"min_events": 2}, "min_events: found 2; expected a whole number of deaths from 5"),
        ({"level": 1}, "level: found 1"),
        ({"bootstrap": 10}, "bootstrap: found 10; expected a whole number from 100"),
    ],
)
def test_an_impossible_setting_is_refused(folder, given, said):
    assert said in only_fault([SAMPLE], cohort=given)


def test_a_draw_after_the_end_of_follow_up_is_refused(folder):
    later = {**SAMPLE, "sample": "S2", "collected": "2026-08-01"}
    lost = [{**PATIENT, "event": "1", "time_months": "1.5"}]
    (fault,) = faults([SAMPLE, later], patients=lost)
    assert fault.startswith(
        "samples.tsv: line 3, S2, collected: found 2026-08-01, 3.0 months after the patient's first"
    )
    assert "expected a sample before the follow-up ends, time_months 1.5" in fault
    # 3.02 months: a whole number of months may have been written
    assert read([SAMPLE, later], patients=[{**PATIENT, "event": "1", "time_months": "2.1"}]).followed == ["P1"]


def test_follow_up_counts_from_the_first_draw_and_no_other_stage_knows_it(folder):
    earlier = {**SAMPLE, "sample": "S0", "collected": "2026-04-01"}
    donor = {"patient": "D1", "primary": "none", "setting": "", "sex": "male", "event": "0", "time_months": "9"}
    study = read(
        [SAMPLE, earlier, {**SAMPLE, "sample": "S3", "patient": "D1"}],
        patients=[{**PATIENT, "event": "1", "time_months": "14.5"}, donor],
    )
    found = jobs.cohort_job(study).as_json()
    row = {"patient": "P1", "sample": "S0", "primary": "breast", "setting": "metastatic", "event": 1}
    assert found["patients"] == [{**row, "time_months": 14.5}]
    for verb in ("simulate", "prognose", "report"):
        assert not {"event", "time_months"} & set(jobs.job_for(study, verb, patient="P1").as_json()["patient"])


@pytest.mark.browser
def test_the_page_in_chromium(tmp_path, browser, sixty):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    compared(tmp_path, *sixty)
    follow_up_page.report_follow_up(tmp_path / "cohort.json", tmp_path / "page.html")
    for scheme, width in (("light", 360), ("dark", 1280)):
        page, heard = opened(browser, tmp_path / "page.html", width, scheme)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        found = axe.Axe().run(page).response
        serious = [v for v in found["violations"] if v["impact"] in ("serious", "critical")]
        assert [(v["id"], v["nodes"][0]["html"][:200]) for v in serious] == []
        assert heard == []
    seen = page.evaluate("[...document.querySelectorAll('[data-key]')].map(e => [e.textContent, e.dataset.value])")
    assert [pair for pair in seen if not cases.agrees(pair[0], json.loads(pair[1]))] == []


@pytest.mark.workflow
def test_snakemake_cohort_on_the_demonstration(demo, snakemake, tmp_path):
    place = tmp_path / "run"
    shutil.copytree(demo.folder, place, symlinks=True)
    header, *rows = (Path(__file__).parents[1] / "config" / "patients.tsv").read_text().splitlines()
    width = len(header.split("\t"))
    followed_rows = [
        "\t".join([*(row.split("\t") + [""] * width)[:width], *more])
        for row, more in zip(rows, (("1", "14.5"), ("0", "8"), ("1", "20.25"), ("", "")), strict=True)
    ]
    text = "\n".join([f"{header}\tevent\ttime_months", *followed_rows]) + "\n"
    (place / "patients.tsv").write_text(text, encoding="utf-8")
    before = digests(place / "results")
    run = snakemake(place, "cohort", "--config", "patients=patients.tsv")
    assert run.code == 0, run.output
    assert "prognose" not in run.output  # follow-up changes no prognosis
    assert digests(place / "results") == before
    found = store.read_json(place / "results" / "cohort.json", FollowUp)
    assert [(g.primary, g.n, g.events) for g in found.groups] == [("breast", 1, 1), ("prostate", 1, 0)]
    assert found.left_out == (ReasonCount(reason="too little blood of the first draw was looked at", n=1),)
    assert all(g.model is None and g.cutoff for g in found.groups)
    assert (place / "results" / "cohort.html").is_file()
    assert not (place / "results" / "follow_up.args").exists()
