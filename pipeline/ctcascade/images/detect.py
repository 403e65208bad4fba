"""The one streaming pass over pixels: frames to the frames table and the cells table, a frame at a time.

What is found in a frame depends on that frame alone, so the result does not depend on how frames are put into chunks,
and memory does not grow with their number.
"""

import contextlib
import ctypes
import itertools
from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pyarrow as pa
import tifffile

from ctcascade.data import store
from ctcascade.data.errors import refuse
from ctcascade.data.results import Provenance
from ctcascade.data.tables import CELLS, FRAMES, Row
from ctcascade.data.vocabulary import ROLES
from ctcascade.formats import Frame, FrameError, FrameRef, image_files, listing, read
from ctcascade.formats.known_images import KnownImages
from ctcascade.images import alike, learned, overlap, twins
from ctcascade.images.background import Channel, correct
from ctcascade.images.labels import Labels
from ctcascade.images.measure import measure, sharpness
from ctcascade.images.outlines import outlines_table
from ctcascade.images.pixels import pixels_digest
from ctcascade.images.reduced import overview_table, reduced
from ctcascade.images.registration import Registered, Shift, registered, shifts_of
from ctcascade.images.segment import Segmentation, segment
from ctcascade.study.detection_settings import DetectSettings
from ctcascade.study.jobs import DetectJob
from ctcascade.study.settings import FrameLimits

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # names of the GNU C library's mallopt
_LARGEST_KEPT = 2**25  # bytes; the largest that it takes


