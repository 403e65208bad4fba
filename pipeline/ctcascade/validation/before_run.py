"""What is checked before a run: sheets, settings, reviews, which images there are, whether they name a person."""

import datetime
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ctcascade.counting import reviewed_calls
from ctcascade.data.camera import Camera
from ctcascade.data.errors import Fault, plain
from ctcascade.formats import FrameRef, read_words
from ctcascade.formats.image_files import listed_once, shared_files
from ctcascade.formats.listing import FrameList
from ctcascade.study import jobs, privacy, sheets, shipped
from ctcascade.study.assay import Assay
from ctcascade.study.sample import Sample
from ctcascade.validation.first_look import Looked, look_at, same_pixels


@dataclass(frozen=True)
class Checked:
    """What a check says of a study whose sheets and settings are sound.

    Attributes
    ----------
    notes : tuple of str
        What is to be looked at.
    lines : tuple of str
        What each sample's images are, and how many samples and patients there are.
    faults : tuple of Fault
        Why images can never be read.
    looked : dict of str to Looked
        What was seen of each sample.
    """

    notes: tuple[str, ...]
    lines: tuple[str, ...]
    faults: tuple[Fault, ...]
    looked: dict[str, Looked]


def check(configfiles: Sequence[Path], overrides: Mapping[str, object]) -> Checked:
    """Return what a check says of a study; one frame of each part of each sample is opened.

    Parameters
    ----------
    configfiles : sequence of Path
        Overlays over the shipped settings and those of this folder; a later file stands over an earlier one.
    overrides : mapping
        Settings that stand over all files, as given on the command line.

    Raises
    ------
    InputError
        With all faults of sheets, settings, assays and reviews.
    """
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what it finds odd in a header is no fault here
    look = listed_once()
    study = sheets.read_study([*shipped.settings_files(), *configfiles], overrides, look)
    reviewed_calls.check_against_results(study)
    notes: list[str] = []
    looked, listings, cameras = dict[str, Looked](), dict[str, FrameList](), dict[str, Camera]()
    for name in study.samples:
        job = jobs.detect_job(study, name)
        cameras[name] = job.assay
        listings[name] = look(job.images, study.base, job.format, job.assay)
        looked[name] = look_at(name, listings[name], job.assay)
        notes += _of_another_camera(name, study.assays[study.samples[name].assay], looked[name])
    faults = tuple(fault for found in looked.values() for fault in found.faults)
    patient_of = {name: row.patient for name, row in study.samples.items()}
    notes += [*study.notes, *(note for found in looked.values() for note in found.notes)]
    notes += shared_files(listings, cameras, patient_of)
    notes += [*same_pixels(looked, patient_of, notes), *personal({s: its.frames[0] for s, its in listings.items()})]
    lines = [found.line for found in looked.values() if not found.faults]
    if not faults:
        lines += _least_imaged(study.samples, listings, looked)
        lines.append(f"{len(study.samples)} samples of {len(study.patients)} patients: nothing to fix")
    return Checked(tuple(notes), tuple(lines), faults, looked)


def _least_imaged(
    samples: Mapping[str, Sample], listings: Mapping[str, FrameList], looked: Mapping[str, Looked]
) -> Iterator[str]:
    """Yield the smallest area of frames beside blood, of samples whose images are said to hold the whole tube."""
    areas = {
        name: sum(
            frame.pixels.shape[1]
            * frame.pixels.shape[2]
            * (frame.pixel_size_um / 1000) ** 2
            * sum(other.part == ref.part for other in listings[name].frames)
            for ref, frame in looked[name].frames
        )
        for name, row in samples.items()
        if row.sampled_fraction == 1
    }
    if areas:
        least = min(areas, key=lambda name: areas[name] / samples[name].blood_volume_ml)
        blood, n = samples[least].blood_volume_ml, len(listings[least].frames)
        yield (
            f"{least}: frames {n}, together about {areas[least]:.2g} mm2, are taken for all of {blood:g} mL (of all "
            "samples the least area for its blood): if they are only a part of the frames, give that share as "
            "sampled_fraction"
        )


def _of_another_camera(sample: str, assay: Assay, looked: Looked) -> Iterator[str]:
    """Yield that images are of another camera than the one that the factors an assay takes over are of."""
    taken = assay.taken_over
    flags = {flag for _, frame in looked.frames for flag in frame.notes}
    differs = [
        word for flag, word in (("pixel_size_differs", "pixel size"), ("bit_depth_differs", "bits")) if flag in flags
    ]
    if taken and differs and not taken.changed and assay.reference_equivalent:
        what = f"{' and '.join(differs)} of the images differ"
        todo = "no prognosis until the assay states them for this camera, or says in inherits why they hold"
        yield f"{sample}: {taken.told}, from which {what}: {todo}"


def personal(frames: Mapping[str, FrameRef]) -> Iterator[str]:
    """Yield a note for each sample whose images' headers seem to name a person; one frame of each is read.

    What is in such headers is never copied into a result or a page; but the images themselves may travel.
    """
    today = datetime.date.today()
    for sample, ref in frames.items():
        for kind in privacy.suspicions(read_words(ref), today, whole_numbers=False):
            yield f"{sample}: the header of {plain(ref.path)} seems to hold {kind}; share the images without it"
