"""Prognosis of patients with several tubes of one day: their names decide nothing, and none is left out in silence."""

import itertools

import pytest

from tests.support import prognoses
from tests.support.prognoses import sample
from tests.support.report_cases import factor

pytestmark = pytest.mark.property

DAY = "2026-01-12"
TOLD_BY_NAME = ("sample", "provenance", "evidence_ids", "assumptions")


@pytest.fixture
def run(tmp_path):
    return prognoses.runner(tmp_path)


def without_names(result):
    return {key: value for key, value in result.items() if key not in TOLD_BY_NAME}


@pytest.mark.parametrize(("few", "many"), [(0, 100), (1, 100), (3, 100), (4, 6)])
@pytest.mark.regression
def test_names_of_two_tubes_of_a_day_decide_nothing(run, few, many):
    """The one whose name sorts last used to be the only one that was read: 87 or 62 of 100 alive."""
    reference = {"reference_equivalent": factor(1.0, 1.0, 1.0, "measured"), "n_uncertain": 0}
    found = [
        run("breast", "metastatic", sample(one, few, DAY, **reference), sample(other, many, DAY, **reference))
        for one, other in (("a", "b"), ("z", "b"))
    ]
    assert found[0]["survival"] == found[1]["survival"]
    assert [result["n_ctc_observed"] for result in found] == [few + many] * 2
    whole = run("breast", "metastatic", sample("w", few + many, DAY, blood_volume_ml=15.0, **reference))
    assert whole["survival"] == found[0]["survival"]
    assert any("are read as one tube" in remark for remark in found[0]["remarks"])
    assert not any("are read as one tube" in remark for remark in whole["remarks"])


def test_a_small_tube_beside_a_large_one_is_read_with_it(run):
    both = run("breast", "metastatic", sample("a", 0, DAY), sample("b", 1000, DAY, blood_volume_ml=1.0))
    assert both["n_ctc_observed"] == 1000
    assert "1000 CTCs in 8.5 mL" in " ".join(both["remarks"])


def test_a_tube_by_another_assay_is_said_not_to_be_used(run):
    for one, other in itertools.permutations(("a", "b")):
        reference = sample(one, 0, DAY)
        small = sample(other, 900, DAY, assay="another", blood_volume_ml=1.0)
        found = run("breast", "metastatic", small, reference)
        assert (found["sample"], found["n_ctc_observed"]) == (one, 0)
        assert f"{other} of {DAY} (900 CTCs in 1 mL, assay another) is not set against" in " ".join(found["remarks"])


def test_tubes_before_and_after_the_start_of_therapy_on_its_day_are_two(run):
    before, after = sample("a", 20, DAY, drawn="before"), sample("b", 2, DAY, drawn="after")
    found = run("breast", "metastatic", before, after, therapy_start=DAY)
    assert not any("one tube" in remark for remark in found["remarks"])
    assert found["n_ctc_observed"] == 20


@pytest.mark.regression
@pytest.mark.parametrize(
    ("last", "status"), [("2026-02-16", "not_evaluable"), ("2026-05-20", "non_responder"), ("2026-03-30", "responder")]
)
def test_before_its_weeks_have_come_an_end_point_is_not_judged(run, last, status):
    """Four weeks into therapy a patient was called a non-responder for want of a sample in weeks 10 to 13."""
    found = run("prostate", "mcrpc", sample("a", 20, "2026-01-12"), sample("b", 0, last), therapy_start="2026-01-12")
    assert {r["name"]: r["status"] for r in found["responses"]}["ctc0"] == status
