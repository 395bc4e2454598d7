"""Lines of native jobs: bodies go up and come down byte for byte; what comes back is understood or UNFINISHED."""

from __future__ import annotations

import json
from typing import Any, cast

import openai.types.chat
import pytest
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming
from anthropic.types.messages import MessageBatchIndividualResponse
from anthropic.types.messages.batch_create_params import Request
from hypothesis import example, given
from hypothesis import strategies as st
from mistralai.client.models import BatchRequest
from pydantic import TypeAdapter

from batchrouter.domain.job import NativeFacts, Result, ResultKind, key_line, line_key
from batchrouter.domain.outcome import Finish
from batchrouter.errors import ConfigError
from batchrouter.providers.base import JobLines
from batchrouter.providers.job_lines import AnthropicLines, MistralLines, OpenAILines, job_lines
from batchrouter.providers.openai import OpenAIWire

CHAT = "/v1/chat/completions"
JOB = "job_0123456789abcdef01234567"
KEY = line_key(JOB, 41)
FORMS = [OpenAILines(), AnthropicLines(), MistralLines()]
FORM_IDS = ["openai", "anthropic", "mistral"]
ANSWERED, UNFINISHED = ResultKind.ANSWERED, ResultKind.UNFINISHED
BODY = b'{ "model":"m",  "messages":[{"role":"user","content":"\\u00e9\xc3\xa9 \\ud83d"}] }'
"""Spaces that nobody needs, an escape that could be a character, half an emoji: all must survive."""

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


# --- requests ---------------------------------------------------------------------------------------------------------


def test_a_line_is_the_body_with_the_key_around_it() -> None:
    """No byte of the body changes."""
    key = KEY.encode()
    assert OpenAILines().write(KEY, CHAT, BODY) == (
        b'{"custom_id":"' + key + b'","method":"POST","url":"/v1/chat/completions","body":' + BODY + b"}"
    )
    assert AnthropicLines().write(KEY, CHAT, BODY) == b'{"custom_id":"' + key + b'","params":' + BODY + b"}"
    assert MistralLines().write(KEY, CHAT, BODY) == b'{"custom_id":"' + key + b'","body":' + BODY + b"}"


def test_a_provider_may_want_another_url_in_its_lines() -> None:
    """Zhipu's lines name `/v4/…`; an endpoint that is not rewritten stays as it is."""
    lines = OpenAILines({CHAT: "/v4/chat/completions"})
    assert json.loads(lines.write(KEY, CHAT, b"{}"))["url"] == "/v4/chat/completions"
    assert json.loads(lines.write(KEY, "/v1/embeddings", b"{}"))["url"] == "/v1/embeddings"


@pytest.mark.parametrize("form", FORMS, ids=FORM_IDS)
def test_no_reader_finds_a_second_line_in_a_line(form: JobLines) -> None:
    """Raw separators are escaped, a carriage return between two members is dropped; the meaning stays."""
    body = '{"a":"\u2028 \u2029 \u0085",\r"b":\t1}'.encode()
    line = form.write(KEY, CHAT, body)
    assert len(line.decode().splitlines()) == 1
    sent = json.loads(line)
    assert sent.get("body", sent.get("params")) == json.loads(body)


@pytest.mark.parametrize("form", FORMS, ids=FORM_IDS)
@given(value=st.dictionaries(st.text(), json_values, max_size=4), indent=st.sampled_from([None, 1]))
def test_any_body_goes_up_as_it_is(form: JobLines, value: dict[str, Any], indent: int | None) -> None:
    """However it was printed."""
    line = form.write(KEY, CHAT, json.dumps(value, indent=indent).encode())
    sent = json.loads(line)
    assert sent.get("body", sent.get("params")) == value
    assert key_line(JOB, sent["custom_id"]) == 41
    assert b"\n" not in line


def test_the_vendors_own_types_take_our_lines() -> None:
    """Anthropic's request and Mistral's, as their packages declare them, and the body that they hold."""
    body = b'{"model":"m","max_tokens":5,"messages":[{"role":"user","content":"hi"}]}'
    request = TypeAdapter(Request).validate_json(AnthropicLines().write(KEY, CHAT, body))
    assert request["custom_id"] == KEY
    TypeAdapter(MessageCreateParamsNonStreaming).validate_python(request["params"])
    assert BatchRequest.model_validate_json(MistralLines().write(KEY, CHAT, body)).custom_id == KEY


def test_every_dialect_has_its_form_and_no_other_has_one() -> None:
    """An unknown dialect is told when the configuration is read into lanes, not at the first line."""
    for dialect, form in zip(FORM_IDS, FORMS, strict=True):
        assert type(job_lines(NativeFacts(dialect=dialect))) is type(form)
    with pytest.raises(ConfigError, match="dialect 'bedrock' is not known"):
        job_lines(NativeFacts(dialect="bedrock"))


