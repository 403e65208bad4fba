"""Calls to counts: what was seen on the slides, and what it says about 7.5 mL of blood."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from ctcascade import evidence
from ctcascade.blood.factors import Factor
from ctcascade.blood.population import Population, changes_by, population_of
from ctcascade.blood.seen import Candidates
from ctcascade.calling.markers import no_markers, tally_markers
from ctcascade.counting import reviewed_calls
from ctcascade.counting.calibrated_calls import calibrated, calls_made_by
from ctcascade.counting.observation import Interval, Observation
from ctcascade.data import lineage, results, store
from ctcascade.data.errors import listed, refuse
from ctcascade.data.vocabulary import CALLS, CUTOFFS, REFERENCE_VOLUME_ML
from ctcascade.evidence.tables import READ_BY
from ctcascade.study.assay import Factor as AssayFactor
from ctcascade.study.jobs import CountJob

FACTORS = ("recovery", "sensitivity", "background_per_7_5_ml", "reference_equivalent", "tube_to_tube")
_PROBABILITIES = (np.arange(256) + 0.5) / 256
_CELL = ["frame", "cell"]
_EVEN = 0.5
_OTHER_CAMERA = {"pixel_size_differs": "the images' pixel size", "bit_depth_differs": "the images' bit depth"}
_DIAMETERS = 32  # quantiles at most
_NO_BACKGROUND = Factor(0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Tally:
    """How many cells and groups of each kind the calls of one sample hold; None where nothing could be seen.

    Attributes
    ----------
    n_ctc, n_leukocytes, n_uncertain : int or None
        Cells; CTCs in clusters are included.
    n_clusters : int or None
        Clusters of two or more CTCs.
    cluster_sizes : dict
        Number of CTCs in a cluster, as text, to the number of such clusters.
    clusters_with_leukocytes : int or None
        Clusters that leukocytes ride on.
    n_ctc_leukocyte_groups : int or None
        Single CTCs with leukocytes, which are no clusters.
    """

    n_ctc: int | None = None
    n_leukocytes: int | None = None
    n_uncertain: int | None = None
    n_clusters: int | None = None
    cluster_sizes: dict[str, int] = field(default_factory=dict)
    clusters_with_leukocytes: int | None = None
    n_ctc_leukocyte_groups: int | None = None


@dataclass(frozen=True)
class _Estimates:
    """What a count says about the blood; None where nothing could be seen."""

    ctc_per_7_5_ml: results.Interval | None = None
    ctc_per_ml: results.Interval | None = None
    clusters_per_7_5_ml: results.Interval | None = None
    ctc_quantiles_per_7_5_ml: tuple[float, ...] | None = None
    cluster_quantiles_per_7_5_ml: tuple[float, ...] | None = None
    p_at_least: dict[str, float | None] = field(default_factory=lambda: dict.fromkeys(map(str, CUTOFFS)))
    in_population: results.InPopulation | None = None
    above_blank: bool | None = None


def count(
    job: CountJob,
    frames: Path,
    calls: Path,
    out: Path,
    cells: Path | None = None,
    reviews: Sequence[Path] = (),
) -> None:
    """Write the counts of a sample, as `results.Counts`.

    Parameters
    ----------
    job : CountJob
    frames, calls : Path
        Tables of the sample.
    out : Path
        JSON to write.
    cells : Path, optional
        Table of the sample, for the diameters of its CTCs; needed with reviews, which can change what hangs together.
    reviews : sequence of Path
        Reviewers' files about these calls: what they agree on stands for the classifier's call.

    Raises
    ------
    InputError
        If a table cannot be read, the assay's factors cannot be, or a review is not about these calls.
    """
    given = {"frames": frames, "calls": calls} | ({"cells": cells} if cells else {})
    lineage.refuse_strangers(job.sample, given)
    fields, called = store.read_table(frames, "frames"), store.read_table(calls, "calls")
    measured = store.read_table(cells, "cells", only=[*_CELL, "equivalent_diameter_um"]) if cells else None
    _refuse_odd(calls, called, measured)
    _refuse_more_than_all(frames, fields)
    made_by = store.table_provenance(calls)
    claims = made_by.reference.claims if made_by.reference else ()
    inputs, review = {"frames": frames, "calls": calls}, None
    used = job.assay.calibration
    if used:
        if used.calls_made_by != calls_made_by(made_by):
            todo = "fit it again on these calls (snakemake calibration), or leave calibration.use out"
            refuse(calls, "calibration", "calls of other code or settings", "those that it was fitted on", todo)
        called = calibrated(called, used.slope)
    if reviews:
        assert cells is not None
        found = reviewed_calls.read_all(reviews, job.sample)
        gap_um = made_by.settings["cluster_gap_um"]
        called, review = reviewed_calls.apply_reviews(
            found, called, store.read_table(cells, "cells"), gap_um, job.consensus, job.level
        )
        inputs |= {f"review {r.reviewer}": path for r, path in zip(found, reviews, strict=True)}
    if cells:
        inputs |= {"cells": cells}
    counts = count_ctcs(job, fields, called, measured, claims)
    if review:
        counts = counts.model_copy(update={"review": review})
    if used:
        given_by = {name: value for name, value in used.as_json().items() if name != "calls_made_by"}
        counts = counts.model_copy(update={"calibration": results.UsedCalibration(**given_by)})
    store.write_json(
        out,
        counts.model_copy(
            update={"provenance": store.provenance(job, inputs, evidence.evidence_hash(READ_BY["count"]))}
        ),
    )


def _refuse_odd(path: Path, calls: pd.DataFrame, cells: pd.DataFrame | None) -> None:
    """Refuse calls that are not those of the cells, one for each, or that no classifier makes."""
    again = "run the stage before this one again"
    odd = ~calls["call"].isin(CALLS) | ~calls["p_ctc"].between(0, 1)
    if odd.any():
        row = calls[odd].iloc[0]
        at = f"frame {row['frame']}, cell {row['cell']}"
        refuse(
            path, at, f"{row['call']}, p_ctc {row['p_ctc']:g}", f"one of {', '.join(CALLS)}, p_ctc from 0 to 1", again
        )
    if cells is not None and not _same_cells(calls, cells):
        found = f"{len(calls)} calls that are not those of the {len(cells)} cells"
        refuse(path, "", found, "a call for each cell", again)


def _refuse_more_than_all(path: Path, frames: pd.DataFrame) -> None:
    """Refuse frames of which more was analysed than there is."""
    share = imaged_fraction(frames)
    if share > 1 + 1e-9:
        refuse(path, "area_um2", f"{share:.3f} of the area of all frames", "at most all of it", store.RUN_AGAIN)


def _same_cells(calls: pd.DataFrame, cells: pd.DataFrame) -> bool:
    one, two = ([table[name].to_numpy() for name in _CELL] for table in (calls, cells))
    if len(calls) != len(cells) or all(map(np.array_equal, one, two)):
        return len(calls) == len(cells)
    one, two = ([table.sort_values(_CELL)[name].to_numpy() for name in _CELL] for table in (calls, cells))
    return all(map(np.array_equal, one, two))


def count_ctcs(
    job: CountJob,
    frames: pd.DataFrame,
    calls: pd.DataFrame,
    cells: pd.DataFrame | None = None,
    claims: Sequence[results.Claim] = (),
) -> results.Counts:
    """Return the counts of a sample, and what they say about 7.5 mL of blood.

    Parameters
    ----------
    job : CountJob
    frames, calls : DataFrame
        Tables of the sample.
    cells : DataFrame, optional
        ``frame, cell, equivalent_diameter_um`` of its cells, for the diameters of its CTCs.
    claims : sequence of Claim
        What the calls rest on (`reference.claims` of what was called). Where one fails there is no count: the calls
        are for the eye.

    Notes
    -----
    A cluster is one object to the assay and to the software: it is taken to be recovered and called with the
    probability of a single cell, and never to be false. Neither was measured, so ``clusters_per_7_5_ml`` is always
    among the assumptions.
    """
    given = {name: _factor(getattr(job.assay, name)) for name in FACTORS}
    withheld = _only_taken_over(job, frames)
    if withheld:
        given["reference_equivalent"] = None
    known = {name: Factor(f.mean, f.low, f.high) for name, f in given.items() if f}
    copied_ml = _blood_of_copies(job, frames)
    observation = Observation(
        blood_volume_ml=job.blood_volume_ml - copied_ml,
        sampled_fraction=job.sampled_fraction,
        imaged_fraction=imaged_fraction(frames),
        recovery=known["recovery"],
        sensitivity=known["sensitivity"],
        background_per_7_5_ml=known["background_per_7_5_ml"],
        reference_equivalent=known.get("reference_equivalent"),
        tube_to_tube=known.get("tube_to_tube"),
    )
    failed = "; ".join(claim.reason for claim in claims if claim.verdict == "fails")
    evaluable = observation.exposure > 0 and not failed
    reason = "" if evaluable else failed if observation.exposure > 0 else _why_not(frames)
    seen = tally(calls) if evaluable else Tally()  # nothing was seen, which is not the same as nothing there
    observation = replace(observation, candidates=candidates(calls) if evaluable else ())
    estimates = _estimates(job, observation, seen)
    markers = job.assay.markers
    entries = tally_markers(calls, markers, job.level) if evaluable else no_markers(markers, reason)
    return results.Counts(
        sample=job.sample,
        patient=job.patient,
        collected=job.collected.isoformat(),
        **_where_given(drawn=job.drawn, blood_of_copies_ml=copied_ml, why_no_reference=withheld),
        assay=job.assay.name,
        role=job.role,
        note=job.note,
        notice=job.notice,
        status="ok" if evaluable else "not_evaluable",
        reason=reason,
        n_frames=len(frames),
        n_frames_usable=int(frames["usable"].sum()),
        n_cells=len(calls),
        n_ctc=seen.n_ctc,
        n_clusters=seen.n_clusters,
        n_ctc_leukocyte_groups=seen.n_ctc_leukocyte_groups,
        n_leukocytes=seen.n_leukocytes,
        n_uncertain=seen.n_uncertain,
        cluster_sizes=seen.cluster_sizes,
        clusters_with_leukocytes=seen.clusters_with_leukocytes,
        blood_volume_ml=observation.blood_volume_ml,
        sampled_fraction=observation.sampled_fraction,
        imaged_fraction=observation.imaged_fraction,
        recovery=_needed(given["recovery"]),
        sensitivity=_needed(given["sensitivity"]),
        background_per_7_5_ml=_needed(given["background_per_7_5_ml"]),
        reference_equivalent=given["reference_equivalent"],
        tube_to_tube=given["tube_to_tube"],
        ctc_per_7_5_ml=estimates.ctc_per_7_5_ml,
        clusters_per_7_5_ml=estimates.clusters_per_7_5_ml,
        ctc_per_ml=estimates.ctc_per_ml,
        ctc_quantiles_per_7_5_ml=estimates.ctc_quantiles_per_7_5_ml,
        cluster_quantiles_per_7_5_ml=estimates.cluster_quantiles_per_7_5_ml,
        p_at_least=estimates.p_at_least,
        limit_of_blank=results.LimitOfBlank(count=observation.limit_of_blank(job.level), level=job.level),
        above_blank=estimates.above_blank,
        candidates=tuple(results.Candidate(p_ctc=p, n=n) for p, n in observation.candidates),
        in_population=estimates.in_population,
        evidence=_evidence(job, observation, seen),
        assumptions=(*(name for name, f in given.items() if f and f.kind == "assumption"), "clusters_per_7_5_ml"),
        ctc_diameters_um=_diameters(calls, cells) if cells is not None and evaluable else None,
        markers=entries,
        claims=tuple(claims),
        review=None,
        provenance=store.provenance(job, {}),
    )


def tally(calls: pd.DataFrame) -> Tally:
    """Return how many cells and groups of each kind the calls of one sample hold.

    Parameters
    ----------
    calls : DataFrame
        As `tables.CALL_TABLE`: cluster numbers are unique in the sample and carried by the leukocytes on a cluster,
        too; a single CTC that leukocytes touch has no number but is `with_leukocyte`.
    """
    n = Counter(calls["call"])
    groups = calls["cluster"].dropna()
    ctcs = calls["call"].eq("ctc")[groups.index].groupby(groups).sum()
    with_leukocytes = calls["call"].eq("leukocyte")[groups.index].groupby(groups).any()
    clusters = ctcs >= 2
    single = calls[calls["call"].eq("ctc") & calls["cluster"].isna()]
    return Tally(
        n_ctc=n["ctc"],
        n_leukocytes=n["leukocyte"],
        n_uncertain=n["uncertain"],
        n_clusters=int(clusters.sum()),
        cluster_sizes={str(size): times for size, times in sorted(Counter(ctcs[clusters].tolist()).items())},
        clusters_with_leukocytes=int((clusters & with_leukocytes).sum()),
        n_ctc_leukocyte_groups=int(single["with_leukocyte"].sum()),
    )


def candidates(calls: pd.DataFrame) -> Candidates:
    """Return ``p_ctc`` of the cells called CTC or uncertain, in hundredths, with their number.

    Where a call goes against ``p_ctc``, the call stands: a CTC is one, an uncertain cell is as likely one as not. What
    reviewers say is in ``p_ctc`` already, with the errors that readers make.
    """
    called, uncertain = calls["call"].eq("ctc"), calls["call"].eq("uncertain")
    p = calls["p_ctc"].to_numpy(np.float64)
    p = np.where(called & (p <= _EVEN), 1.0, np.where(uncertain, np.minimum(p, _EVEN), p)).round(2)
    return tuple(sorted(Counter(p[called | uncertain].tolist()).items()))


def _only_taken_over(job: CountJob, frames: pd.DataFrame) -> str:
    """Return why the assay's equivalence with the reference is not its own; empty where it is, or states none."""
    taken = job.assay.taken_over
    if taken is None or job.assay.reference_equivalent is None:
        return ""
    flags = {flag for text in frames.loc[frames["usable"], "flags"] for flag in text.split(",")}
    differs = [words for flag, words in _OTHER_CAMERA.items() if flag in flags]
    if not taken.changed and not differs:
        return ""
    what = listed([*(f"its {name}" for name in taken.different), *differs])
    differ = "differs" if len(taken.changed) + len(differs) == 1 else "differ"
    todo = "the assay file must state them for this method, or say under “inherits” why they hold"
    return f"{taken.told}, from which {what} {differ}: {todo}"


