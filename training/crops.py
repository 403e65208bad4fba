"""Training crops: images of nuclei of every size, brightness and sharpness that a microscope may give, with truth.

A crop starts as a region of an image, rotated and scaled to a random nuclear diameter. Further nuclei are placed next
to those in it, because clumps are difficult and rare in the images; then haze, specks, blur, another gamma, noise and
quantisation are added, in the order in which they arise in a microscope.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from ctcascade.images.background import correct
from ctcascade.images.learned import planes
from ctcascade.study.detection_settings import BackgroundSettings

SIDE = 256
NOMINAL_UM = 0.65  # nominal um a pixel of these images; their true sizes are not known
DIAMETER_PX = (9.0, 42.0)
OUTSIDE = -1  # label where a crop reaches beyond its image

Floats = NDArray[np.float32]
Labels = NDArray[np.int32]


@dataclass(frozen=True)
class Image:
    """An image with its truth, the centre of each nucleus (N, 2), and the median diameter."""

    pixels: Floats
    labels: Labels
    middles: NDArray[np.float64]
    diameter_px: float

    @classmethod
    def of(cls, pixels: NDArray[Any], labels: NDArray[Any]) -> "Image":
        """Return the image with the values that are measured on its labels."""
        area = np.bincount(labels.ravel())
        y, x = np.indices(labels.shape)
        sums = np.stack([np.bincount(labels.ravel(), a.ravel()) for a in (y, x)], axis=1)
        there = np.flatnonzero(area[1:]) + 1
        diameter = float(np.median(2 * np.sqrt(area[there] / np.pi)))
        return cls(pixels.astype(np.float32), labels.astype(np.int32), sums[there] / area[there, None], diameter)


@dataclass(frozen=True)
class Nucleus:
    """One nucleus cut out: its light above the background and its mask."""

    light: Floats
    mask: NDArray[np.uint8]


def nuclei_of(image: Image) -> list[Nucleus]:
    """Return the nuclei of an image that the border does not cut."""
    signal = correct(image.pixels, NOMINAL_UM, BackgroundSettings()).signal
    found = []
    for label in np.unique(image.labels[image.labels > 0]):
        rows, columns = (np.flatnonzero((image.labels == label).any(axis=a)) for a in (1, 0))
        y0, y1, x0, x1 = rows[0] - 3, rows[-1] + 4, columns[0] - 3, columns[-1] + 4
        if min(y0, x0) < 0 or y1 > image.labels.shape[0] or x1 > image.labels.shape[1] or len(rows) < 8:
            continue
        mask = (image.labels[y0:y1, x0:x1] == label).astype(np.uint8)
        found.append(Nucleus(signal[y0:y1, x0:x1], mask))
    return found


def crop(
    images: Sequence[Image], weights: NDArray[Any], bank: Sequence[Nucleus], rng: Generator, lobed: float
) -> tuple[Any, Any]:
    """Return the planes (2, SIDE, SIDE) that the network is shown and the truth (4, SIDE, SIDE) that it learns.

    The truth is nucleus (0 or 1), depth (0 to 1), contact (0 or 1) and the weight of each pixel. `lobed` is the share
    of crops that get lobed nuclei like those of granulocytes; images of cultures and tissues have none.
    """
    image = images[rng.choice(len(images), p=weights)]
    shortest = 1.2 * min(image.pixels.shape)
    least = max(DIAMETER_PX[0], image.diameter_px * SIDE / shortest)
    diameter = float(np.exp(rng.uniform(np.log(least), np.log(max(DIAMETER_PX[1], least)))))
    pixels, labels = _region(image, diameter / image.diameter_px, rng)
    if rng.random() < lobed:
        pixels, labels = _crowd(pixels, labels, bank, diameter, rng, float(rng.uniform(0.3, 1)))
    elif rng.random() < 0.45:
        pixels, labels = _crowd(pixels, labels, bank, diameter, rng, 0.0)
    pixels = _imaged(pixels, diameter, rng)
    channel = correct(pixels, NOMINAL_UM * image.diameter_px / diameter, BackgroundSettings())
    seen = planes(channel.signal, channel.noise * float(np.exp(rng.normal(0, 0.4))))
    seen[0] *= np.float32(np.exp(rng.normal(0, 0.35)))
    return seen, truth(labels)


def truth(labels: Labels) -> Floats:
    """Return what the network is to learn of a label image: nucleus, depth, contact, weight; shape (4, Y, X).

    Depth is the distance of a pixel to its own nucleus's edge over that nucleus's largest such distance. Contact is
    where two nuclei are within two pixels.
    """
    known = np.where(labels > 0, labels, 0).astype(np.float32)
    inside = known > 0
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    edge = cv2.dilate(known, cross) != cv2.erode(known, cross)
    depth = cv2.distanceTransform((inside & ~edge).astype(np.uint8), cv2.DIST_L2, 5) + inside * np.float32(0.5)
    deepest = np.zeros(int(labels.max()) + 1, np.float32)
    np.maximum.at(deepest, labels[inside], depth[inside])
    depth[inside] /= deepest[labels[inside]]
    square = np.ones((5, 5), np.uint8)
    least = cv2.erode(np.where(inside, known, np.float32(1e9)), square)
    contact = (cv2.dilate(known, square) > least) & (least > 0)
    area = np.bincount(np.maximum(labels, 0).ravel())
    weight = np.where(labels == OUTSIDE, 0, 1).astype(np.float32)
    weight[inside] *= np.clip(
        np.sqrt(350 / area[labels[inside]]), 0.7, 2.5
    )  # a small nucleus weighs as much as a large one
    weight[contact & (labels != OUTSIDE)] *= 3
    return np.stack([inside, depth, contact, weight]).astype(np.float32)


def _region(image: Image, scale: float, rng: Generator) -> tuple[Floats, Labels]:
    """Return a rotated, stretched and mirrored region around a nucleus at the scale."""
    middle = np.array(image.pixels.shape) * rng.uniform(0.1, 0.9, 2)
    if len(image.middles) and rng.random() < 0.85:
        middle = image.middles[rng.integers(len(image.middles))]
    middle = middle + rng.uniform(-0.4, 0.4, 2) * SIDE / scale
    half = SIDE / scale / 2
    for axis, length in enumerate(image.pixels.shape):  # keep the region inside the image where it fits
        middle[axis] = np.clip(middle[axis], min(half, length / 2), max(length - half, length / 2))
    angle = rng.choice(4) * 90 if rng.random() < 0.5 else rng.uniform(0, 360)
    turn = np.deg2rad(angle)
    stretch = np.exp(rng.normal(0, 0.07, 2)) * scale * np.array([1, rng.choice([-1, 1])])
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) * stretch
    affine = np.column_stack([matrix, SIDE / 2 - matrix @ middle[::-1]])
    pixels = image.pixels
    if scale < 0.7:
        pixels = cv2.GaussianBlur(pixels, (0, 0), 0.4 / scale)
    blank = float(np.quantile(pixels[::4, ::4], 0.05))
    pixels = cv2.warpAffine(pixels, affine, (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderValue=blank)
    labels = cv2.warpAffine(
        image.labels.astype(np.float32), affine, (SIDE, SIDE), flags=cv2.INTER_NEAREST, borderValue=OUTSIDE
    )
    return pixels, labels.astype(np.int32)


def _crowd(
    pixels: Floats, labels: Labels, bank: Sequence[Nucleus], diameter: float, rng: Generator, lobed: float
) -> tuple[Floats, Labels]:
    """Return the region with further nuclei next to those in it; a share of them is lobed and placed anywhere."""
    pixels, labels = pixels.copy(), labels.copy()
    ground = float(np.quantile(pixels, 0.1))
    lit = pixels[labels > 0]
    bright = max(float(np.median(lit)) - ground, 10.0) if lit.size else 60.0
    at = list(zip(*np.nonzero(labels > 0), strict=True)) if lit.size else [(SIDE // 2, SIDE // 2)]
    places = [np.array(at[rng.integers(len(at))], float) for _ in range(rng.integers(1, 4))]
    additive = rng.random() < 0.5
    for _ in range(rng.integers(2, 30)):
        size = diameter * float(np.exp(rng.normal(0, 0.2)))
        away = size * rng.uniform(0.75, 1.15)
        turn = rng.uniform(0, 2 * np.pi)
        middle = places[rng.integers(len(places))] + away * np.array([np.sin(turn), np.cos(turn)])
        if rng.random() < lobed:
            light, mask = _lobed(bank, size, rng)
            middle = rng.uniform(0, SIDE, 2)
        else:
            light, mask = _remade(bank[rng.integers(len(bank))], size, rng)
        y, x = (middle - np.array(mask.shape) / 2).astype(int)
        if min(y, x) < 0 or y + mask.shape[0] > SIDE or x + mask.shape[1] > SIDE:
            continue
        view = (slice(y, y + mask.shape[0]), slice(x, x + mask.shape[1]))
        if not _fits(labels, view, mask):
            continue
        gain = bright * float(np.exp(rng.normal(0, 0.35)))
        soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 0.04 * size + 0.3)
        laid = soft * light * gain
        pixels[view] = pixels[view] + laid if additive else np.maximum(pixels[view], ground + laid)
        over = mask > 0 if rng.random() < 0.5 else (mask > 0) & (labels[view] <= 0)
        labels[view][over] = labels.max() + 1
        places.append(middle)
    return pixels, labels


def _remade(nucleus: Nucleus, size: float, rng: Generator) -> tuple[Floats, NDArray[np.uint8]]:
    """Return the nucleus's light (1 where it is usually bright) and mask, rotated, stretched and scaled to the size."""
    factor = size / (2 * np.sqrt(nucleus.mask.sum() / np.pi))
    turn, stretch = rng.uniform(0, 2 * np.pi), np.exp(rng.normal(0, 0.12))
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    matrix = matrix * factor * np.array([stretch, 1 / stretch])
    side = int(np.ceil(np.hypot(*nucleus.mask.shape) * factor * max(stretch, 1 / stretch))) + 2
    affine = np.column_stack([matrix, side / 2 - matrix @ (np.array(nucleus.mask.shape)[::-1] / 2)])
    mask = cv2.warpAffine(nucleus.mask.astype(np.float32), affine, (side, side)) > 0.5
    light = cv2.warpAffine(nucleus.light, affine, (side, side), borderMode=cv2.BORDER_REPLICATE)
    usual = float(np.median(light[mask])) if mask.any() else 1.0
    return np.clip(light / max(usual, 1.0), 0, 3), mask.astype(np.uint8)


