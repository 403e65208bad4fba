"""What pages call the channels of an assay."""

from pathlib import Path

import pytest
import yaml

from tests.support import report_cases as cases
from tests.support.sheets import SAMPLE, faults, read

pytestmark = pytest.mark.unit
ASSAY = yaml.safe_load(
    (Path(__file__).parents[1] / "config" / "assays" / "cellsearch.yaml").read_text(encoding="utf-8")
)


def test_a_marker_that_is_epcam_is_called_so_on_the_page(tmp_path):
    cases.sample_page(tmp_path)
    usual = cases.Page(tmp_path / "report.html").text
    assert "CK (cytokeratin)" in usual
    job = cases.about_sample(sample="S1", thumbnails=100).page
    named = job.model_copy(update={"assay": job.assay.model_copy(update={"labels": {"ck": "EpCAM", "dna": "Hoechst"}})})
    page = cases.Page(cases.write_page(tmp_path, named)).text
    for text in (
        "EpCAM against CD45",
        "both EpCAM and CD45 positive",
        "EpCAM above surroundings, counts",
        "Hoechst 9",
    ):
        assert text in page


def test_a_label_is_of_a_channel_that_is_there(folder):
    Path("assays").mkdir()
    file = Path("assays/cellsearch.yaml")
    file.write_text(yaml.safe_dump({**ASSAY, "labels": {"epcam": "EpCAM"}}))
    (fault,) = faults([SAMPLE], assays="assays")
    assert "labels.epcam: found epcam; expected a role of channels: cd45, ck, dna, fitc" in fault
    file.write_text(yaml.safe_dump({**ASSAY, "labels": {"ck": "EpCAM"}}))
    assert read([SAMPLE], assays="assays").assays["cellsearch"].labels == {"ck": "EpCAM"}
