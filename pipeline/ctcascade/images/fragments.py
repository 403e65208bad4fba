"""Bodies of DNA inside each cell: one in a whole nucleus, several in a dying cell, a dividing or a lobed one."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctcascade.images.labels import Floats, Runs, first_of, kernel
from ctcascade.study.detection_settings import MeasureSettings


def fragments(
    cells: Runs, dna: Floats, high: NDArray[np.float64], pixel_size_um: float, settings: MeasureSettings
) -> dict[str, NDArray[Any]]:
    """Return number, share of the greatest and total area of the bodies of DNA in each of the cells 1..N, as columns.

    Parameters
    ----------
    cells : Runs
        Of the cells' label image.
    dna : ndarray of float32, shape (Y, X)
        Signal.
    high : (N,) array
        What the brightest of each cell's DNA reaches (`dna_high`), counts.
    pixel_size_um : float
    settings : MeasureSettings
        `fragment_level` and `min_fragment_um2`.

    Notes
    -----
    A body is a connected area (4 neighbours) in which DNA is above half of `high`; smaller ones than
    `min_fragment_um2` are noise.
    """
    count = len(high)
    limits = np.append(0.0, settings.fragment_level * np.maximum(high, 0.0)).astype(np.float32)
    bodies = _bodies(cells, dna, limits, settings.min_fragment_um2 / pixel_size_um**2, count)[:, 1:]
    number, area, total, most = bodies
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(total > 0, most / total, np.nan)
    return {
        "nucleus_fragments": number.astype(np.int64),
        "nucleus_largest_share": share,
        "nucleus_lit_um2": area * pixel_size_um**2,
    }


@kernel
def _bodies(cells: Any, dna: Any, limits: Any, least: float, count: int) -> Any:  # pragma: no cover - compiled
    """Return by label up to `count` the number of bodies, their area, their DNA, and that of the greatest."""
    runs = _lit(cells, dna, limits)
    root = _joined(runs)
    area, light = np.zeros(len(runs)), np.zeros(len(runs))
    for i in range(len(runs)):
        y, start, stop, _ = runs[i]
        whole = first_of(root, i)
        area[whole] += stop - start
        for value in dna[y, start:stop]:
            light[whole] += value
    out = np.zeros((4, count + 1))
    for i in range(len(runs)):
        if root[i] == i and area[i] >= least:
            k = runs[i, 3]
            out[0, k] += 1
            out[1, k] += area[i]
            out[2, k] += light[i]
            out[3, k] = max(out[3, k], light[i])
    return out


@kernel
def _lit(cells: Any, dna: Any, limits: Any) -> Any:  # pragma: no cover - compiled
    """Return the runs in which DNA is above the limit of their label, where that is above 0."""
    runs, found = np.empty((1024, 4), np.int32), 0
    for y, start, stop, k in cells:
        if found + stop - start > len(runs):
            longer = np.empty((2 * len(runs) + stop - start, 4), np.int32)
            longer[:found] = runs[:found]
            runs = longer
        limit, inside = limits[k] if limits[k] > 0 else np.float32(np.inf), False
        for x in range(start, stop):
            lit = dna[y, x] > limit
            if lit and not inside:
                runs[found, 0], runs[found, 1], runs[found, 3] = y, x, k
                found += 1
            if lit:
                runs[found - 1, 2] = x + 1
            inside = lit
    return runs[:found]


@kernel
def _joined(runs: Any) -> Any:  # pragma: no cover - compiled
    """Return for each run the first run of its connected component (4 neighbours of the same label), or one nearer."""
    root = np.arange(len(runs))
    above = 0
    for i in range(len(runs)):
        y, start, stop, k = runs[i]
        while runs[above, 0] < y - 1 or (runs[above, 0] == y - 1 and runs[above, 2] <= start):
            above += 1
        j = above
        while runs[j, 0] == y - 1 and runs[j, 1] < stop:
            if runs[j, 3] == k:
                a, b = first_of(root, i), first_of(root, j)
                root[max(a, b)] = min(a, b)
            j += 1
    return root
