"""Which samples of a run hold the same images, and that blood named twice is counted once."""

import shutil

import numpy as np
import pandas as pd
import pytest
import tifffile

from ctcascade.counting.count import _blood_of_copies
from ctcascade.data import store
from ctcascade.data.errors import InputError
from ctcascade.data.results import Shared, SharedPixels
from ctcascade.data.tables import TABLES
from ctcascade.formats import image_files, listing
from ctcascade.images import shared
from ctcascade.study import jobs
from tests.support import report_cases as cases
from tests.support.detecting import camera

pytestmark = pytest.mark.unit

NAMES = ("DAPI", "CK-PE", "CD45-APC", "FITC")
ASSAY = camera(
    channels={"dna": ["DAPI"], "ck": ["CK-PE"], "cd45": ["CD45-APC"], "fitc": ["FITC"]},
    pixel_size_um=0.645,
    frame_px=[40, 50],
    bit_depth=12,
    files=None,
)
RNG = np.random.default_rng(14)


def tile(path, pixels=None, **how):
    path.parent.mkdir(exist_ok=True)
    pixels = RNG.integers(1, 4000, size=(4, 40, 50), dtype=np.uint16) if pixels is None else pixels
    tifffile.imwrite(path, pixels, ome=True, metadata={"axes": "CYX", "Channel": {"Name": list(NAMES)}}, **how)


def warnings(base, *samples, patients=None):
    listed = {name: listing.list_frames([name], base, "auto", ASSAY) for name in samples}
    of = dict.fromkeys(samples, ASSAY)
    return list(image_files.shared_files(listed, of, patients or {name: f"P{name}" for name in samples}))


def test_any_frame_that_two_samples_share_is_named_before_a_run(tmp_path):
    for name in "abc":
        for k in (1, 2, 3):
            tile(tmp_path / name / f"f{k}.tif")
    assert warnings(tmp_path, *"abc") == []
    shutil.copy(tmp_path / "a" / "f3.tif", tmp_path / "b" / "f1.tif")
    (warning,) = warnings(tmp_path, *"abc")
    told = "samples a and b of two patients, Pa and Pb: 1 of their images are one (f3.tif and f1.tif)"
    assert told in warning
    (warning,) = warnings(tmp_path, "a", "b", patients={"a": "P", "b": "P"})
    assert "samples a and b of patient P: " in warning


def test_an_image_of_very_many_samples_names_each_of_them_once_and_is_read_once(tmp_path, monkeypatch):
    """A warning for each two of a thousand samples would take an hour and be read by nobody."""
    names = [f"s{k:02}" for k in range(30)]
    tile(tmp_path / names[0] / "f.tif")
    for name in names[1:]:
        (tmp_path / name).mkdir()
        shutil.copy(tmp_path / names[0] / "f.tif", tmp_path / name / "f.tif")
    looked = []
    monkeypatch.setattr(image_files, "_shows_something", lambda ref, camera: looked.append(ref) or True)
    said = warnings(tmp_path, *names)
    assert len(looked) == 1
    assert [line.split(" of two")[0] for line in said] == [f"WARNING: samples s00 and {name}" for name in names[1:]]
    assert len(list(image_files.pairs_of(names[:20]))) == 190


def test_the_start_of_a_run_reads_only_the_first_image_of_each_sample(tmp_path, monkeypatch):
    """Reading every file of a study takes hours where it lies on a share; detection compares all pixels anyway."""
    for name in "ab":
        for k in (1, 2, 3):
            tile(tmp_path / name / f"f{k}.tif")
    shutil.copy(tmp_path / "a" / "f1.tif", tmp_path / "b" / "f1.tif")
    listed = {name: listing.list_frames([name], tmp_path, "auto", ASSAY) for name in "ab"}
    opened = []
    content = image_files._content
    monkeypatch.setattr(image_files, "_content", lambda path, *state: opened.append(path.name) or content(path, *state))
    (warning,) = image_files.shared_files(listed, dict.fromkeys("ab", ASSAY), {"a": "Pa", "b": "Pb"}, first=1)
    assert opened == ["f1.tif", "f1.tif"]
    assert "two patients, Pa and Pb: 1 of their images are one (f1.tif and f1.tif)" in warning


def test_equal_frames_that_show_nothing_are_no_warning(tmp_path):
    for name in "ab":
        tile(tmp_path / name / "f1.tif")
        tile(tmp_path / name / "f2.tif", np.zeros((4, 40, 50), np.uint16))
    assert warnings(tmp_path, "a", "b") == []


