"""The command line: one verb a stage, the only argument parsing, the exit codes (0 good, 1 a bug, 2 bad input)."""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from ctcascade import __version__
from ctcascade.data.errors import InputError, refuse

Run = Callable[[argparse.Namespace], None]
_SAY_EVERY_S = 5.0


# The stages are imported inside their verbs: a job starts in a fraction of a second, whatever the others need.
def _check(args: argparse.Namespace) -> None:
    from ctcascade.counting import reviewed_calls  # noqa: PLC0415
    from ctcascade.formats import listing  # noqa: PLC0415
    from ctcascade.study import jobs, sheets  # noqa: PLC0415

    study = sheets.read_study(args.configfile, dict(args.config), listing.list_frames)
    reviewed_calls.check_against_results(study)
    for note in (*study.notes, *listing.personal(study)):
        print(note, file=sys.stderr)
    for name in study.samples:
        job = jobs.detect_job(study, name)
        listed = listing.list_frames(job.images, study.base, job.format, job.assay)
        print(f"{name}: {len(listed.frames)} frames, {listed.format} ({listed.why})")
    print(f"{len(study.samples)} samples of {len(study.patients)} patients: nothing to fix")


def _detect(args: argparse.Namespace) -> None:
    from ctcascade.images import detect  # noqa: PLC0415

    number, of = args.chunk
    detect.detect(
        args.settings, args.base, (number, of), args.frames, args.cells, args.labels, _progress(), args.outlines
    )


def _progress() -> Callable[[int, int, int], None]:
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
    from ctcascade.images import detect  # noqa: PLC0415

    if bool(args.outlines) != bool(args.out_outlines):
        refuse("--outlines", "", "one of two", "--outlines and --out-outlines, or neither", "give both")
    detect.gather(args.frames, args.cells, args.out_frames, args.out_cells, args.outlines, args.out_outlines)


def _classify(args: argparse.Namespace) -> None:
    from ctcascade.calling import classify  # noqa: PLC0415
    from ctcascade.study import jobs  # noqa: PLC0415

    classify.classify(jobs.read(jobs.ClassifyJob, args.settings), args.frames, args.cells, args.out)


def _crops(args: argparse.Namespace) -> None:
    from ctcascade.images import crops  # noqa: PLC0415

    crops.crops(args.settings, args.base, args.frames, args.cells, args.calls, args.outlines, args.out)


def _count(args: argparse.Namespace) -> None:
    from ctcascade.counting import count  # noqa: PLC0415
    from ctcascade.study import jobs  # noqa: PLC0415

    if args.reviews and not args.cells:
        refuse("--cells", "", "no table", "the sample's cells, with --reviews", "add --cells FILE")
    count.count(jobs.read(jobs.CountJob, args.settings), args.frames, args.calls, args.out, args.cells, args.reviews)


def _review(args: argparse.Namespace) -> None:
    from ctcascade.counting import earlier_reviews  # noqa: PLC0415

    for done in earlier_reviews.carry_over(args.carry, args.frames, args.calls, args.out):
        print(f"{done.file}: {done.n_carried} cells carried over, {len(done.lost)} to review again")
        for line in done.lost:
            print(f"  {line}")


def _quality(args: argparse.Namespace) -> None:
    from ctcascade.counting import quality  # noqa: PLC0415
    from ctcascade.study import jobs  # noqa: PLC0415

    quality.quality(jobs.read(jobs.QualityJob, args.settings), args.frames, args.cells, args.calls, args.out)


def _operator(args: argparse.Namespace) -> None:
    from ctcascade.counting import operator  # noqa: PLC0415
    from ctcascade.study import jobs  # noqa: PLC0415

    operator.compare_with_operator(
        jobs.read(jobs.OperatorJob, args.settings), args.base, args.frames, args.calls, args.out
    )


def _controls(args: argparse.Namespace) -> None:
    from ctcascade.counting import controls  # noqa: PLC0415
    from ctcascade.study import jobs  # noqa: PLC0415

    controls.judge_controls(jobs.read(jobs.ControlsJob, args.settings), args.counts, args.quality, args.out)


def _simulate(args: argparse.Namespace) -> None:
    from ctcascade.cascade import simulate  # noqa: PLC0415
    from ctcascade.study import jobs  # noqa: PLC0415

    simulate.simulate(jobs.read(jobs.SimulateJob, args.settings), args.counts, args.out, args.what_if)


