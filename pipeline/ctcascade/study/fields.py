"""The kinds of field that settings are made of, each with its range and its words."""

from typing import Annotated, Any, Literal

from pydantic import Field

from ctcascade.data.errors import RefusedValueError
from ctcascade.data.typed import Number, Typed, Whole

Level = Annotated[Number, Field(ge=0.5, le=0.999)]
Draws = Annotated[Whole, Field(ge=100, le=1_000_000)]
Seed = Annotated[Whole, Field(ge=0, le=2**63 - 1)]
Length = Annotated[Number, Field(ge=0, le=50)]
Probability = Annotated[Number, Field(gt=0, lt=1)]
Diameter = Annotated[Number, Field(ge=1, le=200, description="a diameter from 1 to 200 um")]
Limit = Annotated[Number | None, Field(ge=0, description="a number from 0 on or null")]
Limits = Annotated[
    tuple[Limit, Limit],
    Field(
        json_schema_extra={"expected": "two limits, [warn, fail], either a number from 0 on or null"},
        examples=["[0.1, 0.5]"],
    ),
]
PlainPath = Annotated[
    str,
    Field(
        pattern=r"^[^@{}*?\x00-\x1f-][^{}*?\x00-\x1f]*$",
        json_schema_extra={"expected": "a path without {, }, * and ?, which starts with neither @ nor -"},
    ),
]
Step = Literal[
    "clusters",
    "unseen_shedding",
    "killer_cells",
    "shear",
    "cloaking",
    "portal_route",
    "first_pass",
    "tropism",
    "dormancy",
    "angiogenesis",
    "frailty",
    "late_cells",
]
"""A step of the model of the cascade that can be switched off."""

FLAG = "true or false"
LENGTH = "a length from 0 to 50 um"
PROBABILITY = "a probability between 0 and 1, neither of them"
LEVEL = "the level of intervals from 0.5 to 0.999"
DRAWS = "a whole number from 100 to 1000000"


def setting(default: Any, expected: str, meaning: str, **limits: Any) -> Any:
    """Return a field: its default, what a fault says was expected, what the setting means, and its limits."""
    return Field(default=default, description=meaning, json_schema_extra={"expected": expected}, **limits)


def limits(warn: float | None, fail: float | None, meaning: str) -> Any:
    """Return a field of two limits, either of which may be None."""
    return Field(default=(warn, fail), description=meaning)


def section(settings: type[Typed], expected: str) -> Any:
    """Return a field for the settings of one stage."""
    meaning = (settings.__doc__ or "").strip().splitlines()[0]
    return Field(default_factory=settings, description=meaning, json_schema_extra={"expected": expected})


def each_once(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """Refuse a step that is named twice."""
    if len(set(steps)) < len(steps):
        raise ValueError("a step twice")
    return steps


SHARE = "a share from 0 to 1"
UM = "a length above 0 and up to 1000 um"
PIXELS = "a number of pixels above 0 and up to 1000"
ZOOM = "a factor above 0 and up to 100"
CELLS = "a whole number from 1 to 1000000"


def share(default: float, meaning: str) -> Any:
    """Return the field of a share."""
    return setting(default, SHARE, meaning, ge=0, le=1)


def length(default: float, meaning: str) -> Any:
    """Return the field of a length in um."""
    return setting(default, UM, meaning, gt=0, le=1000)


WIDTH = "a width above 0 and up to 10"


def width(default: float, of: str) -> Any:
    """Return the field of a gate's width, in the unit that the gate is compared in."""
    return setting(default, WIDTH, f"Width of the gate's step: of {of}.", gt=0, le=10)


FROM_ZERO = "a number from 0 to 1000"
POSITIVE = "a number above 0 and up to 1000"
LN_RATIO = "a number from -20 to 20"


def all_different(numbers: tuple[int, ...]) -> tuple[int, ...]:
    """Refuse a number that is given twice."""
    twice = next((n for n in numbers if numbers.count(n) > 1), None)
    if twice is not None:
        raise RefusedValueError((f"{twice} twice", "each number once", "leave one out"))
    return numbers
