"""A fourth generator of blood frames, on which nothing was trained or tuned: light as clouds of single fluorophores.

A cell is a set of points in space, drawn from bodies of three dimensions and seen from above: cytokeratin lies on
threads that walk at random through the cytoplasm, CD45 on the surface, in caps, and DNA in chromosome territories,
which are balls of their own. No outline is ever drawn. The point spread is a narrow and a wide Gaussian, light leaks in
from an uneven lamp, and an electron-multiplying camera adds noise in proportion to the light.

The sizes and brightnesses are those of pretend data, as in the other three.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Rng = np.random.Generator
Planes = dict[str, NDArray[Any]]

ROLES = ("dna", "ck", "cd45", "fitc")
FULL = 4095
_POINTS = 900  # a role of a cell


@dataclass(frozen=True)
class Drop:
    """What lies in a frame, and how it is imaged; numbers a frame, shares, micrometres."""

    shape: tuple[int, int] = (520, 520)
    pixel_size_um: float = 0.6
    leukocytes: int = 110
    ctc_um: float = 12.0
    ck: float = 0.2
    weak_ck: float = 0.08
    uptake: float = 0.015
    weak_cd45: float = 0.03
    dying: float = 0.0
    debris: float = 4.0
    narrow_um: float = 0.38
    wide_um: float = 2.2
    wide_share: float = 0.25
    haze: float = 0.015
    electrons: float = 5000.0


class Thing(NamedTuple):
    """One object: its kind, place, size, light by role (mean over the cell, DNA over the nucleus) and nucleus."""

    kind: str
    y: float
    x: float
    size: float
    light: dict[str, float]
    form: str
    cluster: int = 0


def crowd(drop: Drop, groups: Sequence[tuple[int, int]], rng: Rng) -> list[Thing]:
    """Return the objects of a frame; `groups` has the CTCs and leukocytes of each group."""
    height, width = (n * drop.pixel_size_um for n in drop.shape)
    things: list[Thing] = []

    def free(y: float, x: float, radius: float, gap: float) -> bool:
        return all(np.hypot(t.y - y, t.x - x) > t.size / 2 + radius + gap for t in things)

    for number, (n_ctc, n_leukocyte) in enumerate(groups, start=1):
        members = [*(_ctc(drop, rng) for _ in range(n_ctc)), *(_leukocyte(drop, rng) for _ in range(n_leukocyte))]
        members = _chain(members, rng)
        reach = max(float(np.hypot(m.y, m.x)) + m.size / 2 for m in members)
        for _ in range(400):
            y, x = rng.uniform(reach, height - reach), rng.uniform(reach, width - reach)
            if free(y, x, reach, 3.0):
                break
        else:
            raise ValueError("no room for a CTC: fewer things or a larger frame")
        together = number if len(members) > 1 else 0
        things += [m._replace(y=m.y + y, x=m.x + x, cluster=together) for m in members]
    loose = [_dying(drop, rng) for _ in range(rng.poisson(drop.dying))]
    loose += [_debris(drop, rng) for _ in range(rng.poisson(drop.debris))]
    loose += [_leukocyte(drop, rng) for _ in range(rng.poisson(drop.leukocytes))]
    for thing in loose:
        gap = float(rng.choice([-0.2, 1.0])) if thing.kind.startswith("leukocyte") else 2.0
        for _ in range(40):
            y, x = rng.uniform(0, height), rng.uniform(0, width)
            if free(y, x, thing.size / 2, gap):
                things.append(thing._replace(y=y, x=x))
                break
    return things


def truth_of(things: Sequence[Thing], drop: Drop) -> pd.DataFrame:
    """Return one row an object: y_um, x_um, kind, cluster, diameter_um, y_px, x_px."""
    rows = [(t.y, t.x, t.kind, t.cluster, t.size) for t in things]
    table = pd.DataFrame(rows, columns=["y_um", "x_um", "kind", "cluster", "diameter_um"])
    return table.assign(y_px=table["y_um"] / drop.pixel_size_um, x_px=table["x_um"] / drop.pixel_size_um)


def paint(things: Sequence[Thing], drop: Drop, rng: Rng) -> Planes:
    """Return the light of a frame by role, in shares of the camera's range, before any optics."""
    px = drop.pixel_size_um
    spots: dict[str, list[Floats]] = {role: [] for role in ROLES}
    for thing in things:
        points, nucleus = _points_of(thing, rng)
        for role, at in points.items():
            across = nucleus if role == "dna" else np.pi / 4 * thing.size**2
            each = thing.light[role] * across / px**2 / max(len(at), 1)
            weight = np.full((len(at), 1), each) * rng.gamma(2.0, 0.5, (len(at), 1))
            spots[role].append(np.hstack([(at[:, :2] + (thing.y, thing.x)) / px, weight]))
    return {role: _binned(np.concatenate(found) if found else np.zeros((0, 3)), drop) for role, found in spots.items()}


