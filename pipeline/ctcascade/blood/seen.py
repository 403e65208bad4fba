"""What was seen of a tube, and how probable that is at each rate of true cells: the likelihood that all stages share.

With certain calls the number of CTCs is Poisson, of true and of false ones together. Where calls are in doubt every
candidate j (a cell called CTC, or uncertain) counts by its odds ``o_j = p_ctc / (1 - p_ctc)``. Candidates are a mixture
of what looks like a CTC, ``l = e (m + b)``, and of look-alikes, ``a``, which have the odds only by chance::

    L(m) = integral of exp(-l - a) product over j of (l o_j + a), over a

So how common CTCs are among the candidates is inferred together with their number: ten cells of p = 0.3 beside five
sure ones are more often CTCs than ten of them alone. The doubt about a cell enters once, by its odds; `b` are the false
calls that no measured property tells from CTCs.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from ctcascade.blood.factors import TAIL, Floats

Candidates = tuple[tuple[float, int], ...]
"""``p_ctc`` and how many cells have it."""

_NODES = 41  # of the square root of the look-alikes; their prior is flat
_TABLE = 1200
_SHARES = 4000  # of the prevalence, between 0 and 1
_LEAST = 1e-5  # expected cells below which there are as good as none
_EVEN = 0.5  # a cell called CTC is more probably one than not
_SURE = 1e6  # largest odds


@dataclass(frozen=True)
class Seen:
    """The calls of a tube, or of several tubes of one day.

    Parameters
    ----------
    count : int
        Cells called CTC.
    candidates : tuple of (float, int)
        ``p_ctc`` of the cells called CTC or uncertain, with their number; empty: the calls are taken as certain.
    """

    count: int
    candidates: Candidates = ()

    @classmethod
    def of(cls, count: int, candidates: Sequence[tuple[float, int]]) -> "Seen":
        """Return what was seen; candidates that are all certain CTCs are the count itself."""
        doubtful = any(0 < p < 1 for p, _ in candidates)
        return cls(count, tuple(sorted((float(p), int(n)) for p, n in candidates if p > 0)) if doubtful else ())

    def __add__(self, other: "Seen") -> "Seen":
        both: dict[float, int] = {}
        for p, n in (*self.whole, *other.whole):
            both[p] = both.get(p, 0) + n
        if not (self.candidates or other.candidates):
            return Seen(self.count + other.count)
        return Seen(self.count + other.count, tuple(sorted(both.items())))

    @property
    def whole(self) -> Candidates:
        """The candidates; of certain calls each with the probability 1."""
        return self.candidates or (((1.0, self.count),) if self.count else ())

    @property
    def most(self) -> int:
        """Cells that may be CTCs at most."""
        return max(self.count, sum(n for _, n in self.candidates))

    def surest(self, n: int) -> "Seen":
        """Return so many of the cells called CTC, the surest first, with all that are uncertain."""
        kept: dict[float, int] = {}
        left = n
        for p, times in reversed(self.candidates):
            kept[p] = min(times, left) if p > _EVEN else times
            left -= kept[p] if p > _EVEN else 0
        return Seen(min(n, self.count), tuple(sorted((p, times) for p, times in kept.items() if times)))

    def expected(self) -> float:
        """Return the CTCs to expect among the candidates, averaged over their prevalence; the count if certain.

        Notes
        -----
        The prior of the prevalence is flat, as that of CTCs and look-alikes in the likelihood. The most probable
        prevalence would jump from none to all where many cells have one probability near 0.5.
        """
        if not self.candidates:
            return float(self.count)
        odds, times = self._odds
        share = (np.arange(_SHARES) + 0.5) / _SHARES
        both = share * odds[:, None] + 1 - share
        ln = times @ np.log(both)
        weights = np.exp(ln - ln.max())
        return float((times @ (share * odds[:, None] / both)) @ weights / weights.sum())

    def ln_likelihood(self, exposure: float, rate: Floats, background: Floats, weights: Floats) -> Floats:
        """Return ln of the probability of what was seen, up to a constant, shape of `rate`.

        Parameters
        ----------
        exposure : float
            Blood looked at, in units of 7.5 mL.
        rate : ndarray, shape (n,)
            True cells that are called per 7.5 mL.
        background, weights : ndarray
            False calls per 7.5 mL, which it is averaged over.
        """
        like = exposure * (rate[:, None] + background)
        ln = self._doubtful(like) if self.candidates else special.xlogy(self.count, like) - like
        top = np.maximum(ln.max(axis=1), -1e300)  # a rate of zero cannot show cells without background
        with np.errstate(divide="ignore"):
            averaged: Floats = np.log(np.exp(ln - top[:, None]) @ weights) + top
        return averaged

    @property
    def _odds(self) -> tuple[Floats, Floats]:
        p, times = (np.array(column, float) for column in zip(*self.candidates, strict=True))
        return np.minimum(p / np.maximum(1 - p, 1 / _SURE), _SURE), times

    def _doubtful(self, like: Floats) -> Floats:
        """Return ln of the likelihood of the candidates, tabulated over what looks like a CTC; shape of `like`."""
        odds, times = self._odds
        root = (np.arange(_NODES) + 0.5) / _NODES * math.sqrt(special.gammainccinv(times.sum() + 0.5, TAIL))
        most = float(like.max())
        at = np.geomspace(min(_LEAST, most / 2), most, _TABLE)
        ln = np.log(root) - root**2
        for o, n in zip(odds, times, strict=True):
            ln = ln + n * np.log(at[:, None] * o + root**2)
        found: Floats = np.interp(np.log(np.maximum(like, at[0])), np.log(at), special.logsumexp(ln, axis=1)) - like
        return found
