"""The streaming pass: the cells of a frame come out in its tables, whatever the chunks, one frame at a time."""

import gc
import os
import re
import subprocess
import sys
import weakref
from pathlib import Path

import cv2
import numba
import numpy as np
import pandas as pd
import pytest
import tifffile
from scipy import ndimage

from ctcascade import formats
from ctcascade.data import store
from ctcascade.data.errors import InputError
from ctcascade.data.tables import CELLS, FRAMES
from ctcascade.images import detect as module
from ctcascade.images.background import correct
from ctcascade.images.detect import detect, gather
from ctcascade.images.labels import kernel
from ctcascade.study.detection_settings import DetectSettings
from ctcascade.validation import phantom
from tests.support.detecting import camera, detect_job

pytestmark = pytest.mark.unit

ROLES = ("dna", "ck", "cd45", "fitc")
ASSAY = camera(
    channels={"dna": ["DAPI"], "ck": ["CK-PE"], "cd45": ["CD45-APC"], "fitc": ["FITC"]},
    pixel_size_um=0.645,
    frame_px=[1000, 2000],
    bit_depth=12,
)
JOB = detect_job(ASSAY, "slide", sample="S1")
N_FRAMES = 5
FIELDS = Path(__file__).parents[2] / "shared" / "data" / "ctc_hdsca_wbc_fields"


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    """Five small phantom frames; the third is cut short."""
    base = tmp_path_factory.mktemp("base")
    recipe = phantom.Recipe(leukocytes=25, ctcs=4)
    phantom.write_slide(base / "slide", phantom.Slide(N_FRAMES, (220, 260), recipe=recipe), seed=3)
    broken = base / "slide" / "f003.ome.tif"
    broken.write_bytes(broken.read_bytes()[:-5000])
    return base


def run(base, out, chunk=(1, 1), labels=None, **changed):
    out.mkdir(parents=True, exist_ok=True)
    paths = out / "frames.parquet", out / "cells.parquet"
    detect(JOB.model_copy(update=changed), base, chunk, *paths, labels)
    return paths


@pytest.fixture(scope="module")
def whole(slide, tmp_path_factory):
    """The tables of the slide in one chunk, with label images."""
    out = tmp_path_factory.mktemp("whole")
    frames, cells = run(slide, out, labels=out / "labels")
    return out, store.read_table(frames, "frames"), store.read_table(cells, "cells")


def test_every_frame_is_a_row_and_every_cell_belongs_to_its_frame(whole):
    _, frames, cells = whole
    assert list(frames["frame"]) == [f"f00{k}" for k in range(1, 6)]
    assert list(frames.columns) == [c.name for c in FRAMES.for_roles(ROLES)]
    assert list(cells.columns) == [c.name for c in CELLS.for_roles(ROLES)]
    count = cells.groupby("frame").size().reindex(frames["frame"]).fillna(0)
    assert list(frames["n_cells"]) == list(count)
    assert (count[frames["usable"].to_numpy()] > 15).all()
    for _, group in cells.groupby("frame"):
        assert list(group["cell"]) == list(range(1, len(group) + 1))


def test_a_frame_that_cannot_be_read_is_a_row_with_its_size_and_reason(whole):
    _, frames, _ = whole
    row = frames.set_index("frame").loc["f003"]
    assert list(frames["usable"]) == [True, True, False, True, True]
    assert row["reason"].startswith("truncated")
    assert (row["height_px"], row["width_px"]) == (220, 260)
    assert row["frame_area_um2"] == pytest.approx(220 * 260 * 0.645**2)
    assert (row["area_um2"], row["n_cells"]) == (0, 0)
    assert np.isnan(row["focus"])
    good = frames[frames["usable"]]
    assert (good["area_um2"] == good["frame_area_um2"]).all()
    assert (good["reason"] == "").all()


def test_a_file_that_does_not_state_its_size_has_the_nominal_one(tmp_path):
    (tmp_path / "slide").mkdir()
    (tmp_path / "slide" / "f1.tif").touch()
    frames, cells = run(tmp_path, tmp_path / "out")
    row = store.read_table(frames, "frames").iloc[0]
    assert (row["height_px"], row["width_px"]) == (1000, 2000)
    assert row["frame_area_um2"] == pytest.approx(2e6 * 0.645**2)
    assert len(store.read_table(cells, "cells")) == 0


