"""Whether intervals hold the concentration from the pixels on, where cells are in doubt.

A concentration is drawn, then the CTCs of one slide, which is rendered, segmented and called as shipped (gates and
judge together). The count takes the odds of each cell, with sensitivity and background of the assay file, which were
counted with the same calling (`false_calls`). Nothing is lost in the tube here, so that recovery is 1.
"""

import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from ctcascade.calling.classify import call_cells, reference_of
from ctcascade.calling.compensation import signals_of
from ctcascade.calling.judge import judged
from ctcascade.counting.count import candidates
from ctcascade.counting.observation import Factor, Observation
from ctcascade.study.assay import Gates, read_assay
from ctcascade.validation import phantom
from tests.support.calling import SETTINGS, assay, seen

ROOT = Path(__file__).parents[1]
N, SEED = 120, 40_000
GROUPS = ((2, 0), (1, 1), (3, 0))
RECIPE = phantom.Recipe(150, weak_ck=0.15, apoptotic=3, aggregates=2, fragments=2, leukocyte_weak_cd45=0.05)
SLIDES = {
    "cellsearch": phantom.Slide(2, (500, 700), recipe=RECIPE),
    "hdsca": phantom.Slide(
        2,
        (500, 700),
        phantom.Optics(pixel_size_um=0.591, haze=(15.0, 70.0, 30.0, 20.0), photons_per_count=2.0),
        RECIPE,
        "files",
    ),
}
Row = tuple[str, str, str]


def rows() -> list[Row]:
    """Return what was checked, what came out, and the verdict."""
    return [_row(name) for name in SLIDES]


def _row(name: str) -> Row:
    held, alone, above, below, doubtful = 0, 0, 0, 0, 0
    for number in range(N):
        rng = np.random.default_rng([SEED, number])
        truth = float(np.exp(rng.uniform(np.log(2.0), np.log(40.0))))
        calls = _calls(name, int(rng.poisson(truth)), SEED + number)
        cells = candidates(calls)
        count = int(calls["call"].eq("ctc").sum())
        doubtful += any(0 < p < 1 for p, _ in cells)
        found, hard = (_observation(name, known).interval(count, 0.95) for known in (cells, ()))
        held += found.low <= truth <= found.high
        alone += hard.low <= truth <= hard.high
        above, below = above + (found.high < truth), below + (found.low > truth)
    share, noise = held / N, 2 * math.sqrt(0.05 * 0.95 / N)
    figure = (
        f"{share:.3f} (0.93 to 0.97; truth above {above / N:.3f}, below {below / N:.3f}; the calls alone "
        f"{alone / N:.3f}); {doubtful} of {N} slides had a cell in doubt; chance alone fails one in 40"
    )
    close = 0.93 - noise <= share <= 0.97 + noise
    verdict = (
        "fail" if not close else "pass" if 0.93 <= share <= 0.97 else f"known: not shown, {N} slides tell {noise:.2f}"
    )
    return f"95 % of counts from pixels to interval, 2 to 40 CTCs, {name}", figure, verdict


def _calls(name, ctcs, seed):
    """Return the calls of a slide with so many CTCs, some of them in clusters, by gates and judge as shipped."""
    groups = tuple(group for group in GROUPS[: ctcs // 4] if group[0] <= ctcs)
    single = max(ctcs - sum(group[0] for group in groups), 0)
    slide = SLIDES[name]
    about = assay(name)
    recipe = replace(slide.recipe, ctcs=single, clusters=groups)
    _, cells, noise = seen(replace(slide, recipe=recipe), seed, about)
    gates = Gates.model_validate(about["gates"])
    reference = reference_of(cells, noise, gates, SETTINGS)
    verdict = judged(cells, signals_of(cells, reference.bleed), reference, noise)
    return call_cells(cells, reference, noise, gates, SETTINGS, verdict)


def _observation(name, known):
    read = read_assay(ROOT / "config" / "assays" / f"{name}.yaml", [])
    stated = (Factor(f.mean, f.low, f.high) for f in (read.sensitivity, read.background_per_7_5_ml))
    return Observation(7.5, 1.0, 1.0, Factor(1.0, 1.0, 1.0), *stated, None, None, known)


if __name__ == "__main__":
    found = rows()
    for row in found:
        print(" | ".join(row))
    sys.exit(int(any(row[-1].startswith("fail") for row in found)))
