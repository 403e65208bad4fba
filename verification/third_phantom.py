"""A third generator of blood frames, of other physics than `validation.phantom` and `tests.support.other_phantom`.

Cells have a height: light is what a dome of stain gives seen from above, brighter in the middle, and a membrane is
brightest at its rim. Outlines are random waves, chromatin a random field with nucleoli, cytokeratin filaments that
follow the contours of such a field, and CD45 lies in patches. Dying cells follow the course of apoptosis: the nucleus
condenses, breaks, and the cell sheds blebs that hold cytokeratin, DNA or both. The point spread is that of a round
pupil with aberrations, for each colour of its own, and a part of the light comes from other planes. Stains fade over
the slide, a spill lies over a part of it, and the camera has a gain, an offset and a noise of its own for each pixel.

The sizes and brightnesses are those of pretend data, as in the other two.
"""

from collections.abc import Callable, Sequence
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
COLOUR_UM = {"dna": 0.46, "fitc": 0.52, "ck": 0.58, "cd45": 0.67}
FULL = 4095


@dataclass(frozen=True)
class Film:
    """What lies in a frame and how it is stained and imaged; numbers a frame, shares, micrometres.

    Attributes
    ----------
    dying, bodies, dye, fragments, bare, fibres, specks : float
        Dying cells, heaps of apoptotic bodies, and other objects a frame, on average.
    granulocytes, monocytes, uptake, weak_cd45 : float
        Shares of leukocytes.
    ck, weak_ck, ck_spread : float
        Median cytokeratin of CTCs (share of the camera's range), the share of CTCs with a quarter of it, and the
        spread of its logarithm.
    nucleus : (float, float)
        Least and largest diameter of a CTC's nucleus, over the cell's.
    fade, spill : float
        Share of the stain that is lost across the frame; brightness of a spill over that of leukocytes' CD45.
    aperture, waves, other_planes : float
        Numerical aperture, aberration (rms, wavelengths), share of the light from other planes.
    electrons, read_noise, haze : float
        Electrons at the camera's full range, read noise (electrons), background (share of the range).
    """

    shape: tuple[int, int] = (480, 480)
    pixel_size_um: float = 0.55
    leukocytes: int = 110
    granulocytes: float = 0.6
    monocytes: float = 0.08
    uptake: float = 0.02
    weak_cd45: float = 0.04
    ctc_um: float = 12.0
    ctc_spread: float = 0.18
    ck: float = 0.18
    ck_spread: float = 0.4
    weak_ck: float = 0.1
    nucleus: tuple[float, float] = (0.6, 0.78)
    dying: float = 0.0
    bodies: float = 0.0
    dye: float = 0.3
    fragments: float = 1.0
    bare: float = 1.0
    fibres: float = 0.2
    specks: float = 6.0
    fade: float = 0.15
    spill: float = 0.0
    aperture: float = 0.5
    waves: float = 0.04
    other_planes: float = 0.2
    electrons: float = 9000.0
    read_noise: float = 4.0
    haze: float = 0.02


class Body(NamedTuple):
    """One object: its kind, place, size, light by role, form of its nucleus, and its diameter over the cell's."""

    kind: str
    y: float
    x: float
    size: float
    light: dict[str, float]
    form: str
    cluster: int = 0
    share: float = 0.0