def test_cells_are_where_their_light_is(slide, whole):
    _, _, cells = whole
    with tifffile.TiffFile(slide / "slide" / "f001.ome.tif") as tiff:
        pixels, names = tiff.asarray(), re.findall(r'<Channel[^>]* Name="([^"]+)"', tiff.ome_metadata)
    dna, cd45 = (pixels[names.index(name)].astype(float) for name in ("DAPI", "CD45-APC"))
    here = cells[(cells["frame"] == "f001") & (cells["nucleus_area_um2"] > 0)]
    y, x = (here[name].round().astype(int) for name in ("y_px", "x_px"))
    assert np.median(dna[y, x]) > 4 * np.median(dna)
    brightest = here.loc[here["cd45_mean"].idxmax()]
    box = tuple(slice(int(brightest[f"{a}0_px"]), int(brightest[f"{a}1_px"])) for a in "yx")
    assert cd45[box].max() - np.median(cd45) == pytest.approx(brightest["cd45_max"], rel=0.2)


def test_progress_counts_frames_and_cells(slide, tmp_path, whole):
    _, frames, _ = whole
    said = []
    paths = tmp_path / "frames.parquet", tmp_path / "cells.parquet"
    detect(JOB, slide, (1, 1), *paths, progress=lambda *state: said.append(state))
    assert said == [(k, N_FRAMES, n) for k, n in enumerate(frames["n_cells"].cumsum(), start=1)]


def test_label_images_are_the_cells_of_the_table(whole):
    out, _, cells = whole
    assert sorted(p.name for p in (out / "labels").iterdir()) == ["f001.tif", "f002.tif", "f004.tif", "f005.tif"]
    nuclei, labels = tifffile.imread(out / "labels" / "f004.tif")
    assert labels.dtype == np.uint32
    here = cells[cells["frame"] == "f004"].set_index("cell")
    area = np.bincount(labels.ravel())[1:] * 0.645**2
    np.testing.assert_allclose(here["area_um2"], area, rtol=1e-5)
    inside = np.bincount(nuclei.ravel(), minlength=len(here) + 1)[1:] * 0.645**2
    np.testing.assert_allclose(here["nucleus_area_um2"], inside, rtol=1e-5)


@pytest.mark.property
@pytest.mark.parametrize("of", [1, 2, 3, 7])
def test_the_bytes_do_not_depend_on_the_chunks(slide, tmp_path, whole, of):
    out, _, _ = whole
    parts = [run(slide, tmp_path / str(k), (k, of)) for k in range(1, of + 1)]
    frames, cells = tmp_path / "frames.parquet", tmp_path / "cells.parquet"
    gather([p[0] for p in parts], [p[1] for p in parts], frames, cells)
    at_once = tmp_path / "at_once.parquet"  # gathered too: a frame that cannot be read has the area of the others
    gather([out / "frames.parquet"], [out / "cells.parquet"], at_once, tmp_path / "cells_at_once.parquet")
    assert frames.read_bytes() == at_once.read_bytes()
    assert cells.read_bytes() == (out / "cells.parquet").read_bytes()


def test_chunks_of_other_settings_are_not_joined(slide, tmp_path):
    a = run(slide, tmp_path / "a", (1, 2))
    b = run(slide, tmp_path / "b", (2, 2), cell_margin_um=5.0)
    with pytest.raises(InputError, match="a chunk made with other settings"):
        gather([a[0], b[0]], [a[1], b[1]], tmp_path / "f", tmp_path / "c")


def test_one_frame_at_a_time_is_in_memory(slide, tmp_path, monkeypatch):
    alive = []

    def watched(ref, assay):
        gc.collect()
        assert sum(r() is not None for r in alive) == 0, "an earlier frame is still held"
        frame = formats.read(ref, assay)
        alive.append(weakref.ref(frame))
        return frame

    monkeypatch.setattr(module, "read", watched)
    run(slide, tmp_path)
    assert len(alive) == N_FRAMES - 1


