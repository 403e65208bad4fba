"""How much a cancer, a setting or a stage founds for each CTC: the founding rate over that of early breast cancer.

A row of ``spread`` is the share of patients without spread at first in whom it shows within some years. The counts
of such patients before treatment were published for breast cancer alone, so its population of counts stands for
every cancer; the rate is the one at which the model, with the cancer's own drainage, organs and rest, gives the
share. The range has the share's own range, and a factor 2 both ways on top, for cohorts, as in breast cancer, and
for the counts; nowhere is it wider than a factor 10 both ways.
"""

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy import optimize

from calibration import recurrence
from ctcascade import evidence
from ctcascade.cascade import conditioning
from ctcascade.cascade.model import Floats
from ctcascade.data.vocabulary import NOT_METASTATIC, SETTINGS

_FACTOR = 2.0
_WIDEST = 10.0


def table(patients: recurrence.EarlyBreast, fitted: Mapping[str, float], random_seed: int = 1) -> pd.DataFrame:
    """Return the rows of the evidence table ``founding``.

    Parameters
    ----------
    patients : EarlyBreast
        The population of counts.
    fitted : mapping of str to float
        Centres of the rows that were fitted before: founding rate of early breast cancer, unseen shedding, rest.
    """
    rate, unseen = fitted["founding_rate"], fitted["unseen_shedding"]
    spread = evidence.load("spread")
    rows = []
    for name, row in spread.iterrows():
        drawn = recurrence.Refitted(random_seed, len(patients.unseen), centres=fitted)
        seen = _seen(row.primary, row.years, drawn, rate)
        central, low, high = (_rate(patients, seen, unseen, share) / rate for share in (row.central, row.low, row.high))
        if name == "spread:breast":
            central, low, high = 1.0, 1.0, 1.0  # its own range is that of the founding rate
        else:
            low, high = max(low / _FACTOR, central / _WIDEST), min(high * _FACTOR, central * _WIDEST)
        rows.append(
            {
                "id": str(name).replace("spread", "founding"),
                **{column: row[column] for column in ("primary", "setting", "stage")},
                **{column: f"{value:.4g}" for column, value in (("central", central), ("low", low), ("high", high))},
                "kind": "assumption" if row.kind == "assumption" else "derived",
                "reason": row.reason,
                "reference": row.reference,
                "locator": f"row {name}, fitted by calibration.calibrate" if row.reference else "",
                "how_read": "computed" if row.reference else "",
                "note": "counts as in early breast cancer",
            }
        )
    return pd.DataFrame(rows)


def _seen(primary: str, years: float, drawn: recurrence.Refitted, rate: float) -> tuple[Floats, Floats, Floats]:
    """Return lesions in sight at the removal and later, per equivalent CTC at a rate of 1, and the frailty."""
    setting = next(s for s in SETTINGS[primary] if s in NOT_METASTATIC)
    model = conditioning.build(primary, [recurrence.tube(0)], drawn, sex=sex(primary), early=True, setting=setting)
    per = model.lesions([0.0, years]).sum(axis=2) / model.shedding.levels[0] / model.founding.rate_per_year
    # the spread of the rate between cohorts of breast cancer belongs to every cancer
    cohorts = drawn.parameter("founding_rate") / rate
    return per[0] * cohorts, per[1] * cohorts, model.frailty_shape


def sex(primary: str) -> str:
    """Return the sex whose blood volume stands for the patients of a cancer."""
    return "male" if primary == "prostate" else "female"


def _rate(patients: recurrence.EarlyBreast, seen: tuple[Floats, Floats, Floats], unseen: float, share: float) -> float:
    now, later, k = seen

    def free(rate: float, level: Floats) -> float:
        before, after = ((1 + rate * lesions * level / k) ** -k for lesions in (now, later))
        return float(np.mean(after) / np.mean(before))

    def excess(ln_rate: float) -> float:
        total = 0.0
        for least, of_patients in patients.shares.items():
            level = patients.levels[least] + unseen * patients.unseen
            total += of_patients * (1 - free(math.exp(ln_rate), level))
        return total - share

    return math.exp(optimize.brentq(excess, -20, 10, xtol=1e-6))
