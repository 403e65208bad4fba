"""Cells to calls: what each object is, how probably it is a CTC, why, and which CTCs hang together.

Nothing is compared with an absolute grey value. Cytokeratin is set against that of the sample's own leukocytes, CD45
against their median, both above the cell's own surroundings and less what bleeds over from other stains
(`compensation`); the assay's gates say how far from them a CTC has to be.
"""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit, ndtr

from ctcascade.calling.agreement import agreed, summary_of
from ctcascade.calling.clusters import group
from ctcascade.calling.compensation import Signals, bleed_of, signals_of
from ctcascade.calling.judge import Verdict, judged
from ctcascade.calling.losses import loss_claims
from ctcascade.calling.markers import marker_columns
from ctcascade.calling.mitosis import OTHER_HALF, other_halves
from ctcascade.calling.rarity import ranked, unlike_leukocytes
from ctcascade.calling.reference import Reference, drawn, reference_from
from ctcascade.calling.stains import claims_of
from ctcascade.calling.traits import More
from ctcascade.data import lineage, store
from ctcascade.data.results import CallsReference, Claim, TableProvenance
from ctcascade.data.vocabulary import ABOVE_NOISE, ROLES
from ctcascade.study.assay import Gates
from ctcascade.study.calling_settings import ClassifySettings, GateWidths
from ctcascade.study.jobs import ClassifyJob

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
_UNUSED = ("y0_px", "x0_px", "y1_px", "x1_px", "area_um2", "perimeter_um", "p2a", "eccentricity", "marker_correlation")
_UNUSED_OF_ROLE = ("max", "high", "std", "sum", "nucleus_std", "overlap", "dna_correlation")
_USED = ("dna_high", "dna_nucleus_std")
_UNUSED_OF_NUCLEUS = ("nucleus_perimeter_um", "nucleus_p2a", "nucleus_eccentricity")

Floats = NDArray[np.float64]


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
    lineage.refuse_strangers(job.sample, {"frames": frames, "cells": cells})
    found = store.read_table(frames, "frames")
    measured = store.read_table(cells, "cells", _unused(_noise(found)))
    called = call_sample(job, found, measured, functools.partial(store.read_rows, cells))
    made_by = store.provenance(job, {"frames": frames, "cells": cells})
    kept = TableProvenance(**made_by.model_dump(exclude_unset=True), reference=called.reference)
    store.write_table(out, "calls", called.calls, kept)


class CalledSample(NamedTuple):
    """The calls table of one sample, and what its cells were compared with."""

    calls: pd.DataFrame
    reference: CallsReference


def call_sample(job: ClassifyJob, frames: pd.DataFrame, cells: pd.DataFrame, more: More | None = None) -> CalledSample:
    """Return the calls of one sample's cells, with the columns of the assay's markers.

    Parameters
    ----------
    job : ClassifyJob
    frames, cells : DataFrame
        Tables of the whole sample.
    more : callable, optional
        What reads the columns `traits.FURTHER` that `cells` lacks.
    """
    noise, gates = _noise(frames), job.assay.gates
    reference = reference_of(cells, noise, gates, job, job.assay.shares)
    claims = claims_of(job, frames, cells, noise, reference)
    verdict = None
    if job.judge.use != "off":
        failed = [claim.claim for claim in claims if claim.verdict == "fails"]
        verdict = judged(cells, signals_of(cells, reference.bleed), reference, noise, failed, more)
    calls = call_cells(cells, reference, noise, gates, job, verdict)
    claims += _losses(job, cells, calls, noise, reference, verdict, claims, more)
    further = marker_columns(cells, reference.leukocytes, noise, job.assay.markers, job.reference.min_spread_ln)
    about = drawn(reference, gates, claims).model_copy(update={"judge": summary_of(verdict, job.judge.use)})
    return CalledSample(pd.concat([calls, further], axis=1), about)


def _losses(
    job: ClassifyJob,
    cells: pd.DataFrame,
    calls: pd.DataFrame,
    noise: Mapping[str, float],
    reference: Reference,
    verdict: Verdict | None,
    before: Sequence[Claim],
    more: More | None = None,
) -> tuple[Claim, ...]:
    """Return whether few CTCs were lost and few calls are false."""
    gates, signals = job.assay.gates, signals_of(cells, reference.bleed)

    def terms_of(rows: NDArray[np.int64]) -> Floats:
        some = cells.iloc[rows]
        return _standing(some, signals_of(some, reference.bleed), reference, noise, gates, job).terms

    return loss_claims(cells, calls, signals, reference, noise, gates, job, verdict, terms_of, before, more)


def _unused(roles: Iterable[str]) -> list[str]:
    """Return the columns of cells that no call depends on: a slide has millions of cells."""
    by_role = [f"{role}_{name}" for role in roles for name in _UNUSED_OF_ROLE if f"{role}_{name}" not in _USED]
    return [*_UNUSED, *_UNUSED_OF_NUCLEUS, *by_role]