def test_a_marker_that_one_frame_lacks_is_null_there(slide, tmp_path):
    (tmp_path / "slide").mkdir()
    pixels = tifffile.imread(slide / "slide" / "f001.ome.tif")
    for name, channels in (("a", ["DAPI", "CK-PE", "CD45-APC", "FITC"]), ("b", ["DAPI", "CK-PE", "CD45-APC"])):
        tifffile.imwrite(
            tmp_path / "slide" / f"{name}.ome.tif",
            pixels[: len(channels)],
            photometric="minisblack",
            metadata={"axes": "CYX", "Channel": {"Name": channels}},
        )
    frames, cells = run(tmp_path, tmp_path / "out")
    table = store.read_table(cells, "cells")
    lacks = table[table["frame"] == "b"]
    assert lacks["fitc_mean"].isna().all()
    assert lacks["dna_mean"].notna().all()
    assert table.loc[table["frame"] == "a", "fitc_mean"].notna().all()
    noise = store.read_table(frames, "frames").set_index("frame")["fitc_noise"]
    assert list(noise.isna()) == [False, True]


def test_saturation_is_flagged_and_excludes_nothing(slide, tmp_path):
    (tmp_path / "slide").mkdir()
    with tifffile.TiffFile(slide / "slide" / "f001.ome.tif") as tiff:
        pixels, description = tiff.asarray(), tiff.ome_metadata
    full = np.where(pixels > np.quantile(pixels, 0.95), 4095, pixels).astype(np.uint16)
    tifffile.imwrite(
        tmp_path / "slide" / "full.ome.tif", full, photometric="minisblack", description=description, metadata=None
    )
    row = store.read_table(run(tmp_path, tmp_path / "out")[0], "frames").iloc[0]
    assert row["usable"]
    assert "saturated" in row["flags"].split(",")
    assert row["saturation"] > 0.01


@pytest.mark.slow
@pytest.mark.workflow
def test_warm_compiles_all_that_a_run_needs(slide, tmp_path):
    env = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    env.pop("PYTHONPATH", None)
    subprocess.run([sys.executable, "-m", "ctcascade", "warm"], env=env, check=True, cwd=Path(__file__).parents[1])
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "cache").rglob("*.nb*")}
    assert before
    code = (
        "import sys, pathlib; from ctcascade.images.detect import detect; from ctcascade.study import jobs; "
        "p, job = pathlib.Path, jobs.read(jobs.DetectJob, sys.argv[1]); "
        "detect(job, p(sys.argv[2]), (1, 1), p(sys.argv[3]) / 'f', p(sys.argv[3]) / 'c')"
    )
    arguments = [JOB.model_dump_json(), str(slide), str(tmp_path)]
    subprocess.run([sys.executable, "-c", code, *arguments], env=env, check=True, cwd=Path(__file__).parents[1])
    after = {p: p.stat().st_mtime_ns for p in (tmp_path / "cache").rglob("*.nb*")}
    assert after == before, "warm left something to compile"


def little(frames=1, recipe=None, **optics):
    """A slide of a few cells, nothing else on it."""
    recipe = recipe or phantom.Recipe(12, 3, bare_nuclei=0, fragments=0, specks=0, aggregates=0, apoptotic=0)
    return phantom.Slide(frames, (150, 200), phantom.Optics(**optics), recipe)


def tables(base):
    return [
        store.read_table(path, kind) for path, kind in zip(run(base, base / "out"), ("frames", "cells"), strict=True)
    ]


@pytest.mark.property
def test_channels_go_by_their_names(tmp_path):
    """The same pixels, with the channels in another order in the file, give the same cells."""
    one = little()
    pixels, _ = phantom.render(one, [(1, 0)], np.random.default_rng(2))
    found = []
    for order in range(4):
        folder = tmp_path / str(order)
        phantom.write_frame(folder / "slide", "f1", pixels, one, order=order)
        found.append(tables(folder))
    for frames, cells in found[1:]:
        pd.testing.assert_frame_equal(frames.drop(columns="page_order"), found[0][0].drop(columns="page_order"))
        pd.testing.assert_frame_equal(cells, found[0][1])
    orders = [frames["page_order"].iloc[0] for frames, _ in found]
    assert len(set(orders)) == 4  # what the file says of its planes is kept
    assert {tuple(sorted(order.split(","))) for order in orders} == {("cd45", "ck", "dna", "fitc")}


