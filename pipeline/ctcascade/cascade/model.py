"""The steps from a shed cell to a lesion that a scan shows, each a frozen dataclass whose docstring is its mathematics.

    shedding -> survival in circulation -> arrest -> extravasation -> dormancy -> colonisation -> angiogenesis
    -> growth -> detection

Survival in circulation and arrest are in `circulation`, all others here.

Cells are independent and shed as a Poisson process, so thinning leaves Poisson processes: the number of lesions of an
organ that a scan would show at time t is Poisson with a mean Lambda(t) that has a closed form. Every field is an array
over parameter draws unless its docstring says otherwise. Times are in years from the latest sample.
"""

import itertools
import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_STANDSTILL = 1e-9
AT_ONCE_PER_YEAR = 1e6
"""The rate of a wait that is none: half a minute."""


@dataclass(frozen=True)
class Shedding:
    """How many founding-equivalent CTCs 7.5 mL of blood held, holds and will hold.

    Before the earliest sample, at time ``-a_m``, the level grew exponentially; each sample stands for the time nearest
    to it; then it follows `course`, in multiples of the level at the latest sample::

        E(u) = E_m exp(g (u + a_m))      u < -a_m
        E(u) = E_i                       u nearest to -a_i
        E(u) = f_j E_0                   u > t_j, the latest t_j of the course

    Parameters
    ----------
    levels : ndarray, shape (samples, n)
        E_i, the latest sample first, per 7.5 mL.
    ages : ndarray, shape (samples,)
        a_i in years before the latest sample of the patient, ascending.
    growth_per_year : ndarray, shape (n,)
        g, the growth of the level before the first sample.
    course : sequence of (float, ndarray of shape (n,))
        t_j and f_j, ascending in time, none before the latest of `ages`.
    """

    levels: Floats
    ages: Floats
    growth_per_year: Floats
    course: tuple[tuple[float, Floats], ...]

    @property
    def constant(self) -> list[tuple[float, Floats]]:
        """The pieces of constant level, the earliest first: when each begins, and its level (n,)."""
        between = -(self.ages[:-1] + self.ages[1:])[::-1] / 2
        starts = [-float(self.ages[-1]), *between.tolist()]
        of_samples = list(zip(starts, self.levels[::-1], strict=True))
        later = [(time, factor * self.levels[0]) for time, factor in self.course]
        # the level of a single sample from which the course begins at once never lasted
        return [*(of_samples[:-1] if later[0][0] <= of_samples[-1][0] else of_samples), *later]

    @property
    def onward(self) -> Floats:
        """Level of the first of the constant pieces relative to that at the earliest sample, (n,)."""
        relative: Floats = self.constant[0][1] / self.levels[-1]
        return relative

    @property
    def steps(self) -> list[tuple[float, Floats]]:
        """Changes of the level after the first constant piece: years ago (negative: to come), and by how much (n,)."""
        pieces = self.constant
        return [(-time, level - before) for (_, before), (time, level) in itertools.pairwise(pieces)]

    def from_then_on(self, time_years: float, factor: float | Floats, until: float = math.inf) -> "Shedding":
        """Return the shedding with all of its course between two times multiplied by a factor."""
        times = sorted({t for t, _ in self.course} | {t for t in (time_years, until) if math.isfinite(t)})
        course = []
        for time in times:
            so_far = [f for t, f in self.course if t <= time]
            level = so_far[-1] if so_far else np.ones_like(self.growth_per_year)
            course.append((time, level * factor if time_years <= time < until else level))
        return replace(self, course=tuple(course))


