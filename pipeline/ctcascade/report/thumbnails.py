"""Small pictures of single cells: one merged in colour and one of each channel in grey, with outline and scale bar.

Colours can be told apart with any common colour vision: DNA blue, CK yellow, CD45 magenta.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from ctcascade.calling.candidates import records
from ctcascade.data import store
from ctcascade.data.tables import Row
from ctcascade.report.axes import path as svg_path

COLOURS = {"dna": (0.17, 0.42, 1.0), "ck": (1.0, 0.85, 0.0), "cd45": (1.0, 0.13, 0.82)}
"""Red, green and blue share of each role in the merged picture; further roles are shown in grey only."""
NAMES = {"dna": "DNA", "ck": "CK", "cd45": "CD45"}
BAR_UM = 10.0
QUALITY = 95
"""Of WebP in colour, 0 to 100: the merged picture is for the eye only, and without loss it takes ten times as long."""


@dataclass(frozen=True)
class Picture:
    """The views (role, name, image) of a cell or cluster, `side` user units wide; or the `problem` why none."""

    views: list[tuple[str, str, Markup]] = field(default_factory=list)
    side: int = 1
    outlines: list[Markup] = field(default_factory=list)
    centres: list[tuple[float, float]] = field(default_factory=list)
    bar: float = 0.0
    problem: str = ""


class Crops:
    """The pictures of a sample that `ctcascade crops` has cut out, and its frames at reduced size.

    Attributes
    ----------
    layout : str
        As which layout the images were read, and why.
    overview : dict of str to ndarray of uint8, shape (3, rows, columns)
        By frame: DNA, CK and CD45 made small; frames that could not be read are left out.
    """

    def __init__(self, path: Path, names: Mapping[str, str] = NAMES, overview: Path | None = None):
        self._names = names
        rows = records(store.read_table(path, "crops"))
        layout = store.table_provenance(path).layout
        self.layout = f"{layout.format}: {layout.why}" if layout else "not known"
        small = records(store.read_table(overview, "overview")) if overview else []
        self.overview = {row["frame"]: np.stack([_plane(row, role) for role in COLOURS]) for row in small}
        self._rows = {(row["frame"], tuple(row["cells"])): row for row in rows}

    def picture(self, cells: Sequence[Row]) -> Picture:
        """Return the picture of one candidate or of a cluster (rows of calls) of one frame."""
        row = self._rows[cells[0]["frame"], tuple(int(cell["cell"]) for cell in cells)]
        if row["problem"]:
            return Picture(problem=row["problem"])
        roles = [name.removesuffix("_pixels") for name, value in row.items() if name.endswith("_pixels") and value]
        grey = {role: _plane(row, role) for role in roles}
        side = int(row["y1_px"] - row["y0_px"])
        masks = np.frombuffer(row["masks"], "<u2").reshape(side, side)
        return Picture(
            views=[
                ("merged", "merged", data_uri(merged(grey))),
                *((role, self._names.get(role, role.upper()), data_uri(plane)) for role, plane in grey.items()),
            ],
            side=side,
            outlines=[path for place in range(1, len(cells) + 1) for path in outlines(masks == place)],
            centres=[
                (round(cell["x_px"] - row["x0_px"] + 0.5, 1), round(cell["y_px"] - row["y0_px"] + 0.5, 1))
                for cell in cells
            ],
            bar=round(BAR_UM / row["pixel_size_um"], 1),
        )


def _plane(row: Row, role: str) -> NDArray[np.uint8]:
    return np.frombuffer(row[f"{role}_pixels"], np.uint8).reshape(int(row["rows"]), int(row["columns"]))


def outlines(mask: NDArray[np.bool_]) -> list[Markup]:
    """Return the outline of a mask as SVG paths, one for each part, through the middle of its edge pixels."""
    rings, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return [svg_path([(x + 0.5, y + 0.5) for x, y in ring[:, 0, :].tolist()], closed=True) for ring in rings]


def merged(grey: Mapping[str, NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Return an RGB picture in which each role adds its colour."""
    shape = next(iter(grey.values())).shape
    total = np.zeros((*shape, 3), np.float32)
    for role, plane in grey.items():
        total += plane[..., None] * np.array(COLOURS.get(role, (0, 0, 0)), np.float32)
    return np.clip(total, 0, 255).round().astype(np.uint8)


def data_uri(image: NDArray[np.uint8], quality: int = QUALITY) -> Markup:
    """Return an image as a data URI: grey as PNG, without loss, colour as WebP; never shortened, as it is our own."""
    if image.ndim == 2:
        kind, how = "png", [cv2.IMWRITE_PNG_COMPRESSION, 1]
    else:
        kind, how = "webp", [cv2.IMWRITE_WEBP_QUALITY, quality]
    bgr = image[..., ::-1] if image.ndim == 3 else image
    good, data = cv2.imencode(f".{kind}", np.ascontiguousarray(bgr), how)
    assert good
    return Markup("data:image/{};base64,{}").format(kind, base64.b64encode(data.tobytes()).decode())
