"""Which published rows apply to a patient's sample, and which of them gives the curve."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property

from ctcascade import evidence
from ctcascade.data.results import Counts
from ctcascade.data.vocabulary import REFERENCE_ASSAY, REFERENCE_VOLUME_ML, SETTINGS
from ctcascade.evidence import Row
from ctcascade.evidence.tables import ENDPOINTS
from ctcascade.prognosis.curves import Shape, Stratum
from ctcascade.prognosis.reference import ReferenceCount, is_reference, reference_count
from ctcascade.study.patient import Patient

_HOUR_IN_WEEKS = 1 / 168


@dataclass(frozen=True)
class Sample:
    """One evaluable sample of the patient.

    Attributes
    ----------
    counts : Counts
    collected : date
    n_ctc : int
    weeks_on_therapy : float or None
        Negative before the start of therapy; None where no start is given.
    against : tuple of str
        What speaks against it: its own checks that fail, and failed controls of its run.
    names : tuple of str
        All samples that it is made of: tubes of one day and state by one assay are one.
    """

    counts: Counts
    collected: date
    n_ctc: int
    weeks_on_therapy: float | None
    against: tuple[str, ...] = ()
    names: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Name of the sample."""
        return self.counts.sample

    @property
    def day(self) -> str:
        """Day of collection, YYYY-MM-DD."""
        return self.collected.isoformat()

    @property
    def is_baseline(self) -> bool:
        """Whether it was taken before or on the day of the start of therapy, or no start is given."""
        return self.weeks_on_therapy is None or self.weeks_on_therapy <= 0

    @property
    def analysed_ml(self) -> float:
        """Blood that the analysed frames stand for, mL."""
        return self.counts.blood_analysed_ml

    @cached_property
    def reference(self) -> ReferenceCount | None:
        """The reference assay's count; None without a reference equivalent, or where too little blood was analysed."""
        return None if self.analysed_ml < least_volume_ml() else reference_count(self.counts)

    @property
    def p_at_least(self) -> dict[int, float] | None:
        """Probability that the reference assay's count is at least so many; None where it is not known."""
        return self.reference.p_by_cutoff if self.reference else None

    def p_between(self, low: float, high: float) -> float | None:
        """Return the probability of a reference count from `low` to `high` (NaN: no limit); None where unknown."""
        if self.reference is None or math.isnan(low):
            return None
        reached = self.reference.at_least(low)
        beyond = 0.0 if math.isnan(high) else self.reference.at_least(high + 1)
        return None if reached is None or beyond is None else max(0.0, reached - beyond)

    def is_within(self, week_low: float, week_high: float) -> bool:
        """Whether it was taken so many weeks into therapy."""
        return self.weeks_on_therapy is not None and week_low <= self.weeks_on_therapy <= week_high


def evaluable(counts: Iterable[Counts], patient: Patient, against: Mapping[str, Sequence[str]]) -> list[Sample]:
    """Return the evaluable samples by date.

    Parameters
    ----------
    counts : iterable of Counts
    patient : Patient
    against : mapping of str to sequence of str
        What speaks against a sample, by name.
    """
    found = []
    sound = [c for c in counts if c.status == "ok" and c.n_ctc is not None and not against.get(c.sample)]
    joined = [(tubes, together(tubes)) for tubes in _of_one_day(sound)]
    single = [((c,), c) for c in counts if against.get(c.sample)]
    for tubes, c in [*joined, *single]:
        if c.status == "ok" and c.n_ctc is not None:
            collected = date.fromisoformat(c.collected)
            start = therapy_start(patient, collected)
            weeks = None if start is None else (collected - start).days / 7
            if weeks == 0 and c.drawn == "after":  # of the day of the start itself, by the sheet
                weeks = _HOUR_IN_WEEKS
            names = tuple(tube.sample for tube in tubes)
            found.append(Sample(c, collected, c.n_ctc, weeks, tuple(against.get(c.sample, ())), names))
    # of one day the sample that published groups can be read by comes last: of the reference assay, of the most blood
    return sorted(found, key=lambda s: (s.collected, s.weeks_on_therapy or 0.0, *_worth(s.counts), s.name))


