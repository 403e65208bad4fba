"""States of stain, optics, camera and blood, one factor each: what calling makes of slides that it was not made for.

Every state is one factor against a plain slide, drawn by each generator of phantoms, written as files and taken through
reading, detection, calling and counting. A state passes where its CTCs are counted right (recall and precision) or
where the sample is refused openly (`not_evaluable`, with its reason). A wrong count with status `ok` fails.

``python -m verification.stress [STATE ...]`` prints a row for each state and generator.
"""

import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import tifffile
import yaml
from numpy.typing import NDArray

from ctcascade.calling.classify import call_sample
from ctcascade.counting.count import count_ctcs
from ctcascade.data import store
from ctcascade.data.results import Counts
from ctcascade.images.detect import detect
from ctcascade.study.jobs import CountJob
from ctcascade.validation import phantom
from ctcascade.validation.phantom_camera import draw_object, photograph
from ctcascade.validation.phantom_objects import place_objects
from tests.support import other_phantom
from tests.support.calling import CONFIG, assay, classify_job, detect_job, pair_up
from tests.support.runs import ROOT
from verification import fifth_phantom, fourth_phantom, third_phantom
from verification.stress_states import MILD, STATES, UNSEEN, Blot, Scene, State

Planes = dict[str, NDArray[Any]]
NAMES = {"dna": "DAPI", "ck": "CK-PE", "cd45": "CD45-APC", "fitc": "FITC"}
FULL = 4095
TOLD = ("y_um", "x_um", "kind", "cluster", "diameter_um")
COLUMNS = (
    *("state", "maker", "recall", "precision", "clusters_f1", "status", "true", "called", "dark", "interval_covers"),
    "why",
)
LEAST = 0.90  # recall and precision below which a count with status ok is a silent fault


@dataclass(frozen=True)
class Outcome:
    """What came out for one state of one generator."""

    state: str
    maker: str
    n_true: int
    n_found: int
    n_right: int
    n_called: int
    clusters: tuple[int, int, int]  # true, called, in both
    status: str
    reason: str
    must: str = ""
    false: str = ""
    missed: str = ""
    dark: int = 0  # missed CTCs whose cytokeratin lies below the noise: nothing in the image tells them from others
    covered: bool | None = None  # whether the interval holds the true concentration; None where there is no count

    @property
    def recall(self) -> float:
        """Share of the true CTCs that were called; 1 where there are none."""
        return self.n_found / self.n_true if self.n_true else 1.0

    @property
    def precision(self) -> float:
        """Share of the calls that are CTCs; 1 where there are none."""
        return self.n_right / self.n_called if self.n_called else 1.0

    @property
    def f1(self) -> float:
        """F1 of clusters of two or more CTCs; 1 where there are none."""
        true, called, both = self.clusters
        return 2 * both / (true + called) if true + called else 1.0

    @property
    def needless(self) -> bool:
        """Whether a sample that has to be counted was refused."""
        return self.must == "count" and self.status != "ok"

    @property
    def silent(self) -> bool:
        """Whether a wrong count goes out with status ok; a single false or missed cell is none."""
        if self.status != "ok":
            return False
        if self.must == "refuse":
            return True
        few = self.n_called - self.n_right <= 1 and self.n_true - self.n_found <= 1
        return min(self.recall, self.precision) < LEAST and not few


def run(state: State, maker: str, seed: int, folder: Path | None = None) -> Outcome:
    """Return what calling and counting make of one state, drawn by one generator.

    Parameters
    ----------
    state : State
    maker : str
        A key of `MAKERS`.
    seed : int
    folder : Path, optional
        Where frames and cells are kept from one call to the next, so that only calling is repeated.
    """
    return score(state, maker, *seen(state, maker, seed, folder))


