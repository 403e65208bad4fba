"""Colour pictures: merged ones by the colours that the assay names, one channel in shades of one colour, or refused."""

import io
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
import yaml
from PIL import Image

from ctcascade import formats
from ctcascade.data.errors import InputError
from ctcascade.formats import FrameError, pictures
from ctcascade.formats.listing import list_frames
from ctcascade.study.assay import read_assay
from ctcascade.validation.first_look import look_at
from tests.support import tiff_bytes
from tests.support.detecting import camera

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[1].resolve()
REAL = ROOT.parent / "shared" / "data" / "fmt_real"
MERGED = camera(
    channels={"dna": ["blue"], "ck": ["red"], "cd45": ["green"]}, pixel_size_um=0.5, frame_px=[60, 80], bit_depth=8
)
ROLES = {"ck": 0, "cd45": 1, "dna": 2}  # where they lie in RGB
NAMED = camera(
    channels={"dna": ["DAPI"], "ck": ["CK"], "cd45": ["CD45"]},
    files="{frame}_{channel}",
    pixel_size_um=0.5,
    frame_px=[60, 80],
    bit_depth=8,
)


def rgb(seed=1, shape=(60, 80)):
    return np.random.default_rng(seed).integers(0, 250, (*shape, 3)).astype(np.uint8)


def png(pixels, kind=2, bits=8):
    """Return a PNG written chunk by chunk: a header, one deflated block of rows without a filter, the end."""
    rows = b"".join(b"\0" + row.astype(">u2" if bits == 16 else "u1").tobytes() for row in pixels)
    head = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], bits, kind, 0, 0, 0)
    parts = [(b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    chunk = [struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in parts]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk)


def as_tiff(pixels, **options):
    out = io.BytesIO()
    tifffile.imwrite(out, pixels, photometric="rgb", metadata=None, **options)
    return out.getvalue()


def alpha(pixels):
    return np.dstack([pixels, np.full(pixels.shape[:2], 255, np.uint8)])


WRITERS = {
    "a.png": png,
    "b.png": lambda p: png(alpha(p), 6),
    "c.tif": as_tiff,
    "d.tif": lambda p: as_tiff(p, compression="lzw", predictor=True),
    "e.tif": lambda p: as_tiff(np.moveaxis(p, -1, 0), planarconfig="separate"),
    "f.tiff": lambda p: as_tiff(alpha(p), extrasamples=["unassalpha"]),
    "g.tif": lambda p: as_tiff(p.astype(np.uint16) * 16),
}


def put(folder, name, data):
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(data)


def frames(base, of, images="s"):
    return {ref.frame: formats.read(ref, of) for ref in list_frames([images], base, "auto", of).frames}


def refused(base, of):
    with pytest.raises((FrameError, InputError)) as caught:
        frames(base, of)
    return str(caught.value)


@pytest.mark.parametrize("name", WRITERS)
def test_colours_of_a_merged_picture_are_the_channels_that_the_assay_says(tmp_path, name):
    pixels = rgb()
    put(tmp_path / "s", name, WRITERS[name](pixels))
    ((_, frame),) = frames(tmp_path, MERGED).items()
    assert frame.roles == ("dna", "ck", "cd45")
    for role, plane in zip(frame.roles, frame.pixels, strict=True):
        np.testing.assert_array_equal(plane, pixels[..., ROLES[role]])
    assert "display_stretched" in frame.notes
    assert "pixel_size_assumed" in frame.notes


def test_a_jpeg_is_read_within_its_own_error(tmp_path):
    smooth = cv2.GaussianBlur(rgb(), (0, 0), 4)
    out = io.BytesIO()
    Image.fromarray(smooth).save(out, "JPEG", quality=95, subsampling=0)
    put(tmp_path / "s", "a.jpg", out.getvalue())
    frame = frames(tmp_path, MERGED)["a"]
    for role, plane in zip(frame.roles, frame.pixels, strict=True):
        assert np.abs(plane - smooth[..., ROLES[role]].astype(float)).max() <= 6


def test_a_merged_picture_states_its_pixel_size_in_imagejs_words(tmp_path):
    data = io.BytesIO()
    tifffile.imwrite(
        data, rgb(), photometric="rgb", imagej=True, resolution=(4, 4), metadata={"unit": "um", "axes": "YXS"}
    )
    put(tmp_path / "s", "a.tif", data.getvalue())
    assert frames(tmp_path, MERGED)["a"].pixel_size_um == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("a.png", png(rgb(), bits=8)[:-400], "cannot be read"),
        ("a.png", png(np.repeat(rgb()[..., :1], 3, axis=2)), "hold the same pixels"),
        ("a.png", png(rgb().astype(np.uint16) * 257, bits=16), "a colour PNG of 16 bits"),
        ("a.tif", as_tiff(np.zeros((60, 80, 3), np.uint8)), "blank"),
    ],
)
def test_merged_pictures_that_cannot_be_measured_are_refused(tmp_path, name, data, reason):
    put(tmp_path / "s", name, data)
    assert reason in refused(tmp_path, MERGED)


def test_colour_is_refused_with_a_way_out_where_the_assay_does_not_say_what_it_shows(tmp_path):
    put(tmp_path / "s", "a.tif", as_tiff(rgb()))
    said = refused(tmp_path, NAMED.model_copy(update={"files": None}))
    assert said.startswith("a colour picture (RGB), where grey pages are expected")
    assert "channels: {dna: blue, ck: red, cd45: green}" in said


