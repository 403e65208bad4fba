"""Train the learned judge from the slides of `judge_slides` and real leukocytes, and write it as ONNX.

    python -m training.judge FOLDER [--out FILE]

prints what it makes of slides of each generator when it has seen none of that generator, then trains on all.
"""

import argparse
import json
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import pandas as pd
from onnx import TensorProto, helper
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from ctcascade.calling import judge
from ctcascade.calling.classify import _noise, call_cells, reference_of
from ctcascade.calling.compensation import signals_of
from ctcascade.calling.traits import NAMES, Shown, leukocytes_sample, traits_of
from ctcascade.formats import read
from ctcascade.formats.listing import list_frames
from ctcascade.images.detect import detect_frame
from ctcascade.study.assay import Gates
from ctcascade.study.settings import FrameLimits
from ctcascade.validation import phantom
from tests.support.calling import DETECT, SETTINGS, assay, pair_up
from tests.support.detecting import camera_of
from training.judge_slides import MAKERS

FIELDS = Path(__file__).parents[2] / "shared" / "data" / "ctc_hdsca_wbc_fields"
AMBIGUOUS_UM = 9.0  # a cell without truth this near to a CTC is part of it
GATES = Gates.model_validate(assay("cellsearch")["gates"])
CAP = 9.0  # largest ln of a likelihood ratio that so many negatives can show


class Slide(NamedTuple):
    """Candidates of one slide, and what the slide is like."""

    name: str
    maker: str
    traits: np.ndarray
    truth: np.ndarray  # 1 CTC, 0 other, -1 unclear
    kinds: np.ndarray
    gates: np.ndarray  # p_ctc
    like: np.ndarray


def slide_of(
    name: str, maker: str, frames: pd.DataFrame, cells: pd.DataFrame, truth: pd.DataFrame | None, px: float
) -> Slide | None:
    """Return a slide's candidates with their truth; None where there are no leukocytes to compare with."""
    noise = _noise(frames)
    reference = reference_of(cells, noise, GATES, SETTINGS)
    if not reference.n_leukocytes:
        return None
    signals = signals_of(cells, reference.bleed)
    rows = judge.candidates(signals, reference)
    leukocytes = Shown.of(cells, leukocytes_sample(reference), signals)
    traits = traits_of(Shown.of(cells, rows, signals), leukocytes, reference, noise).to_numpy()
    like = judge.sample_like(leukocytes, reference, noise)
    p_gates = call_cells(cells, reference, noise, GATES, SETTINGS)["p_ctc"].to_numpy()[rows]
    kinds = _kinds(cells, truth, px)[rows] if truth is not None else np.full(len(rows), "leukocyte", object)
    is_ctc = np.where(np.isin(kinds, phantom.CTC_KINDS), 1, np.where(kinds == "unclear", -1, 0))
    return Slide(name, maker, traits, is_ctc, kinds, p_gates, like)


def _kinds(cells: pd.DataFrame, truth: pd.DataFrame, px: float) -> np.ndarray:
    partner = pair_up(truth, cells, px)
    kinds = np.full(len(cells), "nothing", object)
    hit = partner >= 0
    kinds[partner[hit]] = truth["kind"].to_numpy(object)[hit]
    ctcs = truth[truth["kind"].isin(phantom.CTC_KINDS)]
    if len(ctcs):
        place = ["y_px", "x_px"]
        gap = np.linalg.norm(cells[place].to_numpy(float)[:, None] - ctcs[place].to_numpy(float)[None], axis=2) * px
        near = (gap - ctcs["diameter_um"].to_numpy(float)[None] / 2 < AMBIGUOUS_UM - 6).any(axis=1)
        kinds[near & (kinds == "nothing")] = "unclear"
    return kinds


def slides(folder: Path) -> list[Slide]:
    """Return the slides of a folder."""
    out = []
    for path in sorted(folder.glob("*.pickle")):
        frames, cells, truth, px = pd.read_pickle(path)
        found = slide_of(path.stem, MAKERS[int(path.stem) % len(MAKERS)], frames, cells, truth, px)
        if found:
            out.append(found)
    return out


def fields() -> list[Slide]:
    """Return the two real blood fields without CTCs; none where they are not there.

    Of what they are like each is shown whole and in four parts, since there are only two.
    """
    if not FIELDS.is_dir():
        return []
    camera = camera_of(assay("hdsca"))
    out = []
    for ref in list_frames((str(FIELDS),), Path("/"), "auto", camera).frames:
        frame = read(ref, camera)
        frames, cells, _, _ = detect_frame(frame, "f", DETECT, FrameLimits())
        whole = slide_of(ref.frame, "real", frames, cells, None, 1.0)
        middle = cells[["y_px", "x_px"]].median()
        below, right = cells["y_px"] > middle["y_px"], cells["x_px"] > middle["x_px"]
        parts = [cells[(below == a) & (right == b)].reset_index(drop=True) for a in (0, 1) for b in (0, 1)]
        seen = [slide_of(ref.frame, "real", frames, part, None, 1.0) for part in parts]
        out += [
            s._replace(traits=s.traits[:0], truth=s.truth[:0], kinds=s.kinds[:0], gates=s.gates[:0]) for s in seen if s
        ]
        out += [whole] if whole else []
    return out


