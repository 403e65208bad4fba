"""Prognosis: which sample and row, monitoring, what is refused, and what must not matter."""

import json
import re

import pytest
from scipy import stats

from ctcascade import evidence
from ctcascade.data import store
from ctcascade.data.errors import InputError
from ctcascade.data.results import Prognosis
from ctcascade.data.vocabulary import MARKERS, SETTINGS
from ctcascade.evidence.tables import READ_BY
from ctcascade.prognosis.prognose import prognose
from ctcascade.prognosis.rows import matching
from ctcascade.study.jobs import PrognoseJob
from tests.support import prognoses, report_cases
from tests.support.prognoses import REFUSED, RELATIVE, UNKNOWN, VISIBLE, WITH_CURVES, marker, sample, sample_at

pytestmark = pytest.mark.unit


@pytest.fixture
def run(tmp_path):
    """The stage as a function of samples."""
    return prognoses.runner(tmp_path)


# --- which sample


def test_a_sample_in_a_published_window_starts_the_curve_again(run):
    """T15. Four weeks into therapy: the row whose times run from such a sample, and nothing from the earlier one."""
    before, after = sample("S1", 24, "2026-01-15"), sample("S2", 2, "2026-02-16")
    result = run("breast", "metastatic", before, after, therapy_start="2026-01-19")
    assert (result["sample"], result["time_zero"], result["endpoint"]) == ("S2", "landmark", "PFS")
    assert [s["median_months"] for s in result["strata"]] == [6.1, 1.3]
    assert result["n_ctc_observed"] == 2
    assert (result["collected"], result["main_evidence_id"]) == ("2026-02-16", "BM36p")
    rows = evidence.load("survival")
    assert {rows.time_zero[row["evidence_id"]] for row in result["other_rows"]} == {"landmark"}
    assert result["relative"] == []


def test_the_landmark_curve_of_another_end_point_keeps_the_earlier_one_beside_it(run):
    """Overall survival is published from the sample before therapy; from the sample on therapy only as bounds."""
    before, after = sample("S1", 24, "2026-01-15"), sample("S2", 2, "2026-02-16")
    result = run("breast", "metastatic", before, after, therapy_start="2026-01-19")
    alone = run("breast", "metastatic", before, therapy_start="2026-01-19")
    earlier = result["earlier_curve"]
    assert (earlier["sample"], earlier["collected"], earlier["n_ctc_observed"]) == ("S1", "2026-01-15", 24)
    assert (earlier["endpoint"], earlier["main_evidence_id"]) == ("OS", "BM13")
    assert (earlier["survival"], earlier["strata"]) == (alone["survival"], alone["strata"])
    assert "more than 18.5 months (below 5), 6.3 months (5 or more)" in result["reason"]
    assert "BM13" in {c["evidence_id"] for c in result["evidence"]}
    assert alone["earlier_curve"] is None
    assert (alone["main_evidence_id"], alone["collected"]) == ("BM13", "2026-01-15")


def test_an_end_point_that_did_not_differ_in_the_patients_subtype_gives_no_curve(run):
    """HER2-positive: two cohorts found no difference in progression-free survival; overall survival stays."""
    before, after = sample("S1", 24, "2026-01-15"), sample("S2", 2, "2026-02-16")
    result = run("breast", "metastatic", before, after, therapy_start="2026-01-19", subtype="her2_pos")
    assert (result["sample"], result["endpoint"], result["main_evidence_id"]) == ("S1", "OS", "BM13")
    assert {"BM24", "BM27"} <= {f["evidence_id"] for f in result["negative_findings"]}
    other = run("breast", "metastatic", before, after, therapy_start="2026-01-19", subtype="hr_pos_her2_neg")
    assert other["endpoint"] == "PFS"


def test_a_sample_outside_every_window_leaves_the_baseline_curve(run):
    before, after = sample("S1", 24, "2026-01-15"), sample("S2", 2, "2026-02-25")
    result = run("breast", "metastatic", before, after, therapy_start="2026-01-19")
    alone = run("breast", "metastatic", before, therapy_start="2026-01-19")
    assert (result["sample"], result["time_zero"], result["endpoint"]) == ("S1", "baseline", "OS")
    assert result["survival"] == alone["survival"]
    assert "2026-01-15" in result["reason"]


