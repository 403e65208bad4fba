"""Frames of one sample compared: pixel sizes, exposures, and the area of what could not be read."""

import numpy as np
import pandas as pd
import pytest

from ctcascade import formats
from ctcascade.data import store
from ctcascade.data.errors import InputError
from ctcascade.formats.listing import list_frames
from ctcascade.images import alike
from ctcascade.images.background import correct
from ctcascade.images.detect import detect, gather
from tests.support import tiff_bytes
from tests.support.detecting import camera, detect_job

pytestmark = pytest.mark.unit

NAMES = ("DAPI", "CK", "CD45")
ASSAY = camera(
    channels={"dna": ["DAPI"], "ck": ["CK"], "cd45": ["CD45"]}, pixel_size_um=0.5, frame_px=[1000, 1400], bit_depth=12
)


def table(**columns):
    """Return a frames table of as many rows as the longest column."""
    n = max(len(column) for column in columns.values())
    usual = {"usable": [True], "reason": [""], "flags": [""], "height_px": [60], "width_px": [80]}
    usual |= {"pixel_size_um": [0.5], "scale_bits": ["16"], "size_from": ["file"], "channels_from": ["names"]}
    usual |= {"page_order": ["dna,ck,cd45"], "exposure_ms": [""], "y_um": [0.0], "x_um": [0.0]}
    usual |= {"frame_area_um2": [1200.0], "area_um2": [1200.0], "n_cells": [9]}
    rows = {key: column * n if len(column) == 1 else column for key, column in {**usual, **columns}.items()}
    rows |= {"frame": [f"f{k}" for k in range(n)], "pixels_digest": [str(k) for k in range(n)]}
    return pd.DataFrame(rows)


def gone(**columns):
    compared = alike.compare(table(**columns)).frames
    return dict(compared.loc[~compared["usable"], ["frame", "reason"]].itertuples(index=False, name=None))


@pytest.mark.parametrize(
    ("sizes", "flags", "lost"),
    [
        ([0.5, 0.5, 0.1], [""], {"f2": 0.1}),
        ([0.1, 0.5, 0.5], [""], {"f0": 0.1}),
        ([0.5, 0.502, 0.498], [""], {}),
        ([0.1, 0.5], ["pixel_size_differs", ""], {"f0": 0.1}),  # as many of each: what the assay says
        ([0.5, 0.1], ["", "weak_focus,pixel_size_differs"], {"f1": 0.1}),
        ([0.3, 0.1], ["pixel_size_differs"], {"f1": 0.1}),
        ([0.3], [""], {}),
    ],
)
def test_frames_of_another_pixel_size_are_left_out(sizes, flags, lost):
    told = {frame: f"pixels of {size:g} um, where the sample's other frames state" for frame, size in lost.items()}
    found = gone(pixel_size_um=sizes, flags=flags)
    assert set(found) == set(told)
    assert all(found[frame].startswith(reason) for frame, reason in told.items())


@pytest.mark.parametrize(
    ("exposures", "lost"),
    [
        (["ck=100", "ck=100", "ck=5"], {"f2": "ck exposed for 5 ms, and for 100 ms"}),
        (["dna=9,ck=100", "dna=9,ck=110", "dna=9,ck=85"], {}),
        (["dna=9,ck=100", "dna=9,ck=100", "dna=2,ck=100"], {"f2": "dna exposed for 2 ms, and for 9 ms"}),
        (["ck=100", "", "ck=100"], {}),
        (
            ["ck=1", "ck=100", "ck=100,cd45=7", "ck=101,cd45=70"],
            {"f0": "ck exposed for 1", "f3": "cd45 exposed for 70"},
        ),
    ],
)
def test_frames_of_another_exposure_are_left_out(exposures, lost):
    found = gone(exposure_ms=exposures)
    assert set(found) == set(lost)
    assert all(found[frame].startswith(reason) for frame, reason in lost.items())


