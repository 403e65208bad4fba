"""OME-Zarr images, written file by file: read in parts, and refused where their claims or contents are impossible."""

import json
import os
import shutil

import numpy as np
import pytest

from ctcascade import formats
from ctcascade.data.errors import InputError
from ctcascade.formats import FrameError
from ctcascade.formats.listing import list_frames
from tests.support import zarr_bytes
from tests.support.calling import assay
from tests.support.slide_layouts import ASSAY, NAMES, TRUSTED, listed, through
from tests.support.zarr_planes import planes

pytestmark = pytest.mark.unit

OF = {**assay("cellsearch"), "channels": dict(ASSAY.channels), "pixel_size_um": 0.645}


def image(base, pixels, names=NAMES, name="a.ome.zarr", **how):
    return zarr_bytes.write(base / "s" / name, pixels, names, **how)


def only(base, of=ASSAY):
    """Return the one frame of the samples' folder."""
    (ref,) = listed(base).frames
    return formats.read(ref, of)


@pytest.mark.parametrize("version", [2, 3])
def test_a_large_image_becomes_overlapping_frames_that_hold_its_pixels(tmp_path, version):
    whole = planes((2100, 3100), 3)
    image(tmp_path, whole, NAMES[:3], version=version)
    found = listed(tmp_path)
    assert found.format == "ome-zarr"
    assert found.why.startswith("OME-Zarr images; those of more than 3000 pixels, in frames of at most 2000")
    assert [ref.frame for ref in found.frames] == ["a_y0_x0", "a_y0_x1486", "a_y986_x0", "a_y986_x1486"]
    for ref in found.frames:
        y0, x0, y1, x1 = ref.box_px
        frame = formats.read(ref, ASSAY)
        np.testing.assert_array_equal(frame.pixels, whole[:, y0:y1, x0:x1])
        assert (frame.pixel_size_um, frame.position_um) == (0.5, (y0 * 0.5, x0 * 0.5))
        assert (frame.notes, frame.written) == (("pixel_size_differs",), 1.0)


def test_only_the_chunks_of_the_frame_are_read(tmp_path, monkeypatch):
    folder = image(tmp_path, planes((300, 3100)))
    ref = listed(tmp_path).frames[0]
    for chunk in (folder / "0").glob("*.[6789]"):  # right of column 1,614
        chunk.write_bytes(b"broken")
    assert ref.box_px == (0, 0, 300, 1614)
    assert formats.read(ref, ASSAY).roles == ("dna", "ck", "cd45", "fitc")
    with pytest.raises(FrameError, match="the image cannot be read"):
        formats.read(listed(tmp_path).frames[1], ASSAY)


@pytest.mark.parametrize("code", sorted(zarr_bytes.CODERS))
@pytest.mark.parametrize(
    ("version", "how"), [(2, {"order": "F"}), (2, {"separator": "/"}), (3, {}), (3, {"shard": (2, 2)})]
)
def test_chunks_are_decoded_as_the_array_says(tmp_path, code, version, how):
    whole = planes((300, 500))
    image(tmp_path, whole, code=code, version=version, **how)
    np.testing.assert_array_equal(only(tmp_path).pixels, whole)


@pytest.mark.parametrize("axes", ["cyx", "czyx", "tczyx", "zcyx"])
@pytest.mark.parametrize("together", [False, True])
def test_channels_go_by_name_whatever_the_axes(tmp_path, axes, together):
    names, whole = ("CD45", "Brightfield", "DAPI", "ck"), planes((300, 400))
    image(tmp_path, whole, names, axes=axes, together=together)
    frame = only(tmp_path)
    assert frame.roles == ("dna", "ck", "cd45")
    np.testing.assert_array_equal(frame.pixels, whole[[2, 3, 0]])


@pytest.mark.parametrize("dtype", ["<u2", ">u2", "<f4", "|u1"])
def test_numbers_are_read_in_their_own_type(tmp_path, dtype):
    whole = (planes((300, 400)) % 251).astype(dtype)
    image(tmp_path, whole)
    np.testing.assert_array_equal(only(tmp_path).pixels, whole.astype(np.float32))


