"""Sobol indices against the closed form of a product of lognormal factors, and of the cascade itself."""

import numpy as np
import pytest

from ctcascade.cascade import conditioning
from ctcascade.cascade.parameters import Draws
from tests.support.cascades import sample
from verification.oracles.sensitivity import GROUPS, sobol

pytestmark = pytest.mark.unit


@pytest.mark.oracle
def test_indices_of_a_product_of_lognormals_are_those_of_its_closed_form():
    sd = {"a": 0.2, "b": 0.4, "c": 0.6}
    found = sobol(
        lambda draws: np.exp(sum(s * draws.normal(name) for name, s in sd.items())), 3, 2**14, {n: (n,) for n in sd}
    )
    square = {name: s**2 for name, s in sd.items()}
    whole = np.expm1(sum(square.values()))
    for name, (first, total) in found.items():
        assert first == pytest.approx(np.expm1(square[name]) / whole, abs=0.03)
        assert total == pytest.approx(1 - np.expm1(sum(square.values()) - square[name]) / whole, abs=0.03)


def lesions(draws):
    return np.log(conditioning.build("colon", [sample(5)], draws, sex="male", early=True).lesions([5.0])[0].sum(axis=1))


def test_every_stream_of_a_cascade_is_in_one_group():
    class Named(Draws):
        def _generator(self, stream):
            names.add(stream)
            return super()._generator(stream)

    names = set()
    lesions(Named(1, 10))
    not_drawn_for_lesions = {"frailty_shape", "seen_if_metastatic", "seen_if_advanced", "extravasation"}
    for name in names - not_drawn_for_lesions:
        assert sum(name.startswith(group) for group in GROUPS.values()) == 1, name


def test_the_sources_of_spread_of_the_cascade():
    found = sobol(lesions, 1, 1500, GROUPS)
    assert sum(first for first, _ in found.values()) == pytest.approx(1, abs=0.35)
    assert all(total > -0.01 for _, total in found.values())
    largest = max(found, key=lambda name: found[name][1])
    assert found[largest][1] > 0.2
    assert found["circulation"][1] < 0.01  # the fit is of founders per count: how fast the blood is cleared cancels
