"""The verbs of this room: report, export, exchange."""

import argparse
from pathlib import Path

from ctcascade.data.command_line import Verbs, add_files, add_folder, add_lists_of_files, add_settings
from ctcascade.data.errors import refuse


def register(verbs: Verbs) -> None:
    """Add the verbs of this room."""
    _register_exchange(verbs)
    _register_pages(verbs.add("report", _report, "a self-contained HTML page", settings=False))

    text = "a sample's labels as OME-TIFF and its cells as GeoJSON (QuPath)"
    verb = verbs.add("export", _export, text, settings=False)
    add_folder(verb, "--sample", "its folder of results")
    add_folder(verb, "--base", "folder of the sample sheet")
    add_folder(verb, "--out", "folder for the files")


def _register_exchange(verbs: Verbs) -> None:
    verb = verbs.add("crate", _crate, "the results of a run as an RO-Crate: ro-crate-metadata.json beside them")
    add_folder(verb, "--results", "the results of a finished run, which become the crate")
    add_folder(verb, "--workflow", "folder of the Snakefile")

    verb = verbs.add("dataset", _dataset, "the counts of all samples as a laboratory domain: CDISC Dataset-JSON 1.1")
    add_lists_of_files(verb, "--counts")
    add_files(verb, "--out", "--origin")

    text = "a patient's results for other systems: a FHIR R4B bundle, and a table of all numbers"
    verb = verbs.add("exchange", _exchange, text)
    add_lists_of_files(verb, "--counts")
    add_files(verb, "--cascade", "--prognosis", "--fhir", "--numbers", "--origin")


def _exchange(args: argparse.Namespace) -> None:
    from ctcascade.report import exchange
    from ctcascade.study import jobs

    job = jobs.read(jobs.ExchangeJob, args.settings)
    results = (args.counts, args.cascade, args.prognosis)
    exchange.exchange(job, *results, args.fhir, args.numbers, args.origin)


def _crate(args: argparse.Namespace) -> None:
    from ctcascade.report import ro_crate
    from ctcascade.study import jobs

    ro_crate.write_crate(jobs.read(jobs.CrateJob, args.settings), args.results, args.workflow)


def _dataset(args: argparse.Namespace) -> None:
    from ctcascade.report import exchange
    from ctcascade.study import jobs

    exchange.exchange_study(jobs.read(jobs.DatasetJob, args.settings), args.counts, args.out, args.origin)


def _register_pages(verb: argparse.ArgumentParser) -> None:
    verb.set_defaults(misused=verb.error, page=None)
    verb.add_argument("--open", type=Path, metavar="RESULTS", help="show the pages of a finished run in the browser")
    pages = verb.add_subparsers(metavar="OF")
    for name, (write, text) in _PAGES.items():
        page = pages.add_parser(name, help=text, description=text)
        page.set_defaults(page=write)
        add_settings(page)
        _FILES[name](page)


def _files_of_sample(page: argparse.ArgumentParser) -> None:
    add_files(page, "--frames", "--cells", "--calls", "--crops", "--counts", "--quality", "--operator", "--out")
    page.add_argument("--overview", type=Path, metavar="FILE", help="the frames at reduced size")
    _add_controls(page)


def _files_of_patient(page: argparse.ArgumentParser) -> None:
    add_lists_of_files(page, "--counts", "--quality")
    add_files(page, "--cascade", "--prognosis", "--out")
    _add_controls(page)


def _files_of_recovery(page: argparse.ArgumentParser) -> None:
    add_files(page, "--recovery", "--out")


def _files_of_validation(page: argparse.ArgumentParser) -> None:
    add_files(page, "--validation", "--out")


def _files_of_calibration(page: argparse.ArgumentParser) -> None:
    add_files(page, "--calibration", "--out")


def _files_of_follow_up(page: argparse.ArgumentParser) -> None:
    add_files(page, "--cohort", "--out")


def _files_of_index(page: argparse.ArgumentParser) -> None:
    add_lists_of_files(page, "--counts", "--quality", "--cascade", "--prognosis")
    add_files(page, "--controls", "--out", "--multiqc", "--table")
    page.add_argument("--readme", type=Path, metavar="FILE", help="what every table and result holds, to write")
    _add_shared(page)


