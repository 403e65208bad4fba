"""Every table, declared once: column, type, unit, meaning.

The names are what others build on; `tests/test_schema.py` freezes them. The unit is in the name (``_um _um2 _px _ml
_days _months _per_7_5_ml``) and y comes before x. Intensities have no unit in their name: they are the camera's own
counts above the local background.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ctcascade.data.vocabulary import CALLS, ROLES

Row = dict[str, Any]
"""One row of a table in memory, by column."""


@dataclass(frozen=True)
class Column:
    """One column: ``dtype`` is str, bool, int, float (32 bit), ints or floats (lists), or bytes."""

    name: str
    dtype: str
    meaning: str
    nullable: bool = False


@dataclass(frozen=True)
class Table:
    """A table's fixed columns, and those that come once for each channel role (``{role}`` in their name)."""

    columns: tuple[Column, ...]
    per_role: tuple[Column, ...] = ()

    def for_roles(self, roles: Iterable[str]) -> tuple[Column, ...]:
        """Return all columns of a table whose assay has these roles, in the order of the file.

        A frame may lack a role that is not in `ROLES`: its columns are null there.
        """
        each = [
            Column(c.name.format(role=r), c.dtype, c.meaning, c.nullable or r not in ROLES)
            for r in roles
            for c in self.per_role
        ]
        return (*self.columns, *each)

    def for_names(self, names: list[str]) -> tuple[Column, ...]:
        """Return all columns, with the roles read off the names that are there (a role has no underscore)."""
        if not self.per_role:
            return self.columns
        suffix = self.per_role[0].name.removeprefix("{role}")
        roles = [n.removesuffix(suffix) for n in names if n.endswith(suffix)]
        return self.for_roles([r for r in roles if "_" not in r])


FRAMES = Table(
    columns=(
        Column("frame", "str", "name of the field of view, unique in the sample"),
        Column("path", "str", "the frame's first file, relative to the sample sheet"),
        Column("part", "int", "which of the sheet's image folders it came from, from 0"),
        Column("usable", "bool", "false only for what cannot be read or measured"),
        Column("reason", "str", "why the frame is not usable, else empty"),
        Column(
            "flags", "str", "quality flags (weak_focus, saturated, uneven, misregistered ...) with commas, else empty"
        ),
        Column("height_px", "int", "rows; of a file that cannot be read those of the sample's other frames"),
        Column("width_px", "int", "columns, likewise"),
        Column("pixel_size_um", "float", "edge of a pixel that was used"),
        Column("scale_bits", "str", "8 or 16: bits of the numbers that hold the counts; empty where unreadable"),
        Column(
            "size_from",
            "str",
            "what states the pixel size: file or assay; where unreadable empty, or nominal (rows too)",
        ),
        Column("channels_from", "str", "what tells the channels: names, or order (trusted); empty where unreadable"),
        Column("page_order", "str", "roles of the planes in the order of the file; empty for a file a channel"),
        Column("exposure_ms", "str", "exposure of each stain if the file tells it: dna=100,ck=250,cd45=250"),
        Column("pixels_digest", "str", "digest of the pixels of dna, ck and cd45; frames with the same are copies"),
        Column("y_um", "float", "place of the first pixel on the slide, if the file says", nullable=True),
        Column("x_um", "float", "likewise", nullable=True),
        Column("frame_area_um2", "float", "area of the field of view; overlaps are divided among their frames"),
        Column("area_um2", "float", "area analysed, likewise, without what its file leaves out; 0 where unusable"),
        Column("n_cells", "int", "objects found that are counted in this frame"),
        Column("focus", "float", "sharpness of the DNA channel: higher is sharper", nullable=True),
        Column(
            "saturation", "float", "largest share of pixels at the ceiling over the channels, 0 to 1", nullable=True
        ),
        Column("background", "float", "background of the DNA channel, counts", nullable=True),
        Column(
            "unevenness", "float", "(largest - smallest) background of the DNA channel over its median", nullable=True
        ),
        Column(
            "registration_um", "float", "largest shift against DNA that is left; null: too few cells", nullable=True
        ),
    ),
    per_role=(
        Column("{role}_background", "float", "median background of the channel, counts", nullable=True),
        Column("{role}_noise", "float", "standard deviation of the background, counts", nullable=True),
        Column("{role}_focus", "float", "sharpness of the channel", nullable=True),
        Column("{role}_saturation", "float", "share of pixels at the ceiling, 0 to 1", nullable=True),
        Column("{role}_unevenness", "float", "as unevenness; null where the background is mere noise", nullable=True),
        Column("{role}_shift_um", "float", "shift against DNA; null for DNA and with too few cells", nullable=True),
        Column("{role}_moved_y_px", "int", "by how many rows the channel was moved up, to lie upon the others"),
        Column("{role}_moved_x_px", "int", "by how many columns it was moved left"),
    ),
)

