"""One frame of pixels to a label image of nuclei and one of cells.

Background and noise are taken off each channel; nuclei are what rises above half of their own brightness in the DNA
channel, split where a waist says that two touch; cells are grown around them over what cytokeratin and CD45 show.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numba
import numpy as np
from numpy.typing import NDArray

from pipeline.formats import Frame

Floats = NDArray[np.float32]
Labels = NDArray[np.int32]

_TILE_UM = 32.0  # background is followed at this scale: wider than a cell, narrower than vignetting
_QUANTILE = 0.25  # of a tile's pixels: background as long as cells cover less than about two thirds of it
_SMOOTH_UM = 0.7
_DETECT = 5.0  # standard deviations of the noise above which a pixel can be signal
_HALF = 0.45  # share of its own brightness at which an object ends: near half, where a blurred edge lies
_FAINT = 0.04  # of the brightest nuclei: what is fainter is glow
_OBJECT_UM = 1.6  # smoothing at which a nucleus is one hill
_APART_UM = 2.0  # nearer maxima are one
_WAIST = 0.8
_LOBED_UM2 = 60.0  # a lobed granulocyte nucleus with its gaps, at most
_RIM_UM = 2.0  # cytoplasm that every nucleated cell is given
_BARE_UM2 = 6.0  # smaller cytokeratin specks without nucleus are noise


@dataclass(frozen=True)
class Channel:
    """A channel less its background.

    Attributes
    ----------
    signal : ndarray of float32, shape (Y, X)
        Counts above the local background.
    background : float
        Median background that was taken off, counts.
    unevenness : float
        (largest - smallest) background over the frame / its median.
    noise : float
        Standard deviation of the background, counts; at least half the step of an integer image.
    """

    signal: Floats
    background: float
    unevenness: float
    noise: float


@dataclass(frozen=True)
class Segmentation:
    """Label images of one frame, both int32 of shape (Y, X): a nucleus has the number of the cell that it lies in."""

    nuclei: Labels
    cells: Labels


def correct(plane: Floats, pixel_size_um: float) -> Channel:
    """Return a channel less its background, with the background's level and noise."""
    grid = _tile_quantiles(plane, max(8, round(_TILE_UM / pixel_size_um)))
    if min(grid.shape) >= 3:
        grid = cv2.medianBlur(grid, 3)
    surface = cv2.resize(grid, plane.shape[::-1], interpolation=cv2.INTER_LINEAR)
    signal = plane - surface
    centre, noise = _centre_and_noise(_sorted_sample(signal))
    signal -= np.float32(centre)
    level = float(np.median(grid)) + centre
    unevenness = float(grid.max() - grid.min()) / max(level, 1.0)
    return Channel(signal, level, unevenness, max(noise, 0.5))


