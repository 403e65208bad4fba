from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import tifffile
import yaml

from ctcascade.calling.classify import call_cells, classify, reference_of
from ctcascade.calling.markers import contrast_of
from ctcascade.calling.reference import drawn as the_reference_as_drawn
from ctcascade.data import store
from ctcascade.data.tables import FRAMES
from ctcascade.data.vocabulary import CALLS
from ctcascade.study.assay import Gates
from ctcascade.validation.phantom import Optics, Recipe, Slide, render, write_frame
from tests.support.calling import SETTINGS, assay, called, called_slide, classify_job, matched, partners, seen
from tests.support.cells import ALL_ROLES, CTC, LEUKOCYTE, NOISE, cells_table

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[1]
GATES = Gates.model_validate(assay("cellsearch")["gates"])


def touch(cells, *pairs):
    """Let the cells of the first frame lie beside each other: (cell, cell, gap in um)."""
    contacts = {n: ([], []) for n in range(len(cells))}
    for a, b, gap in pairs:
        for one, other in ((a, b), (b, a)):
            contacts[one][0].append(other + 1)
            contacts[one][1].append(gap)
    return [{**cell, "contacts": contacts[n][0], "contact_gaps_um": contacts[n][1]} for n, cell in enumerate(cells)]


def call(cells, noise, gates, settings):
    return call_cells(cells, reference_of(cells, noise, gates, settings), noise, gates, settings)


def calls_of(*cells, **more):
    return call(cells_table(*cells, **more), NOISE, GATES, SETTINGS)


KNOWN = {
    "ctc": ({}, "ctc", "dna+ ck+ cd45-"),
    "small ctc": ({"equivalent_diameter_um": 6.5, "nucleus_area_um2": 20.0}, "ctc", "dna+ ck+ cd45-"),
    "large ctc": ({"equivalent_diameter_um": 30.0, "nucleus_area_um2": 300.0}, "ctc", "dna+ ck+ cd45-"),
    "leukocyte": ({"ck": 12.0, "cd45": 450.0}, "leukocyte", "dna+ ck- cd45+"),
    "leukocyte that took up cytokeratin": ({"cd45": 450.0}, "double_positive", "dna+ ck+ cd45+"),
    "bare nucleus": ({"ck": 8.0}, "dna_only", "dna+ ck- cd45-"),
    "no nucleus": ({"nucleus_area_um2": 0.0, "dna": 5.0, "dna_peak": 1.0}, "debris", "fragment"),
    "speck": (
        {"nucleus_area_um2": 0.0, "dna": 5.0, "equivalent_diameter_um": 3.0},
        "debris",
        "speckle",
    ),
    "crumbs of a nucleus": ({"nucleus_area_um2": 0.0}, "debris", "apoptotic"),
    "condensed nucleus": ({"dna_peak": 2.6}, "debris", "apoptotic"),
    "ragged nucleus": ({"nucleus_solidity": 0.65}, "debris", "ragged_nucleus"),
    "scrap of a nucleus": ({"nucleus_area_um2": 8.0}, "debris", "small_nucleus"),
    "tiny": ({"equivalent_diameter_um": 3.3, "nucleus_area_um2": 16.0}, "debris", "small"),
    "giant": ({"equivalent_diameter_um": 70.0}, "debris", "large"),
    "speckled with cytokeratin": ({"ck_fill": 0.2}, "debris", "speckle"),
    "clump of dye": ({"cd45": 700.0, "fitc": 900.0}, "debris", "dye_aggregate"),
    "clump of dye without nucleus": (
        {"nucleus_area_um2": 0.0, "cd45": 700.0, "fitc": 900.0},
        "debris",
        "dye_aggregate",
    ),
    "in a neighbour's light": ({"ck": 60.0, "ck_ring_mean": 55.0}, "dna_only", "dna+ ck- cd45-"),
}


@pytest.mark.parametrize("name", KNOWN)
def test_each_kind_gets_its_call_and_reason(name):
    changes, call, reason = KNOWN[name]
    first = calls_of({**CTC, **changes}).iloc[0]
    assert (first["call"], first["reason"]) == (call, reason)
    assert (first["p_ctc"] > 0.9) if call == "ctc" else (first["p_ctc"] < 0.1)


