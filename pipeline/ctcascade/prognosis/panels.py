"""What was published on clusters and on markers of the cells: beside the survival curve, never inside it.

The largest cohort found that clusters add nothing to the number of cells, and no marker has a survival curve of its own
here, so both change survival by the factor 1. An association is shown with its group, size, interval and what speaks
against it; a marker's also with the class of drugs that it was studied for. Nothing is advised.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ctcascade import evidence
from ctcascade.data.results import (
    Association,
    ClusterAssociation,
    Clusters,
    ExpectedShare,
    Marker,
    MarkerAssociation,
    MarkerPanel,
    MarkerVerdict,
)
from ctcascade.prognosis.rows import Sample, is_of
from ctcascade.study.patient import Patient

SURVIVAL_FACTOR = 1.0

_FOUND = {"positive": "an association", "negative": "none", "mixed": "no clear one"}
_BY_SUBTYPE = {
    "hr_pos_her2_neg": {"HER2": "negative"},
    "her2_pos": {"HER2": "positive"},
    "tnbc": {"HER2": "negative", "ER": "negative"},
}  # what the subtype's name says of the tumour


@dataclass(frozen=True)
class _Seen:
    """A marker in one sample."""

    sample: Sample
    marker: Marker

    @property
    def verdict(self) -> MarkerVerdict:
        """The verdict on the marker in this sample."""
        return MarkerVerdict(
            sample=self.sample.name,
            collected=self.sample.day,
            n_evaluable=self.marker.n_evaluable,
            n_positive=self.marker.n_positive,
            n_negative=self.marker.n_negative,
            share=self.marker.share,
            status=self.marker.status,
        )


def clusters(samples: Sequence[Sample], patient: Patient, *, silent: bool) -> Clusters | None:
    """Return the clusters of the latest sample and what was published on them; None without an evaluable sample.

    Parameters
    ----------
    samples : sequence of Sample
        By date.
    patient : Patient
    silent : bool
        The prognosis is refused: what was seen is shown, and no published number.
    """
    if not samples:
        return None
    latest = samples[-1]
    rows = [] if silent else _matching(evidence.rows("clusters"), patient)
    return Clusters(
        sample=latest.name,
        collected=latest.day,
        n_clusters=latest.counts.n_clusters or 0,
        cluster_sizes=latest.counts.cluster_sizes,
        clusters_with_leukocytes=latest.counts.clusters_with_leukocytes or 0,
        n_ctc_leukocyte_groups=latest.counts.n_ctc_leukocyte_groups or 0,
        survival_factor=None if silent else SURVIVAL_FACTOR,
        expected=_expected(latest, rows),
        balance=_balance(rows),
        statements=tuple(
            ClusterAssociation(
                **_association(row).model_dump(),
                definition=row["definition"],
                timepoint=row["timepoint"],
                adjusted=row["adjusted"],
            )
            for row in rows
        ),
    )


def phenotype(samples: Sequence[Sample], patient: Patient, *, silent: bool) -> tuple[MarkerPanel, ...]:
    """Return one panel a marker of the patient's samples: the latest verdict and what was published on it.

    Parameters
    ----------
    samples, patient, silent
        As in `clusters`. A marker that could not be evaluated has no statements either.
    """
    by_marker: dict[str, list[_Seen]] = {}
    for sample in samples:
        for marker in sample.counts.markers:
            by_marker.setdefault(marker.marker, []).append(_Seen(sample, marker))
    return tuple(_panel(seen, patient, silent=silent) for _, seen in sorted(by_marker.items()))


def evidence_shown(of_clusters: Clusters | None, phenotype: Sequence[MarkerPanel]) -> list[str]:
    """Return the ids of the evidence rows that the panels rest on."""
    ids = [statement.evidence_id for statement in of_clusters.statements] if of_clusters else []
    return [*ids, *(statement.evidence_id for panel in phenotype for statement in panel.statements)]


def _panel(seen: list[_Seen], patient: Patient, *, silent: bool) -> MarkerPanel:
    latest = seen[-1].marker
    judged = latest.status != "not_evaluable"
    rows = _matching(evidence.rows("phenotype"), patient, latest.marker) if judged and not silent else []
    why = "no published row on this marker for this tumour and setting" if not rows else ""
    if silent:
        why = "no prognosis is given"
    elif not judged:
        why = "the marker could not be evaluated"
    return MarkerPanel(
        **seen[-1].verdict.model_dump(),
        marker=latest.marker,
        reason=latest.reason,
        place=latest.place,
        rule=latest.rule.source,
        earlier=tuple(one.verdict for one in seen[:-1]),
        survival_factor=None if silent else SURVIVAL_FACTOR,
        conflicts=tuple(_conflicts(latest.marker, [one.marker.status for one in seen], patient.subtype)),
        statements=tuple(
            MarkerAssociation(
                **_association(row).model_dump(),
                assay=row["assay"],
                threshold=row["threshold"],
                drug_class=row["drug_class"],
                conflict=row["conflict"],
            )
            for row in rows
        ),
        why_no_statement=why,
    )


def _conflicts(marker: str, statuses: Sequence[str], subtype: str | None) -> list[str]:
    """Return where the samples disagree with each other or with the tumour's subtype."""
    judged = [s for s in statuses if s != "not_evaluable"]
    found = []
    if len(set(judged)) > 1:
        found.append(f"The samples disagree on {marker}: {', then '.join(judged)}.")
    tumour = _BY_SUBTYPE.get(subtype or "", {}).get(marker)
    if judged and tumour and judged[-1] != tumour:
        found.append(f"The cells are {marker}-{judged[-1]}, the tumour by its subtype {marker}-{tumour}.")
    return found


