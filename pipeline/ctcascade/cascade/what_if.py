"""What would change: the same patient, draws and random numbers under another course of treatment or of scans.

    shedding_cut: x, from_years: s     E(u) = (1 - x) E_onward for u > s: a step of the level, with its closed form
    resection_in_years: s              the same with x = 1: the removal of all that sheds
    therapy, from_years: s, to_years: e
        shedding: x                    E(u) = x E_onward for s < u < e
        growth: y                      lesions grow at y times their pace for s < u < e; dormant cells wake as before
        killing: z                     NK cells kill z times as fast: the pool of cells in the blood, at rest within
                                       hours, falls to 1 / (1 + (z - 1) kappa) of itself, kappa their share of the
                                       clearance, and with it what arrests
    scans_every_years: d               in sight by t counts only from the last scan at or before t: t -> d floor(t / d)

A lesion in sight at the sample is known at the sample under any schedule. Differences are taken draw by draw, so that
their bands hold only what the scenario changes. What a drug does to shedding, growth or killing, and in whom, is not
known here: its class says which rates it may act on, the scenario by how much. It is an arithmetic of the model and no
advice.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ctcascade.cascade.engine import Cascade
from ctcascade.cascade.findings import Imaged
from ctcascade.cascade.model import Floats

Scenario = Mapping[str, Any]


def risk(
    cascade: Cascade, imaged: Imaged | None, scenario: Scenario, times_years: Sequence[float]
) -> tuple[Floats, Floats]:
    """Return the risks of a scenario as `Cascade.risk` does, given the same findings."""
    changed = treated(cascade, scenario)
    every = scenario.get("scans_every_years")
    known = [every * math.floor(time / every + 1e-9) for time in times_years] if every else list(times_years)
    return (replace(imaged, cascade=changed) if imaged else changed).risk(known)


def treated(cascade: Cascade, scenario: Scenario) -> Cascade:
    """Return the cascade under the course of treatment of a scenario."""
    shed, start = cascade.shedding, float(scenario.get("from_years", 0.0))
    if "shedding_cut" in scenario:
        shed = shed.from_then_on(start, 1 - scenario["shedding_cut"])
    if "resection_in_years" in scenario:
        shed = shed.from_then_on(float(scenario["resection_in_years"]), 0.0)
    changed = replace(cascade, shedding=shed)
    return under_therapy(changed, start, float(scenario["to_years"]), scenario) if "therapy" in scenario else changed


def under_therapy(cascade: Cascade, start: float, end: float, rates: Mapping[str, Any]) -> Cascade:
    """Return the cascade of a patient under a therapy, with what is left of ``shedding``, ``growth`` and ``killing``.

    Parameters
    ----------
    start, end : float
        Years after the latest sample; negative before it. The shedding up to it is what the samples say, so that a
        therapy which began before it acts there on the growth only; where it ends after it, the shedding returns to
        what it would have been without.
    """
    more_killing = (rates.get("killing", 1.0) - 1) * cascade.circulation.killed_by[0]
    left = rates.get("shedding", 1.0) / (1 + more_killing)
    shed = cascade.shedding
    if start >= 0:
        shed = shed.from_then_on(start, left, end)
    elif end > 0:
        shed = shed.from_then_on(end, 1 / left)
    return replace(cascade, shedding=shed, pace=cascade.pace.during(start, end, float(rates.get("growth", 1.0))))


def described(scenario: Scenario) -> dict[str, Any]:
    """Return a scenario with all of its keys, None where it leaves something as it is."""
    begins = "shedding_cut" in scenario or "therapy" in scenario
    keys = (
        *("shedding_cut", "resection_in_years", "therapy", "to_years", "shedding", "growth", "killing"),
        "scans_every_years",
    )
    return {
        **{key: scenario.get(key) for key in keys},
        "from_years": scenario.get("from_years", 0.0) if begins else None,
    }
