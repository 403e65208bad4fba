import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ctcascade.data.errors import InputError, refuse
from ctcascade.data.typed import Typed
from ctcascade.data.vocabulary import SETTINGS
from ctcascade.formats import FORMATS
from ctcascade.study import configuration, jobs, primaries, sheets, text_files
from ctcascade.study.assay import FACTORS
from ctcascade.study.patient import read_imaging
from ctcascade.study.sample import PreAnalytics, Sample
from ctcascade.study.settings import Settings
from tests.support.sheets import PATIENT, ROOT, SAMPLE, faults, only_fault, read, read_files, tsv

pytestmark = pytest.mark.unit


def test_a_study_is_read_as_written(folder):
    second = {**SAMPLE, "sample": "S2", "collected": "2026-04-01", "images": "slides/a; slides/b"}
    second |= {"blood_volume_ml": "3;4.25", "sampled_fraction": "0.5", "note": "second tube"}
    study = read([SAMPLE, second])
    assert list(study.samples) == ["S1", "S2"]
    assert study.samples["S1"].as_json() == {
        **dict.fromkeys(("run", "operator", "position", "spiked_ctc")),
        **dict.fromkeys(PreAnalytics.model_fields),
        **SAMPLE,
        "images": ["slides/a"],
        "blood_volume_ml": 7.5,
        "part_volumes_ml": [],
        "format": "auto",
        "sampled_fraction": 1.0,
        **dict.fromkeys(("drawn", "role", "lot", "tube", "hours_to_processing", "note", "notice")),
    }
    assert study.samples["S2"].images == ("slides/a", "slides/b")
    assert study.samples["S2"].blood_volume_ml == 7.25
    assert study.samples["S2"].part_volumes_ml == (3, 4.25)
    assert study.samples["S2"].sampled_fraction == 0.5
    assert study.samples_of("P1") == ["S2", "S1"]  # by the day of the draw
    columns = "subtype line therapy_start diagnosed resected stage event time_months"
    optional = dict.fromkeys(columns.split())
    optional |= {"imaging": [], "therapies": []}
    assert {name: row.as_json() for name, row in study.patients.items()} == {"P1": {**PATIENT, **optional}}
    assert study.base == Path()
    assert study.notes == ()