@dataclass(frozen=True)
class Pace:
    """How fast lesions grow under a therapy: the clock by which they age.

    Within each interval of `spans` lesions grow at a multiple of their pace, else as untreated ones: of a calendar time
    t the growth sees ``tau(t) = t - sum of (1 - y) (part of the interval before t)``. A lesion whose growth begins at b
    has the age T at the time at which ``tau = tau(b) + T``. Waits, of resting cells too, go by the calendar.

    Parameters
    ----------
    spans : sequence of (float, float, float)
        Start and end in years after the latest sample, not overlapping and ascending, and the pace y >= 0.
    """

    spans: tuple[tuple[float, float, float], ...] = ()

    def during(self, start: float, end: float, pace: float) -> "Pace":
        """Return the pace with all of an interval multiplied by a factor."""
        given = [*self.spans, (start, end, pace)]
        times = sorted({t for first, last, _ in given for t in (first, last)})
        pieces = [
            (a, b, math.prod(y for first, last, y in given if first <= a and b <= last))
            for a, b in itertools.pairwise(times)
        ]
        return Pace(tuple(pieces))

    def seen(self, time_years: Floats) -> Floats:
        """Return the time that growth has seen, tau."""
        times, grown = self._knots
        beyond = np.maximum(time_years - times[-1], 0.0) + np.minimum(time_years - times[0], 0.0)
        grown_for: Floats = np.interp(time_years, times, grown) + beyond
        return grown_for

    def when(self, seen_years: Floats) -> Floats:
        """Return the calendar time at which growth has seen a time: the inverse of `seen`."""
        times, grown = self._knots
        beyond = np.maximum(seen_years - grown[-1], 0.0) + np.minimum(seen_years - grown[0], 0.0)
        calendar: Floats = np.interp(seen_years, grown, times) + beyond
        return calendar

    @property
    def _knots(self) -> tuple[list[float], list[float]]:
        # where the clocks agree does not matter: only differences of what growth has seen are used
        times = [self.spans[0][0] if self.spans else 0.0]
        grown = list(times)
        for start, end, pace in self.spans:
            grown += [grown[-1] + start - times[-1]]
            # a growth that stands still has no inverse, one that all but does has
            grown += [grown[-1] + max(pace, _STANDSTILL) * (end - start)]
            times += [start, end]
        return times, grown


@dataclass(frozen=True)
class Founding:
    """Seed and soil: how many cells a year found a growth, and in which organ.

    All organs together, ``r E`` a year, at most `cap` of the cells cleared (``r <= cap J``). The share of organ o is
    that of ``arrival_o exp(soil_o + tropism_o)``: where cells arrest, times the organ's soil for any cancer and this
    cancer's liking for it.

    Parameters
    ----------
    rate_per_year : ndarray, shape (n,)
        r, founders a year for each CTC in 7.5 mL.
    arrival : ndarray, shape (n, organs)
        Shares of the arrested cells, recirculating and first-pass ones mixed.
    ln_soil, ln_tropism : ndarray, shape (n, organs)
    """

    rate_per_year: Floats
    arrival: Floats
    ln_soil: Floats
    ln_tropism: Floats

    @property
    def by_organ(self) -> Floats:
        """Founders a year in each organ for each CTC in 7.5 mL, shape (n, organs)."""
        weight = self.arrival * np.exp(self.ln_soil + self.ln_tropism)
        founders: Floats = self.rate_per_year[:, None] * weight / weight.sum(axis=1, keepdims=True)
        return founders


