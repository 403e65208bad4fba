"""The pages: numbers equal the results', nothing comes from outside, foreign text is text, refusals hold no numbers."""

import base64
import hashlib
import html
import itertools
import json
import re
import sys

import cv2
import jinja2
import numpy as np
import pandas as pd
import pytest

from ctcascade.data import store
from ctcascade.images import detect
from ctcascade.report import page as paging
from ctcascade.report.axes import Axis
from ctcascade.report.numbers import amount, percent
from ctcascade.report.page import RESEARCH_USE
from tests.support import report_cases as cases
from tests.support.counts import unjudged
from tests.support.pages import hostile_pages

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """One page of each kind, and the results behind them by `data-of`."""
    folder = tmp_path_factory.mktemp("pages")
    draws = [
        cases.counts("S1", n_ctc=12, collected="2026-01-05"),
        cases.counts("S2", n_ctc=6, collected="2026-02-09"),
        cases.not_evaluable("S3", collected="2026-03-09"),
    ]
    road, outlook = cases.cascade(samples=["S1", "S2", "S3"]), cases.prognosis()
    donor = cases.counts("D1", "D", 0)
    return {
        "sample": cases.Page(cases.sample_page(folder / "sample", draws[1])),
        "patient": cases.Page(cases.patient_page(folder / "patient", draws, road, outlook)),
        "cohort": cases.Page(
            cases.cohort_page(
                folder / "cohort",
                [*draws, donor],
                [road, cases.cascade_not_applicable("D", ["D1"])],
                [outlook, cases.refused("not_applicable", "D")],
            )
        ),
        "results": {
            **{f"counts/{d['sample']}": d for d in [*draws, donor]},
            "quality/S2": cases.quality("S2"),
            "cascade/P1": road,
            "prognosis/P1": outlook,
        },
    }


KINDS = ("sample", "patient", "cohort")
SOURCES = r"https://(?:doi\.org|pubmed\.ncbi\.nlm\.nih\.gov|www\.ncbi\.nlm\.nih\.gov/pmc)/"


@pytest.mark.oracle
@pytest.mark.parametrize("kind", KINDS)
def test_every_number_is_the_number_of_the_result(pages, kind):
    shown = pages[kind].numbers()
    assert len(shown) > 20
    for element in shown:
        value = pages["results"][element["data-of"]]
        for step in element["data-key"].split("."):
            value = value[int(step)] if isinstance(value, list) else value[step]
        assert json.loads(element["data-value"]) == value
        assert cases.agrees(element["text"], value), (element["data-key"], element["text"], value)


@pytest.mark.parametrize(
    ("kind", "of", "keys"),
    [
        (
            "sample",
            "counts/S2",
            "n_ctc n_clusters n_leukocytes n_uncertain imaged_fraction blood_volume_ml ctc_per_7_5_ml.estimate "
            "ctc_per_7_5_ml.low ctc_per_7_5_ml.high ctc_per_7_5_ml.level clusters_per_7_5_ml.estimate recovery.mean "
            "sensitivity.mean background_per_7_5_ml.mean reference_equivalent.mean p_at_least.5 limit_of_blank.count",
        ),
        ("patient", "counts/S2", "ctc_per_7_5_ml.estimate ctc_per_7_5_ml.low n_ctc n_clusters p_at_least.5"),
        ("patient", "counts/S1", "ctc_per_7_5_ml.estimate ctc_per_7_5_ml.high n_ctc"),
        (
            "patient",
            "cascade/P1",
            " ".join(f"organs.{i}.p_metastasis.{y}.{k}" for i in range(7) for y in (1, 2, 5) for k in ("mean", "low"))
            + " p_any.2.mean flow.0.mean flow.4.low p_founding_per_ctc.mean"
            + " organs.0.time_to_detectability.1.median_years",
        ),
        (
            "patient",
            "prognosis/P1",
            " ".join(f"survival.{2 * m}.{k}" for m in (6, 12, 18, 24) for k in ("p", "low", "high"))
            + " strata.1.weight strata.0.median_months cutoff horizon_months kinetics.0.change.rate_ratio",
        ),
        ("cohort", "counts/S2", "ctc_per_7_5_ml.estimate n_ctc imaged_fraction n_frames_usable"),
        ("cohort", "cascade/P1", "p_any.2.mean p_any.2.low p_any.2.high"),
    ],
)
def test_what_a_page_must_answer_is_there(pages, kind, of, keys):
    shown = {e["data-key"] for e in pages[kind].numbers() if e["data-of"] == of}
    assert set(keys.split()) - shown == set()


