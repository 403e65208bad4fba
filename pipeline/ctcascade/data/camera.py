"""What is known of the images before the first one is opened: channels, files, pixel size, bit depth, frame size."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from ctcascade.data.errors import RefusedValueError, plain
from ctcascade.data.typed import Number, Typed, Whole

ChannelName = Annotated[str, Field(min_length=1, max_length=64, description="a channel name")]


def _role(name: str) -> str:
    if not re.fullmatch("[a-z][a-z0-9]{0,15}", name):
        expected = "a role of small letters and digits, at most 16"
        raise RefusedValueError((plain(name), expected, "rename the role"))
    return name


Role = Annotated[str, AfterValidator(_role)]
PixelSize = Annotated[Number, Field(ge=0.01, le=20, description="the edge of a pixel from 0.01 to 20 um")]
Pixels = Annotated[Whole, Field(ge=1, le=1_000_000, description="a whole number from 1 to 1000000")]
FrameSize = Annotated[tuple[Pixels, Pixels], Field(description="rows and columns of a frame")]
BitDepth = Annotated[Whole, Field(ge=8, le=16, description="bits of the camera from 8 to 16")]
FilePattern = Annotated[
    str,
    Field(
        pattern=r"^[^/\\\x00-\x1f]+(/[^/\\\x00-\x1f]+)?$",
        description="null (one file a frame), or the pattern of one file a channel with {frame} and {channel}, also "
        "{channel}/{frame}; {guid} stands for a GUID, * for anything",
        examples=["'{frame}_{channel}'"],
    ),
]


ChannelOrder = Literal["named", "trusted"]
Depth = Literal["max", "sharpest"]


class Camera(Typed):
    """How an assay's frames are to be read where the files themselves do not say it."""

    name: str = Field(description="the assay's name")
    channels: dict[Role, tuple[ChannelName, ...]] = Field(
        description="channel roles, each with the channel names that a file may use for it"
    )
    files: FilePattern | None = Field(
        default=None, description="null (one file a frame), or the pattern of one file a channel"
    )
    pixel_size_um: PixelSize = Field(description="the edge of a pixel, um, where the file states none")
    frame_px: FrameSize = Field(description="nominal rows and columns of a frame")
    bit_depth: BitDepth = Field(description="bits of the camera")
    channel_order: ChannelOrder = Field(
        default="named",
        description="named: planes without names are refused; trusted: they come in the order of channels",
    )
    z: Depth | None = Field(
        default=None, description="what becomes of a stack in depth: null (refused), max, or sharpest (one plane)"
    )

    @property
    def colours(self) -> dict[str, int]:
        """Which of red, green and blue (0, 1, 2) each role is in a merged picture; empty unless all roles are one."""
        found = {role: COLOURS.index(names[0].lower()) for role, names in self.channels.items() if is_colour(names)}
        whole = set(found) == set(self.channels) and len(set(found.values())) == len(found)
        return found if whole else {}


COLOURS = ("red", "green", "blue")


def is_colour(names: tuple[str, ...]) -> bool:
    """Return whether a channel is given as a colour of a merged picture, and nothing else."""
    return len(names) == 1 and names[0].lower() in COLOURS
