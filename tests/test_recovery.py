"""The in-silico spike-in: what is pasted is known, and the results are compared with a calculation by hand."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import tifffile
import yaml
from scipy import stats

from ctcascade import evidence
from ctcascade.data import store
from ctcascade.data.errors import InputError
from ctcascade.data.results import Recovery, RecoveryLevel
from ctcascade.evidence.tables import READ_BY
from ctcascade.report import recovery_page
from ctcascade.report.numbers import Traced
from ctcascade.study import jobs
from ctcascade.study.jobs import SpikeJob
from ctcascade.validation import phantom, recovery, spike_in
from tests.support import report_cases as cases
from tests.support.other_pages import ASSAY, measured
from tests.support.sheets import PATIENT, ROOT, SAMPLE, only_fault, read

pytestmark = pytest.mark.unit

CAMERA = {"name": "cellsearch", "channels": ASSAY["channels"], "files": None, "pixel_size_um": 0.645, "bit_depth": 12}
SETTINGS = {
    "assay": {**CAMERA, "frame_px": [300, 300]},
    "samples": [],
    "detect": {
        "segmenter": "classical",
        "nucleus_diameter_um": [3.5, 60],
        "lobed_nucleus_um2": 60.0,
        "cell_margin_um": 4.0,
    },
    "levels": [0, 3, 9, 40],
    "frames": 2,
    "ctc_diameter_um": 12,
    "ck": 0.25,
    "weak_ck": 0.2,
    "random_seed": 7,
}


def spiked(out, base=ROOT, **changes):
    spike_in.spike(SpikeJob.model_validate({**SETTINGS, **changes}), base, out / "images", out / "spiked")
    return store.read_table(out / "spiked", "spiked")


@pytest.fixture(scope="module")
def donor(tmp_path_factory):
    """Frames of a sample without CTCs, the second of four broken."""
    base = tmp_path_factory.mktemp("donor")
    slide = phantom.Slide(4, (300, 300), recipe=phantom.Recipe(leukocytes=30))
    phantom.write_slide(base / "slide", slide, seed=1)
    (base / "slide" / "f002.ome.tif").write_bytes(b"II*\0")
    sample = {"sample": "H1", "images": "slide", "format": "auto", "blood_volume_ml": 8.0, "sampled_fraction": 0.5}
    return base, [sample]


def test_what_is_pasted_is_known(tmp_path, donor):
    base, samples = donor
    table = spiked(tmp_path, base, samples=samples)
    pasted = table[table["y_px"].notna()]
    assert pasted.groupby("level").size().to_dict() == {1: 3, 2: 9, 3: 40}
    assert table[table["level"] == 0]["y_px"].isna().all()
    # the first and the third, evenly; a broken one would be replaced
    assert set(table["source"]) == {"H1/f001", "H1/f003"}
    assert set(table["blood_ml"]) == {1.0}  # 8 mL, half of it imaged, on four frames
    assert pasted.groupby(["level", "frame"]).size().max() <= 24
    for _, here in pasted.groupby(["level", "frame"]):
        place = here[["y_px", "x_px"]].to_numpy(float) * 0.645
        gaps = np.linalg.norm(place[:, None] - place[None], axis=2) + 1e9 * np.eye(len(here))
        assert gaps.min() > 14
        assert place.min() > 5
        assert place.max() < 300 * 0.645 - 5


@pytest.mark.property
def test_frames_without_ctcs_are_the_sources_and_others_are_brighter_where_one_lies(tmp_path, donor):
    base, samples = donor
    table = spiked(tmp_path, base, samples=samples)

    def planes(path, names=("DAPI", "CK-PE", "CD45-APC", "FITC")):
        with tifffile.TiffFile(path) as tif:
            found = [c.split('"')[0] for c in tif.ome_metadata.split('Name="')[1:]]
            return tif.asarray()[[found.index(n) for n in names]].astype(int)

    before = planes(base / "slide" / "f001.ome.tif")
    names = [ASSAY["channels"][role][0] for role in ("dna", "ck", "cd45", "fitc")]
    assert np.array_equal(planes(tmp_path / "images" / "level_0" / "f0001.ome.tif", names), before)
    added = planes(tmp_path / "images" / "level_3" / "f0001.ome.tif", names) - before
    here = table[(table["level"] == 3) & (table["frame"] == "f0001")]
    y, x = (here[name].round().astype(int) for name in ("y_px", "x_px"))
    assert (added[0, y, x] > 200).all()
    assert (added[1, y, x] > 50).all()
    assert np.abs(added[2]).max() < 80  # bleed of the next channel, no CD45
    far = np.ones(before.shape[1:], bool)
    for cy, cx in zip(y, x, strict=True):
        far[max(0, cy - 40) : cy + 40, max(0, cx - 40) : cx + 40] = False
    assert not added[:, far].any()


@pytest.mark.slow
@pytest.mark.property
def test_equal_seed_equal_bytes_and_levels_may_repeat(tmp_path):
    tables = [spiked(tmp_path / str(k), levels=[0, 2, 2, 5], random_seed=seed) for k, seed in enumerate((1, 1, 2))]
    pd.testing.assert_frame_equal(tables[0], tables[1])
    assert not tables[0].equals(tables[2])
    assert set(tables[0]["source"]) == {"phantom/1", "phantom/2"}
    assert tables[0]["blood_ml"].isna().all()
    places = [tables[0][tables[0]["level"] == k]["y_px"].dropna().tolist() for k in (1, 2)]
    assert places[0] != places[1]
    files = [sorted((tmp_path / k / "images").rglob("*.tif")) for k in ("0", "1")]
    assert [f.read_bytes() for f in files[0]] == [f.read_bytes() for f in files[1]]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"frames": 4}, "H1.*found 3 frames that can be read; expected 4; lower recovery.frames"),
        ({"ctc_diameter_um": 35, "levels": [0, 3, 9, 48]}, "found room for .* CTCs; expected room .*; give more"),
    ],
)  # fmt: skip
def test_too_few_frames_to_paste_into_are_reported(tmp_path, donor, changes, said):
    with pytest.raises(InputError, match=said):
        spiked(tmp_path, donor[0], samples=donor[1], **changes)


@pytest.mark.oracle
def test_levels_sensitivity_and_background_agree_with_a_calculation_by_hand(tmp_path):
    found = measured(tmp_path, ["H1"])
    kept = [[level.expected, level.observed, level.found, level.false] for level in found.levels]
    assert kept == [[0, 1, 0, 1], [2, 2, 2, 0], [5, 6, 5, 1], [20, 18, 18, 0]]
    assert [level.recovery and level.recovery.estimate for level in found.levels] == [None, 1.0, 1.0, 0.9]
    assert [level.published for level in found.levels] == [None, "at least", "at least", "at least"]
    low, high = stats.beta(18.5, 2.5).ppf([0.025, 0.975])
    assert [found.levels[3].recovery.low, found.levels[3].recovery.high] == pytest.approx([low, high])
    posterior = stats.beta(25.5, 2.5)
    assert found.sensitivity.mean == pytest.approx(25.5 / 28)
    assert found.sensitivity.low == pytest.approx(posterior.ppf(0.025))
    assert "25 of 27" in found.sensitivity.source
    # one false call in 6 mL of blood, 0.8 of the reference volume
    background = stats.gamma(1.5, scale=1 / 0.8)
    assert found.background_per_7_5_ml.mean == pytest.approx(1.5 / 0.8)
    assert found.background_per_7_5_ml.high == pytest.approx(background.ppf(0.975))
    assert found.published.least_recovery == 0.85
    assert found.published.identifier == "PMID 15501967"


def test_levels_that_repeat_are_judged_by_their_mean():
    """Four levels: 8 of 10 and 10 of 10 reach 0.85 in the mean, 5 of 8 does not; without CTCs there is no verdict."""

    def level(expected, found):
        share = recovery._share(found, expected) if expected else None
        none = {"mean_recovery": None, "published": None}
        return RecoveryLevel(
            expected=expected, observed=found, found=found, false=0, n_frames=1, recovery=share, **none
        )

    judged = recovery._beside_published([level(0, 0), level(10, 8), level(10, 10), level(8, 5)], 0.85)
    assert [each.mean_recovery for each in judged] == [None, pytest.approx(0.9), pytest.approx(0.9), 0.625]
    assert [each.published for each in judged] == [None, "at least", "at least", "below"]


def test_the_result_rests_on_the_tables_that_it_reads(tmp_path):
    found = measured(tmp_path, ["H1"])
    assert found.provenance.evidence == evidence.evidence_hash(READ_BY["recovery"])


def spiked_and_found(rng):
    """Cells added, and cells found that rise with them by 0.9 from 2, with Poisson-like noise."""
    x = np.array([0, 5, 15, 50, 150, 500, 1142.0])
    return x, 2 + 0.9 * x + rng.normal(0, 0.3 * np.sqrt(np.maximum(x, 1)))


@pytest.mark.oracle
def test_the_line_is_that_of_numpy():
    x, y = spiked_and_found(np.random.default_rng(3))
    line, start, r2 = recovery.line(x, y)
    (slope, intercept), cov = np.polyfit(x, y, 1, w=1 / np.sqrt(np.maximum(x, 1)), cov=True)
    assert line.estimate == pytest.approx(slope, rel=1e-12)
    assert start.estimate == pytest.approx(intercept, rel=1e-11)
    assert line.high - slope == pytest.approx(stats.t.ppf(0.975, 5) * np.sqrt(cov[0, 0]), rel=1e-11)
    assert r2.estimate == pytest.approx(np.corrcoef(x, y)[0, 1] ** 2)
    assert r2.low < r2.estimate < r2.high < 1


@pytest.mark.oracle
def test_the_limits_of_the_line_cover():
    rng = np.random.default_rng(3)
    covered, each = np.zeros(2), 400
    for _ in range(each):
        slope, intercept, _ = recovery.line(*spiked_and_found(rng))
        covered += [slope.low <= 0.9 <= slope.high, intercept.low <= 2.0 <= intercept.high]
    assert covered / each == pytest.approx([0.95, 0.95], abs=0.033)


@pytest.mark.property
def test_phantom_frames_say_nothing_of_the_background(tmp_path):
    found = measured(tmp_path)
    assert found.background_per_7_5_ml is None
    assert "phantom frames are no blood" in found.why_no_background
    written = yaml.safe_load((tmp_path / "bench_spiked.yaml").read_text(encoding="utf-8"))
    assert written == {**ASSAY, "sensitivity": found.sensitivity.model_dump()}


def test_the_assay_that_is_written_can_be_used_as_it_is(folder):
    found = measured(folder, ["H1"])
    shutil.copytree(ROOT / "config" / "assays", folder / "assays")
    shutil.copy(folder / "bench_spiked.yaml", folder / "assays")
    study = read([{**SAMPLE, "assay": "bench_spiked"}], assays=str(folder / "assays"))
    used = jobs.count_job(study, "S1").as_json()["assay"]
    assert used["sensitivity"] == found.sensitivity.model_dump()
    assert used["background_per_7_5_ml"] == found.background_per_7_5_ml.model_dump()
    assert used["recovery"] == ASSAY["recovery"]


def test_the_page_says_what_it_measures_and_shows_its_numbers(tmp_path):
    found = measured(tmp_path, ["H1"])
    recovery_page.report_recovery(tmp_path / "found.json", tmp_path / "page.html")
    page = cases.Page(tmp_path / "page.html")
    title = "In-silico spike-in: how CTCs are found and called, not how the tube captures them"
    assert [e["text"] for e in page.tagged("h1")] == [title]
    assert title in page.tagged("title")[0]["text"]
    assert "Allard" in page.text
    assert "PMID 15501967" in page.text
    assert "least squares, limits by Student's t; weights 1 / max(expected, 1)" in page.text
    for e in page.numbers():
        assert json.loads(e["data-value"]) == Traced("recovery", found).get(e["data-key"])
    assert {"regression.slope.estimate", "levels.3.recovery.low", "sensitivity.mean"} <= {
        e["data-key"] for e in page.numbers()
    }
    assert "at least" in page.text
    assert "cannot be told" in page.text  # few slides: the interval holds the limit


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"levels": [0, 5, -1, 50]}, "levels: found -1; expected a whole number of CTCs from 0 to 100000"),
        ({"levels": [0, 5, 7.5, 50]}, "levels: found 7.5; expected a whole number of CTCs"),
        ({"levels": [0, 5, 50, 1e9]}, "levels: found 1000000000.0; expected a whole number of CTCs from 0 to 100000"),
        ({"levels": [0, 5, 50]}, "levels: found [0, 5, 50]; expected four numbers of CTCs or more"),
        ({"levels": [0, 0, 5, 5]}, "levels: found 2 different numbers; expected three or more"),
        ({"ck": 0}, "ck: found 0; expected a share of the camera's range"),
        ({"frames": 0}, "frames: found 0; expected a whole number of frames"),
        ({"weak_ck": 1.1}, "weak_ck: found 1.1; expected a share from 0 to 1"),
    ],
)
def test_an_impossible_spike_in_is_refused(folder, given, said):
    assert said in only_fault([SAMPLE], recovery=given)


def test_healthy_samples_of_an_assay_are_what_is_pasted_into(folder):
    donor = {"patient": "D", "primary": "none", "setting": "none", "sex": "male"}
    healthy = {"sample": "H1", "patient": "D", "role": "healthy", "sampled_fraction": "0.5", "notice": "Pilot"}
    study = read([SAMPLE, {**SAMPLE, **healthy}], [PATIENT, donor])
    assert jobs.recovery_job(study, SAMPLE["assay"]).notices == ("Pilot",)
    assert jobs.count_job(study, "H1").notice == "Pilot"
    found = jobs.spike_job(study, SAMPLE["assay"])
    assert [s.sample for s in found.samples] == ["H1"]
    assert found.samples[0].sampled_fraction == 0.5
    assert found.levels == (0, 5, 15, 50, 150, 500, 1142)


@pytest.mark.workflow
def test_snakemake_recovery_finds_and_calls_what_it_pasted(tmp_path, snakemake):
    (tmp_path / "config").mkdir()
    header, *rows = (ROOT / "config" / "samples.tsv").read_text().splitlines()
    kept = [row.replace("../test_data", str(ROOT / "test_data")) for row in rows if row.startswith("D01")]
    donor_row = "\t".join([*kept[0].split("\t"), "healthy"])
    (tmp_path / "config" / "samples.tsv").write_text(f"{header}\trole\n{donor_row}\n")
    (tmp_path / "over.yaml").write_text("recovery: {levels: [0, 4, 9, 30], frames: 3}\n")
    run = snakemake(tmp_path, "recovery", "--configfile", tmp_path / "over.yaml")
    assert run.code == 0, run.output
    found = store.read_json(run.results / "recovery" / "cellsearch.json", Recovery)
    assert (found.background, found.samples, found.n_frames) == ("samples", ("D01_1",), 3)
    assert [level.expected for level in found.levels] == [0, 4, 9, 30]
    assert sum(level.found for level in found.levels) >= 40
    assert found.regression.slope.estimate == pytest.approx(1, abs=0.1)
    assert (run.results / "recovery" / "cellsearch.html").is_file()
    assert (run.results / "recovery" / "cellsearch_spiked.yaml").is_file()
    assert not (run.results / "recovery" / "cellsearch" / "images").exists()
    assert not (run.results / "samples").exists()  # beside the main workflow, not part of it
