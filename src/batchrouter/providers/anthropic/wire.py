"""The Anthropic wire: Messages for every line, whatever wire the line was written in.

Lines of /v1/messages go through with nothing but their model changed; those of /v1/chat/completions and /v1/responses
are translated both ways. An answer that may take long is streamed and put together here, so that no connection is cut
for having been silent.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from batchrouter.domain.line import splice_model
from batchrouter.domain.outcome import Finish
from batchrouter.domain.surrogates import mend
from batchrouter.errors import LineRefused
from batchrouter.providers.anthropic.answer import chat_completion, is_message, recorded_finish, tokens_of
from batchrouter.providers.anthropic.draft import Dict, Policy, refuse
from batchrouter.providers.anthropic.failures import failure_of, no_json
from batchrouter.providers.anthropic.models import Facts, facts_of
from batchrouter.providers.anthropic.request import Translated, translate
from batchrouter.providers.anthropic.stream import assembled, is_stream
from batchrouter.providers.base import Encoded, Reply
from batchrouter.providers.codec import dumps, loads
from batchrouter.providers.reply import error_body, one_line
from batchrouter.providers.request_head import RequestHead
from batchrouter.providers.responses import chat_of
from batchrouter.providers.responses_reply import response_of
from batchrouter.providers.rules import Unsupported

VERSION = "2023-06-01"
"""`anthropic-version`. A version keeps the parameters that it has (the vendor's page on versions), and under this one
the older models still take temperature. `headers` of the configuration may name another."""
STREAM_ABOVE = 21_333
"""`max_tokens` up to which an answer is not streamed: above it, at 128,000 tokens an hour, it may take more than ten
minutes, and anthropic 2.11.0 (`_base_client.py`) refuses to wait for it in silence."""
MESSAGES, CHAT, RESPONSES = "/v1/messages", "/v1/chat/completions", "/v1/responses"
ENDPOINTS = (CHAT, RESPONSES, MESSAGES)


class Note(NamedTuple):
    """What `decode` must know of its request."""

    tools: dict[str, str] | None = None
    legacy: bool = False
    json_object: bool = False
    echo: Dict | None = None


class AnthropicWire:
    """One lane of Anthropic, or of a host that speaks Messages.

    `base_url` ends where a line's url has had its `/v1`: `https://api.anthropic.com/v1`. `facts` None: those that are
    known of `upstream_model`. `now_s` gives the unix seconds for `created`, which a Message has not.
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
        facts: Facts | None = None,
        policy: Policy | None = None,
        now_s: Callable[[], int] = lambda: 0,
    ) -> None:
        fields = {"accept": "application/json, text/event-stream", "anthropic-version": VERSION}
        if api_key:
            fields["x-api-key"] = api_key
        head = RequestHead(base_url, fields, headers, verify_tls=verify_tls, ca_file=ca_file)
        self.origin = head.origin
        self._head = head.post("/messages")
        self._model = upstream_model
        self._facts = facts or facts_of(upstream_model)
        self._policy = policy or Policy()
        self._now_s = now_s

    def learn(self, facts: Facts) -> None:
        """What was told of the model meanwhile; holds for lines that are encoded from now on."""
        self._facts = facts

    def head(self, endpoint: str) -> bytes:
        return self._head

    def passes(self, endpoint: str) -> bool:
        """Never: of a line of /v1/messages, too, must be seen whether its answer has to be streamed."""
        return False

    def encode(self, endpoint: str, body: bytes) -> Encoded:
        return self._encode(endpoint, body, batch=False)

    def encode_batch(self, endpoint: str, body: bytes) -> Encoded:
        """The `params` of a request in Message Batches: never streamed."""
        return self._encode(endpoint, body, batch=True)

    def decode(self, endpoint: str, status: int, body: bytes, note: object | None = None) -> Reply:
        try:
            return self._decode(endpoint, status, body, note if isinstance(note, Note) else Note())
        except (ValueError, RecursionError):
            return _unusable("The upstream's answer is no Message.", "invalid_reply")

    # --- requests ---------------------------------------------------------------------------------------------------

    def _encode(self, endpoint: str, body: bytes, *, batch: bool) -> Encoded:
        if endpoint not in ENDPOINTS:
            raise LineRefused(
                f"This model's provider has no equivalent of {endpoint}.", code="unsupported_endpoint", param="url"
            )
        try:
            if endpoint == MESSAGES:
                return _passed(body, self._model, batch)
            asked = loads(body)
            if endpoint == CHAT:
                return self._from_chat(asked, batch)
            return self._from_responses(asked, batch)
        except (ValueError, RecursionError) as error:
            message = "The body has a number out of range or is nested too deeply."
            raise LineRefused(message, code="invalid_request", param="body") from error

    def _from_chat(self, chat: Dict, batch: bool) -> Encoded:
        made = translate(chat, self._model, self._facts, self._policy, batch=batch)
        plain = made.tools is None and not made.legacy and not made.json_object
        note = None if plain else Note(made.tools, made.legacy, made.json_object)
        return Encoded(_sent(made, batch), note, made.dropped)

    def _from_responses(self, body: Dict, batch: bool) -> Encoded:
        asked = chat_of(body)
        try:
            made = translate(asked.chat, self._model, self._facts, self._policy, batch=batch)
        except LineRefused as error:
            name = _in_responses(error.param)
            message = error.message.replace(f"'{error.param}'", f"'{name}'")
            raise LineRefused(message, code=error.code, param=name) from error
        missing = asked.dropped
        if _SUMMARY in missing and self._tells_thinking(made):
            missing = tuple(name for name in missing if name != _SUMMARY)
        if missing and self._policy.unsupported is Unsupported.FAIL:
            name = missing[0]
            refuse(f"The parameter '{name}' is not supported for this model.", name, "unsupported_parameter")
        echo = {name: value for name, value in asked.echo.items() if name not in made.dropped}
        dropped = missing + tuple(_in_responses(name) or name for name in made.dropped)
        return Encoded(_sent(made, batch), Note(made.tools, False, made.json_object, echo), dropped)

    def _tells_thinking(self, made: Translated) -> bool:
        """Ask for a summary of the thinking, which the newer models keep to themselves else. False: none is thought."""
        forced = made.params.get("tool_choice", {}).get("type") in ("any", "tool")
        unasked = {"type": "adaptive"} if self._facts.always_thinks and not forced else {}
        thinking = made.params.get("thinking", unasked)
        if thinking.get("type") not in ("adaptive", "enabled"):
            return False
        made.params["thinking"] = {"display": "summarized", **thinking}
        return True

    # --- replies ----------------------------------------------------------------------------------------------------

    def _decode(self, endpoint: str, status: int, body: bytes, note: Note) -> Reply:
        body = body.removeprefix(codecs.BOM_UTF8)
        if not 200 <= status < 300:
            return _failed(endpoint, status, body)
        streamed = is_stream(body)
        message = assembled(body) if streamed else loads(body)
        if not is_message(message):
            failure = failure_of(message)
            if failure is None:
                return _unusable("The upstream's answer is no Message.", "invalid_reply")
            return Reply(failure.body, usable=False, code=failure.code)  # in the middle of a stream
        tokens, written = tokens_of(message)
        model = message.get("model")
        told = one_line(body) if endpoint == MESSAGES and not streamed else dumps(self._said(endpoint, message, note))
        if told is None:
            return _unusable("The upstream's answer is not UTF-8.", "invalid_reply")
        finish: Finish = recorded_finish(message)
        return Reply(told, True, tokens, finish, model if isinstance(model, str) else None, cache_writes=written)

    def _said(self, endpoint: str, message: Dict, note: Note) -> Dict:
        if endpoint == MESSAGES:
            return message
        chat = chat_completion(
            message, self._now_s(), tools=note.tools, legacy=note.legacy, json_object=note.json_object
        )
        return response_of(chat, note.echo or {}) if endpoint == RESPONSES else chat


