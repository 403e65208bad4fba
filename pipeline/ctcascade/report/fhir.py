"""Results as a FHIR R4B bundle of one patient: specimens, counts with intervals, risk where there is evidence.

What was refused is not in it: a sample that could not be evaluated has its specimen and no observation, and a prognosis
that was withheld no risk assessment. All is preliminary and says that it is for research use only.
"""

import json
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ctcascade import __version__
from ctcascade.data import store
from ctcascade.data.errors import Fault, plain, refuse, refuse_all
from ctcascade.data.results import Counts, Prognosis
from ctcascade.data.vocabulary import REFERENCE_VOLUME_ML

Resource = dict[str, Any]
_LOINC = "http://loinc.org"
_NCIT = "http://ncicb.nci.nih.gov/xml/owl/EVS/Thesaurus.owl"
_NCIT_COUNT = "C96593"  # Circulating Tumor Cell Count
_UCUM = "http://unitsofmeasure.org"
_NAMES = uuid.uuid5(uuid.NAMESPACE_URL, "ctcascade")
_ABSENT = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
_CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
_AGENT = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
_RESEARCH = "For research use only. Not for use in diagnostic procedures."
_COUNT_CODES = ("67568-6",)
_PROSTATE_CODE = "68123-9"
_MONTHS = (12, 24, 60)


