"""Reviews and calls together: what several readers agree on, how well they agree, and the calls that follow."""

import hashlib
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
from ctcascade.data import results, store
from ctcascade.data.errors import Fault, InputError, plain, refuse_all
from ctcascade.data.results import Agreement
from ctcascade.data.vocabulary import CALLS
from ctcascade.study import jobs, sheets
from ctcascade.study.reviews import Review, ReviewedCell, read

_KEY = ["frame", "cell"]
_SEEN = {"frame": "", "cell": "<i8", "y_px": "<f4", "x_px": "<f4", "call": "", "cluster": "<i8"}  # "": text
_SAME_PLACE_PX = 1.0
_OTHER_RUN = "review this run's page, or take the review over with `ctcascade review --carry`"


def calls_hash(calls: pd.DataFrame) -> str:
    """Return the sha256 of what a reviewer looks at: place, call and cluster of each cell; no setting, no version."""
    digest = hashlib.sha256()
    for name, dtype in _SEEN.items():
        values = calls[name].fillna(0) if name == "cluster" else calls[name]
        data = values.to_numpy(dtype).tobytes() if dtype else "\0".join(values).encode()
        digest.update(f"{name} {len(data)} ".encode() + data)
    return digest.hexdigest()


def reviewed(
    reviews: Sequence[Review], calls: pd.DataFrame, cells: pd.DataFrame, gap_um: float, settings: Mapping[str, Any]
) -> tuple[pd.DataFrame, results.Review]:
    """Return the calls after the review, with their clusters formed again, and a summary of the review.

    Parameters
    ----------
    reviews : sequence of Review
        One or more files about this sample.
    calls, cells : DataFrame
        Tables of the sample, row by row the same cells.
    gap_um : float
        As for `clusters.group`.
    settings : mapping
        ``consensus`` (``majority``: what more than half of a cell's reviewers say; ``unanimous``: what all of them say;
        else the cell is ``uncertain`` and thus not counted) and ``level`` of the intervals.

    Raises
    ------
    InputError
        If a review is about other calls, or names a cell that is none of the sample.
    """
    reviews = sorted(reviews, key=lambda review: review.reviewer)
    refuse_all(fault for review in reviews for fault in _misfits(review, calls))
    row_of = pd.Series(np.arange(len(calls)), index=pd.MultiIndex.from_frame(calls[_KEY]))
    given: dict[int, dict[str, ReviewedCell]] = {}
    for review in reviews:
        for judged in review.cells.values():
            given.setdefault(int(row_of[judged.frame, judged.cell]), {})[review.reviewer] = judged
    call, apart = calls["call"].to_numpy(object).copy(), np.zeros(len(calls), np.bool_)
    changed = []
    for row in sorted(given):
        said = list(given[row].values())
        new = _agreed([one.call for one in said], settings["consensus"])
        apart[row] = 2 * sum(one.clustered == "no" for one in said) > len(said)
        if new != call[row]:
            frame, cell = str(calls["frame"].iloc[row]), int(calls["cell"].iloc[row])
            changed.append(results.ChangedCall(frame=frame, cell=cell, call=call[row], reviewed=new))
        call[row] = new
    after = _regrouped(calls.assign(call=call), cells, gap_um, apart)
    return after, _summary(reviews, given, calls, after, changed, settings)


