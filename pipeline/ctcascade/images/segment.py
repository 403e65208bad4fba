"""One frame of pixels to a label image of nuclei and one of cells.

Background and noise are taken off each channel; nuclei are what rises above half of their own brightness in the DNA
channel, split where a waist says that two touch; cells are grown around them over what cytokeratin and CD45 show.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ctcascade.formats import Frame
from ctcascade.images import learned
from ctcascade.images.labels import (
    Floats,
    Labels,
    Runs,
    components,
    flood,
    kernel,
    means,
    nearest,
    paint,
    painted,
    rings,
    runs_of,
    tops,
)

_TILE_UM = 32.0  # background is followed at this scale: wider than a cell, narrower than vignetting
_SAMPLES = 16  # pixels that are looked at along each side of a tile: its background is known to a tenth of the noise
_ENOUGH = 50_000  # pixels to learn the noise from, to about half a per cent
_QUANTILE = 0.25  # of a tile's pixels: background as long as cells cover less than about two thirds of it
_SMOOTH_UM = 0.5  # evens out noise between neighbouring pixels; half of a blurred edge lies where it did
_DETECT = 5.0  # standard deviations of the noise above which a pixel is signal: less than one a frame by chance
_HALF = 0.5  # share of its own brightness at which an object ends: half, where a blurred edge lies
_GLOW = 0.04  # of the brightest nuclei: what is fainter is their glow; assumes no nucleus 25 times darker than others
_OBJECT_UM = 1.6  # smoothing at which the grain of chromatin is gone and a nucleus is one hill
_REST_UM = float(np.sqrt(_OBJECT_UM**2 - _SMOOTH_UM**2))  # what that takes beyond the first smoothing
_COARSE_UM = 1.3  # the largest pixel that still shows hills of that smoothing
_APART_UM = 2.0  # nearer maxima are one: about half of the smallest nucleus
_WAIST = 0.87  # of the lesser radius: two equal discs are two from one radius between their centres on
_WAIST_OF_LARGE = 0.96  # the same of what is larger than two leukocytes' nuclei, and not convex
_CONVEX = 0.9  # of its convex hull that one nucleus fills
_VALLEY = 0.7  # as _WAIST, of the depth that the network sees
_SURE = 0.45  # what the network takes for a nucleus is at least this deep
_CONTENT = 0.12  # of the usual nucleus's DNA: what holds less is glow, a fragment or noise
_EDGE_UM = 1.5  # width of a nucleus's surroundings: beyond the blur of its edge, short of the next nucleus
_RIM_UM = 2.0  # cytoplasm that every nucleated cell is given, as markers do not show all of it; an assumption
_BARE_UM2 = 6.0  # smaller cytokeratin specks without nucleus, below 2.8 um across, are noise


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
    across = cv2.resize(grid, (plane.shape[1], counts[0]), interpolation=cv2.INTER_LINEAR)
    step = max(1, int(np.sqrt(plane.size / _ENOUGH)))
    centre, noise = _centre_and_noise(np.sort(_less(plane, across, step, 0.0)[:, ::step], axis=None))
    signal = _less(plane, across, 1, centre)
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
        noise = 1.4826 * float(_usual_distance(kept))
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
        ``segmenter`` (classical, learned), ``nucleus_diameter_um`` (smallest, largest), ``lobed_nucleus_um2``,
        ``cell_margin_um``.

    Notes
    -----
    Nuclei, classical: two touching ones are cut where the distance to their common edge, a little less where the light
    dips, falls below 0.87 of the lesser one's radius; also below 0.96 where both are together larger than two lobed
    granulocyte nuclei and fill less than 0.9 of their convex hull. Learned: where the depth that the network sees falls
    below 0.7 of the lesser one's. Neither cuts what is together no larger than one lobed granulocyte nucleus; what
    holds less than 0.12 of the DNA of the frame's median nucleus is none. Cells: the nucleus and a rim, and what
    cytokeratin or CD45 shows connected to it as far as the margin. Cytokeratin without a nucleus is an object too, so
    that dye aggregates and debris are seen and counted as what they are.
    """
    px = frame.pixel_size_um
    find = {"classical": nuclei, "learned": learned_nuclei}[settings["segmenter"]]
    found = find(channels["dna"], px, settings["nucleus_diameter_um"], settings["lobed_nucleus_um2"])
    markers = [
        (_blur(channels[role].signal, _SMOOTH_UM / px), _DETECT * channels[role].noise) for role in ("ck", "cd45")
    ]
    cells = _cells(found, markers, px, settings["cell_margin_um"])
    _add_bare(cells, *markers[0], px)
    return Segmentation(found, cells)


