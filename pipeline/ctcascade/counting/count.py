"""Calls to counts: what was seen on the slides, and what it says about 7.5 mL of blood."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ctcascade.calling.markers import no_markers, tally_markers
from ctcascade.counting import agreement
from ctcascade.counting.observation import Factor, Interval, Observation
from ctcascade.data import store
from ctcascade.data.vocabulary import CUTOFFS, REFERENCE_VOLUME_ML

_FACTORS = ("recovery", "sensitivity", "background_per_7_5_ml", "reference_equivalent", "tube_to_tube")
_ESTIMATES = (
    "ctc_per_7_5_ml",
    "ctc_per_ml",
    "clusters_per_7_5_ml",
    "ctc_quantiles_per_7_5_ml",
    "cluster_quantiles_per_7_5_ml",
    "above_blank",
)
_PROBABILITIES = (np.arange(256) + 0.5) / 256
_DIAMETERS = 32  # quantiles at most
_NO_BACKGROUND = Factor(0.0, 0.0, 0.0)


def count(
    settings: Mapping[str, Any],
    frames: Path,
    calls: Path,
    out: Path,
    cells: Path | None = None,
    reviews: Sequence[Path] = (),
) -> None:
    """Write the counts of a sample, as `results.Counts`.

    Parameters
    ----------
    settings : mapping
        ``sample, patient, collected, role, note, blood_volume_ml, sampled_fraction``, ``assay`` (its name, factors and,
        where it has any, markers), ``level``, the probability of every interval, and ``consensus``, how reviews are
        joined (`consensus.reviewed`).
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
        If a table is none of ours, the assay's factors cannot be, or a review is not about these calls.

    Notes
    -----
    A cluster is one object to the assay and to the software: it is taken to be recovered and called with the
    probability of a single cell, and never to be false. Neither was measured, so ``clusters_per_7_5_ml`` is always
    among the assumptions.
    """
    fields, called = store.read_table(frames, "frames"), store.read_table(calls, "calls")
    inputs, review = {"frames": frames, "calls": calls}, None
    if reviews:
        assert cells is not None
        found = agreement.read_all(reviews, settings["sample"])
        gap_um = store.table_provenance(calls).settings["cluster_gap_um"]
        called, review = agreement.reviewed(found, called, store.read_table(cells, "cells"), gap_um, settings)
        inputs |= {f"review {r.reviewer}": path for r, path in zip(found, reviews, strict=True)}
    if cells:
        inputs |= {"cells": cells}
    given = {name: settings["assay"].get(name) for name in _FACTORS}
    observation = Observation(
        blood_volume_ml=settings["blood_volume_ml"],
        sampled_fraction=settings["sampled_fraction"],
        imaged_fraction=imaged_fraction(fields),
        **{name: factor and Factor(factor["mean"], factor["low"], factor["high"]) for name, factor in given.items()},
    )
    level, evaluable = settings["level"], observation.exposure > 0
    seen = tally(called)
    estimates: dict[str, Any] = {**dict.fromkeys(_ESTIMATES), "p_at_least": dict.fromkeys(map(str, CUTOFFS))}
    if evaluable:
        estimates = _estimates(observation, seen["n_ctc"], seen["n_clusters"], level)
    else:  # nothing was seen, which is not the same as nothing there
        seen = {**dict.fromkeys(seen), "cluster_sizes": {}}
    markers, reason = settings["assay"].get("markers", {}), "" if evaluable else _why_not(fields)
    result = {
        **{key: settings[key] for key in ("sample", "patient", "collected", "role", "note")},
        "assay": settings["assay"]["name"],
        "status": "ok" if evaluable else "not_evaluable",
        "reason": reason,
        "n_frames": len(fields),
        "n_frames_usable": int(fields["usable"].sum()),
        "n_cells": len(called),
        "blood_volume_ml": observation.blood_volume_ml,
        "sampled_fraction": observation.sampled_fraction,
        "imaged_fraction": observation.imaged_fraction,
        **given,
        **seen,
        "markers": tally_markers(called, markers, level) if evaluable else no_markers(markers, reason),
        **estimates,
        "limit_of_blank": {"count": observation.limit_of_blank(level), "level": level},
        "assumptions": [name for name, factor in given.items() if factor and factor["kind"] == "assumption"]
        + ["clusters_per_7_5_ml"],
        "review": review,
        "ctc_diameters_um": _diameters(called, cells) if cells and evaluable else None,
        "provenance": store.provenance(settings, inputs),
    }
    store.write_json(out, "counts", result)


def tally(calls: pd.DataFrame) -> dict[str, Any]:
    """Return how many cells and groups of each kind the calls of one sample hold.

    Parameters
    ----------
    calls : DataFrame
        As `tables.CALL_TABLE`: cluster numbers are unique in the sample and carried by the leukocytes on a cluster,
        too; a single CTC that leukocytes touch has no number, but ``with_leukocyte``.

    Returns
    -------
    dict
        ``n_ctc`` (those in clusters included), ``n_leukocytes`` and ``n_uncertain`` cells; ``n_clusters`` of two or
        more CTCs, and by size in ``cluster_sizes``; ``clusters_with_leukocytes``, those that leukocytes ride on; and
        ``n_ctc_leukocyte_groups``, single CTCs with leukocytes, which are no clusters.
    """
    n = Counter(calls["call"])
    groups = calls["cluster"].dropna()
    ctcs = calls["call"].eq("ctc")[groups.index].groupby(groups).sum()
    with_leukocytes = calls["call"].eq("leukocyte")[groups.index].groupby(groups).any()
    clusters = ctcs >= 2
    single = calls[calls["call"].eq("ctc") & calls["cluster"].isna()]
    return {
        "n_ctc": n["ctc"],
        "n_leukocytes": n["leukocyte"],
        "n_uncertain": n["uncertain"],
        "n_clusters": int(clusters.sum()),
        "cluster_sizes": {str(size): times for size, times in sorted(Counter(ctcs[clusters].tolist()).items())},
        "clusters_with_leukocytes": int((clusters & with_leukocytes).sum()),
        "n_ctc_leukocyte_groups": int(single["with_leukocyte"].sum()),
    }


def imaged_fraction(frames: pd.DataFrame) -> float:
    """Return the share of the area of all frames that was analysed, 0 to 1; 0 where there is no frame."""
    analysed, whole = (float(frames[column].to_numpy(np.float64).sum()) for column in ("area_um2", "frame_area_um2"))
    return analysed / whole if whole > 0 else 0.0


def _estimates(observation: Observation, n_ctc: int, n_clusters: int, level: float) -> dict[str, Any]:
    of_clusters = replace(observation, background_per_7_5_ml=_NO_BACKGROUND)
    cells = observation.interval(n_ctc, level)
    reference = observation.reference(n_ctc) if observation.reference_equivalent else None
    return {
        "ctc_per_7_5_ml": cells._asdict(),
        "ctc_per_ml": _per_ml(cells)._asdict(),
        "clusters_per_7_5_ml": of_clusters.interval(n_clusters, level)._asdict(),
        "ctc_quantiles_per_7_5_ml": observation.blood(n_ctc).quantiles(_PROBABILITIES).tolist(),
        "cluster_quantiles_per_7_5_ml": of_clusters.blood(n_clusters).quantiles(_PROBABILITIES).tolist(),
        "p_at_least": {str(k): reference and reference.p_at_least(k) for k in CUTOFFS},
        "above_blank": n_ctc > observation.limit_of_blank(level),
    }


def _diameters(calls: pd.DataFrame, cells: Path) -> dict[str, Any] | None:
    """Return how large the sample's single CTCs are: the share of one in a cluster is the segmentation's guess."""
    key = ["frame", "cell"]
    single = calls[calls["call"].eq("ctc") & calls["cluster"].isna()]
    whole = single[~single["at_border"]]
    if whole.empty:
        return None
    size = store.read_table(cells, "cells", only=[*key, "equivalent_diameter_um"])
    found = whole[key].merge(size, on=key)["equivalent_diameter_um"].to_numpy(np.float64)
    known = (np.arange(min(len(found), _DIAMETERS)) + 0.5) / min(len(found), _DIAMETERS)
    return {"n": len(found), "quantiles": np.quantile(found, known, method="hazen").tolist()}


def _per_ml(interval: Interval) -> Interval:
    estimate, low, high = (value / REFERENCE_VOLUME_ML for value in interval[:3])
    return Interval(estimate, low, high, interval.level)


def _why_not(frames: pd.DataFrame) -> str:
    reasons = Counter(frames.loc[~frames["usable"], "reason"])
    each = ", ".join(f"{reason} ({times})" for reason, times in sorted(reasons.items()))
    return f"none of the {len(frames)} frames could be analysed: {each or 'no area'}"
