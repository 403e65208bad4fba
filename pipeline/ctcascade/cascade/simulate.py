"""The metastatic cascade of a patient, conditioned on the counts: risk by organ and time, and the flow of cells.

`model` and `circulation` hold the mathematics step by step, `parameters` the draws of the evidence, `conditioning`
combines them for a patient, `engine` evaluates them, `findings` adds what imaging saw, `what_if` changes what follows,
`uncertainty` separates chance from lack of knowledge, and `statements` says in words what was assumed. The stage has
no recovery and no background of its own: it takes the posterior of each sample as it is.

In a setting of `NOT_METASTATIC` no lesion is in sight at first and local therapy ends the shedding. In all others a
lesion is in sight already, in an organ of the model with the probability ``seen_if_metastatic``, and the shedding stays
as it is. The setting enters by this meaning of its words only: nothing ties it to the founding itself.

The latest evaluable sample sets today's shedding; earlier ones set that of their own time, each for the time nearest
to it. Age, stage, histology beyond the sheet's primary and breast subtype, and drugs are not used, see `OUTSIDE`.
"""

import datetime
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ctcascade import evidence
from ctcascade.blood.course import Assay, Tube
from ctcascade.blood.factors import Factor
from ctcascade.blood.population import population_of
from ctcascade.blood.seen import Seen
from ctcascade.cascade import conditioning, engine, findings, uncertainty, what_if
from ctcascade.cascade.findings import Finding, Imaged
from ctcascade.cascade.model import Floats, Pace
from ctcascade.cascade.parameters import Draws
from ctcascade.cascade.statements import OUTSIDE, statements
from ctcascade.data import doubts, lineage, results, store
from ctcascade.data.errors import refuse
from ctcascade.data.results import ChangeBand, Controls, Counts, Provenance, Quality, ShareBand
from ctcascade.data.vocabulary import DAYS_PER_YEAR, HORIZONS_YEARS, NOT_METASTATIC, REFERENCE_VOLUME_ML
from ctcascade.evidence.tables import READ_BY
from ctcascade.study.jobs import SimulateJob
from ctcascade.study.patient import Patient, Rate
from ctcascade.study.scenarios import Scenario
from ctcascade.study.scenarios import read as read_scenarios

_NO_END_YEARS = 100.0
_PATIENTS = 9  # of the population, over whom the weights of findings are averaged
_TOO_LITTLE = "too little blood was looked at: the risks are hardly more than those of any such patient"
_NO_MODEL = {
    "none": "no primary tumour: there is nothing to spread",
    "other": "the primary tumour is not one of those that the model has organs for",
}


def simulate(
    job: SimulateJob,
    counts: Sequence[Path],
    out: Path,
    what_if: Path | None = None,
    quality: Sequence[Path] = (),
    controls: Path | None = None,
) -> None:
    """Write the cascade of one patient as JSON (`ctcascade.data.results.Cascade`).

    Parameters
    ----------
    job : SimulateJob
        The patient, and the settings of this stage.
    counts : sequence of Path
        The counts of all of the patient's samples.
    out : Path
    what_if : Path, optional
        YAML file of scenarios to set beside the risks.
    quality : sequence of Path
        quality.json of the samples: no risk rests on a sample whose checks fail.
    controls : Path, optional
        controls.json, where a sample belongs to a run with controls.

    Raises
    ------
    InputError
        If a file holds no counts or is another patient's, or a scenario cannot be.
    """
    scenarios = read_scenarios(what_if) if what_if else {}
    samples = {path: store.read_json(path, Counts) for path in counts}
    for path, found in samples.items():
        if found.patient != job.patient.patient:
            refuse(path, "patient", found.patient, job.patient.patient, "give the counts of one patient")
    if len({found.sample for found in samples.values()}) < len(samples):
        names = ", ".join(found.sample for found in samples.values())
        refuse(counts[0], "sample", f"a sample that stands twice ({names})", "each sample once", "give each once")
    inputs = {f"counts/{sample.sample}": path for path, sample in samples.items()}
    if what_if:
        inputs["what_if"] = what_if
    drawn = list(samples.values())
    checks = {path: store.read_json(path, Quality) for path in quality}
    lineage.refuse_checks_of_others(checks, drawn)
    inputs |= {f"quality of {checked.sample}": path for path, checked in checks.items()}
    if controls:
        inputs["controls"] = controls
    made_by = store.provenance(job, inputs, evidence.evidence_hash(READ_BY["simulate"]))
    charts = store.read_json(controls, Controls) if controls else None
    against = doubts.of_samples(drawn, {checked.sample: checked for checked in checks.values()}, charts)
    store.write_json(out, assess(job, drawn, scenarios, made_by, against))


