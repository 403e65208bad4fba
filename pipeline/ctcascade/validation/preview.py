"""A picture of what a sample's images are: the first frame of each part, each channel in grey, with a scale bar."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ctcascade.data import store
from ctcascade.data.errors import plain, refuse
from ctcascade.formats import Frame, FrameRef
from ctcascade.validation.first_look import Looked

_PANEL = 480  # pixels of the longer side
_TEXT = 62
_GAP = 6
_BAR = 5
_DARK, _BRIGHT = 1, 99.8  # percentiles shown as black and white
_LONGEST_NAME = 60


def write(folder: Path, looked: Mapping[str, Looked]) -> list[Path]:
    """Write ``SAMPLE.png`` for each sample of which a frame could be read; return their paths.

    Raises
    ------
    InputError
        If the folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        refuse(folder, "--preview", error, "a folder that can be written", "name another one")
    paths = []
    for sample, found in looked.items():
        if found.frames:
            paths.append(folder / f"{sample}.png")
            sheet = contact_sheet(sample, found.frames)
            with store.whole(paths[-1]) as part:
                sheet.save(part, format="PNG")
    return paths


def contact_sheet(sample: str, frames: tuple[tuple[FrameRef, Frame], ...]) -> Image.Image:
    """Return the picture of a sample: one row for each part, one panel for each channel."""
    rows = [_row(sample, ref, frame) for ref, frame in frames]
    sheet = Image.new("L", (max(row.width for row in rows), sum(row.height for row in rows)), 255)
    top = 0
    for row in rows:
        sheet.paste(row, (0, top))
        top += row.height
    return sheet


def _row(sample: str, ref: FrameRef, frame: Frame) -> Image.Image:
    height, width = frame.pixels.shape[1:]
    step = max(1, math.ceil(max(height, width) / _PANEL))
    panels = [_grey(plane[::step, ::step]) for plane in frame.pixels]
    wide, high = max(panels[0].width, _PANEL // 2), panels[0].height
    row = Image.new("L", (len(panels) * (wide + _GAP) + _GAP, high + _TEXT + _GAP), 255)
    draw, font = ImageDraw.Draw(row), ImageFont.load_default(13)
    draw.text((_GAP, 3), f"{sample}, frame {plain(ref.frame)[:_LONGEST_NAME]}", fill=0, font=font)
    for k, (role, panel, plane) in enumerate(zip(frame.roles, panels, frame.pixels, strict=True)):
        left, name = _GAP + k * (wide + _GAP), plain(frame.names[k])[:_LONGEST_NAME] if frame.names else ""
        draw.text((left, 22), f"{role}: {name}" if name else role, fill=0, font=font)
        draw.text((left, 41), f"counts {plane.min():g} to {plane.max():g}", fill=90, font=font)
        row.paste(panel, (left, _TEXT))
        _scale_bar(draw, (left + 8, _TEXT + high - 10), panel.width, frame.pixel_size_um * step)
    return row


def _grey(plane: NDArray[Any]) -> Image.Image:
    low, high = np.percentile(plane, (_DARK, _BRIGHT))
    share = (plane - low) / max(high - low, 1)
    return Image.fromarray((np.clip(share, 0, 1) * 255).astype(np.uint8))


def _scale_bar(draw: ImageDraw.ImageDraw, at: tuple[int, int], width: int, um: float) -> None:
    """Draw a bar of a round length, at most a third of the panel."""
    longest = width / 3 * um
    power = 10 ** math.floor(math.log10(longest))
    length = max(step * power for step in (1, 2, 5) if step * power <= longest)
    x, y = at
    end = x + round(length / um)
    draw.rectangle((x - 2, y - _BAR - 2, end + 2, y + 2), fill=0)
    draw.rectangle((x, y - _BAR, end, y), fill=255)
    draw.text(
        (x, y - _BAR - 20), f"{length:g} um", fill=255, font=ImageFont.load_default(13), stroke_width=2, stroke_fill=0
    )