def test_byte_order_mark_crlf_quotes_and_blank_lines_are_accepted(folder):
    tsv("samples.tsv", [SAMPLE])
    text = "patient\tprimary\tsetting\tsex\timaging\r\n\r\nP1\tbreast\tmetastatic\tfemale\t"
    text += '"2026-05-01:CT:liver=2,lung=0;2026-06-01:bone_scan:bone=12"\r\n'
    Path("patients.tsv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    study = read_files()
    found = [(f"{s.date}", s.modality, s.organ, s.lesions) for s in study.patients["P1"].imaging]
    assert found == [
        ("2026-05-01", "CT", "liver", 2),
        ("2026-05-01", "CT", "lung", 0),
        ("2026-06-01", "bone_scan", "bone", 12),
    ]


@pytest.mark.parametrize(
    "volume", ["-7.5", "0", "seven", "7,5", "nan", "inf", "1e400", "1000", "7500", "1_0", "0x7", "7.5 mL"]
)
def test_an_impossible_volume_is_refused(folder, volume):
    fault = only_fault([{**SAMPLE, "blood_volume_ml": volume}])
    assert fault.startswith("samples.tsv: line 2, blood_volume_ml: found ")
    assert "at least 0.0001 and below 1000" in fault


@pytest.mark.parametrize("volume", ["0.0001", "7.5", "75e-1", "999.9", ".5"])
def test_a_possible_volume_is_accepted(folder, volume):
    assert read([{**SAMPLE, "blood_volume_ml": volume}]).samples["S1"].blood_volume_ml == float(volume)


def test_volumes_go_with_the_parts(folder):
    two = {**SAMPLE, "images": "slides/a;slides/b"}
    assert "found 3 numbers; expected 1 number, or 2 as in images" in only_fault([{**two, "blood_volume_ml": "1;2;3"}])
    assert "less than 1000 mL" in only_fault([{**two, "blood_volume_ml": "600;600"}])
    assert read([{**two, "blood_volume_ml": "6"}]).samples["S1"].blood_volume_ml == 6.0
    found = only_fault([{**SAMPLE, "images": "slides/a;slides/a"}])
    assert "S1, images: found slides/a, which is the same as slides/a; expected each folder and file once" in found


@pytest.mark.parametrize("day", ["2026-02-30", "01.05.2026", "2026-5-1", "20260501", "2026-W01-1", "1066-10-14", "May"])
def test_an_impossible_day_is_refused(folder, day):
    assert "collected: found" in only_fault([{**SAMPLE, "collected": day}])
    assert "therapy_start: found" in only_fault(patients=[{**PATIENT, "therapy_start": day}])


@pytest.mark.parametrize(
    "name",
    [
        "../S1",
        "a/b",
        "a\\b",
        ".hidden",
        "..",
        "S1.",
        "a b",
        "a:b",
        "S*",
        "{S}",
        "é",
        "x" * 65,
        "CON",
        "nul.txt",
        "com1",
        "<b>",
    ],
)
def test_a_name_with_other_characters_is_refused(folder, name):
    assert all("line 2" in fault for fault in faults([{**SAMPLE, "sample": name}]))
    assert any(
        "patient: found" in fault for fault in faults([{**SAMPLE, "patient": name}], [{**PATIENT, "patient": name}])
    )


@pytest.mark.parametrize("name", ["S1", "s.1", "_x", "-", "1", "A-b_c.d", "x" * 64])
def test_a_plain_name_is_accepted(folder, name):
    assert name in read([{**SAMPLE, "sample": name}]).samples


def test_a_name_twice_is_refused_whatever_its_capitals(folder):
    found = faults([SAMPLE, {**SAMPLE, "sample": "s1"}], [PATIENT, PATIENT])
    assert [f.split(":")[0:2] for f in found] == [
        ["samples.tsv", " line 2, sample"],
        ["samples.tsv", " line 3, sample"],
        ["patients.tsv", " line 2, patient"],
        ["patients.tsv", " line 3, patient"],
    ]
    assert all("more than once" in fault for fault in found)


def test_an_unknown_assay_gets_the_nearest_name(folder):
    fault = only_fault([{**SAMPLE, "assay": "celsearch"}])
    assert "assay: found celsearch; expected an assay of" in fault
    assert fault.endswith("did you mean cellsearch?")


def test_images_must_exist(folder):
    (folder / "slides" / "one.czi").touch()
    assert read([{**SAMPLE, "images": "slides/one.czi"}]).samples["S1"].images == ("slides/one.czi",)
    assert "images: found slides/c, which is not there" in only_fault([{**SAMPLE, "images": "slides/a;slides/c"}])
    assert "which is not there" in only_fault([{**SAMPLE, "images": "x" * 5000}])


def test_faults_of_the_images_are_listed_with_the_others(folder):
    seen = []

    def look(images, base, fmt, assay):
        seen.append((images, base, fmt, assay.name, assay.frame_px))
        refuse(images[0], "", "no image", "one image or more", "bring images")

    second = {**SAMPLE, "sample": "S2", "collected": "someday"}
    found = faults([SAMPLE, second], look=look)
    assert seen == [(("slides/a",), Path(), "auto", "cellsearch", (1036, 1384))]
    assert len(found) == 2
    assert any(fault.startswith("slides/a: found no image") for fault in found)


def test_files_beside_the_frames_are_named(folder):
    beside = tuple(f"notes{i}.txt" for i in range(12))
    study = read(look=lambda *_: SimpleNamespace(ignored=beside))
    assert study.notes == (f"S1: 12 beside the frames, ignored: {', '.join(beside[:10])} ...",)
    assert read(look=lambda *_: SimpleNamespace(ignored=())).notes == ()


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_can_be_asked_for(folder, name):
    assert read([{**SAMPLE, "format": name}]).samples["S1"].format == name


def test_a_sample_needs_a_patient_row(folder):
    assert "patient: found P2; expected a patient with a row in patients.tsv" in only_fault(
        [{**SAMPLE, "patient": "P2"}]
    )


def test_a_patient_without_a_sample_is_named_and_left_out(folder):
    study = read(patients=[PATIENT, {**PATIENT, "patient": "P9"}])
    assert list(study.patients) == ["P1"]
    assert study.notes == ("patients.tsv: P9 has no sample and no report",)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"primary": "brest"}, "did you mean breast?"),
        ({"setting": "mcrpc"}, "found mcrpc; expected one of early, metastatic for breast"),
        ({"primary": "none", "setting": "mcrpc"}, "found mcrpc; expected one of none, early, metastatic for none"),
        ({"setting": ""}, "found nothing; expected the clinical setting of breast"),
        ({"subtype": "tnb"}, "did you mean tnbc?"),
        ({"primary": "colon", "subtype": "tnbc"}, "expected an empty cell for colon"),
        ({"sex": "F"}, "expected one of female, male"),
        ({"line": "second"}, "the line of therapy as a whole number"),
        ({"line": "1.5"}, "the line of therapy as a whole number"),
        ({"imaging": "2026-05-01:CT:liver=two"}, "write it like 2026-05-01:CT:liver=2,lung=0"),
        ({"imaging": "2026-05-01:CT:spleen=1"}, "with organs of lung, liver"),
        ({"imaging": "2026-05-01:CT:liver=1,liver=2"}, "found 2026-05-01:CT:liver=1,liver=2"),
        ({"imaging": "2026-13-01:CT:liver=1"}, "found 2026-13-01"),
        ({"imaging": "CT:liver=1"}, "found CT:liver=1"),
        ({"therapies": "chemotherapy:2026-05-20"}, "write it like chemotherapy:2026-05-20:2026-08-20:shedding=0.4"),
        ({"therapies": "radiation:2026-05-20::"}, "immunotherapy on killing"),
        ({"therapies": "chemotherapy:2026-05-20:2026-05-20:growth=0.4"}, "found chemotherapy:2026-05-20:2026-05-20"),
        ({"therapies": "chemotherapy:2026-05-20::killing=2"}, "chemotherapy on shedding, growth"),
        ({"therapies": "chemotherapy:2026-05-20::growth=1.5"}, "found growth=1.5; expected growth from 0 to 1"),
        ({"therapies": "chemotherapy:2026-05-20::growth=40%"}, "found growth=40%; expected growth from 0 to 1"),
        ({"therapies": "targeted:2026-05-20::shedding=0"}, "expected shedding from 0.01 to 1"),
        ({"therapies": "targeted:2026-05-20::growth=nan"}, "found growth=nan"),
        (
            {"therapies": "targeted:2020-01-01::", "diagnosed": "2021-01-01"},
            "therapies: found 2020-01-01; expected a day from the diagnosis on",
        ),
        ({"imaging": "2026-05-01:CT:"}, "write it like 2026-05-01:CT:liver=2,lung=0"),
        ({"imaging": "2026-05-01:CT:liver=-1"}, "write it like 2026-05-01:CT:liver=2,lung=0"),
        ({"imaging": "2026-05-01:crystal_ball:liver=1"}, "found crystal_ball; expected one of CT, MRI, PET"),
        ({"imaging": "2026-05-01:MR:liver=1"}, "did you mean MRI?"),
        ({"diagnosed": "2026-02-30"}, "diagnosed: found 2026-02-30"),
        ({"diagnosed": "2026-05-02"}, "collected: found 2026-05-01; expected a day from the patient's diagnosis on"),
        (
            {"diagnosed": "2026-03-01", "therapy_start": "2026-02-01"},
            "therapy_start: found 2026-02-01; expected a day from the diagnosis on, 2026-03-01",
        ),
        ({"event": "1", "time_months": "-3"}, "time_months: found -3; expected a number of months from 0"),
        ({"event": "2", "time_months": "3"}, "event: found 2; expected one of 0, 1"),
        ({"time_months": "3"}, "event: found nothing; expected event and time_months together"),
        ({"event": "0"}, "time_months: found nothing"),
        ({"primary": "prostate"}, "sex: found female; expected male for a tumour of the prostate"),
        ({"primary": "ovary", "sex": "male"}, "sex: found male; expected female for a tumour of the ovary"),
        (
            {"therapies": "chemotherapy:2026-05-20:2026-05-01:growth=0.4"},
            "expected an end after the start, 2026-05-20; fix one of the two days",
        ),
        (
            {"imaging": "2026-05-01:CT:liver=2;2026-05-01:CT:liver=0"},
            "expected one number of lesions for an organ, a day and a modality",
        ),
        (
            {"event": "1", "time_months": "3", "imaging": "2026-12-01:CT:liver=2"},
            "imaging: found 2026-12-01, 7.0 months after the patient's first sample; expected a day before the death",
        ),
        (
            {"event": "0", "time_months": "3", "therapies": "chemotherapy:2026-12-01::"},
            "expected a day before the last contact, time_months 3",
        ),
    ],
)
def test_impossible_patient_values_are_refused(folder, change, expected):
    assert expected in only_fault(patients=[{**PATIENT, **change}])