def crowd(film: Film, groups: Sequence[tuple[int, int]], rng: Rng) -> list[Body]:
    """Return the objects of a frame; `groups` has the CTCs and leukocytes of each group."""
    place = _Place(film)
    for number, (n_ctc, n_leukocyte) in enumerate(groups, start=1):
        members = [*(_ctc(film, rng) for _ in range(n_ctc)), *(_leukocyte(film, rng) for _ in range(n_leukocyte))]
        members = _pressed(members)
        reach = max(float(np.hypot(m.y, m.x)) + m.size / 2 for m in members)
        spot = place.free(reach, 3.0, reach, 300, rng)
        if spot is None:
            raise ValueError("no room for a CTC: fewer things or a larger frame")
        for m in members:
            together = number if len(members) > 1 else 0
            place.put(m._replace(y=m.y + spot[0], x=m.x + spot[1], cluster=together))
    others: tuple[tuple[Callable[[Film, Rng], Body], float], ...] = (
        (_dying, film.dying),
        (_heap_of_bodies, film.bodies),
        (_dye, film.dye),
        (_fragment, film.fragments),
        (_bare, film.bare),
        (_fibre, film.fibres),
        (_speck, film.specks),
        (_leukocyte, float(film.leukocytes)),
    )
    for body in [make(film, rng) for make, usual in others for _ in range(rng.poisson(usual))]:
        gap = float(rng.choice([-0.3, 1.5])) if body.kind.startswith("leukocyte") else 2.0
        spot = place.free(body.size / 2, gap, 0.0, 40, rng)
        if spot is not None:
            place.put(body._replace(y=spot[0], x=spot[1]))
    return place.bodies


class _Place:
    """Where the objects of a frame lie, and where there is room."""

    def __init__(self, film: Film) -> None:
        self.bodies: list[Body] = []
        self._discs = np.empty((0, 3))
        self._sides = [n * film.pixel_size_um for n in film.shape]

    def put(self, body: Body) -> None:
        self.bodies.append(body)
        self._discs = np.vstack([self._discs, (body.y, body.x, body.size / 2)])

    def free(self, radius: float, gap: float, margin: float, tries: int, rng: Rng) -> tuple[float, float] | None:
        """Return a free place, or None after so many tries."""
        for _ in range(tries):
            y, x = (rng.uniform(margin, side - margin) for side in self._sides)
            if (np.hypot(self._discs[:, 0] - y, self._discs[:, 1] - x) > self._discs[:, 2] + radius + gap).all():
                return float(y), float(x)
        return None


def truth_of(bodies: Sequence[Body], film: Film) -> pd.DataFrame:
    """Return one row an object: y_um, x_um, kind, cluster, diameter_um, y_px, x_px."""
    rows = [(b.y, b.x, b.kind, b.cluster, b.size) for b in bodies]
    table = pd.DataFrame(rows, columns=["y_um", "x_um", "kind", "cluster", "diameter_um"])
    return table.assign(y_px=table["y_um"] / film.pixel_size_um, x_px=table["x_um"] / film.pixel_size_um)


def paint(bodies: Sequence[Body], film: Film, rng: Rng) -> Planes:
    """Return the light of a frame by role, in shares of the camera's range, before any optics."""
    light: Planes = {role: np.zeros(film.shape, np.float32) for role in ROLES}
    px = film.pixel_size_um
    for body in bodies:
        reach = int(0.8 * body.size / px) + 4
        cy, cx = int(body.y / px), int(body.x / px)
        y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1] * px
        y, x = y - (body.y - cy * px), x - (body.x - cx * px)
        for role, part in _parts(body, y, x, px, rng).items():
            _add(light[role], part, cy - reach, cx - reach)
    down, across = np.mgrid[-1 : 1 : film.shape[0] * 1j, -1 : 1 : film.shape[1] * 1j]
    for role in ROLES:
        turn = rng.uniform(0, 2 * np.pi)
        ramp = (np.sin(turn) * down + np.cos(turn) * across) / np.sqrt(2)
        light[role] *= (1 - film.fade * (0.5 + 0.5 * ramp)).astype(np.float32)
    if film.spill:
        role, side = str(rng.choice(["ck", "cd45"])), min(film.shape)
        wet = np.clip(_field(film.shape, side / 6, rng) - 0.8, 0, 1)
        light[role] += (film.spill * wet).astype(np.float32)
    return light


