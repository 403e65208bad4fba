"""The evidence tables: each refusal of the loader, what ships, and that remembered numbers are never read."""

import builtins
import itertools
import shutil

import pytest

from ctcascade import evidence
from ctcascade.data.errors import InputError
from ctcascade.data.vocabulary import SETTINGS
from ctcascade.evidence.tables import READ_BY, TABLES

pytestmark = pytest.mark.unit

REFERENCE = {"key": "smith_2020", "citation": "Smith 2020", "identifier": "PMID 1", "year": "2020"}
PARAMETER = {
    "id": "half_life",
    "symbol": "t",
    "meaning": "a time",
    "unit": "hours",
    "central": "2",
    "low": "1",
    "high": "3",
    "distribution": "lognormal",
    "kind": "measured",
    "reference": "smith_2020",
    "locator": "table 1",
    "how_read": "abstract",
}
SHAPE = {
    "id": "shape",
    "primary": "breast",
    "endpoint": "OS",
    "meaning": "shape",
    "unit": "1",
    "central": "1.8",
    "low": "1.5",
    "high": "2.0",
    "support": "2.5",
    "kind": "assumption",
    "reason": "a test",
}
COMPARISON = {
    "id": "X1",
    "primary": "breast",
    "setting": "metastatic",
    "population": "a cohort",
    "endpoint": "OS",
    "sampled": "baseline",
    "time_zero": "baseline",
    "assay": "CellSearch",
    "accrual": "2001-2003",
    "volume_ml": "7.5",
    "negative": "no",
    "kind": "measured",
    "reference": "smith_2020",
    "locator": "abstract",
    "how_read": "abstract",
    "readings": "once",
}
BELOW = {
    "id": "X1.0",
    "comparison": "X1",
    "label": "below 5",
    "count_low": "0",
    "count_high": "4",
    "n_stated": "no",
    "median_months": "20",
    "lower_bound": "no",
}
ABOVE = {
    **BELOW,
    "id": "X1.1",
    "label": "5 or more",
    "count_low": "5",
    "count_high": "",
    "median_months": "10",
    "hr": "2.5",
    "hr_type": "univariable",
    "hr_against": "below 5",
}
GOOD = {
    "references": [REFERENCE],
    "parameters": [PARAMETER],
    "shapes": [SHAPE],
    "survival": [COMPARISON],
    "strata": [BELOW, ABOVE],
}


@pytest.fixture
def tables(tmp_path):
    """Write tables of a few rows; `tables(strata={1: {...}})` changes cells of the second row of strata."""
    numbers = itertools.count()

    def write(**changes):
        folder = tmp_path / str(next(numbers))  # the loader caches what it has read from a folder
        folder.mkdir()
        for name, rows in GOOD.items():
            changed = [{**row, **changes.get(name, {}).get(i, {})} for i, row in enumerate(rows)]
            changed += [changes[name][i] for i in sorted(changes.get(name, {})) if i >= len(rows)]
            columns = list(TABLES[name].columns)
            lines = ["\t".join(row.get(column, "") for column in columns) for row in changed]
            (folder / f"{name}.tsv").write_text("\n".join(["\t".join(columns), *lines]) + "\n", encoding="utf-8")
        return folder

    return write


def refusal(name, folder):
    with pytest.raises(InputError) as caught:
        evidence.load(name, folder)
    return str(caught.value)


def test_good_tables_load_with_their_types(tables):
    folder = tables()
    row = evidence.load("parameters", folder).loc["half_life"]
    assert (row.central, row.low, row.high, row.unit, row.note) == (2.0, 1.0, 3.0, "hours", "")
    strata = evidence.load("strata", folder)
    assert strata.median_months.to_list() == [20.0, 10.0]
    assert strata.lower_bound.to_list() == [False, False]
    assert strata.count_high.isna().to_list() == [False, True]
    assert strata.hr_flag.to_list() == ["", ""]


def test_a_caller_cannot_change_what_others_load(tables):
    folder = tables()
    mine = evidence.load("parameters", folder)
    mine.loc["half_life", "central"] = 99
    assert evidence.load("parameters", folder).central["half_life"] == 2.0


@pytest.mark.parametrize("column", ["reference", "locator", "how_read"])
@pytest.mark.parametrize("kind", ["measured", "derived"])
def test_a_number_without_source_is_refused(tables, column, kind):
    said = refusal("parameters", tables(parameters={0: {"kind": kind, column: ""}}))
    assert f"half_life: {column}: found nothing; expected a source" in said


