"""Frames of a folder by name: which files are frames, in which order, and what is refused."""

import pytest

from ctcascade import formats
from ctcascade.data.errors import InputError
from ctcascade.formats.listing import list_frames
from tests.support.detecting import camera

pytestmark = pytest.mark.unit

PLAIN = camera(
    channels={"dna": ["DAPI"], "ck": ["CK", "TRITC"], "cd45": ["CD45", "CY5"], "fitc": ["FITC"]},
    pixel_size_um=0.6,
    frame_px=[100, 100],
    bit_depth=12,
)
PATTERN = PLAIN.model_copy(update={"files": "{frame}_{channel}"})


def fill(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"never opened")
    return folder


def names(listed):
    return [ref.frame for ref in listed.frames]


def refused(*args):
    with pytest.raises(InputError) as caught:
        list_frames(*args)
    return str(caught.value)


def test_each_tiff_is_a_frame_in_the_order_of_its_numbers(tmp_path):
    fill(tmp_path / "s", "f10.ome.tif", "f2.tif", "f1.TIFF", "notes.txt", ".hidden.tif")
    (tmp_path / "s" / "old").mkdir()
    listed = list_frames(["s"], tmp_path, "auto", PLAIN)
    assert names(listed) == ["f1", "f2", "f10"]
    assert [ref.path for ref in listed.frames] == ["s/f1.TIFF", "s/f2.tif", "s/f10.ome.tif"]
    assert listed.ignored == ("notes.txt", "old")
    assert (listed.format, listed.why) == ("ome-tiff", "each TIFF is a frame")


def test_one_file_a_channel_makes_one_frame(tmp_path):
    fill(tmp_path / "s", *(f"a_b{k}_{c}.jpg" for k in (2, 10) for c in ("FITC", "DAPI", "cd45", "CK", "DIC")))
    listed = list_frames(["s"], tmp_path, "auto", PATTERN)
    assert names(listed) == ["a_b2", "a_b10"]
    assert sorted(listed.frames[0].channels) == ["CK", "DAPI", "FITC", "cd45"]
    assert listed.ignored == ("a_b2_DIC.jpg", "a_b10_DIC.jpg")
    assert (listed.format, listed.why) == ("files", "file names follow {frame}_{channel}")


def test_bzscanner_tiles_are_numbered_by_channel(tmp_path):
    tiles = [f"Tile{tile + 1 + channel * 2304:06d}.jpg" for tile in (0, 2303) for channel in range(5)]
    fill(tmp_path / "s", *tiles, "Tile011521.jpg", "slideinfo.txt")
    listed = list_frames(["s"], tmp_path, "auto", PATTERN)
    assert names(listed) == ["0000", "2303"]
    assert listed.frames[0].channels == ("DAPI", "TRITC", "CY5", "FITC")
    assert [path.name for path in listed.frames[0].files] == [
        "Tile000001.jpg",
        "Tile002305.jpg",
        "Tile004609.jpg",
        "Tile009217.jpg",
    ]
    assert listed.ignored == ("Tile011521.jpg",)
    assert listed.format == "bzscanner"


def test_parts_are_kept_apart(tmp_path):
    fill(tmp_path / "a", "f1.tif", "f2.tif")
    fill(tmp_path / "b", "f1.tif")
    listed = list_frames(["a", "b"], tmp_path, "auto", PLAIN)
    assert [(ref.frame, ref.part, ref.path) for ref in listed.frames] == [
        ("1_f1", 0, "a/f1.tif"),
        ("1_f2", 0, "a/f2.tif"),
        ("2_f1", 1, "b/f1.tif"),
    ]
    fill(tmp_path / "c", "g1.tif")
    alone = list_frames(["a", "c"], tmp_path, "auto", PLAIN)
    assert [(ref.frame, ref.part) for ref in alone.frames] == [("f1", 0), ("f2", 0), ("g1", 1)]


def test_one_file_may_be_the_sample_and_no_path_is_absolute(tmp_path):
    fill(tmp_path / "s", "f1.ome.tif", "f2.ome.tif")
    for images in ("s/f2.ome.tif", str(tmp_path / "s" / "f2.ome.tif")):
        listed = list_frames([images], tmp_path, "auto", PLAIN)
        assert [(ref.frame, ref.path) for ref in listed.frames] == [("f2", "s/f2.ome.tif")]
        assert listed.frames[0].files[0].is_file()


