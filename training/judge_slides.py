"""Slides that the learned judge is trained on: four generators, every factor at random, and how they are detected.

A slide is one small frame with many CTCs and many things that are easily mistaken for one. Its number decides
everything: the generator (its remainder by four), what lies on it, stain, optics and camera.

    python -m training.judge_slides FIRST-LAST FOLDER

writes the pixels of each slide (``.npz``, so that they can be measured again) and its tables (``.pickle``).
"""

import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pandas as pd

from ctcascade.formats.frame import assemble
from ctcascade.images.detect import detect_frame
from ctcascade.study.settings import FrameLimits
from ctcascade.validation import phantom
from ctcascade.validation.phantom_camera import draw_object, photograph
from ctcascade.validation.phantom_objects import place_objects
from tests.support import other_phantom
from tests.support.calling import DETECT, assay
from tests.support.detecting import camera_of
from training import dying
from verification import fourth_phantom, stress, third_phantom
from verification import stress_states as states
from verification.stress_states import Scene, State

MAKERS = ("phantom", "other", "third", "fourth")
Planes = dict[str, Any]
Rng = np.random.Generator


class Drawn(NamedTuple):
    """A slide: pixels by role, truth, edge of a pixel (um)."""

    planes: Planes
    truth: pd.DataFrame
    pixel_size_um: float


def draw(number: int) -> Drawn:
    """Return the slide of this number."""
    rng = np.random.default_rng([number, 1515])
    state, groups = _state(rng)
    maker = (_phantom, _other, _third, _fourth)[number % len(MAKERS)]
    light, rows, px, expose = maker(state, groups, rng)
    planes = expose(light, rng)
    planes = state.pixels(planes, 0, rng) if state.pixels else planes
    return Drawn(planes, rows.assign(frame="f001"), px)