def _where_given(**optional: Any) -> dict[str, Any]:
    """Return the values that are neither None nor empty nor 0."""
    return {name: value for name, value in optional.items() if value}


def _blood_of_copies(job: CountJob, frames: pd.DataFrame) -> float:
    """Return the volume, among those given for single parts, of frames that are copies of another part's.

    The blood of a part is spread over its frames; a copy shows blood that stands in the other part's volume.
    """
    if not job.part_volumes_ml:
        return 0.0
    known = frames[frames["pixels_digest"] != ""]
    first = known.groupby("pixels_digest")["part"].transform("first")
    copied = known["part"][first != known["part"]].value_counts()
    n = frames["part"].value_counts()
    return math.fsum(job.part_volumes_ml[part] * copied[part] / n[part] for part in sorted(copied.index))


def imaged_fraction(frames: pd.DataFrame) -> float:
    """Return the share of the area of all frames that was analysed, 0 to 1; 0 where there is no frame."""
    analysed, whole = (float(frames[column].to_numpy(np.float64).sum()) for column in ("area_um2", "frame_area_um2"))
    return analysed / whole if whole > 0 else 0.0


def _estimates(job: CountJob, observation: Observation, seen: Tally) -> _Estimates:
    if seen.n_ctc is None or seen.n_clusters is None:
        return _Estimates()
    of_clusters = replace(observation, background_per_7_5_ml=_NO_BACKGROUND, candidates=())
    cells = observation.interval(seen.n_ctc, job.level)
    population = _population(job)
    return _Estimates(
        ctc_per_7_5_ml=_interval(cells),
        ctc_per_ml=_interval(cells, REFERENCE_VOLUME_ML),
        clusters_per_7_5_ml=_interval(of_clusters.interval(seen.n_clusters, job.level)),
        ctc_quantiles_per_7_5_ml=tuple(observation.blood(seen.n_ctc).quantiles(_PROBABILITIES).tolist()),
        cluster_quantiles_per_7_5_ml=tuple(of_clusters.blood(seen.n_clusters).quantiles(_PROBABILITIES).tolist()),
        p_at_least=_p_at_least(observation, seen.n_ctc, population),
        in_population=_in_population(job, observation, seen.n_ctc, population) if population else None,
        above_blank=seen.n_ctc > observation.limit_of_blank(job.level),
    )


