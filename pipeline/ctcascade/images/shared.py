"""All samples of a run compared: in which of them the same images lie, by their decoded pixels."""

from collections.abc import Sequence
from pathlib import Path

from ctcascade.data import store
from ctcascade.data.errors import refuse
from ctcascade.data.results import Shared, SharedPixels
from ctcascade.formats.image_files import pairs_of
from ctcascade.study.jobs import CompareJob


def compare(job: CompareJob, frames: Sequence[Path], out: Path) -> None:
    """Write which samples hold the same frames, as `results.SharedPixels`.

    Parameters
    ----------
    job : CompareJob
        Says whose each sample is.
    frames : sequence of Path
        Frames table of each sample.
    out : Path
        JSON to write.

    Raises
    ------
    InputError
        If a table cannot be read.

    Notes
    -----
    Camera noise is never twice the same, so equal pixels in all channels that every call needs are one exposure,
    however it was stored, named or compressed. Frames with a reason are compared too.
    """
    holders: dict[str, dict[str, str]] = {}
    for path in frames:
        sample = str(store.table_provenance(path).settings.get("sample", ""))
        if sample not in job.patients:
            refuse(path, "sample", sample or "none", f"one of {', '.join(sorted(job.patients))}", store.RUN_AGAIN)
        table = store.read_table(path, "frames", only=["frame", "pixels_digest"])
        for frame, digest in zip(table["frame"], table["pixels_digest"], strict=True):
            if digest:
                holders.setdefault(digest, {}).setdefault(sample, frame)
    pairs: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for found in holders.values():
        for one, two in pairs_of(found):
            pairs.setdefault((one, two), []).append((found[one], found[two]))
    shared = (_pair(job, *pair, both) for pair, both in sorted(pairs.items()))
    result = SharedPixels(shared=tuple(shared), not_compared=job.without, provenance=store.provenance(job, {}))
    store.write_json(out, result)


def _pair(job: CompareJob, sample: str, other: str, both: Sequence[tuple[str, str]]) -> Shared:
    return Shared(
        sample=sample,
        patient=job.patients[sample],
        other=other,
        other_patient=job.patients[other],
        n_frames=len(both),
        frame=both[0][0],
        other_frame=both[0][1],
    )
