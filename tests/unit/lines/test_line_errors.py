"""Each fault of a line is told with OpenAI's code, param and words, where these are known."""

from __future__ import annotations

import re

import pytest

from batchrouter.domain.batch import BatchError
from batchrouter.domain.line_errors import JsonType, LineFault, line_error
from batchrouter.domain.routing import RouteProvider, Router
from batchrouter.domain.validation import BatchLimits, Validation
from tests.unit.lines.indexing import file_of, index_of, line, open_index, records_of

CHAT = "/v1/chat/completions"
ROUTER = Router(
    [RouteProvider("openai", "openai", ("m", "gpt-*")), RouteProvider("anthropic", "anthropic", ("claude-*",))],
    {},
    None,
)
HI = [{"role": "user", "content": "hi"}]


def errors_of(data: bytes, endpoint: str = CHAT, max_line_bytes: int = 10_000) -> list[tuple[object, ...]]:
    index = index_of([data], max_line_bytes=max_line_bytes)
    view = open_index(index)
    validation = Validation(view.names, view.totals, endpoint, ROUTER, BatchLimits())
    validation.feed(records_of(index))
    return [(error.code, error.param, error.line, error.message) for error in validation.errors]


def missing(name: str) -> tuple[object, ...]:
    return ("missing_required_parameter", name, 1, f"Missing required parameter: '{name}'.")


def wrong_type(name: str, wanted: str, got: str) -> tuple[object, ...]:
    return ("invalid_type", name, 1, f"Invalid type for '{name}': expected {wanted}, but got {got} instead.")


NOT_JSON = ("invalid_json_line", None, 1, "This line is not parseable as valid JSON.")
NO_MODEL = ("invalid_request", "body.model", 1, "Model parameter is required.")


def chat(**body: object) -> bytes:
    return line(body={"model": "m", "messages": HI, **body})


OPENAI_SAYS = {
    "no JSON": (b"{invalid json here", NOT_JSON),
    "trailing characters": (b"{} {}", NOT_JSON),
    "NaN": (line().replace(b'"hi"', b"NaN"), NOT_JSON),
    "half an emoji in the model": (line(body={"model": "m\ud83d", "messages": []}), NOT_JSON),
    "invalid UTF-8 in a body": (line().replace(b"hi", b"\xff"), NOT_JSON),
    "no custom_id": (line(custom_id=...), missing("custom_id")),
    "no method": (line(method=...), missing("method")),
    "no url": (line(url=...), missing("url")),
    "no body": (line(body=...), missing("body")),
    "nothing at all": (b"{}", missing("custom_id")),
    "a number as custom_id": (line(custom_id=7), wrong_type("custom_id", "a string", "an integer")),
    "null as custom_id": (line(custom_id=None), wrong_type("custom_id", "a string", "null")),
    "a list as method": (line(method=["POST"]), wrong_type("method", "a string", "an array")),
    "a fraction as url": (line(url=1.5), wrong_type("url", "a string", "a decimal number")),
    "true as provider": (line(provider=True), wrong_type("provider", "a string", "a boolean")),
    "text as body": (line(body="x"), wrong_type("body", "an object", "a string")),
    "null as body": (line(body=None), wrong_type("body", "an object", "null")),
    "an object as model": (chat(model={}), wrong_type("body.model", "a string", "an object")),
    "text as stream": (chat(stream="true"), wrong_type("body.stream", "a boolean", "a string")),
    "another url": (
        line(url="/v1/embeddings"),
        ("invalid_url", "url", 1, "The URL provided for this request does not match the batch endpoint."),
    ),
    "an unknown model": (
        chat(model="nonexistent-model-xyz"),
        (
            "model_not_found",
            "body.model",
            1,
            "The provided model 'nonexistent-model-xyz' is not supported by the Batch API.",
        ),
    ),
    "no model": (line(body={"messages": HI}), NO_MODEL),
    "null as model": (chat(model=None), NO_MODEL),
    "an empty model": (chat(model=""), NO_MODEL),
    "no messages": (
        line(body={"model": "m"}),
        ("invalid_request", "body.messages", 1, "Messages parameter is required."),
    ),
    "streaming": (
        chat(stream=True),
        (
            "streaming_unsupported",
            "body.stream",
            1,
            "Chat Completions: Streaming is not supported in the Batch API.",
        ),
    ),
}

