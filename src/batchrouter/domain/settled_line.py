"""What a line of an output or error file tells of itself: its `custom_id`, and the code of its error."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import Any

import msgspec

from batchrouter.domain.outcome import Outcome

ID_AT = len(b'{"id":"batch_req_","custom_id":') + 32
_NAME = b'","custom_id":'
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"')

CODES: dict[int, str] = {Outcome.EXPIRED: "batch_expired", Outcome.CANCELLED: "batch_cancelled"}
"""Of lines that were never finished, which `domain.output_line.gap_line` writes."""


class _Response(msgspec.Struct):
    body: msgspec.Raw = msgspec.Raw(b"null")


class _Line(msgspec.Struct):
    custom_id: msgspec.Raw = msgspec.Raw(b"null")
    response: _Response | None = None
    error: msgspec.Raw = msgspec.Raw(b"null")


class _Body(msgspec.Struct):
    error: msgspec.Raw = msgspec.Raw(b"null")


_lines = msgspec.json.Decoder(_Line)
_bodies = msgspec.json.Decoder(_Body)


def custom_id_of(line: bytes) -> bytes:
    """The JSON token as it stands, quotes included; `null` in a line that has none."""
    if line[ID_AT - len(_NAME) : ID_AT] == _NAME:  # as `output_line` writes it: however long the line is
        found = _TOKEN.match(line, ID_AT)
        if found is not None:
            return found[0]
    return bytes(_decoded(line).custom_id)


def told(token: bytes) -> str:
    """A JSON string's text; one that is no Unicode (a lone surrogate) too."""
    value = json.loads(token)
    return value if isinstance(value, str) else ""


def error_code_of(line: bytes) -> str | None:
    """`error.code` of the line; else `code` of its body's error, or that error's `type`. None where it has none."""
    decoded = _decoded(line)
    code = _code(bytes(decoded.error))
    if code is None and decoded.response is not None:
        try:
            code = _code(bytes(_bodies.decode(decoded.response.body).error))
        except (msgspec.DecodeError, RecursionError):  # not an object
            return None
    return code


def error_message_of(line: bytes) -> str | None:
    """What the line's error, or that of its body, says. None where it says nothing."""
    decoded = _decoded(line)
    errors = [bytes(decoded.error)]
    if decoded.response is not None:
        with suppress(msgspec.DecodeError, RecursionError):  # not an object
            errors.append(bytes(_bodies.decode(decoded.response.body).error))
    for error in errors:
        try:
            value: Any = json.loads(error)
        except (ValueError, RecursionError):
            continue
        message = value.get("message") if isinstance(value, dict) else value
        if isinstance(message, str) and message:
            return message
    return None


def _decoded(line: bytes) -> _Line:
    try:
        return _lines.decode(line)
    except (msgspec.DecodeError, RecursionError):  # a lone surrogate, or nested too deeply
        return _Line()


def _code(error: bytes) -> str | None:
    try:
        value: Any = json.loads(error)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    for name in ("code", "type"):
        told_code = value.get(name)
        if isinstance(told_code, str) and told_code:
            return told_code
        if isinstance(told_code, int) and not isinstance(told_code, bool):
            return str(told_code)
    return None
