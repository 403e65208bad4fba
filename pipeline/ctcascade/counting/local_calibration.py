"""Reviewed cells of a laboratory to a calibration of `p_ctc`, tried on held-out slides, and the cells to label next."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ctcascade.counting.calibrated_calls import USED, calls_made_by
from ctcascade.counting.recalibration import (
    Line,
    ReadCells,
    before_any,
    fitted,
    logit_of,
    most_telling,
    with_slides_apart,
    without_each_slide,
)
from ctcascade.counting.reviewed_calls import consensus_of, misfits
from ctcascade.data import store
from ctcascade.data.errors import Fault, plain, refuse, refuse_all
from ctcascade.data.results import FitValue, HeldOut, LocalCalibration, Provenance, ReliabilityBin
from ctcascade.study.jobs import CalibrateJob
from ctcascade.study.reviews import Review, calls_hash, read

Floats = NDArray[np.float64]
_BINS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97, 1.0)
_NO_SLOPE = 1e-6
_COLUMNS = ("frame", "cell", "y_px", "x_px", "call", "p_ctc", "cluster")


@dataclass(frozen=True)
class _Sample:
    name: str
    calls: pd.DataFrame
    sha256: str
    given: Mapping[int, Mapping[str, str]]
    """By row of calls, what each reader calls the cell."""


def calibrate(job: CalibrateJob, calls: Sequence[Path], reviews: Sequence[Path], out: Path, out_next: Path) -> None:
    """Write the local calibration of an assay, and the cells that would teach most.

    Parameters
    ----------
    job : CalibrateJob
    calls : sequence of Path
        Calls of all samples of the assay.
    reviews : sequence of Path
        Reviewers' files about them.
    out : Path
        As `results.LocalCalibration`.
    out_next : Path
        CSV of cells to label next.

    Raises
    ------
    InputError
        If calls were made in different ways, or a review is not about them.
    """
    made_by = {path: store.table_provenance(path) for path in calls}
    ways = Counter(calls_made_by(found) for found in made_by.values())
    if len(ways) > 1:
        refuse(calls[0], "", f"calls made in {len(ways)} ways", "calls of one program and one assay", "run it again")
    samples = _read(made_by, reviews)
    inputs = {f"calls/{sample.name}": path for sample, path in zip(samples, calls, strict=True)}
    inputs |= {f"review {path.stem}": path for path in reviews}
    found, line = calibration_of(job, samples, next(iter(ways), ""))
    made = store.provenance(job, inputs)
    store.write_json(out, found.model_copy(update={"provenance": made}))
    store.write_text(out_next, _next_cells(job, samples, line))


def _read(made_by: Mapping[Path, Provenance], files: Sequence[Path]) -> list[_Sample]:
    tables = {
        str(made.settings["sample"]): store.read_table(path, "calls")[list(_COLUMNS)] for path, made in made_by.items()
    }
    faults: list[Fault] = []
    found = [read(path, faults) for path in files]
    for review in found:
        if review.sample in tables:
            faults += misfits(review, tables[review.sample])
        else:
            wanted = f"a review of {', '.join(tables) or 'a sample of this assay'}"
            faults.append(Fault(review.file, "", f"a review of {plain(review.sample)}", wanted, "leave the file out"))
    refuse_all(faults)
    return [_sample(name, table, [r for r in found if r.sample == name]) for name, table in tables.items()]


def _sample(name: str, calls: pd.DataFrame, reviews: Sequence[Review]) -> _Sample:
    row_of = {key: row for row, key in enumerate(zip(calls["frame"], calls["cell"], strict=True))} if reviews else {}
    given: dict[int, dict[str, str]] = {}
    for review in reviews:
        for cell in review.cells.values():
            given.setdefault(row_of[cell.frame, cell.cell], {})[review.reviewer] = cell.call
    return _Sample(name, calls, calls_hash(calls), given)


def calibration_of(job: CalibrateJob, samples: Sequence[_Sample], way: str) -> tuple[LocalCalibration, Line]:
    """Return the calibration of an assay, and the line behind it: where it is refused, that before any review."""
    cells, n_undecided = _decided(job, samples)
    yes = cells.yes
    names = [samples[k].name for k in np.unique(cells.slide)]
    readers = sorted({name for sample in samples for said in sample.given.values() for name in said})
    n_ctc = int(yes.sum())
    missing = "; ".join(_missing(job, len(names), len(yes), n_ctc))
    sd = (job.prior_sd_intercept, job.prior_sd_slope)
    line, held = fitted(cells, sd), None
    status: Literal["ok", "no_better", "refused"] = "refused"
    reason = f"too little was reviewed: {missing}"
    if not missing:
        without = without_each_slide(cells, sd)
        line = with_slides_apart(line, without)
        held = _held_out(cells, without, without_each_slide(cells, (sd[0], _NO_SLOPE)), job.level)
        reason = _no_better(held, line.limits(job.level)[1], job.level)
        status = "no_better" if reason else "ok"
    intercept, slope = (
        None if missing else FitValue(estimate=m, low=low, high=high, level=job.level)
        for m, low, high in line.limits(job.level)
    )
    found = LocalCalibration(
        assay=job.assay,
        format_version=1,
        status=status,
        reason=reason,
        level=job.level,
        samples=tuple(names),
        readers=tuple(readers),
        n_cells=len(yes),
        n_ctc=n_ctc,
        n_other=len(yes) - n_ctc,
        n_undecided=n_undecided,
        slope=slope,
        intercept=intercept,
        held_out=held,
        calls_made_by=way,
        provenance=store.provenance(job, {}),
    )
    return found, line


def _decided(job: CalibrateJob, samples: Sequence[_Sample]) -> tuple[ReadCells, int]:
    """Return the cells that readers decided on, and the number of those that they did not decide on."""
    slide, p, yes, undecided = [], [], [], 0
    for k, sample in enumerate(samples):
        calls, values = sample.calls["call"].to_numpy(object), sample.calls["p_ctc"].to_numpy(np.float64)
        for row in sorted(row for row in sample.given if calls[row] in USED):
            call = consensus_of(list(sample.given[row].values()), job.consensus)
            if call == "uncertain":
                undecided += 1
                continue
            slide.append(k)
            p.append(values[row])
            yes.append(call == "ctc")
    return ReadCells(np.array(slide, np.int64), logit_of(np.array(p)), np.array(yes, np.bool_)), undecided


def _missing(job: CalibrateJob, n_slides: int, n_cells: int, n_ctc: int) -> Iterator[str]:
    """Yield what is missing for a fit, each with how much there is."""
    wanted = (
        ("samples with reviewed cells", n_slides, job.least_samples),
        ("cells that readers decided on", n_cells, job.least_cells),
        ("of them CTCs", n_ctc, job.least_of_class),
        ("of them other cells", n_cells - n_ctc, job.least_of_class),
    )
    yield from (f"{n} {what}, at least {least} are needed" for what, n, least in wanted if n < least)


def _no_better(held: HeldOut, slope: tuple[float, float, float], level: float) -> str:
    """Return why the shipped calibration is to be kept; empty where the local one does better."""
    if slope[1] <= 0:
        return f"the slope may be 0 or less ({slope[1]:.2f} to {slope[2]:.2f}): readers do not follow p_ctc"
    if held.gain.low <= 0:
        return (
            f"on held-out samples the slope is not shown to do better than the shipped one (log loss falls by "
            f"{held.gain.estimate:.4f}, {level:.0%} interval {held.gain.low:.4f} to {held.gain.high:.4f})"
        )
    return ""


def _held_out(cells: ReadCells, without: Mapping[int, Line], shifted: Mapping[int, Line], level: float) -> HeldOut:
    """Return how lines fitted without a slide do on it, beside the shipped one and one with an intercept alone."""
    yes, shipped = cells.yes, before_any((1.0, 1.0)).p(cells.logit)
    local, alone = np.empty(len(yes)), np.empty(len(yes))
    for k, line in without.items():
        own = cells.slide == k
        local[own], alone[own] = line.p(cells.logit[own]), shifted[k].p(cells.logit[own])
    return HeldOut(
        before=tuple(_reliability(shipped, yes, level)),
        after=tuple(_reliability(local, yes, level)),
        log_loss_before=float(_losses(shipped, yes).mean()),
        log_loss_after=float(_losses(local, yes).mean()),
        gain=_mean_over_slides(_losses(alone, yes) - _losses(local, yes), cells.slide, level),
    )


def _losses(p: Floats, yes: NDArray[np.bool_]) -> Floats:
    return np.asarray(-np.log(np.clip(np.where(yes, p, 1 - p), 1e-12, 1)))


def _mean_over_slides(values: Floats, slide: NDArray[np.int64], level: float) -> FitValue:
    """Return the mean with its interval, slides taken as what was drawn (ratio estimate, Student's t)."""
    from scipy import stats  # noqa: PLC0415  slow to load

    slides, own = np.unique(slide, return_inverse=True)
    n, total, m = np.bincount(own), np.bincount(own, values), len(slides)
    mean = float(values.mean())
    sd = math.sqrt(m / (m - 1) * float(np.square(total - mean * n).sum())) / len(values)
    half = float(stats.t.ppf((1 + level) / 2, m - 1)) * sd
    return FitValue(estimate=mean, low=mean - half, high=mean + half, level=level)


def _reliability(p: Floats, yes: NDArray[np.bool_], level: float) -> Iterator[ReliabilityBin]:
    from scipy import stats  # noqa: PLC0415  slow to load

    bin_of = np.clip(np.searchsorted(_BINS, p, side="right") - 1, 0, len(_BINS) - 2)
    for k in np.unique(bin_of):
        own = bin_of == k
        n, seen = int(own.sum()), int(yes[own].sum())
        limits = stats.binomtest(seen, n).proportion_ci(level, method="wilson")
        yield ReliabilityBin(
            n=n, p_mean=float(p[own].mean()), observed=seen / n, low=float(limits.low), high=float(limits.high)
        )


def _next_cells(job: CalibrateJob, samples: Sequence[_Sample], line: Line) -> str:
    """Return the CSV of cells that would teach most, the first first."""
    slide, rows = [], []
    for k, sample in enumerate(samples):
        open_ = sample.calls["call"].isin(USED).to_numpy(bool, copy=True)
        open_[list(sample.given)] = False
        rows += list(np.flatnonzero(open_))
        slide += [k] * int(open_.sum())
    calls = [samples[k].calls.iloc[row] for k, row in zip(slide, rows, strict=True)]
    p = np.array([call["p_ctc"] for call in calls], np.float64)
    told = most_telling(line, logit_of(p), np.array(slide, np.int64), job.next_cells)
    lines = ["rank,sample,calls_sha256,frame,cell,y_px,x_px,call,p_ctc,p_ctc_local,information_nats"]
    for rank, (at, gain) in enumerate(told, start=1):
        call, sample = calls[at], samples[slide[at]]
        local = float(line.p(logit_of(p[[at]]))[0])
        lines.append(
            f"{rank},{sample.name},{sample.sha256},{_quoted(str(call['frame']))},{call['cell']},{call['y_px']:.1f},"
            f"{call['x_px']:.1f},{call['call']},{p[at]:.4f},{local:.4f},{gain:.5f}"
        )
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if any(sign in text for sign in ',"\n') else text
