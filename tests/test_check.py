"""What `ctcascade check` says of images before any run: what each is read as, and why some can never be read."""

import os
import shutil

import numpy as np
import pytest
import tifffile
from PIL import Image

from ctcascade import __main__ as cli

pytestmark = pytest.mark.workflow

NAMES = ("DAPI", "CK-PE", "CD45-APC", "FITC")
FILES = ("DAPI", "CK", "CD45", "FITC")  # as the names of the assay hdsca
RNG = np.random.default_rng(20261130)


def planes(n=4, top=4000):
    """Planes of noise that differ from each other."""
    return RNG.integers(1, top, size=(n, 40, 50), dtype=np.uint16)


def ome(path, pixels, names=NAMES, um=0.645, **how):
    size = (
        {"PhysicalSizeX": um, "PhysicalSizeY": um, "PhysicalSizeXUnit": "µm", "PhysicalSizeYUnit": "µm"} if um else {}
    )
    metadata = {"axes": "CYX", "Channel": {"Name": list(names)}, **size}
    tifffile.imwrite(path, pixels, photometric="minisblack", ome=True, metadata=metadata, **how)


def one_each(folder, names=FILES, frames=3, pattern="{frame}_{channel}.png"):
    for k in range(frames):
        for name, plane in zip(names, planes(), strict=False):
            place = folder / pattern.format(frame=f"f{k}", channel=name)
            place.parent.mkdir(exist_ok=True)
            Image.fromarray((plane // 16).astype(np.uint8)).save(place)


def single(path, pixels):
    tifffile.imwrite(path, pixels, photometric="minisblack", metadata=None)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder far from the repository."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def check(capsys, *samples, sheet="samples.tsv", options=(), patients=None):
    """Return exit code, lines on stdout and lines on stderr of a check of samples: name, assay, images, volume."""
    head = "sample\tpatient\tcollected\timages\tassay\tblood_volume_ml\n"
    rows, names = "", []
    for k, (name, assay, images, volume) in enumerate(samples):
        patient = (patients or {}).get(name, f"P{k}")
        names.append(patient)
        rows += f"{name}\t{patient}\t2026-05-01\t{images}\t{assay}\t{volume}\n"
    with open(sheet, "w", encoding="utf-8") as file:
        file.write(head + rows)
    with open("patients.tsv", "w", encoding="utf-8") as file:
        file.write("patient\tprimary\tsetting\tsex\n")
        file.writelines(f"{name}\tbreast\tmetastatic\tfemale\n" for name in dict.fromkeys(names))
    try:
        cli.main(["check", *options, "--config", f"samples={sheet}", "patients=patients.tsv"])
        code = 0
    except SystemExit as ended:
        code = ended.code
    said = capsys.readouterr()
    return code, said.out.splitlines(), said.err.splitlines()


def sample(name, assay="cellsearch", images=None, volume="7.5"):
    return name, assay, images or name, volume


def test_each_sample_has_a_line_that_says_what_it_is_read_as_and_from_where(folder, capsys):
    for name in ("stated", "assumed", "finer", "scanner"):
        (folder / name).mkdir()
    ome(folder / "stated" / "f1.ome.tif", planes())
    ome(folder / "assumed" / "f1.ome.tif", planes(), um=None)
    ome(folder / "finer" / "f1.ome.tif", planes(top=60000) | 1, um=0.325)
    one_each(folder / "scanner")
    samples = sample("stated"), sample("assumed"), sample("finer"), sample("scanner", "hdsca")
    code, out, err = check(capsys, *samples)
    assert (code, err) == (0, [])
    told = "channels DAPI -> dna, CK-PE -> ck, CD45-APC -> cd45, FITC -> fitc (named in the file)"
    assert out == [
        f"stated: 1 frames, ome-tiff (each TIFF is a frame); {told}; 12 bits (assay); "
        "0.645 um a pixel (stated by the file); 40 x 50 pixels",
        f"assumed: 1 frames, ome-tiff (each TIFF is a frame); {told}; 12 bits (assay); "
        "0.645 um a pixel (ASSUMED: no file states it, taken from the assay); 40 x 50 pixels",
        f"finer: 1 frames, ome-tiff (each TIFF is a frame); {told}; 16 bits (by the values, not the 12 of the assay); "
        "0.325 um a pixel (stated by the file, not the 0.645 um of the assay); 40 x 50 pixels",
        "scanner: 3 frames, files (file names follow {frame}_{channel}); channels DAPI -> dna, CK -> ck, "
        "CD45 -> cd45, FITC -> fitc (by the files' names); 8 bits (file); "
        "0.591 um a pixel (ASSUMED: no file states it, taken from the assay); 40 x 50 pixels",
        "finer: frames 1, together about 0.00021 mm2, are taken for all of 7.5 mL (of all samples the least area for "
        "its blood): if they are only a part of the frames, give that share as sampled_fraction",
        "4 samples of 4 patients: nothing to fix",
    ]


def _unnamed(at):
    single(at / "f1.tif", planes())


def _one_channel_each(at):
    for name, plane in zip(NAMES, planes(), strict=True):
        single(at / f"f1_{name}.tif", plane)


def _without_ck(at):
    ome(at / "f1.ome.tif", planes(3), names=("DAPI", "CD45", "FITC"))


def _rgb(at):
    tifffile.imwrite(at / "f1.tif", np.moveaxis((planes(3) // 16).astype(np.uint8), 0, -1), photometric="rgb")


def _broken(at):
    for k in range(3):
        (at / f"f{k}.tif").write_bytes(b"II*\0abc")


def _inside(at):
    (at / "raw").mkdir()
    ome(at / "raw" / "f1.ome.tif", planes())


def _of_other_names(at):
    one_each(at, names=("DAPI", "PanCK", "CD45", "FITC"))


NEVER_READ = {
    "unnamed": (_unnamed, "4 planes without channel names", "channel_order: trusted"),
    "one file a channel without a pattern": (_one_channel_each, "1 planes without", "write files: '{frame}_{channel}'"),
    "no cytokeratin": (_without_ck, "channel missing: ck; the file names DAPI, CD45, FITC", "channels in the assay"),
    "colours": (_rgb, "a colour picture (RGB)", "fix the images"),
    "broken": (_broken, "f0.tif", "bring these images again"),
    "in a sub-folder": (_inside, "no image file; 1 in the sub-folder raw", "raw"),
    "pictures without a pattern": (one_each, "12 PNG files (f0_CD45.png", "or let `ctcascade init` guess it"),
    "no images": (lambda at: (at / "a.docx").write_bytes(b"1"), "no image file, but a.docx", "the images themselves"),
    "Imaris": (lambda at: (at / "a.ims").write_bytes(b"1"), "a.ims is an Imaris file, which is not read", "export"),
    "an archive": (lambda at: (at / "a.zip").write_bytes(b"PK"), "1 ZIP archive file (a.zip)", "unpack"),
    "an index": (lambda at: (at / "NDTiff.index").write_bytes(b"1"), "index NDTiff.index without its images", "export"),
    "nothing": (lambda at: None, "no image file, and no other file", "the images themselves"),
}


@pytest.mark.parametrize("kind", NEVER_READ)
def test_what_can_never_be_read_ends_with_2_and_says_what_was_found(folder, capsys, kind):
    write, found, todo = NEVER_READ[kind]
    (folder / "s").mkdir()
    write(folder / "s")
    code, out, err = check(capsys, sample("s"))
    assert code == 2
    assert not any("nothing to fix" in line for line in out)
    assert len(err) == 1
    assert found in err[0]
    assert todo in err[0]
    assert "bzscanner" not in err[0].lower()


def test_names_that_miss_the_pattern_are_told_with_what_they_should_be(folder, capsys):
    for name, pattern, channels in (
        ("missed", "{frame}-{channel}.png", FILES),
        ("other", "{frame}_{channel}.png", ("DAPI", "PanCK", "CD45")),
    ):
        (folder / name).mkdir()
        one_each(folder / name, channels, pattern=pattern)
    code, _, err = check(capsys, sample("missed", "hdsca"))
    assert code == 2
    assert "12 PNG files (f0-CD45.png" in err[0]
    assert "{frame}_{channel}, such as f1_DAPI.png" in err[0]
    code, _, err = check(capsys, sample("other", "hdsca"))
    assert code == 2
    assert "no file of ck in any of 3 frames" in err[-1]
    assert "3 other images, such as f0_PanCK.png" in err[-1]
    assert "(ck: CK, TRITC, AF555)" in err[-1]


def test_a_frame_without_a_channel_among_whole_ones_is_a_warning(folder, capsys):
    (folder / "s").mkdir()
    one_each(folder / "s")
    (folder / "s" / "f1_CK.png").unlink()
    shutil.copy(folder / "s" / "f0_CK.png", folder / "s" / "overview.png")
    code, out, err = check(capsys, sample("s", "hdsca"))
    assert code == 0
    assert "s: 1 of 3 frames lack a channel and will not be usable: f1 without ck" in err
    assert "s: 1 images do not follow {frame}_{channel} and are not read: overview.png" in err
    assert out[-1] == "1 samples of 1 patients: nothing to fix"


def test_a_broken_first_frame_is_named_and_the_next_is_looked_at(folder, capsys):
    (folder / "s").mkdir()
    for k in range(3):
        ome(folder / "s" / f"f{k}.ome.tif", planes())
    (folder / "s" / "f0.ome.tif").write_bytes(b"II*\0abc")
    code, out, err = check(capsys, sample("s"))
    assert code == 0
    assert err[0].startswith("s: frame f0 cannot be read: ")
    assert "DAPI -> dna" in out[0]


@pytest.mark.parametrize("patient", ["P0", "P1"])
def test_the_same_pixels_in_two_samples_are_named_however_they_are_stored(folder, capsys, patient):
    pixels = planes()
    for name in "ab":
        (folder / name).mkdir()
        ome(folder / name / f"{name}1.ome.tif", pixels, compression="zlib" if name == "b" else None)
    code, _, err = check(capsys, sample("a"), sample("b"), patients={"b": patient})
    whose = "patient P0" if patient == "P0" else "two patients, P0 and P1"
    (warning,) = [line for line in err if "WARNING" in line]
    assert code == 0
    assert warning.startswith(f"WARNING: samples a and b of {whose}: they begin with the same pixels (b1.ome.tif)")


@pytest.mark.parametrize("images", ["s;./s", "s;link", "s;s/f1.ome.tif", "s/f1.ome.tif;s"])
def test_a_folder_named_twice_is_refused_as_its_blood_would_count_twice(folder, capsys, images):
    (folder / "s").mkdir()
    os.symlink(folder / "s", folder / "link")
    ome(folder / "s" / "f1.ome.tif", planes())
    code, _, err = check(capsys, sample("s", images=images, volume="7.5;7.5"))
    assert code == 2
    assert "once, with its volume" in err[0]


def test_odd_names_are_read_or_refused_in_words(folder, capsys):
    for name in ("P01 [rerun]", "with $RECYCLE.BIN", "e\u0301", "bytes", "l" * 250):
        (folder / name).mkdir()
        ome(folder / name / "f1 [a].ome.tif", planes())
    for name in ("$RECYCLE.BIN", "@eaDir"):
        (folder / "with $RECYCLE.BIN" / name).mkdir()
        (folder / "with $RECYCLE.BIN" / name / "f9.tif").write_bytes(b"1")
    code, _, err = check(capsys, sample("S", images="P01 [rerun]"))
    assert (code, err) == (0, [])
    code, _, err = check(capsys, sample("S", images="with $RECYCLE.BIN"))
    assert code == 0
    assert err == ["S: 2 beside the frames, ignored: $RECYCLE.BIN, @eaDir"]
    assert check(capsys, sample("S", images="l" * 250))[0] == 0
    code, _, err = check(capsys, sample("S", images="\u00e9"))
    assert code == 2
    assert "spelt with other characters that look the same; rename it" in err[0]
    os.rename(b"bytes/f1 [a].ome.tif", b"bytes/f\xff.ome.tif")
    code, _, err = check(capsys, sample("S", images="bytes"))
    assert code == 2
    assert "bytes that are no UTF-8: f\\xff.ome.tif" in err[0]


def test_a_preview_shows_each_channel_with_a_scale_bar(folder, capsys):
    (folder / "s").mkdir()
    ome(folder / "s" / "f1.ome.tif", planes())
    code, _, _ = check(capsys, sample("s"), options=("--preview", "looks/at"))
    assert code == 0
    with Image.open(folder / "looks" / "at" / "s.png") as sheet:
        assert sheet.size == (6 + 4 * 246, 40 + 62 + 6)
        shown = np.asarray(sheet)
    bar = (shown == 255).sum(axis=1)[62:102]  # um of 0.645: a white line of 10 um in each panel
    assert bar.max() >= 4 * 15


def test_an_overlay_stands_over_the_shipped_settings_as_in_a_run(folder, capsys):
    (folder / "s").mkdir()
    ome(folder / "s" / "f1.ome.tif", planes())
    (folder / "over.yaml").write_text("classify: {p_ctc_call: 0.05}\n")
    code, _, err = check(capsys, sample("s"), options=("--configfile", "over.yaml"))
    assert code == 2
    assert any("p_ctc_uncertain" in line for line in err)
