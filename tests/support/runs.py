"""Runs of the workflow as a user makes them."""

import fcntl
import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from ctcascade.data.store import file_hash

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Run:
    """A finished run: where, what it printed (both streams), how it ended."""

    folder: Path
    output: str
    code: int

    @property
    def results(self):
        return self.folder / "results"


def command(folder, *args, cores=2):
    """The way to run the workflow in a folder: `snakemake -s REPO/Snakefile --directory RUN`."""
    start = [sys.executable, "-m", "snakemake", "-s", ROOT / "Snakefile", "--directory", folder]
    return [str(part) for part in (*start, *(["--cores", cores] if cores else []), *args)]


def run_snakemake(folder, *args, cores=2, **environment):
    """Run the workflow in a folder to its end."""
    done = subprocess.run(
        command(folder, *args, cores=cores),
        env={**os.environ, **environment},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    return Run(Path(folder), done.stdout, done.returncode)


def planned_commands(folder, *args):
    """The commands that make the results of a run, each with the name of its rule: (rule, the words after `ctcascade`).

    Each job by itself: without what lies ready for it, and what it does ahead for others.
    """
    planned = run_snakemake(folder, "-n", "-F", "-p", *args)
    assert planned.code == 0, planned.output
    jobs = re.findall(r"(?ms)^(?:local)?rule (\w+):$.*?^Shell command: (.*?)$", planned.output)
    return [(rule, _own_words(command)) for rule, command in jobs]


def planned_ahead(folder, *args):
    """Return what jobs do ahead for others: (rule, verb, the words after `ctcascade`, as its own job has them)."""
    planned = run_snakemake(folder, "-n", "-F", "-p", *args)
    assert planned.code == 0, planned.output
    jobs = re.findall(r"(?ms)^(?:local)?rule (\w+):$.*?^Shell command: (.*?)$", planned.output)
    found = []
    for rule, command in jobs:
        words = shlex.split(re.sub(r"/\.ahead-[0-9]+-[0-9]+/", "/", command.rpartition(" 2> ")[0]))
        for then, word in enumerate(words):
            if word == "+":
                after = words[then + 1 :]
                end = after.index("+") if "+" in after else len(after)
                found.append((rule, after[0], after[:end]))
    return found


def _own_words(command):
    words = shlex.split(command)
    words = words[words.index("ctcascade") + 1 :] if "ctcascade" in words else words
    words = words[: min(words.index(end) if end in words else len(words) for end in ("+", "2>"))]
    return words[words[:1] == ["ahead"] :]


ORDER = (
    *("detect", "gather", "classify", "crops", "count", "quality", "operator", "compare"),
    *("simulate", "prognose", "report_sample", "report_patient"),
)
"""The rules of samples and patients, each after those whose results it reads."""

IN_ONE_PROCESS = """
import json, sys
from pathlib import Path
from ctcascade.__main__ import main
for words in json.load(sys.stdin):
    for word in words:
        if word.startswith("results/"):
            Path(word).parent.mkdir(parents=True, exist_ok=True)
    main(words)
"""


def spelt_out(words, planned):
    """Words of a command; those of `compare` with what a file of arguments holds during a run."""
    if words[:1] != ["compare"]:
        return words
    tables = [job[job.index("--out-frames") + 1] for rule, job in planned if rule == "gather"]
    return [
        *("compare", "--settings", json.dumps({"patients": {Path(path).parent.name: "P" for path in tables}})),
        *("--frames", *tables),
        *words[words.index("--out") :],
    ]


def run_in_one_process(folder, *args):
    """Run the commands of all samples and patients one after another in one process: a tenth of a run's time.

    For tests of what results say of images; runs as a user makes them are the subject of test_workflow.
    """
    planned = sorted(planned_commands(folder, *args), key=lambda job: ORDER.index(job[0]) if job[0] in ORDER else -1)
    commands = [spelt_out(words, planned) for rule, words in planned if rule in ORDER]
    done = subprocess.run(
        [sys.executable, "-c", IN_ONE_PROCESS],
        cwd=folder,
        input=json.dumps(commands),
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        text=True,
        capture_output=True,
        check=False,
    )
    return Run(Path(folder), done.stdout + done.stderr, done.returncode)


def demonstration(place):
    """Run the demonstration below a folder, or return the run that another process has made or is making there."""
    place.mkdir(parents=True, exist_ok=True)
    printed = place / "demo.txt"
    with open(place / "demo.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if printed.exists():
            code, _, output = printed.read_text(encoding="utf-8").partition("\n")
            return Run(place / "demo", output, int(code))
        run = run_snakemake(place / "demo")
        printed.write_text(f"{run.code}\n{run.output}", encoding="utf-8")
        return run


def write_study(folder, *patients):
    """Write sheets of some of the demonstration's patients; image paths, which are in the results, stay the same."""
    (folder / "config").mkdir(parents=True)
    (folder / "test_data").symlink_to(ROOT / "test_data")
    for name in ("samples.tsv", "patients.tsv"):
        header, *rows = (ROOT / "config" / name).read_text().splitlines()
        kept = [row for row in rows if row.startswith(patients)]
        (folder / "config" / name).write_text("\n".join([header, *kept]) + "\n")
    return folder


def digests(results, *patients):
    """The sha256 of each result of the patients and their samples, by name; of all patients where none is named."""
    found = [path for kind in ("samples", "patients") for path in (results / kind).rglob("*") if path.is_file()]
    named = {path.relative_to(results).as_posix(): path for path in found}
    return {
        name: file_hash(path) for name, path in sorted(named.items()) if name.split("/")[1].startswith(patients or "")
    }