@pytest.mark.parametrize(
    ("name", "todo"),
    [
        ("NSCLC", "write lung_nsclc"),
        ("SCLC", "write lung_sclc"),
        ("small cell lung cancer", "write lung_sclc"),
        ("Non-Small Cell Lung Cancer", "write lung_nsclc"),
        ("lung", "lung_nsclc (non-small-cell) or lung_sclc (small-cell): which one is it?"),
        ("lung cancer", "which one is it?"),
        ("CRC", "colon or rectum: which one is it?"),
        ("colorectal cancer", "colon or rectum: which one is it?"),
        ("HCC", "write liver"),
        ("mBC", "write breast, with the setting metastatic"),
        ("mCRPC", "write prostate, with the setting mcrpc"),
        ("TNBC", "write breast, with the subtype tnbc"),
        ("Breast", "write breast"),
        ("breast cancer", "write breast"),
        ("gastric", "write stomach"),
        ("esophagus", "write oesophagus"),
        ("RCC", "write kidney"),
        ("ovarian", "write ovary"),
        ("pancreatic ductal adenocarcinoma", "choose one of them; other"),
        ("pancreatic cancer", "write pancreas"),
        ("cervix", "write other (counts only)"),
        ("healthy", "write none"),
        ("prostrate", "did you mean prostate?"),
        ("xyz", "choose one of them; other for a tumour that is not among them"),
    ],
)
def test_a_common_name_of_a_tumour_is_explained(folder, name, todo):
    assert todo in only_fault(patients=[{**PATIENT, "primary": name}])


@pytest.mark.parametrize(
    ("cells", "todo"),
    [
        ({"setting": "stage IV"}, "write metastatic where the tumour has spread to distant organs"),
        ({"setting": "IVB"}, "the stage has a column of its own, stage"),
        ({"setting": "stage II"}, "choose one of them"),
        ({"sex": "m"}, "write male"),
        ({"sex": "F"}, "write female"),
        ({"sex": "w"}, "choose one of them"),
    ],
)
def test_a_common_short_word_leads_to_that_of_the_sheet(folder, cells, todo):
    assert todo in only_fault(patients=[{**PATIENT, **cells}])


@pytest.mark.property
def test_no_common_name_leads_to_another_organ():
    """Every name that is explained stands for words of the sheet; none is itself a word of the sheet."""
    for said, word in primaries._STANDS_FOR.items():
        assert word in SETTINGS
        assert said not in SETTINGS
    for said, todo in primaries._EXPLAINED.items():
        assert said not in SETTINGS
        assert any(word in todo for word in SETTINGS)


def test_scans_of_one_day_by_two_methods_are_noted(folder):
    scans = {"imaging": "2026-05-01:CT:bone=0;2026-05-01:bone_scan:bone=3"}
    notes = read(patients=[{**PATIENT, **scans}]).notes
    assert notes == (
        "patients.tsv: P1: Imaging of 2026-05-01 disagrees on bone: CT:bone=0, bone_scan:bone=3; what one method "
        "misses another may show, so the lesion is taken to be there.",
    )
    early = {"setting": "early", "imaging": "2026-05-01:CT:liver=1"}
    assert "The setting is early, while imaging" in read(patients=[{**PATIENT, **early}]).notes[0]
    assert read(patients=[{**PATIENT, "imaging": "2026-05-01:CT:bone=2;2026-05-01:CT:bone=2"}]).notes == ()


def test_imaging_is_read_scan_by_scan_the_earliest_first():
    assert read_imaging("2026-05-01:CT:liver=2;") == read_imaging("2026-05-01:CT:liver=2")
    found = read_imaging("2026-06-01 : bone scan: bone = 12; 2026-05-01: ct:lung=0, liver=2")
    assert [(s.date.isoformat(), s.modality, s.organ, s.lesions) for s in found] == [
        ("2026-05-01", "CT", "liver", 2),
        ("2026-05-01", "CT", "lung", 0),
        ("2026-06-01", "bone_scan", "bone", 12),
    ]


def test_follow_up_and_diagnosis_are_read(folder):
    told = {"diagnosed": "2025-11-30", "event": "1", "time_months": "14.5"}
    study = read(patients=[{**PATIENT, **told}])
    row = study.patients["P1"]
    assert (f"{row.diagnosed}", row.event, row.time_months) == ("2025-11-30", 1, 14.5)


@pytest.mark.parametrize("share", ["0", "-0.1", "1.01", "half", "nan", "1e-9"])
def test_a_share_lies_between_0_and_1(folder, share):
    assert "sampled_fraction: found" in only_fault([{**SAMPLE, "sampled_fraction": share}])


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "no row below the header"),
        (b"sample\tpatient\tcollected\timages\tassay\tblood_volume_ml\n", "no row below the header"),
        (b"PK\x03\x04\0\0", "a workbook of a spreadsheet; expected UTF-8 text; save its sheet as CSV"),
        ("sample\tpatient\nSé\tP1\n".encode("latin-1"), "line 2: found bytes that are not UTF-8"),
        ("note\tpatient\nJosé\tP1\n".encode("cp1252"), "in another encoding perhaps"),
        (b"sample\tpatient\nS\0\tP1\n", "zero bytes"),
        (b'sample\tpatient\n"S1\tP1\n', "unexpected end of data"),
        (b"\x89PNG\r\n\x1a\n\0\0", "not UTF-8"),
    ],
)
def test_a_file_that_is_not_a_sheet_is_refused(folder, content, expected):
    tsv("patients.tsv", [PATIENT])
    Path("samples.tsv").write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_files()
    assert expected in str(caught.value)


