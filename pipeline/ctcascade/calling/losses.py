"""Whether the calls have lost or made up CTCs, as the sample itself shows: whatever the cause, known or not.

Calls are right where cells are either far inside all gates or far outside, and where gates and judge agree. Where cells
crowd at a gate, on either side of it, as many as there may lie beyond it, or may not have been found as cells at all;
where the judge's likelihood ratios leave cells in doubt, they say how many of them are CTCs. Each is a claim with its
figure. Where one fails there is no count, and the reason names the gate.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit

from ctcascade.calling.compensation import Signals
from ctcascade.calling.judge import Verdict
from ctcascade.calling.mitosis import OTHER_HALF
from ctcascade.calling.reference import Reference
from ctcascade.calling.traits import More, column_of
from ctcascade.data.results import Claim
from ctcascade.study.assay import Gates
from ctcascade.study.calling_settings import ClassifySettings, LossSettings

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
TermsOf = Callable[[NDArray[np.int64]], Floats]
"""From rows of a sample's cells to the gates' terms of them, one row a gate."""

GATE_NAMES = {
    "ck_min_z": "cytokeratin",
    "cd45_max_ratio": "CD45",
    "min_nucleus_um2": "the nucleus's size",
    "min_nucleus_solidity": "the nucleus's solidity",
    "max_dna_peak": "chromatin's grain",
    "min_diameter_um": "the least diameter",
    "max_diameter_um": "the largest diameter",
    "min_ck_fill": "cytokeratin's evenness",
}
_OUT_OF_SIGHT = ("ck_min_z", "min_nucleus_um2", "min_diameter_um")  # beyond these the judge is asked of no cell


@dataclass(frozen=True)
class Looked:
    """Cells that may have been lost, and the CTCs.

    Attributes
    ----------
    called, missed, vetoed : (n,) arrays of bool
        CTCs; cells that fail one gate alone, and that narrowly; those that the gates want and the judge does not.
    terms : (gates, n) array
    p_in_sample : (n,) array
        The judge's, at the sample's own share of CTCs; NaN where it was not asked or abstains.
    ln_ratio : (n,) array
        The judge's; NaN likewise.
    bare : int
        Objects with the stains and the size of a CTC in which no nucleus was found, although they show DNA.
    bled : int
        Cells bright in cytokeratin whose CD45 may all be bleed, in a sample that cannot tell how much bleeds over.
    """

    called: Bools
    missed: Bools
    vetoed: Bools
    terms: Floats
    p_in_sample: Floats
    ln_ratio: Floats
    bare: int
    bled: int


def loss_claims(
    cells: pd.DataFrame,
    calls: pd.DataFrame,
    signals: Signals,
    reference: Reference,
    noise: Mapping[str, float],
    gates: Gates,
    settings: ClassifySettings,
    verdict: Verdict | None,
    terms_of: TermsOf,
    before: Sequence[Claim] = (),
    more: More | None = None,
) -> tuple[Claim, ...]:
    """Return whether few CTCs were lost, few calls are false, and no gate cuts through the CTCs.

    Parameters
    ----------
    cells, calls : DataFrame
        Of the whole sample, with the same rows.
    signals : Signals
    reference : Reference
    noise : mapping of str to float
    gates : Gates
    settings : ClassifySettings
    verdict : Verdict or None
        The judge's.
    terms_of : callable
    before : sequence of Claim
        What was checked before: where any of it fails nothing here can be told.
    more : callable, optional
        What reads the columns `traits.FURTHER` that `cells` lacks.
    """
    failed = [claim.claim for claim in before if claim.verdict == "fails"]
    if failed:
        why = f"{', '.join(failed)}: fails already"
        return tuple(
            Claim(claim=name, checked_with=what, value=None, verdict="not_checked", reason=why) for name, what in _WHAT
        )
    judging = verdict is not None and not verdict.why_not
    looked = _looked(cells, calls, signals, reference, noise, gates, settings, judging, terms_of, more)
    found = tuple(_claims(looked, judging, settings.losses))
    n = int(looked.called.sum())
    beside = next((claim.value or 0.0 for claim in before if claim.claim == "ck_apart"), 0.0)
    return (*found, _together(found, beside, n, settings.losses))


def _looked(
    cells: pd.DataFrame,
    calls: pd.DataFrame,
    signals: Signals,
    reference: Reference,
    noise: Mapping[str, float],
    gates: Gates,
    settings: ClassifySettings,
    judging: bool,
    terms_of: TermsOf,
    more: More | None,
) -> Looked:
    near = settings.losses.near_widths
    is_ctc, reason = (calls["call"] == "ctc").to_numpy(bool), calls["reason"]  # no object a cell
    ratio = (signals.cd45 - signals.cd45_sd) / reference.cd45
    z, least = reference.z_ck(signals.ck), reference.least_z(np.maximum(ratio, 0), gates)
    nucleated = reference.nucleated
    stained = (z > least - near * settings.gate_widths.ck_min_z) & (ratio < _MOST_CD45)
    ln_ratio = calls["judge_ln_ratio"].to_numpy(float)
    rows = np.flatnonzero(is_ctc | (stained & nucleated) | (judging & np.isfinite(ln_ratio)))
    terms = terms_of(rows)
    called = is_ctc[rows]
    one = np.argmin(terms, axis=0)
    lowest = np.take_along_axis(terms, one[None], axis=0)[0]
    others = np.prod(np.where(np.arange(len(terms))[:, None] == one, 1.0, terms), axis=0)
    open_ = ~called & ~reason.iloc[rows].str.startswith(OTHER_HALF).to_numpy(bool)
    p = calls["p_ctc_in_sample"].to_numpy(float)[rows] if judging else np.full(len(rows), np.nan)
    unsure = ln_ratio[rows] > settings.losses.sure_ln_ratio
    by_gates = calls["gates_p_ctc"].to_numpy(float)[rows] >= settings.p_ctc_call
    bare = ~nucleated & (z > least) & (ratio < reference.cd45_max_ratio)
    # faint nuclei that were found are none, and their DNA is lost in the mean over a large cell; where the sample's
    # nuclei hardly rise above the noise, a cell may have one of which nothing is seen
    inside = np.nan_to_num(signals.dna_nucleus)
    faint = np.median(inside[nucleated]) < settings.stains.bright_snr * noise["dna"] if nucleated.any() else True
    bare &= faint | (np.maximum(signals.dna, inside) > settings.min_snr * noise["dna"])
    bare &= cells["equivalent_diameter_um"].to_numpy(float) > gates.min_diameter_um
    clumps = reason[bare].str.startswith("dye").to_numpy(bool)
    return Looked(
        called,
        open_ & stained[rows] & (others >= settings.p_ctc_call) & (lowest > expit(-near)),
        open_ & by_gates & unsure,
        terms,
        np.where(called | open_, p, np.nan),
        np.where(called | open_, ln_ratio[rows], np.nan),
        int((~clumps).sum()),
        _bled(
            cells, nucleated & _may_be_bleed(calls, signals, z - reference.ck_min_z, noise, settings), settings, more
        ),
    )


def _may_be_bleed(
    calls: pd.DataFrame, signals: Signals, above: Floats, noise: Mapping[str, float], settings: ClassifySettings
) -> Bools:
    """Return the cells that only CD45 keeps from being CTCs, where it may all come from their bright cytokeratin."""
    unknown = any((b.source, b.target, b.how) == ("ck", "cd45", "not_estimable") for b in signals.bleed)
    bright = (signals.ck > settings.bleed.bright_snr * noise["ck"]) & (above > 0) & unknown
    held = (calls["call"] == "double_positive").to_numpy(bool)
    return np.asarray(bright & held & (signals.cd45 < settings.bleed.max_share * signals.ck))


def _bled(cells: pd.DataFrame, may_be: Bools, settings: ClassifySettings, more: More | None) -> int:
    """Return how many of these cells show CD45 where they show cytokeratin, pixel by pixel, as bleed does."""
    rows = np.flatnonzero(may_be)
    alike = column_of(cells, rows, "marker_correlation", more) if len(rows) else np.zeros(0)
    return int((~(alike < settings.bleed.min_alike)).sum())


_MOST_CD45 = 0.8  # over the leukocytes' median: what has more is one
_MOST = 0.5
_LOST = ("few_ctcs_lost", "share of the CTCs that were not called, to be expected from cells in doubt")
_FALSE = ("few_calls_false", "share of the calls that are no CTCs, to be expected from the judge's likelihood ratios")
_CROWD = ("ctcs_clear_of_gates", "largest share of CTCs close to one gate: as many may lie beyond it")
_ALL = (
    "doubts_together_few",
    "CTCs lost, calls that are false, and cells just below the gate of cytokeratin, as a share",
)
_WHAT = (_LOST, _FALSE, _CROWD, _ALL)


def _claims(looked: Looked, judging: bool, limits: LossSettings) -> Iterator[Claim]:
    n = int(looked.called.sum())
    yield _lost(looked, n, judging, limits)
    if judging:
        doubt = _false(looked, limits)
        share = doubt / max(n, 1)
        fails = doubt > (limits.few_of_most if share > _MOST else limits.few) and share > limits.max_false
        yield _claim(_FALSE, share, f"about {doubt:.0f} of {n} calls are likelier no CTCs" if fails else "")
    else:
        name, what = _FALSE
        yield Claim(claim=name, checked_with=what, value=None, verdict="not_checked", reason="the judge abstains")
    yield _crowded(looked, n, judging, limits)


def _false(looked: Looked, limits: LossSettings) -> float:
    """Return how many calls are no CTCs, to be expected.

    Notes
    -----
    At most as many as the judge's ratios say at the sample's own share of CTCs. On blood that it was not trained on it
    gives CTCs smaller ratios than it should, though still far above those of other cells. So where half of the calls
    are CTCs by odds of `sure_calls`, and most are at the sample's own share, it is also at most the tail of the other
    cells carried on into the calls. Density falls ever faster beyond the middle of a population; of the other cells,
    n1 and n2 in two bands of `tail_ln` just below the calls, at most ``n2 r / (1 - r)`` with ``r = n2 / n1`` lie
    beyond; one is added to each, as counts are small. Calls that it is against stay in doubt.
    """
    doubt = float(np.nansum(1 - looked.p_in_sample[looked.called]))
    calls, others = looked.ln_ratio[looked.called], looked.ln_ratio[~looked.called]
    if not np.isfinite(calls).any() or np.nanmedian(calls) < limits.sure_calls or doubt > _MOST * len(calls):
        return doubt
    end, width = limits.tail_end, limits.tail_ln
    near = float((others > end - width).sum()) + 1
    ratio = near / (float(((others > end - 2 * width) & (others <= end - width)).sum()) + 1)
    against = float(expit(-calls[calls < 0]).sum())
    return min(doubt, max(against, near * ratio / (1 - ratio))) if ratio < 1 else doubt


def _lost(looked: Looked, n: int, judging: bool, limits: LossSettings) -> Claim:
    """Return whether few CTCs lie among the cells that were not called.

    Notes
    -----
    Where the judge was asked, as many as the sum of its probabilities at the sample's own share of CTCs; else those
    that fail one gate alone, and that narrowly. Objects without a nucleus count whole: the judge is not asked of them.
    """
    doubtful = looked.p_in_sample[~looked.called]
    lost = float(np.nansum(doubtful)) if judging else float(looked.missed.sum())
    vetoed = int(looked.vetoed.sum())
    why = ""
    if looked.bled > limits.few_bled and looked.bled > limits.max_lost * (n + looked.bled):
        why = f"CD45 of {looked.bled} cells may be bleed of their cytokeratin: state how much (ctcascade compensate)"
    for expected, few, least, what in (
        (
            lost,
            limits.few_lost if judging else limits.few,
            1 if judging else limits.min_called,
            "cells in doubt beside {n} CTCs: about {expected:.0f} of them were not called",
        ),
        (
            float(looked.bare),
            limits.few,
            0,
            "{expected:.0f} objects have the stains and size of CTCs but no nucleus was found in them",
        ),
    ):
        if why:
            break
        if expected > few and expected > limits.max_lost * (n + expected) and n >= least:
            why = what.format(n=n, expected=expected) + _by_gate(looked, what)
    if not why and vetoed > max(n, limits.many_vetoed):
        why = f"gates and judge differ on {vetoed} cells, of which the judge is not sure, and agree on {n}"
    return _claim(_LOST, lost / max(n + lost, 1.0), why)


def _by_gate(looked: Looked, what: str) -> str:
    """Return which gate most of the narrowly missed cells fail, in words."""
    if "in doubt" not in what or not looked.missed.any():
        return ""
    which = np.bincount(np.argmin(looked.terms[:, looked.missed], axis=0), minlength=len(looked.terms))
    return f" (most of those near a gate: {list(GATE_NAMES.values())[int(np.argmax(which))]})"


def _crowded(looked: Looked, n: int, judging: bool, limits: LossSettings) -> Claim:
    """Return whether hardly any CTC lies close to a gate.

    Notes
    -----
    A population that ends before a gate leaves nothing close to it. Of one that a gate cuts through, about as many lie
    within a few widths of it as just beyond, and what is beyond the smallest nucleus was not even found. Where the
    judge is asked, what lies beyond the other gates is among the cells that it sees, and `few_ctcs_lost` counts it.
    """
    close = (looked.terms[:, looked.called] < expit(limits.near_widths)).sum(axis=1)
    if judging:
        close[[name not in _OUT_OF_SIGHT for name in GATE_NAMES]] = 0
    most = int(np.argmax(close)) if n else 0
    share = float(close[most]) / n if n else 0.0
    fails = n >= limits.min_called and close[most] > limits.few and share > limits.max_close
    gate = list(GATE_NAMES.values())[most]
    return _claim(
        _CROWD,
        share,
        f"{gate} of {close[most]} of {n} CTCs is close to its gate: about as many are lost" if fails else "",
    )


def _together(found: Sequence[Claim], beside: float, n: int, limits: LossSettings) -> Claim:
    """Return whether the doubts together are few; one that fails already gives its own reason."""
    values = {claim.claim: claim.value or 0.0 for claim in found}
    share = values[_LOST[0]] + values[_FALSE[0]] + beside
    fails = n >= limits.min_called and share > limits.max_together and share * n > limits.few_together
    fails &= all(claim.verdict != "fails" for claim in found)
    return _claim(_ALL, share, f"about {share * n:.0f} cells in doubt beside {n} CTCs" if fails else "")


def _claim(about: tuple[str, str], value: float, why: str) -> Claim:
    name, what = about
    return Claim(claim=name, checked_with=what, value=value, verdict="fails" if why else "holds", reason=why)