def test_what_cannot_be_read_has_the_area_of_the_samples_own_frames():
    found = alike.compare(
        table(
            usable=[True, False, False, True],
            size_from=["file", "nominal", "", "file"],
            height_px=[60, 1000, 30, 60],
            width_px=[80, 1400, 40, 80],
            pixel_size_um=[0.25, 0.5, 0.5, 0.25],
            frame_area_um2=[300.0, 350000.0, 300.0, 300.0],
        )
    ).frames
    assert found["height_px"].tolist() == [60, 60, 30, 60]
    assert found["frame_area_um2"].tolist() == [300, 300, 75, 300]
    none = table(usable=[False], size_from=["nominal"], height_px=[1000], frame_area_um2=[350000.0])
    assert alike.compare(none).frames["frame_area_um2"].tolist() == [350000]


def test_a_frame_whose_pixel_size_is_not_believed_is_lost_at_the_size_of_the_others():
    found = alike.compare(table(pixel_size_um=[0.5, 0.5, 0.1], frame_area_um2=[1200.0, 1200.0, 48.0])).frames
    assert found["usable"].tolist() == [True, True, False]
    assert found["frame_area_um2"].tolist() == [1200, 1200, 1200]


def write(path, seed, exposure, size=0.5):
    pixels = np.random.default_rng(seed).integers(100, 4000, (3, 60, 80)).astype(np.uint16)
    planes = "".join(f'<Plane TheC="{c}" ExposureTime="{ms}" ExposureTimeUnit="ms"/>' for c, ms in enumerate(exposure))
    channels = "".join(f'<Channel Name="{name}"/>' for name in NAMES)
    about = f'SizeC="3" PhysicalSizeX="{size}" PhysicalSizeY="{size}"'
    xml = f'<OME xmlns="u"><Image><Pixels {about}>{channels}{planes}</Pixels></Image></OME>'
    pages = [tiff_bytes.Page(plane, description="" if k else xml) for k, plane in enumerate(pixels)]
    tiff_bytes.write(path, pages)


@pytest.mark.regression
def test_exposures_and_sizes_in_the_files_reach_the_frames_table(tmp_path):
    (tmp_path / "s").mkdir()
    write(tmp_path / "s" / "f1.ome.tif", 1, (10, 100, 50))
    write(tmp_path / "s" / "f2.ome.tif", 2, (10, 5, 50))
    write(tmp_path / "s" / "f3.ome.tif", 3, (10, 100, 50))
    write(tmp_path / "s" / "f4.ome.tif", 4, (10, 100, 50), 0.1)
    (tmp_path / "s" / "f5.ome.tif").write_bytes(b"no image")
    out = [tmp_path / name for name in ("f.parquet", "c.parquet", "gf.parquet", "gc.parquet")]
    detect(detect_job(ASSAY, "s"), tmp_path, (1, 1), *out[:2])
    gather([out[0]], [out[1]], *out[2:])
    frames = store.read_table(out[2], "frames").set_index("frame")
    assert frames["exposure_ms"].tolist() == [
        "dna=10,ck=100,cd45=50",
        "dna=10,ck=5,cd45=50",
        *frames["exposure_ms"][2:],
    ]
    assert frames["usable"].tolist() == [True, False, True, False, False]
    assert frames.loc["f2", "reason"].startswith("ck exposed for 5 ms, and for 100 ms in the sample's other frames")
    assert frames.loc["f4", "reason"].startswith("pixels of 0.1 um")
    assert frames.loc["f5", ["height_px", "width_px", "frame_area_um2"]].tolist() == [60, 80, 1200]
    assert (frames["area_um2"] > 0).tolist() == [True, False, True, False, False]


@pytest.mark.parametrize(("factor", "step"), [(1, 1), (2, 2), (3, 3), (16, 1)])
def test_the_noise_floor_follows_the_images_own_step(tmp_path, factor, step):
    """Values in steps of 2 or 3 are not known to be shifted, and stay; their noise is no smaller than half a step."""
    pixels = np.random.default_rng(1).integers(100, 104, (3, 60, 80))  # background of hardly any noise
    pixels[:, 20:26, 20:26] = np.random.default_rng(2).integers(200, 1300, (3, 6, 6))
    xml = "".join(f'<Channel Name="{name}"/>' for name in NAMES)
    xml = f'<OME xmlns="u"><Image><Pixels SizeC="3">{xml}</Pixels></Image></OME>'
    told = [tiff_bytes.Page((p * factor).astype(np.uint16), description="" if k else xml) for k, p in enumerate(pixels)]
    tiff_bytes.write(tmp_path / "f.ome.tif", told)
    frame = formats.read(list_frames(["f.ome.tif"], tmp_path, "auto", ASSAY).frames[0], ASSAY)
    assert frame.steps == (step, step, step)
    settings = detect_job(ASSAY, "s").background
    flat = np.full((60, 80), 100, np.float32)
    assert [correct(flat, 0.5, settings, s).noise for s in frame.steps] == [step / 2] * 3


