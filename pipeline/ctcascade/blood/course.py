"""The course of a patient's level of CTCs, given every tube: all samples are likelihoods of one course.

``x_i = ln(CTCs in 7.5 mL)`` at the days with a tube. Before any blood was looked at x has the distribution of the
population (`population`). Between two days it keeps to its course with the correlation ``exp(-days / tau)``; an
intervention between them moves it by a factor that is known within limits only. Given the course the tubes are
independent: the posterior is the prior times every tube's likelihood, in whatever order they are named.

Tubes of one day and state by one assay are one tube of all their blood (a Poisson count split in two says what the
whole said). What is not known of an assay, its recovery and sensitivity, is the same in all of its tubes.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ctcascade import evidence
from ctcascade.blood.factors import Factor, Floats, Grid, background_nodes, positive, product, share
from ctcascade.blood.population import GRID, Change, Population
from ctcascade.blood.seen import Seen

_ASSAY_NODES = 15  # of the share that an assay finds, where there is one assay
_MOST_NODES = 125  # of all assays together
_TUBE_NODES = 9
_SIGNAL_STEP = 0.02
_DEEP = 30.0
_FALL = -20.0


@dataclass(frozen=True)
class Assay:
    """What is known of an assay: the share of the blood's CTCs that is found and called, and false calls."""

    recovery: Factor
    sensitivity: Factor
    background_per_7_5_ml: Factor
    tube_to_tube: Factor | None = None

    @property
    def found(self) -> float:
        """Share of the blood's CTCs that is called, at the means."""
        return self.recovery.mean * self.sensitivity.mean

    def shares(self, nodes: int) -> tuple[Floats, Floats]:
        """Return shares that are called and their weights."""
        return _nodes(product([share(self.recovery), share(self.sensitivity)]), nodes)


@dataclass(frozen=True)
class Tube:
    """The blood of one assay on one day: what was seen, in how much of it.

    Parameters
    ----------
    seen : Seen
    exposure : float
        Blood looked at, in units of 7.5 mL.
    assay : Assay
    """

    seen: Seen
    exposure: float
    assay: Assay

    def ln_likelihood(self, ln_ctc: Floats, shares: Floats, *, beside: bool = False) -> Floats:
        """Return ln of the probability of what was seen, by the share that the assay finds, shape (shares, values).

        Parameters
        ----------
        ln_ctc : ndarray, shape (values,)
            Evenly spaced.
        shares : ndarray
        beside : bool
            A tube of another assay stands beside it.

        Notes
        -----
        It is computed on a grid of the rate of called cells once, and read at ``ln_ctc + ln share``.

        An assay may find a much smaller share of a patient's cells than of those it was tested with, and then its tube
        excludes no higher level that another assay shows. With a lower tail ``u^c`` of the share (`missed_tail`) the
        likelihood falls at most as ``level^-c``. This limit is the same for every count, so that one cell more still
        makes no higher level less believable.
        """
        tube, by_tube = _nodes(positive(self.assay.tube_to_tube), _TUBE_NODES) if self.assay.tube_to_tube else _ONE
        nodes, weights = background_nodes(self.assay.background_per_7_5_ml)
        at = ln_ctc[None, :, None] + np.log(shares)[:, None, None] + np.log(tube)
        # below so few cells none would be seen, above so many too many would
        low, high = max(float(at.min()), -_DEEP), float(at.max())
        ln_rate = np.arange(low, high + 2 * _SIGNAL_STEP, _SIGNAL_STEP)
        ln = never_less(
            [seen.ln_likelihood(self.exposure, np.exp(ln_rate), nodes, weights) for seen in self._up_to_seen]
        )
        each = np.interp(at, ln_rate, np.maximum(ln, ln.max() - 1e4))
        top = each.max(axis=2)
        averaged: Floats = np.log(np.exp(each - top[..., None]) @ by_tube) + top
        return _falling_at_most(averaged, ln_ctc[1] - ln_ctc[0]) if beside else averaged

    @property
    def _up_to_seen(self) -> list[Seen]:
        """What was seen, and, where cells may be false or are in doubt, fewer CTCs, the surest first."""
        if not self.seen.candidates and self.assay.background_per_7_5_ml.mean == 0:
            return [self.seen]
        return [*(self.seen.surest(n) for n in _UP_TO if n < self.seen.count), self.seen]


_UP_TO = (*range(1, 13), 14, 16, 19, 22, 26, 30, 35, 40, 50, 60, 75, 90, 110, 150, 200, 300, 500, 1000)
FEWER = (1, 2, 4, 8, 16, 40, 100, 300, 1000)
"""Numbers of cells beside which that of a tube is set, so that more of them never say less."""