@pytest.mark.property
def test_other_frames_change_nothing(tmp_path):
    for name, frames in (("few", 2), ("many", 4)):
        one = little(frames=4)
        phantom.write_slide(tmp_path / name / "slide", one, seed=1)
        for k in range(frames, 4):
            (tmp_path / name / "slide" / f"f00{k + 1}.ome.tif").unlink()
    few, many = tables(tmp_path / "few")[1], tables(tmp_path / "many")[1]
    pd.testing.assert_frame_equal(few, many[many["frame"].isin(["f001", "f002"])].reset_index(drop=True))


def test_a_slide_without_a_cell_gives_a_table_without_a_row(tmp_path):
    empty = little(recipe=phantom.Recipe(leukocytes=0, bare_nuclei=0, fragments=0, specks=0, aggregates=0, apoptotic=0))
    phantom.write_slide(tmp_path / "slide", empty, seed=1)
    frames, cells = tables(tmp_path)
    assert frames["usable"].tolist() == [True]
    assert frames["n_cells"].tolist() == [0]
    assert len(cells) == 0
    assert "ck_mean" in cells


def flags(tmp_path, change, **optics):
    one = little(**optics)
    pixels, _ = phantom.render(one, [], np.random.default_rng(3))
    phantom.write_frame(tmp_path / "slide", "f1", change(pixels), one)
    frames, _ = tables(tmp_path)
    assert frames["usable"].all()
    return set(filter(None, frames["flags"].item().split(",")))


def bright(pixels):
    pixels = pixels.copy()
    pixels[1, :30] = 4095
    return pixels


def test_rows_at_the_ceiling_are_saturated_and_no_imaged_area(tmp_path):
    one = little()
    pixels, _ = phantom.render(one, [], np.random.default_rng(3))
    plain, white = tmp_path / "plain", tmp_path / "white"
    phantom.write_frame(plain / "slide", "f1", pixels, one)
    phantom.write_frame(white / "slide", "f1", bright(pixels), one)
    (before, _), (after, cells) = tables(plain), tables(white)
    share = 30 / pixels.shape[1]
    assert after["ck_saturation"].item() == pytest.approx(before["ck_saturation"].item() + share, abs=0.001)
    assert after["saturation"].item() == after["ck_saturation"].item()
    assert after["area_um2"].item() == pytest.approx(before["area_um2"].item() * (1 - share))
    assert (cells["y_px"] >= 29).all()  # nothing is found where one channel shows nothing
    assert not after[["ck_moved_y_px", "ck_moved_x_px"]].any(axis=None)


@pytest.mark.parametrize("channel", [0, 1, 2])
@pytest.mark.parametrize("fill", [0, 200, 4095])
def test_rows_that_one_channel_lost_are_no_shift_of_it(tmp_path, channel, fill):
    def cut(pixels):
        pixels = pixels.copy()
        pixels[channel, 100:] = fill
        return pixels

    assert flags(tmp_path, cut) == {"partly_imaged"} | ({"saturated"} if fill == 4095 else set())


def dark_side(pixels):
    return (pixels * np.linspace(0.3, 3, 200)).astype(np.uint16)


def blurred(pixels):
    rng = np.random.default_rng(0)
    soft = [cv2.GaussianBlur(plane.astype(float), (0, 0), 25) + rng.normal(0, 5, (150, 200)) for plane in pixels]
    return np.round(np.stack(soft)).astype(np.uint16)


@pytest.mark.parametrize(
    ("change", "optics", "expected"),
    [
        (np.copy, {}, set()),
        (bright, {}, {"saturated", "partly_imaged"}),
        (dark_side, {"offset": 500.0}, {"uneven", "bit_depth_differs"}),
        (blurred, {}, {"weak_focus"}),
        (np.copy, {"pixel_size_um": 0.5}, {"pixel_size_differs"}),
    ],
)
def test_a_poor_frame_is_flagged_and_used(tmp_path, change, optics, expected):
    assert flags(tmp_path, change, **optics) == expected


