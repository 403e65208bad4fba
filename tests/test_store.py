import json
import re
import stat

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from ctcascade.data import sealed, store
from ctcascade.data.errors import InputError
from ctcascade.data.results import Counts, Operator, Provenance, Quality
from ctcascade.data.tables import CALL_TABLE, TABLES
from tests.support.json_results import write_result

pytestmark = pytest.mark.unit

MADE_BY = Provenance(software="ctcascade", version="0", settings={"a": 1}, inputs={})


def calls(n=2):
    return pd.DataFrame(
        {
            "frame": ["f1"] * n,
            "cell": range(1, n + 1),
            "y_px": np.linspace(1, 2, n),
            "x_px": np.linspace(3, 4, n),
            "call": ["ctc"] * n,
            "p_ctc": [0.75] * n,
            "cluster": pd.array([None] * n, dtype="Int64"),
            "with_leukocyte": [False] * n,
            "at_border": [False] * n,
            "reason": [""] * n,
            "judge_reason": [""] * n,
            **dict.fromkeys(("gates_p_ctc", "judge_ln_ratio", "p_ctc_in_sample", "unlike"), [None] * n),
            "unlike_rank": pd.array([None] * n, dtype="Int64"),
        }
    )


def test_a_table_is_read_back_as_it_was_written(tmp_path):
    path = tmp_path / "deep" / "calls.parquet"
    store.write_table(path, "calls", calls(), MADE_BY)
    found = store.read_table(path, "calls")
    assert list(found.columns) == [c.name for c in CALL_TABLE.columns]
    assert found["cell"].tolist() == [1, 2]
    assert found["y_px"].dtype == np.float32
    assert found["cluster"].isna().all()
    assert store.table_provenance(path).model_dump(exclude_unset=True) == MADE_BY.model_dump(exclude_unset=True)
    assert pq.ParquetFile(path).metadata.row_group(0).column(0).compression == "ZSTD"


@pytest.mark.parametrize("kind", sorted(TABLES))
def test_an_empty_table_has_its_columns_and_types(tmp_path, kind):
    columns = [c.name for c in TABLES[kind].for_roles(["dna", "ck", "cd45"])]
    store.write_table(tmp_path / "t.parquet", kind, pd.DataFrame(columns=columns), MADE_BY)
    schema = pq.read_schema(tmp_path / "t.parquet")
    assert schema.names == columns
    assert schema.field("frame").type == "string"
    assert len(store.read_table(tmp_path / "t.parquet", kind)) == 0


def test_equal_tables_are_equal_bytes(tmp_path):
    for name in ("a", "b"):
        store.write_table(tmp_path / name, "calls", calls(), MADE_BY)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_null_in_a_column_without_nulls_is_a_bug(tmp_path):
    broken = calls().assign(call=[None, "ctc"])
    with pytest.raises(ValueError, match="null"):
        store.write_table(tmp_path / "t.parquet", "calls", broken, MADE_BY)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_not_a_table_is_refused(tmp_path):
    (tmp_path / "t.parquet").write_bytes(b"PAR1 and nothing else")
    with pytest.raises(InputError, match="run the stage before this one again"):
        store.read_table(tmp_path / "t.parquet", "calls")
    with pytest.raises(InputError, match=r"t2.parquet"):
        store.read_table(tmp_path / "t2.parquet", "calls")
    calls()[["frame", "cell"]].to_parquet(tmp_path / "few.parquet")
    sealed.seal(tmp_path / "few.parquet")
    with pytest.raises(InputError, match="y_px, x_px, call"):
        store.read_table(tmp_path / "few.parquet", "calls")


def test_a_file_is_complete_or_absent(tmp_path):
    path = tmp_path / "out.txt"
    path.write_text("old")
    with pytest.raises(TypeError), store.whole(path) as part:
        part.write_text("half") + "way"
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
    store.write_text(path, "new é")
    assert path.read_text(encoding="utf-8") == "new é"
    plain = tmp_path / "plain"
    plain.touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)  # as the user's umask has it


def test_provenance_has_hashes_and_no_path(tmp_path):
    (tmp_path / "in.txt").write_text("abc")
    made = store.provenance({"x": 1}, {"cells": tmp_path / "in.txt"})
    assert made.settings == {"x": 1}
    assert made.inputs == {"cells": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}
    assert str(tmp_path) not in made.model_dump_json()


