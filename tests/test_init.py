"""What `ctcascade init` finds out of a folder of images and leaves for a person, and that check refuses its marks."""

import numpy as np
import pytest
import tifffile
import yaml
from PIL import Image

from ctcascade import __main__ as cli
from ctcascade.validation.names_guess import Pattern, new_role, pattern_of, role_of_stain
from ctcascade.validation.patient_guess import in_ascii, patients_of

GUID = "D5F8F51A-3E85-4358-AE51-A465AF87386F"
STAINS = ("DAPI", "CK-PE", "CD45-APC")
RNG = np.random.default_rng(5)


@pytest.mark.unit
@pytest.mark.parametrize(
    ("names", "files", "channels"),
    [
        ([f"f{k}_{c}" for k in range(3) for c in STAINS], "{frame}_{channel}", STAINS),
        ([f"f_0{k}-{c}" for k in range(3) for c in STAINS], "{frame}-{channel}", STAINS),
        ([f"{c}_f{k}" for k in range(3) for c in STAINS], "{channel}_{frame}", STAINS),
        ([f"C07_s{k}_w{c}{GUID}" for k in (1, 2) for c in (1, 2, 3)], "{frame}_{channel}{guid}", ("w1", "w2", "w3")),
        ([f"f{k} ch{c} ORG" for k in (1, 2) for c in (1, 2)], "{frame} {channel} ORG", ("ch1", "ch2")),
        ([f"{c}/f{k}" for k in range(3) for c in STAINS], "{channel}/{frame}", STAINS),
        ([f"f{k}/{c}" for k in range(3) for c in STAINS], "{frame}/{channel}", STAINS),
        (
            [f"P1 scan {k} {c}" for k in (1, 2) for c in ("DAPI", "PanCK AF488")],
            "{frame} {channel}",
            ("DAPI", "PanCK AF488"),
        ),
        ([f"s_{k:03d}" for k in range(9)], None, ()),
        ([f"f{k}" for k in range(9)], None, ()),
        (["f1_DAPI", "f1_CK", "f2_DAPI"], None, ()),  # a file is missing: not for a guess
        (
            [f"f{k}_{c}" for k in (1, 2) for c in ("DAPI", "CK")] + ["f1_thumb_DAPI"],
            "{frame}_{channel}",
            ("DAPI", "CK"),
        ),
    ],
)
def test_the_pattern_of_names_is_found_where_every_frame_has_every_channel(names, files, channels):
    assert pattern_of(names) == (Pattern(files, tuple(channels)) if files else None)


@pytest.mark.unit
def test_stains_are_known_by_name_and_fluorophores_are_not():
    known = {
        "Hoechst 33342": "dna",
        "nuclei": "dna",
        "CK8/18/19": "ck",
        "PanCK": "ck",
        "EpCAM-AF488": "ck",
        "CD45-APC": "cd45",
    }
    assert {name: role_of_stain(name) for name in known} == known
    assert [role_of_stain(name) for name in ("AF488", "PE", "Cy5", "w1", "Duck", "CD4")] == [None] * 6
    assert (new_role("Her2/neu", ()), new_role("488", ()), new_role("x", ("x",))) == ("her2neu", "c488", "x1")


@pytest.mark.unit
@pytest.mark.parametrize(
    ("names", "patients"),
    [
        (["NSCLC-017_T2", "NSCLC-018_T1", "NSCLC-018_T2"], ["NSCLC-017", "NSCLC-018", "NSCLC-018"]),
        (["BC_001_A", "BC_002_A"], ["BC_001", "BC_002"]),
        (["STUDY-01_2026-01-05", "STUDY-02_2026-01-05"], ["STUDY-01", "STUDY-02"]),
        (["Mueller_1", "Moeller_1"], ["Mueller_1", "Moeller_1"]),
        (["STUDY_T1", "STUDY_2026-01-05"], ["STUDY_T1", "STUDY_2026-01-05"]),  # a study's name is nobody
        (["P01_1", "P01_2", "P02_1"], ["P01", "P01", "P02"]),
        (["Site01_5", "Site01_7"], ["FILL_IN", "FILL_IN"]),
        (["BC_001_A", "BC_001_B"], ["FILL_IN", "FILL_IN"]),
        (["STUDY-001", "STUDY-002"], ["STUDY-001", "STUDY-002"]),
        (["2026-01-05", "T1", "2026-01-05_P07"], ["FILL_IN", "FILL_IN", "P07"]),
        (["P01_baseline", "P01_C2D1", "P01_2026-03-01_V2"], ["P01", "P01", "P01"]),
    ],
)
def test_a_patient_is_what_a_name_leaves_without_date_and_time_point(names, patients):
    assert list(patients_of(names, names).patients) == patients


@pytest.mark.unit
def test_names_that_lost_letters_are_never_united():
    assert patients_of(["01_T1", "01_T2"], ["\u041601_T1", "\u041401_T2"]).patients == ("01_T1", "01_T2")
    assert [in_ascii(name) for name in ("Müller", "Mo\u0308ller", "Šimůnek")] == ["Mueller", "Moeller", "Simunek"]


@pytest.mark.workflow
def test_umlauts_are_spelt_and_make_no_two_people_one(folder, tmp_path, capsys):
    for name in ("Müller_1", "Möller_1"):
        (folder / name).mkdir(parents=True)
        tifffile.imwrite(folder / name / "f1.tif", planes(3), photometric="minisblack", metadata={"axes": "CYX"})
    assert run("init", "scans") == 0
    rows = [line.split("\t")[:2] for line in (tmp_path / "samples.tsv").read_text().splitlines()[1:]]
    assert sorted(rows) == [["Moeller_1", "Moeller_1"], ["Mueller_1", "Mueller_1"]]
    assert "one patient" not in capsys.readouterr().out


