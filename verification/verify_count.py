"""Do the intervals of `count` hold the truth as often as they say? 2,000 samples a stratum, drawn cell by cell.

The simulator below is independent: it draws cells, loses them one by one and adds false calls, and shares no code with
the package. The true concentration is fixed for a sample, the assay's factors are drawn for each from the distributions
whose mean and 95 % limits the package is given. A row that breaks the model's own assumptions says so, and what it
misses is printed as a miss.
"""

import math
import sys
from collections.abc import Callable
from functools import cache

import numpy as np
from scipy import stats

from ctcascade.counting.observation import Factor, Observation, change

N = 2000
VOLUMES_ML = (2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0)
IMAGED = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
RECOVERY, SENSITIVITY = stats.beta(9.0, 2.3), stats.beta(13.0, 1.5)
BACKGROUND = stats.lognorm(s=1.1, scale=0.1)
REFERENCE_RECOVERY = stats.beta(9.0, 2.3)

SPREAD = math.sqrt(6.0)  # of ln odds in doubt

Draw = Callable[[np.random.Generator], float]
STRATA: dict[str, Draw] = {
    "0": lambda rng: 0.0,
    "above 0, below 1": lambda rng: rng.uniform(0, 1),
    "1-4": lambda rng: rng.uniform(1, 5),
    "5-14": lambda rng: rng.uniform(5, 15),
    "15-49": lambda rng: rng.uniform(15, 50),
    "50-1000": lambda rng: float(np.exp(rng.uniform(np.log(50), np.log(1000)))),
}


def rows() -> list[tuple[str, str, str]]:
    """Return what was checked, what came out, and the verdict."""
    return [*_coverage(), *_cluster_coverage(), *_in_doubt(), *_calibration(), *_type_one()]


def _in_doubt() -> list[tuple[str, str, str]]:
    """Count tubes whose cells have odds, beside few and many look-alikes, by odds and by the calls alone.

    ln odds are normal with the variance twice the mean, so that they are the ratio of the two densities.
    """
    mean_ln, n = 3.0, N // 5
    result = []
    for look_alikes in (1.0, 10.0):
        for stratum, (label, draw) in enumerate(STRATA.items()):
            if label.startswith("50"):
                continue
            rng = np.random.default_rng([20261130, int(look_alikes), stratum])
            held, above, below = {"by odds": 0, "by calls": 0}, 0, 0
            for _ in range(n):
                truth = draw(rng)
                seen, _, _ = _sample(rng, truth, blood=(7.5, 1.0))
                others = rng.poisson(rng.exponential(look_alikes))
                ln = np.append(rng.normal(mean_ln, SPREAD, seen), rng.normal(-mean_ln, SPREAD, others))
                p = (1 / (1 + np.exp(-ln))).round(2)
                candidates = tuple((float(v), int((p == v).sum())) for v in np.unique(p[p > 0]))
                for how, known in (("by odds", candidates), ("by calls", ())):
                    found = Observation(7.5, 1.0, 1.0, *FACTORS, None, known).interval(int((p >= 0.5).sum()), 0.95)
                    held[how] += found.low <= truth <= found.high
                    if known:
                        above, below = above + (found.high < truth), below + (found.low > truth)
            share = {how: k / n for how, k in held.items()}
            good = _two_sided(share["by odds"], above / n, below / n, n, few=label in ("0", "above 0, below 1"))
            figure = (
                f"{share['by odds']:.3f} (0.93 to 0.97; truth above {above / n:.3f}, below {below / n:.3f}; the calls "
                f"alone: {share['by calls']:.3f}), n {n}"
            )
            result.append((f"95 % of counts in doubt, {label} CTCs, {look_alikes:g} look-alikes", figure, good))
    return result


def _two_sided(covered: float, above: float, below: float, n: int, *, few: bool) -> str:
    """Judge the coverage from both sides, and each end of the interval alone; of few cells the lower end cannot fail.

    At a truth of zero the lower limit is always at or above it, so that only "below" says whether look-alikes pass for
    cells: at most 7 % there.
    """
    noise = 3 * math.sqrt(0.05 / n)
    if covered < 0.93 - noise or above > 0.05 + noise or below > 0.05 + noise:
        return "fail"
    if covered <= 0.97 + noise:
        return "pass"
    return "known miss: above 97 %; at so few cells the interval nearly always begins at 0" if few else "fail"


def _factor(values: np.ndarray) -> Factor:
    low, high = np.quantile(values, [0.025, 0.975])
    return Factor(float(values.mean()), float(low), float(high))


def _stated(distribution: stats.rv_continuous) -> Factor:
    low, high = distribution.ppf([0.025, 0.975])
    return Factor(float(distribution.mean()), float(low), float(high))


_POINTS = (np.arange(200_000) + 0.5) / 200_000
_RATIO = RECOVERY.ppf(_POINTS) / np.random.default_rng(1).permutation(REFERENCE_RECOVERY.ppf(_POINTS))
FACTORS = (_stated(RECOVERY), _stated(SENSITIVITY), _stated(BACKGROUND), _factor(_RATIO))


