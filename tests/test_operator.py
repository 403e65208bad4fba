"""The operator's calls compared with the pipeline's: matched by place, counted, shown on the sample's page."""

import math
import shutil

import numpy as np
import pandas as pd
import pytest

from ctcascade import formats
from ctcascade.counting.operator import compare, compare_events, compare_with_operator
from ctcascade.data import store
from ctcascade.data.results import Operator
from ctcascade.formats import Event
from ctcascade.formats.listing import list_frames
from ctcascade.images.crops import crops
from ctcascade.report.sample_page import report_sample
from ctcascade.study.jobs import OperatorJob
from ctcascade.validation import phantom
from tests.support import report_cases, tiff_bytes
from tests.support.calling import assay, called
from tests.support.cellsearch import export, record
from tests.support.detecting import camera_of

pytestmark = pytest.mark.unit

PIXEL = {"a": 0.5, "b": 0.5}
CALLS = pd.DataFrame(
    [
        ("a", 1, 10.0, 10.0, "ctc"),
        ("a", 2, 50.0, 50.0, "ctc"),
        ("a", 3, 90.0, 10.0, "leukocyte"),
        ("b", 1, 10.0, 10.0, "ctc"),
        ("b", 2, 80.0, 80.0, "uncertain"),
    ],
    columns=["frame", "cell", "y_px", "x_px", "call"],
)


def test_events_are_counted_by_who_called_them():
    events = [
        Event("a", 12, 10, True),  # called by both
        Event("a", 50, 56, False),  # called by the pipeline only
        Event("a", 90, 10, True),  # a leukocyte to the pipeline
        Event("a", 10, 31, True),  # 10.5 um from the nearest cell: no cell there
        Event("b", 80, 80, False),  # uncertain is not called
        Event("c", 10, 10, True),  # a frame that was not analysed
    ]
    found = compare(events, CALLS, PIXEL, 10.0, 0.95)
    assert (found.n_events, found.n_elsewhere) == (5, 1)
    assert (found.both, found.operator_only, found.ours_only, found.neither) == (1, 2, 1, 1)
    assert found.ours_without_event == 1
    assert [(row.frame, row.operator, row.call, row.cell) for row in found.differing] == [
        ("a", False, "ctc", 2),
        ("a", True, "leukocyte", 3),
        ("a", True, None, None),
    ]


@pytest.mark.oracle
def test_agreement_and_kappa_are_those_of_the_four_numbers():
    """40 cells by Cohen's formula, written out for two words."""
    calls = pd.DataFrame(
        {
            "frame": "a",
            "cell": range(1, 41),
            "y_px": np.arange(40) * 100.0,
            "x_px": 5.0,
            "call": ["ctc"] * 15 + ["leukocyte"] * 25,
        }
    )
    operator = [True] * 12 + [False] * 3 + [True] * 5 + [False] * 20
    found = compare([Event("a", 100.0 * k, 5.0, is_ctc) for k, is_ctc in enumerate(operator)], calls, PIXEL, 10.0, 0.95)
    both, alone, ours, neither = 12, 5, 3, 20
    assert (found.both, found.operator_only, found.ours_only, found.neither) == (both, alone, ours, neither)
    observed = (both + neither) / 40
    chance = (both + alone) / 40 * (both + ours) / 40 + (ours + neither) / 40 * (alone + neither) / 40
    assert found.agreement.agreement == pytest.approx(observed)
    assert found.agreement.kappa == pytest.approx((observed - chance) / (1 - chance))
    assert found.agreement.low < found.agreement.kappa < found.agreement.high


def test_no_event_is_no_agreement():
    found = compare([], CALLS, PIXEL, 10.0, 0.95)
    assert (found.n_events, found.ours_without_event, found.agreement) == (0, 3, None)


@pytest.fixture(scope="module")
def cartridge(tmp_path_factory):
    """Phantom frames as a cartridge of two rows, its events at every true CTC and leukocyte; truth; tables."""
    folder = tmp_path_factory.mktemp("cartridge")
    slide = phantom.Slide(4, (400, 500), recipe=phantom.Recipe(leukocytes=60, ctcs=16))
    truth = phantom.write_slide(folder / "as_ome", slide, seed=11)
    images = folder / "C7"
    images.mkdir()
    of = assay("cellsearch")
    own = camera_of(of)
    names = sorted(truth["frame"].unique())
    for name in names:
        ref = formats.FrameRef(name, name, (folder / "as_ome" / f"{name}.ome.tif",), 0, "ome-tiff")
        frame = formats.read(ref, own)
        plane = dict(zip(frame.roles, frame.pixels, strict=True))
        pages = []
        for role in ("dna", "fitc", "ck", "cd45"):
            low, high = int(plane[role].min()), int(plane[role].max())
            eight = np.round((plane[role] - low) / (high - low) * 255).astype(np.uint8)
            pages.append(tiff_bytes.Page(eight, tags=[(754, 3, [1]), (755, 3, [low]), (756, 3, [high])]))
        tiff_bytes.write(images / f"C7_{names.index(name) + 1:03d}.tif", pages)
    events = []
    for n, row in enumerate(truth.to_dict("records")):
        number = names.index(row["frame"]) + 1
        down, across = divmod(number - 1, 2)
        across = 1 - across if down else across
        corner = (across * 500 + round(row["x_px"]) - 8, down * 400 + round(row["y_px"]) - 8)
        is_ctc = row["kind"] in phantom.CTC_KINDS
        events.append(record(n, number, corner, (16, 16), str(is_ctc).lower()))
    (images / "C7.xml").write_text(export(*events, columns=2))
    _, calls = called(folder, images, of)
    frames = pd.read_parquet(folder / "frames.parquet")
    return folder, truth, list_frames(["C7"], folder, "auto", own), frames, calls


