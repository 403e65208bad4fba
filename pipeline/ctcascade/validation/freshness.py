"""Results that are present when a run starts, compared with what is wanted now, from what they say of themselves.

Snakemake compares with its own notes (``.snakemake``), which do not travel with a folder of results.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from ctcascade.data import fingerprint, lineage
from ctcascade.data.errors import InputError
from ctcascade.data.results import Provenance
from ctcascade.study import jobs
from ctcascade.study.sheets import Study
from ctcascade.validation import origins
from ctcascade.validation.origins import Item


def outdated(
    study: Study, images_of: Callable[[str], str], events_of: Callable[[str], Sequence[Path]]
) -> list[tuple[Path, str]]:
    """Return the results that are not what a run of this study would make, each with the reason.

    Parameters
    ----------
    study : Study
    images_of : callable
        Returns the digest of a sample's images (`image_files.digest_of_content`).
    events_of : callable
        Returns the files of a sample's images that hold the operator's calls.

    Notes
    -----
    Compared are the checksum of each file, the settings, the code and evidence of the stage, the images (tables of
    `detect`, crops), the files that a person wrote (reviews, the operator's calls, scenarios), which may come, go and
    change without a new date, and the results that it was made from, but for the large tables of cells and outlines,
    whose own settings, code and images are compared. What is made from an outdated result is made again after it by
    itself.
    """
    results, learned = Path(study.settings.results), study.settings.detect.segmenter == "learned"
    items = [item for sample in study.samples for item in origins.of_sample(results, sample)]
    items += [item for name in study.patients for item in origins.of_patient(results, name, study.samples_of(name))]
    assays = sorted({row.assay for row in study.samples.values()})
    items += origins.of_run(results, list(study.samples), list(study.patients), assays)
    found = []
    for item in items:
        why = _differs(item, study, learned, images_of, events_of) if item.path.exists() else ""
        if why:
            found.append((item.path, why))
    return found


def strangers(study: Study) -> list[Path]:
    """Return folders of samples and patients that the sheets of this study do not name: they are left as they are."""
    results = Path(study.settings.results)
    known = {"samples": set(study.samples), "patients": set(study.patients)}
    found = ((path, names) for what, names in known.items() for path in sorted(results.glob(f"{what}/*")))
    return [path for path, names in found if path.is_dir() and path.name not in names]


def _differs(
    item: Item,
    study: Study,
    learned: bool,
    images_of: Callable[[str], str],
    events_of: Callable[[str], Sequence[Path]],
) -> str:
    """Return in what a result differs from what is wanted; empty where it does not."""
    try:
        made_by = item.made_by
    except InputError as error:
        return error.faults[0].found
    if item.stage not in ("page", "cohort"):  # a page without settings; one that keeps patients' data apart
        wanted = json.loads(jobs.job_for(study, item.stage, **item.about).model_dump_json())
        if made_by.settings != wanted:
            return "made with other settings, or of another sample"
    code = fingerprint.stage_hash("report" if item.stage == "page" else item.stage, learned)
    if made_by.code and made_by.code != code:
        return "made by other code or evidence"
    if item.stage == "detect" and made_by.images != images_of(item.about["sample"]):
        return "made from other images"
    given = _other_files(item, made_by, study, events_of)
    if given:
        return f"made with other {given}"
    changed = item.changed_source(made_by, small_only=True)
    return f"made from another {changed}" if changed else ""


def _other_files(item: Item, made_by: Provenance, study: Study, events_of: Callable[[str], Sequence[Path]]) -> str:
    """Return what of the files that a person wrote is not what a result was made with; empty where all is."""
    wanted: tuple[str, str, Sequence[Path]]
    if item.stage == "count":
        wanted = "reviews", "review ", study.reviews.get(item.about["sample"], [])
    elif item.stage == "operator":
        wanted = "calls of the operator", "events_", events_of(item.about["sample"])
    elif item.stage == "simulate":
        tubes = {f"counts/{name}" for name in study.samples_of(item.about["patient"])}
        if tubes != {name for name in made_by.inputs if name.startswith("counts/")}:
            return "samples of the patient"
        wanted = "scenarios", "what_if", [study.what_if] if study.what_if else []
    else:
        return ""
    what, role, files = wanted
    said = {digest for name, digest in made_by.inputs.items() if name.startswith(role)}
    return what if said != {lineage.digest(path) for path in files} else ""
