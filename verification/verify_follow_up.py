"""Whether the intervals of a cohort's follow-up contain the truth: simulated cohorts with a known hazard ratio.

The cohorts are small, as a laboratory's are; some have just the number of deaths below which no ratio is given.
"""

import sys
from pathlib import Path

import numpy as np

from ctcascade import evidence
from ctcascade.study import sheets
from ctcascade.validation import survival

COHORTS = 400
LEVEL = 0.95
HAZARD_RATIO = 1.25  # of a doubling
LAST_MONTH = 36.0
SIZE, MEAN = (float(evidence.load("count_distributions").loc["counts_mcrpc", key]) for key in ("size", "mean"))
ROOT = Path(__file__).parents[1]


def rows() -> list[tuple[str, str, str]]:
    """Return what was checked, what came out, and the verdict."""
    least = sheets.read_study([ROOT / "config" / "config.yaml"], {}).settings.cohort.min_events
    return [*_ratios("of 120 patients", 120, None), *_ratios(f"that end at {least} deaths", 60, least), *_curves()]


def _drawn(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return log2(1 + count), months and death of patients with a constant hazard that the count multiplies."""
    x = np.log2(1 + rng.poisson(rng.gamma(SIZE, MEAN / SIZE, n)))
    times = rng.exponential(1 / (0.02 * HAZARD_RATIO**x))
    until = rng.uniform(6, LAST_MONTH, n)
    return x, np.minimum(times, until), times <= until


def _ratios(name: str, n: int, deaths: int | None) -> list[tuple[str, str, str]]:
    rng = np.random.default_rng([20261122, 700, n])
    held, truth, concordant = 0, _true_concordance(), 0
    for _ in range(COHORTS):
        x, times, died = _drawn(n, rng)
        if deaths is not None:  # analysed on the day of this number of deaths
            last = np.sort(times[died])[deaths - 1]
            died, times = died & (times <= last), np.minimum(times, last)
        found = survival.hazard_ratio(times, died, x, LEVEL)
        held += found.low <= HAZARD_RATIO <= found.high
        if deaths is None:
            limits = survival.concordance(times, died, x, LEVEL, 400, rng)
            concordant += limits.low <= truth <= limits.high
    result = [_verdict(f"hazard ratio of a doubling, {COHORTS} cohorts {name}", held)]
    return result if deaths is not None else [*result, _verdict(f"c-index, {COHORTS} cohorts {name}", concordant)]


def _true_concordance() -> float:
    """Return what the c-index of a very large cohort, censored in the same way, is."""
    rng = np.random.default_rng([20261122, 701])
    x, times, died = _drawn(6000, rng)
    return survival.concordance(times, died, x, LEVEL, 1, rng).estimate


def _curves() -> list[tuple[str, str, str]]:
    rng, months = np.random.default_rng([20261122, 702]), (6.0, 12.0, 24.0)
    held, median = np.zeros(len(months)), 0
    for _ in range(COHORTS):
        times, until = rng.exponential(18 / np.log(2), 60), rng.uniform(12, 48, 60)
        found = survival.kaplan_meier(np.minimum(times, until), times <= until, LEVEL)
        for k, month in enumerate(months):
            point = [p for p in found.curve if p.time_months <= month][-1]
            held[k] += point.low <= 0.5 ** (month / 18) <= point.high
        limits = found.median_low or np.inf, found.median_high or np.inf
        median += limits[0] <= 18 <= limits[1]
    named = [(f"Kaplan-Meier of 60 patients at month {month:g}", int(n)) for month, n in zip(months, held, strict=True)]
    return [_verdict(name, n) for name, n in [*named, ("Kaplan-Meier of 60 patients, median survival", median)]]


def _verdict(name: str, held: int) -> tuple[str, str, str]:
    """Return a row; by chance, fewer than 92 % or more than 98 % of 400 intervals at 95 % hold once in 200."""
    share = held / COHORTS
    verdict = "pass (92-98 %)" if 0.92 <= share <= 0.98 else "fail (92-98 %)"
    return f"coverage of {LEVEL:.0%} limits, {name}, fixed seed", f"{share:.1%}", verdict


if __name__ == "__main__":
    results = rows()
    for row in results:
        print(" | ".join(row))
    sys.exit(int(any(row[-1].startswith("fail") for row in results)))
