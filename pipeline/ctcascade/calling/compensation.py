"""Light of one stain that is seen in the channel of another, estimated and taken off before any gate.

An object that is bright in one stain shows in another channel at least what the filters let through. So the lower
envelope of (light there / light here) over bright objects, debris included, is the share that bleeds over, wherever
some of these objects have none of the other stain.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ctcascade.data.vocabulary import ROLES
from ctcascade.study.calling_settings import BleedSettings

Floats = NDArray[np.float64]

_DEFAULTS = BleedSettings()


@dataclass(frozen=True)
class Bleed:
    """The share of the light of one stain that is seen in the channel of another.

    Attributes
    ----------
    source, target : str
        Roles.
    share, sd : float
        Estimate and its standard deviation; 0 and a wide one where it is not estimable.
    n : int
        Objects that it rests on.
    how : {"assay", "sample", "not_estimable"}
    """

    source: str
    target: str
    share: float
    sd: float
    n: int
    how: Literal["assay", "sample", "not_estimable"]


@dataclass(frozen=True)
class Signals:
    """Light of each cell above its own surroundings, counts, less what bleeds over.

    Attributes
    ----------
    dna, ck, cd45 : (n,) arrays
        CD45 is the lesser of its means over cell and nucleus.
    cd45_sd : (n,) array
        Standard deviation of what was taken off CD45.
    dna_nucleus : (n,) array
        DNA of the nucleus; 0 where there is none.
    bleed : tuple of Bleed
    """

    dna: Floats
    ck: Floats
    cd45: Floats
    cd45_sd: Floats
    dna_nucleus: Floats
    bleed: tuple[Bleed, ...]

    def of(self, role: str) -> Floats:
        """Return the signal of a role."""
        return {"dna": self.dna, "ck": self.ck, "cd45": self.cd45}[role]


def bleed_of(
    cells: pd.DataFrame,
    noise: Mapping[str, float],
    given: Mapping[str, Mapping[str, float]] | None = None,
    settings: BleedSettings = _DEFAULTS,
) -> tuple[Bleed, ...]:
    """Return what bleeds from channel to channel.

    Parameters
    ----------
    cells : DataFrame
        As `tables.CELLS`, of one whole sample.
    noise : mapping of str to float
        Standard deviation of the background by role, counts.
    given : mapping, optional
        ``{source: {target: share}}`` from single-stain controls; what cytokeratin leaves in CD45 is estimated from the
        sample where it is not given.
    settings : BleedSettings, optional

    Notes
    -----
    Shares are small: what bleeds over twice is left out. What DNA adds to CD45 is in leukocytes as in CTCs; a sample
    cannot tell it from weak CD45, so it is taken off only where the assay knows it, and counts otherwise towards the
    CD45 of cells that have none (`reference`).
    """
    known = [
        Bleed(source, target, share, 0.0, 0, "assay")
        for source, targets in (given or {}).items()
        for target, share in targets.items()
    ]
    if any((one.source, one.target) == ("ck", "cd45") for one in known):
        return tuple(known)
    raw = {role: _above(cells, role, "mean") for role in ROLES}
    cd45 = raw["cd45"] - _light(raw, known, "cd45")
    return (*known, envelope(raw["ck"], cd45, noise, cells["equivalent_diameter_um"].to_numpy(float), settings))


def signals_of(cells: pd.DataFrame, bleed: Sequence[Bleed]) -> Signals:
    """Return the signals of cells less what bleeds over."""
    raw = {role: _above(cells, role, "mean") for role in ROLES}
    nucleus = {role: _above(cells, role, "nucleus_mean") for role in ROLES}
    lit = np.fmin(raw["cd45"] - _light(raw, bleed, "cd45"), nucleus["cd45"] - _light(nucleus, bleed, "cd45"))
    variance = np.zeros(len(cells))
    for one in bleed:
        if one.target == "cd45":
            variance += (one.sd * np.maximum(raw[one.source], 0)) ** 2
    dna, ck = (np.asarray(raw[role] - _light(raw, bleed, role)) for role in ("dna", "ck"))
    inside = np.nan_to_num(nucleus["dna"] - _light(nucleus, bleed, "dna"))
    return Signals(dna, ck, np.asarray(lit), np.sqrt(variance), inside, tuple(bleed))


def envelope(
    source: Floats,
    target: Floats,
    noise: Mapping[str, float],
    diameter_um: Floats,
    settings: BleedSettings = _DEFAULTS,
) -> Bleed:
    """Return what cytokeratin leaves in CD45: the lower envelope of their ratio in objects bright in cytokeratin.

    Parameters
    ----------
    source, target : (n,) arrays
        Cytokeratin and CD45 of each object above its surroundings, counts.
    noise : mapping of str to float
    diameter_um : (n,) array
        Objects below 4 um are left out: blur lights their surroundings unevenly.
    settings : BleedSettings, optional

    Notes
    -----
    Objects count where their ratio is at most `max_share`. Of these the lower half that lies together is taken: the
    median of the ratios up to twice the lower quartile (and the noise).
    """
    strong = source > settings.bright_snr * noise["ck"]
    if strong.any():
        strong &= source > 0.1 * np.quantile(source[strong], 0.9)
    strong &= diameter_um > 4
    ratio = target[strong] / np.maximum(source[strong], 1e-9)
    ratio = ratio[ratio <= settings.max_share]
    n = len(ratio)
    if n < settings.min_objects:
        return Bleed("ck", "cd45", 0.0, settings.unknown_sd, n, "not_estimable")
    low = float(np.quantile(ratio, 0.25))
    near = ratio[ratio <= max(2 * low, low + 0.02)]
    share = float(np.median(near))
    spread = 1.4826 * float(np.median(np.abs(near - share)))
    return Bleed("ck", "cd45", max(share, 0.0), max(spread, 1e-4), n, "sample")


def _light(lit: Mapping[str, Floats], bleed: Sequence[Bleed], target: str) -> Floats | float:
    """Return what bleeds into a channel."""
    return sum((b.share * np.maximum(lit[b.source], 0) for b in bleed if b.target == target), 0.0)


def _above(cells: pd.DataFrame, role: str, part: str) -> Floats:
    """Return the mean of a role over a part of each cell above the cell's surroundings."""
    around = np.maximum(np.nan_to_num(cells[f"{role}_ring_mean"].to_numpy(float)), 0)
    return np.asarray(cells[f"{role}_{part}"].to_numpy(float) - around)