def test_a_cartridge_goes_through_detection_to_an_agreement(cartridge):
    """Eight bits cost no CTC here, and the true places come back through the stitched grid."""
    _, truth, listed, frames, calls = cartridge
    assert listed.format == "cellsearch"
    assert frames["usable"].all()
    found, problem = compare_events(listed, calls, frames, 10.0, 0.95)
    n_ctc = int(truth["kind"].isin(phantom.CTC_KINDS).sum())
    assert problem == ""
    assert found.n_events == len(truth)
    assert found.both >= 0.9 * n_ctc
    assert found.ours_only + found.ours_without_event <= 1
    assert found.agreement.kappa > 0.85
    assert found.both + found.ours_only + found.ours_without_event == (calls["call"] == "ctc").sum()


def test_events_that_cannot_be_placed_are_named_and_cost_no_result(cartridge, tmp_path):
    _, _, listed, frames, calls = cartridge
    path = tmp_path / "C7.xml"
    path.write_text(export(record(1, 1, (9000, 12))))
    moved = type(listed)(listed.frames, (), "cellsearch", "", (), ((0, path),))
    found, problem = compare_events(moved, calls, frames, 10.0, 0.95)
    assert found is None
    assert "expected a location inside frame 1" in problem
    path.write_text(export())
    assert compare_events(moved, calls, frames, 10.0, 0.95) == (None, "no event in it is of a frame that was analysed")
    no_events = type(listed)(listed.frames, (), "ome-tiff", "")
    assert compare_events(no_events, calls, frames, 10.0, 0.95) == (None, "")


def job_of(images):
    """The job that compares the operator's calls in a folder of images."""
    about = {"sample": "S1", "images": [images], "format": "auto", "assay": camera_of(assay("cellsearch"))}
    return OperatorJob.model_validate({**about, "level": 0.95})


@pytest.fixture(scope="module")
def compared(cartridge):
    """The cartridge's operator.json, as the stage writes it."""
    folder = cartridge[0]
    job = job_of("C7")
    compare_with_operator(job, folder, folder / "frames.parquet", folder / "calls.parquet", folder / "operator.json")
    return folder / "operator.json"


def test_the_result_holds_the_comparison_and_no_path_of_the_machine(cartridge, compared):
    folder, _, listed, frames, calls = cartridge
    found, _ = compare_events(listed, calls, frames, 10.0, 0.95)
    result = store.read_json(compared, Operator)
    assert (result.sample, result.status, result.reason) == ("S1", "ok", "")
    assert result.compared == found
    assert result.compared.agreement.n_cells == found.n_events
    assert sorted(result.provenance.inputs) == ["calls", "events_0", "frames"]
    assert str(folder) not in compared.read_text()


def test_the_page_of_a_cartridge_shows_the_agreement(cartridge, compared):
    folder, _, listed, frames, calls = cartridge
    found, _ = compare_events(listed, calls, frames, 10.0, 0.95)
    write = report_cases.write
    results = (
        write(folder / "counts.json", "counts", report_cases.counts()),
        write(folder / "quality.json", "quality", report_cases.quality()),
    )
    made_by = store.table_provenance(folder / "cells.parquet")
    cells = store.read_table(folder / "cells.parquet", "cells")
    report_cases.outlines_table(folder / "outlines.parquet", cells, made_by)
    tables = [folder / f"{kind}.parquet" for kind in ("frames", "cells", "calls", "outlines", "crops")]
    about = report_cases.about_sample(assay("cellsearch"), "C7", thumbnails=3)
    crops(about.crops, folder, *tables)
    report_sample(about.page, *tables[:3], tables[4], *results, compared, folder / "report.html")
    html = (folder / "report.html").read_text()
    assert "Calls of the scanner's operator" in html
    assert "their centres lie within 10 µm" in html
    assert f"kappa {found.agreement.kappa:.2f}" in html
    assert f'<th scope="row">operator: CTC</th><td class="num">{found.both}</td>' in html
    assert "cellsearch: TIFF pages with stretch limits, events in C7.xml" in html
    assert str(folder) not in html


@pytest.mark.parametrize(("events", "status"), [(False, "no_events"), (True, "not_comparable")])
def test_without_events_to_compare_the_result_says_so(cartridge, tmp_path, events, status):
    folder = cartridge[0]
    images = tmp_path / "C7"
    shutil.copytree(folder / "C7", images)
    (images / "C7.xml").unlink()
    if events:
        (images / "C7.xml").write_text(export(record(1, 1, (9000, 12))))
    job = job_of("C7")
    out = tmp_path / "operator.json"
    compare_with_operator(job, tmp_path, folder / "frames.parquet", folder / "calls.parquet", out)
    result = store.read_json(out, Operator)
    assert (result.status, result.compared) == (status, None)
    assert bool(result.reason) == bool(events)


def test_wilson_keeps_a_width_where_all_agree():
    calls = CALLS.iloc[[0, 2]]
    found = compare([Event("a", 10, 10, True), Event("a", 90, 10, False)], calls, PIXEL, 10.0, 0.95)
    assert found.agreement.kappa == pytest.approx(1)
    assert found.agreement.low < 0.5
    assert math.isclose(found.agreement.high, 1, abs_tol=1e-9)
