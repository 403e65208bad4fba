"""Conditioning: the evidence and the counts of one patient, drawn into the steps of the model.

The counts come as the posterior quantiles of each sample, which know no population; where the counts of such patients
before treatment were published (early breast cancer) these are the prior instead. The setting comes by the meaning of
its word only: what was in sight at the sample, and whether the shedding goes on. No other statement about the patient
changes a draw.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import special

from ctcascade import evidence
from ctcascade.cascade.circulation import Arrival, Circulation, Flow
from ctcascade.cascade.engine import Cascade
from ctcascade.cascade.model import Detection, Floats, Founding, Growth, Shedding, Waiting, sphere_cells
from ctcascade.cascade.parameters import Draws
from ctcascade.data.vocabulary import DAYS_PER_YEAR

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
}
"""Steps that can be left out, and what is then taken for true."""

_NO_FRAILTY = 1e9
DIAMETER = {
    "breast": "ctc_diameter_breast",
    "prostate": "ctc_diameter_prostate",
    "bladder": "ctc_diameter_bladder",
    "colon": "ctc_diameter_colorectal",
    "rectum": "ctc_diameter_colorectal",
}
"""Cancers of whose CTCs the usual diameter was published."""
_FITTED = "breast"
"""The cancer whose recurrences the founding rate was fitted to, and whose counts in early patients were published."""
_DORMANCY = {
    "colon": "dormancy_share_colorectal",
    "rectum": "dormancy_share_colorectal",
    "tnbc": "dormancy_share_tnbc",
}
"""Cancers and subtypes of which the timing of recurrences says how many founders rest first."""


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
    cluster_cells: int = 0
    """Cells in the clusters that were seen, all together."""
    diameters_um: tuple[int, float] = (0, 0.0)
    """How many single CTCs were measured, and their mean diameter."""


def build(
    primary: str,
    samples: Sequence[Sample],
    draws: Draws,
    *,
    sex: str,
    early: bool,
    subtype: str | None = None,
    resected_years: float | None = None,
    reseeding: bool = False,
    switched_off: Collection[str] = (),
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
        No lesion was in sight at the latest sample and local therapy ends the shedding; else one was, most likely, and
        the shedding stays.
    subtype : str, optional
        As in the patient sheet.
    resected_years : float, optional
        When the tumour was or will be removed, in years after the latest sample, where `early`; at the sample if not
        given.
    reseeding : bool
        Whether cells that circulate after local therapy found lesions as those before it did.
    switched_off : collection of str
        Keys of `SWITCHES`.
    """
    on = SWITCHES.keys() - set(switched_off)
    table = evidence.load("organs")
    table = table[table.primary == primary].set_index("organ", drop=False)
    organs = tuple(table.index)
    circulation = blood(draws, sex, on)
    larger = _larger(draws, primary, samples)
    arrival = arrive(primary, organs, circulation, draws, sex=sex, on=on, larger=larger)
    course = _course(draws, early=early, resected_years=resected_years, reseeding=reseeding)
    population = _population(draws, primary, early=early)
    shedding, ctc, cluster_share, unseen_share = _shedding(draws, samples, course, on, population)
    avascular = draws.parameter("angiogenic_size")
    density = draws.parameter("cell_density")
    scans = _scans(draws, organs, density, avascular)
    reference = sphere_cells(draws.parameter("reference_diameter"), density)
    days = [draws.parameter(f"doubling_time_{organ}") for organ in organs]
    return Cascade(
        organs=organs,
        ctc=ctc,
        cluster_share=cluster_share,
        unseen_share=unseen_share,
        shedding=shedding,
        circulation=circulation,
        founding=_founding(draws, table, arrival, circulation, on),
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
        seen_already=np.zeros(draws.n) if early else draws.parameter("seen_if_advanced"),
        arrival=arrival,
        extravasation=draws.parameter("extravasation"),
    )


