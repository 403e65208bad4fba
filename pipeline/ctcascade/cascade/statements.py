"""What the reader of a cascade must know, in sentences: what setting, imaging, therapies and cell sizes stand for."""

import datetime
import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from ctcascade import evidence
from ctcascade.cascade import conditioning
from ctcascade.cascade.engine import Cascade
from ctcascade.cascade.findings import Imaged
from ctcascade.data.results import Counts
from ctcascade.data.results.cascade import TherapyGoesOn
from ctcascade.data.vocabulary import DAYS_PER_YEAR, NOT_METASTATIC
from ctcascade.study.jobs import SimulateJob
from ctcascade.study.patient import Therapy

OUTSIDE = (
    "local invasion: the tumour is taken to shed already",
    "spread through lymph vessels and along the peritoneum and pleura",
    "lesions founded by metastases, unless reseeding is on: today's count holds their cells, but their growth does not "
    "raise it later",
    "effects of drugs, except as the patient sheet or a scenario states them",
    "stage and histology of the patient, sizes and growth of the lesions that imaging found",
    "size of the CTCs, unless cell sizes are on: it then changes where they arrest, but a larger one founds as often",
    "death of other causes before a lesion comes into sight",
)
"""What the model leaves out."""


def statements(
    job: SimulateJob,
    usable: Sequence[Counts],
    cascade: Cascade,
    imaged: Imaged | None,
    *,
    softened: bool,
    going_on: Sequence[TherapyGoesOn] = (),
) -> list[str]:
    """Return the sentences in the order in which they are read.

    Parameters
    ----------
    job : SimulateJob
    usable : sequence of Counts
        The evaluable samples.
    cascade : Cascade
    imaged : Imaged or None
        The cascade given what imaging found.
    softened : bool
        Whether the weights of the draws had to be tempered (`findings.temper`).
    going_on : sequence of TherapyGoesOn
        The risks if therapies did not end.
    """
    return [
        _on_removal(job),
        *_on_cells_after_removal(job, usable),
        *_on_tubes_that_differ(usable),
        *_on_imaging(job, cascade, imaged, softened=softened),
        *(_on_size(job.patient.primary, usable) if job.cell_sizes else []),
        *map(_on_therapy, job.patient.therapies),
        *_on_ends(job.patient.therapies, going_on),
    ]


def _on_removal(job: SimulateJob) -> str:
    if job.patient.setting not in NOT_METASTATIC:
        whatever = "whether or not the tumour was removed: lesions shed, too"
        return f"The setting says that the shedding continues, {whatever}."
    resected = job.patient.resected
    when = f"on {resected}, when the tumour is removed" if resected else "with local therapy, taken to be at the sample"
    if job.reseeding:
        return f"Most of the shedding ends {when}; reseeding is on: what remains of it founds lesions as before."
    return f"The shedding that founds lesions ends {when}; cells found later come from lesions founded before."


def _on_cells_after_removal(job: SimulateJob, usable: Sequence[Counts]) -> Iterator[str]:
    """Yield what cells mean that were found long after all that sheds was removed."""
    resected = job.patient.resected
    if resected is None or job.patient.setting not in NOT_METASTATIC:
        return
    days = {c.sample: (datetime.date.fromisoformat(c.collected) - resected).days for c in usable}
    later = [sample for sample, after in days.items() if after > 0]
    if not later:
        return
    yield (
        f"{', '.join(later)}: drawn after the removal. A cell in the blood lives for hours, so that these cells were "
        "shed by lesions, seen or not, or by cells left behind, which dwindle within years: the later after the "
        "removal, the more a cell speaks for a lesion that is near to being seen."
    )
    if max(days[sample] for sample in later) > DAYS_PER_YEAR and not job.patient.imaging:
        yield (
            "No imaging is known: a lesion may be in sight already that nobody has looked for (unnoticed_years, an "
            "assumption). A scan in the patient sheet settles it."
        )


