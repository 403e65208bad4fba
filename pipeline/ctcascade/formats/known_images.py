"""What image files held when they were last read: a list beside the results, so that only what changed is read again.

A file is taken for unchanged where its size, both its dates (content, and state on the disk) and its number on the disk
are those of the list. A copy may keep the first date, and anyone may set it; the second is the system's own, so a file
that was exchanged under its old date is read. Files that changed less than a minute before they were read are not
listed: a second change could bear the same date. Folders that are an image, as a zarr is, are read always.
The list is a help, no proof: who may write into the results may write it. `ctcascade verify --images` trusts none.
"""

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

_SETTLED_S = 60.0
_DIGITS = frozenset("0123456789abcdef")
_LENGTH = 32
FILE = "image_digests.tsv"


class State(NamedTuple):
    """What the system says of a file."""

    size: int
    changed_ns: int
    touched_ns: int
    number: int

    @classmethod
    def of(cls, path: Path) -> "State":
        """Return the state of a file now."""
        now = os.stat(path)
        return cls(now.st_size, now.st_mtime_ns, now.st_ctime_ns, now.st_ino)

    def is_settled(self, now_s: float) -> bool:
        """Return whether neither date is of the last minute, nor in the future."""
        return max(self.changed_ns, self.touched_ns) < (now_s - _SETTLED_S) * 1e9


class KnownImages:
    """The list of digests, as it lies in a file and as it grows.

    Parameters
    ----------
    path : Path
        The file, which need not exist; lines that are not whole are passed over.
    clock : callable, optional
        Returns the time, seconds.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time):
        self._path, self._clock = path, clock
        self._known = dict(_read(path))
        self._new: dict[str, tuple[State, str]] = {}

    def digest(self, path: Path, read: Callable[[Path, int, int], str], again: bool = False) -> str:
        """Return the digest of a file, by `read` (of path, size and date) where it is not in the list, or `again`."""
        before, name = State.of(path), os.path.abspath(path)
        listed = self._known.get(name)
        if not again and listed is not None and listed[0] == before:
            return listed[1]
        found = read(path, before.size, before.changed_ns)
        steady = State.of(path) == before and before.is_settled(self._clock())
        if steady and not path.is_dir() and listed != (before, found):
            self._known[name] = self._new[name] = (before, found)
        return found

    def save(self) -> None:
        """Add what was read to the file; where that fails, it is read again at the next start."""
        if not self._new:
            return
        lines = "".join(f"{json.dumps(name)}\t{_told(*of)}\n" for name, of in sorted(self._new.items()))
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with open(self._path, "ab") as file:
                file.write(b"\n" + lines.encode())  # after a line that a killed run may have left open
        except OSError:
            return
        self._new.clear()


def _told(state: State, digest: str) -> str:
    return "\t".join((*map(str, state), digest))


def _read(path: Path) -> Iterator[tuple[str, tuple[State, str]]]:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    for line in text.split("\n"):
        name, *state, digest = ("", *line.split("\t"))[-6:] if line.count("\t") == 5 else ("", "")
        if len(digest) == _LENGTH and _DIGITS.issuperset(digest) and all(part.isdecimal() for part in state):
            try:
                yield str(json.loads(name)), (State(*map(int, state)), digest)
            except (ValueError, RecursionError):  # JSON that is none, numbers of thousands of digits
                continue
