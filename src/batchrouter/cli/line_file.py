"""A JSONL file on this machine and its line index, read in slices, however long the file is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from batchrouter.domain.duplicates import Spill
from batchrouter.domain.indexer import Indexer
from batchrouter.domain.line import decode_line
from batchrouter.domain.line_index import IndexNames, IndexRecord, IndexTotals, IndexView
from batchrouter.errors import InputError

CHUNK_BYTES = 1024 * 1024
SLICE_RECORDS = 4096


class LocalIndex:
    """A line index in an open file."""

    def __init__(self, file: BinaryIO) -> None:
        """Raises `InputError` when the file is no index, or one of another version."""
        self._file = file
        size = file.seek(0, 2)
        trailer = self._read(*IndexView.trailer_span(size))
        self._view = IndexView(trailer, self._read(*IndexView.tail_span(size, trailer)))

    @property
    def totals(self) -> IndexTotals:
        return self._view.totals

    @property
    def names(self) -> IndexNames:
        return self._view.names

    @property
    def endpoint(self) -> str | None:
        """The url of the first line that has one."""
        urls = self._view.names.urls
        return urls[1] if len(urls) > 1 else None

    def slices(self) -> Iterator[list[IndexRecord]]:
        for first in range(0, self.totals.lines, SLICE_RECORDS):
            yield list(self._view.records(first, self._read(*self._view.records_span(first, SLICE_RECORDS))))

    def records(self) -> Iterator[IndexRecord]:
        for some in self.slices():
            yield from some

    def _read(self, offset: int, length: int) -> bytes:
        self._file.seek(offset)
        return self._file.read(length)


def chunks(path: Path) -> Iterator[bytes]:
    """Raises `InputError`."""
    try:
        with path.open("rb") as file:
            while data := file.read(CHUNK_BYTES):
                yield data
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error


def index_into(path: Path, file: BinaryIO, spill: Spill, max_line_bytes: int) -> LocalIndex:
    """Index `path` into the empty `file`."""
    indexer = Indexer(spill, max_line_bytes=max_line_bytes)
    for data in chunks(path):
        file.write(indexer.feed(data))
    file.write(indexer.finish())
    file.flush()
    return LocalIndex(file)


def custom_id_at(path: Path, record: IndexRecord) -> str:
    """The line's id as it stands in the file, quotes included; empty where the line has none that can be read."""
    try:
        with path.open("rb") as file:
            file.seek(record.offset)
            return decode_line(file.read(record.length))[0].decode("utf-8", "replace")
    except (OSError, InputError):
        return ""
