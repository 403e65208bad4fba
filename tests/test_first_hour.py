"""The first hour: the commands of docs/first_hour.md take a stranger's folder of images to the report."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.workflow

ROOT = Path(__file__).parents[1]
FILLED = (  # what the page's second step lists, file by file
    ("samples.tsv", "\tFILL_IN\tscans/P01_1\tscans\tFILL_IN\tFILL_IN", "\t2026-02-16\tscans/P01_1\tscans\t7.5\t1"),
    ("patients.tsv", "FILL_IN\tFILL_IN\tFILL_IN", "breast\tmetastatic\tfemale"),
    ("assays/scans.yaml", r"FILL_IN one.*|FILL_IN how.*", "ours"),
    ("assays/scans.yaml", "value: FILL_IN", "value: 12"),
)


def commands():
    """Return the commands of the page, in order."""
    page = (ROOT / "docs" / "first_hour.md").read_text(encoding="utf-8")
    return re.findall(r"```bash\n(.*?)\n```", page, re.DOTALL)


def test_the_commands_of_the_page_lead_to_the_report(tmp_path):
    init, check, run, show = commands()
    frames = tmp_path / "scans" / "P01_1"
    frames.mkdir(parents=True)
    shutil.copy(ROOT / "test_data" / "images" / "P01_1" / "f001.ome.tif", frames)
    place = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    env = {**os.environ, "PATH": place, "PYTHONPATH": str(ROOT / "pipeline"), "BROWSER": "true"}

    def shell(command):
        here = re.sub(r"~/ctcascade(\S*)", lambda place: shlex.quote(f"{ROOT}{place[1]}"), command)
        ended = subprocess.run(here, shell=True, check=False, cwd=tmp_path, env=env, capture_output=True, text=True)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout + ended.stderr

    shell(init)
    for name, mark, said in FILLED:
        path = tmp_path / name
        text, times = re.subn(mark, said, path.read_text(encoding="utf-8"))
        assert times > 0, name
        path.write_text(text, encoding="utf-8")
    assert "1 samples of 1 patients: nothing to fix" in shell(check)
    assert list((tmp_path / "look").iterdir())
    assert f"Report: {tmp_path}/results/index.html" in shell(run)
    results = tmp_path / "results"
    assert (results / "samples" / "P01_1" / "report.html").is_file()
    assert (results / "patients" / "P01" / "report.html").is_file()
    assert "| ctc_per_7_5_ml.estimate | " in (results / "README.md").read_text(encoding="utf-8")
    assert "index.html" in shell(show)
