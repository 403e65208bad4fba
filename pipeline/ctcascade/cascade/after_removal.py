"""Cells found after a removal: what they say of the lesions that shed them, and of what was shed before.

A CTC lives for hours, so a cell found later was shed later. Two sources are left: cells that lie scattered since before
the removal, which dwindle (the rest), and the lesions. Of the lesions the first to come into sight is the largest, and
stands for all; if it comes into sight at time tau, then at time s it has ``N(tau - s)`` cells, fewer the longer before.
The level on a day s, in CTCs per 7.5 mL, is

    y(s) = f e^x exp(-d (s - r)) + K N(tau - s)^a

with ``e^x`` the level before the removal at r, f what is left of it, d how fast that dwindles, a the power of size that
shedding goes with, and K one patient's shedding of a cell, lognormal: patients who are known to be metastatic have the
level of their population, with `burden_metastatic` cells in their lesions.

Tubes of half a year are one tube of all their blood here, and K is drawn again for each half-year: how much a lesion
sheds differs between patients, and in a patient from time to time. x and tau are each given what the tubes say of it,
as if the other source were that of any such patient: where tau is asked for, the rest is that of the population,
again for every half-year; where x is, a tube counts with the power that is the share of the rest among tubes of that
time that show a cell. Together they would explain each other away: a cell more in an earlier tube would make the rest
larger, the lesion less needed, and the risk lower. This way one cell more lowers no risk, and no cell counts twice in
full. The distribution of tau is kept as weights of parts of time (`engine.Bled`).
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import special

from ctcascade import evidence
from ctcascade.blood.course import FEWER, Tube, pooled
from ctcascade.blood.population import GRID, Population
from ctcascade.blood.seen import Seen
from ctcascade.cascade.engine import Bled, Cascade
from ctcascade.cascade.model import Floats
from ctcascade.cascade.parameters import Draws
from ctcascade.data.vocabulary import Z95

EDGES_YEARS = np.array([0.0, 0.15, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0])
"""Times after the latest sample between which the first lesion comes into sight."""

_PATIENTS = 41  # values of K that one is drawn from
_REACH = 4.0  # standard deviations of ln K
_NO_CELL = -50.0  # ln of the cells of a lesion that is not there
_RESTS = np.linspace(-5.5, 5.5, 265)  # of the rest, in standard deviations
_TOGETHER_YEARS = 0.5
_SHARES = 5  # of what an assay finds
_LEAST_SD = 0.5
_MANY = 50
_MIDDLE = slice(*np.searchsorted(GRID, [-5.0, 5.0]).tolist())
_LEAST = -200.0  # ln of a tube's likelihood below which there is as good as none
_TINY = float(np.finfo(float).tiny)


@dataclass(frozen=True)
class Late:
    """The tubes of a day after the removal.

    Parameters
    ----------
    years : float
        After the latest sample: 0 or before.
    tubes : tuple of Tube
        One of each assay.
    rest : Population
        Of what is left on this day of what was shed before.
    """

    years: float
    tubes: tuple[Tube, ...]
    rest: Population


def in_half_years(days: Sequence[Late]) -> list[Late]:
    """Return days joined: those of half a year, from the latest back, are one day of all their blood."""
    groups: list[list[Late]] = []
    for day in sorted(days, key=lambda d: -d.years):
        if groups and groups[-1][0].years - day.years < _TOGETHER_YEARS:
            groups[-1].append(day)
        else:
            groups.append([day])
    joined = []
    for group in groups:
        blood = np.array([max(math.fsum(tube.exposure for tube in day.tubes), _TINY) for day in group])
        mean = float(np.average([day.years for day in group], weights=blood))
        joined.append(Late(mean, pooled([tube for day in group for tube in day.tubes]), group[0].rest))
    return joined


@dataclass(frozen=True)
class ByLesions:
    """What lesions shed: a (n,), ln of K at its median (n,), and the standard deviation of ln K (n,)."""

    power: Floats
    ln_shed: Floats
    ln_shed_sd: Floats

    @classmethod
    def drawn(cls, draws: Draws, metastatic: Population) -> "ByLesions":
        """Return the draws for a cancer whose metastatic patients have such counts."""
        power, spread = draws.parameter("shedding_power"), draws.parameter("burden_spread")
        row = evidence.rows("parameters")["burden_metastatic"]
        draws.record("parameters", row)
        unsure = math.log(row.high / row.low) / (2 * Z95)
        # how patients differ beyond their lesions, and what is not known of these
        variance = np.maximum(metastatic.ln_sd**2 - (power * spread) ** 2, _LEAST_SD**2) + (power * unsure) ** 2
        return cls(power, metastatic.ln_mean - power * math.log(row.central), np.sqrt(variance))

    def over_patients(self, by_level: Floats) -> Floats:
        """Return the mean over patients of a function on `GRID` of ln level, by its median patient's level."""
        step = GRID[1] - GRID[0]
        sd = float(self.ln_shed_sd.mean())  # hardly differs between draws
        z = np.arange(-round(_REACH * sd / step), round(_REACH * sd / step) + 1) * step / sd
        weight = np.exp(-(z**2) / 2)
        ends = np.full(len(z) // 2, by_level[0]), np.full(len(z) // 2, by_level[-1])
        found: Floats = np.convolve(np.concatenate([ends[0], by_level, ends[1]]), weight / weight.sum(), "valid")
        return found


def before_sight(cascade: Cascade, years: Floats) -> Floats:
    """Return ln of the cells of a lesion some years before it comes into sight, both of shape (n, parts).

    The mean over organs by their founders: one curve for all, so that a tube prefers no organ.
    """
    share = cascade.founding.by_organ
    share = share / share.sum(axis=1, keepdims=True)
    half = np.full((*cascade.detection.d50_mm.shape, 1), 0.5)
    luck = np.full(1, np.log(2))
    age = cascade.growth.age(cascade.detection.cells(half), luck)
    ln = np.log(np.maximum(cascade.growth.cells(age - years[:, None, :], luck), 1.0))
    curve: Floats = (ln * share[:, :, None]).sum(axis=1)
    return curve


def first_lesion(marks: Floats, shape: Floats) -> Floats:
    """Return how probable it is that the first lesion comes into sight in each part, (n, parts).

    Parameters
    ----------
    marks : ndarray, shape (edges + 1, n)
        Lesions in sight in all organs when none was known, and at each of `EDGES_YEARS`. At the first none was in
        sight: the first part is impossible.
    shape : ndarray, shape (n,)
    """
    later = np.exp(-shape * np.log1p(np.maximum(marks - marks[0], 0.0) / (shape + marks[0])))
    ends = np.concatenate([np.ones((1, len(shape))), later, np.zeros((1, len(shape)))])
    return np.ascontiguousarray((ends[:-1] - ends[1:]).T)


@dataclass(frozen=True)
class AfterRemoval:
    """The tubes after a removal, as a likelihood of when the first lesion comes into sight.

    Parameters
    ----------
    late : sequence of Late
        The latest first.
    by_lesions : ByLesions
    ln_cells : ndarray, shape (late, n, parts)
        ln of the cells of the lesion on each day, by when it comes into sight: before none was known, before the
        latest sample, between two edges, or later.
    """

    late: Sequence[Late]
    by_lesions: ByLesions
    ln_cells: Floats

    @classmethod
    def of(cls, cascade: Cascade, late: Sequence[Late], by_lesions: ByLesions) -> "AfterRemoval":
        """Return the tubes of a patient whose lesions grow as in a cascade."""
        until = cascade.clear_years if cascade.clear_years is not None else np.zeros(len(cascade.ctc))
        between = (EDGES_YEARS[:-1] + EDGES_YEARS[1:]) / 2
        when = np.column_stack([until, until / 2, np.broadcast_to(between, (len(until), len(between)))])
        pace = cascade.pace
        seen = pace.seen(when) if pace.spans else when
        cells = []
        for day in late:
            since = float(pace.seen(np.array(day.years))) if pace.spans else day.years
            never = np.full(len(until), -np.inf)
            cells.append(np.column_stack([before_sight(cascade, seen - since), never]))
        return cls(late, by_lesions, np.stack(cells))

    @cached_property
    def ln_likelihood(self) -> Floats:
        """The logarithm of the likelihood of all tubes by when the first lesion comes into sight, (n, parts)."""
        total = np.zeros(self.ln_cells.shape[1:])
        for day, index in zip(self.late, self._indices, strict=True):
            likelihood = self.by_lesions.over_patients(np.exp(_by_lesion(day)))
            total += np.log(likelihood + _TINY).take(index, mode="clip")
        return total

    @cached_property
    def _indices(self) -> list[NDArray[np.intp]]:
        """Where on `GRID` the median patient's level of each day is, (n, parts)."""
        by = self.by_lesions
        ln = by.power[:, None] * np.maximum(self.ln_cells, _NO_CELL) + by.ln_shed[:, None]
        return list(np.rint((ln - GRID[0]) / (GRID[1] - GRID[0])).astype(np.intp))

    def shed_now(self, chance: Floats, draws: Draws) -> Floats:
        """Return draws of what the lesion sheds on the latest day, (n,); `chance` as of `first_lesion`."""
        weight = chance * np.exp(self.ln_likelihood - self.ln_likelihood.max(axis=1, keepdims=True))
        below = weight.cumsum(axis=1) / np.maximum(weight.sum(axis=1, keepdims=True), _TINY)
        part = (below < draws.uniform("first lesion")[:, None]).sum(axis=1).clip(0, weight.shape[1] - 1)
        ln_median = GRID[self._indices[0][np.arange(len(part)), part].clip(0, len(GRID) - 1)]
        z = np.linspace(-_REACH, _REACH, _PATIENTS)
        ln_level = ln_median[:, None] + self.by_lesions.ln_shed_sd[:, None] * z
        weight = np.exp(np.interp(ln_level, GRID, _by_lesion(self.late[0])) - z**2 / 2)
        below = weight.cumsum(axis=1) / np.maximum(weight.sum(axis=1, keepdims=True), _TINY)
        which = (below < draws.uniform("shed by a lesion")[:, None]).sum(axis=1).clip(0, _PATIENTS - 1)
        now: Floats = np.exp(ln_level[np.arange(len(part)), which])
        return now

    def bled(self) -> Bled:
        """Return the weights of when the first lesion comes into sight."""
        ln = self.ln_likelihood
        return Bled(EDGES_YEARS, np.exp(np.maximum(ln - ln.max(axis=1, keepdims=True), _LEAST)))

    def rest_shares(self, chance: Floats, days: Sequence[Late]) -> list[float]:
        """Return, for each day, the share of the rest among patients whose 7.5 mL hold a cell that was shed.

        Parameters
        ----------
        chance : ndarray, shape (n, parts)
            When the first lesion comes into sight, before any tube.
        days : sequence of Late
            All of them.
        """
        shares = []
        a_cell = self.by_lesions.over_patients(-np.expm1(-np.exp(GRID)))
        lesions = [float((a_cell.take(i, mode="clip") * chance).sum(axis=1).mean()) for i in self._indices]
        for day in days:
            nearest = min(range(len(self.late)), key=lambda i: abs(self.late[i].years - day.years))
            ln_rest, of_rest = _rest_values(day.rest)
            rest = float(-np.expm1(-np.exp(ln_rest)) @ of_rest)
            shares.append(rest / max(rest + lesions[nearest], _TINY))
        return shares


def _rest_values(rest: Population) -> tuple[Floats, Floats]:
    weights = np.exp(-(_RESTS**2) / 2)
    return rest.ln_mean + rest.ln_sd * _RESTS, weights / weights.sum()


def _by_lesion(day: Late) -> Floats:
    """Return ln of the likelihood of a day's tubes by ln of what the lesions shed, on `GRID`; the rest is anyone's."""
    ln_rest, of_rest = _rest_values(day.rest)
    level = np.log(np.exp(GRID)[:, None] + np.exp(ln_rest))
    index = np.rint((level - GRID[0]) / (GRID[1] - GRID[0])).astype(np.intp)

    def by_level(tube: Tube) -> Floats:
        shares, weights = tube.assay.shares(_SHARES)
        ln_by_share = tube.ln_likelihood(GRID, shares, beside=len(day.tubes) > 1)
        ln: Floats = special.logsumexp(ln_by_share, axis=0, b=weights[:, None])
        return ln

    def beside_the_rest(tables: Sequence[Floats]) -> Floats:
        table = np.sum(tables, axis=0)
        top = table.max()
        ln: Floats = np.log(np.maximum(np.exp(table - top).take(index, mode="clip") @ of_rest, _TINY))
        relative: Floats = ln - ln[0]
        return relative

    # very many cells are more easily those of a rest, and assays that disagree those of a rest that one of them misses:
    # of the numbers up to the counts, of all assays together, those that say most count
    each = []
    for tube in day.tubes:
        fewer = [_coarse(replace(tube, seen=Seen(n))) for n in FEWER if n < tube.seen.count]
        each.append([by_level(less) for less in (*fewer, _coarse(tube))])
    together = map(beside_the_rest, itertools.product(*each))
    total = max(together, key=lambda ln: float(special.logsumexp(ln[_MIDDLE])))
    found: Floats = np.maximum(total - total.max(), _LEAST)
    return found


def _coarse(tube: Tube) -> Tube:
    """Return a tube of the same level with fewer cells in less blood, where they are many."""
    if tube.seen.count <= _MANY:
        return tube
    return replace(tube, seen=Seen(_MANY), exposure=tube.exposure * _MANY / tube.seen.count)