def test_no_row_of_unknown_or_landmark_time_is_set_against_a_baseline_sample():
    for c in matching("breast", "metastatic", None):
        assert c.applies_to(sample_at()) == (c.is_baseline)
        assert c.applies_to(sample_at(-1.0)) == (c.is_baseline)
        assert c.applies_to(sample_at(4.0)) == (c.id in ("BM21", "BM36p", "BM36o"))


def test_a_sample_on_the_day_that_therapy_starts_is_a_baseline_sample(run):
    result = run("breast", "metastatic", sample(n=12, day="2026-01-19"), therapy_start="2026-01-19")
    assert result["time_zero"] == "baseline"


def test_a_sample_drawn_after_the_start_on_its_day_is_no_baseline_sample(run):
    drawn = {
        w: run("breast", "metastatic", sample(day="2026-01-19", drawn=w), therapy_start="2026-01-19")
        for w in ("before", "after")
    }
    assert drawn["before"]["time_zero"] == "baseline"
    assert drawn["after"]["status"] == "no_evidence"


def test_a_lone_sample_on_therapy_without_a_published_start_is_refused(run):
    result = run("prostate", "mcrpc", sample(n=12, day="2026-03-19"), therapy_start="2026-01-19")
    assert result["status"] == "no_evidence"
    assert "before therapy" in result["reason"]


# --- monitoring


def test_published_class_and_statistical_change_are_distinguished(run):
    before, after = sample("S1", 6, "2026-01-18"), sample("S2", 4, "2026-02-09")
    entry = run("breast", "metastatic", before, after, therapy_start="2026-01-19")["kinetics"][0]
    classes = {c["evidence_id"]: c for c in entry["published"]}
    assert classes["K02"]["window"] == "inside"
    assert classes["K02"]["median_months"] == 23
    assert entry["change"]["verdict"] == "compatible with no change"
    assert entry["change"]["p_value_by_counting_alone"] == pytest.approx(stats.binomtest(4, 10).pvalue, abs=1e-12)
    assert entry["change"]["p_value"] > entry["change"]["p_value_by_counting_alone"]
    assert entry["change"]["rate_ratio"] == pytest.approx(4 / 6)
    assert (entry["days_between"], entry["weeks_on_therapy"]) == (22, 3.0)


def test_a_class_outside_its_window_shows_no_numbers(run):
    before, after = sample("S1", 30, "2026-01-18"), sample("S2", 2, "2026-03-30")
    entry = run("breast", "metastatic", before, after, therapy_start="2026-01-19")["kinetics"][0]
    outside = [c for c in entry["published"] if c["window"] == "outside"]
    assert {c["evidence_id"] for c in outside} == {"K02"}
    assert all(c["median_months"] is None and c["relative"] == "" for c in outside)
    assert entry["change"]["verdict"] == "decline established"


def test_a_relative_fall_counts_only_from_five_and_in_its_weeks(run):
    start = {"therapy_start": "2026-01-19"}
    high = run("prostate", "mcrpc", sample("S1", 40, "2026-01-18"), sample("S2", 20, "2026-02-16"), **start)
    ids = {c["evidence_id"]: c["window"] for c in high["kinetics"][0]["published"]}
    assert (ids["K24"], ids["K25"], ids["K26"]) == ("inside", "outside", "outside")
    assert "K27" not in ids
    low = run("prostate", "mcrpc", sample("S1", 0, "2026-01-18"), sample("S2", 4, "2026-02-16"), **start)
    ids = {c["evidence_id"] for c in low["kinetics"][0]["published"]}
    assert "K27" in ids
    assert "K24" not in ids


@pytest.mark.parametrize(
    ("first", "second", "row", "median"), [(2, 1, "K01", 35), (30, 1, "K02", 23), (30, 20, "K03", 13)]
)
def test_the_three_classes_after_one_cycle(run, first, second, row, median):
    """SWOG S0500: few cells at once, many that fell below 5 by day 21, many that did not."""
    samples = sample("S1", first, "2026-01-18"), sample("S2", second, "2026-02-09")
    entry = run("breast", "metastatic", *samples, therapy_start="2026-01-19")["kinetics"][0]
    found = [c for c in entry["published"] if c["study"].endswith("(SWOG S0500)")]
    assert [(c["evidence_id"], c["median_months"], c["window"]) for c in found] == [(row, median, "inside")]
    assert found[0]["p_category"] > 0.8
    assert entry["weeks_on_therapy"] == 3.0


