"""Founding rate, unseen shedding and dormancy, fitted to recurrences, most of them of early breast cancer.

The shedding of a class of patients is what their count says, through the observation model of the count stage, plus
what one sample does not show. Its level enters the expected number of lesions linearly, so the cascade is drawn once.
The founding rate is the one at which the ten-year recurrence is the registry's; the unseen shedding the one at which
the hazard ratios by count come nearest to the published ones in units of their errors. Death stands for recurrence.

How many founders rest first is the mouse's share, except where the timing of recurrences was published: in colorectal
cancer and in breast cancer without receptors it is the one that gives the published share of early ones.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from scipy import optimize, special, stats

from ctcascade import evidence
from ctcascade.blood.course import Assay, Tube
from ctcascade.blood.factors import Factor
from ctcascade.blood.seen import Seen
from ctcascade.cascade import conditioning, engine
from ctcascade.cascade.model import Floats
from ctcascade.cascade.parameters import Draws
from ctcascade.data.vocabulary import Z95

CLASSES = (0, 1, 2, 3, 5)
"""Least counts of the classes of patients."""
HORIZONS_YEARS = (0.0, *range(1, 11))

_MEMBERS = (np.arange(4) + 0.5) / 4  # quantiles of the counts within an open class
_LARGEST_COUNT = 2000
_FACTOR_AROUND = {"founding_rate": 2.0, "unseen_shedding": 3.0}
_FIXED = ("imaging_slope",)
_LOGITS_AROUND = 1.5
_SHARES = (0.02, 0.98)


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
        return conditioning.build("breast", [tube(count)], Draws(random_seed, draws), sex="female", early=True)

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


def limits(name: str, centre: float) -> tuple[float, float]:
    """Return the 95 % limits around a fitted row.

    For the founding rate between cohorts, whose hazards differ 1.7-fold by the years of diagnosis alone: patients of a
    cohort differ by the frailty, which was fitted to all that the count leaves open.
    """
    if name in _FIXED:
        return centre, centre
    if name in _FACTOR_AROUND:
        return centre / _FACTOR_AROUND[name], centre * _FACTOR_AROUND[name]
    middle = float(special.logit(centre))
    return float(special.expit(middle - _LOGITS_AROUND)), float(special.expit(middle + _LOGITS_AROUND))


@dataclass(frozen=True)
class Refitted(Draws):
    """Draws with other centres of some rows of ``parameters``, with `limits` around them."""

    centres: Mapping[str, float] = field(default_factory=dict)

    def parameter(self, name: str) -> Floats:
        """Return draws of a row of ``parameters``, shape (n,)."""
        if name not in self.centres:
            return super().parameter(name)
        kind = str(evidence.load("parameters").distribution[name])
        return self.spread(name, self.centres[name], *limits(name, self.centres[name]), kind)


def fit_dormancy(patients: EarlyBreast, rate: float, unseen: float, random_seed: int = 1) -> dict[str, float]:
    """Return the centres of the share of founders that rest first, of cancers whose recurrences were timed."""
    targets = evidence.load("targets").central
    fitted = {"founding_rate": rate, "unseen_shedding": unseen}
    draws = len(patients.unseen)

    def lesions(primary: str, subtype: str | None, name: str, share: float) -> tuple[engine.Cascade, Floats]:
        moved = Refitted(random_seed, draws, centres={**fitted, name: share})
        model = conditioning.build(primary, [tube(0)], moved, sex="female", early=True, subtype=subtype)
        return model, model.lesions(HORIZONS_YEARS).sum(axis=2)

    def colorectal(share: float) -> float:
        model, mean = lesions("colon", None, "dormancy_share_colorectal", share)
        free = np.exp(-model.frailty_shape * np.log1p(mean / model.frailty_shape)).mean(axis=1)
        three, five = ((free[0] - free[HORIZONS_YEARS.index(t)]) for t in (3.0, 5.0))
        excess: float = float(three / five) - targets["colorectal_by_3y"]
        return excess

    def triple_negative(share: float) -> float:
        model, mean = lesions("breast", "tnbc", "dormancy_share_tnbc", share)
        alike = replace(patients, seen=mean / model.shedding.levels[0] / rate)
        free = [1 - alike.recurrence(rate, unseen, t) for t in (5.0, 10.0)]
        excess: float = math.log(free[0] / free[1]) / -math.log(free[0]) - targets["er_negative_late_ratio"]
        return excess

    return {
        "dormancy_share_colorectal": _share_where_none(colorectal),
        "dormancy_share_tnbc": _share_where_none(triple_negative),
    }


def _share_where_none(excess: Callable[[float], float]) -> float:
    """Return the share at which a function is zero, or the end of the range that comes nearest."""
    low, high = _SHARES
    at_ends = excess(low), excess(high)
    if at_ends[0] * at_ends[1] > 0:
        return low if abs(at_ends[0]) < abs(at_ends[1]) else high
    return float(special.expit(optimize.brentq(lambda x: excess(special.expit(x)), *special.logit(_SHARES), xtol=1e-6)))


def fit(patients: EarlyBreast) -> tuple[float, float]:
    """Return the centres of the founding rate and of the unseen shedding."""
    rows = evidence.load("targets")[["central", "low", "high"]]
    targets = dict(zip(rows.index, rows.to_numpy(float).tolist(), strict=True))

    def rate_at(unseen: float) -> float:
        def excess(ln_rate: float) -> float:
            above: float = patients.recurrence(math.exp(ln_rate), unseen, 10.0) - targets["recurrence_10y"][0]
            return above

        return math.exp(optimize.brentq(excess, -20, 10))

    def misfit(ln_unseen: float) -> float:
        unseen = math.exp(ln_unseen)
        rate = rate_at(unseen)
        total = 0.0
        for least in CLASSES[1:]:
            central, low, high = targets[f"hazard_ratio_{least}"]
            error = math.log(high / low) / (2 * Z95)
            total += (math.log(patients.hazard_ratio(rate, unseen, least) / central) / error) ** 2
        return total

    best = optimize.minimize_scalar(
        misfit, bounds=(math.log(0.05), math.log(50)), method="bounded", options={"xatol": 1e-7}
    )
    unseen = math.exp(best.x)
    return rate_at(unseen), unseen


def tube(count: int) -> conditioning.Sample:
    """Return a sample of `count` cells, none in clusters, by the assay of the studies.

    False cells come as a Poisson count.
    """
    facts = evidence.load("assay_facts")
    recovery = float(facts.central["reference_recovery"])
    false = Factor(*_false_cells(["central", "low", "high"]))
    assay = Assay(Factor(recovery, recovery, recovery), Factor(1, 1, 1), false)
    return conditioning.Sample(0.0, Tube(Seen(count), 1.0, assay))


def share_with(least: int, factor: float = 1.0) -> float:
    """Return the share of patients with early breast cancer whose tube shows a count, their cells at a multiple."""
    mean, weight = _means(factor)
    return float(stats.poisson.sf(least - 1, mean) @ weight)


def _count_probabilities() -> Floats:
    """Return the probability of each count from 0 on."""
    mean, weight = _means()
    probability: Floats = stats.poisson.pmf(np.arange(_LARGEST_COUNT)[:, None], mean) @ weight
    return probability


def _means(factor: float = 1.0) -> tuple[Floats, Floats]:
    """Return means of the count over patients and their weights: a lognormal concentration beside false cells."""
    central = evidence.load("parameters").central
    z, weight = np.polynomial.hermite_e.hermegauss(120)
    cells = np.exp(central["early_count_ln_mean"] + central["early_count_ln_sd"] * z)
    return factor * cells + _false_cells(["central"])[0], weight / weight.sum()


def _false_cells(columns: list[str]) -> Floats:
    """Return the mean of false cells at which as many healthy donors show two or more as did."""
    shares = evidence.load("assay_facts").loc["false_positive_share", columns].astype(float)
    mean: Floats = special.gammaincinv(2, shares.to_numpy())
    return mean
