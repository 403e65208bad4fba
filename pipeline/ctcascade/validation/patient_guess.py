"""Which patient a folder is of, as far as its name tells: never two people as one."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from ctcascade.data.errors import plain
from ctcascade.study.marks import FILL_IN

_LETTERS = str.maketrans(
    {"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "ß": "ss", "ø": "o", "Ø": "O"}
)
_DAY = r"20\d\d[-_.]?(?:0[1-9]|1[0-2])[-_.]?(?:0[1-9]|[12]\d|3[01])"
_TIME = (
    r"(?:tp?|v)\d{1,3}|c\d{1,2}d\d{1,2}|baseline|pre|post|"
    r"(?:draw|visit|day|week|month|time|timepoint|cycle)[_-]?\d{1,3}"
)
_DRAW = re.compile(rf"(?:^|(?<=[A-Za-z0-9])[_-])(?:{_DAY}|{_TIME})$", re.IGNORECASE)
_DAY_FIRST = re.compile(rf"^{_DAY}(?:[_-]|$)")
_PERHAPS_DRAW = re.compile(r"[_-](?:\d{1,2}|[A-Za-z])$")  # a draw of one patient, or one of several patients
_PATIENT = re.compile(r"(?:^|[_-])(?:p|pt|pat|patient|subj|subject|donor|hd)[_-]?\d+$", re.IGNORECASE)
_LONGEST = 60


@dataclass(frozen=True)
class Guessed:
    """Patients, as far as names tell them.

    Attributes
    ----------
    patients : tuple of str
        Of each sample; the mark where a person has to say.
    lines : tuple of str
        Which samples were taken as one patient's, and which were left.
    """

    patients: tuple[str, ...]
    lines: tuple[str, ...]


def patients_of(samples: Sequence[str], folders: Sequence[str]) -> Guessed:
    """Return the patient of each sample: its name without a date or time point, where a number of a patient is left.

    Parameters
    ----------
    samples : sequence of str
        Names of samples.
    folders : sequence of str
        The names on the disk that they are made of; where letters were lost, names that differ may look alike.
    """
    split = [_split(sample, folder) for sample, folder in zip(samples, folders, strict=True)]
    groups: dict[str, list[int]] = {}
    for k, (patient, _) in enumerate(split):
        groups.setdefault(patient, []).append(k)
    patients, lines = list(samples), list[str]()
    for patient, members in groups.items():
        several = len(members) > 1
        left = not patient or (several and any(split[k][1] for k in members))
        for k in members:
            patients[k] = FILL_IN if left else patient
        named = ", ".join(plain(samples[k]) for k in members)
        if left:
            lines.append(f"patient left to fill in: {named}: the names do not tell whether they are of one patient")
        elif several:
            lines.append(f"taken as one patient, {patient}: {named}; give each its own in both sheets if they are not")
    return Guessed(tuple(patients), tuple(lines))


def in_ascii(text: str) -> str:
    """Return text with umlauts and accents spelt in plain letters; others stay."""
    spelt = unicodedata.normalize("NFC", text).translate(_LETTERS)
    return "".join(one for one in unicodedata.normalize("NFKD", spelt) if not unicodedata.combining(one))


def _split(sample: str, folder: str) -> tuple[str, bool]:
    """Return the patient that a name tells (nothing where it is a date or time point alone), and whether in doubt."""
    if len(folder) > _LONGEST or re.search(r"[^A-Za-z0-9._\- ]", in_ascii(folder)):
        return sample, False
    rest = _DAY_FIRST.sub("", sample)
    while (shorter := _DRAW.sub("", rest)) != rest:
        rest = shorter
    if not rest:
        return "", False
    if rest == sample and (shorter := _PERHAPS_DRAW.sub("", rest)) != rest and re.search(r"\d", shorter):
        return shorter, not _PATIENT.search(shorter)
    return (rest, False) if re.search(r"\d", rest) else (sample, False)