def _population(job: CountJob) -> Population | None:
    """Return the population of the sample's patient; None without a tumour or where no patient is known."""
    if job.primary in (None, "none") or job.setting is None:
        return None
    return population_of(job.primary or "", job.setting).after(*changes_by(job.after))


def _p_at_least(observation: Observation, n_ctc: int, population: Population | None) -> dict[str, float | None]:
    if observation.reference_equivalent is None:
        return dict.fromkeys(map(str, CUTOFFS))
    counted = (
        observation.reference_in_population(n_ctc, population.by_reference)
        if population
        else observation.reference(n_ctc)
    )
    return {str(k): counted.p_at_least(k) for k in CUTOFFS}


def _in_population(job: CountJob, observation: Observation, n_ctc: int, population: Population) -> results.InPopulation:
    known = observation.in_population(n_ctc, population)
    probabilities = [(1 - job.level) / 2, 0.5, (1 + job.level) / 2]
    low, median, high = known.quantiles(probabilities).tolist()
    least, middle, most = (population.quantile(p) for p in probabilities)
    return results.InPopulation(
        ctc_per_7_5_ml=results.Interval(estimate=median, low=low, high=high, level=job.level),
        population=population.id,
        kind=population.kind,
        after=job.after,
        population_per_7_5_ml=results.Interval(estimate=middle, low=least, high=most, level=job.level),
    )


