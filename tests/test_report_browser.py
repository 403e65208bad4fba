"""The pages as Chromium shows them: no error under the policy, numbers as seen, phone width, print, foreign text."""

import json
import re

import pytest

from tests.support import many
from tests.support import report_cases as cases
from tests.support.browser import opened
from tests.support.pages import hostile_pages
from tests.support.slide_tables import REFERENCE, read_csv

pytestmark = pytest.mark.browser
PRINTED_PAGES = 6


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
        "sample": cases.sample_page(folder / "sample", draws[1], reference=REFERENCE),
        "patient": cases.patient_page(folder / "patient", draws, road),
        "cohort": cases.cohort_page(folder / "cohort", [*draws, donor], roads, outlooks),
    }


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
def test_nothing_overflows_on_a_phone(browser, files, kind, width):
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
    assert page.locator("#samples-status").inner_text() == "1 of 7 rows"
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


def shown_cells(page):
    return page.locator(".gallery.single article:visible").count()


def test_ranges_narrow_gallery_and_plots_alike(browser, files):
    page, heard = opened(browser, files["sample"])
    every = shown_cells(page)
    values = page.evaluate("JSON.parse(document.querySelector('[data-cells]').dataset.cells).values.ck_contrast")
    limit = sorted(values)[every // 2]
    page.get_by_label("CK above surroundings, counts, from").fill(str(limit))
    assert shown_cells(page) == sum(v >= limit for v in values) < every
    assert page.locator(".filters [role=status]").inner_text() == f"{shown_cells(page)} of {every} cells shown"
    assert page.locator(".scatter >> nth=0 >> a.pick:not(.dim)").count() == shown_cells(page)
    assert page.locator(".slide a.pick:not(.dim)").count() == shown_cells(page)
    assert page.locator("rect.brush").count() == 2  # both plots have CK as an axis
    page.get_by_role("checkbox", name="CTC").uncheck()
    assert page.locator(".gallery.single article[data-call=ctc]:visible").count() == 0
    page.locator(".narrowed button").click()
    assert shown_cells(page) == every
    assert not page.locator(".narrowed").is_visible()
    assert page.locator("rect.brush").count() == 0
    assert heard == []


def test_cells_framed_in_a_plot_are_those_of_the_gallery(browser, files):
    page, heard = opened(browser, files["sample"])
    plot = page.locator(".scatter").first
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    place = "e => { const b = e.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]; }"
    picks = [(*pick.evaluate(place), pick.get_attribute("href")) for pick in plot.locator("a.pick").all()]
    top = sorted(picks, key=lambda p: p[1])[0]
    left, right, upper, lower = top[0] - 14, top[0] + 14, top[1] - 14, top[1] + 14
    page.mouse.move(max(left, box["x"]), max(upper, box["y"]))
    page.mouse.down()
    page.mouse.move(right, lower, steps=4)
    page.mouse.up()
    assert plot.locator("rect.brush").count() == 1  # the frame stays
    inside = {h for x, y, h in picks if left < x < right and upper < y < lower}
    cards = "[...document.querySelectorAll('.gallery.single article')].map(e => '#' + e.id)"
    seen = set(page.evaluate(cards))
    assert 0 < len(seen) < len(picks)
    assert seen == inside
    said = plot.locator("xpath=..").locator(".within").inner_text()
    assert said.startswith(f"In the frame: {len(seen)} of {len(picks)} cells to review, and about 0 of ")
    assert "#" not in page.url
    hidden = next(h for _, _, h in picks if h not in seen)
    page.locator(f".slide a.pick[href='{hidden}']").click()
    assert page.locator(hidden).is_visible()
    assert heard == []


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    """A patient with a known bone lesion, thirty samples, and a curve from another sample than the latest."""
    folder = tmp_path_factory.mktemp("known")
    scan = {"date": "2024-01-05", "modality": "CT", "n_lesions": 2, "organ": "bone", "use": "there from this day on"}
    gone = {**scan, "organ": "lung", "n_lesions": 0}
    return many.patient_of(folder, 30, findings=[scan, gone], known_metastatic=True)


def test_the_headline_is_dated_and_what_is_known_is_no_risk(browser, known):
    page, heard = opened(browser, known, 1440)
    count, change, organs, groups = (tile.inner_text() for tile in page.locator(".tiles li").all())
    assert "drawn 2026-01-04" in count
    assert "2024-01-10 → 2024-02-04" in change
    assert "known: bone" in organs
    assert "which organ is next cannot be told: the bands overlap" in organs  # the liver's spans more than half
    assert "within 2 years of 2026-01-04" in organs
    assert "sample of 2024-01-10" in groups
    assert "not the latest" in groups
    risks = page.locator("table.risk tbody tr").all_inner_texts()
    assert risks[0].split() == ["bone", "known:", "2", "lesions,", "CT", "of", "2024-01-05"]
    assert not any(row.startswith("any of them") for row in risks)
    figure = page.locator(".by-horizon .h2")
    assert figure.locator("g.organ.known").count() == 1
    wide = [row for row in risks[1:] if row.startswith(("liver", "lung"))]
    assert len(wide) == 2
    assert figure.locator("g.hatched").count() == 1  # of the liver alone the band spans more than half of the scale
    plot = page.locator("#change ~ .scroll svg")
    assert plot.bounding_box()["width"] > 600
    assert plot.locator("circle.dot").count() == 27
    assert plot.locator("path.bad-dot").count() == 3
    assert plot.locator("line.cutoff").count() == 1
    assert len(page.locator("body").inner_text().split()) < 1700
    assert page.locator("#against").is_visible()
    page.goto(known.as_uri() + "#against")
    page.locator("#against ~ details[open]").wait_for()
    assert heard == []


@pytest.fixture(scope="module")
def triage(tmp_path_factory):
    """A sample's page of 150 candidates: 100 in the page, 50 in a file beside it."""
    return many.sample_of(tmp_path_factory.mktemp("triage"), 150)


def test_all_cells_are_there_those_in_doubt_first(browser, triage):
    page, heard = opened(browser, triage)
    called = ".gallery.single article"
    pages = [page.locator(called).evaluate_all("all => all.map(e => e.dataset.call)")]
    for _ in range(3):
        page.get_by_role("button", name="next page").click()
        page.locator(".pager .at", has_text=f"page {len(pages) + 1} of 4").wait_for()
        pages.append(page.locator(called).evaluate_all("all => all.map(e => e.dataset.call)"))
    assert [len(calls) for calls in pages] == [48, 48, 48, 6]
    calls = [call for shown in pages for call in shown]
    assert calls == ["uncertain"] * 25 + ["double_positive"] * 12 + ["ctc"] * 113
    assert page.get_by_role("button", name="next page").is_disabled()
    page.locator(".filters .which").select_option("doubt")
    status = page.locator(".filters [role=status]")
    doubtful = 25 + 12 + 13 + 1  # uncertain, double-positive, near a gate, and one more in a cluster
    assert status.inner_text() == f"{doubtful} of 150 cells shown"
    page.locator(".filters .frame").select_option(label="f001")
    inside = page.locator(called).evaluate_all("all => all.map(e => e.getAttribute('aria-label'))")
    assert len(inside) > 3
    assert all(name.endswith("of frame f001") for name in inside)
    assert page.locator(".scatter >> nth=0 >> a.pick.dim").count() == 150 - len(inside)
    page.keyboard.press("o")  # only those not reviewed
    assert page.locator(".filters .which").input_value() == "open"
    assert heard == []


def test_verdicts_are_seen_on_the_card_and_by_the_keyboard_alone(browser, triage):
    page, heard = opened(browser, triage)
    keys = {"a": ("accepted", "✓ accepted"), "r": ("rejected", "✗ rejected: debris"), "l": ("changed", "→ leukocyte")}
    page.keyboard.press("j")  # the cluster
    borders = set()
    for key, (kind, words) in keys.items():
        page.keyboard.press("j")
        page.keyboard.press(key)
        card = page.locator("article:focus")
        assert kind in card.get_attribute("class")
        assert card.locator(".verdict").inner_text() == words
        borders.add(card.evaluate("e => getComputedStyle(e).borderLeftColor"))
    assert len(borders) == 3
    assert page.locator(".near-misses article").count() == page.locator(".leukocytes article").count() == 10
    page.keyboard.press("x")  # no reviewer yet
    assert "Enter the reviewer" in page.locator(".status").inner_text()
    page.keyboard.type("AB")
    page.locator("h1").click()
    with page.expect_download() as caught:
        page.keyboard.press("x")
    assert len(caught.value.path().read_text(encoding="utf-8").splitlines()) == 4
    page.keyboard.press("e")
    assert page.locator("dialog .sliders input").count() == 3
    picture = page.locator("dialog .views image").first
    before = picture.get_attribute("href")
    page.get_by_label("Contrast of DNA").fill("4")
    assert picture.get_attribute("href") != before
    name = page.locator("dialog h3").inner_text()
    page.keyboard.press("j")
    assert page.locator("dialog h3").inner_text() != name
    page.keyboard.press("Escape")
    assert not page.locator("dialog").is_visible()
    assert heard == []


def test_a_sample_without_candidates_shows_what_came_close(browser, tmp_path):
    page, heard = opened(browser, many.sample_of(tmp_path, 0))
    assert "No cell was called CTC" in page.locator("#gallery ~ p").first.inner_text()
    assert not page.locator(".filters").is_visible()
    assert page.locator(".near-misses article").count() == 10
    page.keyboard.press("j")
    page.keyboard.press("c")
    assert page.locator(".near-misses article.changed .verdict").inner_text() == "→ CTC"
    assert "and 1 others" in page.locator(".status").inner_text()
    assert page.locator("#quality ~ div td", has_text="at most 10").first.inner_text() == "at most 10\u202f%"
    assert heard == []


def test_the_slide_has_a_scale_and_zooms(browser, triage):
    page, heard = opened(browser, triage)
    bar = page.locator(".slide-bar text")
    whole = float(bar.text_content().split()[0])
    mark = page.locator(".slide a.pick path").first
    size = mark.evaluate("e => e.getBoundingClientRect().width")
    for _ in range(6):
        page.get_by_role("button", name="zoom in").click()
    assert float(bar.text_content().split()[0]) < whole / 5
    assert mark.evaluate("e => e.getBoundingClientRect().width") == pytest.approx(size, rel=0.1)
    frames = page.locator(".slide rect.tile.ok").first
    assert frames.evaluate("e => getComputedStyle(e).stroke") != "none"
    assert heard == []


def test_a_mark_leads_to_its_cell_by_keyboard(browser, files):
    page, _ = opened(browser, files["sample"])
    pick = page.locator(".slide a.pick").first
    pick.focus()
    page.keyboard.press("Enter")
    target = pick.get_attribute("href")
    assert page.evaluate("location.hash") == target
    assert page.locator(f"{target}:target").is_visible()


def test_a_large_cohort_is_paged_linked_and_drawn(browser, tmp_path):
    page, heard = opened(browser, many.cohort_of(tmp_path, 60), 390)
    patients, samples = (page.locator(f"#{kind}-table") for kind in ("patients", "samples"))
    rows = "tbody tr:visible"
    assert (patients.locator(rows).count(), samples.locator(rows).count()) == (50, 50)
    box = patients.locator("tbody td.num").first.bounding_box()
    assert box["x"] + box["width"] < 390  # the count comes first, also on a phone
    page.get_by_role("button", name="next 50").first.click()
    assert patients.locator(rows).count() == 10
    page.get_by_label("Filter the patients").fill("P009")
    assert samples.locator(f"{rows} th").all_inner_texts() == ["P009_1", "P009_2", "P009_3"]
    assert "not above blank, as expected" in samples.locator(rows).first.inner_text()  # a donor
    assert samples.locator(f"{rows} .state.warn", has_text="blank").count() == 0
    page.get_by_label("Filter the patients").fill("")
    page.get_by_label("Filter the samples").fill("P012_2")
    assert patients.locator(f"{rows} th").all_inner_texts() == ["P012"]
    forest = samples.locator(f"{rows} svg.forest")
    assert forest.locator("circle").count() == forest.locator("path.cutoff").count() == 1
    assert forest.bounding_box()["width"] > 200
    spark = patients.locator(f"{rows} svg.spark")
    assert spark.locator("path.area").count() == 1
    assert spark.locator("text").count() == 2
    page.emulate_media(media="print")
    assert heard == []


def test_export_is_what_the_table_shows(browser, files):
    page, heard = opened(browser, files["cohort"])
    page.get_by_label("Filter the samples").fill("S")
    page.locator("#samples-table").get_by_role("button", name="CTCs seen").click()
    with page.expect_download() as caught:
        page.locator("button[data-exports=samples-table]").click()
    assert caught.value.suggested_filename == "samples.csv"
    rows = read_csv(caught.value.path().read_text(encoding="utf-8"))
    assert [row["sample"] for row in rows] == page.locator("#samples-table tbody tr:visible th").all_inner_texts()
    whole = read_csv((files["cohort"].parent / "cohort.csv").read_text(encoding="utf-8"))
    of = {row["sample"]: row for row in whole}
    assert [{k: of[row["sample"]][k] for k in row} for row in rows] == rows
    assert heard == []


@pytest.mark.parametrize(("scheme", "width"), [("light", 360), ("dark", 1280)])
@pytest.mark.parametrize("kind", ["sample", "patient", "cohort"])
def test_axe_finds_nothing_serious(browser, files, kind, scheme, width):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    page, _ = opened(browser, files[kind], width, scheme)
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    found = axe.Axe().run(page).response
    assert len(found["passes"]) > 20
    serious = [v for v in found["violations"] if v["impact"] in ("serious", "critical")]
    assert [(v["id"], v["nodes"][0]["html"][:200]) for v in serious] == []


def test_the_index_is_complete_without_script(browser, files):
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


def test_an_injected_script_would_not_run(browser, files, tmp_path):
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


@pytest.fixture(scope="module")
def largest(tmp_path_factory):
    """A sample's page with a hundred candidates in itself, and clusters."""
    table = cases.frames(12)
    cells, calls = cases.cells_and_calls(table, n_cells=40, n_ctc=110)
    ctcs = calls.index[calls["call"] == "ctc"]
    for number, start in enumerate(range(2, 60, 3), start=2):
        calls.loc[ctcs[start : start + 3], "cluster"] = number
    calls["cluster"] = calls["cluster"].where(calls.groupby("cluster")["frame"].transform("nunique") == 1)
    return cases.sample_page(tmp_path_factory.mktemp("largest"), table=table, found=(cells, calls))


def test_sizes_and_first_paint(browser, files, largest):
    limits = {files["patient"]: 3e6, files["cohort"]: 3e6, largest: 8e6}
    for path, limit in limits.items():
        assert path.stat().st_size < limit
        paints = []
        for _ in range(2):  # the better of two: others may be at work on the machine
            page, heard = opened(browser, path)
            # asked for in turns: Playwright's own waiting evaluates text in the page, which the page's policy forbids
            while not (paint := page.evaluate("performance.getEntriesByName('first-contentful-paint')[0]?.startTime")):
                page.wait_for_timeout(20)
            paints.append(paint)
            assert heard == []
        assert min(paints) < 1000, path.parent.name
    assert page.locator(".pager .at").inner_text() == "page 1 of 3"


def test_print_names_what_is_folded_away(browser, files):
    for kind in ("patient", "sample", "cohort"):
        page, _ = opened(browser, files[kind])
        folded = page.locator("details:not([open])")
        names = page.locator("details > summary").all_inner_texts()
        page.emulate_media(media="print")
        shown = [summary for summary in page.locator("details > summary").all() if summary.is_visible()]
        reviewing = page.locator(".review-panel details").count()
        assert folded.count() == len(names)
        assert len(shown) == len(names) - reviewing, kind
