"""Files of Nikon and Leica: pixels by channel name, position and depth as stored, or refused in words.

Files are written chunk by chunk from the layouts that the vendors document; a real file of each is read beside them.
"""

from pathlib import Path

import numpy as np
import pytest

from ctcascade import formats
from ctcascade.data.errors import InputError
from ctcascade.formats import FrameError, FrameRef, leica, nikon
from ctcascade.formats.listing import list_frames
from tests.support import leica_bytes, nd2_bytes, olympus_files
from tests.support.detecting import camera
from tests.support.leica_bytes import Series

pytestmark = pytest.mark.unit

NAMES = ("DAPI", "CK", "CD45")
ASSAY = camera(
    channels={"dna": ["DAPI"], "ck": ["CK"], "cd45": ["CD45"]}, pixel_size_um=0.6, frame_px=[60, 80], bit_depth=12
)
MAX, SHARPEST = (ASSAY.model_copy(update={"z": how}) for how in ("max", "sharpest"))
REAL = Path(__file__).parents[1].resolve().parent / "shared" / "data" / "fmt_real"


def stack(n_p=1, n_z=1, n_c=3, top=4000, seed=1, shape=(60, 80)):
    return np.random.default_rng(seed).integers(100, top, (n_p, n_z, n_c, *shape)).astype(np.uint16)


def frames(base, images, of=ASSAY):
    return {ref.frame: formats.read(ref, of) for ref in list_frames([images], base, "auto", of).frames}


def refused(base, images, of=ASSAY):
    with pytest.raises((FrameError, InputError)) as caught:
        frames(base, images, of)
    return str(caught.value)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_channels_of_an_nd2_go_by_name(tmp_path, order):
    pixels = stack()
    nd2_bytes.write(tmp_path / "f.nd2", pixels[:, :, list(order)], [NAMES[k] for k in order], bits=12)
    ((name, frame),) = frames(tmp_path, "f.nd2").items()
    assert (name, frame.roles, frame.pixel_size_um, frame.ceiling) == ("f", ("dna", "ck", "cd45"), 0.5, 4095)
    np.testing.assert_array_equal(frame.pixels, pixels[0, 0])
    assert frame.page_order == ",".join(("dna", "ck", "cd45")[k] for k in order)


def test_each_position_of_an_nd2_is_a_frame_at_its_place_and_can_be_chosen(tmp_path):
    pixels = stack(n_p=3)
    places = (("left", 100.0, 7.0), ("right", 900.0, 8.0), ("", 5.0, 6.0))
    nd2_bytes.write(tmp_path / "f.nd2", pixels, NAMES, positions=places)
    found = frames(tmp_path, "f.nd2")
    assert {name: frame.position_um for name, frame in found.items()} == {
        "f_left": (7.0, 100.0),
        "f_right": (8.0, 900.0),
        "f_Pos3": (6.0, 5.0),
    }
    for k, frame in enumerate(found[name] for name in ("f_left", "f_right", "f_Pos3")):
        np.testing.assert_array_equal(frame.pixels, pixels[k, 0])
    ((name, frame),) = frames(tmp_path, "f.nd2::RIGHT").items()
    assert name == "f_right"
    np.testing.assert_array_equal(frame.pixels, pixels[1, 0])
    assert list(frames(tmp_path, "f.nd2::Pos*")) == ["f_Pos3"]
    assert "nothing named middle in it" in refused(tmp_path, "f.nd2::middle")
    assert "left, right, Pos3" in refused(tmp_path, "f.nd2::middle")


