"""A second generator of blood frames, built differently from `validation.phantom` in every part, as an outside check.

Cells are drawn on a grid twice as fine and summed into the camera's pixels; the point spread is Moffat's, with wide
wings; nuclei are heaps of chromatin grains in ellipses, cytokeratin is a web that thins outwards, CD45 a membrane with
granules; the background is blotched and tilted, the noise has hot pixels and stripes. There are monocytes with bent
nuclei, leukocytes that took up cytokeratin in one spot or all over, doublets and platelets' litter. Nothing of the
package is tuned to it.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import pandas as pd
import tifffile

from ctcascade.validation.phantom import CTC_KINDS

FINE = 2
NAMES = ("CD45-APC", "DAPI", "FITC", "CK-PE")
ROLES = ("cd45", "dna", "fitc", "ck")


@dataclass(frozen=True)
class Blood:
    """What is on a slide and how it is imaged; counts a frame, shares, micrometres, camera counts."""

    frames: int = 2
    shape: tuple[int, int] = (700, 900)
    pixel_size_um: float = 0.75
    leukocytes: int = 250
    ctcs: int = 12
    clusters: tuple[tuple[int, int], ...] = ()  # CTCs and leukocytes of each, on the whole slide
    ctc_um: float = 11.0
    ck: float = 500.0
    weak_ck: float = 0.1
    uptake: float = 0.03
    weak_cd45: float = 0.05
    moffat_um: float = 0.6
    noise: float = 7.0
    litter: int = 25


def write_slide(folder, blood, seed):
    """Write OME-TIFF frames; return their truth, with the columns of `ctcascade.validation.phantom.write_slide`."""
    rng = np.random.default_rng([seed, 77])
    groups = [(1, 0)] * blood.ctcs + list(blood.clusters)
    home = rng.integers(0, blood.frames, len(groups))
    folder.mkdir(parents=True, exist_ok=True)
    truth = []
    for number in range(blood.frames):
        pixels, rows = render(blood, [g for g, h in zip(groups, home, strict=True) if h == number], rng)
        size = {"PhysicalSizeX": blood.pixel_size_um, "PhysicalSizeY": blood.pixel_size_um}
        units = {"PhysicalSizeXUnit": "µm", "PhysicalSizeYUnit": "µm", "SignificantBits": 12}
        metadata = {"axes": "CYX", "Channel": {"Name": list(NAMES)}, **size, **units}
        tifffile.imwrite(folder / f"b{number}.ome.tif", pixels, photometric="minisblack", metadata=metadata)
        truth.append(rows.assign(frame=f"b{number}"))
    return pd.concat(truth, ignore_index=True)


def render(blood, groups, rng):
    """Return the pixels of one frame, shape (4, Y, X) in the order of `ROLES`, and its truth."""
    cells = _crowd(blood, groups, rng)
    pixels = _exposed(_painted(blood, cells, rng), blood, rng)
    rows = pd.DataFrame([c["row"] for c in cells])
    return pixels, rows.assign(y_px=rows["y_um"] / blood.pixel_size_um, x_px=rows["x_um"] / blood.pixel_size_um)


def _crowd(blood, groups, rng):
    """Return the cells of a frame; leukocytes may touch each other, but only the CTC of their own group."""
    height, width = (n * blood.pixel_size_um for n in blood.shape)
    cells, spots = [], np.empty((0, 3))

    def settle(y, x, radius, squeeze):
        return bool((np.hypot(spots[:, 0] - y, spots[:, 1] - x) >= squeeze * (spots[:, 2] + radius)).all())

    for number, (n_ctc, n_leukocyte) in enumerate(groups, start=1):
        members = [_ctc(blood, rng) for _ in range(n_ctc)] + [_leukocyte(blood, rng) for _ in range(n_leukocyte)]
        for _ in range(500):
            placed = _heap(members, rng.uniform(30, height - 30), rng.uniform(30, width - 30), rng)
            if all(settle(y, x, r + 2, 1.0) for y, x, r in placed):
                break
        else:
            raise ValueError("no room")
        for member, (y, x, _) in zip(members, placed, strict=True):
            cells.append(_row(member, y, x, number if len(members) > 1 else 0, height, width))
        spots = np.vstack([spots, [(y, x, r + 1.5) for y, x, r in placed]])
    for _ in range(rng.poisson(blood.leukocytes)):
        cell = _leukocyte(blood, rng)
        for _ in range(25):
            y, x = rng.uniform(0, height), rng.uniform(0, width)
            if settle(y, x, cell["long"] / 2, 0.97):
                cells.append(_row(cell, y, x, 0, height, width))
                spots = np.vstack([spots, [(y, x, cell["long"] / 2)]])
                break
    return cells


def _heap(members, y, x, rng):
    """Return (y, x, radius) of members pressed together round the first."""
    placed = [(y, x, members[0]["long"] / 2)]
    for member in members[1:]:
        radius = member["long"] / 2
        for _ in range(300):
            y0, x0, r0 = placed[rng.integers(len(placed))]
            turn = rng.uniform(0, 2 * np.pi)
            spot = (y0 + 0.9 * (r0 + radius) * np.cos(turn), x0 + 0.9 * (r0 + radius) * np.sin(turn), radius)
            if all(np.hypot(spot[0] - b, spot[1] - c) > 0.85 * (r + radius) for b, c, r in placed):
                break
        placed.append(spot)
    return placed


def _row(cell, y, x, cluster, height, width):
    r = cell["long"] / 2
    whole = r < y < height - r and r < x < width - r
    row = {"y_um": y, "x_um": x, "kind": cell["kind"], "cluster": cluster, "diameter_um": cell["long"]}
    return {**cell, "row": {**row, "ck_contrast": cell["ck"] / 4095, "whole": whole}}


def _ctc(blood, rng):
    weak = rng.random() < blood.weak_ck
    size = float(np.clip(rng.gamma(25, blood.ctc_um / 25), 6, 30))
    ck = blood.ck * rng.gamma(4, 0.25) * (0.3 if weak else 1)
    share = rng.uniform(0.55, 0.8)
    return {
        "kind": CTC_KINDS[weak],
        "long": size,
        "flat": rng.uniform(0.75, 1),
        "nuclei": [(0.1 * size * rng.normal(), 0.1 * size * rng.normal(), share * size, rng.uniform(0.7, 1))],
        **{"dna": 800 * rng.gamma(16, 1 / 16), "ck": ck, "cd45": 8.0, "fitc": 30.0, "spot": False},
    }


def _leukocyte(blood, rng):
    which = rng.random()
    if which < 0.3:
        size, nuclei = rng.normal(8.5, 0.5), [(0.0, 0.0, 6.8, 0.92)]
    elif which < 0.9:
        size, turn, count = rng.normal(11.5, 0.7), rng.uniform(0, 6.3), rng.integers(2, 5)
        nuclei = [(2.1 * np.cos(turn + 1.7 * k), 2.1 * np.sin(turn + 1.7 * k), 4.2, 0.8) for k in range(count)]
    else:
        size, turn = rng.normal(14, 0.8), rng.uniform(0, 6.3)
        nuclei = [(2.6 * np.cos(turn + 0.6 * k), 2.6 * np.sin(turn + 0.6 * k), 6.0, 0.9) for k in range(4)]
    kind, ck, cd45 = "leukocyte", 20 * rng.gamma(4, 0.25), 350 * rng.gamma(5, 0.2)
    spot = rng.random() < 0.5
    draw = rng.random()
    if draw < blood.uptake:
        kind, ck = "leukocyte_ck", 350 * rng.gamma(4, 0.25)
    elif draw < blood.uptake + blood.weak_cd45:
        kind, cd45 = "leukocyte_weak_cd45", 90 * rng.gamma(9, 1 / 9)
    light = {"dna": 900 * rng.gamma(16, 1 / 16), "ck": ck, "cd45": cd45, "fitc": 60 * rng.gamma(2, 0.5)}
    return {"kind": kind, "long": size, "flat": rng.uniform(0.85, 1), "nuclei": nuclei, "spot": spot, **light}


def _painted(blood, cells, rng):
    """Return the light of each channel on the fine grid."""
    fine = blood.pixel_size_um / FINE
    light = dict(zip(ROLES, np.zeros((4, blood.shape[0] * FINE, blood.shape[1] * FINE), np.float32), strict=True))
    for cell in cells:
        reach = int(0.75 * cell["long"] / fine) + 3
        cy, cx = int(cell["row"]["y_um"] / fine), int(cell["row"]["x_um"] / fine)
        dy, dx = (cell["row"][f"{k}_um"] / fine - c for k, c in (("y", cy), ("x", cx)))
        y, x = (np.mgrid[-reach : reach + 1, -reach : reach + 1] - np.array([dy, dx])[:, None, None]) * fine
        turn = rng.uniform(0, np.pi)
        depth = _ellipse(y, x, 0, 0, cell["long"], cell["flat"], turn)
        for role, part in _parts(cell, y, x, depth, fine, turn, rng).items():
            _paste(light[role], part.astype(np.float32), cy - reach, cx - reach)
    for _ in range(rng.poisson(blood.litter)):
        role = rng.choice(ROLES)
        y, x = rng.integers(0, light[role].shape[0]), rng.integers(0, light[role].shape[1])
        axes = (int(rng.integers(1, 6)), int(rng.integers(1, 4)))
        patch = np.zeros((17, 17), np.float32)
        cv2.ellipse(patch, (8, 8), axes, float(rng.uniform(0, 180)), 0, 360, float(rng.gamma(2, 400)), -1)
        _paste(light[role], patch, y - 8, x - 8)
    return light


def _parts(cell, y, x, depth, fine, turn, rng):
    """Return the cell's light by role; `depth` is 0 at the outline and 1 in the middle."""
    body = np.clip(depth * cell["long"] / 1.2, 0, 1)
    nuclei = [_ellipse(y, x, a, b, size, flat, turn) * size / 1.2 for a, b, size, flat in cell["nuclei"]]
    nucleus = np.clip(np.max(nuclei, axis=0), 0, 1)
    grains = cv2.GaussianBlur((rng.random(y.shape) < 0.06).astype(np.float32), (0, 0), 0.5 / fine)
    web = np.abs(cv2.GaussianBlur(rng.normal(size=y.shape), (0, 0), 0.7 / fine))
    granules = cv2.GaussianBlur((rng.random(y.shape) < 0.03).astype(np.float32), (0, 0), 0.35 / fine)
    parts = {"dna": cell["dna"] * nucleus * (0.6 + 0.4 * grains / grains.mean()).clip(0, 2)}
    if cell["kind"] == "leukocyte_ck" and cell["spot"]:
        place = rng.normal(0, 0.2 * cell["long"], 2)
        ck = np.exp(-((y - place[0]) ** 2 + (x - place[1]) ** 2) / 4.0)
    else:
        ck = body * (1 - 0.6 * nucleus) * (0.35 + 0.65 * np.clip(1 - depth, 0, 1)) * (0.6 + 0.5 * web / web.mean())
    membrane = body * np.exp(-depth * cell["long"] / 3)
    parts["ck"] = cell["ck"] * ck
    parts["cd45"] = cell["cd45"] * (membrane + 0.5 * body) * (0.7 + 0.3 * granules / granules.mean()).clip(0, 2)
    parts["fitc"] = cell["fitc"] * body
    return parts


