import functools
import gc
import inspect
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import time

import snakemake
from snakemake.common import overwrite_function_params

from ctcascade.data import fingerprint, results_folder
from ctcascade.data.errors import InputError
from ctcascade.formats import image_files
from ctcascade.formats.known_images import FILE as known_list
from ctcascade.formats.known_images import KnownImages
from ctcascade.study import jobs, sheets, shipped

# A plan only adds objects, which stay: to look through them for garbage again and again is a tenth of its time. The run
# that follows looks for it, but no longer through the plan (`take_results`).
gc.disable()
list_frames = image_files.listed_once()
STARTED = time.time()


def or_exit(work, *args):
    """Return what a function returns; where it refuses its input, print why and exit with code 2.

    A raised exception would end Snakemake with 1, and silently where it runs quietly.
    """
    try:
        return work(*args)
    except InputError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


def told_once(function):
    """Return a function of which Snakemake knows the arguments; it looks them up again for each job otherwise."""
    overwrite_function_params(function, inspect.signature(function).parameters)
    return function


def shipped_folder():
    """Return the folder that this workflow lies in."""
    # beside this file, not in workflow.basedir: this may be a module of another workflow
    here = workflow.current_basedir.get_path_or_uri(secret_free=True)
    return pathlib.Path(os.path.normpath(here)).parents[1]


def read_study():
    """Return the study, read and checked."""
    configfiles = shipped.settings_files(shipped_folder())
    # read again here: Snakemake takes the last of two settings of one name, and 12:30 for 750
    configfiles = [*configfiles, *workflow.overwrite_configfiles]
    if not workflow.is_main_process:
        # a job that runs elsewhere reads the study again, but need not list every folder of images again
        return sheets.read_study(configfiles, config, None)
    found = sheets.read_study(configfiles, config, list_frames)
    if found.reviews:
        from ctcascade.counting import reviewed_calls  # slow to load, and seldom needed

        reviewed_calls.check_against_results(found)
    for note in found.notes:
        print(note, file=sys.stderr)
    return found


def say_what_came():
    """Name samples whose images came, went or changed after they were read: this run's results are without them."""
    look = image_files.listed_once()
    for name in study.samples:
        job = jobs.detect_job(study, name)
        try:
            found = look(job.images, study.base, job.format, job.assay)
            same = image_files.digest_of_images(found, study.base) == digest_of(name)
        except InputError:
            same = False
        if not same:
            print(
                f"WARNING: {name}: image files came, went or changed since this run started; its results are of those "
                "that were there then. Start the run again once the images are complete.",
                file=sys.stderr,
            )


def say_what_is_shared():
    """Print a warning for samples that hold the same images, at the end of a run."""
    from ctcascade.data import store  # slow to load
    from ctcascade.data.results import SharedPixels

    path = os.path.join(RESULTS, "shared_pixels.json")
    if os.path.exists(path):
        for pair in store.read_json(pathlib.Path(path), SharedPixels).shared:
            print("WARNING:", pair.warning, file=sys.stderr)


@functools.cache  # a folder is taken once
def pages_of_this_run():
    """Return the pages to look at that this run has written; the index where it has written none of them."""
    results = pathlib.Path(study.settings.results).absolute()
    index = results / "index.html"
    pages = [
        page
        for page in (
            index,
            results / "cohort.html",
            *sorted(results.glob("recovery/*.html")),
            *sorted(results.glob("validation/*.html")),
            *sorted(results.glob("calibration/*.html")),
        )
        if page.exists()
    ]
    return [page for page in pages if page.stat().st_mtime >= STARTED] or [
        page for page in pages if page == index
    ]


def take_results():
    """Lock the results folder and clear it of half-written files; exit with code 2 if another run uses it."""
    gc.freeze()
    gc.enable()
    if WITHOUT:
        return  # the run that goes on here has done so
    warning = or_exit(results_folder.lock, RESULTS)
    if warning:
        print(warning, file=sys.stderr)
    results_folder.remove_unfinished(RESULTS)
    WRITES.append(True)
    known_images().save()
    read_what_chunks_share()


