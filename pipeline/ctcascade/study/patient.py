"""A patient as the sheet describes them; the text of imaging and of therapies is read here and nowhere else."""

import datetime
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from ctcascade.data.errors import Fault, RefusedValueError, plain
from ctcascade.data.typed import Name, Number, Typed, Whole
from ctcascade.data.vocabulary import IMAGING, NOT_METASTATIC, ORGANS, SETTINGS, STAGE_IV_WITHOUT_SPREAD, SUBTYPES
from ctcascade.study.checking import nearest, not_one_of
from ctcascade.study.primaries import not_a_primary
from ctcascade.study.text_files import Row

Rate = Literal["shedding", "growth", "killing"]
RATES: tuple[Rate, ...] = ("shedding", "growth", "killing")
ACTS_ON: dict[str, tuple[Rate, ...]] = {
    "chemotherapy": ("shedding", "growth"),
    "targeted": ("shedding", "growth"),
    "immunotherapy": ("killing",),
}
"""The rates that a class of systemic therapy acts on."""
_RANGES: dict[Rate, tuple[float, float]] = {"shedding": (0.01, 1.0), "growth": (0.0, 1.0), "killing": (0.0, 100.0)}
_RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))}
_STAGE = re.compile(r"(IV|III|II|I)[ABC]?[1-3]?")
_NUMBER = re.compile(r"[0-9]+([.][0-9]*)?|[.][0-9]+")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def read_day(text: object) -> datetime.date:
    """Return the day of the calendar that text names as YYYY-MM-DD; raise ValueError where it names none."""
    if isinstance(text, datetime.date):
        return text
    if not isinstance(text, str) or not _DAY.fullmatch(text):
        raise ValueError(text)
    return datetime.date.fromisoformat(text)


def _day_since_1970(text: object) -> datetime.date:
    return _within(read_day(text), 1970)


def _day_since_1900(text: object) -> datetime.date:
    return _within(read_day(text), 1900)


def _within(day: datetime.date, earliest_year: int) -> datetime.date:
    if not earliest_year <= day.year <= 2099:
        raise ValueError(day)
    return day


Day = Annotated[
    datetime.date,
    BeforeValidator(_day_since_1970),
    Field(description="a day of the calendar from 1970 on, written YYYY-MM-DD", examples=["2026-05-01"]),
]
DayOfDiagnosis = Annotated[
    datetime.date,
    BeforeValidator(_day_since_1900),
    Field(description="a day of the calendar from 1900 on, written YYYY-MM-DD", examples=["2025-11-30"]),
]


class Scan(Typed):
    """What one scan found in one organ."""

    date: datetime.date
    modality: str
    organ: str
    lesions: int


class Therapy(Typed):
    """A systemic therapy: its class, its days (no end: it goes on), and what is left of each rate."""

    kind: str
    start: datetime.date
    end: datetime.date | None
    rates: dict[Rate, float]

    @property
    def holds_back(self) -> tuple[str, ...]:
        """What it holds back, so that its end alone raises a risk: of shedding and growth, and more killing."""
        held = [rate for rate in ("shedding", "growth") if self.rates.get(rate, 1.0) < 1]
        return (*held, "killing") if self.rates.get("killing", 1.0) > 1 else tuple(held)


def read_imaging(text: str) -> tuple[Scan, ...]:
    """Return the findings that a cell names (``2026-05-01:CT:liver=2,lung=0;...``), the earliest first.

    Spaces beside the marks mean nothing.

    Raises
    ------
    RefusedValueError
        If the text is not of this form, names an organ twice in a scan, or a modality that is not known.
    """
    try:
        found = [finding for scan in _parts(text) for finding in _read_scan(scan)]
    except ValueError:
        wanted = "DATE:MODALITY:ORGAN=LESIONS,... with organs of " + ", ".join(ORGANS)
        raise RefusedValueError((plain(text), wanted, "write it like 2026-05-01:CT:liver=2,lung=0")) from None
    unknown = dict.fromkeys(scan.modality for scan in found if scan.modality not in IMAGING)
    if unknown:
        wanted = "one of " + ", ".join(IMAGING)
        raise RefusedValueError(
            *((plain(word), wanted, nearest(word, IMAGING, "choose one of them")) for word in unknown)
        )
    return tuple(sorted(found, key=lambda scan: (scan.date, scan.modality, scan.organ)))