WE_SAY = {
    "no object": (b"[1]", ("invalid_type", None, 1, "This line is valid JSON, but it is not an object.")),
    "an empty custom_id": (
        line(custom_id=""),
        ("invalid_custom_id", "custom_id", 1, "Invalid 'custom_id': expected a string that is not empty."),
    ),
    "a custom_id without end": (
        line(custom_id="x" * 4097),
        (
            "string_above_max_length",
            "custom_id",
            1,
            "Invalid 'custom_id': string too long. Expected a string of at most 4096 bytes.",
        ),
    ),
    "a model without end": (
        chat(model="m" * 257),
        (
            "string_above_max_length",
            "body.model",
            1,
            "Invalid 'body.model': string too long. Expected a string of at most 256 bytes.",
        ),
    ),
    "a provider without end": (
        line(provider="p" * 257),
        (
            "string_above_max_length",
            "provider",
            1,
            "Invalid 'provider': string too long. Expected a string of at most 256 bytes.",
        ),
    ),
    "a url without end": (
        line(url="/" * 257),
        ("invalid_url", "url", 1, "The URL provided for this request does not match the batch endpoint."),
    ),
    "another method": (
        line(method="GET"),
        ("invalid_method", "method", 1, "Invalid value for 'method'. Supported values are: 'POST'."),
    ),
    "a number as mode": (line(mode=1), wrong_type("mode", "a string", "an integer")),
    "a mode that there is not": (
        line(mode="Batch"),
        (
            "invalid_mode",
            "mode",
            1,
            "Invalid value for 'mode'. Supported values are: 'auto', 'batch', and 'realtime'.",
        ),
    ),
    "half an emoji as mode": (line(mode="auto\ud83d"), NOT_JSON),
    "too long a line": (
        line(custom_id="x" * 10_000),
        ("line_too_long", None, 1, "This line is 10139 bytes long, which is more than a line may have."),
    ),
    "a provider that is not there": (
        line(provider="acme"),
        ("provider_not_found", "provider", 1, "The provider 'acme' of this request is not configured."),
    ),
    "provider against prefix": (
        line(provider="openai", body={"model": "anthropic/claude-x", "messages": HI}),
        (
            "provider_model_mismatch",
            "body.model",
            1,
            "The provider 'openai' of this request and the prefix of its model 'anthropic/claude-x' name two different "
            "providers.",
        ),
    ),
}


@pytest.mark.parametrize("case", OPENAI_SAYS)
def test_a_known_fault_is_told_in_the_words_of_openai(case: str) -> None:
    """Code, param, line and message, to the letter; and nothing else is told of the line."""
    data, error = OPENAI_SAYS[case]
    assert errors_of(data) == [error]


@pytest.mark.parametrize("case", WE_SAY)
def test_a_fault_without_known_words_is_told_in_ours(case: str) -> None:
    """What OpenAI says is not known; ours says what is wrong and what would be right."""
    data, error = WE_SAY[case]
    assert errors_of(data) == [error]


def test_nesting_without_end_is_a_line_error_like_any_other() -> None:
    """A hundred thousand levels neither raise nor hold up the line after them."""
    deep = line().replace(b'"hi"', b"[" * 100_000 + b"]" * 100_000)
    (error,) = errors_of(file_of(deep, line(custom_id="b")), max_line_bytes=1_000_000)
    assert error == (
        "invalid_json_line",
        None,
        1,
        "This line is nested more than 500 levels deep and cannot be read.",
    )
    (error,) = errors_of(b'{"a":' * 100_000, max_line_bytes=1_000_000)
    assert error[:3] == ("invalid_json_line", None, 1)


def test_a_repeated_custom_id_is_told_of_the_later_line() -> None:
    """However the id is spelled; the first line stands."""
    data = file_of(line(custom_id="é"), line(custom_id="b"), line().replace(b'"a"', b'"\\u00e9"'))
    assert errors_of(data) == [
        (
            "duplicate_custom_id",
            "custom_id",
            3,
            "The custom_id for this request is a duplicate of another request. "
            "The custom_id parameter must be unique for each request in a batch.",
        )
    ]


def test_a_line_has_one_error_and_the_nearer_fault_goes_first() -> None:
    """A line that repeats an id and is wrong by itself is told as wrong by itself."""
    data = file_of(line(), line(method="GET"), line(url=7), line(body={"model": "nope"}))
    assert [error[0] for error in errors_of(data)] == ["invalid_method", "invalid_type", "duplicate_custom_id"]


def test_many_errors_come_in_one_go_in_line_order() -> None:
    """Sound lines between them do not appear; physical line numbers count blank lines."""
    data = file_of(line(custom_id=...), b"", line(custom_id="ok"), line(custom_id="x", method=...), b"{")
    assert [(error[0], error[2]) for error in errors_of(data)] == [
        ("missing_required_parameter", 1),
        ("missing_required_parameter", 4),
        ("invalid_json_line", 5),
    ]


@pytest.mark.parametrize(
    ("endpoint", "body", "error"),
    [
        ("/v1/responses", {"model": "m"}, None),
        ("/v1/responses", {"model": "m", "stream": True}, "Responses: Streaming is not supported in the Batch API."),
        ("/v1/embeddings", {"model": "m"}, "Input parameter is required."),
        ("/v1/embeddings", {"model": "m", "input": None}, "Input parameter is required."),
        ("/v1/embeddings", {"input": "x"}, "Model parameter is required."),
        ("/v1/completions", {"model": "m"}, None),
        ("/v1/moderations", {"model": "m"}, "Input parameter is required."),
        ("/v1/moderations", {"input": "x"}, "Model parameter is required."),
        ("/v1/images/edits", {"prompt": "x", "model": "m", "stream": False}, None),
        ("/v1/rerank", {"model": "m"}, None),
    ],
)
def test_each_endpoint_has_its_own_musts(endpoint: str, body: object, error: str | None) -> None:
    """Only what OpenAI refuses beforehand is refused; without a default provider a model must be named."""
    assert [told[3] for told in errors_of(line(url=endpoint, body=body), endpoint)] == ([error] if error else [])


@pytest.mark.parametrize("fault", [fault for fault in LineFault if fault])
def test_every_fault_has_words_and_none_leaks_a_placeholder(fault: LineFault) -> None:
    """A model's name with braces in it stands in the message as it is."""
    error = line_error(fault, 3, got=JsonType.ARRAY, length=9, api="X", model="{model}", provider="{0}")
    assert isinstance(error, BatchError)
    assert error.line == 3
    assert re.fullmatch(r"[a-z_]+", error.code)
    assert not re.search(r"\{(?!model\}|0\})", error.message)
