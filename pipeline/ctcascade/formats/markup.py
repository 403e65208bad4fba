"""XML that is not ours: read without entities, so that a small file stays small."""

from typing import Any
from xml.etree import ElementTree
from xml.parsers import expat

_LARGEST = 64_000_000  # bytes; the events of a cartridge take a few million
_DEEPEST = 100
_LONGEST_DEFAULT = 64


class MarkupError(ValueError):
    """The text is no XML that is read here; the message says why."""


def parse(text: str | bytes) -> ElementTree.Element:
    """Return the root element of an XML text.

    Raises
    ------
    MarkupError
        If it is no XML, defines an entity, gives an attribute a long default, is nested more than 100 deep or larger
        than 64 MB. A document type without such definitions is let through, as vendors write one; what it points to
        is not read.
    """
    if len(text) > _LARGEST:
        raise MarkupError(f"{len(text)} bytes of XML; at most {_LARGEST} are read")
    builder, parser, depth = ElementTree.TreeBuilder(), expat.ParserCreate(namespace_separator="}"), 0

    def name(tag: str) -> str:
        return f"{{{tag}" if "}" in tag else tag

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > _DEEPEST:
            raise MarkupError(f"elements nested more than {_DEEPEST} deep")
        builder.start(name(tag), {name(key): value for key, value in attributes.items()})

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(name(tag))

    def entity(*_: Any) -> None:
        raise MarkupError("entity definitions")

    def attribute(_element: str, _name: str, _kind: str, default: str | None, _required: int) -> None:
        if default is not None and len(default) > _LONGEST_DEFAULT:
            raise MarkupError("an attribute with a long default")

    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, builder.data
    parser.EntityDeclHandler, parser.AttlistDeclHandler = entity, attribute
    try:
        parser.Parse(text, True)
    except expat.ExpatError as error:
        raise MarkupError(f"no XML: {error}") from error
    return builder.close()
