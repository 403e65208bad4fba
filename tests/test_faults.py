"""Faults during a run: killed jobs, a killed Snakemake, a full disk, read errors, too little memory, two runs at once.

No half-written file is ever taken for complete, finished work is not repeated, and the results equal those of a run
without faults. The faults are real ones, caused at a chosen moment.
"""

import builtins
import errno
import functools
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ctcascade.formats import FrameError, ome_tiff, read
from ctcascade.formats.decoding import reading
from ctcascade.formats.listing import list_frames
from ctcascade.images import detect
from ctcascade.study import jobs, sheets
from tests.support.runs import ROOT, command, digests, write_study

pytestmark = pytest.mark.unit

CALLS = "results/samples/P02_1/calls.parquet"
MANY = 10**6
BY_FRAME = ("--config", "chunk_frames=1")
PAUSED = {"PYTHONPATH": os.pathsep.join([str(ROOT / "tests" / "paused"), str(ROOT / "pipeline"), str(ROOT)])}


@pytest.fixture
def study(tmp_path):
    return write_study(tmp_path / "run", "P02")


@functools.cache
def job_of(sample):
    study = sheets.read_study([ROOT / "config" / "config.yaml"], {"samples": str(ROOT / "config" / "samples.tsv")})
    return jobs.detect_job(study, sample), study.base


def wait_for(path):
    for _ in range(1200):
        if path.exists() and path.read_text():
            return int(path.read_text())
        time.sleep(0.05)
    raise TimeoutError(f"nothing reached {path}")