def test_without_a_start_of_therapy_there_is_a_test_but_no_class(run):
    entry = run("breast", "metastatic", sample("S1", 20, "2026-01-10"), sample("S2", 2, "2026-02-10"))["kinetics"][0]
    assert entry["published"] == []
    assert "start of therapy" in entry["why_no_category"]
    assert entry["change"]["verdict"] == "decline established"


def test_the_exposure_of_both_samples_enters_the_change(run):
    """Half the cells in half the blood are no change."""
    half = sample("S2", 20, "2026-02-10", blood_volume_ml=3.75)
    change = run("breast", "metastatic", sample("S1", 40, "2026-01-10"), half)["kinetics"][0]["change"]
    assert change["rate_ratio"] == pytest.approx(1.0)
    assert change["verdict"] == "compatible with no change"


# --- refusals


def numbers_in(value, path=()):
    """Yield each number of a result, and each text that holds a digit, with where it stands."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from numbers_in(inner, (*path, key))
    elif isinstance(value, list):
        for inner in value:
            yield from numbers_in(inner, path)
    elif isinstance(value, str):
        if re.search(r"\d", value.replace("HER2", "").replace("CDK4/6", "")):
            yield path, value
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield path, value


SEEN = {"n_clusters", "cluster_sizes", "clusters_with_leukocytes", "n_ctc_leukocyte_groups"}
SEEN |= {"n_evaluable", "n_positive", "n_negative", "share", "marker", "rule"}
NAMES = {"patient", "sample", "collected", "setting", "provenance", "evidence_ids", "evidence_id"}
ALLOWED = {"level", "n_ctc_observed", "stage", "remarks", "responses", *NAMES, *SEEN}  # what was counted, no outcome


def assert_no_prognostic_number(result):
    found = [(path, value) for path, value in numbers_in(result) if not ALLOWED & set(path) and "kinetics" not in path]
    assert found == []
    for entry in result["kinetics"]:
        assert entry["published"] == []
    assert result["reason"]
    assert all(panel["statements"] == [] for panel in (*result["phenotype"], result["clusters"] or {"statements": []}))
    assert (result["stage"] or {"visible": []})["visible"] == []
    assert result["survival"] == result["strata"] == result["other_rows"] == result["relative"] == []


@pytest.mark.parametrize(("primary", "setting"), REFUSED)
def test_refused_settings_hold_no_prognostic_number(run, primary, setting):
    """T12. Markers, clusters, imaging and a cascade are given, so that they could leak."""
    markers = [marker(m, 6, 4) for m in MARKERS]
    samples = sample("S1", 20, "2026-01-18", markers=markers), sample("S2", 2, "2026-02-16", markers=markers)
    patient = {"therapy_start": "2026-01-19", "imaging": "2026-01-10:CT:bone=2", "diagnosed": "2025-12-24"}
    result = run(primary, setting, *samples, cascade=VISIBLE, **patient)
    assert result["status"] == "no_evidence"
    assert result["n_ctc_observed"] == 2
    assert_no_prognostic_number(result)


def test_no_reference_equivalent_no_prognosis(run):
    for primary, setting in [*(w[:2] for w in WITH_CURVES), *RELATIVE]:
        unbridged = sample(n=20, p_at_least=UNKNOWN, reference_equivalent=None, markers=[marker("AR-V7", 20, 9)])
        result = run(primary, setting, unbridged, cascade=VISIBLE)
        assert result["status"] == "no_evidence"
        assert "reference assay" in result["reason"]
        assert result["n_ctc_observed"] == 20
        assert_no_prognostic_number(result)


@pytest.mark.parametrize(
    "changes", [{"blood_volume_ml": 2.9}, {"imaged_fraction": 0.39}, {"blood_volume_ml": 7.5, "sampled_fraction": 0.1}]
)
def test_too_little_blood_is_no_prognosis(run, changes):
    for primary, setting in [*(w[:2] for w in WITH_CURVES), *RELATIVE]:
        samples = sample("S1", 20, "2026-01-18", **changes), sample("S2", 2, "2026-02-16", **changes)
        result = run(primary, setting, *samples, therapy_start="2026-01-19")
        assert (result["status"], result["n_ctc_observed"]) == ("no_evidence", 2)
        assert result["reason"].startswith("Too little blood")
        assert_no_prognostic_number(result)
    assert run("breast", "metastatic", sample(n=4, blood_volume_ml=3.1))["status"] == "ok"


@pytest.mark.parametrize(("primary", "setting"), [("bladder", "m0"), ("breast", "early"), ("melanoma", "stage_iii")])
def test_one_cell_that_may_be_background_is_no_prognosis_where_groups_begin_at_one(run, primary, setting):
    refused, stated = run(primary, setting, sample(n=1)), run(primary, setting, sample(n=2))
    assert (refused["status"], stated["status"]) == ("no_evidence", "relative_only")
    assert "blank" in refused["reason"]
    assert refused["n_ctc_observed"] == 1
    assert_no_prognostic_number(refused)


SHOWN_OF_A_REFUSAL = re.compile(
    r"kinetics\.\d+\.(days_between|weeks_on_therapy|n_ctc_\w+|change\.\w+)|stage\.imaging\.\d+\.lesions"
    r"|clusters\.(n_clusters|clusters_with_leukocytes|n_ctc_leukocyte_groups)"
    r"|phenotype\.\d+\.(n_evaluable|n_positive|share\.\w+)"
)


@pytest.mark.parametrize(("primary", "setting"), [*REFUSED[::3], ("prostate", "mcrpc"), ("breast", "metastatic")])
def test_the_page_of_a_refused_patient_holds_no_prognostic_number(run, tmp_path, primary, setting):
    """T12 over HTML. Where there is evidence, only the reference_equivalent is missing."""
    seen = {"markers": [marker(m, 20, 9) for m in ("HER2", "AR-V7")], "p_at_least": UNKNOWN}
    samples = [
        sample(name, n, day, reference_equivalent=None, **seen)
        for name, n, day in (("S1", 20, "2026-01-18"), ("S2", 2, "2026-02-16"))
    ]
    known = {"therapy_start": "2026-01-19", "imaging": "2026-01-10:CT:bone=2"}
    result = run(primary, setting, *samples, cascade=VISIBLE, **known)
    refused = report_cases.cascade_not_applicable("P1", ["S1", "S2"])
    page = report_cases.Page(report_cases.patient_page(tmp_path / "page", samples, refused, result))
    shown = {e["data-key"] for e in page.numbers() if e["data-of"].startswith("prognosis")}
    assert {key for key in shown if not SHOWN_OF_A_REFUSAL.fullmatch(key)} == set()
    assert {"clusters.n_clusters", "phenotype.0.n_positive", "kinetics.0.days_between"} <= shown
    assert not re.search(r"hazard|median|of 100", page.text, re.IGNORECASE)
    assert result["reason"] in page.section("survival")


@pytest.mark.parametrize(
    ("primary", "setting", "why"),
    [(*REFUSED[0], "none: no evidence"), ("breast", "metastatic", "none: assay not compared")],
)
def test_the_cohort_page_holds_no_prognostic_number_of_a_refused_patient(run, tmp_path, primary, setting, why):
    """The index is the one other page that a prognosis reaches; a sample's page is made without it."""
    seen = sample("S1", 20, "2026-01-18", reference_equivalent=None, p_at_least=UNKNOWN)
    result = run(primary, setting, seen, cascade=VISIBLE)
    road = report_cases.cascade_not_applicable("P1", ["S1"])
    page = report_cases.Page(report_cases.cohort_page(tmp_path / "cohort", [seen], [road], [result]))
    assert not [e for e in page.numbers() if e["data-of"].startswith("prognosis")]
    assert not re.search(r"hazard|median|of 100|months", page.section("patients"), re.IGNORECASE)
    assert why in page.section("patients")


