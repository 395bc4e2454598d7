"""The vendors' own types as judges of what is sent and of what people get.

The SDK's `Iterable` members are checked lazily and members that it does not know are ignored, so every message, block,
source and tool is taken one by one here, and a member that its type has not is an error.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Mapping
from typing import Any, get_args, get_type_hints

from anthropic import types as a
from anthropic.types import message_create_params
from anthropic.types.document_block_param import Source as DocumentSource
from anthropic.types.image_block_param import Source as ImageSource
from anthropic.types.tool_result_block_param import Content as ResultContent
from openai.types.chat import ChatCompletion
from openai.types.responses import Response
from pydantic import TypeAdapter

SAMPLING = frozenset(("temperature", "top_p", "top_k"))
"""Not in anthropic 2.11.0 any more, but taken by the models that have sampling."""


@functools.cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


@functools.cache
def _members(kind: Any) -> frozenset[str]:
    return frozenset(get_type_hints(kind))


@functools.cache
def _by_type(union: Any) -> dict[str, Any]:
    """The members of a union by the literal of their `type`."""
    return {
        literal: kind
        for kind in get_args(union)
        if isinstance(kind, type) or hasattr(kind, "__annotations__")
        for literal in get_args(get_args(get_type_hints(kind, include_extras=True)["type"])[0])
    }


def _check(kind: Any, value: Mapping[str, Any]) -> None:
    _adapter(kind).validate_python(value, strict=True)
    unknown = value.keys() - _members(kind)
    assert not unknown, f"{kind.__name__} has no {sorted(unknown)}"


def check_params(params: Mapping[str, Any], *, sampling: bool) -> None:
    """`params` are what Messages takes; `sampling`: of a model that has it."""
    kind = (
        message_create_params.MessageCreateParamsStreaming
        if params.get("stream")
        else message_create_params.MessageCreateParamsNonStreaming
    )
    extra = SAMPLING & params.keys()
    assert sampling or not extra
    _check(kind, {name: value for name, value in params.items() if name not in extra})
    for turn in params["messages"]:
        _check(a.UserMessageParam if turn["role"] == "user" else a.AssistantMessageParam, turn)
        if not isinstance(turn["content"], str):
            _check_blocks(turn["content"], a.ContentBlockParam)
    for block in params.get("system", ()):
        assert block["type"] == "text"
    _check_blocks(params.get("system", ()), a.ContentBlockParam)
    for tool in params.get("tools", ()):
        _check(a.ToolParam, tool)
        assert tool["input_schema"]["type"] == "object"
    if "tool_choice" in params:
        _check(_by_type(a.ToolChoiceParam)[params["tool_choice"]["type"]], params["tool_choice"])
    if "thinking" in params:
        _check(_by_type(a.ThinkingConfigParam)[params["thinking"]["type"]], params["thinking"])
    if "output_config" in params:
        _check(a.OutputConfigParam, params["output_config"])
    if "metadata" in params:
        _check(a.MetadataParam, params["metadata"])
    _check_order(params["messages"])


def _check_blocks(blocks: Iterable[Mapping[str, Any]], union: Any) -> None:
    for block in blocks:
        _check(_by_type(union)[block["type"]], block)
        if block["type"] == "text":
            assert block["text"].strip()
        if block["type"] == "image":
            _check(_by_type(ImageSource)[block["source"]["type"]], block["source"])
        if block["type"] == "document":
            _check({**_by_type(DocumentSource)}[block["source"]["type"]], block["source"])
        if block["type"] == "tool_result" and not isinstance(block.get("content", ""), str):
            _check_blocks(block["content"], ResultContent)


def _check_order(turns: list[dict[str, Any]]) -> None:
    """What no type tells: the user begins, roles alternate, results come first and behind their calls."""
    assert turns[0]["role"] == "user"
    assert all(one["role"] != two["role"] for one, two in itertools.pairwise(turns))
    for turn in turns:
        kinds = [block["type"] for block in turn["content"]] if isinstance(turn["content"], list) else []
        results = kinds.count("tool_result")
        assert kinds[:results] == ["tool_result"] * results


def check_answer(endpoint: str, body: Mapping[str, Any]) -> None:
    """`body` is what OpenAI's (or, for /v1/messages, Anthropic's) client takes for an answer or an error."""
    if "error" in body and body.get("type") != "error" and body.get("object") != "response":
        assert body["error"].keys() == {"message", "type", "param", "code"}
    elif endpoint == "/v1/chat/completions":
        ChatCompletion.model_validate(body, strict=True)
        for choice in body["choices"]:
            assert {"logprobs", "finish_reason", "index"} <= choice.keys()
            assert {"content", "refusal", "role"} <= choice["message"].keys()
    elif endpoint == "/v1/responses":
        Response.model_validate(body, strict=True)
        assert body.keys() >= _RESPONSE_REQUIRED
    elif body.get("type") == "error":
        a.ErrorResponse.model_validate(body)
    else:
        a.Message.model_validate(body)


_RESPONSE_REQUIRED = {
    "id", "object", "created_at", "status", "error", "incomplete_details", "instructions", "model", "output",
    "parallel_tool_calls", "metadata", "tool_choice", "tools", "temperature", "top_p", "usage",
}  # fmt: skip
"""Of `Response` in OpenAI's openapi.yaml 2.3.0, and usage, which people count with."""
