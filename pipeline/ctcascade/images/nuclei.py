"""Nuclei of a frame: what rises above half of its own brightness in the DNA channel, split where a waist shows two."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ctcascade.images import learned
from ctcascade.images.background import Channel, blur, centre_and_noise, sorted_sample
from ctcascade.images.distances import rings
from ctcascade.images.labels import (
    Floats,
    Labels,
    Runs,
    components,
    kept,
    kernel,
    means,
    paint,
    painted,
    runs_of,
    tops,
)
from ctcascade.images.watershed import flood
from ctcascade.study.detection_settings import DetectSettings, NucleiSettings


def nuclei(dna: Channel, pixel_size_um: float, settings: DetectSettings) -> Labels:
    """Return the nuclei of a frame by the shape of what is bright, numbered 1..N.

    Parameters
    ----------
    dna : Channel
    pixel_size_um : float
    settings : DetectSettings
        The sizes of nuclei, and `nuclei`: how they are found.
    """
    px, of = pixel_size_um, settings.nuclei
    smooth = blur(dna.signal, of.smooth_um / px)
    sample = sorted_sample(smooth, settings.background.noise_pixels)
    _, noise = centre_and_noise(sample)
    lit = smooth > max(of.min_snr * max(noise, 0.3), of.glow_share * float(sample[int(0.998 * len(sample))]))
    floor, share = _hills(smooth, lit, px, of)
    solid = _fill_holes((smooth > floor) & lit)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))
    solid = cv2.morphologyEx(solid, cv2.MORPH_OPEN, kernel).astype(np.uint8, copy=False)
    depth = cv2.distanceTransform(solid, cv2.DIST_L2, 5).astype(np.float32, copy=False)
    share *= np.float32(px)
    depth_um = blur(depth, 0.5 / px)
    depth_um *= share
    parts = _split(depth_um, solid > 0, of.apart_um * 0.75 / px)
    lobed_px = settings.lobed_nucleus_um2 / px**2
    runs, area = _merged(parts, depth_um, of.waist, of.waist_of_large, lobed_px, of.convex_share)
    return _plausible(runs, area, dna, px, settings)


def learned_nuclei(dna: Channel, pixel_size_um: float, settings: DetectSettings) -> Labels:
    """Return the nuclei of a frame that a trained network finds; parameters and result as in `nuclei`."""
    px, of = pixel_size_um, settings.nuclei
    inside, depth = learned.outlines(dna.signal, dna.noise, px, settings.learned)
    parts = _split(depth, inside, of.apart_um * 0.75 / px)
    lobed_px = settings.lobed_nucleus_um2 / px**2
    runs, area = _merged(parts, depth, of.valley, of.valley, lobed_px, of.convex_share)
    _, deepest = tops(runs, depth, len(area))
    return _plausible(runs, np.where(deepest >= of.min_depth, area, 0), dna, px, settings)


def _plausible(runs: Runs, area: NDArray[np.float64], dna: Channel, px: float, settings: DetectSettings) -> Labels:
    """Return the nuclei that are neither too small nor too large and hold a fair share of the usual nucleus's DNA."""
    smallest, largest = (np.pi / 4 * d**2 / px**2 for d in settings.nucleus_diameter_um)
    runs = kept(runs, (area >= smallest) & (area <= largest))
    return np.asarray(painted(kept(runs, _holds_dna(runs, dna.signal, px, settings.nuclei)), dna.signal.shape))


