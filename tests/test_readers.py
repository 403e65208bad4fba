"""Readers of cells have error rates, which their cells tell: against simulated readers, and what must hold."""

import numpy as np
import pytest

from ctcascade.counting.readers import p_ctc_given_readers


@pytest.mark.property
def test_one_reader_moves_a_cell_and_two_who_agree_move_it_further():
    none, one, two = (
        p_ctc_given_readers(np.array([0.3]), [dict.fromkeys(names, "ctc")])[0] for names in ("", "a", "ab")
    )
    assert none == pytest.approx(0.3)
    assert none < one < two < 1
    assert p_ctc_given_readers(np.array([0.3]), [{"a": "debris"}])[0] < 0.05
    assert p_ctc_given_readers(np.array([0.3]), [{"a": "uncertain"}])[0] == pytest.approx(0.3)


@pytest.mark.property
def test_a_classifier_that_is_certain_can_be_corrected():
    assert p_ctc_given_readers(np.array([0.0]), [{"a": "ctc", "b": "ctc"}])[0] > 0.8
    assert p_ctc_given_readers(np.array([1.0]), [{"a": "debris", "b": "leukocyte"}])[0] < 0.3


@pytest.mark.oracle
def test_probabilities_are_the_shares_that_are_true_among_simulated_readers():
    """A careful, a careless and a usual reader: what is stated is what comes true, and the careful one weighs more."""
    rng, n = np.random.default_rng(1), 4000
    true = rng.random(n) < 0.4
    p = np.full(n, 0.4)
    rates = {"careful": (0.97, 0.98), "careless": (0.75, 0.7), "usual": (0.9, 0.92)}
    said = [
        {name: "ctc" if rng.random() < (s if ctc else 1 - t) else "debris" for name, (s, t) in rates.items()}
        for ctc in true
    ]
    found = p_ctc_given_readers(p, said)
    assert found.mean() == pytest.approx(0.4, abs=0.03)
    for low, high in ((0.0, 0.1), (0.9, 1.0)):
        inside = (found >= low) & (found <= high)
        assert inside.sum() > 100
        assert true[inside].mean() == pytest.approx(found[inside].mean(), abs=0.03)
    two = np.array([[calls["careful"] == "ctc", calls["careless"] == "ctc"] for calls in said])
    assert found[two[:, 0] & ~two[:, 1]].mean() > 2 * found[~two[:, 0] & two[:, 1]].mean()
