"""Control samples over time (Levey-Jennings), the samples that a failed one casts doubt on, and a table for MultiQC."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from statistics import fmean, pvariance
from typing import Any

from ctcascade.data import store
from ctcascade.data.errors import plain
from ctcascade.report.axes import Axis, Tick

ROLES = {"control_low": "low control", "control_high": "high control"}
BASELINE = 5  # controls of a lot that set its limits
WARN_SD, FAIL_SD = 2.0, 3.0
Data = Mapping[str, Any]


@dataclass(frozen=True)
class Control:
    """One control: its sample, state, why, and where it is drawn (None where it has no count)."""

    sample: str
    collected: str
    n_ctc: int | None
    state: str
    why: str
    at: tuple[float, float] | None


@dataclass(frozen=True)
class Chart:
    """Controls of one assay, lot and kind in order of time; limits (name, value, y) once the lot has enough of them."""

    assay: str
    lot: str
    role: str
    controls: list[Control]
    ticks: list[Tick]
    limits: list[tuple[str, float, float]]


def charts(counts: Sequence[Data], quality: Sequence[Data]) -> list[Chart]:
    """Return one chart for each assay, lot and kind of control, in views of 420 x 150.

    Notes
    -----
    The first five controls of a lot set mean and standard deviation, the latter no smaller than the square root of the
    mean: counts scatter that much by themselves. Later ones beyond two standard deviations are marked, beyond three
    they fail. Any control fails whose images fail, that cannot be evaluated, or that is not above blank.
    """
    by_sample = {q["sample"]: q for q in quality}
    groups: dict[tuple[str, str, str], list[Data]] = {}
    for c in sorted(counts, key=lambda c: (c["collected"], c["sample"])):
        if c["role"] in ROLES:
            groups.setdefault((c["assay"], by_sample[c["sample"]]["lot"] or "", c["role"]), []).append(c)
    return [_chart(*key, group, by_sample) for key, group in sorted(groups.items())]


def doubts(counts: Sequence[Data], quality: Sequence[Data]) -> dict[str, list[str]]:
    """Return, by sample, what speaks against it: its own failed checks, and failed controls of its assay and lot."""
    failed = [(c.assay, c.lot, x) for c in charts(counts, quality) for x in c.controls if x.state == "fail"]
    assay_of = {c["sample"]: c["assay"] for c in counts}
    found = {}
    for q in quality:
        run = (assay_of[q["sample"]], q["lot"] or "")
        own = [f"{check['check'].replace('_', ' ')} {check['value']:.3g}" for check in _at(q, "fail")]
        run_failed = [x for *key, x in failed if tuple(key) == run]
        found[q["sample"]] = own + [
            x.why if x.sample == q["sample"] else f"control {x.sample} failed" for x in run_failed
        ]
    return found


def doubts_of(own: Sequence[Sequence[Path]], controls: Sequence[Sequence[Path]]) -> dict[str, list[str]]:
    """Return by sample what speaks against it, from counts and quality of the samples and of their runs' controls."""
    counts, quality = zip(*own, *controls, strict=True)
    return doubts(
        [store.read_json(path, "counts") for path in counts], [store.read_json(path, "quality") for path in quality]
    )


def multiqc(counts: Sequence[Data], quality: Sequence[Data]) -> str:
    """Return a table with the header lines that MultiQC reads as custom content, one row a sample."""
    about = {
        "id": "ctcascade",
        "section_name": "ctcascade",
        "description": "Circulating tumour cells: counts and quality. For research use only.",
        "plot_type": "table",
    }
    against, by_sample = doubts(counts, quality), {q["sample"]: q for q in quality}
    names = list(dict.fromkeys(check["check"] for q in quality for check in q["checks"]))
    lines = [f"# {key}: {json.dumps(value)}" for key, value in about.items()]
    lines.append("\t".join(["Sample", "patient", "status", "n_ctc", "ctc_per_7_5_ml", *names]))
    for c in counts:
        q, rate = by_sample[c["sample"]], c["ctc_per_7_5_ml"]
        values = {check["check"]: check["value"] for check in q["checks"]}
        status = "fail" if against[c["sample"]] or c["status"] != "ok" else q["status"]
        cells = [c["sample"], c["patient"], status, c["n_ctc"], rate and rate["estimate"], *map(values.get, names)]
        lines.append("\t".join("" if v is None else plain(f"{v:.6g}" if isinstance(v, float) else v) for v in cells))
    return "\n".join(lines) + "\n"


def _at(quality: Data, state: str) -> list[Data]:
    return [check for check in quality["checks"] if check["state"] == state]


def _chart(assay: str, lot: str, role: str, group: Sequence[Data], by_sample: Mapping[str, Data]) -> Chart:
    values = [c["n_ctc"] for c in group if c["n_ctc"] is not None]
    base = values[:BASELINE]
    mean = fmean(base) if len(base) == BASELINE else None
    sd = math.sqrt(max(pvariance(base) * BASELINE / (BASELINE - 1), mean, 1.0)) if mean is not None else 0.0
    days = [date.fromisoformat(c["collected"]).toordinal() for c in group]
    top = max([1.0, *values, *([mean + FAIL_SD * sd] if mean is not None else [])])
    across, up = Axis(min(days), max(days), 60, 400), Axis(0, 1.08 * top, 128, 10)
    controls = []
    for number, (c, day) in enumerate(zip(group, days, strict=True)):
        state, why = _state(c, by_sample[c["sample"]], mean if number >= BASELINE else None, sd)
        at = None if c["n_ctc"] is None else (across(day), up(c["n_ctc"]))
        controls.append(Control(c["sample"], c["collected"], c["n_ctc"], state, why, at))
    limits = []
    if mean is not None:
        steps = (("mean", 0.0), *((f"{k:+g} SD", k) for k in (-FAIL_SD, -WARN_SD, WARN_SD, FAIL_SD)))
        limits = [(name, mean + k * sd, up(mean + k * sd)) for name, k in steps if mean + k * sd >= 0]
    return Chart(assay, lot, role, controls, up.ticks(3), limits)


def _state(counts: Data, quality: Data, mean: float | None, sd: float) -> tuple[str, str]:
    if counts["status"] != "ok":
        return "fail", "not evaluable"
    if quality["status"] == "fail":
        return "fail", "its images fail"
    if not counts["above_blank"]:
        return "fail", "not above blank"
    if mean is None:
        return "ok", f"one of the first {BASELINE} of the lot, which set its limits"
    away = (counts["n_ctc"] - mean) / sd
    state = "fail" if abs(away) > FAIL_SD else "warn" if abs(away) > WARN_SD else "ok"
    return state, f"{away:+.1f} SD from the lot's mean"