def test_the_results_beside_the_curve_are_on_the_page(run, tmp_path):
    """The earlier curve, stage, clusters, markers: each number that of the result, and the class of drugs is named."""
    samples = [
        sample("S1", 24, "2026-01-15", markers=[marker("HER2", 24, 20)]),
        sample("S2", 2, "2026-02-16", markers=[marker("HER2", 2, 1, "not_evaluable")]),
    ]
    known = {"therapy_start": "2026-01-19", "imaging": "2026-01-10:CT:bone=2"}
    result = run("breast", "metastatic", *samples, **known)
    page = report_cases.Page(report_cases.patient_page(tmp_path / "page", samples, prognosis_data=result))
    at_a_year = next(i for i, p in enumerate(result["earlier_curve"]["survival"]) if p["time_months"] == 12)
    wanted = {f"earlier_curve.survival.{at_a_year}.p", "stage.imaging.0.lesions", "clusters.expected.share"}
    assert wanted <= {e["data-key"] for e in page.numbers()}
    assert page.section("stage").strip().startswith("Distant metastasis by imaging\nM1")
    assert "n 564" in page.section("clusters").replace("\u2009", "")
    assert "HER2: not evaluable" in page.section("markers")
    alone = run("breast", "metastatic", samples[0], **known)
    page = report_cases.Page(report_cases.patient_page(tmp_path / "alone", samples[:1], prognosis_data=alone))
    assert "HER2-directed drugs" in page.section("markers")
    assert "PH01" in page.section("markers")
    assert "earlier" not in {e.get("aria-labelledby") for e in page.elements}


