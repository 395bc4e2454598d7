"""Replies of Anthropic's API to requests that ask a model, or for the list of models."""

from __future__ import annotations

import re
from urllib.parse import unquote

import msgspec

from batchrouter.errors import ApiError
from batchrouter.simulator.answers import model_of
from batchrouter.simulator.anthropic.cache import PromptCache
from batchrouter.simulator.anthropic.errors import bad, refusal_of, request_id
from batchrouter.simulator.anthropic.messages import say
from batchrouter.simulator.anthropic.models import answer_models
from batchrouter.simulator.anthropic.stream import events_of
from batchrouter.simulator.reply import Reply

VERSION = "anthropic-version"
MESSAGE_BYTES_MAX = 32_000_000

_json = msgspec.json.Encoder().encode
_version = re.compile(r"20\d\d-\d\d-\d\d")


def check_version(version: str | None) -> None:
    """Raises ApiError 400 when the header that every request needs is missing or no date."""
    if version is None:
        raise bad(f"{VERSION}: header is required")
    if not _version.fullmatch(version):
        raise bad(f'{VERSION}: "{version}" is not a valid version')


def answer_message(
    number: int, key: str, body: bytes, version: str | None, cache: PromptCache, *, batched: bool = False
) -> Reply:
    """POST /v1/messages; `number` is the request's in the log. A line of a batch needs no version."""
    try:
        if not batched:
            check_version(version)
        if len(body) > MESSAGE_BYTES_MAX:
            raise ApiError(413, "Request exceeds the maximum size")
        said = say(key, body, cache, batched=batched)
    except ApiError as error:
        return refusal_of(error, number, model_of(body))
    reply = Reply(
        200,
        b"",
        headers=[("request-id", request_id(number))],
        model=said.model,
        prompt_tokens=said.prompt.total,
        completion_tokens=said.output_tokens,
        cached_tokens=said.prompt.read,
    )
    if said.stream:
        reply.content_type, reply.fault, reply.body = "text/event-stream", "chunked", events_of(said)
    else:
        reply.body = _json(said.message("batch" if batched else "standard"))
    return reply


def answer_lookup(number: int, globs: tuple[str, ...], path: str, query: str, version: str | None) -> Reply:
    """GET /v1/models and one model."""
    try:
        check_version(version)
        body = answer_models(globs, unquote(path), query)
    except ApiError as error:
        return refusal_of(error, number)
    return Reply(200, body, headers=[("request-id", request_id(number))])
