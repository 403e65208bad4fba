"""One frame of pixels to a label image of nuclei and one of cells.

Background and noise are taken off each channel; nuclei are what rises above half of their own brightness in the DNA
channel, split where a waist says that two touch; cells are grown around them over what cytokeratin and CD45 show.
"""

from collections.abc import Callable, Mapping, Sequence
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
_SAMPLES = 16  # pixels that are looked at along each side of a tile
_ENOUGH = 50_000  # pixels to learn the noise from
_QUANTILE = 0.25  # of a tile's pixels: background as long as cells cover less than about two thirds of it
_SMOOTH_UM = 0.5
_DETECT = 5.0  # standard deviations of the noise above which a pixel can be signal
_HALF = 0.5  # share of its own brightness at which an object ends: half, where a blurred edge lies
_GLOW = 0.04  # of the brightest nuclei: what is fainter is glow
_OBJECT_UM = 1.6  # smoothing at which a nucleus is one hill
_APART_UM = 2.0  # nearer maxima are one
_WAIST = 0.87
_CONTENT = 0.12  # of the usual nucleus's DNA: what holds less is glow, a fragment or noise
_EDGE_UM = 1.5
_LOBED_UM2 = 60.0  # a lobed granulocyte nucleus with its gaps, at most
_RIM_UM = 2.0  # cytoplasm that every nucleated cell is given
_BARE_UM2 = 6.0  # smaller cytokeratin specks without nucleus are noise


def kernel(function: Callable[..., Any]) -> Any:
    """Return the function, compiled when first called and kept for the next job where there is a place to keep it."""
    try:
        return numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:  # neither the package's folder nor the user's may be written to
        return numba.njit(nogil=True)(function)


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
    tile = max(8, round(_TILE_UM / pixel_size_um))
    counts = [max(1, round(length / tile)) for length in plane.shape]
    y, x = (
        ((np.arange(count * _SAMPLES) + 0.5) * length / (count * _SAMPLES)).astype(int)
        for length, count in zip(plane.shape, counts, strict=True)
    )
    sample = plane[y][:, x]
    tiles = sample.reshape(counts[0], _SAMPLES, counts[1], _SAMPLES).swapaxes(1, 2).reshape(*counts, -1)
    rank = int(_QUANTILE * tiles.shape[2])
    grid = np.ascontiguousarray(np.partition(tiles, rank, axis=2)[:, :, rank])
    if min(counts) >= 3:
        grid = cv2.medianBlur(grid, 3).astype(np.float32, copy=False)
    signal = plane - cv2.resize(grid, plane.shape[::-1], interpolation=cv2.INTER_LINEAR)
    centre, noise = _centre_and_noise(_sorted_sample(signal))
    signal -= np.float32(centre)
    level = float(np.median(grid)) + centre
    return Channel(signal, level, float(grid.max() - grid.min()) / max(level, 1.0), max(noise, 0.5))


def _sorted_sample(image: Floats) -> Floats:
    step = max(1, int(np.sqrt(image.size / _ENOUGH)))
    return np.sort(image[::step, ::step], axis=None)