def test_no_primary_is_not_applicable(run):
    result = run("none", "none", sample(n=1))
    assert result["status"] == "not_applicable"
    assert_no_prognostic_number(result)


def test_no_evaluable_sample_is_refused(run):
    result = run("breast", "metastatic", sample(status="not_evaluable", n_ctc=None, p_at_least=UNKNOWN))
    assert (result["status"], result["sample"], result["n_ctc_observed"]) == ("no_evidence", None, None)
    assert_no_prognostic_number(result)


@pytest.mark.parametrize(("primary", "setting"), RELATIVE)
def test_hazard_ratios_alone_give_statements_and_no_curve(run, primary, setting):
    result = run(primary, setting, sample(n=6))
    assert result["status"] == "relative_only"
    assert result["relative"]
    assert result["survival"] == result["strata"] == result["sensitivity"] == []
    assert all(row["curve"] == [] and row["why_no_curve"] for row in result["other_rows"])
    assert result["summary"] == ""


def test_a_count_within_the_blank_is_named_as_such(run):
    """One cell where the published groups begin at one, and blank samples hold one as well."""
    said = {n: run("bladder", "m0", sample(n=n))["reason"] for n in (0, 1, 2)}
    assert [n for n, reason in said.items() if "blank" in reason] == [1]
    assert "blank" not in run("prostate", "mcrpc", sample(n=1))["reason"]


def test_every_setting_of_every_primary_ends_in_a_known_status(run):
    expected = {(p, s): "ok" for p, s, _ in WITH_CURVES} | dict.fromkeys(RELATIVE, "relative_only")
    for primary, settings in SETTINGS.items():
        for setting in settings:
            result = run(primary, setting, sample(n=6), n_draws=100)
            fallback = "not_applicable" if primary == "none" else "no_evidence"
            wanted = expected.get((primary, setting), fallback)
            if setting == "metastatic" and primary in ("lung_nsclc", "lung_sclc", "melanoma"):
                wanted = "relative_only"
            if (primary, setting) == ("bladder", "early"):
                wanted = "relative_only"
            assert result["status"] == wanted, (primary, setting)


def test_metastatic_prostate_cancer_asks_which_of_the_two_it_is(run):
    """Published rows part hormone-sensitive from castration-resistant disease: neither may stand for the other."""
    result = run("prostate", "metastatic", sample(n=12))
    assert result["status"] == "no_evidence"
    assert "mcrpc or mhspc: which one is it?" in result["reason"]
    assert "stage_iii: which" in run("melanoma", "early", sample(n=12))["reason"]
    assert "which" not in run("lung_nsclc", "early", sample(n=12))["reason"]


