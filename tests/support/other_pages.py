"""Results behind the pages beside the flow: follow-up of made-up patients, a spike-in, controls."""

import numpy as np
import pandas as pd
import yaml
from scipy import stats

from ctcascade.data import store
from ctcascade.data.results import FollowUp, Recovery
from ctcascade.data.vocabulary import CUTOFFS
from ctcascade.study.jobs import CohortJob, RecoveryJob
from ctcascade.validation import follow_up, recovery
from tests.support import report_cases as cases
from tests.support.counts import unjudged
from tests.support.json_results import write_result
from tests.support.sheets import ROOT

FOLLOW_UP = {"level": 0.95, "bootstrap": 500, "min_events": 10, "advised_events": 100, "random_seed": 5}
ASSAY = yaml.safe_load((ROOT / "config" / "assays" / "cellsearch.yaml").read_text(encoding="utf-8"))


def exponential(n, hazard_ratio, rng, baseline=0.02, last=36.0):
    """Counts of n patients, and their times with a hazard that each doubling of 1 + count multiplies."""
    ctc = rng.poisson(rng.gamma(0.4, 30, n)).astype(float)
    times = rng.exponential(1 / (baseline * hazard_ratio ** np.log2(1 + ctc)))
    until = rng.uniform(6, last, n)
    return ctc, np.minimum(times, until), times <= until


def written(place, n=60, first=0, **about):
    """Write results of n patients of one setting; return them as the verb's settings and files."""
    ctc, times, died = exponential(n, 1.4, np.random.default_rng(2))
    rows, counts, prognoses = [], [], []
    for k, (seen, time, dead) in enumerate(zip(ctc, times, died, strict=True), first):
        odds = {str(c): float(stats.nbinom.sf(c - 1, seen + 0.5, 0.5)) for c in CUTOFFS}
        rate = {"estimate": seen + 0.5, "low": 0.5 * seen, "high": 2 * seen + 3, "level": 0.95}
        found = cases.counts(f"Secret-{k}", f"Name-{k}", int(seen), p_at_least=odds, ctc_per_7_5_ml=rate)
        counts.append(place / f"{k}.counts.json")
        prognoses.append(place / f"{k}.prognosis.json")
        write_result(counts[-1], "counts", found)
        write_result(prognoses[-1], "prognosis", cases.prognosis(f"Name-{k}", f"Secret-{k}"))
        row = {"patient": f"Name-{k}", "sample": f"Secret-{k}", "primary": "breast", "setting": "metastatic"}
        rows.append({**row, "event": int(dead), "time_months": float(time), **about})
    return rows, counts, prognoses


def compared(place, rows, counts, prognoses, **changes):
    follow_up.cohort(
        CohortJob.model_validate({"patients": rows, **FOLLOW_UP, **changes}), counts, prognoses, place / "cohort.json"
    )
    return store.read_json(place / "cohort.json", FollowUp)


def measured(place, samples=(), missed=2, false=1):
    """Return the result of a spike-in of which `missed` CTCs of the highest level were not called."""
    levels, rows = [0, 2, 5, 20], []
    made_by = store.provenance({}, {})
    calls = []
    for level, n in enumerate(levels):
        for frame, k in ((f"f{i}", n // 2 + (i < n % 2)) for i in range(2)):
            source = f"{samples[0]}/{frame}" if samples else f"phantom/{frame}"
            about = {"level": level, "frame": frame, "source": source, "blood_ml": 3.0 if samples else None}
            places = [{"y_px": 20.0 * j, "x_px": 50.0, "diameter_um": 12.0} for j in range(k)]
            rows += [{**about, "pixel_size_um": 0.5, **place} for place in places or [{}]]
        here = [row for row in rows if row["level"] == level and "y_px" in row]
        found = here[: len(here) - (missed if n == 20 else 0)]
        called = [(row["frame"], row["y_px"] + 5.0, row["x_px"] + 6.0, "ctc") for row in found]  # 3.9 um away
        called += [("f0", 900.0, 50.0, "ctc")] * (false if n == 0 else 0)
        called += [("f0", 20.0 * 40, 50.0, "ctc"), ("f0", 5.0, 50.0, "leukocyte")] if n == 5 else []
        table = pd.DataFrame(called, columns=["frame", "y_px", "x_px", "call"])
        table = table.assign(
            cell=range(1, len(table) + 1),
            p_ctc=0.9,
            cluster=pd.array([None] * len(table), "Int64"),
            with_leukocyte=False,
            at_border=False,
            reason="",
            **unjudged(len(table)),
        )
        calls.append(place / f"calls{level}")
        store.write_table(calls[-1], "calls", table, made_by)
    store.write_table(place / "spiked", "spiked", pd.DataFrame(rows), made_by)
    settings = {"assay": {**ASSAY, "name": "bench"}, "levels": levels, "frames": 2, "ctc_diameter_um": 12,
                "ck": 0.25, "weak_ck": 0.2, "random_seed": 7}  # fmt: skip
    recovery.recovery(
        RecoveryJob.model_validate(settings), place / "spiked", calls, place / "found.json", place / "bench_spiked.yaml"
    )
    return store.read_json(place / "found.json", Recovery)


def run_of(numbers, role="control_high", lot="L1", **other):
    """Return counts and quality of controls on successive days, and of one patient's sample of the lot."""
    counts = [
        cases.counts(f"C{i:02d}", "D", n, f"2026-01-{i + 1:02d}", role=role, above_blank=n > 1)
        for i, n in enumerate(numbers)
    ]
    counts += [cases.counts("S1", "P1", 6), cases.counts("S2", "P1", 6)]
    return counts, [cases.quality(c["sample"], "L2" if c["sample"] == "S2" else lot, **other) for c in counts]