def _evidence(job: CountJob, observation: Observation, seen: Tally) -> Literal["enough", "too_little_blood"]:
    """Return whether the sample says enough of the blood for a number: by the blood looked at, or by its cells."""
    blood_ml = observation.exposure * REFERENCE_VOLUME_ML
    enough = blood_ml >= job.least_blood_ml or (seen.n_ctc or 0) >= job.least_ctcs
    return "enough" if enough else "too_little_blood"


def _diameters(calls: pd.DataFrame, cells: pd.DataFrame) -> results.CtcDiameters | None:
    """Return how large the sample's single CTCs are: the share of one in a cluster is the segmentation's guess."""
    single = calls[calls["call"].eq("ctc") & calls["cluster"].isna()]
    whole = single[~single["at_border"]]
    if whole.empty:
        return None
    size = cells[[*_CELL, "equivalent_diameter_um"]]
    found = whole[_CELL].merge(size, on=_CELL)["equivalent_diameter_um"].to_numpy(np.float64)
    known = (np.arange(min(len(found), _DIAMETERS)) + 0.5) / min(len(found), _DIAMETERS)
    return results.CtcDiameters(n=len(found), quantiles=tuple(np.quantile(found, known, method="hazen").tolist()))


def _interval(found: Interval, per: float = 1.0) -> results.Interval:
    estimate, low, high = (value / per for value in found[:3])
    return results.Interval(estimate=estimate, low=low, high=high, level=found.level)


def _factor(given: AssayFactor | None) -> results.Factor | None:
    return None if given is None else results.Factor.model_validate(given.as_json())


def _needed(factor: results.Factor | None) -> results.Factor:
    assert factor is not None  # the assay has it
    return factor


def _why_not(frames: pd.DataFrame) -> str:
    reasons = Counter(frames.loc[~frames["usable"], "reason"])
    each = ", ".join(f"{reason} ({times})" for reason, times in sorted(reasons.items()))
    return f"none of the {len(frames)} frames could be analysed: {each or 'no area'}"
