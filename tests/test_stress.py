"""States of stain and blood: counted right, or refused with a reason; and the estimates behind that."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import yaml

from ctcascade.calling import stains
from ctcascade.calling.classify import call_sample
from ctcascade.calling.compensation import bleed_of, envelope, signals_of
from ctcascade.calling.reference import ck_scale
from ctcascade.counting.count import count_ctcs
from ctcascade.counting.quality import quality
from ctcascade.data import store
from ctcascade.data.results import Claim, Quality, TableProvenance
from ctcascade.study.jobs import QualityJob
from tests.support.calling import SETTINGS, assay, classify_job
from tests.support.counts import calls_table, frames_table, settings
from tests.support.runs import ROOT
from verification import stress, stress_drawn
from verification.stress_states import STATES, State, _without

pytestmark = pytest.mark.unit

BY_NAME = {state.name: state for state in STATES}
COUNTED = (
    "plain",
    "donor, no CTC",
    "CK into CD45 10 %",
    "eosinophils 20 %",
    "80 % of cells are CTCs",
    "all pairs 5 %",
    "cd45 shifted by 18 px",
    "dna shifted by 18 px in one frame",
    "hot pixels 1 in 1,000",
)
REFUSED = {
    "6 leukocytes in all": "leukocytes with CD45 found, at least 20 needed",
    "CD45 absent, donor": "leukocytes with CD45 found, at least 20 needed",
    "CK absent, donor": "no cytokeratin stain",
    "CK absent, DNA into CK 10 %, donor": "cytokeratin",
    "CK absent, CD45 into CK 5 %": "no cytokeratin stain",
    "ck is noise, donor": "no cytokeratin stain",
    "dna is noise": "no DNA stain",
    "cd45 is half of ck": "CD45 and cytokeratin show one light",
    "dna is a copy of cd45, donor": "dna and cd45 hold the same pixels",
    "cd45 is noise in one frame of three": "CD45 is missing in 1 of 3 frames (f003)",
    "ck is noise in one frame of three": "cytokeratin is missing in 1 of 3 frames (f003)",
    "dna is noise in one frame of three": "DNA is missing in 1 of 3 frames (f003)",
}


FOUR = [maker for maker in stress.MAKERS if maker != "fifth"]


def test_states_are_many_and_named_once():
    assert len(BY_NAME) == len(STATES) >= 80


def test_drawn_states_are_the_same_for_a_seed_and_others_for_another():
    named = [[stress_drawn.drawn(n, seed)[0].name for n in range(20)] for seed in (1, 1, 2)]
    assert named[0] == named[1]
    assert len({*named[0], *named[2]}) == 40
    assert {stress_drawn.drawn(n, 1)[1] for n in range(60)} == set(stress.MAKERS)


@pytest.mark.parametrize(
    ("maker", "name"), [*((maker, name) for maker in FOUR for name in COUNTED), ("fifth", "CK into CD45 10 %")]
)
def test_a_state_that_can_be_counted_is_counted_right(maker, name):
    outcome = stress.run(BY_NAME[name], maker, 11)
    assert (outcome.status, outcome.reason) == ("ok", "")
    assert min(outcome.recall, outcome.precision) >= stress.LEAST
    assert outcome.covered


@pytest.mark.parametrize(
    ("maker", "name"), [*((maker, name) for maker in FOUR for name in REFUSED), ("fifth", "ck is noise, donor")]
)
def test_a_state_that_cannot_be_counted_is_refused_with_its_reason(maker, name):
    outcome = stress.run(BY_NAME[name], maker, 11)
    assert outcome.status == "not_evaluable"
    assert REFUSED[name] in outcome.reason


def test_candidates_are_called_where_no_count_can_be_given():
    outcome = stress.run(BY_NAME["0 leukocytes in all"], "phantom", 11)
    assert outcome.status == "not_evaluable"
    assert outcome.recall >= stress.LEAST


@pytest.mark.property
@pytest.mark.parametrize("share", [0.0, 0.02, 0.1, 0.2])
def test_the_interval_of_bleed_covers_the_true_share(share):
    rng = np.random.default_rng(3)
    ck = 800 * np.exp(rng.normal(0, 0.4, 30))
    noise = {"ck": 5.0, "cd45": 5.0}
    leukocytes = 30 * np.exp(rng.normal(0, 0.5, 200)), 400 * np.exp(rng.normal(0, 0.4, 200))
    took_up = 500 * np.exp(rng.normal(0, 0.4, 8)), 400 * np.exp(rng.normal(0, 0.4, 8))
    own = rng.normal(4, 2, 30)
    source = np.concatenate([ck, leukocytes[0], took_up[0]])
    target = np.concatenate([share * ck + own, leukocytes[1] + share * leukocytes[0], took_up[1] + share * took_up[0]])
    found = envelope(source, target, noise, np.full(len(source), 10.0))
    assert found.how == "sample"
    assert found.share == pytest.approx(share, abs=0.01)
    assert found.share - 3 * found.sd <= share + 0.005


def test_too_few_bright_objects_are_not_estimable_and_leave_a_wide_interval():
    ck, cd45 = np.array([900.0, 700.0, 20.0, 30.0]), np.array([90.0, 70.0, 400.0, 500.0])
    found = envelope(ck, cd45, {"ck": 5.0, "cd45": 5.0}, np.full(4, 10.0))
    assert (found.how, found.share, found.n) == ("not_estimable", 0.0, 2)
    assert found.sd > 0.01


def test_cells_with_cd45_of_their_own_are_no_bleed():
    ck = np.full(40, 800.0)
    found = envelope(ck, (SETTINGS.bleed.max_share + 0.05) * ck, {"ck": 5.0, "cd45": 5.0}, np.full(40, 10.0))
    assert found.how == "not_estimable"


@pytest.mark.parametrize("share", [0.05, 0.2])
def test_eosinophils_do_not_widen_the_leukocytes_cytokeratin(share):
    rng = np.random.default_rng(5)
    plain = 30 * np.exp(rng.normal(0, 0.3, 1000))
    mixed = np.concatenate([plain[: round(1000 * (1 - share))], 300 * np.exp(rng.normal(0, 0.3, round(1000 * share)))])
    _, spread = ck_scale(plain, 5.0, SETTINGS.reference)
    _, widened = ck_scale(mixed, 5.0, SETTINGS.reference)
    assert widened < 1.35 * spread


def test_what_the_assay_knows_of_bleed_is_taken_off():
    parts = ("mean", "nucleus_mean", "ring_mean")
    light = {"dna": 100.0, "ck": 50.0, "cd45": 25.0}
    row = {f"{role}_{part}": 0.0 if part == "ring_mean" else value for role, value in light.items() for part in parts}
    cells = pd.DataFrame([{**row, "equivalent_diameter_um": 10.0}])
    bleed = bleed_of(cells, {"ck": 5.0, "cd45": 5.0}, {"dna": {"cd45": 0.1}, "ck": {"cd45": 0.2}, "cd45": {"ck": 0.4}})
    found = signals_of(cells, bleed)
    assert found.cd45[0] == pytest.approx(25 - 0.1 * 100 - 0.2 * 50)
    assert found.ck[0] == pytest.approx(50 - 0.4 * 25)
    assert found.dna[0] == 100.0


FAILED = Claim(claim="ck_stained", checked_with="a test", value=0.0, verdict="fails", reason="no cytokeratin stain")
UNCHECKED = Claim(claim="ck_into_cd45_known", checked_with="nothing", value=None, verdict="not_checked", reason="none")


def test_a_claim_that_fails_withholds_the_count_and_one_that_was_not_checked_does_not():
    calls, frames = calls_table(("ctc", None), ("leukocyte", None)), frames_table([1000.0])
    found = count_ctcs(settings(), frames, calls, claims=[UNCHECKED, FAILED])
    assert (found.status, found.reason) == ("not_evaluable", "no cytokeratin stain")
    assert (found.n_ctc, found.n_leukocytes, found.ctc_per_7_5_ml) == (None, None, None)
    assert set(found.p_at_least.values()) == {None}
    assert found.claims == (UNCHECKED, FAILED)
    counted = count_ctcs(settings(), frames, calls, claims=[UNCHECKED])
    assert (counted.status, counted.n_ctc) == ("ok", 1)


def test_a_claim_that_fails_fails_the_quality_of_the_sample(tmp_path):
    limits = yaml.safe_load((ROOT / "config" / "config.yaml").read_text(encoding="utf-8"))["quality"]
    job = QualityJob.model_validate({"sample": {"sample": "S1"}, **limits})
    state = BY_NAME["CK absent, donor"]
    _, frames, cells = stress.seen(state, "phantom", 11)
    made = call_sample(classify_job(assay("cellsearch")), frames, cells)
    about = store.provenance({}, {})
    kept = TableProvenance(**about.model_dump(exclude_unset=True), reference=made.reference)
    store.write_table(tmp_path / "frames", "frames", frames, about)
    store.write_table(tmp_path / "cells", "cells", cells, about)
    store.write_table(tmp_path / "calls", "calls", made.calls, kept)
    quality(job, *(tmp_path / kind for kind in ("frames", "cells", "calls")), tmp_path / "quality.json")
    found = store.read_json(tmp_path / "quality.json", Quality)
    assert found.status == "fail"
    assert [claim.claim for claim in found.claims if claim.verdict == "fails"] == ["ck_stained"]


@pytest.fixture(scope="module")
def plasma():
    """Frames and cells of blood with uneven plasma, which is cut into objects as nuclei are."""
    _, frames, cells = stress.seen(State("mild: ck stain at 60 %", light=_without("ck", 0.6)), "fifth", 21)
    return frames, cells


def test_structure_of_the_background_is_no_nucleus(plasma):
    frames, cells = plasma
    made = call_sample(classify_job(assay("cellsearch")), frames, cells)
    faint = cells["dna_nucleus_mean"] - cells["dna_ring_mean"].clip(lower=0) < 6 * frames["dna_noise"].median()
    assert (faint & (cells["nucleus_area_um2"] > 0)).sum() > 20
    assert set(made.calls["call"][faint]) == {"debris"}


@pytest.mark.parametrize(("left", "n", "shown"), [(1.0, 3, True), (0.4, 3, True), (0.2, 3, False), (1.0, 2, False)])
def test_a_frame_shows_cytokeratin_where_its_cells_are_as_bright_as_elsewhere(left, n, shown):
    light = np.array([600.0] * 8 + [600.0 * left] * n + [10.0] * 20)
    frame = np.array([0] * 4 + [1] * 4 + [2] * n + [2] * 20)
    nothing = np.zeros(len(light))
    seen = SimpleNamespace(
        signals=SimpleNamespace(ck=light, cd45=nothing, dna=nothing + 300),
        noise={"ck": 5.0},
        nucleated=nothing == 0,
        frame=frame,
        frames=[0, 1, 2],
        cells=pd.DataFrame({"equivalent_diameter_um": nothing + 12}),
        limits=SETTINGS.stains,
    )
    assert stains._ck_cells_as_bright(seen).tolist() == [True, True, shown]
