"""The OpenAI wire, for OpenAI itself and for every host of that shape: bodies pass through, replies pass back.

Facts of replies: usage members and finish reasons as in OpenAI's openapi.yaml 2.3.0 (chat.completion, text_completion,
list of embeddings, response, images response); errors as `{"error": {...}}`, which Gemini's compatible face wraps in
an array.
"""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from urllib.parse import urlsplit

import msgspec

from batchrouter.domain.line import splice_model
from batchrouter.domain.origin import Origin
from batchrouter.domain.outcome import Finish
from batchrouter.domain.tokens import NO_TOKENS, Tokens
from batchrouter.errors import ConfigError
from batchrouter.providers.base import Encoded, Reply
from batchrouter.providers.reply import error_body, is_json, one_line

FINISHES = {
    "stop": Finish.STOP,
    "completed": Finish.STOP,
    "length": Finish.LENGTH,
    "max_output_tokens": Finish.LENGTH,
    "tool_calls": Finish.TOOL_CALLS,
    "function_call": Finish.TOOL_CALLS,
    "content_filter": Finish.CONTENT_FILTER,
}


class _Details(msgspec.Struct):
    cached_tokens: int | None = 0
    reasoning_tokens: int | None = 0


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = 0
    completion_tokens: int | None = 0
    input_tokens: int | None = 0
    output_tokens: int | None = 0
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None
    input_tokens_details: _Details | None = None
    output_tokens_details: _Details | None = None


class _Choice(msgspec.Struct):
    finish_reason: str | None = None


class _Incomplete(msgspec.Struct):
    reason: str | None = None


class _Answer(msgspec.Struct):
    model: str | None = None
    usage: _Usage | None = None
    choices: list[_Choice] | None = None
    status: str | None = None
    incomplete_details: _Incomplete | None = None


class _ErrorObject(msgspec.Struct):
    code: str | int | None = None
    type: str | None = None
    status: str | int | None = None


class _ErrorBody(msgspec.Struct):
    error: _ErrorObject


_ANSWER = msgspec.json.Decoder(_Answer)
_ERROR = msgspec.json.Decoder(_ErrorBody | list[_ErrorBody])
_COUNT_MAX = 0xFFFFFFFF
"""A record keeps 32 bits; nobody counts more tokens, and a faulty upstream must not stop a flush."""


class OpenAIWire:
    """One lane of an OpenAI-shaped provider.

    `base_url` ends where a line's url has had its `/v1`: `http://host:8000/v1` serves `/v1/chat/completions`.
    `upstream_model` is spliced into a body that names another.
    """

    def __init__(
        self,
        base_url: str,
        upstream_model: str,
        *,
        api_key: str | None = None,
        headers: Mapping[str, str] | None = None,
        verify_tls: bool = True,
        ca_file: str | None = None,
    ) -> None:
        self.origin, self._path = _split(base_url, verify_tls, ca_file)
        self._model = upstream_model
        self._model_token = msgspec.json.encode(upstream_model)
        default_port = 443 if self.origin.scheme == "https" else 80
        host = f"[{self.origin.host}]" if ":" in self.origin.host else self.origin.host
        fields = {
            "host": host if self.origin.port == default_port else f"{host}:{self.origin.port}",
            "content-type": "application/json",
            "accept": "application/json",
            "accept-encoding": "identity",
            "user-agent": "batchrouter",
        }
        if api_key:
            fields["authorization"] = f"Bearer {api_key}"
        for name, value in (headers or {}).items():
            fields[name.lower()] = value
        for name, value in fields.items():
            if not _is_field(name, value):
                raise ConfigError(f"header '{name}' of {base_url} has characters that HTTP does not allow")
        self._fields = "".join(f"{name}: {value}\r\n" for name, value in fields.items()).encode("latin-1")

    def head(self, endpoint: str) -> bytes:
        path = self._path + endpoint.removeprefix("/v1")
        return f"POST {path} HTTP/1.1\r\n".encode("ascii") + self._fields + b"content-length: "

    def passes(self, endpoint: str) -> bool:
        return True

    def encode(self, endpoint: str, body: bytes) -> Encoded:
        return Encoded(splice_model(body, self._model))

    def encode_batch(self, endpoint: str, body: bytes) -> Encoded:
        return self.encode(endpoint, body)

    def decode(self, endpoint: str, status: int, body: bytes, note: object | None = None) -> Reply:
        body = body.removeprefix(codecs.BOM_UTF8)  # a reader may ignore it (RFC 8259, section 8.1)
        if 200 <= status < 300:
            return _decode_answer(body)
        return _decode_error(status, body)