def test_planes_without_names_are_the_assays_channels(tmp_path):
    image(tmp_path, planes((300, 400)), names=())
    with pytest.raises(FrameError, match="channel_order: trusted"):
        only(tmp_path)
    assert only(tmp_path, TRUSTED).roles == ("dna", "ck", "cd45", "fitc")
    image(tmp_path, planes((300, 400), 3), names=())
    with pytest.raises(FrameError, match="3 planes without channel names; the assay has 4 channels"):
        only(tmp_path, TRUSTED)


@pytest.mark.parametrize(("unit", "scale", "size"), [("nanometer", 500.0, 0.5), ("micrometer", 0.25, 0.25)])
def test_the_scale_is_in_the_axis_unit(tmp_path, unit, scale, size):
    folder = image(tmp_path, planes((300, 400)))
    said = zarr_bytes.describe("czyx", scale, NAMES, unit=unit)
    zarr_bytes.write_json(folder / ".zattrs", said)
    assert only(tmp_path).pixel_size_um == size
    said["multiscales"][0]["coordinateTransformations"] = [{"type": "scale", "scale": [1, 1, 2, 2]}]
    zarr_bytes.write_json(folder / ".zattrs", said)
    assert only(tmp_path).pixel_size_um == 2 * size


def test_a_scale_without_a_unit_is_not_a_pixel_size(tmp_path):
    folder = image(tmp_path, planes((300, 400)))
    zarr_bytes.write_json(folder / ".zattrs", zarr_bytes.describe("czyx", 7.0, NAMES, unit=None))
    frame = only(tmp_path)
    assert (frame.pixel_size_um, frame.notes) == (0.645, ("pixel_size_assumed",))


@pytest.mark.parametrize(("version", "how"), [(2, {}), (3, {}), (3, {"shard": (2, 2)})])
def test_a_missing_chunk_is_not_imaged_area(tmp_path, version, how):
    whole = planes((512, 544))
    image(tmp_path, whole, version=version, leave_out=[(1, 0, 1), (2, 0, 1)], **how)
    frame = only(tmp_path)
    assert (frame.notes, frame.written) == (("pixel_size_differs", "partly_imaged"), 0.75)
    assert (frame.pixels[1:3, :256, 272:] == 0).all()
    np.testing.assert_array_equal(frame.pixels[[0, 3]], whole[[0, 3]])
    np.testing.assert_array_equal(frame.pixels[:, 256:], whole[:, 256:])


def test_the_area_that_was_not_imaged_is_not_analysed(tmp_path):
    """Also where frames overlap, and their areas are those of the union."""
    rng = np.random.default_rng(1)
    whole = rng.integers(90, 110, (4, 300, 3264)).astype(np.uint16)
    right = [(c, row, 11) for c in range(4) for row in range(2)]  # the last of 12 columns of chunks
    image(tmp_path, whole, scale=0.645, leave_out=right)
    frames = through(tmp_path, "s", OF, chunks=1)["frames"]
    assert frames["frame_area_um2"].sum() == pytest.approx(300 * 3264 * 0.645**2, rel=1e-6)
    side = frames["width_px"].iloc[1]
    halves = frames["frame_area_um2"].to_numpy()
    np.testing.assert_allclose(frames["area_um2"], halves * [1, 1 - 272 / side], rtol=1e-6)
    assert list(frames["flags"].str.contains("partly_imaged")) == [False, True]


def test_a_slide_of_which_no_chunk_was_written_has_no_usable_frame(tmp_path):
    image(tmp_path, planes((300, 400)), leave_out=[(c, row, x) for c in range(4) for row in range(2) for x in range(2)])
    with pytest.raises(FrameError, match="blank") as caught:
        only(tmp_path)
    assert caught.value.shape == (300, 400)


