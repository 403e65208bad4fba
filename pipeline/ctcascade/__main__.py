"""The command line, ``ctcascade VERB``: the verbs of all rooms, and exit codes (0 good, 1 a bug, 2 bad input)."""

import argparse
import functools
import itertools
import sys
from collections.abc import Sequence

from ctcascade import __version__
from ctcascade.calling import verbs as calling
from ctcascade.cascade import verbs as cascade
from ctcascade.counting import verbs as counting
from ctcascade.data.command_line import Run, Verbs
from ctcascade.data.errors import InputError
from ctcascade.images import verbs as images
from ctcascade.prognosis import verbs as prognosis
from ctcascade.report import verbs as report
from ctcascade.validation import verbs as validation

ROOMS = (validation, images, calling, counting, cascade, prognosis, report)
_THEN = "+"


def main(argv: Sequence[str] | None = None) -> None:
    """Run one verb; exit 2 with one line a fault when the input cannot be used."""
    try:
        _run(sys.argv[1:] if argv is None else argv)
    except InputError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


@functools.cache  # a chain of verbs asks for it once a verb
def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(
        prog="ctcascade",
        fromfile_prefix_chars="@",
        description="Circulating tumour cells in blood images: calls, counts, cascade, prognosis, report. "
        "For research use only; not for use in diagnostic procedures.",
        epilog="@FILE stands for the arguments that FILE holds, one a line.",
    )
    made.add_argument("--version", action="version", version=f"ctcascade {__version__}")
    verbs = Verbs(made)
    for room in ROOMS:
        room.register(verbs)
    text = f"run a verb, then those that follow, each after a {_THEN!r}, in one process (used by the workflow)"
    ahead = verbs.add("ahead", _ahead, text, settings=False)
    ahead.add_argument("words", nargs=argparse.REMAINDER, metavar="VERB ...", help=f"VERB ... {_THEN} VERB ...")
    return made


def _ahead(args: argparse.Namespace) -> None:
    """Run verbs one after the other. Only the first must end well: the others are run again by jobs of their own."""
    first, *others = ([*words] for end, words in itertools.groupby(args.words, _THEN.__eq__) if not end)
    _run(first)
    for words in others:
        try:
            _run(words)
        except (Exception, SystemExit) as error:  # the verb's own job says what is wrong
            print(f"{words[0]} is left to its own job: {error}", file=sys.stderr)
            return


def _run(words: Sequence[str]) -> None:
    args = parser().parse_args(words)
    run: Run = args.run
    run(args)


if __name__ == "__main__":
    main()
