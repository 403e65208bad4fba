"""Sets of OME-TIFF files under other names, stacks in depth, positions of the stage, names that pages have themselves.

Files are written byte by byte from TIFF 6.0, the OME-TIFF specification, ImageJ's header and Micro-Manager's tag.
"""

import itertools
import json
import shutil

import numpy as np
import pytest

from ctcascade import formats
from ctcascade.data.errors import InputError
from ctcascade.formats import FrameError
from ctcascade.formats.listing import list_frames
from tests.support import tiff_bytes
from tests.support.detecting import camera

pytestmark = pytest.mark.unit

NAMES = ("DAPI", "CK", "CD45")
ASSAY = camera(
    channels={"dna": ["DAPI"], "ck": ["CK"], "cd45": ["CD45"]}, pixel_size_um=0.5, frame_px=[60, 80], bit_depth=12
)
MAX, SHARPEST, TRUSTED = (
    ASSAY.model_copy(update=change) for change in ({"z": "max"}, {"z": "sharpest"}, {"channel_order": "trusted"})
)


def noise(*shape, seed=1):
    return np.random.default_rng(seed).integers(100, 4000, (*shape, 60, 80)).astype(np.uint16)


def uuid(k):
    return f"urn:uuid:00000000-0000-0000-0000-{k:012}"


def block(**told):
    file = told.pop("file", None)
    inside = f'<UUID FileName="{file[0]}">{file[1]}</UUID>' if file else ""
    return (
        f"<TiffData {' '.join(f'{key}={chr(34)}{value}{chr(34)}' for key, value in told.items())}>{inside}</TiffData>"
    )


def ome(blocks=(), names=NAMES, own="", order="XYCZT", depth=1, more="", title="i", after=""):
    channels = "".join(f'<Channel Name="{name}"/>' for name in names)
    about = f'DimensionOrder="{order}" SizeC="{len(names)}" SizeZ="{depth}" SizeT="1" PhysicalSizeX="0.5"'
    pixels = f'<Pixels {about} PhysicalSizeY="0.5">{channels}{"".join(blocks)}{more}</Pixels>'
    return f'<OME xmlns="u" UUID="{own}"><Image ID="Image:0" Name="{title}">{pixels}</Image>{after}</OME>'


def put(path, pixels, xml="", tags=()):
    path.parent.mkdir(exist_ok=True)
    own = itertools.chain(tags, itertools.repeat([]))
    pages = [tiff_bytes.Page(p, description="" if k else xml, tags=next(own)) for k, p in enumerate(pixels)]
    return tiff_bytes.write(path, pages)


def frames(base, of=ASSAY, images="s"):
    return {ref.frame: formats.read(ref, of) for ref in list_frames([images], base, "auto", of).frames}


def refused(base, of=ASSAY, images="s"):
    with pytest.raises((FrameError, InputError)) as caught:
        frames(base, of, images)
    return str(caught.value)


def a_set(folder, stem, seed, n=0):
    """Write a set of three files, one a channel; return its pixels."""
    pixels, files = noise(3, seed=seed), [f"{stem}_{name}.ome.tif" for name in NAMES]
    for k, file in enumerate(files):
        blocks = [block(IFD=0, FirstC=c, PlaneCount=1, file=(files[c], uuid(n + c))) for c in range(3)]
        put(folder / file, pixels[[k]], ome(blocks, own=uuid(n + k)))
    return pixels


def test_a_set_that_was_renamed_is_found_by_its_identities(tmp_path):
    pixels = a_set(tmp_path / "s", "f1", 1)
    for k, path in enumerate(sorted((tmp_path / "s").iterdir())):
        path.rename(path.with_name(f"patient {k}.ome.tif"))
    ((name, frame),) = frames(tmp_path).items()
    assert name == "patient 2"  # of the channel that comes first
    np.testing.assert_array_equal(frame.pixels, pixels)


def test_files_of_two_sets_with_their_names_exchanged_are_put_right(tmp_path):
    first, second = a_set(tmp_path / "s", "f1", 1), a_set(tmp_path / "s", "f2", 2, 10)
    one, two = (tmp_path / "s" / f"f{k}_CK.ome.tif" for k in (1, 2))
    one.rename(tmp_path / "between")
    two.rename(one)
    (tmp_path / "between").rename(two)
    found = frames(tmp_path)
    np.testing.assert_array_equal(found["f1_DAPI"].pixels, first)
    np.testing.assert_array_equal(found["f2_DAPI"].pixels, second)
    assert len(found) == 2


