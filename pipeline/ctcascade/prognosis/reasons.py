"""The sentences of a prognosis: why there is no curve, why this one, and what the published groups lived to see."""

import itertools
import math
from collections.abc import Iterator, Sequence
from datetime import date

from ctcascade.data.errors import listed
from ctcascade.data.results import Statement
from ctcascade.data.vocabulary import NOT_METASTATIC
from ctcascade.evidence import Row
from ctcascade.evidence.tables import ENDPOINTS
from ctcascade.prognosis.rows import Comparison, Sample, settings_with_rows
from ctcascade.prognosis.survive import Curve
from ctcascade.study.contradictions import said, seen_distant
from ctcascade.study.patient import Patient

NO_PRIMARY = "No primary tumour is given, so there is nothing to prognose."
OTHER_PRIMARY = (
    "The primary tumour is not one of those for which published rows were collected: the counts stand alone."
)
NO_START = "No sample was taken before therapy, and no published row starts at a sample so far into it."
ONLY_BLANK = "The published groups begin at a count that blank samples reach too."
ONLY_RELATIVE = "The published rows of this setting give hazard ratios, but no medians that a curve can be drawn from."
_SUMMARY_MONTHS = (12, 6, 3, 1)


def no_rows(primary: str, setting: str) -> str:
    """Return that nothing is published for a setting; where similar settings have rows, with the question which."""
    found = f"No published row sets counts against outcome for this tumour and setting ({primary}, {setting})."
    alike = [s for s in settings_with_rows(primary) if (s in NOT_METASTATIC) == (setting in NOT_METASTATIC)]
    if not alike:
        return found
    return f"{found} Rows are published for {' or '.join(alike)}: which one is it? Write it as the setting."


def why_refused(samples: Sequence[Sample], usable: Sequence[Sample]) -> str:
    """Return why no published number can be set beside the samples, or empty text."""
    if not samples:
        return "No sample of this patient could be evaluated."
    if not usable and all(None not in s.counts.p_at_least.values() for s in samples):
        return (
            "Too little blood was analysed to set the count against a published cut-off: less than the "
            "smallest volume that is taken to be enough."
        )
    withheld = next((s.counts.why_no_reference for s in samples if s.counts.why_no_reference), None)
    if not usable and withheld:
        return f"The count cannot be set against a published cut-off: {withheld}."
    if not usable:
        return (
            "The assay's recovery relative to the reference assay is not stated, so the count cannot be set against "
            "a published cut-off."
        )
    return ""


def checks_fail(samples: Sequence[Sample]) -> str:
    """Return which samples are not used because their checks fail, in a sentence that ends a reason; or empty text."""
    failing = [f"{s.name} ({', '.join(s.against)})" for s in samples if s.against]
    if len(failing) == 1:
        return f"Sample {failing[0]} is not used, because its checks fail."
    return f"Samples {listed(failing)} are not used, because their checks fail." if failing else ""


def contradicted(patient: Patient, day: date) -> str:
    """Return why rows of a setting without metastases do not apply to a sample of a day, or empty text."""
    seen = seen_distant(patient)
    if seen is None or seen.date > day or patient.setting not in NOT_METASTATIC:
        return ""
    return (
        f"The setting is {patient.setting}, but imaging of {seen.date}, at or before the sample, shows lesions "
        f"({said(seen)}): the published rows of that setting do not apply. Fix the setting or the finding."
    )


def why_this_curve(sample: Sample, main: Comparison) -> str:
    """Return which sample the curve starts at, and why."""
    start = f"From the sample of {sample.day}"
    if sample.weeks_on_therapy is None:
        return f"{start}; no start of therapy is given, so it counts as taken before a new line."
    if sample.is_baseline:
        return f"{start}, before therapy. A sample on therapy replaces it only where a published row starts at one."
    window = f"{main.row.week_low:g} to {main.row.week_high:g} weeks"
    return f"{start}, on therapy: the published times start at a sample {window} into it."


