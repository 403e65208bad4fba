"""The workflow on a real Slurm of two nodes, with cancelled jobs and lost nodes: `make slurm-test` (root, Debian).

Not collected by a normal run of the tests: it installs Slurm and takes some minutes.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.support.runs import command, digests, write_study
from tests.support.slurm_cluster import CGROUPS, Cluster, NoClusterError, run, wait_until

pytestmark = pytest.mark.workflow
# as a user calls it, except that the tests ask every second whether a job has ended
ON_SLURM = ("--workflow-profile", "slurm", "--slurm-init-seconds-before-status-checks", "1", "--latency-wait", "10")
BY_FRAME = ("--config", "chunk_frames=1")
SECONDS = 400


@pytest.fixture(scope="module")
def cluster(request):
    """The cluster; with the parameter True the kernel enforces each job's memory limit."""
    cgroups = getattr(request, "param", False)
    if cgroups and not (CGROUPS / "memory").is_dir():
        pytest.skip("this machine has no memory cgroups of version 1")
    try:
        with Cluster(cgroups=cgroups) as started:
            yield started
    except NoClusterError as reason:
        pytest.exit(f"make slurm-test: {reason}", returncode=2)


class SlurmRun:
    """A run in progress on the cluster."""

    def __init__(self, folder, *args, **how):
        self.results = folder / "results"
        self.log = folder / "printed.txt"
        with open(self.log, "wb") as log:
            started = command(folder, *ON_SLURM, *args, cores=None)
            self.process = subprocess.Popen(started, stdout=log, stderr=log, start_new_session=True, **how)

    def kill(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def end(self):
        """Wait for the end; what was printed."""
        self.code = self.process.wait(SECONDS)
        return self.log.read_text()


@pytest.fixture
def study(tmp_path):
    return write_study(tmp_path, "P02")


@pytest.fixture
def start(cluster):
    """Start a run; it is ended with its test."""
    runs = []

    def start_one(folder, *args, **how):
        runs.append(SlurmRun(folder, *args, **how))
        return runs[-1]

    yield start_one
    for run_ in runs:
        if run_.process.poll() is None:
            run_.kill()
    subprocess.run(["scancel", "--partition=main"], check=True)


def a_running_job(cluster):
    return wait_until(lambda: cluster.running("rule_detect"), SECONDS, "a job of detect to start")[0]


def test_results_equal_those_of_one_machine_byte_for_byte(cluster, demo, start, tmp_path):
    there = start(write_study(tmp_path, ""), "--config", "chunk_frames=2")
    printed = there.end()
    assert there.code == 0, printed
    assert printed.count("has been submitted with SLURM jobid") == 11  # detect alone leaves the machine, by two frames
    assert set(cluster.history()) == {"COMPLETED"}
    found = digests(there.results)
    assert len(found) == 5 * 7 + 4 * 3
    assert found == digests(demo.results)
    for page in ("index.html", "qc_mqc.tsv"):
        assert (there.results / page).read_bytes() == (demo.results / page).read_bytes()


def test_a_job_that_is_cancelled_runs_again(cluster, demo, start, study):
    three_jobs = start(study, *BY_FRAME)
    number, _ = a_running_job(cluster)
    run("scancel", number)
    printed = three_jobs.end()
    assert three_jobs.code == 0, printed
    assert "CANCELLED" in cluster.history()
    assert printed.count("Trying to restart job") == 1
    assert digests(three_jobs.results) == digests(demo.results, "P02")


@pytest.mark.parametrize("cluster", [False, True], indirect=True, ids=["by looking", "by cgroups"])
def test_a_job_over_its_memory_is_ended_and_gets_more(cluster, demo, start, study):
    squeezed = start(study, "--set-resources", "detect:mem_mb=200*attempt**3")
    printed = squeezed.end()
    assert squeezed.code == 0, printed
    assert printed.count("Trying to restart job") == 1
    assert digests(squeezed.results) == digests(demo.results, "P02")


def test_a_job_over_its_time_is_ended_and_gets_more(cluster, demo, start, study):
    hurried = start(study, "--set-resources", "detect:runtime=attempt")
    number, _ = a_running_job(cluster)
    wait_until(lambda: cluster.stop(number), SECONDS, "the job to have begun its work")
    printed = hurried.end()
    assert hurried.code == 0, printed
    assert "TIMEOUT" in cluster.history()
    assert printed.count("Trying to restart job") == 1
    assert cluster.limits()[-2:] == ["1:00", "2:00"]
    assert digests(hurried.results) == digests(demo.results, "P02")


@pytest.fixture
def open_folder():
    """A folder that every user can reach, as on a shared file system."""
    folder = Path(tempfile.mkdtemp(prefix="ctcascade-nobody-"))
    yield folder
    shutil.rmtree(folder)


def test_a_user_other_than_root_can_run_it(cluster, demo, start, open_folder):
    nobody = {"user": "nobody", "group": "nogroup", "extra_groups": []}
    home = {**os.environ, "HOME": str(open_folder), "USER": "nobody", "LOGNAME": "nobody"}
    try:
        subprocess.run([sys.executable, "-c", "import snakemake"], env=home, check=True, **nobody)
    except (PermissionError, subprocess.CalledProcessError):
        pytest.skip("this Python lies where only root may go")
    study = write_study(open_folder / "study", "P02")
    for path in (open_folder, study, study / "config"):
        shutil.chown(path, "nobody", "nogroup")
    there = start(study, *BY_FRAME, env=home, **nobody)
    printed = there.end()
    assert there.code == 0, printed
    assert set(run("squeue", "-h", "--states=all", "--user=nobody", "-o", "%T").split()) == {"COMPLETED"}
    assert digests(there.results) == digests(demo.results, "P02")


def test_a_lost_node_does_not_stop_the_run(cluster, demo, start, study):
    three_jobs = start(study, *BY_FRAME)
    _, node = a_running_job(cluster)
    cluster.lose_node(node)
    printed = three_jobs.end()
    cluster.start_node(node)
    assert three_jobs.code == 0, printed
    assert "NODE_FAIL" in cluster.history()
    assert "Trying to restart job" in printed
    assert digests(three_jobs.results) == digests(demo.results, "P02")


def test_a_killed_snakemake_continues_beside_the_jobs_that_it_left(cluster, demo, start, study):
    first = start(study, *BY_FRAME)
    a_running_job(cluster)
    first.kill()
    locked = start(study, *BY_FRAME)
    assert "--unlock" in locked.end()
    assert locked.code == 1
    start(study, "--unlock").end()
    again = start(study, *BY_FRAME)
    printed = again.end()
    assert again.code == 0, printed
    wait_until(lambda: not cluster.jobs(), SECONDS, "the jobs that were left to end")
    assert digests(again.results) == digests(demo.results, "P02")