def test_a_missing_sheet_is_refused(folder):
    with pytest.raises(InputError) as caught:
        read_files()
    assert [str(fault).split(": found")[0] for fault in caught.value.faults] == ["samples.tsv", "patients.tsv"]


def test_columns_are_those_of_the_manual(folder):
    row = {**SAMPLE, "blod_volume_ml": "7.5"}
    del row["blood_volume_ml"]
    found = faults([row])
    assert len(found) == 2
    assert found[0].endswith("did you mean blood_volume_ml?")
    assert "no column blood_volume_ml" in found[1]
    Path("samples.tsv").write_text("sample\tsample\nS1\tS1\n")
    with pytest.raises(InputError, match="the column sample a second time"):
        read_files()


def test_a_row_has_a_cell_for_each_column(folder):
    tsv("patients.tsv", [PATIENT])
    line = "\t".join(SAMPLE.values())
    Path("samples.tsv").write_text("\t".join(SAMPLE) + f"\n{line}\n{line}\textra\nS3\tP1\n")
    with pytest.raises(InputError) as caught:
        read_files()
    first, *others = [(f.at.partition(",")[0], f.found) for f in caught.value.faults]
    assert first == ("line 3", "7 cells")
    assert {at for at, _ in others} == {"line 4"}  # cells that a line lacks at its end are empty
    line += "\t\t"  # as a spreadsheet saves empty columns
    Path("samples.tsv").write_text("\t".join(SAMPLE) + f"\t\t\n{line}\n")
    assert list(read_files().samples) == [SAMPLE["sample"]]


@pytest.mark.parametrize("sign", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_sheets_may_be_saved_with_other_signs_and_as_unicode_text(folder, sign, encoding):
    tsv("patients.tsv", [PATIENT])
    row = {**SAMPLE, "images": '"slides/a;slides/b"', "blood_volume_ml": '"3;4.25"', "note": '"Müller, 2nd tube; late"'}
    text = "\r\n".join((sign.join(row), sign.join(row.values()), sign * (len(row) - 1), ""))
    Path("samples.tsv").write_bytes(text.encode(encoding))
    sample = read_files().samples[SAMPLE["sample"]]
    assert (sample.images, sample.blood_volume_ml) == (("slides/a", "slides/b"), 7.25)
    assert sample.note == "Müller, 2nd tube; late"


def test_a_required_cell_may_not_be_empty(folder):
    assert "line 2: found no collected; expected a day" in only_fault([{**SAMPLE, "collected": ""}])


def test_all_faults_come_at_once_with_their_places(folder):
    bad = {**SAMPLE, "collected": "2026-02-30", "blood_volume_ml": "-1", "assay": "nil", "images": "gone"}
    found = faults([bad], [{**PATIENT, "primary": "brest", "sex": "F"}], detect={"lables": True}, chunk_frames=0)
    places = sorted(fault.split(": found")[0] for fault in found)
    assert places == [
        "--config/--configfile: chunk_frames",
        "--config/--configfile: detect",
        "patients.tsv: line 2, P1, primary",
        "patients.tsv: line 2, sex",
        "samples.tsv: line 2, S1, assay",
        "samples.tsv: line 2, S1, images",
        "samples.tsv: line 2, blood_volume_ml",
        "samples.tsv: line 2, collected",
    ]
    assert all(fault.count("\n") == 0 for fault in found)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"detect": {"lables": True}}, "unknown name 'lables'; expected one of labels"),
        ({"detct": {}}, "did you mean detect?"),
        ({"count": {"level": "high"}}, "count.level: found high"),
        ({"count": {"level": 95}}, "count.level: found 95"),
        ({"count": {"level": float("nan")}}, "count.level: found nan"),
        ({"count": 3}, "count: found 3"),
        ({"chunk_frames": 1.5}, "chunk_frames: found 1.5"),
        ({"chunk_frames": True}, "chunk_frames: found True"),
        ({"chunk_frames": None}, "chunk_frames: found None"),
        ({"results": "a{b}"}, "results: found a{b}"),
        ({"detect": {"nucleus_diameter_um": [30, 3.5]}}, "the smallest, then the largest"),
        ({"classify": {"p_ctc_call": 0.2, "p_ctc_uncertain": 0.3}}, "at most p_ctc_call, 0.2"),
    ],
)
def test_an_invalid_setting_is_refused(folder, given, expected):
    assert expected in only_fault(**given)


