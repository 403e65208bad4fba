"""The settings of a run from its files and its command line: merged, checked, and where the paths in them lead."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from ctcascade.data.errors import Fault
from ctcascade.data.vocabulary import AT_LEAST
from ctcascade.study import checking, text_files
from ctcascade.study.settings import Settings

_COMMAND_LINE = "--config/--configfile"


class Configuration:
    """What configuration files and the command line say, a later one over an earlier one, setting by setting.

    Parameters
    ----------
    configfiles : sequence of Path
        YAML files. A relative path in them is looked up in the working folder, and where it is not there beside the
        folder of the first of these files.
    overrides : mapping
        Settings over those of the files; text is read as the type that the setting has.
    faults : list of Fault
        Every fault found is added to it.

    Attributes
    ----------
    settings : Settings or None
        None where there was a fault.
    """

    def __init__(self, configfiles: Sequence[Path], overrides: Mapping[str, Any], faults: list[Fault]):
        self._home = Path(configfiles[0]).parent.parent if configfiles else Path()
        self._given: dict[str, Any] = {}
        by, wrong = checking.schema(Settings), list[Fault]()
        sources = [(str(path), text_files.read_yaml(Path(path), wrong)) for path in configfiles]
        sources = [(source, _without_empty(Settings, settings)) for source, settings in sources]
        overrides = _without_empty(Settings, overrides)
        for source, settings in (*sources, (_COMMAND_LINE, checking.typed(overrides, by, by))):
            checking.check(Settings, settings, source, wrong)
            self._given = _merged(self._given, settings)
        of_files = {(fault.at, fault.found) for fault in wrong if fault.file != _COMMAND_LINE}
        # a run is given what its files say a second time
        wrong = [fault for fault in wrong if fault.file != _COMMAND_LINE or (fault.at, fault.found) not in of_files]
        first = sources[0][0] if sources else _COMMAND_LINE
        self.settings: Settings | None = None if wrong else checking.check(Settings, self._given, first, wrong)
        if self.settings:
            wrong += _contradictions(self.settings, first)
        faults += wrong

    def paths(self, section: str, name: str) -> dict[str, Path]:
        """Return where the paths of a setting that names several lead."""
        named = (self._given.get(section) or {}).get(name) or {}
        return {str(key): self._found(path) for key, path in named.items() if isinstance(path, str)}

    def path(self, name: str, section: str | None = None) -> Path | None:
        """Return where a setting that is a path leads, whatever else is wrong; None where it is no text."""
        settings = self._given.get(section) if section else self._given
        named = settings.get(name) if isinstance(settings, dict) else None
        if named is None and section is None:
            named = Settings.model_fields[name].default
        if not isinstance(named, str):
            return None
        return self._found(named)

    def _found(self, named: str) -> Path:
        beside = self._home / named
        return Path(named) if os.path.exists(named) or not os.path.exists(beside) else beside


def _without_empty(kind: type[BaseModel], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings without the sections under which nothing stands, such as one whose lines are all comments."""
    kept = {}
    for name, value in given.items():
        section = kind.model_fields[name].annotation if name in kind.model_fields else None
        if not (isinstance(section, type) and issubclass(section, BaseModel)):
            kept[name] = value
        elif value is not None:
            kept[name] = _without_empty(section, value) if isinstance(value, Mapping) else value
    return kept


def _merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    both = dict(under)
    for key, value in over.items():
        below = both.get(key)
        both[key] = _merged(below, value) if isinstance(below, dict) and isinstance(value, Mapping) else value
    return both


def _contradictions(settings: Settings, file: str) -> list[Fault]:
    faults = []
    low, high = settings.detect.nucleus_diameter_um
    if low >= high:
        wanted = "the smallest, then the largest diameter"
        faults.append(Fault(file, "detect.nucleus_diameter_um", f"[{low:g}, {high:g}]", wanted, "swap or fix them"))
    uncertain, call = settings.classify.p_ctc_uncertain, settings.classify.p_ctc_call
    if uncertain > call:
        wanted = f"at most p_ctc_call, {call}"
        faults.append(Fault(file, "classify.p_ctc_uncertain", str(uncertain), wanted, "lower it, or raise p_ctc_call"))
    levels = settings.recovery.levels
    if len(set(levels)) < 3:
        found, wanted = f"{len(set(levels))} different numbers", "three or more, for a line with its spread"
        faults.append(Fault(file, "recovery.levels", found, wanted, "add levels"))
    own = {name: limits for name, limits in settings.quality if name != "frame"}
    frame = {f"frame.{name}": limits for name, limits in settings.quality.frame}
    for check, (warn, fail) in {**own, **frame}.items():
        if warn is not None and fail is not None:
            low, high = (fail, warn) if check.rpartition(".")[2] in AT_LEAST else (warn, fail)
            if low > high:
                wanted = "the limit that warns, then one that is not easier to pass: [warn, fail]"
                faults.append(Fault(file, f"quality.{check}", f"[{warn:g}, {fail:g}]", wanted, "swap or fix them"))
    return faults
