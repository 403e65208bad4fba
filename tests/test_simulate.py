"""The cascade of a patient: where and how often lesions come into sight, and what the result says."""

import dataclasses
import math
from typing import get_args

import numpy as np
import pytest
from scipy import stats

from calibration import tropism
from ctcascade import evidence
from ctcascade.cascade import conditioning
from ctcascade.cascade.parameters import Centre, Draws
from ctcascade.cascade.simulate import simulate
from ctcascade.data.errors import InputError
from ctcascade.data.results import Cascade
from ctcascade.data.store import read_json
from ctcascade.data.vocabulary import NOT_METASTATIC, SETTINGS
from ctcascade.evidence.tables import READ_BY
from ctcascade.study.fields import Step
from tests.support import report_cases
from tests.support.cascades import FOUND, cascade, counts_file, job, means, run, sample
from tests.support.json_results import write_result

pytestmark = pytest.mark.unit

# where -------------------------------------------------------------------------------------------------------------


def founders(primary, **kwargs):
    model = cascade(primary, draws=300, **kwargs)
    return dict(zip(model.organs, model.founders_per_year.mean(axis=0), strict=True))


def test_portal_route_decides_between_liver_and_lung():
    colon, rerouted = founders("colon"), founders("colon", off=["portal_route"])
    assert colon["liver"] > 1.3 * colon["lung"]
    assert rerouted["lung"] > 1.3 * rerouted["liver"]
    factor = colon["liver"] / colon["lung"] / (rerouted["liver"] / rerouted["lung"])
    slope = evidence.load("parameters").central["imaging_slope"]
    assert 15 < factor ** (1 / slope) < 35  # the gut drains elsewhere for recirculating cells too
    shown = {}
    for primary in ("colon", "breast"):
        model = cascade(primary, draws=300)
        by_organ = dict(zip(model.organs, model.risk([0.0])[0][0].mean(axis=0), strict=True))
        shown[primary] = by_organ["liver"] / by_organ["lung"]
    assert 3 < shown["colon"] / shown["breast"] < 7  # registries: 13.8 / 3.7 over 3,434 / 4,167, which is 4.5


def sized(primary, n, mean, **kwargs):
    found = dataclasses.replace(sample(), diameters_um=(n, mean))
    return conditioning.build(primary, [found], Draws(7, 400), sex="male", early=False, **kwargs)


@pytest.mark.property
@pytest.mark.parametrize(("primary", "organ"), [("colon", "liver"), ("breast", "lung"), ("prostate", "lung")])
def test_larger_cells_are_held_by_the_first_bed(primary, organ):
    plain = cascade(primary, draws=400)
    usual = evidence.load("parameters").central["ctc_diameter_" + ("colorectal" if primary == "colon" else primary)]
    small, large = (sized(primary, 20, usual + by) for by in (-3, 3))
    at = plain.organs.index(organ)
    first, share, passed = (
        [getattr(m.arrival, name) for m in (small, plain, large)]
        for name in ("mixed", "recirculating_share", "passed_first_bed")
    )
    assert (np.diff([x[:, at].mean() for x in first]) > 0).all()
    assert (np.diff([x.mean() for x in share]) < 0).all()
    assert (np.diff([x.mean() for x in passed]) < 0).all()
    assert large.founders_per_year.sum(axis=1) == pytest.approx(plain.founders_per_year.sum(axis=1))


@pytest.mark.oracle
def test_a_diameter_moves_the_odds_of_the_class_by_its_width():
    draws = Draws(7, 400)
    usual, width = (draws.parameter(name) for name in ("ctc_diameter_colorectal", "capillary_width"))
    odds = [
        m.arrival.recirculating_share / (1 - m.arrival.recirculating_share)
        for m in (sized("colon", 3, 10.0), cascade("colon", draws=400))
    ]
    assert np.log(odds[0] / odds[1]) == pytest.approx(-(10.0 - usual) * 3 / 4 / width)


@pytest.mark.property
def test_no_diameters_or_none_published_change_nothing():
    for primary, n in (("colon", 0), ("pancreas", 9)):
        one, other = sized(primary, n, 15.0), cascade(primary, draws=400)
        assert one.arrival.mixed.tobytes() == other.arrival.mixed.tobytes()


