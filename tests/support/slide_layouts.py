"""Slides in the layouts of vendors, and how they are listed."""

import numpy as np

from ctcascade.calling.classify import classify
from ctcascade.data import store
from ctcascade.formats.listing import list_frames
from ctcascade.images.detect import detect, gather
from tests.support.calling import classify_job
from tests.support.detecting import camera, detect_job

ASSAY = camera(
    channels={"dna": ["DAPI"], "ck": ["CK"], "cd45": ["CD45"], "fitc": ["FITC"]},
    pixel_size_um=0.645,
    frame_px=[1000, 2000],
    bit_depth=12,
    files=None,
)


TRUSTED = ASSAY.model_copy(update={"channel_order": "trusted"})
NAMES = ("DAPI", "CK", "CD45", "FITC")


def gradient(shape, k):
    y, x = np.mgrid[: shape[0], : shape[1]]
    return ((7 * y + 13 * x + 997 * k) % 4093).astype(np.uint16)


def listed(base, images="s", fmt="auto"):
    return list_frames([images], base, fmt, ASSAY)


def through(folder, name, of, chunks=2):
    job = detect_job(of, name)
    paths = [[folder / f"{name}{k}.{kind}.parquet" for k in range(chunks)] for kind in ("frames", "cells")]
    for k in range(chunks):
        detect(job, folder, (k + 1, chunks), paths[0][k], paths[1][k])
    out = {kind: folder / f"{name}.{kind}.parquet" for kind in ("frames", "cells", "calls")}
    gather(*paths, out["frames"], out["cells"])
    classify(classify_job(of), out["frames"], out["cells"], out["calls"])
    return {kind: store.read_table(path, kind) for kind, path in out.items()}
