"""The judge of what is sent has teeth: a body that is wrong in one place is refused."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.unit.providers.anthropic.judge import check_answer, check_params

GOOD: dict[str, Any] = {
    "model": "m",
    "max_tokens": 9,
    "system": [{"type": "text", "text": "s"}],
    "messages": [
        {"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "https://h/a"}}]},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}}]},
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "r"}]}],
        },
    ],
    "tools": [{"name": "f", "input_schema": {"type": "object", "properties": {}}}],
    "tool_choice": {"type": "auto"},
    "output_config": {"effort": "low"},
    "thinking": {"type": "adaptive"},
}


def broken(*path: Any, value: Any) -> dict[str, Any]:
    body = copy.deepcopy(GOOD)
    place: Any = body
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return body


def test_a_good_body_passes() -> None:
    """Else the rest would prove nothing."""
    check_params(GOOD, sampling=False)


@pytest.mark.parametrize(
    "body",
    [
        broken("json_mode", value=True),
        broken("temperature", value=0.5),
        broken("max_tokens", value="9"),
        broken("system", 0, "text", value=""),
        broken("messages", 0, "role", value="assistant"),
        broken("messages", 0, "name", value="ada"),
        broken("messages", 0, "content", 0, "detail", value="low"),
        broken("messages", 0, "content", 0, "source", "type", value="ftp"),
        broken("messages", 0, "content", 0, "source", "media_type", value="image/png"),
        broken("messages", 1, "content", 0, "input", value="{}"),
        broken("messages", 2, "content", 0, "content", 0, "text", value=7),
        broken("messages", 2, "content", 0, "content", 0, "tokens", value=7),
        broken("tools", 0, "parameters", value={}),
        broken("tools", 0, "input_schema", value={}),
        broken("tool_choice", value={"type": "any", "name": "f"}),
        broken("output_config", "effort", value="minimal"),
        broken("thinking", value={"type": "adaptive", "budget_tokens": 1024}),
    ],
)
def test_a_body_that_is_wrong_in_one_place_is_refused(body: dict[str, Any]) -> None:
    """The SDK's types alone would let most of these pass."""
    with pytest.raises((AssertionError, ValueError, KeyError)):
        check_params(body, sampling=False)


def test_an_answer_without_a_required_member_is_refused() -> None:
    """OpenAI requires `logprobs` and `refusal`, which its client does not insist on."""
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "", "refusal": None}}
    body = {"id": "i", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
    with pytest.raises(AssertionError):
        check_answer("/v1/chat/completions", body)
    check_answer("/v1/chat/completions", {**body, "choices": [{**choice, "logprobs": None}]})
