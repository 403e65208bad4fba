"""Cells to calls: what each object is, how probably it is a CTC, why, and which CTCs hang together.

Nothing is compared with an absolute grey value. Cytokeratin is set against that of the sample's own leukocytes, CD45
against their median, both above the cell's own surroundings; the assay's gates say how far from them a CTC has to be.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit, ndtr

from ctcascade.calling.clusters import group
from ctcascade.calling.markers import contrast_of, log_scale, marker_columns
from ctcascade.data import store
from ctcascade.data.results import (
    CallsReference,
    ChannelCentre,
    ChannelPeak,
    ChannelReference,
    Gate,
    TableProvenance,
)
from ctcascade.data.vocabulary import ABOVE_NOISE, ROLES
from ctcascade.study.assay import Gates
from ctcascade.study.jobs import ClassifyJob
from ctcascade.study.settings import ClassifySettings, GateWidths

_CURVE_POINTS = 17  # of the bent gate, as pages draw it
_GATES = {
    "ck_min_z": "ck-",
    "cd45_max_ratio": "cd45+",
    "min_nucleus_um2": "small_nucleus",
    "min_nucleus_solidity": "ragged_nucleus",
    "max_dna_peak": "apoptotic",
    "min_diameter_um": "small",
    "max_diameter_um": "large",
    "min_ck_fill": "speckle",
}
"""Each gate, and the reason that is given where its term is the lowest."""
_REASONS = tuple(_GATES.values())
_MISSHAPEN = ("apoptotic", "ragged_nucleus", "speckle", "small", "large", "small_nucleus")
_UNUSED = ("y0_px", "x0_px", "y1_px", "x1_px", "area_um2", "perimeter_um", "p2a", "eccentricity", "solidity")
_UNUSED_OF_NUCLEUS = ("nucleus_perimeter_um", "nucleus_p2a", "nucleus_eccentricity")

Floats = NDArray[np.float64]
Contrast = Mapping[str, Floats]


@dataclass(frozen=True)
class Reference:
    """What cells are compared with: the sample's own leukocytes, or its noise where there are too few of them.

    Attributes
    ----------
    leukocytes : ndarray of bool, shape (n,)
        Cells that the reference was taken from; none where it is the noise.
    ck_centre, ck_spread : float
        Median, and upper standard deviation, of ln(cytokeratin + `ck_floor`).
    ck_floor : float
        Counts below which cytokeratin is noise.
    cd45 : float
        Median CD45, counts; without leukocytes, the median DNA of the nucleated cells, and well above the noise.
    dna_peak : float
        Median of the brightest DNA over the mean of the nucleus.
    """

    leukocytes: NDArray[np.bool_]
    ck_centre: float
    ck_spread: float
    ck_floor: float
    cd45: float
    dna_peak: float

    @property
    def n_leukocytes(self) -> int:
        """Cells that the reference was taken from; 0 where it is the noise."""
        return int(self.leukocytes.sum())

    def z_ck(self, contrast: Floats) -> Floats:
        """Return how many upper spreads cytokeratin (counts above the surroundings) lies above the leukocytes'."""
        return np.asarray((np.log(np.maximum(contrast, 0) + self.ck_floor) - self.ck_centre) / self.ck_spread)

    def ck_at(self, z: Floats | float) -> Floats:
        """Return the counts above the surroundings at so many spreads: the inverse of `z_ck`."""
        return np.asarray(np.exp(self.ck_centre + self.ck_spread * np.asarray(z)) - self.ck_floor)

    def least_z(self, cd45: Floats, gates: Gates) -> Floats:
        """Return the spreads of cytokeratin that a CTC with so much CD45 (over `cd45`) has at least.

        Without leukocytes there are none to be mistaken for CTCs, and no spread of theirs to count in.
        """
        rise = gates.ck_rise_with_cd45 if self.n_leukocytes else 0.0
        return np.asarray(gates.ck_min_z * (1 + rise * (cd45 / gates.cd45_max_ratio) ** 2))

    def drawn(self, gates: Gates) -> CallsReference:
        """Return centres, scales and gates in the units of what was measured."""
        cd45 = gates.cd45_max_ratio * self.cd45
        bound: dict[str, tuple[str, float, Literal["above", "below"]]] = {
            "ck_min_z": ("ck_contrast", float(self.ck_at(gates.ck_min_z)), "above"),
            "cd45_max_ratio": ("cd45_contrast", cd45, "below"),
            "min_nucleus_um2": ("nucleus_area_um2", gates.min_nucleus_um2, "above"),
            "min_nucleus_solidity": ("nucleus_solidity", gates.min_nucleus_solidity, "above"),
            "max_dna_peak": ("dna_peak", gates.max_dna_peak * self.dna_peak, "below"),
            "min_diameter_um": ("equivalent_diameter_um", gates.min_diameter_um, "above"),
            "max_diameter_um": ("equivalent_diameter_um", gates.max_diameter_um, "below"),
            "min_ck_fill": ("ck_evenness", gates.min_ck_fill, "above"),
        }
        share = np.linspace(0, 1, _CURVE_POINTS)
        bent = np.stack([share * cd45, self.ck_at(self.least_z(share * gates.cd45_max_ratio, gates))], axis=1)
        return CallsReference(
            n_leukocytes=self.n_leukocytes,
            ck=ChannelReference(centre=float(self.ck_at(0)), scale_ln=self.ck_spread, floor=self.ck_floor),
            cd45=ChannelCentre(centre=self.cd45),
            dna=ChannelPeak(peak=self.dna_peak),
            gates={
                name: Gate(feature=feature, threshold=float(threshold), direction=direction)
                for name, (feature, threshold, direction) in bound.items()
            },
            ck_by_cd45=tuple((float(x), float(y)) for x, y in bent),
        )


