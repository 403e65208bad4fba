"""Calls with a laboratory's own calibration of `p_ctc`, and the mark of the way in which calls were made."""

import hashlib
import json

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit, logit

from ctcascade.data.results import Provenance

Floats = NDArray[np.float64]
USED = ("ctc", "uncertain")
"""Calls that counts weigh by `p_ctc`; of others it is not used, so reviews of them are not fitted on."""


def calls_made_by(made_by: Provenance) -> str:
    """Return the digest of the code and the settings that made calls, whatever the sample."""
    settings = {name: value for name, value in made_by.settings.items() if name != "sample"}
    text = json.dumps([made_by.version, made_by.code, settings], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def calibrated(calls: pd.DataFrame, slope: float) -> pd.DataFrame:
    """Return calls with the odds of `p_ctc` raised to the slope, for cells called CTC or uncertain."""
    used = calls["call"].isin(USED).to_numpy(bool)
    p = calls["p_ctc"].to_numpy().copy()
    p[used] = sharpened(p[used].astype(np.float64), slope)
    return calls.assign(p_ctc=p)


def sharpened(p_ctc: Floats, slope: float) -> Floats:
    """Return `p_ctc` with its odds raised to the power `slope`; 0, 0.5 and 1 stay what they are."""
    inside = (p_ctc > 0) & (p_ctc < 1)
    return np.where(inside, expit(slope * logit(np.where(inside, p_ctc, 0.5))), p_ctc)
