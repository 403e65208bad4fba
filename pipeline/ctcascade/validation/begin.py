"""Sheets and an assay for a folder of images: what names and headers tell is written, the rest is marked."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ctcascade.data import store
from ctcascade.data.camera import Camera
from ctcascade.data.errors import plain, refuse
from ctcascade.data.vocabulary import ROLES
from ctcascade.formats import Frame, FrameError, FrameRef, look_into, read
from ctcascade.formats.folder import PICTURES
from ctcascade.formats.listing import list_frames
from ctcascade.study.marks import FILL_IN
from ctcascade.validation.names_guess import Pattern, new_role, pattern_of, role_of_stain
from ctcascade.validation.patient_guess import in_ascii, patients_of

_WHOLE_SLIDES = (".czi", ".nd2", ".lif", ".lof", ".xlef", ".oib", ".oif", ".qptiff", ".zarr")
_SYSTEM = ("@eadir", "$recycle.bin", "system volume information", "__macosx", "lost+found")
_DAY = re.compile(r"(?<!\d)(20\d\d)[-_.]?(0[1-9]|1[0-2])[-_.]?(0[1-9]|[12]\d|3[01])(?!\d)")
_YOURS = "stated by the laboratory"
_NO_NAME = "\x01"  # a channel name that no file has


@dataclass(frozen=True)
class Found:
    """What was found out of one sample's images.

    Attributes
    ----------
    images : str
        Its folder or file, relative to the sheet.
    files : str or None
        The pattern of one file a channel.
    channels : tuple of str
        Names of its channels, in the order of the file; empty words for planes without names.
    frame : Frame or None
        Its first frame, with roles in that order.
    first : str
        The first file.
    why_not : str
        Why no frame could be read.
    """

    images: str
    files: str | None = None
    channels: tuple[str, ...] = ()
    frame: Frame | None = field(default=None, compare=False)
    first: str = ""
    why_not: str = ""


def begin(folder: Path, out: Path) -> list[str]:
    """Write samples.tsv, patients.tsv and an assay for each kind of image in a folder; return what to do next.

    Parameters
    ----------
    folder : Path
        Images: of one sample, or a sub-folder for each.
    out : Path
        Where the files are written; nothing there is overwritten.

    Raises
    ------
    InputError
        If there is no image, or one of the files is there already.
    """
    if not folder.is_dir():
        refuse(folder, "", "no such folder", "a folder of images", "name the folder that holds them")
    found = [_look(place, out) for place in _samples_in(folder)]
    if not found:
        refuse(folder, "", "no image in it or in its sub-folders", "images", "name the folder that holds them")
    kinds = list(dict.fromkeys((one.files, one.channels) for one in found))
    stem = _name(folder.resolve().name.lower()) or "mylab"
    names = {kind: stem if k == 0 else f"{stem}_{k + 1}" for k, kind in enumerate(kinds)}
    samples = _sample_names(found)
    guessed = patients_of(samples, [_last_name(one) for one in found])
    texts = {
        out / "samples.tsv": _samples(found, names, samples, guessed.patients),
        out / "patients.tsv": _patients(guessed.patients),
    }
    for kind, name in names.items():
        one = next(one for one in found if (one.files, one.channels) == kind)
        texts[out / "assays" / f"{name}.yaml"] = _assay(one)
    there = [str(path) for path in texts if path.exists()]
    if there:
        refuse(out, "", f"{', '.join(there)}, there already", "no such file", "name another folder with --out")
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        store.write_text(path, text)
    return list(_told(found, guessed.lines, texts, out))


def _told(found: Sequence[Found], patients: Sequence[str], texts: dict[Path, str], out: Path) -> Iterator[str]:
    for one in found:
        channels = ", ".join(plain(name) or "without a name" for name in one.channels) or "not found out"
        yield f"{plain(one.images)}: channels {channels}" + (f"; {one.why_not}" if one.why_not else "")
    yield from patients
    for path, text in texts.items():
        marks = text.count(FILL_IN)
        yield f"{path} written" + (f"; {marks} marked {FILL_IN}, for you to fill in" if marks else "")
    at = "" if out == Path() else f"{out}/"
    yield f"then: ctcascade check --config samples={at}samples.tsv patients={at}patients.tsv assays={at}assays"


def _samples_in(folder: Path) -> Iterator[Path]:
    """Yield the folders and files that look like samples: of whole slides each file, else a folder of images."""
    inside = look_into(folder)
    if inside.images:
        slides = all(name.lower().endswith(_WHOLE_SLIDES) for name in inside.images)
        yield from (folder / name for name in inside.images) if slides else (folder,)
        return
    below = [folder / name for name in inside.others if (folder / name).is_dir() and name.lower() not in _SYSTEM]
    with_images = [path for path in below if look_into(path).images]
    if with_images and _channel_folders(folder):
        yield folder
        return
    for path in below:
        yield from _samples_in(path)


def _channel_folders(folder: Path) -> Pattern | None:
    """Return the pattern where the sub-folders of a folder are channels, by the names of stains."""
    found = pattern_of([str(Path(name).with_suffix("")) for name in _pictures_below(folder)])
    stains = [role_of_stain(name) for name in found.channels] if found else []
    return found if found and found.files == "{channel}/{frame}" and any(stains) else None


def _pictures_below(folder: Path) -> list[str]:
    below = (name for name in look_into(folder).others if (folder / name).is_dir())
    names = (f"{name}/{picture}" for name in below for picture in look_into(folder / name).images)
    return [name for name in names if name.lower().endswith(PICTURES)]


def _look(place: Path, out: Path) -> Found:
    images = _relative(place, out)
    names = [n for n in look_into(place).images if n.lower().endswith(PICTURES)] if _is_plain(place) else []
    pattern = pattern_of([re.sub(r"\.ome$", "", Path(name).stem) for name in names]) if names else None
    if place.is_dir() and not names and _is_plain(place):
        pattern = _channel_folders(place)
    channels = pattern.channels if pattern else ()
    try:
        if not channels:
            channels = _names_in(place)
        if not channels or (any(name.lower().endswith((".png", ".jpg", ".jpeg")) for name in names) and not pattern):
            return Found(images, why_not="the files do not tell which channels they hold")
        ref, frame = _first(place, channels, pattern.files if pattern else None)
    except FrameError as error:
        return Found(images, pattern.files if pattern else None, channels, why_not=plain(error))
    return Found(images, pattern.files if pattern else None, channels, frame, ref.files[0].name)


def _is_plain(place: Path) -> bool:
    return place.is_dir() and not place.name.lower().endswith(".zarr")


def _names_in(place: Path) -> tuple[str, ...]:
    """Return the names of the channels that the first frame tells, by asking for a channel that it cannot have."""
    asked = _camera({role: (f"{_NO_NAME}{role}",) for role in ROLES}, None)
    ref = list_frames([str(place)], Path(), "auto", asked).frames[0]
    try:
        read(ref, asked)
    except FrameError as error:
        if error.channels:
            return error.channels
        raise
    return ()


def _first(place: Path, channels: Sequence[str], files: str | None) -> tuple[FrameRef, Frame]:
    """Return the first frame of images whose channels are known by name or order; roles are given in that order."""
    further = [f"c{k}" for k in range(len(channels) - len(ROLES))]
    named: dict[str, tuple[str, ...]] = {
        role: (name or f"{_NO_NAME}{role}",) for role, name in zip((*ROLES, *further), channels, strict=False)
    }
    if len(named) < len(ROLES):
        raise FrameError(f"{len(channels)} channels; dna, ck and cd45 are needed")
    camera = _camera(named, files, trusted=not any(channels))
    ref = list_frames([str(place)], Path(), "files" if files else "auto", camera).frames[0]
    return ref, read(ref, camera)


def _camera(channels: dict[str, tuple[str, ...]], files: str | None, *, trusted: bool = False) -> Camera:
    return Camera(
        name="init",
        channels=channels,
        files=files,
        pixel_size_um=1.0,
        frame_px=(1, 1),
        bit_depth=16,
        channel_order="trusted" if trusted else "named",
    )


def _samples(
    found: Sequence[Found],
    names: dict[tuple[str | None, tuple[str, ...]], str],
    samples: Sequence[str],
    patients: Sequence[str],
) -> str:
    rows = ["sample\tpatient\tcollected\timages\tassay\tblood_volume_ml\tsampled_fraction"]
    for one, sample, patient in zip(found, samples, patients, strict=True):
        day = _DAY.search(one.images)
        collected = "-".join(day.groups()) if day else FILL_IN
        assay = names[one.files, one.channels]
        rows.append("\t".join((sample, patient, collected, one.images, assay, FILL_IN, FILL_IN)))
    return "\n".join(rows) + "\n"


def _patients(patients: Sequence[str]) -> str:
    rows = ["patient\tprimary\tsetting\tsex"]
    rows += [f"{name}\t{FILL_IN}\t{FILL_IN}\t{FILL_IN}" for name in dict.fromkeys(patients)]
    return "\n".join(rows) + "\n"


def _sample_names(found: Sequence[Found]) -> list[str]:
    names: list[str] = []
    for one in found:
        parts = [part for part in Path(one.images).parts if part not in ("..", ".", "/")]
        name = _name(Path(parts[-1]).stem if parts else "") or f"S{len(names) + 1}"
        if name.lower() in (known.lower() for known in names):
            name = _name("_".join(parts[-2:])) if len(parts) > 1 else name
        while name.lower() in (known.lower() for known in names):
            name = f"{name[:60]}_{len(names) + 1}"
        names.append(name)
    return names


def _last_name(one: Found) -> str:
    """Return the name of a sample's folder or file as it is on the disk."""
    return Path(one.images).stem


