"""What a sample shows of CTCs that its calls lost or made up: crowds at a gate, cells in doubt, gates against judge."""

import numpy as np
import pytest

from ctcascade.calling import classify, losses
from ctcascade.calling.classify import _losses, call_cells, reference_of
from ctcascade.calling.judge import Verdict
from ctcascade.data.results import Claim
from ctcascade.study.assay import Gates
from tests.support.calling import SETTINGS, assay, classify_job
from tests.support.cells import CTC, LEUKOCYTE, NOISE, cells_table

pytestmark = pytest.mark.unit

GATES = Gates.model_validate(assay("cellsearch")["gates"])
JOB = classify_job(assay("cellsearch"))
BESIDE = SETTINGS.model_copy(update={"judge": SETTINGS.judge.model_copy(update={"use": "beside"})})
SMALL = {**CTC, "nucleus_area_um2": 11.0}  # just above the gate of 10
LOST = {**CTC, "nucleus_area_um2": 8.5}  # just below it
BARE = {**CTC, "nucleus_area_um2": 0.0}
NO_BLEED = {"ck": {"cd45": 0.0}}


def claims(*cells, ln_ratio=None, bleed=NO_BLEED, before=()):
    """The claims on losses of a sample of these cells and 60 leukocytes; `ln_ratio`: the judge's, of these cells."""
    table = cells_table(*cells)
    reference = reference_of(table, NOISE, GATES, SETTINGS, bleed)
    verdict = None
    if ln_ratio is not None:
        rows = np.arange(len(cells))
        verdict = Verdict(rows, np.array(ln_ratio, float), np.full(len(rows), "shape", object), 0.5)
    calls = call_cells(table, reference, NOISE, GATES, BESIDE, verdict)
    return {c.claim: c for c in _losses(JOB, table, calls, NOISE, reference, verdict, before)}


def test_clear_ctcs_pass():
    found = claims(*[CTC] * 12, ln_ratio=[5.0] * 12)
    assert {c.verdict for c in found.values()} == {"holds"}
    assert found["few_ctcs_lost"].value == 0
    assert found["few_calls_false"].value < 0.01


def test_without_ctcs_there_is_nothing_to_lose():
    assert {c.verdict for c in claims(LEUKOCYTE).values()} == {"holds", "not_checked"}
    assert {c.verdict for c in claims(LEUKOCYTE, ln_ratio=[-6.0]).values()} == {"holds"}


@pytest.mark.parametrize(
    ("changed", "gate"),
    [
        ({"nucleus_area_um2": 11.0}, "the nucleus's size"),
        ({"nucleus_solidity": 0.73}, "the nucleus's solidity"),
        ({"cd45": 62.0, "ck": 6000.0}, "CD45"),
        ({"equivalent_diameter_um": 4.3, "nucleus_area_um2": 14.4}, "the least diameter"),
    ],
)
def test_ctcs_that_crowd_at_a_gate_withhold_the_count(changed, gate):
    claim = claims(*[CTC] * 8, *[{**CTC, **changed}] * 4)["ctcs_clear_of_gates"]
    assert claim.verdict == "fails"
    assert claim.reason.startswith(f"{gate} of 4 of 12 CTCs")
    assert claim.value == pytest.approx(4 / 12)


def test_where_the_judge_sees_what_lies_beyond_a_gate_a_crowd_is_no_fault():
    ragged = {**CTC, "nucleus_solidity": 0.73}
    assert claims(*[CTC] * 8, *[ragged] * 4, ln_ratio=[5.0] * 12)["ctcs_clear_of_gates"].verdict == "holds"
    assert claims(*[CTC] * 8, *[SMALL] * 4, ln_ratio=[5.0] * 12)["ctcs_clear_of_gates"].verdict == "fails"


@pytest.mark.parametrize(("n_close", "verdict"), [(1, "holds"), (2, "holds"), (3, "fails")])
def test_one_or_two_cells_at_a_gate_are_no_crowd(n_close, verdict):
    assert claims(*[CTC] * 9, *[SMALL] * n_close)["ctcs_clear_of_gates"].verdict == verdict


