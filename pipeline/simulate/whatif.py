"""What would change: the same patient, draws and random numbers under another shedding or another schedule of scans.

    shedding_cut: x, from_years: s   E(u) = (1 - x) E_onward for u > s: a step of the level, with its closed form
    scans_every_years: d             in sight by t counts only from the last scan at or before t on: t -> d floor(t / d)

A lesion in sight at the sample is known at the sample under any schedule. Differences are taken draw by draw, so that
their bands hold only what the scenario changes. What a drug does to shedding, in whom, is not known here: a scenario is
an arithmetic of the model and no advice.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline import documents
from pipeline.errors import Fault, refuse_all
from pipeline.simulate.engine import Cascade
from pipeline.simulate.findings import Imaged
from pipeline.simulate.model import Floats


def read(path: Path) -> dict[str, dict[str, float]]:
    """Return the scenarios of a YAML file, by name.

    Raises
    ------
    InputError
        With every fault of the file.
    """
    faults: list[Fault] = []
    found = documents.read_yaml(path, faults)
    if not faults:
        faults += documents.check(found, documents.schema("what_if"), str(path))
    refuse_all(faults)
    return found


def risk(
    cascade: Cascade, imaged: Imaged | None, scenario: Mapping[str, float], times_years: Sequence[float]
) -> tuple[Floats, Floats]:
    """Return the risks of a scenario as `Cascade.risk` does, given the same findings."""
    changed = cascade
    if "shedding_cut" in scenario:
        ends = (float(scenario.get("from_years", 0.0)), float(scenario["shedding_cut"]))
        changed = replace(cascade, shedding=replace(cascade.shedding, ends=ends))
    every = scenario.get("scans_every_years")
    known = [every * math.floor(time / every + 1e-9) for time in times_years] if every else list(times_years)
    return (replace(imaged, cascade=changed) if imaged else changed).risk(known)


def described(scenario: Mapping[str, float]) -> dict[str, Any]:
    """Return a scenario with all of its keys, None where it leaves something as it is."""
    cut = scenario.get("shedding_cut")
    return {
        "shedding_cut": cut,
        "from_years": None if cut is None else scenario.get("from_years", 0.0),
        "scans_every_years": scenario.get("scans_every_years"),
    }