def write_bundle(counts: Sequence[Path], prognosis: Path, sex: str, out: Path) -> None:
    """Write the FHIR R4B bundle of one patient.

    Parameters
    ----------
    counts : sequence of Path
        counts.json of the patient's samples.
    prognosis : Path
        prognosis.json of the patient.
    sex : {"female", "male"}
    out : Path
        JSON to write. Equal inputs give equal bytes: it holds no time of its making.

    Raises
    ------
    InputError
        If a result cannot be read or is of another patient, or a sample is given twice, whose observations would bear
        one code twice; or, where `fhir.resources` is installed, if the bundle does not validate.
    """
    found = [store.read_json(path, Counts) for path in counts]
    predicted = store.read_json(prognosis, Prognosis)
    for path, one in zip(counts, found, strict=True):
        if one.patient != predicted.patient:
            refuse(path, "patient", one.patient, predicted.patient, "give the samples of one patient")
    made = bundle(found, predicted, sex, {path.parent.name: store.file_hash(path) for path in counts})
    refuse_all(doubled(made, str(out)))
    fault = invalid(made)
    if fault:
        refuse(out, "", fault, "a bundle of FHIR R4B", "this is an error of the program: report it with the message")
    store.write_text(out, json.dumps(made, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def bundle(counts: Sequence[Counts], prognosis: Prognosis, sex: str, hashes: dict[str, str]) -> Resource:
    """Return the bundle as JSON types; `hashes` are of the results that it was made from, by sample."""
    patient = {
        "resourceType": "Patient",
        "id": _id("patient", prognosis.patient),
        "identifier": [{"value": prognosis.patient}],
        "gender": sex,
    }
    device = {
        "resourceType": "Device",
        "id": _id("device", "ctcascade"),
        "deviceName": [{"name": "ctcascade", "type": "model-name"}],
        "version": [{"value": __version__}],
        "note": [{"text": _RESEARCH}],
    }
    entries: list[Resource] = [patient, device]
    about = {"subject": _to(patient)}
    observed: list[Resource] = []
    for one in counts:
        specimen = _specimen(one, about)
        seen = list(_observations(one, prognosis.primary, about, specimen, device))
        entries += [specimen, *seen]
        if seen:
            entries.append(_report(one, about, specimen, seen))
        observed += [resource for resource in seen if one.sample == prognosis.sample]
    if prognosis.status == "ok" and prognosis.survival and observed:
        entries.append(_risk(prognosis, about, observed))
    entries.append(_provenance(entries[2:], device, hashes))
    return {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [{"fullUrl": f"urn:uuid:{resource['id']}", "resource": resource} for resource in entries],
    }


def doubled(made: Resource, file: str) -> list[Fault]:
    """Return a fault for each code that one specimen has in two observations."""
    seen: dict[tuple[str, str], int] = {}
    for entry in made["entry"]:
        resource = entry["resource"]
        if resource["resourceType"] == "Observation":
            codes = [c["code"] for c in resource["code"].get("coding", [])] or [resource["code"]["text"]]
            for code in codes:
                key = (resource["specimen"]["display"], code)
                seen[key] = seen.get(key, 0) + 1
    return [
        Fault(
            file, f"specimen {plain(name)}", f"the code {plain(code)} {n} times", "each code once", "give a sample once"
        )
        for (name, code), n in seen.items()
        if n > 1
    ]


def invalid(made: Resource) -> str:
    """Return what is wrong with a bundle by `fhir.resources`; empty where nothing is, or the library is not there."""
    try:
        from fhir.resources.R4B.bundle import Bundle  # noqa: PLC0415  (optional, and slow to load)
    except ImportError:
        return ""
    try:
        Bundle.model_validate(made)
    except ValueError as error:
        return str(error)
    return ""


def _specimen(one: Counts, about: Resource) -> Resource:
    return {
        "resourceType": "Specimen",
        "id": _id("specimen", one.sample),
        "identifier": [{"value": one.sample}],
        "type": {"text": "blood"},
        **about,
        "collection": {
            "collectedDateTime": one.collected,
            "quantity": _quantity(one.blood_volume_ml, "mL", "mL"),
        },
    }


def _observations(
    one: Counts, primary: str, about: Resource, specimen: Resource, device: Resource
) -> Iterator[Resource]:
    """Yield the observed count, and the estimates with intervals; nothing of a sample that could not be evaluated.

    The codes of LOINC are of a number in a volume, so the observed count is one in the blood that was analysed: 4 in
    2 mL must not be read as 4 in 7.5 mL.
    """
    if one.status != "ok" or one.n_ctc is None:
        return
    common = {
        **about,
        "resourceType": "Observation",
        "status": "preliminary",
        "category": [{"coding": [{"system": _CATEGORY, "code": "laboratory"}]}],
        "effectiveDateTime": one.collected,
        "specimen": {**_to(specimen), "display": one.sample},
        "device": _to(device),
        "method": {"text": f"fluorescence images, assay {one.assay}"},
        "note": [{"text": _RESEARCH}],
    }
    codes = [*_COUNT_CODES, *([_PROSTATE_CODE] if primary == "prostate" else [])]
    yield {
        **common,
        "id": _id("count", one.sample),
        "code": {
            "coding": [{"system": _LOINC, "code": c} for c in codes],
            "text": "Circulating tumour cells, observed",
        },
        "valueQuantity": _quantity(one.n_ctc, f"per {one.blood_analysed_ml:.4g} mL", _in_blood(one.blood_analysed_ml)),
        "component": [_part("blood analysed", _quantity(one.blood_analysed_ml, "mL", "mL"))],
    }
    for name, code, text, interval in (
        ("ctc_per_7_5_ml", _NCIT_COUNT, "Circulating tumour cells in 7.5 mL of blood, estimate", one.ctc_per_7_5_ml),
        (
            "clusters_per_7_5_ml",
            "",
            "Clusters of circulating tumour cells in 7.5 mL of blood, estimate",
            one.clusters_per_7_5_ml,
        ),
    ):
        if interval is not None:
            yield {
                **common,
                "id": _id(name, one.sample),
                "code": {"coding": [{"system": _NCIT, "code": code}], "text": text} if code else {"text": text},
                "valueQuantity": _quantity(interval.estimate, "per 7.5 mL", _in_blood(REFERENCE_VOLUME_ML)),
                "component": [
                    _part(
                        f"{side} limit of the {interval.level:.0%} interval",
                        _quantity(value, "per 7.5 mL", _in_blood(REFERENCE_VOLUME_ML)),
                    )
                    for side, value in (("lower", interval.low), ("upper", interval.high))
                ],
            }


def _part(text: str, quantity: Resource) -> Resource:
    return {"code": {"text": text}, "valueQuantity": quantity}


def _quantity(value: float, unit: str, code: str) -> Resource:
    return {"value": value, "unit": unit, "system": _UCUM, "code": code}


def _in_blood(volume_ml: float) -> str:
    """Return the UCUM unit of a number in this much blood: UCUM has whole numbers only, so microlitres."""
    return f"/({round(1000 * volume_ml)}.uL)"


def _report(one: Counts, about: Resource, specimen: Resource, seen: Sequence[Resource]) -> Resource:
    return {
        "resourceType": "DiagnosticReport",
        "id": _id("report", one.sample),
        "status": "preliminary",
        "code": {"text": "Circulating tumour cell count"},
        **about,
        "effectiveDateTime": one.collected,
        "specimen": [_to(specimen)],
        "result": [_to(resource) for resource in seen],
        "conclusion": _RESEARCH,
    }


def _risk(prognosis: Prognosis, about: Resource, observed: Sequence[Resource]) -> Resource:
    """Return the survival of the published group as risks of its end point, by time; no forecast of one person."""
    points = {point.time_months: point for point in prognosis.survival}
    shown = [points[month] for month in _MONTHS if month in points] or [prognosis.survival[-1]]
    return {
        "resourceType": "RiskAssessment",
        "id": _id("risk", prognosis.patient),
        "status": "preliminary",
        **about,
        "method": {"text": "survival of published groups with such counts; no forecast of one person"},
        "basis": [_to(resource) for resource in observed],
        "prediction": [
            {
                "outcome": {"text": f"end of {prognosis.endpoint} in the published group"},
                "probabilityDecimal": 1 - point.p,
                "whenRange": {"high": _quantity(point.time_months, "months", "mo")},
                "rationale": f"{prognosis.level:.0%} band {1 - point.high:.3g} to {1 - point.low:.3g}",
            }
            for point in shown
        ],
        "note": [{"text": f"{_RESEARCH} Evidence: {', '.join(prognosis.evidence_ids)}."}],
    }


def _provenance(about: Sequence[Resource], device: Resource, hashes: dict[str, str]) -> Resource:
    """Return what made the resources. It states no time: equal inputs give equal bytes."""
    return {
        "resourceType": "Provenance",
        "id": _id("provenance", "+".join(sorted(hashes))),
        "target": [_to(resource) for resource in about],
        "_recorded": {"extension": [{"url": _ABSENT, "valueCode": "not-applicable"}]},
        "agent": [{"type": {"coding": [{"system": _AGENT, "code": "assembler"}]}, "who": _to(device)}],
        "entity": [
            {
                "role": "source",
                "what": {"display": f"counts.json of {name}", "identifier": {"value": f"sha256:{digest}"}},
            }
            for name, digest in sorted(hashes.items())
        ],
    }


def _to(resource: Resource) -> Resource:
    return {"reference": f"urn:uuid:{resource['id']}"}


def _id(kind: str, name: str) -> str:
    return str(uuid.uuid5(_NAMES, f"{kind}/{name}"))
