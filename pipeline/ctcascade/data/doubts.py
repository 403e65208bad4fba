"""What speaks against a sample, read from its own checks and from the controls of its run: for every later stage."""

from ctcascade.data.results import Controls, Counts, Quality


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
        f"{check.check.replace('_', ' ')} {check.value:.3g}"
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
