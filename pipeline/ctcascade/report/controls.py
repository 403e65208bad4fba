"""Charts of control samples over time (Levey-Jennings), drawn from controls.json."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

from ctcascade.data import store
from ctcascade.data.results import Control, ControlChart, ControlLimit, Controls
from ctcascade.report.axes import Axis, Tick

ROLES = {"control_low": "low control", "control_high": "high control"}


@dataclass(frozen=True)
class Chart:
    """One chart of controls.json in a view of 420 x 150.

    ``controls`` pairs each control with its place (None where it has no count); ``limits`` pairs each limit with its y.
    """

    chart: ControlChart
    controls: list[tuple[Control, tuple[float, float] | None]]
    ticks: list[Tick]
    limits: list[tuple[ControlLimit, float]]


def read_charts(path: Path | None) -> Controls | None:
    """Return controls.json, or None where no control belongs to the page."""
    return store.read_json(path, Controls) if path else None


def draw_charts(controls: Controls) -> list[Chart]:
    """Return the charts of `results.Controls`, placed."""
    return [_draw(chart) for chart in controls.charts]


def _draw(chart: ControlChart) -> Chart:
    controls, limits = chart.controls, chart.limits
    days = [date.fromisoformat(c.collected).toordinal() for c in controls]
    counted = [c.n_ctc for c in controls if c.n_ctc is not None]
    top = max([1.0, *counted, *(limit.value for limit in limits)])
    across, up = Axis(min(days), max(days), 60, 400), Axis(0, 1.08 * top, 128, 10)
    placed = [
        (c, None if c.n_ctc is None else (across(day), up(c.n_ctc))) for c, day in zip(controls, days, strict=True)
    ]
    return Chart(chart, placed, up.ticks(3), [(limit, up(limit.value)) for limit in limits])
