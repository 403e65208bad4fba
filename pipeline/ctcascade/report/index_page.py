"""What the cohort's index shows, as plain data: a row a patient, with a small line of its counts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from ctcascade.report.axes import Axis, path
from ctcascade.report.page import Result

PROGNOSIS_WORDS = {
    "ok": "curve of published groups",
    "relative_only": "relative statements only",
    "no_evidence": "none: no evidence",
    "not_applicable": "not applicable",
}


@dataclass(frozen=True)
class Spark:
    """Counts over a patient's draws in a view of 110 x 30: a line, and a dot for each evaluable draw."""

    line: Markup
    dots: list[tuple[float, float]]


@dataclass(frozen=True)
class PatientRow:
    """A patient in the index: the sheet's row, draws by date, the latest evaluable one, cascade and prognosis."""

    about: Mapping[str, Any]
    draws: list[Result]
    latest: Result | None
    cascade: Result
    prognosis: Result
    spark: Spark
    prognosis_words: str


def patient_rows(
    patients: Sequence[Mapping[str, Any]],
    counts: Sequence[Mapping[str, Any]],
    cascades: Sequence[Mapping[str, Any]],
    prognoses: Sequence[Mapping[str, Any]],
) -> list[PatientRow]:
    """Return the patients that have results, in the order of the sheet."""
    road, outlook = ({found["patient"]: found for found in results} for results in (cascades, prognoses))
    rows = []
    for about in patients:
        name = about["patient"]
        if name not in road or name not in outlook:
            continue
        own = sorted((c for c in counts if c["patient"] == name), key=lambda c: (c["collected"], c["sample"]))
        draws = [Result(f"counts/{c['sample']}", c) for c in own]
        measured = [d for d in draws if d.data["status"] == "ok"]
        rows.append(
            PatientRow(
                about,
                draws,
                measured[-1] if measured else None,
                Result(f"cascade/{name}", road[name]),
                Result(f"prognosis/{name}", outlook[name]),
                spark([d.data["ctc_per_7_5_ml"]["estimate"] for d in measured]),
                PROGNOSIS_WORDS[outlook[name]["status"]],
            )
        )
    return rows


def spark(values: Sequence[float]) -> Spark:
    """Return a small line of counts on a scale from zero to their largest."""
    across, up = Axis(0, max(1, len(values) - 1), 6, 104), Axis(0, max([1.0, *values]), 25, 5)
    dots = [(across(i), up(v)) for i, v in enumerate(values)]
    return Spark(path(dots), dots)
