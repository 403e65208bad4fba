"""How many cells a person has to look at, and what share of the true CTCs lies among them.

CTCs without cytokeratin, half of them with a bright fourth channel (as vimentin would be), are put among leukocytes of
each generator: no gate can want them. They are looked for among the cells most unlike the sample's leukocytes.

``python -m verification.review_burden``
"""

import sys
from dataclasses import replace

import numpy as np

from ctcascade.calling.classify import call_sample
from ctcascade.validation import phantom
from tests.support.calling import assay, classify_job, pair_up
from verification import stress
from verification.stress_states import DONOR, Light, Rng, State

LOOKED_AT = (5, 12, 30, 100)
SEED = 71


def _without_ck(kind: str, light: Light, rng: Rng) -> tuple[Light, str]:
    if kind != "ctc":
        return light, ""
    vimentin = 0.25 if rng.random() < 0.5 else light["fitc"]
    return {**light, "ck": 0.005 * float(np.exp(rng.normal(0, 0.4))), "fitc": vimentin}, ""


CROWD = replace(DONOR, leukocytes=250, frames=6)
STATES = (
    State("donor", CROWD),
    State("CTCs without cytokeratin", replace(CROWD, ctcs=12), cell=_without_ck),
    State("CTCs with cytokeratin", replace(CROWD, ctcs=12)),
)


def main() -> int:
    """Print, for each kind of sample and generator, what is shown and what share of it are CTCs."""
    job = classify_job(assay("cellsearch")).model_copy(update={"unlike_cells": max(LOOKED_AT)})
    print("state", "maker", "leukocytes", "called", "uncertain per million", "most unlike: CTCs among them", sep="\t")
    for state in STATES:
        for maker in stress.MAKERS:
            truth, frames, cells = stress.seen(state, maker, SEED)
            calls = call_sample(job, frames, cells).calls
            px = float(frames["pixel_size_um"].iloc[0])
            ctcs = truth[truth["kind"].isin(phantom.CTC_KINDS)].reset_index(drop=True)
            rows = pair_up(ctcs, calls, px)
            rank = calls["unlike_rank"].fillna(1e9).to_numpy(float)
            n = int(calls["call"].eq("leukocyte").sum())
            shown = [f"{int((rank[rows[rows >= 0]] <= most).sum())} in {most}" for most in LOOKED_AT]
            doubtful = calls["call"].eq("uncertain").sum() / n * 1e6
            of = f"{', '.join(shown)} (of {len(ctcs)} in all)"
            print(state.name, maker, n, int(calls["call"].eq("ctc").sum()), f"{doubtful:.0f}", of, sep="\t", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
