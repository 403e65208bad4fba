"""Follow-up of a laboratory's own patients, compared with the prediction: Kaplan-Meier, log-rank, Cox, calibration.

Each tumour and setting is looked at by itself. No name, no date and no sample stands in the result.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats
from statsmodels.duration.hazard_regression import PHReg
from statsmodels.duration.survfunc import SurvfuncRight, survdiff

from ctcascade import evidence
from ctcascade.data import store
from ctcascade.data.errors import refuse
from ctcascade.data.vocabulary import REFERENCE_ASSAY, REFERENCE_VOLUME_ML
from ctcascade.study.jobs import CohortJob, FollowedPatient

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

MONTHS = (6, 12, 24)
"""Months at which predicted and observed survival are compared."""

_STEPS = (1, 3, 6, 12, 24, 60, 120)  # months between the numbers at risk
_MOST_TICKS = 8
_END_POINT = "OS"  # `event` is death
_REFERENCE = (REFERENCE_ASSAY, REFERENCE_VOLUME_ML)  # what published cut-offs of `p_at_least` are counts of


@dataclass(frozen=True)
class _Patient:
    time: float
    died: bool
    ctc_per_7_5_ml: float
    p_at_least: Mapping[str, float | None]
    cutoff: int | None  # of the curve
    curve: Floats | None  # shape (n, 2): months, probability to live so long
    why_no_curve: str


def cohort(settings: CohortJob, counts: Sequence[Path], prognoses: Sequence[Path], out: Path) -> None:
    """Write cohort.json: survival of the patients by count, and how well it was predicted.

    Parameters
    ----------
    settings : CohortJob
        The sample of each patient is the first one, which time_months count from.
    counts : sequence of Path
        counts.json of these first draws, in the order of the patients.
    prognoses : sequence of Path
        prognosis.json of the patients, in the same order.
    out : Path

    Raises
    ------
    InputError
        If nobody has follow-up, a file is not a result of this version, or is of another patient or draw.

    Notes
    -----
    *Groups by count.* A patient belongs above the published cut-off where a reference assay would more likely than not
    have counted so many (`p_at_least`); with the reference assay's own blood volume and recovery that is the count.
    The cut-off is that of the curve of overall survival that the setting's patients have; where they have none, that
    of the largest published study of the setting with two groups of overall survival.

    *Cox.* The covariate is ``log2(1 + CTCs per 7.5 mL)``, so that the hazard ratio is that of a doubling; ties by
    Efron, limits by Wald.

    *Refused.* With fewer than ``min_events`` deaths no ratio, no concordance and no calibration is given.
    Ten deaths a covariate are the usual least [1]_; fewer may do [2]_.
    A calibration of fewer than ``advised_events`` deaths says so: a hundred are advised [3]_.

    References
    ----------
    .. [1] Peduzzi P et al., J Clin Epidemiol 1995;48:1503. doi:10.1016/0895-4356(95)00048-8
    .. [2] Vittinghoff E, McCulloch CE, Am J Epidemiol 2007;165:710. doi:10.1093/aje/kwk052
    .. [3] Collins GS, Ogundimu EO, Altman DG, Stat Med 2016;35:214. doi:10.1002/sim.6787
    """
    about = settings.patients
    if not about:
        todo = "fill the columns event and time_months of patients with a tumour (config/README.md)"
        refuse("the patient sheet", "event, time_months", "no patient with follow-up", "at least one", todo)
    read = [store.read_json(path, "counts") for path in counts]
    predicted = [store.read_json(path, "prognosis") for path in prognoses]
    for given, c, p, path in zip(about, read, predicted, counts, strict=True):
        if (c["sample"], p["patient"]) != (given.sample, given.patient):
            refuse(path, "sample", c["sample"], given.sample, "give counts and prognoses in the patients' order")
    least_ml = float(evidence.load("assay_facts").central["least_volume"])
    left_out: Counter[str] = Counter()
    groups: dict[tuple[str, str], list[_Patient]] = {}
    for given, c, p in zip(about, read, predicted, strict=True):
        why = _why_left_out(c, least_ml)
        if why:
            left_out[why] += 1
        else:
            groups.setdefault((given.primary, given.setting), []).append(_patient(given, c, p))
    result = {
        "level": settings.level,
        "min_events": settings.min_events,
        "advised_events": settings.advised_events,
        "n_patients": len(about),
        "left_out": _reasons(left_out),
        "groups": [_group(settings, *key, groups[key]) for key in sorted(groups)],
        "provenance": store.provenance(
            settings.model_dump(mode="json", exclude={"patients"}), {}, evidence.evidence_hash()
        ).model_copy(
            update={
                "inputs": {
                    "counts": _digest([store.file_hash(path) for path in counts]),
                    "follow-up": _digest([json.dumps(row.as_json(), sort_keys=True) for row in about]),
                    "prognoses": _digest([store.file_hash(path) for path in prognoses]),
                }
            }
        ),
    }
    store.write_json(out, "cohort", result)


def kaplan_meier(times: Floats, died: Bools, level: float) -> dict[str, Any]:
    """Return the share alive after each death, with limits, and the median.

    Parameters
    ----------
    times : ndarray of float, shape (n,)
        Months to death or last contact.
    died : ndarray of bool, shape (n,)
    level : float

    Returns
    -------
    dict
        ``n``, ``events``, ``last_month``, ``curve`` (``time_months``, ``p``, ``low``, ``high``: a step at each death,
        from month 0) and ``median_months`` with its limits, None where it is not reached.

    Notes
    -----
    Greenwood's variance on the scale of ``log(-log S)``, so that the limits stay inside 0 to 1. Where nobody is left
    that scale has no value, and the limits before it stand.
    """
    curve = [{"time_months": 0.0, "p": 1.0, "low": 1.0, "high": 1.0}]
    if died.any():
        found = SurvfuncRight(times, died.astype(np.int64))
        z = float(special.ndtri((1 + level) / 2))
        for time, p, error in zip(found.surv_times, found.surv_prob, found.surv_prob_se, strict=True):
            low, high = 0.0, curve[-1]["high"]
            if 0 < p < 1:
                away = np.exp(z * error / (p * -np.log(p)))
                low, high = p**away, p ** (1 / away)
            curve.append({"time_months": float(time), "p": float(p), "low": float(low), "high": float(high)})
    return {
        "n": len(times),
        "events": int(died.sum()),
        "last_month": float(times.max()),
        "curve": curve,
        **{name: _reached(curve, key) for name, key in _MEDIAN.items()},
    }


_MEDIAN = {"median_months": "p", "median_low": "low", "median_high": "high"}


def _reached(curve: Sequence[Mapping[str, float]], key: str) -> float | None:
    return next((point["time_months"] for point in curve if point[key] <= 0.5), None)


def hazard_ratio(times: Floats, died: Bools, x: Floats, level: float) -> dict[str, float]:
    """Return the hazard ratio of one more of `x` by Cox's model (ties by Efron), with Wald limits and p."""
    fitted = PHReg(times, x[:, None], status=died.astype(np.int64), ties="efron").fit(disp=0)
    beta, error = float(fitted.params[0]), float(fitted.bse[0])
    z = float(special.ndtri((1 + level) / 2))
    return {
        "estimate": float(np.exp(beta)),
        "low": float(np.exp(beta - z * error)),
        "high": float(np.exp(beta + z * error)),
        "level": level,
        "p": float(2 * special.ndtr(-abs(beta / error))),
    }


