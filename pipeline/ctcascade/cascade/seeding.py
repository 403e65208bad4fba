"""Seed and soil of one patient: how often cells found a growth, and in which organ, as imaging would show it.

The organs rest on one field of seeding (`calibration.tropism`) and the imaging layer on it (`calibration.imaging`);
how often, on the spread of the cancer at its stage (`calibration.levels`). The most special row counts: of a
setting or a subtype before that of the cancer, of a stage before that of the setting.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ctcascade import evidence
from ctcascade.cascade.circulation import Arrival, Circulation
from ctcascade.cascade.model import Floats, Founding
from ctcascade.cascade.parameters import Draws


@dataclass(frozen=True)
class Kind:
    """What the rows of evidence are chosen by: words of the patient sheet, empty where nothing is said."""

    primary: str
    setting: str = ""
    subtype: str = ""
    stage: str = ""


def organs_of(kind: Kind) -> pd.DataFrame:
    """Return the rows of ``organs_imaged`` for a patient, indexed by organ."""
    table = evidence.load("organs_imaged")
    table = table[table.primary == kind.primary]
    for setting, subtype in ((kind.setting, kind.subtype), ("", kind.subtype), (kind.setting, ""), ("", "")):
        rows = table[(table.setting == setting) & (table.subtype == subtype)]
        if len(rows):
            return rows.assign(id=rows.index).set_index("organ", drop=False)
    raise ValueError(f"{kind.primary}: no row in organs_imaged")


def level_of(kind: Kind) -> pd.DataFrame:
    """Return the row of ``founding`` for a patient, as a table of one row."""
    table = evidence.load("founding")
    table = table[table.primary == kind.primary]
    for setting, stage in ((kind.setting, kind.stage), ("", kind.stage), (kind.setting, ""), ("", "")):
        rows = table[(table.setting == setting) & (table.stage == stage)]
        if len(rows):
            return rows.iloc[:1]
    raise ValueError(f"{kind.primary}: no row in founding")


def found(
    draws: Draws, kind: Kind, organs: Sequence[str], arrival: Arrival, circulation: Circulation, on: Collection[str]
) -> Founding:
    """Return how often cells found a growth, and in which organ.

    Parameters
    ----------
    draws : Draws
    kind : Kind
    organs : sequence of str
        As `organs_of` has them.
    arrival : Arrival
    circulation : Circulation
    on : collection of str
        The steps of the model that are not switched off.
    """
    table, level = organs_of(kind), level_of(kind)
    draws.record("organs_imaged", table.set_index("id"))
    draws.record("founding", level)
    own = [
        draws.spread(f"ln_own: {organ}", row.ln_own, row.ln_own_low, row.ln_own_high, "normal")
        for organ, row in table.loc[list(organs)].iterrows()
    ]
    layer = np.broadcast_to(table.ln_layer[list(organs)].to_numpy(float), (draws.n, len(organs)))
    ln_own: Floats = np.stack(own, axis=1)
    central, low, high = level[["central", "low", "high"]].to_numpy(float)[0].tolist()
    relative = draws.spread("founding_level", central, low, high, "lognormal")
    cap = draws.parameter("founding_cap") * circulation.clearance_per_year
    return Founding(
        rate_per_year=np.minimum(draws.parameter("founding_rate") * relative, cap),
        arrival=arrival.mixed ** draws.parameter("imaging_slope")[:, None],
        ln_soil=layer,
        ln_tropism=ln_own if "tropism" in on else np.zeros_like(ln_own),
    )