def test_leukocytes_of_the_sample_are_leukocytes():
    calls = calls_of(CTC)
    assert calls["call"].iloc[1:].value_counts().to_dict() == {"leukocyte": 60}


def test_swapping_cytokeratin_and_cd45_changes_the_answer():
    right = cells_table(CTC, CTC, {**CTC, **KNOWN["leukocyte"][0]})
    swapped = right.rename(
        columns=lambda name: (
            {"ck": "cd45", "cd45": "ck"}.get(name.partition("_")[0], name.partition("_")[0])
            + "".join(name.partition("_")[1:])
        )
    )
    calls = call(swapped[right.columns], NOISE, GATES, SETTINGS)
    assert call(right, NOISE, GATES, SETTINGS)["call"].iloc[:3].tolist() == ["ctc", "ctc", "leukocyte"]
    assert "ctc" not in set(calls["call"].iloc[:2])


def test_between_the_two_limits_is_uncertain_and_says_why():
    halves = []
    for cd45 in np.geomspace(20, 400, 60):
        row = calls_of({**CTC, "ck": 2000.0, "cd45": float(cd45)}).iloc[0]
        halves.append((row["p_ctc"], row["call"], row["reason"]))
    p = [h[0] for h in halves]
    assert p == sorted(p, reverse=True)
    for probability, call, reason in halves:
        expected = "ctc" if probability >= 0.5 else "uncertain" if probability >= 0.1 else "double_positive"
        assert call == expected
        assert (reason == "cd45+") == (call == "uncertain")
    assert {h[1] for h in halves} == {"ctc", "uncertain", "double_positive"}


def test_a_small_nucleus_may_have_a_higher_peak_from_blur():
    """At the same peak over mean the small nucleus is whole and the large one condensed."""
    peak = 1.75 * LEUKOCYTE["dna_peak"]
    small, large = ({**CTC, "dna_peak": peak, "nucleus_area_um2": area} for area in (13.0, 60.0))
    calls = calls_of({**small, "equivalent_diameter_um": 7.0}, large)
    assert calls["call"].iloc[:2].tolist() == ["ctc", "debris"]
    assert calls["reason"].iloc[1] == "apoptotic"


@pytest.mark.parametrize(("twins", "expected"), [((2, 1), ["ctc", "debris"]), ((0, 0), ["ctc", "ctc"])])
def test_the_two_halves_of_a_mitosis_are_counted_once(twins, expected):
    """A leukocyte at its side is no half, whatever its nucleus."""
    halves = touch(
        [{**CTC, "nucleus_twin": twin, "ck": ck} for twin, ck in zip(twins, (700.0, 300.0), strict=True)], (0, 1, 0.0)
    )
    calls = calls_of(*halves, {**LEUKOCYTE, "nucleus_twin": 4}, {**LEUKOCYTE, "nucleus_twin": 3})
    assert calls["call"].iloc[:4].tolist() == [*expected, "leukocyte", "leukocyte"]
    assert calls["cluster"].notna().sum() == (0 if twins[0] else 2)


@pytest.mark.parametrize(("ck", "call"), [(17.5, "ctc"), (600.0, "debris")])
def test_weak_staining_that_fills_half_of_the_cell_is_even_and_strong_staining_is_a_speckle(ck, call):
    """At 3.5 standard deviations of the noise an evenly lit cell shows 69 % of its pixels, at 120 all."""
    dim = [{**LEUKOCYTE, "ck": 1.0} for _ in range(60)]
    first = calls_of({**CTC, "ck": ck, "ck_fill": 0.4}, *dim, leukocytes=0).iloc[0]
    assert (first["call"], first["reason"].split()[0]) == (call, "dna+" if call == "ctc" else "speckle")