def concordance(
    times: Floats, died: Bools, x: Floats, level: float, draws: int, rng: np.random.Generator
) -> dict[str, float]:
    """Return Harrell's c: of pairs in which it is known who died first, the share where that one had the higher `x`.

    Notes
    -----
    Equal `x` count half. The limits are percentiles over resampled patients: a patient drawn w times weighs w.

    References
    ----------
    Harrell FE, Lee KL, Mark DB, Stat Med 1996;15:361 (PMID 8668867).
    """
    outlived = (times[:, None] < times) | ((times[:, None] == times) & ~died)
    known = (died[:, None] & outlived).astype(np.float64)
    right = known * ((x[:, None] > x) + 0.5 * (x[:, None] == x))
    weights = rng.multinomial(len(times), np.full(len(times), 1 / len(times)), size=draws).astype(np.float64)
    pairs, won = (((weights @ matrix) * weights).sum(axis=1) for matrix in (known, right))
    drawn = won[pairs > 0] / pairs[pairs > 0]
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return {"estimate": float(right.sum() / known.sum()), "low": float(low), "high": float(high), "level": level}


def _why_left_out(counts: Mapping[str, Any], least_ml: float) -> str:
    if counts["status"] != "ok":
        return "the first draw could not be evaluated"
    if counts["blood_volume_ml"] * counts["sampled_fraction"] * counts["imaged_fraction"] < least_ml:
        return "too little blood of the first draw was looked at"
    return ""