def _worth(counts: Counts) -> tuple[bool, bool, float]:
    enough = counts.blood_analysed_ml >= least_volume_ml()
    return enough and counts.reference_equivalent is not None, is_reference(counts), counts.blood_analysed_ml


def _of_one_day(counts: Iterable[Counts]) -> list[tuple[Counts, ...]]:
    """Return tubes by day, state and assay, each group by name."""
    groups: dict[tuple[str, str | None, str], list[Counts]] = {}
    for c in counts:
        groups.setdefault((c.collected, c.drawn, c.assay), []).append(c)
    return [tuple(sorted(group, key=lambda c: c.sample)) for group in groups.values()]


def together(tubes: Sequence[Counts]) -> Counts:
    """Return tubes of one day by one assay as one of all their blood: cells and volumes add.

    Probabilities of the reference assay's count are averaged by the blood. What can neither be added nor averaged
    (checks, markers, the estimate of each tube) is that of the tube with the most blood.
    """
    if len(tubes) == 1:
        return tubes[0]
    first = max(tubes, key=lambda c: (c.blood_analysed_ml, c.n_ctc or 0, c.sample))
    sizes: Counter[str] = Counter()
    for tube in tubes:
        sizes.update(tube.cluster_sizes)
    return first.model_copy(
        update={
            **{key: sum(getattr(tube, key) or 0 for tube in tubes) for key in _ADDED},
            "blood_volume_ml": math.fsum(tube.blood_analysed_ml for tube in tubes),
            "sampled_fraction": 1.0,
            "imaged_fraction": 1.0,
            "p_at_least": {k: _mean_p(tubes, k) for k in first.p_at_least},
            "candidates": tuple(c for tube in tubes for c in tube.candidates),
            "cluster_sizes": dict(sorted(sizes.items(), key=lambda item: int(item[0]))),
        }
    )


def _mean_p(tubes: Sequence[Counts], cutoff: str) -> float | None:
    known = [(tube.p_at_least.get(cutoff), tube.blood_analysed_ml) for tube in tubes]
    blood = math.fsum(ml for p, ml in known if p is not None)
    return math.fsum(p * ml for p, ml in known if p is not None) / blood if blood else None


_ADDED = ("n_ctc", "n_uncertain", "n_clusters", "clusters_with_leukocytes", "n_ctc_leukocyte_groups")


def therapy_start(patient: Patient, day: date) -> date | None:
    """Return the start of therapy that a sample of a day counts from, or None where none is given.

    That is the sheet's ``therapy_start``. Without it, the latest therapy of ``therapies`` that runs on that day, else
    the next one.
    """
    if patient.therapy_start:
        return patient.therapy_start
    running = [t.start for t in patient.therapies if t.start <= day and (t.end is None or day <= t.end)]
    later = [t.start for t in patient.therapies if t.start > day]
    return max(running) if running else min(later, default=None)