def test_the_image_itself_or_one_of_several_may_be_named(tmp_path):
    folder = image(tmp_path, planes((300, 400)))
    assert [ref.frame for ref in listed(tmp_path, "s/a.ome.zarr").frames] == ["a"]
    several = tmp_path / "s" / "b.zarr"
    zarr_bytes.write_json(several / ".zattrs", {"bioformats2raw.layout": 3})
    zarr_bytes.write(several / "0", planes((300, 400)), NAMES)
    zarr_bytes.write_json(several / "OME" / ".zattrs", {"series": ["0"]})
    ref = listed(tmp_path).frames[1]
    assert (ref.frame, formats.read(ref, ASSAY).pixels.shape) == ("b", (4, 300, 400))
    zarr_bytes.write(several / "1", planes((300, 400)), NAMES)
    with pytest.raises(InputError, match=r"2 images \(b\.zarr/0, b\.zarr/1\).*such as s::b\.zarr/0, or ::\*"):
        listed(tmp_path)
    (ref,) = listed(tmp_path, "s/b.zarr/1").frames
    assert (ref.frame, formats.read(ref, ASSAY).pixels.shape) == ("1", (4, 300, 400))
    zarr_bytes.write_json(folder / ".zattrs", {"plate": {"wells": []}})
    with pytest.raises(InputError, match="wells: found"):
        listed(tmp_path, "s/a.ome.zarr")


def test_tiffs_beside_an_image_are_read_as_before(tmp_path):
    image(tmp_path, planes((300, 400)), name="f_DAPI.zarr")
    (tmp_path / "s" / "f.tif").touch()
    assert (listed(tmp_path).format, listed(tmp_path).ignored) == ("ome-tiff", ("f_DAPI.zarr",))
    assert [ref.frame for ref in listed(tmp_path, fmt="ome-zarr").frames] == ["f_DAPI"]
    with pytest.raises(InputError, match="OME-Zarr image"):
        listed(tmp_path, "s/f.tif", "ome-zarr")


def test_metadata_is_searched_for_names_of_persons(tmp_path):
    folder = image(tmp_path, planes((300, 400)))
    zarr_bytes.write_json(folder / "OME" / "METADATA.ome.xml", "<OME>Jane</OME>")
    found = formats.read_words(listed(tmp_path).frames[0])
    assert "DAPI" in found
    assert "Jane" in found


@pytest.mark.oracle
@pytest.mark.parametrize(
    ("version", "how"),
    [
        (2, {"chunks": (1, 1, 256, 272)}),
        (2, {"chunks": (1, 1, 256, 272), "order": "F"}),
        (3, {"chunks": (1, 1, 256, 272)}),
        (3, {"chunks": (2, 1, 128, 128)}),
        (3, {"chunks": (1, 1, 128, 128), "shards": (2, 1, 256, 256)}),
    ],
)
def test_arrays_that_the_zarr_library_writes_are_read_as_it_reads_them(tmp_path, version, how):
    zarr = pytest.importorskip("zarr")
    folder = image(tmp_path, planes((600, 700)), version=version)
    shutil.rmtree(folder / "0")
    written = zarr.create_array(folder / "0", shape=(4, 1, 600, 700), dtype="uint16", zarr_format=version, **how)
    written[:, 0, :512] = planes((600, 700))[:, :512]  # the last row of chunks is left out
    frame = only(tmp_path)
    np.testing.assert_array_equal(frame.pixels, zarr.open_array(folder / "0", mode="r")[:, 0].astype(np.float32))
    assert frame.written == pytest.approx(512 / 600)


def array(**more):
    return lambda folder: _change(folder / "0" / ".zarray", more)


def ome(**more):
    return lambda folder: _change(folder / ".zattrs", more)


def scale(**more):
    return lambda folder: _change(folder / ".zattrs", {"multiscales": [{**_read(folder)["multiscales"][0], **more}]})


def _read(folder):
    return json.loads((folder / ".zattrs").read_text())


