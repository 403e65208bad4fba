"""What imaging found in an organ, and the cascade given it: risk by organ and time, and how well each draw explains it.

Given a draw and the patient's frailty G, the lesions of organ o that are in sight by time t are Poisson with mean
``G Lambda_o(t)``. A lesion that a less able scan or an earlier day shows is taken to be shown by the abler and the
later one too, so every question about an organ asks one number, the mark ``X_o ~ Exp(G)`` of its first lesion:

    a lesion in sight by t                    X_o <= Lambda_o(t)
    modality m showed none at time s          X_o >  Lambda_o,m(s)
    modality m showed one or more at s        X_o <= Lambda_o,m(s)
    the setting: none in sight at the sample  X_o >  Lambda_o(0), all o
    the setting: one was                      not the line above

Marks of organs are independent given G ~ Gamma(k, mean 1), so with ``F(x) = (1 + x / k)^-k``

    P(low_o < X_o <= high_o for all o) = sum over subsets S of the bounded organs of
                                         (-1)^|S| F(sum of high over S + sum of low over the others)

The setting conditions within each draw, as without findings; the findings weigh the draws by their probability given
the setting. What they say of a draw (how fast lesions grow, how many cells found), and of the setting's word (a
metastatic patient whose scans are clean), is what they say of any such patient, averaged over the levels of the
population (`in_anyone`): the tubes alone say what this patient's level is. Otherwise cells would explain one by the
other, and one cell more would favour the draws in which it founds less, or make the word less believable. A lesion that
was found is the one that the word speaks of. Within a draw the frailty times the level has, given findings and setting,
a likelihood that the count does not change, and each risk rises with it (`_clear_of`): so one cell more lowers none.

A lesion found before the sample is used as one that is there at the sample: how early it was would say more about
growth than a model of untreated lesions can bear. A report of a lesion is right with the probability `finding_true`;
if it is wrong, nothing was there. The findings of a patient stand or fall together.

Findings that hardly any draw explains (lesions in many organs and no cell in the blood) would leave one draw, and no
band. The weights are then raised to a power below 1, so that they are worth a twentieth of the draws, and the result
says so.
"""

import datetime
import functools
import itertools
import math
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ctcascade.cascade.engine import Cascade
from ctcascade.cascade.model import Floats
from ctcascade.data.vocabulary import DAYS_PER_YEAR, HORIZONS_YEARS
from ctcascade.study.patient import Scan

_FIRST_ORGAN_STEPS = 5
_STEPS_TO_NOW = 4
_LEAST_SHARE = 0.05  # of the draws, that weighted draws are worth at least
_SHOWS_AS_MUCH = {"pet ct": "pet"}
"""Imaging that holds another: it is read as that."""
_UNKNOWN = "the size that this modality shows is not known"
_LOST = 1e-12
_TINY = float(np.finfo(float).tiny)


@dataclass(frozen=True)
class Finding:
    """What one scan found in one organ.

    Parameters
    ----------
    date : datetime.date
    years : float
        After the latest sample; negative before it.
    modality, organ : str
    lesions : int
        Only whether it is 0 is used: how many there are says more about lesions that founded others, which the model
        does not have.
    """

    date: datetime.date
    years: float
    modality: str
    organ: str
    lesions: int


@dataclass(frozen=True)
class Use:
    """What a finding is used for.

    Parameters
    ----------
    bounds : bool
        Whether it says something of its organ's first lesion.
    modality : str or None
        The scan as the evidence calls it; None where its sight in this organ is not known.
    meaning : str
        The use in words, or why it is not used.
    """

    bounds: bool
    modality: str | None
    meaning: str


def dated(scans: Iterable[Scan], latest: datetime.date) -> list[Finding]:
    """Return the findings of the patient sheet in years from the latest sample, the earliest first."""
    found = [
        Finding(s.date, (s.date - latest).days / DAYS_PER_YEAR, s.modality.replace("_", " "), s.organ, s.lesions)
        for s in scans
    ]
    return sorted(found, key=lambda f: (f.date, f.modality, f.organ))


def uses(findings: Sequence[Finding], cascade: Cascade) -> list[Use]:
    """Return what each finding is used for, or why it is not."""
    with_lesions = {f.organ for f in findings if f.lesions}
    return [_use(finding, cascade, with_lesions) for finding in findings]


def _use(finding: Finding, cascade: Cascade, with_lesions: Collection[str]) -> Use:
    if finding.organ not in cascade.organs:
        return Use(False, None, "not used: the primary tumour's own organ")
    by_name = {m.casefold(): m for organ, m in cascade.scans if organ == finding.organ}
    name = finding.modality.casefold()
    modality = by_name.get(name) or by_name.get(_SHOWS_AS_MUCH.get(name, ""))
    if finding.lesions:
        what = "the organ holds a lesion from this day on"
        return Use(True, modality, what if modality else f"{what}; {_UNKNOWN}, so the organ's best stands for it")
    if finding.organ in with_lesions:
        lesion = "another scan found a lesion in this organ, and lesions do not shrink in the model"
        return Use(False, modality, f"not used: {lesion}")
    if modality is None:
        return Use(False, None, f"not used: {_UNKNOWN}")
    return Use(True, modality, "no lesion of the size that it shows")


