"""The table of a method-validation paper: each characteristic with its definition, its samples and what was found.

Order and wording of the definitions follow table 1 of Gupta P et al., J Circ Biomark 2019;8:1849454419899214
(doi:10.1177/1849454419899214), with limit of quantitation and carry-over added.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ctcascade.data.results import (
    BlankLimit,
    CarryOver,
    Characteristic,
    DetectionLimit,
    LinearityFit,
    Precision,
    QuantitationLimit,
    RecoveryAtLevel,
)
from ctcascade.data.results.analytical import Basis
from ctcascade.validation.tubes import Tube

_WHERE = {
    "controls": "of the laboratory",
    "frames": "in silico, phantom cells in frames of healthy donors",
    "phantom": "in silico, phantom cells in phantom frames",
}


@dataclass(frozen=True)
class Figures:
    """What was found of each characteristic."""

    levels: tuple[RecoveryAtLevel, ...]
    blank: BlankLimit
    detection: DetectionLimit
    quantitation: QuantitationLimit
    linearity: LinearityFit | None
    precision: tuple[Precision, ...]
    carry_over: CarryOver | None
    why_no_carry_over: str


def characteristics(
    basis: Basis,
    basis_of_blanks: Basis,
    samples: Sequence[str],
    used: Sequence[Tube],
    blanks: Sequence[Tube],
    figures: Figures,
    doubt: str = "",
) -> tuple[Characteristic, ...]:
    """Return the rows of the table, in the order of a method-validation paper; `doubt` is what recovery leaves open."""
    levels, linearity, detection = figures.levels, figures.linearity, figures.detection
    blank, quantitation, carry_over = figures.blank, figures.quantitation, figures.carry_over
    numbers = sorted(t.expected or 0.0 for t in used)
    spiked = f"{len(used)} tubes of {numbers[0]:.3g} to {numbers[-1]:.3g} tumour cells, {_WHERE[basis]}"
    if basis == "frames":
        spiked += f" ({', '.join(samples)})"
    empty = f"{len(blanks)} tubes without tumour cells, {_WHERE[basis_of_blanks]}"
    shares = [level.recovery.estimate for level in levels]
    row = Characteristic
    return (
        row(
            name="Accuracy (recovery)",
            definition="cells called of cells put in, at each number",
            samples=spiked,
            found=f"{min(shares):.0%} to {max(shares):.0%} at {len(levels)} numbers of cells{doubt}",
            basis=basis,
        ),
        row(
            name="Linearity",
            definition="called over put in is a straight line: deviation of each number from it",
            samples=spiked,
            found=_straight(linearity),
            basis=basis if linearity else None,
        ),
        row(
            name="Limit of detection",
            definition=f"cells in a tube that give more than the limit of blank in {detection.level:.0%} of tubes",
            samples=f"{detection.n_low} of these with few cells, and the blanks",
            found=detection.why
            or (f"{detection.by_counts.estimate:.1f} tumour cells in a tube" if detection.by_counts else ""),
            basis=basis if detection.by_counts else None,
        ),
        row(
            name="Limit of blank and specificity",
            definition=f"count that {blank.level:.0%} of blanks do not exceed; share of blanks without any call",
            samples=empty,
            found=f"{'none' if blank.count is None else blank.count} ({blank.why}); specificity "
            f"{blank.specificity.estimate:.0%} ({blank.specificity.low:.0%} to {blank.specificity.high:.0%})",
            basis=basis_of_blanks,
        ),
        *_precision_rows(figures.precision),
        row(
            name="Limit of quantitation",
            definition=f"cells in a tube from which counts vary by at most {quantitation.cv_wanted:.0%} (SD over mean)",
            samples=spiked,
            found=quantitation.why or f"{quantitation.estimate:.0f} tumour cells in a tube",
            basis=basis if quantitation.estimate is not None else None,
        ),
        row(
            name="Carry-over",
            definition="share of a tube's cells that is found in the next tube",
            samples=f"{carry_over.n_after} blanks after tubes with cells, {carry_over.n_other} others"
            if carry_over
            else "none",
            found=f"{carry_over.share.estimate:.2%} ({carry_over.share.low:.2%} to {carry_over.share.high:.2%})"
            if carry_over
            else figures.why_no_carry_over,
            basis="controls" if carry_over else None,
        ),
    )


def _straight(fit: LinearityFit | None) -> str:
    if fit is None:
        return "fewer than three different numbers of cells"
    said = "shown" if fit.linear else "not shown at every number"
    return (
        f"slope {fit.slope.estimate:.3f} ({fit.slope.low:.3f} to {fit.slope.high:.3f}); deviation of at most "
        f"{fit.allowed:.0%} {said}, {fit.low:.3g} to {fit.high:.3g} cells"
    )


def _precision_rows(found: Sequence[Precision]) -> list[Characteristic]:
    rows = []
    for name, source in (
        ("Precision within run", "within run"),
        ("Precision between runs", "between runs"),
        ("Precision between operators", "between operators"),
        ("Precision, sources not told apart", "all sources together"),
        ("Precision between readers", "between readers"),
    ):
        here = [(p, c) for p in found for c in p.components if c.source == source]
        if not here and source == "all sources together":
            continue
        rows.append(
            Characteristic(
                name=name,
                definition="coefficient of variation of like tubes from this source alone",
                samples="; ".join(f"{p.label}: {p.n_tubes} tubes" for p, _ in here) or "none",
                found="; ".join(
                    f"{c.cv:.0%} ({c.low / p.mean:.0%} to {c.high / p.mean:.0%}) at a mean of {p.mean:.3g}"
                    for p, c in here
                )
                or "not measured: no like tubes of the laboratory tell it apart",
                basis="controls" if here else None,
            )
        )
    return rows
