import fcntl
import functools
import hashlib
import json
import os
import pathlib
import shlex
import socket
import stat
import sys

from ctcascade.data import fingerprint
from ctcascade.data.errors import InputError, refuse
from ctcascade.formats import listing
from ctcascade.study import sheets

listings = {}


def list_frames(images, base, fmt, assay):
    """Return the frames of a sample's images, from one look into each folder however often they are asked for."""
    key = images, fmt, assay["name"]
    if key not in listings:
        listings[key] = listing.list_frames(images, base, fmt, assay)
    return listings[key]


def read_study():
    """Return the checked study; print what is wrong with it and exit 2 otherwise.

    A raised exception would end Snakemake with 1, and unheard where it runs quietly.
    """
    own = os.path.join("config", "config.yaml")
    # beside this file, not in workflow.basedir: this may be a module of another workflow
    here = workflow.current_basedir.get_path_or_uri(secret_free=True)
    shipped = os.path.normpath(os.path.join(here, "..", "..", own))
    configfiles = [path for path in (shipped, own) if os.path.exists(path)]
    if len(configfiles) == 2 and os.path.samefile(shipped, own):
        configfiles = [own]
    try:
        # a job that runs elsewhere reads the study again, but need not look into every folder of images again
        found = sheets.read_study(
            configfiles, config, list_frames if workflow.is_main_process else None
        )
        if workflow.is_main_process and found.reviews:
            from ctcascade.counting import agreement  # slow to load, and seldom needed

            agreement.check_against_results(found)
    except InputError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    if workflow.is_main_process:
        for note in found.notes:
            print(note, file=sys.stderr)
    return found


