"""Which reader a table has."""

from __future__ import annotations

from batchrouter.errors import InputError
from batchrouter.tables.delimited import AUTO, DelimitedTable
from batchrouter.tables.forms import Bytes, Form
from batchrouter.tables.json_rows import JsonRows
from batchrouter.tables.parquet import ParquetTable
from batchrouter.tables.table import Table

_WORDS = {"tab": "\t", "\\t": "\t"}


def open_table(source: Bytes, form: Form, delimiter: str | None = None) -> Table:
    """`delimiter`: of CSV and TSV, one character, `tab` or `auto`. Raises `InputError`, and `ConfigError` where the
    library that reads the form is not installed."""
    if form in (Form.CSV, Form.TSV):
        return DelimitedTable(source, _character(delimiter) if delimiter else "\t" if form is Form.TSV else ",")
    if delimiter is not None:
        raise InputError(f"--delimiter is for CSV and TSV; {source.name} is {form}")
    return ParquetTable(source) if form is Form.PARQUET else JsonRows(source)


def _character(delimiter: str) -> str:
    found = _WORDS.get(delimiter, delimiter)
    if found == AUTO or (len(found) == 1 and found not in '"\r\n'):
        return found
    raise InputError(f"--delimiter is one character, tab or auto, not '{delimiter}'")