def test_wells_of_an_nd2_are_one_sample_only_if_the_sheet_says_so(tmp_path):
    pixels = stack(n_p=3)
    wells = (("A01_0000", 0.0, 0.0), ("A01_0001", 9.0, 9.0), ("B2", 1.0, 1.0))
    nd2_bytes.write(tmp_path / "f.nd2", pixels, NAMES, positions=wells)
    said = refused(tmp_path, "f.nd2")
    assert "2 images (A1, B2)" in said
    assert "f.nd2::A1" in said
    assert [list(frames(tmp_path, f"f.nd2::{choice}")) for choice in ("A1", "a/01", "B02", "*")] == [
        ["f_A01_0000", "f_A01_0001"],
        ["f_A01_0000", "f_A01_0001"],
        ["f_B2"],
        ["f_A01_0000", "f_A01_0001", "f_B2"],
    ]


def test_a_stack_in_depth_is_refused_with_its_planes_unless_the_assay_says_how(tmp_path):
    pixels = stack(n_z=4)
    pixels[0, 2, 0] = np.where(np.arange(80) % 8 < 4, 300, 3900)  # edges: the sharpest plane
    pixels[0, [0, 1, 3], 0] //= 16
    nd2_bytes.write(tmp_path / "f.nd2", pixels, NAMES)
    said = refused(tmp_path, "f.nd2")
    assert said.startswith("this is a Nikon ND2 file (channels DAPI, CK, CD45): a stack of 4 planes in depth (z)")
    assert "z: max" in said
    np.testing.assert_array_equal(frames(tmp_path, "f.nd2", MAX)["f"].pixels, pixels[0].max(axis=0))
    np.testing.assert_array_equal(frames(tmp_path, "f.nd2", SHARPEST)["f"].pixels, pixels[0, 2])


@pytest.mark.parametrize(
    ("how", "names", "reason"),
    [
        ({}, ("GFP", "CK", "CD45"), "channel missing: dna; the file names GFP, CK, CD45"),
        ({}, ("", "", ""), "3 planes without channel names"),
        ({"leave_out": (0,)}, NAMES, "no pixels"),
        ({"um": 500.0}, NAMES, "a pixel size of 500"),
    ],
)
def test_an_nd2_that_cannot_be_read_is_refused(tmp_path, how, names, reason):
    nd2_bytes.write(tmp_path / "f.nd2", stack(), names, **how)
    assert reason in refused(tmp_path, "f.nd2")


def test_an_nd2_without_calibration_has_the_assays_pixel_size_and_says_so(tmp_path):
    nd2_bytes.write(tmp_path / "f.nd2", stack(), NAMES, calibrated=False)
    frame = frames(tmp_path, "f.nd2")["f"]
    assert (frame.pixel_size_um, frame.size_from, frame.notes) == (0.6, "assay", ("pixel_size_assumed",))


@pytest.mark.parametrize("cut", [1, 100, 5000, 30000])
def test_an_nd2_that_is_cut_off_is_refused(tmp_path, cut):
    path = nd2_bytes.write(tmp_path / "f.nd2", stack(), NAMES)
    path.write_bytes(path.read_bytes()[:-cut])
    assert "f.nd2" in refused(tmp_path, "f.nd2")


def test_large_images_of_an_nd2_are_cut_into_overlapping_frames(tmp_path):
    pixels = stack(shape=(100, 3100))
    nd2_bytes.write(tmp_path / "f.nd2", pixels, NAMES)
    found = frames(tmp_path, "f.nd2")
    assert sorted(found) == ["f_y0_x0", "f_y0_x1486"]
    np.testing.assert_array_equal(found["f_y0_x1486"].pixels, pixels[0, 0, :, :, 1486:])


