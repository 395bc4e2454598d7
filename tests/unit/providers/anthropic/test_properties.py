"""What holds for every line and every answer: nothing is lost on the way there and back, and nothing else is raised."""

from __future__ import annotations

import json
import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from batchrouter.errors import LineRefused
from batchrouter.providers.anthropic import AnthropicWire, Policy
from batchrouter.providers.anthropic.draft import Fitted
from batchrouter.providers.anthropic.schema import FORMATS, closed
from batchrouter.providers.base import Reply
from batchrouter.providers.rules import Unsupported
from tests.unit.providers.anthropic.judge import check_answer, check_params

CHAT, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/responses", "/v1/messages"
WIRE = AnthropicWire("https://api.anthropic.com/v1", "claude-opus-5", now_s=lambda: 1_760_000_000)

words = st.text(min_size=1, max_size=30).filter(lambda text: bool(text.strip()))
idents = st.from_regex(r"toolu_[A-Za-z0-9]{1,12}", fullmatch=True)
tool_names = st.from_regex(r"[A-Za-z0-9_-]{1,20}", fullmatch=True)
plain = (
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False) | words
)
json_values = st.recursive(
    plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3), max_leaves=8
)
inputs = st.dictionaries(words, json_values, max_size=3)
counts = st.integers(0, 100_000)

thinking = st.builds(
    lambda text, signature: {"type": "thinking", "thinking": text, "signature": signature}, st.text(max_size=20), words
) | st.builds(lambda data: {"type": "redacted_thinking", "data": data}, words)
texts = st.builds(lambda text: {"type": "text", "text": text}, words)


@st.composite
def messages(draw: st.DrawFn) -> dict[str, Any]:
    """A Message as the vendor sends one: thinking, then text, then calls with ids of their own."""
    content = [*draw(st.lists(thinking, max_size=2)), *draw(st.lists(texts, max_size=3))]
    calls = draw(st.lists(st.tuples(idents, tool_names, inputs), max_size=3, unique_by=lambda call: call[0]))
    content += [{"type": "tool_use", "id": each, "name": name, "input": given} for each, name, given in calls]
    usage = {
        "input_tokens": draw(counts),
        "cache_read_input_tokens": draw(counts | st.none()),
        "cache_creation_input_tokens": draw(counts | st.none()),
        "output_tokens": draw(counts),
        "output_tokens_details": draw(st.none() | st.builds(lambda count: {"thinking_tokens": count}, counts)),
    }
    return {
        "id": "msg_01",
        "type": "message",
        "role": "assistant",
        "model": "claude-opus-5",
        "content": content,
        "stop_reason": "tool_use" if calls else "end_turn",
        "stop_sequence": None,
        "usage": usage,
    }


def of_type(message: dict[str, Any], *kinds: str) -> list[dict[str, Any]]:
    return [block for block in message["content"] if block["type"] in kinds]


def text_of(content: list[dict[str, Any]]) -> str:
    return "".join(block["text"] for block in content if block["type"] == "text")


def decode(endpoint: str, message: dict[str, Any], note: object | None = None) -> Reply:
    reply = WIRE.decode(endpoint, 200, json.dumps(message).encode(), note)
    assert reply.usable
    check_answer(endpoint, json.loads(reply.body))
    return reply


@given(messages())
def test_what_the_model_said_goes_back_to_it_as_it_was(message: dict[str, Any]) -> None:
    """Through a chat: thinking, text and calls in their order; the next request's turn is the answer's content."""
    said = json.loads(decode(CHAT, message).body)["choices"][0]["message"]
    results = [{"role": "tool", "tool_call_id": call["id"], "content": "ok"} for call in said.get("tool_calls", ())]
    body = {"messages": [{"role": "user", "content": "Hi"}, said, *results, {"role": "user", "content": "Go on"}]}
    sent = json.loads(WIRE.encode(CHAT, json.dumps(body).encode()).body)
    check_params(sent, sampling=False)
    _is_as_it_was(message, sent["messages"])


