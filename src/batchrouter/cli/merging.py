"""Output and error lines of a batch in one stream, in the order of its input: the id of each line ends with the number
of its request."""

from __future__ import annotations

import heapq
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from batchrouter.domain.line_index import IndexRecord
from batchrouter.tables import Table
from batchrouter.tables.answer_schema import AnswerSchema
from batchrouter.tables.table import Kind

_ID = re.compile(rb'\{"id":"batch_req_[0-9a-f]*([0-9a-f]{8})"')


def in_line_order(*files: Iterable[bytes]) -> Iterator[bytes]:
    """Each file's lines are in that order."""
    return heapq.merge(*files, key=number_of)


def number_of(line: bytes) -> int:
    """Of its request, from 0; lines that do not tell come first."""
    found = _ID.match(line)
    return int(found[1], 16) if found is not None else -1


class Merged:
    """The lines of a batch's files as a source of ids, where its input is not at hand. As a table it is these."""

    noun = "line"
    hint = ""
    schema: AnswerSchema | None = None
    columns = ("custom_id",)
    kinds = (Kind.TEXT,)

    def __init__(self, name: str, *files: Path | None) -> None:
        self.name = name
        self._files = [path for path in files if path is not None]

    @property
    def table(self) -> Table:
        return self

    def chunks(self) -> Iterator[bytes]:
        streams = [path.open("rb") for path in self._files]
        try:
            yield from in_line_order(*streams)
        finally:
            for stream in streams:
                stream.close()

    def ids(self) -> Iterator[str]:
        for line in self.chunks():
            yield json.loads(line)["custom_id"]

    def rows(self, columns: Sequence[str]) -> Iterator[tuple[object, ...]]:
        for custom_id in self.ids():
            yield (custom_id,) * len(columns)

    def notes(self) -> Iterator[str]:
        return iter(())

    def custom_id_at(self, record: IndexRecord) -> str:
        return ""
