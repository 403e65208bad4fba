"""What goes wrong while a file is decoded: the file's own fault, the file layer's, or a bug of this program."""

import contextlib
import errno
from collections.abc import Iterator, Sequence
from pathlib import Path

from ctcascade.data.errors import plain
from ctcascade.formats import watched
from ctcascade.formats.frame_error import FrameError
from ctcascade.formats.guard import MAX_PIXELS

_MOST_BYTES = 32 * MAX_PIXELS  # sixteen channels of sixteen bits
_KINDS_OF_FAULT = (
    *(BlockingIOError, ChildProcessError, ConnectionError, FileExistsError, FileNotFoundError, InterruptedError),
    *(IsADirectoryError, NotADirectoryError, PermissionError, ProcessLookupError, TimeoutError),
)
_DEEPEST = 20  # errors that led to one another
_KINDS_OF_BUG = (AssertionError, AttributeError, ImportError, KeyError, NameError, NotImplementedError, TypeError)
_PACKAGE = __name__.partition(".")[0]


@contextlib.contextmanager
def reading(what: str) -> Iterator[list[tuple[int, int]]]:
    """Turn whatever a decoder raises on a broken file into a `FrameError`, with the size if the block has noted it.

    Only decoding belongs inside the block. What the file layer reports (a failing disk, a share that is away, a file
    that may not be read) and too little memory are not faults of the frame: such an error passes through, so that the
    job fails and is run again instead of counting one frame less. A missing key, attribute or name, a wrong type or a
    broken assertion in this package's own code passes through too: that is a bug, and no frame's fault.
    """
    shapes: list[tuple[int, int]] = []
    with sized(shapes), watched.reports() as reported:
        try:
            yield shapes
        except MemoryError:
            raise
        except Exception as error:  # decoders raise all kinds of errors on broken files
            if reported:
                raise reported[0] from None
            if isinstance(error, FrameError):
                raise
            passing = _of_the_file_layer(error)
            if passing is not None:
                raise passing from None
            if _is_ours(error):
                raise
            raise FrameError(f"{what} cannot be read: {plain(error)}") from error
        if reported:  # and was swallowed: what was read may lack something
            raise reported[0]


def _of_the_file_layer(error: BaseException) -> OSError | None:
    """Return the error of the operating system that an error is or comes from; None where a decoder made it.

    Decoders raise `OSError` too, on what a file holds; theirs have no number, and are not of its subclasses.
    """
    seen: BaseException | None = error
    for _ in range(_DEEPEST):
        if seen is None:
            break
        if isinstance(seen, MemoryError):
            raise seen
        if isinstance(seen, _KINDS_OF_FAULT) or (isinstance(seen, OSError) and seen.errno is not None):
            return seen
        seen = seen.__cause__ or seen.__context__
    return None


def bytes_of(path: Path) -> bytes:
    """Return the bytes of a file, before any decoder sees them: decoders report a failing disk as a corrupt file."""
    size = path.stat().st_size
    if size == 0:
        raise FrameError(f"{path.name} is empty (0 bytes)")
    if size > _MOST_BYTES:
        raise FrameError(f"{path.name} has {size} bytes; at most {_MOST_BYTES} are read")
    data = path.read_bytes()
    if len(data) != size:
        raise OSError(errno.EAGAIN, f"changed while it was read: {size} bytes, then {len(data)}", str(path))
    return data


@contextlib.contextmanager
def sized(shapes: Sequence[tuple[int, int]]) -> Iterator[None]:
    """Add the size of the frame, if known, to a `FrameError` of the block."""
    try:
        yield
    except FrameError as error:
        raise FrameError(str(error), shapes[0] if shapes else error.shape, error.channels) from error


def _is_ours(error: BaseException) -> bool:
    """Return whether an error is of a kind that only a fault of a program has, and was raised in this package.

    What a file holds may be without any key or of any type, and is asked for both before it is used; a decoder of
    others need not do so, and such errors of theirs are taken for the file's.
    """
    if not isinstance(error, _KINDS_OF_BUG):
        return False
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    return last is not None and str(last.tb_frame.f_globals.get("__name__", "")).partition(".")[0] == _PACKAGE
