"""The cascade of one patient, evaluated: lesions in sight, risk by organ and time, first organ, flow of cells.

Between patients of equal parameters the efficiency of founding differs by a Gamma factor of mean 1 and shape k
(frailty), common to all organs of a patient. Given a draw, the lesions in sight are Poisson with mean
``Lambda_o(t) G``, so none is with probability ``(1 + Lambda_o / k)^-k``: the risk grows more slowly than the count
does, and organs are not independent.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from ctcascade.cascade.circulation import Arrival, Circulation
from ctcascade.cascade.model import (
    Detection,
    Floats,
    Founding,
    Growth,
    Pace,
    Shedding,
    Waiting,
    seen_from_history,
    seen_from_now_on,
)
from ctcascade.cascade.parameters import Draws
from ctcascade.data.vocabulary import DAYS_PER_YEAR

_NODES = 5  # lesions that stand for all of an organ in a draw; tested against many more
_LATTICE_STEP = 2  # of the rank-1 lattice on (growth luck, detection threshold)
_FIRST_ORGAN_STEPS = 20
_LEAST_GAIN = 1e-300


@dataclass(frozen=True)
class FlowStep:
    """A step between shedding and a lesion in sight: its name, what is counted, in which unit, and by draw, (n,)."""

    name: str
    meaning: str
    unit: str
    values: Floats


@dataclass(frozen=True)
class Bled:
    """What tubes after a removal say of when the first lesion comes into sight.

    Parameters
    ----------
    edges_years : ndarray, shape (edges,)
        Ascending, from 0, the latest sample.
    weights : ndarray, shape (n, edges + 2)
        Likelihood of the tubes if it came before `Cascade.clear_years`, between that and the first edge, between two
        edges, or comes later than the last.
    """

    edges_years: Floats
    weights: Floats

    @property
    def changes(self) -> Floats:
        """Differences of the weights at `Cascade.clear_years` and at each edge, shape (edges + 1, n)."""
        changes: Floats = np.diff(self.weights, axis=1).T
        return changes


@dataclass(frozen=True)
class Cascade:
    """The steps of one patient's cascade, as arrays over `n` parameter draws."""

    organs: tuple[str, ...]
    ctc: Floats  # per 7.5 mL at the latest sample, (n,)
    cluster_share: Floats  # of the founders, (n,)
    unseen_share: Floats  # of the shedding at the latest sample, that which no sample shows, (n,)
    shedding: Shedding
    circulation: Circulation
    founding: Founding
    waiting: Waiting
    growth: Growth
    detection: Detection
    scans: dict[tuple[str, str], Detection]  # by (organ, modality), each for one organ
    frailty_shape: Floats
    seen_already: Floats  # P(a lesion in an organ was in sight at the latest sample), by the setting
    arrival: Arrival
    extravasation: Floats
    pace: Pace = field(default_factory=Pace)
    bled: Bled | None = None
    levels_of_cells: Floats | None = None  # as those of `shedding`, if clusters founded no more than their cells
    clear_years: Floats | None = None  # until when it is known that no lesion was in sight, (n,); None: the sample

    def lesions(self, times_years: Sequence[float]) -> Floats:
        """Return the expected number of lesions in sight, Lambda, shape (times, n, organs).

        Parameters
        ----------
        times_years : sequence of float
            Years after the latest sample.

        Notes
        -----
        A lesion is in sight from its founding on after the age at which its size is, and its wait. The level of
        shedding is a growth before the first sample and steps since, so Lambda is a sum of the two closed forms
        `seen_from_history` and `seen_from_now_on`, averaged over lesions by a rank-1 lattice.
        """
        new = [time for time in dict.fromkeys(times_years) if time not in self._at]
        self._at.update((time, np.empty((len(self.ctc), len(self.organs)))) for time in new)
        # one organ at a time: what is computed with stays in the processor's cache
        for organ, (own, scale) in enumerate(self._by_organ if new else ()):
            for time in new:
                self._at[time][:, organ] = scale * self._seen(time, own).mean(axis=1)
        return np.stack([self._at[time] for time in times_years]) if len(times_years) else np.empty((0, *self._shape))

    @cached_property
    def _at(self) -> dict[float, Floats]:
        """Lesions in sight by time, as far as they were asked for: several results ask for the same times."""
        return {}

    @property
    def _shape(self) -> tuple[int, int]:
        return len(self.ctc), len(self.organs)

    @cached_property
    def _by_organ(self) -> list[tuple[Floats, Floats]]:
        """Ages at detection (n, nodes), and founders that are ever shown a year for each CTC (n,), of each organ."""
        ages = self.detection_ages(_NODES)
        scale = self.founding.by_organ * self.detection.ceiling
        return [(np.ascontiguousarray(ages[:, o]), scale[:, o]) for o in range(len(self.organs))]

    @cached_property
    def clear(self) -> Floats:
        """Lesions in sight at the time until which it is known, in early settings, that none was, (n, organs)."""
        if self.clear_years is None:
            now: Floats = self.lesions([0.0])[0]
            return now
        until = self.clear_years[:, None]
        return np.stack([scale * self._seen(until, own).mean(axis=1) for own, scale in self._by_organ], axis=1)

    def _seen(self, time_years: float | Floats, ages: Floats) -> Floats:
        """Return the lesions in sight per founder a year for each CTC in 7.5 mL, by age at detection (n, nodes)."""
        shed = self.shedding
        # whose growth began before this time has grown to what is shown
        lag = self.pace.when(self.pace.seen(np.array(time_years)) - ages) if self.pace.spans else time_years - ages
        since_first = lag + shed.ages[-1]
        seen: Floats = shed.levels[-1][:, None] * seen_from_history(
            since_first, shed.growth_per_year, shed.onward, self.waiting
        )
        for ago, change in shed.steps:
            seen += change[:, None] * seen_from_now_on(lag + ago, self.waiting)
        return seen

    @property
    def founders_per_year(self) -> Floats:
        """Founders a year in each organ at the latest sample, shape (n, organs)."""
        founders: Floats = self.founding.by_organ * self.shedding.levels[0][:, None]
        return founders

    def detection_ages(self, nodes: int) -> Floats:
        """Return the ages at which lesions have the size that is shown, waits left out, shape (n, organs, nodes)."""
        return _ages(self.growth, self.detection, nodes)

    def shown(self, organ: str, modality: str, time_years: float) -> Floats:
        """Return the expected number of lesions of an organ that a modality would show at a time, shape (n,)."""
        at, scan = self.organs.index(organ), self.scans[organ, modality]
        ages = _ages(self.growth.of_organ(at), scan, _NODES)[:, 0]
        lesions: Floats = self.founding.by_organ[:, at] * scan.ceiling[:, 0] * self._seen(time_years, ages).mean(axis=1)
        return lesions

    def risk(self, times_years: Sequence[float]) -> tuple[Floats, Floats]:
        """Return P(a lesion in sight by t): by organ, (times, n, organs), and in any organ, (times, n)."""
        return self._risk(self.lesions(times_years), self._at_rest(times_years))

    def anywhere(self, times_years: Sequence[float]) -> Floats:
        """Return P(a lesion in any organ in sight by t), (times, n)."""
        return self.risk(times_years)[1]

    def first_organ(self, horizon_years: float) -> tuple[Floats, Floats]:
        """Return P(the organ is the first with a lesion in sight, by the horizon), (n, organs), and P(any), (n,).

        Lesions in sight at the sample count by their share; later, by the share of what comes into sight in each
        step of the grid.
        """
        times = np.linspace(0, horizon_years, _FIRST_ORGAN_STEPS + 1).tolist()
        lesions = self.lesions(times)
        anywhere = self._risk(lesions, self._at_rest(times))[1]
        gained = np.diff(anywhere, axis=0, prepend=0.0)
        new = np.diff(lesions, axis=0, prepend=0.0)
        share = new / np.maximum(new.sum(axis=2, keepdims=True), np.finfo(float).tiny)
        return (share * gained[:, :, None]).sum(axis=0), anywhere[-1]

    @cached_property
    def _steady(self) -> "Cascade | None":
        """The same patient with a level of one on all days; None where the level was asked for on one day only."""
        one_day = len(self.shedding.ages) == 1
        return (
            None
            if one_day
            else replace(self, shedding=replace(self.shedding, levels=np.ones_like(self.shedding.levels)))
        )

    def _at_rest(self, times_years: Sequence[float]) -> tuple[Floats, Floats] | None:
        """Return what `_steady` has by each time, (times, n, organs), and at the sample, (n, organs)."""
        steady = self._steady
        return None if steady is None or self.bled is not None else (steady.lesions(times_years), steady.clear)

    def _risk(self, later: Floats, at_rest: tuple[Floats, Floats] | None) -> tuple[Floats, Floats]:
        """Return the risks by organ and anywhere from the lesions in sight, shape (times, n, organs).

        Notes
        -----
        The setting says whether a lesion was in sight at the sample: with probability `seen_already` one was, in some
        organ; else none was. With ``F(x) = (1 + x / k)^-k``, ``a = Lambda_o(t)``, ``b`` what the other organs had at
        the sample and ``c = Lambda(0)``, no lesion is in sight in organ o with probability ``F(a + b) / F(c)`` given
        none, and ``(F(a) - F(a + b)) / (1 - F(c))`` given some. What this says of frailty is included; parameter
        draws are not weighted by it, so that all patients keep the same draws and risks their order.

        With tubes of several days one cell more in an early one would raise ``c`` more than what is still to come, and
        speak for a lower frailty. So ``b`` and ``c`` are those of a patient of a steady level who has or gains as many
        lesions, which they are anyhow with tubes of one day: each risk then rises with the level of every day.
        """
        if self.bled is not None:
            return self._risk_bled(self.bled, later)
        now = self.clear
        k, seen = self.frailty_shape[:, None], self.seen_already[:, None]
        gain = np.maximum(later - now, 0.0)
        all_gain = gain.sum(axis=2, keepdims=True)
        total = before = before_any = now.sum(axis=1, keepdims=True)
        if at_rest is not None:
            then, at_first = at_rest
            had, gains = at_first.sum(axis=1, keepdims=True), np.maximum(then - at_first, 0.0)
            before = had * (gain / np.maximum(gains, _LEAST_GAIN))
            before_any = had * (all_gain / np.maximum(gains.sum(axis=2, keepdims=True), _LEAST_GAIN))
            level = later / np.maximum(then, _LEAST_GAIN)
            now, total = level * at_first, level * had
        some = np.maximum(-np.expm1(-k * np.log1p(total / k)), np.finfo(float).tiny)
        given_none = -np.expm1(-k * np.log1p(gain / (k + before)))
        clear_but_some = -np.exp(-k * np.log1p(later / k)) * np.expm1(-k * np.log1p((total - now) / (k + later)))
        organs = seen * np.maximum(1 - clear_but_some / some, 0.0) + (1 - seen) * given_none
        any_new = -np.expm1(-k * np.log1p(all_gain / (k + before_any)))
        return organs, (seen + (1 - seen) * any_new)[:, :, 0]

    @cached_property
    def at_edges(self) -> Floats:
        """Lesions in sight at `clear_years` and at the edges of `bled`, shape (edges + 1, n, organs)."""
        edges = self.lesions(self.bled.edges_years.tolist() if self.bled else [])
        return np.concatenate([self.clear[None], edges])

    def _risk_bled(self, bled: Bled, later: Floats) -> tuple[Floats, Floats]:
        """Return the risks where tubes after the removal weigh when the first lesion T comes into sight.

        Notes
        -----
        None was in sight at `clear_years`. With weights ``w_p`` of the parts between edges ``e_p`` and A the event that
        no lesion of an organ is in sight by t, ``P(A, tubes) = sum_p w_p (P(A, T > e_p) - P(A, T > e_p+1))``, and
        ``P(A, T > e) = F(sum over organs of the larger of what must not be there)``.
        """
        k, edges = self.frailty_shape, self.at_edges
        weights = np.concatenate([bled.weights[None, :, 1], bled.changes[1:]])

        def none(mean: Floats) -> Floats:
            return np.exp(-k * np.log1p(mean / k))

        all_edges = edges.sum(axis=2)
        base = (weights * none(all_edges)).sum(axis=0)
        organs, anywhere = np.zeros_like(later), np.zeros(later.shape[:2])
        for i, mean in enumerate(later):
            for weight, edge, total in zip(weights, edges, all_edges, strict=True):
                more = np.maximum(mean - edge, 0.0)
                anywhere[i] += weight * none(total + more.sum(axis=1))
                for organ in range(mean.shape[1]):
                    organs[i, :, organ] += weight * none(total + more[:, organ])
        base = np.maximum(base, np.finfo(float).tiny)
        return np.clip(1 - organs / base[:, None], 0.0, 1.0), np.clip(1 - anywhere / base, 0.0, 1.0)

    def time_to_sight(self, organ: str, modality: str, draws: Draws) -> Floats:
        """Return when a lesion founded now would be shown, in years, one lesion a draw, shape (n,)."""
        scan = self.scans[organ, modality]
        cells = scan.cells(draws.uniform("one lesion: threshold")[:, None, None])
        luck = -np.log1p(-draws.uniform("one lesion: luck"))[:, None]
        ages = self.growth.of_organ(self.organs.index(organ)).age(cells, luck)[:, 0, 0]
        return ages + self.waiting.quantile_draw(draws.uniform("one lesion: kind"), draws.uniform("one lesion: wait"))

    @property
    def p_founding_per_ctc(self) -> Floats:
        """Probability that a cell cleared from the blood founds a growth, shape (n,)."""
        return self.founding.rate_per_year / self.circulation.clearance_per_year

    def flow(self) -> list[FlowStep]:
        """Return the steps from shedding to a lesion in sight, as they are at the latest sample."""
        day = self.ctc / DAYS_PER_YEAR
        cleared = self.circulation.clearance_per_year * day
        shed = cleared / self.arrival.deformable_share
        passed = shed * self.arrival.passed_first_bed
        by_killer_cells, by_shear = self.circulation.killed_by
        arrested = cleared * (1 - self.circulation.kill_share)
        out = arrested * self.extravasation
        resting = self.waiting.dormancy_share
        level = self.shedding.levels[0]
        seen = np.diff(self.lesions([0.0, 1.0]).sum(axis=2), axis=0)[0] / DAYS_PER_YEAR
        founded = self.founding.rate_per_year * level / DAYS_PER_YEAR
        in_blood = self.ctc * self.circulation.cells_in_blood
        per_day = "cells per day"
        return [
            FlowStep("shed", "cells that enter the blood", per_day, shed),
            FlowStep("first_pass_survived", "cells that pass the first capillary bed", per_day, passed),
            FlowStep("in_circulation", "cells in the blood at any moment", "cells", in_blood),
            FlowStep(
                "killed", "of the cells cleared from the blood, killed by NK cells", per_day, cleared * by_killer_cells
            ),
            FlowStep("sheared", "of these, killed by shear", per_day, cleared * by_shear),
            FlowStep("arrested", "recirculating cells that a capillary bed holds", per_day, arrested),
            FlowStep("extravasated", "of these, leave the vessel alive", per_day, out),
            FlowStep("dormant", "of these, rest as single cells", per_day, out * resting),
            FlowStep("growing", "of these, divide at once", per_day, out * (1 - resting)),
            FlowStep("founded", "cells or clusters that found a growth, now or later", "lesions per day", founded),
            FlowStep("detectable", "lesions that come into sight, mean of the next year", "lesions per day", seen),
        ]


def _ages(growth: Growth, detection: Detection, nodes: int) -> Floats:
    """Return ages at detection on a rank-1 lattice of (growth luck, detection threshold), shape (n, organs, nodes)."""
    step = np.arange(nodes)
    threshold = np.broadcast_to((step + 0.5) / nodes, (*detection.d50_mm.shape, nodes))
    luck = -np.log1p(-((step * _LATTICE_STEP % nodes) + 0.5) / nodes)
    return growth.age(detection.cells(threshold), luck)
