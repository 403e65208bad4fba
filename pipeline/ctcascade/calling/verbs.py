"""The verb of this room: classify."""

import argparse

from ctcascade.data.command_line import Verbs, add_files


def register(verbs: Verbs) -> None:
    """Add the verb of this room."""
    verb = verbs.add("classify", _classify, "call each cell, and group CTCs into clusters")
    add_files(verb, "--frames", "--cells", "--out")


def _classify(args: argparse.Namespace) -> None:
    from ctcascade.calling import classify
    from ctcascade.study import jobs

    classify.classify(jobs.read(jobs.ClassifyJob, args.settings), args.frames, args.cells, args.out)
