"""The OpenAI wire, for OpenAI itself and for every host of that shape: bodies pass through, replies pass back.

What differs from host to host is data (`providers.hosts`): where the key goes, which endpoints there are, which
parameters are not taken as they are.
"""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from batchrouter.domain.line import splice_model
from batchrouter.errors import LineRefused
from batchrouter.providers.base import Encoded, Reply
from batchrouter.providers.codec import dumps, loads
from batchrouter.providers.hosts import COMPATIBLE, Host
from batchrouter.providers.hosts.host import ALL_ENDPOINTS, RESPONSES
from batchrouter.providers.openai_reply import decode_answer, decode_error
from batchrouter.providers.request_head import RequestHead
from batchrouter.providers.responses import chat_of
from batchrouter.providers.responses_reply import response_of
from batchrouter.providers.rules import CHAT, Changes, Rule, Unsupported, refused

_TIERED = frozenset((CHAT, RESPONSES))
"""Endpoints that know `service_tier` (openapi.yaml 2.3.0)."""
_NOT_IN_BATCH = ("stream", "stream_options", "service_tier")
"""OpenAI "Batch API": nothing is streamed, and the price is the batch's."""


class _Translated(NamedTuple):
    """Note for `decode`: the request was a response's and went out as a chat; what the response repeats of it."""

    echo: dict[str, Any]


class _Way(NamedTuple):
    """How bodies for one endpoint go out: to `endpoint`, changed by `changes`."""

    endpoint: str
    changes: Changes
    translated: bool = False


class OpenAIWire:
    """One lane of an OpenAI-shaped provider.

    `base_url` ends where a line's url has had its `/v1`: `http://host:8000/v1` serves `/v1/chat/completions`.
    `upstream_model` is spliced into a body that names another. `flex`: every body asks for the discounted tier.
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
        host: Host = COMPATIBLE,
        unsupported: Unsupported | None = None,
        flex: bool = False,
    ) -> None:
        self._head = RequestHead(base_url, host.key_fields(api_key), headers, verify_tls=verify_tls, ca_file=ca_file)
        self.origin = self._head.origin
        self._host = host
        self._model = upstream_model
        self._unsupported = unsupported
        self._flex = flex
        self._ways: dict[str, _Way | None] = {}
        self._batch_ways: dict[str, _Way] = {}

    def head(self, endpoint: str) -> bytes:
        way = self._way(endpoint)
        sent = endpoint if way is None else way.endpoint
        return self._head.post(self._host.url_rewrite.get(sent) or sent.removeprefix("/v1"))

    def passes(self, endpoint: str) -> bool:
        way = self._way(endpoint)
        return way is not None and way.changes.empty and not way.translated

    def encode(self, endpoint: str, body: bytes) -> Encoded:
        way = self._way(endpoint)
        if way is None:
            raise self._no_endpoint(endpoint)
        if way.translated:
            return self._as_chat(body, way)
        changed, dropped = way.changes.apply(body)
        return Encoded(splice_model(changed, self._model), None, dropped)

    def encode_batch(self, endpoint: str, body: bytes) -> Encoded:
        way = self._batch_ways.get(endpoint)
        if way is None:
            changes = Changes(self._rules(endpoint), self._unsupported, without=_NOT_IN_BATCH)
            way = self._batch_ways[endpoint] = _Way(endpoint, changes)
        changed, dropped = way.changes.apply(body)
        return Encoded(splice_model(changed, self._model), None, dropped)

    def decode(self, endpoint: str, status: int, body: bytes, note: object | None = None) -> Reply:
        body = body.removeprefix(codecs.BOM_UTF8)  # a reader may ignore it (RFC 8259, section 8.1)
        if not 200 <= status < 300:
            return decode_error(status, body)
        reply = decode_answer(body, thinking_apart=self._host.thinking_apart)
        if isinstance(note, _Translated) and reply.usable:
            return _as_response(reply, note.echo)
        return reply

    def _way(self, endpoint: str) -> _Way | None:
        """None: the host has no such endpoint, and nothing that could stand in for it."""
        try:
            return self._ways[endpoint]
        except KeyError:
            way = self._ways[endpoint] = self._find_way(endpoint)
            return way

    def _find_way(self, endpoint: str) -> _Way | None:
        if self._host.only_batch:
            return None
        put = {"service_tier": b'"flex"'} if self._flex and endpoint in _TIERED else {}
        served = self._host.endpoints
        # A path of the configuration's own is nothing that a row could know of.
        if served is None or endpoint in served or endpoint not in ALL_ENDPOINTS:
            return _Way(endpoint, Changes(self._rules(endpoint), self._unsupported, put))
        if endpoint == RESPONSES and CHAT in served:
            return _Way(CHAT, Changes(self._rules(CHAT), self._unsupported, put), translated=True)
        return None

    def _rules(self, endpoint: str) -> list[Rule]:
        return [rule for rule in self._host.rules if rule.holds(endpoint, self._model)]

    def _no_endpoint(self, endpoint: str) -> LineRefused:
        if self._host.only_batch:
            message = "This model's provider takes nothing but batches, and this line came to run in real time."
        else:
            message = f"This model's provider has no {endpoint}."
        return LineRefused(message, code="unsupported_endpoint", param="url")

    def _as_chat(self, body: bytes, way: _Way) -> Encoded:
        try:
            asked = chat_of(loads(body))
            chat = dumps({**asked.chat, "model": self._model})
        except (ValueError, RecursionError) as error:
            message = "The body has a number out of range or is nested too deeply."
            raise LineRefused(message, code="invalid_request", param="body") from error
        if asked.dropped and self._unsupported is Unsupported.FAIL:
            raise refused(asked.dropped[0])
        changed, dropped = way.changes.apply(chat)
        return Encoded(changed, _Translated(asked.echo), asked.dropped + dropped)


def _as_response(reply: Reply, echo: dict[str, Any]) -> Reply:
    try:
        chat = loads(reply.body)
        if not isinstance(chat, dict):
            return reply
        return reply._replace(body=dumps(response_of(chat, echo)))
    except (ValueError, RecursionError, msgspec.EncodeError):
        return reply  # JSON, but of no shape that could be translated: told as it is