def classify(job: ClassifyJob, frames: Path, cells: Path, out: Path) -> None:
    """Write the calls of one sample's cells.

    Parameters
    ----------
    job : ClassifyJob
    frames, cells : Path
        Tables of `detect`.
    out : Path
        The calls table; as many rows as `cells`, in its order.
    """
    found = store.read_table(frames, "frames")
    called = call_sample(job, found, store.read_table(cells, "cells", _unused(_noise(found))))
    made_by = store.provenance(job, {"frames": frames, "cells": cells})
    kept = TableProvenance(**made_by.model_dump(exclude_unset=True), reference=called.reference)
    store.write_table(out, "calls", called.calls, kept)


class CalledSample(NamedTuple):
    """The calls table of one sample, and what its cells were compared with."""

    calls: pd.DataFrame
    reference: CallsReference


def call_sample(job: ClassifyJob, frames: pd.DataFrame, cells: pd.DataFrame) -> CalledSample:
    """Return the calls of one sample's cells, with the columns of the assay's markers.

    Parameters
    ----------
    job : ClassifyJob
    frames, cells : DataFrame
        Tables of the whole sample.
    """
    noise, gates = _noise(frames), job.assay.gates
    reference = reference_of(cells, noise, job)
    calls = call_cells(cells, reference, noise, gates, job)
    further = marker_columns(cells, reference.leukocytes, noise, job.assay.markers, job.reference.min_spread_ln)
    return CalledSample(pd.concat([calls, further], axis=1), reference.drawn(gates))


def _unused(roles: Iterable[str]) -> list[str]:
    """Return the columns of cells that no call depends on: a slide has millions of cells."""
    by_role = [f"{role}_{name}" for role in roles for name in ("std", "sum", "overlap")]
    return [*_UNUSED, *_UNUSED_OF_NUCLEUS, *by_role]


