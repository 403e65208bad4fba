"""Reviews applied to calls: what a cell's readers agree on stands for the classifier's call, and is summarised."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ctcascade import __version__
from ctcascade.calling.clusters import group
from ctcascade.counting.agreement import agreement
from ctcascade.counting.readers import p_ctc_given_readers
from ctcascade.data import results, store
from ctcascade.data.errors import Fault, InputError, plain, refuse_all
from ctcascade.data.results import Agreement
from ctcascade.data.vocabulary import CALLS
from ctcascade.study import jobs, sheets
from ctcascade.study.reviews import Review, ReviewedCell, calls_hash, read

_KEY = ["frame", "cell"]
_MORE_THAN_EVEN = 0.51
_ROUNDED_PX = 1.0  # files hold rounded places: a place farther from its cell than this is a slip
_OTHER_RUN = "review this run's page, or take the review over with `ctcascade review --carry`"


def apply_reviews(
    reviews: Sequence[Review], calls: pd.DataFrame, cells: pd.DataFrame, gap_um: float, consensus: str, level: float
) -> tuple[pd.DataFrame, results.Review]:
    """Return the calls after the review, with their clusters formed again, and a summary of the review.

    The consensus is the call; ``p_ctc`` of a reviewed cell is that of readers who err (`readers`).

    Parameters
    ----------
    reviews : sequence of Review
        One or more files about this sample.
    calls, cells : DataFrame
        Tables of the sample, row by row the same cells.
    gap_um : float
        As for `clusters.group`.
    consensus : {"majority", "unanimous"}
        What is taken: what more than half of a cell's reviewers say, or what all of them say; else the cell is
        ``uncertain`` and thus not counted.
    level : float
        Probability of the intervals of the agreement.

    Raises
    ------
    InputError
        If a review is about other calls, or names a cell that is none of the sample.
    """
    reviews = sorted(reviews, key=lambda review: review.reviewer)
    refuse_all(fault for review in reviews for fault in misfits(review, calls))
    row_of = pd.Series(np.arange(len(calls)), index=pd.MultiIndex.from_frame(calls[_KEY]))
    given: dict[int, dict[str, ReviewedCell]] = {}
    for review in reviews:
        for judged in review.cells.values():
            given.setdefault(int(row_of[judged.frame, judged.cell]), {})[review.reviewer] = judged
    call, apart = calls["call"].to_numpy(object).copy(), np.zeros(len(calls), np.bool_)
    rows, changed = sorted(given), []
    p_ctc = calls["p_ctc"].to_numpy().copy()
    if rows:
        by_reader = [{name: judged.call for name, judged in given[row].items()} for row in rows]
        p_ctc[rows] = p_ctc_given_readers(p_ctc[rows].astype(np.float64), by_reader)
    for row in rows:
        said = list(given[row].values())
        new = consensus_of([judged.call for judged in said], consensus)
        apart[row] = 2 * sum(judged.clustered == "no" for judged in said) > len(said)
        if new != call[row]:
            frame, cell = str(calls["frame"].iloc[row]), int(calls["cell"].iloc[row])
            changed.append(results.ChangedCall(frame=frame, cell=cell, call=call[row], reviewed=new))
        call[row] = new
    agreed = [row for row in rows if call[row] == "ctc"]
    p_ctc[agreed] = np.maximum(p_ctc[agreed], _MORE_THAN_EVEN)  # what is called a CTC is more likely one than not
    after = _regrouped(calls.assign(call=call, p_ctc=p_ctc), cells, gap_um, apart)
    return after, _summary(reviews, given, calls, after, changed, consensus, level)


def read_all(paths: Sequence[Path], sample: str) -> list[Review]:
    """Return the reviews of a sample; refuse all of them when one has a fault.

    Raises
    ------
    InputError
        With every fault of every file.
    """
    faults: list[Fault] = []
    reviews = [read(path, faults) for path in paths]
    for review in reviews:
        if review.sample != sample:
            faults.append(Fault(review.file, "", f"a review of {plain(review.sample)}", sample, "leave the file out"))
    readers: dict[str, str] = {}
    for review in reviews:
        other = readers.setdefault(review.reviewer.casefold(), review.file)
        if other != review.file:
            told = f"the reviewer of {plain(other)} a second time"
            faults.append(Fault(review.file, "", told, "each reviewer once", "leave one of the two out"))
    if faults:
        raise InputError(*faults)
    return reviews


def check_against_results(study: sheets.Study) -> None:
    """Refuse reviews of other calls than those that are there, where these are what the settings ask for.

    Raises
    ------
    InputError
        With every review that does not match. Calls that have yet to be made are compared when they are counted.
    """
    faults: list[Fault] = []
    for sample, files in study.reviews.items():
        folder = Path(study.settings.results) / "samples" / sample
        if _is_current(folder / "calls.parquet", study, "classify", sample) and _is_current(
            folder / "frames.parquet", study, "detect", sample
        ):
            calls = store.read_table(folder / "calls.parquet", "calls")
            for path in files:
                faults += misfits(read(path, []), calls)
    refuse_all(faults)


def _is_current(table: Path, study: sheets.Study, verb: str, sample: str) -> bool:
    if not table.exists():
        return False
    try:
        made = store.table_provenance(table)
    except (OSError, ValueError, KeyError, TypeError):  # not whole: the stage will make it again, or say so
        return False
    wanted = jobs.job_for(study, verb, sample=sample).as_json()
    return made.version == __version__ and made.settings == wanted


def misfits(review: Review, calls: pd.DataFrame) -> list[Fault]:
    """Return how a review is not about these calls."""
    own = calls_hash(calls)
    if review.calls_sha256 != own:
        found = f"a review of other calls ({review.calls_sha256[:16]}...)"
        return [Fault(review.file, "calls_sha256", found, f"one of this run's calls ({own[:16]}...)", _OTHER_RUN)]
    places = calls.set_index(_KEY)[["y_px", "x_px"]]
    faults = []
    for line, said in review.cells.items():
        key = (said.frame, said.cell)
        at, cell = f"line {line}", f"cell {key[1]} of frame {plain(key[0])}"
        if key not in places.index:
            faults.append(Fault(review.file, at, cell, "a cell of the sample", "remove the line"))
        elif math.dist(np.asarray(places.loc[key], np.float64), (said.y_px, said.x_px)) > _ROUNDED_PX:
            faults.append(Fault(review.file, at, f"{cell} at another place", "its y_px and x_px", "fix the line"))
    return faults


def _alone(first: NDArray[np.integer[Any]], rows: Sequence[int], said: Sequence[int]) -> int:
    """Return the CTCs where the cells at `rows` are what one reader said, and the others what they were."""
    calls = first.copy()
    calls[list(rows)] = said
    return int((calls == CALLS.index("ctc")).sum())


def consensus_of(said: Sequence[str], rule: str) -> str:
    """Return what a cell's readers agree on by the rule; uncertain where they do not."""
    call, times = Counter(said).most_common(1)[0]
    enough = times == len(said) if rule == "unanimous" else 2 * times > len(said)
    return call if enough else "uncertain"


