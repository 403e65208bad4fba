"""Files of scenarios: what a person wants to see beside a patient's risks, checked before any job starts."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline import documents
from pipeline.errors import Fault, refuse_all

ACTS_ON = {"chemotherapy": ("shedding", "growth"), "targeted": ("shedding", "growth"), "immunotherapy": ("killing",)}
"""The rates that a class of systemic therapy acts on."""
_RATES = ("shedding", "growth", "killing")


def read(path: Path) -> dict[str, dict[str, Any]]:
    """Return the scenarios of a YAML file, by name.

    Raises
    ------
    InputError
        With every fault of the file.
    """
    faults: list[Fault] = []
    found = check(path, faults)
    refuse_all(faults)
    return found


def check(path: Path, faults: list[Fault]) -> dict[str, dict[str, Any]]:
    """Return the scenarios of a YAML file, and add its faults."""
    mine: list[Fault] = []
    found = documents.read_yaml(path, mine)
    if not mine:
        mine += documents.check(found, documents.schema("what_if"), str(path))
    if not mine:
        mine += [fault for name, scenario in found.items() for fault in _contradictions(str(path), name, scenario)]
    faults += mine
    return found


def _contradictions(file: str, name: str, scenario: Mapping[str, Any]) -> Iterator[Fault]:
    if "therapy" in scenario:
        yield from _of_therapy(file, name, scenario)
        return
    if "from_years" in scenario and "shedding_cut" not in scenario:
        wanted = "a shedding_cut or a therapy that begins then"
        yield Fault(file, f"{name}, from_years", "nothing that begins", wanted, "add one, or leave it out")
    for key in ("to_years", *_RATES):
        if key in scenario:
            yield Fault(file, f"{name}, {key}", "no therapy", f"one of {', '.join(ACTS_ON)}", "add therapy: CLASS")


def _of_therapy(file: str, name: str, scenario: Mapping[str, Any]) -> Iterator[Fault]:
    given, allowed = {*_RATES} & scenario.keys(), ACTS_ON[scenario["therapy"]]
    if "shedding_cut" in scenario:
        yield Fault(file, f"{name}, shedding_cut", "a cut beside a therapy", "one of them", "make two scenarios of it")
    if not given or not given <= set(allowed):
        wanted = f"what {scenario['therapy']} acts on: {' or '.join(allowed)}"
        found = ", ".join(sorted(given)) or "no rate"
        yield Fault(file, f"{name}, therapy", found, wanted, "say by how much the therapy changes it")
    end = scenario.get("to_years")
    if end is None or end <= scenario.get("from_years", 0.0):
        found = "nothing" if end is None else f"{end:g}"
        yield Fault(file, f"{name}, to_years", found, "a time after from_years", "say when the therapy ends")
