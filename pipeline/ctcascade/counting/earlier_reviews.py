"""A review taken over to another run of the same sample: matched by frame and place, and what was lost is named."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ctcascade.counting.agreement import nearest_cells
from ctcascade.data import store
from ctcascade.data.errors import Fault, plain, refuse, refuse_all
from ctcascade.study.reviews import ReviewedCell, calls_hash, read

SAME_CELL_UM = 3.0
"""How far the centre of a cell may move between two runs, um: less than the radius of a leukocyte."""


@dataclass(frozen=True)
class Carried:
    """What became of one review: the file written, how many rows it took over, and each row that needs a new look."""

    file: Path
    n_carried: int
    lost: list[str]


def carry_over(
    reviews: Sequence[Path], frames: Path, calls: Path, out: Path, farthest_um: float = SAME_CELL_UM
) -> list[Carried]:
    """Write reviews of earlier calls as reviews of these, cell by cell, and return what could not be matched.

    Parameters
    ----------
    reviews : sequence of Path
        Files SAMPLE.REVIEWER.csv of an earlier run.
    frames, calls : Path
        Tables of the sample's present run.
    out : Path
        Folder that the files go to, under the same names.
    farthest_um : float
        A cell whose centre lies farther away than this is another one.

    Raises
    ------
    InputError
        If a file has a fault, is about another sample, or is already there: no review is ever written over.

    Notes
    -----
    A cell is the nearest one of the same frame whose centre lies within `farthest_um`; pairs are made from the nearest
    on, and no cell is used twice.
    """
    faults: list[Fault] = []
    found = [read(path, faults) for path in reviews]
    refuse_all(faults)
    sample = store.table_provenance(calls).settings.get("sample")
    for path, review in zip(reviews, found, strict=True):
        if review.sample != sample:
            refuse(path, "sample", review.sample, f"{sample}, which the calls are of", "take that sample's calls")
        if (out / path.name).exists():
            refuse(out / path.name, "", "a file", "no such file: none is written over", "choose another folder")
    table, fields = store.read_table(calls, "calls"), store.read_table(frames, "frames")
    pixel_um = dict(zip(fields["frame"], fields["pixel_size_um"], strict=True))
    own, results = calls_hash(table), []
    for path, review in zip(reviews, found, strict=True):
        cells = list(review.cells.values())
        places = [(cell.frame, cell.y_px, cell.x_px) for cell in cells]
        partner = nearest_cells(places, table, pixel_um, farthest_um)
        rows = [_moved(cells[i], table.iloc[row], own) for i, row in sorted(partner.items())]
        lost = list(_lost(cells, partner))
        if rows:
            store.write_text(out / path.name, _as_csv(rows))
        results.append(Carried(out / path.name, len(rows), lost))
    return results


def _moved(said: ReviewedCell, row: pd.Series, own: str) -> ReviewedCell:
    place = {"cell": int(row["cell"]), "y_px": float(row["y_px"]), "x_px": float(row["x_px"])}
    return said.model_copy(update={**place, "calls_sha256": own})


def _lost(cells: Sequence[ReviewedCell], partner: Mapping[int, int]) -> Iterator[str]:
    for i, cell in enumerate(cells):
        if i not in partner:
            where = f"y {cell.y_px:.1f}, x {cell.x_px:.1f} px"
            yield plain(f"frame {cell.frame}, cell {cell.cell} ({where}), reviewed as {cell.call}", None)


def _as_csv(rows: Sequence[ReviewedCell]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(ReviewedCell.model_fields), lineterminator="\n")
    writer.writeheader()
    writer.writerows(row.model_dump() for row in rows)
    return text.getvalue()
