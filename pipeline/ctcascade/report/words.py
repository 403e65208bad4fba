"""Names of the schema as words for people, reasons of calls in plain English, and the glossary that pages end with."""

import re
from collections.abc import Mapping, Sequence

from ctcascade.data.results import Counts
from ctcascade.data.vocabulary import CHECK_NAMES

GLOSSARY = {
    "assumed value": "a number that no study supports: it has a stated reason, and a range that is wide on purpose",
    "blank": "blood without any CTC. A count is above blank where it is higher than such blood gives by false calls",
    "cluster": "two or more CTCs that touch",
    "CTC": "circulating tumour cell: here a cell with a nucleus, with cytokeratin (CK) and without CD45",
    "cut-off": "the count at which published studies divided their patients, as their own assay counted",
    "double-positive": "a cell with both CK and CD45, neither called a CTC nor a leukocyte",
    "frame": "one field of view of the microscope",
    "interval, band": "the range that holds the true value with the probability stated beside it, most often 95 %",
    "learned check": "a small trained network that judges each possible CTC once more, beside the limits of the assay",
    "limit (gate)": "what every CTC must pass, such as a least size or a least brightness; set in the assay file",
    "P(CTC)": "probability that a cell is a CTC, if CTCs and other cells were equally frequent",
    "published group": "patients of a published study whose counts were like this one; other people, in other years",
    "uncertain": "a cell that is neither surely a CTC nor surely something else; it is not counted as one",
}
"""Words that need explaining, and what they mean here."""

_ROLES = {"dna": "DNA", "ck": "CK", "cd45": "CD45", "leukocytes": "leukocytes", "channels": "channels"}
_CLAIMS = {
    "_stained": "is stained",
    "_found": "are found",
    "_apart": "tells cells apart",
    "_in_every_frame": "is stained in every frame",
    "_in_order": "are in one order in all frames",
    "_in_place": "lies upon DNA",
    "_is_no_copy_of_dna": "is no copy of DNA",
    "_is_no_copy_of_ck": "is no copy of CK",
    "_into_cd45_known": "in the CD45 channel is known",
}
_WORDS = {
    "ctc": "CTC",
    "double_positive": "double-positive",
    "few_ctcs_lost": "few CTCs are among the cells that were not called",
    "registration_um": "registration (µm)",
    "lung_nsclc": "lung, non-small-cell",
    "lung_sclc": "lung, small-cell",
    "hr_pos_her2_neg": "HR+ HER2−",
    "her2_pos": "HER2+",
    "tnbc": "triple-negative",
    "mhspc": "metastatic, hormone-sensitive",
    "mcrpc": "metastatic, castration-resistant",
    "stage_iii": "stage III",
    "stage_iv": "stage IV",
    "m0": "M0",
}
_STAIN = re.compile(r"(dna|ck|cd45)([+-])")
_REASONS = {
    "ck-": "{ck} close to that of leukocytes",
    "cd45+": "too much {cd45}",
    "small_nucleus": "small nucleus",
    "ragged_nucleus": "ragged nucleus",
    "apoptotic": "DNA condensed as in dying cells",
    "small": "small",
    "large": "large",
    "speckle": "{ck} in speckles",
    "fragment": "no nucleus: a fragment",
    "dye_aggregate": "a clump of dye",
    "other_half_of_mitosis": "the other half of a dividing cell",
    "with_leukocyte": "touches a leukocyte",
    "at_border": "cut by the edge of its frame",
    "noise_reference": "too few leukocytes to compare with, so compared with the noise",
}
_AT_THE_END = ("with_leukocyte", "at_border", "noise_reference")
_JUDGE = re.compile(r"(?: in doubt)?; judge (for|against: (.*))$")


def words(value: object) -> str:
    """Return a name of the schema (``lung_nsclc``) as words."""
    return _WORDS.get(str(value), str(value).replace("_per_7_5_ml", " per 7.5 mL").replace("_", " "))


def check_name(value: object) -> str:
    """Return the name of a check for people."""
    return CHECK_NAMES.get(str(value), words(value))


def claim_name(value: object, names: Mapping[str, str] | None = None) -> str:
    """Return a claim about stains for people, as a statement; `names` are what an assay calls its channels."""
    text, called = str(value), {**_ROLES, **(names or {})}
    for end, said in _CLAIMS.items():
        if text.endswith(end):
            of = called.get(text.removesuffix(end), text.removesuffix(end).upper())
            return f"{of} {said.replace('CK', called['ck']).replace('DNA', called['dna'])}"
    return words(value)


def failed(claim: str) -> str:
    """Return that a claim does not hold."""
    return f"it does not hold that {claim}"


def reason_words(reason: object, names: Mapping[str, str] | None = None) -> str:
    """Return the reason of a call, which the calls table has as keys, in words.

    Parameters
    ----------
    reason : str
        As in the column ``reason``.
    names : mapping of str to str, optional
        What the assay calls its channels, by role.
    """
    called = {**_ROLES, **(names or {})}
    tokens = str(reason).split(" ")
    place = len(tokens)
    while place and tokens[place - 1] in _AT_THE_END:
        place -= 1
    text, judged = " ".join(tokens[:place]), ""
    match = _JUDGE.search(text)
    if match:
        text, judged = text[: match.start()], judge_words(match[1])
    tokens = [*text.split(" "), *tokens[place:]]
    known = all(_STAIN.fullmatch(token) or token in _REASONS for token in tokens)
    said = _tokens(tokens, called) if known else [" ".join(tokens).replace("_", " ")]
    return "; ".join(filter(None, [", ".join(said), judged]))


def _tokens(tokens: Sequence[str], called: Mapping[str, str]) -> list[str]:
    """Return each key in words; several stains are what the cell shows, one alone is what speaks against it."""
    stains = [token for token in tokens if _STAIN.fullmatch(token)]
    seen = [f"{called[token[:-1]]} {'present' if token[-1] == '+' else 'absent'}" for token in stains]
    if len(stains) == 1 and stains[0] in _REASONS:
        seen = [_REASONS[stains[0]].format(**called)]
    return [*seen, *(_REASONS[token].format(**called) for token in tokens if token not in stains)]


def judge_words(said: str) -> str:
    """Return what the learned check says (``for``, ``against: CD45``) in words."""
    verdict, _, what = said.partition(": ")
    if verdict == "for":
        return "the learned check takes it for a CTC"
    return f"the learned check does not take it for a CTC{', because of ' + what if what else ''}"


def assumption_words(name: object) -> str:
    """Return what is assumed, in words, from a key (``recovery``) or what it belongs to and the key."""
    return words(str(name).rpartition("/")[2].rpartition(": ")[2])


def notices_of(counts: Sequence[Counts]) -> list[tuple[str, str]]:
    """Return what the sheet wants said first of samples; with each their names, empty where it holds for all."""
    found: dict[str, list[str]] = {}
    for c in counts:
        if c.notice:
            found.setdefault(c.notice, []).append(c.sample)
    return [(text, "" if len(own) == len(counts) else named(own)) for text, own in found.items()]


def named(names: Sequence[str], most: int = 6) -> str:
    """Return names with commas, of many the first and how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
