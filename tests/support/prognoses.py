"""Prognoses for tests: counts of a sample, markers, the stage run on files, and what its curve says."""

import datetime
import itertools

import numpy as np

from ctcascade.counting.observation import Factor, Observation
from ctcascade.data import store
from ctcascade.data.results import Cascade, Counts, Organ, Quality
from ctcascade.data.vocabulary import CUTOFFS, HORIZONS_YEARS
from ctcascade.prognosis.prognose import prognose
from ctcascade.prognosis.rows import Sample
from ctcascade.study.jobs import PrognoseJob
from tests.support import report_cases
from tests.support.json_results import read_result

EXACT = Factor(1.0, 1.0, 1.0)
NONE = Factor(0.0, 0.0, 0.0)
WITH_CURVES = [
    ("breast", "metastatic", "BM13"),
    ("prostate", "mcrpc", "PR01"),
    ("prostate", "mhspc", "PR08"),
    ("colon", "metastatic", "CR04"),
    ("rectum", "metastatic", "CR04"),
    ("lung_sclc", "limited", "SC08"),
    ("kidney", "metastatic", "KI02"),
]
RELATIVE = [
    ("breast", "early"),
    ("colon", "early"),
    ("rectum", "early"),
    ("lung_nsclc", "advanced"),
    ("lung_sclc", "extensive"),
    ("melanoma", "stage_iii"),
    ("melanoma", "stage_iv"),
    ("bladder", "m0"),
    *itertools.product(("oesophagus", "stomach", "pancreas", "liver", "ovary"), ("early", "metastatic")),
]
REFUSED = [
    ("kidney", "early"),
    ("other", "metastatic"),
    ("other", "early"),
    ("prostate", "localized"),
    ("prostate", "metastatic"),
    ("prostate", "early"),
    ("bladder", "metastatic"),
    ("melanoma", "early"),
    ("lung_nsclc", "early"),
    ("lung_sclc", "early"),
]


def minimal(model):
    """Return the emptiest value that a result allows, optional keys included."""
    schema = model.model_json_schema()
    return _minimal(schema, schema.get("$defs", {}))


def _minimal(schema, known):
    if "$ref" in schema:
        return _minimal(known[schema["$ref"].rsplit("/", 1)[-1]], known)
    if "anyOf" in schema:
        return None if {"type": "null"} in schema["anyOf"] else _minimal(schema["anyOf"][0], known)
    if "enum" in schema:
        return schema["enum"][0]
    if schema["type"] == "object":
        return {name: _minimal(value, known) for name, value in schema.get("properties", {}).items()}
    return {"array": [], "string": "", "boolean": False}.get(schema["type"], 1)


def p_at_least(n, volume_ml=7.5):
    reference = Observation(volume_ml, 1.0, 1.0, EXACT, EXACT, NONE, EXACT).reference(n)
    return {str(c): reference.p_at_least(c) for c in CUTOFFS}


UNKNOWN = dict.fromkeys(map(str, CUTOFFS))


def sure(n):
    """Probabilities of a reference assay that certainly counts `n`."""
    return {str(c): float(n >= c) for c in CUTOFFS}


def sample(sample="S1", n=12, day="2026-01-10", **changes):
    counts = report_cases.counts(sample, "P1", n, day)
    return {**counts, "p_at_least": p_at_least(n), "imaged_fraction": 1.0, **changes}


def sample_at(weeks=None):
    """Return a sample so many weeks into therapy, as the stage sees it."""
    return Sample(Counts.model_validate(sample()), datetime.date(2026, 1, 10), 12, weeks)


def marker(name, n, k, status="positive"):
    share = {"estimate": (k + 0.5) / (n + 1), "low": 0.1, "high": 0.9, "level": 0.95}
    rule = {"min_ctcs": 1, "min_positive": 1, "min_share": 0, "source": "a test"}
    return {
        "role": "m",
        "marker": name,
        "place": "cell",
        "min_z": {"value": 3, "source": "a test"},
        "min_nucleus_ratio": None,
        "rule": rule,
        "n_evaluable": n,
        "n_positive": k,
        "n_negative": n - k,
        "share": share,
        "status": status,
        "reason": "",
    }


SEEN_LATER = {"modality": "CT", "median_years": 3.5, "low_years": 1.5, "high_years": 9.0}
VISIBLE = {
    "organs": [
        {
            **minimal(Organ),
            "organ": "liver",
            "p_metastasis": {str(y): {"mean": 0.5, "low": 0.1, "high": 0.9} for y in HORIZONS_YEARS},
            "time_to_detectability": [SEEN_LATER],
        }
    ]
}


def runner(tmp_path):
    """Return the stage as a function of samples: it runs on files and returns what it wrote."""
    runs = itertools.count()

    def run(primary, setting, *samples, level=0.95, n_draws=400, seed=1, cascade=None, failing=(), **patient):
        folder = tmp_path / str(next(runs))
        paths, checks = [], []
        for counts in samples:
            paths.append(folder / f"{counts['sample']}.json")
            store.write_json(paths[-1], Counts.model_validate(counts))
            checks.append(folder / f"{counts['sample']}.quality.json")
            values = {"focus": (0.01, "fail")} if counts["sample"] in failing else {}
            store.write_json(checks[-1], Quality.model_validate(report_cases.quality(counts["sample"], **values)))
        risks = {**minimal(Cascade), "patient": "P1", **(cascade or {})}
        store.write_json(folder / "cascade.json", Cascade.model_validate(risks))
        who = {"patient": "P1", "primary": primary, "setting": setting, "sex": "female", **patient}
        known = {key: value for key, value in who.items() if value is not None}
        job = PrognoseJob(patient=known, random_seed=seed, draws=n_draws, level=level)
        prognose(job, paths, folder / "cascade.json", folder / "prognosis.json", checks)
        return read_result(folder / "prognosis.json", "prognosis")

    return run


def alive(result, months, column="p"):
    times = [point["time_months"] for point in result["survival"]]
    return float(np.interp(months, times, [point[column] for point in result["survival"]]))


def median_of(result):
    p = np.array([point["p"] for point in result["survival"]])
    times = np.array([point["time_months"] for point in result["survival"]])
    return float(np.interp(-0.5, -p, times))