def test_findings_without_a_ratio_are_told_in_their_own_words(run):
    """Hepatocellular carcinoma: survival times and stages in words, since the abstract prints no ratio."""
    result = run("liver", "metastatic", sample(n=6))
    assert result["status"] == "relative_only"
    assert [r["evidence_id"] for r in result["relative"]] == ["LI01"]
    assert "460 days with 1 cell or more" in result["relative"][0]["text"]
    discordant = {r["evidence_id"] for r in run("breast", "metastatic", sample(n=6))["relative"]}
    assert "K16" in discordant


def test_a_tumour_of_no_list_has_counts_and_no_prognosis(run):
    result = run("other", "metastatic", sample(n=12))
    assert (result["status"], result["n_ctc_observed"]) == ("no_evidence", 12)
    assert "not one of those" in result["reason"]


# --- withheld: a sample that fails its own checks


def test_no_prognosis_rests_on_a_sample_that_fails_its_checks(run):
    """Out of focus: 0 cells found are not 0 cells. The same sample without the failed check has a curve."""
    for primary, setting in [*(w[:2] for w in WITH_CURVES), *RELATIVE]:
        result = run(primary, setting, sample("S1", 0), failing=["S1"])
        assert (result["status"], result["n_ctc_observed"]) == ("withheld", 0)
        assert "S1 (focus: 0.01)" in result["reason"]
        assert result["survival"] == result["strata"] == result["other_rows"] == result["relative"] == []
        assert (result["clusters"]["survival_factor"], result["stage"]["visible"]) == (None, [])
    assert run("breast", "metastatic", sample("S1", 0))["status"] == "ok"


def test_a_failing_sample_beside_a_good_one_is_left_out_and_named(run):
    before, after = sample("S1", 24, "2026-01-15"), sample("S2", 2, "2026-02-16")
    start = {"therapy_start": "2026-01-19"}
    result = run("breast", "metastatic", before, after, failing=["S2"], **start)
    alone = run("breast", "metastatic", before, **start)
    for key in ("status", "sample", "survival", "strata", "kinetics"):
        assert result[key] == alone[key], key
    assert any("S2 (focus: 0.01)" in remark for remark in result["remarks"])


def test_cells_of_a_failing_sample_do_not_enter_the_stage(run):
    result = run("breast", "early", sample("S1", 6), failing=["S1"])
    assert (result["stage"]["category"], result["stage"]["cells_in"]) == ("M0", [])


@pytest.mark.parametrize(
    ("primary", "evidence_id", "source"),
    [("breast", "stage:M1", "PDQ Adult Treatment"), ("colon", "stage:M1:other", "assumption: ")],
)
def test_a_rule_read_for_breast_cancer_is_an_assumption_for_others(run, primary, evidence_id, source):
    found = run(primary, "metastatic", sample(), imaging="2026-01-10:CT:lung=2")["stage"]
    assert (found["category"], found["evidence_id"]) == ("M1", evidence_id)
    assert found["source"].startswith(source)


def test_checks_that_were_not_given_are_named(run, tmp_path):
    run("breast", "metastatic", sample())
    folder = tmp_path / "0"
    job = PrognoseJob(
        patient={"patient": "P1", "primary": "breast", "setting": "metastatic", "sex": "female"},
        random_seed=1,
        draws=100,
        level=0.95,
    )
    prognose(job, [folder / "S1.json"], folder / "cascade.json", folder / "without.json")
    assert "not known: S1" in store.read_json(folder / "without.json", Prognosis).remarks[0]


def test_a_setting_without_metastases_is_withheld_where_imaging_showed_one_before(run):
    early = {"imaging": "2026-01-05:CT:liver=2"}
    result = run("breast", "early", sample(n=3, day="2026-01-10"), **early)
    assert result["status"] == "withheld"
    assert "CT:liver=2" in result["reason"]
    later = run("breast", "early", sample(n=3, day="2026-01-04"), **early)
    assert later["status"] == "relative_only"
    assert any("contradict" in remark for remark in later["remarks"])
    assert run("breast", "early", sample(n=3), imaging="2026-01-05:CT:liver=0")["remarks"] == []


def test_scans_of_one_day_that_disagree_are_named(run):
    scans = {"imaging": "2026-01-05:CT:liver=0;2026-01-05:MRI:liver=2"}
    result = run("breast", "metastatic", sample(), **scans)
    assert "disagrees on liver: CT:liver=0, MRI:liver=2" in result["remarks"][0]