def score(state: State, maker: str, truth: pd.DataFrame, frames: pd.DataFrame, cells: pd.DataFrame) -> Outcome:
    """Return what calling and counting make of the tables of one state."""
    given = assay("cellsearch")
    job = classify_job({**given, **({"leukocytes": state.leukocytes} if state.leukocytes else {})})
    called = call_sample(job, frames, cells)
    counts = count_ctcs(_count_job(), frames, called.calls, claims=called.reference.claims)
    px = float(frames["pixel_size_um"].dropna().iloc[0]) if len(frames) else 1.0
    ctcs = truth[truth["kind"].isin(phantom.CTC_KINDS)].reset_index(drop=True)
    made = called.calls[called.calls["call"] == "ctc"].reset_index(drop=True)
    partner = pair_up(ctcs, made, px)
    hit = partner >= 0
    return Outcome(
        state=state.name,
        maker=maker,
        n_true=len(ctcs),
        n_found=int(hit.sum()),
        n_right=len(set(partner[hit])),
        n_called=len(made),
        clusters=_clusters(ctcs.assign(row=partner), made),
        status=counts.status,
        reason=counts.reason,
        must=state.must,
        false=_kinds(truth, made.drop(index=partner[hit]), px),
        missed=_why(ctcs[~hit], called.calls, px),
        dark=_dark(ctcs[~hit], frames, cells, px),
        covered=_covered(counts, len(ctcs)),
    )


def _dark(missed: pd.DataFrame, frames: pd.DataFrame, cells: pd.DataFrame, px: float) -> int:
    """Return how many missed CTCs were found as cells that show less cytokeratin than the noise."""
    partner = pair_up(missed.reset_index(drop=True), cells, px)
    rows = cells.iloc[partner[partner >= 0]]
    light = rows["ck_mean"].to_numpy(float) - np.maximum(np.nan_to_num(rows["ck_ring_mean"].to_numpy(float)), 0)
    return int((light < frames["ck_noise"].median()).sum())


def _covered(counts: Counts, n_true: int) -> bool | None:
    """Return whether the interval holds the blood's CTCs, of which the usual share lies on the slide."""
    interval = counts.ctc_per_7_5_ml
    if interval is None:
        return None
    return interval.low <= n_true / counts.recovery.mean / counts.imaged_fraction <= interval.high


def _kinds(truth: pd.DataFrame, wrong: pd.DataFrame, px: float) -> str:
    kinds = np.append(truth["kind"].to_numpy(object), "nothing")
    return str(pd.Series(kinds[pair_up(wrong.reset_index(drop=True), truth, px)]).value_counts().to_dict())


def _why(missed: pd.DataFrame, calls: pd.DataFrame, px: float) -> str:
    words = np.append((calls["call"] + ":" + calls["reason"].str.split(" at_").str[0]).to_numpy(object), "no cell")
    return str(pd.Series(words[pair_up(missed.reset_index(drop=True), calls, px)]).value_counts().head(4).to_dict())


def _clusters(ctcs: pd.DataFrame, made: pd.DataFrame) -> tuple[int, int, int]:
    groups = [g for _, g in ctcs[ctcs["cluster"] > 0].groupby(["frame", "cluster"]) if len(g) > 1]
    true = [{int(row) if row >= 0 else -2 - k for k, row in enumerate(group["row"])} for group in groups]
    found = [set(group.index) for _, group in made.dropna(subset="cluster").groupby("cluster")]
    return len(true), len(found), sum(2 * len(a & b) > len(a | b) for a in true for b in found)


def _count_job() -> CountJob:
    loaded = yaml.safe_load((ROOT / "config" / "assays" / "cellsearch.yaml").read_text(encoding="utf-8"))
    factors = {key: loaded[key] for key in ("recovery", "sensitivity", "background_per_7_5_ml")}
    about = {"sample": "s", "patient": "p", "collected": "2026-01-01", "blood_volume_ml": 7.5, "sampled_fraction": 1.0}
    return CountJob.model_validate({**about, "assay": {"name": "cellsearch", **factors}, **CONFIG["count"]})