def photograph(light: Planes, drop: Drop, rng: Rng) -> Planes:
    """Return the counts of a 12-bit camera by role."""
    down, across = np.mgrid[-1 : 1 : drop.shape[0] * 1j, -1 : 1 : drop.shape[1] * 1j]
    out: Planes = {}
    for role, plane in light.items():
        sharp, far = (
            cv2.GaussianBlur(plane.astype(np.float32), (0, 0), um / drop.pixel_size_um)
            for um in (drop.narrow_um * rng.uniform(0.9, 1.15), drop.wide_um)
        )
        seen = (1 - drop.wide_share) * sharp + drop.wide_share * far
        lamp = 1 + 0.15 * rng.uniform(-1, 1) * down + 0.15 * rng.uniform(-1, 1) * across
        ground = drop.haze * rng.uniform(0.6, 1.6) * (1 + 0.2 * np.cos(rng.uniform(2, 5) * across + rng.uniform(0, 6)))
        electrons = rng.poisson(np.clip((seen + ground) * lamp, 0, None) * drop.electrons)
        multiplied = rng.gamma(np.maximum(electrons, 1e-6) * 2.0, 0.5)
        counts = (multiplied + rng.normal(0, 6.0, plane.shape)) * (FULL / drop.electrons) + 210
        out[role] = np.clip(np.rint(counts), 0, FULL).astype(np.uint16)
    return out


def _binned(points: Floats, drop: Drop) -> NDArray[np.float32]:
    """Return the sum of the points' light in each pixel, each shared between the four nearest."""
    height, width = drop.shape
    plane = np.zeros(height * width)
    corner = np.floor(points[:, :2] - 0.5).astype(int)
    part = points[:, :2] - 0.5 - corner
    for dy in (0, 1):
        for dx in (0, 1):
            y, x = corner[:, 0] + dy, corner[:, 1] + dx
            share = np.abs(1 - dy - part[:, 0]) * np.abs(1 - dx - part[:, 1]) * points[:, 2]
            held = (y >= 0) & (x >= 0) & (y < height) & (x < width)
            plane += np.bincount(y[held] * width + x[held], share[held], minlength=len(plane))
    return plane.reshape(drop.shape).astype(np.float32)


def _chain(members: list[Thing], rng: Rng) -> list[Thing]:
    """Return the members of a group one beside the other, each on a random one of those before."""
    placed = members[:1]
    for member in members[1:]:
        for _ in range(200):
            host, turn = placed[int(rng.integers(len(placed)))], rng.uniform(0, 2 * np.pi)
            reach = 0.47 * (host.size + member.size)
            y, x = host.y + reach * np.sin(turn), host.x + reach * np.cos(turn)
            if all(np.hypot(p.y - y, p.x - x) > 0.44 * (p.size + member.size) for p in placed):
                break
        placed.append(member._replace(y=float(y), x=float(x)))
    return placed


def _about(median: float, spread: float, rng: Rng) -> float:
    return float(median * np.exp(rng.normal(0, spread)))


