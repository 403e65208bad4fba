"""What lies in a folder that gives no frame, in words: kinds of files by name, and what is to be done about them."""

import os
from collections import Counter
from pathlib import Path

from ctcascade.data.camera import Camera
from ctcascade.data.errors import plain
from ctcascade.formats.folder import Folder, look_into, of_no_reader

_KINDS = {
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".qptiff": "Akoya QPTIFF",
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".zarr": "zarr",
    ".czi": "Zeiss CZI",
    ".nd2": "Nikon ND2",
    ".lif": "Leica LIF",
    ".lof": "Leica LOF",
    ".xlef": "Leica XLEF",
    ".oib": "Olympus OIB",
    ".oif": "Olympus OIF",
    ".zip": "ZIP archive",
    ".tar": "TAR archive",
    ".gz": "GZIP archive",
    ".7z": "7z archive",
    ".rar": "RAR archive",
}
_ARCHIVES = (".zip", ".tar", ".gz", ".7z", ".rar")
_ONE_CHANNEL = (".png", ".jpg", ".jpeg")
_INDEX = {"index.idx.xml": "Operetta", "ndtiff.index": "NDTiff", "metadata.ome.xml": "OME", "images.xml": "plate"}
_EXPORT = "export the images as OME-TIFF with channel names"
_MOST = 3
_SUBFOLDERS = 5


def found_instead(folder: Folder, camera: Camera) -> tuple[str, str, str]:
    """Return what a folder without any frame holds, what was expected, and what to do."""
    known = (name for name in folder.others if _suffix(name) in _KINDS or _is_index(name))
    names = [*folder.images, *(name for name in known if (folder.path / name).is_file())]
    told = _told(names)
    suffixes = {_suffix(name) for name in names}
    vendor = of_no_reader((*folder.images, *folder.others))
    if vendor and not suffixes & {*_KINDS}:
        return vendor, "images in a format that is read (config/README.md, Image layouts)", "name what was exported"
    if not names:
        return _elsewhere(folder)
    if camera.files and not suffixes <= {*_ARCHIVES}:
        wanted = f"names by the pattern of assay {camera.name}, {camera.files}, such as {example(camera, names[0])}"
        return f"{told}: none follows the pattern", wanted, "fix files in the assay, or rename the images"
    if suffixes <= {*_ONE_CHANNEL}:
        wanted = f"a pattern in assay {camera.name} that says which file is which channel: such a file holds one"
        return told, wanted, "write files: '{frame}_{channel}' or the like, or let `ctcascade init` guess it"
    if suffixes <= {*_ARCHIVES}:
        return told, "the images themselves", "unpack them, and name the folder that holds them"
    return told, "images in a format that is read (config/README.md, Image layouts)", _EXPORT


def example(camera: Camera, name: str) -> str:
    """Return how a file would be called by the assay's pattern."""
    channel = next(iter(camera.channels.values()))[0]
    suffix = Path(name).suffix or ".tif"
    return plain((camera.files or "{frame}").replace("{frame}", "f1").replace("{channel}", channel) + suffix)


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def _is_index(name: str) -> bool:
    return name.lower() in _INDEX


def _told(names: list[str]) -> str:
    """Return how many files of which kind there are, the first few by name."""
    kinds = Counter(_KINDS.get(_suffix(name), "other") for name in names if not _is_index(name))
    parts = []
    for kind, number in kinds.items():
        some = [plain(name) for name in names if _KINDS.get(_suffix(name), "other") == kind and not _is_index(name)]
        dots = ", ..." if number > _MOST else ""
        word = "folder" if kind == "zarr" else "file"
        parts.append(f"{number} {kind} {word}{'s' if number > 1 else ''} ({', '.join(some[:_MOST])}{dots})")
    index = [f"the {_INDEX[name.lower()]} index {plain(name)}" for name in names if _is_index(name)]
    return " and ".join([*parts, *(word if parts else f"{word} without its images" for word in index)])


def _elsewhere(folder: Folder) -> tuple[str, str, str]:
    """Say what is to be found where a folder holds no image: in its sub-folders, or other files."""
    below = [name for name in folder.others if (folder.path / name).is_dir()]
    for name in below[:_SUBFOLDERS]:
        inside = look_into(folder.path / name)
        if inside.images:
            found = f"no image file; {len(inside.images)} in the sub-folder {plain(name)}"
            return found, "a folder that holds the images themselves", f"name the sub-folder: .../{plain(name)}"
    files = [plain(name) for name in folder.others if name not in below]
    what = (
        f", but {', '.join(files[:_MOST])}{', ...' if len(files) > _MOST else ''}" if files else ", and no other file"
    )
    wanted = "a folder that holds the images themselves"
    return f"no image file{what}", wanted, "name the folder that holds the images themselves"
