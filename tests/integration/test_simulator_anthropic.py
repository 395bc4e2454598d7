"""The simulator as Anthropic on real sockets, judged by the vendor's own client: Messages, streams, models, limits."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import http.client
import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import anthropic
import openai
import pydantic
import pytest
from anthropic.types import Message, TextBlock, ThinkingBlock, ToolUseBlock

from batchrouter.simulator import Match, Rule, Script, Then
from batchrouter.simulator.anthropic.facts import known_models
from batchrouter.simulator.process import SimulatorProcess, running_simulator
from batchrouter.simulator.script import Fixed, Limits, Ramp

OLD, NEW, NEWEST = "claude-haiku-4-5", "claude-opus-4-8", "claude-sonnet-5-5"
HELLO: list[Any] = [{"role": "user", "content": "Hello there"}]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER: Any = {"name": "get_weather", "description": "Weather of a city", "input_schema": SCHEMA}
SPEND_LIMIT = Then(status=429, code="enforced_spend_limit_reached", message="Monthly limit.")


@pytest.fixture(scope="module")
def process() -> Iterator[SimulatorProcess]:
    with running_simulator() as simulator:
        yield simulator


@pytest.fixture
def fresh(process: SimulatorProcess) -> SimulatorProcess:
    """The shared process with an empty log and an empty script."""
    process.set_script(Script())
    process.reset()
    return process


@pytest.fixture
def client(fresh: SimulatorProcess) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=fresh.url, api_key="any", max_retries=0) as made:
        yield made


def ask(client: anthropic.Anthropic, **members: Any) -> Message:
    """A message that is wholly of the client's types, nothing less and nothing of another kind."""
    asked: dict[str, Any] = {"model": OLD, "max_tokens": 200, "messages": HELLO, **members}
    said = client.messages.create(**asked)
    return Message.model_validate_json(said.model_dump_json(), strict=True)


def refused(client: anthropic.Anthropic, **members: Any) -> anthropic.BadRequestError:
    with pytest.raises(anthropic.BadRequestError) as caught:
        ask(client, **members)
    return caught.value


# --- answers --------------------------------------------------------------------------------------------------------


def test_a_message_says_whose_answer_it_is_and_what_it_cost(
    client: anthropic.Anthropic, fresh: SimulatorProcess
) -> None:
    said = ask(client, system="Be brief.")
    entry = fresh.log()[-1]
    assert [block.text for block in said.content if isinstance(block, TextBlock)] == [f"echo {entry.key}: Hello there"]
    assert (said.id, said.model, said.stop_reason) == (f"msg_{entry.key}", OLD, "end_turn")
    assert (said.usage.input_tokens, said.usage.output_tokens) == (entry.prompt_tokens, entry.completion_tokens)
    assert said.usage.output_tokens_details is None
    assert (entry.path, entry.model, entry.status) == ("/v1/messages", OLD, 200)


def test_an_answer_is_cut_at_max_tokens_or_at_a_stop_sequence(client: anthropic.Anthropic) -> None:
    cut = ask(client, max_tokens=3)
    assert (cut.stop_reason, cut.usage.output_tokens) == ("max_tokens", 3)
    stopped = ask(client, stop_sequences=["never", "there"])
    assert (stopped.stop_reason, stopped.stop_sequence) == ("stop_sequence", "there")
    assert isinstance(stopped.content[0], TextBlock)
    assert stopped.content[0].text.endswith(": Hello ")


@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "get_weather"}])
def test_a_forced_tool_is_called_with_input_that_fits_its_schema(client: anthropic.Anthropic, choice: Any) -> None:
    said = ask(client, tools=[WEATHER], tool_choice=choice)
    assert said.stop_reason == "tool_use"
    assert [block.type for block in said.content] == ["tool_use"]
    call = said.content[0]
    assert isinstance(call, ToolUseBlock)
    assert (call.name, list(call.input)) == ("get_weather", ["city"])
    turns = [*HELLO, said.to_param(), {"role": "user", "content": [result_of(call.id, "Rain in Bern")]}]
    answered = ask(client, tools=[WEATHER], messages=turns)
    assert isinstance(answered.content[0], TextBlock)
    assert answered.content[0].text.endswith("Rain in Bern")


def result_of(call: str, text: str) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": call, "content": text}


