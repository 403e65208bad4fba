"""The learned judge: its traits have no unit, it abstains where it knows nothing, and it joins the gates as stated."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctcascade.calling import judge
from ctcascade.calling.agreement import agreed, summary_of
from ctcascade.calling.candidates import beside, candidates_of, unlike_of
from ctcascade.calling.classify import call_sample, reference_of
from ctcascade.calling.compensation import signals_of
from ctcascade.calling.judge import Verdict, at_prevalence, judged, prevalence
from ctcascade.calling.rarity import ranked, unlike_leukocytes
from ctcascade.calling.traits import NAMES, Shown, leukocytes_sample, traits_of
from ctcascade.data import store
from ctcascade.study.assay import Gates
from ctcascade.study.calling_settings import ClassifySettings
from tests.support.calling import SETTINGS, assay, classify_job
from verification import stress
from verification.stress_states import STATES

pytestmark = pytest.mark.unit

GATES = Gates.model_validate(assay("cellsearch")["gates"])
BESIDE = SETTINGS.model_copy(update={"judge": SETTINGS.judge.model_copy(update={"use": "beside"})})
LEAST, ALONE = SETTINGS.judge.least_ln_ratio, SETTINGS.judge.alone_ln_ratio


@pytest.fixture(scope="module")
def plain():
    """Frames, cells, noise, reference and signals of a plain slide."""
    state = next(state for state in STATES if state.name == "plain")
    _, frames, cells = stress.seen(state, "other", 11)
    return frames, cells, *_compared(frames, cells)


def _compared(frames, cells):
    noise = {role: float(frames[f"{role}_noise"].median()) for role in ("dna", "ck", "cd45", "fitc")}
    reference = reference_of(cells, noise, GATES, SETTINGS, {"ck": {"cd45": 0.0}})
    return noise, reference, signals_of(cells, reference.bleed)


def _traits(cells, noise, reference, signals):
    rows = judge.candidates(signals, reference)
    leukocytes = Shown.of(cells, leukocytes_sample(reference), signals)
    return traits_of(Shown.of(cells, rows, signals), leukocytes, reference, noise)


@pytest.mark.parametrize("gains", [(16, 16, 16), (3, 1, 1), (1, 5, 1), (1, 1, 0.25)])
def test_traits_have_no_unit_in_any_channel(plain, gains):
    frames, cells, *known = plain
    brighter, noisier = cells.copy(), frames.copy()
    for role, gain in zip(("dna", "ck", "cd45"), gains, strict=True):
        for name in ("mean", "max", "high", "std", "sum", "nucleus_mean", "nucleus_std", "cytoplasm_mean", "ring_mean"):
            brighter[f"{role}_{name}"] = cells[f"{role}_{name}"] * gain
        noisier[f"{role}_noise"] = frames[f"{role}_noise"] * gain
    before, after = _traits(cells, *known), _traits(brighter, *_compared(noisier, brighter))
    assert tuple(before.columns) == NAMES
    np.testing.assert_allclose(before.to_numpy(), after.to_numpy(), rtol=0.01, atol=0.02)


def test_the_model_is_small_and_has_the_traits_of_the_code():
    assert judge.MODEL.stat().st_size < 3e6
    model = judge.loaded()
    assert model.typical.shape == (len(NAMES),)
    assert model.slides.shape[0] >= 1000
    assert judge.ln_ratios(model, model.typical[None])[0] > 3


@pytest.mark.property
@given(st.integers(0, 2**31), st.sampled_from(["ck_z", "ck_over_leukocytes", "ck_over_cd45"]), st.floats(0.1, 5))
def test_more_cytokeratin_never_speaks_against_a_ctc(seed, name, more):
    model = judge.loaded()
    traits = model.typical + np.random.default_rng(seed).normal(0, 1, (4, len(NAMES))).astype(np.float32)
    brighter = traits.copy()
    brighter[:, NAMES.index(name)] += np.float32(more)
    assert (judge.ln_ratios(model, brighter) >= judge.ln_ratios(model, traits) - 1e-5).all()


def test_the_judge_tells_ctcs_of_a_plain_slide(plain):
    _, cells, noise, reference, signals = plain
    verdict = judged(cells, signals, reference, noise)
    assert verdict.why_not == ""
    assert verdict.unlike < 1
    sure = np.isin(verdict.rows, np.flatnonzero(reference.z_ck(signals.ck) > 6))
    assert np.median(verdict.ln_ratio[sure]) > 2
    assert set(verdict.against) <= {"cytokeratin", "CD45", "DNA", "shape"}


def test_the_judge_abstains_where_it_knows_nothing(plain):
    _, cells, noise, reference, signals = plain
    failed = judged(cells, signals, reference, noise, ["ck_stained"])
    assert (len(failed.rows), failed.why_not) == (0, "what calls rest on does not hold: ck_stained")
    few = cells[:12].reset_index(drop=True)
    alone = reference_of(few, noise, GATES, SETTINGS)
    assert judged(few, signals_of(few, alone.bleed), alone, noise).why_not == "there are no leukocytes to compare with"
    strange = cells.assign(solidity=0.3, dna_std=9 * cells["dna_std"], cd45_fill=0.05, ck_ring_mean=cells["ck_mean"])
    far = judged(strange, signals, reference, noise)
    assert far.unlike > 1
    assert "unlike all that it was trained on" in far.why_not


@pytest.mark.parametrize("maker", ["phantom", "third"])
@pytest.mark.parametrize("name", ["CD45 absent", "CD45 absent, donor", "ck is noise, donor"])
def test_the_judge_invents_no_ctc_where_a_stain_is_missing(name, maker):
    state = next(state for state in STATES if state.name == name)
    _, frames, cells = stress.seen(state, maker, 11)
    job = classify_job(assay("cellsearch"))
    beside = job.model_copy(update={"judge": BESIDE.judge})
    by_gates, by_both = call_sample(job, frames, cells), call_sample(beside, frames, cells)
    assert by_both.reference.judge.use == "abstains"
    assert by_both.calls["call"].tolist() == by_gates.calls["call"].tolist()


def _joined(p, call, ln_ratio, why_not="", settings=BESIDE, ctcs=0):
    """Return what both say of the first cell, beside a thousand that the judge is sure are none, and sure CTCs."""
    others = np.r_[np.full(1000, -9.0), np.full(ctcs, 9.0)]
    n = len(others) + 1
    verdict = Verdict(np.arange(n), np.r_[ln_ratio, others], np.full(n, "DNA", object), 0.5, why_not)
    words = np.r_[np.array([call], object), np.full(n - 1, "leukocyte", object)], np.full(n, "gates", object)
    return agreed(np.r_[p, np.full(n - 1, 0.001)], *words, verdict, settings)


@pytest.mark.parametrize(
    ("p", "call", "ln_ratio", "expected", "low", "high"),
    [
        (0.99, "ctc", 4.0, "ctc", 0.98, 0.99),  # both: the mean of the logarithms of their odds
        (0.6, "ctc", LEAST, "ctc", 0.5, 0.6),
        (0.99, "ctc", LEAST - 0.1, "uncertain", 0.1, 0.5),
        (0.9999, "ctc", -9.0, "uncertain", 0.1, 0.1),  # gates do not know dying cells: the judge's own p_ctc
        (0.001, "debris", ALONE, "uncertain", 0.1, 0.5),
        (0.001, "debris", ALONE - 0.1, "debris", 0.0, 0.001),
        (0.001, "leukocyte", -5.0, "leukocyte", 0.0, 0.001),
        (0.3, "uncertain", -5.0, "uncertain", 0.1, 0.11),
        (0.3, "uncertain", 0.5, "uncertain", 0.4, 0.5),
        (0.3, "uncertain", 2.0, "ctc", 0.6, 0.7),  # gates in doubt say neither
        (0.45, "uncertain", LEAST - 0.1, "uncertain", 0.1, 0.5),
    ],
)
def test_a_cell_is_called_where_gates_and_judge_agree(p, call, ln_ratio, expected, low, high):
    found = _joined(p, call, ln_ratio)
    assert found.call[0] == expected
    assert low <= found.p_ctc[0] <= high + 1e-9
    assert found.judge_reason[0] == ("for" if ln_ratio >= LEAST else "against: DNA")


@pytest.mark.parametrize(
    ("ln_ratio", "ctcs", "expected"),
    [
        (2.0, 0, "dna_only"),  # one in a thousand
        (2.5, 300, "uncertain"),  # nearly four in five
        (0.5, 300, "dna_only"),  # at odds of 0.3 to 1.65 it is a third
        (-0.1, 30_000, "dna_only"),  # nearly all are CTCs, and still it looks rather like none
        (0.1, 30_000, "uncertain"),
    ],
)
def test_a_cell_that_is_likely_at_the_samples_own_share_is_left_to_the_reviewer(ln_ratio, ctcs, expected):
    found = _joined(0.001, "dna_only", ln_ratio, ctcs=ctcs)
    assert found.call[0] == expected
    assert (found.p_ctc[0] >= 0.1) == (expected == "uncertain")


def test_p_of_both_has_the_mean_of_the_logarithms_of_their_odds():
    assert _joined(0.9, "ctc", np.log(4.0)).p_ctc[0] == pytest.approx(6 / 7)  # odds 9 and 4


@pytest.mark.parametrize(("why_not", "use"), [("it knows nothing", "beside"), ("", "shown")])
def test_the_gates_alone_decide_where_the_judge_abstains_or_is_only_shown(why_not, use):
    settings = SETTINGS.model_copy(update={"judge": SETTINGS.judge.model_copy(update={"use": use})})
    found = _joined(0.99, "ctc", -9.0, why_not, settings)
    assert (found.call[0], found.p_ctc[0], found.reason[0]) == ("ctc", 0.99, "gates")
    assert found.ln_ratio[0] == -9.0


def test_without_a_verdict_nothing_is_said():
    found = agreed(np.array([0.9]), np.array(["ctc"], object), np.array(["gates"], object), None, BESIDE)
    assert (found.p_ctc[0], found.judge_reason[0]) == (0.9, "")
    assert np.isnan([found.ln_ratio[0], found.p_in_sample[0]]).all()
    assert summary_of(None, "beside").use == "off"


@pytest.mark.property
@pytest.mark.parametrize("share", [0.02, 0.2, 0.7])
def test_the_samples_own_prevalence_is_found_and_its_probabilities_are_true(share):
    rng = np.random.default_rng(4)
    is_ctc = rng.random(100_000) < share
    score = rng.normal(np.where(is_ctc, 1.0, -1.0), 1.0)
    ln_ratio = 2 * score  # of two normal distributions, 2 apart
    found = prevalence(ln_ratio)
    assert found == pytest.approx(share, abs=0.015)
    p = at_prevalence(ln_ratio, found)
    for low, high in ((0.1, 0.3), (0.4, 0.6), (0.8, 0.95)):
        band = (p > low) & (p < high)
        assert is_ctc[band].mean() == pytest.approx(p[band].mean(), abs=0.05)
    assert prevalence(np.zeros(0)) == 0.0


def test_a_cell_unlike_the_leukocytes_is_ranked_first_and_shown(plain):
    frames, cells, noise, reference, signals = plain
    plain_ones = reference.leukocytes & (reference.z_ck(signals.ck) < 0) & ~cells["touches_border"].to_numpy(bool)
    row = int(np.flatnonzero(plain_ones)[0])
    odd = cells.copy()
    odd.loc[row, ["fitc_mean", "cd45_mean", "cd45_nucleus_mean"]] = [60 * noise["fitc"], 0.0, 0.0]
    odd.loc[row, "nucleus_area_um2"] *= 2.5
    made = call_sample(classify_job(assay("cellsearch")), frames, odd)
    assert made.calls["call"][row] == "dna_only"
    assert made.calls["unlike_rank"][row] == 1
    assert made.calls["unlike"][row] > 1
    shown = unlike_of(beside(made.calls, odd))
    assert shown[0]["cell"] == odd["cell"][row]
    assert len(shown) <= SETTINGS.unlike_cells
    usual = unlike_leukocytes(cells, signals, reference, noise)[reference.leukocytes]
    assert (usual < 1).mean() == pytest.approx(0.99, abs=0.02)


def test_what_is_no_cell_or_cut_or_wanted_is_not_ranked():
    call = np.array(["ctc", "debris", "debris", "dna_only", "leukocyte"], object)
    reason = np.array(["", "dye_aggregate", "apoptotic at_border", "dna+", "dna+"], object)
    border = np.array([False, False, True, False, False])
    assert ranked(np.array([9.0, 8.0, 7.0, 3.0, 5.0]), call, reason, border, 5).tolist() == [4, 3]
    assert ranked(np.array([np.nan] * 5), call, reason, border, 5).tolist() == []


def test_cells_on_which_gates_and_judge_differ_come_first():
    calls = pd.DataFrame(
        {
            "frame": "f",
            "cell": [1, 2, 3, 4],
            "y_px": 0.0,
            "x_px": 0.0,
            "call": ["ctc", "uncertain", "uncertain", "leukocyte"],
            "p_ctc": [0.99, 0.4, 0.2, 0.01],
            "cluster": pd.array([None] * 4, dtype="Int64"),
            "gates_p_ctc": [0.99, 0.4, 0.9, 0.01],
            "judge_reason": ["for", "against: CD45", "against: DNA", ""],
        }
    )
    found = candidates_of(calls)
    assert found["cell"].tolist() == [3, 2, 1]
    assert found["doubt"].tolist() == ["differ", "uncertain", ""]


def test_rows_of_a_table_are_read_in_the_order_asked(tmp_path, plain):
    _, cells, *_ = plain
    store.write_table(tmp_path / "cells", "cells", cells, store.provenance({}, {}))
    rows = np.array([7, 0, len(cells) - 1, 7])
    found = store.read_rows(tmp_path / "cells", rows, ["solidity", "dna_std"])
    np.testing.assert_allclose(found, cells[["solidity", "dna_std"]].iloc[rows].astype(np.float32))
    assert store.read_rows(tmp_path / "cells", rows[:0], ["solidity"]).shape == (0, 1)


def test_settings_of_the_judge_are_checked():
    with pytest.raises(ValueError, match="judge"):
        ClassifySettings.model_validate({"judge": {"use": "always"}})