@given(messages())
def test_what_the_model_said_goes_back_through_responses(message: dict[str, Any]) -> None:
    """The same by the items of a response, its thinking as encrypted reasoning."""
    asked = {"input": "Hi", "include": ["reasoning.encrypted_content"]}
    note = WIRE.encode(RESPONSES, json.dumps(asked).encode()).note
    items = json.loads(decode(RESPONSES, message, note).body)["output"]
    outputs = [
        {"type": "function_call_output", "call_id": item["call_id"], "output": "ok"}
        for item in items
        if item["type"] == "function_call"
    ]
    body = {"input": [{"role": "user", "content": "Hi"}, *items, *outputs, {"role": "user", "content": "Go on"}]}
    sent = json.loads(WIRE.encode(RESPONSES, json.dumps(body).encode()).body)
    check_params(sent, sampling=False)
    _is_as_it_was(message, sent["messages"])


def _is_as_it_was(message: dict[str, Any], turns: list[dict[str, Any]]) -> None:
    said = [block for turn in turns if turn["role"] == "assistant" for block in turn["content"]]
    assert [block for block in said if "thinking" in block["type"]] == of_type(message, "thinking", "redacted_thinking")
    assert text_of(said) == text_of(message["content"])
    assert [block for block in said if block["type"] == "tool_use"] == of_type(message, "tool_use")
    kinds = [block["type"] for block in said]
    assert (
        kinds == sorted(kinds, key=["redacted_thinking", "thinking", "text", "tool_use"].index) or "thinking" in kinds
    )
    assert [block["tool_use_id"] for turn in turns for block in turn["content"] if block["type"] == "tool_result"] == [
        block["id"] for block in of_type(message, "tool_use")
    ]


@given(messages())
def test_every_token_is_counted_once(message: dict[str, Any]) -> None:
    """The record, a chat's usage, a response's usage and Anthropic's own say the same."""
    usage = message["usage"]
    read, written = usage["cache_read_input_tokens"] or 0, usage["cache_creation_input_tokens"] or 0
    thought = (usage["output_tokens_details"] or {}).get("thinking_tokens", 0)
    reply = decode(CHAT, message)
    total = usage["input_tokens"] + read + written
    assert reply.tokens == (total, read, usage["output_tokens"], thought)
    assert reply.cache_writes == written
    chat = json.loads(reply.body)["usage"]
    assert (chat["prompt_tokens"], chat["completion_tokens"]) == (total, usage["output_tokens"])
    assert chat["prompt_tokens_details"] == {"cached_tokens": read, "cache_write_tokens": written}
    other = decode(RESPONSES, message)
    told = json.loads(other.body)["usage"]
    assert (told["input_tokens"], told["output_tokens"], told["total_tokens"]) == (
        total,
        usage["output_tokens"],
        chat["total_tokens"],
    )
    assert told["input_tokens_details"]["cached_tokens"] == read
    assert decode(MESSAGES, message).tokens == other.tokens == reply.tokens


@given(messages(), st.data())
def test_a_stream_cut_anyhow_is_the_same_message(message: dict[str, Any], data: st.DataObject) -> None:
    """Pieces of any size, pings between them, counts told late."""
    body = _streamed(message, data.draw)
    assert is_same(WIRE.decode(MESSAGES, 200, body), decode(MESSAGES, message))
    assert WIRE.decode(CHAT, 200, body) == decode(CHAT, message)


def is_same(one: Reply, two: Reply) -> bool:
    return json.loads(one.body) == json.loads(two.body) and one._replace(body=b"") == two._replace(body=b"")


@given(messages(), st.data())
def test_a_stream_without_its_end_is_no_answer(message: dict[str, Any], data: st.DataObject) -> None:
    """Wherever it was cut."""
    body = _streamed(message, data.draw)
    cut = data.draw(st.integers(0, body.rindex(b'message_stop"}') - 1))
    assert not WIRE.decode(CHAT, 200, body[:cut]).usable


