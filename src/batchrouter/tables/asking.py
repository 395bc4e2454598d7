"""From rows to requests: one line for each row, in the order of the table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from batchrouter.errors import InputError
from batchrouter.tables.answer_schema import AnswerSchema
from batchrouter.tables.table import Cell, Table, text_of
from batchrouter.tables.template import Template, no_such_column

CHAT = "/v1/chat/completions"
RESPONSES = "/v1/responses"
COMPLETIONS = "/v1/completions"
EMBEDDINGS = "/v1/embeddings"
MODERATIONS = "/v1/moderations"
ENDPOINTS = (CHAT, RESPONSES, COMPLETIONS, EMBEDDINGS, MODERATIONS)
"""Those whose body can be made of one text."""
_TALKING = (CHAT, RESPONSES)
CHUNK_BYTES = 1024 * 1024
_PLACE = "\ue000batchrouter\ue000"
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is asked of each row. `settings` are further members of the body. Without `id_column` a row's id is its
    number, from 1."""

    prompt: Template
    model: str
    endpoint: str = CHAT
    system: str | None = None
    schema: AnswerSchema | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    provider: str | None = None
    id_column: str | None = None


class Requests:
    """The requests of a table."""

    def __init__(self, table: Table, asked: Asked) -> None:
        """Raises `InputError` for what cannot be asked, or names a column that there is not."""
        for name in asked.prompt.columns:
            if name not in table.columns:
                raise no_such_column("the prompt", name, table.columns, table.name)
        if asked.id_column is not None and asked.id_column not in table.columns:
            raise no_such_column("--id-column", asked.id_column, table.columns, table.name)
        self.table = table
        self.asked = asked
        body = _encode(_body(asked)).partition(_encode(_PLACE))
        provider = b"" if asked.provider is None else b',"provider":' + _encode(asked.provider)
        between = b',"method":"POST","url":%b%b,"body":%b' % (_encode(asked.endpoint), provider, body[0])
        self._parts = (b'{"custom_id":', between, body[2] + b"}\n")
        self.empty: dict[str, int] = {}
        """Of the last whole pass: for each column of the prompt how many rows had nothing there."""

    def chunks(self) -> Iterator[bytes]:
        """The lines, in pieces of about a MiB; the same in each pass. Raises `InputError` with the row's number."""
        before, between, after = self._parts
        columns, render = self.asked.prompt.columns, self.asked.prompt.render
        empty: Counter[int] = Counter()
        piece = bytearray()
        for row_id, row in self._rows():
            cells = [cell if type(cell) is str else self._text(cell, row_id, place) for place, cell in enumerate(row)]
            if "" in cells:
                empty.update(place for place, cell in enumerate(cells) if not cell)
            piece += b"".join((before, _encode(row_id), between, _encode(render(cells)), after))
            if len(piece) >= CHUNK_BYTES:
                yield bytes(piece)
                piece.clear()
        if piece:
            yield bytes(piece)
        self.empty = {columns[place]: count for place, count in sorted(empty.items())}

    def ids(self) -> Iterator[str]:
        """The rows' ids, in order. Raises `InputError` for a row without one."""
        return ids(self.table, self.asked.id_column)

    def _rows(self) -> Iterator[tuple[str, tuple[Cell, ...]]]:
        columns, id_column = self.asked.prompt.columns, self.asked.id_column
        if id_column is None:
            for number, row in enumerate(self.table.rows(columns), 1):
                yield str(number), row
            return
        for number, row in enumerate(self.table.rows((*columns, id_column)), 1):
            yield _id(row[-1], number, id_column, self.table.name), row[:-1]

    def _text(self, cell: Cell, row_id: str, place: int) -> str:
        text = text_of(cell)
        if text is None:
            column = self.asked.prompt.columns[place]
            raise InputError(
                f"{self.table.name}: the row with id {row_id} has a list, an object or bytes in column '{column}'; "
                "a prompt takes text and numbers"
            )
        return text


def ids(table: Table, id_column: str | None) -> Iterator[str]:
    if id_column is None:
        for number, _ in enumerate(table.rows(()), 1):
            yield str(number)
        return
    for number, row in enumerate(table.rows((id_column,)), 1):
        yield _id(row[0], number, id_column, table.name)


def _id(cell: Cell, number: int, column: str, table: str) -> str:
    found = text_of(cell)
    if not found:
        raise InputError(f"{table}: row {number} has no id in column '{column}'")
    return found


def _body(asked: Asked) -> dict[str, Any]:
    """With `_PLACE` where the prompt goes."""
    endpoint, system, schema = asked.endpoint, asked.system, asked.schema
    if endpoint not in ENDPOINTS:
        raise InputError(f"a table cannot be asked through {endpoint}; it can through {', '.join(ENDPOINTS)}")
    if endpoint not in _TALKING and (system is not None or schema is not None):
        option = "--system" if system is not None else "--schema"
        raise InputError(f"{endpoint} has no place for {option}; {' and '.join(_TALKING)} have")
    made: dict[str, Any] = {"model": asked.model}
    if endpoint == CHAT:
        turns = [{"role": "system", "content": system}] if system is not None else []
        made["messages"] = [*turns, {"role": "user", "content": _PLACE}]
    elif endpoint == RESPONSES:
        made |= {} if system is None else {"instructions": system}
        made["input"] = _PLACE
    else:
        made["prompt" if endpoint == COMPLETIONS else "input"] = _PLACE
    if schema is not None:
        told = {"name": schema.name, "schema": schema.schema, "strict": schema.strict}
        if endpoint == CHAT:
            made["response_format"] = {"type": "json_schema", "json_schema": told}
        else:
            made["text"] = {"format": {"type": "json_schema", **told}}
    for name in asked.settings:
        if name in made:
            raise InputError(f"--set {name} is what another option says already")
    return made | dict(asked.settings)
