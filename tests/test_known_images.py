"""What images held when they were last read: what changed is read again, whatever its date says."""

import os
import time
from types import SimpleNamespace

import pytest

from ctcascade.formats import image_files
from ctcascade.formats.known_images import KnownImages
from tests.support.runs import write_study

pytestmark = pytest.mark.unit

DIGEST = "0123456789abcdef" * 2


def later():
    """An hour on, when no file is young."""
    return time.time() + 3600


@pytest.fixture
def reads():
    """The files that were read, and what reads them."""
    done = []

    def read(path, size, changed_ns):
        done.append(path.name)
        return f"{len(path.read_bytes()):032x}" if path.is_file() else DIGEST

    return done, read


def image(folder, name="a.tif", content=b"pixels"):
    path = folder / name
    path.write_bytes(content)
    return path


def test_a_file_is_read_once_and_again_after_each_kind_of_change(tmp_path, reads):
    done, read = reads
    path, place = image(tmp_path), tmp_path / "logs" / "list.tsv"

    def again():
        before = len(done)
        known = KnownImages(place, later)
        assert known.digest(path, read) == f"{len(path.read_bytes()):032x}"
        known.save()
        return len(done) - before

    assert [again(), again(), again()] == [1, 0, 0]
    dates = (path.stat().st_atime_ns, path.stat().st_mtime_ns)
    path.write_bytes(b"other!")  # as long, and its date set back
    os.utime(path, ns=dates)
    assert path.stat().st_mtime_ns == dates[1]
    assert [again(), again()] == [1, 0]
    other = image(tmp_path, "b.tif", b"elsewh")  # another file moved into its place, its date kept
    os.utime(other, ns=dates)
    other.replace(path)
    assert [again(), again()] == [1, 0]
    path.write_bytes(b"longer than before")
    assert [again(), again()] == [1, 0]
    os.utime(path, ns=(dates[0], dates[1] + 1))
    assert [again(), again()] == [1, 0]


def test_young_files_files_that_change_meanwhile_and_folders_are_not_listed(tmp_path, reads):
    done, read = reads
    path, place = image(tmp_path), tmp_path / "list.tsv"
    for clock in (time.time, lambda: path.stat().st_mtime - 100):  # just written, and in the future
        for _ in range(2):
            known = KnownImages(place, clock)
            known.digest(path, read)
            known.save()
    assert len(done) == 4

    def changing(path, size, changed_ns):
        path.write_bytes(b"written while it was read")
        return read(path, size, changed_ns)

    known = KnownImages(place, later)
    known.digest(path, changing)
    known.save()
    (tmp_path / "a.zarr").mkdir()
    for _ in range(2):
        known = KnownImages(place, later)
        known.digest(tmp_path / "a.zarr", read)
        known.save()
    assert done[-2:] == ["a.zarr", "a.zarr"]
    assert not place.exists()


@pytest.mark.property
def test_a_list_cut_off_anywhere_gives_right_digests(tmp_path, reads):
    done, read = reads
    paths = [image(tmp_path, name, name.encode()) for name in ("a.tif", "tab\tand\nline.tif", "\u00fc.tif")]
    known = KnownImages(tmp_path / "whole", later)
    right = [known.digest(path, read) for path in paths]
    known.save()
    whole = (tmp_path / "whole").read_bytes()
    assert [KnownImages(tmp_path / "whole", later).digest(path, read) for path in paths] == right
    assert len(done) == 3
    for end in range(len(whole)):
        cut = tmp_path / "cut"
        cut.write_bytes(whole[:end])
        known = KnownImages(cut, later)
        assert [known.digest(path, read) for path in paths] == right
        known.save()
        before = len(done)
        assert [KnownImages(cut, later).digest(path, read) for path in paths] == right
        assert len(done) == before  # what was added stands in lines of its own
    end = b"\t2\t3\t4\t" + DIGEST.encode() + b"\n"
    long, deep = b'"a"\t' + b"9" * 5000 + end, b"[" * 100_000 + b"\t1" + end
    for nonsense in (b"", b"\0" * 50, b'"a"\t1\t2\t3\t4\tno digest\n', b"{\t1" + end, long, deep):
        (tmp_path / "bad").write_bytes(nonsense)
        assert [KnownImages(tmp_path / "bad", later).digest(path, read) for path in paths] == right


def test_the_digest_of_a_sample_is_one_with_a_list_and_without_and_its_own_files_are_read(tmp_path):
    paths = [image(tmp_path, f"f{k}.tif", bytes([k])) for k in range(3)]
    listed = SimpleNamespace(frames=[SimpleNamespace(files=paths)], images=paths, sidecars=[])
    right = image_files.digest_of_content(listed)
    for _ in range(2):
        known = KnownImages(tmp_path / "list.tsv", later)
        assert image_files.digest_of_content(listed, known) == right
        known.save()
    text = (tmp_path / "list.tsv").read_text()
    (tmp_path / "list.tsv").write_text(text.replace(text.split()[5], DIGEST))  # a list that says something else of f0
    forged = KnownImages(tmp_path / "list.tsv", later)
    assert image_files.digest_of_content(listed, forged) != right
    assert image_files.digest_of_content(listed, forged, {paths[0]}) == right


@pytest.mark.workflow
def test_a_run_keeps_a_list_and_a_dry_run_does_not(tmp_path, snakemake):
    folder = write_study(tmp_path, "P02")
    place = folder / "results" / "logs" / "image_digests.tsv"
    assert snakemake(folder, "-n").code == 0
    assert not place.exists()
    run = snakemake(folder, "results/samples/P02_1/frames.parquet")
    assert run.code == 0, run.output
    assert place.read_text().count("P02_1") == 3
