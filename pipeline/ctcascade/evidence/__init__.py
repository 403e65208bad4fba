"""Every number that the project claims about biology, survival or assays: one row each, with its source."""

from ctcascade.evidence.citations import Cited, Reference, cite, is_known, references_of
from ctcascade.evidence.library import FOLDER, IMPLIED_SHAPE, Row, Rows, evidence_hash, forget, load, rows

__all__ = [
    "FOLDER",
    "IMPLIED_SHAPE",
    "Cited",
    "Reference",
    "Row",
    "Rows",
    "cite",
    "evidence_hash",
    "forget",
    "is_known",
    "load",
    "references_of",
    "rows",
]