def test_a_copy_of_a_file_of_a_set_is_named_and_no_frame(tmp_path):
    pixels = a_set(tmp_path / "s", "f1", 1)
    shutil.copy(tmp_path / "s" / "f1_CK.ome.tif", tmp_path / "s" / "f1_CK (2).ome.tif")
    listed = list_frames(["s"], tmp_path, "auto", ASSAY)
    assert listed.ignored == ("f1_CK (2).ome.tif",)
    np.testing.assert_array_equal(frames(tmp_path)["f1_DAPI"].pixels, pixels)


def test_a_set_with_a_file_lost_is_one_lost_frame(tmp_path):
    a_set(tmp_path / "s", "f1", 1)
    a_set(tmp_path / "s", "f2", 2, 10)
    (tmp_path / "s" / "f1_CK.ome.tif").unlink()
    listed = list_frames(["s"], tmp_path, "auto", ASSAY).frames
    assert [ref.frame for ref in listed] == ["f1_DAPI", "f2_DAPI"]
    with pytest.raises(FrameError, match=r"f1_CK\.ome\.tif, which is not in the folder"):
        formats.read(listed[0], ASSAY)
    (tmp_path / "s" / "f1_DAPI.ome.tif").rename(tmp_path / "s" / "a.ome.tif")
    (tmp_path / "s" / "f1_CD45.ome.tif").rename(tmp_path / "s" / "b.ome.tif")
    assert [ref.frame for ref in list_frames(["s"], tmp_path, "auto", ASSAY).frames] == ["a", "f2_DAPI"]


def test_pages_that_the_metadata_do_not_name_are_left_aside_where_they_name_all_others(tmp_path):
    pixels = noise(3)
    thumb = pixels[0, ::4, ::4]
    blocks = [block(IFD=k + 1, FirstC=k, PlaneCount=1) for k in range(3)]
    put(tmp_path / "s" / "f.ome.tif", [thumb, *pixels], ome(blocks))
    np.testing.assert_array_equal(frames(tmp_path)["f"].pixels, pixels)
    put(tmp_path / "s" / "f.ome.tif", [thumb, *pixels], ome())
    assert "3 channels, the file has 4 pages" in refused(tmp_path)


