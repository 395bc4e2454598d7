"""Where requests come from: a file of lines as OpenAI has them, or a table and what is asked of each row."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Protocol

from batchrouter.cli.words import count
from batchrouter.domain.line import decode_line
from batchrouter.domain.line_index import IndexRecord
from batchrouter.errors import InputError
from batchrouter.tables import Bytes, FileBytes, Requests, Table
from batchrouter.tables.answer_schema import AnswerSchema
from batchrouter.tables.table import Kind

CHUNK_BYTES = 1024 * 1024


class Source(Protocol):
    """The same requests in each pass. All raise `InputError`."""

    @property
    def name(self) -> str: ...

    @property
    def noun(self) -> str:
        """What people call one of its requests: line, row."""
        ...

    @property
    def hint(self) -> str:
        """What to do about requests that are refused: a sentence, or nothing."""
        ...

    @property
    def table(self) -> Table:
        """What answers are put beside."""
        ...

    @property
    def schema(self) -> AnswerSchema | None:
        """What all answers are asked to keep, where that is known."""
        ...

    def chunks(self) -> Iterator[bytes]:
        """The input file of the batch."""
        ...

    def ids(self) -> Iterator[str]:
        """Of its requests, in order."""
        ...

    def notes(self) -> Iterator[str]:
        """After `chunks` was read to its end: what people should know of it, a sentence each."""
        ...

    def custom_id_at(self, record: IndexRecord) -> str:
        """As it stands in the line, quotes included; empty where that tells nothing, or cannot be read."""
        ...


class FileSource:
    """Lines of requests. As a table it is their ids."""

    noun = "line"
    schema = None
    columns = ("custom_id",)
    kinds = (Kind.TEXT,)

    def __init__(self, source: Bytes) -> None:
        self._source = source
        self.name = source.name
        self.hint = f"`batchrouter check {source.name}` lists every error." if isinstance(source, FileBytes) else ""

    @property
    def table(self) -> Table:
        return self

    def chunks(self) -> Iterator[bytes]:
        try:
            with self._source.open() as file:
                while data := file.read(CHUNK_BYTES):
                    yield data
        except OSError as error:
            raise InputError(f"{self.name} cannot be read: {error.strerror or error}") from error

    def ids(self) -> Iterator[str]:
        with self._source.open() as file:
            for number, line in enumerate(file):
                if number == 0:
                    line = line.removeprefix(b"\xef\xbb\xbf")
                if not line.isspace():
                    yield json.loads(decode_line(line)[0])

    def rows(self, columns: Sequence[str]) -> Iterator[tuple[object, ...]]:
        for custom_id in self.ids():
            yield (custom_id,) * len(columns)

    def notes(self) -> Iterator[str]:
        return iter(())

    def custom_id_at(self, record: IndexRecord) -> str:
        try:
            with self._source.open() as file:
                file.seek(record.offset)
                return decode_line(file.read(record.length))[0].decode("utf-8", "replace")
        except (OSError, InputError):
            return ""


class TableSource:
    """Rows, each with the same prompt."""

    noun = "row"
    hint = ""

    def __init__(self, requests: Requests) -> None:
        self._requests = requests
        self.name = requests.table.name
        self.table = requests.table
        self.schema = requests.asked.schema

    def chunks(self) -> Iterator[bytes]:
        nothing = True
        for data in self._requests.chunks():
            nothing = False
            yield data
        if nothing:
            raise InputError(f"{self.name} has no rows")

    def ids(self) -> Iterator[str]:
        return self._requests.ids()

    def notes(self) -> Iterator[str]:
        for column, rows in self._requests.empty.items():
            have = "row has" if rows == 1 else "rows have"
            yield f"{count(rows)} {have} nothing in column '{column}': its place in the prompt is empty there."

    def custom_id_at(self, record: IndexRecord) -> str:
        return ""
