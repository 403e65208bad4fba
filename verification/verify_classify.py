"""Calls against truth: phantoms of seeds that nothing was tuned on, blood without CTCs, and the few real images.

A phantom only shows how well cells are found that look like the phantom's. So two independent generators are used, and
recall is given by the strength of cytokeratin. The rate of false CTC calls comes from ``false_calls.tsv``, which takes
`false_calls.py` a quarter of an hour to make; some of its rows are computed again here and have to come out the same.
The real images are too few to say more than that nothing is plainly wrong.
"""

import itertools
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import tifffile
from scipy.stats import binomtest
from statsmodels.stats.rates import confint_poisson

from ctcascade.validation import phantom
from tests.support import other_phantom
from tests.support.calling import SETTINGS, assay, called, pair_up
from verification import false_calls

HERE = Path(__file__).parent

IMAGES = HERE.parents[1] / "shared" / "data"
FIRST_SEED = 7000  # seeds from here on are used in this file alone
CONTRASTS = (0.0, 0.01, 0.02, 0.04, 0.08, 0.16, 1.0)  # edges of the bands of cytokeratin, shares of the camera's range
DIAMETERS_UM = (5.0, 7.0, 9.0, 12.0, 40.0)
P_CTC = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.01)
PREVALENCES = (1e-4, 1e-5, 1e-6)  # CTCs a leukocyte
LIMITS = (0.1, 0.3, 0.5, 0.7, 0.9, 0.99)  # of p_ctc
FALSE_CALLS, CANDIDATES = 1e-5, 1 / 40_000  # a leukocyte, at most
REPEATED = ("all nucleated cells", "other maker, 1 um a pixel")

GROUPS = ((2, 0), (3, 0), (2, 1), (1, 1), (1, 2), (4, 1), (6, 0), (2, 0), (2, 2), (3, 1))
SPARSE = phantom.Slide(6, (1036, 1384), recipe=phantom.Recipe(60, 60, GROUPS, weak_ck=0.1, apoptotic=2))
ALL_NUCLEATED = phantom.Slide(
    4,
    (1004, 1362),
    phantom.Optics(pixel_size_um=0.591, haze=(15.0, 70.0, 30.0, 20.0), photons_per_count=2.0),
    replace(SPARSE.recipe, leukocytes=900),
    "files",
    ("DAPI", "CK", "CD45", "FITC"),
)
POOR = replace(ALL_NUCLEATED.optics, psf_um=0.8, read_noise=12.0, vignetting=0.4, bleed=0.03, shift_px=1.2)
SMALL = replace(SPARSE.recipe, leukocytes=300, ctc_diameter_um=(8.0, 0.2))
OTHER = other_phantom.Blood(frames=6, ctcs=60, clusters=GROUPS)
SLIDES: dict[str, tuple[str, Any]] = {
    "cartridge": ("cellsearch", SPARSE),
    "cartridge, small CTCs": ("cellsearch", replace(SPARSE, frames=4, recipe=SMALL)),
    "all nucleated cells": ("hdsca", ALL_NUCLEATED),
    "all nucleated cells, poor optics": ("hdsca", replace(ALL_NUCLEATED, optics=POOR)),
    "other maker": ("cellsearch", OTHER),
}
EIGHT_BIT = replace(ALL_NUCLEATED, frames=2, recipe=replace(ALL_NUCLEATED.recipe, ctcs=40, clusters=GROUPS[:5]))
HARD: dict[str, tuple[str, Any]] = {
    "strong background of cytokeratin": (
        "hdsca",
        replace(EIGHT_BIT, optics=replace(EIGHT_BIT.optics, haze=(15.0, 800.0, 30.0, 20.0))),
    ),
    "cytokeratin in 5 % of leukocytes": (
        "hdsca",
        replace(EIGHT_BIT, recipe=replace(EIGHT_BIT.recipe, leukocyte_ck=0.05)),
    ),
    "little CD45 in 10 % of leukocytes": (
        "hdsca",
        replace(EIGHT_BIT, recipe=replace(EIGHT_BIT.recipe, leukocyte_weak_cd45=0.1)),
    ),
    "twice the point spread": ("hdsca", replace(EIGHT_BIT, optics=replace(EIGHT_BIT.optics, psf_um=0.9))),
    "out of focus": ("hdsca", replace(EIGHT_BIT, optics=replace(EIGHT_BIT.optics, psf_um=1.5))),
    "other maker, 1,300 cells a frame": (
        "cellsearch",
        replace(OTHER, frames=2, shape=(1004, 1362), pixel_size_um=0.6, leukocytes=1300),
    ),
    "other maker, 0.5 um a pixel": ("cellsearch", replace(OTHER, shape=(1000, 1200), pixel_size_um=0.5)),
    "other maker, 1 um a pixel": ("cellsearch", replace(OTHER, shape=(600, 700), pixel_size_um=1.0)),
}