def test_a_channel_shifted_against_the_others_is_moved_back_and_flagged(tmp_path):
    one = phantom.Slide(1, (300, 300), phantom.Optics(shift_px=0), phantom.Recipe(leukocytes=40))
    pixels, _ = phantom.render(one, [], np.random.default_rng(3))
    phantom.write_frame(tmp_path / "plain" / "slide", "f1", pixels, one)
    pixels[2] = np.roll(pixels[2], (4, 30), axis=(0, 1))
    phantom.write_frame(tmp_path / "shifted" / "slide", "f1", pixels, one)
    plain, (frames, cells) = tables(tmp_path / "plain"), tables(tmp_path / "shifted")
    row = frames.iloc[0]
    assert row["flags"] == "misregistered"
    assert row["cd45_shift_um"] == pytest.approx(float(np.hypot(4, 30)) * 0.645, abs=0.4)
    assert (row["cd45_moved_y_px"], row["cd45_moved_x_px"]) == (pytest.approx(4, abs=1), pytest.approx(30, abs=1))
    assert row["registration_um"] < 0.7
    assert np.isnan(row["dna_shift_um"])
    assert row["area_um2"] == pytest.approx(row["frame_area_um2"] * (296 * 270) / 300**2, rel=0.01)
    inside = plain[1][(plain[1]["y1_px"] < 290) & (plain[1]["x1_px"] < 262)]
    far = np.hypot(*(inside[["y_px", "x_px"]].to_numpy()[:, None] - cells[["y_px", "x_px"]].to_numpy()).T).min(axis=0)
    assert (far < 2).mean() > 0.9  # the same cells, in the places of the whole frame


def test_channels_of_two_fields_of_view_make_a_frame_unusable(tmp_path):
    one = phantom.Slide(1, (300, 300), phantom.Optics(shift_px=0), phantom.Recipe(leukocytes=60))
    pixels, other = (phantom.render(one, [], np.random.default_rng(seed))[0] for seed in (3, 4))
    pixels[2] = other[2]
    phantom.write_frame(tmp_path / "slide", "f1", pixels, one)
    frames, cells = tables(tmp_path)
    assert (frames["usable"].item(), len(cells), frames["area_um2"].item()) == (False, 0, 0)
    assert frames["reason"].item().startswith("cd45 and dna show many cells each, and not the same ones at any shift")


@pytest.mark.real
@pytest.mark.skipif(not FIELDS.is_dir(), reason="the real images are not here")
def test_a_real_field_with_shifted_channels_is_flagged(tmp_path):
    """By correlation of the whole images CD45 lies 3 px (1.8 um) beside DNA in one field, 2 px in the other."""
    (tmp_path / "slide").mkdir()
    for path in FIELDS.glob("*.jpg"):
        (tmp_path / "slide" / path.name).symlink_to(path)
    channels = {"dna": ["DAPI"], "ck": ["CK"], "cd45": ["CD45"]}
    pictures = {"files": "{frame}_{channel}", "bit_depth": 8, "frame_px": [1000, 2000]}
    own = camera(channels=channels, pixel_size_um=0.591, **pictures)
    detect(detect_job(own, "slide"), tmp_path, (1, 1), tmp_path / "f", tmp_path / "c")
    frames = store.read_table(tmp_path / "f", "frames").set_index("frame")
    assert frames["cd45_shift_um"].to_dict() == pytest.approx({"field03": 1.8, "field06": 1.2}, abs=0.3)
    assert frames["flags"].str.contains("misregistered").all()


@pytest.mark.property
def test_hot_pixels_are_taken_out_and_points_of_light_stay():
    rng = np.random.default_rng(2)
    light = np.zeros((200, 200), np.float32)
    light[60:80, 60:80] = 300
    light[120, 120] = 4000  # a point, as the optics show it
    plane = ndimage.gaussian_filter(light, 0.7) + rng.normal(100, 5, light.shape).astype(np.float32)
    at = np.array([[20, 30], [70, 70], [150, 40]])
    hot = plane.copy()
    hot[tuple(at.T)] += 1000
    settings = DetectSettings().background
    before, after = correct(plane, 0.645, settings), correct(hot, 0.645, settings)
    assert len(before.hot) == 0
    np.testing.assert_array_equal(after.hot, at)
    assert np.abs(after.signal - before.signal).max() < 30


