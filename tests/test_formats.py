"""Readers: pixels come out on one scale, by channel role; what cannot be read is refused with its reason."""

import errno
import os
import struct
import zlib
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from ctcascade import formats
from ctcascade.formats import FrameError, FrameRef, image_files, ome_tiff
from ctcascade.formats.listing import list_frames
from tests.support import tiff_bytes
from tests.support.detecting import camera

pytestmark = pytest.mark.unit

ASSAY = camera(
    channels={"dna": ["DAPI"], "ck": ["CK-PE", "CK"], "cd45": ["CD45-APC", "CD45"], "fitc": ["FITC"]},
    pixel_size_um=0.645,
    frame_px=[40, 50],
    bit_depth=12,
    files="{frame}_{channel}",
)
TRUSTED = ASSAY.model_copy(update={"channel_order": "trusted"})
NAMES = ("DAPI", "CK-PE", "CD45-APC", "FITC")
SHAPE = (40, 50)


def planes(dtype=np.uint16, top=4000):
    """Four planes that differ from each other and from their mirror images."""
    ramp = np.arange(SHAPE[0] * SHAPE[1]).reshape(SHAPE) % 97
    return np.stack([(ramp * (k + 1)) % top for k in range(4)]).astype(dtype)


def write(path, pixels, names=NAMES, size="0.5", unit="µm", **options):
    metadata = {
        "axes": "CYX",
        "Channel": {"Name": list(names)},
        "PhysicalSizeX": float(size),
        "PhysicalSizeXUnit": unit,
    }
    tifffile.imwrite(path, pixels, photometric="minisblack", ome=True, metadata=metadata, **options)
    return path


def read(*paths, fmt="ome-tiff", channels=(), assay=ASSAY):
    return formats.read(FrameRef("f", "f", tuple(paths), 0, fmt, tuple(channels)), assay)


def refused(*paths, **how):
    with pytest.raises(FrameError) as caught:
        read(*paths, **how)
    return str(caught.value)


@pytest.mark.parametrize("options", [{}, {"compression": "lzw"}, {"compression": "zlib"}, {"compression": "zstd"}])
@pytest.mark.parametrize("order", [(0, 1, 2, 3), (2, 0, 3, 1)])
def test_channels_go_by_name_in_any_order_and_compression(tmp_path, options, order):
    pixels = planes()
    path = write(tmp_path / "f.ome.tif", pixels[list(order)], [NAMES[k] for k in order], **options)
    frame = read(path)
    assert frame.roles == ("dna", "ck", "cd45", "fitc")
    assert frame.pixels.dtype == np.float32
    np.testing.assert_array_equal(frame.pixels, pixels)
    assert frame.ceiling == 4095


def test_names_are_compared_without_case_and_foreign_channels_are_left_aside(tmp_path):
    path = write(tmp_path / "f.ome.tif", planes()[[3, 0, 1, 2]], ["Brightfield", "dapi", "ck", "Cd45"])
    frame = read(path)
    assert frame.roles == ("dna", "ck", "cd45")
    np.testing.assert_array_equal(frame.pixels, planes()[:3])


@pytest.mark.parametrize(("size", "unit", "um"), [("0.5", "µm", 0.5), ("500", "nm", 0.5), ("0.0005", "mm", 0.5)])
def test_the_pixel_size_is_the_files_own_and_a_disagreement_is_noted(tmp_path, size, unit, um):
    frame = read(write(tmp_path / "f.ome.tif", planes(), size=size, unit=unit))
    assert frame.pixel_size_um == pytest.approx(um)
    assert frame.notes == ("pixel_size_differs",)


@pytest.mark.parametrize(("down", "reason"), [("0.5", ""), ("0.503", ""), ("0.65", "pixels of 0.65 x 0.5 um")])
def test_pixels_that_are_not_square_are_refused(tmp_path, down, reason):
    sizes = f'PhysicalSizeX="0.5" PhysicalSizeY="{down}"'
    channels = "".join(f'<Channel Name="{name}"/>' for name in NAMES)
    xml = f'<OME xmlns="u"><Image><Pixels SizeC="4" {sizes}>{channels}</Pixels></Image></OME>'
    pages = [tiff_bytes.Page(plane, description=xml if k == 0 else "") for k, plane in enumerate(planes())]
    path = tiff_bytes.write(tmp_path / "f.ome.tif", pages)
    if reason:
        assert refused(path).startswith(reason)
    else:
        assert read(path).pixel_size_um == 0.5


