"""Responses over a host that has chat.completions alone: dict to dict, without Anthropic between."""

from __future__ import annotations

from typing import Any

import pytest
from openai.types.chat import completion_create_params
from openai.types.responses import Response
from pydantic import TypeAdapter

from batchrouter.errors import LineRefused
from batchrouter.providers.responses import chat_of
from batchrouter.providers.responses_reply import response_of

CHAT = TypeAdapter(completion_create_params.CompletionCreateParamsNonStreaming)


def chat(message: dict[str, Any], finish: str = "stop", **more: Any) -> dict[str, Any]:
    said = {"role": "assistant", "content": None, "refusal": None, **message}
    choice = {"index": 0, "message": said, "logprobs": None, "finish_reason": finish}
    usage = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}
    return {
        "id": "chatcmpl-9",
        "object": "chat.completion",
        "created": 1,
        "model": "qwen",
        "choices": [{**choice, **more}],
        "usage": usage,
    }


def test_a_request_becomes_a_chat_that_openai_would_take() -> None:
    """With its items as messages, its flat members nested, and nothing that only Responses has."""
    body = {
        "model": "qwen",
        "instructions": "Be brief.",
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "Weather?"}]},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": "rain"},
        ],
        "max_output_tokens": 9,
        "reasoning": {"effort": "low"},
        "text": {"format": {"type": "json_object"}, "verbosity": "low"},
        "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": True}],
        "tool_choice": "required",
        "parallel_tool_calls": False,
        "include": ["message.output_text.logprobs"],
        "top_logprobs": 2,
        "temperature": 0.5,
        "user": "u",
        "metadata": {"run": "7"},
        "store": True,
        "stream": False,
        "truncation": "disabled",
        "background": False,
        "previous_response_id": None,
    }
    asked = chat_of(body)
    CHAT.validate_python(asked.chat)
    assert asked.dropped == ()
    assert asked.chat == {
        "model": "qwen",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "Weather?"}]},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
            },
            {"role": "tool", "tool_call_id": "c", "content": "rain"},
        ],
        "max_completion_tokens": 9,
        "reasoning_effort": "low",
        "response_format": {"type": "json_object"},
        "verbosity": "low",
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}, "strict": True}}],
        "tool_choice": "required",
        "parallel_tool_calls": False,
        "logprobs": True,
        "top_logprobs": 2,
        "temperature": 0.5,
        "user": "u",
    }


def test_probabilities_and_sources_of_a_chat_are_kept() -> None:
    """What a host gives beyond text stands where a response has it."""
    source = {"start_index": 0, "end_index": 2, "title": "t", "url": "https://example.com"}
    probability = {"token": "Hi", "logprob": -0.1, "bytes": [72, 105], "top_logprobs": []}
    said = {"content": "Hi", "annotations": [{"type": "url_citation", "url_citation": source}]}
    made = response_of(chat(said, logprobs={"content": [probability], "refusal": None}), {})
    Response.model_validate(made, strict=True)
    text = made["output"][0]["content"][0]
    assert text["annotations"] == [{"type": "url_citation", **source}]
    assert text["logprobs"] == [probability]
    assert made["id"] == "resp_9"
    assert made["usage"]["total_tokens"] == 8


def test_reasoning_without_a_signature_is_a_summary() -> None:
    """Hosts that tell their reasoning in `reasoning_content` sign nothing."""
    echo = {"include": ["reasoning.encrypted_content"]}
    made = response_of(chat({"content": "Hi", "reasoning_content": "Hm."}), echo)
    Response.model_validate(made, strict=True)
    assert made["output"][0]["summary"] == [{"type": "summary_text", "text": "Hm."}]
    assert made["output"][0]["encrypted_content"] is None


@pytest.mark.parametrize(
    "chat_reply",
    [
        {},
        {"choices": None},
        {"choices": [{}]},
        {"choices": [7]},
        {"choices": [{"message": {"content": None, "tool_calls": [7], "annotations": 7}}], "usage": 3},
    ],
)
def test_a_chat_that_says_little_is_still_a_response(chat_reply: dict[str, Any]) -> None:
    """Whatever a host leaves out."""
    made = response_of(chat_reply, {})
    Response.model_validate(made)
    assert made["output"][0]["content"][0]["text"] == ""


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "input"),
        ({"input": 7}, "input"),
        ({"input": [7]}, "input[0]"),
        ({"input": [{"role": "user", "content": [{"type": "video"}]}]}, "input[0].content[0]"),
        ({"input": "x", "tools": {}}, "tools"),
        ({"input": "x", "tools": [{"type": "function"}]}, None),
        ({"input": "x", "tool_choice": {"type": "mcp"}}, "tool_choice"),
        ({"input": "x", "text": 7}, "text"),
        ({"input": "x", "reasoning": "high"}, "reasoning"),
        ({"input": "x", "include": "all"}, "include"),
        ({"input": "x", "instructions": ["y"]}, "instructions"),
        ({"input": [{"type": "function_call", "name": "f"}]}, "input[0].call_id"),
    ],
)
def test_what_is_malformed_is_told_by_its_place(body: dict[str, Any], param: str | None) -> None:
    """In the words of Responses; what the chat itself would refuse is left to the chat's provider."""
    if param is None:
        chat_of(body)
        return
    with pytest.raises(LineRefused) as refused:
        chat_of(body)
    assert refused.value.param == param