def never_less(ln_by_count: Sequence[Floats]) -> Floats:
    """Return ln of a likelihood by level that rises at every level as steeply as for any of the counts.

    A count that the usual sources of other cells would hardly give is most easily theirs in an unusual tube, so that
    more cells would say less of the level. The steepest rise up to the count keeps ratios of likelihoods in order: one
    cell more never makes a lower level more believable.
    """
    if len(ln_by_count) == 1:
        return ln_by_count[0]
    rises = np.full(len(ln_by_count[0]) - 1, _FALL)  # where none of the counts is possible
    for ln in ln_by_count:
        possible = np.isfinite(ln[1:]) & np.isfinite(ln[:-1])
        np.maximum(rises, np.diff(np.where(np.isfinite(ln), ln, 0.0)), out=rises, where=possible)
    found: Floats = np.concatenate([[0.0], np.cumsum(rises)])
    return found


def _falling_at_most(ln: Floats, step: float) -> Floats:
    """Return ln of likelihoods by level (last axis, of a step) that nowhere fall more steeply than ``level^-c``."""
    steepest = -evidence.rows("parameters")["missed_tail"].central * step
    rises = np.maximum(np.diff(ln, axis=-1), steepest)
    found: Floats = np.concatenate([ln[..., :1], ln[..., :1] + np.cumsum(rises, axis=-1)], axis=-1)
    return found


def pooled(tubes: Sequence[Tube]) -> tuple[Tube, ...]:
    """Return one tube of all blood of each assay: counts and volumes add."""
    by_assay: dict[Assay, list[Tube]] = {}
    for tube in tubes:
        by_assay.setdefault(tube.assay, []).append(tube)
    joined = []
    for assay, own in by_assay.items():
        seen = own[0].seen
        for tube in own[1:]:
            seen = seen + tube.seen
        joined.append(Tube(seen, math.fsum(tube.exposure for tube in own), assay))
    return tuple(sorted(joined, key=repr))


@dataclass(frozen=True)
class Stop:
    """A day on the course: its tubes, and the interventions before it.

    Parameters
    ----------
    days : float
        After any fixed day.
    tubes : sequence of Tube
        May be empty: a day at which the level is asked for.
    changes : sequence of Change
        All interventions before this day, from the first on.
    power : float
        Of the tubes' likelihood: below 1 where their cells may have come from elsewhere.
    """

    days: float
    tubes: tuple[Tube, ...]
    changes: tuple[Change, ...] = ()
    power: float = 1.0


@dataclass(frozen=True)
class Course:
    """The posterior of the level at each stop.

    Parameters
    ----------
    population : Population
        Before therapy.
    stops : sequence of Stop
        Ascending in time; at least one.
    memory_days : float
        tau.

    Notes
    -----
    Levels are drawn from the latest to the earliest, each given the one after it, by the inverse of the distribution:
    likelihoods of counts and the transitions are totally positive, so with the same uniforms one cell more in any tube
    lowers no level. What an assay finds is integrated over between neighbouring stops.
    """

    population: Population
    stops: tuple[Stop, ...]
    memory_days: float

    @property
    def ln_ctc(self) -> Floats:
        """The grid of ln CTC in 7.5 mL of all stops."""
        return GRID

    @cached_property
    def _nodes(self) -> tuple[list[dict[Assay, int]], list[Floats], Floats]:
        """Which share each assay has in each combination, the shares by assay, and the combinations' weights."""
        assays = sorted({tube.assay for stop in self.stops for tube in stop.tubes}, key=repr)
        n = max(3, min(_ASSAY_NODES, int(_MOST_NODES ** (1 / max(len(assays), 1)) + 1e-9)))
        of_assays = [assay.shares(n) for assay in assays]
        indices = list(itertools.product(*(range(len(weights)) for _, weights in of_assays)))
        weights = np.array([math.prod(of_assays[a][1][i] for a, i in enumerate(at)) for at in indices])
        which = [dict(zip(assays, at, strict=True)) for at in indices]
        return which, [shares for shares, _ in of_assays], weights

    @cached_property
    def _likelihoods(self) -> list[Floats]:
        """Of each stop, by combination and level, shape (combinations, levels), up to a constant."""
        which, shares, _ = self._nodes
        order = list(which[0])
        several = len(order) > 1
        out = []
        for stop in self.stops:
            ln = np.zeros((len(which), len(self.ln_ctc)))
            for tube in stop.tubes if stop.power else ():
                by_share = tube.ln_likelihood(self.ln_ctc, shares[order.index(tube.assay)], beside=several)
                ln += stop.power * by_share[[at[tube.assay] for at in which]]
            out.append(ln - ln.max())
        return out

    def _prior(self, stop: Stop) -> Floats:
        prior: Floats = _normal(self.ln_ctc, np.array([_mean(self.population, stop)]), _sd(self.population, stop))[0]
        return prior

    def _step(self, earlier: Stop, later: Stop) -> Floats:
        """Return the probabilities of the later level given the earlier one, shape (earlier, later)."""
        kept = math.exp(-(later.days - earlier.days) / self.memory_days)
        before, after = _sd(self.population, earlier), _sd(self.population, later)
        centre = _mean(self.population, later) + kept * (self.ln_ctc - _mean(self.population, earlier))
        return _normal(self.ln_ctc, centre, math.sqrt(max(after**2 - (kept * before) ** 2, 0.0)))

    @cached_property
    def _messages(self) -> tuple[list[Floats], list[Floats], list[Floats]]:
        """Forward messages, backward messages (each with its stop's likelihood) and the steps."""
        like = [np.exp(ln) for ln in self._likelihoods]
        steps = [self._step(a, b) for a, b in itertools.pairwise(self.stops)]
        forward = [self._prior(self.stops[0]) * like[0] * self._nodes[2][:, None]]
        for step, here in zip(steps, like[1:], strict=True):
            moved = forward[-1] @ step * here
            forward.append(moved / moved.sum())
        backward = [like[-1]]
        for step, here in zip(reversed(steps), reversed(like[:-1]), strict=True):
            come = backward[-1] @ step.T * here
            backward.append(come / come.max())
        return forward, backward[::-1], steps

    @cached_property
    def latest(self) -> Floats:
        """Probabilities of the levels at the latest stop, shape of `ln_ctc`."""
        total = self._messages[0][-1].sum(axis=0)
        shares: Floats = total / total.sum()
        return shares

    def draw(self, uniforms: Sequence[Floats]) -> list[Floats]:
        """Return draws of the CTCs in 7.5 mL at each stop, the latest first.

        Parameters
        ----------
        uniforms : sequence of ndarray, shape (n,)
            As many as stops, from (0, 1).
        """
        forward, backward, steps = self._messages
        below = np.cumsum(self.latest)
        drawn = [np.interp(uniforms[0], below - self.latest / 2, self.ln_ctc)]
        for i, uniform in zip(range(len(self.stops) - 2, -1, -1), uniforms[1:], strict=True):
            joint = steps[i] * (forward[i].T @ backward[i + 1])
            drawn.append(_given(joint, self.ln_ctc, drawn[-1], uniform))
        return [np.exp(ln) for ln in drawn]


