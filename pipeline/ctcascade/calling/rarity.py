"""Cells unlike the sample's own leukocytes, whatever makes them so: a net for what no gate was made for.

No signature of tumour cells enters: CTCs without cytokeratin, and what no assay foresaw, are found by being rare.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ctcascade.calling.compensation import Signals
from ctcascade.calling.reference import Reference
from ctcascade.data.vocabulary import ROLES

Floats = NDArray[np.float64]

_COMPARED = 3000  # leukocytes
_DENSE = 5  # the distance to the so many nearest leukocytes
_LOOKED_AT = 20_000  # cells whose distance is measured exactly
_FEWEST = 40
_WANTED = ("ctc", "uncertain", "double_positive")
_NO_CELLS = ("dye_aggregate", "fragment", "speckle")


def unlike_leukocytes(
    cells: pd.DataFrame, signals: Signals, reference: Reference, noise: Mapping[str, float]
) -> Floats:
    """Return how unlike the sample's leukocytes each nucleated cell is; NaN for others and without leukocytes.

    Notes
    -----
    Cells are points of size, shape and brightness in every channel, each in robust spreads of the leukocytes. The
    distance is that to the fifth nearest of at most 3,000 leukocytes, over what it is for 99 in 100 of them: above 1
    hardly a leukocyte lies. Leukocytes are several populations, and none has to be normal. Of a slide's millions only
    the 20,000 that lie farthest from the leukocytes' middle are measured so.
    """
    out = np.full(len(cells), np.nan)
    leukocytes = np.flatnonzero(reference.leukocytes)
    if len(leukocytes) < _FEWEST:
        return out
    chosen = leukocytes[np.linspace(0, len(leukocytes) - 1, min(len(leukocytes), _COMPARED)).astype(np.int64)]
    nucleated = np.flatnonzero(cells["nucleus_area_um2"].to_numpy() > 0)
    points = _points(cells, nucleated, signals, noise)
    usual = points[np.searchsorted(nucleated, chosen)]
    centre = np.median(usual, axis=0)
    spread = np.maximum(1.4826 * np.median(np.abs(usual - centre), axis=0), 0.02)
    points = np.clip((points - centre) / spread, -20, 20)
    usual = np.clip((usual - centre) / spread, -20, 20)
    far = np.linalg.norm(points, axis=1)
    farthest = np.argsort(-far, kind="stable")[:_LOOKED_AT]
    tree = cKDTree(usual)
    own = np.sort(tree.query(usual, _DENSE + 1)[0][:, -1])
    usual_distance = float(own[int(0.99 * (len(own) - 1))])
    near = np.zeros(len(points))
    near[farthest] = tree.query(points[farthest], _DENSE)[0][:, -1] / max(usual_distance, 1e-9)
    out[nucleated] = near
    return out


def ranked(
    unlike: Floats, call: NDArray[np.object_], reason: NDArray[np.object_], border: NDArray[np.bool_], most: int
) -> NDArray[np.int64]:
    """Return the rows of the cells that no gate wanted and that are most unlike leukocytes, the most unlike first.

    Cells that the border cuts and what is no cell (dye, fragments, specks) are left out.
    """
    rows = np.flatnonzero((unlike > 1) & ~border)  # few: a slide has millions of cells
    rows = rows[[call[row] not in _WANTED and reason[row].partition(" ")[0] not in _NO_CELLS for row in rows]]
    return np.asarray(rows[np.argsort(-unlike[rows], kind="stable")[:most]], np.int64)


def _points(cells: pd.DataFrame, rows: NDArray[np.int64], signals: Signals, noise: Mapping[str, float]) -> Floats:
    """Return cells as points: logarithms of size and brightness, and shape."""

    def column(name: str) -> Floats:
        return np.asarray(np.nan_to_num(cells[name].to_numpy(np.float64)[rows]), np.float64)

    nucleus, diameter = np.maximum(column("nucleus_area_um2"), 1.0), np.maximum(column("equivalent_diameter_um"), 1.0)
    light = {role: signals.of(role)[rows] for role in ROLES}
    names = map(str, cells.columns)
    further = [n.removesuffix("_mean") for n in names if n.endswith("_mean") and "_" not in n.removesuffix("_mean")]
    for role in further:
        if role not in ROLES and noise.get(role, 0) > 0:
            light[role] = column(f"{role}_mean") - np.maximum(column(f"{role}_ring_mean"), 0)
    out = [np.log(nucleus), np.log(diameter), 5 * column("nucleus_solidity")]
    out += [np.log(np.maximum(light[role], 0) + 2 * noise[role]) for role in light]
    return np.stack(out, axis=1)