@dataclass(frozen=True)
class Imaged:
    """The cascade of a patient of whom imaging is known; arrays over `n` draws.

    Parameters
    ----------
    cascade : Cascade
    low, high : ndarray, shape (n, organs)
        Between which marks the first lesion of an organ lies by the findings; 0 and infinity where nothing is known.
    true : ndarray, shape (n,)
        Probability that what was reported as a lesion is one.
    now : ndarray, shape (n, organs)
        Lambda at the latest sample, or when else the setting says that none was in sight.
    bounded : tuple of int
        The organs in which a lesion was found.
    first_years : float
        When the first of these was found, in years after the latest sample; infinity where none was.
    seen : ndarray, shape (n,)
        Probability that a lesion was in sight at the latest sample, by the setting and by clean scans.
    """

    cascade: Cascade
    low: Floats
    high: Floats
    true: Floats
    now: Floats
    bounded: tuple[int, ...]
    first_years: float
    seen: Floats

    @classmethod
    def condition(
        cls, cascade: Cascade, findings: Sequence[Finding], true: Floats, seen: Floats | None = None
    ) -> "Imaged":
        """Return the cascade given the findings; `seen` is that of the setting alone if not given."""
        now = cascade.clear
        low, high = np.zeros_like(now), np.full_like(now, np.inf)
        for finding, use in zip(findings, uses(findings, cascade), strict=True):
            if not use.bounds:
                continue
            at = cascade.organs.index(finding.organ)
            years = max(finding.years, 0.0) if finding.lesions else finding.years
            if use.modality:
                mean = cascade.shown(finding.organ, use.modality, years)
            else:
                mean = cascade.lesions([years])[0, :, at]
            if finding.lesions:
                high[:, at] = np.minimum(high[:, at], mean)
            else:
                low[:, at] = np.maximum(low[:, at], mean)
        bounded = np.flatnonzero(np.isfinite(high).any(axis=0))
        first = min((max(f.years, 0.0) for f in findings if f.lesions and f.organ in cascade.organs), default=math.inf)
        seen = cascade.seen_already if seen is None else seen
        return cls(cascade, low, high, true, now, tuple(bounded.tolist()), first, seen)

    def likelihood(self) -> Floats:
        """Return the probability of the findings given the setting, by draw, shape (n,)."""
        return self._given_setting(self.low, self.high)

    def at(self, level: Floats) -> "Imaged":
        """Return the same patient with all lesions of a level of one times another, shape (n,)."""
        times = level[:, None]
        return replace(self, low=self.low * times, high=self.high * times, now=self.now * times)

    def risk(self, times_years: Sequence[float]) -> tuple[Floats, Floats]:
        """Return P(a lesion in sight by t), as `Cascade.risk`, given the findings; to be weighed by `in_anyone`."""
        return self._by_findings(self.cascade.lesions(times_years))

    def anywhere(self, times_years: Sequence[float]) -> Floats:
        """Return P(a lesion in any organ in sight by t), (times, n), as `risk` does."""
        return self._by_findings(self.cascade.lesions(times_years), by_organ=False)[1]

    def _by_findings(self, lesions: Floats, *, by_organ: bool = True) -> tuple[Floats, Floats]:
        found = self._risk(lesions, self.low, self.high, by_organ=by_organ)
        if not self.bounded:
            return found
        unbounded = np.full_like(self.high, np.inf)
        # by the setting alone; and below what the alternating sum can tell from 0, a lesion that was found says nothing
        # of the other organs
        alone = self._risk(lesions, self.low, unbounded, by_organ=by_organ)
        if self.cascade.seen_already.any() and self.first_years > min(HORIZONS_YEARS):
            found = np.maximum(found[0], alone[0]), np.maximum(found[1], alone[1])
        there = lesions >= self.high
        found = (
            np.where(there, 1.0, np.where(self._lost[:, None], alone[0], found[0])),
            np.where(there.any(axis=2), 1.0, np.where(self._lost, alone[1], found[1])),
        )
        # what was taken for a lesion was none: no lesion of the size that the scan shows
        below = np.where(np.isfinite(self.high), self.high, self.low)
        mistaken = self._risk(lesions, below, unbounded, by_organ=by_organ)
        true = self.true
        return (
            true[:, None] * found[0] + (1 - true)[:, None] * mistaken[0],
            true * found[1] + (1 - true) * mistaken[1],
        )

    @cached_property
    def _lost(self) -> NDArray[np.bool_]:
        """Draws in which what was found is less probable than the alternating sum can tell from 0, (n,)."""
        known = self.cascade.seen_already.any()
        chance: Floats = self._chance(self.low, self.high) if known else self.likelihood()
        lost: NDArray[np.bool_] = chance < _LOST
        return lost

    def first_organ(self, horizon_years: float) -> tuple[Floats, Floats]:
        """Return P(the organ is the first with a lesion in sight, by the horizon), (n, organs), and P(any), (n,).

        In each step of a path from none to the lesions at the horizon, organs share what it adds to P(any) as each of
        them alone would add to it, given that none was in sight. What is in sight at the sample came in proportion.
        """
        now = self.now[None]
        until = np.arange(_STEPS_TO_NOW)[:, None, None] / _STEPS_TO_NOW * now
        later = self.cascade.lesions(np.linspace(0, horizon_years, _FIRST_ORGAN_STEPS + 1).tolist())
        path = np.concatenate([until, later])
        unbounded = np.full_like(self.high, np.inf)
        first = self._first(path, self.low, self.high)
        if self.bounded:
            first = np.where(self._lost[:, None], self._first(path, self.low, unbounded), first)
            mistaken = self._first(path, np.where(np.isfinite(self.high), self.high, self.low), unbounded)
            first = self.true[:, None] * first + (1 - self.true[:, None]) * mistaken
        return first, first.sum(axis=1)

    def _first(self, path: Floats, low: Floats, high: Floats) -> Floats:
        clear_of = self._clear_of(low, high)
        first = np.zeros_like(low)
        for before, after in itertools.pairwise(path):
            none = clear_of(np.maximum(low, before))
            gained = none - clear_of(np.maximum(low, after))
            new = np.empty_like(low)
            for organ in range(low.shape[1]):
                clear = np.maximum(low, before)
                clear[:, organ] = np.maximum(low[:, organ], after[:, organ])
                new[:, organ] = np.maximum(none - clear_of(clear), 0.0)
            share = new / np.maximum(new.sum(axis=1), _TINY)[:, None]
            first += share * np.maximum(gained, 0.0)[:, None]
        return first

    def _risk(self, lesions: Floats, low: Floats, high: Floats, *, by_organ: bool) -> tuple[Floats, Floats]:
        clear_of = self._clear_of(low, high)
        organs, anywhere = np.zeros_like(lesions), np.empty(lesions.shape[:2])
        for i, mean in enumerate(lesions):
            for organ in range(mean.shape[1] if by_organ else 0):
                clear = low.copy()
                clear[:, organ] = np.maximum(low[:, organ], mean[:, organ])
                organs[i, :, organ] = 1 - clear_of(clear)
            anywhere[i] = 1 - clear_of(np.maximum(low, mean))
        return np.clip(organs, 0.0, 1.0), np.clip(anywhere, 0.0, 1.0)

    def _clear_of(self, low: Floats, high: Floats) -> Callable[[Floats], Floats]:
        """Return the function of marks that gives P(all marks above them | those within limits, the setting), (n,).

        Where a lesion is known, one was in sight at the sample with the probability `seen`, whatever the level; where
        one was found, in the organ in which it was found.
        """
        seen = self.seen
        if not self.cascade.seen_already.any():
            given = np.maximum(self._given_setting(low, high), _TINY)
            return lambda clear: self._given_setting(clear, high) / given
        within = self._chance(low, high)
        if np.isfinite(high).any():
            at_least = np.maximum(within, _TINY)
            return lambda clear: self._chance(clear, high) / at_least
        both = self._chance(np.maximum(low, self.now), high)
        some = within - both
        possible = some > _LOST
        by_some, by_none = np.where(possible, some, 1.0), np.maximum(both, _TINY)

        def clear_of(clear: Floats) -> Floats:
            still, still_both = (self._chance(marks, high) for marks in (clear, np.maximum(clear, self.now)))
            given_none = still_both / by_none
            given_some = np.maximum(still - still_both, 0.0) / by_some
            return np.where(possible, seen * given_some + (1 - seen) * given_none, given_none)

        return clear_of

    def _given_setting(self, low: Floats, high: Floats) -> Floats:
        """Return P(all marks within limits | the setting), (n,), with the tubes after a removal where there are any."""
        if self.cascade.bled is None:
            return self._given_word(low, high)
        return self._with_tubes(low, high) / np.maximum(self._tubes_alone, _TINY)

    @cached_property
    def _tubes_alone(self) -> Floats:
        return self._with_tubes(np.zeros_like(self.low), np.full_like(self.high, np.inf))

    def _with_tubes(self, low: Floats, high: Floats) -> Floats:
        """Return the same together with the tubes after the removal, as in `Cascade.risk`, up to a constant.

        With the part in which a lesion is in sight already: imaging may say so.
        """
        bled = self.cascade.bled
        assert bled is not None
        total: Floats = bled.weights[:, 0] * self._given_word(low, high)
        for change, edge in zip(bled.changes, self.cascade.at_edges, strict=True):
            total = total + change * self._given_word(np.maximum(low, edge), high)
        return np.maximum(total, 0.0)

    def _given_word(self, low: Floats, high: Floats) -> Floats:
        """Return P(all marks within limits | the setting), (n,); without the setting where findings overrule it."""
        if self.overruled:
            return self._chance(low, high)
        some, none = self._by_word(low, high)
        return some + none

    def _by_word(self, low: Floats, high: Floats) -> tuple[Floats, Floats]:
        """Return P(all marks within limits, a lesion in sight as the setting says) and the same with none, (n,)."""
        within, both = (self._chance(marks, high) for marks in (low, np.maximum(low, self.now)))
        seen, none = self.cascade.seen_already, self._none_now
        some = np.maximum(1 - none, _TINY)
        return seen * np.maximum(within - both, 0.0) / some, (1 - seen) * both / np.maximum(none, _TINY)

    @cached_property
    def _none_now(self) -> Floats:
        """P(no lesion in sight when the setting says so), (n,)."""
        return self._chance(self.now, np.full_like(self.high, np.inf))

    @cached_property
    def overruled(self) -> bool:
        """Whether imaging found a lesion that the setting says was not in sight at the sample."""
        early = not self.cascade.seen_already.any()
        return early and any(bool((self.high[:, o] <= self.now[:, o]).all()) for o in self.bounded)

    def _chance(self, low: Floats, high: Floats) -> Floats:
        """Return P(low < X <= high for all organs), (n,)."""
        k = self.cascade.frailty_shape
        bounded = [o for o in self.bounded if np.isfinite(high[:, o]).all()]
        width = {o: np.maximum(high[:, o] - low[:, o], 0.0) for o in bounded}
        start = functools.reduce(np.add, low.T)  # several times as fast as a sum over so few columns, and the same
        total = np.zeros_like(start)
        for chosen in itertools.chain.from_iterable(
            itertools.combinations(bounded, size) for size in range(len(bounded) + 1)
        ):
            mean = start + sum((width[o] for o in chosen), np.zeros_like(start))
            total += (-1) ** len(chosen) * np.exp(-k * np.log1p(mean / k))
        chance: Floats = np.maximum(total, 0.0)
        return chance


