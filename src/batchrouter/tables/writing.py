"""Rows and their answers, side by side, into CSV, TSV or Parquet."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, BinaryIO

from batchrouter.errors import InputError
from batchrouter.tables.answers import AnswerColumns
from batchrouter.tables.delimited import DelimitedTable
from batchrouter.tables.forms import Form
from batchrouter.tables.parquet import ParquetTable, arrow
from batchrouter.tables.table import Cell, Kind, Table, written

SLICE_ROWS = 2048
GROUP_BYTES = 32 * 1024 * 1024
"""Of a row group of Parquet: what is held in memory before it is written."""


def write_joined(
    table: Table, columns: AnswerColumns, lines: Iterable[bytes | None], form: Form, file: BinaryIO
) -> None:
    """Every row once, in order, with the cells of its line behind it; `lines` has as many as the table has rows.
    Raises `InputError`, and `ConfigError` where Parquet's library is not installed."""
    answers = (columns.cells(line) for line in lines)
    if form is Form.PARQUET:
        _write_parquet(table, columns, answers, file)
    else:
        _write_delimited(table, columns, answers, form, file)


def _write_delimited(
    table: Table, columns: AnswerColumns, answers: Iterator[tuple[Cell, ...]], form: Form, file: BinaryIO
) -> None:
    """CSV as the input was, if that was CSV: its delimiter, and a BOM if there was one."""
    delimiter = "\t" if form is Form.TSV else ","
    if isinstance(table, DelimitedTable):
        if table.bom:
            file.write(codecs.BOM_UTF8)
        if form is Form.CSV and table.delimiter != "\t":
            delimiter = table.delimiter
    text = io.TextIOWrapper(file, "utf-8", errors="replace", newline="", write_through=False)
    try:
        writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
        writer.writerow((*table.columns, *columns.names))
        for row, answer in zip(table.rows(table.columns), answers, strict=True):
            writer.writerow([written(cell) for cell in (*row, *answer)])
        text.flush()
    finally:
        text.detach()


def _write_parquet(table: Table, columns: AnswerColumns, answers: Iterator[tuple[Cell, ...]], file: BinaryIO) -> None:
    pa, pq = arrow()
    fields = [pa.field(name, _type(pa, kind)) for name, kind in zip(columns.names, columns.kinds, strict=True)]
    theirs = table.schema if isinstance(table, ParquetTable) else _schema(pa, table)
    schema = pa.schema([*theirs, *fields])
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        waiting: list[Any] = []
        size = 0
        for rows in _batches(pa, table, theirs):
            some = list(islice(answers, rows.num_rows))
            columns_of = zip(*some, strict=True) if some else ((),) * len(fields)
            arrays = [pa.array(values, field.type) for values, field in zip(columns_of, fields, strict=True)]
            waiting.append(pa.RecordBatch.from_arrays([*rows.columns, *arrays], schema=schema))
            size += waiting[-1].nbytes
            if size >= GROUP_BYTES:
                writer.write_table(pa.Table.from_batches(waiting, schema))
                waiting, size = [], 0
        if waiting:
            writer.write_table(pa.Table.from_batches(waiting, schema))
    if next(answers, None) is not None:
        raise InputError(f"there are more answers than {table.name} has rows")


def _batches(pa: Any, table: Table, schema: Any) -> Iterator[Any]:
    if isinstance(table, ParquetTable):
        yield from table.slices()
        return
    rows = table.rows(table.columns)
    kinds = table.kinds
    while some := list(islice(rows, SLICE_ROWS)):
        values = [
            [_plain(cell, kind) for cell in column] for column, kind in zip(zip(*some, strict=True), kinds, strict=True)
        ]
        arrays = [pa.array(each, field.type) for each, field in zip(values, schema, strict=True)]
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def _plain(cell: Cell, kind: Kind) -> Cell:
    if kind is not Kind.JSON or cell is None:
        return cell
    return written(cell)


def _schema(pa: Any, table: Table) -> Any:
    return pa.schema([pa.field(name, _type(pa, kind)) for name, kind in zip(table.columns, table.kinds, strict=True)])


def _type(pa: Any, kind: Kind) -> Any:
    return {Kind.WHOLE: pa.int64(), Kind.NUMBER: pa.float64(), Kind.TRUTH: pa.bool_()}.get(kind, pa.string())