def test_result_says_what_the_diameters_were_used_for(tmp_path):
    path = counts_file(tmp_path, ctc_diameters_um={"n": 4, "quantiles": [9.0, 10.0, 11.0, 14.0]})
    for primary, words in (("colon", "usually 7.5 um"), ("pancreas", "not used")):
        said = [
            s
            for s in run(tmp_path, [path], primary, cell_sizes=True)["statements"]
            if "11.0 um across on average (4" in s
        ]
        assert len(said) == 1
        assert words in said[0]
    plain, off = run(tmp_path, [counts_file(tmp_path, "S2")], "colon"), run(tmp_path, [path], "colon")
    assert not any("across" in s for s in off["statements"])
    assert off["organs"] == plain["organs"]


def test_well_known_first_organs(tmp_path):
    path = counts_file(tmp_path)
    first = {}
    for primary in ("prostate", "colon", "pancreas", "stomach", "kidney", "breast"):
        organs = run(tmp_path, [path], primary, "metastatic")["organs"]
        first[primary] = max(organs, key=lambda o: o["p_metastasis"]["2"]["mean"])["organ"]
        assert sum(o["first_organ_share"]["mean"] for o in organs) == pytest.approx(1)
    assert first == {
        "prostate": "bone", "colon": "liver", "pancreas": "liver", "stomach": "liver", "kidney": "lung",
        "breast": "bone",
    }  # fmt: skip


def test_an_organ_is_no_metastasis_of_its_own_cancer(tmp_path):
    path = counts_file(tmp_path)
    for primary, own in {"lung_nsclc": "lung", "lung_sclc": "lung", "kidney": "kidney", "liver": "liver"}.items():
        organs = [o["organ"] for o in run(tmp_path, [path], primary, "metastatic")["organs"]]
        assert own not in organs
        assert len(organs) == 6


@pytest.mark.parametrize("primary", [p for p in SETTINGS if p not in ("none", "other")])
def test_every_primary_and_setting_has_a_cascade(tmp_path, primary):
    path = counts_file(tmp_path)
    risks = {s: means(run(tmp_path, [path], primary, s, draws=100))[0] for s in SETTINGS[primary]}
    early = [risks[s] for s in risks if s in NOT_METASTATIC]
    known = [risks[s] for s in risks if s not in (*NOT_METASTATIC, "advanced")]
    assert max(early) < 0.4  # small-cell lung cancer and pancreas, one year
    assert min(known) > 0.9
    assert "advanced" not in risks or 0.5 < risks["advanced"] < min(known) - 0.1


@pytest.mark.regression
def test_organ_table_is_what_the_autopsies_give():
    data = tropism.read_autopsies()
    found = tropism.organ_table(data, tropism.fit(data, tropism.forms(data)[tropism.MAIN][1])).set_index("id")
    committed = evidence.load("organs")
    for column in ("ln_soil", "ln_tropism", "ln_tropism_high", "share_fitted"):
        assert found[column].to_numpy(float) == pytest.approx(committed[column].to_numpy(float), abs=2e-3)
    assert found.share_fitted["prostate:bone"] == pytest.approx(91 / 193, abs=0.06)
    scores = evidence.load("organ_forms")
    assert scores.gain_low[tropism.MAIN] > 0 > scores.gain["flow_only"]


# how much ----------------------------------------------------------------------------------------------------------


@pytest.mark.property
@pytest.mark.parametrize("setting", ["early", "metastatic"])
def test_risk_rises_with_the_count_and_with_time(tmp_path, setting):
    tables = [
        means(run(tmp_path, [counts_file(tmp_path, n_ctc=n)], setting=setting))
        for n in (0, 1, 2, 5, 20, 100, 1000, 23618)
    ]
    assert (np.diff(tables, axis=0) > 0).all()
    assert (np.diff(tables, axis=1) > 0).all()
    assert np.min(tables) > 0
    assert np.max(tables) < 1


@pytest.mark.property
def test_risk_rises_in_every_draw(tmp_path):
    low, high = (cascade(n_ctc=n, early=early).risk([1, 2, 5])[0] for n, early in ((5, True), (6, True)))
    assert (high >= low).all()
    assert (high > low).mean() > 0.99
    low, high = (cascade(n_ctc=n).risk([1, 2, 5])[0] for n in (5, 6))
    assert (high >= low - 1e-12).all()


@pytest.mark.property
def test_risk_rises_with_clusters(tmp_path):
    tables = [means(run(tmp_path, [counts_file(tmp_path, n_ctc=10, n_clusters=n)])) for n in (0, 1, 3)]
    assert (np.diff(tables, axis=0) > 0).all()
    shares = [run(tmp_path, [counts_file(tmp_path, n_ctc=10, n_clusters=n)])["share_due_to_clusters"] for n in (0, 3)]
    assert 0.01 < shares[0]["mean"] < 0.15
    assert shares[0]["mean"] < shares[1]["mean"] < 0.5


