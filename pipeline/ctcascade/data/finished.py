"""The results of a finished run by name: tables as data frames, JSON results as models, each read when asked for."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import pandas as pd

from ctcascade.data import store
from ctcascade.data.errors import refuse
from ctcascade.data.results import (
    Cascade,
    Controls,
    Counts,
    FollowUp,
    Operator,
    Prognosis,
    Quality,
    Recovery,
    ResultFile,
    Validation,
)

CRATE_FILE = "ro-crate-metadata.json"
"""What makes a folder of results an RO-Crate."""

R = TypeVar("R", bound=ResultFile)


@dataclass(frozen=True)
class SampleResults:
    """What a run found in one sample.

    Every attribute below raises `InputError` where its file cannot be read.

    Attributes
    ----------
    name : str
    folder : Path
    """

    name: str
    folder: Path

    @cached_property
    def frames(self) -> pd.DataFrame:
        """One row a frame (`tables.FRAMES`)."""
        return store.read_table(self.folder / "frames.parquet", "frames")

    @cached_property
    def cells(self) -> pd.DataFrame:
        """One row a cell (`tables.CELLS`)."""
        return store.read_table(self.folder / "cells.parquet", "cells")

    @cached_property
    def calls(self) -> pd.DataFrame:
        """One row a cell, in the order of `cells` (`tables.CALL_TABLE`)."""
        return store.read_table(self.folder / "calls.parquet", "calls")

    @cached_property
    def counts(self) -> Counts:
        """What was counted, and the estimate for 7.5 mL of blood."""
        return store.read_json(self.folder / Counts.file_name, Counts)

    @cached_property
    def quality(self) -> Quality:
        """The checks of the sample and of its frames."""
        return store.read_json(self.folder / Quality.file_name, Quality)

    @cached_property
    def operator(self) -> Operator:
        """The calls of the scanner's operator beside the classifier's."""
        return store.read_json(self.folder / Operator.file_name, Operator)


@dataclass(frozen=True)
class PatientResults:
    """What a run says of one patient.

    Attributes
    ----------
    name : str
    folder : Path
    """

    name: str
    folder: Path

    @cached_property
    def cascade(self) -> Cascade:
        """The risk of metastasis by organ."""
        return store.read_json(self.folder / Cascade.file_name, Cascade)

    @cached_property
    def prognosis(self) -> Prognosis:
        """The prognosis from published groups, or why there is none."""
        return store.read_json(self.folder / Prognosis.file_name, Prognosis)


@dataclass(frozen=True)
class RunResults:
    """All results of one run.

    Attributes
    ----------
    folder : Path
    samples : dict of str to SampleResults
        By name.
    patients : dict of str to PatientResults
        By name.
    """

    folder: Path
    samples: dict[str, SampleResults]
    patients: dict[str, PatientResults]

    @cached_property
    def controls(self) -> Controls | None:
        """The charts of control samples; None where the run has none."""
        return self._if_there(self.folder / Controls.file_name, Controls)

    @cached_property
    def follow_up(self) -> FollowUp | None:
        """The survival of the laboratory's own patients; None where it was not asked for."""
        return self._if_there(self.folder / FollowUp.file_name, FollowUp)

    @cached_property
    def recovery(self) -> dict[str, Recovery]:
        """The recovery of pasted CTCs by assay; empty where it was not asked for."""
        return {path.stem: store.read_json(path, Recovery) for path in sorted(self.folder.glob("recovery/*.json"))}

    @cached_property
    def validation(self) -> dict[str, Validation]:
        """The analytical validation by assay; empty where it was not asked for."""
        return {path.stem: store.read_json(path, Validation) for path in sorted(self.folder.glob("validation/*.json"))}

    @staticmethod
    def _if_there(path: Path, kind: type[R]) -> R | None:
        return store.read_json(path, kind) if path.exists() else None


def read_results(folder: str | Path) -> RunResults:
    """Return the results of a run: its samples and patients by name.

    Nothing but folders is read at first; a table or a result is read, and checked, when it is asked for.

    Parameters
    ----------
    folder : str or Path
        The results folder of a run (``results/``).

    Raises
    ------
    InputError
        If the folder holds neither samples nor patients.

    Examples
    --------
    >>> run = ctcascade.read_results("results")  # doctest: +SKIP
    >>> run.samples["P01_1"].counts.ctc_per_7_5_ml.estimate  # doctest: +SKIP
    """
    place = Path(folder)
    samples = {path.name: SampleResults(path.name, path) for path in _folders(place / "samples")}
    patients = {path.name: PatientResults(path.name, path) for path in _folders(place / "patients")}
    if not samples and not patients:
        refuse(place, "", "no samples and no patients", "the results folder of a run", "name the folder results itself")
    return RunResults(place, samples, patients)


def _folders(place: Path) -> list[Path]:
    return sorted(path for path in place.glob("*") if path.is_dir())
