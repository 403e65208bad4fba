"""What reviewers said of single cells: their files, SAMPLE.REVIEWER.csv, found and checked before they are used."""

import os
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from ctcascade.data.errors import Fault, plain
from ctcascade.study import text_files
from ctcascade.study.text_files import Row

_SUFFIX = ".csv"
_REVIEW_AGAIN = "export it again from the sample's report"


@dataclass(frozen=True)
class Review:
    """One reviewer's file about one sample.

    Parameters
    ----------
    file, sample, reviewer : str
    calls_sha256 : str
        Which calls were looked at (`consensus.calls_hash`).
    rows : list of Row
        One a cell, as in ``schemas/review.yaml``.
    """

    file: str
    sample: str
    reviewer: str
    calls_sha256: str
    rows: list[Row]


def find(folder: Path, samples: Collection[str], faults: list[Fault]) -> tuple[dict[str, list[Path]], list[str]]:
    """Return the review files of each sample, by reviewer, and what is in the folder but not used; check each file."""
    if not os.path.isdir(folder):  # unlike Path.is_dir, no name is too long for it
        faults.append(Fault("reviews", "", plain(folder), "a folder of SAMPLE.REVIEWER.csv files", "mend the path"))
        return {}, []
    found: dict[str, list[Path]] = {}
    notes = []
    for path in sorted(folder.iterdir()):
        sample = path.name.removesuffix(_SUFFIX).rpartition(".")[0]
        if path.suffix != _SUFFIX or path.name.startswith("."):
            continue
        if sample in samples:
            read(path, faults)
            found.setdefault(sample, []).append(path)
        else:
            near = text_files.nearest(sample, list(samples), "no such sample is in the sheet")
            notes.append(f"{plain(path)} is not used: {near}")
    return found, notes


def read(path: Path, faults: list[Fault]) -> Review:
    """Return one review file; each fault of it goes to `faults`, and rows with a fault are not to be used."""
    sample, dot, reviewer = path.name.removesuffix(_SUFFIX).rpartition(".")
    rows = text_files.read_sheet(path, "review", faults, delimiter=",")
    if not dot:
        faults.append(Fault(str(path), "", plain(path.name), "a file SAMPLE.REVIEWER.csv", "rename the file"))
    hashes = Counter(row.cells["calls_sha256"] for row in rows)
    usual = hashes.most_common(1)[0][0] if hashes else ""
    once: set[tuple[str, int]] = set()
    for row in (row for row in rows if row.sound):
        cells, key = row.cells, (row.cells["frame"], row.cells["cell"])
        given = {"sample": sample, "reviewer": reviewer, "calls_sha256": usual}
        for name, wanted in given.items():
            if cells[name] != wanted:
                faults.append(Fault(str(path), f"line {row.line}, {name}", cells[name], wanted, _REVIEW_AGAIN))
        if key in once:
            at, found = f"line {row.line}", f"cell {key[1]} of frame {plain(key[0])} a second time"
            faults.append(Fault(str(path), at, found, "each cell once", "remove one of the lines"))
        once.add(key)
    return Review(str(path), sample, reviewer, usual, rows)
