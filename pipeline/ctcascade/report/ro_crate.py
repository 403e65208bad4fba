"""A run as an RO-Crate: its files with checksums, what made them, and the images behind them in words of REMBI.

Written is ``ro-crate-metadata.json`` in the folder of results, which is thereby the crate. It names no person, login
or machine, holds no absolute path and no time, and claims no licence for the user's data.
"""

import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any
from urllib.parse import quote

from ctcascade import __version__
from ctcascade.data import store
from ctcascade.data.errors import Fault, plain, refuse, refuse_all
from ctcascade.data.finished import CRATE_FILE, SampleResults, read_results
from ctcascade.study.jobs import CrateJob

Entity = dict[str, Any]
_CRATE = "https://w3id.org/ro/crate/1.1"
_TERMS = "https://w3id.org/ro/terms/workflow-run/context"
_PROFILES = (
    ("https://w3id.org/ro/wfrun/process/0.5", "Process Run Crate", "0.5"),
    ("https://w3id.org/ro/wfrun/workflow/0.5", "Workflow Run Crate", "0.5"),
    ("https://w3id.org/workflowhub/workflow-ro-crate/1.0", "Workflow RO-Crate", "1.0"),
)
_REMBI = "https://doi.org/10.1038/s41592-021-01166-8"
_SNAKEMAKE = "https://w3id.org/workflowhub/workflow-ro-crate#snakemake"
_PROGRAM, _RUN, _LICENCE = "#ctcascade", "#run", "#licence"
_WORKFLOW = "workflow"
_UNKNOWN = "application/octet-stream"
_NO_CRATE = ("logs", "benchmarks")  # folders with times and names of machines
_KINDS = {
    ".parquet": "application/vnd.apache.parquet",
    ".json": "application/json",
    ".html": "text/html",
    ".csv": "text/csv",
    ".tsv": "text/tab-separated-values",
    ".md": "text/markdown",
    ".js": "text/javascript",
    ".yaml": "application/yaml",
    ".tif": "image/tiff",
    ".smk": "text/plain",
}


