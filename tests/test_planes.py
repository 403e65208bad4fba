"""Where a plane comes from, and on which scale its values are: proved by the file, or the frame is refused by name.

Files are written byte by byte from TIFF 6.0, the OME-TIFF specification (TiffData, UUID, BinaryOnly), and the vendors'
own words in real headers (Akoya, MetaMorph, Micro-Manager).
"""

import json

import numpy as np
import pytest

from ctcascade import formats
from ctcascade.data import store
from ctcascade.formats import FrameError
from ctcascade.formats.listing import list_frames
from ctcascade.images.detect import detect, gather
from tests.support import tiff_bytes
from tests.support.detecting import camera, detect_job

pytestmark = pytest.mark.unit

NAMES = ("DAPI", "CK", "CD45")
ASSAY = camera(
    channels={"dna": ["DAPI"], "ck": ["CK"], "cd45": ["CD45"]}, pixel_size_um=0.5, frame_px=[60, 80], bit_depth=12
)
FILES = ASSAY.model_copy(update={"files": "{frame}_{channel}"})
TRUSTED = ASSAY.model_copy(update={"channel_order": "trusted"})


def planes(n=3, top=4000, seed=1):
    return np.random.default_rng(seed).integers(100, top, (n, 60, 80)).astype(np.uint16)


def uuid(k):
    return f"urn:uuid:00000000-0000-0000-0000-00000000000{k}"


def block(ifd=None, first=None, count=None, file=None, whose=None):
    told = {"IFD": ifd, "FirstC": first, "PlaneCount": count}
    inside = f'<UUID FileName="{file}">{whose}</UUID>' if file else ""
    said = " ".join(f'{key}="{value}"' for key, value in told.items() if value is not None)
    return f"<TiffData {said}>{inside}</TiffData>"


def image(blocks, names=NAMES, title="i", more='PhysicalSizeX="0.5" PhysicalSizeY="0.5"'):
    channels = "".join(f'<Channel Name="{name}"/>' for name in names)
    pixels = f'<Pixels DimensionOrder="XYCZT" SizeC="{len(names)}" SizeZ="1" SizeT="1" {more}>'
    return f'<Image Name="{title}">{pixels}{channels}{"".join(blocks)}</Pixels></Image>'


def ome(*images, own=""):
    return f'<?xml version="1.0"?><OME xmlns="u" UUID="{own}">{"".join(images)}</OME>'


def put(path, pixels, xml=""):
    pages = [tiff_bytes.Page(plane, description="" if k else xml) for k, plane in enumerate(pixels)]
    path.parent.mkdir(exist_ok=True)
    return tiff_bytes.write(path, pages)


def frames(base, of=ASSAY, images="s"):
    return {ref.frame: formats.read(ref, of) for ref in list_frames([images], base, "auto", of).frames}


def refused(base, of=ASSAY):
    with pytest.raises(FrameError) as caught:
        frames(base, of)
    return str(caught.value)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_a_set_of_files_is_one_frame_whose_channels_lie_where_the_metadata_say(tmp_path, order):
    pixels = planes()
    files = [f"f1_C{k}.ome.tif" for k in range(3)]
    for k in order:
        blocks = [block(0, c, 1, files[c], uuid(c)) for c in range(3)]
        put(tmp_path / "s" / files[k], pixels[[k]], ome(image(blocks), own=uuid(k)))
    found = frames(tmp_path)
    assert list(found) == ["f1_C0"]
    np.testing.assert_array_equal(found["f1_C0"].pixels, pixels)
    (tmp_path / "s" / files[1]).unlink()
    assert "f1_C1.ome.tif, which is not in the folder" in refused(tmp_path)


def test_a_file_of_a_set_with_another_identity_is_refused(tmp_path):
    files = [f"f1_C{k}.ome.tif" for k in range(3)]
    for k in range(3):
        blocks = [block(0, c, 1, files[c], uuid(c)) for c in range(3)]
        put(tmp_path / "s" / files[k], planes()[[k]], ome(image(blocks), own=uuid(9 if k == 1 else k)))
    with pytest.raises(FrameError, match="its UUID is another"):
        formats.read(list_frames(["s"], tmp_path, "auto", ASSAY).frames[0], ASSAY)