def detected(drawn: Drawn) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the frames and cells tables of a slide, as detection makes them from its file."""
    frame = assemble(drawn.planes, camera_of(assay("cellsearch")), drawn.pixel_size_um)
    frames, cells, _, _ = detect_frame(frame, "f001", DETECT, FrameLimits())
    return frames, cells


def _state(rng: Rng) -> tuple[State, list[tuple[int, int]]]:
    """Return a state with many factors at random, and the CTCs and leukocytes of each group."""
    n_ctc = int(rng.choice([0, 3, 8, 16, 26], p=[0.1, 0.1, 0.3, 0.3, 0.2]))
    groups: list[tuple[int, int]] = [(1, 0)] * n_ctc
    if n_ctc > 3:
        groups += [[(2, 0), (3, 0), (2, 1), (1, 1), (1, 2), (0, 2), (4, 0)][k] for k in rng.integers(0, 7, 3)]
    groups += [(0, 2)] * int(rng.integers(0, 4))
    leukocytes = int(np.exp(rng.uniform(np.log(25), np.log(160))))
    size = float(np.exp(rng.uniform(np.log(6.0), np.log(19.0)))) if rng.random() < 0.5 else 12.0
    blots = [_some(states._dying, 4, 0.6, rng), _some(states._dye, 3, 0.3, rng), _some(states._fragments, 6, 0.3, rng)]
    state = State(
        "random",
        Scene(leukocytes, n_ctc, (), size, 1),
        cell=_cells(rng),
        light=_light(rng),
        pixels=_camera(rng),
        blots=lambda r: [blot for make in blots for blot in make(r)],
        defocus_um=float(rng.uniform(0.2, 1.2)) if rng.random() < 0.2 else 0.0,
    )
    return state, groups


def _littered(state: State, light: Planes, px: float, rows: pd.DataFrame, rng: Rng) -> pd.DataFrame:
    """Paint what is no cell, and dying cells, into the light of a frame, and return the truth with them."""
    rows = stress._blotted(state, light, px, rows, rng)
    return dying.painted(light, rows, int(rng.integers(1, 9)) if rng.random() < 0.75 else 0, px, rng)


def _some(make: Any, most: int, share: float, rng: Rng) -> Any:
    return make(int(rng.integers(1, most + 1)) if rng.random() < share else 0)


def _cells(rng: Rng) -> Any:
    """Return what changes the light of single cells: a few of the known factors, one after the other."""
    changes = []
    for change, share in (
        (lambda: states._eosinophils(rng.uniform(0.03, 0.35), rng.uniform(0.02, 0.07)), 0.2),
        (lambda: states._background(rng.uniform(1.5, 6)), 0.2),
        (lambda: states._scaled("ck", float(np.exp(rng.uniform(np.log(0.15), np.log(2.5)))), "ctc"), 0.3),
        (lambda: states._cd45_on_ctcs(rng.uniform(0.005, 0.035), rng.uniform(0.2, 1)), 0.2),
        (lambda: states._form("ctc_mitotic", rng.uniform(1.2, 2)), 0.15),
        (lambda: states._form("ctc_lobed", 1.0), 0.15),
        (lambda: states._scaled("dna", float(np.exp(rng.uniform(np.log(0.5), np.log(2)))), "ctc"), 0.2),
    ):
        if rng.random() < share:
            changes.append(change())

    def all_of(kind: str, light: dict[str, float], r: Rng) -> tuple[dict[str, float], str]:
        form = ""
        for one in changes:
            light, new = one(kind, light, r)
            form = new or form
        return light, form

    return all_of


def _light(rng: Rng) -> Any:
    """Return what stains and filters do to the light."""
    pairs = [
        (a, b, float(np.exp(rng.uniform(np.log(0.005), np.log(0.12 if (a, b) == ("ck", "cd45") else 0.08)))))
        for a, b in states.PAIRS
        if rng.random() < 0.25
    ]
    faint = {role: float(np.exp(rng.uniform(np.log(least), 0.4))) for role, least in (("cd45", 0.15), ("ck", 0.25))}
    faint = {role: share for role, share in faint.items() if rng.random() < 0.3}
    if rng.random() < 0.2:
        faint["dna"] = float(rng.uniform(0.25, 1.3))

    grain = {
        role: (float(rng.uniform(0.1, 0.6)), float(rng.uniform(1, 5))) for role in ("dna", "ck") if rng.random() < 0.5
    }
    seed = int(rng.integers(2**31))

    def change(light: Planes) -> Planes:
        fresh = np.random.default_rng(seed)
        for role, (depth, sigma_px) in grain.items():  # whatever the generator's own texture is
            field = np.exp(depth * third_phantom._field(light[role].shape, sigma_px, fresh))
            light = {**light, role: (light[role] * field / field.mean()).astype(light[role].dtype)}
        light = states._bleed(*pairs)(light)
        return {role: plane * faint.get(role, 1.0) for role, plane in light.items()}

    return change


def _camera(rng: Rng) -> Any:
    """Return what camera and file do to the counts."""
    changes = []
    for change, share in (
        (lambda: states._hot(float(np.exp(rng.uniform(np.log(1e-5), np.log(1e-3))))), 0.15),
        (lambda: states._shifted(str(rng.choice(["ck", "cd45"])), int(rng.integers(1, 3)), (0,)), 0.15),
    ):
        if rng.random() < share:
            changes.append(change())
    draw = rng.random()
    if draw < 0.2:
        changes.append(states._eight_bit)
    elif draw < 0.35:
        changes.append(states._jpeg(int(rng.integers(30, 95))))
    elif draw < 0.45:
        changes.append(states._times(16))

    def all_of(planes: Planes, number: int, r: Rng) -> Planes:
        for one in changes:
            planes = one(planes, number, r)
        return planes

    return all_of


def _phantom(state: State, groups: Sequence[tuple[int, int]], rng: Rng) -> tuple[Planes, pd.DataFrame, float, Any]:
    px = float(rng.choice([0.5, 0.591, 0.645, 0.75]))
    shape = (520, 520)
    recipe = phantom.Recipe(
        leukocytes=state.scene.leukocytes,
        ctc_diameter_um=(state.scene.ctc_um, float(rng.uniform(0.08, 0.22))),
        ck=float(rng.uniform(0.1, 0.35)),
        weak_ck=float(rng.uniform(0, 0.3)),
        leukocyte_ck=float(rng.uniform(0, 0.08)),
        leukocyte_weak_cd45=float(rng.uniform(0, 0.15)),
        granulocytes=float(rng.uniform(0.3, 0.75)),
        bare_nuclei=2.0,
        aggregates=float(rng.uniform(0, 1.5)),
        apoptotic=float(rng.choice([0.0, 2.0, 5.0])),
    )
    optics = phantom.Optics(
        pixel_size_um=px,
        psf_um=float(rng.uniform(0.3, 0.85)),
        read_noise=float(np.exp(rng.uniform(np.log(2), np.log(14)))),
        photons_per_count=float(np.exp(rng.uniform(np.log(0.7), np.log(6)))),
        haze=tuple(np.exp(rng.uniform(np.log(10), np.log(250), 4)).tolist()),
        vignetting=float(rng.uniform(0, 0.4)),
        bleed=float(rng.uniform(0, 0.02)),
        shift_px=float(rng.uniform(0, 1.2)),
    )
    things = place_objects(recipe, (shape[0] * px, shape[1] * px), groups, rng)
    larger = float(rng.uniform(0.7, 1.2))
    planes = np.zeros((4, *shape))
    for thing in things:
        lit, drawn = dict(thing.light), thing.kind
        if thing.kind in (*phantom.CTC_KINDS, *phantom.LEUKOCYTE_KINDS):
            lit, form = state.cell(stress._sort(thing.kind), lit, rng)
            drawn = form or drawn
        nucleus = thing.nucleus_um * (larger if thing.kind in phantom.CTC_KINDS else 1.0)
        draw_object(planes, replace(thing, kind=drawn, light=lit, nucleus_um=nucleus), px, rng)
    rows = pd.DataFrame([{name: getattr(t, name) for name in stress.TOLD} for t in things], columns=list(stress.TOLD))
    light = dict(zip(phantom.ROLES, planes, strict=True))
    rows = _littered(state, light, px, rows, rng)

    def expose(lit: Planes, r: Rng) -> Planes:
        lit = stress._through(state, lit, px)
        counts = photograph(np.stack([lit[role] for role in phantom.ROLES]), optics, r)
        return dict(zip(phantom.ROLES, counts, strict=True))

    return light, rows.assign(y_px=rows["y_um"] / px, x_px=rows["x_um"] / px), px, expose


def _other(state: State, groups: Sequence[tuple[int, int]], rng: Rng) -> tuple[Planes, pd.DataFrame, float, Any]:
    blood = other_phantom.Blood(
        shape=(460, 460),
        pixel_size_um=float(rng.choice([0.5, 0.65, 0.75, 0.9])),
        leukocytes=state.scene.leukocytes,
        ctc_um=state.scene.ctc_um,
        ck=float(rng.uniform(250, 900)),
        weak_ck=float(rng.uniform(0, 0.3)),
        uptake=float(rng.uniform(0, 0.1)),
        weak_cd45=float(rng.uniform(0, 0.15)),
        moffat_um=float(rng.uniform(0.4, 1.0)),
        noise=float(np.exp(rng.uniform(np.log(3), np.log(16)))),
        litter=int(rng.integers(3, 30)),
    )
    full, fine, px = stress.FULL, blood.pixel_size_um / other_phantom.FINE, blood.pixel_size_um
    cells = other_phantom._crowd(blood, groups, rng)
    larger = float(rng.uniform(0.7, 1.2))
    for cell in cells:
        new, form = state.cell(stress._sort(cell["kind"]), {r: cell[r] / full for r in phantom.ROLES}, rng)
        cell.update({role: value * full for role, value in new.items()})
        size = larger if cell["kind"] in phantom.CTC_KINDS and not form else 1.0
        cell["nuclei"] = [(a, b, size * long, flat) for a, b, long, flat in stress._nuclei(form, cell, rng)]
    light = {role: plane / full for role, plane in other_phantom._painted(blood, cells, rng).items()}
    rows = pd.DataFrame([c["row"] for c in cells], columns=list(stress.TOLD))
    rows = _littered(state, light, fine, rows, rng)

    def expose(lit: Planes, r: Rng) -> Planes:
        lit = stress._through(state, lit, fine)
        counts = other_phantom._exposed({k: (p * full).astype(np.float32) for k, p in lit.items()}, blood, r)
        return dict(zip(other_phantom.ROLES, counts, strict=True))

    return light, rows.assign(y_px=rows["y_um"] / px, x_px=rows["x_um"] / px), px, expose


def _third(state: State, groups: Sequence[tuple[int, int]], rng: Rng) -> tuple[Planes, pd.DataFrame, float, Any]:
    film = third_phantom.Film(
        shape=(520, 520),
        pixel_size_um=float(rng.choice([0.45, 0.55, 0.65, 0.75])),
        leukocytes=state.scene.leukocytes,
        granulocytes=float(rng.uniform(0.35, 0.7)),
        uptake=float(rng.uniform(0, 0.08)),
        weak_cd45=float(rng.uniform(0, 0.15)),
        ctc_um=state.scene.ctc_um,
        ctc_spread=float(rng.uniform(0.08, 0.25)),
        ck=float(rng.uniform(0.08, 0.3)),
        weak_ck=float(rng.uniform(0, 0.3)),
        dying=float(rng.choice([0.0, 3.0, 7.0])),
        bodies=float(rng.choice([0.0, 1.0, 3.0])),
        dye=float(rng.uniform(0, 1.5)),
        bare=2.0,
        fade=float(rng.uniform(0, 0.4)),
        nucleus=(float(rng.uniform(0.45, 0.7)), float(rng.uniform(0.7, 0.85))),
        spill=float(rng.choice([0.0, 0.0, 0.05, 0.1])),
        aperture=float(rng.uniform(0.3, 0.75)),
        waves=float(rng.uniform(0, 0.12)),
        other_planes=float(rng.uniform(0.05, 0.4)),
        electrons=float(np.exp(rng.uniform(np.log(2500), np.log(25000)))),
        read_noise=float(rng.uniform(1.5, 12)),
        haze=float(np.exp(rng.uniform(np.log(0.004), np.log(0.08)))),
    )
    bodies = third_phantom.crowd(film, groups, rng)
    for k, body in enumerate(bodies):
        if body.kind in phantom.CTC_KINDS or body.kind.startswith("leukocyte"):
            lit, form = state.cell(stress._sort(body.kind), dict(body.light), rng)
            bodies[k] = body._replace(light=lit, form=form or body.form)
    light = third_phantom.paint(bodies, film, rng)
    rows = third_phantom.truth_of(bodies, film)[list(stress.TOLD)]
    rows = stress._in_pixels(_littered(state, light, film.pixel_size_um, rows, rng), film)

    def expose(lit: Planes, r: Rng) -> Planes:
        return third_phantom.photograph(stress._through(state, lit, film.pixel_size_um), film, r)

    return light, rows, film.pixel_size_um, expose


def _fourth(state: State, groups: Sequence[tuple[int, int]], rng: Rng) -> tuple[Planes, pd.DataFrame, float, Any]:
    drop = fourth_phantom.Drop(
        pixel_size_um=float(rng.choice([0.5, 0.6, 0.65, 0.75])),
        leukocytes=state.scene.leukocytes,
        ctc_um=state.scene.ctc_um,
        ck=float(rng.uniform(0.08, 0.3)),
        weak_ck=float(rng.uniform(0, 0.3)),
        uptake=float(rng.uniform(0, 0.08)),
        weak_cd45=float(rng.uniform(0, 0.15)),
        dying=float(rng.choice([0.0, 3.0, 7.0])),
        debris=float(rng.uniform(1, 8)),
        narrow_um=float(rng.uniform(0.28, 0.65)),
        wide_um=float(rng.uniform(1.5, 3)),
        wide_share=float(rng.uniform(0.1, 0.4)),
        haze=float(np.exp(rng.uniform(np.log(0.004), np.log(0.06)))),
        electrons=float(np.exp(rng.uniform(np.log(2000), np.log(20000)))),
    )
    things = fourth_phantom.crowd(drop, groups, rng)
    for k, thing in enumerate(things):
        if thing.kind in phantom.CTC_KINDS or thing.kind.startswith("leukocyte"):
            lit, form = state.cell(stress._sort(thing.kind), dict(thing.light), rng)
            things[k] = thing._replace(light=lit, form=form or thing.form)
    light = fourth_phantom.paint(things, drop, rng)
    px = drop.pixel_size_um
    rows = _littered(state, light, px, fourth_phantom.truth_of(things, drop)[list(stress.TOLD)], rng)

    def expose(lit: Planes, r: Rng) -> Planes:
        return fourth_phantom.photograph(stress._through(state, lit, px), drop, r)

    return light, rows.assign(y_px=rows["y_um"] / px, x_px=rows["x_um"] / px), px, expose


def main(numbers: Sequence[int], folder: Path) -> None:
    """Write the slides that the folder lacks, and measure those again whose tables are missing."""
    cv2.setNumThreads(1)
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        began = time.monotonic()
        pixels, tables = folder / f"{number:05d}.npz", folder / f"{number:05d}.pickle"
        if not pixels.exists():
            try:
                drawn = draw(number)
            except ValueError:  # no room for all groups
                continue
            drawn.truth.to_pickle(folder / f"{number:05d}.truth")
            np.savez(pixels, px=drawn.pixel_size_um, **drawn.planes)
        if not tables.exists():
            with np.load(pixels) as data:
                planes = {role: data[role] for role in data.files if role != "px"}
                truth = pd.read_pickle(folder / f"{number:05d}.truth")
                drawn = Drawn(planes, truth, float(data["px"]))
            frames, cells = detected(drawn)
            pd.to_pickle((frames, cells, drawn.truth, drawn.pixel_size_um), tables)
        sys.stdout.write(f"{number} {time.monotonic() - began:.2f} s\n")
        sys.stdout.flush()


if __name__ == "__main__":
    first, last = (int(number) for number in sys.argv[1].split("-"))
    main(range(first, last), Path(sys.argv[2]))