@dataclass(frozen=True)
class Waiting:
    """Time that a founder spends at rest: as a single cell, or at 1 to 2 mm3 without vessels of its own, or not at all.

    Of the extravasated cells that could grow the share q rests first; a resting cell wakes at rate ``w_D`` and dies at
    ``d_D``, so of the founders the share ``m = q p / (1 - q + q p)``, ``p = w_D / (w_D + d_D)``, has rested for an
    exponential time of rate ``w_D + d_D``. Of the others the share u stays at the avascular size until it escapes, at
    rate ``w_A``; the rest finds vessels as it grows (its own, or those of the organ). The wait is a mixture::

        W ~ (1 - m) (1 - u) delta_0 + m Exp(w_D + d_D) + (1 - m) u Exp(w_A)

    Parameters
    ----------
    dormancy_share, wake_per_year, death_per_year, restricted_share, switch_per_year : ndarray, shape (n,)
        q, w_D, d_D, u and w_A.
    """

    dormancy_share: Floats
    wake_per_year: Floats
    death_per_year: Floats
    restricted_share: Floats
    switch_per_year: Floats

    @property
    def rested(self) -> Floats:
        """Share of the founders that rested first, (n,)."""
        late = self.dormancy_share * self.wake_per_year / self.leave_per_year
        return late / (1 - self.dormancy_share + late)

    @property
    def leave_per_year(self) -> Floats:
        """Rate at which cells rest no more, awake or dead, (n,)."""
        return self.wake_per_year + self.death_per_year

    @cached_property
    def mixture(self) -> tuple[tuple[Floats, Floats], ...]:
        """Weight and rate of each part of the wait, (n,) each; the first one does not wait."""
        rested, restricted = self.rested, (1 - self.rested) * self.restricted_share
        at_once = np.full_like(rested, AT_ONCE_PER_YEAR)
        return (
            (1 - rested - restricted, at_once),
            (rested, self.leave_per_year),
            (restricted, self.switch_per_year),
        )

    def quantile_draw(self, kind: Floats, wait: Floats) -> Floats:
        """Return one wait a draw from two uniforms of (0, 1): of which kind the founder is, and how long, (n,)."""
        (_, _), (rested, leave), (restricted, switch) = self.mixture
        rate = np.where(kind < rested, leave, switch)
        return np.where(kind < rested + restricted, -np.log1p(-wait) / rate, 0.0)


@dataclass(frozen=True)
class Growth:
    """Size of a growing colony: birth and death at first, Gompertz' law towards `largest_cells`.

    A surviving colony of division rate b and death rate d grows as ``X / (1 - d/b)`` cells would, X ~ Exp(1) (for
    exponential growth this is the Gumbel law of first passage). From this size on

        ln N(t) = ln N_max - ln(N_max / n_0) exp(-a t),   a = ln 2 / (T_d ln(N_max / N_ref))

    where T_d is the doubling time measured at size N_ref. The age at N cells is
    ``ln(ln(N_max / n_0) / ln(N_max / N)) / a``; N_max -> infinity gives exponential growth.

    Parameters
    ----------
    doubling_time_years : ndarray, shape (n, organs)
        At `reference_cells`.
    reference_cells, largest_cells, surviving_share : ndarray, shape (n,)
        N_ref, N_max and 1 - d/b.
    """

    doubling_time_years: Floats
    reference_cells: Floats
    largest_cells: Floats
    surviving_share: Floats

    def of_organ(self, organ: int) -> "Growth":
        """Return the growth in one organ alone."""
        return replace(self, doubling_time_years=self.doubling_time_years[:, [organ]])

    def of_draws(self, draws: NDArray[np.intp]) -> "Growth":
        """Return the growth of some draws, each as often as it is named."""
        return Growth(
            *(
                x[draws]
                for x in (self.doubling_time_years, self.reference_cells, self.largest_cells, self.surviving_share)
            )
        )

    def age(self, cells: Floats, luck: Floats) -> Floats:
        """Return the age in years at which a colony has `cells` cells, shape (n, organs, nodes).

        Parameters
        ----------
        cells : ndarray, shape (n, organs, nodes)
        luck : ndarray, shape (nodes,) or (n, nodes)
            X of the colony, from Exp(1).
        """
        left = np.log(self.largest_cells)[:, None, None] - np.log(cells)
        age: Floats = np.log(self._begin(luck) / left) / self._rate[:, :, None]
        return age

    def cells(self, age: Floats, luck: Floats) -> Floats:
        """Return the cells of a colony at an age in years, the inverse of `age`, same shapes."""
        left = self._begin(luck) * np.exp(-self._rate[:, :, None] * age)
        return np.exp(np.log(self.largest_cells)[:, None, None] - left)

    @property
    def _rate(self) -> Floats:
        rate: Floats = np.log(2) / (
            self.doubling_time_years * np.log(self.largest_cells / self.reference_cells)[:, None]
        )
        return rate

    def _begin(self, luck: Floats) -> Floats:
        """Return ln of the largest size over that which the colony seems to start from, shape (n, 1, nodes)."""
        return (np.log(self.largest_cells * self.surviving_share)[:, None] - np.log(luck))[:, None, :]