@pytest.mark.parametrize("companion", ["f.companion.ome", "f1.ome.tif"])
def test_metadata_in_another_file_are_used(tmp_path, companion):
    pixels, files = planes(), ["f1.ome.tif", "f2.ome.tif", "f3.ome.tif"]
    xml = ome(image([block(0, c, 1, files[2 - c], uuid(2 - c)) for c in range(3)]), own=uuid(0))
    (tmp_path / "s").mkdir()
    if companion.endswith("companion.ome"):
        (tmp_path / "s" / companion).write_text(xml.replace(f'UUID="{uuid(0)}"', 'UUID="urn:uuid:c"'))
    for k, name in enumerate(files):
        only = f'<OME xmlns="u" UUID="{uuid(k)}"><BinaryOnly MetadataFile="{companion}" UUID="x"/></OME>'
        put(tmp_path / "s" / name, pixels[[2 - k]], xml if name == companion else only)
    found = frames(tmp_path)
    assert list(found) == ["f3"]
    np.testing.assert_array_equal(found["f3"].pixels, pixels)


@pytest.mark.parametrize(
    ("blocks", "order"),
    [
        ([block(0, None, 3)], (0, 1, 2)),
        ([block()], (0, 1, 2)),
        ([], (0, 1, 2)),
        ([block(1, 0, 2), block(0, 2, 1)], (1, 2, 0)),
        ([block(2, 0), block(0, 1, 2)], (2, 0, 1)),
    ],
)
def test_blocks_of_planes_are_read_as_the_specification_says(tmp_path, blocks, order):
    pixels = planes()
    put(tmp_path / "s" / "f1.ome.tif", pixels, ome(image(blocks)))
    np.testing.assert_array_equal(frames(tmp_path)["f1"].pixels, pixels[list(order)])


@pytest.mark.parametrize(
    ("blocks", "reason"),
    [
        ([block(0, 0), block(0, 1), block(1, 2)], "page 1 is said to be the channels DAPI and CK"),
        ([block(-1, 0), block(1, 1), block(2, 2)], "IFD -1 in the OME metadata"),
        ([block(0, -1), block(1, 1), block(2, 2)], "FirstC -1 in the OME metadata"),
        ([block(0, 7)], "TiffData with FirstC 7, where there are 3 channels"),
        ([block(0, 0, 4)], "TiffData of 4 planes from channel 0"),
        ([block(0, 0), block(1, 0), block(2, 2)], "channel DAPI has two places"),
        ([block(0, 0), block(2, 2)], "the metadata name CK, and give it no page in the file"),
        ([block(0, 0, 1, "../x.tif", "u")], "a file beside this one is expected"),
    ],
)
def test_places_that_contradict_each_other_are_refused(tmp_path, blocks, reason):
    put(tmp_path / "s" / "f1.ome.tif", planes(), ome(image(blocks)))
    assert reason in refused(tmp_path)


def test_a_renamed_file_is_still_its_own(tmp_path):
    pixels = planes()
    put(tmp_path / "s" / "new.ome.tif", pixels, ome(image([block(0, 0, 3, "old.ome.tif", uuid(1))]), own=uuid(1)))
    np.testing.assert_array_equal(frames(tmp_path)["new"].pixels, pixels)


def test_each_image_of_a_file_is_a_frame(tmp_path):
    pixels = planes(6)
    images = [image([block(3 * k, 0, 3)], title=f"pos {k}") for k in range(2)]
    put(tmp_path / "s" / "f1.ome.tif", pixels, ome(*images))
    found = frames(tmp_path)
    assert list(found) == ["f1_I0", "f1_I1"]
    np.testing.assert_array_equal(found["f1_I1"].pixels, pixels[3:])


