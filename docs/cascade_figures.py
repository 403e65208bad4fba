"""Draw the figures of cascade.md from the model and the evidence: python docs/cascade_figures.py."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calibration import recurrence
from ctcascade import evidence
from ctcascade.cascade import conditioning
from ctcascade.cascade.parameters import Centre, Draws

HERE = Path(__file__).parent
DRAWS, SEED = 4000, 1
WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 520, 300, 62, 46, 16, 12
INK, SOFT, COLOURS = "#222", "#999", ("#1b6e8c", "#c05621", "#4a7c3a", "#7a4b94")

Floats = NDArray[np.float64]


class Plot:
    """A figure of two axes, as SVG."""

    def __init__(self, x: Sequence[float], y: Sequence[float], x_name: str, y_name: str, *, log: bool = False) -> None:
        self.x_limits, self.y_limits, self.log = (x[0], x[-1]), (y[0], y[-1]), log
        self.parts = [
            f'<path d="M{LEFT} {TOP}V{HEIGHT - BOTTOM}H{WIDTH - RIGHT}" fill="none" stroke="{INK}"/>',
            f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 8}" text-anchor="middle">{x_name}</text>',
            f'<text transform="translate(14 {(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)" '
            f'text-anchor="middle">{y_name}</text>',
        ]
        for tick in x if x_name else ():
            self.text(tick, self.y_limits[0], f"{tick:g}", dy=16, anchor="middle")
        for tick in y:
            self.text(self.x_limits[0], tick, f"{tick:g}", dx=-6, dy=4, anchor="end")

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Return the place of a point in the picture."""
        low, high = self.y_limits
        up = np.log(max(y, low) / low) / np.log(high / low) if self.log else (y - low) / (high - low)
        along = (x - self.x_limits[0]) / (self.x_limits[1] - self.x_limits[0])
        return LEFT + along * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - BOTTOM - TOP)

    def line(self, x: Floats, y: Floats, colour: str, *, dashed: bool = False) -> None:
        """Draw a line through points."""
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in (self.at(*p) for p in zip(x.tolist(), y.tolist(), strict=True)))
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        self.parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>')

    def point(self, x: float, y: float, colour: str, low: float | None = None, high: float | None = None) -> None:
        """Draw a point, with its interval where it has one."""
        a, b = self.at(x, y)
        if low is not None and high is not None:
            span = f"M{a:.1f} {self.at(x, low)[1]:.1f}V{self.at(x, high)[1]:.1f}"
            self.parts.append(f'<path d="{span}" stroke="{colour}" stroke-width="2"/>')
        self.parts.append(f'<circle cx="{a:.1f}" cy="{b:.1f}" r="4.5" fill="{colour}"/>')

    def text(
        self, x: float, y: float, words: str, *, dx: float = 0, dy: float = 0, anchor: str = "start", fill: str = INK
    ) -> None:
        """Write words at a point."""
        a, b = self.at(x, y)
        place = f'x="{a + dx:.1f}" y="{b + dy:.1f}"'
        self.parts.append(f'<text {place} text-anchor="{anchor}" fill="{fill}">{words}</text>')

    def save(self, name: str, title: str) -> None:
        """Write the figure beside this file."""
        head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}"'
        style = ' font-family="sans-serif" font-size="12">\n<rect width="100%" height="100%" fill="#fff"/>\n'
        (HERE / f"{name}.svg").write_text(head + style + "\n".join(self.parts) + "\n</svg>\n", encoding="utf-8")


def recurrences() -> None:
    """Draw when recurrences of early cancers come, of each hundred patients of a year."""
    plot = Plot((0, 5, 10, 15, 20), (0, 2, 4, 6, 8), "years after local therapy", "per cent a year")
    years = np.arange(0, 21)
    count = recurrence.early_breast(DRAWS)
    central = evidence.load("parameters").central
    unseen = float(central["unseen_shedding"]) * count.unseen
    kinds = (("breast", None, "breast"), ("breast", "tnbc", "breast, triple-negative"), ("colon", None, "colon"))
    for i, (primary, subtype, label) in enumerate(kinds):
        model = conditioning.build(
            primary, [recurrence.tube(0)], Draws(SEED, DRAWS), sex="female", early=True, subtype=subtype
        )
        seen = model.lesions(years.tolist()).sum(axis=2) / model.shedding.levels[0]
        free, k = np.zeros(len(years)), model.frailty_shape
        for least, share in count.shares.items():
            none = np.exp(-k * np.log1p(seen * (count.levels[least] + unseen) / k)).mean(axis=1)
            free += share * none / none[0]
        plot.line(years[1:] - 0.5, -100 * np.diff(free) / free[:-1], COLOURS[i])
        plot.text(9.5, 7.6 - 0.6 * i, label, fill=COLOURS[i])
    plot.save("cascade-recurrences", "Yearly hazard of recurrence by cancer")


def hazard_ratios() -> None:
    """Draw the fitted hazard ratios by count beside the published ones."""
    plot = Plot((0, 1, 2, 3, 4), (0.5, 1, 2, 5, 10), "", "hazard ratio against no cell", log=True)
    patients = recurrence.early_breast(DRAWS)
    rate, unseen = (float(evidence.load("parameters").central[name]) for name in ("founding_rate", "unseen_shedding"))
    targets = evidence.load("targets")
    for i, least in enumerate(recurrence.CLASSES[1:]):
        row = targets.loc[f"hazard_ratio_{least}"]
        plot.point(i + 0.4, row.central, SOFT, row.low, row.high)
        plot.point(i + 0.55, patients.hazard_ratio(rate, unseen, least), COLOURS[0])
        plot.text(i + 0.48, 0.5, ("1 cell", "2 cells", "3 to 4", "5 or more")[i], dy=32, anchor="middle")
    plot.text(0.1, 8.5, "published, 95 %", fill=SOFT)
    plot.text(0.1, 6.8, "fitted", fill=COLOURS[0])
    plot.save("cascade-hazard-ratios", "Hazard ratios by count of cells")


def growth() -> None:
    """Draw the size of a lesion of middle luck over its age, and what shows it."""
    plot = Plot((0, 1, 2, 3, 4), (0.01, 0.1, 1, 10, 100), "years since the growth began", "diameter, mm", log=True)
    model = conditioning.build("colon", [recurrence.tube(5)], Centre(), sex="female", early=True)
    ages = np.linspace(0.02, 4, 120)
    for i, organ in enumerate(("lung", "liver", "brain")):
        own = model.growth.of_organ(model.organs.index(organ))
        luck = np.full(len(ages), np.log(2))
        cells = own.cells(ages[None, None, :], luck)[0, 0]
        density = float(model.detection.cell_density_per_mm3[0])
        diameter = np.cbrt(cells * 6 / np.pi / density)
        plot.line(ages, diameter, COLOURS[i])
        middle = float(model.detection.d50_mm[0, model.organs.index(organ)])
        shown = float(np.interp(np.log(middle), np.log(diameter), ages))
        plot.point(shown, middle, COLOURS[i])
        best = conditioning.best_modality(organ)
        plot.text(2.2, 0.16 / 2**i, f"{organ}: half are shown at {middle:g} mm ({best})", fill=COLOURS[i])
    plot.save("cascade-growth", "Diameter of a lesion over time")


if __name__ == "__main__":
    recurrences()
    hazard_ratios()
    growth()
