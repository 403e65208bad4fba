"""Reviews: files that are checked, what several readers agree on, clusters grouped again, agreement, carrying over."""

import csv
import io
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ctcascade import __main__ as cli
from ctcascade.counting import earlier_reviews, reviewed_calls
from ctcascade.counting.agreement import agreement
from ctcascade.counting.count import count
from ctcascade.counting.reviewed_calls import apply_reviews
from ctcascade.data import store, tables
from ctcascade.data.errors import InputError
from ctcascade.data.vocabulary import ROLES
from ctcascade.study import reviews
from ctcascade.study.reviews import calls_hash
from tests.support import report_cases as cases
from tests.support.counts import calls_table, frames_table, settings
from tests.support.json_results import read_result

pytestmark = pytest.mark.unit

COLUMNS = ["sample", "calls_sha256", "reviewer", "frame", "cell", "y_px", "x_px", "call", "score", "clustered", "note"]
ROOT = Path(__file__).parents[1]
RULE = {"consensus": "majority", "level": 0.95}
CALLS = calls_table(*[("ctc", 1)] * 3, ("uncertain", None), ("leukocyte", None), ("ctc", None)).assign(
    y_px=[10.0, 20, 30, 60, 80, 99], x_px=[5.0, 5, 5, 6, 7, 8]
)
CHAIN = {1: [2], 2: [1, 3], 3: [2], 4: [5], 5: [4], 6: []}


def cells_of(calls, touching=CHAIN):
    contacts = [touching.get(cell, []) for cell in calls["cell"]]
    return calls[["frame", "cell"]].assign(contacts=contacts, contact_gaps_um=[[0.0] * len(c) for c in contacts])


def line(calls, cell, call, **other):
    row = calls[calls["cell"] == cell].iloc[0]
    place = {"frame": row["frame"], "cell": cell, "y_px": float(row["y_px"]), "x_px": float(row["x_px"])}
    return {"sample": "S1", "calls_sha256": calls_hash(calls), "reviewer": "AB", **place, "call": call, **other}


def write(path, rows):
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    path.write_text(text.getvalue(), encoding="utf-8")
    return path


def read(path):
    faults = []
    return reviews.read(path, faults), [str(fault) for fault in faults]


@pytest.fixture
def after(tmp_path):
    """Return the calls and the summary after reviews, given as {reviewer: {cell: call, or (call, clustered)}}."""

    def after(given, calls=CALLS, touching=CHAIN, **rule):
        reviews = []
        for name, said in given.items():
            rows = [(cell, *(v if isinstance(v, tuple) else (v, ""))) for cell, v in said.items()]
            rows = [line(calls, cell, call, reviewer=name, clustered=c) for cell, call, c in rows]
            found, faults = read(write(tmp_path / f"S1.{name}.csv", rows))
            assert faults == []
            reviews.append(found)
        return apply_reviews(reviews, calls, cells_of(calls, touching), 1.0, **{**RULE, **rule})

    return after


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"sample": "S2"}, "line 2, sample: found S2; expected S1"),
        ({"reviewer": "CD"}, "line 2, reviewer: found CD; expected AB"),
        ({"reviewer": "../x"}, "line 2, reviewer: found ../x"),
        ({"call": "ctcs"}, "line 2, call: found ctcs; expected one of ctc, leukocyte"),
        ({"score": 5}, "line 2, score: found 5; expected a whole number from 0"),
        ({"score": "high"}, "line 2, score: found high"),
        ({"clustered": "maybe"}, "line 2, clustered: found maybe; expected one of yes, no"),
        ({"calls_sha256": "abc"}, "line 2, calls_sha256: found abc"),
        ({"calls_sha256": "f" * 64}, f"line 2, calls_sha256: found {'f' * 64}"),
        ({"cell": 2}, "line 3: found cell 2 of frame f0 a second time; expected each cell once"),
        ({"cell": 0}, "line 2, cell: found 0"),
        ({"y_px": "nan"}, "line 2, y_px: found nan"),
        ({"note": "x" * 501}, "line 2, note: found xxx"),
    ],
)
def test_a_fault_of_a_review_is_said_with_its_place(tmp_path, change, expected):
    rows = [{**line(CALLS, 1, "ctc"), **change}, *(line(CALLS, cell, "ctc") for cell in (2, 3))]
    _, faults = read(write(tmp_path / "S1.AB.csv", rows))
    assert len(faults) == 1, faults
    assert expected in faults[0]
    assert str(tmp_path / "S1.AB.csv") in faults[0]


