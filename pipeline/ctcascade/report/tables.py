"""The cohort's tables as CSV: exact values, one line a row, and no cell that a spreadsheet would run as a formula."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from ctcascade.data.errors import plain
from ctcascade.report.index_page import PatientRow

Row = dict[str, Any]
FORMULA = ("=", "+", "-", "@")
_NO_INTERVAL = dict.fromkeys(("estimate", "low", "high", "level"))
_NO_BAND = dict.fromkeys(("mean", "low", "high"))


def of_sample(counts: Mapping[str, Any], quality: Mapping[str, Any], against: Sequence[str]) -> Row:
    """Return a row of the samples: counts with interval, what was imaged, quality and what speaks against it."""
    names = ("sample", "patient", "collected", "assay", "status", "reason")
    seen = ("n_ctc", "n_clusters", "n_leukocytes", "n_frames_usable", "n_frames", "imaged_fraction", "above_blank")
    interval = counts["ctc_per_7_5_ml"] or _NO_INTERVAL
    return {
        **{name: counts[name] for name in names},
        **{f"ctc_per_7_5_ml_{end}": interval[end] for end in _NO_INTERVAL},
        **{name: counts[name] for name in seen},
        "quality": "fail" if against else quality["status"],
        "quality_failures": "; ".join(against),
    }


def of_patient(row: PatientRow) -> Row:
    """Return a row of the patients: the latest evaluable draw, the risk of any organ and what the prognosis is."""
    latest = row.latest.data if row.latest else {}
    interval, risk = latest.get("ctc_per_7_5_ml") or _NO_INTERVAL, row.cascade.data["p_any"] or {"2": _NO_BAND}
    return {
        "patient": row.about["patient"],
        "primary": row.about["primary"],
        "setting": row.about["setting"],
        "n_draws": len(row.draws),
        "latest_sample": latest.get("sample"),
        "latest_collected": latest.get("collected"),
        **{f"latest_ctc_per_7_5_ml_{end}": interval[end] for end in _NO_INTERVAL},
        "latest_n_clusters": latest.get("n_clusters"),
        **{f"p_any_2_years_{end}": risk["2"][end] for end in _NO_BAND},
        "prognosis": row.prognosis.data["status"],
    }


def cohort(samples: Sequence[Row], patients: Sequence[Row]) -> str:
    """Return one table: a row a sample, beside it what is said of its patient."""
    of = {row["patient"]: {k: v for k, v in row.items() if not k.startswith("latest_")} for row in patients}
    none = dict.fromkeys(next(iter(of.values()), {}))
    joined = [{**row, **of.get(row["patient"], {**none, "patient": row["patient"]})} for row in samples]
    return "".join(f"{line}\n" for line in lines(joined)) if joined else ""


def lines(rows: Sequence[Row]) -> list[str]:
    """Return a header and a line for each row; text that a spreadsheet would take for a formula gets an apostrophe."""
    return [_line(list(rows[0]))] + [_line([_cell(value) for value in row.values()]) for row in rows] if rows else []


def _cell(value: Any) -> Any:
    if not isinstance(value, str):
        return value  # a number keeps its sign
    text = plain(value, longest=None)
    return f"'{text}" if text.lstrip().startswith(FORMULA) else text


def _line(cells: Sequence[Any]) -> str:
    held = io.StringIO()
    csv.writer(held, lineterminator="").writerow(cells)
    return held.getvalue()