def _ctc(drop: Drop, rng: Rng) -> Thing:
    weak = rng.random() < drop.weak_ck
    size = float(np.clip(_about(drop.ctc_um, 0.15, rng), 5, 30))
    ck = float(np.clip(_about(drop.ck, 0.45, rng) * (0.25 if weak else 1), 0.015, 0.8))
    light = {"dna": _about(0.2, 0.25, rng), "ck": ck, "cd45": 0.002, "fitc": 0.006}
    return Thing("ctc_weak_ck" if weak else "ctc", 0.0, 0.0, size, light, "round")


def _leukocyte(drop: Drop, rng: Rng) -> Thing:
    form = str(rng.choice(["lymphocyte", "lobed", "bean"], p=[0.32, 0.6, 0.08]))
    size = _about({"lymphocyte": 7.8, "lobed": 11.5, "bean": 14.5}[form], 0.06, rng)
    cd45 = _about({"lymphocyte": 0.13, "lobed": 0.07, "bean": 0.1}[form], 0.3, rng)
    light = {"dna": _about(0.22, 0.2, rng), "ck": _about(0.006, 0.4, rng), "cd45": cd45, "fitc": _about(0.02, 0.5, rng)}
    kind, draw = "leukocyte", rng.random()
    if draw < drop.uptake:
        kind, light["ck"] = "leukocyte_ck", _about(0.08, 0.5, rng)
    elif draw < drop.uptake + drop.weak_cd45:
        kind, light["cd45"] = "leukocyte_weak_cd45", 0.25 * light["cd45"]
    return Thing(kind, 0.0, 0.0, size, light, form)


def _dying(drop: Drop, rng: Rng) -> Thing:
    form = str(rng.choice(["shrunken", "pieces", "ring", "lysed"], p=[0.2, 0.4, 0.2, 0.2]))
    light = {"dna": _about(0.35, 0.3, rng), "ck": drop.ck * _about(0.9, 0.5, rng), "cd45": 0.002, "fitc": 0.01}
    return Thing("apoptotic", 0.0, 0.0, float(rng.uniform(7, 13)), light, form)


def _debris(drop: Drop, rng: Rng) -> Thing:
    if rng.random() < 0.1:
        light = {role: _about(0.3, 0.4, rng) for role in ROLES}
        return Thing("dye_aggregate", 0.0, 0.0, float(rng.uniform(3, 10)), light, "none")
    role = str(rng.choice(ROLES))
    return Thing("speck", 0.0, 0.0, float(rng.uniform(1.0, 4.0)), {role: _about(0.15, 0.5, rng)}, "none")


def _ball(n: int, diameter: float, rng: Rng, shell: bool = False) -> Floats:
    """Return points in a ball (or on its surface), y, x, z."""
    at = rng.normal(size=(n, 3))
    at /= np.linalg.norm(at, axis=1, keepdims=True)
    far = np.ones((n, 1)) if shell else rng.random((n, 1)) ** (1 / 3)
    return np.asarray(at * far * diameter / 2)


def _balls(n: int, spots: Sequence[tuple[float, float, float]], rng: Rng) -> Floats:
    """Return points in balls at (y, x), as many in each as its size wants."""
    volume = np.array([size**2 for _, _, size in spots])
    share = np.maximum((n * volume / volume.sum()).astype(int), 8)
    return np.concatenate([_ball(k, d, rng) + np.array([y, x, 0.0]) for k, (y, x, d) in zip(share, spots, strict=True)])


