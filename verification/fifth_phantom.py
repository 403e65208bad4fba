"""A fifth generator of blood frames, never tuned on: bodies cut out of random fields, stacks of focal planes, seams.

A body is where a smooth random field and its distance from the middle stay below a level, and its stain is a second
field, log-normal. Leukocytes come in clumps. The wave in the pupil is drawn from Zernike polynomials, for each colour,
tile and focal plane its own; a frame is the brightest of three focal planes, joined from four tiles whose lamp, focus
and place differ a little. Autofluorescence of plasma and pale erythrocytes lies in all channels alike, and each pixel
of the sCMOS camera has an offset, a gain and a noise of its own, the last with a long tail. How strongly a lot stains
is log-normal for each role.

The sizes and brightnesses are those of pretend data, as in the other four.
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
COLOUR_UM = {"dna": 0.45, "fitc": 0.52, "ck": 0.575, "cd45": 0.67}
FULL = 4095
_MARGIN = 16  # pixels around a tile
_PLAIN_FORMS = {"": 0.66, "lymphocyte": 0.8, "monocyte": 0.62, "condensed": 0.3, "swollen": 0.85}


@dataclass(frozen=True)
class Smear:
    """What lies in a frame, and how it is imaged; numbers a frame, shares, micrometres."""

    shape: tuple[int, int] = (560, 560)
    pixel_size_um: float = 0.57
    leukocytes: int = 110
    clump: float = 4.0
    ctc_um: float = 12.0
    ck: float = 0.19
    weak_ck: float = 0.07
    uptake: float = 0.02
    weak_cd45: float = 0.03
    dying: float = 0.0
    litter: float = 5.0
    erythrocytes: int = 40
    lot: float = 0.25
    aperture: float = 0.5
    waves: float = 0.05
    focus_um: float = 1.0
    haze: float = 0.02
    electrons: float = 9000.0


class Body(NamedTuple):
    """One object: kind, place, size, light by role (mean over the cell, DNA over the nucleus), nucleus, cluster."""

    kind: str
    y: float
    x: float
    size: float
    light: dict[str, float]
    form: str
    cluster: int = 0


def crowd(smear: Smear, groups: Sequence[tuple[int, int]], rng: Rng) -> list[Body]:
    """Return the objects of a frame; `groups` has the CTCs and leukocytes of each group."""
    height, width = (n * smear.pixel_size_um for n in smear.shape)
    bodies: list[Body] = []

    def free(y: float, x: float, radius: float, gap: float) -> bool:
        return all(np.hypot(b.y - y, b.x - x) > b.size / 2 + radius + gap for b in bodies)

    for number, (n_ctc, n_leukocyte) in enumerate(groups, start=1):
        members = [*(_ctc(smear, rng) for _ in range(n_ctc)), *(_leukocyte(smear, rng) for _ in range(n_leukocyte))]
        members = _heap(members, rng)
        reach = max(float(np.hypot(m.y, m.x)) + m.size / 2 for m in members)
        for _ in range(600):
            y, x = rng.uniform(reach, height - reach), rng.uniform(reach, width - reach)
            if free(y, x, reach, 2.5):
                break
        else:
            raise ValueError("no room for a CTC: fewer things or a larger frame")
        together = number if len(members) > 1 else 0
        bodies += [m._replace(y=m.y + y, x=m.x + x, cluster=together) for m in members]
    for body, gap in _loose(smear, rng):
        y, x = body.y, body.x
        for _ in range(40):
            if np.isnan(body.y):
                y, x = rng.uniform(0, height), rng.uniform(0, width)
            if 0 < y < height and 0 < x < width and free(y, x, body.size / 2, gap):
                bodies.append(body._replace(y=y, x=x))
                break
            y, x = y + rng.normal(0, 4), x + rng.normal(0, 4)
    return bodies


def _loose(smear: Smear, rng: Rng) -> list[tuple[Body, float]]:
    """Return single objects, and the least gap around each; leukocytes of a clump lie around one place."""
    height, width = (n * smear.pixel_size_um for n in smear.shape)
    anywhere = [_dying(smear, rng) for _ in range(rng.poisson(smear.dying))]
    anywhere += [_litter(rng) for _ in range(rng.poisson(smear.litter))]
    out = [(body._replace(y=np.nan, x=np.nan), 2.0) for body in anywhere]
    left = int(rng.poisson(smear.leukocytes))
    while left > 0:
        many = min(1 + int(rng.poisson(smear.clump - 1)), left)
        y, x = rng.uniform(0, height), rng.uniform(0, width)
        for _ in range(many):
            at = {"y": float(y + rng.normal(0, 7)), "x": float(x + rng.normal(0, 7))}
            out.append((_leukocyte(smear, rng)._replace(**at), 0.1))
        left -= many
    return [(b, gap) for b, gap in out if np.isnan(b.y) or (0 < b.y < height and 0 < b.x < width)]


def truth_of(bodies: Sequence[Body], smear: Smear) -> pd.DataFrame:
    """Return one row an object: y_um, x_um, kind, cluster, diameter_um, y_px, x_px."""
    held = [b for b in bodies if 0 <= b.y < smear.shape[0] * smear.pixel_size_um]
    held = [b for b in held if 0 <= b.x < smear.shape[1] * smear.pixel_size_um]
    rows = [(b.y, b.x, b.kind, b.cluster, b.size) for b in held]
    table = pd.DataFrame(rows, columns=["y_um", "x_um", "kind", "cluster", "diameter_um"])
    return table.assign(y_px=table["y_um"] / smear.pixel_size_um, x_px=table["x_um"] / smear.pixel_size_um)


def paint(bodies: Sequence[Body], smear: Smear, rng: Rng) -> Planes:
    """Return the light of a frame by role, in shares of the camera's range, before any optics."""
    px = smear.pixel_size_um
    light = {role: np.zeros(smear.shape, np.float32) for role in ROLES}
    for body in bodies:
        reach = int(0.75 * body.size / px) + 3
        cy, cx = round(body.y / px), round(body.x / px)
        v, u = np.mgrid[-reach : reach + 1, -reach : reach + 1] * px
        stains = _stains(body, v - (body.y - cy * px), u - (body.x - cx * px), px, rng)
        y0, x0, y1, x1 = max(cy - reach, 0), max(cx - reach, 0), cy + reach + 1, cx + reach + 1
        for role, stain in stains.items():
            window = light[role][y0:y1, x0:x1]
            window += stain[y0 - cy + reach :, x0 - cx + reach :][: window.shape[0], : window.shape[1]]
    pale = _erythrocytes(smear, rng)
    for role, amount in {"dna": 0.001, "ck": 0.004, "cd45": 0.002, "fitc": 0.006}.items():
        light[role] += amount * pale
    return light