def bounded_medians(sample: Sample, main: Comparison, others: Sequence[Comparison]) -> str:
    """Return the medians of overall survival from such a sample where they are printed but give no curve."""
    if main.row.endpoint == "OS" or sample.is_baseline:
        return ""
    row = next((c for c in others if c.row.endpoint == "OS" and not c.row.no_curve), None)
    if row is None:
        return ""
    printed = [f"{'more than ' if s.lower_bound else ''}{s.median_months:g} months ({s.label})" for s in row.strata]
    return (
        f" Overall survival from such a sample is published as medians only, too few for a curve: {', '.join(printed)}."
    )


def blank_caution(sample: Sample, rows: Sequence[Comparison]) -> str:
    """Return a caution where a published group begins at a count that blank samples reach as well."""
    blank = sample.counts.limit_of_blank.count
    begins = any(0 < s.count_low <= blank for c in rows for s in c.strata)
    if begins and 0 < sample.n_ctc <= blank:
        return " The count is within what this assay finds in blank samples, so the cells may be background."
    return ""


def is_blank_throughout(rows: Sequence[Comparison], sample: Sample) -> bool:
    """Whether there are cells, but no more than blank samples hold, and every published row begins within that."""
    blank = sample.counts.limit_of_blank.count
    begins = [min((s.count_low for s in c.strata if s.count_low > 0), default=math.inf) for c in rows if c.strata]
    return 0 < sample.n_ctc <= blank and all(low <= blank for low in begins)


def summary(main: Comparison, drawn: Curve, level: float) -> str:
    """Return one sentence about the published group."""
    month = next(m for m in _SUMMARY_MONTHS if m <= drawn.months[-1])
    at = drawn.months.tolist().index(month)
    return (
        f"Of 100 people in the published group ({main.row.population}; {main.row.n:.0f} people) with such counts, "
        f"about {100 * drawn.p[at]:.0f} were {ENDPOINTS[main.row.endpoint].free} {month} months after the sample "
        f"({100 * level:g} % band {100 * drawn.low[at]:.0f} to {100 * drawn.high[at]:.0f})."
    )


def hazards(rows: Sequence[Comparison], sample: Sample) -> tuple[Statement, ...]:
    """Return what rows say that give no curve: one statement for each hazard ratio, and findings in words."""
    silent = [c for c in rows if sample.is_baseline and c.is_baseline and (c.row.no_curve or not c.has_medians)]
    ratios = [Statement(evidence_id=s.id, text=_hazard(c, s)) for c in silent for s in c.strata if not math.isnan(s.hr)]
    return (*ratios, *(Statement(evidence_id=c.id, text=c.row.finding) for c in silent if c.row.finding))


def _hazard(c: Comparison, s: Row) -> str:
    size = "" if math.isnan(c.row.n) else f"; {c.row.n:.0f} people"
    limits = "" if math.isnan(s.hr_low) else f" (95 % interval {s.hr_low:g} to {s.hr_high:g})"
    adjusted = ", adjusted for other factors" if s.hr_type == "multivariable" else ""
    event = ENDPOINTS[c.row.endpoint].event
    remark = f" Note: {s.hr_flag}." if s.hr_flag else ""
    return (
        f'In the published group ({c.row.population}{size}) the hazard of {event} for "{s.label}" was '
        f'{s.hr:g} times that for "{s.hr_against}"{limits}{adjusted}.{remark}'
    )


def of_one_day(samples: Sequence[Sample]) -> Iterator[str]:
    """Yield which tubes of a day are read as one, and which are not set against published groups beside another."""
    sound = [s for s in samples if not s.against]
    for sample in sound:
        if len(sample.names) > 1:
            yield (
                f"{' and '.join(sample.names)} of {sample.day} are read as one tube: {sample.n_ctc} CTCs in "
                f"{sample.analysed_ml:g} mL."
            )
    for earlier, later in itertools.pairwise(sound):
        if (earlier.day, earlier.weeks_on_therapy) == (later.day, later.weeks_on_therapy):
            yield (
                f"{' and '.join(earlier.names)} of {earlier.day} ({earlier.n_ctc} CTCs in {earlier.analysed_ml:g} mL, "
                f"assay {earlier.counts.assay}) is not set against published groups: {' and '.join(later.names)} of "
                "the same day is. The cascade uses both."
            )
