"""XML from image files, which may come from anywhere: parsed by defusedxml, so that a small file stays small in memory.

defusedxml refuses entity definitions and does not load external files. It does not limit size, depth or the defaults
of attributes; those limits are added here.
"""

from xml.etree import ElementTree

_LARGEST = 64_000_000  # bytes; the events of a cartridge take a few million
_DEEPEST = 100
_LONGEST_DEFAULT = 64  # characters


class MarkupError(ValueError):
    """The text is not XML, or is XML that is refused; the message says why."""


class _ShallowTree(ElementTree.TreeBuilder):
    """Builds the tree of elements, and refuses one that is nested too deeply."""

    def __init__(self) -> None:
        super().__init__()
        self._depth = 0

    def start(self, tag: str, attrs: dict[str, str], /) -> ElementTree.Element:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise MarkupError(f"elements nested more than {_DEEPEST} deep")
        return super().start(tag, attrs)

    def end(self, tag: str, /) -> ElementTree.Element:
        self._depth -= 1
        return super().end(tag)


def parse(text: str | bytes) -> ElementTree.Element:
    """Return the root element of an XML text.

    Raises
    ------
    MarkupError
        If the text is not XML, defines an entity, gives an attribute a long default, is nested more than 100 deep or is
        larger than 64 MB. A document type without such definitions is accepted, because some vendors write one; what it
        points to is not read.
    """
    from defusedxml import DefusedXmlException  # noqa: PLC0415 - most images have no XML
    from defusedxml.ElementTree import ParseError, XMLParser  # noqa: PLC0415

    if len(text) > _LARGEST:
        raise MarkupError(f"{len(text)} bytes of XML; at most {_LARGEST} are read")
    parser = XMLParser(target=_ShallowTree())
    parser.parser.AttlistDeclHandler = _refuse_long_default
    try:
        parser.feed(text)
        root: ElementTree.Element = parser.close()
    except DefusedXmlException as error:
        raise MarkupError("entity definitions") from error
    except ParseError as error:
        raise MarkupError(f"no XML: {error}") from error
    return root


def _refuse_long_default(_element: str, _name: str, _kind: str, default: str | None, _required: int) -> None:
    if default is not None and len(default) > _LONGEST_DEFAULT:
        raise MarkupError("an attribute with a long default")
