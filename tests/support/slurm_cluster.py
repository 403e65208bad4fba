"""A Slurm cluster of several nodes on one machine, for tests: root, loopback only, no systemd.

Slurm is Debian's own (slurm-wlm); it is installed where it is missing. All state lies in one temporary folder, except
slurm.conf and cgroup.conf in /etc/slurm, which Slurm's tools read in jobs whatever the environment says; a slurm.conf
that lies there already is another cluster's and is never touched.
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

CONF = Path("/etc/slurm/slurm.conf")
CGROUP_CONF = CONF.with_name("cgroup.conf")
CGROUPS = Path("/sys/fs/cgroup")  # of version 1, as this Slurm wants them where there is no systemd
MARK = "# ctcascade: a cluster for tests, gone when they end"
PACKAGES = {"slurmctld": "slurmctld", "slurmd": "slurmd", "sbatch": "slurm-client", "munged": "munge"}
PORT = 17100
CPUS, MEMORY_MB = 2, 4200  # a node, whatever the machine has

# A lost node is noticed within seconds.
SETTINGS = """\
{mark}
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={home}/munge.socket
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmctldPort={port}
SlurmctldPidFile={home}/slurmctld.pid
SlurmctldLogFile={home}/slurmctld.log
SlurmdPidFile={home}/%n.pid
SlurmdLogFile={home}/%n.log
SlurmdSpoolDir={home}/spool.%n
StateSaveLocation={home}
MpiDefault=none
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
AccountingStorageType=accounting_storage/none
SchedulerParameters=sched_interval=1,sched_min_interval=0,bf_interval=5
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
SlurmdTimeout=10
KillWait=5
MinJobAge=3600
JobRequeue=1
ReturnToService=2
"""
# How a job is held to its memory: Slurm looks every second, or the kernel does it.
BY_LOOKING = "ProctrackType=proctrack/linuxproc\nTaskPlugin=task/none\nJobAcctGatherParams=OverMemoryKill\n"
BY_CGROUPS = "ProctrackType=proctrack/cgroup\nTaskPlugin=task/cgroup\n"
CGROUP_SETTINGS = """\
CgroupPlugin=cgroup/v1
CgroupMountpoint={mount}
CgroupAutomount=no
ConstrainRAMSpace=yes
ConstrainCores=no
"""


class NoClusterError(Exception):
    """Why this machine cannot run a test cluster, as a message for the user."""


class Cluster:
    """Nodes n1, n2, ... of two cores each; started on entry, ended and removed on exit."""

    def __init__(self, nodes: int = 2, cgroups: bool = False):
        self.nodes = [f"n{number}" for number in range(1, nodes + 1)]
        self.cgroups = cgroups

    def __enter__(self):
        _install()
        self.home = Path(tempfile.mkdtemp(prefix="ctcascade-slurm-"))
        self.home.chmod(0o755)
        try:
            self._write_conf()
            self._start_munge()
            run("slurmctld", "-c")
            for node in self.nodes:
                self.start_node(node)
            wait_until(lambda: set(self.states().values()) == {"idle"}, 30, "the nodes to be idle")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_error):
        if CONF.exists():
            subprocess.run(["scancel", "--partition=main"], timeout=20, capture_output=True, check=False)
        for name in ("slurmctld", *self.nodes, "munged"):
            _end(self.home / f"{name}.pid", signal.SIGTERM)
        if CONF.exists() and CONF.read_text().startswith(MARK):
            CONF.unlink()
            CGROUP_CONF.unlink(missing_ok=True)
        shutil.rmtree(self.home, ignore_errors=True)

    def start_node(self, node):
        (self.home / f"spool.{node}").mkdir(exist_ok=True)
        run("slurmd", "-N", node)

    def lose_node(self, node):
        """End the node's daemon and all that it runs at once, as a power cut would."""
        _end(self.home / f"{node}.pid", signal.SIGKILL)
        for pid in _processes_of(node):
            os.kill(pid, signal.SIGKILL)

    def stop(self, number):
        """Suspend the processes of a job, as a file system that does not answer would; return whether it worked."""
        working = [pid for pid in _processes_with(f"SLURM_JOB_ID={number}") if _runs(pid, "ctcascade")]
        for pid in working:
            os.kill(pid, signal.SIGSTOP)
        return bool(working)

    def states(self):
        """The state of each node: idle, mixed, allocated, down*, ..."""
        return dict(line.split() for line in run("sinfo", "-hN", "-o", "%N %T").splitlines())

    def jobs(self):
        """Running and waiting jobs: number, state, node, and what Snakemake says that it is."""
        lines = run("squeue", "-h", "-o", "%i|%T|%N|%k").splitlines()
        return [line.split("|") for line in lines]

    def running(self, rule):
        """The jobs of a rule that have started, as (number, node)."""
        return [(number, node) for number, state, node, what in self.jobs() if state == "RUNNING" and rule in what]

    def limits(self):
        """The time that each job since the cluster began was given, the first job's first."""
        lines = [line.split() for line in run("squeue", "-h", "--states=all", "-o", "%A %l").splitlines()]
        return [limit for _, limit in sorted(lines, key=lambda line: int(line[0]))]

    def history(self):
        """The last state of every job since the cluster began, as squeue remembers it."""
        return run("squeue", "-h", "--states=all", "-o", "%T").split()

    def _write_conf(self):
        CONF.parent.mkdir(parents=True, exist_ok=True)
        host = socket.gethostname().split(".")[0]
        text = SETTINGS.format(mark=MARK, host=host, home=self.home, port=PORT)
        text += BY_CGROUPS if self.cgroups else BY_LOOKING
        if self.cgroups:
            CGROUP_CONF.write_text(CGROUP_SETTINGS.format(mount=CGROUPS))
        for number, node in enumerate(self.nodes, start=1):
            text += (
                f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={PORT + number} Sockets=1"
                f" CoresPerSocket={CPUS} ThreadsPerCore=1 RealMemory={MEMORY_MB} State=UNKNOWN\n"
            )
        CONF.write_text(text + "PartitionName=main Nodes=ALL Default=YES MaxTime=600 DefaultTime=10 State=UP\n")

    def _start_munge(self):
        key = self.home / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        places = {"key-file": "key", "socket": "socket", "log-file": "log", "seed-file": "seed"}
        options = [f"--{option}={self.home}/munge.{end}" for option, end in places.items()]
        run("munged", "--force", f"--pid-file={self.home}/munged.pid", *options)


