"""A reply enters JSONL only as one line of valid JSON.

Most replies are that already, and are checked without being rewritten: parsed once by msgspec (which skips what nobody
asks for, but checks its syntax), UTF-8 and line breaks by scans in C. The rest is compacted and escaped here.
"""

from __future__ import annotations

import json
from typing import NoReturn

import msgspec

# U+2028, U+2029 and U+0085 as UTF-8. JSON allows them raw inside strings, and nowhere else, so replacing them by their
# escapes changes no value. `str.splitlines()`, which many clients use, breaks lines at them.
_BREAKERS = ((b"\xe2\x80\xa8", b"\\u2028"), (b"\xe2\x80\xa9", b"\\u2029"), (b"\xc2\x85", b"\\u0085"))


_LF, _CR = b"\n\r"  # as numbers: a search for bytes costs seven times as much


def one_line(body: bytes) -> bytes | None:
    """`body`, which is JSON, as one line: whitespace dropped only where there is a line break. None: no UTF-8."""
    if not body.isascii():
        try:
            body.decode()
        except UnicodeDecodeError:
            return None
        for raw, escaped in _BREAKERS:
            if raw in body:
                body = body.replace(raw, escaped)
    if _LF in body or _CR in body:
        try:
            body = msgspec.json.format(body, indent=-1)
        except (msgspec.DecodeError, RecursionError):
            # Where the standard allows a raw line break it stands between two tokens, and nothing needs it there.
            body = body.translate(None, b"\r\n")
    return body


def is_json(body: bytes) -> bool:
    """Whether `body` is JSON by the standard, in UTF-8, lone surrogates in escapes allowed (a cut emoji makes them)."""
    try:
        msgspec.json.decode(body, type=msgspec.Raw)
    except RecursionError:
        return False
    except msgspec.DecodeError:
        return _is_lenient_json(body)
    return True


def _is_lenient_json(body: bytes) -> bool:
    """The slow way, for what msgspec refuses and the standard allows. Decoded here: `json` would take UTF-16 too."""
    try:
        json.loads(body.decode(), parse_constant=_refuse, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return False
    return True


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def error_body(message: str, kind: str, code: str | None) -> bytes:
    """OpenAI's error object, for replies that have none."""
    return msgspec.json.encode({"error": {"message": message, "type": kind, "param": None, "code": code}})