def _sent(made: Translated, batch: bool) -> bytes:
    if not batch and made.params["max_tokens"] > STREAM_ABOVE:
        made.params["stream"] = True
    return mend(dumps(made.params))


class _Limits(msgspec.Struct):
    """The members of a Messages request that decide how it is sent."""

    max_tokens: Any = None
    stream: Any = None
    speed: Any = None


_limits = msgspec.json.Decoder(_Limits).decode
_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def _passed(body: bytes, model: str, batch: bool) -> Encoded:
    """A body that is in Anthropic's own words already; no byte changes that does not have to."""
    try:
        limits = _limits(body)
    except msgspec.DecodeError:
        body = mend(body)
        limits = _limits(body)
    wanted = limits.max_tokens
    if batch:
        loads(body)  # one number that nobody can read would spoil the request of the whole batch
    if batch and wanted == 0:
        refuse("'max_tokens' must be at least 1 in a batch.", "max_tokens", "integer_below_min_value")
    dropped = ("speed",) if batch and limits.speed is not None else ()
    streams = not batch and isinstance(wanted, int) and wanted > STREAM_ABOVE
    body = splice_model(body, model)
    if not streams and not dropped and not (batch and limits.stream):
        return Encoded(body)
    members = _members(body)
    members.pop("stream", None)
    for name in dropped:
        del members[name]
    if streams:
        members["stream"] = msgspec.Raw(b"true")
    return Encoded(msgspec.json.encode(members), None, dropped)


_SUMMARY = "reasoning.summary"
_RESPONSES_NAMES = {
    "reasoning_effort": "reasoning.effort",
    "max_completion_tokens": "max_output_tokens",
    "logprobs": "top_logprobs",
    "verbosity": "text.verbosity",
    "response_format": "text.format",
    "image_url.detail": "input_image.detail",
    "tools[].function.strict": "tools[].strict",
}


def _in_responses(param: str | None) -> str | None:
    """A chat's parameter as it is called in Responses; a place in the messages is somewhere in the input."""
    if param is None:
        return None
    if param.startswith("messages"):
        return "input"
    if param.startswith("response_format"):
        return "text.format"
    return _RESPONSES_NAMES.get(param, param)


def _failed(endpoint: str, status: int, body: bytes) -> Reply:
    """An error: in Anthropic's own shape for its own endpoint, else in OpenAI's."""
    try:
        value = loads(body)
    except (ValueError, RecursionError):
        value = None
    failure = failure_of(value)
    if failure is not None and endpoint != MESSAGES:
        return Reply(failure.body, code=failure.code)
    line = one_line(body) if value is not None else None
    if line is None:
        line = dumps(no_json(status))
    return Reply(line, code=None if failure is None else failure.code)


def _unusable(message: str, code: str) -> Reply:
    return Reply(error_body(message, "server_error", code), usable=False)