def fit(known: Sequence[Slide], rounds: int = 500) -> Any:
    """Return the trees that tell CTCs from other candidates."""
    x, y = np.concatenate([s.traits for s in known]), np.concatenate([s.truth for s in known])
    weight = np.concatenate([np.full(len(s.truth), 3.0 if s.maker == "real" else 1.0) for s in known])
    keep = y >= 0
    signs = [_sign(name) for name in NAMES]
    model = HistGradientBoostingClassifier(
        max_iter=rounds,
        learning_rate=0.06,
        max_leaf_nodes=31,
        min_samples_leaf=30,
        l2_regularization=3.0,
        max_features=0.3,
        monotonic_cst=signs,
        random_state=1,
        early_stopping=False,
    )
    return model.fit(x[keep], y[keep], sample_weight=weight[keep])


def _sign(name: str) -> int:
    """Return in which direction a trait may change the verdict: more cytokeratin never speaks against a CTC."""
    if name in ("ck_z", "ck_over_leukocytes", "ck_over_cd45"):
        return 1
    return -1 if name in ("cd45_ratio", "cd45_over_gate") else 0


def raw(model: Any, known: Sequence[Slide]) -> np.ndarray:
    """Return the trees' sum for the candidates of slides."""
    return np.asarray(model.decision_function(np.concatenate([s.traits for s in known])), float)


