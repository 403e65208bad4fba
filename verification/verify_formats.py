"""Formats: whether cells and calls change when the same image is stored and read in another way.

    python -m verification.verify

A phantom slide is read whole, in the overlapping frames of a whole-slide image, as tiles with stage positions, and with
its pages stretched to eight bits as a CellSearch cartridge has them. Cells of the slide read whole are the reference.
"""

import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from ctcascade import formats
from ctcascade.calling.classify import classify
from ctcascade.data import store
from ctcascade.formats.listing import list_frames
from ctcascade.images.detect import detect, gather
from ctcascade.validation import phantom
from tests.support import tiff_bytes
from tests.support.calling import assay, classify_job
from tests.support.detecting import camera_of, detect_job

HERE = Path(__file__).parent

SHAPE, PX = (1000, 3600), 0.645
SEEDS = (101, 102, 103)
NEAR_UM = 2.0
STEP = 700  # of tiles of 900 pixels
ROLES = ("dna", "fitc", "ck", "cd45")  # the pages of a cartridge, in its order
NAMES = {"dna": "DAPI", "fitc": "FITC", "ck": "CK-PE", "cd45": "CD45-APC"}


class Read(NamedTuple):
    """Nuclei of one way of reading: places in pixels of the whole slide, whether CTC; clusters; copies left out."""

    places: Any
    is_ctc: Any
    n_clusters: int
    n_copies: int


def rows() -> list[tuple[str, str, str]]:
    """Return what each way of reading loses or counts twice compared with the slide read whole, and the verdict."""
    found: dict[str, list[tuple[int, ...]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for seed in SEEDS:
            ways = _slide(Path(folder) / str(seed), seed)
            whole = ways.pop("whole")
            for way, read in ways.items():
                found.setdefault(way, []).append(_differences(whole, read))
    result = []
    for way, each in found.items():
        n, missed, extra, n_ctc, ctc_missed, ctc_extra, clusters, of_clusters, copies = np.sum(each, axis=0).tolist()
        figure = f"{missed} missed, {extra} extra of {n} ({copies} copies left out)"
        figure += f"; CTCs {ctc_missed} and {ctc_extra} of {n_ctc}"
        good = missed + extra <= 0.01 * n and ctc_missed + ctc_extra <= 0.02 * n_ctc
        verdict = "pass" if good else "fail: more than 1 % of nuclei or 2 % of CTCs"
        result.append((f"formats: nuclei {way}, against the slide read whole", figure, verdict))
        same = f"{clusters} of {of_clusters}"
        known = "pass" if clusters == of_clusters else "known: groups that no frame shows whole fall apart"
        result.append((f"formats: clusters {way}", same, known))
    return result


def _slide(folder: Path, seed: int) -> dict[str, Read]:
    of = assay("cellsearch")
    groups = ((2, 0), (2, 1), (3, 0), (3, 2), (4, 0), (5, 1)) * 6
    recipe = phantom.Recipe(leukocytes=900, ctcs=30, clusters=groups)
    phantom.write_slide(folder / "whole", phantom.Slide(1, SHAPE, recipe=recipe), seed)
    camera = camera_of(of)
    frame = formats.read(list_frames(["whole"], folder, "ome-tiff", camera).frames[0], camera)
    planes = {role: frame.pixels[frame.roles.index(role)].astype(np.uint16) for role in ROLES}
    for name in ("slide", "tiles", "stretched"):
        (folder / name).mkdir()
    _write(folder / "slide" / "a.tif", planes, tile=(256, 256), deflate=True)
    for x in range(0, SHAPE[1] - STEP, STEP):
        cut = {role: np.ascontiguousarray(plane[:, x : x + 900]) for role, plane in planes.items()}
        _write(folder / "tiles" / f"t{x}.tif", cut, place=x * PX)
    pages = []
    for role in ROLES:
        low, high = int(planes[role].min()), int(planes[role].max())
        eight = np.round((planes[role] - low) / (high - low) * 255).astype(np.uint8)
        pages.append(tiff_bytes.Page(eight, tags=[(755, 3, [low]), (756, 3, [high])]))
    tiff_bytes.write(folder / "stretched" / "c1.tif", pages)
    read = {
        "whole": ("whole", "ome-tiff"),
        "in frames of a whole-slide image": ("slide", "auto"),
        "in tiles by stage position": ("tiles", "auto"),
        "of a stretched cartridge": ("stretched", "auto"),
    }
    return {way: _through(folder, name, fmt, of) for way, (name, fmt) in read.items()}


def _write(path: Path, planes: dict[str, Any], place: float | None = None, **how: Any) -> None:
    at = "" if place is None else f'<Plane PositionX="{place}" PositionXUnit="um" PositionY="0" PositionYUnit="um"/>'
    channels = "".join(f'<Channel Name="{NAMES[role]}"/>' for role in planes)
    about = f'SizeC="{len(planes)}" PhysicalSizeX="{PX}"'
    xml = f'<OME xmlns="u"><Image><Pixels {about}>{channels}{at}</Pixels></Image></OME>'
    pages = [tiff_bytes.Page(p, description="" if k else xml, **how) for k, p in enumerate(planes.values())]
    tiff_bytes.write(path, pages)


def _through(folder: Path, name: str, fmt: str, of: dict[str, Any]) -> Read:
    job = detect_job(of, name, form=fmt)
    raw = [folder / f"{name}.raw.{kind}.parquet" for kind in ("frames", "cells")]
    out = {kind: folder / f"{name}.{kind}.parquet" for kind in ("frames", "cells", "calls")}
    detect(job, folder, (1, 1), *raw)
    gather(raw[:1], raw[1:], out["frames"], out["cells"])
    copies = len(store.read_table(raw[1], "cells")) - len(store.read_table(out["cells"], "cells"))
    classify(classify_job(of), out["frames"], out["cells"], out["calls"])
    frames, cells, calls = (store.read_table(path, kind) for kind, path in out.items())
    start = frames.set_index("frame")[["y_um", "x_um"]].fillna(0).astype(float) / PX
    corner = start.loc[calls["frame"]].to_numpy() - start.to_numpy().min(axis=0)
    nucleated = (cells["nucleus_area_um2"] > 0).to_numpy()
    places = (calls[["y_px", "x_px"]].to_numpy(float) + corner)[nucleated]
    clusters = calls.loc[calls["call"] == "ctc", "cluster"].dropna()
    return Read(places, (calls["call"] == "ctc").to_numpy()[nucleated], int(pd.Series(clusters).nunique()), copies)


def _differences(whole: Read, read: Read) -> tuple[int, ...]:
    """Return counts: nuclei, missed, extra; CTCs, missed, extra; clusters found, clusters; copies left out."""

    def unpaired(some: Any, others: Any) -> tuple[int, int]:
        if not (len(some) and len(others)):
            return len(some), len(others)
        near, there = cKDTree(others).query(some, distance_upper_bound=NEAR_UM / PX)
        paired = len(set(there[np.isfinite(near)].tolist()))
        return len(some) - paired, len(others) - paired

    of_ctcs = unpaired(whole.places[whole.is_ctc], read.places[read.is_ctc])
    return (
        *(len(whole.places), *unpaired(whole.places, read.places)),
        *(int(whole.is_ctc.sum()), *of_ctcs),
        *(read.n_clusters, whole.n_clusters, read.n_copies),
    )