def call_cells(
    cells: pd.DataFrame,
    reference: Reference,
    noise: Mapping[str, float],
    gates: Gates,
    settings: ClassifySettings,
    verdict: Verdict | None = None,
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
    verdict : Verdict, optional
        The learned judge's (`judge.judged`); without it the gates alone decide.

    Notes
    -----
    The gates' probability is the product of one logistic term a gate, each 0.5 on the gate and as steep as the
    measurement is sharp: a cell that clears all gates by far gets nearly 1, one that fails any of them by far nearly 0.

    The more CD45 a cell shows, the more cytokeratin it needs: what bleeds over from a bright channel grows with it, a
    leukocyte's own CD45 does not. ``ck_min_z`` is multiplied by ``1 + ck_rise_with_cd45 * (CD45 / its own gate)^2``.

    What the brightest 2 % of DNA reach over the mean of the nucleus is divided by ``1 + blur_um2 / area``, by about
    which blur lifts it in a small nucleus that is evenly lit. Of an evenly lit cell's pixels ``Phi(mean / noise - 3)``
    show the role; the share that does is divided by that, so that weak staining is not taken for a speckle.

    How probable a doubtful cell is depends on how common CTCs are. The widths of the steps are such that the squared
    error of `p_ctc` is least on phantoms of which one cell in 20 is a CTC; where CTCs are rarer the same value stands
    for less. The verification prints both.
    """
    p_gates, call, reason = _called(cells, reference, noise, gates, settings)
    found = agreed(p_gates, call, reason, verdict, settings)
    call, reason, p_ctc = found.call, found.reason, found.p_ctc
    halves = other_halves(cells, call, p_ctc)
    call[halves], reason[halves], p_ctc[halves] = "debris", OTHER_HALF, 0.0
    cluster, with_leukocyte = group(cells, call, settings.cluster_gap_um)
    unlike = unlike_leukocytes(cells, signals_of(cells, reference.bleed), reference, noise)
    rank = np.zeros(len(cells), np.int64)
    strange = ranked(unlike, call, reason, cells["touches_border"].to_numpy(bool), settings.unlike_cells)
    rank[strange] = np.arange(1, len(strange) + 1)
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
            "gates_p_ctc": p_gates,
            "judge_ln_ratio": found.ln_ratio,
            "judge_reason": found.judge_reason,
            "p_ctc_in_sample": found.p_in_sample,
            "unlike": unlike,
            "unlike_rank": pd.arrays.IntegerArray(rank, rank == 0),
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
    nucleated = reference.nucleated
    signals = signals_of(cells, reference.bleed)
    terms, z_ck, cd45 = _standing(cells, signals, reference, noise, gates, settings)
    shown = {
        "nucleus": nucleated,
        "dna": signals.dna > settings.min_snr * noise["dna"],
        "ck": z_ck > gates.ck_min_z,
        "cd45": cd45 >= reference.cd45_max_ratio,
    }
    dye = shown["cd45"] & (shown["ck"] | ~nucleated)
    dye &= _bright_everywhere(cells, nucleated & shown["cd45"] & ~shown["ck"], noise, settings)
    p_ctc = np.prod(terms, axis=0)
    call, reason = _named(dict(zip(_REASONS, terms, strict=True)), shown, dye)
    is_ctc = (p_ctc >= settings.p_ctc_call) & nucleated
    doubtful = (p_ctc >= settings.p_ctc_uncertain) & ~is_ctc & nucleated
    call[is_ctc], reason[is_ctc] = "ctc", "dna+ ck+ cd45-"
    call[doubtful], reason[doubtful] = "uncertain", _lowest(_REASONS, terms[:, doubtful])
    return p_ctc, call, reason


class _Standing(NamedTuple):
    """How cells stand to the gates: a term each, cytokeratin in spreads, CD45 over the leukocytes'."""

    terms: Floats
    z_ck: Floats
    cd45: Floats


def _standing(
    cells: pd.DataFrame,
    signals: Signals,
    reference: Reference,
    noise: Mapping[str, float],
    gates: Gates,
    settings: ClassifySettings,
) -> _Standing:
    z_ck = reference.z_ck(signals.ck)
    cd45 = np.maximum(signals.cd45 - signals.cd45_sd, 1e-3 * reference.cd45) / reference.cd45
    measured = {
        "cd45": cd45,
        # chromatin of a dividing cell is condensed too
        "peak": np.where(cells["nucleus_twin"] > 0, 0.5, 1.0) * _peak(cells, settings) / reference.dna_peak,
        "even": _evenness(cells, "ck", noise["ck"], settings),
    }
    applied = gates.model_copy(update={"cd45_max_ratio": reference.cd45_max_ratio})
    return _Standing(
        _terms(cells, z_ck - reference.least_z(cd45, gates), measured, applied, settings.gate_widths), z_ck, cd45
    )


def reference_of(
    cells: pd.DataFrame,
    noise: Mapping[str, float],
    gates: Gates,
    settings: ClassifySettings,
    given: Mapping[str, Mapping[str, float]] | None = None,
) -> Reference:
    """Return what the cells of this sample are compared with: `reference.reference_from`.

    Parameters
    ----------
    cells : DataFrame
    noise : mapping of str to float
    gates : Gates
    settings : ClassifySettings
    given : mapping, optional
        What bleeds from channel to channel, as the assay knows it (`compensation.bleed_of`).
    """
    bleed = bleed_of(cells, noise, given, settings.bleed)
    return reference_from(cells, signals_of(cells, bleed), noise, gates, settings, _peak(cells, settings))


def _peak(cells: pd.DataFrame, settings: ClassifySettings) -> Floats:
    """Return the brightest DNA over the mean of the nucleus, less what blur makes of it: the chromatin's grain."""
    mean = np.nan_to_num(cells["dna_nucleus_mean"].to_numpy(float))
    peak = np.maximum(cells["dna_high"].to_numpy(float), 1e-3) / np.maximum(mean, 1e-3)
    return np.asarray(peak / (1 + settings.blur_um2 / np.maximum(cells["nucleus_area_um2"].to_numpy(float), 1.0)))


def _evenness(cells: pd.DataFrame, role: str, noise: float, settings: ClassifySettings) -> Floats:
    """Return the share of the cell in which the role rises above the noise, over that of an evenly lit cell."""
    even = ndtr(cells[f"{role}_mean"].to_numpy(float) / max(noise, 1e-6) - ABOVE_NOISE)
    return np.asarray(cells[f"{role}_fill"].to_numpy(float) / np.maximum(even, settings.min_even_fill))


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