@pytest.mark.parametrize(
    ("lost", "words"),
    [(LOST, "about 4 of them were not called (most of those near a gate: the nucleus's size)"), (BARE, "no nucleus")],
)
def test_cells_lost_to_one_gate_withhold_the_count_where_no_judge_is_asked(lost, words):
    assert claims(*[CTC] * 12, *[lost] * 2)["few_ctcs_lost"].verdict == "holds"
    claim = claims(*[CTC] * 12, *[lost] * 4)["few_ctcs_lost"]
    assert claim.verdict == "fails"
    assert words in claim.reason


@pytest.mark.parametrize(("in_nucleus", "verdict"), [(3.0, "holds"), (30.0, "fails")])
def test_ctcs_whose_nuclei_are_too_faint_to_be_nuclei_withhold_the_count(in_nucleus, verdict):
    table = cells_table(*[CTC] * 12, *[CTC] * 4)
    faint = slice(12, 16)
    table.loc[table.index[faint], ["dna_mean", "dna_nucleus_mean", "dna_cytoplasm_mean"]] = 3.0, in_nucleus, 1.0
    reference = reference_of(table, NOISE, GATES, SETTINGS, NO_BLEED)
    assert not reference.nucleated[faint].any()
    assert reference.nucleated[:12].all()
    calls = call_cells(table, reference, NOISE, GATES, BESIDE, None)
    found = {c.claim: c for c in _losses(JOB, table, calls, NOISE, reference, None, ())}
    assert found["few_ctcs_lost"].verdict == verdict


@pytest.mark.parametrize(("stain", "verdict"), [(1.0, "holds"), (0.045, "fails")])
def test_where_dna_is_faint_a_nucleus_that_was_not_seen_may_be_there(stain, verdict):
    table = cells_table(CTC, *[{**BARE, "dna": 20.0}] * 4)
    table[[name for name in table if name.startswith("dna_") and name.endswith(("mean", "max", "high"))]] *= stain
    reference = reference_of(table, NOISE, GATES, SETTINGS, NO_BLEED)
    calls = call_cells(table, reference, NOISE, GATES, BESIDE, None)
    found = {c.claim: c for c in _losses(JOB, table, calls, NOISE, reference, None, ())}
    assert (calls["call"] == "ctc").sum() == 1
    assert found["few_ctcs_lost"].verdict == verdict


@pytest.mark.parametrize(("ln_ratio", "verdict"), [(2.0, "fails"), (-6.0, "holds")])
def test_where_the_judge_is_asked_its_probabilities_say_how_many_were_lost(ln_ratio, verdict):
    claim = claims(*[CTC] * 12, *[LOST] * 6, ln_ratio=[5.0] * 12 + [ln_ratio] * 6)["few_ctcs_lost"]
    assert claim.verdict == verdict
    assert (claim.value > 0.25) == (verdict == "fails")


@pytest.mark.parametrize(("ln_ratio", "verdict"), [(-0.5, "fails"), (5.0, "holds")])
def test_calls_that_are_likelier_no_ctcs_withhold_the_count(ln_ratio, verdict):
    others = [{**CTC, "cd45": 300.0}] * 30
    found = claims(*[CTC] * 12, *others, ln_ratio=[5.0] * 6 + [ln_ratio] * 6 + [-5.0] * 30)
    assert found["few_calls_false"].verdict == verdict


@pytest.mark.parametrize(("ln_ratio", "verdict"), [(-2.0, "fails"), (-5.0, "holds")])
def test_a_judge_that_is_against_most_cells_without_being_sure_withholds_the_count(ln_ratio, verdict):
    claim = claims(*[CTC] * 9, ln_ratio=[ln_ratio] * 9)["few_ctcs_lost"]
    assert claim.verdict == verdict
    assert ("differ on 9 cells" in claim.reason) == (verdict == "fails")


@pytest.mark.parametrize("n", [1, 2])
def test_a_cell_that_the_judge_wants_counts_as_lost_however_far_below_the_gate(n):
    dim = {**CTC, "ck": 20.0}
    claim = claims(*[CTC] * 5, *[dim] * n, ln_ratio=[5.0] * 5 + [4.0] * n)["few_ctcs_lost"]
    assert claim.verdict == ("fails" if n > 1 else "holds")
    assert claim.value == pytest.approx(n / (5 + n), abs=0.03)