def photograph(light: Planes, smear: Smear, rng: Rng) -> Planes:
    """Return the counts of a 12-bit camera by role."""
    height, width = smear.shape
    plasma = np.exp(0.5 * _field(smear.shape, 40.0, rng)) * (1 + 0.3 * np.abs(_field(smear.shape, 4.0, rng)))
    cuts = (int(height * rng.uniform(0.4, 0.6)), int(width * rng.uniform(0.4, 0.6)))
    tiles = [
        (slice(*y), slice(*x)) for y in ((0, cuts[0]), (cuts[0], height)) for x in ((0, cuts[1]), (cuts[1], width))
    ]
    offset, gain = 180 + rng.normal(0, 2, smear.shape), rng.normal(1, 0.01, smear.shape)
    tail = 2.0 * np.exp(np.abs(rng.normal(0, 0.6, smear.shape)))
    focus = [rng.normal(0, 0.6) for _ in tiles]
    places = [rng.integers(-1, 2, 2) for _ in tiles]
    out: Planes = {}
    for role, plane in light.items():
        lit = plane + smear.haze * rng.uniform(0.6, 1.5) * plasma
        joined = np.zeros(smear.shape)
        for tile, far, place in zip(tiles, focus, places, strict=True):
            moved = np.pad(np.roll(lit, place, (0, 1))[tile], _MARGIN, mode="reflect")
            shown = [_seen(moved, role, far + z, smear, rng)[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN] for z in (-1, 0, 1)]
            stack = [_camera(one, smear, tail[tile], rng) for one in shown]
            y, x = np.ogrid[-1 : 1 : stack[0].shape[0] * 1j, -1 : 1 : stack[0].shape[1] * 1j]
            joined[tile] = np.max(stack, axis=0) * (1 - 0.06 * (y**2 + x**2)) * rng.normal(1, 0.02)
        counts = joined * gain * (FULL / smear.electrons) + offset
        out[role] = np.clip(np.rint(counts), 0, FULL).astype(np.uint16)
    return out


def stained(smear: Smear, rng: Rng) -> dict[str, float]:
    """Return how strongly the lot stains, by role."""
    return {role: float(np.exp(rng.normal(0, smear.lot))) for role in ROLES}


def _camera(light: Floats, smear: Smear, tail: Floats, rng: Rng) -> Floats:
    return np.asarray(rng.poisson(np.clip(light, 0, None) * smear.electrons) + rng.normal(0, 1, light.shape) * tail)


