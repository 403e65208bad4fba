"""What of the light of each stain is seen in the other channels, from slides that bear that stain alone."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ctcascade.data.camera import Camera
from ctcascade.data.errors import refuse
from ctcascade.data.vocabulary import ROLES
from ctcascade.formats import Frame, FrameError, listing, read
from ctcascade.images.background import correct
from ctcascade.study.detection_settings import BackgroundSettings

_BLOCKS = 4  # parts along each side of a frame, whose shares are compared


@dataclass(frozen=True)
class Seen:
    """The share of the light of one stain that is seen in the channel of another.

    Attributes
    ----------
    source, target : str
        Roles.
    share, sd : float
        Median over parts of frames, and its standard error.
    n : int
        Parts of frames.
    """

    source: str
    target: str
    share: float
    sd: float
    n: int


def bleed_of_controls(
    controls: Mapping[str, Path], camera: Camera, bright_snr: float = 20.0, max_own: float = 0.2
) -> tuple[Seen, ...]:
    """Return what of each stain is seen in the other channels.

    Parameters
    ----------
    controls : mapping of str to Path
        By role, the images of a slide that bears this stain alone.
    camera : Camera
    bright_snr : float, optional
        Standard deviations of the noise from which a pixel shows a stain.
    max_own : float, optional
        Share of the bright pixels of another channel that may lie where the stain shows nothing.

    Raises
    ------
    InputError
        If a control shows nothing in its channel, or light in another that its stain does not explain.

    Notes
    -----
    Light is summed over the bright pixels of the stain and what is within 3 pixels of them, so that a small shift
    between channels does not matter. Saturated pixels, and those around them, are left out.
    """
    found = []
    for source, folder in controls.items():
        shares: dict[str, list[float]] = {role: [] for role in ROLES if role != source}
        for frame in _frames(folder, camera):
            _add(shares, source, frame, folder, bright_snr, max_own)
        for target, values in shares.items():
            if len(values) < 2:
                todo = "image the control with the exposure of the samples"
                refuse(folder, source, "too few bright pixels in this channel", "a slide that bears this stain", todo)
            middle = float(np.median(values))
            spread = 1.4826 * float(np.median(np.abs(np.array(values) - middle)))
            found.append(Seen(source, target, middle, 1.25 * spread / float(np.sqrt(len(values))), len(values)))
    return tuple(found)


def _frames(folder: Path, camera: Camera) -> Iterator[Frame]:
    for ref in listing.list_frames((str(folder.resolve()),), folder, "auto", camera).frames:
        try:
            yield read(ref, camera)
        except FrameError as error:
            refuse(folder, ref.frame, str(error), "a frame with all channels", "take it out, or image it again")


def _add(
    shares: Mapping[str, list[float]], source: str, frame: Frame, folder: Path, bright_snr: float, max_own: float
) -> None:
    """Add the shares of each part of a frame; refuse light in another channel that the stain does not explain."""
    planes = dict(zip(frame.roles, frame.pixels, strict=True))
    channels = {role: correct(planes[role], frame.pixel_size_um, BackgroundSettings()) for role in ROLES}
    lit = {role: channel.signal > bright_snr * channel.noise for role, channel in channels.items()}
    around = np.ones((7, 7), np.uint8)
    full = np.logical_or.reduce([planes[role] >= frame.ceiling for role in ROLES]).astype(np.uint8)
    near = (cv2.dilate(lit[source].astype(np.uint8), around) > 0) & (cv2.dilate(full, around) == 0)
    for target, values in shares.items():
        own = int((lit[target] & ~(cv2.dilate(lit[source].astype(np.uint8), around) > 0)).sum())
        if own > max_own * max(int(lit[target].sum()), 1) and own > 50:
            what = f"{own} bright pixels of {target} where {source} shows nothing (frame of {folder.name})"
            refuse(folder, source, what, f"a slide that bears {source} alone", "give its single-stain control")
        values.extend(_by_part(channels[source].signal, channels[target].signal, lit[source], near))


def _by_part(
    source: NDArray[np.float32], target: NDArray[np.float32], lit: NDArray[np.bool_], near: NDArray[np.bool_]
) -> Iterator[float]:
    """Yield the share of each part of a frame that shows the stain in 50 pixels or more."""
    rows, columns = (np.linspace(0, n, _BLOCKS + 1).astype(int) for n in source.shape)
    for y0, y1 in itertools.pairwise(rows):
        for x0, x1 in itertools.pairwise(columns):
            part = np.s_[y0:y1, x0:x1]
            if int((lit[part] & near[part]).sum()) >= 50:
                inside = near[part]
                yield float(target[part][inside].sum() / source[part][inside].sum())


def as_assay(found: tuple[Seen, ...]) -> str:
    """Return the section ``bleed`` of an assay file, with its intervals (95 %) as the source."""
    value: dict[str, dict[str, float]] = {}
    for one in found:
        value.setdefault(one.source, {})[one.target] = round(max(one.share, 0.0), 4)
    inner = ", ".join(f"{s}: {{{', '.join(f'{t}: {v:g}' for t, v in to.items())}}}" for s, to in value.items())
    told = "; ".join(
        f"{one.source} into {one.target} {max(one.share - 2 * one.sd, 0):.4f} to {one.share + 2 * one.sd:.4f}"
        for one in found
    )
    parts = {one.source: one.n for one in found}
    of = ", ".join(f"{source} ({n} parts of frames)" for source, n in parts.items())
    return f'bleed:\n  value: {{{inner}}}\n  source: "single-stain controls of {of}; 95 % intervals: {told}"\n'