@pytest.mark.parametrize("colour", [(0, 0, 255), (255, 0, 0), (0, 122, 255), (255, 219, 0), (90, 255, 255)])
def test_a_channel_in_shades_of_one_colour_is_its_brightness(tmp_path, colour):
    grey = {name: rgb(seed)[..., 0] for seed, name in enumerate(("DAPI", "CK", "CD45"))}
    grey["CK"][5, 7] = 255
    for name, plane in grey.items():
        shown = np.round(np.multiply.outer(plane / 255, colour)).astype(np.uint8) if name == "CK" else plane
        put(
            tmp_path / "s",
            f"f1_{name}.tif",
            as_tiff(shown) if name == "CK" else tiff_bytes.as_bytes([tiff_bytes.Page(plane)]),
        )
    frame = frames(tmp_path, NAMED)["f1"]
    np.testing.assert_array_equal(frame.pixels, np.stack(list(grey.values())))
    assert "display_stretched" in frame.notes


@pytest.mark.parametrize("what", ["merged", "writing", "another colour in the bright"])
def test_a_picture_of_several_colours_is_no_channel(tmp_path, what):
    pixels = np.zeros((60, 80, 3), np.uint8)
    pixels[..., 2] = rgb()[..., 0]
    if what == "merged":
        pixels = rgb(2)
    elif what == "writing":
        pixels[50:53, 60:75] = 255
    else:
        pixels[..., 0] = np.where(pixels[..., 2] > 200, 180, 0)
    for name in ("DAPI", "CD45"):
        put(tmp_path / "s", f"f1_{name}.png", png(rgb(len(name))[..., :1], kind=0))
    put(tmp_path / "s", "f1_CK.png", png(pixels))
    assert "a picture of several colours, where one channel is expected" in refused(tmp_path, NAMED)


def jpeg_of(colours):
    """Return a JPEG of blobs, and the blobs: three that differ, mixed into red, green and blue by the matrix."""
    blobs = [cv2.GaussianBlur((rgb(k, (200, 200))[..., 0] > 240) * np.float32(255), (0, 0), 3) for k in range(3)]
    blobs = [np.clip(blob * 250 / blob.max(), 0, 255) for blob in blobs]
    pixels = np.clip(np.tensordot(np.stack(blobs, axis=-1), np.array(colours), 1), 0, 255).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=85)
    return pictures.of_picture(out.getvalue(), []), blobs


def test_a_jpeg_in_one_colour_is_its_brightness():
    shown, blobs = jpeg_of([[0, 0.3, 1], [0, 0, 0], [0, 0, 0]])
    plane, coloured = pictures.one_colour(shown, lossy=True)
    assert coloured
    assert np.abs(plane.astype(float) - blobs[0]).mean() < 6


@pytest.mark.parametrize("colours", [np.eye(3), [[1, 0, 0], [0, 0, 1], [0, 0, 0]], [[0, 1, 0], [0.5, 0, 1], [0, 0, 0]]])
def test_a_merged_jpeg_is_no_channel(colours):
    with pytest.raises(FrameError, match="several colours"):
        pictures.one_colour(jpeg_of(colours)[0], lossy=True)


@pytest.mark.parametrize(
    ("channels", "colours"),
    [
        ({"dna": "blue", "cd45": "green", "ck": "red"}, {"dna": 2, "cd45": 1, "ck": 0}),
        ({"dna": ["Blue"], "cd45": ["GREEN"], "ck": ["red"]}, {"dna": 2, "cd45": 1, "ck": 0}),
        ({"dna": ["blue", "DAPI"], "cd45": ["green"], "ck": ["red"]}, {}),
        ({"dna": ["DAPI"], "cd45": ["green"], "ck": ["red"]}, {}),
    ],
)
def test_an_assay_names_colours(tmp_path, channels, colours):
    given = yaml.safe_load((ROOT / "config" / "assays" / "cellsearch.yaml").read_text())
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(given | {"channels": channels, "markers": {}}))
    faults: list = []
    assay = read_assay(path, faults)
    assert faults == []
    assert assay is not None
    assert assay.camera("mine").colours == colours


@pytest.mark.real
@pytest.mark.skipif(not REAL.is_dir(), reason="../shared/data/fmt_real is not here")
@pytest.mark.parametrize("name", ["1_DAPI.tif", "1_TRITC.tif"])
def test_real_pictures_of_one_channel_give_the_brightness_of_their_colour(name):
    path = REAL / "Yuni-Lai+CTC" / name
    shown = tifffile.imread(path)
    pixels, size = pictures.colours_of(path, [])
    plane, coloured = pictures.one_colour(pixels, lossy=False)
    assert (coloured, size) == (True, None)  # 96 dots per inch is a screen's
    np.testing.assert_array_equal(plane, shown.max(axis=2))


@pytest.mark.parametrize(("quality", "flagged"), [(20, True), (30, True), (40, True), (60, False), (90, False)])
def test_a_jpeg_of_low_quality_is_flagged(tmp_path, quality, flagged):
    for seed, name in enumerate(("DAPI", "CK", "CD45")):
        out = io.BytesIO()
        Image.fromarray(rgb(seed)[..., 0]).save(out, "JPEG", quality=quality)
        put(tmp_path / "s", f"f1_{name}.jpg", out.getvalue())
    frame = frames(tmp_path, NAMED)["f1"]
    assert ("jpeg_coarse" in frame.notes) is flagged


def test_check_warns_of_pictures_in_colour(tmp_path):
    put(tmp_path / "s", "a.png", png(rgb()))
    looked = look_at("S1", list_frames(["s"], tmp_path, "auto", MERGED), MERGED)
    assert looked.notes[0].startswith("S1: WARNING: these are pictures in colour, which were stretched for the eye")
    assert "channels blue -> dna, red -> ck, green -> cd45 (by the colours that the assay names)" in looked.line
