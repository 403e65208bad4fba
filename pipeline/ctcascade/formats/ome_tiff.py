"""One TIFF a frame, or the files of an OME-TIFF set: channels by name, or in an order that the assay trusts."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ctcascade.data.camera import Camera
from ctcascade.data.errors import plain
from ctcascade.formats import ome_sets, tiff
from ctcascade.formats.decoding import reading, sized
from ctcascade.formats.depth import one_plane, refuse_stack
from ctcascade.formats.described import Described, describe, of_image, planes
from ctcascade.formats.folder import Folder
from ctcascade.formats.frame import Frame, FrameError, FrameRef, Layout, assemble, by_role, grouped, is_unnamed, role_of
from ctcascade.formats.ome_sets import located
from ctcascade.formats.ome_xml import Ome, OmeImage, Place, read_ome
from ctcascade.formats.page_words import refuse_other_name

EXPECTED = "TIFF files, one a frame"
_SUFFIX = re.compile(r"(\.ome)?\.(tiff?|qptiff|stk|svs)$", re.IGNORECASE)
_COMPANION = ".companion.ome"


def group(folder: Folder, camera: Camera) -> Layout:
    """Return the layout of one TIFF a frame; the frame is the name without ``.tif`` or ``.ome.tif``.

    Where the first, the middle or the last file is one of an OME-TIFF set or holds several images, or a companion file
    lies beside them, the header of each file is read: all files of a set are one frame, named as its first file, each
    image of a file is one, ``NAME_I0`` and so on, and so is each position of the stage in a file of Micro-Manager.
    """
    names = [name for name in folder.images if _SUFFIX.search(name)]
    ignored = [name for name in folder.images if not _SUFFIX.search(name)]
    companions = [name for name in folder.others if name.lower().endswith(_COMPANION)]
    looked_at = {names[0], names[len(names) // 2], names[-1]} if names else set()
    if not companions and not any(ome_sets.header(folder.path / name).is_one_of_several for name in looked_at):
        found = [(_stem(name), "", name) for name in names]
        return grouped("ome-tiff", "each TIFF is a frame", found, [*folder.others, *ignored], camera)
    several, copies = ome_sets.frames(folder.path, names, _stem)
    others = [name for name in folder.others if name not in companions]
    why = "the files of an OME-TIFF set, or each image or position of a file, are a frame"
    first = [(found.frame, "", found.files[0]) for found in several]
    return replace(
        grouped("ome-tiff", why, first, [*others, *ignored, *copies], camera),
        frames={found.frame: tuple(("", file) for file in found.files) for found in several},
        images={found.frame: found.image for found in several},
        scenes={found.frame: found.scenes for found in several if found.scenes},
        groups={found.frame: found.well for found in several if found.well},
        sidecars=tuple(companions),
    )


def _stem(name: str) -> str:
    return _SUFFIX.sub("", name)


def read(ref: FrameRef, camera: Camera) -> Frame:
    """Return the frame of one TIFF, of one of its images or positions, or of the files of a set."""
    with reading("the file") as shapes:
        path = ref.files[0]
        told = ome_sets.header(path)
        if told.fault:
            raise FrameError(told.fault)
        ome = told.ome
        if ome is not None and told.is_one_of_several:
            _refuse_unlisted(ref, ome, told.own)
            return _of_set(ref, ome.images[ref.image], told.own, camera, shapes)
        with tiff.opened(path, shapes) as (file, pages):
            said = describe(file, ref.image)
            refuse_stack(said.depth, 1, camera)
            used = [pages[k] for k in said.pages if k < len(pages) and not said.in_one] or pages
            tiff.check_pages(used, path.stat().st_size)
            shapes[:] = [used[0].shape]
            found = planes(pages, said, path.stat().st_size)
            _refuse_other_number(said, found, len(pages))
            names = said.known_names(camera)
            named, shares = by_role(found, names, camera), []

            def at(z: int, roles: Sequence[str]) -> dict[str, NDArray[Any]]:
                pixels, share = tiff.read_planes({role: named[role][z] for role in roles}, said.stored_counts)
                shares.append(share)
                return pixels

            pixels = one_plane(at, list(named), said.depth, camera)
    with sized(shapes):
        return assemble(
            _in_file_order(pixels, names, camera),
            camera,
            said.pixel_size_um,
            position_um=said.position_um,
            written=min(shares),
            bits=said.bits,
            named=not is_unnamed(names, camera),
            names=names,
            exposure_ms=by_role(said.exposure_ms, names, camera) if said.exposure_ms else None,
        )


def _refuse_other_number(said: Described, found: Sequence[Sequence[Any]], n_pages: int) -> None:
    """Refuse pages that the metadata do not account for: which is which would be a guess."""
    n = len(found) * said.depth
    unread = not said.pages or (said.stored_counts and not said.explicit and not said.in_one)
    if said.n_channels not in (None, len(found)) or (unread and n_pages not in (1, n)):
        raise FrameError(f"the metadata describe {said.n_channels} channels, the file has {n_pages} pages")


def _in_file_order(pixels: dict[str, NDArray[Any]], names: Sequence[str], camera: Camera) -> dict[str, NDArray[Any]]:
    order = [role for name in names if (role := role_of(name, camera.channels)) in pixels and role is not None]
    return {role: pixels[role] for role in (order if len(order) == len(pixels) else pixels)}


def _refuse_unlisted(ref: FrameRef, ome: Ome, own: str) -> None:
    """Refuse a file of several images or of a set that was listed as if it were one frame by itself."""
    if not ome.images:
        raise FrameError("OME metadata without an image")
    if ref.image >= len(ome.images):
        raise FrameError(f"the metadata tell of {len(ome.images)} images; this frame is number {ref.image + 1}")
    image = located(ome.images[ref.image], own, ref.files)
    files = [file or own for file in image.files]
    missing = [file for file in files if not (ref.files[0].parent / file).is_file()]
    if missing:
        raise FrameError(f"the metadata name {plain(missing[0])}, which is not in the folder")
    if not set(files) <= {path.name for path in ref.files}:
        raise FrameError(f"one of a set of {len(files)} files ({', '.join(map(plain, files[:3]))}) among single ones")
    if ref.image < 0 and len(ome.images) > 1:
        titles = ", ".join(plain(image.title) for image in ome.images[:4])
        raise FrameError(f"{len(ome.images)} images in one file ({titles}), among files of one")


def _of_set(ref: FrameRef, told: OmeImage, own: str, camera: Camera, shapes: list[tuple[int, int]]) -> Frame:
    """Return the frame of an image whose planes lie on pages of several files."""
    image = located(told, own, ref.files)
    said = of_image(image)
    refuse_stack(said.depth, 1, camera)
    names, folder = said.known_names(camera), ref.files[0].parent
    stacks = by_role([[p for p in stack if p is not None] for stack in image.places if any(stack)], names, camera)
    shares = []

    def at(z: int, roles: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Return the planes at one depth; each file is opened once."""
        found: dict[str, tuple[NDArray[Any], tiff.Lost]] = {}
        for file in dict.fromkeys(stacks[role][z].file for role in roles):
            wanted = {role: stacks[role][z] for role in roles if stacks[role][z].file == file}
            found |= _planes_in(folder / (file or own), wanted, camera, shapes)
        alike = len({plane.shape for plane, _ in found.values()}) == 1
        shares.append(tiff.written([found[role] for role in roles]) if alike else 1.0)
        return {role: found[role][0] for role in roles}

    pixels = one_plane(at, list(stacks), said.depth, camera)
    with sized(shapes):
        return assemble(
            pixels,
            camera,
            image.pixel_size_um,
            position_um=image.position_um,
            written=min(shares),
            bits=image.bits,
            named=not is_unnamed(names, camera),
            names=said.known_names(camera),
            exposure_ms=by_role(said.exposure_ms, names, camera) if said.exposure_ms else None,
        )


def _planes_in(
    path: Path, wanted: dict[str, Place], camera: Camera, shapes: list[tuple[int, int]]
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
        for role, place in wanted.items():
            refuse_other_name(pages[place.page], role, camera)
        read = {role: tiff.Plane(pages[place.page]).read() for role, place in wanted.items()}
        return {
            role: (tiff.grey(read[role][0], pages[place.page], True), read[role][1]) for role, place in wanted.items()
        }
