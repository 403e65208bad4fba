"""Count false and true CTC calls among very many phantom cells, into a table that is kept.

    python -m verification.false_calls [MINUTES]

A part is a small slide of one kind and seed, rendered and called in memory. Each adds a row to ``false_calls.tsv``;
parts that the table already has are left out, so that a run can be stopped and continued later. Each row names the
commit that made it; `verify_classify.py` computes some of them again. To measure other code, remove the table first.
"""

import csv
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from ctcascade.calling.classify import call_cells, reference_of
from ctcascade.calling.compensation import signals_of
from ctcascade.calling.judge import judged
from ctcascade.study.assay import Gates
from ctcascade.validation import phantom
from tests.support import other_phantom
from tests.support.calling import SETTINGS, assay, partners, pixel_size, seen

HERE = Path(__file__).parent

TABLE = HERE / "false_calls.tsv"
FIRST_SEED = 20_000  # seeds from here on are used by nothing else
LEUKOCYTES = ("leukocyte", *phantom.LEUKOCYTE_KINDS)

DOUBLETS = ((0, 2),) * 120
# As many leukocytes with little CD45 as two real fields have (5 in 100 below a fifth of the median), and more dye and
# debris than a good slide. Dying CTCs occur together with CTCs, so they are counted under precision.
CROWD = phantom.Recipe(
    1000, clusters=DOUBLETS, leukocyte_weak_cd45=0.05, aggregates=3, fragments=3, specks=10, apoptotic=0
)
ALL_NUCLEATED = phantom.Slide(
    6,
    (1004, 1362),
    phantom.Optics(pixel_size_um=0.591, haze=(15.0, 70.0, 30.0, 20.0), photons_per_count=2.0),
    CROWD,
    "files",
)
POOR = replace(ALL_NUCLEATED.optics, psf_um=0.8, read_noise=12.0, vignetting=0.4, bleed=0.03, shift_px=1.2)
CARTRIDGE = phantom.Slide(6, (1036, 1384), recipe=replace(CROWD, leukocytes=600))
OTHER = other_phantom.Blood(6, (1004, 1362), 0.6, 1300, ctcs=0, clusters=DOUBLETS)
GROUPS = ((2, 0), (3, 0), (2, 1), (1, 1), (1, 2), (4, 1))
WITH_CTCS = phantom.Recipe(60, 60, GROUPS, weak_ck=0.1, apoptotic=2)


class Kind(NamedTuple):
    """A kind of slide: how many parts of it there are, and what it is."""

    parts: int
    assay: str
    slide: Any


KINDS = {
    "all nucleated cells": Kind(30, "hdsca", ALL_NUCLEATED),
    "all nucleated cells, poor optics": Kind(12, "hdsca", replace(ALL_NUCLEATED, optics=POOR)),
    "cartridge": Kind(12, "cellsearch", CARTRIDGE),
    "other maker, crowded": Kind(30, "cellsearch", OTHER),
    "other maker, 1 um a pixel": Kind(6, "cellsearch", replace(OTHER, shape=(700, 900), pixel_size_um=1.0)),
    "with CTCs, cartridge": Kind(6, "cellsearch", replace(CARTRIDGE, recipe=WITH_CTCS)),
    "with CTCs, all nucleated cells": Kind(
        6, "hdsca", replace(ALL_NUCLEATED, recipe=replace(WITH_CTCS, leukocytes=600))
    ),
    "with CTCs, other maker": Kind(
        6, "cellsearch", replace(OTHER, shape=(700, 900), pixel_size_um=0.75, leukocytes=250, ctcs=60, clusters=GROUPS)
    ),
}


class Row(NamedTuple):
    """One part: what was there and what was called; `wrong` lists p_ctc of the false candidates."""

    kind: str
    seed: int
    commit: str
    leukocytes: int
    objects: int
    false: int
    uncertain: int
    ctcs: int
    found: int
    wrong: str
    missed: str


_NUMBERS = ("seed", "leukocytes", "objects", "false", "uncertain", "ctcs", "found")


def counted(kind: str, seed: int, commit: str = "") -> Row:
    """Return the row of one part, computed from scratch."""
    of = KINDS[kind]
    about = assay(of.assay)
    truth, cells, noise = seen(of.slide, seed, about)
    gates = Gates.model_validate(about["gates"])
    reference = reference_of(cells, noise, gates, SETTINGS)
    verdict = judged(cells, signals_of(cells, reference.bleed), reference, noise)
    called = call_cells(cells, reference, noise, gates, SETTINGS, verdict)
    calls, p_ctc = called["call"].to_numpy(str), called["p_ctc"].to_numpy()
    ctcs = truth["kind"].isin(phantom.CTC_KINDS).to_numpy()
    shown = np.isin(calls, ("ctc", "uncertain"))
    partner = np.full(len(truth), -1)
    if ctcs.any() or shown.any():  # nothing else depends on the order of the cells
        partner = partners(truth, cells, pixel_size(of.slide))
    true_kind = np.full(len(cells) + 1, "nothing", object)
    true_kind[partner] = truth["kind"]
    wrong = shown & ~np.isin(true_kind[:-1], phantom.CTC_KINDS)
    found = np.append(calls, "")[partner] == "ctc"
    return Row(
        kind,
        seed,
        commit,
        leukocytes=int(truth["kind"].isin(LEUKOCYTES).sum()),
        objects=len(cells),
        false=int((wrong & (calls == "ctc")).sum()),
        uncertain=int((wrong & (calls == "uncertain")).sum()),
        ctcs=int(ctcs.sum()),
        found=int((ctcs & found).sum()),
        wrong=", ".join(f"{what} {p:.2f}" for what, p in zip(true_kind[:-1][wrong], p_ctc[wrong], strict=True)),
        missed=", ".join(f"{n} {what}" for what, n in truth["kind"][ctcs & ~found].value_counts().sort_index().items()),
    )


def kept() -> list[Row]:
    """Return the rows of the table."""
    if not TABLE.exists():
        return []
    with open(TABLE, encoding="utf-8", newline="") as handle:
        rows = csv.DictReader(handle, delimiter="\t")
        return [Row(**{k: int(v) if k in _NUMBERS else v for k, v in row.items()}) for row in rows]


def parts() -> Iterator[tuple[str, int]]:
    """Yield kind and seed of every part, the kinds in turn, so that a run cut short has some of each."""
    seeds = {kind: FIRST_SEED + 1000 * n for n, kind in enumerate(KINDS)}
    for number in range(max(kind.parts for kind in KINDS.values())):
        yield from ((name, seeds[name] + number) for name, kind in KINDS.items() if number < kind.parts)


def main() -> int:
    """Add the parts that the table lacks, for so many minutes."""
    ends = time.monotonic() + 60 * (float(sys.argv[1]) if len(sys.argv) > 1 else 1e6)
    cv2.setNumThreads(1)
    git = ["git", "-C", str(HERE), "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(git, check=True, capture_output=True, text=True).stdout.strip()
    done = {(row.kind, row.seed) for row in kept()}
    if not done:
        TABLE.write_text("\t".join(Row._fields) + "\n", encoding="utf-8")
    for kind, seed in parts():
        if time.monotonic() > ends:
            break
        if (kind, seed) not in done:
            with open(TABLE, "a", encoding="utf-8") as handle:
                handle.write("\t".join(map(str, counted(kind, seed, commit))) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