def _streamed(message: dict[str, Any], draw: Any) -> bytes:
    late = {name: count for name, count in message["usage"].items() if draw(st.booleans()) or name == "output_tokens"}
    early = {**message["usage"], "output_tokens": 1}
    start = {**message, "content": [], "stop_reason": None, "usage": early}
    events: list[dict[str, Any]] = [{"type": "message_start", "message": start}]
    for index, block in enumerate(message["content"]):
        whole = {"text": "text", "thinking": "thinking", "tool_use": "input"}.get(block["type"])
        empty: dict[str, Any] = {**block}
        if whole is not None:
            empty[whole] = {} if whole == "input" else ""
        empty |= {"signature": ""} if "signature" in block else {}
        events.append({"type": "content_block_start", "index": index, "content_block": empty})
        if whole is not None:
            told = json.dumps(block[whole], ensure_ascii=False) if whole == "input" else block[whole]
            kind, member = {
                "text": ("text_delta", "text"),
                "thinking": ("thinking_delta", "thinking"),
                "input": ("input_json_delta", "partial_json"),
            }[whole]
            for piece in _pieces(told, draw):
                events.append({"type": "content_block_delta", "index": index, "delta": {"type": kind, member: piece}})
                events += [{"type": "ping"}] * draw(st.integers(0, 1))
        if "signature" in block:
            delta = {"type": "signature_delta", "signature": block["signature"]}
            events.append({"type": "content_block_delta", "index": index, "delta": delta})
        events.append({"type": "content_block_stop", "index": index})
    ended = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    events.append({"type": "message_delta", "delta": ended, "usage": late})
    events.append({"type": "message_stop"})
    newline = draw(st.sampled_from(["\n", "\r\n"]))
    lines = [f"event: {event['type']}{newline}data: {json.dumps(event)}{newline * 2}" for event in events]
    return "".join(lines).encode()


def _pieces(text: str, draw: Any) -> list[str]:
    cuts = sorted(draw(st.sets(st.integers(0, len(text)), max_size=4)))
    return [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]


@st.composite
def conversations(draw: st.DrawFn) -> list[dict[str, Any]]:
    """A chat as people have it: texts of every role, calls answered by results, in any order of the results."""
    turns: list[dict[str, Any]] = []
    made = 0
    for _ in range(draw(st.integers(1, 4))):
        turns += [
            {"role": role, "content": draw(words)}
            for role in draw(st.lists(st.sampled_from(["system", "developer", "user"]), max_size=3))
        ]
        turns.append({"role": "user", "content": draw(words)})
        calls = []
        for _ in range(draw(st.integers(0, 3))):
            made += 1
            function = {"name": draw(words), "arguments": json.dumps(draw(inputs))}
            calls.append({"id": f"{draw(words)}{made}", "type": "function", "function": function})
        if calls:
            turns.append({"role": "assistant", "content": draw(st.none() | words), "tool_calls": calls})
            turns += [
                {"role": "tool", "tool_call_id": call["id"], "content": draw(words)}
                for call in draw(st.permutations(calls))
            ]
        else:
            turns.append({"role": "assistant", "content": draw(words)})
    turns.append({"role": "user", "content": draw(words)})
    return turns


