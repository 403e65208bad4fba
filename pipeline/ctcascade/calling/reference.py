"""What a sample's cells are compared with: its own leukocytes, found and tested, or its noise where there are none.

Leukocytes are a population with evidence: nucleated cells whose CD45 is well above noise and above what cytokeratin
lets bleed over, and that lie apart from cells with much cytokeratin and little CD45. Where there is no such population
the sample says so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ctcascade.calling.compensation import Bleed, Signals
from ctcascade.data.results import (
    CallsReference,
    ChannelCentre,
    ChannelPeak,
    ChannelReference,
    Claim,
    Gate,
    PairBleed,
)
from ctcascade.study.assay import Gates
from ctcascade.study.calling_settings import ClassifySettings, ReferenceSettings

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

_CURVE_POINTS = 17  # of the bent gate, as pages draw it
_HALF = 0.5


@dataclass(frozen=True)
class Reference:
    """What cells are compared with: the sample's own leukocytes, or its noise where there are too few of them.

    Attributes
    ----------
    leukocytes : ndarray of bool, shape (n,)
        Cells that the reference was taken from; none where it is the noise.
    ck_centre, ck_spread : float
        Median, and standard deviation without those that took up cytokeratin, of ln(cytokeratin + `ck_floor`).
    ck_floor : float
        Counts below which cytokeratin is noise.
    cd45 : float
        Median CD45, counts; without leukocytes, the median DNA of the nucleated cells, and well above the noise.
    dna_peak : float
        Median of the brightest DNA over the mean of the nucleus.
    ck_min_z : float
        The gate of cytokeratin: the assay's where CTCs are rare, less where most cells without CD45 have cytokeratin.
    cd45_max_ratio : float
        The gate of CD45 over `cd45`: the assay's, or above the sample's own cells with cytokeratin and without CD45.
    negative_ratio : float
        Upper limit of the CD45 of these cells over `cd45`; 0 where there are too few of them.
    found : ndarray of bool, shape (n,)
        Leukocytes that were found, also where they are too few to compare with.
    bleed : tuple of Bleed
        What was taken off.
    nucleated : ndarray of bool, shape (n,)
        Cells with a nucleus: `with_nucleus`.
    """

    leukocytes: Bools
    ck_centre: float
    ck_spread: float
    ck_floor: float
    cd45: float
    dna_peak: float
    ck_min_z: float
    cd45_max_ratio: float
    negative_ratio: float
    found: Bools
    bleed: tuple[Bleed, ...]
    nucleated: Bools

    @property
    def n_leukocytes(self) -> int:
        """Cells that the reference was taken from; 0 where it is the noise."""
        return int(self.leukocytes.sum())

    def z_ck(self, contrast: Floats) -> Floats:
        """Return how many spreads cytokeratin (counts above the surroundings) lies above the leukocytes'."""
        return np.asarray((np.log(np.maximum(contrast, 0) + self.ck_floor) - self.ck_centre) / self.ck_spread)

    def ck_at(self, z: Floats | float) -> Floats:
        """Return the counts above the surroundings at so many spreads: the inverse of `z_ck`."""
        return np.asarray(np.exp(self.ck_centre + self.ck_spread * np.asarray(z)) - self.ck_floor)

    def least_z(self, cd45: Floats, gates: Gates) -> Floats:
        """Return the spreads of cytokeratin that a CTC with so much CD45 (over `cd45`) has at least.

        Without leukocytes there are none to be mistaken for CTCs, and no spread of theirs to count in.
        """
        rise = gates.ck_rise_with_cd45 if self.n_leukocytes else 0.0
        above = np.maximum(cd45 - self.negative_ratio / 2, 0) if self.negative_ratio else cd45
        return np.asarray(self.ck_min_z * (1 + rise * (above / self.cd45_max_ratio) ** 2))


