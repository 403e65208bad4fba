"""The count that published groups were formed by: that of the reference assay in 7.5 mL, observed or predicted.

Published groups are defined by the count that a reader of the reference assay saw, with all the chance of one tube in
it. Where the sample is such a count, it decides the group. Where it is not, the groups are mixed:

- a cell that is called uncertain may or may not be a CTC to a reader;
- of `v` mL more than 7.5 a reader's tube is a part: each of x cells is in it with probability ``7.5 / v``;
- of less, the rest of the tube was not looked at: it adds a negative binomial count, which is the Poisson count of the
  rest averaged over what x cells in ``e = v / 7.5`` of a tube say of the rate (Jeffreys' prior), ``NB(x + 1/2, e)``;
- another assay, or one whose equality with the reference is only assumed, has other cells in other tubes: there the
  probabilities of `counts.json` are those of the reference assay's count in a fresh tube.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ctcascade.data.chances import binomial, negative_binomial, negative_binomial_most
from ctcascade.data.results import Counts
from ctcascade.data.vocabulary import CUTOFFS, REFERENCE_VOLUME_ML

Floats = NDArray[np.float64]
How = Literal["observed", "mixed"]

_TAIL = 1e-9
_EXACT_ML = 1e-9  # mL by which a volume may differ from 7.5 and be it


@dataclass(frozen=True)
class ReferenceCount:
    """Probabilities of the reference assay's count.

    Attributes
    ----------
    p_by_cutoff : dict of int to float
        P(count >= cutoff), for `CUTOFFS` and, where the sample was counted by the reference assay, for all counts
        that are possible.
    is_own : bool
        It is the count of this sample's own tube, so that every count has a probability.
    why_mixed : str
        What leaves the count in doubt; empty where it is the one that was observed.
    """

    p_by_cutoff: dict[int, float]
    is_own: bool
    why_mixed: str

    @property
    def how(self) -> How:
        """Whether the observed count decides the group."""
        return "mixed" if self.why_mixed else "observed"

    def at_least(self, count: float) -> float | None:
        """Return the probability of a count of `count` or more; None where it is not known."""
        if count <= 0:
            return 1.0
        return self.p_by_cutoff.get(int(count), 0.0 if self.is_own else None)  # of an own tube the rest is impossible


def reference_count(counts: Counts) -> ReferenceCount | None:
    """Return the reference assay's count of a sample; None without a reference equivalent."""
    given = counts.reference_equivalent
    if given is None or counts.n_ctc is None or None in counts.p_at_least.values():
        return None
    if not is_reference(counts):
        known = {int(cutoff): p for cutoff, p in counts.p_at_least.items() if p is not None}
        why = f"its recovery relative to the reference assay is {given.mean:g} ({given.low:g} to {given.high:g})"
        if given.kind == "assumption":
            why = "that its recovery equals the reference assay's is an assumption" if given.mean == 1 else why
        return ReferenceCount(dict(sorted(known.items())), is_own=False, why_mixed=why)
    share, doubts = _called(counts), []
    if len(share) > counts.n_ctc + 1 or share[counts.n_ctc] < 1:
        doubts.append(f"{counts.n_uncertain} cells are called uncertain")
    exposure = counts.blood_analysed_ml / REFERENCE_VOLUME_ML
    if abs(counts.blood_analysed_ml - REFERENCE_VOLUME_ML) > _EXACT_ML:
        share = _of_part(share, exposure) if exposure > 1 else _with_rest(share, exposure)
        doubts.append(f"{counts.blood_analysed_ml:g} mL were analysed")
    at_least = np.append(np.cumsum(share[::-1])[::-1], 0.0)
    at_least /= at_least[0]
    known = {k: float(p) for k, p in enumerate(at_least)}
    known |= {cutoff: 0.0 for cutoff in CUTOFFS if cutoff not in known}
    del known[0]
    return ReferenceCount(dict(sorted(known.items())), is_own=True, why_mixed=" and ".join(doubts))


def is_reference(counts: Counts) -> bool:
    """Whether the assay is stated, and not only assumed, to be the reference assay."""
    given = counts.reference_equivalent
    return given is not None and given.mean == 1 and given.kind != "assumption"


def _called(counts: Counts) -> Floats:
    """Return the probabilities of 0, 1, ... CTCs to a reader of the slide.

    A cell called CTC is one, as it is to a reader, whose errors are in what was published. An uncertain one is a CTC
    with its own `p_ctc` where the candidates tell it: they are the least probable of them. Else, of `u` uncertain cells
    every number from 0 to `u` is as probable as any other.
    """
    sure, open_ = counts.n_ctc or 0, counts.n_uncertain or 0
    each = [
        candidate.p_ctc for candidate in sorted(counts.candidates, key=lambda c: c.p_ctc) for _ in range(candidate.n)
    ]
    among = np.full(open_ + 1, 1 / (open_ + 1))
    if len(each) == sure + open_:
        among = np.ones(1)
        for p in each[:open_]:
            among = np.convolve(among, [1 - p, p])
    return np.concatenate([np.zeros(sure), among])


def _of_part(share: Floats, exposure: float) -> Floats:
    """Return the probabilities of the count in one tube of the `exposure` tubes looked at."""
    counts = np.arange(len(share))
    seen = np.flatnonzero(share)
    return np.asarray(sum(share[x] * binomial(counts, x, 1 / exposure) for x in seen), dtype=np.float64)


def _with_rest(share: Floats, exposure: float) -> Floats:
    """Return the probabilities of the count in a whole tube, of which the share `exposure` was looked at."""
    seen = np.flatnonzero(share)
    most = negative_binomial_most(_TAIL, seen[-1] + 0.5, exposure)
    rest = np.arange(most + 1)
    total = np.zeros(seen[-1] + most + 1)
    for x in seen:
        total[x : x + most + 1] += share[x] * negative_binomial(rest, x + 0.5, exposure)
    return total
