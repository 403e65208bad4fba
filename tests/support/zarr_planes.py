"""Planes of small OME-Zarr images."""

import numpy as np

from tests.support.slide_layouts import gradient


def planes(shape, n=4):
    return np.stack([gradient(shape, k) for k in range(n)])
