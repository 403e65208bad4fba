"""Seed and soil of one patient: how often cells found a growth, and in which organ, as imaging would show it.

The organs rest on one field of seeding (`calibration.tropism`) and the imaging layer on it (`calibration.imaging`);
how often, on the spread of the cancer at its stage (`calibration.levels`). The most special row counts: of a
setting or a subtype before that of the cancer, of a stage before that of the setting.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from ctcascade import evidence
from ctcascade.cascade.circulation import Arrival, Circulation
from ctcascade.cascade.model import Floats, Founding
from ctcascade.cascade.parameters import Draws
from ctcascade.data.vocabulary import NOT_METASTATIC


@dataclass(frozen=True)
class Kind:
    """What the rows of evidence are chosen by: words of the patient sheet, empty where nothing is said."""

    primary: str
    setting: str = ""
    subtype: str = ""
    stage: str = ""


def organs_of(kind: Kind) -> dict[str, evidence.Row]:
    """Return the rows of ``organs_imaged`` for a patient, by organ."""
    own = [row for row in evidence.rows("organs_imaged").values() if row.primary == kind.primary]
    # what imaging first shows after a removal is fitted apart from what it shows at diagnosis
    general = "early" if kind.setting in NOT_METASTATIC else ""
    settings = dict.fromkeys((kind.setting, general, ""))
    for setting, subtype in ((s, of) for of in (kind.subtype, "") for s in settings):
        rows = {row.organ: row for row in own if (row.setting, row.subtype) == (setting, subtype)}
        if rows:
            return rows
    raise ValueError(f"{kind.primary}: no row in organs_imaged")


def level_of(kind: Kind) -> evidence.Row:
    """Return the row of ``founding`` for a patient."""
    own = [row for row in evidence.rows("founding").values() if row.primary == kind.primary]
    for setting, stage in ((kind.setting, kind.stage), ("", kind.stage), (kind.setting, ""), ("", "")):
        rows = [row for row in own if (row.setting, row.stage) == (setting, stage)]
        if rows:
            return rows[0]
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
    rows, level = organs_of(kind), level_of(kind)
    draws.record("organs_imaged", *rows.values())
    draws.record("founding", level)
    own = [
        draws.spread(f"ln_own: {organ}", row.ln_own, row.ln_own_low, row.ln_own_high, "normal")
        for organ, row in ((organ, rows[organ]) for organ in organs)
    ]
    layer = np.broadcast_to([rows[organ].ln_layer for organ in organs], (draws.n, len(organs)))
    ln_own: Floats = np.stack(own, axis=1)
    relative = draws.spread("founding_level", level.central, level.low, level.high, "lognormal")
    cap = draws.parameter("founding_cap") * circulation.clearance_per_year
    return Founding(
        rate_per_year=np.minimum(draws.parameter("founding_rate") * relative, cap),
        arrival=arrival.mixed ** draws.parameter("imaging_slope")[:, None],
        ln_soil=layer,
        ln_tropism=ln_own if "tropism" in on else np.zeros_like(ln_own),
    )
