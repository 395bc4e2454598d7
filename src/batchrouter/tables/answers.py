"""What a line of an output or error file says, as cells of a row."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

from batchrouter.errors import InputError
from batchrouter.tables.answer_schema import AnswerSchema
from batchrouter.tables.table import Cell, Kind

NOT_RUN = "not_run: the batch ended before this row was finished"
PREFIX = "answer_"
_INT64 = 2**63
_HALF = re.compile(rb"((?:^|[^\\])(?:\\\\)*)\\u[dD][89a-fA-F][0-9a-fA-F]{2}")

Price = Callable[[int, int, int], float]
"""Dollars for input tokens, those of them that were cached, and output tokens."""


class _Line(msgspec.Struct):
    custom_id: str


class _Id(NamedTuple):
    custom_id: str
    line: bytes


_decode_id = msgspec.json.Decoder(_Line).decode
_decode = msgspec.json.Decoder().decode


def in_order(ids: Iterable[str], *files: Iterable[bytes]) -> Iterator[bytes | None]:
    """For each id its line, from whichever of the files has it next; None where none has. Each file holds its lines in
    the order of the ids, as output and error files do. Raises `InputError` when a line is left over."""
    streams = [_with_ids(file) for file in files]
    heads = [next(stream, None) for stream in streams]
    for each in ids:
        for number, head in enumerate(heads):
            if head is not None and head.custom_id == each:
                yield head.line
                heads[number] = next(streams[number], None)
                break
        else:
            yield None
    for head in heads:
        if head is not None:
            raise InputError(f"the answer to '{head.custom_id}' belongs to no row of this table, or to one further up")


def _with_ids(lines: Iterable[bytes]) -> Iterator[_Id]:
    for line in lines:
        if not line.isspace():
            try:
                yield _Id(_decode_id(line).custom_id, line)
            except msgspec.DecodeError:  # half a surrogate pair somewhere
                yield _Id(json.loads(line)["custom_id"], line)


class AnswerColumns:
    """The columns that are put behind a table's own. One whose name is taken gets `answer_` before it."""

    def __init__(self, taken: Iterable[str], schema: AnswerSchema | None = None, price: Price | None = None) -> None:
        self._properties = dict(schema.columns) if schema is not None else {}
        self._price = price
        kinds = [
            ("answer", Kind.TEXT),
            *self._properties.items(),
            ("finish_reason", Kind.TEXT),
            ("error", Kind.TEXT),
            ("input_tokens", Kind.WHOLE),
            ("output_tokens", Kind.WHOLE),
        ]
        if price is not None:
            kinds.append(("cost_usd", Kind.NUMBER))
        names: list[str] = []
        used = set(taken)
        for name, _ in kinds:
            while name in used:
                name = PREFIX + name
            used.add(name)
            names.append(name)
        self.names = tuple(names)
        self.kinds = tuple(kind for _, kind in kinds)

    def cells(self, line: bytes | None) -> tuple[Cell, ...]:
        """Of an output or error line; None: the row has neither."""
        end = End(None, None, NOT_RUN) if line is None else end_of(line)
        properties: list[Cell] = []
        if self._properties:
            found = _object(end.text)
            properties = [_fitting(found.get(name), kind) for name, kind in self._properties.items()]
        cells: list[Cell] = [end.text, *properties, end.finish, end.error, end.tokens_in, end.tokens_out]
        if self._price is not None:
            known = end.tokens_in is not None or end.tokens_out is not None
            cells.append(self._price(end.tokens_in or 0, end.cached, end.tokens_out or 0) if known else None)
        return tuple(cells)


class End(NamedTuple):
    """How a line ended. `text`: what the model said; JSON where it said no text."""

    text: str | None
    finish: str | None
    error: str | None
    tokens_in: int | None = None
    tokens_out: int | None = None
    cached: int = 0