@pytest.mark.parametrize("kind", KINDS)
def test_policy_names_the_very_style_and_script(pages, kind):
    page = pages[kind]
    policy = next(e["content"] for e in page.tagged("meta") if e.get("http-equiv") == "Content-Security-Policy")
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data:"
    for tag in ("style", "script"):
        (block,) = page.tagged(tag)
        digest = base64.b64encode(hashlib.sha256(block["text"].encode()).digest()).decode()
        assert rules[f"{tag}-src"] == f"'sha256-{digest}'"


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_comes_from_outside(pages, kind):
    page = pages[kind]
    for element in page.elements:
        assert not [name for name in element if name.startswith("on") or name in ("style", "srcdoc", "action")]
        for name in ("src", "href"):
            inside = r"#|data:image/(webp|png);base64,|\.\./|samples/|patients/|"
            assert re.match(inside + SOURCES, element.get(name, "#"))
    assert not re.search(r"@import|url\((?!#)|https?://(?!www\.w3\.org|doi\.org|(?:www|pubmed)\.ncbi\.)", page.source)
    assert all(e["tag"] == "a" for e in page.elements if re.match(SOURCES, e.get("href", "")))
    assert not re.search(r"eval|Function\(|innerHTML|document\.write", page.tagged("script")[0]["text"])


