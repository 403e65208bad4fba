"""First screens as a new reader sees them: what it is about, what the count means, how sure it is, what to look at."""

import itertools
import re

import pytest

from ctcascade.calling import classify
from ctcascade.calling.mitosis import OTHER_HALF
from ctcascade.data import store
from ctcascade.data.errors import listed
from ctcascade.data.results import Cascade, Counts
from ctcascade.report import follow_up_page, recovery_page, validation_page
from ctcascade.report.organ_risks import next_organ, organs
from ctcascade.report.words import GLOSSARY, notices_of, reason_words
from ctcascade.study.inherited import TakenOver
from tests.support import report_cases as cases
from tests.support.browser import opened
from tests.support.other_pages import compared, measured, run_of, written
from tests.support.validations import laboratory, validated

pytestmark = pytest.mark.browser
NOTICE = "Made-up images: no person"
WIDE = {"estimate": 61.0, "low": 9.0, "high": 191.0, "level": 0.95}
NONE_SEEN = {"estimate": 0.0, "low": 0.0, "high": 3.5, "level": 0.95}
KINDS = ("sample", "patient", "index", "follow-up", "recovery", "controls", "validation")
ODD = ("donor", "donor-sample", "failing-sample", "failing-patient", "failing-index")
EVERY = (*KINDS, *ODD)


def real_reasons(calls):
    """Give cells the reasons that classify gives."""
    reasons = {"ctc": "dna+ ck+ cd45- at_border", "uncertain": "dna+ ck+ cd45-; judge against: CD45"}
    calls["reason"] = calls["call"].map(reasons).fillna("ragged_nucleus with_leukocyte")
    judged = calls["call"].isin(["ctc", "uncertain"])
    calls.loc[judged, ["judge_reason", "judge_ln_ratio", "gates_p_ctc"]] = ["against: CD45", -2.5, 0.93]
    calls.loc[calls.index[-3:], "unlike"], calls.loc[calls.index[-3:], "unlike_rank"] = 5.0, [1, 2, 3]
    return calls


