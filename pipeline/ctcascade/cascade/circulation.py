"""The blood: how fast it clears cells and by what, the flow that carries them, and the organs in which they arrest.

As in `model`, every field is an array over parameter draws unless its docstring says otherwise.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ctcascade.cascade.model import Floats
from ctcascade.data.vocabulary import DAYS_PER_YEAR, REFERENCE_VOLUME_ML
from ctcascade.evidence import Rows

HOURS_PER_YEAR = 24 * DAYS_PER_YEAR
_MOST_KILLED = 0.95
_TINY = float(np.finfo(float).tiny)


@dataclass(frozen=True)
class Circulation:
    """Survival of cells in the blood: how many pass through it a year, and what takes them out.

    A pool at rest, ``dN/dt = S - lambda N`` with ``lambda = ln 2 / half-life`` and ``N = C V``, so the flux through it
    is ``J = C V ln 2 / half-life``. Of lambda, NK cells take ``k_NK (1 - f_c (1 - c))``: the share f_c of the cells is
    cloaked by platelets or leukocytes and killed at c times the rate of a bare one; shear takes k_s from all alike; the
    rest is arrest in capillary beds. The half-life was measured apart from the two rates: together they take at most
    the share 0.95.

    Parameters
    ----------
    blood_volume_ml, cardiac_output_ml_per_min, half_life_hours : ndarray, shape (n,)
    killer_cells_per_hour, shear_per_hour : ndarray, shape (n,)
        k_NK and k_s.
    cloaked_share, cloaked_killing : ndarray, shape (n,)
        f_c and c.
    """

    blood_volume_ml: Floats
    cardiac_output_ml_per_min: Floats
    half_life_hours: Floats
    killer_cells_per_hour: Floats
    shear_per_hour: Floats
    cloaked_share: Floats
    cloaked_killing: Floats

    @property
    def killed_by(self) -> tuple[Floats, Floats]:
        """Shares of the clearance that are killing by NK cells and by shear, (n,) each."""
        killing = self.killer_cells_per_hour * (1 - self.cloaked_share * (1 - self.cloaked_killing))
        clearance = np.log(2) / self.half_life_hours
        fits = np.minimum(_MOST_KILLED * clearance / np.maximum(killing + self.shear_per_hour, _TINY), 1)
        return fits * killing / clearance, fits * self.shear_per_hour / clearance

    @property
    def kill_share(self) -> Floats:
        """Share of the clearance that is death in the blood, not arrest, (n,)."""
        by_killer_cells, by_shear = self.killed_by
        return by_killer_cells + by_shear

    @property
    def cells_in_blood(self) -> Floats:
        """Cells in the blood for each CTC in 7.5 mL."""
        return self.blood_volume_ml / REFERENCE_VOLUME_ML

    @property
    def clearance_per_year(self) -> Floats:
        """Cells that leave the blood a year for each CTC in 7.5 mL."""
        cleared: Floats = self.cells_in_blood * np.log(2) / self.half_life_hours * HOURS_PER_YEAR
        return cleared

    @property
    def clearance_per_circulation(self) -> Floats:
        """Rate of clearance, per mean circulation time V / Q."""
        hours = self.blood_volume_ml / self.cardiac_output_ml_per_min / 60
        rate: Floats = np.log(2) / self.half_life_hours * hours
        return rate


@dataclass(frozen=True)
class Flow:
    """The body's blood flow as an absorbing Markov chain, and where on it cells arrest.

    A cell moves between compartments as the blood does. In compartment i, where it stays ``r_i`` circulation times on
    average, it dies with probability ``k r_i / (1 + k r_i)``; what lives is arrested with probability `extraction` if i
    is a capillary bed, and else moves on by row i of `moves`. With ``Q`` the matrix of moves that neither kill nor
    arrest and ``s`` the start, the visits are ``v = s (I - Q)^-1`` (the fundamental matrix) and the cells arrested in
    bed i are ``v_i`` times its probability of arrest. Lung first pass, the portal route to the liver and the vertebral
    plexus are edges and starts of this graph, not factors.

    Parameters
    ----------
    compartments, organs : tuple of str
        Names, and the organ of each compartment (empty: no organ of the model).
    moves : ndarray, shape (compartments, compartments)
        Row-stochastic.
    volumes : ndarray, shape (compartments,)
        Share of the blood volume.
    """

    compartments: tuple[str, ...]
    organs: tuple[str, ...]
    moves: Floats
    volumes: Floats
    beds: NDArray[np.bool_]

    @classmethod
    def from_table(cls, table: Rows, sex: str, portal_route: bool = True) -> "Flow":
        """Return the chain of the evidence table ``flow``, with the portal vein or as if it joined the veins."""
        share = np.nan_to_num(np.array([row[f"flow_percent_{sex}"] for row in table.values()], float))
        moves = np.zeros((len(table), len(table)))
        at = {name: i for i, name in enumerate(table)}
        for name, row in table.items():
            target = row.drains_to if portal_route or name != "portal_vein" else "veins"
            if target:
                moves[at[name], at[target]] = 1.0
        moves[at["arteries"]] = share / share.sum()
        beds = (share > 0) | np.array([name == "lung" for name in table])
        blood = np.array([row.blood_percent for row in table.values()], float)
        return cls(tuple(table), tuple(row.organ for row in table.values()), moves, blood / blood.sum(), beds)

    @cached_property
    def flows(self) -> Floats:
        """Blood flow through each compartment relative to the cardiac output, shape (compartments,)."""
        # stationary flow: what enters leaves; the equation of the arteries is replaced by "all of it passes here"
        balance = self.moves.T - np.eye(len(self.moves))
        arteries = self.compartments.index("arteries")
        balance[arteries] = np.eye(len(self.moves))[arteries]
        return np.linalg.solve(balance, np.eye(len(self.moves))[arteries])

    @cached_property
    def residence(self) -> Floats:
        """Mean stay in each compartment, in circulation times (volume share / flow share), shape (compartments,)."""
        return self.volumes / self.flows

    def extraction(self, arrest_per_circulation: Floats) -> Floats:
        """Return the probability of arrest in one bed that gives a rate of arrest, both of shape (n,).

        Notes
        -----
        ``1 - exp(-a / b)`` with b the capillary beds that blood passes in one circulation: two, and a third on the
        portal route. Exact for small probabilities; tested against the chain's mean life.
        """
        beds_per_circulation = self.flows[self.beds].sum()
        arrested: Floats = -np.expm1(-arrest_per_circulation / beds_per_circulation)
        return arrested

    def arrest(self, start: Floats, extraction: Floats, kill_per_circulation: Floats) -> tuple[Floats, Floats]:
        """Return where cells end: arrested by compartment (n, compartments), and killed in the blood (n,).

        Parameters
        ----------
        start : ndarray, shape (n, compartments) or (compartments,)
            Where the cells enter the blood.
        extraction, kill_per_circulation : ndarray, shape (n,)
        """
        stay = kill_per_circulation * self.residence[:, None]
        lives = 1 / (1 + stay)
        arrested = lives * self.beds[:, None] * extraction
        visits = self._visits(start.T if start.ndim == 2 else start[:, None], lives - arrested)
        return (visits * arrested).T, (visits * stay * lives).sum(axis=0)

    def _visits(self, start: Floats, onward: Floats) -> Floats:
        """Return ``s (I - Q)^-1``, how often a cell is in each compartment, shape (compartments, n).

        Parameters
        ----------
        start : ndarray, shape (compartments, 1 or n)
        onward : ndarray, shape (compartments, n)
            Share of the cells in a compartment that moves on.

        Notes
        -----
        All blood comes through the arteries, and no other way closes a circle. So with the visits v of cells on their
        way to the arteries, and w of those that leave them, of which the share l comes back, all of a cell's visits are
        ``v + w v_a / (1 - l)``. As exact as the inverse, and far faster for many draws.
        """
        arteries, *others = self._downstream
        to = np.broadcast_to(start, onward.shape).copy()
        self._follow(to, onward, others)
        around = np.zeros_like(onward)
        around[arteries] = 1.0
        self._follow(around, onward, [arteries, *others])
        reach, back = to[arteries].copy(), around[arteries] - 1.0
        to[arteries], around[arteries] = 0.0, 1.0
        visits: Floats = to + around * (reach / (1 - back))
        return visits

    def _follow(self, cells: Floats, onward: Floats, compartments: Sequence[int]) -> None:
        """Let the cells of each compartment in turn move on, adding to `cells` of those downstream."""
        for i in compartments:
            leaving = cells[i] * onward[i]
            for j in np.flatnonzero(self.moves[i]):
                cells[j] += self.moves[i, j] * leaving

    @cached_property
    def _downstream(self) -> list[int]:
        """The compartments in the order of the flow, the arteries first."""
        order, left = [self.compartments.index("arteries")], set(range(len(self.compartments)))
        left.discard(order[0])
        while left:
            fed = {int(j) for i in left for j in np.flatnonzero(self.moves[i])}
            order += sorted(left - fed)
            left &= fed
        return order

    def by_organ(self, arrested: Floats, organs: Sequence[str]) -> Floats:
        """Return arrested cells by organ, as shares of all that were arrested, (n, organs)."""
        member = np.array([[c == organ for organ in organs] for c in self.organs], dtype=float)
        share: Floats = arrested @ member / arrested.sum(axis=1, keepdims=True)
        return share

    def start(self, nodes: Mapping[str, Floats]) -> Floats:
        """Return the distribution over compartments of cells that enter at `nodes` with the given weights (n,)."""
        weights = np.stack([nodes.get(c, np.zeros_like(next(iter(nodes.values())))) for c in self.compartments], axis=1)
        share: Floats = weights / weights.sum(axis=1, keepdims=True)
        return share


@dataclass(frozen=True)
class Arrival:
    """Where cells arrest: two classes, of which only one comes round to be counted in a vein of the arm.

    The share phi of the shed cells is deformable: hardly held by a bed, it recirculates until it dies or arrests, and
    is what a blood sample shows. The rest is prone to arrest and is caught in its first bed or two. Of the founders the
    share w are of the first class.

    Parameters
    ----------
    recirculating, first_pass : ndarray, shape (n, organs)
        Shares of the arrested cells of each class.
    recirculating_share, deformable_share, passed_first_bed : ndarray, shape (n,)
        w, phi, and the share of all shed cells that passes its first bed.
    """

    recirculating: Floats
    first_pass: Floats
    recirculating_share: Floats
    deformable_share: Floats
    passed_first_bed: Floats

    @property
    def mixed(self) -> Floats:
        """Shares of the founders that a soil alike everywhere would put into each organ."""
        w = self.recirculating_share[:, None]
        return w * self.recirculating + (1 - w) * self.first_pass
