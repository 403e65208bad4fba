"""One TIFF a frame, or the files of an OME-TIFF set: channels by name, or in an order that the assay trusts."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ctcascade.data.camera import Camera
from ctcascade.data.errors import plain
from ctcascade.formats import guard, tiff
from ctcascade.formats.described import describe, of_image, planes
from ctcascade.formats.folder import Folder
from ctcascade.formats.frame import (
    Frame,
    FrameError,
    FrameRef,
    Layout,
    assemble,
    by_role,
    grouped,
    is_unnamed,
    reading,
    role_of,
    sized,
)
from ctcascade.formats.ome_xml import Ome, OmeImage, Place, read_ome

EXPECTED = "TIFF files, one a frame"
_SUFFIX = re.compile(r"(\.ome)?\.(tiff?|qptiff)$", re.IGNORECASE)
_COMPANION = ".companion.ome"
_MOST_XML = 64_000_000


def group(folder: Folder, camera: Camera) -> Layout:
    """Return the layout of one TIFF a frame; the frame is the name without ``.tif`` or ``.ome.tif``.

    Where the first, the middle or the last file is one of an OME-TIFF set or holds several images, or a companion file
    lies beside them, the header of each set is read: all files of a set are one frame, named as its first file, and
    each image of a file is one, ``NAME_I0`` and so on.
    """
    names = [name for name in folder.images if _SUFFIX.search(name)]
    ignored = [name for name in folder.images if not _SUFFIX.search(name)]
    companions = [name for name in folder.others if name.lower().endswith(_COMPANION)]
    looked_at = {names[0], names[len(names) // 2], names[-1]} if names else set()
    if not companions and not any(_is_special(_ome_of(folder.path / name)) for name in looked_at):
        found = [(_SUFFIX.sub("", name), "", name) for name in names]
        return grouped("ome-tiff", "each TIFF is a frame", found, [*folder.others, *ignored], camera)
    frames: dict[str, tuple[tuple[str, str], ...]] = {}
    images: dict[str, int] = {}
    first: list[tuple[str, str, str]] = []
    for frame, files, image in _sets(folder, names):
        first.append((frame, "", files[0]))
        frames[frame] = tuple(("", file) for file in files)
        images[frame] = image
    others = [name for name in folder.others if name not in companions]
    why = "OME-TIFF: the files of a set, or each image of a file, are a frame"
    layout = grouped("ome-tiff", why, first, [*others, *ignored], camera)
    return replace(layout, frames=frames, images=images, sidecars=tuple(companions))


def _is_special(ome: Ome | None) -> bool:
    return ome is not None and (ome.in_other_files or len(ome.images) > 1)


def _sets(folder: Folder, names: Sequence[str]) -> Iterator[tuple[str, list[str], int]]:
    """Yield frame, files and number of the image of each set, or of each file that belongs to none."""
    there, claimed = set(names), set[str]()
    for name in names:
        if name in claimed:
            continue
        ome, own = _resolved(folder.path / name)
        images = ome.images if ome is not None else ()
        held = [(k, [file or own for file in image.files if (file or own) in there]) for k, image in enumerate(images)]
        held = [(k, files) for k, files in held if files]
        if name not in {file for _, files in held for file in files}:
            held = [(0, [name])]
        firsts = [files[0] for _, files in held]
        for k, files in held:
            several = firsts.count(files[0]) > 1
            yield _SUFFIX.sub("", files[0]) + (f"_I{k}" if several else ""), files, k
            claimed.update(files)


def read(ref: FrameRef, camera: Camera) -> Frame:
    """Return the frame of one TIFF, of one of its images, or of the files of a set."""
    with reading("the file") as shapes:
        ome, own = _resolved(ref.files[0])
        if ome is not None and (ome.in_other_files or len(ome.images) > 1):
            if ref.image >= len(ome.images):
                raise FrameError(f"the metadata tell of {len(ome.images)} images; this frame is number {ref.image + 1}")
            _refuse_unlisted(ref, ome, own)
            return _of_set(ref, ome.images[ref.image], own, camera, shapes)
        path = ref.files[0]
        with tiff.opened(path, shapes) as (file, pages):
            said = describe(file)
            used = [pages[k] for k in said.pages if k < len(pages)] or pages
            tiff.check_pages(used, path.stat().st_size)
            shapes[:] = [used[0].shape]
            found = planes(pages, said, path.stat().st_size)
            unread = not said.pages or bool(file.ome_metadata)
            if said.n_channels not in (None, len(found)) or (unread and len(pages) not in (1, len(found))):
                raise FrameError(f"the metadata describe {said.n_channels} channels, the file has {len(pages)} pages")
            names = said.known_names(camera)
            named = by_role(found, names, camera)
            pixels, written = tiff.read_planes(named, said.stored_counts)
    with sized(shapes):
        return assemble(
            _in_file_order(pixels, names, camera),
            camera,
            said.pixel_size_um,
            position_um=said.position_um,
            written=written,
            bits=said.bits,
            named=not is_unnamed(names, camera),
            names=names,
        )


def _in_file_order(pixels: dict[str, NDArray[Any]], names: Sequence[str], camera: Camera) -> dict[str, NDArray[Any]]:
    order = [role for name in names if (role := role_of(name, camera.channels)) in pixels and role is not None]
    return {role: pixels[role] for role in (order if len(order) == len(pixels) else pixels)}


def _refuse_unlisted(ref: FrameRef, ome: Ome, own: str) -> None:
    """Refuse a file of several images or of a set that was listed as if it were one frame by itself."""
    files = [file or own for file in ome.images[ref.image].files]
    here = {path.name for path in ref.files}
    missing = [file for file in files if not (ref.files[0].parent / file).is_file()]
    if missing:
        raise FrameError(f"the metadata name {plain(missing[0])}, which is not in the folder")
    if not set(files) <= here:
        raise FrameError(f"one of a set of {len(files)} files ({', '.join(map(plain, files[:3]))}) among single ones")


def _of_set(ref: FrameRef, image: OmeImage, own: str, camera: Camera, shapes: list[tuple[int, int]]) -> Frame:
    """Return the frame of an image whose planes lie on pages of several files, each opened once."""
    names = image.names
    held = [(c, place) for c, place in enumerate(image.places) if place is not None]
    said = of_image(image)
    named = by_role([place for _, place in held], said.known_names(camera), camera)
    found: dict[str, tuple[NDArray[Any], tiff.Lost]] = {}
    for file in dict.fromkeys(place.file for place in named.values()):
        wanted = {role: place for role, place in named.items() if place.file == file}
        found |= _planes_in(ref.files[0].parent / (file or own), wanted, shapes)
    ordered = {role: found[role][0] for role in named}
    written = tiff.written(list(found.values())) if len({plane.shape for plane in ordered.values()}) == 1 else 1.0
    with sized(shapes):
        return assemble(
            ordered,
            camera,
            image.pixel_size_um,
            position_um=image.position_um,
            written=written,
            bits=image.bits,
            named=not is_unnamed(names, camera),
            names=said.known_names(camera),
        )


def _planes_in(
    path: Path, wanted: dict[str, Place], shapes: list[tuple[int, int]]
) -> dict[str, tuple[NDArray[Any], tiff.Lost]]:
    """Return the planes of one file of a set, which must be the file that the metadata mean."""
    with tiff.opened(path, shapes) as (file, pages):
        stated = {place.uuid for place in wanted.values() if place.uuid}
        uuid = read_ome(file.ome_metadata, path.name).uuid if file.ome_metadata else ""
        if uuid and stated and stated != {uuid}:
            raise FrameError(f"{path.name} is not the file that the metadata mean: its UUID is another")
        last = max(place.page for place in wanted.values())
        if last >= len(pages):
            raise FrameError(f"the metadata name page {last + 1} of {path.name}; it has {len(pages)}")
        tiff.check_pages([pages[place.page] for place in wanted.values()], path.stat().st_size)
        read = {role: tiff.Plane(pages[place.page]).read() for role, place in wanted.items()}
        return {
            role: (tiff.grey(read[role][0], pages[place.page], True), read[role][1]) for role, place in wanted.items()
        }


def _ome_of(path: Path) -> Ome | None:
    """Return what a TIFF's OME metadata say; None without any, or where they cannot be read: the reader says why."""
    try:
        with reading("the file"), guard.open_tiff(path) as file:
            return read_ome(file.ome_metadata, path.name) if file.ome_metadata else None
    except FrameError:
        return None


def _resolved(path: Path) -> tuple[Ome | None, str]:
    """Return the metadata that tell of a file, and the name of the file that they take for themselves."""
    ome = _ome_of(path)
    if ome is None or not ome.master:
        return ome, path.name
    master = path.parent / ome.master
    if not master.is_file():
        raise FrameError(f"its metadata lie in {plain(ome.master)}, which is not in the folder")
    if master.name.lower().endswith((".tif", ".tiff")):
        told = _ome_of(master)
    else:
        if master.stat().st_size > _MOST_XML:
            raise FrameError(f"{master.name} has {master.stat().st_size} bytes")
        told = read_ome(master.read_bytes(), master.name)
    if told is None or told.master:
        raise FrameError(f"its metadata should lie in {plain(ome.master)}, which has none")
    if path.name not in {file or master.name for image in told.images for file in image.files}:
        raise FrameError(f"{plain(ome.master)}, which should describe it, does not name it")
    return told, master.name
