"""BZScanner slides: numbered tiles, the slide's own settings, and sixteen bits behind the eight of a JPEG."""

import json

import numpy as np
import pytest
from PIL import Image

from ctcascade import formats
from ctcascade.data.errors import InputError
from ctcascade.formats import FrameError
from ctcascade.formats.listing import list_frames
from tests.support import tiff_bytes
from tests.support.detecting import camera
from tests.support.runs import ROOT

pytestmark = pytest.mark.unit

ASSAY = camera(
    channels={"dna": ["DAPI"], "ck": ["CK", "TRITC"], "cd45": ["CD45", "CY5"], "fitc": ["FITC"]},
    pixel_size_um=0.591,
    frame_px=[32, 48],
    bit_depth=8,
    files="{frame}_{channel}",
)
INFO = (
    "SLIDEID=AB1\nINSTRUMENT=BZ1\nDAPI=1,10.5,1\nTRITC=1,50,4\nCY5=1,50,4\nBF=0,0,0\nFITC={fitc},20,2\ngain_applied=0\n"
)
FIELDS = ROOT.parent / "shared" / "data" / "ctc_hdsca_wbc_fields"


def flat(level):
    """A plane that JPEG keeps exactly: blocks of one grey value each."""
    return np.kron(level + 8 * np.arange(24).reshape(4, 6), np.ones((8, 8))).astype(np.uint8)


def slide(folder, tiles=(60,), channels=range(5), tags=None, info=None):
    """Write tiles; the planes of a tile differ by channel."""
    proc = folder / "bzScanner" / "proc"
    proc.mkdir(parents=True)
    for tile in tiles:
        for channel in channels:
            path = proc / f"Tile{tile + 1 + channel * 2304:06d}.jpg"
            Image.fromarray(flat(10 * channel)).save(path, quality=100)
            if tags:
                low, high = tags[channel]
                path.with_suffix(".tags").write_text(f"Other=1\nPreservedMinValue={low}\nPreservedMaxValue={high}\n")
    if info:
        (folder / "bzScanner" / "slideinfo.txt").write_text(info)
    return folder


def listed(base, fmt="auto"):
    return list_frames(["AB1"], base, fmt, ASSAY)


def read(base):
    return formats.read(listed(base).frames[0], ASSAY)


@pytest.mark.parametrize(("fitc", "roles"), [(1, ("dna", "ck", "cd45", "fitc")), (0, ("dna", "ck", "cd45"))])
def test_the_slides_settings_say_which_channels_are_on(tmp_path, fitc, roles):
    slide(tmp_path / "AB1", info=INFO.format(fitc=fitc))
    found = listed(tmp_path)
    assert (found.format, [ref.frame for ref in found.frames]) == ("bzscanner", ["0060"])
    assert found.why == "file names are BZScanner tile numbers, bzScanner/slideinfo.txt says which channels are on"
    assert found.ignored == ()
    assert [path.name for path in found.sidecars] == ["slideinfo.txt"]
    frame = read(tmp_path)
    assert frame.roles == roles
    assert frame.ceiling == 255
    for plane, channel in zip(frame.pixels, (0, 1, 2, 4), strict=False):
        np.testing.assert_allclose(plane, flat(10 * channel), atol=1)


def test_sidecars_bring_sixteen_bits_back_tile_by_tile(tmp_path):
    tags = [(0.0, 1.0), (0.25, 0.5), (0.0, 0.01), (0.0, 1.0), (0.1, 0.2)]
    slide(tmp_path / "AB1", tags=tags, info=INFO.format(fitc=1))
    found = listed(tmp_path)
    assert len(found.sidecars) == 6
    assert found.ignored == ()
    frame = read(tmp_path)
    assert frame.ceiling == 65535
    for plane, channel in zip(frame.pixels, (0, 1, 2, 4), strict=True):
        low, high = tags[channel]
        step = (high - low) * 257  # one grey value of the JPEG
        np.testing.assert_allclose(plane, 65535 * low + step * flat(10 * channel), atol=1.01 * step)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "Tile002365.tags cannot be read"),
        ("PreservedMinValue=0\n", "Tile002365.tags does not say PreservedMaxValue"),
        ("PreservedMinValue=0\nPreservedMaxValue=3\n", "Tile002365.tags preserves 0 to 3"),
        ("PreservedMinValue=a\nPreservedMaxValue=1\n", "Tile002365.tags cannot be read: could not convert"),
        ("PreservedMinValue=nan\nPreservedMaxValue=1\n", "Tile002365.tags preserves nan to 1"),
    ],
)
def test_a_tile_without_its_sidecar_is_on_no_scale(tmp_path, text, reason):
    """Beside tiles of sixteen bits its cells would look dim, and the leukocytes would be wrong by the same factor."""
    slide(tmp_path / "AB1", tags=[(0, 1)] * 5)
    path = tmp_path / "AB1" / "bzScanner" / "proc" / "Tile002365.tags"
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(FrameError, match=f"^{reason}"):
        read(tmp_path)


