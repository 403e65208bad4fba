"""Many samples: how long the plan takes, and what the workflow costs beside its stages.

Alone, for the figures of docs/scale.md: python benchmarks/bench_scale.py SAMPLES FRAMES CORES [--plan]
Frames are hard links to a few phantom frames of full size: as much to read and to count as so many different ones.
"""

import csv
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from pipeline import phantom

ROOT = Path(__file__).parents[1]
POOL = phantom.Slide(4, (1036, 1384), recipe=phantom.Recipe(leukocytes=400, ctcs=4))


def rows() -> list[tuple[str, str, str]]:
    with tempfile.TemporaryDirectory() as name:
        many, few = Path(name, "many"), Path(name, "few")
        write_study(many, 1000, 175)
        write_study(few, 4, 48)
        planned, jobs = plan(many)
        done = run(few, cores=2)
    return [
        ("plan of 1,000 samples of 175 frames", f"{planned:.1f} s", f"{jobs} jobs"),
        ("4 samples of 48 frames, two cores", f"{done['wall_s']:.0f} s", overhead(done)),
    ]


def overhead(done: dict[str, float]) -> str:
    return f"{100 * (done['cores_s'] / done['jobs_s'] - 1):.0f} % more core time than the jobs' own"


def write_study(folder: Path, samples: int, frames: int) -> None:
    """Write sheets and hard-linked frames of a study; two samples a patient."""
    (folder / "config").mkdir(parents=True)
    phantom.write_slide(folder / "pool", POOL, seed=11)
    pool = sorted((folder / "pool").iterdir())
    sheet = ["sample\tpatient\tcollected\timages\tassay\tblood_volume_ml"]
    patients = ["patient\tprimary\tsetting\tsex"]
    for number in range(samples):
        patient, draw = divmod(number, 2)
        images = folder / "images" / f"S{number:05d}"
        images.mkdir(parents=True)
        for frame in range(frames):
            os.link(pool[frame % len(pool)], images / f"f{frame + 1:04d}.ome.tif")
        sheet.append(f"S{number:05d}\tP{patient:05d}\t2026-0{draw + 1}-01\t../images/S{number:05d}\tcellsearch\t7.5")
        if not draw:
            patients.append(f"P{patient:05d}\tbreast\tmetastatic\tfemale")
    (folder / "config" / "samples.tsv").write_text("\n".join(sheet) + "\n")
    (folder / "config" / "patients.tsv").write_text("\n".join(patients) + "\n")


def snakemake(folder: Path, *args: str) -> tuple[float, str]:
    """Run the workflow in a folder; wall seconds, and what it printed."""
    command = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile"), "--directory", str(folder), *args]
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return time.perf_counter() - start, done.stdout + done.stderr


def plan(folder: Path) -> tuple[float, int]:
    """Plan a study; wall seconds, and the number of jobs."""
    wall, said = snakemake(folder, "--cores", "1", "-n", "--quiet", "rules")
    total = next(line for line in said.splitlines() if line.startswith("total"))
    return wall, int(total.split()[1])


def run(folder: Path, cores: int) -> dict[str, float]:
    """Run a study; wall and core seconds, what its jobs took, and for each rule its seconds and largest memory."""
    wall, _ = snakemake(folder, "--cores", str(cores), "--quiet", "all")
    seconds: dict[str, float] = defaultdict(float)
    memory: dict[str, float] = defaultdict(float)
    for path in (folder / "results" / "benchmarks").rglob("*.tsv"):
        rule = f"{path.parent.parent.name}.{path.stem.partition('.')[0]}".removeprefix("results.")
        with open(path, encoding="utf-8", newline="") as handle:
            (row,) = csv.DictReader(handle, delimiter="\t")
        seconds[rule] += float(row["s"])
        memory[rule] = max(memory[rule], float(row["max_rss"].replace("NA", "0")))
    figures = {"wall_s": wall, "cores_s": wall * cores, "jobs_s": sum(seconds.values())}
    for rule in sorted(seconds):
        figures |= {f"{rule}_s": seconds[rule], f"{rule}_max_mb": memory[rule]}
    return figures


def main() -> None:
    samples, frames, cores = map(int, sys.argv[1:4])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "study")
        write_study(folder, samples, frames)
        planned, jobs = plan(folder)
        print(f"{samples} samples of {frames} frames: {jobs} jobs planned in {planned:.1f} s")
        if "--plan" in sys.argv:
            return
        done = run(folder, cores)
        for what, figure in done.items():
            print(f"{what:32} {figure:10.1f}")
        print(overhead(done))
        kept = sum(path.stat().st_size for path in (folder / "results").rglob("*") if path.is_file())
        print(f"{kept / samples / frames:.0f} bytes of results a frame, {kept / samples / 1e6:.2f} MB a sample")


if __name__ == "__main__":
    main()