def test_an_assumption_needs_a_reason_and_no_source(tables):
    assumed = {"kind": "assumption", "reference": "", "locator": "", "how_read": ""}
    assert "half_life: reason: found nothing" in refusal("parameters", tables(parameters={0: assumed}))
    folder = tables(parameters={0: {**assumed, "reason": "nobody measured it"}})
    assert evidence.load("parameters", folder).kind["half_life"] == "assumption"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kind": "guess"}, "half_life: kind: found 'guess'"),
        ({"kind": ""}, "half_life: kind: found ''"),
        ({"unit": "furlongs"}, "half_life: unit: found 'furlongs'"),
        ({"how_read": "memory"}, "half_life: how_read: found 'memory'"),
        ({"reference": "jones_1999"}, "half_life: reference: found 'jones_1999'; expected a key of references.tsv"),
        ({"reference": "smith_2020; jones_1999"}, "half_life: reference: found 'jones_1999'"),
        ({"central": "4"}, "half_life: central: found 1 .. 4 .. 3"),
        ({"central": "0.5"}, "half_life: central: found 1 .. 0.5 .. 3"),
        ({"central": "two"}, "half_life: central: found 'two'; expected a number or nothing"),
        ({"central": "inf"}, "half_life: central: found 'inf'"),
        ({"central": ""}, "half_life: central: found nothing"),
        ({"id": ""}, "found nothing; expected a value"),
    ],
)
def test_faulty_rows_are_refused(tables, change, said):
    assert said in refusal("parameters", tables(parameters={0: change}))


def test_all_faults_of_a_table_are_reported_at_once(tables):
    said = refusal("parameters", tables(parameters={0: {"central": "4", "reference": "", "locator": ""}}))
    assert len(said.splitlines()) == 3


def test_a_repeated_id_is_refused(tables):
    assert "half_life: found a repeated id" in refusal("parameters", tables(parameters={1: PARAMETER}))


def test_a_reference_without_identifier_is_refused(tables):
    assert "smith_2020: identifier" in refusal("references", tables(references={0: {"identifier": ""}}))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"primary": "toe"}, "X1: primary: found 'toe'"),
        ({"setting": "hopeless"}, "X1: setting: found 'hopeless'"),
        ({"endpoint": "happiness"}, "X1: endpoint: found 'happiness'"),
        ({"time_zero": "L"}, "X1: time_zero: found 'L'"),
        ({"negative": "perhaps"}, "X1: negative: found 'perhaps'; expected yes or no"),
        ({"accrual": ""}, "X1: accrual: found nothing"),
    ],
)
def test_unknown_words_of_a_comparison_are_refused(tables, change, said):
    assert said in refusal("survival", tables(survival={0: change}))


def test_a_median_outside_its_interval_is_refused(tables):
    limits = {"median_low": "21", "median_high": "25"}
    assert "X1.0: median_months: found 21 .. 20 .. 25" in refusal("strata", tables(strata={0: limits}))


def test_a_hazard_ratio_outside_its_interval_is_refused(tables):
    said = refusal("strata", tables(strata={1: {"hr_low": "2.6", "hr_high": "3.0"}}))
    assert "X1.1: hr: found 2.6 .. 2.5 .. 3" in said


def test_strata_of_no_comparison_are_refused(tables):
    assert "X1.1: comparison: found 'X9'" in refusal("strata", tables(strata={1: {"comparison": "X9"}}))


def test_a_hazard_ratio_that_no_curves_can_have_is_refused_unless_explained(tables):
    """Medians twice apart and a shape of at most 2 allow at most 2 ** 2 = 4."""
    assert "X1.1: hr: found 4.1 beside medians 2 times apart" in refusal("strata", tables(strata={1: {"hr": "4.1"}}))
    folder = tables(strata={1: {"hr": "4.1", "hr_remark": "the groups differ in stage"}})
    assert evidence.load("strata", folder).hr_flag["X1.1"] == "the groups differ in stage"
    assert evidence.load("strata", tables(strata={1: {"hr": "3.9"}})).hr["X1.1"] == 3.9


def test_an_unusual_implied_shape_is_flagged_for_univariable_ratios_only(tables):
    """ln 1.5 / ln 2 = 0.58 lies below 0.9; ln 2.5 / ln 2 = 1.32 does not."""
    crude = evidence.load("strata", tables(strata={1: {"hr": "1.5"}}))
    assert crude.hr_flag["X1.1"] == "hazard ratio and medians imply a Weibull shape of 0.58"
    adjusted = evidence.load("strata", tables(strata={1: {"hr": "1.5", "hr_type": "multivariable"}}))
    assert adjusted.hr_flag["X1.1"] == ""


def test_a_median_given_as_a_bound_contradicts_no_hazard_ratio(tables):
    folder = tables(strata={0: {"lower_bound": "yes"}, 1: {"hr": "9"}})
    assert evidence.load("strata", folder).hr_flag.to_list() == ["", ""]


