"""Further markers of CTCs: from light in the images to positive, negative and not evaluable, and shares."""

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy import stats

from ctcascade.calling import classify
from ctcascade.calling.markers import log_scale, marker_columns, no_markers, tally_markers
from ctcascade.counting import count
from ctcascade.data import store
from ctcascade.data.results import Counts
from ctcascade.images import detect
from ctcascade.study.assay import Marker, MarkerGate
from ctcascade.study.jobs import CountJob
from ctcascade.validation import phantom
from tests.support.calling import classify_job
from tests.support.detecting import detect_job

pytestmark = pytest.mark.unit

ASSAYS = Path(__file__).parents[1] / "config" / "assays"
CONFIG = yaml.safe_load((ASSAYS.parent / "config.yaml").read_text())
SOURCE = {"source": "a test"}
HER2 = {
    "marker": "HER2",
    "place": "cell",
    "min_z": {"value": 3.0, **SOURCE},
    "rule": {"min_ctcs": 6, "min_positive": 1, "min_share": 0.75, **SOURCE},
}
JUDGED = {"her2": MarkerGate(place="cell", min_z=3.0)}
NUCLEAR = {"arv7": MarkerGate(place="nucleus", min_z=3.0, min_nucleus_ratio=3.0)}


def cells_of(role, **columns):
    n = len(next(iter(columns.values())))
    zero = dict.fromkeys((f"{role}_{part}_mean" for part in ("ring", "nucleus", "cytoplasm")), 0.0)
    return pd.DataFrame({f"{role}_mean": 0.0, **zero, **columns}, index=range(n))


def calls_of(*positive, call="ctc", role="her2"):
    return pd.DataFrame({"call": call, f"{role}_positive": pd.array(positive, dtype="boolean")})


@pytest.fixture
def leukocytes():
    """4001 leukocytes with ln intensity normal around ln 100 with spread 0.5, followed by the cells to be judged."""
    rng = np.random.default_rng(1)
    return np.exp(np.log(100) + 0.5 * stats.norm.ppf((rng.permutation(4001) + 0.5) / 4001))


@pytest.mark.oracle
def test_z_is_the_distance_in_upper_spreads_of_the_logarithm(leukocytes):
    centre, spread = log_scale(leukocytes, 1e-9, 0.2)
    assert (centre, spread) == pytest.approx((math.log(100), 0.5), abs=0.01)
    light = np.concatenate([leukocytes, [100.0, 100 * math.exp(1.0), 100 * math.exp(2.0), 0.0]])
    is_leukocyte = np.arange(len(light)) < len(leukocytes)
    found = marker_columns(cells_of("her2", her2_mean=light), is_leukocyte, {"her2": 1e-6}, JUDGED, 0.2)
    assert found["her2_z"].tolist()[-4:-1] == pytest.approx([0.0, 2.0, 4.0], abs=0.03)
    assert found["her2_positive"].tolist()[-4:] == [False, False, True, False]
    assert found["her2_positive"][is_leukocyte].mean() < 0.01


@pytest.mark.property
def test_another_gain_of_the_camera_changes_nothing(leukocytes):
    light = np.concatenate([leukocytes, 30 * np.arange(40.0)])
    is_leukocyte = np.arange(len(light)) < len(leukocytes)
    one, tenfold = (
        marker_columns(cells_of("her2", her2_mean=gain * light), is_leukocyte, {"her2": gain * 5.0}, JUDGED, 0.2)
        for gain in (1, 10)
    )
    assert one["her2_z"].to_numpy() == pytest.approx(tenfold["her2_z"].to_numpy(), abs=1e-9)


def test_light_around_the_cell_is_subtracted(leukocytes):
    light = np.concatenate([leukocytes, [1000.0, 1000.0]])
    around = np.concatenate([np.zeros_like(leukocytes), [0.0, 950.0]])
    cells = cells_of("her2", her2_mean=light, her2_ring_mean=around)
    found = marker_columns(cells, np.arange(len(light)) < len(leukocytes), {"her2": 1.0}, JUDGED, 0.2)
    assert found["her2_positive"].tolist()[-2:] == [True, False]


