"""Draws of every evidence row that the cascade uses, each from a random stream of its own.

A stream depends on the seed and the row's name only. So all patients share their draws (common random numbers: a
higher count gives a higher risk in each draw, not only on average), and a new parameter leaves the others' draws as
they are.
"""

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ctcascade import evidence
from ctcascade.data.vocabulary import Z95

Floats = NDArray[np.float64]

_LARGEST_Z = 3.5  # beyond, a prior's tail is its formula's and nobody's belief


@dataclass(frozen=True)
class Draws:
    """Random draws of evidence rows, and the record of which rows were drawn.

    Parameters
    ----------
    random_seed : int
    n : int
        Number of draws.
    used : dict of str to str
        Filled as rows are drawn: ``table/id`` to the row's kind.
    """

    random_seed: int
    n: int
    used: dict[str, str] = field(default_factory=dict)

    def parameter(self, name: str) -> Floats:
        """Return draws of a row of ``parameters``, shape (n,)."""
        row = evidence.rows("parameters")[name]
        self.used[f"parameters/{name}"] = row.kind
        return self.spread(name, row.central, row.low, row.high, row.distribution)

    def spread(self, stream: str, central: float, low: float, high: float, distribution: str) -> Floats:
        """Return draws with median `central` of which 95 % lie in [low, high], shape (n,).

        Parameters
        ----------
        stream : str
            Name of the random stream.
        distribution : {"normal", "lognormal", "logit-normal", "fixed"}
            The scale on which the two halves are normal, each with the width of its own side.
        """
        if distribution == "fixed" or low == high:
            return np.full(self.n, float(central))
        forward, back = _SCALES[distribution]
        middle = forward(central)
        z = self.normal(stream)
        return back(middle + z * np.where(z < 0, middle - forward(low), forward(high) - middle) / Z95)

    def normal(self, stream: str) -> Floats:
        """Return standard normal draws, shape (n,), none beyond 3.5."""
        return np.clip(self._generator(stream).standard_normal(self.n), -_LARGEST_Z, _LARGEST_Z)

    def uniform(self, stream: str) -> Floats:
        """Return draws from (0, 1), shape (n,)."""
        return self._generator(stream).random(self.n)

    def record(self, table: str, *rows: evidence.Row) -> None:
        """Note that rows of an evidence table were used."""
        self.used.update({f"{table}/{row.id}": row.kind for row in rows})

    def _generator(self, stream: str) -> np.random.Generator:
        key = hashlib.sha256(f"{self.random_seed}/{stream}".encode()).digest()[:16]
        return np.random.Generator(np.random.Philox(key=int.from_bytes(key, "little")))


class Centre(Draws):
    """One draw with every row at its central value."""

    def __init__(self) -> None:
        super().__init__(random_seed=0, n=1)

    def normal(self, stream: str) -> Floats:
        """Return 0, shape (1,)."""
        return np.zeros(1)

    def uniform(self, stream: str) -> Floats:
        """Return 1/2, shape (1,)."""
        return np.full(1, 0.5)


_SCALES: dict[str, tuple[Callable[[float], float], Callable[[Floats], Floats]]] = {
    "normal": (float, np.array),
    "lognormal": (math.log, np.exp),
    "logit-normal": (lambda p: math.log(p / (1 - p)), lambda x: 1 / (1 + np.exp(-x))),
}
