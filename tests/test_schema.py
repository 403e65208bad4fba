"""The names that others build on. A change here breaks someone's script: add, do not rename."""

import jsonschema
import pytest
from pydantic import ValidationError

from ctcascade.data import results, tables, vocabulary

pytestmark = pytest.mark.unit

FILES = {file.file_name.removesuffix(".json"): file for file in results.FILES}
COLUMNS = {
    "frames": """
        frame path part usable reason flags height_px width_px pixel_size_um y_um x_um frame_area_um2 area_um2 n_cells
        scale_bits size_from channels_from page_order exposure_ms pixels_digest
        focus saturation background {role}_background {role}_noise {role}_focus {role}_saturation
    """,
    "cells": """
        frame cell y_px x_px y0_px x0_px y1_px x1_px touches_border area_um2 equivalent_diameter_um
        perimeter_um p2a eccentricity solidity nucleus_area_um2 nucleus_perimeter_um nucleus_p2a
        nucleus_eccentricity nucleus_solidity contacts contact_gaps_um {role}_mean {role}_max {role}_std
        {role}_sum {role}_nucleus_mean {role}_cytoplasm_mean {role}_ring_mean {role}_overlap {role}_fill
        {role}_high {role}_nucleus_std {role}_dna_correlation marker_correlation nucleus_twin nucleus_fragments
        nucleus_largest_share nucleus_lit_um2
    """,
    "calls": """
        frame cell y_px x_px call p_ctc cluster with_leukocyte at_border reason gates_p_ctc judge_ln_ratio
        judge_reason p_ctc_in_sample unlike unlike_rank
    """,
}
KEYS = {
    "counts": """
        sample patient collected assay role note status reason n_frames n_frames_usable n_cells n_ctc
        n_clusters n_ctc_leukocyte_groups n_leukocytes n_uncertain cluster_sizes clusters_with_leukocytes
        blood_volume_ml sampled_fraction imaged_fraction recovery sensitivity background_per_7_5_ml
        reference_equivalent ctc_per_7_5_ml clusters_per_7_5_ml ctc_per_ml ctc_quantiles_per_7_5_ml
        cluster_quantiles_per_7_5_ml p_at_least limit_of_blank above_blank assumptions provenance
    """,
    "cascade": """
        patient primary status reason latest_sample samples organs p_any level flow p_founding_per_ctc
        share_due_to_clusters prior_dominated switched_off outside_the_model evidence_ids
        assumptions provenance
    """,
    "operator": """
        sample status reason compared provenance
    """,
    "controls": """
        charts provenance
    """,
    "shared_pixels": """
        shared provenance
    """,
    "prognosis": """
        patient primary setting status reason sample time_zero endpoint cutoff n_ctc_observed horizon_months
        level survival strata other_rows sensitivity relative negative_findings kinetics evidence_ids
        assumptions provenance
    """,
    "cohort": """
        level min_events advised_events n_patients left_out groups provenance
    """,
}


@pytest.mark.parametrize("table", COLUMNS)
def test_no_column_is_lost_or_renamed(table):
    found = [c.name for c in (*tables.TABLES[table].columns, *tables.TABLES[table].per_role)]
    assert [name for name in COLUMNS[table].split() if name not in found] == []


@pytest.mark.parametrize("result", KEYS)
def test_no_key_is_lost_or_renamed(result):
    assert [key for key in KEYS[result].split() if key not in FILES[result].model_json_schema()["required"]] == []


def test_words_and_numbers_that_others_build_on():
    assert vocabulary.ROLES == ("dna", "ck", "cd45")
    assert vocabulary.CALLS == ("ctc", "leukocyte", "double_positive", "dna_only", "debris", "uncertain")
    assert vocabulary.ORGANS == ("lung", "liver", "bone", "brain", "adrenal", "kidney", "other")
    assert vocabulary.CUTOFFS == (1, 2, 3, 5, 15, 50)
    assert vocabulary.HORIZONS_YEARS == (1, 2, 5)
    primaries = """
        breast prostate colon rectum lung_nsclc lung_sclc melanoma pancreas stomach oesophagus kidney bladder ovary
        liver other none
    """
    assert set(vocabulary.SETTINGS) == set(primaries.split())
    assert vocabulary.SETTINGS["prostate"] == ("early", "metastatic", "localized", "mhspc", "mcrpc")
    assert vocabulary.SUBTYPES == {"breast": ("hr_pos_her2_neg", "her2_pos", "tnbc")}


@pytest.mark.parametrize("table", tables.TABLES.values(), ids=tables.TABLES)
def test_every_column_has_a_meaning_and_y_comes_before_x(table):
    columns = table.for_roles(["dna", "her2"])
    names = [c.name for c in columns]
    assert len(set(names)) == len(names)
    assert all(c.meaning and c.dtype in ("str", "bool", "int", "float", "ints", "floats", "bytes") for c in columns)
    assert all(names.index(y) < names.index(y.replace("y", "x", 1)) for y in names if y in ("y_px", "y0_px", "y1_px"))


def test_roles_are_read_off_the_columns():
    names = [c.name for c in tables.CELLS.for_roles(["dna", "ck", "cd45", "fitc"])]
    assert [c.name for c in tables.CELLS.for_names(names)] == names
    assert [c.name for c in tables.FRAMES.for_names(["frame"])] == [c.name for c in tables.FRAMES.columns]


@pytest.mark.parametrize("result", FILES.values(), ids=FILES)
def test_a_result_takes_no_other_key_and_says_what_each_means(result):
    schema = result.model_json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    objects = [schema, *(part for part in schema["$defs"].values() if part["type"] == "object")]
    assert [part["title"] for part in objects if part["additionalProperties"] is not False] == []
    described = [
        (part["title"], key) for part in objects for key, v in part["properties"].items() if "description" in v
    ]
    assert described == [(part["title"], key) for part in objects for key in part["properties"]]
    with pytest.raises(ValidationError):
        result.model_validate({})


def test_a_risk_is_never_zero_or_one():
    def valid(band):
        try:
            results.OrganRisk(organ="liver", p_metastasis=dict.fromkeys(("1", "2", "5"), band))
        except ValidationError:
            return False
        return True

    assert valid({"mean": 0.5, "low": 1e-12, "high": 0.999})
    assert not valid({"mean": 0.5, "low": 0, "high": 0.999})
    assert not valid({"mean": 0.5, "low": 0.1, "high": 1})
    assert not valid({"mean": 0.5, "low": 0.1})


def test_the_horizons_are_all_there():
    band = {"mean": 0.5, "low": 0.1, "high": 0.9}
    with pytest.raises(ValidationError, match="its keys must be 1, 2, 5"):
        results.OrganRisk(organ="liver", p_metastasis={"1": band, "2": band})
    with pytest.raises(ValidationError, match="'lung', 'liver'"):
        results.OrganRisk(organ="heart", p_metastasis=dict.fromkeys(("1", "2", "5"), band))


def test_a_result_cannot_be_changed():
    found = results.Interval(estimate=1.0, low=0, high=2.5, level=0.95)
    with pytest.raises(ValidationError, match="frozen"):
        found.low = 0.5
    assert (found.low, type(found.low)) == (0, int)
    for wrong in (-1.0, float("nan"), float("inf"), "1", True):
        with pytest.raises(ValidationError, match="a number from 0"):
            results.Interval(estimate=wrong, low=0, high=2.5, level=0.95)