def test_the_assays_pixel_size_holds_where_the_file_has_none(tmp_path):
    path = tmp_path / "f.tif"
    tifffile.imwrite(path, planes(), photometric="minisblack", metadata=None)
    frame = read(path, assay=TRUSTED)
    assert (frame.pixel_size_um, frame.notes) == (0.645, ("pixel_size_assumed",))
    np.testing.assert_array_equal(frame.pixels, planes())  # as many pages as the assay has channels: its order


def test_pages_without_names_are_refused_where_their_number_is_not_the_assays(tmp_path):
    tifffile.imwrite(tmp_path / "f.tif", planes()[:3], photometric="minisblack", metadata=None)
    assert refused(tmp_path / "f.tif", assay=TRUSTED) == "3 planes without channel names; the assay has 4 channels"
    assert "channel_order: trusted in the assay" in refused(tmp_path / "f.tif")


@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_twelve_bits_above_an_offset_are_read_as_twelve_bits(tmp_path, byteorder):
    path = write(tmp_path / "f.ome.tif", planes() + np.uint16(32768), byteorder=byteorder)
    frame = read(path)
    np.testing.assert_array_equal(frame.pixels, planes())
    assert frame.ceiling == 4095


def test_eight_and_sixteen_bits_keep_their_own_scale(tmp_path):
    eight = read(write(tmp_path / "8.ome.tif", planes(np.uint8, 256)))
    assert eight.ceiling == 255
    np.testing.assert_array_equal(eight.pixels, planes(np.uint8, 256))
    sixteen = planes() + np.uint16(40000)  # above the offset, but more than twelve bits
    frame = read(write(tmp_path / "16.ome.tif", sixteen))
    assert frame.ceiling == 65535
    np.testing.assert_array_equal(frame.pixels, sixteen)


def test_one_file_a_channel_in_grey_colour_and_alpha(tmp_path):
    pixels = planes(np.uint8, 256)
    paths = [tmp_path / f"f_{name}" for name in ("DAPI.png", "CK.png", "CD45.tif", "FITC.png")]
    cv2.imwrite(str(paths[0]), pixels[0])
    cv2.imwrite(str(paths[1]), np.dstack([0 * pixels[1], 0 * pixels[1], pixels[1]]))  # pseudo-colour
    tifffile.imwrite(paths[2], np.stack([0 * pixels[2], pixels[2], 0 * pixels[2]]), photometric="rgb", planarconfig=2)
    cv2.imwrite(str(paths[3]), np.dstack([pixels[3]] * 3 + [np.full_like(pixels[3], 255)]))  # with alpha
    frame = read(*paths, fmt="files", channels=("DAPI", "CK", "CD45", "FITC"))
    np.testing.assert_array_equal(frame.pixels, pixels)
    assert frame.ceiling == 255


def test_a_jpeg_comes_back_within_its_own_error(tmp_path):
    smooth = np.add.outer(np.arange(40), np.arange(50)).astype(np.uint8) * 2
    for k, name in enumerate(("DAPI", "CK", "CD45")):
        cv2.imwrite(str(tmp_path / f"f_{name}.jpg"), smooth + 20 * k, [cv2.IMWRITE_JPEG_QUALITY, 95])
    paths = [tmp_path / f"f_{name}.jpg" for name in ("DAPI", "CK", "CD45")]
    frame = read(*paths, fmt="files", channels=("DAPI", "CK", "CD45"))
    for k, plane in enumerate(frame.pixels):
        assert np.abs(plane - (smooth + 20.0 * k)).max() <= 4


