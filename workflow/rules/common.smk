import functools
import json
import os
import shlex
import sys

import snakemake

from ctcascade.data import fingerprint, results_folder
from ctcascade.data.errors import InputError
from ctcascade.formats import image_files
from ctcascade.study import jobs, sheets

list_frames = image_files.listed_once()


def read_study():
    """Return the checked study; print what is wrong with it and exit 2 otherwise.

    A raised exception would end Snakemake with 1, and silently where it runs quietly.
    """
    own = os.path.join("config", "config.yaml")
    # beside this file, not in workflow.basedir: this may be a module of another workflow
    here = workflow.current_basedir.get_path_or_uri(secret_free=True)
    shipped = os.path.normpath(os.path.join(here, "..", "..", own))
    configfiles = [path for path in (shipped, own) if os.path.exists(path)]
    if len(configfiles) == 2 and os.path.samefile(shipped, own):
        configfiles = [own]
    try:
        # a job that runs elsewhere reads the study again, but need not list every folder of images again
        found = sheets.read_study(
            configfiles, config, list_frames if workflow.is_main_process else None
        )
        if workflow.is_main_process and found.reviews:
            from ctcascade.counting import reviewed_calls  # slow to load, and seldom needed

            reviewed_calls.check_against_results(found)
    except InputError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    if workflow.is_main_process:
        for note in found.notes:
            print(note, file=sys.stderr)
    return found


def take_results():
    """Lock the results folder and clear it of half-written files; exit 2 where another run is in it."""
    try:
        warning = results_folder.lock(RESULTS)
    except InputError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    if warning:
        print(warning, file=sys.stderr)
    results_folder.remove_unfinished(RESULTS)


def let_scheduler_sleep():
    """Have Snakemake look for what to run when a job ends, and not all the time.

    Its limit of jobs started per second, which is not needed here, makes it look once a second more for each job that
    has ended until the run is over: a third of the compute after some hundred jobs. No option turns it off. The field
    is private: other versions than the one that this was tried on are left alone.
    """
    if snakemake.__version__ == "9.27.1":
        workflow.scheduler.job_rate_limiter = None


# The command lies beside this Python, whether its environment was activated or not. A job has one core, and sums of
# one thread are the same on any number of cores. Memory of one frame is kept for the next: giving it back to the
# system between frames costs a tenth of the time (GNU C library; others ignore the two variables).
shell.prefix(
    "set -euo pipefail; export OPENBLAS_NUM_THREADS=1"
    " MALLOC_MMAP_THRESHOLD_=33554432 MALLOC_TRIM_THRESHOLD_=268435456; "
    f'PATH={shlex.quote(os.path.dirname(sys.executable))}:"$PATH"; '
)
study = read_study()
RESULTS = study.settings.results


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
    """Return the params function that says what stages are made of: rules do not see that a program has changed."""
    learned = study.settings.detect.segmenter == "learned"
    return lambda wildcards: [
        fingerprint.stage_hash(stage, learned) for stage in stages
    ]


def settings(verb, of=None):
    """Return the params function that gives a rule its own settings, and nothing of the other stages'."""

    def build(wildcards):
        about = {of: getattr(wildcards, of)} if of else {}
        return jobs.job_for(study, verb, **about).model_dump_json()

    return build


def listed(sample):
    job = jobs.detect_job(study, sample)
    return list_frames(job.images, study.base, job.format, job.assay)


@functools.cache
def digest_of(sample):
    return image_files.digest_of_images(listed(sample), study.base)


def digest_of_images(wildcards):
    return digest_of(wildcards.sample)


def digest_of_events(wildcards):
    return image_files.digest_of_events(listed(wildcards.sample), study.base)


def digests_of_healthy(wildcards):
    """Return the digests of the images that an assay's CTCs are pasted into."""
    return [digest_of(name) for name in study.healthy_of(wildcards.assay)]


def labels_option(wildcards):
    folder = f"{RESULTS}/samples/{wildcards.sample}/labels"
    return ["--labels", folder] if study.settings.detect.labels else []


def reviews_of(wildcards):
    return [str(path) for path in study.reviews.get(wildcards.sample, [])]


def option(name, of):
    """Return the params function that gives an option the files of an input, and nothing where it has none."""
    return lambda wildcards, input: [name, *input[of]] if input[of] else []


def chunks_of(kind):
    """Return the input function that names the sample's chunks of frames or cells, in order."""

    def build(wildcards):
        frames = listed(wildcards.sample).frames
        n = -(-len(frames) // study.settings.chunk_frames)
        folder = f"{RESULTS}/samples/{wildcards.sample}/chunks"
        return [f"{folder}/{k}-of-{n}.{kind}.parquet" for k in range(1, n + 1)]

    return build


def of_samples(kind, samples):
    return [f"{RESULTS}/samples/{name}/{kind}.json" for name in samples]


def of_patient(kind):
    """Return the input function that names a result of all of the patient's samples, the earliest first."""
    return lambda wildcards: of_samples(kind, study.samples_of(wildcards.patient))


def charts_of(wildcards):
    """Return the charts of the controls where a sample of the page belongs to a run with controls."""
    one = getattr(wildcards, "sample", None)
    own = [one] if one else study.samples_of(wildcards.patient)
    controlled = study.controls_of(own) or set(own) & set(study.controls)
    return [f"{RESULTS}/controls.json"] if controlled else []
