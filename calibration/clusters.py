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

MOUSE, MOUSE_LIMITS = 34.0, (15.0, 100.0)
"""Founding efficiency of a cluster over that of a single cell, Aceto 2014 and a review."""
_SPECIES_SD = 1.2  # of ln: what holds in a mouse holds in a patient within a factor 10
_CELLS = 10.0  # of a patient with 5 to 19
_POWER = 0.55  # of the level in the hazard: 1.09 at one cell and 6.25 at five or more, about 25 (targets)
_WITHIN = 0.2  # error of ln of the ratio of CL01, which says that there was none: 107 and 175 patients, two strata
_WITHIN_SMALL = 0.33  # of CL04: 52 patients


def ratios() -> list[tuple[float, float]]:
    """Return ln of the hazard ratio by clusters at the same count, and its error, of each study."""
    (with_clusters, high, low), (without, high_w, low_w) = (3.32, 6.55, 1.68), (2.21, 4.78, 1.02)  # note of CL03
    error = math.hypot(math.log(high / low), math.log(high_w / low_w)) / (2 * Z95)
    return [(0.0, _WITHIN), (math.log(with_clusters / without), error), (0.0, _WITHIN_SMALL)]


def potency() -> tuple[float, float, float]:
    """Return the median and the 95 % limits of the potency."""
    life = evidence.load("parameters").loc["cluster_half_life_ratio"]
    life_sd = math.log(life.high / life.low) / (2 * Z95)
    mouse_sd = math.log(MOUSE_LIMITS[1] / MOUSE_LIMITS[0]) / (2 * Z95)
    ln_w = np.linspace(-3, 9, 4001)
    prior_sd = math.sqrt(mouse_sd**2 + life_sd**2 + _SPECIES_SD**2)
    ln_p = -(((ln_w - math.log(MOUSE / life.central)) / prior_sd) ** 2) / 2
    expected = _POWER * np.log1p(np.exp(ln_w) / _CELLS)
    for seen, error in ratios():
        ln_p -= ((expected - seen) / error) ** 2 / 2
    below = np.exp(ln_p - ln_p.max()).cumsum()
    low, median, high = np.interp(np.array([0.025, 0.5, 0.975]) * below[-1], below, ln_w)
    # the range of the half-lives is drawn by itself
    sd = math.sqrt(max(((high - low) / (2 * Z95)) ** 2 - life_sd**2, 0.01))
    centre = median + math.log(life.central)
    return math.exp(centre), math.exp(centre - Z95 * sd), math.exp(centre + Z95 * sd)