def call_cells(
    cells: pd.DataFrame,
    reference: Reference,
    noise: Mapping[str, float],
    gates: Gates,
    settings: ClassifySettings,
) -> pd.DataFrame:
    """Return the calls table of a cells table.

    Parameters
    ----------
    cells : DataFrame
        As `tables.CELLS`, of one whole sample.
    reference : Reference
        What they are compared with: `reference_of` them.
    noise : mapping of str to float
        Standard deviation of the background by role, counts.
    gates : Gates
        The assay's.
    settings : ClassifySettings

    Notes
    -----
    The probability is the product of one logistic term a gate, each 0.5 on the gate and as steep as the measurement is
    sharp: a cell that clears all gates by far gets nearly 1, one that fails any of them by far nearly 0.

    The more CD45 a cell shows, the more cytokeratin it needs: what bleeds over from a bright channel grows with it, a
    leukocyte's own CD45 does not. ``ck_min_z`` is multiplied by ``1 + ck_rise_with_cd45 * (CD45 / its own gate)^2``.

    The brightest DNA over the mean of the nucleus is divided by ``1 + 3 um2 / area``, by about which blur lifts it in
    a small nucleus that is evenly lit. Of an evenly lit cell's pixels ``Phi(mean / noise - 3)`` show the role; the
    share that does is divided by that, so that weak staining is not taken for a speckle.

    How probable a doubtful cell is depends on how common CTCs are. The widths of the steps are such that the squared
    error of `p_ctc` is least on phantoms of which one cell in 20 is a CTC; where CTCs are rarer the same value stands
    for less. The verification prints both.
    """
    p_ctc, call, reason = _called(cells, reference, noise, gates, settings)
    cluster, with_leukocyte = group(cells, call, settings.cluster_gap_um)
    reason[with_leukocyte] = reason[with_leukocyte] + " with_leukocyte"
    border = cells["touches_border"].to_numpy(bool)
    reason[border] = reason[border] + " at_border"
    if not reference.n_leukocytes:
        reason = reason + " noise_reference"
    return pd.DataFrame(
        {
            **{name: cells[name] for name in ("frame", "cell", "y_px", "x_px")},
            "call": call,
            "p_ctc": p_ctc,
            "cluster": cluster,
            "with_leukocyte": with_leukocyte,
            "at_border": border,
            "reason": reason,
        }
    )


def _called(
    cells: pd.DataFrame,
    reference: Reference,
    noise: Mapping[str, float],
    gates: Gates,
    settings: ClassifySettings,
) -> tuple[Floats, NDArray[Any], NDArray[Any]]:
    """Return the probability, the call and its reason of each cell by itself."""
    nucleated = cells["nucleus_area_um2"].to_numpy() > 0
    z_ck = reference.z_ck(contrast_of(cells, "ck"))
    cd45 = np.maximum(contrast_of(cells, "cd45"), 1e-3 * reference.cd45) / reference.cd45
    shown = {
        "nucleus": nucleated,
        "dna": contrast_of(cells, "dna") > settings.min_snr * noise["dna"],
        "ck": z_ck > gates.ck_min_z,
        "cd45": cd45 >= gates.cd45_max_ratio,
    }
    dye = shown["cd45"] & (shown["ck"] | ~nucleated)
    dye &= _bright_everywhere(cells, nucleated & shown["cd45"] & ~shown["ck"], noise, settings)
    measured = {
        "cd45": cd45,
        "peak": _peak(cells, settings) / reference.dna_peak,
        "even": _evenness(cells, "ck", noise["ck"], settings),
    }
    terms = _terms(cells, z_ck - reference.least_z(cd45, gates), measured, gates, settings.gate_widths)
    p_ctc = np.prod(terms, axis=0)
    call, reason = _named(dict(zip(_REASONS, terms, strict=True)), shown, dye)
    is_ctc = (p_ctc >= settings.p_ctc_call) & nucleated
    doubtful = (p_ctc >= settings.p_ctc_uncertain) & ~is_ctc & nucleated
    call[is_ctc], reason[is_ctc] = "ctc", "dna+ ck+ cd45-"
    call[doubtful], reason[doubtful] = "uncertain", _lowest(_REASONS, terms[:, doubtful])
    return p_ctc, call, reason


