"""A checksum of a whole table, inside the table: a bit that has turned anywhere in the file is seen when it is read.

Parquet's own page checksums leave out its footer, which says how the pages are to be read. The checksum stands between
the last page and the footer, where readers of Parquet look at nothing, and covers every other byte of the file.
"""

import functools
import hashlib
import os
import struct
from pathlib import Path
from typing import BinaryIO

from ctcascade.data.errors import refuse

_MARK = b"\nctcascade sha256 "
_LENGTH = len(_MARK) + 64 + 1
_END = struct.Struct("<I4s")  # length of the footer, and Parquet's own mark
_AT_ONCE = 2**20
_AGAIN = "run the stage before this one again"


def seal(path: Path) -> None:
    """Add the checksum to a table that was just written."""
    with open(path, "r+b") as file:
        start = _footer(file)
        if start is None:
            raise ValueError(f"{path} is not Parquet")
        file.seek(start)
        footer = file.read()
        digest = _digest(file, start, footer)
        file.seek(start)
        file.write(_MARK + digest + b"\n" + footer)


def check(path: Path) -> None:
    """Refuse a table whose bytes are not those that were written.

    Raises
    ------
    InputError
        If the file cannot be read, has no checksum, or differs from it.
    """
    try:
        state = os.stat(path)
        found = _fault(Path(path), state.st_size, state.st_mtime_ns, state.st_ino)
    except OSError as error:
        refuse(path, "", error, "a table written by ctcascade", _AGAIN)
    if found:
        refuse(path, "", found, "a table as ctcascade wrote it", _AGAIN)


@functools.lru_cache(maxsize=256)
def _fault(path: Path, _size: int, _changed: int, _node: int) -> str:
    """Return what is wrong with a table; empty where it is as it was written."""
    with open(path, "rb") as file:
        start = _footer(file)
        if start is None:
            return "no Parquet table, or only a part of one"
        file.seek(start)
        footer = file.read()
        body = start - _LENGTH
        file.seek(max(body, 0))
        said = file.read(_LENGTH)
        if body < 0 or not said.startswith(_MARK):
            return "a table without its checksum: changed, or written by another version or program"
        if said[len(_MARK) :] != _digest(file, body, footer) + b"\n":
            return "a table that differs from its checksum: it was changed after it was written"
    return ""


def _footer(file: BinaryIO) -> int | None:
    """Return where the footer begins; None where there is none."""
    size = file.seek(0, os.SEEK_END)
    if size < _END.size:
        return None
    file.seek(size - _END.size)
    length, mark = _END.unpack(file.read(_END.size))
    start = size - _END.size - length
    return int(start) if mark == b"PAR1" and start > 0 else None


def _digest(file: BinaryIO, end: int, footer: bytes) -> bytes:
    """Return the hexadecimal sha256 of the first bytes of a file and the footer."""
    found, left = hashlib.sha256(), end
    file.seek(0)
    while left > 0:
        block = file.read(min(left, _AT_ONCE))
        if not block:
            break
        found.update(block)
        left -= len(block)
    found.update(footer)
    return found.hexdigest().encode()
