"""Soil of organs and tropism of cancers, fitted to autopsies, and how well each form predicts a cancer left out.

The form, fixed before it was scored: a cancer c of which the share f of patients has lesions in organ o at death has
the hazard ``h = -ln(1 - f)`` (lesions are Poisson), and

    ln h_co = level_c + ln arrival_co + soil_o + tropism_co + noise_co

with arrival from the flow graph at the central parameters (the share of recirculating founders fixed at its prior's
centre), a free level for each cancer, a soil for each organ, and a tropism ~ N(0, sigma^2). The noise is binomial
(delta method, half a case added). Soil by generalised least squares, sigma by restricted likelihood, tropism by its
posterior.

A score leaves each cancer out in turn, predicts its organs without tropism, fits nothing but its level to it, and takes
the binomial log-loss per patient and organ. The null is one organ pattern for all cancers without any flow.
"""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import optimize, stats

from ctcascade import evidence
from ctcascade.cascade import conditioning
from ctcascade.cascade.model import Floats
from ctcascade.cascade.parameters import Centre
from ctcascade.data.vocabulary import ORGANS, OWN_ORGAN, SETTINGS, Z95

NULL, MAIN = "organ_mean", "flow_and_soil"

_OTHER_SITES = ("spleen", "heart", "pancreas", "thyroid", "skin")
_CANCER_OF_ROW = {"lung": "lung_nsclc", "skin": "melanoma"}
_SAME_ROW = {"lung_sclc": "lung_nsclc"}
_NOTES = {
    "lung_nsclc": "the autopsies do not tell the histologies apart",
    "lung_sclc": "the autopsies do not tell the histologies apart",
    "melanoma": "from the row of all skin tumours of the body",
}
_BOOTSTRAPS = 2000


@dataclass(frozen=True)
class Autopsies:
    """Counts and arrivals by cancer (rows) and organ (columns); `known` is false for a cancer's own organ."""

    cancers: NDArray[np.str_]
    n: Floats
    positive: Floats
    arrival: Floats
    known: NDArray[np.bool_]

    @property
    def ln_hazard(self) -> Floats:
        """ln(-ln(1 - f)) with half a case added."""
        return np.log(-np.log1p(-self._share))

    @property
    def variance(self) -> Floats:
        """Of `ln_hazard`, by the delta method."""
        f = self._share
        variance: Floats = f / ((1 - f) * np.log1p(-f) ** 2) / (self.n + 1)
        return variance

    def select(self, rows: NDArray[np.bool_]) -> "Autopsies":
        """Return some of the cancers."""
        return Autopsies(self.cancers[rows], self.n[rows], self.positive[rows], self.arrival[rows], self.known[rows])

    @property
    def _share(self) -> Floats:
        return (self.positive + 0.5) / (self.n + 1)


@dataclass(frozen=True)
class Fit:
    """Level (cancers,), soil (organs,) with its error, tropism (cancers, organs) with its posterior SD, and sigma."""

    level: Floats
    soil: Floats
    soil_se: Floats
    tropism: Floats
    tropism_sd: Floats
    sigma: float


def read_autopsies() -> Autopsies:
    """Return the autopsy table with the arrival of each cancer's cells by the flow graph."""
    table = evidence.load("autopsy")
    named = [str(row).removeprefix("autopsy:") for row in table.index]
    cancers = np.array([_CANCER_OF_ROW.get(name, name) for name in named])
    free = math.prod(1 - table[site] / table.n_autopsies for site in _OTHER_SITES)
    table["other"] = np.round(table.n_autopsies * (1 - free))
    draws = Centre()
    blood = conditioning.blood(draws, "male")
    arrivals = [
        conditioning.arrive(c, ORGANS, blood, draws, sex="male", on=conditioning.SWITCHES).mixed[0] for c in cancers
    ]
    return Autopsies(
        cancers,
        np.repeat(table.n_autopsies.to_numpy(float)[:, None], len(ORGANS), axis=1),
        table[list(ORGANS)].to_numpy(float),
        np.stack(arrivals),
        np.array([[OWN_ORGAN.get(c) != organ for organ in ORGANS] for c in cancers]),
    )


def fit(data: Autopsies, offset: Floats) -> Fit:
    """Return the mixed model ``ln h - offset = level + soil + tropism``, tropism ~ N(0, sigma^2)."""
    rows, cols = np.nonzero(data.known)
    y, v = (data.ln_hazard - offset)[rows, cols], data.variance[rows, cols]
    cancers = len(data.cancers)
    design = np.concatenate([np.eye(cancers)[rows], np.eye(len(ORGANS))[cols][:, 1:]], axis=1)  # soil of the first: 0

    def solve(sigma: float) -> tuple[Floats, Floats, float]:
        weight = 1 / (v + sigma**2)
        information = (design * weight[:, None]).T @ design
        estimate = np.linalg.solve(information, design.T @ (weight * y))
        left = y - design @ estimate
        restricted = np.log(weight).sum() - np.linalg.slogdet(information)[1] - (weight * left**2).sum()
        return estimate, information, float(restricted)

    sigma = float(optimize.minimize_scalar(lambda s: -solve(s)[2], bounds=(1e-3, 3.0), method="bounded").x)
    estimate, information, _ = solve(sigma)
    kept = sigma**2 / (sigma**2 + v)
    tropism, spread = np.zeros(data.n.shape), np.full(data.n.shape, sigma)
    tropism[rows, cols] = kept * (y - design @ estimate)
    spread[rows, cols] = sigma * np.sqrt(1 - kept)
    error = np.sqrt(np.diag(np.linalg.inv(information)))[cancers:]
    soil = np.concatenate([[0.0], estimate[cancers:]])
    return Fit(estimate[:cancers], soil, np.concatenate([[0.0], error]), tropism, spread, sigma)