def photograph(light: Planes, film: Film, rng: Rng) -> Planes:
    """Return the counts of a 12-bit camera by role."""
    height, width = film.shape
    down, across = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    out: Planes = {}
    for role in ROLES:
        sharp = _point_spread(COLOUR_UM[role], film, 0.0, rng)
        far = _point_spread(COLOUR_UM[role], film, float(rng.uniform(3, 6)), rng)
        kernel = (1 - film.other_planes) * sharp + film.other_planes * far
        seen = cv2.filter2D(light[role].astype(np.float32), -1, kernel.astype(np.float32))
        centre = rng.uniform(-0.3, 0.3, 2)
        beam = np.exp(-((down - centre[0]) ** 2 + (across - centre[1]) ** 2) / rng.uniform(5, 20))
        ground = film.haze * rng.uniform(0.5, 2) * (1 + 0.25 * _field(film.shape, 90.0, rng))
        electrons = rng.poisson(np.clip((seen + np.clip(ground, 0, None)) * beam, 0, None) * film.electrons)
        gain = 1 + 0.01 * rng.normal(size=film.shape)
        noise = film.read_noise * np.sqrt(rng.gamma(4, 0.25, film.shape)) * rng.normal(size=film.shape)
        counts = (electrons * gain + noise) * (FULL / film.electrons) + 100 + 1.0 * rng.normal(size=(1, width))
        out[role] = np.clip(np.rint(counts), 0, FULL).astype(np.uint16)
    return out


def _pressed(members: list[Body]) -> list[Body]:
    """Return the members of a group pressed against each other, round their first."""
    placed: list[Body] = []
    turn = 0.0
    for member in members:
        if not placed:
            placed.append(member)
            continue
        host = placed[0] if len(placed) < 5 else placed[len(placed) - 4]
        reach = 0.46 * (host.size + member.size)
        for _ in range(40):
            turn += 0.37
            y, x = host.y + reach * np.sin(turn), host.x + reach * np.cos(turn)
            if all(np.hypot(p.y - y, p.x - x) > 0.44 * (p.size + member.size) for p in placed):
                break
        placed.append(member._replace(y=float(y), x=float(x)))
    return placed


def _ctc(film: Film, rng: Rng) -> Body:
    size = float(np.clip(film.ctc_um * np.exp(rng.normal(0, film.ctc_spread)), 5, 32))
    weak = rng.random() < film.weak_ck
    ck = film.ck * np.exp(rng.normal(0, film.ck_spread)) * (0.25 if weak else 1.0)
    light = {"dna": _about(0.22, 0.25, rng), "ck": float(np.clip(ck, 0.015, 0.9)), "cd45": 0.002, "fitc": 0.008}
    share = float(rng.uniform(*film.nucleus))
    return Body("ctc_weak_ck" if weak else "ctc", 0.0, 0.0, size, light, "round", share=share)


def _leukocyte(film: Film, rng: Rng) -> Body:
    draw, kind = rng.random(), "leukocyte"
    form, size = "round", _about(8.5, 0.06, rng)
    if draw < film.granulocytes:
        form, size = "segmented", _about(11.0, 0.07, rng)
    elif draw < film.granulocytes + film.monocytes:
        form, size = "kidney", _about(14.0, 0.08, rng)
    light = {"dna": _about(0.24, 0.2, rng), "ck": _about(0.005, 0.5, rng), "cd45": _about(0.1, 0.4, rng)}
    light["fitc"] = _about(0.015, 0.7, rng)
    other = rng.random()
    if other < film.uptake:
        kind, light["ck"] = "leukocyte_ck", _about(0.09, 0.5, rng)
    elif other < film.uptake + film.weak_cd45:
        kind, light["cd45"] = "leukocyte_weak_cd45", _about(0.022, 0.3, rng)
    return Body(kind, 0.0, 0.0, size, light, form)


def _dying(film: Film, rng: Rng) -> Body:
    light = {"dna": _about(0.3, 0.35, rng), "ck": film.ck * _about(0.8, 0.6, rng), "cd45": 0.002, "fitc": 0.01}
    form = str(rng.choice(["condensed", "broken", "crescents", "blebs"], p=[0.15, 0.35, 0.15, 0.35]))
    return Body("apoptotic", 0.0, 0.0, float(rng.uniform(7, 13)), light, form)


def _heap_of_bodies(film: Film, rng: Rng) -> Body:
    light = {"dna": _about(0.25, 0.4, rng), "ck": film.ck * _about(0.8, 0.6, rng), "cd45": 0.0, "fitc": 0.01}
    return Body("apoptotic", 0.0, 0.0, float(rng.uniform(8, 15)), light, "heap")