def end_of(line: bytes) -> End:
    try:
        told = _decode(line)
    except msgspec.DecodeError:  # half a surrogate pair, which JSON may name and no text may have
        told = json.loads(_HALF.sub(rb"\1\\ufffd", line))
    response, error = told.get("response"), told.get("error")
    if not isinstance(response, dict):
        return End(None, None, _error_words(error, None))
    body, status = response.get("body"), response.get("status_code")
    if not isinstance(body, dict):
        return End(_json(body), None, None if status == 200 else f"{status}")
    if not (isinstance(status, int) and 200 <= status < 300):
        return End(None, None, _error_words(body.get("error"), status))
    text, finish, refusal = _said(body)
    problem = None if refusal is None else f"refusal: {refusal}"
    extension = told.get("batchrouter")
    invalid = extension.get("invalid_output") if isinstance(extension, dict) else None
    if isinstance(invalid, dict):
        problem = f"invalid_output: {invalid.get('message')}"
    usage = _dict(body.get("usage"))
    before = _dict(usage.get("prompt_tokens_details") or usage.get("input_tokens_details"))
    return End(
        text,
        finish,
        problem,
        _number(usage.get("prompt_tokens", usage.get("input_tokens"))),
        _number(usage.get("completion_tokens", usage.get("output_tokens"))),
        _number(before.get("cached_tokens")) or 0,
    )


def _said(body: dict[str, Any]) -> tuple[str | None, str | None, str | None]:
    """Text, finish reason and refusal, of the first choice where there are several."""
    choices, output, data = body.get("choices"), body.get("output"), body.get("data")
    if isinstance(choices, list):
        choice = _dict(choices[0]) if choices else {}
        message = _dict(choice.get("message"))
        text = message.get("content") if message else choice.get("text")
        if text is None and message.get("tool_calls"):
            text = message["tool_calls"]
        return _text(text), _word(choice.get("finish_reason")), _word(message.get("refusal"))
    if isinstance(output, list):
        parts = [_dict(part) for item in output for part in _list(_dict(item).get("content"))]
        texts = [
            part["text"] for part in parts if part.get("type") == "output_text" and isinstance(part.get("text"), str)
        ]
        refusals = [part["refusal"] for part in parts if isinstance(part.get("refusal"), str)]
        reason = _word(_dict(body.get("incomplete_details")).get("reason")) or _word(body.get("status"))
        return "".join(texts) if texts else None, reason, refusals[0] if refusals else None
    if isinstance(data, list) and len(data) == 1 and "embedding" in _dict(data[0]):
        return _json(data[0]["embedding"]), None, None
    return _json(body.get("results", body)), None, None


def _error_words(error: object, status: object) -> str:
    told = _dict(error)
    code = told.get("code") or told.get("type")
    head = " ".join(str(part) for part in (status, code) if part is not None)
    message = told.get("message")
    return f"{head}: {message}" if message else head or "failed"


def _object(text: str | None) -> dict[str, Any]:
    """What the answer is as JSON; empty where it is none."""
    if text is None:
        return {}
    try:
        return _dict(msgspec.json.decode(text))
    except (msgspec.DecodeError, RecursionError, ValueError):
        return {}


def _fitting(value: object, kind: Kind) -> Cell:
    """A property as its column holds it; None for what is of another kind."""
    if value is None:
        return None
    if kind is Kind.JSON:
        return _json(value)
    if kind is Kind.TRUTH:
        return value if isinstance(value, bool) else None
    if isinstance(value, bool):
        return None
    if kind is Kind.TEXT:
        return value if isinstance(value, str) else None
    if not isinstance(value, int | float):
        return None
    if kind is Kind.NUMBER:
        return float(value) if abs(value) < 1e308 else None
    return int(value) if value == int(value) and -_INT64 <= value < _INT64 else None


def _text(value: object) -> str | None:
    return value if value is None or isinstance(value, str) else _json(value)


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _word(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _INT64 else None


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
