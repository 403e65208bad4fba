"""Common names of tumours, and which words of the sheet they stand for: one, or several to choose from."""

import difflib
import re

from ctcascade.data.errors import Fault, plain
from ctcascade.data.vocabulary import SETTINGS

_BOWEL = "write colon or rectum: which one is it?"
_LUNG = "write lung_nsclc (non-small-cell) or lung_sclc (small-cell): which one is it?"
_METASTATIC = "with the setting metastatic"
_SAID = {
    "lung_nsclc": "nsclc|nonsmallcell|nonsmallcelllung|lungadenocarcinoma|lungadeno|lungsquamous|luad|lusc",
    "lung_sclc": "sclc|smallcell|smallcelllung|lungsmallcell",
    "liver": "hcc|hepatocellular|hepatoma|hepatic",
    "breast": "bc|mamma|mammary|idc|ilc|ductal|lobular",
    "prostate": "pca|prostatic|pc",
    "stomach": "gastric|gc",
    "oesophagus": "esophagus|oesophageal|esophageal|escc|eac|oesophagous|oescc",
    "kidney": "renal|rcc|ccrcc|renalcell|hypernephroma",
    "bladder": "urothelial|urinarybladder|tcc|urothelium",
    "pancreas": "pdac|pancreatic|pdc",
    "ovary": "ovarian|eoc|hgsoc",
    "melanoma": "mel|cutaneousmelanoma|skinmelanoma",
    "colon": "coloncarcinoma|colonic|caecum|cecum|sigmoid|sigmoidcolon",
    "rectum": "rectal|rectosigmoid",
    "none": "healthy|donor|healthydonor|benign|control|normal|healthycontrol|volunteer",
    "other": "cup|unknown|unknownprimary|cervix|cervical|uterus|uterine|endometrium|endometrial|testis|testicular"
    "|thyroid|brain|glioma|glioblastoma|gbm|sarcoma|headandneck|hnscc|bileduct|cholangiocarcinoma|gallbladder|neuroblastoma"
    "|mesothelioma|lymphoma|skin|bone|adrenal|anus|anal|smallbowel|net|neuroendocrine|vulva|penis|tongue|larynx",
}
_EXPLAINED = {
    **dict.fromkeys(("lung", "lungs", "bronchus", "bronchial", "pulmonary"), _LUNG),
    **dict.fromkeys(("crc", "colorectal", "colorectum", "bowel", "largebowel", "colonrectum", "cologrectal"), _BOWEL),
    "mcrc": f"write colon or rectum, {_METASTATIC}: which one is it?",
    "mbc": f"write breast, {_METASTATIC}",
    "ebc": "write breast, with the setting early",
    "tnbc": "write breast, with the subtype tnbc",
    "mtnbc": f"write breast, {_METASTATIC} and the subtype tnbc",
    "mcrpc": "write prostate, with the setting mcrpc",
    "crpc": "write prostate, with the setting mcrpc where it is metastatic",
    "mhspc": "write prostate, with the setting mhspc",
    "mcspc": "write prostate, with the setting mhspc",
    "mpc": "write prostate with the setting mhspc or mcrpc, or pancreas with the setting metastatic: which one is it?",
    "mrcc": f"write kidney, {_METASTATIC}",
    "mnsclc": f"write lung_nsclc, {_METASTATIC}",
    "essclc": "write lung_sclc, with the setting extensive",
    "lssclc": "write lung_sclc, with the setting limited",
    "gej": "write oesophagus or stomach: which one is it?",
    "gastrooesophageal": "write oesophagus or stomach: which one is it?",
    "gastroesophageal": "write oesophagus or stomach: which one is it?",
}
_STANDS_FOR = {said: word for word, names in _SAID.items() for said in names.split("|")}
_CUTOFF = 0.8  # a likeness of letters: below it "cervix" and "thyroid" find a neighbour that is another organ
_FILLER = re.compile(r"[^a-z]+|cancer|carcinoma|tumou?r|adenocarcinoma|metastatic|of the ")


def not_a_primary(file: str, at: str, found: str) -> Fault:
    """Return the fault of a primary that is no word of the sheet, with what to write where the name is a common one."""
    return Fault(file, at, plain(found), "one of " + ", ".join(SETTINGS), _what_to_write(found))


def _what_to_write(found: str) -> str:
    spelt = re.sub(r"[^a-z]+", "", found.casefold())
    for said in dict.fromkeys((spelt, _FILLER.sub("", found.casefold()))):
        if said in _EXPLAINED:
            return _EXPLAINED[said]
        if said in _STANDS_FOR:
            return f"write {_STANDS_FOR[said]}" + (" (counts only)" if _STANDS_FOR[said] == "other" else "")
        if said in SETTINGS:
            return f"write {said}"
    if spelt.startswith("lung"):
        return _LUNG
    near = difflib.get_close_matches(found.casefold(), SETTINGS, n=1, cutoff=_CUTOFF)
    if near:
        return f"did you mean {near[0]}?"
    return "choose one of them; other for a tumour that is not among them (counts only)"