def _prognose(args: argparse.Namespace) -> None:
    from ctcascade.prognosis import prognose  # noqa: PLC0415
    from ctcascade.study import jobs  # noqa: PLC0415

    job = jobs.read(jobs.PrognoseJob, args.settings)
    prognose.prognose(job, args.counts, args.cascade, args.out, args.quality, args.controls)


def _spike(args: argparse.Namespace) -> None:
    from ctcascade.study import jobs  # noqa: PLC0415
    from ctcascade.validation import spike_in  # noqa: PLC0415

    spike_in.spike(jobs.read(jobs.SpikeJob, args.settings), args.base, args.images, args.spiked)


def _recovery(args: argparse.Namespace) -> None:
    from ctcascade.study import jobs  # noqa: PLC0415
    from ctcascade.validation import recovery  # noqa: PLC0415

    recovery.recovery(jobs.read(jobs.RecoveryJob, args.settings), args.spiked, args.calls, args.out, args.out_assay)


def _cohort(args: argparse.Namespace) -> None:
    from ctcascade.study import jobs  # noqa: PLC0415
    from ctcascade.validation import follow_up  # noqa: PLC0415

    follow_up.cohort(jobs.read(jobs.CohortJob, args.settings), args.counts, args.prognosis, args.out)


def _report(args: argparse.Namespace) -> None:
    if args.open is not None:
        _open_report(args.open)
        return
    if args.of is None:
        args.misused("sample, patient, cohort or --open RESULTS is needed")
    from ctcascade.report import (  # noqa: PLC0415
        follow_up_page,
        index_page,
        patient_page,
        recovery_page,
        sample_page,
    )

    if args.of == "sample":
        tables = (args.frames, args.cells, args.calls, args.crops)
        results = (args.counts, args.quality, args.operator, args.out)
        sample_page.report_sample(args.settings, *tables, *results, args.controls)
    elif args.of == "patient":
        results = (args.counts, args.quality, args.cascade, args.prognosis)
        patient_page.report_patient(args.settings, *results, args.out, args.controls)
    elif args.of == "recovery":
        recovery_page.report_recovery(args.recovery, args.out)
    elif args.of == "follow-up":
        follow_up_page.report_follow_up(args.cohort, args.out)
    else:
        results = (args.counts, args.quality, args.cascade, args.prognosis)
        index_page.report_index(args.settings, *results, args.controls, args.out, args.multiqc, args.table)


def _open_report(results: Path) -> None:
    import webbrowser  # noqa: PLC0415

    page = (results / "index.html").absolute()
    if not page.is_file():
        refuse(page, "", "no such page", "the results of a run", "run snakemake first, or name another folder")
    if not webbrowser.open(page.as_uri()):
        print("no browser could be started; open this page:")
    print(page)


def _export(args: argparse.Namespace) -> None:
    from ctcascade.report import qupath  # noqa: PLC0415

    for path in qupath.export(args.sample, args.base, args.out):
        print(path)


def _phantom(args: argparse.Namespace) -> None:
    from ctcascade.validation import demo  # noqa: PLC0415

    demo.write_demo(args.out)


def _warm(args: argparse.Namespace) -> None:
    from ctcascade.images import labels, measure, segment  # noqa: PLC0415

    labels.warm()
    segment.warm()
    measure.warm()


def main(argv: Sequence[str] | None = None) -> None:
    """Run one verb; exit 2 with one line a fault when the input cannot be used."""
    args = _parser().parse_args(argv)
    run: Run = args.run
    try:
        if isinstance(getattr(args, "settings", None), str):
            given = _settings(args.settings)
            args.settings = args.settings if args.run in _TYPED else given
        run(args)
    except InputError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


_TYPED = (
    _classify,
    _count,
    _quality,
    _operator,
    _controls,
    _simulate,
    _prognose,
    _spike,
    _recovery,
    _cohort,
)  # these read their own settings


