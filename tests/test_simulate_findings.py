"""Imaging in the cascade: against lesions sampled one by one and sorted by hand, and what must hold for any patient."""

import datetime
import math

import numpy as np
import pytest

from ctcascade.cascade import findings
from ctcascade.cascade.parameters import Draws
from ctcascade.data.vocabulary import HORIZONS_YEARS, ORGANS
from ctcascade.study.patient import read_imaging
from tests.support import cascades
from tests.support.cascades import cascade, counts_file, means

pytestmark = pytest.mark.unit

DAY = datetime.date(2026, 2, 1)  # of the sample in `counts_file`


def run(folder, imaging, setting="metastatic", primary="colon", n_ctc=5, draws=600):
    counts = [counts_file(folder, n_ctc=n_ctc)]
    return cascades.run(folder, counts, primary, setting, draws=draws, imaging=imaging)


def given(text, early, draws=40):
    model = cascade("colon", draws=draws, early=early)
    return findings.Imaged.condition(model, findings.dated(read_imaging(text), DAY), np.ones(draws))


def test_findings_are_ordered_by_date():
    scans = read_imaging("2026-08-02:bone_scan:bone=3;2026-02-01: CT:liver=2, lung=0")
    found = findings.dated(scans, DAY)
    assert [(f.organ, f.modality, f.lesions) for f in found] == [
        ("liver", "CT", 2), ("lung", "CT", 0), ("bone", "bone scan", 3),
    ]  # fmt: skip
    assert [f.years for f in found] == pytest.approx([0, 0, 0.498], abs=1e-3)
    assert findings.dated((), DAY) == []


@pytest.mark.oracle
@pytest.mark.parametrize(
    ("text", "early"),
    [
        ("2026-02-01:CT:liver=0,lung=0", False),
        ("2026-01-01:CT:liver=2,lung=0;2026-03-01:MRI:bone=1", False),
        ("2026-08-01:PET:liver=0,bone=0", True),
        ("2026-11-01:CT:liver=1,adrenal=0", True),
        ("2025-11-01:CT:liver=1,adrenal=0", True),  # the setting is overruled
    ],
)
def test_risk_given_findings_is_that_of_lesions_sampled_one_by_one(text, early):
    imaged = given(text, early)
    later = imaged.cascade.lesions([1.0, 5.0])
    # a draw in which lesions are neither rare nor certain, and the findings not nearly impossible
    off = np.where(imaged.likelihood() > 0.003, np.abs(imaged.now.sum(axis=1) - 1.0), np.inf)
    draw = int(np.argmin(off))
    seen = imaged.cascade.seen_already[draw]
    rng, n = np.random.default_rng(8), 1_000_000
    k = imaged.cascade.frailty_shape[draw]
    marks = rng.exponential(size=(n, later.shape[2])) / (rng.gamma(k, 1 / k, n)[:, None] + 1e-300)
    now, low, high = (x[draw] for x in (imaged.now, imaged.low, imaged.high))
    fits = ((marks > low) & (marks <= high)).all(axis=1)
    some = (marks <= now).any(axis=1)
    setting = np.where(some, seen / some.mean(), (1 - seen) / (~some).mean())
    weight = fits * (np.ones(n) if imaged.overruled else setting)
    assert imaged.overruled == text.startswith("2025")
    four_sd = 4 * weight.std() / math.sqrt(n) / weight.mean()  # the error of the mean of weights, which differ
    assert imaged.likelihood()[draw] == pytest.approx(weight.mean(), rel=four_sd)
    if not early:  # the setting's word is not weighed against the level, and a lesion found is the one that it says
        of_word = [seen / max((fits & some).mean(), 1e-12), (1 - seen) / max((fits & ~some).mean(), 1e-12)]
        weight = fits * (np.ones(n) if imaged.bounded else np.where(some, *of_word))
    error = 4 * 0.5 * np.sqrt(weight @ weight) / weight.sum()
    organs, anywhere = imaged.risk([1.0, 5.0])
    for i in range(2):
        in_sight = marks <= later[i, draw]
        assert organs[i, draw] == pytest.approx(weight @ in_sight / weight.sum(), abs=error)
        assert anywhere[i, draw] == pytest.approx(weight @ in_sight.any(axis=1) / weight.sum(), abs=error)
    assert error < 0.03


@pytest.mark.oracle
@pytest.mark.parametrize("early", [True, False])
def test_without_findings_the_result_is_the_same(early):
    model = cascade("colon", draws=300, early=early)
    imaged = findings.Imaged.condition(model, [], np.ones(300))
    assert imaged.likelihood() == pytest.approx(np.ones(300))
    for found, known in zip(imaged.risk([1, 2, 5]), model.risk([1, 2, 5]), strict=True):
        assert found == pytest.approx(known, abs=1e-6)
    for found, known in zip(imaged.first_organ(5.0), model.first_organ(5.0), strict=True):
        assert found.mean(axis=0) == pytest.approx(known.mean(axis=0), abs=0.01)