@dataclass(frozen=True)
class Score:
    """Truth beside calls: ``truth`` has the row of its cell (-1: none), ``calls`` the kind of its truth ("": none)."""

    truth: pd.DataFrame
    calls: pd.DataFrame

    @property
    def ctcs(self) -> pd.DataFrame:
        """The true CTCs, with whether each was called one."""
        ctcs = self.truth[self.truth["kind"].isin(phantom.CTC_KINDS)]
        called_ctc = np.append(self.calls["call"].eq("ctc").to_numpy(), False)
        return ctcs.assign(found=called_ctc[ctcs["row"]])

    @property
    def called(self) -> pd.DataFrame:
        """The cells called CTC, with whether each is one."""
        called_ctc = self.calls[self.calls["call"] == "ctc"]
        return called_ctc.assign(right=called_ctc["kind"].isin(phantom.CTC_KINDS))


def rows() -> list[tuple[str, str, str]]:
    """Return what was checked, what came out, and the verdict against the goal."""
    seeds = iter(range(FIRST_SEED, FIRST_SEED + 100))
    scores = {name: scored(*of, next(seeds)) for name, of in SLIDES.items()}
    learned = [scored(*of, seed, "learned") for seed, of in enumerate(SLIDES.values(), FIRST_SEED)]
    hard = {name: scored(*of, next(seeds)) for name, of in HARD.items()}
    found = [row for name, score in {**scores, **hard}.items() for row in _found_rows(name, [score])]
    found = [(what, figure, verdict.replace("fail", "known: below the goal of all")) for what, figure, verdict in found]
    found = [*found, *_found_rows("the first five pooled", list(scores.values()))]
    found += _found_rows("the same by the learned segmenter", learned)
    everything = [*scores.values(), *hard.values()]
    found += _band_rows(everything, "ck_contrast", CONTRASTS, "where cytokeratin is {:g} to {:g} of the range")
    found += _band_rows(everything, "diameter_um", DIAMETERS_UM, "of CTCs of {:g} to {:g} um")
    found += [
        _clusters_row("the first five pooled", scores.values()),
        _clusters_row("the same by the learned segmenter", learned),
        _clusters_row("the harder ones", hard.values()),
    ]
    kept = false_calls.kept()
    found += _calibration_rows(everything, kept)
    found += _blood_rows(kept)
    found += [_kept_recall_row(kept), *(_anew_row(kept, kind) for kind in REPEATED)]
    found += _prevalence_rows(everything, kept)
    return [*found, *_field_rows(), *_crop_rows()]