def test_tools_that_the_prompt_names_are_called_by_themselves(client: anthropic.Anthropic) -> None:
    clock = {**WEATHER, "name": "get_time"}
    turns = [{"role": "user", "content": "Use get_time and get_weather."}]
    said = ask(client, model=NEWEST, messages=turns, tools=[WEATHER, clock])
    assert [block.name for block in said.content if isinstance(block, ToolUseBlock)] == ["get_weather", "get_time"]
    single: Any = {"type": "auto", "disable_parallel_tool_use": True}
    alone = ask(client, model=NEWEST, messages=turns, tools=[WEATHER, clock], tool_choice=single)
    assert len([block for block in alone.content if isinstance(block, ToolUseBlock)]) == 1
    none = ask(client, model=NEWEST, messages=turns, tools=[WEATHER], tool_choice={"type": "none"})
    assert none.stop_reason == "end_turn"


@pytest.mark.parametrize(
    ("model", "thinking"),
    [(OLD, {"type": "enabled", "budget_tokens": 1024}), (NEW, {"type": "adaptive"}), (NEWEST, anthropic.omit)],
)
def test_a_model_thinks_when_asked_or_always(client: anthropic.Anthropic, model: str, thinking: Any) -> None:
    said = ask(client, model=model, max_tokens=2000, thinking=thinking)
    thought, text = said.content
    assert isinstance(thought, ThinkingBlock)
    assert thought.signature
    assert isinstance(text, TextBlock)
    assert said.usage.output_tokens_details is not None
    assert 0 < said.usage.output_tokens_details.thinking_tokens < said.usage.output_tokens
    again = ask(client, model=model, messages=[*HELLO, said.to_param(), {"role": "user", "content": "And now?"}])
    assert again.stop_reason == "end_turn"


def test_a_schema_is_answered_with_json_that_the_client_can_read(client: anthropic.Anthropic) -> None:
    class Place(pydantic.BaseModel):
        city: str
        tags: list[str]
        near: Place | None

    said = client.messages.parse(model=NEW, max_tokens=500, messages=HELLO, output_format=Place)
    assert said.parsed_output is not None
    assert said.parsed_output.city.endswith(": Hello there")


def test_a_prompt_is_written_to_the_cache_once_and_then_read(client: anthropic.Anthropic) -> None:
    system = [{"type": "text", "text": "rule " * 100, "cache_control": {"type": "ephemeral", "ttl": "1h"}}]
    first, second = (ask(client, system=system, messages=[{"role": "user", "content": text}]) for text in ("a", "b"))
    assert first.usage.cache_creation is not None
    assert first.usage.cache_creation.ephemeral_1h_input_tokens == first.usage.cache_creation_input_tokens == 125
    assert (second.usage.cache_creation_input_tokens, second.usage.cache_read_input_tokens) == (0, 125)
    assert first.usage.input_tokens == second.usage.input_tokens < 125


# --- streams --------------------------------------------------------------------------------------------------------


def test_a_stream_adds_up_to_the_message_that_is_not_streamed(client: anthropic.Anthropic) -> None:
    asked: dict[str, Any] = {"model": NEWEST, "max_tokens": 500, "tools": [WEATHER]}
    turns: list[Any] = [{"role": "user", "content": "get_weather, please"}]
    with client.messages.stream(messages=turns, **asked) as stream:
        events = [event.type for event in stream]
        streamed = stream.get_final_message()
    whole = client.messages.create(messages=turns, **asked)
    assert [block.type for block in streamed.content] == ["thinking", "text", "tool_use"]
    assert streamed.usage.output_tokens_details == whole.usage.output_tokens_details
    assert (streamed.stop_reason, streamed.usage.output_tokens) == (whole.stop_reason, whole.usage.output_tokens)
    assert streamed.content[2].to_dict()["name"] == whole.content[2].to_dict()["name"]
    assert (events[0], events[-1]) == ("message_start", "message_stop")
    assert {"signature", "thinking", "text", "input_json"} <= set(events)


async def test_the_asynchronous_client_creates_and_streams(fresh: SimulatorProcess) -> None:
    async with anthropic.AsyncAnthropic(base_url=fresh.url, api_key="any", max_retries=0) as client:

        async def one(number: int) -> str:
            turns: list[Any] = [{"role": "user", "content": f"number {number}"}]
            async with client.messages.stream(model=OLD, max_tokens=99, messages=turns) as stream:
                return await stream.get_final_text()

        texts = await asyncio.gather(*(one(number) for number in range(10)))
        assert [text.partition(": ")[2] for text in texts] == [f"number {number}" for number in range(10)]
        assert (await client.messages.create(model=OLD, max_tokens=9, messages=HELLO)).type == "message"


