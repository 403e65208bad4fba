"""Runs of the workflow as a user makes them."""

import fcntl
import os
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
