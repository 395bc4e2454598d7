"""What is wrong with a value is said in OpenAI's words."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from batchrouter.errors import ApiError
from batchrouter.service import asked


@pytest.mark.parametrize(
    ("choices", "words"),
    [(["a"], "'a'"), (["a", "b"], "'a' and 'b'"), (["a", "b", "c"], "'a', 'b', and 'c'")],
)
def test_choices_are_listed_as_openai_does(choices: list[str], words: str) -> None:
    assert asked.listed(choices) == words


@pytest.mark.parametrize(
    ("read", "message", "param", "code"),
    [
        (
            lambda: asked.text({}, "input_file_id"),
            "Missing required parameter: 'input_file_id'.",
            "input_file_id",
            "missing_required_parameter",
        ),
        (
            lambda: asked.text({"endpoint": None}, "endpoint"),
            "Invalid type for 'endpoint': expected a string, but got null instead.",
            "endpoint",
            "invalid_type",
        ),
        (
            lambda: asked.metadata({"metadata": {"tags": ["a"]}}),
            "Invalid type for 'metadata.tags': expected a string, but got an array instead.",
            "metadata.tags",
            "invalid_type",
        ),
        (
            lambda: asked.metadata({"metadata": "x"}),
            "Invalid type for 'metadata': expected an object, but got a string instead.",
            "metadata",
            "invalid_type",
        ),
        (
            lambda: asked.metadata({"metadata": {str(n): "" for n in range(17)}}),
            "Invalid 'metadata': too many properties. Expected an object with at most 16 properties, "
            "but got an object with 17 properties instead.",
            "metadata",
            "object_above_max_properties",
        ),
        (
            lambda: asked.metadata({"metadata": {"k" * 65: ""}}),
            "Invalid 'metadata': string too long. Expected a string with maximum length 64, "
            "but got a string with length 65 instead.",
            "metadata",
            "string_above_max_length",
        ),
        (
            lambda: asked.metadata({"metadata": {"k": "v" * 513}}),
            "Invalid 'metadata.k': string too long. Expected a string with maximum length 512, "
            "but got a string with length 513 instead.",
            "metadata.k",
            "string_above_max_length",
        ),
        (
            lambda: asked.one_of("/v1/invalid/endpoint", ("/a", "/b", "/c"), "endpoint"),
            "Invalid value: '/v1/invalid/endpoint'. Supported values are: '/a', '/b', and '/c'.",
            "endpoint",
            "invalid_value",
        ),
        (
            lambda: asked.expiry({"e": {"anchor": "created_at", "seconds": 3599}}, "e", 3600, 9999),
            "Invalid 'e.seconds': integer below minimum value. Expected a value >= 3600, but got 3599 instead.",
            "e.seconds",
            "integer_below_min_value",
        ),
        (
            lambda: asked.expiry({"e": {"anchor": "created_at", "seconds": True}}, "e", 3600, 9999),
            "Invalid type for 'e.seconds': expected an integer, but got a boolean instead.",
            "e.seconds",
            "invalid_type",
        ),
        (
            lambda: asked.expiry({"e": {"anchor": "now", "seconds": 3600}}, "e", 3600, 9999),
            "Invalid value: 'now'. Supported values are: 'created_at'.",
            "e.anchor",
            "invalid_value",
        ),
        (
            lambda: asked.expiry({"e": {"seconds": 3600}}, "e", 3600, 9999),
            "Missing required parameter: 'e.anchor'.",
            "e.anchor",
            "missing_required_parameter",
        ),
    ],
)
def test_words_param_and_code(read: Callable[[], object], message: str, param: str, code: str) -> None:
    with pytest.raises(ApiError) as caught:
        read()
    error = caught.value
    assert (error.status, error.message, error.param, error.code) == (400, message, param, code)


def test_what_is_allowed_passes_unchanged() -> None:
    pairs = {"k" * 64: "v" * 512, "ü": ""}
    assert asked.metadata({"metadata": pairs}) == pairs
    assert asked.metadata({"metadata": None}) is None
    assert asked.metadata({"metadata": {}}) == {}
    assert asked.expiry({"e": {"anchor": "created_at", "seconds": 3600}}, "e", 3600, 3600) == 3600


@pytest.mark.parametrize("value", ["", "a/b", "a\x00", "ü", "a b", "x" * 201, "a%2e"])
def test_odd_text_is_no_id(value: str) -> None:
    assert not asked.is_id(value)


@pytest.mark.parametrize("value", ["1.5", "", "x", "٣", "--1"])
def test_text_that_is_no_number_is_refused(value: str) -> None:
    with pytest.raises(ApiError):
        asked.digits(value, "limit")


@pytest.mark.parametrize("sign", ["", "-"])
def test_a_number_of_any_length_stays_beyond_every_bound(sign: str) -> None:
    """So that it is told as too large, not as no number."""
    assert abs(asked.digits(sign + "9" * 5_000, "limit")) > 2**53
