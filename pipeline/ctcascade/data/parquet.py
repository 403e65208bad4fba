"""Tables as files: parquet, checked against the schema, with provenance inside, and never half-written.

Callers use them as functions of `store`, which loads this module, and pandas with it, when one of them is called.
"""

import contextlib
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import ValidationError

from ctcascade.data import sealed
from ctcascade.data.errors import refuse
from ctcascade.data.results import Provenance, TableProvenance
from ctcascade.data.store import RUN_AGAIN, whole
from ctcascade.data.tables import TABLES, Table
from ctcascade.data.vocabulary import ROLES

_KEY = b"ctcascade"
_ROW_GROUP = 65536


def write_table(path: Path, kind: str, data: pd.DataFrame, made_by: Provenance) -> None:
    """Write a table as parquet (zstd) with the schema's columns in its order and provenance in the metadata.

    Parameters
    ----------
    path : Path
    kind : {"frames", "cells", "calls"}
    data : DataFrame
        May have zero rows: the written file has all columns and their types all the same.
    made_by : Provenance
        From `provenance`.
    """
    schema = arrow_schema(TABLES[kind], data.columns)
    table = pa.Table.from_pandas(data, schema=schema, preserve_index=False)
    table = table.replace_schema_metadata({_KEY: _as_metadata(made_by)})
    with whole(path) as part:
        pq.write_table(table, part, compression="zstd", write_page_checksum=True)
        sealed.seal(part)


@contextlib.contextmanager
def table_writer(
    path: Path, kind: str, roles: Sequence[str], made_by: Provenance
) -> Iterator[Callable[[pd.DataFrame | pa.Table], None]]:
    """Yield a function that appends rows to a table, which is whole when the block ends well.

    Row groups hold a fixed number of rows, so that the bytes do not depend on how the rows arrive, nor memory on
    their number.
    """
    fields = [pa.field(c.name, _ARROW[c.dtype], nullable=c.nullable) for c in TABLES[kind].for_roles(roles)]
    schema = pa.schema(fields, metadata={_KEY: _as_metadata(made_by)})
    waiting = schema.empty_table()
    with whole(path) as part:
        # measured values hardly repeat: a dictionary of them takes longer and more room
        repeating = [field.name for field in fields if not pa.types.is_floating(field.type)]
        with pq.ParquetWriter(
            part, schema, compression="zstd", write_page_checksum=True, use_dictionary=repeating
        ) as writer:

            def append(rows: pd.DataFrame | pa.Table) -> None:
                nonlocal waiting
                table = _as_table(rows, schema) if isinstance(rows, pd.DataFrame) else rows.cast(schema)
                waiting = pa.concat_tables([waiting, table])
                while waiting.num_rows >= _ROW_GROUP:
                    writer.write_table(waiting.slice(0, _ROW_GROUP).combine_chunks(), row_group_size=_ROW_GROUP)
                    waiting = waiting.slice(_ROW_GROUP)

            yield append
            writer.write_table(waiting.combine_chunks(), row_group_size=_ROW_GROUP)
        sealed.seal(part)


def _as_table(rows: pd.DataFrame, schema: pa.Schema) -> pa.Table:
    """Return rows as a table, column by column: of a frame's few rows the conversion as a whole takes twice as long."""
    arrays = []
    for field in schema:
        column = rows[field.name]
        if isinstance(column.dtype, pd.ArrowDtype):
            array = pa.chunked_array(column.array.__arrow_array__()).cast(field.type)
        else:
            array = pa.array(column.to_numpy(), type=field.type, from_pandas=True)
        if not field.nullable and array.null_count:
            raise ValueError(f"{array.null_count} rows without {field.name}")
        arrays.append(array)
    return pa.Table.from_arrays(arrays, schema=schema)


def read_parts(path: Path, kind: str) -> Iterator[pa.Table]:
    """Yield a table a row group at a time, as it lies in the file; refuse one as `read_table` does."""
    sealed.check(path)
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        _refuse_other_columns(path, kind, file.schema_arrow)
        for number in range(file.num_row_groups):
            part = file.read_row_group(number)
            _refuse_no_values(path, kind, part)
            yield part