def seen(tmp_path, pixels):
    channels = "".join(f'<Channel Name="{name}"/>' for name in NAMES)
    xml = f'<OME xmlns="u"><Image><Pixels SizeC="3">{channels}</Pixels></Image></OME>'
    tiff_bytes.write(
        tmp_path / "f.ome.tif", [tiff_bytes.Page(p, description="" if k else xml) for k, p in enumerate(pixels)]
    )
    return formats.read(list_frames(["f.ome.tif"], tmp_path, "auto", ASSAY).frames[0], ASSAY)


@pytest.mark.parametrize("fill", [0, 101, 4095])
@pytest.mark.parametrize(
    ("lost", "share"),
    [
        ({1: np.s_[100:]}, 0.5),
        ({0: np.s_[:50], 2: np.s_[:, 150:]}, 1 - 0.75 * 0.75),
        ({1: np.s_[192:]}, 0.04),
        ({0: np.s_[60:100], 1: np.s_[80:120]}, 0.3),
    ],
)
def test_rows_and_columns_of_one_value_are_no_imaged_area(tmp_path, fill, lost, share):
    pixels = np.random.default_rng(1).normal(100, 3, (3, 200, 200)).round().astype(np.uint16)
    pixels[:, 90:110, 20:40] = 900 + np.arange(20)
    for channel, where in lost.items():
        pixels[channel][where] = fill
    frame = seen(tmp_path, pixels)
    assert frame.written == pytest.approx(1 - share)
    assert "partly_imaged" in frame.notes
    dark = [frame.pixels[channel][where] for where in lost.values() for channel in range(3)]
    assert all(np.ptp(part) == 0 and part.max() < 100 for part in dark)  # in all channels: a stain is lost there


@pytest.mark.parametrize("goal", ["nowhere/f3.ome.tif", "f3.ome.tif"])
def test_a_link_that_leads_nowhere_is_no_frame_less(tmp_path, goal):
    write(tmp_path / "f1.ome.tif", 1, (9, 9, 9))
    (tmp_path / "notes.txt").symlink_to("nowhere")
    assert len(list_frames(["."], tmp_path, "auto", ASSAY).frames) == 1
    (tmp_path / "f3.ome.tif").symlink_to(goal)
    with pytest.raises(InputError, match=r"f3.ome.tif: found a link that leads nowhere: .*; expected an image; bring"):
        list_frames(["."], tmp_path, "auto", ASSAY)


def test_a_frame_of_which_no_part_is_seen_in_every_channel_is_refused(tmp_path):
    pixels = np.random.default_rng(1).normal(100, 3, (3, 200, 200)).round().astype(np.uint16)
    pixels[0, :100] = 0
    pixels[1, 100:] = 0
    with pytest.raises(formats.FrameError, match="no part that every channel shows"):
        seen(tmp_path, pixels)


@pytest.mark.parametrize("kind", ["drawn", "background taken off", "narrow", "none"])
def test_rows_of_one_value_in_images_without_noise_are_imaged(tmp_path, kind):
    pixels = np.random.default_rng(1).normal(100, 3, (3, 200, 200)).round()
    if kind == "drawn":
        pixels = np.full((3, 200, 200), 100.0)
        pixels[:, 90:110, 20:40] = 900
    elif kind == "background taken off":
        pixels = np.maximum(pixels - 108, 0)
    elif kind == "narrow":
        pixels[1, 195:] = 0
    pixels[:, 90:110, 20:40] += np.arange(1, 4)[:, None, None] * 100 + np.arange(20)
    assert seen(tmp_path, pixels.astype(np.uint16)).written == 1
