"""What reviewers said of single cells: their files, SAMPLE.REVIEWER.csv, found and checked before they are used."""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from ctcascade.data.errors import Fault, plain
from ctcascade.data.typed import Number, Typed, Whole
from ctcascade.study import checking, text_files

if TYPE_CHECKING:  # slow to load, and most readers of sheets meet no review
    import pandas as pd

_SUFFIX = ".csv"
_OF_SYSTEMS = ("thumbs.db", "desktop.ini")
_IMAGES = (".tif", ".tiff", ".jpg", ".jpeg", ".png", ".czi", ".nd2", ".lif", ".lof", ".oib", ".oif", ".zarr")
_NAMED = 20  # of what is not used
_SEEN = {"frame": "", "cell": "<i8", "y_px": "<f4", "x_px": "<f4", "call": "", "cluster": "<i8"}  # "": text
_SECOND_DOWNLOAD = re.compile(r"(.+?) ?(?:\(\d+\)|- (?:Copy|Kopie)(?: \(\d+\))?)")
_REVIEW_AGAIN = "export it again from the sample's report"


class ReviewedCell(Typed):
    """What a reviewer said of one cell: a row of a reviewer's file."""

    sample: str = Field(min_length=1, description="the sample's name as in the file's name")
    calls_sha256: str = Field(
        pattern="^[0-9a-f]{64}$", description="the digest of the calls that were looked at, 64 digits 0-9 and a-f"
    )
    reviewer: str = Field(
        pattern="^[A-Za-z0-9_-]{1,32}$",
        description="the reviewer's name as in the file's name, at most 32 letters, digits, '_' or '-'",
    )
    frame: str = Field(min_length=1, description="the frame's name")
    cell: Whole = Field(ge=1, description="the cell's number in the frame")
    y_px: Number = Field(description="the row of the cell's centre")
    x_px: Number = Field(description="the column of the cell's centre")
    call: Literal["ctc", "leukocyte", "double_positive", "dna_only", "debris", "uncertain"] = Field(
        description="what the reviewer calls the cell"
    )
    score: Whole | None = Field(
        default=None,
        ge=0,
        le=4,
        description="a whole number from 0 (surely not a CTC) to 4 (surely a CTC), or nothing",
    )
    clustered: Literal["yes", "no"] | None = Field(
        default=None, description="no where the cell only lies beside others and is attached to none"
    )
    note: str | None = Field(default=None, max_length=500, description="free text of at most 500 characters")


@dataclass(frozen=True)
class Review:
    """One reviewer's file about one sample.

    Parameters
    ----------
    file, sample, reviewer : str
    calls_sha256 : str
        Which calls were looked at (`calls_hash`).
    cells : dict of int to ReviewedCell
        By line of the file; a line with a fault is not among them.
    """

    file: str
    sample: str
    reviewer: str
    calls_sha256: str
    cells: dict[int, ReviewedCell]


def find(folder: Path, samples: Collection[str], faults: list[Fault]) -> tuple[dict[str, list[Path]], list[str]]:
    """Return the review files of each sample, by reviewer, and what is in the folder but not used; check each file."""
    if not os.path.isdir(folder):  # unlike Path.is_dir, no name is too long for it
        faults.append(Fault("reviews", "", plain(folder), "a folder of SAMPLE.REVIEWER.csv files", "fix the path"))
        return {}, []
    found: dict[str, list[Path]] = {}
    notes = []
    once: dict[tuple[str, str], Review] = {}
    for path in sorted(folder.iterdir()):
        sample, _, reviewer = _stem(path).rpartition(".")
        if path.name.startswith(".") or path.name.casefold() in _OF_SYSTEMS:
            continue
        if path.suffix.lower() != _SUFFIX or path.is_dir():
            notes.append(f"{plain(path)} is not used: a review is a file SAMPLE.REVIEWER.csv in this folder itself")
        elif sample in samples:
            review = read(path, faults)
            other = once.setdefault((sample, reviewer.casefold()), review)
            if other is review:
                found.setdefault(sample, []).append(path)
            elif _says(other) == _says(review):
                notes.append(f"{plain(path)} is not used: the same review as {plain(Path(other.file).name)}")
            else:
                wanted = "one file for each reviewer, whatever the case of letters"
                told = f"the reviewer of {plain(Path(other.file).name)} a second time"
                faults.append(Fault(str(path), "", told, wanted, "remove one of the two"))
        elif sample:
            near = checking.nearest(sample, list(samples), "no such sample is in the sheet")
            notes.append(f"{plain(path)} is not used: {near}")
        else:
            notes.append(f"{plain(path)} is not used: a review is a file SAMPLE.REVIEWER.csv")
    images = [path for path in folder.iterdir() if path.name.lower().endswith(_IMAGES)]
    if images and not found:
        told = f"{plain(folder)}, a folder of {len(images)} images ({plain(images[0].name)} ...) and no review"
        faults.append(Fault("reviews", "", told, "a folder of SAMPLE.REVIEWER.csv files", "fix the path"))
        return {}, []
    more = [f"{plain(folder)}: {len(notes) - _NAMED} more files are not used"] if len(notes) > _NAMED else []
    return found, [*notes[:_NAMED], *more]


