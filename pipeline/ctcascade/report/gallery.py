"""The cells that a person looks at: candidates, those in doubt first, clusters, and cells to compare them with.

The page holds the first candidates; the others lie in a script file beside it, which it loads once they are asked
for. What the page filters and sorts by is in the page for all of them.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from markupsafe import Markup

from ctcascade.calling.candidates import DOUBTS, cluster_members, near_misses, records, typical_leukocytes, unlike_of
from ctcascade.data import store
from ctcascade.data.tables import Row
from ctcascade.data.vocabulary import CALLS
from ctcascade.report.numbers import amount, percent
from ctcascade.report.page import anchor
from ctcascade.report.thumbnails import Crops, Picture
from ctcascade.report.words import judge_words
from ctcascade.study.jobs import ReportSampleJob

FILE = "gallery.js"
NARROWED = {
    "ck_contrast": "CK above surroundings, counts",
    "cd45_contrast": "CD45 above surroundings, counts",
    "equivalent_diameter_um": "diameter, µm",
    "p_ctc": "P(CTC), 0 to 1",
}
"""What the gallery can be narrowed and sorted by: columns of calls and cells, and their names for the reader."""
DOUBT_WORDS = {
    "differ": "limits and learned check differ",
    "uncertain": "uncertain",
    "double_positive": "double-positive",
    "near_gate": "close to a limit",
    "cluster": "in a cluster",
    "": "not in doubt",
}
_MOST_LN = math.log(1000)
Key = tuple[str, int]


@dataclass(frozen=True)
class Candidate:
    """A cell in the gallery: its place in the order, its row of calls and cells, and its pictures."""

    number: int
    call: Row
    features: list[tuple[str, str]]
    picture: Picture

    @property
    def asked(self) -> list[Row]:
        """What a reviewer is asked about."""
        return [reviewable(self.call)]

    @property
    def doubt(self) -> str:
        """Why it is worth a look, in words; empty where it is not in doubt."""
        why = str(self.call.get("doubt", ""))
        return DOUBT_WORDS[why] if why not in ("", str(self.call["call"])) else ""


@dataclass(frozen=True)
class Cluster:
    """CTCs that touch: their number in the sample, members, and one picture of all."""

    number: int
    members: list[Row]
    picture: Picture

    @property
    def asked(self) -> list[Row]:
        """What a reviewer is asked about."""
        return [reviewable(member) for member in self.members]


@dataclass(frozen=True)
class Gallery:
    """What a sample's page shows of single cells.

    Attributes
    ----------
    found : int
        All candidates of the sample.
    first : list of Candidate
        Those that the page itself holds.
    later : list of Candidate
        The others.
    columns : dict of str to list
        Of all candidates with a picture, in order: what the page filters, sorts and exports.
    numbers : dict of (str, int) to int
        By frame and cell, the place in that order.
    clusters : list of Cluster
    near_misses, leukocytes : list of Candidate
        Cells to compare with.
    unlike : list of Candidate
        Cells that no gate wanted and that are most unlike the leukocytes.
    """

    found: int
    first: list[Candidate]
    later: list[Candidate]
    columns: dict[str, object]
    numbers: dict[Key, int]
    clusters: list[Cluster]
    near_misses: list[Candidate]
    leukocytes: list[Candidate]
    unlike: list[Candidate]

    @property
    def shown(self) -> int:
        """Candidates with a picture."""
        return len(self.numbers)

    @property
    def any(self) -> bool:
        """Whether there is a cell to review."""
        return bool(self.found or self.near_misses or self.unlike)

    @property
    def in_doubt(self) -> int:
        """Of these, how many are in doubt."""
        doubt: object = self.columns["doubt"]
        return sum(kind != DOUBTS.index("") for kind in doubt) if isinstance(doubt, list) else 0


def gallery_of(job: ReportSampleJob, found: pd.DataFrame, seen: pd.DataFrame, crops: Crops) -> Gallery:
    """Return the gallery of a sample.

    Parameters
    ----------
    job : ReportSampleJob
    found : DataFrame
        As `candidates_of` gives them.
    seen : DataFrame
        The calls with their cells' features (`candidates.beside`), from `scatter.with_contrast`.
    crops : Crops
        The pictures, of just these cells.
    """
    roles = {role: job.assay.labels.get(role, role.upper()) for role in job.assay.channels}

    def shown(rows: Sequence[Row], start: int = 0) -> list[Candidate]:
        return [Candidate(n, row, features(row, roles), crops.picture([row])) for n, row in enumerate(rows, start)]

    rows = records(found.head(job.pictured))
    most = job.max_thumbnails
    members = cluster_members(found, most)
    misses = near_misses(seen, job.compared)
    asked = {(row["frame"], row["cell"]) for row in misses}
    strange = [row for row in unlike_of(seen) if (row["frame"], row["cell"]) not in asked]
    return Gallery(
        found=len(found),
        first=shown(rows[:most]),
        later=shown(rows[most:], most),
        columns=columns(rows),
        numbers={(str(row["frame"]), int(row["cell"])): number for number, row in enumerate(rows)},
        clusters=[Cluster(int(own[0]["cluster"]), own, crops.picture(own)) for own in members],
        near_misses=shown(misses),
        leukocytes=shown(typical_leukocytes(seen, job.compared)),
        unlike=shown(strange),
    )


def columns(rows: Sequence[Row]) -> dict[str, object]:
    """Return what the page needs of all candidates, column by column: words as places in a list of words."""
    frames = sorted({str(row["frame"]) for row in rows})
    place = {name: at for at, name in enumerate(frames)}
    return {
        "frames": frames,
        "calls": list(CALLS),
        "frame": [place[str(row["frame"])] for row in rows],
        "cell": [int(row["cell"]) for row in rows],
        "y_px": [round(float(row["y_px"]), 2) for row in rows],
        "x_px": [round(float(row["x_px"]), 2) for row in rows],
        "call": [CALLS.index(row["call"]) for row in rows],
        "doubt": [DOUBTS.index(row["doubt"]) for row in rows],
        "cluster": [None if pd.isna(row["cluster"]) else int(row["cluster"]) for row in rows],
        "values": {name: [_shortened(row[name]) for row in rows] for name in NARROWED},
    }


def write_later(gallery: Gallery, path: Path, card: Callable[[Candidate], str]) -> None:
    """Write the candidates that the page does not hold as a script that hands them to the page.

    Parameters
    ----------
    gallery : Gallery
    path : Path
        Written also where there are none.
    card : callable
        Returns the HTML of a candidate.
    """
    text = ",\n".join(json.dumps(card(candidate), ensure_ascii=True) for candidate in gallery.later)
    store.write_text(path, f"ctcascadeCards([\n{text}\n]);\n")


def reviewable(row: Row) -> Row:
    """Return what identifies a cell in a review, and the call that it is about."""
    place = {key: round(float(row[key]), 2) for key in ("y_px", "x_px")}
    return {"frame": str(row["frame"]), "cell": int(row["cell"]), **place, "call": str(row["call"])}


def links(gallery: Gallery) -> dict[Key, str]:
    """Return by frame and cell the id of the card in the page, for those candidates that it holds."""
    return {(str(c.call["frame"]), int(c.call["cell"])): anchor(c.call["frame"], c.call["cell"]) for c in gallery.first}


def features(row: Row, roles: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return what a card says of a cell's size and signals; `roles` has the name of each channel."""

    def shown(name: str, digits: int, unit: str) -> str:
        return f"{row[name]:.{digits}f} {unit}" if pd.notna(row.get(name)) else "not measured"

    signals = ", ".join(f"{name} {row[f'{role}_mean']:.0f}" for role, name in roles.items() if f"{role}_mean" in row)
    return [
        ("Size", f"{shown('equivalent_diameter_um', 1, 'µm')} across; nucleus {shown('nucleus_area_um2', 0, 'µm²')}"),
        ("Mean signal", f"{signals} counts"),
        *_judged(row),
        *((name, _marked(row, role)) for role, name in roles.items() if f"{role}_positive" in row),
    ]