def reference_of(cells: pd.DataFrame, noise: Mapping[str, float], settings: ClassifySettings) -> Reference:
    """Return what the cells of this sample are compared with.

    Leukocytes are the nucleated cells with at least half the median CD45 of those that show CD45 at all: CTCs do not,
    and neither bare nuclei nor weakly stained leukocytes move the median.
    """
    floor = max(noise["ck"], 1e-6)
    given = settings.reference
    peak = _peak(cells, settings)
    contrast = {role: contrast_of(cells, role) for role in ROLES}
    leukocytes = _leukocytes(cells, contrast, noise, settings)
    if leukocytes.any():
        centre, spread = log_scale(contrast["ck"][leukocytes], floor, given.min_spread_ln)
        cd45 = float(np.median(contrast["cd45"][leukocytes]))
        return Reference(leukocytes, centre, spread, floor, cd45, _median(peak[leukocytes]))
    # exposures are set so that what is stained fills a like part of the camera's range in each channel
    nucleated = cells["nucleus_area_um2"].to_numpy() > 0
    cd45 = max(_median(contrast["dna"][nucleated]), given.noise_cd45_snr * max(noise["cd45"], 1e-6))
    return Reference(leukocytes, float(np.log(2 * floor)), given.noise_spread_ln, floor, cd45, _median(peak[nucleated]))


def _median(values: Floats) -> float:
    return float(np.median(values)) if len(values) else 1.0


def _peak(cells: pd.DataFrame, settings: ClassifySettings) -> Floats:
    """Return the brightest DNA over the mean of the nucleus, less what blur makes of it: the chromatin's grain."""
    mean = np.nan_to_num(cells["dna_nucleus_mean"].to_numpy(float))
    peak = np.maximum(cells["dna_max"].to_numpy(float), 1e-3) / np.maximum(mean, 1e-3)
    return np.asarray(peak / (1 + settings.blur_um2 / np.maximum(cells["nucleus_area_um2"].to_numpy(float), 1.0)))


def _evenness(cells: pd.DataFrame, role: str, noise: float, settings: ClassifySettings) -> Floats:
    """Return the share of the cell in which the role rises above the noise, over that of an evenly lit cell."""
    even = ndtr(cells[f"{role}_mean"].to_numpy(float) / max(noise, 1e-6) - ABOVE_NOISE)
    return np.asarray(cells[f"{role}_fill"].to_numpy(float) / np.maximum(even, settings.min_even_fill))


def _leukocytes(
    cells: pd.DataFrame, contrast: Contrast, noise: Mapping[str, float], settings: ClassifySettings
) -> NDArray[np.bool_]:
    """Return the leukocytes that the sample's cells are compared with; none where there are too few of them."""
    nucleated = cells["nucleus_area_um2"].to_numpy() > 0
    stained = np.asarray(nucleated & (contrast["cd45"] > settings.min_snr * noise["cd45"]))
    if stained.sum() < settings.reference.min_leukocytes:
        return np.zeros(len(cells), np.bool_)
    usual = np.median(contrast["cd45"][stained])
    return np.asarray(stained & (contrast["cd45"] > settings.reference.min_cd45_share * usual))


def _noise(frames: pd.DataFrame) -> dict[str, float]:
    """Return the sample's noise by role: the median over its usable frames."""
    usable = frames[frames["usable"]]
    names = [name for name in map(str, frames.columns) if name.endswith("_noise")]
    return {name.removesuffix("_noise"): float(usable[name].median()) if len(usable) else 1.0 for name in names}


