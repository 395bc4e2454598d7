"""What a provider's error reply says to a machine: its code, and when to come back.

Shapes: OpenAI `{"error": {code, type}}`, Anthropic `{"type": "error", "error": {type, details: {error_code}}}`, Google
`{"error": {code, status}}` (its compatible face wraps that in an array), Mistral and SiliconFlow `{code, type}` at the
top. Messages are not read: they may hold a part of the key or of a prompt.
"""

from __future__ import annotations

import re

import msgspec

from batchrouter.domain.rate_headers import read_body_retry, read_signals
from batchrouter.errors import NativeRefused

ERROR_MAX_BYTES = 64 * 1024
"""So much of an error reply is read."""
CODE = re.compile(r"[A-Za-z0-9_.:/-]{1,100}")
"""What is fit to be shown."""


class _Error(msgspec.Struct):
    code: object = None
    type: object = None
    status: object = None
    details: object = None


class _Body(msgspec.Struct):
    error: object = None
    code: object = None
    type: object = None


_BODY = msgspec.json.Decoder(_Body | list[_Body])


def refusal(what: str, status: int, headers: list[tuple[bytes, bytes]], body: bytes, now_s: float) -> NativeRefused:
    """`what` says who was asked for what; header names are in lower case."""
    code = error_code(status, body)
    wait_s = read_signals(status, headers, now_s).retry_after_s
    return NativeRefused(
        f"{what} was answered with status {status}" + (f" ({code})" if code else ""),
        status=status,
        code=code,
        retry_after_s=wait_s if wait_s is not None else read_body_retry(body),
    )


def error_code(status: int, body: bytes) -> str | None:
    """The finest code that the reply has; None if it has none that is fit to be shown."""
    try:
        found = _BODY.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return None
    if isinstance(found, list):
        if not found:
            return None
        found = found[0]
    error = _Error(code=found.code, type=found.type)
    if isinstance(found.error, dict):
        error = msgspec.convert(found.error, _Error)
    details = error.details.get("error_code") if isinstance(error.details, dict) else None
    # A code that only repeats the status tells less than the words beside it (vLLM, Google).
    code = None if error.code is None or str(error.code) == str(status) else str(error.code)
    for each in (details, code, error.status, error.type):
        if isinstance(each, str) and CODE.fullmatch(each):
            return each
    return None