def test_a_file_that_is_not_an_image_is_refused_with_its_reason(tmp_path):
    whole = write(tmp_path / "f.ome.tif", planes()).read_bytes()
    for name, content, reason in (
        ("empty", b"", "empty.tif is empty (0 bytes)"),
        ("text", b"no image\n" * 99, "the file cannot be read: not a TIFF file"),
        ("half", whole[: len(whole) // 2], "truncated"),
    ):
        path = tmp_path / f"{name}.tif"
        path.write_bytes(content)
        assert refused(path).startswith(reason)
    jpeg = tmp_path / "f_DAPI.jpg"
    cv2.imwrite(str(jpeg), planes(np.uint8, 256)[0])
    jpeg.write_bytes(jpeg.read_bytes()[:300])
    assert refused(jpeg, fmt="files", channels=("DAPI",)).startswith("f_DAPI.jpg cannot be read")
    with pytest.raises(FileNotFoundError):  # the file layer: the job fails and is run again
        read(tmp_path / "gone.tif")


def test_the_size_of_a_truncated_frame_is_still_known(tmp_path):
    path = write(tmp_path / "f.ome.tif", planes())
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(FrameError) as caught:
        read(path)
    assert caught.value.shape == SHAPE


@pytest.mark.parametrize("role", range(3))
def test_a_channel_that_shows_nothing_makes_the_frame_unusable(tmp_path, role):
    name = ("dna", "ck", "cd45")[role]
    pixels = planes()
    pixels[role] = 7
    assert refused(write(tmp_path / "a.ome.tif", pixels)) == f"blank, every pixel alike: {name} (7)"
    pixels[role] = 4095
    assert refused(write(tmp_path / "b.ome.tif", pixels)) == f"saturated all over: {name}"


def test_black_and_white_frames_are_named(tmp_path):
    black = refused(write(tmp_path / "a.ome.tif", np.zeros((4, *SHAPE), np.uint16)))
    assert black == "blank, every pixel alike: dna (0), ck (0), cd45 (0)"
    for full in (4095, 65535):
        white = refused(write(tmp_path / "b.ome.tif", np.full((4, *SHAPE), full, np.uint16)))
        assert white == "saturated all over: dna, ck, cd45"


def test_a_missing_or_doubled_channel_is_named(tmp_path):
    assert refused(write(tmp_path / "a.ome.tif", planes()[:2], NAMES[:2])).startswith("channel missing: cd45; the file")
    assert refused(write(tmp_path / "b.ome.tif", planes(), ["DAPI", "CK", "CK-PE", "CD45"])).startswith(
        "two channels are ck:"
    )
    cv2.imwrite(str(tmp_path / "f_DAPI.png"), planes(np.uint8, 256)[0])
    assert refused(tmp_path / "f_DAPI.png", fmt="files", channels=("DAPI",)) == "channel missing: ck, cd45"


def test_channels_of_different_size_are_refused(tmp_path):
    paths = [tmp_path / f"f_{name}.png" for name in ("DAPI", "CK", "CD45")]
    for path, columns in zip(paths, (50, 50, 49), strict=True):
        cv2.imwrite(str(path), planes(np.uint8, 256)[0, :, :columns])
    assert "different size" in refused(*paths, fmt="files", channels=("DAPI", "CK", "CD45"))


def header_only(rows, columns):
    """The header of a TIFF that declares a plane it does not hold."""
    tags = [(256, 4, columns), (257, 4, rows), (258, 3, 16), (259, 3, 1), (262, 3, 1), (273, 4, 8), (277, 3, 1)]
    tags += [(278, 4, rows), (279, 4, min(2 * rows * columns, 2**32 - 1))]
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    return struct.pack("<2sHI", b"II", 42, 8) + struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0)


@pytest.mark.parametrize(
    ("rows", "columns", "reason"), [(60_000, 60_000, "at most 64000000"), (4000, 4000, "truncated")]
)
def test_a_header_that_declares_too_much_is_refused_before_it_costs_memory(tmp_path, rows, columns, reason):
    path = tmp_path / "f.tif"
    path.write_bytes(header_only(rows, columns))
    assert reason in refused(path)
    path = path.rename(tmp_path / "f_DAPI.tif")
    assert reason in refused(path, fmt="files", channels=("DAPI",))


def test_a_png_that_declares_too_much_is_refused_before_it_costs_memory(tmp_path):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    body = chunk(b"IHDR", struct.pack(">IIBBBBB", 90_000, 90_000, 8, 0, 0, 0, 0)) + chunk(b"IDAT", zlib.compress(b"\0"))
    path = tmp_path / "f_DAPI.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b""))
    assert "at most 64000000" in refused(path, fmt="files", channels=("DAPI",))


def test_metadata_with_entities_is_refused_unread(tmp_path):
    entities = '<!DOCTYPE OME [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>'
    xml = f'{entities}<OME><Image><Pixels SizeC="4">&b;</Pixels></Image></OME>'
    path = tmp_path / "f.tif"
    tifffile.imwrite(path, planes(), photometric="minisblack", description=xml, metadata=None)
    assert refused(path) == "OME metadata: entity definitions"


def test_planes_may_lie_in_another_order_than_the_channels(tmp_path):
    data = "".join(f'<TiffData FirstC="{c}" IFD="{3 - c}" PlaneCount="1"/>' for c in range(4))
    channels = "".join(f'<Channel Name="{name}"/>' for name in NAMES)
    pixels = f'<Pixels SizeC="4" SizeZ="1" SizeT="1">{channels}{data}</Pixels>'
    xml = f'<?xml version="1.0"?><OME xmlns="u"><Image>{pixels}</Image></OME>'
    path = tmp_path / "f.ome.tif"
    tifffile.imwrite(path, planes()[::-1], photometric="minisblack", description=xml, metadata=None)
    np.testing.assert_array_equal(read(path).pixels, planes())


def test_a_stack_in_depth_is_refused(tmp_path):
    pixels = np.stack([planes()] * 2, axis=1)
    tifffile.imwrite(
        tmp_path / "f.ome.tif",
        pixels,
        photometric="minisblack",
        ome=True,
        metadata={"axes": "CZYX", "Channel": {"Name": list(NAMES)}},
    )
    assert refused(tmp_path / "f.ome.tif").startswith("a stack of 2 planes in depth (z): write z: max or z: sharpest")


@pytest.mark.parametrize(
    "fault", [MemoryError(), OSError(errno.EIO, "input/output error"), OSError(errno.EMFILE, "too many open files")]
)
@pytest.mark.parametrize("decoder", [(tifffile.TiffPage, "asarray", "ome-tiff"), (Image, "open", "files")])
def test_a_failure_of_the_machine_is_not_blamed_on_the_frame(tmp_path, monkeypatch, fault, decoder):
    """Too little memory or disk fails the job: counted as an unusable frame, it would lower the count."""
    path = tmp_path / ("f1.tif" if decoder[2] == "ome-tiff" else "f1_DAPI.png")
    tifffile.imwrite(path, planes(), photometric="minisblack", metadata=None)

    def fail(*_args, **_kwargs):
        raise fault

    monkeypatch.setattr(decoder[0], decoder[1], fail)
    ref = FrameRef("f1", path.name, (path,), 0, decoder[2], ("DAPI",))
    with pytest.raises(type(fault)):
        formats.read(ref, TRUSTED)


def test_a_bug_is_not_mistaken_for_a_broken_frame(tmp_path):
    path = tmp_path / "f1.tif"
    tifffile.imwrite(path, planes(), photometric="minisblack", metadata=None)
    no_camera = SimpleNamespace(channels=ASSAY.channels, channel_order="trusted")
    with pytest.raises(AttributeError, match="bit_depth"):
        ome_tiff.read(FrameRef("f1", path.name, (path,), 0, "ome-tiff"), no_camera)


def test_more_pixels_than_compressed_bytes_can_hold_are_refused_before_decoding(tmp_path):
    path = tmp_path / "f_DAPI.tif"
    tifffile.imwrite(path, planes()[0], compression="lzw", photometric="minisblack")
    data = bytearray(path.read_bytes())
    rows = data.index(struct.pack("<HHI", 257, 4, 1))
    data[rows + 8 : rows + 12] = struct.pack("<I", 65_000)
    path.write_bytes(data)
    assert "its size needs 1625" in refused(path, path, path, fmt="files", channels=NAMES[:3])


def test_a_small_picture_that_declares_many_pixels_is_refused_before_decoding(tmp_path):
    path = tmp_path / "f_DAPI.png"
    chunk = b"IHDR" + struct.pack(">IIBBBBB", 8000, 8000, 8, 0, 0, 0, 0)
    empty = [b"IDAT" + zlib.compress(b""), b"IEND"]
    parts = [struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in (chunk, *empty)]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    assert "more pixels than the file" in refused(path, path, path, fmt="files", channels=NAMES[:3])


def test_a_type_that_no_array_has_is_refused(tmp_path):
    path = tmp_path / "f_DAPI.tif"
    tifffile.imwrite(path, planes()[0], photometric="minisblack")
    data = bytearray(path.read_bytes())
    bits = data.index(struct.pack("<HHI", 258, 3, 1))
    data[bits + 8 : bits + 10] = struct.pack("<H", 57)
    path.write_bytes(data)
    assert refused(path, path, path, fmt="files", channels=NAMES[:3])


def test_files_that_may_still_be_written_are_named_with_their_age(tmp_path):
    for k in range(3):
        write(tmp_path / f"f{k}.ome.tif", planes())
        os.utime(tmp_path / f"f{k}.ome.tif", (5000 - 50 * k, 5000 - 50 * k))
    found = list_frames(["."], tmp_path, "ome-tiff", ASSAY)
    path, age, young = image_files.youngest(found, 5010.0)
    assert (path.name, age, young) == ("f0.ome.tif", 10.0, 1)
    assert image_files.youngest(found, 9000.0)[1:] == (4000.0, 0)
    assert image_files.youngest(found, 4000.0)[1:] == (0.0, 3)  # a clock that runs ahead
