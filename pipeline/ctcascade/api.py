"""The functions for notebooks and scripts: results of a finished run, and the stages on arrays and tables.

All of them are reached as `ctcascade.NAME` after ``import ctcascade``. They are the functions that the workflow runs,
without files: nothing here needs Snakemake. docs/notebook.md has a complete example.
"""

import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ctcascade.calling import classify
from ctcascade.counting import count
from ctcascade.data.errors import Fault, InputError, refuse_all
from ctcascade.data.finished import PatientResults, RunResults, SampleResults, read_results
from ctcascade.data.results import Claim, Counts
from ctcascade.formats import Frame, FrameError, listing, read
from ctcascade.images import detect
from ctcascade.study import assay as assays
from ctcascade.study.calling_settings import ClassifySettings
from ctcascade.study.detection_settings import DetectSettings
from ctcascade.study.jobs import ClassifyAssay, ClassifyJob, CountAssay, CountJob, NamedAssay
from ctcascade.study.settings import CountSettings, FrameLimits

__all__ = [
    "DetectedFrame",
    "Frame",
    "FrameError",
    "InputError",
    "PatientResults",
    "RunResults",
    "SampleResults",
    "call_cells",
    "count_ctcs",
    "detect_frame",
    "read_assay",
    "read_frames",
    "read_results",
]


class DetectedFrame(NamedTuple):
    """What was found in one frame.

    Attributes
    ----------
    frames : DataFrame
        One row: the frame's area, background, focus and flags (`tables.FRAMES`).
    cells : DataFrame
        One row a cell (`tables.CELLS`).
    nuclei, cell_labels : ndarray of int32, shape (Y, X)
        Label images: 0 is background; the number of a cell is that of its row.
    """

    frames: pd.DataFrame
    cells: pd.DataFrame
    nuclei: NDArray[np.int32]
    cell_labels: NDArray[np.int32]


def read_assay(path: str | Path) -> NamedAssay:
    """Return the assay of a file (``config/assays/NAME.yaml``): its channels, gates and factors.

    Raises
    ------
    InputError
        If the file cannot be used.
    """
    place, faults = Path(path), list[Fault]()
    found = assays.read_assay(place, faults)
    refuse_all(faults)
    assert found is not None
    return NamedAssay(name=place.stem, **dict(found))


def read_frames(images: str | Path, assay: NamedAssay, form: str = "auto") -> Iterator[tuple[str, Frame]]:
    """Yield the name and the pixels of each frame of a folder or file of images.

    Parameters
    ----------
    images : str or Path
        A folder or file of images.
    assay : NamedAssay
        Says which channel has which role, and the pixel size where the images do not.
    form : str
        The format; ``auto`` finds it out.

    Raises
    ------
    InputError
        If no frame can be found.
    FrameError
        If a frame cannot be read. (The workflow keeps such a frame as a row that is not usable.)
    """
    camera = assay.camera(assay.name)
    for ref in listing.list_frames([str(images)], Path(), form, camera).frames:
        yield ref.frame, read(ref, camera)


def detect_frame(
    frame: Frame, name: str = "frame", settings: DetectSettings | None = None, limits: FrameLimits | None = None
) -> DetectedFrame:
    """Return the cells of one frame, measured, and its label images.

    Parameters
    ----------
    frame : Frame
        From `read_frames`, or made of an array: ``Frame(pixels, roles, pixel_size_um, ceiling)`` with `pixels` float32
        of shape (C, Y, X), counts of the camera; ``dna``, ``ck`` and ``cd45`` are among the roles.
    name : str
        Name of the frame in the tables.
    settings : DetectSettings, optional
        Those of config/config.yaml where none are given.
    limits : FrameLimits, optional
        A frame beyond them is flagged; those of config/config.yaml where none are given.

    Notes
    -----
    A cell that two overlapping frames show is in the tables of both: the workflow counts it once (`gather`).
    """
    found = detect.detect_frame(frame, name, settings or DetectSettings(), limits or FrameLimits())
    return DetectedFrame(*found)


def call_cells(
    cells: pd.DataFrame, frames: pd.DataFrame, assay: NamedAssay, settings: ClassifySettings | None = None
) -> pd.DataFrame:
    """Return the call of each cell of one whole sample (`tables.CALL_TABLE`).

    Parameters
    ----------
    cells, frames : DataFrame
        Tables of all frames of the sample, one below the other: the sample's own leukocytes are what its cells are
        compared with.
    assay : NamedAssay
    settings : ClassifySettings, optional
        Those of config/config.yaml where none are given.

    Returns
    -------
    DataFrame
        Its ``attrs["claims"]`` say what the calls rest on and whether it holds; where it does not, `count_ctcs` of
        this table gives no count.
    """
    given = settings or ClassifySettings()
    markers = {role: marker.gate for role, marker in assay.markers.items()}
    about = ClassifyAssay(
        name=assay.name,
        gates=assay.gate_values(),
        markers=markers,
        bleed=assay.bleed.value if assay.bleed else None,
        leukocytes=assay.leukocytes,
    )
    job = ClassifyJob(**dict(given), sample="sample", assay=about)
    called = classify.call_sample(job, frames.reset_index(drop=True), cells.reset_index(drop=True))
    called.calls.attrs["claims"] = [claim.model_dump() for claim in called.reference.claims]
    return called.calls


def count_ctcs(
    calls: pd.DataFrame,
    frames: pd.DataFrame,
    assay: NamedAssay,
    *,
    sample: str,
    patient: str,
    collected: datetime.date,
    blood_volume_ml: float,
    sampled_fraction: float = 1.0,
    primary: str | None = None,
    setting: str | None = None,
    cells: pd.DataFrame | None = None,
    settings: CountSettings | None = None,
) -> Counts:
    """Return the counts of one sample, and what they say about 7.5 mL of blood.

    Parameters
    ----------
    calls, frames : DataFrame
        Tables of the sample.
    assay : NamedAssay
    sample, patient : str
    collected : date
        Day of the blood draw.
    blood_volume_ml : float
        Blood that the whole sample stands for.
    sampled_fraction : float
        Share of the sample that the images hold.
    primary, setting : str, optional
        As in the patient sheet: which population of counts the patient is of. Without them the counts say what the
        tube alone says, and `in_population` is None.
    cells : DataFrame, optional
        Table of the sample, for the diameters of its CTCs.
    settings : CountSettings, optional
        Those of config/config.yaml where none are given.
    """
    factors = {name: getattr(assay, name) for name in count.FACTORS}
    job = CountJob(
        **dict(settings or CountSettings()),
        sample=sample,
        patient=patient,
        collected=collected,
        blood_volume_ml=blood_volume_ml,
        sampled_fraction=sampled_fraction,
        primary=primary,
        setting=setting,
        assay=CountAssay(name=assay.name, markers=assay.markers, taken_over=assay.taken_over, **factors),
    )
    claims = [Claim.model_validate(claim) for claim in calls.attrs.get("claims", ())]
    return count.count_ctcs(job, frames, calls, cells, claims)
