"""The verb of this room: prognose."""

import argparse
from pathlib import Path

from ctcascade.data.command_line import Verbs, add_files, add_lists_of_files


def register(verbs: Verbs) -> None:
    """Add the verb of this room."""
    verb = verbs.add("prognose", _prognose, "prognosis of a patient, or the reason why there is none")
    add_lists_of_files(verb, "--counts")
    about = "checks of the samples: no prognosis rests on a sample that fails them"
    verb.add_argument("--quality", type=Path, nargs="+", default=[], metavar="FILE", help=about)
    about = "charts of the controls, where some were made with the same assay and lot"
    verb.add_argument("--controls", type=Path, metavar="FILE", help=about)
    add_files(verb, "--cascade", "--out")


def _prognose(args: argparse.Namespace) -> None:
    from ctcascade.prognosis import prognose
    from ctcascade.study import jobs

    job = jobs.read(jobs.PrognoseJob, args.settings)
    prognose.prognose(job, args.counts, args.cascade, args.out, args.quality, args.controls)