def test_files_are_found_by_sample_and_others_are_named(tmp_path):
    for name in ("S1.AB.csv", "S1.CD.csv"):
        write(tmp_path / name, [line(CALLS, 1, "ctc", reviewer=name[3:5])])
    write(tmp_path / "S11.AB.csv", [line(CALLS, 1, "ctc")])
    (tmp_path / "notes.txt").write_text("no review")
    faults = []
    found, notes = reviews.find(tmp_path, ["S1", "S2"], faults)
    assert ({k: [p.name for p in v] for k, v in found.items()}, faults) == ({"S1": ["S1.AB.csv", "S1.CD.csv"]}, [])
    assert len(notes) == 2
    assert "S11.AB.csv is not used: did you mean S1?" in notes[0]
    assert "notes.txt is not used: a review is a file SAMPLE.REVIEWER.csv" in notes[1]
    reviews.find(tmp_path / "gone", ["S1"], faults)
    assert "expected a folder of SAMPLE.REVIEWER.csv files" in str(faults[0])


def test_reviews_with_other_endings_are_used_or_named(tmp_path):
    write(tmp_path / "S1.anna.CSV", [line(CALLS, 1, "ctc", reviewer="anna")])
    (tmp_path / "sub").mkdir()
    for name in ("S1.bob.tsv", "S1.carl.xlsx", "S1.dan.csv.txt", "sub/S1.eve.csv", "Thumbs.db"):
        (tmp_path / name).write_text("x")
    faults = []
    found, notes = reviews.find(tmp_path, ["S1"], faults)
    assert (found, faults) == ({"S1": [tmp_path / "S1.anna.CSV"]}, [])
    named = ("S1.bob.tsv", "S1.carl.xlsx", "S1.dan.csv.txt", "sub")
    assert len(notes) == len(named)
    assert all(f"{name} is not used" in note for name, note in zip(named, notes, strict=True))


def test_one_person_is_one_reader_however_the_name_is_written(tmp_path):
    for name in ("Anna", "anna"):
        write(tmp_path / f"S1.{name}.csv", [line(CALLS, 1, "ctc", reviewer=name)])
    faults = []
    found, notes = reviews.find(tmp_path, ["S1"], faults)
    assert (found, faults) == ({"S1": [tmp_path / "S1.Anna.csv"]}, [])
    assert "S1.anna.csv is not used: the same review as S1.Anna.csv" in notes[0]
    with pytest.raises(InputError, match="a second time"):
        reviewed_calls.read_all([tmp_path / "S1.Anna.csv", tmp_path / "S1.anna.csv"], "S1")
    write(tmp_path / "S1.anna.csv", [line(CALLS, 1, "debris", reviewer="anna")])
    reviews.find(tmp_path, ["S1"], faults)
    assert "the reviewer of" in str(faults[0])


@pytest.mark.oracle
@pytest.mark.parametrize(
    ("said", "majority", "unanimous"),
    [
        ("ctc", "ctc", "ctc"),
        ("ctc debris", "uncertain", "uncertain"),
        ("ctc ctc debris", "ctc", "uncertain"),
        ("ctc leukocyte debris", "uncertain", "uncertain"),
        ("debris debris debris", "debris", "debris"),
        ("ctc ctc debris debris", "uncertain", "uncertain"),
    ],
)
def test_consensus(after, said, majority, unanimous):
    given = {f"R{i}": {6: call} for i, call in enumerate(said.split())}
    for rule, expected in (("majority", majority), ("unanimous", unanimous)):
        calls, summary = after(given, consensus=rule)
        assert calls["call"].tolist() == [*CALLS["call"].tolist()[:5], expected]
        assert summary.n_reviewed == 1
        assert summary.n_changed == (expected != "ctc")