def _on_tubes_that_differ(usable: Sequence[Counts]) -> Iterator[str]:
    """Yield tubes of one day by two assays of which each excludes what the other says."""
    for one, other in itertools.combinations(usable, 2):
        same_day = (one.collected, one.drawn) == (other.collected, other.drawn)
        if not same_day or one.assay == other.assay or not (one.ctc_per_7_5_ml and other.ctc_per_7_5_ml):
            continue
        low, high = sorted((one.ctc_per_7_5_ml, other.ctc_per_7_5_ml), key=lambda interval: interval.estimate)
        if low.high < high.low:
            yield (
                f"{one.sample} and {other.sample} of {one.collected} contradict each other: by their own assays "
                f"{low.low:.2g} to {low.high:.2g} and {high.low:.2g} to {high.high:.2g} CTCs per 7.5 mL. One of the "
                "two assays is not what its file says; the risks rest on both, and are only as good as that."
            )


def _on_ends(therapies: Sequence[Therapy], going_on: Sequence[TherapyGoesOn]) -> Iterator[str]:
    """Yield therapies whose end after the latest sample raises the risk by itself, and the risk without the end."""
    for goes_on in going_on:
        ends = next(t for t in therapies if t.kind == goes_on.therapy and str(t.end) == goes_on.ends)
        years, band = max(goes_on.p_any.items(), key=lambda item: int(item[0]))
        yield (
            f"On {goes_on.ends} {goes_on.therapy} ends, and of its effects on {' and '.join(ends.holds_back)} nothing "
            f"is left from then on. It is this end, not the count, that makes the risk after it higher: if the therapy "
            f"went on, any lesion would be in sight within {years} years with a probability of {band.mean:.2f} "
            f"({band.low:.2f} to {band.high:.2f})."
        )


def _on_imaging(job: SimulateJob, cascade: Cascade, imaged: Imaged | None, *, softened: bool) -> Iterator[str]:
    if job.patient.setting not in NOT_METASTATIC and (imaged is None or not imaged.bounded):
        known = job.patient.setting != "advanced"
        says = "The patient is known to be metastatic" if known else "The setting leaves open whether there is spread"
        yield (
            f"{says}: that any organ holds a lesion is what the patient sheet says, and no prediction. It is taken to "
            f"mean, with probability {np.median(cascade.seen_already):.2f} (an assumption), that a lesion was in sight "
            f"at the latest sample; the count and the model say in which organ, and which organ comes next."
        )
    if imaged is not None and imaged.overruled:
        yield "The setting says that no metastasis was in sight, imaging says that one was: imaging is believed."
    if imaged is not None and imaged.bounded:
        yield (
            f"A lesion that imaging reports is taken to be a metastasis with a probability of "
            f"{np.median(imaged.true):.2f} (an assumption); false-positive rates differ by modality and "
            f"reader, and biopsies are not known here."
        )
    if softened:
        yield (
            "Hardly any draw of the model explains what imaging found: bands are wider than its findings alone would "
            "make them, and risks of the other organs are rough."
        )


def _on_therapy(therapy: Therapy) -> str:
    kind = therapy.kind.capitalize() + (" therapy" if therapy.kind == "targeted" else "")
    until = f"to {therapy.end}" if therapy.end else "on without an end"
    when = f"{kind} from {therapy.start} {until}"
    if not therapy.rates:
        return (
            f"{when} is not used, but for reading later counts as those of patients under therapy: its effect in this "
            "patient is not known here; the patient sheet may state it."
        )
    left = ", ".join(f"{rate} times {value:g}" for rate, value in sorted(therapy.rates.items()))
    acts = f"is taken to act as the patient sheet says ({left}), which nothing here tests"
    return f"{when} {acts}; dormant cells wake as before."


def _on_size(primary: str, usable: Sequence[Counts]) -> list[str]:
    measured = [c.ctc_diameters_um for c in usable if c.ctc_diameters_um is not None]
    if not measured:
        return []
    n = sum(found.n for found in measured)
    mean = sum(found.n * float(np.mean(found.quantiles)) for found in measured) / n
    cells = f"Single CTCs are {mean:.1f} um across on average ({n} measured)"
    if primary not in conditioning.DIAMETER:
        return [f"{cells}; for this cancer no usual diameter was published, so it is not used."]
    usual = evidence.rows("parameters")[conditioning.DIAMETER[primary]].central
    return [
        f"{cells}, usually {usual:g} um in this cancer: larger ones are taken to be held by the first capillary bed "
        f"more often (capillary_width, an assumption), but to found as often."
    ]