def test_numbers_for_names_are_no_names(tmp_path):
    names = ("Channel 0", "Channel 1", "Channel 2")
    put(tmp_path / "s" / "f1.ome.tif", planes(), ome(image([block(0, 0, 3)], names=names)))
    assert "numbered: Channel 0" in refused(tmp_path)
    assert frames(tmp_path, TRUSTED)["f1"].channels_from == "order"


def test_foreign_names_are_not_replaced_by_order(tmp_path):
    put(tmp_path / "s" / "f1.ome.tif", planes(), ome(image([block(0, 0, 3)], names=("EGFP", "mCherry", "BF"))))
    assert refused(tmp_path, TRUSTED) == "channel missing: dna, ck, cd45; the file names EGFP, mCherry, BF"


def test_two_channels_with_the_same_pixels_are_refused(tmp_path):
    put(tmp_path / "s" / "f1.ome.tif", planes()[[0, 1, 1]], ome(image([block(0, 0, 3)])))
    assert refused(tmp_path).startswith("ck and cd45 hold the same pixels")


def akoya(name, kind="FullResolution"):
    root = "PerkinElmer-QPI-ImageDescription"
    words = f"<ImageType>{kind}</ImageType><Name>{name}</Name>"
    return f'<?xml version="1.0" encoding="utf-16"?>\r\n<{root}>{words}</{root}>'


@pytest.mark.parametrize("suffix", ["tif", "qptiff"])
def test_akoyas_names_and_resolution_are_read_and_its_thumbnail_is_no_channel(tmp_path, suffix):
    pixels = planes()
    per_cm = {282: (20_000, 1), 283: (20_000, 1)}
    names = ("CK", "CD45", "DAPI")
    pages = [
        tiff_bytes.Page(plane, description=akoya(name), rational=per_cm, tags=[(296, 3, [3])])
        for plane, name in zip(pixels, names, strict=True)
    ]
    small = tiff_bytes.Page(pixels[0][::4, ::4].copy(), description=akoya("", "Thumbnail"))
    (tmp_path / "s").mkdir()
    tiff_bytes.write(tmp_path / "s" / f"f1.{suffix}", [*pages, small])
    frame = frames(tmp_path)["f1"]
    np.testing.assert_array_equal(frame.pixels, pixels[[2, 0, 1]])
    assert (frame.pixel_size_um, frame.size_from) == (0.5, "file")


def metaseries(name, size=0.25):
    said = {"spatial-calibration-x": size, "spatial-calibration-y": size, "spatial-calibration-units": "um"}
    props = "".join(f'<prop id="{k}" type="string" value="{v}"/>' for k, v in {**said, "_IllumSetting_": name}.items())
    return f"<MetaData>\n<PlaneInfo>{props}</PlaneInfo></MetaData>"


def test_one_file_a_channel_takes_scale_and_name_of_metamorph_from_the_header(tmp_path):
    pixels = planes()
    for plane, name in zip(pixels, NAMES, strict=True):
        put(tmp_path / "s" / f"f1_{name}.tif", [plane], metaseries(name))
    frame = frames(tmp_path, FILES)["f1"]
    np.testing.assert_array_equal(frame.pixels, pixels)
    assert (frame.pixel_size_um, frame.notes) == (0.25, ("pixel_size_differs",))
    put(tmp_path / "s" / "f1_CK.tif", [pixels[1]], metaseries("CD45"))
    assert refused(tmp_path, FILES) == "f1_CK.tif is ck by its name, and CD45 by its header"


def test_one_file_a_channel_that_holds_several_planes_is_refused_unless_one_is_named_so(tmp_path):
    pixels = planes()
    for plane, name in zip(pixels, NAMES, strict=True):
        put(tmp_path / "s" / f"f1_{name}.tif", [plane])
    put(tmp_path / "s" / "f1_CK.tif", pixels)
    assert refused(tmp_path, FILES) == "f1_CK.tif holds 3 planes, where its name says one channel, ck"
    put(tmp_path / "s" / "f1_CK.tif", pixels, ome(image([block(0, 0, 3)])))
    np.testing.assert_array_equal(frames(tmp_path, FILES)["f1"].pixels, pixels)