def _tubes(cv: float) -> Factor:
    """Return how a laboratory would state tubes that vary by `cv`."""
    shape = stats.gamma(1 / cv**2, scale=cv**2)
    return Factor(1.0, float(shape.ppf(0.025)), float(shape.ppf(0.975)))


@cache
def _interval(count: int, volume_ml: float, imaged: float, stated_cv: float) -> tuple[float, float]:
    tubes = _tubes(stated_cv) if stated_cv else None
    found = Observation(volume_ml, 1.0, imaged, *FACTORS, tubes).interval(count, 0.95)
    return found.low, found.high


@cache
def _cluster_interval(count: int, volume_ml: float, imaged: float) -> tuple[float, float]:
    recovery, sensitivity, _, _ = FACTORS
    found = Observation(volume_ml, 1.0, imaged, recovery, sensitivity, Factor(0.0, 0.0, 0.0)).interval(count, 0.95)
    return found.low, found.high


def _sample(
    rng: np.random.Generator,
    truth: float,
    cv: float = 0.0,
    shift: float = 0.0,
    *,
    blood: tuple[float, float] | None = None,
) -> tuple[int, float, float]:
    """Draw one sample: the calls on its slide, its volume, its imaged share."""
    volume, imaged = blood or (float(rng.choice(VOLUMES_ML)), float(rng.choice(IMAGED)))
    scatter = rng.gamma(1 / cv**2, cv**2) if cv else 1.0
    cells = rng.poisson(truth * volume / 7.5 * scatter)
    recovery = np.clip(RECOVERY.rvs(random_state=rng) + shift * RECOVERY.std(), 0.0, 1.0)
    for share in (recovery, imaged, SENSITIVITY.rvs(random_state=rng)):
        cells = rng.binomial(cells, share)
    false = rng.poisson(BACKGROUND.rvs(random_state=rng) * volume / 7.5)
    return int(cells + rng.binomial(false, imaged)), volume, imaged


def _coverage() -> list[tuple[str, str, str]]:
    # name, variation between tubes, shift of the recoveries from the stated ones, stated variation between tubes
    worlds = [("", 0.0, 0.0, 0.0)]
    worlds += [(f", tubes vary by CV {cv:g}, which is stated", cv, 0.0, cv) for cv in (0.14, 0.7)]
    worlds += [(f", tubes vary by CV {cv:g} more than stated", cv, 0.0, 0.0) for cv in (0.14, 0.7)]
    worlds += [(", CV 0.14 of tubes is stated, and they do not vary", 0.0, 0.0, 0.14)]
    worlds += [(f", recovery one SD {'below' if s < 0 else 'above'} the stated", 0.0, s, 0.0) for s in (-1.0, 1.0)]
    result = []
    for world, (name, cv, shift, stated) in enumerate(worlds):
        for stratum, (label, draw) in enumerate(STRATA.items()):
            rng = np.random.default_rng([20261122, world, stratum])
            below = above = 0
            for _ in range(N):
                truth = draw(rng)
                low, high = _interval(*_sample(rng, truth, cv, shift), stated)
                below, above = below + (high < truth), above + (low > truth)
            covered = 1 - (below + above) / N
            text = f"{covered:.1%} (truth above {below / N:.1%}, below {above / N:.1%})"
            outside = (
                cv != stated or shift != 0 or cv > 0.5
            )  # tubes are drawn from a Gamma, which is far from a lognormal then
            result.append((f"coverage of 95 %, true count {label}{name}", text, _covers(covered, label, outside)))
    return result


def _cluster_coverage() -> list[tuple[str, str, str]]:
    """Clusters, each lost or found as one object and never called falsely, as the package takes them to be."""
    result = []
    for stratum, label in enumerate(("0", "above 0, below 1", "1-4", "5-14", "15-49")):
        rng = np.random.default_rng([20261122, 300, stratum])
        covered = 0
        for _ in range(N):
            truth, volume, imaged = STRATA[label](rng), float(rng.choice(VOLUMES_ML)), float(rng.choice(IMAGED))
            clusters = rng.poisson(truth * volume / 7.5)
            for share in (RECOVERY.rvs(random_state=rng), imaged, SENSITIVITY.rvs(random_state=rng)):
                clusters = rng.binomial(clusters, share)
            low, high = _cluster_interval(int(clusters), volume, imaged)
            covered += low <= truth <= high
        share = covered / N
        row = f"coverage of 95 %, true clusters {label}, each lost as one cell is"
        result.append((row, f"{share:.1%}", _covers(share, label, False)))
    return result


def _covers(covered: float, stratum: str, outside_the_model: bool) -> str:
    if 0.93 <= covered <= 0.97:
        return "pass (93-97 %)"
    if covered > 0.97 and stratum in ("0", "above 0, below 1"):
        return "known miss: above 97 %; at so few cells the count is nearly always 0, whose interval holds the truth"
    if outside_the_model:
        return "known miss: the truth is outside the model's assumptions"
    return "fail (93-97 %)"


