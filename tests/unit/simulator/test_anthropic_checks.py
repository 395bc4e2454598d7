"""What Messages refuses, model by model, and what it must not refuse."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from batchrouter.errors import ApiError
from batchrouter.simulator import expected_key
from batchrouter.simulator.anthropic.cache import PromptCache
from batchrouter.simulator.anthropic.checks import SIGNED
from batchrouter.simulator.anthropic.facts import EFFORTS, NEWEST, facts_of
from batchrouter.simulator.anthropic.messages import Said, say

HAIKU, OPUS_45, OPUS_46, OPUS_48, FABLE_5, LATEST = (
    "claude-haiku-4-5",
    "claude-opus-4-5",
    "claude-opus-4-6",
    "claude-opus-4-8",
    "claude-fable-5",
    "claude-opus-5-5",
)
ALL = (HAIKU, OPUS_45, OPUS_46, OPUS_48, FABLE_5, LATEST)
SIGNATURE = base64.b64encode(SIGNED + b"x").decode()
THOUGHT = {"type": "thinking", "thinking": "Hm.", "signature": SIGNATURE}
CLOSED = {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": False}
TOOL: dict[str, Any] = {"name": "look", "input_schema": {"type": "object", "properties": {}}}
BUDGET = {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 4000}


def user(content: Any = "Hello") -> dict[str, Any]:
    return {"role": "user", "content": content}


def assistant(content: Any = "Hi") -> dict[str, Any]:
    return {"role": "assistant", "content": content}


def use(*ids: str) -> dict[str, Any]:
    return assistant([{"type": "tool_use", "id": one, "name": "look", "input": {}} for one in ids])


def result(*ids: str, then: str = "") -> dict[str, Any]:
    blocks: list[dict[str, Any]] = [{"type": "tool_result", "tool_use_id": one, "content": "42"} for one in ids]
    return user([*blocks, {"type": "text", "text": then}] if then else blocks)


def ask(model: str = HAIKU, *, batched: bool = False, **members: Any) -> Said:
    whole = {"model": model, "max_tokens": 500, "messages": [user()], **members}
    body = json.dumps({name: value for name, value in whole.items() if value is not ...}).encode()
    return say(expected_key(body), body, PromptCache(), batched=batched)


def refusal(model: str = HAIKU, *, batched: bool = False, **members: Any) -> str:
    with pytest.raises(ApiError) as caught:
        ask(model, batched=batched, **members)
    assert (caught.value.status, caught.value.type) == (400, "invalid_request_error")
    return caught.value.message


# --- facts of models ------------------------------------------------------------------------------------------------


def test_a_model_is_found_with_and_without_its_date_and_an_unknown_one_is_the_newest() -> None:
    assert facts_of("claude-haiku-4-5-20251001") is facts_of(HAIKU)
    assert facts_of("claude-opus-4-20250514").max_tokens == 32_000
    assert facts_of("claude-opus-4-6").prefill is False
    assert facts_of("claude-sonnet-9") is facts_of("m") is NEWEST


def taken(members: dict[str, Any]) -> set[str]:
    """The models that take these members."""
    models = set()
    for model in ALL:
        try:
            ask(model, **members)
        except ApiError:
            continue
        models.add(model)
    return models


@pytest.mark.parametrize(
    ("members", "models"),
    [
        ({"temperature": 0.5}, {HAIKU, OPUS_45, OPUS_46}),
        ({"temperature": 1}, set(ALL)),
        ({"top_p": 0.9}, {HAIKU, OPUS_45, OPUS_46}),
        ({"top_p": 0.99}, set(ALL)),
        ({"top_k": 5}, {HAIKU, OPUS_45, OPUS_46}),
        ({"temperature": 0.5, "top_p": 0.9}, {OPUS_46}),
        ({"messages": [user(), assistant("So")]}, {HAIKU, OPUS_45}),
        ({"tools": [TOOL], "tool_choice": {"type": "any"}}, set(ALL) - {LATEST}),
        ({"tools": [TOOL], "tool_choice": {"type": "tool", "name": "look"}}, set(ALL) - {LATEST}),
        ({"tools": [TOOL], "tool_choice": {"type": "auto"}}, set(ALL)),
        (BUDGET, {HAIKU, OPUS_45, OPUS_46}),
        ({"thinking": {"type": "adaptive"}}, set(ALL) - {HAIKU, OPUS_45}),
        ({"thinking": {"type": "disabled"}}, set(ALL) - {FABLE_5, LATEST}),
        ({"thinking": {"type": "between_tools"}}, {OPUS_46, OPUS_48}),
        ({"output_config": {"effort": "low"}}, set(ALL) - {HAIKU}),
        ({"output_config": {"effort": "max"}}, set(ALL) - {HAIKU, OPUS_45}),
        ({"output_config": {"format": {"type": "json_schema", "schema": CLOSED}}}, set(ALL)),
        ({"max_tokens": 64_001}, set(ALL) - {HAIKU, OPUS_45}),
        ({"max_tokens": 128_001}, set()),
        ({"messages": [user(), {"role": "system", "content": "Now be brief."}, user()]}, {LATEST}),
    ],
)
def test_each_model_takes_what_its_row_says(members: dict[str, Any], models: set[str]) -> None:
    assert taken(members) == models


def test_every_effort_of_a_row_is_an_effort() -> None:
    assert all(set(facts_of(model).efforts) <= set(EFFORTS) for model in ALL)


# --- what is refused whatever the model -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"max_tokens": ...}, "max_tokens: Field required"),
        ({"model": ...}, "model: Field required"),
        ({"messages": ...}, "messages: Field required"),
        ({"max_tokens": -1}, "max_tokens: Input should be greater than or equal to 0"),
        ({"frequency_penalty": 1}, "frequency_penalty: Extra inputs are not permitted"),
        ({"output_format": {"type": "json_schema"}}, "output_format: Extra inputs are not permitted"),
        ({"metadata": {"team": "x"}}, "metadata.team: Extra inputs are not permitted"),
        ({"metadata": {"user_id": "ann@example.com"}}, "metadata.user_id: user_id appears to contain"),
        ({"metadata": {"user_id": "+49 170 1234567"}}, "metadata.user_id: user_id appears to contain"),
        ({"temperature": 1.5}, "temperature: Input should be less than or equal to 1"),
        ({"stop_sequences": ["\n"]}, "stop_sequences: each stop sequence must contain non-whitespace"),
        ({"service_tier": "flex"}, "service_tier: Invalid enum value 'flex'"),
        ({"system": [{"type": "text", "text": ""}]}, "system.0: text content blocks must be non-empty"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.role: Input should be 'user' or 'assistant'"),
        ({"messages": [{"role": "system", "content": "x"}]}, 'Unexpected role "system"'),
        ({"messages": [user(), assistant("")]}, None),
        ({"messages": [user(), assistant("So ")]}, "cannot end with trailing whitespace"),
        ({"messages": [user(), assistant(""), user()]}, "messages.1: all messages must have non-empty content"),
        ({"messages": [user([{"type": "text", "text": "  "}])]}, "must contain non-whitespace text"),
        ({"messages": [user([{"type": "audio"}])]}, "messages.0.content.0.type: Invalid value 'audio'"),
        ({"messages": [user([{"type": "text", "text": "x", "n": 1}])]}, "messages.0.content.0.n: Extra inputs"),
        ({"messages": [user([THOUGHT])]}, "`thinking` blocks can only be in `assistant` messages"),
        ({"messages": [user(), assistant([{**THOUGHT, "signature": "bm8="}]), user()]}, "Invalid `signature`"),
        ({"messages": [user(), assistant([{"type": "thinking", "thinking": "x"}]), user()]}, "signature: Field"),
        ({"messages": [user()] * 100_001}, "too many messages"),
        ({"messages": [user("word " * 160_100)]}, "prompt is too long: 200"),
        ({"thinking": {"type": "enabled", "budget_tokens": 100}}, "thinking.budget_tokens: Input should be greater"),
        ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, "`max_tokens` must be greater than"),
        ({**BUDGET, "temperature": 0.5}, "`temperature` may only be set to 1"),
        ({**BUDGET, "top_k": 5}, "`top_k` must be unset"),
        ({**BUDGET, "top_p": 0.9}, "`top_p` must be greater"),
        ({**BUDGET, "tools": [TOOL], "tool_choice": {"type": "any"}}, "Thinking may not be enabled when tool_choice"),
    ],
)
def test_a_fault_is_told_with_its_place(members: dict[str, Any], words: str | None) -> None:
    if words is None:
        assert ask(**members).stop_reason == "end_turn"
    else:
        assert words in refusal(**members)


@pytest.mark.parametrize(
    ("tool", "words"),
    [
        ({"name": "a b"}, "tools.0.custom.name: String should match pattern '^[a-zA-Z0-9_-]{1,128}$'"),
        ({"name": "a" * 129}, "tools.0.custom.name: String should match pattern"),
        ({"parameters": {}}, "tools.0.custom.parameters: Extra inputs"),
        ({"input_schema": {"properties": {}}}, "tools.0.custom.input_schema.type: Input should be 'object'"),
        ({"type": "function"}, "tools.0: Input tag 'function'"),
        ({"strict": True}, "'additionalProperties' must be explicitly set to false"),
    ],
)
def test_a_tool_must_be_whole(tool: dict[str, Any], words: str) -> None:
    assert words in refusal(tools=[{**TOOL, **tool}])


def test_tools_and_their_choice_must_fit() -> None:
    assert "must be unique" in refusal(tools=[TOOL, TOOL])
    assert "only be specified while providing tools" in refusal(tool_choice={"type": "auto"})
    assert "'other' not found" in refusal(tools=[TOOL], tool_choice={"type": "tool", "name": "other"})
    none = {"type": "none", "disable_parallel_tool_use": True}
    assert "tool_choice.disable_parallel_tool_use: Extra inputs" in refusal(tools=[TOOL], tool_choice=none)
    assert ask(tools=[{"type": "web_search_20250305", "name": "web_search"}]).stop_reason == "end_turn"


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "object", "properties": {}}, "'additionalProperties' must be explicitly set to false"),
        ({"type": "integer", "minimum": 1}, "property 'minimum' is not supported"),
        ({"type": "string", "maxLength": 9}, "property 'maxLength' is not supported"),
        ({"type": "string", "format": "iri"}, "format 'iri' is not supported"),
        ({"type": "array", "items": {"type": "number", "maximum": 1}}, "schema.items: For 'number' type"),
        ({"definitions": {}}, "use '$defs'"),
        ({"anyOf": [{"type": "null"}, {"type": "object"}]}, "schema.anyOf.1: For 'object' type"),
    ],
)
def test_a_schema_must_be_closed_and_without_bounds(schema: dict[str, Any], words: str) -> None:
    assert words in refusal(output_config={"format": {"type": "json_schema", "schema": schema}})


# --- turns and tools ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "messages",
    [
        [user(), use("a"), result("a")],
        [user(), use("a", "b"), result("b", "a", then="And now?")],
        [user(), use("a", "b"), result("a"), result("b")],
        [user(), use("a"), result("a"), use("b"), result("b")],
        [user(), user(), assistant(), assistant("more"), user()],
    ],
)
def test_turns_that_answer_each_call_are_taken_and_runs_of_a_role_are_one(messages: list[Any]) -> None:
    assert ask(messages=messages, tools=[TOOL]).stop_reason == "end_turn"


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([user(), use("a"), user()], "messages.1: `tool_use` ids were found without `tool_result` blocks"),
        ([user(), use("a"), user([*result("a")["content"][:0], {"type": "text", "text": "x"}])], "ids were found"),
        ([user(), use("a", "b"), result("a")], "immediately after: b."),
        (
            [user(), use("a"), user([{"type": "text", "text": "x"}, *result("a")["content"]])],
            "ids were found without `tool_result` blocks immediately after: a",
        ),
        ([user(), result("a")], "unexpected `tool_use_id` found in `tool_result` blocks: a"),
        ([user(), use("a"), result("a", "a")], "each tool_use must have a single result"),
        ([user(), use("a", "a"), result("a")], "`tool_use` ids must be unique"),
        ([user(), use("a"), result("a"), use("a"), result("a")], "`tool_use` ids must be unique"),
        ([user(), use("a b"), result("a b")], "messages.1.content.0.id: String should match pattern"),
        ([user(use("a")["content"])], "`tool_use` blocks can only be in `assistant` messages"),
        ([user(), assistant(result("a")["content"]), user()], "`tool_result` blocks can only be in `user` messages"),
    ],
)
def test_calls_and_results_must_pair(messages: list[Any], words: str) -> None:
    assert words in refusal(messages=messages, tools=[TOOL])


def test_with_a_budget_a_turn_of_tools_begins_with_its_thinking() -> None:
    bare, thoughtful = use("a"), use("a")
    thoughtful["content"].insert(0, THOUGHT)
    asked: dict[str, Any] = {**BUDGET, "tools": [TOOL]}
    assert "Expected `thinking` or `redacted_thinking`, but found `tool_use`" in refusal(
        messages=[user(), bare, result("a")], **asked
    )
    assert ask(messages=[user(), thoughtful, result("a")], **asked).stop_reason == "end_turn"
    assert ask(OPUS_46, messages=[user(), bare, result("a")], tools=[TOOL], thinking={"type": "adaptive"})


def test_a_batch_takes_no_stream_no_speed_and_no_empty_answer() -> None:
    for members in ({"stream": True}, {"max_tokens": 0}, {"speed": "fast"}):
        assert "not supported in a batch" in refusal(batched=True, **members)
        assert ask(**members).key


@pytest.mark.parametrize("body", [b"", b"[]", b'{"a', b'{"model":"\xff"}', b"[" * 100_000])
def test_a_body_that_is_no_request_is_refused(body: bytes) -> None:
    with pytest.raises(ApiError) as caught:
        say(expected_key(body), body, PromptCache())
    assert caught.value.status == 400