def _regrouped(calls: pd.DataFrame, cells: pd.DataFrame, gap_um: float, apart: NDArray[np.bool_]) -> pd.DataFrame:
    contacts = calls[_KEY].merge(cells[[*_KEY, "contacts", "contact_gaps_um"]], on=_KEY, how="left")
    cluster, with_leukocyte = group(contacts, calls["call"].to_numpy(object), gap_um, apart)
    return calls.assign(cluster=cluster, with_leukocyte=with_leukocyte)


def _summary(
    reviews: Sequence[Review],
    given: Mapping[int, Mapping[str, ReviewedCell]],
    before: pd.DataFrame,
    after: pd.DataFrame,
    changed: Sequence[results.ChangedCall],
    consensus: str,
    level: float,
) -> results.Review:
    names = [review.reviewer for review in reviews]
    number = {call: i for i, call in enumerate(CALLS)}
    first, last = (table["call"].map(number).to_numpy() for table in (before, after))

    def found(rows: Sequence[int], *readers: Sequence[int]) -> Agreement | None:
        ratings = np.array(readers, dtype=np.int64).T.reshape(len(rows), len(readers))
        return agreement(ratings, level)

    def by(name: str, rows: Sequence[int]) -> list[int]:
        return [number[given[row][name].call] for row in rows]

    rows = sorted(given)
    common = [row for row in rows if len(given[row]) == len(names)]
    own = {name: [row for row in rows if name in given[row]] for name in names}
    return results.Review(
        consensus=consensus,
        n_reviewed=len(rows),
        n_changed=len(changed),
        changed=tuple(changed),
        between_reviewers=found(common, *(by(name, common) for name in names)),
        with_classifier=found(rows, [first[r] for r in rows], [last[r] for r in rows]),
        reviewers=tuple(
            results.Reviewer(
                reviewer=name,
                n_reviewed=len(own[name]),
                n_ctc=_alone(first, own[name], by(name, own[name])),
                with_classifier=found(own[name], [first[r] for r in own[name]], by(name, own[name])),
            )
            for name in names
        ),
    )
