"""How long a whole slide takes from files to counts.json, and how much memory; run by hand, it takes minutes.

    python -m benchmarks.whole_slide [FRAMES ...]

The frames are a few phantom frames under many names (hard links): time and memory are those of as many different
frames. Snakemake runs it with two cores; the processor time is of all that it
started, itself included, and the memory is what its benchmark files sampled of each job. On a machine that does other
work too, look at the processor time.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from ctcascade.validation import phantom
from tests.support import slides
from tests.support.json_results import read_result

ROOT = Path(__file__).parents[1]
DISTINCT = 6
SLIDE = phantom.Slide(
    DISTINCT,
    (1004, 1362),
    phantom.Optics(pixel_size_um=0.591),
    phantom.Recipe(leukocytes=1300, ctcs=1),
    "ome-tiff",
    ("DAPI", "CK", "CD45", "FITC"),
)
ASSAY = "hdsca"
SAMPLES = "sample\tpatient\tcollected\timages\tassay\tblood_volume_ml\nS\tP\t2026-01-05\tframes\t{assay}\t1.0\n"
PATIENTS = "patient\tprimary\tsetting\tsex\nP\tbreast\tmetastatic\tfemale\n"


def main() -> None:
    """Print one line a number of frames."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("frames", type=int, nargs="*", default=[256, 1024, 2304])
    print("frames  cells  wall s  processor s  processor ms a frame  MiB at most: detect, gather, classify, count")
    with tempfile.TemporaryDirectory() as name:
        phantom.write_slide(Path(name) / "distinct", SLIDE, seed=11)
        files = sorted((Path(name) / "distinct").glob("*.tif"))
        for number in parser.parse_args().frames:
            print(_line(Path(name) / str(number), files, number), flush=True)


def _line(folder: Path, files: list[Path], number: int) -> str:
    images = folder / "frames"
    images.mkdir(parents=True)
    for k in range(number):
        slides.repeat(files[k % len(files)], images / f"f{k + 1:04d}.ome.tif", k)
    (folder / "samples.tsv").write_text(SAMPLES.format(assay=ASSAY))
    (folder / "patients.tsv").write_text(PATIENTS)
    results = folder / "results"
    settings = [f"{sheet}={folder / sheet}.tsv" for sheet in ("samples", "patients")]
    target = results / "samples" / "S" / "counts.json"
    start, before = time.perf_counter(), _processor_seconds()
    done = subprocess.run(
        [
            *(sys.executable, "-m", "snakemake", "-s", ROOT / "Snakefile", "--directory", folder, "--cores", "2"),
            *("--quiet", "rules", "--config", *settings, f"assays={ROOT / 'config' / 'assays'}", f"results={results}"),
            *("--", target),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    wall = time.perf_counter() - start
    taken = _processor_seconds() - before
    most = _jobs(folder).groupby("rule")["max_rss"].max()
    memory = ", ".join(f"{most[rule]:.0f}" for rule in ("detect", "gather", "classify", "count"))
    cells = read_result(target, "counts")["n_cells"]
    return f"{number}  {cells}  {wall:.0f}  {taken:.0f}  {1e3 * taken / number:.0f}  {memory}"


def _processor_seconds() -> float:
    """Return what the processes that this one started and that have ended took."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _jobs(folder: Path) -> pd.DataFrame:
    """Return Snakemake's benchmark of each job."""
    tables = []
    for path in sorted(folder.rglob("*.tsv")):
        if "benchmarks" in path.parts:
            tables.append(pd.read_csv(path, sep="\t", na_values="-").assign(rule=path.name.partition(".")[0]))
    return pd.concat(tables, ignore_index=True)


if __name__ == "__main__":
    main()
