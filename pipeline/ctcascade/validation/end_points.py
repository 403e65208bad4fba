"""End points of a trial over all patients: how many responded, with missing patients as each publication has them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ctcascade.data.results import EndPointRate, Interval, Prognosis, Response
from ctcascade.validation.detection_limits import share_with_limits

Floats = NDArray[np.float64]
_JUDGED = ("responder", "non_responder", "progression", "no_progression")
_MET = ("responder", "progression")


def rates(patients: Sequence[Prognosis], level: float) -> tuple[EndPointRate, ...]:
    """Return each end point in the patients of each tumour and setting, where any patient can be judged.

    Notes
    -----
    Limits of a share are Clopper and Pearson's: those of other patients like these. Apart from them stands what the
    counts leave open in these very patients: the distribution of the number that meet the end point, when each does
    with the probability that both counts' posteriors give (Poisson-binomial). A missing patient meets none.
    """
    groups: dict[tuple[str, str, str], list[Response]] = {}
    for patient in patients:
        for response in patient.responses:
            groups.setdefault((patient.primary, patient.setting or "", response.name), []).append(response)
    found = []
    for (primary, setting, _), responses in groups.items():
        judged = [r for r in responses if r.status in _JUDGED]
        if judged:
            found.append(_rate(primary, setting, responses, judged, level))
    return tuple(found)


def _rate(
    primary: str, setting: str, responses: Sequence[Response], judged: Sequence[Response], level: float
) -> EndPointRate:
    met = sum(r.status in _MET for r in judged)
    share, low, high = share_with_limits(met, len(judged), level)
    chances = [_p_met(r) for r in judged]
    by_counts = None
    if None not in chances:
        n = poisson_binomial([p for p in chances if p is not None])
        ends = [int(np.searchsorted(np.cumsum(n), q)) for q in ((1 - level) / 2, (1 + level) / 2)]
        mean = float(n @ np.arange(len(n))) / len(judged)
        by_counts = Interval(
            estimate=mean, low=min(mean, ends[0] / len(judged)), high=max(mean, ends[1] / len(judged)), level=level
        )
    first = responses[0]
    return EndPointRate(
        primary=primary,
        setting=setting,
        name=first.name,
        definition=first.definition,
        meets=first.meets,
        study=first.study,
        n_patients=len(responses),
        n_judged=len(judged),
        n_met=met,
        n_missing=sum(r.missing for r in judged),
        n_not_applicable=sum(r.status == "not_applicable" for r in responses),
        n_not_evaluable=sum(r.status == "not_evaluable" for r in responses),
        share=Interval(estimate=share, low=low, high=high, level=level),
        share_by_counts=by_counts,
    )


def poisson_binomial(chances: Sequence[float]) -> Floats:
    """Return the probabilities of 0, 1, ... successes of independent trials with these chances."""
    found = np.ones(1)
    for p in chances:
        found = np.convolve(found, [1 - p, p])
    return found


def _p_met(response: Response) -> float | None:
    """Return the probability that a patient who can be judged meets the end point; None where it is not known."""
    if response.missing:
        return 0.0
    if response.p_by_class is None:
        return None
    judged = 1 - response.p_by_class.get("not_applicable", 0.0)
    return sum(response.p_by_class.get(k, 0.0) for k in _MET) / judged if judged > 0 else 0.0
