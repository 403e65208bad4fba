"""An assay over the one that it extends, and what it only takes over from there: factors of another method."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from ctcascade.data.errors import Fault, listed, plain
from ctcascade.data.typed import Typed
from ctcascade.study import checking, text_files
from ctcascade.study.marks import marks_in
from ctcascade.study.shipped import assay_files

FactorName = Literal["recovery", "sensitivity", "background_per_7_5_ml", "reference_equivalent"]
_FACTORS: tuple[FactorName, ...] = ("recovery", "sensitivity", "background_per_7_5_ml", "reference_equivalent")
_METHOD = ("capture", "channels", "pixel_size_um", "bit_depth", "gates")
_WORDS = {
    "background_per_7_5_ml": "false calls per 7.5 mL",
    "reference_equivalent": "equivalence with the reference assay",
    "capture": "way of capture",
    "pixel_size_um": "pixel size",
    "bit_depth": "bit depth",
    "gates": "limits of calls",
}
_OWN = "taken_over"  # what this module finds out; nobody writes it


class TakenOver(Typed):
    """Factors that an assay has only from the one that it extends."""

    base: str = Field(description="the assay that states them")
    factors: tuple[FactorName, ...] = Field(description="factors that the assay neither states nor says to hold")
    changed: tuple[str, ...] = Field(description="keys of the method in which it differs from that assay")

    @property
    def told(self) -> str:
        """Which factors they are, in words."""
        names = listed([_WORDS.get(name, name) for name in self.factors])
        return f"{names} {'is' if len(self.factors) == 1 else 'are'} only taken over from the assay {self.base}"

    @property
    def different(self) -> tuple[str, ...]:
        """In what the method differs from that assay's, in words."""
        return tuple(_WORDS.get(name, name) for name in self.changed)


@dataclass(frozen=True)
class _Level:
    """One file of a chain: its name, and what it says."""

    name: str
    given: Mapping[str, Any]


def extended(path: Path, faults: list[Fault]) -> dict[str, Any]:
    """Return what an assay file says over the assays that it extends, and what it only takes over from them.

    Parameters
    ----------
    path : Path
    faults : list of Fault
        Files that are missing or cannot be read, and circles, are added to it.

    Notes
    -----
    A key of the first level stands over the same key of the assay below. `extends` finds the files beside, then the
    shipped assays, and may lead on. A factor that a file does not state is that of the first file below that does;
    where the method differs from that file's, the factor is another method's.
    """
    levels = _levels(path, faults)
    whole = _merged(levels)
    whole.pop("extends", None)
    taken = _taken_over(levels) if len(levels) > 1 else None
    return {**whole, _OWN: taken} if taken else whole


def _levels(path: Path, faults: list[Fault]) -> list[_Level]:
    levels, seen, at = list[_Level](), list[Path](), path
    while True:
        given = text_files.read_yaml(at, faults, "an assay file, UTF-8 text")
        if _OWN in given:
            faults.append(Fault(str(at), "", f"an unknown name {_OWN!r}", "what an assay states", "remove it"))
        faults.extend(marks_in(str(at), given))
        levels.append(_Level(at.stem, given))
        seen.append(at.resolve())
        base = given.get("extends")
        if base is None:
            return levels
        files = {name: file for name, file in assay_files(at.parent).items() if file.resolve() != at.resolve()}
        shipped = assay_files(None)
        if base == at.stem and base in shipped:  # an own variant of a shipped assay, under its name
            files[base] = shipped[base]
        if not isinstance(base, str) or base not in files:
            faults.append(checking.not_one_of(str(at), "extends", plain(base), sorted(files)))
            return levels
        at = files[base]
        if at.resolve() in seen:
            chain = " -> ".join([*(level.name for level in levels), at.stem])
            wanted = "a chain that ends at an assay without extends"
            faults.append(Fault(str(path), "extends", f"a circle: {chain}", wanted, "write one of them out"))
            return levels


def _merged(levels: Sequence[_Level]) -> dict[str, Any]:
    whole: dict[str, Any] = {}
    for level in reversed(levels):
        whole |= level.given
    return whole


def _taken_over(levels: Sequence[_Level]) -> dict[str, Any] | None:
    """Return the factors that the first file takes over, from whom, and in what its method differs."""
    own = _method(levels)
    taken: list[str] = []
    changed: dict[str, None] = {}
    base = ""
    for factor in _FACTORS:
        stated = next((k for k, level in enumerate(levels) if factor in level.given or factor in _held(level)), 0)
        if stated:
            taken.append(factor)
            base = base or levels[stated].name
            there = _method(levels[stated:])
            changed |= dict.fromkeys(key for key in _METHOD if own.get(key) != there.get(key))
    return {"base": base, "factors": tuple(taken), "changed": tuple(changed)} if taken else None


def _held(level: _Level) -> Sequence[object]:
    """Return the factors of which a file says, with a source, that they hold for its method too."""
    said = level.given.get("inherits")
    value = said.get("value") if isinstance(said, Mapping) else None
    return value if isinstance(value, list) else []


def _method(levels: Sequence[_Level]) -> dict[str, Any]:
    """Return what the factors are properties of, without sources and order."""
    whole = _merged(levels)
    found = {key: _plain(whole.get(key)) for key in _METHOD}
    channels = whole.get("channels")
    if isinstance(channels, Mapping):
        found["channels"] = {
            role: sorted(str(name).casefold() for name in names) if isinstance(names, list) else names
            for role, names in channels.items()
        }
    return found


def _plain(given: Any) -> Any:
    if isinstance(given, Mapping):
        if "value" in given:
            return given["value"]
        return {key: _plain(value) for key, value in given.items()}
    return given
