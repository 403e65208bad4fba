"""A patient's results for other systems: a FHIR R4B bundle that validates, and a table of all numbers."""

import csv
import json
import re

import pytest
from fhir.resources.R4B.bundle import Bundle

from ctcascade.data.errors import InputError
from ctcascade.data.results import Exchanged
from ctcascade.report import dataset_json, exchange, fhir, numbers_csv
from ctcascade.study import jobs
from ctcascade.validation import origins
from tests.support import report_cases as cases
from tests.support.json_results import write_result

pytestmark = pytest.mark.unit


def quantities(data):
    """Return all quantities in a bundle."""
    if isinstance(data, dict):
        own = [data] if "value" in data and "unit" in data else []
        return own + [q for v in data.values() for q in quantities(v)]
    return [q for v in data for q in quantities(v)] if isinstance(data, list) else []


def written(place, *samples, prognosis=None, sex="female"):
    """Return the bundle and the table of a patient with these counts."""
    paths = []
    for k, sample in enumerate(samples):
        (place / f"d{k}").mkdir()
        paths.append(place / f"d{k}" / "counts.json")
        write_result(paths[-1], "counts", sample)
    write_result(place / "cascade.json", "cascade", cases.cascade("P1", [s["sample"] for s in samples]))
    write_result(place / "prognosis.json", "prognosis", prognosis or cases.prognosis("P1", samples[0]["sample"]))
    fhir.write_bundle(paths, place / "prognosis.json", sex, place / "out.fhir.json")
    numbers_csv.write_numbers(paths, place / "cascade.json", place / "prognosis.json", place / "out.csv")
    with open(place / "out.csv", encoding="utf-8", newline="") as handle:
        table = list(csv.DictReader(handle))
    return json.loads((place / "out.fhir.json").read_text(encoding="utf-8")), table


def of_type(bundle, kind):
    return [e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == kind]


@pytest.mark.oracle
def test_the_bundle_validates_and_holds_the_numbers_of_the_results(tmp_path):
    sample, prognosis = cases.counts("S1", "P1", 6), cases.prognosis("P1", "S1")
    bundle, _ = written(tmp_path, sample)
    Bundle.model_validate(bundle)
    count, estimate, clusters = of_type(bundle, "Observation")
    assert [c["code"] for c in count["code"]["coding"]] == ["67568-6"]
    assert (count["valueQuantity"]["value"], count["status"]) == (6, "preliminary")
    analysed = 1000 * sample["blood_volume_ml"] * sample["imaged_fraction"] * sample["sampled_fraction"]
    assert count["valueQuantity"]["code"] == f"/({analysed:.0f}.uL)"
    assert [c["code"] for c in estimate["code"]["coding"]] == ["C96593"]  # NCIt: Circulating Tumor Cell Count
    interval = sample["ctc_per_7_5_ml"]
    assert estimate["valueQuantity"]["value"] == interval["estimate"]
    assert [c["valueQuantity"]["value"] for c in estimate["component"]] == [interval["low"], interval["high"]]
    assert clusters["valueQuantity"]["value"] == sample["clusters_per_7_5_ml"]["estimate"]
    (specimen,) = of_type(bundle, "Specimen")
    assert specimen["collection"]["collectedDateTime"] == sample["collected"]
    (risk,) = of_type(bundle, "RiskAssessment")
    at = {p["time_months"]: p["p"] for p in prognosis["survival"]}
    assert [p["probabilityDecimal"] for p in risk["prediction"]] == pytest.approx(
        [1 - at[p["whenRange"]["high"]["value"]] for p in risk["prediction"]]
    )
    (report,) = of_type(bundle, "DiagnosticReport")
    assert report["status"] == "preliminary"
    assert "research use only" in report["conclusion"]
    assert len(of_type(bundle, "Provenance")[0]["target"]) == len(bundle["entry"]) - 3


