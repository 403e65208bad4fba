"""A laboratory's own calibration of p_ctc: a known slope is found, few reviews move little, too few are refused."""

import csv
import io

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy.special import expit, logit

from ctcascade.counting import local_calibration, recalibration
from ctcascade.counting.calibrated_calls import calibrated, sharpened
from ctcascade.counting.count import count
from ctcascade.counting.recalibration import ReadCells, before_any, fitted, most_telling
from ctcascade.data import store
from ctcascade.data.errors import InputError
from ctcascade.data.results import Counts, LocalCalibration
from ctcascade.report.calibration_page import report_calibration
from ctcascade.study import jobs
from ctcascade.study.reviews import calls_hash
from tests.support.counts import calls_table, frames_table, settings
from tests.support.sheets import folder, only_fault, read  # noqa: F401  a fixture

pytestmark = pytest.mark.unit

SD = (1.0, 0.25)
JOB = jobs.CalibrateJob(assay="cellsearch", consensus="majority")
COLUMNS = ["sample", "calls_sha256", "reviewer", "frame", "cell", "y_px", "x_px", "call", "score", "clustered", "note"]


def read_cells(rng, slope, n_slides=10, n=40, errors=(0.0, 0.0), readers=1, spread=2.0):
    """Return cells of a laboratory where the odds of a CTC are those of p_ctc to the power `slope`."""
    x = rng.normal(0, spread, n_slides * n)
    true = rng.random(len(x)) < expit(slope * x)
    calls = np.array([np.where(true, rng.random(len(x)) >= errors[0], rng.random(len(x)) < errors[1])] * readers)
    if readers > 1:
        calls = np.array(
            [np.where(true, rng.random(len(x)) >= errors[0], rng.random(len(x)) < errors[1]) for _ in range(readers)]
        )
    return ReadCells(np.repeat(np.arange(n_slides), n), x, 2 * calls.sum(axis=0) > readers)


def test_line_without_a_prior_is_that_of_logistic_regression():

    cells = read_cells(np.random.default_rng(1), 0.6)
    line = fitted(cells, (1e4, 1e4))
    other = sm.Logit(cells.yes.astype(float), np.column_stack([np.ones(400), cells.logit])).fit(disp=0)
    assert line.at == pytest.approx(other.params, abs=1e-5)
    assert line.covariance == pytest.approx(other.cov_params(), rel=1e-4)


@pytest.mark.parametrize(("slope", "errors", "readers"), [(0.5, (0, 0), 1), (1.0, (0, 0), 1), (0.5, (0.07, 0.05), 3)])
def test_intervals_hold_the_slope_as_often_as_they_say(slope, errors, readers):
    rng, held = np.random.default_rng(2), 0
    for _ in range(100):
        cells = read_cells(rng, slope, n=60, errors=errors, readers=readers)
        line = fitted(cells, SD)
        line = recalibration.with_slides_apart(line, recalibration.without_each_slide(cells, SD))
        _, low, high = line.limits(0.95)[1]
        held += low <= slope <= high
    assert held >= 89  # 95 are expected; fewer than 89 by chance in 1 of 200 runs


def test_few_reviews_move_little_and_none_move_nothing():
    rng = np.random.default_rng(3)
    slopes = [fitted(read_cells(rng, 1.0, n_slides=2, n=3), SD).limits(0.95)[1][0] for _ in range(100)]
    assert np.std(slopes) < 0.15  # a quarter of what six cells would move without a prior
    none = fitted(ReadCells(np.zeros(0, int), np.zeros(0), np.zeros(0, bool)), SD)
    assert none.at.tolist() == [0, 1]
    assert none.covariance == pytest.approx(before_any(SD).covariance)


def test_odds_are_raised_to_the_slope():
    p = np.array([0.0, 0.1, 0.5, 0.9, 1.0])
    assert sharpened(p, 0.5) == pytest.approx([0, 0.25, 0.5, 0.75, 1])  # odds of 1 / 9 and 9 to 1 / 3 and 3
    assert sharpened(p, 1.0) == pytest.approx(p)
    calls = calls_table(("ctc", None), ("leukocyte", None), ("uncertain", None)).assign(p_ctc=[0.9, 0.1, 0.1])
    assert calibrated(calls, 0.5)["p_ctc"].tolist() == pytest.approx([0.75, 0.1, 0.25])


