"""The potency of a cluster, fitted to patients with the mouse's as prior.

A cluster is worth w single cells (potency over the ratio of half-lives). In a tube of c cells the level rises by
``w / c``, and the hazard of spread with the power s of the level. So the hazard ratio of patients with a cluster
against those of the same count without one is ``(1 + w / c)^s``. Studies of such patients give it; the mouse gives
the prior of w, with a factor for what a mouse may say of a patient. The posterior is computed on a grid of ln w.
"""

import math

import numpy as np

from ctcascade import evidence
from ctcascade.data.vocabulary import Z95


def _target(name: str) -> float:
    return float(evidence.load("targets").central[name])


def ratios() -> list[tuple[float, float]]:
    """Return ln of the hazard ratio by clusters at the same count, and its error, of each study."""
    (with_clusters, high, low), (without, high_w, low_w) = (3.32, 6.55, 1.68), (2.21, 4.78, 1.02)  # note of CL03
    error = math.hypot(math.log(high / low), math.log(high_w / low_w)) / (2 * Z95)
    return [
        (0.0, _target("clusters_within_error")),
        (math.log(with_clusters / without), error),
        (0.0, _target("clusters_small_error")),
    ]


def potency() -> tuple[float, float, float]:
    """Return the median and the 95 % limits of the potency."""
    life = evidence.load("parameters").loc["cluster_half_life_ratio"]
    life_sd = math.log(life.high / life.low) / (2 * Z95)
    mouse = evidence.load("targets").loc["mouse_cluster_potency"]
    mouse_sd = math.log(mouse.high / mouse.low) / (2 * Z95)
    ln_w = np.linspace(-3, 9, 4001)
    prior_sd = math.sqrt(mouse_sd**2 + life_sd**2 + _target("mouse_to_patient") ** 2)
    ln_p = -(((ln_w - math.log(mouse.central / life.central)) / prior_sd) ** 2) / 2
    expected = _target("hazard_power") * np.log1p(np.exp(ln_w) / _target("cluster_count"))
    for seen, error in ratios():
        ln_p -= ((expected - seen) / error) ** 2 / 2
    below = np.exp(ln_p - ln_p.max()).cumsum()
    low, median, high = np.interp(np.array([0.025, 0.5, 0.975]) * below[-1], below, ln_w)
    # the range of the half-lives is drawn by itself
    sd = math.sqrt(max(((high - low) / (2 * Z95)) ** 2 - life_sd**2, 0.01))
    centre = median + math.log(life.central)
    return math.exp(centre), math.exp(centre - Z95 * sd), math.exp(centre + Z95 * sd)
