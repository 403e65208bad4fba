"""What came out of a spike-in: levels, the line through them, and the factors that the assay file can take.

It measures how well CTCs are found and called among a laboratory's own cells and background. What the tube or the
enrichment loses is no part of it, nor are CTCs that look otherwise than the phantom's.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from numpy.typing import NDArray
from scipy import optimize, stats

from ctcascade import __version__, evidence
from ctcascade.data import store
from ctcascade.data.results import (
    Factor,
    FitValue,
    Interval,
    PastedCtc,
    PublishedRecovery,
    Recovery,
    RecoveryLevel,
    Regression,
)
from ctcascade.data.vocabulary import REFERENCE_VOLUME_ML
from ctcascade.evidence.tables import READ_BY
from ctcascade.study.jobs import RecoveryJob

_NEAR_UM = 4.0  # a call this near to a pasted CTC is that CTC
_LEVEL = 0.95
_PUBLISHED = "reference_recovery_linear"
_TITLE = "In-silico spike-in: how CTCs are found and called, not how the tube captures them"
_HEAD = """# {name} with what its in-silico spike-in found (ctcascade recovery).
# To use it, copy this file into the folder of assays and name it in the sample sheet.
"""

Floats = NDArray[np.float64]


def recovery(job: RecoveryJob, spiked: Path, calls: Sequence[Path], out: Path, assay_out: Path) -> None:
    """Write what came out of each level and the line through them, and the assay with what was measured.

    Parameters
    ----------
    job : RecoveryJob
    spiked : Path
        Table of `spike`.
    calls : sequence of Path
        Calls of each level's frames, in the order of the levels.
    out : Path
        JSON to write, as `results.Recovery`.
    assay_out : Path
        YAML to write: the assay's file with the sensitivity and, from a laboratory's own frames, the background that
        were found.

    Raises
    ------
    InputError
        If a file is not a table of this program.

    Notes
    -----
    A pasted CTC is found where a call ``ctc`` lies within 4 um of it, one call for one CTC; other such calls are false.
    The line is ``observed = intercept + slope * expected``, by least squares with weights 1 / max(expected, 1), as the
    variance of a count grows with it; limits are those of Student's t. R2 is the squared correlation of observed and
    expected, its limits by Fisher's transformation. Sensitivity has Jeffreys' Beta posterior over all pasted CTCs, the
    background Jeffreys' Gamma posterior over the false calls of the frames into which none was pasted.
    """
    pasted = store.read_table(spiked, "spiked")
    published = _published()
    found = [
        _level(total, pasted[pasted["level"] == k], store.read_table(path, "calls"))
        for k, (total, path) in enumerate(zip(job.levels, calls, strict=True))
    ]
    levels = _beside_published(found, published.least_recovery)
    sources = pasted.drop_duplicates("source")
    samples = [] if sources["blood_ml"].isna().any() else sorted({name.split("/")[0] for name in sources["source"]})
    what = f"frames of {', '.join(samples)}" if samples else "phantom frames"
    sensitivity = _sensitivity(levels, f"{len(sources)} {what}", job)
    background, why = _background(levels, pasted, samples)
    inputs = {"spiked": spiked, **{f"calls {k}": path for k, path in enumerate(calls)}}
    result = Recovery(
        assay=job.assay.name,
        title=_TITLE,
        background="samples" if samples else "phantom",
        samples=tuple(samples),
        notices=job.notices,
        n_frames=len(sources),
        ctc=PastedCtc(ctc_diameter_um=job.ctc_diameter_um, ck=job.ck, weak_ck=job.weak_ck),
        levels=levels,
        regression=_regression(levels),
        sensitivity=sensitivity,
        background_per_7_5_ml=background,
        why_no_background=why,
        published=published,
        provenance=store.provenance(job, inputs, evidence.evidence_hash(READ_BY["recovery"])),
    )
    store.write_json(out, result)
    factors = {"sensitivity": sensitivity.model_dump()}
    if background:
        factors["background_per_7_5_ml"] = background.model_dump()
    text = yaml.safe_dump({**job.assay.written, **factors}, sort_keys=False, allow_unicode=True, width=110)
    store.write_text(assay_out, _HEAD.format(name=job.assay.name) + text)


def line(x: Floats, y: Floats, level: float = _LEVEL) -> tuple[FitValue, FitValue, FitValue]:
    """Return slope, intercept and R2 of the weighted line through (x, y), each with its limits; see `recovery`."""
    from statsmodels.regression.linear_model import WLS  # noqa: PLC0415  (slow to load)

    fit = WLS(y, np.stack([np.ones(len(x)), x], axis=1), weights=1 / np.maximum(x, 1)).fit()
    intercept, slope = (
        FitValue(estimate=float(value), low=float(low), high=float(high), level=level)
        for value, (low, high) in zip(fit.params, fit.conf_int(1 - level), strict=True)
    )
    r, r_low, r_high = 0.0, 0.0, 0.0
    if np.ptp(y):
        correlation = stats.pearsonr(x, y)
        r, (r_low, r_high) = float(correlation.statistic), correlation.confidence_interval(level)
    r2 = FitValue(estimate=r**2, low=float(max(r_low, 0.0) ** 2), high=float(r_high**2), level=level)
    return slope, intercept, r2


def _level(total: int, pasted: pd.DataFrame, calls: pd.DataFrame) -> RecoveryLevel:
    ctcs = calls[calls["call"] == "ctc"]
    place = ["y_px", "x_px"]
    found = 0
    for frame, here in pasted[pasted["y_px"].notna()].groupby("frame"):
        called = ctcs[ctcs["frame"] == frame]
        gap = np.linalg.norm(here[place].to_numpy(float)[:, None] - called[place].to_numpy(float)[None], axis=2)
        gap *= float(here["pixel_size_um"].iloc[0])
        pairs = optimize.linear_sum_assignment(np.minimum(gap, 2 * _NEAR_UM))
        found += int((gap[pairs] <= _NEAR_UM).sum())
    return RecoveryLevel(
        expected=total,
        observed=len(ctcs),
        found=found,
        false=len(ctcs) - found,
        n_frames=pasted["frame"].nunique(),
        recovery=_share(found, total) if total else None,
        mean_recovery=None,
        published=None,
    )


def _beside_published(levels: Sequence[RecoveryLevel], least: float) -> tuple[RecoveryLevel, ...]:
    """Return the levels with the mean recovery of all levels of the same number, compared with the published least.

    Levels may repeat: the published statement is about the mean of repeated samples.
    """
    shares: dict[int, list[float]] = {}
    for level in levels:
        if level.recovery:
            shares.setdefault(level.expected, []).append(level.recovery.estimate)
    means = {expected: sum(each) / len(each) for expected, each in shares.items()}
    return tuple(
        level.model_copy(
            update={
                "mean_recovery": means[level.expected],
                "published": "at least" if means[level.expected] >= least else "below",
            }
        )
        if level.expected in means
        else level
        for level in levels
    )


def _share(found: int, of: int) -> Interval:
    low, high = stats.beta(found + 0.5, of - found + 0.5).ppf([(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    estimate = found / of
    return Interval(estimate=estimate, low=min(float(low), estimate), high=max(float(high), estimate), level=_LEVEL)


def _regression(levels: Sequence[RecoveryLevel]) -> Regression:
    expected = np.array([level.expected for level in levels], np.float64)
    observed = np.array([level.observed for level in levels], np.float64)
    slope, intercept, r2 = line(expected, observed)
    return Regression(
        model="observed = intercept + slope * expected, least squares, limits by Student's t",
        weights="1 / max(expected, 1): the variance of a count grows with it",
        slope=slope,
        intercept=intercept,
        r2=r2,
        n_levels=len(levels),
    )


def _sensitivity(levels: Sequence[RecoveryLevel], what: str, job: RecoveryJob) -> Factor:
    found, total = sum(level.found for level in levels), sum(level.expected for level in levels)
    posterior = stats.beta(found + 0.5, total - found + 0.5)
    low, high = posterior.ppf([(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    source = (
        f"In-silico spike-in by ctcascade {__version__} (random seed {job.random_seed}): {found} of {total} "
        f"phantom CTCs (median {job.ctc_diameter_um:g} um, cytokeratin {job.ck:g} of the camera's "
        f"range, a quarter of it in {job.weak_ck:.0%}) pasted into {what} were called. The limits carry chance "
        "alone: CTCs that are dimmer, smaller or hidden are found less often, and no human reader was asked."
    )
    mean = float(posterior.mean())
    return Factor(mean=mean, low=min(float(low), mean), high=max(float(high), mean), kind="derived", source=source)


def _background(
    levels: Sequence[RecoveryLevel], pasted: pd.DataFrame, samples: Sequence[str]
) -> tuple[Factor | None, str]:
    """Return the false calls in 7.5 mL of blood without CTCs, or why they are not known."""
    if not samples:
        return None, "phantom frames are no blood: what is called falsely in them says nothing of a laboratory's blood"
    empty = [k for k, level in enumerate(levels) if level.expected == 0]
    if not empty:
        return None, "no level without CTCs"
    here = pasted[pasted["level"] == empty[0]]
    exposure = float(here["blood_ml"].sum()) / REFERENCE_VOLUME_ML
    false = levels[empty[0]].false
    posterior = stats.gamma(false + 0.5, scale=1 / exposure)
    low, high = posterior.ppf([(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    source = (
        f"{false} CTC calls by ctcascade {__version__} in {len(here)} frames of {', '.join(samples)}, without CTCs, "
        f"which stand for {exposure * REFERENCE_VOLUME_ML:.3g} mL of blood."
    )
    mean = float(posterior.mean())
    return Factor(mean=mean, low=float(low), high=float(high), kind="measured", source=source), ""


def _published() -> PublishedRecovery:
    cited = evidence.cite(f"assay_facts/{_PUBLISHED}")
    return PublishedRecovery(
        evidence_id=_PUBLISHED,
        meaning=cited.text("meaning"),
        least_recovery=float(cited.row["central"]),
        citation=cited.citation,
        identifier=cited.identifier,
        locator=cited.text("locator"),
        how_read=cited.text("how_read"),
        note=cited.text("note"),
    )
