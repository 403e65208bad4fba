"""Gates and judge together: a cell is called a CTC where both say so, and is uncertain where they differ.

Gates that are in doubt themselves say neither: there the joined probability decides.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from ctcascade.calling.judge import Verdict, at_prevalence, prevalence
from ctcascade.data.results import Judged
from ctcascade.study.calling_settings import ClassifySettings

Floats = NDArray[np.float64]
Words = NDArray[Any]

_JUST_BELOW = 1 - 1e-6  # of a limit that a probability must not reach


@dataclass(frozen=True)
class Agreed:
    """What gates and judge say together of each cell.

    Attributes
    ----------
    p_ctc : (n,) array
        At even odds, so that ``p_ctc / (1 - p_ctc)`` is a likelihood ratio.
    call, reason : (n,) arrays of str
    ln_ratio, p_in_sample : (n,) arrays
        The judge's, NaN where it was not asked; the second at the share of CTCs that its own ratios make most probable.
    judge_reason : (n,) array of str
        ``for``, or ``against`` and what speaks most against a CTC; empty where it was not asked.
    """

    p_ctc: Floats
    call: Words
    reason: Words
    ln_ratio: Floats
    p_in_sample: Floats
    judge_reason: Words


def agreed(p_gates: Floats, call: Words, reason: Words, verdict: Verdict | None, settings: ClassifySettings) -> Agreed:
    """Return the calls of gates and judge together.

    Parameters
    ----------
    p_gates : (n,) array
    call, reason : (n,) arrays of str
        By the gates alone.
    verdict : Verdict or None
        The judge's.
    settings : ClassifySettings

    Notes
    -----
    Both look at one cell, so their odds are not multiplied: the joined ``p_ctc`` has the mean of the logarithms of
    their odds, held within what the call allows. Where the judge is against a cell that the gates want it is the
    judge's own: gates do not know dying cells. The judge alone makes a cell uncertain only from `alone_ln_ratio` on, as
    a slide has millions of leukocytes, or where it is for a CTC and sure of it (`alone_p_in_sample`) at the share of
    CTCs that the sample's own ratios show: CTCs that stain weakly, or lie beside a leukocyte, among many that do not.
    """
    n = len(call)
    ln_ratio, p_in_sample, said = np.full(n, np.nan), np.full(n, np.nan), np.full(n, "", object)
    if verdict is None or not len(verdict.rows):
        return Agreed(p_gates, call, reason, ln_ratio, p_in_sample, said)
    rows, given = verdict.rows, settings.judge
    ln_ratio[rows] = verdict.ln_ratio
    p_in_sample[rows] = at_prevalence(verdict.ln_ratio, prevalence(verdict.ln_ratio))
    in_favour = verdict.ln_ratio >= given.least_ln_ratio
    said[rows] = np.where(in_favour, "for", "against: " + verdict.against)
    if verdict.why_not or given.use != "beside":
        return Agreed(p_gates, call, reason, ln_ratio, p_in_sample, said)
    p, call, reason = p_gates.copy(), call.copy(), reason.copy()
    joined = expit((logit(np.clip(p_gates[rows], 1e-9, 1 - 1e-9)) + verdict.ln_ratio) / 2)
    by_gates, doubt = call[rows] == "ctc", call[rows] == "uncertain"
    both = in_favour & (by_gates | (doubt & (joined >= settings.p_ctc_call)))
    likely = (verdict.ln_ratio >= 0) & (p_in_sample[rows] >= given.alone_p_in_sample)
    alone = ~by_gates & ~doubt & (likely | (verdict.ln_ratio >= given.alone_ln_ratio))
    against = by_gates & ~in_favour
    differ = against | alone | (doubt & ~both)
    own = np.where(against, np.minimum(joined, expit(verdict.ln_ratio)), joined)
    between = np.clip(own, settings.p_ctc_uncertain, settings.p_ctc_call * _JUST_BELOW)
    least = np.minimum(joined, p_gates[rows])
    p[rows] = np.where(both, np.maximum(joined, settings.p_ctc_call), np.where(differ, between, least))
    call[rows[both]], call[rows[differ]] = "ctc", "uncertain"
    reason[rows[against]] = reason[rows[against]] + "; judge " + said[rows[against]]
    reason[rows[alone]] = reason[rows[alone]] + "; judge for"
    reason[rows[both & doubt]] = reason[rows[both & doubt]] + " in doubt; judge for"
    return Agreed(p, call, reason, ln_ratio, p_in_sample, said)


def summary_of(verdict: Verdict | None, use: Literal["beside", "shown", "off"]) -> Judged:
    """Return what the judge made of a sample, as results keep it."""
    if verdict is None:
        return Judged(use="off", reason="", n_asked=0, unlike=None, share_of_ctcs=None)
    asked = len(verdict.rows)
    return Judged(
        use="abstains" if verdict.why_not else use,
        reason=verdict.why_not,
        n_asked=asked,
        unlike=verdict.unlike,
        share_of_ctcs=prevalence(verdict.ln_ratio) if asked else None,
    )
