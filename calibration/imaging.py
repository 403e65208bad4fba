"""The imaging layer: from the field of seeding that autopsies show to the organs in which imaging finds lesions.

With phi the field of `tropism` (``ln arrival + soil + tropism``), a row of ``imaged`` has shares of patients p with

    ln p_o = level + beta phi_o + shift_o + own_o + error_o

a free level for each row, one slope beta, a shift for each organ, own ~ N(0, tau^2), and an error of which the
binomial part is known and the rest is what two studies of one registry differ by. Slope and shifts by generalised
least squares with a weak prior on the shifts, tau by restricted likelihood, own by its posterior. Organs that no
registry counts get their shift from the rows of layer ``target``. The forms that `forms` lists were written down in
``docs/cascade.md`` before any was scored; each score leaves a cancer out.

Uncertainty: cancers are drawn with replacement, and every draw is fitted again. What differs between the fits is the
error of the layer.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import optimize, special

from calibration import recurrence, tropism
from ctcascade import evidence
from ctcascade.cascade import conditioning
from ctcascade.cascade.model import Floats
from ctcascade.cascade.parameters import Draws
from ctcascade.data.vocabulary import NOT_METASTATIC, ORGANS, OWN_ORGAN, SETTINGS, Z95

COUNTED = ("lung", "liver", "bone", "brain")
"""The organs that registries count."""
MAIN = "A3_slope_on_all"

_BOOTSTRAPS = 500
_DRAWS, _ROUNDS, _COUNT = 1000, 12, 5
_EARLY = "early"  # stands for every setting without a distant lesion
_FIRST_YEARS = 3.0  # most recurrences come within them


def _target(name: str) -> float:
    return float(evidence.load("targets").central[name])


@dataclass(frozen=True)
class Rows:
    """Rows of ``imaged``: ln of the shares (rows, organs), NaN where not counted, and their variance."""

    names: NDArray[np.str_]
    cancer: NDArray[np.int_]  # row of the autopsies
    ln_share: Floats
    variance: Floats

    def select(self, rows: NDArray[np.int_]) -> "Rows":
        """Return some of the rows, each as often as it is named."""
        return Rows(self.names[rows], self.cancer[rows], self.ln_share[rows], self.variance[rows])


@dataclass(frozen=True)
class Layer:
    """Slope, shift (organs,) and tau; NaN where an organ was in no row."""

    slope: float
    shift: Floats
    tau: float


@dataclass(frozen=True)
class Form:
    """A form of the layer: its meaning, and which parts of the field the slope acts on."""

    meaning: str
    on_arrival: bool
    on_soil: bool
    with_shift: bool = True
    with_field: bool = True


def forms() -> dict[str, Form]:
    """Return every form that is scored."""
    return {
        "A0_autopsies": Form("the autopsies as they are", False, False, with_shift=False),
        "N_registry_mean": Form("the registries' mean of each organ, no autopsy", False, False, with_field=False),
        "A1_shift": Form("a shift for each organ, slope 1", False, False),
        "A2_slope_on_soil": Form("a shift, and a slope on soil and tropism only", False, True),
        MAIN: Form("a shift, and a slope on the whole field", True, True),
    }


def read_rows(data: tropism.Autopsies) -> tuple[Rows, pd.DataFrame]:
    """Return the rows with one for each cancer, on which the layer is fitted, and the whole table."""
    table = evidence.load("imaged")
    base = table[(table.layer != "target") & (table.subtype == "") & (table.setting == "")]
    return as_rows(base, data), table


def as_rows(table: pd.DataFrame, data: tropism.Autopsies) -> Rows:
    """Return rows of the table as logarithms with their variances."""
    share = table[list(ORGANS)].to_numpy(float)
    own = np.array([[OWN_ORGAN.get(p) == organ for organ in ORGANS] for p in table.primary])
    share = np.where(own, np.nan, share)
    n = table.n.to_numpy(float)[:, None]
    cancer = [int(np.flatnonzero(data.cancers == tropism.row_of(p))[0]) for p in table.primary]
    variance = (1 - share) / (n * share) + _target("imaging_between_studies") ** 2
    return Rows(table.index.to_numpy(str), np.array(cancer), np.log(share), variance)


def fit(rows: Rows, field: Floats, arrival: Floats, form: Form) -> Layer:
    """Return the layer of a form.

    Parameters
    ----------
    field, arrival : ndarray, shape (cancers, organs)
        phi and ln arrival of the autopsies' rows.
    """
    r, o = np.nonzero(np.isfinite(rows.ln_share))
    sloped, fixed = _parts(rows, field, arrival, form)
    y, v = (rows.ln_share - fixed)[r, o], rows.variance[r, o]
    organs = np.unique(o)
    design = np.concatenate(
        [
            np.eye(len(rows.names))[r],
            (o[:, None] == organs) * float(form.with_shift),
            sloped[r, o][:, None],
        ],
        axis=1,
    )
    prior = np.concatenate(
        [
            np.full(len(rows.names), 1e-6),
            np.full(len(organs), 1 / _target("imaging_shift_sd") ** 2),
            [1e-6 if form.on_soil else 1e6],
        ]
    )

    def solve(tau: float) -> tuple[Floats, float]:
        weight = 1 / (v + tau**2)
        information = (design * weight[:, None]).T @ design + np.diag(prior)
        estimate = np.linalg.solve(information, design.T @ (weight * y))
        left = y - design @ estimate
        restricted = np.log(weight).sum() - np.linalg.slogdet(information)[1] - (weight * left**2).sum()
        return estimate, float(restricted - (prior * estimate**2).sum())

    tau = float(optimize.minimize_scalar(lambda s: -solve(s)[1], bounds=(1e-2, 2.0), method="bounded").x)
    estimate, _ = solve(tau)
    shift = np.full(len(ORGANS), np.nan)
    shift[organs] = estimate[len(rows.names) : -1] * float(form.with_shift)
    slope = float(estimate[-1]) if form.on_soil else float(form.with_field)
    return Layer(slope, shift, tau)


def predict(rows: Rows, field: Floats, arrival: Floats, form: Form, layer: Layer) -> Floats:
    """Return ln of the shares up to the level of a row, shape (rows, organs)."""
    sloped, fixed = _parts(rows, field, arrival, form)
    out: Floats = layer.slope * sloped * form.on_soil + fixed + layer.shift
    return out


def _parts(rows: Rows, field: Floats, arrival: Floats, form: Form) -> tuple[Floats, Floats]:
    """Return what of the field the slope multiplies, and what is taken as it is, (rows, organs) each."""
    phi, entry = field[rows.cancer], arrival[rows.cancer]
    if not form.with_field:
        return np.zeros_like(phi), np.zeros_like(phi)
    if not form.on_soil:
        return np.zeros_like(phi), phi
    return (phi, np.zeros_like(phi)) if form.on_arrival else (phi - entry, entry)


def score_forms(data: tropism.Autopsies, found: tropism.Fit) -> pd.DataFrame:
    """Return for every form how well it predicts the shares of the organs of a cancer that was left out."""
    rows, _ = read_rows(data)
    field, arrival = phi(data, found), np.log(data.arrival)
    table = []
    for name, form in forms().items():
        right, errors, divergence = 0, [], []
        for i in range(len(rows.names)):
            rest = np.flatnonzero(np.arange(len(rows.names)) != i)
            layer = fit(rows.select(rest), field, arrival, form)
            one = rows.select(np.array([i]))
            known = np.isfinite(one.ln_share[0])
            seen = special.softmax(one.ln_share[0][known])
            guess = special.softmax(predict(one, field, arrival, form, layer)[0][known])
            right += int(np.argmax(seen) == np.argmax(guess))
            errors += np.abs(np.log2(guess / seen)).tolist()
            divergence.append(float((seen * np.log(seen / guess)).sum()))
        whole = fit(rows, field, arrival, form)
        table.append(
            {
                "id": name,
                "meaning": form.meaning,
                "slope": whole.slope,
                "first_organ_right": right,
                "log2_error": float(np.median(errors)),
                "divergence": float(np.mean(divergence)),
                "n_primaries": len(rows.names),
            }
        )
    return pd.DataFrame(table).round(4)


def phi(data: tropism.Autopsies, found: tropism.Fit) -> Floats:
    """Return the field of seeding of the autopsies' cancers, shape (cancers, organs)."""
    return np.log(data.arrival) + found.soil + found.tropism


