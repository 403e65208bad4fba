"""The verbs of this room: detect, gather, compare, crops, warm."""

import argparse
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from ctcascade.data.command_line import Verbs, add_base, add_files, add_lists_of_files
from ctcascade.data.errors import refuse

_SAY_EVERY_S = 5.0


def register(verbs: Verbs) -> None:
    """Add the verbs of this room."""
    verb = verbs.add("detect", _detect, "read, segment and measure a chunk of a sample's frames")
    add_base(verb)
    verb.add_argument("--chunk", type=_chunk, default=(1, 1), metavar="K/N", help="do the K-th of N parts (1/1)")
    add_files(verb, "--frames", "--cells", meaning="table to write")
    verb.add_argument("--outlines", type=Path, metavar="FILE", help="table of the cells' outlines to write")
    verb.add_argument("--planes", type=Path, metavar="FILE", help="table of the frames at reduced size to write")
    verb.add_argument("--labels", type=Path, metavar="DIR", help="folder for label images")
    verb.add_argument("--planned", default="", metavar="DIGEST", help="of the images that the run was planned from")

    _add_known(verb)

    verb = verbs.add("gather", _gather, "join the chunks of a sample", settings=False)
    add_lists_of_files(verb, "--frames", "--cells")
    add_files(verb, "--out-frames", "--out-cells")
    verb.add_argument("--outlines", type=Path, nargs="+", default=[], metavar="FILE", help="with --out-outlines")
    verb.add_argument("--out-outlines", type=Path, metavar="FILE")
    verb.add_argument("--planes", type=Path, nargs="+", default=[], metavar="FILE", help="with --out-overview")
    verb.add_argument("--out-overview", type=Path, metavar="FILE")

    verb = verbs.add("compare", _compare, "which samples hold the same images")
    add_lists_of_files(verb, "--frames", meaning="of all samples")
    add_files(verb, "--out")

    verb = verbs.add("crops", _crops, "cut out the pixels that a sample's page shows")
    add_base(verb)
    add_files(verb, "--frames", "--cells", "--calls", "--outlines", "--out")
    _add_known(verb)

    text = "the assay's section bleed, from slides that bear one stain each"
    verb = verbs.add("compensate", _compensate, text, settings=False)
    add_files(verb, "--assay", meaning="assay file, for its channels")
    for role in ("dna", "ck", "cd45"):
        verb.add_argument(f"--{role}", type=Path, metavar="DIR", help=f"images of a slide that bears {role} alone")

    verbs.add("warm", _warm, "compile the pixel kernels into their cache", settings=False)


def _add_known(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--known", type=Path, metavar="FILE", help="what images held when they were last read")


def _detect(args: argparse.Namespace) -> None:
    from ctcascade.images import detect
    from ctcascade.study import jobs

    job = jobs.read(jobs.DetectJob, args.settings)
    tables = (args.frames, args.cells, args.labels)
    detect.detect(
        job, args.base, args.chunk, *tables, progress_on_stderr(), args.outlines, args.planned, args.planes, args.known
    )


def progress_on_stderr() -> Callable[[int, int, int], None]:
    """Return a function that says on stderr how far a job is: every few seconds, and at its end."""
    start = said = time.monotonic()

    def say(done: int, of: int, cells: int) -> None:
        nonlocal said
        now = time.monotonic()
        if done == of or now - said >= _SAY_EVERY_S:
            said = now
            left = timedelta(seconds=round((now - start) * (of - done) / done))
            print(f"{done} of {of} frames, {cells} cells, {left} left", file=sys.stderr, flush=True)

    return say


def _gather(args: argparse.Namespace) -> None:
    from ctcascade.images import detect

    for one, other in (("outlines", "out_outlines"), ("planes", "out_overview")):
        if bool(getattr(args, one)) != bool(getattr(args, other)):
            both = f"--{one} and --{other.replace('_', '-')}"
            refuse(f"--{one}", "", "one of two", f"{both}, or neither", "give both")
    tables = (args.frames, args.cells, args.out_frames, args.out_cells, args.outlines, args.out_outlines)
    detect.gather(*tables, args.planes, args.out_overview)


def _compare(args: argparse.Namespace) -> None:
    from ctcascade.images import shared
    from ctcascade.study import jobs

    shared.compare(jobs.read(jobs.CompareJob, args.settings), args.frames, args.out)


def _crops(args: argparse.Namespace) -> None:
    from ctcascade.images import crops
    from ctcascade.study import jobs

    job = jobs.read(jobs.CropsJob, args.settings)
    crops.crops(job, args.base, args.frames, args.cells, args.calls, args.outlines, args.out, known=args.known)


def _compensate(args: argparse.Namespace) -> None:
    from ctcascade.data.errors import Fault, refuse_all
    from ctcascade.images import compensate
    from ctcascade.study.assay import read_assay

    faults: list[Fault] = []
    assay = read_assay(args.assay, faults)
    refuse_all(faults)
    controls = {role: folder for role in ("dna", "ck", "cd45") if (folder := getattr(args, role)) is not None}
    if assay is None or not controls:
        refuse("compensate", "", "no control", "--dna, --ck or --cd45 with a folder of images", "give at least one")
    found = compensate.bleed_of_controls(controls, assay.camera(args.assay.stem))
    print(compensate.as_assay(found), end="")


def _warm(args: argparse.Namespace) -> None:
    from ctcascade.images import labels, measure, segment

    labels.warm()
    segment.warm()
    measure.warm()


def _chunk(text: str) -> tuple[int, int]:
    number, _, of = text.partition("/")
    if not (number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
        raise argparse.ArgumentTypeError(f"{text!r} is not K/N with 1 <= K <= N")
    return int(number), int(of)
