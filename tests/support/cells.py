"""Tables of made-up cells: a few that are named, among leukocytes as a slide has them."""

import numpy as np
import pandas as pd

from ctcascade.data.tables import CELLS

ALL_ROLES = ("dna", "ck", "cd45", "fitc")
NOISE = dict.fromkeys(ALL_ROLES, 5.0)
LEUKOCYTE = {
    "nucleus_area_um2": 45.0,
    "nucleus_solidity": 0.95,
    "equivalent_diameter_um": 10.0,
    "dna": 800.0,
    "dna_peak": 1.3,
    "ck": 10.0,
    "cd45": 500.0,
    "fitc": 30.0,
}
CTC = {**LEUKOCYTE, "ck": 600.0, "cd45": 5.0, "nucleus_area_um2": 70.0, "equivalent_diameter_um": 14.0}


def cells_table(*cells, leukocytes=60):
    """The cells named first, then leukocytes whose markers vary as on a slide, in a frame of their own."""
    spread = np.random.default_rng(0).normal(size=(leukocytes, 3))
    background = [
        {**LEUKOCYTE, "frame": "ref", "cell": n + 1, "ck": 10 * np.exp(0.4 * a), "cd45": 500 * np.exp(0.3 * b)}
        | {"fitc": 30 * np.exp(0.3 * c)}
        for n, (a, b, c) in enumerate(spread)
    ]
    rows = [{"frame": "f1", "cell": n + 1, **cell} for n, cell in enumerate(cells)] + background
    return pd.DataFrame([_row(row) for row in rows], columns=[c.name for c in CELLS.for_roles(ALL_ROLES)])


def _row(cell):
    area = np.pi / 4 * cell["equivalent_diameter_um"] ** 2
    nucleated = cell["nucleus_area_um2"] > 0
    row = {c.name: 0.0 for c in CELLS.for_roles(ALL_ROLES)}
    row |= {"touches_border": False, "contacts": [], "contact_gaps_um": [], "area_um2": area, "solidity": 0.95}
    row |= {k: v for k, v in cell.items() if k in row}
    for role in ALL_ROLES:
        mean = cell[role]
        row |= {f"{role}_mean": mean, f"{role}_max": 1.6 * mean, f"{role}_std": 0.3 * mean, f"{role}_sum": mean * area}
        row |= {f"{role}_nucleus_mean": mean if nucleated else np.nan, f"{role}_cytoplasm_mean": mean}
        row |= {f"{role}_overlap": float(mean > 15) if nucleated else np.nan, f"{role}_fill": float(mean > 15)}
        row |= {k: cell[k] for k in (f"{role}_ring_mean", f"{role}_fill", f"{role}_nucleus_mean") if k in cell}
    row["dna_high"] = row["dna_max"] = cell["dna"] * cell["dna_peak"]
    return row