def write_crate(job: CrateJob, results: Path, shipped: Path) -> None:
    """Write the metadata of a crate into a folder of results, and the workflow beside it.

    Parameters
    ----------
    job : CrateJob
        Name, description, licence and day of publication as the user states them.
    results : Path
        Folder of a finished run.
    shipped : Path
        Folder that the Snakefile and its rules lie in; they are copied into ``results/workflow``.

    Raises
    ------
    InputError
        If the folder holds no results, or these hold absolute paths of images (and `job.absolute_paths` does not say
        that they may); or, where `rocrate` is installed, if it cannot read the crate.

    Notes
    -----
    RO-Crate 1.1 asks for a licence and a day of publication. Where none is stated the licence is an entity that says
    so, and the day is 1970-01-01.

    References
    ----------
    RO-Crate Metadata Specification 1.1, doi:10.5281/zenodo.4541002; Workflow Run Crate 0.5,
    doi:10.1371/journal.pone.0309210; REMBI, doi:10.1038/s41592-021-01166-8.
    """
    run = read_results(results)
    refuse_all([] if job.absolute_paths else list(_absolute(run.samples.values())))
    _copy_workflow(shipped, results / _WORKFLOW)
    files = [_as_workflow(_file(path, results)) for path in _paths(results)]
    images = [entity for sample in run.samples.values() for entity in _images(sample)]
    graph = [*_about(job, files, images), *files, *images]
    content = {"@context": [f"{_CRATE}/context", _TERMS], "@graph": graph}
    store.write_text(results / CRATE_FILE, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    fault = unreadable(results)
    if fault:
        todo = "this is an error of the program: report it with the message"
        refuse(results / CRATE_FILE, "", fault, "an RO-Crate", todo)


def unreadable(results: Path) -> str:
    """Return why `rocrate` cannot read a crate; empty where it can, or is not installed."""
    try:
        from rocrate.rocrate import ROCrate  # type: ignore[import-not-found]  # noqa: PLC0415  (optional)
    except ImportError:
        return ""
    try:
        crate = ROCrate(str(results))
    except (ValueError, KeyError, OSError) as error:
        return str(error)
    return "" if crate.mainEntity is not None else "no main entity"


def _absolute(samples: Iterable[SampleResults]) -> Iterator[Fault]:
    """Yield samples whose tables hold absolute paths, which may tell names of people and machines."""
    for sample in samples:
        path = sample.folder / "frames.parquet"
        stated = [part.partition("::")[0] for part in store.table_provenance(path).settings.get("images", [])]
        for one in stated:
            if PurePosixPath(one).is_absolute() or PureWindowsPath(one).drive or one.startswith("~"):
                todo = "write the sheet's images relative to it and run again, or set crate: {absolute_paths: true}"
                yield Fault(str(path), "images", plain(one), "a path relative to the sample sheet", todo)


def _copy_workflow(shipped: Path, place: Path) -> None:
    """Copy the Snakefile and its rules, without anything a user wrote."""
    for source in (shipped / "Snakefile", *sorted((shipped / "workflow" / "rules").glob("*.smk"))):
        target = place / source.relative_to(shipped)
        target.parent.mkdir(parents=True, exist_ok=True)
        with store.whole(target) as part:
            shutil.copyfile(source, part)


def _paths(results: Path) -> Iterator[Path]:
    """Yield the files of a run in order of their names: no hidden ones, no logs, nothing of Snakemake's."""
    for path in sorted(results.rglob("*")):
        parts = path.relative_to(results).parts
        hidden = any(part.startswith(".") for part in parts)
        if path.is_file() and not hidden and parts[0] not in _NO_CRATE and parts[-1] != CRATE_FILE:
            yield path


def _file(path: Path, results: Path) -> Entity:
    name = path.relative_to(results).as_posix()
    return {
        "@id": quote(name),
        "@type": "File",
        "name": name,
        "encodingFormat": _KINDS.get(path.suffix, "text/plain" if path.name == "Snakefile" else _UNKNOWN),
        "contentSize": str(path.stat().st_size),
        "sha256": store.file_hash(path),
    }


def _about(job: CrateJob, files: Sequence[Entity], images: Sequence[Entity]) -> Iterator[Entity]:
    """Yield what is said of the whole: the crate, its profiles, the workflow and its run."""
    profiles = [{"@id": address} for address, _, _ in _PROFILES]
    yield {
        "@id": CRATE_FILE,
        "@type": "CreativeWork",
        "about": {"@id": "./"},
        "conformsTo": [{"@id": _CRATE}, {"@id": _PROFILES[2][0]}],
    }
    main = {"@id": f"{_WORKFLOW}/Snakefile"}
    sets = [{"@id": entity["@id"]} for entity in images if entity["@type"] == "CreativeWork"]
    licence = {"@id": job.license or _LICENCE}
    yield {
        "@id": "./",
        "@type": "Dataset",
        "name": job.name,
        "description": job.description,
        "datePublished": job.date_published,
        "license": licence,
        "conformsTo": profiles,
        "mainEntity": main,
        "hasPart": [{"@id": entity["@id"]} for entity in files],
        "mentions": [{"@id": _RUN}, *sets],
    }
    yield from ({"@id": at, "@type": "CreativeWork", "name": name, "version": v} for at, name, v in _PROFILES)
    yield {
        "@id": licence["@id"],
        "@type": "CreativeWork",
        "name": "Licence of the data" if job.license else "No licence stated",
        "description": "as stated by those who publish the crate"
        if job.license
        else "Nobody has stated a licence: ask those who gave you the crate before you use its data.",
    }
    made = [{"@id": e["@id"]} for e in files if not e["@id"].startswith(f"{_WORKFLOW}/")]
    yield {
        "@id": _RUN,
        "@type": "CreateAction",
        "name": "Run of the ctcascade workflow",
        "description": "Settings, seed, and checksums of the inputs of each result stand in the result itself.",
        "instrument": main,
        "object": sets,
        "result": made,
        "actionStatus": "http://schema.org/CompletedActionStatus",
    }
    yield {
        "@id": _PROGRAM,
        "@type": "SoftwareApplication",
        "name": "ctcascade",
        "softwareVersion": __version__,
        "description": "For research use only. Not for use in diagnostic procedures.",
    }
    yield {
        "@id": _SNAKEMAKE,
        "@type": "ComputerLanguage",
        "name": "Snakemake",
        "identifier": {"@id": "https://doi.org/10.1093/bioinformatics/bts480"},
        "url": {"@id": "https://snakemake.readthedocs.io"},
    }


def _as_workflow(entity: Entity) -> Entity:
    """Return the Snakefile's entity as the workflow that it is, and that of the README; any other as it is given."""
    if entity["@id"] == "README.md":
        return {**entity, "about": {"@id": "./"}}
    if entity["@id"] != f"{_WORKFLOW}/Snakefile":
        return entity
    return {
        **entity,
        "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow"],
        "name": "ctcascade",
        "version": __version__,
        "license": {"@id": "https://spdx.org/licenses/MIT"},
        "programmingLanguage": {"@id": _SNAKEMAKE},
        "softwareRequirements": {"@id": _PROGRAM},
    }


def _images(sample: SampleResults) -> Iterator[Entity]:
    """Yield the images of a sample, which are not in the crate, with what is known of them in REMBI's fields."""
    counts, frames = sample.counts, sample.frames
    settings = store.table_provenance(sample.folder / "frames.parquet").settings["assay"]
    pixels = sorted({f"{value:.4g}" for value in frames["pixel_size_um"].dropna()})
    channels = ", ".join(f"{role}: {names[0]}" for role, names in sorted(settings["channels"].items()))
    fields = (
        ("Biosample / Organism", "Homo sapiens: what the program is for; the sheets do not state it"),
        ("Biosample / Biological entity", "blood"),
        ("Specimen / Sample preparation", f"assay {counts.assay}"),
        ("Specimen / Biosample volume", f"{counts.blood_volume_ml:g} mL of blood"),
        ("Image acquisition / Imaging method", "fluorescence microscopy"),
        ("Image data / Channels", channels),
        ("Image data / Pixel size", " or ".join(f"{size} um" for size in pixels) or "not known"),
        ("Image data / Number of images", str(len(frames))),
        ("Analysed data / Analysis method", f"ctcascade {__version__}"),
        *((("Study / Notice", counts.notice),) if counts.notice else ()),
    )
    at = quote(counts.sample)
    found = [
        {
            "@id": f"#images-{at}-{k}",
            "@type": "PropertyValue",
            "name": f"REMBI: {name}",
            "propertyID": _REMBI,
            "value": value,
        }
        for k, (name, value) in enumerate(fields)
    ]
    yield {
        "@id": f"#images-{at}",
        "@type": "CreativeWork",
        "name": f"Images of sample {counts.sample}",
        "description": "Not in this crate. Their content is known by the digests in the tables made from them.",
        "additionalProperty": [{"@id": entity["@id"]} for entity in found],
    }
    yield from found
