"""What looks like the identity of a person is reported: in the sheets and in the headers of images."""

import datetime
import struct
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from ctcascade.formats import FrameRef, listing, read_words
from ctcascade.study.assay import read_assay
from ctcascade.study.privacy import in_rows, suspicions
from ctcascade.validation import before_run

pytestmark = pytest.mark.unit

TODAY = datetime.date(2026, 6, 1)

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("born 1961-03-02", ["a day of birth"]),
        ("DOB: 3/2/1961", ["a day of birth"]),
        ("geb. 02.03.1961", ["a day of birth"]),
        ("P_19610302", ["a day of birth"]),
        ("Patient name: X", ["a person's name"]),
        ("drawn by Mrs. Example", ["a person's name"]),
        ("EXAMPLE^JANE", ["a person's name"]),
        ('<Experimenter FirstName="J" Email="j@example.org"/>', ["a person's name", "an address of electronic mail"]),
        ("MRN 12345", ["a record number"]),
        ("4711-0815 1234567", ["a record number"]),
        ("no 123-45-6789", ["a record number"]),
        ("MRN: 12, born 1950-01-01", ["a record number", "a day of birth"]),
    ],
)
def test_each_kind_of_identity_is_recognised(text: str, kinds: list[str]) -> None:
    assert sorted(suspicions(text, TODAY)) == sorted(kinds)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "P01_2026-05-01",
        "20260501_run2",
        "phantom, four weeks into therapy",
        "newborn screening, none",
        "HER2 3+, 7.5 mL, lot 123456",
        "slides/P1;slides/P2",
        "day 29.02.2025 is none, 31.12.2025 is one",
        "missed 2 frames",
    ],
)
def test_ordinary_words_pass(text: str) -> None:
    assert list(suspicions(text, TODAY)) == []


def test_long_numbers_only_where_asked() -> None:
    assert list(suspicions("stage 12345678", TODAY)) == ["a record number"]
    assert list(suspicions("stage 12345678", TODAY, whole_numbers=False)) == []


def test_a_day_of_birth_is_eighteen_years_ago_or_more() -> None:
    assert list(suspicions("2008-12-31", TODAY)) == ["a day of birth"]
    assert list(suspicions("2009-01-01", TODAY)) == []


@pytest.mark.property
@given(st.text(max_size=400))
def test_any_text_gives_each_kind_once(text: str) -> None:
    found = list(suspicions(text, TODAY))
    assert len(found) == len(set(found)) <= 4


def test_notes_name_sheet_row_and_column() -> None:
    rows = {
        "S1": SimpleNamespace(note="fine", patient=None),
        "S2": SimpleNamespace(note="MRN 5", patient="Smith.J"),
    }
    assert list(in_rows("samples.tsv", rows, ("patient", "note"))) == [
        "samples.tsv: S2, note looks like a record number; use a pseudonym and leave such things out"
    ]


def tiff_with(text: bytes) -> bytes:
    """One grey pixel under a header whose Artist tag (315, ASCII) holds `text`."""
    entries = [(256, 4, 1, 1), (257, 4, 1, 1), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)]
    start = 8 + 2 + 12 * 8 + 4
    entries += [(273, 4, 1, start), (279, 4, 1, 1), (315, 2, len(text) + 1, start + 1)]
    directory = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + directory + b"\0\0\0\0" + b"\7" + text + b"\0"


def frame_at(path: Path) -> FrameRef:
    return FrameRef("f1", path.name, (path,), 0, "ome-tiff")


def test_words_of_a_tiff_and_a_png(tmp_path: Path) -> None:
    tiff, png, broken = tmp_path / "a.tif", tmp_path / "b.png", tmp_path / "c.tif"
    tiff.write_bytes(tiff_with(b"Mrs. Example"))
    words = PngImagePlugin.PngInfo()
    words.add_text("Comment", "born 1950-01-01")
    Image.new("L", (2, 2)).save(png, pnginfo=words)
    broken.write_bytes(b"II*\0")
    assert read_words(frame_at(tiff)) == "Mrs. Example"
    assert read_words(frame_at(png)) == "born 1950-01-01"
    assert read_words(frame_at(broken)) == ""


def test_headers_are_reported_by_sample(tmp_path: Path) -> None:
    (tmp_path / "S1").mkdir()
    (tmp_path / "S1" / "f1.tif").write_bytes(tiff_with(b"patient name: J. Example"))
    channels = {"dna": ["DAPI"], "ck": ["CK"], "cd45": ["CD45"]}
    shipped = read_assay(ROOT / "config" / "assays" / "cellsearch.yaml", [])
    assay = shipped.model_copy(update={"channels": channels, "files": None})
    first = listing.list_frames(["S1"], tmp_path, "auto", assay.camera("a")).frames[0]
    assert list(before_run.personal({"S1": first})) == [
        "S1: the header of S1/f1.tif seems to hold a person's name; share the images without it"
    ]
