"""Which of the images in a file or folder a sample is: ``plate.zarr::B/03``, ``slide.nd2::Pos1``."""

import os
from pathlib import Path

SIGN = "::"
ALL = "*"
"""The choice of all images of a file, which says that they are of one sample."""


def place_and_choice(part: str, base: Path) -> tuple[str, str]:
    """Return the file or folder of a part of the cell `images`, and what is chosen in it; empty for all.

    A file or folder whose own name holds the sign is taken as it is.
    """
    place, sign, choice = part.rpartition(SIGN)
    if not sign or not place or os.path.lexists(base / part):
        return part, ""
    return place, choice.strip()
