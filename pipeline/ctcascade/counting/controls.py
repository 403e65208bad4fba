"""Counts and quality of control samples to a verdict on each control, and so on the run that it belongs to.

A run is what one assay made with one lot of reagents. Its controls, in order of time, are a Levey-Jennings chart: the
first of them set the limits that the later ones are held to.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean, pvariance
from typing import Literal

from ctcascade.data import store
from ctcascade.data.results import Control, ControlChart, ControlLimit, Controls, Counts, Quality
from ctcascade.data.vocabulary import CONTROLS
from ctcascade.study.jobs import ControlsJob
from ctcascade.study.settings import ControlsSettings

State = Literal["ok", "warn", "fail"]


def judge_controls(job: ControlsJob, counts: Sequence[Path], quality: Sequence[Path], out: Path) -> None:
    """Write the charts of all control samples, as `results.Controls`.

    Parameters
    ----------
    job : ControlsJob
    counts, quality : sequence of Path
        Results of the samples, in one order; those that are not controls are left out.
    out : Path
        JSON to write.

    Raises
    ------
    InputError
        If a result cannot be read.
    """
    read = (("counts", counts), ("quality", quality))
    inputs = {f"{kind}_{n}": path for kind, paths in read for n, path in enumerate(paths)}
    found = [store.read_json(path, Counts) for path in counts]
    judged = [store.read_json(path, Quality) for path in quality]
    store.write_json(out, Controls(charts=charts(found, judged, job), provenance=store.provenance(job, inputs)))


def charts(
    counts: Iterable[Counts], quality: Iterable[Quality], settings: ControlsSettings
) -> tuple[ControlChart, ...]:
    """Return one chart for each assay, lot and kind of control, its controls in order of time.

    Notes
    -----
    The first controls of a lot set mean and standard deviation, the latter no smaller than the square root of the
    mean: counts scatter that much by themselves. A control fails, too, if its images fail, if it cannot be evaluated,
    or if it is not above blank.
    """
    quality_of = {q.sample: q for q in quality}
    groups: dict[tuple[str, str, str], list[Counts]] = {}
    for c in sorted(counts, key=lambda c: (c.collected, c.sample)):
        if c.role in CONTROLS:
            groups.setdefault((c.assay, quality_of[c.sample].lot or "", c.role), []).append(c)
    return tuple(_chart(*run, group, quality_of, settings) for run, group in sorted(groups.items()))


def _chart(
    assay: str,
    lot: str,
    role: str,
    group: Sequence[Counts],
    quality_of: Mapping[str, Quality],
    settings: ControlsSettings,
) -> ControlChart:
    """Return mean, standard deviation and limits of a lot's controls, and the verdict on each."""
    size = settings.baseline_controls
    baseline = [c.n_ctc for c in group if c.n_ctc is not None][:size]
    mean = fmean(baseline) if len(baseline) == size else None
    sd = None if mean is None else math.sqrt(max(pvariance(baseline) * size / (size - 1), mean, 1.0))
    controls = []
    for number, c in enumerate(group):
        z = None
        if number >= size and mean is not None and sd is not None and c.n_ctc is not None:
            z = (c.n_ctc - mean) / sd
        state, why = _verdict(c, quality_of[c.sample], z, settings)
        controls.append(Control(sample=c.sample, collected=c.collected, n_ctc=c.n_ctc, state=state, why=why))
    limits = _limits(mean, sd, settings)
    return ControlChart(
        assay=assay, lot=lot or None, role=role, mean=mean, sd=sd, limits=limits, controls=tuple(controls)
    )


def _limits(mean: float | None, sd: float | None, settings: ControlsSettings) -> tuple[ControlLimit, ...]:
    """Return the lines of a chart; none is below zero, and there are none before the lot has its first controls."""
    if mean is None or sd is None:
        return ()
    warn, fail = settings.warn_sd, settings.fail_sd
    steps = [("mean", 0.0), *((f"{k:+g} SD", k) for k in (-fail, -warn, warn, fail))]
    return tuple(ControlLimit(name=name, value=mean + k * sd) for name, k in steps if mean + k * sd >= 0)


def _verdict(counts: Counts, quality: Quality, z: float | None, settings: ControlsSettings) -> tuple[State, str]:
    """Return the state of a control and why; `z` is None for those that set the limits."""
    if counts.status != "ok":
        return "fail", "not evaluable"
    if quality.status == "fail":
        return "fail", "its images fail"
    if not counts.above_blank:
        return "fail", "not above blank"
    if z is None:
        return "ok", f"one of the first {settings.baseline_controls} of the lot, which set its limits"
    state: State = "fail" if abs(z) > settings.fail_sd else "warn" if abs(z) > settings.warn_sd else "ok"
    return state, f"{z:+.1f} SD from the lot's mean"