def detect(
    job: DetectJob,
    base: Path,
    chunk: tuple[int, int],
    frames_out: Path,
    cells_out: Path,
    labels_out: Path | None = None,
    progress: Callable[[int, int, int], None] | None = None,
    outlines_out: Path | None = None,
    planned: str = "",
    planes_out: Path | None = None,
    known: Path | None = None,
) -> None:
    """Write the frames table and the cells table of one chunk of a sample's frames.

    Parameters
    ----------
    job : DetectJob
    base : Path
        The folder that image paths are relative to.
    chunk : (int, int)
        The k-th of n parts, k from 1.
    frames_out, cells_out : Path
        Tables to write.
    labels_out : Path, optional
        Folder for one ``FRAME.tif`` a readable frame: uint32 (2, Y, X), nuclei and cells.
    progress : callable, optional
        Called after each frame with the frames done, those of the chunk, and the cells found so far.
    outlines_out : Path, optional
        Table of the cells' outlines to write, which pages and the export are made from.
    planned : str, optional
        The digest of the images that the run was planned from (`image_files.digest_of_images`).
    planes_out : Path, optional
        Table of the frames at reduced size to write, for the overview of the slide.
    known : Path, optional
        List of what images held when they were last read: those of other chunks are not read again. What is read here
        is added, so that neither a later stage nor the next run reads it once more.

    Raises
    ------
    InputError
        If the images cannot be listed, or are others than those planned, or come, go or change while they are read. A
        frame that cannot be read is no error: it is a row with its reason.
    """
    cv2.setNumThreads(1)  # a job uses the one core that it asked for
    _keep_memory()
    listed = listing.list_frames(job.images, base, job.format, job.assay)
    number, of = chunk
    total = len(listed.frames)
    refs = listed.frames[(number - 1) * total // of : number * total // of]
    own = {path for ref in refs for path in ref.files}
    planned = planned or image_files.digest_of_images(listed, base)
    _refuse_unplanned(job, base, listed, planned)
    before = image_files.states(listed)
    images = _content(listed, known, own)
    made_by = store.provenance(job, {"weights": learned.WEIGHTS} if job.segmenter == "learned" else {})
    made_by = made_by.model_copy(update={"images": images})
    rows: list[Row] = []
    n_cells = 0
    roles = list(job.assay.channels)
    with (
        store.table_writer(cells_out, "cells", roles, made_by) as write,
        _writer_if(outlines_out, "outlines", [], made_by) as write_outlines,
        _writer_if(planes_out, "planes", ROLES, made_by) as write_planes,
    ):
        for ref in refs:
            row, cells, found, small = _detect_frame(ref, job, total if write_planes else 0)
            rows.append(row)
            n_cells += row["n_cells"]
            if found is not None:
                write(cells)
                if write_planes is not None and small is not None:
                    write_planes(pd.DataFrame([small]))
                if write_outlines is not None:
                    write_outlines(outlines_table(ref.frame, found.cells, found.nuclei, cells))
                if labels_out is not None:
                    _write_labels(Path(labels_out) / f"{ref.frame}.tif", found)
            if progress is not None:
                progress(len(rows), len(refs), n_cells)
        now = listing.list_frames(job.images, base, job.format, job.assay)
        _refuse_unplanned(job, base, now, planned)
        # dates that were set back, or only looked at again (a link to the file, other rights): the content tells
        touched = {path for path, state in image_files.states(now).items() if before.get(path) != state}
        if touched and _content(now, known, touched) != images:
            _refuse_unplanned(job, base, now, "")
    store.write_table(frames_out, "frames", _frames_table(rows, roles), made_by)


def _refuse_unplanned(job: DetectJob, base: Path, listed: listing.FrameList, planned: str) -> None:
    """Refuse images that are not those that the run was planned from; no frame may be another than its table says."""
    if image_files.digest_of_images(listed, base) != planned:
        now = f"{len(listed.frames)} frames; files came, went or changed since the run started"
        wanted = f"the {planned.partition(':')[0] or 'same'} frames that it was planned from"
        refuse(", ".join(job.images), "", now, wanted, "wait until the images are complete, and start the run again")


def _content(listed: listing.FrameList, known: Path | None, own: Container[Path]) -> str:
    """Return the digest of all images of the sample, those of this chunk read now, and add these to what is known."""
    if known is None:
        return image_files.digest_of_content(listed)
    read_before = KnownImages(known)
    found = image_files.digest_of_content(listed, read_before, own)
    read_before.save()
    return found


def _keep_memory() -> None:
    """Have the C library keep memory that a frame has freed for the next one, where it is one that can be told so.

    Planes are so large that it would return each to the system, which then clears every page of it again.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        tell = ctypes.CDLL(None).mallopt
        tell(_MMAP_THRESHOLD, _LARGEST_KEPT)
        tell(_TRIM_THRESHOLD, 16 * _LARGEST_KEPT)


@contextlib.contextmanager
def _writer_if(
    path: Path | None, kind: str, roles: Sequence[str], made_by: Provenance
) -> Iterator[Callable[[pd.DataFrame | pa.Table], None] | None]:
    if path is None:
        yield None
        return
    with store.table_writer(path, kind, roles, made_by) as write:
        yield write


def gather(
    frames: Sequence[Path],
    cells: Sequence[Path],
    out_frames: Path,
    out_cells: Path,
    outlines: Sequence[Path] = (),
    out_outlines: Path | None = None,
    planes: Sequence[Path] = (),
    out_overview: Path | None = None,
) -> None:
    """Join the chunks of one sample, in the order given, into one frames, one cells and one outlines table.

    From the `planes` of its chunks it makes the sample's frames as the overview of the slide shows them.

    Frames that are copies of another, or on another scale than most, are left out with their reason (`alike.compare`,
    and by their cells `twins.compare`);
    cells that overlapping frames show twice are counted once (`overlap.resolve`).

    Raises
    ------
    InputError
        If the chunks are not all of one sample and one set of settings.
    """
    made_by = store.table_provenance(frames[0])
    for path in (*frames, *cells, *outlines, *planes):
        if store.table_provenance(path) != made_by:
            refuse(path, "", "a chunk made with other settings", f"the settings of {frames[0]}", "detect it again")
    tables = [store.read_table(path, "frames") for path in frames]
    _refuse_doubled(frames, tables, cells)
    planned, listed = made_by.images.partition(":")[0], sum(map(len, tables))
    if planned and int(planned) != listed:
        refuse(frames[0].parent, "", f"{listed} frames", f"the {planned} of the sample", "run again")

    exact = alike.compare(pd.concat(tables, ignore_index=True))

    def nuclei() -> Iterator[pd.DataFrame]:
        parts = map(exact.without, _parts(cells, "cells"))
        return (part.select(twins.COLUMNS).to_pandas() for part in parts)

    compared = twins.compare(exact, nuclei)

    def parts_of(paths: Sequence[Path], kind: str) -> Iterator[pa.Table]:
        return map(compared.without, _parts(paths, kind))

    def places() -> Iterator[pd.DataFrame]:
        return (part.select(overlap.COLUMNS).to_pandas() for part in parts_of(cells, "cells"))

    overlaps = overlap.resolve(compared.frames, places)
    store.write_table(out_frames, "frames", overlaps.frames, made_by)
    # not from the settings inside: JSON has sorted them
    roles = [name.removesuffix("_noise") for name in tables[0].columns if name.endswith("_noise")]
    with store.table_writer(out_cells, "cells", roles, made_by) as write:
        for part in parts_of(cells, "cells"):
            write(overlaps.kept(part.to_pandas()) if overlaps.dropped else part)
    if out_outlines is not None:
        with store.table_writer(out_outlines, "outlines", [], made_by) as write:
            for part in parts_of(outlines, "outlines"):
                write(part.filter(overlaps.keeps(part)) if overlaps.dropped else part)
    _write_overview(overlaps.frames, planes, out_overview, made_by)


def _write_overview(frames: pd.DataFrame, planes: Sequence[Path], out: Path | None, made_by: Provenance) -> None:
    if out is not None:
        store.write_table(out, "overview", overview_table(frames, _parts(planes, "planes")), made_by)


def _parts(paths: Sequence[Path], kind: str) -> Iterator[pa.Table]:
    return itertools.chain.from_iterable(store.read_parts(path, kind) for path in paths)


def _refuse_doubled(frames: Sequence[Path], tables: Sequence[pd.DataFrame], cells: Sequence[Path]) -> None:
    """Refuse chunks in which a frame stands twice, or whose cells are not as many as their frames say."""
    seen: dict[str, Path] = {}
    todo = "remove the folder of chunks and run again, while no file comes into the folder of images"
    for path, table in zip(frames, tables, strict=True):
        for name in table["frame"]:
            if name in seen:
                refuse(path, f"frame {name}", f"a frame that {seen[name].name} holds too", "each frame once", todo)
            seen[name] = path
    for path, table, of in zip(cells, tables, frames, strict=True):
        said = dict(zip(table["frame"], table["n_cells"].astype(int), strict=True))
        found = Counter(name for part in store.read_parts(path, "cells") for name in part.column("frame").to_pylist())
        for name in sorted({*said, *found}):
            if said.get(name, 0) != found[name]:
                refuse(path, f"frame {name}", f"{found[name]} cells", f"{said.get(name, 0)}, as {of.name} says", todo)


def _detect_frame(
    ref: FrameRef, job: DetectJob, n_frames: int
) -> tuple[Row, pd.DataFrame, Segmentation | None, Row | None]:
    """Return the frame's row, its cells, its label images, it at reduced size if `n_frames`; unusable: no cells."""
    camera = job.assay
    row: Row = {"frame": ref.frame, "path": ref.path, "part": ref.part}
    row |= {f"{role}_moved_{axis}_px": 0 for role in camera.channels for axis in "yx"}
    row["y_um"], row["x_um"] = ref.position_um or (np.nan, np.nan)
    try:
        frame = read(ref, camera)
        seen, cells, found = _measured(frame, ref.frame, job, job.frame_limits)
    except FrameError as error:
        height, width = error.shape or camera.frame_px
        area = height * width * camera.pixel_size_um**2
        row |= {"usable": False, "reason": str(error), "flags": "", "height_px": height, "width_px": width}
        row |= {"pixel_size_um": camera.pixel_size_um, "frame_area_um2": area, "area_um2": 0.0, "n_cells": 0}
        size_from = "" if error.shape else "nominal"
        row |= {"scale_bits": "", "size_from": size_from, "channels_from": "", "page_order": "", "pixels_digest": ""}
        row["exposure_ms"] = ""
        return row, pd.DataFrame(), None, None
    for column in CELLS.for_roles(set(camera.channels) - set(frame.roles)):
        if column.name not in cells:
            cells[column.name] = np.nan
    row["y_um"], row["x_um"] = frame.position_um or (np.nan, np.nan)
    row |= _origin(frame)
    return {**row, **seen}, cells, found, reduced(frame, ref.frame, n_frames) if n_frames else None


def _origin(frame: Frame) -> Row:
    """Return what is compared between frames: scale, where size and channels come from, and a digest of the pixels."""
    return {
        "scale_bits": frame.scale,
        "size_from": frame.size_from,
        "channels_from": frame.channels_from,
        "page_order": frame.page_order,
        "exposure_ms": ",".join(f"{r}={ms:g}" for r, ms in zip(frame.roles, frame.exposure_ms or (), strict=False)),
        "pixels_digest": pixels_digest(frame),
    }


def detect_frame(
    frame: Frame, name: str, settings: DetectSettings, limits: FrameLimits
) -> tuple[pd.DataFrame, pd.DataFrame, Labels, Labels]:
    """Return the frames table of one frame, its cells table, and the label images of its nuclei and its cells.

    Parameters
    ----------
    frame : Frame
    name : str
        Name of the frame in the tables.
    settings : DetectSettings
    limits : FrameLimits
        Beyond these a frame is flagged.
    """
    seen, cells, found = _measured(frame, name, settings, limits)
    y_um, x_um = frame.position_um or (np.nan, np.nan)
    row = {"frame": name, "path": "", "part": 0, "y_um": y_um, "x_um": x_um, **_origin(frame), **seen}
    names = [column.name for column in FRAMES.for_roles(frame.roles)]
    return pd.DataFrame([row], columns=names), cells, found.nuclei, found.cells


def _measured(
    frame: Frame, name: str, settings: DetectSettings, limits: FrameLimits
) -> tuple[Row, pd.DataFrame, Segmentation]:
    """Return the quality of a frame, its cells, and its label images."""
    px = frame.pixel_size_um
    channels = {role: correct(plane, px, settings.background, step) for role, plane, step in frame.planes}
    shifts = shifts_of(channels, px, settings.registration)
    _refuse_unlike(shifts, frame)
    laid = registered(channels, shifts, px, settings.registration)
    found = segment(frame, laid.channels, settings)
    cells = measure(found, laid.channels, px, settings.contact_gap_max_um, settings.measure)
    cells.insert(0, "frame", name)
    quality = {**_quality(frame, channels, shifts, laid, limits), "n_cells": len(cells)}
    return quality, *_placed(cells, found, laid.corner, frame.pixels.shape[1:])


def _refuse_unlike(shifts: Mapping[str, Shift], frame: Frame) -> None:
    """Refuse a frame of which a required channel shows many cells that lie upon DNA at no shift."""
    for role in ROLES:
        if role in shifts and shifts[role].unlike:
            raise FrameError(
                f"{role} and dna show many cells each, and not the same ones at any shift: two fields of view?",
                frame.pixels.shape[1:],
            )


def _placed(
    cells: pd.DataFrame, found: Segmentation, corner: tuple[int, int], shape: tuple[int, ...]
) -> tuple[pd.DataFrame, Segmentation]:
    """Return cells and label images of a part of a frame in the places of the whole frame."""
    if found.cells.shape == shape:
        return cells, found
    for axis, start in zip("yx", corner, strict=True):
        for column in (f"{axis}_px", f"{axis}0_px", f"{axis}1_px"):
            cells[column] += start
    (y, x), (rows, columns) = corner, found.cells.shape
    around = ((y, shape[0] - y - rows), (x, shape[1] - x - columns))
    return cells, Segmentation(np.pad(found.nuclei, around), np.pad(found.cells, around))


def _quality(
    frame: Frame, channels: Mapping[str, Channel], shifts: Mapping[str, Shift], laid: Registered, limits: FrameLimits
) -> Row:
    height, width = frame.pixels.shape[1:]
    area = height * width * frame.pixel_size_um**2
    each: Row = {}
    white = dict(zip(frame.roles, frame.white, strict=False))
    for plane, (role, channel) in zip(frame.pixels, channels.items(), strict=True):
        each[f"{role}_background"] = channel.background
        each[f"{role}_noise"] = channel.noise
        each[f"{role}_focus"] = sharpness(channel)
        bright = np.count_nonzero(plane >= frame.ceiling) - np.count_nonzero(
            plane[tuple(channel.hot.T)] >= frame.ceiling
        )
        each[f"{role}_saturation"] = float(bright) / plane.size + white.get(role, 0.0)
        # a background that hardly exceeds the noise says nothing about evenness
        each[f"{role}_unevenness"] = channel.unevenness if channel.background > 10 * channel.noise else np.nan
        each[f"{role}_shift_um"] = shifts[role].um if role in shifts else np.nan
    saturation = max(each[f"{role}_saturation"] for role in channels)
    flags = list(frame.notes)
    if _beyond(saturation, limits.saturation):
        flags.append("saturated")
    if _beyond(each["dna_unevenness"], limits.unevenness):
        flags.append("uneven")
    if _beyond(float(np.fmax.reduce([shift.um for shift in shifts.values()])), limits.registration_um):
        flags.append("misregistered")
    if limits.focus[0] is not None and each["dna_focus"] < limits.focus[0]:
        flags.append("weak_focus")
    return {
        "usable": True,
        "reason": "",
        "flags": ",".join(flags),
        "height_px": height,
        "width_px": width,
        "pixel_size_um": frame.pixel_size_um,
        "frame_area_um2": area,
        "area_um2": area * frame.written * laid.channels["dna"].signal.size / (height * width),
        "focus": each["dna_focus"],
        "saturation": saturation,
        "background": each["dna_background"],
        "unevenness": each["dna_unevenness"],
        "registration_um": _left(shifts, laid, frame.pixel_size_um),
        **each,
        **{
            f"{role}_moved_{axis}_px": n for role, by in laid.moved_px.items() for axis, n in zip("yx", by, strict=True)
        },
    }


def _left(shifts: Mapping[str, Shift], laid: Registered, px: float) -> float:
    """Return the largest shift that is left, um; NaN where none is known."""
    left = []
    for role, shift in shifts.items():
        y, x = np.subtract(laid.moved_px[role], laid.moved_px["dna"]) * px
        left.append(float(np.hypot(shift.y_um - y, shift.x_um - x)))
    return float(np.fmax.reduce(left))


def _beyond(value: float, limits: tuple[float | None, float | None]) -> bool:
    """Return whether a value is above the limit from which a check warns."""
    return limits[0] is not None and value > limits[0]


def _frames_table(rows: Sequence[Row], roles: Sequence[str]) -> pd.DataFrame:
    names = [column.name for column in FRAMES.for_roles(roles)]
    return pd.DataFrame(list(rows), columns=names)


def _write_labels(path: Path, found: Segmentation) -> None:
    stack = np.stack([found.nuclei, found.cells]).astype(np.uint32)
    with store.whole(path) as part:
        tifffile.imwrite(part, stack, compression="zlib", photometric="minisblack", metadata=None, software=False)
