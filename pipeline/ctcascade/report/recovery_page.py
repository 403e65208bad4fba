"""The page of an in-silico spike-in: expected against observed, with the fitted line."""

from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from ctcascade.data import store
from ctcascade.data.results import Recovery
from ctcascade.report.axes import Axis, Tick, path
from ctcascade.report.numbers import Traced
from ctcascade.report.page import write_page
from ctcascade.study.jobs import PageJob

_BENT_FROM = 5.0  # the axes are linear below and logarithmic beyond


@dataclass(frozen=True)
class Plot:
    """Observed against expected in a view of 420 x 340: levels as dots, fitted line, full and published recovery."""

    x_ticks: list[Tick]
    y_ticks: list[Tick]
    dots: list[tuple[float, float, str]]
    fitted: Markup
    all_found: Markup
    published: Markup


def report_recovery(recovery: Path, out: Path) -> None:
    """Write the page of an in-silico spike-in: levels, the line through them, what the assay can take, limits.

    Parameters
    ----------
    recovery : Path
        As `results.Recovery`.
    out : Path
        The page.

    Raises
    ------
    InputError
        If the result cannot be read.
    """
    data = store.read_json(recovery, Recovery)
    found = Traced(f"recovery/{data.assay}", data)
    notices = [(text, "") for text in data.notices]
    write_page(out, "recovery.html", PageJob(), {"recovery": recovery}, notices=notices, found=found, plot=plot(data))


def plot(found: Recovery) -> Plot:
    """Return the drawing of a spike-in."""
    levels, line = found.levels, found.regression
    top = 1.1 * max([1, *(max(level.expected, level.observed) for level in levels)])
    across, up = Axis(0, top, 56, 408, linear_to=_BENT_FROM), Axis(0, top, 292, 10, linear_to=_BENT_FROM)
    steps = [top * (k / 80) ** 3 for k in range(81)]

    def drawn(slope: float, intercept: float = 0.0) -> Markup:
        return path([(across(x), up(max(0.0, intercept + slope * x))) for x in steps])

    return Plot(
        across.ticks(),
        up.ticks(),
        [(across(lv.expected), up(lv.observed), f"{lv.observed} of {lv.expected}") for lv in levels],
        drawn(line.slope.estimate, line.intercept.estimate),
        drawn(1.0),
        drawn(found.published.least_recovery),
    )
