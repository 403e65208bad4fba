"""The cascade of one patient: evidence and counts drawn into the model's steps, and its closed forms evaluated.

Between patients of equal parameters the efficiency of founding differs by a Gamma factor of mean 1 and shape k
(frailty), common to all organs of a patient. Given a draw, the lesions in sight are Poisson with mean
``Lambda_o(t) G``, so none is with probability ``(1 + Lambda_o / k)^-k``: the risk grows more slowly than the count
does, and organs are not independent.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipeline import evidence
from pipeline.simulate.model import (
    DAYS_PER_YEAR,
    Circulation,
    Detection,
    Floats,
    Flow,
    Founding,
    Growth,
    Shedding,
    Waiting,
    seen_from_history,
    seen_from_now_on,
    sphere_cells,
)
from pipeline.simulate.parameters import Draws

SWITCHES = {
    "clusters": "a cluster founds no more than its cells would one by one",
    "unseen_shedding": "what the draw does not show is not there",
    "portal_route": "portal blood joins the veins instead of the liver",
    "first_pass": "no founder is caught in the first capillary bed",
    "tropism": "a soil is the same for every cancer",
    "dormancy": "no cell rests before it grows",
    "angiogenesis": "no lesion waits for vessels",
    "frailty": "patients differ by their counts only",
}
"""Steps that can be left out, and what is then taken for true."""

_NODES = 5  # lesions that stand for all of an organ in a draw; tested against many more
_LATTICE_STEP = 2  # of the rank-1 lattice on (growth luck, detection threshold)
_FIRST_ORGAN_STEPS = 20
_NEVER_WAITS_PER_YEAR = 1e6
_NO_FRAILTY = 1e9


@dataclass(frozen=True)
class Sample:
    """One evaluable sample: its age in years before the latest one, what was seen, and the posterior quantiles.

    The quantiles are per 7.5 mL of blood, at probabilities (i + 1/2) / their number; recovery, background and every
    other error of observation is inside them.
    """

    age_years: float
    n_clusters: int
    ctc_quantiles: Sequence[float]
    cluster_quantiles: Sequence[float]


@dataclass(frozen=True)
class Cascade:
    """The steps of one patient's cascade, as arrays over `n` parameter draws."""

    organs: tuple[str, ...]
    ctc: Floats  # per 7.5 mL at the latest sample, (n,)
    cluster_share: Floats  # of the founders, (n,)
    shedding: Shedding
    circulation: Circulation
    founding: Founding
    waiting: Waiting
    growth: Growth
    detection: Detection
    scans: dict[tuple[str, str], Detection]  # by (organ, modality), each for one organ
    frailty_shape: Floats
    seen_already: Floats  # P(a lesion in an organ was in sight at the latest sample), by the setting
    arrival: "Arrival"
    extravasation: Floats

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
        ages = self.detection_ages(_NODES)
        scale = self.founding.by_organ * self.detection.ceiling
        out = np.empty((len(times_years), *scale.shape))
        # one organ at a time: what is computed with stays in the processor's cache
        for organ in range(len(self.organs)):
            own = np.ascontiguousarray(ages[:, organ])
            for i, time in enumerate(times_years):
                out[i, :, organ] = scale[:, organ] * self._seen(time - own).mean(axis=1)
        return out

    def _seen(self, lag: Floats) -> Floats:
        """Return the lesions in sight per founder a year for each CTC in 7.5 mL, for lags of shape (n, nodes)."""
        shed = self.shedding
        since_first = lag + shed.ages[-1]
        seen = shed.levels[-1][:, None] * seen_from_history(
            since_first, shed.growth_per_year, shed.onward, self.waiting
        )
        for ago, change in shed.steps:
            seen += change[:, None] * seen_from_now_on(lag + ago, self.waiting)
        return seen

    @property
    def founders_per_year(self) -> Floats:
        """Founders a year in each organ at the latest sample, shape (n, organs)."""
        return self.founding.by_organ * self.shedding.levels[0][:, None]

    def detection_ages(self, nodes: int) -> Floats:
        """Return the ages at which lesions have the size that is shown, waits left out, shape (n, organs, nodes)."""
        step = np.arange(nodes)
        threshold = np.broadcast_to((step + 0.5) / nodes, (*self.detection.d50_mm.shape, nodes))
        luck = -np.log1p(-((step * _LATTICE_STEP % nodes) + 0.5) / nodes)
        return self.growth.age(self.detection.cells(threshold), luck)

    def risk(self, times_years: Sequence[float]) -> tuple[Floats, Floats]:
        """Return P(a lesion in sight by t): by organ, (times, n, organs), and in any organ, (times, n)."""
        return self._risk(self.lesions([0.0, *times_years]))

    def first_organ(self, horizon_years: float) -> tuple[Floats, Floats]:
        """Return P(the organ is the first with a lesion in sight, by the horizon), (n, organs), and P(any), (n,).

        Lesions in sight at the sample count by their share; later, by the share of what comes into sight in each
        step of the grid.
        """
        lesions = self.lesions(np.linspace(0, horizon_years, _FIRST_ORGAN_STEPS + 1).tolist())
        anywhere = np.concatenate([self.seen_already[None], self._risk(lesions)[1]])
        gained = np.diff(anywhere, axis=0, prepend=0.0)
        new = np.diff(lesions, axis=0, prepend=0.0)
        share = new / np.maximum(new.sum(axis=2, keepdims=True), np.finfo(float).tiny)
        return (share * gained[:, :, None]).sum(axis=0), anywhere[-1]

    def _risk(self, lesions: Floats) -> tuple[Floats, Floats]:
        """Return the risks by organ and anywhere from the lesions in sight, those at the sample first.

        Notes
        -----
        The setting says whether a lesion was in sight at the sample: with probability `seen_already` one was, in some
        organ; else none was. With ``F(x) = (1 + x / k)^-k``, ``a = Lambda_o(t)``, ``b`` what the other organs had at
        the sample and ``c = Lambda(0)``, no lesion is in sight in organ o with probability ``F(a + b) / F(c)`` given
        none, and ``(F(a) - F(a + b)) / (1 - F(c))`` given some.
        """
        now, later = lesions[0], lesions[1:]
        total = now.sum(axis=1, keepdims=True)
        k, seen = self.frailty_shape[:, None], self.seen_already[:, None]
        some = np.maximum(-np.expm1(-k * np.log1p(total / k)), np.finfo(float).tiny)
        gain = np.maximum(later - now, 0.0)
        given_none = -np.expm1(-k * np.log1p(gain / (k + total)))
        clear_but_some = -np.exp(-k * np.log1p(later / k)) * np.expm1(-k * np.log1p((total - now) / (k + later)))
        organs = seen * np.maximum(1 - clear_but_some / some, 0.0) + (1 - seen) * given_none
        any_new = -np.expm1(-k * np.log1p(gain.sum(axis=2, keepdims=True) / (k + total)))
        return organs, (seen + (1 - seen) * any_new)[:, :, 0]

    def time_to_sight(self, organ: str, modality: str, draws: Draws) -> Floats:
        """Return when a lesion founded now would be shown, in years, one lesion a draw, shape (n,)."""
        scan = self.scans[organ, modality]
        cells = scan.cells(draws.uniform("one lesion: threshold")[:, None, None])
        luck = -np.log1p(-draws.uniform("one lesion: luck"))[:, None]
        ages = self.growth.of_organ(self.organs.index(organ)).age(cells, luck)[:, 0, 0]
        waits = self.waiting.quantile_draw(
            *(draws.uniform(f"one lesion: {step}") for step in ("rest", "wake", "switch"))
        )
        return ages + waits

    def flow(self) -> list[tuple[str, str, str, Floats]]:
        """Return the road of the cells at the latest sample: step, meaning, unit, draws (n,)."""
        day = self.ctc / DAYS_PER_YEAR
        cleared = self.circulation.clearance_per_year * day
        shed = cleared / self.arrival.deformable_share
        passed = shed * self.arrival.passed_first_bed
        arrested = cleared * (1 - self.circulation.kill_share)
        out = arrested * self.extravasation
        resting = self.waiting.dormancy_share
        level = self.shedding.levels[0]
        seen = np.diff(self.lesions([0.0, 1.0]).sum(axis=2), axis=0)[0] / DAYS_PER_YEAR
        per_day = "cells per day"
        return [
            ("shed", "cells that enter the blood", per_day, shed),
            ("first_pass_survived", "cells that pass the first capillary bed", per_day, passed),
            ("in_circulation", "cells in the blood at any moment", "cells", self.ctc * self.circulation.cells_in_blood),
            ("arrested", "recirculating cells that a capillary bed holds", per_day, arrested),
            ("extravasated", "of these, leave the vessel alive", per_day, out),
            ("dormant", "of these, rest as single cells", per_day, out * resting),
            ("growing", "of these, divide at once", per_day, out * (1 - resting)),
            ("founded", "cells or clusters that found a growth, now or later", "lesions per day",
             self.founding.rate_per_year * level / DAYS_PER_YEAR),
            ("detectable", "lesions that come into sight, mean of the next year", "lesions per day", seen),
        ]  # fmt: skip


