"""The way of the answers from a batch's two files to the file that people asked for."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from batchrouter.cli.source import Source
from batchrouter.tables import AnswerColumns, Form, in_order, write_joined
from batchrouter.tables.answers import Price
from batchrouter.tables.parquet import arrow


def check_form(form: Form) -> None:
    """Raises `ConfigError` when what is written needs a library that is not installed: before anything is sent."""
    if form is Form.PARQUET:
        arrow()


def write_answers(
    source: Source, form: Form, output: Path | None, errors: Path | None, price: Price | None, file: BinaryIO
) -> None:
    """Each request of `source` once, in order: as the line that it ended with, or as a row with its answer beside it.
    `output` and `errors` are the files of its batch, None where there is none. Raises `InputError` when `source` is not
    what the batch was made of."""
    lines = in_order(source.ids(), _lines(output), _lines(errors))
    if form is Form.JSONL:
        for line in lines:
            if line is not None:
                file.write(line)
        return
    columns = AnswerColumns(source.table.columns, source.schema, price)
    write_joined(source.table, columns, lines, form, file)


def pour(path: Path) -> None:
    """The file's bytes to standard output. BrokenPipeError when nobody reads on."""
    with path.open("rb") as file:
        shutil.copyfileobj(file, sys.stdout.buffer, 1024 * 1024)
    sys.stdout.buffer.flush()


def _lines(path: Path | None) -> Iterator[bytes]:
    if path is not None:
        with path.open("rb") as file:
            yield from file
