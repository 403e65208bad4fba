"""Whether organs, levels and clusters are as imaging and patients show them: each figure as it was and as it is.

The figures before are those of the model that was fitted to autopsies alone, with the founding rate of breast cancer
for every cancer and the potency of the mouse: five cells in 7.5 mL, one year, mean risk, unless a row says otherwise.
"""

import dataclasses
import math
import sys
from collections.abc import Iterator

import numpy as np

from calibration import imaging, recurrence, tropism
from ctcascade.cascade import conditioning, engine
from ctcascade.cascade.parameters import Draws
from ctcascade.data.vocabulary import NOT_METASTATIC

Row = tuple[str, str, str]
DRAWS, SEED = 4000, 20261122


def rows() -> list[Row]:
    """Return what was checked, what came out, and the verdict."""
    return [
        (what, f"{figure}; fixed seed, {DRAWS} draws where any; false alarm 0", verdict)
        for part in (_organs, _settings, _stages, _layer, _clusters)
        for what, figure, verdict in part()
    ]


def patient(primary: str, setting: str, clusters: int = 0, size: int = 3, **about: object) -> engine.Cascade:
    """Return the cascade of a patient with five cells in a tube of the studies."""
    tube = dataclasses.replace(
        recurrence.tube(5), n_clusters=clusters, cluster_cells=size * clusters, n_pairs=clusters * (size == 2)
    )
    return conditioning.build(
        primary, [tube], Draws(SEED, DRAWS), sex="male" if primary == "prostate" else "female",
        early=setting in NOT_METASTATIC, setting=setting, **about,
    )  # fmt: skip


def by_organ(primary: str, setting: str, **about: object) -> dict[str, float]:
    model = patient(primary, setting, **about)
    return dict(zip(model.organs, model.risk([1.0])[0][0].mean(axis=0).tolist(), strict=True))


def anywhere(primary: str, setting: str, **about: object) -> float:
    return float(patient(primary, setting, **about).risk([5.0])[1].mean())


def _verdict(good: bool) -> str:
    return "pass" if good else "fail"


def _organs() -> Iterator[Row]:
    found = by_organ("prostate", "mcrpc")
    figure = f"bone {found['bone']:.2f}, lung {found['lung']:.2f} (0.84 and 0.09 of in-patients; before 0.35, 0.33)"
    yield "organs: castration-resistant prostate cancer", figure, _verdict(found["bone"] > 5 * found["lung"])
    found = by_organ("breast", "metastatic")
    figure = f"bone {found['bone']:.2f}, lung {found['lung']:.2f} (before 0.21, 0.31)"
    yield "organs: metastatic breast cancer", figure, _verdict(found["bone"] >= found["lung"])
    found = by_organ("lung_nsclc", "metastatic")
    figure = (
        f"bone {found['bone']:.2f}, brain {found['brain']:.2f}, kidney {found['kidney']:.2f} (before 0.20, 0.09, 0.12)"
    )
    good = min(found["bone"], found["brain"]) > 2 * found["kidney"]
    yield "organs: non-small-cell lung cancer", figure, _verdict(good)
    found = by_organ("colon", "metastatic")
    yield "organs: kidney in colon cancer", f"{found['kidney']:.3f} (before 0.12)", _verdict(found["kidney"] < 0.03)
    found = by_organ("rectum", "metastatic")
    figure = f"liver {found['liver']:.2f}, lung {found['lung']:.2f} (before 0.40, 0.42)"
    yield "organs: rectal cancer", figure, _verdict(found["liver"] > found["lung"])


def _settings() -> Iterator[Row]:
    pairs = {
        "mhspc and mcrpc": (by_organ("prostate", "mhspc"), by_organ("prostate", "mcrpc")),
        "advanced and metastatic lung cancer": (
            by_organ("lung_nsclc", "advanced"),
            by_organ("lung_nsclc", "metastatic"),
        ),
        "small-cell and other lung cancer": (by_organ("lung_sclc", "metastatic"), by_organ("lung_nsclc", "metastatic")),
        "melanoma, stage III and early": (by_organ("melanoma", "stage_iii"), by_organ("melanoma", "early")),
        "HER2-positive and hormone receptor-positive breast cancer": (
            by_organ("breast", "metastatic", subtype="her2_pos"),
            by_organ("breast", "metastatic", subtype="hr_pos_her2_neg"),
        ),
    }
    for what, (one, other) in pairs.items():
        most = max(one, key=lambda organ: abs(math.log(one[organ] / other[organ])))
        figure = f"{most} {one[most]:.3f} and {other[most]:.3f} (before equal to the printed digits)"
        yield f"settings: {what}", figure, _verdict(abs(math.log(one[most] / other[most])) > 0.1)


def _stages() -> Iterator[Row]:
    for primary in ("breast", "colon", "lung_nsclc"):
        found = [anywhere(primary, "early", stage=stage) for stage in ("I", "II", "III")]
        figure = ", ".join(f"{risk:.2f}" for risk in found) + " in stages I, II, III by five years (before no input)"
        yield f"stage: {primary}", figure, _verdict(found == sorted(found))


def _layer() -> Iterator[Row]:
    data = tropism.read_autopsies()
    found = tropism.fit(data, tropism.forms(data)[tropism.MAIN][1])
    scores = imaging.score_forms(data, found).set_index("id")
    before, after = scores.loc["A0_autopsies"], scores.loc[imaging.MAIN]
    figure = f"divergence {after.divergence:.3f}, median error {after.log2_error:.2f} (before {before.divergence:.3f}, "
    figure += f"{before.log2_error:.2f}), {after.n_primaries} cancers left out in turn"
    yield "organs at diagnosis, cancer left out", figure, _verdict(after.divergence < 0.7 * before.divergence)


def _clusters() -> Iterator[Row]:
    for primary, then in (("breast", "0.266 and 0.584"), ("colon", "0.422 and 0.641")):
        none, one = (anywhere(primary, "early", clusters=n) for n in (0, 1))
        ratio = math.log1p(-one) / math.log1p(-none)
        figure = f"{none:.3f} without, {one:.3f} with one of three cells, hazards {ratio:.2f} apart (before {then})"
        yield f"clusters: early {primary}, five years", figure, _verdict(1 <= ratio < 1.5)
    off = anywhere("colon", "early", switched_off=("clusters",))
    share = 1 - off / anywhere("colon", "early")
    yield "clusters that nobody saw, early colon", f"{share:.3f} of the risk (before 0.30)", _verdict(share < 0.1)
    draws = np.quantile(Draws(SEED, DRAWS).parameter("cluster_potency"), [0.025, 0.5, 0.975])
    figure = "{1:.1f} ({0:.1f} to {2:.1f}) (before 34, 15 to 100)".format(*draws)
    yield "clusters: potency of one", figure, _verdict(bool(draws[1] < 10))


if __name__ == "__main__":
    for row in rows():
        sys.stdout.write("  ".join(row) + "\n")
