"""All cells of a sample in two scatter plots, with the gates of the calls drawn where they lie."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from markupsafe import Markup
from numpy.typing import NDArray

from ctcascade.calling.markers import contrast_of
from ctcascade.data.results import CallsReference, Gate
from ctcascade.data.tables import Row
from ctcascade.report.axes import Axis, Mark, Tick, path
from ctcascade.report.thumbnails import NAMES

WIDTH, HEIGHT = 560.0, 380.0
LEFT, RIGHT, TOP, BOTTOM = 64.0, WIDTH - 12, 12.0, HEIGHT - 46
CLOUD_BINS = (64, 44)


@dataclass(frozen=True)
class Quantity:
    """What an axis shows: a column, its name for the reader, and up to what noise it is linear (None: everywhere)."""

    column: str
    name: str
    noise: float | None


@dataclass(frozen=True)
class Cloud:
    """A square of a density map: corner, size, opacity and cells in it."""

    x: float
    y: float
    width: float
    height: float
    opacity: float
    n: int


@dataclass(frozen=True)
class Scatter:
    """A scatter plot: axes, the other cells as a density map, candidates as points, gates as paths."""

    title: str
    x: Quantity
    y: Quantity
    across: Axis
    up: Axis
    cloud: list[Cloud]
    points: list[Mark]
    n_others: int
    gates: list[Markup]

    @property
    def axes(self) -> list[Row]:
        """Both axes for a script that turns a place back into values: horizontal, then vertical."""
        return [{"column": q.column, **vars(axis)} for q, axis in ((self.x, self.across), (self.y, self.up))]

    @property
    def x_ticks(self) -> list[Tick]:
        """Marks of the horizontal axis."""
        return self.across.ticks(6)

    @property
    def y_ticks(self) -> list[Tick]:
        """Marks of the vertical axis."""
        return self.up.ticks(6)


MEASURED = ("ck_mean", "ck_ring_mean", "cd45_mean", "cd45_ring_mean", "cd45_nucleus_mean")
"""Columns of cells that `with_contrast` needs."""


def with_contrast(cells: pd.DataFrame) -> pd.DataFrame:
    """Return the cells with CK and CD45 as the calls see them, above the cell's own surroundings."""
    return cells.assign(**{f"{role}_contrast": contrast_of(cells, role) for role in ("ck", "cd45")})


def scatters(
    seen: pd.DataFrame,
    frames: pd.DataFrame,
    marked: Sequence[Row],
    reference: CallsReference | None,
    names: Mapping[str, str] = NAMES,
) -> list[Scatter]:
    """Return CK against CD45, and CK against diameter.

    Parameters
    ----------
    seen : DataFrame
        The calls with their cells' features (`candidates.beside`), from `with_contrast`.
    frames : DataFrame
    marked : sequence of mapping
        The candidates that are drawn one by one, as rows of calls and cells.
    reference : CallsReference, optional
        Without it no gate is drawn.
    names : mapping of str to str, optional
        What the channels are called, by role.
    """
    if seen.empty:
        return []
    ck, cd45 = (
        Quantity(f"{role}_contrast", f"{names[role]} above the cell's surroundings, counts", _noise(frames, role))
        for role in ("ck", "cd45")
    )
    size = Quantity("equivalent_diameter_um", "diameter, µm", None)
    gates = reference.gates if reference else {}
    bend = reference.ck_by_cd45 if reference else ()
    others = ~_among(seen, marked)
    return [
        _scatter(f"{names['ck']} against {names['cd45']}", seen, others, marked, cd45, ck, bend, {}),
        _scatter(f"{names['ck']} against size", seen, others, marked, size, ck, [], gates),
    ]


def _among(seen: pd.DataFrame, marked: Sequence[Row]) -> NDArray[np.bool_]:
    """Return which rows are those of `marked`. A cell is one number: millions of pairs of names take gigabytes."""
    frame, names = pd.factorize(seen["frame"])
    cell = seen["cell"].to_numpy(np.int64)
    step = int(cell.max()) + 1
    place = {str(name): at * step for at, name in enumerate(names)}
    return np.isin(frame * step + cell, [place[str(row["frame"])] + int(row["cell"]) for row in marked])


def _noise(frames: pd.DataFrame, role: str) -> float:
    values = frames[f"{role}_noise"].dropna() if f"{role}_noise" in frames else pd.Series(dtype=float)
    return max(1.0, float(values.median())) if len(values) else 1.0


def _scatter(
    title: str,
    data: pd.DataFrame,
    others: NDArray[np.bool_],
    marked: Sequence[Row],
    x: Quantity,
    y: Quantity,
    bend: Sequence[Sequence[float]],
    gates: Mapping[str, Gate],
) -> Scatter:
    across, up = (
        _axis(data[q.column], [p[i] for p in bend], q, *ends)
        for i, q, ends in ((0, x, (LEFT, RIGHT)), (1, y, (BOTTOM, TOP)))
    )
    points = [Mark(across(row[x.column]), up(row[y.column]), row) for row in reversed(marked)]  # those in doubt on top
    cloud = _cloud(*(axis.of(data[q.column].to_numpy(float)[others]) for axis, q in ((across, x), (up, y))))
    lines = [*_bent(bend, across, up), *_straight(gates, x, y, across, up)]
    return Scatter(title, x, y, across, up, cloud, points, int(others.sum()), lines)


def _axis(values: "pd.Series[float]", gate: Sequence[float], quantity: Quantity, start: float, end: float) -> Axis:
    low, high = min(0.0, float(values.min())), max([float(values.max()), *gate]) * 1.1 + 1e-9
    return Axis(low, high, start, end, linear_to=quantity.noise)


def _bent(bend: Sequence[Sequence[float]], across: Axis, up: Axis) -> list[Markup]:
    """Return the edge of where CTCs lie: along the line of CK by CD45 and up where CD45 ends it."""
    if not bend:
        return []
    corner = [(LEFT, up(bend[0][1])), *((across(x), up(y)) for x, y in bend), (across(bend[-1][0]), TOP)]
    return [path(corner)]


def _straight(gates: Mapping[str, Gate], x: Quantity, y: Quantity, across: Axis, up: Axis) -> list[Markup]:
    """Return the gates of the two quantities, those that lie inside the plot."""
    lines = []
    for _, gate in sorted(gates.items()):
        limit = gate.threshold
        if gate.feature == x.column and across.low < limit < across.high:
            lines.append(path([(across(limit), BOTTOM), (across(limit), TOP)]))
        if gate.feature == y.column and up.low < limit < up.high:
            lines.append(path([(LEFT, up(limit)), (RIGHT, up(limit))]))
    return lines


def _cloud(xs: NDArray[np.float64], ys: NDArray[np.float64]) -> list[Cloud]:
    """Return the density of points in user units: a page holds some hundred squares, however many cells there are."""
    if not len(xs):
        return []
    number, x_edges, y_edges = np.histogram2d(xs, ys, bins=CLOUD_BINS, range=[[LEFT, RIGHT], [TOP, BOTTOM]])
    width, height = x_edges[1] - x_edges[0], y_edges[1] - y_edges[0]
    shade = 0.15 + 0.65 * np.log1p(number) / np.log1p(number.max())
    wide, high = round(width, 1), round(height, 1)
    return [
        Cloud(round(x_edges[i], 1), round(y_edges[j], 1), wide, high, round(shade[i, j], 2), int(number[i, j]))
        for i, j in zip(*np.nonzero(number), strict=True)
    ]