def failing_pages(folder):
    """Pages of a patient whose later sample fails a check; another check could not be made."""
    good, found = cases.quality, {"leukocyte_nucleus_ratio": (1.07, "fail"), "staining_index": (None, "not_measured")}

    def failing(sample):
        return good(sample, **(found if sample == "S2" else {}))

    told = TakenOver(base="cellsearch", factors=("background_per_7_5_ml", "recovery"), changed=("pixel_size_um",))
    draws = [cases.counts("S1", collected="2026-01-05"), cases.counts("S2", collected="2026-02-09", n_ctc=2000,
             ctc_per_7_5_ml={"estimate": 2700.0, "low": 2500.0, "high": 2900.0, "level": 0.95},
             reference_equivalent=None, why_no_reference=f"{told.told}, not of {listed(told.different)}")]  # fmt: skip
    road = cases.cascade(samples=["S1", "S2"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cases, "quality", failing)
        return {
            "failing-sample": cases.sample_page(folder / "failing-sample", {**draws[1]}),
            "failing-patient": cases.patient_page(folder / "failing", draws, road, cases.refused("withheld")),
            "failing-index": cases.cohort_page(folder / "failing-index", draws, [road], [cases.refused("withheld")]),
        }


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """One page of each kind: of samples with a notice, little blood, a donor, and a lung that a scan found free."""
    folder = tmp_path_factory.mktemp("shown")
    little = cases.counts("S1", n_ctc=6, ctc_per_7_5_ml=WIDE, blood_volume_ml=1.0, imaged_fraction=1.0, notice=NOTICE)
    none = {"ctc_per_7_5_ml": NONE_SEEN, "n_clusters": 0, "cluster_sizes": {}, "notice": NOTICE}
    donor = cases.counts("D1", "D", 0, **none)
    free = {"date": "2026-01-05", "modality": "CT", "n_lesions": 0, "organ": "lung", "use": "none was seen"}
    there = {**free, "organ": "liver", "n_lesions": 2}
    road = cases.cascade(samples=["S1"], findings=[free, there], known_metastatic=True)
    no_road = cases.cascade_not_applicable("D", ["D1"])
    outlooks = [cases.prognosis(kinetics=[]), cases.refused("not_applicable", "D")]
    table = cases.frames()
    cells, calls = cases.cells_and_calls(table)
    of_donor = folder / "donor-sample"
    cases.sample_page(of_donor, {**donor, "sample": "D1"})
    job = cases.about_sample(sample="D1").page.model_copy(update={"donor": True})
    compared(folder, *written(folder))
    found = measured(folder, ["H1"])
    assert found.notices == ()
    follow_up_page.report_follow_up(folder / "cohort.json", folder / "follow_up.html")
    recovery_page.report_recovery(folder / "found.json", folder / "recovery.html")
    counts, judged = run_of([1000, 0])
    failing = failing_pages(folder)
    validated(folder / "validation", *laboratory())
    validation_page.report_validation(folder / "validation" / "validation.json", folder / "validation" / "page.html")
    both = [cases.cascade("P1", ["S1", "S2"]), cases.cascade_not_applicable("D", ["C00", "C01"])]
    return {
        "sample": cases.sample_page(folder / "sample", little, table, (cells, real_reasons(calls))),
        "patient": cases.patient_page(folder / "patient", [little], road, outlooks[0]),
        "index": cases.cohort_page(folder / "cohort", [little, donor], [road, no_road], outlooks),
        "donor": cases.patient_page(folder / "donor", [donor], no_road, outlooks[1], patient="D", primary="none"),
        "donor-sample": cases.write_page(of_donor, job),
        "controls": cases.cohort_page(folder / "controls", counts, both, outlooks, judged),
        "follow-up": folder / "follow_up.html",
        "recovery": folder / "recovery.html",
        "validation": folder / "validation" / "page.html",
        **failing,
    }


@pytest.mark.parametrize("kind", ["sample", "patient", "index", "donor"])
def test_what_the_sheet_wants_said_first_is_said_first(browser, shown, kind):
    page, heard = opened(browser, shown[kind], 390)
    said = page.locator(".said-first")
    assert said.inner_text() == NOTICE
    assert said.bounding_box()["y"] < page.locator("h1").bounding_box()["y"]
    page.emulate_media(media="print")
    assert said.is_visible()
    assert heard == []


@pytest.mark.unit
def test_a_notice_of_some_samples_names_them(tmp_path):
    draws = [cases.counts("S1", collected="2026-01-05", notice=NOTICE), cases.counts("S2", collected="2026-02-09")]
    assert f"{NOTICE} (S1)" in cases.Page(cases.patient_page(tmp_path / "some", draws)).text
    both = [{**draw, "notice": NOTICE} for draw in draws]
    page = cases.Page(cases.patient_page(tmp_path / "all", both))
    assert page.text.count(NOTICE) == 1
    assert f"{NOTICE} (" not in page.text
    assert "said-first" not in [e.get("class") for e in cases.Page(cases.patient_page(tmp_path / "none")).elements]
    found = [type("C", (), {"sample": f"S{i}", "notice": "a" if i else None}) for i in range(9)]
    assert notices_of(found) == [("a", "S1, S2, S3, S4, S5, S6 and 2 more")]


@pytest.mark.unit
def test_a_notice_reaches_the_pages_beside_the_flow(tmp_path):
    rows, counts, prognoses = written(tmp_path, n=3)
    first = store.read_json(counts[0], Counts)
    store.write_json(counts[0], first.model_copy(update={"notice": "Pilot"}))
    assert [(n.reason, n.n) for n in compared(tmp_path, rows, counts, prognoses).notices] == [("Pilot", 1)]
    follow_up_page.report_follow_up(tmp_path / "cohort.json", tmp_path / "follow_up.html")
    assert "Pilot (1 of 3 patients)" in cases.Page(tmp_path / "follow_up.html").text
    store.write_json(tmp_path / "found.json", measured(tmp_path, ["H1"]).model_copy(update={"notices": (NOTICE,)}))
    recovery_page.report_recovery(tmp_path / "found.json", tmp_path / "recovery.html")
    page = cases.Page(tmp_path / "recovery.html")
    assert [e["text"] for e in page.elements if e.get("class") == "said-first"] == [NOTICE]


@pytest.mark.parametrize("kind", ["sample", "patient", "index"])
def test_good_images_and_little_blood_are_said_apart(browser, shown, kind):
    page, _ = opened(browser, shown[kind], 1280)
    text = page.locator("main").inner_text()
    assert "quality good" not in text
    assert "images: a warning" in text
    assert page.locator(".state.warn:visible", has_text="wide interval").count() > 0
    assert "1.0 mL" in text
    first = page.locator(".big, .answer, td.num").first.inner_text()
    assert first.startswith("9.0 to 191")  # the interval leads where it is wide


@pytest.mark.parametrize(
    ("bands", "named"),
    [
        ({"liver": (0.3, 0.2, 0.45), "lung": (0.05, 0.01, 0.1)}, "liver"),
        ({"liver": (0.3, 0.2, 0.45), "lung": (0.21, 0.01, 0.5)}, None),  # the lung's mean lies in the liver's band
        ({"liver": (0.2, 0.1, 0.45), "lung": (0.05, 1e-6, 0.3)}, None),  # the liver's mean lies in the lung's band
        ({"liver": (0.4, 0.0001, 0.86), "lung": (1e-5, 1e-6, 2e-5)}, None),  # the band spans the scale
        ({"liver": (0.3, 0.2, 0.45)}, "liver"),
    ],
)
@pytest.mark.unit
def test_an_organ_is_named_as_next_only_where_the_bands_tell_it(tmp_path, bands, named):
    road = cases.cascade(samples=["S1"])
    road["organs"] = [cases.organ(name, 0.1) for name in bands]
    for organ, (mean, low, high) in zip(road["organs"], bands.values(), strict=True):
        organ["p_metastasis"]["2"] = {"mean": mean, "low": low, "high": high}
    found = next_organ(organs(Cascade.model_validate(road)))
    assert (found and found[1].organ) == named
    page = cases.Page(cases.patient_page(tmp_path, [cases.counts()], road))
    tile = next(e["text"] for e in page.tagged("li") if "Organ" in e["text"])
    assert ("cannot be told" in tile) == (named is None)
    assert ("Organ most at risk" in tile) == (named is not None)
    assert "any organ" in tile or named


def test_a_donor_is_told_the_same_everywhere_in_one_colour(browser, shown):
    colours = set()
    for kind in ("donor", "donor-sample", "index"):
        page, _ = opened(browser, shown[kind], 1280)
        said = page.locator(".state:visible", has_text=re.compile("not above blank, as expected", re.I)).first
        colours.add(said.evaluate("e => getComputedStyle(e).color"))
        assert page.locator(".state.warn", has_text="blank").count() == 0
    assert len(colours) == 1
    page, _ = opened(browser, shown["donor"], 1280)
    assert page.locator(".big").inner_text() == "Not above blank"
    text = page.locator("main").inner_text()
    for word in ("Organ most at risk", "Published groups", "cut-off is used"):
        assert word not in text
    assert "not applicable, as there is no primary tumour" in text
    assert page.locator("#organs, #survival").count() == 0


@pytest.mark.unit
def test_one_sample_has_no_card_of_change(shown, tmp_path):
    one, two = cases.Page(shown["patient"]), cases.Page(cases.patient_page(tmp_path))
    for page, there in ((one, False), (two, True)):
        ids = {e.get("id") for e in page.elements}
        assert ("change" in ids) == there
        assert {e["href"][1:] for e in page.tagged("a") if e.get("href", "").startswith("#")} <= ids


@pytest.mark.unit
def test_a_scan_that_saw_nothing_is_seen_where_its_organ_is(shown):
    page = cases.Page(shown["patient"])
    assert "No lesion seen: lung (CT of 2026-01-05)" in page.section("organs")
    rows = [e["text"] for e in page.tagged("tr")]
    assert any(row.strip().startswith("lungnone seen: CT of 2026-01-05") for row in rows)
    assert any("known: 2 lesions, CT of 2026-01-05" in row for row in rows)


KEYS = re.compile(
    r"\b[a-z]+[0-9]*_[a-z0-9_]+\b|dna[+-]|\bck[+-]|cd45[+-]|\bjudge\b|likelihood ratio|\bgates\b|\\u[0-9a-f]{4}"
    r"|\\[a-z]|\binf\b|\bnan\b|\bNone\b(?!:)|\bTrue\b|\bFalse\b|undefined"
)


READ = """() => {
  document.querySelectorAll("code, kbd, pre, script, style, textarea").forEach(e => e.remove());
  document.querySelectorAll("section[aria-labelledby=provenance]").forEach(e => e.remove());
  document.querySelectorAll("details").forEach(d => { d.open = true; });
  const told = [...document.querySelectorAll("[aria-label]")].map(e => e.getAttribute("aria-label"));
  const drawn = [...document.querySelectorAll("svg text, svg title")].map(e => e.textContent);
  return [document.body.innerText, ...told, ...drawn].join("\\n");
}"""


@pytest.mark.parametrize("kind", EVERY)
def test_no_key_of_the_program_is_read_on_a_page(browser, shown, kind):
    page, _ = opened(browser, shown[kind], 1280)
    assert KEYS.findall(page.evaluate(READ)) == []


@pytest.mark.property
def test_every_reason_of_a_call_is_told_in_words():
    alone = [*classify._GATES.values(), *classify._MISSHAPEN, "fragment", "dye_aggregate", OTHER_HALF]
    stains = [" ".join(s) for s in itertools.product(("dna+",), ("ck+", "ck-"), ("cd45+", "cd45-"))]
    ends = ("", " with_leukocyte", " at_border", " noise_reference", "; judge for", " in doubt; judge for",
            "; judge against: CD45", "; judge against: cytokeratin with_leukocyte at_border")  # fmt: skip
    for reason, end in itertools.product([*alone, *stains], ends):
        said = reason_words(reason + end, {"ck": "EpCAM"})
        assert KEYS.findall(said) == [], (reason + end, said)
        assert len(said) > 4
    assert reason_words("dna+ ck+ cd45- at_border") == (
        "DNA present, CK present, CD45 absent, cut by the edge of its frame"
    )
    assert reason_words("cd45+") == "too much CD45"
    assert reason_words("a_new_reason") == "a new reason"


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("sample", "which checks|what the warning is about · the \\d+ cells to review"),
        ("patient", "the cells of S1 \\(6 CTCs, 2 uncertain\\)"),
        ("index", "cells in doubt: S1"),
        ("donor", "the cells of D1 \\(2 uncertain\\)"),
        ("recovery", "the levels"),
        ("follow-up", "predicted beside observed"),
    ],
)
def test_each_page_says_what_to_look_at_next_on_its_first_screen(browser, shown, kind, words):
    page, _ = opened(browser, shown[kind], 1440)
    steps = page.locator(".next-steps")
    assert re.search(words, steps.inner_text())
    box = steps.bounding_box()
    assert box["y"] + box["height"] < 700
    here = set(page.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)"))
    for link in steps.locator("a").all():
        target = link.get_attribute("href")
        assert not target.startswith("#") or target[1:] in here


