"""From content to one self-contained page: template environment, safe text, content security policy.

Text that a user wrote is printed only through the environment's `finalize` and autoescape, so that no name or note can
become markup, hide a character or break the layout. Numbers of results are printed through `numbers.Traced`.
"""

import base64
import contextlib
import functools
import hashlib
import html
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
from jinja2.bccache import Bucket
from markupsafe import Markup

from ctcascade import __version__
from ctcascade.data import fingerprint
from ctcascade.data.errors import plain
from ctcascade.data.lineage import digest
from ctcascade.data.results import Provenance
from ctcascade.data.store import write_page_text
from ctcascade.data.typed import Typed
from ctcascade.evidence.tables import ENDPOINTS
from ctcascade.report import standing, words
from ctcascade.report.numbers import is_unsure, is_wide, kappa, of_hundred, percent

TEMPLATES = Path(__file__).parent / "templates"
COMPILED = Path(__file__).parent / "__pycache__"
"""Where compiled templates are kept, beside the compiled modules: to compile them takes a sixth of a page's time."""
SCRIPTS = {"sample.html": ("page.js", "review.js", "enlarge.js", "gallery.js", "plots.js")}
"""Scripts of a page, in order; of any other page `page.js` alone."""
_NARROW = re.compile("([\u2009\u202f])")
LONGEST_TEXT = 1200
LONGEST_NAME = 60
RESEARCH_USE = (
    "For research use only. Not for use in diagnostic procedures. "
    "Nothing on this page is advice on the care of a person."
)


def write_page(path: Path, template: str, job: Typed, sources: Mapping[str, Path], **content: Any) -> None:
    """Write the page that `template` makes of `content`, whole or not at all, with what made it and its checksum.

    Parameters
    ----------
    path : Path
    template : str
        Name of a file in ``templates/``.
    job : Typed
        The page's own settings.
    sources : mapping of str to Path
        The results that it shows, by role.
    **content
        What the template names. Equal content gives equal bytes.
    """
    made_by = Provenance(
        software="ctcascade",
        version=__version__,
        settings=job.model_dump(mode="json"),
        inputs={role: digest(source) for role, source in sorted(sources.items())},
        code=fingerprint.stage_hash("report"),
    )
    write_page_text(path, render(template, **content), made_by)


def render(template: str, has_files: bool = False, **content: Any) -> str:
    """Return the HTML that `template` makes of `content`.

    Parameters
    ----------
    template : str
    has_files : bool
        Whether the page loads more of itself from script files beside it.
    **content
        What the template names; `notices` (text, the samples it is about) come before anything else.

    Notes
    -----
    The policy forbids everything but images inside the page and the very style and script that are inlined, named by
    their SHA-256, and where there are such files scripts of the page's own origin: a script that slipped through the
    escape would still not run.
    """
    environment = _environment()
    style, script = _asset("style.css"), "".join(_asset(name) for name in SCRIPTS.get(template, ("page.js",)))
    allowed = _source_hash(script) + (" 'self'" if has_files else "")
    policy = (
        f"default-src 'none'; img-src data:; style-src {_source_hash(style)}; script-src {allowed}; "
        "base-uri 'none'; form-action 'none'"
    )
    return environment.get_template(template).render(
        style=Markup(style),  # noqa: S704 - our own files
        script=Markup(script),  # noqa: S704
        policy=policy,
        version=__version__,
        research_use=RESEARCH_USE,
        **{"notices": (), **content},
    )


def part(template: str, macro: str, *content: Any) -> str:
    """Return the HTML that a macro of `template` makes of `content`."""
    module = _environment().get_template(template).module
    return str(getattr(module, macro)(*content))


def _finalize(value: Any) -> Any:
    """Return text without control and direction marks and not endless; what is markup already stays as it is."""
    if isinstance(value, str) and not hasattr(value, "__html__"):
        parts = _NARROW.split(value[: LONGEST_TEXT + 1])  # our own numbers, in a sentence, have narrow spaces
        return "".join(part if _NARROW.fullmatch(part) else plain(part, longest=LONGEST_TEXT) for part in parts)
    return "" if value is None else value