def test_every_reference_is_to_a_resource_of_the_bundle(tmp_path):
    bundle, _ = written(tmp_path, cases.counts("S1", "P1", 6), cases.counts("S2", "P1", 0, "2026-03-01"))
    there = {entry["fullUrl"] for entry in bundle["entry"]}
    assert len(there) == len(bundle["entry"])

    def references(data):
        if isinstance(data, dict):
            return [v for k, v in data.items() if k == "reference"] + [r for v in data.values() for r in references(v)]
        return [r for v in data for r in references(v)] if isinstance(data, list) else []

    assert set(references(bundle)) <= there


def test_every_quantity_has_its_unit_in_ucum(tmp_path):
    few = cases.counts("S1", "P1", 4, blood_volume_ml=2.0, imaged_fraction=1.0)
    bundle, _ = written(tmp_path, few)
    found = quantities(bundle)
    assert len(found) > 8
    for quantity in found:
        assert quantity["system"] == "http://unitsofmeasure.org"
        assert re.fullmatch(r"mL|mo|/\([0-9]+\.uL\)", quantity["code"])
    assert of_type(bundle, "Observation")[0]["valueQuantity"] == {
        "value": 4,
        "unit": "per 2 mL",
        "system": "http://unitsofmeasure.org",
        "code": "/(2000.uL)",
    }


@pytest.mark.parametrize("status", ["withheld", "no_evidence", "relative_only"])
def test_what_was_refused_is_not_there(tmp_path, status):
    refused = cases.prognosis("P1", "S1", status=status, reason="because", survival=[])
    bundle, _ = written(tmp_path, cases.counts("S1", "P1", 6), prognosis=refused)
    Bundle.model_validate(bundle)
    assert of_type(bundle, "RiskAssessment") == []
    assert len(of_type(bundle, "Observation")) == 3


def test_of_a_sample_without_a_count_there_is_a_specimen_and_nothing_else(tmp_path):
    nothing = dict.fromkeys(
        ("n_ctc", "n_clusters", "n_leukocytes", "n_uncertain", "above_blank", "ctc_per_7_5_ml", "clusters_per_7_5_ml")
    )
    failed = {**cases.counts("S1", "P1", 0), **nothing, "status": "not_evaluable", "reason": "no frame"}
    bundle, _ = written(tmp_path, failed)
    Bundle.model_validate(bundle)
    kinds = [entry["resource"]["resourceType"] for entry in bundle["entry"]]
    assert kinds == ["Patient", "Device", "Specimen", "Provenance"]


def test_prostate_has_its_own_code_beside_the_general_one(tmp_path):
    other = cases.prognosis("P1", "S1", primary="prostate", setting="mcrpc")
    bundle, _ = written(tmp_path, cases.counts("S1", "P1", 6), prognosis=other, sex="male")
    assert [c["code"] for c in of_type(bundle, "Observation")[0]["code"]["coding"]] == ["67568-6", "68123-9"]


def test_a_sample_given_twice_would_have_a_code_twice_and_is_refused(tmp_path):
    with pytest.raises(InputError, match="specimen S1: found the code 67568-6 2 times; expected each code once"):
        written(tmp_path, cases.counts("S1", "P1", 6), cases.counts("S1", "P1", 6))


def test_samples_of_another_patient_are_refused(tmp_path):
    with pytest.raises(InputError, match="patient: found P2; expected P1"):
        written(tmp_path, cases.counts("S1", "P1", 6), cases.counts("S9", "P2", 6))


def test_a_cascade_of_another_patient_is_refused(tmp_path):
    written(tmp_path, cases.counts("S1", "P1", 6))
    write_result(tmp_path / "cascade.json", "cascade", cases.cascade("P2", ["S1"]))
    places = (tmp_path / name for name in ("cascade.json", "prognosis.json", "again.csv"))
    with pytest.raises(InputError, match=r"cascade\.json: patient: found P2; expected P1"):
        numbers_csv.write_numbers([tmp_path / "d0" / "counts.json"], *places)
    assert not (tmp_path / "again.csv").exists()