def _points_of(thing: Thing, rng: Rng) -> tuple[dict[str, Floats], float]:
    """Return an object's points by role, and the area of its nucleus, um2."""
    size, squeeze = thing.size, np.array([1.0, float(rng.uniform(0.85, 1.0)), 0.6])
    if thing.form == "none":
        return {role: _ball(_POINTS // 3, size, rng) for role in thing.light}, np.pi / 4 * size**2
    bodies = _bodies(thing, rng)
    points = {"dna": _territories(bodies, rng), "fitc": _ball(_POINTS // 4, size, rng)}
    points["cd45"] = _capped(_ball(2 * _POINTS, size, rng, shell=True), rng)[:_POINTS]
    points["ck"] = _threads(size, rng) if thing.form not in ("pieces", "lysed") else _blebs(size, rng)
    turn = rng.uniform(0, np.pi)
    spin = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    area = min(sum(np.pi / 4 * d**2 for _, _, d in bodies), 0.8 * np.pi / 4 * size**2)
    return {role: at * squeeze @ spin for role, at in points.items()}, area


def _bodies(thing: Thing, rng: Rng) -> list[tuple[float, float, float]]:
    """Return the bodies of a nucleus: y, x, diameter."""
    size, turn, form = thing.size, rng.uniform(0, 6.3), thing.form

    def around(far: float, step: float, count: int, part: float) -> list[tuple[float, float, float]]:
        at = [turn + step * k for k in range(count)]
        return [(far * size * np.sin(a), far * size * np.cos(a), part * size) for a in at]

    rings = {
        "lobed": (0.22, 1.5, int(rng.integers(2, 5)), 0.36),
        "bean": (0.18, 0.6, 4, 0.42),
        "ctc_lobed": (0.2, 2.1, 3, 0.4),
        "ctc_mitotic": (0.19, np.pi, 2, 0.36) if rng.random() < 0.5 else (0.12, np.pi / 2, 4, 0.26),
        "ring": (0.26, 0.5, 12, 0.14),
    }
    if form in rings:
        return around(*rings[form])
    if form == "pieces":
        spots = rng.normal(0, 0.2 * size, (int(rng.integers(3, 9)), 2))
        return [(float(y), float(x), float(rng.uniform(0.1, 0.25) * size)) for y, x in spots]
    part = {"shrunken": 0.32, "lysed": 0.85, "lymphocyte": 0.82}.get(form) or float(rng.uniform(0.58, 0.8))
    return [(*rng.normal(0, 0.04 * size, 2).tolist(), part * size)]


def _territories(bodies: Sequence[tuple[float, float, float]], rng: Rng) -> Floats:
    """Return points of DNA: half of them in balls of their own within each body."""
    smooth = _balls(_POINTS, bodies, rng)
    homes = _balls(30, bodies, rng)
    grains = homes[rng.integers(0, len(homes), _POINTS // 2)] + rng.normal(0, 0.35, (_POINTS // 2, 3))
    return np.concatenate([smooth, grains])


def _threads(size: float, rng: Rng) -> Floats:
    """Return points of cytokeratin on random walks from the middle to the rim, and some that are dissolved."""
    starts, steps = 24, _POINTS // 36
    walk = np.cumsum(rng.normal(0, 0.09 * size, (starts, steps, 3)), axis=1) + _ball(starts, 0.8 * size, rng)[:, None]
    at = walk.reshape(-1, 3)
    far = np.linalg.norm(at, axis=1, keepdims=True) / (size / 2)
    at = np.where(far > 1, at / far * rng.uniform(0.8, 1.0, far.shape), at)
    return np.concatenate([at, _ball(_POINTS // 3, size, rng)])


def _blebs(size: float, rng: Rng) -> Floats:
    spots = rng.normal(0, 0.26 * size, (int(rng.integers(4, 10)), 2))
    blebs = [(float(y), float(x), float(rng.uniform(0.12, 0.35) * size)) for y, x in spots]
    return np.concatenate([_balls(_POINTS // 2, blebs, rng), _ball(_POINTS // 3, size, rng)])


def _capped(at: Floats, rng: Rng) -> Floats:
    """Return points of a surface, of which more lie near a few spots."""
    poles = _ball(4, 2.0, rng, shell=True)
    near = (at / np.linalg.norm(at, axis=1, keepdims=True) @ poles.T).max(axis=1)
    return at[rng.random(len(at)) < np.clip(0.45 + 0.5 * near, 0.1, 1)]
