"""Which CTCs hang together: groups of touching cells, from the contacts that were measured."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

Indices = NDArray[np.int64]


def group(
    cells: pd.DataFrame, call: NDArray[np.object_], gap_um: float, apart: NDArray[np.bool_] | None = None
) -> tuple[pd.arrays.IntegerArray, NDArray[np.bool_]]:
    """Return the cluster of each cell, and which CTCs outside clusters have a leukocyte at their side.

    Parameters
    ----------
    cells : DataFrame
        ``frame, cell, contacts, contact_gaps_um`` as in the cells table.
    call : (n,) array of str
        The call of each.
    gap_um : float
        Cells whose edges are at most this far from each other, um, touch.
    apart : (n,) array of bool, optional
        Cells that touch nothing, whatever was measured: a reviewer saw two cells that only lie side by side.

    Returns
    -------
    cluster : (n,) nullable integers
        From 1, in the order of the table; leukocytes that touch a cluster carry its number too.
    with_leukocyte : (n,) array of bool
    """
    n = len(cells)
    start, end = _touching(cells, call, gap_um)
    if apart is not None:
        joined_still = ~apart[start] & ~apart[end]
        start, end = start[joined_still], end[joined_still]
    is_ctc, is_leukocyte = call == "ctc", call == "leukocyte"
    both = is_ctc[start] & is_ctc[end]
    joined = coo_array((np.ones(int(both.sum())), (start[both], end[both])), shape=(n, n))
    _, member_of = connected_components(joined, directed=False) if n else (0, np.empty(0, int))
    size = np.bincount(member_of[is_ctc], minlength=member_of.max(initial=-1) + 1)
    in_cluster = is_ctc & (size[member_of] >= 2) if n else is_ctc
    number = np.zeros(n, np.int64)
    _, first = np.unique(member_of[in_cluster], return_index=True)
    order = {int(member_of[in_cluster][i]): k for k, i in enumerate(np.sort(first), start=1)}
    number[in_cluster] = [order[int(g)] for g in member_of[in_cluster]]
    riding = is_leukocyte[end] & in_cluster[start]
    number[end[riding]] = number[start[riding]]
    with_leukocyte = np.zeros(n, np.bool_)
    with_leukocyte[start[is_ctc[start] & ~in_cluster[start] & is_leukocyte[end]]] = True
    cluster = pd.array(number, dtype="Int64")
    cluster[number == 0] = pd.NA
    return cluster, with_leukocyte


def _touching(cells: pd.DataFrame, call: NDArray[np.object_], gap_um: float) -> tuple[Indices, Indices]:
    """Return pairs of rows (a CTC, a cell within the gap)."""
    ctcs = np.flatnonzero(call == "ctc")
    frame, _ = pd.factorize(cells["frame"])
    number = cells["cell"].to_numpy(np.int64)
    step = number.max(initial=0) + 1  # a cell is one number: an index of both columns takes more memory than all else
    start: list[int] = []
    sought: list[int] = []
    # of CTCs alone: as Python objects, the contacts of all cells would be the largest thing in memory
    contacts, gaps = (cells[name].iloc[ctcs].to_numpy() for name in ("contacts", "contact_gaps_um"))
    for row, others, far in zip(ctcs, contacts, gaps, strict=True):
        for other, gap in zip(others, far, strict=True):
            if gap <= gap_um:
                start.append(int(row))
                sought.append(int(frame[row] * step + other))
    wanted, which = np.unique(np.array(sought, np.int64), return_inverse=True)
    found = pd.Index(wanted).get_indexer(frame * step + number)
    rows = np.flatnonzero(found >= 0)
    row_of = np.full(len(wanted), -1)
    row_of[found[rows]] = rows
    if (row_of < 0).any():
        raise KeyError("a contact that is none of the cells")
    return np.array(start, np.int64), row_of[which]
