"""The cascade as a reaction network, event by event: slow, short, and right by looking at it.

Species are the cells in the blood, and for each organ those arrested, extravasated, resting, growing, and founders (the
colonies that have begun). Reactions are of first order and one source:

    -> blood                        shed a day
    blood -> gone                   death in the blood
    blood -> arrested_o             by organ
    arrested_o -> extravasated_o    or -> gone
    extravasated_o -> resting_o     or -> growing_o, or -> gone
    resting_o -> growing_o          or -> gone
    growing_o -> founder_o          or -> gone

`events` follows it by Gillespie's direct method, one event after another. `expected` is the matrix exponential of the
same network: founders are Poisson with that mean, because no two cells ever meet, and the engine rests on this. From
`species` and `reactions` the network can be written down for other simulators. Nothing here is used for a patient.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

STAGES = ("arrested", "extravasated", "resting", "growing", "founder")


@dataclass(frozen=True)
class Reaction:
    """One event: a cell leaves `source` (None: from the tumour) for `target` (None: gone), at `rate` a day."""

    source: str | None
    target: str | None
    rate: float


@dataclass(frozen=True)
class Rates:
    """Rates a day of one organ, and of what the cells there do."""

    arrest: float
    leave: float
    lost: float
    rest: float
    grow: float
    wake: float
    found: float


@dataclass(frozen=True)
class Network:
    """The network of some organs.

    Parameters
    ----------
    shed, killed : float
        Cells shed a day, and rate of death in the blood a day.
    organs : dict of str to Rates
    """

    shed: float
    killed: float
    organs: dict[str, Rates]

    @property
    def species(self) -> tuple[str, ...]:
        """Names: ``blood``, then ``stage_organ``."""
        return ("blood", *(f"{stage}_{organ}" for organ in self.organs for stage in STAGES))

    @property
    def reactions(self) -> tuple[Reaction, ...]:
        """Every event that can happen."""
        found = [Reaction(None, "blood", self.shed), Reaction("blood", None, self.killed)]
        for organ, r in self.organs.items():
            arrested, out, resting, growing, founder = (f"{stage}_{organ}" for stage in STAGES)
            found += [
                Reaction("blood", arrested, r.arrest),
                Reaction(arrested, out, r.leave),
                Reaction(arrested, None, r.lost),
                Reaction(out, resting, r.rest),
                Reaction(out, growing, r.grow),
                Reaction(out, None, r.lost),
                Reaction(resting, growing, r.wake),
                Reaction(resting, None, r.lost),
                Reaction(growing, founder, r.found),
                Reaction(growing, None, r.lost),
            ]
        return tuple(found)

    def expected(self, days: float) -> dict[str, float]:
        """Return the mean of every species after some days from an empty body: ``m' = M m + s``, by ``expm``."""
        at = {name: i for i, name in enumerate(self.species)}
        n = len(at)
        matrix = np.zeros((n + 1, n + 1))  # the last column is the source
        for reaction in self.reactions:
            source = n if reaction.source is None else at[reaction.source]
            if reaction.source is not None:
                matrix[source, source] -= reaction.rate
            if reaction.target is not None:
                matrix[at[reaction.target], source] += reaction.rate
        mean = linalg.expm(matrix * days)[:n, n]
        return dict(zip(self.species, mean.tolist(), strict=True))

    def events(self, days: float, rng: np.random.Generator) -> dict[str, int]:
        """Return the number of every species after some days of one trajectory from an empty body."""
        at = {name: i for i, name in enumerate(self.species)}
        reactions = self.reactions
        rates = np.array([reaction.rate for reaction in reactions])
        # the source is a species of which there is always one, `gone` one that is never looked at
        sources = np.array([len(at) if r.source is None else at[r.source] for r in reactions])
        targets = np.array([len(at) + 1 if r.target is None else at[r.target] for r in reactions])
        cells = np.zeros(len(at) + 2, dtype=np.int64)
        cells[len(at)] = 1
        now = 0.0
        while True:
            up_to = np.cumsum(rates * cells[sources])
            now += rng.exponential(1 / up_to[-1])
            if now > days:
                return dict(zip(at, cells.tolist(), strict=False))
            event = int(np.searchsorted(up_to, rng.random() * up_to[-1], side="right"))
            cells[sources[event]] -= sources[event] != len(at)
            cells[targets[event]] += 1


def founders(network: Network, days: float, trajectories: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the founders of each organ, sampled as the engine does: Poisson, shape (trajectories, organs)."""
    mean = network.expected(days)
    return rng.poisson([mean[f"founder_{organ}"] for organ in network.organs], (trajectories, len(network.organs)))
