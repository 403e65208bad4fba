"""Calls to counts: every number of counts.json against a small sample calculated by hand."""

import json
import re
from dataclasses import asdict
from pathlib import Path

import pandas as pd
import pytest
from scipy import stats

from ctcascade.counting.count import _refuse_odd as refuse_odd
from ctcascade.counting.count import count, count_ctcs, imaged_fraction, tally
from ctcascade.counting.observation import Factor, Observation
from ctcascade.data import store, tables
from ctcascade.data.errors import InputError
from ctcascade.data.vocabulary import ROLES
from tests.support.counts import EXACT, calls_table, frames_table, settings
from tests.support.json_results import read_result

pytestmark = pytest.mark.unit


@pytest.fixture
def run(tmp_path):
    def run(frames, calls, **changes):
        made_by = store.provenance({}, {})
        store.write_table(tmp_path / "frames.parquet", "frames", frames, made_by)
        store.write_table(tmp_path / "calls.parquet", "calls", calls, made_by)
        out = tmp_path / "counts.json"
        count(settings(**changes), tmp_path / "frames.parquet", tmp_path / "calls.parquet", out)
        return read_result(out, "counts")

    return run


def test_diameters_are_of_single_whole_ctcs(tmp_path):
    calls = calls_table(
        ("ctc", None), ("ctc", 1), ("ctc", 1), ("leukocyte", None), ("ctc", None, "at_border"), ("ctc", None)
    )  # fmt: skip
    kinds = {c.name: c.dtype for c in (*tables.CELLS.columns, *tables.CELLS.for_roles(ROLES))}
    empty = {"str": "f0", "bool": False, "int": 1, "float": 1.0, "ints": [], "floats": []}
    cells = pd.DataFrame({name: [empty[kind]] * len(calls) for name, kind in kinds.items()})
    cells = cells.assign(cell=calls["cell"], equivalent_diameter_um=[10.0, 11.0, 12.0, 13.0, 14.0, 20.0])
    for name, table in (("frames", frames_table([1000.0])), ("calls", calls), ("cells", cells.iloc[::-1])):
        store.write_table(tmp_path / f"{name}.parquet", name, table, store.provenance({}, {}))
    paths = [tmp_path / f"{name}.parquet" for name in ("frames", "calls")]
    count(settings(), *paths, tmp_path / "counts.json", tmp_path / "cells.parquet")
    found = read_result(tmp_path / "counts.json", "counts")
    assert found["ctc_diameters_um"] == {"n": 2, "quantiles": [10.0, 20.0]}
    assert "cells" in found["provenance"]["inputs"]
    count(settings(), *paths, tmp_path / "counts.json")
    assert read_result(tmp_path / "counts.json", "counts")["ctc_diameters_um"] is None


MIXED = calls_table(
    ("ctc", None),
    ("ctc", 1),
    ("ctc", 1),
    ("leukocyte", 1),
    ("ctc", 2),
    ("ctc", 2),
    ("ctc", 2),
    ("ctc", None, "with_leukocyte", "at_border"),
    ("leukocyte", None),
    ("leukocyte", None),
    ("leukocyte", None),
    ("uncertain", None),
    ("debris", None),
    ("double_positive", None),
)


@pytest.mark.oracle
def test_tally_of_a_mixed_sample():
    assert asdict(tally(MIXED)) == {
        "n_ctc": 7,
        "n_leukocytes": 4,
        "n_uncertain": 1,
        "n_clusters": 2,
        "cluster_sizes": {"2": 1, "3": 1},
        "clusters_with_leukocytes": 1,
        "n_ctc_leukocyte_groups": 1,
    }


@pytest.mark.property
def test_tally_does_not_depend_on_the_order_or_the_names_of_clusters():
    renamed = MIXED.sample(frac=1, random_state=3).assign(cluster=lambda t: t["cluster"] * 10 + 7)
    assert tally(renamed) == tally(MIXED)


@pytest.mark.oracle
@pytest.mark.parametrize(
    ("areas", "expected"), [([1000.0] * 4, 1.0), ([1000.0, 0.0], 0.5), ([900.0, 0.0, 1000.0], 1.9 / 3), ([], 0.0)]
)
def test_imaged_fraction_is_area_analysed_over_area_of_all_frames(areas, expected):
    assert imaged_fraction(frames_table(areas)) == pytest.approx(expected)


