"""The sample's page where it shows the slide: outlines, the overview, plots with gates, markers; and the CSV."""

import base64
import json
import re
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from ctcascade import formats
from ctcascade.calling.candidates import SHOWN_CALLS, beside, near_misses, typical_leukocytes
from ctcascade.data import store
from ctcascade.data.results import CallsReference
from ctcascade.images import detect, mosaic
from ctcascade.report import overview, scatter, tables
from ctcascade.report.axes import Axis
from tests.support import report_cases as cases
from tests.support.counts import unjudged
from tests.support.slide_tables import REFERENCE, read_csv

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def detected(tmp_path_factory):
    """Frames with images, and the cells and calls that were found in them."""
    folder = tmp_path_factory.mktemp("detected")
    table = cases.frames(3)
    drawn = cases.cells_and_calls(table, n_cells=40, n_ctc=6)
    cases.images(folder / "images", table, *drawn)
    detect.detect(
        cases.DETECT_JOB,
        folder,
        (1, 1),
        folder / "frames.parquet",
        folder / "cells.parquet",
        outlines_out=folder / "outlines.parquet",
    )
    frames, cells = (store.read_table(folder / f"{kind}.parquet", kind) for kind in ("frames", "cells"))
    given = {"call": "ctc", "p_ctc": 0.9, "cluster": pd.NA, "with_leukocyte": False, "at_border": False, "reason": ""}
    given |= unjudged(len(cells))
    calls = cells[["frame", "cell", "y_px", "x_px"]].assign(**given)
    return folder, frames, (cells, calls.astype({"cluster": "Int64"}))


def outlines(page):
    return [e["d"] for e in page.tagged("path") if e.get("class") == "contour"]


# Outlines
@pytest.mark.oracle
def test_outlines_enclose_the_pixels_of_the_label_images(detected):
    folder, frames, found = detected
    page = cases.Page(cases.sample_page(folder, table=frames, found=found, draw=False))
    once = outlines(page)[::4]  # in each of four views
    drawn = [np.array(re.findall(r"(-?[\d.]+) (-?[\d.]+)", d), float) for d in once]
    pixels = sorted(int(area) for area in (found[0]["area_um2"] / cases.PIXEL_UM**2).round())
    assert len(drawn) == len(found[0])  # each cell is of one part
    filled = []
    for ring in drawn:
        mask = np.zeros((99, 99), np.uint8)
        cv2.fillPoly(mask, [(ring - 0.5 + 20).astype(int)], 1)  # through the middle of the edge pixels
        filled.append(int(mask.sum()))
    assert sorted(filled) == pixels


def test_a_page_needs_no_pixel_of_the_frames(detected, tmp_path):
    folder, frames, found = detected
    page = cases.sample_page(folder, table=frames, found=found, draw=False).read_bytes()
    monkey = pytest.MonkeyPatch()
    with monkey.context() as patch:
        patch.setattr(formats, "read", None)
        cases.write_page(folder, cases.about_sample().page)
    assert (folder / "report.html").read_bytes() == page


# The overview
def picture(uri):
    return cv2.imdecode(np.frombuffer(base64.b64decode(str(uri).partition(",")[2]), np.uint8), cv2.IMREAD_COLOR)


def shaded(table, drawn):
    """Return frames of drawn counts on one grey scale."""
    arranged = mosaic.arrange(table)
    there = set(table.loc[table["usable"], "frame"])
    small = {p.frame: drawn((3, p.rows_px, p.columns_px)) for p in arranged.places if p.frame in there}
    return mosaic.shaded(arranged, small, 3)[0]


def test_marks_lie_on_the_cells_of_the_stitched_picture(tmp_path):
    table = cases.frames(4)
    cells, calls = cases.cells_and_calls(table, n_cells=40, n_ctc=6)
    page = cases.Page(cases.sample_page(tmp_path, table=table, found=(cells, calls)))
    (slide,) = [e for e in page.tagged("svg") if e.get("class") == "slide"]
    (image,) = [e for e in page.tagged("image") if slide in e["in"]]
    seen = picture(image["href"]).astype(int)
    scale = seen.shape[1] / 1000
    marks = [e for e in page.tagged("path") if slide in e["in"] and e.get("class") == "m-ctc"]
    assert len(marks) == 6
    green = seen[..., 1]  # of CK alone: DNA and CD45 are drawn without it, or nearly so
    assert np.mean(green > 130) < 0.05
    for mark in marks:
        x, y = map(float, re.match(r"M([\d.]+) ([\d.]+)", mark["d"]).groups())
        assert green[round((y + 7) * scale), round(x * scale)] > 130


