"""Where the variation of like tubes comes from: runs, operators, readers, and what is left within a run."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
WITHIN = "within"
_DRAWS = 2000
_SINGULAR = 1e-9
_DOUBLINGS, _HALVINGS = 12, 40


def components(values: Sequence[float], factors: Mapping[str, Sequence[str]]) -> dict[str, float] | None:
    """Return the variance that each factor adds, and that which is left (`WITHIN`); None if they cannot be told apart.

    Parameters
    ----------
    values : sequence of float
    factors : mapping of str to sequence of str
        Of each random factor the group of every value. A nested factor names its groups so that no two are alike.

    Notes
    -----
    Henderson's first method: for ``y = mean + sum of effects + rest`` the sums of squares of the raw group means,
    ``T = sum over groups of n mean^2``, are linear in the components on average, and the equations are solved. It is
    unbiased for nested and crossed factors with unequal numbers, and equals analysis of variance in balanced ones. A
    component that comes out below zero is given as such; `sd` sets it to zero.

    References
    ----------
    Henderson CR, Biometrics 1953;9:226. doi:10.2307/3001853
    """
    y = np.asarray(values, np.float64)
    if len(y) < 2:
        return None
    groups = {name: _indicator(labels) for name, labels in factors.items()}
    solved = _solver(groups, len(y))
    if solved is None:
        return None
    found = solved @ _sums(y[None], groups)[0]
    return dict(zip([*groups, WITHIN], found[1:].tolist(), strict=True))


def limits(
    values: Sequence[float],
    factors: Mapping[str, Sequence[str]],
    found: Mapping[str, float],
    level: float,
    rng: np.random.Generator,
) -> dict[str, tuple[float, float]]:
    """Return limits of each standard deviation, by a parametric bootstrap of normal effects.

    Parameters
    ----------
    values, factors
        As for `components`.
    found : mapping of str to float
        What `components` returned.
    level : float
    rng : Generator

    Notes
    -----
    The limits of a component are those of a test turned round: the sizes at which an estimate as large, or as small, as
    the one found has probability ``(1 - level) / 2``, the other components being as found. With effects ``sqrt(v) u``
    and all others w, an estimate is ``v q(u) + 2 sqrt(v) q(u, w) + q(w)`` for the quadratic form q of `components`, so
    that one set of draws serves all sizes. The lower limit is zero where no effect at all gives such an estimate.
    """
    groups = {name: _indicator(labels) for name, labels in factors.items()}
    solved = _solver(groups, len(values))
    assert solved is not None
    shapes = {**groups, WITHIN: np.eye(len(values))}
    effects = {name: rng.normal(size=(_DRAWS, of.shape[1])) @ of.T for name, of in shapes.items()}
    ends = {}
    for k, name in enumerate(shapes, 1):
        own = effects[name]
        others = sum(
            (np.sqrt(max(0.0, found[other])) * effects[other] for other in shapes if other != name), np.zeros_like(own)
        )
        by_own, by_others, by_both = (_sums(y, groups) @ solved[k] for y in (own, others, own + others))
        drawn = (by_own, by_both - by_own - by_others, by_others)
        ends[name] = tuple(_size(drawn, found[name], share) for share in ((1 + level) / 2, (1 - level) / 2))
    return {name: (low, high) for name, (low, high) in ends.items()}


def _size(drawn: tuple[Floats, Floats, Floats], found: float, share: float) -> float:
    """Return the standard deviation at which a share of the estimates lies at or below what was found; 0 if none."""
    square, linear, rest = drawn

    def below(size: float) -> float:
        return float((size**2 * square + size * linear + rest <= found).mean())

    low, high = 0.0, 1e-6 + np.sqrt(max(abs(found), float(np.abs(rest).mean())))
    if below(low) <= share:
        return 0.0
    for _ in range(_DOUBLINGS):
        if below(high) <= share:
            break
        high *= 2
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if below(middle) > share else (low, middle)
    return float(high)


def sd(variance: float) -> float:
    """Return the standard deviation of a component, 0 where the component came out below zero."""
    return float(np.sqrt(max(0.0, variance)))


def pooled_cv(groups: Sequence[Sequence[float]]) -> float | None:
    """Return the coefficient of variation within groups, pooled over them; None where no group has two values.

    The square root of the mean of the groups' squared coefficients, weighted by their degrees of freedom: readers who
    count the same cells differ by a share of what is there.
    """
    kept = [np.asarray(g, np.float64) for g in groups if len(g) > 1 and np.mean(g) > 0]
    if not kept:
        return None
    weight = np.array([len(g) - 1 for g in kept])
    squares = np.array([g.var(ddof=1) / g.mean() ** 2 for g in kept])
    return float(np.sqrt((weight * squares).sum() / weight.sum()))


def _indicator(labels: Sequence[str]) -> Floats:
    """Return which group each value is of, values x groups."""
    names, at = np.unique(np.asarray(labels, str), return_inverse=True)
    return np.eye(len(names))[at]


def _sums(y: Floats, groups: Mapping[str, Floats]) -> Floats:
    """Return of each row of `y` the sums of squares: of the mean, of each factor's group means, of all values."""
    parts = [y.shape[1] * y.mean(axis=1) ** 2]
    parts += [((y @ of) ** 2 / of.sum(axis=0)).sum(axis=1) for of in groups.values()]
    return np.stack([*parts, (y**2).sum(axis=1)], axis=1)


def _solver(groups: Mapping[str, Floats], n: int) -> Floats | None:
    """Return the matrix that turns sums into mean squared and components; None where it is singular."""
    one = np.ones((n, 1))
    rows = []
    for of in [one, *groups.values(), np.eye(n)]:
        sizes = of.sum(axis=0)
        shared = [float((((of.T @ other) ** 2).sum(axis=1) / sizes).sum()) for other in groups.values()]
        rows.append([float(n), *shared, float(of.shape[1])])
    matrix = np.array(rows)
    scaled = matrix / np.linalg.norm(matrix, axis=0)
    return None if abs(np.linalg.det(scaled)) < _SINGULAR else np.linalg.inv(matrix)