def scored(assay_name: str, slide: Any, seed: int, segmenter: str = "classical") -> Score:
    """Return a slide's truth beside its calls: each true object has at most one cell, near its centre."""
    make = other_phantom.write_slide if isinstance(slide, other_phantom.Blood) else phantom.write_slide
    px = slide.pixel_size_um if isinstance(slide, other_phantom.Blood) else slide.optics.pixel_size_um
    with tempfile.TemporaryDirectory() as place:
        truth = make(Path(place) / "slide", slide, seed).reset_index(drop=True)
        _, calls = called(Path(place), Path(place) / "slide", assay(assay_name), segmenter)
    truth["row"], calls["kind"] = -1, ""
    for frame, things in truth.groupby("frame"):
        cells = calls[calls["frame"] == frame]
        partner = pair_up(things, cells, px)
        hit = partner >= 0
        truth.loc[things.index[hit], "row"] = cells.index[partner[hit]]
        calls.loc[cells.index[partner[hit]], "kind"] = things["kind"].to_numpy()[hit]
    return Score(truth, calls)


def _found_rows(name: str, scores: Sequence[Score]) -> list[tuple[str, str, str]]:
    ctcs, made = pd.concat([s.ctcs for s in scores]), pd.concat([s.called for s in scores])
    wrong = made.loc[~made["right"], "kind"].replace("", "nothing").value_counts().to_dict()
    missed = ctcs.loc[~ctcs["found"], "kind"].value_counts().to_dict()
    return [
        (f"calls: {name}, recall", _share(ctcs["found"], missed), _verdict(ctcs["found"].mean(), 0.95)),
        (f"calls: {name}, precision", _share(made["right"], wrong), _verdict(made["right"].mean(), 0.95)),
    ]


def _band_rows(scores: Any, column: str, edges: Sequence[float], text: str) -> Iterator[tuple[str, str, str]]:
    ctcs = pd.concat([s.ctcs for s in scores])
    for low, high in itertools.pairwise(edges):
        band = ctcs[ctcs[column].between(low, high, inclusive="left")]
        what = f"calls: recall {text.format(low, high)}"
        yield what, _share(band["found"], {}), "pass (no goal: shows what is missed)"


def _clusters_row(name: str, scores: Any) -> tuple[str, str, str]:
    """Score clusters of two or more CTCs: called and true agree where more than half of their union is in both."""
    hit = same = n_true = n_called = 0
    for score in scores:
        groups = score.ctcs[score.ctcs["cluster"] > 0].groupby(["frame", "cluster"])
        together = [part for _, part in groups if len(part) > 1]
        true = [{row if row >= 0 else -2 - k for k, row in enumerate(part["row"])} for part in together]
        found = [set(part.index) for _, part in score.called.dropna(subset="cluster").groupby("cluster")]
        n_true, n_called = n_true + len(true), n_called + len(found)
        hit += sum(2 * len(a & b) > len(a | b) for a in true for b in found)
        same += sum(a in found for a in true)
    f1 = 2 * hit / (n_true + n_called)
    exact = 2 * same / (n_true + n_called)
    text = f"{f1:.3f} ({n_true} true, {n_called} called); {exact:.3f} where every member has to match"
    return f"calls: clusters, F1, {name}", text, _verdict(f1, 0.92)


def _calibration_rows(scores: Any, kept: Sequence[false_calls.Row]) -> Iterator[tuple[str, str, str]]:
    """Compare the mean p_ctc of a band with its share of CTCs: for the phantoms' own mix and where CTCs are rare."""
    calls = pd.concat([s.calls for s in scores])
    true = calls["kind"].isin(phantom.CTC_KINDS)
    brier = float(((calls["p_ctc"] - true) ** 2).mean())
    mix = f"calls: p_ctc where one cell in {1 / true.mean():.0f} is a CTC"
    yield f"{mix}, Brier score", f"{brier:.4f} over {len(calls)} cells", "pass (no goal)"
    leukocytes, p_wrong = _wrong(kept)
    for low, high in itertools.pairwise(P_CTC):
        band = calls["p_ctc"].between(low, high, inclusive="left")
        found = f"mean {calls.loc[band, 'p_ctc'].mean():.3f}, CTCs {_share(true[band], {})}"
        if low >= SETTINGS.p_ctc_uncertain:
            false = float(((p_wrong >= low) & (p_wrong < high)).sum()) / leukocytes
            right = PREVALENCES[0] * float((band & true).sum()) / float(true.sum())
            found += f"; at 1 CTC in {1 / PREVALENCES[0]:,.0f} leukocytes {right / max(right + false, 1e-30):.2f}"
        yield f"{mix}, {low:g} to {min(high, 1):g}", found, "pass (no goal)"