def micro_manager(**said):
    text = json.dumps({"PixelSizeUm": 0.5, **said}).encode() + b"\0"
    return [(51123, 2, text)]


def test_micro_managers_channels_go_by_its_names_and_positions_are_no_channels(tmp_path):
    pixels = planes()
    (tmp_path / "s").mkdir()
    pages = [
        tiff_bytes.Page(plane, tags=micro_manager(Axes={"channel": name}))
        for plane, name in zip(pixels, ("CD45", "DAPI", "CK"), strict=True)
    ]
    tiff_bytes.write(tmp_path / "s" / "f1.tif", pages)
    np.testing.assert_array_equal(frames(tmp_path)["f1"].pixels, pixels[[1, 2, 0]])
    pages = [tiff_bytes.Page(plane, tags=micro_manager(Axes={"position": f"Pos{k}"})) for k, plane in enumerate(pixels)]
    tiff_bytes.write(tmp_path / "s" / "f1.tif", pages)
    for of in (ASSAY, TRUSTED):
        assert "1 planes without channel names" in refused(tmp_path, of)
    assert [ref.frame for ref in list_frames(["s"], tmp_path, "auto", ASSAY).frames] == [
        "f1_Pos0",
        "f1_Pos1",
        "f1_Pos2",
    ]
    for name in ("a1", "a2", "x2", "x3", "x4"):  # the first, the middle and the last are looked at
        put(tmp_path / "s" / f"{name}.tif", planes(), ome(image([block(0, 0, 3)])))
    assert refused(tmp_path).startswith("3 positions of the stage in one file (Pos0, Pos1, Pos2), among files of one")


def scaled(tmp_path, pixels, of=ASSAY, name="f1", more='PhysicalSizeX="0.5" PhysicalSizeY="0.5"', tags=()):
    xml = ome(image([block(0, 0, 3)], more=more))
    pages = [tiff_bytes.Page(p, description="" if k else xml, tags=list(tags)) for k, p in enumerate(pixels)]
    (tmp_path / "s").mkdir(exist_ok=True)
    tiff_bytes.write(tmp_path / "s" / f"{name}.ome.tif", pages)
    return frames(tmp_path, of)[name]


def test_white_is_zero_is_turned_round(tmp_path):
    eight = (planes() >> 4).astype(np.uint8)
    frame = scaled(tmp_path, 255 - eight, tags=[(262, 3, [0])])
    np.testing.assert_array_equal(frame.pixels, eight)


@pytest.mark.parametrize("shift", [3, 4])
def test_values_shifted_to_the_left_are_shifted_back(tmp_path, shift):
    pixels = planes()
    frame = scaled(tmp_path, pixels << shift)
    np.testing.assert_array_equal(frame.pixels, pixels)
    assert frame.ceiling == 4095


@pytest.mark.parametrize("top", [4095, 65535])
def test_floats_of_0_to_1_are_counts_where_all_are_multiples_of_one_step(tmp_path, top):
    pixels = planes()
    floats = (pixels / top).astype(np.float32)
    tags = [(339, 3, [3])]
    np.testing.assert_array_equal(scaled(tmp_path, floats, tags=tags).pixels, pixels)
    with pytest.raises(FrameError, match="whose scale the file does not state"):
        scaled(tmp_path, np.sqrt(floats), tags=tags)


def test_signed_values_are_counts_only_where_none_is_below_zero_or_all_are_offset(tmp_path):
    pixels, tags = planes(), [(339, 3, [2])]
    for stored in (pixels, pixels.astype(np.int32) - 32768):
        as_written = stored.astype(np.int16).view(np.uint16)
        np.testing.assert_array_equal(scaled(tmp_path, as_written, tags=tags).pixels, pixels)
    with pytest.raises(FrameError, match="negative values"):
        scaled(tmp_path, (pixels.astype(np.int32) - 500).astype(np.int16).view(np.uint16), tags=tags)


