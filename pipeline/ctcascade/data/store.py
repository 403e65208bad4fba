"""Reading and writing of results: checked against the schema, with provenance inside, and never half-written."""

import contextlib
import hashlib
import json
import math
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from ctcascade import __version__
from ctcascade.data import fingerprint, stamp
from ctcascade.data.errors import refuse
from ctcascade.data.results import Provenance, ResultFile

if TYPE_CHECKING:
    from ctcascade.data.parquet import (
        arrow_schema,
        read_parts,
        read_rows,
        read_table,
        table_provenance,
        table_writer,
        write_table,
    )

__all__ = [
    "arrow_schema",
    "file_hash",
    "provenance",
    "read_json",
    "read_parts",
    "read_rows",
    "read_table",
    "table_provenance",
    "table_writer",
    "text_provenance",
    "whole",
    "write_json",
    "write_page_text",
    "write_table",
    "write_text",
]
RUN_AGAIN = "run the stage before this one again"
_MOST_DIGITS = 20

R = TypeVar("R", bound=ResultFile)


def __getattr__(name: str) -> Any:
    """Return what reads or writes tables: pandas takes long to load, and the stages of a patient do without."""
    if name not in __all__:
        raise AttributeError(f"{__name__} has no {name}")
    from ctcascade.data import parquet  # noqa: PLC0415

    return getattr(parquet, name)


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that becomes `path` when the block ends well, and vanishes when not.

    A killed job thus never leaves a file that could be taken for whole, and of two writers the last one wins whole.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    os.close(handle)
    part = Path(name)
    try:
        part.chmod(0o666 & ~_umask())
        yield part
        _to_disk(part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _to_disk(part: Path) -> None:
    """Have the system write a file out before it gets its name: after a power failure the name holds all or nothing."""
    handle = os.open(part, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8 into `path`, whole or not at all."""
    with whole(path) as part:
        part.write_text(text, encoding="utf-8")


def provenance(settings: Mapping[str, Any] | BaseModel, inputs: Mapping[str, Path], evidence: str = "") -> Provenance:
    """Return what made a result: software version, settings, and the hash of each input; no time, no machine path.

    Parameters
    ----------
    settings : mapping or model
        All that was set; JSON types. The job of a stage (`study.jobs`) tells the stage, whose code is then named.
    inputs : mapping of str to Path
        Files that were read, by role (``{"calls": Path(...)}``); only their hashes are kept.
    evidence : str, optional
        Hash of the evidence tables that were read.
    """
    given = settings.model_dump(mode="json") if isinstance(settings, BaseModel) else dict(settings)
    hashes = {name: file_hash(path) for name, path in sorted(inputs.items())}
    made_by = Provenance(software="ctcascade", version=__version__, settings=given, inputs=hashes)
    stage = type(settings).__name__.removesuffix("Job").lower()
    known = {"evidence": evidence} if evidence else {}
    if stage in fingerprint.STAGES:
        known["code"] = fingerprint.stage_hash(stage, given.get("segmenter") == "learned")
    return made_by.model_copy(update=known) if known else made_by


def file_hash(path: Path) -> str:
    """Return the sha256 of a file as hexadecimal text."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def write_json(path: Path, result: ResultFile) -> None:
    """Write a result as JSON with sorted keys.

    Parameters
    ----------
    path : Path
    result : ResultFile
        Checked when it was made. Keys with a default that was not given are not written.
    """
    content = result.model_dump(exclude_unset=True)
    content["provenance"][stamp.KEY] = stamp.NOT_YET
    text = json.dumps(content, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    write_text(path, stamp.stamped(text))


def read_json(path: Path, kind: type[R]) -> R:
    """Return a result that `write_json` wrote.

    Parameters
    ----------
    path : Path
    kind : type
        `results.Counts`, `results.Cascade` ...

    Raises
    ------
    InputError
        If the file cannot be read or holds anything else; the first fault is named.
    """
    again = "run the stage before this one again"
    try:
        text = Path(path).read_text(encoding="utf-8")
        json.loads(text, parse_constant=_no_number, parse_int=_whole, parse_float=_finite, object_pairs_hook=_once)
        if stamp.has_one(text) and stamp.fault(text):
            raise _NotOursError(f"a result that {stamp.fault(text)}")
        return kind.model_validate_json(text)
    except json.JSONDecodeError as error:
        broken = f"JSON that is broken in line {error.lineno}" if text.strip() else "an empty file"
        refuse(path, "", broken, f"{_named(kind)} written by ctcascade", again)
    except (OSError, UnicodeDecodeError, RecursionError, _NotOursError) as error:
        refuse(path, "", _in_words(error), f"{_named(kind)} written by ctcascade", again)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_context=False)[0]
        place = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in fault["loc"])
        value = fault["input"]
        shown = f" ({value!r})" if isinstance(value, str | int | float) and fault["loc"] else ""
        refuse(path, f"${place}", fault["msg"] + shown, f"{_named(kind)} of this version of ctcascade", again)


def _in_words(error: Exception) -> str:
    """Return why a text file cannot be read, as a person says it."""
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, UnicodeDecodeError):
        return "bytes that are no text (UTF-8)"
    if isinstance(error, RecursionError):
        return "lists within lists without end"
    return str(error)


class _NotOursError(Exception):
    """JSON that this module never writes."""


def _no_number(word: str) -> float:
    raise _NotOursError(f"{word}, which is no number")


def _whole(word: str) -> int:
    if len(word) > _MOST_DIGITS:
        raise _NotOursError(f"a number of {len(word)} digits")
    return int(word)


def _finite(word: str) -> float:
    value = float(word)
    if not math.isfinite(value):
        raise _NotOursError(f"{word[:_MOST_DIGITS]}, which no number holds")
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a mapping; refuse one that names a key twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _NotOursError("a key that stands twice")
    return found


def _named(model: type[ResultFile]) -> str:
    return f"{'an' if model.file_name[0] in 'aeiou' else 'a'} {model.file_name}"


def text_provenance(path: Path, kind: type[ResultFile] | None) -> Provenance:
    """Return what made a JSON result of a kind, or without a kind a page; refuse one whose checksum is not its own."""
    if kind is not None:
        made_by = read_json(path, kind).provenance
        if not made_by.content_sha256:
            refuse(path, "", f"a result {stamp.fault('')}", f"{_named(kind)} written by ctcascade", RUN_AGAIN)
        return made_by
    try:
        text = Path(path).read_text(encoding="utf-8")
        start = text.rfind(_IN_PAGE)
        wrong = stamp.fault(text)
        if wrong or start < 0:
            refuse(path, "", f"a page {wrong or stamp.fault('')}", "a page written by ctcascade", "make it again")
        return Provenance.model_validate_json(text[start + len(_IN_PAGE) :].partition(" -->")[0])
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        refuse(path, "", " ".join(str(error).split()), "a page of this version of ctcascade", "make it again")


_IN_PAGE = "<!-- ctcascade "


def write_page_text(path: Path, page: str, made_by: Provenance) -> None:
    """Write a page with what made it, and its checksum, in a comment at its end."""
    content = made_by.model_dump(mode="json", exclude_unset=True) | {stamp.KEY: stamp.NOT_YET}
    words = json.dumps(content, sort_keys=True)
    for sign in "<>&":  # nothing in it may end the comment
        words = words.replace(sign, f"\\u{ord(sign):04x}")
    write_text(path, stamp.stamped(f"{page}\n{_IN_PAGE}{words} -->\n"))


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