@pytest.mark.property
def test_a_cluster_weighs_no_more_than_in_patients(tmp_path):
    none, one = (run(tmp_path, [counts_file(tmp_path, n_clusters=n, cluster_sizes={"3": n})]) for n in (0, 1))
    hazards = [-math.log1p(-found["p_any"]["5"]["mean"]) for found in (none, one)]
    assert 1 <= hazards[1] / hazards[0] < 1.5  # 3.32 / 2.21 in patients with 5 or more cells, and 1 within counts
    assert none["risk_due_to_clusters"]["mean"] < 0.1  # nobody saw any
    assert one["risk_due_to_clusters"]["mean"] < 1 / 3


@pytest.mark.property
def test_risk_rises_with_the_cells_of_a_cluster(tmp_path):
    sizes = [{"2": 2}, {"2": 1, "6": 1}, {"12": 2}]
    tables = [means(run(tmp_path, [counts_file(tmp_path, n_ctc=30, n_clusters=2, cluster_sizes=s)])) for s in sizes]
    assert (np.diff(tables, axis=0) > 0).all()
    more = means(run(tmp_path, [counts_file(tmp_path, n_ctc=30, n_clusters=3, cluster_sizes={"12": 2, "2": 1})]))
    assert (np.array(more) > tables[2]).all()


def test_a_count_of_zero_still_has_a_risk_with_a_wide_band(tmp_path):
    none = run(tmp_path, [counts_file(tmp_path, n_ctc=0)], draws=2000)
    some = run(tmp_path, [counts_file(tmp_path, n_ctc=5)], draws=2000)
    assert none["prior_dominated"] is True
    assert some["prior_dominated"] is False
    band = none["p_any"]["5"]
    assert 0.03 < band["mean"] < 0.12
    assert band["high"] > 20 * band["low"] > 0


def test_risk_is_sub_linear_in_the_count(tmp_path):
    five, fifty = (means(run(tmp_path, [counts_file(tmp_path, n_ctc=n)], draws=2000)) for n in (5, 50))
    hazard_ratio = math.log1p(-fifty[2]) / math.log1p(-five[2])
    assert 1.5 < hazard_ratio < 5


@pytest.mark.oracle
@pytest.mark.parametrize("n_ctc", [0, 1, 5])
def test_counts_of_early_breast_cancer_are_weighted_by_the_published_population(n_ctc):
    facts = evidence.load("parameters").central
    ln_mean = facts["early_count_ln_mean"] - math.log(evidence.load("assay_facts").central["reference_recovery"])
    ln = np.linspace(-25, 12, 40_001)  # the posterior by hand: the population times the chance of the count
    weight = stats.norm.pdf(ln, ln_mean, facts["early_count_ln_sd"]) * stats.poisson.pmf(n_ctc, FOUND * np.exp(ln))
    expected = np.interp([0.25, 0.5, 0.75], weight.cumsum() / weight.sum(), ln)
    found = np.log(np.quantile(cascade(n_ctc=n_ctc, early=True, draws=20_000).ctc, [0.25, 0.5, 0.75]))
    assert found == pytest.approx(expected, abs=0.06)


@pytest.mark.regression
def test_early_breast_cancer_recurs_as_often_as_published(tmp_path):
    risks = {n: means(run(tmp_path, [counts_file(tmp_path, n_ctc=n)], draws=4000))[2] for n in (0, 5, 50)}
    assert risks == pytest.approx({0: 0.0714, 5: 0.3022, 50: 0.6617}, rel=0.02)


def test_fewer_than_one_cell_in_ten_thousand_founds(tmp_path):
    found = run(tmp_path, [counts_file(tmp_path)])
    p = found["p_founding_per_ctc"]
    assert 1e-10 < p["low"] < p["mean"] < p["high"] < 1e-4
    draws = Draws(1, 2000)
    model = conditioning.build("breast", [sample()], draws, sex="male", early=True)
    assert (model.founding.rate_per_year <= 1e-4 * model.circulation.clearance_per_year).all()


def test_the_flow_of_cells_narrows(tmp_path):
    flow = {step["step"]: step["mean"] for step in run(tmp_path, [counts_file(tmp_path)])["flow"]}
    order = ["shed", "first_pass_survived", "arrested", "extravasated", "growing", "founded", "detectable"]
    assert [flow[step] for step in order] == sorted((flow[step] for step in order), reverse=True)
    assert flow["dormant"] + flow["growing"] == pytest.approx(flow["extravasated"])
    assert 1e6 < flow["shed"] < 2e8


