"""A line index on this machine, read in slices, however long its file is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import BinaryIO

from batchrouter.domain.duplicates import Spill
from batchrouter.domain.indexer import Indexer
from batchrouter.domain.line_index import IndexNames, IndexRecord, IndexTotals, IndexView

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


def index_into(chunks: Iterable[bytes], file: BinaryIO, spill: Spill, max_line_bytes: int) -> LocalIndex:
    """Index JSONL into the empty `file`."""
    indexer = Indexer(spill, max_line_bytes=max_line_bytes)
    for data in chunks:
        file.write(indexer.feed(data))
    file.write(indexer.finish())
    file.flush()
    return LocalIndex(file)