def _patient(given: FollowedPatient, counts: Mapping[str, Any], prognosis: Mapping[str, Any]) -> _Patient:
    earlier = prognosis.get("earlier_curve") or {}
    of_draw = [c for c in (prognosis, earlier) if c.get("sample") == counts["sample"] and c["survival"]]
    curve = next((c for c in of_draw if c["endpoint"] == _END_POINT), None)
    if curve is not None:
        why = ""
    elif of_draw:
        why = "the published curve is not of overall survival"
    elif prognosis["survival"]:
        why = "the published curve starts at a later draw"
    else:
        why = "no published curve for such a patient"
    return _Patient(
        float(given.time_months),
        given.event == 1,
        float(counts["ctc_per_7_5_ml"]["estimate"]),
        counts["p_at_least"],
        None if curve is None else curve["cutoff"],
        None if curve is None else np.array([[point["time_months"], point["p"]] for point in curve["survival"]]),
        why,
    )


def _group(settings: CohortJob, primary: str, setting: str, patients: Sequence[_Patient]) -> dict[str, Any]:
    """Return all that is said of one tumour and setting."""
    cutoff, evidence_id = _cutoff(primary, setting, patients)
    shares = [None if cutoff is None else p.p_at_least.get(str(cutoff)) for p in patients]
    split = {
        f"below {cutoff}": [p for p, share in zip(patients, shares, strict=True) if share is not None and share < 0.5],
        f"{cutoff} or more": [p for p, s in zip(patients, shares, strict=True) if s is not None and s >= 0.5],
    }
    parts = {label: members for label, members in split.items() if members}
    all_times, all_died = _followed(patients)
    last = float(all_times.max())
    step = next((s for s in _STEPS if last / s <= _MOST_TICKS), _STEPS[-1])
    at_risk = range(0, int(last) + 1, step)
    drawn = {"all": patients} if len(parts) < 2 else parts

    def stratum(label: str, members: Sequence[_Patient]) -> dict[str, Any]:
        times, died = _followed(members)
        numbers = [{"time_months": float(m), "n": int((times >= m).sum())} for m in at_risk]
        return {"label": label, **kaplan_meier(times, died, settings.level), "at_risk": numbers}

    model, why_no_model = _model(settings, patients)
    calibration, why_no_calibration = _calibration(settings, patients, parts)
    return {
        "primary": primary,
        "setting": setting,
        "n": len(patients),
        "events": int(all_died.sum()),
        "cutoff": cutoff,
        "cutoff_evidence_id": evidence_id,
        "n_without_group": 0 if cutoff is None else shares.count(None),
        "strata": [stratum(label, members) for label, members in drawn.items()],
        "log_rank": _log_rank(list(parts.values())),
        "model": model,
        "why_no_model": why_no_model,
        "calibration": calibration,
        "why_no_calibration": why_no_calibration,
    }


def _followed(patients: Sequence[_Patient]) -> tuple[Floats, Bools]:
    return np.array([p.time for p in patients]), np.array([p.died for p in patients])


def _cutoff(primary: str, setting: str, patients: Sequence[_Patient]) -> tuple[int | None, str | None]:
    """Return the count that parts the patients, and the published row that it is read from (None: their curve)."""
    own = Counter(p.cutoff for p in patients if p.cutoff is not None)
    if own:
        return min(own, key=lambda cutoff: (-own[cutoff], cutoff)), None
    rows, strata = evidence.load("survival"), evidence.load("strata")
    found = []
    for name, row in rows.iterrows():
        begins = strata.count_low[strata.comparison == name]
        above = begins[begins > 0]
        is_of = primary in row.primary.split(";") and setting in row.setting.split(";") and not row.subtype
        is_of = is_of and not row.negative and row.endpoint == _END_POINT and (row.assay, row.volume_ml) == _REFERENCE
        if is_of and row.sampled == row.time_zero == "baseline" and len(above) == 1 and row.n > 0:
            found.append((-row.n, int(above.iloc[0]), str(name)))
    return min(found)[1:] if found else (None, None)


def _log_rank(parts: Sequence[Sequence[_Patient]]) -> dict[str, float] | None:
    """Return chi-square (one degree of freedom) and p of the two groups; None without two groups or any death."""
    if len(parts) < 2:
        return None
    times, died = _followed([p for part in parts for p in part])
    if not died.any():
        return None
    side = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    chi2, p = survdiff(times, died.astype(np.int64), side)
    return {"chi2": float(chi2), "p": float(p)}


