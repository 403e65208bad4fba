"""What a stage is given belongs together, or it is refused: one sample, made from one another, each row once."""

import shutil

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from ctcascade.cascade.simulate import simulate
from ctcascade.counting.count import count
from ctcascade.data import lineage, sealed, store
from ctcascade.data.errors import InputError
from ctcascade.data.results import Quality
from ctcascade.prognosis.prognose import prognose
from ctcascade.report.patient_page import report_patient
from ctcascade.study import jobs, sheets
from tests.support.runs import ROOT

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def study():
    return sheets.read_study([ROOT / "config" / "config.yaml"], {"samples": str(ROOT / "config" / "samples.tsv")})


@pytest.fixture
def folders(demo, tmp_path):
    """Two finished samples that may be changed."""
    for name in ("P01_1", "P01_2"):
        shutil.copytree(demo.results / "samples" / name, tmp_path / name)
    return tmp_path / "P01_1", tmp_path / "P01_2"


def counted(study, one, frames, calls, cells):
    count(jobs.count_job(study, "P01_1"), frames, calls, one / "again.json", cells)
    return (one / "again.json").read_bytes()


def test_a_stage_takes_the_tables_of_its_own_sample_only(study, folders):
    one, two = folders
    own = [one / f"{kind}.parquet" for kind in ("frames", "calls", "cells")]
    assert counted(study, one, *own) == (one / "counts.json").read_bytes()
    for k in range(3):
        mixed = [two / path.name if n == k else path for n, path in enumerate(own)]
        with pytest.raises(InputError, match=f"{mixed[k].name}: found a result of the sample P01_2"):
            counted(study, one, *mixed)


def test_a_stage_takes_a_table_only_beside_the_one_that_it_was_made_from(study, folders):
    one, _ = folders
    own = [one / f"{kind}.parquet" for kind in ("frames", "calls", "cells")]
    cells = store.read_table(own[2], "cells")
    store.write_table(own[2], "cells", cells.iloc[:-1], store.table_provenance(own[2]))
    with pytest.raises(InputError, match=r"calls\.parquet: found made from another cells table"):
        counted(study, one, *own)


def test_a_table_without_provenance_is_refused(folders):
    path = folders[0] / "calls.parquet"
    pq.write_table(pq.read_table(path).replace_schema_metadata(None), path)
    sealed.seal(path)
    for read in (lambda: store.read_table(path, "calls"), lambda: store.table_provenance(path)):
        with pytest.raises(InputError, match="no word of what made it"):
            read()


@pytest.mark.parametrize("kind", ["frames", "cells", "calls"])
def test_a_row_that_stands_twice_is_refused_wherever_it_stands(folders, kind):
    path = folders[0] / f"{kind}.parquet"
    table, made_by = store.read_table(path, kind), store.table_provenance(path)
    doubled = pd.concat([table, table.iloc[[1]]], ignore_index=True)
    store.write_table(path, kind, doubled, made_by)
    named = f"row {len(doubled)}: found frame {table['frame'][1]}"
    with pytest.raises(InputError, match=named):
        store.read_table(path, kind)
    shuffled = table.sample(frac=1, random_state=np.random.RandomState(1))
    store.write_table(path, kind, shuffled, made_by)
    assert len(store.read_table(path, kind)) == len(table)


def test_a_patient_takes_the_counts_of_its_own_samples_once(study, demo, tmp_path):
    counts = [demo.results / "samples" / name / "counts.json" for name in ("P01_1", "P02_1")]
    job = jobs.simulate_job(study, "P01")
    with pytest.raises(InputError, match="found P02; expected P01"):
        simulate(job, counts, tmp_path / "cascade.json")
    shutil.copy(counts[0], tmp_path / "copy.json")
    with pytest.raises(InputError, match="a sample that stands twice"):
        simulate(job, [counts[0], tmp_path / "copy.json"], tmp_path / "cascade.json")


def test_a_prognosis_takes_the_checks_of_its_own_samples(study, demo, tmp_path):
    samples, out = demo.results / "samples", tmp_path / "prognosis.json"
    own = [samples / name / "counts.json" for name in study.samples_of("P01")]
    quality = [path.with_name("quality.json") for path in own]
    job, cascade = jobs.prognose_job(study, "P01"), demo.results / "patients" / "P01" / "cascade.json"

    def refused(checks, words):
        with pytest.raises(InputError, match=words):
            prognose(job, own, cascade, out, checks)
        assert not out.exists()

    refused([*quality, samples / "P02_1" / "quality.json"], "found P02_1; expected one quality.json of each of P01_1")
    shutil.copy(quality[0], tmp_path / "copy.json")
    refused([tmp_path / "copy.json", *quality], "found P01_1; expected one")
    other = store.read_json(quality[0], Quality)
    inputs = {**other.provenance.inputs, "calls": "0" * 64}
    changed = other.model_copy(update={"provenance": other.provenance.model_copy(update={"inputs": inputs})})
    store.write_json(tmp_path / "quality.json", changed)
    refused([tmp_path / "quality.json", quality[1]], "made from another calls table than the counts of P01_1")
    prognose(job, own, cascade, out, quality)
    assert out.read_bytes() == cascade.with_name("prognosis.json").read_bytes()


def test_a_page_takes_the_results_that_belong_together(study, demo, tmp_path):
    samples = demo.results / "samples"
    own = [samples / name / "counts.json" for name in study.samples_of("P01")]
    quality = [path.with_name("quality.json") for path in own]
    of = {name: demo.results / "patients" / name for name in ("P01", "P02")}
    job = jobs.report_patient_job(study, "P01")

    def page(counts, checks, cascade, prognosis):
        report_patient(
            job, counts, checks, of[cascade] / "cascade.json", of[prognosis] / "prognosis.json", tmp_path / "p"
        )

    page(own, quality, "P01", "P01")
    with pytest.raises(InputError, match="found P02; expected P01"):
        page(own, quality, "P02", "P01")
    with pytest.raises(InputError, match="found P02; expected P01"):
        page(own, quality, "P01", "P02")
    with pytest.raises(InputError, match=r"no quality\.json of P01_1"):
        page(own, quality[1:], "P01", "P01")


def test_the_digest_of_a_file_follows_its_bytes(tmp_path):
    for content in (b"x", b"yy"):
        (tmp_path / "a").write_bytes(content)
        assert lineage.digest(tmp_path / "a") == store.file_hash(tmp_path / "a")