@dataclass(frozen=True)
class Comparison:
    """One row of survival.tsv, with the rows of strata.tsv that belong to it."""

    id: str
    row: Row
    strata: Sequence[Row]

    @property
    def has_medians(self) -> bool:
        """Whether at least two groups cover all counts, each with a median that is a number and not a bound."""
        if len(self.strata) < 2 or any(math.isnan(s.median_months) or s.lower_bound for s in self.strata):
            return False
        joined = all(a.count_high + 1 == b.count_low for a, b in zip(self.strata, self.strata[1:], strict=False))
        return bool(joined and self.strata[0].count_low == 0 and math.isnan(self.strata[-1].count_high))

    @property
    def is_baseline(self) -> bool:
        """Whether the patients' counts were taken before therapy."""
        return bool(self.row.sampled == "baseline")

    @property
    def medians(self) -> list[float]:
        """Median of each group, months."""
        return [float(s.median_months) for s in self.strata]

    @property
    def groups(self) -> list[Stratum]:
        """The groups as the curves need them."""
        return [Stratum(s.median_months, s.n, _number(s.median_low), _number(s.median_high)) for s in self.strata]

    @property
    def cutoff(self) -> int:
        """The count from which on a patient is in the highest group."""
        return int(self.strata[-1].count_low)

    def weights(self, sample: Sample) -> list[float | None]:
        """Return the probability of each group; None where the row's counts are not those of the reference assay."""
        if self.row.volume_ml != REFERENCE_VOLUME_ML or self.row.assay != REFERENCE_ASSAY:
            return [None] * len(self.strata)
        return [sample.p_between(s.count_low, s.count_high) for s in self.strata]

    def applies_to(self, sample: Sample) -> bool:
        """Whether the row's times start at a sample like this one."""
        if sample.is_baseline:
            return self.is_baseline and bool(self.row.time_zero == "baseline")
        return bool(self.row.time_zero == "landmark") and sample.is_within(self.row.week_low, self.row.week_high)

    def why_no_curve(self, sample: Sample) -> str:
        """Return why the row gives no curve for this sample, or empty text."""
        if not self.applies_to(sample):
            return "its times do not start at such a sample"
        if None in self.weights(sample):
            return "its groups are not those of the reference assay's cut-offs"
        if not self.has_medians:
            return "a median is missing or only bounded"
        return str(self.row.no_curve)


def least_volume_ml() -> float:
    """Return the blood below which a count is not set against published cut-offs, mL."""
    return float(evidence.rows("assay_facts")["least_volume"].central)


def matching(primary: str, setting: str, subtype: str | None) -> list[Comparison]:
    """Return the rows of this tumour and setting; rows of another subtype only where the patient's is not known."""
    strata: dict[str, list[Row]] = {}
    for group in evidence.rows("strata").values():
        strata.setdefault(group.comparison, []).append(group)
    return [
        Comparison(name, row, strata.get(name, []))
        for name, row in evidence.rows("survival").items()
        if is_of(row, primary, setting) and (subtype is None or row.subtype in ("", subtype))
    ]


def settings_with_rows(primary: str) -> list[str]:
    """Return the settings of a tumour that published rows other than negative ones are of."""
    own = [r for r in evidence.rows("survival").values() if not r.negative and primary in r.primary.split(";")]
    return sorted({setting for row in own for setting in row.setting.split(";") if setting in SETTINGS[primary]})


def main_row(comparisons: Sequence[Comparison], sample: Sample) -> Comparison | None:
    """Return the row that gives the curve: all subtypes pooled, sizes known; by end point, setting, n and year."""
    order = list(ENDPOINTS)

    def rank(c: Comparison) -> tuple[int, int, float, int]:
        year = max(reference.year or 0 for reference in evidence.references_of(c.row.reference))
        return order.index(c.row.endpoint), c.row.setting.count(";"), -c.row.n, -year

    able = [c for c in comparisons if not c.row.subtype and not c.why_no_curve(sample)]
    return min((c for c in able if not any(math.isnan(s.n) for s in c.strata)), key=rank, default=None)


def shape_of(primary: str, setting: str, endpoint: str) -> tuple[str, Shape]:
    """Return the id and the values of the survival shape of an end point: the setting's own, else the tumour's."""
    rows = [r for r in evidence.rows("shapes").values() if r.endpoint == endpoint and primary in r.primary.split(";")]
    for own in (setting, ""):
        for row in rows:
            if row.setting == own:
                return row.id, Shape(row.central, row.low, row.high, row.support)
    raise LookupError(f"shapes.tsv has no {endpoint} shape for {primary}, which survival.tsv has medians for")


def is_of(row: Row, primary: str, setting: str) -> bool:
    """Whether a row of any evidence table is of this tumour and setting."""
    return primary in row.primary.split(";") and setting in row.setting.split(";")


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