def assess(
    job: SimulateJob,
    samples: Sequence[Counts],
    scenarios: Mapping[str, Scenario],
    made_by: Provenance,
    against: Mapping[str, Sequence[str] | None] | None = None,
) -> results.Cascade:
    """Return the cascade of one patient, or why there is none: from the counts of all samples, in any order.

    What speaks `against` a sample that was counted withholds the risks; what scans found stays.
    """
    latest_first = sorted(samples, key=lambda c: (c.collected, c.drawn == "after", c.sample), reverse=True)
    usable = [c for c in latest_first if c.status == "ok"]
    names = [c.sample for c in latest_first]
    if job.patient.primary in _NO_MODEL:
        return _without_risk(job, names, made_by, "not_applicable", _NO_MODEL[job.patient.primary])
    if not usable:
        reason = "no sample of this patient could be evaluated"
        return _without_risk(job, names, made_by, "not_evaluable", reason)
    known = _condition(job, usable)
    why = doubts.why_withheld(reversed(usable), against or {})
    if why:
        known_spread = {"known_metastatic": _known_metastatic(job.patient), "findings": _findings(known)}
        return _without_risk(job, names, made_by, "withheld", why).model_copy(update=known_spread)
    enough = any(c.evidence == "enough" for c in usable)
    by_organ, anywhere = known.model.risk(HORIZONS_YEARS)
    going_on = _going_on(job, usable)
    return results.Cascade(
        patient=job.patient.patient,
        primary=job.patient.primary,
        status="ok",
        reason="" if enough else _TOO_LITTLE,
        latest_sample=usable[0].sample,
        samples=tuple(names),
        organs=_organs(known, by_organ, known.model.risk([0.0])[0][0]),
        p_any=known.risks(anywhere),
        known_metastatic=_known_metastatic(job.patient),
        level=job.level,
        flow=tuple(
            results.FlowStep(step=step.name, meaning=step.meaning, unit=step.unit, **known.band(step.values))
            for step in known.cascade.flow()
        ),
        p_founding_per_ctc=ShareBand(**known.band(known.cascade.p_founding_per_ctc)),
        share_due_to_clusters=ShareBand(**known.band(known.cascade.cluster_share)),
        risk_due_to_clusters=_due_to_clusters(known, anywhere),
        evidence="enough" if enough else "too_little_blood",
        prior_dominated=uncertainty.prior_dominated(known.cascade, _latest_cells(usable)),
        switched_off=tuple(sorted(job.switched_off)),
        outside_the_model=OUTSIDE,
        evidence_ids=tuple(sorted(known.draws.used)),
        assumptions=tuple(sorted(name for name, kind in known.draws.used.items() if kind == "assumption")),
        findings=_findings(known),
        statements=tuple(
            statements(job, usable, known.cascade, known.imaged, softened=known.softened, going_on=going_on)
        ),
        if_therapy_goes_on=going_on,
        variance_shares=uncertainty.variance_shares(anywhere[:, known.kept]),
        lead_time=uncertainty.lead_time(known.model.anywhere, known.kept, job.level),
        what_if=tuple(_compare(known, name, scenario, anywhere) for name, scenario in scenarios.items()),
        provenance=made_by,
    )


