"""What a whole run costs, from image files to the index: processor time of Snakemake and all of its jobs, one core.

With ``BEFORE=FOLDER``, a checkout of an earlier version, the same study is run by that one as well, right after, and
the ratio is printed. Frames are those of `bench_scale` (dense) and with a tenth of the cells (sparse).
"""

import dataclasses
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import bench_scale
from ctcascade.validation import phantom

ROOT = Path(__file__).parents[1]
DENSE = bench_scale.POOL
SPARSE = dataclasses.replace(DENSE, recipe=dataclasses.replace(DENSE.recipe, leukocytes=40))
STUDIES = (("whole workflow, 128 dense frames", 1, 128, DENSE), ("whole workflow, 4 x 8 sparse frames", 4, 8, SPARSE))


def rows() -> list[tuple[str, str, str]]:
    return [row for study in STUDIES for row in measured(*study)]


def measured(what: str, samples: int, frames: int, slide: phantom.Slide) -> list[tuple[str, str, str]]:
    before = os.environ.get("BEFORE")
    with tempfile.TemporaryDirectory() as name:
        bench_scale.write_study(Path(name), samples, frames, slide=slide)
        now = seconds(ROOT, Path(name))
        then = seconds(Path(before), Path(name)) if before else 0.0
    each = f"{1e3 * now / samples / frames:.0f} ms a frame"
    return [(what, f"{now:.1f} s, {each}", f"{now / then:.2f} of {then:.1f} s before" if then else "BEFORE not given")]


def seconds(checkout: Path, folder: Path) -> float:
    """Return the processor seconds of a run of a version in a folder of its own."""
    start = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "snakemake", "-s", checkout / "Snakefile", "--directory", folder, "--cores", "1"]
    subprocess.run(
        [*command, "--quiet", "all", "--config", f"results=of_{checkout.name}"],
        env={**os.environ, "PYTHONPATH": f"{checkout / 'pipeline'}"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    end = resource.getrusage(resource.RUSAGE_CHILDREN)
    return end.ru_utime + end.ru_stime - start.ru_utime - start.ru_stime


if __name__ == "__main__":
    for study in STUDIES:
        print(*measured(*study)[0], sep="  ", flush=True)
