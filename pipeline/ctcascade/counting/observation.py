"""From a count on a slide to what it says about the blood: the one observation model of all stages.

    x ~ Poisson(e (Lambda q + b)),  e = volume / 7.5 mL * sampled share * imaged share,  q = recovery * sensitivity

`Lambda` is the number of CTCs in 7.5 mL of blood and `b` the false calls per 7.5 mL. Losses thin the cells one by one,
and a thinned Poisson count is again Poisson: nothing is multiplied and rounded. Recovery and sensitivity are known as
Beta distributions, background and the factor to the reference assay as lognormal ones.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
from scipy import special

from ctcascade.blood.course import Assay, Course, Stop, Tube
from ctcascade.blood.factors import FLOOR, STEP, TAIL, Factor, Floats, Grid, background_nodes, positive, product, share
from ctcascade.blood.population import Population
from ctcascade.blood.seen import Candidates, Seen
from ctcascade.data.chances import binomial_at_least, binomial_at_most, root
from ctcascade.data.vocabulary import REFERENCE_VOLUME_ML

Verdict = Literal["decline established", "rise established", "compatible with no change", "not evaluable"]


class Interval(NamedTuple):
    """An estimate with the limits that hold the truth with probability `level`."""

    estimate: float
    low: float
    high: float
    level: float


@dataclass(frozen=True)
class Posterior:
    """A posterior distribution of a concentration, as weights on a geometric grid.

    Attributes
    ----------
    values : ndarray of float, shape (n,)
        Concentration per 7.5 mL, ascending, each above the one before by the same factor.
    weights : ndarray of float, shape (n,)
        Their probabilities; the sum is 1.
    """

    values: Floats
    weights: Floats

    @property
    def mean(self) -> float:
        """Mean, per 7.5 mL."""
        return float(self.weights @ self.values)

    def quantiles(self, probabilities: Sequence[float] | Floats) -> Floats:
        """Return the quantiles at `probabilities`, in (0, 1), per 7.5 mL."""
        step = math.log(self.values[-1] / self.values[0]) / (len(self.values) - 1)
        upper_edges = np.log(self.values) + step / 2
        return np.exp(np.interp(probabilities, np.cumsum(self.weights), upper_edges))

    def p_at_least(self, count: int) -> float:
        """Return the probability that a Poisson count at this concentration in a fresh 7.5 mL is `count` or more."""
        return 1.0 if count <= 0 else min(1.0, float(self.weights @ special.gammainc(count, self.values)))


@dataclass(frozen=True)
class Observation:
    """How the cells in a patient's blood become the count of one sample.

    Parameters
    ----------
    blood_volume_ml : float
        Blood that the whole sample stands for.
    sampled_fraction, imaged_fraction : float
        Share of the sample that the images hold, and share of the images that was analysed; in [0, 1].
    recovery : Factor
        Share of the blood's CTCs that reach the slide; Beta.
    sensitivity : Factor
        Share of those on the slide that are called; Beta.
    background_per_7_5_ml : Factor
        False CTC calls per 7.5 mL; lognormal, or exactly zero.
    reference_equivalent : Factor, optional
        Recovery relative to that of the reference assay (1: equal); lognormal.
    tube_to_tube : Factor, optional
        The blood of one tube relative to the patient's, beyond chance and beyond `recovery`; lognormal, mean 1.
    candidates : tuple of (float, int), optional
        ``p_ctc`` of the cells called CTC or uncertain, with their number, where calls are in doubt (`blood.seen`).

    Notes
    -----
    The prior of `Lambda` is Jeffreys' for a count without background, ``sqrt(q / Lambda)`` at a given `q`. Then ``m =
    q Lambda`` has the density ``m**-0.5 * Poisson(x; e (m + b))``, averaged over `b`, and is independent of `q`, which
    keeps its own distribution: a count says nothing about recovery. ``Lambda = m / q`` is a quotient of independent
    variables, a convolution on a logarithmic grid. No random numbers are drawn. After a count of zero the background
    does not matter, as it should not.

    `tube_to_tube` divides likewise. One tube cannot show how much tubes vary: where they vary and it is not stated, the
    limits are too narrow at high counts, and where it is stated and they do not, too wide. The model fails, too, where
    CTCs come in clumps. How often the limits then hold the truth is part of the verification.
    """

    blood_volume_ml: float
    sampled_fraction: float
    imaged_fraction: float
    recovery: Factor
    sensitivity: Factor
    background_per_7_5_ml: Factor
    reference_equivalent: Factor | None = None
    tube_to_tube: Factor | None = None
    candidates: Candidates = ()

    @property
    def exposure(self) -> float:
        """Blood whose cells were looked at, in units of 7.5 mL."""
        return self.blood_volume_ml / REFERENCE_VOLUME_ML * self.sampled_fraction * self.imaged_fraction

    def blood(self, count: int) -> Posterior:
        """Return the posterior of the CTCs in 7.5 mL of blood after `count` calls on the slide."""
        return self._posterior(count, [share(self.recovery), share(self.sensitivity), *self._tube])

    def reference(self, count: int) -> Posterior:
        """Return the posterior of the mean count of the reference assay in 7.5 mL, the scale of published cut-offs.

        Raises
        ------
        ValueError
            Without a `reference_equivalent`: such an assay's counts stand beside no published cut-off.

        Notes
        -----
        Published counts were never divided by their assay's recovery, so ours are not either: the slide's rate is
        divided by sensitivity (the cells that this software missed) and by the ratio of the two recoveries, no more.
        How tubes vary is in that ratio's limits, so `tube_to_tube` is left out.
        The reference assay's own false calls are left out.
        """
        if self.reference_equivalent is None:
            raise ValueError("no reference_equivalent")
        return self._posterior(count, [share(self.sensitivity), positive(self.reference_equivalent)])

    def in_population(self, count: int, population: Population) -> Posterior:
        """Return the posterior of the CTCs in 7.5 mL of blood of a patient of a population."""
        assay = Assay(self.recovery, self.sensitivity, self.background_per_7_5_ml, self.tube_to_tube)
        return self._joined(count, assay, population)

    def reference_in_population(self, count: int, population: Population) -> Posterior:
        """Return the posterior of the mean count of the reference assay, as `reference` does, in a population.

        Parameters
        ----------
        count : int
        population : Population
            Of counts by the reference assay.
        """
        if self.reference_equivalent is None:
            raise ValueError("no reference_equivalent")
        exact = Factor(1.0, 1.0, 1.0)
        assay = Assay(exact, self.sensitivity, self.background_per_7_5_ml, self.reference_equivalent)
        return self._joined(count, assay, population)

    def _joined(self, count: int, assay: Assay, population: Population) -> Posterior:
        tube = Tube(Seen.of(count, self.candidates), self.exposure, assay)
        course = Course(population, (Stop(0.0, (tube,)),), memory_days=math.inf)
        return Posterior(np.exp(course.ln_ctc), course.latest)

    def interval(self, count: int, level: float) -> Interval:
        """Return the CTCs in 7.5 mL of blood: an estimate, and limits that hold the truth with probability `level`.

        Notes
        -----
        The estimate is what one would work out by hand, ``max(0, x / e - b) / q`` at the factors' means, x the calls,
        or where they are in doubt the CTCs to expect among the candidates, averaged over their prevalence: zero for an
        empty slide, and right on average, which neither the posterior's mean nor its median is. Where it lies outside
        the limits (a low `level` and a background much in doubt) it is moved to the nearer one.

        The limits are the posterior's equal-tailed ones, but the lower is zero where background alone gives such a
        count or more with a probability above (1 - level) / 2. No interval can cover a true zero at just its level: a
        count of zero is nearly certain then, and its interval holds zero always. Where calls are in doubt it is zero
        where the likelihood does not rule out that all of them are look-alikes.
        """
        tail = (1 - level) / 2
        low, high = self.blood(count).quantiles([tail, 1 - tail])
        if self._may_be_none(count, tail):
            low = 0.0
        seen = Seen.of(count, self.candidates).expected()
        above_background = max(0.0, seen / self.exposure - self.background_per_7_5_ml.mean)
        estimate = np.clip(above_background / (self.recovery.mean * self.sensitivity.mean), low, high)
        return Interval(float(estimate), float(low), float(high), level)

    def _may_be_none(self, count: int, tail: float) -> bool:
        """Return whether blood without a CTC would show this, with a probability above `tail`.

        Calls in doubt are judged by the ratio of likelihoods, no CTC against the most probable number.
        """
        seen = Seen.of(count, self.candidates)
        if self.p_shows(count, concentration=0.0) > tail or not seen.candidates:
            return self.p_shows(count, concentration=0.0) > tail
        rate = np.append(0.0, np.geomspace(1e-3, 2.0 * seen.most, 200) / self.exposure)
        ln = seen.ln_likelihood(self.exposure, rate, *self._background)
        return bool(2 * (ln.max() - ln[0]) < special.ndtri(tail) ** 2)

    def p_shows(self, count: int, concentration: float) -> float:
        """Return the probability that this sample shows `count` or more calls if the blood holds `concentration`.

        Parameters
        ----------
        count : int
        concentration : float
            True CTCs per 7.5 mL; 0 for a healthy donor.
        """
        if count <= 0:
            return 1.0
        background, weights = self._background
        if concentration == 0:
            return float(weights @ special.gammainc(count, self.exposure * background))
        found = product([share(self.recovery), share(self.sensitivity), *self._tube])
        mean = self.exposure * (concentration * found.values[:, None] + background)
        return float(found.weights @ special.gammainc(count, mean) @ weights)

    def limit_of_blank(self, level: float) -> int:
        """Return the smallest count that blood without CTCs exceeds with a probability of at most 1 - `level`."""
        count = 0
        while self.p_shows(count + 1, concentration=0.0) > 1 - level:
            count += 1
        return count

    @cached_property
    def _tube(self) -> list["Grid"]:
        return [positive(self.tube_to_tube)] if self.tube_to_tube else []

    @cached_property
    def _background(self) -> tuple[Floats, Floats]:
        return background_nodes(self.background_per_7_5_ml)

    def _posterior(self, count: int, divisors: Sequence["Grid"]) -> Posterior:
        if not 0 < self.exposure < math.inf:
            raise ValueError(f"a sample of which nothing was looked at (exposure {self.exposure})")
        signal = _signal(Seen.of(count, self.candidates), self.exposure, *self._background)
        result = product([signal, *(Grid(-d.last, d.weights[::-1]) for d in divisors)])
        return Posterior(result.values, result.weights)


@dataclass(frozen=True)
class Change:
    """What two counts say about the ratio of the concentrations behind them.

    Attributes
    ----------
    rate_ratio, low, high : float or None
        Later over earlier concentration with its interval; None where it has no bound (no earlier cells) or no value.
    p_decline, p_rise : float
        One-sided p-values against no change, in favour of a decline and of a rise.
    p_value : float
        Two-sided: twice the smaller, at most 1.
    verdict : str
        What is established at the two-sided `level`.
    """

    rate_ratio: float | None
    low: float
    high: float | None
    level: float
    p_decline: float
    p_rise: float
    p_value: float
    verdict: Verdict


def change(
    count: int, exposure: float, later_count: int, later_exposure: float, *, level: float = 0.95, assay_cv: float = 0.0
) -> Change:
    """Return what an earlier and a later count say about a change of the concentration.

    Parameters
    ----------
    count, later_count : int
        Cells counted.
    exposure, later_exposure : float
        Blood looked at times the share of its cells that are found, in any unit, the same for both.
    level : float
        Of the interval; a change is established at 1 - `level`, two-sided.
    assay_cv : float
        Coefficient of variation between tubes beyond Poisson's, lognormal; 0 is the exact conditional test.

    Notes
    -----
    Given ``n = x + y``, `y` is Binomial(n, p) with ``p / (1 - p) = ratio * e2 / e1``; the limits are Clopper and
    Pearson's for `p`. With an assay CV the odds carry a lognormal factor, and the tail probabilities are averaged over
    it. Background is not taken off: where it is the same in both, it can only pull the ratio towards 1.
    Two counts of zero are not evaluable: no cells are no evidence of no change.

    References
    ----------
    Przyborowski J, Wilenski H. Homogeneity of results in testing samples from Poisson series. Biometrika
    1940;31:313-323. doi:10.1093/biomet/31.3-4.313
    """
    n = count + later_count
    if n == 0:
        return Change(None, 0.0, None, level, 1.0, 1.0, 1.0, "not evaluable")
    spread = math.sqrt(2 * math.log1p(assay_cv**2))
    z = np.linspace(-6, 6, 301) if spread else np.zeros(1)
    weights = np.exp(-(z**2) / 2) / np.exp(-(z**2) / 2).sum()

    def tails(log_ratio: float) -> tuple[float, float]:
        p = special.expit(log_ratio + math.log(later_exposure / exposure) + spread * z)
        at_most = binomial_at_most(later_count, n, p)
        at_least = binomial_at_least(later_count, n, p)
        return float(weights @ at_most), float(weights @ at_least)

    def solve(side: int) -> float:
        return math.exp(root(lambda log_ratio: tails(log_ratio)[side] - (1 - level) / 2, -60, 60))

    p_decline, p_rise = tails(0.0)
    p_value = min(1.0, 2 * min(p_decline, p_rise))
    low = 0.0 if later_count == 0 else solve(1)
    high = None if count == 0 else solve(0)
    ratio = None if count == 0 else later_count / later_exposure / (count / exposure)
    verdict: Verdict = "compatible with no change"
    if p_value <= 1 - level:
        verdict = "decline established" if p_decline < p_rise else "rise established"
    return Change(ratio, low, high, level, p_decline, p_rise, p_value, verdict)


def _signal(seen: Seen, exposure: float, background: Floats, weights: Floats) -> Grid:
    """Return the posterior of the calls per 7.5 mL that are no background, averaged over the background."""
    least = 0 if seen.candidates else seen.count
    highest = special.gammainccinv(seen.most + 0.5, TAIL) / exposure
    lowest = special.gammaincinv(least + 0.5, TAIL) / exposure - background.max()
    first = math.log(max(lowest, FLOOR / exposure))
    logs = first + STEP * np.arange(math.ceil((math.log(highest) - first) / STEP) + 1)
    ln = seen.ln_likelihood(exposure, np.exp(logs), background, weights) + logs / 2
    density = np.exp(ln - ln.max())  # half a log: Jeffreys' prior on a log scale
    return Grid(first, density / density.sum())