def _add_controls(page: argparse.ArgumentParser) -> None:
    about = "charts of the controls, where some were made with the same assay and lot"
    page.add_argument("--controls", type=Path, metavar="FILE", help=about)
    _add_shared(page)


def _add_shared(page: argparse.ArgumentParser) -> None:
    page.add_argument("--shared", type=Path, metavar="FILE", help="which samples of the run hold the same images")


def _report(args: argparse.Namespace) -> None:
    if args.open is not None:
        _open(args.open)
    elif args.page is None:
        args.misused("sample, patient, cohort or --open RESULTS is needed")
    else:
        args.page(args)


def _sample(args: argparse.Namespace) -> None:
    from ctcascade.report import sample_page
    from ctcascade.study import jobs

    job = jobs.read(jobs.ReportSampleJob, args.settings)
    tables = (args.frames, args.cells, args.calls, args.crops)
    sample_page.report_sample(
        job, *tables, args.counts, args.quality, args.operator, args.out, args.controls, args.shared, args.overview
    )


def _patient(args: argparse.Namespace) -> None:
    from ctcascade.report import patient_page
    from ctcascade.study import jobs

    job = jobs.read(jobs.ReportPatientJob, args.settings)
    results = (args.counts, args.quality, args.cascade, args.prognosis)
    patient_page.report_patient(job, *results, args.out, args.controls, args.shared)


def _recovery(args: argparse.Namespace) -> None:
    from ctcascade.report import recovery_page
    from ctcascade.study import jobs

    jobs.read(jobs.PageJob, args.settings)
    recovery_page.report_recovery(args.recovery, args.out)


def _validation(args: argparse.Namespace) -> None:
    from ctcascade.report import validation_page
    from ctcascade.study import jobs

    jobs.read(jobs.PageJob, args.settings)
    validation_page.report_validation(args.validation, args.out)


def _calibration(args: argparse.Namespace) -> None:
    from ctcascade.report import calibration_page
    from ctcascade.study import jobs

    jobs.read(jobs.PageJob, args.settings)
    calibration_page.report_calibration(args.calibration, args.out)


def _follow_up(args: argparse.Namespace) -> None:
    from ctcascade.report import follow_up_page
    from ctcascade.study import jobs

    jobs.read(jobs.PageJob, args.settings)
    follow_up_page.report_follow_up(args.cohort, args.out)


def _index(args: argparse.Namespace) -> None:
    from ctcascade.report import dictionary, index_page
    from ctcascade.study import jobs

    job = jobs.read(jobs.ReportCohortJob, args.settings)
    results = (args.counts, args.quality, args.cascade, args.prognosis)
    index_page.report_index(job, *results, args.controls, args.out, args.multiqc, args.table, args.shared)
    if args.readme is not None:
        dictionary.write_dictionary(args.readme)


def _open(results: Path) -> None:
    import webbrowser

    page = (results / "index.html").absolute()
    if not page.is_file():
        refuse(page, "", "no such page", "the results of a run", "run snakemake first, or name another folder")
    if not webbrowser.open(page.as_uri()):
        print("no browser could be started; open this page:")
    print(page)


def _export(args: argparse.Namespace) -> None:
    from ctcascade.report import qupath

    for path in qupath.export(args.sample, args.base, args.out):
        print(path)


_PAGES = {
    "sample": (_sample, "quality, gallery, scatter, counts"),
    "patient": (_patient, "timeline, organs at risk, prognosis, evidence"),
    "recovery": (_recovery, "what an in-silico spike-in found"),
    "validation": (_validation, "limits, linearity and precision of an assay"),
    "calibration": (_calibration, "an assay's own calibration of p_ctc, on held-out samples"),
    "follow-up": (_follow_up, "what became of the patients"),
    "cohort": (_index, "all patients and samples"),
}
_FILES = {
    "sample": _files_of_sample,
    "patient": _files_of_patient,
    "recovery": _files_of_recovery,
    "validation": _files_of_validation,
    "calibration": _files_of_calibration,
    "follow-up": _files_of_follow_up,
    "cohort": _files_of_index,
}
