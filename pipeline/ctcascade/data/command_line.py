"""What the verbs of all rooms share: how a verb is added, and arguments that are files, folders and settings."""

import argparse
from collections.abc import Callable
from pathlib import Path

Run = Callable[[argparse.Namespace], None]


class Verbs:
    """The verbs of the command line. A room adds its own in its module ``verbs``, by ``register(verbs)``.

    What a verb runs imports its stage when it is called: a job starts in a fraction of a second, whatever other stages
    need.
    """

    def __init__(self, parser: argparse.ArgumentParser):
        self._verbs = parser.add_subparsers(required=True, metavar="VERB")

    def add(self, name: str, run: Run, text: str, settings: bool = True) -> argparse.ArgumentParser:
        """Add a verb, and return the parser of its arguments.

        Parameters
        ----------
        name : str
        run : callable
            Gets the arguments. An `InputError` ends the command with 2.
        text : str
            What it does, in a line.
        settings : bool
            Whether it needs ``--settings``, the JSON of a job.
        """
        verb = self._verbs.add_parser(name, help=text, description=text)
        verb.set_defaults(run=run)
        if settings:
            add_settings(verb)
        return verb


def add_settings(verb: argparse.ArgumentParser) -> None:
    """Add ``--settings``, the JSON of a job."""
    verb.add_argument("--settings", required=True, metavar="JSON", help="what the job is given (study/jobs.py)")


def add_base(verb: argparse.ArgumentParser) -> None:
    """Add ``--base``, the folder that image paths are relative to."""
    add_folder(verb, "--base", "folder that image paths are relative to")


def add_folder(verb: argparse.ArgumentParser, name: str, meaning: str | None = None) -> None:
    """Add a folder that must be given."""
    verb.add_argument(name, type=Path, required=True, metavar="DIR", help=meaning)


def add_files(verb: argparse.ArgumentParser, *names: str, meaning: str | None = None) -> None:
    """Add files that must be given, each under its own name."""
    for name in names:
        verb.add_argument(name, type=Path, required=True, metavar="FILE", help=meaning)


def add_lists_of_files(
    verb: argparse.ArgumentParser, *names: str, meaning: str | None = None, at_least_one: bool = True
) -> None:
    """Add arguments that must be given and take several files each."""
    nargs = "+" if at_least_one else "*"
    for name in names:
        verb.add_argument(name, type=Path, required=True, nargs=nargs, metavar="FILE", help=meaning)