@pytest.mark.oracle
def test_clusters_are_grouped_again(after):
    assert after({"A": {2: "ctc"}})[0]["cluster"].tolist() == [1, 1, 1, pd.NA, pd.NA, pd.NA]
    # the middle one of three is rejected: the other two no longer touch anything
    assert after({"A": {2: "debris"}})[0]["cluster"].isna().all()
    assert after({"A": {1: "debris"}})[0]["cluster"].tolist() == [pd.NA, 1, 1, pd.NA, pd.NA, pd.NA]
    # only side by side: still CTCs, but no cluster
    calls, _ = after({"A": {2: ("ctc", "no")}, "B": {2: ("ctc", "no")}, "C": {2: "ctc"}})
    assert calls["cluster"].isna().all()
    assert (calls["call"] == "ctc").sum() == 4
    # an accepted one beside a leukocyte
    calls, _ = after({"A": {4: "ctc"}})
    assert calls["with_leukocyte"].tolist() == [False] * 3 + [
        True,
        False,
        False,
    ]


@pytest.mark.property
def test_a_review_that_agrees_changes_nothing(after):
    calls, summary = after({"A": dict(zip(CALLS["cell"], CALLS["call"], strict=True))})
    assert calls["call"].equals(CALLS["call"])
    assert calls["cluster"].equals(CALLS["cluster"])
    assert summary.changed == ()
    assert summary.with_classifier.agreement == 1
    assert summary.between_reviewers is None


@pytest.mark.property
def test_the_hash_is_of_what_is_seen():
    assert calls_hash(CALLS) == calls_hash(CALLS.assign(p_ctc=0.9, reason="other words"))
    others = [CALLS.assign(call="ctc"), CALLS.assign(y_px=CALLS["y_px"] + 1), CALLS.assign(cluster=pd.NA), CALLS[1:]]
    assert len({calls_hash(calls) for calls in (CALLS, *others)}) == 5


def test_a_review_of_other_calls_is_refused(after, tmp_path):
    other, faults = read(write(tmp_path / "S1.AB.csv", [line(CALLS, 1, "debris")]))
    assert faults == []
    moved = CALLS.assign(y_px=CALLS["y_px"] + 5)
    with pytest.raises(InputError, match=r"a review of other calls .* --carry"):
        apply_reviews([other], moved, cells_of(moved), 1.0, **RULE)


@pytest.mark.parametrize(
    ("change", "expected"), [({"cell": 77}, "expected a cell of the sample"), ({"y_px": 50.0}, "at another place")]
)
def test_an_unknown_cell_is_refused(tmp_path, change, expected):
    path = write(tmp_path / "S1.AB.csv", [{**line(CALLS, 1, "debris"), **change}])
    with pytest.raises(InputError, match=expected):
        apply_reviews([read(path)[0]], CALLS, cells_of(CALLS), 1.0, **RULE)


@pytest.mark.oracle
def test_kappa_of_two_readers_by_hand():
    # 20 yes-yes, 5 yes-no, 10 no-yes, 15 no-no: 0.7 observed, 0.5 by chance
    ratings = np.repeat([[0, 0], [0, 1], [1, 0], [1, 1]], [20, 5, 10, 15], axis=0)
    found = agreement(ratings, 0.95)
    assert (found.n_cells, found.n_readers, found.agreement) == (50, 2, pytest.approx(0.7))
    assert found.kappa == pytest.approx(0.4, abs=1e-12)
    # Wilson's limits of 35 of 50 are 0.5625 and 0.8090
    assert (found.low, found.high) == (pytest.approx(2 * 0.5625 - 1, abs=2e-4), pytest.approx(2 * 0.8090 - 1, abs=2e-4))
    z, p, n = stats.norm.ppf(0.975), 0.7, 50
    middle, half = p + z**2 / (2 * n), z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    limits = [2 * (middle + side * half) / (1 + z**2 / n) - 1 for side in (-1, 1)]
    assert (found.low, found.high) == pytest.approx(limits, abs=1e-12)


