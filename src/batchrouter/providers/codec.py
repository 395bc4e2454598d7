"""JSON as Python values, for wires that translate. Fast where msgspec reads it, and as lenient as JSON's standard.

Half of a surrogate pair may stand alone in a string (a cut emoji); msgspec refuses it both ways, the standard library
does not.
"""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

import msgspec

from batchrouter.providers.reply import one_line

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


def loads(body: bytes | str) -> Any:
    """The value. ValueError for what is no JSON, RecursionError for what is nested too deeply."""
    try:
        return _decode(body)
    except (msgspec.DecodeError, UnicodeEncodeError):
        text = body if isinstance(body, str) else body.decode()
        return json.loads(text, parse_constant=_refuse, parse_float=_finite)


def dumps(value: Any) -> bytes:
    """`value` as one line of JSON that no reader of lines breaks."""
    try:
        text: bytes = _encode(value)
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()
    if text.isascii():
        return text
    line = one_line(text)
    assert line is not None  # msgspec writes UTF-8
    return line


def _finite(number: str) -> float:
    value = float(number)
    if not math.isfinite(value):
        raise ValueError("a number is out of range")
    return value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")
