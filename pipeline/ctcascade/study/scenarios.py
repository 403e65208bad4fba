"""Scenarios that a person wants to see beside a patient's risks, and the therapies of the patient sheet, checked."""

import datetime
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import Field

from ctcascade.data.errors import Fault, refuse_all
from ctcascade.data.typed import Number, Typed
from ctcascade.study import text_files
from ctcascade.study.patient import RATES, Rate

ACTS_ON = {"chemotherapy": ("shedding", "growth"), "targeted": ("shedding", "growth"), "immunotherapy": ("killing",)}
"""The rates that a class of systemic therapy acts on."""
_RATES = ("shedding", "growth", "killing")
_RANGES = {"shedding": (0.01, 1.0), "growth": (0.0, 1.0), "killing": (0.0, 100.0)}


class Therapy(NamedTuple):
    """A systemic therapy of a patient: its class, its days (no end: it goes on), and what is left of each rate."""

    kind: str
    start: datetime.date
    end: datetime.date | None
    rates: dict[str, float]


def read_therapies(text: str | None) -> list[Therapy]:
    """Return the therapies of the patient sheet's cell (``CLASS:START:END:RATE=VALUE,...;...``), the earliest first.

    END and the rates may be empty.

    Raises
    ------
    ValueError
        If the text is none, or a rate is not one that the class acts on, or out of its range.
    """
    found = []
    for part in text.split(";") if text else []:
        kind, start, end, *rates = (word.strip() for word in part.split(":"))
        given = dict(_rate(rate, kind) for rate in ",".join(rates).split(",") if rate)
        one = Therapy(kind, _day(start), _day(end) if end else None, given)
        if kind not in ACTS_ON or len(rates) > 1 or (one.end and one.end <= one.start):
            raise ValueError(part)
        found.append(one)
    return sorted(found, key=lambda one: one.start)


def _rate(text: str, kind: str) -> tuple[str, float]:
    name, _, value = (word.strip() for word in text.partition("="))
    if name not in ACTS_ON.get(kind, ()) or not _RANGES[name][0] <= float(value) <= _RANGES[name][1]:
        raise ValueError(text)
    return name, float(value)


def _day(text: str) -> datetime.date:
    if len(text) != 10:
        raise ValueError(text)
    return datetime.date.fromisoformat(text)


def _left(low: float, high: float, meaning: str, example: float) -> Any:
    return Field(default=None, ge=low, le=high, description=meaning, examples=[example])


class Scenario(Typed):
    """What changes in a scenario; None leaves it as it is."""

    shedding_cut: Number | None = _left(
        0, 1, "the share of the shedding that ends, from 0 to 1 (removal of all that sheds)", 0.5
    )
    resection_in_years: Number | None = _left(
        0, 5, "years after the latest sample at which all that sheds is removed, 0 to 5", 0.1
    )
    therapy: Literal["chemotherapy", "targeted", "immunotherapy"] | None = Field(
        default=None,
        description="chemotherapy, targeted (both act on shedding and growth) or immunotherapy (acts on killing)",
        examples=["chemotherapy"],
    )
    from_years: Number | None = _left(
        0, 5, "years after the latest sample from which the cut or the therapy is on, 0 to 5", 0.25
    )
    to_years: Number | None = Field(
        default=None,
        gt=0,
        le=20,
        description="years after the latest sample at which the therapy ends, after its start and up to 20",
        examples=[0.75],
    )
    shedding: Number | None = _left(0, 1, "what is left of it under the therapy, from 0 to 1", 0.4)
    growth: Number | None = _left(0, 1, "what is left of it under the therapy, from 0 to 1", 0.4)
    killing: Number | None = _left(
        0, 100, "how many times as fast NK cells kill CTCs under the therapy, from 0 to 100", 3
    )
    scans_every_years: Number | None = Field(
        default=None,
        gt=0,
        le=5,
        description="years between scans of every organ by its best imaging, the first one that long after the sample",
        examples=[0.5],
    )

    @property
    def rates(self) -> dict[Rate, float]:
        """What is left of each rate under the therapy, as far as the scenario says."""
        given: dict[Rate, float | None] = {name: getattr(self, name) for name in RATES}
        return {name: value for name, value in given.items() if value is not None}


def read(path: Path) -> dict[str, Scenario]:
    """Return the scenarios of a YAML file, by name.

    Raises
    ------
    InputError
        With every fault of the file.
    """
    faults: list[Fault] = []
    found = check(path, faults)
    refuse_all(faults)
    return {name: Scenario.model_validate(scenario) for name, scenario in found.items()}


def check(path: Path, faults: list[Fault]) -> dict[str, dict[str, Any]]:
    """Return the scenarios of a YAML file, and add its faults."""
    mine: list[Fault] = []
    found = text_files.read_yaml(path, mine)
    if not mine:
        mine += text_files.check(found, text_files.schema("what_if"), str(path))
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
