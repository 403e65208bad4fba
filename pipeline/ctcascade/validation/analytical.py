"""Analytical validation of one assay: what its known tubes say of accuracy, limits, linearity, precision, carry-over.

The laboratory's own tubes come first: blood of healthy donors, spiked blood, controls. What they cannot say, in-silico
tubes say, and the result names which it was: phantom cells in phantom frames know nothing of blood, tubes or people.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from scipy import stats

from ctcascade import __version__
from ctcascade.data import store
from ctcascade.data.errors import refuse_all
from ctcascade.data.results import (
    BlankLimit,
    CarryOver,
    Counts,
    DetectionLimit,
    Factor,
    FitValue,
    Interval,
    LinearityFit,
    QuantitationLimit,
    RecoveryAtLevel,
    Replicates,
    Validation,
)
from ctcascade.data.results.analytical import Basis
from ctcascade.study.jobs import ValidationJob
from ctcascade.validation import detection_limits as limits
from ctcascade.validation import tubes as known
from ctcascade.validation.characteristics import Figures, characteristics
from ctcascade.validation.linearity import Line, straightness
from ctcascade.validation.precision import precision
from ctcascade.validation.tubes import Tube

_HEAD = """# {name} with what its validation found (ctcascade validation).
# To use it, copy this file into the folder of assays and name it in the sample sheet.
"""
_LEAST_LEVELS = 3
_CREDIBLE = 0.01  # of the cells put in: an assay that finds fewer is no assay, and the unit is wrong
_UNLIKE = 1.5  # ratio of the blood in tubes


@dataclass(frozen=True)
class Recovered:
    """The share of tumour cells that is called, with limits, over all tubes, and false calls in a tube."""

    share: float
    low: float
    high: float
    false: float
    called: int
    put_in: float


def validate(
    job: ValidationJob, counts: Sequence[Path], replicates: Path, out: Path, assay_out: Path, sheet: str = "samples"
) -> None:
    """Write the figures of a method validation, and the assay with those that it can take.

    Parameters
    ----------
    job : ValidationJob
        The tubes are as the sheet describes them.
    counts : sequence of Path
        counts.json of these samples, in the same order.
    replicates : Path
        In-silico tubes, used for what the laboratory's own tubes cannot say.
    out : Path
        JSON to write, as `results.Validation`.
    assay_out : Path
        YAML to write: the assay with recovery and background, or from in-silico tubes with the sensitivity.
    sheet : str
        What faults call the sheet of samples.

    Raises
    ------
    InputError
        If a file is no result of this program, or more cells were called than can have been spiked.

    Notes
    -----
    Recovery is ``(called - false) / put in``, summed over the tubes, its limits those of the sum of calls as a Poisson
    count, widened by how much more than that the sum varies where tubes differ by more than chance
    (`detection_limits.variation_about`), and by Student's t for their number. In simulations of 4 to 20 tubes that vary
    by 0, 15 and 30 % beyond chance the limits of 95 % hold the truth in 93 to 99 % of cases.
    """
    read = {about.sample: store.read_json(path, Counts) for about, path in zip(job.tubes, counts, strict=True)}
    made = store.read_json(replicates, Replicates)
    own, left_out = known.of_controls(job.tubes, read)
    silico = known.in_silico(made.tubes)
    spiked = [t for t in own if t.expected]
    has_levels = len({t.nominal for t in spiked}) >= _LEAST_LEVELS
    basis: Basis = "controls" if has_levels else made.basis
    used = spiked if has_levels else [t for t in silico if t.expected]
    own_blanks = [t for t in own if t.kind == "blank"]
    blanks = own_blanks or [t for t in silico if t.kind == "blank"]
    alike = own_blanks if has_levels and own_blanks else [t for t in silico if t.kind == "blank"]
    false_per_tube = sum(t.observed for t in alike) / len(alike) if alike else 0.0
    refuse_all(known.impossible(spiked, false_per_tube, sheet))
    blank = blank_limit([t.observed for t in blanks], job.level, [t.blood_tubes for t in blanks])
    found = recovered(used, false_per_tube, job.level)
    line = straightness(*_scaled(used), job.level)
    levels = _levels(used, line, blank.count, false_per_tube, job)
    beyond = limits.variation_beyond_chance(_groups(used))
    carry, why_no_carry = carry_over(own, job.level)
    seed = np.random.default_rng([job.random_seed, 3])
    factors = factors_of(job, basis, found, own_blanks)
    figures = Figures(
        levels=levels,
        blank=blank,
        detection=_detection(job, blank, found, used, beyond or 0.0),
        quantitation=_quantitation(job, beyond, found),
        linearity=_linearity(job, line, levels),
        precision=precision(own, job.level, seed),
        carry_over=carry,
        why_no_carry_over=why_no_carry,
    )
    basis_of_blanks: Basis = "controls" if own_blanks else made.basis
    written = {**job.assay.written, **{name: factor.model_dump() for name, factor in factors.items()}}
    text = yaml.safe_dump(written, sort_keys=False, allow_unicode=True, width=110)
    store.write_text(assay_out, _HEAD.format(name=job.assay.name) + text)
    made_from = {f"counts/{name}": path for name, path in zip(read, counts, strict=True)}
    result = Validation(
        assay=job.assay.name,
        characteristics=characteristics(basis, basis_of_blanks, made.samples, used, blanks, figures, _doubt(found)),
        basis=basis,
        basis_of_blanks=basis_of_blanks,
        tubes=tuple(t.as_result for t in [*own, *(silico if not has_levels or not own_blanks else [])]),
        left_out=tuple(left_out),
        factors=factors,
        level=job.level,
        random_seed=job.random_seed,
        provenance=store.provenance(job, {**made_from, "replicates": replicates, "validated assay": assay_out}),
        **vars(figures),
    )
    store.write_json(out, result)


def blank_limit(counts: Sequence[int], level: float, blood: Sequence[float] = ()) -> BlankLimit:
    """Return the limit of blank of tubes, and what it rests on.

    The limit by ranks where there are as many blanks as the guideline asks for, else that for counts; where false calls
    are not Poisson counts and too few for ranks, there is none. Nor is there one where the `blood` looked at differs
    between blanks by more than half: a limit is of like tubes.
    """
    n, total = len(counts), sum(counts)
    found = limits.limit_of_blank(counts, level)
    rate, low, high = limits.poisson_mean(total, n, level)
    share, share_low, share_high = limits.share_with_limits(sum(c == 0 for c in counts), n, level)
    count: int | None
    if blood and max(blood) > _UNLIKE * min(blood):
        count, why = None, f"blanks of {min(blood):.2g} to {max(blood):.2g} tubes of blood are no like tubes"
    elif n >= limits.ADVISED_BLANKS and found.by_rank is not None:
        count, why = math.ceil(found.by_rank), f"by ranks, of {n} blanks"
    elif found.by_counts is not None:
        count, why = (
            found.by_counts,
            f"of {n} blanks, fewer than the {limits.ADVISED_BLANKS} that ranks need, as counts",
        )
    else:
        count, why = (
            None,
            (
                f"blanks differ by more than chance (p {found.dispersion_p:.1g}), and {n} are too few for ranks:"
                f" at least {limits.ADVISED_BLANKS} are asked for"
            ),
        )
    return BlankLimit(
        n_blanks=n,
        n_false=total,
        false_per_tube=Interval(estimate=rate, low=low, high=high, level=level),
        count=count,
        by_rank=found.by_rank,
        by_normal=found.by_normal,
        by_counts=found.by_counts,
        dispersion_p=found.dispersion_p,
        specificity=Interval(estimate=share, low=share_low, high=share_high, level=level),
        level=level,
        advised_blanks=limits.ADVISED_BLANKS,
        why=why,
    )


def recovered(used: Sequence[Tube], false: float, level: float) -> Recovered:
    """Return the share of tumour cells that is called over all tubes; see `validate`."""
    called, put_in = sum(t.observed for t in used), sum(t.expected or 0.0 for t in used)
    share = max(0.0, called - false * len(used)) / put_in
    expected = np.array([share * (t.expected or 0.0) + false for t in used])
    observed = np.array([t.observed for t in used], np.float64)
    wide = 1.0
    if len(used) > 1 and (expected > 0).all():
        b = limits.variation_about(observed, expected)
        t = float(stats.t.ppf((1 + level) / 2, len(used) - 1) / stats.norm.ppf((1 + level) / 2))
        wide = t * math.sqrt(float((expected + (b * expected) ** 2).sum() / expected.sum()))
    _, low, high = limits.poisson_mean(called, 1, level)
    ends = [max(0.0, share + wide * (end - called) / put_in) for end in (low, high)]
    return Recovered(share, ends[0], ends[1], false, called, put_in)


def carry_over(own: Sequence[Tube], level: float) -> tuple[CarryOver | None, str]:
    """Return which share of a tube's cells is found in the blank after it, or why that is not known.

    Notes
    -----
    Blanks whose neighbour before them in the run had tumour cells are set beside the other blanks. Both rates have
    Jeffreys' posterior; the limits are those of their difference, over the mean count of the tubes before.
    """
    at = {(t.run, t.position): t for t in own if t.position is not None}
    after: list[tuple[Tube, Tube]] = []
    other: list[Tube] = []
    for t in own:
        before = at.get((t.run, t.position - 1)) if t.position else None
        if t.kind == "blank" and before and before.kind != "blank" and before.observed:
            after.append((t, before))
        elif t.kind == "blank":
            other.append(t)
    if not after:
        return None, "no blank has its position in a run right after a tube with tumour cells"
    if not other:
        return None, "no other blank to compare with those after a tube with tumour cells"
    mean_before = float(np.mean([before.observed for _, before in after]))
    grid = (np.arange(400) + 0.5) / 400
    seen = [[t.observed for t, _ in after], [t.observed for t in other]]
    rates = [stats.gamma.ppf(grid, sum(part) + 0.5, scale=1 / len(part)) for part in seen]
    differences = np.subtract.outer(*rates).ravel() / mean_before
    low, high = (float(end) for end in np.quantile(differences, [(1 - level) / 2, (1 + level) / 2]))
    share = float(np.mean(seen[0]) - np.mean(seen[1])) / mean_before
    found = FitValue(estimate=share, low=min(low, share), high=max(high, share), level=level)
    return CarryOver(n_after=len(after), n_other=len(other), mean_before=mean_before, share=found), ""


def factors_of(job: ValidationJob, basis: Basis, found: Recovered, own_blanks: Sequence[Tube]) -> dict[str, Factor]:
    """Return the factors that the assay file can take.

    From spiked tubes of the laboratory the recovery, which is what is called over the sensitivity that the assay
    states, so that neither is applied twice; from in-silico tubes the sensitivity; from blood of healthy donors the
    background.
    """
    source = f"Validation by ctcascade {__version__}: {found.called} called of {found.put_in:.6g} tumour cells"
    ends = [min(1.0, value) for value in (found.share, found.low, found.high)]
    factors = {}
    if _doubt(found):
        pass
    elif basis == "controls":
        known_share = job.assay.sensitivity.mean
        mean, low, high = (min(1.0, end / known_share) for end in ends)
        text = f"{source} in spiked tubes of the laboratory, over the assay's sensitivity of {known_share:g}."
        factors["recovery"] = Factor(mean=mean, low=max(low, 1e-6), high=high, kind="measured", source=text)
    elif basis == "frames":
        text = f"{source}, phantom ones in frames of healthy donors. Chance alone is in the limits."
        factors["sensitivity"] = Factor(mean=ends[0], low=max(ends[1], 1e-6), high=ends[2], kind="derived", source=text)
    exposure = sum(t.blood_tubes for t in own_blanks)
    if exposure > 0:
        false = sum(t.observed for t in own_blanks)
        posterior = stats.gamma(false + 0.5, scale=1 / exposure)
        low, high = (float(end) for end in posterior.ppf([(1 - job.level) / 2, (1 + job.level) / 2]))
        text = f"{false} CTC calls by ctcascade {__version__} in {len(own_blanks)} tubes without tumour cells."
        mean = float(posterior.mean())
        factors["background_per_7_5_ml"] = Factor(mean=mean, low=low, high=high, kind="measured", source=text)
    return factors


def _doubt(found: Recovered) -> str:
    """Return why the recovery is no factor for the assay; empty where it is."""
    if found.share <= 0:
        return ": nothing was found, and no recovery is given to the assay"
    if found.high < _CREDIBLE:
        return ": so few that the numbers put in are in doubt (cells in the tube?); no recovery is given to the assay"
    if found.low > 1:
        return ": more cells than were put in, so the numbers put in cannot be right; no recovery is given to the assay"
    return ""


def _groups(used: Sequence[Tube]) -> list[list[float]]:
    groups: dict[tuple[str, str], list[float]] = {}
    for t in used:
        groups.setdefault(t.group, []).append(float(t.observed))
    return list(groups.values())


def _scaled(used: Sequence[Tube]) -> tuple[list[float], list[float]]:
    """Return expected and observed, like tubes at one expected number although not the same part of each was seen."""
    mean: dict[int, float] = {}
    for nominal in {t.nominal or 0 for t in used}:
        mean[nominal] = float(np.mean([t.expected for t in used if t.nominal == nominal]))
    pairs = [(mean[t.nominal or 0], t.observed * mean[t.nominal or 0] / (t.expected or 1.0)) for t in used]
    return [x for x, _ in pairs], [y for _, y in pairs]


def _levels(
    used: Sequence[Tube], line: Line | None, blank: int | None, false: float, job: ValidationJob
) -> tuple[RecoveryAtLevel, ...]:
    found = []
    for nominal in sorted({t.nominal or 0 for t in used}):
        here = [t for t in used if t.nominal == nominal]
        seen = np.array([t.observed for t in here], np.float64)
        expected = float(np.mean([t.expected for t in here]))
        share = recovered(here, false, job.level)
        off = line.deviations.get(expected) if line else None
        sd = float(seen.std(ddof=1)) if len(here) > 1 else None
        found.append(
            RecoveryAtLevel(
                expected=expected,
                n_tubes=len(here),
                mean=float(seen.mean()),
                sd=sd,
                cv=sd / float(seen.mean()) if sd is not None and seen.mean() > 0 else None,
                recovery=Interval(
                    estimate=share.share,
                    low=min(share.low, share.share),
                    high=max(share.high, share.share),
                    level=job.level,
                ),
                detected=float((seen > (blank or 0)).mean()),
                deviation=FitValue(estimate=off.estimate, low=off.low, high=off.high, level=job.level) if off else None,
                linear=bool(max(abs(off.low), abs(off.high)) <= job.deviation_allowed) if off else None,
            )
        )
    return tuple(found)


def _detection(
    job: ValidationJob, blank: BlankLimit, found: Recovered, used: Sequence[Tube], beyond: float
) -> DetectionLimit:
    low = [t for t in used if t.nominal is not None and t.nominal <= job.low_ctc]
    why = "there is no limit of blank" if blank.count is None else "the recovery may be zero"
    at = least = most = None
    if blank.count is not None and found.low > 0:
        at, least, most = (
            limits.limit_of_detection_by_counts(blank.count, found.false, share, job.level, beyond)
            for share in (found.share, found.high, found.low)
        )
        why = f"tubes vary by {beyond:.0%} beyond chance, which no number of cells makes up for"
    if blank.count is None or at is None or least is None or most is None:
        return DetectionLimit(by_counts=None, by_normal=None, n_low=len(low), level=job.level, why=why)
    return DetectionLimit(
        by_counts=Interval(estimate=at, low=min(least, at), high=max(most, at), level=job.level),
        by_normal=limits.limit_of_detection_by_normal(blank.count, _groups(low), job.level),
        n_low=len(low),
        level=job.level,
        why="",
    )


def _quantitation(job: ValidationJob, beyond: float | None, found: Recovered) -> QuantitationLimit:
    at, why = None, ""
    if beyond is None or found.share <= 0:
        why = "nothing was found" if found.share <= 0 else "no two tubes of one number"
    else:
        at = limits.limit_of_quantitation(job.cv_wanted, beyond, found.false, found.share)
        why = (
            "" if at is not None else f"tubes vary by {beyond:.0%} beyond chance, which no number of cells makes up for"
        )
    return QuantitationLimit(estimate=at, cv_wanted=job.cv_wanted, cv_beyond_chance=beyond, why=why)


def _linearity(job: ValidationJob, line: Line | None, levels: Sequence[RecoveryAtLevel]) -> LinearityFit | None:
    if line is None:
        return None
    slope, intercept = (
        FitValue(estimate=fit.estimate, low=fit.low, high=fit.high, level=job.level)
        for fit in (line.slope, line.intercept)
    )
    return LinearityFit(
        slope=slope,
        intercept=intercept,
        quadratic_p=line.quadratic_p,
        cubic_p=line.cubic_p,
        allowed=job.deviation_allowed,
        low=levels[0].expected,
        high=levels[-1].expected,
        linear=all(level.linear for level in levels if level.expected > 0),
    )