@pytest.mark.parametrize(("share", "times"), [(0.0, 1.0), (0.5, 1.75), (1.0, 4.0)])
def test_cytokeratin_that_a_ctc_needs_rises_with_the_square_of_its_cd45(share, times):
    cells = cells_table(leukocytes=400)
    reference = reference_of(cells, NOISE, GATES, SETTINGS)
    cd45 = np.array([share * GATES.cd45_max_ratio])
    assert reference.least_z(cd45, GATES)[0] == pytest.approx(times * GATES.ck_min_z)
    alone = reference_of(cells[:5], NOISE, GATES, SETTINGS)  # too few leukocytes to be mistaken for
    assert alone.least_z(cd45, GATES)[0] == GATES.ck_min_z


@pytest.mark.parametrize("gap", [0.0, 1.4, 1.5, 1.6])
def test_the_gap_that_a_cluster_may_have(gap):
    calls = calls_of(*touch([CTC, CTC], (0, 1, gap)))
    assert calls["cluster"].iloc[:2].tolist() == ([1, 1] if gap <= 1.5 else [pd.NA, pd.NA])
    assert calls["cluster"].iloc[2:].isna().all()


def test_a_chain_is_one_cluster_and_a_gap_ends_it():
    calls = calls_of(*touch([CTC] * 6, (0, 1, 0.0), (1, 2, 0.5), (2, 3, 1.6), (3, 4, 0.0), (4, 5, 2.0)))
    assert calls["cluster"].iloc[:6].tolist() == [1, 1, 1, 2, 2, pd.NA]


def test_a_leukocyte_does_not_bridge_two_ctcs():
    calls = calls_of(*touch([CTC, LEUKOCYTE, CTC], (0, 1, 0.0), (1, 2, 0.0)))
    assert calls["cluster"].iloc[:3].isna().all()
    assert calls["with_leukocyte"].iloc[:3].tolist() == [True, False, True]
    assert calls["reason"].iloc[[0, 2]].tolist() == ["dna+ ck+ cd45- with_leukocyte"] * 2
    assert calls["reason"].iloc[1] == "dna+ ck- cd45+"


def test_cluster_numbers_are_unique_across_frames():
    cells = cells_table(*touch([CTC] * 4, (0, 1, 0.0), (2, 3, 0.0)))
    again = cells[cells["frame"] == "f1"].assign(frame="f2")
    calls = call(pd.concat([cells, again], ignore_index=True), NOISE, GATES, SETTINGS)
    numbered = calls[calls["cluster"].notna()]
    assert numbered["frame"].tolist() == ["f1"] * 4 + ["f2"] * 4
    assert numbered["cluster"].tolist() == [1, 1, 2, 2, 3, 3, 4, 4]


def test_contacts_are_of_the_same_frame():
    here = [{**CTC, "frame": "f1"}, {**CTC, "frame": "f1"}]
    there = [{**cell, "frame": "f2", "cell": n + 1} for n, cell in enumerate(touch([CTC, LEUKOCYTE], (0, 1, 0.0)))]
    calls = calls_of(*here, *there)
    assert calls["cluster"].isna().all()
    assert calls["with_leukocyte"].iloc[:4].tolist() == [False, False, True, False]


def test_attached_leukocytes_carry_the_cluster_number_and_are_not_members():
    calls = calls_of(*touch([CTC, CTC, LEUKOCYTE, LEUKOCYTE], (0, 1, 0.0), (1, 2, 0.4), (2, 3, 0.0)))
    assert calls["cluster"].iloc[:4].tolist() == [1, 1, 1, pd.NA]
    assert calls["call"].iloc[:4].tolist() == ["ctc", "ctc", "leukocyte", "leukocyte"]


def test_one_ctc_with_a_leukocyte_is_marked_and_is_not_a_cluster():
    calls = calls_of(*touch([CTC, LEUKOCYTE, CTC], (0, 1, 0.0)))
    assert calls["cluster"].iloc[:3].isna().all()
    assert calls["with_leukocyte"].iloc[:3].tolist() == [True, False, False]
    assert calls["reason"].iloc[:3].tolist() == ["dna+ ck+ cd45- with_leukocyte", "dna+ ck- cd45+", "dna+ ck+ cd45-"]