def test_a_comment_a_lost_tab_and_a_foreign_column_are_refused(tables):
    folder = tables()
    path = folder / "parameters.tsv"
    text = path.read_text()
    path.write_text(text + "# a comment\n")
    assert "row 3: found 1 columns" in refusal("parameters", folder)
    path.write_text(text.replace("symbol", "sign"))
    assert "row 1" in refusal("parameters", folder)


def test_a_missing_file_and_an_undeclared_table_are_refused(tables):
    folder = tables()
    (folder / "shapes.tsv").unlink()
    assert "shapes.tsv" in refusal("shapes", folder)
    assert "quarantine" in refusal("quarantine", folder)


def test_every_shipped_table_of_survival_loads():
    for name in ("references", "survival", "strata", "kinetics", "shapes", "count_distributions", "assay_facts"):
        assert len(evidence.load(name)), name


def test_every_shipped_table_is_declared():
    shipped = {path.stem for path in evidence.FOLDER.glob("*.tsv")}
    assert shipped - {"quarantine"} <= set(TABLES)


def test_the_settings_that_the_evidence_must_cover_have_rows():
    rows = evidence.load("survival")
    covered = {
        (primary, setting)
        for row in rows[~rows.negative].itertuples()
        for primary, setting in itertools.product(row.primary.split(";"), row.setting.split(";"))
        if setting in SETTINGS[primary]
    }
    wanted = {
        *itertools.product(("breast",), ("early", "metastatic")),
        *itertools.product(("colon", "rectum"), ("metastatic",)),
        *itertools.product(("prostate",), ("mcrpc", "mhspc")),
        *itertools.product(("lung_sclc",), ("limited", "extensive")),
        *itertools.product(("melanoma",), ("stage_iii", "stage_iv")),
        ("lung_nsclc", "advanced"),
        ("bladder", "m0"),
        *itertools.product(("pancreas", "stomach", "liver", "ovary", "oesophagus"), ("early", "metastatic")),
        *itertools.product(("colon", "rectum"), ("early",)),
        ("kidney", "metastatic"),
    }
    assert wanted <= covered
    assert not {("kidney", "early"), ("bladder", "metastatic"), ("prostate", "metastatic")} & covered


def test_findings_carry_no_numbers_for_a_refusal_to_leak():
    """Digits in names such as HER2 and CDK4/6 are not results."""
    rows = evidence.load("survival")
    findings = rows.finding[rows.negative]  # the other findings are told only where there is a prognosis
    assert (rows.finding[~rows.negative & (rows.no_curve == "")] == "").all()
    for name, text in findings[findings != ""].items():
        bare = text.replace("HER2", "").replace("CDK4/6", "")
        assert not any(c.isdigit() for c in bare), name


@pytest.mark.regression
def test_the_numbers_of_the_main_rows_are_those_of_the_papers():
    """Read again from the abstracts when this test was written."""
    strata = evidence.load("strata").median_months
    assert strata[["BM13.0", "BM13.1"]].to_list() == [36.3, 16.0]
    assert strata[["BM17.0", "BM17.1"]].to_list() == [23.8, 9.0]
    assert strata[["PR01.0", "PR01.1"]].to_list() == [21.7, 11.5]
    assert strata[["CR04.0", "CR04.1"]].to_list() == [20.6, 9.4]
    assert strata[["BM36p.0", "BM36p.1"]].to_list() == [6.1, 1.3]
    assert evidence.load("survival").n[["BM13", "PR01", "CR04"]].to_list() == [2436, 219, 430]


def test_the_hazard_ratios_known_to_contradict_their_medians_are_flagged():
    flags = evidence.load("strata").hr_flag
    assert flags["NS03.1"]
    assert flags["BM25.1"]
    assert not flags["BM13.1"]


def test_no_code_reads_the_quarantine(monkeypatch):
    opened = []
    honest = builtins.open
    monkeypatch.setattr(builtins, "open", lambda file, *a, **k: (opened.append(str(file)), honest(file, *a, **k))[1])
    evidence.library._rows.cache_clear()
    for name in ("survival", "strata", "kinetics", "shapes"):
        evidence.load(name)
    assert any(name.endswith("strata.tsv") for name in opened)
    assert not any("quarantine" in name for name in opened)


def test_the_quarantine_changes_neither_hash_nor_evidence(tmp_path):
    folder = tmp_path / "evidence"
    shutil.copytree(evidence.FOLDER, folder, ignore=shutil.ignore_patterns("__pycache__"))
    before = evidence.evidence_hash(folder=folder)
    assert before == evidence.evidence_hash()
    (folder / "quarantine.tsv").write_text("nonsense")
    assert evidence.evidence_hash(folder=folder) == before
    (folder / "strata.tsv").write_text((folder / "strata.tsv").read_text().replace("36.3", "36.4"))
    assert evidence.evidence_hash(folder=folder) != before


