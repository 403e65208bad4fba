"""How CTCs differ between patients of one kind: what is known of a patient before any blood was looked at.

The rows are of counts as the reference assay shows them, of patients before therapy; a patient's blood holds that over
the assay's recovery. Where no counts of the primary and setting were published, one wide population pooled over cancers
stands, which is an assumption.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy import special

from ctcascade import evidence
from ctcascade.data.vocabulary import NOT_METASTATIC, Z95

_LOWEST = -15.0  # ln of the cells in 7.5 mL below which there are as good as none
_HIGHEST = 17.0
GRID = np.arange(_LOWEST, _HIGHEST, 0.03)
"""Evenly spaced values of ln CTC in 7.5 mL that hold every population."""


@dataclass(frozen=True)
class Change:
    """What an intervention does to the level: the mean and the standard deviation of ln of the factor."""

    ln_mean: float
    ln_sd: float


@dataclass(frozen=True)
class Population:
    """CTCs in 7.5 mL of the patients of one kind: lognormal, by mean and standard deviation of the logarithm.

    Parameters
    ----------
    ln_mean, ln_sd : float
    id : str
        Row of ``populations``.
    kind : str
        What the row rests on.
    """

    ln_mean: float
    ln_sd: float
    id: str = ""
    kind: Literal["derived", "assumption"] = "assumption"

    @property
    def by_reference(self) -> "Population":
        """The population of the mean counts that the reference assay shows."""
        return replace(self, ln_mean=self.ln_mean + math.log(_recovery()))

    def after(self, *changes: Change) -> "Population":
        """Return the population after interventions."""
        variance = self.ln_sd**2 + sum(change.ln_sd**2 for change in changes)
        moved = self.ln_mean + sum(change.ln_mean for change in changes)
        return replace(self, ln_mean=moved, ln_sd=math.sqrt(variance))

    def quantile(self, probability: float) -> float:
        """Return a quantile of the CTCs in 7.5 mL."""
        return math.exp(self.ln_mean + self.ln_sd * float(special.ndtri(probability)))


def population_of(primary: str, setting: str) -> Population:
    """Return the population of a primary and setting before therapy; the pooled one where it has none of its own."""
    rows = evidence.rows("populations")
    pooled = "early" if setting in NOT_METASTATIC else "metastatic"
    of_both = [r for r in rows.values() if primary in r.primary.split(";") and setting in r.setting.split(";")]
    row = of_both[0] if of_both else rows[f"pooled_{pooled}"]
    kind: Literal["derived", "assumption"] = "derived" if row.kind == "derived" else "assumption"
    return Population(row.ln_mean - math.log(_recovery()), row.ln_sd, row.id, kind)


def _recovery() -> float:
    return float(evidence.rows("assay_facts")["reference_recovery"].central)


def change_by(parameter: str) -> Change:
    """Return what an intervention does to the level, from a lognormal row of ``parameters``."""
    row = evidence.rows("parameters")[parameter]
    return Change(math.log(row.central), math.log(row.high / row.low) / (2 * Z95))


def changes_by(interventions: Sequence[str]) -> tuple[Change, ...]:
    """Return what interventions did to the level, each a word of `vocabulary.INTERVENTIONS`."""
    known = {"removal": change_by("shed_after_early"), "therapy": change_by("count_on_therapy")}
    known["further_therapy"] = Change(0.0, known["therapy"].ln_sd)
    return tuple(known[word] for word in interventions)
