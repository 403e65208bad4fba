"""Frames of one sample compared: copies are counted once, and frames that are on another scale are left out.

A frame by itself does not show that it is a copy, or that its counts are not comparable with those of its neighbours.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

_OTHER_SIZE = 0.01
_OTHER_EXPOSURE = 0.2  # brightness varies by as much over a field of view


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

    Pixel sizes and exposures that the files state are compared, and what differs from most frames is left out: counts
    scale with the exposure only above an offset that no file states. What is lost with a frame whose pixel size is not
    believed is its rows and columns at the size of the others. A frame that cannot be read has the median rows
    and columns of the others.
    """
    frames = _with_own_area(frames.reset_index(drop=True))
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
    area = _area_as_most(frames, rows, list(reasons))
    changed.loc[area.index, "frame_area_um2"] = area.astype(frames["frame_area_um2"].dtype)
    changed.loc[list(copies), "frame_area_um2"] = 0.0
    changed.loc[list(copies), ["y_um", "x_um"]] = np.nan
    return Compared(changed, frozenset(frames.loc[rows, "frame"]))


def _area_as_most(frames: pd.DataFrame, gone: list[int], other: list[int]) -> pd.Series:
    """Return the area of frames whose own pixel size is not believed, at the usual one of those that are kept."""
    kept = frames[frames["usable"]].drop(index=gone)
    if kept.empty:
        return pd.Series(dtype=float)
    px = float(kept["pixel_size_um"].median())
    doubted = frames.loc[other]
    doubted = doubted[(doubted["pixel_size_um"] / px - 1).abs() > _OTHER_SIZE]
    return doubted["height_px"] * doubted["width_px"] * px**2


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
    others = list(_other_size(usable))
    yield from others
    usable = usable.drop(index=[row for row, _ in others])
    exposed = list(_other_exposure(usable))
    yield from exposed
    yield from _other_order(usable.drop(index=[row for row, _ in exposed]))


def _other_size(usable: pd.DataFrame) -> Iterator[tuple[int, str]]:
    """Yield frames whose pixels are of another size than in most, or not stated where others state another size."""
    stated, unstated = (usable[usable["size_from"] == word] for word in ("file", "assay"))
    if not len(stated):
        return
    sizes = stated["pixel_size_um"].to_numpy(float)
    as_assumed = ~stated["flags"].str.contains("pixel_size_differs").to_numpy(bool)
    most = _most(sizes, _OTHER_SIZE, as_assumed)
    for row, size in zip(stated.index, sizes, strict=True):
        if abs(size / most - 1) > _OTHER_SIZE:
            yield int(row), f"pixels of {size:g} um, where the sample's other frames state {most:g} um: not comparable"
    for row, own in zip(unstated.index, unstated["pixel_size_um"].to_numpy(float), strict=True):
        if abs(most / own - 1) > _OTHER_SIZE:
            yield int(row), f"no pixel size in the file; other frames state {most:g} um, and the assay {own:g} um"


def _other_exposure(usable: pd.DataFrame) -> Iterator[tuple[int, str]]:
    """Yield frames in which a stain was exposed longer or shorter than in most, as their files tell."""
    told = {int(str(row)): _exposures(text) for row, text in usable["exposure_ms"].items() if text}
    gone = set[int]()
    for role in dict.fromkeys(role for exposures in told.values() for role in exposures):
        of = {row: exposures[role] for row, exposures in told.items() if role in exposures and row not in gone}
        if not of:
            continue
        most = _most(np.array(list(of.values())), _OTHER_EXPOSURE)
        for row, ms in of.items():
            if abs(ms / most - 1) > _OTHER_EXPOSURE:
                gone.add(row)
                yield (
                    row,
                    f"{role} exposed for {ms:g} ms, and for {most:g} ms in the sample's other frames: not comparable",
                )


def _exposures(text: str) -> dict[str, float]:
    return {role: float(ms) for role, _, ms in (part.partition("=") for part in text.split(","))}


def _most(values: NDArray[np.float64], tolerance: float, first: NDArray[np.bool_] | None = None) -> float:
    """Return the value that most are near to; of as many, one that is `first`, then the earliest."""
    order = np.sort(values)
    near = np.searchsorted(order, values * (1 + tolerance), "right") - np.searchsorted(order, values * (1 - tolerance))
    rank = near * 2 + (0 if first is None else first)
    return float(values[int(np.argmax(rank))])


def _with_own_area(frames: pd.DataFrame) -> pd.DataFrame:
    """Return the table in which frames that could not be read have the area of the sample's other frames.

    Their own rows and columns count where the file still tells them, and the nominal ones only where no frame is read.
    """
    usable, lost = frames[frames["usable"]], frames["size_from"].isin(["", "nominal"]) & ~frames["usable"]
    if usable.empty or not lost.any():
        return frames
    changed = frames.copy()
    nominal = lost & (frames["size_from"] == "nominal")
    for column in ("height_px", "width_px"):
        changed.loc[nominal, column] = int(usable[column].median())
    changed.loc[lost, "pixel_size_um"] = usable["pixel_size_um"].median()
    area = changed["height_px"] * changed["width_px"] * changed["pixel_size_um"] ** 2
    changed.loc[lost, "frame_area_um2"] = area[lost].astype(frames["frame_area_um2"].dtype)
    return changed


def _other_order(usable: pd.DataFrame) -> Iterator[tuple[int, str]]:
    """Yield frames whose channels were taken by their order, where the names of others show another order."""
    named = set(usable.loc[(usable["channels_from"] == "names") & (usable["page_order"] != ""), "page_order"])
    for row, _, order in usable.loc[usable["channels_from"] == "order", ["frame", "page_order"]].itertuples():
        other = sorted(found for found in named if found != order)
        if other:
            yield row, f"planes without names, taken as {order}; other frames of the sample name them {other[0]}"