@pytest.mark.parametrize("kind", KINDS)
def test_captions_and_words_fit_a_phone(browser, shown, kind):
    page, heard = opened(browser, shown[kind], 390)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    for caption in page.locator("caption:visible").all():
        box = caption.bounding_box()
        assert box["x"] + box["width"] <= 390, caption.inner_text()
    words = page.locator("#words ~ details dt")
    assert words.count() == len(GLOSSARY)
    assert heard == []


def test_levels_of_intervals_are_said_on_the_index(browser, shown):
    page, _ = opened(browser, shown["index"], 390)
    captions = page.locator("caption").all_inner_texts()
    assert all("95\u202f% interval" in caption for caption in captions)
    assert page.locator("#patients-table [data-key$='p_metastasis.2.high'], [data-key='p_any.2.high']").count() > 0


def test_the_strip_of_cells_unlike_the_others(browser, shown):
    page, heard = opened(browser, shown["sample"], 1280)
    heading = page.get_by_role("heading", name="Unlike the others")
    assert heading.is_visible()
    strip = page.get_by_role("region", name="Cells unlike the others")
    assert strip.locator("article").count() == 3
    assert "The 3 cells most unlike" in page.locator("#gallery ~ p, .soft").filter(has_text="most unlike").inner_text()
    card = strip.locator("article").first
    assert card.locator("image").count() > 0
    card.click(position={"x": 5, "y": 5})
    card.focus()
    page.keyboard.press("c")  # it can be reviewed
    assert "→ CTC" in strip.locator(".verdict").first.inner_text()
    assert heard == []