def test_cells_that_the_border_cuts_are_called_and_marked():
    calls = calls_of({**CTC, "touches_border": True}, {**LEUKOCYTE, "touches_border": True})
    assert calls["call"].iloc[:2].tolist() == ["ctc", "leukocyte"]
    assert calls["at_border"].iloc[:3].tolist() == [True, True, False]
    assert calls["reason"].iloc[:2].tolist() == ["dna+ ck+ cd45- at_border", "dna+ ck- cd45+ at_border"]


def test_with_few_leukocytes_the_noise_is_the_reference_and_every_call_says_so():
    calls = calls_of(CTC, {**LEUKOCYTE, "ck": 2.0}, {**CTC, "ck": 2.0}, {**CTC, "cd45": 400.0}, leukocytes=0)
    assert calls["call"].tolist() == ["ctc", "leukocyte", "dna_only", "double_positive"]
    assert calls["reason"].str.endswith(" noise_reference").all()
    assert not calls_of(CTC, leukocytes=40)["reason"].str.contains("noise_reference").any()


def test_a_sample_of_many_ctcs_and_few_leukocytes_keeps_its_ctcs():
    calls = calls_of(*[CTC] * 300, leukocytes=30)
    assert calls["call"].value_counts().to_dict() == {"ctc": 300, "leukocyte": 30}


@pytest.mark.parametrize("share", [0.03, 0.08])
def test_leukocytes_that_took_up_cytokeratin_do_not_hide_ctcs(share):
    stained = [{**LEUKOCYTE, "ck": 400.0, "cd45": 450.0}] * round(400 * share)
    calls = calls_of({**CTC, "ck": 100.0}, *stained, leukocytes=400 - len(stained))
    assert calls["call"].iloc[: 1 + len(stained)].tolist() == ["ctc"] + ["double_positive"] * len(stained)


def test_a_trace_of_cd45_is_bleeding_beside_bright_cytokeratin_and_a_leukocyte_beside_weak():
    trace = {**CTC, "cd45": 0.12 * LEUKOCYTE["cd45"]}
    calls = calls_of({**trace, "ck": 2000.0}, {**trace, "ck": 60.0}, {**CTC, "ck": 60.0})
    assert calls["call"].iloc[[0, 2]].tolist() == ["ctc", "ctc"]
    assert calls["p_ctc"].iloc[1] < 0.1


def test_cd45_counts_where_both_cell_and_nucleus_show_it():
    lit_edge = {**CTC, "cd45": 250.0, "cd45_nucleus_mean": 20.0}  # a leukocyte lies beside it
    lit_nucleus = {**CTC, "cd45": 20.0, "cd45_nucleus_mean": 250.0}  # DNA bleeds over
    calls = calls_of(lit_edge, lit_nucleus, {**lit_edge, "cd45_nucleus_mean": 250.0})
    assert calls["call"].iloc[:3].tolist() == ["ctc", "ctc", "double_positive"]


@pytest.mark.parametrize("grain", [1.2, 2.0])
def test_condensed_chromatin_is_judged_by_the_grain_of_the_samples_own_nuclei(grain):
    cells = [{**cell, "dna_peak": grain * cell["dna_peak"]} for cell in [CTC] + [LEUKOCYTE] * 30]
    dying = {**CTC, "dna_peak": 1.6 * cells[0]["dna_peak"]}
    assert calls_of(*cells, dying, leukocytes=0)["call"].tolist() == ["ctc"] + ["leukocyte"] * 30 + ["debris"]


@pytest.mark.oracle
def test_slides_in_memory_equal_those_read_from_files(tmp_path):
    """`seen` gives the same cells as detection from the file of the same frame."""
    slide = Slide(frames=1, recipe=Recipe(leukocytes=30, clusters=((0, 2),) * 3))
    truth, cells, noise = seen(slide, 3, assay("cellsearch"))
    pixels, _ = render(slide, slide.recipe.clusters, np.random.default_rng([3, 0]))
    write_frame(tmp_path / "images", "f0000", pixels, slide)
    expected, _ = called(tmp_path, tmp_path / "images", assay("cellsearch"))
    frames = store.read_table(tmp_path / "frames.parquet", "frames")
    shared = [name for name in expected if name in cells and name not in ("contacts", "contact_gaps_um")]
    pd.testing.assert_frame_equal(cells[shared], expected[shared], check_dtype=False, rtol=1e-5)
    assert noise["ck"] == pytest.approx(float(frames["ck_noise"].iloc[0]), rel=1e-6)
    assert (truth["cluster"] > 0).sum() == 6
    rows = partners(truth, cells, 0.645)
    found = rows[rows >= 0]
    assert len(set(found)) == len(found) > 0.8 * len(truth)


