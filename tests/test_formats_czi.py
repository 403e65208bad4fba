"""CZI slides, written byte by byte: tiles as frames, joined where they only touch, and refused if impossible."""

import struct
from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from ctcascade import formats
from ctcascade.data.errors import InputError
from ctcascade.formats import FrameError
from ctcascade.formats.listing import list_frames
from tests.support import czi_bytes, zarr_bytes
from tests.support.slide_layouts import ASSAY, NAMES, TRUSTED, listed
from tests.support.zarr_planes import planes

pytestmark = pytest.mark.unit

REAL = Path(__file__).parents[1].resolve().parent / "shared" / "data" / "fmt_real" / "sebi06+czitools"
OVERLAPPING = [(0, 0), (0, 400), (250, 0), (250, 400)]


def put(base, pieces, words=None, name="a.czi", **how):
    (base / "s").mkdir(exist_ok=True)
    path = base / "s" / name
    path.write_bytes(czi_bytes.as_bytes(pieces, czi_bytes.xml(NAMES) if words is None else words, **how))
    return path


def one(**how):
    """Return the four channels of one tile, the first of them as `how` says."""
    return [czi_bytes.tile(plane, 0, 0, c, **(how if c == 0 else {})) for c, plane in enumerate(planes((30, 40)))]


def only(base, of=ASSAY):
    (ref,) = listed(base).frames
    return formats.read(ref, of)


@pytest.mark.parametrize("number", [True, False])
def test_tiles_that_overlap_are_frames_at_their_place(tmp_path, number):
    whole = planes((700, 900))
    pieces = czi_bytes.mosaic(whole, OVERLAPPING, (450, 500), number)
    for piece in pieces:  # a mosaic begins where the stage stood
        piece["y"], piece["x"] = piece["y"] + 33, piece["x"] - 7_000
    put(tmp_path, pieces)
    found = listed(tmp_path)
    assert found.format == "czi"
    assert found.why.startswith("CZI files: tiles that overlap are frames, others are joined in frames of at most 2000")
    assert [ref.frame for ref in found.frames] == ["a_M0", "a_M1", "a_M2", "a_M3"]
    for ref, (y, x) in zip(found.frames, OVERLAPPING, strict=True):
        frame = formats.read(ref, ASSAY)
        np.testing.assert_array_equal(frame.pixels, whole[:, y : y + 450, x : x + 500])
        assert (frame.pixel_size_um, frame.position_um) == (pytest.approx(0.5), pytest.approx((y * 0.5, x * 0.5)))
        assert (frame.roles, frame.written) == (("dna", "ck", "cd45", "fitc"), 1.0)


def test_tiles_that_only_touch_are_joined_and_cut_into_overlapping_frames(tmp_path):
    whole = planes((600, 3300))
    places = [(y, x) for y in (0, 300) for x in range(0, 3300, 300)]
    put(tmp_path, czi_bytes.mosaic(whole, places, (300, 300)))
    found = listed(tmp_path)
    assert [ref.frame for ref in found.frames] == ["a_y0_x0", "a_y0_x1586"]
    for ref in found.frames:
        y0, x0, y1, x1 = ref.box_px
        frame = formats.read(ref, ASSAY)
        np.testing.assert_array_equal(frame.pixels, whole[:, y0:y1, x0:x1])
        assert frame.written == 1
    left_out = [place for place in places if place not in {(0, 300), (300, 2700), (300, 3000)}]
    put(tmp_path, czi_bytes.mosaic(whole, left_out, (300, 300)))
    first = formats.read(listed(tmp_path).frames[0], ASSAY)
    assert first.written == pytest.approx(1 - 300 * 300 / (600 * 1714))
    assert "partly_imaged" in first.notes
    assert (first.pixels[:, :300, 300:600] == 0).all()


def test_scenes_lie_apart_and_have_frames_of_their_own(tmp_path):
    whole = planes((200, 300))
    pieces = czi_bytes.mosaic(whole, [(0, 0)], (200, 300), scene=0)
    for piece in czi_bytes.mosaic(whole, [(0, 0), (0, 100)], (200, 200), scene=3):
        pieces.append(piece | {"x": piece["x"] + 50_000, "y": 7})
    put(tmp_path, pieces)
    found = listed(tmp_path).frames
    assert [(ref.frame, ref.position_um[1]) for ref in found] == [
        ("a_S0", 0),
        ("a_S3_M0", pytest.approx(25_000)),
        ("a_S3_M1", pytest.approx(25_050)),
    ]
    assert [formats.read(ref, ASSAY).pixels.shape for ref in found] == [(4, 200, 300), (4, 200, 200), (4, 200, 200)]