@pytest.mark.parametrize("kind", KINDS)
def test_page_is_usable_with_a_screen_reader(pages, kind):
    page = pages[kind]
    ids = [e["id"] for e in page.elements if "id" in e]
    assert len(ids) == len(set(ids))
    targets = {e["href"][1:] for e in page.tagged("a") if e.get("href", "").startswith("#")}
    assert targets - set(ids) == set()
    levels = [int(e["tag"][1]) for e in page.tagged("h1", "h2", "h3", "h4")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert len(page.tagged("main")) == len(page.tagged("header")) == len(page.tagged("footer")) == 1
    assert all("aria-label" in e or e.get("aria-hidden") == "true" for e in page.tagged("svg"))
    tables = page.tagged("table")
    assert [t["text"] for t in tables if not any(c["in"][-1] is t for c in page.tagged("caption"))] == []
    assert all("scope" in e for e in page.tagged("th"))


@pytest.mark.parametrize("kind", KINDS)
def test_research_use_is_stated_and_nothing_advised(pages, kind):
    page = pages[kind]
    assert page.text.count(RESEARCH_USE) >= 2
    assert not re.search(r"\b(should|recommend\w*|advise[sd]?|discontinue|continue|switch to|stop)\b", page.text, re.I)


def test_pages_are_small(tmp_path, pages):
    assert len(pages["patient"].source) < 3_000_000
    table = cases.frames(9)
    many = cases.sample_page(tmp_path, table=table, found=cases.cells_and_calls(table, n_ctc=120))
    assert 200_000 < many.stat().st_size < 8_000_000
    page = cases.Page(many)
    assert len([e for e in page.tagged("article") if "data-number" in e]) == 100
    assert "123 cells" in page.section("gallery")
    assert "this page shows the first 100" in page.section("gallery")
    assert (tmp_path / "gallery.js").read_text(encoding="utf-8").count("<article") == 23


def test_equal_results_give_equal_bytes(tmp_path):
    one = cases.patient_page(tmp_path / "one").read_bytes()
    paging._environment.cache_clear()
    draws = [cases.counts("S2", n_ctc=6, collected="2026-02-09"), cases.counts("S1", n_ctc=12, collected="2026-01-05")]
    road = cases.cascade(samples=["S1", "S2"])
    assert cases.patient_page(tmp_path / "two", draws, road).read_bytes() == one
    first = cases.sample_page(tmp_path / "a").read_bytes()
    assert cases.sample_page(tmp_path / "elsewhere" / "b").read_bytes() == first


def test_templates_are_compiled_once_and_again_when_the_code_of_pages_changes(tmp_path, monkeypatch):
    compiled, generate = [], jinja2.Environment._generate

    def counted(self, source, name, *args, **how):
        compiled.append(name)
        return generate(self, source, name, *args, **how)

    def made(folder=tmp_path):
        monkeypatch.setattr(paging, "COMPILED", folder)
        paging._environment.cache_clear()
        compiled.clear()
        return paging.part("body.html", "body", None, [], {}), compiled.copy()

    monkeypatch.setattr(jinja2.Environment, "_generate", counted)
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    first = made()
    assert first[1] == ["body.html"]
    assert made() == (first[0], [])
    assert made(tmp_path / "missing") == first
    monkeypatch.setattr(paging.fingerprint, "stage_hash", lambda stage: "of other code")
    assert made() == first
    assert made() == (first[0], [])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (tmp_path / "empty").mkdir()
    assert made(tmp_path / "empty") == first
    assert not list((tmp_path / "empty").iterdir())
    paging._environment.cache_clear()


def test_a_different_count_gives_a_different_page(tmp_path):
    one, two = (cases.Page(cases.sample_page(tmp_path / str(n), cases.counts(n_ctc=n))) for n in (6, 60))
    estimate = [next(e for e in p.numbers() if e["data-key"] == "ctc_per_7_5_ml.estimate")["text"] for p in (one, two)]
    assert estimate == ["8.1", "76"]


def foreign(page):
    """Return what foreign text has become in a page other than text."""
    scripts = page.tagged("script")[1:]
    handlers = [e for e in page.elements if any(name.startswith("on") for name in e)]
    return [*scripts, *page.tagged("img", "iframe", "object"), *handlers]


def test_foreign_text_stays_text(tmp_path):
    for path in hostile_pages(tmp_path):
        page = cases.Page(path)
        assert foreign(page) == []
        assert "<script>alert(1)</script>\"'>&{{7*7}}\\u202eevil" in page.text
        assert not re.search("[\u200e\u200f\u202a-\u202e\u2066-\u2069]", page.source)
        assert "characters)" in page.text
        assert 3000 * "x" not in page.text
        assert page.tagged("h1")[0]["text"] == "All patients" or len(page.tagged("h1")[0]["text"]) < 120


def test_the_test_of_escaping_can_fail(tmp_path, monkeypatch):
    environment = paging._environment()
    monkeypatch.setattr(environment, "autoescape", False)
    environment.cache.clear()
    try:
        assert all(foreign(cases.Page(path)) for path in hostile_pages(tmp_path))
    finally:
        environment.cache.clear()


# Refusals
@pytest.mark.parametrize("status", ["no_evidence", "not_applicable", "relative_only"])
def test_a_refusal_contains_no_survival_number(tmp_path, status):
    why = "Nothing published fits, said in words."
    relative = {"relative": [{"evidence_id": "X", "text": "The hazard was 2.7 times."}]}
    outlook = cases.refused(status, reason=why, **(relative if status == "relative_only" else {}))
    page = cases.Page(cases.patient_page(tmp_path, prognosis_data=outlook))
    section = page.section("survival")
    assert why in section
    assert re.findall(r"\d", section.replace("The hazard was 2.7 times. [X]", "")) == []
    assert ("2.7 times" in section) == (status == "relative_only")
    assert [e["data-key"] for e in page.numbers() if e["data-of"].startswith("prognosis")] == []
    assert not re.search(r"of 100 people|median, months", page.text)
    assert "people" not in [e.get("class") for e in page.tagged("svg")]


def test_no_risk_where_the_cascade_refuses(tmp_path):
    page = cases.Page(cases.patient_page(tmp_path, cascade_data=cases.cascade_not_applicable()))
    assert "No risk is given: no primary tumour is stated." in page.section("organs")
    assert [e for e in page.numbers() if e["data-of"].startswith("cascade") and e["data-key"] != "level"] == []


def test_not_evaluable_is_not_zero(tmp_path):
    table = cases.frames().assign(usable=False, reason="the file ends early", area_um2=0.0, n_cells=0)
    empty = [t.iloc[:0] for t in cases.cells_and_calls(cases.frames())]
    page = cases.Page(
        cases.sample_page(tmp_path / "s", cases.not_evaluable(reason="all frames end early"), table, empty)
    )
    assert "all frames end early" in page.section("count")
    assert "nothing of the imaged area" in page.section("quality")
    assert "shown nevertheless" not in page.text  # beside "no count can be given"
    assert "scaled up" not in page.section("quality")
    assert not [e for e in page.numbers() if e["data-key"].startswith(("ctc_per", "n_ctc", "p_at_least"))]
    assert page.text.count("the file ends early") >= 4
    patient = cases.Page(cases.patient_page(tmp_path / "p", [cases.not_evaluable()], cases.cascade_not_applicable()))
    assert "Not evaluable" in patient.section("count")
    assert not [e for e in patient.numbers() if e["data-key"].startswith("ctc_per")]


def test_slide_without_any_cell_has_a_count_with_interval(tmp_path):
    cells, calls = (t.iloc[:0] for t in cases.cells_and_calls(cases.frames()))
    page = cases.Page(cases.sample_page(tmp_path, cases.counts(n_ctc=0), found=(cells, calls)))
    assert "Not above blank" in page.section("count")
    assert "No cell was called CTC" in page.section("gallery")
    assert {"ctc_per_7_5_ml.low", "ctc_per_7_5_ml.high"} <= {e["data-key"] for e in page.numbers()}


def test_an_assay_without_reference_equivalent_is_not_compared_with_a_cut_off(tmp_path):
    data = cases.counts(reference_equivalent=None, p_at_least=cases.NO_ODDS)
    page = cases.Page(cases.sample_page(tmp_path / "s", data))
    assert "cannot be compared with a published cut-off" in page.section("reference")
    patient = cases.Page(cases.patient_page(tmp_path / "p", [data], prognosis_data=cases.refused("no_evidence")))
    assert "cannot be compared with a published cut-off" in patient.section("count")


# Links to sources
@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("Allard 2004, PMID 15501967, abstract", ["https://pubmed.ncbi.nlm.nih.gov/15501967"]),
        ("doi:10.1002/cyto.a.20369 (read in full)", ["https://doi.org/10.1002/cyto.a.20369"]),
        ("R43, PMC4052944 (read); 10.1158/1078-0432.CCR-04-0378.", [
            "https://www.ncbi.nlm.nih.gov/pmc/articles/PMC4052944", "https://doi.org/10.1158/1078-0432.CCR-04-0378",
        ]),
        ('doi:10.1/x" onclick="alert(1)', []),
        ("10.1234/a<script>", ["https://doi.org/10.1234/a%3Cscript%3E"]),
    ],
)  # fmt: skip
def test_identifiers_of_publications_are_links_and_nothing_else_is(text, addresses):
    shown = paging.linked(text)
    assert re.findall(r'<a href="([^"]*)" rel="noreferrer">', shown) == addresses
    assert shown.count("<") == 2 * len(addresses)
    assert html.unescape(re.sub("<[^>]*>", "", shown)) == text