def say_who_has_locked():
    """Say who holds Snakemake's lock, which a killed run leaves: Snakemake itself says nothing where it is quiet."""
    # asked of the words themselves: Snakemake does not know yet, while it reads this, whether the run is a dry one
    free = {"--unlock", "--dry-run", "--dryrun", "--nolock"}.intersection(sys.argv)
    dry = any(re.fullmatch("-[A-Za-z]*n[A-Za-z]*", word) for word in sys.argv)
    if free or dry or not any(pathlib.Path(".snakemake/locks").glob("*")):
        return
    at_work = results_folder.holder(RESULTS)
    if at_work:
        todo = f"{at_work} is working in it: wait for it"
    else:
        todo = (
            "a run was killed, or one with other results is working here. If none is, type `snakemake --unlock` with "
            "the options of that run, then start it again: what was finished is kept"
        )
    print(f"{os.getcwd()} is locked: {todo}", file=sys.stderr)


def let_scheduler_sleep():
    """Let Snakemake look for the next jobs only when a job ends.

    Its limit on jobs started per second, which is not needed here, adds one look a second for each job that has ended,
    until the end of the run: after some hundred jobs, a third of the processor time. No option turns it off. The field
    is private, so this is done only in the version that it was tested with.
    """
    if snakemake.__version__ == "9.27.1":
        workflow.scheduler.job_rate_limiter = None


# `ctcascade` is beside this Python, whether or not its environment is activated. A job has one core; with one thread,
# sums do not depend on the number of cores. The memory of one frame is kept for the next: giving it back to the
# system after each frame costs a tenth of the time (GNU C library; others ignore the two variables).
shell.prefix(
    "set -euo pipefail; export OPENBLAS_NUM_THREADS=1"
    " MALLOC_MMAP_THRESHOLD_=33554432 MALLOC_TRIM_THRESHOLD_=268435456; "
    f'PATH={shlex.quote(os.path.dirname(sys.executable))}:"$PATH"; '
)
study = or_exit(read_study)
RESULTS = study.settings.results
KNOWN = f"{RESULTS}/logs/{known_list}"
# The arguments of a verb over many results, one a line: its settings and the results of all jobs before it. A template,
# since Snakemake starts no script where the path of its Python holds a space; no reason to make anything again.
ARGUMENTS = ancient(workflow.source_path("../templates/arguments.txt"))
# samples whose jobs failed, where the pages of the others are made after all
WITHOUT = set(filter(None, os.environ.get("CTCASCADE_WITHOUT", "").split(",")))
WRITES = []  # holds something once the results folder is this run's
AHEAD = f"{results_folder.AHEAD}{os.getpid()}-{STARTED:.0f}"


pathvars:
    results=RESULTS,
    logs=f"{RESULTS}/logs",
    benchmarks=f"{RESULTS}/benchmarks",


wildcard_constraints:
    sample="[A-Za-z0-9._-]+",
    patient="[A-Za-z0-9._-]+",
    k="[0-9]+",
    n="[0-9]+",
    level="[0-9]+",
    assay="[A-Za-z0-9._-]+",


def code(*stages):
    """Return the params function with the hashes of stages: Snakemake does not see that a program has changed."""
    learned = study.settings.detect.segmenter == "learned"
    return told_once(
        lambda wildcards: [fingerprint.stage_hash(stage, learned) for stage in stages]
    )


def settings(verb, of=None):
    """Return the params function with the settings of one stage, as the JSON of its job."""

    return told_once(
        lambda wildcards: settings_of(verb, of, getattr(wildcards, of or "", None))
    )


@functools.cache
def settings_of(verb, of, name):
    about = {of: name} if of else {}
    return jobs.job_for(study, verb, **about).model_dump_json()