def best_modality(organ: str) -> str:
    """Return the imaging that shows lesions of this organ best."""
    table = evidence.load("detection")
    return str(table[(table.organ == organ) & table.best].modality.iloc[0])


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
    beds = evidence.load("flow")
    draws.record("flow", beds)
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
    fitted_here = table.primary.iloc[0] == _FITTED
    rate = draws.parameter("founding_rate") * (1 if fitted_here else draws.parameter("founding_elsewhere"))
    return Founding(
        rate_per_year=np.minimum(rate, cap),
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


@dataclass(frozen=True)
class _Course:
    """What becomes of the shedding: where it changes and to what; and of cells found after a removal, what they mean.

    `removed` is when all that sheds was removed, if before the latest sample, and which share of the cells is still
    found after it.
    """

    onward: tuple[tuple[float, Floats], ...]
    removed: tuple[float, Floats] | None = None

    def found_at(self, sample: Sample) -> float:
        """Return which share of the cells of an untreated patient a sample finds, in the middle of the draws."""
        if self.removed is None or sample.age_years > -self.removed[0]:
            return 1.0
        return float(np.median(self.removed[1]))


def _course(draws: Draws, *, early: bool, resected_years: float | None, reseeding: bool) -> _Course:
    if not early:
        return _Course(((0.0, draws.parameter("shed_after_advanced")),))
    left = draws.parameter("shed_after_early")
    time = resected_years or 0.0
    onward = ((time, left if reseeding else np.zeros(draws.n)),)
    return _Course(onward, (time, left) if time < 0 else None)


@dataclass(frozen=True)
class _Population:
    """How the CTCs in 7.5 mL differ between patients of one kind: lognormal, by the mean and SD of the logarithm."""

    ln_mean: float
    ln_sd: float

    def times(self, factor: float) -> "_Population":
        """Return the population in which every patient has this multiple of the cells."""
        return _Population(self.ln_mean + math.log(factor), self.ln_sd)

    def reread(self, quantiles: Sequence[float]) -> tuple[Floats, Floats]:
        """Return the count stage's quantiles and the probabilities up to them once the population is its prior.

        The count stage knows no population: its prior of the concentration c is ``c^-1/2``. Each quantile stands for
        an equal share of its posterior, so with the population's density p(c) it weighs ``p(c) c^1/2``.
        """
        ln = np.log(quantiles)
        ln_weight = -(((ln - self.ln_mean) / self.ln_sd) ** 2) / 2 - ln / 2
        weight = np.exp(ln_weight - ln_weight.max())
        return np.exp(ln), (weight.cumsum() - weight / 2) / weight.sum()


def _population(draws: Draws, primary: str, *, early: bool) -> _Population | None:
    """Return the population that a patient's count is read in, where one was published."""
    if not early or primary != _FITTED:
        return None
    facts = evidence.load("assay_facts").loc[["reference_recovery"]]
    draws.record("assay_facts", facts)
    ln_mean, ln_sd = (float(draws.parameter(f"early_count_ln_{moment}")[0]) for moment in ("mean", "sd"))
    return _Population(ln_mean - math.log(facts.central.iloc[0]), ln_sd)


def _shedding(
    draws: Draws, samples: Sequence[Sample], course: _Course, on: Collection[str], population: _Population | None
) -> tuple[Shedding, Floats, Floats, Floats]:
    """Return the shedding, the CTCs per 7.5 mL at the latest sample, and the shares of clusters and of the unseen.

    Where no cluster was seen, the posterior of the clusters knows only the volume; the share of clusters among CTCs
    then bounds it. Of the samples after a removal the latest stands for the day of the removal: its cells are the
    share that is left of those before it.
    """
    unseen = draws.parameter("unseen_shedding") if "unseen_shedding" in on else np.zeros(draws.n)
    usual_share = draws.parameter("cluster_share")
    seen = [
        _concentrations(draws, i, sample, usual_share, population and population.times(course.found_at(sample)))
        for i, sample in enumerate(samples)
    ]
    of_clusters = [_cluster_weight(draws, sample, on) for sample in samples]
    cells = [ctc + extra * clusters for (ctc, clusters), (extra, _) in zip(seen, of_clusters, strict=True)]
    ages = [sample.age_years for sample in samples]
    (ctc, clusters), (extra, size) = seen[0], of_clusters[0]
    now = cells[0]
    cluster_share = (extra * clusters + np.minimum(size * clusters, ctc)) / (unseen + now)
    if course.removed:
        time, left = course.removed
        before = [i for i, age in enumerate(ages) if age > -time]
        cells = [cells[0] / left, *(cells[i] for i in before)]
        ages = [-time, *(ages[i] for i in before)]
    doubling = draws.parameter("shed_doubling_time") / DAYS_PER_YEAR
    shedding = Shedding(
        levels=unseen + np.stack(cells),
        ages=np.array(ages),
        growth_per_year=np.log(2) / doubling,
        course=course.onward,
    )
    return shedding, ctc, cluster_share, unseen / (unseen + now)


def _cluster_weight(draws: Draws, sample: Sample, on: Collection[str]) -> tuple[Floats, Floats]:
    """Return the CTCs that one cluster is worth beyond its own cells, and its cells, (n,) each.

    A cluster is held ``1 / rho`` times faster than a single cell, so its flux is larger by that, and it founds R times
    as often; its k cells are in the count already. R was measured in clusters of the usual size k0; a colony begun by k
    cells lives on with probability ``1 - (d/b)^k``, so R changes by the ratio of those. The clusters that were seen
    set k, with one more of size k0.
    """
    usual = draws.parameter("cluster_size")
    size = (usual + sample.cluster_cells) / (1 + sample.n_clusters) if sample.cluster_cells else usual
    ln_dies_out = np.log1p(-draws.parameter("death_over_birth_complement"))
    lives_on = np.expm1(size * ln_dies_out) / np.expm1(usual * ln_dies_out)
    potency = lives_on * draws.parameter("cluster_potency") / draws.parameter("cluster_half_life_ratio")
    return np.maximum(potency - size, 0.0) if "clusters" in on else np.zeros(draws.n), size


def _concentrations(
    draws: Draws, number: int, sample: Sample, usual_share: Floats, population: _Population | None
) -> tuple[Floats, Floats]:
    """Return draws of the CTCs and of the clusters in 7.5 mL at a sample."""
    uniform = draws.uniform(f"ctc: {number}")
    if population:
        values, known = population.reread(sample.ctc_quantiles)
        ctc = np.interp(uniform, known, values)
    else:
        ctc = _from_quantiles(uniform, sample.ctc_quantiles)
    clusters = _from_quantiles(draws.uniform(f"clusters: {number}"), sample.cluster_quantiles)
    return ctc, clusters if sample.n_clusters else np.minimum(clusters, usual_share * ctc)


def _from_quantiles(uniform: Floats, quantiles: Sequence[float]) -> Floats:
    """Return the inverse of a distribution given by its quantiles at (i + 1/2) / number; flat beyond the last ones."""
    known = (np.arange(len(quantiles)) + 0.5) / len(quantiles)
    return np.interp(uniform, known, quantiles)


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