# Marks and order
def test_assumptions_are_marked_where_numbers_rest_on_them(pages, tmp_path):
    for heading in ("count", "organs", "survival", "cascade"):
        names = ["parameters/cell_density", "parameters/wake_half_life"]
        cascade = cases.cascade(assumptions=names, evidence_ids=[*names, "parameters/half_life"])
        page = cases.Page(cases.patient_page(tmp_path, cascade_data=cascade))
        assert re.search("◆ \\d+ assumed value", page.section(heading)), heading
    assert "◆ assumption" in pages["sample"].section("rests-on")
    assert "◆ wake half life" in page.section("rests-on")
    assert "All parameters used (3)" in page.section("rests-on")
    assert "parameters/wake_half_life" in page.section("rests-on")


def test_candidates_in_doubt_come_first_and_clusters_together(pages):
    """Six CTCs, of which two form a cluster, two uncertain cells and a double-positive one; then cells to compare."""
    articles = pages["sample"].tagged("article")
    assert articles[0]["aria-label"] == "Cluster 1"
    assert "2 CTCs" in articles[0]["text"]
    cells = [e["aria-label"].partition(" of ")[0] for e in articles if "data-number" in e]
    assert cells == [f"Cell {i}" for i in (7, 8, 9, 2, 1, 6, 5, 4, 3)]
    small = [e["aria-label"].partition(",")[0] for e in articles if "small-cell" in e["class"]]
    assert small == ["debris", *["leukocyte"] * 19]


def decoded(uri):
    return cv2.imdecode(np.frombuffer(base64.b64decode(uri.partition(",")[2]), np.uint8), cv2.IMREAD_UNCHANGED)