def _decode_answer(body: bytes) -> Reply:
    try:
        answer = _ANSWER.decode(body)
    except (msgspec.DecodeError, RecursionError):
        # Either it is no JSON, or JSON of a shape that tells no usage.
        line = one_line(body) if is_json(body) else None
        if line is None:
            return Reply(
                error_body("The upstream answered with something that is not JSON.", "server_error", "invalid_reply"),
                usable=False,
            )
        return Reply(line)
    line = one_line(body)
    if line is None:
        return Reply(
            error_body("The upstream answered with bytes that are not UTF-8.", "server_error", "invalid_reply"),
            usable=False,
        )
    tokens = NO_TOKENS if answer.usage is None else _tokens(answer.usage)
    return Reply(line, True, tokens, _finish(answer), answer.model)


def _tokens(usage: _Usage) -> Tokens:
    before = usage.prompt_tokens_details or usage.input_tokens_details
    after = usage.completion_tokens_details or usage.output_tokens_details
    counts = (
        usage.prompt_tokens or usage.input_tokens or 0,
        before.cached_tokens or 0 if before is not None else 0,
        usage.completion_tokens or usage.output_tokens or 0,
        after.reasoning_tokens or 0 if after is not None else 0,
    )
    if min(counts) < 0 or max(counts) > _COUNT_MAX:
        counts = tuple(min(max(count, 0), _COUNT_MAX) for count in counts)  # type: ignore[assignment]
    return Tokens._make(counts)


def _finish(answer: _Answer) -> Finish:
    if answer.choices:
        word = answer.choices[0].finish_reason
    elif answer.incomplete_details is not None:
        word = answer.incomplete_details.reason
    else:
        word = answer.status
    if word is None:
        return Finish.NONE
    return FINISHES.get(word, Finish.OTHER)


def _decode_error(status: int, body: bytes) -> Reply:
    code: str | None = None
    try:
        parsed = _ERROR.decode(body)
        error = (parsed[0] if isinstance(parsed, list) else parsed).error
        # A code that only repeats the status tells less than the type (vLLM, Gemini).
        found = error.type if error.code is None or (error.type and str(error.code) == str(status)) else error.code
        code = str(found) if found is not None else None
    except (msgspec.DecodeError, RecursionError, IndexError):
        pass
    line = one_line(body) if body and is_json(body) else None
    if line is None:
        line = error_body(f"The upstream answered with status {status} and no JSON.", "server_error", None)
    return Reply(line, code=code)


def _split(base_url: str, verify_tls: bool, ca_file: str | None) -> tuple[Origin, str]:
    try:
        parts = urlsplit(base_url)
        port = parts.port
    except ValueError as error:
        raise ConfigError(f"base_url '{base_url}' is no URL: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ConfigError(f"base_url '{base_url}' must be http:// or https:// with a host and at most a path")
    path = parts.path.rstrip("/")
    if not path.isascii() or any(c <= " " for c in path):
        raise ConfigError(f"base_url '{base_url}' has a path with characters that must be percent-encoded")
    return (
        Origin(parts.scheme, parts.hostname, port or (443 if parts.scheme == "https" else 80), verify_tls, ca_file),
        path,
    )


def _is_field(name: str, value: str) -> bool:
    token = name.replace("-", "").replace("_", "")
    return token.isascii() and token.isalnum() and not any(c in value for c in "\r\n\0") and _is_latin(value)


def _is_latin(value: str) -> bool:
    try:
        value.encode("latin-1")
    except UnicodeEncodeError:
        return False
    return True
