"""What-if: scenarios against the model's own integrals, and that they change what they name and nothing else."""

import dataclasses
import json
import math

import numpy as np
import pytest
from scipy import integrate
from test_simulate import cascade, counts_file, means

from pipeline import cli, scenarios, simulate
from pipeline.errors import InputError

FILE = """
no more shedding: {shedding_cut: 1}
half from month three: {shedding_cut: 0.5, from_years: 0.25}
nothing: {shedding_cut: 0}
a scan every two years: {scans_every_years: 2}
"""


def run(folder, text=FILE, setting="early", **patient):
    (folder / "scenarios.yaml").write_text(text)
    about = {"patient": "P1", "primary": "colon", "setting": setting, "sex": "female", **patient}
    settings = {"patient": about, "random_seed": 1, "draws": 400, "level": 0.95, "switched_off": [], "reseeding": False}
    simulate.simulate(settings, [counts_file(folder)], folder / "cascade.json", folder / "scenarios.yaml")
    found = json.loads((folder / "cascade.json").read_text())
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


def test_a_lesion_is_known_from_the_next_scan_on(tmp_path):
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
def test_a_scenario_that_cannot_be_is_refused(tmp_path, text, expected):
    (tmp_path / "s.yaml").write_text(text)
    with pytest.raises(InputError, match=expected):
        scenarios.read(tmp_path / "s.yaml")


def test_command_line(tmp_path):
    (tmp_path / "s.yaml").write_text(FILE)
    patient = {"patient": "P1", "primary": "colon", "setting": "early", "sex": "male"}
    settings = {
        "patient": patient,
        "random_seed": 1,
        "draws": 50,
        "level": 0.95,
        "switched_off": [],
        "reseeding": False,
    }
    words = ["simulate", "--settings", json.dumps(settings), "--counts", str(counts_file(tmp_path))]
    words += ["--out", str(tmp_path / "c.json")]
    cli.main([*words, "--what-if", str(tmp_path / "s.yaml")])
    found = json.loads((tmp_path / "c.json").read_text())
    assert [s["name"] for s in found["what_if"]] == [line.split(":")[0] for line in FILE.strip().splitlines()]
    assert "what_if" in found["provenance"]["inputs"]
    cli.main(words)
    assert json.loads((tmp_path / "c.json").read_text())["what_if"] == []
