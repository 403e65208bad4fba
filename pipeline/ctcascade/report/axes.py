"""Scales, ticks and paths of the drawings: data coordinates in, SVG user units out, rounded so that bytes are equal."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from ctcascade.data.results import Interval
from ctcascade.data.tables import Row


@dataclass(frozen=True)
class Mark:
    """A candidate in a drawing, in user units, with its row of the calls."""

    x: float
    y: float
    call: Row


@dataclass(frozen=True)
class Tick:
    """A tick mark: where it is in user units, and its label."""

    at: float
    label: Markup

    @classmethod
    def of(cls, at: float, label: object) -> "Tick":
        """Return a mark with a label that is ours: it needs no clean-up, and keeps its narrow spaces."""
        return cls(at, Markup("{}").format(label))


@dataclass(frozen=True)
class Axis:
    """A map from data to user units, linear or (with `linear_to`) linear near zero and logarithmic beyond.

    Parameters
    ----------
    low, high : float
        Data range.
    start, end : float
        User units of its ends; `start > end` for an axis that points up.
    linear_to : float, optional
        Values up to about this size are drawn linearly: background-corrected intensities and counts reach zero, where
        a logarithm has no place for them.
    """

    low: float
    high: float
    start: float
    end: float
    linear_to: float | None = None

    def __call__(self, value: float) -> float:
        """Return the user unit of `value`, held inside the axis."""
        value = min(max(value, self.low), self.high)
        low, high, here = (self._bent(v) for v in (self.low, self.high, value))
        share = (here - low) / (high - low) if high > low else 0.5
        return round(self.start + share * (self.end - self.start), 1)

    def of(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the user unit of each of many values, as the call of one does."""
        low, high, here = (
            np.arcsinh(v / self.linear_to) if self.linear_to else v
            for v in (self.low, self.high, np.clip(values, self.low, self.high))
        )
        share = (here - low) / (high - low) if high > low else np.full(len(values), 0.5)
        return np.asarray(np.round(self.start + share * (self.end - self.start), 1))

    def ticks(self, about: int = 5) -> list[Tick]:
        """Return marks at round values, about `about` of them on a linear axis, one a decade on a bent one."""
        values = _decades(self.low, self.high, self.linear_to) if self.linear_to else _round(self.low, self.high, about)
        return [Tick.of(self(v), _label(v)) for v in values]

    def _bent(self, value: float) -> float:
        return math.asinh(value / self.linear_to) if self.linear_to else value


def path(points: Iterable[tuple[float, float]], closed: bool = False) -> Markup:
    """Return the `d` of an SVG path through points (x, y) in user units: digits only, so it needs no escape."""
    text = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return Markup(f"M{text}{'Z' if closed else ''}" if text else "")  # noqa: S704


def band(xs: Sequence[float], lows: Sequence[float], highs: Sequence[float]) -> Markup:
    """Return the closed path between two curves over the same `xs`, all in user units."""
    return path([*zip(xs, highs, strict=True), *reversed(list(zip(xs, lows, strict=True)))], closed=True)


def ruler(interval: Interval | None) -> Axis | None:
    """Return the axis from zero on which an estimate is drawn with its interval, or None where there is none."""
    return Axis(0, 1.08 * interval.high, 8, 312) if interval else None


def _round(low: float, high: float, about: int) -> list[float]:
    if high <= low:
        return [low]
    raw = (high - low) / about
    size = 10 ** math.floor(math.log10(raw))
    step = next(s * size for s in (1, 2, 5, 10) if s * size >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [i * step for i in range(first, last + 1)]


def _decades(low: float, high: float, linear_to: float) -> list[float]:
    first = math.ceil(math.log10(linear_to))
    last = math.floor(math.log10(high)) if high >= 1e-12 else first - 1
    found = [10.0**k for k in range(first, last + 1)]
    return [v for v in [*(-v for v in reversed(found)), 0.0, *found] if low <= v <= high]


def _label(value: float) -> str:
    text = f"{value:,.10g}" if abs(value) < 1e6 else f"{value:.0e}".replace("e+0", "e")
    return text.replace(",", "\u2009").replace("-", "−")