@pytest.mark.parametrize(("scheme", "width"), [("light", 390), ("dark", 1280)])
@pytest.mark.parametrize("kind", ["controls", "follow-up", "recovery", "donor", "index"])
def test_axe_finds_nothing_serious_on_any_page(browser, shown, kind, scheme, width):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    page, heard = opened(browser, shown[kind], width, scheme)
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    found = axe.Axe().run(page).response
    assert len(found["passes"]) > 15
    serious = [v for v in found["violations"] if v["impact"] in ("serious", "critical")]
    assert [(v["id"], v["nodes"][0]["html"][:200]) for v in serious] == []
    assert heard == []


def test_the_sample_page_is_in_the_order_of_use(browser, shown):
    page, _ = opened(browser, shown["sample"], 1280)
    ids = page.locator("h2[id]").evaluate_all("all => all.map(e => e.id)")
    wanted = ["count", "gallery", "quality", "slide", "plots", "frames", "rests-on", "provenance", "words"]
    assert [name for name in ids if name in wanted] == wanted
    quality = page.locator("section[aria-labelledby=quality]")
    assert quality.locator("table:visible").count() == 1  # what does not pass is open, what passes is folded
    assert "area that was lost" in quality.locator("table:visible").inner_text()
    quality.locator("summary").first.click()
    assert quality.locator("table:visible").count() == 3