def _change(path, more):
    path.write_text(json.dumps(json.loads(path.read_text()) | more))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (array(dtype="|O"), "elements of type |O; plain numbers"),
        (array(dtype=[["a", "<u2"]]), "plain numbers are expected"),
        (array(filters=[{"id": "pickle"}]), "filters .*pickle.*not supported"),
        (array(compressor={"id": "pickle"}), "compressed by pickle; one of zlib"),
        (array(shape=[4, 1, 300, 10**7]), "pixels; a side of at most"),
        (array(shape=[4, 1, 900_000, 900_000]), "pixels; at most"),
        (array(chunks=[1, 1, 9000, 9000]), "chunks of .*at most 64000000 pixels"),
        (array(chunks=[1, 1, 1, 1]), "chunks of 1 x 1 pixels, 120000 for a plane of a frame; at most"),
        (array(chunks=[1, 1, 256]), "in chunks of"),
        (array(chunks=[1, 1, 0, 256]), "in chunks of"),
        (array(shape=[4, 1, -300, 400]), "shape: found"),
        (array(shape=[4, 2, 300, 400]), "2 planes in depth .* z: max or z: sharpest in the assay"),
        (array(fill_value=70_000), "fill_value 70000; a uint16"),
        (array(dimension_separator="../"), "chunk names with ../"),
        (array(order="K"), "in the order K"),
        (ome(multiscales=[]), "a list with one entry"),
        (ome(multiscales=7), "a list with one entry"),
        (ome(omero={"channels": [{"label": "DAPI"}]}), "1 names of channels; the image has 4"),
        (scale(datasets=[{"path": "../../b.zarr/0"}]), "lies outside the image's folder"),
        (scale(datasets=[{"path": "/etc"}]), "lies outside the image's folder"),
        (scale(datasets=[{"path": "1"}]), "no array at 1"),
        (scale(axes=[{"name": "c"}, {"name": "z"}, {"name": "x"}, {"name": "y"}]), "t, c, z, y, x are expected"),
        (scale(axes=[{"name": "y"}, {"name": "x"}]), "t, c, z, y, x are expected"),
        (lambda folder: (folder / ".zattrs").write_text("{"), "is not JSON"),
        (lambda folder: (folder / ".zattrs").write_text("[" * 100_000), "is not JSON"),
        (lambda folder: (folder / ".zattrs").write_text(" " * 5_000_000), "bytes; at most"),
        (lambda folder: (folder / ".zattrs").unlink(), "neither .zattrs nor zarr.json"),
    ],
)
def test_impossible_metadata_is_refused_before_a_frame_is_made(tmp_path, change, reason):
    folder = image(tmp_path, planes((300, 400)))
    change(folder)
    with pytest.raises(InputError, match=reason) as caught:
        listed(tmp_path)
    assert "OME-Zarr image" in str(caught.value)  # what was expected
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("codec", "reason"),
    [
        ([{"name": "bytes"}, {"name": "blosc"}, {"name": "crc32c"}], "bytes and a compressor"),
        ([{"name": "transpose"}, {"name": "bytes"}], "bytes and a compressor"),
        ([{"name": "vlen-utf8"}], "bytes and a compressor"),
        ([{"name": "bytes", "configuration": {"endian": "middle"}}], "byte order middle"),
        ("zstd", "a list is expected"),
    ],
)
def test_codecs_of_the_third_version_that_are_not_read_are_named(tmp_path, codec, reason):
    folder = image(tmp_path, planes((300, 400)), version=3)
    _change(folder / "0" / "zarr.json", {"codecs": codec})
    with pytest.raises(InputError, match=reason):
        listed(tmp_path)


def test_a_chunk_that_decodes_to_more_than_its_size_is_a_broken_frame(tmp_path):
    folder = image(tmp_path, planes((300, 400)))
    chunk = folder / "0" / "0.0.0.0"
    for content in (zarr_bytes.zlib.compress(bytes(10**8)), chunk.read_bytes()[:-9], b"", b"\0" * 10**6):
        chunk.write_bytes(content)
        with pytest.raises(FrameError, match=r"the image cannot be read|chunk .* bytes") as caught:
            only(tmp_path)
        assert caught.value.shape == (300, 400)


def test_links_out_of_the_folder_and_pipes_are_not_followed(tmp_path):
    folder = image(tmp_path, planes((300, 400)))
    other = image(tmp_path / "elsewhere", planes((300, 400)))
    chunk = folder / "0" / "0.0.0.0"
    chunk.unlink()
    chunk.symlink_to(other / "0" / "0.0.0.0")
    with pytest.raises(FrameError, match="lies outside the image's folder"):
        only(tmp_path)
    chunk.unlink()
    os.mkfifo(chunk)
    with pytest.raises(FrameError, match="is not a file"):
        only(tmp_path)
    chunk.unlink()
    chunk.symlink_to(folder / "0" / "0.0.0.1")  # links within the folder are allowed
    assert only(tmp_path).written == 1


