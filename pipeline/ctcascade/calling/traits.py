"""What the learned judge is shown of a cell: numbers without a unit, most of them relative to the sample's leukocytes.

No trait changes when a channel is brighter or a camera deeper: intensities are set against the leukocytes' own, against
the noise, or against each other.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ctcascade.calling.compensation import Signals
from ctcascade.calling.reference import Reference
from ctcascade.data.vocabulary import ROLES

Floats = NDArray[np.float64]
Traits = NDArray[np.float32]

More = Callable[[NDArray[np.int64], Sequence[str]], pd.DataFrame]
"""From rows of a sample's cells and names of columns to these."""

_SHAPES = ("solidity", "p2a", "eccentricity", "nucleus_solidity", "nucleus_p2a", "nucleus_eccentricity")
_FAINT = 0.02  # CD45 over the leukocytes' median below which there is none
_MOST_CELLS = 4000  # leukocytes that the usual values are taken from: more say no more


class Shown(NamedTuple):
    """Some cells of a sample, with all that was measured of them, and their signals."""

    cells: pd.DataFrame
    dna: Floats
    ck: Floats
    cd45: Floats
    cd45_sd: Floats

    @classmethod
    def of(
        cls,
        cells: pd.DataFrame,
        rows: NDArray[np.int64],
        signals: Signals,
        more: More | None = None,
    ) -> "Shown":
        """Return these rows of a sample; `more` gives the columns that `cells` lacks."""
        part = cells.iloc[rows].reset_index(drop=True)
        missing = [name for name in FURTHER if name not in part]
        if more is not None and missing:
            part = pd.concat([part, more(rows, missing).reset_index(drop=True)], axis=1)
        return cls(part, *(values[rows] for values in (signals.dna, signals.ck, signals.cd45, signals.cd45_sd)))


def column_of(cells: pd.DataFrame, rows: NDArray[np.int64], name: str, more: More | None = None) -> Floats:
    """Return a column of some cells of a sample; `more` reads it where `cells` lacks it."""
    part = cells.iloc[rows] if name in cells or more is None else more(rows, [name])
    return part[name].to_numpy(np.float64)


def traits_of(shown: Shown, leukocytes: Shown, reference: Reference, noise: Mapping[str, float]) -> pd.DataFrame:
    """Return the traits of some cells, float32, one column each (`NAMES`).

    Parameters
    ----------
    shown : Shown
    leukocytes : Shown
        Of the same sample: those of `leukocytes_sample`.
    reference : Reference
        With leukocytes: there are no traits without.
    noise : mapping of str to float
    """
    own, compared = _measured(shown.cells, noise), _measured(leukocytes.cells, noise)
    n = len(shown.cells)
    out: dict[str, Floats] = {}
    for name in _LN_OVER_LEUKOCYTES:
        centre = float(np.nanmedian(compared[name]))
        out[f"{name}_over_leukocytes"] = np.log(np.maximum(own[name], 1e-6)) - np.log(max(centre, 1e-6))
    for name in _MINUS_LEUKOCYTES:
        out[f"{name}_less_leukocytes"] = own[name] - float(np.nanmedian(compared[name]))
    ck, above = shown.ck, reference.z_ck(shown.ck) * reference.ck_spread
    ratio = (shown.cd45 - shown.cd45_sd) / reference.cd45
    gate = reference.cd45_max_ratio
    out |= {
        "ck_z": reference.z_ck(ck),
        "ck_over_leukocytes": above,
        "ck_snr": np.log1p(np.maximum(ck, 0) / noise["ck"]),
        "cd45_ratio": ratio,
        "cd45_over_gate": np.log(np.maximum(ratio, 1e-3) / gate),
        "cd45_uncompensated": own["cd45"] / reference.cd45,
        "cd45_doubt": shown.cd45_sd / reference.cd45,
        "cd45_high": own["cd45_high"] / reference.cd45,
        "cd45_ring": own["cd45_ring"] / reference.cd45,
        "ck_over_cd45": above - np.log(np.maximum(ratio, 0) + _FAINT),
        "ck_over_dna": above - out["dna_over_leukocytes"],
        "dna_snr": np.log1p(np.maximum(shown.dna, 0) / noise["dna"]),
        "contacts": own["contacts"],
        "at_border": own["at_border"],
        **{name: own[name] for name in (*_RATIOS, *_SHAPES, *_BODIES, *_GRAIN)},
    }
    context = {
        "leukocytes_cd45_snr": np.log1p(reference.cd45 / noise["cd45"]),
        "leukocytes_dna_snr": np.log1p(max(float(np.nanmedian(compared["dna"])), 0) / noise["dna"]),
        "leukocytes_ck_snr": np.log1p(float(np.exp(reference.ck_centre)) / noise["ck"]),
        "leukocytes_ck_spread": reference.ck_spread,
        "negative_ratio": reference.negative_ratio,
        "ck_into_cd45": sum(b.share for b in reference.bleed if (b.source, b.target) == ("ck", "cd45")),
    }
    out |= {name: np.full(n, value) for name, value in context.items()}
    return pd.DataFrame({name: np.asarray(out[name], np.float32) for name in NAMES})