@pytest.mark.oracle
def test_kappa_of_many_readers_is_that_of_fleiss():
    # ten subjects, fourteen raters, five classes; worked out pair by pair
    table = np.array([[0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
                      [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7]])  # fmt: skip
    ratings = np.array([np.repeat(np.arange(5), row) for row in table])
    pairs = [np.mean([a == b for i, a in enumerate(row) for j, b in enumerate(row) if i != j]) for row in ratings]
    chance = sum((ratings == k).mean() ** 2 for k in range(5))
    found = agreement(ratings, 0.95)
    assert found.agreement == pytest.approx(np.mean(pairs))
    assert found.kappa == pytest.approx((np.mean(pairs) - chance) / (1 - chance), abs=1e-12)
    assert found.kappa == pytest.approx(0.210, abs=5e-4)


@pytest.mark.property
def test_agreement_without_chance_or_without_a_pair():
    assert agreement(np.zeros((0, 2), int), 0.95) is None
    assert agreement(np.zeros((5, 1), int), 0.95) is None
    found = agreement(np.zeros((5, 2), int), 0.95)
    assert (found.agreement, found.kappa) == (1, None)
    perfect = agreement(np.repeat([[0, 0], [1, 1]], 3, axis=0), 0.95)
    assert perfect.kappa == 1
    assert perfect.low < 0.3  # six cells do not show that two readers are one
    assert perfect.high == pytest.approx(1)


@pytest.mark.property
def test_the_interval_of_kappa_covers():
    rng = np.random.default_rng(3)
    truth = 0.8**2 + 0.2**2  # both readers are right in 80 % of cells, half of which are CTCs
    covered = 0
    for _ in range(400):
        right = rng.random((60, 2)) < 0.8
        ratings = np.where(right, (rng.random(60) < 0.5)[:, None], (rng.random(60) < 0.5)[:, None]).astype(int)
        cell = rng.integers(0, 2, 60)[:, None]
        ratings = np.where(right, cell, 1 - cell)
        found = agreement(ratings, 0.95)
        covered += found.low <= (truth - 0.5) / 0.5 <= found.high
    assert 0.92 <= covered / 400 <= 0.98


@pytest.mark.oracle
def test_counts_follow_the_review(tmp_path):
    made_by = store.provenance({"sample": "S1", "cluster_gap_um": 1.0}, {})
    frames, calls, cells, out = (tmp_path / f"{n}" for n in ("frames.parquet", "calls.parquet", "cells", "counts.json"))
    store.write_table(frames, "frames", frames_table([1000.0]), made_by)
    positive = pd.array([False, True, False, True, None, None], dtype="boolean")
    store.write_table(calls, "calls", CALLS.assign(her2_z=1.0, her2_positive=positive), made_by)
    contacts = cells_of(CALLS)
    columns = (*tables.CELLS.columns, *tables.CELLS.for_roles(ROLES))
    full = {column.name: 0 for column in columns} | {"touches_border": False}
    store.write_table(cells, "cells", pd.DataFrame(index=contacts.index).assign(**full).assign(**contacts), made_by)
    rule = {"min_ctcs": 1, "min_positive": 1, "min_share": 0, "source": "a test"}
    her2 = {"marker": "HER2", "place": "cell", "min_z": {"value": 3.0, "source": "a test"}, "rule": rule}
    given = settings(assay={"markers": {"her2": her2}})

    def counted(*reviews):
        count(given, frames, calls, out, cells, reviews)
        return read_result(out, "counts")

    before = counted()
    one = write(tmp_path / "S1.AB.csv", [line(CALLS, 2, "debris", note="a fold, no cell"), line(CALLS, 4, "ctc")])
    two = write(tmp_path / "S1.CD.csv", [line(CALLS, 2, "debris", reviewer="CD"), line(CALLS, 6, "ctc", reviewer="CD")])
    found = counted(one, two)
    assert (before["n_ctc"], before["n_clusters"], before["review"]) == (4, 1, None)
    assert (found["n_ctc"], found["n_clusters"], found["n_ctc_leukocyte_groups"]) == (4, 0, 1)
    # the second cell shows HER2 and both take it out; the fourth shows it, too, and the first reviewer brings it in
    tallied = [[c["markers"][0][key] for key in ("n_positive", "n_negative")] for c in (before, found, counted(two))]
    assert tallied == [[1, 2], [1, 2], [0, 2]]
    review = found["review"]
    assert (review["n_reviewed"], review["n_changed"]) == (3, 2)
    assert review["changed"][0] == {"frame": "f0", "cell": 2, "call": "ctc", "reviewed": "debris"}
    assert review["between_reviewers"]["n_cells"] == 1
    assert review["with_classifier"]["agreement"] == pytest.approx(1 / 3)
    assert [r["n_reviewed"] for r in review["reviewers"]] == [2, 2]
    assert set(found["provenance"]["inputs"]) == {"frames", "calls", "cells", "review AB", "review CD"}
    with pytest.raises(InputError, match="a review of S2; expected S1"):
        counted(write(tmp_path / "S2.AB.csv", [line(CALLS, 2, "debris", sample="S2")]))


@pytest.fixture
def other_run(tmp_path):
    """The same sample found again, 2 px further down and renumbered; cell 3 has gone far, cell 5 is lost."""
    calls = CALLS.assign(y_px=CALLS["y_px"] + 2, cell=[6, 5, 4, 3, 2, 1])
    calls.loc[2, "y_px"] += 7
    calls = calls.drop(index=4).reset_index(drop=True)
    made_by = store.provenance({"sample": "S1"}, {})
    store.write_table(tmp_path / "calls.parquet", "calls", calls, made_by)
    store.write_table(tmp_path / "frames.parquet", "frames", frames_table([1000.0]), made_by)  # 0.5 um a pixel
    return calls


def test_a_review_is_carried_over_by_place(tmp_path, other_run, capsys):
    said = {1: "ctc", 2: "debris", 3: "ctc", 4: "leukocyte", 5: "leukocyte", 6: "ctc"}
    old = write(tmp_path / "S1.AB.csv", [line(CALLS, cell, call, score=3) for cell, call in said.items()])
    tables = ["--frames", str(tmp_path / "frames.parquet"), "--calls", str(tmp_path / "calls.parquet")]
    cli.main(["review", "--carry", str(old), *tables, "--out", str(tmp_path / "new")])
    told = capsys.readouterr().out
    assert "4 cells carried over, 2 to review again" in told
    assert "frame f0, cell 3 (y 30.0, x 5.0 px), reviewed as ctc" in told
    found, faults = read(tmp_path / "new" / "S1.AB.csv")
    assert faults == []
    assert found.calls_sha256 == calls_hash(other_run)
    assert {c.cell: (c.call, c.score) for c in found.cells.values()} == {
        6: ("ctc", 3), 5: ("debris", 3), 3: ("leukocyte", 3), 1: ("ctc", 3),
    }  # fmt: skip
    after, _ = apply_reviews([found], other_run, cells_of(other_run, {}), 1.0, **RULE)
    assert after.set_index("cell")["call"].to_dict() == {6: "ctc", 5: "debris", 4: "ctc", 3: "leukocyte", 1: "ctc"}
    with pytest.raises(InputError, match="none is written over"):
        earlier_reviews.carry_over([old], tmp_path / "frames.parquet", tmp_path / "calls.parquet", tmp_path / "new")


def test_the_review_of_another_sample_is_not_carried_over(tmp_path, other_run):
    old = write(tmp_path / "S2.AB.csv", [line(CALLS, 1, "ctc", sample="S2")])
    with pytest.raises(InputError, match="which the calls are of"):
        earlier_reviews.carry_over([old], tmp_path / "frames.parquet", tmp_path / "calls.parquet", tmp_path / "new")


def test_the_page_says_what_the_review_changed(tmp_path):
    found = agreement(np.array([[0, 0], [0, 1], [1, 1]]), 0.95)
    pair = {**found.__dict__}
    changed = [{"frame": "f000", "cell": 3, "call": "ctc", "reviewed": "debris"}]
    about = {
        "consensus": "majority", "n_reviewed": 3, "n_changed": 1, "changed": changed, "between_reviewers": None,
        "with_classifier": pair, "reviewers": [{"reviewer": "AB", "n_reviewed": 3, "with_classifier": pair}],
    }  # fmt: skip
    data = cases.counts(review=about)
    page = cases.Page(cases.sample_page(tmp_path, data))
    shown = {e["data-key"]: e["text"] for e in page.numbers() if e["data-key"].startswith("review.")}
    assert (shown["review.n_reviewed"], shown["review.n_changed"]) == ("3", "1")
    assert shown["review.with_classifier.kappa"] == f"{found.kappa:.2f}"
    assert shown["review.reviewers.0.with_classifier.low"] == f"{found.low:.2f}".replace("-", "−")
    assert "review.between_reviewers.kappa" not in shown
    assert page.text.count("Reviewed as") == 1


def test_reviews_are_read_with_the_sheets(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "slides").mkdir()
    shutil.copy(ROOT / "test_data" / "images" / "P01_1" / "f001.ome.tif", tmp_path / "slides")
    (tmp_path / "samples.tsv").write_text(
        "sample\tpatient\tcollected\timages\tassay\tblood_volume_ml\nS1\tP1\t2026-05-01\tslides\tcellsearch\t7.5\n"
    )
    (tmp_path / "patients.tsv").write_text("patient\tprimary\tsetting\tsex\nP1\tbreast\tmetastatic\tfemale\n")
    (tmp_path / "seen").mkdir()
    write(tmp_path / "seen" / "S1.AB.csv", [{**line(CALLS, 1, "ctc"), "score": 9}])
    sheets = ["samples=samples.tsv", "patients=patients.tsv", "reviews=seen"]
    command = ["check", "--configfile", str(ROOT / "config" / "config.yaml"), "--config", *sheets]
    with pytest.raises(SystemExit) as caught:
        cli.main(command)
    assert caught.value.code == 2
    assert "seen/S1.AB.csv: line 2, score: found 9" in capsys.readouterr().err
    write(tmp_path / "seen" / "S1.AB.csv", [line(CALLS, 1, "ctc")])
    cli.main(command)
    assert "nothing to fix" in capsys.readouterr().out


@pytest.mark.parametrize("sign", [",", ";", "\t"])
def test_a_review_that_a_spreadsheet_saved_is_read(tmp_path, sign):
    path = write(tmp_path / "S1.AB.csv", [line(CALLS, 1, "ctc")])
    path.write_text(path.read_text().replace(",", sign))
    faults = []
    found = reviews.read(path, faults)
    assert faults == []
    assert [said.call for said in found.cells.values()] == ["ctc"]


@pytest.mark.parametrize("name", ["S1.anna (1).csv", "S1.anna - Copy.csv", "S1.anna(2).csv"])
def test_a_second_download_is_named_as_one(tmp_path, name):
    faults = []
    path = tmp_path / name
    path.write_text(write(tmp_path / "S1.anna.csv", [line(CALLS, 1, "ctc")]).read_text())
    reviews.read(path, faults)
    (fault,) = faults
    assert "a name as a browser gives to a second download; expected one file of anna, S1.anna.csv" in str(fault)


def test_a_folder_of_images_is_no_folder_of_reviews(tmp_path):
    for k in range(30):
        (tmp_path / f"f{k}.ome.tif").write_bytes(b"II*\0")
    faults: list = []
    assert reviews.find(tmp_path, ["S1"], faults) == ({}, [])
    (fault,) = faults
    assert "a folder of 30 images (" in str(fault)
    assert "and no review; expected a folder of SAMPLE.REVIEWER.csv files; fix the path" in str(fault)


def test_files_that_are_no_reviews_are_named_up_to_a_number(tmp_path):
    for k in range(30):
        (tmp_path / f"notes{k}.txt").write_text("x")
    faults: list = []
    found, notes = reviews.find(tmp_path, ["S1"], faults)
    assert (found, faults) == ({}, [])
    assert len(notes) == 21
    assert notes[-1].endswith("10 more files are not used")