def test_no_cells_no_calls(tmp_path):
    calls = call(cells_table(leukocytes=0), NOISE, GATES, SETTINGS)
    assert len(calls) == 0
    store.write_table(tmp_path / "calls.parquet", "calls", calls, store.provenance({}, {}))
    assert len(store.read_table(tmp_path / "calls.parquet", "calls")) == 0


def test_no_usable_frame_no_calls(tmp_path):
    names = [c.name for c in FRAMES.for_roles(ALL_ROLES)]
    frames = pd.DataFrame([dict.fromkeys(names)], columns=names)
    frames = frames.assign(frame="f1", path="f1", part=0, usable=False, reason="empty", flags="", n_cells=0)
    frames = frames.assign(
        height_px=9, width_px=9, pixel_size_um=1.0, y_um=0.0, x_um=0.0, frame_area_um2=81.0, area_um2=0.0
    )
    frames = frames.assign(
        scale_bits="", size_from="", channels_from="", page_order="", exposure_ms="", pixels_digest=""
    )
    frames = frames.assign(**{f"{role}_moved_{axis}_px": 0 for role in ALL_ROLES for axis in "yx"})
    made_by = store.provenance({}, {})
    store.write_table(tmp_path / "frames.parquet", "frames", frames, made_by)
    store.write_table(tmp_path / "cells.parquet", "cells", cells_table(leukocytes=0), made_by)
    paths = [tmp_path / f"{name}.parquet" for name in ("frames", "cells", "calls")]
    classify(classify_job({"name": "a", "gates": GATES.as_json()}), *paths)
    assert len(store.read_table(paths[2], "calls")) == 0


def mixed():
    """Cells of all kinds, on either side of each gate."""
    rng = np.random.default_rng(4)
    cells = [{**CTC, **changes} for changes, *_ in KNOWN.values()]
    for _ in range(60):
        cell = {**CTC, "ck": 600 * np.exp(rng.normal(-2, 1)), "cd45": 500 * np.exp(rng.normal(-2, 1))}
        cells.append(cell | {"nucleus_solidity": rng.uniform(0.6, 1), "dna_peak": rng.uniform(1.2, 2.2)})
    return touch(cells, *((i, i + 1, float(rng.uniform(0, 2))) for i in range(0, len(cells) - 1, 2)))


TOLD = ("_fill", "_overlap", "_correlation")  # what has no unit of light


@pytest.mark.property
@pytest.mark.parametrize("factor", [1 / 16, 0.25, 16.0])
def test_brighter_or_dimmer_by_a_factor_is_the_same_sample(factor):
    cells = cells_table(*mixed())
    light = [name for name in cells if name.partition("_")[0] in ALL_ROLES and not name.endswith(TOLD)]
    scaled = cells.assign(**{name: cells[name] * factor for name in light})
    noise = {role: value * factor for role, value in NOISE.items()}
    expected = call(cells, NOISE, GATES, SETTINGS)
    assert set(expected["call"]) == set(CALLS)
    pd.testing.assert_frame_equal(call(scaled, noise, GATES, SETTINGS), expected, rtol=1e-6)


@pytest.mark.property
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_order_of_the_rows_changes_no_call_and_no_cluster(seed):
    cells = cells_table(*mixed())
    expected = call(cells, NOISE, GATES, SETTINGS)
    order = np.random.default_rng(seed).permutation(len(cells))
    calls = call(cells.iloc[order].reset_index(drop=True), NOISE, GATES, SETTINGS)
    calls = calls.sort_values(["frame", "cell"]).reset_index(drop=True)
    expected = expected.sort_values(["frame", "cell"]).reset_index(drop=True)
    pd.testing.assert_frame_equal(calls.drop(columns="cluster"), expected.drop(columns="cluster"))
    pairs = set(zip(calls["cluster"].dropna(), expected["cluster"].dropna(), strict=True))
    assert (calls["cluster"].isna() == expected["cluster"].isna()).all()
    assert len(pairs) == expected["cluster"].nunique() == calls["cluster"].nunique()


