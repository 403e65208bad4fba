"""What a frame's files say in words, beside their pixels."""

import io

from PIL import Image

from ctcascade.formats import containers, guard, leica, nikon, olympus, ome_zarr, zisraw
from ctcascade.formats.decoding import reading
from ctcascade.formats.frame import FrameError, FrameRef

_TAGS = (269, 270, 315, 700, 33432)  # document name, description (OME-XML too), artist, XMP packet, copyright
_OPENED: dict[str, containers.Open] = {"nd2": nikon.opened, "lif": leica.opened, "oif": olympus.opened}
_LONGEST = 1_000_000


def read_words(ref: FrameRef) -> str:
    """Return the descriptive text in the headers of a frame's first file; empty where it has none or is broken."""
    path = ref.files[0]
    try:
        with reading(path.name):
            if ref.format == "ome-zarr":
                return ome_zarr.words(path)
            if ref.format == "czi":
                return zisraw.metadata(path)[:_LONGEST]
            if ref.format in _OPENED:
                return containers.words(path, _OPENED[ref.format])[:_LONGEST]
            if path.suffix.lower() in (".tif", ".tiff"):
                with guard.open_tiff(path) as tiff:
                    found = [tag.value for tag in tiff.pages.first.tags if tag.code in _TAGS]
            else:
                with Image.open(io.BytesIO(path.read_bytes()), formats=guard.PICTURES) as image:
                    found = [*image.info.values(), *image.getexif().values()]
            return "\n".join(map(_text, found))[:_LONGEST]
    except (FrameError, OSError):
        return ""  # detect says why the frame cannot be read


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