def _parts(text: str) -> list[str]:
    """Return what stands between ``;``; one at the end adds nothing."""
    parts = text.split(";")
    return parts if parts[-1].strip() or len(parts) == 1 else parts[:-1]


def _read_scan(text: str) -> list[Scan]:
    day, modality, organs = (word.strip() for word in text.split(":"))
    date, spelt = read_day(day), modality.replace(" ", "_").casefold()
    known = {name.casefold(): name for name in IMAGING}
    lesions = [(organ.strip(), n.strip()) for organ, _, n in (part.partition("=") for part in organs.split(","))]
    if len(dict(lesions)) < len(lesions):
        raise ValueError(organs)
    for organ, n in lesions:
        if organ not in ORGANS or not (n.isascii() and n.isdigit() and len(n) <= 3):
            raise ValueError(organ)
    return [Scan(date=date, modality=known.get(spelt, modality), organ=organ, lesions=int(n)) for organ, n in lesions]


def read_therapies(text: str) -> tuple[Therapy, ...]:
    """Return the therapies that a cell names (``CLASS:START:END:RATE=VALUE,...;...``), the earliest first.

    END and the rates may be empty; spaces beside the marks mean nothing.

    Raises
    ------
    RefusedValueError
        If the text is not of this form, a therapy ends before it starts, or a rate is not one that the class acts on
        or out of its range.
    """
    try:
        found = [_read_therapy(part) for part in _parts(text)]
    except RefusedValueError:
        raise
    except ValueError:
        acts = "; ".join(f"{kind} on {', '.join(rates)}" for kind, rates in ACTS_ON.items())
        wanted = f"CLASS:START:END:RATE=VALUE,... with {acts}; shedding and growth up to 1"
        todo = "write it like chemotherapy:2026-05-20:2026-08-20:shedding=0.4,growth=0.4"
        raise RefusedValueError((plain(text), wanted, todo)) from None
    return tuple(sorted(found, key=lambda therapy: therapy.start))


def _read_therapy(text: str) -> Therapy:
    kind, first, last, *more = (word.strip() for word in text.split(":"))
    stated = [_read_rate(rate, kind) for rate in ",".join(more).split(",") if rate]
    rates = dict(stated)
    start, end = read_day(first), read_day(last) if last else None
    if kind not in ACTS_ON or len(more) > 1:
        raise ValueError(text)
    if len(rates) < len(stated):
        raise RefusedValueError((plain(text), "each rate once", "keep the value that holds"))
    if end and end <= start:
        raise RefusedValueError((plain(text), f"an end after the start, {start}", "fix one of the two days"))
    return Therapy(kind=kind, start=start, end=end, rates=rates)


def _read_rate(text: str, kind: str) -> tuple[Rate, float]:
    name, _, value = (word.strip() for word in text.partition("="))
    for rate in (rate for rate in ACTS_ON.get(kind, ()) if rate == name):
        low, high = _RANGES[rate]
        if not _NUMBER.fullmatch(value) or not low <= float(value) <= high:
            wanted = f"{name} from {low:g} to {high:g}, with a decimal point"
            raise RefusedValueError((plain(text), wanted, f"write what is left, like {name}=0.4"))
        return rate, float(value)
    raise ValueError(text)


def _scans(given: Any) -> Any:
    return read_imaging(given) if isinstance(given, str) else (given or ())


def _therapies(given: Any) -> Any:
    return read_therapies(given) if isinstance(given, str) else (given or ())


def _stage(given: Any) -> Any:
    found = _STAGE.fullmatch(given) if isinstance(given, str) else None
    return found.group(1) if found else given


