"""The page of the follow-up: Kaplan-Meier curves of the lab's own patients, with predicted survival as dots."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from markupsafe import Markup

from ctcascade.data import store
from ctcascade.data.results import FollowUp, FollowUpGroup, SurvivalPoint
from ctcascade.report.axes import Axis, Tick, band, path
from ctcascade.report.numbers import Traced
from ctcascade.report.page import write_page
from ctcascade.study.jobs import PageJob


@dataclass(frozen=True)
class Line:
    """One stratum in user units: its steps, their band, mean predicted survival and last contacts as places (x, y)."""

    label: str
    steps: Markup
    band: Markup
    predicted: list[tuple[float, float]]
    censored: list[tuple[float, float]]


@dataclass(frozen=True)
class Plot:
    """Survival by stratum in a view of 560 x 300."""

    x_ticks: list[Tick]
    y_ticks: list[Tick]
    lines: list[Line]


@dataclass(frozen=True)
class CheckPlot:
    """Calibration and decision curve of one time, each in a view of 300 x 290, with the place of that time."""

    index: int
    curve: Markup
    perfect: Markup
    gained: Markup
    everybody: Markup
    nothing: float
    ticks: list[Tick]
    up_ticks: list[Tick]
    gain_ticks: list[Tick]


def report_follow_up(cohort: Path, out: Path) -> None:
    """Write the follow-up page: survival by count, hazard ratio of the count, predicted and observed survival.

    Parameters
    ----------
    cohort : Path
        As `results.FollowUp`.
    out : Path
        The page.

    Raises
    ------
    InputError
        If the result cannot be read.
    """
    data = store.read_json(cohort, FollowUp)
    plots = [plot(group) for group in data.groups]
    write_page(
        out,
        "follow_up.html",
        PageJob(),
        {"cohort": cohort},
        notices=notices(data),
        found=Traced("cohort", data),
        plots=plots,
        checks=[checks(group) for group in data.groups],
    )


def notices(data: FollowUp) -> list[tuple[str, str]]:
    """Return what must be said first of the patients' samples, with how many patients where it is not all."""
    n = data.n_patients
    return [(about.reason, "" if about.n == n else f"{about.n} of {n} patients") for about in data.notices]


def checks(group: FollowUpGroup) -> list[CheckPlot]:
    """Return the drawings of each time whose predictions were checked."""
    horizons = group.calibration.horizons if group.calibration else ()
    found = []
    for k, horizon in enumerate(horizons):
        if not horizon.net_benefit:
            continue
        risk, up = Axis(0, 1, 46, 290), Axis(0, 1, 250, 10)
        steps = horizon.net_benefit
        top = max(0.05, *(max(n.predicted, n.all) for n in steps))
        gain = Axis(-0.25 * top, top, 250, 10)
        found.append(
            CheckPlot(
                k,
                path((risk(p.predicted), up(p.observed)) for p in horizon.curve),
                path([(risk(0), up(0)), (risk(1), up(1))]),
                path((risk(n.threshold), gain(n.predicted)) for n in steps),
                path((risk(n.threshold), gain(n.all)) for n in steps if n.all >= -0.25 * top),
                gain(0.0),
                [Tick.of(risk(p / 100), f"{p}\u202f%") for p in (0, 50, 100)],
                [Tick.of(up(p / 100), f"{p}\u202f%") for p in (0, 50, 100)],
                gain.ticks(4),
            )
        )
    return found


def plot(group: FollowUpGroup) -> Plot:
    """Return the drawing of one tumour and setting."""
    strata = group.strata
    across, up = Axis(0, max(s.last_month for s in strata) or 1, 52, 548), Axis(0, 1, 258, 10)
    rows = group.calibration.rows if group.calibration else ()
    lines = []
    for stratum in strata:
        curve, last = stratum.curve, stratum.last_month
        months = [*(point.time_months for point in curve), last]
        xs = [across(month) for ends in pairwise(months) for month in ends]
        p, low, high = (
            [up(y) for y in _doubled([getattr(point, key) for point in curve])] for key in ("p", "low", "high")
        )
        dots = [
            (across(r.time_months), up(r.predicted))
            for r in rows
            if r.label == stratum.label and r.predicted is not None and r.time_months <= across.high
        ]
        contacts = [(across(t), up(_at(curve, t))) for t in stratum.censored_months]
        lines.append(Line(stratum.label, path(zip(xs, p, strict=True)), band(xs, low, high), dots, contacts))
    ticks = [Tick.of(across(r.time_months), f"{r.time_months:g}") for r in strata[0].at_risk]
    return Plot(ticks, [Tick.of(up(p / 100), f"{p}\u202f%") for p in (0, 25, 50, 75, 100)], lines)


def _at(curve: Sequence[SurvivalPoint], month: float) -> float:
    """Return the height of the steps at a month."""
    return [point.p for point in curve if point.time_months <= month][-1]


def _doubled(values: Sequence[float]) -> list[float]:
    """Return each value twice: a step has two ends."""
    return [value for value in values for _ in range(2)]
