"""How a phantom slide looks through microscope and camera: light of each object, optics, noise, counts."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from ctcascade.validation.phantom_objects import LEUKOCYTE_KINDS, ROLES, Thing

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Optics:
    """What microscope and camera do to a field of view.

    Attributes
    ----------
    pixel_size_um, psf_um : float
        Edge of a pixel; standard deviation of the point spread.
    bit_depth : int
    offset, read_noise : float
        Counts of a dark pixel and their standard deviation.
    photons_per_count : float
        Sets the photon noise: the variance of a signal of s counts is s / photons_per_count.
    haze : tuple of float
        Background of each channel above the offset, counts.
    vignetting : float
        Share of the light that is lost in the corners.
    bleed : float
        Share of each channel that is seen in the next one.
    shift_px : float
        Largest shift of a channel against DNA.
    """

    pixel_size_um: float = 0.645
    psf_um: float = 0.45
    bit_depth: int = 12
    offset: float = 60.0
    read_noise: float = 4.0
    photons_per_count: float = 3.0
    haze: tuple[float, float, float, float] = (30.0, 60.0, 40.0, 30.0)
    vignetting: float = 0.2
    bleed: float = 0.01
    shift_px: float = 0.6


def draw_object(light: Floats, thing: Thing, px: float, rng: np.random.Generator) -> None:
    """Add one object to the light of all channels, before any optics."""
    reach = int(thing.diameter_um / px) + 4
    cy, cx = thing.y_um / px, thing.x_um / px
    y0, x0 = max(0, int(cy) - reach), max(0, int(cx) - reach)
    y1, x1 = min(light.shape[1], int(cy) + reach + 1), min(light.shape[2], int(cx) + reach + 1)
    if y0 >= y1 or x0 >= x1:
        return
    y, x = np.mgrid[y0:y1, x0:x1]
    y, x = (y - cy) * px, (x - cx) * px
    window = np.s_[y0:y1, x0:x1]
    body = _blob(y, x, thing.diameter_um, rng, rough=0.35 if thing.kind == "dye_aggregate" else 0.06)
    nucleus = _nucleus(y, x, thing, rng)
    texture = 1 + 0.25 * _smooth_noise(body.shape, 1.5 / px, rng)
    for k, role in enumerate(ROLES):
        amount = thing.light.get(role, 0.0)
        if role == "dna":
            shape = nucleus * (1 + 0.15 * _smooth_noise(body.shape, 1.0 / px, rng)) if thing.nucleus_um else body
        elif role == "ck" and thing.nucleus_um:
            shape = body * (1 - 0.45 * nucleus) * texture
        elif role == "fitc" and thing.kind == "ctc_marker_nucleus":
            shape = nucleus * texture
        elif role == "cd45" and thing.nucleus_um:
            rim = np.clip(np.hypot(y, x) / (thing.diameter_um / 2), 0, 1)
            shape = body * (0.45 + 0.55 * rim**3) * texture
        else:
            shape = body * texture
        light[k][window] += amount * np.clip(shape, 0, None)


def _blob(y: Floats, x: Floats, diameter: float, rng: np.random.Generator, rough: float) -> Floats:
    """Return a soft disc with a wavy outline, 0 to 1."""
    angle = np.arctan2(y, x)
    waves = [rough / k * np.sin(k * angle + rng.uniform(0, 2 * np.pi)) for k in (2, 3, 4)]
    return np.asarray(expit((diameter / 2 * (1 + np.sum(waves, axis=0)) - np.hypot(y, x)) / 0.12), np.float64)


def _nucleus(y: Floats, x: Floats, thing: Thing, rng: np.random.Generator) -> Floats:
    size = thing.nucleus_um
    if not size:
        return np.zeros(y.shape)
    if thing.kind == "apoptotic":
        spots = [(rng.normal(0, 2.0), rng.normal(0, 2.0), rng.uniform(1.2, 2.2)) for _ in range(5)]
        return np.asarray(np.max([_blob(y - a, x - b, d, rng, 0.05) for a, b, d in spots], axis=0), np.float64)
    if thing.kind == "ctc_mitotic":  # two condensed plates
        turn = rng.uniform(0, np.pi)
        v, u = y * np.cos(turn) + x * np.sin(turn), -y * np.sin(turn) + x * np.cos(turn)
        return np.maximum(*(_blob(2.2 * (v + a * 0.3 * size), u, 0.75 * size, rng, 0.05) for a in (-1, 1)))
    lobed = thing.kind in ("granulocyte", "ctc_lobed") or (
        thing.kind in LEUKOCYTE_KINDS[2:] and thing.nucleus_um < 0.7 * thing.diameter_um
    )
    if not lobed:
        shift = rng.normal(0, 0.05 * (thing.diameter_um - size), 2)
        return _blob(y - shift[0], x - shift[1], size, rng, 0.06)
    lobes, turn = int(rng.integers(2, 5)), rng.uniform(0, 2 * np.pi)
    parts = []
    for k in range(lobes):
        angle = turn + k * 4.2 / max(lobes - 1, 1)
        parts.append(_blob(y - 0.3 * size * np.sin(angle), x - 0.3 * size * np.cos(angle), 0.58 * size, rng, 0.08))
    return np.asarray(np.max(parts, axis=0), np.float64)


def _smooth_noise(shape: tuple[int, ...], sigma: float, rng: np.random.Generator) -> Floats:
    noise = cv2.GaussianBlur(rng.normal(size=shape), (0, 0), max(sigma, 0.5)).astype(np.float64)
    return noise / max(float(noise.std()), 1e-9)


def photograph(light: Floats, optics: Optics, rng: np.random.Generator) -> NDArray[np.uint16]:
    """Return the counts that the camera gives for the light of each channel."""
    full = 2**optics.bit_depth - 1
    height, width = light.shape[1:]
    y, x = np.mgrid[:height, :width]
    off_axis = ((y / height - 0.5) ** 2 + (x / width - 0.5) ** 2) / 0.5
    shade = 1 - optics.vignetting * off_axis
    out = np.empty(light.shape, np.uint16)
    for k in range(len(light)):
        signal = light[k] + (optics.bleed * light[k - 1] if k else 0.0)
        signal = cv2.GaussianBlur(signal, (0, 0), optics.psf_um / optics.pixel_size_um)
        if k:
            dy, dx = rng.uniform(-optics.shift_px, optics.shift_px, 2)
            move = np.array([[1, 0, dx], [0, 1, dy]])
            signal = cv2.warpAffine(signal, move, (width, height), borderMode=cv2.BORDER_REFLECT)
        counts = (signal * full + optics.haze[k]) * shade
        photons = rng.poisson(np.clip(counts, 0, None) * optics.photons_per_count) / optics.photons_per_count
        counts = photons + optics.offset + rng.normal(0, 1, counts.shape) * optics.read_noise
        out[k] = np.clip(np.round(counts), 0, full)
    return out
