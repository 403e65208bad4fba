"""Closed forms of single steps, and slow oracles that follow one cell or lesion: what the engine is tested with.

Nothing here is used for a patient. Scalars in, scalars out; rates per year, sizes in cells.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import special

from ctcascade.cascade.circulation import Flow


def extinction(death_over_birth: float, cells: int) -> float:
    """Return the probability that a colony begun by `cells` cells dies out: ``(d/b)^cells``."""
    return death_over_birth**cells


def first_passage(time: float, growth: float, threshold: float) -> float:
    """Return P(a surviving colony has reached its size by `time`): ``exp(-kappa exp(-g t))``, kappa = (1 - d/b) M."""
    return math.exp(-threshold * math.exp(-growth * time))


def none_in_sight_constant(time: float, founders: float, growth: float, threshold: float) -> float:
    """Return P(no lesion of the size by `time`) under a constant number of founders a year from time 0 on.

    Notes
    -----
    ``exp(-J / g [E1(kappa exp(-g t)) - E1(kappa)])``, founders being colonies that survive.
    """
    reach = special.exp1(threshold * math.exp(-growth * time)) - special.exp1(threshold)
    return math.exp(-founders / growth * reach)


def none_in_sight_growing(time: float, founders: float, shed_growth: float, growth: float, threshold: float) -> float:
    """Return P(no lesion of the size by `time`) under founders that grow as ``J exp(c u)`` a year from time 0 on.

    Notes
    -----
    ``exp(-J e^(c t) kappa^(-c/g) / g [Gamma(c/g, kappa e^(-g t)) - Gamma(c/g, kappa)])``.
    """
    power = shed_growth / growth
    upper = special.gammaincc(power, threshold * math.exp(-growth * time)) - special.gammaincc(power, threshold)
    scale = founders * math.exp(shed_growth * time) / growth * threshold**-power
    return math.exp(-scale * upper * special.gamma(power))


def exponential_age(doubling_time: float, cells: float) -> float:
    """Return the age at which a cell that doubles at a constant rate has become `cells`."""
    return doubling_time * math.log2(cells)


def walk(flow: Flow, start: str, extraction: float, kill: float, rng: np.random.Generator) -> tuple[str, bool, float]:
    """Follow one cell through the blood; return where it ended, whether it was killed, and after how many circulations.

    Parameters
    ----------
    kill : float
        Rate of death, per circulation time.
    """
    at, age = flow.compartments.index(start), 0.0
    while True:
        stay = rng.exponential(flow.residence[at])
        death = rng.exponential(1 / kill) if kill else math.inf
        if death < stay:
            return flow.compartments[at], True, age + death
        age += stay
        if flow.beds[at] and rng.random() < extraction:
            return flow.compartments[at], False, age
        at = int(rng.choice(len(flow.compartments), p=flow.moves[at]))


@dataclass(frozen=True)
class Lesions:
    """One organ with fixed rates, founder by founder: the readable oracle of `Cascade.lesions`.

    Parameters
    ----------
    founders_per_year : float
        At the sample; before it they grew at `shed_growth` a year, from then on they are `after` times as many.
    rested, leave, restricted, switch : float
        Share that rests first and the rate at which its rest ends, share that waits for vessels and the rate of their
        coming.
    age : float
        At which a lesion has the size that is shown, waits left out.
    frailty_shape : float
        Of the Gamma factor on `founders_per_year`; infinite for none.
    """

    founders_per_year: float
    shed_growth: float
    after: float
    rested: float
    leave: float
    restricted: float
    switch: float
    age: float
    frailty_shape: float = math.inf

    def in_sight(self, time: float, rng: np.random.Generator) -> int:
        """Return how many lesions of one patient are in sight at `time` after the sample."""
        frailty = 1.0 if math.isinf(self.frailty_shape) else rng.gamma(self.frailty_shape) / self.frailty_shape
        rate = frailty * self.founders_per_year
        before = -rng.exponential(1 / self.shed_growth, rng.poisson(rate / self.shed_growth))
        since = rng.uniform(0, time, rng.poisson(rate * self.after * time))
        return sum(born + self.age + self._wait(rng) <= time for born in np.concatenate([before, since]))

    def _wait(self, rng: np.random.Generator) -> float:
        kind = rng.random()
        if kind < self.rested:
            return rng.exponential(1 / self.leave)
        return rng.exponential(1 / self.switch) if kind < self.rested + self.restricted else 0.0


def colony(birth: float, death: float, until: int, rng: np.random.Generator) -> float:
    """Follow a colony begun by one cell; return its age at `until` cells, infinite if it died out."""
    cells, age = 1, 0.0
    while 0 < cells < until:
        age += rng.exponential(1 / ((birth + death) * cells))
        cells += 1 if rng.random() < birth / (birth + death) else -1
    return age if cells else math.inf