def test_a_lesion_that_was_seen_is_certain_and_a_clean_organ_has_less_risk(tmp_path):
    before = run(tmp_path, None)
    found = run(tmp_path, "2026-02-01:CT:liver=2,lung=0")
    assert all(0.9 < p < 1 for p in means(found, "liver"))
    assert (np.array(means(found, "lung")) < np.array(means(before, "lung")) * [0.4, 0.6, 0.85]).all()
    assert min(means(found)) >= max(0.9, means(found, "liver")[0])
    first = {o["organ"]: o["first_organ_share"]["mean"] for o in found["organs"]}
    assert first["liver"] > 0.85
    assert sum(first.values()) == pytest.approx(1)
    assert [f["use"] for f in found["findings"]] == [
        "the organ holds a lesion from this day on", "no lesion of the size that it shows",
    ]  # fmt: skip
    assert "parameters/finding_true" in found["assumptions"]
    assert any("taken to be a metastasis with a probability of" in s for s in found["statements"])


def test_a_lesion_seen_later_is_not_certain_before(tmp_path):
    late = run(tmp_path, "2027-12-01:CT:liver=1", setting="early")
    now = run(tmp_path, "2026-01-15:CT:liver=1", setting="early")
    at_1, at_2, at_5 = means(late, "liver")
    assert at_1 < 0.8 * at_2
    assert min(at_2, at_5, *means(now, "liver")) > 0.9
    assert any("imaging is believed" in s for s in now["statements"])
    assert not any("imaging is believed" in s for s in late["statements"])


def test_what_an_early_setting_implies_is_not_counted_twice(tmp_path):
    before = run(tmp_path, None, setting="early")
    known = run(tmp_path, "2026-01-01:CT:liver=0,lung=0", setting="early")
    for organ in ("liver", "lung", "bone", None):
        assert means(known, organ) == pytest.approx(means(before, organ), rel=1e-6)
    later = run(tmp_path, "2026-08-01:CT:liver=0,lung=0", setting="early")
    assert (np.array(means(later)) < means(before)).all()


def test_findings_that_are_not_used_say_why(tmp_path):
    text = "2026-02-01:ultrasound:liver=0;2026-02-01:CT:adrenal=1;2026-02-02:CT:adrenal=0;2026-02-02:CT:kidney=2"
    uses = {(f["organ"], f["n_lesions"]): f["use"] for f in run(tmp_path, text, primary="kidney")["findings"]}
    assert uses["liver", 0] == "not used: the size that this modality shows is not known"
    assert uses["adrenal", 0].startswith("not used: another scan found a lesion in this organ")
    assert uses["kidney", 2] == "not used: the primary tumour's own organ"
    unknown = run(tmp_path, "2026-02-01:ultrasound:liver=1")
    assert unknown["findings"][0]["use"].endswith("the organ's best stands for it")
    assert means(unknown, "liver")[0] > 0.9


def test_a_metastatic_setting_says_that_its_risk_follows_from_it(tmp_path):
    assert any("is what the patient sheet says, and no prediction" in s for s in run(tmp_path, None)["statements"])
    assert not any(
        "is what the patient sheet says, and no prediction" in s
        for s in run(tmp_path, None, setting="early")["statements"]
    )


@pytest.mark.property
@pytest.mark.parametrize("imaging", ["2026-02-01:CT:liver=0,lung=0", "2026-05-01:CT:liver=1,lung=0"])
def test_risk_still_rises_with_count_and_time(tmp_path, imaging):
    tables = [means(run(tmp_path, imaging, setting="early", n_ctc=n)) for n in (0, 2, 5, 20, 100)]
    assert (np.diff(tables, axis=0) > -1e-9).all()
    assert (np.diff(tables, axis=1) > 0).all()


@pytest.mark.property
def test_draws_are_resampled_by_their_weight():
    weights = Draws(3, 500).uniform("weights") ** 3
    kept = findings.resample(weights)
    assert len(kept) == 500
    assert np.abs(np.bincount(kept, minlength=500) - 500 * weights / weights.sum()).max() < 1
    assert (findings.resample(np.full(500, 0.2)) == np.arange(500)).all()


@pytest.mark.property
def test_weights_are_softened_only_where_few_draws_are_left():
    even = Draws(3, 1000).uniform("weights")
    weights, softened = findings.temper(even * 1e-30)
    assert not softened
    assert weights == pytest.approx(even / even.max())
    steep, softened = findings.temper(np.exp(-100 * even))
    assert softened
    assert steep.sum() ** 2 / (steep**2).sum() == pytest.approx(50, rel=0.01)
    assert (np.diff(steep[np.argsort(even)]) < 0).all()
    assert (findings.temper(np.zeros(10))[0] == 1).all()


def test_every_organ_with_lesions_stays_inside_the_unit_interval(tmp_path):
    organs = "lung=1,liver=2,bone=3,brain=1,adrenal=1,kidney=1,other=4"
    found = run(tmp_path, f"2006-02-01:CT:{organs}", n_ctc=0, draws=200)
    for organ in (*ORGANS, None):
        assert 0.8 < means(found, organ)[0] <= means(found, organ)[1] <= means(found, organ)[2] < 1
    assert any("Hardly any draw" in s for s in found["statements"])
    assert found["p_any"]["5"]["high"] - found["p_any"]["5"]["low"] > 0.01
    values = [v for o in found["organs"] for t in map(str, HORIZONS_YEARS) for v in o["p_metastasis"][t].values()]
    assert 0.5 < min(values) <= max(values) < 1