def _blood_rows(kept: Sequence[false_calls.Row]) -> Iterator[tuple[str, str, str]]:
    """Return the rate of false calls and of candidates among leukocytes, from the table: of each kind and of all."""
    blood = [row for row in kept if not row.ctcs]
    for kind in (*dict.fromkeys(row.kind for row in blood), ""):
        rows = [row for row in blood if kind in ("", row.kind)]
        leukocytes, false = sum(row.leukocytes for row in rows), sum(row.false for row in rows)
        doubtful = false + sum(row.uncertain for row in rows)
        low, high = (1e5 * limit / leukocytes for limit in confint_poisson(false, 1, method="exact-c"))
        wrong = ", ".join(row.wrong for row in rows if row.wrong)
        found = f"{false} of {leukocytes:,} leukocytes, {1e5 * false / leukocytes:.2f} per 100,000"
        found += f" [{low:.2f}, {high:.2f}]" + (f"; with p_ctc: {wrong}" if wrong and kind else "")
        what = f"calls: false CTCs in blood without CTCs, {kind or 'all kinds'}"
        verdict = "pass" if false / leukocytes <= FALSE_CALLS else "known: above the goal of all" if kind else "fail"
        yield what, found, f"{verdict} (goal 1 per 100,000)"
    found = f"{doubtful} of {leukocytes:,} leukocytes" + (f", 1 per {leukocytes / doubtful:,.0f}" if doubtful else "")
    verdict = "pass" if doubtful / leukocytes <= CANDIDATES else "fail"
    yield (
        "calls: candidates to review (called or uncertain) in blood without CTCs",
        found,
        f"{verdict} (goal 1 per 40,000)",
    )
    commits, seeds = sorted({row.commit for row in kept}), sorted(row.seed for row in kept)
    yield "calls: false calls were counted", f"commit {', '.join(commits)}, seeds {seeds[0]} to {seeds[-1]}", "pass"


def _kept_recall_row(kept: Sequence[false_calls.Row]) -> tuple[str, str, str]:
    ctcs = sum(row.ctcs for row in kept)
    found = pd.Series(np.arange(ctcs) < sum(row.found for row in kept))
    return "calls: recall over the table's CTCs, both makers", _share(found, {}), _verdict(found.mean(), 0.95)


def _anew_row(kept: Sequence[false_calls.Row], kind: str) -> tuple[str, str, str]:
    was = next(row for row in kept if row.kind == kind)
    now = false_calls.counted(kind, was.seed, was.commit)
    found = f"{now.false} false, {now.uncertain} uncertain, {now.objects} objects; were {was.false}, {was.uncertain}, "
    verdict = "pass" if now == was else "fail"
    return (
        f"calls: seed {was.seed} of the table repeated, {kind}",
        f"{found}{was.objects}",
        f"{verdict} (goal the same)",
    )


def _wrong(kept: Sequence[false_calls.Row]) -> tuple[int, Any]:
    """Return the leukocytes of blood without CTCs, and p_ctc of what was called or uncertain there."""
    blood = [row for row in kept if not row.ctcs]
    p = [float(entry.rpartition(" ")[2]) for row in blood for entry in filter(None, row.wrong.split(", "))]
    return sum(row.leukocytes for row in blood), np.array(p)


