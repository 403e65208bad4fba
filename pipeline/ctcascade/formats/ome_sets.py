"""Which files of a folder form an OME-TIFF set, and which images and positions of the stage a file holds.

A file of a set is known by its UUID where it has one, and else by its name: so a set that was renamed is found.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ctcascade.data.errors import plain
from ctcascade.formats import guard
from ctcascade.formats.decoding import reading
from ctcascade.formats.frame import FrameError
from ctcascade.formats.ome_xml import Ome, OmeImage, Place, read_ome
from ctcascade.formats.page_words import positions_in

_MOST_XML = 64_000_000
Stem = Callable[[str], str]


@dataclass(frozen=True)
class Header:
    """What the header of a TIFF says: OME metadata, the file they lie in, and positions of the stage.

    Attributes
    ----------
    ome : Ome or None
        None without OME metadata, or where they cannot be read: the reader says why.
    own : str
        The name that the metadata take for the file they lie in.
    uuid : str
        The UUID of the file itself.
    positions : tuple of str
        Of a file of Micro-Manager.
    fault : str
        Why the metadata of a set cannot be used.
    """

    ome: Ome | None = None
    own: str = ""
    uuid: str = ""
    positions: tuple[str, ...] = ()
    fault: str = ""

    @property
    def is_one_of_several(self) -> bool:
        """Whether there is more in the file, or more to it, than one image."""
        several = self.ome is not None and (self.ome.in_other_files or len(self.ome.images) > 1)
        return several or bool(self.fault) or len(self.positions) > 1


@dataclass(frozen=True)
class Found:
    """A frame: its files, the first of which names it; which image of them; and what the sheet may choose it by."""

    frame: str
    files: tuple[str, ...]
    image: int = -1
    scenes: tuple[str, ...] = ()
    well: str = ""


def header(path: Path) -> Header:
    """Return what the header of a TIFF says."""
    try:
        with reading("the file"), guard.open_tiff(path) as file:
            xml = file.ome_metadata
            positions = () if xml else positions_in(file)
            ome = read_ome(xml, path.name) if xml else None
    except FrameError:
        return Header(own=path.name)
    if ome is None or not ome.master:
        return Header(ome, path.name, ome.uuid if ome else "", positions)
    try:
        told, own = _of_master(path, ome.master)
    except FrameError as error:
        return Header(ome, path.name, ome.uuid, fault=str(error))
    return Header(told, own, ome.uuid)


def _of_master(path: Path, name: str) -> tuple[Ome, str]:
    """Return the metadata that lie in another file of the folder, and its name."""
    master = path.parent / name
    if not master.is_file():
        raise FrameError(f"its metadata lie in {plain(name)}, which is not in the folder")
    if master.name.lower().endswith((".tif", ".tiff")):
        told = header(master).ome
    else:
        if master.stat().st_size > _MOST_XML:
            raise FrameError(f"{master.name} has {master.stat().st_size} bytes")
        told = read_ome(master.read_bytes(), master.name)
    if told is None or told.master:
        raise FrameError(f"its metadata should lie in {plain(name)}, which has none")
    if path.name not in {file or master.name for image in told.images for file in image.files}:
        raise FrameError(f"{plain(name)}, which should describe it, does not name it")
    return told, master.name


def frames(folder: Path, names: Sequence[str], stem: Stem) -> tuple[list[Found], list[str]]:
    """Return the frames that the TIFFs of a folder form, and copies of files of sets, which form none.

    Parameters
    ----------
    folder : Path
    names : sequence of str
        The header of each is read.
    stem : callable
        Returns the name of a file without its suffix.
    """
    of = {name: header(folder / name) for name in names}
    by_uuid: dict[str, list[str]] = defaultdict(list)
    for name, said in of.items():
        if said.uuid:
            by_uuid[said.uuid].append(name)
    copies = [name for name in names if _is_copy(name, of)]
    claimed, found = set(copies), list[Found]()
    orphans: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for name in names:
        if name in claimed:
            continue
        held = [(k, files) for k, files in _held(of[name], by_uuid, of) if files and not claimed.intersection(files)]
        if name not in {file for _, files in held for file in files}:
            if of[name].positions:
                found += _of_positions(name, of[name].positions, stem)
            else:
                orphans[_wanted(of[name]) or (name,)].append(name)
            claimed.add(name)
            continue
        found += _of_images(held, of[name], stem)
        claimed.update(file for _, files in held for file in files)
    several = [Found(stem(files[0]), tuple(files), 0 if of[files[0]].ome else -1) for files in orphans.values()]
    return [*found, *several], copies


def _is_copy(name: str, of: dict[str, Header]) -> bool:
    """Return whether a file is a copy of one of a set, under a name that the set does not know."""
    ome = of[name].ome
    if ome is None or not ome.uuid or of[name].own != name:
        return False
    told = {place.told for image in ome.images for place in image.every_place if not place.file and place.told}
    return bool(told) and name not in told and any(other in of and of[other].uuid == ome.uuid for other in told)


def _held(said: Header, by_uuid: dict[str, list[str]], of: dict[str, Header]) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of each image with those of its files that are there."""
    for k, image in enumerate(said.ome.images if said.ome is not None else ()):
        places = image.every_place
        yield k, list(dict.fromkeys(file for p in places if (file := _file(p, said.own, by_uuid, of)) in of))


def _file(place: Place, own: str, by_uuid: dict[str, list[str]], of: dict[str, Header]) -> str:
    """Return the file of a plane: the one with its UUID, above all of its name; else the one of its name."""
    name = place.file or own
    same = by_uuid.get(place.uuid, []) if place.uuid else []
    return name if not same or name in same else same[0]


def _wanted(said: Header) -> tuple[str, ...]:
    """Return the files that metadata ask for, if these lie elsewhere: it tells a set whose files were lost."""
    if said.ome is None or not said.ome.in_other_files:
        return ()
    return tuple(sorted({place.told or place.file for image in said.ome.images for place in image.every_place}))


def _of_images(held: list[tuple[int, list[str]]], said: Header, stem: Stem) -> Iterator[Found]:
    assert said.ome is not None
    firsts = [files[0] for _, files in held]
    for k, files in held:
        image, several = said.ome.images[k], firsts.count(files[0]) > 1
        names = tuple(dict.fromkeys(filter(None, (image.title.strip(), str(k), stem(files[0])))))
        number = k if said.is_one_of_several else -1
        yield Found(stem(files[0]) + (f"_I{k}" if several else ""), tuple(files), number, names, image.well)


def _of_positions(name: str, positions: Sequence[str], stem: Stem) -> Iterator[Found]:
    several = len(positions) > 1
    for k, position in enumerate(positions):
        told = "".join(letter if letter.isalnum() or letter in "._+-" else "_" for letter in position)
        ending = f"_{told or k}" if positions.count(position) == 1 else f"_{k}"
        yield Found(stem(name) + (ending if several else ""), (name,), k if several else -1, (position, str(k)))


def located(image: OmeImage, own: str, files: Sequence[Path]) -> OmeImage:
    """Return an image whose planes lie in files as these are named now, found by UUID where the name is another's."""
    there = {path.name: header(path).uuid for path in files if len(files) > 1}
    uuids = {uuid: name for name, uuid in there.items() if uuid}

    def now(place: Place | None) -> Place | None:
        if place is None:
            return None
        name = place.file or own
        if place.uuid and place.uuid in uuids and there.get(name) != place.uuid:
            return replace(place, file=uuids[place.uuid])
        return place

    return replace(image, places=tuple(tuple(map(now, stack)) for stack in image.places))
