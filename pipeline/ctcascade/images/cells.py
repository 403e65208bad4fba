"""Cells of a frame: grown around nuclei over what cytokeratin and CD45 show, and cytokeratin without a nucleus."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ctcascade.images.background import Channel, blur
from ctcascade.images.distances import nearest
from ctcascade.images.labels import Floats, Labels, components, kept, kernel, paint, runs_of, tops
from ctcascade.images.watershed import flood
from ctcascade.study.detection_settings import CellsSettings, DetectSettings


def cells_around(
    nuclei: Labels, channels: Mapping[str, Channel], pixel_size_um: float, settings: DetectSettings
) -> Labels:
    """Return cells around nuclei, and objects of cytokeratin without a nucleus, numbered after them.

    Parameters
    ----------
    nuclei : ndarray of int32, shape (Y, X)
    channels : mapping of str to Channel
        By role, with cytokeratin and CD45.
    pixel_size_um : float
    settings : DetectSettings
        `cell_margin_um`, and `cells`: how they are grown.
    """
    px, of = pixel_size_um, settings.cells
    markers = [
        (blur(channels[role].signal, of.smooth_um / px), of.min_snr * channels[role].noise) for role in ("ck", "cd45")
    ]
    cells = _cells(nuclei, markers, px, settings.cell_margin_um, of)
    _add_bare(cells, *markers[0], px, of)
    return cells


def _cells(
    nuclei: Labels, markers: Sequence[tuple[Floats, float]], px: float, margin_um: float, of: CellsSettings
) -> Labels:
    """Return cells around nuclei: a rim, and beyond it what a marker shows above half of that cell's own brightness.

    A cell reaches as far beyond its nucleus as the margin or the nucleus's own radius, whichever is more.
    """
    if not nuclei.any():
        return nuclei.copy()
    runs = runs_of(nuclei)
    area = np.bincount(runs[:, 3], runs[:, 2] - runs[:, 1])
    reach = np.maximum(margin_um / px, np.sqrt(area / np.pi))  # large cells have more cytoplasm
    squared, zone = nearest(nuclei, reach[1:].max())
    rim = (of.rim_um / px) ** 2
    (ck, ck_least), (cd45, cd45_least) = markers
    zones = runs_of(zone)
    ck_top, cd45_top = _tops_in_rim(zones, squared, rim, ck, cd45, len(area))
    ck_floor, cd45_floor = (
        np.maximum(of.edge_share * ck_top, ck_least),
        np.maximum(of.edge_share * cd45_top, cd45_least),
    )
    reach = np.maximum(reach**2, rim)
    body, levels = _body(zones, squared, rim, reach, ck, ck_floor, cd45, cd45_floor, 8 * px)
    return np.asarray(flood(levels, nuclei, body))


def _add_bare(cells: Labels, smooth: Floats, detectable: float, px: float, of: CellsSettings) -> None:
    """Add objects without nucleus that show more cytokeratin than most cells do, numbered after the cells."""
    n_cells = int(cells.max())
    _, brightest = tops(runs_of(cells), smooth, n_cells + 1)
    usual = float(np.quantile(brightest[1:], 0.75)) if n_cells else 0.0
    runs = runs_of(_outside(smooth, max(2 * detectable, usual), cells))
    count = components(runs) + 1
    area, _ = tops(runs, smooth, count)
    cut_off = _beside(runs, cells, count)  # the rest of a cell that its margin ended
    runs = kept(runs, (area * px**2 >= of.min_bare_um2) & ~cut_off)
    runs[:, 3] += n_cells
    paint(runs, cells)


@kernel
def _tops_in_rim(
    zones: Any, squared: Any, rim: float, ck: Any, cd45: Any, count: int
) -> Any:  # pragma: no cover - compiled
    """Return the greatest value (at least 0) of each marker by the label of the zone, in it and its rim.

    Floats are compared by their bits, as integers: among those of 0 and more the greater has the greater, and negative
    ones have a negative; of integers many are compared at once.
    """
    tops = np.zeros((2, count), np.int32)
    ck, cd45, within = ck.view(np.int32), cd45.view(np.int32), np.int32(rim)
    for y, start, stop, k in zones:
        one, other = tops[0, k], tops[1, k]
        away, in_ck, in_cd45 = squared[y, start:stop], ck[y, start:stop], cd45[y, start:stop]
        for x in range(len(away)):
            inside = away[x] <= within
            one = max(one, in_ck[x] if inside else np.int32(0))
            other = max(other, in_cd45[x] if inside else np.int32(0))
        tops[0, k], tops[1, k] = one, other
    return tops[0].view(np.float32), tops[1].view(np.float32)


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
    zones: Any, squared: Any, rim: float, reach: Any, ck: Any, ck_floor: Any, cd45: Any, cd45_floor: Any, steps: float
) -> Any:  # pragma: no cover - compiled
    """Return where cells are, and there how far from a nucleus that is, in `steps` a pixel up to 255.

    That is in the rim, and as far as the zone's object reaches where a marker is above that object's floor; all
    distances are squared.
    """
    body, levels = np.zeros(squared.shape, np.bool_), np.empty(squared.shape, np.uint8)
    level_at = np.minimum(np.sqrt(np.arange(int(reach.max()) + 1)) * steps, 255).astype(np.uint8)
    within, last = np.int32(rim), np.int32(len(level_at) - 1)
    for y, start, stop, k in zones:
        away, in_ck, in_cd45 = squared[y, start:stop], ck[y, start:stop], cd45[y, start:stop]
        shown, level = body[y, start:stop], levels[y, start:stop]
        furthest, ck_least, cd45_least = np.int32(reach[k]), ck_floor[k], cd45_floor[k]
        for x in range(len(away)):
            lit = (in_ck[x] > ck_least) | (in_cd45[x] > cd45_least)
            shown[x] = (away[x] <= furthest) & (lit | (away[x] <= within))
        for x in range(len(away)):
            level[x] = level_at[min(away[x], last)]
    return body, levels


def warm() -> None:
    """Compile the kernels into their cache."""
    labels = np.eye(2, dtype=np.int32)
    height = np.ones((2, 2), np.float32)
    _cells(labels, [(height, 0.5)] * 2, 1.0, 1.0, CellsSettings())
    _outside(height, 1.0, labels)
    _beside(runs_of(labels), labels, 2)