def paused_run(study, name):
    """A run that is held just before it moves `name` into place, and the process that does so."""
    started = subprocess.Popen(
        command(study, CALLS, *BY_FRAME, cores=1),
        env={**os.environ, **PAUSED, "PAUSE": f"{name}:{study}"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    return started, wait_for(study / "reached")


def calls_of(results):
    return digests(results).get("samples/P02_1/calls.parquet")


def leftovers(results):
    return [path.name for path in results.rglob(".*.part")]


@pytest.mark.workflow
def test_a_job_killed_while_writing_leaves_no_result_and_only_it_is_run_again(study, demo, snakemake):
    run, job = paused_run(study, "2-of-3.cells.parquet")
    os.kill(job, signal.SIGKILL)
    assert run.wait(120) == 1
    assert leftovers(study / "results")  # its partial output, under a name that nothing reads
    assert not (study / "results/samples/P02_1/chunks/2-of-3.cells.parquet").exists()
    again = snakemake(study, CALLS, *BY_FRAME)
    assert again.code == 0, again.output
    assert again.output.count("rule detect:") == 1  # the other two had finished
    assert calls_of(again.results) == calls_of(demo.results)
    assert leftovers(again.results) == []


@pytest.mark.workflow
def test_snakemake_can_be_restarted_beside_a_job_that_it_left(study, demo, snakemake, tmp_path):
    run, job = paused_run(study, "2-of-3.frames.parquet")
    elsewhere = write_study(tmp_path / "elsewhere", "P02")
    second = snakemake(elsewhere, CALLS.replace("results", f"{study}/results"), "--config", f"results={study}/results")
    assert second.code == 2
    assert f"another run that writes into it (process {run.pid} on " in second.output
    os.kill(run.pid, signal.SIGKILL)
    run.wait(120)
    finished = len(list((study / "results/samples/P02_1/chunks").glob("[13]-of-3.frames.parquet")))
    locked = snakemake(study, CALLS, *BY_FRAME)
    assert locked.code == 1
    assert "--unlock" in locked.output
    quiet = snakemake(study, CALLS, *BY_FRAME, "--quiet", "all")
    assert quiet.code == 1
    assert "is locked: a run was killed" in quiet.output
    assert "type `snakemake --unlock` with the options of that run, then start it again" in quiet.output
    assert "is locked" not in snakemake(study, CALLS, *BY_FRAME, "-n").output
    assert snakemake(study, "--unlock").code == 0
    again = snakemake(study, CALLS, *BY_FRAME)
    assert again.code == 0, again.output
    assert again.output.count("rule detect:") == 3 - finished
    assert calls_of(again.results) == calls_of(demo.results)
    (study / "go").touch()  # the job of the first run continues, and finds that its file is no longer wanted
    for _ in range(200):
        if not Path(f"/proc/{job}").exists():
            break
        time.sleep(0.05)
    assert calls_of(again.results) == calls_of(demo.results)
    assert leftovers(again.results) == []


FAILS_FOR = """
import sys
if "{verb}" in sys.orig_argv and any('"sample":"{sample}"' in word for word in sys.orig_argv):
    sys.exit("it fails for a test")
"""


@pytest.mark.workflow
def test_pages_of_other_samples_are_made_where_one_fails_and_say_so(tmp_path, snakemake):
    folder = write_study(tmp_path / "run", "P02", "P03")
    (tmp_path / "sitecustomize.py").write_text(FAILS_FOR.format(verb="detect", sample="P03_1"))
    run = snakemake(folder, PYTHONPATH=f"{tmp_path}:{ROOT}/pipeline")
    assert run.code == 1
    assert "failed: P03_1; pages that do not need them are made now" in run.output
    pages = [run.results / "samples" / "P02_1" / "report.html", run.results / "patients" / "P02" / "report.html"]
    for page in pages:
        assert "Not compared with P03_1, which failed in this run" in page.read_text(encoding="utf-8")
    assert not (run.results / "samples" / "P03_1" / "report.html").exists()
    assert not (run.results / "index.html").exists()
    assert list(run.results.glob("*/*/.ahead*")) == []
    run = snakemake(folder)
    assert run.code == 0, run.output
    assert "rule detect" in run.output
    assert "Not compared" not in pages[0].read_text(encoding="utf-8") + pages[1].read_text(encoding="utf-8")
    assert (run.results / "index.html").exists()


@pytest.mark.workflow
def test_wrong_file_dates_change_no_result(demo, snakemake, tmp_path):
    shutil.copytree(demo.folder, tmp_path / "copy", symlinks=True)
    folder = tmp_path / "copy" / "results" / "samples" / "P02_1"
    tomorrow = time.time() + 86400
    os.utime(folder / "cells.parquet", (tomorrow, tomorrow))  # later than what was made of it
    os.utime(folder / "frames.parquet", (0, 0))
    again = snakemake(tmp_path / "copy", CALLS)
    assert again.code == 0, again.output
    assert "rule detect:" not in again.output
    assert calls_of(again.results) == calls_of(demo.results)


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 2 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", place], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


@pytest.mark.workflow
def test_a_full_disk_ends_the_run_and_free_space_lets_it_continue(study, demo, snakemake, small_disk):
    (study / "results").symlink_to(small_disk)
    (small_disk / "filler").write_bytes(bytes(1024 * (2048 - 60)))
    full = snakemake(study, CALLS)
    assert full.code == 1
    assert "No space left on device" in full.output
    assert not (study / CALLS).exists()
    (small_disk / "filler").unlink()
    again = snakemake(study, CALLS)
    assert again.code == 0, again.output
    assert calls_of(again.results) == calls_of(demo.results)
    assert leftovers(again.results) == []


class FailsLater(io.FileIO):
    """A file whose disk fails at the n-th read."""

    reads_left = 0
    number = errno.EIO

    def _one_read_less(self):
        FailsLater.reads_left -= 1
        if FailsLater.reads_left < 0:
            raise OSError(FailsLater.number, os.strerror(FailsLater.number), str(self.name))

    def read(self, *args):
        self._one_read_less()
        return super().read(*args)

    def readall(self):
        self._one_read_less()
        return super().readall()

    def readinto(self, *args):
        self._one_read_less()
        return super().readinto(*args)


@pytest.fixture
def failing_disk(monkeypatch):
    """A disk that fails the images' reads from the n-th on."""
    open_well, opened = io.open, []
    FailsLater.reads_left, FailsLater.number = MANY, errno.EIO

    def open_there(path, mode="r", *args, **options):
        if mode != "rb" or "test_data" not in str(path):
            return open_well(path, mode, *args, **options)
        opened.append(FailsLater(path, "rb"))
        return opened[-1]

    for module in (builtins, io):  # pathlib goes through io
        monkeypatch.setattr(module, "open", open_there)
    yield
    for file in opened:
        file.close()


@pytest.mark.property
@pytest.mark.parametrize("sample", ["P02_1", "P03_1"])
def test_a_read_error_is_not_blamed_on_the_frame(sample, failing_disk):
    job, base = job_of(sample)
    frame = list_frames(job.images, base, job.format, job.assay).frames[0]
    FailsLater.reads_left = MANY
    read(frame, job.assay)
    needed = MANY - FailsLater.reads_left
    assert needed >= len(frame.files)
    for good_reads in range(needed):
        FailsLater.reads_left = good_reads
        with pytest.raises(OSError, match="Input/output error"):
            read(frame, job.assay)


@pytest.mark.property
@pytest.mark.parametrize("number", sorted(errno.errorcode), ids=lambda number: errno.errorcode[number])
def test_no_error_of_the_file_layer_is_blamed_on_the_frame(number, failing_disk, tmp_path):
    job, base = job_of("P03_1")
    FailsLater.reads_left, FailsLater.number = 1, number
    with pytest.raises(OSError, match=re.escape(os.strerror(number))) as caught:
        detect.detect(job, base, (1, 1), tmp_path / "frames.parquet", tmp_path / "cells.parquet")
    assert caught.value.errno == number
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", [PermissionError, TimeoutError, ConnectionResetError, FileNotFoundError])
def test_a_fault_without_a_number_or_below_another_error_is_found(kind):
    with pytest.raises(kind), reading("f.tif"):
        raise kind("away")
    with pytest.raises(kind), reading("f.tif"):
        raise ValueError("corrupt strip") from kind("away")
    with pytest.raises(FrameError, match="corrupt strip"), reading("f.tif"):
        raise OSError("corrupt strip")  # as a decoder says it


@pytest.mark.parametrize("number", [errno.EACCES, errno.ENOENT, errno.ETIMEDOUT])
def test_a_file_that_cannot_be_opened_or_asked_for_its_size_fails_the_job(number, monkeypatch, tmp_path):
    job, base = job_of("P02_1")
    first = list_frames(job.images, base, job.format, job.assay).frames[0].files[0]
    stat = Path.stat

    def away(path, **options):
        if path.name == first.name:
            raise OSError(number, os.strerror(number), str(path))
        return stat(path, **options)

    monkeypatch.setattr(Path, "stat", away)
    with pytest.raises(OSError, match=re.escape(os.strerror(number))):
        detect.detect(job, base, (1, 1), tmp_path / "frames.parquet", tmp_path / "cells.parquet")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_changes_while_it_is_read_fails_the_job(monkeypatch, tmp_path):
    job, base = job_of("P02_1")
    frame = list_frames(job.images, base, job.format, job.assay).frames[0]
    monkeypatch.setattr(Path, "read_bytes", lambda path: b"half")
    with pytest.raises(OSError, match="changed while it was read"):
        read(frame, job.assay)


def test_a_read_error_after_some_frames_fails_the_job_and_writes_nothing(failing_disk, tmp_path):
    job, base = job_of("P03_1")
    FailsLater.reads_left = 9  # of 24 files
    with pytest.raises(OSError, match="Input/output error"):
        detect.detect(job, base, (1, 1), tmp_path / "frames.parquet", tmp_path / "cells.parquet")
    assert list(tmp_path.iterdir()) == []


IN_LITTLE_MEMORY = """
import resource, sys
from pathlib import Path
from ctcascade.data import store
from ctcascade.images import detect
from ctcascade.study import jobs

job, base, out = jobs.read(jobs.DetectJob, sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
tables = out / "frames.parquet", out / "cells.parquet"
detect.detect(job, base, (1, 1), *tables)  # all that is loaded once, is
whole = [store.file_hash(table) for table in tables]
outcomes = []
for more_mb in (0, 2, 5, 10, 20, 200):
    for table in tables:
        table.unlink(missing_ok=True)
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + more_mb * 2**20, -1))
    try:
        detect.detect(job, base, (1, 1), *tables)
    except Exception as error:
        outcomes.append(type(error).__name__)
        assert not tables[0].exists(), "a table of frames was written"
    else:
        outcomes.append("whole")
        assert [store.file_hash(table) for table in tables] == whole, "other results"
    resource.setrlimit(resource.RLIMIT_AS, (-1, -1))
print(*outcomes)
"""


@pytest.mark.slow
def test_too_little_memory_fails_the_job_and_is_not_a_broken_frame(tmp_path):
    job, base = job_of("P02_1")
    start = [sys.executable, "-c", IN_LITTLE_MEMORY, job.model_dump_json(), base, tmp_path]
    done = subprocess.run(start, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "MemoryError" in done.stdout
    assert done.stdout.split()[-1] == "whole"


def _own(name):
    """Run a line as if it stood in a module of the package or of a library, inside `reading`."""
    fault = compile("def fault():\n    return {}['no such key']\n", name, "exec")
    names = {"__name__": name}
    exec(fault, names)
    return names["fault"]


@pytest.mark.parametrize("line", ["{}['x']", "None.x", "1 + 'x'", "assert_not_there", "len()"])
def test_a_bug_of_our_own_while_a_frame_is_read_fails_loudly(line, monkeypatch, tmp_path):
    job, base = job_of("P02_1")

    def wrong(*_):
        eval(line, {"__name__": "ctcascade.formats.tiff"})

    monkeypatch.setattr(ome_tiff, "by_role", wrong)
    with pytest.raises((KeyError, AttributeError, TypeError, NameError)):
        detect.detect(job, base, (1, 1), tmp_path / "frames.parquet", tmp_path / "cells.parquet")
    assert list(tmp_path.iterdir()) == []


def test_the_same_error_of_a_decoder_is_the_files_fault():
    with pytest.raises(KeyError, match="no such key"), reading("f.tif"):
        _own("ctcascade.formats.tiff")()
    with pytest.raises(FrameError, match=r"f\.tif cannot be read: .*no such key"), reading("f.tif"):
        _own("tifffile.tifffile")()