@dataclass(frozen=True)
class Field:
    """The layer in use for all cancers: what an organ adds (organs,), and what is a cancer's own."""

    layer: Layer
    organ: Floats  # slope * soil + shift
    field: Floats  # slope * phi + shift, (cancers, organs)

    def own(self, y: Floats, variance: Floats, cancer: int) -> Floats:
        """Return a row's own part, shrunk; 0 where an organ was not counted."""
        known = np.isfinite(y)
        left = np.where(known, y - self.field[cancer], 0.0)
        weight = np.where(known, 1 / (np.where(known, variance, 1.0) + self.layer.tau**2), 0.0)
        left = left - (weight * left).sum() / weight.sum()
        kept = self.layer.tau**2 / (self.layer.tau**2 + np.where(known, variance, 1.0))
        return np.where(known, kept * left, 0.0)


def _field(data: tropism.Autopsies, found: tropism.Fit, rows: Rows, all_rows: Rows, targets: Floats) -> Field:
    """Return the layer fitted to `rows`, with the shifts of the organs that no registry counts.

    Parameters
    ----------
    targets : ndarray, shape (organs,)
        Errors of the rows of layer ``target``, as shifts of their organs.
    """
    form = forms()[MAIN]
    layer = fit(rows, phi(data, found), np.log(data.arrival), form)
    shift = np.where(np.isfinite(layer.shift), layer.shift, 0.0)
    field = layer.slope * phi(data, found) + shift
    named = {name: i for i, name in enumerate(all_rows.names)}
    bare = Field(Layer(layer.slope, shift, layer.tau), layer.slope * found.soil + shift, field)
    table = evidence.load("imaged")

    def full(cancer: str) -> Floats:
        i = named[f"imaged:{cancer}"]
        at = all_rows.cancer[i]
        return field[at] + bare.own(all_rows.ln_share[i], all_rows.variance[i], at)

    lung, breast = full("lung_nsclc"), full("breast")
    a, k, b, x = (ORGANS.index(o) for o in ("adrenal", "kidney", "bone", "other"))
    adrenal, other, kidney = (table.loc[f"imaged:{name}_as_target"] for name in ("adrenal", "other", "kidney"))
    shift[a] += math.log(adrenal.adrenal / adrenal.bone) + lung[b] - lung[a]
    shift[x] += math.log(other.other / other.bone) + breast[b] - breast[x]
    counted = [ORGANS.index(o) for o in COUNTED]
    shares = []
    for cancer in kidney.primary.split(";"):
        whole = full(cancer) if f"imaged:{cancer}" in named else field[data.cancers == tropism.row_of(cancer)][0]
        seen = np.where(np.array([OWN_ORGAN.get(cancer) == o for o in COUNTED]), -np.inf, whole[counted])
        shares.append(math.exp(whole[k] - special.logsumexp(seen)))
    shift[k] += math.log(kidney.kidney / np.mean(shares))
    shift += targets
    return Field(
        Layer(layer.slope, shift, layer.tau), layer.slope * found.soil + shift, layer.slope * phi(data, found) + shift
    )