def test_channels_go_by_name_or_dye(tmp_path):
    whole = planes((200, 300))
    words = czi_bytes.xml(("AF647", "TL Brightfield", "DAPI", "EF"), dyes=("cd45", "", "Hoechst 33342", "CK"))
    put(tmp_path, czi_bytes.mosaic(whole, [(0, 0)], (200, 300)), words)
    frame = only(tmp_path)
    assert frame.roles == ("dna", "ck", "cd45")
    np.testing.assert_array_equal(frame.pixels, whole[[2, 3, 0]])


def test_a_file_without_metadata_has_the_assays_channels_and_scale(tmp_path):
    put(tmp_path, one(), words="")
    with pytest.raises(FrameError, match="channel_order: trusted"):
        only(tmp_path)
    frame = only(tmp_path, TRUSTED)
    told = (frame.roles, frame.pixel_size_um, frame.notes)
    assert told == (("dna", "ck", "cd45", "fitc"), 0.645, ("pixel_size_assumed",))
    put(tmp_path, one()[:3], words="")
    with pytest.raises(FrameError, match="3 planes without channel names"):
        only(tmp_path, TRUSTED)


def test_a_tile_without_a_channel_that_every_call_needs_is_no_usable_frame(tmp_path):
    whole = planes((700, 900))
    pieces = czi_bytes.mosaic(whole, OVERLAPPING, (450, 500))
    put(tmp_path, [piece for piece in pieces if (piece["C"], piece["M"]) not in {(1, 2), (3, 1)}])
    refs = listed(tmp_path).frames
    assert (formats.read(refs[1], ASSAY).roles, formats.read(refs[1], ASSAY).written) == (("dna", "ck", "cd45"), 1)
    with pytest.raises(FrameError, match="channel missing: ck") as caught:
        formats.read(refs[2], ASSAY)
    assert caught.value.shape == (450, 500)


def test_pieces_of_the_pyramid_are_left_aside(tmp_path):
    whole = planes((300, 400))
    small = [
        czi_bytes.tile(p[::2, ::2].copy(), 0, 0, c, size=(300, 400), stored=(150, 200)) for c, p in enumerate(whole)
    ]
    put(tmp_path, [*small, *czi_bytes.mosaic(whole, [(0, 0)], (300, 400))])
    np.testing.assert_array_equal(only(tmp_path).pixels, whole)


def low_then_high(data):
    return data[0::2] + data[1::2]


@pytest.mark.parametrize(
    ("method", "coded"),
    [
        (5, zarr_bytes.zstd),
        (6, lambda data: b"\x01" + zarr_bytes.zstd(data)),
        (6, lambda data: b"\x03\x01\x00" + zarr_bytes.zstd(data)),
        (6, lambda data: b"\x03\x01\x01" + zarr_bytes.zstd(low_then_high(data))),
    ],
)
def test_pieces_compressed_by_zstd_are_decoded(tmp_path, method, coded):
    whole = planes((300, 400))
    pieces = czi_bytes.mosaic(whole, [(0, 0)], (300, 400))
    put(tmp_path, [p | {"compression": method, "data": coded(p["pixels"].tobytes())} for p in pieces])
    np.testing.assert_array_equal(only(tmp_path).pixels, whole)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_pieces_of_jpeg_xr_are_decoded(tmp_path, dtype):
    """The only encoding that is written here with the same library that reads it."""
    whole = (planes((300, 400)) % 256).astype(dtype)
    pieces = czi_bytes.mosaic(whole, [(0, 0)], (300, 400))
    put(tmp_path, [p | {"compression": 4, "data": imagecodecs.jpegxr_encode(p["pixels"], level=1.0)} for p in pieces])
    np.testing.assert_array_equal(only(tmp_path).pixels, whole)
    other = imagecodecs.jpegxr_encode(np.zeros((300, 401), dtype), level=1.0)
    put(tmp_path, [p | {"compression": 4, "data": other} for p in pieces])
    with pytest.raises(FrameError, match="JPEG XR of another size"):
        only(tmp_path)