def test_a_result_that_breaks_its_schema_is_a_bug(tmp_path):
    with pytest.raises(ValidationError):
        write_result(tmp_path / "c.json", "counts", {"status": "fine"})
    assert list(tmp_path.iterdir()) == []


def test_a_result_is_written_as_it_was_given(tmp_path):
    """Keys are sorted, whole numbers stay whole, null is written, and what was not given is not."""
    made = Operator(sample="S\u00e4", status="no_events", reason="", compared=None, provenance=MADE_BY)
    store.write_json(tmp_path / "operator.json", made)
    text = (tmp_path / "operator.json").read_text(encoding="utf-8")
    found = store.read_json(tmp_path / "operator.json", Operator)
    own = found.provenance.content_sha256
    assert text.replace(own, "...") == (
        '{\n "compared": null,\n "provenance": {\n  "content_sha256": "...",\n  "inputs": {},\n'
        '  "settings": {\n   "a": 1\n  },\n'
        '  "software": "ctcascade",\n  "version": "0"\n },\n "reason": "",\n "sample": "S\u00e4",\n'
        ' "status": "no_events"\n}\n'
    )
    sealed_too = made.provenance.model_copy(update={"content_sha256": own})
    assert found == made.model_copy(update={"provenance": sealed_too})
    assert store.text_provenance(tmp_path / "operator.json", Operator) == sealed_too
    for changed in (text.replace("no_events", "ok"), text.replace('"S\u00e4"', '"S1"'), text.replace(own, own[::-1])):
        (tmp_path / "operator.json").write_text(changed, encoding="utf-8")
        with pytest.raises(InputError, match="differs from its checksum"):
            store.read_json(tmp_path / "operator.json", Operator)
    without = "\n".join(line for line in text.splitlines() if "content_sha256" not in line)
    (tmp_path / "operator.json").write_text(without, encoding="utf-8")
    with pytest.raises(InputError, match="without its checksum"):
        store.text_provenance(tmp_path / "operator.json", Operator)


def test_a_page_names_what_made_it_and_shows_any_change(tmp_path):
    path = tmp_path / "page.html"
    made_by = MADE_BY.model_copy(update={"settings": {"note": "a --> b </script> \u2028 &"}})
    store.write_page_text(path, "<html><p>12 of 100</p></html>", made_by)
    assert store.text_provenance(path, None).settings == made_by.settings
    text = path.read_text(encoding="utf-8")
    assert text.count("-->") == 1
    for changed in (text.replace("12 of", "99 of"), text + " ", "<html></html>"):
        path.write_text(changed, encoding="utf-8")
        with pytest.raises(InputError, match="checksum"):
            store.text_provenance(path, None)


def test_numbers_come_back_bit_for_bit(tmp_path):
    numbers = np.random.default_rng(1).lognormal(0, 30, 4000).tolist()
    check = {"check": "c", "meaning": "", "state": "ok", "limit": "at most", "warn": 96, "fail": 1e-300}
    made = Quality(
        sample="S",
        lot=None,
        tube=None,
        hours_to_processing=2,
        status="ok",
        checks=[{**check, "value": number} for number in numbers],
        frames=[],
        frame_states={"ok": 0, "warn": 0, "fail": 0},
        lost_frames={},
        flagged_frames={},
        provenance=MADE_BY,
    )
    store.write_json(tmp_path / "q.json", made)
    found = store.read_json(tmp_path / "q.json", Quality)
    assert [check.value for check in found.checks] == numbers
    assert (found.hours_to_processing, found.checks[0].warn, found.checks[0].fail) == (2, 96, 1e-300)
    assert '"warn": 96,' not in (tmp_path / "q.json").read_text()  # the last key of a check
    assert '"warn": 96\n' in (tmp_path / "q.json").read_text()


