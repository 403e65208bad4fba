"""Slides of known truth through detection and calling, and what of the truth was found."""

import numpy as np
import yaml
from conftest import ROOT

from pipeline import phantom, store
from pipeline.classify import classify
from pipeline.detect import detect

CONFIG = yaml.safe_load((ROOT / "config" / "config.yaml").read_text(encoding="utf-8"))
SETTINGS = CONFIG["classify"]
NEAR_UM = 4.0  # a call this near to the truth is the cell


def assay(name):
    """The assay as the stages get it: plain values without their sources."""
    loaded = yaml.safe_load((ROOT / "config" / "assays" / f"{name}.yaml").read_text(encoding="utf-8"))
    plain = {key: loaded[key]["value"] for key in ("pixel_size_um", "frame_px", "bit_depth")}
    gates = {gate: entry["value"] for gate, entry in loaded["gates"].items()}
    return {"name": name, "channels": loaded["channels"], "files": loaded["files"], **plain, "gates": gates}


def called(folder, images, of, roles=None):
    """Return the cells and the calls of a folder of images; the tables lie in `folder`."""
    paths = {name: folder / f"{name}.parquet" for name in ("frames", "cells", "calls")}
    settings = {"sample": "s", "images": str(images), "format": "auto", "assay": of, **CONFIG["detect"]}
    detect(settings, images.parent, (1, 1), paths["frames"], paths["cells"])
    classify({"sample": "s", "assay": of, **SETTINGS}, paths["frames"], paths["cells"], paths["calls"])
    return store.read_table(paths["cells"], "cells"), store.read_table(paths["calls"], "calls")


def called_slide(folder, slide, seed, name):
    """Return truth, cells and calls of a phantom slide."""
    truth = phantom.write_slide(folder / "images", slide, seed)
    return (truth, *called(folder, folder / "images", assay(name)))


def matched(truth, calls, pixel_size_um):
    """Return, for each CTC call, whether it is one, and for each true CTC, whether it was called: one to one."""
    ctcs = truth[truth["kind"].isin(phantom.CTC_KINDS)].reset_index(drop=True)
    made = calls[calls["call"] == "ctc"].reset_index(drop=True)
    partner = pair_up(ctcs, made, pixel_size_um)
    right = np.zeros(len(made), bool)
    right[partner[partner >= 0]] = True
    return right, partner >= 0


def pair_up(truth, calls, pixel_size_um):
    """Return the row of `calls` that is each row of `truth`, -1 where none is: the nearest pairs first, each once."""
    place = ["y_px", "x_px"]
    gap = np.linalg.norm(truth[place].to_numpy(float)[:, None] - calls[place].to_numpy(float)[None], axis=2)
    gap *= pixel_size_um
    gap[truth["frame"].to_numpy()[:, None] != calls["frame"].to_numpy()[None]] = np.inf
    partner = np.full(len(truth), -1)
    taken = set()
    for flat in np.argsort(gap, axis=None, kind="stable"):
        row, column = np.unravel_index(flat, gap.shape)
        if gap[row, column] > NEAR_UM:
            break
        if partner[row] < 0 and column not in taken:
            partner[row] = column
            taken.add(column)
    return partner