@pytest.mark.parametrize(
    ("pieces", "how", "reason"),
    [
        (one(pixel_type=3), {}, "pixels of 24-bit colour; grey ones"),
        (one(pixel_type=77), {}, "pixels of type 77; grey ones"),
        (one(compression=1), {}, "compressed by JPEG; JPEG XR, zstd or none"),
        (one(compression=104), {}, "compressed by method 104"),
        (one(data=bytes(100)), {}, "truncated: a piece has fewer bytes"),
        (one(data=bytes(10**6)), {}, "a piece of 1000000 bytes"),
        (one(compression=5, data=zarr_bytes.zstd(bytes(2402))), {}, "the file cannot be read"),
        (one(compression=6, data=b"\x09\x01"), {}, "zstd behind a header that is not known"),
    ],
)
def test_a_piece_that_cannot_be_read_makes_its_frame_unusable(tmp_path, pieces, how, reason):
    put(tmp_path, pieces, **how)
    with pytest.raises(FrameError, match=reason) as caught:
        only(tmp_path)
    assert caught.value.shape == (30, 40)


@pytest.mark.parametrize(
    ("pieces", "how", "reason"),
    [
        ([], {}, "a directory of 0 pieces"),
        (one(stored=(15, 20))[:1], {}, "a CZI without any image"),
        (one(), {"pending": 1}, "was not closed"),
        (one(), {"part": 2}, "continues in other files"),
        (one(more={"Z": 1}), {}, "a stack of 2 planes in depth"),
        (one(more={"T": 1}), {}, "2 points in time"),
        (one(more={"B": 1}), {}, "2 places along the axis B"),
        ([*one(), one()[2]], {}, "two tiles at the same position"),
        (one(size=(2**30, 2**30), stored=(2**30, 2**30)), {}, "pixels; at most"),
        (one(size=(0, 4), stored=(0, 4)), {}, "no single planes"),
        ([piece | {"C": piece["C"] - 1} for piece in one()], {}, "a piece of channel -1"),
        (one(), {"words": czi_bytes.xml(("DAPI",))}, "1 names of channels; the pieces mention channel 4"),
        (one(), {"words": czi_bytes.xml(NAMES, size_um=1e9)}, "a pixel size of"),
        (one(), {"words": "<ImageDocument>"}, "metadata: no XML"),
        (one(), {"words": "<!DOCTYPE a [<!ENTITY b 'c'>]><a/>"}, "metadata: entity definitions"),
    ],
)
def test_a_file_that_is_not_a_slide_is_refused_before_a_frame_is_made(tmp_path, pieces, how, reason):
    put(tmp_path, pieces, **how)
    with pytest.raises(InputError, match=reason) as caught:
        listed(tmp_path)
    assert "CZI files of grey channels" in str(caught.value)  # what was expected
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda data: data[:700], "not a CZI: ZISRAWDIRECTORY|truncated"),
        (lambda data: b"PK" + data[2:], "not a CZI: ZISRAWFILE"),
        (lambda data: data[:84] + struct.pack("<q", 2**60) + data[92:], "truncated"),
        (lambda data: data[:84] + struct.pack("<q", -5) + data[92:], "was not closed"),
        (
            lambda data: data[:92] + struct.pack("<q", -5) + data[100:],
            "ZISRAWMETADATA is expected at byte -5",
        ),
        (lambda data: b"", "truncated"),
    ],
)
def test_positions_beyond_the_file_are_refused(tmp_path, change, reason):
    path = put(tmp_path, one())
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(InputError, match=reason):
        listed(tmp_path)


def test_a_directory_that_counts_more_pieces_than_it_holds_is_refused(tmp_path):
    path = put(tmp_path, one())
    data = path.read_bytes()
    (at,) = struct.unpack_from("<q", data, 84)
    for n, reason in ((150_000, "a directory of 150000 pieces"), (-1, "a directory of -1 pieces")):
        path.write_bytes(data[: at + 32] + struct.pack("<i", n) + data[at + 36 :])
        with pytest.raises(InputError, match=reason):
            listed(tmp_path)


def test_tiffs_beside_a_slide_are_read_as_before_and_metadata_is_searched_for_names(tmp_path):
    put(tmp_path, one())
    assert 'Name="FITC"' in formats.read_words(listed(tmp_path).frames[0])
    (tmp_path / "s" / "f.tif").touch()
    assert (listed(tmp_path).format, listed(tmp_path).ignored) == ("ome-tiff", ("a.czi",))
    assert [ref.frame for ref in listed(tmp_path, fmt="czi").frames] == ["a"]
    with pytest.raises(InputError, match="CZI files of grey channels"):
        listed(tmp_path, "s/f.tif", "czi")


