"""Small tables of calls and frames, and the settings of a count."""

import json

import numpy as np
import pandas as pd

from ctcascade.data.tables import FRAMES
from ctcascade.data.vocabulary import ROLES
from ctcascade.study.jobs import CountJob

EXACT = {"mean": 1.0, "low": 1.0, "high": 1.0, "kind": "measured", "source": "a test"}


NONE = {**EXACT, "mean": 0.0, "low": 0.0, "high": 0.0}


def settings(**changes):
    assay = {
        "name": "bench",
        "recovery": EXACT,
        "sensitivity": EXACT,
        "background_per_7_5_ml": NONE,
        "reference_equivalent": EXACT,
    }
    given = {
        "sample": "S1",
        "patient": "P1",
        "collected": "2026-05-01",
        "role": None,
        "note": None,
        "blood_volume_ml": 7.5,
        "sampled_fraction": 1.0,
        "level": 0.95,
        **changes,
        "assay": {**assay, **changes.get("assay", {})},
    }
    return CountJob.model_validate_json(json.dumps(given))


def frames_table(areas, whole=1000.0):
    n = len(areas)
    of_roles = dict.fromkeys((column.name for column in FRAMES.for_roles(ROLES)), 0.0)
    return pd.DataFrame(
        {
            **of_roles,
            "frame": [f"f{i}" for i in range(n)],
            "path": [f"s/f{i}.tif" for i in range(n)],
            "part": 0,
            "usable": [a > 0 for a in areas],
            "reason": ["" if a > 0 else "unreadable" for a in areas],
            "flags": "",
            "height_px": 10,
            "width_px": 10,
            "pixel_size_um": 0.5,
            "scale_bits": "16",
            "size_from": "file",
            "channels_from": "names",
            "page_order": "",
            "exposure_ms": "",
            "pixels_digest": "",
            "y_um": None,
            "x_um": None,
            "frame_area_um2": whole,
            "area_um2": areas,
            "n_cells": 0,
            "focus": 1.0,
            "saturation": 0.0,
            "background": 5.0,
            "unevenness": 0.1,
            "registration_um": 0.2,
        }
    )


def calls_table(*rows):
    """Rows of (call, cluster or None, columns that are true)."""
    return pd.DataFrame(
        {
            "frame": "f0",
            "cell": range(1, len(rows) + 1),
            "y_px": 1.0,
            "x_px": 1.0,
            "call": [call for call, *_ in rows],
            "p_ctc": 0.5,
            "cluster": pd.array([row[1] for row in rows], dtype="Int64"),
            **{name: [name in row[2:] for row in rows] for name in ("with_leukocyte", "at_border")},
            "reason": "",
            **unjudged(len(rows)),
        }
    )


def unjudged(n):
    """Return the judge's columns of n calls that it was not asked about."""
    floats = {name: np.full(n, np.nan) for name in ("gates_p_ctc", "judge_ln_ratio", "p_ctc_in_sample", "unlike")}
    return {**floats, "judge_reason": "", "unlike_rank": pd.array([None] * n, dtype="Int64")}