def _terms(
    cells: pd.DataFrame, z_above: Floats, measured: Mapping[str, Floats], gates: Gates, width: GateWidths
) -> Floats:
    """Return one row of probabilities a gate, in the order of `_GATES`."""
    nucleus = np.maximum(cells["nucleus_area_um2"].to_numpy(float), 1e-3)
    diameter = cells["equivalent_diameter_um"].to_numpy(float)
    solidity = np.nan_to_num(cells["nucleus_solidity"].to_numpy(float))
    terms = np.empty((len(_REASONS), len(cells)))  # the largest thing here, and there is one of it
    steps: tuple[Callable[[], Floats], ...] = (  # made one at a time: a slide has millions of cells
        lambda: z_above / width.ck_min_z,
        lambda: np.log(gates.cd45_max_ratio / measured["cd45"]) / width.cd45_max_ratio,
        lambda: np.log(nucleus / gates.min_nucleus_um2) / width.min_nucleus_um2,
        lambda: (solidity - gates.min_nucleus_solidity) / width.min_nucleus_solidity,
        lambda: np.log(gates.max_dna_peak / measured["peak"]) / width.max_dna_peak,
        lambda: np.log(diameter / gates.min_diameter_um) / width.min_diameter_um,
        lambda: np.log(gates.max_diameter_um / diameter) / width.max_diameter_um,
        lambda: (measured["even"] - gates.min_ck_fill) / width.min_ck_fill,
    )
    for row, step in zip(terms, steps, strict=True):
        expit(step(), out=row)
    return terms


def _lowest(names: Sequence[str], terms: Sequence[Floats] | Floats) -> NDArray[Any]:
    """Return the name of the lowest of several terms, of equal ones the first."""
    least, which = np.array(terms[0]), np.zeros(len(terms[0]), np.int8)
    for number, term in enumerate(terms[1:], start=1):
        which[term < least] = number
        np.minimum(least, term, out=least)
    return np.array(names, object)[which]


def _named(
    terms: Mapping[str, Floats], shown: Mapping[str, NDArray[np.bool_]], dye: NDArray[np.bool_]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return what each cell is called if it is not a CTC, and why."""
    nucleated, ck, cd45 = shown["nucleus"], shown["ck"], shown["cd45"]
    reason = _lowest(_MISSHAPEN, [terms[name] for name in _MISSHAPEN])
    call = np.full(len(reason), "debris", object)
    for where, name, why in (  # the later ones overrule the earlier
        (~ck, "dna_only", "dna+ ck- cd45-"),
        (cd45, "leukocyte", "dna+ ck- cd45+"),
        (ck & cd45, "double_positive", "dna+ ck+ cd45+"),
        (~nucleated, "debris", "fragment"),
        (~nucleated & (terms["small"] < 0.5), "debris", "speckle"),
        (~nucleated & shown["dna"] & ck, "debris", "apoptotic"),
        (dye, "debris", "dye_aggregate"),
    ):
        call[where], reason[where] = name, why
    return call, reason


def _bright_everywhere(
    cells: pd.DataFrame, leukocytes: NDArray[np.bool_], noise: Mapping[str, float], settings: ClassifySettings
) -> NDArray[np.bool_]:
    """Return which objects are extreme in every further marker and in DNA or CD45 as well, as clumps of dye are."""
    names = map(str, cells.columns)
    roles = [name.removesuffix("_mean") for name in names if name.endswith("_mean")]
    further = [r for r in roles if "_" not in r and r not in ROLES and cells[f"{r}_mean"].notna().any()]
    result = np.full(len(cells), bool(further))
    for role in further:
        values = cells[f"{role}_mean"].to_numpy(float)
        usual = values[leukocytes] if leukocytes.sum() >= settings.reference.min_leukocytes else values
        if len(usual):
            centre, high = np.nanquantile(usual, [0.5, 0.84])
            result &= values > centre + settings.dye.min_spreads * max(high - centre, noise[role])
    lit = [cells[f"{role}_fill"].to_numpy(float) > settings.dye.min_fill for role in ROLES]
    return np.asarray(result & np.logical_and.reduce(lit))