def test_more_bits_than_the_assay_states_are_flagged_and_saturation_is_theirs(tmp_path):
    pixels = planes(top=14_000)
    pixels[0, :5, :40] = 16_383
    frame = scaled(tmp_path, pixels)
    assert (frame.ceiling, frame.notes) == (16_383, ("bit_depth_differs",))
    stated = scaled(tmp_path, planes(top=9_000), more='SignificantBits="14"')
    assert stated.ceiling == 16_383
    fewer = planes()
    fewer[0, :5, :40] = 4095
    sixteen = ASSAY.model_copy(update={"bit_depth": 16})
    assert scaled(tmp_path, fewer, of=sixteen).ceiling == 4095


def test_a_palette_of_one_colour_is_its_brightness_and_one_of_several_is_refused(tmp_path):
    eight = (planes() >> 4).astype(np.uint8)
    ramp = [257 * v for v in range(256)]
    of_red = [(262, 3, [3]), (320, 3, [*ramp[::-1], *[0] * 512])]
    path = tmp_path / "s" / "f1.tif"
    path.parent.mkdir()
    tiff_bytes.write(path, [tiff_bytes.Page(p, tags=of_red) for p in eight])
    np.testing.assert_array_equal(frames(tmp_path, TRUSTED)["f1"].pixels, 255.0 - eight)
    two = [(262, 3, [3]), (320, 3, [*ramp[::-1], *ramp, *[0] * 256])]
    tiff_bytes.write(path, [tiff_bytes.Page(p, tags=two) for p in eight])
    assert "a palette of several colours" in refused(tmp_path, TRUSTED)


def test_a_screens_resolution_and_a_zero_are_no_pixel_size(tmp_path):
    frame = scaled(tmp_path, planes(), more='PhysicalSizeX="0" PhysicalSizeY="0"')
    assert (frame.pixel_size_um, frame.notes) == (0.5, ("pixel_size_assumed",))
    dpi = {282: (72, 1), 283: (72, 1)}
    pages = [tiff_bytes.Page(p, rational=dpi, tags=[(296, 3, [2])]) for p in planes()]
    tiff_bytes.write(tmp_path / "s" / "f1.ome.tif", pages)
    assert frames(tmp_path, TRUSTED)["f1"].size_from == "assay"


def sample(tmp_path, images, of=ASSAY, chunks=1):
    """Return frames and cells of a sample after detection, chunk by chunk, and gathering."""
    job = detect_job(of, *images)
    paths = [[tmp_path / f"{kind}{k}" for k in range(chunks)] for kind in ("f", "c")]
    for k in range(chunks):
        detect(job, tmp_path, (k + 1, chunks), paths[0][k], paths[1][k])
    gather(*paths, tmp_path / "frames", tmp_path / "cells")
    return [store.read_table(tmp_path / kind, kind) for kind in ("frames", "cells")]


def frame_file(path, pixels, shift=0, names=("DAPI", "CK", "CD45"), more='PhysicalSizeX="0.5" PhysicalSizeY="0.5"'):
    blocks = [block(0, 0, 3)]
    put(path, [plane << shift for plane in pixels], ome(image(blocks, names=names, more=more)) if names else "")


def noisy(seed):
    return np.random.default_rng(seed).normal(300, 20, (3, 120, 140)).round().astype(np.uint16)


@pytest.mark.parametrize("images", [("s",), ("s", "t")])
def test_a_copy_is_counted_once_and_named(tmp_path, images):
    for k in range(2):
        frame_file(tmp_path / "s" / f"f{k}.ome.tif", noisy(k))
    frame_file(tmp_path / images[-1] / "f1 - Copy.ome.tif", noisy(1), shift=3)  # saved again on another scale
    table, _ = sample(tmp_path, images, chunks=2)
    assert list(table["usable"]) == [True, True, False]
    assert table["reason"].iloc[2] == f"a copy: the same pixels as frame {table['frame'].iloc[1]}, which is counted"
    assert list(table["frame_area_um2"] > 0) == [True, True, False]
    other = noisy(1)
    other[0, 0, 0] += 1
    frame_file(tmp_path / images[-1] / "f1 - Copy.ome.tif", other)
    assert sample(tmp_path, images)[0]["usable"].all()


