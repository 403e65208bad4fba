"""Faults that the user can fix. Whatever else is raised is a bug and keeps its traceback."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NoReturn

_LONGEST = 120


@dataclass(frozen=True)
class Fault:
    """One fault of one input, with all that is needed to fix it.

    Parameters
    ----------
    file : str
        The file or folder, as the user named it.
    at : str
        Row, column or key inside the file; empty where the file as a whole is meant.
    found, expected, todo : str
        What stands there, what should, and what to do.
    """

    file: str
    at: str
    found: str
    expected: str
    todo: str

    def __str__(self) -> str:
        """Return the fault as one printable line, whatever the input held."""
        where = f"{self.file}: {self.at}" if self.at else self.file
        return plain(f"{where}: found {self.found}; expected {self.expected}; {self.todo}", longest=None)


class RefusedValueError(ValueError):
    """What a validator found wrong with a value: each time what stands there, what should, and what to do."""

    def __init__(self, *faults: tuple[str, str, str]):
        self.faults = faults
        super().__init__("; ".join(found for found, _, _ in faults))


class InputError(Exception):
    """What the user gave cannot be used; carries every fault found, not only the first."""

    def __init__(self, *faults: Fault):
        self.faults: tuple[Fault, ...] = faults
        super().__init__("\n".join(map(str, faults)))


def refuse(file: object, at: str, found: object, expected: str, todo: str) -> NoReturn:
    """Raise an `InputError` with one fault."""
    raise InputError(Fault(str(file), at, plain(found), expected, todo))


def refuse_all(faults: Iterable[Fault]) -> None:
    """Raise one `InputError` with all of `faults`; do nothing when there are none."""
    found: Sequence[Fault] = list(faults)
    if found:
        raise InputError(*found)


def plain(value: object, longest: int | None = _LONGEST) -> str:
    """Return `value` as text that is safe to print on one line: no control or direction marks, not endless."""
    whole = str(value)
    text = whole if longest is None else whole[:longest]
    if not text.isprintable():
        text = "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)
    return text if longest is None or len(whole) <= longest else f"{text}... ({len(whole)} characters)"


def listed(words: Sequence[str]) -> str:
    """Return words as a sentence has them: ``a``, ``a and b``, ``a, b and c``."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))
