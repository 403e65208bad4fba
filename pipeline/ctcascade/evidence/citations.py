"""What an evidence id stands for, and where it was read: the one look-up from an id to its row and its references."""

import math
from dataclasses import dataclass

import pandas as pd

from ctcascade.data.errors import refuse
from ctcascade.evidence.library import FOLDER, load, table_of


@dataclass(frozen=True)
class Reference:
    """One publication: how it is cited, where it is found, its year where it has one."""

    citation: str
    identifier: str
    year: int | None


@dataclass(frozen=True)
class Cited:
    """One row of evidence with its publications; assumptions and groups of a comparison have none of their own."""

    evidence_id: str
    table: str
    row: pd.Series
    references: tuple[Reference, ...]

    @property
    def citation(self) -> str:
        """How the publications are cited."""
        return "; ".join(reference.citation for reference in self.references)

    @property
    def identifier(self) -> str:
        """Where the publications are found: DOI, PMID or address."""
        return "; ".join(reference.identifier for reference in self.references)

    def text(self, column: str) -> str:
        """Return a column of text, empty where the table has no such column."""
        return str(self.row[column]) if column in self.row.index else ""


def is_known(evidence_id: str) -> bool:
    """Whether some table, or the one that the id names, has such a row."""
    named, _, key = evidence_id.rpartition("/")
    table = table_of(key)
    return bool(table) and named in ("", table)


def cite(evidence_id: str) -> Cited:
    """Return the row of an id and its publications.

    Parameters
    ----------
    evidence_id : str
        As results name it: ``id``, or ``table/id``.

    Raises
    ------
    InputError
        If no table has such a row.
    """
    if not is_known(evidence_id):
        refuse(FOLDER, "id", evidence_id, "an id of the evidence tables", "use results of this version")
    key = evidence_id.rpartition("/")[2]
    table = table_of(key)
    row = pd.Series(load(table).loc[key])
    return Cited(key, table, row, references_of(str(row["reference"])) if "reference" in row.index else ())


def references_of(keys: str) -> tuple[Reference, ...]:
    """Return the publications of a ``reference`` cell: keys of references.tsv, joined by ``;``."""
    found = load("references")
    named = [key.strip() for key in keys.split(";") if key.strip()]
    return tuple(
        Reference(str(citation), str(identifier), None if math.isnan(year) else int(year))
        for citation, identifier, year in found.loc[named, ["citation", "identifier", "year"]].itertuples(index=False)
    )