def _without_risk(
    job: SimulateJob,
    samples: Sequence[str],
    made_by: Provenance,
    status: Literal["not_applicable", "not_evaluable", "withheld"],
    reason: str,
) -> results.Cascade:
    """Return the result of a patient for whom no risk is computed."""
    return results.Cascade(
        patient=job.patient.patient,
        primary=job.patient.primary,
        status=status,
        reason=reason,
        latest_sample=None,
        samples=tuple(samples),
        organs=(),
        p_any=None,
        level=job.level,
        flow=(),
        p_founding_per_ctc=None,
        share_due_to_clusters=None,
        risk_due_to_clusters=None,
        prior_dominated=None,
        switched_off=tuple(sorted(job.switched_off)),
        outside_the_model=OUTSIDE,
        evidence_ids=(),
        assumptions=(),
        findings=(),
        statements=(),
        variance_shares=None,
        lead_time=None,
        what_if=(),
        provenance=made_by,
    )


@dataclass(frozen=True)
class Conditioned:
    """The cascade given all that is known of a patient, and which draws of it count.

    Attributes
    ----------
    cascade : Cascade
        Given the samples, under the patient's therapies.
    found : sequence of Finding
        What imaging found.
    imaged : Imaged or None
        The cascade given the findings, too; None where there are none.
    kept : ndarray of int
        The draws, each as often as its weight says.
    softened : bool
        Whether the weights had to be tempered.
    draws : Draws
        With the record of the evidence that was drawn.
    level : float
        Probability of every band.
    """

    cascade: engine.Cascade
    found: Sequence[Finding]
    imaged: Imaged | None
    kept: NDArray[np.intp]
    softened: bool
    draws: Draws
    level: float

    @property
    def model(self) -> engine.Cascade | Imaged:
        """The model that gives the risks."""
        return self.imaged or self.cascade

    def band(self, values: Floats) -> dict[str, float]:
        """Return mean and limits of values by draw, shape (n,)."""
        return uncertainty.band(values[self.kept], self.level)

    def risks(self, values: Floats) -> dict[str, results.RiskBand]:
        """Return the bands of risks by horizon and draw, shape (horizons, n)."""
        return uncertainty.by_horizon(values[:, self.kept], self.level)


def _condition(job: SimulateJob, usable: Sequence[Counts]) -> Conditioned:
    """Return the cascade given the samples (the latest first), the therapies and the imaging of the patient."""
    patient, draws = job.patient, Draws(job.random_seed, job.draws)
    latest = datetime.date.fromisoformat(usable[0].collected)
    cascade = conditioning.build(
        patient.primary,
        [_sample(c, patient, latest, cell_sizes=job.cell_sizes) for c in usable],
        draws,
        sex=patient.sex,
        early=patient.setting in NOT_METASTATIC,
        setting=patient.setting,
        subtype=patient.subtype,
        stage=patient.stage,
        resected_years=_years(patient.resected, latest) if patient.resected else None,
        reseeding=job.reseeding,
        switched_off=job.switched_off,
        population=population_of(patient.primary, patient.setting),
        pace=_pace(patient, latest),
    )
    cascade = _under_therapies(cascade, patient, latest)
    found = findings.dated(patient.imaging, latest)
    imaged, weights, softened = None, np.ones(draws.n), False
    if found:
        true = draws.parameter("finding_true")
        likelihood, seen = findings.in_anyone(cascade, found, true, _levels_of_anyone(job, draws))
        imaged = Imaged.condition(cascade, found, true, seen)
        weights, softened = findings.temper(likelihood)
    return Conditioned(cascade, found, imaged, findings.resample(weights), softened, draws, job.level)


def _levels_of_anyone(job: SimulateJob, draws: Draws) -> list[Floats]:
    """Return levels of shedding that stand for equally many patients of the same kind each."""
    unseen = 0.0 if "unseen_shedding" in job.switched_off else draws.parameter("unseen_shedding")
    population = population_of(job.patient.primary, job.patient.setting)
    return [population.quantile((i + 0.5) / _PATIENTS) + unseen + np.zeros(draws.n) for i in range(_PATIENTS)]


