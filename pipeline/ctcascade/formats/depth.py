"""Stacks in depth: one plane of each channel, only where the assay says how; stacks in time are refused."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctcascade.data.camera import Camera
from ctcascade.formats.frame_error import FrameError

Read = Callable[[], NDArray[Any]]


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
            f"{this}a stack of {n_z} planes in depth (z); one plane a channel is expected: save one plane, or write "
            "z: max (the brightest value of each pixel) or z: sharpest (one plane) in the assay"
        )


def one_plane(stacks: Mapping[str, Sequence[Read]], camera: Camera) -> dict[str, NDArray[Any]]:
    """Return one plane for each role, of stacks whose planes are read one after another.

    Parameters
    ----------
    stacks : mapping of str to sequence of callable
        For each role its planes from one end of the stack to the other.
    camera : Camera
        Its `z`: ``max`` takes each pixel's largest value, ``sharpest`` the plane, the same for all roles, in which DNA
        has the steepest edges.

    Raises
    ------
    FrameError
        If the channels have stacks of different length, or the assay does not say how.
    """
    lengths = {role: len(planes) for role, planes in stacks.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{role} {n}" for role, n in lengths.items())
        raise FrameError(f"channels of different numbers of planes in depth: {told}")
    n_z = max(lengths.values(), default=1)
    refuse_stack(n_z, 1, camera)
    if n_z == 1:
        return {role: planes[0]() for role, planes in stacks.items()}
    if camera.z == "max":
        return {role: _brightest(planes) for role, planes in stacks.items()}
    of = stacks.get("dna") or next(iter(stacks.values()))
    edges = [_edges(read()) for read in of]
    best = int(np.argmax(edges))
    return {role: planes[best]() for role, planes in stacks.items()}


def _brightest(planes: Sequence[Read]) -> NDArray[Any]:
    found = planes[0]().copy()
    for read in planes[1:]:
        plane = read()
        if plane.shape != found.shape or plane.dtype != found.dtype:
            raise FrameError(f"planes of one stack differ: {found.shape} {found.dtype}, {plane.shape} {plane.dtype}")
        np.maximum(found, plane, out=found)
    return found


def _edges(plane: NDArray[Any]) -> float:
    """Return the mean square of differences over two pixels (Brenner 1976), which noise adds to evenly."""
    values = plane.astype(np.float32)
    across, down = values[:, 2:] - values[:, :-2], values[2:] - values[:-2]
    return sum(float(np.square(part).mean()) for part in (across, down) if part.size)