def forms(data: Autopsies) -> dict[str, tuple[str, Floats, bool]]:
    """Return every form that is scored: its meaning, its offset of ln h, and whether organs differ in soil."""
    arrival = np.log(data.arrival)
    return {
        NULL: ("one organ pattern for every cancer, no flow", np.zeros_like(arrival), True),
        "flow_only": ("flow graph, soil alike everywhere", arrival, False),
        MAIN: ("flow graph and a soil for each organ", arrival, True),
    }


def leave_one_out(data: Autopsies, offset: Floats, with_soil: bool) -> pd.DataFrame:
    """Return log-loss, rank correlation and whether the first organ is right, for each cancer left out."""
    scores = []
    for i, cancer in enumerate(data.cancers):
        rest = np.arange(len(data.cancers)) != i
        soil = fit(data.select(rest), offset[rest]).soil if with_soil else np.zeros(len(ORGANS))
        organs = data.known[i]
        pattern, n, seen = (offset[i] + soil)[organs], data.n[i][organs], data.positive[i][organs]
        named = np.array(ORGANS)[organs] != "other"
        rho = stats.spearmanr(pattern[named], seen[named]).statistic
        right = np.argmax(pattern[named]) == np.argmax(seen[named])
        scores.append((cancer, _loss_at_best_level(pattern, n, seen), rho, int(right)))
    return pd.DataFrame(scores, columns=["cancer", "log_loss", "rho", "right"]).set_index("cancer")


def score_forms(data: Autopsies) -> pd.DataFrame:
    """Return the table of all forms with their gain over the null and its bootstrap interval over cancers."""
    each = {name: leave_one_out(data, offset, soil) for name, (_, offset, soil) in forms(data).items()}
    cancers = len(data.cancers)
    draws = np.random.Generator(np.random.Philox(1)).integers(cancers, size=(_BOOTSTRAPS, cancers))
    rows = []
    for name, scores in each.items():
        gain = (each[NULL].log_loss - scores.log_loss).to_numpy()
        low, high = np.quantile(gain[draws].mean(axis=1), [0.025, 0.975])
        rows.append(
            {
                "id": name,
                "meaning": forms(data)[name][0],
                "log_loss": scores.log_loss.mean(),
                "gain": gain.mean(),
                "gain_low": low,
                "gain_high": high,
                "rho_median": scores.rho.median(),
                "first_organ_right": scores.right.sum(),
                "n_primaries": cancers,
            }
        )
    return pd.DataFrame(rows).round(4)


def organ_table(data: Autopsies, found: Fit) -> pd.DataFrame:
    """Return the rows of the evidence table ``organs``: soil and tropism for every primary of the patient sheet."""
    primaries = [p for p in SETTINGS if p not in ("none", "other")]
    rows = [
        _organ_row(data, found, primary, j)
        for primary in primaries
        for j, organ in enumerate(ORGANS)
        if organ != OWN_ORGAN.get(primary)
    ]
    return pd.DataFrame(rows)


def _organ_row(data: Autopsies, found: Fit, primary: str, j: int) -> dict[str, object]:
    i = int(np.flatnonzero(data.cancers == row_of(primary))[0])
    ln_hazard = found.level[i] + math.log(data.arrival[i, j]) + found.soil[j] + found.tropism[i, j]
    return {
        "id": f"{primary}:{ORGANS[j]}",
        "primary": primary,
        "organ": ORGANS[j],
        "n_autopsies": int(data.n[i, j]),
        "n_positive": int(data.positive[i, j]),
        "share_fitted": round(-math.expm1(-math.exp(ln_hazard)), 4),
        "arrival": round(data.arrival[i, j], 5),
        **_band("ln_soil", found.soil[j], found.soil_se[j]),
        **_band("ln_tropism", found.tropism[i, j], found.tropism_sd[i, j]),
        "kind": "derived",
        "reason": "",
        "reference": "disibio_2008",
        "locator": "figure 1, fitted by calibration.calibrate",
        "how_read": "computed",
        "note": _NOTES.get(primary, ""),
    }


def row_of(primary: str) -> str:
    """Return the cancer of whose autopsies a primary of the patient sheet is read."""
    return _SAME_ROW.get(primary, primary)


def _band(name: str, value: float, sd: float) -> dict[str, float]:
    low, high = value - Z95 * sd, value + Z95 * sd
    return {name: round(value, 4), f"{name}_low": round(low, 4), f"{name}_high": round(high, 4)}


def _loss_at_best_level(pattern: Floats, n: Floats, positive: Floats) -> float:
    """Return the binomial log-loss per patient and organ at the level that suits the row best."""

    def loss(level: float) -> float:
        hazard = np.exp(pattern + level)
        return float((hazard * (n - positive) - positive * np.log(-np.expm1(-hazard))).sum() / n.sum())

    centre = -float(pattern.max())
    return float(optimize.minimize_scalar(loss, bounds=(centre - 12, centre + 6), method="bounded").fun)
