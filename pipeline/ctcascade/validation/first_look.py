"""A look at a sample before any run: its names compared, the first frame of each part opened, and what was found."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ctcascade.data.camera import Camera
from ctcascade.data.errors import Fault, plain
from ctcascade.data.vocabulary import ROLES
from ctcascade.formats import Frame, FrameError, FrameRef, example, read, role_of
from ctcascade.formats.folder import PICTURES
from ctcascade.formats.image_files import same_images
from ctcascade.formats.listing import FrameList

_NAMED = 3
_SIZE_OF = {"file": "stated by the file", "assay": "ASSUMED: no file states it, taken from the assay"}
_WARNED = {
    "display_stretched": "these are pictures in colour, which were stretched for the eye: counts are not the camera's, "
    "and differ from frame to frame; export the camera's own values, one grey plane a channel",
    "jpeg_coarse": "these JPEGs were stored at a low quality, which blurs cells and makes false ones: export TIFFs",
}
_BITS_OF = {"file": "file", "values": "by the values", "assay": "assay"}


@dataclass(frozen=True)
class Looked:
    """What a look at a sample found.

    Attributes
    ----------
    line : str
        Layout, frames, channels, bits and size, each with where it comes from.
    notes : tuple of str
        What is to be looked at.
    faults : tuple of Fault
        Why it can never be read.
    frames : tuple of (FrameRef, Frame)
        The frames that were read, one of each part.
    digests : dict of str to str
        Digest of the pixels of each, with the name of its first file.
    """

    line: str
    notes: tuple[str, ...]
    faults: tuple[Fault, ...]
    frames: tuple[tuple[FrameRef, Frame], ...]
    digests: dict[str, str]


def look_at(sample: str, listed: FrameList, camera: Camera) -> Looked:
    """Return what is found in the names of a sample's files and in the first frame of each of its parts."""
    notes, faults = list[str](), list[Fault]()
    seen: list[tuple[FrameRef, Frame]] = []
    for part in sorted({ref.part for ref in listed.frames}):
        refs = [ref for ref in listed.frames if ref.part == part]
        incomplete = {ref.frame: gone for ref in refs if (gone := _missing(ref, camera))}
        if len(incomplete) == len(refs):
            faults.append(_never_complete(refs, incomplete, listed, camera))
            continue
        notes += [_some_incomplete(sample, incomplete, len(refs))] if incomplete else []
        complete = [ref for ref in refs if ref.frame not in incomplete]
        frame, broken = _first_readable(complete, camera)
        if frame is None:
            faults.append(_unreadable(complete[0], broken[0][1], listed, camera))
            continue
        notes += [f"{sample}: frame {plain(ref.frame)} cannot be read: {why}" for ref, why in broken]
        seen.append(frame)
        notes += [f"{sample}: WARNING: {_WARNED[flag]}" for flag in frame[1].notes if flag in _WARNED]
    notes += _left_out(sample, listed, camera)
    told = "; ".join(dict.fromkeys(words for ref, frame in seen for words in _told(ref, frame, camera)))
    line = f"{sample}: {len(listed.frames)} frames, {listed.format} ({listed.why})"
    digests = {_digest(frame): ref.path for ref, frame in seen}
    return Looked(f"{line}; {told}" if told else line, tuple(notes), tuple(faults), tuple(seen), digests)


def _digest(frame: Frame) -> str:
    """Return a digest of the pixels in the channels that every call needs; detect's own takes a compiler to start."""
    found = hashlib.sha256()
    for role in ROLES:
        found.update(np.ascontiguousarray(frame.pixels[frame.roles.index(role)]).data)
    return found.hexdigest()


def _missing(ref: FrameRef, camera: Camera) -> list[str]:
    """Return the roles that no file of a frame has by its name; none where names do not tell channels."""
    if len(ref.files) != len(ref.channels) or not ref.channels or not _is_one_file_a_channel(ref):
        return []
    there = {role_of(name, camera.channels) for name in ref.channels}
    return [role for role in ROLES if role not in there]


def _is_one_file_a_channel(ref: FrameRef) -> bool:
    return len(ref.files) > 1 or ref.format in ("files", "bzscanner", "axioscan", "operetta")


def _never_complete(
    refs: Sequence[FrameRef], incomplete: dict[str, list[str]], listed: FrameList, camera: Camera
) -> Fault:
    first = refs[0]
    gone, found = incomplete[first.frame], sorted({name for ref in refs for name in ref.channels})
    alike = all(missing == gone for missing in incomplete.values())
    what = f"no file of {' or '.join(gone)}" if alike else "no frame with all of its channels"
    names = "; ".join(f"{role}: {', '.join(map(plain, camera.channels[role]))}" for role in gone)
    beside = _pictures(listed.ignored)
    others = f"; {len(beside)} other images, such as {plain(beside[0])}, have no such name" if beside else ""
    told = f"{what} in any of {len(refs)} frames (channels in the names: {', '.join(map(plain, found))}{others})"
    wanted = f"a channel name of assay {camera.name} in each file's name ({names})"
    return Fault(first.path, f"frame {first.frame}", told, wanted, "add the name to channels in the assay")