def drawn(reference: Reference, gates: Gates, claims: Sequence[Claim] = ()) -> CallsReference:
    """Return centres, scales and gates in the units of what was measured, with what was taken off and checked."""
    cd45 = reference.cd45_max_ratio * reference.cd45
    bound: dict[str, tuple[str, float, Literal["above", "below"]]] = {
        "ck_min_z": ("ck_contrast", float(reference.ck_at(reference.ck_min_z)), "above"),
        "cd45_max_ratio": ("cd45_contrast", cd45, "below"),
        "min_nucleus_um2": ("nucleus_area_um2", gates.min_nucleus_um2, "above"),
        "min_nucleus_solidity": ("nucleus_solidity", gates.min_nucleus_solidity, "above"),
        "max_dna_peak": ("dna_peak", gates.max_dna_peak * reference.dna_peak, "below"),
        "min_diameter_um": ("equivalent_diameter_um", gates.min_diameter_um, "above"),
        "max_diameter_um": ("equivalent_diameter_um", gates.max_diameter_um, "below"),
        "min_ck_fill": ("ck_evenness", gates.min_ck_fill, "above"),
    }
    share = np.linspace(0, 1, _CURVE_POINTS)
    least = reference.ck_at(reference.least_z(share * reference.cd45_max_ratio, gates))
    return CallsReference(
        n_leukocytes=reference.n_leukocytes,
        ck=ChannelReference(centre=float(reference.ck_at(0)), scale_ln=reference.ck_spread, floor=reference.ck_floor),
        cd45=ChannelCentre(centre=reference.cd45),
        dna=ChannelPeak(peak=reference.dna_peak),
        gates={
            name: Gate(feature=feature, threshold=float(threshold), direction=direction)
            for name, (feature, threshold, direction) in bound.items()
        },
        ck_by_cd45=tuple((float(x), float(y)) for x, y in np.stack([share * cd45, least], axis=1)),
        bleed=tuple(
            PairBleed(
                source=one.source,
                target=one.target,
                share=None if one.how == "not_estimable" else one.share,
                low=max(one.share - 2 * one.sd, 0.0),
                high=one.share + 2 * one.sd,
                n=one.n,
                how=one.how,
            )
            for one in reference.bleed
        ),
        claims=tuple(claims),
    )


def with_nucleus(
    cells: pd.DataFrame, signals: Signals, noise: Mapping[str, float], settings: ClassifySettings
) -> Bools:
    """Return the cells whose nucleus shows DNA: more than structure of the background, or as others of the sample.

    Notes
    -----
    Uneven plasma is cut into objects as nuclei are, with little light. A nucleus is faint where it has less than
    `stains: bright_snr` standard deviations of the noise and less than `faint_nucleus` of the median of those that have
    more; where fewer than `min_population` have more, the stain is weak, and none is faint.
    """
    found = np.asarray(cells["nucleus_area_um2"].to_numpy() > 0)
    light, least = signals.dna_nucleus, settings.stains.bright_snr * noise["dna"]
    clear = light[found & (light >= least)]
    if len(clear) < settings.reference.min_population:
        return found
    return np.asarray(found & (light >= min(least, settings.reference.faint_nucleus * float(np.median(clear)))))


def leukocytes_of(nucleated: Bools, signals: Signals, noise: Mapping[str, float], settings: ClassifySettings) -> Bools:
    """Return the leukocytes of a sample: a population of CD45, or none.

    Notes
    -----
    A nucleated cell is stained where its CD45 lies `min_snr` standard deviations above the noise and three above what
    was taken off it for cytokeratin. Where the stained cells are two populations, of which one has more cytokeratin
    and less than half the CD45, that one is left out: it shows unspecific CD45. Leukocytes have at least half the
    median CD45 of the rest.
    """
    least = np.maximum(settings.min_snr * noise["cd45"], settings.reference.sd_above_bleed * signals.cd45_sd)
    stained = np.asarray(nucleated & (signals.cd45 > least))
    if not stained.any():
        return stained
    stained[stained] = _upper(signals.ck[stained] + noise["ck"], signals.cd45[stained], settings.reference)
    usual = np.median(signals.cd45[stained])
    return np.asarray(stained & (signals.cd45 > settings.reference.min_cd45_share * usual))


def _upper(ck: Floats, cd45: Floats, given: ReferenceSettings) -> Bools:
    """Return the cells of the population with more CD45 and less cytokeratin; all where there is one population."""
    value = np.log(cd45) - np.log(np.maximum(ck, 1e-6))
    order = np.argsort(value, kind="stable")
    ranked, n = value[order], len(value)
    everything = np.ones(n, np.bool_)
    if n < 2 * given.min_population:
        return everything
    below = np.cumsum(ranked)[:-1]
    size = np.arange(1, n)
    between = (below / size - (ranked.sum() - below) / (n - size)) ** 2 * size * (n - size)
    between[: given.min_population - 1] = 0
    cut = int(np.argmax(between)) + 1
    low, high = ranked[:cut], ranked[cut:]
    if len(high) < given.min_population:
        return everything
    pooled = np.sqrt((low.var() * len(low) + high.var() * len(high)) / n)
    lower, upper = order[:cut], order[cut:]
    apart = high.mean() - low.mean() > given.apart_spreads * pooled
    unlike = np.median(cd45[lower]) < 0.5 * np.median(cd45[upper]) and np.median(ck[lower]) > 3 * np.median(ck[upper])
    if apart and unlike:
        everything[lower] = False
    return everything


