"""The verbs of this room: count, quality, operator, controls, review, calibrate."""

import argparse
from pathlib import Path

from ctcascade.data.command_line import Verbs, add_base, add_files, add_folder, add_lists_of_files
from ctcascade.data.errors import refuse


def register(verbs: Verbs) -> None:
    """Add the verbs of this room."""
    verb = verbs.add("count", _count, "counts per 7.5 mL with intervals")
    add_files(verb, "--frames", "--calls", "--out")
    verb.add_argument("--cells", type=Path, metavar="FILE", help="for the CTCs' diameters; needed with --reviews")
    verb.add_argument("--reviews", type=Path, nargs="*", default=[], metavar="FILE", help="SAMPLE.REVIEWER.csv")

    verb = verbs.add("quality", _quality, "a sample's checks, each with its limits")
    add_files(verb, "--frames", "--cells", "--calls", "--out")

    text = "the calls of the scanner's operator, where there are any, beside the classifier's"
    verb = verbs.add("operator", _operator, text)
    add_base(verb)
    add_files(verb, "--frames", "--calls", "--out")

    verb = verbs.add("controls", _controls, "control samples over time: limits and a verdict on each")
    for kind in ("counts", "quality"):
        verb.add_argument(f"--{kind}", type=Path, nargs="*", default=[], metavar="FILE", help="of each, in one order")
    add_files(verb, "--out")

    verb = verbs.add("review", _review, "take reviews over to another run of the same sample", settings=False)
    add_lists_of_files(verb, "--carry", meaning="SAMPLE.REVIEWER.csv of an earlier run")
    add_files(verb, "--frames", "--calls", meaning="table of the present run")
    add_folder(verb, "--out", "folder for the new files")

    text = "an assay's own calibration of p_ctc from reviewed cells, and the cells to label next"
    verb = verbs.add("calibrate", _calibrate, text)
    add_lists_of_files(verb, "--calls", meaning="of all samples of the assay")
    add_lists_of_files(verb, "--reviews", meaning="SAMPLE.REVIEWER.csv about them", at_least_one=False)
    add_files(verb, "--out", "--next")


def _calibrate(args: argparse.Namespace) -> None:
    from ctcascade.counting import local_calibration
    from ctcascade.study import jobs

    job = jobs.read(jobs.CalibrateJob, args.settings)
    local_calibration.calibrate(job, args.calls, args.reviews, args.out, args.next)


def _count(args: argparse.Namespace) -> None:
    from ctcascade.counting import count
    from ctcascade.study import jobs

    if args.reviews and not args.cells:
        refuse("--cells", "", "no table", "the sample's cells, with --reviews", "add --cells FILE")
    count.count(jobs.read(jobs.CountJob, args.settings), args.frames, args.calls, args.out, args.cells, args.reviews)


def _quality(args: argparse.Namespace) -> None:
    from ctcascade.counting import quality
    from ctcascade.study import jobs

    quality.quality(jobs.read(jobs.QualityJob, args.settings), args.frames, args.cells, args.calls, args.out)


def _operator(args: argparse.Namespace) -> None:
    from ctcascade.counting import operator
    from ctcascade.study import jobs

    job = jobs.read(jobs.OperatorJob, args.settings)
    operator.compare_with_operator(job, args.base, args.frames, args.calls, args.out)


def _controls(args: argparse.Namespace) -> None:
    from ctcascade.counting import controls
    from ctcascade.study import jobs

    controls.judge_controls(jobs.read(jobs.ControlsJob, args.settings), args.counts, args.quality, args.out)


def _review(args: argparse.Namespace) -> None:
    from ctcascade.counting import earlier_reviews

    for done in earlier_reviews.carry_over(args.carry, args.frames, args.calls, args.out):
        print(f"{done.file}: {done.n_carried} cells carried over, {len(done.lost)} to review again")
        for line in done.lost:
            print(f"  {line}")