def test_a_broken_bundle_is_found(tmp_path):
    bundle, _ = written(tmp_path, cases.counts("S1", "P1", 6))
    assert fhir.invalid(bundle) == ""
    del of_type(bundle, "Observation")[0]["status"]
    assert "status" in fhir.invalid(bundle)


def test_equal_inputs_give_equal_bytes(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        written(tmp_path / name, cases.counts("S1", "P1", 6))
    one, other = ((tmp_path / name / "out.fhir.json").read_bytes() for name in ("a", "b"))
    assert one == other


def test_the_table_has_one_row_a_number_with_interval_and_unit(tmp_path):
    sample = cases.counts("S1", "P1", 6)
    _, table = written(tmp_path, sample)
    rows = {(row["result"], row["key"]): row for row in table}
    assert len(rows) == len(table)
    interval = sample["ctc_per_7_5_ml"]
    row = rows["counts", "ctc_per_7_5_ml"]
    assert [float(row[k]) for k in ("value", "low", "high", "level")] == [
        interval[k] for k in ("estimate", "low", "high", "level")
    ]
    assert row["unit"] == "cells per 7.5 mL of blood"
    assert (rows["counts", "n_ctc"]["value"], rows["counts", "n_ctc"]["unit"]) == ("6", "1")
    assert rows["counts", "blood_volume_ml"]["unit"] == "mL"
    assert rows["counts", "recovery"]["low"] == "0.6"
    assert any(key.startswith("organs.") for result, key in rows if result == "cascade")
    assert not any("provenance" in key for _, key in rows)


def record(place, *samples):
    """Return a run's folder with these counts and what `exchange` makes of them."""
    paths = []
    for data in samples:
        (place / "samples" / data["sample"]).mkdir(parents=True)
        paths.append(place / "samples" / data["sample"] / "counts.json")
        write_result(paths[-1], "counts", data)
    of_patient, out = place / "patients" / "P1", place / "exchange"
    of_patient.mkdir(parents=True)
    write_result(of_patient / "cascade.json", "cascade", cases.cascade("P1", [d["sample"] for d in samples]))
    write_result(of_patient / "prognosis.json", "prognosis", cases.prognosis("P1", samples[0]["sample"]))
    job = jobs.ExchangeJob(patient="P1", sex="female")
    made = (out / "P1.fhir.json", out / "P1.csv", out / "P1.origin.json")
    exchange.exchange(job, paths, of_patient / "cascade.json", of_patient / "prognosis.json", *made)
    study = jobs.DatasetJob(samples=tuple(d["sample"] for d in samples))
    exchange.exchange_study(study, paths, out / "study" / "lb.json", out / "study" / "lb.origin.json")
    return place


def said_of(place):
    """Return what is wrong with the records of a run, by file."""
    items = [*origins.of_patient(place, "P1", ["S1"]), *origins.of_run(place, ["S1"], ["P1"], [])]
    return {item.path.name: origins.fault_of(item) for item in items if item.kind is Exchanged}


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("samples/S1/counts.json", {"P1.origin.json": "another counts/S1", "lb.origin.json": "another counts/S1"}),
        ("patients/P1/prognosis.json", {"P1.origin.json": "another prognosis"}),
        ("exchange/P1.fhir.json", {"P1.origin.json": "another FHIR bundle"}),
        ("exchange/P1.csv", {"P1.origin.json": "another table of numbers"}),
        ("exchange/study/lb.json", {"lb.origin.json": "another Dataset-JSON"}),
    ],
)
def test_what_was_made_from_another_count_or_was_edited_is_named(tmp_path, file, said):
    place = record(tmp_path, cases.counts("S1", "P1", 6))
    assert said_of(place) == {"P1.origin.json": "", "lb.origin.json": ""}
    changed = place / file
    changed.write_text(changed.read_text(encoding="utf-8").replace("6", "7", 1), encoding="utf-8")
    found = said_of(place)
    for name, fault in found.items():
        assert (said[name] in fault) if name in said else fault == ""


