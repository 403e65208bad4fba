"""The verb of this room: simulate."""

import argparse
from pathlib import Path

from ctcascade.data.command_line import Verbs, add_files, add_lists_of_files


def register(verbs: Verbs) -> None:
    """Add the verb of this room."""
    verb = verbs.add("simulate", _simulate, "metastatic cascade of a patient, conditioned on the counts")
    add_lists_of_files(verb, "--counts")
    add_files(verb, "--out")
    about = "checks of the samples: no risk rests on a sample that fails them"
    verb.add_argument("--quality", type=Path, nargs="+", default=[], metavar="FILE", help=about)
    about = "charts of the controls, where some were made with the same assay and lot"
    verb.add_argument("--controls", type=Path, metavar="FILE", help=about)
    verb.add_argument("--what-if", type=Path, metavar="FILE", help="YAML of scenarios to set beside it (see docs)")


def _simulate(args: argparse.Namespace) -> None:
    from ctcascade.cascade import simulate
    from ctcascade.study import jobs

    job = jobs.read(jobs.SimulateJob, args.settings)
    simulate.simulate(job, args.counts, args.out, args.what_if, args.quality, args.controls)
