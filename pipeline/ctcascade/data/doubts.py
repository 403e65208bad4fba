"""What speaks against a sample, read from its own checks and from the controls of its run: for every later stage."""

from collections.abc import Iterable, Mapping, Sequence

from ctcascade.data.results import Check, Controls, Counts, Quality
from ctcascade.data.vocabulary import CHECK_NAMES


def doubts(counts: Counts, quality: Quality, controls: Controls | None) -> list[str]:
    """Return what speaks against a sample: its own checks that fail, and failed controls of its assay and lot.

    Parameters
    ----------
    counts, quality : Counts, Quality
        Results of the sample.
    controls : Controls, optional
        None where no control was made with the sample's assay and lot.
    """
    own = [
        f"{CHECK_NAMES.get(check.check, check.check.replace('_', ' '))}: {_said(check)}"
        for check in quality.checks
        if check.state == "fail" and check.value is not None
    ]
    failed = [
        control
        for chart in (controls.charts if controls else ())
        if (chart.assay, chart.lot) == (counts.assay, quality.lot or None)
        for control in chart.controls
        if control.state == "fail"
    ]
    return own + [x.why if x.sample == quality.sample else f"control {x.sample} failed" for x in failed]


def of_samples(
    samples: Iterable[Counts], checks: Mapping[str, Quality], controls: Controls | None
) -> dict[str, list[str] | None]:
    """Return what speaks against each sample; None where its checks are not given."""
    found: dict[str, list[str] | None] = {}
    for counts in samples:
        quality = checks.get(counts.sample)
        against = doubts(counts, quality, controls) if quality else None
        fails = quality is not None and quality.status == "fail"
        found[counts.sample] = against or (["its quality fails"] if fails else against)
    return found


def why_withheld(samples: Iterable[Counts], against: Mapping[str, Sequence[str] | None]) -> str:
    """Return why no risk can be given, in words: a sample that was counted fails its checks; empty where none does.

    Every sample moves the risks, so that they rest on a failed check where any of them does.
    """
    failing = [c.sample for c in samples if c.status == "ok" and against.get(c.sample)]
    if not failing:
        return ""
    one = len(failing) == 1
    return (
        f"{'sample' if one else 'samples'} {', '.join(failing)}, on which the risks would rest, "
        f"{'fails its' if one else 'fail their'} quality checks"
    )


def _said(check: Check) -> str:
    if check.value is None:
        return "not measured"
    return f"{100 * check.value:.3g} %" if check.check.endswith("_share") else f"{check.value:.3g}"


def unmeasured(quality: Quality) -> list[str]:
    """Return the names of checks that were not measured, so that nothing is known of what they would have said."""
    return [CHECK_NAMES.get(c.check, c.check.replace("_", " ")) for c in quality.checks if c.state == "not_measured"]