@pytest.mark.property
def test_adding_a_distant_cell_changes_no_other_call():
    cells = mixed()
    expected = calls_of(*cells)
    calls = calls_of(*cells, {**CTC, "contacts": [], "contact_gaps_um": []})
    n = len(cells)
    pd.testing.assert_frame_equal(
        calls.iloc[:n], expected.iloc[:n], rtol=1e-3, atol=3e-3
    )  # it adds to what is known of bleed


def test_calls_are_written_with_what_made_them(tmp_path):
    _, cells, calls = called_slide(tmp_path, Slide(frames=1, recipe=Recipe(leukocytes=25, ctcs=2)), 1, "cellsearch")
    assert calls[["frame", "cell"]].equals(cells[["frame", "cell"]])
    assert set(calls["call"]) <= set(CALLS)
    assert calls["p_ctc"].between(0, 1).all()
    inputs = store.table_provenance(tmp_path / "calls.parquet").inputs
    assert inputs == {name: store.file_hash(tmp_path / f"{name}.parquet") for name in ("cells", "frames")}


def drawn(cells, gates=GATES):
    return the_reference_as_drawn(reference_of(cells, NOISE, gates, SETTINGS), gates)


def test_gates_are_given_in_the_units_of_the_measurements():
    cells = cells_table(CTC, leukocytes=400)
    found = drawn(cells)
    assert 390 <= found.n_leukocytes <= 400  # less those of little CD45
    assert found.ck.centre == pytest.approx(10.0, rel=0.1)
    assert found.cd45.centre == pytest.approx(500.0, rel=0.1)
    peak = LEUKOCYTE["dna_peak"] / (1 + SETTINGS.blur_um2 / LEUKOCYTE["nucleus_area_um2"])
    assert found.dna.peak == pytest.approx(peak)
    gates = found.gates
    assert set(gates) == set(Gates.model_fields) - {"ck_rise_with_cd45"}  # which bends the gate of cytokeratin
    assert gates["cd45_max_ratio"].threshold == pytest.approx(GATES.cd45_max_ratio * found.cd45.centre)
    assert gates["max_dna_peak"].threshold == pytest.approx(GATES.max_dna_peak * peak)
    for name in ("min_diameter_um", "max_diameter_um", "min_nucleus_um2", "min_nucleus_solidity"):
        assert gates[name].threshold == getattr(GATES, name)
        assert gates[name].direction == ("below" if name.startswith("max") else "above")
        assert gates[name].feature in cells
    for feature in ("ck_contrast", "cd45_contrast"):
        assert len(contrast_of(cells, feature.removesuffix("_contrast"))) == len(cells)


@pytest.mark.parametrize("gate", sorted(set(Gates.model_fields) - {"ck_rise_with_cd45"}))
def test_a_cell_on_a_stated_gate_has_half_the_probability(gate):
    """Everything else about the cell is far inside its gates, so one term decides: the stated gate is the one used."""
    rows = cells_table({**CTC, "cd45": 1e-4}, leukocytes=400)
    told = drawn(rows).gates[gate]
    columns = {
        "ck_contrast": ["ck_mean"],
        "cd45_contrast": ["cd45_mean", "cd45_nucleus_mean"],
        "dna_peak": ["dna_high"],
        "ck_evenness": ["ck_fill"],
    }.get(told.feature, [told.feature])
    blur = 1 + SETTINGS.blur_um2 / rows["nucleus_area_um2"][0]
    scale = rows["dna_nucleus_mean"][0] * blur if columns == ["dna_high"] else 1
    rows.loc[0, columns] = told.threshold * scale
    if gate == "cd45_max_ratio":
        rows.loc[0, "ck_mean"] = 1e5
    known = reference_of(rows, NOISE, GATES, SETTINGS, {"ck": {"cd45": 0.0}})
    assert call_cells(rows, known, NOISE, GATES, SETTINGS)["p_ctc"][0] == pytest.approx(0.5, abs=0.02)