def _dye(film: Film, rng: Rng) -> Body:
    return Body("dye_aggregate", 0.0, 0.0, float(rng.uniform(4, 14)), {r: _about(0.35, 0.4, rng) for r in ROLES}, "dye")


def _fragment(film: Film, rng: Rng) -> Body:
    return Body("fragment", 0.0, 0.0, float(rng.uniform(2.5, 9)), {"ck": film.ck * _about(0.8, 0.6, rng)}, "none")


def _bare(film: Film, rng: Rng) -> Body:
    return Body("bare_nucleus", 0.0, 0.0, _about(8, 0.15, rng), {"dna": _about(0.18, 0.3, rng)}, "bare")


def _fibre(film: Film, rng: Rng) -> Body:
    light = {str(rng.choice(ROLES)): _about(0.2, 0.5, rng), "fitc": 0.05}
    return Body("fibre", 0.0, 0.0, float(rng.uniform(15, 45)), light, "fibre")


def _speck(film: Film, rng: Rng) -> Body:
    return Body(
        "speck", 0.0, 0.0, float(rng.uniform(0.8, 2.2)), {str(rng.choice(ROLES)): _about(0.25, 0.5, rng)}, "none"
    )


def _parts(body: Body, y: Floats, x: Floats, px: float, rng: Rng) -> dict[str, Floats]:
    """Return an object's light by role, each with its amount as the mean over the cell (DNA: over the nucleus)."""
    if body.form == "fibre":
        return _line(body, y, x, rng)
    if body.form == "heap":
        return _bodies(body, y, x, px, rng)
    outline = _outline(y, x, body.size, 0.45 if body.form == "dye" else 0.07, rng)
    height = np.clip(outline, 0, None) ** float(rng.uniform(0.25, 0.5))
    nucleus = _nucleus(body, y, x, rng)
    cover = np.clip(nucleus, 0, 1)
    parts: dict[str, Floats] = {}
    for role, amount in body.light.items():
        if role == "dna" and body.form not in ("none", "dye"):
            grain = np.exp(0.18 * _field(y.shape, 0.7 / px, rng))
            for _ in range(0 if body.form in ("condensed", "broken", "crescents") else int(rng.integers(0, 4))):
                spot = rng.normal(0, 0.15 * body.size, 2)
                grain = grain * (1 - 0.5 * np.exp(-((y - spot[0]) ** 2 + (x - spot[1]) ** 2) / 0.8))
            shape = nucleus * grain
            over = nucleus > 0.3
        elif role == "ck" and body.form not in ("none", "dye", "bare"):
            threads = np.exp(-((_field(y.shape, 0.9 / px, rng) / 0.6) ** 2))
            shape = height * (0.35 + threads) * (1 - 0.5 * cover)
            over = outline > 0
        elif role == "cd45" and body.form not in ("none", "dye", "bare"):
            rim = np.minimum(1 / np.sqrt(np.clip(1 - np.clip(1 - outline, 0, 1) ** 2, 0.08, None)), 3.0)
            shape = np.clip(outline / 0.05, 0, 1) * rim * np.exp(0.3 * _field(y.shape, 0.8 / px, rng))
            over = outline > 0
        else:
            shape, over = height * np.exp(0.2 * _field(y.shape, 1.0 / px, rng)), outline > 0
        parts[role] = amount * shape / max(float(shape[over].mean()) if over.any() else 1.0, 1e-6)
    if body.kind == "apoptotic":
        _shed(body, parts, y, x, rng)
    return parts


