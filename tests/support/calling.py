"""Slides of known truth through detection and calling, and how much of the truth was found."""

import cv2
import numpy as np
import pandas as pd
import yaml

from ctcascade.calling.classify import classify
from ctcascade.data import store
from ctcascade.formats.frame import assemble
from ctcascade.images.background import correct
from ctcascade.images.detect import detect
from ctcascade.images.measure import measure
from ctcascade.images.segment import segment
from ctcascade.study.calling_settings import ClassifySettings
from ctcascade.study.detection_settings import DetectSettings
from ctcascade.study.jobs import ClassifyJob
from ctcascade.validation import phantom
from tests.support import other_phantom
from tests.support.detecting import camera_of, detect_job
from tests.support.runs import ROOT

CONFIG = yaml.safe_load((ROOT / "config" / "config.yaml").read_text(encoding="utf-8"))
SETTINGS = ClassifySettings.model_validate(CONFIG["classify"])
DETECT = DetectSettings.model_validate(CONFIG["detect"])
NEAR_UM = 4.0  # a call this near to a true cell is that cell


def assay(name):
    """The assay as the stages get it: plain values without their sources."""
    loaded = yaml.safe_load((ROOT / "config" / "assays" / f"{name}.yaml").read_text(encoding="utf-8"))
    plain = {key: loaded[key]["value"] for key in ("pixel_size_um", "frame_px", "bit_depth")}
    gates = {gate: entry["value"] for gate, entry in loaded["gates"].items()}
    return {"name": name, "channels": loaded["channels"], "files": loaded["files"], **plain, "gates": gates}


def classify_job(of, sample="S1"):
    """Return the job that calls a sample's cells with an assay (its gates, and markers where it has any)."""
    about = {key: of[key] for key in ("name", "gates", "markers", "bleed", "leukocytes") if key in of}
    return ClassifyJob.model_validate({"sample": sample, "assay": about, **CONFIG["classify"]})


def called(folder, images, of, segmenter="classical"):
    """Return the cells and the calls of a folder of images; the tables lie in `folder`."""
    paths = {name: folder / f"{name}.parquet" for name in ("frames", "cells", "calls")}
    detect(detect_job(of, str(images), segmenter=segmenter), images.parent, (1, 1), paths["frames"], paths["cells"])
    classify(classify_job(of), paths["frames"], paths["cells"], paths["calls"])
    return store.read_table(paths["cells"], "cells"), store.read_table(paths["calls"], "calls")


def called_slide(folder, slide, seed, name):
    """Return truth, cells and calls of a phantom slide."""
    truth = phantom.write_slide(folder / "images", slide, seed)
    return (truth, *called(folder, folder / "images", assay(name)))


def seen(slide, seed, of):
    """Return truth, cells and noise of a slide that is never written: as detection makes them from its files.

    An 8-bit slide goes through the JPEG that it would be kept in.
    """
    other = isinstance(slide, other_phantom.Blood)
    maker = other_phantom if other else phantom
    px = pixel_size(slide)
    groups = list(slide.clusters) if other else list(slide.recipe.clusters)
    groups += [(1, 0)] * (slide.ctcs if other else slide.recipe.ctcs)
    camera = camera_of(of)
    truth, cells, noise = [], [], []
    for number in range(slide.frames):
        rng = np.random.default_rng([seed, number])
        pixels, rows = maker.render(slide, groups[number :: slide.frames], rng)
        planes = dict(zip(maker.ROLES, pixels, strict=True))
        if not other and slide.layout == "files":
            planes = {role: _as_jpeg(plane, slide.optics.bit_depth) for role, plane in planes.items()}
        frame = assemble(planes, camera, px)
        planes_of = zip(frame.roles, frame.pixels, strict=True)
        channels = {role: correct(plane, px, DETECT.background) for role, plane in planes_of}
        found = segment(frame, channels, DETECT)
        name = f"f{number:04d}"
        cells.append(measure(found, channels, px, DETECT.contact_gap_max_um).assign(frame=name))
        truth.append(rows.assign(frame=name))
        noise.append({role: channel.noise for role, channel in channels.items()})
    joined = [pd.concat(tables, ignore_index=True) for tables in (truth, cells)]
    return (*joined, pd.DataFrame(noise).median().to_dict())


def _as_jpeg(plane, bit_depth):
    grey = np.round(plane * (255 / (2**bit_depth - 1))).astype(np.uint8)
    return cv2.imdecode(cv2.imencode(".jpg", grey, [cv2.IMWRITE_JPEG_QUALITY, 90])[1], cv2.IMREAD_GRAYSCALE)


def matched(truth, calls, pixel_size_um):
    """Return, for each CTC call, whether it is one, and for each true CTC, whether it was called: one to one."""
    ctcs = truth[truth["kind"].isin(phantom.CTC_KINDS)].reset_index(drop=True)
    made = calls[calls["call"] == "ctc"].reset_index(drop=True)
    partner = pair_up(ctcs, made, pixel_size_um)
    right = np.zeros(len(made), bool)
    right[partner[partner >= 0]] = True
    return right, partner >= 0


def partners(truth, cells, pixel_size_um):
    """Return the row of `cells` that belongs to each row of `truth`, or -1, frame by frame."""
    partner = np.full(len(truth), -1)
    for frame, things in truth.groupby("frame"):
        here = np.flatnonzero(cells["frame"] == frame)
        near = pair_up(things, cells.iloc[here], pixel_size_um)
        partner[things.index] = np.append(here, -1)[near]
    return partner


def pixel_size(slide):
    """Return the edge of a pixel of either maker's slide, um."""
    return slide.pixel_size_um if isinstance(slide, other_phantom.Blood) else slide.optics.pixel_size_um


def pair_up(truth, calls, pixel_size_um):
    """Return the row of `calls` that belongs to each row of `truth`, or -1: the nearest pairs first, each once."""
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