def warm() -> None:
    """Compile the kernels into their cache."""
    labels = np.eye(2, dtype=np.int32)
    height = np.ones((2, 2), np.float32)
    _less(height, height, 1, 0.0)
    _usual_distance(height[0])
    _borders(runs_of(labels), labels, height)
    _cells(labels, [(height, 0.5)] * 2, 1.0, 1.0)
    _levels(height, 1.0)
    _maxima(height, labels > 0, np.zeros((1, 2), np.int64))
    _outside(height, 1.0, labels)
    _beside(runs_of(labels), labels, 2)


def nuclei(dna: Channel, pixel_size_um: float, diameter_um: Sequence[float], lobed_um2: float) -> Labels:
    """Return the nuclei of a frame by the shape of what is bright, numbered 1..N.

    Parameters
    ----------
    dna : Channel
    pixel_size_um : float
    diameter_um : (float, float)
        Of a disc as large as the smallest and as the largest nucleus.
    lobed_um2 : float
        Area of the largest nucleus of several lobes, gaps included: what is no larger together is not cut.
    """
    px = pixel_size_um
    smooth = _blur(dna.signal, _SMOOTH_UM / px)
    sample = _sorted_sample(smooth)
    _, noise = _centre_and_noise(sample)
    lit = smooth > max(_DETECT * max(noise, 0.3), _GLOW * float(sample[int(0.998 * len(sample))]))
    floor, share = _hills(smooth, lit, px)
    solid = _fill_holes((smooth > floor) & lit)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))
    solid = cv2.morphologyEx(solid, cv2.MORPH_OPEN, kernel).astype(np.uint8, copy=False)
    depth = cv2.distanceTransform(solid, cv2.DIST_L2, 5).astype(np.float32, copy=False)
    depth_um = _blur(depth, 0.5 / px) * (share * np.float32(px))
    runs, area = _merged(
        _split(depth_um, solid > 0, _APART_UM * 0.75 / px), depth_um, _WAIST, _WAIST_OF_LARGE, lobed_um2 / px**2
    )
    return _plausible(runs, area, dna, px, diameter_um)


def learned_nuclei(dna: Channel, pixel_size_um: float, diameter_um: Sequence[float], lobed_um2: float) -> Labels:
    """Return the nuclei of a frame as a trained network sees them; parameters and result as those of `nuclei`."""
    px = pixel_size_um
    inside, depth = learned.outlines(dna.signal, dna.noise, px)
    runs, area = _merged(_split(depth, inside, _APART_UM * 0.75 / px), depth, _VALLEY, _VALLEY, lobed_um2 / px**2)
    _, deepest = tops(runs, depth, len(area))
    return _plausible(runs, np.where(deepest >= _SURE, area, 0), dna, px, diameter_um)


def _plausible(runs: Runs, area: NDArray[np.float64], dna: Channel, px: float, diameter_um: Sequence[float]) -> Labels:
    """Return the nuclei that are neither too small nor too large and hold a fair share of the usual nucleus's DNA."""
    smallest, largest = (np.pi / 4 * d**2 / px**2 for d in diameter_um)
    runs = _kept(runs, (area >= smallest) & (area <= largest))
    return np.asarray(painted(_kept(runs, _holds_dna(runs, dna.signal, px)), dna.signal.shape))