def test_most_telling_cell_is_the_one_that_lowers_the_variance_most():
    line, x = before_any(SD), np.array([-6.0, -1.0, 0.0, 2.0, 5.0])
    p = expit(x)
    rows = np.column_stack([np.ones(5), x])
    after = [
        np.linalg.inv(np.linalg.inv(line.covariance) + q * (1 - q) * np.outer(r, r))
        for q, r in zip(p, rows, strict=True)
    ]
    gains = [0.5 * np.log(np.linalg.det(line.covariance) / np.linalg.det(v)) for v in after]
    (row, gain), *_ = most_telling(line, x, np.zeros(5, int), 1)
    assert row == int(np.argmax(gains))
    assert gain == pytest.approx(max(gains))


def test_cells_to_label_next_are_spread_over_slides():
    x, slide = np.r_[np.zeros(50), np.full(50, 8.0)], np.repeat([0, 1], 50)
    taken = slide[[row for row, _ in most_telling(before_any(SD), x, slide, 10)]]
    assert len(taken) == 10
    x, slide = np.zeros(120), np.repeat([0, 1, 2, 3], 30)
    taken = slide[[row for row, _ in most_telling(before_any(SD), x, slide, 20)]]
    assert np.bincount(taken, minlength=4).max() <= 10


def laboratory(place, slope, samples=8, n=60, seed=5, reviewed=None, all_of=None):
    """Write calls and reviews of a laboratory with a known slope; return both lists of files."""
    rng, calls_files, reviews = np.random.default_rng(seed), [], []
    for k in range(samples):
        p = expit(rng.normal(0, 3, n))
        table = calls_table(*[("ctc" if q >= 0.5 else "uncertain", None) for q in p]).assign(p_ctc=p.astype("float32"))
        path = place / f"S{k}.calls.parquet"
        store.write_table(path, "calls", table, store.provenance({"sample": f"S{k}", "cluster_gap_um": 1.0}, {}))
        calls_files.append(path)
        if reviewed is not None and k >= reviewed:
            continue
        table = store.read_table(path, "calls")
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for row, q in zip(table.itertuples(), p, strict=True):
            call = all_of or ("ctc" if rng.random() < expit(slope * logit(q)) else "debris")
            cell = {"frame": row.frame, "cell": row.cell, "y_px": float(row.y_px), "x_px": float(row.x_px)}
            about = {"sample": f"S{k}", "calls_sha256": calls_hash(table), "reviewer": "AB"}
            writer.writerow({**about, **cell, "call": call})
        reviews.append(place / f"S{k}.AB.csv")
        reviews[-1].write_text(text.getvalue(), encoding="utf-8")
    return calls_files, reviews


def calibrate(tmp_path, *args, **kwargs):
    files = laboratory(tmp_path, *args, **kwargs)
    out, out_next = tmp_path / "cellsearch.json", tmp_path / "next.csv"
    local_calibration.calibrate(JOB, *files, out, out_next)
    return store.read_json(out, LocalCalibration), pd.read_csv(out_next)


def test_overconfident_judge_is_found_and_does_better_on_held_out_samples(tmp_path):
    found, _ = calibrate(tmp_path, 0.4)
    assert found.status == "ok"
    assert found.slope.low <= 0.4 <= found.slope.high < 1
    assert found.held_out.log_loss_after < found.held_out.log_loss_before
    assert sum(b.n for b in found.held_out.after) == found.n_cells == 480
    report_calibration(tmp_path / "cellsearch.json", tmp_path / "page.html")
    assert "Yes:" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_calibrated_laboratory_moves_nothing_beyond_its_interval(tmp_path):
    found, _ = calibrate(tmp_path, 1.0)
    assert found.status == "no_better"
    assert found.slope.low <= 1 <= found.slope.high
    assert found.intercept.low <= 0 <= found.intercept.high


