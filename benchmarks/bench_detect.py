"""How fast frames become cells: this pipeline beside a short scikit-image script, one thread each, in the same run.

Both read the same phantom frames, dense and sparse, and both measure shapes and intensities of four channels. The
lower bound for any method is decoding the pixels and passing over them once. All times are processor time, which
other programs on the machine disturb less than the clock. Two packages for features are
compared with the measuring alone where they are installed: `pip install .[peers]` in an environment of its own.

csi-analysis 0.5.0 is no peer: its `ClassicSegmenter.segment` is empty and gives None, the thresholding below it calls a
function that is not there (`remove_objects_size`), and its other segmenter is Cellpose with weights to be downloaded.
"""

import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tifffile
from skimage.measure import regionprops_table

from ctcascade import formats
from ctcascade.data.camera import Camera
from ctcascade.formats import listing
from ctcascade.images import background, detect, labels, measure, segment
from ctcascade.study.jobs import DetectJob
from ctcascade.study.settings import FrameLimits
from ctcascade.validation import phantom

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT.parent / "shared" / "tools" / "ref_skimage.py"
CAMERA = Camera(
    name="bench",
    channels={"dna": ("DAPI",), "ck": ("CK-PE",), "cd45": ("CD45-APC",), "fitc": ("FITC",)},
    pixel_size_um=0.645,
    frame_px=(1036, 1384),
    bit_depth=12,
)
JOB = DetectJob(sample="S", images=("frames",), format="auto", assay=CAMERA, frame_limits=FrameLimits())
FRAMES = 3
ON_PROCESSOR_TIME = """
import runpy, sys, time
time.perf_counter = time.process_time
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")


def rows() -> list[tuple[str, str, str]]:
    """Return what was timed, the figure, and what it is compared with."""
    cv2.setNumThreads(1)
    for module in (labels, measure, segment):
        module.warm()
    slides = (
        ("dense frame, 1362 x 1004 x 4, 1000 cells", (1004, 1362), phantom.Recipe(leukocytes=1000, ctcs=12)),
        ("sparse frame, 1384 x 1036 x 4, 60 cells", (1036, 1384), phantom.Recipe(leukocytes=60, ctcs=6)),
    )
    return [row for what, shape, recipe in slides for row in _rows(what, shape, recipe)] + [_cold_start()]


def _rows(what: str, shape: tuple[int, int], recipe: phantom.Recipe) -> list[tuple[str, str, str]]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        phantom.write_slide(folder / "frames", phantom.Slide(FRAMES, shape, recipe=recipe), seed=7)
        refs = listing.list_frames(["frames"], folder, "auto", CAMERA).frames
        which = what.partition(" ")[0]
        out = [_whole(folder, what, refs), *_stages(refs[0], which)]
        for ref in refs:
            _store_uncompressed(ref.files[0])
        return [*out, _whole(folder, f"  {which}: the same, its file not compressed", refs)]


def _whole(folder: Path, what: str, refs: Any) -> tuple[str, str, str]:
    taken, _ = _seconds(lambda: _detect(folder))
    return what, f"{1e3 * taken / FRAMES:.0f} ms a frame", _against(refs, taken / FRAMES)


def _store_uncompressed(path: Path) -> None:
    with tifffile.TiffFile(path) as tiff:
        pixels, description = tiff.asarray(), tiff.ome_metadata.encode()
    tifffile.imwrite(path, pixels, photometric="minisblack", description=description, metadata=None, software=False)


def _detect(folder: Path) -> None:
    detect.detect(JOB, folder, (1, 1), folder / "frames.parquet", folder / "cells.parquet")


def _against(refs: Any, ours: float) -> str:
    if not REFERENCE.exists():
        return "the reference script is not here"
    command = [sys.executable, "-c", ON_PROCESSOR_TIME, str(REFERENCE), *(str(ref.files[0]) for ref in refs)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, **ONE_THREAD})
    seconds, cells = done.stdout.split()
    return (
        f"scikit-image script {1e3 * float(seconds):.0f} ms ({cells} cells in {FRAMES}): x {float(seconds) / ours:.1f}"
    )


def _stages(ref: formats.FrameRef, which: str) -> list[tuple[str, str, str]]:
    read, frame = _seconds(lambda: formats.read(ref, CAMERA))
    one_pass, _ = _seconds(lambda: [float(plane.sum()) for plane in frame.pixels])
    correct, channels = _seconds(
        lambda: {
            role: background.correct(plane, 0.645, JOB.background)
            for role, plane in zip(frame.roles, frame.pixels, strict=True)
        }
    )
    segmented, found = _seconds(lambda: segment.segment(frame, channels, JOB))
    learned, _ = _seconds(lambda: segment.segment(frame, channels, JOB.model_copy(update={"segmenter": "learned"})))
    measured, cells = _seconds(lambda: measure.measure(found, channels, 0.645, 3.0))
    times = {"read": read, "correct": correct, "segment": segmented, "measure": measured}
    return [
        (f"  {which}: stages", ", ".join(f"{name} {1e3 * t:.0f}" for name, t in times.items()) + " ms", ""),
        (f"  {which}: learned segmenter", f"{1e3 * learned:.0f} ms", f"classical: x {learned / segmented:.1f} as fast"),
        (f"  {which}: bound", f"{1e3 * (read + one_pass):.0f} ms", "decode and one pass over the pixels"),
        (f"  {which}: shapes and intensities", _largest_difference(found.cells, channels, cells), "regionprops"),
        *_features(which, found.cells, channels, measured, len(cells.columns)),
    ]


def _features(
    which: str, cells: Any, channels: dict[str, background.Channel], ours: float, columns: int
) -> list[tuple[str, str, str]]:
    """Return how long peers take for shapes and for intensities of all channels, of the cells alone."""
    signals = [np.maximum(channel.signal, 0) for channel in channels.values()]
    result = []
    for module, distribution, work in (("nyxus", "nyxus", _nyxus), ("cp_measure", "cp-measure", _cp_measure)):
        what = f"  {which}: features of cells alone, {module}"
        if importlib.util.find_spec(module) is None:
            result.append((what, "-", f"{module} is not installed"))
            continue
        taken, count = _seconds(lambda work=work: work(cells, signals), 3)
        beside = f"{module} {version(distribution)}; our {columns} columns, of nuclei and surroundings too, in "
        result.append((what, f"{1e3 * taken:.0f} ms, {count} columns", f"{beside}{1e3 * ours:.0f} ms"))
    return result


def _nyxus(cells: Any, signals: list[Any]) -> int:
    import nyxus  # noqa: PLC0415

    shapes = ["AREA_PIXELS_COUNT", "CENTROID_Y", "CENTROID_X", "PERIMETER", "ECCENTRICITY", "SOLIDITY"]
    light = ["INTEGRATED_INTENSITY", "MEAN", "MAX", "STANDARD_DEVIATION"]
    columns = 0
    for number, signal in enumerate(signals):
        names = light if number else shapes + light
        engine = nyxus.Nyxus(names, n_feature_calc_threads=1)
        columns += engine.featurize(signal.astype(np.uint32), cells.astype(np.uint32)).shape[1] - 4
    return columns


def _cp_measure(cells: Any, signals: list[Any]) -> int:
    from cp_measure.bulk import get_core_measurements  # noqa: PLC0415

    known = get_core_measurements()
    columns = len(known["sizeshape"](cells, None, calculate_advanced=False))
    return columns + sum(len(known["intensity"](cells, signal / 4095)) for signal in signals)


def _largest_difference(found: Any, channels: dict[str, background.Channel], cells: Any) -> str:
    """Return the largest relative difference to scikit-image's values on the same labels."""
    names = ("area", "centroid", "eccentricity", "perimeter_crofton", "solidity")
    intensities = ("intensity_mean", "intensity_max", "intensity_std")
    dna = channels["dna"].signal
    theirs = regionprops_table(found, dna, properties=names + intensities)
    ours = {
        "area": cells["area_um2"] / 0.645**2,
        "centroid-0": cells["y_px"],
        "centroid-1": cells["x_px"],
        "eccentricity": cells["eccentricity"],
        "perimeter_crofton": cells["perimeter_um"] / 0.645,
        "solidity": cells["solidity"],
        "intensity_mean": cells["dna_mean"],
        "intensity_max": cells["dna_max"],
        "intensity_std": cells["dna_std"],
    }
    worst = {
        name: float(np.max(np.abs(values - theirs[name]) / np.maximum(np.abs(theirs[name]), 0.01)))
        for name, values in ours.items()
    }
    name = max(worst, key=worst.__getitem__)
    return f"{len(ours)} features differ by at most {worst[name]:.1e} ({name})"


def _cold_start() -> tuple[str, str, str]:
    start = time.perf_counter()
    code = "from ctcascade.images import labels, measure, segment; labels.warm(); measure.warm(); segment.warm()"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
    return "a job's start, kernels from their cache", f"{time.perf_counter() - start:.1f} s", "goal 3 s"


def _seconds(work: Callable[[], Any], times: int = 5) -> tuple[float, Any]:
    """Return the median processor time of a piece of work, and what it gave."""
    taken = []
    for _ in range(times):
        start = time.process_time()
        result = work()
        taken.append(time.process_time() - start)
    return float(np.median(taken)), result


if __name__ == "__main__":
    for row in rows():
        print("  ".join(row))