@pytest.mark.parametrize("by", ["p_ctc", "ck_contrast", "equivalent_diameter_um"])
def test_cells_are_sorted_by_what_is_chosen(browser, shown, by):
    page, heard = opened(browser, shown["sample"], 1280)
    values = page.evaluate("JSON.parse(document.querySelector('[data-cells]').dataset.cells).values")[by]
    page.locator(".filters .sort").select_option(by)
    order = page.locator(".gallery.single article").evaluate_all("all => all.map(e => Number(e.dataset.number))")
    assert [values[n] for n in order] == sorted(values, reverse=True)
    assert heard == []


def test_too_little_blood_and_no_count_are_said_without_contradiction(browser, tmp_path):
    band = {"estimate": 0.0, "low": 0.0, "high": 43000.0, "level": 0.95}
    little = cases.counts(n_ctc=0, evidence="too_little_blood", ctc_per_7_5_ml=band, sampled_fraction=0.00087)
    page, _ = opened(browser, cases.patient_page(tmp_path / "little", [little]), 1280)
    tile = page.locator(".tiles li").first.inner_text()
    assert "fewer than 43\u2009000 per 7.5 mL" in tile
    assert "0.09\u202f% of 7.5 mL of blood" in tile
    assert "too little blood" in tile
    gone = cases.not_evaluable(reason="all frames end early")
    page, _ = opened(browser, cases.patient_page(tmp_path / "gone", [gone], cases.cascade_not_applicable()), 1280)
    tile = page.locator(".tiles li").first
    assert "not evaluable" in tile.inner_text()
    assert page.locator(".state.ok:visible").count() == 0  # no green light where nothing was seen
    assert "the count is" not in page.locator("main").inner_text()
    assert page.locator(".next-steps a").first.inner_text() == "why S1 has no count"
    withheld = cases.refused("withheld", reason="Every sample fails its checks.")
    page, _ = opened(browser, cases.patient_page(tmp_path / "withheld", prognosis_data=withheld), 1280)
    assert "withheld" in page.locator(".tiles li").last.inner_text()
    assert "Every sample fails its checks." in page.locator("section[aria-labelledby=survival]").inner_text()


