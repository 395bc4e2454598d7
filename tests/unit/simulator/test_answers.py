"""What the simulated models say: known beforehand, and true to the types of OpenAI's client."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types import Completion, CreateEmbeddingResponse, ImagesResponse, ModerationCreateResponse
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response

from batchrouter.simulator import answer, expected_key
from batchrouter.simulator.answers import ENDPOINTS, reply_to

CHAT = "/v1/chat/completions"
GOOD: list[tuple[str, type, dict[str, Any]]] = [
    (CHAT, ChatCompletion, {"messages": [{"role": "user", "content": "What is 2 + 2?"}]}),
    (CHAT, ChatCompletion, {"messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}], "n": 3}),
    (CHAT, ChatCompletion, {"messages": [{"role": "user", "content": "x"}], "reasoning_effort": "low"}),
    ("/v1/responses", Response, {"input": "What is 2 + 2?", "instructions": "Be brief."}),
    ("/v1/responses", Response, {"input": [{"role": "user", "content": "hi"}], "max_output_tokens": 3}),
    ("/v1/embeddings", CreateEmbeddingResponse, {"input": ["one", "two"]}),
    ("/v1/embeddings", CreateEmbeddingResponse, {"input": [1, 2, 3], "dimensions": 40}),
    ("/v1/completions", Completion, {"prompt": ["Once", "upon"], "n": 2}),
    ("/v1/completions", Completion, {"prompt": [[1, 2], [3]]}),
    ("/v1/moderations", ModerationCreateResponse, {"input": ["peace", "so much violence"]}),
    ("/v1/moderations", ModerationCreateResponse, {"input": [{"type": "text", "text": "peace"}]}),
    ("/v1/images/generations", ImagesResponse, {"prompt": "a red square", "n": 2}),
    ("/v1/images/edits", ImagesResponse, {"prompt": "make it blue", "response_format": "url"}),
]


def body_of(members: dict[str, Any]) -> bytes:
    return json.dumps({"model": "m", **members}).encode()


def chat(**members: Any) -> dict[str, Any]:
    messages = [
        {"role": "system", "content": "12345678"},
        {"role": "user", "content": "Tell me a story"},
        {"role": "assistant", "content": "No"},
    ]
    said: dict[str, Any] = json.loads(answer(CHAT, body_of({"messages": messages, **members})))
    return said


@pytest.mark.parametrize(("path", "model", "members"), GOOD)
def test_every_answer_is_what_the_official_client_expects(path: str, model: Any, members: dict[str, Any]) -> None:
    parsed = model.model_validate_json(answer(path, body_of(members)), strict=True)
    assert type(parsed) is model


@pytest.mark.parametrize(("path", "model", "members"), GOOD)
def test_an_answer_names_the_body_that_it_answers_and_no_other(path: str, model: Any, members: dict[str, Any]) -> None:
    body, other = body_of(members), body_of({**members, "user": "another"})
    assert expected_key(body) in answer(path, body).decode()
    assert expected_key(body) not in answer(path, other).decode()
    assert answer(path, body) == answer(path, bytes(bytearray(body)))


def test_the_text_echoes_the_key_and_the_first_words_of_the_last_user_message() -> None:
    body = body_of({"messages": [{"role": "user", "content": "old"}, {"role": "user", "content": "Tell me\n more"}]})
    text = json.loads(answer(CHAT, body))["choices"][0]["message"]["content"]
    assert text == f"echo {expected_key(body)}: Tell me more"


def test_usage_adds_up_and_counts_the_leading_system_text_as_cached() -> None:
    usage = chat()["usage"]
    assert usage["prompt_tokens"] == 3 + 3 * 4 + 2 + 4 + 1
    assert usage["prompt_tokens_details"]["cached_tokens"] == 2
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_an_answer_longer_than_asked_is_cut_and_says_so(name: str) -> None:
    said = chat(**{name: 5})
    assert said["choices"][0]["finish_reason"] == "length"
    assert said["usage"]["completion_tokens"] == 5
    assert chat(**{name: 500})["choices"][0]["finish_reason"] == "stop"


def test_reasoning_counts_as_completion_and_within_its_bound() -> None:
    plain, thought = chat()["usage"], chat(reasoning_effort="high")["usage"]
    reasoning = thought["completion_tokens_details"]["reasoning_tokens"]
    assert reasoning == 32
    assert thought["completion_tokens"] == plain["completion_tokens"] + reasoning
    assert chat(reasoning_effort="high", max_tokens=20)["usage"]["completion_tokens"] == 20


def test_a_cut_response_is_incomplete_and_says_why() -> None:
    said = json.loads(answer("/v1/responses", body_of({"input": "hello", "max_output_tokens": 3})))
    assert (said["status"], said["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
    assert said["usage"]["output_tokens"] == 3


def test_base64_embeddings_are_the_same_numbers() -> None:
    listed = json.loads(answer("/v1/embeddings", body_of({"input": "a"})))["data"][0]["embedding"]
    body = body_of({"input": "a", "encoding_format": "base64"})
    packed = base64.b64decode(json.loads(answer("/v1/embeddings", body))["data"][0]["embedding"])
    assert len(packed) == 4 * len(listed)
    assert sum(value * value for value in struct.unpack("<16f", packed)) == pytest.approx(1, abs=1e-5)


def test_vectors_differ_from_input_to_input() -> None:
    data = json.loads(answer("/v1/embeddings", body_of({"input": ["same", "same"]})))["data"]
    assert data[0]["embedding"] != data[1]["embedding"]


def test_only_the_flagged_word_flags() -> None:
    results = json.loads(answer("/v1/moderations", body_of({"input": ["peace", "Violence!"]})))["results"]
    assert [result["flagged"] for result in results] == [False, True]
    assert results[1]["categories"]["violence"] is True


def test_a_picture_is_a_png_that_carries_the_key() -> None:
    body = body_of({"prompt": "x"})
    png = base64.b64decode(json.loads(answer("/v1/images/generations", body))["data"][0]["b64_json"])
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    assert expected_key(body).encode() in png
    place = png.index(b"IDAT")
    length = struct.unpack(">I", png[place - 4 : place])[0]
    assert zlib.decompress(png[place + 4 : place + 4 + length]) == b"\x00\x80"


def test_an_edit_may_come_as_a_form() -> None:
    form = b"\r\n".join(
        [
            b"--cut",
            b'Content-Disposition: form-data; name="prompt"',
            b"",
            b"make it blue",
            b"--cut",
            b'Content-Disposition: form-data; name="n"',
            b"",
            b"2",
            b"--cut",
            b'Content-Disposition: form-data; name="image"; filename="a.png"',
            b"",
            b"\x89PNG",
            b"--cut--",
            b"",
        ]
    )
    said = json.loads(answer("/v1/images/edits", form))
    assert [image["revised_prompt"] for image in said["data"]] == [f"echo {expected_key(form)}: make it blue"] * 2


def test_a_stream_says_the_same_as_the_whole_answer() -> None:
    body = body_of({"messages": [{"role": "user", "content": "a b c"}], "stream": True})
    events = answer(CHAT, body).decode().split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    chunks = [ChatCompletionChunk.model_validate_json(event.removeprefix("data: ")) for event in events[:-2]]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text == f"echo {expected_key(body)}: a b c"
    assert chunks[-1].choices[0].finish_reason == "stop"


@pytest.mark.parametrize(
    ("path", "body", "code", "param"),
    [
        (CHAT, b"no json", "invalid_json", None),
        (CHAT, b'{"model":"m","messages":[{}],"user":"\xff"}', "invalid_json", None),
        (CHAT, b"[" * 100_000, None, None),
        (CHAT, b"[]", "invalid_type", None),
        (CHAT, b'{"messages":[{"role":"user"}]}', "missing_required_parameter", "model"),
        (CHAT, b'{"model":"m"}', "missing_required_parameter", "messages"),
        (CHAT, b'{"model":"m","messages":[{}],"n":0}', "invalid_value", "n"),
        ("/v1/responses", b'{"model":"m","input":"x","stream":true}', "unsupported_value", "stream"),
        ("/v1/embeddings", b'{"model":"m","input":[]}', "missing_required_parameter", "input"),
        ("/v1/embeddings", b'{"model":"m","input":"a","dimensions":0}', "invalid_value", "dimensions"),
        (
            "/v1/images/edits",
            b'--a\r\ncontent-disposition: form-data; name="n"\r\n\r\nx\r\n--a--',
            "invalid_type",
            None,
        ),
    ],
)
def test_a_bad_body_is_refused_in_openai_s_words(path: str, body: bytes, code: str | None, param: str | None) -> None:
    reply = reply_to(path, expected_key(body), body)
    error = json.loads(reply.body)["error"]
    assert reply.status == 400
    assert sorted(error) == ["code", "message", "param", "type"]
    assert error["type"] == "invalid_request_error"
    assert error["param"] == param
    assert code is None or error["code"] == code


@given(path=st.sampled_from(sorted(ENDPOINTS)), body=st.binary(max_size=200))
def test_no_bytes_at_all_upset_an_endpoint(path: str, body: bytes) -> None:
    assert reply_to(path, expected_key(body), body).status in (200, 400)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 300) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["role", "content", "text"]), inner),
    max_leaves=6,
)
MEMBERS = ["model", "messages", "input", "prompt", "n", "max_tokens", "stream", "dimensions", "reasoning"]


@given(path=st.sampled_from(sorted(ENDPOINTS)), members=st.dictionaries(st.sampled_from(MEMBERS), JSON))
def test_no_json_upsets_an_endpoint(path: str, members: dict[str, Any]) -> None:
    body = json.dumps(members).encode()
    assert reply_to(path, expected_key(body), body).status in (200, 400)
