"""The learned judge: how much likelier a cell is a CTC than anything else, by a small trained model beside the gates.

It is asked only about candidates, and only in samples like those that it was trained on: in any other it abstains, says
so, and the gates alone decide. docs/judge.md is its card.
"""

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ctcascade.calling.compensation import Signals
from ctcascade.calling.reference import Reference
from ctcascade.calling.traits import NAMES, More, Shown, leukocytes_sample, traits_of

Floats = NDArray[np.float64]

MODEL = Path(__file__).parent / "weights" / "judge.onnx"
_LEAST_Z = 1.2  # spreads of cytokeratin above leukocytes from which a cell is a candidate ...
_MOST_CD45 = 0.8  # ... and its most CD45, over the leukocytes' median
_NEAREST = 5  # training slides that a sample is set beside
_QUANTILES = (0.1, 0.5, 0.9)
_PARTS = {
    "cytokeratin": ("ck_",),
    "CD45": ("cd45_", "negative_ratio"),
    "DNA": ("dna_", "nucleus_fragments", "nucleus_largest"),
    "shape": ("solidity", "p2a", "eccentricity", "nucleus_s", "nucleus_p", "nucleus_e", "nucleus_over", "diameter"),
}
"""What a reason may name, and how the names of its traits begin."""


@dataclass(frozen=True)
class Model:
    """The trained judge.

    Attributes
    ----------
    session : onnxruntime.InferenceSession
        From traits (n, t) to ln of the likelihood ratio (n, 1), calibrated.
    typical : (t,) array
        Median traits of the CTCs that it was trained on.
    slides : (s, v) array
        What the slides that it was trained on are like (`sample_like`), each number over its spread.
    centre, spread : (v,) arrays
        By which a sample is put on that scale.
    farthest : float
        Mean distance to the nearest slides beyond which a sample is unlike any of them.
    """

    session: Any
    typical: NDArray[np.float32]
    slides: Floats
    centre: Floats
    spread: Floats
    farthest: float


@dataclass(frozen=True)
class Verdict:
    """What the judge says of one sample.

    Attributes
    ----------
    rows : (n,) array of int
        Cells that it was asked about.
    ln_ratio : (n,) array
        Ln of (likelihood of the cell's traits if it is a CTC / if it is not).
    against : (n,) array of str
        What of the cell speaks most against a CTC.
    unlike : float or None
        Distance of the sample from the slides that the judge knows, over the largest that it accepts; None where
        there is nothing to compare.
    why_not : str
        Why it abstains; empty where it does not.
    """

    rows: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    ln_ratio: Floats = field(default_factory=lambda: np.zeros(0))
    against: NDArray[Any] = field(default_factory=lambda: np.zeros(0, object))
    unlike: float | None = None
    why_not: str = ""


def candidates(signals: Signals, reference: Reference) -> NDArray[np.int64]:
    """Return the rows that the judge is asked about: nucleated, with cytokeratin, not with the CD45 of leukocytes."""
    above = reference.z_ck(signals.ck) > _LEAST_Z
    return np.flatnonzero(reference.nucleated & above & (signals.cd45 < _MOST_CD45 * reference.cd45))


def judged(
    cells: pd.DataFrame,
    signals: Signals,
    reference: Reference,
    noise: Mapping[str, float],
    failed: Sequence[str] = (),
    more: More | None = None,
) -> Verdict:
    """Return what the judge says of a sample.

    Parameters
    ----------
    cells : DataFrame
    signals : Signals
    reference : Reference
    noise : mapping of str to float
    failed : sequence of str
        Claims that do not hold: where a stain is missing the judge knows nothing.
    more : callable, optional
        What reads the columns `traits.FURTHER` that `cells` lacks.
    """
    if not reference.n_leukocytes:
        return Verdict(why_not="there are no leukocytes to compare with")
    if failed:
        return Verdict(why_not=f"what calls rest on does not hold: {', '.join(failed)}")
    model = loaded()
    leukocytes = Shown.of(cells, leukocytes_sample(reference), signals, more)
    unlike = unlike_known(sample_like(leukocytes, reference, noise), model)
    rows = candidates(signals, reference)
    traits = traits_of(Shown.of(cells, rows, signals, more), leukocytes, reference, noise).to_numpy()
    why = f"the sample is unlike all that it was trained on ({unlike:.1f}, at most 1)" if unlike > 1 else ""
    return Verdict(rows, ln_ratios(model, traits), _against(model, traits), unlike, why)