def build(
    primary: str, samples: Sequence[Sample], draws: Draws, *, sex: str, early: bool, switched_off: Collection[str] = ()
) -> Cascade:
    """Return the cascade of a patient, drawn from the evidence and conditioned on the samples.

    Parameters
    ----------
    primary : str
        As in the patient sheet, but not "none".
    samples : sequence of Sample
        At least one, the latest first.
    draws : Draws
    sex : {"female", "male"}
    early : bool
        No lesion was in sight at the latest sample and local therapy ends most of the shedding; else one was, most
        likely, and the shedding stays.
    switched_off : collection of str
        Keys of `SWITCHES`.
    """
    on = SWITCHES.keys() - set(switched_off)
    table = evidence.load("organs")
    table = table[table.primary == primary].set_index("organ", drop=False)
    organs = tuple(table.index)
    circulation = blood(draws, sex)
    arrival = arrive(primary, organs, circulation, draws, sex=sex, on=on)
    shedding, ctc, cluster_share = _shedding(draws, early, samples, on)
    avascular = draws.parameter("angiogenic_size")
    density = draws.parameter("cell_density")
    scans = _scans(draws, organs, density, avascular)
    reference = sphere_cells(draws.parameter("reference_diameter"), density)
    days = [draws.parameter(f"doubling_time_{organ}") for organ in organs]
    return Cascade(
        organs=organs,
        ctc=ctc,
        cluster_share=cluster_share,
        shedding=shedding,
        circulation=circulation,
        founding=_founding(draws, table, arrival, circulation, on),
        waiting=_waiting(draws, on),
        growth=Growth(
            np.stack(days, axis=1) / DAYS_PER_YEAR,
            reference,
            draws.parameter("largest_size"),
            draws.parameter("death_over_birth_complement"),
        ),
        detection=_side_by_side([scans[organ, best_modality(organ)] for organ in organs]),
        scans=scans,
        frailty_shape=draws.parameter("frailty_shape") if "frailty" in on else np.full(draws.n, _NO_FRAILTY),
        seen_already=np.zeros(draws.n) if early else draws.parameter("seen_if_advanced"),
        arrival=arrival,
        extravasation=draws.parameter("extravasation"),
    )


