"""Conditioning: the evidence and the counts of one patient, drawn into the steps of the model.

The counts come as they were seen: every tube is a likelihood on one course of the patient's level (`blood.course`),
and what is known of such patients before any tube is its prior (`blood.population`). The setting comes by the meaning
of its word only: what was in sight at the sample, and whether the shedding goes on. No other statement about the
patient changes a draw.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import TypedDict

import numpy as np
from scipy import special

from ctcascade import evidence
from ctcascade.blood.course import Course, Stop, Tube, pooled
from ctcascade.blood.population import Change, Population, changes_by, population_of
from ctcascade.cascade import seeding
from ctcascade.cascade.after_removal import EDGES_YEARS, AfterRemoval, ByLesions, Late, first_lesion, in_half_years
from ctcascade.cascade.circulation import Arrival, Circulation, Flow
from ctcascade.cascade.engine import Cascade
from ctcascade.cascade.model import Detection, Floats, Growth, Pace, Shedding, Waiting, sphere_cells
from ctcascade.cascade.parameters import Draws
from ctcascade.data.vocabulary import DAYS_PER_YEAR, Z95

SWITCHES = {
    "clusters": "a cluster founds no more than its cells would one by one",
    "unseen_shedding": "what the sample does not show is not there",
    "killer_cells": "no cell in the blood is killed by NK cells: what is cleared is sheared or arrested",
    "shear": "no cell in the blood is killed by shear",
    "cloaking": "platelets and leukocytes protect no cell from NK cells",
    "portal_route": "portal blood joins the veins instead of the liver",
    "first_pass": "no founder is caught in the first capillary bed",
    "tropism": "a soil is the same for every cancer",
    "dormancy": "no cell rests before it grows",
    "angiogenesis": "no lesion waits for vessels",
    "frailty": "patients differ by their counts only",
    "late_cells": "cells found after a removal say nothing: neither of what was shed before it nor of lesions",
}
"""Steps that can be left out, and what is then taken for true."""

_NO_FRAILTY = 1e9
_CLUSTER_REACH = 8.0  # standard deviations of the share of clusters
_CLUSTER_NODES = 161
_FEWER_PAIRS = (0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
DIAMETER = {
    "breast": "ctc_diameter_breast",
    "prostate": "ctc_diameter_prostate",
    "bladder": "ctc_diameter_bladder",
    "colon": "ctc_diameter_colorectal",
    "rectum": "ctc_diameter_colorectal",
}
"""Cancers of whose CTCs the usual diameter was published."""
_FITTED = "breast"
"""The cancer whose recurrences the founding rate was fitted to."""
_DORMANCY = {
    "colon": "dormancy_share_colorectal",
    "rectum": "dormancy_share_colorectal",
    "tnbc": "dormancy_share_tnbc",
}
"""Cancers and subtypes of which the timing of recurrences says how many founders rest first."""
_SEEN = {"advanced": "seen_if_advanced"}
"""Settings in which a distant lesion need not be known."""


@dataclass(frozen=True)
class Sample:
    """One evaluable sample: its age in years before the latest one, what was seen, and in how much blood.

    Parameters
    ----------
    age_years : float
    tube : Tube
        The CTCs.
    n_clusters : int
    cluster_cells : int
        Cells in the clusters that were seen, all together.
    n_pairs : int
        Those of the clusters that have two cells, which may merely touch.
    diameters_um : (int, float)
        How many single CTCs were measured, and their mean diameter.
    after : tuple of str
        The interventions before it, from the first on: words of `vocabulary.INTERVENTIONS`.
    """

    age_years: float
    tube: Tube
    n_clusters: int = 0
    cluster_cells: int = 0
    n_pairs: int = 0
    diameters_um: tuple[int, float] = (0, 0.0)
    after: tuple[str, ...] = ()


def build(
    primary: str,
    samples: Sequence[Sample],
    draws: Draws,
    *,
    sex: str,
    early: bool,
    setting: str = "",
    subtype: str | None = None,
    stage: str | None = None,
    resected_years: float | None = None,
    reseeding: bool = False,
    switched_off: Collection[str] = (),
    population: Population | None = None,
    pace: Pace | None = None,
) -> Cascade:
    """Return the cascade of a patient, drawn from the evidence and conditioned on the samples.

    Parameters
    ----------
    primary : str
        As in the patient sheet, but not "none".
    samples : sequence of Sample
        At least one, in any order.
    draws : Draws
    sex : {"female", "male"}
    early : bool
        No lesion was in sight at the latest sample and local therapy ends the shedding; else one was, most likely, and
        the shedding stays.
    setting : str, optional
        As in the patient sheet; without it, what holds for all settings of the cancer.
    subtype, stage : str, optional
        As in the patient sheet.
    resected_years : float, optional
        When the tumour was or will be removed, in years after the latest sample, where `early`; at the sample if not
        given.
    reseeding : bool
        Whether cells that circulate after local therapy found lesions as those before it did.
    switched_off : collection of str
        Keys of `SWITCHES`.
    population : Population, optional
        Of the CTCs of such patients before therapy; by default that of the primary, early or metastatic.
    pace : Pace, optional
        How fast lesions grow under the patient's therapies, for what cells after a removal say.
    """
    on = SWITCHES.keys() - set(switched_off)
    kind = seeding.Kind(primary, setting or ("early" if early else ""), subtype or "", stage or "")
    organs = tuple(seeding.organs_of(kind))
    circulation = blood(draws, sex, on)
    larger = _larger(draws, primary, samples)
    arrival = arrive(primary, organs, circulation, draws, sex=sex, on=on, larger=larger)
    onward = _onward(draws, early=early, resected_years=resected_years, reseeding=reseeding)
    prior = population or population_of(primary, "early" if early else "metastatic")
    known = _days(samples, resected_years if early else None)
    avascular = draws.parameter("angiogenic_size")
    density = draws.parameter("cell_density")
    scans = _scans(draws, organs, density, avascular)
    reference = sphere_cells(draws.parameter("reference_diameter"), density)
    days = [draws.parameter(f"doubling_time_{organ}") for organ in organs]
    unit = Cascade(
        organs=organs,
        ctc=np.ones(draws.n),
        cluster_share=np.zeros(draws.n),
        unseen_share=np.zeros(draws.n),
        shedding=_unit_shedding(draws, known, onward),
        circulation=circulation,
        founding=seeding.found(draws, kind, organs, arrival, circulation, on),
        waiting=_waiting(draws, primary, subtype, on),
        growth=Growth(
            np.stack(days, axis=1) / DAYS_PER_YEAR,
            reference,
            draws.parameter("largest_size"),
            draws.parameter("death_over_birth_complement"),
        ),
        detection=_side_by_side([scans[organ, best_modality(organ)] for organ in organs]),
        scans=scans,
        frailty_shape=draws.parameter("frailty_shape") if "frailty" in on else np.full(draws.n, _NO_FRAILTY),
        seen_already=np.zeros(draws.n) if early else draws.parameter(_SEEN.get(setting, "seen_if_metastatic")),
        arrival=arrival,
        extravasation=draws.parameter("extravasation"),
        pace=pace or Pace(),
        clear_years=_clear_years(draws, resected_years if early else None),
    )
    late = _late(known, prior) if early else []
    if not late or "late_cells" not in on:
        return replace(unit, pace=Pace(), **_levels(draws, known, onward, on, prior, [0.0] * len(late)))
    metastatic = population_of(primary, "metastatic")
    draws.record("populations", evidence.rows("populations")[metastatic.id])
    after = AfterRemoval.of(unit, in_half_years(late), ByLesions.drawn(draws, metastatic))
    in_sight = np.concatenate([unit.clear[None], unit.lesions(EDGES_YEARS.tolist())]).sum(axis=2)
    of_anyone = np.exp(prior.ln_mean + prior.ln_sd * draws.normal("level of anyone")) + draws.parameter(
        "unseen_shedding"
    )
    shares = after.rest_shares(first_lesion(in_sight * of_anyone, unit.frailty_shape), late)
    found = _levels(draws, known, onward, on, prior, shares)
    level = found["shedding"].levels[0]
    now = after.shed_now(first_lesion(in_sight * level, unit.frailty_shape), draws)
    found["ctc"] = found["ctc"] + now
    return replace(unit, pace=Pace(), bled=after.bled(), **found)


def best_modality(organ: str) -> str:
    """Return the imaging that shows lesions of this organ best."""
    return next(str(row.modality) for row in evidence.rows("detection").values() if row.organ == organ and row.best)


def blood(draws: Draws, sex: str, on: Collection[str] = SWITCHES.keys()) -> Circulation:
    """Return the blood of a patient of this sex, how fast it clears CTCs and by what."""
    rows = {"killer_cells": "killer_cell_rate", "shear": "shear_rate", "cloaking": "cloaked_share"}
    drawn = {step: draws.parameter(row) if step in on else np.zeros(draws.n) for step, row in rows.items()}
    return Circulation(
        draws.parameter(f"blood_volume_{sex}"),
        draws.parameter(f"cardiac_output_{sex}"),
        draws.parameter("half_life"),
        drawn["killer_cells"],
        drawn["shear"],
        drawn["cloaking"],
        draws.parameter("cloaked_killing"),
    )


def arrive(
    cancer: str,
    organs: Sequence[str],
    circulation: Circulation,
    draws: Draws,
    *,
    sex: str,
    on: Collection[str],
    larger: Floats | float = 0.0,
) -> Arrival:
    """Return where the cells of a cancer arrest, by the flow graph and the cancer's venous drainage.

    Parameters
    ----------
    larger : ndarray, shape (n,), or 0
        By how much the patient's cells are larger than usual, in widths of the passage through a capillary.

    Notes
    -----
    A cell of diameter d passes a capillary of width c with probability ``1 / (1 + exp((d - c) / s))``. Against the
    usual cells of the cancer, of diameter d_0, the odds of being deformable are ``exp(-(d - d_0) / s)`` times as large,
    whatever c is: those of the shed cells, and those of the founders.
    """
    beds = evidence.rows("flow")
    draws.record("flow", *beds.values())
    flow = Flow.from_table(beds, sex, portal_route="portal_route" in on)
    start = flow.start(_drainage(draws, cancer))
    killed = circulation.clearance_per_circulation * circulation.kill_share
    extraction = flow.extraction(circulation.clearance_per_circulation - killed)
    prone = draws.parameter("extraction_prone")
    deformable, share = (
        special.expit(special.logit(draws.parameter(name)) - larger)
        for name in ("deformable_share", "recirculating_share")
    )
    return Arrival(
        recirculating=flow.by_organ(flow.arrest(start, extraction, killed)[0], organs),
        first_pass=flow.by_organ(flow.arrest(start, prone, killed)[0], organs),
        recirculating_share=share if "first_pass" in on else np.ones(draws.n),
        deformable_share=deformable,
        passed_first_bed=deformable * (1 - extraction) + (1 - deformable) * (1 - prone),
    )


def _larger(draws: Draws, primary: str, samples: Sequence[Sample]) -> Floats | float:
    """Return by how many widths s the cells that were measured are larger than usual: ``(d - d_0) / s``.

    With n cells of mean d_n, the patient's are of ``d = (d_0 + n d_n) / (1 + n)``: one more of the usual size.
    """
    measured = [(n, n * mean) for n, mean in (sample.diameters_um for sample in samples) if n]
    if not measured or primary not in DIAMETER:
        return 0.0
    n, total = (sum(column) for column in zip(*measured, strict=True))
    usual = draws.parameter(DIAMETER[primary])
    widths: Floats = (total / n - usual) * n / (1 + n) / draws.parameter("capillary_width")
    return widths


def _drainage(draws: Draws, cancer: str) -> dict[str, Floats]:
    rows = [row for row in evidence.rows("drainage").values() if row.cancer == cancer]
    draws.record("drainage", *rows)
    nodes: dict[str, Floats] = {}
    for row in rows:
        share = draws.spread(f"drainage: {row.node}", row.central, row.low, row.high, "normal")
        nodes[row.node] = np.clip(share, 0, 1)
    return nodes


def _onward(
    draws: Draws, *, early: bool, resected_years: float | None, reseeding: bool
) -> tuple[tuple[float, Floats], ...]:
    """Return what becomes of the shedding: where it changes, and to which multiple."""
    if not early:
        return ((0.0, draws.parameter("shed_after_advanced")),)
    left = draws.parameter("shed_after_early")
    return ((resected_years or 0.0, left if reseeding else np.zeros(draws.n)),)


@dataclass(frozen=True)
class _Day:
    """The samples of one day that have the same interventions before them; none: a day that the level is asked for."""

    age_years: float
    after: tuple[str, ...]
    samples: tuple[Sample, ...] = ()
    since_years: float = 0.0  # the removal

    @property
    def removed(self) -> bool:
        """Whether all that sheds was removed before it."""
        return "removal" in self.after

    @property
    def stop(self) -> Stop:
        """The day on the course of the level."""
        changes = changes_by(self.after)
        if self.removed:
            row = evidence.rows("parameters")["rest_decay"]
            spread = (row.high - row.low) / (2 * Z95) * self.since_years
            changes += (Change(-row.central * self.since_years, spread),)
        return Stop(-DAYS_PER_YEAR * self.age_years, pooled([s.tube for s in self.samples]), changes)

    @property
    def n_clusters(self) -> int:
        """Clusters that were seen."""
        return sum(sample.n_clusters for sample in self.samples)

    @property
    def cluster_cells(self) -> int:
        """Their cells, all together."""
        return sum(sample.cluster_cells for sample in self.samples)

    @property
    def n_pairs(self) -> int:
        """Those of two cells."""
        return sum(sample.n_pairs for sample in self.samples)

    @property
    def searched(self) -> float:
        """Blood in which a cluster would have been seen, in units of 7.5 mL."""
        tubes = pooled([sample.tube for sample in self.samples])
        return sum(tube.exposure * tube.assay.found for tube in tubes)


@dataclass(frozen=True)
class _Pairs:
    """The clusters of a day without some of its pairs, as in `_Day`."""

    n_clusters: int
    cluster_cells: int
    n_pairs: int
    searched: float


def _days(samples: Sequence[Sample], resected_years: float | None) -> list[_Day]:
    """Return the days with a sample, the latest first; after a removal that of the removal is among them."""
    by_day: dict[tuple[float, tuple[str, ...]], list[Sample]] = {}
    for sample in samples:
        removed = resected_years is not None and sample.age_years < -resected_years
        after = (*sample.after, "removal") if removed and "removal" not in sample.after else sample.after
        by_day.setdefault((sample.age_years, after), []).append(sample)
    since = -(resected_years or 0.0)
    days = [_Day(age, after, tuple(own), max(since - age, 0.0)) for (age, after), own in by_day.items()]
    days.sort(key=lambda day: (day.age_years, -len(day.after), day.after))
    if not days[0].removed or resected_years is None:
        return days
    later = [day for day in days if day.removed]
    before = [day for day in days if not day.removed]
    if not before or before[0].age_years != -resected_years:
        therapies = tuple(word for word in later[-1].after if word != "removal")
        before.insert(0, _Day(-resected_years, therapies))
    return [*later, *before]


def _clear_years(draws: Draws, resected_years: float | None) -> Floats | None:
    """Return until when nobody saw a lesion: the sample, or, long after the removal, some time before it, (n,)."""
    if resected_years is None or resected_years >= 0:
        return None
    return np.maximum(-draws.parameter("unnoticed_years"), resected_years)


def _unit_shedding(draws: Draws, days: Sequence[_Day], onward: tuple[tuple[float, Floats], ...]) -> Shedding:
    """Return the shedding at a level of one on the latest day before a removal."""
    latest = next(day for day in days if not day.removed)
    doubling = draws.parameter("shed_doubling_time") / DAYS_PER_YEAR
    return Shedding(np.ones((1, draws.n)), np.array([latest.age_years]), np.log(2) / doubling, onward)


def _late(days: Sequence[_Day], population: Population) -> list[Late]:
    """Return the days after a removal, the latest first, with what such patients have left on them."""
    return [
        Late(-day.age_years, day.stop.tubes, population.after(*day.stop.changes))
        for day in days
        if day.removed and day.samples
    ]


class _Found(TypedDict):
    shedding: Shedding
    ctc: Floats
    cluster_share: Floats
    unseen_share: Floats
    levels_of_cells: Floats


def _levels(
    draws: Draws,
    days: Sequence[_Day],
    onward: tuple[tuple[float, Floats], ...],
    on: Collection[str],
    population: Population,
    rest_shares: Sequence[float],
) -> _Found:
    """Return the shedding, the CTCs per 7.5 mL at the latest sample, and the shares of clusters and of the unseen.

    The level that founds lesions is that of the days before a removal. A tube after it counts for that level with the
    power of its share of the rest.
    """
    draws.record("assay_facts", evidence.rows("assay_facts")["reference_recovery"])
    draws.record("populations", evidence.rows("populations")[population.id])
    if rest_shares:
        draws.record("parameters", *(evidence.rows("parameters")[name] for name in ("shed_after_early", "rest_decay")))
    if len({sample.tube.assay for day in days for sample in day.samples}) > 1:
        draws.record("parameters", evidence.rows("parameters")["missed_tail"])
    unseen = draws.parameter("unseen_shedding") if "unseen_shedding" in on else np.zeros(draws.n)
    memory = float(draws.parameter("count_memory")[0]) * DAYS_PER_YEAR
    powers = [*rest_shares, *[1.0] * (len(days) - len(rest_shares))]
    stops = [replace(day.stop, power=power) for day, power in zip(days, powers, strict=True)]
    course = Course(population, tuple(reversed(stops)), memory)
    ctc = course.draw([draws.uniform(f"ctc: {i}") for i in range(len(days))])
    levels, of_cells, ages = [], [], []
    shares: list[Floats] = []
    for i, (day, cells) in enumerate(zip(days, ctc, strict=True)):
        if day.removed:
            continue
        extra, of_clusters = _beyond_cells(draws, i, day, cells, on)
        levels.append(unseen + cells + extra)
        of_cells.append(unseen + cells)
        ages.append(day.age_years)
        shares.append((extra + np.minimum(of_clusters, cells)) / levels[-1])
    doubling = draws.parameter("shed_doubling_time") / DAYS_PER_YEAR
    return {
        "shedding": Shedding(np.stack(levels), np.array(ages), np.log(2) / doubling, onward),
        "ctc": ctc[0],
        "cluster_share": shares[0],
        "unseen_share": unseen / levels[0],
        "levels_of_cells": np.stack(of_cells),
    }


def _beyond_cells(draws: Draws, number: int, day: _Day, cells: Floats, on: Collection[str]) -> tuple[Floats, Floats]:
    """Return the CTCs that the clusters of a day are worth beyond their cells, and these cells, (n,) each.

    A pair may merely touch and is small, so that it makes a cluster worth less than was taken before any was seen. Of
    the pairs, as many are counted as make most of the clusters: one more never says less.
    """
    worth, size = _cluster_weight(draws, day, on)
    clusters = _clusters(draws, number, day, cells)
    extra, of_clusters = worth * clusters, size * clusters
    for n in (n for n in _FEWER_PAIRS if n < day.n_pairs):
        fewer = _Pairs(day.n_clusters - day.n_pairs + n, day.cluster_cells - 2 * (day.n_pairs - n), n, day.searched)
        worth, size = _cluster_weight(draws, fewer, on)
        clusters = _clusters(draws, number, fewer, cells)
        more = worth * clusters > extra
        extra, of_clusters = np.where(more, worth * clusters, extra), np.where(more, size * clusters, of_clusters)
    return extra, of_clusters


def _clusters(draws: Draws, number: int, day: "_Day | _Pairs", ctc: Floats) -> Floats:
    """Return draws of the clusters in 7.5 mL on a day, given the CTCs.

    Their share among the CTCs is `cluster_share` before any was looked for; seeing n of them in the blood searched is
    Poisson. The more CTCs, the more clusters, whatever was seen; a cluster more is never a sign of fewer.
    """
    row = evidence.rows("parameters")["cluster_share"]
    draws.record("parameters", row)
    z = np.linspace(-_CLUSTER_REACH, _CLUSTER_REACH, _CLUSTER_NODES)
    width = np.where(z < 0, np.log(row.central / row.low), np.log(row.high / row.central)) / Z95
    share = np.minimum(np.exp(np.log(row.central) + z * width), 0.5)  # a cluster has two cells or more
    mean = day.searched * ctc[:, None] * share
    ln = -(z**2) / 2 + special.xlogy(day.n_clusters, mean) - mean
    weight = np.exp(ln - ln.max(axis=1, keepdims=True))
    below = weight.cumsum(axis=1) / weight.sum(axis=1, keepdims=True)
    uniform = draws.uniform(f"clusters: {number}")[:, None]
    at = np.clip((below < uniform).sum(axis=1), 1, _CLUSTER_NODES - 1)
    low, high = (np.take_along_axis(below, at[:, None] - back, axis=1)[:, 0] for back in (1, 0))
    part = np.clip((uniform[:, 0] - low) / np.maximum(high - low, np.finfo(float).tiny), 0, 1)
    ln = np.log(share)
    found: Floats = ctc * np.exp(ln[at - 1] + part * (ln[at] - ln[at - 1]))
    return found


def _cluster_weight(draws: Draws, day: "_Day | _Pairs", on: Collection[str]) -> tuple[Floats, Floats]:
    """Return the CTCs that one cluster is worth beyond its own cells, and its cells, (n,) each.

    A cluster is held ``1 / rho`` times faster than a single cell, so its flux is larger by that, and it founds R times
    as often; its k cells are in the count already. R was measured in clusters of the usual size k0; a colony begun by k
    cells lives on with probability ``1 - (d/b)^k``, so R changes by the ratio of those. The clusters that were seen
    set k, with one more of size k0. Of the pairs only a share was a cluster in the blood: the others merely touch.
    """
    n_clusters, cluster_cells = day.n_clusters, day.cluster_cells
    usual = draws.parameter("cluster_size")
    size = (usual + max(cluster_cells, 2 * n_clusters)) / (1 + n_clusters) if cluster_cells else usual
    ln_dies_out = np.log1p(-draws.parameter("death_over_birth_complement"))
    lives_on = np.expm1(size * ln_dies_out) / np.expm1(usual * ln_dies_out)
    potency = lives_on * draws.parameter("cluster_potency") / draws.parameter("cluster_half_life_ratio")
    true = 1 - day.n_pairs * (1 - draws.parameter("pair_true")) / (1 + n_clusters)
    return np.maximum(potency - size, 0.0) * true if "clusters" in on else np.zeros(draws.n), size


def _waiting(draws: Draws, primary: str, subtype: str | None, on: Collection[str]) -> Waiting:
    rest = draws.parameter(_DORMANCY.get(subtype or primary, "dormancy_share"))
    restricted = draws.parameter("restricted_share")
    return Waiting(
        dormancy_share=rest if "dormancy" in on else np.zeros(draws.n),
        wake_per_year=np.log(2) / draws.parameter("wake_half_life"),
        death_per_year=draws.parameter("dormant_death"),
        restricted_share=restricted if "angiogenesis" in on else np.zeros(draws.n),
        switch_per_year=np.log(2) / draws.parameter("escape_half_life"),
    )


def _scans(
    draws: Draws, organs: Collection[str], density: Floats, avascular: Floats
) -> dict[tuple[str, str], Detection]:
    rows = [row for row in evidence.rows("detection").values() if row.organ in organs]
    draws.record("detection", *rows)
    scales = {"d50_mm": "lognormal", "slope_mm": "lognormal", "ceiling": "normal"}
    scans = {}
    for row in rows:
        columns = [
            draws.spread(f"{row.id}: {c}", row[c], row[f"{c}_low"], row[f"{c}_high"], scale)[:, None]
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