@pytest.mark.oracle
def test_counts_of_a_perfect_assay_are_the_posterior_of_jeffreys(run):
    # 2 CTCs in 3.75 mL: the 95 % limits of Gamma(2.5, rate 0.5), and the printed P(Y >= 5) = .465
    found = run(frames_table([1000.0] * 2), calls_table(("ctc", 4), ("ctc", 4)), blood_volume_ml=3.75)
    assert (found["status"], found["n_ctc"], found["n_clusters"]) == ("ok", 2, 1)
    assert found["ctc_per_7_5_ml"]["estimate"] == pytest.approx(4.0)
    low, high = stats.gamma(2.5, scale=2).ppf([0.025, 0.975])
    assert found["ctc_per_7_5_ml"]["low"] == pytest.approx(low, rel=1e-4)
    assert found["ctc_per_7_5_ml"]["high"] == pytest.approx(high, rel=1e-4)
    assert found["ctc_per_7_5_ml"]["level"] == 0.95
    assert found["p_at_least"]["5"] == pytest.approx(0.465, abs=5e-4)
    assert found["ctc_per_ml"]["estimate"] == pytest.approx(4.0 / 7.5)
    # one cluster in 3.75 mL: Gamma(1.5, rate 0.5)
    assert found["clusters_per_7_5_ml"]["estimate"] == pytest.approx(2.0)
    low, high = stats.gamma(1.5, scale=2).ppf([0.025, 0.975])
    assert found["clusters_per_7_5_ml"]["low"] == pytest.approx(low, rel=1e-4)
    assert found["clusters_per_7_5_ml"]["high"] == pytest.approx(high, rel=1e-4)


@pytest.mark.oracle
def test_each_factor_enters_once(run):
    loss = {name: {**EXACT, "mean": m, "low": m, "high": m} for name, m in (("recovery", 0.8), ("sensitivity", 0.5))}
    ctcs = calls_table(*[("ctc", None)] * 12)
    found = run(frames_table([1000.0, 500.0]), ctcs, blood_volume_ml=15.0, sampled_fraction=0.25, assay=loss)
    # 12 / (2 * 0.25 * 0.75 * 0.8 * 0.5) = 80 in 7.5 mL of blood
    assert found["imaged_fraction"] == pytest.approx(0.75)
    assert found["ctc_per_7_5_ml"]["estimate"] == pytest.approx(80.0)
    # the reference assay loses the same share, so the loss stays in: Gamma(12.5, rate 2 * 0.25 * 0.75 * 0.5)
    expected = stats.nbinom.sf(49, 12.5, 0.1875 / 1.1875)
    assert found["p_at_least"]["50"] == pytest.approx(expected, abs=1e-4)


@pytest.mark.oracle
def test_quantiles_are_those_of_the_posterior_that_the_interval_reports(run):
    factors = {
        "recovery": {**EXACT, "mean": 0.8, "low": 0.54, "high": 0.97},
        "background_per_7_5_ml": {**EXACT, "mean": 0.2, "low": 0.01, "high": 1.0, "kind": "assumption"},
    }
    found = run(frames_table([1000.0]), calls_table(*[("ctc", None)] * 9), assay=factors)
    quantiles = found["ctc_quantiles_per_7_5_ml"]
    assert len(quantiles) == len(found["cluster_quantiles_per_7_5_ml"]) == 256
    assert quantiles == sorted(quantiles)
    same = Observation(7.5, 1, 1, Factor(0.8, 0.54, 0.97), Factor(1, 1, 1), Factor(0.2, 0.01, 1.0)).blood(9)
    assert quantiles[31] == pytest.approx(float(same.quantiles([31.5 / 256])[0]))
    assert sum(quantiles) / 256 == pytest.approx(same.mean, rel=5e-3)
    # of 256 quantiles, 2.5 % lie at or below the 6th and 97.5 % at or below the 250th
    assert quantiles[5] < found["ctc_per_7_5_ml"]["low"] < quantiles[6]
    assert quantiles[249] < found["ctc_per_7_5_ml"]["high"] < quantiles[250]
    assert found["assumptions"] == ["background_per_7_5_ml", "clusters_per_7_5_ml"]