def test_nested_settings_arrive_as_text_and_are_read_as_their_type(folder):
    given = {"labels": "true", "cell_margin_um": "2.5", "nucleus_diameter_um": ["3", "25"]}
    study = read(detect=given, simulate={"switched_off": "[portal_route, dormancy]"}, random_seed="7")
    assert study.settings.detect.labels is True
    assert study.settings.detect.cell_margin_um == 2.5
    assert study.settings.detect.nucleus_diameter_um == (3, 25)
    assert study.settings.detect.contact_gap_max_um == 3.0  # what is not given keeps its default
    assert study.settings.simulate.switched_off == ("portal_route", "dormancy")
    assert study.settings.random_seed == 7


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- a\n- b\n", "expected a YAML mapping"),
        ("", "expected a YAML mapping"),
        ("1: 2\n", "expected a YAML mapping"),
        ("count: !!python/object/apply:os.system ['true']\n", "could not determine a constructor"),
        ("count: {level: 0.9}\ncount: {level: 0.8}\n", "line 2: found 'count' a second time"),
        ("a: &x [1]\nb: *x\n", "line 2: found an alias"),
        ("a: [\n", "line 2"),
        ("a: 2026-13-45\n", "month must be in 1..12"),
        ("a: " + "[" * 20000, "YAML"),
        ("a:\n\t- b\n", "cannot start any token"),
        ("simulate: dormancy\n", "found dormancy; expected the settings of simulate"),
    ],
)
def test_yaml_is_plain_data(folder, text, expected):
    tsv("samples.tsv", [SAMPLE])
    tsv("patients.tsv", [PATIENT])
    Path("over.yaml").write_text(text)
    with pytest.raises(InputError) as caught:
        sheets.read_study(
            [ROOT / "config" / "config.yaml", Path("over.yaml")], {"samples": "samples.tsv", "patients": "patients.tsv"}
        )
    assert str(caught.value).startswith("over.yaml: ")
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_later_file_overrides_an_earlier_one_setting_by_setting(folder):
    tsv("samples.tsv", [SAMPLE])
    tsv("patients.tsv", [PATIENT])
    Path("over.yaml").write_text("samples: samples.tsv\npatients: patients.tsv\nclassify: {cluster_gap_um: 2}\n")
    study = sheets.read_study([ROOT / "config" / "config.yaml", Path("over.yaml")], {})
    assert study.settings.classify == Settings().classify.model_copy(update={"cluster_gap_um": 2.0})


ASSAY = yaml.safe_load((ROOT / "config" / "assays" / "cellsearch.yaml").read_text())


@pytest.mark.parametrize("name", ["cellsearch", "hdsca"])
def test_the_shipped_assays_are_valid(folder, name):
    assay = read([{**SAMPLE, "assay": name}]).assays[name]
    assert {"dna", "ck", "cd45", "fitc"} == set(assay.channels)
    assert all(given.source for _, given in assay.gates)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"chanels": {}}, "did you mean channels?"),
        ({"channels": {"dna": ["DAPI"], "ck": ["CK"]}}, "channels: found no cd45"),
        ({"channels": {"dna": ["DAPI"], "ck": ["CK"], "cd45": ["ck"]}}, "found ck twice"),
        ({"channels": {"dna": ["DAPI"], "ck": ["CK"], "cd45": ["CD45"], "Her 2": ["x"]}}, "found Her 2"),
        ({"pixel_size_um": {"value": 0, "source": "x"}}, "pixel_size_um.value: found 0"),
        ({"pixel_size_um": {"value": 0.6}}, "pixel_size_um: found no source"),
        ({"frame_px": {"value": [1036], "source": "x"}}, "rows and columns"),
        (
            {"gates": {**ASSAY["gates"], "max_diameter_um": {"value": 3, "source": "x"}}},
            "max_diameter_um 3: no cell can be a CTC; expected min_diameter_um below max_diameter_um",
        ),
        (
            {"recovery": {"mean": 0.8, "low": 0.01, "high": 0.81, "kind": "assumption", "source": "x"}},
            "recovery: found low 0.01, mean 0.8, high 0.81: the mean is nearly one of the limits",
        ),
        (
            {"sensitivity": {"mean": 0.02, "low": 0.01, "high": 0.9, "kind": "assumption", "source": "x"}},
            "sensitivity: found low 0.01, mean 0.02, high 0.9: the mean is nearly one of the limits",
        ),
        (
            {"background_per_7_5_ml": {"mean": 9, "low": 0.01, "high": 10, "kind": "assumption", "source": "x"}},
            "background_per_7_5_ml: found low 0.01, mean 9, high 10: the mean is nearly one of the limits",
        ),
        (
            {"bleed": {"value": {"ck": {"ck": 0.1}}, "source": "x"}},
            "bleed.ck: found ck into ck; expected another channel",
        ),
        ({"bit_depth": {"value": 1, "source": "x"}}, "bit_depth.value: found 1"),
        ({"files": "../{frame}_{channel}"}, "files: found ..; expected {frame}, {channel}"),
        ({"files": "./{frame}_{channel}"}, "files: found ."),
        ({"files": "{frame}_{well}_{channel}"}, "files: found {well}; expected {frame}, {channel}, {guid} and * only"),
        ({"files": "{frame}"}, "{frame} and {channel}, each once"),
        (
            {"recovery": {"mean": 0.5, "low": 0.6, "high": 0.9, "kind": "measured", "source": "x"}},
            "low <= mean <= high",
        ),
        (
            {"recovery": {"mean": 0.9, "low": 0.8, "high": 1.2, "kind": "measured", "source": "x"}},
            "recovery.high: found 1.2",
        ),
        (
            {"recovery": {"mean": 0.5, "low": 0, "high": 0.9, "kind": "measured", "source": "x"}},
            "recovery.low: found 0; expected a share above 0 and at most 1",
        ),
        (
            {"tube_to_tube": {"mean": 1.1, "low": 0.8, "high": 1.2, "kind": "measured", "source": "x"}},
            "tube_to_tube.mean: found 1.1; expected 1: what tubes hold on average",
        ),
        (
            {"background_per_7_5_ml": {"mean": 1, "low": 0, "high": 2, "kind": "measured", "source": "x"}},
            "or 0 in all three",
        ),
        (
            {"reference_equivalent": {"mean": 1, "low": 0, "high": 2, "kind": "measured", "source": "x"}},
            "a number above 0",
        ),
        (
            {"recovery": {"mean": 0.9, "low": 0.8, "high": 1, "kind": "guess", "source": "x"}},
            "measured, derived, assumption",
        ),
    ],
)
def test_an_invalid_assay_is_refused(folder, change, expected):
    Path("assays").mkdir()
    Path("assays/cellsearch.yaml").write_text(yaml.safe_dump({**ASSAY, **change}))
    fault = only_fault(assays="assays")
    assert fault.startswith("assays/cellsearch.yaml: ")
    assert expected in fault


HER2 = {**ASSAY, **yaml.safe_load((ROOT / "config" / "assays" / "cellsearch_her2.yaml").read_text())}
del HER2["extends"]
HER2_RULE = HER2["markers"]["her2"]["rule"]
NUCLEUS = {"value": 3, "source": "a test"}