def test_a_lost_frame_is_crossed_out_and_named(tmp_path):
    page = cases.Page(cases.sample_page(tmp_path))
    (slide,) = [e for e in page.tagged("svg") if e.get("class") == "slide"]
    tiles = [e for e in page.tagged("rect") if slide in e["in"] and e["class"].startswith("tile")]
    assert [t["class"] for t in tiles] == ["tile ok", "tile warn", "tile ok", "tile bad"]
    assert "f003: the file ends early" in tiles[3]["text"]
    assert "4 frames" in page.section("slide")


def test_a_page_says_when_a_frame_has_disappeared(tmp_path):
    table = cases.frames()
    cells, calls = cases.cells_and_calls(table)
    cases.images(tmp_path / "images", table, cells, calls)
    gone = calls.loc[calls["call"] == "ctc", "frame"].iloc[0]
    (tmp_path / "images" / f"{gone}.ome.tif").unlink()
    page = cases.Page(cases.sample_page(tmp_path, table=table, found=(cells, calls), draw=False))
    assert "1 of them can no longer be read" in page.section("slide")
    assert "the frame is no longer there" in page.section("gallery")


@pytest.mark.parametrize("n", [1, 3, 175, 3000])
def test_the_picture_stays_small_however_many_frames(n):
    table = cases.frames(n).assign(height_px=1036, width_px=1384)
    grid = overview.grid_of(table)
    places = {(t.place.y_px, t.place.x_px) for t in grid.tiles}
    assert len(places) == n
    assert grid.rows_px * grid.columns_px < 1.2e6
    assert all(t.x + t.width <= 1000.1 and t.y + t.height <= grid.height + 0.1 for t in grid.tiles)
    rng = np.random.default_rng(1)
    drawn = overview.overview(table, grid, shaded(table, lambda size: rng.gamma(1, 100, size)), [])
    assert len(str(drawn.image)) < 1_500_000  # pure noise, the worst there is
    assert 1 <= grid.columns_px / grid.rows_px <= 4.1


def test_frames_lie_where_the_stage_had_them():
    table = cases.frames(4)
    edge = 256 * cases.PIXEL_UM
    snake = table.assign(y_um=[7.0, 7, 7 + edge, 7 + edge], x_um=[-3.0, -3 + edge, -3 + edge, -3])
    grid = overview.grid_of(snake)
    assert grid.by_stage
    corners = [(round(t.y / grid.height, 1), round(t.x / 1000, 1)) for t in grid.tiles]
    assert corners == [(0, 0), (0, 0.5), (0.5, 0.5), (0.5, 0)]
    for lost in (
        table.assign(y_um=[0.0, 0, 1, np.nan], x_um=0.0),  # one unknown
        snake.assign(x_um=snake["x_um"] * 40),  # far apart
        snake.assign(y_um=0.0, x_um=0.0),  # all in one place
        snake.assign(part=[0, 0, 1, 1]),  # two slides
    ):
        assert not overview.grid_of(lost).by_stage


def test_noise_alone_stays_dark():
    table = cases.frames(4).assign(usable=True)
    grid = overview.grid_of(table)
    rng = np.random.default_rng(1)
    small = shaded(table, lambda size: rng.normal(100, 3, size))
    assert np.quantile(picture(overview.overview(table, grid, small, []).image), 0.99) < 90


# Plots and gates
def plots(found, frames, reference):
    cells, calls = found
    seen = scatter.with_contrast(beside(calls, cells))
    marked = seen[seen["call"] == "ctc"].to_dict("records")
    return scatter.scatters(seen, frames, marked, reference and CallsReference.model_validate(reference))


def test_gates_are_drawn_where_their_thresholds_lie():
    frames = cases.frames(2)
    found = cases.cells_and_calls(frames, n_cells=60, n_ctc=5)
    by_cd45, by_size = plots(found, frames, REFERENCE)
    (bent,) = by_cd45.gates
    corners = [tuple(map(float, p.split())) for p in bent[1:].split("L")]
    expected = [(by_cd45.across(x), by_cd45.up(y)) for x, y in REFERENCE["ck_by_cd45"]]
    assert corners[1:-1] == expected
    assert corners[0] == (64, by_cd45.up(60.0))
    assert corners[-1] == (by_cd45.across(70.0), 12)
    at = by_size.across(4.0)
    assert by_size.gates == [
        f"M64.0 {by_size.up(60.0)}L548.0 {by_size.up(60.0)}",
        f"M{at} 334.0L{at} 12.0",
    ]  # the largest diameter lies outside
    assert [p.gates for p in plots(found, frames, None)] == [[], []]


