"""Many samples: how long the plan takes, and what the workflow costs beside its stages.

Alone, for the figures of docs/scale.md: python -m benchmarks.bench_scale SAMPLES FRAMES CORES [--plan] [--tiny] [--one]
Frames are a few phantom frames of full size, again and again; with --tiny of 128 x 128 pixels, and with --one all
samples are of one patient.
"""

import csv
import datetime
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from ctcascade.data import store
from ctcascade.validation import phantom
from tests.support import slides

ROOT = Path(__file__).parents[1]
POOL = phantom.Slide(4, (1036, 1384), recipe=phantom.Recipe(leukocytes=400, ctcs=4))
TINY = phantom.Slide(4, (128, 128), recipe=phantom.Recipe(leukocytes=4, ctcs=1))
WITH_ITS_TIME = """
import atexit, time
atexit.register(lambda: print("itself:", time.process_time()))
from snakemake.cli import main
main()
"""


def rows() -> list[tuple[str, str, str]]:
    with tempfile.TemporaryDirectory() as name:
        many, few = Path(name, "many"), Path(name, "few")
        write_study(many, 1000, 175, planned=True)
        write_study(few, 4, 48)
        planned, jobs = plan(many)
        done = run(few, cores=2)
    return [
        ("plan of 1,000 samples of 175 frames", f"{planned['snakemake_cpu_s']:.1f} s", f"{jobs} jobs"),
        ("4 samples of 48 frames, two cores", f"{done['wall_s']:.0f} s", overhead(done)),
    ]


def overhead(done: dict[str, float]) -> str:
    share = done["snakemake_cpu_s"] / done["jobs_cpu_s"]
    return f"Snakemake itself: {100 * share:.1f} % of the processor time of its jobs"


def write_study(
    folder: Path, samples: int, frames: int, planned: bool = False, slide: phantom.Slide = POOL, draws: int = 2
) -> None:
    """Write sheets and frames of a study, `draws` samples a patient; frames that are only planned are hard links."""
    (folder / "config").mkdir(parents=True)
    phantom.write_slide(folder / "pool", slide, seed=11)
    pool = sorted((folder / "pool").iterdir())
    sheet = ["sample\tpatient\tcollected\timages\tassay\tblood_volume_ml"]
    patients = ["patient\tprimary\tsetting\tsex"]
    for number in range(samples):
        patient, draw = divmod(number, draws)
        day = datetime.date(2026, 1, 1) + datetime.timedelta(days=30 * draw)
        images = folder / "images" / f"S{number:05d}"
        images.mkdir(parents=True)
        for frame in range(frames):
            source, target = pool[frame % len(pool)], images / f"f{frame + 1:04d}.ome.tif"
            if planned:
                os.link(source, target)
            else:  # copies would be counted once
                slides.repeat(source, target, number * frames + frame)
        sheet.append(f"S{number:05d}\tP{patient:05d}\t{day}\t../images/S{number:05d}\tcellsearch\t7.5")
        if not draw:
            patients.append(f"P{patient:05d}\tbreast\tmetastatic\tfemale")
    (folder / "config" / "samples.tsv").write_text("\n".join(sheet) + "\n")
    (folder / "config" / "patients.tsv").write_text("\n".join(patients) + "\n")


def snakemake(folder: Path, *args: str) -> tuple[dict[str, float], str]:
    """Run the workflow in a folder; wall and processor seconds, its own and its jobs', and what it printed."""
    command = [sys.executable, "-c", WITH_ITS_TIME, "-s", str(ROOT / "Snakefile"), "--directory", str(folder), *args]
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    both = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    own = float(done.stdout.rpartition("itself: ")[2])
    return {"wall_s": wall, "snakemake_cpu_s": own, "jobs_cpu_s": both - own}, done.stdout


def plan(folder: Path) -> tuple[dict[str, float], int]:
    """Plan a study; the seconds it takes, and the number of jobs."""
    seconds, said = snakemake(folder, "--cores", "1", "-n", "--quiet", "rules")
    total = next(line for line in said.splitlines() if line.startswith("total"))
    return seconds, int(total.split()[1])


def run(folder: Path, cores: int) -> dict[str, float]:
    """Run a study; the seconds it takes, and for each rule the wall seconds and the largest memory of its jobs."""
    figures, _ = snakemake(folder, "--cores", str(cores), "--quiet", "all")
    of_rules: dict[str, float] = defaultdict(float)
    for path in (folder / "results" / "benchmarks").rglob("*.tsv"):
        rule = f"{path.parent.parent.name} {path.name.partition('.')[0]}"
        with open(path, encoding="utf-8", newline="") as handle:
            (row,) = csv.DictReader(handle, delimiter="\t")
        of_rules[f"{rule}_s"] += float(row["s"])
        of_rules[f"{rule}_max_mb"] = max(of_rules[f"{rule}_max_mb"], float(row["max_rss"].replace("NA", "0")))
    return figures | dict(sorted(of_rules.items()))


def missing(folder: Path, samples: int, frames: int) -> Iterator[str]:
    """Yield for each sample what is not there of it; empty where every frame is once in its table and it has a page."""
    for number in range(samples):
        place = folder / "results" / "samples" / f"S{number:05d}"
        names = store.read_table(place / "frames.parquet", "frames", only=["frame", "usable"])
        page = (place / "report.html").exists() and (place / "counts.json").exists()
        whole = names["frame"].nunique() == len(names) == frames and names["usable"].all()
        yield "" if whole and page else f"{place.name}: {len(names)} frames, {int(names['usable'].sum())} usable"


def main() -> None:
    samples, frames, cores = map(int, sys.argv[1:4])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "study")
        slide, draws = TINY if "--tiny" in sys.argv else POOL, samples if "--one" in sys.argv else 2
        write_study(folder, samples, frames, slide=slide, draws=draws)
        planned, jobs = plan(folder)
        print(f"{samples} samples of {frames} frames, {jobs} jobs:", *(f"{k} {v:.1f}" for k, v in planned.items()))
        if "--plan" in sys.argv:
            return
        done = run(folder, cores)
        for what, figure in done.items():
            print(f"{what:32} {figure:10.1f}")
        print(overhead(done))
        kept = sum(path.stat().st_size for path in (folder / "results").rglob("*") if path.is_file())
        print(f"{kept / samples / frames:.0f} bytes of results a frame, {kept / samples / 1e6:.2f} MB a sample")
        lost = [row for row in missing(folder, samples, frames) if row]
        print(f"{len(lost)} samples with frames lost or counted twice, or without a page", *lost[:5])


if __name__ == "__main__":
    main()
