import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ctcascade import evidence
from ctcascade.data import tables
from ctcascade.evidence.tables import TABLES
from ctcascade.report import dictionary

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[1]
SITE = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reference")
    subprocess.run([sys.executable, ROOT / "docs" / "reference.py", folder], check=True)
    return {path.stem: path.read_text(encoding="utf-8") for path in folder.iterdir()}


def test_the_reference_has_every_column_and_every_key(reference):
    for table in (of for name, of in tables.TABLES.items() if name not in tables.PASSING):
        for column in (*table.columns, *table.per_role):
            assert f"| {column.name} | " in reference["results"]
    assert "| ctc_per_7_5_ml.estimate | number from 0 | yes |" in reference["results"]
    assert "| organs[].p_metastasis.5.high | number from 0 to 1 | yes |" in reference["results"]


def test_the_dictionary_ships_with_the_results(tmp_path, reference):
    dictionary.write_dictionary(tmp_path / "README.md")
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "| ctc_per_7_5_ml.estimate | number from 0 | yes |" in text
    assert reference["results"].partition("\n\n")[2].strip() in text
    assert "Start with `index.html`" in text


def test_the_reference_has_every_setting(reference):
    def names(part, place=""):
        for name, inner in part.items():
            yield f"{place}{name}"
            if isinstance(inner, dict):
                yield from names(inner, f"{place}{name}.")

    shipped = yaml.safe_load((ROOT / "config" / "config.yaml").read_text(encoding="utf-8"))
    for name in names(shipped):
        assert f"\n| {name} | " in reference["settings"]


def test_the_site_has_every_page_and_every_room():
    def pages(part):
        return (
            [part] if isinstance(part, str) else [page for entry in part for page in pages(next(iter(entry.values())))]
        )

    listed = pages(SITE["nav"])
    rooms = {path.parent.name for path in (ROOT / "pipeline" / "ctcascade").glob("*/__init__.py")}
    assert {page.removeprefix("api/") for page in listed if page.startswith("api/")} == {
        f"{room}.md" for room in {"ctcascade", *rooms}
    }
    assert {path.name for path in ROOT.glob("docs/*.md")} <= set(listed)


def test_the_reference_has_every_number_with_its_source(reference):
    for name in TABLES:
        section = reference["evidence"].split(f"\n## {name}\n")[1].split("\n## ")[0]
        assert len(re.findall(r"^\| ", section, re.MULTILINE)) == len(evidence.load(name)) + 2


def test_the_reference_has_every_verb(reference):
    for verb in ("check", "detect", "classify", "count", "quality", "review", "simulate", "prognose", "report"):
        assert f"ctcascade {verb} --help" in reference["commands"]


@pytest.mark.parametrize(
    "page", sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("config/*.md")]), ids=lambda page: page.name
)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
        made = target.startswith("reference/")  # by docs/reference.py, checked when the site is built
        assert made or (page.parent / target).exists(), f"{page.name}: {target}"


def test_files_named_in_the_architecture_exist():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([A-Za-z_*/.]+(?:/|\.(?:py|tsv|yaml|html|css|js|smk|toml)))`", text))
    package = ROOT / "pipeline" / "ctcascade"
    places = (ROOT, ROOT / "tests", package, package / "evidence", package / "report", package / "report" / "templates")
    examples = re.compile("NEW|KIND|TABLE|VERB")  # stand for a name
    missing = [
        name
        for name in named
        if not examples.search(name) and not any(any(place.glob(name.rstrip("/"))) for place in places)
    ]
    assert len(named) > 40
    assert missing == []


def test_the_workflow_catalogue_finds_what_its_rules_ask_for():
    about = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text(encoding="utf-8"))["usage"]
    assert set(about) == {"mandatory-flags", "software-stack-deployment", "report"}
    assert set(about["mandatory-flags"]) == {"desc", "flags"}
    assert set(about["software-stack-deployment"]) == {"conda", "apptainer", "apptainer+conda", "report"}
    assert all(isinstance(value, bool) for value in about["software-stack-deployment"].values())
    assert (ROOT / "workflow" / "Snakefile").is_file()
    assert (ROOT / "config" / "README.md").is_file()
    assert list((ROOT / "workflow" / "rules").glob("*.smk"))
    readme = (ROOT / "README.md").read_text(encoding="utf-8").lower()
    assert "snakemake" in readme
    assert "workflow" in readme
