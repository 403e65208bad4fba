"""Which cells of a sample are worth a look, those in doubt first, and which ones to compare them with."""

import numpy as np
import pandas as pd

from ctcascade.data.tables import Row

SHOWN_CALLS = ("ctc", "uncertain", "double_positive")
DOUBTS = ("differ", "uncertain", "double_positive", "near_gate", "cluster", "")
"""Why a candidate is worth a look, in the order in which they come; the last: a CTC without any doubt."""
SURE = 0.95
"""Probability from which a CTC is taken to lie well inside all gates (a gate lies at 0.5 of its own term)."""
_EVEN = 0.5
_TYPICAL_BY = ("equivalent_diameter_um", "dna_mean", "ck_mean", "cd45_mean")


def candidates_of(calls: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """Return the calls worth a look with their cells' features and `doubt`, those in doubt first.

    Within one kind of doubt the order is by how near `p_ctc` is to one half.
    """
    joined = _with_features(calls[calls["call"].isin(SHOWN_CALLS)], cells)
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


def unlike_of(calls: pd.DataFrame, cells: pd.DataFrame) -> list[Row]:
    """Return the cells that no gate wanted and that are most unlike the sample's leukocytes, the most unlike first."""
    found = calls[calls["unlike_rank"].notna() & ~calls["call"].isin(SHOWN_CALLS)]
    return records(_with_features(found, cells).sort_values("unlike_rank", ignore_index=True))


def near_misses(calls: pd.DataFrame, cells: pd.DataFrame, most: int) -> list[Row]:
    """Return the most CTC-like of the cells that are no candidates, the likeliest first."""
    others = calls[~calls["call"].isin(SHOWN_CALLS)]
    likeliest = others.sort_values(["p_ctc", "frame", "cell"], ascending=[False, True, True]).head(most)
    return records(_with_features(likeliest, cells))


def typical_leukocytes(calls: pd.DataFrame, cells: pd.DataFrame, most: int) -> list[Row]:
    """Return the leukocytes nearest to the sample's median one, by size and by mean signals."""
    joined = _with_features(calls[calls["call"] == "leukocyte"], cells)
    features = joined[[name for name in _TYPICAL_BY if name in joined]].astype(float)
    middle = features.median()
    spread = (features - middle).abs().median()
    away = ((features - middle) / spread.where(spread > 0, 1.0)).pow(2).sum(axis=1)
    return records(joined.assign(_away=away).sort_values(["_away", "frame", "cell"]).drop(columns="_away").head(most))


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


def _with_features(calls: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    return calls.merge(cells.drop(columns=["y_px", "x_px"]), on=["frame", "cell"], how="left")
