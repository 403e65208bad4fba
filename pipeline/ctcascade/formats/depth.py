"""Stacks in depth: one plane of each channel, only where the assay says how; stacks in time are refused."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctcascade.data.camera import Camera
from ctcascade.formats.frame_error import FrameError

Read = Callable[[int, Sequence[str]], Mapping[str, NDArray[Any]]]


def refuse_stack(n_z: int, n_t: int, camera: Camera, what: str = "") -> None:
    """Refuse a series in time, and a stack in depth where the assay does not say what becomes of it.

    Parameters
    ----------
    n_z, n_t : int
        Planes in depth, and points in time.
    camera : Camera
    what : str, optional
        What kind of file it is, in words.

    Raises
    ------
    FrameError
    """
    this = f"{what}: " if what else ""
    if n_t > 1:
        raise FrameError(f"{this}{n_t} points in time; one is expected: save the one to count by itself")
    if n_z > 1 and camera.z is None:
        raise FrameError(
            f"{this}a stack of {n_z} planes in depth (z): write z: max or z: sharpest in the assay, or save one plane"
        )


def one_plane(read: Read, roles: Sequence[str], n_z: int, camera: Camera) -> dict[str, NDArray[Any]]:
    """Return one plane for each role, of a stack whose planes are read one after another.

    Parameters
    ----------
    read : callable
        Takes the number of a plane in depth, from 0, and roles; returns their planes.
    roles : sequence of str
    n_z : int
        Planes in depth.
    camera : Camera
        Its `z`: ``max`` takes each pixel's largest value, ``sharpest`` the plane, the same for all roles, in which DNA
        has the steepest edges.

    Raises
    ------
    FrameError
        If the assay does not say how, or the planes differ.
    """
    refuse_stack(n_z, 1, camera)
    if n_z == 1:
        return dict(read(0, roles))
    if camera.z == "max":
        found = {role: plane.copy() for role, plane in read(0, roles).items()}
        for z in range(1, n_z):
            for role, plane in read(z, roles).items():
                if plane.shape != found[role].shape or plane.dtype != found[role].dtype:
                    raise FrameError(f"planes of one stack differ: {found[role].shape} and {plane.shape}")
                np.maximum(found[role], plane, out=found[role])
        return found
    by = "dna" if "dna" in roles else roles[0]
    edges = [_edges(read(z, (by,))[by]) for z in range(n_z)]
    return dict(read(int(np.argmax(edges)), roles))


def _edges(plane: NDArray[Any]) -> float:
    """Return the mean square of differences over two pixels (Brenner 1976), which noise adds to evenly."""
    values = plane.astype(np.float32)
    across, down = values[:, 2:] - values[:, :-2], values[2:] - values[:-2]
    return sum(float(np.square(part).mean()) for part in (across, down) if part.size)
