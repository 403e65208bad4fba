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
_PART = 128  # side of the parts of a frame that the first look is content with, pixels, and their number
_PARTS = 8
_NEAR = 16  # pixels around a part or an object that the network is shown too
_MOSTLY_DARK = 0.6  # share of the frame up to which only lit objects are shown to the network


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
    diameter = _diameter_px(_first_look(signal, noise, first), settings) / first
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


def _first_look(signal: Floats, noise: float, zoom: float) -> Floats:
    """Return the depth map of the scaled frame; of a large frame, of the parts in which most is lit, side by side.

    The size of nuclei is learned from some of them as well as from all.
    """
    seen, shape = _seen(signal, noise, zoom)
    if seen[0].size <= _PARTS * _PART**2:
        return _run(seen)[1, : shape[0], : shape[1]]
    lit = _lit(signal, noise, shape)
    corners = [(y, x) for y in range(0, shape[0], _PART) for x in range(0, shape[1], _PART)]
    corners.sort(key=lambda at: -np.count_nonzero(lit[at[0] : at[0] + _PART, at[1] : at[1] + _PART]))  # stable
    found = np.zeros((_PARTS * _PART, _PART), np.float32)
    for k, (y, x) in enumerate(corners[:_PARTS]):
        inner = _of_box(seen, (y, x, min(y + _PART, shape[0]), min(x + _PART, shape[1])))[1]
        found[k * _PART : k * _PART + inner.shape[0], : inner.shape[1]] = inner
    return found


def _maps(signal: Floats, noise: float, zoom: float) -> Floats:
    """Return the maps that the network gives for the scaled frame: the probability of nucleus, and the depth.

    Where little is lit, it is shown the lit objects alone, one after the other; elsewhere both maps are 0.
    """
    seen, shape = _seen(signal, noise, zoom)
    boxes = _lit_boxes(_lit(signal, noise, shape))
    if sum((y1 - y0 + 2 * _NEAR) * (x1 - x0 + 2 * _NEAR) for y0, x0, y1, x1 in boxes) > _MOSTLY_DARK * seen[0].size:
        return _tiled(seen, shape)
    found = np.zeros((2, *shape), np.float32)
    for y0, x0, y1, x1 in boxes:
        inner = found[:, y0:y1, x0:x1]
        inner[:] = np.maximum(inner, _of_box(seen, (y0, x0, y0 + inner.shape[1], x0 + inner.shape[2])))
    return found


def _seen(signal: Floats, noise: float, zoom: float) -> tuple[Floats, tuple[int, int]]:
    """Return the planes of the scaled frame, continued to whole steps of the network, and the size of that frame."""
    step = _STEP * _FOLD
    rows, columns = (max(step, round(length * zoom)) for length in signal.shape)
    seen = planes(_resized(signal, (rows, columns)), noise)
    return np.pad(seen, [(0, 0), (0, -rows % step), (0, -columns % step)], mode="symmetric"), (rows, columns)


def _lit(signal: Floats, noise: float, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return where, in the scaled frame, the mean of 5 x 5 pixels of the frame is above the noise of one pixel."""
    lit = (cv2.blur(signal, (5, 5)) > np.float32(noise)).astype(np.float32)
    return _resized(lit, shape) > 0


def _lit_boxes(lit: NDArray[np.bool_]) -> list[tuple[int, int, int, int]]:
    """Return boxes around what is lit, in whole steps of the network: rows y0 to y1 and columns x0 to x1."""
    step = _STEP * _FOLD
    rows, columns = lit.shape
    squares = np.zeros((-(-rows // step) * step, -(-columns // step) * step), np.uint8)
    squares[:rows, :columns] = lit
    any_lit = squares.reshape(len(squares) // step, step, -1, step).max(axis=(1, 3))
    count, _, about, _ = cv2.connectedComponentsWithStats(any_lit, connectivity=8)
    left, top, wide, high = (about[1:count, k] * step for k in range(4))
    return list(zip(top.tolist(), left.tolist(), (top + high).tolist(), (left + wide).tolist(), strict=True))


def _of_box(seen: Floats, box: tuple[int, int, int, int]) -> Floats:
    """Return the maps of a part of the planes, of which the network is shown what lies near it too."""
    step = _STEP * _FOLD
    y0, x0, y1, x1 = box
    top, left = max(0, y0 - _NEAR), max(0, x0 - _NEAR)
    bottom = min(-(-y1 // step) * step + _NEAR, seen.shape[1])
    right = min(-(-x1 // step) * step + _NEAR, seen.shape[2])
    return _run(seen[:, top:bottom, left:right])[:, y0 - top : y1 - top, x0 - left : x1 - left]


def _tiled(seen: Floats, shape: tuple[int, int]) -> Floats:
    """Return the maps of all of the planes, a tile after the other."""
    rows, columns = shape
    found = np.empty((2, rows, columns), np.float32)
    for y in range(0, rows, _TILE):
        for x in range(0, columns, _TILE):
            top, left = max(0, y - _HALO), max(0, x - _HALO)
            result = _run(seen[:, top : y + _TILE + _HALO, left : x + _TILE + _HALO])
            inner = found[:, y : y + _TILE, x : x + _TILE]
            inner[:] = result[:, y - top :, x - left :][:, : inner.shape[1], : inner.shape[2]]
    return found


def _run(part: Floats) -> Floats:
    """Return the two maps that the network gives for planes."""
    (result,) = _network().run(None, {"planes": np.ascontiguousarray(part)[None]})
    return np.asarray(result[0])


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
