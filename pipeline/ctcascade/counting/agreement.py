"""Do two judgements agree: how well readers agree beyond chance, and which cells they both mean."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ctcascade.data.results import Agreement


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


def nearest_cells(
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