CELLS = Table(
    columns=(
        Column("frame", "str", "field of view"),
        Column("cell", "int", "number in the frame, from 1; the value in the label image"),
        Column("y_px", "float", "row of the cell's centroid"),
        Column("x_px", "float", "column of the cell's centroid"),
        Column("y0_px", "int", "bounding box of the cell: first row"),
        Column("x0_px", "int", "first column"),
        Column("y1_px", "int", "one past the last row"),
        Column("x1_px", "int", "one past the last column"),
        Column("touches_border", "bool", "the frame's border cuts the object"),
        Column("area_um2", "float", "area of the cell"),
        Column("equivalent_diameter_um", "float", "diameter of the disc of that area"),
        Column("perimeter_um", "float", "Crofton perimeter, four directions"),
        Column("p2a", "float", "perimeter^2 / (4 pi area): 1 for a disc"),
        Column("eccentricity", "float", "of the ellipse of equal second moments, 0 to 1"),
        Column("solidity", "float", "area / area of the convex hull"),
        Column("nucleus_area_um2", "float", "area of the nucleus inside the cell; 0 where there is none"),
        Column("nucleus_perimeter_um", "float", "Crofton perimeter; 0 without nucleus"),
        Column("nucleus_p2a", "float", "as p2a; null without nucleus", nullable=True),
        Column("nucleus_eccentricity", "float", "null without nucleus", nullable=True),
        Column("nucleus_solidity", "float", "null without nucleus", nullable=True),
        Column("contacts", "ints", "cells of the same frame within detect.contact_gap_max_um"),
        Column("contact_gaps_um", "floats", "edge-to-edge gap to each of them; 0 where they touch"),
        Column("marker_correlation", "float", "of cytokeratin with CD45 in the cell, -1 to 1", nullable=True),
        Column("nucleus_twin", "int", "the cell that may be the other half of the same mitosis; 0 where none"),
        Column("nucleus_fragments", "int", "bodies of DNA in the cell above half of dna_high"),
        Column("nucleus_largest_share", "float", "share of their light in the greatest of them", nullable=True),
        Column("nucleus_lit_um2", "float", "their area"),
    ),
    per_role=(
        Column("{role}_mean", "float", "mean over the cell, counts above local background"),
        Column("{role}_max", "float", "maximum over the cell, likewise"),
        Column("{role}_high", "float", "what the brightest 2 % of its pixels reach: no single pixel turns it"),
        Column("{role}_std", "float", "standard deviation over the cell"),
        Column("{role}_sum", "float", "sum over the cell"),
        Column("{role}_nucleus_mean", "float", "mean over the nucleus; null without one", nullable=True),
        Column("{role}_nucleus_std", "float", "standard deviation over the nucleus", nullable=True),
        Column("{role}_cytoplasm_mean", "float", "mean over the cell less its nucleus; null if empty", nullable=True),
        Column("{role}_ring_mean", "float", "mean just outside the cell, other cells left out", nullable=True),
        Column(
            "{role}_overlap", "float", "share of the nucleus's pixels where the role is above its noise", nullable=True
        ),
        Column("{role}_fill", "float", "share of the cell's pixels where the role is above its noise"),
        Column("{role}_dna_correlation", "float", "of its pixels in the cell with DNA's, -1 to 1", nullable=True),
    ),
)