@pytest.mark.parametrize(
    "text",
    ["", "{", '{"status": "fine"}', "[]", '{"status": NaN}', "\udcff"],
    ids=["none", "half", "other", "list", "nan", "bytes"],
)
def test_a_file_that_is_not_a_result_is_refused(tmp_path, text):
    (tmp_path / "c.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError, match="run the stage before this one again"):
        store.read_json(tmp_path / "c.json", Counts)


COMPARED = {
    "agreement": None,
    "differing": [],
    **dict.fromkeys(("n_events", "n_elsewhere", "both", "operator_only", "ours_only", "neither"), 0),
    "ours_without_event": 0,
}
DIFFERING = {"frame": "f1", "y_px": "1", "x_px": 2, "operator": True, "call": None, "cell": None}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sample": 3}, r"\$\.sample: found Input should be a valid string \(3\); expected an operator\.json"),
        ({"status": "fine"}, r"found Input should be 'ok', 'no_events' or 'not_comparable' \('fine'\)"),
        (
            {"compared": {**COMPARED, "both": -1}},
            r"\$\.compared\.both: found Input should be greater than or equal to 0",
        ),
        ({"compared": {**COMPARED, "both": True}}, r"\$\.compared\.both: found Input should be a valid integer"),
        (
            {"compared": {**COMPARED, "differing": [DIFFERING]}},
            r"\$\.compared\.differing\[0\]\.y_px: found Input should be a number \('1'\)",
        ),
        ({"mood": 1}, r"\$\.mood: found Extra inputs are not permitted \(1\)"),
        ({"provenance": {}}, r"\$\.provenance\.software: found Field required;"),
    ],
)
def test_the_place_of_a_fault_is_named(tmp_path, change, said):
    sound = {"sample": "S", "status": "ok", "reason": "", "compared": COMPARED, "provenance": MADE_BY.model_dump()}
    (tmp_path / "o.json").write_text(json.dumps(sound))
    assert store.read_json(tmp_path / "o.json", Operator).compared.neither == 0
    (tmp_path / "o.json").write_text(json.dumps(sound | change))
    with pytest.raises(InputError) as refused:
        store.read_json(tmp_path / "o.json", Operator)
    assert re.search(said, str(refused.value))


@pytest.mark.property
@pytest.mark.parametrize("seed", range(4))
def test_any_bit_that_turns_in_a_table_is_seen(seed, tmp_path):
    path = tmp_path / "calls.parquet"
    store.write_table(path, "calls", calls(200), MADE_BY)
    written, rng = path.read_bytes(), np.random.default_rng(seed)
    for bit in [*rng.integers(0, 8 * len(written), 60), 0, 8 * len(written) - 1]:
        changed = bytearray(written)
        changed[bit // 8] ^= 1 << (bit % 8)
        path.write_bytes(bytes(changed))
        with pytest.raises(InputError, match="run the stage before this one again"):
            store.read_table(path, "calls")
        with pytest.raises(InputError):
            store.table_provenance(path)
        with pytest.raises(InputError):
            list(store.read_parts(path, "calls"))
    path.write_bytes(written)
    assert len(store.read_table(path, "calls")) == 200
    for length in rng.integers(0, len(written), 20):
        path.write_bytes(written[:length])
        with pytest.raises(InputError):
            store.read_table(path, "calls")


def test_a_table_of_another_program_is_refused_and_ours_is_read_by_others(tmp_path):
    calls().to_parquet(tmp_path / "other.parquet")
    with pytest.raises(InputError, match="without its checksum"):
        store.read_table(tmp_path / "other.parquet", "calls")
    store.write_table(tmp_path / "ours.parquet", "calls", calls(), MADE_BY)
    assert pd.read_parquet(tmp_path / "ours.parquet")["cell"].tolist() == [1, 2]
    assert len(pq.read_table(tmp_path / "ours.parquet", page_checksum_verification=True)) == 2


@pytest.mark.parametrize("change", ['"n_ctc": NaN', '"n_ctc": Infinity', '"n_ctc": 1, "n_ctc": 2', '"n_ctc": 1,'])
def test_json_that_is_not_ours_is_refused_in_words(change, tmp_path):
    path = tmp_path / "counts.json"
    path.write_text('{"provenance": {"settings": {' + change + "}}}")
    with pytest.raises(InputError, match="run the stage before this one again"):
        store.read_json(path, Counts)


@pytest.mark.parametrize(
    ("number", "said"), [("1" * 400, "a number of 400 digits"), ("1e400", "1e400, which no number holds")]
)
def test_numbers_that_no_number_holds_are_refused_in_words(number, said, tmp_path):
    path = tmp_path / "counts.json"
    path.write_text('{"n_ctc": ' + number + "}")
    with pytest.raises(InputError, match=said):
        store.read_json(path, Counts)


def test_a_file_is_on_the_disk_before_it_gets_its_name(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(store.os, "fsync", lambda handle: synced.append((tmp_path / "a").exists()))
    store.write_text(tmp_path / "a", "text")
    assert synced == [False]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, None])
