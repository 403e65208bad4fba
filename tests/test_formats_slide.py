"""Whole-slide images and ImageJ stacks, written byte by byte: read in parts, and each cell of them counted once."""

import struct

import numpy as np
import pytest
import tifffile

from ctcascade import formats
from ctcascade.data.errors import InputError
from ctcascade.formats import FrameError, described
from ctcascade.formats.listing import list_frames
from ctcascade.validation import phantom
from tests.support import czi_bytes, tiff_bytes, zarr_bytes
from tests.support.calling import assay, matched
from tests.support.detecting import camera_of
from tests.support.runs import ROOT
from tests.support.slide_layouts import ASSAY, NAMES, TRUSTED, gradient, listed, through

pytestmark = pytest.mark.unit

COUNTED = {"slide": 2, "tiles": 5, "mosaic": 4}  # frames
REAL = ROOT.parent / "shared" / "data" / "fmt_neubias"


def ome(names=NAMES, size='PhysicalSizeX="0.5" PhysicalSizeY="0.5"', more="", plane=""):
    channels = "".join(f'<Channel Name="{name}"/>' for name in names)
    data = "".join(f'<TiffData FirstC="{c}" IFD="{c}" PlaneCount="1"/>' for c in range(len(names)))
    pixels = f'<Pixels SizeC="{len(names)}" SizeZ="1" SizeT="1" {size}>{channels}{data}{plane}</Pixels>'
    return f'<?xml version="1.0"?><OME xmlns="u"><Image>{pixels}</Image>{more}</OME>'


def slide(path, shape, names=NAMES, pyramid=True, label=True, xml=None, **how):
    """Write a pyramid: a page a channel with its copies at half and quarter size below, and a label image behind."""
    planes = [gradient(shape, k) for k in range(len(names))]
    pages = [
        tiff_bytes.Page(
            plane,
            description=(ome(names) if xml is None else xml) if k == 0 else "",
            below=[tiff_bytes.Page(plane[::s, ::s], **how, tags=[(254, 4, [1])]) for s in (2, 4)] if pyramid else [],
            **how,
        )
        for k, plane in enumerate(planes)
    ]
    behind = [tiff_bytes.Page(np.full((50, 60), 7, np.uint16))] if label else []
    tiff_bytes.write(path, [*pages, *behind], big=how.get("tile") is not None)
    return np.stack(planes)


TILED = {"tile": (256, 272), "deflate": True}


@pytest.mark.parametrize("how", [TILED, {"tile": (256, 272)}, {}, {"deflate": True}])
def test_a_large_image_becomes_overlapping_frames_that_hold_its_pixels(tmp_path, how):
    (tmp_path / "s").mkdir()
    whole = slide(tmp_path / "s" / "a.ome.tif", (2100, 3100), names=NAMES[:3], **how)
    found = listed(tmp_path)
    assert found.format == "slide"
    assert found.why.startswith("TIFFs of more than 3000 pixels")
    assert [ref.frame for ref in found.frames] == ["a_y0_x0", "a_y0_x1486", "a_y986_x0", "a_y986_x1486"]
    covered = np.zeros(whole.shape[1:], int)
    for ref in found.frames:
        y0, x0, y1, x1 = ref.box_px
        assert max(y1 - y0, x1 - x0) <= 2000
        frame = formats.read(ref, ASSAY)
        np.testing.assert_array_equal(frame.pixels, whole[:, y0:y1, x0:x1])
        assert (frame.pixel_size_um, frame.position_um) == (0.5, (y0 * 0.5, x0 * 0.5))
        covered[y0:y1, x0:x1] += 1
    assert covered.min() == 1
    rows, columns = (covered == 2).any(axis=1), (covered == 2).any(axis=0)
    assert (rows.sum(), columns.sum()) == (2100, 3100)
    assert (covered[0] == 2).sum() == (covered[:, 0] == 2).sum() == 128  # 64 um


def test_only_the_tiles_of_the_frame_are_decoded(tmp_path, monkeypatch):
    (tmp_path / "s").mkdir()
    slide(tmp_path / "s" / "a.ome.tif", (300, 3100), **TILED)
    ref = listed(tmp_path).frames[0]
    seen = []
    original = tifffile.TiffPage.decode

    def watched(page):
        decode = original.func(page)
        return lambda data, index, **more: seen.append(index) or decode(data, index, **more)

    monkeypatch.setattr(tifffile.TiffPage, "decode", property(watched))
    formats.read(ref, ASSAY)
    assert ref.box_px == (0, 0, 300, 1614)
    assert len(seen) == 4 * 2 * 6  # of 12 tiles across


