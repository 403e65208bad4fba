"""Which cells of a sample are worth a look, those in doubt first, and which ones to compare them with."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ctcascade.data.tables import Row

SHOWN_CALLS = ("ctc", "uncertain", "double_positive")
DOUBTS = ("differ", "uncertain", "double_positive", "near_gate", "cluster", "")
"""Why a candidate is worth a look, in the order in which they come; the last: a CTC without any doubt."""
UNSHOWN = ("with_leukocyte", "at_border", "p_ctc_in_sample", "unlike")
"""Columns of calls that choose no cell and that no page shows: of a slide's millions each takes memory."""
SURE = 0.95
"""Probability from which a CTC is taken to lie well inside all gates (a gate lies at 0.5 of its own term)."""
_EVEN = 0.5
_KEYS = ["frame", "cell"]
_TYPICAL_BY = ("equivalent_diameter_um", "dna_mean", "ck_mean", "cd45_mean")
Floats = NDArray[np.float64]


def beside(calls: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """Return the calls with their cells' features beside them, one row a call: what the functions below are given.

    The tables of a sample have one order, and are laid side by side; only tables in other orders are joined by frame
    and cell, which takes half a minute and a gigabyte for a slide's millions.
    """
    features = cells.drop(columns=[name for name in (*_KEYS, "y_px", "x_px") if name in cells])
    if len(calls) == len(cells) and all(calls[name].array.equals(cells[name].array) for name in _KEYS):
        return pd.concat([calls.reset_index(drop=True), features.reset_index(drop=True)], axis=1)
    return calls.merge(cells[[*_KEYS, *features]], on=_KEYS, how="left")


def candidates_of(seen: pd.DataFrame) -> pd.DataFrame:
    """Return the calls worth a look with their cells' features and `doubt`, those in doubt first.

    Within one kind of doubt the order is by how near `p_ctc` is to one half.
    """
    joined = seen[seen["call"].isin(SHOWN_CALLS)]
    doubt = np.select(
        [
            _differ(joined),
            joined["call"] != "ctc",
            joined["p_ctc"] < SURE,
            joined["cluster"].notna(),
        ],
        ["differ", joined["call"], "near_gate", "cluster"],
        "",
    )
    rank = {name: at for at, name in enumerate(DOUBTS)}
    order = joined.assign(
        doubt=doubt.astype(object), _rank=[rank[str(name)] for name in doubt], _sure=(joined["p_ctc"] - 0.5).abs()
    )
    ordered = order.sort_values(["_rank", "_sure", "frame", "cell"], ignore_index=True)
    return ordered.drop(columns=["_rank", "_sure"])


def _differ(calls: pd.DataFrame) -> pd.Series:
    """Return which uncertain cells gates and judge differ on."""
    by_gates, by_judge = calls["gates_p_ctc"].fillna(0.0) >= _EVEN, calls["judge_reason"] == "for"
    return (calls["call"] == "uncertain") & (calls["judge_reason"].fillna("") != "") & (by_gates != by_judge)


def unlike_of(seen: pd.DataFrame) -> list[Row]:
    """Return the cells that no gate wanted and that are most unlike the sample's leukocytes, the most unlike first."""
    found = seen[seen["unlike_rank"].notna()]
    return records(found[~found["call"].isin(SHOWN_CALLS)].sort_values("unlike_rank", ignore_index=True))


def near_misses(seen: pd.DataFrame, most: int) -> list[Row]:
    """Return the most CTC-like of the cells that are no candidates, the likeliest first."""
    others = np.flatnonzero(~seen["call"].isin(SHOWN_CALLS).to_numpy(bool))
    return _least(seen, others, -seen["p_ctc"].to_numpy(float)[others], most)


def typical_leukocytes(seen: pd.DataFrame, most: int) -> list[Row]:
    """Return the leukocytes nearest to the sample's median one, by size and by mean signals."""
    leukocytes = np.flatnonzero((seen["call"] == "leukocyte").to_numpy(bool))
    away = np.zeros(len(leukocytes))
    for name in _TYPICAL_BY if len(leukocytes) else ():
        if name in seen:
            away += _away(seen[name].to_numpy(float)[leukocytes])
    return _least(seen, leukocytes, away, most)


def _away(values: Floats) -> Floats:
    """Return the square of how far values lie from their median, in median distances; 0 where there is none."""
    there = values[~np.isnan(values)]
    if not len(there):
        return np.zeros(len(values))
    middle = float(np.median(there))
    spread = float(np.median(np.abs(there - middle)))
    return np.asarray(np.nan_to_num(((values - middle) / (spread if spread > 0 else 1.0)) ** 2))


def _least(seen: pd.DataFrame, rows: NDArray[np.int64], values: Floats, most: int) -> list[Row]:
    """Return those of some rows that have the least values, in the order of these, then of frame and cell.

    Only what may be among them is sorted: a slide has millions of cells.
    """
    if not most:
        return []
    if len(rows) > most:
        may_be = ~(values > np.partition(values, most - 1)[most - 1])
        rows, values = rows[may_be], values[may_be]
    found = seen.iloc[rows].assign(_value=values).sort_values(["_value", *_KEYS]).head(most)
    return records(found.drop(columns="_value"))


def cluster_members(candidates: pd.DataFrame, most: int) -> list[list[Row]]:
    """Return the CTCs of at most so many clusters, the largest clusters first."""
    clustered = candidates[candidates["cluster"].notna()].sort_values(
        ["p_ctc", "frame", "cell"], ascending=[False] + [True] * 2
    )
    grouped = [records(group) for _, group in clustered.groupby("cluster", sort=True)]
    return sorted(grouped, key=lambda rows: (-len(rows), int(rows[0]["cluster"])))[:most]


def records(data: pd.DataFrame) -> list[Row]:
    """Return the rows of a table."""
    return [{str(name): value for name, value in row.items()} for row in data.to_dict("records")]
