"""The mark that `ctcascade init` leaves where a person has to say something, and its refusal."""

from collections.abc import Iterator, Mapping
from typing import Any

from ctcascade.data.errors import Fault

FILL_IN = "FILL_IN"
"""Stands in a sheet or an assay where the images do not tell."""
_LEFT = f"{FILL_IN}, which `ctcascade init` left for you"


def marked(file: str, at: str, expected: str) -> Fault:
    """Return the fault of a place that is still to be filled in."""
    return Fault(file, at, _LEFT, expected, "fill it in")


def marks_in(file: str, given: Any) -> Iterator[Fault]:
    """Yield a fault where places of a mapping are still to be filled in."""
    places = list(dict.fromkeys(_places(given, "")))
    if places:
        yield marked(file, ", ".join(places), "what it is with your method (config/README.md, Assays)")


def _places(given: Any, at: str) -> Iterator[str]:
    if isinstance(given, Mapping):
        for key, value in given.items():
            yield from _places(value, f"{at}.{key}" if at else str(key))
    elif isinstance(given, list | tuple):
        for value in given:
            yield from _places(value, at)
    elif isinstance(given, str) and FILL_IN in given:
        yield at