def _name(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "_", in_ascii(text)).strip("._-")[:60]


def _relative(place: Path, out: Path) -> str:
    return Path(os.path.relpath(place.resolve(), out.resolve())).as_posix()


def _assay(one: Found) -> str:
    """Return the text of an assay: what is known, with its source, and marks for what is not."""
    lines = [
        f"# Written by `ctcascade init` from {plain(one.first or one.images)}. {FILL_IN} stands where the images do",
        "# not tell: replace each. Then `ctcascade check` says what every sample is read as, and --preview draws it.",
        "extends: cellsearch    # gates and factors of the shipped assay, until you state your own (see the end)",
        f"description: {FILL_IN} one line about your method",
        f"capture: {FILL_IN} how cells are enriched, such as EpCAM ferrofluid, size, or none",
        *_channels(one.channels),
        *_size(one),
        *_bits(one),
        f"files: {_quoted(one.files) if one.files else 'null'}    # "
        + ("one file a channel, named so" if one.files else "a file holds all channels of a frame"),
        "",
        "# Recovery, sensitivity, background and equivalence with the reference assay are those of cellsearch until",
        "# you state yours: counts are given, but no prognosis. Measure them with your own spike-in (snakemake",
        "# recovery), or say why they hold for your method too:",
        "# inherits: {value: [recovery, sensitivity, background_per_7_5_ml, reference_equivalent], source: why}",
        "# recovery: {mean: 0.8, low: 0.6, high: 0.95, kind: measured, source: own spike-in}",
    ]
    return "\n".join(lines) + "\n"