def test_each_cell_is_drawn_once():
    frames = cases.frames(2)
    found = cases.cells_and_calls(frames, n_cells=60, n_ctc=5)
    for plot in plots(found, frames, REFERENCE):
        assert len(plot.points) == 5
        assert plot.n_others == 55


@pytest.mark.oracle
def test_many_places_on_an_axis_are_those_of_each_alone():
    values = np.concatenate([np.random.default_rng(3).normal(20, 60, 5000), [-90.0, 0.0, 180.0, np.nan]])
    for axis in (Axis(-90, 180, 64, 548, linear_to=7.0), Axis(0, 150, 334, 12), Axis(3, 3, 0, 10)):
        alone = [axis(value) for value in values]
        np.testing.assert_allclose(axis.of(values), alone, atol=0.1 + 1e-9)  # a tie may be rounded the other way
        assert np.mean(axis.of(values)[:-1] == alone[:-1]) > 0.999


@pytest.mark.oracle
def test_cells_to_compare_with_are_those_of_a_sorted_table():
    rng = np.random.default_rng(5)
    frames = cases.frames(3)
    cells, calls = cases.cells_and_calls(frames, n_cells=400, n_ctc=5)
    calls["p_ctc"] = rng.integers(0, 6, len(calls)) / 10  # many ties
    calls.loc[rng.random(len(calls)) < 0.7, "call"] = "leukocyte"
    cells.loc[rng.random(len(cells)) < 0.1, "ck_mean"] = np.nan
    seen = beside(calls, cells)
    others = seen[~seen["call"].isin(SHOWN_CALLS)].sort_values(
        ["p_ctc", "frame", "cell"], ascending=[False, True, True]
    )
    key = ["frame", "cell"]
    for most in (0, 1, 7, len(others) + 1):
        expected = others[key].head(most).to_dict("records")
        assert [{name: row[name] for name in key} for row in near_misses(seen, most)] == expected
    leukocytes = seen[seen["call"] == "leukocyte"]
    features = leukocytes[["equivalent_diameter_um", "dna_mean", "ck_mean", "cd45_mean"]].astype(float)
    spread = (features - features.median()).abs().median()
    away = (((features - features.median()) / spread) ** 2).sum(axis=1)
    nearest = leukocytes.assign(away=away).sort_values(["away", *key]).head(9)
    assert [row["cell"] for row in typical_leukocytes(seen, 9)] == nearest["cell"].tolist()
    shuffled = beside(calls, cells.sample(frac=1, random_state=1))
    pd.testing.assert_frame_equal(shuffled, seen, check_like=True)


def test_page_draws_the_gates_of_the_calls(tmp_path):
    page = cases.Page(cases.sample_page(tmp_path, reference=REFERENCE))
    assert len([e for e in page.tagged("path") if e.get("class") == "event gate"]) == 3
    assert not [
        e for e in cases.Page(cases.sample_page(tmp_path / "old")).tagged("path") if e.get("class") == "event gate"
    ]


# Markers
def marker(status="positive", **other):
    return {
        "role": "her2", "marker": "HER2", "place": "cell", "min_z": {"value": 3.0, "source": "made up"},
        "min_nucleus_ratio": None,
        "rule": {"min_ctcs": 6, "min_positive": 1, "min_share": 0.75, "source": "made up for a test"},
        "n_evaluable": 7, "n_positive": 6, "n_negative": 1,
        "share": {"estimate": 0.8125, "low": 0.49, "high": 0.98, "level": 0.95},
        "status": status, "reason": "", **other,
    }  # fmt: skip


@pytest.mark.oracle
def test_markers_are_those_of_the_counts(tmp_path):
    none = dict.fromkeys(("n_evaluable", "n_positive", "n_negative", "share"))
    unseen = marker("not_evaluable", marker="AR-V7", role="arv7", place="nucleus", reason="no CTC was seen", **none)
    data = cases.counts(markers=[marker(), unseen])
    page = cases.Page(cases.sample_page(tmp_path, data))
    shown = {e["data-key"]: e for e in page.numbers() if e["data-key"].startswith("markers.")}
    for key, value in (("n_positive", 6), ("n_negative", 1), ("n_evaluable", 7), ("share.estimate", 0.8125)):
        element = shown[f"markers.0.{key}"]
        assert json.loads(element["data-value"]) == value
        assert cases.agrees(element["text"], value)
    assert not [key for key in shown if re.match(r"markers\.1\.(n_|share)", key)]
    assert "no CTC was seen" in page.section("markers")
    assert "markers" not in cases.Page(cases.sample_page(tmp_path / "none")).source.partition("<main")[2]


