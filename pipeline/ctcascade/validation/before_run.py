"""What is checked before a run: sheets, settings, reviews, which images there are, whether they name a person."""

import datetime
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ctcascade.counting import reviewed_calls
from ctcascade.data.errors import plain
from ctcascade.formats import FrameRef, read_words
from ctcascade.formats.image_files import listed_once
from ctcascade.study import jobs, privacy, sheets


@dataclass(frozen=True)
class Checked:
    """What a check says of a study that can be run.

    Attributes
    ----------
    notes : tuple of str
        What is to be looked at.
    lines : tuple of str
        Which images each sample has, and how many samples and patients there are.
    """

    notes: tuple[str, ...]
    lines: tuple[str, ...]


def check(configfiles: Sequence[Path], overrides: Mapping[str, object]) -> Checked:
    """Return what a check says of a study.

    Parameters
    ----------
    configfiles : sequence of Path
        Settings; a later file stands over an earlier one.
    overrides : mapping
        Settings that stand over all files, as given on the command line.

    Raises
    ------
    InputError
        With all faults, if the study cannot be run.
    """
    look = listed_once()
    study = sheets.read_study(configfiles, overrides, look)
    reviewed_calls.check_against_results(study)
    lines, first = [], dict[str, FrameRef]()
    for name in study.samples:
        job = jobs.detect_job(study, name)
        listed = look(job.images, study.base, job.format, job.assay)
        first[name] = listed.frames[0]
        lines.append(f"{name}: {len(listed.frames)} frames, {listed.format} ({listed.why})")
    lines.append(f"{len(study.samples)} samples of {len(study.patients)} patients: nothing to fix")
    return Checked((*study.notes, *personal(first)), tuple(lines))


def personal(frames: Mapping[str, FrameRef]) -> Iterator[str]:
    """Yield a note for each sample whose images' headers seem to name a person; one frame of each is read.

    What is in such headers is never copied into a result or a page; but the images themselves may travel.
    """
    today = datetime.date.today()
    for sample, ref in frames.items():
        for kind in privacy.suspicions(read_words(ref), today, whole_numbers=False):
            yield f"{sample}: the header of {plain(ref.path)} seems to hold {kind}; share the images without it"
