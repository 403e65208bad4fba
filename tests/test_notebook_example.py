"""The examples of docs/notebook.md, run as they are written there, and what `import ctcascade` promises."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import ctcascade
from ctcascade.data.results import Counts

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[1]
FROM_IMAGES, OF_A_RUN = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "notebook.md").read_text(), re.DOTALL)


@pytest.fixture(scope="module")
def from_images():
    """Return what the first example leaves behind, and what it prints."""
    said = subprocess.run(
        [sys.executable, "-c", FROM_IMAGES], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    names = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        exec(compile(FROM_IMAGES, "docs/notebook.md", "exec"), names)
    return names, said


@pytest.mark.slow
@pytest.mark.regression
def test_the_example_from_images_to_counts_does_what_the_page_says(from_images):
    names, said = from_images
    assert said == "12 CTCs counted: 17.1 (8.9 to 33.3) per 7.5 mL\n"
    assert f"It prints `{said.strip()}`" in (ROOT / "docs" / "notebook.md").read_text()
    counts = names["counts"]
    assert isinstance(counts, Counts)
    assert (counts.n_ctc, counts.n_clusters, counts.n_leukocytes, counts.status) == (12, 1, 199, "ok")
    assert counts.ctc_per_7_5_ml.estimate == pytest.approx(17.13027, abs=1e-4)
    assert len(names["calls"]) == len(names["cells"]) == counts.n_cells
    assert names["frames"]["n_cells"].sum() == counts.n_cells


@pytest.mark.workflow
def test_the_stages_alone_give_what_the_workflow_gives(from_images, demo):
    names, _ = from_images
    there = ctcascade.read_results(demo.results).samples["P01_1"]
    rest = {"provenance", "note", "notice", "ctc_diameters_um", "claims"}  # notes are the sheet's; tables keep 32 bits
    assert names["counts"].model_dump(exclude=rest) == there.counts.model_dump(exclude=rest)
    claims = [[(c.claim, c.verdict) for c in counts.claims] for counts in (names["counts"], there.counts)]
    assert claims[0] == claims[1]
    figures = [[c.value or 0 for c in counts.claims] for counts in (names["counts"], there.counts)]
    assert figures[0] == pytest.approx(figures[1], rel=1e-4)
    sizes = [counts.ctc_diameters_um.quantiles for counts in (names["counts"], there.counts)]
    assert sizes[0] == pytest.approx(sizes[1], rel=1e-6)
    assert names["calls"]["call"].tolist() == there.calls["call"].tolist()
    assert np.allclose(names["cells"]["ck_mean"], there.cells["ck_mean"])


@pytest.mark.workflow
def test_the_example_of_a_finished_run_does_what_the_page_says(demo, tmp_path):
    (tmp_path / "results").symlink_to(demo.results.resolve())
    said = subprocess.run(
        [sys.executable, "-c", OF_A_RUN], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert said[:2] == ["D01_1 ok 0 ok", "P01_1 ok 12 ok"]
    risks = [line for line in said if line.endswith("within 5 years")]
    assert len(risks) == 7
    assert risks[0] == "lung: 0.49 (0.00 to 0.89) within 5 years"
    assert said[-1] == "ok"


@pytest.mark.regression
def test_a_folder_without_results_is_refused(tmp_path):
    with pytest.raises(ctcascade.InputError, match="no samples and no patients"):
        ctcascade.read_results(tmp_path)
    (tmp_path / "samples" / "S1").mkdir(parents=True)
    run = ctcascade.read_results(tmp_path)
    assert list(run.samples) == ["S1"]
    assert (run.controls, run.follow_up, run.recovery) == (None, None, {})
    with pytest.raises(ctcascade.InputError, match=r"counts\.json"):
        _ = run.samples["S1"].counts


@pytest.mark.regression
def test_a_frame_is_an_array_with_its_roles():
    pixels = np.random.default_rng(1).normal(200, 5, (3, 64, 64)).astype(np.float32)
    frame = ctcascade.Frame(pixels, ("dna", "ck", "cd45"), 0.645, 4095.0)
    found = ctcascade.detect_frame(frame, "a")
    assert (found.nuclei.shape, found.cell_labels.max()) == ((64, 64), len(found.cells))
    assert found.frames["frame"].tolist() == ["a"]
    assert found.frames["area_um2"].tolist() == [pytest.approx(64 * 64 * 0.645**2)]


@pytest.mark.regression
def test_an_assay_that_cannot_be_used_is_refused(tmp_path):
    with pytest.raises(ctcascade.InputError, match="an assay file"):
        ctcascade.read_assay(tmp_path / "none.yaml")
    assert ctcascade.read_assay(ROOT / "config/assays/cellsearch_her2.yaml").markers  # extends cellsearch


@pytest.mark.workflow
def test_importing_the_package_loads_nothing_and_lists_what_there_is():
    code = "import sys, ctcascade; print('numpy' in sys.modules, 'pydantic' in sys.modules, sorted(ctcascade.__all__))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    names = ["DetectedFrame", "Frame", "FrameError", "InputError", "PatientResults", "RunResults", "SampleResults"]
    names += ["call_cells", "count_ctcs", "detect_frame", "read_assay", "read_frames", "read_results"]
    assert said == f"False False {names}\n"
    assert all(getattr(ctcascade, name).__doc__ for name in names)
