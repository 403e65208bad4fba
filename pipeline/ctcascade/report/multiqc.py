"""Counts and checks of the samples for MultiQC, as columns of its general statistics."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ctcascade.data.errors import plain
from ctcascade.data.results import Counts, Quality
from ctcascade.data.results.quality import Check
from ctcascade.report.standing import images
from ctcascade.report.words import check_name

Header = dict[str, Any]
_LONGEST = 26
_ENDS = ("estimate", "low", "high")
_STATES = {"pass": [{"s_eq": "ok"}], "warn": [{"s_eq": "warn"}], "fail": [{"s_eq": "fail"}]}
_OPEN = "not all checked"  # without a colour


def multiqc(counts: Sequence[Counts], quality: Sequence[Quality], doubts: Mapping[str, Sequence[str]]) -> str:
    """Return a table with the header lines that MultiQC reads as custom content, one row per sample.

    Parameters
    ----------
    counts : sequence of Counts
    quality : sequence of Quality
        Results of the samples.
    doubts : mapping of str to sequence of str
        What speaks against each sample (`data.doubts.doubts`).

    Notes
    -----
    The columns join MultiQC's general statistics, each with a title, its unit or format, and the colours of the checks'
    own limits. The header is YAML behind ``#``; values of text stay as they are.
    """
    quality_of = {q.sample: q for q in quality}
    checks = {check.check: check for q in quality for check in q.checks}
    headers = {
        **_headers(counts),
        **{name: _header_of(check) for name, check in checks.items()},
        **_notice(counts),
    }
    about = {
        "id": "ctcascade",
        "section_name": "ctcascade",
        "description": "Circulating tumour cells: counts and quality. For research use only.",
        "plot_type": "generalstats",
        "headers": [{name: header} for name, header in headers.items()],
    }
    lines = [f"# {key}: {json.dumps(value)}" for key, value in about.items()]
    lines.append("\t".join(["Sample", *headers]))
    for c in counts:
        q, rate = quality_of[c.sample], c.ctc_per_7_5_ml
        values: dict[str, object] = {check.check: check.value for check in q.checks}
        values |= {"patient": c.patient, "n_ctc": c.n_ctc, "notice": _begins(c.notice)}
        is_open = images(q, doubts[c.sample]).kind == "plain"
        values["status"] = "fail" if doubts[c.sample] or c.status != "ok" else _OPEN if is_open else q.status
        values |= {f"ctc_per_7_5_ml{'' if end == 'estimate' else f'_{end}'}": getattr(rate, end, None) for end in _ENDS}
        lines.append("\t".join(_cells([c.sample, *map(values.get, headers)])))
    return "\n".join(lines) + "\n"


def _notice(counts: Sequence[Counts]) -> dict[str, Header]:
    """Return the column of what must be said first, where there is any."""
    texts = sorted({c.notice for c in counts if c.notice})
    return {"notice": _column("about", "; ".join(texts), placement=0)} if texts else {}


def _begins(notice: str | None) -> str | None:
    """Return the beginning of a notice: a long one would make every row of the table tall."""
    return notice if notice is None or len(notice) <= _LONGEST else notice[: _LONGEST - 1] + "…"


def _cells(values: Sequence[object]) -> Iterator[str]:
    for v in values:
        yield "" if v is None else plain(f"{v:.6g}" if isinstance(v, float) else v)


def _column(title: str, description: str, **more: object) -> Header:
    return {"title": title, "description": f"{description}. For research use only", "scale": False, **more}


def _headers(counts: Sequence[Counts]) -> dict[str, Header]:
    """Return the columns of counts."""
    levels = {c.ctc_per_7_5_ml.level for c in counts if c.ctc_per_7_5_ml}
    level = f"{100 * levels.pop():g} % " if len(levels) == 1 else ""
    number = {"format": "{:,.3g}", "min": 0}
    return {
        "patient": _column("patient", "name of the patient", hidden=True),
        "status": _column("state", "worst of the checks and controls", cond_formatting_rules=_STATES),
        "n_ctc": _column("CTCs seen", "cells called CTC in the images", format="{:,.0f}", min=0),
        "ctc_per_7_5_ml": _column("CTCs / 7.5 mL", "estimate for the blood", **number),
        "ctc_per_7_5_ml_low": _column("from", f"lower end of the {level}interval, CTCs per 7.5 mL", **number),
        "ctc_per_7_5_ml_high": _column("to", f"upper end of the {level}interval, CTCs per 7.5 mL", **number),
    }


def _header_of(check: Check) -> Header:
    """Return the column of a check, coloured by its limits."""
    share = check.check.endswith("_share")
    limits = {"warn": check.warn, "fail": check.fail}
    given = {state: limit for state, limit in limits.items() if limit is not None}
    good, beyond = ("le", "gt") if check.limit == "at most" else ("ge", "lt")
    rules = {state: [{beyond: limit}] for state, limit in given.items()}
    if given:
        rules = {"pass": [{good: next(iter(given.values()))}], **rules}
    said = ", ".join(f"{state} beyond {100 * limit if share else limit:g}{' %' if share else ''}"
                     for state, limit in given.items())  # fmt: skip
    described = f"{check.meaning}; {said or 'no limit'}"
    return _column(
        check_name(check.check), described, format="{:,.1%}" if share else "{:,.3g}", cond_formatting_rules=rules
    )