def test_a_stream_can_come_slowly_and_can_break_off_with_an_error(
    client: anthropic.Anthropic, fresh: SimulatorProcess
) -> None:
    fresh.set_script(Script(rules=(Rule(then=Then(fault="slow_body", over_s=0.05)),)))
    with client.messages.stream(model=OLD, max_tokens=99, messages=HELLO) as stream:
        assert stream.get_final_text().endswith("Hello there")
    fresh.set_script(Script(rules=(Rule(then=Then(fault="stream_error")),)))
    seen: list[str] = []

    def listen() -> None:
        with client.messages.stream(model=OLD, max_tokens=99, messages=HELLO) as stream:
            seen.extend(event.type for event in stream)

    with pytest.raises(anthropic.APIStatusError) as caught:
        listen()
    assert caught.value.type == "overloaded_error"
    assert seen[0] == "message_start"
    assert "message_stop" not in seen


# --- errors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind", "type"),
    [
        (400, anthropic.BadRequestError, "invalid_request_error"),
        (401, anthropic.AuthenticationError, "authentication_error"),
        (402, anthropic.PaymentRequiredError, "billing_error"),
        (403, anthropic.PermissionDeniedError, "permission_error"),
        (404, anthropic.NotFoundError, "not_found_error"),
        (409, anthropic.ConflictError, "conflict_error"),
        (413, anthropic.ContentTooLargeError, "request_too_large"),
        (429, anthropic.RateLimitError, "rate_limit_error"),
        (500, anthropic.InternalServerError, "api_error"),
        (504, anthropic.GatewayTimeoutError, "timeout_error"),
        (529, anthropic.OverloadedError, "overloaded_error"),
    ],
)
def test_every_status_comes_in_anthropic_s_envelope(
    client: anthropic.Anthropic, fresh: SimulatorProcess, status: int, kind: type[anthropic.APIStatusError], type: str
) -> None:
    fresh.set_script(Script(rules=(Rule(then=Then(status=status)),)))
    with pytest.raises(kind) as caught:
        ask(client)
    body: Any = caught.value.body
    assert (caught.value.type, body["type"], caught.value.error_code) == (type, "error", None)
    assert caught.value.request_id == body["request_id"] == f"req_{1:024d}"


def test_a_spend_limit_has_its_own_error(client: anthropic.Anthropic, fresh: SimulatorProcess) -> None:
    fresh.set_script(Script(rules=(Rule(then=SPEND_LIMIT),)))
    with pytest.raises(anthropic.EnforcedSpendLimitReachedError) as caught:
        ask(client)
    assert "retry-after" not in caught.value.response.headers


def test_only_the_key_that_it_was_started_with_is_let_in() -> None:
    """As a bearer's token, which is how this client sends a key, or as `x-api-key`."""

    def client(**key: Any) -> anthropic.Anthropic:
        return anthropic.Anthropic(base_url=simulator.url, max_retries=0, **{"api_key": None, **key})

    with running_simulator(arguments=["--api-key", "sk-right", "--models", OLD]) as simulator:
        with client(api_key="sk-right") as bearer, client(default_headers={"x-api-key": "sk-right"}) as header:
            for right in (bearer, header):
                assert ask(right).type == "message"
                with pytest.raises(anthropic.NotFoundError, match="model: claude-opus-4-8"):
                    ask(right, model=NEW)
        with client(api_key="sk-wrong") as bearer, client(default_headers={"x-api-key": "sk-wrong"}) as header:
            for wrong in (bearer, header):
                for call in (wrong.models.list, wrong.messages.batches.list, partial(ask, wrong)):
                    with pytest.raises(anthropic.AuthenticationError) as caught:
                        call()
                    assert caught.value.type == "authentication_error"


def test_bytes_that_are_no_request_are_refused_in_the_same_words(fresh: SimulatorProcess) -> None:
    connection = http.client.HTTPConnection(fresh.url.removeprefix("http://"), timeout=10)
    with contextlib.closing(connection):
        connection.request("POST", "/v1/messages", b"", {"x-long": "x" * 70_000})
        reply = connection.getresponse()
        told = json.loads(reply.read())
    assert (reply.status, told["type"], told["error"]["type"]) == (400, "error", "invalid_request_error")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/messages", 405),
        ("POST", "/v1/messages/elsewhere", 404),
        ("PUT", "/v1/messages/batches", 404),
        ("GET", "/v1/models?limit=0", 400),
        ("GET", "/v1/models?after_id=a&before_id=b", 400),
        ("GET", "/v1/models?after_id=nobody", 400),
    ],
)
def test_what_is_not_there_is_told_in_the_same_words(
    client: anthropic.Anthropic, method: str, path: str, status: int
) -> None:
    call = {"GET": client.get, "POST": client.post, "PUT": client.put}[method]
    with pytest.raises(anthropic.APIStatusError) as caught:
        call(path, cast_to=object)
    body: Any = caught.value.body
    assert (caught.value.status_code, body["type"]) == (status, "error")


