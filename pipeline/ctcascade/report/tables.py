"""Tables as CSV: exact values, one line a row, and no cell that a spreadsheet would run as a formula."""

import csv
import io
from collections.abc import Mapping, Sequence

from ctcascade.data.errors import plain

Value = str | float | bool | None
Row = Mapping[str, Value]
FORMULA = ("=", "+", "-", "@")


def lines(rows: Sequence[Row]) -> list[str]:
    """Return a header and a line for each row; text that a spreadsheet would take for a formula gets an apostrophe."""
    return [_line(list(rows[0]))] + [_line([_cell(value) for value in row.values()]) for row in rows] if rows else []


def _cell(value: Value) -> Value:
    if not isinstance(value, str):
        return value  # a number keeps its sign
    text = plain(value, longest=None)
    return f"'{text}" if text.lstrip().startswith(FORMULA) else text


def _line(cells: Sequence[Value]) -> str:
    held = io.StringIO()
    csv.writer(held, lineterminator="").writerow(cells)
    return held.getvalue()