def _lobed(bank: Sequence[Nucleus], size: float, rng: Generator) -> tuple[Floats, NDArray[np.uint8]]:
    """Return the light and the mask of a nucleus of two to five lobes; the mask holds the gaps between them too."""
    side = int(2.2 * size) + 4
    light, mask = np.zeros((side, side), np.float32), np.zeros((side, side), np.uint8)
    middle, turn = np.full(2, side / 2), rng.uniform(0, 2 * np.pi)
    lobe = max(size * rng.uniform(0.36, 0.58), 3.0)
    for _ in range(rng.integers(2, 6)):
        one, there = _remade(bank[rng.integers(len(bank))], lobe * float(np.exp(rng.normal(0, 0.1))), rng)
        if max(there.shape) > side:  # a bent nucleus in a wide box
            continue
        y, x = np.clip(middle - np.array(there.shape) / 2, 0, side - np.array(there.shape)).astype(int)
        view = (slice(y, y + there.shape[0]), slice(x, x + there.shape[1]))
        light[view] = np.maximum(light[view], one * there)
        mask[view] |= there
        turn += rng.normal(0, 1.2)
        middle = middle + lobe * rng.uniform(0.7, 1.05) * np.array([np.sin(turn), np.cos(turn)])
    reach = 2 * int(0.5 * lobe) + 1
    return light, cv2.morphologyEx(mask, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach)))


