"""Conditioning: the evidence and the counts of one patient, drawn into the steps of the model.

The counts come as the posterior quantiles of each sample. The setting comes by the meaning of its word only: what was
in sight at the sample, and whether the shedding goes on. No other statement about the patient changes a draw.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipeline import evidence
from pipeline.simulate.engine import Cascade
from pipeline.simulate.model import (
    DAYS_PER_YEAR,
    Arrival,
    Circulation,
    Detection,
    Floats,
    Flow,
    Founding,
    Growth,
    Shedding,
    Waiting,
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
    cluster_cells: int = 0
    """Cells in the clusters that were seen, all together."""


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

    Where no cluster was seen, the posterior of the clusters knows only the volume; the share of clusters among CTCs
    then bounds it.
    """
    unseen = draws.parameter("unseen_shedding") if "unseen_shedding" in on else np.zeros(draws.n)
    usual_share = draws.parameter("cluster_share")
    seen = [_concentrations(draws, i, sample, usual_share) for i, sample in enumerate(samples)]
    of_clusters = [_cluster_weight(draws, sample, on) for sample in samples]
    levels = np.stack(
        [unseen + ctc + extra * clusters for (ctc, clusters), (extra, _) in zip(seen, of_clusters, strict=True)]
    )
    (ctc, clusters), (extra, size) = seen[0], of_clusters[0]
    doubling = draws.parameter("shed_doubling_time") / DAYS_PER_YEAR
    shedding = Shedding(
        levels=levels,
        ages=np.array([sample.age_years for sample in samples]),
        growth_per_year=np.log(2) / doubling,
        after=draws.parameter("shed_after_early" if early else "shed_after_advanced"),
    )
    return shedding, ctc, (extra * clusters + np.minimum(size * clusters, ctc)) / levels[0]


def _cluster_weight(draws: Draws, sample: Sample, on: Collection[str]) -> tuple[Floats, Floats]:
    """Return the CTCs that one cluster is worth beyond its own cells, and its cells, (n,) each.

    A cluster is held ``1 / rho`` times faster than a single cell, so its flux is larger by that, and it founds R times
    as often; its k cells are in the count already. R was measured in clusters of the usual size k0; a colony begun by k
    cells lives on with probability ``1 - (d/b)^k``, so R changes by the ratio of those. The clusters that were seen
    tell k, with one more of size k0.
    """
    usual = draws.parameter("cluster_size")
    size = (usual + sample.cluster_cells) / (1 + sample.n_clusters) if sample.cluster_cells else usual
    ln_dies_out = np.log1p(-draws.parameter("death_over_birth_complement"))
    lives_on = np.expm1(size * ln_dies_out) / np.expm1(usual * ln_dies_out)
    potency = lives_on * draws.parameter("cluster_potency") / draws.parameter("cluster_half_life_ratio")
    return np.maximum(potency - size, 0.0) if "clusters" in on else np.zeros(draws.n), size


def _concentrations(draws: Draws, number: int, sample: Sample, usual_share: Floats) -> tuple[Floats, Floats]:
    """Return draws of the CTCs and of the clusters in 7.5 mL at a sample."""
    ctc = _from_quantiles(draws.uniform(f"ctc: {number}"), sample.ctc_quantiles)
    clusters = _from_quantiles(draws.uniform(f"clusters: {number}"), sample.cluster_quantiles)
    return ctc, clusters if sample.n_clusters else np.minimum(clusters, usual_share * ctc)


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