@pytest.mark.parametrize(
    ("files", "assay"),
    [
        (("f1.tif", "f1.ome.tif"), PLAIN),
        (("f1_DAPI.jpg", "f1_DAPI.png"), PATTERN),
        (("f1_CK.jpg", "f1_TRITC.jpg"), PATTERN),
        (("Tile000001.jpg", "Tile000001.tif"), PATTERN),
    ],
)
def test_two_files_that_are_one_frame_are_refused(tmp_path, files, assay):
    fill(tmp_path / "s", *files)
    message = refused(["s"], tmp_path, "auto", assay)
    assert all(name in message for name in files)


def test_a_folder_without_frames_is_refused_by_name(tmp_path):
    fill(tmp_path / "empty", "notes.txt")
    (tmp_path / "empty" / "deeper.tif").mkdir()
    fill(tmp_path / "jpegs", "f1.jpg")
    assert "no image file" in refused(["empty"], tmp_path, "auto", PLAIN)
    assert "gone: found no such folder or file" in refused(["gone"], tmp_path, "auto", PLAIN)
    assert "found 1 JPEG file (f1.jpg)" in refused(["jpegs"], tmp_path, "auto", PLAIN)
    assert "1 image files, none of that layout" in refused(["jpegs"], tmp_path, "czi", PLAIN)
    assert "Tile000001.jpg" in refused(["jpegs"], tmp_path, "bzscanner", PLAIN)
    assert " | ".join(formats.FORMATS) in refused(["jpegs"], tmp_path, "fcs", PLAIN)
    assert "found nothing" in refused([], tmp_path, "auto", PLAIN)


def test_names_that_differ_only_in_zeros_or_case_keep_one_order(tmp_path):
    fill(tmp_path / "s", "f1.tif", "f01.tif", "F1.tif", "f001.tif")
    assert names(list_frames(["s"], tmp_path, "auto", PLAIN)) == ["F1", "f001", "f01", "f1"]


GUIDS = ("D5F8F51A-3E85-4358-AE51-A465AF87386F", "EADF08BD-3BFB-44F3-8214-24B191F3D15C")


def test_a_sub_folder_may_hold_each_channel(tmp_path):
    assay = PATTERN.model_copy(update={"files": "{channel}/{frame}"})
    fill(
        tmp_path / "s",
        *(f"{c}/f{k}.png" for c in ("DAPI", "CK", "CD45", "BF") for k in (1, 2)),
        "CK/notes.txt",
        "x.png",
    )
    listed = list_frames(["s"], tmp_path, "auto", assay)
    assert [(ref.frame, ref.channels) for ref in listed.frames] == [
        ("f1", ("CD45", "CK", "DAPI")),
        ("f2", ("CD45", "CK", "DAPI")),
    ]
    assert listed.frames[1].path == "s/CD45/f2.png"
    assert all(path.is_file() for ref in listed.frames for path in ref.files)
    assert set(listed.ignored) == {"BF", "BF/f1.png", "BF/f2.png", "x.png"}


def test_names_with_a_guid_and_thumbnails_are_read_by_the_pattern(tmp_path):
    channels = {"dna": ["w1"], "ck": ["w2"], "cd45": ["w3"]}
    assay = PATTERN.model_copy(update={"files": "{frame}_{channel}{guid}", "channels": channels})
    names = [f"C07_s{k}_w{c}{guid}.tif" for k, guid in enumerate(GUIDS, 1) for c in (1, 2, 3)]
    thumbs = [f"C07_s1_w1_thumb{GUIDS[0]}.tif"]
    fill(tmp_path / "s", *names, *thumbs)
    for pattern in ("{frame}_{channel}{guid}", "{frame}_{channel}*"):
        listed = list_frames(["s"], tmp_path, "auto", assay.model_copy(update={"files": pattern}))
        assert [(ref.frame, ref.channels) for ref in listed.frames] == [
            (f"C07_s{k}", ("w1", "w2", "w3")) for k in (1, 2)
        ]
        assert listed.ignored == tuple(thumbs)
