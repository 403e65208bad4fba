"""What stands beside the survival curve: clusters, markers, stage."""

import json
import re
import time

import pytest

from ctcascade.data.vocabulary import SETTINGS
from tests.support import prognoses
from tests.support.prognoses import REFUSED, RELATIVE, UNKNOWN, VISIBLE, WITH_CURVES, marker, sample, sure

pytestmark = pytest.mark.unit


@pytest.fixture
def run(tmp_path):
    """The stage as a function of samples."""
    return prognoses.runner(tmp_path)


# --- clusters and markers


def test_clusters_are_shown_with_both_sides_and_what_is_usual_at_this_count(run):
    found = run("breast", "metastatic", sample(n=6, p_at_least={**sure(5), "5": 0.7}))["clusters"]
    by_id = {s["evidence_id"]: s for s in found["statements"]}
    assert {by_id[i]["direction"] for i in ("CL01", "CL04", "CL03", "CL06")} == {"negative", "positive"}
    assert found["statements"][0]["evidence_id"] == "CL01"
    assert found["balance"].endswith("The largest of this tumour alone (n 564) found none.")
    pooled = run("prostate", "mcrpc", sample(n=6))["clusters"]
    assert pooled["balance"] == "Published rows: 1 found an association."
    assert (by_id["CL03"]["hr"], by_id["CL03"]["hr_low"], by_id["CL03"]["hr_high"]) == (2.83, 1.48, 5.39)
    assert "1.48 to 5.39" in by_id["CL03"]["text"]
    assert found["expected"]["evidence_id"] == "CL01"
    assert found["expected"]["share"] == pytest.approx(0.3 * 0.014 + 0.7 * 0.38)


def test_a_marker_is_shown_with_group_size_interval_drug_class_and_conflict(run):
    result = run("prostate", "mcrpc", sample(n=9, markers=[marker("AR-V7", 9, 3)]))
    [panel] = result["phenotype"]
    assert (panel["marker"], panel["status"], panel["n_positive"]) == ("AR-V7", "positive", 3)
    by_id = {s["evidence_id"]: s for s in panel["statements"]}
    assert (by_id["PH12o"]["hr"], by_id["PH12o"]["hr_low"], by_id["PH12o"]["n"]) == (3.5, 1.6, 118)
    assert "PROPHECY" in by_id["PH12o"]["group"]
    assert "androgen receptor" in by_id["PH12o"]["drug_class"]
    assert by_id["PH11"]["conflict"] == "The interval includes no difference."
    assert {"PH12o", "PH11"} <= {c["evidence_id"] for c in result["evidence"]}
    assert {"PH12o", "PH11"} <= set(result["evidence_ids"])


def test_a_marker_is_shown_only_for_its_own_tumour_and_setting(run):
    for primary, setting in (("prostate", "mhspc"), ("breast", "metastatic")):
        [panel] = run(primary, setting, sample(n=9, markers=[marker("AR-V7", 9, 3)]))["phenotype"]
        assert panel["statements"] == []
        assert panel["why_no_statement"].startswith("no published row")


def test_a_marker_below_the_rules_minimum_has_counts_and_no_statement(run):
    [panel] = run("breast", "metastatic", sample(n=4, markers=[marker("HER2", 4, 4, "not_evaluable")]))["phenotype"]
    assert (panel["status"], panel["n_positive"], panel["statements"]) == ("not_evaluable", 4, [])
    assert panel["why_no_statement"] == "the marker could not be evaluated"


def test_draws_and_tumour_that_disagree_on_a_marker_are_reported(run):
    before = sample("S1", 9, "2026-01-10", markers=[marker("HER2", 9, 0, "negative")])
    after = sample("S2", 9, "2026-03-10", markers=[marker("HER2", 9, 8)])
    [panel] = run("breast", "metastatic", before, after, subtype="tnbc")["phenotype"]
    assert (panel["sample"], panel["status"]) == ("S2", "positive")
    assert [(e["sample"], e["status"]) for e in panel["earlier"]] == [("S1", "negative")]
    assert panel["conflicts"] == [
        "The samples disagree on HER2: negative, then positive.",
        "The cells are HER2-positive, the tumour by its subtype HER2-negative.",
    ]


# --- stage


