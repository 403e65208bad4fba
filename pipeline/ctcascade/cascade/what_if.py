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

from ctcascade.cascade.engine import Cascade
from ctcascade.cascade.findings import Imaged
from ctcascade.cascade.model import Floats
from ctcascade.study.patient import Rate
from ctcascade.study.scenarios import Scenario


def risk(
    cascade: Cascade, imaged: Imaged | None, scenario: Scenario, times_years: Sequence[float]
) -> tuple[Floats, Floats]:
    """Return the risks of a scenario as `Cascade.risk` does, given the same findings."""
    changed = treated(cascade, scenario)
    every = scenario.scans_every_years
    known = [every * math.floor(time / every + 1e-9) for time in times_years] if every else list(times_years)
    return (replace(imaged, cascade=changed) if imaged else changed).risk(known)


def treated(cascade: Cascade, scenario: Scenario) -> Cascade:
    """Return the cascade under the course of treatment of a scenario."""
    shed, start = cascade.shedding, scenario.from_years or 0.0
    if scenario.shedding_cut is not None:
        shed = shed.from_then_on(start, 1 - scenario.shedding_cut)
    if scenario.resection_in_years is not None:
        shed = shed.from_then_on(scenario.resection_in_years, 0.0)
    changed = replace(cascade, shedding=shed)
    if scenario.therapy is None:
        return changed
    return under_therapy(changed, start, scenario.to_years or math.inf, scenario.rates)


def under_therapy(cascade: Cascade, start: float, end: float, rates: Mapping[Rate, float]) -> Cascade:
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
    return replace(cascade, shedding=shed, pace=cascade.pace.during(start, end, rates.get("growth", 1.0)))
