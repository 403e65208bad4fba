"""Lesions one by one: an exact sampler of the same cascade, for numbers, sizes and times that have no closed form.

Nothing is stepped through time. Given a draw and the patient's frailty G, founders of organ o come as a Poisson
process of intensity ``G r_o E(u)``; on the axis of its integral

    Lambda_o(u) = G r_o * integral of E up to u

they are points of a process of rate 1 on (0, Lambda_o(horizon)), placed by uniform numbers and brought back to time by
the inverse of the integral, which is closed in every piece of E (an exponential, then steps). Each founder then has its
own rest, its wait for vessels, its luck as a young colony (Exp(1)) and its threshold on a scan, all independent.

Rare events are reached by conditioning: `at_least_one` puts the first point of all organs' axes, laid end to end, by an
exponential truncated to their sum L, and says the probability ``1 - exp(-L)`` as the weight of the trajectory. Averages
of weight x event are unbiased, and need no more trajectories at a probability of 1e-6 than at 1e-2.
"""

import hashlib
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ctcascade.cascade.engine import Cascade
from ctcascade.cascade.model import Floats, Shedding

Ints = NDArray[np.intp]


@dataclass(frozen=True)
class Lesions:
    """All founders of some trajectories up to a horizon, one trajectory for each parameter draw.

    Parameters
    ----------
    trajectory, organ : ndarray, shape (lesions,)
        Numbers of the draw, and of the organ in the cascade.
    founded, rest, wait : ndarray, shape (lesions,)
        Year of founding after the latest sample; years of rest as a single cell, and of waiting for vessels.
    luck, threshold, shown : ndarray, shape (lesions,)
        X of the colony from Exp(1); quantile of the lesion among thresholds of a scan, the same for every modality; and
        from (0, 1), to be below the ceiling of a modality that can show it at all.
    weights : ndarray, shape (trajectories,)
        1, or the probability of at least one founder.
    """

    cascade: Cascade
    trajectory: Ints
    organ: Ints
    founded: Floats
    rest: Floats
    wait: Floats
    luck: Floats
    threshold: Floats
    shown: Floats
    weights: Floats

    def detected(self, organ: str, modality: str) -> tuple[Ints, Floats]:
        """Return the trajectories of an organ's lesions and the year in which a modality would show each, or inf."""
        at, scan = self.cascade.organs.index(organ), self.cascade.scans[organ, modality]
        own = np.flatnonzero(self.organ == at)
        draw = self.trajectory[own]
        cells = scan.of_draws(draw).cells(self.threshold[own, None, None])
        age = self.cascade.growth.of_organ(at).of_draws(draw).age(cells, self.luck[own, None])[:, 0, 0]
        begun = self.founded[own] + self.rest[own] + self.wait[own]
        year = self.cascade.pace.when(self.cascade.pace.seen(begun) + age)
        return draw, np.where(self.shown[own] < scan.ceiling[draw, 0], year, np.inf)

    def cells(self, organ: str, time_years: float) -> tuple[Ints, Floats]:
        """Return the trajectories of an organ's lesions and the cells of each at a time; 1 while it rests, 0 before.

        Notes
        -----
        A lesion that has reached the avascular size stays at it until the wait for vessels is over. Untreated.
        """
        at = self.cascade.organs.index(organ)
        own = np.flatnonzero(self.organ == at)
        draw, luck = self.trajectory[own], self.luck[own, None]
        growth = self.cascade.growth.of_organ(at).of_draws(draw)
        avascular = self.cascade.detection.avascular_cells[draw]
        age = time_years - self.founded[own] - self.rest[own]
        stops = growth.age(avascular[:, None, None], luck)[:, 0, 0]
        grown = np.where(age > stops, np.maximum(age - self.wait[own], stops), age)
        cells = np.maximum(growth.cells(np.maximum(grown, 0.0)[:, None, None], luck)[:, 0, 0], 1.0)
        return draw, np.where(time_years < self.founded[own], 0.0, np.where(age < 0, 1.0, cells))


