"""The page of an analytical validation: the table of a method-validation paper, with the plots behind it."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from markupsafe import Markup

from ctcascade.data import store
from ctcascade.data.errors import listed
from ctcascade.data.results import Validation
from ctcascade.report.axes import Axis, Tick, path
from ctcascade.report.numbers import Traced
from ctcascade.report.page import write_page
from ctcascade.study.jobs import PageJob

_BENT_FROM = 5.0  # the axes are linear below and logarithmic beyond


class Step(NamedTuple):
    """A place of the page, and why to look there."""

    href: str
    what: str


@dataclass(frozen=True)
class TubePlot:
    """Called against put in, one dot a tube, in a view of 420 x 340, with the line and the allowed band's edges."""

    x_ticks: list[Tick]
    y_ticks: list[Tick]
    dots: list[tuple[float, float, str]]
    fitted: Markup
    all_found: Markup
    edges: list[Markup]


@dataclass(frozen=True)
class DeviationPlot:
    """Deviation of each level from the line, with limits, in a view of 420 x 260: places and what is allowed."""

    y_ticks: list[Tick]
    bars: list[tuple[float, float, float, float, str]]
    allowed: tuple[float, float]
    zero: float


def report_validation(validation: Path, out: Path) -> None:
    """Write the page of an assay's validation.

    Parameters
    ----------
    validation : Path
        As `results.Validation`.
    out : Path
        The page.

    Raises
    ------
    InputError
        If the result cannot be read.
    """
    data = store.read_json(validation, Validation)
    found = Traced(f"validation/{data.assay}", data)
    drawings = {"plot": tube_plot(data), "off": deviation_plot(data)}
    write_page(
        out, "validation.html", PageJob(), {"validation": validation}, found=found, steps=next_steps(data), **drawings
    )


def next_steps(data: Validation) -> list[Step]:
    """Return what to look at next: what is not given and why, levels off the line, else the limits."""
    absent = [row.name for row in data.characteristics if row.basis is None]
    steps = [Step("#table", f"what is not given, and why: {', '.join(absent)}")] if absent else []
    off = [f"{level.expected:g}" for level in data.levels if level.deviation and not level.linear]
    if off:
        steps.append(Step("#line", f"the line, not shown to hold at {listed(off)} cells"))
    elif data.linearity is None:
        steps.append(Step("#levels", "the levels, through which no line is drawn"))
    if data.blank.n_blanks < data.blank.advised_blanks:
        steps.append(Step("#limits", f"the limit of blank, of {data.blank.n_blanks} blanks only"))
    return steps or [Step("#limits", "the limits of blank, detection and quantitation")]


def tube_plot(data: Validation) -> TubePlot:
    """Return the drawing of called against put in."""
    tubes = [t for t in data.tubes if t.expected is not None]
    top = 1.1 * max([1.0, *(max(t.expected or 0.0, t.observed) for t in tubes)])
    across, up = Axis(0, top, 56, 408, linear_to=_BENT_FROM), Axis(0, top, 292, 10, linear_to=_BENT_FROM)
    steps = [top * (k / 80) ** 3 for k in range(81)]

    def drawn(slope: float, intercept: float = 0.0) -> Markup:
        return path([(across(x), up(max(0.0, intercept + slope * x))) for x in steps])

    fit = data.linearity
    line = (fit.slope.estimate, fit.intercept.estimate) if fit else (0.0, 0.0)
    return TubePlot(
        across.ticks(),
        up.ticks(),
        [(across(t.expected or 0.0), up(t.observed), f"{t.observed} of {t.expected:g}") for t in tubes],
        drawn(*line) if fit else Markup(),
        drawn(1.0),
        [drawn(line[0] * (1 + s * fit.allowed), line[1] * (1 + s * fit.allowed)) for s in (-1, 1)] if fit else [],
    )


def deviation_plot(data: Validation) -> DeviationPlot | None:
    """Return the drawing of the deviations from the line; None where there is no line."""
    levels = [level for level in data.levels if level.deviation]
    if not data.linearity or not levels:
        return None
    offs = [level.deviation for level in levels if level.deviation]
    top = 1.1 * max([data.linearity.allowed, *(max(abs(off.low), abs(off.high)) for off in offs)])
    up = Axis(-top, top, 210, 10)
    step = 352 / len(levels)
    bars = [
        (round(56 + step * (k + 0.5), 1), up(off.low), up(off.estimate), up(off.high), f"{level.expected:.3g}")
        for k, (level, off) in enumerate(zip(levels, offs, strict=True))
    ]
    allowed = data.linearity.allowed
    ticks = [
        Tick.of(up(share), (f"{100 * share:+.0f}" if share else "0").replace("-", "−") + "\u202f%")
        for share in (-allowed, 0.0, allowed)
    ]
    return DeviationPlot(ticks, bars, (up(allowed), up(-allowed)), up(0.0))