@pytest.mark.parametrize(
    ("name", "role", "marker"), [("cellsearch_her2", "her2", "HER2"), ("hdsca_arv7", "arv7", "AR-V7")]
)
def test_the_shipped_marker_assays_add_one_judged_channel_to_their_base(folder, name, role, marker):
    study = read([{**SAMPLE, "assay": name}])
    assay = study.assays[name]
    assert {r: given.marker for r, given in assay.markers.items()} == {role: marker}
    plain = read([{**SAMPLE, "assay": name.split("_")[0]}]).assays[name.split("_")[0]]
    assert {k for k, value in assay if value != getattr(plain, k)} == {"description", "channels", "markers", "inherits"}
    judged = jobs.classify_job(study, "S1").assay.markers[role]
    assert judged.min_z == assay.markers[role].min_z.value
    assert (judged.min_nucleus_ratio is not None) is (judged.place == "nucleus")
    assert jobs.count_job(study, "S1").assay.markers == assay.markers


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        ({"fitc": {}}, "markers: found HER2 twice, by her2 and fitc; expected each marker once"),
        ({"fitc": {"marker": "her2"}}, "did you mean HER2?"),
        ({"fitc": {"marker": "HER-2"}}, "did you mean HER2?"),
        ({"ck": {"marker": "ER"}}, "markers.ck: found ck; expected a role of `channels` beyond dna, ck, cd45"),
        ({"her3": {"marker": "ER"}}, "did you mean her2?"),
        ({"fitc": {"marker": "ER", "rule": {**HER2_RULE, "min_positive": 7}}}, "min_positive at most min_ctcs"),
        ({"fitc": {"marker": "ER", "rule": {**HER2_RULE, "min_share": 2}}}, "found 2; expected a share from 0 to 1"),
        ({"fitc": {"marker": "ER", "place": "nucleus"}}, "found place nucleus without min_nucleus_ratio"),
        ({"fitc": {"marker": "ER", "min_nucleus_ratio": NUCLEUS}}, "found place cell with min_nucleus_ratio"),
    ],
)
def test_an_impossible_marker_is_refused(folder, second, expected):
    """A second marker beside HER2; a fault with two reasons is listed with both."""
    Path("assays").mkdir()
    [(role, change)] = second.items()
    changed = {**HER2, "channels": {**HER2["channels"], "fitc": ["other"]}}
    changed["markers"] = {**HER2["markers"], role: {**HER2["markers"]["her2"], **change}}
    Path("assays/cellsearch.yaml").write_text(json.dumps(changed))  # JSON is YAML, without aliases
    found = faults(assays="assays")
    assert all(fault.startswith("assays/cellsearch.yaml: ") for fault in found)
    assert any(expected in fault for fault in found)


def test_a_role_named_twice_is_refused(folder):
    Path("assays").mkdir()
    text = (ROOT / "config" / "assays" / "cellsearch_her2.yaml").read_text()
    Path("assays/cellsearch.yaml").write_text(text + text[text.index("  her2:\n    marker:") :])
    assert "'her2' a second time" in only_fault(assays="assays")


@pytest.mark.parametrize(("extends", "expected"), [("celsearch", "did you mean cellsearch?"), ("mine", "expected one")])
def test_an_assay_extends_another_one_that_is_there(folder, extends, expected):
    Path("assays").mkdir()
    Path("assays/cellsearch.yaml").write_text(yaml.safe_dump(ASSAY))
    Path("assays/mine.yaml").write_text(yaml.safe_dump({"extends": extends, "bit_depth": {"value": 8, "source": "x"}}))
    assert expected in only_fault([{**SAMPLE, "assay": "mine"}], assays="assays")


def test_an_assay_may_extend_one_that_extends_another_but_not_itself(folder):
    Path("assays").mkdir()
    for name, base in (("a", "b"), ("b", "c"), ("c", "a")):
        Path(f"assays/{name}.yaml").write_text(yaml.safe_dump({"extends": base}))
    found = only_fault([{**SAMPLE, "assay": "a"}], assays="assays")
    assert "assays/a.yaml: extends: found a circle: a -> b -> c -> a" in found
    Path("assays/c.yaml").write_text(yaml.safe_dump({**ASSAY, "description": "the last"}))
    Path("assays/b.yaml").write_text(yaml.safe_dump({"extends": "c", "files": "{channel}-{frame}"}))
    assay = read([{**SAMPLE, "assay": "a"}], assays="assays").assays["a"]
    assert (assay.description, assay.files) == ("the last", "{channel}-{frame}")
    assert assay.taken_over.changed == ()  # how files are named is no method


def test_the_shipped_assays_are_found_from_any_folder_of_assays(folder):
    Path("assays").mkdir()
    Path("assays/mine.yaml").write_text(yaml.safe_dump({"extends": "hdsca"}))
    Path("assays/cellsearch.yaml").write_text(yaml.safe_dump({"extends": "cellsearch", "description": "ours"}))
    rows = [{**SAMPLE, "sample": f"S{k}", "assay": name} for k, name in enumerate(("mine", "cellsearch", "hdsca_arv7"))]
    found = read(rows, assays="assays").assays
    assert found["cellsearch"].description == "ours"
    assert found["mine"].gates == found["hdsca_arv7"].gates


CHANGES = {
    "channels": {"channels": {"dna": ["DAPI"], "ck": ["EpCAM"], "cd45": ["CD45"]}},
    "pixel_size_um": {"pixel_size_um": {"value": 0.325, "source": "x"}},
    "bit_depth": {"bit_depth": {"value": 16, "source": "x"}},
    "capture": {"capture": "size"},
    "gates": {"gates": {**ASSAY["gates"], "min_diameter_um": {"value": 6, "source": "x"}}},
}


