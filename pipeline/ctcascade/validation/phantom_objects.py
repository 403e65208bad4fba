"""What lies on a phantom slide: CTCs, clusters, leukocytes and debris, how large and bright they are, and where."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

ROLES = ("dna", "ck", "cd45", "fitc")
CTC_KINDS = ("ctc", "ctc_weak_ck", "ctc_marker", "ctc_marker_nucleus")
LEUKOCYTE_KINDS = ("lymphocyte", "granulocyte", "leukocyte_ck", "leukocyte_weak_cd45")


@dataclass(frozen=True)
class Recipe:
    """What lies on a slide.

    Attributes
    ----------
    leukocytes : int
        A frame, on average.
    ctcs : int
        Single CTCs on the whole slide.
    clusters : tuple of (int, int)
        CTCs and leukocytes of each cluster on the slide; (1, n) is one CTC with leukocytes.
    ctc_diameter_um : (float, float)
        Median and spread (standard deviation of the logarithm) of whole CTCs.
    ck : float
        Median brightness of a CTC's cytokeratin, as a share of the camera's range.
    weak_ck, leukocyte_ck, leukocyte_weak_cd45, granulocytes : float
        Shares: of CTCs with a quarter of that brightness; of leukocytes with cytokeratin, of those with little CD45,
        and of granulocytes among the rest.
    bare_nuclei, fragments, specks, aggregates, apoptotic : float
        Others a frame, on average.
    marker_positive : float
        Share of CTCs that are bright in the fourth channel, too: all over, or with ``marker_in_nucleus`` only there.
    """

    leukocytes: int = 80
    ctcs: int = 0
    clusters: tuple[tuple[int, int], ...] = ()
    ctc_diameter_um: tuple[float, float] = (12.0, 0.2)
    ck: float = 0.25
    weak_ck: float = 0.0
    leukocyte_ck: float = 0.01
    leukocyte_weak_cd45: float = 0.02
    granulocytes: float = 0.6
    bare_nuclei: float = 1.0
    fragments: float = 1.0
    specks: float = 3.0
    aggregates: float = 0.3
    apoptotic: float = 0.2
    marker_positive: float = 0.0
    marker_in_nucleus: bool = False


@dataclass(frozen=True)
class Thing:
    """One object: where, what, how large, and how bright in each channel (shares of the camera's range)."""

    kind: str
    y_um: float
    x_um: float
    diameter_um: float
    nucleus_um: float
    light: Mapping[str, float]
    cluster: int = 0


def place_objects(
    recipe: Recipe, size_um: tuple[float, float], groups: Sequence[tuple[int, int]], rng: np.random.Generator
) -> list[Thing]:
    """Return the objects of a frame of `size_um` (height, width), CTCs first; only some leukocytes touch others.

    `groups` has the CTCs and leukocytes of each group; (1, 0) is a single CTC.
    """
    height, width = size_um
    taken: list[Thing] = []
    discs = np.empty((0, 3))  # y, x and radius of each, um

    def put(thing: Thing) -> None:
        nonlocal discs
        taken.append(thing)
        discs = np.vstack([discs, (thing.y_um, thing.x_um, thing.diameter_um / 2)])

    def free_spot(radius: float, gap: float, margin: float) -> tuple[float, float] | None:
        apart = (discs[:, 2] + radius + gap) ** 2
        for _ in range(60):
            y, x = rng.uniform(margin, height - margin), rng.uniform(margin, width - margin)
            if ((discs[:, 0] - y) ** 2 + (discs[:, 1] - x) ** 2 > apart).all():
                return y, x
        return None

    for number, (n_ctc, n_leukocyte) in enumerate(groups, start=1):
        members = [make_ctc(recipe, rng) for _ in range(n_ctc)] + [_leukocyte(recipe, rng) for _ in range(n_leukocyte)]
        members = _grouped(members, rng)
        radius = max(np.hypot(m.y_um, m.x_um) + m.diameter_um / 2 for m in members)
        spot = free_spot(radius, 4.0, radius + 2)
        if spot is None:
            raise ValueError("no room for a CTC: fewer things or a larger frame")
        cluster = number if n_ctc + n_leukocyte > 1 else 0
        for m in members:
            put(replace(m, y_um=m.y_um + spot[0], x_um=m.x_um + spot[1], cluster=cluster))
    makers = {"bare_nuclei": _bare_nucleus, "aggregates": _aggregate, "apoptotic": _apoptotic}
    makers |= {"fragments": _fragment, "specks": _speck}
    things = [make(rng) for share, make in makers.items() for _ in range(rng.poisson(getattr(recipe, share)))]
    things += [_leukocyte(recipe, rng) for _ in range(rng.poisson(recipe.leukocytes))]
    for thing in things:
        spot = free_spot(
            thing.diameter_um / 2, 3.0 if thing.kind not in LEUKOCYTE_KINDS else rng.choice([0.0, 2.0]), 0.0
        )
        if spot is not None:
            put(replace(thing, y_um=spot[0], x_um=spot[1]))
    return taken


def _grouped(members: list[Thing], rng: np.random.Generator) -> list[Thing]:
    """Return the members of a group moved together, each touching one that is already there, and centred on zero."""
    placed: list[Thing] = []
    for member in members:
        if not placed:
            placed.append(member)
            continue
        for _ in range(200):
            host = placed[rng.integers(len(placed))]
            angle = rng.uniform(0, 2 * np.pi)
            reach = 0.94 * (host.diameter_um + member.diameter_um) / 2
            y, x = host.y_um + reach * np.sin(angle), host.x_um + reach * np.cos(angle)
            clear = [
                (t.y_um - y) ** 2 + (t.x_um - x) ** 2 >= (0.9 * (t.diameter_um + member.diameter_um) / 2) ** 2
                for t in placed
            ]
            if all(clear):
                break
        placed.append(replace(member, y_um=y, x_um=x))
    return placed


def make_ctc(recipe: Recipe, rng: np.random.Generator, y_um: float = 0.0, x_um: float = 0.0) -> Thing:
    """Return a CTC of the recipe."""
    median, spread = recipe.ctc_diameter_um
    diameter = float(np.clip(median * np.exp(rng.normal(0, spread)), 5.0, 35.0))
    weak = rng.random() < recipe.weak_ck
    ck = recipe.ck * np.exp(rng.normal(0, 0.35)) * (0.25 if weak else 1.0)
    light = {"dna": _about(0.28, 0.25, rng), "ck": float(np.clip(ck, 0.02, 0.85)), "cd45": 0.002, "fitc": 0.01}
    kind = "ctc_weak_ck" if weak else "ctc"
    if recipe.marker_positive and rng.random() < recipe.marker_positive:
        kind = "ctc_marker_nucleus" if recipe.marker_in_nucleus else "ctc_marker"
        light["fitc"] = _about(0.45, 0.25, rng)
    return Thing(kind, y_um, x_um, diameter, diameter * rng.uniform(0.6, 0.75), light)


def _leukocyte(recipe: Recipe, rng: np.random.Generator) -> Thing:
    share = rng.random()
    granulocyte = rng.random() < recipe.granulocytes
    diameter = _about(11.0 if granulocyte else 9.0, 0.07, rng)
    light = {"dna": _about(0.3, 0.2, rng), "ck": _about(0.006, 0.5, rng), "cd45": _about(0.15, 0.4, rng)}
    light["fitc"] = _about(0.02, 0.8, rng)
    kind = "granulocyte" if granulocyte else "lymphocyte"
    if share < recipe.leukocyte_ck:
        kind, light["ck"] = "leukocyte_ck", _about(0.12, 0.4, rng)
    elif share < recipe.leukocyte_ck + recipe.leukocyte_weak_cd45:
        kind, light["cd45"] = "leukocyte_weak_cd45", _about(0.025, 0.3, rng)
    nucleus = diameter * (0.62 if granulocyte else 0.78)
    return Thing(kind, 0.0, 0.0, diameter, nucleus, light)


def _bare_nucleus(rng: np.random.Generator) -> Thing:
    diameter = _about(7.5, 0.15, rng)
    return Thing("bare_nucleus", 0.0, 0.0, diameter, diameter, {"dna": _about(0.22, 0.3, rng)})


def _aggregate(rng: np.random.Generator) -> Thing:
    light = {role: _about(0.5, 0.3, rng) for role in ROLES}
    return Thing("dye_aggregate", 0.0, 0.0, float(rng.uniform(4, 14)), 0.0, light)


def _apoptotic(rng: np.random.Generator) -> Thing:
    light = {"dna": _about(0.3, 0.3, rng), "ck": _about(0.2, 0.4, rng), "fitc": 0.01}
    return Thing("apoptotic", 0.0, 0.0, _about(9.0, 0.15, rng), 3.0, light)


def _fragment(rng: np.random.Generator) -> Thing:
    return Thing("fragment", 0.0, 0.0, float(rng.uniform(3, 8)), 0.0, {"ck": _about(0.2, 0.5, rng)})


def _speck(rng: np.random.Generator) -> Thing:
    return Thing("speck", 0.0, 0.0, float(rng.uniform(1, 2)), 0.0, {rng.choice(ROLES): _about(0.3, 0.5, rng)})


def _about(median: float, spread: float, rng: np.random.Generator) -> float:
    return float(median * np.exp(rng.normal(0, spread)))
