"""Follow-up of a laboratory's own patients, compared with the prediction: Kaplan-Meier, log-rank, Cox, calibration.

Each tumour and setting is looked at by itself. No name, no date and no sample stands in the result.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ctcascade import evidence
from ctcascade.data import store
from ctcascade.data.errors import refuse
from ctcascade.data.results import (
    AtRisk,
    Counts,
    CoxModel,
    FollowUp,
    FollowUpGroup,
    FollowUpStratum,
    Prognosis,
    Provenance,
)
from ctcascade.data.vocabulary import REFERENCE_ASSAY, REFERENCE_VOLUME_ML
from ctcascade.evidence.tables import READ_BY
from ctcascade.study.jobs import CohortJob, FollowedPatient
from ctcascade.validation import tripod
from ctcascade.validation.calibration import (
    Followed,
    calibrate,
    reason_counts,
    times_and_deaths,
    too_few_deaths,
)
from ctcascade.validation.end_points import rates
from ctcascade.validation.survival import (
    comparable_pairs,
    concordance,
    hazard_ratio,
    kaplan_meier,
    log_rank,
    why_no_log_rank,
)

_STEPS = (1, 3, 6, 12, 24, 60, 120)  # months between the numbers at risk
_MOST_TICKS = 8
_END_POINT = "OS"  # `event` is death
_REFERENCE = (REFERENCE_ASSAY, REFERENCE_VOLUME_ML)  # what published cut-offs of `p_at_least` are counts of


def cohort(
    job: CohortJob, counts: Sequence[Path], prognoses: Sequence[Path], out: Path, everyone: Sequence[Path] = ()
) -> None:
    """Write cohort.json: survival of the patients by count, and how well it was predicted.

    Parameters
    ----------
    job : CohortJob
        The sample of each patient is the first one, which time_months count from.
    counts : sequence of Path
        counts.json of these first draws, in the order of the patients.
    prognoses : sequence of Path
        prognosis.json of the patients, in the same order.
    out : Path
    everyone : sequence of Path
        prognosis.json of all patients of the run, for the end points of a trial, which need no follow-up.

    Raises
    ------
    InputError
        If a file is not a result of this version, or is of another patient or draw.

    Notes
    -----
    *Groups by count.* A patient belongs above the published cut-off where a reference assay would more likely than not
    have counted so many (`p_at_least`); with the reference assay's own blood volume and recovery that is the count.
    The cut-off is that of the curve of overall survival that the setting's patients have; where they have none, that
    of the largest published study of the setting with two groups of overall survival.

    *Cox.* The covariate is ``log2(1 + CTCs per 7.5 mL)``, so that the hazard ratio is that of a doubling; ties by
    Efron, limits by Wald.

    *Nobody.* Without any patient with follow-up the result has no group, and its page says so.

    *Refused.* With fewer than ``min_events`` deaths no ratio, no concordance and no calibration is given.
    Ten deaths a covariate are the usual least [1]_; fewer may do [2]_.
    A calibration of fewer than ``advised_events`` deaths says so: a hundred are advised [3]_.

    References
    ----------
    .. [1] Peduzzi P et al., J Clin Epidemiol 1995;48:1503. doi:10.1016/0895-4356(95)00048-8
    .. [2] Vittinghoff E, McCulloch CE, Am J Epidemiol 2007;165:710. doi:10.1093/aje/kwk052
    .. [3] Collins GS, Ogundimu EO, Altman DG, Stat Med 2016;35:214. doi:10.1002/sim.6787
    """
    about = job.patients
    least_ml = float(evidence.load("assay_facts").central["least_volume"])
    left_out: Counter[str] = Counter()
    notices: Counter[str] = Counter()
    groups: dict[tuple[str, str], list[Followed]] = {}
    for given, counts_path, prognosis_path in zip(about, counts, prognoses, strict=True):
        counted, predicted = store.read_json(counts_path, Counts), store.read_json(prognosis_path, Prognosis)
        if (counted.sample, predicted.patient) != (given.sample, given.patient):
            todo = "give counts and prognoses in the patients' order"
            refuse(counts_path, "sample", counted.sample, given.sample, todo)
        if counted.notice:
            notices[counted.notice] += 1
        why = why_left_out(counted, least_ml)
        if why:
            left_out[why] += 1
        else:
            groups.setdefault((given.primary, given.setting), []).append(followed(given, counted, predicted))
    result = FollowUp(
        level=job.level,
        min_events=job.min_events,
        advised_events=job.advised_events,
        n_patients=len(about),
        left_out=reason_counts(left_out),
        notices=reason_counts(notices),
        groups=tuple(_group(job, *key, groups[key]) for key in sorted(groups)),
        end_points=rates([store.read_json(path, Prognosis) for path in everyone], job.level),
        tripod=tripod.items(),
        provenance=_made_by(job, counts, prognoses, everyone),
    )
    store.write_json(out, result)


def why_left_out(counts: Counts, least_ml: float) -> str:
    """Return why a patient cannot be judged by the first sample; empty where it can be used."""
    if counts.status != "ok":
        return "the first draw could not be evaluated"
    if counts.blood_analysed_ml < least_ml:
        return "too little blood of the first draw was looked at"
    return ""


def followed(given: FollowedPatient, counts: Counts, prognosis: Prognosis) -> Followed:
    """Return a patient with the published curve of overall survival from the first sample, or why there is none."""
    curves = [c for c in (prognosis, prognosis.earlier_curve) if c and c.sample == counts.sample and c.survival]
    curve = next((c for c in curves if c.endpoint == _END_POINT), None)
    if curve is not None:
        why = ""
    elif curves:
        why = "the published curve is not of overall survival"
    elif prognosis.survival:
        why = "the published curve starts at a later draw"
    else:
        why = "no published curve for such a patient"
    assert counts.ctc_per_7_5_ml is not None  # its status is ok
    return Followed(
        time=float(given.time_months),
        died=given.event == 1,
        ctc_per_7_5_ml=float(counts.ctc_per_7_5_ml.estimate),
        p_at_least=counts.p_at_least,
        cutoff=None if curve is None else curve.cutoff,
        curve=None if curve is None else np.array([[point.time_months, point.p] for point in curve.survival]),
        why_no_curve=why,
    )


def cox_model(job: CohortJob, patients: Sequence[Followed]) -> tuple[CoxModel | None, str]:
    """Return hazard ratio and concordance of the count, or why there is none."""
    times, died = times_and_deaths(patients)
    x = np.log2(1 + np.array([p.ctc_per_7_5_ml for p in patients]))
    why = too_few_deaths(job, int(died.sum()))
    if why:
        return None, why
    if np.ptp(x) == 0:
        return None, "All patients have the same count."
    still = times >= times[died][:, None]
    ahead = np.where(still, x - x[died][:, None], 0.0)
    if (ahead <= 0).all() or (ahead >= 0).all():
        return None, "Whoever died had the most extreme count of those then alive: no finite hazard ratio fits that."
    if not comparable_pairs(times, died):
        return None, "Of no two patients is it known who died first."
    ratio = hazard_ratio(times, died, x, job.level)
    if ratio is None:
        return None, "The deaths do not bound the hazard ratio."
    rng = np.random.default_rng([job.random_seed, len(x)])
    return CoxModel(
        covariate="log2(1 + CTCs per 7.5 mL)",
        hr_per_doubling=ratio,
        c_index=concordance(times, died, x, job.level, job.bootstrap, rng),
    ), ""


def _group(job: CohortJob, primary: str, setting: str, patients: Sequence[Followed]) -> FollowUpGroup:
    """Return all that is said of one tumour and setting."""
    cutoff, evidence_id = _cutoff(primary, setting, patients)
    shares = [None if cutoff is None else p.p_at_least.get(str(cutoff)) for p in patients]
    split = {
        f"below {cutoff}": [p for p, share in zip(patients, shares, strict=True) if share is not None and share < 0.5],
        f"{cutoff} or more": [p for p, s in zip(patients, shares, strict=True) if s is not None and s >= 0.5],
    }
    parts = {label: members for label, members in split.items() if members}
    times, died = times_and_deaths(patients)
    last = float(times.max())
    step = next((s for s in _STEPS if last / s <= _MOST_TICKS), _STEPS[-1])
    months = range(0, int(last) + 1, step)
    model, why_no_model = cox_model(job, patients)
    calibration, why_no_calibration = calibrate(job, patients, parts)
    compared = [times_and_deaths(part) for part in parts.values()]
    return FollowUpGroup(
        primary=primary,
        setting=setting,
        n=len(patients),
        events=int(died.sum()),
        cutoff=cutoff,
        cutoff_evidence_id=evidence_id,
        n_without_group=0 if cutoff is None else shares.count(None),
        strata=tuple(
            _stratum(label, members, months, job.level)
            for label, members in ({"all": patients} if len(parts) < 2 else parts).items()
        ),
        log_rank=log_rank(compared),
        why_no_log_rank=why_no_log_rank(compared),
        model=model,
        why_no_model=why_no_model,
        calibration=calibration,
        why_no_calibration=why_no_calibration,
    )


def _stratum(label: str, patients: Sequence[Followed], months: Sequence[int], level: float) -> FollowUpStratum:
    times, died = times_and_deaths(patients)
    found = kaplan_meier(times, died, level)
    return FollowUpStratum(
        label=label,
        n=found.n,
        events=found.events,
        last_month=found.last_month,
        curve=found.curve,
        at_risk=tuple(AtRisk(time_months=float(m), n=int((times >= m).sum())) for m in months),
        censored_months=tuple(sorted(times[~died].tolist())),
        median_months=found.median_months,
        median_low=found.median_low,
        median_high=found.median_high,
    )


def _cutoff(primary: str, setting: str, patients: Sequence[Followed]) -> tuple[int | None, str | None]:
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


def _made_by(job: CohortJob, counts: Sequence[Path], prognoses: Sequence[Path], everyone: Sequence[Path]) -> Provenance:
    """Return what made the result: one hash for all patients' files, so that none can be told from it."""
    inputs = {
        "counts": _digest([store.file_hash(path) for path in counts]),
        "follow-up": _digest([json.dumps(row.as_json(), sort_keys=True) for row in job.patients]),
        "prognoses": _digest([store.file_hash(path) for path in prognoses]),
    }
    if everyone:
        inputs["everyone"] = _digest([store.file_hash(path) for path in everyone])
    made_by = store.provenance(
        job.model_dump(mode="json", exclude={"patients"}), {}, evidence.evidence_hash(READ_BY["cohort"])
    )
    return made_by.model_copy(update={"inputs": inputs})


def _digest(parts: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