def organ_table(data: tropism.Autopsies, found: tropism.Fit) -> tuple[pd.DataFrame, float]:
    """Return the rows of the evidence table ``organs_imaged``, and the slope."""
    base, table = read_rows(data)
    used = table[table.layer != "target"]
    every = as_rows(used, data)
    now = _field(data, found, base, every, np.zeros(len(ORGANS)))
    rng = np.random.Generator(np.random.Philox(2))
    replicates = [_replicate(rng, data, found, base, every) for _ in range(_BOOTSTRAPS)]
    rows = []
    for which in _blocks(used):
        block = list(_rows(which, data, found, every, used, now, replicates))
        rows += settled(which, block, now.layer.slope)
    return pd.DataFrame(rows), now.layer.slope


def settled(block: "_Block", rows: list[dict[str, Any]], slope: float) -> list[dict[str, Any]]:
    """Return the rows of a block with founding such that the model itself shows what was fitted.

    Notes
    -----
    Organs differ in how fast lesions grow in them and in what a scan shows, and draws differ in it. Founding is
    moved until the mean over draws of P(a lesion in the organ), given spread, has the ratios of the fitted shares
    in a patient whose spread has just been found, and in early settings in what comes into sight within the years in
    which most recurrences come. The two need founding that differs: who has spread has many lesions, so that the
    chance of the organ with the most of them is near 1, while after a removal lesions are few.
    """
    draws = Draws(1, _DRAWS)
    sex = "male" if block.primary == "prostate" else "female"
    model = conditioning.build(
        block.primary, [recurrence.tube(_COUNT)], draws, sex=sex, early=block.early, setting=block.setting
    )
    if not block.early:
        model = replace(model, seen_already=np.ones(draws.n))
    organs = [row["organ"] for row in rows]
    own = np.stack(
        [draws.spread(f"ln_own: {r['organ']}", r["ln_own"], r["ln_own_low"], r["ln_own_high"], "normal") for r in rows],
        axis=1,
    )
    fixed = np.array([row["ln_layer"] for row in rows])
    arrival = np.log(model.founding.arrival) / evidence.load("parameters").central["imaging_slope"] * slope
    target = np.log([row["fitted"] for row in rows])
    moved = np.zeros(len(organs))
    for _ in range(_ROUNDS):
        founding = replace(model.founding, arrival=np.exp(arrival), ln_soil=fixed + moved, ln_tropism=own)
        shown = replace(model, founding=founding).risk([block.years])[0][0].mean(axis=0)
        step = target - np.log(shown)
        moved += step - step.mean()
    for row, by in zip(rows, moved, strict=True):
        del row["fitted"]
        for column in ("ln_own", "ln_own_low", "ln_own_high"):
            row[column] = round(row[column] + float(by), 4)
    return rows