def take_results():
    """Keep other runs out of the results folder for as long as this process lives; exit 2 where one is in it.

    Snakemake's own lock knows only the runs of one working directory. What killed jobs left half-written is removed;
    a job of a killed run that still writes then ends without effect.
    """
    folder = study.config["results"]
    place = os.path.join(folder, "logs", "run.lock")
    os.makedirs(os.path.dirname(place), exist_ok=True)
    # never closed: the lock ends with the process
    handle = os.open(place, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(handle, 200, 0).decode(errors="replace")
        try:
            refuse(
                folder,
                "",
                f"another run that writes into it ({holder})",
                "one run at a time",
                "wait for it, or choose another folder with --config results=DIR",
            )
        except InputError as error:
            print(error, file=sys.stderr)
            sys.exit(2)
    except OSError as error:
        print(f"{folder}: not guarded against a second run: {error}", file=sys.stderr)
    os.truncate(handle, 0)
    os.pwrite(handle, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
    for level in (
        "",
        "patients/*/",
        "samples/*/",
        "samples/*/chunks/",
        "samples/*/labels/",
    ):
        for part in pathlib.Path(folder).glob(f"{level}.*.part"):
            part.unlink(missing_ok=True)


def let_scheduler_sleep():
    """Have Snakemake look for what to run when a job ends, and not all the time.

    It starts at most so many jobs a second, which nothing here needs; but for that each job that has ended makes
    Snakemake 9.27 look once a second more until the run is over, a third of the compute after some hundred jobs. No
    option turns it off.
    """
    workflow.scheduler.job_rate_limiter = None


# the command lies beside this Python, whether its environment was activated or not; a job has one core, and sums
# of one thread are the same on every number of cores
shell.prefix(
    "set -euo pipefail; export OPENBLAS_NUM_THREADS=1; "
    f'PATH={shlex.quote(os.path.dirname(sys.executable))}:"$PATH"; '
)
study = read_study()


pathvars:
    results=study.config["results"],
    logs=f"{study.config['results']}/logs",
    benchmarks=f"{study.config['results']}/benchmarks",


wildcard_constraints:
    sample="[A-Za-z0-9._-]+",
    patient="[A-Za-z0-9._-]+",
    k="[0-9]+",
    n="[0-9]+",
    level="[0-9]+",
    assay="[A-Za-z0-9._-]+",


def code(*stages):
    """Return the params function that names what stages are made of: rules do not see that a program has changed."""
    learned = study.config["detect"]["segmenter"] == "learned"
    return lambda wildcards: [
        fingerprint.stage_hash(stage, learned) for stage in stages
    ]


def settings(verb, of=None):
    """Return the params function that gives a rule its own settings, and nothing of the other stages'."""

    def build(wildcards):
        about = {of: getattr(wildcards, of)} if of else {}
        return json.dumps(sheets.settings_for(study, verb, **about), ensure_ascii=False)

    return build


def listed_of(sample):
    about = sheets.settings_for(study, "detect", sample=sample)
    return list_frames(about["images"], study.base, about["format"], about["assay"])


def frames_of(sample):
    return listed_of(sample).frames


@functools.cache
def from_sheet(folder):
    return os.path.relpath(folder, study.base)


def stamp_of(paths):
    digest = hashlib.sha256()
    for path in paths:
        state, (folder, name) = os.stat(path), os.path.split(path)
        if stat.S_ISDIR(
            state.st_mode
        ):  # an image that is a folder: all that lies in it
            below = (
                os.path.join(at, file)
                for at, _, files in os.walk(path)
                for file in files
            )
            digest.update(stamp_of(sorted(filter(os.path.exists, below))).encode())
        digest.update(
            f"{from_sheet(folder)}/{name}\t{state.st_size}\t{state.st_mtime_ns}\n".encode()
        )
    return digest.hexdigest()[:16]


@functools.cache
def stamp_of_images(sample):
    frames = dict.fromkeys(path for frame in frames_of(sample) for path in frame.files)
    return stamp_of([*frames, *listed_of(sample).sidecars])


def stamp(wildcards):
    """Return a digest of names, sizes and dates of the sample's image files: images that change are read again."""
    return stamp_of_images(wildcards.sample)


def events_stamp(wildcards):
    """Return such a digest of the files with the operator's calls, which only the report reads."""
    return stamp_of(path for _, path in listed_of(wildcards.sample).events)


def stamp_of_healthy(wildcards):
    """Return the digests of the images that an assay's CTCs are pasted into."""
    return [stamp_of_images(name) for name in study.healthy_of(wildcards.assay)]


def labels_option(wildcards):
    wanted = study.config["detect"]["labels"]
    return (
        ["--labels", f"{study.config['results']}/samples/{wildcards.sample}/labels"]
        if wanted
        else []
    )


def reviews_of(wildcards):
    return [str(path) for path in study.reviews.get(wildcards.sample, [])]


def reviews_option(wildcards, input):
    return ["--reviews", *input.reviews] if input.reviews else []


def chunks_of(kind):
    """Return the input function that names the sample's chunks of frames or cells, in order."""

    def build(wildcards):
        n = -(-len(frames_of(wildcards.sample)) // study.config["chunk_frames"])
        folder = f"{study.config['results']}/samples/{wildcards.sample}/chunks"
        return [f"{folder}/{k}-of-{n}.{kind}.parquet" for k in range(1, n + 1)]

    return build


def results_of(samples, kind):
    return [f"{study.config['results']}/samples/{name}/{kind}.json" for name in samples]


def counts_of(wildcards):
    """Return the counts of all of the patient's samples, the earliest first."""
    return results_of(study.samples_of(wildcards.patient), "counts")


def quality_of(wildcards):
    return results_of(study.samples_of(wildcards.patient), "quality")


def counts_of_followed(wildcards):
    """Return the counts of the first draw of each patient with follow-up, which the follow-up counts from."""
    return results_of([study.samples_of(name)[0] for name in study.followed], "counts")


def prognoses_of_followed(wildcards):
    folder = f"{study.config['results']}/patients"
    return [f"{folder}/{name}/prognosis.json" for name in study.followed]


def own_of(wildcards):
    """Return the samples that a page is about."""
    return (
        [wildcards.sample]
        if "sample" in wildcards.keys()
        else study.samples_of(wildcards.patient)
    )


def charts_of(wildcards):
    """Return the charts of the controls where a sample of the page belongs to a run with controls."""
    charts = f"{study.config['results']}/controls.json"
    own = own_of(wildcards)
    controlled = study.controls_of(own) or set(own) & set(study.controls)
    return charts if controlled else []


def charts_option(wildcards, input):
    return ["--controls", input.controls] if input.controls else []