@pytest.mark.parametrize("order", ["XYCZT", "XYZCT", "XYTZC"])
@pytest.mark.parametrize("explicit", [True, False])
def test_depth_of_an_ome_tiff_is_read_in_the_order_of_its_dimensions(tmp_path, order, explicit):
    whole = noise(3, 4)  # c, z
    whole[0, 2] = np.where(np.arange(80) % 8 < 4, 300, 3900)
    whole[0, [0, 1, 3]] //= 16
    z_first = order.find("Z") < order.find("C")
    pages = whole if z_first else np.swapaxes(whole, 0, 1)
    blocks = [block(IFD=k, FirstC=k // 4 if z_first else k % 3, FirstZ=k % 4 if z_first else k // 3) for k in range(12)]
    put(tmp_path / "s" / "f.ome.tif", pages.reshape(12, 60, 80), ome(blocks if explicit else (), order=order, depth=4))
    assert (
        refused(tmp_path)
        == "a stack of 4 planes in depth (z): write z: max or z: sharpest in the assay, or save one plane"
    )
    np.testing.assert_array_equal(frames(tmp_path, MAX)["f"].pixels, whole.max(axis=1))
    np.testing.assert_array_equal(frames(tmp_path, SHARPEST)["f"].pixels, whole[:, 2])


def test_a_channel_that_lacks_a_plane_in_depth_is_refused(tmp_path):
    blocks = [block(IFD=k, FirstC=k % 3, FirstZ=k // 3) for k in range(5)]
    put(tmp_path / "s" / "f.ome.tif", noise(6), ome(blocks, depth=2))
    assert refused(tmp_path, MAX) == "channel CD45 lacks 1 of its 2 planes in depth"


def imagej(n, labels=(), **dimensions):
    told = "".join(f"{key}={value}\n" for key, value in {"images": n, **dimensions}.items())
    return f"ImageJ=1.53t\n{told}hyperstack=true\nunit=micron\n"


@pytest.mark.parametrize(
    "dimensions", [{"channels": 3, "slices": 4}, {"slices": 4, "channels": 3, "mode": "composite"}]
)
def test_depth_of_an_imagej_stack(tmp_path, dimensions):
    whole = noise(4, 3)  # z, c: channels vary fastest
    pages = whole.reshape(12, 60, 80)
    put(tmp_path / "s" / "f.tif", pages, imagej(12, **dimensions))
    assert "a stack of 4 planes in depth" in refused(tmp_path, TRUSTED)
    of = TRUSTED.model_copy(update={"z": "max"})
    np.testing.assert_array_equal(frames(tmp_path, of)["f"].pixels, whole.max(axis=0))
    assert "3 planes without channel names" in refused(tmp_path, MAX)
    put(tmp_path / "s" / "f.tif", pages, imagej(12, channels=3, frames=4))
    assert "4 points in time" in refused(tmp_path, of)


def micro_manager(**said):
    return [(51123, 2, json.dumps({"PixelSizeUm": 0.5, **said}).encode() + b"\0")]


def page_name(name):
    return [(285, 2, name.encode() + b"\0")]


@pytest.mark.parametrize("with_depth", [False, True])
def test_each_position_in_a_file_of_micro_manager_is_a_frame(tmp_path, with_depth):
    n_z = 3 if with_depth else 1
    whole = noise(2, n_z, 3)  # position, z, c
    tags, pages = [], []
    for p, z, c in np.ndindex(2, n_z, 3):
        axes = {"position": f"Pos {p}", "channel": NAMES[::-1][c], **({"z": z} if with_depth else {})}
        tags.append(micro_manager(Axes=axes, XPositionUm=100.0 * p, YPositionUm=7.0, Exposure=20.0 + c))
        pages.append(whole[p, z, c])
    put(tmp_path / "s" / "f.tif", pages, tags=tags)
    of = MAX if with_depth else ASSAY
    found = frames(tmp_path, of)
    assert list(found) == ["f_Pos_0", "f_Pos_1"]
    for p, frame in enumerate(found.values()):
        np.testing.assert_array_equal(frame.pixels, whole[p].max(axis=0)[::-1])
        assert (frame.position_um, frame.exposure_ms) == ((7.0, 100.0 * p), (22.0, 21.0, 20.0))
    assert list(frames(tmp_path, of, "s::Pos 1")) == ["f_Pos_1"]
    assert list(frames(tmp_path, of, "s/f.tif::Pos 0")) == ["f_Pos_0"]


def test_depth_at_positions_of_micro_manager_is_refused_where_the_assay_does_not_say_how(tmp_path):
    tags = [micro_manager(Axes={"position": p, "channel": n, "z": z}) for p in "ab" for z in range(3) for n in NAMES]
    put(tmp_path / "s" / "f.tif", noise(18), tags=tags)
    assert "a stack of 3 planes in depth" in refused(tmp_path)


def test_a_plane_that_micro_manager_names_twice_or_not_at_all_is_refused(tmp_path):
    tags = [micro_manager(Axes={"channel": name, "z": z}) for name, z in (("DAPI", 0), ("CK", 0), ("CK", 0))]
    put(tmp_path / "s" / "f.tif", noise(3), tags=tags)
    assert "pages 2 and 3 are the same channel and plane" in refused(tmp_path)
    tags = [micro_manager(Axes={"channel": n, "z": z}) for n, z in (("DAPI", 0), ("DAPI", 1), ("CK", 0), ("CD45", 0))]
    put(tmp_path / "s" / "f.tif", noise(4), tags=tags)
    assert "channels of different planes in depth" in refused(tmp_path, MAX)


@pytest.mark.parametrize("own", [page_name, lambda name: micro_manager(Channel=name)])
def test_a_name_of_a_page_that_contradicts_the_metadata_is_refused(tmp_path, own):
    pixels = noise(3)
    put(tmp_path / "s" / "f.ome.tif", pixels, ome(), [own(name) for name in ("DAPI", "CD45", "CK")])
    assert "two names that contradict each other: CK (ck) and CD45 (cd45)" in refused(tmp_path)
    put(tmp_path / "s" / "f.ome.tif", pixels, ome(), [own(name) for name in ("DAPI", "Cam 1", "CD45")])
    np.testing.assert_array_equal(frames(tmp_path)["f"].pixels, pixels)


@pytest.mark.parametrize("own", [page_name, lambda name: micro_manager(Channel=name)])
@pytest.mark.parametrize("xml", ["", imagej(3), imagej(3, channels=3), ome(names=("", "", ""))])
def test_names_of_pages_count_where_the_metadata_have_none(tmp_path, own, xml):
    pixels = noise(3)
    put(tmp_path / "s" / "f.tif", pixels, xml, [own(name) for name in ("CD45", "DAPI", "CK")])
    np.testing.assert_array_equal(frames(tmp_path)["f"].pixels, pixels[[1, 2, 0]])
    np.testing.assert_array_equal(frames(tmp_path, TRUSTED)["f"].pixels, pixels[[1, 2, 0]])


def test_the_dye_counts_where_a_channel_has_no_name_that_is_known(tmp_path):
    pixels = noise(3)
    channels = "".join(f'<Channel Name="Ch{k}" Fluor="{name}"/>' for k, name in enumerate(("CD45", "DAPI", "CK")))
    xml = f'<OME xmlns="u"><Image><Pixels SizeC="3">{channels}</Pixels></Image></OME>'
    put(tmp_path / "s" / "f.ome.tif", pixels, xml)
    np.testing.assert_array_equal(frames(tmp_path)["f"].pixels, pixels[[1, 2, 0]])
    put(tmp_path / "s" / "f.ome.tif", pixels, xml.replace('Name="Ch0"', 'Name="CK"'))
    assert "a channel has two names that contradict each other: CK (ck) and CD45 (cd45)" in refused(tmp_path)


@pytest.mark.parametrize(("unit", "factor"), [("", 1000), ("ms", 1), ("s", 1000), ("µs", 0.001)])
def test_the_exposures_of_ome_metadata(tmp_path, unit, factor):
    said = f' ExposureTimeUnit="{unit}"' if unit else ""
    planes = "".join(f'<Plane TheC="{c}" TheZ="0" TheT="0" ExposureTime="{c + 1}"{said}/>' for c in range(3))
    put(tmp_path / "s" / "f.ome.tif", noise(3), ome(names=("CK", "DAPI", "CD45"), more=planes))
    assert frames(tmp_path)["f"].exposure_ms == pytest.approx((2 * factor, factor, 3 * factor))


def test_wells_of_ome_metadata_are_one_sample_only_where_chosen(tmp_path):
    pixels = noise(6)
    images = "".join(
        f'<Image ID="Image:{k}" Name="field {k}"><Pixels DimensionOrder="XYCZT" SizeC="3" SizeZ="1" SizeT="1">'
        + "".join(f'<Channel Name="{name}"/>' for name in NAMES)
        + "".join(block(IFD=3 * k + c, FirstC=c, PlaneCount=1) for c in range(3))
        + "</Pixels></Image>"
        for k in range(2)
    )
    wells = "".join(
        f'<Well Row="{k}" Column="{k + 3}"><WellSample><ImageRef ID="Image:{k}"/></WellSample></Well>' for k in range(2)
    )
    put(tmp_path / "s" / "f.ome.tif", pixels, f'<OME xmlns="u"><Plate>{wells}</Plate>{images}</OME>')
    assert "2 wells (A4, B5)" in refused(tmp_path)
    for choice in ("B5", "b/05", "field 1", "1"):
        ((name, frame),) = frames(tmp_path, images=f"s::{choice}").items()
        assert name == "f_I1"
        np.testing.assert_array_equal(frame.pixels, pixels[3:])


def test_wells_of_an_operetta_are_one_sample_only_where_chosen(tmp_path):
    entries, pixels = [], {}
    for row, column, field in ((3, 4, 1), (3, 4, 2), (2, 11, 1)):
        whole = pixels[row, column, field] = noisy = noise(3, seed=row * 100 + field)
        for k, name in enumerate(NAMES):
            url = f"r{row:02}c{column:02}f{field:02}p01-ch{k}sk1fk1fl1.tiff"
            put(tmp_path / "s" / url, noisy[[k]])
            words = {"Row": row, "Col": column, "FieldID": field, "PlaneID": 1, "ChannelName": name, "URL": url}
            entries.append(f"<Image>{''.join(f'<{w}>{v}</{w}>' for w, v in words.items())}</Image>")
        assert whole.shape == (3, 60, 80)
    (tmp_path / "s" / "Index.idx.xml").write_text(f'<Data xmlns="u"><Images>{"".join(entries)}</Images></Data>')
    assert "2 wells (C4, B11)" in refused(tmp_path)
    assert list(frames(tmp_path, images="s::C/04")) == ["r03c04f01", "r03c04f02"]
    assert list(frames(tmp_path, images="s::r03c04f02")) == ["r03c04f02"]
    ((name, frame),) = frames(tmp_path, images="s::b11").items()
    assert name == "r02c11f01"
    np.testing.assert_array_equal(frame.pixels, pixels[2, 11, 1])
    assert len(list_frames(["s::*"], tmp_path, "auto", ASSAY).frames) == 3
