"""A digest of a frame's pixels, by which copies of one exposure are found."""

import hashlib
from typing import Any

import numpy as np

from ctcascade.data.vocabulary import ROLES
from ctcascade.formats import Frame
from ctcascade.images.labels import kernel

_SEED = 1  # of the weights, which are part of the digest


def pixels_digest(frame: Frame) -> str:
    """Return a digest of the pixels in the channels that every call needs; equal only for the same image.

    Notes
    -----
    Each row is first summed with weights, odd numbers drawn once, modulo 2^64: two rows with one different pixel never
    have one sum, and others have it once in 10^19 times. The sums of all rows are hashed.
    """
    weights = np.random.default_rng(_SEED).integers(0, 2**63, frame.pixels.shape[2], np.uint64) * np.uint64(2) + 1
    digest = hashlib.sha256(np.array(frame.pixels.shape[1:], np.int64).data)
    for role in ROLES:
        plane = np.ascontiguousarray(frame.pixels[frame.roles.index(role)])
        digest.update(_row_sums(plane.view(np.uint32), weights).data)
    return digest.hexdigest()[:32]


@kernel
def _row_sums(bits: Any, weights: Any) -> Any:  # pragma: no cover - compiled
    sums = np.empty(len(bits), np.uint64)
    for y in range(len(bits)):
        total = np.uint64(0)
        for x in range(len(weights)):
            total += np.uint64(bits[y, x]) * weights[x]
        sums[y] = total
    return sums


def warm() -> None:
    """Compile the kernels into their cache."""
    _row_sums(np.ones((1, 1), np.uint32), np.ones(1, np.uint64))