def _ellipse(y, x, cy, cx, long, flat, turn):
    """Return 1 - (distance from the middle / that of the outline)."""
    v = (y - cy) * np.cos(turn) + (x - cx) * np.sin(turn)
    u = -(y - cy) * np.sin(turn) + (x - cx) * np.cos(turn)
    return 1 - np.hypot(v / (long / 2), u / (long * flat / 2))


def _paste(plane, part, y0, x0):
    y1, x1 = max(0, y0), max(0, x0)
    y2, x2 = min(plane.shape[0], y0 + part.shape[0]), min(plane.shape[1], x0 + part.shape[1])
    if y1 < y2 and x1 < x2:
        plane[y1:y2, x1:x2] += part[y1 - y0 : y2 - y0, x1 - x0 : x2 - x0]


def _exposed(light, blood, rng):
    """Return the camera's counts, uint16 of shape (4, Y, X) in the order of NAMES."""
    height, width = blood.shape
    fine = blood.pixel_size_um / FINE
    r = int(6 / fine)
    y, x = np.mgrid[-r : r + 1, -r : r + 1] * fine
    moffat = (1 + (y**2 + x**2) / blood.moffat_um**2) ** -2.2
    tilt_y, tilt_x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    out = np.empty((4, height, width), np.uint16)
    for k, role in enumerate(ROLES):
        seen = cv2.filter2D(light[role], -1, (moffat / moffat.sum()).astype(np.float32))
        counts = cv2.resize(seen, (width, height), interpolation=cv2.INTER_AREA).astype(np.float64)
        blotch = cv2.resize(rng.normal(size=(5, 6)), (width, height), interpolation=cv2.INTER_CUBIC)
        ground = 150 + 25 * blotch + 40 * (rng.uniform(-1, 1) * tilt_y + rng.uniform(-1, 1) * tilt_x)
        counts = counts + np.clip(ground, 20, None)
        counts += rng.normal(size=counts.shape) * np.sqrt(0.4 * counts + blood.noise**2)
        counts += rng.normal(0, 1.5, (height, 1))
        hot = rng.random(counts.shape) < 2e-5
        counts[hot] += rng.gamma(2, 300, int(hot.sum()))
        out[k] = np.clip(np.rint(counts), 0, 4095)
    return out