def listed(sample):
    job = jobs.detect_job(study, sample)
    return list_frames(job.images, study.base, job.format, job.assay)


@functools.cache
def digest_of(sample):
    return or_exit(image_files.digest_of_images, listed(sample), study.base)


@functools.cache
def known_images():
    """Return what images held when they were last read; in a dry run nothing is added to the list."""
    return KnownImages(pathlib.Path(KNOWN))


@told_once
def images_known(wildcards, input):
    """Return the option of jobs that compare the images of a sample; the list is no reason to run them again."""
    return ["--known", KNOWN]


@functools.cache
def content_of(sample):
    found = or_exit(image_files.digest_of_content, listed(sample), known_images())
    if WRITES:
        known_images().save()
    return found


def read_what_chunks_share():
    """Read the images of samples that several jobs detect: each reads its own, and finds those of the others listed."""
    for name in study.samples:
        if not os.path.exists(f"{RESULTS}/samples/{name}/frames.parquet"):
            if chunks_in(name) > 1:
                content_of(name)


def events_of(sample):
    return [path for _, path in listed(sample).events]


@functools.cache
def outdated():
    """Return the results present that are not what is wanted now, each with the reason."""
    from ctcascade.validation import freshness  # only here

    return freshness.outdated(study, content_of, events_of)


@functools.cache
def make_outdated_again():
    """Have Snakemake make again what is outdated, of what was asked for; called while it plans, in a dry run too."""
    if workflow.is_main_process:
        root = pathlib.Path(RESULTS)
        workflow.dag.forcefiles.update(
            f"{RESULTS}/{path.relative_to(root).as_posix()}" for path, _ in outdated()
        )


@told_once
def nothing(wildcards):
    """Return the input files of a rule that has none, while Snakemake plans."""
    make_outdated_again()
    return []


def wait_for_images():
    """Name samples whose images may still be written; wait until they are old enough, where the settings say so."""
    global list_frames
    least = study.settings.images_settled_s
    for name in study.samples:
        path, age, young = image_files.youngest(listed(name), time.time())
        if young:
            print(
                f"{name}: image files changed in the last minute: {young}, the last {path}, {age:.0f} s ago. What comes "
                "or changes while a run works stops detection of its sample, and is left to the next run.",
                file=sys.stderr,
            )
        while age < least:
            print(
                f"{name}: waiting until {path} is {least:g} s old",
                file=sys.stderr,
                flush=True,
            )
            time.sleep(min(least - age + 0.1, 30))
            list_frames = image_files.listed_once()
            path, age, _ = image_files.youngest(listed(name), time.time())


def name_outdated():
    """Name what is outdated, and what the sheets do not name, before anything is planned."""
    for path, why in outdated():
        print(f"{path}: made again: {why}", file=sys.stderr)
    from ctcascade.validation import freshness  # only here

    others = freshness.strangers(study)
    for path in others[:20]:
        print(
            f"{path}: the sheets do not name it; neither used nor removed",
            file=sys.stderr,
        )
    if len(others) > 20:
        print(f"{RESULTS}: and {len(others) - 20} more", file=sys.stderr)


@told_once
def digest_of_images(wildcards):
    return digest_of(wildcards.sample)


@told_once
def digest_of_events(wildcards):
    return image_files.digest_of_events(listed(wildcards.sample), study.base)


@told_once
def digests_of_healthy(wildcards):
    """Return the digests of the images that an assay's CTCs are pasted into."""
    return [digest_of(name) for name in study.healthy_of(wildcards.assay)]


@told_once
def labels_option(wildcards):
    folder = f"{RESULTS}/samples/{wildcards.sample}/labels"
    return ["--labels", folder] if study.settings.detect.labels else []


@told_once
def reviews_of(wildcards):
    return [str(path) for path in study.reviews.get(wildcards.sample, [])]


def of_assay(assay):
    return [name for name, row in study.samples.items() if row.assay == assay]