def _hills(smooth: Floats, lit: NDArray[np.bool_], px: float, of: NucleiSettings) -> tuple[Floats, Floats]:
    """Return, for each pixel, half of the peak of the hill that it lies on, and how far up that hill it is (0 to 1).

    A hill is much wider than a pixel, so hills are searched for in a smaller image.
    """
    rest_um = float(np.sqrt(of.object_um**2 - of.smooth_um**2))  # beyond the first smoothing
    shrunk = max(1, int(of.coarse_pixel_um / px))
    size = (-(-smooth.shape[1] // shrunk), -(-smooth.shape[0] // shrunk))
    small = cv2.resize(smooth, size, interpolation=cv2.INTER_AREA).astype(np.float32, copy=False)
    coarse = blur(small, rest_um / (px * shrunk))
    mask = cv2.resize(lit.astype(np.uint8) * np.uint8(255), size, interpolation=cv2.INTER_AREA) > 0
    hills = _split(coarse, mask, of.apart_um / (px * shrunk))
    _, peaks = tops(runs_of(hills), coarse, int(hills.max()) + 1)
    peak = peaks[hills]
    share = np.sqrt(np.sqrt(np.clip(coarse / np.maximum(peak, 1e-6), 0, 1) * (hills > 0)))
    whole = smooth.shape[::-1]
    return (
        cv2.resize(of.edge_share * peak, whole, interpolation=cv2.INTER_NEAREST),
        cv2.resize(share, whole, interpolation=cv2.INTER_LINEAR),
    )


def _holds_dna(runs: Runs, signal: Floats, px: float, of: NucleiSettings) -> NDArray[np.bool_]:
    """Return, by number, which nuclei hold a fair share of the usual nucleus's DNA above what surrounds them."""
    count = int(runs[:, 3].max(initial=0)) + 1
    area, inside = means(runs, signal, count)
    _, around = means(rings(painted(runs, signal.shape), of.surroundings_um / px), signal, count)
    contrast = np.clip(1 - around / np.maximum(inside, 1e-6), 0, 0.7)  # blurred: the ring is not dark
    content = area * inside * contrast
    # of an even number the mean of the middle two: of two nuclei, neither is the usual one
    return content >= of.min_dna_share * np.median(content[1:]) if count > 1 else np.zeros(1, np.bool_)


def _split(height: Floats, mask: NDArray[np.bool_], apart_px: float) -> Labels:
    """Return the regions of a mask around the maxima of a height; each pixel of a level top has its own."""
    reach = 2 * max(1, round(apart_px)) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    around = np.argwhere(disc) - reach // 2
    around = around[np.argsort((around**2).sum(axis=1), kind="stable")[1:]]  # nearest first
    markers = _maxima(height, mask, around)
    return np.asarray(flood(_levels(height, 1 / max(float(height.max()), 1e-6)), markers, mask))


def _merged(
    parts: Labels, depth: Floats, waist: float, waist_of_large: float, lobed_px: float, convex_share: float
) -> tuple[Runs, NDArray[np.float64]]:
    """Join the parts that no waist divides or that are lobes of one small nucleus; return all parts and their areas."""
    runs = runs_of(parts)
    area, peak = tops(runs, depth, int(parts.max()) + 1)
    root = np.arange(len(area), dtype=np.int32)
    of_part = runs[np.argsort(runs[:, 3], kind="stable")]
    starts = np.searchsorted(of_part[:, 3], np.arange(len(area) + 1))
    whole: dict[int, Runs] = {}  # the runs of what was joined, by its root
    for pair, saddle in zip(*_borders(runs, parts, depth), strict=True):
        a, b = (_root(root, label) for label in pair)
        share, together = saddle / min(peak[a], peak[b]), area[a] + area[b]
        if a == b or (share < waist and together > lobed_px):
            continue
        both = np.concatenate([whole.get(k, of_part[starts[k] : starts[k + 1]]) for k in (a, b)])
        if share >= waist_of_large or together <= 2 * lobed_px or _filled(both) >= convex_share:
            root[b] = a
            whole[a] = both
            area[a], area[b] = together, 0
            peak[a] = max(peak[a], peak[b])
    while not np.array_equal(root, root[root]):
        root = root[root]
    runs[:, 3] = root[runs[:, 3]]
    return runs, area


def _filled(runs: Runs) -> float:
    """Return the share of its convex hull that an object fills."""
    y, start, stop = runs[:, :3].T
    corners = [np.stack([x, edge], axis=1) for x in (start, stop) for edge in (y, y + 1)]
    hull = cv2.convexHull(np.concatenate(corners).astype(np.int32, copy=False))
    return float((stop - start).sum()) / cv2.contourArea(hull)


def _root(parent: NDArray[np.int32], label: int) -> int:
    while parent[label] != label:
        label = parent[label]
    return label


def _borders(runs: Runs, labels: Labels, height: Floats) -> tuple[NDArray[np.int64], Floats]:
    """Return the pairs of labels that touch and the highest pass between each, the highest pass first."""
    count = int(runs[:, 3].max(initial=0)) + 1
    keys, passes = _touching(runs, labels, height, count)
    if not len(keys):
        return np.empty((0, 2), np.int64), passes
    order = np.argsort(keys, kind="stable")
    keys, first = np.unique(keys[order], return_index=True)
    saddle = np.maximum.reduceat(passes[order], first)
    order = np.argsort(-saddle, kind="stable")
    return np.stack(np.divmod(keys[order], count), axis=1), saddle[order]


def _fill_holes(mask: NDArray[Any]) -> NDArray[np.uint8]:
    """Return the mask with each dark patch filled that does not reach the frame's border."""
    filled = mask.astype(np.uint8)
    dark = runs_of(filled ^ 1)
    outside = np.zeros(components(dark) + 1, np.bool_)
    rows, columns = mask.shape
    y, start, stop, patch = dark.T
    outside[patch[(y == 0) | (y == rows - 1) | (start == 0) | (stop == columns)]] = True
    holes = dark[~outside[patch]]
    holes[:, 3] = 1
    paint(holes, filled)
    return filled


@kernel
def _levels(height: Any, scale: float) -> Any:  # pragma: no cover - compiled
    """Return 255 where the scaled height is 0, and 0 where it is 1, finest near 1."""
    levels = np.empty(height.shape, np.uint8)
    for y in range(height.shape[0]):
        for x in range(height.shape[1]):
            levels[y, x] = np.int32(
                np.float32(255) * (1 - np.sqrt(max(height[y, x] * np.float32(scale), np.float32(0))))
            )
    return levels


@kernel
def _maxima(height: Any, mask: Any, around: Any) -> Any:  # pragma: no cover - compiled
    """Return 1..N in the pixels of a mask that nothing around them is higher than, 0 elsewhere.

    Around them are at least the four neighbours: few pixels are as high as these, which is seen of many at once.
    """
    rows, columns = height.shape
    found = np.zeros(height.shape, np.int32)
    count = np.int32(0)
    likely = np.zeros(columns + 8, np.uint8)
    eights = likely[: len(likely) // 8 * 8].view(np.uint64)
    for y in range(rows):
        if not _any(mask[y]):
            continue
        _mark_likely(height[y], height[max(y - 1, 0)], height[min(y + 1, rows - 1)], mask[y], likely)
        for k in range(len(eights)):
            if not eights[k]:
                continue
            for x in range(8 * k, min(8 * k + 8, columns)):
                if likely[x] and _is_highest(height, y, x, around):
                    count += np.int32(1)
                    found[y, x] = count
    return found


@kernel
def _any(mask: Any) -> bool:  # pragma: no cover - compiled
    found = False
    for marked in mask:
        found |= marked
    return found


@kernel
def _mark_likely(row: Any, above: Any, below: Any, mask: Any, likely: Any) -> None:  # pragma: no cover - compiled
    """Mark the pixels of a row that are above 0, in the mask, and no lower than the pixels above, below and beside."""
    last = len(row) - 1
    for x in range(len(row)):
        likely[x] = np.uint8((row[x] > 0) & (row[x] >= above[x]) & (row[x] >= below[x]) & mask[x])
    left, right, to_left, to_right = row[:-1], row[1:], likely[:last], likely[1 : last + 1]
    for x in range(last):
        to_left[x] &= np.uint8(left[x] >= right[x])
    for x in range(last):
        to_right[x] &= np.uint8(right[x] >= left[x])


@kernel
def _is_highest(height: Any, y: int, x: int, around: Any) -> bool:  # pragma: no cover - compiled
    rows, columns = height.shape
    here = height[y, x]
    for dy, dx in around:
        if 0 <= y + dy < rows and 0 <= x + dx < columns and height[y + dy, x + dx] > here:
            return False
    return True


@kernel
def _touching(runs: Any, labels: Any, height: Any, count: int) -> Any:  # pragma: no cover - compiled
    """Return lesser label * count + greater label, and the lower height, of each two neighbours of two labels."""
    rows, columns = labels.shape
    keys, passes = [np.int64(0) for _ in range(0)], [np.float32(0) for _ in range(0)]
    for y, start, stop, a in runs:
        for x in range(start, stop):
            for dy, dx in ((0, 1), (1, -1), (1, 0), (1, 1)):
                if y + dy < rows and 0 <= x + dx < columns:
                    b = labels[y + dy, x + dx]
                    if b > 0 and b != a:
                        keys.append(np.int64(min(a, b)) * count + max(a, b))
                        passes.append(min(height[y, x], height[y + dy, x + dx]))
    return np.array(keys), np.array(passes)


def warm() -> None:
    """Compile the kernels into their cache."""
    labels = np.eye(2, dtype=np.int32)
    height = np.ones((2, 2), np.float32)
    _borders(runs_of(labels), labels, height)
    _levels(height, 1.0)
    _maxima(height, labels > 0, np.zeros((1, 2), np.int64))
