"""Readers of cells as readers, not as oracles: each has a sensitivity and a specificity, which their cells tell.

Dawid and Skene's model with two classes: a cell is a CTC with the probability p that the classifier gives it, and a
reader calls a CTC one with the probability s, another cell one with 1 - t. s and t of each reader have a Beta
distribution first (``reader_sensitivity`` and ``reader_specificity``, worth `_WORTH` cells) and are estimated together
with the cells, by expectation and maximisation. A reader who is uncertain says nothing of the cell.

References
----------
Dawid AP, Skene AM. Maximum likelihood estimation of observer error-rates using the EM algorithm. Appl Stat
1979;28:20-28. doi:10.2307/2346806
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ctcascade import evidence

Floats = NDArray[np.float64]

_WORTH = 20.0  # cells that the distribution before any is read is worth
_ROUNDS = 60
_SURE = 0.98  # a classifier's probability counts for no more, so that readers can correct it


def p_ctc_given_readers(p_ctc: Floats, said: Sequence[Mapping[str, str]]) -> Floats:
    """Return the probability that each reviewed cell is a CTC, given the classifier and what its readers say.

    Parameters
    ----------
    p_ctc : ndarray, shape (cells,)
        The classifier's.
    said : sequence of mapping of str to str
        For each cell, reader to call.
    """
    names = sorted({name for calls in said for name in calls})
    known = np.array([[calls.get(name, "uncertain") != "uncertain" for name in names] for calls in said], bool)
    yes = np.array([[calls.get(name) == "ctc" for name in names] for calls in said], bool)
    facts = evidence.load("assay_facts").central
    s0, t0 = float(facts["reader_sensitivity"]), float(facts["reader_specificity"])
    prior = np.clip(p_ctc, 1 - _SURE, _SURE)
    found = prior
    for _ in range(_ROUNDS):
        ctc, other = found[:, None] * known, (1 - found)[:, None] * known
        sensitivity = (_WORTH * s0 + (ctc * yes).sum(axis=0)) / (_WORTH + ctc.sum(axis=0))
        specificity = (_WORTH * t0 + (other * ~yes).sum(axis=0)) / (_WORTH + other.sum(axis=0))
        of_yes = np.log(sensitivity / (1 - specificity))
        of_no = np.log((1 - sensitivity) / specificity)
        ln_odds = np.log(prior / (1 - prior)) + (known * np.where(yes, of_yes, of_no)).sum(axis=1)
        found = 1 / (1 + np.exp(-ln_odds))
    return found