def in_anyone(
    cascade: Cascade, found: Sequence[Finding], true: Floats, levels: Sequence[Floats]
) -> tuple[Floats, Floats]:
    """Return how probable the findings are in each draw, and the setting's word given clean scans; without the tubes.

    Parameters
    ----------
    cascade : Cascade
    found : sequence of Finding
    true : ndarray, shape (n,)
    levels : sequence of ndarray of shape (n,)
        Founding-equivalent CTCs per 7.5 mL of equally many patients each.

    Returns
    -------
    weights, seen : ndarray, shape (n,)
    """
    level_of_one = replace(cascade.shedding, levels=np.ones_like(cascade.shedding.levels))
    anyone = Imaged.condition(replace(cascade, shedding=level_of_one, bled=None), found, true)
    patients = [anyone.at(level) for level in levels]
    weights: Floats = np.mean([patient.likelihood() for patient in patients], axis=0)
    unbounded = np.full_like(anyone.high, np.inf)
    some, none = np.sum([patient._by_word(patient.low, unbounded) for patient in patients], axis=0)
    return weights, np.where(some + none > _TINY, some / np.maximum(some + none, _TINY), cascade.seen_already)


def temper(likelihood: Floats) -> tuple[Floats, bool]:
    """Return weights of draws of which enough count, and whether the likelihood had to be softened for it.

    Notes
    -----
    ``L^b`` with the largest b up to 1 at which the effective number ``(sum w)^2 / sum w^2`` is a twentieth of all.
    """
    largest = likelihood.max()
    relative = likelihood / largest if largest > 0 else np.ones_like(likelihood)

    def enough(power: float) -> bool:
        weights = relative**power
        return bool(weights.sum() ** 2 >= _LEAST_SHARE * len(weights) * (weights**2).sum())

    if largest > 0 and enough(1.0):
        return relative, False
    low, high = 0.0, 1.0
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if enough(middle) else (low, middle)
    return relative**low, True


def resample(weights: Floats) -> NDArray[np.intp]:
    """Return indices of draws, as many as there are, in which each stands as often as its weight says (systematic)."""
    n = len(weights)
    up_to = np.cumsum(weights / weights.sum())
    return np.minimum(np.searchsorted(up_to, (np.arange(n) + 0.5) / n), n - 1)