def test_foreign_text_of_the_new_parts_stays_text(tmp_path):
    bad = cases.HOSTILE
    data = cases.counts(markers=[marker(role=bad, reason=bad + 5000 * "x", rule={**marker()["rule"], "source": bad})])
    table = cases.frames(hostile=True).assign(flags=bad)
    page = cases.Page(cases.sample_page(tmp_path, data, table))
    assert len(page.tagged("script")) == 1
    assert not page.tagged("img")
    for section in ("markers", "slide"):
        assert "<script>alert(1)</script>" in page.section(section)
    assert 3000 * "x" not in page.text


@pytest.mark.oracle
def test_cohort_csv_holds_the_results_unrounded(tmp_path):
    draws = [cases.counts("S1", n_ctc=12), cases.counts("S2", n_ctc=6, collected="2026-03-01"), cases.counts("D1", "D")]
    lost = cases.not_evaluable("S3", collected="2026-04-01")
    road = cases.cascade(samples=["S1", "S2", "S3"])
    roads, outlooks = (
        [road, cases.cascade_not_applicable("D", ["D1"])],
        [cases.prognosis(), cases.refused("no_evidence", "D")],
    )
    judged = [cases.quality("S1", share=(0.5, "fail")), *(cases.quality(s) for s in ("S2", "D1", "S3"))]
    page = cases.cohort_page(tmp_path, [*draws, lost], roads, outlooks, judged)
    rows = {row["sample"]: row for row in read_csv((tmp_path / "cohort.csv").read_text(encoding="utf-8"))}
    assert list(rows) == ["S1", "S2", "D1", "S3"]
    for data in draws:
        row = rows[data["sample"]]
        for end in ("estimate", "low", "high", "level"):
            assert float(row[f"ctc_per_7_5_ml_{end}"]) == data["ctc_per_7_5_ml"][end]
        assert int(row["n_ctc"]) == data["n_ctc"]
    assert rows["S1"]["p_any_2_years_mean"] == ""  # which would rest on a failed check
    assert "S1, on which the risks would rest, fails its quality checks" in rows["S1"]["p_any_2_years_why_none"]
    assert (rows["S1"]["quality"], rows["S2"]["quality"]) == ("fail", "warn")
    assert rows["S1"]["quality_failures"].startswith("share")
    assert (rows["D1"]["p_any_2_years_mean"], rows["D1"]["prognosis"]) == ("", "no_evidence")
    assert {rows["S3"][k] for k in ("n_ctc", "ctc_per_7_5_ml_estimate", "above_blank")} == {""}
    lines = [json.loads(e["data-csv"]) for e in cases.Page(page).elements if "data-csv" in e]
    by_sample = {row["sample"]: row for row in read_csv("\n".join(lines[3:]))}
    assert {name: {k: rows[name][k] for k in row} for name, row in by_sample.items()} == by_sample
    assert [row["latest_sample"] for row in read_csv("\n".join(lines[:3]))] == ["S2", "D1"]


def test_no_cell_of_a_csv_is_a_formula(tmp_path):
    texts = ["=1+1", "+1", "-1", "@x", " =1", "\t=1", '=HYPERLINK("http://x","y")', cases.HOSTILE]
    lines = tables.lines([{"text": text, "number": -0.25} for text in texts])
    rows = read_csv("\n".join(lines))
    assert len(rows) == len(lines) - 1 == len(texts)
    assert [row["number"] for row in rows] == ["-0.25"] * len(texts)
    assert not [row for row in rows if row["text"].lstrip().startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert rows[0]["text"] == "'=1+1"
    assert rows[-1]["text"].startswith("<script>alert(1)</script>\"'>&{{7*7}}\\u202eevil")
    cases.cohort_page(tmp_path, [cases.counts(assay="=cmd|' /C calc'!A0")], [cases.cascade()], [cases.prognosis()])
    assert ",'=cmd|" in (tmp_path / "cohort.csv").read_text(encoding="utf-8")


# The gallery of the documentation
def test_pictures_of_the_documentation_are_there_small_and_explained():
    docs = Path(__file__).parents[1] / "docs"
    named = set(re.findall(r"!\[[^\]]{10,}\]\(([\w-]+\.png)\)", (docs / "reports.md").read_text(encoding="utf-8")))
    assert named == {path.name for path in docs.glob("*.png")}
    assert all(5_000 < (docs / name).stat().st_size <= 300_000 for name in named)
