"""Order statistics of many pixels: by counting, exact, and faster than by comparing.

The bits of a float rise with its value once negative ones are turned round, so that values can be sorted and counted as
integers.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctcascade.images.labels import Floats, kernel


def sorted_values(values: Floats) -> Floats:
    """Return finite values of float32 in rising order, as one row."""
    return np.asarray(_sorted(np.ascontiguousarray(values).reshape(-1).view(np.uint32)))


def ranked(values: Floats, ranks: tuple[int, ...]) -> NDArray[np.float32]:
    """Return the values of some ranks, counted from 0, among values of float32 that are 0 or more, in any shape."""
    return np.asarray(_ranked(np.ascontiguousarray(values).reshape(-1).view(np.uint32), np.array(ranks)))


@kernel
def _sorted(bits: Any) -> Any:  # pragma: no cover - compiled
    """Return floats, given by their bits, in rising order: by eleven of their bits after the other."""
    n = len(bits)
    sign, all_bits = np.uint32(1 << 31), np.uint32(0xFFFFFFFF)
    here, there = np.empty(n, np.uint32), np.empty(n, np.uint32)
    starts = np.zeros((3, 2048), np.int32)
    for i in range(n):
        key = bits[i] ^ (all_bits if bits[i] & sign else sign)
        here[i] = key
        starts[0, key & np.uint32(2047)] += 1
        starts[1, (key >> np.uint32(11)) & np.uint32(2047)] += 1
        starts[2, key >> np.uint32(22)] += 1
    for digit in range(3):
        before = 0
        for k in range(2048):
            count = starts[digit, k]
            starts[digit, k] = before
            before += count
        shift, start = np.uint32(11 * digit), starts[digit]
        for i in range(n):
            k = (here[i] >> shift) & np.uint32(2047)
            there[start[k]] = here[i]
            start[k] += 1
        here, there = there, here
    for i in range(n):
        here[i] ^= sign if here[i] & sign else all_bits
    return here.view(np.float32)


@kernel
def _ranked(bits: Any, ranks: Any) -> Any:  # pragma: no cover - compiled
    """Return the values of some ranks, from 0, of floats given by their bits: by the upper half, then by the lower."""
    upper = np.zeros(1 << 16, np.int32)
    for i in range(len(bits)):
        upper[bits[i] >> np.uint32(16)] += 1
    out = np.empty(len(ranks), np.uint32)
    lower = np.empty(1 << 16, np.int32)
    for j in range(len(ranks)):
        rest, high = _found(upper, ranks[j])
        lower[:] = 0
        for i in range(len(bits)):
            if bits[i] >> np.uint32(16) == high:
                lower[bits[i] & np.uint32(0xFFFF)] += 1
        _, low = _found(lower, rest)
        out[j] = np.uint32(high << 16 | low)
    return out.view(np.float32)


@kernel
def _found(counts: Any, rank: Any) -> Any:  # pragma: no cover - compiled
    """Return a rank within the bin that it falls into, and the number of that bin."""
    rest, k = rank, 0
    while rest >= counts[k]:
        rest -= counts[k]
        k += 1
    return rest, k


def warm() -> None:
    """Compile the kernels into their cache."""
    sorted_values(np.ones(2, np.float32))
    ranked(np.ones(2, np.float32), (1,))