def read_rows(path: Path, rows: NDArray[np.int64], columns: Sequence[str]) -> pd.DataFrame:
    """Return some rows of a table and some of its columns, in the order of `rows`: few of a slide's millions."""
    order = np.argsort(rows, kind="stable")
    wanted, found, first = rows[order], [], 0
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        for number in range(file.num_row_groups):
            last = first + file.metadata.row_group(number).num_rows
            here = wanted[np.searchsorted(wanted, first) : np.searchsorted(wanted, last)] - first
            if len(here):
                found.append(file.read_row_group(number, columns=list(columns), use_threads=False).take(pa.array(here)))
            first = last
        empty = file.schema_arrow.empty_table().select(list(columns))
    table: pd.DataFrame = pa.concat_tables(found or [empty]).to_pandas()
    back = np.empty(len(rows), np.int64)
    back[order] = np.arange(len(rows))
    ordered: pd.DataFrame = table.iloc[back].reset_index(drop=True)
    return ordered


def read_table(path: Path, kind: str, leave_out: Collection[str] = (), only: Collection[str] = ()) -> pd.DataFrame:
    """Read a table that `write_table` wrote; refuse one that lacks a column, or whose bytes have changed.

    Parameters
    ----------
    path : Path
    kind : {"frames", "cells", "calls", "spiked"}
    leave_out : collection of str
        Columns that are not wanted: of a slide's millions of cells each takes memory.
    only : collection of str
        The columns that are wanted, where they are few.
    """
    sealed.check(path)
    try:
        schema = pq.read_schema(path)
        _refuse_other_columns(path, kind, schema)
        names = schema.names
        wanted = [name for name in names if name not in leave_out and (not only or name in only)]
        data = pq.read_table(
            path, columns=wanted, use_threads=False, pre_buffer=False, page_checksum_verification=True
        )  # less memory than at once
    except (OSError, pa.ArrowInvalid) as error:
        refuse(path, "", error, f"a {kind} table written by ctcascade", "run the stage before this one again")
    _refuse_no_word(path, schema)
    _refuse_no_values(path, kind, data)
    _refuse_doubled(path, kind, data)
    # lists stay as they lie in the file: as objects they would take more memory than all else
    table: pd.DataFrame = data.to_pandas(
        types_mapper=lambda kept: pd.ArrowDtype(kept) if pa.types.is_list(kept) else None,
        split_blocks=True,
        self_destruct=True,
    )
    del data
    pa.default_memory_pool().release_unused()
    return table


_ONE_ROW_EACH = {"frames": ("frame",), "cells": ("frame", "cell"), "calls": ("frame", "cell")}


def _refuse_doubled(path: Path, kind: str, data: pa.Table) -> None:
    """Refuse a table in which a frame, or a cell of a frame, has two rows."""
    keys = [name for name in _ONE_ROW_EACH.get(kind, ()) if name in data.column_names]
    if not keys or keys != list(_ONE_ROW_EACH[kind]) or data.num_rows == 0:
        return
    frames = data.column("frame").combine_chunks().dictionary_encode()
    number = frames.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    if len(keys) > 1:
        cell = data.column("cell").to_numpy()
        number = number * (int(cell.max()) + 1) + cell
    if (np.diff(number) > 0).all():
        return
    ordered = np.sort(number)
    twice = ordered[1:][ordered[1:] == ordered[:-1]]
    if len(twice):
        row = int(np.flatnonzero(number == twice[0])[1])
        where = ", ".join(f"{name} {data.column(name)[row].as_py()}" for name in keys)
        refuse(path, f"row {row + 1}", f"{where}, which another row has too", f"one row for each {keys[-1]}", RUN_AGAIN)


