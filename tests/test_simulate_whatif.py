"""What-if: scenarios against the model's own integrals, and that they change what they name and nothing else."""

import dataclasses
import json
import math

import numpy as np
import pytest
from scipy import integrate

from ctcascade import __main__ as cli
from ctcascade.cascade import what_if
from ctcascade.cascade.model import Pace
from ctcascade.data.errors import InputError
from ctcascade.study import scenarios
from tests.support import cascades
from tests.support.cascades import cascade, counts_file, job, means

pytestmark = pytest.mark.unit

FILE = """
no more shedding: {shedding_cut: 1}
half from month three: {shedding_cut: 0.5, from_years: 0.25}
nothing: {shedding_cut: 0}
a scan every two years: {scans_every_years: 2}
"""


def run(folder, text=FILE, setting="early", **patient):
    file = folder / "scenarios.yaml"
    file.write_text(text)
    found = cascades.run(folder, [counts_file(folder)], "colon", setting, what_if=file, **patient)
    return found, {scenario["name"]: scenario for scenario in found["what_if"]}


@pytest.mark.oracle
def test_an_end_of_shedding_is_followed_in_time():
    model = cascade("colon", draws=3)
    ended = dataclasses.replace(model, shedding=model.shedding.from_then_on(0.5, 0.2))
    lost = model.lesions([4.0])[0, :, 1] - ended.lesions([4.0])[0, :, 1]
    shed, ages = model.shedding, model.detection_ages(5)[:, 1]
    for d in range(3):
        mixture = [(w[d], r[d]) for w, r in model.waiting.mixture]
        expected = sum(
            integrate.quad(
                lambda u, age=age, mixture=mixture: sum(-w * math.expm1(-r * (4 - age - u)) for w, r in mixture),
                0.5, max(4 - age, 0.5),
            )[0]
            for age in ages[d]
        ) / 5  # fmt: skip
        level = 0.8 * shed.course[0][1][d] * shed.levels[0, d] * model.founding.by_organ[d, 1]
        assert lost[d] == pytest.approx(expected * level, rel=1e-5, abs=1e-15)


@pytest.mark.property
@pytest.mark.parametrize("about", [{"setting": "early", "resected": "2027-02-01"}, {"setting": "metastatic"}])
@pytest.mark.parametrize("imaging", [None, "2026-02-01:CT:liver=1,lung=0"])
def test_less_shedding_is_less_risk_and_differences_are_of_each_draw(tmp_path, about, imaging):
    found, by = run(tmp_path, imaging=imaging, **about)
    whole, half, none = (np.array(means(f)) for f in (found, by["half from month three"], by["no more shedding"]))
    assert (whole >= half).all()
    assert (half >= none).all()
    assert whole[2] > half[2] > none[2]
    assert means(by["nothing"]) == means(found)
    lower = by["no more shedding"]["p_any_lower_by"]["5"]
    assert lower["mean"] == pytest.approx(whole[2] - none[2])
    assert 0 <= lower["low"] < lower["high"]
    assert by["nothing"]["p_any_lower_by"]["5"] == {"mean": 0.0, "low": 0.0, "high": 0.0}
    assert [o["organ"] for o in by["nothing"]["organs"]] == [o["organ"] for o in found["organs"]]


@pytest.mark.property
def test_shedding_that_ends_freezes_the_founders():
    model = cascade("breast", draws=50, off=["dormancy", "angiogenesis"])
    ended = dataclasses.replace(model, shedding=model.shedding.from_then_on(1.0, 0.0))
    late, later = ended.lesions([150.0, 200.0])
    assert later == pytest.approx(late, rel=1e-5)
    go_on = model.lesions([150.0, 200.0])
    assert (go_on[1] > go_on[0]).all()


def test_a_lesion_is_known_from_the_next_scan_onwards(tmp_path):
    found, by = run(tmp_path)
    scans = means(by["a scan every two years"])
    assert scans[0] < 1e-12  # no scan within the first year; early: nothing in sight at the sample
    assert scans[1] == pytest.approx(means(found)[1])
    assert means(found)[1] < scans[2] < means(found)[2]
    assert by["a scan every two years"]["scans_every_years"] == 2
    assert by["a scan every two years"]["shedding_cut"] is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("all: {shedding_cut: 1.5}", "from 0 to 1"),
        ("all: {sheding_cut: 0.5}", "shedding_cut"),
        ("all: {from_years: 1}", "shedding_cut"),
        ("all: {}", "what changes"),
        ("all: {0.5: 1, 7: 2}", "an unknown name .0.5."),
        ("- 1", "a YAML mapping"),
        ("{}", "scenarios"),
    ],
)
def test_an_impossible_scenario_is_refused(tmp_path, text, expected):
    (tmp_path / "s.yaml").write_text(text)
    with pytest.raises(InputError, match=expected):
        scenarios.read(tmp_path / "s.yaml")


