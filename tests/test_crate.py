"""A run as an RO-Crate: the rules of the specification and its profiles, and nothing of persons or machines."""

import json
import re
import shutil
import socket
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote

import pytest

from ctcascade.data import store
from ctcascade.data.errors import InputError
from ctcascade.data.finished import CRATE_FILE
from ctcascade.report import ro_crate
from ctcascade.study.jobs import CrateJob
from ctcascade.validation.verify import verify
from tests.support.runs import ROOT
from tests.support.sheets import SAMPLE, only_fault

# What the validator of RO-Crate (roc-validator 0.13.0) requires of the four profiles is met, as config/README.md says.
# It fetches contexts from the network and is not in the lock: here are the rules of the specifications themselves.


@pytest.fixture
def made(demo, tmp_path):
    """The results of the demonstration as a crate, and its entities by their names."""
    results = tmp_path / "results"
    shutil.copytree(demo.results, results)
    ro_crate.write_crate(CrateJob(), results, ROOT)
    content = json.loads((results / CRATE_FILE).read_text(encoding="utf-8"))
    entities = {entity["@id"]: entity for entity in content["@graph"]}
    assert len(entities) == len(content["@graph"])  # each once
    return SimpleNamespace(results=results, content=content, entities=entities)


def references(data):
    """Return the names that entities refer to."""
    if isinstance(data, dict):
        return [data["@id"]] if set(data) == {"@id"} else [r for v in data.values() for r in references(v)]
    return [r for v in data for r in references(v)] if isinstance(data, list) else []


