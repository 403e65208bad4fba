"""Results as the stages write them, made by hand for the report tests. The numbers are invented."""

import contextlib
import re
from dataclasses import dataclass
from datetime import date
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import tifffile

from ctcascade import formats
from ctcascade.counting import controls
from ctcascade.data import store
from ctcascade.data.results import Counts, Quality, TableProvenance
from ctcascade.data.tables import PLANES
from ctcascade.data.vocabulary import CUTOFFS, HORIZONS_YEARS, ROLES
from ctcascade.formats import listing
from ctcascade.images.crops import crops
from ctcascade.images.outlines import BOX
from ctcascade.images.reduced import overview_table, reduced
from ctcascade.report.index_page import report_index
from ctcascade.report.patient_page import report_patient
from ctcascade.report.sample_page import report_sample
from ctcascade.study.assay import Gates
from ctcascade.study.detection_settings import BackgroundSettings
from ctcascade.study.jobs import CropsJob, ReportAssay, ReportCohortJob, ReportPatientJob, ReportSampleJob
from ctcascade.study.patient import Patient
from ctcascade.study.settings import ControlsSettings
from tests.support.counts import unjudged
from tests.support.detecting import camera_of, detect_job
from tests.support.json_results import write_result

HOSTILE = "<script>alert(1)</script>\"'>&{{7*7}}\u202eevil\u200f<img src=x onerror=alert(2)>"
PROVENANCE = {
    "software": "ctcascade",
    "version": "0.0.1",
    "settings": {"cell_margin_um": 4.0},
    "inputs": {"earlier": "ab" * 32},
}
RISKS = {"liver": 0.31, "bone": 0.22, "lung": 0.124, "brain": 0.031, "adrenal": 0.008, "kidney": 0.00004, "other": 0.05}
NO_ODDS = dict.fromkeys(map(str, CUTOFFS))
PIXEL_UM = 0.645


def factor(mean, low, high, kind="assumption"):
    return {"mean": mean, "low": low, "high": high, "kind": kind, "source": "made up for a test"}


def counts(sample="S1", patient="P1", n_ctc=6, collected="2026-02-01", **other):
    rate = max(n_ctc + 0.5, 0.5) / 0.8
    data = {
        "sample": sample,
        "patient": patient,
        "collected": collected,
        "assay": "cellsearch",
        "role": None,
        "note": None,
        "status": "ok",
        "reason": "",
        "n_frames": 4,
        "n_frames_usable": 3,
        "n_cells": 812,
        "n_ctc": n_ctc,
        "n_clusters": 1,
        "n_ctc_leukocyte_groups": 0,
        "n_leukocytes": 790,
        "n_uncertain": 2,
        "cluster_sizes": {"2": 1},
        "clusters_with_leukocytes": 0,
        "blood_volume_ml": 7.5,
        "sampled_fraction": 1.0,
        "imaged_fraction": 0.75,
        "recovery": factor(0.81, 0.6, 0.95),
        "sensitivity": factor(0.9, 0.7, 0.99, "measured"),
        "background_per_7_5_ml": factor(0.08, 0.01, 0.19, "derived"),
        "reference_equivalent": factor(1.0, 0.9, 1.1),
        "ctc_per_7_5_ml": {"estimate": rate, "low": 0.31 * rate, "high": 2.13 * rate, "level": 0.95},
        "clusters_per_7_5_ml": {"estimate": 1.7, "low": 0.13, "high": 5.2, "level": 0.95},
        "ctc_per_ml": {"estimate": rate / 7.5, "low": 0.31 * rate / 7.5, "high": 2.13 * rate / 7.5, "level": 0.95},
        "ctc_quantiles_per_7_5_ml": [0.5 * rate, rate, 1.6 * rate],
        "cluster_quantiles_per_7_5_ml": [0.5, 1.2, 3.0],
        "p_at_least": {str(k): round(1 / (1 + (k / rate) ** 2), 6) for k in CUTOFFS},
        "limit_of_blank": {"count": 1, "level": 0.95},
        "above_blank": n_ctc > 1,
        "assumptions": ["recovery", "reference_equivalent"],
        "provenance": PROVENANCE,
    }
    return {**data, **other}