def _some_incomplete(sample: str, incomplete: dict[str, list[str]], n: int) -> str:
    some = [f"{plain(frame)} without {', '.join(gone)}" for frame, gone in list(incomplete.items())[:_NAMED]]
    dots = " ..." if len(incomplete) > _NAMED else ""
    return f"{sample}: {len(incomplete)} of {n} frames lack a channel and will not be usable: {'; '.join(some)}{dots}"


def _first_readable(
    refs: Sequence[FrameRef], camera: Camera
) -> tuple[tuple[FrameRef, Frame] | None, list[tuple[FrameRef, str]]]:
    """Return the first of up to three frames that can be read, and why those before it cannot."""
    broken: list[tuple[FrameRef, str]] = []
    for ref in dict.fromkeys((refs[0], refs[len(refs) // 2], refs[-1])):
        try:
            return (ref, read(ref, camera)), broken
        except (FrameError, OSError) as error:
            broken.append((ref, plain(error, longest=400)))
    return None, broken


def _unreadable(ref: FrameRef, why: str, listed: FrameList, camera: Camera) -> Fault:
    named = "channel" in why or "planes" in why
    known = "; ".join(f"{role}: {', '.join(map(plain, names))}" for role, names in camera.channels.items())
    wanted = f"the channels of assay {camera.name} ({known})" if named else "an image that can be read and measured"
    todo = "fix the images, or channels in the assay" if named else "bring these images again, or others"
    if not camera.files and any(name in Path(ref.path).name for names in camera.channels.values() for name in names):
        todo = "if each file is one channel, as its name suggests, write files: '{frame}_{channel}' in the assay"
    if camera.files and ref.format != "files":
        wanted += f", one file each, named as {example(camera, ref.files[0].name)}"
        todo = f"the assay's pattern {camera.files} fits no file here: fix files in the assay, or the names"
    return Fault(ref.path, f"frame {ref.frame}", why, wanted, todo)


def _left_out(sample: str, listed: FrameList, camera: Camera) -> list[str]:
    """Return a note where images stand beside the frames and belong to none: names that miss the pattern."""
    beside = _pictures(listed.ignored) if listed.format == "files" else []
    if not beside:
        return []
    some = ", ".join(map(plain, beside[:_NAMED])) + (" ..." if len(beside) > _NAMED else "")
    return [f"{sample}: {len(beside)} images do not follow {camera.files} and are not read: {some}"]


def _pictures(names: Sequence[str]) -> list[str]:
    return [name for name in names if name.lower().endswith(PICTURES)]


def _told(ref: FrameRef, frame: Frame, camera: Camera) -> Iterator[str]:
    """Yield channels, bits, pixel size and size of a frame, each with where it comes from."""
    named = frame.names or ("",) * len(frame.roles)
    pairs = [f"{plain(name)} -> {role}" if name else role for name, role in zip(named, frame.roles, strict=True)]
    if frame.channels_from == "order":
        whence = "by the order of planes, which the assay trusts: no file names them"
    elif ref.format == "composite":
        whence = "by the colours that the assay names"
    elif len(ref.files) > 1 and ref.channels:
        whence = "by the files' names"
    elif ref.channels or not any(frame.names):
        whence = "by the scanner's order"
    else:
        whence = "named in the file"
    yield f"channels {', '.join(pairs)} ({whence})"
    bits = max(1, int(frame.ceiling).bit_length())
    differs = f", not the {camera.bit_depth} of the assay" if bits != camera.bit_depth else ""
    yield f"{bits} bits ({_BITS_OF[frame.bits_from]}{differs})"
    size = f"not the {camera.pixel_size_um:g} um of the assay" if "pixel_size_differs" in frame.notes else ""
    stated = "stated beside the file" if ref.pixel_size_um else _SIZE_OF[frame.size_from]
    yield f"{frame.pixel_size_um:g} um a pixel ({', '.join(filter(None, (stated, size)))})"
    yield f"{frame.pixels.shape[1]} x {frame.pixels.shape[2]} pixels"
    if "partly_imaged" in frame.notes:
        yield "a part of its area was not imaged"


def same_pixels(looked: dict[str, Looked], patient_of: dict[str, str], told: Sequence[str]) -> Iterator[str]:
    """Yield a warning for each two samples that begin with the same decoded pixels, however they are stored.

    Parameters
    ----------
    looked : dict of str to Looked
        By sample.
    patient_of : dict of str to str
    told : sequence of str
        Warnings given already; what they name is not named twice.
    """
    first: dict[str, str] = {}
    for sample, found in looked.items():
        for digest, path in found.digests.items():
            other = first.setdefault(digest, sample)
            pair = f"samples {other} and {sample} of "
            if other == sample or any(pair in text for text in told):
                continue
            what = f"they begin with the same pixels ({plain(Path(path).name)}), though the files differ"
            yield same_images(other, sample, patient_of, what)
