"""From the page to the count: a person reviews a demonstration's sample, runs again, and sees both pages change."""

import csv
import io
import re
import shutil

import pytest

from tests.support import report_cases as cases
from tests.support.browser import opened
from tests.support.json_results import read_result

pytestmark = [pytest.mark.browser, pytest.mark.workflow]
SAMPLE, PATIENT = "P01_2", "P01"


@pytest.fixture(scope="module")
def own(demo, tmp_path_factory):
    """A copy of the demonstration's results, to change."""
    return shutil.copytree(demo.folder, tmp_path_factory.mktemp("review") / "run", symlinks=True)


def headline(browser, page):
    seen, heard = opened(browser, page)
    text = seen.locator("[data-key='ctc_per_7_5_ml.estimate']").first.inner_text()
    seen.close()
    assert heard == []
    return text


def exported(browser, page, folder, act):
    """Open a sample's page, let `act` review it, export, and return the file."""
    seen, heard = opened(browser, page)
    act(seen)
    seen.get_by_label("Reviewer").fill("AB")
    with seen.expect_download() as waiting:
        seen.get_by_role("button", name="Export the review").click()
    path = folder / waiting.value.suggested_filename
    folder.mkdir(exist_ok=True)
    waiting.value.save_as(path)
    assert seen.locator(".as-text").input_value() == path.read_text(encoding="utf-8")
    assert heard == []
    seen.close()
    return path


def test_review_by_keyboard_changes_the_count_and_the_patient(browser, own, snakemake):
    results = own / "results"
    page, patient = (
        results / kind / name / "report.html" for kind, name in (("samples", SAMPLE), ("patients", PATIENT))
    )
    others = {p: p.read_bytes() for p in sorted(results.glob("samples/*/counts.json")) if p.parent.name != SAMPLE}
    before = read_result(results / "samples" / SAMPLE / "counts.json", "counts")
    seen_before = headline(browser, page), headline(browser, patient)

    def reject_all_but_one(seen):
        cells = seen.locator(".gallery.single article")
        clusters = seen.locator("article[data-cluster]").count()
        for _ in range(clusters):
            seen.keyboard.press("j")
        seen.keyboard.press("j")
        seen.keyboard.press("c")
        seen.keyboard.press("4")
        for _ in range(cells.count() - 1):
            seen.keyboard.press("j")
            seen.keyboard.press("r")
        seen.keyboard.press("0")
        assert seen.locator(".gallery.single article.reviewed").count() == cells.count()
        assert seen.locator(".gallery.single article.rejected .verdict").first.inner_text() == "✗ rejected: debris"

    path = exported(browser, page, own / "reviews", reject_all_but_one)
    assert path.name == f"{SAMPLE}.AB.csv"
    again = snakemake(own, "--config", "reviews=reviews")
    assert again.code == 0, again.output
    after = read_result(results / "samples" / SAMPLE / "counts.json", "counts")
    assert (before["n_ctc"] > 1, after["n_ctc"], before["review"]) == (True, 1, None)
    assert after["review"]["n_changed"] >= before["n_ctc"] - 1
    assert {p: p.read_bytes() for p in others} == others
    assert "jobs" in again.output
    assert "rule detect" not in again.output
    assert again.output.count("rule count:") == 1
    assert all(
        one != two for one, two in zip(seen_before, (headline(browser, page), headline(browser, patient)), strict=True)
    )
    seen, heard = opened(browser, page)
    assert "reviewed by AB" in seen.inner_text("body")
    assert heard == []

    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace(text.splitlines()[1].split(",")[1], "0" * 64), encoding="utf-8")
    stopped = snakemake(own, "--config", "reviews=reviews")
    assert stopped.code == 2
    assert "a review of other calls (0000000000000000...)" in stopped.output
    planned = snakemake(own, "-n")
    assert re.search(r"^count +1$", planned.output, re.MULTILINE), (
        planned.output
    )  # without reviews the page is as before


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The page of a sample with six CTCs, two of them a cluster, and three doubtful cells."""
    return cases.sample_page(tmp_path_factory.mktemp("page"))


def test_review_by_mouse_and_what_the_page_remembers(browser, page):
    context = browser.new_context()
    seen = context.new_page()
    seen.goto(page.as_uri())
    status, text = seen.locator(".status"), seen.locator(".as-text")
    seen.get_by_role("button", name="Export the review").click()
    assert "Enter the reviewer" in status.inner_text()
    assert status.bounding_box()["y"] < seen.viewport_size["height"]
    assert seen.get_by_label("Reviewer").evaluate("e => e === document.activeElement")
    card = seen.locator("article[data-ask]:not([data-cluster])").nth(2)
    card.get_by_role("button", name="Reject").click()
    card.get_by_label("Note").fill('a fold, "no" cell')
    card.get_by_label("Score").select_option("1")
    assert status.inner_text() == "1 of 9 cells reviewed"
    assert text.input_value().splitlines()[1].endswith(',debris,1,,"a fold, ""no"" cell"')
    seen.reload()
    assert seen.locator("article.reviewed").count() == 1
    card = seen.locator("article[data-ask]:not([data-cluster])").nth(2)
    card.get_by_label("Call", exact=True).select_option("leukocyte")
    assert ",leukocyte,1," in text.input_value()
    card.get_by_label("Call", exact=True).select_option("")
    assert seen.locator("article.reviewed").count() == 0
    assert len(text.input_value().splitlines()) == 1
    context.close()


def test_a_cluster_is_reviewed_as_one(browser, page):
    seen, heard = opened(browser, page)
    card = seen.locator("article[data-cluster]").first
    rows = seen.locator(".as-text")
    card.get_by_role("button", name="Adjacent only").click()
    assert len(rows.input_value().splitlines()) == 3
    assert all(",ctc,,no," in row for row in rows.input_value().splitlines()[1:])
    card.get_by_role("button", name="Reject").click()
    assert all(",debris,,no," in row for row in rows.input_value().splitlines()[1:])
    assert heard == []


def test_typing_a_note_is_not_a_call_and_foreign_text_stays_text(browser, tmp_path):
    table = cases.frames(hostile=True)
    seen, heard = opened(browser, cases.sample_page(tmp_path, table=table))
    card = seen.locator(".gallery.single article[data-call=ctc]").first
    card.get_by_label("Note").press_sequentially("car 4")
    verdict = next(csv.DictReader(io.StringIO(seen.locator(".as-text").input_value(), newline="")))
    assert (verdict["frame"], verdict["call"], verdict["score"], verdict["note"]) == (cases.HOSTILE, "ctc", "", "car 4")
    assert heard == []