def test_channels_of_a_lif_go_by_the_dyes_of_the_active_detectors(tmp_path):
    bands = "".join(f'<MultiBand Channel="{k}" DyeName="Leica/{n}"/>' for k, n in ((1, "CD45"), (2, ""), (3, "DAPI")))
    detectors = "".join(f'<Detector Channel="{k}" IsActive="{int(k != 2)}"/>' for k in (1, 2, 3))
    first = f"<ATLConfocalSettingDefinition>{detectors}<Spectro>{bands}</Spectro></ATLConfocalSettingDefinition>"
    second = first.replace('Channel="1" IsActive="1"', 'Channel="1" IsActive="0"').replace("DAPI", "CK")
    listed = f"<LDM_Block_Sequential_List>{first}{second}</LDM_Block_Sequential_List>"
    setting = f"<LDM_Block_Sequential>{listed}</LDM_Block_Sequential>"
    pixels = stack()[0, 0]
    leica_bytes.write_lif(tmp_path / "f.lif", [Series("one", pixels[[2, 0, 1]], "CYX", setting=setting, um=0.3)])
    frame = frames(tmp_path, "f.lif")["f"]
    np.testing.assert_array_equal(frame.pixels, pixels)
    assert frame.pixel_size_um == pytest.approx(0.3)


@pytest.mark.parametrize("axes", ["CYX", "YXC"])
def test_dyes_of_the_channels_themselves_come_first_and_colours_are_no_names(tmp_path, axes):
    pixels = stack()[0, 0]
    stored = pixels if axes == "CYX" else np.moveaxis(pixels, 0, -1)
    leica_bytes.write_lif(tmp_path / "f.lif", [Series("one", stored, axes, dyes=NAMES)])
    if axes == "CYX":
        np.testing.assert_array_equal(frames(tmp_path, "f.lif")["f"].pixels, pixels)
    else:
        assert "colour (RGB)" in refused(tmp_path, "f.lif")
    leica_bytes.write_lif(tmp_path / "f.lif", [Series("one", pixels, "CYX")])
    assert refused(tmp_path, "f.lif").endswith("channel missing: dna, ck, cd45; the file names Blue, Red, Green")


def test_images_of_a_lif_are_one_sample_only_if_the_sheet_says_so(tmp_path):
    pixels = stack(n_p=3)[:, 0]
    series = [Series(name, pixels[k], "CYX", dyes=NAMES) for k, name in enumerate(("P1", "P2", "P3"))]
    leica_bytes.write_lif(tmp_path / "f.lif", series)
    assert "3 images (P1, P2, P3)" in refused(tmp_path, "f.lif")
    ((name, frame),) = frames(tmp_path, "f.lif::P2").items()
    assert name == "f_P2"
    np.testing.assert_array_equal(frame.pixels, pixels[1])
    assert len(frames(tmp_path, "f.lif::*")) == 3
    leica_bytes.write_lif(
        tmp_path / "g.lif", series, lambda each: leica_bytes.folder("scan", each[0] + each[1]) + each[2]
    )
    assert list(frames(tmp_path, "g.lif::scan")) == ["g_scan_P1", "g_scan_P2"]
    assert "2 images (scan, P3)" in refused(tmp_path, "g.lif")


def test_tiles_of_a_lif_lie_where_the_stage_was(tmp_path):
    pixels = stack(n_p=2)[:, 0]
    tiles = "".join(f'<Tile FieldX="{k}" FieldY="0" PosX="{k * 1e-4}" PosY="0.002"/>' for k in range(2))
    scan = f'<Attachment Name="TileScanInfo" FlipX="0" FlipY="0" SwapXY="0">{tiles}</Attachment>'
    leica_bytes.write_lif(tmp_path / "f.lif", [Series("m", pixels, "MCYX", dyes=NAMES, attachments=scan)])
    found = frames(tmp_path, "f.lif")
    assert {name: frame.position_um for name, frame in found.items()} == {
        "f_tile_0": (pytest.approx(2000), pytest.approx(0)),
        "f_tile_1": (pytest.approx(2000), pytest.approx(100)),
    }
    for k, frame in enumerate(found.values()):
        np.testing.assert_array_equal(frame.pixels, pixels[k])


