"""Scenarios that a person wants to see beside a patient's risks, read from a YAML file and checked."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from ctcascade.data.errors import Fault, refuse_all
from ctcascade.data.typed import Number, Typed
from ctcascade.study import checking, text_files
from ctcascade.study.patient import ACTS_ON, RATES, Rate


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


Scenarios = Annotated[
    dict[
        str, Annotated[Scenario, Field(description="what changes", examples=["{shedding_cut: 0.5, from_years: 0.25}"])]
    ],
    Field(min_length=1, max_length=20, description="scenarios, each a name and what changes"),
]


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
    return found


def check(path: Path, faults: list[Fault]) -> dict[str, Scenario]:
    """Return the scenarios of a YAML file, and add its faults."""
    wrong: list[Fault] = []
    given = text_files.read_yaml(path, wrong)
    found: dict[str, Scenario] = (None if wrong else checking.check(Scenarios, given, str(path), wrong)) or {}
    wrong += [fault for name, scenario in found.items() for fault in _contradictions(str(path), name, scenario)]
    faults += wrong
    return found


def _contradictions(file: str, name: str, scenario: Scenario) -> Iterator[Fault]:
    if not scenario.model_fields_set:
        todo = "write it like {shedding_cut: 0.5, from_years: 0.25}"
        yield Fault(file, name, "{}", "what changes in this scenario", todo)
    if scenario.therapy is not None:
        yield from _of_therapy(file, name, scenario)
        return
    if scenario.from_years is not None and scenario.shedding_cut is None:
        wanted = "a shedding_cut or a therapy that begins then"
        yield Fault(file, f"{name}, from_years", "nothing that begins", wanted, "add one, or leave it out")
    for key in ("to_years", *RATES):
        if getattr(scenario, key) is not None:
            yield Fault(file, f"{name}, {key}", "no therapy", f"one of {', '.join(ACTS_ON)}", "add therapy: CLASS")


def _of_therapy(file: str, name: str, scenario: Scenario) -> Iterator[Fault]:
    given, allowed = scenario.rates.keys(), ACTS_ON[str(scenario.therapy)]
    if scenario.shedding_cut is not None:
        yield Fault(file, f"{name}, shedding_cut", "a cut beside a therapy", "one of them", "make two scenarios of it")
    if not given or not given <= set(allowed):
        wanted = f"what {scenario.therapy} acts on: {' or '.join(allowed)}"
        found = ", ".join(sorted(given)) or "no rate"
        yield Fault(file, f"{name}, therapy", found, wanted, "say by how much the therapy changes it")
    end = scenario.to_years
    if end is None or end <= (scenario.from_years or 0.0):
        found = "nothing" if end is None else f"{end:g}"
        yield Fault(file, f"{name}, to_years", found, "a time after from_years", "say when the therapy ends")
