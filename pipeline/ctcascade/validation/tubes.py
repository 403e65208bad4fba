"""Tubes whose tumour cells are known in number: of the laboratory's controls, or in silico."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from scipy import stats

from ctcascade.data.errors import Fault, plain
from ctcascade.data.results import Counts, TubeCount
from ctcascade.data.vocabulary import CONTROLS, REFERENCE_VOLUME_ML
from ctcascade.study.jobs import KnownTube

_IMPOSSIBLE = 1e-6  # probability of so many calls of so many cells, below which the sheet must be wrong
_LEAST_SEEN = 0.5  # of a tube: with less of it looked at, a blank says little of a tube


@dataclass(frozen=True)
class Tube:
    """One tube.

    Attributes
    ----------
    name : str
    expected : float or None
        Tumour cells in what was looked at; None for a control of unknown number.
    nominal : int or None
        Tumour cells in the whole tube.
    observed : int
        CTCs called.
    kind : str
        ``blank``, ``spiked``, or the role of a control.
    blood_tubes : float
        Blood looked at, in tubes of 7.5 mL; 0 where it is no blood.
    lot, run, operator : str or None
    position : int or None
    readers : tuple of int
        CTCs by each reviewer alone.
    """

    name: str
    expected: float | None
    nominal: int | None
    observed: int
    kind: str
    blood_tubes: float = 0.0
    lot: str | None = None
    run: str | None = None
    operator: str | None = None
    position: int | None = None
    readers: tuple[int, ...] = ()

    @property
    def group(self) -> tuple[str, str]:
        """What tubes that should give the same count have in common."""
        return (
            (self.kind, self.lot or "") if self.kind in CONTROLS and self.nominal is None else ("", str(self.nominal))
        )

    @property
    def as_result(self) -> TubeCount:
        """The tube as it is written."""
        return TubeCount(
            tube=self.name,
            expected=self.expected,
            observed=self.observed,
            lot=self.lot,
            run=self.run,
            operator=self.operator,
        )


def of_controls(known: Sequence[KnownTube], counts: Mapping[str, Counts]) -> tuple[list[Tube], list[str]]:
    """Return the tubes that can be used, and of each other one why not.

    Parameters
    ----------
    known : sequence of KnownTube
        As the sheet describes them.
    counts : mapping of str to Counts
        By sample.
    """
    used, left_out = [], []
    for about in known:
        counted = counts[about.sample]
        seen = counted.imaged_fraction * counted.sampled_fraction
        if counted.status != "ok" or counted.n_ctc is None:
            left_out.append(f"{about.sample}: not evaluable")
        elif seen < _LEAST_SEEN:
            left_out.append(f"{about.sample}: {seen:.0%} of the tube was looked at, less than {_LEAST_SEEN:.0%}")
        else:
            used.append(_tube(about, counted, counted.n_ctc, seen))
    return used, left_out


def in_silico(tubes: Iterable[TubeCount]) -> list[Tube]:
    """Return in-silico tubes, which no blood, run or operator stands behind."""
    return [
        Tube(t.tube, t.expected, int(t.expected or 0), t.observed, "spiked" if t.expected else "blank") for t in tubes
    ]


def impossible(tubes: Iterable[Tube], false_per_tube: float, sheet: str) -> list[Fault]:
    """Return a fault for each tube in which far more cells were called than can have been put into it."""
    faults = []
    for tube in tubes:
        if tube.expected is None or tube.kind == "blank":
            continue
        most = tube.expected + false_per_tube
        if stats.poisson.sf(tube.observed - 1, most) < _IMPOSSIBLE:
            found = f"{tube.nominal} tumour cells spiked, {tube.observed} called"
            wanted = f"a spike that can give so many: at most {stats.poisson.isf(_IMPOSSIBLE, most):.0f} are credible"
            faults.append(Fault(sheet, f"{plain(tube.name)}, spiked_ctc", found, wanted, "fix spiked_ctc"))
    return faults


def _tube(about: KnownTube, counted: Counts, n_ctc: int, seen: float) -> Tube:
    nominal = 0 if about.role == "healthy" else about.spiked_ctc
    kind = "blank" if nominal == 0 else about.role if about.role in CONTROLS else "spiked"
    reviewers = counted.review.reviewers if counted.review else ()
    return Tube(
        name=about.sample,
        expected=None if nominal is None else nominal * seen,
        nominal=nominal,
        observed=n_ctc,
        kind=str(kind),
        blood_tubes=counted.blood_analysed_ml / REFERENCE_VOLUME_ML,
        lot=about.lot,
        run=about.run or f"day {about.collected}",
        operator=about.operator,
        position=about.position,
        readers=tuple(r.n_ctc for r in reviewers if r.n_ctc is not None),
    )
