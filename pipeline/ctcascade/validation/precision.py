"""Precision of counts: like tubes grouped, and their variation divided among runs, operators, readers and the rest."""

from collections.abc import Sequence

import numpy as np
from scipy import stats

from ctcascade.data.results import Component, Precision
from ctcascade.data.vocabulary import CONTROLS
from ctcascade.validation import variance
from ctcascade.validation.tubes import Tube

_SOURCES = {"run": "between runs", "operator": "between operators", variance.WITHIN: "within run"}


def precision(own: Sequence[Tube], level: float, rng: np.random.Generator) -> tuple[Precision, ...]:
    """Return the variation of each group of like tubes, and of readers who counted the same cells.

    Parameters
    ----------
    own : sequence of Tube
        The laboratory's tubes; blanks are left out.
    level : float
        Of the limits.
    rng : Generator
        For the limits of the components.
    """
    groups: dict[tuple[str, str], list[Tube]] = {}
    for tube in own:
        if tube.kind != "blank":
            groups.setdefault(tube.group, []).append(tube)
    found = [_of_group(key, group, level, rng) for key, group in sorted(groups.items()) if len(group) > 1]
    readers = _of_readers([t for t in own if len(t.readers) > 1], level)
    return (*found, *readers)


def _of_group(key: tuple[str, str], group: Sequence[Tube], level: float, rng: np.random.Generator) -> Precision:
    counts = [float(t.observed) for t in group]
    if not sum(counts):
        return _precision(key, group, (), level, "no cell was called: there is no variation to measure")
    factors, why = _factors(group)
    found = variance.components(counts, factors)
    while found is None and factors:
        gone = next(iter(factors))
        del factors[gone]
        why.append(f"{gone}s go together with other things and cannot be told apart from them")
        found = variance.components(counts, factors)
    assert found is not None  # two tubes and no factor: the plain variance
    ends = variance.limits(counts, factors, found, level, rng)
    mean = float(np.mean(counts))
    parts = []
    several = "run" not in factors and len({(t.lot, t.run) for t in group}) > 1
    for name, source in {**_SOURCES, **({variance.WITHIN: "all sources together"} if several else {})}.items():
        if name in found:
            sd = variance.sd(found[name])
            low, high = ends[name]
            parts.append(Component(source=source, sd=sd, low=min(low, sd), high=max(high, sd), cv=sd / mean))  # type: ignore[arg-type]
    return _precision(key, group, tuple(parts), level, "; ".join(why))


def _precision(
    key: tuple[str, str], group: Sequence[Tube], parts: tuple[Component, ...], level: float, why: str
) -> Precision:
    mean = float(np.mean([t.observed for t in group]))
    return Precision(
        label=f"{key[0].replace('_', ' ')}, lot {key[1]}" if key[0] in CONTROLS else f"{key[1]} tumour cells spiked",
        n_tubes=len(group),
        n_runs=len({t.run for t in group}),
        n_operators=len({t.operator.casefold() for t in group if t.operator}),
        mean=mean,
        counting_cv=1 / np.sqrt(mean) if mean else 0.0,
        components=parts,
        level=level,
        why=why,
    )


def _factors(group: Sequence[Tube]) -> tuple[dict[str, list[str]], list[str]]:
    """Return the random factors of a group, operators first, and which are not measured."""
    factors: dict[str, list[str]] = {}
    why = []
    operators = [t.operator for t in group]
    one = [str(name).casefold() for name in operators]  # AB and ab are one person
    if None not in operators and len(set(one)) > 1:
        factors["operator"] = one
    else:
        why.append("operators: not stated, or one only")
    runs = [f"{t.lot}/{t.run}" for t in group]
    if 1 < len(set(runs)) < len(runs):
        factors["run"] = runs
    else:
        why.append("runs: one only" if len(set(runs)) == 1 else "runs: one tube in each")
    return factors, why


def _of_readers(read: Sequence[Tube], level: float) -> tuple[Precision, ...]:
    cv = variance.pooled_cv([t.readers for t in read])
    if cv is None:
        return ()
    free = sum(len(t.readers) - 1 for t in read if np.mean(t.readers) > 0)
    low, high = (cv * float(np.sqrt(free / q)) for q in stats.chi2.ppf([(1 + level) / 2, (1 - level) / 2], free))
    mean = float(np.mean([np.mean(t.readers) for t in read]))
    part = Component(source="between readers", sd=cv * mean, low=low * mean, high=high * mean, cv=cv)
    return (
        Precision(
            label="readers of the same cells",
            n_tubes=len(read),
            n_runs=len({t.run for t in read}),
            n_operators=0,
            mean=mean,
            counting_cv=0.0,
            components=(part,),
            level=level,
            why="",
        ),
    )