def _hills(smooth: Floats, lit: NDArray[np.bool_], px: float) -> tuple[Floats, Floats]:
    """Return, for each pixel, half of the peak of the hill that it lies on, and how far up that hill it is (0 to 1).

    A hill is wide beside the pixels: it is looked for in a smaller image.
    """
    shrunk = max(1, int(_COARSE_UM / px))
    size = (-(-smooth.shape[1] // shrunk), -(-smooth.shape[0] // shrunk))
    small = cv2.resize(smooth, size, interpolation=cv2.INTER_AREA).astype(np.float32, copy=False)
    coarse = _blur(small, _REST_UM / (px * shrunk))
    mask = cv2.resize(lit.astype(np.uint8) * np.uint8(255), size, interpolation=cv2.INTER_AREA) > 0
    hills = _split(coarse, mask, _APART_UM / (px * shrunk))
    _, peaks = tops(runs_of(hills), coarse, int(hills.max()) + 1)
    peak = peaks[hills]
    share = np.sqrt(np.sqrt(np.clip(coarse / np.maximum(peak, 1e-6), 0, 1) * (hills > 0)))
    whole = smooth.shape[::-1]
    return (
        cv2.resize(_HALF * peak, whole, interpolation=cv2.INTER_NEAREST),
        cv2.resize(share, whole, interpolation=cv2.INTER_LINEAR),
    )


def _holds_dna(runs: Runs, signal: Floats, px: float) -> NDArray[np.bool_]:
    """Return, by number, which nuclei hold a fair share of the usual nucleus's DNA above what surrounds them."""
    count = int(runs[:, 3].max(initial=0)) + 1
    area, inside = means(runs, signal, count)
    _, around = means(rings(painted(runs, signal.shape), _EDGE_UM / px), signal, count)
    contrast = np.clip(1 - around / np.maximum(inside, 1e-6), 0, 0.7)  # of blurred nuclei too: the ring is not dark
    content = area * inside * contrast
    return content >= _CONTENT * np.sort(content[1:])[(count - 2) // 2] if count > 1 else np.zeros(1, np.bool_)


def _split(height: Floats, mask: NDArray[np.bool_], apart_px: float) -> Labels:
    """Return the regions of a mask around the maxima of a height; each pixel of a level top has its own."""
    reach = 2 * max(1, round(apart_px)) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    around = np.argwhere(disc) - reach // 2
    around = around[np.argsort((around**2).sum(axis=1), kind="stable")[1:]]  # most pixels are none for a near one
    markers = _maxima(height, mask, around)
    return np.asarray(flood(_levels(height, 1 / max(float(height.max()), 1e-6)), markers, mask))


def _merged(
    parts: Labels, depth: Floats, waist: float, waist_of_large: float, lobed_px: float
) -> tuple[Runs, NDArray[np.float64]]:
    """Return the parts, those joined that no waist divides or that are lobes of one small nucleus, and their pixels."""
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
        if share >= waist_of_large or together <= 2 * lobed_px or _filled(both) >= _CONVEX:
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


def _cells(nuclei: Labels, markers: Sequence[tuple[Floats, float]], px: float, margin_um: float) -> Labels:
    """Return cells around nuclei: a rim, and beyond it what a marker shows above half of that cell's own brightness.

    A cell reaches as far beyond its nucleus as the margin or the nucleus's own radius, whichever is more.
    """
    if not nuclei.any():
        return nuclei.copy()
    runs = runs_of(nuclei)
    area = np.bincount(runs[:, 3], runs[:, 2] - runs[:, 1])
    reach = np.maximum(margin_um / px, np.sqrt(area / np.pi))  # large cells have more cytoplasm
    squared, zone = nearest(nuclei, reach[1:].max())
    rim = (_RIM_UM / px) ** 2
    (ck, ck_least), (cd45, cd45_least) = markers
    ck_top, cd45_top = _tops_in_rim(zone, squared, rim, ck, cd45, len(area))
    ck_floor, cd45_floor = np.maximum(_HALF * ck_top, ck_least), np.maximum(_HALF * cd45_top, cd45_least)
    reach = np.maximum(reach**2, rim)
    body, levels = _body(zone, squared, rim, reach, ck, ck_floor, cd45, cd45_floor, 8 * px)
    return np.asarray(flood(levels, nuclei, body))


def _add_bare(cells: Labels, smooth: Floats, detectable: float, px: float) -> None:
    """Add objects without nucleus that show more cytokeratin than most cells do, numbered after the cells."""
    n_cells = int(cells.max())
    _, brightest = tops(runs_of(cells), smooth, n_cells + 1)
    usual = float(np.quantile(brightest[1:], 0.75)) if n_cells else 0.0
    runs = runs_of(_outside(smooth, max(2 * detectable, usual), cells))
    count = components(runs) + 1
    area, _ = tops(runs, smooth, count)
    cut_off = _beside(runs, cells, count)  # the rest of a cell that its margin ended
    runs = _kept(runs, (area * px**2 >= _BARE_UM2) & ~cut_off)
    runs[:, 3] += n_cells
    paint(runs, cells)


def _blur(image: Floats, sigma: float) -> Floats:
    blurred = cv2.GaussianBlur(image, (0, 0), max(sigma, 0.3), borderType=cv2.BORDER_REFLECT_101)
    return blurred.astype(np.float32, copy=False)


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


def _kept(runs: Runs, wanted: NDArray[np.bool_]) -> Runs:
    """Return the runs of the wanted labels alone, numbered 1..N in the order of the old."""
    number = np.cumsum(wanted & (np.arange(len(wanted)) > 0), dtype=np.int32)
    runs = runs[wanted[runs[:, 3]]]
    runs[:, 3] = number[runs[:, 3]]
    return runs


@kernel
def _usual_distance(values: Any) -> Any:  # pragma: no cover - compiled
    """Return the upper median distance of sorted values from their upper median: from there on, the lesser of two."""
    up = len(values) // 2
    down = up - 1
    centre = values[up]
    distance = np.float32(0)
    for _ in range(len(values) // 2 + 1):
        if down < 0 or (up < len(values) and values[up] - centre < centre - values[down]):
            distance = values[up] - centre
            up += 1
        else:
            distance = centre - values[down]
            down -= 1
    return distance


@kernel
def _less(plane: Any, across: Any, every: int, centre: float) -> Any:  # pragma: no cover - compiled
    """Return every n-th row of a plane minus a constant and a background that is known in evenly spaced rows."""
    rows, columns = plane.shape
    signal = np.empty((-(-rows // every), columns), np.float32)
    constant = np.float32(centre)
    for i in range(len(signal)):
        place = (i * every + 0.5) * len(across) / rows - 0.5
        upper = int(np.floor(place))
        share = np.float32(place - upper)
        rest = np.float32(1) - share
        row, here = plane[i * every], signal[i]
        a, b = across[max(upper, 0)], across[min(upper + 1, len(across) - 1)]
        for x in range(columns):
            here[x] = np.float32(row[x]) - (a[x] * rest + b[x] * share) - constant
    return signal


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
    """Return 1..N in the pixels of a mask that nothing around them is higher than, 0 elsewhere."""
    rows, columns = height.shape
    found = np.zeros(height.shape, np.int32)
    count = np.int32(0)
    for y in range(rows):
        for x in range(columns):
            here = height[y, x]
            if not mask[y, x] or here <= 0:
                continue
            highest = True
            for dy, dx in around:
                if 0 <= y + dy < rows and 0 <= x + dx < columns and height[y + dy, x + dx] > here:
                    highest = False
                    break
            if highest:
                count += np.int32(1)
                found[y, x] = count
    return found


@kernel
def _tops_in_rim(
    zone: Any, squared: Any, rim: float, ck: Any, cd45: Any, count: int
) -> Any:  # pragma: no cover - compiled
    """Return the greatest value (at least 0) of each marker by the label of the zone, in it and its rim."""
    ck_top, cd45_top = np.zeros(count, np.float32), np.zeros(count, np.float32)
    for y in range(zone.shape[0]):
        before, one, other = np.int32(0), np.float32(0), np.float32(0)
        for x in range(zone.shape[1]):
            k = zone[y, x]
            if k > 0 and squared[y, x] <= rim:
                if k != before:  # neighbours are mostly of one zone
                    ck_top[before], cd45_top[before] = max(ck_top[before], one), max(cd45_top[before], other)
                    before, one, other = k, np.float32(0), np.float32(0)
                one, other = max(one, ck[y, x]), max(other, cd45[y, x])
        ck_top[before], cd45_top[before] = max(ck_top[before], one), max(cd45_top[before], other)
    return ck_top, cd45_top


@kernel
def _outside(smooth: Any, above: float, cells: Any) -> Any:  # pragma: no cover - compiled
    """Return 1 where the light is above a limit and no cell is, 0 elsewhere."""
    lit = np.empty(cells.shape, np.uint8)
    limit = np.float32(above)
    for y in range(cells.shape[0]):
        for x in range(cells.shape[1]):
            lit[y, x] = (smooth[y, x] > limit) & (cells[y, x] == 0)
    return lit


@kernel
def _beside(runs: Any, cells: Any, count: int) -> Any:  # pragma: no cover - compiled
    """Return, by number, which of the runs' objects touch a cell, at a corner too."""
    touch = np.zeros(count, np.bool_)
    rows, columns = cells.shape
    for y, start, stop, k in runs:
        for near in range(max(y - 1, 0), min(y + 2, rows)):
            for x in range(max(start - 1, 0), min(stop + 1, columns)):
                touch[k] |= cells[near, x] > 0
    return touch


@kernel
def _body(
    zone: Any, squared: Any, rim: float, reach: Any, ck: Any, ck_floor: Any, cd45: Any, cd45_floor: Any, steps: float
) -> Any:  # pragma: no cover - compiled
    """Return where cells are, and how far from a nucleus that is, in `steps` a pixel up to 255.

    That is in the rim, and as far as the zone's object reaches where a marker is above that object's floor; all
    distances are squared.
    """
    body, levels = np.zeros(zone.shape, np.bool_), np.empty(zone.shape, np.uint8)
    level_at = np.minimum(np.sqrt(np.arange(int(reach.max()) + 1)) * steps, 255).astype(np.uint8)
    for y in range(zone.shape[0]):
        for x in range(zone.shape[1]):
            k = zone[y, x]
            if k > 0 and squared[y, x] <= reach[k]:
                shown = ck[y, x] > ck_floor[k] or cd45[y, x] > cd45_floor[k]
                body[y, x] = shown or squared[y, x] <= rim
                levels[y, x] = level_at[squared[y, x]]
    return body, levels


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
