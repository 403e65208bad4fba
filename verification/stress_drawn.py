"""States that nobody chose: two factors of random strength on a random scene, each drawn by a random generator.

A list of states is a list of what somebody thought of. These are drawn new for each seed, so that no limit can be
tuned to them. ``python -m verification.stress_drawn [COUNT] [--seed N]`` prints a row for each, as `stress` does.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from verification import stress, stress_states
from verification.stress_states import PAIRS, ROLES, Light, Planes, Rng, Scene, State

Cell = Callable[[str, Light, Rng], tuple[Light, str]]


def drawn(number: int, seed: int) -> tuple[State, str]:
    """Return a state of two factors, and the generator that draws it."""
    rng = np.random.default_rng([seed, number])
    state = State("", _scene(rng))
    words = [f"{state.scene.ctcs} CTCs of {state.scene.ctc_um:.0f} um", f"{state.scene.leukocytes} leukocytes a frame"]
    for kind in rng.choice(list(_KINDS), 2, replace=False):
        word, change = _KINDS[kind](rng)
        words.append(word)
        state = replace(state, **change)
    maker = str(rng.choice(list(stress.MAKERS)))
    return replace(state, name=f"drawn {number}: " + ", ".join(words)), maker


def _scene(rng: Rng) -> Scene:
    ctcs = int(rng.choice([0, 0, 3, 8, 20, 40]))
    groups = ((2, 0), (3, 0), (2, 1)) if ctcs >= 20 else ()
    um = float(np.exp(rng.uniform(np.log(7), np.log(17))))
    return Scene(int(rng.uniform(20, 130)), ctcs, groups, um, dying=float(rng.choice([0, 0, 1])))


def _strength(least: float, most: float, rng: Rng) -> float:
    return float(np.exp(rng.uniform(np.log(least), np.log(most))))


def _light(rng: Rng) -> tuple[str, dict[str, object]]:
    source, target = PAIRS[int(rng.integers(len(PAIRS)))]
    share = _strength(0.005, 0.1, rng)
    return f"{source} into {target} {share:.1%}", {"light": stress_states._bleed((source, target, share))}


def _stain(rng: Rng) -> tuple[str, dict[str, object]]:
    role, left = str(rng.choice(ROLES)), _strength(0.1, 0.9, rng)
    return f"{role} stain at {left:.0%}", {"light": stress_states._without(role, left)}


def _blood(rng: Rng) -> tuple[str, dict[str, object]]:
    share, level = _strength(0.02, 0.4, rng), _strength(0.02, 0.08, rng)
    kinds: dict[str, Cell] = {
        f"{share:.0%} eosinophils of {level:.2f}": stress_states._eosinophils(share, level),
        f"leukocytes with cytokeratin x{1 + 40 * level:.1f}": stress_states._background(1 + 40 * level),
        f"CD45 of {level / 3:.3f} on {share:.0%} of CTCs": stress_states._cd45_on_ctcs(level / 3, share),
        f"{share:.0%} of CTCs with cytokeratin x0.2": stress_states._some(
            share, stress_states._scaled("ck", 0.2, "ctc")
        ),
        f"cytokeratin of CTCs spreads by {3 * share:.1f}": stress_states._uneven("ck", 3 * share),
        "half of CTCs mitotic": stress_states._form("ctc_mitotic", 1.8),
        f"DNA of CTCs x{1 - share:.1f}": stress_states._scaled("dna", 1 - share, "ctc"),
    }
    word = str(rng.choice(list(kinds)))
    return word, {"cell": kinds[word]}


def _camera(rng: Rng) -> tuple[str, dict[str, object]]:
    share = float(rng.uniform(0.3, 0.9))
    quality, hot, by = int(rng.integers(40, 95)), _strength(1e-5, 1e-3, rng), int(rng.integers(1, 12))
    kinds: dict[str, Callable[[Planes, int, Rng], Planes]] = {
        f"JPEG quality {quality}": stress_states._jpeg(quality),
        f"hot pixels {hot:.0e}": stress_states._hot(hot),
        f"drift to {share:.1f}": stress_states._drift(share),
        f"corners at {share:.1f}": stress_states._vignette(share),
        f"gamma {0.5 + share:.1f}": stress_states._gamma(0.5 + share),
        f"ck shifted by {by} px": stress_states._shifted("ck", by),
        f"cd45 shifted by {by} px": stress_states._shifted("cd45", by),
        "8 bit": stress_states._eight_bit,
    }
    word = str(rng.choice(list(kinds)))
    return word, {"pixels": kinds[word]}


def _focus(rng: Rng) -> tuple[str, dict[str, object]]:
    um = _strength(0.2, 1.2, rng)
    return f"defocus {um:.1f} um", {"defocus_um": um}


def _litter(rng: Rng) -> tuple[str, dict[str, object]]:
    count = int(rng.integers(1, 5))
    kinds = {
        f"{count} dye aggregates a frame": stress_states._dye(count),
        f"{count} fragments a frame": stress_states._fragments(count),
        f"{count} dying cells a frame": stress_states._dying(count),
    }
    word = str(rng.choice(list(kinds)))
    return word, {"blots": kinds[word]}


_KINDS: dict[str, Callable[[Rng], tuple[str, dict[str, object]]]] = {
    "bleed": _light,
    "blood": _blood,
    "camera": _camera,
    "focus": _focus,
    "litter": _litter,
    "stain": _stain,
}


def main(arguments: Sequence[str]) -> int:
    """Print a row for each state; return how many are wrong with status ok."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", nargs="?", type=int, default=60)
    parser.add_argument("--first", type=int, default=0, help="number of the first")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="folder for frames and cells, so that only calling is repeated")
    given = parser.parse_args(arguments)
    print(*stress.COLUMNS, sep="\t")
    silent = 0
    for number in range(given.first, given.first + given.count):
        state, maker = drawn(number, given.seed)
        outcome = stress.run(state, maker, given.seed, given.keep)
        silent += outcome.silent
        print(*stress.row_of(outcome), sep="\t", flush=True)
    print(f"{silent} of {given.count} are wrong with status ok")
    return silent


if __name__ == "__main__":
    sys.exit(bool(main(sys.argv[1:])))