def _tile_quantiles(plane: Floats, tile: int) -> Floats:
    """Return the background quantile of every second pixel of each tile, tiles of about `tile` pixels."""
    chosen, shape = [], []
    for length in plane.shape:
        count = max(1, round(length / tile))
        starts = np.linspace(0, length, count + 1).astype(int)[:-1]
        within = np.arange(0, max(1, length // count), 2)
        chosen.append(np.minimum(starts[:, None] + within, length - 1).ravel())
        shape += [count, len(within)]
    sample = plane[chosen[0]][:, chosen[1]].reshape(shape).transpose(0, 2, 1, 3).reshape(shape[0], shape[2], -1)
    kth = int(_QUANTILE * (sample.shape[2] - 1))
    return np.ascontiguousarray(np.partition(sample, kth, axis=2)[:, :, kth])


def _sorted_sample(image: Floats) -> Floats:
    return np.sort(image[::3, ::3], axis=None)


def _centre_and_noise(values: Floats) -> tuple[float, float]:
    """Return centre and standard deviation of the background among sorted values of which cells are the upper part."""
    low, high = 0, len(values)
    centre, noise = 0.0, 0.0
    for _ in range(8):
        kept = values[low:high]
        centre = float(kept[len(kept) // 2])
        away = np.abs(kept - np.float32(centre))
        noise = 1.4826 * float(np.partition(away, len(away) // 2)[len(away) // 2])
        bounds = np.float32([centre - 3 * noise - 0.5, centre + 2 * noise + 0.5])
        low, high = np.searchsorted(values, bounds)
    return centre, noise


def segment(frame: Frame, channels: Mapping[str, Channel], settings: Mapping[str, Any]) -> Segmentation:
    """Return nuclei and cells of one frame.

    Parameters
    ----------
    frame : Frame
    channels : mapping of str to Channel
        By role, from `correct`.
    settings : mapping
        ``nucleus_diameter_um`` (smallest, largest), ``cell_margin_um``.

    Notes
    -----
    Nuclei: two touching ones are cut where the distance to their common edge dips below 0.8 of the lesser one's radius,
    unless together they are no larger than one lobed granulocyte nucleus. Cells: the nucleus and a rim, and what
    cytokeratin or CD45 shows connected to it as far as the margin. Cytokeratin without a nucleus is an object too, so
    that dye aggregates and debris are seen and counted as what they are.
    """
    px = frame.pixel_size_um
    nuclei = _nuclei(channels["dna"], px, settings["nucleus_diameter_um"])
    markers = [channels[role] for role in ("ck", "cd45")]
    cells = _cells(nuclei, markers, px, settings["cell_margin_um"])
    cells = _add_bare(cells, channels["ck"], px)
    return Segmentation(nuclei, cells)


def warm() -> None:
    """Compile the kernels into their cache."""
    _flood(np.zeros((2, 2), np.uint8), np.eye(2, dtype=np.int32), np.ones((2, 2), np.bool_))


def _nuclei(dna: Channel, px: float, diameter_um: Sequence[float]) -> Labels:
    smooth = _blur(dna.signal, _SMOOTH_UM / px)
    sample = _sorted_sample(smooth)
    _, noise = _centre_and_noise(sample)
    lit = smooth > max(_DETECT * max(noise, 0.3), _FAINT * float(sample[int(0.998 * len(sample))]))
    coarse = _blur(dna.signal, _OBJECT_UM / px)
    regions, peaks = _split(coarse, lit, _APART_UM / px)
    solid = _fill_holes((smooth > _HALF * peaks[regions]) & lit)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))
    solid = cv2.morphologyEx(solid, cv2.MORPH_OPEN, kernel).astype(np.uint8, copy=False)
    depth = cv2.distanceTransform(solid, cv2.DIST_L2, 5).astype(np.float32, copy=False)
    depth_um = _blur(depth, 0.5 / px) * np.float32(px)
    parts, _ = _split(depth_um, solid > 0, _APART_UM * 0.75 / px)
    nuclei = _merge(parts, depth_um, px)
    smallest, largest = (np.pi / 4 * d**2 / px**2 for d in diameter_um)
    area = np.bincount(nuclei.ravel())
    return _keep(nuclei, (area >= smallest) & (area <= largest))


def _split(height: Floats, mask: NDArray[Any], apart_px: float) -> tuple[Labels, Floats]:
    """Return the regions of a mask around the maxima of a height, and the height at each region's maximum."""
    reach = 2 * max(1, round(apart_px)) + 1
    summit = cv2.dilate(height, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach)))
    top = ((height >= summit) & mask).astype(np.uint8)
    count, markers = cv2.connectedComponents(top, connectivity=8, ltype=cv2.CV_32S)
    peaks = np.zeros(count, np.float32)
    where = np.flatnonzero(markers)
    np.maximum.at(peaks, markers.ravel()[where], height.ravel()[where])
    highest = max(float(peaks.max()), 1e-6)
    levels = (255 * (1 - np.sqrt(np.clip(height / highest, 0, 1)))).astype(np.uint8)
    return _flood(levels, markers, np.ascontiguousarray(mask)), peaks


def _merge(parts: Labels, depth_um: Floats, px: float) -> Labels:
    """Join parts that no waist divides, and the lobes of one small nucleus."""
    pairs, saddle = _borders(parts, depth_um)
    count = int(parts.max()) + 1
    area = np.bincount(parts.ravel(), minlength=count) * px**2
    peak = np.zeros(count, np.float32)
    np.maximum.at(peak, parts.ravel(), depth_um.ravel())
    root = np.arange(count)
    for pair, pass_um in zip(pairs, saddle, strict=True):
        a, b = (_root(root, label) for label in pair)
        if a != b and (pass_um >= _WAIST * min(peak[a], peak[b]) or area[a] + area[b] <= _LOBED_UM2):
            root[b] = a
            area[a] += area[b]
            peak[a] = max(peak[a], peak[b])
    while not np.array_equal(root, root[root]):
        root = root[root]
    return root[parts].astype(np.int32)


def _root(parent: NDArray[np.int64], label: int) -> int:
    while parent[label] != label:
        label = parent[label]
    return label


def _borders(labels: Labels, height: Floats) -> tuple[NDArray[np.int64], Floats]:
    """Return the pairs of labels that touch and the highest pass between each, the highest pass first."""
    first, second, passes = [], [], []
    rows, columns = labels.shape
    for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
        here = np.s_[: rows - dy, max(0, -dx) : columns - max(0, dx)]
        there = np.s_[dy:, max(0, dx) : columns + min(0, dx)]
        a, b = labels[here], labels[there]
        meet = np.nonzero((a != b) & (a > 0) & (b > 0))
        first.append(np.minimum(a[meet], b[meet]))
        second.append(np.maximum(a[meet], b[meet]))
        passes.append(np.minimum(height[here][meet], height[there][meet]))
    pairs = np.stack([np.concatenate(first), np.concatenate(second)], axis=1).astype(np.int64)
    if not len(pairs):
        return pairs, np.empty(0, np.float32)
    unique, inverse = np.unique(pairs, axis=0, return_inverse=True)
    saddle = np.zeros(len(unique), np.float32)
    np.maximum.at(saddle, inverse.ravel(), np.concatenate(passes))
    order = np.argsort(-saddle, kind="stable")
    return unique[order], saddle[order]


def _cells(nuclei: Labels, markers: Sequence[Channel], px: float, margin_um: float) -> Labels:
    """Return cells around nuclei: a rim, and beyond it what a marker shows above half of that cell's own brightness.

    A cell reaches as far beyond its nucleus as the margin or the nucleus's own radius, whichever is more.
    """
    if not nuclei.any():
        return nuclei.copy()
    distance, zone = nearest(nuclei)
    distance *= np.float32(px)
    radius_um = np.sqrt(np.bincount(nuclei.ravel()) * (px**2 / np.pi)).astype(np.float32)
    reach_um = np.maximum(margin_um, radius_um)[zone]  # large cells have more cytoplasm
    body = distance <= _RIM_UM
    for marker in markers:
        smooth = _blur(marker.signal, _SMOOTH_UM / px)
        brightest = np.zeros(int(nuclei.max()) + 1, np.float32)
        inner = np.flatnonzero(body)
        np.maximum.at(brightest, zone.ravel()[inner], smooth.ravel()[inner])
        body |= (distance <= reach_um) & (smooth > np.maximum(_HALF * brightest[zone], _DETECT * marker.noise))
    levels = np.minimum(255, distance * 8).astype(np.uint8)
    return _flood(levels, nuclei, body)


def nearest(labels: Labels) -> tuple[Floats, Labels]:
    """Return the distance (pixels) of each pixel to the nearest object and that object's label."""
    distance, index = cv2.distanceTransformWithLabels(
        (labels == 0).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    lookup = np.zeros(int(index.max()) + 1, np.int32)
    inside = labels > 0
    lookup[index[inside]] = labels[inside]
    return distance, lookup[index]


def _add_bare(cells: Labels, ck: Channel, px: float) -> Labels:
    """Add objects without nucleus that show more cytokeratin than most cells do, numbered after the cells."""
    smooth = _blur(ck.signal, _SMOOTH_UM / px)
    brightest = np.zeros(int(cells.max()) + 1, np.float32)
    np.maximum.at(brightest, cells.ravel(), smooth.ravel())
    usual = float(np.quantile(brightest[1:], 0.75)) if len(brightest) > 1 else 0.0
    lit = ((smooth > max(2 * _DETECT * ck.noise, usual)) & (cells == 0)).astype(np.uint8)
    count, objects, stats, _ = cv2.connectedComponentsWithStats(lit, connectivity=4, ltype=cv2.CV_32S)
    keep = stats[:, cv2.CC_STAT_AREA] * px**2 >= _BARE_UM2
    keep[0] = False
    touching = np.unique(objects[cv2.dilate((cells > 0).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0])
    keep[touching] = False  # the rest of a cell that its margin cut off
    number = np.zeros(count, np.int32)
    number[keep] = int(cells.max()) + 1 + np.arange(int(keep.sum()))
    return cells + number[objects]


def _blur(image: Floats, sigma: float) -> Floats:
    blurred = cv2.GaussianBlur(image, (0, 0), max(sigma, 0.3), borderType=cv2.BORDER_REFLECT_101)
    return blurred.astype(np.float32, copy=False)


def _fill_holes(mask: NDArray[Any]) -> NDArray[np.uint8]:
    """Return the mask with each dark patch filled that does not reach the frame's border."""
    _, patches = cv2.connectedComponents((~mask).astype(np.uint8), connectivity=4, ltype=cv2.CV_32S)
    rim = np.concatenate([patches[0], patches[-1], patches[:, 0], patches[:, -1]])
    open_patch = np.zeros(int(patches.max()) + 1, np.bool_)
    open_patch[rim] = True
    open_patch[0] = False
    return (~open_patch[patches]).astype(np.uint8)


def _keep(labels: Labels, wanted: NDArray[np.bool_]) -> Labels:
    """Return the labels with only the wanted ones left, numbered 1..N in the order of the old."""
    wanted = wanted.copy()
    wanted[0] = False
    number = np.zeros(len(wanted), np.int32)
    number[wanted] = 1 + np.arange(int(wanted.sum()))
    return number[labels]


def _flood(levels: NDArray[np.uint8], markers: Labels, mask: NDArray[Any]) -> Labels:
    """Return the watershed of 8-bit levels from markers inside a mask.

    Pixels join the marker that reaches them first, the lowest level first and the earlier one of equals: the order, and
    so the result, of scikit-image's `watershed` with four neighbours.
    """
    labels = np.where(mask, markers, 0).astype(np.int32)
    wide = np.pad(np.where(mask & (labels == 0), levels.astype(np.int16), _OUTSIDE), 1, constant_values=_OUTSIDE)
    labels = np.pad(labels, 1)
    _pour(wide.ravel(), labels.ravel(), np.pad(levels, 1).ravel(), wide.shape[1])
    return np.ascontiguousarray(labels[1:-1, 1:-1])


_OUTSIDE = 256


@numba.njit(cache=True, nogil=True)
def _push(first: Any, last: Any, following: Any, level: int, pixel: int) -> None:  # pragma: no cover - compiled
    if first[level] < 0:
        first[level] = pixel
    else:
        following[last[level]] = pixel
    last[level] = pixel
    following[pixel] = -1


@numba.njit(cache=True, nogil=True)
def _pour(waiting: Any, labels: Any, levels: Any, columns: int) -> None:  # pragma: no cover - compiled
    """Fill `labels` in place, with one queue a level; `waiting` holds the level of each pixel still to be filled."""
    following = np.full(len(labels), -1, np.int32)
    first, last = np.full(256, -1, np.int32), np.full(256, -1, np.int32)
    for i in range(len(labels)):
        if labels[i] > 0:
            _push(first, last, following, levels[i], i)
    current = 0
    while current < 256:
        i = first[current]
        if i < 0:
            current += 1
            continue
        first[current] = following[i]
        for step in (-columns, -1, 1, columns):
            j = i + step
            level = waiting[j]
            if level < 256:
                waiting[j] = 256
                labels[j] = labels[i]
                _push(first, last, following, level, j)
                current = min(current, level)