def ck_scale(values: Floats, floor: float, given: ReferenceSettings) -> tuple[float, float]:
    """Return centre and spread of ln(cytokeratin + floor) of leukocytes, whatever a part of them took up.

    The centre is the median; the spread is that of the lower half or of the upper, whichever is less: eosinophils and
    leukocytes that took up cytokeratin widen the upper one, the noise the lower one.
    """
    low, centre, high = np.quantile(np.log(np.maximum(values, 0) + floor), [0.16, 0.5, 0.84])
    return float(centre), float(max(min(centre - low, high - centre), given.min_spread_ln))


def reference_from(
    cells: pd.DataFrame,
    signals: Signals,
    noise: Mapping[str, float],
    gates: Gates,
    settings: ClassifySettings,
    peak: Floats,
) -> Reference:
    """Return what the cells of this sample are compared with.

    Parameters
    ----------
    cells : DataFrame
    signals : Signals
        Of the cells, compensated.
    noise : mapping of str to float
    gates : Gates
    settings : ClassifySettings
    peak : (n,) array
        The brightest DNA of each nucleus over its mean.
    """
    given, floor = settings.reference, max(noise["ck"], 1e-6)
    nucleated = with_nucleus(cells, signals, noise, settings)
    found = leukocytes_of(nucleated, signals, noise, settings)
    if found.sum() >= given.min_leukocytes:
        centre, spread = ck_scale(signals.ck[found], floor, given)
        cd45 = float(np.median(signals.cd45[found]))
        z = (np.log(np.maximum(signals.ck, 0) + floor) - centre) / spread
        share = signals.cd45 / cd45
        negative = _negative(share, nucleated & (z > gates.ck_min_z), gates.cd45_max_ratio, given)
        ratio = min(max(gates.cd45_max_ratio, negative), max(given.most_cd45_ratio, gates.cd45_max_ratio))
        least = _least_z(z, nucleated & (share < ratio), gates.ck_min_z, given)
        usual = _median(peak[found])
        bleed = signals.bleed
        return Reference(found, centre, spread, floor, cd45, usual, least, ratio, negative, found, bleed, nucleated)
    # exposures are set so that what is stained fills a like part of the camera's range in each channel
    cd45 = max(_median(signals.dna[nucleated]), given.noise_cd45_snr * max(noise["cd45"], 1e-6))
    none = np.zeros(len(cells), np.bool_)
    centre, usual = float(np.log(2 * floor)), _median(peak[nucleated])
    limit, bleed = gates.cd45_max_ratio, signals.bleed
    spread, least = given.noise_spread_ln, gates.ck_min_z
    return Reference(none, centre, spread, floor, cd45, usual, least, limit, 0.0, found, bleed, nucleated)


def _negative(ratio: Floats, with_ck: Bools, gate: float, given: ReferenceSettings) -> float:
    """Return the upper limit of CD45 (over the leukocytes') of cells with cytokeratin that have no CD45 of their own.

    Leukocytes that took up cytokeratin have CD45 like the others: fewer lie between the gate and half of the usual
    than in the next half. Where more cells do, CTCs show unspecific CD45, and the limit is above them.
    """
    low, above = ratio[with_ck & (ratio < _HALF)], int((with_ck & (ratio >= _HALF) & (ratio < 2 * _HALF)).sum())
    between = int((low >= gate).sum())
    if between < given.few_between or between < above:
        low = low[low < gate]
    return max(float(np.quantile(low, 0.95)), 0.0) if len(low) >= given.min_population else 0.0


def _least_z(z: Floats, alone: Bools, most: float, given: ReferenceSettings) -> float:
    """Return the spreads of cytokeratin from which a cell without CD45 is rather a CTC than anything else.

    Notes
    -----
    Of cells without CD45 those that are no CTCs have cytokeratin as leukocytes have, half of them less than the
    median, and a CTC has not. So twice the number below the median is at most how many are no CTCs; the rest, p, lies
    anywhere up to eight spreads. The two are equally likely where ``(1 - p) phi(z) = p / 8``. The assay's gate is the
    limit where CTCs are rare, and never passed; `least_ck_z` spreads are the least.
    """
    n, below = int(alone.sum()), int((alone & (z < 0)).sum())
    if n < given.min_population:
        return most
    p = 1 - 2 * (below + 2 * np.sqrt(below + 1)) / n
    if p <= 0:
        return most
    height = np.sqrt(2 * np.pi) * p / (given.ctc_range_z * max(1 - p, 1e-3))
    return float(
        np.clip(np.sqrt(max(-2 * np.log(height), 0)) if height < 1 else 0.0, min(given.least_ck_z, most), most)
    )


def _median(values: Floats) -> float:
    return float(np.median(values)) if len(values) else 1.0
