"""The folder of results belongs to one run at a time, and holds nothing half-written when a run starts."""

import fcntl
import os
import shutil
import socket
from pathlib import Path

from ctcascade.data.errors import refuse

AHEAD = ".ahead-"
"""How a folder begins in which one run keeps results for the jobs that will take them."""
_LEVELS = ("", "patients/*/", "samples/*/", "samples/*/chunks/", "samples/*/labels/")


def lock(results: Path) -> str:
    """Keep other runs out of a results folder for as long as this process lives.

    Snakemake's own lock knows only the runs of one working directory.

    Returns
    -------
    str
        Empty, or why the folder could not be locked (a file system without locks), which does not stop the run.

    Raises
    ------
    InputError
        If another run is in it, or it cannot be written into.
    """
    place = Path(results) / "logs" / "run.lock"
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(place, os.O_RDWR | os.O_CREAT)  # never closed: the lock ends with the process
    except OSError as error:
        todo = "free it, or choose another with --config results=DIR"
        refuse(results, "", error, "a folder that can be written into", todo)
    unlocked = ""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(handle, 200, 0).decode(errors="replace")
        os.close(handle)
        found = f"another run that writes into it ({holder})"
        refuse(
            results, "", found, "one run at a time", "wait for it, or choose another folder with --config results=DIR"
        )
    except OSError as error:
        unlocked = f"{results}: not guarded against a second run: {error}"
    os.truncate(handle, 0)
    os.pwrite(handle, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
    return unlocked


def holder(results: Path) -> str:
    """Return which live process holds the lock of a results folder; empty where none does, or none can be told."""
    try:
        with open(Path(results) / "logs" / "run.lock", "rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return file.read(200).decode(errors="replace") or "not named"
    except OSError:
        pass
    return ""


def remove_unfinished(results: Path) -> None:
    """Remove what killed jobs left half-written; a job of a killed run that still writes then ends without effect."""
    for level in _LEVELS:
        for part in Path(results).glob(f"{level}.*.part"):
            part.unlink(missing_ok=True)
    remove_ahead(results)


def remove_ahead(results: Path) -> None:
    """Remove what lies ready for jobs: at the end of a run, and what a killed run has left."""
    for folder in Path(results).glob(f"*/*/{AHEAD}*"):
        shutil.rmtree(folder, ignore_errors=True)