@pytest.mark.parametrize("key", CHANGES)
def test_factors_of_another_method_are_named_as_taken_over(folder, key):
    Path("assays").mkdir()
    Path("assays/base.yaml").write_text(yaml.safe_dump(ASSAY))
    change = CHANGES[key]
    row = {**SAMPLE, "assay": "mine"}
    Path("assays/mine.yaml").write_text(yaml.safe_dump({"extends": "base", **change}))
    study = read([row], assays="assays")
    taken = study.assays["mine"].taken_over
    assert taken.base == "base"
    assert taken.changed == (key,)
    assert "reference_equivalent" in taken.factors
    assert any("assay mine: recovery, sensitivity" in note and "no prognosis" in note for note in study.notes)
    holds = {"value": list(taken.factors), "source": "tried on ten samples"}
    Path("assays/mine.yaml").write_text(yaml.safe_dump({"extends": "base", "inherits": holds, **change}))
    assert read([row], assays="assays").assays["mine"].taken_over is None
    own = {factor: ASSAY[factor] for factor in taken.factors if factor != "recovery"}
    Path("assays/mine.yaml").write_text(yaml.safe_dump({"extends": "base", **own, **change}))
    assert read([row], assays="assays").assays["mine"].taken_over.factors == ("recovery",)


def test_nobody_writes_what_was_taken_over(folder):
    Path("assays").mkdir()
    Path("assays/cellsearch.yaml").write_text(yaml.safe_dump({**ASSAY, "taken_over": None}))
    assert "an unknown name 'taken_over'" in only_fault(assays="assays")


def test_each_stage_gets_its_own_settings_only(folder):
    study = read([SAMPLE], random_seed=3)
    own = study.settings.as_json()
    of_sample = {verb: jobs.job_for(study, verb, sample="S1").as_json() for verb in ("detect", "classify", "count")}
    of_sample["report"] = jobs.job_for(study, "report", sample="S1").as_json()
    of_patient = {
        verb: jobs.job_for(study, verb, patient="P1").as_json() for verb in ("simulate", "prognose", "report")
    }
    assert set(of_sample["detect"]) == {"sample", "images", "format", "assay", "frame_limits", *own["detect"]}
    assert set(of_sample["detect"]["assay"]) == {
        *("name", "channels", "channel_order", "z", "pixel_size_um", "frame_px", "bit_depth", "files")
    }
    assert of_sample["detect"]["assay"]["pixel_size_um"] == ASSAY["pixel_size_um"]["value"]
    assert set(of_sample["classify"]) == {"sample", "assay", *own["classify"]}
    assert of_sample["classify"]["assay"]["gates"]["min_diameter_um"] == ASSAY["gates"]["min_diameter_um"]["value"]
    assert of_sample["count"] == {
        "sample": "S1",
        "patient": "P1",
        "collected": "2026-05-01",
        "drawn": None,
        "primary": study.patients["P1"].primary,
        "setting": study.patients["P1"].setting,
        "after": [],
        "role": None,
        "note": None,
        "notice": None,
        "blood_volume_ml": 7.5,
        "part_volumes_ml": [],
        "sampled_fraction": 1.0,
        "assay": {
            "name": "cellsearch",
            **{f: ASSAY.get(f) for f in FACTORS},
            "markers": {},
            "taken_over": None,
            "calibration": None,
        },
        **own["count"],
    }
    assert of_sample["report"]["assay"]["pixel_size_um"] == ASSAY["pixel_size_um"]["value"]
    row = study.patients["P1"].as_json()
    known = {key: value for key, value in row.items() if key not in ("event", "time_months")}
    assert set(row) - set(known) == {"event", "time_months"}
    assert set(of_sample["report"]) == {"assay", "donor", *own["report"]}
    of_simulate = {name: value for name, value in own["simulate"].items() if name != "what_if"}
    assert of_patient["simulate"] == {"patient": known, "random_seed": 3, **of_simulate}
    assert of_patient["prognose"] == {"patient": known, "random_seed": 3, **own["prognose"]}
    assert of_patient["report"] == {"patient": known}
    assert jobs.job_for(study, "report").as_json() == {"patients": [known]}
    for found in (*of_sample.values(), *of_patient.values()):
        assert json.loads(json.dumps(found)) == found
        assert str(folder) not in json.dumps(found)


@pytest.mark.parametrize("verb", ["detect", "classify", "count", "quality", "operator", "report"])
def test_a_job_of_a_sample_is_the_same_after_it_travelled_as_text(folder, verb):
    job = jobs.job_for(read([SAMPLE]), verb, sample="S1")
    assert jobs.read(type(job), job.model_dump_json()) == job


@pytest.mark.parametrize("verb", ["simulate", "prognose", "report"])
def test_a_job_of_a_patient_is_the_same_after_it_travelled_as_text(folder, verb):
    more = {
        "imaging": "2026-01-05: CT:lung=0",
        "therapies": "targeted:2026-05-20::growth=0.5",
        "resected": "2026-02-01",
    }
    job = jobs.job_for(read([SAMPLE], [{**PATIENT, **more}]), verb, patient="P1")
    assert jobs.read(type(job), job.model_dump_json()) == job
    assert [scan.lesions for scan in job.patient.imaging] == [0]


def test_what_is_not_a_job_is_refused():
    with pytest.raises(InputError, match="--settings"):
        jobs.read(jobs.DetectJob, '{"sample": 3}')


def test_the_defaults_of_the_models_are_those_of_the_settings_file():
    shipped = yaml.safe_load((ROOT / "config" / "config.yaml").read_text(encoding="utf-8"))
    assert Settings.model_validate(shipped) == Settings()
    assert set(shipped) == set(Settings.model_fields)


def test_each_setting_has_a_meaning_in_the_model_and_a_comment_in_the_file():
    def fields(model):
        for name, field in model.model_fields.items():
            inner = field.annotation
            if isinstance(inner, type) and issubclass(inner, Typed):
                yield from fields(inner)
            else:
                yield name, field

    for line in (ROOT / "config" / "config.yaml").read_text(encoding="utf-8").splitlines():
        assert not line or line.endswith(":") or "#" in line, line
    for name, field in fields(Settings):
        assert field.description, name
        assert field.description.endswith("."), name


cells = st.one_of(
    st.text(max_size=20), st.sampled_from(["", ";", "7.5", "P1", "slides/a", "2026-05-01", "nan", '"', "..", "-0"])
)