@given(conversations())
def test_a_conversation_keeps_its_texts_calls_and_order(turns: list[dict[str, Any]]) -> None:
    """Every text once and in its place, every result behind its own call, whatever ids and names they had."""
    made = WIRE.encode(CHAT, json.dumps({"messages": turns}).encode())
    sent = json.loads(made.body)
    check_params(sent, sampling=False)
    systems = [turn["content"] for turn in turns if turn["role"] in ("system", "developer")]
    assert [block["text"] for block in sent.get("system", [])] == systems
    for role in ("user", "assistant"):
        told = [turn["content"] for turn in turns if turn["role"] == role and turn["content"] is not None]
        blocks = [block for turn in sent["messages"] if turn["role"] == role for block in turn["content"]]
        assert [block["text"] for block in blocks if block["type"] == "text"] == told
    calls = [call for turn in turns for call in turn.get("tool_calls", ())]
    uses = [block for turn in sent["messages"] for block in turn["content"] if block["type"] == "tool_use"]
    assert [use["input"] for use in uses] == [json.loads(call["function"]["arguments"]) for call in calls]
    ids = {call["id"]: use["id"] for call, use in zip(calls, uses, strict=True)}
    assert len(set(ids.values())) == len(ids)
    results = [block for turn in sent["messages"] for block in turn["content"] if block["type"] == "tool_result"]
    assert [(result["tool_use_id"], result["content"]) for result in results] == [
        (ids[turn["tool_call_id"]], turn["content"]) for turn in turns if turn["role"] == "tool"
    ]
    assert WIRE.encode(CHAT, json.dumps({"messages": turns}).encode()) == made


parameters = st.sampled_from(
    [
        "messages", "tools", "tool_choice", "functions", "function_call", "parallel_tool_calls", "response_format",
        "max_tokens", "max_completion_tokens", "stop", "temperature", "top_p", "top_k", "reasoning_effort", "thinking",
        "user", "metadata", "service_tier", "n", "logprobs", "logit_bias", "audio", "modalities", "seed", "speed",
        "cache_control", "output_config", "stream", "input", "instructions", "reasoning", "text", "include", "store",
        "truncation", "conversation", "background", "top_logprobs", "max_output_tokens", "novel",
    ]
)  # fmt: skip
members = st.sampled_from(
    [
        "role", "content", "type", "text", "image_url", "url", "file", "file_data", "tool_calls", "function", "name",
        "arguments", "id", "tool_call_id", "call_id", "parameters", "strict", "json_schema", "schema", "effort",
        "format", "allowed_tools", "mode", "tools", "thinking_blocks", "signature", "output", "encrypted_content",
        "properties", "items", "anyOf", "enum", "$ref", "budget_tokens", "cache_control", "user_id", "refusal",
    ]
)  # fmt: skip
telling = st.sampled_from(
    [
        "user", "assistant", "system", "tool", "function", "text", "image_url", "file", "input_text", "message",
        "function_call", "function_call_output", "reasoning", "json_schema", "json_object", "object", "auto", "none",
        "required", "allowed_tools", "low", "enabled", "adaptive", "data:image/png;base64,AA==", "data:,", "{}", "",
    ]
)  # fmt: skip
odd = st.recursive(
    plain | telling,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(members, inner, max_size=5),
    max_leaves=20,
)
policies = st.sampled_from([None, Unsupported.DROP, Unsupported.FAIL])
models = st.sampled_from(["claude-haiku-4-5", "claude-opus-4-6", "claude-opus-5", "claude-sonnet-5-5"])


@settings(max_examples=200)
@given(st.dictionaries(parameters, odd, max_size=6), policies, models, st.sampled_from([CHAT, RESPONSES, MESSAGES]))
def test_whatever_a_line_says_it_is_sent_or_refused(
    body: dict[str, Any], policy: Unsupported | None, model: str, endpoint: str
) -> None:
    """No other error comes out, for no body; what is refused says why, in a sentence, and names what."""
    wire = AnthropicWire("http://h/v1", model, policy=Policy(unsupported=policy))
    if "messages" not in body:
        body = {"messages": [{"role": "user", "content": "Hi"}], "input": "Hi", **body}
    for encode in (wire.encode, wire.encode_batch):
        refused: LineRefused | None = None
        try:
            made = encode(endpoint, json.dumps(body).encode())
            json.loads(made.body)
            assert json.loads(wire.decode(endpoint, 200, ANSWER, made.note).body)["model"] == "m"
        except LineRefused as error:
            refused = error
        assert refused is None or (refused.message.endswith(".") and refused.code and refused.status == 400)


ANSWER = b'{"type":"message","id":"msg_1","model":"m","content":[{"type":"text","text":"Hi"}],"usage":{}}'
replies = st.dictionaries(
    st.sampled_from(["type", "content", "usage", "stop_reason", "stop_details", "error", "id", "model"]),
    odd | st.just("message") | st.just("error"),
)


