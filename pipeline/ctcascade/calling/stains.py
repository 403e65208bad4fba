"""Whether what calls rest on holds in this sample: each stain, and the leukocytes that cells are compared with.

Every check is an object: the claim, what it was checked with, the figure, the verdict. A check that could not be made
has not been passed. Where one fails, calls are still made for the eye, but the sample has no count.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import bdtrc, ndtr

from ctcascade.calling.channel_order import of_others, order_claim
from ctcascade.calling.compensation import Bleed, Signals, signals_of
from ctcascade.calling.reference import Reference
from ctcascade.data.results import Claim
from ctcascade.data.vocabulary import ROLES
from ctcascade.study.calling_settings import StainSettings
from ctcascade.study.jobs import ClassifyJob

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

_QUARTER = 0.25
NAMES = {"dna": "DNA", "ck": "cytokeratin", "cd45": "CD45"}


@dataclass(frozen=True)
class _Seen:
    """What all checks look at."""

    cells: pd.DataFrame
    signals: Signals
    noise: Mapping[str, float]
    reference: Reference
    found: Bools  # leukocytes, also where they are too few to compare with
    frame: NDArray[np.int64]
    frames: pd.DataFrame  # usable ones
    limits: StainSettings

    @property
    def nucleated(self) -> Bools:
        return self.reference.nucleated


def claims_of(
    job: ClassifyJob,
    frames: pd.DataFrame,
    cells: pd.DataFrame,
    noise: Mapping[str, float],
    reference: Reference,
) -> tuple[Claim, ...]:
    """Return what calls of this sample rest on, and whether it holds.

    Parameters
    ----------
    job : ClassifyJob
    frames, cells : DataFrame
    noise : mapping of str to float
    reference : Reference
    """
    usable = frames[frames["usable"]].reset_index(drop=True)
    number = pd.Index(usable["frame"]).get_indexer(cells["frame"])
    seen = _Seen(
        cells, signals_of(cells, reference.bleed), noise, reference, reference.found, number, usable, job.stains
    )
    expected = job.assay.leukocytes != "none"
    return tuple(_claims(seen, job, expected))


def _claims(seen: _Seen, job: ClassifyJob, expected: bool) -> Iterator[Claim]:
    yield _dna(seen)
    yield _ck(seen)
    if expected:
        least = job.reference.min_leukocytes
        yield _leukocytes(seen, least)
        yield _cd45_apart(seen)
        yield _ck_apart(seen, job.assay.gates.cd45_max_ratio)
    for first, second in (("dna", "ck"), ("dna", "cd45"), ("ck", "cd45")):
        if expected or "cd45" not in (first, second):
            yield _copy(seen, first, second)
    if expected and seen.reference.n_leukocytes and len(seen.frames) > 1:
        yield from _by_frame(seen)
    if len(seen.frames) > 1:
        yield order_claim(seen.frames, seen.cells, NAMES, job.order)
    yield from (_in_place(seen, role) for role in ("ck", "cd45"))
    yield from (_bleed(one) for one in seen.signals.bleed)


def _dna(seen: _Seen) -> Claim:
    """Return whether the DNA stain worked: there are nuclei, and what shows CD45 has one."""
    lit = seen.nucleated & (seen.signals.dna > 3 * seen.noise["dna"])
    n = int(lit.sum())
    bright = seen.signals.cd45 > seen.limits.bright_snr * seen.noise["cd45"]
    bright &= seen.cells["equivalent_diameter_um"].to_numpy(float) > 5
    share = float(lit[bright].mean()) if bright.sum() >= seen.limits.min_objects else 1.0
    holds = n > 0 and share >= seen.limits.min_with_nucleus
    why = "" if holds else f"no DNA stain: {n} nuclei, and {share:.0%} of the cells with CD45 have one"
    if not n and not bright.any():
        why = "nothing found: no nucleus and no cell with CD45 in readable frames"
    return _claim("dna_stained", "nuclei above the noise, and in cells that show CD45", float(n), holds, why)


def _ck(seen: _Seen) -> Claim:
    """Return whether cytokeratin worked: bright objects, or leukocytes' faint light that no bleed explains.

    Specks are bright in any channel; a few cells with a nucleus and more cytokeratin than CD45 say more.
    """
    ck, noise = seen.signals.ck, seen.noise["ck"]
    own = _own_ck(seen)
    n, cells = int(own.sum()), int((own & seen.nucleated & (ck > seen.signals.cd45)).sum())
    faint, error = _faint(seen)
    holds = (
        n >= seen.limits.min_objects
        or cells >= seen.limits.min_ck_cells
        or (faint > 2 * error and faint > seen.limits.faint_snr * noise)
    )
    light = f"{faint:.2g} ± {error:.1g} counts" if np.isfinite(error) else "not measured, too few of them"
    how = f"{n} bright objects; leukocytes' own light {light}; noise {noise:.2g} counts"
    why = "" if holds else f"no cytokeratin stain: {how}"
    return _claim("ck_stained", "bright objects of its own, or leukocytes' faint light beyond bleed", faint, holds, why)


def _own_ck(seen: _Seen) -> Bools:
    """Return the objects that are bright in cytokeratin, whatever else they show."""
    ck = seen.signals.ck
    own = (ck > seen.limits.bright_snr * seen.noise["ck"]) & (ck > 0.3 * seen.signals.cd45)
    return np.asarray(own & (ck > 0.3 * seen.signals.dna) & (seen.cells["equivalent_diameter_um"].to_numpy(float) > 4))


def _faint(seen: _Seen) -> tuple[float, float]:
    """Return leukocytes' own cytokeratin in the cytoplasm, counts, and its standard error.

    What bleeds over from DNA is in the nucleus as DNA is; what bleeds over from CD45 is proportional to it.
    """
    rows = np.flatnonzero(seen.found & (seen.signals.ck < seen.signals.cd45))
    if len(rows) < seen.limits.min_objects:
        return 0.0, np.inf
    parts = {
        (r, p): seen.cells[f"{r}_{p}_mean"].to_numpy(float)[rows]
        for r in ROLES
        for p in ("nucleus", "cytoplasm", "ring")
    }
    good = np.isfinite(np.stack(list(parts.values()))).all(axis=0)
    if good.sum() < seen.limits.min_objects:
        return 0.0, np.inf
    parts = {key: value[good] for key, value in parts.items()}
    rise = np.median(parts["dna", "nucleus"] - parts["dna", "cytoplasm"])
    share = max(float(np.median(parts["ck", "nucleus"] - parts["ck", "cytoplasm"])) / max(float(rise), 1e-9), 0.0)
    lit = {role: parts[role, "cytoplasm"] - np.maximum(parts[role, "ring"], 0) for role in ROLES}
    own = lit["ck"] - share * lit["dna"]
    slope, level, error, slope_error = _line(lit["cd45"], own)
    if slope < 3 * slope_error:
        spread = 1.4826 * float(np.median(np.abs(own - np.median(own))))
        return float(np.median(own)), 2 * 1.25 * spread / np.sqrt(len(own))
    bled = slope * float(np.median(lit["cd45"]))  # noise in CD45 flattens the line, and some of this seems their own
    return level, error + seen.limits.unsure_bleed / 2 * bled


def _line(x: Floats, y: Floats) -> tuple[float, float, float, float]:
    """Return slope and intercept of a line by reweighted least squares, and the standard errors of both, reversed."""
    weight = np.ones(len(x))
    slope = level = 0.0
    for _ in range(12):
        total = weight.sum()
        mx, my = (weight * x).sum() / total, (weight * y).sum() / total
        sxx = (weight * (x - mx) ** 2).sum()
        slope = float((weight * (x - mx) * (y - my)).sum() / max(sxx, 1e-12))
        level = float(my - slope * mx)
        off = np.abs(y - slope * x - level)
        scale = max(1.4826 * float(np.median(off)), 1e-9)
        weight = 1 / np.maximum(off / scale, 1.0)
    error = scale * float(np.sqrt(1 / total + mx**2 / max(sxx, 1e-12)))
    return slope, level, error, scale / float(np.sqrt(max(sxx, 1e-12)))


def _leukocytes(seen: _Seen, least: int) -> Claim:
    """Return whether there are leukocytes to compare with."""
    n = int(seen.found.sum())
    why = "" if n >= least else f"{n} leukocytes with CD45 found, at least {least} needed: too few, or no CD45 stain"
    return _claim("leukocytes_found", "nucleated cells with CD45 above noise and bleed", float(n), n >= least, why)


def _cd45_apart(seen: _Seen) -> Claim:
    """Return whether CD45 tells leukocytes from cells that have none."""
    reference, noise = seen.reference, seen.noise["cd45"]
    what = "CD45 of cells with cytokeratin and none of their own, over the leukocytes' median"
    if not reference.n_leukocytes:
        return Claim(claim="cd45_apart", checked_with=what, value=None, verdict="not_checked", reason="no leukocytes")
    upper, doubtful = reference.negative_ratio, _doubtful(seen)
    holds = upper <= seen.limits.max_negative and reference.cd45 > 5 * noise and not doubtful
    why = "" if holds else f"CD45 does not tell leukocytes ({reference.cd45:.3g} counts, noise {noise:.2g}) from others"
    if doubtful:
        why = f"{doubtful} cells have the cytokeratin of CTCs and the CD45 of weakly stained leukocytes"
    return _claim("cd45_apart", what, upper, holds, why)


def _doubtful(seen: _Seen) -> int:
    """Return how many cells are as bright in cytokeratin as CTCs and have less CD45 than leukocytes; 0 if hardly any.

    Notes
    -----
    Leukocytes that took up cytokeratin have CD45 like the others: one in four has less than the leukocytes' lower
    quartile. Where most do, and so many that it is no chance, those in excess are none.
    """
    reference = seen.reference
    ratio = seen.signals.cd45 / reference.cd45
    with_ck = seen.nucleated & (reference.z_ck(seen.signals.ck) > reference.ck_min_z)
    ctc = with_ck & (ratio < reference.cd45_max_ratio)
    if not ctc.any():
        return 0
    other = with_ck & ~ctc & (seen.signals.ck > 0.5 * np.median(seen.signals.ck[ctc]))
    n, low = int(other.sum()), int((ratio[other] < np.quantile(ratio[reference.leukocytes], _QUARTER)).sum())
    excess = low - (n - low) * _QUARTER / (1 - _QUARTER)
    by_chance = float(bdtrc(low - 1, n, _QUARTER)) if low else 1.0
    many = 2 * low > n and excess > max(seen.limits.few_doubtful, seen.limits.max_doubtful * float(ctc.sum()))
    return round(excess) if many and by_chance < seen.limits.doubt_p else 0


def _ck_apart(seen: _Seen, gate: float) -> Claim:
    """Return whether cytokeratin tells CTCs from cells that have neither it nor CD45."""
    reference = seen.reference
    what = "share of cells without CD45 that have more cytokeratin than leukocytes have, but not enough for a CTC"
    if not reference.n_leukocytes:
        return Claim(claim="ck_apart", checked_with=what, value=None, verdict="not_checked", reason="no leukocytes")
    z = reference.z_ck(seen.signals.ck)
    alone = seen.nucleated & (seen.signals.cd45 < gate * reference.cd45) & (seen.signals.dna > 5 * seen.noise["dna"])
    above, between = z[alone & (z > reference.ck_min_z)], int((alone & (z > 0.5) & (z <= reference.ck_min_z)).sum())
    usual = seen.limits.tail * int((alone & (z < 0) & (z > -1)).sum())
    excess = max(between - usual - 2 * np.sqrt(usual + 1), 0.0)
    share = float(excess) / max(len(above) + float(excess), 1)
    cut = _cut_off(above, reference.ck_min_z, seen.limits.min_objects)
    holds = (share <= seen.limits.max_between or excess < 3) and cut <= seen.limits.max_cut
    why = (
        "" if holds else f"cytokeratin does not tell CTCs from others: {between} cells beside {len(above)} are neither"
    )
    if cut > seen.limits.max_cut:
        why = f"the gate of cytokeratin cuts through the CTCs: about {cut:.0%} of them lie beside it"
    return _claim("ck_apart", what, max(share, cut), holds, why)


def _cut_off(above: Floats, gate: float, fewest: int) -> float:
    """Return which share of a population lies below a gate; 0 where hardly any lies above.

    It is at least what the upper half of those above says if the logarithm is normal, and what lies within one spread
    above the gate: so many may lie within the next spread below it.
    """
    if len(above) < 2 * fewest:
        return 0.0
    centre, high = np.quantile(above, [0.5, 0.84])
    return max(float(ndtr((gate - centre) / max(float(high - centre), 1e-6))), float((above < gate + 1).mean()))


def _copy(seen: _Seen, first: str, second: str) -> Claim:
    """Return whether two channels are two stains: not one light, or the bleed of one, in both."""
    a = seen.signals.of(first)
    raw = {r: seen.cells[f"{r}_mean"].to_numpy(float) for r in (first, second)}
    bright = (a > seen.limits.bright_snr * seen.noise[first]) | (
        raw[second] > seen.limits.bright_snr * seen.noise[second]
    )
    bright &= seen.cells["equivalent_diameter_um"].to_numpy(float) > 5
    n = int(bright.sum())
    what = f"share of objects with one ratio of {NAMES[second]} to {NAMES[first]}"
    name = f"{second}_is_no_copy_of_{first}"
    if n < seen.limits.min_objects:
        return Claim(claim=name, checked_with=what, value=None, verdict="not_checked", reason=f"{n} bright objects")
    x, y = raw[first][bright], raw[second][bright]
    lit = (x > 2 * seen.noise[first]) & (y > 2 * seen.noise[second])
    if lit.sum() < max(seen.limits.min_objects, 0.5 * n):
        return _claim(name, what, float(lit.mean()), True, "")
    ratio = np.log(y[lit] / x[lit])
    near = float((np.abs(ratio - np.median(ratio)) < seen.limits.same_ratio_ln).mean()) * float(lit.mean())
    holds = near < seen.limits.max_on_line
    why = (
        "" if holds else f"{NAMES[second]} and {NAMES[first]} show one light: {near:.0%} of the objects have one ratio"
    )
    return _claim(name, what, near, holds, why)


def _by_frame(seen: _Seen) -> Iterator[Claim]:
    """Yield whether each stain works in every frame as in the sample."""
    frames, n = seen.frames, len(seen.frames)
    area = frames["area_um2"].to_numpy(float)
    held = seen.frame >= 0
    nuclei = np.bincount(seen.frame[held & seen.nucleated], minlength=n)
    found = np.bincount(seen.frame[held & seen.found], minlength=n)
    failed = {
        "dna": _without_nuclei(nuclei, frames),
        "cd45": _fewer(found, nuclei) | _weaker(seen, "cd45"),
        "ck": (_plain(seen) | _weaker(seen, "ck")) & ~_ck_cells_as_bright(seen),
    }
    for role, bad in failed.items():
        lost = float(area[bad].sum() / max(area.sum(), 1e-9))
        names = ", ".join(frames["frame"][bad].astype(str).head(5))
        holds = lost <= seen.limits.max_lost_area
        why = "" if holds else f"{NAMES[role]} is missing in {int(bad.sum())} of {n} frames ({names})"
        what = "share of the area in frames where the stain is missing that the others show"
        yield _claim(f"{role}_in_every_frame", what, lost, holds, why)


def _fewer(some: NDArray[np.int64], of: NDArray[np.int64]) -> Bools:
    """Return the frames with far fewer of some cells than their share in all: under a third, and not by chance."""
    share = some.sum() / max(of.sum(), 1)
    expected = share * of
    return np.asarray((some < expected / 3) & (expected - some > 4 * np.sqrt(np.maximum(expected, 1))))


def _without_nuclei(nuclei: NDArray[np.int64], frames: pd.DataFrame) -> Bools:
    """Return the frames that show cells in CD45 as the others do, but hardly a nucleus."""
    area = frames["area_um2"].to_numpy(float)
    usual = of_others(nuclei / area) * area
    sharp = frames["cd45_focus"].to_numpy(float)
    return np.asarray((nuclei < usual / 5) & (usual > 10) & (sharp > 0.3 * np.median(sharp)) & (sharp > 1.5))


def _plain(seen: _Seen) -> Bools:
    """Return the frames whose cytokeratin has no structure, where the usual frame has, and leaves leukocytes dark."""
    sharp = seen.frames["ck_focus"].to_numpy(float)
    plain = (sharp < seen.limits.noise_sharpness) & (np.median(sharp) > 2 * seen.limits.noise_sharpness)
    enough, light, _ = _light_by_frame(seen, "ck")
    dark = np.zeros(len(sharp), np.bool_)
    dark[enough] = light < (of_others(light) / 2 if len(enough) > 1 else np.inf)
    return np.asarray(plain & dark)


def _ck_cells_as_bright(seen: _Seen) -> Bools:
    """Return the frames whose cells with cytokeratin have at least 0.3 of the light of those of the other frames.

    Where these show the stain, leukocytes' faint light, which is noise and glare of others, cannot say that it failed.
    """
    more = seen.signals.ck > seen.signals.cd45
    rows = np.flatnonzero(_own_ck(seen) & seen.nucleated & more & (seen.frame >= 0))
    order = np.argsort(seen.frame[rows], kind="stable")
    ends = np.searchsorted(seen.frame[rows][order], np.arange(len(seen.frames) + 1))
    enough = np.flatnonzero(np.diff(ends) >= seen.limits.min_ck_cells)
    values = seen.signals.ck[rows][order]
    light = np.array([np.median(values[ends[frame] : ends[frame + 1]]) for frame in enough], np.float64)
    bright = np.zeros(len(seen.frames), np.bool_)
    if len(enough) > 1:
        bright[enough] = light > 0.3 * of_others(light)
    return bright


def _weaker(seen: _Seen, role: str) -> Bools:
    """Return the frames whose leukocytes have less than a third of the light that those of the other frames have.

    What may be noise is no light: the difference exceeds its error, and half of the noise, which background leaves.
    """
    weaker = np.zeros(len(seen.frames), np.bool_)
    enough, light, error = _light_by_frame(seen, role)
    if len(enough) > 1:
        usual = of_others(light)
        least = np.maximum(np.maximum(4 * error, 0.7 * usual), 0.5 * seen.noise[role])
        weaker[enough] = (usual - light > least) & (usual > 0)
    return weaker


def _light_by_frame(seen: _Seen, role: str) -> tuple[NDArray[np.int64], Floats, Floats]:
    """Return the frames that have enough leukocytes, their median light, and its standard error."""
    rows = np.flatnonzero(seen.found & (seen.frame >= 0))
    order = np.argsort(seen.frame[rows], kind="stable")
    ends = np.searchsorted(seen.frame[rows][order], np.arange(len(seen.frames) + 1))
    enough = np.flatnonzero(np.diff(ends) >= seen.limits.min_objects)
    values = seen.signals.of(role)[rows][order]
    spread = 1.4826 * float(np.median(np.abs(values - np.median(values)))) if len(values) else 0.0
    light = np.array([np.median(values[ends[frame] : ends[frame + 1]]) for frame in enough], np.float64)
    return enough, light, np.asarray(1.25 * spread / np.sqrt(np.diff(ends)[enough]))


def _in_place(seen: _Seen, role: str) -> Claim:
    """Return whether a channel lies upon DNA: measured, and put right, or as in the frames where it was measured."""
    what = "shift against DNA, um: median over the frames where the channels correlate; it is put right there"
    frames, name = seen.frames, f"{role}_in_place"
    shifts = frames[f"{role}_shift_um"].to_numpy(float)
    known = np.isfinite(shifts)
    if not known.any():
        why = "too few cells show both channels"
        return Claim(claim=name, checked_with=what, value=None, verdict="not_checked", reason=why)
    shift = float(np.median(shifts[known]))
    area = frames["area_um2"].to_numpy(float)
    unknown = float(area[~known].sum() / max(area.sum(), 1e-9))
    holds = shift <= seen.limits.max_unknown_shift_um or unknown <= seen.limits.max_lost_area
    why = (
        ""
        if holds
        else (
            f"{NAMES[role]} lies {shift:.1f} um beside DNA, and in {unknown:.0%} of the area it cannot be told how far"
        )
    )
    return _claim(name, what, shift, holds, why)


def _bleed(bleed: Bleed) -> Claim:
    """Return whether what bleeds over is known."""
    known = bleed.how != "not_estimable"
    low, high = max(bleed.share - 2 * bleed.sd, 0.0), bleed.share + 2 * bleed.sd
    how = {
        "assay": "single-stain controls of the assay",
        "sample": f"lower envelope of {bleed.n} bright objects: {bleed.share:.3f} ({low:.3f} to {high:.3f})",
        "not_estimable": f"{bleed.n} bright objects, too few",
    }[bleed.how]
    return Claim(
        claim=f"{bleed.source}_into_{bleed.target}_known",
        checked_with=how,
        value=bleed.share if known else None,
        verdict="holds" if known else "not_checked",
        reason="" if known else "not estimable from this sample; the assay states none",
    )


def _claim(claim: str, what: str, value: float, holds: bool, why: str) -> Claim:
    return Claim(claim=claim, checked_with=what, value=value, verdict="holds" if holds else "fails", reason=why)
