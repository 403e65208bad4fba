"""The page of a local calibration: how `p_ctc` does on held-out samples before and after."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from ctcascade.data import store
from ctcascade.data.results import LocalCalibration, ReliabilityBin
from ctcascade.report.axes import Axis, Tick, path
from ctcascade.report.numbers import Traced
from ctcascade.report.page import write_page
from ctcascade.study.jobs import PageJob

_ENDS = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class ReliabilityPlot:
    """Share called CTC by readers against probability, in a view of 420 x 340."""

    x_ticks: list[Tick]
    y_ticks: list[Tick]
    bars: list[tuple[float, float, float, float, str]]
    diagonal: Markup


def report_calibration(calibration: Path, out: Path) -> None:
    """Write the page of an assay's own calibration.

    Parameters
    ----------
    calibration : Path
        As `results.LocalCalibration`.
    out : Path
        The page.

    Raises
    ------
    InputError
        If the result cannot be read.
    """
    data = store.read_json(calibration, LocalCalibration)
    held = data.held_out
    plots = (
        [("before", "Shipped", reliability_plot(held.before)), ("after", "Local", reliability_plot(held.after))]
        if held
        else []
    )
    found = Traced(f"calibration/{data.assay}", data)
    write_page(out, "calibration.html", PageJob(), {"calibration": calibration}, found=found, plots=plots)


def reliability_plot(bins: Sequence[ReliabilityBin]) -> ReliabilityPlot:
    """Return the drawing of what readers say against what was predicted."""
    across, up = Axis(0, 1, 56, 408), Axis(0, 1, 292, 10)
    bars = [
        (across(b.p_mean), up(b.low), up(b.observed), up(b.high), f"{b.n} cells: {b.observed:.2f} at {b.p_mean:.2f}")
        for b in bins
    ]
    ticks = [[Tick.of(axis(v), f"{v:g}") for v in _ENDS] for axis in (across, up)]
    return ReliabilityPlot(ticks[0], ticks[1], bars, path([(across(0), up(0)), (across(1), up(1))]))