def _sample(counts: Counts, patient: Patient, latest: datetime.date, *, cell_sizes: bool) -> conditioning.Sample:
    """Return what the model needs of a sample; ValueError where it could not be evaluated."""
    if counts.n_clusters is None or counts.n_ctc is None:
        raise ValueError(f"{counts.sample}: not evaluable, but its status is {counts.status}")
    sizes = {int(size): times for size, times in counts.cluster_sizes.items()} if counts.n_clusters else {}
    collected = datetime.date.fromisoformat(counts.collected)
    candidates = [(c.p_ctc, c.n) for c in counts.candidates]
    known = sum(n for _, n in candidates) == counts.n_ctc + (counts.n_uncertain or 0)
    seen = Seen.of(counts.n_ctc, candidates if known else [])
    measured = counts.ctc_diameters_um if cell_sizes else None
    return conditioning.Sample(
        age_years=-_years(collected, latest),
        tube=Tube(seen, counts.blood_analysed_ml / REFERENCE_VOLUME_ML, _assay(counts)),
        n_clusters=counts.n_clusters,
        cluster_cells=sum(size * times for size, times in sizes.items()),
        n_pairs=sizes.get(2, 0),
        diameters_um=(measured.n, float(np.mean(measured.quantiles))) if measured else (0, 0.0),
        after=patient.interventions_before(collected, counts.drawn),
    )


def _assay(counts: Counts) -> Assay:
    recovery, sensitivity, background = (
        Factor(f.mean, f.low, f.high) for f in (counts.recovery, counts.sensitivity, counts.background_per_7_5_ml)
    )
    tube = counts.tube_to_tube
    return Assay(recovery, sensitivity, background, Factor(tube.mean, tube.low, tube.high) if tube else None)


def _going_on(job: SimulateJob, usable: Sequence[Counts]) -> tuple[results.TherapyGoesOn, ...]:
    """Return the risks if each therapy whose end after the latest sample raises them went on."""
    latest = datetime.date.fromisoformat(usable[0].collected)
    found = []
    for therapy in job.patient.therapies:
        if not therapy.holds_back or therapy.end is None or therapy.end <= latest:
            continue
        others = [given for given in job.patient.therapies if given is not therapy]
        endless = therapy.model_copy(update={"end": None})
        patient = job.patient.model_copy(update={"therapies": (*others, endless)})
        known = _condition(job.model_copy(update={"patient": patient}), usable)
        found.append(
            results.TherapyGoesOn(
                therapy=therapy.kind,
                ends=therapy.end.isoformat(),
                p_any=known.risks(known.model.risk(HORIZONS_YEARS)[1]),
            )
        )
    return tuple(found)


def _under_therapies(cascade: engine.Cascade, patient: Patient, latest: datetime.date) -> engine.Cascade:
    for start, end, rates in _spans(patient, latest):
        cascade = what_if.under_therapy(cascade, start, end, rates)
    return cascade


def _pace(patient: Patient, latest: datetime.date) -> Pace:
    """Return how fast lesions grow under the patient's therapies."""
    pace = Pace()
    for start, end, rates in _spans(patient, latest):
        pace = pace.during(start, end, rates.get("growth", 1.0))
    return pace


def _spans(patient: Patient, latest: datetime.date) -> Iterator[tuple[float, float, Mapping[Rate, float]]]:
    """Yield start and end of the therapies with rates, in years after the latest sample, and what is left."""
    for therapy in (given for given in patient.therapies if given.rates):
        end = _years(therapy.end, latest) if therapy.end else _NO_END_YEARS
        yield _years(therapy.start, latest), end, therapy.rates


def _due_to_clusters(known: Conditioned, anywhere: Floats) -> ShareBand:
    """Return the share of the risk of the last horizon that rests on clusters founding more than their cells would."""
    shed, cells = known.cascade.shedding, known.cascade.levels_of_cells
    assert cells is not None
    off = replace(known.cascade, shedding=replace(shed, levels=cells))
    model = Imaged.condition(off, known.found, known.imaged.true, known.imaged.seen) if known.imaged else off
    without = model.risk([max(HORIZONS_YEARS)])[1][0]
    risk = anywhere[-1]
    band = known.band(np.clip(1 - without / np.maximum(risk, np.finfo(float).tiny), 0.0, 1.0))
    kept = known.kept
    mean = float(np.clip(1 - without[kept].mean() / risk[kept].mean(), band["low"], band["high"]))
    return ShareBand(mean=mean, low=band["low"], high=band["high"])


