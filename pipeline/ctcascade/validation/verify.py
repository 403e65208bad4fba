"""Whether each result of a run is what it claims: its checksum, its kind, and the files it was made from."""

import json
from collections.abc import Collection, Iterator
from pathlib import Path
from urllib.parse import unquote

from ctcascade.data import store
from ctcascade.data.camera import Camera
from ctcascade.data.errors import InputError
from ctcascade.data.finished import CRATE_FILE, RunResults, SampleResults, read_results
from ctcascade.data.results import SharedPixels
from ctcascade.formats import FrameError, image_files, listing, read
from ctcascade.images.pixels import pixels_digest
from ctcascade.study import jobs
from ctcascade.validation import origins


def verify(results: Path, base: Path | None = None) -> tuple[list[str], int]:
    """Return a line for each table, JSON result and page of a run, and how many are not what they claim.

    Parameters
    ----------
    results : Path
    base : Path, optional
        The folder of the sample sheet: the images of each sample are listed there as detection listed them, and their
        content, and every pixel of the channels that each call needs, is compared with what its tables were made from.

    Notes
    -----
    Other inputs that are no results (reviews, the operator's files) are not looked for; what is made only where it is
    asked for may be absent. A sample or patient that index.html does not name is none of the last run: its sheet did
    not name it.

    Raises
    ------
    InputError
        If the folder holds no results.
    """
    run = read_results(results)
    samples, patients = list(run.samples), list(run.patients)
    assays = sorted({path.stem for what in ("recovery", "validation") for path in run.folder.glob(f"{what}/*.json")})
    items = [item for sample in samples for item in origins.of_sample(run.folder, sample)]
    items += [item for name in patients for item in origins.of_patient(run.folder, name, _samples_of(run, name))]
    items += origins.of_run(run.folder, samples, patients, assays)
    lines, wrong = [], 0
    for item in items:
        of_flow = item.kind is not None and item.stage != "exchange"
        needed = of_flow and bool(item.about.keys() & {"sample", "patient"})
        if item.path.exists() or needed:
            said = origins.fault_of(item)
            wrong += bool(said)
            lines.append(f"{item.path}: {said or 'as it claims'}")
    strangers = [*_strangers(run.folder, samples, patients), *_other_than_crate(run.folder)]
    strangers += _other_images(run, base) if base is not None else ()
    wrong += len(strangers)
    lines += strangers
    for name in ("cohort.csv", "qc_mqc.tsv"):
        if (run.folder / name).exists() and not (run.folder / "index.html").exists():
            wrong += 1
            lines.append(f"{run.folder / name}: without index.html, which holds its checksum")
    return lines, wrong


def _strangers(results: Path, samples: Collection[str], patients: Collection[str]) -> Iterator[str]:
    """Yield samples and patients that the page of the run does not name, and what it names or links to that is gone."""
    index = results / "index.html"
    if not index.exists():
        return
    try:
        inputs = store.text_provenance(index, None).inputs
    except InputError:  # named already
        return
    if not (results / SharedPixels.file_name).exists():
        yield f"{results / SharedPixels.file_name}: missing, and the pages were made with it"
    for what, kind, there in (("samples", "counts", samples), ("patients", "prognosis", patients)):
        named = {role.partition("/")[2] for role in inputs if role.partition("/")[0] == kind}
        for name in sorted(set(there) - named):
            yield f"{results / what / name}: of an earlier sheet or run: index.html does not name it"
        for name in sorted(named - set(there)):
            yield f"{results / what / name}: missing, and index.html names it"
        for page in (results / what / name / "report.html" for name in sorted(named & set(there))):
            if not page.exists():
                yield f"{page}: missing, and index.html links to it"


def _other_than_crate(results: Path) -> Iterator[str]:
    """Yield files that are not as the RO-Crate of the run says; a run without one has none."""
    crate = results / CRATE_FILE
    if not crate.exists():
        return
    try:
        graph = json.loads(crate.read_text(encoding="utf-8"))["@graph"]
        named = {unquote(entity["@id"]): entity["sha256"] for entity in graph if "sha256" in entity}
    except (ValueError, KeyError, TypeError, OSError):
        yield f"{crate}: no RO-Crate of ctcascade"
        return
    for name, digest in named.items():
        path = results / name
        if ".." in Path(name).parts or not path.is_file():
            yield f"{path}: missing, and {CRATE_FILE} names it"
        elif store.file_hash(path) != digest:
            yield f"{path}: another file than {CRATE_FILE} holds the checksum of"


def _other_images(run: RunResults, base: Path) -> Iterator[str]:
    """Yield samples whose images are not those that their tables were made from."""
    for name, sample in run.samples.items():
        frames = sample.folder / "frames.parquet"
        try:
            made_by = store.table_provenance(frames)
            job = jobs.read(jobs.DetectJob, json.dumps(made_by.settings))
            listed = listing.list_frames(job.images, base, job.format, job.assay)
        except InputError as error:
            yield f"{frames}: its images cannot be compared: {error.faults[0].found}"
            continue
        if image_files.digest_of_content(listed) != made_by.images:
            yield f"{frames}: the images of {name} are not those that it was made from"
        else:
            yield from _other_pixels(frames, sample, listed, job.assay)


def _other_pixels(path: Path, sample: SampleResults, listed: listing.FrameList, camera: Camera) -> Iterator[str]:
    """Yield frames whose pixels are not those that were detected in; of large files `_other_images` reads parts."""
    refs = {ref.frame: ref for ref in listed.frames}
    said = sample.frames.loc[sample.frames["pixels_digest"] != "", ["frame", "pixels_digest"]]
    for frame, digest in said.itertuples(index=False):
        try:
            same = frame in refs and pixels_digest(read(refs[frame], camera)) == digest
        except (FrameError, OSError) as error:
            yield f"{path}: frame {frame} cannot be compared: {error}"
            continue
        if not same:
            yield f"{path}: the pixels of frame {frame} are not those that it was made from"


def _samples_of(run: RunResults, patient: str) -> list[str]:
    """Return the samples that a patient's cascade names; all of the run where it cannot be read."""
    try:
        return list(run.patients[patient].cascade.samples)
    except InputError:
        return list(run.samples)
