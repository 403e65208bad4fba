"""Text that looks as if it named a person: what should not stand in a sheet or in an image is told before it travels.

No list of rules knows every name. These see what is often left in by oversight: words such as "born" or "MRN", dates on
which an adult may have been born, long record numbers, addresses of electronic mail, a title before a name.
"""

import datetime
import re
from collections.abc import Iterator, Mapping

_LABEL = re.compile(
    r"\b(?:(?P<name>(?:patient|subject|last|first|family|given|sur)[ _-]?name|nachname|vorname|nom|prénom|apellidos?)"
    r"|(?P<birth>born|birth[ _-]?da(?:te|y)|date of birth|d\.?o\.?b|geb(?:oren|urtsdatum)?|n[ée]e|né\(e\))"
    r"|(?P<record>mrn|medical record|record (?:no|number|nr)|hospital (?:no|number)|nhs|ssn|insurance (?:no|number)"
    r"|patient[ _-]?id))\b[ .:=#]+\S",
    re.IGNORECASE,
)
_TITLE = re.compile(
    r"\b(?:Mrs?|Ms|Miss|Mister|Madam|Herr|Frau|Mme|Monsieur|Madame|Signora?|Se[nñ]ora?)\b\.? [^\W\d_a-z]"
)
_MAIL = re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]+")
_INSURANCE = re.compile(r"(?<![\d-])(?:\d{3}-\d{2}-\d{4}|\d{3} \d{3} \d{4})(?![\d-])")
_DAY = re.compile(r"(?<!\d)(?:(\d{4})[-./_]?(\d{2})[-./_]?(\d{2})|(\d{1,2})[-./](\d{1,2})[-./](\d{4}))(?!\d)")
_LONG = re.compile(r"(?<!\d)\d{7,}(?!\d)")
_CARET = re.compile(r"\b[^\W\d_]{2,}\^[^\W\d_]{2,}")
_LABELLED = {"name": "a person's name", "birth": "a day of birth", "record": "a record number"}
_YOUNGEST = 18  # years: nearer days are days of draws, scans and therapies


def suspicions(text: str, today: datetime.date, whole_numbers: bool = True) -> Iterator[str]:
    """Yield what a text seems to hold that may tell who a person is, each kind once, in plain words.

    Parameters
    ----------
    text : str
    today : datetime.date
        A day 18 years or more before it may be a day of birth.
    whole_numbers : bool
        Whether a number of seven digits or more is suspicious, unless it is a day written without marks; in a file's
        metadata such numbers are common.
    """
    kinds = dict.fromkeys(_LABELLED[match.lastgroup] for match in _LABEL.finditer(text) if match.lastgroup)
    days = {match.group(): _day(match) for match in _DAY.finditer(text)}
    if any(day is not None and day.year <= today.year - _YOUNGEST for day in days.values()):
        kinds["a day of birth"] = None
    if _TITLE.search(text) or _CARET.search(text):
        kinds["a person's name"] = None
    if _MAIL.search(text):
        kinds["an address of electronic mail"] = None
    numbers = [number for number in _LONG.findall(text) if days.get(number) is None]
    if _INSURANCE.search(text) or (whole_numbers and numbers):
        kinds["a record number"] = None
    yield from kinds


def in_rows(sheet: str, rows: Mapping[str, object], columns: tuple[str, ...]) -> Iterator[str]:
    """Yield a note for each cell of some columns of a sheet's rows (by name) that seems to tell who a person is."""
    today = datetime.date.today()
    for name, row in rows.items():
        for column in columns:
            given = getattr(row, column) or ""
            for kind in suspicions(given if isinstance(given, str) else ";".join(given), today):
                yield f"{sheet}: {name}, {column} looks like {kind}; use a pseudonym and leave such things out"


def _day(match: re.Match[str]) -> datetime.date | None:
    year, month, day, first, second, last = match.groups()
    for parts in ((year, month, day), (last, second, first), (last, first, second)):
        try:
            found = datetime.date(*(int(part or 0) for part in parts))
        except ValueError:
            continue
        return found if found.year >= 1900 else None
    return None
