"""Whether what a stage is given belongs together: one sample, and each table made from the very ones beside it."""

import functools
import os
from collections.abc import Container, Mapping, Sequence
from pathlib import Path

from ctcascade.data import store
from ctcascade.data.errors import refuse
from ctcascade.data.results import Counts, Provenance, Quality, ResultFile

_FROM_IMAGES = ("frames", "cells", "outlines", "overview")  # written together
_AGAIN = "run the stages before this one again"


def refuse_strangers(
    sample: str, tables: Mapping[str, Path], results: Mapping[Path, tuple[str, ResultFile]] | None = None
) -> None:
    """Refuse tables and results that are not all of one sample, or not made from one another.

    Parameters
    ----------
    sample : str
    tables : mapping of str to Path
        By kind: ``frames``, ``cells``, ``outlines``, ``overview``, ``calls``, ``crops``.
    results : mapping of Path to (str, ResultFile), optional
        What was read from JSON files of the sample: the sample that it names, and the result.

    Raises
    ------
    InputError
        If a table has no provenance, is one of another sample, or was made from another table than the one given.
    """
    made_by: dict[Path, Provenance] = {path: store.table_provenance(path) for path in tables.values()}
    for path, provenance in made_by.items():
        _refuse_other(path, provenance.settings.get("sample", sample), sample)
    for path, (named, result) in (results or {}).items():
        _refuse_other(path, named, sample)
        made_by[path] = result.provenance
    together = [tables[kind] for kind in _FROM_IMAGES if kind in tables]
    for path in together[1:]:
        if made_by[path] != made_by[together[0]]:
            refuse(path, "", f"made otherwise than {together[0].name}", "tables of one run of detect", _AGAIN)
    for path, provenance in made_by.items():
        for kind, source in tables.items():
            if provenance.inputs.get(kind, "") not in ("", digest(source)):
                refuse(path, "", f"made from another {kind} table than {source}", "the tables it was made from", _AGAIN)


def refuse_unlike(path: Path, result: ResultFile, sources: Mapping[str, Path]) -> None:
    """Refuse a result that was made from other files than those given, by the role that each had."""
    for role, source in sources.items():
        if result.provenance.inputs.get(role, "") not in ("", digest(source)):
            refuse(path, "", f"made from another file than {source}", "the files it was made from", _AGAIN)


def refuse_checks_of_others(checks: Mapping[Path, Quality], samples: Sequence[Counts]) -> None:
    """Refuse checks of a sample that is not among the counts, or of other tables than its counts were made from."""
    of = {counts.sample: counts for counts in samples}
    for path, checked in checks.items():
        counts = of.pop(checked.sample, None)
        if counts is None:
            wanted = f"one quality.json of each of {', '.join(c.sample for c in samples)}"
            refuse(path, "sample", checked.sample, wanted, "give the checks of the patient's own samples")
        for role in ("frames", "calls"):
            made_from = {made.inputs[role] for made in (checked.provenance, counts.provenance) if made.inputs.get(role)}
            if len(made_from) > 1:
                found = f"made from another {role} table than the counts of {checked.sample}"
                refuse(path, "", found, "results of one run", "run the stages before this one again")


def refuse_missing(checks: Container[str], samples: Mapping[str, Path]) -> None:
    """Refuse counts of samples, each in its file, whose checks are not given."""
    for sample, path in samples.items():
        if sample not in checks:
            refuse(path, "sample", f"no quality.json of {sample}", "the checks of each sample", "give them too")


def _refuse_other(path: Path, named: object, sample: str) -> None:
    if named != sample:
        refuse(path, "", f"a result of the sample {named}", f"one of {sample}", "give the tables of one sample")


def digest(path: Path) -> str:
    """Return the sha256 of a file that is asked for several times."""
    state = os.stat(path)
    return _digest(Path(path), state.st_size, state.st_mtime_ns, state.st_ino)


@functools.lru_cache(maxsize=64)
def _digest(path: Path, _size: int, _changed: int, _node: int) -> str:
    return store.file_hash(path)