def _fits(labels: Labels, view: tuple[slice, slice], mask: NDArray[np.uint8]) -> bool:
    """Return whether a mask hides at most a third of any nucleus and is itself hidden at most as much."""
    under = labels[view][mask > 0]
    if not under.size or (under > 0).mean() > 0.35:
        return False
    hidden = np.bincount(under[under > 0]) if (under > 0).any() else np.zeros(1, int)
    return all(hidden[k] <= 0.35 * np.count_nonzero(labels == k) for k in np.flatnonzero(hidden))


def _imaged(pixels: Floats, diameter: float, rng: Generator) -> Floats:
    """Return the region as another microscope might have taken it, 0 to 255 or with fewer or more steps."""
    ground = float(np.quantile(pixels, 0.05))
    light = np.maximum(pixels - ground, 0)
    top = max(float(np.quantile(light, 0.995)), 8.0)
    light = light / top
    light = light ** np.float32(np.exp(rng.normal(0, 0.25)))
    if rng.random() < 0.35:
        light = light + _haze(diameter, rng)
    if rng.random() < 0.25:
        light = light + _specks(diameter, rng)
    if rng.random() < 0.6:
        light = cv2.GaussianBlur(light, (0, 0), diameter * float(rng.uniform(0.01, 0.11)) + 0.1)
    if rng.random() < 0.3:
        y, x = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
        light = light * (1 + rng.uniform(-0.4, 0.4) * y + rng.uniform(-0.4, 0.4) * x).astype(np.float32)
    full = float(np.exp(rng.uniform(np.log(20), np.log(4000))))
    light = light * np.float32(full) + np.float32(rng.choice([0, rng.uniform(0, 0.3) * full]))
    noise = full * float(np.exp(rng.uniform(np.log(0.001), np.log(0.09))))
    if rng.random() < 0.8:
        spread = np.sqrt(noise**2 + np.maximum(light, 0) * noise * rng.uniform(0, 0.3))
        light = light + spread * rng.standard_normal(light.shape, np.float32)
    return np.round(np.clip(light, 0, 65535)).astype(np.float32)


def _haze(diameter: float, rng: Generator) -> Floats:
    """Return light from out of focus: nuclei above or below, seen as wide, faint hills that are not objects."""
    haze = np.zeros((SIDE, SIDE), np.float32)
    for _ in range(rng.integers(1, 8)):
        y, x = rng.integers(0, SIDE, 2)
        cv2.circle(haze, (int(x), int(y)), int(diameter * rng.uniform(0.3, 0.9)) + 1, float(rng.uniform(0.05, 0.3)), -1)
    return cv2.GaussianBlur(haze, (0, 0), diameter * float(rng.uniform(0.35, 0.8)))


def _specks(diameter: float, rng: Generator) -> Floats:
    """Return debris: specks far smaller than a nucleus."""
    specks = np.zeros((SIDE, SIDE), np.float32)
    for _ in range(rng.integers(1, 25)):
        y, x = rng.integers(0, SIDE, 2)
        cv2.circle(specks, (int(x), int(y)), int(rng.uniform(0, 0.09 * diameter)), float(rng.uniform(0.2, 1.5)), -1)
    return cv2.GaussianBlur(specks, (0, 0), 0.6)