def test_a_shard_whose_index_points_beyond_its_end_is_a_broken_frame(tmp_path):
    folder = image(tmp_path, planes((300, 500)), version=3, shard=(2, 2))
    shard = folder / "0" / "c" / "0" / "0" / "0" / "0"
    whole = shard.read_bytes()
    for content in (whole[:20], whole[:-68] + b"\xff" * 7 + whole[-61:], whole[-68:]):
        shard.write_bytes(content)
        with pytest.raises(FrameError, match="truncated"):
            only(tmp_path)


def test_an_image_that_shrinks_after_it_was_listed_is_a_broken_frame(tmp_path):
    folder = image(tmp_path, planes((300, 3100)))
    ref = listed(tmp_path).frames[-1]
    array(shape=[4, 1, 300, 3000])(folder)
    with pytest.raises(FrameError, match="has become smaller"):
        formats.read(ref, ASSAY)


def field(seed, **how):
    """Return a function that writes an image of a field of a plate into a folder."""
    return lambda folder: zarr_bytes.write(
        folder, planes((300, 400)) + np.uint16(seed), NAMES[: how.get("n", 4)], **how
    )


def roled(base, images):
    return {ref.frame: formats.read(ref, ASSAY) for ref in listed(base, images).frames}


@pytest.mark.parametrize("version", [2, 3])
def test_a_plate_is_one_sample_only_where_its_wells_are_chosen(tmp_path, version):
    wells = {"B/03": [field(1, version=version), field(2, version=version)], "C/11": [field(3, version=version)]}
    zarr_bytes.write_plate(tmp_path / "p.zarr", wells, version)
    with pytest.raises(InputError, match=r"2 wells \(B/03, C/11\).* such as p\.zarr::B/03, or ::\* if all are"):
        listed(tmp_path, "p.zarr")
    for choice in ("B/03", "b3", "B03", "B/3", "r02c03"):
        found = roled(tmp_path, f"p.zarr::{choice}")
        assert list(found) == ["p_B_03_0", "p_B_03_1"]
    np.testing.assert_array_equal(found["p_B_03_1"].pixels, planes((300, 400)) + 2)
    ((name, frame),) = roled(tmp_path, "p.zarr::C11").items()
    assert name == "p_C_11_0"
    np.testing.assert_array_equal(frame.pixels, planes((300, 400)) + 3)
    assert list(roled(tmp_path, "p.zarr::B/03/1")) == ["p_B_03_1"]
    assert len(listed(tmp_path, "p.zarr::*").frames) == 3
    assert [ref.frame for ref in listed(tmp_path, "p.zarr/B/03").frames] == ["03_0", "03_1"]
    with pytest.raises(InputError, match="nothing named D4 in it; expected one of: B/03, C/11"):
        listed(tmp_path, "p.zarr::D4")


@pytest.mark.parametrize(
    ("plate", "reason"),
    [
        ({"wells": []}, "wells: found"),
        ({"wells": [{"path": "../x"}]}, "a folder inside is expected"),
        ({"wells": [{"path": 3}]}, "a folder inside is expected"),
        ({"wells": [{"path": "B/07"}]}, "images: found"),
        ([], "a mapping is expected"),
    ],
)
def test_a_plate_whose_wells_lie_elsewhere_is_refused(tmp_path, plate, reason):
    folder = zarr_bytes.write_plate(tmp_path / "p.zarr", {"B/03": [field(1)]})
    _change(folder / ".zattrs", {"plate": plate})
    with pytest.raises(InputError, match=reason):
        listed(tmp_path, "p.zarr")