def _model(settings: CohortJob, patients: Sequence[_Patient]) -> tuple[dict[str, Any] | None, str]:
    """Return hazard ratio and concordance of the count, or why there is none."""
    times, died = _followed(patients)
    x = np.log2(1 + np.array([p.ctc_per_7_5_ml for p in patients]))
    why = _too_few(settings, int(died.sum()))
    if why:
        return None, why
    if np.ptp(x) == 0:
        return None, "All patients have the same count."
    still = times >= times[died][:, None]
    ahead = np.where(still, x - x[died][:, None], 0.0)
    if (ahead <= 0).all() or (ahead >= 0).all():
        return None, "Whoever died had the most extreme count of those then alive: no finite hazard ratio fits that."
    rng = np.random.default_rng([settings.random_seed, len(x)])
    return {
        "covariate": "log2(1 + CTCs per 7.5 mL)",
        "hr_per_doubling": hazard_ratio(times, died, x, settings.level),
        "c_index": concordance(times, died, x, settings.level, settings.bootstrap, rng),
    }, ""


def _calibration(
    settings: CohortJob, patients: Sequence[_Patient], parts: Mapping[str, Sequence[_Patient]]
) -> tuple[dict[str, Any] | None, str]:
    """Return predicted and observed survival of the patients with a published curve, or why there is none.

    Notes
    -----
    Deaths are counted up to each curve's end. As many are expected as the curves' cumulative hazards,
    ``-log S(t)``, at the patients' own times add up to; the limits of the ratio are those of a Poisson count [1]_.

    References
    ----------
    .. [1] Crowson CS, Atkinson EJ, Therneau TM, Stat Methods Med Res 2016;25:1692. doi:10.1177/0962280213497434
    """
    with_curve = [p for p in patients if p.curve is not None]
    if not with_curve:
        reasons = dict.fromkeys(p.why_no_curve for p in patients)
        return None, f"There is nothing to compare: {'; '.join(reasons)}."
    until = np.array([min(p.time, float(p.curve[-1, 0])) for p in with_curve if p.curve is not None])
    times, died = _followed(with_curve)
    seen = int((died & (times <= until)).sum())
    why = _too_few(settings, seen)
    if why:
        return None, why
    alive = np.array([_predicted(p, t) for p, t in zip(with_curve, until, strict=True)])
    expected = float(-np.log(alive).sum())
    tail = (1 - settings.level) / 2
    low, high = stats.chi2.ppf([tail, 1 - tail], [2 * seen, 2 * seen + 2]) / 2
    members = {"all": with_curve}
    members |= {label: [p for p in part if p.curve is not None] for label, part in parts.items() if len(parts) > 1}
    return {
        "n": len(with_curve),
        "left_out": _reasons(Counter(p.why_no_curve for p in patients if p.curve is None)),
        "deaths_seen": seen,
        "deaths_expected": expected,
        "seen_of_expected": {
            "estimate": seen / expected,
            "low": float(low) / expected,
            "high": float(high) / expected,
            "level": settings.level,
        },
        "is_small": seen < settings.advised_events,
        "rows": [
            _compared(label, month, part, settings.level) for label, part in members.items() for month in MONTHS if part
        ],
    }, ""


def _compared(label: str, month: int, patients: Sequence[_Patient], level: float) -> dict[str, Any]:
    """Return mean predicted and observed survival of a group at a month, or why one of them is not known."""
    times, died = _followed(patients)
    row = {"label": label, "time_months": month, "n": len(patients), "predicted": None, "seen": None, "why": ""}
    if any(p.curve is not None and p.curve[-1, 0] < month for p in patients):
        return {**row, "why": "the published curve ends before"}
    found = kaplan_meier(times, died, level)
    at = [point for point in found["curve"] if point["time_months"] <= month][-1]
    if times.max() < month and at["p"] > 0:
        return {**row, "why": "nobody was followed so long"}
    predicted = float(np.mean([_predicted(p, month) for p in patients]))
    seen = {"estimate": at["p"], "low": at["low"], "high": at["high"], "level": level}
    return {**row, "predicted": predicted, "seen": seen}


def _predicted(patient: _Patient, month: float) -> float:
    assert patient.curve is not None
    return float(np.interp(month, *patient.curve.T))


def _too_few(settings: CohortJob, events: int) -> str:
    least = settings.min_events
    return f"Too few deaths were seen ({events}) to say a number: at least {least} are asked for." * (events < least)


def _reasons(counted: Counter[str]) -> list[dict[str, Any]]:
    return [{"reason": reason, "n": counted[reason]} for reason in sorted(counted)]


def _digest(parts: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