def test_command_line(tmp_path):
    (tmp_path / "s.yaml").write_text(FILE)
    settings = job("colon", draws=100).model_dump_json()
    words = ["simulate", "--settings", settings, "--counts", str(counts_file(tmp_path))]
    words += ["--out", str(tmp_path / "c.json")]
    cli.main([*words, "--what-if", str(tmp_path / "s.yaml")])
    found = json.loads((tmp_path / "c.json").read_text())
    assert [s["name"] for s in found["what_if"]] == [line.split(":")[0] for line in FILE.strip().splitlines()]
    assert "what_if" in found["provenance"]["inputs"]
    cli.main(words)
    assert json.loads((tmp_path / "c.json").read_text())["what_if"] == []


# therapies of the patient sheet ---------------------------------------------------------------------------------------


def treated_patient(folder, therapies, setting="metastatic"):
    return run(folder, therapies=therapies, setting=setting)[0]


@pytest.mark.property
def test_a_past_therapy_acts_on_growth_and_one_to_come_on_both():
    model = cascade("colon", draws=50)

    def lesions(start, end, **rates):
        return what_if.under_therapy(model, start, end, rates).lesions([0.0, 1.0, 5.0])

    plain = model.lesions([0.0, 1.0, 5.0])
    slower = lesions(-1.0, -0.1, growth=0.2)  # they are smaller today than they would be
    assert (slower <= plain * (1 + 1e-9)).all()
    assert (slower[0].sum(axis=1) < 0.99 * plain[0].sum(axis=1)).all()
    assert lesions(-1.0, -0.1, shedding=0.2) == pytest.approx(plain)  # what was shed is what the sample says
    to_come = lesions(0.0, 100.0, shedding=0.1, growth=0.5)
    assert to_come[0] == pytest.approx(plain[0])
    assert (to_come <= plain * (1 + 1e-9)).all()
    assert (to_come[2].sum(axis=1) < 0.99 * plain[2].sum(axis=1)).all()


def test_the_risk_of_early_cancer_falls_with_what_the_sheet_says_of_a_therapy(tmp_path):
    risks = [
        means(treated_patient(tmp_path, text, "early"))
        for text in (None, "chemotherapy:2026-02-01:2026-08-01:growth=0.5", "chemotherapy:2026-02-01::growth=0.5")
    ]
    assert all((np.diff(by_time) < 0).all() for by_time in zip(*risks, strict=True))


@pytest.mark.oracle
def test_shedding_returns_where_a_therapy_around_the_sample_ends(tmp_path):
    model = cascade("colon", draws=3)
    ended = what_if.under_therapy(model, -0.3, 0.5, {"shedding": 0.25})
    assert ended.shedding.levels.tolist() == model.shedding.levels.tolist()
    before, after = ended.shedding.constant[-2:]
    assert after[0] == 0.5
    assert after[1] == pytest.approx(4 * before[1])
    killed = model.circulation.killed_by[0]
    ended = what_if.under_therapy(model, -0.3, 0.5, {"killing": 3.0})
    assert ended.shedding.constant[-1][1] == pytest.approx((1 + 2 * killed) * ended.shedding.constant[-2][1])


@pytest.mark.oracle
def test_growth_clock_runs_slower_in_each_interval_past_or_to_come():
    pace = Pace().during(-2.0, -1.0, 0.5).during(-1.5, 1.0, 0.4).during(3.0, 4.0, 0.0)
    seen = pace.seen(np.array([-2.0, -1.5, -1.0, 1.0, 3.0, 4.0, 5.0]))
    assert np.diff(seen) == pytest.approx([0.25, 0.1, 0.8, 2.0, 0.0, 1.0], abs=1e-6)
    times = np.array([-7.0, -1.2, 0.0, 2.5, 6.0])
    assert pace.when(pace.seen(times)) == pytest.approx(times)
    assert pace.seen(np.array(-3.0)) == pytest.approx(seen[0] - 1)


def test_result_says_what_a_therapy_was_taken_to_do(tmp_path):
    text = "immunotherapy:2026-01-01:2026-06-01:killing=3;chemotherapy:2025-01-01:"
    said = treated_patient(tmp_path, text)["statements"]
    assert any("Chemotherapy from 2025-01-01 on without an end is not used" in s for s in said)
    assert any("Immunotherapy from 2026-01-01 to 2026-06-01 is taken" in s and "killing times 3" in s for s in said)
    without = treated_patient(tmp_path, "chemotherapy:2025-01-01:")
    plain = treated_patient(tmp_path, None)
    assert [o["time_to_detectability"] for o in without["organs"]] == [
        o["time_to_detectability"] for o in plain["organs"]
    ]
    # its effect on lesions is not used; the count is read among those of patients under therapy, who have fewer
    assert means(without) < means(plain)
