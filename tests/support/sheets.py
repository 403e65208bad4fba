"""Sheets of one sample, as a test needs them, and what is refused about them."""

from pathlib import Path

import pytest

from ctcascade.data.errors import InputError
from ctcascade.study import sheets

ROOT = Path(__file__).parents[2]


SAMPLE = {
    "sample": "S1",
    "patient": "P1",
    "collected": "2026-05-01",
    "images": "slides/a",
    "assay": "cellsearch",
    "blood_volume_ml": "7.5",
}


PATIENT = {"patient": "P1", "primary": "breast", "setting": "metastatic", "sex": "female"}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with images for two samples, as a user would have it."""
    for name in ("a", "b"):
        (tmp_path / "slides" / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def tsv(path, rows):
    header = list(dict.fromkeys(key for row in rows for key in row))
    lines = ["\t".join(header), *("\t".join(row.get(key, "") for key in header) for row in rows)]
    Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")


def read(samples=(SAMPLE,), patients=(PATIENT,), look=None, **settings):
    tsv("samples.tsv", samples)
    tsv("patients.tsv", patients)
    return read_files(look, **settings)


def read_files(look=None, **settings):
    given = {"samples": "samples.tsv", "patients": "patients.tsv", **settings}
    return sheets.read_study([ROOT / "config" / "config.yaml"], given, look)


def faults(*args, **kwargs):
    with pytest.raises(InputError) as caught:
        read(*args, **kwargs)
    return [str(fault) for fault in caught.value.faults]


def only_fault(*args, **kwargs):
    found = faults(*args, **kwargs)
    assert len(found) == 1, found
    return found[0]
