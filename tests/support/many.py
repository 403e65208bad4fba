"""Pages of much, and of nothing: samples of none or hundreds of candidates, patients of many draws, large cohorts."""

import numpy as np

from tests.support import report_cases as cases


def sample_of(folder, n_candidates, **other):
    """Write the page of a sample of so many candidates: one in six uncertain, one in twelve double-positive."""
    n_frames = max(2, -(-n_candidates // 30) + 1)
    table = cases.frames(n_frames + 1)
    cells, calls = cases.cells_and_calls(table, n_cells=36, n_ctc=max(n_candidates - 3, 0))
    place = np.arange(len(calls))
    wanted = place < n_candidates
    kind = np.where(place % 6 == 5, "uncertain", np.where(place % 12 == 7, "double_positive", "ctc")).astype(object)
    calls["call"] = np.where(wanted, kind, np.where(calls["call"] == "debris", "debris", "leukocyte"))
    likely = {"uncertain": 0.3, "double_positive": 0.02, "ctc": 0.9999, "leukocyte": 1e-4, "debris": 0.04}
    calls["p_ctc"] = calls["call"].map(likely).astype(float) - 1e-6 * (place % 50)
    calls.loc[wanted & (place % 12 == 0), "p_ctc"] = 0.7
    calls["cluster"] = calls["cluster"].where(calls["call"] == "ctc")
    data = cases.counts(n_ctc=int((calls["call"] == "ctc").sum()), **other)
    return cases.sample_page(folder, data, table, (cells, calls))


def patient_of(folder, n_draws, **other):
    """Write the page of a patient of so many draws, one in ten of them not evaluable; `other` is of the cascade."""
    days = [str(np.datetime64("2024-01-10") + np.timedelta64(25 * i, "D")) for i in range(n_draws)]
    draws = [
        cases.not_evaluable(f"S{i}", collected=day)
        if i % 10 == 4
        else cases.counts(f"S{i}", n_ctc=int(40 * np.exp(-i / 8) + 3 * (i % 4)), collected=day)
        for i, day in enumerate(days)
    ]
    outlook = cases.prognosis(sample="S0")
    outlook["kinetics"][0] |= {"earlier_sample": "S0", "sample": "S1"}
    return cases.patient_page(folder, draws, cases.cascade(samples=[d["sample"] for d in draws], **other), outlook)


def cohort_of(folder, n_patients, n_draws=3):
    """Write the index of a cohort: every tenth patient is a donor without tumour."""
    draws, roads, outlooks = [], [], []
    for i in range(n_patients):
        name, own = f"P{i:03d}", [f"P{i:03d}_{k + 1}" for k in range(n_draws)]
        donor = i % 10 == 9
        for k, sample in enumerate(own):
            n_ctc = 0 if donor else int(3 ** (i % 6) / (k + 1))
            draws.append(cases.counts(sample, name, n_ctc, f"2026-0{k + 1}-{1 + i % 28:02d}"))
        roads.append(cases.cascade_not_applicable(name, own) if donor else cases.cascade(name, own))
        outlooks.append(cases.refused("not_applicable", name) if donor else cases.prognosis(name, own[0]))
    return cases.cohort_page(folder, draws, roads, outlooks)
