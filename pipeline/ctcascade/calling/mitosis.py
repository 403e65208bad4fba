"""The two halves of a dividing cell, seen as two cells, are one CTC."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

OTHER_HALF = "other_half_of_mitosis"


def other_halves(cells: pd.DataFrame, call: NDArray[Any], p_ctc: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the rows of the cells that are the other half of a CTC: of two that divide, the less probable.

    Parameters
    ----------
    cells : DataFrame
        ``frame, cell, nucleus_twin``: the cell that may be the other half of the same mitosis.
    call : (n,) array of str
    p_ctc : (n,) array
    """
    rows = np.flatnonzero((cells["nucleus_twin"].to_numpy() > 0) & np.isin(call, ("ctc", "uncertain")))
    own = zip(cells["frame"].iloc[rows], cells["cell"].iloc[rows], strict=True)
    row_of = dict(zip(own, rows.tolist(), strict=True))
    found = []
    for frame, twin, row in zip(
        cells["frame"].iloc[rows], cells["nucleus_twin"].iloc[rows], rows.tolist(), strict=True
    ):
        other = row_of.get((frame, twin), -1)
        if other > row and "ctc" in (call[row], call[other]):
            found.append(row if p_ctc[row] < p_ctc[other] else other)
    return np.array(found, np.int64)
