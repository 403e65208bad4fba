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

import numpy as np

from calibration import recurrence
from ctcascade.blood.course import Assay, Tube
from ctcascade.blood.factors import Factor
from ctcascade.blood.population import population_of
from ctcascade.blood.seen import Seen
from ctcascade.cascade import conditioning
from ctcascade.cascade.after_removal import EDGES_YEARS, AfterRemoval, ByLesions, Late, first_lesion
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
        for part in (_one_day, _around_an_operation, _no_blood, _order, _two_assays, _after_removal)
        for what, figure, verdict in part()
    ]


def _assay(name: str) -> Assay:
    read = read_assay(Path(__file__).parents[1] / "config" / "assays" / f"{name}.yaml", [])
    assert read is not None
    factors = (read.recovery, read.sensitivity, read.background_per_7_5_ml)
    return Assay(*(Factor(f.mean, f.low, f.high) for f in factors))


def _tube(
    count: int,
    exposure: float = 1.0,
    age_years: float = 0.0,
    after: tuple[str, ...] = (),
    assay: str = "cellsearch",
) -> conditioning.Sample:
    return conditioning.Sample(age_years, Tube(Seen(count), exposure, _assay(assay)), after=after)


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


def _two_assays() -> Iterator[Row]:
    """Tubes of one day by two assays that contradict each other: none in 7.5 mL of one, n in 1 mL of the other."""
    none = _tube(0)
    found = {n: _risks(none, _tube(n, 1 / 7.5, assay="hdsca"))[0] for n in (0, 1, 5, 10, 50, 100, 200, 1000)}
    alone = _risks(_tube(200, 1 / 7.5, assay="hdsca"))[0]
    lowest = min(b - a for a, b in itertools.pairwise(found.values()))
    figure = ", ".join(f"{risk:.3f}" for risk in found.values())
    figure = f"{figure} with 0, 1, 5, 10, 50, 100, 200, 1000 cells in 1 mL, {alone:.3f} by 200 alone "
    figure += "(before .169, .171, .170, .169, .169, ., .171, . and .802)"
    yield "no cells by one assay, n by another", figure, _verdict(lowest >= -1e-9 and found[200] > alone - 0.1)
    for what, assays in (("cellsearch, then n by hdsca", ("cellsearch", "hdsca")), ("hdsca, then n by cellsearch", ())):
        first, second = assays or ("hdsca", "cellsearch")
        found = {
            n: _risks(_tube(5, age_years=0.1, assay=first), _tube(n, 1 / 7.5, assay=second))[0]
            for n in (0, 1, 2, 5, 20, 100, 1000)
        }
        lowest = min(b - a for a, b in itertools.pairwise(found.values()))
        figure = f"smallest rise {lowest:.5f}, from {found[0]:.3f} to {found[1000]:.3f} (before it fell by .028)"
        yield f"one cell more lowers no risk, 5 by {what}", figure, _verdict(lowest >= -1e-9)


def _after_removal() -> Iterator[Row]:
    """Hazard ratios of a cell or more against none, of studies that nothing was fitted to, in their volume of blood."""
    kept_aside = {
        "7.5 mL five years after, 2.6 years on": (5.0, 2.6, 1.0, {"published": (13.1, 4.7, 36.3)}),
        "30 mL two years after, 3 years on": (
            *(2.0, 3.0, 4.0),
            {"published, death": (3.91, 2.04, 7.52), "published, disease-free": (2.31, 1.5, 3.55)},
        ),
        "30 mL a week after, 3 years on": (0.02, 3.0, 4.0, {}),
    }
    for what, (since, ahead, tubes, published) in kept_aside.items():
        drawn = _drawn_patients(since, ahead, tubes)
        hazards = {}
        for count in (0, *drawn.shares):
            model = conditioning.build(
                *("breast", [conditioning.Sample(0.0, _late_tube(count, tubes))], Draws(SEED, DRAWS)),
                **{"sex": "female", "early": True, "resected_years": -since},
            )
            hazards[count] = -math.log1p(-model.risk([ahead])[1][0].mean())
        ratios = {count: hazards[count] / hazards[0] for count in drawn.shares}
        any_cell = sum(share * ratios[count] for count, share in drawn.shares.items())
        by_count = ", ".join(f"{ratio:.1f}" for ratio in ratios.values())
        figure = (
            f"{any_cell:.1f} on the page's risks ({by_count} with 1, 2, 4, 12 cells), {drawn.ratio:.1f} in patients "
            f"drawn from the model, {100 * drawn.with_a_cell:.1f} % of whom have one"
        )
        name = f"a cell or more after a removal, {what}"
        for end_point, (middle, low, high) in published.items():
            inside = _verdict(low <= any_cell <= high, f"too {'high' if any_cell > high else 'low'}")
            yield f"{name}: {end_point}", f"{figure} ({middle}, {low} to {high})", inside
        if not published:
            yield name, f"{figure} (not significant in two series, no interval)", "skipped: nothing to be judged by"