@pytest.mark.property
def test_frames_of_which_more_was_analysed_than_there_is_are_refused(run):
    with pytest.raises(InputError, match=r"area_um2: found 1\.500 of the area of all frames"):
        run(frames_table([1500.0]), calls_table())


def test_an_empty_slide_is_a_count_of_zero_with_an_interval(run):
    found = run(frames_table([1000.0]), calls_table())
    assert (found["status"], found["n_ctc"], found["n_clusters"], found["n_leukocytes"]) == ("ok", 0, 0, 0)
    assert found["ctc_per_7_5_ml"]["estimate"] == found["ctc_per_7_5_ml"]["low"] == 0
    assert found["ctc_per_7_5_ml"]["high"] == pytest.approx(stats.gamma(0.5).ppf(0.975), rel=1e-4)
    assert found["cluster_sizes"] == {}
    assert found["above_blank"] is False


@pytest.mark.property
def test_less_area_and_less_blood_give_a_higher_and_wider_answer(run):
    ctcs = calls_table(*[("ctc", None)] * 5)
    whole = run(frames_table([1000.0, 1000.0]), ctcs)["ctc_per_7_5_ml"]
    half = run(frames_table([1000.0, 0.0]), ctcs)["ctc_per_7_5_ml"]
    less = run(frames_table([1000.0, 1000.0]), ctcs, blood_volume_ml=3.75)["ctc_per_7_5_ml"]
    part = run(frames_table([1000.0, 1000.0]), ctcs, sampled_fraction=0.5)["ctc_per_7_5_ml"]
    assert half == less == part
    assert all(half[key] == pytest.approx(2 * whole[key], rel=1e-6) for key in ("estimate", "low", "high"))


@pytest.mark.property
def test_nothing_analysed_is_no_count(run):
    found = run(frames_table([0.0, 0.0, 0.0]), calls_table())
    assert found["status"] == "not_evaluable"
    assert found["reason"] == "none of the 3 frames could be analysed: unreadable (3)"
    assert (found["imaged_fraction"], found["n_frames"], found["n_frames_usable"]) == (0.0, 3, 0)
    null = ["n_ctc", "n_clusters", "n_leukocytes", "ctc_per_7_5_ml", "ctc_per_ml", "clusters_per_7_5_ml"]
    null += ["ctc_quantiles_per_7_5_ml", "cluster_quantiles_per_7_5_ml", "above_blank"]
    assert all(found[key] is None for key in null)
    assert found["p_at_least"] == dict.fromkeys(("1", "2", "3", "5", "15", "50"))


@pytest.mark.property
def test_without_a_bridge_to_the_reference_assay_no_probability_is_given(run):
    found = run(frames_table([1000.0]), calls_table(("ctc", None)), assay={"reference_equivalent": None})
    assert found["p_at_least"] == dict.fromkeys(("1", "2", "3", "5", "15", "50"))
    assert found["ctc_per_7_5_ml"]["estimate"] == pytest.approx(1.0)


@pytest.mark.oracle
def test_above_blank_needs_more_than_background_explains(run):
    # mean 0.078 per 7.5 mL, from 1 of 344 donors with two or more: one cell may be background, two are not
    background = {**EXACT, "mean": 0.078, "low": 0.078, "high": 0.078}
    for n, above in ((1, False), (2, True)):
        found = run(
            frames_table([1000.0]), calls_table(*[("ctc", None)] * n), assay={"background_per_7_5_ml": background}
        )
        assert found["limit_of_blank"] == {"count": 1, "level": 0.95}
        assert found["above_blank"] is above


@pytest.mark.property
def test_equal_inputs_give_equal_bytes_without_time_or_place(run, tmp_path):
    run(frames_table([1000.0]), MIXED)
    first = (tmp_path / "counts.json").read_bytes()
    run(frames_table([1000.0]), MIXED)
    assert (tmp_path / "counts.json").read_bytes() == first
    assert str(tmp_path).encode() not in first
    assert set(json.loads(first)["provenance"]["inputs"]) == {"frames", "calls"}


@pytest.mark.property
def test_tables_of_another_kind_are_refused(tmp_path):
    store.write_table(tmp_path / "frames.parquet", "frames", frames_table([1.0]), store.provenance({}, {}))
    Path(tmp_path / "calls.parquet").write_text("frame\tcell\n")
    with pytest.raises(InputError, match="calls"):
        count(settings(), tmp_path / "frames.parquet", tmp_path / "calls.parquet", tmp_path / "counts.json")
    assert not (tmp_path / "counts.json").exists()


