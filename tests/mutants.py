"""Break a copy of the project in one way after another; the tests must fail each time.

    python tests/mutants.py [WORD ...]      only the mutants whose name contains one of the words

Ends with 0 when every mutant is caught. An edit that no longer matches the code ends it with 1: then fix the edit.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
LEFT_OUT = shutil.ignore_patterns(".git", ".venv", ".snakemake", "results", "logs", ".*_cache", ".hypothesis", "*.part")


@dataclass(frozen=True)
class Mutant:
    """One way to break the code: `old` occurs once in `file` and becomes `new`; `first` are the likeliest tests."""

    name: str
    file: str
    old: str
    new: str
    first: str


MUTANTS = (
    Mutant(
        "y and x swapped",
        "pipeline/ctcascade/images/measure.py",
        '"y_px": cell.y,\n        "x_px": cell.x,',
        '"y_px": cell.x,\n        "x_px": cell.y,',
        "tests/test_measure.py",
    ),
    Mutant(
        "CK and CD45 swapped",
        "pipeline/ctcascade/formats/frame.py",
        "ordered = {role: planes[role] for role in camera.channels if role in planes}",
        'swapped = {"ck": "cd45", "cd45": "ck"}\n    '
        "ordered = {role: planes[swapped.get(role, role)] for role in camera.channels if role in planes}",
        "tests/test_formats.py",
    ),
    Mutant(
        "one frame dropped",
        "pipeline/ctcascade/images/detect.py",
        "refs = listed.frames[(number - 1) * total // of : number * total // of]",
        "refs = listed.frames[(number - 1) * total // of : number * total // of - 1]",
        "tests/test_workflow.py",
    ),
    Mutant(
        "volume off by a factor 7.5",
        "pipeline/ctcascade/counting/observation.py",
        "return self.blood_volume_ml / REFERENCE_VOLUME_ML * self.sampled_fraction",
        "return self.blood_volume_ml * self.sampled_fraction",
        "tests/test_observation.py tests/test_count.py",
    ),
    Mutant(
        "recovery applied twice",
        "pipeline/ctcascade/counting/observation.py",
        "return self._posterior(count, [share(self.recovery), share(self.sensitivity), *self._tube])",
        "return self._posterior(count, [share(self.recovery), share(self.recovery), share(self.sensitivity)])",
        "tests/test_observation.py tests/test_count.py",
    ),
    Mutant(
        "recovery in the reference count",
        "pipeline/ctcascade/counting/observation.py",
        "return self._posterior(count, [share(self.sensitivity), positive(self.reference_equivalent)])",
        "return self._posterior(\n            count, [share(self.recovery), share(self.sensitivity), "
        "positive(self.reference_equivalent)]\n        )",
        "tests/test_observation.py tests/test_count.py",
    ),
    Mutant(
        "interval of the wrong level",
        "pipeline/ctcascade/counting/observation.py",
        "        tail = (1 - level) / 2\n        low, high = self.blood(count)",
        "        tail = 1 - level\n        low, high = self.blood(count)",
        "tests/test_observation.py tests/test_count.py",
    ),
    Mutant(
        "cluster ids restarted per frame",
        "pipeline/ctcascade/calling/clusters.py",
        '    cluster = pd.array(number, dtype="Int64")\n',
        "    lowest = pd.Series(np.where(number > 0, number, n)).groupby(cells['frame'].to_numpy()).transform('min')\n"
        "    number = np.where(number > 0, number - lowest.to_numpy() + 1, 0)\n"
        '    cluster = pd.array(number, dtype="Int64")\n',
        "tests/test_classify.py",
    ),
    Mutant(
        "portal route removed",
        "pipeline/ctcascade/cascade/circulation.py",
        'row.drains_to if portal_route or name != "portal_vein" else "veins"',
        'row.drains_to if name != "portal_vein" else "veins"',
        "tests/test_simulate.py",
    ),
    Mutant(
        "strata swapped",
        "pipeline/ctcascade/prognosis/rows.py",
        "return [sample.p_between(s.count_low, s.count_high) for s in self.strata]",
        "return [sample.p_between(s.count_low, s.count_high) for s in reversed(self.strata)]",
        "tests/test_prognose.py",
    ),
    Mutant(
        "HTML escape removed",
        "pipeline/ctcascade/report/page.py",
        "autoescape=True,",
        "autoescape=False,",
        "tests/test_report.py",
    ),
)


def main() -> int:
    """Try the mutants one by one and print who caught each."""
    chosen = [m for m in MUTANTS if not sys.argv[1:] or any(word in m.name for word in sys.argv[1:])]
    wrong = [m for m in MUTANTS if (ROOT / m.file).read_text(encoding="utf-8").count(m.old) != 1]
    for mutant in wrong:
        print(f"{mutant.name}: the edit does not match {mutant.file} exactly once")
    if wrong:
        return 1
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "control"
        shutil.copytree(ROOT, copy, ignore=LEFT_OUT)
        failed = first_failure(copy, [])
        print(f"{'unbroken':32} {failed or 'passes'}", flush=True)
        if failed:
            return 1
    survived = [mutant.name for mutant in chosen if not caught(mutant)]
    print(
        f"{len(chosen) - len(survived)} of {len(chosen)} caught" + "".join(f"; survived: {name}" for name in survived)
    )
    return int(bool(survived))


def caught(mutant: Mutant) -> bool:
    """Return whether the tests notice the mutant; print which did."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "mutant"
        shutil.copytree(ROOT, copy, ignore=LEFT_OUT)
        file = copy / mutant.file
        file.write_text(file.read_text(encoding="utf-8").replace(mutant.old, mutant.new), encoding="utf-8")
        failed = first_failure(copy, mutant.first.split()) or first_failure(copy, [])
    print(f"{mutant.name:32} {failed or 'SURVIVED'}  ({time.monotonic() - start:.0f} s)", flush=True)
    return bool(failed)


def first_failure(copy: Path, tests: list[str]) -> str:
    """Return the first test of a copy that fails, or nothing."""
    # the copy's package comes before the installed one, for the tests and for the commands that they start
    env = {**os.environ, "PYTHONPATH": str(copy / "pipeline")}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    done = subprocess.run(command, cwd=copy, env=env, text=True, capture_output=True, check=False)
    if done.returncode == 0:
        return ""
    found = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - |$)", done.stdout, flags=re.MULTILINE)
    if done.returncode != 1 or not found:  # tests that could not start have noticed nothing
        sys.exit(f"pytest ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return found[1]


if __name__ == "__main__":
    sys.exit(main())
