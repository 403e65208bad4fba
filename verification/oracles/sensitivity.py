"""Which uncertain rows the spread of a result comes from: Sobol indices by group of rows.

With A and B two independent sets of draws and A_g the draws A in which the rows of group g come from B,

    first order  S_g = correlation of f(B) and f(A_g), which share the group      what knowing it alone takes away
    total        T_g = 1 - correlation of f(A) and f(A_g), which share the rest   what stays if all else is known

the correlation taken with one mean and one variance for both, which estimates with the least error.

References
----------
Janon et al. 2014, doi:10.1051/ps/2013040.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from ctcascade.cascade.model import Floats
from ctcascade.cascade.parameters import Draws

GROUPS: dict[str, tuple[str, ...]] = {
    "counts": ("ctc:", "clusters:"),
    "clusters": ("cluster_", "pair_true"),
    "shedding": ("unseen_shedding", "shed_"),
    "circulation": ("blood_volume", "cardiac_output", "half_life", "killer_cell_rate", "shear_rate", "cloaked_"),
    "arrest": (
        "drainage:",
        "extraction_prone",
        "deformable_share",
        "recirculating_share",
        "ctc_diameter_",
        "capillary_width",
    ),
    "seed and soil": ("founding_", "imaging_slope", "ln_own:"),
    "dormancy": ("dormancy_share", "wake_half_life", "dormant_death"),
    "colonisation": ("death_over_birth_complement",),
    "angiogenesis": ("angiogenic_", "restricted_share", "escape_half_life"),
    "growth": ("doubling_time_", "reference_diameter"),
    "detection": ("lung:", "liver:", "bone:", "brain:", "adrenal:", "kidney:", "other:"),
}
"""Steps of the model by the beginnings of the names of their random streams."""


@dataclass(frozen=True)
class _Mixed(Draws):
    """Draws of one seed, but those of a group from another seed's."""

    other_seed: int = 0
    group: tuple[str, ...] = field(default=())

    def _generator(self, stream: str) -> np.random.Generator:
        if stream.startswith(self.group):
            return Draws(self.other_seed, self.n)._generator(stream)
        return super()._generator(stream)


def sobol(
    result: Callable[[Draws], Floats], random_seed: int, draws: int, groups: Mapping[str, tuple[str, ...]]
) -> dict[str, tuple[float, float]]:
    """Return the first-order and the total index of each group of rows.

    Parameters
    ----------
    result : callable
        The result of each draw, shape (draws,). Take the logarithm of what spans orders of magnitude: the variance of
        a heavy tail is not estimated by any number of draws at hand.
    random_seed, draws : int
    groups : mapping
        Beginnings of names of random streams.

    Notes
    -----
    One evaluation for each group and two more. Errors fall as 1 / sqrt(draws).
    """
    other = random_seed + 1
    first, second = result(Draws(random_seed, draws)), result(Draws(other, draws))
    indices = {}
    for name, group in groups.items():
        mixed = result(_Mixed(random_seed, draws, other_seed=other, group=group))
        indices[name] = (_alike(second, mixed), 1 - _alike(first, mixed))
    return indices


def _alike(one: Floats, other: Floats) -> float:
    """Return the correlation of two results of the same distribution."""
    both = np.stack([one, other])
    return float(np.mean((one - both.mean()) * (other - both.mean())) / both.var())