@pytest.mark.parametrize(
    ("series", "reason"),
    [
        (
            Series("s", stack(n_z=5)[0], "ZCYX", dyes=NAMES),
            "this is a Leica LIF file (channels DAPI, CK, CD45): a stack",
        ),
        (Series("s", stack(n_z=5)[0], "TCYX", dyes=NAMES), "5 points in time"),
        (Series("s", stack(n_z=5)[0], "YCZX", dyes=NAMES), "a scan over Y, C, Z, X"),
        (Series("s", stack()[0, 0], "CYX", dyes=NAMES, um_down=0.7), "pixels of 0.7 x 0.5 um"),
        (Series("s", stack()[0, 0], "CYX", dyes=("DAPI", "DAPI", "CK")), "two channels are dna"),
    ],
)
def test_a_lif_that_cannot_be_read_is_refused_in_words(tmp_path, series, reason):
    leica_bytes.write_lif(tmp_path / "f.lif", [series])
    assert reason in refused(tmp_path, "f.lif")


def test_depth_of_a_lif_is_projected_where_the_assay_says_so(tmp_path):
    pixels = stack(n_z=5)[0]
    leica_bytes.write_lif(tmp_path / "f.lif", [Series("s", pixels, "ZCYX", dyes=NAMES)])
    np.testing.assert_array_equal(frames(tmp_path, "f.lif", MAX)["f"].pixels, pixels.max(axis=0))
    leica_bytes.write_lif(tmp_path / "f.lif", [Series("s", np.swapaxes(pixels, 0, 1), "CZYX", dyes=NAMES)])
    np.testing.assert_array_equal(frames(tmp_path, "f.lif", MAX)["f"].pixels, pixels.max(axis=0))


def test_a_lof_and_a_truncated_lif(tmp_path):
    pixels = stack()[0, 0]
    leica_bytes.write_lof(tmp_path / "f.lof", Series("one", pixels, "CYX", dyes=NAMES))
    np.testing.assert_array_equal(frames(tmp_path, "f.lof")["f"].pixels, pixels)
    for cut in (1, 5000, 20000):
        leica_bytes.write_lif(tmp_path / "g.lif", [Series("one", pixels, "CYX", dyes=NAMES)], cut=cut)
        assert "g.lif" in refused(tmp_path, "g.lif")


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 2, 0)])
@pytest.mark.parametrize("write", [olympus_files.write_oif, olympus_files.write_oib])
def test_channels_of_olympus_files_go_by_dye(tmp_path, write, order):
    pixels = stack()[0]
    path = write(tmp_path / "f", pixels[:, list(order)], [NAMES[k] for k in order], um=0.4)
    ((name, frame),) = frames(tmp_path, path.name).items()
    assert (name, frame.pixel_size_um, frame.ceiling) == ("f", pytest.approx(0.4), 4095)
    np.testing.assert_array_equal(frame.pixels, pixels[0])


@pytest.mark.parametrize("write", [olympus_files.write_oif, olympus_files.write_oib])
def test_olympus_files_in_depth_and_what_is_refused(tmp_path, write):
    pixels = stack(n_z=4)[0]
    name = write(tmp_path / "f", pixels, NAMES).name
    assert "a stack of 4 planes in depth" in refused(tmp_path, name)
    np.testing.assert_array_equal(frames(tmp_path, name, MAX)["f"].pixels, pixels.max(axis=0))
    write(tmp_path / "f", pixels[:1], ("DAPI", "CK", "None"))
    assert "channel missing: cd45" in refused(tmp_path, name)
    write(tmp_path / "f", pixels[:1], NAMES, leave_out=("s_C002Z001.tif",))
    assert "no file for channel 2" in refused(tmp_path, name)


def test_a_compound_file_that_leads_in_a_circle_is_refused(tmp_path):
    olympus_files.write_oib(tmp_path / "f", stack()[0], NAMES, circle=True)
    assert "leads in a circle" in refused(tmp_path, "f.oib")