def scene_words(*scenes, exposures=(), bits=""):
    """Return metadata with scenes, each (name, row, column) from 1 or (name,), and more about channels."""
    words = czi_bytes.xml(NAMES)
    told = "".join(
        f'<Scene Index="{k}" Name="{name}">'
        + (f'<Shape Name="x"><ColumnIndex>{at[1]}</ColumnIndex><RowIndex>{at[0]}</RowIndex></Shape>' if at else "")
        + "</Scene>"
        for k, (name, *at) in enumerate(scenes)
    )
    for name, ns in zip(NAMES, exposures, strict=False):
        more = f"<ExposureTime>{ns}</ExposureTime>{bits}"
        words = words.replace(f'Name="{name}"></Channel>', f'Name="{name}">{more}</Channel>')
    return words.replace("</Dimensions>", f"<S><Scenes>{told}</Scenes></S></Dimensions>")


def in_scenes(n):
    whole = planes((40, 50))
    return [czi_bytes.tile(p + np.uint16(s), 0, 1000 * s, c, s) for s in range(n) for c, p in enumerate(whole)]


def test_scenes_are_chosen_by_name_and_wells_are_one_sample_only_where_chosen(tmp_path):
    put(tmp_path, in_scenes(3), scene_words(("left",), ("right",), ("P3",)))
    assert [ref.frame for ref in listed(tmp_path).frames] == ["a_S0", "a_S1", "a_S2"]
    for choice in ("RIGHT", "S1", "1"):
        (ref,) = listed(tmp_path, f"s/a.czi::{choice}").frames
        assert ref.frame == "a_S1"
        np.testing.assert_array_equal(formats.read(ref, ASSAY).pixels, planes((40, 50)) + 1)
    put(tmp_path, in_scenes(3), scene_words(("D6", 4, 6), ("D6 again", 4, 6), ("D7", 4, 7)))
    with pytest.raises(InputError, match=r"2 wells \(D6, D7\)"):
        listed(tmp_path)
    assert [ref.frame for ref in listed(tmp_path, "s::D/06").frames] == ["a_S0", "a_S1"]
    assert [ref.frame for ref in listed(tmp_path, "s::d7").frames] == ["a_S2"]
    assert len(listed(tmp_path, "s::*").frames) == 3


@pytest.mark.parametrize("first", [0, 5])
def test_depth_is_projected_only_where_the_assay_says_how(tmp_path, first):
    whole = np.random.default_rng(2).integers(1, 4000, (3, 4, 40, 50)).astype(np.uint16)  # z, c
    pieces = [czi_bytes.tile(whole[z, c], 0, 0, c, more={"Z": first + z}) for z in range(3) for c in range(4)]
    put(tmp_path, pieces)
    with pytest.raises(InputError, match="a stack of 3 planes in depth"):
        listed(tmp_path)
    brightest = ASSAY.model_copy(update={"z": "max"})
    (ref,) = list_frames(["s"], tmp_path, "auto", brightest).frames
    np.testing.assert_array_equal(formats.read(ref, brightest).pixels, whole.max(axis=0))
    put(tmp_path, pieces[:-1])
    with pytest.raises(FrameError, match=r"no tile of channel 3 at plane \d in depth"):
        formats.read(ref, brightest)


def test_exposures_and_bits_are_those_of_the_channels(tmp_path):
    bits = "<ComponentBitCount>14</ComponentBitCount>"
    put(tmp_path, one(), scene_words(exposures=(150_000_000, 2e7, 10**7, 10**6), bits=bits))
    assert only(tmp_path).exposure_ms == ()  # one of them is no whole number of nanoseconds
    put(tmp_path, one(), scene_words(exposures=(150_000_000, 20_000_000, 10**7, 10**6), bits=bits))
    assert only(tmp_path).exposure_ms == (150, 20, 10, 1)


@pytest.mark.real
@pytest.mark.skipif(not REAL.is_dir(), reason="../shared/data/fmt_real is not here")
def test_wells_and_scenes_of_real_files():
    of = ASSAY.model_copy(update={"channels": {"dna": ("AF488",), "ck": ("CK",), "cd45": ("CD45",)}})
    with pytest.raises(InputError, match=r"2 wells \(D6, D7\)"):
        list_frames(["WellD6-7_S2.czi"], REAL, "auto", of)
    (ref,) = list_frames(["WellD6-7_S2.czi::D7"], REAL, "auto", of).frames
    with pytest.raises(FrameError, match="channel missing: ck, cd45; the file names AF488"):
        formats.read(ref, of)
    refs = list_frames(["S3_1Pos_2Mosaic_T1_Z1_CH1.czi::P1"], REAL, "auto", of).frames
    assert [ref.frame for ref in refs] == ["S3_1Pos_2Mosaic_T1_Z1_CH1_S1"]