@pytest.mark.workflow
def test_the_crate_keeps_the_rules_of_ro_crate_1_1(made):
    """Sections 'Metadata File Descriptor', 'Root Data Entity', 'Data Entities' and 'Contextual Entities'."""
    assert made.content["@context"][0] == "https://w3id.org/ro/crate/1.1/context"
    descriptor, root = made.entities["ro-crate-metadata.json"], made.entities["./"]
    assert (descriptor["@type"], descriptor["about"]) == ("CreativeWork", {"@id": "./"})
    assert {"@id": "https://w3id.org/ro/crate/1.1"} in descriptor["conformsTo"]
    assert root["@type"] == "Dataset"
    assert all(root[key] for key in ("name", "description", "datePublished", "license"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", root["datePublished"])
    parts = {part["@id"] for part in root["hasPart"]}
    files = {name for name, entity in made.entities.items() if "File" in entity["@type"]}
    assert parts == files
    there = {p.relative_to(made.results).as_posix() for p in made.results.rglob("*") if p.is_file()}
    own = {n for n in there if n.split("/")[0] not in ("logs", "benchmarks") and n != CRATE_FILE}
    assert {unquote(name) for name in files} == {n for n in own if not any(p.startswith(".") for p in n.split("/"))}
    for name in files:
        entity, path = made.entities[name], made.results / unquote(name)
        assert (entity["contentSize"], entity["sha256"]) == (str(path.stat().st_size), store.file_hash(path))
    for entity in made.content["@graph"]:
        assert entity["@id"]
        assert entity["@type"]
        for name in references(list(entity.values())):
            assert name in made.entities or name.startswith("https://"), name


@pytest.mark.workflow
def test_the_crate_keeps_the_rules_of_workflow_run_crate_0_5(made):
    """Workflow RO-Crate 1.0: a workflow with its language; Process Run Crate 0.5: an action with its instrument."""
    root = made.entities["./"]
    assert {"@id": "https://w3id.org/ro/wfrun/workflow/0.5"} in root["conformsTo"]
    for profile in root["conformsTo"]:
        assert made.entities[profile["@id"]]["@type"] == "CreativeWork"
    main = made.entities[root["mainEntity"]["@id"]]
    assert set(main["@type"]) == {"File", "SoftwareSourceCode", "ComputationalWorkflow"}
    assert made.entities[main["programmingLanguage"]["@id"]]["@type"] == "ComputerLanguage"
    assert (made.results / main["@id"]).read_bytes() == (ROOT / "Snakefile").read_bytes()
    (action,) = (e for e in made.content["@graph"] if e["@type"] == "CreateAction")
    assert {"@id": action["@id"]} in root["mentions"]
    assert action["instrument"] == {"@id": main["@id"]}
    results = {result["@id"] for result in action["result"]}
    assert {"index.html", "samples/P01_1/counts.json"} <= results
    assert not any(name.startswith("workflow/") for name in results)


@pytest.mark.workflow
def test_images_are_described_in_words_of_rembi(made):
    images = made.entities["#images-P01_1"]
    fields = [made.entities[field["@id"]] for field in images["additionalProperty"]]
    values = {field["name"]: field["value"] for field in fields}
    assert values["REMBI: Image data / Pixel size"] == "0.645 um"
    assert values["REMBI: Image data / Number of images"] == "3"
    assert values["REMBI: Specimen / Biosample volume"] == "7.5 mL of blood"
    assert values["REMBI: Image data / Channels"].startswith("cd45: CD45-APC, ck: CK-PE, dna: DAPI")
    assert "Made-up images" in values["REMBI: Study / Notice"]


@pytest.mark.workflow
def test_nothing_of_persons_and_machines_is_in_it_and_no_licence_is_claimed(made):
    text = (made.results / CRATE_FILE).read_text(encoding="utf-8")
    for private in (socket.gethostname(), str(Path.home()), str(made.results), str(ROOT), "/tmp", "/home", "Person"):
        assert private not in text
    assert '"startTime"' not in text
    licence = made.entities[made.entities["./"]["license"]["@id"]]
    assert licence["name"] == "No licence stated"
    assert made.entities["workflow/Snakefile"]["license"] == {"@id": "https://spdx.org/licenses/MIT"}  # of the program
    before = (made.results / CRATE_FILE).read_bytes()
    ro_crate.write_crate(CrateJob(), made.results, ROOT)
    assert (made.results / CRATE_FILE).read_bytes() == before
    stated = CrateJob(license="https://spdx.org/licenses/CC-BY-4.0", date_published="2026-12-01", name="Ours")
    ro_crate.write_crate(stated, made.results, ROOT)
    root = json.loads((made.results / CRATE_FILE).read_text(encoding="utf-8"))["@graph"][1]
    assert (root["license"]["@id"], root["datePublished"], root["name"]) == (
        "https://spdx.org/licenses/CC-BY-4.0",
        "2026-12-01",
        "Ours",
    )


@pytest.mark.workflow
def test_verify_names_what_is_not_as_the_crate_says(made):
    assert verify(made.results)[1] == 0
    (made.results / "README.md").write_text("other", encoding="utf-8")
    (made.results / "workflow" / "Snakefile").unlink()
    lines, wrong = verify(made.results)
    assert wrong == 2
    assert f"{made.results / 'README.md'}: another file than {CRATE_FILE} holds the checksum of" in lines
    assert f"{made.results / 'workflow' / 'Snakefile'}: missing, and {CRATE_FILE} names it" in lines
    (made.results / CRATE_FILE).write_text("{", encoding="utf-8")
    assert any("no RO-Crate" in line for line in verify(made.results)[0])


@pytest.mark.workflow
def test_the_library_of_ro_crate_reads_it(made):
    rocrate = pytest.importorskip("rocrate.rocrate")  # pip install 'ctcascade[crate]'; not in the lock
    assert rocrate.ROCrate(str(made.results)).mainEntity.id == "workflow/Snakefile"


@pytest.mark.unit
@pytest.mark.parametrize("path", ["/home/ann/slides", "C:\\Users\\ann", "~/slides", "/data/a.czi::A1"])
def test_absolute_paths_of_images_are_refused(tmp_path, monkeypatch, path):
    monkeypatch.setattr(store, "table_provenance", lambda _: SimpleNamespace(settings={"images": ["slides/a", path]}))
    sample = SimpleNamespace(folder=tmp_path)
    (fault,) = ro_crate._absolute([sample])
    assert "expected a path relative to the sample sheet" in str(fault)
    assert "crate: {absolute_paths: true}" in str(fault)


@pytest.mark.unit
def test_results_that_are_none_are_refused(tmp_path):
    with pytest.raises(InputError, match="results"):
        ro_crate.write_crate(CrateJob(), tmp_path, ROOT)


@pytest.mark.unit
@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"license": "ours"}, "license: found ours; expected empty, or an address"),
        ({"date_published": "today"}, "date_published: found today; expected a day in quotes"),
    ],
)
def test_an_impossible_setting_is_refused(folder, given, said):
    assert said in only_fault([SAMPLE], crate=given)
