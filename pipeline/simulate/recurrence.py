"""Founding rate and unseen shedding, fitted to the recurrences of early breast cancer.

The shedding of a class of patients is what their count says, through the observation model of the count stage, plus
what one draw does not show. Its level enters the expected number of lesions linearly, so the cascade is drawn once.
The founding rate is the one at which the ten-year recurrence is the registry's; the unseen shedding the one at which
the hazard ratios by count come nearest to the published ones in units of their errors. Death stands for recurrence.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy import optimize, special, stats

from pipeline import evidence
from pipeline.observation import Factor, Observation
from pipeline.simulate import conditioning, engine
from pipeline.simulate.model import Floats
from pipeline.simulate.parameters import Draws

CLASSES = (0, 1, 2, 3, 5)
"""Least counts of the classes of patients."""
HORIZONS_YEARS = (0.0, *range(1, 11))

_QUANTILES = (np.arange(256) + 0.5) / 256
_MEMBERS = (np.arange(4) + 0.5) / 4  # quantiles of the counts within an open class
_LARGEST_COUNT = 2000
_Z95 = 1.959963984540054


@dataclass(frozen=True)
class EarlyBreast:
    """Early breast cancer in the cascade, by the least count of the class.

    Parameters
    ----------
    seen : ndarray, shape (horizons, n)
        Lesions in sight for each equivalent CTC in 7.5 mL, at a founding rate centred on 1 a year.
    levels : dict of int to ndarray, shape (n,)
        Equivalent CTCs in 7.5 mL of a class, without what is unseen.
    unseen : ndarray, shape (n,)
        Unseen shedding relative to its centre.
    frailty_shape : ndarray, shape (n,)
    shares : dict of int to float
        Share of the patients in each class.
    """

    seen: Floats
    levels: dict[int, Floats]
    unseen: Floats
    frailty_shape: Floats
    shares: dict[int, float]

    def hazard(self, rate: float, unseen: float, least: int, horizon_years: float) -> float:
        """Return -ln P(no lesion in sight by the horizon, given that there was none at diagnosis) of a class."""
        lesions = rate * self.seen * (self.levels[least] + unseen * self.unseen)
        free = np.exp(-self.frailty_shape * np.log1p(lesions / self.frailty_shape)).mean(axis=1)
        return math.log(free[0] / free[HORIZONS_YEARS.index(horizon_years)])

    def hazard_ratio(self, rate: float, unseen: float, least: int) -> float:
        """Return the ratio of the hazards up to five years, of a class against patients without CTC."""
        return self.hazard(rate, unseen, least, 5.0) / self.hazard(rate, unseen, 0, 5.0)

    def recurrence(self, rate: float, unseen: float, horizon_years: float) -> float:
        """Return the share of all patients with a lesion in sight by the horizon."""
        return sum(
            share * -math.expm1(-self.hazard(rate, unseen, least, horizon_years))
            for least, share in self.shares.items()
        )


def early_breast(draws: int = 4000, random_seed: int = 1) -> EarlyBreast:
    """Return early breast cancer drawn from the evidence."""
    central = evidence.load("parameters").central
    targets = evidence.load("targets").central.to_dict()

    def cascade(count: int) -> engine.Cascade:
        return conditioning.build("breast", [_sample(count)], Draws(random_seed, draws), sex="female", early=True)

    unseen = Draws(random_seed, draws).parameter("unseen_shedding")
    which = Draws(random_seed, draws).uniform("count within its class")
    weight = _count_probabilities()
    levels = {}
    for least, below in zip(CLASSES, [*CLASSES[1:], _LARGEST_COUNT], strict=True):
        within = weight[least:below].cumsum() / weight[least:below].sum()
        members = np.searchsorted(within, _MEMBERS) + least
        each = {count: cascade(int(count)).shedding.levels[0] - unseen for count in np.unique(members)}
        levels[least] = np.choose((which * len(members)).astype(int), [each[count] for count in members])
    model = cascade(0)
    seen = model.lesions(HORIZONS_YEARS).sum(axis=2) / model.shedding.levels[0] / central["founding_rate"]
    positive = {
        c: weight[c:].sum() - weight[below:].sum()
        for c, below in zip(CLASSES[1:], [2, 3, 5, _LARGEST_COUNT], strict=True)
    }
    scale = targets["early_positive"] / sum(positive.values())
    shares = {0: 1 - targets["early_positive"], **{c: p * scale for c, p in positive.items()}}
    return EarlyBreast(seen, levels, unseen / central["unseen_shedding"], model.frailty_shape, shares)


def fit(patients: EarlyBreast) -> tuple[float, float]:
    """Return the centres of the founding rate and of the unseen shedding."""
    rows = evidence.load("targets")[["central", "low", "high"]]
    targets = dict(zip(rows.index, rows.to_numpy(float).tolist(), strict=True))

    def rate_at(unseen: float) -> float:
        def excess(ln_rate: float) -> float:
            return patients.recurrence(math.exp(ln_rate), unseen, 10.0) - targets["recurrence_10y"][0]

        return math.exp(optimize.brentq(excess, -20, 10))

    def misfit(ln_unseen: float) -> float:
        unseen = math.exp(ln_unseen)
        rate = rate_at(unseen)
        total = 0.0
        for least in CLASSES[1:]:
            central, low, high = targets[f"hazard_ratio_{least}"]
            error = math.log(high / low) / (2 * _Z95)
            total += (math.log(patients.hazard_ratio(rate, unseen, least) / central) / error) ** 2
        return total

    best = optimize.minimize_scalar(
        misfit, bounds=(math.log(0.05), math.log(50)), method="bounded", options={"xatol": 1e-7}
    )
    unseen = math.exp(best.x)
    return rate_at(unseen), unseen


def _sample(count: int) -> conditioning.Sample:
    """Return a sample of `count` cells, none in clusters, by the assay of the studies.

    False cells come as a Poisson count of the mean at which as many healthy donors show two or more as did.
    """
    facts = evidence.load("assay_facts")
    recovery = float(facts.central["reference_recovery"])
    false = Factor(*special.gammaincinv(2, facts.loc["false_positive_share", ["central", "low", "high"]].astype(float)))
    assay = Observation(7.5, 1, 1, Factor(recovery, recovery, recovery), Factor(1, 1, 1), false)
    ctc = assay.blood(count).quantiles(_QUANTILES)
    clusters = replace(assay, background_per_7_5_ml=Factor(0, 0, 0)).blood(0).quantiles(_QUANTILES)
    return conditioning.Sample(0.0, 0, ctc.tolist(), clusters.tolist())


def _count_probabilities() -> Floats:
    """Return the probability of each count from 0 on: Poisson over a lognormal concentration."""
    central = evidence.load("parameters").central
    z, weight = np.polynomial.hermite_e.hermegauss(120)
    mean = np.exp(central["early_count_ln_mean"] + central["early_count_ln_sd"] * z)
    return stats.poisson.pmf(np.arange(_LARGEST_COUNT)[:, None], mean) @ weight / weight.sum()
