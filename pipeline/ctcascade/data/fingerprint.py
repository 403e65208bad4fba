"""A hash of what each stage is made of, so that a change reruns the stages that it concerns and no others.

Rules that call a program do not see that the program has changed; they carry this hash among their parameters. It
covers the stage's own modules (all that its entry module imports, directly or not, also inside functions), the files
of the package that it reads, the evidence tables that it reads, and the version.
"""

import ast
import functools
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ctcascade import __version__

PACKAGE = Path(__file__).parents[1]
_NAME = "ctcascade"
_IMPORT = re.compile(rf"^[ \t]*((?:from|import)[ ]+{_NAME}\b[^(\n]*(?:\([^)]*\))?)", re.MULTILINE)


@dataclass(frozen=True)
class Stage:
    """What a stage consists of.

    Attributes
    ----------
    modules : tuple of str
        Where the stage starts, below the package: ``calling.classify``.
    files : tuple of str
        Files of the package that it reads, as patterns.
    weights : tuple of str
        Such files that it reads only with ``detect.segmenter: learned``.
    evidence : tuple of str
        Evidence tables that its results rest on: a row of another table changes nothing in them.
    """

    modules: tuple[str, ...]
    files: tuple[str, ...] = ()
    weights: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()


_ALL = (
    *("assay_facts", "autopsy", "clusters", "count_distributions", "detection", "drainage", "flow", "kinetics"),
    *("founding", "imaged", "imaging_forms", "organ_forms", "organs", "organs_imaged", "parameters", "phenotype"),
    *("populations", "references", "response", "shapes", "spread", "stage", "strata", "survival", "targets"),
)
STAGES = {
    "detect": Stage(("images.detect",), weights=("images/weights/*",)),
    "classify": Stage(("calling.classify",), files=("calling/weights/*",)),
    "crops": Stage(("images.crops",)),
    "compare": Stage(("images.shared",)),
    "count": Stage(
        ("counting.count",),
        evidence=("assay_facts", "parameters", "populations"),
    ),
    "calibrate": Stage(("counting.local_calibration",)),
    "quality": Stage(("counting.quality",), evidence=("assay_facts",)),
    "operator": Stage(("counting.operator",)),
    "controls": Stage(("counting.controls",)),
    "simulate": Stage(
        ("cascade.simulate",),
        evidence=(
            "assay_facts",
            "detection",
            "drainage",
            "flow",
            "founding",
            "organs_imaged",
            "parameters",
            "populations",
        ),
    ),
    "prognose": Stage(
        ("prognosis.prognose",),
        evidence=(
            *("assay_facts", "clusters", "count_distributions", "kinetics", "phenotype", "references"),
            *("response", "shapes", "stage", "strata", "survival"),
        ),
    ),
    "spike": Stage(("validation.spike_in",)),
    "recovery": Stage(("validation.recovery",), evidence=("assay_facts", "references")),
    "replicates": Stage(("validation.replicates",), files=("calling/weights/*", "images/weights/*")),
    "validation": Stage(("validation.analytical",)),
    "cohort": Stage(("validation.follow_up",), evidence=("assay_facts", "strata", "survival")),
    "exchange": Stage(("report.fhir", "report.numbers_csv")),
    "dataset": Stage(("report.dataset_json",)),
    "crate": Stage(("report.ro_crate",)),
    "report": Stage(
        (
            *(
                f"report.{page}_page"
                for page in ("sample", "patient", "index", "recovery", "follow_up", "validation", "calibration")
            ),
            "report.dictionary",
        ),
        files=("report/templates/*",),
        evidence=_ALL,
    ),
}
"""The stages that rules run, by the name of their section in the settings; another stage is added here."""


@functools.cache
def stage_hash(stage: str, learned: bool = False, package: Path = PACKAGE) -> str:
    """Return the hash of a stage's code, files, evidence and version: 16 hexadecimal digits.

    Parameters
    ----------
    stage : str
        A key of `STAGES`.
    learned : bool
        Whether the learned segmenter is chosen, whose weights then count.
    package : Path
        Where the package lies.
    """
    of = STAGES[stage]
    files = [_file_of(name, package) for name in modules(of.modules, package)]
    for pattern in (*of.files, *(of.weights if learned else ())):
        files += sorted(path for path in package.glob(pattern) if path.is_file())
    digest = hashlib.sha256(f"{__version__} {evidence_hash(stage, package)}".encode())
    for path in files:
        digest.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def evidence_hash(stage: str, package: Path = PACKAGE) -> str:
    """Return the hash of the evidence tables that a stage reads: 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for name in sorted(STAGES[stage].evidence):
        digest.update(name.encode() + b"\0" + (package / "evidence" / f"{name}.tsv").read_bytes())
    return digest.hexdigest()[:16]


def modules(entries: tuple[str, ...], package: Path = PACKAGE) -> tuple[str, ...]:
    """Return the modules of the package that some modules need, themselves among them, by name below the package."""
    found, waiting = set[str](), [name for entry in entries for name in _with_parents(entry, package)]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += _imported(name, package)
    return tuple(sorted(found))


@functools.cache
def _imported(name: str, package: Path) -> tuple[str, ...]:
    """Return the modules that a module imports.

    Only its import statements are parsed: to parse all of the package takes half a second. The package's own
    ``__init__`` is for notebooks and may import everything; a stage takes only the version from it.
    """
    statements = _IMPORT.findall(_file_of(name, package).read_text(encoding="utf-8"))
    tree = ast.parse("\n".join(statements))
    wanted = [target for node in tree.body for target in _targets(node)]
    return tuple(dict.fromkeys(module for target in wanted for module in _with_parents(target, package)))


def _targets(node: ast.stmt) -> Iterator[str]:
    """Yield the dotted names, below the package, that an import statement may load."""
    if isinstance(node, ast.Import):
        yield from (alias.name.removeprefix(f"{_NAME}.") for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
        base = node.module.removeprefix(_NAME).removeprefix(".")
        yield from (f"{base}.{alias.name}".removeprefix(".") for alias in node.names)


def _with_parents(target: str, package: Path) -> Iterator[str]:
    """Yield the modules on the way to a dotted name, whose last part may be a name in a module."""
    parts = target.split(".")
    for n in range(1, len(parts) + 1):
        name = ".".join(parts[:n])
        if _is_module(name, package):
            yield name


@functools.cache
def _is_module(name: str, package: Path) -> bool:
    return _file_of(name, package).exists()


@functools.cache
def _file_of(name: str, package: Path) -> Path:
    """Return a module's file; that of a room is its ``__init__``."""
    place = package.joinpath(*name.split("."))
    return place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
