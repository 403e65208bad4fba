"""How a number is written on a page, and where it came from: the exact value and its place in a result stand beside it.

A number that stands in a result is printed only through `Traced`, so that every figure on a page can be traced.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from markupsafe import Markup

from ctcascade.data.errors import plain
from ctcascade.data.results import Interval, ResultFile, RiskBand

R = TypeVar("R", bound=ResultFile)
_WIDE, _TENFOLD = 4.0, 10.0
_HALF = 0.5


@dataclass(frozen=True)
class Traced(Generic[R]):
    """A result whose numbers reach the page with their origin beside them.

    Parameters
    ----------
    of : str
        Which result it is: ``counts/SAMPLE``, ``cascade/PATIENT`` or ``prognosis/PATIENT``.
    data : ResultFile
        As read by `store.read_json`.
    """

    of: str
    data: R

    def get(self, path: str) -> Any:
        """Return what stands at a dotted path (items by their index), or None where a step on the way is null."""
        found: Any = self.data
        for step in path.split("."):
            if found is None:
                return None
            if isinstance(found, tuple):
                found = found[int(step)]
            else:
                found = found[step] if isinstance(found, dict) else getattr(found, step)
        return found

    def number(self, path: str, style: str = "amount", tag: str = "span") -> Markup:
        """Return the number at `path` as HTML text in one of `STYLES`, with its origin and exact value.

        `tag` is ``tspan`` inside a drawing.
        """
        value = self.get(path)
        if value is None:
            return Markup('<span class="none">not available</span>')
        return Markup('<{0} class="n" data-of="{1}" data-key="{2}" data-value="{3}">{4}</{0}>').format(
            tag, plain(self.of), path, json.dumps(value), STYLES[style](value)
        )

    def interval(self, path: str, style: str = "amount", low: str = "low", high: str = "high") -> Markup:
        """Return ``low to high`` of the object at `path`."""
        ends = (self.number(f"{path}.{end}", style) for end in (low, high))
        return Markup("{} to {}").format(*ends)


def is_wide(interval: Interval) -> bool:
    """Return whether an interval says more than its estimate, and so comes first.

    It does where nothing was seen, where its ends differ more than tenfold, or where it is more than four times as long
    as the estimate.
    """
    tenfold = interval.high > _TENFOLD * interval.low
    return interval.estimate == 0 or tenfold or interval.high - interval.low > _WIDE * interval.estimate


def is_unsure(risk: RiskBand) -> bool:
    """Return whether the band of a risk spans more than half of the scale from 0 to 1."""
    return risk.high - risk.low > _HALF


def amount(value: float) -> str:
    """Return a quantity with two significant digits, or three in front of the point up to a thousand."""
    if value == 0:
        return "0"
    if value < 0.001 or value >= 999_500:
        digits, _, exponent = f"{value:.1e}".partition("e")
        return f"{digits} × 10{str(int(exponent)).translate(_SUPERSCRIPT)}"
    if value < 1:
        return f"{value:.2g}"
    if value < 9.95:
        return f"{value:.1f}"
    return whole(value if value < 999.5 else float(f"{value:.1e}"))


def kappa(value: float) -> str:
    """Return a coefficient of agreement, -1 to 1, with two digits."""
    return f"{value:.2f}".replace("-", "−")


def signed(value: float) -> str:
    """Return a fitted number of either sign with three digits behind the point."""
    return f"{round(value, 3) + 0.0:.3f}".replace("-", "−")  # no minus before a zero


def ratio(value: float) -> str:
    """Return a ratio around 1 with two digits behind the point, or three significant ones from ten on."""
    return f"{value:.2f}" if value < 9.995 else amount(value)


def whole(value: float) -> str:
    """Return a count with thin spaces between the thousands."""
    return f"{value:,.0f}".replace(",", "\u2009")


def percent(value: float) -> str:
    """Return a share as per cent; the ends are named as limits, never as 0 or 100 %, unless they are just that."""
    if value in (0, 1):
        text = f"{100 * value:.0f}"
    elif value < 0.0001:
        text = "<\u202f0.01"
    elif value > 0.999:
        text = ">\u202f99.9"
    else:
        digits = 2 if value < 0.00995 else 1 if value < 0.0995 or value > 0.99 else 0
        text = f"{100 * value:.{digits}f}"
    return f"{text}\u202f%"


def of_hundred(value: float) -> str:
    """Return a share as whole people of 100."""
    return f"{100 * value:.0f}"


STYLES: dict[str, Callable[[Any], str]] = {
    "amount": amount,
    "whole": whole,
    "percent": percent,
    "of_hundred": of_hundred,
    "kappa": kappa,
    "signed": signed,
    "ratio": ratio,
}
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