@pytest.mark.parametrize(
    ("fill", "dtype", "version"),
    [("0", "<u2", 2), ("0.0", "<u2", 2), (0.0, "<u2", 2), ("7", "<u2", 2), (None, "<u2", 2), ("0", "uint16", 3)],
)
def test_fill_values_may_be_text(tmp_path, fill, dtype, version):
    folder = image(tmp_path, planes((300, 400)), version=version, leave_out=[(c, 0, 0) for c in range(4)])
    _change(folder / "0" / (".zarray" if version == 2 else "zarr.json"), {"fill_value": fill})
    frame = only(tmp_path)
    assert (frame.pixels[:, :256, :272] == float(fill or 0)).all()
    np.testing.assert_array_equal(frame.pixels[:, 256:, 272:], planes((300, 400))[:, 256:, 272:])


@pytest.mark.parametrize("fill", ["none", "0x10", "7e9", "NaN", True, [0]])
def test_fill_values_that_are_no_numbers_of_the_type_are_refused(tmp_path, fill):
    folder = image(tmp_path, planes((300, 400)))
    _change(folder / "0" / ".zarray", {"fill_value": fill})
    with pytest.raises(InputError, match=r"fill_value .*a uint16 is expected"):
        listed(tmp_path)


@pytest.mark.parametrize("chunk", [(16, 16), (1, 400), (300, 5), (33, 7)])
@pytest.mark.parametrize("version", [2, 3])
def test_small_chunks_are_read(tmp_path, chunk, version):
    image(tmp_path, planes((300, 400)), chunk=chunk, version=version)
    np.testing.assert_array_equal(only(tmp_path).pixels, planes((300, 400)))


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("axes", ["czyx", "zcyx", "tczyx"])
def test_depth_is_projected_only_where_the_assay_says_how(tmp_path, axes, together):
    whole = np.random.default_rng(3).integers(1, 4000, (4, 3, 60, 80)).astype(np.uint16)  # c, z, y, x
    stored = np.swapaxes(whole, 0, 1) if axes == "zcyx" else whole
    image(tmp_path, stored[None] if axes[0] == "t" else stored, axes=axes, chunk=(60, 80), together=together)
    with pytest.raises(InputError, match="3 planes in depth"):
        listed(tmp_path)
    brightest = ASSAY.model_copy(update={"z": "max"})
    (ref,) = list_frames(["s"], tmp_path, "auto", brightest).frames
    np.testing.assert_array_equal(formats.read(ref, brightest).pixels, whole.max(axis=1))
    sharp = ASSAY.model_copy(update={"z": "sharpest"})
    found = formats.read(ref, sharp).pixels
    assert [k for k in range(3) if np.array_equal(found, whole[:, k])] != []


@pytest.mark.parametrize("place", ["OME", ".."])
def test_names_and_pixel_size_of_bioformats2raw_lie_beside_the_images(tmp_path, place):
    folder = tmp_path / "x" / "a.zarr"
    zarr_bytes.write(folder / "0", planes((300, 400)), (), scale=1.0)
    said = zarr_bytes.describe("czyx", 1.0, (), unit=None)
    zarr_bytes.write_json(folder / "0" / ".zattrs", said)
    zarr_bytes.write_json(folder / ".zattrs", {"bioformats2raw.layout": 3})
    xml = folder / place / "METADATA.ome.xml"
    xml.parent.mkdir(exist_ok=True)
    names = "".join(f'<Channel Name="{name}"/>' for name in (NAMES[2], NAMES[1], NAMES[0], NAMES[3]))
    sizes = 'SizeX="400" SizeY="300" SizeC="4" PhysicalSizeX="0.25" PhysicalSizeY="0.25"'
    xml.write_text(f'<OME xmlns="u"><Image><Pixels {sizes}>{names}</Pixels></Image></OME>')
    frame = formats.read(listed(tmp_path, "x/a.zarr").frames[0], ASSAY)
    np.testing.assert_array_equal(frame.pixels, planes((300, 400))[[2, 1, 0, 3]])
    assert frame.pixel_size_um == 0.25
    xml.write_text(xml.read_text().replace('SizeX="400"', 'SizeX="401"'))
    with pytest.raises(InputError, match=r"METADATA\.ome\.xml tells of 300 x 401 x 4"):
        listed(tmp_path, "x/a.zarr")