@pytest.mark.property
def test_sharpness_falls_with_blur_and_not_with_brightness(tmp_path):
    focus = []
    for number, (psf, light) in enumerate([(0.4, 1), (0.4, 2), (1.2, 1), (2.5, 1), (5.0, 1)]):
        one = little(psf_um=psf)
        pixels, _ = phantom.render(one, [], np.random.default_rng(3))
        phantom.write_frame(tmp_path / str(number) / "slide", "f1", (pixels * light).clip(0, 4095), one)
        focus.append(tables(tmp_path / str(number))[0]["focus"].item())
    sharp, brighter, *worse = focus
    assert brighter == pytest.approx(sharp, rel=0.15)
    assert sharp > worse[0] > worse[1] > worse[2]


def test_tables_do_not_reveal_where_they_were_made(slide, whole):
    out, frames, _ = whole
    for name in ("frames.parquet", "cells.parquet"):
        assert store.table_provenance(out / name).settings == JOB.as_json()
        for folder in (slide, out):
            assert folder.name.encode() not in (out / name).read_bytes()
    assert frames["path"].str.startswith("slide/f00").all()


@pytest.mark.regression
def test_kernels_work_without_a_writable_cache(monkeypatch):
    """With a package and a home that cannot be written to, numba has no place for its cache and says so."""
    njit = numba.njit

    def nowhere(*functions, cache=False, **options):
        if cache:
            raise RuntimeError("no locator available")
        return njit(*functions, **options)  # numba's own modules, loaded when first needed, give the function at once

    monkeypatch.setattr(numba, "njit", nowhere)
    assert kernel(lambda a, b: a - b)(5, 3) == 2


def test_a_chunk_that_stands_twice_or_has_other_cells_is_not_joined(slide, tmp_path):
    one, two = (run(slide, tmp_path / str(k), (k, 2)) for k in (1, 2))
    with pytest.raises(InputError, match="holds too"):
        gather([one[0], two[0], one[0]], [one[1], two[1], one[1]], tmp_path / "f", tmp_path / "c")
    with pytest.raises(InputError, match="expected 0, as "):
        gather([one[0], two[0]], [one[1], one[1]], tmp_path / "f", tmp_path / "c")


def exchanged(path, other):
    path.write_bytes(other.read_bytes())


def under_its_old_date(path, other):
    state = path.stat()
    path.write_bytes(other.read_bytes()[: state.st_size].ljust(state.st_size, b"\0"))
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


@pytest.mark.parametrize(
    "change",
    [
        exchanged,
        under_its_old_date,
        lambda path, other: path.with_name("f003.ome.tif").write_bytes(other.read_bytes()),
        lambda path, other: path.write_bytes(path.read_bytes() + b"more"),
        lambda path, other: path.write_bytes(path.read_bytes()[:-4000]),
        lambda path, other: path.with_name("f001.ome.tif").write_bytes(other.read_bytes()),
    ],
    ids=["exchanged", "old date", "came", "grew", "shrank", "read before"],
)
def test_images_that_change_while_they_are_read_leave_no_table(tmp_path, change):
    slides = [tmp_path / name for name in ("one", "two")]
    for seed, folder in enumerate(slides):
        recipe = phantom.Recipe(leukocytes=4, ctcs=1)
        phantom.write_slide(folder, phantom.Slide(2, (120, 130), recipe=recipe), seed=seed)
    paths = [folder / "f002.ome.tif" for folder in slides]
    known = tmp_path / "known.tsv"

    def change_one(done, of, cells):
        if done == 1:
            change(*paths)

    tables = [tmp_path / name for name in ("frames.parquet", "cells.parquet")]
    with pytest.raises(InputError, match="files came, went or changed"):
        detect(JOB.model_copy(update={"images": ("one",)}), tmp_path, (1, 1), *tables, progress=change_one, known=known)
    assert not any(table.exists() for table in tables)


def test_images_that_only_get_another_link_are_detected(tmp_path):
    phantom.write_slide(tmp_path / "one", phantom.Slide(2, (120, 130), recipe=phantom.Recipe(leukocytes=4)), seed=1)
    file = tmp_path / "one" / "f002.ome.tif"
    tables = [tmp_path / name for name in ("frames.parquet", "cells.parquet")]
    job = JOB.model_copy(update={"images": ("one",)})
    before = file.stat().st_ctime_ns
    detect(job, tmp_path, (1, 1), *tables, progress=lambda *_: file.chmod(0o600))
    assert file.stat().st_ctime_ns != before
    assert store.read_table(tables[0], "frames")["usable"].all()
