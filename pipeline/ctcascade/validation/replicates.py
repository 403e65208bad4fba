"""In-silico tubes for a validation: phantom CTCs of known number, in as many tubes as a laboratory would make."""

from pathlib import Path

from ctcascade.calling import classify
from ctcascade.data import store
from ctcascade.data.results import Replicates, TubeCount
from ctcascade.images import detect
from ctcascade.study.jobs import ReplicatesJob
from ctcascade.validation.spike_in import spike


def replicate(job: ReplicatesJob, base: Path, images: Path, out: Path) -> None:
    """Write how many CTCs were called in each in-silico tube.

    Parameters
    ----------
    job : ReplicatesJob
        Its levels are the tubes, one each.
    base : Path
        The folder that image paths are relative to.
    images : Path
        Folder for the frames and tables of the tubes; may be removed afterwards.
    out : Path
        JSON to write, as `results.Replicates`.

    Raises
    ------
    InputError
        As for `spike`.
    """
    spike(job, base, images, images / "spiked.parquet")
    tubes = []
    for number, expected in enumerate(job.levels):
        place = images / f"level_{number}"
        frames, cells, calls = (place / f"{name}.parquet" for name in ("frames", "cells", "calls"))
        detect.detect(job.found_by, place, (1, 1), frames, cells)
        classify.classify(job.called_by, frames, cells, calls)
        called = store.read_table(calls, "calls")["call"]
        tubes.append(
            TubeCount(
                tube=str(number + 1), expected=expected, observed=int((called == "ctc").sum()), lot=None, run=None,
                operator=None,
            )
        )  # fmt: skip
    samples = tuple(sample.sample for sample in job.samples)
    store.write_json(
        out,
        Replicates(
            assay=job.assay.name,
            basis="frames" if samples else "phantom",
            samples=samples,
            tubes=tuple(tubes),
            provenance=store.provenance(job, {}),
        ),
    )
