"""The form of lines in the providers' own batch APIs: requests as they go up, results as they come down.

Bodies are spliced in and cut out as they stand, so that a result's body is what a real-time call would have brought.

Facts of result lines: OpenAI's guide "Batch API" (in both files; replies other than 2xx have `error` null, lines that
never ran have `response` null), Anthropic's "Batch processing" (`errored` holds a whole error reply, so that the
error's type stands two levels down), Mistral's "Batch inference" (OpenAI's form without method and url).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import msgspec
from msgspec import Raw

from batchrouter.domain.job import NativeFacts, Result, ResultKind
from batchrouter.domain.surrogates import mask
from batchrouter.errors import ConfigError
from batchrouter.providers.base import JobLines
from batchrouter.providers.reply import one_line

_T = TypeVar("_T")

_LOST = Result(None, ResultKind.UNFINISHED)
_UNRUN = frozenset({"batch_expired", "batch_cancelled", "batch_canceled"})
"""Codes of lines that were not run (OpenAI's first; the others by its look-alikes)."""
ANTHROPIC_STATUS = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""Anthropic's "Errors" page: the status that a real-time call has with each type of error."""


def job_lines(facts: NativeFacts) -> JobLines:
    """The form that the provider's dialect has. Raises `ConfigError` for a dialect that is not known."""
    match facts.dialect:
        case "openai":
            return OpenAILines(facts.url_rewrite)
        case "anthropic":
            return AnthropicLines()
        case "mistral":
            return MistralLines()
    raise ConfigError(f"the batch dialect '{facts.dialect}' is not known; known are anthropic, mistral and openai")


class OpenAILines:
    """`{custom_id, method, url, body}`. `url_rewrite` maps an endpoint to the url that the provider wants in its
    lines."""

    def __init__(self, url_rewrite: Mapping[str, str] | None = None) -> None:
        self._rewrite = dict(url_rewrite or {})
        self._middles: dict[str, bytes] = {}

    def write(self, key: str, endpoint: str, body: bytes) -> bytes:
        middle = self._middles.get(endpoint)
        if middle is None:
            url = msgspec.json.encode(self._rewrite.get(endpoint, endpoint))
            middle = self._middles[endpoint] = b'","method":"POST","url":' + url + b',"body":'
        return b"".join((b'{"custom_id":"', key.encode("ascii"), middle, _plain(body), b"}"))

    def read(self, line: bytes) -> Result:
        return _read(line, _openai_result)


class MistralLines:
    """`{custom_id, body}`: endpoint and model stand in the job. Results are OpenAI's."""

    def write(self, key: str, endpoint: str, body: bytes) -> bytes:
        return b"".join((b'{"custom_id":"', key.encode("ascii"), b'","body":', _plain(body), b"}"))

    def read(self, line: bytes) -> Result:
        return _read(line, _openai_result)


class AnthropicLines:
    """`{custom_id, params}`, an element of the `requests` of a Message Batch."""

    def write(self, key: str, endpoint: str, body: bytes) -> bytes:
        return b"".join((b'{"custom_id":"', key.encode("ascii"), b'","params":', _plain(body), b"}"))

    def read(self, line: bytes) -> Result:
        return _read(line, _anthropic_result)


def _plain(body: bytes) -> bytes:
    """The body without anything that some reader takes for the end of a line."""
    plain = one_line(body)
    return body if plain is None else plain


def _read(line: bytes, parse: Callable[[bytes], Result]) -> Result:
    try:
        return parse(line)
    except msgspec.DecodeError:
        pass
    except RecursionError:
        return _LOST
    # An answer that was cut inside an emoji has half a surrogate pair, which msgspec refuses and JSON allows.
    masked = mask(line)
    if masked is None:
        return _LOST
    try:
        result = parse(masked.data)
    except (msgspec.DecodeError, RecursionError):
        return _LOST
    return result._replace(body=masked.restore(result.body))


# --- OpenAI and Mistral -----------------------------------------------------------------------------------------------


class _Response(msgspec.Struct, gc=False):
    status_code: int = 0
    request_id: str | None = None
    body: Raw = Raw()


class _Line(msgspec.Struct, gc=False):
    custom_id: str | None = None
    response: _Response | None = None
    error: Raw = Raw()


class _LooseResponse(msgspec.Struct, gc=False):
    status_code: Raw = Raw()
    request_id: Raw = Raw()
    body: Raw = Raw()


class _LooseLine(msgspec.Struct, gc=False):
    custom_id: Raw = Raw()
    response: Raw = Raw()
    error: Raw = Raw()


class _Error(msgspec.Struct, gc=False):
    code: str | int | None = None


_decode_line = msgspec.json.Decoder(_Line).decode
_decode_loose_line = msgspec.json.Decoder(_LooseLine).decode
_decode_loose_response = msgspec.json.Decoder(_LooseResponse).decode
_decode_error = msgspec.json.Decoder(_Error).decode
_decode_str = msgspec.json.Decoder(str).decode
_decode_int = msgspec.json.Decoder(int, strict=False).decode


def _openai_result(line: bytes) -> Result:
    try:
        found = _decode_line(line)
    except msgspec.ValidationError:
        found = _loosely(_decode_loose_line(line))
    key, response, error = found.custom_id, found.response, found.error
    if _is_null(error):
        code = None
    else:
        code = _code(error)
        if code in _UNRUN:
            return Result(key, ResultKind.UNFINISHED)
    if response is not None and 200 <= response.status_code < 600:
        if not _is_null(response.body):
            return Result(key, ResultKind.ANSWERED, response.status_code, bytes(response.body), response.request_id)
        if response.status_code >= 400 and not _is_null(error):
            # vLLM's run_batch tells the status there and the error here.
            return Result(key, ResultKind.ANSWERED, response.status_code, _wrapped(error), response.request_id)
    elif response is None and isinstance(code, int) and 400 <= code < 600:
        return Result(key, ResultKind.ANSWERED, code, _wrapped(error))  # Google's errors name the HTTP status
    # Status 0, a code of the batch system, nothing at all: nobody knows what the model would have said.
    return Result(key, ResultKind.UNFINISHED)


def _loosely(line: _LooseLine) -> _Line:
    """A line with a member of another type than it should be: what can be read of it."""
    response = None
    if bytes(memoryview(line.response)[:1]) == b"{":
        loose = _decode_loose_response(line.response)
        status = _maybe(_decode_int, loose.status_code)
        response = _Response(status or 0, _maybe(_decode_str, loose.request_id), loose.body)
    return _Line(_maybe(_decode_str, line.custom_id), response, line.error)


def _maybe(decode: Callable[[Raw], _T], value: Raw) -> _T | None:
    try:
        return decode(value) if value else None
    except msgspec.DecodeError:
        return None


def _code(error: Raw) -> str | int | None:
    try:
        return _decode_error(error).code
    except msgspec.ValidationError:
        return None


def _wrapped(error: Raw) -> bytes:
    return b'{"error":' + bytes(error) + b"}"


def _is_null(value: Raw) -> bool:
    return not value or bytes(memoryview(value)[:4]) == b"null"


# --- Anthropic --------------------------------------------------------------------------------------------------------


class _MessageResult(msgspec.Struct, gc=False):
    type: str | None = None
    message: Raw = Raw()
    error: Raw = Raw()


class _MessageLine(msgspec.Struct, gc=False):
    custom_id: str | None = None
    result: _MessageResult | None = None


class _Inner(msgspec.Struct, gc=False):
    type: str | None = None


class _Outer(msgspec.Struct, gc=False):
    type: str | None = None
    error: _Inner | None = None
    request_id: str | None = None


_decode_message_line = msgspec.json.Decoder(_MessageLine).decode
_decode_outer = msgspec.json.Decoder(_Outer).decode


def _anthropic_result(line: bytes) -> Result:
    found = _decode_message_line(line)
    key, result = found.custom_id, found.result
    if result is None:
        return Result(key, ResultKind.UNFINISHED)
    if result.type == "succeeded" and not _is_null(result.message):
        return Result(key, ResultKind.ANSWERED, 200, bytes(result.message))
    if result.type == "errored" and not _is_null(result.error):
        outer = _decode_outer(result.error)
        if outer.error is not None:
            status = ANTHROPIC_STATUS.get(outer.error.type or "", 500)
            return Result(key, ResultKind.ANSWERED, status, bytes(result.error), outer.request_id)
        body = b'{"type":"error","error":' + bytes(result.error) + b"}"
        return Result(key, ResultKind.ANSWERED, ANTHROPIC_STATUS.get(outer.type or "", 500), body)
    return Result(key, ResultKind.UNFINISHED)  # canceled, expired, or a word of the future
