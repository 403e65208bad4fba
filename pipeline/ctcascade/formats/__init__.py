"""Readers of image files: one module for each layout; only here are the terms of vendors known."""

from ctcascade.formats.found import example
from ctcascade.formats.readers import (
    FORMATS,
    Event,
    Folder,
    Frame,
    FrameError,
    FrameRef,
    Layout,
    expected,
    is_zarr,
    look_into,
    natural,
    operator_events,
    read,
    read_words,
    recognise,
    role_of,
)

__all__ = [
    "FORMATS",
    "Event",
    "Folder",
    "Frame",
    "FrameError",
    "FrameRef",
    "Layout",
    "example",
    "expected",
    "is_zarr",
    "look_into",
    "natural",
    "operator_events",
    "read",
    "read_words",
    "recognise",
    "role_of",
]