_ONE = np.ones(1), np.ones(1)


def _mean(population: Population, stop: Stop) -> float:
    return population.after(*stop.changes).ln_mean


def _sd(population: Population, stop: Stop) -> float:
    return population.after(*stop.changes).ln_sd


def _normal(grid: Floats, centre: Floats, sd: float) -> Floats:
    """Return probabilities of the grid's values, a row for each centre, not narrower than the grid can hold."""
    sd = max(sd, grid[1] - grid[0])
    ln = -(((np.clip(centre, grid[0], grid[-1])[:, None] - grid) / sd) ** 2) / 2
    weight = np.exp(ln - ln.max(axis=1, keepdims=True))
    rows: Floats = weight / weight.sum(axis=1, keepdims=True)
    return rows


def _nodes(grid: Grid, most: int) -> tuple[Floats, Floats]:
    """Return values that stand for equal parts of a distribution, each the geometric mean of its part, with weights."""
    if len(grid.weights) <= most:
        return grid.values, grid.weights / grid.weights.sum()
    weights = grid.weights / grid.weights.sum()
    edges = np.interp(np.arange(1, most) / most, np.cumsum(weights), np.arange(len(weights)))
    part: NDArray[np.intp] = np.searchsorted(edges, np.arange(len(weights)))
    mass = np.asarray(np.bincount(part, weights, minlength=most), np.float64)
    ln: Floats = np.bincount(part, weights * np.log(grid.values), minlength=most) / np.maximum(mass, 1e-300)
    return np.asarray(np.exp(ln[mass > 0]), np.float64), np.asarray(mass[mass > 0], np.float64)


def _given(joint: Floats, grid: Floats, later: Floats, uniform: Floats) -> Floats:
    """Return draws of the earlier level given the later one: quantiles between the two rows around it."""
    total = joint.sum(axis=0)
    rows = np.cumsum(joint, axis=0) / np.maximum(total, np.finfo(float).tiny)
    at = np.clip((later - grid[0]) / (grid[1] - grid[0]), 0, len(grid) - 1)
    low = np.minimum(at.astype(int), len(grid) - 2)
    part = at - low
    ends = [_inverse(rows, column, uniform, grid) for column in (low, low + 1)]
    drawn: Floats = ends[0] * (1 - part) + ends[1] * part
    return drawn


def _inverse(rows: Floats, column: NDArray[np.intp], uniform: Floats, grid: Floats) -> Floats:
    """Return quantiles of the distributions in columns, by bisection of each, linear between the grid's values."""
    low, high = np.zeros(len(column), int), np.full(len(column), len(grid) - 1)
    for _ in range(len(grid).bit_length()):
        middle = (low + high) // 2
        enough = rows[middle, column] >= uniform
        high, low = np.where(enough, middle, high), np.where(enough, low, np.minimum(middle + 1, high))
    before = np.where(high > 0, rows[np.maximum(high - 1, 0), column], 0.0)
    inside = rows[high, column] - before
    part = np.clip((uniform - before) / np.maximum(inside, np.finfo(float).tiny), 0, 1)
    found: Floats = grid[high] + (part - 0.5) * (grid[1] - grid[0])
    return found
