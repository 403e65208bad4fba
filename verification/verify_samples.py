"""Whether samples join as they should, and cells after a removal say what follow-up found: as it was and as it is.

Figures before are those of the version that took the samples in the order of their names, each with a prior of its
own, and read cells after a removal as a rest of what was shed before it.
"""

import dataclasses
import itertools
import math
import sys
from collections.abc import Iterator
from pathlib import Path

from calibration import recurrence
from ctcascade.blood.course import Assay, Tube
from ctcascade.blood.factors import Factor
from ctcascade.blood.seen import Seen
from ctcascade.cascade import conditioning
from ctcascade.cascade.parameters import Draws
from ctcascade.study.assay import read_assay

Row = tuple[str, str, str]
DRAWS, SEED = 4000, 20261122
FEW_FALSE = Factor(0.02, 0.005, 0.06)
"""False cells in 7.5 mL: the most that 8.2 % with a cell at five years leave room for."""


def rows() -> list[Row]:
    """Return what was checked, what came out, and the verdict."""
    return [
        (what, f"{figure}; fixed seed, {DRAWS} draws; false alarm 0", verdict)
        for part in (_one_day, _around_an_operation, _no_blood, _order, _after_removal)
        for what, figure, verdict in part()
    ]


def _assay() -> Assay:
    read = read_assay(Path(__file__).parents[1] / "config" / "assays" / "cellsearch.yaml", [])
    assert read is not None
    factors = (read.recovery, read.sensitivity, read.background_per_7_5_ml)
    return Assay(*(Factor(f.mean, f.low, f.high) for f in factors))


def _tube(
    count: int, exposure: float = 1.0, age_years: float = 0.0, after: tuple[str, ...] = ()
) -> conditioning.Sample:
    return conditioning.Sample(age_years, Tube(Seen(count), exposure, _assay()), after=after)


def _risks(*samples: conditioning.Sample, primary: str = "colon", **about: object) -> tuple[float, float, float]:
    """Return the five-year risk of any organ of an early cancer: mean and limits."""
    model = conditioning.build(primary, samples, Draws(SEED, DRAWS), sex="female", early=True, **about)
    risk = sorted(model.risk([5.0])[1][0].tolist())
    return sum(risk) / DRAWS, risk[DRAWS // 40], risk[-DRAWS // 40]


def _verdict(good: bool, known: str = "") -> str:
    return "pass" if good else f"known: {known}" if known else "fail"


def _one_day() -> Iterator[Row]:
    both = [_risks(*pair)[0] for pair in ((_tube(5), _tube(100)), (_tube(100), _tube(5)))]
    whole = _risks(_tube(105, 2.0))[0]
    figure = f"{both[0]:.3f} and {both[1]:.3f} in either order, {whole:.3f} as one tube (before .422 or .672)"
    yield "tubes of 5 and 100 cells of one day", figure, _verdict(both[0] == both[1] and abs(both[0] - whole) < 1e-9)
    one, two = _risks(_tube(5)), _risks(_tube(5), _tube(5))
    figure = f"{one[0]:.3f} ({one[1]:.3f} to {one[2]:.3f}), then {two[0]:.3f} ({two[1]:.3f} to {two[2]:.3f})"
    figure += " (before the same)"
    yield "a second equal tube narrows", figure, _verdict(two[2] - two[1] < one[2] - one[1])


def _around_an_operation() -> Iterator[Row]:
    before = _risks(_tube(5), resected_years=0.0)[0]
    after = _risks(_tube(5, after=("removal",)), resected_years=0.0)[0]
    next_day = _risks(_tube(5), resected_years=-1 / 365.25)[0]
    figure = f"before it {before:.3f}, after it {after:.3f}, the next day {next_day:.3f} (before .422, .422, .616)"
    yield "5 cells on the day of the operation", figure, _verdict(before < after and abs(after - next_day) < 0.02)


def _no_blood() -> Iterator[Row]:
    amounts = [_risks(_tube(0, ml / 7.5))[0] for ml in (7.5, 1.0, 0.1, 0.01)]
    none = _risks(_tube(0, 1e-9))[0]
    five = _risks(_tube(5))[0]
    figure = ", ".join(f"{risk:.3f}" for risk in amounts) + f", no blood {none:.3f}, 5 cells {five:.3f}"
    good = amounts == sorted(amounts) and amounts[-1] <= none < five
    yield "no cells in 7.5, 1, 0.1, 0.01 mL", f"{figure} (before .202, .339, .542, .680; 5 cells .422)", _verdict(good)


def _order() -> Iterator[Row]:
    counts = (0, 1, 2, 3, 5, 8, 20, 100, 1000)
    for primary in ("colon", "breast", "prostate"):
        lowest = math.inf
        for removed in (None, 1.0, 6.0):
            about = {} if removed is None else {"resected_years": -removed}
            found = [_risks(_tube(n), primary=primary, **about)[0] for n in counts]
            lowest = min(lowest, *(b - a for a, b in itertools.pairwise(found)))
        figure = f"smallest rise {lowest:.5f}, counts 0 to 1000, before a removal, a year and six years after it"
        yield f"one cell more lowers no risk, {primary}", figure, _verdict(lowest >= -1e-4)


def _after_removal() -> Iterator[Row]:
    """Hazard ratios of a cell against none, of studies that nothing was fitted to."""
    kept_aside = {
        "five years after, 2.6 years on": (5.0, 2.6, "13.1, 4.7 to 36.3", 4.7, 36.3),
        "two years after, 3 years on": (
            2.0,
            3.0,
            "disease-free 2.31, 1.50 to 3.55, death 3.91, 2.04 to 7.52",
            1.5,
            7.52,
        ),
    }
    for what, (since, ahead, published, low, high) in kept_aside.items():
        hazards = []
        for count in (0, 1, 2):
            tube = recurrence.tube(count).tube
            assay = dataclasses.replace(tube.assay, background_per_7_5_ml=FEW_FALSE)
            sample = conditioning.Sample(0.0, dataclasses.replace(tube, assay=assay))
            model = conditioning.build(
                "breast", [sample], Draws(SEED, DRAWS), sex="female", early=True, resected_years=-since
            )
            hazards.append(-math.log1p(-model.risk([ahead])[1][0].mean()))
        one, two = (h / hazards[0] for h in hazards[1:])
        known = "one cell says less than in the study, in which one in 20 women had any"
        figure = f"1 cell {one:.1f}, 2 cells {two:.1f} (published with a cell: {published})"
        yield f"cells after a removal, {what}", figure, _verdict(low <= one <= high and low <= two <= high, known)


if __name__ == "__main__":
    for row in rows():
        sys.stdout.write("  ".join(row) + "\n")
