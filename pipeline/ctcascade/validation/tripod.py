"""What of the TRIPOD+AI checklist this software can answer of a cohort, and what only those who report it can.

Items are those of Collins GS et al., BMJ 2024;385:e078378 (doi:10.1136/bmj-2023-078378), named by number and topic;
the wording is not the checklist's.
"""

from typing import Final, Literal

from ctcascade.data.results import TripodItem

_YES: Final = "answered"
_PART: Final = "in part"
_NO: Final = "yours to answer"
_ROWS: tuple[tuple[str, str, Literal["answered", "in part", "yours to answer"], str], ...] = (
    ("1", "Title", _NO, "that a published prediction is evaluated in patients of your own"),
    ("2", "Abstract", _NO, ""),
    ("3", "Background", _PART, "the published groups with their citations; not your clinical context"),
    ("4", "Objectives", _PART, "evaluation of published groups' survival, by count; no model is developed"),
    ("5", "Data: sources and dates", _PART, "hashes of all inputs; not how patients were found, nor the dates"),
    ("6", "Participants: setting, eligibility, care", _PART, "tumour, setting and line, as the sheet states them"),
    ("7", "Data preparation", _YES, "settings, code and evidence of each stage stand in its provenance"),
    ("8", "Outcome: definition and time", _PART, "death, in months from the first sample; not how it was found out"),
    ("9", "Predictors: definition and measurement", _YES, "the count, its assay, its checks, its interval"),
    ("10", "Sample size", _PART, "deaths seen beside those advised; not why so many patients"),
    ("11", "Missing data", _PART, "patients left out, each with the reason; nothing is imputed"),
    ("12", "Analytical methods", _YES, "the methods and their references stand on the page of the cohort"),
    ("13", "Class imbalance", _YES, "none is corrected for: survival curves are not changed"),
    ("14", "Fairness", _NO, "groups by sex, age or origin are not compared"),
    ("15", "Model output", _YES, "survival by month, with bands; a refusal where nothing is published"),
    ("16", "Training against evaluation data", _PART, "the published cohorts' years, assays and settings"),
    ("17", "Ethical approval", _NO, ""),
    ("18", "Open science: funding, protocol, registration, data, code", _PART, "code and evidence; the rest is yours"),
    ("19", "Patient and public involvement", _NO, ""),
    ("20", "Participants: flow, characteristics", _PART, "numbers, deaths, follow-up and numbers at risk by group"),
    ("21", "Model development: numbers of events", _NO, "no model is developed here; see the cited publications"),
    ("22", "Model specification", _YES, "evidence tables and the code, by hash"),
    ("23", "Model performance", _YES, "calibration, slope, Brier score, c-index with intervals, net benefit"),
    ("24", "Model updating", _YES, "none is made"),
    ("25", "Interpretation", _NO, ""),
    ("26", "Limitations", _PART, "of the software and its evidence; not of your study"),
    ("27", "Usability in current care", _PART, "for research use only; what input is refused and why"),
)


def items() -> tuple[TripodItem, ...]:
    """Return the items of the checklist, in its order."""
    return tuple(TripodItem(item=item, topic=topic, answer=answer, how=how) for item, topic, answer, how in _ROWS)
