"""The command line, ``ctcascade VERB``: the verbs of all rooms, and exit codes (0 good, 1 a bug, 2 bad input)."""

import argparse
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


def main(argv: Sequence[str] | None = None) -> None:
    """Run one verb; exit 2 with one line a fault when the input cannot be used."""
    args = parser().parse_args(argv)
    run: Run = args.run
    try:
        run(args)
    except InputError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


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
    return made


if __name__ == "__main__":
    main()
