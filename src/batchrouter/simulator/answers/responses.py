"""Answers of /v1/responses."""

from __future__ import annotations

import msgspec

from batchrouter.errors import ApiError
from batchrouter.simulator.answers.common import (
    CREATED,
    REASONING_TOKENS,
    Answer,
    Message,
    cut,
    decode,
    echo,
    last_user_text,
    prompt_usage,
    require,
    tokens,
)


class Reasoning(msgspec.Struct, gc=False):
    effort: str | None = None


class ResponseRequest(msgspec.Struct, gc=False):
    model: str = ""
    input: str | list[Message] = ""
    instructions: str | None = None
    max_output_tokens: int | None = None
    reasoning: Reasoning | None = None
    stream: bool | None = None


_json = msgspec.json.Encoder().encode
_request = msgspec.json.Decoder(ResponseRequest)

_RESPONSE = (
    b'{"id":"resp_%b","object":"response","created_at":%d,"status":"%b","background":false,"error":null,'
    b'"incomplete_details":%b,"instructions":%b,"max_output_tokens":%b,"model":%b,"output":[%b],'
    b'"parallel_tool_calls":true,"previous_response_id":null,"reasoning":{"effort":%b,"summary":null},"store":false,'
    b'"temperature":1.0,"text":{"format":{"type":"text"}},"tool_choice":"auto","tools":[],"top_p":1.0,'
    b'"truncation":"disabled","usage":{"input_tokens":%d,"input_tokens_details":{"cached_tokens":%d,'
    b'"cache_write_tokens":0},"output_tokens":%d,"output_tokens_details":{"reasoning_tokens":%d},"total_tokens":%d},'
    b'"user":null,"metadata":{}}'
)
_MESSAGE = (
    b'{"id":"msg_%b","type":"message","status":"%b","role":"assistant",'
    b'"content":[{"type":"output_text","annotations":[],"logprobs":[],"text":%b}]}'
)


def answer_response(key: str, body: bytes) -> Answer:
    request = decode(_request, body)
    require(request.model, "model")
    require(request.input, "input")
    if request.stream:
        raise ApiError(400, "The simulator streams chat completions only.", param="stream", code="unsupported_value")
    messages = [Message("user", request.input)] if isinstance(request.input, str) else request.input
    if request.instructions:
        messages = [Message("system", request.instructions), *messages]
    input_tokens, cached_tokens = prompt_usage(messages)
    budget = request.max_output_tokens
    effort = request.reasoning.effort if request.reasoning else None
    reasoning = REASONING_TOKENS if effort not in (None, "none") else 0
    if budget is not None:
        reasoning = min(reasoning, budget)
        budget -= reasoning
    text, was_cut = cut(echo(key, last_user_text(messages)), budget)
    output_tokens = tokens(text) + reasoning
    status = b"incomplete" if was_cut else b"completed"
    content = _RESPONSE % (
        key.encode(),
        CREATED,
        status,
        b'{"reason":"max_output_tokens"}' if was_cut else b"null",
        _json(request.instructions),
        _json(request.max_output_tokens),
        _json(request.model),
        _MESSAGE % (key.encode(), status, _json(text)),
        _json(effort),
        input_tokens,
        cached_tokens,
        output_tokens,
        reasoning,
        input_tokens + output_tokens,
    )
    return Answer(200, content, request.model, input_tokens, output_tokens)
