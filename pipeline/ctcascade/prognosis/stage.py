"""The category of distant metastasis (M0, cM0(i+), M1) from imaging and counts, by the rules of the AJCC manual.

Imaging or a clinical finding makes M1; cells in the blood never do. They add (i+) to M0, which the manual words for
breast cancer. Of tumour and nodes the sheet holds nothing, so there is no stage group.
"""

from collections.abc import Sequence
from typing import Literal

from ctcascade import evidence
from ctcascade.data import results
from ctcascade.data.results import Cascade, Stage, Visible
from ctcascade.data.vocabulary import NOT_METASTATIC, OWN_ORGAN
from ctcascade.prognosis.rows import Sample
from ctcascade.study.patient import Patient, Scan

Category = Literal["M0", "cM0(i+)", "M1"]

_EITHER = ("advanced",)  # stage III to IV


def stage(patient: Patient, samples: Sequence[Sample], cascade: Cascade, *, silent: bool) -> Stage | None:
    """Return the category with its wording, source and reason; None without a primary tumour.

    Parameters
    ----------
    patient : Patient
    samples : sequence of Sample
        The evaluable ones, by date.
    cascade : Cascade
        Of the patient: when imaging would show a lesion that was founded at the latest sample.
    silent : bool
        The prognosis is refused: the times of the cascade are left out.

    Notes
    -----
    ``category`` is None where the sheet's setting says metastatic disease and no imaging in the sheet shows it: the
    one contradicts the other, or the proof is not in the sheet. Lesions in the primary tumour's own organ cannot be
    distinguished from the tumour itself and are not counted as distant.
    """
    if patient.primary == "none":
        return None
    own = OWN_ORGAN.get(patient.primary)
    distant = [s for s in patient.imaging if s.lesions and s.organ != own]
    with_cells = [s for s in samples if s.n_ctc and s.counts.above_blank]
    category, reason = _category(patient, distant, with_cells)
    rule = None if category is None else _rule(category, patient.primary)
    return Stage(
        category=category,
        wording="" if rule is None else rule.text("wording"),
        reason=reason,
        evidence_id=None if rule is None else rule.evidence_id,
        source="" if rule is None else _source(rule),
        imaging=tuple(
            results.Scan(
                date=scan.date.isoformat(),
                modality=scan.modality,
                organ=scan.organ,
                lesions=scan.lesions,
                distant=scan.organ != own,
            )
            for scan in patient.imaging
        ),
        cells_in=tuple(s.name for s in with_cells),
        visible=() if silent else _visible(cascade),
    )


def _rule(category: Category, primary: str) -> evidence.Cited:
    """Return the row that words a category: read for breast cancer, taken over to the others."""
    read = evidence.cite(f"stage/stage:{category}")
    return read if primary in read.text("primary").split(";") else evidence.cite(f"stage/stage:{category}:other")


def _source(rule: evidence.Cited) -> str:
    return f"{rule.citation} ({rule.identifier})" if rule.references else f"assumption: {rule.text('reason')}"


def _category(patient: Patient, distant: Sequence[Scan], with_cells: Sequence[Sample]) -> tuple[Category | None, str]:
    """Return the category, or None where it is left open, and the reason."""
    if distant:
        organs = ", ".join(dict.fromkeys(s.organ for s in distant))
        first = distant[0]
        when = f"{first.modality.replace('_', ' ')} of {first.date.isoformat()}"
        return "M1", f"Imaging shows lesions in: {organs} (first: {when}).{_after_diagnosis(patient, first)}"
    setting = patient.setting
    seen = "The imaging given shows no distant lesion" if patient.imaging else "No imaging is given"
    if setting not in (*NOT_METASTATIC, *_EITHER):
        return None, (
            f"{seen}, while the sheet's setting is {setting}: the category is left open. "
            "Tumour cells in the blood do not settle it."
        )
    if setting in _EITHER and not patient.imaging:
        return None, f"No imaging is given, and the setting {setting} leaves both open."
    why = f"{seen}" + ("" if patient.imaging else f", and the setting {setting} is not metastatic")
    if with_cells and patient.primary == "breast":
        return "cM0(i+)", f"{why}; tumour cells were found in: {', '.join(s.name for s in with_cells)}."
    if with_cells:
        return "M0", f"{why}. Tumour cells in the blood change nothing: (i+) is worded for breast cancer."
    return "M0", f"{why}; no sample holds more cells than blank samples do."


def _after_diagnosis(patient: Patient, first: Scan) -> str:
    days = (first.date - patient.diagnosed).days if patient.diagnosed else 0
    return f" That is {days} days after the diagnosis." if days > 0 else ""


def _visible(cascade: Cascade) -> tuple[Visible, ...]:
    """Return when which imaging would show a lesion founded at the latest sample, by the cascade."""
    return tuple(
        Visible(organ=organ.organ, **seen.model_dump())
        for organ in cascade.organs
        for seen in organ.time_to_detectability
    )