def run(*command):
    """What a command prints; if it fails, its error output."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr or done.stdout}")
    return done.stdout


def wait_until(holds, seconds, what):
    """Return what `holds` gives as soon as it gives something; fail the test after `seconds`."""
    until = time.monotonic() + seconds
    while not (found := holds()):
        if time.monotonic() > until:
            raise TimeoutError(f"waited {seconds} s for {what}")
        time.sleep(0.1)
    return found


def _install():
    if os.geteuid() != 0:
        raise NoClusterError("a Slurm cluster for tests is started by root (in a container, say); nothing was done")
    if CONF.exists() and not CONF.read_text().startswith(MARK):
        raise NoClusterError(f"{CONF} belongs to another cluster: use a machine of your own; nothing was done")
    missing = [package for program, package in PACKAGES.items() if not shutil.which(program)]
    if not missing:
        return
    if not shutil.which("apt-get"):
        raise NoClusterError(f"{', '.join(missing)} must be installed, and this machine has no apt-get to do it")
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update", "-q"], ["install", "-yq", "--no-install-recommends", *missing]):
        done = subprocess.run(["apt-get", *command], env=quiet, capture_output=True, text=True, check=False)
        if done.returncode:
            raise NoClusterError(f"apt-get {command[0]} failed: {done.stderr.strip()[-500:]}")


def _processes_of(node):
    """The step daemons of a node and everything under them."""
    # a step daemon names its job only; what it started carries the node in its environment
    inside = [pid for pid in _processes_with(f"SLURMD_NODENAME={node}") if not _runs(pid, "slurmd")]
    daemons = {_parent(pid) for pid in inside} - set(inside)
    return [*(pid for pid in daemons if _runs(pid, "slurmstepd")), *inside]


def _processes_with(variable):
    """The processes that have a variable in their environment."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdecimal() and variable.encode() in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:  # ended meanwhile
            continue
    return found


def _parent(pid):
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _runs(pid, program):
    try:
        return Path(f"/proc/{pid}/comm").read_text().startswith(program)
    except OSError:
        return False


def _end(pid_file, how):
    try:
        pid = int(pid_file.read_text())
        os.kill(pid, how)
    except (OSError, ValueError):  # never started, or gone
        return
    finally:
        pid_file.unlink(missing_ok=True)  # another process may get the number next
    wait_until(lambda: not _alive(pid), 20, f"process {pid} to end")


def _alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