@pytest.mark.parametrize("version", ["", "yesterday"])
def test_the_version_is_required(client: anthropic.Anthropic, version: str) -> None:
    headers = {"anthropic-version": version or anthropic.omit}
    assert "anthropic-version" in str(refused(client, extra_headers=headers).api_message)


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"extra_body": {"n": 2}}, "n: Extra inputs are not permitted"),
        ({"extra_body": {"max_tokens": None}}, "max_tokens: Input should be a valid int"),
        ({"max_tokens": 64_001, "timeout": 600}, "max_tokens: 64001 > 64000"),
        ({"messages": []}, "at least one message"),
        ({"messages": [{"role": "assistant", "content": "Hi"}]}, 'first message must use the "user" role'),
        ({"messages": [{"role": "user", "content": ""}]}, "messages.0: all messages must have non-empty content"),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": ""}]}]},
            "messages.0.content.0: text content blocks must be non-empty",
        ),
        ({"tools": [{**WEATHER, "name": "get weather"}]}, "tools.0.custom.name: String should match pattern"),
    ],
)
def test_what_the_real_api_refuses_is_refused(client: anthropic.Anthropic, members: Any, words: str) -> None:
    error = refused(client, **members)
    assert words in str(error.api_message)
    assert error.type == "invalid_request_error"


# --- models and limits ----------------------------------------------------------------------------------------------


def test_models_are_listed_page_by_page_with_what_they_can(client: anthropic.Anthropic) -> None:
    listed = list(client.models.list(limit=3))
    assert [model.id for model in listed] == list(known_models())
    by_name = {model.id: model for model in listed}
    newest, old = by_name[NEWEST].capabilities, by_name[OLD].capabilities
    assert newest is not None
    assert old is not None
    assert (newest.thinking.types.disabled.supported, old.thinking.types.disabled.supported) == (False, True)
    assert (by_name[NEWEST].max_tokens, by_name[OLD].max_tokens) == (128_000, 64_000)
    one = client.models.retrieve(OLD)
    assert anthropic.types.ModelInfo.model_validate_json(one.model_dump_json(), strict=True) == one
    back = client.models.list(limit=2, before_id=listed[3].id)
    assert ([model.id for model in back.data], back.has_more) == ([listed[1].id, listed[2].id], True)


def test_a_request_without_the_version_gets_openai_s_list(fresh: SimulatorProcess) -> None:
    with openai.OpenAI(base_url=fresh.base_url, api_key="any") as client:
        assert [model.id for model in client.models.list()] == ["sim-large", "sim-small"]


def test_limits_are_told_as_anthropic_does_and_a_steep_ramp_is_refused(
    client: anthropic.Anthropic, fresh: SimulatorProcess
) -> None:
    fresh.set_script(Script(limits=Limits(rpm=50, itpm=40_000, otpm=8_000, ramp=Ramp(start=2, window_s=600))))
    raw = client.messages.with_raw_response.create(model=OLD, max_tokens=9, messages=HELLO)
    told = raw.headers
    assert told["anthropic-ratelimit-requests-limit"] == "50"
    assert told["anthropic-ratelimit-requests-remaining"] == "49"
    assert told["anthropic-ratelimit-input-tokens-remaining"] == "40000"
    assert told["anthropic-ratelimit-output-tokens-remaining"] == "8000"
    assert told["anthropic-ratelimit-tokens-limit"] == "48000"
    assert told["anthropic-ratelimit-requests-reset"].endswith("Z")
    ask(client)
    with pytest.raises(anthropic.RampLimitExceededError) as caught:
        ask(client)
    assert 0 < int(caught.value.response.headers["retry-after"]) <= 600


def test_latency_and_tries_are_scripted_as_for_any_endpoint(
    client: anthropic.Anthropic, fresh: SimulatorProcess
) -> None:
    fail = Rule(match=Match(path="/v1/messages", first_tries=1), then=Then(status=529, headers={"retry-after-ms": "1"}))
    fresh.set_script(Script(latency=Fixed(0.01), rules=(fail,)))
    assert ask(client.with_options(max_retries=1)).type == "message"
    assert [entry.status for entry in fresh.log()] == [529, 200]


def test_pictures_and_papers_are_read(client: anthropic.Anthropic) -> None:
    dot = base64.b64encode(b"\x89PNG").decode()
    blocks: list[Any] = [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": dot}},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "word " * 40}},
        {"type": "text", "text": "What is it?"},
    ]
    assert ask(client, messages=[{"role": "user", "content": blocks}]).usage.input_tokens > 1500
    blocks[0]["source"] = {"type": "base64", "media_type": "image/png", "data": "not base64!"}
    assert "messages.0.content.0" in str(refused(client, messages=[{"role": "user", "content": blocks}]).api_message)