def _frames(path, sample, digests):
    """A frames table of a sample with these digests; its other columns are of no interest here."""
    columns = {}
    for column in TABLES["frames"].for_roles(("dna", "ck", "cd45")):
        columns[column.name] = {"str": "", "bool": True}.get(column.dtype, 0)
    rows = [{**columns, "frame": f"{sample}_{k}", "pixels_digest": digest} for k, digest in enumerate(digests)]
    made_by = store.provenance(jobs.CompareJob(patients={}), {}).model_copy(update={"settings": {"sample": sample}})
    store.write_table(path, "frames", pd.DataFrame(rows), made_by)
    return path


def test_samples_are_compared_by_pixels_frame_by_frame(tmp_path):
    tables = [
        _frames(tmp_path / "1.parquet", "S1", ["aa", "bb", "", "cc"]),
        _frames(tmp_path / "2.parquet", "S2", ["dd", "cc", "bb", ""]),
        _frames(tmp_path / "3.parquet", "S3", ["ee", ""]),
        _frames(tmp_path / "4.parquet", "S4", ["ee"]),
    ]
    job = jobs.CompareJob(patients={"S1": "P1", "S2": "P2", "S3": "P3", "S4": "P3"})
    shared.compare(job, tables, tmp_path / "shared_pixels.json")
    found = store.read_json(tmp_path / "shared_pixels.json", SharedPixels)
    assert found.shared == (
        Shared(sample="S1", patient="P1", other="S2", other_patient="P2", n_frames=2, frame="S1_1", other_frame="S2_2"),
        Shared(sample="S3", patient="P3", other="S4", other_patient="P3", n_frames=1, frame="S3_0", other_frame="S4_0"),
    )
    assert found.of_sample("S2") == found.of_patient("P1") == (found.shared[0].warning,)
    assert "two patients, P1 and P2, hold the same pixels in 2 frames (S1_1 and S2_2)" in found.shared[0].warning
    assert "of patient P3 hold the same pixels in 1 frame (S3_0 and S4_0)" in found.shared[1].warning
    assert found.of_sample("S5") == ()


@pytest.mark.parametrize("sample", ["S9", ""])
def test_frames_of_a_sample_that_is_none_of_the_run_are_refused(sample, tmp_path):
    table = _frames(tmp_path / "1.parquet", sample, ["aa"])
    with pytest.raises(InputError, match=f"sample: found {sample or 'none'}; expected one of S1"):
        shared.compare(jobs.CompareJob(patients={"S1": "P1"}), [table], tmp_path / "out.json")


@pytest.mark.parametrize(
    ("parts", "digests", "volumes", "copied"),
    [
        ([0, 0, 1, 1], "abab", (7.5, 7.5), 7.5),  # a folder copied
        ([0, 0, 1], "abb", (7.5, 7.5), 7.5),  # or a part of one
        ([0, 0, 1, 1], "abcb", (7.5, 5.0), 2.5),  # half of what the second part shows
        ([0, 0, 1], "aab", (7.5, 7.5), 0),  # a copy in its own folder stands for no other blood
        ([0, 0, 1, 1], "abcd", (7.5, 7.5), 0),
        ([0, 0, 1, 1], "abab", (), 0),  # one volume for all
        ([0, 1], ["", ""], (7.5, 7.5), 0),
    ],
)
def test_the_blood_of_a_part_that_is_a_copy_is_not_counted_again(parts, digests, volumes, copied):
    frames = pd.DataFrame({"part": parts, "pixels_digest": list(digests)})
    job = jobs.CountJob.model_construct(part_volumes_ml=volumes)
    assert _blood_of_copies(job, frames) == copied


def test_both_pages_and_the_result_name_both_samples_and_both_patients(tmp_path):
    pair = Shared(sample="S1", patient="P1", other="S9", other_patient="P9", n_frames=2, frame="f1", other_frame="g1")
    made_by = store.provenance(jobs.CompareJob(patients={}), {})
    found = tmp_path / "shared_pixels.json"
    store.write_json(found, SharedPixels(shared=(pair,), provenance=made_by))
    for make in (cases.sample_page, cases.patient_page):
        (tmp_path / make.__name__).mkdir()
        told = cases.Page(make(tmp_path / make.__name__, shared=found)).text
        assert "samples S1 and S9 of two patients, P1 and P9, hold the same pixels in 2 frames (f1 and g1)" in told
    store.write_json(found, SharedPixels(shared=(), provenance=made_by))
    assert "same images" not in cases.Page(cases.sample_page(tmp_path / "sample_page", shared=found)).text