def planes(n=4):
    return RNG.integers(1, 4000, size=(n, 40, 50), dtype=np.uint16)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path / "scans"


def run(*words):
    try:
        cli.main(list(words))
    except SystemExit as ended:
        return ended.code
    return 0


@pytest.mark.workflow
def test_a_folder_of_samples_becomes_sheets_and_assays_that_run_once_filled_in(folder, tmp_path, capsys):
    for name in ("P01_2026-05-01", "P01_2026-06-01", "P02 b"):
        (folder / name).mkdir(parents=True)
    size = {"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5, "PhysicalSizeXUnit": "um", "PhysicalSizeYUnit": "um"}
    for name in ("P01_2026-05-01", "P01_2026-06-01"):
        metadata = {"axes": "CYX", "Channel": {"Name": ["Hoechst", "EpCAM", "CD45", "HER2"]}, **size}
        tifffile.imwrite(folder / name / "f1.ome.tif", planes(), photometric="minisblack", ome=True, metadata=metadata)
    for channel, plane in zip(STAINS, planes(3), strict=True):
        Image.fromarray((plane // 16).astype(np.uint8)).save(folder / "P02 b" / f"f1_{channel}.png")
    assert run("init", "scans") == 0
    told = capsys.readouterr().out
    assert "assays/scans_2.yaml written" in told
    assert "taken as one patient, P01: P01_2026-05-01, P01_2026-06-01; give each its own" in told
    assert (tmp_path / "samples.tsv").read_text().splitlines() == [
        "sample\tpatient\tcollected\timages\tassay\tblood_volume_ml\tsampled_fraction",
        "P01_2026-05-01\tP01\t2026-05-01\tscans/P01_2026-05-01\tscans\tFILL_IN\tFILL_IN",
        "P01_2026-06-01\tP01\t2026-06-01\tscans/P01_2026-06-01\tscans\tFILL_IN\tFILL_IN",
        "P02_b\tP02\tFILL_IN\tscans/P02 b\tscans_2\tFILL_IN\tFILL_IN",
    ]
    first, second = (
        yaml.safe_load((tmp_path / "assays" / f"{name}.yaml").read_text()) for name in ("scans", "scans_2")
    )
    assert first["channels"] == {"dna": ["Hoechst"], "ck": ["EpCAM"], "cd45": ["CD45"], "her2": ["HER2"]}
    assert (first["pixel_size_um"]["value"], first["files"], first["bit_depth"]["value"]) == (0.5, None, "FILL_IN")
    assert second["channels"] == {"dna": ["DAPI"], "ck": ["CK-PE"], "cd45": ["CD45-APC"]}
    assert (second["pixel_size_um"]["value"], second["files"]) == ("FILL_IN", "{frame}_{channel}")
    assert second["bit_depth"]["value"] == 8
    sheets = ["--config", "samples=samples.tsv", "patients=patients.tsv", "assays=assays"]
    assert run("check", *sheets) == 2
    err = capsys.readouterr().err.splitlines()
    assert len(err) == 7  # a line for each row and each assay
    assert (
        "samples.tsv: line 4, collected, blood_volume_ml, sampled_fraction: found FILL_IN, which `ctcascade init` left"
        in err[2]
    )
    assert "assays/scans_2.yaml: description, capture, pixel_size_um.value: found FILL_IN" in err[-1]
    for path in (*tmp_path.glob("*.tsv"), *(tmp_path / "assays").glob("*")):
        text = path.read_text().replace("FILL_IN one", "one").replace("FILL_IN how", "how")
        if path.name == "patients.tsv":
            text = text.replace("FILL_IN\tFILL_IN\tFILL_IN", "breast\tmetastatic\tfemale")
        text = text.replace("P02\tFILL_IN", "P02\t2026-05-03")
        text = text.replace("FILL_IN\tFILL_IN\n", "7.5\t1\n") if path.name == "samples.tsv" else text
        path.write_text(text.replace("value: FILL_IN", "value: 12").replace("FILL_IN", "7.5"))
    assert run("check", *sheets) == 0
    said = capsys.readouterr()
    assert "3 samples of 2 patients: nothing to fix" in said.out
    assert "frames 1, together about 0.0005 mm2, are taken for all of 7.5 mL" in said.out
    assert "Hoechst -> dna, EpCAM -> ck, CD45 -> cd45, HER2 -> her2 (named in the file)" in said.out
    assert "assay scans: recovery, sensitivity" in said.err


@pytest.mark.workflow
def test_nothing_is_overwritten_and_a_folder_without_images_is_refused(folder, tmp_path, capsys):
    (folder / "@eaDir").mkdir(parents=True)
    assert run("init", "scans") == 2
    assert "scans: found no image in it or in its sub-folders" in capsys.readouterr().err
    for name in STAINS:
        (folder / name).mkdir()
        tifffile.imwrite(folder / name / "f1.tif", planes(1)[0], photometric="minisblack", metadata=None)
    (tmp_path / "mine" / "assays").mkdir(parents=True)
    (tmp_path / "mine" / "samples.tsv").write_text("mine")
    assert run("init", "scans", "--out", "mine") == 2
    assert "mine/samples.tsv, there already" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "mine").rglob("*") if path.is_file()] == ["samples.tsv"]
    assert run("init", "scans", "--out", "other") == 0
    text = (tmp_path / "other" / "assays" / "scans.yaml").read_text()
    assert yaml.safe_load(text)["files"] == "{channel}/{frame}"
    assert (
        "scans\tscans\tFILL_IN\t../scans\tscans\tFILL_IN\tFILL_IN" in (tmp_path / "other" / "samples.tsv").read_text()
    )
