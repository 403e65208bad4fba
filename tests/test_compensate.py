"""Shares of bleed from single-stain controls: as drawn, with intervals; a control of two stains is refused."""

from dataclasses import replace

import numpy as np
import pytest
import yaml

from ctcascade import __main__ as cli
from ctcascade.validation import phantom
from ctcascade.validation.phantom_camera import draw_object, photograph
from ctcascade.validation.phantom_objects import place_objects
from tests.support.runs import ROOT

pytestmark = pytest.mark.unit

SHARES = {"dna": {"ck": 0.02, "cd45": 0.06}, "ck": {"dna": 0.0, "cd45": 0.1}, "cd45": {"dna": 0.01, "ck": 0.04}}
ASSAY = ROOT / "config" / "assays" / "cellsearch.yaml"


def control(folder, stains, seed):
    """A slide of leukocytes and CTCs of which only some stains were used; their light bleeds as `SHARES` says."""
    slide = phantom.Slide(1, (400, 400), phantom.Optics(bleed=0.0, shift_px=0.5))
    rng = np.random.default_rng(seed)
    things = place_objects(phantom.Recipe(leukocytes=40, aggregates=0), (258, 258), [(1, 0)] * 12, rng)
    light = np.zeros((4, 400, 400))
    for thing in things:
        draw_object(light, replace(thing, light={r: thing.light.get(r, 0.0) for r in stains}), 0.645, rng)
    seen = light.copy()
    for source, to in SHARES.items():
        for target, share in to.items():
            seen[phantom.ROLES.index(target)] += share * light[phantom.ROLES.index(source)]
    phantom.write_frame(folder, "f1", photograph(seen, slide.optics, rng), slide)
    return folder


def run(*args):
    with pytest.raises(SystemExit) as caught:
        cli.main([str(arg) for arg in args])
    return caught.value.code


@pytest.mark.property
def test_the_section_has_the_shares_that_were_drawn(tmp_path, capsys):
    folders = [control(tmp_path / role, (role,), seed) for seed, role in enumerate(SHARES)]
    given = [word for role, folder in zip(SHARES, folders, strict=True) for word in (f"--{role}", folder)]
    cli.main(["compensate", "--assay", str(ASSAY), *map(str, given)])
    found = yaml.safe_load(capsys.readouterr().out)["bleed"]
    for source, to in SHARES.items():
        for target, share in to.items():
            assert found["value"][source][target] == pytest.approx(share, abs=0.006), (source, target)
    assert "ck into cd45 0.0" in found["source"]


def test_a_slide_of_two_stains_is_refused(tmp_path, capsys):
    folder = control(tmp_path / "both", ("ck", "cd45"), 5)
    assert run("compensate", "--assay", ASSAY, "--ck", folder) == 2
    assert "bright pixels of cd45 where ck shows nothing" in capsys.readouterr().err


def test_a_slide_without_the_stain_is_refused(tmp_path, capsys):
    folder = control(tmp_path / "dark", ("cd45",), 6)
    assert run("compensate", "--assay", ASSAY, "--dna", folder) == 2
    assert "cd45 where dna shows nothing" in capsys.readouterr().err
    assert run("compensate", "--assay", ASSAY) == 2
    assert "give at least one" in capsys.readouterr().err