def agreement(ratings: NDArray[np.integer[Any]], level: float) -> Agreement | None:
    """Return how well readers agree: Cohen's kappa for two of them, Fleiss' for more; None without a cell or a pair.

    Parameters
    ----------
    ratings : (n, m) array of int
        Call of cell n by reader m, from 0.
    level : float
        Probability of the interval.

    Notes
    -----
    With p the observed and c the chance agreement, ``kappa = (p - c) / (1 - c)``; c is the product of the readers' own
    shares (Cohen) or the sum of the squared pooled shares (Fleiss). The interval is that of p by Wilson over the cells,
    moved through the same formula with c as known: like Cohen's own standard error, but it keeps its width where all
    cells agree. The cells are those that were reviewed, which are the difficult ones: no statement about a whole slide.

    References
    ----------
    Cohen J. Educ Psychol Meas 1960;20:37-46. doi:10.1177/001316446002000104
    Fleiss JL. Psychol Bull 1971;76:378-382. doi:10.1037/h0031619
    Wilson EB. J Am Stat Assoc 1927;22:209-212. doi:10.1080/01621459.1927.10502953
    """
    n, m = ratings.shape
    if n == 0 or m < 2:
        return None
    # slow to load, and needed only where there is a second reader
    from statsmodels.stats.inter_rater import aggregate_raters, cohens_kappa, fleiss_kappa, to_table  # noqa: PLC0415
    from statsmodels.stats.proportion import proportion_confint  # noqa: PLC0415

    times, _ = aggregate_raters(ratings)
    observed = float((times * (times - 1)).sum(axis=1).mean() / (m * (m - 1)))
    shares = np.stack([(ratings == call).mean(axis=0) for call in np.unique(ratings)])
    chance = float((shares.prod(axis=1) if m == 2 else shares.mean(axis=1) ** 2).sum())
    kappa = low = high = None
    if chance < 1:
        kappa = float(cohens_kappa(to_table(ratings)[0], return_results=False) if m == 2 else fleiss_kappa(times))
        limits = proportion_confint(observed * n, n, alpha=1 - level, method="wilson")
        low, high = (float((limit - chance) / (1 - chance)) for limit in limits)
    return Agreement(n_cells=n, n_readers=m, agreement=observed, kappa=kappa, low=low, high=high, level=level)


def partners(
    places: Sequence[tuple[str, float, float]], calls: pd.DataFrame, pixel_um: Mapping[str, float], farthest_um: float
) -> dict[int, int]:
    """Return the row of the calls table that is meant by each place (frame, y, x in pixels) that has one.

    Parameters
    ----------
    places : sequence of (str, float, float)
    calls : DataFrame
        ``frame, y_px, x_px`` of each cell.
    pixel_um : mapping of str to float
        Edge of a pixel, by frame.
    farthest_um : float
        Cells farther away are not meant.

    Returns
    -------
    dict of int to int
        Pairs are made from the nearest on, and no cell is used twice.
    """
    pairs = []
    rows_of = calls.groupby("frame", sort=False).indices
    centres = calls[["y_px", "x_px"]].to_numpy(float)
    for i, (frame, y, x) in enumerate(places):
        rows = np.asarray(rows_of.get(frame, ()), dtype=np.int64)
        away = np.hypot(*(centres[rows] - (y, x)).T) * pixel_um.get(frame, math.inf)
        pairs += [(away[k], i, int(rows[k])) for k in np.flatnonzero(away <= farthest_um)]
    partner: dict[int, int] = {}
    taken: set[int] = set()
    for _, i, row in sorted(pairs):
        if i not in partner and row not in taken:
            partner[i] = row
            taken.add(row)
    return partner


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
                faults += _misfits(read(path, []), calls)
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


def _misfits(review: Review, calls: pd.DataFrame) -> list[Fault]:
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
        elif math.dist(np.asarray(places.loc[key], np.float64), (said.y_px, said.x_px)) > _SAME_PLACE_PX:
            faults.append(Fault(review.file, at, f"{cell} at another place", "its y_px and x_px", "fix the line"))
    return faults


def _agreed(said: Sequence[str], rule: str) -> str:
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
    settings: Mapping[str, Any],
) -> results.Review:
    names, level = [review.reviewer for review in reviews], settings["level"]
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
        consensus=settings["consensus"],
        n_reviewed=len(rows),
        n_changed=len(changed),
        changed=tuple(changed),
        between_reviewers=found(common, *(by(name, common) for name in names)),
        with_classifier=found(rows, [first[r] for r in rows], [last[r] for r in rows]),
        reviewers=tuple(
            results.Reviewer(
                reviewer=name,
                n_reviewed=len(own[name]),
                with_classifier=found(own[name], [first[r] for r in own[name]], by(name, own[name])),
            )
            for name in names
        ),
    )


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
    if faults:
        raise InputError(*faults)
    return reviews