def option(name, of):
    """Return the params function with an option and the files of an input, or nothing if there are none."""
    return told_once(lambda wildcards, input: [name, *input[of]] if input[of] else [])


@functools.cache
def number_to_detect():
    """Return the number of samples that have no table of frames when the run starts."""
    tables = (f"{RESULTS}/samples/{name}/frames.parquet" for name in study.samples)
    return sum(not os.path.exists(path) for path in tables)


def chunks_in(sample):
    return jobs.number_of_chunks(
        len(listed(sample).frames),
        study.settings.chunk_frames,
        number_to_detect(),
        workflow.resource_settings.cores,
    )


def chunks_of(kind):
    """Return the input function that names the sample's chunks of frames or cells, in order."""

    @told_once
    def build(wildcards):
        make_outdated_again()
        n = chunks_in(wildcards.sample)
        folder = f"{RESULTS}/samples/{wildcards.sample}/chunks"
        return [f"{folder}/{k}-of-{n}.{kind}.parquet" for k in range(1, n + 1)]

    return build


# One process for the chain of a sample, and one for that of a patient: the first job of a chain goes on with the verbs
# after it (`ctcascade ahead`) and leaves their results in a folder of this run, from where the jobs that make them take
# them. What is not there, they make themselves: after a changed setting, on another node, where a verb failed.


def ready(folder, *names):
    """Return the params function with the shell words that take results which lie ready; they fail where none does."""

    # with `input` among the arguments, Snakemake takes no change of it for a change of the job
    @told_once
    def build(wildcards, input):
        place = f"{RESULTS}/{folder.format(**wildcards)}"
        pairs = [(f"{place}/{AHEAD}/{name}", f"{place}/{name}") for name in names]
        return " && ".join(
            f"mv {shlex.quote(a)} {shlex.quote(b)} 2> /dev/null" for a, b in pairs
        )

    return build


@told_once
def after_gather(wildcards, input):
    """Return the quoted words of what one process does of a sample once its tables are there."""
    place = f"{RESULTS}/samples/{wildcards.sample}"
    return shlex.join(rest_of_sample(wildcards, place))


@told_once
def after_detect(wildcards, input):
    """Return the quoted words of what one process does of a sample that is one chunk."""
    if wildcards.n != "1":
        return ""
    place = f"{RESULTS}/samples/{wildcards.sample}"
    words = ["+", "gather"]
    for kind, result in (
        *((name, name) for name in ("frames", "cells", "outlines")),
        ("planes", "overview"),
    ):
        words += [f"--{kind}", f"{place}/chunks/1-of-1.{kind}.parquet"]
        words += [f"--out-{result}", f"{place}/{AHEAD}/{result}.parquet"]
    rest = rest_of_sample(wildcards, f"{place}/{AHEAD}")
    return shlex.join([*words, *rest]) if rest else ""


def rest_of_sample(wildcards, tables):
    """Return the words of the verbs from calls to counts and pictures."""
    if not workflow.is_main_process:
        return []  # a job on another node: this run looks for nothing there
    out = f"{RESULTS}/samples/{wildcards.sample}/{AHEAD}"
    at = {name: f"{tables}/{name}.parquet" for name in ("frames", "cells", "outlines")}
    at["calls"] = f"{out}/calls.parquet"
    base, reviews = ["--base", str(study.base)], reviews_of(wildcards)
    further = {"operator": base, "crops": [*base, "--known", KNOWN]}
    if reviews:
        further["count"] = ["--reviews", *reviews]
    words = []
    for verb, kinds, result in (
        ("classify", ("frames", "cells"), "calls.parquet"),
        ("count", ("frames", "calls", "cells"), "counts.json"),
        ("quality", ("frames", "cells", "calls"), "quality.json"),
        ("operator", ("frames", "calls"), "operator.json"),
        ("crops", ("frames", "cells", "calls", "outlines"), "crops.parquet"),
    ):
        words += ["+", verb, "--settings", settings(verb, of="sample")(wildcards)]
        words += [word for kind in kinds for word in (f"--{kind}", at[kind])]
        words += ["--out", f"{out}/{result}", *further.get(verb, [])]
    return words


