"""Bodies that are hard to read: each shape turns a JSON answer into one that a client may stumble over.

The shapes that are still readable add a member `simulated` to the object, so that all else of the answer stays true.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable

import msgspec

HTML = b"<!doctype html>\n<html><head><title>Bad gateway</title></head><body><h1>Bad gateway</h1></body></html>\n"
DEEP = 100_000
HUGE = 1_048_576

Headers = list[tuple[str, str]]


def with_member(body: bytes, value: bytes) -> bytes:
    """The object with one more member, `simulated`, whose value is taken as it is."""
    end = body.rindex(b"}")
    comma = b"" if body[:end].rstrip().endswith(b"{") else b","
    return b'%b%b"simulated":%b%b' % (body[:end], comma, value, body[end:])


def _pretty(body: bytes, size: int | None) -> tuple[bytes, Headers]:
    return msgspec.json.format(body, indent=2), []


def _html(body: bytes, size: int | None) -> tuple[bytes, Headers]:
    return HTML, [("content-type", "text/html; charset=utf-8")]


def _empty(body: bytes, size: int | None) -> tuple[bytes, Headers]:
    return b"", []


def _invalid_utf8(body: bytes, size: int | None) -> tuple[bytes, Headers]:
    return with_member(body, b'"\xff\xfe\xc3("'), []


def _nan(body: bytes, size: int | None) -> tuple[bytes, Headers]:
    return with_member(body, b"NaN"), []


def _gzip(body: bytes, size: int | None) -> tuple[bytes, Headers]:
    return gzip.compress(body, 1, mtime=0), [("content-encoding", "gzip")]


def _deep(body: bytes, size: int | None) -> tuple[bytes, Headers]:
    depth = size or DEEP
    return with_member(body, b"[" * depth + b"]" * depth), []


def _u2028(body: bytes, size: int | None) -> tuple[bytes, Headers]:
    return with_member(body, '"one\u2028two\u2029three\u0085four"'.encode()), []


def _crlf(body: bytes, size: int | None) -> tuple[bytes, Headers]:
    return msgspec.json.format(body, indent=2).replace(b"\n", b"\r\n") + b"\r\n", []


def _huge(body: bytes, size: int | None) -> tuple[bytes, Headers]:
    missing = (size or HUGE) - len(with_member(body, b'""'))
    return with_member(body, b'"%b"' % (b"x" * max(missing, 0))), []


SHAPES: dict[str, Callable[[bytes, int | None], tuple[bytes, Headers]]] = {
    "pretty": _pretty,
    "html": _html,
    "empty": _empty,
    "invalid_utf8": _invalid_utf8,
    "nan": _nan,
    "gzip": _gzip,
    "deep": _deep,
    "u2028": _u2028,
    "crlf": _crlf,
    "huge": _huge,
}


def shaped(body: bytes, shape: str, size: int | None) -> tuple[bytes, Headers]:
    """The body in this shape and the headers that go with it. A body that is no JSON object is wrapped in one first."""
    if not (body.startswith(b"{") and body.rstrip().endswith(b"}")):
        body = msgspec.json.encode({"text": body.decode("utf-8", "replace")})
    return SHAPES[shape](body, size)