def _prevalence_rows(scores: Any, kept: Sequence[false_calls.Row]) -> Iterator[tuple[str, str, str]]:
    """Recall, and precision at the prevalence of blood, by limit of p_ctc; at least one false call is assumed."""
    ctcs = np.concatenate([_p_of(s) for s in scores])
    leukocytes, p_wrong = _wrong(kept)
    for limit in LIMITS:
        recall = float((ctcs >= limit).mean())
        false = max(int((p_wrong >= limit).sum()), 1) / leukocytes
        precision = [f"{recall * share / (recall * share + false):.2f} at {1 / share:,.0f}" for share in PREVALENCES]
        found = f"recall {recall:.3f}, false {1e5 * false:.2f} per 100,000; precision {', '.join(precision)} leukocytes"
        yield f"calls: from p_ctc {limit:g} on, one CTC in so many leukocytes", found, "pass (no goal)"


def _p_of(score: Score) -> Any:
    ctcs = score.truth["kind"].isin(phantom.CTC_KINDS)
    return np.append(score.calls["p_ctc"].to_numpy(), 0.0)[score.truth.loc[ctcs, "row"]]


def _field_rows() -> Iterator[tuple[str, str, str]]:
    what, source = "calls: CTCs in two real blood fields without CTCs", IMAGES / "ctc_hdsca_wbc_fields"
    if not source.is_dir():
        yield what, "-", f"skipped: ../shared/data/{source.name} is not here"
        return
    with tempfile.TemporaryDirectory() as place:
        images = Path(place) / "fields"
        images.mkdir()
        for path in source.glob("*.jpg"):
            (images / path.name).symlink_to(path)
        _, calls = called(Path(place), images, assay("hdsca"))
    found = f"{(calls['call'] == 'ctc').sum()}; {calls['call'].value_counts().to_dict()}"
    yield what, found, _verdict(-(calls["call"] == "ctc").sum(), 0, "none")


def _crop_rows() -> Iterator[tuple[str, str, str]]:
    what, source = "calls: real crops of the class", IMAGES / "ctc_ctcdet_crops"
    if not source.is_dir():
        yield what, "-", f"skipped: ../shared/data/{source.name} is not here"
        return
    for kind in ("upCTC", "midCTC", "mixCTC", "noCTC"):
        seen = [crop_has_ctc(path) for path in sorted((source / kind).glob("*.jpg"))]
        right = sum(seen) == (0 if kind == "noCTC" else len(seen))
        yield f"{what} {kind}", f"a CTC in {sum(seen)} of {len(seen)}", "pass" if right else "fail"


def crop_has_ctc(path: Path) -> bool:
    """Return whether a picture of one cell (red marker, green CD45, blue DAPI; 0.16 um a pixel) holds a CTC."""
    planes = np.moveaxis(cv2.imread(str(path), cv2.IMREAD_COLOR), 2, 0)
    size = {"PhysicalSizeX": 0.16, "PhysicalSizeY": 0.16}
    metadata = {"axes": "CYX", "Channel": {"Name": ["DAPI", "CD45", "CK"]}, **size}
    with tempfile.TemporaryDirectory() as place:
        images = Path(place) / "crop"
        images.mkdir()
        tifffile.imwrite(images / "c.ome.tif", planes, photometric="minisblack", metadata=metadata)
        _, calls = called(Path(place), images, assay("hdsca"))
    return bool((calls["call"] == "ctc").any())


def _share(good: "pd.Series[bool]", bad: dict[str, int]) -> str:
    """Return a share with its 95 % limits (Clopper and Pearson)."""
    low, high = binomtest(int(good.sum()), len(good)).proportion_ci(0.95) if len(good) else (0.0, 1.0)
    figure = f"{good.mean():.3f} [{low:.3f}, {high:.3f}] ({int(good.sum())} of {len(good)})"
    return figure + (f"; not: {bad}" if bad else "")


def _verdict(value: float, goal: float, text: str = "") -> str:
    return f"{'pass' if value >= goal else 'fail'} (goal {text or f'{goal:g}'})"


if __name__ == "__main__":
    results = rows()
    for row in results:
        print(*row, sep="\t")
    sys.exit(any(verdict.startswith("fail") for *_, verdict in results))