def _centre_and_noise(values: Floats) -> tuple[float, float]:
    """Return centre and standard deviation of the background among sorted values of which cells are the upper part."""
    low, high = 0, len(values)
    centre, noise = 0.0, 0.0
    for _ in range(8):
        kept, bounds = values[low:high], (low, high)
        centre = float(kept[len(kept) // 2])
        away = np.abs(kept - np.float32(centre))
        noise = 1.4826 * float(np.partition(away, len(away) // 2)[len(away) // 2])
        low = int(np.searchsorted(values, np.float32(centre - 3 * noise - 0.5)))
        high = int(np.searchsorted(values, np.float32(centre + 2 * noise + 0.5)))
        if (low, high) == bounds:
            break
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
    Nuclei: two touching ones are cut where the distance to their common edge, a little less where the light dips, falls
    below 0.87 of the lesser one's radius, unless together they are no larger than one lobed granulocyte nucleus. What
    holds less than 0.12 of the DNA of the frame's median nucleus is none. Cells: the nucleus and a rim, and what
    cytokeratin or CD45 shows connected to it as far as the margin. Cytokeratin without a nucleus is an object too, so
    that dye aggregates and debris are seen and counted as what they are.
    """
    px = frame.pixel_size_um
    nuclei = _nuclei(channels["dna"], px, settings["nucleus_diameter_um"])
    markers = [
        (_blur(channels[role].signal, _SMOOTH_UM / px), _DETECT * channels[role].noise) for role in ("ck", "cd45")
    ]
    cells = _cells(nuclei, markers, px, settings["cell_margin_um"])
    cells = _add_bare(cells, *markers[0], px)
    return Segmentation(nuclei, cells)


def warm() -> None:
    """Compile the kernels into their cache."""
    labels = np.eye(2, dtype=np.int32)
    height = np.ones((2, 2), np.float32)
    _flood(np.zeros((2, 2), np.uint8), labels, np.ones((2, 2), np.bool_))
    _merge(labels, height, 1.0)
    nearest(labels)
    _means(labels, height, 2)
    _cells(labels, [(height, 0.5)], 1.0, 1.0)
    _shaded(height, height, labels, height[0])


def _nuclei(dna: Channel, px: float, diameter_um: Sequence[float]) -> Labels:
    smooth = _blur(dna.signal, _SMOOTH_UM / px)
    sample = _sorted_sample(smooth)
    _, noise = _centre_and_noise(sample)
    lit = smooth > max(_DETECT * max(noise, 0.3), _GLOW * float(sample[int(0.998 * len(sample))]))
    coarse = _blur(dna.signal, _OBJECT_UM / px)
    regions, peaks = _split(coarse, lit, _APART_UM / px)
    solid = _fill_holes((smooth > _HALF * peaks[regions]) & lit)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))
    solid = cv2.morphologyEx(solid, cv2.MORPH_OPEN, kernel).astype(np.uint8, copy=False)
    depth = cv2.distanceTransform(solid, cv2.DIST_L2, 5).astype(np.float32, copy=False)
    depth_um = _shaded(_blur(depth, 0.5 / px) * np.float32(px), coarse, regions, peaks)
    parts, _ = _split(depth_um, solid > 0, _APART_UM * 0.75 / px)
    nuclei = _merge(parts, depth_um, px)
    smallest, largest = (np.pi / 4 * d**2 / px**2 for d in diameter_um)
    area, _ = _extent(nuclei, depth_um, int(nuclei.max()) + 1)
    nuclei = _keep(nuclei, (area >= smallest) & (area <= largest))
    return _keep(nuclei, _holds_dna(nuclei, dna.signal, px))


def _holds_dna(nuclei: Labels, signal: Floats, px: float) -> NDArray[np.bool_]:
    """Return, by number, which nuclei hold a fair share of the usual nucleus's DNA above what surrounds them."""
    count = int(nuclei.max()) + 1
    reach = 2 * max(1, round(_EDGE_UM / px)) + 1
    ring = cv2.dilate(nuclei.astype(np.float32), np.ones((reach, reach), np.uint8)).astype(np.int32)
    ring[nuclei > 0] = 0
    inside, around = _means(nuclei, signal, count), _means(ring, signal, count)
    area, _ = _extent(nuclei, signal, count)
    contrast = np.clip(1 - around / np.maximum(inside, 1e-6), 0, 0.7)  # of blurred nuclei too: the ring is not dark
    content = area * inside * contrast
    return content >= _CONTENT * np.sort(content[1:])[(count - 2) // 2] if count > 1 else np.zeros(1, np.bool_)


def _split(height: Floats, mask: NDArray[Any], apart_px: float) -> tuple[Labels, Floats]:
    """Return the regions of a mask around the maxima of a height, and the height at each region's maximum."""
    reach = 2 * max(1, round(apart_px)) + 1
    summit = cv2.dilate(height, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach)))
    top = ((height >= summit) & mask).astype(np.uint8)
    count, markers = cv2.connectedComponents(top, connectivity=8, ltype=cv2.CV_32S)
    _, peaks = _extent(markers, height, count)
    steps = np.float32(255) * (1 - np.sqrt(np.maximum(height * np.float32(1 / max(peaks.max(), 1e-6)), 0)))
    return _flood(steps.astype(np.uint8), markers, mask), peaks


def _merge(parts: Labels, depth_um: Floats, px: float) -> Labels:
    """Join parts that no waist divides, and the lobes of one small nucleus."""
    pairs, saddle = _borders(parts, depth_um)
    area, peak = _extent(parts, depth_um, int(parts.max()) + 1)
    area *= px**2
    root = np.arange(len(area), dtype=np.int32)
    for pair, pass_um in zip(pairs, saddle, strict=True):
        a, b = (_root(root, label) for label in pair)
        if a != b and (pass_um >= _WAIST * min(peak[a], peak[b]) or area[a] + area[b] <= _LOBED_UM2):
            root[b] = a
            area[a] += area[b]
            peak[a] = max(peak[a], peak[b])
    while not np.array_equal(root, root[root]):
        root = root[root]
    return root[parts]


def _root(parent: NDArray[np.int32], label: int) -> int:
    while parent[label] != label:
        label = parent[label]
    return label


def _borders(labels: Labels, height: Floats) -> tuple[NDArray[np.int64], Floats]:
    """Return the pairs of labels that touch and the highest pass between each, the highest pass first."""
    count = int(labels.max()) + 1
    keys, passes = _touching(labels, height, count)
    if not len(keys):
        return np.empty((0, 2), np.int64), passes
    order = np.argsort(keys, kind="stable")
    keys, first = np.unique(keys[order], return_index=True)
    saddle = np.maximum.reduceat(passes[order], first)
    order = np.argsort(-saddle, kind="stable")
    return np.stack(np.divmod(keys[order], count), axis=1), saddle[order]


def _cells(nuclei: Labels, markers: Sequence[tuple[Floats, float]], px: float, margin_um: float) -> Labels:
    """Return cells around nuclei: a rim, and beyond it what a marker shows above half of that cell's own brightness.

    A cell reaches as far beyond its nucleus as the margin or the nucleus's own radius, whichever is more.
    """
    if not nuclei.any():
        return nuclei.copy()
    distance, zone = nearest(nuclei)
    distance *= np.float32(px)
    area, _ = _extent(nuclei, distance, int(nuclei.max()) + 1)
    reach_um = np.maximum(margin_um, np.sqrt(area / np.pi) * px)  # large cells have more cytoplasm
    rim = zone * (distance <= _RIM_UM)
    body = rim > 0
    for smooth, detectable in markers:
        _, brightest = _extent(rim, smooth, len(area))
        _add_shown(body, zone, distance, reach_um, smooth, np.maximum(_HALF * brightest, detectable))
    levels = np.minimum(255, distance * 8).astype(np.uint8)
    return _flood(levels, nuclei, body)


def nearest(labels: Labels) -> tuple[Floats, Labels]:
    """Return the distance (pixels) of each pixel to the nearest object and that object's label."""
    distance, index = cv2.distanceTransformWithLabels(
        (labels == 0).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    return distance, _carried(labels, index)


def _add_bare(cells: Labels, smooth: Floats, detectable: float, px: float) -> Labels:
    """Add objects without nucleus that show more cytokeratin than most cells do, numbered after the cells."""
    n_cells = int(cells.max())
    _, brightest = _extent(cells, smooth, n_cells + 1)
    usual = float(np.quantile(brightest[1:], 0.75)) if n_cells else 0.0
    lit = ((smooth > max(2 * detectable, usual)) & (cells == 0)).astype(np.uint8)
    count, objects = cv2.connectedComponents(lit, connectivity=4, ltype=cv2.CV_32S)
    area, _ = _extent(objects, smooth, count)
    keep = area * px**2 >= _BARE_UM2
    beside = cv2.dilate((cells > 0).astype(np.uint8), np.ones((3, 3), np.uint8)) & lit
    keep[objects[beside > 0]] = False  # the rest of a cell that its margin cut off
    keep[0] = False
    number = np.zeros(count, np.int32)
    number[keep] = n_cells + 1 + np.arange(int(keep.sum()))
    return cells + number[objects]


def _blur(image: Floats, sigma: float) -> Floats:
    blurred = cv2.GaussianBlur(image, (0, 0), max(sigma, 0.3), borderType=cv2.BORDER_REFLECT_101)
    return blurred.astype(np.float32, copy=False)


def _fill_holes(mask: NDArray[Any]) -> NDArray[np.uint8]:
    """Return the mask with each dark patch filled that does not reach the frame's border."""
    patches = np.pad(mask.astype(np.uint8), 1)
    cv2.floodFill(patches, None, (0, 0), 2)
    return (patches[1:-1, 1:-1] != 2).astype(np.uint8)


def _keep(labels: Labels, wanted: NDArray[np.bool_]) -> Labels:
    """Return the labels with only the wanted ones left, numbered 1..N in the order of the old."""
    wanted = wanted.copy()
    wanted[0] = False
    number = np.zeros(len(wanted), np.int32)
    number[wanted] = 1 + np.arange(int(wanted.sum()))
    return number[labels]


@kernel
def _flood(levels: Any, markers: Any, mask: Any) -> Any:  # pragma: no cover - compiled
    """Return the watershed of 8-bit levels from markers inside a mask.

    The water rises level by level; pixels join the marker from which it reaches them first, and of several pixels that
    it reaches at one level the earlier one passes it on first. This is the order, and so the result, of scikit-image's
    `watershed` with four neighbours, which leaves open which of two markers at one level comes first: here the upper.
    """
    rows, columns = levels.shape
    wide = columns + 2
    state, following, first, last = _queued(levels, markers, mask)
    current = 0
    while current < 256:
        i = first[current]
        if i < 0:
            current += 1
            continue
        first[current] = following[i]
        for step in (-wide, -1, 1, wide):
            j = i + step
            if state[j] < 0:
                level = max(current, -1 - state[j])
                state[j] = state[i]
                _push(first, last, following, level, j)
    labels = np.empty((rows, columns), np.int32)
    for y in range(rows):
        for x in range(columns):
            labels[y, x] = max(0, state[(y + 1) * wide + x + 1])
    return labels


@kernel
def _queued(levels: Any, markers: Any, mask: Any) -> Any:  # pragma: no cover - compiled
    """Return the state of each pixel, in rows with a rim, and one queue a level that holds the markers.

    The state is a label, or minus (level + 1) of a pixel that waits for one, or 0 where none may come.
    """
    rows, columns = levels.shape
    wide = columns + 2
    state = np.zeros((rows + 2) * wide, np.int32)
    following = np.empty(len(state), np.int32)
    first, last = np.full(256, -1, np.int32), np.full(256, -1, np.int32)
    for y in range(rows):
        for x in range(columns):
            if mask[y, x]:
                i = (y + 1) * wide + x + 1
                state[i] = markers[y, x] if markers[y, x] > 0 else -1 - np.int32(levels[y, x])
                if state[i] > 0:
                    _push(first, last, following, levels[y, x], i)
    return state, following, first, last


@kernel
def _push(first: Any, last: Any, following: Any, level: int, pixel: int) -> None:  # pragma: no cover - compiled
    if first[level] < 0:
        first[level] = pixel
    else:
        following[last[level]] = pixel
    last[level] = pixel
    following[pixel] = -1


@kernel
def _add_shown(
    body: Any, zone: Any, distance: Any, reach: Any, values: Any, floor: Any
) -> None:  # pragma: no cover - compiled
    """Add to `body` the pixels in reach of the object of their zone whose value is above that object's floor."""
    for y in range(body.shape[0]):
        for x in range(body.shape[1]):
            k = zone[y, x]
            if distance[y, x] <= reach[k] and values[y, x] > floor[k]:
                body[y, x] = True


@kernel
def _shaded(depth: Any, height: Any, regions: Any, peaks: Any) -> Any:  # pragma: no cover - compiled
    """Return the depth, less where a hill is below its peak, so that a dark line cuts as a waist does."""
    out = np.zeros_like(depth)
    for y in range(depth.shape[0]):
        for x in range(depth.shape[1]):
            if regions[y, x] > 0 and depth[y, x] > 0 and height[y, x] > 0:
                share = min(np.float32(1), height[y, x] / peaks[regions[y, x]])
                out[y, x] = depth[y, x] * np.sqrt(np.sqrt(share))
    return out


@kernel
def _means(labels: Any, values: Any, count: int) -> Any:  # pragma: no cover - compiled
    """Return the mean of the values over each label below `count`; 0 where a label has no pixel."""
    total, area = np.zeros(count), np.zeros(count)
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            k = labels[y, x]
            if k > 0:
                total[k] += values[y, x]
                area[k] += 1
    return total / np.maximum(area, 1)


@kernel
def _extent(labels: Any, height: Any, count: int) -> Any:  # pragma: no cover - compiled
    """Return the pixels and the largest height (at least 0) of each label below `count`; nothing of label 0."""
    area, highest = np.zeros(count), np.zeros(count, np.float32)
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            k = labels[y, x]
            if k > 0:
                area[k] += 1
                highest[k] = max(highest[k], height[y, x])
    return area, highest


@kernel
def _touching(labels: Any, height: Any, count: int) -> Any:  # pragma: no cover - compiled
    """Return lesser label * count + greater label, and the lower height, of each two neighbours of two labels."""
    rows, columns = labels.shape
    keys, passes = [np.int64(0) for _ in range(0)], [np.float32(0) for _ in range(0)]
    for y in range(rows):
        for x in range(columns):
            a = labels[y, x]
            if a == 0:
                continue
            for dy, dx in ((0, 1), (1, -1), (1, 0), (1, 1)):
                if y + dy < rows and 0 <= x + dx < columns:
                    b = labels[y + dy, x + dx]
                    if b > 0 and b != a:
                        keys.append(np.int64(min(a, b)) * count + max(a, b))
                        passes.append(min(height[y, x], height[y + dy, x + dx]))
    return np.array(keys), np.array(passes)


@kernel
def _carried(labels: Any, index: Any) -> Any:  # pragma: no cover - compiled
    """Return at each pixel the label of the pixel whose number `index` holds there: each labelled one has its own."""
    label = np.zeros(labels.size + 1, np.int32)
    out = np.empty(labels.shape, np.int32)
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            if labels[y, x] > 0:
                label[index[y, x]] = labels[y, x]
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            out[y, x] = label[index[y, x]]
    return out
