"""Nuclei found by a small trained network: which pixels are nucleus, and how deep inside their own nucleus they are.

The network works best with nuclei of 11 to 28 pixels in diameter, so it looks at a frame twice: first at low
resolution, to learn how large the nuclei are, and then at the scale that suits them. docs/segmenter.md describes it.
"""

import functools
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ctcascade.study.detection_settings import LearnedSettings

Floats = NDArray[np.float32]

WEIGHTS = Path(__file__).parent / "weights" / "nuclei.onnx"
_DEFAULTS = LearnedSettings()
# properties of the network, which change only with its weights
_STEP = 8  # the network halves its planes three times ...
_FOLD = 2  # ... after combining 2 x 2 pixels into one
_HALO = 96  # pixels around a tile: about as far as the network sees
_TILE = 1536  # side of a tile, pixels, so that memory does not grow with the frame


def planes(signal: Floats, noise: float) -> Floats:
    """Return the two planes that the network is shown: a channel without its background, on two scales.

    Parameters
    ----------
    signal : ndarray of float32, shape (Y, X)
        Counts above the local background.
    noise : float
        Standard deviation of the background, counts.

    Returns
    -------
    ndarray of float32, shape (2, Y, X)
        The signal relative to the brightest nuclei, and the logarithm of the signal relative to the noise: the second
        shows a faint nucleus beside bright ones.
    """
    step = max(1, int(np.sqrt(signal.size / 50_000)))
    top = max(float(np.quantile(signal[::step, ::step], 0.997)), 10 * noise)
    linear = np.clip(signal * np.float32(1 / top), -0.5, 3.0)
    steps = np.log2(1 + np.maximum(signal, 0) * np.float32(0.5 / noise)) * np.float32(0.125)
    return np.stack([linear, steps])


def outlines(
    signal: Floats, noise: float, pixel_size_um: float, settings: LearnedSettings = _DEFAULTS
) -> tuple[NDArray[np.bool_], Floats]:
    """Return which pixels are nucleus, and each pixel's depth in its own nucleus, 0 at its edge to 1 in its middle.

    Parameters
    ----------
    signal : ndarray of float32, shape (Y, X)
        The DNA channel, counts above the local background.
    noise : float
        Standard deviation of the background, counts.
    pixel_size_um : float
    settings : LearnedSettings, optional

    Notes
    -----
    Depth is the distance to the nucleus's edge over the largest such distance in it, so that touching nuclei are hills
    of one height with a valley between them, whatever their sizes.

    References
    ----------
    .. [1] Ronneberger et al. 2015, U-Net. https://doi.org/10.1007/978-3-319-24574-4_28
    """
    first = min(pixel_size_um / settings.first_pixel_um, settings.max_zoom)
    diameter = _diameter_px(_maps(signal, noise, first)[1], settings) / first
    if not diameter:
        return np.zeros(signal.shape, np.bool_), np.zeros(signal.shape, np.float32)
    zoom = 1.0
    if not settings.min_nucleus_px <= diameter <= settings.max_nucleus_px:
        zoom = float(np.clip(settings.best_nucleus_px / diameter, settings.min_zoom, settings.max_zoom))
    nucleus, depth = _maps(signal, noise, zoom)
    depth = cv2.GaussianBlur(depth, (0, 0), settings.smooth_share * diameter * zoom)
    return _resized(nucleus, signal.shape) > settings.min_nucleus_p, _resized(depth, signal.shape)


def _diameter_px(depth: Floats, settings: LearnedSettings) -> float:
    """Return the median diameter of the nuclei, from the size of their cores; 0 where there are no nuclei."""
    _, _, stats, _ = cv2.connectedComponentsWithStats((depth > settings.core_depth).astype(np.uint8))
    cores = stats[1:, cv2.CC_STAT_AREA]
    cores = cores[cores > 4]
    return float(2 * np.sqrt(np.median(cores) / np.pi)) / settings.core_share if len(cores) else 0.0


def _maps(signal: Floats, noise: float, zoom: float) -> Floats:
    """Return the maps that the network gives for the scaled frame: the probability of nucleus, and the depth."""
    step = _STEP * _FOLD
    seen = planes(_resized(signal, tuple(max(step, round(length * zoom)) for length in signal.shape)), noise)
    rows, columns = seen.shape[1:]
    seen = np.pad(seen, [(0, 0), (0, -rows % step), (0, -columns % step)], mode="symmetric")
    found = np.empty((2, rows, columns), np.float32)
    for y in range(0, rows, _TILE):
        for x in range(0, columns, _TILE):
            top, left = max(0, y - _HALO), max(0, x - _HALO)
            part = np.ascontiguousarray(seen[:, top : y + _TILE + _HALO, left : x + _TILE + _HALO])
            (result,) = _network().run(None, {"planes": part[None]})
            inner = found[:, y : y + _TILE, x : x + _TILE]
            inner[:] = result[0, :, y - top :, x - left :][:, : inner.shape[1], : inner.shape[2]]
    return found


def _resized(image: Floats, shape: tuple[int, ...]) -> Floats:
    if image.shape == shape:
        return image
    way = cv2.INTER_AREA if shape[0] < image.shape[0] else cv2.INTER_LINEAR
    return cv2.resize(np.ascontiguousarray(image), shape[::-1], interpolation=way).astype(np.float32, copy=False)


@functools.cache
def _network() -> Any:
    """Return the network, on one thread; loaded when first needed, because most runs do not use it."""
    import onnxruntime  # noqa: PLC0415

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(WEIGHTS.read_bytes(), options, providers=["CPUExecutionProvider"])