def test_light_all_over_the_cell_is_not_in_the_nucleus(leukocytes):
    """Nucleus and cytoplasm of the last three: bright only inside, bright in both, no cytoplasm to compare with."""
    inside = np.concatenate([leukocytes, [900.0, 1500.0, 900.0]])
    outside = np.concatenate([leukocytes / 2, [90.0, 600.0, np.nan]])
    cells = cells_of("arv7", arv7_mean=inside, arv7_nucleus_mean=inside, arv7_cytoplasm_mean=outside)
    found = marker_columns(cells, np.arange(len(inside)) < len(leukocytes), {"arv7": 1.0}, NUCLEAR, 0.2)
    assert found["arv7_positive"].tolist()[-3:-1] == [True, False]
    assert found["arv7_z"].iloc[-2] > 3.0
    assert found["arv7_positive"].isna().tolist()[-3:] == [False, False, True]


@pytest.mark.parametrize("missing", ["leukocytes", "channel"])
def test_without_leukocytes_or_channel_nothing_is_judged(leukocytes, missing):
    light = np.concatenate([leukocytes, [5000.0]])
    is_leukocyte = (np.arange(len(light)) < len(leukocytes)) & (missing != "leukocytes")
    cells = cells_of("her2", her2_mean=light)
    cells = cells if missing == "leukocytes" else cells.drop(columns=list(cells))
    found = marker_columns(cells, is_leukocyte, {}, JUDGED, 0.2)
    assert found["her2_positive"].isna().all()
    assert found["her2_z"].isna().all()
    [entry] = tally_markers(pd.concat([pd.DataFrame({"call": ["ctc"] * len(light)}), found], axis=1), MARKERS, 0.95)
    assert (entry.status, entry.n_evaluable, entry.share) == ("not_evaluable", 0, None)


MARKERS = {"her2": Marker.model_validate(HER2)}


@pytest.mark.oracle
@pytest.mark.parametrize(("k", "n"), [(0, 6), (3, 6), (6, 6), (5, 7), (40, 200)])
def test_the_share_has_a_beta_posterior(k, n):
    [entry] = tally_markers(calls_of(*[True] * k, *[False] * (n - k), None), MARKERS, 0.9)
    assert (entry.n_positive, entry.n_negative, entry.n_evaluable) == (k, n - k, n)
    posterior = stats.beta(k + 0.5, n - k + 0.5)
    assert entry.share.estimate == pytest.approx((k + 0.5) / (n + 1))
    assert entry.share.low == pytest.approx(posterior.ppf(0.05))
    assert entry.share.high == pytest.approx(posterior.ppf(0.95))
    assert entry.share.level == 0.9


@pytest.mark.parametrize(
    ("positive", "status"),
    [
        ([True] * 5, "not_evaluable"),
        ([True] * 5 + [None] * 9, "not_evaluable"),
        ([True] * 6, "positive"),
        ([True] * 6 + [False] * 2, "positive"),
        ([True] * 6 + [False] * 3, "negative"),
        ([False] * 6, "negative"),
        ([], "not_evaluable"),
    ],
)
def test_a_sample_is_positive_with_three_quarters_of_more_than_five_cells(positive, status):
    [entry] = tally_markers(calls_of(*positive), MARKERS, 0.95)
    assert entry.status == status
    assert bool(entry.reason) is (status == "not_evaluable")


def test_only_ctcs_are_counted():
    calls = pd.concat([calls_of(True, True), calls_of(True, call="uncertain"), calls_of(False, call="leukocyte")])
    [entry] = tally_markers(calls, MARKERS, 0.95)
    assert entry.n_evaluable == 2
    assert entry.reason == "2 of 2 CTCs could be judged; the rule wants at least 6"