def quality(sample="S1", lot=None, **values):
    """Return a sample's checks, all good but those given as name=(value, state)."""
    given = {
        "lost_area_share": (0.25, "warn"),
        "staining_index": (41.5, "ok"),
        "background_cv": (None, "not_measured"),
        **values,
    }
    checks = [
        {
            "check": name,
            "meaning": "made up",
            "value": value,
            "state": state,
            "limit": "at most",
            "warn": 0.1,
            "fail": None,
        }
        for name, (value, state) in given.items()
    ]
    worst = max((c["state"] for c in checks), key=["not_measured", "ok", "warn", "fail"].index)
    about = {"sample": sample, "lot": lot, "tube": None, "hours_to_processing": None, "status": worst}
    lights = [{"frame": f"f{i:03d}", "state": "ok", "warn": [], "fail": []} for i in range(4)]
    return {
        **about,
        "checks": checks,
        "frames": lights,
        "frame_states": {"ok": 4, "warn": 0, "fail": 0},
        "lost_frames": {},
        "flagged_frames": {},
        "provenance": PROVENANCE,
    }


def not_evaluable(sample="S1", patient="P1", collected="2026-02-01", reason="no frame could be measured"):
    empty = dict.fromkeys(
        [
            *("n_ctc", "n_clusters", "n_ctc_leukocyte_groups", "n_leukocytes", "n_uncertain"),
            *("clusters_with_leukocytes", "ctc_per_7_5_ml", "clusters_per_7_5_ml", "ctc_per_ml"),
            *("ctc_quantiles_per_7_5_ml", "cluster_quantiles_per_7_5_ml", "above_blank"),
        ]
    )
    gone = {"status": "not_evaluable", "reason": reason, "imaged_fraction": 0, "n_cells": 0, "n_frames_usable": 0}
    return {**counts(sample, patient, 0, collected, cluster_sizes={}, p_at_least=NO_ODDS), **empty, **gone}


def frames(n=4, hostile=False):
    names = [HOSTILE if hostile and i == 0 else f"f{i:03d}" for i in range(n)]
    table = pd.DataFrame(
        {
            "frame": names,
            "path": [f"s1/{i}.tif" for i in range(n)],
            "part": 0,
            "usable": True,
            "reason": "",
            "flags": ["weak_focus" if i == 1 else "" for i in range(n)],
            "height_px": 256,
            "width_px": 256,
            "pixel_size_um": PIXEL_UM,
            "scale_bits": "16",
            "size_from": "file",
            "channels_from": "names",
            "page_order": "",
            "exposure_ms": "",
            "pixels_digest": "",
            "y_um": np.nan,
            "x_um": np.nan,
            "frame_area_um2": 256 * 256 * PIXEL_UM**2,
            "area_um2": 256 * 256 * PIXEL_UM**2,
            "n_cells": 30,
            "focus": [1.2 if i == 1 else 8 - 5 * i / max(1, n - 1) for i in range(n)],
            "saturation": np.linspace(0, 0.01, n),
            "background": np.linspace(101, 120, n),
            "unevenness": 0.1,
            "registration_um": np.linspace(0.2, 0.4, n),
        }
    )
    for role in ("dna", "ck", "cd45"):
        table[f"{role}_background"] = 100.0
        table[f"{role}_noise"] = 4.0
        table[f"{role}_focus"] = 5.0
        table[f"{role}_saturation"] = 0.0
        table[f"{role}_unevenness"], table[f"{role}_shift_um"] = 0.1, np.nan
        table[f"{role}_moved_y_px"] = table[f"{role}_moved_x_px"] = 0
    lost = table.index == n - 1
    table.loc[lost, ["usable", "reason", "area_um2", "n_cells"]] = [
        False,
        HOSTILE if hostile else "the file ends early",
        0.0,
        0,
    ]
    measured = ["focus", "saturation", "background", "unevenness", "registration_um"]
    measured += [c for c in table if c.count("_") == 1 and c[-5:] in "noise"]
    table.loc[lost, measured] = np.nan
    return table


