"""The list of states: each changes one factor of a plain slide, or a few at once where the name says so."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Planes = dict[str, NDArray[Any]]
Light = dict[str, float]
Rng = np.random.Generator
CLUSTERS = ((2, 0), (3, 0), (2, 1), (2, 0), (1, 2))


@dataclass(frozen=True)
class Scene:
    """What lies on the slide: leukocytes and dying cells a frame, single CTCs and groups on all frames."""

    leukocytes: int = 90
    ctcs: int = 45
    clusters: tuple[tuple[int, int], ...] = CLUSTERS
    ctc_um: float = 12.0
    frames: int = 3
    dying: float = 0.0  # a frame, as the generator itself draws them


@dataclass(frozen=True)
class Blot:
    """A further object: no cell, or a dying one."""

    kind: str
    diameter_um: float
    light: Mapping[str, float]
    rough: float = 0.1
    dna_spots: int = 0


@dataclass(frozen=True)
class State:
    """A state of blood, stain, optics or camera.

    Attributes
    ----------
    cell : callable, optional
        (kind, light, rng) -> light of a cell in shares of the camera's range, and the form of its nucleus or "".
    light : callable, optional
        Light of all channels before optics -> after what the stain or the filters do to it.
    pixels : callable, optional
        (counts by role, number of the frame, rng) -> counts: what the camera and the file do.
    blots : callable, optional
        rng -> further objects of a frame.
    leukocytes : str
        What the assay says of leukocytes, "" for nothing.
    must : {"count", "refuse", ""}
        What has to come out, where it is not left to calling: a stain that is not there is refused even in blood
        without CTCs, and blood that is plain is counted.
    """

    name: str
    scene: Scene = field(default_factory=Scene)
    cell: Callable[[str, Light, Rng], tuple[Light, str]] | None = None
    light: Callable[[Planes], Planes] | None = None
    pixels: Callable[[Planes, int, Rng], Planes] | None = None
    blots: Callable[[Rng], Sequence[Blot]] | None = None
    defocus_um: float = 0.0
    leukocytes: str = ""
    must: str = ""


def _share(share: float) -> Scene:
    """Return a scene of so large a share of CTCs."""
    total = 60
    return Scene(leukocytes=round((1 - share) * total), ctcs=round(share * total * 3), clusters=())


def _eosinophils(share: float, ck: float) -> Callable[[str, Light, Rng], tuple[Light, str]]:
    def change(kind: str, light: Light, rng: Rng) -> tuple[Light, str]:
        if kind != "ctc" and rng.random() < share:
            return {**light, "ck": ck * float(np.exp(rng.normal(0, 0.4)))}, ""
        return light, ""

    return change


def _background(factor: float) -> Callable[[str, Light, Rng], tuple[Light, str]]:
    def change(kind: str, light: Light, rng: Rng) -> tuple[Light, str]:
        if kind != "ctc":
            return {**light, "ck": light["ck"] * factor * float(np.exp(rng.normal(0, 0.5)))}, ""
        return light, ""

    return change


def _scaled(role: str, factor: float, of: str = "") -> Callable[[str, Light, Rng], tuple[Light, str]]:
    """Return a change that multiplies the light of a role, in all cells or in CTCs or the others alone."""

    def change(kind: str, light: Light, rng: Rng) -> tuple[Light, str]:
        if of and (of == "ctc") != (kind == "ctc"):
            return light, ""
        return {**light, role: light[role] * factor}, ""

    return change


def _cd45_on_ctcs(level: float, share: float = 1.0) -> Callable[[str, Light, Rng], tuple[Light, str]]:
    def change(kind: str, light: Light, rng: Rng) -> tuple[Light, str]:
        if kind == "ctc" and rng.random() < share:
            return {**light, "cd45": level * float(np.exp(rng.normal(0, 0.3)))}, ""
        return light, ""

    return change


def _form(form: str, dna: float) -> Callable[[str, Light, Rng], tuple[Light, str]]:
    def change(kind: str, light: Light, rng: Rng) -> tuple[Light, str]:
        if kind == "ctc" and rng.random() < 0.5:
            return {**light, "dna": min(light["dna"] * dna, 0.8)}, form
        return light, ""

    return change


def _bleed(*of: tuple[str, str, float]) -> Callable[[Planes], Planes]:
    def change(light: Planes) -> Planes:
        extra = {role: plane.copy() for role, plane in light.items()}
        for source, target, share in of:
            extra[target] = extra[target] + share * light[source]
        return extra

    return change


def _without(role: str, share: float = 0.0) -> Callable[[Planes], Planes]:
    return lambda light: {**light, role: light[role] * share}


def _copy(source: str, target: str, gain: float = 1.0) -> Callable[[Planes, int, Rng], Planes]:
    def change(planes: Planes, number: int, rng: Rng) -> Planes:
        copied = planes[source].astype(float)
        ground = np.median(copied)
        noisy = (copied - ground) * gain + ground
        return {**planes, target: np.clip(np.rint(noisy), 0, 4095).astype(np.uint16)}

    return change


def _noise(role: str) -> Callable[[Planes, int, Rng], Planes]:
    def change(planes: Planes, number: int, rng: Rng) -> Planes:
        plane = planes[role].astype(float)
        level = np.median(plane)
        spread = 1.4826 * np.median(np.abs(plane - level))
        noise = np.clip(np.rint(rng.normal(level, spread, plane.shape)), 0, 4095)
        return {**planes, role: noise.astype(np.uint16)}

    return change


def _constant(role: str) -> Callable[[Planes, int, Rng], Planes]:
    return lambda planes, number, rng: {**planes, role: np.full_like(planes[role], int(np.median(planes[role])))}


def _hot(share: float) -> Callable[[Planes, int, Rng], Planes]:
    def change(planes: Planes, number: int, rng: Rng) -> Planes:
        out = {}
        for role, plane in planes.items():
            hit = rng.random(plane.shape) < share
            out[role] = np.where(hit, np.minimum(plane + rng.gamma(2, 500, plane.shape), 4095), plane).astype(np.uint16)
        return out

    return change


def _eight_bit(planes: Planes, number: int, rng: Rng) -> Planes:
    return {role: (plane >> 4).astype(np.uint8) for role, plane in planes.items()}


def _jpeg(quality: int) -> Callable[[Planes, int, Rng], Planes]:
    def change(planes: Planes, number: int, rng: Rng) -> Planes:
        out = {}
        for role, plane in _eight_bit(planes, number, rng).items():
            data = cv2.imencode(".jpg", plane, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
            out[role] = np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE))
        return out

    return change


def _times(factor: float) -> Callable[[Planes, int, Rng], Planes]:
    def change(planes: Planes, number: int, rng: Rng) -> Planes:
        return {role: np.clip(plane * factor, 0, 65535).astype(np.uint16) for role, plane in planes.items()}

    return change


def _drift(least: float, roles: Sequence[str] = ("dna", "ck", "cd45", "fitc")) -> Callable[[Planes, int, Rng], Planes]:
    """Return a change that lets the light of each frame go down to `least` over the frames."""

    def change(planes: Planes, number: int, rng: Rng) -> Planes:
        gain = 1 - (1 - least) * number / 2
        return {r: (p * gain if r in roles else p).astype(np.uint16) for r, p in planes.items()}

    return change


def _gone_in_last(role: str) -> Callable[[Planes, int, Rng], Planes]:
    def change(planes: Planes, number: int, rng: Rng) -> Planes:
        return _noise(role)(planes, number, rng) if number == 2 else planes

    return change


def _shifted(role: str, by: int, of_frames: Sequence[int] = (0, 1, 2)) -> Callable[[Planes, int, Rng], Planes]:
    def change(planes: Planes, number: int, rng: Rng) -> Planes:
        moved = np.roll(planes[role], (by, -by), axis=(0, 1))
        return {**planes, role: moved} if number in of_frames else planes

    return change


def _both(*changes: Callable[[Planes, int, Rng], Planes]) -> Callable[[Planes, int, Rng], Planes]:
    def change(planes: Planes, number: int, rng: Rng) -> Planes:
        for one in changes:
            planes = one(planes, number, rng)
        return planes

    return change


def _dying(count: int) -> Callable[[Rng], Sequence[Blot]]:
    def make(rng: Rng) -> Sequence[Blot]:
        return [
            Blot(
                "apoptotic",
                float(rng.uniform(7, 12)),
                {"dna": 0.35 * rng.gamma(9, 1 / 9), "ck": 0.2 * rng.gamma(6, 1 / 6), "fitc": 0.01},
                0.15,
                int(rng.integers(3, 8)),
            )
            for _ in range(count)
        ]

    return make


def _dye(count: int) -> Callable[[Rng], Sequence[Blot]]:
    def make(rng: Rng) -> Sequence[Blot]:
        roles = ("dna", "ck", "cd45", "fitc")
        return [
            Blot("dye_aggregate", float(rng.uniform(4, 12)), {r: 0.4 * rng.gamma(6, 1 / 6) for r in roles}, 0.35)
            for _ in range(count)
        ]

    return make


def _fragments(count: int) -> Callable[[Rng], Sequence[Blot]]:
    def make(rng: Rng) -> Sequence[Blot]:
        return [
            Blot("fragment", float(rng.uniform(3, 9)), {"ck": 0.25 * rng.gamma(4, 1 / 4)}, 0.2) for _ in range(count)
        ]

    return make


def _rubbish(rng: Rng) -> Sequence[Blot]:
    return [*_dye(2)(rng), *_fragments(2)(rng)]


def _uneven(role: str, spread: float, of: str = "ctc") -> Callable[[str, Light, Rng], tuple[Light, str]]:
    """Return a change after which cells differ by so much more in a role: the spread of its logarithm."""

    def change(kind: str, light: Light, rng: Rng) -> tuple[Light, str]:
        if (of == "ctc") != (kind == "ctc"):
            return light, ""
        return {**light, role: min(light[role] * float(np.exp(rng.normal(0, spread))), 0.9)}, ""

    return change


def _some(
    share: float, change: Callable[[str, Light, Rng], tuple[Light, str]]
) -> Callable[[str, Light, Rng], tuple[Light, str]]:
    return lambda kind, light, rng: change(kind, light, rng) if rng.random() < share else (light, "")


def _weak_and_sticky(kind: str, light: Light, rng: Rng) -> tuple[Light, str]:
    if kind == "ctc" or rng.random() > 0.1:
        return light, ""
    return {**light, "cd45": light["cd45"] * 0.12, "ck": light["ck"] * 3}, ""


def _gamma(power: float) -> Callable[[Planes, int, Rng], Planes]:
    def change(planes: Planes, number: int, rng: Rng) -> Planes:
        return {r: np.rint(4095 * (p / 4095.0) ** power).astype(np.uint16) for r, p in planes.items()}

    return change


def _vignette(corner: float) -> Callable[[Planes, int, Rng], Planes]:
    def change(planes: Planes, number: int, rng: Rng) -> Planes:
        height, width = next(iter(planes.values())).shape
        y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
        lamp = 1 - (1 - corner) * (y**2 + x**2) / 2
        return {r: np.rint(p * lamp).astype(np.uint16) for r, p in planes.items()}

    return change


PLAIN = Scene()
DONOR = replace(PLAIN, ctcs=0, clusters=())
MANY = Scene(leukocytes=170, ctcs=30)
ROLES = ("dna", "ck", "cd45")
PAIRS = [(a, b) for a in ROLES for b in ROLES if a != b]
STATES = (
    State("plain", must="count"),
    *(State(f"{100 * share:g} % of cells are CTCs", _share(share)) for share in (0.2, 0.5, 0.8, 0.9, 0.95)),
    *(State(f"{n} leukocytes in all", Scene(n // 3, 45, (), frames=3)) for n in (0, 6, 18)),
    State("0 leukocytes, as the assay says", Scene(0, 45, ((2, 0), (3, 0))), leukocytes="none", must="count"),
    State("18 leukocytes, assay says none", Scene(6, 45, ((2, 0), (3, 0))), leukocytes="none"),
    State("purified with drift and dye", _share(0.9), pixels=_drift(0.6), blots=_dye(3)),
    *(State(f"eosinophils {100 * s:g} %", cell=_eosinophils(s, 0.05)) for s in (0.05, 0.2, 0.4)),
    State("leukocytes with cytokeratin background x3", cell=_background(3)),
    State("leukocytes with cytokeratin background x6", cell=_background(6)),
    *(State(f"CK into CD45 {100 * b:g} %", light=_bleed(("ck", "cd45", b))) for b in (0.02, 0.035, 0.05, 0.1, 0.15)),
    *(State(f"DNA into CD45 {100 * b:g} %", light=_bleed(("dna", "cd45", b))) for b in (0.03, 0.1)),
    *(State(f"DNA into CK {100 * b:g} %", light=_bleed(("dna", "ck", b))) for b in (0.03, 0.1)),
    *(State(f"CD45 into CK {100 * b:g} %", light=_bleed(("cd45", "ck", b))) for b in (0.03, 0.1)),
    State("CK into DNA 5 %", light=_bleed(("ck", "dna", 0.05))),
    State("CD45 into DNA 5 %", light=_bleed(("cd45", "dna", 0.05))),
    State("all pairs 3 %", light=_bleed(*((a, b, 0.03) for a, b in PAIRS))),
    State("all pairs 5 %", light=_bleed(*((a, b, 0.05) for a, b in PAIRS))),
    *(State(f"CD45 stain at {100 * s:g} %", light=_without("cd45", s)) for s in (0.3, 0.1, 0.05, 0.02)),
    State("CD45 absent", light=_without("cd45"), must="refuse"),
    State("CD45 absent, donor", DONOR, light=_without("cd45"), must="refuse"),
    State("CD45 stain at 5 %, donor", DONOR, light=_without("cd45", 0.05)),
    State("CD45 stain at 10 %, donor", DONOR, light=_without("cd45", 0.1)),
    State("CD45 stain at 30 %, donor", DONOR, light=_without("cd45", 0.3)),
    State("CK absent", light=_without("ck"), must="refuse"),
    State("CK absent, donor", DONOR, light=_without("ck"), must="refuse"),
    *(State(f"CK stain at {100 * s:g} %", light=_without("ck", s)) for s in (0.3, 0.1, 0.03)),
    State("CK dim in CTCs x0.3", cell=_scaled("ck", 0.3, "ctc")),
    State("DNA absent", light=_without("dna"), must="refuse"),
    *(State(f"DNA stain at {100 * s:g} %", light=_without("dna", s)) for s in (0.3, 0.1)),
    *(State(f"{b} is a copy of {a}", pixels=_copy(a, b), must="refuse") for a, b in PAIRS),
    *(State(f"{b} is a copy of {a}, donor", DONOR, pixels=_copy(a, b), must="refuse") for a, b in PAIRS),
    *(State(f"{b} is half of {a}", pixels=_copy(a, b, 0.5), must="refuse") for a, b in PAIRS),
    *(State(f"{role} is noise", pixels=_noise(role), must="refuse") for role in ROLES),
    *(State(f"{role} is noise, donor", DONOR, pixels=_noise(role), must="refuse") for role in ROLES),
    *(State(f"{role} is constant", pixels=_constant(role), must="refuse") for role in ROLES),
    *(State(f"{role} is noise in one frame of three", pixels=_gone_in_last(role)) for role in ROLES),
    State("CTCs with unspecific CD45 0.02", cell=_cd45_on_ctcs(0.02)),
    State("CTCs with unspecific CD45 0.035", cell=_cd45_on_ctcs(0.035)),
    State("a third of CTCs with unspecific CD45 0.035", cell=_cd45_on_ctcs(0.035, 0.33)),
    State("hot pixels 1 in 10,000", pixels=_hot(1e-4)),
    State("hot pixels 1 in 1,000", pixels=_hot(1e-3)),
    State("mitotic, half of CTCs", cell=_form("ctc_mitotic", 1.8)),
    State("multilobed, half of CTCs", cell=_form("ctc_lobed", 1.0)),
    State("CTCs of 6 um", replace(PLAIN, ctc_um=6.0)),
    State("CTCs of 20 um", replace(PLAIN, ctc_um=20.0, ctcs=24, clusters=((2, 0),)), must="count"),
    State("JPEG quality 75", pixels=_jpeg(75), must="count"),
    State("JPEG quality 30", pixels=_jpeg(30)),
    State("defocus 1.3 um", defocus_um=0.7),
    State("defocus 2.5 um", defocus_um=1.3),
    State("8 bit", pixels=_eight_bit, must="count"),
    State("8 bit, crowded, drift", MANY, pixels=_both(_drift(0.6), _eight_bit)),
    State("crowded", MANY, must="count"),
    State("16 bit, times 16", pixels=_times(16), must="count"),
    State("drift to 0.6", pixels=_drift(0.6), must="count"),
    State("drift to 0.3", pixels=_drift(0.3)),
    State("drift of CD45 to 0.3", pixels=_drift(0.3, ("cd45",))),
    State("drift of CK to 0.3", pixels=_drift(0.3, ("ck",))),
    *(State(f"{role} shifted by {n} px", pixels=_shifted(role, n)) for role in ("ck", "cd45") for n in (3, 6, 18)),
    State("CD45 shifted by 18 px, donor", DONOR, pixels=_shifted("cd45", 18)),
    State("dna shifted by 18 px in one frame", pixels=_shifted("dna", 18, (1,))),
    State("5 dying cells a frame", blots=_dying(5)),
    State("5 dying cells a frame, donor", DONOR, blots=_dying(5)),
    State("5 dye aggregates a frame", blots=_dye(5)),
    State("5 dye aggregates a frame, donor", DONOR, blots=_dye(5)),
    State("8 fragments a frame", blots=_fragments(8)),
    State("donor, no CTC", DONOR, must="count"),
    State("donor, eosinophils 20 %", DONOR, cell=_eosinophils(0.2, 0.05), must="count"),
    State("donor, all pairs 3 %", DONOR, light=_bleed(*((a, b, 0.03) for a, b in PAIRS))),
    State("donor, CK into CD45 10 %", DONOR, light=_bleed(("ck", "cd45", 0.1))),
    State("donor, DNA into CK 10 %", DONOR, light=_bleed(("dna", "ck", 0.1))),
    State("donor, JPEG quality 30", DONOR, pixels=_jpeg(30)),
    State("one CTC among leukocytes", replace(PLAIN, ctcs=3, clusters=()), must="count"),
    State("one CTC, CK into CD45 10 %", replace(PLAIN, ctcs=3, clusters=()), light=_bleed(("ck", "cd45", 0.1))),
    State(
        "CK into CD45 5 %, eosinophils, 8 bit",
        cell=_eosinophils(0.1, 0.05),
        light=_bleed(("ck", "cd45", 0.05)),
        pixels=_eight_bit,
    ),
    State(
        "all pairs 3 %, drift, dying",
        light=_bleed(*((a, b, 0.03) for a, b in PAIRS)),
        pixels=_drift(0.6),
        blots=_dying(2),
    ),
    State(
        "CD45 stain at 30 %, CK into CD45 3 %", light=lambda p: _bleed(("ck", "cd45", 0.03))(_without("cd45", 0.3)(p))
    ),
    State("half are CTCs, CK into CD45 5 %", _share(0.5), light=_bleed(("ck", "cd45", 0.05))),
    State(
        "CD45 absent, DNA into CD45 10 %",
        light=lambda planes: _bleed(("dna", "cd45", 0.1))(_without("cd45")(planes)),
        must="refuse",
    ),
    State(
        "CK absent, CD45 into CK 5 %",
        light=lambda planes: _bleed(("cd45", "ck", 0.05))(_without("ck")(planes)),
        must="refuse",
    ),
    State(
        "CK absent, DNA into CK 10 %, donor",
        DONOR,
        light=lambda planes: _bleed(("dna", "ck", 0.1))(_without("ck")(planes)),
        must="refuse",
    ),
    State("nothing on the slide", Scene(0, 0, ()), must="refuse"),
)
UNSEEN = (  # nothing was trained or tuned on them
    State("own dying cells, 5 a frame", replace(PLAIN, dying=5)),
    State("own dying cells, 5 a frame, donor", replace(DONOR, dying=5)),
    State("CK of CTCs spreads by e", cell=_uneven("ck", 1.0)),
    State("a third of CTCs with CK x0.12", cell=_some(0.33, _scaled("ck", 0.12, "ctc"))),
    State("CTCs with DNA x0.3", cell=_scaled("dna", 0.3, "ctc")),
    State("CTCs of 8 um, CK x0.5", replace(PLAIN, ctc_um=8.0), cell=_scaled("ck", 0.5, "ctc")),
    State("CTCs of 7 um", replace(PLAIN, ctc_um=7.0)),
    State("camera with gamma 0.6", pixels=_gamma(0.6)),
    State("corners at a third of the light", pixels=_vignette(0.33)),
    State("a tenth of leukocytes with CD45 x0.12 and CK x3", cell=_weak_and_sticky),
    State("a tenth of leukocytes with CD45 x0.12 and CK x3, donor", DONOR, cell=_weak_and_sticky),
    State(
        "few CTCs, a third with CK x0.12",
        replace(PLAIN, ctcs=9, clusters=()),
        cell=_some(0.33, _scaled("ck", 0.12, "ctc")),
    ),
    State("few CTCs of 6 um", replace(PLAIN, ctcs=9, clusters=(), ctc_um=6.0)),
)
MILD = (  # what a good slide may have: all of these are to be counted
    *(State(f"mild: plain, slide {n}", must="count") for n in range(1, 5)),
    State("mild: 20 % of cells are CTCs", _share(0.2), must="count"),
    State("mild: 40 leukocytes a frame", Scene(leukocytes=40), must="count"),
    State("mild: 20 leukocytes a frame, 5 CTCs in all", Scene(20, 5, ()), must="count"),
    State("mild: 3 CTCs in all", replace(PLAIN, ctcs=3, clusters=()), must="count"),
    State("mild: 9 CTCs in all", replace(PLAIN, ctcs=9, clusters=()), must="count"),
    State("mild: 20 CTCs in all", replace(PLAIN, ctcs=20, clusters=()), must="count"),
    State("mild: donor", DONOR, must="count"),
    State("mild: donor with eosinophils 5 %", DONOR, cell=_eosinophils(0.05, 0.05), must="count"),
    State("mild: eosinophils 5 %", cell=_eosinophils(0.05, 0.05), must="count"),
    State("mild: leukocytes with cytokeratin background x2", cell=_background(2), must="count"),
    State("mild: CK into CD45 1 %", light=_bleed(("ck", "cd45", 0.01)), must="count"),
    State("mild: DNA into CD45 2 %", light=_bleed(("dna", "cd45", 0.02)), must="count"),
    State("mild: CD45 into CK 1 %", light=_bleed(("cd45", "ck", 0.01)), must="count"),
    State("mild: all pairs 1 %", light=_bleed(*((a, b, 0.01) for a, b in PAIRS)), must="count"),
    *(State(f"mild: {role} stain at 60 %", light=_without(role, 0.6), must="count") for role in ROLES),
    State("mild: CTCs of 9 um", replace(PLAIN, ctc_um=9.0), must="count"),
    State("mild: CTCs of 15 um", replace(PLAIN, ctc_um=15.0, ctcs=36), must="count"),
    State("mild: 15 % of CTCs with CK x0.3", cell=_some(0.15, _scaled("ck", 0.3, "ctc")), must="count"),
    State("mild: hot pixels 1 in 100,000", pixels=_hot(1e-5), must="count"),
    State("mild: defocus 1 um", defocus_um=0.5, must="count"),
    State("mild: JPEG quality 90", pixels=_jpeg(90), must="count"),
    State("mild: 8 bit", pixels=_eight_bit, must="count"),
    State("mild: drift to 0.8", pixels=_drift(0.8), must="count"),
    State("mild: corners at 70 %", pixels=_vignette(0.7), must="count"),
    State("mild: CK shifted by 2 px", pixels=_shifted("ck", 2), must="count"),
    State("mild: one dying cell a frame", replace(PLAIN, dying=1), must="count"),
    State("mild: 2 dye aggregates and fragments a frame", blots=_rubbish, must="count"),
)
