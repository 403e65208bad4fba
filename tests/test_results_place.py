"""Where results may be kept: other places are refused in one line, by `check` and by a run; nothing is written."""

import os
from pathlib import Path

import pytest

from ctcascade.data import results_folder
from ctcascade.data.errors import InputError
from ctcascade.study import results_place, sheets
from tests.support.runs import ROOT, run_snakemake, write_study

pytestmark = pytest.mark.unit


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.tsv").write_text("x")
    (tmp_path / "images" / "i1").mkdir(parents=True)
    (tmp_path / "dead").symlink_to(tmp_path / "nowhere")
    return tmp_path


def said(named, base=Path(), images=None):
    faults = results_place.faults_of(named, base, images or {"S1": ("images/i1",), "S2": ("images/i2;x::A1",)})
    return faults[0].found if faults else ""


@pytest.mark.parametrize(
    ("named", "reason"),
    [
        ("~/x", "write the path out"),
        ("~", "write the path out"),
        ("$HOME/x", "write the path out"),
        ("runs/$USER", "write the path out"),
        ("/", "a folder of the operating system"),
        ("/dev/null", "no folder"),
        ("/proc/x", "a folder of the operating system"),
        ("/etc", "a folder of the operating system"),
        ("/dev/shm", "a folder of the operating system"),
        ("/usr/share/results", "a folder of the operating system"),
        ("../" * 40 + "etc", "a folder of the operating system"),
        (".", "the working folder"),
        ("x/..", "the working folder"),
        ("..", "the working folder or one that holds it"),
        ("s.tsv", "s.tsv is a file"),
        ("s.tsv/results", "s.tsv is a file"),
        ("dead", "dead is no folder"),
        ("images/i1", "which holds images of S1"),
        ("images", "which holds images of S1"),
        ("x" * 300, "300 bytes"),
        ("ä" * 150, "300 bytes"),
        ("x/" * 2000, "too long"),
    ],
)
def test_a_place_that_is_none_for_results_is_refused(place, named, reason):
    assert reason in said(named)
    assert sorted(os.listdir(place)) == ["dead", "images", "s.tsv"]


def test_the_home_folder_itself_is_refused_and_a_folder_in_it_is_not(place, monkeypatch):
    home = place / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    assert "a home folder" in said("home")
    assert said("home/study") == ""


@pytest.mark.parametrize(
    "named",
    [
        "results",
        "a b",
        "é",
        "new/deep/er",
        "images/i1/results",
        "x" * 200,
        "../elsewhere",
        "a;b",
        "a'b",
        "/dev/shm/study",
    ],
)
def test_a_place_for_results_is_accepted(place, named):
    assert said(named) == ""


def test_a_folder_that_cannot_be_written_into_is_refused(place, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != place)
    assert "cannot be written into" in said("results")


def test_a_link_to_a_folder_of_images_is_one(place):
    (place / "link").symlink_to(place / "images")
    assert "which holds images of S1" in said("link")


@pytest.mark.parametrize("images", ["loop/x", "loop", "x\0y", "y" * 5000])
def test_images_that_are_nowhere_are_left_to_the_listing(place, images):
    (place / "loop").symlink_to("loop")
    assert said("results", images={"S1": (images,)}) == ""


def test_the_study_is_refused_with_the_other_faults(place):
    given = {"samples": str(ROOT / "config" / "samples.tsv"), "results": str(ROOT / "test_data" / "images" / "P02_1")}
    with pytest.raises(InputError, match=r"results: found .*which holds images of P02_1; expected a folder"):
        sheets.read_study([ROOT / "config" / "config.yaml"], given)


def test_a_lock_that_cannot_be_taken_is_refused_in_words(place):
    with pytest.raises(InputError, match=r"s\.tsv: found .*expected a folder that can be written into"):
        results_folder.lock(place / "s.tsv")


@pytest.mark.workflow
def test_a_run_says_it_in_one_line_and_ends_with_2(tmp_path):
    folder = write_study(tmp_path / "run", "P02")
    (folder / "taken").write_text("mine")
    run = run_snakemake(folder, "--quiet", "all", "--config", "results=taken")
    assert run.code == 2
    (line,) = [line for line in run.output.splitlines() if "results:" in line]
    assert "taken is a file; expected a folder that is new, or holds results" in line
    assert "Traceback" not in run.output
    assert (folder / "taken").read_text() == "mine"
