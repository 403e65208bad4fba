"""Frames of one sample compared: copies are counted once, and frames that are on another scale are left out.

A frame by itself does not show that it is a copy, or that its counts are not comparable with those of its neighbours.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

_OTHER_SIZE = 0.01


@dataclass(frozen=True)
class Compared:
    """The frames table after the comparison, and the frames whose cells are not counted."""

    frames: pd.DataFrame
    gone: frozenset[str]

    def without(self, part: pa.Table) -> pa.Table:
        """Return the rows of a table with the column frame that belong to frames that are counted."""
        if not self.gone:
            return part
        return part.filter(pa.array([frame not in self.gone for frame in part["frame"].to_pylist()], pa.bool_()))


def compare(frames: pd.DataFrame) -> Compared:
    """Return which usable frames of a sample are copies, or on another scale than most of its frames.

    Parameters
    ----------
    frames : DataFrame
        As `tables.FRAMES`.

    Notes
    -----
    A copy has the same pixels in all channels that every call needs. It is not imaged blood, so its area is 0, unless
    the stage says that it lies elsewhere, which no second exposure with the same noise can.
    """
    frames = frames.reset_index(drop=True)
    reasons = dict(_other_scale(frames))
    copies = dict(_copies(frames.drop(index=list(reasons))))
    rows = [*reasons, *copies]
    if not rows:
        return Compared(frames, frozenset())
    changed = frames.copy()
    changed.loc[rows, "usable"] = False
    changed.loc[rows, "reason"] = [{**reasons, **copies}[row] for row in rows]
    changed.loc[rows, "flags"] = ""
    changed.loc[rows, "area_um2"] = 0.0
    changed.loc[rows, "n_cells"] = 0
    changed.loc[list(copies), "frame_area_um2"] = 0.0
    changed.loc[list(copies), ["y_um", "x_um"]] = np.nan
    return Compared(changed, frozenset(frames.loc[rows, "frame"]))


def _copies(frames: pd.DataFrame) -> Iterator[tuple[int, str]]:
    first: dict[str, str] = {}
    for row, frame, usable, digest in frames[["frame", "usable", "pixels_digest"]].itertuples():
        if usable and digest:
            if digest in first:
                yield row, f"a copy: the same pixels as frame {first[digest]}, which is counted"
            first.setdefault(digest, frame)


def _other_scale(frames: pd.DataFrame) -> Iterator[tuple[int, str]]:
    """Yield the usable frames that cannot be compared with the others of the sample, with the reason."""
    usable = frames[frames["usable"]]
    scales = usable["scale_bits"].value_counts()
    if len(scales) > 1:
        most = max(scales.index, key=lambda bits: (scales[bits], bits))
        for row, bits in usable.loc[usable["scale_bits"] != most, "scale_bits"].items():
            yield int(str(row)), f"counts of {bits} bits, where the sample's other frames have {most}: not comparable"
        usable = usable[usable["scale_bits"] == most]
    stated, unstated = (usable[usable["size_from"] == word] for word in ("file", "assay"))
    for row in unstated.index if len(stated) else ():
        others, own = float(stated["pixel_size_um"].median()), unstated["pixel_size_um"].to_dict()[row]
        if abs(others / own - 1) > _OTHER_SIZE:
            yield int(row), f"no pixel size in the file; other frames state {others:g} um, and the assay {own:g} um"
            usable = usable.drop(index=row)
    yield from _other_order(usable)


def _other_order(usable: pd.DataFrame) -> Iterator[tuple[int, str]]:
    """Yield frames whose channels were taken by their order, where the names of others show another order."""
    named = set(usable.loc[(usable["channels_from"] == "names") & (usable["page_order"] != ""), "page_order"])
    for row, _, order in usable.loc[usable["channels_from"] == "order", ["frame", "page_order"]].itertuples():
        other = sorted(found for found in named if found != order)
        if other:
            yield row, f"planes without names, taken as {order}; other frames of the sample name them {other[0]}"