def test_tiffs_need_no_sidecar(tmp_path):
    slide(tmp_path / "AB1", tags=[(0, 1)] * 5, channels=(1, 2))
    plane = np.kron(np.arange(24).reshape(4, 6), np.ones((8, 8))).astype(np.uint16) * 1000
    path = tmp_path / "AB1" / "bzScanner" / "proc" / "Tile000061.tif"
    tiff_bytes.write(path, [tiff_bytes.Page(plane)])
    frame = read(tmp_path)
    np.testing.assert_array_equal(frame.pixels[0], plane)
    np.testing.assert_allclose(frame.pixels[1], 257.0 * flat(10), atol=258)


def test_tiles_at_the_slides_edge_are_flagged_and_kept(tmp_path):
    """464 of 2,304: two rows above and below, two columns at either side."""
    flagged = 0
    for tile in (0, 47, 48, 49, 50, 69, 70, 71, 72, 2255, 2256, 2303):
        slide(tmp_path / f"s{tile}" / "AB1", tiles=(tile,))
        frame = read(tmp_path / f"s{tile}")
        at_edge = tile + 1 <= 48 or tile + 1 > 2256 or (tile + 1) % 24 in (0, 1, 2, 23)
        assert ("slide_edge" in frame.notes) == at_edge, tile
        flagged += at_edge
    assert flagged == 10


@pytest.mark.parametrize("line", ["FITC=yes,1,1", "DAPI=2"])
def test_settings_that_say_neither_on_nor_off_are_refused(tmp_path, line):
    slide(tmp_path / "AB1", info=INFO.format(fitc=1) + line + "\n")
    name, _, value = line.partition("=")
    with pytest.raises(InputError, match=f"slideinfo.txt: {name}: found {value}; expected {name}=1,EXPOSURE,GAIN"):
        listed(tmp_path)


def test_file_names_alone_do_not_make_a_bzscanner_slide(tmp_path):
    (tmp_path / "AB1").mkdir()
    (tmp_path / "AB1" / "f1.jpg").write_bytes(b"")
    with pytest.raises(InputError, match=r"none of that layout; expected files named Tile000001\.jpg"):
        listed(tmp_path, "bzscanner")


@pytest.mark.real
@pytest.mark.skipif(not FIELDS.exists(), reason="the real fields are not here")
def test_a_real_field_comes_back_under_its_tile_numbers(tmp_path):
    """Pixels of a real slide; its sidecars were not available and are written here."""
    proc = tmp_path / "AB1" / "proc"
    proc.mkdir(parents=True)
    for file in json.loads((FIELDS / "manifest.json").read_text())["files"]:
        if file["kind"] == "image" and file["field"] == 3:
            name = file["source_path"].rsplit("/", 1)[1]
            (proc / name).write_bytes((FIELDS / file["file"]).read_bytes())
    eight = read(tmp_path)
    assert eight.pixels.shape == (4, 1004, 1362)
    assert "slide_edge" in eight.notes
    for path in proc.glob("*.jpg"):
        path.with_suffix(".tags").write_text("PreservedMinValue=0\nPreservedMaxValue=0.5\n")
    sixteen = read(tmp_path)
    np.testing.assert_allclose(sixteen.pixels, eight.pixels * 128.5, rtol=1e-6)
