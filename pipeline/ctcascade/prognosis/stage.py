"""The category of distant metastasis (M0, cM0(i+), M1) from imaging and counts, by the rules of the AJCC manual.

Imaging or a clinical finding makes M1; cells in the blood never do. They add (i+) to M0, which the manual words for
breast cancer. Of tumour and nodes the sheet holds nothing, so there is no stage group.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from ctcascade import evidence
from ctcascade.data.vocabulary import NOT_METASTATIC, OWN_ORGAN
from ctcascade.prognosis.rows import Draw
from ctcascade.study.sheets import Scan, read_imaging

_EITHER = ("advanced",)  # stage III to IV


def stage(
    patient: Mapping[str, Any], draws: Sequence[Draw], cascade: Mapping[str, Any], *, silent: bool
) -> dict[str, Any] | None:
    """Return the category with its wording, source and reason; None without a primary tumour.

    Parameters
    ----------
    patient : mapping
        A row of the patient sheet.
    draws : sequence of Draw
        The evaluable ones, by date.
    cascade : mapping
        The patient's cascade.json: when imaging would show a lesion that was founded at the latest sample.
    silent : bool
        The prognosis is refused: the times of the cascade are left out.

    Notes
    -----
    ``category`` is None where the sheet's setting says metastatic disease and no imaging in the sheet shows it: the
    one contradicts the other, or the proof is not in the sheet. Lesions in the primary tumour's own organ are not told
    from the tumour itself and are not counted as distant.
    """
    if patient["primary"] == "none":
        return None
    scans = read_imaging(patient.get("imaging"))
    own = OWN_ORGAN.get(patient["primary"])
    distant = [s for s in scans if s.lesions and s.organ != own]
    with_cells = [d for d in draws if d.counts["n_ctc"] and d.counts["above_blank"]]
    category, reason = _category(patient, scans, distant, with_cells)
    rule = None if category is None else evidence.cite(f"stage/stage:{category}")
    return {
        "category": category,
        "wording": "" if rule is None else rule.text("wording"),
        "reason": reason,
        "evidence_id": None if rule is None else rule.evidence_id,
        "source": "" if rule is None else f"{rule.citation} ({rule.identifier})",
        "imaging": [{**scan._asdict(), "date": scan.date.isoformat(), "distant": scan.organ != own} for scan in scans],
        "cells_in": [d.sample for d in with_cells],
        "visible": [] if silent else _visible(cascade),
    }


def _category(
    patient: Mapping[str, Any], scans: Sequence[Scan], distant: Sequence[Scan], with_cells: Sequence[Draw]
) -> tuple[str | None, str]:
    if distant:
        organs = ", ".join(dict.fromkeys(s.organ for s in distant))
        first = distant[0]
        when = f"{first.modality.replace('_', ' ')} of {first.date.isoformat()}"
        return "M1", f"Imaging shows lesions in: {organs} (first: {when}).{_after(patient, first)}"
    setting = patient["setting"]
    seen = "The imaging given shows no distant lesion" if scans else "No imaging is given"
    if setting not in (*NOT_METASTATIC, *_EITHER):
        return None, (
            f"{seen}, while the sheet's setting is {setting}: the category is left open. "
            "Tumour cells in the blood do not settle it."
        )
    if setting in _EITHER and not scans:
        return None, f"No imaging is given, and the setting {setting} leaves both open."
    why = f"{seen}" + ("" if scans else f", and the setting {setting} is not metastatic")
    if with_cells and patient["primary"] == "breast":
        return "cM0(i+)", f"{why}; tumour cells were found in: {', '.join(d.sample for d in with_cells)}."
    if with_cells:
        return "M0", f"{why}. Tumour cells in the blood change nothing: (i+) is worded for breast cancer."
    return "M0", f"{why}; no draw holds more cells than blank samples do."


def _after(patient: Mapping[str, Any], first: Scan) -> str:
    day = patient.get("diagnosed")
    if not day:
        return ""
    days = (first.date - date.fromisoformat(day)).days
    return f" That is {days} days after the diagnosis." if days > 0 else ""


def _visible(cascade: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return when which imaging would show a lesion founded at the latest sample, by the cascade."""
    return [{"organ": organ["organ"], **seen} for organ in cascade["organs"] for seen in organ["time_to_detectability"]]