def calibration(score: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Return slope and intercept that make a score of slides never seen the ln of a likelihood ratio."""
    keep = truth >= 0
    line = LogisticRegression(C=1e6).fit(score[keep, None], truth[keep])
    share = truth[keep].mean()
    return float(line.coef_[0, 0]), float(line.intercept_[0] - np.log(share / (1 - share)))


def report(name: str, known: Sequence[Slide], ln_ratio: np.ndarray) -> None:
    """Print what comes out for slides at an even prevalence, by the judge, the gates, and both."""
    y, kinds = (np.concatenate([getattr(s, key) for s in known]) for key in ("truth", "kinds"))
    gates = np.concatenate([s.gates for s in known]) >= 0.5
    for who, yes in (("judge", ln_ratio > 0), ("gates", gates), ("both", gates & (ln_ratio > 0))):
        recall, false = yes[y == 1].mean() if (y == 1).any() else np.nan, int((yes & (y == 0)).sum())
        dying = yes[kinds == "apoptotic"].mean() if (kinds == "apoptotic").any() else np.nan
        white = np.char.startswith(kinds.astype(str), "leukocyte") | np.isin(kinds, phantom.LEUKOCYTE_KINDS)
        precision = yes[y == 1].sum() / max(yes[y >= 0].sum(), 1)
        print(
            f"{name:16s} {who:6s} recall {recall:.3f} of {int((y == 1).sum())}, false {false}"
            f" (precision {precision:.3f}), dying called {dying:.3f} of {int((kinds == 'apoptotic').sum())}"
            f", leukocytes called {int((yes & white).sum())} of {int(white.sum())}"
        )


def export(model: Any, slope: float, intercept: float, about: dict[str, Any], path: Path) -> None:
    """Write the trees as one ONNX graph: traits (n, t) to ln of the likelihood ratio (n, 1)."""
    nodes: list[tuple[Any, ...]] = []
    leaves: list[tuple[Any, ...]] = []
    for tree, (predictor,) in enumerate(model._predictors):
        for number, node in enumerate(predictor.nodes):
            if node["is_leaf"]:
                nodes.append((tree, number, 0, 0.0, "LEAF", 0, 0, 0))
                leaves.append((tree, number, 0, slope * float(node["value"])))
            else:
                threshold = np.float32(node["num_threshold"])
                if threshold > node["num_threshold"]:
                    threshold = np.nextafter(threshold, np.float32(-np.inf))
                ways = int(node["left"]), int(node["right"]), int(node["missing_go_to_left"])
                nodes.append((tree, number, int(node["feature_idx"]), float(threshold), "BRANCH_LEQ", *ways))
    names = ("treeids", "nodeids", "featureids", "values", "modes", "truenodeids", "falsenodeids")
    names = (*names, "missing_value_tracks_true")
    attributes = {f"nodes_{name}": list(column) for name, column in zip(names, zip(*nodes, strict=True), strict=True)}
    names = ("treeids", "nodeids", "ids", "weights")
    attributes |= {
        f"target_{name}": list(column) for name, column in zip(names, zip(*leaves, strict=True), strict=True)
    }
    base = slope * float(model._baseline_prediction.ravel()[0]) + intercept
    trees = helper.make_node(
        "TreeEnsembleRegressor", ["traits"], ["sum"], domain="ai.onnx.ml", n_targets=1, base_values=[base], **attributes
    )
    limits = [helper.make_tensor(n, TensorProto.FLOAT, [], [value]) for n, value in (("least", -CAP), ("most", CAP))]
    clip = helper.make_node("Clip", ["sum", "least", "most"], ["ln_ratio"])
    shown = helper.make_tensor_value_info("traits", TensorProto.FLOAT, [None, len(NAMES)])
    said = helper.make_tensor_value_info("ln_ratio", TensorProto.FLOAT, [None, 1])
    graph = helper.make_graph([trees, clip], "judge", [shown], [said], limits)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    made = helper.make_model(graph, opset_imports=opsets, producer_name="ctcascade", ir_version=9)
    helper.set_model_props(made, {"about": json.dumps(about)})
    onnx.checker.check_model(made)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(made.SerializeToString(deterministic=True))


def likeness(known: Sequence[Slide]) -> dict[str, Any]:
    """Return what the slides are like, and how far from them a sample may be.

    A sample is accepted that is as near as the slides of a generator are to those of the others, for 95 in 100 of them.
    """
    like = np.stack([s.like for s in known])
    centre = np.nanmedian(like, axis=0)
    spread = np.maximum(1.4826 * np.nanmedian(np.abs(like - centre), axis=0), 1e-3)
    scaled = np.clip((like - centre) / spread, -10, 10)
    makers = np.array([s.maker for s in known])
    apart = []
    for k in range(len(known)):
        others = scaled[makers != makers[k]]
        apart.append(np.sort(np.sqrt(((others - scaled[k]) ** 2).mean(axis=1)))[:5].mean())
    apart = np.array(apart)
    for maker in np.unique(makers):
        print(f"distance of {maker} from the others: {np.quantile(apart[makers == maker], [0.5, 0.95, 0.99]).round(2)}")
    return {
        "slides": scaled.round(3).tolist(),
        "centre": centre.tolist(),
        "spread": spread.tolist(),
        "farthest": float(np.quantile(apart, 0.95)),
    }


def main() -> None:
    """Evaluate by leaving each generator out, train on all, and write the judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, default=judge.MODEL)
    parser.add_argument("--cache", type=Path)
    given = parser.parse_args()
    warnings.simplefilter("ignore", RuntimeWarning)
    drawn, real = slides(given.folder), fields()
    known = [*drawn, *real]
    n_ctc, n_other = (sum(int((s.truth == value).sum()) for s in drawn) for value in (1, 0))
    print(f"{len(drawn)} slides: {n_ctc} CTCs, {n_other} others; real: {[len(s.truth) for s in real]} candidates")
    unseen = np.zeros(sum(len(s.truth) for s in known))
    group = np.concatenate([np.full(len(s.truth), s.maker if s.maker != "real" else s.name) for s in known])
    for left_out in np.unique(group):
        rest = [s for s in known if left_out not in (s.maker, s.name)]
        held = [s for s in known if left_out in (s.maker, s.name)]
        unseen[group == left_out] = raw(fit(rest), held)
    truth = np.concatenate([s.truth for s in known])
    slope, intercept = calibration(unseen, truth)
    print(f"calibration: slope {slope:.3f}, intercept {intercept:.3f}")
    ln_ratio = np.clip(slope * unseen + intercept, -CAP, CAP)
    for left_out in np.unique(group):
        report(f"unseen {left_out}", [s for s in known if left_out in (s.maker, s.name)], ln_ratio[group == left_out])
    bands(ln_ratio, truth)
    model = fit(known)
    tuned = np.clip(slope * raw(model, known) + intercept, -CAP, CAP)
    report("tuned", known, tuned)
    typical = np.nanmedian(np.concatenate([s.traits for s in known])[truth == 1], axis=0)
    about = {"traits": list(NAMES), "typical": typical.tolist(), **likeness(known)}
    export(model, slope, intercept, about, given.out)
    same = judge.ln_ratios(judge.loaded(given.out), np.concatenate([s.traits for s in known]))
    size = given.out.stat().st_size / 1e6
    print(f"written {given.out}, {size:.2f} MB; largest difference of ONNX {np.abs(same - tuned).max():.2g}")


def bands(ln_ratio: np.ndarray, truth: np.ndarray) -> None:
    """Print stated beside observed: in each band the mean likelihood ratio and that of the slides never seen."""
    n_ctc, n_other = (truth == 1).sum(), (truth == 0).sum()
    for low, high in ((-9.1, -6), (-6, -3), (-3, -1), (-1, 1), (1, 3), (3, 6), (6, 9.1)):
        here = (ln_ratio >= low) & (ln_ratio < high)
        a, b = (here & (truth == 1)).sum(), (here & (truth == 0)).sum()
        seen = np.log(max(a, 0.5) / n_ctc) - np.log(max(b, 0.5) / n_other)
        stated = ln_ratio[here].mean() if here.any() else np.nan
        print(f"ln ratio {low:g} to {high:g}: stated {stated:.2f}, observed {seen:.2f} ({a} CTCs, {b} others)")


if __name__ == "__main__":
    main()
    sys.exit(0)