def _shortened(value: float) -> float | None:
    return None if pd.isna(value) else float(f"{value:.5g}")


def _judged(row: Row) -> list[tuple[str, str]]:
    """Return in words what the learned check says of a cell; nothing where it was not asked."""
    if not row.get("judge_reason") or pd.isna(row["judge_ln_ratio"]):
        return []
    ln_ratio = float(row["judge_ln_ratio"])
    times = amount(math.exp(min(abs(ln_ratio), _MOST_LN)))
    often = f"{'more than ' if abs(ln_ratio) > _MOST_LN else ''}{times} times as often"
    like = ("CTCs", "other cells") if ln_ratio >= 0 else ("other cells", "CTCs")
    verdict = judge_words(str(row["judge_reason"])).removeprefix("the learned check ")
    said = f"{verdict}: {like[0]} look like this {often} as {like[1]}"
    return [("Learned check", said), ("Limits alone", Markup("P(CTC) {}").format(percent(float(row["gates_p_ctc"]))))]


def _marked(row: Row, role: str) -> str:
    """Return in words whether a cell shows a further marker."""
    if pd.isna(row[f"{role}_positive"]):
        return "not evaluable"
    return f"{'positive' if row[f'{role}_positive'] else 'negative'}, {row[f'{role}_z']:.1f} spreads above leukocytes"