@settings(max_examples=150)
@given(
    replies | odd,
    st.sampled_from([200, 400, 404, 429, 500, 529]),
    st.sampled_from([CHAT, RESPONSES, MESSAGES]),
    st.booleans(),
)
def test_whatever_comes_back_is_one_line_of_json(value: Any, status: int, endpoint: str, streamed: bool) -> None:
    """An answer, an error, or a reply that is not usable; never an exception."""
    body = json.dumps(value).encode()
    if streamed:
        body = b"event: x\ndata: " + body + b"\n\n"
    reply = WIRE.decode(endpoint, status, body)
    json.loads(reply.body)
    assert len(reply.body.decode().splitlines()) == 1


@given(st.binary(max_size=60), st.sampled_from([200, 500]), st.sampled_from([CHAT, RESPONSES, MESSAGES]))
def test_bytes_that_are_no_json_are_told_apart(body: bytes, status: int, endpoint: str) -> None:
    """A proxy's page, half a reply, nothing at all."""
    json.loads(WIRE.decode(endpoint, status, body).body)


@given(st.lists(st.text(max_size=150), max_size=12))
def test_names_stay_apart_when_they_are_made_to_fit(names: list[str]) -> None:
    """Different names never become one, the same name always becomes the same, and all fit."""
    fitted = Fitted(20)
    made = {name: fitted.fit(name) for name in names}
    assert len(set(made.values())) == len(made)
    assert all(re.fullmatch(r"[a-zA-Z0-9_-]{1,20}", name) for name in made.values())
    assert all(fitted.fit(name) == made[name] for name in names)
    back = fitted.back() or {}
    assert all(back.get(each, each) == name for name, each in made.items())


schemas = st.recursive(
    st.fixed_dictionaries(
        {"type": st.sampled_from(["string", "boolean", "null", ["string", "null"]])},
        optional={"format": st.sampled_from(["email", "regex"]), "description": words},
    )
    | st.fixed_dictionaries(
        {"type": st.sampled_from(["integer", ["number", "null"]]), "minimum": st.integers()},
        optional={"description": words},
    ),
    lambda inner: st.one_of(
        st.fixed_dictionaries(
            {"type": st.sampled_from(["object", ["object", "null"]]), "properties": st.dictionaries(words, inner)},
            optional={"additionalProperties": st.booleans() | inner, "minProperties": st.just(1)},
        ),
        st.fixed_dictionaries({"type": st.just("array"), "items": inner}, optional={"minItems": st.integers(0, 3)}),
        st.fixed_dictionaries({"oneOf": st.lists(inner, min_size=1, max_size=2)}),
    ),
    max_leaves=8,
)
TAKEN = {
    "type", "enum", "const", "anyOf", "allOf", "$ref", "$defs", "required", "additionalProperties", "properties",
    "items", "minItems", "format", "title", "description",
}  # fmt: skip


@given(schemas)
def test_a_closed_schema_has_nothing_that_is_not_taken(schema: dict[str, Any]) -> None:
    """Every object is closed, every keyword is taken, and what was said is somewhere. Closing twice changes nothing."""
    made = closed(schema)
    _all_taken(made)
    assert closed(made) == made
    assert json.dumps(schema).count("minimum") == json.dumps(made).count("minimum")


def _all_taken(schema: dict[str, Any]) -> None:
    assert schema.keys() <= TAKEN
    assert isinstance(schema.get("type", ""), str)
    assert schema.get("format", "email") in FORMATS
    assert schema.get("minItems", 0) in (0, 1)
    if schema.get("type") == "object":
        assert schema["additionalProperties"] is False
    for each in [*schema.get("properties", {}).values(), *schema.get("anyOf", ()), *schema.get("allOf", ())]:
        _all_taken(each)
    if "items" in schema:
        _all_taken(schema["items"])