def _seen(plane: NDArray[Any], role: str, far: float, smear: Smear, rng: Rng) -> Floats:
    """Return the image of a plane so far from focus (in steps of `focus_um`), through an aberrated pupil."""
    ky, kx = (np.fft.fftfreq(n, smear.pixel_size_um) for n in plane.shape)
    radius = np.hypot(ky[:, None], kx[None]) * COLOUR_UM[role] / smear.aperture
    angle = np.arctan2(ky[:, None], kx[None])
    sphere = far * smear.focus_um * smear.aperture**2 / (2 * COLOUR_UM[role]) * radius**2
    odd = rng.normal(0, smear.waves, 5)
    wave = sphere + odd[0] * radius**2 * np.cos(2 * angle) + odd[1] * radius**2 * np.sin(2 * angle)
    wave += (3 * radius**3 - 2 * radius) * (odd[2] * np.cos(angle) + odd[3] * np.sin(angle))
    wave += odd[4] * (6 * radius**4 - 6 * radius**2 + 1)
    pupil = np.where(radius <= 1, np.exp(2j * np.pi * wave), 0)
    spread = np.abs(np.fft.ifft2(pupil)) ** 2
    return np.asarray(np.fft.ifft2(np.fft.fft2(plane) * np.fft.fft2(spread / spread.sum())).real)


def _field(shape: tuple[int, ...], length: float, rng: Rng) -> Floats:
    """Return a smooth random field of mean 0 and spread 1; `length` in pixels."""
    noise = cv2.GaussianBlur(rng.normal(size=shape), (0, 0), max(length, 0.3), borderType=cv2.BORDER_REFLECT)
    return np.asarray((noise - noise.mean()) / max(float(noise.std()), 1e-9))


def _body(v: Floats, u: Floats, size: float, px: float, rough: float, rng: Rng) -> Floats:
    """Return the shares of pixels that a body covers: where distance and a random field stay below a level."""
    waves = _field(v.shape, 0.3 * size / px, rng)
    flat, turn = rng.uniform(0.85, 1.18), rng.uniform(0, np.pi)
    y, x = (v * np.cos(turn) + u * np.sin(turn)) * flat, (u * np.cos(turn) - v * np.sin(turn)) / flat
    return np.asarray(np.clip((size / 2 * (1 + rough * waves) - np.hypot(y, x)) / px + 0.5, 0, 1))


def _stains(body: Body, v: Floats, u: Floats, px: float, rng: Rng) -> dict[str, Floats]:
    """Return the light of one object by role."""
    whole = _body(v, u, body.size, px, 0.06 if body.kind.startswith("leukocyte") else 0.1, rng)
    if body.form == "none":
        return {role: amount * whole for role, amount in body.light.items()}
    nucleus = np.zeros_like(whole)
    for dy, dx, part in _nuclei(body, rng):
        nucleus = np.maximum(nucleus, _body(v - dy, u - dx, part * body.size, px, 0.08, rng))
    grain = np.exp(rng.uniform(0.15, 0.3) * _field(v.shape, rng.uniform(0.5, 1.0) / px, rng))
    far = np.hypot(v, u) / (body.size / 2)
    threads = 0.35 + np.exp(-np.abs(_field(v.shape, 0.7 / px, rng)) / 0.3) * np.exp(-far * rng.uniform(-0.3, 0.8))
    if body.form in ("pieces", "swollen"):
        threads = np.exp(1.2 * _field(v.shape, 1.0 / px, rng))
    patches = (0.5 + far**2) * np.exp(0.4 * _field(v.shape, 0.8 / px, rng))
    ck = whole * threads * (1 - 0.35 * nucleus)
    lit = {"dna": nucleus * grain, "ck": ck, "cd45": whole * patches, "fitc": whole}
    areas = {"dna": max(float(nucleus.sum()), 1.0)}
    covered = max(float(whole.sum()), 1.0)
    return {
        role: body.light[role] * stain * areas.get(role, covered) / max(float(stain.sum()), 1e-9)
        for role, stain in lit.items()
    }


def _nuclei(body: Body, rng: Rng) -> list[tuple[float, float, float]]:
    """Return the bodies of a nucleus: y and x from the middle, um, and diameter over the cell's."""
    size, turn = body.size, rng.uniform(0, 6.3)
    rings = {
        "lobed": (0.2, 1.7, int(rng.integers(2, 5)), 0.4),
        "ctc_lobed": (0.2, 2.1, 3, 0.42),
        "ctc_mitotic": (0.2, np.pi, 2, 0.36),
        "pieces": (rng.uniform(0.15, 0.3), 6.3 / 5, int(rng.integers(3, 6)), rng.uniform(0.12, 0.24)),
        "crescent": (0.28, 0.4, 7, 0.16),
    }
    if body.form in rings:
        far, step, count, part = rings[body.form]
        return [
            (far * size * np.sin(turn + step * k), far * size * np.cos(turn + step * k), part) for k in range(count)
        ]
    part = _PLAIN_FORMS.get(body.form, 0.66) * rng.uniform(0.9, 1.12)
    dy, dx = rng.normal(0, 0.05 * size, 2)
    return [(float(dy), float(dx), float(part))]