def seen(
    state: State, maker: str, seed: int, folder: Path | None = None
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return truth, frames and cells of one state."""
    with tempfile.TemporaryDirectory() as place:
        kept = (folder or Path(place)) / maker / f"{state.name.replace('/', '_')} {seed}"
        names = [kept / f"{name}.pickle" for name in ("truth", "frames", "cells")]
        if not all(path.exists() for path in names):
            kept.mkdir(parents=True, exist_ok=True)
            for path, table in zip(names, _detected(state, maker, seed, Path(place)), strict=True):
                table.to_pickle(path)
        truth, frames, cells = (pd.read_pickle(path) for path in names)
    return truth, frames, cells


def _detected(state: State, maker: str, seed: int, place: Path) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    images = place / "images"
    images.mkdir()
    truth = write(state, maker, seed, images)
    paths = [place / "frames.parquet", place / "cells.parquet"]
    detect(detect_job(assay("cellsearch"), str(images)), place, (1, 1), *paths)
    return truth, store.read_table(paths[0], "frames"), store.read_table(paths[1], "cells")


def write(state: State, maker: str, seed: int, images: Path) -> pd.DataFrame:
    """Write the frames of a state, drawn by a generator, and return their truth."""
    of, truth = MAKERS[maker], []
    rng = np.random.default_rng([seed, len(state.name), *state.name.encode()])
    groups = [(1, 0)] * state.scene.ctcs + list(state.scene.clusters)
    home = rng.permutation(np.arange(len(groups)) % state.scene.frames)
    for number in range(state.scene.frames):
        here = [g for g, h in zip(groups, home, strict=True) if h == number]
        light, rows, px = of.draw(state, here, rng)
        planes = of.photograph(state, light, rng)
        planes = state.pixels(planes, number, rng) if state.pixels else planes
        name = f"f{number + 1:03d}"
        _write_frame(images / f"{name}.ome.tif", planes, px)
        truth.append(rows.assign(frame=name))
    return pd.concat(truth, ignore_index=True)


def _write_frame(path: Path, planes: Planes, px: float) -> None:
    size = {"PhysicalSizeX": px, "PhysicalSizeY": px, "PhysicalSizeXUnit": "µm", "PhysicalSizeYUnit": "µm"}
    stack = np.stack(list(planes.values()))
    deep = {"SignificantBits": 12} if stack.dtype == np.uint16 and stack.max() <= FULL else {}
    metadata = {"axes": "CYX", "Channel": {"Name": [NAMES[role] for role in planes]}, **size, **deep}
    tifffile.imwrite(path, stack, photometric="minisblack", metadata=metadata)


@dataclass(frozen=True)
class Maker:
    """A generator: light of a frame (shares of the camera's range) and its truth; counts of that light."""

    draw: Callable[[State, Sequence[tuple[int, int]], np.random.Generator], tuple[Planes, pd.DataFrame, float]]
    photograph: Callable[[State, Planes, np.random.Generator], Planes]


def _blotted(state: State, light: Planes, px: float, rows: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Paint a state's further objects into free places, and return the truth with them."""
    height, width = next(iter(light.values())).shape
    discs = rows[["y_um", "x_um"]].to_numpy(float), rows["diameter_um"].to_numpy(float) / 2
    more: list[dict[str, Any]] = []
    for blot in state.blots(rng) if state.blots else ():
        for _ in range(60):
            y, x = rng.uniform(12, height * px - 12), rng.uniform(12, width * px - 12)
            if (np.hypot(*(discs[0] - (y, x)).T) > discs[1] + blot.diameter_um / 2 + 4).all():
                break
        else:
            continue
        _paint(light, blot, y, x, px, rng)
        discs = np.vstack([discs[0], (y, x)]), np.append(discs[1], blot.diameter_um / 2)
        more.append({"y_um": y, "x_um": x, "kind": blot.kind, "cluster": 0, "diameter_um": blot.diameter_um})
    return pd.concat([rows, pd.DataFrame(more)], ignore_index=True) if more else rows


def _paint(light: Planes, blot: Blot, y: float, x: float, px: float, rng: np.random.Generator) -> None:
    reach = int(blot.diameter_um / px) + 3
    cy, cx = int(y / px), int(x / px)
    v, u = np.mgrid[-reach : reach + 1, -reach : reach + 1] * px
    angle = np.arctan2(v, u)
    waves = sum(blot.rough / k * np.sin(k * angle + rng.uniform(0, 6.3)) for k in (2, 3, 4))
    body = np.clip((blot.diameter_um / 2 * (1 + waves) - np.hypot(v, u)) / 0.6 + 0.5, 0, 1)
    spots = np.zeros_like(body)
    for _ in range(blot.dna_spots):
        turn, far, size = rng.uniform(0, 6.3), rng.uniform(0.2, 0.6) * blot.diameter_um / 2, rng.uniform(1.4, 2.6)
        spots = np.maximum(
            spots, np.clip((size / 2 - np.hypot(v - far * np.sin(turn), u - far * np.cos(turn))) + 0.5, 0, 1)
        )
    for role, amount in blot.light.items():
        shape = spots if role == "dna" and blot.dna_spots else body
        window = light[role][cy - reach : cy + reach + 1, cx - reach : cx + reach + 1]
        if window.shape == body.shape:
            window += (amount * shape).astype(window.dtype)


def _draw_phantom(
    state: State, groups: Sequence[tuple[int, int]], rng: np.random.Generator
) -> tuple[Planes, pd.DataFrame, float]:
    scene, px = state.scene, 0.645
    shape = (560, 560)
    recipe = phantom.Recipe(
        leukocytes=scene.leukocytes,
        ctc_diameter_um=(scene.ctc_um, 0.12 if scene.ctc_um < 8 else 0.2),
        weak_ck=0.05,
        aggregates=0.3,
        apoptotic=scene.dying,
    )
    things = place_objects(recipe, (shape[0] * px, shape[1] * px), groups, rng)
    planes = np.zeros((4, *shape))
    for thing in things:
        lit, drawn = dict(thing.light), thing.kind
        if state.cell and thing.kind in (*phantom.CTC_KINDS, *phantom.LEUKOCYTE_KINDS):
            new, form = state.cell(_sort(thing.kind), lit, rng)
            lit, drawn = new, form or drawn
        draw_object(planes, replace(thing, kind=drawn, light=lit), px, rng)
    rows = pd.DataFrame([{name: getattr(thing, name) for name in TOLD} for thing in things], columns=list(TOLD))
    light = dict(zip(phantom.ROLES, planes, strict=True))
    rows = _blotted(state, light, px, rows, rng)
    return light, rows.assign(y_px=rows["y_um"] / px, x_px=rows["x_um"] / px), px


def _photograph_phantom(state: State, light: Planes, rng: np.random.Generator) -> Planes:
    optics = phantom.Optics(bleed=0.01)
    light = _through(state, light, optics.pixel_size_um)
    return dict(zip(phantom.ROLES, photograph(np.stack([light[r] for r in phantom.ROLES]), optics, rng), strict=True))


def _draw_other(
    state: State, groups: Sequence[tuple[int, int]], rng: np.random.Generator
) -> tuple[Planes, pd.DataFrame, float]:
    scene = state.scene
    blood = _blood(scene)
    cells = other_phantom._crowd(blood, groups, rng)
    for cell in cells:
        lit = {role: cell[role] / FULL for role in phantom.ROLES}
        if state.cell:
            new, form = state.cell(_sort(cell["kind"]), lit, rng)
            cell.update({role: value * FULL for role, value in new.items()})
            cell["nuclei"] = _nuclei(form, cell, rng)
    light = {role: plane / FULL for role, plane in other_phantom._painted(blood, cells, rng).items()}
    rows = pd.DataFrame([c["row"] for c in cells], columns=list(TOLD))
    rows = _blotted(state, light, blood.pixel_size_um / other_phantom.FINE, rows, rng)
    px = blood.pixel_size_um
    return light, rows.assign(y_px=rows["y_um"] / px, x_px=rows["x_um"] / px), px


def _blood(scene: Scene) -> other_phantom.Blood:
    return other_phantom.Blood(shape=(480, 480), leukocytes=scene.leukocytes, ctc_um=scene.ctc_um, litter=10)


def _nuclei(form: str, cell: Mapping[str, Any], rng: np.random.Generator) -> list[tuple[float, float, float, float]]:
    size = cell["long"]
    if form == "ctc_mitotic":
        return [(0.0, 0.18 * size, 0.45 * size, 0.4), (0.0, -0.18 * size, 0.45 * size, 0.4)]
    if form == "ctc_lobed":
        turn, spread = rng.uniform(0, 6.3), 0.2 * size
        return [(spread * np.sin(turn + 2.1 * k), spread * np.cos(turn + 2.1 * k), 0.38 * size, 0.9) for k in range(3)]
    return list(cell["nuclei"])


def _photograph_other(state: State, light: Planes, rng: np.random.Generator) -> Planes:
    blood = _blood(state.scene)
    light = _through(state, light, blood.pixel_size_um / other_phantom.FINE)
    counts = other_phantom._exposed({r: (p * FULL).astype(np.float32) for r, p in light.items()}, blood, rng)
    return dict(zip(other_phantom.ROLES, counts, strict=True))


def _draw_third(
    state: State, groups: Sequence[tuple[int, int]], rng: np.random.Generator
) -> tuple[Planes, pd.DataFrame, float]:
    film = _film(state.scene)
    bodies = third_phantom.crowd(film, groups, rng)
    if state.cell:
        for k, body in enumerate(bodies):
            if body.kind in phantom.CTC_KINDS or body.kind.startswith("leukocyte"):
                lit, form = state.cell(_sort(body.kind), dict(body.light), rng)
                bodies[k] = body._replace(light=lit, form=form or body.form)
    light = third_phantom.paint(bodies, film, rng)
    rows = third_phantom.truth_of(bodies, film)
    return (
        light,
        _blotted(state, light, film.pixel_size_um, rows[list(TOLD)], rng).pipe(_in_pixels, film),
        film.pixel_size_um,
    )


def _in_pixels(rows: pd.DataFrame, film: third_phantom.Film) -> pd.DataFrame:
    return rows.assign(y_px=rows["y_um"] / film.pixel_size_um, x_px=rows["x_um"] / film.pixel_size_um)


def _film(scene: Scene) -> third_phantom.Film:
    return third_phantom.Film(shape=(600, 600), leukocytes=scene.leukocytes, ctc_um=scene.ctc_um, dying=scene.dying)


def _photograph_third(state: State, light: Planes, rng: np.random.Generator) -> Planes:
    film = _film(state.scene)
    return third_phantom.photograph(_through(state, light, film.pixel_size_um), film, rng)


def _draw_fourth(
    state: State, groups: Sequence[tuple[int, int]], rng: np.random.Generator
) -> tuple[Planes, pd.DataFrame, float]:
    drop = _drop(state.scene)
    things = fourth_phantom.crowd(drop, groups, rng)
    if state.cell:
        for k, thing in enumerate(things):
            if thing.kind in phantom.CTC_KINDS or thing.kind.startswith("leukocyte"):
                lit, form = state.cell(_sort(thing.kind), dict(thing.light), rng)
                things[k] = thing._replace(light=lit, form=form or thing.form)
    light = fourth_phantom.paint(things, drop, rng)
    px = drop.pixel_size_um
    rows = _blotted(state, light, px, fourth_phantom.truth_of(things, drop)[list(TOLD)], rng)
    return light, rows.assign(y_px=rows["y_um"] / px, x_px=rows["x_um"] / px), px


def _drop(scene: Scene) -> fourth_phantom.Drop:
    return fourth_phantom.Drop(leukocytes=scene.leukocytes, ctc_um=scene.ctc_um, dying=scene.dying)


def _photograph_fourth(state: State, light: Planes, rng: np.random.Generator) -> Planes:
    drop = _drop(state.scene)
    return fourth_phantom.photograph(_through(state, light, drop.pixel_size_um), drop, rng)


def _draw_fifth(
    state: State, groups: Sequence[tuple[int, int]], rng: np.random.Generator
) -> tuple[Planes, pd.DataFrame, float]:
    scene = state.scene
    smear = fifth_phantom.Smear(leukocytes=scene.leukocytes, ctc_um=scene.ctc_um, dying=scene.dying)
    lot = fifth_phantom.stained(smear, np.random.default_rng(len(state.name)))
    bodies = fifth_phantom.crowd(smear, groups, rng)
    for k, body in enumerate(bodies):
        lit, form = {role: value * lot[role] for role, value in body.light.items()}, ""
        if state.cell and (body.kind in phantom.CTC_KINDS or body.kind.startswith("leukocyte")):
            lit, form = state.cell(_sort(body.kind), lit, rng)
        bodies[k] = body._replace(light=lit, form=form or body.form)
    light, px = fifth_phantom.paint(bodies, smear, rng), smear.pixel_size_um
    rows = _blotted(state, light, px, fifth_phantom.truth_of(bodies, smear)[list(TOLD)], rng)
    return light, rows.assign(y_px=rows["y_um"] / px, x_px=rows["x_um"] / px), px


def _photograph_fifth(state: State, light: Planes, rng: np.random.Generator) -> Planes:
    smear = fifth_phantom.Smear()
    return fifth_phantom.photograph(_through(state, light, smear.pixel_size_um), smear, rng)


def _through(state: State, light: Planes, px: float) -> Planes:
    light = state.light(light) if state.light else light
    if state.defocus_um:
        r = int(np.ceil(state.defocus_um / px))
        y, x = np.mgrid[-r : r + 1, -r : r + 1] * px
        disc = np.clip((state.defocus_um - np.hypot(y, x)) / px + 0.5, 0, 1)
        light = {role: cv2.filter2D(plane, -1, disc / disc.sum()) for role, plane in light.items()}
    return light


def _sort(kind: str) -> str:
    return "ctc" if kind in phantom.CTC_KINDS else kind


MAKERS = {
    "phantom": Maker(_draw_phantom, _photograph_phantom),
    "other": Maker(_draw_other, _photograph_other),
    "third": Maker(_draw_third, _photograph_third),
    "fourth": Maker(_draw_fourth, _photograph_fourth),
    "fifth": Maker(_draw_fifth, _photograph_fifth),
}


def row_of(o: Outcome) -> list[str | int]:
    """Return an outcome as a row of `COLUMNS`."""
    row = [o.state, o.maker, f"{o.recall:.3f}", f"{o.precision:.3f}", f"{o.f1:.2f}", o.status]
    fault = "SILENT " if o.silent else "NEEDLESS " if o.needless else ""
    covered = {True: "yes", False: "no", None: "-"}[o.covered]
    why = f"{fault}{o.reason} | missed {o.missed} | false {o.false}"
    return [*row, o.n_true, o.n_called, o.dark, covered, why]


def main(names: Sequence[str], seed: int = 1, folder: Path | None = None, makers: Sequence[str] = ()) -> int:
    """Print a row for each state and generator; return how many fail silently."""
    chosen = [s for s in (*STATES, *UNSEEN, *MILD) if not names or any(name in s.name for name in names)]
    silent = 0
    print(*COLUMNS, sep="\t")
    for state in chosen:
        for maker in makers or MAKERS:
            o = run(state, maker, seed, folder)
            silent += o.silent or o.needless
            print(*row_of(o), sep="\t", flush=True)
    print(f"{silent} of {len(chosen) * len(makers or MAKERS)} are wrong with status ok, or refused without need")
    return silent


if __name__ == "__main__":
    import argparse

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("states", nargs="*", help="parts of names of states; none is all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="folder for frames and cells, so that only calling is repeated")
    parser.add_argument("--maker", nargs="*", choices=list(MAKERS), default=(), help="generators; none is all")
    given = parser.parse_args()
    sys.exit(bool(main(given.states, given.seed, given.keep, given.maker)))