def _short(value: object) -> str:
    """Return a name that fits a heading or a table cell."""
    return plain(value, longest=LONGEST_NAME)


def linked(value: object) -> Markup:
    """Return text in which DOIs, PMIDs and PMC ids are links; nothing is loaded from there until one follows them."""
    text, found, last = plain(value, longest=LONGEST_TEXT), Markup(""), 0
    for match in _IDENTIFIERS.finditer(text):
        kind, name = next((kind, name) for kind, name in match.groupdict().items() if name)
        name = name.rstrip(".,;)")
        end = match.start() + match.group().index(name) + len(name)
        found += Markup('{}<a href="{}" rel="noreferrer">{}</a>').format(
            text[last : match.start()], _ADDRESSES[kind] + quote(name, safe="/()"), text[match.start() : end]
        )
        last = end
    return found + text[last:]


def _limit(value: float, style: str) -> Markup:
    """Return a limit of a check as its values are written."""
    return Markup("{}").format(percent(value) if style == "percent" else f"{value:g}")


_IDENTIFIERS = re.compile(
    r"(?:doi:\s*|https?://doi\.org/)?(?P<doi>\b10\.\d{4,9}/[^\s;,]+)|PMID:?\s*(?P<pmid>\d{5,9})|(?P<pmc>PMC\d{5,9})"
)
_ADDRESSES = {
    "doi": "https://doi.org/",
    "pmid": "https://pubmed.ncbi.nlm.nih.gov/",
    "pmc": "https://www.ncbi.nlm.nih.gov/pmc/articles/",
}


def _segment(value: object) -> str:
    """Return a name as one segment of a relative address."""
    return quote(str(value), safe="")


def anchor(*parts: object) -> str:
    """Return an id that is safe in an attribute and an address, one for each distinct tuple."""
    return "c" + hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:12]


def _percent(value: float) -> Markup:
    """Return a share from a table, which unlike a result's number needs no origin beside it."""
    return Markup("{}").format(percent(value))


def _settings_text(value: Any) -> Markup:
    """Return JSON as indented lines; marks are escaped by JSON itself and markup here."""
    text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=True)
    return Markup(html.escape(text[:20_000]))  # noqa: S704 - escaped in this line


def _exact(value: Any) -> Markup:
    """Return JSON for a script to read from an attribute: unlike text for the eye, a name comes out as it went in."""
    return Markup("{}").format(json.dumps(value, sort_keys=True, ensure_ascii=True))


def _source_hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _asset(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")


class _Compiled(jinja2.FileSystemBytecodeCache):
    """Compiled templates, kept where Python may keep compiled modules too; elsewhere they are compiled each time."""

    def get_source_checksum(self, source: str) -> str:
        """Return what compiled text must have been made from: constants are computed ahead, by the code of pages."""
        return super().get_source_checksum(source + fingerprint.stage_hash("report") + jinja2.__version__)

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep a compiled template, or none."""
        if not sys.dont_write_bytecode:
            with contextlib.suppress(OSError):
                super().dump_bytecode(bucket)


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        bytecode_cache=_Compiled(str(COMPILED), "%s.jinja"),
        autoescape=True,
        finalize=_finalize,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        short=_short,
        words=words.words,
        segment=_segment,
        settings_text=_settings_text,
        percent=_percent,
        kappa=kappa,
        of_hundred=of_hundred,
        exact=_exact,
        check_name=words.check_name,
        claim_name=words.claim_name,
        limit=_limit,
        failed=words.failed,
        reason=words.reason_words,
        assumption=words.assumption_words,
        named=words.named,
        wide=is_wide,
        unsure=is_unsure,
        linked=linked,
    )
    environment.globals.update(anchor=anchor, ENDPOINTS=ENDPOINTS, GLOSSARY=words.GLOSSARY, standing=standing)
    return environment