CALL_TABLE = Table(
    columns=(
        Column("frame", "str", "field of view"),
        Column("cell", "int", "number in the frame"),
        Column("y_px", "float", "row of the cell's centroid"),
        Column("x_px", "float", "column of the cell's centroid"),
        Column("call", "str", "one of " + ", ".join(CALLS)),
        Column("p_ctc", "float", "probability that the cell is a CTC, 0 to 1"),
        Column("cluster", "int", "CTC cluster, unique in the sample, from 1; null outside clusters", nullable=True),
        Column("with_leukocyte", "bool", "a CTC outside clusters that a leukocyte touches"),
        Column("at_border", "bool", "the frame's border cuts the cell"),
        Column("reason", "str", "what decided the call, in words for people: no stage reads it"),
        Column("gates_p_ctc", "float", "as p_ctc, by the gates alone", nullable=True),
        Column(
            "judge_ln_ratio",
            "float",
            "ln of how much likelier the cell is as a CTC than as anything else, by the learned judge; null: not asked",
            nullable=True,
        ),
        Column("judge_reason", "str", "for, or against and what speaks most against it; empty: not asked"),
        Column(
            "p_ctc_in_sample",
            "float",
            "probability by the judge at the sample's own share of CTCs among candidates; null: not asked",
            nullable=True,
        ),
        Column(
            "unlike", "float", "distance from the sample's leukocytes, over their usual one; null: none", nullable=True
        ),
        Column(
            "unlike_rank",
            "int",
            "place among the cells that no gate wanted, from 1 for the one most unlike leukocytes; null: not shown",
            nullable=True,
        ),
    ),
    per_role=(  # of the assay's markers only
        Column("{role}_z", "float", "upper spreads of ln intensity above the sample's leukocytes", nullable=True),
        Column("{role}_positive", "bool", "whether that reaches the assay's threshold", nullable=True),
    ),
)

SPIKED = Table(
    columns=(
        Column("level", "int", "which of recovery.levels, from 0"),
        Column("frame", "str", "name of the spiked frame"),
        Column("source", "str", "frame that it was made from, as SAMPLE/FRAME, or phantom/NUMBER"),
        Column("blood_ml", "float", "blood that the source stands for; null for a phantom", nullable=True),
        Column("pixel_size_um", "float", "edge of a pixel"),
        Column("y_px", "float", "row of a pasted CTC; null in the one row of a frame without any", nullable=True),
        Column("x_px", "float", "column of a pasted CTC", nullable=True),
        Column("diameter_um", "float", "its diameter", nullable=True),
    )
)

OUTLINES = Table(
    columns=(
        Column("frame", "str", "field of view"),
        Column("cell", "int", "number in the frame"),
        Column("y0_px", "int", "bounding box of the cell: first row"),
        Column("x0_px", "int", "first column"),
        Column("y1_px", "int", "one past the last row"),
        Column("x1_px", "int", "one past the last column"),
        Column("cell_runs", "ints", "pixels outside and inside the cell by turns, row by row over the bounding box"),
        Column("nucleus_runs", "ints", "the same of its nucleus, over the cell's bounding box; empty without nucleus"),
    )
)

CROPS = Table(
    columns=(
        Column("kind", "str", "cell or cluster"),
        Column("frame", "str", "field of view"),
        Column("cells", "ints", "numbers of the cells that the picture is about"),
        Column("y0_px", "int", "window in the frame: first row; black where it lies outside the frame"),
        Column("x0_px", "int", "first column"),
        Column("y1_px", "int", "one past the last row"),
        Column("x1_px", "int", "one past the last column"),
        Column("pixel_size_um", "float", "edge of a pixel of the frame", nullable=True),
        Column("rows", "int", "rows of the picture, which may be smaller than the window"),
        Column("columns", "int", "columns of the picture"),
        Column(
            "masks",
            "bytes",
            "16-bit (little endian), row by row over the window: 0, or the place of a cell in `cells`, from 1",
            nullable=True,
        ),
        Column("problem", "str", "why there is no picture, else empty"),
    ),
    per_role=(
        Column("{role}_pixels", "bytes", "8-bit, row by row; null where the frame lacks the channel", nullable=True),
        Column("{role}_black", "float", "counts above background of 0", nullable=True),
        Column("{role}_white", "float", "counts above background of 255; the same for all cells", nullable=True),
    ),
)

_SMALL = (
    Column("frame", "str", "field of view"),
    Column("rows", "int", "rows of the small frame"),
    Column("columns", "int", "columns of the small frame"),
)
PLANES = Table(columns=_SMALL, per_role=(Column("{role}_counts", "bytes", "mean counts, 32-bit, row by row"),))
"""What of each frame `detect` keeps for the overview; not among the results."""
OVERVIEW = Table(
    columns=_SMALL,
    per_role=(
        Column("{role}_pixels", "bytes", "8-bit, row by row; background is not taken off"),
        Column("{role}_black", "float", "counts of 0; the same for all frames of a sample"),
        Column("{role}_white", "float", "counts of 255; the same for all frames of a sample"),
    ),
)

TABLES = {
    "frames": FRAMES,
    "cells": CELLS,
    "calls": CALL_TABLE,
    "spiked": SPIKED,
    "outlines": OUTLINES,
    "crops": CROPS,
    "overview": OVERVIEW,
    "planes": PLANES,
}
PASSING = ("planes",)
"""Tables that one job hands to the next and that no run leaves."""