def test_frames_on_another_scale_than_the_sample_are_left_out(tmp_path):
    for k in range(3):
        frame_file(tmp_path / "s" / f"f{k}.ome.tif", noisy(k))
    frame_file(tmp_path / "s" / "f3.ome.tif", noisy(3), shift=4)  # proved by its values: brought to one scale
    frame_file(tmp_path / "s" / "f4.ome.tif", (noisy(4) >> 2).astype(np.uint8))
    table, _ = sample(tmp_path, ["s"])
    assert list(table["usable"]) == [True, True, True, True, False]
    assert table["reason"].iloc[4] == "counts of 8 bits, where the sample's other frames have 16: not comparable"
    assert table["dna_background"].iloc[3] == pytest.approx(table["dna_background"].iloc[0], rel=0.02)


def test_a_frame_without_a_pixel_size_is_not_measured_with_another_than_its_neighbours_state(tmp_path):
    for k in range(2):
        frame_file(tmp_path / "s" / f"f{k}.ome.tif", noisy(k), more='PhysicalSizeX="0.3" PhysicalSizeY="0.3"')
    frame_file(tmp_path / "s" / "f2.ome.tif", noisy(2), more="")
    table, _ = sample(tmp_path, ["s"])
    assert list(table["usable"]) == [True, True, False]
    assert table["reason"].iloc[2] == "no pixel size in the file; other frames state 0.3 um, and the assay 0.5 um"


def test_an_order_that_the_names_of_other_frames_contradict_is_not_trusted(tmp_path):
    for k in range(2):
        frame_file(tmp_path / "s" / f"f{k}.ome.tif", noisy(k), names=("CK", "DAPI", "CD45"))
    frame_file(tmp_path / "s" / "f2.ome.tif", noisy(2), names=())
    table, _ = sample(tmp_path, ["s"], of=TRUSTED)
    assert "taken as dna,ck,cd45; other frames of the sample name them ck,dna,cd45" in table["reason"].iloc[2]


def test_pages_that_point_back_are_refused_at_once(tmp_path):
    path = put(tmp_path / "s" / "f1.tif", planes())
    data = bytearray(path.read_bytes())
    first = int.from_bytes(data[4:8], "little")
    data[-4:] = first.to_bytes(4, "little")  # behind the last page's directory
    path.write_bytes(data)
    assert refused(tmp_path) == "its pages form a circle: one points back to an earlier one"


def test_an_operettas_index_tells_channels_and_size(tmp_path):
    pixels, entries = planes(), []
    for k, name in enumerate(NAMES):
        url = f"r03c04f02p01-ch{k}sk1fk1fl1.tiff"
        put(tmp_path / "s" / url, [pixels[k]])
        words = {"Row": 3, "Col": 4, "FieldID": 2, "PlaneID": 1, "TimepointID": 0, "ChannelName": name, "URL": url}
        size = "".join(f'<ImageResolution{axis} Unit="m">2.5E-07</ImageResolution{axis}>' for axis in "XY")
        entries.append(f"<Image>{''.join(f'<{w}>{v}</{w}>' for w, v in words.items())}{size}</Image>")
    index = f'<Data xmlns="u"><Wells><Well><Image id="1"/></Well></Wells><Images>{"".join(entries)}</Images></Data>'
    (tmp_path / "s" / "Index.idx.xml").write_text(index)
    found = frames(tmp_path)
    assert list(found) == ["r03c04f02"]
    np.testing.assert_array_equal(found["r03c04f02"].pixels, pixels)
    assert (found["r03c04f02"].pixel_size_um, found["r03c04f02"].size_from) == (0.25, "file")