# --- results in OpenAI's form -----------------------------------------------------------------------------------------


def result(**members: object) -> bytes:
    return json.dumps({"id": "batch_req_1", "custom_id": KEY, **members}).encode()


@pytest.mark.parametrize("form", [OpenAILines(), MistralLines()], ids=["openai", "mistral"])
def test_an_answer_is_what_a_real_time_call_would_have_brought(form: JobLines) -> None:
    """Status, body byte for byte, and the upstream's request id."""
    line = b'{"id":"x","custom_id":"k","response":{"status_code":200,"request_id":"r-1","body":%b},"error":null}' % BODY
    assert form.read(line) == Result("k", ANSWERED, 200, BODY, "r-1")


def test_a_refused_line_keeps_its_status_although_error_is_null() -> None:
    """So stand failures in OpenAI's error file."""
    error = {"error": {"message": "no such model", "type": "invalid_request_error", "param": None, "code": "x"}}
    line = result(response={"status_code": 404, "request_id": "r", "body": error}, error=None)
    found = OpenAILines().read(line)
    assert (found.kind, found.status, json.loads(found.body)) == (ANSWERED, 404, error)


@pytest.mark.parametrize(
    "line",
    [
        result(response=None, error={"code": "batch_expired", "message": "not in time"}),
        result(response=None, error={"code": "batch_cancelled", "message": ""}),
        result(error={"code": "batch_canceled"}),
        result(response={"status_code": 0, "request_id": "", "body": None}, error=None),
        result(response={"status_code": 0, "body": {"error": {}}}, error={"code": 500}),
        result(response={"status_code": 200, "body": {}}, error={"code": "batch_expired"}),
        result(response={"status_code": 200, "body": None}, error=None),
        result(response=None, error={"code": "parse_error", "message": "?"}),
        result(response=None, error="went wrong"),
        result(response="oh", error=None),
        result(response={"status_code": 99, "body": {}}),
        result(),
    ],
)
def test_a_line_without_a_reply_is_unfinished(line: bytes) -> None:
    """It may be sent again: nobody knows what the model would have said. Its key is kept."""
    assert OpenAILines().read(line) == Result(KEY, UNFINISHED)


@pytest.mark.parametrize(
    ("line", "status", "body"),
    [
        (result(response={"status_code": 400, "request_id": "r"}, error={"code": 400, "message": "m"}), 400, None),
        (result(response={"status_code": "429", "body": {"error": 1}}), 429, {"error": 1}),
        (result(error={"code": 400, "message": "m"}), 400, None),
        (result(response=None, error={"code": 503, "message": "m"}), 503, None),
        (result(response={"status_code": 200, "request_id": 7, "body": {"a": 1}}, error={}), 200, {"a": 1}),
    ],
)
def test_the_ways_of_other_hosts_are_understood(line: bytes, status: int, body: object) -> None:
    """vLLM puts the error beside the status, Google's errors name the status, some write it as text."""
    found = OpenAILines().read(line)
    assert (found.key, found.kind, found.status) == (KEY, ANSWERED, status)
    wanted = body if body is not None else {"error": json.loads(line)["error"]}
    assert json.loads(found.body) == wanted


def test_an_answer_cut_inside_an_emoji_is_kept() -> None:
    """JSON allows half a surrogate pair, and models are cut off anywhere."""
    for form, line in (
        (OpenAILines(), b'{"custom_id":"k","response":{"status_code":200,"body":{"a":"\\ud83d"}},"error":null}'),
        (AnthropicLines(), b'{"custom_id":"k","result":{"type":"succeeded","message":{"a":"\\ud83d"}}}'),
    ):
        assert form.read(line) == Result("k", ANSWERED, 200, b'{"a":"\\ud83d"}')


# --- results of Anthropic ---------------------------------------------------------------------------------------------


def message_result(**members: object) -> bytes:
    return json.dumps({"custom_id": KEY, "result": members}).encode()