@dataclasses.dataclass(frozen=True)
class _Drawn:
    """Patients drawn from the model: share with a cell, the numbers among these, and their hazard ratio."""

    with_a_cell: float
    shares: dict[int, float]
    ratio: float


def _drawn_patients(since: float, ahead: float, tubes: float, times: int = 20) -> _Drawn:
    """Draw patients without known spread some years after a removal, look into their blood, and follow them up."""
    draws, population = Draws(SEED, DRAWS), population_of("breast", "early")
    tube = _late_tube(0, tubes)
    model = conditioning.build(
        *("breast", [conditioning.Sample(0.0, tube)], draws),
        **{"sex": "female", "early": True, "resected_years": -since, "switched_off": ("late_cells",)},
    )
    by_lesions = ByLesions.drawn(draws, population_of("breast", "metastatic"))
    cells = AfterRemoval.of(model, [Late(0.0, (tube,), population)], by_lesions).ln_cells[0]
    marks = np.concatenate([model.clear[None], model.lesions(EDGES_YEARS.tolist())]).sum(axis=2)
    below = first_lesion(marks, model.frailty_shape).cumsum(axis=1)
    begins = np.array([0, 0, *EDGES_YEARS])
    ends = np.array([0, 0, *EDGES_YEARS[1:], math.inf])
    seen_by = np.where(ends <= ahead, 1.0, np.clip((ahead - begins) / (ends - begins + 1e-9), 0.0, 1.0))
    rng = np.random.default_rng(SEED)
    counts, seen = [], []
    for _ in range(times):
        part = (below < rng.random(DRAWS)[:, None] * below[:, -1:]).sum(axis=1).clip(0, cells.shape[1] - 1)
        ln = by_lesions.power * cells[np.arange(DRAWS), part] + by_lesions.ln_shed
        shed = np.exp(ln + by_lesions.ln_shed_sd * rng.standard_normal(DRAWS))
        found = tube.assay.found * (model.ctc + shed) + tube.assay.background_per_7_5_ml.mean
        counts.append(rng.poisson(tubes * np.minimum(found, 1e9)))
        seen.append(seen_by[part])
    n, risk = np.concatenate(counts), np.concatenate(seen)
    limits = {1: (1, 1), 2: (2, 2), 4: (3, 5), 12: (6, math.inf)}
    shares = {k: float(((n >= low) & (n <= high)).sum() / (n > 0).sum()) for k, (low, high) in limits.items()}
    with_one, without = (-math.log1p(-risk[has].mean()) for has in (n > 0, n == 0))
    return _Drawn(float((n > 0).mean()), shares, with_one / without)


def _late_tube(count: int, exposure: float) -> Tube:
    tube = recurrence.tube(count).tube
    assay = dataclasses.replace(tube.assay, background_per_7_5_ml=FEW_FALSE)
    return dataclasses.replace(tube, assay=assay, exposure=exposure)


if __name__ == "__main__":
    for row in rows():
        sys.stdout.write("  ".join(row) + "\n")