def test_no_quarantined_number_is_in_a_table_as_well():
    quarantined = {line.split("\t")[0] for line in (evidence.FOLDER / "quarantine.tsv").read_text().splitlines()[1:]}
    assert {"BM09", "BM10", "PR13"} <= quarantined
    assert not quarantined & {str(i) for name in ("survival", "kinetics") for i in evidence.load(name).index}


def test_an_id_of_another_table_is_refused(tables):
    said = refusal("parameters", tables(parameters={0: {"id": "X1"}}))
    assert "X1: found an id that survival.tsv has too; expected each id in one table" in said


def test_an_id_stands_in_one_shipped_table_only():
    ids = [str(name) for table in TABLES for name in evidence.load(table).index]
    assert len(ids) == len(set(ids))


def test_a_row_is_cited_by_its_id_with_every_publication():
    found = evidence.cite("BM40")
    assert (found.table, found.text("reference"), found.text("no such column")) == ("survival", "paoletti_2019", "")
    assert evidence.cite("survival/BM40").citation == found.citation
    references = evidence.load("references")
    row = next(row for row in evidence.load("survival").itertuples() if ";" in row.reference)
    keys = [key.strip() for key in row.reference.split(";")]
    assert evidence.cite(row.Index).identifier == "; ".join(references.identifier[keys])


def test_a_group_of_a_comparison_has_no_publication_of_its_own():
    assert evidence.cite("BM13.0").references == ()


@pytest.mark.parametrize("name", ["no_such_row", "strata/BM13", "no_such_table/BM13"])
def test_an_unknown_id_is_not_cited(name):
    assert not evidence.is_known(name)
    with pytest.raises(InputError, match="expected an id of the evidence tables"):
        evidence.cite(name)


def test_a_hash_of_some_tables_changes_with_these_alone(tmp_path):
    folder = tmp_path / "evidence"
    shutil.copytree(evidence.FOLDER, folder, ignore=shutil.ignore_patterns("__pycache__"))
    before = {stage: evidence.evidence_hash(names, folder) for stage, names in READ_BY.items()}
    (folder / "strata.tsv").write_text((folder / "strata.tsv").read_text().replace("36.3", "36.4"))
    after = {stage: evidence.evidence_hash(names, folder) for stage, names in READ_BY.items()}
    assert {stage for stage in before if before[stage] != after[stage]} == {"prognose", "cohort", "report"}


@pytest.mark.parametrize(
    ("row", "endpoint", "numbers"),
    [
        ("KI01", "PFS", [(15.0, None), (5.8, 1.99)]),
        ("KI02", "OS", [(52.8, None), (13.8, 1.99)]),
        ("ST03", "PFS", [(5.0, None), (1.4, None)]),
        ("ST04", "OS", [(11.4, None), (4.0, None)]),
        ("ST05", "OS", [(None, (2.73, 2.34, 3.24))]),
        ("PA04", "OS", [(None, (1.84, 1.37, 2.45))]),
        ("CR14", "OS", [(None, (5.5, 2.3, 13.6))]),
        ("ES05", "OS", [(None, (2.83, 1.99, 4.03))]),
        ("OV02", "OS", [(None, (1.97, 1.50, 2.58))]),
        ("NS05", "OS", [(None, (1.7, 1.1, 2.8))]),
        ("BE02d", "DDFS", [(None, (1.89, 1.49, 2.40))]),
    ],
)
def test_rows_read_again_at_their_source(row, endpoint, numbers):
    strata, survival = evidence.load("strata"), evidence.load("survival")
    assert survival.endpoint[row] == endpoint
    for (median, ratio), (_, stratum) in zip(numbers, strata[strata.comparison == row].iterrows(), strict=True):
        known = ratio if isinstance(ratio, tuple) else (ratio,)
        found = (stratum.median_months, stratum.hr, stratum.hr_low, stratum.hr_high)
        read = [(there, here) for there, here in zip(found, (median, *known), strict=False) if here is not None]
        assert [there for there, _ in read] == [here for _, here in read]


def test_tags_that_were_wrong():
    """A fall of 30 percent was judged at landmarks; cells before surgery for colorectal cancer were prognostic."""
    kinetics, survival = evidence.load("kinetics"), evidence.load("survival")
    assert set(kinetics.time_zero[["K24", "K24n", "K25", "K25n", "K26", "K26n"]]) == {"landmark"}
    assert not survival.negative["CR08"]
    assert survival.negative["CR09"]
    assert (survival.volume_ml["CR09"], survival.assay["CR09"]) == (30, "CellSearch after density-gradient enrichment")
    assert evidence.load("targets").meaning["recurrence_10y"].split(": ")[1].startswith("crude share")
