"""Samples whose images seem to be the same: the first image of each is compared, by its place and by its bytes."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from ctcascade.data.errors import plain

_END = 65_536  # bytes that are read from either end of a file


def same_images(first: Mapping[str, Path], patient_of: Mapping[str, str]) -> Iterator[str]:
    """Yield a warning for each two samples that begin with the same image.

    Parameters
    ----------
    first : mapping of str to Path
        The first image of each sample, by its name.
    patient_of : mapping of str to str
        The patient of each sample.

    Notes
    -----
    Camera noise is never twice the same, so equal bytes are one image. Size and both ends of a file are compared; an
    image that is a folder only by its place.
    """
    seen: dict[str, str] = {}
    for sample, path in first.items():
        mark = _mark(path)
        other = seen.setdefault(mark, sample)
        if other != sample:
            whose = (patient_of[other], patient_of[sample])
            of = f"patient {whose[0]}" if whose[0] == whose[1] else f"two patients, {whose[0]} and {whose[1]}"
            yield (
                f"WARNING: samples {other} and {sample} of {of} have the same image ({plain(path.name)}): "
                "one tube must not be counted twice, nor for another patient; check the column images"
            )


def _mark(path: Path) -> str:
    if not path.is_file():
        return os.path.realpath(path)
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        found = hashlib.sha256(file.read(_END))
        file.seek(max(0, size - _END))
        found.update(file.read(_END))
    return f"{size} {found.hexdigest()}" if size else os.path.realpath(path)