def sample(
    cascade: Cascade, random_seed: int, patient: str, horizon_years: float, *, at_least_one: bool = False
) -> Lesions:
    """Return the lesions of one trajectory for each draw of a cascade, founded up to the horizon.

    Parameters
    ----------
    cascade : Cascade
    random_seed : int
    patient : str
        Each patient and organ has a random stream of its own: trajectories do not depend on what else is computed.
    horizon_years : float
        After the latest sample.
    at_least_one : bool
        Only trajectories with a founder, weighted.

    Notes
    -----
    Time and memory grow linearly with the founders, a few in a trajectory at usual counts.
    """
    shed, n = cascade.shedding, len(cascade.ctc)
    common = _stream(random_seed, patient, "patient")
    frailty = common.gamma(cascade.frailty_shape) / cascade.frailty_shape
    pieces = _integrals(shed, horizon_years)
    ends = frailty[:, None] * cascade.founding.by_organ * pieces.sum(axis=0)[:, None]
    first = np.zeros(n)
    if at_least_one:
        first = -np.log1p(common.random(n) * np.expm1(-ends.sum(axis=1)))
    before = np.cumsum(ends, axis=1) - ends
    _, (rested, leave), (restricted, switch) = cascade.waiting.mixture
    columns = []
    for i, organ in enumerate(cascade.organs):
        rng = _stream(random_seed, patient, organ)
        draw, place = _points(rng, first - before[:, i], ends[:, i])
        m = len(draw)
        kind, years = rng.random(m), rng.standard_exponential(m)
        rest = np.where(kind < rested[draw], years / leave[draw], 0.0)
        waits = (kind >= rested[draw]) & (kind < (rested + restricted)[draw])
        wait = np.where(waits, years / switch[draw], 0.0)
        own = (rng.standard_exponential(m), rng.random(m), rng.random(m))
        columns.append((draw, np.full(m, i), _time_of(place, pieces, shed, draw), rest, wait, *own))
    weights = -np.expm1(-ends.sum(axis=1)) if at_least_one else np.ones(n)
    trajectory, organ_of, *others = (np.concatenate(column) for column in zip(*columns, strict=True))
    founded, rest, wait, luck, threshold, shown = others
    return Lesions(cascade, trajectory, organ_of, founded, rest, wait, luck, threshold, shown, weights)


def _points(rng: np.random.Generator, first: Floats, end: Floats) -> tuple[Ints, Floats]:
    """Return the points of processes of rate 1 on (0, end): their number in the array, and place as share of end.

    Where `first` is inside (0, end) it is a point, and none is before it; beyond the end there is none at all.
    """
    start = np.clip(first, 0.0, end)
    drawn = np.repeat(np.arange(len(end)), rng.poisson(end - start))
    forced = np.flatnonzero((first > 0) & (first < end))
    place = start[drawn] + rng.random(len(drawn)) * (end - start)[drawn]
    number = np.concatenate([drawn, forced])
    return number, np.concatenate([place, start[forced]]) / end[number]


def _integrals(shed: Shedding, horizon_years: float) -> Floats:
    """Return the integral of the level over each of its pieces in time, up to the horizon, shape (pieces, n)."""
    starts = [start for start, _ in shed.constant]
    lasts = [min(end, horizon_years) - start for start, end in zip(starts, [*starts[1:], math.inf], strict=True)]
    constant = [level * max(years, 0.0) for years, (_, level) in zip(lasts, shed.constant, strict=True)]
    return np.stack([shed.levels[-1] / shed.growth_per_year, *constant])


def _time_of(place: Floats, pieces: Floats, shed: Shedding, draw: Ints) -> Floats:
    """Return the times at which shares `place` of the whole integral of the level are reached, (lesions,)."""
    own = pieces[:, draw]
    up_to = np.cumsum(own, axis=0)
    target = place * up_to[-1]
    last = len(own) - 1 - (own[::-1] > 0).argmax(axis=0)  # rounding must not lead to a piece without founders
    piece = np.minimum((target >= up_to).sum(axis=0), last)
    at = np.arange(len(draw))
    left = target - (up_to - own)[piece, at]
    starts = np.array([-shed.ages[-1], *(start for start, _ in shed.constant)])
    levels = np.stack([shed.levels[-1], *(level for _, level in shed.constant)])[piece, draw]
    constant = starts[piece] + left / levels
    grown = starts[0] + np.log(np.maximum(left / own[0], np.finfo(float).tiny)) / shed.growth_per_year[draw]
    seen: Floats = np.where(piece == 0, grown, constant)
    return seen


def _stream(random_seed: int, patient: str, part: str) -> np.random.Generator:
    key = hashlib.sha256(f"lesions/{random_seed}/{patient}/{part}".encode()).digest()[:16]
    return np.random.Generator(np.random.Philox(key=int.from_bytes(key, "little")))