def best_modality(organ: str) -> str:
    """Return the imaging that shows lesions of this organ best."""
    table = evidence.load("detection")
    return str(table[(table.organ == organ) & table.best].modality.iloc[0])


def blood(draws: Draws, sex: str) -> Circulation:
    """Return the blood of a patient of this sex and how fast it clears CTCs."""
    return Circulation(
        draws.parameter(f"blood_volume_{sex}"),
        draws.parameter(f"cardiac_output_{sex}"),
        draws.parameter("half_life"),
        draws.parameter("kill_share"),
    )


@dataclass(frozen=True)
class Arrival:
    """Where the cells of a cancer arrest: shares by organ (n, organs) of each class, and what passes the first bed."""

    recirculating: Floats
    first_pass: Floats
    recirculating_share: Floats
    deformable_share: Floats
    passed_first_bed: Floats

    @property
    def mixed(self) -> Floats:
        """Shares of the founders that a soil alike everywhere would put into each organ."""
        w = self.recirculating_share[:, None]
        return w * self.recirculating + (1 - w) * self.first_pass


def arrive(
    cancer: str, organs: Sequence[str], circulation: Circulation, draws: Draws, *, sex: str, on: Collection[str]
) -> Arrival:
    """Return where the cells of a cancer arrest, by the flow graph and the cancer's venous drainage."""
    beds = evidence.load("flow")
    draws.record("flow", beds)
    flow = Flow.from_table(beds, sex, portal_route="portal_route" in on)
    start = flow.start(_drainage(draws, cancer))
    killed = circulation.clearance_per_circulation * circulation.kill_share
    extraction = flow.extraction(circulation.clearance_per_circulation - killed)
    prone = draws.parameter("extraction_prone")
    deformable = draws.parameter("deformable_share")
    share = draws.parameter("recirculating_share")
    return Arrival(
        recirculating=flow.by_organ(flow.arrest(start, extraction, killed)[0], organs),
        first_pass=flow.by_organ(flow.arrest(start, prone, killed)[0], organs),
        recirculating_share=share if "first_pass" in on else np.ones(draws.n),
        deformable_share=deformable,
        passed_first_bed=deformable * (1 - extraction) + (1 - deformable) * (1 - prone),
    )


def _founding(
    draws: Draws, table: pd.DataFrame, arrival: Arrival, circulation: Circulation, on: Collection[str]
) -> Founding:
    draws.record("organs", table.set_index(table.primary + ":" + table.organ))
    ln_soil, ln_tropism = (
        np.stack(
            [
                draws.spread(f"{term}: {organ}", row[term], row[f"{term}_low"], row[f"{term}_high"], "normal")
                for organ, row in table.iterrows()
            ],
            axis=1,
        )
        for term in ("ln_soil", "ln_tropism")
    )
    cap = draws.parameter("founding_cap") * circulation.clearance_per_year
    return Founding(
        rate_per_year=np.minimum(draws.parameter("founding_rate"), cap),
        arrival=arrival.mixed,
        ln_soil=ln_soil,
        ln_tropism=ln_tropism if "tropism" in on else np.zeros_like(ln_tropism),
    )


