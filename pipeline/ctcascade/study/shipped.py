"""What comes with the program: its settings file and its assays, wherever a run is started."""

import os
from pathlib import Path

_SETTINGS = Path("config") / "config.yaml"


def home() -> Path:
    """Return the folder whose ``config/`` is the shipped one: the repository, or the package where it is installed."""
    package = Path(__file__).parents[1]
    return package if (package / "config").is_dir() else package.parents[1]


def settings_files(shipped: Path | None = None) -> list[Path]:
    """Return the files that settings are read from before any overlay: the shipped one, then that of this folder.

    Parameters
    ----------
    shipped : Path, optional
        The folder whose ``config/config.yaml`` is the shipped one; `home` where none is given.
    """
    files = [path for path in ((shipped or home()) / _SETTINGS, _SETTINGS) if path.is_file()]
    if len(files) == 2 and files[0].samefile(files[1]):
        return [_SETTINGS]
    return files


def assay_files(folder: Path | None) -> dict[str, Path]:
    """Return the assay files by name: those of a folder, and shipped ones whose names it leaves free."""
    places = ((home() / "config" / "assays"), folder)
    return {
        path.stem: path for place in places if place and os.path.isdir(place) for path in sorted(place.glob("*.yaml"))
    }
