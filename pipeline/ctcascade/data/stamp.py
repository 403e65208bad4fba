"""A checksum of a JSON result or a page, inside the text itself: who edits it, or a bit that turns, is seen."""

import hashlib
import re

KEY = "content_sha256"
NOT_YET = "0" * 64
"""What stands for the checksum while it is calculated."""
_MARK = re.compile(rf'"{KEY}": ?"([0-9a-f]{{64}})"')
_WITHOUT = "without its checksum: changed, or written by another version or program"
_DIFFERS = "differs from its checksum: it was changed after it was written"


def stamped(text: str) -> str:
    """Return text with its checksum in place of `NOT_YET`.

    Raises
    ------
    ValueError
        If it has no place for one, or more than one.
    """
    found = list(_MARK.finditer(text))
    if len(found) != 1 or found[0][1] != NOT_YET:
        raise ValueError(f"{len(found)} places for a checksum")
    start, end = found[0].span(1)
    return text[:start] + hashlib.sha256(text.encode("utf-8")).hexdigest() + text[end:]


def fault(text: str) -> str:
    """Return what is wrong with text that should have its checksum; empty where it is as it was written."""
    found = list(_MARK.finditer(text))
    if len(found) != 1:
        return _WITHOUT
    start, end = found[0].span(1)
    same = hashlib.sha256((text[:start] + NOT_YET + text[end:]).encode("utf-8")).hexdigest() == found[0][1]
    return "" if same else _DIFFERS


def has_one(text: str) -> bool:
    """Return whether text has a checksum, right or not."""
    return _MARK.search(text) is not None
