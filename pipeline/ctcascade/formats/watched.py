"""Files that remember what the file layer reported, whatever a decoder makes of it.

Decoders take a failed read of a tag for a missing one, or a file that cannot be asked for its place for one that cannot
be read at all. What they swallow is remembered here, so that it fails the job and is no fault of the frame.
"""

import errno
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

_reported: ContextVar[list[OSError] | None] = ContextVar("reported", default=None)


@contextmanager
def reports() -> Iterator[list[OSError]]:
    """Give the list that files opened in the block add errors of the file layer to."""
    errors: list[OSError] = []
    token = _reported.set(errors)
    try:
        yield errors
    finally:
        _reported.reset(token)


class Watched(io.FileIO):
    """A file, read only, that notes each error of the file layer before it is raised."""

    def __init__(self, path: Path):
        super().__init__(os.fspath(path), "rb")
        self._errors = _reported.get()

    def read(self, size: int | None = -1, /) -> bytes:
        """Return at most so many bytes."""
        return bytes(self._there(self._noted(super().read, -1 if size is None else size)))

    def readall(self) -> bytes:
        """Return all bytes up to the end."""
        return bytes(self._there(self._noted(super().readall)))

    def readinto(self, buffer: Any, /) -> int:
        """Read into a buffer, and return how many bytes."""
        return int(self._there(self._noted(super().readinto, buffer)))

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go to a place; one that no file has (EINVAL) is what a broken file says, and is not noted."""
        return int(self._noted(super().seek, offset, whence))

    def tell(self) -> int:
        """Return the place."""
        return int(self._noted(super().tell))

    def seekable(self) -> bool:
        """Return True; a file whose place cannot be asked for has failed, and is not of another kind."""
        self.tell()
        return True

    def _noted(self, call: Any, *args: Any) -> Any:
        try:
            return call(*args)
        except OSError as error:
            if self._errors is not None and error.errno != errno.EINVAL:
                self._errors.append(error)
            raise

    def _there(self, found: Any) -> Any:
        """Return what was read; None, which a file layer gives that has nothing yet, is an error."""
        if found is None:
            error = OSError(errno.EAGAIN, os.strerror(errno.EAGAIN), self.name)
            if self._errors is not None:
                self._errors.append(error)
            raise error
        return found


def opened(path: Path) -> io.BufferedReader:
    """Open a file for reading, watched."""
    return io.BufferedReader(Watched(path))