@told_once
def after_simulate(wildcards, input):
    """Return the quoted words of what one process does of a patient once the cascade is there."""
    if charts_of(wildcards):
        return ""  # a prognosis waits for the charts of all controls
    place = f"{RESULTS}/patients/{wildcards.patient}"
    words = ["+", "prognose", "--counts", *of_patient("counts")(wildcards)]
    words += ["--settings", settings("prognose", of="patient")(wildcards)]
    words += ["--quality", *of_patient("quality")(wildcards)]
    words += ["--cascade", f"{place}/cascade.json"]
    return shlex.join([*words, "--out", f"{place}/{AHEAD}/prognosis.json"])


def of_samples(kind, samples):
    return [f"{RESULTS}/samples/{name}/{kind}.json" for name in samples]


def of_patient(kind):
    """Return the input function that names a result of all of the patient's samples, the earliest first."""
    return told_once(
        lambda wildcards: of_samples(kind, study.samples_of(wildcards.patient))
    )


@told_once
def charts_of(wildcards):
    """Return the results of the controls if a sample of the page belongs to a run with controls."""
    one = getattr(wildcards, "sample", None)
    own = [one] if one else study.samples_of(wildcards.patient)
    controlled = study.controls_of(own) or set(own) & set(study.controls)
    return [f"{RESULTS}/controls.json"] if controlled else []


def without_failed(samples):
    return [name for name in samples if name not in WITHOUT]


def shown_samples():
    """Return the samples that pages are made of: all, or those that do not need one that failed."""
    controls = set(study.controls) if WITHOUT & set(study.controls) else set()
    needed = {
        name: {name} | (controls if study.controls_of([name]) else set())
        for name in study.samples
    }
    return [name for name, all_of in needed.items() if not WITHOUT & all_of]


def shown_patients():
    shown = set(shown_samples())
    return [name for name in study.patients if shown >= set(study.samples_of(name))]


def make_other_pages():
    """Where a sample failed, which all pages wait for, make the pages that do not need it, in a run of their own.

    Pages name samples that hold the same images, so they wait for the frames of all. These say which samples they were
    not compared with, and are made again once nothing fails. The index, which is of all samples, is not made.
    """
    scheduler = workflow.scheduler
    failed = {
        name
        for job in getattr(scheduler, "failed", ())
        if job.rule.name != "report_sample"
        and (name := getattr(job.wildcards, "sample", ""))
    }
    asked_for_all = any(job.rule.name == "all" for job in workflow.dag.jobs)
    all_of_samples = len(failed) == len(study.samples)
    if WITHOUT or not failed or all_of_samples or not asked_for_all:
        return
    if not workflow.execution_settings.keep_going or scheduler._user_kill:
        return
    names = ", ".join(sorted(failed))
    print(f"failed: {names}; pages that do not need them are made now", file=sys.stderr)
    again = [sys.executable, "-m", "snakemake", *sys.argv[1:], "--nolock"]
    env = {**os.environ, "CTCASCADE_WITHOUT": ",".join(sorted(failed))}
    subprocess.run(again, env=env, check=False)


def name_shared_files():
    """Print a warning for samples whose first images are one; the pixels of all frames are compared after detection."""
    of = {name: jobs.detect_job(study, name).assay for name in study.samples}
    patients = {name: row.patient for name, row in study.samples.items()}
    listings = {name: listed(name) for name in study.samples}
    for warning in image_files.shared_files(listings, of, patients, first=1):
        print(warning, file=sys.stderr)


if workflow.is_main_process:
    say_who_has_locked()
    or_exit(name_shared_files)
    or_exit(wait_for_images)
    or_exit(name_outdated)
