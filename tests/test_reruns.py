"""What a change of the package reruns: the stages that it concerns, and no others."""

import ast
import json
import re
import shutil
import subprocess
import sys
import time

import pytest

from ctcascade.data import fingerprint
from ctcascade.data.fingerprint import PACKAGE, STAGES, modules, stage_hash
from tests.support.runs import ORDER, planned_commands, spelt_out

pytestmark = pytest.mark.workflow

PAGES = {"report_sample", "report_patient", "list_cohort", "report_cohort"}
FROM_CALLS = {"classify", "crops", "count", "quality", "operator", "simulate", "prognose"} | PAGES


def append(text):
    return lambda path: path.write_bytes(path.read_bytes() + text)


def change_survival(path):
    header, first, *rest = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join([header, *rest, first]), encoding="utf-8")


@pytest.fixture
def package(tmp_path):
    """A copy of the package that a test may change."""
    copy = tmp_path / "pipeline" / "ctcascade"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


def planned_rules(output):
    table = output.split("Job stats:")[1].split("Reasons:")[0].split("total")[0].splitlines()
    return {line.split()[0] for line in table[3:] if line.strip()} - {"all"}


@pytest.mark.parametrize(
    ("file", "change", "rules"),
    [
        ("report/templates/style.css", append(b"/* a comment */\n"), PAGES),
        ("evidence/survival.tsv", change_survival, {"prognose"} | PAGES),
        ("calling/classify.py", append(b"# a comment\n"), FROM_CALLS),
        ("images/weights/nuclei.onnx", append(b"\0"), set()),
        ("evidence/quarantine.tsv", append(b"nonsense\n"), set()),
    ],
    ids=["style sheet", "row of survival", "calling", "weights not in use", "quarantine"],
)
def test_a_change_of_the_package_reruns_what_it_concerns(demo, snakemake, package, file, change, rules):
    change(package / file)
    planned = snakemake(demo.folder, "-n", PYTHONPATH=str(package.parent))
    assert planned.code == 0, planned.output
    found = set() if "Nothing to be done" in planned.output else planned_rules(planned.output)
    assert found == rules


def test_the_weights_count_where_the_learned_segmenter_is_chosen(package):
    append(b"\0")(package / "images" / "weights" / "nuclei.onnx")
    for stage in STAGES:
        always = stage_hash(stage, package=package) != stage_hash(stage)
        chosen = stage_hash(stage, learned=True, package=package) != stage_hash(stage, learned=True)
        # a validation in silico detects by itself, so that it keeps both segmenters in its hash
        assert (always, chosen) == (stage == "replicates", stage in ("detect", "replicates"))


def test_a_file_of_another_name_changes_the_hash(package):
    template = package / "report" / "templates" / "page.js"
    template.rename(template.with_name("other.js"))
    assert stage_hash("report", package=package) != stage_hash("report")
    assert stage_hash("prognose", package=package) == stage_hash("prognose")


@pytest.mark.parametrize("stage", STAGES)
def test_each_file_and_table_that_a_stage_names_is_there(stage):
    of = STAGES[stage]
    assert [pattern for pattern in (*of.files, *of.weights) if not any(PACKAGE.glob(pattern))] == []
    assert [name for name in of.evidence if not (PACKAGE / "evidence" / f"{name}.tsv").exists()] == []


def test_compiled_files_do_not_change_it(package):
    (package / "report" / "__pycache__").mkdir()
    (package / "report" / "__pycache__" / "pages.cpython-311.pyc").write_bytes(b"cache")
    assert {stage: stage_hash(stage, package=package) for stage in STAGES} == {s: stage_hash(s) for s in STAGES}


def test_the_imports_found_are_those_of_the_syntax_tree():
    for path in PACKAGE.rglob("*.py"):
        if path == PACKAGE / "__init__.py":
            continue
        nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        statements = [n for n in nodes if isinstance(n, ast.Import | ast.ImportFrom)]
        assert not any(isinstance(n, ast.ImportFrom) and n.level for n in statements), f"{path}: relative import"
        own = {target for n in statements if "ctcascade" in ast.unparse(n) for target in fingerprint._targets(n)}
        wanted = {module for target in own for module in fingerprint._with_parents(target, PACKAGE)}
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")
        assert wanted <= set(fingerprint._imported(name, PACKAGE)), name


