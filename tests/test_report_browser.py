"""The pages as Chromium shows them: no error under the policy, numbers as seen, phone width, print, foreign text."""

import json
import re
import shutil

import pytest
import report_cases as cases
from test_report import hostile_pages

pytestmark = pytest.mark.browser
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
PRINTED_PAGES = 6


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    draws = [
        cases.counts(f"S{i + 1}", n_ctc=n, collected=f"2026-0{i + 1}-05") for i, n in enumerate((12, 6, 90, 0, 3, 2))
    ]
    road = cases.cascade(
        samples=[d["sample"] for d in draws],
        evidence_ids=["parameters/half_life"],
        assumptions=["parameters/cell_density"],
    )
    donor = cases.counts("D1", "D", 0, "2026-01-01")
    roads = [road, cases.cascade_not_applicable("D", ["D1"])]
    outlooks = [cases.prognosis(), cases.refused("not_applicable", "D")]
    return {
        "sample": cases.sample_page(folder / "sample", draws[1]),
        "patient": cases.patient_page(folder / "patient", draws, road),
        "cohort": cases.cohort_page(folder / "cohort", [*draws, donor], roads, outlooks),
    }


def opened(browser, path, width=1280, scheme="light"):
    """Return a page and the list that its complaints and outside requests go to."""
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    heard = []
    page.on("console", lambda message: heard.append(message.text))
    page.on("pageerror", lambda error: heard.append(str(error)))
    page.on("dialog", lambda dialog: (heard.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.on("request", lambda r: None if r.url.startswith(("file:", "data:")) else heard.append(r.url))
    page.goto(path.as_uri())
    return page, heard


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("kind", ["sample", "patient", "cohort"])
def test_no_complaint_and_no_request(browser, files, kind, scheme):
    page, heard = opened(browser, files[kind], scheme=scheme)
    assert page.evaluate("document.documentElement.className") == "js"
    assert page.evaluate("[...document.images, ...document.querySelectorAll('image')].length") >= (kind == "sample")
    lightness = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)[0]"
    assert (page.evaluate(lightness) < 60) == (scheme == "dark")
    assert heard == []


@pytest.mark.parametrize("kind", ["sample", "patient", "cohort"])
def test_numbers_as_seen(browser, files, kind):
    page, _ = opened(browser, files[kind])
    seen = page.evaluate("[...document.querySelectorAll('[data-key]')].map(e => [e.textContent, e.dataset.value])")
    assert len(seen) > 20
    assert [pair for pair in seen if not cases.agrees(pair[0], json.loads(pair[1]))] == []
    headline = page.locator("[data-key='ctc_per_7_5_ml.estimate']").first
    assert headline.is_visible()


@pytest.mark.parametrize("width", [360, 768])
@pytest.mark.parametrize("kind", ["sample", "patient", "cohort"])
def test_nothing_sticks_out_on_a_phone(browser, files, kind, width):
    page, _ = opened(browser, files[kind], width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_first_screen_answers(browser, files):
    page, _ = opened(browser, files["patient"])
    for answer in page.locator(".tiles .answer").all():
        box = answer.bounding_box()
        assert box["y"] + box["height"] < 800
    assert page.locator("#unknown").bounding_box()["y"] < 800


def test_horizon_of_the_body_figure_can_be_chosen(browser, files):
    page, heard = opened(browser, files["patient"])
    shown = [page.locator(f".by-horizon .h{year}") for year in (1, 2, 5)]
    assert [figure.is_visible() for figure in shown] == [False, True, False]
    page.get_by_role("radio", name="5 years").check()
    assert [figure.is_visible() for figure in shown] == [False, False, True]
    assert heard == []


def test_tables_sort_and_filter(browser, files):
    page, heard = opened(browser, files["cohort"])
    first = page.locator("#samples-table tbody tr:first-child th")
    button = page.locator("#samples-table").get_by_role("button", name="CTCs seen")
    button.click()
    button.click()
    assert first.inner_text() == "S3"
    assert page.locator("#samples-table th[aria-sort=descending]").inner_text() == "CTCs seen"
    page.get_by_label("Filter the samples").fill("D1")
    assert page.locator("#samples-table tbody tr:visible").count() == 1
    assert page.locator("#samples-told").inner_text() == "1 of 7 rows"
    assert heard == []


def test_outlines_and_brightness(browser, files):
    page, heard = opened(browser, files["sample"])
    mark = page.locator(".cell .centre, .cell .contour").first
    assert mark.is_visible()
    page.locator("#outlines").uncheck()
    assert not mark.is_visible()
    page.locator("#contrast").fill("3")
    assert page.evaluate("getComputedStyle(document.querySelector('.views image')).filter") == "brightness(3)"
    assert heard == []


def test_index_is_whole_without_script(browser, files):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(files["cohort"].as_uri())
    assert page.locator("#samples-table tbody tr").count() == 7
    assert not page.locator(".tools").first.is_visible()
    context.close()


def test_foreign_text_runs_nothing(browser, tmp_path):
    for path in hostile_pages(tmp_path):
        page, heard = opened(browser, path, 360)
        assert heard == []
        assert page.locator("script").count() == 1
        assert page.locator("img").count() == 0
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        assert "<script>alert(1)</script>" in page.inner_text("body")


def test_a_script_that_slipped_in_would_not_run(browser, files, tmp_path):
    broken = tmp_path / "broken.html"
    text = files["patient"].read_text(encoding="utf-8")
    broken.write_text(text.replace("</main>", "<script>alert(1)</script></main>"), encoding="utf-8")
    page, heard = opened(browser, broken)
    page.wait_for_timeout(100)
    assert len(heard) == 1
    assert "Content Security Policy" in heard[0]


def test_print_of_a_patient_is_short_and_says_what_it_is(browser, files):
    page, _ = opened(browser, files["patient"])
    printed = page.pdf(prefer_css_page_size=True)
    assert 1 <= len(re.findall(rb"/Type\s*/Page\b", printed)) <= PRINTED_PAGES
    page.emulate_media(media="print")
    assert page.locator(".research").is_visible()
    assert not page.locator("nav").is_visible()
