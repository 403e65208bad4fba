"""Charts of control samples over time (Levey-Jennings), drawn from controls.json, and a table for MultiQC."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from ctcascade.data import store
from ctcascade.data.errors import plain
from ctcascade.data.results import Control, ControlChart, ControlLimit, Controls, Counts, Quality
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


def multiqc(counts: Sequence[Counts], quality: Sequence[Quality], doubts: Mapping[str, Sequence[str]]) -> str:
    """Return a table with the header lines that MultiQC reads as custom content, one row per sample.

    Parameters
    ----------
    counts : sequence of Counts
    quality : sequence of Quality
        Results of the samples.
    doubts : mapping of str to sequence of str
        What speaks against each sample (`data.doubts.doubts`).
    """
    about = {
        "id": "ctcascade",
        "section_name": "ctcascade",
        "description": "Circulating tumour cells: counts and quality. For research use only.",
        "plot_type": "table",
    }
    quality_of = {q.sample: q for q in quality}
    names = list(dict.fromkeys(check.check for q in quality for check in q.checks))
    lines = [f"# {key}: {json.dumps(value)}" for key, value in about.items()]
    lines.append("\t".join(["Sample", "patient", "status", "n_ctc", "ctc_per_7_5_ml", *names]))
    for c in counts:
        q, rate = quality_of[c.sample], c.ctc_per_7_5_ml
        values = {check.check: check.value for check in q.checks}
        status = "fail" if doubts[c.sample] or c.status != "ok" else q.status
        cells = [c.sample, c.patient, status, c.n_ctc, rate and rate.estimate, *map(values.get, names)]
        lines.append("\t".join("" if v is None else plain(f"{v:.6g}" if isinstance(v, float) else v) for v in cells))
    return "\n".join(lines) + "\n"


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
