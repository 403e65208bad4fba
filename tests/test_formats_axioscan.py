"""Axioscan slides: named tiles, and settings whose object tags are never run."""

import numpy as np
import pytest

from ctcascade import formats
from ctcascade.data.errors import InputError
from ctcascade.formats.listing import list_frames
from tests.support import tiff_bytes
from tests.support.detecting import camera

pytestmark = pytest.mark.unit

ASSAY = camera(
    channels={"dna": ["DAPI"], "ck": ["CK", "AF555"], "cd45": ["CD45", "AF647"], "fitc": ["FITC", "AF488"]},
    pixel_size_um=0.591,
    frame_px=[40, 50],
    bit_depth=16,
    files="{frame}_{channel}",
)
CHANNELS = ("DAPI", "AF488", "AF555", "AF647")
SCAN = """!<csi_images.csi_scans.Scan>
slide_id: AB1
scanner_id: axioscan7_0
start_datetime: 2024-01-02T03:04:05-0800
pixel_size_um: {pixel}
tile_width_px: 50
tile_height_px: 40
tile_x_offset_px: 0
tile_overlap_proportion: 0.1
channels:
- !<csi_images.csi_scans.Scan.Channel>
  name: DAPI
  exposure_ms: 1.5
  intensity: 0.2
  gain_applied: true
roi:
- !<csi_images.csi_scans.Scan.ROI>
  origin_x_um: 10
  tile_rows: 2
  tile_cols: 3
  focus_points:
  - [1, 2, 3]
"""


def plane(n, shape=(36, 45)):
    return ((np.arange(shape[0] * shape[1]).reshape(shape) * (n + 3)) % 40_000).astype(np.uint16)


def tiles(folder, columns=3, rows=2, channels=CHANNELS):
    folder.mkdir(parents=True, exist_ok=True)
    for y in range(rows):
        for x in range(columns):
            for n, channel in enumerate(channels):
                tiff_bytes.write(folder / f"{channel}-X{x:03d}-Y{y:03d}.tif", [tiff_bytes.Page(plane(n + x))])
    return folder


def listed(base, fmt="auto"):
    return list_frames(["AB1"], base, fmt, ASSAY)


@pytest.mark.parametrize("fmt", ["auto", "axioscan"])
def test_tiles_go_by_name_and_the_scan_says_how_large_pixels_are(tmp_path, fmt):
    folder = tiles(tmp_path / "AB1", channels=(*CHANNELS, "BRIGHT"))
    (folder / "scan.yaml").write_text(SCAN.format(pixel=0.652))
    found = listed(tmp_path, fmt)
    assert found.format == "axioscan"
    assert found.why == "file names are Axioscan tiles, scan.yaml gives the pixel size"
    assert [ref.frame for ref in found.frames] == [f"X{x:03d}-Y{y:03d}" for x in range(3) for y in range(2)]
    assert all(name.startswith("BRIGHT-") for name in found.ignored)
    assert len(found.ignored) == 6
    assert [path.name for path in found.sidecars] == ["scan.yaml"]
    frame = formats.read(found.frames[3], ASSAY)
    assert frame.roles == ("dna", "ck", "cd45", "fitc")
    np.testing.assert_array_equal(frame.pixels, np.stack([plane(n + 1) for n in (0, 2, 3, 1)]))
    assert (frame.pixel_size_um, frame.notes) == (0.652, ("pixel_size_differs",))
    steps = {ref.frame: ref.position_um for ref in found.frames}
    assert steps["X000-Y001"] == pytest.approx((36 * 0.652, 0))  # 40 less a tenth
    assert steps["X002-Y000"] == pytest.approx((0, -2 * 45 * 0.652))  # columns count from the right


def test_without_settings_the_assays_pixel_size_holds(tmp_path):
    tiles(tmp_path / "AB1")
    found = listed(tmp_path)
    assert (found.format, found.why) == ("axioscan", "file names are Axioscan tiles")
    frame = formats.read(found.frames[0], ASSAY)
    assert (frame.pixel_size_um, frame.position_um) == (0.591, None)


def test_regions_lie_in_folders_of_their_own_and_far_apart(tmp_path):
    folder = tmp_path / "AB1"
    for k in range(2):
        tiles(folder / f"roi_{k}", columns=1, rows=1)
    (folder / "scan.yaml").write_text(SCAN.format(pixel=0.652))
    (folder / "notes").mkdir()
    found = listed(tmp_path)
    assert [(ref.frame, ref.path) for ref in found.frames] == [
        ("R0-X000-Y000", "AB1/roi_0/AF488-X000-Y000.tif"),
        ("R1-X000-Y000", "AB1/roi_1/AF488-X000-Y000.tif"),
    ]
    assert found.ignored == ("notes",)
    assert found.frames[1].position_um[0] - found.frames[0].position_um[0] >= 1e5


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:os.system ['touch RAN']",
        "pixel_size_um: !!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path [RAN]]",
        "!<csi_images.csi_scans.Scan>\npixel_size_um: !!python/name:os.system",
        "!<csi_images.csi_scans.Scan> [1, 2]",
        "a: " + "[" * 5000,
        "{pixel",
        "x" * 1_000_001,
    ],
)
def test_a_setting_that_is_not_plain_data_is_refused_and_never_run(tmp_path, text, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tiles(tmp_path / "AB1", columns=1, rows=1)
    (folder / "scan.yaml").write_text(text)
    with pytest.raises(InputError, match="expected the scan's settings in YAML, no other tags"):
        listed(tmp_path)
    assert not (tmp_path / "RAN").exists()


def test_a_tagged_object_becomes_no_object(tmp_path):
    """A class of that name is never looked up: the tag is only text."""
    folder = tiles(tmp_path / "AB1", columns=1, rows=1)
    tagged = SCAN.replace("csi_images.csi_scans.Scan>", "csi_images.os.system>", 1)
    (folder / "scan.yaml").write_text(tagged.format(pixel=0.5))
    assert listed(tmp_path).frames[0].pixel_size_um == 0.5


def test_nested_anchors_cost_no_memory(tmp_path):
    folder = tiles(tmp_path / "AB1", columns=1, rows=1)
    bomb = "a0: &a0 [x, x]\n" + "".join(f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 9)}]\n" for k in range(1, 30))
    (folder / "scan.yaml").write_text(SCAN.format(pixel=0.5) + bomb)
    assert listed(tmp_path).frames[0].pixel_size_um == 0.5


@pytest.mark.parametrize("pixel", ["0", "fifty", "true", "[1]", ".nan"])
def test_an_impossible_pixel_size_is_refused(tmp_path, pixel):
    folder = tiles(tmp_path / "AB1", columns=1, rows=1)
    (folder / "scan.yaml").write_text(SCAN.format(pixel=pixel))
    with pytest.raises(InputError, match=r"scan\.yaml: pixel_size_um: found .* expected a number from 0\.01 to 20"):
        listed(tmp_path)