def _nucleus(body: Body, y: Floats, x: Floats, rng: Rng) -> Floats:
    """Return the thickness of the nucleus, about 0 to 1."""
    size, turn = body.size, rng.uniform(0, 2 * np.pi)
    at: list[tuple[float, float, float]]
    if body.form in ("none", "dye"):
        return np.zeros(y.shape)
    if body.form == "bare":
        at = [(0.0, 0.0, size)]
    elif body.form == "segmented":
        n = int(rng.integers(2, 6))
        at = [(0.24 * size, turn + 1.4 * k, 0.36 * size) for k in range(n)]
    elif body.form == "kidney":
        at = [(0.2 * size, turn + 0.5 * k, 0.42 * size) for k in range(5)]
    elif body.form == "ctc_lobed":
        at = [(0.2 * size, turn + 2.1 * k, 0.4 * size) for k in range(3)]
    elif body.form == "ctc_mitotic":
        gap = float(rng.choice([0.0, 0.17, 0.22])) * size
        rows = [(gap * s, 0.12 * size * k) for s in ((-1, 1) if gap else (0,)) for k in (-2, -1, 0, 1, 2)]
        at = [(float(np.hypot(v, u)), turn + float(np.arctan2(v, u)), 0.2 * size) for v, u in rows]
    elif body.form in ("broken", "blebs"):
        n = int(rng.integers(2, 8))
        at = [(rng.uniform(0.08, 0.42) * size, rng.uniform(0, 6.3), rng.uniform(0.1, 0.26) * size) for _ in range(n)]
    elif body.form == "crescents":
        at = [(0.3 * size, turn + 0.25 * k, 0.15 * size) for k in range(int(rng.integers(5, 16)))]
    elif body.form == "condensed":
        at = [(0.12 * size, turn, rng.uniform(0.3, 0.42) * size)]
    else:
        at = [(rng.uniform(0, 0.06) * size, turn, (body.share or rng.uniform(0.6, 0.78)) * size)]
    parts = [_outline(y - r * np.sin(a), x - r * np.cos(a), d, 0.06, rng) for r, a, d in at]
    return np.asarray(np.clip(np.max(parts, axis=0), 0, None) ** 0.4)


def _shed(body: Body, parts: dict[str, Floats], y: Floats, x: Floats, rng: Rng) -> None:
    """Add the blebs of a dying cell, and let its cytokeratin collapse into clumps."""
    for _ in range(int(rng.integers(3, 10)) if body.form in ("blebs", "broken") else int(rng.integers(0, 4))):
        far, turn = rng.uniform(0.42, 0.56) * body.size, rng.uniform(0, 6.3)
        bleb = _outline(y - far * np.sin(turn), x - far * np.cos(turn), float(rng.uniform(1.4, 3.8)), 0.03, rng)
        bleb = np.clip(bleb, 0, None) ** 0.4
        parts["ck"] = parts["ck"] + body.light["ck"] * rng.uniform(0.3, 1.6) * bleb
        if rng.random() < 0.35:
            parts["dna"] = parts["dna"] + body.light["dna"] * rng.uniform(0.4, 1.2) * bleb
    clumps = np.clip(_field(y.shape, 4.0, rng) + rng.uniform(0, 1.5), 0, 2)
    parts["ck"] = parts["ck"] * (0.3 + 0.7 * clumps)


def _bodies(body: Body, y: Floats, x: Floats, px: float, rng: Rng) -> dict[str, Floats]:
    """Return a heap of apoptotic bodies: spheres with cytokeratin, DNA or both."""
    parts = {role: np.zeros(y.shape) for role in body.light}
    for _ in range(int(rng.integers(3, 9))):
        far, turn, size = rng.uniform(0, 0.38) * body.size, rng.uniform(0, 6.3), rng.uniform(0.15, 0.4) * body.size
        ball = np.clip(_outline(y - far * np.sin(turn), x - far * np.cos(turn), size, 0.04, rng), 0, None) ** 0.4
        parts["ck"] += body.light["ck"] * rng.uniform(0.3, 1.5) * ball
        if rng.random() < 0.6:
            parts["dna"] += body.light["dna"] * rng.uniform(0.4, 1.5) * ball
    parts["fitc"] += body.light["fitc"] * (parts["ck"] > 0)
    return parts


def _line(body: Body, y: Floats, x: Floats, rng: Rng) -> dict[str, Floats]:
    turn, bend = rng.uniform(0, np.pi), rng.uniform(-0.02, 0.02)
    v, u = y * np.cos(turn) + x * np.sin(turn), -y * np.sin(turn) + x * np.cos(turn)
    shape = np.exp(-(((v - bend * u**2) / rng.uniform(0.5, 1.2)) ** 2)) * (np.abs(u) < body.size / 2)
    return {role: np.asarray(amount * shape) for role, amount in body.light.items()}