def _refuse_other_columns(path: Path, kind: str, schema: pa.Schema) -> None:
    """Refuse a table whose columns are not those of its kind, each with its type, as another version may write."""
    columns = {c.name: _ARROW[c.dtype] for c in TABLES[kind].for_names(schema.names)}
    if kind in ("frames", "cells"):
        columns |= {c.name: _ARROW[c.dtype] for c in TABLES[kind].for_roles(ROLES)}
    wanted = f"a {kind} table of this version of ctcascade"
    missing = [name for name in columns if name not in schema.names]
    if missing:
        refuse(path, ", ".join(missing), "no such column", wanted, RUN_AGAIN)
    for name, said in zip(schema.names, schema.types, strict=True):
        if name not in columns:
            refuse(path, name, "a column that is none of its own", wanted, RUN_AGAIN)
        if said != columns[name]:
            refuse(path, name, f"a column of {said}", f"one of {columns[name]}", RUN_AGAIN)
    if len(schema.names) != len(columns):
        refuse(path, "", "a column that stands twice", wanted, RUN_AGAIN)


def _refuse_no_values(path: Path, kind: str, data: pa.Table) -> None:
    """Refuse a table that lacks a value that must be there, or has one that is none: no number, or out of its range."""
    for column in TABLES[kind].for_names(data.column_names):
        if column.name not in data.column_names:
            continue
        values = data.column(column.name)
        if values.null_count and not column.nullable:
            row = pc.index(pc.is_null(values), True).as_py()
            wanted = "a number" if column.dtype in ("int", "float") else "a value"
            refuse(path, f"row {row + 1}, {column.name}", None, wanted, RUN_AGAIN)
        if column.dtype == "float":
            _refuse_where(path, column.name, values, pc.is_finite(values), "a number")
        if column.name.endswith("_um2") or column.name == "n_cells":
            _refuse_where(path, column.name, values, pc.greater_equal(values, 0), "0 or more")
        if column.name == "p_ctc":
            _refuse_where(path, column.name, values, pc.less_equal(pc.abs(pc.subtract(values, 0.5)), 0.5), "0 to 1")


def _refuse_where(path: Path, name: str, values: pa.ChunkedArray, sound: pa.ChunkedArray, wanted: str) -> None:
    """Refuse a column at its first value that is not sound."""
    if not pc.all(sound, min_count=0).as_py():  # of no value all are
        row = pc.index(sound, False).as_py()
        refuse(path, f"row {row + 1}, {name}", values[row].as_py(), wanted, RUN_AGAIN)


def _refuse_no_word(path: Path, schema: pa.Schema) -> None:
    if _KEY not in (schema.metadata or {}):
        refuse(path, "", "no word of what made it", "a table written by ctcascade", RUN_AGAIN)


def table_provenance(path: Path) -> TableProvenance:
    """Return the provenance kept inside a table; refuse a table without, or whose bytes have changed."""
    sealed.check(path)
    try:
        schema = pq.read_schema(path)
        _refuse_no_word(path, schema)
        return TableProvenance.model_validate_json(schema.metadata[_KEY])
    except (OSError, pa.ArrowInvalid, ValidationError) as error:
        refuse(path, "", " ".join(str(error).split()), "a table of this version of ctcascade", RUN_AGAIN)


def _as_metadata(made_by: Provenance) -> bytes:
    return json.dumps(made_by.model_dump(exclude_unset=True), sort_keys=True).encode()


def arrow_schema(table: Table, names: Iterable[str]) -> pa.Schema:
    """Return the arrow schema of a table whose data has the columns `names` (the roles are read off them)."""
    fields = [pa.field(c.name, _ARROW[c.dtype], nullable=c.nullable) for c in table.for_names(list(names))]
    return pa.schema(fields)


_ARROW = {
    "str": pa.string(),
    "bool": pa.bool_(),
    "int": pa.int64(),
    "float": pa.float32(),
    "ints": pa.list_(pa.int64()),
    "floats": pa.list_(pa.float32()),
    "bytes": pa.large_binary(),
}
