"""The metastatic cascade of a patient, conditioned on the counts: risk by organ and time, and the road of the cells.

`model` holds the mathematics step by step, `parameters` the draws of the evidence, `conditioning` puts them together
for a patient, `engine` evaluates them, `findings` adds what imaging saw, `whatif` changes what follows and
`uncertainty` tells chance from not knowing. `lesions`
samples the same cascade founder by founder; `network` and `theory` have slow oracles and closed forms that the tests
compare with; `sensitivity` tells where the spread comes from; `calibrate` refits, by `tropism` and `recurrence`, what
no paper states. The stage has no recovery and no background of its own: it takes the posterior of each sample as it is.

In a setting of `NOT_METASTATIC` no lesion is in sight at first and local therapy ends the shedding. In all others a
lesion is in sight already, in an organ of the model with the probability ``seen_if_advanced``, and the shedding stays
as it is. The setting enters by this meaning of its words only: nothing ties it to the founding itself.

The latest evaluable sample sets today's shedding; earlier ones set that of their own time, each for the time nearest
to it. Age, stage, histology beyond the sheet's primary and breast subtype, and drugs are not used (`OUTSIDE`).
"""

import datetime
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctcascade import evidence
from ctcascade.cascade import conditioning, engine, findings, uncertainty, what_if
from ctcascade.cascade.model import DAYS_PER_YEAR, Floats
from ctcascade.cascade.parameters import Draws
from ctcascade.data import store
from ctcascade.data.errors import refuse
from ctcascade.data.vocabulary import HORIZONS_YEARS, NOT_METASTATIC
from ctcascade.evidence.tables import READ_BY
from ctcascade.study.scenarios import Therapy, read_therapies
from ctcascade.study.scenarios import read as read_scenarios

_NO_END_YEARS = 100.0

OUTSIDE = (
    "local invasion: the tumour is taken to shed already",
    "spread through lymph vessels and along the peritoneum and pleura",
    "lesions founded by metastases, unless reseeding is on: today's count holds their cells, but their growth does not "
    "raise it later",
    "what drugs do: therapies act as the sheet or a scenario says",
    "stage and histology of the patient, sizes and growth of the lesions that imaging found",
    "size of the CTCs, unless cell sizes are on: then it tells how they arrest, but a larger one founds as often",
    "death of other causes before a lesion comes into sight",
)


def simulate(settings: Mapping[str, Any], counts: Sequence[Path], out: Path, what_if: Path | None = None) -> None:
    """Write the cascade of one patient as JSON (`ctcascade.data.results.Cascade`).

    Parameters
    ----------
    settings : mapping
        ``patient`` (the sheet's row), ``random_seed``, ``draws``, ``level``, ``switched_off``, ``reseeding``,
        ``cell_sizes`` (whether diameters of CTCs tell how they arrest).
    counts : sequence of Path
        The counts of all of the patient's samples.
    out : Path
    what_if : Path, optional
        YAML file of scenarios to set beside the risks.

    Raises
    ------
    InputError
        If a step to be switched off is no step of the model, a file holds no counts, or a scenario cannot be.
    """
    scenarios = read_scenarios(what_if) if what_if else {}
    unknown = sorted(set(settings["switched_off"]) - conditioning.SWITCHES.keys())
    if unknown:
        known = ", ".join(conditioning.SWITCHES)
        refuse("config", "simulate: switched_off", ", ".join(unknown), known, "name steps of the model or none")
    read = {path: store.read_json(path, "counts") for path in counts}
    found = sorted(read.values(), key=lambda c: (c["collected"], c["sample"]), reverse=True)
    usable = [c for c in found if c["status"] == "ok"]
    inputs = {f"counts/{sample['sample']}": path for path, sample in read.items()}
    made_by = store.provenance(
        settings, {**inputs, **({"what_if": what_if} if what_if else {})}, evidence.evidence_hash(READ_BY["simulate"])
    )
    result = {
        **_empty(settings, found),
        "provenance": made_by,
    }
    primary = settings["patient"]["primary"]
    if primary == "none":
        result |= {"status": "not_applicable", "reason": "no primary tumour: there is nothing to spread"}
    elif not usable:
        result |= {"status": "not_evaluable", "reason": "no sample of this patient could be evaluated"}
    else:
        result |= _cascade(settings, usable, scenarios)
    store.write_json(out, "cascade", result)