def test_the_follow_up_figure_names_its_axes_and_marks(browser, shown):
    page, heard = opened(browser, shown["follow-up"], 1280)
    figure = page.locator("svg.survival")
    texts = figure.locator("text").all_text_contents()
    assert {"patients at risk", "share alive", "months from the first sample", "below 5 CTCs"} <= set(texts)
    assert figure.locator("path.censored").count() > 5
    assert figure.locator("circle.dot.hollow").count() > 0  # predicted
    rows = [e.bounding_box() for e in figure.locator("text", has_text="5 or more CTCs").all()]
    firsts = [e.bounding_box() for e in figure.locator("tspan, text").all() if (e.text_content() or "").isdigit()]
    here = [b for b in firsts if abs(b["y"] - rows[0]["y"]) < 3]
    assert min(b["x"] for b in here) > rows[0]["x"] + rows[0]["width"]  # a label does not run into its numbers
    assert heard == []


SIZES = """all => all.filter(e => e.getClientRects().length && e.textContent.trim()).map(e => {
  const m = e.getScreenCTM();
  return [parseFloat(getComputedStyle(e).fontSize) * Math.sqrt(Math.abs(m.a * m.d - m.b * m.c)), e.textContent];
}).filter(found => found[0] < 7.5)"""


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("kind", KINDS)
def test_text_in_drawings_can_be_read(browser, shown, kind, width):
    page, _ = opened(browser, shown[kind], width)
    assert page.locator("svg text").evaluate_all(SIZES) == []


@pytest.mark.parametrize("width", [390, 1024, 1440])
@pytest.mark.parametrize("kind", ["failing-index", "controls", "follow-up", "validation", "failing-patient"])
def test_a_table_that_is_cut_says_so(browser, shown, kind, width):
    page, _ = opened(browser, shown[kind], width)
    told = page.locator(".scroll").evaluate_all(
        "all => all.map(e => [e.scrollWidth - e.clientWidth > 4, getComputedStyle(e, '::before').content])"
    )
    assert told
    for cut, said in told:
        assert ("more to the right" in said) == cut
    page.locator(".scroll").evaluate_all(
        "all => all.forEach(e => { e.scrollLeft = e.scrollWidth; e.dispatchEvent(new Event('scroll')); })"
    )
    assert page.locator(".scroll[data-more]").count() == 0


def test_on_a_phone_the_state_stands_beside_the_count_without_scrolling(browser, shown):
    page, _ = opened(browser, shown["failing-index"], 390)
    row = page.locator("#samples-table tbody tr").nth(1)
    assert "size of leukocytes' nuclei: 1.07" in row.inner_text()
    state = row.locator(".samples-state").bounding_box()
    assert state["x"] + state["width"] <= 390


def test_what_was_not_measured_is_never_good(browser, shown):
    for kind in ("failing-sample", "failing-patient", "failing-index"):
        page, _ = opened(browser, shown[kind], 1280)
        text = page.locator("body").inner_text()
        assert text.count("checks fail") >= 1
    page, _ = opened(browser, shown["failing-sample"], 1280)
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    for name in ("CD45 stain of leukocytes", "background from frame to frame"):
        row = page.locator("#quality ~ * tr", has_text=name)
        assert row.locator(".state").get_attribute("class") == "state plain"
        assert "not measured" in row.inner_text()


def test_a_recovery_is_called_good_only_where_its_interval_is(browser, shown):
    page, _ = opened(browser, shown["recovery"], 1280)
    rows = page.locator("section[aria-labelledby=levels] table").first.locator("tbody tr")
    assert [rows.nth(i).locator(".state").all_text_contents() for i in range(4)] == [[], *[["○ cannot be told:"]] * 3]
