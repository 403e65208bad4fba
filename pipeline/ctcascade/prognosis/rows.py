"""Which published rows speak of a patient's draw, and which of them draws the curve."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import pandas as pd

from ctcascade import evidence
from ctcascade.data.vocabulary import REFERENCE_ASSAY, REFERENCE_VOLUME_ML
from ctcascade.evidence.tables import ENDPOINTS
from ctcascade.prognosis.curves import Shape, Stratum


@dataclass(frozen=True)
class Draw:
    """One evaluable draw of the patient.

    Attributes
    ----------
    counts : mapping
        The sample's counts.json.
    collected : date
    weeks_on_therapy : float or None
        Negative before the start of therapy; None where no start is given.
    """

    counts: Mapping[str, Any]
    collected: date
    weeks_on_therapy: float | None

    @property
    def sample(self) -> str:
        """Name of the sample."""
        return str(self.counts["sample"])

    @property
    def is_baseline(self) -> bool:
        """Whether it was drawn before or on the day of the start of therapy, or no start is given."""
        return self.weeks_on_therapy is None or self.weeks_on_therapy <= 0

    @property
    def looked_at_ml(self) -> float:
        """Blood that the analysed frames stand for, mL."""
        c = self.counts
        return float(c["blood_volume_ml"] * c["sampled_fraction"] * c["imaged_fraction"])

    @property
    def p_at_least(self) -> dict[int, float] | None:
        """Probability that a reference assay would count at least so many.

        None without a reference equivalent, or where too little blood was looked at to say so.
        """
        found = self.counts["p_at_least"]
        if None in found.values() or self.looked_at_ml < least_volume_ml():
            return None
        return {c: float(found[str(c)]) for c in sorted(map(int, found))}

    def p_between(self, low: float, high: float) -> float | None:
        """Return the probability of a reference count from `low` to `high` (NaN: no limit); None where unknown."""
        p = self.p_at_least
        if p is None:
            return None
        reached = {0.0: 1.0, **{float(c): share for c, share in p.items()}, math.inf: 0.0}
        beyond = math.inf if math.isnan(high) else high + 1
        return max(0.0, reached[low] - reached[beyond]) if {low, beyond} <= reached.keys() else None

    def is_within(self, week_low: float, week_high: float) -> bool:
        """Whether it was drawn so many weeks into therapy."""
        return self.weeks_on_therapy is not None and week_low <= self.weeks_on_therapy <= week_high


@dataclass(frozen=True)
class Comparison:
    """One row of survival.tsv, with the rows of strata.tsv that belong to it."""

    id: str
    row: pd.Series
    strata: Sequence[Any]

    @property
    def has_medians(self) -> bool:
        """Whether at least two groups cover all counts, each with a median that is a number and not a bound."""
        if len(self.strata) < 2 or any(math.isnan(s.median_months) or s.lower_bound for s in self.strata):
            return False
        joined = all(a.count_high + 1 == b.count_low for a, b in zip(self.strata, self.strata[1:], strict=False))
        return bool(joined and self.strata[0].count_low == 0 and math.isnan(self.strata[-1].count_high))

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

    def weights(self, draw: Draw) -> list[float | None]:
        """Return the probability of each group; None where the row's counts are not those of the reference assay."""
        if self.row.volume_ml != REFERENCE_VOLUME_ML or self.row.assay != REFERENCE_ASSAY:
            return [None] * len(self.strata)
        return [draw.p_between(s.count_low, s.count_high) for s in self.strata]

    def speaks_of(self, draw: Draw) -> bool:
        """Whether the row's times start at a draw like this one."""
        if draw.is_baseline:
            return bool(self.row.draw == "baseline" and self.row.time_zero == "baseline")
        return bool(self.row.time_zero == "landmark") and draw.is_within(self.row.week_low, self.row.week_high)

    def why_no_curve(self, draw: Draw) -> str:
        """Return why the row can draw no curve for this draw, or empty text."""
        if not self.speaks_of(draw):
            return "its times do not start at such a draw"
        if None in self.weights(draw):
            return "its groups are not those of the reference assay's cut-offs"
        if not self.has_medians:
            return "a median is missing or only bounded"
        return str(self.row.no_curve)


def least_volume_ml() -> float:
    """Return the blood below which a count is not set against published cut-offs, mL."""
    return float(evidence.load("assay_facts").central["least_volume"])


def matching(primary: str, setting: str, subtype: str | None) -> list[Comparison]:
    """Return the rows of this tumour and setting; rows of another subtype only where the patient's is not known."""
    rows = evidence.load("survival")
    strata = evidence.load("strata")
    return [
        Comparison(str(name), row, list(strata[strata.comparison == name].itertuples()))
        for name, row in rows.iterrows()
        if is_of(row, primary, setting) and (subtype is None or row.subtype in ("", subtype))
    ]


def main_row(comparisons: Sequence[Comparison], draw: Draw) -> Comparison | None:
    """Return the row that draws the curve: all subtypes pooled, sizes known; by end point, setting, n and year."""
    order = list(ENDPOINTS)

    def rank(c: Comparison) -> tuple[int, int, float, int]:
        year = max(reference.year or 0 for reference in evidence.references_of(c.row.reference))
        return order.index(c.row.endpoint), c.row.setting.count(";"), -c.row.n, -year

    able = [c for c in comparisons if not c.row.subtype and not c.why_no_curve(draw)]
    return min((c for c in able if not any(math.isnan(s.n) for s in c.strata)), key=rank, default=None)


def shape_of(patient: Mapping[str, Any], endpoint: str) -> tuple[str, Shape]:
    """Return the id and the values of the survival shape of an end point: the setting's own, else the tumour's."""
    rows = evidence.load("shapes")
    for own in (patient["setting"], ""):
        for name, row in rows[(rows.endpoint == endpoint) & (rows.setting == own)].iterrows():
            if patient["primary"] in row.primary.split(";"):
                return str(name), Shape(row.central, row.low, row.high, row.support)
    raise LookupError(
        f"shapes.tsv has no {endpoint} shape for {patient['primary']}, which survival.tsv has medians for"
    )


def is_of(row: pd.Series, primary: str, setting: str) -> bool:
    """Whether a row of any evidence table is of this tumour and setting."""
    return primary in row.primary.split(";") and setting in row.setting.split(";")


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