def _erythrocytes(smear: Smear, rng: Rng) -> NDArray[np.float32]:
    """Return pale discs with a hollow middle."""
    plane = np.zeros(smear.shape, np.float32)
    down, across = np.mgrid[: smear.shape[0], : smear.shape[1]] * smear.pixel_size_um
    for _ in range(smear.erythrocytes):
        y, x = rng.uniform(0, down[-1, -1]), rng.uniform(0, across[-1, -1])
        near = (slice(*_span(y, smear, 0)), slice(*_span(x, smear, 1)))
        far = np.hypot(down[near] - y, across[near] - x) / 3.7
        plane[near] += np.where(far < 1, 0.4 + 0.6 * far**2, 0)
    return plane


def _span(at: float, smear: Smear, axis: int) -> tuple[int, int]:
    middle, reach = int(at / smear.pixel_size_um), int(4 / smear.pixel_size_um) + 1
    return max(middle - reach, 0), min(middle + reach + 1, smear.shape[axis])


def _heap(members: list[Body], rng: Rng) -> list[Body]:
    """Return the members of a group, each pushed towards the first until it touches another."""
    placed = members[:1]
    for member in members[1:]:
        turn = rng.uniform(0, 2 * np.pi)
        far = 0.0
        while any(
            np.hypot(p.y - far * np.sin(turn), p.x - far * np.cos(turn)) < 0.47 * (p.size + member.size) for p in placed
        ):
            far += 0.25
        placed.append(member._replace(y=float(far * np.sin(turn)), x=float(far * np.cos(turn))))
    return placed


def _about(median: float, spread: float, rng: Rng) -> float:
    return float(median * np.exp(rng.normal(0, spread)))


def _ctc(smear: Smear, rng: Rng) -> Body:
    weak = rng.random() < smear.weak_ck
    size = float(np.clip(_about(smear.ctc_um, 0.17, rng), 5, 30))
    ck = float(np.clip(_about(smear.ck, 0.5, rng) * (0.25 if weak else 1), 0.015, 0.8))
    light = {"dna": _about(0.2, 0.3, rng), "ck": ck, "cd45": _about(0.002, 0.5, rng), "fitc": 0.006}
    return Body("ctc_weak_ck" if weak else "ctc", 0.0, 0.0, size, light, "")


def _leukocyte(smear: Smear, rng: Rng) -> Body:
    form = str(rng.choice(["lymphocyte", "lobed", "monocyte"], p=[0.3, 0.62, 0.08]))
    size = _about({"lymphocyte": 8.0, "lobed": 11.0, "monocyte": 14.0}[form], 0.08, rng)
    cd45 = _about({"lymphocyte": 0.14, "lobed": 0.08, "monocyte": 0.1}[form], 0.35, rng)
    light = {
        "dna": _about(0.22, 0.22, rng),
        "ck": _about(0.006, 0.5, rng),
        "cd45": cd45,
        "fitc": _about(0.02, 0.5, rng),
    }
    kind, draw = "leukocyte", rng.random()
    if draw < smear.uptake:
        kind, light["ck"] = "leukocyte_ck", _about(0.08, 0.5, rng)
    elif draw < smear.uptake + smear.weak_cd45:
        kind, light["cd45"] = "leukocyte_weak_cd45", 0.25 * light["cd45"]
    return Body(kind, 0.0, 0.0, size, light, form)


def _dying(smear: Smear, rng: Rng) -> Body:
    form = str(rng.choice(["condensed", "pieces", "crescent", "swollen"], p=[0.2, 0.45, 0.2, 0.15]))
    light = {"dna": _about(0.35, 0.3, rng), "ck": smear.ck * _about(0.9, 0.5, rng), "cd45": 0.002, "fitc": 0.01}
    return Body("apoptotic", 0.0, 0.0, float(rng.uniform(7, 13)), light, form)


def _litter(rng: Rng) -> Body:
    if rng.random() < 0.1:
        light = {role: _about(0.3, 0.4, rng) for role in ROLES}
        return Body("dye_aggregate", 0.0, 0.0, float(rng.uniform(3, 10)), light, "none")
    role = str(rng.choice(ROLES))
    return Body("speck", 0.0, 0.0, float(rng.uniform(1.0, 4.0)), {role: _about(0.15, 0.5, rng)}, "none")