def _calibration() -> list[tuple[str, str, str]]:
    """Compare the stated probability of k or more with how often a new tube on the reference assay showed it.

    The probability is calibrated in the population that its prior describes; the other rows show the effect of another
    population, and of little blood. The Gamma population is a fit to published counts in metastatic breast cancer.
    """
    result = []
    for k in (1, 2, 3, 5, 15, 50):
        # up to 40 k, so that the end of the simulated population is out of reach of any count that leaves k in doubt
        worlds: list[tuple[str, Draw, tuple[float, float] | None]] = [
            ("spread as the prior supposes", lambda rng, k=k: 40 * k * rng.uniform() ** 2, None),
            ("Gamma, shape 0.36, mean 12; 7.5 mL, all imaged", lambda rng: rng.gamma(0.36, 12 / 0.36), (7.5, 1.0)),
            ("Gamma, shape 0.36, mean 12; 2-30 mL", lambda rng: rng.gamma(0.36, 12 / 0.36), None),
        ]
        for world, (name, draw, blood) in enumerate(worlds):
            rng = np.random.default_rng([20261122, 100, k, world])
            size = N if world else 4 * N
            truths = [draw(rng) for _ in range(size)]
            stated = np.array([_p_at_least(k, *_sample(rng, truth, blood=blood)) for truth in truths])
            recovered = REFERENCE_RECOVERY.rvs(size, random_state=rng)
            shown = rng.binomial(rng.poisson(truths), recovered) >= k
            text, verdict = _gaps(stated, shown, own_population=world == 0)
            result.append((f"P(reference count >= {k}), true counts {name}", text, verdict))
    return result


def _gaps(stated: np.ndarray, shown: np.ndarray, own_population: bool) -> tuple[str, str]:
    texts, worst = [], 0.0
    for low, high in ((0, 0.2), (0.2, 0.5), (0.5, 0.8), (0.8, 1.01)):
        inside = (stated >= low) & (stated < high)
        if inside.sum() < 50:
            continue
        gap = shown[inside].mean() - stated[inside].mean()
        worst = max(worst, abs(gap) / np.sqrt((stated * (1 - stated))[inside].sum()) * inside.sum())
        texts.append(f"{gap:+.3f}")
    text = (
        f"stated {stated.mean():.3f}, shown {shown.mean():.3f}; shown minus stated in four classes {', '.join(texts)}"
    )
    if worst <= 3.5:  # in one of 24 classes of the prior's own population: a false alarm in 1 of 90 runs
        return text, "pass (each class within 3.5 standard errors)"
    return text, "fail (3.5 standard errors)" if own_population else "known miss: another population than the prior's"


@cache
def _p_at_least(k: int, count: int, volume_ml: float, imaged: float) -> float:
    return Observation(volume_ml, 1.0, imaged, *FACTORS).reference(count).p_at_least(k)


def _type_one() -> list[tuple[str, str, str]]:
    """Count how often two tubes of one concentration are called changed."""
    result = []
    for cv, allowed in ((0.0, 0.0), (0.14, 0.0), (0.14, 0.14)):
        for first_ml, second_ml in ((7.5, 7.5), (7.5, 5.0)):
            shares = []
            for rate in (2, 5, 10, 30, 100):
                rng = np.random.default_rng([20261122, 200, int(100 * cv), int(100 * allowed), int(second_ml), rate])
                tubes = [[_tube(rng, rate * ml / 7.5, cv) for ml in (first_ml, second_ml)] for _ in range(N)]
                shares.append(np.mean([_changed(x, first_ml, y, second_ml, allowed) for x, y in tubes]))
            verdict = "pass (at most 5 % within 3 standard errors)"
            if max(shares) > 0.05 + 3 * np.sqrt(0.05 * 0.95 / N):
                verdict = "known miss: the variation is not allowed for" if cv > allowed else "fail (at most 5 %)"
            what = f"type-I error of the change test, {first_ml:g} and {second_ml:g} mL, tubes vary by CV {cv:g}"
            text = ", ".join(f"{share:.1%}" for share in shares) + " at true counts 2, 5, 10, 30, 100"
            result.append((f"{what}, allowed for {allowed:g}", text, verdict))
    return result


def _tube(rng: np.random.Generator, mean: float, cv: float) -> int:
    return int(rng.poisson(mean * (rng.gamma(1 / cv**2, cv**2) if cv else 1.0)))


@cache
def _changed(first: int, first_ml: float, second: int, second_ml: float, allowed: float) -> bool:
    return "established" in change(first, first_ml, second, second_ml, assay_cv=allowed).verdict


if __name__ == "__main__":
    found = rows()
    for row in found:
        print(" | ".join(row))
    sys.exit(int(any(row[-1].startswith("fail") for row in found)))