def cells_and_calls(table, n_cells=30, n_ctc=6, seed=1):
    """Return cells and calls on a grid in the usable frames; the first CTCs lie in pairs, the first pair a cluster."""
    rng = np.random.default_rng(seed)
    rows = []
    for frame in table.loc[table["usable"], "frame"]:
        for i in range(n_cells):
            y, x = 20 + 36 * (i // 6) + rng.uniform(-4, 4), 20 + 40 * (i % 6) + rng.uniform(-4, 4)
            rows.append((frame, i + 1, y, x))
    cells = pd.DataFrame(rows, columns=["frame", "cell", "y_px", "x_px"])
    n = len(cells)
    kind = np.array(["leukocyte"] * n, dtype=object)
    kind[:n_ctc], kind[n_ctc : n_ctc + 2], kind[n_ctc + 2], kind[n_ctc + 3] = (
        "ctc",
        "uncertain",
        "double_positive",
        "debris",
    )
    if n_ctc >= 2:
        cells.loc[1, ["y_px", "x_px"]] = cells.loc[0, ["y_px", "x_px"]].to_numpy(float) + np.array([2.0, 18.0])
    radius = np.where(kind == "ctc", 10.0, 7.5)
    for name, offset in (("y0_px", -1), ("x0_px", -1), ("y1_px", 1), ("x1_px", 1)):
        cells[name] = (cells[f"{name[0]}_px"] + offset * radius).round().clip(0, 256).astype(int)
    area = np.pi * (radius * PIXEL_UM) ** 2
    cells["touches_border"] = False
    cells["area_um2"] = area
    cells["equivalent_diameter_um"] = 2 * radius * PIXEL_UM
    cells["perimeter_um"], cells["p2a"], cells["eccentricity"], cells["solidity"] = 40.0, 1.05, 0.4, 0.96
    cells["nucleus_area_um2"] = 0.55 * area
    for name in ("perimeter_um", "p2a", "eccentricity", "solidity"):
        cells[f"nucleus_{name}"] = 1.0
    cells["nucleus_twin"], cells["marker_correlation"], cells["nucleus_fragments"], cells["nucleus_largest_share"] = (
        0,
        0.1,
        1,
        1.0,
    )
    cells["nucleus_lit_um2"] = 0.4 * area
    cells["contacts"], cells["contact_gaps_um"] = [[] for _ in range(n)], [[] for _ in range(n)]
    bright = {"dna": (np.full(n, 400.0)), "ck": np.where(np.isin(kind, ["ctc", "double_positive"]), 500, 3.0)}
    bright["cd45"] = np.where(np.isin(kind, ["leukocyte", "double_positive"]), 350, 2.0)
    for role, level in bright.items():
        signal = level * rng.lognormal(0, 0.3, n)
        features = ("mean", "max", "std", "sum", "nucleus_mean", "cytoplasm_mean", "ring_mean", "overlap", "fill")
        for name in (*features, "high", "nucleus_std"):
            cells[f"{role}_{name}"] = signal * {"max": 1.6, "ring_mean": 0.01}.get(name, 1)
        cells[f"{role}_dna_correlation"] = 0.5
    calls = cells[["frame", "cell", "y_px", "x_px"]].copy()
    calls["call"] = kind
    calls["p_ctc"] = np.where(kind == "ctc", 0.97, np.where(kind == "uncertain", 0.3, 0.01)) - 1e-4 * np.arange(n) / n
    calls["cluster"] = pd.array([1 if i < 2 and n_ctc >= 2 else None for i in range(n)], dtype="Int64")
    calls["with_leukocyte"], calls["at_border"] = False, False
    calls["reason"] = np.where(kind == "ctc", "CK high, CD45 absent, nucleus inside", "CD45 present")
    return cells, calls.assign(**unjudged(n))


def images(folder, table, cells, calls):
    """Write the frames as OME-TIFF, each cell a blurred disc with its signals over a background of 100 counts."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(2)
    yy, xx = np.mgrid[:256, :256]
    for row in table.to_dict("records"):
        path = folder / f"{row['frame']}.ome.tif"
        if not row["usable"]:
            path.write_bytes(b"II*\0")
            continue
        planes = np.full((3, 256, 256), 100.0)
        for cell in cells[cells["frame"] == row["frame"]].to_dict("records"):
            radius = (cell["y1_px"] - cell["y0_px"]) / 2
            y, x = (
                slice(max(0, int(cell[key] - radius) - 20), int(cell[key] + radius) + 20) for key in ("y_px", "x_px")
            )
            away = np.hypot(yy[y, x] - cell["y_px"], xx[y, x] - cell["x_px"])  # farther out there is nothing of it
            for channel, role in enumerate(("dna", "ck", "cd45")):
                edge = 0.65 * radius if role == "dna" else radius
                planes[channel, y, x] += cell[f"{role}_mean"] / (1 + np.exp((away - edge) / 0.8))
        planes += rng.normal(0, 4, planes.shape)
        tifffile.imwrite(
            path,
            planes.clip(0, 4095).astype(np.uint16),
            ome=True,
            metadata={
                "axes": "CYX",
                "Channel": {"Name": ["DAPI", "CK-PE", "CD45-APC"]},
                "PhysicalSizeX": PIXEL_UM,
                "PhysicalSizeY": PIXEL_UM,
            },
        )


def band(mean):
    return {"mean": mean, "low": mean / 3, "high": min(0.99, mean * 2.1)}


def organ(name, risk):
    steps = {1: 0.5, 2: 1.0, 5: 1.6}
    return {
        "organ": name,
        "p_metastasis": {str(k): band(min(0.9, risk * steps[k])) for k in HORIZONS_YEARS},
        "first_organ_share": {"mean": 0.2, "low": 0.05, "high": 0.5},
        "founders_per_year": {"mean": 0.4, "low": 0.02, "high": 3.1},
        "modality": "CT",
        "time_to_detectability": [
            {"modality": m, "median_years": t, "low_years": t / 2, "high_years": t * 2.2}
            for m, t in (("CT", 2.1), ("MRI", 1.7), ("PET", 2.4))
        ],
    }


def cascade(patient="P1", samples=("S1",), **other):
    flow = (
        ("shed", "cells shed into the blood", 2.4e6),
        ("circulating", "cells in the circulation at one time", 9.1e4),
        ("arrested", "cells that arrest in an organ", 2.1e6),
        ("extravasated", "cells that leave the vessel alive", 1.2e4),
        ("founded", "cells that found a colony", 0.004),
        ("detectable", "colonies that become detectable", 0.0007),
    )
    data = {
        "patient": patient,
        "primary": "breast",
        "status": "ok",
        "reason": "",
        "latest_sample": samples[-1] if samples else None,
        "samples": list(samples),
        "organs": [organ(name, risk) for name, risk in RISKS.items()],
        "p_any": {str(k): band(p) for k, p in ((1, 0.3), (2, 0.45), (5, 0.7))},
        "level": 0.95,
        "flow": [
            {"step": s, "meaning": m, "unit": "cells per day", "mean": v, "low": v / 9, "high": v * 8}
            for s, m, v in flow
        ],
        "p_founding_per_ctc": {"mean": 3e-9, "low": 1e-10, "high": 8e-8},
        "share_due_to_clusters": {"mean": 0.4, "low": 0.05, "high": 0.9},
        "prior_dominated": False,
        "switched_off": [],
        "outside_the_model": ["lymph node spread"],
        "evidence_ids": [],
        "assumptions": [],
        "variance_shares": {str(k): {"aleatoric": 0.6, "epistemic": 0.4} for k in HORIZONS_YEARS},
        "lead_time": {
            "median_years": 1.7, "low_years": 0.2, "high_years": 4.6, "within_years": 5.0, "p_within": band(0.4)
        },
        "provenance": {**PROVENANCE, "evidence": "cd" * 8},
    }  # fmt: skip
    return {**data, **other}


def cascade_not_applicable(patient="P1", samples=("S1",)):
    return cascade(
        patient, samples, primary="none", status="not_applicable", reason="no primary tumour is stated",
        organs=[], p_any=None, flow=[], p_founding_per_ctc=None, share_due_to_clusters=None, prior_dominated=None,
        variance_shares=None, lead_time=None,
    )  # fmt: skip


def curve(last=36):
    return [
        {"time_months": t, "p": 0.5 ** (t / 15.3), "low": 0.5 ** (t / 11), "high": 0.5 ** (t / 22)}
        for t in np.arange(0, last + 0.1, 0.5).tolist()
    ]


def stratum(name, label, weight, median):
    return {
        "evidence_id": name, "label": label, "weight": weight, "median_months": median, "low_months": 0.8 * median,
        "high_months": 1.3 * median, "median_is_lower_bound": False,
    }  # fmt: skip


def prognosis(patient="P1", sample="S1", **other):
    study = {"population": "first line (MADE UP)", "n": 177, "accrual": "2001 to 2003", "era": "before later drugs"}
    data = {
        "patient": patient,
        "primary": "breast",
        "setting": "metastatic",
        "status": "ok",
        "reason": "From the draw of 2026-02-01, before therapy.",
        "summary": "Of 100 people in the published group, about 58 were alive 12 months after the draw.",
        "sample": sample,
        "time_zero": "baseline",
        "endpoint": "OS",
        "cutoff": 5,
        "n_ctc_observed": 6,
        "horizon_months": 36.0,
        "level": 0.95,
        "survival": curve(),
        "strata": [stratum("X1.0", "below 5", 0.35, 21.9), stratum("X1.1", "5 or more", 0.65, 10.9)],
        "other_rows": [
            {
                **study, "evidence_id": "X2", "subtype": "", "endpoint": "OS", "time_zero": "baseline",
                "strata": [stratum("X2.0", "below 5", 0.35, 30.3)], "why_no_curve": "", "hr_flag": "",
                "curve": [{"time_months": p["time_months"], "p": p["p"] ** 0.8} for p in curve(24)],
                "max_difference": 0.07, "disagrees": False,
            }
        ],
        "sensitivity": [
            {
                "model": "continuous", "meaning": "by log(1 + count)", "evidence_ids": ["X1"], "max_difference": 0.12,
                "curve": [{"time_months": p["time_months"], "p": p["p"] ** 1.2} for p in curve()], "disagrees": True,
            }
        ],
        "relative": [{"evidence_id": "X3", "text": "The hazard of one group was 2.7 times that of another."}],
        "negative_findings": [{"evidence_id": "X4", "text": "The largest study found no association."}],
        "kinetics": [
            {
                "sample": "S2", "earlier_sample": "S1", "days_between": 35, "weeks_on_therapy": 4.0,
                "n_ctc_earlier": 12, "n_ctc_later": 6, "why_no_category": "",
                "change": {
                    "rate_ratio": 0.51, "low": 0.15, "high": None, "level": 0.95, "p_value": 0.24,
                    "verdict": "compatible with no change", "verdict_with_tube_variation": "compatible with no change",
                },
                "published": [
                    {
                        "evidence_id": "X5", "study": "a study", "label": "still high", "p_category": 0.61,
                        "window": "inside", "endpoint": "OS", "time_zero": "landmark", "n": 165, "median_months": 13.1,
                        "median_is_lower_bound": True, "relative": "", "era": "", "note": "",
                    }
                ],
            }
        ],
        "evidence": [
            {
                **study, "evidence_id": name, "citation": f"Nobody N. A study. J Made Up {i};1:1", "identifier": "none",
                "locator": "table 2", "how_read": "abstract", "readings": "twice", "note": "",
            }
            for i, name in enumerate(("X1", "X2", "X3", "X4", "X5"))
        ],
        "evidence_ids": ["X1", "X2", "X3", "X4", "X5"],
        "assumptions": [f"{sample}: recovery"],
        "provenance": {**PROVENANCE, "evidence": "cd" * 8},
    }  # fmt: skip
    return {**data, **other}


def refused(status, patient="P1", reason="No published row sets counts against outcome here.", **other):
    """Return a prognosis without a curve: `no_evidence`, `not_applicable` or `relative_only`."""
    none = dict.fromkeys(("sample", "time_zero", "endpoint", "cutoff", "n_ctc_observed", "horizon_months"))
    empty = {k: [] for k in ("survival", "strata", "other_rows", "sensitivity", "relative", "kinetics", "evidence")}
    return prognosis(patient, **{"status": status, "reason": reason, "summary": "", **none, **empty, **other})


def write(path, kind, data):
    write_result(path, kind, data)
    return path


def assay():
    return {
        "name": "cellsearch", "channels": {"dna": ["DAPI"], "ck": ["CK-PE"], "cd45": ["CD45-APC"]},
        "pixel_size_um": PIXEL_UM, "frame_px": [256, 256], "bit_depth": 12, "files": None,
        "gates": {**dict.fromkeys(Gates.model_fields, 1.0), "min_diameter_um": 4.0},
    }  # fmt: skip


DETECT_JOB = detect_job(assay(), "images", nucleus_diameter_um=[3.5, 30])


@dataclass(frozen=True)
class AboutSample:
    """What the two jobs for a sample's page are given."""

    crops: CropsJob
    page: ReportSampleJob


def about_sample(of=None, images="images", sample="S1", thumbnails=100):
    """Return the jobs for the page of a sample, by default with the assay of these cases."""
    given = of or assay()
    camera, most = camera_of(given), {"max_thumbnails": thumbnails}
    return AboutSample(
        CropsJob(sample=sample, images=(images,), format="auto", assay=camera, background=BackgroundSettings(), **most),
        ReportSampleJob(assay=ReportAssay(**dict(camera), gates=Gates(**given["gates"])), **most),
    )


def no_events(sample="S1"):
    return {"sample": sample, "status": "no_events", "reason": "", "compared": None, "provenance": PROVENANCE}


def charts(draws, judged):
    counted, checked = [Counts.model_validate(c) for c in draws], [Quality.model_validate(q) for q in judged]
    found = controls.charts(counted, checked, ControlsSettings())
    return {"charts": [chart.model_dump() for chart in found], "provenance": PROVENANCE}


def outlines_table(path, cells, made_by=None):
    """Write outlines of cells that fill their boxes."""
    rows = cells[["frame", "cell", *BOX]].copy()
    height, width = rows["y1_px"] - rows["y0_px"], rows["x1_px"] - rows["x0_px"]
    rows["cell_runs"] = pd.Series([[0, n] for n in height * width], rows.index, object)
    rows["nucleus_runs"] = pd.Series([[] for _ in range(len(rows))], rows.index, object)
    store.write_table(path, "outlines", rows, made_by or TableProvenance(**PROVENANCE))


def sample_page(
    folder,
    counts_data=None,
    table=None,
    found=None,
    thumbnails=100,
    draw=True,
    controls=None,
    shared=None,
    reference=None,
):
    """Write a sample's tables and (`draw`) its images, and return its page's path."""
    data = counts_data or counts()
    table = frames() if table is None else table
    cells, calls = found or cells_and_calls(table)
    folder = Path(folder)
    if draw:
        images(folder / "images", table[~table["frame"].str.contains("/")], cells, calls)
    detected = folder / "outlines.parquet"
    together = store.table_provenance(detected) if detected.exists() and not draw else TableProvenance(**PROVENANCE)
    for kind, rows in (("frames", table), ("cells", cells), ("calls", calls)):
        made_by = TableProvenance(**PROVENANCE, reference=reference) if kind == "calls" else together
        store.write_table(folder / f"{kind}.parquet", kind, rows, made_by)
    write(folder / "counts.json", "counts", data)
    if draw or not (folder / "outlines.parquet").exists():
        outlines_table(folder / "outlines.parquet", cells)
    about = about_sample(sample=data["sample"], thumbnails=thumbnails)
    at = [folder / f"{kind}.parquet" for kind in ("frames", "cells", "calls", "outlines", "crops")]
    crops(about.crops, folder, *at)
    small_frames(folder, about.crops)
    write(folder / "quality.json", "quality", quality(data["sample"]))
    write(folder / "operator.json", "operator", no_events(data["sample"]))
    return write_page(folder, about.page, controls, shared)


def small_frames(folder, job):
    """Write the overview of the frames that are there, as detection and `gather` do."""
    frames = store.read_table(folder / "frames.parquet", "frames")
    listed = listing.list_frames(job.images, folder, job.format, job.assay)
    there = [ref for ref in listed.frames if ref.frame in set(frames["frame"])]
    kept = []
    for ref in there:
        with contextlib.suppress(formats.FrameError):
            kept.append(reduced(formats.read(ref, job.assay), ref.frame, len(frames)))
    schema = store.arrow_schema(PLANES, [column.name for column in PLANES.for_roles(ROLES)])
    table = overview_table(frames, [pa.Table.from_pylist(kept, schema=schema)])
    store.write_table(folder / "overview.parquet", "overview", table, store.table_provenance(folder / "frames.parquet"))


def write_page(folder, job, controls=None, shared=None):
    """Write the page of a sample whose tables and results are there."""
    tables = (folder / f"{kind}.parquet" for kind in ("frames", "cells", "calls", "crops"))
    results = (folder / f"{kind}.json" for kind in ("counts", "quality", "operator"))
    small = folder / "overview.parquet"
    report_sample(job, *tables, *results, folder / "report.html", controls, shared, small if small.exists() else None)
    return folder / "report.html"


def patient_page(folder, draws=None, cascade_data=None, prognosis_data=None, controls=None, shared=None, **about):
    """Write a patient's results and page; return its path."""
    folder = Path(folder)
    draws = draws or [counts("S1", n_ctc=12, collected="2026-01-05"), counts("S2", n_ctc=6, collected="2026-02-09")]
    paths = [write(folder / f"counts{i}.json", "counts", d) for i, d in enumerate(draws)]
    road = write(folder / "cascade.json", "cascade", cascade_data or cascade(samples=[d["sample"] for d in draws]))
    of_other_files = {"provenance": PROVENANCE}  # a real prognosis is shown here beside a cascade made up
    outlook = write(folder / "prognosis.json", "prognosis", (prognosis_data or prognosis()) | of_other_files)
    patient = {"patient": "P1", "primary": "breast", "setting": "metastatic", "sex": "female", "subtype": None,
               "line": 1, "therapy_start": date(2026, 1, 12), **about}  # fmt: skip
    job = ReportPatientJob.model_construct(patient=Patient.model_construct(**patient))  # not checked: text is hostile
    judged = [write(folder / f"quality{i}.json", "quality", quality(d["sample"])) for i, d in enumerate(draws)]
    results = (paths, judged, road, outlook)
    report_patient(job, *results, folder / "report.html", controls, shared)
    return folder / "report.html"


def cohort_page(folder, draws, cascades, prognoses, judged=()):
    """Write a cohort's results and index; return its path."""
    folder = Path(folder)
    judged = judged or [quality(d["sample"]) for d in draws]
    paths = [
        [write(folder / f"{kind}{i}.json", kind, d) for i, d in enumerate(of)]
        for kind, of in (("counts", draws), ("quality", judged), ("cascade", cascades), ("prognosis", prognoses))
    ]
    patients = tuple(
        Patient.model_construct(patient=c["patient"], primary=c["primary"], setting="metastatic") for c in cascades
    )
    report_index(
        ReportCohortJob.model_construct(patients=patients),
        *paths,
        write(folder / "controls.json", "controls", charts(draws, judged)),
        folder / "index.html",
        folder / "qc_mqc.tsv",
        folder / "cohort.csv",
    )
    return folder / "index.html"


class Page(HTMLParser):
    """A page as a browser's parser sees it: elements with attributes and text, in order."""

    VOID = ("meta", "img", "input", "br", "link")

    def __init__(self, path):
        super().__init__(convert_charrefs=True)
        self.source = Path(path).read_text(encoding="utf-8")
        self.elements, self._open, self.text = [], [], ""
        self.feed(self.source)

    def handle_starttag(self, tag, attrs):
        element = {"tag": tag, "text": "", "in": list(self._open), **dict(attrs)}
        self.elements.append(element)
        if tag not in self.VOID:
            self._open.append(element)

    def handle_startendtag(self, tag, attrs):
        self.elements.append({"tag": tag, "text": "", "in": list(self._open), **dict(attrs)})

    def handle_endtag(self, tag):
        while self._open and self._open.pop()["tag"] != tag:
            pass

    def handle_data(self, data):
        for element in self._open:
            element["text"] += data
        if not any(e["tag"] in ("style", "script") for e in self._open):
            self.text += data

    def tagged(self, *tags):
        return [e for e in self.elements if e["tag"] in tags]

    def numbers(self):
        return [e for e in self.elements if "data-key" in e]

    def section(self, heading):
        """Return the text of the section that the heading of this id opens."""
        return next(e["text"] for e in self.elements if e.get("aria-labelledby") == heading)


SUPERSCRIPT = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")


def agrees(text, value):
    """Return whether a printed number is its value, rounded to the digits shown; per cent and `of 100` included."""
    text = re.sub(r"[\s\u2009\u202f]", "", text).replace("−", "-")
    scales = (100,) if text.endswith("%") else (1, 100)
    text = text.rstrip("%")
    if text[0] in "<>":
        limit = float(text[1:]) / scales[0]
        return value < limit if text[0] == "<" else value > limit
    digits, _, power = text.partition("×10")
    size = 10.0 ** int(power.translate(SUPERSCRIPT) or 0)
    decimals = len(digits.partition(".")[2])
    step = 10.0**-decimals if decimals or size > 1 or float(digits) < 1000 else 10.0 ** (len(digits) - 2)
    return any(abs(float(digits) * size - scale * value) <= 0.5001 * step * size for scale in scales)