def test_therapies_of_the_sheet_say_how_far_into_therapy_a_sample_is(run):
    """Without `therapy_start` the therapy that runs at the sample counts: a sample on it is no baseline sample."""
    before, after = sample("S1", 24, "2026-01-15"), sample("S2", 2, "2026-02-16")
    listed = run("breast", "metastatic", before, after, therapies="chemotherapy:2026-01-19::")
    stated = run("breast", "metastatic", before, after, therapy_start="2026-01-19")
    assert listed["time_zero"] == "landmark"
    assert [listed[k] for k in ("survival", "kinetics")] == [stated[k] for k in ("survival", "kinetics")]
    ended = run("breast", "metastatic", after, therapies="chemotherapy:2025-01-19:2025-06-19:")
    assert ended["time_zero"] == "baseline"


def test_another_patients_file_is_refused(run):
    with pytest.raises(InputError, match="give the files of one patient"):
        run("breast", "metastatic", sample(patient="P2"))


# --- sources, words, and what must not matter


@pytest.mark.parametrize(("primary", "setting", "row"), WITH_CURVES)
def test_everything_shown_has_its_source_era_and_years(run, primary, setting, row):
    before, after = sample("S1", 20, "2026-01-18"), sample("S2", 2, "2026-04-30")
    result = run(primary, setting, before, after, therapy_start="2026-01-19")
    cited = {c["evidence_id"]: c for c in result["evidence"]}
    assert row in cited
    assert {r["evidence_id"] for r in result["other_rows"]} <= set(cited)
    assert {f["evidence_id"] for f in result["negative_findings"]} <= set(cited)
    assert {p["evidence_id"] for k in result["kinetics"] for p in k["published"]} <= set(cited)
    assert all(c["citation"] and c["identifier"] and c["locator"] and c["accrual"] for c in cited.values())
    assert set(cited) <= set(result["evidence_ids"])
    assert result["provenance"]["evidence"] == evidence.evidence_hash(READ_BY["prognose"])


def test_only_the_declared_tables_are_read(run, tables_read):
    before, after = sample("S1", 20, "2026-01-18", markers=[marker("HER2", 20, 5)]), sample("S2", 2, "2026-04-30")
    run("breast", "metastatic", before, after, therapy_start="2026-01-19", imaging="2026-01-10:CT:liver=1")
    run("prostate", "mcrpc", before)
    assert tables_read == set(READ_BY["prognose"])


def test_old_evidence_says_before_which_drugs(run):
    result = run("breast", "metastatic", sample(n=12))
    era = {c["evidence_id"]: c["era"] for c in result["evidence"]}
    assert era["BM13"] == "before CDK4/6 inhibitors"
    assert any("CDK4/6" in f["text"] for f in result["negative_findings"])


def test_assumptions_are_named(run):
    assert "counts_colorectal" in run("colon", "metastatic", sample(n=4))["assumptions"]
    assert "BM13.0: size of the group" in run("breast", "metastatic", sample(n=4))["assumptions"]


def test_clusters_never_change_the_survival(run):
    """T14."""
    plain = run("breast", "metastatic", sample(n=12))
    clustered = run(
        "breast", "metastatic", sample(n=12, n_clusters=4, cluster_sizes={"3": 4}, clusters_with_leukocytes=2)
    )
    assert clustered["clusters"]["cluster_sizes"] == {"3": 4}
    assert clustered["clusters"]["survival_factor"] == 1
    for result in (plain, clustered):
        result.pop("provenance")
        result.pop("clusters")
    assert json.dumps(plain, sort_keys=True) == json.dumps(clustered, sort_keys=True)


@pytest.mark.parametrize("status", ["positive", "negative", "not_evaluable"])
def test_markers_never_change_the_survival(run, status):
    """T14."""
    plain = run("prostate", "mcrpc", sample(n=12))
    marked = run("prostate", "mcrpc", sample(n=12, markers=[marker("AR-V7", 12, 7, status)]))
    kept = ("survival", "strata", "other_rows", "sensitivity", "relative", "summary", "reason", "horizon_months")
    assert json.dumps([plain[k] for k in kept]) == json.dumps([marked[k] for k in kept])
    assert marked["phenotype"][0]["survival_factor"] == 1
