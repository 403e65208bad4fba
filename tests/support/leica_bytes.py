"""Leica LIF and LOF files written from Leica's description of the format: an XML header, then blocks of memory."""

import struct
from dataclasses import dataclass
from typing import Any

_UNITS = {"X": (1, "m"), "Y": (2, "m"), "Z": (3, "m"), "T": (4, "s"), "M": (10, "")}


@dataclass
class Series:
    """An image: its name, pixels by axes (the last varies fastest; C says where channels are), and more XML."""

    name: str
    pixels: Any
    axes: str
    colours: tuple[str, ...] = ("Blue", "Red", "Green")
    um: float = 0.5
    setting: str = ""
    dyes: tuple[str, ...] = ()
    attachments: str = ""
    um_down: float = 0.0
    tag: int = 0
    bits: int = 0

    def element(self, block):
        """Return the element of the image, whose pixels lie in the memory block."""
        sizes, step = dict(zip(self.axes, self.pixels.shape, strict=True)), self.pixels.itemsize
        inc = {}
        for axis in reversed(self.axes):
            inc[axis], step = step, step * sizes[axis]
        n, channels = sizes.get("C", 1), []
        for c in range(n):
            named = self.dyes[c] if self.dyes else ""
            dye = f"<ChannelProperty><Key>DyeName</Key><Value>{named}</Value></ChannelProperty>"
            about = f'DataType="0" ChannelTag="{self.tag}" Resolution="{self.bits or 8 * self.pixels.itemsize}"'
            about += f' NameOfMeasuredQuantity="" Min="0" Max="1" Unit="" LUTName="{self.colours[c % 3]}"'
            about += f' IsLUTInverted="0" BytesInc="{c * inc.get("C", 0)}" BitInc="0"'
            channels.append(f"<ChannelDescription {about}>{dye if self.dyes else ''}</ChannelDescription>")
        dimensions = []
        for axis in (a for a in reversed(self.axes) if a != "C"):
            code, unit = _UNITS[axis]
            um = (self.um_down or self.um) if axis == "Y" else self.um
            length = um * 1e-6 * (sizes[axis] - 1)
            about = f'DimID="{code}" NumberOfElements="{sizes[axis]}" Origin="0" Length="{length!r}" Unit="{unit}"'
            dimensions.append(f'<DimensionDescription {about} BitInc="0" BytesInc="{inc[axis]}"/>')
        described = f"<Channels>{''.join(channels)}</Channels><Dimensions>{''.join(dimensions)}</Dimensions>"
        hardware = f'<Attachment Name="HardwareSetting">{self.setting}</Attachment>' if self.setting else ""
        image = f"<ImageDescription>{described}</ImageDescription>{hardware}{self.attachments}"
        memory = f'<Memory Size="{self.pixels.nbytes}" MemoryBlockID="{block}"/>'
        return f'<Element Name="{self.name}"><Data><Image>{image}</Image></Data>{memory}</Element>'


def folder(name, inside):
    """Return the element of a folder of a project."""
    return f'<Element Name="{name}"><Data><Collection/></Data><Children>{inside}</Children></Element>'


def write_lif(path, series, shape="".join, cut=0):
    """Write a project; `shape` puts the elements of its images into folders."""
    inside = shape([one.element(f"MemBlock_{k}") for k, one in enumerate(series)])
    experiment = '<Data><Experiment Path="" IsSavedFlag="1"/></Data>'
    root = f'<Element Name="project">{experiment}<Children>{inside}</Children></Element>'
    out = _text(f'<LMSDataContainerHeader Version="2">{root}</LMSDataContainerHeader>')
    for k, one in enumerate(series):
        name = f"MemBlock_{k}"
        coded = name.encode("utf-16-le")
        data = one.pixels.astype(one.pixels.dtype.newbyteorder("<")).tobytes()
        body = struct.pack("<BQBI", 0x2A, len(data), 0x2A, len(name)) + coded
        out += struct.pack("<II", 0x70, len(body)) + body + data
    path.write_bytes(out[: len(out) - cut])
    return path


def write_lof(path, one):
    """Write a single image as an object file."""
    words = "LMS_Object_File"
    head = struct.pack("<BI", 0x2A, len(words)) + words.encode("utf-16-le")
    data = one.pixels.astype(one.pixels.dtype.newbyteorder("<")).tobytes()
    out = struct.pack("<II", 0x70, len(head)) + head
    out += struct.pack("<BIBI", 0x2A, 2, 0x2A, 0) + struct.pack("<BQ", 0x2A, len(data)) + data
    element = one.element("MemBlock_0")
    path.write_bytes(out + _text(f'<LMSDataContainerHeader Version="2">{element}</LMSDataContainerHeader>'))
    return path


def _text(xml):
    coded = xml.encode("utf-16-le")
    body = struct.pack("<BI", 0x2A, len(coded) // 2) + coded
    return struct.pack("<II", 0x70, len(body)) + body