def _channels(names: Sequence[str]) -> Iterator[str]:
    yield "channels:    # role: the names that files use for it; dna, ck and cd45 are needed"
    roles = {name: role_of_stain(name) for name in names if name}
    first = {role: name for name, role in reversed(roles.items()) if role}
    left = [name for name in names if name and name not in first.values()]
    told = f"one of: {', '.join(map(_quoted, left))}" if left else f"{len(names)} planes have no names" if names else ""
    for role in ROLES:
        if role in first:
            yield f"  {role}: [{_quoted(first[role])}]"
        else:
            yield f"  {role}: [{FILL_IN}]    # {told or 'the name in the file or in its name'}"
    taken = list(ROLES)
    for name in left:
        role = new_role(name, taken)
        taken.append(role)
        unsure = "" if all(role in first for role in ROLES) else f"    # {FILL_IN}: dna, ck or cd45? then move it up"
        yield f"  {role}: [{_quoted(name)}]{unsure}"
    ck = first.get("ck", "")
    if re.search("ep ?cam", ck, re.IGNORECASE):
        yield f"labels: {{ck: {_quoted(ck)}}}    # what pages call a channel"
    if names and not any(names):
        n = f"as many roles as planes ({len(names)}), in their order, each with any name"
        todo = f"trusted, if all images come in one order: then give {n}; else save the planes with names"
        yield f"channel_order: {FILL_IN} # {todo}"


def _size(one: Found) -> Iterator[str]:
    if one.frame is not None and one.frame.size_from == "file":
        source = f"stated by {plain(one.first)}"
        yield f"pixel_size_um: {{value: {one.frame.pixel_size_um:g}, source: {_quoted(source)}}}"
    else:
        yield f"pixel_size_um: {{value: {FILL_IN}, source: {_quoted(_YOURS)}}}    # um; the file does not state it"


def _bits(one: Found) -> Iterator[str]:
    height, width = one.frame.pixels.shape[1:] if one.frame is not None else (1036, 1384)
    if one.frame is None:
        yield f"bit_depth: {{value: {FILL_IN}, source: {_quoted(_YOURS)}}}    # bits of the camera, 8 to 16"
    elif one.frame.bits_from in ("file", "values"):
        source = f"by {'the header' if one.frame.bits_from == 'file' else 'the values'} of {plain(one.first)}"
        bits = int(one.frame.ceiling).bit_length()
        yield f"bit_depth: {{value: {bits}, source: {_quoted(source)}}}"
    else:
        top = int(one.frame.pixels.max())
        seen = f"the first frame has values up to {top}, so at least {max(8, top.bit_length())}"
        yield f"bit_depth: {{value: {FILL_IN}, source: {_quoted(_YOURS)}}}    # bits of the camera, 8 to 16; {seen}"
    source = f"of {plain(one.first)}" if one.frame is not None else "nominal"
    yield f"frame_px: {{value: [{height}, {width}], source: {_quoted(source)}}}"


def _quoted(text: str) -> str:
    escaped = plain(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