def test_a_sample_that_was_not_evaluable_has_no_counts():
    [entry] = no_markers(MARKERS, "nothing could be read")
    assert (entry.status, entry.reason) == ("not_evaluable", "nothing could be read")
    assert all(getattr(entry, key) is None for key in ("n_evaluable", "n_positive", "n_negative", "share"))


# --- the whole way, from phantom slides

SLIDES = {
    "cellsearch_her2": phantom.Slide(frames=2, channel_names=("DAPI", "CK-PE", "CD45-APC", "HER2-FITC")),
    "hdsca_arv7": phantom.Slide(
        frames=2, layout="files", channel_names=("DAPI", "CK", "CD45", "AR-V7"), optics=phantom.Optics(0.591)
    ),
}


@pytest.fixture(scope="module")
def counted(tmp_path_factory):
    """Return counts.json of a phantom slide with twelve CTCs, made with an assay that ships."""

    def run(name, **recipe):
        folder = tmp_path_factory.mktemp(name)
        own = yaml.safe_load((ASSAYS / f"{name}.yaml").read_text())
        assay = {**yaml.safe_load((ASSAYS / f"{own['extends']}.yaml").read_text()), **own}
        slide = SLIDES[name].__class__(**{**vars(SLIDES[name]), "recipe": phantom.Recipe(60, ctcs=12, **recipe)})
        truth = phantom.write_slide(folder / "images", slide, seed=11)
        plain = {key: assay[key]["value"] for key in ("pixel_size_um", "frame_px", "bit_depth")}
        about = {"name": name, "channels": assay["channels"], "files": assay["files"], **plain}
        frames, cells, calls, out = (folder / f for f in ("f.parquet", "c.parquet", "calls.parquet", "counts.json"))
        detect.detect(detect_job(about, "images", sample="S1"), folder, (1, 1), frames, cells, None)
        gates = {gate: given["value"] for gate, given in assay["gates"].items()}
        limits = {
            role: {k: m[k] if k == "place" else m[k]["value"] for k in MarkerGate.model_fields if k in m}
            for role, m in assay["markers"].items()
        }
        about = {"name": name, "gates": gates, "markers": limits}
        classify.classify(classify_job(about, "S1"), frames, cells, calls)
        kept = ("recovery", "sensitivity", "background_per_7_5_ml", "reference_equivalent", "markers")
        about = {"name": name, **{key: assay.get(key) for key in kept}}
        row = {"sample": "S1", "patient": "P1", "collected": "2026-05-01", "role": None, "note": None}
        row |= {"blood_volume_ml": 7.5, "sampled_fraction": 1.0}
        job = CountJob.model_validate_json(json.dumps({**row, "assay": about, **CONFIG["count"]}))
        count.count(job, frames, calls, out)
        return store.read_json(out, Counts), truth, store.read_table(calls, "calls")

    return run


@pytest.mark.parametrize(
    ("assay", "recipe", "status"),
    [
        ("cellsearch_her2", {"marker_positive": 1.0}, "positive"),
        ("cellsearch_her2", {}, "negative"),
        ("hdsca_arv7", {"marker_positive": 0.3, "marker_in_nucleus": True}, "positive"),
        ("hdsca_arv7", {"marker_positive": 1.0}, "negative"),
    ],
)
def test_marker_positive_phantoms_are_found_positive(counted, assay, recipe, status):
    """Cells bright all over are not positive for a nuclear marker."""
    counts, truth, calls = counted(assay, **recipe)
    [entry] = counts.markers
    lit = "ctc_marker_nucleus" if assay == "hdsca_arv7" else "ctc_marker"
    assert entry.status == status
    assert abs(entry.n_positive - (truth["kind"] == lit).sum()) <= 1
    assert entry.n_evaluable == counts.n_ctc >= 10
    leukocytes = calls[calls["call"] == "leukocyte"]
    assert leukocytes[f"{entry.role}_positive"].astype(bool).mean() < 0.02