@pytest.mark.parametrize("name", ["y_px", "x_px", "p_ctc"])
def test_a_measurement_that_is_no_number_is_named_with_its_row(tmp_path, name, value):
    path = tmp_path / "calls.parquet"
    store.write_table(path, "calls", calls(9), MADE_BY)
    table = pq.read_table(path)
    values = [*table.column(name).to_pylist()[:7], value, 1.0]
    changed = table.set_column(table.column_names.index(name), name, pa.array(values, pa.float32()))
    pq.write_table(changed, path, write_page_checksum=True)
    sealed.seal(path)
    with pytest.raises(InputError, match=rf"calls\.parquet: row 8, {name}: found (nan|-?inf|None); expected a number"):
        store.read_table(path, "calls")


OTHER_VERSION = [
    (lambda t: t.drop_columns(["reason"]), "reason: found no such column; expected a calls table of this version"),
    (lambda t: t.append_column("mood", pa.array(["good"] * len(t))), "mood: found a column that is none of its own"),
    (
        lambda t: with_column(t, "cell", pa.array(["1"] * len(t))),
        "cell: found a column of string; expected one of",
    ),
    (lambda t: with_column(t, "p_ctc", pa.array(["0.5"] * len(t))), "p_ctc: found a column of string"),
    (lambda t: with_column(t, "p_ctc", t["p_ctc"].cast(pa.float64())), "p_ctc: found a column of double"),
    (lambda t: with_column(t, "at_border", t["at_border"].cast(pa.int64())), "at_border: found a column of int64"),
    (lambda t: with_column(t, "at_border", pa.nulls(len(t), pa.bool_())), "row 1, at_border: found None"),
    (lambda t: with_column(t, "call", pa.nulls(len(t), pa.string())), "row 1, call: found None; expected a value"),
    (lambda t: with_column(t, "p_ctc", pa.array([0.5, 1.5], pa.float32())), "row 2, p_ctc: found 1.5; expected 0 to 1"),
    (lambda t: with_column(t, "unlike", pa.array([1, np.inf], pa.float32())), "row 2, unlike: found inf"),
    (lambda t: with_column(t, "unlike", pa.array([1, np.nan], pa.float32())), "row 2, unlike: found nan"),
    (lambda t: pa.Table.from_arrays([*t.columns, t["cell"]], [*t.column_names, "cell"]), "a column that stands twice"),
]


def with_column(table, name, values):
    return table.set_column(table.column_names.index(name), name, values)


@pytest.mark.parametrize(("change", "said"), OTHER_VERSION, ids=[said.split(";")[0] for _, said in OTHER_VERSION])
def test_a_whole_table_of_another_version_is_refused_in_words(tmp_path, change, said):
    path = tmp_path / "calls.parquet"
    store.write_table(path, "calls", calls(2), MADE_BY)
    table = pq.read_table(path)
    pq.write_table(change(table).replace_schema_metadata(table.schema.metadata), path, write_page_checksum=True)
    sealed.seal(path)
    for read in (store.read_table, lambda *given: list(store.read_parts(*given))):
        with pytest.raises(InputError, match=re.escape(said)):
            read(path, "calls")


@pytest.mark.parametrize("missing", ["dna_max", "dna_mean", "dna_"])
def test_a_table_without_a_required_channel_is_refused(tmp_path, missing):
    path = tmp_path / "cells.parquet"
    with store.table_writer(path, "cells", ["dna", "ck", "cd45"], MADE_BY):
        pass
    table = pq.read_table(path)
    assert store.read_table(path, "cells").empty
    left = table.drop_columns([name for name in table.column_names if name.startswith(missing)])
    pq.write_table(left.replace_schema_metadata(table.schema.metadata), path, write_page_checksum=True)
    sealed.seal(path)
    with pytest.raises(InputError, match=r"dna_.*: found (no such column|a column that is none)"):
        store.read_table(path, "cells")
