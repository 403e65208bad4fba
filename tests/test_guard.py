"""What image files may claim: the guard refuses in words, at once, before anything is allocated."""

import io
import re
import resource
import struct
import subprocess
import sys
import time

import numpy as np
import pytest
import tifffile
from PIL import Image

from ctcascade import formats
from ctcascade.data.errors import InputError
from ctcascade.formats import FrameError, FrameRef, czi, guard
from ctcascade.formats.listing import list_frames
from tests.support import czi_bytes, tiff_bytes
from tests.support.runs import ROOT
from tests.support.slide_layouts import ASSAY, TRUSTED, gradient

pytestmark = pytest.mark.unit
HOSTILE = ROOT.parent / "shared" / "cases" / "hostile"
PIXELS = gradient((32, 48), 0)


def refused(path, of=TRUSTED, fmt="auto"):
    """Return the words with which a file is refused, when it is listed or when it is read."""
    with pytest.raises((InputError, FrameError)) as caught:
        _read_all(path, of, fmt)
    return str(caught.value)


def _read_all(path, of, fmt):
    for ref in list_frames([path.name], path.parent, fmt, of).frames:
        formats.read(ref, of)


def tiff(path, tags=(), n=4, **how):
    return tiff_bytes.write(path, [tiff_bytes.Page(gradient((32, 48), k), tags=list(tags), **how) for k in range(n)])


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ([(339, 3, [6]), (258, 3, [64])], "complex64 values"),
        ([(339, 3, [5]), (258, 3, [32])], "complex"),
        ([(258, 3, [57])], "kind of number"),
        ([(259, 3, [34712])], "JPEG 2000 without a size"),
        ([(259, 3, [7])], "a JPEG without a size"),
        ([(259, 3, [50002])], "compressed by"),
        ([(259, 3, [65001])], "compressed by"),
        ([(277, 3, [40_000])], "planes|page of shape"),
        ([(256, 4, [4_294_967_295])], "a side of at most|at most 64000000"),
        ([(257, 4, [0])], "0 x 48|no image|cannot be read"),
        ([(32997, 4, [1000])], "1000 x 1 planes|page of shape"),
        ([(273, 4, [2**32 - 9])], "truncated"),
    ],
)
def test_tags_that_claim_what_no_frame_has_are_refused(tmp_path, tags, reason):
    path = tiff(tmp_path / "a.tif", tags)
    assert re.search(reason, refused(path)), refused(path)


def test_a_private_tag_does_not_matter(tmp_path):
    ref = FrameRef("a", "a.tif", (tiff(tmp_path / "a.tif", [(33550, 4, [0] * 3)]),), 0, "ome-tiff")
    assert formats.read(ref, TRUSTED).pixels.shape == (4, 32, 48)


@pytest.mark.parametrize("tile", [(2**16, 2**16), (16, 2**31), (2**32 - 1, 16)])
def test_a_tile_larger_than_any_image_needs_is_refused(tmp_path, tile):
    tags = [(322, 4, [tile[1]]), (323, 4, [tile[0]])]
    path = tiff(tmp_path / "a.tif", tags, tile=(16, 16), deflate=True)
    assert "at most 4000000 are read" in refused(path)


def test_pages_without_end_and_pages_without_number_are_refused(tmp_path):
    path = tmp_path / "a.tif"
    data = bytearray(tiff_bytes.as_bytes([tiff_bytes.Page(PIXELS), tiff_bytes.Page(PIXELS)]))
    (first,) = struct.unpack_from("<I", data, 4)
    n = struct.unpack_from("<H", data, first)[0]
    (second,) = struct.unpack_from("<I", data, first + 2 + 12 * n)
    for target in (first, second):
        struct.pack_into("<I", data, second + 2 + 12 * n, target)
        path.write_bytes(data)
        assert "circle" in refused(path)
    many = tiff_bytes.as_bytes([tiff_bytes.Page(PIXELS[:1, :16])] * (guard.MOST_PAGES + 1))
    path.write_bytes(many)
    assert f"more than {guard.MOST_PAGES} pages" in refused(path)


def test_many_pages_that_share_one_tag_cost_too_much(tmp_path):
    text = b"x" * 3_000_000
    pages = [tiff_bytes.Page(PIXELS[:1, :16]) for _ in range(900)]
    data = bytearray(tiff_bytes.as_bytes([tiff_bytes.Page(PIXELS, description=text.decode()), *pages]))
    at = data.index(text)
    (offset,) = struct.unpack_from("<I", data, 4)
    while offset:
        n = struct.unpack_from("<H", data, offset)[0]
        struct.pack_into("<HHII", data, offset + 2, 256 + 14, 2, len(text), at)
        (offset,) = struct.unpack_from("<I", data, offset + 2 + 12 * n)
    (tmp_path / "a.tif").write_bytes(data)
    assert "tags of" in refused(tmp_path / "a.tif")


def test_a_jpeg_with_many_passes_or_another_size_is_refused(tmp_path):
    def jpeg(pixels, **how):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", **how)
        return file.getvalue()

    whole = jpeg(np.zeros((400, 500), np.uint8), progressive=True)
    guard.check_jpeg(whole, 400, 500)
    with pytest.raises(FrameError, match="400 x 500 pixels where 399 x 500"):
        guard.check_jpeg(whole, 399, 500)
    scan = whole[whole.index(b"\xff\xda") : whole.rindex(b"\xff\xd9")]
    long = whole[:-2] + scan * 2000 + b"\xff\xd9"
    with pytest.raises(FrameError, match="it costs too much"):
        guard.check_jpeg(long, 400, 500)
    for name in ("DAPI", "CK", "CD45"):
        (tmp_path / f"f_{name}.jpg").write_bytes(long)
    of = ASSAY.model_copy(update={"files": "{frame}_{channel}"})
    began = time.perf_counter()
    folder = tmp_path / "f_DAPI.jpg"
    assert "costs too much" in refused(folder.parent, of)
    assert time.perf_counter() - began < 5


