"""Counts of all samples as a laboratory domain (LB) of SDTM, in CDISC Dataset-JSON 1.1.

LB has no columns for an interval: the limits of an estimate are tests of their own. A sample that could not be
evaluated is ``NOT DONE`` with the reason and without a result. Test codes are this program's, not of CDISC's
controlled terminology.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ctcascade import __version__
from ctcascade.data import store
from ctcascade.data.errors import refuse
from ctcascade.data.results import Counts
from ctcascade.study.jobs import DatasetJob

_VERSION = "1.1.0"
_COUNT_LOINC = "67568-6"
_PER_TUBE = "/7.5 mL"


@dataclass(frozen=True)
class Column:
    """A variable of the domain: its name, label, type, and place among the keys."""

    name: str
    label: str
    kind: str = "string"
    key: int | None = None

    @property
    def as_json(self) -> dict[str, Any]:
        """The column as it is described in the file."""
        found = {"itemOID": f"IT.LB.{self.name}", "name": self.name, "label": self.label, "dataType": self.kind}
        return found if self.key is None else {**found, "keySequence": self.key}


COLUMNS = (
    Column("STUDYID", "Study Identifier", key=1),
    Column("DOMAIN", "Domain Abbreviation"),
    Column("USUBJID", "Unique Subject Identifier", key=2),
    Column("LBSEQ", "Sequence Number", "integer"),
    Column("LBREFID", "Specimen ID", key=5),
    Column("LBTESTCD", "Lab Test or Examination Short Name", key=3),
    Column("LBTEST", "Lab Test or Examination Name"),
    Column("LBCAT", "Category for Lab Test"),
    Column("LBORRES", "Result or Finding in Original Units"),
    Column("LBORRESU", "Original Units"),
    Column("LBSTRESC", "Character Result/Finding in Std Format"),
    Column("LBSTRESN", "Numeric Result/Finding in Standard Units", "double"),
    Column("LBSTRESU", "Standard Units"),
    Column("LBSTAT", "Completion Status"),
    Column("LBREASND", "Reason Test Not Done"),
    Column("LBSPEC", "Specimen Type"),
    Column("LBLOINC", "LOINC Code"),
    Column("LBMETHOD", "Method of Test or Examination"),
    Column("LBDTC", "Date/Time of Specimen Collection", key=4),
)


@dataclass(frozen=True)
class Test:
    """One result of a sample."""

    code: str
    name: str
    value: float
    unit: str
    loinc: str = ""


def write_dataset(job: DatasetJob, counts: Sequence[Path], out: Path) -> None:
    """Write the LB domain of all samples.

    Parameters
    ----------
    job : DatasetJob
        The study, and the time of making that the file states: no clock is read.
    counts : sequence of Path
        counts.json of the samples.
    out : Path
        JSON to write: equal inputs give equal bytes.

    Raises
    ------
    InputError
        If a result cannot be read, or a sample is given twice.

    References
    ----------
    CDISC Dataset-JSON 1.1 (2024), cdisc.org/standards/data-exchange/dataset-json; SDTM Implementation Guide 3.4, LB.
    """
    found: dict[str, Counts] = {}
    for path in counts:
        one = store.read_json(path, Counts)
        if one.sample in found:
            refuse(path, "sample", f"{one.sample} a second time", "each sample once", "give a sample once")
        found[one.sample] = one
    rows = [
        [row.get(column.name) for column in COLUMNS] for row in _rows(job.study_id, sorted(found.values(), key=_order))
    ]
    content = {
        "datasetJSONCreationDateTime": job.created,
        "datasetJSONVersion": _VERSION,
        "fileOID": f"{job.study_id}.LB",
        "originator": "ctcascade",
        "sourceSystem": {"name": "ctcascade", "version": __version__},
        "studyOID": job.study_id,
        "itemGroupOID": "IG.LB",
        "records": len(rows),
        "name": "LB",
        "label": "Laboratory Test Results",
        "columns": [column.as_json for column in COLUMNS],
        "rows": rows,
    }
    store.write_text(out, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def _order(one: Counts) -> tuple[str, str, str]:
    return one.patient, one.collected, one.sample


def _rows(study: str, samples: Sequence[Counts]) -> Iterator[dict[str, Any]]:
    numbers: dict[str, int] = {}
    for one in samples:
        about = {
            "STUDYID": study,
            "DOMAIN": "LB",
            "USUBJID": f"{study}-{one.patient}",
            "LBREFID": one.sample,
            "LBCAT": "CIRCULATING TUMOR CELLS",
            "LBSPEC": "BLOOD",
            "LBMETHOD": f"FLUORESCENCE IMAGES, ASSAY {one.assay}",
            "LBDTC": one.collected,
        }
        for result in _results(one):
            numbers[one.patient] = numbers.get(one.patient, 0) + 1
            yield {**about, "LBSEQ": numbers[one.patient], **result}


def _results(one: Counts) -> Iterator[dict[str, Any]]:
    """Yield the results of a sample; of one that could not be evaluated that it was not done, and why."""
    if one.status != "ok" or one.n_ctc is None:
        name = "Circulating Tumor Cells, Observed"
        yield {"LBTESTCD": "CTCOBS", "LBTEST": name, "LBSTAT": "NOT DONE", "LBREASND": one.reason or "NOT EVALUABLE"}
        return
    for test in _tests(one, one.n_ctc):
        text = f"{test.value:.15g}"
        result = {"LBTESTCD": test.code, "LBTEST": test.name, "LBORRES": text, "LBORRESU": test.unit}
        yield {
            **result,
            "LBSTRESC": text,
            "LBSTRESN": float(text),
            "LBSTRESU": test.unit,
            **({"LBLOINC": test.loinc} if test.loinc else {}),
        }


def _tests(one: Counts, n_ctc: int) -> Iterator[Test]:
    yield Test("CTCOBS", "Circulating Tumor Cells, Observed", n_ctc, f"/{one.blood_analysed_ml:.4g} mL", _COUNT_LOINC)
    yield Test("CTCBLVOL", "Blood Volume Analysed", one.blood_analysed_ml, "mL")
    for code, name, interval in (
        ("CTC", "Circulating Tumor Cells, Estimate", one.ctc_per_7_5_ml),
        ("CTCC", "CTC Clusters, Estimate", one.clusters_per_7_5_ml),
    ):
        if interval is not None:
            yield Test(f"{code}EST", name, interval.estimate, _PER_TUBE)
            for end, side, value in (("LOW", "Lower", interval.low), ("UPP", "Upper", interval.high)):
                about = f"{name.removesuffix(', Estimate')}, {side} {interval.level:.0%} Limit"
                yield Test(f"{code}{end}", about, value, _PER_TUBE)
