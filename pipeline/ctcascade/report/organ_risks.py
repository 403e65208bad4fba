"""What a patient's page says of organs: which are known, which may be next if that can be told, and their shades."""

from collections.abc import Container
from dataclasses import dataclass

from ctcascade.data.results import Cascade, Organ, RiskBand
from ctcascade.report.axes import Axis
from ctcascade.report.numbers import is_unsure

HEADLINE_YEARS = "2"
"""The horizon of the risks that stand first on a page."""
RISK_STEPS = (0.01, 0.05, 0.2, 0.5, 0.9)
"""Shares at which the body figure changes its shade."""


@dataclass(frozen=True)
class Shade:
    """An organ in the body figure: its index in cascade.json and its style; hatched where the band is `wide`."""

    index: int
    shade: str
    wide: bool
    known: bool


@dataclass(frozen=True)
class Bar:
    """A mean with its band, in user units."""

    mean: float
    low: float
    high: float


def known(cascade: Cascade) -> dict[str, int]:
    """Return the organs in which the last scan saw a lesion, each with that finding's place in cascade.json."""
    return {organ: place for organ, place in _last_findings(cascade).items() if cascade.findings[place].n_lesions}


def _last_findings(cascade: Cascade) -> dict[str, int]:
    """Return the place of each organ's last finding in cascade.json, of one day one that saw a lesion."""
    last: dict[str, int] = {}
    for place, finding in sorted(enumerate(cascade.findings), key=lambda item: item[1].date):
        if finding.n_lesions or finding.organ not in last or cascade.findings[last[finding.organ]].date < finding.date:
            last[finding.organ] = place
    return last


def seen_free(cascade: Cascade) -> dict[str, int]:
    """Return the organs whose last scan saw no lesion, each with that finding's place in cascade.json."""
    return {organ: place for organ, place in _last_findings(cascade).items() if not cascade.findings[place].n_lesions}


def next_organ(organs: list[tuple[int, Organ]]) -> tuple[int, Organ] | None:
    """Return the organ that may be named as the one most at risk, or None where that cannot be told.

    Parameters
    ----------
    organs : list of (int, Organ)
        Those in question, as `organs` orders them.

    Notes
    -----
    It is named where its own band spans at most half of the scale, and where, of it and each other organ, the mean of
    the one lies outside the band of the other. Bands that hold one another's means differ in nothing but the draw.
    """
    if not organs:
        return None
    first, *others = organs
    own = first[1].p_metastasis[HEADLINE_YEARS]
    rivals = [organ.p_metastasis[HEADLINE_YEARS] for _, organ in others]
    apart = all(own.low > rival.mean and rival.high < own.mean for rival in rivals)
    return first if apart and not is_unsure(own) else None


def risk_class(p: float) -> str:
    """Return the shade of a risk in the body figure."""
    return f"r{sum(p >= step for step in RISK_STEPS)}"


def shades(cascade: Cascade, year: int, known_organs: Container[str] = ()) -> dict[str, Shade]:
    """Return by organ its index in cascade.json and how it is drawn in the body figure."""
    found = {}
    for i, organ in enumerate(cascade.organs):
        band_of, is_known = organ.p_metastasis[str(year)], organ.organ in known_organs
        shade = "known" if is_known else risk_class(band_of.mean)
        found[organ.organ] = Shade(i, shade, not is_known and is_unsure(band_of), is_known)
    return found


def organs(cascade: Cascade) -> list[tuple[int, Organ]]:
    """Return (index in cascade.json, organ), the largest risk at two years first."""
    return sorted(enumerate(cascade.organs), key=lambda item: -item[1].p_metastasis[HEADLINE_YEARS].mean)


def risk_bar(found: RiskBand) -> Bar:
    """Return a risk and its band on an axis from 0 to 100 units."""
    across = Axis(0, 1, 2, 98)
    return Bar(across(found.mean), across(found.low), across(found.high))