class Patient(Typed):
    """What a stage may know of a patient: the sheet's row without the outcome."""

    patient: Name = Field(examples=["P1"])
    primary: str = Field(description="the primary tumour (or other, or none)")
    setting: str = Field(default="none", description="the clinical setting (early or metastatic ...)")
    sex: Literal["female", "male"] = Field(description="female or male")
    subtype: str | None = Field(default=None, description="the tumour's subtype")
    stage: Annotated[Literal["I", "II", "III", "IV"], BeforeValidator(_stage)] | None = Field(
        default=None,
        description="the stage of the tumour when the setting began: I, II, III or IV, with or without a sub-stage",
        examples=["IIA"],
    )
    line: Whole | None = Field(
        default=None, ge=1, le=20, description="the line of therapy as a whole number from 1 to 20", examples=["1"]
    )
    therapy_start: Day | None = None
    diagnosed: DayOfDiagnosis | None = None
    resected: Day | None = None
    therapies: Annotated[tuple[Therapy, ...], BeforeValidator(_therapies)] = Field(
        default=(),
        description="CLASS:START:END:RATE=VALUE,...; several with ';' between; END and the rates may be empty",
        examples=["chemotherapy:2026-05-20:2026-08-20:shedding=0.4,growth=0.4"],
    )
    imaging: Annotated[tuple[Scan, ...], BeforeValidator(_scans)] = Field(
        default=(),
        description="DATE:MODALITY:ORGAN=LESIONS,ORGAN=LESIONS; several with ';' between",
        examples=["2026-05-01:CT:liver=2,lung=0"],
    )

    @property
    def interventions(self) -> tuple[tuple[datetime.date, str], ...]:
        """The days on which the level of CTCs changes, in order, and whether by ``removal`` or ``therapy``.

        A removal is one only where it takes all that sheds: in settings without a distant lesion.
        """
        days = {(therapy.start, "therapy") for therapy in self.therapies}
        if self.therapy_start:
            days.add((self.therapy_start, "therapy"))
        if self.resected and self.setting in NOT_METASTATIC:
            days.add((self.resected, "removal"))
        return tuple(sorted(days))

    def interventions_before(self, collected: datetime.date, drawn: str | None) -> tuple[str, ...]:
        """Return the interventions before a sample, words of `vocabulary.INTERVENTIONS` in order.

        Parameters
        ----------
        collected : date
        drawn : str or None
            As in the sample sheet: "after" an intervention of the same day; else it counts as before it.
        """
        before = [
            kind for day, kind in self.interventions if day < collected or (day == collected and drawn == "after")
        ]
        first = "removal" not in before  # the published drop at a removal includes that by the therapy before it
        words = []
        for kind in before:
            words.append("further_therapy" if kind == "therapy" and not first else kind)
            first = first and kind != "therapy"
        return tuple(words)


class PatientRow(Patient):
    """A row of the patient sheet: the patient and what became of them."""

    event: Literal[0, 1] | None = Field(default=None, description="1 (died) or 0 (alive at last contact)")
    time_months: Number | None = Field(
        default=None,
        ge=0,
        le=1200,
        description="a number of months from 0 to 1200, from the first sample to death or last contact",
        examples=["14.5"],
    )

    @property
    def before_outcome(self) -> Patient:
        """The patient without the outcome, which no stage that predicts it may know."""
        return Patient(**{name: getattr(self, name) for name in Patient.model_fields})


def patient_faults(sheet: Path, rows: Sequence[Row[PatientRow]]) -> Iterator[Fault]:
    """Yield what is wrong with the rows beyond each cell: names that clash, words and days that contradict others."""
    yield from faults_of_names(sheet, "patient", rows)
    for row in rows:
        at = f"line {row.line}, {plain(row.text.get('patient'))}"
        yield from _time_faults(str(sheet), at, row.text)
        if row.value:
            yield from _therapy_faults(str(sheet), at, row.value)
        if "primary" in row.text:
            yield from _clinical_faults(str(sheet), at, row.text)


def faults_of_names(sheet: Path, column: str, rows: Sequence[Row[Any]]) -> Iterator[Fault]:
    """Yield names that stand twice in a column, or that no file system can hold."""
    names = [(row.line, row.text[column]) for row in rows if column in row.text]
    times = Counter(name.lower() for _, name in names)
    for line, name in names:
        at = f"line {line}, {column}"
        if times[name.lower()] > 1:  # the results of both would go into one folder where case does not count
            wanted = f"each {column} once, capitals or not"
            yield Fault(str(sheet), at, f"{plain(name)} more than once", wanted, "rename or remove one")
        if name.lower().split(".")[0] in _RESERVED:
            yield Fault(str(sheet), at, name, "a name that every file system can hold", "choose another name")