def leukocytes_sample(reference: Reference, most: int = _MOST_CELLS) -> NDArray[np.int64]:
    """Return rows of leukocytes, evenly spread over the sample, at most so many."""
    rows = np.flatnonzero(reference.leukocytes)
    return rows[np.linspace(0, len(rows) - 1, min(len(rows), most)).astype(np.int64)]


def _measured(cells: pd.DataFrame, noise: Mapping[str, float]) -> dict[str, Floats]:
    """Return what was measured of some cells, and ratios of it."""

    def column(name: str) -> Floats:
        return cells[name].to_numpy(np.float64)

    nucleus, area = column("nucleus_area_um2"), np.pi / 4 * column("equivalent_diameter_um") ** 2
    out: dict[str, Floats] = {
        "diameter": column("equivalent_diameter_um"),
        "nucleus": nucleus,
        "nucleus_share": nucleus / np.maximum(area, 1e-3),
        "dna": np.nan_to_num(column("dna_nucleus_mean")),
        "cd45": column("cd45_mean"),
        "cd45_high": column("cd45_high"),
        "cd45_ring": np.nan_to_num(column("cd45_ring_mean")),
        "contacts": np.array([len(near) for near in cells["contacts"]], np.float64),
        "at_border": column("touches_border"),
        **{name: column(name) for name in _SHAPES},
    }
    out["dna_content"] = out["dna"] * nucleus
    for role in ("dna", "ck"):
        out[f"{role}_nucleus_cv"] = column(f"{role}_nucleus_std") / (
            np.maximum(column(f"{role}_nucleus_mean"), 0) + noise[role]
        )
    out |= {name: column(name) for name in _BODIES}
    out["dna_lit_share"] = column("nucleus_lit_um2") / np.maximum(nucleus, 1.0)
    for role in ROLES:
        mean, floor = column(f"{role}_mean"), noise[role]
        lit = np.maximum(mean, 0) + floor
        out[f"{role}_cv"] = column(f"{role}_std") / lit
        out[f"{role}_peak"] = np.log((np.maximum(column(f"{role}_high"), 0) + floor) / lit)
        out[f"{role}_ring_share"] = np.nan_to_num(column(f"{role}_ring_mean")) / lit
        inside, outside = column(f"{role}_nucleus_mean"), column(f"{role}_cytoplasm_mean")
        lit = np.maximum(inside, 0) + floor
        out[f"{role}_inside"] = np.log(lit / (np.maximum(outside, 0) + floor))
        out[f"{role}_fill"] = column(f"{role}_fill")
        out[f"{role}_overlap"] = column(f"{role}_overlap")
    return out


_BODIES = (
    "nucleus_fragments",
    "nucleus_largest_share",
    "ck_dna_correlation",
    "cd45_dna_correlation",
    "marker_correlation",
)
_GRAIN = ("dna_nucleus_cv", "ck_nucleus_cv", "dna_lit_share")
FURTHER = (
    *_SHAPES,
    *(f"{role}_{name}" for role in ROLES for name in ("std", "high", "overlap")),
    *("dna_nucleus_std", "ck_nucleus_std", "nucleus_lit_um2"),
    *_BODIES,
)
"""Columns of cells that calling needs for the cells that are judged alone."""
_LN_OVER_LEUKOCYTES = ("diameter", "nucleus", "nucleus_share", "dna", "dna_content")
_OF_ROLE = ("cv", "peak", "ring_share", "inside", "fill", "overlap")
_MINUS_LEUKOCYTES = (*(f"dna_{name}" for name in _OF_ROLE[:4]), "dna_nucleus_cv", "dna_lit_share")
_RATIOS = tuple(f"{role}_{name}" for role in ROLES for name in _OF_ROLE)
NAMES = (
    *("ck_z", "ck_over_leukocytes", "ck_snr", "cd45_ratio", "cd45_over_gate", "cd45_uncompensated", "cd45_doubt"),
    *("cd45_high", "cd45_ring", "ck_over_cd45", "ck_over_dna", "dna_snr", "contacts", "at_border"),
    *(f"{name}_over_leukocytes" for name in _LN_OVER_LEUKOCYTES),
    *(f"{name}_less_leukocytes" for name in _MINUS_LEUKOCYTES),
    *_RATIOS,
    *_SHAPES,
    *_BODIES,
    *_GRAIN,
    *("leukocytes_cd45_snr", "leukocytes_dna_snr", "leukocytes_ck_snr", "leukocytes_ck_spread", "negative_ratio"),
    "ck_into_cd45",
)
"""The traits, in the order in which the judge is shown them."""
