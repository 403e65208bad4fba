"""What an evidence id stands for, and where it was read: the one look-up from an id to its row and its references."""

import math
from dataclasses import dataclass

from ctcascade.data.errors import refuse
from ctcascade.evidence.library import FOLDER, Row, rows, table_of


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
    row: Row
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
        return str(self.row[column]) if column in self.row else ""


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
    row = rows(table)[key]
    return Cited(key, table, row, references_of(str(row["reference"])) if "reference" in row else ())


def references_of(keys: str) -> tuple[Reference, ...]:
    """Return the publications of a ``reference`` cell: keys of references.tsv, joined by ``;``."""
    found = rows("references")
    named = [found[name] for key in keys.split(";") if (name := key.strip())]
    return tuple(
        Reference(row.citation, row.identifier, None if math.isnan(row.year) else int(row.year)) for row in named
    )
