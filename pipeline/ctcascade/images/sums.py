"""Light in each cell, its nucleus and its surroundings: sums over runs of pixels, of several channels in one walk."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ctcascade.images.labels import Floats, Runs, kernel

_BESIDE_DNA = 3  # channels that a walk takes
_FIGURES = 10


class Light(NamedTuple):
    """Figures of one channel for the objects 1..N, each an array of shape (N,)."""

    total: NDArray[np.float64]
    squares: NDArray[np.float64]  # sum of squares
    highest: NDArray[np.float64]
    high: NDArray[np.float64]  # the least of the brightest pixels
    lit: NDArray[np.float64]  # number of pixels above a limit
    with_dna: NDArray[np.float64]  # sum of products with DNA
    in_nucleus: NDArray[np.float64]  # sum in the nucleus, its sum of squares, its number of pixels above the limit
    nucleus_squares: NDArray[np.float64]
    nucleus_lit: NDArray[np.float64]
    around: NDArray[np.float64]  # sum in the surroundings


def light(
    parts: tuple[Runs, Runs, Runs], signals: Mapping[str, Floats], limits: Mapping[str, float], brightest: NDArray[Any]
) -> tuple[dict[str, Light], NDArray[np.float64]]:
    """Return the light of each channel in each object, and the sums of products of the second and the third channel.

    Parameters
    ----------
    parts : (Runs, Runs, Runs)
        Of cells, of their nuclei, and of what is around them.
    signals : mapping of str to ndarray of float32, shape (Y, X)
        By role; the first is DNA.
    limits : mapping of str to float
        By role: above it a pixel is lit.
    brightest : (N,) array of int
        How many pixels of each cell are its brightest, at least 1.
    """
    names = list(signals)
    ends = np.append(0, np.cumsum(brightest)).astype(np.int64)
    found: dict[str, Light] = {}
    between = np.zeros(len(brightest))
    for first in range(1, max(len(names), 2), _BESIDE_DNA):
        walk = [names[0], *names[first : first + _BESIDE_DNA]]
        four = [*walk, *walk[-1:] * (1 + _BESIDE_DNA - len(walk))]
        limit = np.array([limits[name] for name in four], np.float32)
        out, products = _sums(*parts, *(signals[name] for name in four), limit, ends)
        between = products[1:] if first == 1 else between
        found |= {name: Light(*out[1:, k].T) for k, name in enumerate(walk)}
    return {name: found[name] for name in names}, between


@kernel
def _sums(
    cells: Any, nuclei: Any, around: Any, s0: Any, s1: Any, s2: Any, s3: Any, limits: Any, ends: Any
) -> Any:  # pragma: no cover - compiled
    """Return the figures of four channels (N + 1, 4, 10), and of the second times the third the sum in cells (N + 1).

    The four sums of a run are formed side by side: a processor adds to one while it waits for another.
    """
    out = np.zeros((len(ends), 4, _FIGURES))
    between = np.zeros(len(ends))
    bright = np.full((4, ends[-1]), np.float32(-np.inf))
    l0, l1, l2, l3 = limits[0], limits[1], limits[2], limits[3]
    for r in range(len(cells)):
        y, a, b, k = np.uint32(cells[r, 0]), np.uint32(cells[r, 1]), np.uint32(cells[r, 2]), np.uint32(cells[r, 3])
        r0, r1, r2, r3 = s0[y, a:b], s1[y, a:b], s2[y, a:b], s3[y, a:b]
        t0 = t1 = t2 = t3 = q0 = q1 = q2 = q3 = p1 = p2 = p3 = both = 0.0
        n0 = n1 = n2 = n3 = np.int32(0)
        first, end = ends[np.uint32(k - 1)], ends[k]
        m0, m1, m2, m3 = bright[0, first], bright[1, first], bright[2, first], bright[3, first]
        for i in range(len(r0)):
            v0, v1, v2, v3 = r0[i], r1[i], r2[i], r3[i]
            t0, t1, t2, t3 = t0 + v0, t1 + v1, t2 + v2, t3 + v3
            q0, q1, q2, q3 = q0 + v0 * v0, q1 + v1 * v1, q2 + v2 * v2, q3 + v3 * v3
            p1, p2, p3, both = p1 + v1 * v0, p2 + v2 * v0, p3 + v3 * v0, both + v1 * v2
            n0, n1, n2, n3 = n0 + (v0 > l0), n1 + (v1 > l1), n2 + (v2 > l2), n3 + (v3 > l3)
            if (v0 > m0) | (v1 > m1) | (v2 > m2) | (v3 > m3):
                m0 = _insert(bright[0], first, end, v0) if v0 > m0 else m0
                m1 = _insert(bright[1], first, end, v1) if v1 > m1 else m1
                m2 = _insert(bright[2], first, end, v2) if v2 > m2 else m2
                m3 = _insert(bright[3], first, end, v3) if v3 > m3 else m3
        _add(out[k], 0, t0, t1, t2, t3)
        _add(out[k], 1, q0, q1, q2, q3)
        _add(out[k], 4, n0, n1, n2, n3)
        _add(out[k], 5, q0, p1, p2, p3)
        between[k] += both
    for cell in range(1, len(ends)):
        for c in range(4):
            out[cell, c, 2], out[cell, c, 3] = bright[c, ends[cell] - 1], bright[c, ends[cell - 1]]
    for r in range(len(nuclei)):
        y, a, b, k = np.uint32(nuclei[r, 0]), np.uint32(nuclei[r, 1]), np.uint32(nuclei[r, 2]), np.uint32(nuclei[r, 3])
        r0, r1, r2, r3 = s0[y, a:b], s1[y, a:b], s2[y, a:b], s3[y, a:b]
        t0 = t1 = t2 = t3 = q0 = q1 = q2 = q3 = 0.0
        n0 = n1 = n2 = n3 = np.int32(0)
        for i in range(len(r0)):
            v0, v1, v2, v3 = r0[i], r1[i], r2[i], r3[i]
            t0, t1, t2, t3 = t0 + v0, t1 + v1, t2 + v2, t3 + v3
            q0, q1, q2, q3 = q0 + v0 * v0, q1 + v1 * v1, q2 + v2 * v2, q3 + v3 * v3
            n0, n1, n2, n3 = n0 + (v0 > l0), n1 + (v1 > l1), n2 + (v2 > l2), n3 + (v3 > l3)
        _add(out[k], 6, t0, t1, t2, t3)
        _add(out[k], 7, q0, q1, q2, q3)
        _add(out[k], 8, n0, n1, n2, n3)
    for r in range(len(around)):
        y, a, b, k = np.uint32(around[r, 0]), np.uint32(around[r, 1]), np.uint32(around[r, 2]), np.uint32(around[r, 3])
        r0, r1, r2, r3 = s0[y, a:b], s1[y, a:b], s2[y, a:b], s3[y, a:b]
        t0 = t1 = t2 = t3 = 0.0
        for i in range(len(r0)):
            t0, t1, t2, t3 = t0 + r0[i], t1 + r1[i], t2 + r2[i], t3 + r3[i]
        _add(out[k], 9, t0, t1, t2, t3)
    return out, between


@kernel
def _add(out: Any, figure: int, a: Any, b: Any, c: Any, d: Any) -> None:  # pragma: no cover - compiled
    out[0, figure] += a
    out[1, figure] += b
    out[2, figure] += c
    out[3, figure] += d


@kernel
def _insert(rising: Any, first: int, end: int, value: Any) -> Any:  # pragma: no cover - compiled
    """Put a value in place of the least of a rising part of an array; return the new least."""
    at = first
    while at + 1 < end and rising[at + 1] < value:
        rising[at] = rising[at + 1]
        at += 1
    rising[at] = value
    return rising[first]


def warm() -> None:
    """Compile the kernels into their cache."""
    runs, signal = np.array([[0, 0, 1, 1]], np.int32), np.ones((1, 2), np.float32)
    light((runs, runs, runs), {"dna": signal}, {"dna": 1.0}, np.ones(1, np.int64))