def _replicate(rng: np.random.Generator, data: tropism.Autopsies, found: tropism.Fit, base: Rows, every: Rows) -> Field:
    """Return the layer of a bootstrap over cancers, autopsies within their errors."""
    soil = found.soil + rng.standard_normal(len(ORGANS)) * found.soil_se
    own = found.tropism + rng.standard_normal(found.tropism.shape) * found.tropism_sd
    other = tropism.Fit(found.level, soil, found.soil_se, own, found.tropism_sd, found.sigma)
    targets = rng.standard_normal(len(ORGANS)) * _target("imaging_target_sd") * [o not in COUNTED for o in ORGANS]
    picked = rng.integers(len(base.names), size=len(base.names))
    return _field(data, other, base.select(picked), every, targets)


@dataclass(frozen=True)
class _Block:
    """The rows of one primary, for a setting or subtype or for all of it: which rows of ``imaged`` say what is own."""

    primary: str
    setting: str = ""
    subtype: str = ""
    sources: tuple[str, ...] = ()

    @property
    def early(self) -> bool:
        """Whether what was fitted is shown by what comes into sight after a removal, not by what is there."""
        return self.setting in NOT_METASTATIC

    @property
    def years(self) -> float:
        """When, after the sample."""
        return _FIRST_YEARS if self.early else 0.0


def _blocks(used: pd.DataFrame) -> Iterator[_Block]:
    for primary in (p for p in SETTINGS if p not in ("none", "other")):
        of = used[used.primary == primary]
        base = tuple(of.index[(of.setting == "") & (of.subtype == "")])
        yield _Block(primary, sources=base)
        yield _Block(primary, _EARLY, sources=base)
        for name, row in of[(of.setting != "") | (of.subtype != "")].iterrows():
            settings = row.setting.split(";")
            for setting in (*settings, _EARLY) if settings == [""] else settings:
                yield _Block(primary, setting, row.subtype, (str(name), *base))


def _rows(
    block: _Block, data: tropism.Autopsies, found: tropism.Fit, every: Rows, used: pd.DataFrame, now: Field,
    replicates: list[Field],
) -> Iterator[dict[str, Any]]:  # fmt: skip
    cancer = int(np.flatnonzero(data.cancers == tropism.row_of(block.primary))[0])
    total = np.stack([_own(block, every, field, cancer) + field.field[cancer] for field in replicates])
    keep = np.array([OWN_ORGAN.get(block.primary) != organ for organ in ORGANS])
    total = total - total[:, keep].mean(axis=1, keepdims=True)
    own = _own(block, every, now, cancer)
    beyond = now.layer.slope * found.tropism[cancer] + own
    shares = used.loc[block.sources[0], list(ORGANS)].to_numpy(float) if block.sources else np.full(len(ORGANS), np.nan)
    fitted = np.exp(now.field[cancer] + own)
    scale = np.nansum(shares[keep]) / fitted[keep & np.isfinite(shares)].sum() if np.isfinite(shares).any() else np.nan
    for j in np.flatnonzero(keep):
        unknown = now.layer.tau**2 if not _counted(block, every, j) else 0.0
        sd = math.sqrt(float(total[:, j].var()) + unknown)
        yield {
            "id": ":".join(filter(None, ("imaged", block.primary, block.setting, block.subtype, ORGANS[j]))),
            "primary": block.primary,
            "setting": block.setting,
            "subtype": block.subtype,
            "organ": ORGANS[j],
            "share_observed": "" if np.isnan(shares[j]) else round(float(shares[j]), 5),
            "share_fitted": "" if np.isnan(scale) else round(float(scale * fitted[j]), 5),
            "fitted": float(fitted[j]),
            "ln_layer": round(float(now.organ[j]), 4),
            "ln_own": round(float(beyond[j]), 4),
            "ln_own_low": round(float(beyond[j] - Z95 * sd), 4),
            "ln_own_high": round(float(beyond[j] + Z95 * sd), 4),
            "kind": "derived" if block.sources else "assumption",
            "reason": ""
            if block.sources
            else "no registry of this cancer was read: its autopsies, and the layer of others",
            "reference": ";".join(dict.fromkeys(["disibio_2008", *used.reference[list(block.sources)]])),
            "locator": "rows of imaged and autopsy, fitted by calibration.calibrate",
            "how_read": "computed",
            "note": "",
        }


def _own(block: _Block, every: Rows, field: Field, cancer: int) -> Floats:
    """Return what is a block's own: its first source's, where that did not count an organ the next one's."""
    own = np.zeros(len(ORGANS))
    for name in reversed(block.sources):
        i = int(np.flatnonzero(every.names == name)[0])
        counted = np.isfinite(every.ln_share[i])
        own = np.where(counted, field.own(every.ln_share[i], every.variance[i], cancer), own)
    return own


def _counted(block: _Block, every: Rows, organ: int) -> bool:
    return any(np.isfinite(every.ln_share[every.names == name][0, organ]) for name in block.sources)
