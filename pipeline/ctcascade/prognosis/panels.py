"""What was published on clusters and on markers of the cells: beside the survival curve, never inside it.

The largest cohort found that clusters add nothing to the number of cells, and no marker has a survival curve of its own
here, so both change survival by the factor 1. An association is told with its group, size, interval and what speaks
against it; a marker's also with the class of drugs that it was studied for. Nothing is advised.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from ctcascade import evidence
from ctcascade.prognosis.rows import Draw, is_of

SURVIVAL_FACTOR = 1.0

_FOUND = {"positive": "an association", "negative": "none", "mixed": "no clear one"}
_BY_SUBTYPE = {
    "hr_pos_her2_neg": {"HER2": "negative"},
    "her2_pos": {"HER2": "positive"},
    "tnbc": {"HER2": "negative", "ER": "negative"},
}  # what the subtype's name says of the tumour


def clusters(draws: Sequence[Draw], patient: Mapping[str, Any], *, silent: bool) -> dict[str, Any] | None:
    """Return the clusters of the latest draw and what was published on them; None without an evaluable draw.

    Parameters
    ----------
    draws : sequence of Draw
        By date.
    patient : mapping
        ``primary``, ``setting``, ``subtype``.
    silent : bool
        The prognosis is refused: what was seen is told, and no published number.
    """
    if not draws:
        return None
    seen = draws[-1].counts
    rows = [] if silent else _matching(evidence.load("clusters"), patient)
    kept = ("n_clusters", "cluster_sizes", "clusters_with_leukocytes", "n_ctc_leukocyte_groups")
    return {
        "sample": draws[-1].sample,
        "collected": draws[-1].collected.isoformat(),
        **{key: seen[key] for key in kept},
        "survival_factor": None if silent else SURVIVAL_FACTOR,
        "expected": _expected(draws[-1], rows),
        "balance": _balance(rows),
        "statements": [
            {**_association(row), **{key: row[key] for key in ("definition", "timepoint", "adjusted")}} for row in rows
        ],
    }


def phenotype(draws: Sequence[Draw], patient: Mapping[str, Any], *, silent: bool) -> list[dict[str, Any]]:
    """Return one panel a marker of the patient's draws: the latest draw's verdict and what was published on it.

    Parameters
    ----------
    draws, patient, silent
        As in `clusters`. A marker that could not be evaluated has no statements either.
    """
    by_marker: dict[str, list[tuple[Draw, Mapping[str, Any]]]] = {}
    for draw in draws:
        for entry in draw.counts.get("markers", []):
            by_marker.setdefault(entry["marker"], []).append((draw, entry))
    return [_panel(marker, seen, patient, silent) for marker, seen in sorted(by_marker.items())]


def evidence_shown(result: Mapping[str, Any]) -> list[str]:
    """Return the ids of the evidence rows that the panels of a result rest on."""
    panels = [result["clusters"] or {"statements": []}, *result["phenotype"]]
    return [statement["evidence_id"] for panel in panels for statement in panel["statements"]]


def _panel(
    marker: str, seen: list[tuple[Draw, Mapping[str, Any]]], patient: Mapping[str, Any], silent: bool
) -> dict[str, Any]:
    draw, latest = seen[-1]
    judged = latest["status"] != "not_evaluable"
    rows = _matching(evidence.load("phenotype"), patient, marker) if judged and not silent else []
    why = "no published row on this marker for this tumour and setting" if not rows else ""
    if silent:
        why = "no prognosis is given"
    elif not judged:
        why = "the marker could not be evaluated"
    kept = ("n_evaluable", "n_positive", "n_negative", "share", "status", "reason", "place")
    return {
        "marker": marker,
        "sample": draw.sample,
        "collected": draw.collected.isoformat(),
        **{key: latest[key] for key in kept},
        "rule": latest["rule"]["source"],
        "earlier": [
            {"sample": d.sample, "collected": d.collected.isoformat(), **{key: e[key] for key in kept[:5]}}
            for d, e in seen[:-1]
        ],
        "survival_factor": None if silent else SURVIVAL_FACTOR,
        "conflicts": _conflicts(marker, [e["status"] for _, e in seen], patient.get("subtype")),
        "statements": [
            {**_association(row), **{key: row[key] for key in ("assay", "threshold", "drug_class", "conflict")}}
            for row in rows
        ],
        "why_no_statement": why,
    }


def _conflicts(marker: str, statuses: list[str], subtype: str | None) -> list[str]:
    """Return where the draws disagree with each other or with the tumour's subtype."""
    told = [s for s in statuses if s != "not_evaluable"]
    found = []
    if len(set(told)) > 1:
        found.append(f"The draws disagree on {marker}: {', then '.join(told)}.")
    tumour = _BY_SUBTYPE.get(subtype or "", {}).get(marker)
    if told and tumour and told[-1] != tumour:
        found.append(f"The cells are {marker}-{told[-1]}, the tumour by its subtype {marker}-{tumour}.")
    return found


def _matching(rows: pd.DataFrame, patient: Mapping[str, Any], marker: str | None = None) -> list[pd.Series]:
    """Return the rows of this tumour, setting and marker, the largest first, those of one tumour before pooled ones."""
    own = [
        row
        for _, row in rows.iterrows()
        if is_of(row, patient["primary"], patient["setting"])
        and (not patient.get("subtype") or row.subtype in ("", patient["subtype"]))
        and (marker is None or marker in row.marker.split(";"))
    ]
    return sorted(own, key=lambda row: (row.primary.count(";"), -_size(row), str(row.name)))


def _size(row: pd.Series) -> float:
    return 0.0 if math.isnan(row.n) else float(row.n)


def _association(row: pd.Series) -> dict[str, Any]:
    text = row.association
    if not math.isnan(row.hr):
        text += f" Hazard ratio {row.hr:g} (95 % interval {row.hr_low:g} to {row.hr_high:g}) against: {row.hr_against}."
    return {
        "evidence_id": str(row.name),
        "text": text,
        "direction": row.direction,
        "group": row.population,
        "n": None if math.isnan(row.n) else int(row.n),
        "outcome": row.outcome,
        "hr": _number(row.hr),
        "hr_low": _number(row.hr_low),
        "hr_high": _number(row.hr_high),
        "hr_against": row.hr_against,
        "era": row.era,
    }


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _expected(draw: Draw, rows: list[pd.Series]) -> dict[str, Any] | None:
    """Return the share of published samples with such a count that had clusters."""
    row = next((r for r in rows if not math.isnan(r.cutoff)), None)
    if row is None or draw.p_at_least is None:
        return None
    above = draw.p_at_least[int(row.cutoff)]
    share = (1 - above) * row.share_below + above * row.share_above
    return {"evidence_id": str(row.name), "share": float(share)}


def _balance(rows: list[pd.Series]) -> str:
    """Return how many rows speak for and against, and what the largest of this tumour alone found."""
    if not rows:
        return ""
    times, largest = Counter(row.direction for row in rows), rows[0]
    counted = ", ".join(f"{times[word]} found {_FOUND[word]}" for word in _FOUND if times[word])
    told = f"Published rows: {counted}."
    if len(rows) == 1 or largest.primary.count(";") > 1 or math.isnan(largest.n):
        return told
    return f"{told} The largest of this tumour alone (n {largest.n:.0f}) found {_FOUND[largest.direction]}."