# samples, settings, files ------------------------------------------------------------------------------------------


def test_latest_sample_counts_and_earlier_ones_are_past_exposure(tmp_path):
    now = counts_file(tmp_path, "now", n_ctc=2, collected="2026-06-01")
    before = counts_file(tmp_path, "before", n_ctc=60, collected="2025-06-01")
    unread = counts_file(tmp_path, "unread", n_ctc=60, collected="2026-07-01", status="not_evaluable", reason="black")
    alone = run(tmp_path, [now], setting="metastatic")
    both = run(tmp_path, [before, unread, now], setting="metastatic")
    assert both["latest_sample"] == "now"
    assert both["samples"] == ["unread", "now", "before"]
    assert both["flow"][2]["mean"] > alone["flow"][2]["mean"]  # what was there a year ago is evidence of today, too
    assert np.all(np.array(means(both)) > means(alone))
    steady = run(
        tmp_path, [before, counts_file(tmp_path, "now", n_ctc=60, collected="2026-06-01")], setting="metastatic"
    )
    assert np.all(np.array(means(steady)) > means(both))


def test_equal_inputs_give_equal_bytes_whatever_the_order_of_the_files(tmp_path):
    paths = [counts_file(tmp_path, "a", collected="2026-03-01"), counts_file(tmp_path, "b", n_ctc=9)]
    run(tmp_path, paths)
    first = (tmp_path / "cascade.json").read_bytes()
    run(tmp_path, paths)
    assert (tmp_path / "cascade.json").read_bytes() == first
    run(tmp_path, paths[::-1])
    assert (tmp_path / "cascade.json").read_bytes() == first


def test_a_parameter_has_its_own_stream():
    one, other = Draws(5, 100), Draws(5, 100)
    other.normal("another")
    assert (one.parameter("half_life") == other.parameter("half_life")).all()
    assert (Draws(6, 100).parameter("half_life") != one.parameter("half_life")).all()
    assert np.corrcoef(one.normal("a"), one.normal("b"))[0, 1] == pytest.approx(0, abs=0.3)
    assert Centre().parameter("half_life") == 1.7


@pytest.mark.property
@pytest.mark.parametrize("name", ["half_life", "extraction_prone", "blood_volume_male"])
def test_priors_hold_their_limits_with_95_percent(name):
    row = evidence.load("parameters").loc[name]
    values = Draws(2, 20000).parameter(name)
    assert np.median(values) == pytest.approx(row.central, rel=0.02)
    assert (values < row.low).mean() == pytest.approx(0.025, abs=0.005)
    assert (values > row.high).mean() == pytest.approx(0.025, abs=0.005)


@pytest.mark.parametrize("step", conditioning.SWITCHES)
def test_a_step_switched_off_shows(tmp_path, step):
    path = counts_file(tmp_path, n_ctc=3, n_clusters=int(step == "clusters"))
    primary = "colon" if step in ("portal_route", "first_pass") else "breast"
    about = {"resected": "2025-02-01"} if step == "late_cells" else {}
    whole, part = run(tmp_path, [path], primary, **about), run(tmp_path, [path], primary, off=[step], **about)
    assert part["switched_off"] == [step]
    organ = "liver" if primary == "colon" else "bone" if step == "tropism" else None
    ratio = np.array(means(part, organ)) / means(whole, organ)
    if step in ("dormancy", "angiogenesis", "frailty"):
        assert (ratio > 1.1).all()
    elif step == "clusters":  # in patients they hardly weigh more than their cells
        assert (ratio < 0.995).all()
        assert (ratio > 0.8).all()
    elif step in (
        "killer_cells",
        "shear",
        "cloaking",
    ):  # founders were fitted per count: the cell numbers change, not the risk
        roads = [{s["step"]: s["mean"] for s in found["flow"]} for found in (part, whole)]
        assert roads[0]["killed"] != roads[1]["killed"]
        assert (roads[0]["arrested"] > roads[1]["arrested"]) == (step != "cloaking")
        assert roads[0]["sheared"] == 0 or step != "shear"
    elif step == "tropism":
        assert (ratio < 0.6).all()
    else:
        assert (ratio < 0.97).all()


def test_the_configuration_knows_the_same_steps():
    assert get_args(Step) == tuple(conditioning.SWITCHES)