def _matching(rows: evidence.Rows, patient: Patient, marker: str | None = None) -> list[evidence.Row]:
    """Return the rows of this tumour, setting and marker, the largest first, those of one tumour before pooled ones."""
    own = [
        row
        for row in rows.values()
        if is_of(row, patient.primary, patient.setting)
        and (not patient.subtype or row.subtype in ("", patient.subtype))
        and (marker is None or marker in row.marker.split(";"))
    ]
    return sorted(own, key=lambda row: (row.primary.count(";"), -_size(row), row.id))


def _size(row: evidence.Row) -> float:
    return 0.0 if math.isnan(row.n) else float(row.n)


def _association(row: evidence.Row) -> Association:
    text = row.association
    if not math.isnan(row.hr):
        text += f" Hazard ratio {row.hr:g} (95 % interval {row.hr_low:g} to {row.hr_high:g}) against: {row.hr_against}."
    return Association(
        evidence_id=row.id,
        text=text,
        direction=row.direction,
        group=row.population,
        n=None if math.isnan(row.n) else int(row.n),
        outcome=row.outcome,
        hr=_number(row.hr),
        hr_low=_number(row.hr_low),
        hr_high=_number(row.hr_high),
        hr_against=row.hr_against,
        era=row.era,
    )


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _expected(sample: Sample, rows: Sequence[evidence.Row]) -> ExpectedShare | None:
    """Return the share of published samples with such a count that had clusters."""
    row = next((r for r in rows if not math.isnan(r.cutoff)), None)
    if row is None or sample.p_at_least is None:
        return None
    above = sample.p_at_least[int(row.cutoff)]
    share = (1 - above) * row.share_below + above * row.share_above
    return ExpectedShare(evidence_id=row.id, share=float(share))


def _balance(rows: Sequence[evidence.Row]) -> str:
    """Return how many rows speak for and against, and what the largest of this tumour alone found."""
    if not rows:
        return ""
    times, largest = Counter(row.direction for row in rows), rows[0]
    counted = ", ".join(f"{times[word]} found {_FOUND[word]}" for word in _FOUND if times[word])
    summary = f"Published rows: {counted}."
    if len(rows) == 1 or largest.primary.count(";") > 1 or math.isnan(largest.n):
        return summary
    return f"{summary} The largest of this tumour alone (n {largest.n:.0f}) found {_FOUND[largest.direction]}."
