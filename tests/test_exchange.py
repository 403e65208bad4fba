"""A patient's results for other systems: a FHIR R4B bundle that validates, and a table of all numbers."""

import csv
import json

import pytest
from fhir.resources.R4B.bundle import Bundle

from ctcascade.data.errors import InputError
from ctcascade.report import fhir, numbers_csv
from tests.support import report_cases as cases
from tests.support.json_results import write_result

pytestmark = pytest.mark.unit


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
    assert (count["valueInteger"], count["status"]) == (6, "preliminary")
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