def test_an_unknown_step_is_refused():
    with pytest.raises(ValueError, match="gravity"):
        job(off=["gravity"])


def test_no_tumour_and_no_readable_sample_have_no_risk(tmp_path):
    path = counts_file(tmp_path)
    healthy = run(tmp_path, [path], "none", "none")
    assert (healthy["status"], healthy["organs"], healthy["p_any"]) == ("not_applicable", [], None)
    assert "no primary tumour" in healthy["reason"]
    unlisted = run(tmp_path, [path], "other", "metastatic")
    assert (unlisted["status"], unlisted["organs"], unlisted["p_any"]) == ("not_applicable", [], None)
    assert "not one of those" in unlisted["reason"]
    nothing = {"status": "not_evaluable", "ctc_quantiles_per_7_5_ml": None, "cluster_quantiles_per_7_5_ml": None}
    black = counts_file(tmp_path, "black", **nothing)
    unread = run(tmp_path, [black])
    assert (unread["status"], unread["organs"], unread["p_any"]) == ("not_evaluable", [], None)
    assert "no sample" in unread["reason"]


def checks_file(folder, name, **values):
    """Write the checks of a sample; return the file."""
    path = folder / f"{name}.quality.json"
    write_result(path, "quality", report_cases.quality(name, **values))
    return path


def test_no_risk_rests_on_a_sample_that_fails_its_checks(tmp_path):
    """One that fails withholds all risks, as every sample moves them; what scans found and what is known stay."""
    counts = [counts_file(tmp_path, "S0", collected="2025-12-01"), counts_file(tmp_path, "S1")]
    about, out = job("breast", "metastatic", draws=100, imaging="2026-01-20:CT:liver=2,lung=0"), tmp_path / "c.json"
    good = [checks_file(tmp_path, name) for name in ("S0", "S1")]
    simulate(about, counts, out, quality=good)
    given = read_json(out, Cascade)
    assert given.status == "ok"
    assert {"quality of S0", "quality of S1", "counts/S0"} <= set(given.provenance.inputs)
    simulate(about, counts, out, quality=[checks_file(tmp_path, "S0", lost_area_share=(0.9, "fail")), good[1]])
    found = read_json(out, Cascade)
    assert (found.status, found.organs, found.p_any, found.flow) == ("withheld", (), None, ())
    assert found.reason == "sample S0, on which the risks would rest, fails its quality checks"
    assert (found.findings, found.known_metastatic) == (given.findings, True)


def test_checks_of_another_sample_are_refused(tmp_path):
    counts, strange = [counts_file(tmp_path, "S1")], checks_file(tmp_path, "S9")
    with pytest.raises(InputError, match=r"S9.*one quality\.json of each of S1"):
        simulate(job(draws=100), counts, tmp_path / "c.json", quality=[strange])


def test_result_names_its_evidence_and_what_rests_on_assumptions(tmp_path):
    found = run(tmp_path, [counts_file(tmp_path)])
    kinds = {
        f"{table}/{name}": kind
        for table in (
            "parameters",
            "organs_imaged",
            "founding",
            "flow",
            "drainage",
            "detection",
            "assay_facts",
            "populations",
        )
        for name, kind in evidence.load(table).kind.items()
    }
    assert set(found["assumptions"]) == {i for i in found["evidence_ids"] if kinds[i] == "assumption"}
    assert "parameters/restricted_share" in found["assumptions"]
    assert "organs_imaged/imaged:breast:early:bone" in found["evidence_ids"]
    assert any("lymph" in text for text in found["outside_the_model"])
    assert found["provenance"]["evidence"] == evidence.evidence_hash(READ_BY["simulate"])


def test_only_the_declared_tables_are_read(tmp_path, tables_read):
    counts = [counts_file(tmp_path), counts_file(tmp_path, "S0", collected="2025-12-01")]
    run(tmp_path, counts, primary="colon", cell_sizes=True, imaging="2026-01-20:CT:liver=2,lung=0")
    run(tmp_path, counts)
    assert tables_read == set(READ_BY["simulate"])


def test_a_prior_that_leaves_no_room_stays_inside_the_unit_interval(tmp_path):
    path = counts_file(tmp_path, n_ctc=0, ctc_quantiles_per_7_5_ml=[1e8, 1e9], cluster_quantiles_per_7_5_ml=[1e7, 1e8])
    found = run(tmp_path, [path], setting="metastatic", off=["frailty"])
    values = [v for o in found["organs"] for band in o["p_metastasis"].values() for v in band.values()]
    assert 0 < min(values) <= max(values) < 1