def test_the_more_cd45_the_more_cytokeratin_a_ctc_needs():
    line = np.array(drawn(cells_table(leukocytes=400)).ck_by_cd45)
    assert (np.diff(line, axis=0) > 0).all()
    gates = drawn(cells_table(leukocytes=400)).gates
    assert line[0].tolist() == [0.0, pytest.approx(gates["ck_min_z"].threshold)]
    assert line[-1, 0] == pytest.approx(gates["cd45_max_ratio"].threshold)


def test_the_reference_is_stored_with_the_calls(tmp_path):
    _, cells, _ = called_slide(tmp_path, Slide(frames=1, recipe=Recipe(leukocytes=40, ctcs=1)), 1, "cellsearch")
    found = store.table_provenance(tmp_path / "calls.parquet").reference
    frames = store.read_table(tmp_path / "frames.parquet", "frames")
    noise = {role: float(frames[f"{role}_noise"].median()) for role in ALL_ROLES}
    expected = the_reference_as_drawn(reference_of(cells, noise, GATES, SETTINGS), GATES, found.claims)
    assert found.model_copy(update={"judge": None}) == expected
    assert {claim.verdict for claim in found.claims} <= {"holds", "not_checked"}


def test_without_leukocytes_the_reference_says_so():
    for cells in (cells_table(leukocytes=0), cells_table(CTC, leukocytes=3)):
        assert drawn(cells).n_leukocytes == 0


@pytest.mark.parametrize(
    ("name", "slide"),
    [
        ("cellsearch", Slide(frames=4, recipe=Recipe(ctcs=36, clusters=((2, 0), (3, 1), (1, 1))))),
        (
            "hdsca",
            Slide(
                frames=4,
                layout="files",
                optics=Optics(pixel_size_um=0.591, offset=20.0, photons_per_count=2.0),
                channel_names=("DAPI", "CK", "CD45", "FITC"),
                recipe=Recipe(ctcs=36, clusters=((2, 0), (3, 1), (1, 1))),
            ),
        ),
    ],
)
def test_unseen_slides_are_called_correctly(tmp_path, name, slide):
    truth, _, calls = called_slide(tmp_path, slide, 90_210, name)
    found, true = matched(truth, calls, slide.optics.pixel_size_um)
    assert true.mean() >= 0.95
    assert found.mean() >= 0.95
    assert len(true) == 36 + 6


def write_ome(path, planes, names, pixel_size_um):
    path.parent.mkdir()
    size = {"PhysicalSizeX": pixel_size_um, "PhysicalSizeY": pixel_size_um}
    metadata = {"axes": "CYX", "Channel": {"Name": names}, **size}
    tifffile.imwrite(path, planes, photometric="minisblack", metadata=metadata)
    return path.parent


def test_a_slide_without_the_further_marker_is_still_called(tmp_path):
    pixels, truth = render(Slide(frames=1), [(1, 0), (1, 0), (2, 0)], np.random.default_rng(5))
    images = write_ome(tmp_path / "slide" / "f1.ome.tif", pixels[:3], ["DAPI", "CK-PE", "CD45-APC"], 0.645)
    cells, calls = called(tmp_path, images, assay("cellsearch"))
    right, found = matched(truth.assign(frame="f1"), calls, 0.645)
    assert right.tolist() == [True] * 4
    assert found.tolist() == [True] * 4
    assert cells["fitc_mean"].isna().all()


IMAGES = ROOT.parent / "shared" / "data"


@pytest.mark.real
@pytest.mark.skipif(not (IMAGES / "ctc_hdsca_wbc_fields").is_dir(), reason="../shared/data/ctc_hdsca_wbc_fields")
def test_no_ctc_is_called_in_real_blood_without_ctcs(tmp_path):
    images = tmp_path / "fields"
    images.mkdir()
    for path in (IMAGES / "ctc_hdsca_wbc_fields").glob("*.jpg"):
        (images / path.name).symlink_to(path)
    _, calls = called(tmp_path, images, assay("hdsca"))
    assert not calls["call"].eq("ctc").any()
    assert calls["call"].eq("leukocyte").sum() > 1300