def test_an_oif_without_its_folder_is_refused_and_with_it_nothing_is_left_over(tmp_path):
    olympus_files.write_oif(tmp_path / "f", stack()[0], NAMES)
    listed = list_frames(["."], tmp_path, "auto", ASSAY)
    assert (listed.format, listed.ignored, [path.name for path in listed.sidecars]) == ("oif", (), ["f.oif.files"])
    (tmp_path / "f.oif.files").rename(tmp_path / "elsewhere")
    assert "the folder f.oif.files with its pixels is not beside it" in refused(tmp_path, "f.oif")


@pytest.mark.parametrize(("suffix", "what"), [(".vsi", "an Olympus VSI slide"), (".ims", "an Imaris file")])
def test_files_of_vendors_that_are_not_read_are_named(tmp_path, suffix, what):
    (tmp_path / f"slide{suffix}").write_bytes(b"x")
    said = refused(tmp_path, ".")
    assert f"slide{suffix} is {what}, which is not read: export it as OME-TIFF" in said


@pytest.mark.real
@pytest.mark.skipif(not REAL.is_dir(), reason="../shared/data/fmt_real is not here")
@pytest.mark.parametrize("z", range(10))
def test_a_real_nd2_is_read_as_the_vendors_library_reads_it(z):
    nd2 = pytest.importorskip("nd2")
    path = REAL / "soft-matter+pims" / "cluster.nd2"
    with nd2.ND2File(path) as file:
        whole = file.asarray()
    with nikon.opened(path) as file:
        (scene,) = file.scenes
        assert scene.pixel_size_um == pytest.approx(0.16780898)
        for c in range(2):
            np.testing.assert_array_equal(file.plane(scene, c, z), whole[0, z, c])
    ref = FrameRef("f", "f", (path,), 0, "nd2", image=0)
    with pytest.raises(FrameError, match=r"ND2 file \(channels 5-FAM/pH 9.0, FM 4-64/2% CHAPS\): 3 points in time"):
        formats.read(ref, ASSAY)


@pytest.mark.real
@pytest.mark.skipif(not REAL.is_dir(), reason="../shared/data/fmt_real is not here")
def test_a_real_lif_names_its_dyes_and_what_it_scans():
    path = REAL / "nimne+readlif" / "testdata_2channel_xz.lif"
    with leica.opened(path) as file:
        assert [scene.name for scene in file.scenes] == ["xzt", "xzy", "xz"]
        assert file.scenes[0].channels == (("Leica/FITC", "FITC", "Green"), ("Leica/TRITC", "TRITC", "Red"))
        assert [scene.fault.partition(";")[0] for scene in file.scenes] == [
            "a scan over T, C, Z, X",
            "a scan over Y, C, Z, X",
            "a scan over C, Z, X",
        ]


@pytest.mark.regression
@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("uiCompCount", 2**31, "components"),
        ("uiHeight", 2**30, "pixels; a side"),
        ("uiCount", 2**31, ""),
    ],
)
def test_an_nd2_whose_header_claims_what_no_file_holds_is_refused_at_once(tmp_path, name, value, reason):
    path = nd2_bytes.write(tmp_path / "f.nd2", stack(n_z=2), NAMES)
    data, coded = bytearray(path.read_bytes()), (name + "\0").encode("utf-16-le")
    for at in (k for k in range(len(data)) if data[k : k + len(coded)] == coded):
        data[at + len(coded) : at + len(coded) + 4] = value.to_bytes(4, "little")
    path.write_bytes(data)
    assert reason in refused(tmp_path, "f.nd2", MAX)


@pytest.mark.regression
def test_a_chunk_of_an_nd2_that_claims_more_than_the_file_takes_no_memory(tmp_path):
    path = nd2_bytes.write(tmp_path / "f.nd2", stack(), NAMES)
    data = bytearray(path.read_bytes())
    at = data.index(b"ImageTextInfoLV!") - 8
    data[at : at + 8] = (2**45).to_bytes(8, "little")
    path.write_bytes(data)
    np.testing.assert_array_equal(frames(tmp_path, "f.nd2")["f"].pixels, stack()[0, 0])