def test_a_message_is_cut_out_as_it_stands() -> None:
    """With the vendor's own type as the judge of the line."""
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5",
        "content": [{"type": "text", "text": "hi", "citations": None}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 2},
    }
    line = message_result(type="succeeded", message=message)
    MessageBatchIndividualResponse.model_validate_json(line)
    found = AnthropicLines().read(line)
    assert found == Result(KEY, ANSWERED, 200, json.dumps(message).encode())


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("invalid_request_error", 400),
        ("authentication_error", 401),
        ("billing_error", 402),
        ("permission_error", 403),
        ("not_found_error", 404),
        ("request_too_large", 413),
        ("rate_limit_error", 429),
        ("api_error", 500),
        ("timeout_error", 504),
        ("overloaded_error", 529),
        ("an_error_of_the_future", 500),
    ],
)
@pytest.mark.parametrize("nested", [True, False])
def test_an_error_has_the_status_of_its_type(kind: str, status: int, nested: bool) -> None:
    """The body is the error reply of a real-time call, however deep the line puts it."""
    inner = {"type": kind, "message": "m"}
    outer = {"type": "error", "error": inner, "request_id": "req_1"}
    found = AnthropicLines().read(message_result(type="errored", error=outer if nested else inner))
    assert (found.key, found.kind, found.status) == (KEY, ANSWERED, status)
    assert json.loads(found.body)["error"] == inner
    assert found.request_id == ("req_1" if nested else None)


@pytest.mark.parametrize("members", [{"type": "canceled"}, {"type": "expired"}, {"type": "paused"}, {}])
def test_what_anthropic_did_not_run_is_unfinished(members: dict[str, object]) -> None:
    """And costs nothing."""
    assert AnthropicLines().read(message_result(**members)) == Result(KEY, UNFINISHED)


# --- anything ---------------------------------------------------------------------------------------------------------

odd_lines = st.one_of(
    st.binary(max_size=200),
    json_values.map(lambda value: json.dumps(value).encode()),
    st.fixed_dictionaries(
        {},
        optional={
            "custom_id": json_values,
            "response": st.one_of(
                json_values, st.fixed_dictionaries({}, optional={"status_code": json_values, "body": json_values})
            ),
            "error": st.one_of(json_values, st.fixed_dictionaries({}, optional={"code": json_values})),
            "result": st.one_of(
                json_values,
                st.fixed_dictionaries(
                    {},
                    optional={
                        "type": st.sampled_from(["succeeded", "errored", "expired"]) | json_values,
                        "message": json_values,
                        "error": st.one_of(json_values, st.fixed_dictionaries({}, optional={"error": json_values})),
                    },
                ),
            ),
        },
    ).map(lambda value: json.dumps(value).encode()),
)


@pytest.mark.parametrize("form", FORMS, ids=FORM_IDS)
@given(line=odd_lines)
@example(line=b"[" * 100_000)
@example(line=b'{"custom_id":"k","response":{"status_code":200,"body":' + b"[" * 100_000)
@example(line=b'{"custom_id":"k","error":' + b'{"code":' * 50_000)
@example(line=b'{"custom_id":"\\ud83d","response":{"status_code":200,"body":{}}}')
@example(line=b'{"custom_id":"k","response":{"status_code":1e999,"body":{}}}')
def test_whatever_comes_is_read_without_a_fault(form: JobLines, line: bytes) -> None:
    """An answered line has a status of HTTP and a body, an unfinished one has neither."""
    found = form.read(line)
    assert isinstance(found.key, str | None)
    assert isinstance(found.request_id, str | None)
    if found.kind is ANSWERED:
        assert 200 <= found.status < 600
        json.loads(found.body)
    else:
        assert found == Result(found.key, UNFINISHED)


@given(body=st.dictionaries(st.text(), json_values, max_size=4), status=st.integers(200, 599), cut=st.data())
def test_half_a_line_is_no_answer(body: dict[str, Any], status: int, cut: st.DataObject) -> None:
    """A download that broke off must not credit anything."""
    line = result(response={"status_code": status, "request_id": "r", "body": body}, error=None)
    assert OpenAILines().read(line).body == json.dumps(body).encode()
    assert OpenAILines().read(line[: cut.draw(st.integers(0, len(line) - 1))]).kind is UNFINISHED


def test_the_lanes_wire_takes_what_the_line_gave() -> None:
    """Tokens, finish and error codes are told as of a real-time call."""
    wire = OpenAIWire("http://host/v1", "m")
    usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    choice = {
        "index": 0,
        "finish_reason": "length",
        "logprobs": None,
        "message": {"role": "assistant", "content": "a", "refusal": None},
    }
    answer = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}
    openai.types.chat.ChatCompletion.model_validate(answer)
    found = OpenAILines().read(result(response={"status_code": 200, "request_id": "r", "body": answer}, error=None))
    reply = wire.decode(CHAT, found.status, found.body)
    assert (reply.usable, reply.finish, reply.tokens.output) == (True, Finish.LENGTH, 4)
    found = OpenAILines().read(result(response={"status_code": 400}, error={"code": "bad", "message": "m"}))
    assert cast(str, wire.decode(CHAT, found.status, found.body).code) == "bad"