@dataclass(frozen=True)
class Detection:
    """What a scan shows: P(shown | diameter D) = ceiling / (1 + exp(-(D - D50) / slope)).

    Read as a lesion's own threshold, logistic around D50, that its diameter must reach; the share 1 - ceiling is never
    shown. No lesion is shown before it has vessels.

    Parameters
    ----------
    d50_mm, slope_mm, ceiling : ndarray, shape (n, organs)
    cell_density_per_mm3, avascular_cells : ndarray, shape (n,)
    """

    d50_mm: Floats
    slope_mm: Floats
    ceiling: Floats
    cell_density_per_mm3: Floats
    avascular_cells: Floats

    def of_draws(self, draws: NDArray[np.intp]) -> "Detection":
        """Return what the scan shows in some draws, each as often as it is named."""
        columns = (self.d50_mm, self.slope_mm, self.ceiling, self.cell_density_per_mm3, self.avascular_cells)
        return Detection(*(x[draws] for x in columns))

    def cells(self, quantiles: Floats) -> Floats:
        """Return the size at which lesions at quantiles of the threshold are shown; both (n, organs, nodes)."""
        logit = np.log(quantiles / (1 - quantiles))
        diameter = np.maximum(self.d50_mm[:, :, None] + self.slope_mm[:, :, None] * logit, 0.0)
        cells = sphere_cells(diameter, self.cell_density_per_mm3[:, None, None])
        return np.maximum(cells, self.avascular_cells[:, None, None])


def sphere_cells(diameter_mm: Floats, density_per_mm3: Floats) -> Floats:
    """Return the number of cells in a sphere."""
    return density_per_mm3 * np.pi / 6 * diameter_mm**3


def seen_from_history(lag: Floats, growth: Floats, after: Floats, waiting: Waiting) -> Floats:
    """Return the lesions that have come into sight, per founder a year at time 0.

    Parameters
    ----------
    lag : ndarray, shape (n, ...)
        x = t - age at detection: founders from before time x have had the time to grow.
    growth, after : ndarray, shape (n,)
        Founders were made at exp(g u) a year before time 0, and are made at f a year since.
    waiting : Waiting

    Notes
    -----
    For one exponential wait of rate w: ``exp(g x) w / (g (w + g))`` for x <= 0, then
    ``1/g - exp(-w x) / (w + g) + f (x - (1 - exp(-w x)) / w)``; for those that do not wait, the limit of large w.
    """
    growth, after = _beside(growth, lag), _beside(after, lag)
    late = np.maximum(lag, 0.0)
    grown = np.exp(growth * np.minimum(lag, 0.0))
    (at_once, _), *waits = waiting.mixture
    total = _beside(at_once, lag) * (grown / growth + after * late)
    for weight, rate in waits:
        w = _beside(rate, lag)
        left = np.expm1(-w * late)
        since = 1 / growth - (1 + left) / (w + growth) + after * (late + left / w)
        total += _beside(weight, lag) * np.where(lag > 0, since, grown * (w / (growth * (w + growth))))
    return total


def seen_from_now_on(lag: Floats, waiting: Waiting) -> Floats:
    """Return the lesions that have come into sight per founder a year, from shedding that began at time 0 and stays.

    Notes
    -----
    For one exponential wait of rate w: ``x - (1 - exp(-w x)) / w`` for x > 0, none before.
    """
    late = np.maximum(lag, 0.0)
    (at_once, _), *waits = waiting.mixture
    total = _beside(at_once, lag) * late
    for weight, rate in waits:
        w = _beside(rate, lag)
        total += _beside(weight, lag) * (late + np.expm1(-w * late) / w)
    return np.maximum(total, 0.0)


def _beside(values: Floats, like: Floats) -> Floats:
    """Return (n,) values with as many axes as `like`."""
    return values.reshape(values.shape + (1,) * (like.ndim - 1))