def _settings(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        refuse("--settings", "", error, "a JSON object", "write {...}")
    if not isinstance(found, dict):
        refuse("--settings", "", type(found).__name__, "a JSON object", "write {...}")
    return found


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


def _chunk(text: str) -> tuple[int, int]:
    number, _, of = text.partition("/")
    if not (number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
        raise argparse.ArgumentTypeError(f"{text!r} is not K/N with 1 <= K <= N")
    return int(number), int(of)


def _files(parser: argparse.ArgumentParser, *names: str, many: bool = False, meaning: str | None = None) -> None:
    for name in names:
        parser.add_argument(name, type=Path, required=True, nargs="+" if many else None, metavar="FILE", help=meaning)


def _folders(parser: argparse.ArgumentParser, **meanings: str) -> None:
    for name, meaning in meanings.items():
        parser.add_argument(f"--{name}", type=Path, required=True, metavar="DIR", help=meaning)


def _gather_arguments(sub: argparse.ArgumentParser) -> None:
    _files(sub, "--frames", "--cells", many=True)
    _files(sub, "--out-frames", "--out-cells")
    sub.add_argument("--outlines", type=Path, nargs="+", default=[], metavar="FILE", help="with --out-outlines")
    sub.add_argument("--out-outlines", type=Path, metavar="FILE")


def _crops_arguments(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--base", type=Path, required=True, metavar="DIR", help="folder that image paths are relative to")
    _files(sub, "--frames", "--cells", "--calls", "--outlines", "--out")


def _review_arguments(sub: argparse.ArgumentParser) -> None:
    _files(sub, "--carry", many=True, meaning="SAMPLE.REVIEWER.csv of an earlier run")
    _files(sub, "--frames", "--calls", meaning="table of the present run")
    sub.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the new files")


def _cohort_arguments(sub: argparse.ArgumentParser) -> None:
    for kind, of in (("counts", "of each patient's first draw"), ("prognosis", "of each patient, in one order")):
        sub.add_argument(f"--{kind}", type=Path, required=True, nargs="*", metavar="FILE", help=of)
    _files(sub, "--out")


def _detect_arguments(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--base", type=Path, required=True, metavar="DIR", help="folder that image paths are relative to")
    sub.add_argument("--chunk", type=_chunk, default=(1, 1), metavar="K/N", help="do the K-th of N parts (1/1)")
    _files(sub, "--frames", "--cells", meaning="table to write")
    sub.add_argument("--outlines", type=Path, metavar="FILE", help="table of the cells' outlines to write")
    sub.add_argument("--labels", type=Path, metavar="DIR", help="folder for label images")


def _operator_arguments(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--base", type=Path, required=True, metavar="DIR", help="folder that image paths are relative to")
    _files(sub, "--frames", "--calls", "--out")


def _prognose_arguments(sub: argparse.ArgumentParser) -> None:
    _files(sub, "--counts", many=True)
    about = "checks of the samples: no prognosis rests on a sample that fails them"
    sub.add_argument("--quality", type=Path, nargs="+", default=[], metavar="FILE", help=about)
    about = "charts of the controls, where some were made with the same assay and lot"
    sub.add_argument("--controls", type=Path, metavar="FILE", help=about)
    _files(sub, "--cascade", "--out")


def _controls_arguments(sub: argparse.ArgumentParser) -> None:
    for kind in ("counts", "quality"):
        sub.add_argument(f"--{kind}", type=Path, nargs="*", default=[], metavar="FILE", help="of each, in one order")
    _files(sub, "--out")


def _control_argument(page: argparse.ArgumentParser) -> None:
    about = "charts of the controls, where some were made with the same assay and lot"
    page.add_argument("--controls", type=Path, metavar="FILE", help=about)


def _report_arguments(sub: argparse.ArgumentParser) -> None:
    sub.set_defaults(misused=sub.error)
    sub.add_argument("--open", type=Path, metavar="RESULTS", help="show the pages of a finished run in the browser")
    pages = sub.add_subparsers(dest="of", metavar="OF")

    def page_of(name: str, text: str) -> argparse.ArgumentParser:
        page = pages.add_parser(name, help=text, description=text)
        page.add_argument("--settings", required=True, metavar="JSON", help="the page's settings")
        return page

    page = page_of("sample", "quality, gallery, scatter, counts")
    _files(page, "--frames", "--cells", "--calls", "--crops", "--counts", "--quality", "--operator", "--out")
    _control_argument(page)
    page = page_of("patient", "timeline, organs at risk, prognosis, evidence")
    _files(page, "--counts", "--quality", many=True)
    _files(page, "--cascade", "--prognosis", "--out")
    _control_argument(page)
    page = page_of("recovery", "what an in-silico spike-in found")
    _files(page, "--recovery", "--out")
    page = page_of("follow-up", "what became of the patients")
    _files(page, "--cohort", "--out")
    page = page_of("cohort", "all patients and samples")
    _files(page, "--counts", "--quality", "--cascade", "--prognosis", many=True)
    _files(page, "--controls", "--out", "--multiqc", "--table")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ctcascade",
        fromfile_prefix_chars="@",
        description="Circulating tumour cells in blood images: calls, counts, cascade, prognosis, report. "
        "For research use only; not for use in diagnostic procedures.",
        epilog="@FILE stands for the arguments that FILE holds, one a line.",
    )
    parser.add_argument("--version", action="version", version=f"ctcascade {__version__}")
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    def verb(name: str, run: Run, text: str, settings: bool = True) -> argparse.ArgumentParser:
        sub = verbs.add_parser(name, help=text, description=text)
        sub.set_defaults(run=run)
        if settings:
            sub.add_argument("--settings", required=True, metavar="JSON", help="the stage's settings")
        return sub

    sub = verb("check", _check, "check sheets, assays and settings, and say all that is wrong", settings=False)
    sub.add_argument("--configfile", type=Path, nargs="+", default=[Path("config/config.yaml")], metavar="FILE")
    sub.add_argument("--config", type=_setting, nargs="+", default=[], metavar="NAME=VALUE", help="as of snakemake")

    _detect_arguments(verb("detect", _detect, "read, segment and measure a chunk of a sample's frames"))

    _gather_arguments(verb("gather", _gather, "join the chunks of a sample", settings=False))

    sub = verb("classify", _classify, "call each cell, and group CTCs into clusters")
    _files(sub, "--frames", "--cells", "--out")

    _crops_arguments(verb("crops", _crops, "cut out the pixels that a sample's page shows"))

    sub = verb("count", _count, "counts per 7.5 mL with intervals")
    _files(sub, "--frames", "--calls", "--out")
    sub.add_argument("--cells", type=Path, metavar="FILE", help="for the CTCs' diameters; needed with --reviews")
    sub.add_argument("--reviews", type=Path, nargs="*", default=[], metavar="FILE", help="SAMPLE.REVIEWER.csv")

    sub = verb("quality", _quality, "a sample's checks, each with its limits")
    _files(sub, "--frames", "--cells", "--calls", "--out")

    text = "the calls of the scanner's operator, where there are any, beside the classifier's"
    _operator_arguments(verb("operator", _operator, text))
    _controls_arguments(verb("controls", _controls, "control samples over time: limits and a verdict on each"))

    _review_arguments(verb("review", _review, "take reviews over to another run of the same sample", settings=False))

    sub = verb("simulate", _simulate, "metastatic cascade of a patient, conditioned on the counts")
    _files(sub, "--counts", many=True)
    _files(sub, "--out")
    sub.add_argument("--what-if", type=Path, metavar="FILE", help="YAML of scenarios to set beside it (see docs)")

    _prognose_arguments(verb("prognose", _prognose, "prognosis of a patient, or the reason why there is none"))

    _report_arguments(verb("report", _report, "a self-contained HTML page", settings=False))

    sub = verb("spike", _spike, "paste phantom CTCs of known number into frames without any")
    sub.add_argument("--base", type=Path, required=True, metavar="DIR", help="folder that image paths are relative to")
    sub.add_argument("--images", type=Path, required=True, metavar="DIR", help="folder for the spiked frames")
    _files(sub, "--spiked")

    sub = verb(
        "recovery", _recovery, "what of a spike-in was found and called; sensitivity and background for the assay"
    )
    _files(sub, "--spiked")
    _files(sub, "--calls", many=True, meaning="of each level, in order")
    _files(sub, "--out", "--out-assay")

    _cohort_arguments(verb("cohort", _cohort, "follow-up of the patients, compared with what was predicted"))

    sub = verb("export", _export, "a sample's labels as OME-TIFF and its cells as GeoJSON (QuPath)", settings=False)
    _folders(sub, sample="its folder of results", base="folder of the sample sheet", out="folder for the files")

    sub = verb("phantom", _phantom, "write synthetic slides of known truth", settings=False)
    sub.add_argument("--out", type=Path, required=True, metavar="DIR")

    verb("warm", _warm, "compile the pixel kernels into their cache", settings=False)
    return parser
