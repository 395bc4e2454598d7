"""CSV and TSV, read as they come out of spreadsheets and databases: with a BOM or without, any line ends, line breaks
in quotes."""

from __future__ import annotations

import codecs
import csv
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from operator import itemgetter
from typing import BinaryIO

from batchrouter.errors import InputError
from batchrouter.tables.forms import Bytes
from batchrouter.tables.table import Cell, Kind, check_names

CELL_MAX = 32 * 1024 * 1024
"""Bytes of a line, and characters of a cell: what goes beyond has lost its quote."""
AUTO = "auto"
_SNIFFED = ",;\t|"
_SNIFF_BYTES = 64 * 1024


class DelimitedTable:
    """`delimiter`: one character, or `auto`: the one of comma, semicolon, tab and bar that the beginning speaks for."""

    def __init__(self, source: Bytes, delimiter: str) -> None:
        """Reads the header. Raises `InputError`."""
        self._source = source
        self.name = source.name
        with source.open() as file:
            head = file.read(_SNIFF_BYTES)
        if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise InputError(f"{self.name} is UTF-16; save it as UTF-8")
        self.bom = head.startswith(codecs.BOM_UTF8)
        self.delimiter = _sniffed(head, self.name) if delimiter == AUTO else delimiter
        with closing(self._lines()) as lines:
            header = next((names for _, names in lines), [])
        self.columns = check_names(header, self.name)
        self.kinds = (Kind.TEXT,) * len(self.columns)

    def rows(self, columns: Sequence[str]) -> Iterator[tuple[Cell, ...]]:
        places = [self.columns.index(column) for column in columns]
        pick = itemgetter(*places) if len(places) > 1 else None
        width = len(self.columns)
        lines = self._lines()
        next(lines)
        for number, (at, cells) in enumerate(lines, 1):
            if len(cells) != width:
                raise InputError(
                    f"{self.name}: row {number} (line {at}) has {len(cells)} cells, where the header has {width}"
                )
            yield pick(cells) if pick is not None else tuple(cells[place] for place in places)

    def _lines(self) -> Generator[tuple[int, list[str]], None, None]:
        """The header and the rows, each with the number of its last line in the file. Empty lines are left out."""
        if csv.field_size_limit() < CELL_MAX:
            csv.field_size_limit(CELL_MAX)
        number = 0  # of the row under way; 0 is the header
        with self._source.open() as file:
            text = _Lines(file)
            reader = csv.reader(text, delimiter=self.delimiter, strict=True)
            try:
                for cells in reader:
                    if cells:
                        yield text.number, cells
                        number += 1
            except UnicodeDecodeError as error:
                at, byte = error.start, error.object[error.start]
                raise InputError(
                    f"{self.name}: {_row(number)} (line {text.number}) is not UTF-8: byte {byte:#x} at place {at + 1} "
                    "of the line; save the file as UTF-8"
                ) from error
            except csv.Error as error:
                raise InputError(f"{self.name}: {_row(number)} (up to line {text.number}): {_words(error)}") from error


class _Lines:
    """Decoded one by one, so that a fault has its line."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.number = 0

    def __iter__(self) -> Iterator[str]:
        readline = self._file.readline
        while raw := readline(CELL_MAX):
            self.number += 1
            if self.number == 1:
                raw = raw.removeprefix(codecs.BOM_UTF8)
            if len(raw) == CELL_MAX:
                raise csv.Error(f"a line is longer than {CELL_MAX:,} bytes")
            yield raw.decode()


def _row(number: int) -> str:
    return f"row {number}" if number else "the header"


def _words(error: csv.Error) -> str:
    told = str(error)
    if "field limit" in told:
        return f"a cell is longer than {CELL_MAX:,} characters; is a quote left open?"
    if "unexpected end of data" in told:
        return "a quote is left open until the end of the file"
    if "new-line character" in told:
        return "a line ends with a carriage return alone; save it with line ends of Unix or Windows"
    return told


def _sniffed(head: bytes, name: str) -> str:
    text = head.decode("utf-8", "replace").lstrip("\ufeff")
    if len(head) == _SNIFF_BYTES:
        text = text.rpartition("\n")[0]
    try:
        return csv.Sniffer().sniff(text, _SNIFFED).delimiter
    except csv.Error:
        first = text.partition("\n")[0]
        best = max(_SNIFFED, key=first.count)
        if not first.count(best):
            raise InputError(f"{name}: no delimiter can be told from its beginning; name it with --delimiter") from None
        return best
