"""What names of files and channels suggest: one file a channel or not, by which pattern, and which stain is which."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_BETWEEN = re.compile(r"([_\-. ]+)")
_MOST_CHANNELS = 12
_NUMBERED = re.compile(r"(w|ch?|channel|d)\d{1,2}", re.IGNORECASE)
_FLUOROPHORES = r"fitc|tritc|cy\d|gfp|rfp|yfp|pe|apc|texas ?red|alexa|af ?\d{3}|bf|dic|ph|bright ?field|opal"
_STAINS = {
    "dna": r"dapi|hoechst|dna|draq|sytox|nuc(lei|leus|lear)?",
    "cd45": r"cd ?45|lca|ptprc",
    "ck": r"ck\d*|(pan)?ck|pan ?cytokeratin|cytokeratin|keratin|krt\d*|ep ?cam",
}
_LETTERS = r"(?<![a-z])(?:{})(?![a-z])"


@dataclass(frozen=True)
class Pattern:
    """How the names of one file a channel are built.

    Attributes
    ----------
    files : str
        The pattern, as an assay's `files`.
    channels : tuple of str
        What stands for the channel in the names, in order.
    """

    files: str
    channels: tuple[str, ...]


def pattern_of(names: Sequence[str]) -> Pattern | None:
    """Return how files are named if each is one channel: every frame has a file of each; None where they are not.

    Parameters
    ----------
    names : sequence of str
        Names of files in one folder without their suffix, or ``SUBFOLDER/NAME`` where folders may be channels.
    """
    plain = [_GUID.sub("{guid}", name) for name in names if "_thumb" not in name.lower()]
    if any("/" in name for name in plain):
        found = list(_in_folders(plain))
    else:
        found = [one for at in range(-6, 1) for one in _at_place(plain, at)]
        found += [one for n in range(1, 6) for one in _beside_words(plain, n)]
    return max(filter(_are_channels, found), key=_how_sure, default=None)


def role_of_stain(name: str) -> str | None:
    """Return the role that the name of a stain tells; None for a fluorophore or a number alone."""
    for role, words in _STAINS.items():
        if re.search(_LETTERS.format(words), name, re.IGNORECASE):
            return role
    return None


def new_role(name: str, taken: Sequence[str]) -> str:
    """Return a role for a further channel, made of the letters of its name."""
    letters = re.sub(r"[^a-z0-9]", "", name.lower())[:14]
    role = letters if letters[:1].isalpha() else f"c{letters}"
    return role if role not in taken else f"{role}{len(taken)}"


def _how_sure(found: Pattern) -> tuple[int, int]:
    """Return by how many different stains a pattern is borne out; then the fewer channels it needs the better."""
    return len({role for name in found.channels if (role := role_of_stain(name))}), -len(found.channels)


def _are_channels(found: Pattern) -> bool:
    """Return whether the names of channels look like names of channels."""
    alike = re.compile(_LETTERS.format(_FLUOROPHORES), re.IGNORECASE)
    return any(role_of_stain(name) or alike.search(name) or _NUMBERED.fullmatch(name) for name in found.channels)


def _in_folders(names: Sequence[str]) -> Iterator[Pattern]:
    split = [name.split("/", 1) for name in names]
    for pattern, channel, frame in (("{channel}/{frame}", 0, 1), ("{frame}/{channel}", 1, 0)):
        if _each_has_all([(part[frame], part[channel]) for part in split]):
            yield Pattern(pattern, tuple(dict.fromkeys(part[channel] for part in split)))


def _at_place(names: Sequence[str], at: int) -> Iterator[Pattern]:
    """Yield the pattern in which the channel is the word number `at` of each name."""
    found: list[tuple[str, str]] = []
    shapes: set[str] = set()
    for name in names:
        words = _BETWEEN.split(name)
        k = 2 * at if at >= 0 else len(words) + 1 + 2 * at
        if not 0 <= k < len(words) or len(words) == 1:
            return
        guid = "{guid}" if words[k].endswith("{guid}") else ""
        before, after = "".join(words[:k]), "".join(words[k + 1 :])
        between = words[k - 1] if k else ""
        if before and after and at >= 0:
            return
        frame = before.removesuffix(between) if before else after.removeprefix(words[k + 1])
        channel = words[k].removesuffix(guid)
        found.append((frame, channel))
        tail = after if before else ""
        shapes.add(f"{{frame}}{between}{{channel}}{guid}{tail}" if before else f"{{channel}}{words[k + 1]}{{frame}}")
    if len(shapes) == 1 and _each_has_all(found):
        channels = tuple(dict.fromkeys(channel for _, channel in found))
        if not all(channel.isdecimal() for channel in channels):
            yield Pattern(shapes.pop(), channels)


def _beside_words(names: Sequence[str], n: int) -> Iterator[Pattern]:
    """Yield the patterns in which the frame is the first or the last `n` words, and the channel is all the rest."""
    split = [_BETWEEN.split(name) for name in names]
    if any(len(words) < 2 * n + 1 for words in split) or any("{guid}" in name for name in names):
        return
    k = 2 * n - 1
    for marks, pairs, pattern in (
        ({w[k] for w in split}, [("".join(w[:k]), "".join(w[k + 1 :])) for w in split], "{{frame}}{}{{channel}}"),
        (
            {w[-k - 1] for w in split},
            [("".join(w[-k:]), "".join(w[: -k - 1])) for w in split],
            "{{channel}}{}{{frame}}",
        ),
    ):
        if len(marks) == 1 and _each_has_all(pairs):
            yield Pattern(pattern.format(*marks), tuple(dict.fromkeys(channel for _, channel in pairs)))


def _each_has_all(pairs: Sequence[tuple[str, str]]) -> bool:
    """Return whether there are a few channels, and every frame has each of them once."""
    frames, channels = {frame for frame, _ in pairs}, {channel for _, channel in pairs}
    few = 2 <= len(channels) <= _MOST_CHANNELS
    return few and "" not in channels and len(set(pairs)) == len(pairs) == len(frames) * len(channels)