@pytest.mark.unit
def test_a_sample_of_little_blood_says_so_unless_it_shows_cells(run):
    none = calls_table(("leukocyte", None))
    five = calls_table(*[("ctc", None)] * 5)
    for calls, volume, expected in (
        (none, 7.5, "enough"), (none, 0.5, "too_little_blood"), (five, 0.5, "enough"),
    ):  # fmt: skip
        assert run(frames_table([1000.0]), calls, blood_volume_ml=volume)["evidence"] == expected


@pytest.mark.property
def test_the_count_says_what_the_tube_says_and_what_it_says_with_the_population(run):
    about = {"primary": "colon", "setting": "metastatic"}
    frames, none, five = frames_table([1000.0]), calls_table(("leukocyte", None)), calls_table(*[("ctc", None)] * 5)
    assert run(frames, five)["in_population"] is None
    of_patients = run(frames, five, **about)
    assert of_patients["ctc_per_7_5_ml"] == run(frames, five)["ctc_per_7_5_ml"]
    assert of_patients["in_population"]["population"] == "population_colorectal"
    assert of_patients["in_population"]["ctc_per_7_5_ml"]["estimate"] == pytest.approx(4.5, rel=0.1)
    found = [run(frames, none, blood_volume_ml=v, **about) for v in (7.5, 0.1, 0.0001)]
    high = [f["in_population"]["ctc_per_7_5_ml"]["high"] for f in found]
    assert high == sorted(high)
    assert high[-1] == pytest.approx(found[0]["in_population"]["population_per_7_5_ml"]["high"], rel=0.1)
    assert found[-1]["p_at_least"]["3"] == pytest.approx(129 / 451, abs=0.02)  # as published


@pytest.mark.parametrize(
    ("changed", "flags", "why"),
    [
        ((), "", None),
        (("channels", "bit_depth"), "", "from which its channels and its bit depth differ"),
        ((), "weak_focus,pixel_size_differs", "from which the images' pixel size differs"),
        ((), "bit_depth_differs", "from which the images' bit depth differs"),
    ],
)
def test_an_equivalence_that_is_only_taken_over_stands_for_no_other_method(changed, flags, why):
    taken = {"base": "cellsearch", "factors": ("recovery", "reference_equivalent"), "changed": changed}
    frames = frames_table([1000.0]).assign(flags=flags)
    found = count_ctcs(settings(assay={"taken_over": taken}), frames, calls_table(("ctc", None)))
    assert (found.reference_equivalent is None) == (why is not None)
    assert (found.p_at_least["5"] is None) == (why is not None)
    assert (found.why_no_reference or "").startswith(
        "recovery and equivalence with the reference assay are only taken over from the assay cellsearch" if why else ""
    )
    assert (why or "") in (found.why_no_reference or "")
    assert found.recovery.mean == 1.0  # the count itself rests on it nevertheless


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"frame": ["f1", "zzz"]}, "2 calls that are not those of the 2 cells"),
        ({"cell": [2, 3]}, "2 calls that are not those of the 2 cells"),
        ({"p_ctc": [0.9, 2.0]}, "frame f1, cell 2: found leukocyte, p_ctc 2"),
        ({"p_ctc": [float("nan"), 0.0]}, "frame f1, cell 1: found ctc, p_ctc nan"),
        ({"call": ["CTC", "leukocyte"]}, "frame f1, cell 1: found CTC, p_ctc 0.9"),
    ],
)
def test_calls_that_are_not_those_of_the_cells_are_refused(change, said):
    calls = pd.DataFrame({"frame": ["f1", "f1"], "cell": [1, 2], "call": ["ctc", "leukocyte"], "p_ctc": [0.9, 0.0]})
    cells = calls[["frame", "cell"]]
    refuse_odd(Path("calls.parquet"), calls, cells)
    refuse_odd(Path("calls.parquet"), calls.iloc[::-1], cells)
    with pytest.raises(InputError, match=re.escape(said)):
        refuse_odd(Path("calls.parquet"), calls.assign(**change), cells)
    with pytest.raises(InputError, match="0 calls that are not those of the 2 cells"):
        refuse_odd(Path("calls.parquet"), calls.iloc[:0], cells)