def _empty(settings: Mapping[str, Any], found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    patient = settings["patient"]
    return {
        "patient": patient["patient"],
        "primary": patient["primary"],
        "status": "ok",
        "reason": "",
        "latest_sample": None,
        "samples": [c["sample"] for c in found],
        "organs": [],
        "p_any": None,
        "level": settings["level"],
        "flow": [],
        "p_founding_per_ctc": None,
        "share_due_to_clusters": None,
        "prior_dominated": None,
        "switched_off": sorted(settings["switched_off"]),
        "outside_the_model": list(OUTSIDE),
        "evidence_ids": [],
        "assumptions": [],
        "findings": [],
        "statements": [],
        "variance_shares": None,
        "lead_time": None,
        "what_if": [],
    }


def _cascade(
    settings: Mapping[str, Any], usable: Sequence[Mapping[str, Any]], scenarios: Mapping[str, Mapping[str, float]]
) -> dict[str, Any]:
    patient, level = settings["patient"], settings["level"]
    draws = Draws(settings["random_seed"], settings["draws"])
    early, latest = patient["setting"] in NOT_METASTATIC, usable[0]
    day = datetime.date.fromisoformat(latest["collected"])
    resected = patient.get("resected")
    cascade = conditioning.build(
        patient["primary"],
        _samples(usable, cell_sizes=settings["cell_sizes"]),
        draws,
        sex=patient["sex"],
        early=early,
        subtype=patient.get("subtype"),
        resected_years=(datetime.date.fromisoformat(resected) - day).days / DAYS_PER_YEAR if resected else None,
        reseeding=settings["reseeding"],
        switched_off=settings["switched_off"],
    )
    therapies = read_therapies(patient.get("therapies"))
    for therapy in (given for given in therapies if given.rates):
        start, end = (
            (date - day).days / DAYS_PER_YEAR if date else _NO_END_YEARS for date in (therapy.start, therapy.end)
        )
        cascade = what_if.under_therapy(cascade, start, end, therapy.rates)
    found = findings.read(patient.get("imaging"), day)
    imaged = findings.Imaged.condition(cascade, found, draws.parameter("finding_true")) if found else None
    weights, softened = findings.temper(imaged.likelihood()) if imaged else (np.ones(draws.n), False)
    kept = findings.resample(weights)
    by_organ, anywhere = (imaged or cascade).risk(HORIZONS_YEARS)
    first, any_organ = (imaged or cascade).first_organ(max(HORIZONS_YEARS))
    founding = cascade.founding.rate_per_year / cascade.circulation.clearance_per_year

    def band(values: Floats) -> dict[str, float]:
        return uncertainty.band(values[kept], level)

    return {
        "latest_sample": latest["sample"],
        "organs": [
            {
                "organ": organ,
                "p_metastasis": uncertainty.by_horizon(by_organ[:, kept, i], level),
                "first_organ_share": {
                    **band(first[:, i] / any_organ),
                    "mean": float(first[kept, i].mean() / any_organ[kept].mean()),
                },
                "founders_per_year": band(cascade.founders_per_year[:, i]),
                "modality": conditioning.best_modality(organ),
                "time_to_detectability": _times(cascade, organ, draws, kept, level),
            }
            for i, organ in enumerate(cascade.organs)
        ],
        "p_any": uncertainty.by_horizon(anywhere[:, kept], level),
        "flow": [
            {"step": step, "meaning": meaning, "unit": unit, **band(values)}
            for step, meaning, unit, values in cascade.flow()
        ],
        "p_founding_per_ctc": band(founding),
        "share_due_to_clusters": band(cascade.cluster_share),
        "prior_dominated": uncertainty.prior_dominated(cascade, latest["n_ctc"]),
        "evidence_ids": sorted(draws.used),
        "assumptions": sorted(name for name, kind in draws.used.items() if kind == "assumption"),
        "findings": [
            {"date": f.date.isoformat(), "modality": f.modality, "organ": f.organ, "n_lesions": f.lesions, "use": use}
            for f, use in zip(found, findings.uses(found, cascade), strict=True)
        ],
        "statements": [
            *_statements(
                cascade, imaged, early=early, resected=resected, reseeding=settings["reseeding"], softened=softened
            ),
            *(_on_size(patient["primary"], usable) if settings["cell_sizes"] else []),
            *map(_on_therapy, therapies),
        ],
        "variance_shares": uncertainty.variance_shares(anywhere[:, kept]),
        "lead_time": uncertainty.lead_time((imaged or cascade).risk, kept, level),
        "what_if": [
            {
                "name": name,
                **what_if.described(scenario),
                **_difference(cascade, then, (by_organ, anywhere), kept, level),
            }
            for name, scenario in scenarios.items()
            for then in [what_if.risk(cascade, imaged, scenario, HORIZONS_YEARS)]
        ],
    }


def _difference(
    cascade: engine.Cascade,
    then: tuple[Floats, Floats],
    now: tuple[Floats, Floats],
    kept: NDArray[np.intp],
    level: float,
) -> dict[str, Any]:
    """Return the risks of a scenario, and by how much they are lower than those without it, draw by draw."""
    fewer = now[1] - then[1]
    return {
        "p_any": uncertainty.by_horizon(then[1][:, kept], level),
        "p_any_lower_by": {
            str(t): uncertainty.band(values[kept], level) for t, values in zip(HORIZONS_YEARS, fewer, strict=True)
        },
        "organs": [
            {"organ": organ, "p_metastasis": uncertainty.by_horizon(then[0][:, kept, i], level)}
            for i, organ in enumerate(cascade.organs)
        ],
    }


def _statements(
    cascade: engine.Cascade,
    imaged: findings.Imaged | None,
    *,
    early: bool,
    resected: str | None,
    reseeding: bool,
    softened: bool,
) -> list[str]:
    """Return what the reader must know to read the risks, in sentences."""
    said = [_on_removal(early=early, resected=resected, reseeding=reseeding)]
    if not early and (imaged is None or not imaged.bounded):
        said.append(
            f"That any organ holds a lesion is mostly the setting's word: it is taken to mean, with a probability of "
            f"{cascade.seen_already.mean():.2f} (seen_if_advanced, an assumption), that a lesion was in sight at the "
            f"latest sample; the count and the model say in which organ, and what comes later."
        )
    if imaged is not None and imaged.overruled:
        said.append("The setting says that no metastasis was in sight, imaging says that one was: imaging is believed.")
    if imaged is not None and imaged.bounded:
        said.append(
            f"A lesion that imaging reports is taken to be a metastasis with a probability of "
            f"{imaged.true.mean():.2f} (finding_true, an assumption); false-positive rates differ by modality and "
            f"reader, and biopsies are not known here."
        )
    if softened:
        said.append(
            "Hardly any draw of the model explains what imaging found: bands are wider than its findings alone would "
            "make them, and risks of the other organs are rough."
        )
    return said


def _on_removal(*, early: bool, resected: str | None, reseeding: bool) -> str:
    if not early:
        whatever = "whether the tumour was removed or not: lesions shed, too"
        return f"The setting says that the shedding goes on, {whatever}."
    when = f"on {resected}, when the tumour is removed" if resected else "with local therapy, taken to be at the sample"
    if reseeding:
        return f"Most of the shedding ends {when}; reseeding is on: what is left of it founds lesions as before."
    return f"The shedding that founds lesions ends {when}; cells found later come from what they founded before."


def _on_therapy(therapy: Therapy) -> str:
    kind = therapy.kind.capitalize() + (" therapy" if therapy.kind == "targeted" else "")
    until = f"to {therapy.end}" if therapy.end else "on, without an end"
    when = f"{kind} from {therapy.start} {until}"
    if not therapy.rates:
        return (
            f"{when}, is not used: how much it does in this patient is not known here; say it in the sheet to see it."
        )
    left = ", ".join(f"{rate} times {value:g}" for rate, value in sorted(therapy.rates.items()))
    return (
        f"{when}, is taken to act as the sheet says ({left}), which nothing here tests; resting cells wake as before."
    )


def _on_size(primary: str, usable: Sequence[Mapping[str, Any]]) -> list[str]:
    measured = [found for c in usable if (found := c.get("ctc_diameters_um"))]
    if not measured:
        return []
    n = sum(found["n"] for found in measured)
    mean = sum(found["n"] * float(np.mean(found["quantiles"])) for found in measured) / n
    cells = f"Single CTCs are {mean:.1f} um across on average ({n} measured)"
    if primary not in conditioning.DIAMETER:
        return [f"{cells}; for this cancer no usual diameter was published, so that it is not used."]
    usual = evidence.load("parameters").central[conditioning.DIAMETER[primary]]
    return [
        f"{cells}, usually {usual:g} um in this cancer: larger ones are taken to be held by the first capillary bed "
        f"more often (capillary_width, an assumption), but to found as often."
    ]


def _samples(usable: Sequence[Mapping[str, Any]], *, cell_sizes: bool) -> list[conditioning.Sample]:
    days = [datetime.date.fromisoformat(c["collected"]).toordinal() for c in usable]
    return [
        conditioning.Sample(
            (days[0] - day) / DAYS_PER_YEAR,
            c["n_clusters"],
            c["ctc_quantiles_per_7_5_ml"],
            c["cluster_quantiles_per_7_5_ml"],
            sum(int(size) * times for size, times in c["cluster_sizes"].items()) if c["n_clusters"] else 0,
            (found["n"], float(np.mean(found["quantiles"])))
            if cell_sizes and (found := c.get("ctc_diameters_um"))
            else (0, 0.0),
        )
        for c, day in zip(usable, days, strict=True)
    ]


def _times(
    cascade: engine.Cascade, organ: str, draws: Draws, kept: NDArray[np.intp], level: float
) -> list[dict[str, Any]]:
    result = []
    for modality in sorted(m for o, m in cascade.scans if o == organ):
        years = cascade.time_to_sight(organ, modality, draws)[kept]
        low, median, high = np.quantile(years, [(1 - level) / 2, 0.5, (1 + level) / 2])
        result.append(
            {"modality": modality, "median_years": float(median), "low_years": float(low), "high_years": float(high)}
        )
    return result