def sample_like(leukocytes: Shown, reference: Reference, noise: Mapping[str, float]) -> Floats:
    """Return what a sample is like: quantiles of its leukocytes' traits."""
    traits = traits_of(leukocytes, leukocytes, reference, noise)
    quantiles = traits[list(_COMPARED)].quantile(list(_QUANTILES)).to_numpy(np.float64)
    context = traits[list(_CONTEXT)].iloc[0].to_numpy(np.float64)
    return np.asarray(np.nan_to_num(np.concatenate([quantiles.ravel(), context])), np.float64)


def unlike_known(like: Floats, model: Model) -> float:
    """Return how far a sample is from the slides that the judge knows, over the largest distance that it accepts."""
    scaled = np.clip((like - model.centre) / model.spread, -10, 10)
    apart = np.sqrt(((model.slides - scaled) ** 2).mean(axis=1))
    return float(np.sort(apart)[:_NEAREST].mean() / model.farthest)


def prevalence(ln_ratio: Floats) -> float:
    """Return the share of CTCs among candidates at which their likelihood ratios are most probable."""
    if not len(ln_ratio):
        return 0.0
    ratio, share = np.exp(np.clip(ln_ratio, -30, 30)), 0.1
    for _ in range(200):
        share = float((share * ratio / (share * ratio + 1 - share)).mean())
    return share


def at_prevalence(ln_ratio: Floats, share: float) -> Floats:
    """Return the probability that a cell of this likelihood ratio is a CTC, where so large a share are CTCs."""
    ratio = share * np.exp(np.clip(ln_ratio, -30, 30))
    return np.asarray(ratio / np.maximum(ratio + 1 - share, 1e-300))


def _against(model: Model, traits: NDArray[np.float32]) -> NDArray[Any]:
    """Return what of each cell speaks most against a CTC: the part that a typical CTC's would change most."""
    changed = [ln_ratios(model, _with_typical(model, traits, starts)) for starts in _PARTS.values()]
    return np.array(list(_PARTS), object)[np.argmax(changed, axis=0)] if len(traits) else np.zeros(0, object)


def _with_typical(model: Model, traits: NDArray[np.float32], starts: tuple[str, ...]) -> NDArray[np.float32]:
    changed = traits.copy()
    columns = [k for k, name in enumerate(NAMES) if name.startswith(starts)]
    changed[:, columns] = model.typical[columns]
    return changed


def ln_ratios(model: Model, traits: NDArray[np.float32]) -> Floats:
    """Return ln of the likelihood ratio of cells with these traits."""
    if not len(traits):
        return np.zeros(0)
    (found,) = model.session.run(None, {"traits": np.ascontiguousarray(traits)})
    return np.asarray(found, np.float64).ravel()


@functools.cache
def loaded(path: Path = MODEL) -> Model:
    """Return the judge, on one thread; loaded when first needed."""
    import onnxruntime  # noqa: PLC0415

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    about = json.loads(session.get_modelmeta().custom_metadata_map["about"])
    if tuple(about["traits"]) != NAMES:
        raise RuntimeError("the judge's weights are of other traits than the code's: train it again (docs/judge.md)")
    known = {name: np.array(about[name], np.float64) for name in ("slides", "centre", "spread")}
    return Model(session, np.array(about["typical"], np.float32), **known, farthest=float(about["farthest"]))


_COMPARED = (
    *("ck_snr", "cd45_ratio", "dna_cv", "dna_peak", "dna_inside", "dna_fill", "ck_cv", "ck_fill", "ck_inside"),
    *(
        "cd45_cv",
        "cd45_fill",
        "cd45_peak",
        "cd45_inside",
        "solidity",
        "nucleus_solidity",
        "nucleus_share_over_leukocytes",
    ),
    *("diameter_over_leukocytes", "dna_ring_share", "ck_ring_share", "cd45_ring_share"),
)
_CONTEXT = ("leukocytes_cd45_snr", "leukocytes_dna_snr", "leukocytes_ck_snr", "leukocytes_ck_spread", "ck_into_cd45")
"""Of which traits a sample's likeness is made."""