@pytest.mark.parametrize(
    ("about", "missing"),
    [
        ({"reviewed": 1, "n": 200}, "1 samples with reviewed cells, at least 6 are needed"),
        ({"n": 3}, "24 cells that readers decided on, at least 100 are needed"),
        ({"all_of": "ctc"}, "0 of them other cells, at least 15 are needed"),
        ({"all_of": "debris"}, "0 of them CTCs, at least 15 are needed"),
        ({"reviewed": 0}, "0 cells that readers decided on"),
    ],
)
def test_too_little_is_refused_with_what_is_missing(tmp_path, about, missing):
    found, following = calibrate(tmp_path, 0.4, **about)
    assert found.status == "refused"
    assert missing in found.reason
    assert found.slope is None
    assert found.held_out is None
    assert len(following) == (50 if about.get("reviewed") is not None else 0)
    report_calibration(tmp_path / "cellsearch.json", tmp_path / "page.html")
    assert "Refused:" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_a_review_of_other_calls_or_of_no_sample_is_refused(tmp_path):
    calls, reviews = laboratory(tmp_path, 0.4, samples=2)
    with pytest.raises(InputError, match="a review of S1"):
        local_calibration.calibrate(JOB, calls[:1], reviews, tmp_path / "o.json", tmp_path / "n.csv")


def use(path, **changes):
    found = store.read_json(path, LocalCalibration)
    given = {"file_sha256": found.provenance.content_sha256, "calls_made_by": found.calls_made_by}
    given |= {"slope": found.slope.estimate, "low": found.slope.low, "high": found.slope.high}
    return {**given, "n_cells": found.n_cells, "n_samples": len(found.samples), **changes}


def test_counts_that_use_it_say_so_and_refuse_calls_made_otherwise(tmp_path):
    found, _ = calibrate(tmp_path, 0.4)
    calls, frames = tmp_path / "S0.calls.parquet", tmp_path / "frames.parquet"
    store.write_table(frames, "frames", frames_table([1000.0]), store.provenance({"sample": "S0"}, {}))
    given = settings(sample="S0").model_dump()
    local = use(tmp_path / "cellsearch.json")

    def counted(calibration):
        job = jobs.CountJob(**{**given, "assay": {**given["assay"], "calibration": calibration}})
        count(job, frames, calls, tmp_path / "counts.json")
        return store.read_json(tmp_path / "counts.json", Counts)

    shipped, after = counted(None), counted(local)
    assert shipped.calibration is None
    assert after.calibration.slope == found.slope.estimate
    assert after.n_ctc == shipped.n_ctc
    assert max(c.p_ctc for c in after.candidates) < max(c.p_ctc for c in shipped.candidates)
    assert after.provenance.settings["assay"]["calibration"]["file_sha256"] == local["file_sha256"]
    assert counted({**local, "slope": 1.0}).ctc_per_7_5_ml == shipped.ctc_per_7_5_ml
    with pytest.raises(InputError, match="calls of other code or settings"):
        counted({**local, "calls_made_by": "0"})


def test_settings_name_a_file_that_may_be_used(folder, tmp_path):  # noqa: F811
    calibrate(tmp_path, 0.4)
    path = tmp_path / "cellsearch.json"
    study = read(calibration={"use": {"cellsearch": str(path)}})
    job = jobs.job_for(study, "count", sample=next(iter(study.samples)))
    assert job.assay.calibration.file_sha256 == store.read_json(path, LocalCalibration).provenance.content_sha256
    assert "found hdsca" in str(only_fault(calibration={"use": {"hdsca": str(path)}}))
    assert "no such file" in str(only_fault(calibration={"use": {"cellsearch": "no.json"}}))
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('"n_cells": 480', '"n_cells": 481'), encoding="utf-8")
    assert "checksum" in str(only_fault(calibration={"use": {"cellsearch": str(path)}}))
    calibrate(tmp_path, 1.0)
    assert "no_better" in str(only_fault(calibration={"use": {"cellsearch": str(path)}}))