@pytest.mark.property
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(column=st.sampled_from([*SAMPLE, "format", "sampled_fraction", "role", "note"]), cell=cells)
def test_any_cell_is_accepted_or_refused_with_its_line(folder, column, cell):
    faults = ()
    try:
        study = read([{**SAMPLE, column: cell}])
    except InputError as error:
        faults = error.faults
    if faults:
        assert all(str(fault).startswith("samples.tsv: ") and str(fault).isprintable() for fault in faults)
    else:
        (row,) = study.samples.values()
        assert Sample.model_validate_json(row.model_dump_json()) == row
        assert 0.0001 <= row.blood_volume_ml < 1000
        assert 0 < row.sampled_fraction <= 1


@pytest.mark.property
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.one_of(st.binary(max_size=200), st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")))
)
def test_any_bytes_are_read_or_refused(folder, content):
    for name in ("samples.tsv", "patients.tsv", "over.yaml"):
        Path(name).write_bytes(content)
    given_files = [ROOT / "config" / "config.yaml", Path("over.yaml")]
    with pytest.raises(InputError):
        sheets.read_study(given_files, {"samples": "samples.tsv", "patients": "patients.tsv"})


def test_scenarios_are_checked_with_the_study_and_are_not_a_setting(folder):
    (folder / "scenarios.yaml").write_text("half: {shedding_cut: 0.5}\n")
    study = read([SAMPLE], simulate={"what_if": "scenarios.yaml"})
    assert study.what_if == Path("scenarios.yaml")
    assert "what_if" not in jobs.simulate_job(study, "P1").as_json()
    (folder / "scenarios.yaml").write_text("half: {shedding_cut: 5}\n")
    with pytest.raises(InputError, match="from 0 to 1"):
        read([SAMPLE], simulate={"what_if": "scenarios.yaml"})


def test_a_removal_before_the_diagnosis_is_refused(folder):
    with pytest.raises(
        InputError, match="resected: found 2020-01-01; expected a day from the diagnosis on, 2021-01-01"
    ):
        read([SAMPLE], [{**PATIENT, "diagnosed": "2021-01-01", "resected": "2020-01-01"}])


@pytest.mark.parametrize(
    ("drawn", "collected", "found"),
    [
        ("after", "2026-05-02", "no operation and no start of a therapy on 2026-05-02"),
        ("10:30", "2026-05-01", "before or after"),
        ("noon", "2026-05-01", "noon"),
    ],
)
def test_before_and_after_need_an_intervention_of_that_day(folder, drawn, collected, found):
    operated = {**PATIENT, "setting": "early", "resected": "2026-05-01"}
    sample = {**SAMPLE, "collected": collected, "drawn": drawn}
    fault = only_fault([sample], [operated])
    assert found in fault
    assert "drawn" in fault


def test_drawn_says_which_interventions_came_before(folder):
    operated = {**PATIENT, "setting": "early", "resected": "2026-05-01"}
    for drawn, after in (("before", ()), ("after", ("removal",))):
        study = read([{**SAMPLE, "collected": "2026-05-01", "drawn": drawn}], [operated])
        assert jobs.count_job(study, "S1").after == after
    treated = {**PATIENT, "therapy_start": "2026-01-01", "therapies": "chemotherapy:2026-03-01:"}
    study = read([{**SAMPLE, "collected": "2026-05-01", "drawn": "10:30"}], [treated])
    assert jobs.count_job(study, "S1").after == ("therapy", "further_therapy")


@pytest.mark.parametrize("word", ["2:30", "010", "0x10", "1_0:20"])
def test_words_that_only_yaml_takes_for_numbers_are_no_numbers(tmp_path, word):
    faults = []
    path = tmp_path / "over.yaml"
    path.write_text(f"chunk_frames: {word}\n")
    assert text_files.read_yaml(path, faults) == {"chunk_frames": word}
    path.write_text("a: [12, -3, +4, 1_000, 0, 1.5, -.5, 1e3, 2.5E-2, 0.0]\n")
    numbers = text_files.read_yaml(path, faults)["a"]
    assert numbers == [12, -3, 4, 1000, 0, 1.5, -0.5, 1000.0, 0.025, 0.0]
    assert faults == []


def test_a_section_without_settings_is_none_and_one_named_twice_is_refused(tmp_path):
    faults = []
    shipped = ROOT / "config" / "config.yaml"
    over = tmp_path / "over.yaml"
    over.write_text("classify:\n  # p_ctc_call: 0.8\ndetect:\n  background:\n")
    settings = configuration.Configuration([shipped, over], {"count": None}, faults).settings
    assert (faults, settings) == ([], configuration.Configuration([shipped], {}, faults).settings)
    over.write_text("classify:\n  p_ctc_call: .8\n  p_ctc_call: .7\n")
    configuration.Configuration([shipped, over], {"classify": {"p_ctc_call": 0.7}}, faults)
    assert "a second time" in str(faults[0])


@pytest.mark.parametrize(
    ("written", "fault"),
    [
        ("chunk_frames: 256.0", "found 256.0; expected a whole number of frames from 1 to 100000; write 256"),
        (
            "chunk_frames: '256'",
            "found the text '256'; expected a whole number of frames from 1 to 100000; write 256",
        ),
        ("count: {level: '0.9'}", "found the text '0.9'; expected the level of intervals from 0.5 to 0.999; write 0.9"),
        ("detect: {labels: 'true'}", "found the text 'true'; expected true or false; write true without quotes"),
        ("chunk_frames: 2.5", "found 2.5; expected a whole number of frames from 1 to 100000; fix the value"),
        ("chunk_frames: many", "found many; expected a whole number of frames from 1 to 100000; fix the value"),
    ],
)
def test_a_number_in_another_form_is_shown_in_it_with_what_to_write(folder, written, fault):
    Path("over.yaml").write_text(written)
    tsv("samples.tsv", [SAMPLE])
    tsv("patients.tsv", [PATIENT])
    given = {"samples": "samples.tsv", "patients": "patients.tsv"}
    with pytest.raises(InputError) as caught:
        sheets.read_study([ROOT / "config" / "config.yaml", Path("over.yaml")], given)
    (found,) = caught.value.faults
    assert str(found).startswith("over.yaml: ")
    assert fault in str(found)