def _stem(path: Path) -> str:
    """Return a file's name without .csv, however that is written."""
    return path.name[: -len(_SUFFIX)] if path.suffix.lower() == _SUFFIX else path.name


def _says(review: Review) -> list[tuple[object, ...]]:
    """Return what a review says, without who says it."""
    return [
        (cell.calls_sha256, cell.frame, cell.cell, cell.call, cell.score, cell.clustered)
        for cell in review.cells.values()
    ]


def read(path: Path, faults: list[Fault]) -> Review:
    """Return one review file; each of its faults goes to `faults`."""
    sample, dot, reviewer = _stem(path).rpartition(".")
    again = _SECOND_DOWNLOAD.fullmatch(reviewer)
    if again:
        wanted, todo = (
            f"one file of {plain(again[1])}, {sample}.{plain(again[1])}.csv",
            "keep the newest under that name",
        )
        faults.append(Fault(str(path), "", "a name as a browser gives to a second download", wanted, todo))
        return Review(str(path), sample, reviewer, "", {})
    rows = text_files.read_sheet(path, ReviewedCell, faults, delimiter=",")
    if not dot:
        faults.append(Fault(str(path), "", plain(path.name), "a file SAMPLE.REVIEWER.csv", "rename the file"))
    hashes = Counter(row.text.get("calls_sha256", "") for row in rows)
    usual = hashes.most_common(1)[0][0] if hashes else ""
    once: set[tuple[str, int]] = set()
    cells = {row.line: row.value for row in rows if row.value}
    for line, said in cells.items():
        given = {
            "sample": (said.sample, sample),
            "reviewer": (said.reviewer, reviewer),
            "calls_sha256": (said.calls_sha256, usual),
        }
        for name, (found, wanted) in given.items():
            if found != wanted:
                faults.append(Fault(str(path), f"line {line}, {name}", found, wanted, _REVIEW_AGAIN))
        if (said.frame, said.cell) in once:
            found = f"cell {said.cell} of frame {plain(said.frame)} a second time"
            faults.append(Fault(str(path), f"line {line}", found, "each cell once", "remove one of the lines"))
        once.add((said.frame, said.cell))
    return Review(str(path), sample, reviewer, usual, cells)


def calls_hash(calls: "pd.DataFrame") -> str:
    """Return the sha256 of what a reviewer looks at: place, call and cluster of each cell; no setting, no version."""
    digest = hashlib.sha256()
    for name, dtype in _SEEN.items():
        values = calls[name].fillna(0) if name == "cluster" else calls[name]
        data = values.to_numpy(dtype).tobytes() if dtype else _joined(values)
        digest.update(f"{name} {len(data)} ".encode())
        digest.update(data)
    return digest.hexdigest()


def _joined(words: "pd.Series[str]") -> bytes:
    """Return words with zeros between them, as UTF-8; made without a Python object for each of a slide's millions."""
    import pyarrow as pa  # noqa: PLC0415  slow to load, and most readers of sheets meet no review
    import pyarrow.compute as pc  # noqa: PLC0415

    strings = pa.array(words, pa.large_string())
    if isinstance(strings, pa.ChunkedArray):
        strings = strings.combine_chunks()
    all_in_one = pa.LargeListArray.from_arrays(pa.array([0, len(words)], pa.int64()), strings)
    joined: bytes = pc.binary_join(all_in_one, pa.scalar("\0", pa.large_string()))[0].as_buffer().to_pybytes()
    return joined