@pytest.mark.parametrize(
    ("primary", "setting", "imaging", "n", "category"),
    [
        ("breast", "early", "2026-01-05:CT:liver=0,lung=0", 0, "M0"),
        ("breast", "early", "2026-01-05:CT:liver=0,lung=0", 4, "cM0(i+)"),
        ("breast", "early", None, 4, "cM0(i+)"),
        ("breast", "early", None, 0, "M0"),
        ("breast", "early", "2026-01-05:CT:liver=1,lung=0", 0, "M1"),
        ("breast", "metastatic", "2026-01-05:CT:liver=0;2026-02-05:bone_scan:bone=3", 500, "M1"),
        ("breast", "metastatic", None, 500, None),
        ("breast", "metastatic", "2026-01-05:CT:liver=0", 500, None),
        ("colon", "early", "2026-01-05:CT:liver=0", 40, "M0"),
        ("lung_nsclc", "early", "2026-01-05:CT:lung=2", 40, "M0"),
        ("lung_nsclc", "advanced", "2026-01-05:CT:lung=2,brain=1", 0, "M1"),
        ("lung_nsclc", "advanced", None, 40, None),
        ("pancreas", "early", "2026-01-05:CT:liver=2", 3, "M1"),
    ],
)
def test_category_of_distant_metastasis(run, primary, setting, imaging, n, category):
    """Cells in the blood alone never make M1, and (i+) is worded for breast cancer."""
    found = run(primary, setting, sample(n=n, above_blank=n > 1), imaging=imaging, n_draws=100)["stage"]
    assert found["category"] == category
    assert bool(found["source"]) is (category is not None)
    taken_over = "" if primary == "breast" else ":other"  # read for breast cancer, an assumption for the others
    assert found["evidence_id"] == (category and f"stage:{category}{taken_over}")
    assert found["reason"]


def test_cells_within_the_blank_add_nothing_to_m0(run):
    found = run("breast", "early", sample(n=1, above_blank=False), n_draws=100)["stage"]
    assert (found["category"], found["cells_in"]) == ("M0", [])


@pytest.mark.property
@pytest.mark.parametrize("n", [0, 1, 5, 10**4])
def test_no_count_makes_m1(run, n):
    for primary, settings in SETTINGS.items():
        for setting in settings:
            result = run(primary, setting, sample(n=n, p_at_least=sure(n), above_blank=n > 1), n_draws=100)
            assert (result["stage"] or {"category": None})["category"] != "M1"


def test_stage_without_any_evaluable_sample_and_without_primary(run):
    lost = sample(status="not_evaluable", n_ctc=None, p_at_least=UNKNOWN)
    assert run("breast", "early", lost, imaging="2026-01-05:MRI:brain=1")["stage"]["category"] == "M1"
    assert run("none", "none", sample(n=1))["stage"] is None


def test_stage_says_when_it_was_seen_and_what_imaging_would_show_when(run):
    imaging = "2026-03-01:PET:bone=4,liver=0;2026-01-05:CT:liver=2"
    found = run("breast", "metastatic", sample(), cascade=VISIBLE, imaging=imaging, diagnosed="2025-12-26")["stage"]
    assert found["reason"].startswith("Imaging shows lesions in: liver, bone (first: CT of 2026-01-05).")
    assert found["reason"].endswith("That is 10 days after the diagnosis.")
    assert [(s["date"], s["organ"], s["lesions"]) for s in found["imaging"]] == [
        ("2026-01-05", "liver", 2),
        ("2026-03-01", "bone", 4),
        ("2026-03-01", "liver", 0),
    ]
    assert found["visible"] == [{"organ": "liver", **VISIBLE["organs"][0]["time_to_detectability"][0]}]


def test_equal_inputs_give_equal_bytes_and_the_seed_moves_only_the_band(run):
    one, two, other = (run("breast", "metastatic", sample(n=12), seed=seed) for seed in (1, 1, 2))
    assert one == two
    assert [p["p"] for p in one["survival"]] == [p["p"] for p in other["survival"]]
    assert one["survival"] != other["survival"]


@pytest.mark.parametrize(("primary", "setting"), [*(w[:2] for w in WITH_CURVES), *RELATIVE, *REFUSED[:3]])
def test_no_sentence_advises(run, primary, setting):
    """T17. Sentences are about published groups; no one is advised."""
    before, after = sample("S1", 20, "2026-01-18"), sample("S2", 2, "2026-02-16")
    said = json.dumps(run(primary, setting, before, after, therapy_start="2026-01-19")).lower()
    assert not re.search(r"\b(stop|switch|continue|recommend|should|must|consider|prescribe|you|your)\b", said)


def test_the_summary_speaks_of_100_people_in_the_published_group(run):
    summary = run("prostate", "mcrpc", sample(n=4))["summary"]
    assert summary.startswith("Of 100 people in the published group")
    assert "219 people" in summary
    assert "12 months" in summary


def test_a_patient_takes_less_than_two_seconds(run):
    began = time.perf_counter()
    run("breast", "metastatic", sample("S1", 20, "2026-01-18"), sample("S2", 2, "2026-04-16"), n_draws=4000)
    assert time.perf_counter() - began < 2


def test_the_cascade_never_changes_the_survival(run):
    """T18. The simulated risk is no evidence of outcome: it enters the provenance and nothing else."""
    one, other = run("breast", "metastatic", sample()), run("breast", "metastatic", sample(), cascade={"level": 0.5})
    assert one.pop("provenance") != other.pop("provenance")
    assert one == other