def test_a_picture_of_another_kind_is_refused(tmp_path):
    of = ASSAY.model_copy(update={"files": "{frame}_{channel}"})
    for name in ("DAPI", "CK", "CD45"):
        Image.fromarray((PIXELS >> 4).astype(np.uint8)).save(tmp_path / f"f_{name}.jpg", "GIF")
    assert "cannot be read" in refused(tmp_path, of)


def test_tiles_of_one_slide_that_lie_far_apart_are_refused_at_once(tmp_path):
    planes = [gradient((12, 64), k) for k in range(3)]

    def pieces(far):
        places = [(0, 0), (0, far), (far, 0)]
        return [
            czi_bytes.tile(plane, y, x, c, None, n) for n, (y, x) in enumerate(places) for c, plane in enumerate(planes)
        ]

    path = tmp_path / "a.czi"
    names = czi_bytes.xml(("DAPI", "CK", "CD45"))
    path.write_bytes(czi_bytes.as_bytes(pieces(250_000), names))
    began = time.perf_counter()
    assert len(list_frames(["a.czi"], tmp_path, "auto", ASSAY).frames) == 3  # of 15,000 places, those with a tile
    path.write_bytes(czi_bytes.as_bytes(pieces(1_000_001), names))
    assert "a side of at most 1000000" in refused(path, ASSAY)
    path.write_bytes(czi_bytes.as_bytes(pieces(500_000), names))
    assert "at most 100000000000 are read" in refused(path, ASSAY)
    assert time.perf_counter() - began < 3


@pytest.mark.parametrize("seed", range(30))
def test_the_sweep_finds_the_overlaps_that_a_comparison_of_all_pairs_finds(seed):
    rng = np.random.default_rng(seed)
    corner = rng.integers(0, 60, (rng.integers(2, 14), 2))
    tiles = [
        (int(y), int(x), int(y + h), int(x + w))
        for (y, x), (h, w) in zip(corner, rng.integers(1, 12, corner.shape), strict=True)
    ]
    pairs = any(czi._shared(a, b) for k, a in enumerate(tiles) for b in tiles[k + 1 :])
    assert czi._overlap(tiles) == pairs


@pytest.mark.skipif(not HOSTILE.is_dir(), reason="files kept beside the repository")
@pytest.mark.parametrize("name", sorted(p.name for p in HOSTILE.glob("*.[tc][iz]*")) if HOSTILE.is_dir() else ())
def test_hostile_files_that_once_got_through_are_refused_or_read_in_a_second(name):
    code = (
        "import sys, time, resource, pathlib\n"
        "from ctcascade import formats\n"
        "from ctcascade.data.errors import InputError\n"
        "from ctcascade.formats.listing import list_frames\n"
        "from tests.support.slide_layouts import TRUSTED\n"
        "path, began = pathlib.Path(sys.argv[1]), time.process_time()\n"
        "try:\n"
        "    for ref in list_frames([path.name], path.parent, 'auto', TRUSTED).frames[:3]:\n"
        "        formats.read(ref, TRUSTED)\n"
        "except (InputError, formats.FrameError) as error:\n"
        "    print(error)\n"
        "print(time.process_time() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(HOSTILE / name)], check=False, capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    seconds, kilobytes = map(float, done.stdout.splitlines()[-1].split())
    assert seconds < 1
    assert kilobytes < 500_000 + resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@pytest.mark.regression
@pytest.mark.parametrize(("tag", "kind"), [(273, 9), (279, 9), (257, 2), (262, 2), (277, 11)])  # -7, text, a fraction
@pytest.mark.parametrize("fmt", ["ome-tiff", "slide"])
def test_a_tag_that_holds_no_whole_number_is_the_files_fault_and_refused_in_words(tmp_path, tag, kind, fmt):
    data = bytearray(tiff(tmp_path / "f.tif").read_bytes())
    (at,) = struct.unpack_from("<I", data, 4)
    (n,) = struct.unpack_from("<H", data, at)
    places = {struct.unpack_from("<H", data, at + 2 + 12 * k)[0]: at + 2 + 12 * k for k in range(n)}
    struct.pack_into("<HIi", data, places[tag] + 2, kind, 1 if kind != 2 else 4, -7)
    (tmp_path / "f.tif").write_bytes(data)
    assert refused(tmp_path / "f.tif", fmt=fmt)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
def test_the_quick_look_at_the_first_page_is_what_the_whole_look_finds(tmp_path, order, big):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path, bigtiff=big, byteorder=order) as file:
        file.write(PIXELS, description="first", extratags=[(65100, 4, 1, 70_000, True), (65101, 3, 2, (7, 8), True)])
        file.write(PIXELS[:16], description="second", extratags=[(65102, 4, 1, 1, True)])
    with guard.open_tiff(path) as file:
        tags = {tag.code: tag for tag in file.pages.first.tags}
    numbers = {code: tag.value for code, tag in tags.items() if tag.dtype in (3, 4) and tag.count == 1}
    wanted = {code: int(np.ravel(numbers[code])[0]) if code in numbers else None for code in tags}
    assert guard.first_tags(path) == wanted
    assert [wanted[code] for code in (65100, 65101, *guard.SIDES)] == [70_000, None, *PIXELS.shape]