def _drainage(draws: Draws, cancer: str) -> dict[str, Floats]:
    table = evidence.load("drainage")
    table = table[table.cancer == cancer]
    draws.record("drainage", table)
    nodes: dict[str, Floats] = {}
    for _, row in table.iterrows():
        share = draws.spread(f"drainage: {row.node}", row.central, row.low, row.high, "normal")
        nodes[row.node] = np.clip(share, 0, 1)
    return nodes


def _shedding(
    draws: Draws, early: bool, samples: Sequence[Sample], on: Collection[str]
) -> tuple[Shedding, Floats, Floats]:
    """Return the shedding, the CTCs per 7.5 mL at the latest sample and the clusters' share of the founders.

    A cluster is held ``1 / rho`` times faster than a single cell, so its flux is larger by that, and it founds R times
    as often; its k cells are in the count already. Where no cluster was seen, the posterior of the clusters knows
    only the volume; the share of clusters among CTCs then bounds it.
    """
    unseen = draws.parameter("unseen_shedding") if "unseen_shedding" in on else np.zeros(draws.n)
    size = draws.parameter("cluster_size")
    potency = draws.parameter("cluster_potency") / draws.parameter("cluster_half_life_ratio")
    extra = np.maximum(potency - size, 0.0) if "clusters" in on else np.zeros(draws.n)
    usual_share = draws.parameter("cluster_share")
    levels, first = [], None
    for i, sample in enumerate(samples):
        ctc = _from_quantiles(draws.uniform(f"ctc: {i}"), sample.ctc_quantiles)
        clusters = _from_quantiles(draws.uniform(f"clusters: {i}"), sample.cluster_quantiles)
        if sample.n_clusters == 0:
            clusters = np.minimum(clusters, usual_share * ctc)
        levels.append(unseen + ctc + extra * clusters)
        if first is None:
            first = ctc, (extra * clusters + np.minimum(size * clusters, ctc)) / levels[0]
    doubling = draws.parameter("shed_doubling_time") / DAYS_PER_YEAR
    shedding = Shedding(
        levels=np.stack(levels),
        ages=np.array([sample.age_years for sample in samples]),
        growth_per_year=np.log(2) / doubling,
        after=draws.parameter("shed_after_early" if early else "shed_after_advanced"),
    )
    assert first is not None
    return shedding, *first


def _from_quantiles(uniform: Floats, quantiles: Sequence[float]) -> Floats:
    """Return the inverse of a distribution given by its quantiles at (i + 1/2) / number; flat beyond the last ones."""
    known = (np.arange(len(quantiles)) + 0.5) / len(quantiles)
    return np.interp(uniform, known, quantiles)


def _waiting(draws: Draws, on: Collection[str]) -> Waiting:
    rest, switch = draws.parameter("dormancy_share"), draws.parameter("angiogenic_rate")
    return Waiting(
        dormancy_share=rest if "dormancy" in on else np.zeros(draws.n),
        wake_per_year=np.log(2) / draws.parameter("wake_half_life"),
        death_per_year=draws.parameter("dormant_death"),
        switch_per_year=switch if "angiogenesis" in on else np.full(draws.n, _NEVER_WAITS_PER_YEAR),
    )


def _scans(
    draws: Draws, organs: Collection[str], density: Floats, avascular: Floats
) -> dict[tuple[str, str], Detection]:
    table = evidence.load("detection")
    table = table[table.organ.isin(organs)]
    draws.record("detection", table)
    scales = {"d50_mm": "lognormal", "slope_mm": "lognormal", "ceiling": "normal"}
    scans = {}
    for name, row in table.iterrows():
        columns = [
            draws.spread(f"{name}: {c}", row[c], row[f"{c}_low"], row[f"{c}_high"], scale)[:, None]
            for c, scale in scales.items()
        ]
        d50, slope, ceiling = columns
        scans[row.organ, row.modality] = Detection(d50, slope, np.clip(ceiling, 0, 1), density, avascular)
    return scans


def _side_by_side(scans: Sequence[Detection]) -> Detection:
    return Detection(
        np.concatenate([s.d50_mm for s in scans], axis=1),
        np.concatenate([s.slope_mm for s in scans], axis=1),
        np.concatenate([s.ceiling for s in scans], axis=1),
        scans[0].cell_density_per_mm3,
        scans[0].avascular_cells,
    )
