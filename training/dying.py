"""Dying cells of many kinds, painted into the light of any generator's frame, for the judge to learn from.

Each generator draws death in its own few ways, and a judge that knows these calls the death that another draws. Here a
nucleus is condensed, swollen, a crescent or in pieces, cytokeratin is in blebs, inclusions, at the rim, in patches or
still even, a body may have broken off, and every size and brightness is drawn widely. Sizes and brightnesses are those
of pretend data, as in the generators.
"""

from typing import Any, NamedTuple

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Rng = np.random.Generator
Planes = dict[str, NDArray[Any]]

_NUCLEI = {"pieces": 0.45, "condensed": 0.2, "crescent": 0.2, "swollen": 0.1, "pyknotic": 0.05}
_CYTOPLASM = {"blebs": 0.3, "inclusions": 0.2, "rim": 0.15, "patches": 0.2, "even": 0.15}
_WHOLE = ("pyknotic", "swollen")  # one round nucleus: with even cytokeratin nothing would tell it from a living cell
_ROUND = {"condensed": (0.18, 0.45, 1.2), "swollen": (0.7, 0.95, 0.35), "pyknotic": (0.45, 0.7, 1.5)}
"""Least and largest diameter in diameters of the cell, and brightness, of nuclei that are one round body."""
_UNEVEN = {"blebs": 0.45, "inclusions": 0.3, "patches": 0.25}
_LEAST_GAP_UM = 4.0


class _Grid(NamedTuple):
    """Distances of pixels from the middle of an object, um, and the edge of a pixel, um."""

    down: Floats
    across: Floats
    px: float

    def ball(self, y: float, x: float, diameter: float) -> Floats:
        """Return the share of each pixel that a disc covers."""
        far = np.hypot(self.down - y, self.across - x)
        return np.asarray(np.clip((diameter / 2 - far) / self.px + 0.5, 0, 1))

    def field(self, length_um: float, rng: Rng) -> Floats:
        """Return a smooth random field of spread 1."""
        noise = cv2.GaussianBlur(rng.normal(size=self.down.shape), (0, 0), max(length_um / self.px, 0.3))
        return np.asarray(noise / max(float(noise.std()), 1e-9))


def painted(light: Planes, rows: pd.DataFrame, count: int, px: float, rng: Rng) -> pd.DataFrame:
    """Paint dying cells into free places of the light of a frame, and return its truth with them."""
    height, width = next(iter(light.values())).shape
    middles, radii = rows[["y_um", "x_um"]].to_numpy(float), rows["diameter_um"].to_numpy(float) / 2
    more = []
    for _ in range(count):
        size = float(rng.uniform(5.5, 14))
        for _ in range(60):
            y, x = rng.uniform(14, height * px - 14), rng.uniform(14, width * px - 14)
            if (np.hypot(*(middles - (y, x)).T) > radii + size / 2 + _LEAST_GAP_UM).all():
                break
        else:
            continue
        _paint(light, y, x, size, px, rng)
        middles, radii = np.vstack([middles, (y, x)]), np.append(radii, size / 2)
        more.append({"y_um": y, "x_um": x, "kind": "apoptotic", "cluster": 0, "diameter_um": size})
    return pd.concat([rows, pd.DataFrame(more)], ignore_index=True) if more else rows


def _paint(light: Planes, y: float, x: float, size: float, px: float, rng: Rng) -> None:
    reach = int(size / px) + 3
    cy, cx = int(y / px), int(x / px)
    down, across = np.mgrid[-reach : reach + 1, -reach : reach + 1] * px
    grid = _Grid(down - (y - cy * px), across - (x - cx * px), px)
    form = str(rng.choice(list(_NUCLEI), p=list(_NUCLEI.values())))
    part, bright = _nucleus(grid, form, size, rng)
    cytoplasm = _UNEVEN if form in _WHOLE else _CYTOPLASM
    texture = str(rng.choice(list(cytoplasm), p=list(cytoplasm.values())))
    amounts = {
        "dna": (part, 0.3 * bright * _about(0.45, rng)),
        "ck": (_cytokeratin(grid, texture, size, part, rng), 0.16 * _about(0.7, rng)),
        "cd45": (grid.ball(0, 0, size), 0.002),
        "fitc": (grid.ball(0, 0, size), 0.01),
    }
    for role, (shape, amount) in amounts.items():
        window = light[role][cy - reach : cy + reach + 1, cx - reach : cx + reach + 1]
        if window.shape != shape.shape:
            continue
        covered = (shape > 0.2 * shape.max()).sum() if role == "dna" else np.pi / 4 * (size / px) ** 2
        window += (min(amount, 0.9) * covered * shape / max(float(shape.sum()), 1e-9)).astype(window.dtype)