def _clinical_faults(file: str, at: str, text: dict[str, str]) -> Iterator[Fault]:
    primary, setting, subtype = text["primary"], text.get("setting"), text.get("subtype")
    if primary not in SETTINGS:
        yield not_a_primary(file, f"{at}, primary", primary)
        return
    if setting is None and primary != "none":
        todo = f"name one of {', '.join(SETTINGS[primary])}"
        yield Fault(file, f"{at}, setting", "nothing", f"the clinical setting of {primary}", todo)
    elif setting is not None and setting not in SETTINGS[primary]:
        yield _not_a_setting(file, f"{at}, setting", setting, primary)
    if subtype is not None and subtype not in SUBTYPES.get(primary, ()):
        yield not_one_of(file, f"{at}, subtype", subtype, SUBTYPES.get(primary, ()), f" for {primary}")
    yield from _stage_faults(file, at, primary, setting, text.get("stage"))


_STAGE_FOUR = re.compile(r"(stage[ _-]*)?(iv|4)[abc]?|m1[abc]?", re.IGNORECASE)


def _not_a_setting(file: str, at: str, setting: str, primary: str) -> Fault:
    """Return the fault of a word that is no setting of a tumour; a stage IV leads to the word for distant spread."""
    fault = not_one_of(file, at, setting, SETTINGS[primary], f" for {primary}")
    if not _STAGE_FOUR.fullmatch(setting) or "metastatic" not in SETTINGS[primary] or primary == "none":
        return fault
    todo = "write metastatic where the tumour has spread to distant organs; the stage has a column of its own, stage"
    return Fault(file, at, fault.found, fault.expected, todo)


_STAGES_IN = {"stage_iii": ("III",), "advanced": ("III", "IV")}


def _in_words(stages: Sequence[str]) -> str:
    return stages[0] if len(stages) == 1 else f"{stages[0]} {'or' if len(stages) < 3 else 'to'} {stages[-1]}"


def _stage_faults(file: str, at: str, primary: str, setting: str | None, stage: str | None) -> Iterator[Fault]:
    """Yield a stage that says of spread the opposite of the setting, or that a donor cannot have."""
    found = _STAGE.fullmatch(stage) if stage else None
    if found and primary == "none":
        yield Fault(file, f"{at}, stage", str(stage), "no stage for a donor without a tumour", "empty the cell")
        return
    if found is None or setting is None:
        return
    # of some tumours stage IV holds those that are local but large, or in nodes alone: IVB has spread, IVA has not
    may_be_local = setting in NOT_METASTATIC and primary in STAGE_IV_WITHOUT_SPREAD and not str(stage).startswith("IVB")
    possible = _STAGES_IN.get(setting, ("I", "II", "III") if setting in NOT_METASTATIC else ("IV",))
    if found.group(1) not in possible and not (may_be_local and found.group(1) == "IV" and setting != "stage_iii"):
        expected = f"stage {_in_words(possible)} in the setting {setting}"
        yield Fault(
            file, f"{at}, stage", str(stage), expected, "fix one of the two; the stage is that when the setting began"
        )


def _therapy_faults(file: str, at: str, patient: Patient) -> Iterator[Fault]:
    """Yield a therapy that begins before the diagnosis."""
    first = min((therapy.start for therapy in patient.therapies), default=None)
    if first and patient.diagnosed and first < patient.diagnosed:
        wanted = f"a day from the diagnosis on, {patient.diagnosed}"
        yield Fault(file, f"{at}, therapies", str(first), wanted, "fix a date")


def _time_faults(file: str, at: str, text: dict[str, str]) -> Iterator[Fault]:
    """Yield therapy or removal before the diagnosis, and follow-up of which only a half is given."""
    diagnosed = text.get("diagnosed")
    for column in ("therapy_start", "resected"):
        if diagnosed and text.get(column, diagnosed) < diagnosed:  # days written so sort as text
            wanted = f"a day from the diagnosis on, {diagnosed}"
            yield Fault(file, f"{at}, {column}", text[column], wanted, "fix a date")
    if ("event" in text) != ("time_months" in text):
        missing = "time_months" if "event" in text else "event"
        wanted = "event and time_months together"
        yield Fault(file, f"{at}, {missing}", "nothing", wanted, "fill it, or empty the other")