def test_all_hashes_cost_less_than_reading_a_small_table():
    stage_hash.cache_clear()
    fingerprint._imported.cache_clear()
    start = time.perf_counter()
    for stage in STAGES:
        stage_hash(stage)
    assert time.perf_counter() - start < 1  # 0.04 s on an idle machine


WATCHED = """
import json, sys
from pathlib import Path
package, record = Path(sys.argv.pop(1)), sys.argv.pop(1)
opened = set()

def for_ids_only(frame):  # every table is opened to see that no id is in two of them
    while frame and frame.f_code.co_name != "_tables_of_ids":
        frame = frame.f_back
    return frame is not None

def hook(event, args):
    if event == "open" and not for_ids_only(sys._getframe()):
        opened.add(str(args[0]))

sys.addaudithook(hook)
from ctcascade.__main__ import main
main(sys.argv[1:])
read = [Path(p).relative_to(package).as_posix() for p in opened if p.startswith(str(package))]
used = [name.removeprefix("ctcascade.") for name in sys.modules if name.startswith("ctcascade.")]
Path(record).write_text(json.dumps({"files": read, "modules": used}))
"""


@pytest.fixture(scope="module")
def seen(demo, tmp_path_factory):
    """What a job of each rule of the demonstration reads of the package: rule -> (modules, files)."""
    folder = tmp_path_factory.mktemp("watched") / "run"
    shutil.copytree(demo.folder, folder, symlinks=True)
    planned = planned_commands(folder)
    planned = [(rule, spelt_out(words, planned)) for rule, words in planned]
    found = {rule: words for rule, words in planned if any(re.search(r"/P01(_1)?/", word) for word in words)}
    record = folder / "record.json"
    for rule in ORDER:
        watched = [sys.executable, "-c", WATCHED, PACKAGE, record, *found[rule]]
        done = subprocess.run(watched, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        found[rule] = json.loads(record.read_text())
    return {rule: found[rule] for rule in ORDER}


OF_THE_COMMAND_LINE = re.compile(r"__main__|data\.command_line|\w+\.verbs")
"""Modules that only read the command line."""


def only_a_docstring(name):
    """Whether a loaded module is a room whose `__init__` holds no code: it is loaded on the way to the room's verbs."""
    place = PACKAGE / name / "__init__.py"
    return place.exists() and [type(node) for node in ast.parse(place.read_text()).body] == [ast.Expr]


def test_a_job_reads_nothing_of_the_package_that_its_hash_leaves_out(seen):
    stage_of = {"gather": "detect", "report_sample": "report", "report_patient": "report"}
    # a table is checked against others when it is read, which changes no number
    checked_against = {f"evidence/{name}.tsv" for name in ("references", "shapes", "survival")}
    for rule, read in seen.items():
        stage = STAGES[stage_of.get(rule, rule)]
        declared = {path.relative_to(PACKAGE).as_posix() for pattern in stage.files for path in PACKAGE.glob(pattern)}
        declared |= {f"evidence/{name}.tsv" for name in stage.evidence}
        of_data = {name for name in read["files"] if not name.endswith(".py") and "__pycache__" not in name}
        of_data -= {"__init__.pyi"}  # the names that `import ctcascade` offers; no stage uses them
        assert of_data <= declared | (checked_against if stage.evidence else set()), rule
        used = {name for name in read["modules"] if not OF_THE_COMMAND_LINE.fullmatch(name)}
        used = {name for name in used if not only_a_docstring(name)}
        assert used <= set(modules(stage.modules)), rule


def test_the_stages_read_the_evidence_that_they_declare(seen):
    """Declared and never read would rerun a stage for nothing; a page shows whatever a result names."""
    for rule in ("simulate", "prognose"):
        read = {name for name in seen[rule]["files"] if name.startswith("evidence/")}
        never = {f"evidence/{name}.tsv" for name in STAGES[rule].evidence} - read
        assert never <= {"evidence/clusters.tsv", "evidence/phenotype.tsv"}, rule  # those depend on the patient