def _latest_cells(usable: Sequence[Counts]) -> int:
    """Return the CTCs that all tubes of the latest day showed together."""
    return sum(c.n_ctc or 0 for c in usable if c.collected == usable[0].collected)


def _years(day: datetime.date, latest: datetime.date) -> float:
    """Return the years of a day after the latest sample; negative before it."""
    return (day - latest).days / DAYS_PER_YEAR


def _known_metastatic(patient: Patient) -> bool:
    return patient.setting not in NOT_METASTATIC and patient.setting != "advanced"


def _organs(known: Conditioned, by_organ: Floats, now: Floats) -> tuple[results.Organ, ...]:
    first, any_organ = known.model.first_organ(max(HORIZONS_YEARS))
    kept = known.kept
    return tuple(
        results.Organ(
            organ=organ,
            p_metastasis=known.risks(by_organ[:, :, i]),
            p_new=known.risks(np.maximum(by_organ[:, :, i] - now[:, i], 0.0)),
            first_organ_share=ShareBand(
                **{
                    **known.band(first[:, i] / any_organ),
                    "mean": float(first[kept, i].mean() / any_organ[kept].mean()),
                }
            ),
            founders_per_year=results.AmountBand(**known.band(known.cascade.founders_per_year[:, i])),
            modality=conditioning.best_modality(organ),
            time_to_detectability=_times_to_sight(known, organ),
        )
        for i, organ in enumerate(known.cascade.organs)
    )


def _times_to_sight(known: Conditioned, organ: str) -> tuple[results.DetectionTime, ...]:
    """Return when each modality would show a lesion of an organ that is founded at the latest sample."""
    times = []
    for modality in sorted(m for o, m in known.cascade.scans if o == organ):
        years = known.cascade.time_to_sight(organ, modality, known.draws)[known.kept]
        low, median, high = np.quantile(years, [(1 - known.level) / 2, 0.5, (1 + known.level) / 2]).tolist()
        times.append(results.DetectionTime(modality=modality, median_years=median, low_years=low, high_years=high))
    return tuple(times)


def _findings(known: Conditioned) -> tuple[results.Finding, ...]:
    return tuple(
        results.Finding(
            date=f.date.isoformat(), modality=f.modality, organ=f.organ, n_lesions=f.lesions, use=use.meaning
        )
        for f, use in zip(known.found, findings.uses(known.found, known.cascade), strict=True)
    )


def _compare(known: Conditioned, name: str, scenario: Scenario, anywhere: Floats) -> results.Scenario:
    """Return the risks of a scenario, and by how much they are lower than those without it, draw by draw."""
    organs_then, any_then = what_if.risk(known.cascade, known.imaged, scenario, HORIZONS_YEARS)
    begins = scenario.shedding_cut is not None or scenario.therapy is not None
    return results.Scenario(
        name=name,
        shedding_cut=scenario.shedding_cut,
        resection_in_years=scenario.resection_in_years,
        therapy=scenario.therapy,
        from_years=(scenario.from_years or 0.0) if begins else None,
        to_years=scenario.to_years,
        shedding=scenario.shedding,
        growth=scenario.growth,
        killing=scenario.killing,
        scans_every_years=scenario.scans_every_years,
        p_any=known.risks(any_then),
        p_any_lower_by={
            str(years): ChangeBand(**known.band(lower))
            for years, lower in zip(HORIZONS_YEARS, anywhere - any_then, strict=True)
        },
        organs=tuple(
            results.OrganRisk(organ=organ, p_metastasis=known.risks(organs_then[:, :, i]))
            for i, organ in enumerate(known.cascade.organs)
        ),
    )