def test_pictures_show_the_cell_itself(tmp_path):
    table = cases.frames(2)
    found = cases.cells_and_calls(table, n_cells=12, n_ctc=1)
    page = cases.Page(cases.sample_page(tmp_path, table=table, found=found))
    shown = [e for e in page.tagged("image") if any(a.get("data-call") == "ctc" for a in e["in"])]
    merged, *grey = (decoded(e["href"]) for e in shown[:4])
    dna, ck, cd45 = grey
    middle = tuple(n // 2 for n in ck.shape[:2])
    assert ck[middle] > 100
    assert dna[middle] > 30
    assert cd45[middle] < 30
    assert ck[2, 2] < 30
    rim = merged[middle[0], middle[1] + 8].astype(int)
    blue, green, red = rim[:3]
    assert min(red, green) > blue + 50


@pytest.mark.oracle
def test_outlines_are_those_of_the_detected_cells(tmp_path):
    table = cases.frames(2)
    cells, calls = cases.cells_and_calls(table, n_cells=12, n_ctc=1)
    cases.images(tmp_path / "images", table, cells, calls)
    detect.detect(
        cases.DETECT_JOB,
        tmp_path,
        (1, 1),
        tmp_path / "frames.parquet",
        tmp_path / "cells.parquet",
        outlines_out=tmp_path / "outlines.parquet",
    )
    frames, cells = (store.read_table(tmp_path / f"{kind}.parquet", kind) for kind in ("frames", "cells"))
    given = {"call": "ctc", "p_ctc": 0.9, "cluster": pd.NA, "with_leukocyte": False, "at_border": False, "reason": ""}
    given |= unjudged(len(cells))
    calls = cells[["frame", "cell", "y_px", "x_px"]].assign(**given)
    found = (cells, calls.astype({"cluster": "Int64"}))
    page = cases.Page(cases.sample_page(tmp_path, table=frames, found=found, thumbnails=3, draw=False))
    first = next(e for e in page.tagged("path") if e.get("class") == "contour")
    points = np.array(re.findall(r"(-?[\d.]+) (-?[\d.]+)", first["d"]), float)
    cell = cells.sort_values(["frame", "cell"]).iloc[0]
    assert np.ptp(points[:, 1]) + 1 == cell["y1_px"] - cell["y0_px"]
    assert np.ptp(points[:, 0]) + 1 == cell["x1_px"] - cell["x0_px"]


# Numbers and axes
@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((0, "0"), (0.0004, "4.0 × 10⁻⁴"), (0.0312, "0.031"), (2.46, "2.5"), (9.97, "10"), (37.4, "37")),
        *((812, "812"), (1234, "1\u2009200"), (99_960_000, "1.0 × 10⁸"), (999_600, "1.0 × 10⁶")),
    ],
)
def test_amounts(value, text):
    assert amount(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((0, "0"), (1, "100"), (0.00003, "<\u202f0.01"), (0.0042, "0.42"), (0.031, "3.1"), (0.41, "41")),
        *((0.9931, "99.3"), (0.99951, ">\u202f99.9"), (0.0997, "10")),
    ],
)
def test_percentages(value, text):
    assert percent(value) == f"{text}\u202f%"


@pytest.mark.property
@pytest.mark.parametrize("linear_to", [None, 3.0])
def test_axis_keeps_order_and_reaches_its_ends(linear_to):
    axis = Axis(-5, 4000, 300, 10, linear_to)
    values = np.linspace(-5, 4000, 101)
    places = [axis(v) for v in values]
    assert places[0] == 300
    assert places[-1] == 10
    assert places == sorted(places, reverse=True)
    ticks = axis.ticks()
    assert 3 <= len(ticks) <= 9
    assert all(10 <= t.at <= 300 for t in ticks)
    assert "0" in [t.label for t in ticks]


@pytest.mark.property
@pytest.mark.parametrize("names", [("a", "b"), ("z", "b")])
def test_a_patients_page_begins_with_the_tube_of_the_day_that_has_most_ctcs(tmp_path, names):
    few, many = names
    draws = [
        cases.counts("S0", n_ctc=500, collected="2026-01-05"),
        cases.counts(
            few,
            n_ctc=0,
            collected="2026-02-09",
            ctc_per_7_5_ml={"estimate": 0.0, "low": 0.0, "high": 3.5, "level": 0.95},
        ),
        cases.counts(many, n_ctc=100, collected="2026-02-09"),
    ]
    section = cases.Page(cases.patient_page(tmp_path, draws)).section("count")
    assert "100 CTCs and" in section
    assert f"Another tube of that day: {few}, 0 CTCs seen in" in section
    assert f"The one with most CTCs per 7.5 mL, {many}, is shown here." in section
    assert "500" not in section
