"""Which cells of a sample are worth a look: CTCs, uncertain and double-positive cells, and the CTC clusters."""

import pandas as pd

from ctcascade.data.tables import Row

SHOWN_CALLS = ("ctc", "uncertain", "double_positive")


def candidates_of(calls: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """Return the calls worth a look with their cells' features, the most likely CTCs first."""
    shown = calls[calls["call"].isin(SHOWN_CALLS)]
    joined = shown.merge(cells.drop(columns=["y_px", "x_px"]), on=["frame", "cell"], how="left")
    return joined.sort_values(["p_ctc", "frame", "cell"], ascending=[False, True, True], ignore_index=True)


def cluster_members(candidates: pd.DataFrame, most: int) -> list[list[Row]]:
    """Return the CTCs of at most so many clusters, the largest clusters first."""
    clustered = candidates[candidates["cluster"].notna()]
    grouped = [records(group) for _, group in clustered.groupby("cluster", sort=True)]
    return sorted(grouped, key=lambda rows: (-len(rows), int(rows[0]["cluster"])))[:most]


def records(data: pd.DataFrame) -> list[Row]:
    """Return the rows of a table."""
    return [{str(name): value for name, value in row.items()} for row in data.to_dict("records")]