OTHERS = {
    "apart": ([-4.2] * 20 + [-3.2] * 10, "holds"),
    "falls": ([-4.2] * 20 + [-2.5] * 3, "holds"),
    "reaches the calls": ([-4.2] * 12 + [-2.5] * 9, "fails"),
}


@pytest.mark.parametrize("shape", OTHERS)
def test_calls_with_small_ratios_are_in_doubt_only_where_the_tail_of_the_others_reaches_them(shape):
    others, verdict = OTHERS[shape]
    found = claims(*[CTC] * 30, *[{**CTC, "cd45": 300.0}] * len(others), ln_ratio=[1.7] * 30 + others)
    assert found["few_calls_false"].verdict == verdict


@pytest.mark.parametrize("usual", [0.8, 1.4])
def test_calls_that_are_doubtful_as_a_whole_are_not_excused_by_a_gap(usual):
    others = [{**CTC, "cd45": 300.0}] * 30
    assert claims(*[CTC] * 12, *others, ln_ratio=[usual] * 12 + [-4.5] * 30)["few_calls_false"].verdict == "fails"


@pytest.mark.parametrize(("ln_ratio", "verdict"), [([1.8, 3.0, -0.4], "fails"), ([4.0, 5.0, 5.0], "holds")])
def test_three_calls_of_which_most_are_false_by_the_judge_are_no_count(ln_ratio, verdict):
    others = [{**CTC, "cd45": 300.0}] * 15
    found = claims(*[CTC] * 3, *others, ln_ratio=[*ln_ratio, *[-5.0] * 12, -2.9, -2.3, -1.6])
    assert found["few_calls_false"].verdict == verdict


def test_cd45_that_lies_elsewhere_than_cytokeratin_is_no_bleed():
    own = {**CTC, "ck": 2000.0, "cd45": 200.0, "marker_correlation": 0.1}
    assert claims(CTC, *[own] * 4, bleed=None)["few_ctcs_lost"].verdict == "holds"


@pytest.mark.parametrize(("n", "bleed", "verdict"), [(1, None, "holds"), (2, None, "fails"), (2, NO_BLEED, "holds")])
def test_cd45_that_may_be_bleed_of_unknown_size_withholds_the_count(n, bleed, verdict):
    held = {**CTC, "ck": 2000.0, "cd45": 200.0, "marker_correlation": 0.9}
    claim = claims(CTC, *[held] * n, bleed=bleed)["few_ctcs_lost"]
    assert claim.verdict == verdict
    assert ("may be bleed" in claim.reason) == (verdict == "fails")


def test_nothing_is_told_where_a_stain_failed():
    failed = Claim(claim="ck_stained", checked_with="", value=0.0, verdict="fails", reason="no stain")
    found = claims(*[CTC] * 12, *[SMALL] * 12, before=[failed])
    assert {c.verdict for c in found.values()} == {"not_checked"}
    assert all("ck_stained" in c.reason for c in found.values())


@pytest.mark.parametrize(("n", "beside", "verdict"), [(50, 0.09, "fails"), (50, 0.01, "holds"), (20, 0.09, "holds")])
def test_doubts_that_are_few_each_withhold_the_count_together(n, beside, verdict):
    near = Claim(claim="ck_apart", checked_with="", value=beside, verdict="holds", reason="")
    doubtful = n * 5 // 100
    found = claims(*[CTC] * n, *[LOST] * doubtful, ln_ratio=[5.0] * n + [2.0] * doubtful, before=[near])
    assert [c.claim for c in found.values() if c.verdict == "fails"] == ["doubts_together_few"] * (verdict == "fails")
    assert found["doubts_together_few"].value == pytest.approx(doubtful / (n + doubtful) + beside, abs=0.003)


def test_the_gates_are_named_in_the_order_of_their_terms():
    assert list(losses.GATE_NAMES) == list(classify._GATES)
    assert set(losses.GATE_NAMES) < set(Gates.model_fields)