def _outline(y: Floats, x: Floats, size: float, rough: float, rng: Rng) -> Floats:
    """Return 1 - (distance over the radius)^2 of a body with a wavy outline: above 0 inside, 1 in the middle."""
    turn = np.arctan2(y, x)
    radius = np.ones(y.shape)
    for k in (2, 3, 4, 5, 7):
        radius += rough * rng.normal() / k * np.cos(k * turn + rng.uniform(0, 6.3))
    return np.asarray(1 - (np.hypot(y, x) / (size / 2 * np.clip(radius, 0.4, None))) ** 2)


def _field(shape: tuple[int, ...], sigma_px: float, rng: Rng) -> Floats:
    """Return a random field of this correlation length, mean 0 and standard deviation 1."""
    step = max(1, int(sigma_px / 3))
    small = rng.normal(size=tuple(n // step + 4 for n in shape))
    smooth = cv2.GaussianBlur(small, (0, 0), max(sigma_px / step, 0.4))
    if step > 1:
        smooth = cv2.resize(smooth, shape[::-1], interpolation=cv2.INTER_CUBIC)
    smooth = smooth[: shape[0], : shape[1]]
    return np.asarray((smooth - smooth.mean()) / max(float(smooth.std()), 1e-9), np.float64)


def _point_spread(colour_um: float, film: Film, defocus_um: float, rng: Rng) -> Floats:
    """Return the light of a point on the camera's pixels: a round pupil with aberrations (scalar, in air).

    The phase over the pupil is a sum of Zernike's polynomials (astigmatism, coma, spherical aberration) with the rms of
    `film.waves`, and the defocus.
    """
    fine, n = film.pixel_size_um / 4, 256
    f = np.fft.fftfreq(n, fine)
    fy, fx = np.meshgrid(f, f, indexing="ij")
    rho = np.hypot(fy, fx) / (film.aperture / colour_um)
    turn = np.arctan2(fy, fx)
    forms = (
        np.sqrt(6) * rho**2 * np.cos(2 * turn),
        np.sqrt(6) * rho**2 * np.sin(2 * turn),
        np.sqrt(8) * (3 * rho**3 - 2 * rho) * np.cos(turn),
        np.sqrt(8) * (3 * rho**3 - 2 * rho) * np.sin(turn),
        np.sqrt(5) * (6 * rho**4 - 6 * rho**2 + 1),
    )
    amounts = rng.normal(size=len(forms))
    amounts *= film.waves / max(float(np.linalg.norm(amounts)), 1e-9)
    depth = np.sqrt(np.clip(1 - np.clip(rho * film.aperture, 0, 0.99) ** 2, 0, None)) * defocus_um / colour_um
    phase = sum(a * form for a, form in zip(amounts, forms, strict=True)) + depth
    pupil = (rho <= 1) * np.exp(2j * np.pi * phase)
    spread = np.fft.fftshift(np.abs(np.fft.ifft2(pupil)) ** 2)
    side = n // 4 - 1
    blocks = spread[2 : 2 + 4 * side, 2 : 2 + 4 * side].reshape(side, 4, side, 4).sum(axis=(1, 3))
    middle = side // 2
    kernel = blocks[middle - 15 : middle + 16, middle - 15 : middle + 16]
    return np.asarray(kernel / kernel.sum())


def _add(plane: NDArray[Any], part: Floats, y0: int, x0: int) -> None:
    y1, x1 = max(0, y0), max(0, x0)
    y2, x2 = min(plane.shape[0], y0 + part.shape[0]), min(plane.shape[1], x0 + part.shape[1])
    if y1 < y2 and x1 < x2:
        plane[y1:y2, x1:x2] += part[y1 - y0 : y2 - y0, x1 - x0 : x2 - x0].astype(np.float32)


def _about(median: float, spread: float, rng: Rng) -> float:
    return float(median * np.exp(rng.normal(0, spread)))