@pytest.mark.real
@pytest.mark.skipif(not (IMAGES / "ctc_ctcdet_crops").is_dir(), reason="../shared/data/ctc_ctcdet_crops")
@pytest.mark.parametrize("kind", ["upCTC", "midCTC", "mixCTC", "noCTC"])
def test_single_cells_judged_by_experts(tmp_path, kind):
    for path in sorted((IMAGES / "ctc_ctcdet_crops" / kind).glob("*.jpg")):
        planes = np.moveaxis(cv2.imread(str(path)), 2, 0)  # blue is DNA, green CD45, red the tumour's marker
        images = write_ome(tmp_path / path.stem / "c.ome.tif", planes, ["DAPI", "CD45", "CK"], 0.16)
        _, calls = called(tmp_path, images, assay("hdsca"))
        assert calls["call"].eq("ctc").any() == (kind != "noCTC"), path.name


def test_the_table_of_false_calls_has_the_seeds_and_slides_of_its_script():
    table = pd.read_csv(ROOT / "verification" / "false_calls.tsv", sep="\t", keep_default_na=False)
    blood = table[table["ctcs"] == 0]
    assert blood["leukocytes"].sum() >= 300_000
    assert (table["seed"] >= 20_000).all()
    assert not table.duplicated(["kind", "seed"]).any()
    assert table["found"].le(table["ctcs"]).all()
    assert table["commit"].str.fullmatch("[0-9a-f]{7,}").all()
    listed = table["wrong"].map(lambda text: len([entry for entry in text.split(", ") if entry]))
    assert (listed == table["false"] + table["uncertain"]).all()


@pytest.mark.parametrize("name", ["cellsearch", "hdsca"])
def test_sensitivity_and_background_are_the_figures_of_the_table(name):
    table = pd.read_csv(ROOT / "verification" / "false_calls.tsv", sep="\t", keep_default_na=False)
    blood, others = table[table["ctcs"] == 0], table[table["ctcs"] > 0]
    told = yaml.safe_load((ROOT / "config" / "assays" / f"{name}.yaml").read_text(encoding="utf-8"))
    called = f"{blood['false'].sum()} of {blood['leukocytes'].sum():,} leukocytes"
    found = f"{others['found'].sum():,} of {others['ctcs'].sum():,} CTCs"
    for key, figure in (("background_per_7_5_ml", called), ("sensitivity", found)):
        assert figure in told[key]["source"]
        assert "verification/false_calls.tsv" in told[key]["source"]
        assert told[key]["kind"] == "assumption"  # that blood looks like phantoms


def test_gates_of_both_assays_say_where_they_come_from():
    for name in ("cellsearch", "hdsca"):
        gates = yaml.safe_load((ROOT / "config" / "assays" / f"{name}.yaml").read_text(encoding="utf-8"))["gates"]
        assert set(gates) == set(Gates.model_fields)
        for gate in gates.values():
            assert len(gate["source"]) > 20


FAINT = {**CTC, "dna": 35.0}  # 7 spreads of the noise, and a 23rd of what others have


@pytest.mark.parametrize(("others", "call"), [(800.0, "debris"), (60.0, "ctc")])
def test_a_faint_nucleus_is_none_where_others_show_much_more_dna(others, call):
    cells = cells_table(FAINT, leukocytes=60)
    nuclei = cells["cell"].to_numpy() > 0
    nuclei[0] = False
    dna = [name for name in cells.columns if name.startswith("dna_") and cells[name].iloc[1] > 100]
    cells.loc[nuclei, dna] *= others / 800.0
    reference = reference_of(cells, NOISE, GATES, SETTINGS, {"ck": {"cd45": 0.0}})
    assert bool(reference.nucleated[0]) is (call == "ctc")
    assert call_cells(cells, reference, NOISE, GATES, SETTINGS)["call"].iloc[0] == call