def test_channels_of_a_slide_go_by_name(tmp_path):
    (tmp_path / "s").mkdir()
    names = ("CD45", "Brightfield", "DAPI", "ck")
    whole = slide(tmp_path / "s" / "a.ome.tif", (300, 3100), names=names, **TILED)
    frame = formats.read(listed(tmp_path).frames[0], ASSAY)
    assert frame.roles == ("dna", "ck", "cd45")
    np.testing.assert_array_equal(frame.pixels, whole[[2, 3, 0]][:, :, : frame.pixels.shape[2]])


def test_an_image_of_the_size_of_a_frame_is_one(tmp_path):
    (tmp_path / "s").mkdir()
    whole = slide(tmp_path / "s" / "a.ome.tif", (700, 900), label=False, **TILED)
    assert listed(tmp_path).format == "ome-tiff"
    for fmt in ("auto", "slide"):
        (ref,) = listed(tmp_path, fmt=fmt).frames
        np.testing.assert_array_equal(formats.read(ref, ASSAY).pixels, whole)


def test_tiles_that_are_left_out_are_dark_and_not_imaged_and_lost_ones_are_named(tmp_path):
    (tmp_path / "s").mkdir()
    path = tmp_path / "s" / "a.ome.tif"
    slide(path, (300, 3300), pyramid=False, label=False, **TILED)
    last = listed(tmp_path).frames[-1]
    good = formats.read(last, ASSAY).pixels
    with tifffile.TiffFile(path) as file:
        tags = [page.tags[325] for page in file.pages]
        at = [(tag.valueoffset + 8 * (tag.count - 1), tag.valueoffset + 8 * (tag.count // 2 - 1)) for tag in tags]
    data = bytearray(path.read_bytes())
    for pair in at:
        for place in pair:
            struct.pack_into("<Q", data, place, 0)
    path.write_bytes(data)
    partly = formats.read(last, ASSAY)
    black = partly.pixels
    written = black[:, :, :-36].min(axis=(1, 2))
    assert (black[:, :, -36:] == written[:, None, None]).all()
    assert partly.written == pytest.approx(1 - 36 / black.shape[2])
    assert "partly_imaged" in partly.notes
    np.testing.assert_array_equal(black[:, :256, :200], good[:, :256, :200])
    struct.pack_into("<Q", data, at[0][0], 10**9)
    path.write_bytes(data)
    with pytest.raises(FrameError, match="truncated") as caught:
        formats.read(last, ASSAY)
    assert caught.value.shape == good.shape[1:]
    assert formats.read(listed(tmp_path).frames[0], ASSAY).roles == ("dna", "ck", "cd45", "fitc")


@pytest.mark.parametrize("fill", [0, 300])
def test_tiles_that_software_filled_with_one_value_are_not_imaged(tmp_path, fill):
    (tmp_path / "s").mkdir()
    planes = [gradient((512, 3300), k) for k in range(4)]
    for k, plane in enumerate(planes):
        plane[256:, : 272 * 2] = fill
        if k:  # one tile more in which one channel only has one value: dark, but imaged
            plane[:256, :272] = fill
    pages = [tiff_bytes.Page(plane, description=ome() if k == 0 else "", **TILED) for k, plane in enumerate(planes)]
    tiff_bytes.write(tmp_path / "s" / "a.tif", pages, big=True)
    frame = formats.read(listed(tmp_path).frames[0], ASSAY)
    assert frame.written == pytest.approx(1 - 256 * 544 / frame.pixels[0].size)
    assert formats.read(listed(tmp_path).frames[-1], ASSAY).written == 1


def test_a_frame_whose_tiles_were_never_written_is_unusable(tmp_path):
    path = tmp_path / "a.tif"
    pages = [tiff_bytes.Page(gradient((300, 300), k), tile=(256, 256)) for k in range(4)]
    tags = [(325, 4, [0, 0, 0, 0]), (324, 4, [0, 0, 0, 0])]
    tiff_bytes.write(path, [tiff_bytes.Page(p.pixels, tile=p.tile, tags=tags) for p in pages])
    ref = formats.FrameRef("a", "a.tif", (path,), 0, "ome-tiff")
    with pytest.raises(FrameError, match="never written"):
        formats.read(ref, TRUSTED)


@pytest.mark.parametrize(
    ("pages", "reason"),
    [
        ([tiff_bytes.Page(gradient((20, 3300), 0), tags=[(256, 4, [2**20]), (257, 4, [2**20])])], "at most"),
        ([tiff_bytes.Page(gradient((20, 3300), 0), tags=[(256, 4, [9000])])], "truncated"),
        (
            [tiff_bytes.Page(gradient((20, 3300), 0), tile=(16, 16), tags=[(256, 4, [9000])])],
            "strips or tiles; its size",
        ),
        ([tiff_bytes.Page(gradient((20, 3300), 0), deflate=True, tags=[(256, 4, [9**8])])], "a side of at most"),
        ([tiff_bytes.Page(gradient((20, 3300), 0) * 0, deflate=True, tags=[(256, 4, [900_000])])], "more pixels than"),
        ([tiff_bytes.Page(gradient((20, 3300), 0), tile=(4096, 4096), deflate=True)], "save it tiled"),
        ([tiff_bytes.Page(gradient((20, 3300), 0), description=ome())], "name page 4; the file has 1"),
        ([tiff_bytes.Page(gradient((20, 3300), 0), description="<OME>")], "OME metadata: no XML"),
    ],
)
def test_headers_that_claim_too_much_are_refused_before_a_frame_is_made(tmp_path, pages, reason):
    tiff_bytes.write(tmp_path / "a.tif", pages)
    with pytest.raises((InputError, FrameError), match=f"(?s)a.tif.*{reason}|{reason}"):
        formats.read(listed(tmp_path, "a.tif", "slide").frames[0], ASSAY)


def imagej(n=4, unit="micron", resolution=(2_000_000, 1_000_000), labels=(), words=""):
    """Return the description and tags of an ImageJ hyperstack, labels included (tags 50838 and 50839)."""
    text = f"ImageJ=1.53t\nimages={n}\nchannels={n}\n{words}hyperstack=true\nmode=composite\nunit={unit}\n"
    tags = []
    if labels:
        coded = [label.encode("utf-16-be") for label in labels]
        header = b"IJIJ" + b"labl" + struct.pack(">I", len(coded))
        tags = [(50838, 4, [len(header), *map(len, coded)]), (50839, 1, list(header + b"".join(coded)))]
    return text, tags, resolution


def hyperstack(path, in_one, byteorder=">", shape=(60, 80), **about):
    text, tags, resolution = imagej(**about)
    planes = [gradient(shape, k) for k in range(4)]
    first = planes[0] if not in_one else np.concatenate(planes)
    pages = [tiff_bytes.Page(first, description=text, tags=tags, rational={282: resolution, 283: resolution})]
    if in_one:
        pages[0].declared = shape  # the header tells of the first plane; the others follow without a page of theirs
    else:
        pages += [tiff_bytes.Page(plane) for plane in planes[1:]]
    tiff_bytes.write(path, pages, byteorder=byteorder)
    return np.stack(planes)


@pytest.mark.parametrize("in_one", [False, True])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_an_imagej_hyperstack_is_a_frame_with_its_pixel_size(tmp_path, in_one, byteorder):
    whole = hyperstack(tmp_path / "f.tif", in_one, byteorder)
    found = listed(tmp_path, "f.tif")
    assert found.format == "ome-tiff"
    with pytest.raises(FrameError, match="channel_order: trusted"):
        formats.read(found.frames[0], ASSAY)
    frame = formats.read(found.frames[0], TRUSTED)
    assert frame.channels_from == "order"
    np.testing.assert_array_equal(frame.pixels, whole)
    assert frame.pixel_size_um == pytest.approx(0.5)


def test_the_labels_of_a_hyperstack_name_its_channels(tmp_path):
    whole = hyperstack(tmp_path / "f.tif", False, labels=("c:1/4 - CD45", "c:2/4 - DAPI", "FITC", "CK"))
    np.testing.assert_array_equal(formats.read(listed(tmp_path, "f.tif").frames[0], ASSAY).pixels, whole[[1, 3, 0, 2]])


def test_a_hyperstack_in_depth_or_cut_short_is_refused(tmp_path):
    hyperstack(tmp_path / "f.tif", False, words="slices=2\n")
    with pytest.raises(FrameError, match="4 images, 4 channels and 2 slices, which cannot be"):
        formats.read(listed(tmp_path, "f.tif").frames[0], ASSAY)
    hyperstack(tmp_path / "f.tif", False, words="frames=4\n")
    with pytest.raises(FrameError, match="4 points in time"):
        formats.read(listed(tmp_path, "f.tif").frames[0], ASSAY)
    path = tmp_path / "g.tif"
    hyperstack(path, True)
    text = path.read_bytes().replace(b"images=4\nchannels=4", b"images=9\nchannels=9")
    path.write_bytes(text)
    with pytest.raises(FrameError, match="truncated"):
        formats.read(listed(tmp_path, "g.tif").frames[0], ASSAY)


def test_a_large_hyperstack_is_read_in_parts(tmp_path):
    whole = hyperstack(tmp_path / "f.tif", True, shape=(100, 3200))
    found = listed(tmp_path, "f.tif")
    assert (found.format, len(found.frames)) == ("slide", 2)
    for ref in found.frames:
        y0, x0, y1, x1 = ref.box_px
        np.testing.assert_array_equal(formats.read(ref, TRUSTED).pixels, whole[:, y0:y1, x0:x1])


@pytest.fixture(scope="module")
def counted(tmp_path_factory):
    """One phantom scene, as a whole-slide image, as tiles with stage positions, as a CZI; each through to calls."""
    folder = tmp_path_factory.mktemp("scene")
    of = {**assay("cellsearch"), "pixel_size_um": 0.645}
    recipe = phantom.Recipe(leukocytes=300, ctcs=40)
    truth = phantom.write_slide(folder / "whole", phantom.Slide(1, (600, 3400), recipe=recipe), seed=4)
    ref = list_frames(["whole"], folder, "ome-tiff", camera_of(of)).frames[0]
    frame = formats.read(ref, camera_of(of))
    planes = [frame.pixels[frame.roles.index(role)].astype(np.uint16) for role in ("dna", "ck", "cd45", "fitc")]
    names = ("DAPI", "CK-PE", "CD45-APC", "FITC")
    px = 'PhysicalSizeX="0.645" PhysicalSizeY="0.645"'
    (folder / "slide").mkdir()
    pages = [tiff_bytes.Page(p, (256, 256), True, ome(names, px) if k == 0 else "") for k, p in enumerate(planes)]
    tiff_bytes.write(folder / "slide" / "a.ome.tif", pages, big=True)
    (folder / "tiles").mkdir()
    for n, x in enumerate((0, 750, 1500, 2250, 2300)):  # 350 px shared, then nearly all
        place = f'<Plane TheC="0" PositionX="{x * 0.645:.3f}" PositionXUnit="um" PositionY="9" PositionYUnit="um"/>'
        cut = [np.ascontiguousarray(plane[:, x : x + 1100]) for plane in planes]
        pages = [
            tiff_bytes.Page(p, None, False, ome(names, px, plane=place) if k == 0 else "") for k, p in enumerate(cut)
        ]
        tiff_bytes.write(folder / "tiles" / f"t{n}.ome.tif", pages)
    (folder / "mosaic").mkdir()
    pieces = czi_bytes.mosaic(planes, [(0, x) for x in (0, 750, 1500, 2300)], (600, 1100))
    (folder / "mosaic" / "a.czi").write_bytes(czi_bytes.as_bytes(pieces, czi_bytes.xml(names, 0.645)))
    return truth, {name: through(folder, name, of) for name in COUNTED}


@pytest.mark.parametrize("name", COUNTED)
def test_each_cell_of_overlapping_frames_is_counted_once(counted, name):
    truth, results = counted
    found = results[name]
    frames = found["frames"].set_index("frame")
    assert len(frames) == COUNTED[name]
    place = found["calls"].copy()
    for axis in "yx":
        start = (frames[f"{axis}_um"] - frames[f"{axis}_um"].min()) / 0.645
        place[f"{axis}_px"] = place[f"{axis}_px"].astype(float) + place["frame"].map(start).astype(float)
    nuclei = place[found["cells"]["nucleus_area_um2"] > 20]
    pairs = np.hypot(*(nuclei[["y_px", "x_px"]].to_numpy()[:, None] - nuclei[["y_px", "x_px"]].to_numpy()[None]).T)
    assert not (np.triu(pairs < 4, 1)).any()  # no nucleus twice within 2.6 um
    right, recalled = matched(truth, place.assign(frame="f001"), 0.645)
    assert right.mean() > 0.97
    assert recalled.mean() > 0.93
    assert found["frames"]["n_cells"].sum() == len(found["cells"])


@pytest.mark.parametrize("name", COUNTED)
def test_the_analysed_area_is_that_of_the_union(counted, name):
    frames = counted[1][name]["frames"]
    for column in ("area_um2", "frame_area_um2"):
        assert frames[column].sum() == pytest.approx(600 * 3400 * 0.645**2, rel=1e-4)


@pytest.mark.parametrize("fmt", ["ome-zarr", "czi"])
def test_a_slide_gives_the_same_frames_in_every_format(tmp_path, fmt):
    for name in ("tiff", "other"):
        (tmp_path / name).mkdir()
    whole = slide(tmp_path / "tiff" / "a.ome.tif", (2100, 3100), pyramid=False, label=False, **TILED)
    if fmt == "czi":  # tiles that touch
        places = [(y, x) for y in range(0, 2100, 525) for x in range(0, 3100, 775)]
        pieces = czi_bytes.mosaic(whole, places, (525, 775))
        (tmp_path / "other" / "a.czi").write_bytes(czi_bytes.as_bytes(pieces, czi_bytes.xml(NAMES)))
    else:
        zarr_bytes.write(tmp_path / "other" / "a.zarr", whole, NAMES)
    here, there = (listed(tmp_path, name).frames for name in ("tiff", "other"))
    assert [(ref.frame, ref.box_px) for ref in here] == [(ref.frame, ref.box_px) for ref in there]
    for a, b in zip(here, there, strict=True):
        one, other = formats.read(a, ASSAY), formats.read(b, ASSAY)
        np.testing.assert_array_equal(one.pixels, other.pixels)
        assert (one.roles, one.notes, one.ceiling) == (other.roles, other.notes, other.ceiling)
        assert (*other.position_um, other.pixel_size_um) == pytest.approx((*one.position_um, one.pixel_size_um))


def test_contacts_name_cells_that_are_there(counted):
    for found in counted[1].values():
        cells = found["cells"]
        there = set(zip(cells["frame"], cells["cell"], strict=True))
        assert all((f, n) in there for f, others in zip(cells["frame"], cells["contacts"], strict=True) for n in others)


def test_a_cell_that_a_border_cuts_is_kept_and_marked(tmp_path):
    """A CTC half inside the frame is a cell, and its call says that the border cuts it."""
    of, optics = assay("cellsearch"), phantom.Optics()
    recipe = phantom.Recipe(leukocytes=25, ctcs=0)
    phantom.write_slide(tmp_path / "s", phantom.Slide(1, (300, 300), recipe=recipe), seed=8)
    path = next((tmp_path / "s").iterdir())
    with tifffile.TiffFile(path) as file:
        pixels, xml = file.asarray(), file.ome_metadata
    ref = list_frames(["s"], tmp_path, "auto", camera_of(of)).frames[0]
    frame = formats.read(ref, camera_of(of))
    by_role = np.stack([frame.pixels[frame.roles.index(role)] for role in ("dna", "ck", "cd45", "fitc")])
    big = np.pad(by_role.astype(np.uint16), ((0, 0), (0, 40), (0, 0)), mode="reflect")
    cut = phantom.add_ctc(big, optics, 300, 150, seed=2)[:, :300]
    assert pixels.shape == cut.shape
    assert xml
    xml = ome(("DAPI", "CK-PE", "CD45-APC", "FITC"), 'PhysicalSizeX="0.645" PhysicalSizeY="0.645"')
    pages = [tiff_bytes.Page(np.ascontiguousarray(p), description="" if k else xml) for k, p in enumerate(cut)]
    tiff_bytes.write(path.with_name("f001.ome.tif"), pages)
    found = through(tmp_path, "s", of, chunks=1)
    calls, cells = found["calls"], found["cells"]
    here = np.hypot(calls["y_px"] - 300, calls["x_px"] - 150) < 12
    assert here.sum() == 1
    assert cells.loc[here, "touches_border"].all()
    assert calls.loc[here, "call"].item() == "ctc"
    assert calls.loc[here, "at_border"].item()


@pytest.mark.real
@pytest.mark.skipif(not REAL.exists(), reason="the real images are not here")
def test_a_real_hyperstack_gives_its_planes_and_pixel_size():
    """Two channels of real nuclei and tubulin, twelve bits above the offset, big-endian, as ImageJ wrote them."""
    with tifffile.TiffFile(REAL / "xyc_16bit__nuclei_tubulin_crop.tif") as file:
        pages = [page.aspage() for page in file.pages]
        said = described.describe(file)
        two = [plane.read()[0] for (plane,) in described.planes(pages, said, file.filehandle.size)]
        corner = [plane.read((10, 20, 50, 60))[0] for (plane,) in described.planes(pages, said, file.filehandle.size)]
        raw = file.filehandle
        raw.seek(pages[1].dataoffsets[0])
        second = np.frombuffer(raw.read(pages[1].nbytes), ">u2").reshape(pages[1].shape)
    assert (said.n_channels, said.in_one, said.pixel_size_um) == (2, False, None)
    np.testing.assert_array_equal(two[1], second)
    np.testing.assert_array_equal(corner[1], second[10:50, 20:60])
    assert 32768 < two[0].min() < two[0].max() < 32768 + 4096
    with tifffile.TiffFile(REAL / "xy_16bit_calibrated__nuclei_various_shapes.tif") as file:
        assert described.describe(file).pixel_size_um == pytest.approx(0.2)
