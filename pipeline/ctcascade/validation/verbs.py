"""The verbs of this room: check, init, verify, spike, recovery, replicates, validation, cohort, phantom."""

import argparse
import sys
from pathlib import Path

from ctcascade.data.command_line import Verbs, add_base, add_files, add_folder, add_lists_of_files


def register(verbs: Verbs) -> None:
    """Add the verbs of this room."""
    verb = verbs.add("check", _check, "check sheets, assays and settings, and say all that is wrong", settings=False)
    text = "settings over config/config.yaml, as of snakemake"
    verb.add_argument("--configfile", type=Path, nargs="+", default=[], metavar="FILE", help=text)
    verb.add_argument("--config", type=_setting, nargs="+", default=[], metavar="NAME=VALUE", help="as of snakemake")
    text = "folder for a picture of the first frame of each sample, every channel with a scale bar"
    verb.add_argument("--preview", type=Path, metavar="DIR", help=text)

    text = "sheets and an assay for a folder of images, with marks for what a person has to say"
    verb = verbs.add("init", _init, text, settings=False)
    verb.add_argument("folder", type=Path, metavar="FOLDER", help="images of a sample, or a sub-folder for each")
    verb.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="where they are written (here)")

    verb = verbs.add("verify", _verify, "say of each result of a run whether it is what it claims", settings=False)
    verb.add_argument("results", type=Path, metavar="DIR", help="folder of results")
    text = "compare the images too; they are looked for beside the sample sheet, whose folder this is"
    verb.add_argument("--images", type=Path, metavar="DIR", help=text)

    verb = verbs.add("spike", _spike, "paste phantom CTCs of known number into frames without any")
    add_base(verb)
    add_folder(verb, "--images", "folder for the spiked frames")
    add_files(verb, "--spiked")

    text = "what of a spike-in was found and called; sensitivity and background for the assay"
    verb = verbs.add("recovery", _recovery, text)
    add_files(verb, "--spiked")
    add_lists_of_files(verb, "--calls", meaning="of each level, in order")
    add_files(verb, "--out", "--out-assay")

    verb = verbs.add(
        "replicates", _replicates, "phantom CTCs of known number in many in-silico tubes, found and called"
    )
    add_base(verb)
    add_folder(verb, "--images", "folder for the frames of the tubes")
    add_files(verb, "--out")

    text = "limits, linearity, precision and carry-over of an assay, from tubes of known content"
    verb = verbs.add("validation", _validation, text)
    add_lists_of_files(verb, "--counts", meaning="of each known tube, in the settings' order", at_least_one=False)
    add_files(verb, "--replicates", "--out", "--out-assay")

    verb = verbs.add("cohort", _cohort, "follow-up of the patients, compared with what was predicted")
    add_lists_of_files(verb, "--counts", meaning="of each patient's first sample", at_least_one=False)
    add_lists_of_files(verb, "--prognosis", meaning="of each patient, in one order", at_least_one=False)
    text = "prognosis.json of all patients, for the end points of a trial"
    verb.add_argument("--everyone", type=Path, nargs="*", default=[], metavar="FILE", help=text)
    add_files(verb, "--out")

    verb = verbs.add("phantom", _phantom, "write synthetic slides of known truth", settings=False)
    add_folder(verb, "--out")


def _check(args: argparse.Namespace) -> None:
    from ctcascade.data.errors import refuse_all
    from ctcascade.validation import before_run, preview

    checked = before_run.check(args.configfile, dict(args.config))
    if args.preview:
        preview.write(args.preview, checked.looked)
    for note in checked.notes:
        print(note, file=sys.stderr)
    for line in checked.lines:
        print(line)
    refuse_all(checked.faults)


def _init(args: argparse.Namespace) -> None:
    from ctcascade.validation import begin

    for line in begin.begin(args.folder, args.out):
        print(line)


def _verify(args: argparse.Namespace) -> None:
    from ctcascade.data.errors import refuse
    from ctcascade.validation.verify import verify

    lines, wrong = verify(args.results, args.images)
    for line in lines:
        print(line)
    if wrong:
        todo = "start the run again: what differs is made again"
        refuse(args.results, "", f"{wrong} of {len(lines)} results that are not what they claim", "none", todo)


def _spike(args: argparse.Namespace) -> None:
    from ctcascade.study import jobs
    from ctcascade.validation import spike_in

    spike_in.spike(jobs.read(jobs.SpikeJob, args.settings), args.base, args.images, args.spiked)


def _recovery(args: argparse.Namespace) -> None:
    from ctcascade.study import jobs
    from ctcascade.validation import recovery

    recovery.recovery(jobs.read(jobs.RecoveryJob, args.settings), args.spiked, args.calls, args.out, args.out_assay)


def _replicates(args: argparse.Namespace) -> None:
    from ctcascade.study import jobs
    from ctcascade.validation import replicates

    replicates.replicate(jobs.read(jobs.ReplicatesJob, args.settings), args.base, args.images, args.out)


def _validation(args: argparse.Namespace) -> None:
    from ctcascade.study import jobs
    from ctcascade.validation import analytical

    job = jobs.read(jobs.ValidationJob, args.settings)
    analytical.validate(job, args.counts, args.replicates, args.out, args.out_assay)


def _cohort(args: argparse.Namespace) -> None:
    from ctcascade.study import jobs
    from ctcascade.validation import follow_up

    follow_up.cohort(jobs.read(jobs.CohortJob, args.settings), args.counts, args.prognosis, args.out, args.everyone)


def _phantom(args: argparse.Namespace) -> None:
    from ctcascade.validation import demo

    demo.write_demo(args.out)


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value