# Dataset-JSON 1.1 by its specification (cdisc.org/standards/data-exchange/dataset-json): what must be there, and types
_TOP = ("datasetJSONCreationDateTime", "datasetJSONVersion", "itemGroupOID", "records", "name", "label", "columns")
_MORE = (
    *("fileOID", "dbLastModifiedDateTime", "originator", "sourceSystem", "studyOID"),
    *("metaDataVersionOID", "metaDataRef", "rows"),
)
_COLUMN = ("itemOID", "name", "label", "dataType")
_TYPES = ["string", "integer", "decimal", "float", "double", "boolean", "datetime", "date", "time", "URI"]


def test_the_dataset_keeps_the_rules_of_dataset_json_and_sdtm(tmp_path):
    sure = cases.counts("S1", "P1", 6)
    none = cases.counts("S2", "P2", 0, "2026-03-01") | {"status": "not_evaluable", "reason": "blank", "n_ctc": None}
    data = json.loads((record(tmp_path, none | {"patient": "P1"}, sure) / "exchange/study/lb.json").read_text("utf-8"))
    assert set(_TOP) <= set(data) <= {*_TOP, *_MORE}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ?", data["datasetJSONCreationDateTime"])
    assert re.fullmatch(r"1\.1(\.\d+)?", data["datasetJSONVersion"])
    assert set(data["sourceSystem"]) == {"name", "version"}
    for column in data["columns"]:
        assert set(_COLUMN) <= set(column) <= {*_COLUMN, "targetDataType", "length", "displayFormat", "keySequence"}
        assert column["dataType"] in _TYPES
        assert len(column["name"]) <= 8  # of SDTM: SAS transport, version 5
        assert len(column["label"]) <= 40
    names = [column["name"] for column in data["columns"]]
    assert len(set(names)) == len(names)
    assert data["records"] == len(data["rows"]) == 9
    kinds = {"string": str, "integer": int, "double": float}
    for row in data["rows"]:
        for column, value in zip(data["columns"], row, strict=True):
            assert value is None or type(value) is kinds[column["dataType"]]
    rows = [dict(zip(names, row, strict=True)) for row in data["rows"]]
    assert [row["LBSEQ"] for row in rows] == [*range(1, 10)]
    assert len({tuple(row[k] for k in ("USUBJID", "LBTESTCD", "LBDTC", "LBREFID")) for row in rows}) == 9
    assert all(len(row["LBTESTCD"]) <= 8 and len(row["LBTEST"]) <= 40 for row in rows)
    (not_done,) = (row for row in rows if row["LBSTAT"])
    assert (not_done["LBSTAT"], not_done["LBREASND"], not_done["LBORRES"]) == ("NOT DONE", "blank", None)
    by_code = {row["LBTESTCD"]: row for row in rows if row["LBREFID"] == "S1"}
    assert (by_code["CTCOBS"]["LBSTRESN"], by_code["CTCOBS"]["LBLOINC"]) == (6.0, "67568-6")
    interval = sure["ctc_per_7_5_ml"]
    for code, end in (("CTCEST", "estimate"), ("CTCLOW", "low"), ("CTCUPP", "high")):
        assert by_code[code]["LBSTRESN"] == pytest.approx(interval[end], rel=1e-12)
        assert by_code[code]["LBSTRESC"] == f"{interval[end]:.15g}"
    assert by_code["CTCEST"]["USUBJID"] == "STUDY-P1"


def test_a_sample_twice_in_the_dataset_is_refused(tmp_path):
    write_result(tmp_path / "counts.json", "counts", cases.counts("S1", "P1", 6))
    with pytest.raises(InputError, match="S1 a second time; expected each sample once"):
        dataset_json.write_dataset(
            jobs.DatasetJob(samples=("S1",)), [tmp_path / "counts.json"] * 2, tmp_path / "lb.json"
        )