def _about(spread: float, rng: Rng) -> float:
    return float(np.exp(rng.normal(0, spread)))


def _nucleus(grid: _Grid, form: str, size: float, rng: Rng) -> tuple[Floats, float]:
    """Return the shape of the DNA, and how bright it is against condensed DNA."""
    turn = rng.uniform(0, 2 * np.pi)
    if form == "pieces":
        spots, spread = int(rng.integers(2, 11)), rng.uniform(0.1, 0.28) * size
        at = [(*rng.normal(0, spread, 2), rng.uniform(0.08, 0.28) * size, _about(0.5, rng)) for _ in range(spots)]
        shape = np.max([each * grid.ball(a, b, d) for a, b, d, each in at], axis=0)
        return np.asarray(shape), 1.0
    if form == "crescent":
        far, wide, steps = rng.uniform(0.15, 0.32) * size, rng.uniform(0.1, 0.2) * size, int(rng.integers(4, 15))
        angles = turn + 0.45 * np.arange(steps)
        return np.max([grid.ball(far * np.sin(a), far * np.cos(a), wide) for a in angles], axis=0), 1.0
    least, most, bright = _ROUND[form]
    y, x = rng.normal(0, 0.06 * size, 2)
    grain = np.exp((0.5 if form == "swollen" else 0.1) * grid.field(rng.uniform(0.5, 1.2), rng))
    return grid.ball(y, x, rng.uniform(least, most) * size) * grain, bright


def _cytokeratin(grid: _Grid, form: str, size: float, nucleus: Floats, rng: Rng) -> Floats:
    """Return the shape of the cytokeratin."""
    far = np.hypot(grid.down, grid.across)
    edge = size / 2 * (1 + rng.uniform(0.05, 0.25) * grid.field(0.3 * size, rng))
    whole = np.clip((edge - far) / grid.px + 0.5, 0, 1)
    if form == "blebs":
        at = rng.normal(0, rng.uniform(0.2, 0.4) * size, (int(rng.integers(3, 12)), 2))
        spots = [grid.ball(a, b, rng.uniform(0.12, 0.38) * size) * _about(0.4, rng) for a, b in at]
        shape = np.max(spots, axis=0) + rng.uniform(0, 0.6) * whole
    elif form == "inclusions":
        at = rng.normal(0, 0.2 * size, (int(rng.integers(2, 8)), 2))
        spots = [grid.ball(a, b, rng.uniform(1.0, 2.5)) * _about(0.4, rng) for a, b in at]
        shape = rng.uniform(2, 8) * np.max(spots, axis=0) + whole
    elif form == "rim":
        shape = whole * np.exp(-(((far - 0.42 * size) / (0.1 * size)) ** 2)) + rng.uniform(0, 0.4) * whole
    elif form == "patches":
        shape = whole * np.exp(rng.uniform(0.6, 1.3) * grid.field(rng.uniform(0.6, 1.6), rng))
    else:
        shape = whole * (1 - rng.uniform(0, 0.6) * np.clip(nucleus, 0, 1))
    if rng.random() < 0.3:  # a body that has broken off
        a = rng.uniform(0, 2 * np.pi)
        shape = shape + grid.ball(0.65 * size * np.sin(a), 0.65 * size * np.cos(a), rng.uniform(1.2, 3.5))
    return np.asarray(shape)
