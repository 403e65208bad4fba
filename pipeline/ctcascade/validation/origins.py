"""Each result of a run, of which kind it is, and the files that it says it was made from."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ctcascade.data import lineage, store
from ctcascade.data.errors import InputError
from ctcascade.data.results import (
    Cascade,
    Controls,
    Counts,
    Exchanged,
    FollowUp,
    LocalCalibration,
    Operator,
    Prognosis,
    Provenance,
    Quality,
    Recovery,
    Replicates,
    ResultFile,
    SharedPixels,
    Validation,
)

_TABLES = {
    **dict.fromkeys(("frames", "cells", "outlines", "overview"), "detect"),
    "calls": "classify",
    "crops": "crops",
}
_LARGE = ("cells", "outlines")


@dataclass(frozen=True)
class Item:
    """A result: what its name says it is.

    Attributes
    ----------
    path : Path
    stage : str
        That makes it: a key of `fingerprint.STAGES`.
    kind : type of ResultFile, or None
        Of a JSON result; None for a table or a page, which their names tell apart.
    about : dict of str to str
        The sample, patient or assay that it is of; empty for one of the run.
    sources : dict of str to Path
        By the role that its provenance gives to each.
    """

    path: Path
    stage: str
    kind: type[ResultFile] | None
    about: Mapping[str, str]
    sources: Mapping[str, Path]

    @property
    def made_by(self) -> Provenance:
        """What made it; an `InputError` where it is not whole, or not of its kind."""
        if self.path.suffix == ".parquet":
            return store.table_provenance(self.path)
        return store.text_provenance(self.path, self.kind)

    def changed_source(self, made_by: Provenance, *, small_only: bool = False) -> str:
        """Return the role of a file that is another one now than it was made from; empty where none is."""
        for role, source in self.sources.items():
            said = made_by.inputs.get(role, "")
            if said and not (small_only and role in _LARGE) and (not source.exists() or lineage.digest(source) != said):
                return role
        return ""


def of_sample(results: Path, sample: str) -> Iterator[Item]:
    """Yield what a run says of a sample."""
    folder = results / "samples" / sample
    beside: dict[str, Path] = {name: folder / f"{name}.parquet" for name in _TABLES}
    beside |= {name: folder / f"{name}.json" for name in ("counts", "quality", "operator")}
    beside |= {"gallery.js": folder / "gallery.js", "controls": results / Controls.file_name}
    about = {"sample": sample}
    for name, stage in _TABLES.items():
        yield Item(beside[name], stage, None, about, beside)
    for chunk in sorted(folder.glob("chunks/*.parquet")):
        yield Item(chunk, "detect", None, about, {})
    for kind, stage in ((Counts, "count"), (Quality, "quality"), (Operator, "operator")):
        yield Item(folder / kind.file_name, stage, kind, about, beside)
    yield Item(folder / "report.html", "report", None, about, beside)


def of_patient(results: Path, patient: str, samples: list[str]) -> Iterator[Item]:
    """Yield what a run says of a patient, who has these samples."""
    folder, about = results / "patients" / patient, {"patient": patient}
    beside = {"cascade": folder / Cascade.file_name, "prognosis": folder / Prognosis.file_name}
    beside["controls"] = results / Controls.file_name
    for sample in samples:
        own = results / "samples" / sample
        beside |= dict.fromkeys((f"counts/{sample}", f"counts of {sample}"), own / Counts.file_name)
        beside[f"quality of {sample}"] = own / Quality.file_name
    yield Item(folder / Cascade.file_name, "simulate", Cascade, about, beside)
    yield Item(folder / Prognosis.file_name, "prognose", Prognosis, about, beside)
    yield Item(folder / "report.html", "report", None, about, beside)
    place = results / "exchange"
    beside |= {"FHIR bundle": place / f"{patient}.fhir.json", "table of numbers": place / f"{patient}.csv"}
    yield Item(place / f"{patient}.{Exchanged.file_name}", "exchange", Exchanged, about, beside)


def of_run(results: Path, samples: list[str], patients: list[str], assays: list[str]) -> Iterator[Item]:
    """Yield what a run says of all samples and patients, and of what lies beside its flow."""
    beside = {name: results / name for name in ("cohort.csv", "qc_mqc.tsv")}
    beside |= {"controls": results / Controls.file_name, "cohort": results / FollowUp.file_name}
    beside |= {f"counts/{name}": results / "samples" / name / Counts.file_name for name in samples}
    beside |= {f"prognosis/{name}": results / "patients" / name / Prognosis.file_name for name in patients}
    yield Item(results / Controls.file_name, "controls", Controls, {}, {})
    yield Item(results / SharedPixels.file_name, "compare", SharedPixels, {}, {})
    yield Item(results / "index.html", "report", None, {}, beside)
    yield Item(results / FollowUp.file_name, "cohort", FollowUp, {}, {})
    yield Item(results / "cohort.html", "page", None, {}, beside)
    beside["Dataset-JSON"] = results / "exchange" / "study" / "lb.json"
    yield Item(beside["Dataset-JSON"].with_suffix(f".{Exchanged.file_name}"), "dataset", Exchanged, {}, beside)
    for assay in assays:
        place = results / "recovery" / f"{assay}.json"
        yield Item(place, "recovery", Recovery, {"assay": assay}, {})
        yield Item(place.with_suffix(".html"), "page", None, {"assay": assay}, {"recovery": place})
        place = results / "calibration" / f"{assay}.json"
        calls = {f"calls/{name}": results / "samples" / name / "calls.parquet" for name in samples}
        yield Item(place, "calibrate", LocalCalibration, {"assay": assay}, calls)
        yield Item(place.with_suffix(".html"), "page", None, {"assay": assay}, {"calibration": place})
        place = results / "validation" / f"{assay}.json"
        made = results / "validation" / "in_silico" / f"{assay}.json"
        yield Item(made, "replicates", Replicates, {"assay": assay}, {})
        tubes = {role: path for role, path in beside.items() if role.startswith("counts/")}
        tubes |= {"replicates": made, "validated assay": place.with_name(f"{assay}_validated.yaml")}
        yield Item(place, "validation", Validation, {"assay": assay}, tubes)
        yield Item(place.with_suffix(".html"), "page", None, {"assay": assay}, {"validation": place})


def fault_of(item: Item) -> str:
    """Return what is wrong with a result by itself and beside the files it was made from; empty where nothing is."""
    try:
        made_by = item.made_by
    except InputError as error:
        return error.faults[0].found
    changed = item.changed_source(made_by)
    if changed:
        return f"made from another {changed} than {item.sources[changed]}"
    named = made_by.settings.get("sample")
    if isinstance(named, str) and named != item.about.get("sample", named):
        return f"a result of the sample {named}"
    patient = made_by.settings.get("patient")
    if isinstance(patient, dict) and "patient" in item.about and patient.get("patient") != item.about["patient"]:
        return f"a result of the patient {patient.get('patient')}"
    return ""
